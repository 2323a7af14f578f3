//! DORA's metrics: what they are made of, their classes by the edition of the report, and the score of DORA's Quick Check.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::Durations;
use crate::delivery::{DeploymentKind, FailureReason, MissingReason, ReworkReason, Share};

/// By what a deployment belongs to a team.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Basis {
    /// By the pull requests that it delivers (`delivered@1`).
    #[default]
    Delivered,
    /// By who owns its service (`owned@1`).
    Owned,
}

impl Basis {
    /// The ID of its definition.
    pub fn definition(self) -> &'static str {
        match self {
            Self::Delivered => super::DELIVERED,
            Self::Owned => super::OWNED,
        }
    }
}

/// How many there are, and the sum of a scope's shares of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Distinct ones.
    pub n: i64,
    /// The sum of the shares.
    pub share: Share,
}

impl Count {
    /// Which part these are of others, by their number; `None` of none.
    #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
    pub fn rate_of(self, whole: Self) -> Option<f64> {
        (whole.n > 0).then(|| self.n as f64 / whole.n as f64)
    }

    /// Which part these are of others, by their shares; `None` of none.
    pub fn weighted_rate_of(self, whole: Self) -> Option<f64> {
        (whole.share.0 > 0).then(|| self.share.as_part() / whole.share.as_part())
    }
}

/// Fewer deployments, pull requests or incidents than this say little.
pub const FEW: i64 = 5;

/// Durations over a set, each with a share.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Timing {
    /// How many, and the sum of their shares.
    pub count: Count,
    /// `None` if there are none.
    pub durations: Option<Durations>,
    /// The distinct people whose durations they are, if they were counted; otherwise 0.
    pub contributors: i64,
}

impl Timing {
    /// The median; `None` if there are none.
    pub fn median(&self) -> Option<f64> {
        self.durations.map(|durations| durations.p50)
    }
}

/// Deployments by what they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentCounts {
    /// Succeeded or failed attempts, without rollouts.
    pub finished: Count,
    /// Succeeded ones, without rollouts.
    pub succeeded: Count,
    /// Succeeded ones by kind.
    pub kinds: BTreeMap<DeploymentKind, Count>,
    /// Succeeded ones that failed for one of the chosen reasons.
    pub failed: Count,
    /// The same by reason. One may have several.
    pub failures: BTreeMap<FailureReason, Count>,
    /// Failed ones that nothing remedied so far.
    pub unremedied: Count,
    /// Succeeded ones that are rework.
    pub rework: Count,
    /// The same by reason. One may have several.
    pub reworks: BTreeMap<ReworkReason, Count>,
}

impl DeploymentCounts {
    /// Sets a measure by its name in SQL. Names that are not known come from a newer schema, and are ignored.
    pub fn set(&mut self, measure: &str, count: Count) {
        if let Some(reason) = measure.strip_prefix("failed:") {
            self.failures.extend(reason.parse().ok().map(|reason: FailureReason| (reason, count)));
        } else if let Some(reason) = measure.strip_prefix("rework:") {
            self.reworks.extend(reason.parse().ok().map(|reason: ReworkReason| (reason, count)));
        } else {
            match measure {
                "finished" => self.finished = count,
                "succeeded" => self.succeeded = count,
                "failed" => self.failed = count,
                "unremedied" => self.unremedied = count,
                "rework" => self.rework = count,
                kind => self.kinds.extend(kind.parse().ok().map(|kind: DeploymentKind| (kind, count))),
            }
        }
    }
}

/// What no team has of deployments and incidents: with the shares of all teams it is their number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unattributed {
    /// Of finished deployments.
    pub finished: Share,
    /// Of succeeded ones.
    pub succeeded: Share,
    /// Of failed ones.
    pub failed: Share,
    /// Of rework.
    pub rework: Share,
    /// Of resolved incidents.
    pub incidents: Share,
    /// Of incidents that were open at the end.
    pub open_incidents: Share,
}

