//! The whole system as it is deployed: secrets, queue, the real collector, GitHub, PostgreSQL, `CloudWatch`, the real
//! API.

mod cloud;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use cloud::{CANARY, Cloud, TOKEN, schedule, server_with_passwords};
use mergeline_fake_github::{FakeDelivery, FakePullRequest, FakeWebhook, pr};
use mergeline_test_support::{Invocation, LambdaRuntime};
use serde_json::{Value, json};
use sqlx::PgPool;

/// Two pull requests by ana, who gives half of her time to payments: one merged on Tuesday, June 2, 2026, 25 hours
/// after it was opened, the other on Wednesday, June 10, after 49 hours. A third by someone without a team.
fn history() -> [FakePullRequest; 3] {
    [
        pr("acme/api", 1).created("2026-06-01T09:00:00Z").merged("2026-06-02T10:00:00Z"),
        pr("acme/web", 2).created("2026-06-08T09:00:00Z").merged("2026-06-10T10:00:00Z"),
        pr("acme/web", 3).by("zoe").created("2026-06-01T09:00:00Z").merged("2026-06-02T10:00:00Z"),
    ]
}

/// The function `api`, with only the secret of the collector's database, and what webhooks need.
async fn api(cloud: &Cloud) -> Result<LambdaRuntime> {
    let of_webhooks = ["WEBHOOK_SECRETS_SECRET_ARN", "CHANGES_QUEUE_URL"];
    let is_needed = |name: &&str| {
        name.starts_with("AWS_")
            || ["DB_URL_SECRET_ARN", "GATEWAY_KEY_SCOPE"].contains(name)
            || of_webhooks.contains(name)
    };
    let environment: HashMap<&str, String> = cloud
        .environment
        .iter()
        .filter(|(name, _)| is_needed(name))
        .map(|(name, value)| (*name, value.clone()))
        .collect();
    LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await
}

/// The data that API Gateway gets for an event. The status must be 200.
async fn ask(api: &mut LambdaRuntime, event: &str) -> Result<Value> {
    let Invocation::Answer(answer) = api.invoke(serde_json::from_str(event)?).await? else { bail!("no answer") };
    let body = answer["body"].as_str().context("a body")?;
    ensure!(answer["statusCode"] == 200, "{body}");
    Ok(serde_json::from_str::<Value>(body)?["data"].take())
}

/// Bucket, merged pull requests, their weight, and median hours. Only buckets with merged pull requests.
type Rows = Vec<(String, i64, f64, f64)>;

fn rows(data: &Value) -> Option<Rows> {
    let row = |bucket: &Value| {
        Some((
            bucket["bucket"].as_str()?.to_owned(),
            bucket["prs_merged"].as_i64()?,
            bucket["prs_merged_weighted"].as_f64()?,
            bucket["cycle_time"]["p50_hours"].as_f64()?,
        ))
    };
    data["buckets"].as_array()?.iter().filter(|bucket| bucket["prs_merged"] != 0).map(row).collect()
}

/// What the API returns for weeks and months.
async fn answers(api: &mut LambdaRuntime) -> Result<[Rows; 2]> {
    let velocity = ask(api, include_str!("../../../infra/events/api-velocity.json")).await?;
    let lead_time = ask(api, include_str!("../../../infra/events/api-lead-time.json")).await?;
    Ok([rows(&velocity).context("weeks")?, rows(&lead_time).context("months")?])
}

/// What it must return for [`history`]. Computed by hand: the median of two equal weights is halfway between them.
fn expected() -> [Rows; 2] {
    let row = |bucket: &str, merged: i32, hours| (bucket.to_owned(), merged.into(), 0.5 * f64::from(merged), hours);
    [vec![row("2026-W23", 1, 25.0), row("2026-W24", 1, 49.0)], vec![row("2026-06", 2, 37.0)]]
}

