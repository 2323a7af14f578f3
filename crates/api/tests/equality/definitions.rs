//! What every number means, in plain Rust. It compares days, never the instants at which they start.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use serde_json::Value;

use crate::DURATIONS;
use crate::organization::{Change, Membership, Organization, Question};

/// In twentieths.
const PERCENTILES: [(&str, i64); 4] = [("p50_hours", 10), ("p75_hours", 15), ("p90_hours", 18), ("p95_hours", 19)];

/// A calendar unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Day,
    Week,
    Month,
    Quarter,
}

/// The merged pull requests of a team in a bucket or a range, each with its weight in ten-thousandths.
#[derive(Debug, Default)]
pub(crate) struct Expected<'a>(pub(crate) Vec<(&'a Change, i64)>);

/// The local day of an instant in a zone.
pub(crate) fn local_day(instant: DateTime<Utc>, zone: Tz) -> NaiveDate {
    instant.with_timezone(&zone).date_naive()
}

fn first_of_month(year: i32, month: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, 1).expect("every month has a first")
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
        }
    }

    /// The first day of the unit that contains a day.
    pub(crate) fn start(self, day: NaiveDate) -> NaiveDate {
        match self {
            Self::Day => day,
            // The first day of the calendar, number 1, was a Monday.
            Self::Week => day - TimeDelta::days(((day.num_days_from_ce() - 1) % 7).into()),
            Self::Month => first_of_month(day.year(), day.month()),
            Self::Quarter => first_of_month(day.year(), day.month0() / 3 * 3 + 1),
        }
    }

    /// The first day of the next unit.
    pub(crate) fn next(self, start: NaiveDate) -> NaiveDate {
        let longest = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
            Self::Quarter => 92,
        };
        self.start(start + Days::new(longest))
    }

    pub(crate) fn label(self, start: NaiveDate) -> String {
        match self {
            Self::Day => format!("{}-{:02}-{:02}", start.year(), start.month(), start.day()),
            // A week belongs to the year of its Thursday, and its number counts that year's Thursdays.
            Self::Week => {
                let thursday = start + Days::new(3);
                format!("{}-W{:02}", thursday.year(), thursday.ordinal0() / 7 + 1)
            }
            Self::Month => format!("{}-{:02}", start.year(), start.month()),
            Self::Quarter => format!("{}-Q{}", start.year(), start.month0() / 3 + 1),
        }
    }
}

impl Question {
    /// The first days of the buckets that the range touches.
    pub(crate) fn starts(&self) -> Vec<NaiveDate> {
        let first = self.unit.start(self.from);
        std::iter::successors(Some(first), |start| Some(self.unit.next(*start)))
            .take_while(|start| *start < self.to)
            .collect()
    }
}

impl Change {
    /// The attribution instant.
    pub(crate) fn decided_at(&self) -> DateTime<Utc> {
        self.merged_at.or(self.closed_at).unwrap_or(self.created_at)
    }

    fn known_base(&self) -> Option<&'static str> {
        (!self.is_base_told_late || self.history.is_some()).then_some(self.base)
    }

    /// Cycle time, coding, pickup and review in seconds, if known.
    pub(crate) fn durations(&self) -> [Option<i64>; 4] {
        let between = |from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>| {
            Some((to? - from?).num_seconds()).filter(|seconds| *seconds >= 0)
        };
        let cycle = between(Some(self.created_at), self.merged_at);
        let Some(history) = &self.history else { return [cycle, None, None, None] };
        let ready_at = history.ready.unwrap_or(self.created_at);
        // Pickup and review lie between creation and merge.
        let is_within = |at: &DateTime<Utc>| self.merged_at.is_none_or(|merged| *at <= merged);
        let first_review = history.first_review.filter(is_within);
        [
            cycle,
            between(history.first_commit, Some(self.created_at)),
            between(Some(ready_at), first_review),
            between(first_review.filter(|at| *at >= self.created_at), self.merged_at),
        ]
    }

    /// Why it does not count for a team in which its author has this weight at the attribution instant.
    pub(crate) fn excluded(&self, units: i64) -> Option<&'static str> {
        match self {
            _ if self.is_deleted => Some("deleted"),
            _ if units == 0 => Some("not_a_member"),
            _ if self.merged_at.is_none() => Some("not_merged"),
            _ => None,
        }
    }
}

impl Organization {
    /// Whether a pull request's author is or was in a team, or in any.
    pub(crate) fn is_member(&self, change: &Change, team: Option<&str>) -> bool {
        self.memberships.iter().any(|m| m.person == change.author && team.is_none_or(|team| m.team == team))
    }

    /// The weight with which a pull request counts for a team, in ten-thousandths.
    pub(crate) fn units(&self, change: &Change, team: &str) -> i64 {
        let day = local_day(change.decided_at(), self.zone);
        let holds = |m: &&Membership| {
            let is_then = m.from.is_none_or(|from| from <= day) && m.to.is_none_or(|to| day < to);
            is_then && m.person == change.author && m.team == team
        };
        self.memberships.iter().filter(holds).map(|m| m.units).sum()
    }

