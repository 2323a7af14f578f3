//! Medians of groups that are neither too few nor too small.

use std::collections::BTreeSet;

use crate::percentile::weighted_quantile;

/// A value with its weight and the person whose it is.
pub(super) type Value = (f64, f64, i64);

/// A time in seconds, in hours.
pub(super) fn hours(seconds: f64) -> f64 {
    seconds / 3600.0
}

/// Collects values of a group.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    values: Vec<(f64, f64)>,
    people: BTreeSet<i64>,
}

impl Group {
    pub(super) fn add(&mut self, (value, weight, person): Value) {
        if weight > 0.0 {
            self.values.push((value, weight));
            self.people.insert(person);
        }
    }

    pub(super) fn n(&self) -> usize {
        self.values.len()
    }

    /// Whether there is a median that must not be shown.
    pub(super) fn is_hidden(&self, min_group_size: usize) -> bool {
        self.n() > 0 && self.people.len() < min_group_size
    }

    /// The weighted median; `None` of nothing and of fewer people than may be shown.
    pub(super) fn median(&self, min_group_size: usize) -> Option<f64> {
        (!self.is_hidden(min_group_size)).then(|| weighted_quantile(&self.values, 0.5)).flatten()
    }
}
