//! A repository to read, because a webhook says that it changed.

use chrono::{DateTime, Utc};
use mergeline_domain::RepoName;
use mergeline_domain::delivery::{DeploymentSource, RepositoryId};
use serde::{Deserialize, Serialize};

/// A repository to read soon. Reading it more often than needed, later or not at all loses nothing: the collection finds what
/// changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeNotice {
    /// Which repository.
    pub repository: RepositoryId,
    /// `owner/name`, for people.
    pub name: RepoName,
    /// When the delivery came: a reading that started later has what it says.
    pub received_at: DateTime<Utc>,
    /// When the pull request of the delivery last changed: a list that lags behind does not show that yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
    /// What the delivery itself says, if that will never change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Carried>,
    /// How often it was read for this so far.
    #[serde(default)]
    pub tries: u8,
}

/// The part of a delivery that can be taken as it is, in the form of its forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// The event.
    pub event: String,
    /// Its objects without what they contain of others, as JSON.
    pub body: String,
}

impl Carried {
    /// The source that it is from. Where another one is in force, it means nothing.
    pub fn source(&self) -> DeploymentSource {
        match self.event.as_str() {
            "workflow_run" => DeploymentSource::GithubActions,
            _ => DeploymentSource::GithubDeployments,
        }
    }
}
