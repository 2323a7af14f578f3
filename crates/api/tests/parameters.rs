//! Request validation: every row of the API's part of docs/faults.md whose response is a rejection of the request.

mod common;

use anyhow::{Context, Result};
use axum::Router;
use common::{Answered, Backend, ask, history};
use serde_json::{Value, json};

/// The endpoints about a team.
const TEAM_PATHS: [&str; 5] = [
    "/v1/teams/{}",
    "/v1/metrics/team/{}/velocity",
    "/v1/metrics/team/{}/lead-time",
    "/v1/metrics/team/{}/summary",
    "/v1/metrics/team/{}/pull-requests",
];
/// The endpoints that take a range.
const RANGES: [&str; 4] = ["velocity", "lead-time", "summary", "pull-requests"];

/// Sends the same query to each endpoint with a range, and expects the same rejection.
async fn refused(backend: &Backend, query: &str, expected: &[(&str, &str)]) -> Result<Vec<Answered>> {
    let mut all = Vec::new();
    for path in RANGES {
        let answered = backend.ask(&format!("/v1/metrics/team/payments/{path}?{query}"), &[]).await?;
        assert_eq!((answered.status, answered.code().as_str()), (400, "validation_error"), "{path}?{query}");
        let found = answered.refused();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, reason)| (name.as_str(), reason.as_str())).collect();
        assert_eq!(found, expected, "{path}?{query}");
        all.push(answered);
    }
    Ok(all)
}

/// The sentence about the first rejected parameter.
fn message(answered: &Answered) -> Result<String> {
    Ok(answered.json()?["error"]["details"][0]["message"].as_str().context("a message")?.to_owned())
}

