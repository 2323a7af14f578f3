//! The API's responses, through the real router and a real PostgreSQL.

mod common;
#[path = "answers/custom.rs"]
mod custom;
#[path = "answers/goals.rs"]
mod goals;
#[path = "answers/reviews.rs"]
mod reviews;
#[path = "answers/time.rs"]
mod time;

use anyhow::{Context, Result};
use chrono::{Datelike, TimeDelta};
use common::{Answered, Backend, PRIVACY, TEAMS, details, history};
use mergeline_api::{Api, router};
use mergeline_domain::Details;
use mergeline_fake_github::{FakePullRequest, at, pr};
use serde_json::{Value, json};

/// Buckets, one per line: unit, days, pull requests, weight, people, median.
fn buckets(answer: &Value) -> String {
    let line = |it: &Value| {
        let complete = if it["complete"] == json!(true) { "complete" } else { "incomplete" };
        let (label, start, end) = (&it["bucket"], &it["start"], &it["end"]);
        let (merged, weighted, people) = (&it["prs_merged"], &it["prs_merged_weighted"], &it["contributors"]);
        let p50 = &it["cycle_time"]["p50_hours"];
        format!("{label} {start} {end} {complete}: {merged} ({weighted}) by {people}, p50 {p50}").replace('"', "")
    };
    answer["data"]["buckets"].as_array().into_iter().flatten().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn velocity_has_every_week_and_a_total() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (status, answer) = backend.get("/v1/metrics/team/payments/velocity?from=2026-05-25&to=2026-06-18").await?;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer);
    Ok(())
}

#[tokio::test]
async fn lead_time_warns_that_it_is_not_doras() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (status, answer) =
        backend.get("/v1/metrics/team/platform/lead-time?from=2026-05-01&to=2026-07-01&tz=UTC").await?;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer);
    Ok(())
}

/// Merged pull requests by week from Monday, November 3, 2025: the worked example of the formulas, 26 weeks and six more.
const WEEKS: [i64; 32] =
    [6, 4, 7, 5, 8, 3, 6, 5, 9, 4, 6, 7, 5, 6, 8, 4, 5, 7, 6, 3, 6, 8, 5, 7, 4, 6, 7, 5, 9, 10, 8, 11];

/// A backend with these weeks, each pull request merged 24 hours after it was opened.
async fn with_weeks() -> Result<Backend> {
    let backend = Backend::empty().await?;
    keep_weeks(&backend).await?;
    Ok(backend)
}

async fn keep_weeks(backend: &Backend) -> Result<()> {
    let mut all = Vec::new();
    for (week, count) in (0_i64..).zip(WEEKS) {
        for index in 0..count {
            let merged = at("2025-11-03T12:00:00Z") + TimeDelta::weeks(week) + TimeDelta::hours(index);
            let text = |instant: chrono::DateTime<chrono::Utc>| instant.to_rfc3339();
            let number = i64::try_from(all.len() + 1)?;
            all.push(pr("acme/api", number).created(&text(merged - TimeDelta::hours(24))).merged(&text(merged)));
        }
    }
    backend.keep_since("2025-11-03T00:00:00Z", &all).await
}

#[tokio::test]
async fn a_lasting_change_of_the_worked_example_is_found() -> Result<()> {
    let backend = with_weeks().await?;
    let (status, answer) = backend.get("/v1/metrics/team/payments/change?tz=UTC").await?;
    assert_eq!(status, 200, "{answer}");
    let (merged, time) = (&answer["data"]["merged"], &answer["data"]["cycle_time"]);
    let change = &merged["changes"][0];
    let found = [&change["since"], &change["found"], &change["direction"], &change["to"]];
    assert_eq!(
        json!(found),
        json!(["2026-05-18", "2026-06-08", "up", 9.5]),
        "since the third week, found in the sixth"
    );
    let rounded = |value: &Value, digits: i32| {
        let tens = 10_f64.powi(digits);
        value.as_f64().map(|value| (value * tens).round() / tens)
    };
    assert_eq!([rounded(&change["from"], 4), rounded(&change["sum"], 4)], [Some(5.7692), Some(6.3647)]);
    // Four weeks of the new level are no baseline.
    assert_eq!(json!([merged["state"], merged["weeks_to_learn"]]), json!(["learning", 22]));
    assert_eq!(json!([time["changes"], time["state"]]), json!([[], "watching"]), "all took a day");
    assert_eq!(rounded(&time["baselines"][0]["level"], 6), Some(24.0), "hours");
    let last = merged["weeks"].as_array().and_then(|weeks| weeks.last()).context("weeks")?;
    assert_eq!(json!([last["start"], last["value"]]), json!(["2026-06-15", null]), "this week is not over");
    assert_eq!(answer["meta"]["definitions"][0], "change@1");
    Ok(())
}

#[tokio::test]
async fn changes_of_metrics_of_the_file_are_found_like_built_in_ones() -> Result<()> {
    let metrics = "
metrics:
  - { id: all, name: All of them, of: pull_requests, statistic: count }
  - { id: times, of: pull_requests, statistic: p50, measure: cycle_time }
  - { id: monthly, of: pull_requests, statistic: count, by: month }
  - { id: part, of: pull_requests, statistic: share, when: { titles: ['x*'] }, than: {} }
";
    let backend = Backend::with_teams(&format!("{metrics}{TEAMS}")).await?;
    keep_weeks(&backend).await?;
    let (status, answer) = backend.get("/v1/metrics/team/payments/change").await?;
    assert_eq!(status, 200, "{answer}");
    let data = &answer["data"];
    let found = data["metrics"].as_array().context("a list")?;
    let names: Vec<Value> = found.iter().map(|it| json!([it["name"], it["unit"]])).collect();
    assert_eq!(
        json!(names),
        json!([["All of them", "pull_requests"], ["times", "hours"]]),
        "by week, counts and medians"
    );
    assert_eq!(found[0]["change"], data["merged"]);
    assert_eq!(found[1]["change"], data["cycle_time"]);
    assert_eq!(data["merged"]["changes"].as_array().map(Vec::len), Some(1));
    let (_, part) = backend.get("/v1/metrics/team/payments/change?repo=acme/api").await?;
    assert_eq!(part["data"]["metrics"], json!([]), "they are of all repositories");
    let table = backend.ask("/v1/metrics/team/payments/change?format=csv", &[]).await?;
    let rows = rows(&table)?;
    let of = |measure: &str| {
        let is_of = |row: &&Vec<(String, String)>| row[0].1 == measure || row[0].1.starts_with(&format!("{measure}@"));
        let rest = |row: &Vec<(String, String)>| row[1..].iter().map(|(_, cell)| cell.clone()).collect::<Vec<_>>();
        rows.iter().filter(is_of).map(rest).collect::<Vec<_>>()
    };
    assert!(!of("all").is_empty() && of("all") == of("merged") && of("times") == of("cycle_time_hours"));
    Ok(())
}

