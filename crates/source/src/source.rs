//! The trait. `docs/sources.md` specifies the behavior that its signatures cannot express.

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::{ChangedFiles, Oid};
use mergeline_domain::progress::Cursor;
use mergeline_domain::{History, PullRequest, RepoName};

use crate::{
    Announced, Block, ChangeAt, CommitPage, DeploymentPageAnswer, ErrorKind, Etag, IncidentList, ListLength, ListedRun,
    ListedState, OwnedRepositories, Page, PageAnswer, Remaining, ReportedDeployment, RepositoryFacts, RepositoryKey,
    RunPage, RunQuery, SourceError, Start, UndecodableDeployment, UndecodableItem, Usage, WaitBudget,
};

/// The details of some pull requests, each with the id that it was requested by.
pub type Histories = Vec<(String, Result<History, SourceError>)>;

/// The changed files of some pull requests, each with the id that it was requested by.
pub type FilesOfPullRequests = Vec<(String, Result<ChangedFiles, SourceError>)>;

/// The states of some deployments, each with the id that they were requested by.
pub type DeploymentStates = Vec<(String, Result<Vec<ListedState>, SourceError>)>;

/// One instance of a forge, with its credentials and limits. Cheap to clone; clones share limits and concurrency.
pub trait Source: Clone + Send + Sync + 'static {
    /// A unit of work.
    type Session: Session;

    /// Starts a unit of work for `owner` at `now`. `None` means no particular owner.
    fn session(&self, owner: Option<&str>, budget: WaitBudget, now: DateTime<Utc>) -> Self::Session;

    /// How many requests are sent at a time.
    fn concurrency(&self) -> usize;

    /// Blocks requests that the source currently refuses, as other processes with the same credentials found out. Kinds
    /// that it does not know come from a newer version and are ignored. `now` is the current time by the clock of those
    /// blocks.
    fn know_blocks(&self, blocks: &[Block], now: DateTime<Utc>);

    /// Takes the blocks that were found here since the last call.
    fn take_new_blocks(&self, now: DateTime<Utc>) -> Vec<Block>;

    /// Waits until there may be new blocks to take.
    fn blocked(&self) -> impl Future<Output = ()> + Send;

    /// Takes over remaining limits that other processes with the same credentials saw.
    fn know_remaining(&self, remaining: &[Remaining], now: DateTime<Utc>);

    /// The remaining limits that the source reported, except limits that have refused a request since.
    fn remaining(&self, now: DateTime<Utc>) -> Vec<Remaining>;

    /// What a delivery of its webhook says that will never change; `None` if it says no such thing. Asks nothing.
    ///
    /// # Errors
    /// What of it cannot be decoded.
    fn announced(&self, event: &str, body: &str) -> Result<Option<Announced>, UndecodableDeployment>;
}

/// A unit of work for one owner, with its usage counted. Retries and waits happen inside, within its budget.
pub trait Session: Send + Sync {
    /// A listing by update in progress.
    type Changes<'a>: Changes
    where
        Self: 'a;

    /// A listing of deployments in progress.
    type Deployments<'a>: Deployments
    where
        Self: 'a;

    /// The reading of a history in progress.
    type Commits<'a>: Commits
    where
        Self: 'a;

    /// What has been used so far.
    fn usage(&self) -> Usage;

    /// Whether the source accepts the credentials, without using up the hourly limit. Does nothing without credentials.
    ///
    /// # Errors
    /// [`crate::ErrorKind::CredentialsRefused`], and any other error of the source.
    fn check_credentials(&self) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Whether details can be read with these credentials.
    ///
    /// # Errors
    /// Why there are no credentials for this owner.
    fn reads_details(&self) -> impl Future<Output = Result<bool, SourceError>> + Send;

