//! The sources of a run: a client for each instance. The only place that knows which forges there are.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::Oid;
use mergeline_domain::progress::Cursor;
use mergeline_domain::{InstanceId, PullRequest, RepoName};
use mergeline_github::{CommitPages, DeploymentPages, GitHub, PullRequestPages};
use mergeline_source::{
    Announced, Block, ChangeAt, Changes, CommitPage, Commits, DeploymentPageAnswer, DeploymentStates, Deployments,
    Etag, FilesOfPullRequests, Histories, IncidentList, ListLength, ListedRun, OwnedRepositories, Page, PageAnswer,
    Remaining, ReportedDeployment, RepositoryFacts, RepositoryKey, RunPage, RunQuery, Session, Source, SourceError,
    Start, UndecodableDeployment, UndecodableItem, Usage, WaitBudget,
};

/// The client of each instance that is collected.
#[derive(Debug, Clone)]
pub struct Sources {
    by_instance: BTreeMap<InstanceId, AnySource>,
}

/// A client of any forge. Adding a forge adds a variant to each of these enums.
#[derive(Debug, Clone)]
pub enum AnySource {
    /// GitHub.
    GitHub(GitHub),
}

/// A session of any forge.
#[derive(Debug)]
pub enum AnySession {
    /// At GitHub.
    GitHub(mergeline_github::GitHubSession),
}

/// A listing by update of any forge.
#[derive(Debug)]
pub enum AnyChanges<'a> {
    /// At GitHub.
    GitHub(PullRequestPages<'a>),
}

/// A listing of deployments of any forge.
#[derive(Debug)]
pub enum AnyDeployments<'a> {
    /// At GitHub.
    GitHub(DeploymentPages<'a>),
}

/// The reading of a history at any forge.
#[derive(Debug)]
pub enum AnyCommits<'a> {
    /// At GitHub.
    GitHub(CommitPages<'a>),
}

impl Sources {
    /// The client of an instance; `None` if the instance is not collected.
    pub fn get(&self, instance: InstanceId) -> Option<&AnySource> {
        self.by_instance.get(&instance)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (InstanceId, &AnySource)> {
        self.by_instance.iter().map(|(instance, source)| (*instance, source))
    }
}

impl FromIterator<(InstanceId, AnySource)> for Sources {
    fn from_iter<I: IntoIterator<Item = (InstanceId, AnySource)>>(sources: I) -> Self {
        Self { by_instance: sources.into_iter().collect() }
    }
}

impl From<GitHub> for Sources {
    /// GitHub alone.
    fn from(github: GitHub) -> Self {
        Self::from_iter([(InstanceId::GITHUB, AnySource::GitHub(github))])
    }
}

/// Calls the same method of any variant. What asks the source is boxed: a request is a large future, and everything that may
/// send one would be as large.
macro_rules! each {
    ($any:expr, $it:ident => $call:expr) => {
        match $any {
            Self::GitHub($it) => $call,
        }
    };
}

impl Source for AnySource {
    type Session = AnySession;

    fn session(&self, owner: Option<&str>, budget: WaitBudget, now: DateTime<Utc>) -> AnySession {
        match self {
            Self::GitHub(github) => AnySession::GitHub(github.session(owner, budget, now)),
        }
    }

    fn concurrency(&self) -> usize {
        each!(self, it => it.concurrency())
    }

    fn know_blocks(&self, blocks: &[Block], now: DateTime<Utc>) {
        each!(self, it => it.know_blocks(blocks, now));
    }

    fn take_new_blocks(&self, now: DateTime<Utc>) -> Vec<Block> {
        each!(self, it => it.take_new_blocks(now))
    }

    async fn blocked(&self) {
        each!(self, it => Box::pin(it.blocked()).await);
    }

    fn know_remaining(&self, remaining: &[Remaining], now: DateTime<Utc>) {
        each!(self, it => it.know_remaining(remaining, now));
    }

    fn remaining(&self, now: DateTime<Utc>) -> Vec<Remaining> {
        each!(self, it => it.remaining(now))
    }

    fn announced(&self, event: &str, body: &str) -> Result<Option<Announced>, UndecodableDeployment> {
        each!(self, it => it.announced(event, body))
    }
}

impl Session for AnySession {
    type Changes<'a> = AnyChanges<'a>;
    type Deployments<'a> = AnyDeployments<'a>;
    type Commits<'a> = AnyCommits<'a>;

    fn usage(&self) -> Usage {
        each!(self, it => it.usage())
    }

    async fn check_credentials(&self) -> Result<(), SourceError> {
        each!(self, it => Box::pin(it.check_credentials()).await)
    }

    async fn reads_details(&self) -> Result<bool, SourceError> {
        each!(self, it => Box::pin(it.reads_details()).await)
    }

