//! Metrics of the teams file.

use anyhow::Result;
use chrono::TimeDelta;
use mergeline_api::{Api, Scope, router};
use mergeline_domain::Details;
use mergeline_fake_github::{FakePullRequest, at, pr};
use serde_json::{Value, json};

use crate::common::{Backend, PRIVACY, TEAMS, ask, keys};
use crate::rows;

const METRICS: &str = "
metrics:
  - { id: fast, name: Merged within 4 h, of: pull_requests, statistic: share, when: { cycle_time: { at_most: 4h } }, than: {} }
  - { id: docs, of: pull_requests, statistic: weight, when: { labels: [docs] }, by: month }
  - { id: slow-ones, of: pull_requests, statistic: p50, measure: cycle_time, when: { not: { titles: ['Bump *'] } } }
  - { id: all, of: pull_requests, statistic: count }
";

/// In each of the eight weeks before June 15, 2026: two pull requests of Ana that took an hour, and one of Bob, who counts half and
/// took a day; his has the label docs. In the last week Ana has closed one without a merge.
fn history() -> Vec<(FakePullRequest, Details)> {
    let mut all = Vec::new();
    for week in 0..8 {
        for (who, hours, title) in [("ana", 1, "Bump it"), ("ana", 2, "Add it"), ("bob", 24, "Describe it")] {
            let opened = at("2026-04-21T08:00:00Z") + TimeDelta::weeks(week);
            let number = i64::try_from(all.len()).expect("few") + 1;
            let merged = opened + TimeDelta::hours(hours);
            let it =
                pr("acme/api", number).by(who).titled(title).created(&opened.to_rfc3339()).merged(&merged.to_rfc3339());
            let labels = if who == "bob" { vec!["Docs".to_owned()] } else { Vec::new() };
            all.push((it, Details { ready_at: Some(opened), labels, ..Details::default() }));
        }
    }
    all
}

async fn backend(top: &str) -> Result<Backend> {
    let backend = Backend::with_teams(&format!("{top}{METRICS}{TEAMS}")).await?;
    let all = history();
    let pull_requests: Vec<FakePullRequest> = all.iter().map(|(it, _)| it.clone()).collect();
    backend.keep_since("2026-04-20T00:00:00Z", &pull_requests).await?;
    let details: Vec<(&FakePullRequest, Details)> = all.iter().map(|(it, details)| (it, details.clone())).collect();
    backend.add_details(&details).await?;
    Ok(backend)
}

fn metric<'a>(answer: &'a Value, slug: &str) -> &'a Value {
    let metrics = answer["data"]["metrics"].as_array().expect("a list");
    metrics.iter().find(|metric| metric["slug"] == slug).unwrap_or(&Value::Null)
}

fn bucket<'a>(answer: &'a Value, slug: &str, label: &str) -> &'a Value {
    let buckets = metric(answer, slug)["buckets"].as_array().expect("buckets");
    buckets.iter().find(|bucket| bucket["bucket"] == label).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn metrics_of_the_file_are_counted_explained_and_listed() -> Result<()> {
    let backend = backend("").await?;
    let path = "/v1/metrics/team/payments/custom";
    let (status, answer) = backend.get(path).await?;
    assert_eq!(status, 200, "{answer}");
    let fast = metric(&answer, "fast");
    assert!(fast["id"].as_str().is_some_and(|id| id.starts_with("fast@") && id.len() == 13), "{fast}");
    assert_eq!(
        json!([fast["name"], fast["definition"], fast["unit"], fast["by"], fast["measure"]]),
        json!(["Merged within 4 h", "custom_metric@1", "share", "week", null])
    );
    assert_eq!(
        fast["formula"],
        "the weighted part of (pull requests that were merged) that has: cycle time at most 4 h; by week of the merge"
    );
    assert_eq!(fast["buckets"].as_array().map(Vec::len), Some(26));
    let week = bucket(&answer, "fast", "2026-W23");
    assert_eq!(
        json!([week["value"], week["n"], week["weight"], week["n_taken"], week["complete"], week["is_suppressed"]]),
        json!([0.8, 3, 2.5, 2, true, false])
    );
    let empty = bucket(&answer, "fast", "2026-W10");
    assert_eq!(
        json!([empty["value"], empty["n"], empty["complete"], empty["incomplete"]]),
        json!([null, 0, false, ["not_read"]])
    );
    assert_eq!(bucket(&answer, "all", "2026-W10")["value"], 0.0, "a count of nothing is 0");
    assert_eq!(bucket(&answer, "all", "2026-W23")["value"], 3.0);
    // Four whole weeks, and the two in which the month begins and ends: months are whole, although the default range is of weeks.
    let may = bucket(&answer, "docs", "2026-05");
    assert_eq!(json!([may["value"], may["n"], may["start"], may["end"]]), json!([2.0, 4, "2026-05-01", "2026-06-01"]));
    assert_eq!(bucket(&answer, "docs", "2026-06")["incomplete"], json!(["running"]));
    let (_, days) = backend.get(&format!("{path}?from=2026-05-04&to=2026-05-18")).await?;
    assert_eq!(bucket(&days, "docs", "2026-05")["incomplete"], json!(["outside_range"]), "as it was asked");
    // 2 h with the weight 1, 24 h with the weight 0.5.
    let slow = bucket(&answer, "slow-ones", "2026-W23");
    assert_eq!(json!([slow["value"], slow["n"], slow["n_taken"]]), json!([13.0, 2, 2]));
    assert_eq!(metric(&answer, "slow-ones")["unit"], "hours");

    let table = rows(&backend.ask(&format!("{path}?format=csv"), &[]).await?)?;
    let cell = |row: &Vec<(String, String)>, name: &str| {
        row.iter().find(|(column, _)| column == name).map(|(_, cell)| cell.clone()).unwrap_or_default()
    };
    let is_meant =
        |row: &&Vec<(String, String)>| fast["id"] == cell(row, "metric") && cell(row, "bucket") == "2026-W23";
    let row = table.iter().find(is_meant).expect("a row");
    let cells = ["value", "unit", "n", "weight", "complete"].map(|name| cell(row, name));
    assert_eq!(cells, ["0.8", "share", "3", "2.5", "true"]);
    Ok(())
}

