//! Types that several responses share.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use mergeline_domain::Weight;
use mergeline_domain::metrics::{Incomplete, Interval, Measure, MeasureKind, NOT_FOR_PEOPLE, Warning};
use mergeline_reporting::{BucketNumbers, Report, ReportQuery};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::tables::Cell;

/// Ten-thousandths as a fraction; four decimals are exact in a double.
#[expect(clippy::cast_precision_loss, reason = "2^53 ten-thousandths are more pull requests than there are")]
pub(crate) fn weight(units: i64) -> f64 {
    units as f64 / f64::from(Weight::UNITS)
}

/// RFC 3339 in UTC, to the second.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Seconds as hours, never truncated.
pub(crate) fn hours(seconds: f64) -> f64 {
    seconds / 3_600.0
}

/// How long ago an instant was, in hours; 0 for an instant in the future, because clocks differ.
pub(crate) fn age_hours(at: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    hours((now - at).as_seconds_f64().max(0.0))
}

/// The team of a response.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamRef {
    id: i64,
    pub(super) slug: String,
    name: String,
}

impl From<&mergeline_store::TeamRef> for TeamRef {
    fn from(team: &mergeline_store::TeamRef) -> Self {
        Self { id: team.id.0, slug: team.slug.to_string(), name: team.name.clone() }
    }
}

/// A membership, half open.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Membership {
    pub(crate) id: i64,
    pub(crate) weight: f64,
    /// Null means the beginning of time.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) joined_at: Option<String>,
    /// Null means no end.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) left_at: Option<String>,
}

impl From<&mergeline_store::Member> for Membership {
    fn from(member: &mergeline_store::Member) -> Self {
        Self {
            id: member.membership,
            weight: weight(member.weight_units.into()),
            joined_at: member.joined_at.map(instant),
            left_at: member.left_at.map(instant),
        }
    }
}

impl From<&mergeline_store::TeamMembership> for Membership {
    fn from(membership: &mergeline_store::TeamMembership) -> Self {
        Self {
            id: membership.id,
            weight: membership.weight.as_f64(),
            joined_at: membership.period.from().map(instant),
            left_at: membership.period.to().map(instant),
        }
    }
}

/// Statistics of durations. `n` and `weight` count those that have one; all other values are null if `n` is 0.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DurationStatistics {
    /// How many have this duration.
    n: i64,
    /// The sum of their weights.
    weight: f64,
    mean_hours: Option<f64>,
    p50_hours: Option<f64>,
    p75_hours: Option<f64>,
    p90_hours: Option<f64>,
    p95_hours: Option<f64>,
    /// The 95 % interval of the median of pull requests (`median_interval@1`): its ends, or null below six.
    p50_interval_hours: Option<[f64; 2]>,
}

impl From<&Measure> for DurationStatistics {
    fn from(measure: &Measure) -> Self {
        let durations = measure.durations;
        Self {
            n: measure.n,
            weight: weight(measure.weight_units),
            mean_hours: durations.map(|d| hours(d.mean)),
            p50_hours: durations.map(|d| hours(d.p50)),
            p75_hours: durations.map(|d| hours(d.p75)),
            p90_hours: durations.map(|d| hours(d.p90)),
            p95_hours: durations.map(|d| hours(d.p95)),
            p50_interval_hours: durations.and_then(|d| d.median_interval).map(|ends| ends.map(hours)),
        }
    }
}

impl From<&mergeline_domain::metrics::Timing> for DurationStatistics {
    fn from(timing: &mergeline_domain::metrics::Timing) -> Self {
        let durations = timing.durations;
        Self {
            n: timing.count.n,
            weight: timing.count.share.as_part(),
            mean_hours: durations.map(|d| hours(d.mean)),
            p50_hours: durations.map(|d| hours(d.p50)),
            p75_hours: durations.map(|d| hours(d.p75)),
            p90_hours: durations.map(|d| hours(d.p90)),
            p95_hours: durations.map(|d| hours(d.p95)),
            p50_interval_hours: durations.and_then(|d| d.median_interval).map(|ends| ends.map(hours)),
        }
    }
}

impl DurationStatistics {
    pub(crate) const COLUMNS: [&'static str; 9] = [
        "n",
        "weight",
        "mean_hours",
        "p50_hours",
        "p75_hours",
        "p90_hours",
        "p95_hours",
        "p50_interval_from_hours",
        "p50_interval_to_hours",
    ];

