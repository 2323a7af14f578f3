//! Caching by clients: the ETag of a response changes exactly when the response does.

mod common;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use common::{Answered, Backend, NOW, TEAMS, ask, details, history, keys};
use mergeline_api::{Api, Scope, router};
use mergeline_fake_github::{FakePullRequest, at, pr};
use mergeline_store::RepositoryResult;
use mergeline_test_support::{finish_reading, keep};
use serde_json::Value;
use sqlx::AssertSqlSafe;

const VELOCITY: &str = "/v1/metrics/team/payments/velocity?from=2026-06-01&to=2026-06-15";
/// Responses that are made from data and have an ETag.
const TAGGED: [&str; 5] = [
    VELOCITY,
    "/v1/metrics/team/payments/velocity?week=2026-W24&format=csv",
    "/v1/metrics/team/payments/lead-time",
    "/v1/metrics/team/payments/pull-requests",
    "/v1/metrics/team/payments/pull-requests?format=csv&limit=2",
];
/// A run without changes.
fn nothing() -> RepositoryResult {
    RepositoryResult { requests: 1, is_unchanged: true, ..RepositoryResult::default() }
}

async fn tag(backend: &Backend, path: &str) -> Result<String> {
    let answered = backend.ask(path, &[]).await?;
    assert_eq!(answered.status, 200, "{path}: {}", answered.text);
    Ok(answered.header("etag").to_owned())
}

/// Repeats the request with the earlier tag.
async fn again(backend: &Backend, path: &str, tag: &str) -> Result<Answered> {
    backend.ask(path, &[("if-none-match", tag)]).await
}

#[tokio::test]
async fn responses_carry_etag_cache_control_and_freshness() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    for path in TAGGED {
        let answered = backend.ask(path, &[]).await?;
        let tag = answered.header("etag");
        let digest = tag.strip_prefix("W/\"").and_then(|rest| rest.strip_suffix('"')).context("a weak tag")?;
        assert!(digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}: {tag}");
        assert_eq!(answered.header("cache-control"), "private, no-cache", "{path}");
        assert_eq!(answered.header("vary"), "accept, x-api-key", "{path}");
        assert_eq!(answered.header("mergeline-data-as-of"), "2026-06-17T08:00:00Z", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn clock_dependent_responses_are_not_cached() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    for path in ["/v1/me", "/v1/teams", "/v1/teams/payments", "/v1/collection/status", "/v1/collection/runs", "/health"]
    {
        let answered = backend.ask(path, &[("if-none-match", "*")]).await?;
        assert_eq!((answered.status, answered.header("etag")), (200, ""), "{path}");
        assert_eq!(answered.header("cache-control"), "no-store", "{path}");
    }
    Ok(())
}

/// Summaries say when open pull requests were opened, so that nothing of a summary changes with the clock.
#[tokio::test]
async fn summaries_are_known_by_their_data_and_not_by_the_clock() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    for path in ["/v1/metrics/team/payments/summary", "/v1/metrics/summary"] {
        let first = backend.ask(path, &[]).await?;
        let router = router(Api { clock: || at("2026-06-17T20:15:00Z"), ..backend.api() });
        let later = ask(&router, "GET", path, &[("if-none-match", first.header("etag"))]).await?;
        assert_eq!((later.status, later.header("etag")), (304, first.header("etag")), "{path}");
        let whole = ask(&router, "GET", path, &[]).await?;
        assert_eq!(whole.json()?["data"], first.json()?["data"], "{path}: eight hours later");
    }
    let tag = tag(&backend, "/v1/metrics/summary").await?;
    let router = backend.router(None);
    backend.keep(&[pr("acme/api", 6).created("2026-06-12T00:00:00Z").merged("2026-06-16T00:00:00Z")]).await?;
    let changed = ask(&router, "GET", "/v1/metrics/summary", &[("if-none-match", &tag)]).await?;
    assert_eq!(changed.status, 200, "one that was open is merged");
    Ok(())
}

