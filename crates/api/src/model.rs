//! The shapes that several answers share.

use chrono::{DateTime, Days, Months, NaiveDate, SecondsFormat, TimeDelta, Utc};
use mergeline_domain::{MeasureKind, Weight, iso_week, start_of_day};
use mergeline_store::{Bucket, Coverage, Interval, Measure, Standing, TeamHead};
use schemars::JsonSchema;
use serde::Serialize;

use crate::csv::Cell;
use crate::parameters::{Query, Range};

/// The collector runs every four hours: after two runs that failed the numbers are called stale.
pub(crate) const STALE_AFTER: TimeDelta = TimeDelta::hours(9);

/// Said with all numbers of teams.
pub(crate) const NOT_FOR_PEOPLE: &str =
    "Not for comparing people, and with care between teams: they differ in what they work on.";

/// Ten-thousandths as a fraction; four decimals survive in a double.
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

/// How long ago an instant was, in hours; 0 for one that a clock has ahead of ours.
pub(crate) fn age_hours(at: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    hours((now - at).as_seconds_f64().max(0.0))
}

/// Which team an answer is about.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AnsweredTeamName")]
pub(crate) struct AnsweredTeam {
    id: i64,
    slug: String,
    name: String,
}

impl From<&TeamHead> for AnsweredTeam {
    fn from(team: &TeamHead) -> Self {
        Self { id: team.id.0, slug: team.slug.to_string(), name: team.name.clone() }
    }
}

/// Statistics of durations. `n` and `weight` count those that have one; all others are null when `n` is 0.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DurationStatistics {
    /// Pull requests that have the duration.
    pub(crate) n: i64,
    /// The sum of their weights.
    pub(crate) weight: f64,
    pub(crate) mean_hours: Option<f64>,
    pub(crate) p50_hours: Option<f64>,
    pub(crate) p75_hours: Option<f64>,
    pub(crate) p90_hours: Option<f64>,
    pub(crate) p95_hours: Option<f64>,
}

impl DurationStatistics {
    /// Without the durations where they would tell of too few people.
    pub(crate) fn of(measure: &Measure, min_group_size: i64) -> Self {
        let durations = measure.durations.filter(|_| !is_suppressed(measure, min_group_size));
        Self {
            n: measure.n,
            weight: weight(measure.weight_units),
            mean_hours: durations.map(|d| hours(d.mean)),
            p50_hours: durations.map(|d| hours(d.p50)),
            p75_hours: durations.map(|d| hours(d.p75)),
            p90_hours: durations.map(|d| hours(d.p90)),
            p95_hours: durations.map(|d| hours(d.p95)),
        }
    }

    const COLUMNS: [&'static str; 7] =
        ["n", "weight", "mean_hours", "p50_hours", "p75_hours", "p90_hours", "p95_hours"];

    fn cells(&self) -> [Cell<'static>; 7] {
        [
            Cell::Whole(Some(self.n)),
            Cell::Number(Some(self.weight)),
            Cell::Number(self.mean_hours),
            Cell::Number(self.p50_hours),
            Cell::Number(self.p75_hours),
            Cell::Number(self.p90_hours),
            Cell::Number(self.p95_hours),
        ]
    }
}

/// Whether durations are those of fewer people than may be shown.
pub(crate) fn is_suppressed(measure: &Measure, min_group_size: i64) -> bool {
    measure.n > 0 && measure.contributors < min_group_size
}

/// The phases of merged pull requests (`pr_phases@1`), each with its own `n`.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Phases {
    /// From the first commit to opening.
    coding: DurationStatistics,
    /// From opening, or being ready for review, to the first review by another person.
    pickup: DurationStatistics,
    /// From the first review to the merge.
    review: DurationStatistics,
}

/// The numbers of the merged pull requests of one bucket, or of a whole range.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Numbers {
    /// Distinct pull requests.
    pub(crate) prs_merged: i64,
    /// The sum of their weights.
    pub(crate) prs_merged_weighted: f64,
    /// Distinct authors.
    pub(crate) contributors: i64,
    /// From opening to merge (`pr_cycle_time@1`).
    pub(crate) cycle_time: DurationStatistics,
    pub(crate) phases: Phases,
    /// Whether some durations are left out because they would be those of fewer people than `privacy.min_group_size`.
    pub(crate) suppressed: bool,
}