#[tokio::test]
async fn the_forecast_of_the_worked_example_has_its_numbers() -> Result<()> {
    let backend = with_weeks().await?;
    let path = "/v1/metrics/team/payments/forecast?tz=UTC&from=2025-11-03";
    let (status, answer) = backend.get(&format!("{path}&to=2026-05-04&count=60")).await?;
    assert_eq!(status, 200, "{answer}");
    let forecast = &answer["data"]["forecast"];
    let total = &forecast["totals"][11];
    let tenths = |name: &str| total[name].as_f64().map(|value| (value * 10.0).round() / 10.0);
    assert_eq!(["p10", "p50", "p85", "p90"].map(tenths), [48.8, 66.2, 86.0, 92.3].map(Some));
    assert_eq!(json!([total["weeks"], total["by"]]), json!([12, "2026-07-27"]));
    assert_eq!(json!([answer["data"]["weeks_known"], forecast["dispersion"]]), json!([26, 1.0]));
    let done = &forecast["done"];
    assert!(done["weeks_50"].as_u64() < done["weeks_85"].as_u64(), "{done}");
    // What is not over counts in no week; and with the six weeks more, other numbers come out.
    let (_, all) = backend.get(&format!("{path}&weeks=4")).await?;
    assert_eq!(json!([all["data"]["weeks_known"], all["data"]["weeks_missing"]]), json!([32, 0]));
    assert_eq!(all["data"]["forecast"]["totals"].as_array().map(Vec::len), Some(4));
    assert_eq!(all["data"]["forecast"]["totals"][0]["by"], "2026-06-22");
    let (_, few) = backend.get(&format!("{path}&to=2026-03-02")).await?;
    let missing = [&few["data"]["weeks_known"], &few["data"]["weeks_missing"], &few["data"]["forecast"]];
    assert_eq!(json!(missing), json!([17, 9, null]));
    for wrong in ["weeks=0", "weeks=53", "count=0", "count=1e3", "interval=day"] {
        assert_eq!(backend.get(&format!("{path}&{wrong}")).await?.0, 400, "{wrong}");
    }
    Ok(())
}

#[tokio::test]
async fn teams_are_listed_with_current_members() -> Result<()> {
    let (status, answer) = Backend::empty().await?.get("/v1/teams").await?;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "data": [
        {
          "archived_at": null,
          "id": 3,
          "members": {
            "count": 0,
            "since": null,
            "weight": 0.0
          },
          "name": "nobody",
          "slug": "nobody"
        },
        {
          "archived_at": null,
          "id": 1,
          "members": {
            "count": 2,
            "since": null,
            "weight": 1.5
          },
          "name": "Payments",
          "slug": "payments"
        },
        {
          "archived_at": null,
          "id": 2,
          "members": {
            "count": 1,
            "since": null,
            "weight": 0.5
          },
          "name": "Platform",
          "slug": "platform"
        }
      ],
      "meta": {
        "count": 3
      },
      "trace_id": "TRACE"
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn a_team_is_found_by_number_or_slug() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let query = "velocity?from=2026-06-01&to=2026-06-15";
    let by_number = backend.get(&format!("/v1/metrics/team/1/{query}")).await?;
    let by_slug = backend.get(&format!("/v1/metrics/team/payments/{query}")).await?;
    assert_eq!(by_number, by_slug);
    assert_eq!(by_slug.1["data"]["team"], json!({ "id": 1, "slug": "payments", "name": "Payments" }));
    Ok(())
}

#[tokio::test]
async fn before_any_collection_nothing_is_fresh() -> Result<()> {
    let (status, answer) = Backend::empty().await?.get("/v1/metrics/team/payments/velocity").await?;
    assert_eq!((status, &answer["meta"]["data_as_of"]), (200, &Value::Null));
    assert_eq!(answer["meta"]["coverage"]["repositories"]["pending"], json!(["acme/api"]));
    Ok(())
}

#[tokio::test]
async fn time_before_full_coverage_is_incomplete() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (_, answer) = backend.get("/v1/metrics/team/payments/velocity?from=2026-04-20&to=2026-05-11&tz=UTC").await?;
    let complete: Vec<&Value> =
        answer["data"]["buckets"].as_array().into_iter().flatten().map(|b| &b["complete"]).collect();
    assert_eq!(complete, [&json!(false), &json!(false), &json!(true)], "read since 2026-05-01, a Friday");
    assert_eq!(answer["meta"]["coverage"]["since"], json!("2026-05-01T00:00:00Z"));
    let warnings = answer["meta"]["warnings"].to_string();
    assert!(warnings.contains("before_collection"), "{warnings}");
    Ok(())
}

