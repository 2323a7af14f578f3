//! The state of the collection, the definitions, and the health.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use common::{Answered, Backend, KEY, PRIVACY, TEAMS, ask, history, keys};
use mergeline_api::{Api, ApiKeys, Scope, router};
use mergeline_domain::metrics::stale_after;
use mergeline_fake_github::{at, pr};
use mergeline_store::{Reason, RepositoryResult, ResultState};
use mergeline_test_support::PythonTool;
use serde_json::{Value, json};

/// One repository is complete, one fails, one is deferred in the middle of its backfill, and one is new and was
/// renamed.
async fn backend() -> Result<Backend> {
    let teams = |repositories: &str| {
        format!(
            "{{ version: 1, repositories: [{repositories}], teams: [{{ slug: payments, members: [{{ github: ana }}] }}] }}"
        )
    };
    let backend = Backend::with_teams(&teams("acme/api")).await?;
    backend.keep(&history()).await?;
    backend.add_details(&common::details(&history())).await?;
    backend.apply(&teams("acme/api, acme/docs, acme/old, acme/web")).await?;
    let snapshot = backend.store.snapshot().await?.context("configured")?;
    let run = backend.store.start_run(snapshot.revision, 3, &[], at("2026-06-17T11:00:00Z")).await?;
    let reason = |code, message: &str| Some(Reason { code, message: message.to_owned() });
    let until = Some(at("2026-06-17T13:00:00Z"));
    let results = [
        ("acme/api", RepositoryResult { requests: 1, is_unchanged: true, ..RepositoryResult::default() }),
        (
            "acme/docs",
            RepositoryResult {
                state: ResultState::Deferred,
                reason: reason("rate_limited", "GitHub's limit is reached"),
                deferred_until: until,
                requests: 3,
                listed: 200,
                kept: 10,
                skipped_not_a_member: 190,
                changed: 10,
                ..RepositoryResult::default()
            },
        ),
        (
            "acme/old",
            RepositoryResult {
                state: ResultState::Failed,
                reason: reason("repo_not_accessible", "GitHub shows no such repository to the token"),
                ..RepositoryResult::default()
            },
        ),
    ];
    for (name, result) in &results {
        let repository = snapshot.repositories.iter().find(|it| it.name.as_str() == *name).context("configured")?;
        backend.store.record_result(run, repository.id, at("2026-06-17T11:00:00Z"), result).await?;
    }
    backend.store.settle_run(run, at("2026-06-17T11:01:00Z")).await?;
    sqlx::raw_sql(
        "update repositories set backfill_order = 'creation', backfill_rows = 2 * page_size, backfill_since = '2026-01-01' where name = 'acme/docs';
        update repositories set failures = 1, retry_at = '2026-06-17 12:01Z' where name = 'acme/old';
        update repositories set current_name = 'acme/site' where name = 'acme/web';
        insert into quarantined_pull_requests (repository_id, number, reason, first_seen_at, last_tried_at)
        values (1, 99, 'no number', '2026-06-17', '2026-06-17');",
    )
    .execute(&backend.database.pool().await?)
    .await?;
    Ok(backend)
}

#[tokio::test]
async fn the_status_explains_each_stale_repository() -> Result<()> {
    let (status, answer) = backend().await?.get("/v1/collection/status").await?;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer);
    Ok(())
}

