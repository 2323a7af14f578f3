//! The real binary `api` under the Lambda runtime protocol, with API Gateway's REST events.

mod common;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use common::{Backend, TEAMS, history};
use mergeline_domain::Problems;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_local_postgres::Server;
use mergeline_store::{ApplyOptions, DatabaseSettings, Store};
use mergeline_test_support::{AwsEmulator, Invocation, LambdaRuntime, at};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};

async fn start(backend: &Backend) -> Result<LambdaRuntime> {
    let environment = HashMap::from([("DB_URL", backend.database.url().to_owned())]);
    LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await
}

/// The status and the JSON of a proxy answer.
async fn ask(function: &mut LambdaRuntime, event: &str) -> Result<(i64, Value)> {
    match function.invoke(serde_json::from_str(event)?).await? {
        Invocation::Answer(answer) => {
            let body = answer["body"].as_str().context("a body")?;
            Ok((answer["statusCode"].as_i64().context("a status")?, serde_json::from_str(body)?))
        }
        Invocation::Error(error) => anyhow::bail!("the invocation failed: {error}"),
    }
}

#[tokio::test]
async fn rest_events_are_answered_with_the_numbers_of_the_router() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let mut function = start(&backend).await?;
    for (event, path) in [
        (include_str!("../../../events/api-teams.json"), "/v1/teams"),
        (
            include_str!("../../../events/api-velocity.json"),
            "/v1/metrics/team/payments/velocity?from=2026-06-01&to=2026-06-15",
        ),
        (
            include_str!("../../../events/api-lead-time.json"),
            "/v1/metrics/team/payments/lead-time?from=2026-06-01&to=2026-07-01",
        ),
    ] {
        let (status, answer) = ask(&mut function, event).await?;
        assert_eq!(status, 200, "{path}: {answer}");
        assert_eq!(
            answer["data"],
            without_completeness(backend.get(path).await?.1["data"].clone(), &answer["data"]),
            "{path}"
        );
        assert_eq!(answer["trace_id"], json!(LambdaRuntime::TRACE_ID), "Lambda's own, which its logs carry");
    }
    Ok(())
}

/// The binary lives by the real clock, the router of the test by its own: only whether a bucket is over differs.
fn without_completeness(mut expected: Value, found: &Value) -> Value {
    let buckets = expected.pointer_mut("/buckets").and_then(Value::as_array_mut);
    if let (Some(expected), Some(found)) = (buckets, found["buckets"].as_array()) {
        for (bucket, found) in expected.iter_mut().zip(found) {
            bucket["complete"] = found["complete"].clone();
        }
    }
    expected
}

#[tokio::test]
async fn unknown_paths_and_parameters_get_the_envelope_in_lambda_too() -> Result<()> {
    let backend = Backend::empty().await?;
    let mut function = start(&backend).await?;
    let event = include_str!("../../../events/api-teams.json");
    let (status, answer) = ask(&mut function, &event.replace("/teams", "/nothing")).await?;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")));
    let event = include_str!("../../../events/api-velocity.json").replace("\"from\"", "\"form\"");
    let (status, answer) = ask(&mut function, &event).await?;
    assert_eq!((status, &answer["error"]["details"][0]["parameter"]), (400, &json!("form")));
    Ok(())
}

#[tokio::test]
async fn the_databases_url_is_read_from_its_secret_at_the_start_and_shown_nowhere() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let aws = AwsEmulator::start().await?;
    let url = backend.database.url().replacen("postgres://postgres@", "postgres://postgres:canary@", 1);
    let mut environment = aws.environment();
    environment.insert("DB_URL_SECRET_ARN", aws.create_secret("database", Some(&url)).await?);
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    for _ in 0..2 {
        let (status, answer) = ask(&mut function, include_str!("../../../events/api-teams.json")).await?;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(aws.requests("GetSecretValue").await?, 1);
    let log = function.stop().await?;
    assert!(!log.contains("canary"), "{log}");
    Ok(())
}

