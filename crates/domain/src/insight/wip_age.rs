//! How old open pull requests are, against what the team merged (`wip_age@1`).

use super::groups::{Group, hours};
use crate::Weight;
use crate::metrics::FEW;
use crate::percentile::weighted_quantile;

/// The time that a merged pull request took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MergedTime {
    /// From ready for review to the merge, in seconds.
    pub seconds: f64,
    /// The team's share in it.
    pub weight: Weight,
    /// Its author, as any number that is the same for the same person.
    pub person: i64,
}

/// A pull request that is open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenAge {
    /// Which one.
    pub id: i64,
    /// Since ready for review, in seconds.
    pub seconds: f64,
}

/// How old an open pull request is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgeInTeam {
    /// Which one.
    pub id: i64,
    /// Its age.
    pub hours: f64,
    /// It is older than this weighted part of what was merged; `None` if that is too few.
    pub older_than: Option<f64>,
}

/// The ages of what is open.
#[derive(Debug, Clone, PartialEq)]
pub struct WipAge {
    /// The merged pull requests that they are compared with.
    pub n_merged: usize,
    /// Whether these come from fewer people than may be shown, so that nothing is compared.
    pub is_suppressed: bool,
    /// Half of them took at most so long; `None` if they are too few.
    pub p50_hours: Option<f64>,
    /// The same of 85 %.
    pub p85_hours: Option<f64>,
    /// The same of 95 %.
    pub p95_hours: Option<f64>,
    /// What is open, oldest first.
    pub open: Vec<AgeInTeam>,
}

/// Compares what is open with the team's own times. Fewer than five merged pull requests are too few.
pub fn wip_age(open: &[OpenAge], merged: &[MergedTime], min_group_size: usize) -> WipAge {
    let mut group = Group::default();
    for item in merged {
        group.add((item.seconds, item.weight.as_f64(), item.person));
    }
    let is_suppressed = group.is_hidden(min_group_size);
    let is_known = !is_suppressed && i64::try_from(group.n()).is_ok_and(|n| n >= FEW);
    let mut times: Vec<(f64, f64)> = merged.iter().map(|item| (item.seconds, item.weight.as_f64())).collect();
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = times.iter().map(|(_, weight)| weight).sum();
    let older_than = |seconds: f64| {
        let shorter = times.partition_point(|(time, _)| *time < seconds);
        times[..shorter].iter().map(|(_, weight)| weight).sum::<f64>() / total
    };
    let quantile = |fraction: f64| is_known.then(|| weighted_quantile(&times, fraction)).flatten().map(hours);
    let mut open: Vec<AgeInTeam> = open
        .iter()
        .map(|item| {
            let older_than = is_known.then(|| older_than(item.seconds));
            AgeInTeam { id: item.id, hours: hours(item.seconds), older_than }
        })
        .collect();
    open.sort_by(|a, b| b.hours.total_cmp(&a.hours).then(a.id.cmp(&b.id)));
    WipAge {
        n_merged: merged.len(),
        is_suppressed,
        p50_hours: quantile(0.5),
        p85_hours: quantile(0.85),
        p95_hours: quantile(0.95),
        open,
    }
}
