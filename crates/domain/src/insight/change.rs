//! Lasting changes of a weekly number (`change@1`), and its process behavior chart.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Serialize;

use super::number::{mean, root, unroot, variance};
use crate::metrics::CHANGE;

/// How many complete weeks a baseline has.
pub const BASELINE_WEEKS: usize = 26;
/// Fewer pull requests a week than this are too few to tell.
pub const FEW_A_WEEK: f64 = 3.0;
/// How far a week may be from the baseline, in standard deviations, before it adds up.
const ALLOWANCE: f64 = 0.5;
/// A sum above this is a lasting change.
const THRESHOLD: f64 = 6.0;
/// Limits of a process behavior chart: the mean and so many times the mean moving range.
const LIMIT_RANGES: f64 = 2.66;
/// The FTE of a team changed if it did by this part.
const FTE_SHIFT: f64 = 0.25;
/// A baseline whose weeks are all alike has no scale; on both scales this is one.
const NO_SPREAD: f64 = 1e-9;

/// What kind of number it is, which decides how it is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Scale {
    /// A count: 2√(x + 3/8).
    Count,
    /// The median of durations: its logarithm.
    Duration,
}

impl Scale {
    fn scaled(self, value: f64) -> f64 {
        match self {
            Self::Count => 2.0 * root(value),
            // A second is the shortest duration that is known.
            Self::Duration => value.max(1.0 / 3600.0).ln(),
        }
    }

    fn unscaled(self, scaled: f64) -> f64 {
        match self {
            Self::Count => unroot(scaled / 2.0),
            Self::Duration => scaled.exp(),
        }
    }

    /// The level of some weeks: of counts their mean, of durations the geometric mean of their medians.
    fn level(self, weeks: &[&ChangeWeek]) -> f64 {
        let values: Vec<f64> = weeks.iter().filter_map(|week| week.value).collect();
        match self {
            Self::Count => mean(&values),
            Self::Duration => mean(&values.iter().map(|value| self.scaled(*value)).collect::<Vec<_>>()).exp(),
        }
    }
}

/// A week of a team.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangeWeek {
    /// Its Monday.
    pub start: NaiveDate,
    /// Whether it is over and was read. Weeks that are not complete are left out.
    pub is_complete: bool,
    /// How many pull requests its number is made of.
    pub n: f64,
    /// The number: a count, or hours. `None` without any duration; such weeks are left out.
    pub value: Option<f64>,
    /// The people of the team on the average, by their weights, if that is known.
    pub fte: Option<f64>,
}

impl ChangeWeek {
    /// A complete week with a count.
    pub fn count(start: NaiveDate, count: f64) -> Self {
        Self { start, is_complete: true, n: count, value: Some(count), fte: None }
    }

    /// A complete week with the median of its durations in hours.
    pub fn duration(start: NaiveDate, n: f64, median: Option<f64>) -> Self {
        Self { start, is_complete: true, n, value: median, fte: None }
    }

    fn is_used(&self) -> bool {
        self.is_complete && self.value.is_some_and(f64::is_finite)
    }
}

/// What can be said about lasting changes at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ChangeState {
    /// Fewer than three pull requests a week on the average since the last change: too few to tell.
    TooFew,
    /// There are not 26 complete weeks since the last change, or since the beginning.
    Learning,
    /// Each new week is compared with the baseline.
    Watching,
}

/// Whether a number went up or down. Neither is called better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Direction {
    /// It is higher than before.
    Up,
    /// It is lower than before.
    Down,
}

/// The people of a team, before and since a change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct FteShift {
    /// On the average of the baseline.
    pub from: f64,
    /// On the average since the change.
    pub to: f64,
}

/// A lasting change of the level.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct LevelChange {
    /// The Monday of the first week of the new level.
    pub since: NaiveDate,
    /// The Monday of the week whose end showed it.
    pub found: NaiveDate,
    /// Up or down.
    pub direction: Direction,
    /// The level of the baseline: the mean of its weeks; of durations the geometric mean of the weeks' medians, in hours.
    pub from: f64,
    /// The same of the weeks from `since` to `found`.
    pub to: f64,
    /// The pull requests of the baseline.
    pub n_before: f64,
    /// The pull requests of the weeks from `since` to `found`.
    pub n_since: f64,
    /// How many weeks these are.
    pub weeks: usize,
    /// If the people of the team changed by a quarter, too.
    pub fte: Option<FteShift>,
    /// The sum that exceeded 6.
    pub sum: f64,
}

