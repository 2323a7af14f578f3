//! What was read and what was not. Unread data is never reported as complete or as zero.

mod common;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use common::{Backend, NOW, TEAMS, ask, details, history, keys};
use mergeline_api::{Api, Scope, router};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{at, pr};
use mergeline_store::ApplyOptions;
use serde_json::{Value, json};

const VELOCITY: &str = "/v1/metrics/team/payments/velocity";
/// W23 and W24, which were read, and the current week W25.
const WEEKS: &str = "from=2026-06-01&to=2026-06-22";

/// acme/api was read; acme/legacy is a 404 and was never collected.
async fn with_legacy() -> Result<Backend> {
    let backend = Backend::with(&history()).await?;
    backend.add_details(&details(&history())).await?;
    backend.apply(&TEAMS.replace("[acme/api]", "[acme/api, acme/legacy]")).await?;
    backend.run_sql("update repositories set failures = 3 where name = 'acme/legacy'").await?;
    Ok(backend)
}

impl Backend {
    async fn run_sql(&self, statements: &'static str) -> Result<()> {
        sqlx::raw_sql(statements).execute(&self.database.pool().await?).await?;
        Ok(())
    }

    async fn velocity(&self, query: &str) -> Result<Value> {
        let (status, answer) = self.get(&format!("{VELOCITY}?{query}")).await?;
        assert_eq!(status, 200, "{query}: {answer}");
        Ok(answer)
    }
}

/// Which buckets are complete.
fn complete(answer: &Value) -> Vec<bool> {
    answer["data"]["buckets"].as_array().into_iter().flatten().map(|it| it["complete"] == json!(true)).collect()
}