#[tokio::test]
async fn the_api_matches_the_percentile_oracles() -> Result<()> {
    // Seconds become hours, so that the response can be compared directly.
    for (values, weights, p50, p75, p95) in [
        (vec![2, 10, 20], vec!["1", "1", "1"], 10.0, 15.0, 19.0),
        (vec![2, 10, 20], vec!["1", "0.5", "0.5"], 8.6667, 13.75, 18.75),
        (vec![4, 8, 100], vec!["1", "1", "0.1"], 7.1, 35.1818, 87.0364),
        (vec![5], vec!["0.25"], 5.0, 5.0, 5.0),
    ] {
        let members: Vec<String> =
            weights.iter().enumerate().map(|(n, weight)| format!("{{ github: user{n}, weight: {weight} }}")).collect();
        let teams = format!(
            "version: 1\nrepositories: [acme/api]\nteams: [{{ slug: oracle, members: [{}] }}]",
            members.join(", ")
        );
        let backend = Backend::with_teams(&teams).await?;
        let pull_requests: Vec<FakePullRequest> = (1..)
            .zip(&values)
            .map(|(number, hours)| {
                let opened = pr("acme/api", number).by(&format!("user{}", number - 1)).created("2026-06-01T00:00:00Z");
                let merged = opened.created_at + chrono::TimeDelta::hours(*hours);
                opened.merged_at_instant(merged)
            })
            .collect();
        backend.keep(&pull_requests).await?;
        for path in ["velocity", "lead-time"] {
            let (_, answer) =
                backend.get(&format!("/v1/metrics/team/oracle/{path}?from=2026-06-01&to=2026-07-01")).await?;
            let statistics = &answer["data"]["total"]["cycle_time"];
            let rounded = |name: &str| (statistics[name].as_f64().expect("a number") * 10_000.0).round() / 10_000.0;
            assert_eq!(
                (rounded("p50_hours"), rounded("p75_hours"), rounded("p95_hours")),
                (p50, p75, p95),
                "{values:?} {path}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn half_an_hour_is_half_an_hour() -> Result<()> {
    let backend =
        Backend::with(&[pr("acme/api", 1).created("2026-06-02T10:00:00Z").merged("2026-06-02T10:30:00Z")]).await?;
    let (_, answer) = backend.get("/v1/metrics/team/payments/lead-time?from=2026-06-01&to=2026-07-01").await?;
    assert_eq!(answer["data"]["total"]["cycle_time"]["p50_hours"], json!(0.5));
    Ok(())
}

#[tokio::test]
async fn a_midnight_merge_follows_the_requested_time_zone() -> Result<()> {
    // Sunday evening in UTC is Monday in Oslo.
    let backend =
        Backend::with(&[pr("acme/api", 1).created("2026-06-07T20:00:00Z").merged("2026-06-07T22:30:00Z")]).await?;
    let weeks = async |zone: &str| -> Result<Vec<String>> {
        let (_, answer) =
            backend.get(&format!("/v1/metrics/team/payments/velocity?from=2026-06-01&to=2026-06-15&tz={zone}")).await?;
        let buckets = answer["data"]["buckets"].as_array().cloned().unwrap_or_default();
        Ok(buckets
            .iter()
            .filter(|b| b["prs_merged"] == json!(1))
            .map(|b| b["bucket"].as_str().unwrap_or_default().to_owned())
            .collect())
    };
    assert_eq!(weeks("UTC").await?, ["2026-W23"]);
    assert_eq!(weeks("Europe/Oslo").await?, ["2026-W24"]);
    Ok(())
}

#[tokio::test]
async fn velocity_by_day_has_every_day() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let query = "from=2026-06-09&to=2026-06-13&interval=day&tz=UTC";
    let (_, answer) = backend.get(&format!("/v1/metrics/team/payments/velocity?{query}")).await?;
    assert_eq!(answer["meta"]["interval"], json!("day"));
    insta::assert_snapshot!(buckets(&answer), @"
    2026-06-09 2026-06-09 2026-06-10 complete: 1 (1.0) by 1, p50 10.0
    2026-06-10 2026-06-10 2026-06-11 complete: 1 (1.0) by 1, p50 20.0
    2026-06-11 2026-06-11 2026-06-12 complete: 2 (1.5) by 2, p50 8.0
    2026-06-12 2026-06-12 2026-06-13 complete: 0 (0.0) by 0, p50 null
    ");
    Ok(())
}

#[tokio::test]
async fn a_quarter_is_complete_once_read_and_over() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let query = "from=2026-01-01&to=2026-07-01&interval=quarter";
    let (_, answer) = backend.get(&format!("/v1/metrics/team/payments/velocity?{query}")).await?;
    insta::assert_snapshot!(buckets(&answer), @"
    2026-Q1 2026-01-01 2026-04-01 incomplete: 0 (0.0) by 0, p50 null
    2026-Q2 2026-04-01 2026-07-01 incomplete: 5 (4.5) by 2, p50 9.333333333333334
    ");
    insta::assert_json_snapshot!(answer["meta"]["warnings"], @r#"
    [
      "before_collection: the range starts before 2026-05-01T00:00:00Z, the start of complete data",
      "merged_before_creation: imported pull requests count, but have no duration",
      "details_pending: commits and reviews of some merged pull requests were not read, so they have no phases yet"
    ]
    "#);
    Ok(())
}

#[tokio::test]
async fn week_53_is_a_separate_week() -> Result<()> {
    let teams = TEAMS.replace("Europe/Oslo", "UTC");
    let backend = Backend::with_teams(&teams).await?;
    let merged_at = |number, at: &str| pr("acme/api", number).created("2020-12-27T00:00:00Z").merged(at);
    let edges = ["2020-12-27T23:59:59Z", "2020-12-28T00:00:00Z", "2021-01-03T23:59:59Z", "2021-01-04T00:00:00Z"];
    backend.keep(&(1..).zip(edges).map(|(number, at)| merged_at(number, at)).collect::<Vec<_>>()).await?;
    let (_, answer) = backend.get("/v1/metrics/team/payments/velocity?week=2020-W53").await?;
    insta::assert_snapshot!(buckets(&answer), @"2020-W53 2020-12-28 2021-01-04 incomplete: 2 (2.0) by 1, p50 107.99986111111112");
    let (_, answer) = backend.get("/v1/metrics/team/payments/velocity?week=2026-W53").await?;
    insta::assert_snapshot!(buckets(&answer), @"2026-W53 2026-12-28 2027-01-04 incomplete: 0 (0.0) by 0, p50 null");
    Ok(())
}

#[tokio::test]
async fn each_phase_has_separate_counts_and_durations() -> Result<()> {
    let history = history();
    let backend = Backend::with(&history).await?;
    backend.add_details(&details(&history)).await?;
    let (_, answer) = backend.get("/v1/metrics/team/payments/velocity?from=2026-06-01&to=2026-06-15").await?;
    insta::assert_json_snapshot!(answer["data"]["total"]["phases"], @r#"
    {
      "coding": {
        "mean_hours": 3.0,
        "n": 2,
        "p50_hours": 3.0,
        "p50_interval_hours": null,
        "p75_hours": 3.5,
        "p90_hours": 3.8,
        "p95_hours": 3.9,
        "weight": 2.0
      },
      "deploy": {
        "mean_hours": null,
        "n": 0,
        "p50_hours": null,
        "p50_interval_hours": null,
        "p75_hours": null,
        "p90_hours": null,
        "p95_hours": null,
        "weight": 0.0
      },
      "pickup": {
        "mean_hours": 1.75,
        "n": 2,
        "p50_hours": 1.75,
        "p50_interval_hours": null,
        "p75_hours": 2.375,
        "p90_hours": 2.75,
        "p95_hours": 2.875,
        "weight": 2.0
      },
      "review": {
        "mean_hours": 3.75,
        "n": 2,
        "p50_hours": 3.75,
        "p50_interval_hours": null,
        "p75_hours": 4.875,
        "p90_hours": 5.55,
        "p95_hours": 5.775,
        "weight": 2.0
      }
    }
    "#);
    Ok(())
}

#[tokio::test]
async fn a_summary_compares_two_periods_and_counts_open() -> Result<()> {
    let history = history();
    let backend = Backend::with(&history).await?;
    backend.add_details(&details(&history)).await?;
    let (status, answer) = backend.get("/v1/metrics/team/payments/summary?from=2026-06-08&to=2026-06-15").await?;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer);
    Ok(())
}

/// Each team as in its own summary, beside the weeks of its velocity.
#[tokio::test]
async fn the_overview_has_the_numbers_of_every_teams_summary_and_velocity() -> Result<()> {
    let history = history();
    let backend = Backend::with(&history).await?;
    backend.add_details(&details(&history)).await?;
    let range = "from=2026-06-08&to=2026-06-15";
    let (status, answer) = backend.get(&format!("/v1/metrics/summary?{range}")).await?;
    assert_eq!(status, 200, "{answer}");
    let teams = answer["data"]["teams"].as_array().context("teams")?;
    assert_eq!(teams.len(), 3);
    for team in teams {
        let slug = team["team"]["slug"].as_str().context("a slug")?;
        let (_, summary) = backend.get(&format!("/v1/metrics/team/{slug}/summary?{range}")).await?;
        for part in ["team", "period", "previous", "change", "open"] {
            assert_eq!(team[part], summary["data"][part], "{slug}: {part}");
        }
        let weeks = "from=2026-03-30&to=2026-06-15";
        let (_, velocity) = backend.get(&format!("/v1/metrics/team/{slug}/velocity?{weeks}")).await?;
        let (weeks, buckets) = (team["weeks"].as_array(), velocity["data"]["buckets"].as_array());
        let (weeks, buckets) = weeks.zip(buckets).context("weeks")?;
        assert_eq!((weeks.len(), buckets.len()), (12, 11), "the first week is before the range of velocity");
        for (week, bucket) in weeks[1..].iter().zip(buckets) {
            for part in ["bucket", "start", "end", "complete", "incomplete", "prs_merged", "prs_merged_weighted"] {
                assert_eq!(week[part], bucket[part], "{slug}: {part}");
            }
            assert_eq!(week["cycle_time_p50_hours"], bucket["cycle_time"]["p50_hours"], "{slug}");
        }
    }
    assert_eq!(teams[1]["open"]["oldest_created_at"], "2026-06-12T00:00:00Z");
    // Only the team whose pull requests are being counted again is not complete.
    sqlx::raw_sql("insert into reattributions (person_id, team_id) select p.id, t.id from people as p, teams as t where t.slug = 'platform' limit 1")
        .execute(&backend.database.pool().await?)
        .await?;
    let (_, again) = backend.get(&format!("/v1/metrics/summary?{range}")).await?;
    let complete = |slug: usize| again["data"]["teams"][slug]["period"]["complete"].clone();
    assert_eq!([complete(1), complete(2)], [json!(true), json!(false)], "payments and platform");
    assert!(again["meta"]["warnings"].to_string().contains("reattributing: "), "{}", again["meta"]);
    let (_, filtered) = backend.get("/v1/metrics/summary?repo=acme/api").await?;
    assert_eq!(filtered["error"]["code"], "validation_error", "{filtered}");
    Ok(())
}

/// A week that was read, one that is running, and one before anything was read.
#[tokio::test]
async fn buckets_say_why_they_are_not_complete() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (_, answer) = backend.get("/v1/metrics/team/payments/velocity?from=2026-04-22&to=2026-06-18").await?;
    let buckets = answer["data"]["buckets"].as_array().context("buckets")?;
    let said = |start: &str| {
        let bucket = buckets.iter().find(|bucket| bucket["start"] == start);
        bucket.map(|bucket| (bucket["complete"] == true, bucket["incomplete"].clone()))
    };
    assert_eq!(said("2026-06-08"), Some((true, json!([]))));
    assert_eq!(said("2026-06-15"), Some((false, json!(["running", "outside_range"]))));
    assert_eq!(said("2026-04-20"), Some((false, json!(["not_read", "outside_range"]))));
    assert_eq!(answer["data"]["total"]["incomplete"], json!(["running", "partly_read"]), "{}", answer["data"]["total"]);
    assert_eq!(answer["meta"]["min_group_size"], 0);
    Ok(())
}

#[tokio::test]
async fn a_summary_never_compares_with_an_unread_period() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let (_, answer) = backend.get("/v1/metrics/team/payments/summary").await?;
    assert_eq!(answer["meta"]["range"], json!({ "from": "2026-05-18", "to": "2026-06-15" }));
    let previous = &answer["data"]["previous"];
    assert_eq!(
        [&previous["from"], &previous["to"], &previous["complete"]],
        [&json!("2026-04-20"), &json!("2026-05-18"), &json!(false)]
    );
    assert_eq!((&answer["data"]["period"]["complete"], &answer["data"]["change"]), (&json!(true), &Value::Null));
    let warnings = answer["meta"]["warnings"].to_string();
    assert!(warnings.contains("before_collection: ") && warnings.contains("no_change: "), "{warnings}");
    Ok(())
}

#[tokio::test]
async fn a_summary_without_an_end_reaches_now() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let range = async |query: &str| -> Result<Value> {
        let (status, answer) = backend.get(&format!("/v1/metrics/team/payments/summary?{query}")).await?;
        assert_eq!(status, 200, "{query}: {answer}");
        Ok(answer["meta"]["range"].clone())
    };
    // Today, and a day of the current week: neither is before this week's Monday.
    for from in ["2026-06-17", "2026-06-16", "2026-06-03"] {
        assert_eq!(range(&format!("from={from}")).await?, json!({ "from": from, "to": "2026-06-18" }));
    }
    assert_eq!(range("").await?, json!({ "from": "2026-05-18", "to": "2026-06-15" }));
    assert_eq!(range("to=2026-06-10").await?, json!({ "from": "2026-05-18", "to": "2026-06-10" }));
    Ok(())
}

#[tokio::test]
async fn full_weighting_counts_once_for_each_team() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let query = "from=2026-06-08&to=2026-06-15&weighting=full";
    let (_, answer) = backend.get(&format!("/v1/metrics/team/payments/velocity?{query}")).await?;
    // 8, 10 and 20 hours, each with weight 1.
    insta::assert_snapshot!(buckets(&answer), @"2026-W24 2026-06-08 2026-06-15 complete: 4 (4.0) by 2, p50 10.0");
    assert_eq!(answer["meta"]["filters"]["weighting"], json!("full"));
    let (_, answer) = backend.get(&format!("/v1/metrics/team/platform/velocity?{query}")).await?;
    insta::assert_snapshot!(buckets(&answer), @"2026-W24 2026-06-08 2026-06-15 complete: 1 (1.0) by 1, p50 8.0");
    Ok(())
}

