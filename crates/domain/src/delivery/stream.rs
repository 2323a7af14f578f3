//! What a timeline is made from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::commits::{CommitGraph, Oid};
use super::ids::{DeploymentId, IncidentId, PullRequestId, RepositoryId};
use super::outcome::DeploymentOutcome;

/// A commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// The repository.
    pub repository: RepositoryId,
    /// The commit.
    pub oid: Oid,
}

/// An attempt to bring revisions into an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// Its id at its source. All deployments of a stream have one source.
    pub source_id: String,
    /// The name of its environment.
    pub environment: String,
    /// What was deployed, at most one commit of each repository. Empty if its source does not say.
    pub revisions: Vec<Revision>,
    /// Its outcome.
    pub outcome: DeploymentOutcome,
    /// Its source says that it failed users.
    pub is_declared_failed: bool,
    /// Its source says that it is unplanned work.
    pub is_declared_rework: bool,
    /// The deployment that it remedies, as its source says.
    pub remedies: Option<DeploymentId>,
}

impl Deployment {
    /// Sorts deployments by when they finished, then by their ids at the source: numbers as numbers, also if there are
    /// several with slashes in between (the attempts of a run).
    pub(super) fn sort_key(&self) -> impl Ord + use<> {
        let numbers: Option<Vec<u64>> = self.source_id.split('/').map(|part| part.parse().ok()).collect();
        (self.outcome.finished_at(), numbers.is_none(), numbers, self.source_id.clone(), self.id)
    }
}

/// The commit by which a merged pull request is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Via {
    /// Its merge commit.
    MergeCommit,
    /// The last commit of its branch, because its forge names no merge commit.
    HeadCommit,
}

/// A stored, merged pull request of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedPullRequest {
    /// Its id.
    pub id: PullRequestId,
    /// Its repository.
    pub repository: RepositoryId,
    /// Its number.
    pub number: i64,
    /// When it was merged.
    pub merged_at: DateTime<Utc>,
    /// The commit by which it is recognized; `None` if its forge names none.
    pub commit: Option<(Oid, Via)>,
    /// When that commit was made, if its forge says so. In a merge queue, that can be long before the merge.
    pub committed_at: Option<DateTime<Utc>>,
    /// The number of the pull request that it reverts.
    pub reverts: Option<i64>,
    /// It is labeled as a hotfix, or its branch is named like one.
    pub is_hotfix: bool,
    /// The incidents whose issues it closes, without those that were dismissed. One that was merged into another stands for
    /// that one.
    pub closes: Vec<IncidentId>,
}

/// The deployments of a service to a group of environments, and what they may contain.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    /// Its deployments, in any order.
    pub deployments: Vec<Deployment>,
    /// The merged pull requests of the service, in any order.
    pub pull_requests: Vec<MergedPullRequest>,
    /// The commits of each repository.
    pub commits: BTreeMap<RepositoryId, CommitGraph>,
}

impl Stream {
    /// Whether the commits of a deployment are all known, and there are any.
    pub(super) fn knows(&self, deployment: &Deployment) -> bool {
        let is_known = |revision: &Revision| {
            self.commits.get(&revision.repository).is_some_and(|commits| commits.contains(&revision.oid))
        };
        !deployment.revisions.is_empty() && deployment.revisions.iter().all(is_known)
    }
}
