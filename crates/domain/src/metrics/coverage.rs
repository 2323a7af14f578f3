use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{DateRange, Interval};
use crate::start_of_day;

/// How often the collector runs, in hours, unless a setting says otherwise.
pub const COLLECT_EVERY_HOURS: u16 = 4;

/// After this time without a complete collection, the numbers are stale, unless a setting says how often the collector runs.
pub const STALE_AFTER: TimeDelta = stale_after(COLLECT_EVERY_HOURS);

/// After this time without a complete collection, the numbers are stale: two runs of those every so many hours have failed.
pub const fn stale_after(collect_every_hours: u16) -> TimeDelta {
    TimeDelta::hours(collect_every_hours as i64 * 2 + 1)
}

/// Why the numbers of some days are not final. In the order in which they are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Incomplete {
    /// They are not over.
    Running,
    /// Not everything was read, or it does not count yet as the teams file says.
    PartlyRead,
    /// Nothing of them was read.
    NotRead,
    /// Pull requests that could not be read may be missing.
    Quarantined,
    /// Deployments were not all read.
    DeploymentsNotRead,
    /// Incidents were not all read.
    IncidentsNotRead,
    /// A part of the calendar unit is not in the range.
    OutsideRange,
}

impl Incomplete {
    /// All reasons.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The stable code for programs.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

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

