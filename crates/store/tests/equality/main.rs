//! Compares every SQL number with an implementation in plain Rust, for random teams, memberships, pull requests, time
//! zones and ranges. The two share only the percentile function.

#[path = "../common/mod.rs"]
mod common;
mod custom;
mod dora;
mod recompute;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use common::{apply, fresh, teams_in};
use mergeline_domain::metrics::{Bucket, Interval, MeasureKind};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_domain::{Sample, Weight, start_of_day, weighted_mean, weighted_percentile};
use mergeline_fake_github::{FakePullRequest, at, pr};
use mergeline_store::{ApplyOptions, Bucketing, Filter};
use mergeline_test_support::keep;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const PEOPLE: [&str; 3] = ["ana", "bob", "carl"];
const TEAMS: [&str; 3] = ["one", "two", "three"];
/// Half-hour offsets and half-hour clock changes, clock changes at midnight, a week 53 in the range.
const ZONES: [&str; 6] =
    ["UTC", "Europe/Oslo", "America/Havana", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns"];
const CASES: usize = 25;

/// For each person: the days on which memberships change, and the weights per span and team.
type Memberships = Vec<(BTreeSet<u64>, Vec<Vec<u16>>)>;
/// For each pull request: author, hour of creation, hours until the merge (negative: imported), merged or not.
type PullRequests = Vec<(usize, i64, i64, bool)>;

#[derive(Debug, Clone)]
struct Case {
    memberships: Memberships,
    pull_requests: PullRequests,
    zone: usize,
    first_day: u64,
    days: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let weights = prop::collection::vec(prop_oneof![Just(0u16), Just(2_500), Just(3_333), 0u16..=3_333], TEAMS.len());
    let person = (prop::collection::btree_set(1u64..400, 0..4), prop::collection::vec(weights, 5));
    let pull_request = (0..PEOPLE.len(), 0i64..(420 * 24), -48i64..500, prop::bool::weighted(0.85));
    (
        prop::collection::vec(person, PEOPLE.len()),
        prop::collection::vec(pull_request, 0..60),
        0..ZONES.len(),
        0u64..400,
        1u64..120,
    )
        .prop_map(|(memberships, pull_requests, zone, first_day, days)| Case {
            memberships,
            pull_requests,
            zone,
            first_day,
            days,
        })
}

/// Day `number` after the start of all data, which lies before a year with 53 weeks and its daylight saving changes.
fn day(number: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2025, 12, 1).expect("a date") + Days::new(number)
}

impl Case {
    fn file(&self) -> TeamsFile {
        let mut members: BTreeMap<&str, Vec<String>> = TEAMS.iter().map(|team| (*team, Vec::new())).collect();
        for (person, (cuts, weights)) in PEOPLE.iter().zip(&self.memberships) {
            let edges: Vec<Option<u64>> = std::iter::once(None).chain(cuts.iter().copied().map(Some)).collect();
            for (index, from) in edges.iter().enumerate() {
                let to = edges.get(index + 1).copied().flatten();
                for (team, units) in TEAMS.iter().zip(&weights[index]).filter(|(_, units)| **units > 0) {
                    let weight = Weight::from_units(*units).expect("in range");
                    let from = from.map(|n| format!(", from: {}", day(n))).unwrap_or_default();
                    let to = to.map(|n| format!(", to: {}", day(n))).unwrap_or_default();
                    members
                        .entry(team)
                        .or_default()
                        .push(format!("{{ github: {person}, weight: {weight}{from}{to} }}"));
                }
            }
        }
        let members: Vec<(&str, String)> = members.into_iter().map(|(team, list)| (team, list.join(", "))).collect();
        let members: Vec<(&str, &str)> = members.iter().map(|(team, list)| (*team, list.as_str())).collect();
        teams_in(ZONES[self.zone], &members)
    }

    fn pull_requests(&self) -> Vec<FakePullRequest> {
        let start = at("2025-12-01T00:00:00Z");
        (1..)
            .zip(&self.pull_requests)
            .map(|(number, (author, hour, open_for, is_merged))| {
                // Not always on the full hour, and some exactly at midnight UTC.
                let created = start + TimeDelta::hours(*hour) + TimeDelta::minutes(number % 3 * 20);
                let mut pull_request = pr(common::REPOSITORY, number).by(PEOPLE[*author]);
                pull_request.created_at = created;
                pull_request.updated_at = created;
                if *is_merged {
                    pull_request.merged_at_instant(created + TimeDelta::hours(*open_for))
                } else {
                    pull_request
                }
            })
            .collect()
    }
}

