//! What is not known of deployments is said in every answer that shows them.

use anyhow::Result;
use serde_json::{Value, json};

use super::{WEEK, World};

impl World {
    async fn execute(&self, sql: &'static str) -> Result<()> {
        sqlx::raw_sql(sql).execute(&self.database.pool().await?).await?;
        Ok(())
    }
}

fn warns(answer: &Value, code: &str) -> bool {
    answer["meta"]["warnings"].to_string().contains(&format!("{code}: "))
}

/// Why each bucket is not final.
fn reasons(answer: &Value) -> Vec<String> {
    let buckets = answer["data"]["buckets"].as_array().into_iter().flatten();
    buckets.map(|bucket| bucket["incomplete"].to_string()).collect()
}

#[tokio::test]
async fn lead_times_say_since_when_deployments_were_not_read() -> Result<()> {
    let world = World::new().await?;
    let lead_time = format!("/v1/metrics/team/payments/lead-time?{WEEK}&interval=day");
    let velocity = format!("/v1/metrics/team/payments/velocity?{WEEK}&interval=day");
    let whole = world.get(&lead_time).await?;
    assert_eq!((reasons(&whole), warns(&whole, "deployments_not_read")), (vec!["[]".to_owned(); 7], false));
    world
        .execute(
            "update deployment_progress
            set read_at = '2026-06-04T00:00:00Z', problem = 'no_permission', problem_message = 'hidden'",
        )
        .await?;
    let partial = world.get(&lead_time).await?;
    let mut expected = vec!["[]".to_owned(); 3];
    expected.extend(vec![json!(["deployments_not_read"]).to_string(); 4]);
    assert_eq!((reasons(&partial), warns(&partial, "deployments_not_read")), (expected, true));
    assert_eq!(partial["data"]["total"]["complete"], json!(false));
    let merged = world.get(&velocity).await?;
    assert_eq!(reasons(&merged), vec!["[]".to_owned(); 7], "merges do not need deployments");
    // The view has months, of which only May is over.
    let months =
        "select distinct to_char(month_start, 'MM') from view_dora_lead_time where is_change_lead_time_complete";
    let months = async || anyhow::Ok(sqlx::query_scalar(months).fetch_all(&world.database.pool().await?).await?);
    let complete: Vec<String> = months().await?;
    assert_eq!(complete, ["05"]);
    world.execute("update deployment_progress set read_at = '2026-05-31T00:00:00Z'").await?;
    let complete: Vec<String> = months().await?;
    assert_eq!(complete, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn frequency_is_per_day_of_the_range_also_where_only_a_part_is_known() -> Result<()> {
    let world = World::new().await?;
    let path = format!("/v1/metrics/dora?{WEEK}");
    let whole = world.get(&path).await?["data"]["total"]["deployment_frequency"].clone();
    world.execute("update deployment_progress set covered_since = '2026-06-06T00:00:00Z'").await?;
    let partial = world.get(&path).await?;
    assert_eq!(partial["data"]["total"]["deployment_frequency"], whole);
    assert_eq!((&whole["days"], &partial["data"]["total"]["complete"]), (&json!(7), &json!(false)));
    // Days that have not started do not count.
    let running = world.get("/v1/metrics/dora?from=2026-06-14&to=2026-06-20").await?;
    assert_eq!(running["data"]["total"]["deployment_frequency"]["days"], json!(2));
    Ok(())
}

#[tokio::test]
async fn what_waits_for_production_is_listed_as_it_is_counted() -> Result<()> {
    let world = World::new().await?;
    let numbers = async |query: &str| {
        let list = world.get(&format!("/v1/waiting?{query}")).await?;
        let rows = list["data"].as_array().cloned().unwrap_or_default();
        anyhow::Ok(rows.iter().map(|row| row["number"].as_i64().unwrap_or_default()).collect::<Vec<_>>())
    };
    for (query, expected) in [
        ("", &[107][..]),
        ("service=acme.shop", &[107]),
        ("team=payments", &[107]),
        ("team=platform", &[]),
        ("missing=not_collected", &[]),
    ] {
        assert_eq!(numbers(query).await?, expected, "{query}");
    }
    let list = world.get("/v1/waiting?service=acme.shop").await?;
    let row = &list["data"][0];
    assert_eq!((&row["repository"], &row["services"]), (&json!("acme/shop"), &json!(["acme.shop"])));
    let oldest = world.get("/v1/state").await?["data"][0]["oldest_not_deployed_hours"].clone();
    assert_eq!(row["waiting_hours"], oldest, "{list}");
    // Two that were merged at the same instant are on two pages, and each on one.
    world.execute("update pr_deliveries set missing = 'not_deployed_yet', deployment_id = null, delivered_at = null, via = null").await?;
    world.execute("update pull_requests set merged_at = '2026-06-04T10:00:00Z' where merged_at is not null").await?;
    let all = numbers("").await?;
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/v1/waiting?limit=2{cursor}")).await?;
        let rows = page["data"].as_array().cloned().unwrap_or_default();
        pages.extend(rows.iter().filter_map(|row| row["number"].as_i64()));
        let Some(next) = page["meta"]["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(all.len() > 2, "{all:?}");
    assert_eq!(pages, all);
    let waiting = world.get("/v1/state").await?["data"][0]["not_deployed"].clone();
    assert_eq!(waiting, json!(all.len()));
    // Without any known deployment, nobody knows what waits.
    world.execute("update deployment_facts set kind = null").await?;
    assert_eq!(numbers("").await?, [0_i64; 0]);
    assert_eq!(world.get("/v1/state").await?["data"][0]["not_deployed"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn what_is_not_collected_does_not_wait_for_a_deployment() -> Result<()> {
    let world = World::new().await?;
    let state = async || anyhow::Ok(world.get("/v1/state").await?["data"][0].clone());
    let before = state().await?;
    assert_eq!((&before["not_deployed"], &before["not_collected"]), (&json!(1), &json!(0)));
    world.execute("update pr_deliveries set missing = 'not_collected' where missing = 'not_deployed_yet'").await?;
    let after = state().await?;
    assert_eq!((&after["not_deployed"], &after["not_collected"]), (&json!(0), &json!(1)));
    assert_eq!(after["oldest_not_deployed_hours"], Value::Null);
    let listed = world.get("/v1/waiting?missing=not_collected").await?;
    assert_eq!((&listed["meta"]["count"], &listed["data"][0]["number"]), (&json!(1), &json!(107)));
    assert_eq!(world.get("/v1/waiting").await?["meta"]["count"], json!(0));
    Ok(())
}

#[tokio::test]
async fn a_deployment_without_an_end_is_abandoned_after_a_day() -> Result<()> {
    let world = World::new().await?;
    for (created_at, outcome) in [("2026-06-14T12:00:01Z", "unfinished"), ("2026-06-14T11:59:59Z", "abandoned")] {
        sqlx::query(
            "update deployments
            set outcome = 'unfinished', succeeded_at = null, failed_at = null, created_at = $1::timestamptz
            where id = (select min(id) from deployments)",
        )
        .bind(chrono::DateTime::parse_from_rfc3339(created_at)?)
        .execute(&world.database.pool().await?)
        .await?;
        let id: i64 =
            sqlx::query_scalar("select min(id) from deployments").fetch_one(&world.database.pool().await?).await?;
        let shown = world.get(&format!("/v1/deployments/{id}")).await?;
        assert_eq!(shown["data"]["outcome"], json!(outcome), "{created_at}");
    }
    // It is a warning of the days in which it began.
    for (range, is_warned) in [("from=2026-06-14&to=2026-06-15", true), ("from=2026-06-13&to=2026-06-14", false)] {
        let warnings = world.get(&format!("/v1/metrics/dora?{range}")).await?["meta"]["warnings"].to_string();
        let warning =
            "unfinished_deployments: 1 deployment neither succeeded nor failed within 24 hours; it does not count";
        assert_eq!(warnings.contains(warning), is_warned, "{range}: {warnings}");
    }
    Ok(())
}
