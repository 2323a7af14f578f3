//! The state of the collection, the definitions, and the health.

mod common;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use common::{Answered, Backend, ask, history};
use mergeline_api::{Api, router};
use mergeline_domain::metrics::stale_after;
use mergeline_fake_github::{at, pr};
use mergeline_store::{Reason, RepositoryResult, ResultState};
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
