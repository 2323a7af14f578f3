//! The real binary `collector` under the Lambda runtime protocol.

mod cloud;

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, Result};
use cloud::{Cloud, TOKEN, at_level, server_with_passwords};
use mergeline_fake_github::{FakeGitHub, pr};
use mergeline_test_support::{AwsFault, AwsService, Invocation, LambdaRuntime, TestDatabase, app_key};
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
    Ok(serde_json::from_str(include_str!("../../../infra/events/schedule.json"))?)
}

fn answer(outcome: Invocation) -> Value {
    match outcome {
        Invocation::Answer(answer) => answer,
        Invocation::Error(error) => panic!("the invocation failed: {error}"),
    }
}

#[tokio::test]
async fn a_second_schedule_event_changes_nothing() -> Result<()> {
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
    let summary = lines.iter().find(|line| line["run.state"] == json!("partial") && line["kept"] == json!(1));
    assert_eq!(summary.context("a summary")?["spans"][0]["name"], json!("run"), "spans are on by default");
    assert!(!log.contains("canary"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_migrate_event_migrates_without_calling_github() -> Result<()> {
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
async fn a_warm_sandbox_migrates_on_request_and_schedule() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    let mut function = start(&environment(&fake, &database)).await?;
    for event in [json!({ "action": "migrate" }), json!({ "action": "migrate" }), json!({}), schedule()?] {
        sqlx::raw_sql("drop schema public cascade; create schema public").execute(&pool).await?;
        answer(function.invoke(event.clone()).await?);
        let tables: i64 = sqlx::query_scalar("select count(*) from pr_metrics").fetch_one(&pool).await?;
        assert_eq!(tables, 0, "{event}");
    }
    Ok(())
}

#[tokio::test]
async fn fatal_errors_fail_the_invocation_with_a_code() -> Result<()> {
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
async fn an_event_with_an_unknown_action_is_refused() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let database = TestDatabase::create().await?;
    let mut function = start(&environment(&fake, &database)).await?;
    let Invocation::Error(error) = function.invoke(json!({ "action": "explode" })).await? else { panic!("accepted") };
    assert_eq!(error["errorType"], json!("event.unknown"));
    Ok(())
}

#[tokio::test]
async fn the_collector_says_what_it_reaches_and_changes_nothing() -> Result<()> {
    let mut cloud = Cloud::new(&["acme/api"]).await?;
    cloud.fake.put([pr("acme/api", 1)]);
    let states = |answer: &Value| -> Vec<String> {
        let checks = answer["checks"].as_array().into_iter().flatten();
        checks.map(|check| format!("{} {}", check["name"], check["state"]).replace('"', "")).collect()
    };
    let all = ["secret DB_URL", "secret GITHUB_PAT", "settings", "database", "queue", "GitHub"];
    let mut sandbox = cloud.sandbox().await?;
    let digest = cloud.database.digest().await?;
    let answer = sandbox.answer(json!({ "action": "doctor" })).await?;
    assert_eq!(states(&answer), all.map(|name| format!("{name} ok")), "{answer}");
    assert_eq!(cloud.database.digest().await?, digest, "it plans, migrates and collects nothing");
    assert_eq!(cloud.work.depth().await?, 0);
    // Somebody has replaced the token by a wrong one.
    cloud.aws.put_secret(&cloud.token_arn, "ghp_canary_wrong").await?;
    let answer = sandbox.answer(json!({ "action": "doctor" })).await?;
    assert_eq!(states(&answer).last().map(String::as_str), Some("GitHub error"), "{answer}");
    cloud.end(sandbox).await?;
    // A secret that cannot be read is the cause of the rest, which is not checked.
    let missing = format!("{}-gone", cloud.token_arn);
    cloud.environment.insert("GITHUB_TOKEN_SECRET_ARN", missing);
    let mut sandbox = cloud.sandbox().await?;
    let answer = sandbox.answer(json!({ "action": "doctor" })).await?;
    assert_eq!(states(&answer), ["secret DB_URL ok", "secret GITHUB_PAT error"], "{answer}");
    cloud.end(sandbox).await?;
    Ok(())
}

/// Requests per failing call.
const ATTEMPTS: u32 = 3;

/// A deployment without queues, with a pull request by ana in each of two repositories.
async fn one_process() -> Result<Cloud> {
    let cloud = Cloud::without_queues(&["acme/api", "acme/web"]).await?;
    cloud.fake.put([pr("acme/api", 1), pr("acme/web", 2)]);
    Ok(cloud)
}

#[tokio::test]
async fn secrets_are_fetched_once_for_many_invocations() -> Result<()> {
    let cloud = one_process().await?;
    let mut sandbox = cloud.sandbox().await?;
    for _ in 0..2 {
        assert_eq!(sandbox.answer(schedule()?).await?["state"], json!("succeeded"));
    }
    assert!(cloud.fake.requests().iter().all(|request| request.token.as_deref() == Some(TOKEN)));
    assert_eq!(cloud.aws.requests("GetSecretValue").await?, 2);
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn a_scheduled_run_waits_for_an_empty_secret() -> Result<()> {
    let mut cloud = one_process().await?;
    let arn = cloud.aws.create_secret("created-empty", None).await?;
    cloud.environment.insert("GITHUB_TOKEN_SECRET_ARN", arn.clone());
    let mut sandbox = cloud.sandbox().await?;
    let answer = sandbox.answer(schedule()?).await?;
    assert_eq!(answer["action"], json!("wait"));
    assert!(answer["reason"].as_str().is_some_and(|text| text.contains(&arn)), "{answer}");
    // A migration request must fail, because its caller waits for the result.
    assert_eq!(sandbox.error(json!({ "action": "migrate" })).await?, "secret_empty");
    cloud.aws.put_secret(&arn, TOKEN).await?;
    assert_eq!(sandbox.answer(schedule()?).await?["state"], json!("succeeded"));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn setting_only_one_queue_url_is_refused() -> Result<()> {
    let mut cloud = Cloud::new(&["acme/api"]).await?;
    cloud.environment.remove("DEAD_LETTER_QUEUE_URL");
    let mut sandbox = cloud.sandbox().await?;
    assert_eq!(sandbox.error(schedule()?).await?, "config.queues");
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f18_a_refused_token_is_refreshed_only_once() -> Result<()> {
    let cloud = one_process().await?;
    cloud.fake.require_token("ghp_another");
    let mut sandbox = cloud.sandbox().await?;
    assert_eq!(sandbox.error(schedule()?).await?, "github_unauthorized");
    assert_eq!((cloud.refusals(), cloud.fake.requests().len()), (1, 1));
    assert_eq!(cloud.aws.requests("GetSecretValue").await?, 2 + 2);
    for (name, (_, code)) in cloud.results().await? {
        assert_eq!(code.as_deref(), Some("github_unauthorized"), "{name}");
    }
    assert_eq!(cloud.metric("TokenRefused").await?, [1.0]);
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f19_a_warm_sandbox_picks_up_a_rotated_token() -> Result<()> {
    let cloud = one_process().await?;
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    cloud.fake.require_token("ghp_canary_too");
    cloud.aws.put_secret(&cloud.token_arn, "ghp_canary_too").await?;
    assert_eq!(sandbox.answer(schedule()?).await?["state"], json!("succeeded"));
    assert_eq!(cloud.refusals(), 1);
    assert_eq!(cloud.metric("TokenRefused").await?, [0.0, 0.0]);
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f19_f41_a_warm_sandbox_picks_up_a_rotated_password() -> Result<()> {
    let (_server, pool, url) = server_with_passwords().await?;
    let mut cloud = one_process().await?;
    let arn = cloud.aws.create_secret("rotated", Some(&url.replace("{}", "canary-wrong"))).await?;
    cloud.environment.insert("DB_URL_SECRET_ARN", arn.clone());
    let mut sandbox = cloud.sandbox().await?;
    assert_eq!(sandbox.error(schedule()?).await?, "db_auth");
    assert_eq!(cloud.fake.requests(), []);
    for password in ["canary-1", "canary-2"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("alter role collector password '{password}'")))
            .execute(&pool)
            .await?;
        // End the connections that used the previous password.
        sqlx::raw_sql("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = 'collector'")
            .execute(&pool)
            .await?;
        cloud.aws.put_secret(&arn, &url.replace("{}", password)).await?;
        assert_eq!(sandbox.answer(schedule()?).await?["state"], json!("succeeded"), "{password}");
    }
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f20_only_cold_sandboxes_fail_without_secrets_manager() -> Result<()> {
    let cloud = one_process().await?;
    let mut warm = cloud.sandbox().await?;
    warm.answer(schedule()?).await?;
    cloud.aws.fail_next(AwsService::SecretsManager, AwsFault::Unavailable, ATTEMPTS).await?;
    let mut cold = cloud.sandbox().await?;
    assert_eq!(warm.answer(schedule()?).await?["state"], json!("succeeded"));
    assert_eq!(cold.error(schedule()?).await?, "aws_unavailable");
    assert_eq!(cold.answer(schedule()?).await?["state"], json!("succeeded"), "the cold sandbox recovers");
    cloud.end(warm).await?;
    cloud.end(cold).await?;
    Ok(())
}

#[tokio::test]
async fn f20_a_refused_token_is_reported_without_secrets_manager() -> Result<()> {
    let cloud = one_process().await?;
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    cloud.fake.require_token("ghp_another");
    cloud.aws.fail_next(AwsService::SecretsManager, AwsFault::Unavailable, ATTEMPTS).await?;
    assert_eq!(sandbox.error(schedule()?).await?, "github_unauthorized");
    assert_eq!(cloud.metric("TokenRefused").await?, [0.0, 1.0]);
    let log = cloud.end(sandbox).await?;
    assert!(at_level(&log, "WARN").iter().any(|line| line["code"] == json!("aws_unavailable")), "{log:?}");
    Ok(())
}

#[tokio::test]
async fn f51_refused_metrics_do_not_fail_a_run() -> Result<()> {
    let cloud = one_process().await?;
    cloud.aws.fail_next(AwsService::CloudWatch, AwsFault::Denied, 1).await?;
    let mut sandbox = cloud.sandbox().await?;
    assert_eq!(sandbox.answer(schedule()?).await?["state"], json!("succeeded"));
    let log = cloud.end(sandbox).await?;
    let codes: Vec<&Value> = at_level(&log, "WARN").iter().map(|line| &line["code"]).collect();
    assert_eq!(codes, [&json!("metrics_denied")]);
    Ok(())
}

/// A deployment with an App that is installed at acme, and a personal token for all others.
async fn with_an_app(key: &str) -> Result<Cloud> {
    let mut cloud = Cloud::without_queues(&["acme/api", "bolt/web"]).await?;
    cloud.fake.put([pr("acme/api", 1), pr("bolt/web", 2)]);
    cloud.fake.install_app("4711", &["acme"]);
    let arn = cloud.aws.create_secret("app-key", Some(key)).await?;
    cloud.environment.extend([("GITHUB_APP_ID", "4711".to_owned()), ("GITHUB_APP_KEY_SECRET_ARN", arn)]);
    Ok(cloud)
}

/// The tokens of the requests for the repositories of an owner.
fn tokens(fake: &FakeGitHub, owner: &str) -> BTreeSet<String> {
    let of_owner = |path: &str| path.starts_with(&format!("/repos/{owner}/"));
    let requests = fake.requests().into_iter().filter(|request| of_owner(&request.path));
    requests.filter_map(|request| request.token).collect()
}

#[tokio::test]
async fn app_tokens_are_used_only_where_installed() -> Result<()> {
    let key = app_key()?;
    let cloud = with_an_app(&key).await?;
    let mut sandbox = cloud.sandbox().await?;
    assert_eq!(sandbox.answer(schedule()?).await?["state"], json!("succeeded"));
    assert_eq!(tokens(&cloud.fake, "acme"), BTreeSet::from(["ghs_1_acme".to_owned()]));
    assert_eq!(tokens(&cloud.fake, "bolt"), BTreeSet::from([TOKEN.to_owned()]));
    let issued = |cloud: &Cloud| cloud.fake.requests().iter().filter(|one| one.path.ends_with("access_tokens")).count();
    assert_eq!(issued(&cloud), 1);
    sandbox.answer(schedule()?).await?;
    assert_eq!(issued(&cloud), 1, "the warm sandbox keeps it");
    let log = format!("{:?}", cloud.end(sandbox).await?);
    let middle = key.lines().nth(5).context("a line of the key")?;
    assert!(!log.contains(middle) && !log.contains("ghs_"), "{log}");
    Ok(())
}

#[tokio::test]
async fn expired_app_tokens_are_renewed_within_the_invocation() -> Result<()> {
    let cloud = with_an_app(&app_key()?).await?;
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    cloud.fake.expire_installation_tokens();
    assert_eq!(sandbox.answer(schedule()?).await?["state"], json!("succeeded"));
    let both = ["ghs_1_acme", "ghs_2_acme"].map(str::to_owned);
    assert_eq!((tokens(&cloud.fake, "acme"), cloud.refusals()), (BTreeSet::from(both), 1));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn an_invalid_app_key_is_refused_and_hidden() -> Result<()> {
    let cloud = with_an_app("-----BEGIN RSA PRIVATE KEY-----\ncanary\n-----END RSA PRIVATE KEY-----").await?;
    let mut sandbox = cloud.sandbox().await?;
    assert_eq!(sandbox.error(schedule()?).await?, "config.app_key");
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn log_lines_carry_their_run_repository_and_query() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put([pr("acme/api", 1).merged("2026-06-02T10:00:00Z")]);
    let database = TestDatabase::create().await?;
    let mut environment = environment(&fake, &database);
    environment.insert("RUST_LOG", "warn,mergeline=info,collector=info,spans=debug,sqlx::query=debug".to_owned());
    let mut function = start(&environment).await?;
    answer(function.invoke(schedule()?).await?);
    let log = function.stop().await?;
    let lines: Vec<Value> = log.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let names = |line: &Value| {
        let spans = line["spans"].as_array().into_iter().flatten();
        spans.filter_map(|span| span["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let summary = lines.iter().find(|line| line["kept"] == json!(1)).context("a line about the run")?;
    assert_eq!((names(summary), &summary["spans"][0]["run.id"]), (vec!["run".to_owned()], &json!(1)), "{summary}");
    let query = lines.iter().find(|line| names(line) == ["run", "repository", "query"]).context("a query's line")?;
    assert!(["acme/api", "acme/web"].contains(&query["spans"][1]["repo.name"].as_str().unwrap_or_default()), "{query}");
    Ok(())
}