#[tokio::test]
async fn metrics_name_failing_and_incomplete_repositories() -> Result<()> {
    let (_, answer) = backend().await?.get("/v1/metrics/team/payments/velocity?week=2026-W24").await?;
    assert_eq!(
        answer["meta"]["coverage"]["repositories"],
        json!({
            "collected": 1, "failing": ["acme/old"], "pending": ["acme/docs", "acme/old", "acme/site"],
            "never_collected": ["acme/docs", "acme/old", "acme/site"],
            "counts": { "failing": 1, "pending": 3, "never_collected": 3 }
        })
    );
    insta::assert_json_snapshot!(answer["meta"]["warnings"], @r#"
    [
      "never_collected: acme/docs, acme/old, acme/site were never fully collected: what is missing is not counted; see coverage",
      "quarantined: 1 pull request that may belong to the range could not be read and is not counted",
      "partial_coverage: the last collection of acme/old failed; see coverage",
      "merged_before_creation: imported pull requests count, but have no duration",
      "details_pending: commits and reviews of some merged pull requests were not read, so they have no phases yet"
    ]
    "#);
    Ok(())
}

#[tokio::test]
async fn runs_are_paged_newest_first() -> Result<()> {
    let backend = backend().await?;
    let changed = RepositoryResult {
        requests: 4,
        graphql_requests: 1,
        graphql_points: 2,
        listed: 120,
        kept: 7,
        skipped_bot: 113,
        changed: 7,
        enriched: 7,
        ..RepositoryResult::default()
    };
    backend.run("2026-06-17T11:30:00Z", &changed).await?;
    let snapshot = backend.store.snapshot().await?.context("configured")?;
    let problems = ["acme/*: GitHub lists nothing for `acme`".to_owned()];
    backend.store.start_run(snapshot.revision, 4, &problems, at("2026-06-17T11:59:00Z")).await?;
    let (_, mut first) = backend.get("/v1/collection/runs?limit=2").await?;
    let cursor = first["meta"]["next_cursor"].as_str().context("a second page")?.to_owned();
    first["meta"]["next_cursor"] = json!("CURSOR");
    insta::assert_json_snapshot!(first);
    let (_, second) = backend.get(&format!("/v1/collection/runs?limit=2&cursor={cursor}")).await?;
    insta::assert_json_snapshot!(second, @r#"
    {
      "data": [
        {
          "changed": 10,
          "deferred": 1,
          "failed": 1,
          "finished_at": "2026-06-17T11:01:00Z",
          "graphql_points": 0,
          "id": 1,
          "kept": 10,
          "listed": 200,
          "planned": 3,
          "problems": [],
          "requests": 4,
          "started_at": "2026-06-17T11:00:00Z",
          "state": "partial"
        }
      ],
      "meta": {
        "count": 1,
        "next_cursor": null
      },
      "trace_id": "TRACE"
    }
    "#);
    let (_, whole) = backend.get("/v1/collection/runs").await?;
    assert_eq!((whole["data"].as_array().map(Vec::len), &whole["meta"]["next_cursor"]), (Some(3), &Value::Null));
    Ok(())
}

#[tokio::test]
async fn definitions_explain_every_number() -> Result<()> {
    let answered = Backend::empty().await?.ask("/v1/definitions", &[]).await?;
    assert_eq!(answered.status, 200);
    insta::assert_json_snapshot!(answered.json()?);
    Ok(())
}

#[tokio::test]
async fn every_named_definition_exists() -> Result<()> {
    let backend = Backend::empty().await?;
    let (_, defined) = backend.get("/v1/definitions").await?;
    let ids: Vec<&Value> = defined["data"].as_array().into_iter().flatten().map(|it| &it["id"]).collect();
    for path in ["velocity", "lead-time", "summary", "pull-requests"] {
        let (_, answer) = backend.get(&format!("/v1/metrics/team/payments/{path}")).await?;
        assert!(ids.contains(&&answer["meta"]["definition"]), "{path}: {}", answer["meta"]["definition"]);
    }
    Ok(())
}

/// The health at a chosen time, with and without the version in the path.
async fn health(backend: &Backend, clock: fn() -> DateTime<Utc>) -> Result<Answered> {
    let router = router(Api { clock, ..backend.api() });
    let answered = ask(&router, "GET", "/health", &[]).await?;
    let behind_stage = ask(&router, "GET", "/v1/health", &[]).await?;
    assert_eq!((answered.status, &answered.text), (behind_stage.status, &behind_stage.text));
    Ok(answered)
}

#[tokio::test]
async fn health_is_stale_nine_hours_after_a_collection() -> Result<()> {
    let backend = Backend::with(&[pr("acme/api", 1)]).await?;
    let answered = health(&backend, || at("2026-06-17T17:00:00Z")).await?;
    assert_eq!(answered.status, 200);
    insta::assert_snapshot!(answered.text, @r#"{"status":"ok","database":"ok","schema":"ok","data_as_of":"2026-06-17T08:00:00Z","age_hours":9.0}"#);
    let answered = health(&backend, || at("2026-06-17T17:00:01Z")).await?;
    assert_eq!((answered.status, &answered.json()?["status"]), (200, &json!("stale")));
    let answered = health(&backend, || at("2026-06-17T07:59:00Z")).await?;
    assert_eq!(answered.json()?["age_hours"], json!(0.0), "a clock that is behind must not give a negative age");
    Ok(())
}

#[tokio::test]
async fn numbers_are_stale_after_twice_the_collectors_interval_and_an_hour() -> Result<()> {
    let backend = Backend::with(&[pr("acme/api", 1)]).await?;
    // Collected at 8: seventeen hours later, to the second.
    for (clock, status) in
        [((|| at("2026-06-18T01:00:00Z")) as fn() -> DateTime<Utc>, "ok"), (|| at("2026-06-18T01:00:01Z"), "stale")]
    {
        let router = router(Api { stale_after: stale_after(8), clock, ..backend.api() });
        let answered = ask(&router, "GET", "/v1/health", &[]).await?;
        assert_eq!(answered.json()?["status"], json!(status));
        let velocity = ask(&router, "GET", "/v1/metrics/team/payments/velocity?last=P2W", &[]).await?.json()?;
        let warnings = velocity["meta"]["warnings"].to_string();
        assert_eq!(warnings.contains("after_collection"), status == "stale", "{warnings}");
    }
    Ok(())
}

#[tokio::test]
async fn health_is_stale_before_any_collection() -> Result<()> {
    let answered = health(&Backend::empty().await?, || at(common::NOW)).await?;
    assert_eq!(answered.status, 200);
    insta::assert_snapshot!(answered.text, @r#"{"status":"stale","database":"ok","schema":"ok","data_as_of":null,"age_hours":null}"#);
    Ok(())
}

#[tokio::test]
async fn liveness_needs_no_schema_or_database_unlike_health() -> Result<()> {
    let backend = Backend::empty().await?;
    sqlx::raw_sql("drop schema public cascade").execute(&backend.database.pool().await?).await?;
    let answered = health(&backend, || at(common::NOW)).await?;
    assert_eq!((answered.status, answered.header("cache-control")), (503, "no-store"));
    insta::assert_snapshot!(answered.text, @r#"{"status":"failing","database":"ok","schema":"outdated","data_as_of":null,"age_hours":null}"#);
    backend.reader.close().await;
    let answered = health(&backend, || at(common::NOW)).await?;
    assert_eq!(answered.status, 503);
    insta::assert_snapshot!(answered.text, @r#"{"status":"failing","database":"unavailable","schema":"unknown","data_as_of":null,"age_hours":null}"#);
    for path in ["/healthz", "/v1/healthz"] {
        let answered = backend.ask(path, &[]).await?;
        assert_eq!((answered.status, answered.text.as_str()), (200, r#"{"status":"ok"}"#), "{path}");
    }
    Ok(())
}

const PROMETHEUS: PythonTool = PythonTool {
    folder: "prometheus",
    requirements: "crates/api/tests/prometheus/requirements.txt",
    variable: "PROMETHEUS_PYTHON",
};

/// An exposition as Prometheus's own parser reads it.
struct Scraped(Value);

impl Scraped {
    /// Fails for a text that Prometheus would refuse.
    fn parse(text: &str) -> Result<Self> {
        let parser = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/prometheus/parse.py");
        let mut command = Command::new(PROMETHEUS.python()?);
        let mut child = command.arg(parser).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        child.stdin.take().context("a pipe")?.write_all(text.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "not an exposition: {text}");
        Ok(Self(serde_json::from_slice(&output.stdout)?))
    }

    /// The values of a gauge, each with its labels.
    fn gauge(&self, name: &str) -> Vec<(&Value, &Value)> {
        let samples = self.0["samples"].as_array().into_iter().flatten();
        samples.filter(|sample| sample[0] == name).map(|sample| (&sample[1], &sample[2])).collect()
    }

    /// The only sample with these labels; null if there is none.
    fn value(&self, name: &str, labels: &Value) -> Value {
        let mut found = self.gauge(name).into_iter().filter(|(own, _)| *own == labels);
        found.next().map_or(Value::Null, |(_, value)| value.clone())
    }

    /// The teams that something is said about.
    fn teams(&self) -> Vec<&str> {
        self.gauge("mergeline_team_info").iter().filter_map(|(labels, _)| labels["team"].as_str()).collect()
    }
}

#[tokio::test]
async fn prometheus_scrapes_what_the_api_answers() -> Result<()> {
    const HOSTILE: &str = "Pay\\nments \"},{ mergeline_data_stale 7 # HELP \\ 🦀";
    let teams = TEAMS.replace("name: Payments", &format!("name: {}", serde_json::to_string(HOSTILE)?));
    let backend = Backend::with_teams(&teams).await?;
    backend.keep(&history()).await?;
    backend.apply(&teams.replace("[acme/api]", "[acme/api, acme/legacy]")).await?;
    let router = router(Api { prometheus: true, ..backend.api() });
    let answered = ask(&router, "GET", "/metrics", &[]).await?;
    assert_eq!(answered.status, 200, "{}", answered.text);
    assert_eq!(answered.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let scraped = Scraped::parse(&answered.text)?;
    let labels = json!({ "team": "payments", "name": HOSTILE });
    assert_eq!(scraped.value("mergeline_team_info", &labels), 1.0);
    assert_eq!(scraped.value("mergeline_data_stale", &json!({})), 0.0);
    assert_eq!(scraped.value("mergeline_data_age_seconds", &json!({})), 4.0 * 3_600.0);
    let as_of = scraped.value("mergeline_data_as_of_timestamp_seconds", &json!({}));
    assert_eq!(as_of, at("2026-06-17T08:00:00Z").timestamp());
    for (name, value) in [("collected", 1.0), ("failing", 0.0), ("pending", 1.0), ("never_collected", 1.0)] {
        assert_eq!(scraped.value(&format!("mergeline_repositories_{name}"), &json!({})), value, "{name}");
    }
    assert_eq!(scraped.value("mergeline_pull_requests_quarantined", &json!({})), 0.0);
    for (name, definition) in [
        ("mergeline_team_prs_merged", "velocity@1"),
        ("mergeline_team_cycle_time_seconds", "pr_cycle_time@1"),
        ("mergeline_team_change_lead_time_seconds", "change_lead_time@1"),
    ] {
        assert!(scraped.0["help"][name].as_str().is_some_and(|help| help.contains(definition)), "{name}");
    }
    for team in ["payments", "platform", "nobody"] {
        let (_, answer) = backend
            .get(&format!("/v1/metrics/team/{team}/lead-time?from=2026-05-18&to=2026-06-15&interval=week"))
            .await?;
        let data = &answer["data"];
        for (weeks, numbers) in [("1", &data["buckets"][3]), ("4", &data["total"])] {
            let labels = json!({ "team": team, "weeks": weeks });
            for (name, field) in [("merged", "prs_merged"), ("merged_weighted", "prs_merged_weighted")] {
                let found = scraped.value(&format!("mergeline_team_prs_{name}"), &labels);
                assert_eq!(found.as_f64(), numbers[field].as_f64(), "{team} {weeks} {name}");
            }
            let is_complete = scraped.value("mergeline_team_complete", &labels);
            assert_eq!(is_complete == 1.0, numbers["complete"] == json!(true), "{team} {weeks}");
            for (quantile, field) in
                [("0.5", "p50_hours"), ("0.75", "p75_hours"), ("0.9", "p90_hours"), ("0.95", "p95_hours")]
            {
                let labels = json!({ "team": team, "weeks": weeks, "quantile": quantile });
                let found = scraped.value("mergeline_team_cycle_time_seconds", &labels).as_f64();
                let expected = numbers["cycle_time"][field].as_f64().map(|hours| hours * 3_600.0);
                let is_equal = found.zip(expected).is_some_and(|(found, expected)| (found - expected).abs() < 0.001);
                assert!(is_equal || found == expected, "{team} {weeks} {quantile}: {found:?}, not {expected:?}");
            }
        }
        let (_, summary) = backend.get(&format!("/v1/metrics/team/{team}/summary")).await?;
        for (name, field) in [("open", "n"), ("open_weighted", "weight")] {
            let found = scraped.value(&format!("mergeline_team_prs_{name}"), &json!({ "team": team }));
            assert_eq!(found.as_f64(), summary["data"]["open"][field].as_f64(), "{team} {name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn prometheus_sees_no_durations_of_small_groups() -> Result<()> {
    let backend = Backend::with_teams(&TEAMS.replace("version: 1", &format!("version: 1\n{PRIVACY}"))).await?;
    backend.keep(&history()).await?;
    let router = router(Api { prometheus: true, ..backend.api() });
    let scraped = Scraped::parse(&ask(&router, "GET", "/metrics", &[]).await?.text)?;
    let shown: Vec<&Value> =
        scraped.gauge("mergeline_team_cycle_time_seconds").into_iter().map(|(labels, _)| &labels["team"]).collect();
    assert!(shown.contains(&&json!("payments")), "two people merged in its last week");
    assert!(!shown.contains(&&json!("platform")), "one person merged");
    let labels = json!({ "team": "platform", "weeks": "1" });
    assert_eq!(scraped.value("mergeline_team_prs_merged", &labels), 1.0, "counts are shown, as by the API");
    Ok(())
}

#[tokio::test]
async fn prometheus_is_off_unless_wanted_and_takes_a_key() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let off = router(Api { keys: Some(ApiKeys::single(KEY)), ..backend.api() });
    assert_eq!(ask(&off, "GET", "/metrics", &[("x-api-key", KEY)]).await?.status, 404);
    let (keys, texts) =
        keys(&[(Scope::MetricsRead, &[]), (Scope::MetricsRead, &["platform"]), (Scope::EventsWrite, &[])])?;
    let router = router(Api { prometheus: true, keys: Some(keys), ..backend.api() });
    let with = async |key: &str| ask(&router, "GET", "/metrics", &[("x-api-key", key)]).await;
    assert_eq!(ask(&router, "GET", "/metrics", &[]).await?.status, 401);
    assert_eq!(with("wrong").await?.status, 401);
    assert_eq!(with(&texts[2]).await?.status, 403);
    let all = Scraped::parse(&with(&texts[0]).await?.text)?;
    assert_eq!(all.teams(), ["nobody", "payments", "platform"]);
    let limited = Scraped::parse(&with(&texts[1]).await?.text)?;
    assert_eq!(limited.teams(), ["platform"]);
    for (labels, _) in limited.gauge("mergeline_team_prs_merged") {
        assert_eq!(labels["team"], "platform");
    }
    assert_eq!(ask(&router, "POST", "/metrics", &[("x-api-key", texts[0].as_str())]).await?.status, 405);
    Ok(())
}
