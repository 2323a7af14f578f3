//! Authorization: scopes, teams, and what is open to everyone.

mod common;

use anyhow::Result;
use axum::Router;
use common::{Answered, Backend, KEY, ask, history, keys};
use mergeline_api::{AllowedHosts, AllowedOrigins, Api, ApiKeys, Scope, router};
use serde_json::json;

/// Each path that needs a key, with the required scope.
const CHECKED: [(&str, Scope); 27] = [
    ("/v1/teams", Scope::MetricsRead),
    ("/v1/teams/payments", Scope::MetricsRead),
    ("/v1/metrics/team/payments/velocity", Scope::MetricsRead),
    ("/v1/metrics/team/payments/lead-time", Scope::MetricsRead),
    ("/v1/metrics/team/payments/summary", Scope::MetricsRead),
    ("/v1/metrics/team/payments/pull-requests", Scope::PrsRead),
    ("/v1/metrics/team/payments/change", Scope::MetricsRead),
    ("/v1/metrics/team/payments/forecast", Scope::MetricsRead),
    ("/v1/metrics/team/payments/time", Scope::MetricsRead),
    ("/v1/metrics/team/payments/reviews", Scope::MetricsRead),
    ("/v1/metrics/team/payments/custom", Scope::MetricsRead),
    ("/v1/teams/payments/goals", Scope::MetricsRead),
    ("/v1/collection/status", Scope::Admin),
    ("/v1/collection/runs", Scope::Admin),
    ("/v1/metrics/summary", Scope::MetricsRead),
    ("/v1/me", Scope::MetricsRead),
    ("/v1/coverage", Scope::MetricsRead),
    ("/v1/metrics/team/payments/dora", Scope::MetricsRead),
    ("/v1/metrics/organization/velocity", Scope::MetricsRead),
    ("/v1/metrics/organization/lead-time", Scope::MetricsRead),
    ("/v1/metrics/dora", Scope::MetricsRead),
    ("/v1/metrics/service/acme.api/dora", Scope::MetricsRead),
    ("/v1/services", Scope::MetricsRead),
    ("/v1/state", Scope::MetricsRead),
    ("/v1/deployments", Scope::MetricsRead),
    ("/v1/incidents", Scope::MetricsRead),
    ("/v1/waiting", Scope::PrsRead),
];
/// How many of these, the last ones, do not belong to a team.
const OF_ALL: usize = 9;
const OPEN: [&str; 8] = [
    "/healthz",
    "/health",
    "/v1/healthz",
    "/v1/health",
    "/v1/openapi.json",
    "/v1/docs",
    "/v1/definitions",
    "/v1/benchmarks",
];

/// A backend with history behind keys with these scopes, limited to these teams, and the texts of the keys.
async fn guarded(wanted: &[(Scope, &[&str])]) -> Result<(Backend, Router, Vec<String>)> {
    let backend = Backend::with(&history()).await?;
    let (keys, texts) = keys(wanted)?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    Ok((backend, router, texts))
}

async fn with_key(router: &Router, path: &str, key: &str) -> Result<Answered> {
    ask(router, "GET", path, &[("x-api-key", key)]).await
}

#[tokio::test]
async fn a_key_learns_what_it_may_do() -> Result<()> {
    let (_backend, router, texts) =
        guarded(&[(Scope::PrsRead, &["payments"]), (Scope::Admin, &[]), (Scope::EventsWrite, &[])]).await?;
    let me = async |key: &str| with_key(&router, "/v1/me", key).await?.json();
    let limited = me(&texts[0]).await?;
    assert_eq!(limited["data"]["scopes"], json!(["metrics:read", "prs:read"]));
    assert_eq!(limited["data"]["teams"], json!(["payments"]));
    let admin = me(&texts[1]).await?;
    assert_eq!(admin["data"]["scopes"], json!(["metrics:read", "prs:read", "admin", "events:write"]));
    assert_eq!(admin["data"]["teams"], json!(null));
    assert_eq!(with_key(&router, "/v1/me", &texts[2]).await?.status, 403, "a key that posts reads nothing");
    Ok(())
}

#[tokio::test]
async fn the_overview_shows_a_limited_key_its_teams_only() -> Result<()> {
    let (_backend, router, texts) = guarded(&[(Scope::MetricsRead, &["platform"]), (Scope::MetricsRead, &[])]).await?;
    let teams = async |key: &str| -> Result<Vec<String>> {
        let answer = with_key(&router, "/v1/metrics/summary", key).await?.json()?;
        let teams = answer["data"]["teams"].as_array().cloned().unwrap_or_default();
        Ok(teams.iter().filter_map(|team| team["team"]["slug"].as_str()).map(str::to_owned).collect())
    };
    assert_eq!(teams(&texts[0]).await?, ["platform"]);
    assert_eq!(teams(&texts[1]).await?, ["nobody", "payments", "platform"], "in alphabetical order");
    Ok(())
}