/// The weeks that later ones are compared with, and the limits of the chart that follow from them.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Baseline {
    /// The Monday of its first week.
    pub from: NaiveDate,
    /// The Monday of its last week.
    pub through: NaiveDate,
    /// The Monday from which the next baseline replaces it; `null` for the present one.
    pub until: Option<NaiveDate>,
    /// How many pull requests it has.
    pub n: f64,
    /// How many that is a week, on the average of all complete weeks between.
    pub n_a_week: f64,
    /// The line in the middle of the chart: the mean on the scale of the number, drawn back.
    pub center: f64,
    /// The lower limit: the mean less 2.66 times the mean moving range, drawn back.
    pub lower: f64,
    /// The upper limit.
    pub upper: f64,
    /// The level, as in a change.
    pub level: f64,
    /// The mean on the scale of the number.
    #[serde(skip)]
    pub mean: f64,
    /// The standard deviation on the scale of the number.
    #[serde(skip)]
    pub deviation: f64,
}

/// A week of the chart.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChartWeek {
    /// Its Monday.
    pub start: NaiveDate,
    /// The number; `null` where it is unknown or the week is not complete.
    pub value: Option<f64>,
    /// How many pull requests it is made of.
    pub n: f64,
    /// Whether it lies outside of the limits of its baseline. That is a mark, not a change.
    pub is_outside: bool,
}

/// The lasting changes of a weekly number, and its chart.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangeReport {
    /// The ID of the formula.
    pub definition: &'static str,
    /// How the number is scaled.
    pub scale: Scale,
    /// What can be said at present.
    pub state: ChangeState,
    /// Complete weeks with a number that the present baseline still lacks.
    pub weeks_to_learn: usize,
    /// The changes, oldest first.
    pub changes: Vec<LevelChange>,
    /// The baselines, oldest first. Weeks before the first complete one have no limits.
    pub baselines: Vec<Baseline>,
    /// The weeks as they were given.
    pub weeks: Vec<ChartWeek>,
}

/// Finds the lasting changes of a weekly number; the weeks are in order.
///
/// Two sums add up how far the weeks after the baseline are above and below it, less an allowance, and start again at 0.
pub fn level_changes(scale: Scale, weeks: &[ChangeWeek]) -> ChangeReport {
    let used: Vec<&ChangeWeek> = weeks.iter().filter(|week| week.is_used()).collect();
    let (mut changes, mut baselines) = (Vec::new(), Vec::<Baseline>::new());
    let mut start = 0;
    while let Some(first) = used.get(start..start + BASELINE_WEEKS) {
        let baseline = Baseline::of(scale, first, weeks);
        let found = crossing(scale, &baseline, &used[start + BASELINE_WEEKS..]);
        baselines.push(baseline);
        let (Some(crossing), Some(baseline)) = (found, baselines.last_mut()) else { break };
        let since = start + BASELINE_WEEKS + crossing.since;
        let new = &used[since..=start + BASELINE_WEEKS + crossing.found];
        baseline.until = Some(new[0].start);
        let change = LevelChange::of(scale, &crossing, baseline, first, new);
        // Of fewer, only that the baseline no longer fits is known.
        if baseline.n_a_week >= FEW_A_WEEK {
            changes.push(change);
        }
        start = since;
    }
    let weeks_to_learn = (start + BASELINE_WEEKS).saturating_sub(used.len());
    let recent = &used[start..used.len().min(start + BASELINE_WEEKS)];
    let is_sparse = !recent.is_empty() && a_week(recent, weeks) < FEW_A_WEEK;
    let state = match weeks_to_learn {
        _ if is_sparse => ChangeState::TooFew,
        0 => ChangeState::Watching,
        _ => ChangeState::Learning,
    };
    let charted = weeks.iter().map(|week| chart_week(week, &baselines)).collect();
    ChangeReport { definition: CHANGE, scale, state, weeks_to_learn, changes, baselines, weeks: charted }
}

