use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use chrono_tz::Tz;

use super::Interval;
use crate::{monday_of, start_of_day};

/// Slightly more than ten years: more than any team has.
const MAX_DAYS: i64 = 3_700;
/// More buckets do not fit in a chart, and Lambda responses are limited to 6 MB.
const MAX_BUCKETS: i64 = 1_100;

/// A half-open range of days in a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    /// The first day.
    pub from: NaiveDate,
    /// The first day after the range.
    pub to: NaiveDate,
    /// The zone in which days start.
    pub zone: Tz,
}

impl DateRange {
    /// The first instant.
    pub fn start(&self) -> DateTime<Utc> {
        start_of_day(self.from, self.zone)
    }

    /// The first instant after the range.
    pub fn end(&self) -> DateTime<Utc> {
        start_of_day(self.to, self.zone)
    }

    /// The same number of days, immediately before.
    #[must_use]
    pub fn preceding(&self) -> Self {
        Self { from: self.from - (self.to - self.from), to: self.from, zone: self.zone }
    }

    /// From the Monday of the first week to the end of the last week.
    #[must_use]
    pub fn whole_weeks(&self) -> Self {
        Self { from: monday_of(self.from), to: next_monday(self.to), zone: self.zone }
    }
}

/// The first Monday on or after the day.
fn next_monday(day: NaiveDate) -> NaiveDate {
    if day == monday_of(day) { day } else { monday_of(day) + Days::new(7) }
}

/// A query parameter with an invalid value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidParameter {
    /// Its name in the API's query string.
    pub parameter: String,
    /// A stable code for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl InvalidParameter {
    /// Creates the error from the parameter, a stable reason code, and a sentence for people.
    pub fn new(parameter: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Self {
        Self { parameter: parameter.into(), reason, message: message.into() }
    }
}

/// A number of calendar units up to now, including the current one. Written `P30D`, `P12W`, `P6M` or `P1Y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookback {
    /// Calendar days.
    Days(u32),
    /// ISO weeks.
    Weeks(u32),
    /// Calendar months.
    Months(u32),
    /// Calendar years.
    Years(u32),
}

/// Why a text is not a [`Lookback`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LookbackError {
    /// Not in one of the formats.
    #[error("write it like P30D, P12W, P6M or P1Y")]
    Form,
    /// More than [`Lookback::MAX`].
    #[error("at most P{}D, P{}W, P{}M or P{}Y", Lookback::MAX[0], Lookback::MAX[1], Lookback::MAX[2], Lookback::MAX[3])]
    TooLarge,
}

impl Lookback {
    /// The highest numbers of days, weeks, months and years that always fit in the longest range.
    pub const MAX: [u32; 4] = [3_700, 528, 121, 10];

    /// The first day of the oldest unit, with `last_day` in the newest one.
    fn start(self, last_day: NaiveDate) -> NaiveDate {
        let first_of_month = last_day.with_day(1).unwrap_or(last_day);
        let earlier = match self {
            Self::Days(n) => last_day.checked_sub_days(Days::new(u64::from(n) - 1)),
            Self::Weeks(n) => monday_of(last_day).checked_sub_days(Days::new(7 * (u64::from(n) - 1))),
            Self::Months(n) => first_of_month.checked_sub_months(Months::new(n - 1)),
            Self::Years(n) => first_of_month.checked_sub_months(Months::new(12 * (n - 1) + first_of_month.month0())),
        };
        earlier.unwrap_or(NaiveDate::MIN)
    }
}

impl FromStr for Lookback {
    type Err = LookbackError;

    fn from_str(text: &str) -> Result<Self, LookbackError> {
        let read = || {
            let body = text.strip_prefix('P')?;
            let number = body.get(..body.len().checked_sub(1)?)?;
            let is_plain = !number.starts_with('0') && number.len() <= 4 && number.bytes().all(|b| b.is_ascii_digit());
            let count: u32 = number.parse().ok().filter(|_| is_plain)?;
            let [days, weeks, months, years] = Self::MAX;
            match body.bytes().last()? {
                b'D' => Some((Self::Days(count), count <= days)),
                b'W' => Some((Self::Weeks(count), count <= weeks)),
                b'M' => Some((Self::Months(count), count <= months)),
                b'Y' => Some((Self::Years(count), count <= years)),
                _ => None,
            }
        };
        match read() {
            Some((lookback, true)) => Ok(lookback),
            Some((_, false)) => Err(LookbackError::TooLarge),
            None => Err(LookbackError::Form),
        }
    }
}

/// The range if the query does not set one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultRange {
    /// This many units up to the end of today, including the current unit.
    UpToNow {
        /// The unit.
        interval: Interval,
        /// How many, at least one.
        count: u32,
    },
    /// This many completed weeks.
    CompletedWeeks(u32),
}