    /// The pull requests that a query covers, by any author.
    pub(crate) fn asked(&self, question: &Question) -> impl Iterator<Item = &Change> {
        let zone = question.zone.unwrap_or(self.zone);
        self.changes.iter().filter(move |change| {
            let day = local_day(change.decided_at(), zone);
            question.from <= day
                && day < question.to
                && (question.repositories.is_empty() || question.repositories.contains(&change.repository))
                && question.base.is_none_or(|base| change.known_base() == Some(base))
        })
    }

    /// Whether a bucket lies in the range and was read for every repository.
    pub(crate) fn is_complete(&self, question: &Question, start: NaiveDate, end: NaiveDate) -> bool {
        let zone = question.zone.unwrap_or(self.zone);
        let is_over = self.read_until.iter().all(|until| end <= local_day(*until, zone));
        let is_read = |since: &DateTime<Utc>| local_day(*since - TimeDelta::microseconds(1), zone) < start;
        question.from <= start && end <= question.to && is_over && self.read_since.iter().all(is_read)
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(crate) fn real(number: i64) -> f64 {
    number as f64
}

/// The whole number before a division.
#[expect(clippy::cast_possible_truncation, reason = "far below 2^53")]
pub(crate) fn whole(number: f64) -> i64 {
    number.round() as i64
}

/// Whether two numbers are equal within double precision.
pub(crate) fn are_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

#[track_caller]
pub(crate) fn assert_near(found: &Value, expected: f64, context: &str) {
    let found = found.as_f64().unwrap_or(f64::NAN);
    assert!(are_near(found, expected), "{context}: {found} is not {expected}");
}

/// The weighted percentile of (seconds, weight) in order. With weights `w_k` and running sums `S_k`, sample k has the
/// position `C_k = S_k - w_k / 2`. Everything is multiplied by 40 here, so that the target position is a whole number.
fn percentile(samples: &[(i64, i64)], twentieths: i64) -> f64 {
    let mut sum = 0;
    let centres: Vec<i64> = samples
        .iter()
        .map(|(_, weight)| {
            sum += weight;
            20 * (2 * sum - weight)
        })
        .collect();
    let (first, last) = (centres[0], centres[centres.len() - 1]);
    let target = first + (last - first) / 20 * twentieths;
    let Some(above) = centres.iter().position(|centre| *centre > target) else {
        return real(samples[samples.len() - 1].0);
    };
    let (low, high) = (samples[above - 1].0, samples[above].0);
    let part = real(target - centres[above - 1]) / real(centres[above] - centres[above - 1]);
    real(low) + part * real(high - low)
}

impl Expected<'_> {
    pub(crate) fn units(&self) -> i64 {
        self.0.iter().map(|(_, units)| units).sum()
    }

    /// Asserts that a response has these numbers.
    pub(crate) fn assert_is(&self, found: &Value, context: &str) {
        assert_eq!(found["prs_merged"], self.0.len(), "{context}");
        assert_near(&found["prs_merged_weighted"], real(self.units()) / 10_000.0, context);
        let authors: BTreeSet<&str> = self.0.iter().map(|(change, _)| change.author).collect();
        assert_eq!(found["contributors"], authors.len(), "{context}");
        assert_eq!(found["suppressed"], false, "{context}");
        for (index, (pointer, _)) in DURATIONS.into_iter().enumerate() {
            let known = self.0.iter().filter_map(|(change, units)| Some((change.durations()[index]?, *units)));
            let statistics = found.pointer(pointer).unwrap_or(&Value::Null);
            assert_statistics(statistics, known.collect(), &format!("{pointer}, {context}"));
        }
    }
}

/// Asserts that a response has the statistics of these (seconds, weight).
fn assert_statistics(found: &Value, mut samples: Vec<(i64, i64)>, context: &str) {
    samples.sort_unstable();
    let units: i64 = samples.iter().map(|(_, units)| units).sum();
    assert_eq!(found["n"], samples.len(), "{context}");
    assert_near(&found["weight"], real(units) / 10_000.0, context);
    if samples.is_empty() {
        for key in ["mean_hours", "p50_hours", "p75_hours", "p90_hours", "p95_hours"] {
            assert_eq!(found[key], Value::Null, "{key}, {context}");
        }
        return;
    }
    let sum: i64 = samples.iter().map(|(seconds, units)| seconds * units).sum();
    assert_near(&found["mean_hours"], real(sum) / real(units) / 3_600.0, &format!("mean, {context}"));
    for (key, twentieths) in PERCENTILES {
        assert_near(&found[key], percentile(&samples, twentieths) / 3_600.0, &format!("{key}, {context}"));
    }
}

#[test]
fn plain_rust_matches_the_percentile_definition() {
    for (samples, p50, p75, p95) in [
        (vec![(2, 10_000), (10, 10_000), (20, 10_000)], 10.0, 15.0, 19.0),
        (vec![(2, 10_000), (10, 5_000), (20, 5_000)], 8.6667, 13.75, 18.75),
        (vec![(4, 10_000), (8, 10_000), (100, 1_000)], 7.1, 35.1818, 87.0364),
        (vec![(5, 2_500)], 5.0, 5.0, 5.0),
    ] {
        for (twentieths, expected) in [(10, p50), (15, p75), (19, p95)] {
            assert!((percentile(&samples, twentieths) - expected).abs() < 6e-5, "{samples:?} {twentieths}");
        }
    }
}
