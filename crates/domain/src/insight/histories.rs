//! Made-up weekly counts of teams, from a seed, and how change detection and forecasts do on them: the tests look at a few, and the
//! example `insight` at a thousand.

use std::ops::Range;

use chrono::{Days, NaiveDate};
use fastrand::Rng;

use super::{ChangeWeek, Forecaster, Horizon, Scale, back_test, level_changes};

/// How a team's weeks come about: they vary more than a Poisson distribution says, and neighboring weeks are alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// The mean of the weeks.
    pub(crate) mean: f64,
    /// The variance of a week divided by the mean, 1 at least; 1 is Poisson.
    pub(crate) dispersion: f64,
    /// How alike the levels of neighboring weeks are, from 0 to below 1.
    pub(crate) likeness: f64,
    /// By how much the level wanders off in a week, as the standard deviation of its logarithm.
    pub(crate) drift: f64,
}

impl Kind {
    /// A team as real ones are, with so many a week: 2 to 5 times as much variance as a Poisson distribution, neighboring weeks that
    /// resemble each other, and a level that wanders.
    pub(crate) fn real(rng: &mut Rng, a_week: Range<f64>) -> Self {
        let mean = a_week.start * (a_week.end / a_week.start).powf(rng.f64());
        Self { mean, dispersion: 2.0 + 3.0 * rng.f64(), likeness: 0.1 + 0.3 * rng.f64(), drift: 0.06 }
    }

    /// So many weeks; from one of them on the level is multiplied.
    pub(crate) fn weeks(self, rng: &mut Rng, count: usize, shift: Option<(usize, f64)>) -> Vec<f64> {
        // Of a mixed Poisson distribution, variance / mean = 1 + mean * (exp(deviation²) - 1).
        let deviation = (1.0 + (self.dispersion - 1.0) / self.mean).ln().sqrt();
        let (mut level, mut wandered) = (normal(rng) * deviation, 0.0);
        (0..count)
            .map(|week| {
                level = self.likeness * level + (1.0 - self.likeness.powi(2)).sqrt() * deviation * normal(rng);
                wandered += self.drift * normal(rng);
                let factor = shift.filter(|(from, _)| *from <= week).map_or(1.0, |(_, factor)| factor);
                let level = level - deviation.powi(2) / 2.0 + wandered;
                poisson(rng, self.mean * factor * level.exp())
            })
            .collect()
    }
}

/// From the standard normal distribution.
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// From a Poisson distribution, as the sum of parts whose probability of 0 can be represented.
fn poisson(rng: &mut Rng, mean: f64) -> f64 {
    let (mut left, mut count) = (mean, 0.0);
    while left > 0.0 {
        let (part, mut product) = ((-left.min(30.0)).exp(), rng.f64());
        while product > part {
            product *= rng.f64();
            count += 1.0;
        }
        left -= 30.0;
    }
    count
}

/// The weeks with their Mondays.
pub(crate) fn dated(counts: &[f64]) -> Vec<ChangeWeek> {
    let first = NaiveDate::from_ymd_opt(2024, 1, 1).unwrap_or_default();
    let mondays = (0..).map(|week| first + Days::new(7 * week));
    mondays.zip(counts).map(|(monday, count)| ChangeWeek::count(monday, *count)).collect()
}

/// Which part of the 50, 80 and 95 % intervals of a horizon held the truth, over histories of three years.
pub(crate) fn held(seeds: Range<u64>, horizon: Horizon, kind: impl Fn(&mut Rng) -> Kind) -> [f64; 3] {
    let (mut weeks, mut held) = (0, [0; 3]);
    for seed in seeds {
        let mut rng = Rng::with_seed(seed);
        let kind = kind(&mut rng);
        let tested = back_test(&kind.weeks(&mut rng, 156, None), horizon);
        weeks += tested.weeks;
        for (sum, more) in held.iter_mut().zip([tested.held_50, tested.held_80, tested.held_95]) {
            *sum += more;
        }
    }
    held.map(|held| part(held, weeks))
}

/// How often so many were done when a forecast was 85 % sure of it.
pub(crate) fn done_when_sure(seeds: Range<u64>) -> f64 {
    let (mut all, mut right) = (0, 0);
    for seed in seeds {
        let mut rng = Rng::with_seed(seed);
        let kind = Kind::real(&mut rng, 1.0..35.0);
        let weeks = kind.weeks(&mut rng, 156, None);
        let count = (8.0 * kind.mean).round();
        let until = Forecaster::new(&weeks[..104]).and_then(|forecaster| forecaster.weeks_until(count, 0.85));
        if let Some(until) = until {
            all += 1;
            right += usize::from(weeks[104..104 + until].iter().sum::<f64>() >= count);
        }
    }
    part(right, all)
}

/// How many changes are found a year of watching, where there are none.
pub(crate) fn false_alarms(seeds: Range<u64>, kind: impl Fn(&mut Rng) -> Kind) -> f64 {
    let (mut alarms, mut watched) = (0, 0);
    for seed in seeds {
        let mut rng = Rng::with_seed(seed);
        let kind = kind(&mut rng);
        let weeks = dated(&kind.weeks(&mut rng, 260, None));
        let report = level_changes(Scale::Count, &weeks);
        alarms += report.changes.len();
        // From the end of each baseline to the next alarm.
        let mut from = 26;
        for change in &report.changes {
            let index = |day: NaiveDate| weeks.iter().position(|week| week.start == day).unwrap_or_default();
            watched += index(change.found) + 1 - from;
            from = index(change.since) + 26;
        }
        watched += weeks.len().saturating_sub(from);
    }
    52.0 * part(alarms, watched)
}

/// Which part of changes of the level by a factor is found within 16 weeks, and after how many weeks the median one.
pub(crate) fn found(seeds: Range<u64>, factor: f64, a_week: Range<f64>) -> (f64, usize) {
    let (mut all, mut after) = (0, Vec::new());
    for seed in seeds {
        let mut rng = Rng::with_seed(seed);
        let kind = Kind::real(&mut rng, a_week.clone());
        let weeks = dated(&kind.weeks(&mut rng, 42, Some((26, factor))));
        let report = level_changes(Scale::Count, &weeks);
        all += 1;
        let change = report.changes.first().filter(|change| (change.to > change.from) == (factor > 1.0));
        after.extend(change.and_then(|change| weeks.iter().position(|week| week.start == change.found)));
    }
    after.sort_unstable();
    (part(after.len(), all), after.get(after.len() / 2).map_or(0, |week| week - 25))
}

#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
fn part(some: usize, all: usize) -> f64 {
    some as f64 / all.max(1) as f64
}