impl Unattributed {
    /// Sets a measure of deployments by its name in SQL. Those that are not listed here are parts of the others.
    pub fn set(&mut self, measure: &str, share: Share) {
        match measure {
            "finished" => self.finished = share,
            "succeeded" => self.succeeded = share,
            "failed" => self.failed = share,
            "rework" => self.rework = share,
            _ => {}
        }
    }
}

/// The numbers of one calendar unit, or of a whole range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DoraBucket {
    /// The first day.
    pub start: NaiveDate,
    /// Its deployments.
    pub deployments: DeploymentCounts,
    /// The pull requests that were delivered in it, also without a known lead time.
    pub delivered: Count,
    /// From their first commit to the delivery.
    pub lead_time: Timing,
    /// From their merge to the delivery.
    pub deploy: Timing,
    /// Incidents with a deployment, from their start to their resolution.
    pub recovery: Timing,
    /// All incidents, the same.
    pub mttr: Timing,
    /// Failed deployments, from their success to their remedy.
    pub deployment_recovery: Timing,
    /// Incidents that were open at its end.
    pub open_incidents: Count,
    /// Those of them with a deployment.
    pub open_linked_incidents: Count,
    /// What of them no team has; of a team's numbers all zero.
    pub unattributed: Unattributed,
}

impl DoraBucket {
    /// The median time to recover: of incidents with a deployment, or without any that of failed deployments.
    pub fn time_to_recover(&self) -> Option<f64> {
        self.recovery.median().or(self.deployment_recovery.median())
    }
}

/// The buckets of a range, and the whole range.
#[derive(Debug, Clone, PartialEq)]
pub struct DoraStatistics {
    /// One for each calendar unit that the range touches, in order.
    pub buckets: Vec<DoraBucket>,
    /// The whole range.
    pub total: DoraBucket,
    /// Pull requests that were merged in the range and not delivered so far, by reason.
    pub undelivered: BTreeMap<MissingReason, Count>,
}

/// An edition of the report with classes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantArray,
)]
#[expect(missing_docs, reason = "each is the report of that year")]
pub enum Edition {
    #[strum(serialize = "dora-2019")]
    Dora2019,
    #[strum(serialize = "dora-2021")]
    Dora2021,
    #[strum(serialize = "dora-2023")]
    Dora2023,
    #[strum(serialize = "dora-2024")]
    Dora2024,
}

/// A class of performance. A reading of the reports' tables, whose rows are clusters of whole organizations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the reports' words")]
pub enum Class {
    Elite,
    High,
    Medium,
    Low,
}

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;
const WEEK: f64 = 7.0 * DAY;
/// As DORA reckons.
const MONTH: f64 = 730.0 * HOUR;
const HALF_A_YEAR: f64 = 4_380.0 * HOUR;

/// Per day: once a week, once a month, twice a year.
const WEEKLY: f64 = 1.0 / 7.0;
const MONTHLY: f64 = 12.0 / 365.0;
const TWICE_A_YEAR: f64 = 2.0 / 365.0;

/// A bound of a duration in seconds.
#[derive(Clone, Copy)]
enum Within {
    LessThan(f64),
    AtMost(f64),
}

impl Within {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::LessThan(bound) => value < bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl Edition {
    /// All editions.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The class of deployments per day.
    pub fn frequency(self, per_day: f64) -> Class {
        let (high, medium) = match self {
            Self::Dora2021 => (MONTHLY, TWICE_A_YEAR),
            Self::Dora2019 | Self::Dora2023 | Self::Dora2024 => (WEEKLY, MONTHLY),
        };
        best([per_day > 1.0, per_day >= high, per_day >= medium])
    }

    /// The class of a median change lead time in seconds.
    pub fn lead_time(self, seconds: f64) -> Class {
        use Within::{AtMost, LessThan};
        let bounds = match self {
            Self::Dora2021 => [LessThan(HOUR), AtMost(WEEK), AtMost(HALF_A_YEAR)],
            Self::Dora2019 | Self::Dora2023 | Self::Dora2024 => [LessThan(DAY), AtMost(WEEK), AtMost(MONTH)],
        };
        best(bounds.map(|bound| bound.holds(seconds)))
    }