#[tokio::test]
async fn hashed_keys_are_read_from_their_secret_and_checked_here() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let aws = AwsEmulator::start().await?;
    // printf %s local-only-not-a-secret | sha256sum
    let sha256 = "ccecef4cea4247d249a8564333749220b1ff39429ee34fa792a60295a9f3fd63";
    let keys = format!(r#"[{{"name": "canary", "sha256": "{sha256}", "scopes": ["admin"]}}]"#);
    let mut environment = aws.environment();
    environment.insert("DB_URL", backend.database.url().to_owned());
    environment.insert("API_KEYS_SECRET_ARN", aws.create_secret("keys", Some(&keys)).await?);
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let event = include_str!("../../../events/api-teams.json");
    assert_eq!(ask(&mut function, event).await?.0, 200);
    let (status, answer) = ask(&mut function, &event.replace("local-only", "another-one")).await?;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("forbidden")));
    assert_eq!(ask(&mut function, &event.replace("x-api-key", "x-other")).await?.0, 401);
    let log = function.stop().await?;
    assert!(!log.contains(sha256) && !log.contains("local-only"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_ends_the_start_with_what_to_do() -> Result<()> {
    let backend = Backend::empty().await?;
    let aws = AwsEmulator::start().await?;
    let arn = aws.create_secret("created-empty", None).await?;
    for (also, said) in [(None, "put-secret-value"), (Some(backend.database.url()), "unset one of them")] {
        let mut environment = aws.environment();
        environment.insert("DB_URL_SECRET_ARN", arn.clone());
        environment.extend(also.map(|url| ("DB_URL", url.to_owned())));
        let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
        let event = serde_json::from_str(include_str!("../../../events/api-teams.json"))?;
        let error = function.invoke(event).await.err().context("it starts")?;
        assert!(error.to_string().contains(said), "{error}");
    }
    Ok(())
}

/// A private server that wants a password from `api`, and the URL of a database of it with teams, with `{}` for the
/// password, which is `canary-1`.
async fn server_with_passwords() -> Result<(Server, PgPool, String)> {
    let server = tokio::task::spawn_blocking(Server::throwaway).await??;
    let pool = PgPool::connect(&server.url("postgres")).await?;
    for step in [
        "create role api login superuser password 'canary-1'",
        "create database numbers owner api",
        "create table rules as values ('local all api scram-sha-256'), ('local all all trust')",
        "do $$ begin execute format('copy rules to %L', current_setting('hba_file')); end $$",
        "select pg_reload_conf()",
    ] {
        sqlx::raw_sql(step).execute(&pool).await?;
    }
    let url = server.url("numbers").replacen("postgres@", "api:{}@", 1);
    // The server reads its rules at its leisure.
    let are_in_force = async { while PgPool::connect(&url.replace("{}", "wrong")).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), are_in_force).await?;
    let settings = DatabaseSettings::parse(&url.replace("{}", "canary-1").into()).map_err(Problems::from)?;
    let store = Store::connect(&settings);
    store.migrate().await?;
    let teams = TeamsFile::parse("teams.yaml", TEAMS.as_bytes())?;
    store.apply(&teams, ApplyOptions::default(), at(common::NOW)).await?;
    store.close().await;
    Ok((server, pool, url))
}

/// Changes the password, and ends the connections that were let in with the one before.
async fn change_password(pool: &PgPool, password: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(format!("alter role api password '{password}'"))).execute(pool).await?;
    sqlx::raw_sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'api'").execute(pool).await?;
    Ok(())
}

#[tokio::test]
async fn f19_a_password_that_was_changed_is_used_by_the_warm_api_after_one_look_at_its_secret() -> Result<()> {
    let (_server, pool, url) = server_with_passwords().await?;
    let aws = AwsEmulator::start().await?;
    let arn = aws.create_secret("database", Some(&url.replace("{}", "canary-1"))).await?;
    let mut environment = aws.environment();
    environment.insert("DB_URL_SECRET_ARN", arn.clone());
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let event = include_str!("../../../events/api-teams.json");
    let (_, before) = ask(&mut function, event).await?;
    assert_eq!(before["meta"]["count"], json!(3), "{before}");
    change_password(&pool, "canary-2").await?;
    aws.put_secret(&arn, &url.replace("{}", "canary-2")).await?;
    for _ in 0..2 {
        let (status, answer) = ask(&mut function, event).await?;
        assert_eq!((status, &answer["data"]), (200, &before["data"]), "{answer}");
    }
    assert_eq!(aws.requests("GetSecretValue").await?, 1 + 1, "at the start, and once for the new one");
    let log = function.stop().await?;
    assert!(!log.contains("canary"), "{log}");
    Ok(())
}

#[tokio::test]
async fn f41_a_password_that_no_secret_knows_is_a_503_until_the_secret_does() -> Result<()> {
    let (_server, pool, url) = server_with_passwords().await?;
    let aws = AwsEmulator::start().await?;
    let arn = aws.create_secret("database", Some(&url.replace("{}", "canary-0"))).await?;
    let mut environment = aws.environment();
    environment.insert("DB_URL_SECRET_ARN", arn.clone());
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let event = include_str!("../../../events/api-teams.json");
    let (status, answer) = ask(&mut function, event).await?;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("unavailable")));
    assert_eq!(aws.requests("GetSecretValue").await?, 1 + 1, "at the start, and once in vain");
    aws.put_secret(&arn, &url.replace("{}", "canary-1")).await?;
    assert_eq!(ask(&mut function, event).await?.0, 200);
    change_password(&pool, "canary-3").await?;
    assert_eq!(ask(&mut function, event).await?.0, 503);
    let log = function.stop().await?;
    assert!(log.contains("db_auth") && !log.contains("canary"), "{log}");
    Ok(())
}
