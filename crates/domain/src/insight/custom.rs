//! Metrics that a teams file defines (`custom_metric@1`): which pull requests, which number of them, and how that is called.
//!
//! A definition is made of named fields only. None of them is of a person, so that no metric can be, and none is an expression.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use strum::VariantArray;

use crate::MetricId;
use crate::metrics::{CUSTOM_METRIC, Interval, NOT_FOR_PEOPLE};

/// What a metric is of.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricOf {
    /// Pull requests that were merged or closed.
    PullRequests,
}

/// How pull requests become a number.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricStatistic {
    /// How many there are, each counted once.
    Count,
    /// The sum of their weights.
    Weight,
    /// The weighted part of those that `than` takes.
    Share,
    /// The weighted median of the measure.
    P50,
    /// Three of four are at most that, weighted.
    P75,
    /// Nine of ten are at most that, weighted.
    P90,
    /// The weighted mean of the measure.
    Mean,
}

impl MetricStatistic {
    /// Whether it is one of a measure.
    pub fn has_measure(self) -> bool {
        matches!(self, Self::P50 | Self::P75 | Self::P90 | Self::Mean)
    }

    /// The percentile that it is, between 0 and 1.
    pub fn percentile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P75 => Some(0.75),
            Self::P90 => Some(0.9),
            Self::Count | Self::Weight | Self::Share | Self::Mean => None,
        }
    }
}

/// A time or a size of a pull request.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricMeasure {
    /// From the opening to the merge.
    CycleTime,
    /// From the first commit to the opening.
    Coding,
    /// From ready for review to the first review.
    Pickup,
    /// From the first review to the merge.
    Review,
    /// From the merge to production.
    Deploy,
    /// From the first commit to production.
    LeadTime,
    /// Lines added and deleted.
    Lines,
    /// Files changed.
    Files,
}

impl MetricMeasure {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// What it is counted in.
    pub fn unit(self) -> MetricUnit {
        match self {
            Self::CycleTime | Self::Coding | Self::Pickup | Self::Review | Self::Deploy | Self::LeadTime => {
                MetricUnit::Hours
            }
            Self::Lines => MetricUnit::Lines,
            Self::Files => MetricUnit::Files,
        }
    }

    /// Whether it is a time, stored in seconds.
    pub fn is_time(self) -> bool {
        self.unit() == MetricUnit::Hours
    }

    /// Whether only what was merged has it.
    pub fn needs_merge(self) -> bool {
        matches!(self, Self::CycleTime | Self::Review | Self::Deploy | Self::LeadTime)
    }
}

/// What the values of a metric are counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricUnit {
    /// Pull requests, also parts of them.
    PullRequests,
    /// A part, from 0 to 1.
    Share,
    /// Hours.
    Hours,
    /// Lines.
    Lines,
    /// Files.
    Files,
}

/// The calendar unit of a metric's numbers.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MetricInterval {
    /// Whole weeks.
    #[default]
    Week,
    /// Months.
    Month,
}

impl MetricInterval {
    /// The same unit, as of other numbers.
    pub fn interval(self) -> Interval {
        match self {
            Self::Week => Interval::Week,
            Self::Month => Interval::Month,
        }
    }
}

/// How a pull request ended.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EndState {
    /// Merged.
    Merged,
    /// Closed without a merge.
    Closed,
}

/// A field of texts: one of them must fit.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TextField {
    /// Names of repositories, the present and the configured one.
    Repositories,
    /// The branch that it went into.
    BaseBranches,
    /// The branch that it came from.
    Branches,
    /// Its labels, of which one must fit.
    Labels,
    /// Its title.
    Titles,
}

impl TextField {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;

    /// Whether `*` stands for anything.
    pub fn has_patterns(self) -> bool {
        self != Self::Labels
    }
}

/// A field that is true or false.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::Display,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FlagField {
    /// It has a review of another person.
    Reviewed,
    /// It has an approval.
    Approved,
    /// It ended as a draft.
    Draft,
    /// It takes another one back.
    Revert,
}

impl FlagField {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as VariantArray>::VARIANTS;
}

/// Bounds of a measure, both inclusive: hours of a time, else lines or files. At least one of them is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricRange {
    /// The smallest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<u32>,
    /// The largest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u32>,
}

/// Fields with what they take. What is not known is taken by none of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricFields {
    /// Lists, of which one entry must fit; A to Z fit in upper and lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<TextField, BTreeSet<String>>,
    /// Bounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ranges: BTreeMap<MetricMeasure, MetricRange>,
    /// True or false.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: BTreeMap<FlagField, bool>,
}

impl MetricFields {
    /// Whether no field is named.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.ranges.is_empty() && self.flags.is_empty()
    }

    /// Each field on its own, for people: `labels docs | chore`.
    fn words(&self) -> Vec<String> {
        let texts = self.texts.iter().map(|(field, list)| {
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            format!("{} {}", words_of(field.into()), list.join(" | "))
        });
        let ranges = self.ranges.iter().map(|(measure, range)| {
            let bound = |value: u32| if measure.is_time() { hours(value) } else { value.to_string() };
            let bounds = [("at least", range.at_least), ("at most", range.at_most)];
            let bounds = bounds.into_iter().filter_map(|(word, value)| Some(format!("{word} {}", bound(value?))));
            format!("{} {}", words_of(measure.into()), bounds.collect::<Vec<_>>().join(" and "))
        });
        let flags = self.flags.iter().map(|(field, is_set)| {
            let name: &str = field.into();
            if *is_set { name.to_owned() } else { format!("not {name}") }
        });
        texts.chain(ranges).chain(flags).collect()
    }
}

