//! Which phases take how much of the time (`time_share@1`).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::Weight;
use crate::metrics::TIME_SHARE;
use crate::percentile::weighted_quantile;

/// A phase of a pull request.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema, strum::Display, strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Phase {
    /// From the first commit to the opening.
    Coding,
    /// From ready for review to the first review.
    Pickup,
    /// From the first review to the merge.
    Review,
    /// From the merge to production.
    Deploy,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
    /// Those that end with the merge.
    pub const UNTIL_MERGE: &'static [Self] = &[Self::Coding, Self::Pickup, Self::Review];
}

/// The phases of a pull request in seconds, by [`Phase`]; `None` where one is not known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhaseTimes {
    /// In the order of [`Phase::ALL`].
    pub seconds: [Option<f64>; 4],
    /// The team's share in it.
    pub weight: Weight,
}

/// What a phase takes of the time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct PhaseShare {
    /// Which one.
    pub phase: Phase,
    /// Its part of the weighted sum of all times. Those of all phases sum to 1; `null` if there is no time.
    pub share: Option<f64>,
    /// The median of each pull request's own part. One that took weeks does not rule it; these do not sum to 1.
    pub median_share: Option<f64>,
}

/// Where the time goes.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TimeShare {
    /// The ID of the formula.
    pub definition: &'static str,
    /// The pull requests with all phases.
    pub n: usize,
    /// The sum of their weights.
    pub weight: f64,
    /// Each phase, in order.
    pub phases: Vec<PhaseShare>,
    /// Others, by the first phase that is not known.
    pub missing: BTreeMap<Phase, usize>,
    /// The rest: with all phases, but of weeks that would show what fewer people did than may be shown. With these, it is all that was
    /// merged.
    pub n_hidden: usize,
}

/// Which of the phases take how much of the time of pull requests that have all of them.
pub fn time_share(items: &[PhaseTimes], phases: &[Phase]) -> TimeShare {
    let mut missing = BTreeMap::new();
    let mut whole: Vec<(Vec<f64>, f64)> = Vec::new();
    let mut units = 0_u64;
    for item in items {
        let of = |phase: &Phase| item.seconds[*phase as usize].filter(|seconds| *seconds >= 0.0);
        if let Some(unknown) = phases.iter().find(|phase| of(phase).is_none()) {
            *missing.entry(*unknown).or_default() += 1;
            continue;
        }
        whole.push((phases.iter().filter_map(of).collect(), item.weight.as_f64()));
        units += u64::from(item.weight.units());
    }
    let total_of = |times: &[f64]| times.iter().sum::<f64>();
    let total: f64 = whole.iter().map(|(times, weight)| total_of(times) * weight).sum();
    let share = |index: usize, phase: Phase| {
        let sum: f64 = whole.iter().map(|(times, weight)| times[index] * weight).sum();
        let with_time = whole.iter().filter(|(times, _)| total_of(times) > 0.0);
        let own: Vec<(f64, f64)> = with_time.map(|(times, weight)| (times[index] / total_of(times), *weight)).collect();
        PhaseShare { phase, share: (total > 0.0).then(|| sum / total), median_share: weighted_quantile(&own, 0.5) }
    };
    TimeShare {
        definition: TIME_SHARE,
        n: whole.len(),
        #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
        weight: units as f64 / f64::from(Weight::UNITS),
        phases: phases.iter().enumerate().map(|(index, phase)| share(index, *phase)).collect(),
        missing,
        n_hidden: 0,
    }
}
