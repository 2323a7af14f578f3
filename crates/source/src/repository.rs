//! Repositories, as a source describes them.

use chrono::{DateTime, Utc};
use mergeline_domain::{ExternalId, RepoName};

/// The repository that a response is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryIdentity {
    /// Its id at the source, which stays the same after a rename or transfer.
    pub id: ExternalId,
    /// The current `owner/name`.
    pub name: RepoName,
    /// When it was created, if the source says so.
    pub created_at: Option<DateTime<Utc>>,
}

/// How a repository is looked up.
#[derive(Debug, Clone, Copy)]
pub enum RepositoryKey<'a> {
    /// By its name, or a former one that still leads to it.
    Name(&'a RepoName),
    /// By its id, to get its current name.
    Id(&'a ExternalId),
}

/// What a source says about a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Which one it is.
    pub identity: RepositoryIdentity,
    /// False if pull requests are disabled in its settings. Their list may then be "not found".
    pub has_pull_requests: bool,
    /// Whether it is archived.
    pub is_archived: bool,
}

/// A repository in an owner's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRepository {
    /// `owner/name`.
    pub name: RepoName,
    /// Its id at the source.
    pub id: ExternalId,
    /// Whether it is archived.
    pub is_archived: bool,
}

/// An owner's repositories, as far as the source lists them to the credentials.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedRepositories {
    /// By name.
    pub repositories: Vec<ListedRepository>,
    /// Why the list may be incomplete; `None` if it has everything that the credentials may see.
    pub incomplete: Option<String>,
}
