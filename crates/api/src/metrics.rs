//! `GET /v1/metrics/team/{team_id}/velocity` and `/lead-time`

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use chrono::{DateTime, Days, Months, NaiveDate, SecondsFormat, Utc};
use mergeline_domain::{TeamId, TeamSlug, Weight, iso_week, start_of_day};
use mergeline_store::{Bucket, Coverage, CycleTimes, Interval, Team};
use serde::Serialize;

use crate::answer::answer;
use crate::error::ApiError;
use crate::parameters::{Range, team_ref};
use crate::router::Api;

/// The ids of the definitions, which change with the formulas.
const VELOCITY: &str = "velocity@1";
const PR_CYCLE_TIME: &str = "pr_cycle_time@1";

/// Said with every lead time while no deployments are known.
const NOT_DORA: &str =
    "pr_cycle_time: no deployments are known, so this is the time from opening to merge, not DORA's change lead time";

/// Which team an answer is about.
#[derive(Debug, Serialize)]
struct AnsweredTeam {
    id: TeamId,
    slug: TeamSlug,
    name: String,
}

/// Statistics of durations. `n` and `weight` count those that have one; all others are null when `n` is 0.
#[derive(Debug, Serialize)]
struct DurationStatistics {
    n: i64,
    weight: f64,
    mean_hours: Option<f64>,
    p50_hours: Option<f64>,
    p75_hours: Option<f64>,
    p90_hours: Option<f64>,
    p95_hours: Option<f64>,
}

/// Where a bucket lies.
#[derive(Debug, Serialize)]
struct BucketSpan {
    /// The first day.
    start: NaiveDate,
    /// The first day after it.
    end: NaiveDate,
    /// Whether all of it lies in the range, in the past, and in what was read.
    complete: bool,
}

#[derive(Debug, Serialize)]
struct VelocityBucket {
    /// The ISO week.
    week: String,
    #[serde(flatten)]
    span: BucketSpan,
    #[serde(flatten)]
    counts: VelocityCounts,
}

#[derive(Debug, Serialize)]
struct VelocityCounts {
    prs_merged: i64,
    prs_merged_weighted: f64,
    contributors: i64,
    cycle_time: DurationStatistics,
}

#[derive(Debug, Serialize)]
struct LeadTimeBucket {
    /// The calendar month.
    month: String,
    #[serde(flatten)]
    span: BucketSpan,
    #[serde(flatten)]
    lead_time: DurationStatistics,
}

#[derive(Debug, Serialize)]
struct Velocity {
    team: AnsweredTeam,
    buckets: Vec<VelocityBucket>,
    total: VelocityCounts,
}

#[derive(Debug, Serialize)]
struct LeadTime {
    team: AnsweredTeam,
    buckets: Vec<LeadTimeBucket>,
    total: DurationStatistics,
}

/// What every number is to be read with.
#[derive(Debug, Serialize)]
struct Meta {
    definition: &'static str,
    timezone: &'static str,
    interval: &'static str,
    range: MetaRange,
    data_as_of: Option<String>,
    coverage: MetaCoverage,
    warnings: Vec<&'static str>,
}

/// Half open.
#[derive(Debug, Serialize)]
struct MetaRange {
    from: NaiveDate,
    to: NaiveDate,
}

#[derive(Debug, Serialize)]
struct MetaCoverage {
    /// Everything that changed since then was read.
    since: Option<String>,
    repositories: MetaRepositories,
}

/// The configured repositories.
#[derive(Debug, Serialize)]
struct MetaRepositories {
    /// How many were collected completely the last time.
    collected: i64,
    /// Those whose last collection failed; what was collected before is counted.
    failing: Vec<String>,
    /// Those that are not collected completely for everybody yet.
    pending: Vec<String>,
}

/// Ten-thousandths as a fraction; four decimals survive in a double.
#[expect(clippy::cast_precision_loss, reason = "2^53 ten-thousandths are more pull requests than there are")]
pub(crate) fn weight(units: i64) -> f64 {
    units as f64 / f64::from(Weight::UNITS)
}

/// RFC 3339 in UTC, to the second.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl From<Team> for AnsweredTeam {
    fn from(team: Team) -> Self {
        Self { id: team.id, slug: team.slug, name: team.name }
    }
}

impl From<&Bucket> for DurationStatistics {
    fn from(bucket: &Bucket) -> Self {
        let hours = |seconds: f64| seconds / 3_600.0;
        let durations = bucket.durations;
        Self {
            n: bucket.duration_n,
            weight: weight(bucket.duration_weight_units),
            mean_hours: durations.map(|d| hours(d.mean)),
            p50_hours: durations.map(|d| hours(d.p50)),
            p75_hours: durations.map(|d| hours(d.p75)),
            p90_hours: durations.map(|d| hours(d.p90)),
            p95_hours: durations.map(|d| hours(d.p95)),
        }
    }
}