    fn changes<'a>(&'a self, repository: &RepoName, page_size: u8, start: Start) -> AnyChanges<'a> {
        match self {
            Self::GitHub(session) => AnyChanges::GitHub(session.changes(repository, page_size, start)),
        }
    }

    async fn change_at(&self, repository: &RepoName, row: u32) -> Result<Option<ChangeAt>, SourceError> {
        each!(self, it => Box::pin(it.change_at(repository, row)).await)
    }

    async fn by_creation(
        &self,
        repository: &RepoName,
        page_size: u8,
        from: Option<&Cursor>,
    ) -> Result<Page, SourceError> {
        each!(self, it => Box::pin(Session::by_creation(it, repository, page_size, from)).await)
    }

    fn following(&self, from: Option<&Cursor>, page_size: u8) -> Option<Cursor> {
        each!(self, it => it.following(from, page_size))
    }

    async fn row(&self, repository: &RepoName, position: u32) -> Result<Page, SourceError> {
        each!(self, it => Box::pin(it.row(repository, position)).await)
    }

    async fn list_length(&self, repository: &RepoName) -> Result<ListLength, SourceError> {
        each!(self, it => Box::pin(Session::list_length(it, repository)).await)
    }

    async fn pull_request(
        &self,
        repository: &RepoName,
        number: i64,
    ) -> Result<Result<PullRequest, UndecodableItem>, SourceError> {
        each!(self, it => Box::pin(Session::pull_request(it, repository, number)).await)
    }

    async fn details(&self, ids: &[String]) -> Result<Histories, SourceError> {
        each!(self, it => Box::pin(it.details(ids)).await)
    }

    fn deployments<'a>(&'a self, repository: &RepoName, start: Start) -> AnyDeployments<'a> {
        match self {
            Self::GitHub(session) => AnyDeployments::GitHub(Session::deployments(session, repository, start)),
        }
    }

    async fn changed_files(&self, ids: &[String]) -> Result<FilesOfPullRequests, SourceError> {
        each!(self, it => Box::pin(Session::changed_files(it, ids)).await)
    }

    async fn deployment_states(&self, ids: &[String]) -> Result<DeploymentStates, SourceError> {
        each!(self, it => Box::pin(Session::deployment_states(it, ids)).await)
    }

    fn commits<'a>(&'a self, repository: &RepoName, from: &Oid) -> AnyCommits<'a> {
        match self {
            Self::GitHub(session) => AnyCommits::GitHub(Session::commits(session, repository, from)),
        }
    }

    async fn workflow_runs(
        &self,
        repository: &RepoName,
        query: &RunQuery,
        from: Option<&Cursor>,
        known: Option<&Etag>,
    ) -> Result<Option<RunPage>, SourceError> {
        each!(self, it => Box::pin(Session::workflow_runs(it, repository, query, from, known)).await)
    }

    async fn run_attempt(
        &self,
        repository: &RepoName,
        query: &RunQuery,
        run: i64,
        attempt: u32,
    ) -> Result<Option<ListedRun>, SourceError> {
        each!(self, it => Box::pin(Session::run_attempt(it, repository, query, run, attempt)).await)
    }

    async fn releases(
        &self,
        repository: &RepoName,
        since: DateTime<Utc>,
        with_tags: bool,
    ) -> Result<Vec<ReportedDeployment>, SourceError> {
        each!(self, it => Box::pin(Session::releases(it, repository, since, with_tags)).await)
    }

    async fn incidents(
        &self,
        repository: &RepoName,
        label: &str,
        known: Option<&Etag>,
    ) -> Result<Option<IncidentList>, SourceError> {
        each!(self, it => Box::pin(Session::incidents(it, repository, label, known)).await)
    }

    async fn reads_incidents(&self, repository: &RepoName) -> Result<bool, SourceError> {
        each!(self, it => Box::pin(Session::reads_incidents(it, repository)).await)
    }

    async fn repository(&self, key: RepositoryKey<'_>) -> Result<RepositoryFacts, SourceError> {
        each!(self, it => Box::pin(Session::repository(it, key)).await)
    }

    async fn repositories_of(&self, owner: &str) -> Result<OwnedRepositories, SourceError> {
        each!(self, it => Box::pin(Session::repositories_of(it, owner)).await)
    }
}

impl Changes for AnyChanges<'_> {
    async fn next(&mut self) -> Result<Option<PageAnswer>, SourceError> {
        each!(self, it => Box::pin(Changes::next(it)).await)
    }

    fn page_size(&self) -> u8 {
        each!(self, it => Changes::page_size(it))
    }
}

impl Deployments for AnyDeployments<'_> {
    async fn next(&mut self) -> Result<Option<DeploymentPageAnswer>, SourceError> {
        each!(self, it => Box::pin(Deployments::next(it)).await)
    }
}

impl Commits for AnyCommits<'_> {
    async fn next(&mut self) -> Result<Option<CommitPage>, SourceError> {
        each!(self, it => Box::pin(Commits::next(it)).await)
    }
}