#[tokio::test]
async fn a29_a_current_etag_gets_a_bodyless_304() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    for path in TAGGED.into_iter().chain(["/v1/definitions"]) {
        let first = backend.ask(path, &[]).await?;
        let tag = first.header("etag");
        for known in [tag, tag.trim_start_matches("W/"), &format!("\"other\", {tag}"), "*"] {
            let second = again(&backend, path, known).await?;
            assert_eq!((second.status, second.text.as_str()), (304, ""), "{path} {known}");
            assert!(!second.headers.contains_key("content-type"), "{path}");
            for header in ["etag", "vary", "mergeline-data-as-of"] {
                assert_eq!(second.header(header), first.header(header), "{path} {header}");
            }
        }
        assert_eq!(again(&backend, path, "W/\"other\"").await?.status, 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_304_computes_nothing() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let mut known = Vec::new();
    for path in TAGGED {
        known.push((path, tag(&backend, path).await?));
    }
    // What all responses about numbers and pull requests need.
    let gone = "drop function merge_statistics cascade; drop function pull_request_flags cascade";
    sqlx::raw_sql(gone).execute(&backend.database.pool().await?).await?;
    for (path, tag) in known {
        assert_eq!(again(&backend, path, &tag).await?.status, 304, "{path}");
        assert_eq!(again(&backend, path, "W/\"other\"").await?.status, 503, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn any_data_change_changes_every_tag_immediately() -> Result<()> {
    let (backend, history) = (Backend::with(&history()).await?, history());
    let mut tags = Vec::new();
    for step in 0..4 {
        match step {
            // A page, details, and a deletion mark, each as it is stored; no run has recorded them.
            1 => {
                backend
                    .keep(&[pr("acme/api", 8).created("2026-06-09T00:00:00Z").merged("2026-06-10T00:00:00Z")])
                    .await?;
            }
            2 => backend.add_details(&details(&history)).await?,
            3 => backend.store.mark_deleted(&backend.lease().await?, &[2], at(common::NOW)).await?,
            _ => {}
        }
        for path in TAGGED {
            let tag = tag(&backend, path).await?;
            assert!(!tags.contains(&(path, tag.clone())), "{path} at step {step}");
            tags.push((path, tag));
        }
    }
    Ok(())
}

#[tokio::test]
async fn storing_the_same_page_keeps_every_tag() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let before = tag(&backend, VELOCITY).await?;
    backend.keep(&history()).await?;
    assert_eq!(tag(&backend, VELOCITY).await?, before);
    Ok(())
}

#[tokio::test]
async fn an_unchanged_run_keeps_tags_but_updates_freshness() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    backend.run("2026-06-17T08:00:00Z", &nothing()).await?;
    let mut known = Vec::new();
    for path in TAGGED {
        known.push((path, tag(&backend, path).await?));
    }
    backend.run("2026-06-17T11:00:00Z", &nothing()).await?;
    let started_at = at("2026-06-17T11:00:00Z");
    finish_reading(&backend.store, Some(started_at), started_at, at("2026-05-01T00:00:00Z")).await?;
    for (path, tag) in known {
        let answered = again(&backend, path, &tag).await?;
        assert_eq!(answered.status, 304, "{path}");
        assert_eq!(answered.header("mergeline-data-as-of"), "2026-06-17T11:00:00Z", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn applying_a_teams_file_changes_every_tag() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    for (path, weight) in TAGGED.into_iter().zip(["0.25", "0.3", "0.35", "0.4", "0.45"]) {
        let before = tag(&backend, path).await?;
        backend
            .apply(&TEAMS.replace(
                "bob, weight: 0.5 }] }\n  - { slug: platform",
                &format!("bob, weight: {weight} }}] }}\n  - {{ slug: platform"),
            ))
            .await?;
        assert_eq!(again(&backend, path, &before).await?.status, 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_failing_repository_changes_the_tag() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let before = tag(&backend, VELOCITY).await?;
    sqlx::raw_sql("update repositories set failures = 1").execute(&backend.database.pool().await?).await?;
    assert_eq!(again(&backend, VELOCITY, &before).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn each_query_team_and_format_has_its_tag() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let release = FakePullRequest { base_ref: "release".to_owned(), ..pr("acme/api", 8) };
    backend.keep(&[release]).await?;
    let of_csv = async |path: &str| -> Result<String> {
        Ok(backend.ask(path, &[("accept", "text/csv")]).await?.header("etag").to_owned())
    };
    let mut tags = vec![of_csv(VELOCITY).await?];
    for path in [
        VELOCITY.to_owned(),
        VELOCITY.replace("payments", "platform"),
        VELOCITY.replace("velocity", "lead-time"),
        VELOCITY.replace("velocity", "pull-requests"),
        format!("{}&limit=2", VELOCITY.replace("velocity", "pull-requests")),
        VELOCITY.replace("06-15", "06-16"),
        format!("{VELOCITY}&tz=UTC"),
        format!("{VELOCITY}&interval=day"),
        format!("{VELOCITY}&repo=acme/api"),
        format!("{VELOCITY}&base=release"),
        format!("{VELOCITY}&weighting=full"),
    ] {
        tags.push(tag(&backend, &path).await?);
    }
    let count = tags.len();
    tags.sort_unstable();
    tags.dedup();
    assert_eq!(tags.len(), count);
    assert_eq!(of_csv(VELOCITY).await?, of_csv(VELOCITY).await?);
    Ok(())
}

#[tokio::test]
async fn number_and_slug_give_the_same_response() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    assert_eq!(tag(&backend, VELOCITY).await?, tag(&backend, &VELOCITY.replace("payments", "1")).await?);
    Ok(())
}

#[tokio::test]
async fn reaching_a_day_in_the_time_zone_changes_tags() -> Result<()> {
    let backend = Backend::empty().await?;
    keep(&backend.store, &history()).await?;
    let (mut tags, mut complete) = (Vec::new(), Vec::new());
    // Midnight in Oslo is 10 p.m. in UTC: W24 was read to its end.
    for reached in ["2026-06-14T21:59:59Z", "2026-06-14T22:00:00Z"] {
        finish_reading(&backend.store, Some(at(reached)), at(reached), at("2026-05-01T00:00:00Z")).await?;
        for zone in ["Europe/Oslo", "UTC"] {
            let answered = backend.ask(&format!("{VELOCITY}&tz={zone}"), &[]).await?;
            tags.push(answered.header("etag").to_owned());
            complete.push(answered.json()?["data"]["buckets"][1]["complete"] == Value::Bool(true));
        }
    }
    assert_eq!((tags[0] == tags[2], tags[1] == tags[3]), (false, true), "{tags:?}");
    assert_eq!(complete, [false, false, true, false]);
    Ok(())
}

#[tokio::test]
async fn a_new_day_changes_only_open_ended_tags() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let at_time = async |path: &str, clock: fn() -> DateTime<Utc>| -> Result<String> {
        let router = router(Api { clock, ..backend.api() });
        Ok(ask(&router, "GET", path, &[]).await?.header("etag").to_owned())
    };
    let (evening, midnight) = (|| at("2026-06-17T21:59:59Z"), || at("2026-06-17T22:00:00Z"));
    let up_to_now = "/v1/metrics/team/payments/velocity?last=P2W";
    assert_ne!(at_time(up_to_now, evening).await?, at_time(up_to_now, midnight).await?);
    let in_utc = format!("{up_to_now}&tz=UTC");
    assert_eq!(at_time(&in_utc, evening).await?, at_time(&in_utc, midnight).await?);
    assert_eq!(at_time(VELOCITY, evening).await?, at_time(VELOCITY, midnight).await?);
    Ok(())
}

#[tokio::test]
async fn a_key_without_permission_gets_no_304() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let tag = tag(&backend, VELOCITY).await?;
    let router = backend.router(Some(common::KEY));
    for (key, status) in [("wrong", 401), (common::KEY, 304)] {
        let answered = ask(&router, "GET", VELOCITY, &[("x-api-key", key), ("if-none-match", &tag)]).await?;
        assert_eq!(answered.status, status, "{key}");
    }
    Ok(())
}

#[tokio::test]
async fn tags_hide_changes_in_other_teams_repositories() -> Result<()> {
    let backend = Backend::with_teams(&TEAMS.replace("[acme/api]", "[acme/api, acme/web, acme/docs]")).await?;
    backend.keep(&history()).await?;
    let (keys, texts) = keys(&[(Scope::PrsRead, &["payments"]), (Scope::PrsRead, &[])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let pool = backend.database.pool().await?;
    let own = "array(select distinct repository_id from pr_attributions)";
    let change =
        async |statement: &str| sqlx::raw_sql(AssertSqlSafe(statement.replace("OWN", own))).execute(&pool).await;
    let tags = async || -> Result<[String; 4]> {
        let mut tags = [const { String::new() }; 4];
        let asked = texts.iter().flat_map(|key| ["velocity", "pull-requests"].map(|metric| (key, metric)));
        for (tag, (key, metric)) in tags.iter_mut().zip(asked) {
            let path = format!("/v1/metrics/team/payments/{metric}?last=P4W");
            let answered = ask(&router, "GET", &path, &[("x-api-key", key)]).await?;
            assert_eq!(answered.status, 200, "{}", answered.text);
            answered.header("etag").clone_into(tag);
        }
        Ok(tags)
    };
    let differ =
        |before: &[String; 4], after: &[String; 4]| std::array::from_fn::<bool, 4, _>(|at| before[at] != after[at]);
    change("update repositories set covered_since = '2026-05-01', collected_at = '2026-06-17 08:00Z'").await?;
    let mut before = tags().await?;
    for (statement, [limited, unlimited]) in [
        ("update repositories set data_version = data_version + 1 where id <> all(OWN)", [false, true]),
        (
            "update repositories set failures = 1 where id = (select max(id) from repositories where id <> all(OWN))",
            [true, true],
        ),
        // The number of failures stays the same.
        ("update repositories set failures = 1 - failures where id <> all(OWN)", [false, true]),
        ("update repositories set data_version = data_version + 1 where id = any(OWN)", [true, true]),
    ] {
        change(statement).await?;
        let after = tags().await?;
        assert_eq!(differ(&before, &after), [limited, limited, unlimited, unlimited], "{statement}");
        before = after;
    }
    Ok(())
}

#[tokio::test]
async fn a_limited_tag_changes_after_its_last_removal() -> Result<()> {
    let backend = Backend::with(&[pr("acme/api", 1).by("ana").merged("2026-06-10T10:00:00Z")]).await?;
    let (keys, texts) = keys(&[(Scope::PrsRead, &["payments"])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let ask = async || -> Result<(String, usize)> {
        let path = "/v1/metrics/team/payments/pull-requests?last=P4W";
        let answered = ask(&router, "GET", path, &[("x-api-key", &texts[0])]).await?;
        let rows = answered.json()?["data"]["pull_requests"].as_array().map_or(0, Vec::len);
        Ok((answered.header("etag").to_owned(), rows))
    };
    let whole = ask().await?;
    backend.store.mark_deleted(&backend.lease().await?, &[1], at(NOW)).await?;
    let deleted = ask().await?;
    // The time since which pull requests are kept is also part of the tag, and is known before the last one is removed.
    backend.store.prune(at("2026-06-17T00:00:00Z"), i64::MAX).await?;
    let known = ask().await?;
    sqlx::raw_sql("update pull_requests set deleted_at = merged_at").execute(&backend.database.pool().await?).await?;
    backend.store.prune(at("2026-06-17T00:00:00Z"), 0).await?;
    let pruned = ask().await?;
    assert_eq!(
        [&whole, &deleted, &known, &pruned].map(|(_, rows)| *rows),
        [1, 1, 1, 0],
        "a deleted one is listed as deleted"
    );
    let tags = [whole.0, deleted.0, known.0, pruned.0];
    assert_eq!(tags.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "{tags:?}");
    Ok(())
}
