use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{DateRange, Interval};
use crate::start_of_day;

/// The collector runs every four hours: after two runs that failed, the numbers are stale.
pub const STALE_AFTER: TimeDelta = TimeDelta::hours(9);

/// How far the collection has come, over some repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Repositories that are collected completely, and whose last attempt succeeded.
    pub collected: i64,
    /// Repositories whose last attempt failed. What was collected before is counted.
    pub failing: Vec<String>,
    /// Repositories that are not collected completely for everybody yet, failing ones too.
    pub pending: Vec<String>,
    /// The pending repositories that were never collected completely: nothing is known of what is missing.
    pub never_collected: Vec<String>,
    /// Everything that changed since then is stored, of the repositories that were ever collected.
    pub covered_since: Option<DateTime<Utc>>,
    /// Everything up to then is stored, from `covered_since` on. `None` while a repository was never collected.
    pub complete_until: Option<DateTime<Utc>>,
    /// When the oldest of the last complete collections began: nothing newer is claimed. `None` before the first.
    pub data_as_of: Option<DateTime<Utc>>,
    /// Pull requests in quarantine, accepted or not: they could not be read, and are not counted.
    pub quarantined: i64,
    /// Whether memberships changed, and stored pull requests still count as before.
    pub is_reattributing: bool,
    /// Patterns of the configuration of which GitHub does not list everything to the token, so that repositories may be missing.
    pub incomplete_patterns: Vec<String>,
}

impl Coverage {
    /// Since when everything is stored; `None` while a repository was never collected.
    pub fn since(&self) -> Option<DateTime<Utc>> {
        self.covered_since.filter(|_| self.never_collected.is_empty())
    }

    /// Whether everything that happened in `[from, to)` was read, and counts as the teams file says.
    pub fn is_complete(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        !self.is_reattributing && self.is_read(from, to)
    }

    /// Whether everything that happened in `[from, to)` was read. What happened after the last collection was not.
    pub fn is_read(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        let is_begun = self.since().is_some_and(|since| since <= from);
        is_begun && self.complete_until.is_some_and(|until| to <= until)
    }

    /// Whether all of a range is complete.
    pub fn is_range_complete(&self, range: &DateRange) -> bool {
        self.is_complete(range.start(), range.end())
    }

    /// Whether the calendar unit that begins on `start` lies in the range as a whole, and is complete.
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
    fn a_bucket_is_complete_when_all_of_it_was_asked_for_and_read() {
        let whole = range("2026-06-01", "2026-06-22");
        let is_complete = |coverage: &Coverage, start: &str, range: &DateRange| {
            coverage.is_bucket_complete(start.parse().expect("a date"), Interval::Week, range)
        };
        assert!(is_complete(&coverage(), "2026-06-08", &whole));
        assert!(!is_complete(&coverage(), "2026-06-15", &whole), "it was not read");
        assert!(
            !is_complete(&coverage(), "2026-06-08", &range("2026-06-09", "2026-06-22")),
            "it was asked for in part"
        );
        assert!(!is_complete(&Coverage { is_reattributing: true, ..coverage() }, "2026-06-08", &whole));
    }

    #[test]
    fn nothing_is_complete_while_a_repository_was_never_collected() {
        let missing = Coverage { never_collected: vec!["acme/new".to_owned()], ..coverage() };
        assert!(coverage().is_range_complete(&range("2026-06-01", "2026-06-15")));
        assert!(!missing.is_range_complete(&range("2026-06-01", "2026-06-15")));
    }
}