#[tokio::test]
async fn repository_and_branch_filters_apply_and_are_echoed() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let release = FakePullRequest { base_ref: "release/1".to_owned(), ..pr("acme/api", 8) };
    backend.keep(&[release.created("2026-06-09T00:00:00Z").merged("2026-06-09T01:00:00Z")]).await?;
    let merged = async |query: &str| -> Result<(Value, Value)> {
        let path = format!("/v1/metrics/team/payments/velocity?week=2026-W24&{query}");
        let (_, answer) = backend.get(&path).await?;
        Ok((answer["data"]["total"]["prs_merged"].clone(), answer["meta"]["filters"].clone()))
    };
    assert_eq!(merged("tz=UTC").await?.0, json!(5));
    let (count, filters) = merged("base=release/1").await?;
    assert_eq!(count, json!(1));
    assert_eq!(filters, json!({ "repositories": null, "base": "release/1", "weighting": "allocated" }));
    assert_eq!(merged("base=main&repo=Acme/API").await?.0, json!(4));
    let (status, answer) = backend.get("/v1/metrics/team/payments/velocity?repo=acme/api,acme/other").await?;
    assert_eq!((status, &answer["error"]["details"][0]["reason"]), (400, &json!("unknown_repository")));
    Ok(())
}

#[tokio::test]
async fn a_team_shows_each_current_membership() -> Result<()> {
    let backend = Backend::with_teams(
        "{ version: 1, timezone: Europe/Oslo, repositories: [acme/api], teams: [{ slug: payments, members: [
            { github: ana, from: 2026-02-02 }, { github: bob, weight: 0.5, to: 2027-01-01 },
            { github: carl, to: 2026-03-02 }, { github: dora, from: 2026-07-01 }] }] }",
    )
    .await?;
    let (status, answer) = backend.get("/v1/teams/payments").await?;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(answer, @r#"
    {
      "data": {
        "archived_at": null,
        "id": 1,
        "members": {
          "count": 2,
          "since": "2026-03-01T23:00:00Z",
          "weight": 1.5
        },
        "memberships": [
          {
            "id": 1,
            "joined_at": "2026-02-01T23:00:00Z",
            "left_at": null,
            "login": "ana",
            "weight": 1.0
          },
          {
            "id": 2,
            "joined_at": null,
            "left_at": "2026-12-31T23:00:00Z",
            "login": "bob",
            "weight": 0.5
          }
        ],
        "name": "payments",
        "slug": "payments"
      },
      "meta": {
        "as_of": "2026-06-17T12:00:00Z"
      },
      "trace_id": "TRACE"
    }
    "#);
    assert_eq!(backend.get("/v1/teams/1").await?.1, answer);
    Ok(())
}

