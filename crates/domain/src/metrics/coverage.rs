use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{DateRange, Interval};
use crate::start_of_day;

/// The collector runs every four hours. After two failed runs, the numbers are stale.
pub const STALE_AFTER: TimeDelta = TimeDelta::hours(9);

/// How far collection has progressed, for a set of repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Repositories that are fully collected and whose last attempt succeeded.
    pub collected: i64,
    /// Repositories whose last attempt failed. What was collected before still counts.
    pub failing: Vec<String>,
    /// Repositories that are not yet fully collected for everyone, including failing ones.
    pub pending: Vec<String>,
    /// Pending repositories that were never fully collected: how much is missing is unknown.
    pub never_collected: Vec<String>,
    /// For repositories that were ever collected, every change since then is stored.
    pub covered_since: Option<DateTime<Utc>>,
    /// From `covered_since` on, everything up to then is stored. `None` while any repository was never collected.
    pub complete_until: Option<DateTime<Utc>>,
    /// The start of the oldest of the latest complete collections: newer data is not guaranteed. `None` before the
    /// first.
    pub data_as_of: Option<DateTime<Utc>>,
    /// Quarantined pull requests, accepted or not: they could not be read and are not counted.
    pub quarantined: i64,
    /// Whether memberships changed and stored pull requests still count as before.
    pub is_reattributing: bool,
    /// Configured patterns for which GitHub does not list everything to the token, so that repositories may be missing.
    pub incomplete_patterns: Vec<String>,
}

impl Coverage {
    /// The time since which everything is stored; `None` while any repository was never collected.
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.covered_since.filter(|_| self.never_collected.is_empty())
    }

    /// Whether everything that happened in `[from, to)` was read and counts according to the teams file.
    pub fn is_complete(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        !self.is_reattributing && self.is_read(from, to)
    }

    /// Whether everything that happened in `[from, to)` was read. Anything after the last collection was not.
    pub fn is_read(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        let has_started = self.since().is_some_and(|since| since <= from);
        has_started && self.complete_until.is_some_and(|until| to <= until)
    }

    /// Whether the whole range is complete.
    pub fn is_range_complete(&self, range: &DateRange) -> bool {
        self.is_complete(range.start(), range.end())
    }

    /// Whether the calendar unit that starts on `start` lies entirely in the range and is complete.
    pub fn is_bucket_complete(&self, start: NaiveDate, interval: Interval, range: &DateRange) -> bool {
        let end = interval.end(start);
        let is_in_range = range.from <= start && end <= range.to;
        is_in_range && self.is_complete(start_of_day(start, range.zone), start_of_day(end, range.zone))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Everything from 2026-06-01 to 2026-06-15 was read.
    pub(in crate::metrics) fn coverage() -> Coverage {
        let at = |text: &str| Some(text.parse().expect("an instant"));
        Coverage {
            collected: 1,
            failing: Vec::new(),
            pending: Vec::new(),
            never_collected: Vec::new(),
            covered_since: at("2026-06-01T00:00:00Z"),
            complete_until: at("2026-06-15T00:00:00Z"),
            data_as_of: at("2026-06-15T00:00:00Z"),
            quarantined: 0,
            is_reattributing: false,
            incomplete_patterns: Vec::new(),
        }
    }

    pub(in crate::metrics) fn range(from: &str, to: &str) -> DateRange {
        let day = |text: &str| text.parse().expect("a date");
        DateRange { from: day(from), to: day(to), zone: chrono_tz::Tz::UTC }
    }

    #[test]
    fn a_bucket_is_complete_when_requested_and_read() {
        let whole = range("2026-06-01", "2026-06-22");
        let is_complete = |coverage: &Coverage, start: &str, range: &DateRange| {
            coverage.is_bucket_complete(start.parse().expect("a date"), Interval::Week, range)
        };
        assert!(is_complete(&coverage(), "2026-06-08", &whole));
        assert!(!is_complete(&coverage(), "2026-06-15", &whole), "not read");
        assert!(!is_complete(&coverage(), "2026-06-08", &range("2026-06-09", "2026-06-22")), "only partly requested");
        assert!(!is_complete(&Coverage { is_reattributing: true, ..coverage() }, "2026-06-08", &whole));
    }

    #[test]
    fn an_uncollected_repository_leaves_everything_incomplete() {
        let missing = Coverage { never_collected: vec!["acme/new".to_owned()], ..coverage() };
        assert!(coverage().is_range_complete(&range("2026-06-01", "2026-06-15")));
        assert!(!missing.is_range_complete(&range("2026-06-01", "2026-06-15")));
    }
}
