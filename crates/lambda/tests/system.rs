//! The whole system as it is deployed: secrets, queue, the real collector, GitHub, PostgreSQL, `CloudWatch`, the real
//! API.

mod cloud;

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cloud::{CANARY, Cloud, TOKEN, schedule};
use mergeline_fake_github::{FakePullRequest, pr};
use mergeline_test_support::{Invocation, LambdaRuntime};
use serde_json::{Value, json};

/// Two pull requests by ana, who gives half of her time to payments: one merged on Tuesday, June 2, 2026, 25 hours
/// after it was opened, the other on Wednesday, June 10, after 49 hours. A third by someone without a team.
fn history() -> [FakePullRequest; 3] {
    [
        pr("acme/api", 1).created("2026-06-01T09:00:00Z").merged("2026-06-02T10:00:00Z"),
        pr("acme/web", 2).created("2026-06-08T09:00:00Z").merged("2026-06-10T10:00:00Z"),
        pr("acme/web", 3).by("zoe").created("2026-06-01T09:00:00Z").merged("2026-06-02T10:00:00Z"),
    ]
}

/// The function `api`, with only the secret of the collector's database.
async fn api(cloud: &Cloud) -> Result<LambdaRuntime> {
    let is_needed = |name: &&str| name.starts_with("AWS_") || *name == "DB_URL_SECRET_ARN";
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
