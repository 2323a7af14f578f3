//! How many will be done by then, and when a number of them will be (`forecast@1`).

use chrono::{Days, NaiveDate};
use schemars::JsonSchema;
use serde::Serialize;

use super::number::{mean, next_below, real, root, unroot, variance};
use crate::metrics::FORECAST;

/// A forecast needs so many complete weeks.
pub const WEEKS_NEEDED: usize = 26;
/// It looks at most so many weeks ahead.
pub const WEEKS_AHEAD: usize = 52;
/// A back-test looks at so many past forecasts, if there are as many.
const BACK_TESTED: usize = 52;
/// From so many independent stretches on, the team's own errors count.
const OWN_STRETCHES: usize = 4;
/// So many of them count as much as those of all.
const OWN_HALF: f64 = 12.0;

/// The probabilities of the columns of [`ERRORS`].
const PROBABILITIES: [f64; 9] = [0.025, 0.10, 0.15, 0.25, 0.50, 0.75, 0.85, 0.90, 0.975];
/// How far the totals of so many weeks were off, measured on the weekly merges of public repositories.
const ERRORS: [(usize, [f64; 9]); 6] = [
    (1, [-1.84, -1.23, -1.03, -0.78, -0.22, 0.40, 0.82, 1.13, 1.98]),
    (4, [-2.48, -1.72, -1.42, -1.02, -0.22, 0.63, 1.18, 1.57, 3.01]),
    (8, [-3.04, -2.00, -1.67, -1.08, -0.23, 0.78, 1.47, 1.95, 3.66]),
    (12, [-3.30, -2.12, -1.70, -1.16, -0.22, 0.93, 1.66, 2.21, 4.70]),
    (26, [-3.98, -2.50, -1.98, -1.40, -0.26, 1.28, 2.18, 2.92, 6.20]),
    (52, [-5.04, -3.12, -2.52, -1.65, -0.13, 1.53, 2.57, 3.36, 7.18]),
];

/// How many weeks ahead, from 1 to 52.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Horizon(#[schemars(range(min = 1, max = 52))] usize);

impl Horizon {
    /// 12 weeks.
    pub const QUARTER: Self = Self(12);

    /// So many weeks; `None` for none, and beyond 52.
    pub fn new(weeks: usize) -> Option<Self> {
        (1..=WEEKS_AHEAD).contains(&weeks).then_some(Self(weeks))
    }

    /// The number of weeks.
    pub const fn weeks(self) -> usize {
        self.0
    }

    /// All of them, shortest first.
    fn all() -> impl Iterator<Item = Self> {
        (1..=WEEKS_AHEAD).map(Self)
    }

    /// The error that is not exceeded with a probability, by linear interpolation. Beyond 2.5 and 97.5 % it is theirs.
    fn error(self, probability: f64) -> f64 {
        let above = ERRORS.iter().position(|(weeks, _)| self.0 <= *weeks).unwrap_or(ERRORS.len() - 1);
        let (below, above) = (&ERRORS[above.saturating_sub(1)], &ERRORS[above]);
        let part = between(real(below.0), real(above.0), real(self.0));
        let right = PROBABILITIES.iter().position(|known| probability <= *known).unwrap_or(PROBABILITIES.len() - 1);
        let left = right.saturating_sub(1);
        let column = between(PROBABILITIES[left], PROBABILITIES[right], probability);
        let of = |row: &[f64; 9]| row[left] + (row[right] - row[left]) * column;
        of(&below.1) + (of(&above.1) - of(&below.1)) * part
    }
}

/// How far a value is from one to the other, from 0 to 1.
fn between(from: f64, to: f64, value: f64) -> f64 {
    if to > from { ((value - from) / (to - from)).clamp(0.0, 1.0) } else { 1.0 }
}

/// What a forecast is made from.
#[derive(Debug, Clone, Copy)]
pub struct Forecaster<'a> {
    weeks: &'a [f64],
    weekly: f64,
    dispersion: f64,
}

/// What is known of the total of so many weeks.
#[derive(Debug)]
struct Total {
    horizon: Horizon,
    center: f64,
    unit: f64,
    /// How far earlier totals of the team were off, in order; of independent stretches.
    own: Vec<f64>,
}

impl Total {
    fn own_weight(&self) -> f64 {
        let n = real(self.own.len());
        if self.own.len() < OWN_STRETCHES { 0.0 } else { n / (n + OWN_HALF) }
    }

    fn quantile(&self, probability: f64) -> f64 {
        let (error, weight) = (self.horizon.error(probability), self.own_weight());
        let own = next_below(&self.own, probability).unwrap_or(error);
        unroot(self.center + ((1.0 - weight) * error + weight * own) * self.unit)
    }
}