/// The codes of the warnings.
fn words(answer: &Value) -> Vec<&str> {
    let texts = answer["meta"]["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.filter_map(|text| text.split(':').next()).collect()
}

#[tokio::test]
async fn an_uncollected_repository_is_named_and_prevents_completeness() -> Result<()> {
    let backend = with_legacy().await?;
    let answer = backend.velocity(WEEKS).await?;
    assert_eq!(complete(&answer), [false; 3]);
    assert_eq!(answer["meta"]["coverage"]["since"], Value::Null);
    let warnings = answer["meta"]["warnings"].to_string();
    assert!(warnings.contains("never_collected: acme/legacy was never fully collected"), "{warnings}");
    // Without it, the other repositories are complete as before. With only it, nothing is known.
    let answer = backend.velocity(&format!("{WEEKS}&repo=acme/api")).await?;
    assert_eq!(complete(&answer), [true, true, false]);
    assert_eq!(
        answer["meta"]["coverage"]["repositories"]["counts"],
        json!({ "failing": 0, "pending": 0, "never_collected": 0 })
    );
    assert!(!words(&answer).contains(&"never_collected"), "{:?}", words(&answer));
    let answer = backend.velocity(&format!("{WEEKS}&repo=acme/legacy")).await?;
    assert_eq!((complete(&answer), &answer["data"]["total"]["complete"]), (vec![false; 3], &json!(false)));
    assert_eq!(words(&answer), ["never_collected", "partial_coverage"]);
    assert_eq!(answer["meta"]["data_as_of"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn zero_is_certain_only_with_full_coverage() -> Result<()> {
    let backend = with_legacy().await?;
    let words_of = async |path: &str, query: &str| -> Result<String> {
        let (_, answer) = backend.get(&format!("/v1/metrics/team/nobody/{path}?{query}")).await?;
        Ok(words(&answer).join(" "))
    };
    for path in ["velocity", "lead-time", "summary", "pull-requests"] {
        for (query, is_nothing) in [
            ("from=2026-06-01&to=2026-06-08&repo=acme/api", true),
            // Up to now, because it was checked four hours ago.
            ("from=2026-06-10&to=2026-06-18&repo=acme/api", true),
            ("from=2026-04-20&to=2026-05-04&repo=acme/api", false),
            ("from=2026-06-01&to=2026-06-08", false),
            ("from=2026-06-01&to=2026-06-08&repo=acme/legacy", false),
        ] {
            let found = words_of(path, query).await?;
            assert_eq!(found.contains("no_data"), is_nothing, "{path} {query}: {found}");
            assert!(is_nothing || found.contains("never_collected") || found.contains("before_collection"), "{found}");
        }
    }
    // It was not checked for a day.
    backend.run_sql("update repositories set collected_at = '2026-06-16T11:00Z' where name = 'acme/api'").await?;
    let found = words_of("velocity", "from=2026-06-10&to=2026-06-18&repo=acme/api").await?;
    assert!(found.contains("after_collection") && !found.contains("no_data"), "{found}");
    let found = words_of("velocity", "from=2026-06-01&to=2026-06-16&repo=acme/api").await?;
    assert!(!found.contains("after_collection") && found.contains("no_data"), "{found}");
    Ok(())
}

#[tokio::test]
async fn a_pending_reread_ends_completeness_and_may_fail() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let answer = backend.velocity(WEEKS).await?;
    assert_eq!((complete(&answer), words(&answer).contains(&"pending_coverage")), (vec![true, true, false], false));
    // Someone is new from the first instant of W24.
    backend.run_sql("update repositories set reopened_since = '2026-06-07T22:00Z'").await?;
    for failures in [0, 2] {
        if failures > 0 {
            backend.run_sql("update repositories set failures = 2").await?;
        }
        let answer = backend.velocity(WEEKS).await?;
        assert_eq!(complete(&answer), [true, false, false]);
        let repositories = &answer["meta"]["coverage"]["repositories"];
        assert_eq!(repositories["pending"], json!(["acme/api"]));
        assert_eq!(repositories["failing"] == json!(["acme/api"]), failures > 0);
        let expected =
            if failures > 0 { vec!["partial_coverage", "pending_coverage"] } else { vec!["pending_coverage"] };
        let words = words(&answer);
        let about: Vec<&str> = words.iter().copied().filter(|word| word.ends_with("_coverage")).collect();
        assert_eq!((about, words.contains(&"after_collection")), (expected, true));
    }
    // The same while it is being read by creation.
    backend
        .run_sql("update repositories set failures = 0, reopened_since = null, backfill_order = 'creation', backfill_rows = page_size, backfill_since = '2026-06-07T22:00:01Z'")
        .await?;
    let answer = backend.velocity(WEEKS).await?;
    assert_eq!((complete(&answer), words(&answer).contains(&"pending_coverage")), (vec![true, false, false], true));
    Ok(())
}

#[tokio::test]
async fn a_pending_recount_is_reported_with_separate_tags() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let velocity = async |team: &str| -> Result<(Vec<bool>, bool, bool, String)> {
        let answered = backend.ask(&format!("/v1/metrics/team/{team}/velocity?{WEEKS}"), &[]).await?;
        let answer = answered.json()?;
        let (is_reported, is_nothing) =
            (words(&answer).contains(&"reattributing"), words(&answer).contains(&"no_data"));
        Ok((complete(&answer), is_reported, is_nothing, answered.header("etag").to_owned()))
    };
    let all = vec![true, true, false];
    assert_eq!(velocity("payments").await?.0, all);
    let file = TeamsFile::parse("t", TEAMS.replace("{ github: ana }", "{ github: ana, weight: 0.5 }").as_bytes())?;
    let mut applied =
        backend.store.apply(&file, ApplyOptions { at_once: 0, ..ApplyOptions::default() }, at(NOW)).await?;
    let mut tags = BTreeSet::new();
    let mut steps = 0;
    while applied.people_to_reattribute > 0 {
        let (complete, is_reported, is_nothing, tag) = velocity("payments").await?;
        assert_eq!((complete, is_reported, is_nothing), (vec![false; 3], true, false));
        assert!(tags.insert(tag), "same tag after {steps} steps");
        let (complete, is_reported, ..) = velocity("platform").await?;
        assert_eq!((complete, is_reported), (all.clone(), false), "only the changed team");
        applied.note(backend.store.reattribute(2).await?);
        steps += 1;
    }
    assert_eq!(steps, 3);
    let (complete, is_reported, _, tag) = velocity("payments").await?;
    assert_eq!((complete, is_reported, tags.insert(tag)), (all, false, true));
    let summary = backend.get("/v1/metrics/team/payments/summary?last=P2W").await?.1;
    assert!(!words(&summary).contains(&"reattributing"), "{summary}");
    Ok(())
}

#[tokio::test]
async fn a_new_member_leaves_the_past_incomplete() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    backend.apply(&TEAMS.replace("{ github: ana }", "{ github: ana }, { github: eva, from: 2026-06-08 }")).await?;
    assert_eq!(complete(&backend.velocity(WEEKS).await?), [true, false, false]);
    backend.keep(&[pr("acme/api", 9).by("eva").created("2026-06-09T00:00:00Z").merged("2026-06-10T00:00:00Z")]).await?;
    assert_eq!(complete(&backend.velocity(WEEKS).await?), [true, true, false]);
    Ok(())
}

#[tokio::test]
async fn a_name_means_the_replacing_repository() -> Result<()> {
    let backend = with_legacy().await?;
    backend
        .run_sql(
            "update repositories set removed_at = '2026-06-10' where name = 'acme/legacy';
            insert into repositories (name, added_at, covered_since, collected_at)
            values ('acme/legacy', '2026-06-10', '2026-05-01', '2026-06-17T09:00Z')",
        )
        .await?;
    assert_eq!(complete(&backend.velocity(&format!("{WEEKS}&repo=acme/legacy")).await?), [true, true, false]);
    assert_eq!(complete(&backend.velocity(WEEKS).await?), [true, true, false]);
    Ok(())
}

#[tokio::test]
async fn the_views_agree_on_complete_weeks_and_months() -> Result<()> {
    let backend = with_legacy().await?;
    let pool = backend.database.pool().await?;
    let read = "delete from repositories where name = 'acme/legacy'";
    let steps = [
        "select 1",
        read,
        "update repositories set covered_since = '2026-06-02'",
        "update repositories set covered_since = '2026-05-01', reopened_since = '2026-06-09'",
        "update repositories set reopened_since = null, collected_at = '2026-07-01'",
        "update repositories set backfill_order = 'creation', backfill_since = '2026-06-30'",
        "update repositories set backfill_order = null, backfill_since = null, collected_at = null",
    ];
    let mut seen = Vec::new();
    for step in steps {
        backend.run_sql(step).await?;
        let mut of_all = Vec::new();
        for (path, view) in [
            (
                format!("{VELOCITY}?{WEEKS}"),
                "select iso_week, is_complete from view_team_velocity where team = 'payments'",
            ),
            (
                format!("{VELOCITY}?{WEEKS}"),
                "select to_char(bucket_start, 'IYYY-\"W\"IW'), is_complete from view_team_phases
                where team = 'payments' and unit = 'week' and phase = 'coding'",
            ),
            (
                "/v1/metrics/team/payments/lead-time?from=2026-06-01&to=2026-08-01".to_owned(),
                "select to_char(month_start, 'YYYY-MM'), is_complete from view_dora_lead_time where team = 'payments'",
            ),
        ] {
            let rows: Vec<(String, bool)> = sqlx::query_as(view).fetch_all(&pool).await?;
            let (_, answer) = backend.get(&path).await?;
            let buckets = answer["data"]["buckets"].as_array().context("buckets")?;
            let mut compared = 0;
            for bucket in buckets {
                let Some((_, is_complete)) = rows.iter().find(|(name, _)| bucket["bucket"] == json!(name)) else {
                    continue;
                };
                assert_eq!(bucket["complete"], json!(is_complete), "{step}: {view}: {bucket}");
                compared += 1;
                of_all.push(*is_complete);
            }
            assert!(compared > 0, "{view}");
        }
        let counts: (i64, i64, i64, i64) =
            sqlx::query_as("select collected, failing, pending, never_collected from collection_coverage")
                .fetch_one(&pool)
                .await?;
        let (_, answer) = backend.get(&format!("{VELOCITY}?{WEEKS}")).await?;
        let repositories = &answer["meta"]["coverage"]["repositories"];
        let counted = &repositories["counts"];
        assert_eq!(
            [&repositories["collected"], &counted["failing"], &counted["pending"], &counted["never_collected"]],
            [&json!(counts.0), &json!(counts.1), &json!(counts.2), &json!(counts.3)],
            "{step}"
        );
        seen.push(of_all);
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() > 4, "each step should change what is complete: {seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_tag_changes_with_coverage() -> Result<()> {
    let backend = with_legacy().await?;
    let mut tags = Vec::new();
    for step in [
        "select 1",
        "update repositories set covered_since = '2026-01-01', collected_at = '2026-06-17T08:00Z' where name = 'acme/legacy'",
        "update repositories set reopened_since = '2026-06-09' where name = 'acme/api'",
        "update repositories set reopened_since = '2026-06-02' where name = 'acme/api'",
    ] {
        backend.run_sql(step).await?;
        tags.push(backend.ask(&format!("{VELOCITY}?{WEEKS}"), &[]).await?.header("etag").to_owned());
    }
    let all = tags.len();
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), all);
    Ok(())
}

