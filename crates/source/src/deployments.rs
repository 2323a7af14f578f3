//! What a source reports of deployments and commits.

use chrono::{DateTime, Utc};
use mergeline_domain::ExternalId;
use mergeline_domain::delivery::{DeploymentState, Oid};
use mergeline_domain::progress::Cursor;

use crate::{Etag, ListedRun};

/// A deployment as a source lists it: without its states, which are read apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDeployment {
    /// Its id at its source.
    pub id: ExternalId,
    /// The id by which its states are read.
    pub states_id: String,
    /// The name of its environment.
    pub environment: String,
    /// The commit; `None` if the source does not name a whole one.
    pub commit: Option<Oid>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Whether its creator says that users work with the environment. Often wrong.
    pub is_production: Option<bool>,
    /// Whether its creator says that the environment does not last.
    pub is_transient: bool,
}

/// A deployment that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndecodableDeployment {
    /// Its id, if that can be read.
    pub id: Option<ExternalId>,
    /// What is wrong with it.
    pub reason: String,
}

/// A page of a repository's deployments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentPage {
    /// What is on it, in the order of the list.
    pub deployments: Vec<ListedDeployment>,
    /// What cannot be decoded.
    pub undecodable: Vec<UndecodableDeployment>,
    /// Whether further pages follow.
    pub has_next: bool,
    /// How far the list is read with it.
    pub end: Option<Cursor>,
    /// The version of the list's first page, if the source says so.
    pub etag: Option<Etag>,
}

/// The response to a conditional request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeploymentPageAnswer {
    /// Unchanged.
    Unchanged,
    /// The current page.
    Page(DeploymentPage),
}

/// A state of a deployment as a source reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedState {
    /// Which state, and when.
    pub state: DeploymentState,
    /// The environment, which may differ from that of the deployment.
    pub environment: Option<String>,
}

/// What a delivery of a source's webhook says that will never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Announced {
    /// A deployment, and one of its states if the delivery is about that.
    Deployment(ListedDeployment, Option<ListedState>),
    /// An attempt of a run that has ended, with the file of its workflow.
    Run(String, ListedRun),
}

/// A commit of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRecord {
    /// Its id.
    pub oid: Oid,
    /// Its parents with their dates.
    pub parents: Vec<(Oid, DateTime<Utc>)>,
    /// When it was made, by the clock of the machine that made it.
    pub committed_at: DateTime<Utc>,
}

/// A page of a commit's history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitPage {
    /// Commits in the order of `git log`: newest first, but one with a wrong clock may come before its newer ancestors.
    pub commits: Vec<CommitRecord>,
    /// Where the history continues; `None` at its end.
    pub next: Option<Cursor>,
}
