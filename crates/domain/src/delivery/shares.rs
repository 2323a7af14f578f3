//! How much of a deployment belongs to each team (`delivered@1`).

use std::collections::BTreeMap;

use super::ids::{DeploymentId, PullRequestId};
use super::timeline::{DeploymentKind, Timeline};
use crate::{TeamId, Weight};

/// A part of one deployment, in hundred-millionths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub i64);

impl Share {
    /// A whole deployment.
    pub const WHOLE: Self = Self(100_000_000);

    /// As a number of deployments; exact up to eight decimals.
    #[expect(clippy::cast_precision_loss, reason = "2^53 hundred-millionths are more deployments than there are")]
    pub fn as_part(self) -> f64 {
        self.0 as f64 / Self::WHOLE.0 as f64
    }
}

/// The shares of the teams in a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares {
    /// The teams that have a share.
    pub teams: BTreeMap<TeamId, Share>,
}

impl Shares {
    /// What belongs to no team: the difference to one deployment, so nothing is lost by rounding. It is negative where
    /// people's weights may sum to more than 1.
    pub fn unattributed(&self) -> Share {
        Share(Share::WHOLE.0 - self.teams.values().map(|share| share.0).sum::<i64>())
    }

    /// The mean of each team's weights over these pull requests, rounded down.
    fn mean_of<'a>(pull_requests: impl ExactSizeIterator<Item = &'a [(TeamId, Weight)]>) -> Self {
        let count = i64::try_from(pull_requests.len()).unwrap_or(i64::MAX).max(1);
        let mut sums: BTreeMap<TeamId, i64> = BTreeMap::new();
        for (team, weight) in pull_requests.flatten() {
            *sums.entry(*team).or_default() += i64::from(weight.units());
        }
        let share = |units: i64| Share(units * (Share::WHOLE.0 / i64::from(Weight::UNITS)) / count);
        Self { teams: sums.into_iter().map(|(team, units)| (team, share(units))).filter(|it| it.1.0 > 0).collect() }
    }
}

/// The shares of each counted deployment and each failed attempt. `weights` says which teams a pull request counts for. A
/// rollout has the shares of the deployment that it repeats, and is not listed.
pub fn shares_of<'a>(
    timeline: &Timeline,
    weights: impl Fn(PullRequestId) -> &'a [(TeamId, Weight)],
) -> BTreeMap<DeploymentId, Shares> {
    let mut shares: BTreeMap<DeploymentId, Shares> = BTreeMap::new();
    for fact in timeline.facts.iter().filter(|fact| fact.kind.is_none_or(DeploymentKind::is_counted)) {
        let own = if !fact.pull_requests.is_empty() {
            Shares::mean_of(fact.pull_requests.iter().map(|pull_request| weights(*pull_request)))
        } else if fact.has_new_commits || !fact.is_known {
            Shares::default()
        } else {
            fact.replaces.and_then(|replaced| shares.get(&replaced).cloned()).unwrap_or_default()
        };
        shares.insert(fact.deployment, own);
    }
    shares
}
