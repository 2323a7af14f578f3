//! Half-open time spans.

use chrono::{DateTime, Datelike, Days, Duration, LocalResult, NaiveDate, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::Serialize;

/// A half-open span `[from, to)`; an open end is unbounded.
///
/// Because it is half open, the instant of a change belongs only to the period that starts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Period {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

/// The end is not after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the end {to} is not after the start {from}")]
pub struct PeriodError {
    /// The start as given.
    pub from: DateTime<Utc>,
    /// The end as given.
    pub to: DateTime<Utc>,
}

impl Period {
    /// All of time.
    pub const ALWAYS: Self = Self { from: None, to: None };

    /// The span from `from` to before `to`.
    ///
    /// # Errors
    /// [`PeriodError`] if the span would be empty.
    pub fn new(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> Result<Self, PeriodError> {
        match (from, to) {
            (Some(from), Some(to)) if to <= from => Err(PeriodError { from, to }),
            _ => Ok(Self { from, to }),
        }
    }

    /// The first instant; `None` for the beginning of time.
    pub fn from(&self) -> Option<DateTime<Utc>> {
        self.from
    }

    /// The first instant after the period; `None` if it is open.
    pub fn to(&self) -> Option<DateTime<Utc>> {
        self.to
    }

    /// Whether the period contains the instant.
    pub fn contains(&self, instant: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| from <= instant) && self.to.is_none_or(|to| instant < to)
    }

    /// Whether the two share an instant. Periods that only touch do not.
    pub fn overlaps(&self, other: &Self) -> bool {
        let starts_before_end = |a: &Self, b: &Self| match (a.from, b.to) {
            (Some(from), Some(to)) => from < to,
            _ => true,
        };
        starts_before_end(self, other) && starts_before_end(other, self)
    }

    /// The part before `instant`; `None` if it is empty.
    #[must_use]
    pub fn ending_at(&self, instant: DateTime<Utc>) -> Option<Self> {
        let to = self.to.map_or(instant, |to| to.min(instant));
        Self::new(self.from, Some(to)).ok()
    }
}

/// The first instant of a calendar day in a zone.
///
/// If midnight happens twice, this is the earlier one. If midnight is skipped (a daylight saving jump at midnight, a
/// day that a country left out), this is the instant of the jump.
pub fn start_of_day(date: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = date.and_time(NaiveTime::MIN);
    match zone.from_local_datetime(&midnight) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => {
            // The offset just before the jump turns the missing midnight into the jump itself.
            let before = midnight.checked_sub_signed(Duration::days(2)).unwrap_or(midnight);
            let offset = Duration::seconds(i64::from(offset_seconds(&zone.from_utc_datetime(&before))));
            // In many zones, the first and last days of the calendar start at an instant that cannot be represented.
            midnight.and_utc().checked_sub_signed(offset).unwrap_or(midnight.and_utc())
        }
    }
}

/// The Monday of the ISO week that a day belongs to.
pub fn monday_of(day: NaiveDate) -> NaiveDate {
    day - Days::new(day.weekday().num_days_from_monday().into())
}

/// The name of a day's ISO week: `2026-W53` also for the days after new year that belong to it.
pub fn iso_week(day: NaiveDate) -> String {
    let week = day.iso_week();
    format!("{}-W{:02}", week.year(), week.week())
}

fn offset_seconds(at: &DateTime<Tz>) -> i32 {
    use chrono::Offset;
    at.offset().fix().local_minus_utc()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn day(text: &str, zone: &str) -> DateTime<Utc> {
        start_of_day(text.parse().expect("a date"), zone.parse().expect("a zone"))
    }

    #[test]
    fn an_instant_of_change_belongs_to_the_later_period() {
        let change = at("2026-06-01T00:00:00Z");
        let before = Period::new(None, Some(change)).expect("valid");
        let after = Period::new(Some(change), None).expect("valid");
        assert!(!before.contains(change));
        assert!(after.contains(change));
        assert!(!before.overlaps(&after));
    }

    #[test]
    fn an_empty_period_is_refused() {
        let instant = at("2026-06-01T00:00:00Z");
        assert!(Period::new(Some(instant), Some(instant)).is_err());
    }

    #[test]
    fn a_day_starts_at_local_midnight() {
        assert_eq!(day("2026-01-05", "Europe/Oslo"), at("2026-01-04T23:00:00Z"));
        assert_eq!(day("2026-07-05", "Europe/Oslo"), at("2026-07-04T22:00:00Z"));
        assert_eq!(day("2026-07-05", "Asia/Kolkata"), at("2026-07-04T18:30:00Z"));
    }

    #[test]
    fn a_skipped_midnight_is_the_jump_instant() {
        assert_eq!(day("2018-11-04", "America/Sao_Paulo"), at("2018-11-04T03:00:00Z"));
        assert_eq!(day("2011-12-30", "Pacific/Apia"), at("2011-12-30T10:00:00Z"));
    }

    #[test]
    fn the_calendar_ends_are_valid_in_every_zone() {
        for zone in ["UTC", "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago"] {
            for day in [NaiveDate::MIN, NaiveDate::MAX] {
                let starts = start_of_day(day, zone.parse().expect("a zone"));
                assert!((starts - day.and_time(NaiveTime::MIN).and_utc()).num_days().abs() <= 1, "{day} {zone}");
            }
        }
    }

    #[test]
    fn weeks_are_named_by_iso() {
        let week = |text: &str| iso_week(text.parse().expect("a date"));
        assert_eq!(week("2026-12-28"), "2026-W53");
        assert_eq!(week("2027-01-03"), "2026-W53");
        assert_eq!(week("2025-12-29"), "2026-W01");
    }

    #[test]
    fn a_repeated_midnight_is_the_earlier_one() {
        assert_eq!(day("2026-11-01", "America/Havana"), at("2026-11-01T04:00:00Z"));
    }

    proptest! {
        #[test]
        fn touching_periods_never_share_an_instant(cut in -1_000_000i64..1_000_000, probe in -1_000_000i64..1_000_000) {
            let instant = |seconds| DateTime::from_timestamp(seconds, 0).expect("in range");
            let before = Period::new(None, Some(instant(cut))).expect("valid");
            let after = Period::new(Some(instant(cut)), None).expect("valid");
            prop_assert!(before.contains(instant(probe)) != after.contains(instant(probe)));
        }

        #[test]
        fn periods_overlap_exactly_when_they_share_instants(a in 0i64..20, b in 1i64..20, c in 0i64..20, d in 1i64..20) {
            let instant = |seconds| DateTime::from_timestamp(seconds, 0).expect("in range");
            let one = Period::new(Some(instant(a)), Some(instant(a + b))).expect("valid");
            let two = Period::new(Some(instant(c)), Some(instant(c + d))).expect("valid");
            let shared = (0..40).any(|s| one.contains(instant(s)) && two.contains(instant(s)));
            prop_assert_eq!(one.overlaps(&two), shared);
        }
    }
}