/// The expected content of a bucket, from first principles.
#[derive(Debug, Default)]
struct Expected {
    merged: i64,
    units: i64,
    authors: BTreeSet<String>,
    samples: Vec<Sample>,
}

/// The expected buckets and total of a team's merged pull requests in the range, by the calendar of the time zone.
fn expected(
    case: &Case,
    file: &TeamsFile,
    team: &str,
    range: (DateTime<Utc>, DateTime<Utc>),
    bucket_of: impl Fn(NaiveDate) -> NaiveDate,
) -> (BTreeMap<NaiveDate, Expected>, Expected) {
    let zone: Tz = ZONES[case.zone].parse().expect("a zone");
    let entry = file.teams.iter().find(|entry| entry.slug.as_str() == team).expect("a team");
    let mut buckets: BTreeMap<NaiveDate, Expected> = BTreeMap::new();
    let mut total = Expected::default();
    for pull_request in case.pull_requests() {
        let Some(merged_at) = pull_request.merged_at.filter(|at| range.0 <= *at && *at < range.1) else { continue };
        let login = pull_request.user.as_ref().expect("an author").login.clone();
        for member in entry.members.iter().filter(|member| member.login.as_str() == login) {
            let after_start = member.period.from().is_none_or(|from| from <= merged_at);
            let before_end = member.period.to().is_none_or(|to| merged_at < to);
            if !(after_start && before_end) {
                continue;
            }
            let bucket = bucket_of(merged_at.with_timezone(&zone).date_naive());
            for expected in [buckets.entry(bucket).or_default(), &mut total] {
                expected.merged += 1;
                expected.units += i64::from(member.weight.units());
                expected.authors.insert(login.clone());
                let seconds = (merged_at - pull_request.created_at).as_seconds_f64();
                if seconds >= 0.0 {
                    expected.samples.push(Sample { seconds, weight: member.weight, id: pull_request.number });
                }
            }
        }
    }
    (buckets, total)
}

fn assert_equal(found: &Bucket, expected: &Expected, context: &str) {
    assert_eq!(found.prs_merged, expected.merged, "{context}");
    assert_eq!(found.weight_units, expected.units, "{context}");
    assert_eq!(found.contributors, i64::try_from(expected.authors.len()).expect("few"), "{context}");
    let cycle_time = found.measure(MeasureKind::CycleTime);
    assert_eq!(cycle_time.n, i64::try_from(expected.samples.len()).expect("few"), "{context}");
    let units: i64 = expected.samples.iter().map(|sample| i64::from(sample.weight.units())).sum();
    assert_eq!(cycle_time.weight_units, units, "{context}");
    let near = |found: f64, expected: Option<f64>| expected.is_some_and(|e| (found - e).abs() <= 1e-9 * e.max(1.0));
    match cycle_time.durations {
        None => assert!(expected.samples.is_empty(), "{context}"),
        Some(durations) => {
            assert!(near(durations.mean, weighted_mean(&expected.samples)), "{context}");
            for (value, fraction) in
                [(durations.p50, 0.5), (durations.p75, 0.75), (durations.p90, 0.9), (durations.p95, 0.95)]
            {
                assert!(
                    near(value, weighted_percentile(&expected.samples, fraction)),
                    "{context}: p{fraction} {value}"
                );
            }
            assert_eq!(durations.median_interval, median_interval(&expected.samples), "{context}");
        }
    }
}

/// The interval of the median, from the coefficients of `(1 + x)^n`.
#[expect(clippy::cast_precision_loss, reason = "a case has fewer than 60 pull requests")]
fn median_interval(samples: &[Sample]) -> Option<[f64; 2]> {
    let mut seconds: Vec<f64> = samples.iter().map(|sample| sample.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let mut row: Vec<u64> = vec![1];
    for _ in &seconds {
        row = std::iter::once(1).chain(row.windows(2).map(|pair| pair[0] + pair[1])).chain([1]).collect();
    }
    let all = 2f64.powi(i32::try_from(seconds.len()).expect("few"));
    let is_rare = |rank: &usize| row[..*rank].iter().sum::<u64>() as f64 / all <= 0.025;
    let rank = (1..=seconds.len()).take_while(is_rare).last()?;
    Some([seconds[rank - 1], seconds[seconds.len() - rank]])
}

fn monday(day: NaiveDate) -> NaiveDate {
    day - Days::new(day.weekday().num_days_from_monday().into())
}

fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).expect("every month has a first")
}