    /// The class of a median time to recover in seconds.
    pub fn recovery(self, seconds: f64) -> Class {
        use Within::{AtMost, LessThan};
        let medium = match self {
            Self::Dora2019 | Self::Dora2024 => LessThan(DAY),
            Self::Dora2021 | Self::Dora2023 => AtMost(WEEK),
        };
        best([LessThan(HOUR), LessThan(DAY), medium].map(|bound| bound.holds(seconds)))
    }

    /// The class of a change fail rate, as a fraction.
    pub fn change_fail_rate(self, rate: f64) -> Class {
        let bounds = match self {
            Self::Dora2019 => [0.15, 0.15, 0.15],
            Self::Dora2021 => [0.15, 0.30, 0.30],
            Self::Dora2023 => [0.05, 0.10, 0.15],
            Self::Dora2024 => [0.05, 0.20, 0.10],
        };
        best(bounds.map(|bound| rate <= bound))
    }
}

/// The best class whose bound is met.
fn best(met: [bool; 3]) -> Class {
    let classes = [Class::Elite, Class::High, Class::Medium].into_iter().zip(met);
    classes.into_iter().find(|(_, met)| *met).map_or(Class::Low, |(class, _)| class)
}

/// The values that the Quick Check asks for; `None` where they are unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QuickCheckAnswers {
    /// The median change lead time in seconds.
    pub lead_time: Option<f64>,
    /// Deployments per day.
    pub frequency: Option<f64>,
    /// The median time to recover in seconds.
    pub recovery: Option<f64>,
    /// As a fraction.
    pub change_fail_rate: Option<f64>,
    /// As a fraction.
    pub rework_rate: Option<f64>,
}

/// The scores of DORA's Quick Check (`quick_check@2025`), from 0 to 10.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuickCheck {
    /// Of the change lead time.
    pub lead_time: Option<f64>,
    /// Of the deployment frequency.
    pub frequency: Option<f64>,
    /// Of the time to recover.
    pub recovery: Option<f64>,
    /// Of the change fail rate.
    pub change_fail_rate: Option<f64>,
    /// Of the rework rate.
    pub rework_rate: Option<f64>,
    /// The mean of the first three, as far as they are known.
    pub throughput: Option<f64>,
    /// The mean of the two rates, as far as they are known.
    pub stability: Option<f64>,
    /// The mean of all that are known.
    pub score: Option<f64>,
}

impl QuickCheck {
    /// What all industries scored in 2025, in the order lead time, frequency, recovery, change fail rate, rework rate.
    pub const BENCHMARK: [f64; 5] = [5.5, 4.8, 7.4, 8.1, 7.8];

    /// Scores answers.
    pub fn of(answers: &QuickCheckAnswers) -> Self {
        let of_duration = |seconds: f64| match seconds {
            it if it < HOUR => 6.0,
            it if it < DAY => 5.0,
            it if it <= WEEK => 4.0,
            it if it <= MONTH => 3.0,
            it if it <= HALF_A_YEAR => 2.0,
            _ => 1.0,
        };
        let of_frequency = |per_day: f64| match per_day {
            it if it > 1.0 => 6.0,
            it if it >= 1.0 => 5.0,
            it if it >= WEEKLY => 4.0,
            it if it >= MONTHLY => 3.0,
            it if it >= TWICE_A_YEAR => 2.0,
            _ => 1.0,
        };
        let score = |bucket: f64| (bucket - 1.0) * 2.0;
        let of_rate = |rate: f64| 10.0 - rate * 10.0;
        let lead_time = answers.lead_time.map(of_duration).map(score);
        let frequency = answers.frequency.map(of_frequency).map(score);
        let recovery = answers.recovery.map(of_duration).map(score);
        let change_fail_rate = answers.change_fail_rate.map(of_rate);
        let rework_rate = answers.rework_rate.map(of_rate);
        Self {
            lead_time,
            frequency,
            recovery,
            change_fail_rate,
            rework_rate,
            throughput: mean(&[lead_time, frequency, recovery]),
            stability: mean(&[change_fail_rate, rework_rate]),
            score: mean(&[lead_time, frequency, recovery, change_fail_rate, rework_rate]),
        }
    }
}

