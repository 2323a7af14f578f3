//! Phases in the views, computed from GraphQL details.

mod common;

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::TimeDelta;
use common::{apply, fresh, teams};
use mergeline_domain::{CountedReview, Details, Login, Sample, Weight, weighted_percentile};
use mergeline_fake_github::{FakePullRequest, at, pr};
use mergeline_store::{ApplyOptions, WithoutDetails, Writer};
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

/// The stored reviews of all pull requests: number, place, whether the author is right, the reviewer, and the hour.
async fn reviews(database: &mergeline_test_support::TestDatabase) -> Result<Vec<String>> {
    let reviews = sqlx::query_scalar(
        "select concat_ws(' ', p.number, v.place, v.author_id = p.author_id, a.login, to_char(v.submitted_at at time zone 'UTC', 'HH24'))
        from pull_request_reviews as v
        inner join pull_requests as p on v.pull_request_id = p.id
        left join accounts as a on v.reviewer_id = a.person_id
        order by p.number, v.place",
    );
    Ok(reviews.fetch_all(&database.pool().await?).await?)
}

#[tokio::test]
async fn reviews_are_replaced_with_the_details_of_the_state_that_is_stored() -> Result<()> {
    let (database, store) = stored().await?;
    apply(&store, &teams(&[("pay", "{ github: ana, weight: 0.5 }, { github: ben }")])).await?;
    let snapshot = store.snapshot().await?.context("configured")?;
    let (revision, repository) = (snapshot.revision, snapshot.repositories[0].id);
    let now = at("2026-02-07T00:00:00Z");
    assert_eq!(store.without_reviews(repository, now, 9).await?, [], "they came with the details");
    // As a program before left it, and one before the migration.
    let pool = database.pool().await?;
    sqlx::raw_sql("update pull_requests set reviews_at = null where number < 3").execute(&pool).await?;
    let unread = store.without_reviews(repository, now, 9).await?;
    assert_eq!(unread.iter().map(|it| it.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(store.count_without_details(repository).await?, 0, "phases are known");
    assert_eq!(store.without_details(repository, now, 9).await?, []);
    let (lease, _) = store.lease(repository, now, Duration::ZERO).await?.context("free")?;
    let review = |login: &str, hour: &str| CountedReview {
        login: Login::from_github(login),
        account: None,
        submitted_at: at(&format!("2026-02-04T{hour}:00:00Z")),
    };
    let store_reviews = async |of: &[(WithoutDetails, Vec<CountedReview>)]| -> Result<()> {
        let details =
            of.iter().map(|(it, reviews)| (it.clone(), Details { reviews: reviews.clone(), ..Details::default() }));
        Ok(store.store_details(&lease, revision, &details.collect::<Vec<_>>(), now).await?)
    };
    let two = vec![review("ben", "08"), review("zoe", "09")];
    store_reviews(&[(unread[0].clone(), two.clone()), (unread[1].clone(), two)]).await?;
    let both = ["1 1 t ben 08", "1 2 t 09", "2 1 t ben 08", "2 2 t 09"];
    assert_eq!(reviews(&database).await?, both);
    assert_eq!(store.without_reviews(repository, now, 9).await?, []);
    // The first lost one, and the second was read of a state that is outdated now.
    let outdated = WithoutDetails { updated_at: at("2026-02-05T00:00:00Z"), ..unread[1].clone() };
    store_reviews(&[(unread[0].clone(), vec![review("zoe", "09")]), (outdated, Vec::new())]).await?;
    assert_eq!(reviews(&database).await?, ["1 1 t 09", "2 1 t ben 08", "2 2 t 09"]);
    store_reviews(&[(unread[1].clone(), Vec::new())]).await?;
    assert_eq!(reviews(&database).await?, ["1 1 t 09"]);
    Ok(())
}

#[tokio::test]
async fn only_outside_reviews_are_read_again_for_somebody_new() -> Result<()> {
    let (database, store) = stored().await?;
    let repository = store.snapshot().await?.context("configured")?.repositories[0].id;
    let pool = database.pool().await?;
    sqlx::raw_sql(
        "insert into pull_request_reviews (pull_request_id, place, author_id, reviewer_id, submitted_at)
        select id, 1, author_id, case when number = 1 then author_id end, created_at from pull_requests where number < 4",
    )
    .execute(&pool)
    .await?;
    let unread = async || -> Result<Vec<i64>> {
        let unread = store.without_reviews(repository, at("2026-02-07T00:00:00Z"), 9).await?;
        Ok(unread.into_iter().map(|it| it.number).collect())
    };
    // Another weight makes nobody known.
    apply(&store, &teams(&[("pay", "{ github: ana, weight: 0.25 }")])).await?;
    while !store.reattribute(9).await?.is_finished() {}
    assert_eq!(unread().await?, [0_i64; 0]);
    let both = teams(&[("pay", "{ github: ana, weight: 0.25 }, { github: bob }")]);
    let steps = ApplyOptions { at_once: 0, ..ApplyOptions::default() };
    store.apply(&both, steps, at("2026-06-15T12:00:00Z")).await?;
    let mut read_again = vec![unread().await?];
    while !store.reattribute(1).await?.is_finished() {
        read_again.push(unread().await?);
    }
    assert_eq!(read_again, [vec![], vec![2], vec![2, 3]]);
    assert_eq!(unread().await?, [2, 3]);
    assert_eq!(store.count_without_details(repository).await?, 0, "phases stay known");
    Ok(())
}