impl DefaultRange {
    fn end(self, today: NaiveDate) -> NaiveDate {
        match self {
            Self::UpToNow { .. } => today + Days::new(1),
            Self::CompletedWeeks(_) => monday_of(today),
        }
    }

    fn start(self, end: NaiveDate) -> NaiveDate {
        let last_day = end - Days::new(1);
        match self {
            Self::UpToNow { interval: Interval::Day, count } => Lookback::Days(count).start(last_day),
            Self::UpToNow { interval: Interval::Week, count } | Self::CompletedWeeks(count) => {
                Lookback::Weeks(count).start(last_day)
            }
            Self::UpToNow { interval: Interval::Month, count } => Lookback::Months(count).start(last_day),
            Self::UpToNow { interval: Interval::Quarter, count } => {
                let month = last_day.month0() % 3;
                Lookback::Months(3 * (count - 1) + month + 1).start(last_day)
            }
        }
    }
}

/// The days that a query requests, before the current day is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeRequest {
    /// From one day to the day before another; the default fills in what is missing.
    Days {
        /// The first day.
        from: Option<NaiveDate>,
        /// The first day after the range.
        to: Option<NaiveDate>,
    },
    /// Up to now.
    Lookback(Lookback),
    /// The ISO week that starts on this Monday.
    Week(NaiveDate),
}

impl RangeRequest {
    /// The default range.
    pub const DEFAULT: Self = Self::Days { from: None, to: None };

    /// Resolves the requested days in a zone at a given time.
    ///
    /// # Errors
    /// An empty range, or a range that is too long in total or has too many buckets of `interval`.
    pub fn resolve(
        self,
        zone: Tz,
        now: DateTime<Utc>,
        default: DefaultRange,
        interval: Option<Interval>,
    ) -> Result<DateRange, InvalidParameter> {
        let today = now.with_timezone(&zone).date_naive();
        let tomorrow = today + Days::new(1);
        let (from, to) = match self {
            Self::Days { from, to } => {
                // A range with only a start extends to now.
                let end = to.unwrap_or_else(|| if from.is_some() { tomorrow } else { default.end(today) });
                (from.unwrap_or_else(|| default.start(end)), end)
            }
            Self::Lookback(lookback) => (lookback.start(today), tomorrow),
            Self::Week(monday) => (monday, monday + Days::new(7)),
        };
        let days = (to - from).num_days();
        if days <= 0 {
            let message = format!("{from} is not before {to} (`to` is the first day after the range)");
            return Err(InvalidParameter::new("from", "empty_range", message));
        }
        if days > MAX_DAYS {
            let name = if matches!(self, Self::Lookback(_)) { "last" } else { "from" };
            let message = format!("{from} to {to} is more than {MAX_DAYS} days");
            return Err(InvalidParameter::new(name, "range_too_large", message));
        }
        if interval == Some(Interval::Day) && days > MAX_BUCKETS {
            let message = format!("{from} to {to} is more than {MAX_BUCKETS} days; take a larger interval");
            return Err(InvalidParameter::new("interval", "range_too_large", message));
        }
        Ok(DateRange { from, to, zone })
    }

