//! Workflow runs, releases and tags for the fake GitHub.

use chrono::{DateTime, Utc};

use crate::at;

/// An attempt of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeAttempt {
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Its conclusion, and when it ended.
    pub end: Option<(String, DateTime<Utc>)>,
}

/// A run of a workflow, with all its attempts. Lists have only the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeRun {
    /// The repository's `owner/name`.
    pub repository: String,
    /// Its id, beyond 32 bits like real ones.
    pub id: i64,
    /// The file of the workflow.
    pub workflow: String,
    /// The branch or tag that it runs for.
    pub branch: String,
    /// The commit.
    pub sha: String,
    /// What started it.
    pub event: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Its attempts. Never empty.
    pub attempts: Vec<FakeAttempt>,
}

/// New runs have about this id today.
const FIRST_RUN: i64 = 19_000_000_000;

/// A run of `deploy.yml` for `main`, which has not ended. `number` is added to the ids of today.
///
/// # Panics
/// If the time is invalid, because tests write it.
pub fn run(repository: &str, number: i64, sha: &str, created_at: &str) -> FakeRun {
    FakeRun {
        repository: repository.to_owned(),
        id: FIRST_RUN + number,
        workflow: "deploy.yml".to_owned(),
        branch: "main".to_owned(),
        sha: sha.to_owned(),
        event: "push".to_owned(),
        created_at: at(created_at),
        attempts: vec![FakeAttempt { started_at: at(created_at), end: None }],
    }
}

impl FakeRun {
    /// Its last attempt has ended.
    ///
    /// # Panics
    /// If the time is invalid, because tests write it.
    #[must_use]
    pub fn ended(mut self, conclusion: &str, time: &str) -> Self {
        if let Some(last) = self.attempts.last_mut() {
            last.end = Some((conclusion.to_owned(), at(time)));
        }
        self
    }

    /// Run again, which has not ended.
    ///
    /// # Panics
    /// If the time is invalid, because tests write it.
    #[must_use]
    pub fn again(mut self, time: &str) -> Self {
        self.attempts.push(FakeAttempt { started_at: at(time), end: None });
        self
    }

    /// Of another workflow.
    #[must_use]
    pub fn of(mut self, workflow: &str) -> Self {
        workflow.clone_into(&mut self.workflow);
        self
    }

    /// For another branch, started by this event.
    #[must_use]
    pub fn on(mut self, event: &str, branch: &str) -> Self {
        event.clone_into(&mut self.event);
        branch.clone_into(&mut self.branch);
        self
    }
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeRelease {
    /// The repository's `owner/name`.
    pub repository: String,
    /// Its id.
    pub id: i64,
    /// The tag.
    pub tag: String,
    /// The commit of the tag; `None` if the tag was deleted.
    pub sha: Option<String>,
    /// When the draft was created.
    pub created_at: DateTime<Utc>,
    /// When it was published; `None` for a draft.
    pub published_at: Option<DateTime<Utc>>,
    /// Whether it is marked as one.
    pub is_prerelease: bool,
}

/// A published release.
///
/// # Panics
/// If the time is invalid, because tests write it.
pub fn release(repository: &str, id: i64, tag: &str, sha: &str, published_at: &str) -> FakeRelease {
    FakeRelease {
        repository: repository.to_owned(),
        id,
        tag: tag.to_owned(),
        sha: Some(sha.to_owned()),
        created_at: at(published_at),
        published_at: Some(at(published_at)),
        is_prerelease: false,
    }
}

impl FakeRelease {
    /// Marked as a prerelease.
    #[must_use]
    pub fn as_prerelease(mut self) -> Self {
        self.is_prerelease = true;
        self
    }

    /// Not published.
    #[must_use]
    pub fn as_draft(mut self) -> Self {
        self.published_at = None;
        self
    }
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeTag {
    /// The repository's `owner/name`.
    pub repository: String,
    /// Its name.
    pub name: String,
    /// The commit.
    pub sha: String,
    /// When it was made; `None` for a light tag, which has no time of its own.
    pub tagged_at: Option<DateTime<Utc>>,
}

/// An annotated tag.
///
/// # Panics
/// If the time is invalid, because tests write it.
pub fn tag(repository: &str, name: &str, sha: &str, tagged_at: &str) -> FakeTag {
    FakeTag {
        repository: repository.to_owned(),
        name: name.to_owned(),
        sha: sha.to_owned(),
        tagged_at: Some(at(tagged_at)),
    }
}