#[tokio::test]
async fn a01_an_unknown_team_is_not_found() -> Result<()> {
    let backend = Backend::empty().await?;
    for path in TEAM_PATHS {
        for team in ["unknown", "99", "9223372036854775807"] {
            let answered = backend.ask(&path.replace("{}", team), &[]).await?;
            assert_eq!((answered.status, answered.code().as_str()), (404, "not_found"), "{path} {team}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a02_invalid_teams_are_refused_without_a_500() -> Result<()> {
    let backend = Backend::empty().await?;
    for path in TEAM_PATHS {
        for team in
            ["0", "007", "-1", "9223372036854775808", "1;DROP%20TABLE%20x", "%00", "..%2f", "%ff", "Payments", "'"]
        {
            let answered = backend.ask(&path.replace("{}", team), &[]).await?;
            assert_eq!(answered.status, 400, "{path} {team}: {answered:?}");
            assert_eq!(answered.refused(), [("team_id".to_owned(), "invalid".to_owned())], "{path} {team}");
        }
    }
    assert_eq!(backend.get("/v1/teams").await?.0, 200, "the table still exists");
    Ok(())
}

#[tokio::test]
async fn a03_a_range_ending_before_it_starts_is_refused() -> Result<()> {
    let backend = Backend::empty().await?;
    refused(&backend, "from=2026-06-01&to=2026-06-01", &[("from", "empty_range")]).await?;
    refused(&backend, "from=2026-06-02&to=2026-06-01", &[("from", "empty_range")]).await?;
    // Without an end it is tomorrow.
    refused(&backend, "from=2026-06-19", &[("from", "empty_range")]).await?;
    Ok(())
}

#[tokio::test]
async fn a04_days_that_do_not_exist_are_refused() -> Result<()> {
    let backend = Backend::empty().await?;
    for day in
        ["2026-13-01", "2026-02-29", "yesterday", "", "2026-6-1", "2026-06-01T00:00:00Z", "0001-01-01", "9999-01-01"]
    {
        refused(&backend, &format!("from={day}"), &[("from", "invalid")]).await?;
        refused(&backend, &format!("to={day}"), &[("to", "invalid")]).await?;
    }
    for (day, says) in
        [("2026-02-30", "no such day"), ("2201-01-01", "between 1970 and 2200"), ("30.02.2026", "as 2026-01-05")]
    {
        let answered = refused(&backend, &format!("from={day}"), &[("from", "invalid")]).await?;
        assert!(message(&answered[0])?.contains(says), "{day}: {}", answered[0].text);
    }
    refused(&backend, "from=x&to=y&tz=z", &[("tz", "invalid"), ("from", "invalid"), ("to", "invalid")]).await?;
    Ok(())
}

#[tokio::test]
async fn a05_fifty_years_are_refused_stating_the_limit() -> Result<()> {
    let backend = Backend::empty().await?;
    let answered = refused(&backend, "from=1976-01-01&to=2026-01-01", &[("from", "range_too_large")]).await?;
    assert!(message(&answered[0])?.contains("3700 days"), "{}", answered[0].text);
    refused(&backend, "last=P50Y", &[("last", "range_too_large")]).await?;
    let days = "/v1/metrics/team/payments/velocity?from=2020-01-01&to=2026-01-01&interval=day";
    let answered = backend.ask(days, &[]).await?;
    assert_eq!(answered.refused(), [("interval".to_owned(), "range_too_large".to_owned())]);
    assert!(message(&answered)?.contains("1100 days"), "{}", answered.text);
    assert_eq!(backend.ask(&days.replace("=day", "=week"), &[]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a06_an_unknown_interval_is_refused_with_choices() -> Result<()> {
    let backend = Backend::empty().await?;
    for path in ["velocity", "lead-time"] {
        for interval in ["fortnight", "", "Week", "week,month"] {
            let path = format!("/v1/metrics/team/payments/{path}?interval={interval}");
            let answered = backend.ask(&path, &[]).await?;
            assert_eq!(answered.refused(), [("interval".to_owned(), "invalid".to_owned())], "{path}");
            assert_eq!(message(&answered)?, "one of day, week, month, quarter");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a07_an_unknown_time_zone_is_refused() -> Result<()> {
    let backend = Backend::empty().await?;
    for zone in ["Foo/Bar", "", "Europe/Oslo%00", "%2B02:00", "';%20select%201"] {
        refused(&backend, &format!("tz={zone}"), &[("tz", "invalid")]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a08_week_53_is_accepted_in_long_years_only() -> Result<()> {
    let backend = Backend::empty().await?;
    for week in ["2026-W54", "2025-W53", "2026-W00", "2026-W1", "2026W23", ""] {
        refused(&backend, &format!("week={week}"), &[("week", "invalid")]).await?;
    }
    for path in RANGES {
        let (status, answer) = backend.get(&format!("/v1/metrics/team/payments/{path}?week=2026-W53")).await?;
        assert_eq!(
            (status, &answer["meta"]["range"]),
            (200, &json!({ "from": "2026-12-28", "to": "2027-01-04" })),
            "{path}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a09_limits_outside_1_to_1000_are_refused() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    for path in ["/v1/metrics/team/payments/pull-requests", "/v1/collection/runs"] {
        for limit in ["0", "-1", "1001", "10001", "abc", "", "1e2", "%2B5", "18446744073709551617"] {
            let answered = backend.ask(&format!("{path}?limit={limit}"), &[]).await?;
            assert_eq!(answered.refused(), [("limit".to_owned(), "invalid".to_owned())], "{path} {limit}");
        }
        for limit in ["1", "1000"] {
            assert_eq!(backend.ask(&format!("{path}?limit={limit}"), &[]).await?.status, 200, "{path} {limit}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a11_an_unknown_parameter_is_refused_with_a_suggestion() -> Result<()> {
    let backend = Backend::empty().await?;
    let answered = refused(&backend, "form=2026-01-01", &[("form", "unknown")]).await?;
    assert_eq!(message(&answered[0])?, "unknown; did you mean `from`?");
    let answered = refused(&backend, "nonsense=1", &[("nonsense", "unknown")]).await?;
    insta::assert_snapshot!(message(&answered[2])?, @"unknown; known parameters: from, to, days, last, week, tz, repo, base, weighting");
    for path in
        ["/v1/teams", "/v1/teams/1", "/v1/collection/status", "/v1/definitions", "/healthz", "/health", "/v1/docs"]
    {
        let answered = backend.ask(&format!("{path}?limit=1"), &[]).await?;
        assert_eq!(answered.refused(), [("limit".to_owned(), "unknown".to_owned())], "{path}");
        assert_eq!(message(&answered)?, "unknown; this path takes no parameters");
    }
    Ok(())
}

#[tokio::test]
async fn all_problems_of_a_request_are_reported_together() -> Result<()> {
    let (status, answer) =
        Backend::empty().await?.get("/v1/metrics/team/payments/velocity?form=2026-01-01&tz=Mars/Phobos").await?;
    assert_eq!(status, 400);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "error": {
        "code": "validation_error",
        "details": [
          {
            "message": "unknown; did you mean `from`?",
            "parameter": "form",
            "reason": "unknown"
          },
          {
            "message": "write an IANA name, for example Europe/Oslo",
            "parameter": "tz",
            "reason": "invalid"
          }
        ],
        "message": "The request is invalid; see details.",
        "trace_id": "TRACE"
      }
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn a12_a_repeated_parameter_is_refused() -> Result<()> {
    let backend = Backend::empty().await?;
    refused(&backend, "from=2026-01-01&from=2026-01-01", &[("from", "repeated")]).await?;
    refused(&backend, "tz=UTC&%74z=UTC", &[("tz", "repeated")]).await?;
    refused(&backend, "repo=acme/api&repo=acme/web", &[("repo", "repeated")]).await?;
    Ok(())
}

#[tokio::test]
async fn a13_two_ways_to_set_the_range_conflict() -> Result<()> {
    let backend = Backend::empty().await?;
    refused(&backend, "from=2026-01-01&last=P1M", &[("last", "exclusive")]).await?;
    refused(&backend, "to=2026-01-01&last=P1M", &[("last", "exclusive")]).await?;
    refused(&backend, "week=2026-W01&last=P1M", &[("last", "exclusive")]).await?;
    refused(&backend, "week=2026-W01&from=2026-01-01", &[("week", "exclusive")]).await?;
    Ok(())
}

#[tokio::test]
async fn a14_oversized_queries_and_lists_are_refused() -> Result<()> {
    let backend = Backend::empty().await?;
    let names = |count: usize| (0..count).map(|number| format!("a/r{number}")).collect::<Vec<_>>().join(",");
    refused(&backend, &format!("base={}", "x".repeat(20_000)), &[("query", "too_long")]).await?;
    refused(&backend, &format!("repo={}", names(5_000)), &[("query", "too_long")]).await?;
    refused(&backend, &format!("repo={}", names(51)), &[("repo", "too_many")]).await?;
    refused(&backend, &format!("repo={}", names(50)), &[("repo", "unknown_repository"); 50]).await?;
    Ok(())
}

/// Every path.
const ALL_PATHS: [&str; 15] = [
    "/v1/teams",
    "/v1/teams/payments",
    "/v1/metrics/team/payments/velocity",
    "/v1/metrics/team/payments/lead-time",
    "/v1/metrics/team/payments/summary",
    "/v1/metrics/team/payments/pull-requests",
    "/v1/collection/status",
    "/v1/collection/runs",
    "/v1/definitions",
    "/v1/openapi.json",
    "/v1/docs",
    "/v1/healthz",
    "/v1/health",
    "/healthz",
    "/health",
];

#[tokio::test]
async fn a15_other_methods_are_refused() -> Result<()> {
    let backend = Backend::empty().await?;
    let router = backend.router(None);
    for path in ALL_PATHS {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            let answered = ask(&router, method, path, &[]).await?;
            assert_eq!((answered.status, answered.code().as_str()), (405, "method_not_allowed"), "{method} {path}");
            assert_eq!(answered.header("allow"), "GET,HEAD", "{method} {path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn head_is_get_without_a_body() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let router = backend.router(None);
    for path in ALL_PATHS.into_iter().chain([
        "/v1/teams?limit=1",
        "/v1/nothing",
        "/v1/metrics/team/payments/velocity?format=csv",
    ]) {
        let (get, head) = (ask(&router, "GET", path, &[]).await?, ask(&router, "HEAD", path, &[]).await?);
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        assert!(!get.text.is_empty(), "{path}");
        assert_eq!(head.headers, get.headers, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a16_an_unknown_format_is_not_acceptable() -> Result<()> {
    let backend = Backend::empty().await?;
    for path in ALL_PATHS {
        let answered = backend.ask(path, &[("accept", "application/xml")]).await?;
        assert_eq!((answered.status, answered.code().as_str()), (406, "not_acceptable"), "{path}");
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(backend.ask(path, &[("accept", browser)]).await?.status, 200, "{path}");
    }
    for path in ["/v1/teams", "/v1/metrics/team/payments/summary", "/v1/collection/runs"] {
        assert_eq!(backend.ask(path, &[("accept", "text/csv")]).await?.status, 406, "{path} is not a table");
    }
    Ok(())
}

#[tokio::test]
async fn accepting_only_problem_details_still_gets_answers() -> Result<()> {
    let backend = Backend::empty().await?;
    for path in ALL_PATHS.into_iter().filter(|path| *path != "/v1/docs") {
        let answered = backend.ask(path, &[("accept", "application/problem+json")]).await?;
        assert_eq!((answered.status, answered.header("content-type")), (200, "application/json"), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a30_no_pull_requests_give_zeros_nulls_and_warning() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let nothing = json!({ "n": 0, "weight": 0.0, "mean_hours": null, "p50_hours": null, "p50_interval_hours": null, "p75_hours": null, "p90_hours": null, "p95_hours": null });
    for path in ["velocity", "lead-time"] {
        let (status, answer) =
            backend.get(&format!("/v1/metrics/team/nobody/{path}?from=2026-06-01&to=2026-06-15&interval=week")).await?;
        assert_eq!((status, answer["data"]["buckets"].as_array().map(Vec::len)), (200, Some(2)), "{path}");
        for counts in [&answer["data"]["total"], &answer["data"]["buckets"][0], &answer["data"]["buckets"][1]] {
            assert_eq!((&counts["prs_merged"], &counts["prs_merged_weighted"]), (&json!(0), &json!(0.0)));
            assert_eq!([&counts["cycle_time"], &counts["phases"]["review"]], [&nothing, &nothing]);
        }
        let warnings = answer["meta"]["warnings"].to_string();
        assert!(warnings.contains("no_data: no pull request was merged in the range"), "{warnings}");
    }
    Ok(())
}

#[tokio::test]
async fn a33_line_breaks_in_a_filter_are_refused() -> Result<()> {
    let backend = Backend::empty().await?;
    for answered in refused(&backend, "repo=acme/api%0d%0aX-Evil:%201", &[("repo", "invalid")])
        .await?
        .into_iter()
        .chain(refused(&backend, "base=main%0d%0aX-Evil:%201", &[("base", "invalid")]).await?)
        .chain(refused(&backend, "%0d%0aX-Evil:%201=1", &[("X-Evil: 1", "unknown")]).await?)
    {
        assert_eq!(answered.headers.get("x-evil"), None);
        let reflected =
            answered.headers.iter().filter(|(_, value)| String::from_utf8_lossy(value.as_bytes()).contains("Evil"));
        assert_eq!(reflected.count(), 0, "{:?}", answered.headers);
    }
    Ok(())
}

/// A response that two requests must have in common.
async fn data(router: &Router, path: &str, headers: &[(&str, &str)]) -> Result<(u16, Value)> {
    let answered = ask(router, "GET", path, headers).await?;
    Ok((answered.status, answered.json()?))
}

#[tokio::test]
async fn a34_method_overrides_and_forwarded_addresses_are_ignored() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let router = backend.router(None);
    let path = "/v1/metrics/team/payments/velocity?week=2026-W24";
    let plain = data(&router, path, &[]).await?;
    for (name, value) in [
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "PUT"),
        ("x-method-override", "POST"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-prefix", "/v2"),
        ("x-forwarded-for", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1;host=evil.example"),
        ("x-original-url", "/v1/collection/status"),
        ("x-rewrite-url", "/v1/collection/status"),
        ("host", "evil.example"),
    ] {
        assert_eq!(data(&router, path, &[(name, value)]).await?, plain, "{name}");
    }
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        assert_eq!(ask(&router, "POST", path, &[(name, "GET")]).await?.status, 405, "{name}");
    }
    Ok(())
}