    /// The pull requests of a repository by update, latest change first.
    fn changes<'a>(&'a self, repository: &RepoName, page_size: u8, start: Start) -> Self::Changes<'a>;

    /// The row with this number, from 1, in the list by update; `None` if it does not exist or cannot be read.
    ///
    /// # Errors
    /// Any other error of the source.
    fn change_at(
        &self,
        repository: &RepoName,
        row: u32,
    ) -> impl Future<Output = Result<Option<ChangeAt>, SourceError>> + Send;

    /// A page of the pull requests of a repository by creation, oldest first, which changes do not disturb. `None` starts
    /// at the beginning. An empty page is confirmed as the end of the list.
    ///
    /// # Errors
    /// [`crate::ErrorKind::ListsNothing`] if the whole list is empty, and any other error of the source.
    fn by_creation(
        &self,
        repository: &RepoName,
        page_size: u8,
        from: Option<&Cursor>,
    ) -> impl Future<Output = Result<Page, SourceError>> + Send;

    /// The place after the page by creation at `from`, if the source can name it without reading that page. Pages are
    /// then requested ahead.
    fn following(&self, from: Option<&Cursor>, page_size: u8) -> Option<Cursor>;

    /// The row with this number, from 1, in the list by creation: a page with one row, which may be unreadable, or none
    /// behind the end.
    ///
    /// # Errors
    /// Any other error of the source.
    fn row(&self, repository: &RepoName, position: u32) -> impl Future<Output = Result<Page, SourceError>> + Send;

    /// How many pull requests a repository has up to the newest readable one, and when that one was opened.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidAnswer`] if the source does not say, and any other error of the source.
    fn list_length(&self, repository: &RepoName) -> impl Future<Output = Result<ListLength, SourceError>> + Send;

    /// The same; `None` if the source fails to say.
    ///
    /// # Errors
    /// Any other error of the source.
    fn list_length_if_known(
        &self,
        repository: &RepoName,
    ) -> impl Future<Output = Result<Option<ListLength>, SourceError>> + Send {
        async {
            match self.list_length(repository).await {
                Ok(length) => Ok(Some(length)),
                Err(error) if matches!(error.kind, ErrorKind::TooLarge | ErrorKind::InvalidAnswer) => Ok(None),
                Err(error) => Err(error),
            }
        }
    }

    /// One pull request, or why it cannot be decoded.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if it does not exist, [`crate::ErrorKind::TooLarge`] if the source fails to return
    /// it, and any other error of the source.
    fn pull_request(
        &self,
        repository: &RepoName,
        number: i64,
    ) -> impl Future<Output = Result<Result<PullRequest, UndecodableItem>, SourceError>> + Send;

    /// The details of pull requests, by the ids that their list gave for that. One that the source does not know is
    /// [`crate::ErrorKind::NotFound`].
    ///
    /// # Errors
    /// When none of them could be read.
    fn details(&self, ids: &[String]) -> impl Future<Output = Result<Histories, SourceError>> + Send;

    /// The files that pull requests change, by the ids that their list gave for details. One that the source does not know is
    /// [`crate::ErrorKind::NotFound`].
    ///
    /// # Errors
    /// When none of them could be read.
    fn changed_files(&self, ids: &[String]) -> impl Future<Output = Result<FilesOfPullRequests, SourceError>> + Send;

    /// The deployments of a repository, newest first.
    fn deployments<'a>(&'a self, repository: &RepoName, start: Start) -> Self::Deployments<'a>;

    /// The states of deployments, by the ids that their list gave for that, in any order. One that the source does not know
    /// is [`crate::ErrorKind::NotFound`].
    ///
    /// # Errors
    /// When none of them could be read.
    fn deployment_states(&self, ids: &[String]) -> impl Future<Output = Result<DeploymentStates, SourceError>> + Send;

    /// A page of the runs of a workflow, newest first; `None` if the whole list is the one that the ETag was given for. Runs
    /// for pull requests and merge queues deploy nothing and are left out.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if there is no such workflow, or it cannot be read, and any other error of the source.
    fn workflow_runs(
        &self,
        repository: &RepoName,
        query: &RunQuery,
        from: Option<&Cursor>,
        known: Option<&Etag>,
    ) -> impl Future<Output = Result<Option<RunPage>, SourceError>> + Send;

    /// An earlier attempt of a run; `None` if the source does not have it any more.
    ///
    /// # Errors
    /// Any error of the source.
    fn run_attempt(
        &self,
        repository: &RepoName,
        query: &RunQuery,
        run: i64,
        attempt: u32,
    ) -> impl Future<Output = Result<Option<ListedRun>, SourceError>> + Send;

    /// The published releases of a repository that were created since an instant, and all annotated tags of that time if
    /// `with_tags` is set. An empty list does not prove that there are none.
    ///
    /// # Errors
    /// Any error of the source.
    fn releases(
        &self,
        repository: &RepoName,
        since: DateTime<Utc>,
        with_tags: bool,
    ) -> impl Future<Output = Result<Vec<ReportedDeployment>, SourceError>> + Send;

    /// The history of a commit, which begins with the commit itself.
    fn commits<'a>(&'a self, repository: &RepoName, from: &Oid) -> Self::Commits<'a>;

    /// All issues of a repository with this label, which are incidents; `None` if the list is the one that the ETag was given
    /// for. An empty list does not prove that there are none.
    ///
    /// # Errors
    /// Any error of the source.
    fn incidents(
        &self,
        repository: &RepoName,
        label: &str,
        known: Option<&Etag>,
    ) -> impl Future<Output = Result<Option<IncidentList>, SourceError>> + Send;

    /// Whether anything can be read that could be an incident of a repository, so that an empty list of incidents is the truth.
    ///
    /// # Errors
    /// Any error of the source.
    fn reads_incidents(&self, repository: &RepoName) -> impl Future<Output = Result<bool, SourceError>> + Send;

    /// Looks up a repository.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] or [`crate::ErrorKind::Gone`] if the credentials can see no such repository, and any
    /// other error of the source.
    fn repository(&self, key: RepositoryKey<'_>) -> impl Future<Output = Result<RepositoryFacts, SourceError>> + Send;

    /// The repositories of an owner that the source lists to the credentials.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if there is no such owner, and any other error of the source.
    fn repositories_of(&self, owner: &str) -> impl Future<Output = Result<OwnedRepositories, SourceError>> + Send;
}

/// A listing by update in progress, latest change first. Rows that vanish while it is read hide no other row.
pub trait Changes: Send {
    /// The next page; `None` after the last one. It may repeat pull requests of the previous page that changed since.
    ///
    /// # Errors
    /// Any error of the source; calling this again repeats the request.
    fn next(&mut self) -> impl Future<Output = Result<Option<PageAnswer>, SourceError>> + Send;

    /// How many pull requests the source can return at once, as far as is known.
    fn page_size(&self) -> u8;
}

/// A listing of deployments in progress, newest first. Rows that vanish while it is read hide no other row.
pub trait Deployments: Send {
    /// The next page; `None` after the last one. An empty first page does not prove that there are none.
    ///
    /// # Errors
    /// Any error of the source; calling this again repeats the request.
    fn next(&mut self) -> impl Future<Output = Result<Option<DeploymentPageAnswer>, SourceError>> + Send;
}

/// The reading of a history in progress.
pub trait Commits: Send {
    /// The next page; `None` after the last one, and instead of the first one if the source does not have the commit.
    ///
    /// # Errors
    /// Any error of the source; calling this again repeats the request.
    fn next(&mut self) -> impl Future<Output = Result<Option<CommitPage>, SourceError>> + Send;
}