impl<'a> Forecaster<'a> {
    /// From the counts of consecutive complete weeks, the latest one last; `None` for fewer than 26.
    pub fn new(weeks: &'a [f64]) -> Option<Self> {
        let last = &weeks[weeks.len().checked_sub(WEEKS_NEEDED)?..];
        let center = mean(last);
        let weekly = f64::midpoint(mean(&last[last.len() - 8..]), center);
        let dispersion = if center > 0.0 { (variance(last) / center).max(1.0) } else { 1.0 };
        Some(Self { weeks, weekly, dispersion })
    }

    /// How many a week are expected.
    pub fn weekly(&self) -> f64 {
        self.weekly
    }

    /// How much more the weeks vary than a Poisson distribution says, 1 at least.
    pub fn dispersion(&self) -> f64 {
        self.dispersion
    }

    /// The total of the next weeks that is not exceeded with a probability from 2.5 to 97.5 %.
    pub fn total(&self, horizon: Horizon, probability: f64) -> f64 {
        self.of(horizon).quantile(probability)
    }

    /// The first number of weeks whose total reaches so many with a probability; `None` if none within a year does.
    pub fn weeks_until(&self, count: f64, probability: f64) -> Option<usize> {
        Horizon::all().find(|horizon| self.total(*horizon, 1.0 - probability) >= count).map(Horizon::weeks)
    }

    fn center(&self, horizon: Horizon) -> f64 {
        root(self.weekly * real(horizon.0))
    }

    /// What one of the table's units is.
    fn unit(&self, horizon: Horizon) -> f64 {
        (self.dispersion * (1.0 + real(horizon.0) / real(WEEKS_NEEDED))).sqrt() / 2.0
    }

    fn of(&self, horizon: Horizon) -> Total {
        let mut own = Vec::new();
        let mut end = self.weeks.len();
        while let Some(start) = end.checked_sub(horizon.0)
            && let Some(past) = Forecaster::new(&self.weeks[..start])
        {
            let truth: f64 = self.weeks[start..end].iter().sum();
            own.push((root(truth) - past.center(horizon)) / past.unit(horizon));
            end = start;
        }
        own.sort_by(f64::total_cmp);
        Total { horizon, center: self.center(horizon), unit: self.unit(horizon), own }
    }
}

/// The total of the next weeks.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ForecastTotal {
    /// How many weeks.
    pub weeks: usize,
    /// The Monday after them.
    pub by: NaiveDate,
    /// The present rate times the weeks.
    pub expected: f64,
    /// With a probability of 97.5 % it is more than this.
    pub p2_5: f64,
    /// With a probability of 90 % it is more than this.
    pub p10: f64,
    /// With a probability of 85 % it is more than this: what can be promised.
    pub p15: f64,
    /// With a probability of 75 % it is more than this.
    pub p25: f64,
    /// As likely more as less.
    pub p50: f64,
    /// With a probability of 75 % it is less than this.
    pub p75: f64,
    /// With a probability of 85 % it is less than this.
    pub p85: f64,
    /// With a probability of 90 % it is less than this.
    pub p90: f64,
    /// With a probability of 97.5 % it is less than this.
    pub p97_5: f64,
    /// The 80 % interval as parts of the expected total, for example from 0.7 to 1.4; `null` if nothing is expected.
    pub range: Option<[f64; 2]>,
    /// Earlier independent stretches of as many weeks.
    pub stretches: usize,
    /// How much the team's own errors in them count, from 0 to 1.
    pub own_weight: f64,
}

/// How often earlier intervals of the team held the truth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BackTest {
    /// How many weeks ahead.
    pub weeks_ahead: usize,
    /// The past weeks in which such a forecast could be made and its truth is known, 52 at most.
    pub weeks: usize,
    /// In how many of them the 50 % interval held it.
    pub held_50: usize,
    /// In how many of them the 80 % interval held it.
    pub held_80: usize,
    /// In how many of them the 95 % interval held it.
    pub held_95: usize,
}

/// When so many will be done.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DoneBy {
    /// How many.
    pub count: f64,
    /// In how many weeks with a probability of 50 %; `null` if not within a year.
    pub weeks_50: Option<usize>,
    /// The Monday after them.
    pub by_50: Option<NaiveDate>,
    /// In how many weeks with a probability of 85 %; `null` if not within a year.
    pub weeks_85: Option<usize>,
    /// The Monday after them.
    pub by_85: Option<NaiveDate>,
}

/// A forecast, with how earlier ones of the team turned out.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ForecastReport {
    /// The ID of the formula.
    pub definition: &'static str,
    /// The complete weeks that it is made from.
    pub weeks_known: usize,
    /// How many a week are expected.
    pub weekly: f64,
    /// How much more the weeks vary than a Poisson distribution says, 1 at least.
    pub dispersion: f64,
    /// The totals of 1, 2 and more weeks, up to those asked for.
    pub totals: Vec<ForecastTotal>,
    /// When so many will be done, if that was asked for.
    pub done: Option<DoneBy>,
    /// How earlier intervals of as many weeks turned out.
    pub back_test: BackTest,
}