/// How many pull requests a complete week has between the first and the last of these, also those without a number.
fn a_week(used: &[&ChangeWeek], all: &[ChangeWeek]) -> f64 {
    let (Some(first), Some(last)) = (used.first(), used.last()) else { return 0.0 };
    let is_between = |week: &&ChangeWeek| week.is_complete && first.start <= week.start && week.start <= last.start;
    mean(&all.iter().filter(is_between).map(|week| week.n).collect::<Vec<_>>())
}

fn chart_week(week: &ChangeWeek, baselines: &[Baseline]) -> ChartWeek {
    let value = week.value.filter(|_| week.is_used());
    let in_force = baselines.iter().rev().find(|baseline| baseline.from <= week.start);
    let is_outside = value.zip(in_force).is_some_and(|(value, limits)| value < limits.lower || limits.upper < value);
    ChartWeek { start: week.start, value, n: week.n, is_outside }
}

impl Baseline {
    fn of(scale: Scale, weeks: &[&ChangeWeek], all: &[ChangeWeek]) -> Self {
        let scaled: Vec<f64> = weeks.iter().filter_map(|week| week.value).map(|value| scale.scaled(value)).collect();
        let center = mean(&scaled);
        let deviation = variance(&scaled).sqrt();
        let moves: Vec<f64> = scaled.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
        let reach = LIMIT_RANGES * mean(&moves);
        Self {
            from: weeks[0].start,
            through: weeks[weeks.len() - 1].start,
            until: None,
            n: weeks.iter().map(|week| week.n).sum(),
            n_a_week: a_week(weeks, all),
            center: scale.unscaled(center),
            lower: scale.unscaled(center - reach),
            upper: scale.unscaled(center + reach),
            level: scale.level(weeks),
            mean: center,
            deviation: if deviation < NO_SPREAD { 1.0 } else { deviation },
        }
    }
}

/// Where a sum exceeded the threshold.
struct Crossing {
    /// The index of the week that did it.
    found: usize,
    /// The index of the week after the one in which that sum was last 0.
    since: usize,
    direction: Direction,
    sum: f64,
}

fn crossing(scale: Scale, baseline: &Baseline, weeks: &[&ChangeWeek]) -> Option<Crossing> {
    let (mut up, mut down) = ((0.0_f64, 0), (0.0_f64, 0));
    for (index, week) in weeks.iter().enumerate() {
        let z = (scale.scaled(week.value?) - baseline.mean) / baseline.deviation;
        for (sum, z, direction) in [(&mut up, z, Direction::Up), (&mut down, -z, Direction::Down)] {
            sum.0 = (sum.0 + z - ALLOWANCE).max(0.0);
            if sum.0 <= 0.0 {
                sum.1 = index + 1;
            }
            if sum.0 > THRESHOLD {
                return Some(Crossing { found: index, since: sum.1, direction, sum: sum.0 });
            }
        }
    }
    None
}

impl LevelChange {
    fn of(scale: Scale, crossing: &Crossing, baseline: &Baseline, before: &[&ChangeWeek], new: &[&ChangeWeek]) -> Self {
        let fte = |weeks: &[&ChangeWeek]| {
            let known: Option<Vec<f64>> = weeks.iter().map(|week| week.fte).collect();
            known.map(|known| mean(&known))
        };
        let shift = fte(before).zip(fte(new)).map(|(from, to)| FteShift { from, to });
        Self {
            since: new[0].start,
            found: new[new.len() - 1].start,
            direction: crossing.direction,
            from: baseline.level,
            to: scale.level(new),
            n_before: baseline.n,
            n_since: new.iter().map(|week| week.n).sum(),
            weeks: new.len(),
            fte: shift.filter(|shift| (shift.to - shift.from).abs() >= FTE_SHIFT * shift.from),
            sum: crossing.sum,
        }
    }
}