impl Numbers {
    pub(crate) fn of(bucket: &Bucket, min_group_size: i64) -> Self {
        let suppressed = MeasureKind::ALL.iter().any(|kind| is_suppressed(bucket.measure(*kind), min_group_size));
        let statistics = |kind| DurationStatistics::of(bucket.measure(kind), min_group_size);
        Self {
            prs_merged: bucket.prs_merged,
            prs_merged_weighted: weight(bucket.weighted_units),
            contributors: bucket.contributors,
            cycle_time: statistics(MeasureKind::CycleTime),
            phases: Phases {
                coding: statistics(MeasureKind::Coding),
                pickup: statistics(MeasureKind::Pickup),
                review: statistics(MeasureKind::Review),
            },
            suppressed,
        }
    }

    /// The names of [`Self::cells`].
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
        let durations = [&self.cycle_time, &self.phases.coding, &self.phases.pickup, &self.phases.review];
        counts.into_iter().chain(durations.into_iter().flat_map(DurationStatistics::cells)).collect()
    }
}

/// A calendar unit and its numbers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AnsweredBucket {
    /// `2026-06-01`, `2026-W23`, `2026-06` or `2026-Q2`.
    pub(crate) bucket: String,
    /// The first day.
    pub(crate) start: NaiveDate,
    /// The first day after it.
    pub(crate) end: NaiveDate,
    /// Whether all of it lies in the range, in the past, and in what was read, and counts as the teams file says.
    pub(crate) complete: bool,
    #[serde(flatten)]
    pub(crate) numbers: Numbers,
}

impl AnsweredBucket {
    pub(crate) fn of(bucket: &Bucket, interval: Interval, range: &Range, standing: &Standing) -> Self {
        let start = bucket.start;
        let end = bucket_end(start, interval);
        let (from, to) = (start_of_day(start, range.zone), start_of_day(end, range.zone));
        let complete = range.from <= start && end <= range.to && standing.coverage.is_complete(from, to);
        Self {
            bucket: label(start, interval),
            start,
            end,
            complete,
            numbers: Numbers::of(bucket, standing.min_group_size),
        }
    }
}

fn bucket_end(start: NaiveDate, interval: Interval) -> NaiveDate {
    match interval {
        Interval::Day => start + Days::new(1),
        Interval::Week => start + Days::new(7),
        Interval::Month => start + Months::new(1),
        Interval::Quarter => start + Months::new(3),
    }
}

fn label(start: NaiveDate, interval: Interval) -> String {
    match interval {
        Interval::Day => start.to_string(),
        Interval::Week => iso_week(start),
        Interval::Month => start.format("%Y-%m").to_string(),
        Interval::Quarter => start.format("%Y-Q%q").to_string(),
    }
}

/// What numbers are to be read with.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Meta {
    /// The id of the formula; see `/v1/definitions`.
    pub(crate) definition: &'static str,
    /// The ids of all formulas in the answer.
    pub(crate) definitions: &'static [&'static str],
    pub(crate) timezone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["day", "week", "month", "quarter"]))]
    pub(crate) interval: Option<&'static str>,
    pub(crate) range: MetaRange,
    pub(crate) filters: MetaFilters,
    /// When the oldest of the last complete collections began: nothing newer is claimed.
    #[schemars(extend("format" = "date-time"))]
    pub(crate) data_as_of: Option<String>,
    pub(crate) coverage: MetaCoverage,
    /// Each a stable word, a colon and a sentence.
    pub(crate) warnings: Vec<String>,
    /// What numbers of teams are no good for.
    pub(crate) caveat: &'static str,
}

/// The days that are asked for, half open.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MetaRange {
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
}

impl From<&Range> for MetaRange {
    fn from(range: &Range) -> Self {
        Self { from: range.from, to: range.to }
    }
}

/// Which pull requests are asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MetaFilters {
    /// Null for all.
    pub(crate) repositories: Option<Vec<String>>,
    /// Null for all.
    pub(crate) base: Option<String>,
    #[schemars(extend("enum" = ["allocated", "full"]))]
    pub(crate) weighting: &'static str,
}

impl From<&Query> for MetaFilters {
    fn from(query: &Query) -> Self {
        let names: Vec<String> = query.repositories.iter().map(ToString::to_string).collect();
        Self {
            repositories: (!names.is_empty()).then_some(names),
            base: query.base.clone(),
            weighting: if query.counts_fully { "full" } else { "allocated" },
        }
    }
}

/// How far the collection has come, over the repositories of the filter.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MetaCoverage {
    /// Everything that changed since then was read. Null while a repository was never collected.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
    /// Pull requests that could not be read and are not counted, of the repositories of the filter, as far as they may have been
    /// opened before the end of the range. Buckets that may lack one are not complete until it is accepted.
    quarantined: i64,
    repositories: MetaRepositories,
}