/// Forecasts the totals of the weeks up to a horizon, and when so many will be done. `weeks` are the counts of consecutive complete
/// weeks, the latest one last, and `next` is the Monday after them. `None` for fewer than 26 weeks.
pub fn forecast(weeks: &[f64], next: NaiveDate, horizon: Horizon, count: Option<f64>) -> Option<ForecastReport> {
    let forecaster = Forecaster::new(weeks)?;
    Some(ForecastReport {
        definition: FORECAST,
        weeks_known: weeks.len(),
        weekly: forecaster.weekly,
        dispersion: forecaster.dispersion,
        totals: Horizon::all().take(horizon.0).map(|horizon| forecaster.shown(horizon, next)).collect(),
        done: count.map(|count| forecaster.done(count, next)),
        back_test: back_test(weeks, horizon),
    })
}

/// The Monday after so many weeks.
fn after(next: NaiveDate, weeks: usize) -> NaiveDate {
    next + Days::new(7 * u64::try_from(weeks).unwrap_or_default())
}

impl Forecaster<'_> {
    fn shown(&self, horizon: Horizon, next: NaiveDate) -> ForecastTotal {
        let total = self.of(horizon);
        let expected = self.weekly * real(horizon.0);
        let [low, high] = [0.10, 0.90].map(|probability| total.quantile(probability));
        ForecastTotal {
            weeks: horizon.0,
            by: after(next, horizon.0),
            expected,
            p2_5: total.quantile(0.025),
            p10: low,
            p15: total.quantile(0.15),
            p25: total.quantile(0.25),
            p50: total.quantile(0.50),
            p75: total.quantile(0.75),
            p85: total.quantile(0.85),
            p90: high,
            p97_5: total.quantile(0.975),
            range: (expected > 0.0).then(|| [low / expected, high / expected]),
            stretches: total.own.len(),
            own_weight: total.own_weight(),
        }
    }

    fn done(&self, count: f64, next: NaiveDate) -> DoneBy {
        let (weeks_50, weeks_85) = (self.weeks_until(count, 0.5), self.weeks_until(count, 0.85));
        let by = |weeks: Option<usize>| weeks.map(|weeks| after(next, weeks));
        DoneBy { count, weeks_50, by_50: by(weeks_50), weeks_85, by_85: by(weeks_85) }
    }
}

/// Makes the forecast of so many weeks in each of the last 52 weeks for which the truth is known, from what was known then, and
/// counts how often the intervals held it.
pub fn back_test(weeks: &[f64], horizon: Horizon) -> BackTest {
    let mut result = BackTest { weeks_ahead: horizon.0, ..BackTest::default() };
    let last = weeks.len().saturating_sub(horizon.0);
    for origin in WEEKS_NEEDED.max((last + 1).saturating_sub(BACK_TESTED))..=last {
        let Some(forecaster) = Forecaster::new(&weeks[..origin]) else { continue };
        let (total, truth) = (forecaster.of(horizon), weeks[origin..origin + horizon.0].iter().sum::<f64>());
        let holds = |low: f64, high: f64| usize::from((total.quantile(low)..=total.quantile(high)).contains(&truth));
        result.weeks += 1;
        result.held_50 += holds(0.25, 0.75);
        result.held_80 += holds(0.10, 0.90);
        result.held_95 += holds(0.025, 0.975);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_interpolated_in_horizon_and_probability() {
        let error = |weeks: usize, probability: f64| {
            let error = Horizon::new(weeks).expect("a horizon").error(probability);
            format!("{error:.4}")
        };
        assert_eq!([error(12, 0.1), error(52, 0.975), error(1, 0.025)], ["-2.1200", "7.1800", "-1.8400"]);
        assert_eq!(error(10, 0.1), "-2.0600", "between 8 and 12 weeks");
        assert_eq!(error(4, 0.8), "0.9050", "between 75 and 85 %");
        assert_eq!(error(2, 0.0), error(2, 0.025), "nothing is known beyond");
        for (weeks, row) in &ERRORS {
            assert!(row.is_sorted_by(|a, b| a < b), "{weeks}");
        }
        let ends = |row: &[f64; 9]| (row[0], row[8]);
        let is_wider = |pair: &[(usize, [f64; 9])]| {
            ends(&pair[1].1).0 < ends(&pair[0].1).0 && ends(&pair[1].1).1 > ends(&pair[0].1).1
        };
        assert!(ERRORS.windows(2).all(is_wider));
    }
}