#[tokio::test]
async fn a_schedule_event_leads_to_correct_api_responses() -> Result<()> {
    let cloud = Cloud::new(&["acme/api", "acme/web", "acme/poison"]).await?;
    cloud.fake.put(history());
    cloud.fake.put([pr("acme/poison", 4)]);
    cloud.fake.break_repository("acme/poison", Some(422));
    let mut collector = cloud.sandbox().await?;
    cloud.collect(&mut collector).await?;
    for _ in 2..=5 {
        cloud.aws.release(&cloud.queue.url).await?;
        cloud.drain_queue(&mut collector).await?;
    }
    assert!(cloud.fake.requests().iter().all(|request| request.token.as_deref() == Some(TOKEN)));
    let dead = cloud.dead().await?;
    assert_eq!((cloud.queued().await?, dead.len(), &dead[0]["name"]), (vec![], 1, &json!("acme/poison")));
    assert_eq!(cloud.run_state().await?, "partial");

    let sum = async |name| Ok::<f64, anyhow::Error>(cloud.metric(name).await?.iter().sum());
    assert_eq!((sum("PullRequestsProcessed").await?, sum("RepositoriesFailed").await?), (3.0, 5.0));
    assert_eq!((sum("RunsCompleted").await?, sum("TokenRefused").await?), (1.0, 0.0));

    let mut api = api(&cloud).await?;
    let found = answers(&mut api).await?;
    assert_eq!(found, expected());
    let pool = cloud.database.pool().await?;
    let weeks: Rows = sqlx::query_as(
        "select iso_week, prs_merged, prs_merged_weighted::float8, median_cycle_time_hours from view_team_velocity
        where team = 'payments' and prs_merged > 0 order by iso_week",
    )
    .fetch_all(&pool)
    .await?;
    assert_eq!(weeks, found[0], "the view that Grafana reads");

    let log = api.stop().await?;
    assert!(!log.contains(CANARY), "{log}");
    cloud.end(collector).await?;
    Ok(())
}

/// The event of API Gateway for a delivery of GitHub. The gateway encodes the body if it declares its type as binary.
fn delivered(webhook: &FakeWebhook, delivery: &FakeDelivery, is_encoded: bool) -> Result<String> {
    let mut event: Value = serde_json::from_str(include_str!("../../../infra/events/api-webhook.json"))?;
    let signature = format!("sha256={}", webhook.signature(delivery.body.as_bytes()));
    for (name, value) in
        [("X-GitHub-Event", &delivery.event), ("X-GitHub-Delivery", &delivery.id), ("X-Hub-Signature-256", &signature)]
    {
        event["headers"][name] = json!(value);
        event["multiValueHeaders"][name] = json!([value]);
    }
    event["isBase64Encoded"] = json!(is_encoded);
    event["body"] = if is_encoded { json!(BASE64_STANDARD.encode(&delivery.body)) } else { json!(delivery.body) };
    Ok(event.to_string())
}