#[tokio::test]
async fn an_archived_team_comes_last_and_keeps_history() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    backend
        .apply(&TEAMS.replace("  - { slug: platform, name: Platform, members: [{ github: bob, weight: 0.5 }] }\n", ""))
        .await?;
    let (_, answer) = backend.get("/v1/teams").await?;
    let teams: Vec<_> =
        answer["data"].as_array().into_iter().flatten().map(|it| (&it["slug"], &it["archived_at"])).collect();
    let (null, now) = (Value::Null, json!(common::NOW));
    assert_eq!(teams, [(&json!("nobody"), &null), (&json!("payments"), &null), (&json!("platform"), &now)]);
    let (_, answer) = backend.get("/v1/metrics/team/platform/velocity?week=2026-W24").await?;
    assert_eq!(answer["data"]["total"]["prs_merged"], json!(1));
    Ok(())
}

/// The rows of a CSV response, by column.
fn rows(answered: &Answered) -> Result<Vec<Vec<(String, String)>>> {
    let mut reader = csv::Reader::from_reader(answered.text.as_bytes());
    let header = reader.headers()?.clone();
    let named = |row: csv::StringRecord| {
        header.iter().zip(&row).map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
    };
    Ok(reader.records().map(|row| row.map(named)).collect::<Result<_, _>>()?)
}

/// The JSON pointer for a column of the CSV.
fn pointer(column: &str) -> String {
    let ends = [("interval_from_hours", "interval_hours/0"), ("interval_to_hours", "interval_hours/1")];
    let column = &ends.into_iter().fold(column.to_owned(), |column, (name, end)| column.replace(name, end));
    let within = |group: &str| column.strip_prefix(group).and_then(|rest| rest.strip_prefix('_'));
    let phase = ["coding", "pickup", "review", "deploy"]
        .into_iter()
        .find_map(|phase| Some(format!("/phases/{phase}/{}", within(phase)?)));
    let cycle = within("cycle_time").map(|rest| format!("/cycle_time/{rest}"));
    let lead = within("change_lead_time").map(|rest| format!("/change_lead_time/{rest}"));
    let delivered = within("delivered").map(|rest| format!("/change_lead_time/delivered/{rest}"));
    phase.or(cycle).or(lead).or(delivered).unwrap_or_else(|| format!("/{column}"))
}

