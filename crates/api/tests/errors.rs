//! Every error of the API, in both formats, and the behavior with a slow or unreachable database.

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Body;
use common::{Answered, Backend, ask, history, keys};
use http::Request;
use http_body_util::BodyExt;
use mergeline_api::{Api, Scope, Settings, router};
use mergeline_fake_github::at;
use mergeline_store::Reader;
use serde_json::{Value, json};
use sqlx::PgPool;

const VELOCITY: &str = "/v1/metrics/team/payments/velocity";
const PROBLEM: (&str, &str) = ("accept", "application/problem+json");

/// The same rejection in both formats: status, relevant headers, and bodies.
async fn both(router: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Value> {
    let plain = ask(router, method, path, headers).await?;
    let named: Vec<(&str, &str)> =
        headers.iter().copied().filter(|(name, _)| *name != "accept").chain([PROBLEM]).collect();
    let problem = ask(router, method, path, &named).await?;
    assert_eq!((plain.header("content-type"), problem.header("content-type")), ("application/json", PROBLEM.1));
    for header in ["allow", "cache-control", "retry-after", "vary", "www-authenticate", "x-content-type-options"] {
        assert_eq!(plain.header(header), problem.header(header), "{header}");
    }
    let shown = ["allow", "cache-control", "retry-after", "www-authenticate"]
        .into_iter()
        .filter(|name| plain.headers.contains_key(*name));
    let headers: HashMap<&str, &str> = shown.map(|name| (name, plain.header(name))).collect();
    Ok(json!({ "status": plain.status, "headers": headers, "envelope": plain.json()?, "problem": problem.json()? }))
}

#[tokio::test]
async fn every_refusal_matches_its_problem_details() -> Result<()> {
    let backend = Backend::empty().await?;
    let (keys, texts) = keys(&[(Scope::MetricsRead, &[]), (Scope::Admin, &["payments"])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let (reader, limited) = (("x-api-key", texts[0].as_str()), ("x-api-key", texts[1].as_str()));
    let mut all = serde_json::Map::new();
    for (name, method, path, header) in [
        ("validation_error", "GET", "/v1/metrics/team/payments/velocity?form=2026-01-01&tz=Mars/Phobos", reader),
        ("invalid_cursor", "GET", "/v1/metrics/team/payments/pull-requests?cursor=x", limited),
        ("unauthorized", "GET", VELOCITY, ("x-other", "")),
        ("unauthorized, by a wrong key", "GET", VELOCITY, ("x-api-key", "wrong")),
        ("insufficient_scope", "GET", "/v1/metrics/team/payments/pull-requests", reader),
        ("limited_to_teams", "GET", "/v1/collection/status", limited),
        ("not_found, of a team", "GET", "/v1/metrics/team/unknown/velocity", reader),
        ("not_found, of a path", "GET", "/v1/nothing", reader),
        ("method_not_allowed", "DELETE", "/v1/teams", reader),
        ("not_acceptable", "GET", "/v1/docs", ("accept", "text/csv")),
    ] {
        all.insert(name.to_owned(), both(&router, method, path, &[header]).await?);
    }
    insta::assert_json_snapshot!(all);
    Ok(())
}

#[tokio::test]
async fn every_failure_matches_its_problem_details() -> Result<()> {
    let backend = Backend::empty().await?;
    let pool = backend.database.pool().await?;
    let mut all = serde_json::Map::new();
    // However fast the database is, it cannot answer while this lock is held.
    let mut held = pool.begin().await?;
    sqlx::raw_sql("lock table configurations").execute(&mut *held).await?;
    let slow = router(Api { timeout: Duration::ZERO, ..backend.api() });
    all.insert("timeout".to_owned(), both(&slow, "GET", VELOCITY, &[]).await?);
    held.rollback().await?;
    let router = backend.router(None);
    sqlx::raw_sql("update configurations set timezone = 'Nowhere'").execute(&pool).await?;
    all.insert("internal_error".to_owned(), both(&router, "GET", VELOCITY, &[]).await?);
    sqlx::raw_sql("drop schema public cascade").execute(&pool).await?;
    all.insert("schema_outdated".to_owned(), both(&router, "GET", VELOCITY, &[]).await?);
    backend.reader.close().await;
    all.insert("unavailable".to_owned(), both(&router, "GET", VELOCITY, &[]).await?);
    insta::assert_json_snapshot!(all);
    Ok(())
}

#[tokio::test]
async fn a_panic_is_a_500_and_serving_continues() -> Result<()> {
    let backend = Backend::empty().await?;
    let router = router(Api { clock: || panic!("on purpose"), ..backend.api() });
    let answered = ask(&router, "GET", VELOCITY, &[]).await?;
    assert_eq!((answered.status, answered.code().as_str()), (500, "internal_error"));
    assert!(!answered.text.contains("on purpose"), "{}", answered.text);
    assert_eq!(ask(&router, "GET", "/v1/definitions", &[]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn an_unreachable_database_is_unavailable_without_a_timeout() -> Result<()> {
    let lookup = |name: &str| match name {
        "DB_URL" => Some("postgres://nobody@127.0.0.1:9/none".to_owned()),
        "REQUEST_TIMEOUT_SECONDS" => Some("2".to_owned()),
        _ => None,
    };
    let settings = Settings::from_vars(lookup)?;
    let store = Reader::connect(&settings.database);
    let router = router(Api::new(store, settings.timeout, || at(common::NOW)));
    let answered = ask(&router, "GET", "/v1/teams", &[]).await?;
    assert_eq!((answered.status, answered.code().as_str()), (503, "unavailable"));
    assert_eq!(answered.header("retry-after"), "5");
    Ok(())
}

#[tokio::test]
async fn client_request_ids_are_replaced_by_trace_ids() -> Result<()> {
    let backend = Backend::empty().await?;
    let router = backend.router(None);
    for path in ["/v1/teams", "/v1/nothing", "/v1/teams?form=1"] {
        let request = Request::get(path).header("x-request-id", "forged").body(Body::empty())?;
        let response = common::send(&router, request).await?;
        let request_id = response.headers().get("x-request-id").context("a request id")?.clone();
        let body: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
        let trace_id = body.pointer("/trace_id").or(body.pointer("/error/trace_id"));
        assert_eq!(trace_id.and_then(Value::as_str), Some(request_id.to_str()?), "{path}");
        assert_ne!(request_id, "forged", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn only_the_trace_id_from_aws_is_kept() -> Result<()> {
    let backend = Backend::empty().await?;
    let trace_id = async |path: &str, header: &str| -> Result<String> {
        let answered = backend.ask(path, &[("x-amzn-trace-id", header)]).await?;
        let json: Value = serde_json::from_str(&answered.text)?;
        let id = json.pointer("/trace_id").or(json.pointer("/error/trace_id"));
        Ok(id.and_then(Value::as_str).unwrap_or_default().to_owned())
    };
    let real = "1-5759e988-bd862e3fe1be46a994272793";
    for path in ["/v1/teams", "/v1/nothing"] {
        assert_eq!(trace_id(path, &format!("Root={real};Sampled=1")).await?, real);
        for forged in [
            "Root=<script>",
            "Root=",
            "Root=admin",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=1-5759E988-BD862E3FE1BE46A994272793",
            "Root=1-5759e988-bd862e3fe1be46a994272793-1",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "nonsense",
            &format!("Root={}", "a".repeat(100)),
        ] {
            let id = trace_id(path, forged).await?;
            assert!(id.len() == 36 && !forged.contains(&id), "{forged}: {id}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_cut_between_requests_is_replaced() -> Result<()> {
    let backend = Backend::empty().await?;
    let pool = backend.database.pool().await?;
    for path in ["/v1/teams", "/v1/metrics/team/payments/velocity", "/v1/health"] {
        // Several, so that more than one connection is cut.
        let (one, other) = tokio::try_join!(backend.get(path), backend.get(path))?;
        assert_eq!((one.0, other.0), (200, 200), "{path}");
        sqlx::query("select pg_terminate_backend(pid, 60000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
            .execute(&pool)
            .await?;
        assert_eq!(backend.get(path).await?.0, 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_slow_database_is_a_504_and_serving_continues() -> Result<()> {
    let backend = Backend::empty().await?;
    let pool = backend.database.pool().await?;
    let mut blocker = pool.begin().await?;
    sqlx::raw_sql("lock table teams in access exclusive mode").execute(&mut *blocker).await?;
    let router = router(Api { timeout: Duration::from_millis(200), ..backend.api() });
    let answered = ask(&router, "GET", "/v1/teams", &[]).await?;
    assert_eq!((answered.status, answered.code().as_str()), (504, "timeout"));
    blocker.rollback().await?;
    assert_eq!(backend.get("/v1/teams").await?.0, 200);
    Ok(())
}

/// A router with a statement timeout of 0.9 s and a request timeout of 1 s.
async fn with_a_second(backend: &Backend) -> Result<Api> {
    let lookup = |name: &str| match name {
        "DB_URL" => Some(backend.database.url().to_owned()),
        "REQUEST_TIMEOUT_SECONDS" => Some("1".to_owned()),
        _ => None,
    };
    let settings = Settings::from_vars(lookup)?;
    let store = Reader::connect(&settings.database);
    // Only the statement should be measured, not the first connection.
    store.coverage().await?;
    Ok(Api { store, timeout: settings.timeout, ..backend.api() })
}

/// Waits until none of our statements is active, which must be soon.
async fn until_nothing_is_active(pool: &PgPool) -> Result<()> {
    let started = Instant::now();
    loop {
        let active: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
            where datname = current_database() and application_name = 'mergeline' and state = 'active'",
        )
        .fetch_one(pool)
        .await?;
        if active == 0 {
            return Ok(());
        }
        ensure!(started.elapsed() < Duration::from_secs(5), "{active} statements are still active");
        tokio::task::yield_now().await;
    }
}

/// Requests numbers while they are locked, and then something else on the same connections.
async fn request_while_locked(backend: &Backend, api: Api) -> Result<Answered> {
    let pool = backend.database.pool().await?;
    let mut blocker = pool.begin().await?;
    sqlx::raw_sql("lock table pr_attributions in access exclusive mode").execute(&mut *blocker).await?;
    let router = router(api);
    let answered = ask(&router, "GET", VELOCITY, &[]).await?;
    until_nothing_is_active(&pool).await?;
    assert_eq!(ask(&router, "GET", "/v1/teams", &[]).await?.status, 200, "the connections still work");
    blocker.rollback().await?;
    assert_eq!(ask(&router, "GET", VELOCITY, &[]).await?.status, 200);
    Ok(answered)
}

#[tokio::test]
async fn the_statement_timeout_fires_before_the_request_timeout() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let api = with_a_second(&backend).await?;
    let (started, timeout) = (Instant::now(), Duration::from_secs(20));
    // The request has more time, so only the database can have ended it.
    let answered = request_while_locked(&backend, Api { timeout, ..api }).await?;
    assert_eq!((answered.status, answered.code().as_str()), (504, "timeout"));
    assert!(started.elapsed() < timeout);
    Ok(())
}

#[tokio::test]
async fn an_abandoned_request_cancels_its_statement() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let api = with_a_second(&backend).await?;
    let answered = request_while_locked(&backend, Api { timeout: Duration::from_millis(200), ..api }).await?;
    assert_eq!((answered.status, answered.code().as_str()), (504, "timeout"));
    Ok(())
}

/// Waits until this many of our statements wait for a lock, which must be soon.
async fn until_waiting(pool: &PgPool, expected: i64) -> Result<()> {
    let started = Instant::now();
    loop {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
            where datname = current_database() and application_name = 'mergeline' and wait_event_type = 'Lock'",
        )
        .fetch_one(pool)
        .await?;
        if waiting == expected {
            return Ok(());
        }
        ensure!(started.elapsed() < Duration::from_secs(10), "{waiting} statements wait, not {expected}");
        tokio::task::yield_now().await;
    }
}

/// Sends this many requests for numbers at once, without waiting for them.
fn ask_at_once(router: &Router, times: usize, key: Option<&str>) -> Vec<tokio::task::JoinHandle<Result<Answered>>> {
    ask_for(VELOCITY, router, times, key)
}

/// Sends this many requests at once, without waiting for them.
fn ask_for(
    path: &'static str,
    router: &Router,
    times: usize,
    key: Option<&str>,
) -> Vec<tokio::task::JoinHandle<Result<Answered>>> {
    let ask_once = || {
        let (router, key) = (router.clone(), key.map(str::to_owned));
        tokio::spawn(async move {
            let key: Vec<_> = key.iter().map(|key| ("x-api-key", key.as_str())).collect();
            ask(&router, "GET", path, &key).await
        })
    };
    (0..times).map(|_| ask_once()).collect()
}

/// Their statuses and codes, in order.
async fn outcomes(asked: Vec<tokio::task::JoinHandle<Result<Answered>>>) -> Result<Vec<(u16, String)>> {
    let mut outcomes = Vec::new();
    for answered in asked {
        let answered = answered.await??;
        outcomes.push((answered.status, answered.code()));
    }
    outcomes.sort();
    Ok(outcomes)
}

#[tokio::test]
async fn overload_leaves_health_and_teams_available() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (pool, statistics) = (backend.database.pool().await?, backend.reader.connections() - 1);
    let mut blocker = pool.begin().await?;
    sqlx::raw_sql("lock table pr_attributions in access exclusive mode").execute(&mut *blocker).await?;
    let router = router(Api { timeout: Duration::from_secs(10), ..backend.api() });
    let admitted = ask_at_once(&router, statistics, None);
    until_waiting(&pool, i64::try_from(statistics)?).await?;
    let (teams, health, sent_away) = tokio::try_join!(
        ask(&router, "GET", "/v1/teams", &[]),
        ask(&router, "GET", "/v1/health", &[]),
        ask(&router, "GET", VELOCITY, &[]),
    )?;
    assert_eq!((teams.status, health.status), (200, 200), "{} {}", teams.text, health.text);
    assert_eq!((sent_away.status, sent_away.code().as_str()), (503, "overloaded"));
    assert!(sent_away.header("retry-after").parse::<u32>().is_ok());
    blocker.rollback().await?;
    assert!(outcomes(admitted).await?.iter().all(|(status, _)| *status == 200), "admitted requests are answered");
    assert_eq!(ask(&router, "GET", VELOCITY, &[]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn health_answers_while_every_connection_is_busy() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let mut held = Vec::new();
    for _ in 0..backend.reader.connections() {
        held.push(backend.reader.session().await?);
    }
    let answered = backend.ask("/v1/health", &[]).await?;
    assert_eq!((answered.status, &answered.json()?["database"]), (200, &json!("ok")));
    Ok(())
}

#[tokio::test]
async fn slow_queries_of_one_key_leave_room() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (keys, texts) = keys(&[(Scope::MetricsRead, &[]), (Scope::MetricsRead, &[])])?;
    let pool = backend.database.pool().await?;
    let mut blocker = pool.begin().await?;
    sqlx::raw_sql("lock table pr_attributions in access exclusive mode").execute(&mut *blocker).await?;
    let router = router(Api { keys: Some(keys), timeout: Duration::from_secs(10), ..backend.api() });
    let greedy = ask_at_once(&router, 20, Some(&texts[0]));
    until_waiting(&pool, 2).await?;
    let modest = ask_at_once(&router, 1, Some(&texts[1]));
    until_waiting(&pool, 3).await?;
    let teams = ask(&router, "GET", "/v1/teams", &[("x-api-key", &texts[0])]).await?;
    assert_eq!(teams.status, 200, "{}", teams.text);
    blocker.rollback().await?;
    assert_eq!(outcomes(modest).await?, [(200, String::new())]);
    // The other requests of the first key were admitted one by one, or rejected while it was slow.
    for (status, code) in outcomes(greedy).await? {
        assert!(
            (status, code.as_str()) == (200, "") || (status, code.as_str()) == (503, "overloaded"),
            "{status} {code}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn slow_lists_of_one_key_leave_room() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let scopes = [Scope::MetricsRead, Scope::Admin].map(|scope| [(scope, &[][..]); 2]);
    let (keys, texts) = keys(scopes.as_flattened())?;
    let (pool, of_key) = (backend.database.pool().await?, backend.reader.connections() / 2);
    let api = Api { keys: Some(keys), timeout: Duration::from_secs(5), ..backend.api() };
    for (path, keys, lock) in [
        ("/v1/teams", &texts[..2], "lock table teams in access exclusive mode"),
        ("/v1/teams/payments", &texts[..2], "lock table teams in access exclusive mode"),
        ("/v1/collection/status", &texts[2..], "lock table repositories in access exclusive mode"),
        ("/v1/collection/runs", &texts[2..], "lock table collection_runs in access exclusive mode"),
    ] {
        let router = router(api.clone());
        let mut blocker = pool.begin().await?;
        sqlx::raw_sql(lock).execute(&mut *blocker).await?;
        let mut greedy = ask_for(path, &router, 20, Some(&keys[0]));
        while greedy.len() > of_key {
            let (answered, _, others) = futures::future::select_all(greedy).await;
            let answered = answered??;
            assert_eq!((answered.status, answered.code().as_str()), (503, "overloaded"), "{path}");
            greedy = others;
        }
        until_waiting(&pool, i64::try_from(of_key)?).await?;
        let modest = ask_for(path, &router, 1, Some(&keys[1]));
        until_waiting(&pool, i64::try_from(of_key)? + 1).await?;
        blocker.rollback().await?;
        assert_eq!(outcomes(modest).await?, [(200, String::new())], "{path}");
        assert!(outcomes(greedy).await?.iter().all(|(status, _)| *status == 200), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_database_bursts_are_unavailable_not_overloaded() -> Result<()> {
    let lookup = |name: &str| match name {
        "DB_URL" => Some("postgres://nobody@127.0.0.1:9/none".to_owned()),
        "REQUEST_TIMEOUT_SECONDS" => Some("1".to_owned()),
        _ => None,
    };
    let settings = Settings::from_vars(lookup)?;
    let router = router(Api::new(Reader::connect(&settings.database), settings.timeout, || at(common::NOW)));
    assert_eq!(ask(&router, "GET", VELOCITY, &[]).await?.code(), "unavailable");
    for (status, code) in outcomes(ask_at_once(&router, 20, None)).await? {
        assert_eq!((status, code.as_str()), (503, "unavailable"));
    }
    Ok(())
}

#[tokio::test]
async fn an_unsupported_file_time_zone_is_a_server_error() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    // A server with older time zones than ours.
    let unknown = r"do $$
        declare definition text := pg_get_functiondef('merge_statistics'::regproc);
        begin
            execute regexp_replace(definition, 'a.merged_at at time zone zone', 'a.merged_at at time zone (zone || ''/Gone'')', 'g');
        end $$";
    sqlx::raw_sql(unknown).execute(&backend.database.pool().await?).await?;
    for metric in ["velocity", "lead-time", "summary"] {
        let path = format!("/v1/metrics/team/payments/{metric}");
        let answered = backend.ask(&path, &[]).await?;
        assert_eq!(
            (answered.status, answered.code().as_str()),
            (503, "unknown_timezone"),
            "{metric}: {}",
            answered.text
        );
        assert!(answered.text.contains("Europe/Oslo") && answered.text.contains("teams file"), "{}", answered.text);
        let asked = backend.ask(&format!("{path}?tz=Asia/Kolkata"), &[]).await?;
        assert_eq!((asked.status, asked.refused()), (400, vec![("tz".to_owned(), "invalid".to_owned())]), "{metric}");
    }
    Ok(())
}