    pub(crate) fn cells(&self) -> [Cell<'static>; 9] {
        [
            Cell::Whole(Some(self.n)),
            Cell::Number(Some(self.weight)),
            Cell::Number(self.mean_hours),
            Cell::Number(self.p50_hours),
            Cell::Number(self.p75_hours),
            Cell::Number(self.p90_hours),
            Cell::Number(self.p95_hours),
            Cell::Number(self.p50_interval_hours.map(|[from, _]| from)),
            Cell::Number(self.p50_interval_hours.map(|[_, to]| to)),
        ]
    }
}

/// The phases of merged pull requests (`pr_phases@1`), each with its own `n`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Phases {
    /// From the first commit to opening.
    coding: DurationStatistics,
    /// From opening, or from ready for review, to the first review by another person.
    pickup: DurationStatistics,
    /// From the first review to the merge.
    review: DurationStatistics,
    /// From the merge to production, of those that were delivered so far.
    deploy: DurationStatistics,
}

/// The numbers of the merged pull requests in one bucket, or in a whole range.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Numbers {
    /// Distinct pull requests.
    prs_merged: i64,
    /// The sum of their weights; for the organization the weights of all teams.
    prs_merged_weighted: f64,
    /// Distinct authors.
    contributors: i64,
    /// From opening to merge (`pr_cycle_time@1`).
    cycle_time: DurationStatistics,
    phases: Phases,
    /// Whether some durations are hidden because they come from fewer people than `privacy.min_group_size`.
    suppressed: bool,
}

impl From<&mergeline_reporting::Numbers> for Numbers {
    fn from(numbers: &mergeline_reporting::Numbers) -> Self {
        let bucket = &numbers.bucket;
        let statistics = |kind| DurationStatistics::from(bucket.measure(kind));
        Self {
            prs_merged: bucket.prs_merged,
            prs_merged_weighted: weight(bucket.weight_units),
            contributors: bucket.contributors,
            cycle_time: statistics(MeasureKind::CycleTime),
            phases: Phases {
                coding: statistics(MeasureKind::Coding),
                pickup: statistics(MeasureKind::Pickup),
                review: statistics(MeasureKind::Review),
                deploy: statistics(MeasureKind::Deploy),
            },
            suppressed: numbers.is_suppressed,
        }
    }
}

impl Numbers {
    /// The column names of [`Self::cells`].
    pub(crate) fn columns() -> Vec<String> {
        let counts = ["prs_merged", "prs_merged_weighted", "contributors", "suppressed"].map(str::to_owned);
        let names = MeasureKind::ALL.map(MeasureKind::as_str);
        let durations = names.iter().flat_map(|name| DurationStatistics::COLUMNS.map(|c| format!("{name}_{c}")));
        counts.into_iter().chain(durations).collect()
    }

    pub(crate) fn cells(&self) -> Vec<Cell<'static>> {
        let counts = [
            Cell::Whole(Some(self.prs_merged)),
            Cell::Number(Some(self.prs_merged_weighted)),
            Cell::Whole(Some(self.contributors)),
            Cell::Flag(self.suppressed),
        ];
        let Phases { coding, pickup, review, deploy } = &self.phases;
        let durations = [&self.cycle_time, coding, pickup, review, deploy];
        counts.into_iter().chain(durations.into_iter().flat_map(DurationStatistics::cells)).collect()
    }
}

/// Whether numbers are final.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Completeness {
    /// Whether the days are over and were fully read, and the whole unit is in the range.
    pub(crate) complete: bool,
    /// Why not; empty if complete.
    #[schemars(extend("items" = {
        "type": "string",
        "enum": [
            "running", "partly_read", "not_read", "quarantined", "deployments_not_read", "incidents_not_read", "outside_range"
        ]
    }))]
    pub(crate) incomplete: Vec<&'static str>,
}

impl From<&[Incomplete]> for Completeness {
    fn from(reasons: &[Incomplete]) -> Self {
        let incomplete: Vec<&'static str> = reasons.iter().map(|reason| reason.as_str()).collect();
        Self { complete: incomplete.is_empty(), incomplete }
    }
}

/// A calendar unit and its numbers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Bucket {
    /// `2026-06-01`, `2026-W23`, `2026-06` or `2026-Q2`.
    #[serde(rename = "bucket")]
    pub(crate) label: String,
    /// The first day.
    pub(crate) start: NaiveDate,
    /// The first day after the bucket.
    pub(crate) end: NaiveDate,
    #[serde(flatten)]
    pub(crate) completeness: Completeness,
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
}