/// The mean of what is known.
fn mean(values: &[Option<f64>]) -> Option<f64> {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let count = u32::try_from(known.len()).ok().filter(|count| *count > 0)?;
    Some(known.iter().sum::<f64>() / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::Class::{Elite, High, Low, Medium};
    use super::*;

    #[test]
    fn a_class_is_the_best_whose_bound_is_met() {
        let frequency = |edition: Edition| [1.01, 1.0, WEEKLY, MONTHLY, 0.001].map(|it| edition.frequency(it));
        assert_eq!(frequency(Edition::Dora2019), [Elite, High, High, Medium, Low]);
        assert_eq!(frequency(Edition::Dora2021), [Elite, High, High, High, Low]);
        assert_eq!(Edition::Dora2021.frequency(TWICE_A_YEAR), Medium);
        let lead = |edition: Edition| [HOUR, DAY, WEEK, MONTH, HALF_A_YEAR].map(|it| edition.lead_time(it));
        assert_eq!(lead(Edition::Dora2021), [High, High, High, Medium, Medium]);
        assert_eq!(lead(Edition::Dora2024), [Elite, High, High, Medium, Low]);
        let recovery = |edition: Edition| [HOUR - 1.0, HOUR, DAY, WEEK, MONTH].map(|it| edition.recovery(it));
        assert_eq!(recovery(Edition::Dora2019), [Elite, High, Low, Low, Low]);
        assert_eq!(recovery(Edition::Dora2023), [Elite, High, Medium, Medium, Low]);
        let rate = |edition: Edition| [0.05, 0.10, 0.15, 0.30, 0.31].map(|it| edition.change_fail_rate(it));
        assert_eq!(rate(Edition::Dora2019), [Elite, Elite, Elite, Low, Low]);
        assert_eq!(rate(Edition::Dora2021), [Elite, Elite, Elite, High, Low]);
        assert_eq!(rate(Edition::Dora2023), [Elite, High, Medium, Low, Low]);
        assert_eq!(rate(Edition::Dora2024), [Elite, High, High, Low, Low]);
    }

    #[test]
    fn the_worked_example_has_these_classes_and_this_score() {
        let (per_day, lead, fail, recovery) = (6.0 / 7.0, 4.0 * HOUR, 1.0 / 6.0, 2.0 * HOUR);
        let classes = |edition: Edition| {
            [
                edition.frequency(per_day),
                edition.lead_time(lead),
                edition.recovery(recovery),
                edition.change_fail_rate(fail),
            ]
        };
        assert_eq!(classes(Edition::Dora2019), [High, Elite, High, Low]);
        assert_eq!(classes(Edition::Dora2021), [High, High, High, High]);
        assert_eq!(classes(Edition::Dora2023), [High, Elite, High, Low]);
        assert_eq!(classes(Edition::Dora2024), [High, Elite, High, High]);
        let answers = QuickCheckAnswers {
            lead_time: Some(lead),
            frequency: Some(per_day),
            recovery: Some(recovery),
            change_fail_rate: Some(fail),
            rework_rate: Some(2.0 / 6.0),
        };
        let check = QuickCheck::of(&answers);
        assert_eq!((check.lead_time, check.frequency, check.recovery), (Some(8.0), Some(6.0), Some(8.0)));
        let rounded = |score: Option<f64>| score.map(|score| (score * 100.0).round() / 100.0);
        assert_eq!((rounded(check.throughput), rounded(check.stability)), (Some(7.33), Some(7.5)));
        assert_eq!(rounded(check.score), Some(7.4));
        assert_eq!(QuickCheck::of(&QuickCheckAnswers::default()).score, None);
    }

    #[test]
    fn the_benchmark_of_all_industries_is_the_mean_of_its_parts() {
        let mean: f64 = QuickCheck::BENCHMARK.iter().sum::<f64>() / 5.0;
        assert!((mean - 6.72).abs() < 1e-9, "{mean}");
    }
}