#[tokio::test]
async fn each_scope_opens_its_and_narrower_paths() -> Result<()> {
    let (_backend, router, texts) = guarded(&Scope::ALL.map(|scope| (scope, &[][..]))).await?;
    for (key, held) in texts.iter().zip(Scope::ALL) {
        for (path, needed) in CHECKED {
            let answered = with_key(&router, path, key).await?;
            let expected = if held.implies(needed) { (200, "") } else { (403, "insufficient_scope") };
            assert_eq!((answered.status, answered.code().as_str()), expected, "{held} at {path}");
            assert!(
                held.implies(needed) || answered.text.contains(needed.as_str()),
                "the response must name the missing scope"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn a17_a_missing_or_wrong_key_gets_401() -> Result<()> {
    let backend = Backend::empty().await?;
    let router = backend.router(Some(KEY));
    for (path, _) in CHECKED {
        let answered = ask(&router, "GET", path, &[]).await?;
        assert_eq!((answered.status, answered.code().as_str()), (401, "unauthorized"), "{path}");
        assert_eq!(answered.header("www-authenticate"), "ApiKey realm=\"mergeline\"", "RFC 9110, 15.5.2");
        for wrong in ["", "wrong", &KEY[1..], &format!("{KEY}x"), &KEY.to_uppercase()] {
            let answered = with_key(&router, path, wrong).await?;
            assert_eq!((answered.status, answered.code().as_str()), (401, "unauthorized"), "{path} {wrong}");
            assert_eq!(answered.header("www-authenticate"), "ApiKey realm=\"mergeline\"", "{path} {wrong}");
        }
        assert_eq!(with_key(&router, path, KEY).await?.status, 200, "{path}");
        let bearer = format!("Bearer {KEY}");
        assert_eq!(ask(&router, "GET", path, &[("authorization", &bearer)]).await?.status, 401, "{path}");
        assert_eq!(ask(&router, "GET", &format!("{path}?x-api-key={KEY}"), &[]).await?.status, 401, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_key_learns_nothing_about_its_request() -> Result<()> {
    let backend = Backend::empty().await?;
    let router = backend.router(Some(KEY));
    for path in ["/v1/metrics/team/unknown/velocity", "/v1/metrics/team/payments/velocity?form=1", "/v1/teams/0"] {
        assert_eq!(ask(&router, "GET", path, &[]).await?.code(), "unauthorized", "{path}");
        assert_eq!(with_key(&router, path, "wrong").await?.code(), "unauthorized", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn open_paths_ignore_keys() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let router = backend.router(Some(KEY));
    for path in OPEN {
        assert_eq!(ask(&router, "GET", path, &[]).await?.status, 200, "{path}");
        assert_eq!(with_key(&router, path, "wrong").await?.status, 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_that_is_limited_to_teams_sees_nothing_of_the_whole() -> Result<()> {
    let (_backend, router, texts) = guarded(&[(Scope::PrsRead, &["payments"])]).await?;
    for (path, _) in &CHECKED[CHECKED.len() - OF_ALL..] {
        let answered = with_key(&router, path, &texts[0]).await?;
        assert_eq!((answered.status, answered.code().as_str()), (403, "limited_to_teams"), "{path}");
    }
    for path in ["/v1/deployments", "/v1/incidents", "/v1/waiting"] {
        assert_eq!(with_key(&router, &format!("{path}?team=payments"), &texts[0]).await?.status, 200, "{path}");
        let other = with_key(&router, &format!("{path}?team=platform"), &texts[0]).await?;
        assert_eq!(other.refused(), [("team".to_owned(), "unknown_team".to_owned())], "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a18_other_teams_do_not_exist_for_limited_keys() -> Result<()> {
    let (_backend, router, texts) = guarded(&[(Scope::PrsRead, &["payments"])]).await?;
    for (path, _) in &CHECKED[1..9] {
        assert_eq!(with_key(&router, path, &texts[0]).await?.status, 200, "{path}");
        // By slug and by number: the answer only repeats what was asked for.
        for (other, unknown) in [("platform", "nosuches"), ("2", "9")] {
            let hidden = with_key(&router, &path.replace("payments", other), &texts[0]).await?;
            let absent = with_key(&router, &path.replace("payments", unknown), &texts[0]).await?;
            let message = |name: &str| {
                format!("There is no team `{name}` that you may see; GET /v1/teams lists those that you may see.")
            };
            let mut expected = absent.json()?;
            assert_eq!(expected["error"]["message"], message(unknown), "{path}");
            expected["error"]["message"] = message(other).into();
            assert_eq!((hidden.status, hidden.json()?), (404, expected), "{path} {other}");
            assert_eq!(hidden.headers, absent.headers, "{path} {other}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_limited_key_lists_only_its_teams() -> Result<()> {
    let (_backend, router, texts) =
        guarded(&[(Scope::MetricsRead, &["platform"]), (Scope::Admin, &["nobody", "payments", "not-there"])]).await?;
    for (key, expected) in texts.iter().zip([&["platform"][..], &["nobody", "payments"]]) {
        let answer = with_key(&router, "/v1/teams", key).await?.json()?;
        let slugs: Vec<&str> =
            answer["data"].as_array().into_iter().flatten().filter_map(|team| team["slug"].as_str()).collect();
        assert_eq!((slugs.as_slice(), &answer["meta"]["count"]), (expected, &json!(expected.len())));
    }
    Ok(())
}

#[tokio::test]
async fn limited_keys_cannot_see_the_collection() -> Result<()> {
    let (_backend, router, texts) = guarded(&[(Scope::Admin, &["payments"]), (Scope::PrsRead, &["payments"])]).await?;
    for path in ["/v1/collection/status", "/v1/collection/runs"] {
        for (key, code) in texts.iter().zip(["limited_to_teams", "insufficient_scope"]) {
            let answered = with_key(&router, path, key).await?;
            assert_eq!((answered.status, answered.code().as_str()), (403, code), "{path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn only_pull_request_keys_see_names_of_people() -> Result<()> {
    let (_backend, router, texts) = guarded(&[(Scope::MetricsRead, &[]), (Scope::PrsRead, &[])]).await?;
    let logins = async |key: &str| -> Result<Vec<serde_json::Value>> {
        let answer = with_key(&router, "/v1/teams/payments", key).await?.json()?;
        Ok(answer["data"]["memberships"].as_array().into_iter().flatten().map(|it| it["login"].clone()).collect())
    };
    assert_eq!(logins(&texts[0]).await?, [json!(null), json!(null)]);
    assert_eq!(logins(&texts[1]).await?, [json!("ana"), json!("bob")]);
    let names_somebody = |text: &str| text.contains("ana\"") || text.contains("bob\"") || text.contains(",ana,");
    for (path, _) in CHECKED {
        let text = with_key(&router, path, &texts[0]).await?.text;
        assert!(!names_somebody(&text), "{path}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn team_metrics_never_name_contributors() -> Result<()> {
    let (_backend, router, texts) = guarded(&[(Scope::Admin, &[])]).await?;
    for path in ["velocity", "velocity?format=csv", "lead-time", "lead-time?format=csv", "summary"] {
        let path = format!("/v1/metrics/team/payments/{path}");
        let text = with_key(&router, &path, &texts[0]).await?.text;
        assert!(text.contains("contributors"), "{path}");
        assert!(!text.contains("ana\"") && !text.contains("bob") && !text.contains(",ana"), "{path}: {text}");
    }
    Ok(())
}

#[tokio::test]
async fn dns_rebinding_without_a_key_gets_nothing() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let open = router(Api { hosts: Some(AllowedHosts::default()), ..backend.api() });
    let guarded =
        router(Api { hosts: Some(AllowedHosts::default()), keys: Some(ApiKeys::single(KEY)), ..backend.api() });
    let foreign = [("host", "evil.example:8787")];
    let paths = CHECKED.map(|(path, _)| path).into_iter().chain(OPEN).chain(["/v1/nothing", "/"]);
    for path in paths {
        let answered = ask(&open, "GET", path, &foreign).await?;
        assert_eq!((answered.status, answered.code().as_str()), (403, "host_not_allowed"), "{path}");
        assert!(answered.text.contains("ALLOWED_HOSTS"), "no advice: {}", answered.text);
        for page in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            let answered = ask(&open, "GET", path, &[("host", "127.0.0.1:8787"), page]).await?;
            assert_eq!((answered.status, answered.code().as_str()), (403, "cross_site"), "{path} {page:?}");
        }
    }
    for (path, _) in CHECKED {
        for host in ["127.0.0.1:8787", "localhost:8787", "[::1]:8787", "192.0.2.7"] {
            assert_eq!(ask(&open, "GET", path, &[("host", host)]).await?.status, 200, "{path} {host}");
        }
        assert_eq!(ask(&guarded, "GET", path, &[foreign[0], ("x-api-key", KEY)]).await?.status, 200, "{path}");
        assert_eq!(ask(&guarded, "GET", path, &foreign).await?.status, 401, "{path}");
    }
    Ok(())
}

const FRIEND: &str = "https://dashboards.example.com";
const STRANGER: &str = "https://evil.example";

fn friends() -> AllowedOrigins {
    AllowedOrigins::from_vars(|_| Some(FRIEND.to_owned())).expect("an origin")
}

/// The headers of CORS, with what they allow.
fn cors(answered: &Answered) -> Vec<(&str, &str)> {
    let headers = answered.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap_or_default()));
    headers.filter(|(name, _)| name.starts_with("access-control-")).collect()
}

/// What an answer depends on.
fn vary(answered: &Answered) -> String {
    let values = answered.headers.get_all("vary").iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn only_pages_of_allowed_origins_read_with_a_key() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let router = router(Api { keys: Some(ApiKeys::single(KEY)), origins: friends(), ..backend.api() });
    for path in CHECKED.map(|(path, _)| path).into_iter().chain(OPEN).filter(|path| path.starts_with("/v1/")) {
        let preflight = async |origin: &str| {
            let headers = [
                ("origin", origin),
                ("access-control-request-method", "GET"),
                ("access-control-request-headers", "x-api-key"),
            ];
            ask(&router, "OPTIONS", path, &headers).await
        };
        let answered = preflight(FRIEND).await?;
        assert_eq!(answered.status, 200, "{path}: a browser sends no key with it");
        assert_eq!(answered.header("access-control-allow-origin"), FRIEND, "{path}");
        assert_eq!(answered.header("access-control-allow-methods"), "GET,HEAD", "{path}");
        assert!(answered.header("access-control-allow-headers").contains("x-api-key"), "{path}");
        assert!(vary(&answered).contains("origin"), "{path}");
        let answered = preflight(STRANGER).await?;
        assert_eq!(answered.header("access-control-allow-origin"), "", "{path}");
        for (key, status) in [(KEY, 200), ("wrong", 401)] {
            let asked = async |origin: &str| ask(&router, "GET", path, &[("origin", origin), ("x-api-key", key)]).await;
            let answered = asked(FRIEND).await?;
            assert!(answered.status == status || OPEN.contains(&path), "{path}");
            assert_eq!(answered.header("access-control-allow-origin"), FRIEND, "{path}");
            assert!(answered.header("access-control-expose-headers").contains("etag"), "{path}");
            assert!(["origin", "accept", "x-api-key"].iter().all(|it| vary(&answered).contains(it)), "{path}");
            assert_eq!(answered.header("access-control-allow-credentials"), "", "{path}");
            let answered = asked(STRANGER).await?;
            assert_eq!(answered.header("access-control-allow-origin"), "", "{path}");
            assert!(vary(&answered).contains("origin"), "{path}: a cache must not give it to others");
        }
    }
    Ok(())
}

#[tokio::test]
async fn without_allowed_origins_there_is_no_cors() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let router = backend.router(Some(KEY));
    for origin in [FRIEND, "null", "*", ""] {
        let answered = ask(&router, "GET", "/v1/teams", &[("origin", origin), ("x-api-key", KEY)]).await?;
        assert_eq!((answered.status, cors(&answered)), (200, Vec::new()), "{origin}");
        let headers = [("origin", origin), ("access-control-request-method", "GET")];
        let answered = ask(&router, "OPTIONS", "/v1/teams", &headers).await?;
        assert_eq!((answered.status, cors(&answered)), (405, Vec::new()), "{origin}");
    }
    Ok(())
}

#[tokio::test]
async fn without_keys_an_allowed_origin_reads_and_posts_nothing() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let api = || Api { hosts: Some(AllowedHosts::default()), ..backend.api() };
    let router = router(Api { origins: friends(), ..api() });
    let local = ("host", "127.0.0.1:8787");
    let cross = ("sec-fetch-site", "cross-site");
    for (method, origin, status) in [
        ("GET", FRIEND, 200),
        ("OPTIONS", FRIEND, 200),
        ("POST", FRIEND, 403),
        ("GET", STRANGER, 403),
        ("OPTIONS", STRANGER, 403),
        ("GET", "https://dashboards.example.com.evil.example", 403),
        ("GET", "null", 403),
    ] {
        let path = if method == "POST" { "/v1/deployments" } else { "/v1/teams" };
        let answered = ask(&router, method, path, &[local, cross, ("origin", origin)]).await?;
        assert_eq!(answered.status, status, "{method} {origin}");
    }
    let rebound = [("host", "evil.example"), ("origin", FRIEND)];
    assert_eq!(ask(&router, "GET", "/v1/teams", &rebound).await?.code(), "host_not_allowed");
    Ok(())
}