#[tokio::test]
async fn a_limited_key_sees_repository_counts_not_names() -> Result<()> {
    let backend = with_legacy().await?;
    let (keys, texts) = keys(&[(Scope::PrsRead, &["payments"]), (Scope::PrsRead, &[])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    for path in ["velocity", "velocity?format=csv", "lead-time", "summary", "pull-requests", "pull-requests?format=csv"]
    {
        let path = format!("/v1/metrics/team/payments/{path}");
        let limited = ask(&router, "GET", &path, &[("x-api-key", &texts[0])]).await?;
        assert_eq!(limited.status, 200, "{path}");
        assert!(
            !limited.text.contains("legacy") && !format!("{:?}", limited.headers).contains("legacy"),
            "{path}: {limited:?}"
        );
        let other = ask(&router, "GET", &path, &[("x-api-key", &texts[1])]).await?;
        assert!(limited.header("etag").is_empty() || limited.header("etag") != other.header("etag"), "{path}");
        if path.contains("csv") {
            continue;
        }
        let meta = limited.json()?["meta"].clone();
        let repositories = &meta["coverage"]["repositories"];
        assert_eq!(
            [&repositories["failing"], &repositories["never_collected"]],
            [&Value::Null, &Value::Null],
            "{path}"
        );
        assert_eq!(repositories["counts"], json!({ "failing": 1, "pending": 1, "never_collected": 1 }), "{path}");
        assert!(
            meta["warnings"].to_string().contains("never_collected: 1 repository was never fully collected"),
            "{meta}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_limited_key_never_sees_others_repositories() -> Result<()> {
    let backend = with_legacy().await?;
    let (keys, texts) = keys(&[(Scope::MetricsRead, &["payments"]), (Scope::MetricsRead, &[])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let asked = async |repo: &str, key: &str| {
        ask(&router, "GET", &format!("{VELOCITY}?repo={repo}"), &[("x-api-key", key)]).await
    };
    assert_eq!(asked("acme/api", &texts[0]).await?.status, 200, "it has pull requests of the team");
    assert_eq!(asked("acme/legacy", &texts[1]).await?.status, 200, "configured");
    let (hidden, absent) = (asked("acme/legacy", &texts[0]).await?, asked("acme/nowhere", &texts[0]).await?);
    assert_eq!(hidden.status, 400);
    assert_eq!(hidden.json()?.to_string().replace("legacy", "nowhere"), absent.json()?.to_string());
    Ok(())
}

#[tokio::test]
async fn each_unknown_repository_is_named() -> Result<()> {
    let (status, answer) =
        Backend::empty().await?.get(&format!("{VELOCITY}?repo=acme/nope,acme/api,acme/nada")).await?;
    assert_eq!(status, 400);
    let details = answer["error"]["details"].as_array().context("details")?;
    let messages: Vec<&str> = details.iter().filter_map(|detail| detail["message"].as_str()).collect();
    assert_eq!(
        messages,
        ["`acme/nope` is not among the collected repositories", "`acme/nada` is not among the collected repositories"]
    );
    Ok(())
}

#[tokio::test]
async fn a_quarantined_pull_request_leaves_buckets_incomplete() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    backend.add_details(&details(&history())).await?;
    assert_eq!(complete(&backend.velocity(WEEKS).await?), [true, true, false]);
    let answer = backend.velocity(WEEKS).await?;
    assert_eq!(answer["meta"]["coverage"]["quarantined"], 0);
    // Opened in W24, so that it cannot belong to W23.
    backend
        .run_sql(
            "insert into quarantined_pull_requests (repository_id, number, reason, created_from, first_seen_at, last_tried_at)
            select id, 99, 'status 502', '2026-06-10T09:00:00Z', now(), now() from repositories",
        )
        .await?;
    let answer = backend.velocity(WEEKS).await?;
    assert_eq!(complete(&answer), [true, false, false]);
    assert_eq!(answer["meta"]["coverage"]["quarantined"], 1);
    let warnings = answer["meta"]["warnings"].to_string();
    assert!(
        warnings.contains("quarantined: 1 pull request that may belong to the range could not be read"),
        "{warnings}"
    );
    let before = backend.velocity("from=2026-06-01&to=2026-06-08").await?;
    assert!(!words(&before).contains(&"quarantined"), "{before}");
    assert_eq!(complete(&before), [true]);
    let views = "select is_complete::text from view_team_velocity where week_start >= '2026-06-01' order by week_start";
    let pool = backend.database.pool().await?;
    let in_views: Vec<String> = sqlx::query_scalar(views).fetch_all(&pool).await?;
    assert_eq!(in_views[..2], ["true", "false"]);
    // Accepted: the buckets are complete without it, and it is still reported.
    let (repository, key) = ("acme/api".parse()?, mergeline_store::QuarantineKey::Number(99));
    let store = backend.database.store()?;
    assert!(store.accept_quarantined(&repository, key, at(NOW)).await?);
    let nowhere = mergeline_store::QuarantineKey::Position(99);
    assert!(!store.accept_quarantined(&repository, nowhere, at(NOW)).await?);
    let answer = backend.velocity(WEEKS).await?;
    assert_eq!(complete(&answer), [true, true, false]);
    assert!(words(&answer).contains(&"quarantined"), "{answer}");
    assert_eq!(answer["meta"]["coverage"]["quarantined"], 1);
    Ok(())
}

#[tokio::test]
async fn pruned_time_is_incomplete_with_its_start_reported() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let before = backend.velocity(WEEKS).await?;
    assert_eq!(complete(&before), [true, true, false]);
    // In the middle of W23, so only a part of that week is left.
    backend.store.prune(at("2026-06-03T22:00:00Z"), 0).await?;
    let after = backend.velocity(WEEKS).await?;
    assert_eq!(complete(&after), [false, true, false]);
    assert_eq!(after["meta"]["coverage"]["since"], json!("2026-06-03T22:00:00Z"));
    let warnings = after["meta"]["warnings"].to_string();
    assert!(warnings.contains("before_collection: the range starts before 2026-06-03T22:00:00Z"), "{warnings}");
    let later = "from=2026-06-08&to=2026-06-15";
    assert!(!words(&backend.velocity(later).await?).contains(&"before_collection"));
    Ok(())
}

#[tokio::test]
async fn coverage_names_what_the_key_may_see_and_why_it_is_not_complete() -> Result<()> {
    let backend = with_legacy().await?;
    backend
        .run_sql(
            "insert into collection_runs (started_at, finished_at, state) values (now(), now(), 'failed');
            insert into collection_results (
                run_id, repository_id, state, error_code, error_message, started_at, duration_seconds, requests, pages, listed, kept,
                skipped_ghost, skipped_bot, skipped_not_a_member, quarantined, changed
            )
            select n.id, r.id, 'failed', 'github_not_found', 'not for readers', now(), 1, 1, 1, 0, 0, 0, 0, 0, 0, 0
            from collection_runs as n cross join repositories as r
            where r.name = 'acme/legacy'",
        )
        .await?;
    let (keys, texts) =
        keys(&[(Scope::MetricsRead, &[]), (Scope::MetricsRead, &["payments"]), (Scope::MetricsRead, &["nobody"])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let covered = async |key: &str| ask(&router, "GET", "/v1/coverage", &[("x-api-key", key)]).await?.json();
    let all = covered(&texts[0]).await?;
    let deployments =
        json!([{ "source": "github-deployments", "list": "", "covered_since": null, "read_at": null, "reason": null }]);
    let api = json!({
        "name": "acme/api", "state": "read", "reason": null, "covered_since": "2026-05-01T00:00:00Z", "read_at": "2026-06-17T08:00:00Z",
        "deployments": deployments, "incidents": [],
    });
    let legacy = json!({
        "name": "acme/legacy", "state": "failing", "reason": "github_not_found", "covered_since": null, "read_at": null,
        "deployments": deployments, "incidents": [],
    });
    assert_eq!(all["data"], json!([api, legacy]));
    assert_eq!(all["meta"]["coverage"]["repositories"]["failing"], json!(["acme/legacy"]));
    assert_eq!(all["meta"]["timezone"], json!("Europe/Oslo"));
    assert_eq!(all["meta"]["sources"][0]["source"], json!("github-deployments"));
    let limited = covered(&texts[1]).await?;
    assert_eq!(limited["data"], json!([api]), "nothing of the team is in the other one");
    assert_eq!(limited["meta"]["coverage"]["repositories"]["failing"], Value::Null);
    assert_eq!(limited["meta"]["sources"], Value::Null);
    assert_eq!(covered(&texts[2]).await?["data"], json!([]));
    Ok(())
}