#[tokio::test]
async fn sql_equals_plain_rust_for_random_organizations() -> Result<()> {
    let mut runner = TestRunner::deterministic();
    for number in 0..CASES {
        let case = cases().new_tree(&mut runner).map_err(anyhow::Error::msg)?.current();
        let file = case.file();
        let (_database, store) = fresh().await?;
        apply(&store, &file).await?;
        keep(&store, &case.pull_requests()).await?;
        let zone: Tz = ZONES[case.zone].parse()?;
        let (from, to) = (day(case.first_day), day(case.first_day + case.days));
        let range = (start_of_day(from, zone), start_of_day(to, zone));
        for team in store.teams(at("2026-06-15T12:00:00Z")).await? {
            for interval in [Interval::Week, Interval::Month] {
                let context = format!("case {number}, {} {interval:?}, {zone}, {from} to {to}", team.slug);
                let bucketing =
                    Bucketing { interval, zone, ignore_weights: false, count_contributors: false, measures: None };
                let found = store
                    .session()
                    .await?
                    .statistics(Some(team.id), &Filter::range(range.0, range.1), &bucketing)
                    .await?;
                let chosen = Bucketing { measures: Some(&[MeasureKind::Pickup]), ..bucketing };
                let filter = Filter::range(range.0, range.1);
                let mut of_pickup = store.session().await?.statistics(Some(team.id), &filter, &chosen).await?;
                for (bucket, all) in of_pickup.buckets.iter_mut().zip(&found.buckets) {
                    for kind in MeasureKind::ALL.iter().filter(|kind| **kind != MeasureKind::Pickup) {
                        ensure!(bucket.measure(*kind).durations.is_none(), "{context}: {kind:?} was not asked for");
                        bucket.measure_mut(*kind).durations = all.measure(*kind).durations;
                    }
                }
                ensure!(of_pickup.buckets == found.buckets, "{context}: everything else is the same");
                let bucket_of = if interval == Interval::Week { monday } else { first_of_month };
                let (mut buckets, total) = expected(&case, &file, team.slug.as_str(), range, bucket_of);
                assert_equal(&found.total, &total, &context);
                let mut start = bucket_of(from);
                for bucket in &found.buckets {
                    assert_eq!(bucket.start, start, "{context}: the buckets have gaps");
                    assert_equal(bucket, &buckets.remove(&start).unwrap_or_default(), &context);
                    start = if interval == Interval::Week { start + Days::new(7) } else { start + Months::new(1) };
                }
                assert!(start >= to, "{context}: the last bucket ends before the range");
                assert!(buckets.is_empty(), "{context}: pull requests outside the buckets");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn stored_attributions_equal_facts_joined_with_memberships() -> Result<()> {
    let mut runner = TestRunner::deterministic();
    for number in 0..CASES {
        let mut draw = || -> Result<Case> { Ok(cases().new_tree(&mut runner).map_err(anyhow::Error::msg)?.current()) };
        let (first, second, third) = (draw()?, draw()?, draw()?);
        let (database, store) = fresh().await?;
        apply(&store, &first.file()).await?;
        keep(&store, &first.pull_requests()).await?;
        // Another configuration for the same facts: all attributions are recomputed.
        let at_once = u32::try_from(number % 5)? * 10;
        let options = ApplyOptions { allow_removals: true, at_once, ..ApplyOptions::default() };
        let now = at("2026-06-15T12:00:00Z");
        let apply = async |file: &TeamsFile, options| store.apply(file, options, now).await;
        let planned = apply(&second.file(), ApplyOptions { dry_run: true, ..options }).await?;
        let mut applied = apply(&second.file(), options).await?;
        let is_overtaken = number % 2 == 0;
        if is_overtaken {
            // Another file is applied before the first is done.
            store.reattribute(7).await?;
            applied = apply(&third.file(), options).await?;
        }
        while applied.people_to_reattribute > 0 {
            applied.note(store.reattribute(7).await?);
        }
        if !is_overtaken {
            assert_eq!(planned.pull_requests_reattributed, applied.pull_requests_reattributed, "case {number}");
        }
        let differences: i64 = sqlx::query_scalar(
            "with joined as (
                select p.id as pull_request_id, m.team_id, m.id as membership_id, m.weight
                from pull_requests as p
                inner join team_memberships as m on p.author_id = m.person_id
                where m.removed_in is null
                    and tstzrange(m.joined_at, m.left_at, '[)') @> coalesce(p.merged_at, p.closed_at, p.created_at)
            ),
            stored as (select pull_request_id, team_id, membership_id, weight from pr_attributions)
            select count(*) from (
                (select * from joined except select * from stored) union all (select * from stored except select * from joined)
            ) as difference",
        )
        .fetch_one(&database.pool().await?)
        .await?;
        assert_eq!(differences, 0, "case {number}");
    }
    Ok(())
}
