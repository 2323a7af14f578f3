//! What a source reports of deployments that have no list of states: runs of workflows, releases and tags.

use chrono::{DateTime, Utc};
use mergeline_domain::ExternalId;
use mergeline_domain::delivery::{DeploymentState, Oid, Origin};
use mergeline_domain::progress::Cursor;

use crate::{Etag, UndecodableDeployment};

/// A deployment with its end, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedDeployment {
    /// Its id at its source.
    pub id: ExternalId,
    /// What it is there.
    pub origin: Origin,
    /// The commit; `None` if the source does not name one.
    pub commit: Option<Oid>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// How and when it ended; `None` while it has not.
    pub end: Option<DeploymentState>,
    /// The name of what was deployed, such as a tag.
    pub version: Option<String>,
    /// Its address for people.
    pub url: Option<String>,
}

/// A run of a workflow. Each attempt is a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRun {
    /// The run's own id.
    pub id: i64,
    /// Which attempt this is, from 1. A list has only the last one.
    pub attempt: u32,
    /// The attempt as a deployment.
    pub deployment: ReportedDeployment,
}

impl ListedRun {
    /// The branch or tag that it ran for.
    pub fn branch(&self) -> Option<&str> {
        match &self.deployment.origin {
            Origin::Run { branch, .. } => branch.as_deref(),
            Origin::Release { .. } | Origin::Tag { .. } | Origin::Merge { .. } => None,
        }
    }

    /// The id of an attempt as a deployment.
    pub fn deployment_id(run: i64, attempt: u32) -> String {
        format!("{run}/{attempt}")
    }
}

/// Which runs to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunQuery {
    /// The file of their workflow.
    pub workflow: String,
    /// Their branch or tag; `None` for every one.
    pub branch: Option<String>,
    /// Only those that were created since.
    pub since: DateTime<Utc>,
}

/// A page of runs, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunPage {
    /// The runs that can be deployments.
    pub runs: Vec<ListedRun>,
    /// What cannot be decoded.
    pub undecodable: Vec<UndecodableDeployment>,
    /// Where the list continues; `None` at its end.
    pub next: Option<Cursor>,
    /// The version of the list, if this is all of it.
    pub etag: Option<Etag>,
}