/// Which pull requests a metric takes: those that every field takes, and no field of `not`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricSelection {
    /// How they ended; empty where nothing is said about it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub states: BTreeSet<EndState>,
    /// What each of them must have.
    #[serde(default)]
    pub fields: MetricFields,
    /// What none of them may have.
    #[serde(default, skip_serializing_if = "MetricFields::is_empty")]
    pub not: MetricFields,
}

impl MetricSelection {
    /// Whether it takes everything.
    pub fn is_empty(&self) -> bool {
        self.states.is_empty() && self.fields.is_empty() && self.not.is_empty()
    }

    /// How they ended, if nothing else is said: by the merge.
    fn states_or_merged(&self) -> BTreeSet<EndState> {
        if self.states.is_empty() { BTreeSet::from([EndState::Merged]) } else { self.states.clone() }
    }

    /// For people: `labels docs, without titles Bump *`.
    fn words(&self) -> String {
        let mut parts = self.fields.words();
        let not = self.not.words();
        if !not.is_empty() {
            parts.push(format!("without {}", not.join(" and without ")));
        }
        parts.join(", ")
    }
}

/// A metric of the teams file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomMetric {
    /// The short name, which identifies it within the file.
    pub id: MetricId,
    /// The display name.
    pub name: String,
    /// What it is of.
    pub of: MetricOf,
    /// Which of them.
    #[serde(default, skip_serializing_if = "MetricSelection::is_empty")]
    pub when: MetricSelection,
    /// What of them; only for the statistics of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<MetricMeasure>,
    /// Which number.
    pub statistic: MetricStatistic,
    /// In which calendar unit.
    pub by: MetricInterval,
    /// A share is of those that this takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub than: Option<MetricSelection>,
}

impl CustomMetric {
    /// What all of them have in common, besides what each says of itself.
    pub const CAVEATS: &'static [&'static str] = &[
        "What is not known, or not read yet, is taken by no field: not by one of `when`, nor by one of `not`.",
        "Labels and titles are those that were read last, and a metric is of the past as it is of now.",
        "Several metrics that differ in little can be subtracted from each other; who writes them decides about that.",
        NOT_FOR_PEOPLE,
    ];

    /// Its short name and a digest of what it means: `docs-share@3f9a1c2e`. Another meaning gives another text, another display name
    /// does not.
    pub fn versioned_id(&self) -> String {
        let Self { id, name: _, of, when, measure, statistic, by, than } = self;
        // The formula that reads the rest is a part of the meaning.
        let meaning = (CUSTOM_METRIC, of, when, measure, statistic, by, than);
        // A list of numbers and texts is always JSON.
        let text = serde_json::to_string(&meaning).unwrap_or_default();
        let digest: String = Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{id}@{digest}")
    }

    /// What its values are counted in.
    pub fn unit(&self) -> MetricUnit {
        match (self.statistic, self.measure) {
            (MetricStatistic::Share, _) => MetricUnit::Share,
            (_, Some(measure)) => measure.unit(),
            (_, None) => MetricUnit::PullRequests,
        }
    }

    /// How the pull requests ended among which it looks: merged, if it says nothing.
    pub fn states(&self) -> BTreeSet<EndState> {
        self.than.as_ref().unwrap_or(&self.when).states_or_merged()
    }

    /// Its formula, in words.
    pub fn formula(&self) -> String {
        let states = self.states();
        let ended: Vec<String> = states.iter().map(ToString::to_string).collect();
        let of = |selection: &MetricSelection| match selection.words() {
            words if words.is_empty() => format!("pull requests that were {}", ended.join(" or ")),
            words => format!("pull requests that were {}: {words}", ended.join(" or ")),
        };
        let measure = self.measure.map(|measure| words_of(measure.into())).unwrap_or_default();
        let text = match (self.statistic, &self.than) {
            (MetricStatistic::Share, Some(than)) => {
                let mut parts: Vec<String> = self.when.states.iter().map(ToString::to_string).collect();
                parts.extend(Some(self.when.words()).filter(|words| !words.is_empty()));
                format!("the weighted part of ({}) that has: {}", of(than), parts.join(", "))
            }
            (MetricStatistic::Count, _) => format!("the number of {}", of(&self.when)),
            (MetricStatistic::Weight | MetricStatistic::Share, _) => {
                format!("the sum of the weights of {}", of(&self.when))
            }
            (MetricStatistic::Mean, _) => format!("the weighted mean of {measure} of {}", of(&self.when)),
            (statistic, _) => format!("the weighted {statistic} of {measure} of {}", of(&self.when)),
        };
        let at = if states == BTreeSet::from([EndState::Merged]) { "merge" } else { "merge or close" };
        format!("{text}; by {} of the {at}", self.by)
    }
}

/// The metric on one line, for people.
impl fmt::Display for CustomMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.versioned_id(), self.name, self.formula())
    }
}

fn words_of(name: &str) -> String {
    name.replace('_', " ")
}

fn hours(hours: u32) -> String {
    if hours.is_multiple_of(24) { format!("{} d", hours / 24) } else { format!("{hours} h") }
}