#[tokio::test]
async fn csv_of_buckets_has_the_json_numbers() -> Result<()> {
    let history = history();
    let backend = Backend::with(&history).await?;
    backend.add_details(&details(&history)).await?;
    for path in ["velocity?from=2026-06-01&to=2026-06-15", "lead-time?from=2026-05-01&to=2026-07-01&tz=UTC"] {
        let path = format!("/v1/metrics/team/payments/{path}");
        let (csv, json) =
            (backend.ask(&path, &[("accept", "text/csv")]).await?, backend.ask(&path, &[]).await?.json()?);
        assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
        assert_eq!(csv.text.matches('\n').count(), csv.text.matches("\r\n").count(), "RFC 4180 line ends");
        insta::assert_snapshot!(csv.text.replace("\r\n", "\n"));
        let (rows, mut expected) = (rows(&csv)?, json["data"]["buckets"].as_array().cloned().context("buckets")?);
        expected.push(json["data"]["total"].clone());
        assert_eq!(rows.len(), expected.len());
        for (row, expected) in rows.iter().zip(&expected) {
            // In JSON the total has no unit, days or completeness.
            let missing = if expected["bucket"].is_null() { 4 } else { 0 };
            for (column, cell) in row.iter().skip(missing) {
                let pointer = pointer(column);
                let is_unknown = pointer.starts_with("/change_lead_time") && expected["change_lead_time"].is_null();
                // Of few there is no interval.
                let has_no_ends = pointer.rsplit_once("interval_hours/").is_some_and(|(all, _)| {
                    expected.pointer(&format!("{all}interval_hours")).is_some_and(Value::is_null)
                });
                let value = if is_unknown || has_no_ends { Some(&Value::Null) } else { expected.pointer(&pointer) };
                let value = value.with_context(|| format!("{column} in the JSON"))?;
                match value {
                    Value::Null => assert_eq!(cell, "", "{column}"),
                    Value::Number(number) => assert_eq!(cell.parse().ok(), number.as_f64(), "{column}"),
                    other => assert_eq!(*cell, other.to_string().replace('"', ""), "{column}"),
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn csv_has_a_byte_order_mark_on_request() -> Result<()> {
    let titled = pr("acme/api", 1).merged("2026-06-09T10:00:00Z").titled("Über Ärger");
    let backend = Backend::with(&[titled]).await?;
    for metric in ["velocity", "lead-time", "pull-requests"] {
        let table =
            async |more: &str| backend.ask(&format!("/v1/metrics/team/payments/{metric}?format=csv{more}"), &[]).await;
        let (plain, marked, without) = (table("").await?, table("&bom=1").await?, table("&bom=0").await?);
        assert_eq!(marked.text, format!("\u{feff}{}", plain.text), "{metric}");
        assert_eq!(without.text, plain.text, "{metric}");
        assert_ne!(marked.header("etag"), plain.header("etag"), "{metric}: another response");
        let json = backend.ask(&format!("/v1/metrics/team/payments/{metric}?bom=1"), &[]).await?;
        assert_eq!((json.status, json.text.starts_with('{')), (200, true), "{metric}: no byte order mark in JSON");
    }
    Ok(())
}

#[tokio::test]
async fn csv_carries_its_meta_in_a_header() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    for path in ["velocity", "lead-time", "pull-requests"] {
        // Text from people may be anything: `base` is repeated in the filters.
        let path = format!("/v1/metrics/team/payments/{path}?last=P4W&tz=Asia/Tokyo&base=%C3%A6%22,%20%F0%9F%A6%80");
        let csv = backend.ask(&path, &[("accept", "text/csv")]).await?;
        let mut json = backend.ask(&path, &[]).await?.json()?["meta"].clone();
        // Names have no size limit, but headers do.
        for names in ["failing", "pending", "never_collected"] {
            json["coverage"]["repositories"][names] = Value::Null;
        }
        // The list has a separate header for its next page.
        let fields = json.as_object_mut().context("fields")?;
        fields.retain(|name, _| name != "count" && name != "next_cursor");
        assert_eq!(serde_json::from_str::<Value>(csv.header("mergeline-meta"))?, json, "{path}");
        assert_eq!(json["filters"]["base"], json!("æ\", 🦀"));
        assert_eq!(backend.ask(&path, &[]).await?.header("mergeline-meta"), "");
    }
    Ok(())
}

#[tokio::test]
async fn a_total_can_be_complete_with_cut_buckets() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    for (query, complete) in [("from=2026-06-03&to=2026-06-10", true), ("from=2026-06-03&to=2026-06-18", false)] {
        let path = format!("/v1/metrics/team/payments/velocity?{query}");
        let json = backend.ask(&path, &[]).await?.json()?;
        assert_eq!(json["data"]["total"]["complete"], json!(complete), "{query}");
        assert_eq!(json["data"]["buckets"][0]["complete"], json!(false), "{query}");
        let csv = rows(&backend.ask(&path, &[("accept", "text/csv")]).await?)?;
        let total = csv.last().context("the total")?;
        assert!(total.contains(&("complete".to_owned(), complete.to_string())), "{query}: {total:?}");
    }
    Ok(())
}

#[tokio::test]
async fn responses_name_every_formula_and_its_limits() -> Result<()> {
    let backend = Backend::empty().await?;
    let (_, defined) = backend.get("/v1/definitions").await?;
    let known: Vec<&Value> = defined["data"].as_array().into_iter().flatten().map(|it| &it["id"]).collect();
    for path in ["velocity", "lead-time", "summary", "pull-requests"] {
        let (_, answer) = backend.get(&format!("/v1/metrics/team/payments/{path}")).await?;
        let meta = &answer["meta"];
        let ids = meta["definitions"].as_array().context("ids")?;
        assert!(ids.contains(&meta["definition"]) && ids.iter().all(|id| known.contains(&id)), "{path}: {ids:?}");
        for id in ["pr_cycle_time@1", "pr_phases@1"] {
            assert!(ids.contains(&json!(id)), "{path}: {ids:?}");
        }
        assert!(meta["caveat"].as_str().is_some_and(|text| text.starts_with("Not for comparing people")), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn unread_phases_are_reported_but_missing_are_not() -> Result<()> {
    let history = history();
    let backend = Backend::with(&history).await?;
    let warned = async |query: &str| -> Result<bool> {
        let mut warned = Vec::new();
        for path in ["velocity", "lead-time", "summary"] {
            let (_, answer) = backend.get(&format!("/v1/metrics/team/payments/{path}?{query}")).await?;
            warned.push(answer["meta"]["warnings"].to_string().contains("details_pending: "));
        }
        warned.dedup();
        assert_eq!(warned.len(), 1, "{query}");
        Ok(warned[0])
    };
    assert!(warned("week=2026-W23").await?);
    backend.add_details(&details(&history)).await?;
    // The details of W24's two are not read yet; those of earlier ones matter only in the summary's look back.
    assert!(!warned("week=2026-W23").await? && warned("week=2026-W24").await?);
    assert!(!warned("week=2026-W24&base=release").await?);
    backend
        .add_details(&[
            (&history[2], mergeline_domain::Details::default()),
            (&history[4], mergeline_domain::Details::default()),
        ])
        .await?;
    assert!(!warned("week=2026-W24").await?, "4 is known to have no review");
    Ok(())
}

#[tokio::test]
async fn the_csv_file_name_has_team_and_definition() -> Result<()> {
    let backend = Backend::empty().await?;
    let name = async |path: &str| -> Result<String> {
        let answered = backend.ask(&format!("/v1/metrics/team/payments/{path}?format=csv"), &[]).await?;
        Ok(answered.header("content-disposition").to_owned())
    };
    assert_eq!(name("velocity").await?, "attachment; filename=\"payments-velocity.csv\"");
    assert_eq!(name("lead-time").await?, "attachment; filename=\"payments-pr_cycle_time.csv\"");
    assert_eq!(name("pull-requests").await?, "attachment; filename=\"payments-pull-requests.csv\"");
    Ok(())
}

/// A team with [`PRIVACY`]: only ana has W23, ana and bob have W24, and only ana has open ones.
async fn private() -> Result<Backend> {
    let (backend, history) = (Backend::with_teams(&format!("{TEAMS}{PRIVACY}\n")).await?, history());
    backend.keep(&history).await?;
    backend.add_details(&details(&history)).await?;
    Ok(backend)
}

#[tokio::test]
async fn small_groups_hide_durations_but_not_counts() -> Result<()> {
    let (_, answer) = private().await?.get("/v1/metrics/team/payments/velocity?from=2026-05-25&to=2026-06-15").await?;
    let buckets = answer["data"]["buckets"].as_array().context("buckets")?;
    let suppressed: Vec<_> = buckets.iter().map(|it| &it["suppressed"]).collect();
    assert_eq!(suppressed, [&json!(false), &json!(true), &json!(true)], "no one, ana, ana and bob");
    // Of W24's durations, those from only one of the two are hidden.
    assert_ne!(buckets[2]["cycle_time"]["p50_hours"], Value::Null, "ana's and bob's");
    assert_eq!(buckets[2]["phases"]["coding"]["p50_hours"], Value::Null, "only ana's");
    insta::assert_json_snapshot!(buckets[1], @r#"
    {
      "bucket": "2026-W23",
      "complete": true,
      "contributors": 1,
      "cycle_time": {
        "mean_hours": null,
        "n": 1,
        "p50_hours": null,
        "p50_interval_hours": null,
        "p75_hours": null,
        "p90_hours": null,
        "p95_hours": null,
        "weight": 1.0
      },
      "end": "2026-06-08",
      "fte_weeks": 1.5,
      "incomplete": [],
      "merged_per_fte_week": 0.6666666666666666,
      "phases": {
        "coding": {
          "mean_hours": null,
          "n": 1,
          "p50_hours": null,
          "p50_interval_hours": null,
          "p75_hours": null,
          "p90_hours": null,
          "p95_hours": null,
          "weight": 1.0
        },
        "deploy": {
          "mean_hours": null,
          "n": 0,
          "p50_hours": null,
          "p50_interval_hours": null,
          "p75_hours": null,
          "p90_hours": null,
          "p95_hours": null,
          "weight": 0.0
        },
        "pickup": {
          "mean_hours": null,
          "n": 1,
          "p50_hours": null,
          "p50_interval_hours": null,
          "p75_hours": null,
          "p90_hours": null,
          "p95_hours": null,
          "weight": 1.0
        },
        "review": {
          "mean_hours": null,
          "n": 1,
          "p50_hours": null,
          "p50_interval_hours": null,
          "p75_hours": null,
          "p90_hours": null,
          "p95_hours": null,
          "weight": 1.0
        }
      },
      "prs_merged": 1,
      "prs_merged_weighted": 1.0,
      "start": "2026-06-01",
      "suppressed": true
    }
    "#);
    let (total, shown) = (&answer["data"]["total"], &buckets[2]);
    assert_eq!((&total["prs_merged"], &total["suppressed"]), (&json!(5), &json!(true)));
    assert_eq!(total["cycle_time"], shown["cycle_time"], "without W23, which is only ana's");
    assert_eq!((&total["phases"]["coding"]["n"], &total["phases"]["coding"]["mean_hours"]), (&json!(0), &Value::Null));
    let warnings = answer["meta"]["warnings"].to_string();
    assert!(warnings.contains("suppressed: durations of fewer people than privacy.min_group_size"), "{warnings}");
    Ok(())
}

#[tokio::test]
async fn a_summary_hides_durations_of_small_groups() -> Result<()> {
    let backend = private().await?;
    // Two people in the period, one before it, and one with an open pull request.
    let (_, answer) = backend.get("/v1/metrics/team/payments/summary?from=2026-06-08&to=2026-06-15").await?;
    let data = &answer["data"];
    assert_eq!([&data["period"]["suppressed"], &data["previous"]["suppressed"]], [&json!(true), &json!(true)]);
    assert_ne!(data["period"]["cycle_time"]["mean_hours"], Value::Null);
    assert_eq!(data["previous"]["cycle_time"]["n"], json!(0), "its only week is hidden");
    assert_eq!(data["previous"]["cycle_time"]["mean_hours"], Value::Null);
    assert_eq!(data["change"]["prs_merged"], json!(3));
    assert_eq!(data["change"]["cycle_time_p50_hours"], Value::Null);
    insta::assert_json_snapshot!(data["open"], @r#"
    {
      "n": 1,
      "oldest_created_at": null,
      "p50_created_at": null,
      "p90_created_at": null,
      "weight": 1.0
    }
    "#);
    assert!(answer["meta"]["warnings"].to_string().contains("suppressed: "), "{}", answer["meta"]);
    Ok(())
}

/// Eight weeks up to W24, in which one, two and all three members of payments merge in turn. Each pull request of a
/// week with only one of them takes `hours`.
async fn weeks_with_few_people(teams: &str, hours: i64) -> Result<Backend> {
    let backend = Backend::with_teams(teams).await?;
    let (mut merged, mut all_details) = (Vec::new(), Vec::new());
    for (week, number) in (0..8_i64).zip((100..).step_by(10)) {
        let people = &["ana", "bob", "cyd"][..=usize::try_from(week % 3)?];
        for (person, login) in (0_i64..).zip(people) {
            let at = at("2026-04-22T12:00:00Z") + TimeDelta::days(7 * week) + TimeDelta::hours(person);
            let took = if people.len() == 1 { hours } else { 5 + 7 * week + 3 * person };
            let created = at - TimeDelta::hours(took);
            let pull_request = pr("acme/api", number + person).by(login).created(&created.to_rfc3339());
            let details = Details {
                first_commit_at: Some(created - TimeDelta::hours(took)),
                first_review_at: Some(created + TimeDelta::minutes(20 * took)),
                ..Details::default()
            };
            merged.push(pull_request.merged_at_instant(at));
            all_details.push(details);
        }
    }
    // Up to now: two of them, and one is open.
    merged.push(pr("acme/api", 1).created("2026-06-15T00:00:00Z").merged("2026-06-16T00:00:00Z"));
    merged.push(pr("acme/api", 2).by("bob").created("2026-06-15T00:00:00Z").merged("2026-06-16T10:00:00Z"));
    merged.push(pr("acme/api", 3).created("2026-06-12T00:00:00Z"));
    // Open, like ana's: once merged, its duration will follow from its age.
    let created = at("2026-06-11T00:00:00Z") - TimeDelta::hours(hours);
    merged.push(pr("acme/api", 4).by("bob").created(&created.to_rfc3339()));
    backend.keep(&merged).await?;
    backend.add_details(&merged.iter().zip(all_details).collect::<Vec<_>>()).await?;
    let read_since = "update repositories set covered_since = '2026-01-01'";
    sqlx::raw_sql(read_since).execute(&backend.database.pool().await?).await?;
    Ok(backend)
}

const THREE: &str = "
version: 1
timezone: Europe/Oslo
repositories: [acme/api]
teams:
  - { slug: payments, members: [{ github: ana }, { github: bob, weight: 0.5 }, { github: cyd, weight: 0.25 }] }
";

/// Every query about numbers that is allowed where small groups are hidden, for these weeks.
fn questions_about_weeks() -> Vec<String> {
    let mondays: Vec<String> =
        (0..10).map(|week| (at("2026-04-20T00:00:00Z") + TimeDelta::days(7 * week)).date_naive().to_string()).collect();
    let mut ranges: Vec<String> = Vec::new();
    for (number, from) in mondays.iter().enumerate() {
        ranges.extend(mondays[number + 1..].iter().map(|to| format!("from={from}&to={to}")));
    }
    ranges.extend(mondays[..9].iter().map(|from| format!("from={from}")));
    ranges.extend((1..10).map(|weeks| format!("last=P{weeks}W")));
    ranges.extend((17..26).map(|week| format!("week=2026-W{week}")));
    ranges.push(String::new());
    let mut questions = Vec::new();
    for range in ranges {
        for metric in ["velocity", "lead-time", "summary"] {
            for more in ["", "&weighting=allocated", "&interval=week", "&format=csv"] {
                if metric != "summary" || !more.contains("interval") && !more.contains("format") {
                    questions.push(format!("/v1/metrics/team/payments/{metric}?{range}{more}").replace("?&", "?"));
                }
            }
        }
    }
    questions
}

#[tokio::test]
async fn hidden_durations_never_change_any_response() -> Result<()> {
    let hidden = format!("{THREE}{PRIVACY}\n");
    let questions = questions_about_weeks();
    let differ = async |teams: &str| -> Result<usize> {
        let (one, other) = (weeks_with_few_people(teams, 2).await?, weeks_with_few_people(teams, 90).await?);
        let mut differ = 0;
        for question in &questions {
            let (one, other) = (one.ask(question, &[]).await?, other.ask(question, &[]).await?);
            assert_eq!((one.status, other.status), (200, 200), "{question}: {}", one.text);
            let content = |answered: &Answered| -> Result<(Option<Value>, String, String)> {
                let is_json = answered.header("content-type") == "application/json";
                let json = if is_json { Some(answered.json()?) } else { None };
                let table = if is_json { String::new() } else { answered.text.clone() };
                Ok((json, table, answered.header("etag").to_owned()))
            };
            differ += usize::from(content(&one)? != content(&other)?);
        }
        Ok(differ)
    };
    assert_eq!(differ(&hidden).await?, 0);
    assert!(differ(THREE).await? > questions.len() / 2, "most responses should show it where it is not hidden");
    Ok(())
}

#[tokio::test]
async fn subtracting_ranges_never_reveals_a_hidden_week() -> Result<()> {
    let backend = weeks_with_few_people(&format!("{THREE}{PRIVACY}\n"), 2).await?;
    let total = async |query: &str| -> Result<Value> {
        let (status, answer) = backend.get(&format!("/v1/metrics/team/payments/velocity?{query}")).await?;
        assert_eq!(status, 200, "{answer}");
        Ok(answer["data"].clone())
    };
    let whole = total("from=2026-04-20&to=2026-06-22").await?;
    let weeks = whole["buckets"].as_array().context("weeks")?;
    let is_hidden =
        |week: &Value, measure: &str| week.pointer(measure).is_some_and(|it| it["mean_hours"] == Value::Null);
    let measures = ["/cycle_time", "/phases/coding", "/phases/pickup", "/phases/review"];
    let mut hidden = 0;
    for week in weeks {
        let (start, end) = (week["start"].as_str().context("a day")?, week["end"].as_str().context("a day")?);
        let with = total(&format!("from=2026-04-13&to={end}")).await?;
        let without = total(&format!("from=2026-04-13&to={start}")).await?;
        for measure in measures.into_iter().filter(|measure| is_hidden(week, measure)) {
            let of = |data: &Value| data["total"].pointer(measure).cloned();
            assert_eq!(of(&with), of(&without), "{start} {measure}");
            hidden += 1;
        }
    }
    // Three weeks of only ana's, and the unfinished one, in which phases are unknown.
    assert_eq!(hidden, 3 * 4 + 4);
    Ok(())
}

#[tokio::test]
async fn hiding_small_groups_allows_only_whole_weeks() -> Result<()> {
    let backend = private().await?;
    for metric in ["velocity", "lead-time", "summary"] {
        for (query, parameter) in [
            ("repo=acme/api", "repo"),
            ("base=main", "base"),
            ("tz=UTC", "tz"),
            ("tz=Europe/Oslo", "tz"),
            ("interval=day", "interval"),
            ("interval=month", "interval"),
            ("interval=quarter", "interval"),
            // The difference from `allocated` would reveal the numbers of people who are only partly in the team.
            ("weighting=full", "weighting"),
            ("last=P30D", "last"),
            ("last=P1M", "last"),
            ("last=P1Y", "last"),
            ("from=2026-06-02&to=2026-06-15", "from"),
            ("from=2026-06-01&to=2026-06-14", "to"),
        ] {
            if metric == "summary" && parameter == "interval" {
                continue;
            }
            let answered = backend.ask(&format!("/v1/metrics/team/payments/{metric}?{query}"), &[]).await?;
            let expected = [(parameter.to_owned(), "min_group_size".to_owned())];
            assert_eq!((answered.status, answered.refused()), (400, expected.to_vec()), "{metric} {query}");
        }
        for query in
            ["", "last=P4W", "week=2026-W23", "from=2026-06-01&to=2026-06-15", "from=2026-06-01", "to=2026-06-15"]
        {
            let (status, answer) = backend.get(&format!("/v1/metrics/team/payments/{metric}?{query}")).await?;
            let range = &answer["meta"]["range"];
            assert_eq!(status, 200, "{metric} {query}: {answer}");
            for end in ["from", "to"] {
                let day: chrono::NaiveDate = range[end].as_str().context("a day")?.parse()?;
                assert_eq!(day.weekday(), chrono::Weekday::Mon, "{metric} {query}: {range}");
            }
        }
    }
    let refused = backend.ask("/v1/metrics/team/payments/velocity?from=2026-06-03", &[]).await?;
    assert!(refused.text.contains("2026-06-01 or 2026-06-08") && refused.text.contains("privacy.min_group_size"));
    let list = "/v1/metrics/team/payments/pull-requests?repo=acme/api&base=main&tz=UTC&last=P30D";
    assert_eq!(backend.get(list).await?.0, 200, "keys that may read pull requests see each author anyway");
    Ok(())
}

#[tokio::test]
async fn an_unfinished_week_hides_its_durations() -> Result<()> {
    let backend = weeks_with_few_people(&format!("{THREE}{PRIVACY}\n"), 2).await?;
    let path = "/v1/metrics/team/payments/velocity?week=2026-W25";
    let ask_at = async |clock: fn() -> chrono::DateTime<chrono::Utc>| {
        common::ask(&router(Api { clock, ..backend.api() }), "GET", path, &[]).await
    };
    let (running, over) = (ask_at(|| at(common::NOW)).await?, ask_at(|| at("2026-06-22T00:00:00Z")).await?);
    let cycle =
        |answered: &Answered| -> Result<Value> { Ok(answered.json()?["data"]["buckets"][0]["cycle_time"].clone()) };
    let (hidden, shown) = (cycle(&running)?, cycle(&over)?);
    assert_eq!((&hidden["n"], &hidden["mean_hours"]), (&json!(2), &Value::Null));
    assert_ne!(shown["mean_hours"], Value::Null, "from two people");
    assert_ne!(running.header("etag"), over.header("etag"));
    Ok(())
}

#[tokio::test]
async fn csv_hides_durations_of_small_groups() -> Result<()> {
    let path = "/v1/metrics/team/payments/velocity?week=2026-W23&format=csv";
    let answered = private().await?.ask(path, &[]).await?;
    for row in rows(&answered)? {
        for (column, cell) in row {
            let is_hidden = column.ends_with("_hours");
            assert_eq!(cell.is_empty(), is_hidden, "{column}: {cell}");
            assert!(column != "suppressed" || cell == "true");
        }
    }
    Ok(())
}