    /// Why the numbers of `[from, to)`, which are starts of days, are not final, given the start of the current day; nothing exactly if
    /// it [is complete](Self::is_complete). It changes with what is read, and once a day.
    pub fn incomplete(&self, from: DateTime<Utc>, to: DateTime<Utc>, today: DateTime<Utc>) -> Vec<Incomplete> {
        if self.is_complete(from, to) {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        let is_running = to > today;
        if is_running {
            reasons.push(Incomplete::Running);
        }
        // What is running is read every few hours.
        let due = if is_running { today - TimeDelta::days(1) } else { to };
        // Of what began today, nothing may have been read yet.
        let is_older = from < today;
        let is_later = self.covered_since.is_none_or(|since| to <= since);
        let is_earlier = self.complete_until.is_some_and(|until| until <= from);
        let is_unread = is_older && (is_later || is_earlier);
        let is_ahead = today < from;
        if !is_ahead && (self.is_reattributing || is_unread || !self.is_read(from, due)) {
            reasons.push(if is_unread { Incomplete::NotRead } else { Incomplete::PartlyRead });
            if self.quarantined > 0 {
                reasons.push(Incomplete::Quarantined);
            }
        }
        reasons
    }

    /// Why the numbers of a range are not final, given the current day in its zone.
    pub fn incomplete_range(&self, range: &DateRange, today: NaiveDate) -> Vec<Incomplete> {
        self.incomplete(range.start(), range.end(), start_of_day(today, range.zone))
    }

    /// The same of the calendar unit that starts on `start`.
    pub fn incomplete_bucket(
        &self,
        start: NaiveDate,
        interval: Interval,
        range: &DateRange,
        today: NaiveDate,
    ) -> Vec<Incomplete> {
        let unit = DateRange { from: start, to: interval.end(start), zone: range.zone };
        let mut reasons = self.incomplete_range(&unit, today);
        if start < range.from || range.to < unit.to {
            reasons.push(Incomplete::OutsideRange);
        }
        reasons
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

    /// A day after all of these ranges.
    fn today() -> NaiveDate {
        "2026-06-22".parse().expect("a date")
    }

    #[test]
    fn a_bucket_is_complete_when_requested_and_read() {
        let whole = range("2026-06-01", "2026-06-22");
        let is_complete = |coverage: &Coverage, start: &str, range: &DateRange| {
            coverage.incomplete_bucket(start.parse().expect("a date"), Interval::Week, range, today()).is_empty()
        };
        assert!(is_complete(&coverage(), "2026-06-08", &whole));
        assert!(!is_complete(&coverage(), "2026-06-15", &whole), "not read");
        assert!(!is_complete(&coverage(), "2026-06-08", &range("2026-06-09", "2026-06-22")), "only partly requested");
        assert!(!is_complete(&Coverage { is_reattributing: true, ..coverage() }, "2026-06-08", &whole));
    }

    #[test]
    fn what_is_not_final_says_why() {
        use Incomplete::{NotRead, OutsideRange, PartlyRead, Quarantined, Running};
        let whole = range("2026-05-01", "2026-07-01");
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        let of = |coverage: &Coverage, start: &str, today: &str| {
            coverage.incomplete_bucket(day(start), Interval::Week, &whole, day(today))
        };
        assert_eq!(of(&coverage(), "2026-06-08", "2026-06-15"), []);
        assert_eq!(of(&coverage(), "2026-06-15", "2026-06-16"), [Running, NotRead], "nothing of this week so far");
        let later = Coverage { complete_until: "2026-06-17T10:00:00Z".parse().ok(), ..coverage() };
        assert_eq!(of(&later, "2026-06-15", "2026-06-17"), [Running]);
        assert_eq!(of(&later, "2026-06-15", "2026-06-20"), [Running, PartlyRead], "read until days ago");
        assert_eq!(of(&later, "2026-06-15", "2026-06-22"), [PartlyRead], "it is over");
        assert_eq!(
            of(&later, "2026-06-22", "2026-06-22"),
            [Running, PartlyRead],
            "it began today, and was read until days ago"
        );
        assert_eq!(of(&later, "2026-06-22", "2026-06-17"), [Running], "it has not started");
        assert_eq!(of(&later, "2026-05-25", "2026-06-17"), [NotRead], "before everything was read");
        assert_eq!(of(&Coverage { is_reattributing: true, ..coverage() }, "2026-06-08", "2026-06-17"), [PartlyRead]);
        let missing = Coverage {
            never_collected: vec!["acme/new".to_owned()],
            complete_until: None,
            quarantined: 1,
            ..coverage()
        };
        assert_eq!(of(&missing, "2026-06-08", "2026-06-17"), [PartlyRead, Quarantined]);
        let nothing = Coverage { covered_since: None, ..missing };
        assert_eq!(of(&nothing, "2026-06-08", "2026-06-17"), [NotRead, Quarantined]);
        let narrow = range("2026-06-09", "2026-06-22");
        let reasons = coverage().incomplete_bucket(day("2026-06-08"), Interval::Week, &narrow, day("2026-06-15"));
        assert_eq!(reasons, [OutsideRange]);
    }

    /// For any coverage, range and day.
    #[test]
    fn there_is_a_reason_exactly_if_it_is_not_complete() {
        let at = |hours: i64| Some(coverage().covered_since.unwrap_or_default() + TimeDelta::hours(hours));
        let start = |days: i64| coverage().covered_since.unwrap_or_default() + TimeDelta::days(days);
        for covered_since in [None, at(-30), at(0), at(50)] {
            for complete_until in [None, at(-20), at(24), at(71), at(200)] {
                for never_collected in [Vec::new(), vec!["acme/new".to_owned()]] {
                    for (is_reattributing, quarantined) in [(false, 0), (true, 0), (false, 2)] {
                        let never_collected = never_collected.clone();
                        let coverage = Coverage {
                            never_collected,
                            covered_since,
                            complete_until,
                            quarantined,
                            is_reattributing,
                            ..coverage()
                        };
                        for (from, to, today) in (0..6).flat_map(|it| [(0, 1, it), (1, 4, it), (2, 3, it)]) {
                            let reasons = coverage.incomplete(start(from), start(to), start(today));
                            assert_eq!(
                                reasons.is_empty(),
                                coverage.is_complete(start(from), start(to)),
                                "{coverage:?}"
                            );
                            assert!(reasons.is_sorted(), "{reasons:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn an_uncollected_repository_leaves_everything_incomplete() {
        let missing = Coverage { never_collected: vec!["acme/new".to_owned()], ..coverage() };
        assert!(coverage().incomplete_range(&range("2026-06-01", "2026-06-15"), today()).is_empty());
        assert!(!missing.incomplete_range(&range("2026-06-01", "2026-06-15"), today()).is_empty());
    }
}
