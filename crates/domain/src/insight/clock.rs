//! Waiting times by the clock on the wall, or by a team's working hours.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::start_of_day;

/// Days without work that are looked through at most: a clock that never ticks ends there.
const MOST_DAYS: usize = 20_000;

/// A team's working hours, the same on each of its days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkingHours {
    /// When work starts, by the clock of the team's zone.
    pub from: NaiveTime,
    /// When it ends, on the same day.
    pub to: NaiveTime,
    /// The days of the week; from Monday to Friday unless the file says otherwise.
    #[schemars(with = "Vec<String>")]
    pub days: Vec<Weekday>,
    /// Days on which the team does not work.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub free: BTreeSet<NaiveDate>,
}

impl WorkingHours {
    /// The days of the week unless the file says otherwise.
    pub const DAYS: [Weekday; 5] = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];

    /// When the team works from the day of an instant on.
    fn spans(&self, at: DateTime<Utc>, zone: Tz) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let first = at.with_timezone(&zone).date_naive();
        let days = (0..).map_while(move |later| first.checked_add_days(Days::new(later))).take(MOST_DAYS);
        let is_worked = |day: &NaiveDate| self.days.contains(&day.weekday()) && !self.free.contains(day);
        days.filter(is_worked).map(move |day| (instant(day, self.from, zone), instant(day, self.to, zone)))
    }
}

/// A time of a day. One that a clock change skips is the end of the gap; of two it is the earlier one.
fn instant(day: NaiveDate, time: NaiveTime, zone: Tz) -> DateTime<Utc> {
    let local = day.and_time(time);
    let found = [0, 1, 2, 3].iter().find_map(|hours| {
        let later = local.checked_add_signed(TimeDelta::hours(*hours))?;
        zone.from_local_datetime(&later).earliest()
    });
    found.map_or_else(|| start_of_day(day, zone), |at| at.with_timezone(&Utc))
}

/// By which clock waiting is measured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Each hour counts.
    #[default]
    Wall,
    /// Only the team's working hours count.
    Working(WorkingHours),
}

impl Clock {
    /// Until when something that waits since `start` has waited no longer than `within`.
    ///
    /// By working hours this is when work starts again, if all of the time is used up when work ends.
    pub fn due(&self, start: DateTime<Utc>, within: TimeDelta, zone: Tz) -> DateTime<Utc> {
        let hours = match self {
            Self::Wall => return start.checked_add_signed(within).unwrap_or(DateTime::<Utc>::MAX_UTC),
            Self::Working(hours) => hours,
        };
        let mut left = within;
        for (open, close) in hours.spans(start, zone) {
            let from = open.max(start);
            if close <= from {
                continue;
            }
            if left < close - from {
                return from + left;
            }
            left -= close - from;
        }
        DateTime::<Utc>::MAX_UTC
    }

    /// How long something has waited from one instant to another; nothing if that is earlier.
    pub fn elapsed(&self, start: DateTime<Utc>, end: DateTime<Utc>, zone: Tz) -> TimeDelta {
        match self {
            Self::Wall => (end - start).max(TimeDelta::zero()),
            Self::Working(hours) => {
                let spans = hours.spans(start, zone).take_while(|(open, _)| *open < end);
                let parts = spans.map(|(open, close)| (close.min(end) - open.max(start)).max(TimeDelta::zero()));
                parts.fold(TimeDelta::zero(), |sum, part| sum + part)
            }
        }
    }
}
