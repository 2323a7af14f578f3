//! The real binary `collector` under the Lambda runtime protocol.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use mergeline_test_support::{FakeGitHub, Invocation, LambdaRuntime, TestDatabase, pr};
use serde_json::{Value, json};

const TEAMS: &str = r#"[{"slug": "payments", "members": [{"github_username": "ana", "allocation_weight": 0.5}]}]"#;

fn environment(fake: &FakeGitHub, database: &TestDatabase) -> HashMap<&'static str, String> {
    HashMap::from([
        ("DB_URL", database.url().to_owned()),
        ("GITHUB_API_URL", fake.url()),
        ("GITHUB_PAT", "ghp_canary".to_owned()),
        ("TEAM_CONFIG_JSON", TEAMS.to_owned()),
        ("REPOSITORIES", "acme/api,acme/gone".to_owned()),
        ("BACKFILL_DAYS", "3650".to_owned()),
    ])
}

async fn start(environment: &HashMap<&str, String>) -> Result<LambdaRuntime> {
    LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_collector")), environment).await
}

fn schedule() -> Result<Value> {
    Ok(serde_json::from_str(include_str!("../../../events/schedule.json"))?)
}

fn answer(outcome: Invocation) -> Value {
    match outcome {
        Invocation::Answer(answer) => answer,
        Invocation::Error(error) => panic!("the invocation failed: {error}"),
    }
}

#[tokio::test]
async fn a_schedules_event_collects_and_a_second_one_changes_nothing() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put([pr("acme/api", 1).merged("2026-06-02T10:00:00Z")]);
    let database = TestDatabase::create().await?;
    let mut function = start(&environment(&fake, &database)).await?;
    let first = answer(function.invoke(schedule()?).await?);
    assert_eq!((&first["action"], &first["state"]), (&json!("collect"), &json!("partial")));
    assert_eq!(first["repositories"][0]["kept"], json!(1));
    assert_eq!(first["repositories"][1]["reason"]["code"], json!("repo_not_accessible"));
    let digest = database.digest().await?;
    let second = answer(function.invoke(schedule()?).await?);
    assert_eq!(second["repositories"][0]["changed"], json!(0));
    assert_eq!(database.digest().await?, digest);
    let log = function.stop().await?;
    let lines: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert!(lines.iter().any(|line| line["run.state"] == json!("partial") && line["kept"] == json!(1)), "{log}");
    assert!(!log.contains("canary"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_migrate_event_migrates_an_empty_database_and_asks_github_nothing() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    sqlx::raw_sql("drop schema public cascade; create schema public").execute(&pool).await?;
    let mut function = start(&environment(&fake, &database)).await?;
    assert_eq!(answer(function.invoke(json!({ "action": "migrate" })).await?), json!({ "action": "migrate" }));
    assert_eq!(fake.requests(), []);
    let tables: i64 = sqlx::query_scalar("select count(*) from pr_metrics").fetch_one(&pool).await?;
    assert_eq!(tables, 0);
    Ok(())
}

#[tokio::test]
async fn errors_of_the_foundation_fail_the_invocation_with_a_code() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let database = TestDatabase::create().await?;
    for (variable, value, code) in [
        ("DB_URL", "postgres://nobody@127.0.0.1:9/none".to_owned(), "db_unavailable"),
        ("TEAM_CONFIG_JSON", "[{\"slug\": \"payments\"}]".to_owned(), "config.missing_key"),
        ("GITHUB_PAT", "\"quoted\"".to_owned(), "config.token_format"),
    ] {
        let mut environment = environment(&fake, &database);
        environment.insert(variable, value);
        let mut function = start(&environment).await?;
        let Invocation::Error(error) = function.invoke(schedule()?).await? else { panic!("{code}") };
        assert_eq!(error["errorType"], json!(code), "{error}");
    }
    assert_eq!(fake.requests(), []);
    Ok(())
}

#[tokio::test]
async fn an_event_that_asks_for_something_unknown_is_refused() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let database = TestDatabase::create().await?;
    let mut function = start(&environment(&fake, &database)).await?;
    let Invocation::Error(error) = function.invoke(json!({ "action": "explode" })).await? else { panic!("accepted") };
    assert_eq!(error["errorType"], json!("event.unknown"));
    Ok(())
}
