//! How long pull requests wait for their first review, by when they were opened (`pickup_calendar@1`).

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Serialize;

use super::groups::{Group, hours};
use crate::Weight;
use crate::metrics::PICKUP_CALENDAR;

/// A calendar needs so many weeks; of the last one a day is enough.
pub const CALENDAR_WEEKS: i64 = 13;
/// A cell of fewer pull requests is empty.
pub const FEWEST_IN_CELL: usize = 6;

/// A pull request by when it was opened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenedPickup {
    /// When it was opened for review.
    pub opened: DateTime<Utc>,
    /// How long it waited for its first review, in seconds.
    pub pickup: f64,
    /// The team's share in it.
    pub weight: Weight,
    /// Its author, as any number that is the same for the same person.
    pub person: i64,
}

impl OpenedPickup {
    /// The day of the week, of which Monday is 1, and the hour of the opening.
    pub(super) fn hour_of_week(&self, zone: Tz) -> (u32, u32) {
        let opened = self.opened.with_timezone(&zone);
        (opened.weekday().number_from_monday(), opened.hour())
    }
}

/// The pull requests that were opened in an hour of a day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct CalendarCell {
    /// The day of the week: 1 is Monday.
    pub weekday: u32,
    /// The hour of the day, from 0 to 23, in the team's zone.
    pub hour: u32,
    /// How many there are.
    pub n: usize,
    /// The weighted median of their pickup.
    pub pickup_p50_hours: f64,
}

/// The pickup by the hour of the opening. It never says when somebody worked.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PickupCalendar {
    /// The ID of the formula.
    pub definition: &'static str,
    /// The pull requests of the range, also those of cells that are not shown.
    pub n: usize,
    /// The cells with six pull requests or more, from as many people as may be shown; by day and hour. All others are left out.
    pub cells: Vec<CalendarCell>,
}

/// The median pickup of each hour of the week, of what was opened from a day until before another one; `None` for 12 weeks or less.
pub fn pickup_calendar(
    items: &[OpenedPickup],
    (from, to): (NaiveDate, NaiveDate),
    zone: Tz,
    min_group_size: usize,
) -> Option<PickupCalendar> {
    if (to - from).num_days() <= 7 * (CALENDAR_WEEKS - 1) {
        return None;
    }
    let mut n = 0;
    let mut groups: BTreeMap<(u32, u32), Group> = BTreeMap::new();
    for item in items {
        if (from..to).contains(&item.opened.with_timezone(&zone).date_naive()) {
            n += 1;
            let cell = groups.entry(item.hour_of_week(zone)).or_default();
            cell.add((item.pickup, item.weight.as_f64(), item.person));
        }
    }
    let shown = groups.into_iter().filter(|(_, group)| group.n() >= FEWEST_IN_CELL).filter_map(|(at, group)| {
        let pickup_p50_hours = hours(group.median(min_group_size)?);
        Some(CalendarCell { weekday: at.0, hour: at.1, n: group.n(), pickup_p50_hours })
    });
    Some(PickupCalendar { definition: PICKUP_CALENDAR, n, cells: shown.collect() })
}
