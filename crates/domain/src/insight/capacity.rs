//! How much of people a team had (`fte_weeks@1`).

use chrono::NaiveDate;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Period, Weight, start_of_day};

/// What a team had, and what it merged with it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Capacity {
    /// The weights of its memberships, times the weeks in which they applied; `null` for fewer people than may be shown.
    pub fte_weeks: Option<f64>,
    /// The weighted number of merged pull requests for each of these weeks; `null` without any.
    pub merged_per_fte_week: Option<f64>,
}

impl Capacity {
    /// That of fewer people than may be shown.
    pub const HIDDEN: Self = Self { fte_weeks: None, merged_per_fte_week: None };
}

/// The weights of a team's memberships integrated over the days of a bucket, in weeks of 7 days. Holidays are not known.
pub fn fte_weeks(memberships: &[(Period, Weight)], (from, to): (NaiveDate, NaiveDate), zone: Tz) -> f64 {
    let (start, end) = (start_of_day(from, zone), start_of_day(to, zone));
    let part = |period: &Period| {
        let begin = period.from().map_or(start, |at| at.max(start));
        let until = period.to().map_or(end, |at| at.min(end));
        seconds(until - begin).max(0.0) / seconds(end - start)
    };
    if end <= start {
        return 0.0;
    }
    // A day on which clocks change is a day like any other.
    let weeks = f64::from(i32::try_from((to - from).num_days()).unwrap_or(i32::MAX)) / 7.0;
    // The sum of nothing is -0.
    0.0 + memberships.iter().map(|(period, weight)| part(period) * weight.as_f64()).sum::<f64>() * weeks
}

#[expect(clippy::cast_precision_loss, reason = "far less than 2^53 seconds")]
fn seconds(span: chrono::TimeDelta) -> f64 {
    span.num_seconds() as f64
}

/// What a team had in a bucket, and what it merged, as the sum of the weights in ten-thousandths.
pub fn capacity(
    memberships: &[(Period, Weight)],
    days: (NaiveDate, NaiveDate),
    zone: Tz,
    merged_units: i64,
) -> Capacity {
    let fte_weeks = fte_weeks(memberships, days, zone);
    #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
    let merged = merged_units as f64 / f64::from(Weight::UNITS);
    let merged_per_fte_week = (fte_weeks > 0.0).then(|| merged / fte_weeks);
    Capacity { fte_weeks: Some(fte_weeks), merged_per_fte_week }
}
