//! How long pull requests of different sizes wait (`size_effect@1`).

use schemars::JsonSchema;
use serde::Serialize;

use super::groups::{Group, hours};
use crate::Weight;
use crate::metrics::SIZE_EFFECT;

/// The most changed lines of each class but the last.
pub const SIZE_BOUNDS: [u64; 5] = [10, 50, 200, 500, 1_000];

/// A merged pull request with its size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizedTimes {
    /// Added and deleted lines; `None` if they were not read.
    pub lines: Option<u64>,
    /// Its pickup in seconds, if it is known.
    pub pickup: Option<f64>,
    /// Its review in seconds, if it is known.
    pub review: Option<f64>,
    /// The team's share in it.
    pub weight: Weight,
    /// Its author, as any number that is the same for the same person.
    pub person: i64,
}

/// The pull requests of a class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct SizeClass {
    /// They change more lines than this; `null` for the first class.
    pub above: Option<u64>,
    /// They change at most so many lines; `null` for the last class.
    pub up_to: Option<u64>,
    /// How many there are.
    pub n: usize,
    /// Those with a known pickup.
    pub n_pickup: usize,
    /// The median of their pickup; `null` without any, and of fewer people than may be shown.
    pub pickup_p50_hours: Option<f64>,
    /// Those with a known review.
    pub n_review: usize,
    /// The median of their review; `null` without any, and of fewer people than may be shown.
    pub review_p50_hours: Option<f64>,
    /// Whether a median is hidden.
    pub is_suppressed: bool,
}

/// Pickup and review by size. No cause is claimed.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SizeEffect {
    /// The ID of the formula.
    pub definition: &'static str,
    /// The classes, smallest first, also empty ones.
    pub classes: Vec<SizeClass>,
    /// Pull requests whose size was not read.
    pub n_unknown: usize,
}

/// The place of the class of so many changed lines.
pub(super) fn class_of(lines: u64) -> usize {
    SIZE_BOUNDS.partition_point(|bound| *bound < lines)
}

/// The median pickup and review of each class of sizes.
pub fn size_effect(items: &[SizedTimes], min_group_size: usize) -> SizeEffect {
    #[derive(Clone, Default)]
    struct Class {
        n: usize,
        pickup: Group,
        review: Group,
    }
    let mut classes = vec![Class::default(); SIZE_BOUNDS.len() + 1];
    let mut n_unknown = 0;
    for item in items {
        let Some(lines) = item.lines else {
            n_unknown += 1;
            continue;
        };
        let class = &mut classes[class_of(lines)];
        let value = |seconds: f64| (seconds, item.weight.as_f64(), item.person);
        class.n += 1;
        item.pickup.into_iter().for_each(|seconds| class.pickup.add(value(seconds)));
        item.review.into_iter().for_each(|seconds| class.review.add(value(seconds)));
    }
    let shown = |(index, class): (usize, Class)| SizeClass {
        above: index.checked_sub(1).map(|before| SIZE_BOUNDS[before]),
        up_to: SIZE_BOUNDS.get(index).copied(),
        n: class.n,
        n_pickup: class.pickup.n(),
        pickup_p50_hours: class.pickup.median(min_group_size).map(hours),
        n_review: class.review.n(),
        review_p50_hours: class.review.median(min_group_size).map(hours),
        is_suppressed: class.pickup.is_hidden(min_group_size) || class.review.is_hidden(min_group_size),
    };
    SizeEffect { definition: SIZE_EFFECT, classes: classes.into_iter().enumerate().map(shown).collect(), n_unknown }
}