/// The repositories of the filter, all configured ones without. Names are null for a key that is limited to teams, and in
/// headers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MetaRepositories {
    /// How many were collected completely the last time.
    collected: i64,
    /// Those whose last collection failed; what was collected before is counted.
    failing: Option<Vec<String>>,
    /// Those that are not collected completely for everybody yet, failing ones too.
    pending: Option<Vec<String>>,
    /// Those of them of which nothing was ever collected completely.
    never_collected: Option<Vec<String>>,
    counts: RepositoryCounts,
}

/// How many repositories each list has.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RepositoryCounts {
    failing: usize,
    pending: usize,
    never_collected: usize,
}

impl MetaCoverage {
    pub(crate) fn of(coverage: &Coverage, shows_names: bool) -> Self {
        let names = |names: &[String]| shows_names.then(|| names.to_vec());
        Self {
            since: coverage.since().map(instant),
            quarantined: coverage.quarantined,
            repositories: MetaRepositories {
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

/// What of a range was not read although it could have been. Where this is empty, a count of 0 means that there is nothing.
pub(crate) fn unread(coverage: &Coverage, range: &Range, now: DateTime<Utc>, shows_names: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let never = &coverage.never_collected;
    if coverage.covered_since.is_none() && never.is_empty() {
        warnings.push("never_collected: there is no repository that was ever collected".to_owned());
    }
    if !never.is_empty() {
        let (were, who) = (if never.len() == 1 { "was" } else { "were" }, repositories(never, shows_names));
        warnings.push(format!(
            "never_collected: {who} {were} never collected completely: what is missing is not counted; see coverage"
        ));
    }
    if let Some(since) = coverage.covered_since.filter(|since| range.start() < *since) {
        let since = instant(since);
        warnings.push(format!("before_collection: the range begins before {since}, since when everything was read"));
    }
    let wanted = range.end().min(now - STALE_AFTER);
    if coverage.complete_until.is_some_and(|until| until < wanted) {
        warnings.push(
            "after_collection: not all was read up to the end of the range; see data_as_of and coverage".to_owned(),
        );
    }
    warnings
}

/// Which repositories have something left to be collected.
pub(crate) fn uncollected(coverage: &Coverage, shows_names: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    if !coverage.failing.is_empty() {
        let who = repositories(&coverage.failing, shows_names);
        warnings.push(format!("partial_coverage: the last collection of {who} failed; see coverage"));
    }
    let begun = coverage.pending.iter().filter(|name| !coverage.never_collected.contains(name));
    let begun: Vec<String> = begun.cloned().collect();
    if !begun.is_empty() {
        let who = repositories(&begun, shows_names);
        warnings.push(format!(
            "pending_coverage: {who} must still be read again for somebody, or further back; see coverage"
        ));
    }
    warnings
}

/// What is still counted by memberships that are no longer in force.
pub(crate) fn reattributing(coverage: &Coverage) -> Option<String> {
    coverage.is_reattributing.then(|| {
        "reattributing: memberships of the team have changed, and stored pull requests are being counted again: until that is \
         done, some count as before"
            .to_owned()
    })
}

/// Which patterns may mean repositories that nobody knows of.
pub(crate) fn unlisted(coverage: &Coverage, shows_names: bool) -> Option<String> {
    let patterns = &coverage.incomplete_patterns;
    if patterns.is_empty() {
        return None;
    }
    let who = match (patterns.len(), shows_names) {
        (_, true) => patterns.join(", "),
        (1, false) => "1 pattern".to_owned(),
        (count, false) => format!("{count} patterns"),
    };
    Some(format!(
        "pattern_coverage: not all repositories of {who} are listed to the token: what is missing is not counted"
    ))
}

/// What may belong into a range and could not be read.
pub(crate) fn quarantined(coverage: &Coverage) -> Option<String> {
    let count = coverage.quarantined;
    let (pull_requests, are) = if count == 1 { ("pull request", "is") } else { ("pull requests", "are") };
    (count > 0).then(|| {
        format!("quarantined: {count} {pull_requests} that may belong into the range could not be read and {are} not counted")
    })
}

/// Some repositories in words: the first ones by name, or how many they are.
fn repositories(names: &[String], shows_names: bool) -> String {
    /// More than these are looked up in `coverage`.
    const NAMED: usize = 3;
    match (names, shows_names) {
        ([_], false) => "1 repository".to_owned(),
        (_, false) => format!("{} repositories", names.len()),
        _ => {
            let first: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
            let more = names.len() - first.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            first.join(", ") + &more
        }
    }
}