#[tokio::test]
async fn a_webhook_is_read_by_the_collector_through_its_own_queue() -> Result<()> {
    const SECRET: &str = "canary of a webhook";
    let mut cloud = Cloud::new(&["acme/api", "acme/web"]).await?;
    let changes = cloud.aws.create_queue("changes", 5).await?;
    cloud.environment.insert("CHANGES_QUEUE_URL", changes.url.clone());
    let secrets = json!({ "github": SECRET }).to_string();
    let arn = cloud.aws.create_secret("webhooks", Some(&secrets)).await?;
    cloud.environment.insert("WEBHOOK_SECRETS_SECRET_ARN", arn);
    cloud.fake.put(history());
    let mut collector = cloud.sandbox().await?;
    cloud.collect(&mut collector).await?;
    let mut api = api(&cloud).await?;
    let merged = || pr("acme/api", 9).created("2026-06-08T09:00:00Z").merged("2026-06-10T10:00:00Z");
    cloud.fake.put([merged()]);
    let webhook = FakeWebhook::new("", SECRET);
    let event = cloud.fake.event("acme/api", "closed", Some(("pull_request", "pulls/9"))).await?;
    let first = webhook.delivery("pull_request", &event);
    let mut ahead = event.clone();
    // The list does not show this change yet.
    ahead["pull_request"]["updated_at"] = json!("2026-06-10T11:00:00Z");
    let second = webhook.delivery("pull_request", &ahead);
    let stranger = FakeWebhook::new("", "someone else's");
    for (webhook, delivery, is_encoded, status) in [
        (&webhook, &first, true, 202),
        (&webhook, &first, false, 202),
        (&webhook, &second, false, 202),
        (&stranger, &second, false, 401),
    ] {
        let event = serde_json::from_str(&delivered(webhook, delivery, is_encoded)?)?;
        let Invocation::Answer(answer) = api.invoke(event).await? else { bail!("no answer") };
        assert_eq!(answer["statusCode"], status, "{answer}");
    }
    let queued = cloud.aws.messages(&changes.url).await?;
    assert_eq!(queued.len(), 2, "the repetition is not queued: {queued:?}");
    let queue = cloud.client().await.queue(&changes.url);
    let runs = cloud.run_state().await?;
    cloud.aws.release(&changes.url).await?;
    let received = queue.receive(10).await?;
    let outcome = collector.answer(cloud::event(&received)?).await?;
    assert_eq!(outcome, json!({ "batchItemFailures": [] }));
    for message in &received {
        queue.delete(&message.receipt_handle).await?;
    }
    let again = cloud.aws.messages(&changes.url).await?;
    let again: Value = serde_json::from_str(&again.first().context("the list lags behind")?.body)?;
    assert_eq!((&again["kind"], &again["tries"]), (&json!("read"), &json!(1)));
    let shown = answers(&mut api).await?;
    assert_eq!(shown[1], [("2026-06".to_owned(), 3, 1.5, 49.0)], "without a run");
    assert_eq!((cloud.run_state().await?, cloud.queued().await?), (runs, vec![]));
    let log = api.stop().await?;
    assert!(!log.contains(CANARY), "{log}");
    cloud.end(collector).await?;
    Ok(())
}

/// What the next release may do to a schema that this one still works with: additions only.
const NEXT_RELEASE_ADDITIONS: &str = "
    alter table pull_requests add column cherry_picked_from bigint;
    alter table repositories add column default_branch text not null default 'main';
    alter table collection_runs add column trigger text not null default 'schedule';
    create table experiments (
        tenant_id integer, id bigint, pull_request_id bigint, primary key (tenant_id, id),
        foreign key (tenant_id, pull_request_id) references pull_requests (tenant_id, id)
    );
    insert into _sqlx_migrations (version, description, success, checksum, execution_time)
    values (99991231000000, 'of the next release', true, '', 0)";

#[tokio::test]
async fn this_release_works_with_the_next_releases_schema() -> Result<()> {
    let cloud = Cloud::new(&["acme/api", "acme/web"]).await?;
    cloud.fake.put(history());
    let pool = cloud.database.pool().await?;
    sqlx::raw_sql(NEXT_RELEASE_ADDITIONS).execute(&pool).await?;
    let mut collector = cloud.sandbox().await?;
    assert_eq!(collector.answer(json!({ "action": "migrate" })).await?, json!({ "action": "migrate" }));
    cloud.collect(&mut collector).await?;
    assert_eq!(cloud.run_state().await?, "succeeded");
    assert_eq!(answers(&mut api(&cloud).await?).await?, expected());

    sqlx::raw_sql("update schema_requirements set least_migration = 99991231000000").execute(&pool).await?;
    let requests = cloud.fake.requests().len();
    assert_eq!(collector.error(schedule()?).await?, "db_schema");
    assert_eq!(cloud.fake.requests().len(), requests);
    cloud.end(collector).await?;
    Ok(())
}

/// Ends the connections of a login, as a failover does.
async fn disconnect(pool: &PgPool, logins: &[&str]) -> Result<()> {
    sqlx::query("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = any($1)")
        .bind(logins)
        .execute(pool)
        .await?;
    Ok(())
}