impl From<&BucketNumbers> for Bucket {
    fn from(bucket: &BucketNumbers) -> Self {
        Self {
            label: bucket.label.clone(),
            start: bucket.start,
            end: bucket.end,
            completeness: bucket.incomplete.as_slice().into(),
            numbers: (&bucket.numbers).into(),
        }
    }
}

/// Context for reading the numbers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Meta {
    /// The ID of the formula; see `/v1/definitions`.
    definition: &'static str,
    /// The IDs of all formulas in the response.
    definitions: &'static [&'static str],
    timezone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["day", "week", "month", "quarter"]))]
    interval: Option<&'static str>,
    range: Range,
    filters: Filters,
    /// The start of the oldest of the latest complete collections: newer data is not guaranteed.
    #[schemars(extend("format" = "date-time"))]
    data_as_of: Option<String>,
    coverage: Coverage,
    /// Durations of fewer people are not shown; 0 if all are.
    min_group_size: i64,
    /// Each warning is a stable code, a colon and a sentence.
    warnings: Vec<String>,
    /// What the numbers must not be used for.
    caveat: &'static str,
}

impl Meta {
    /// Context for the numbers of a report. Repositories are named if `names_repositories` is set and the viewer may
    /// see them.
    pub(crate) fn of(
        report: &Report,
        interval: Option<Interval>,
        warnings: &[Warning],
        names_repositories: bool,
    ) -> Self {
        let (range, coverage) = (report.range(), report.coverage());
        Self {
            definition: report.kind().definition(),
            definitions: report.kind().definitions(),
            timezone: range.zone.name().to_owned(),
            interval: interval.map(Interval::as_str),
            range: Range { from: range.from, to: range.to },
            filters: report.query().into(),
            data_as_of: coverage.data_as_of.map(instant),
            coverage: Coverage::of(coverage, names_repositories && !report.is_limited()),
            min_group_size: report.min_group_size(),
            warnings: warnings.iter().map(ToString::to_string).collect(),
            caveat: NOT_FOR_PEOPLE,
        }
    }
}

/// The requested days, half open.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Range {
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
}

/// The requested filters.
#[derive(Debug, Serialize, JsonSchema)]
struct Filters {
    /// Null for all.
    repositories: Option<Vec<String>>,
    /// Null for all.
    base: Option<String>,
    #[schemars(extend("enum" = ["allocated", "full"]))]
    weighting: &'static str,
}

impl From<&ReportQuery> for Filters {
    fn from(query: &ReportQuery) -> Self {
        let names: Vec<String> = query.repositories.iter().map(ToString::to_string).collect();
        Self {
            repositories: (!names.is_empty()).then_some(names),
            base: query.base.clone(),
            weighting: if query.ignore_weights { "full" } else { "allocated" },
        }
    }
}

/// How far collection has progressed, for the repositories of the filter.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Coverage {
    /// Every change since then was read. Null while any repository was never collected.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
    /// Pull requests of the filtered repositories that could not be read and are not counted, if they may have been
    /// opened before the end of the range. Buckets that may lack one are not complete until it is accepted.
    quarantined: i64,
    repositories: RepositoryCoverage,
}

/// The filtered repositories, or all configured ones without a filter. Names are null for a key that is limited to
/// teams, and in headers.
#[derive(Debug, Serialize, JsonSchema)]
struct RepositoryCoverage {
    /// The number of repositories whose last collection was complete.
    collected: i64,
    /// Repositories whose last collection failed; what was collected before still counts.
    failing: Option<Vec<String>>,
    /// Repositories that are not yet fully collected for everyone, including failing ones.
    pending: Option<Vec<String>>,
    /// Pending repositories that were never fully collected.
    never_collected: Option<Vec<String>>,
    counts: RepositoryCounts,
}

/// The length of each list.
#[derive(Debug, Serialize, JsonSchema)]
struct RepositoryCounts {
    failing: usize,
    pending: usize,
    never_collected: usize,
}

impl Coverage {
    pub(crate) fn of(coverage: &mergeline_domain::metrics::Coverage, shows_names: bool) -> Self {
        let names = |names: &[String]| shows_names.then(|| names.to_vec());
        Self {
            since: coverage.since().map(instant),
            quarantined: coverage.quarantined,
            repositories: RepositoryCoverage {
                collected: coverage.collected,
                failing: names(&coverage.failing),
                pending: names(&coverage.pending),
                never_collected: names(&coverage.never_collected),
                counts: RepositoryCounts {
                    failing: coverage.failing.len(),
                    pending: coverage.pending.len(),
                    never_collected: coverage.never_collected.len(),
                },
            },
        }
    }
}
