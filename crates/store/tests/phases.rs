//! Phases in the views, computed from GraphQL details.

mod common;

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::TimeDelta;
use common::{apply, fresh, teams};
use mergeline_domain::{Details, Sample, Weight, weighted_percentile};
use mergeline_fake_github::{FakePullRequest, at, pr};
use mergeline_store::{WithoutDetails, Writer};
use mergeline_test_support::keep;

/// Hours of coding, pickup and review of four merged pull requests; `None` is unknown.
const HOURS: [(Option<i32>, Option<i32>, Option<i32>); 4] =
    [(Some(2), Some(1), Some(5)), (Some(8), None, None), (None, Some(3), Some(1)), (Some(20), Some(7), Some(30))];

/// A store where each of ana's pull requests counts with weight 0.5.
async fn stored() -> Result<(mergeline_test_support::TestDatabase, Writer)> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana, weight: 0.5 }")])).await?;
    let opened = at("2026-02-03T00:00:00Z");
    let pull_requests: Vec<FakePullRequest> = (1..=4)
        .map(|number| pr("acme/api", number).created("2026-02-03T00:00:00Z").merged("2026-02-06T00:00:00Z"))
        .collect();
    keep(&store, &pull_requests).await?;
    let snapshot = store.snapshot().await?.context("configured")?;
    let (revision, repository) = (snapshot.revision, snapshot.repositories[0].id);
    let now = at("2026-02-07T00:00:00Z");
    let (lease, _) = store.lease(repository, now, Duration::ZERO).await?.context("free")?;
    let merged = at("2026-02-06T00:00:00Z");
    let details: Vec<(WithoutDetails, Details)> = pull_requests
        .iter()
        .zip(HOURS)
        .map(|(pull_request, (coding, pickup, review))| {
            let facts = pull_request.facts();
            let wanted = WithoutDetails {
                node_id: facts.node_id.unwrap_or_default(),
                number: facts.number,
                updated_at: facts.updated_at,
            };
            let reviewed_at = review.map(|hours| merged - TimeDelta::hours(hours.into()));
            let details = Details {
                first_commit_at: coding.map(|hours| opened - TimeDelta::hours(hours.into())),
                first_review_at: reviewed_at,
                ready_at: reviewed_at.zip(pickup).map(|(at, hours)| at - TimeDelta::hours(hours.into())),
                ..Details::default()
            };
            (wanted, details)
        })
        .collect();
    store.store_details(&lease, revision, &details, now).await?;
    Ok((database, store))
}

fn median(hours: impl Iterator<Item = Option<i32>>) -> Option<f64> {
    let weight = Weight::from_units(5_000)?;
    let samples: Vec<Sample> =
        (0..).zip(hours.flatten()).map(|(id, hours)| Sample { seconds: hours.into(), weight, id }).collect();
    weighted_percentile(&samples, 0.5)
}

#[tokio::test]
async fn every_view_shows_each_phases_count_and_median() -> Result<()> {
    let (database, _) = stored().await?;
    let pool = database.pool().await?;
    let medians = [
        median(HOURS.iter().map(|hours| hours.0)),
        median(HOURS.iter().map(|hours| hours.1)),
        median(HOURS.iter().map(|hours| hours.2)),
    ];
    for (view, bucket) in
        [("view_team_velocity", "iso_week = '2026-W06'"), ("view_dora_lead_time", "month_start = '2026-02-01'")]
    {
        let row: (i64, Option<f64>, i64, Option<f64>, i64, Option<f64>) = sqlx::query_as(sqlx::AssertSqlSafe(format!(
            "select coding_n, median_coding_hours, pickup_n, median_pickup_hours, review_n, median_review_hours
            from {view} where {bucket}"
        )))
        .fetch_one(&pool)
        .await?;
        assert_eq!((row.0, row.2, row.4), (3, 3, 3), "{view}");
        assert_eq!([row.1, row.3, row.5], medians, "{view}");
    }
    let phases: Vec<(String, i64, String, Option<f64>)> = sqlx::query_as(
        "select phase, n, trim_scale(weight)::text, median_hours from view_team_phases where unit = 'month' order by phase",
    )
    .fetch_all(&pool)
    .await?;
    let expected = ["coding", "pickup", "review"].into_iter().zip(medians);
    let expected: Vec<_> = expected.map(|(phase, median)| (phase.to_owned(), 3, "1.5".to_owned(), median)).collect();
    assert_eq!(phases, expected);
    Ok(())
}

#[tokio::test]
async fn an_unknown_phase_is_null_with_a_flag() -> Result<()> {
    let (database, store) = stored().await?;
    let pool = database.pool().await?;
    let lines: Vec<(Option<f64>, Option<f64>)> =
        sqlx::query_as("select coding_seconds, pickup_seconds from pr_metrics order by number")
            .fetch_all(&pool)
            .await?;
    assert_eq!(lines[1..3], [(Some(28_800.0), None), (None, Some(10_800.0))]);
    // It changed, so its details are from an older state.
    keep(
        &store,
        &[pr("acme/api", 1)
            .created("2026-02-03T00:00:00Z")
            .merged("2026-02-06T00:00:00Z")
            .updated("2026-02-08T00:00:00Z")],
    )
    .await?;
    let flags: Vec<String> =
        sqlx::query_scalar("select flags from pr_metrics where number = 1").fetch_one(&pool).await?;
    assert_eq!(flags, ["details_pending"]);
    Ok(())
}