    /// Parameters that do not request whole ISO weeks: the query parameter, and what to write instead.
    pub fn parts_beside_weeks(self) -> Vec<(&'static str, String)> {
        let days: Vec<(&'static str, NaiveDate)> = match self {
            Self::Days { from, to } => {
                from.map(|day| ("from", day)).into_iter().chain(to.map(|day| ("to", day))).collect()
            }
            Self::Lookback(Lookback::Weeks(_)) | Self::Week(_) => Vec::new(),
            Self::Lookback(_) => return vec![("last", "write weeks, for example P4W".to_owned())],
        };
        let days = days.into_iter().filter(|(_, day)| *day != monday_of(*day));
        days.map(|(name, day)| (name, format!("write a Monday, {} or {}", monday_of(day), next_monday(day)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEKS: DefaultRange = DefaultRange::UpToNow { interval: Interval::Week, count: 12 };
    const MONTHS: DefaultRange = DefaultRange::UpToNow { interval: Interval::Month, count: 6 };

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    /// 11:30 p.m. in UTC is the next day in Oslo.
    fn resolve(request: RangeRequest, zone: Tz, default: DefaultRange) -> Result<(String, String), InvalidParameter> {
        let now = "2026-06-17T23:30:00Z".parse().expect("an instant");
        request.resolve(zone, now, default, None).map(|range| (range.from.to_string(), range.to.to_string()))
    }

    fn oslo(request: RangeRequest, default: DefaultRange) -> (String, String) {
        resolve(request, Tz::Europe__Oslo, default).expect("a range")
    }

    fn days(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    fn last(text: &str) -> RangeRequest {
        RangeRequest::Lookback(text.parse().expect("a lookback"))
    }

    #[test]
    fn the_default_range_covers_whole_units_including_today() {
        let default = RangeRequest::DEFAULT;
        assert_eq!(oslo(default, WEEKS), days("2026-03-30", "2026-06-19"));
        assert_eq!(resolve(default, Tz::UTC, WEEKS), Ok(days("2026-03-30", "2026-06-18")));
        assert_eq!(oslo(default, MONTHS), days("2026-01-01", "2026-06-19"));
        assert_eq!(oslo(default, DefaultRange::CompletedWeeks(4)), days("2026-05-18", "2026-06-15"));
        let until = RangeRequest::Days { from: None, to: Some(day("2026-01-05")) };
        assert_eq!(oslo(until, WEEKS), days("2025-10-13", "2026-01-05"));
        let since = RangeRequest::Days { from: Some(day("2026-06-01")), to: None };
        assert_eq!(oslo(since, DefaultRange::CompletedWeeks(4)), days("2026-06-01", "2026-06-19"));
        let quarters = |count| DefaultRange::UpToNow { interval: Interval::Quarter, count };
        assert_eq!(oslo(default, quarters(1)), days("2026-04-01", "2026-06-19"));
        assert_eq!(oslo(default, quarters(4)), days("2025-07-01", "2026-06-19"));
    }

    #[test]
    fn a_lookback_ends_with_the_current_unit() {
        assert_eq!(oslo(last("P1D"), WEEKS), days("2026-06-18", "2026-06-19"));
        assert_eq!(oslo(last("P12W"), WEEKS), oslo(RangeRequest::DEFAULT, WEEKS));
        assert_eq!(oslo(last("P6M"), WEEKS), oslo(RangeRequest::DEFAULT, MONTHS));
        assert_eq!(oslo(last("P1Y"), WEEKS), days("2026-01-01", "2026-06-19"));
        assert_eq!(oslo(last("P2Y"), WEEKS), days("2025-01-01", "2026-06-19"));
    }

    #[test]
    fn a_lookback_is_a_number_and_a_unit() {
        for text in ["P0W", "P01W", "12W", "P12", "P", "PW", "P12w", "P-1W", "P1.5W", "P12345D", "P1Q", "P1W ", "P٣W"]
        {
            assert_eq!(text.parse::<Lookback>(), Err(LookbackError::Form), "{text}");
        }
        for text in ["P9999Y", "P3701D", "P529W", "P122M", "P11Y"] {
            assert_eq!(text.parse::<Lookback>(), Err(LookbackError::TooLarge), "{text}");
        }
    }

    #[test]
    fn the_longest_lookbacks_are_valid_every_day() {
        for (now, text) in
            [("2028-12-31", "P3700D"), ("2028-12-31", "P528W"), ("2028-12-31", "P121M"), ("2028-12-31", "P10Y")]
        {
            let now = day(now).and_hms_opt(12, 0, 0).expect("a time").and_utc();
            assert!(last(text).resolve(Tz::UTC, now, WEEKS, None).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_range_is_neither_empty_nor_fifty_years() {
        let resolve = |from: &str, interval| {
            let request = RangeRequest::Days { from: Some(day(from)), to: Some(day("2026-01-01")) };
            let now = "2026-06-17T12:00:00Z".parse().expect("an instant");
            request.resolve(Tz::UTC, now, WEEKS, interval).map_err(|invalid| (invalid.parameter, invalid.reason))
        };
        assert_eq!(resolve("2026-01-01", None), Err(("from".to_owned(), "empty_range")));
        assert_eq!(resolve("1976-01-01", None), Err(("from".to_owned(), "range_too_large")));
        assert_eq!(resolve("2020-01-01", Some(Interval::Day)), Err(("interval".to_owned(), "range_too_large")));
        assert!(resolve("2020-01-01", Some(Interval::Week)).is_ok());
    }

    #[test]
    fn parameters_that_break_whole_weeks_are_named() {
        let names =
            |request: RangeRequest| request.parts_beside_weeks().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let from_to = |from, to| RangeRequest::Days { from: Some(day(from)), to: Some(day(to)) };
        assert_eq!(names(from_to("2026-06-02", "2026-06-10")), ["from", "to"]);
        assert_eq!(names(from_to("2026-06-01", "2026-06-08")), Vec::<&str>::new());
        assert_eq!(names(last("P30D")), ["last"]);
        assert_eq!(names(last("P4W")), Vec::<&str>::new());
        assert_eq!(names(RangeRequest::Week(day("2026-06-01"))), Vec::<&str>::new());
    }

    #[test]
    fn whole_weeks_contain_the_range() {
        let range = DateRange { from: day("2026-06-03"), to: day("2026-06-09"), zone: Tz::UTC };
        let weeks = range.whole_weeks();
        assert_eq!((weeks.from, weeks.to), (day("2026-06-01"), day("2026-06-15")));
        assert_eq!(weeks.whole_weeks(), weeks);
        assert_eq!((weeks.preceding().from, weeks.preceding().to), (day("2026-05-18"), day("2026-06-01")));
    }
}
