//! Metrics that a teams file defines (`custom_metric@1`): of which things, which number of them, and how that is called.
//!
//! A definition is made of named fields only. None of them is of a person, so that no metric can be, and none is an expression.

mod fields;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use fields::{
    FlagField, MetricInterval, MetricMeasure, MetricOf, MetricState, MetricStatistic, MetricUnit, TextField,
};

use super::Scale;
use crate::MetricId;
use crate::metrics::{Basis, CUSTOM_METRIC, NOT_FOR_PEOPLE};

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

    fn needs_details(&self) -> bool {
        self.texts.keys().any(|field| field.needs_details())
            || self.ranges.keys().any(|measure| measure.needs_details())
            || self.flags.keys().any(|flag| flag.needs_details())
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
            let name = words_of(field.into());
            if *is_set { name } else { format!("not {name}") }
        });
        texts.chain(ranges).chain(flags).collect()
    }
}

/// Which things a metric takes: those that every field takes, and no field of `not`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricSelection {
    /// By which events; empty where nothing is said about it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub states: BTreeSet<MetricState>,
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
    /// By what deployments and incidents are a team's, if the file says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
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
        "Several metrics, or a metric and a built-in number, can be combined so that one person's number follows; who writes them \
         decides about that.",
        "The time to production of what was merged lately is of those that are there already.",
        NOT_FOR_PEOPLE,
    ];

    /// Its short name and a digest of what it means: `docs-share@3f9a1c2e`. Another meaning gives another text, another display name
    /// does not.
    pub fn versioned_id(&self) -> String {
        let Self { id, name: _, of, basis: _, when, measure, statistic, by, than } = self;
        // The formula that reads the rest is a part of the meaning.
        let meaning = (CUSTOM_METRIC, of, when, measure, statistic, by, than);
        // A list of numbers and texts is always JSON.
        let mut text = serde_json::to_string(&meaning).unwrap_or_default();
        if self.basis() != Basis::default() {
            text.push_str(self.basis().into());
        }
        let digest: String = Sha256::digest(text).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{id}@{digest}")
    }

    /// By what deployments and incidents are a team's.
    pub fn basis(&self) -> Basis {
        self.basis.unwrap_or_default()
    }

    /// What its values are counted in.
    pub fn unit(&self) -> MetricUnit {
        match (self.statistic, self.measure) {
            (MetricStatistic::Share, _) => MetricUnit::Share,
            (_, Some(measure)) => measure.unit(),
            (_, None) => self.of.unit(),
        }
    }

    /// What it says about fields, wherever it says it.
    fn fields(&self) -> impl Iterator<Item = &MetricFields> {
        let selections = std::iter::once(&self.when).chain(&self.than);
        selections.flat_map(|selection| [&selection.fields, &selection.not])
    }

    /// Whether it depends on what is read after a pull request itself, so that it is not final before that.
    pub fn needs_details(&self) -> bool {
        self.of == MetricOf::PullRequests
            && (self.measure.is_some_and(MetricMeasure::needs_details)
                || self.fields().any(MetricFields::needs_details))
    }

    /// Whether it depends on deployments, so that it is not final before these are read.
    pub fn needs_deployments(&self) -> bool {
        let is_of_production =
            |measure: MetricMeasure| matches!(measure, MetricMeasure::Deploy | MetricMeasure::LeadTime);
        !self.of.is_of_people()
            || self.measure.is_some_and(is_of_production)
            || self.fields().any(|fields| fields.ranges.keys().any(|measure| is_of_production(*measure)))
    }

    /// How its weeks are looked at for lasting changes: counts, and medians of times; `None` of all others.
    pub fn scale(&self) -> Option<Scale> {
        let is_weekly = self.by == MetricInterval::Week;
        match (self.statistic, self.unit()) {
            (MetricStatistic::Count, _) if is_weekly => Some(Scale::Count),
            (MetricStatistic::P50, MetricUnit::Hours) if is_weekly => Some(Scale::Duration),
            _ => None,
        }
    }

    /// By which events it counts: by the first that its things have, if it says nothing; none for what has only one.
    pub fn states(&self) -> BTreeSet<MetricState> {
        let states = &self.than.as_ref().unwrap_or(&self.when).states;
        if states.is_empty() { self.of.states().first().copied().into_iter().collect() } else { states.clone() }
    }

    /// Its formula, in words.
    pub fn formula(&self) -> String {
        let states = self.states();
        let things = match self.of {
            MetricOf::Reviews => "reviews of the team's pull requests".to_owned(),
            MetricOf::Incidents if self.basis() == Basis::Delivered => {
                format!("incidents of the team's deployments that {}", verbs(&states))
            }
            of if self.basis() == Basis::Owned => {
                format!("{} of the team's services that {}", of.things(), verbs(&states))
            }
            of => format!("{} that {}", of.things(), verbs(&states)),
        };
        let of = |selection: &MetricSelection| match selection.words() {
            words if words.is_empty() => things.clone(),
            words => format!("{things}: {words}"),
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
        let mut events: Vec<&str> = states.iter().map(|state| state.event()).collect();
        events.dedup();
        let at = if events.is_empty() { "review".to_owned() } else { events.join(" or ") };
        format!("{text}; by {} of the {at}", self.by)
    }
}

/// The metric on one line, for people.
impl fmt::Display for CustomMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.versioned_id(), self.name, self.formula())
    }
}

/// `were merged or closed`.
fn verbs(states: &BTreeSet<MetricState>) -> String {
    let verbs: Vec<&str> = states.iter().map(|state| state.verb()).collect();
    verbs.join(" or ").replace(" or were ", " or ")
}

fn words_of(name: &str) -> String {
    name.replace('_', " ")
}

fn hours(hours: u32) -> String {
    if hours.is_multiple_of(24) { format!("{} d", hours / 24) } else { format!("{hours} h") }
}
