use chrono::{Datelike, Days, Months, NaiveDate};

use crate::{iso_week, monday_of};

/// The calendar unit of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    /// Calendar days.
    Day,
    /// ISO weeks, Monday to Sunday.
    Week,
    /// Calendar months.
    Month,
    /// Calendar quarters.
    Quarter,
}

impl Interval {
    /// All units, shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Week, Self::Month, Self::Quarter];

    /// The name in the API and in PostgreSQL's `date_trunc`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
        }
    }

    /// The first day of the unit that has this day.
    pub fn start(self, day: NaiveDate) -> NaiveDate {
        let first_of_month = day.with_day(1).unwrap_or(day);
        match self {
            Self::Day => day,
            Self::Week => monday_of(day),
            Self::Month => first_of_month,
            Self::Quarter => first_of_month - Months::new(first_of_month.month0() % 3),
        }
    }

    /// The first day after the unit that starts on `start`.
    pub fn end(self, start: NaiveDate) -> NaiveDate {
        match self {
            Self::Day => start + Days::new(1),
            Self::Week => start + Days::new(7),
            Self::Month => start + Months::new(1),
            Self::Quarter => start + Months::new(3),
        }
    }

    /// The name of the unit that starts on `start`: `2026-06-01`, `2026-W23`, `2026-06` or `2026-Q2`.
    pub fn label(self, start: NaiveDate) -> String {
        match self {
            Self::Day => start.to_string(),
            Self::Week => iso_week(start),
            Self::Month => start.format("%Y-%m").to_string(),
            Self::Quarter => start.format("%Y-Q%q").to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_ends_where_the_next_starts() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        for (interval, start, end, label) in [
            (Interval::Day, "2026-02-28", "2026-03-01", "2026-02-28"),
            (Interval::Week, "2026-12-28", "2027-01-04", "2026-W53"),
            (Interval::Month, "2026-12-01", "2027-01-01", "2026-12"),
            (Interval::Quarter, "2026-10-01", "2027-01-01", "2026-Q4"),
        ] {
            assert_eq!(interval.end(day(start)), day(end));
            assert_eq!(interval.label(day(start)), label);
            assert_eq!(interval.start(day(end) - Days::new(1)), day(start));
            assert_eq!(interval.start(day(start)), day(start));
        }
    }
}