#[tokio::test]
async fn each_function_uses_a_login_that_the_migrator_makes() -> Result<()> {
    let mut cloud = Cloud::new(&["acme/api", "acme/web"]).await?;
    cloud.fake.put(history());
    let (server, pool, url) = server_with_passwords().await?;
    let owner = cloud.aws.create_secret("owner", Some(&url.replace("{}", "canary-1"))).await?;
    let of = |login: &str, password: &str| url.replacen("collector:{}@", &format!("{login}:{password}@"), 1);
    let writer = cloud.aws.create_secret("writer", Some(&of("writer", "canary-w1"))).await?;
    let reader = cloud.aws.create_secret("reader", Some(&of("reader", "canary-r1"))).await?;
    cloud.environment.insert("DB_URL_SECRET_ARN", writer.clone());
    let mut collector = cloud.sandbox().await?;
    assert_eq!(collector.error(schedule()?).await?, "db_auth", "nobody has made its login yet");

    let mut environment = cloud.aws.environment();
    environment.extend([
        ("DB_URL_SECRET_ARN", owner),
        ("DB_WRITER_URL_SECRET_ARN", writer.clone()),
        ("DB_READER_URL_SECRET_ARN", reader.clone()),
        ("RUST_LOG", "debug".to_owned()),
    ]);
    let mut migrator = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_collector")), &environment).await?;
    let Invocation::Error(error) = migrator.invoke(schedule()?).await? else { bail!("it collects") };
    assert_eq!(error["errorType"], "event.unknown", "it is for nothing else");
    let migrate = json!({ "action": "migrate" });
    let Invocation::Answer(answer) = migrator.invoke(migrate.clone()).await? else { bail!("it does not migrate") };
    assert_eq!(answer, migrate);

    cloud.collect(&mut collector).await?;
    cloud.environment.insert("DB_URL_SECRET_ARN", reader.clone());
    let mut reading = api(&cloud).await?;
    // Each looks with its own login.
    let doctor = json!({ "action": "doctor" });
    let lets_in = |login: &str| format!("it lets the login `{login}` in, and the schema fits");
    for (asked, login) in [
        (migrator.invoke(doctor.clone()).await?, "collector"),
        (collector.runtime.invoke(doctor.clone()).await?, "writer"),
        (reading.invoke(doctor).await?, "reader"),
    ] {
        let Invocation::Answer(answer) = asked else { bail!("{login}: {asked:?}") };
        let checks = answer["checks"].as_array().context("checks")?;
        assert!(checks.iter().all(|check| check["state"] == "ok"), "{answer}");
        assert!(checks.iter().any(|check| check["message"] == lets_in(login)), "{answer}");
        assert!(!answer.to_string().contains(CANARY), "{answer}");
    }
    assert_eq!(answers(&mut reading).await?, expected());
    cloud.environment.insert("GATEWAY_KEY_SCOPE", "events:write".to_owned());
    let mut posting = api(&cloud).await?;
    let deployment = serde_json::from_str(include_str!("../../../infra/events/api-deployment.json"))?;
    let Invocation::Answer(answer) = posting.invoke(deployment).await? else { bail!("no answer") };
    assert_eq!(answer["statusCode"], 201, "{answer}");

    // New passwords in the secrets are in force once the migrator has run, and warm sandboxes read them then.
    cloud.aws.put_secret(&writer, &of("writer", "canary-w2")).await?;
    cloud.aws.put_secret(&reader, &of("reader", "canary-r2")).await?;
    let Invocation::Answer(_) = migrator.invoke(migrate.clone()).await? else { bail!("it does not migrate") };
    disconnect(&pool, &["writer", "reader"]).await?;
    cloud.collect(&mut collector).await?;
    assert_eq!(answers(&mut reading).await?, expected());

    // A collection with an older schema says so, and sends GitHub nothing.
    let numbers = PgPool::connect(&server.superuser_url("numbers")).await?;
    sqlx::raw_sql("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)")
        .execute(&numbers)
        .await?;
    let requests = cloud.fake.requests().len();
    assert_eq!(collector.error(schedule()?).await?, "schema_outdated");
    assert_eq!(collector.error(migrate.clone()).await?, "schema_outdated");
    assert_eq!(cloud.fake.requests().len(), requests);
    let Invocation::Answer(_) = migrator.invoke(migrate).await? else { bail!("it does not migrate") };
    collector.answer(schedule()?).await?;
    for runtime in [migrator, reading, posting] {
        let log = runtime.stop().await?;
        assert!(!log.contains(CANARY) && !log.contains("SCRAM-SHA-256$"), "{log}");
    }
    cloud.end(collector).await?;
    Ok(())
}