#[tokio::test]
async fn a_metric_of_what_is_not_read_is_not_final_and_says_why() -> Result<()> {
    let metrics = "
metrics:
  - { id: quick, of: pull_requests, statistic: share, when: { lead_time: { at_most: 7d } }, than: {} }
  - { id: deployed, of: deployments, statistic: count }
  - { id: waits, of: reviews, statistic: share, when: { wait: { at_most: 8h } }, than: {} }
goals:
  - { id: mostly-quick, form: metric, metric: quick, share: 0.5 }
  - { id: seen-soon, form: metric, metric: waits, share: 0.5 }
";
    let backend = Backend::with_teams(&format!("{metrics}{TEAMS}")).await?;
    let pull_requests: Vec<FakePullRequest> = history().into_iter().map(|(it, _)| it).collect();
    backend.keep_since("2026-04-20T00:00:00Z", &pull_requests).await?;
    let (_, answer) = backend.get("/v1/metrics/team/payments/custom").await?;
    for slug in ["quick", "deployed"] {
        let reasons = bucket(&answer, slug, "2026-W23")["incomplete"].to_string();
        assert!(reasons.contains("deployments_not_read"), "{slug}: {reasons}");
    }
    let (_, goals) = backend.get("/v1/teams/payments/goals").await?;
    assert_eq!(goals["data"]["goals"][0]["state"], "incomplete", "0 % would be wrong: {goals}");
    let warnings = goals["meta"]["warnings"].to_string();
    assert!(warnings.contains("deployments_not_read") && warnings.contains("details_pending"), "{warnings}");
    let definitions = goals["meta"]["definitions"].to_string();
    assert!(definitions.contains("custom_metric@1"), "{definitions}");
    // Read again, but for one that was opened after this week, and one of another team.
    let pool = backend.database.pool().await?;
    sqlx::raw_sql("update pull_requests set reviews_at = case when number = 22 then null else updated_at end")
        .execute(&pool)
        .await?;
    let (_, goals) = backend.get("/v1/teams/payments/goals").await?;
    let weeks = goals["data"]["goals"][1]["weeks"].as_array().expect("weeks").clone();
    let states: Vec<&Value> = weeks.iter().rev().take(3).map(|week| &week["state"]).collect();
    assert_eq!(states, ["incomplete", "too_few", "too_few"], "the last week only");
    Ok(())
}

#[tokio::test]
async fn groups_of_few_people_are_in_no_metric_of_the_file() -> Result<()> {
    let weekly = METRICS.replace(", by: month", "");
    let backend = Backend::with_teams(&format!("{PRIVACY}\n{weekly}{TEAMS}")).await?;
    let pull_requests: Vec<FakePullRequest> = history().into_iter().map(|(it, _)| it).collect();
    backend.keep_since("2026-04-20T00:00:00Z", &pull_requests).await?;
    let path = "/v1/metrics/team/payments/custom";
    let (_, answer) = backend.get(path).await?;
    // Ana's are fast and Bob's are not: each side is one person's.
    let fast = bucket(&answer, "fast", "2026-W23");
    assert_eq!(
        json!([fast["value"], fast["n"], fast["weight"], fast["n_taken"], fast["is_suppressed"]]),
        json!([null, null, null, null, true])
    );
    // Both have one, and nothing is left but Ana's.
    assert_eq!(bucket(&answer, "slow-ones", "2026-W23")["is_suppressed"], true, "what is left is of one person");
    assert_eq!(bucket(&answer, "all", "2026-W23")["value"], 3.0, "nothing is divided");
    assert_eq!(bucket(&answer, "fast", "2026-W10")["is_suppressed"], false, "there is nobody");
    let warnings = answer["meta"]["warnings"].to_string();
    assert!(warnings.contains("suppressed: weeks in which a metric divides"), "{warnings}");
    let (_, running) = backend.get(&format!("{path}?from=2026-06-15&to=2026-06-22")).await?;
    assert_eq!(bucket(&running, "all", "2026-W25")["is_suppressed"], true, "a week that is not over");
    Ok(())
}

#[tokio::test]
async fn a_file_without_metrics_has_none_and_other_teams_stay_hidden() -> Result<()> {
    let backend = Backend::with_teams(TEAMS).await?;
    let (status, answer) = backend.get("/v1/metrics/team/payments/custom").await?;
    assert_eq!((status, &answer["data"]["metrics"]), (200, &json!([])));
    let (keys, texts) = keys(&[(Scope::MetricsRead, &["platform"])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let asked = ask(&router, "GET", "/v1/metrics/team/payments/custom", &[("x-api-key", &texts[0])]).await?;
    assert_eq!(asked.status, 404);
    Ok(())
}