impl From<&Bucket> for VelocityCounts {
    fn from(bucket: &Bucket) -> Self {
        Self {
            prs_merged: bucket.prs_merged,
            prs_merged_weighted: weight(bucket.weighted_units),
            contributors: bucket.contributors,
            cycle_time: bucket.into(),
        }
    }
}

impl BucketSpan {
    fn of(start: NaiveDate, interval: Interval, asked: &Asked) -> Self {
        let Asked { range, now, .. } = asked;
        let end = match interval {
            Interval::Week => start + Days::new(7),
            Interval::Month => start + Months::new(1),
        };
        let is_covered = asked.coverage.covered_since.is_some_and(|since| since <= start_of_day(start, range.zone));
        let complete = range.from <= start && end <= range.to && start_of_day(end, range.zone) <= *now && is_covered;
        Self { start, end, complete }
    }
}

impl Meta {
    fn new(definition: &'static str, interval: Interval, asked: &Asked) -> Self {
        let Asked { range, coverage, times, .. } = asked;
        let mut warnings = Vec::new();
        if definition == PR_CYCLE_TIME {
            warnings.push(NOT_DORA);
        }
        if times.total.prs_merged == 0 {
            warnings.push("no_data: no pull request of this team was merged in the range");
        }
        if coverage.covered_since.is_none_or(|since| range.start() < since) {
            warnings.push("before_collection: the range begins before everything was read; see coverage.since");
        }
        if !coverage.failing.is_empty() {
            warnings.push("partial_coverage: the last collection of some repositories failed; see coverage");
        }
        if !coverage.pending.is_empty() {
            warnings.push(
                "partial_coverage: some repositories are not collected completely for everybody yet; see coverage",
            );
        }
        if times.total.duration_n < times.total.prs_merged {
            warnings.push("merged_before_creation: imported pull requests count, but have no duration");
        }
        Self {
            definition,
            timezone: range.zone.name(),
            interval: match interval {
                Interval::Week => "week",
                Interval::Month => "month",
            },
            range: MetaRange { from: range.from, to: range.to },
            data_as_of: coverage.data_as_of.map(instant),
            coverage: MetaCoverage {
                since: coverage.covered_since.map(instant),
                repositories: MetaRepositories {
                    collected: coverage.collected,
                    failing: coverage.failing.clone(),
                    pending: coverage.pending.clone(),
                },
            },
            warnings,
        }
    }
}

/// What both answers are made from.
struct Asked {
    team: Team,
    range: Range,
    times: CycleTimes,
    coverage: Coverage,
    now: DateTime<Utc>,
}

async fn ask(
    api: &Api,
    team: Result<Path<String>, PathRejection>,
    query: Option<String>,
    interval: Interval,
) -> Result<Asked, ApiError> {
    let Path(team) = team.map_err(|_| ApiError::parameter("team_id", "invalid", "it is not UTF-8"))?;
    let team = team_ref(&team)?;
    let now = (api.clock)();
    let range = Range::parse(&query.unwrap_or_default(), interval, api.store.timezone().await?, now)?;
    let team = api.store.team(&team, now).await?.ok_or(ApiError::NotFound("There is no such team."))?;
    let times = api.store.cycle_times(team.id, range.start(), range.end(), range.zone, interval).await?;
    let coverage = api.store.coverage().await?;
    Ok(Asked { team, range, times, coverage, now })
}

/// Merged pull requests of a team by ISO week.
pub(crate) async fn velocity(
    State(api): State<Api>,
    team: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let asked = ask(&api, team, query, Interval::Week).await?;
    let buckets = asked.times.buckets.iter().map(|bucket| VelocityBucket {
        week: iso_week(bucket.start),
        span: BucketSpan::of(bucket.start, Interval::Week, &asked),
        counts: bucket.into(),
    });
    let (buckets, total) = (buckets.collect(), (&asked.times.total).into());
    let meta = Meta::new(VELOCITY, Interval::Week, &asked);
    Ok(answer(Velocity { team: asked.team.into(), buckets, total }, meta))
}

/// How long merged pull requests of a team took, by month.
pub(crate) async fn lead_time(
    State(api): State<Api>,
    team: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let asked = ask(&api, team, query, Interval::Month).await?;
    let buckets = asked.times.buckets.iter().map(|bucket| LeadTimeBucket {
        month: bucket.start.format("%Y-%m").to_string(),
        span: BucketSpan::of(bucket.start, Interval::Month, &asked),
        lead_time: bucket.into(),
    });
    let (buckets, total) = (buckets.collect(), (&asked.times.total).into());
    let meta = Meta::new(PR_CYCLE_TIME, Interval::Month, &asked);
    Ok(answer(LeadTime { team: asked.team.into(), buckets, total }, meta))
}
