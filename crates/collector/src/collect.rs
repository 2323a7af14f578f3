//! One run: every configured repository, page by page.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use mergeline_domain::{Problem, PullRequest, RepoName, Roster, SkipReason, Verdict, with_causes};
use mergeline_github::{GitHub, GitHubError};
use mergeline_store::{
    CompleteReading, KeptPullRequest, Repository, RepositoryError, RepositoryId, RepositoryResult, Revision, RunState,
    Snapshot, Store, StoreError,
};

use crate::settings::not_found;
use crate::{RepositoryReport, RunReport};

/// Read again before the watermark: GitHub's answers may lag behind its clock by minutes.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);
/// How often a repository is begun anew because a teams file was applied in the meantime.
const MAX_RESTARTS: u32 = 5;

/// How a run is done.
#[derive(Debug, Clone, Copy)]
pub struct CollectOptions {
    /// When the run begins.
    pub now: DateTime<Utc>,
    /// How far the first collection of a repository goes back.
    pub backfill: TimeDelta,
    /// How many repositories are read at a time.
    pub concurrency: usize,
}

/// Why a run could not be done at all. A failing repository is no such reason.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// No teams file was ever applied.
    #[error("{}: {}", .0.code, .0.message)]
    NotConfigured(Box<Problem>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What happens while a run is under way.
#[derive(Debug)]
pub enum Progress<'a> {
    /// So many repositories are to be read.
    Started {
        /// How many.
        repositories: usize,
    },
    /// A page of a repository is stored.
    Page {
        /// Which repository.
        repository: &'a RepoName,
        /// The counts so far.
        result: &'a RepositoryResult,
    },
    /// A repository is done, or has failed.
    Finished(&'a RepositoryReport),
}

/// Who wants to know. Called from within the run: it must be quick.
type Observer<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// Collects every configured repository, the one served longest ago first. Running it again changes nothing.
///
/// # Errors
/// When there is no configuration or the database fails. What fails for one repository is in its report.
pub async fn collect(
    github: &GitHub,
    store: &Store,
    options: &CollectOptions,
    observer: Observer<'_>,
) -> Result<RunReport, CollectError> {
    let begun = Instant::now();
    let snapshot = store.snapshot().await?.ok_or_else(|| CollectError::NotConfigured(Box::new(not_found())))?;
    let run = store.start_run(snapshot.revision, options.now).await?;
    observer(Progress::Started { repositories: snapshot.repositories.len() });
    let (snapshot_ref, begun_ref) = (&snapshot, &begun);
    let outcomes: Vec<Result<RepositoryReport, StoreError>> = futures::stream::iter(&snapshot.repositories)
        .map(|repository| async move {
            let started_at = options.now + elapsed(begun_ref);
            let mut work = Work { github, store, options, observer, repository, started_at };
            let report = work.repository(snapshot_ref).await;
            store.record_result(run, repository.id, started_at, &report.result).await?;
            observer(Progress::Finished(&report));
            Ok(report)
        })
        .buffer_unordered(options.concurrency)
        .collect()
        .await;
    let mut repositories = match outcomes.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(repositories) => repositories,
        Err(error) => {
            // The ledger itself failed. Close the run if that still works; the first error is the one to report.
            let _ = store.finish_run(run, RunState::Failed, options.now + elapsed(&begun)).await;
            return Err(error.into());
        }
    };
    repositories.sort_by(|a, b| a.repository.cmp(&b.repository));
    let report = RunReport::new(run, repositories);
    store.finish_run(run, report.state, options.now + elapsed(&begun)).await?;
    report.log();
    Ok(report)
}

fn elapsed(begun: &Instant) -> TimeDelta {
    TimeDelta::from_std(begun.elapsed()).unwrap_or_default()
}

/// What stops the work on a repository.
enum Stopped {
    GitHub(GitHubError),
    Store(StoreError),
}

impl From<GitHubError> for Stopped {
    fn from(error: GitHubError) -> Self {
        Self::GitHub(error)
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// The work on one repository.
struct Work<'a> {
    github: &'a GitHub,
    store: &'a Store,
    options: &'a CollectOptions,
    observer: Observer<'a>,
    repository: &'a Repository,
    started_at: DateTime<Utc>,
}

impl Work<'_> {
    /// Collects the repository and says how it went, whatever happens.
    async fn repository(&mut self, snapshot: &Snapshot) -> RepositoryReport {
        let begun = Instant::now();
        let mut result = RepositoryResult::default();
        result.error = match self.with_restarts(snapshot, &mut result).await {
            Ok(()) => None,
            Err(Stopped::GitHub(error)) => Some(RepositoryError { code: error.code(), message: with_causes(&error) }),
            Err(Stopped::Store(error)) => Some(RepositoryError { code: error.code(), message: with_causes(&error) }),
        };
        result.duration = begun.elapsed();
        RepositoryReport { repository: self.repository.name.clone(), result }
    }

    /// Begins anew with the new roster when a teams file was applied in the meantime.
    async fn with_restarts(&mut self, snapshot: &Snapshot, result: &mut RepositoryResult) -> Result<(), Stopped> {
        let mut outcome = self.pages(snapshot.revision, &snapshot.roster, self.repository, result).await;
        for _ in 0..MAX_RESTARTS {
            let Err(Stopped::Store(StoreError::StaleConfiguration)) = outcome else { break };
            let Some(fresh) = self.store.snapshot().await? else { break };
            // One that is no longer configured needs no more work.
            let Some(repository) = fresh.repositories.iter().find(|other| other.id == self.repository.id) else {
                return Ok(());
            };
            let requests = result.requests;
            *result = RepositoryResult { requests, ..RepositoryResult::default() };
            outcome = self.pages(fresh.revision, &fresh.roster, repository, result).await;
        }
        outcome
    }

    /// Reads pages, newest update first, until what is known already, and moves the watermark at the end.
    async fn pages(
        &self,
        revision: Revision,
        roster: &Roster,
        repository: &Repository,
        result: &mut RepositoryResult,
    ) -> Result<(), Stopped> {
        let window = self.options.now - self.options.backfill;
        let horizon = match repository.watermark.map(|watermark| watermark - OVERLAP) {
            None => window,
            Some(known) if repository.is_reopened => known.min(window),
            Some(known) => known,
        };
        let requests_before = result.requests;
        let mut pages = self.github.pull_requests_updated_since(&self.repository.name, horizon);
        let mut newest = None;
        loop {
            let page = pages.next().await;
            result.requests = requests_before + pages.requests;
            result.rate_limit_remaining = pages.rate_limit_remaining;
            let Some(page) = page? else { break };
            // The watermark is what the first page showed: later changes come to the front and are seen next time.
            if result.pages == 0 {
                newest = page.pull_requests.iter().map(|pull_request| pull_request.updated_at).max();
            }
            for item in &page.undecodable {
                tracing::warn!(
                    repo.name = %self.repository.name,
                    number = item.number,
                    "Skipped a pull request of {} that cannot be understood: {}",
                    self.repository.name,
                    item.reason
                );
            }
            let undecodable = u32::try_from(page.undecodable.len()).unwrap_or(u32::MAX);
            result.pages += 1;
            result.listed += undecodable;
            result.skipped_undecodable += undecodable;
            keep_page(self.store, self.repository.id, revision, roster, page.pull_requests, self.started_at, result)
                .await?;
            (self.observer)(Progress::Page { repository: &self.repository.name, result });
        }
        if !pages.has_listed_any && repository.watermark.is_some() {
            // An empty list may mean that the token sees nothing any more: it is no complete collection.
            tracing::warn!(
                repo.name = %self.repository.name,
                "{} lists no pull requests any more; what is stored stays, and is not said to be fresh",
                self.repository.name
            );
            return Ok(());
        }
        let complete = CompleteReading { watermark: newest, started_at: self.started_at, covered_since: horizon };
        self.store.finish_repository(self.repository.id, revision, complete).await?;
        Ok(())
    }
}

/// Judges the pull requests of a page, stores those of configured people and counts the others by reason.
///
/// # Errors
/// When the database fails, or the roster is no longer in force, also because the page showed that two people are one.
pub async fn keep_page(
    store: &Store,
    repository: RepositoryId,
    revision: Revision,
    roster: &Roster,
    page: Vec<PullRequest>,
    now: DateTime<Utc>,
    result: &mut RepositoryResult,
) -> Result<(), StoreError> {
    let mut kept = Vec::with_capacity(page.len());
    let mut is_roster_stale = false;
    for pull_request in page {
        result.listed += 1;
        match roster.judge(&pull_request) {
            Verdict::Keep { person, attributions } => {
                let person = person.id;
                kept.push(KeptPullRequest { pull_request, person, attributions });
            }
            Verdict::Skip(SkipReason::Ghost) => result.skipped_ghost += 1,
            Verdict::Skip(SkipReason::Bot) => result.skipped_bot += 1,
            Verdict::Skip(SkipReason::NotAMember) => result.skipped_not_a_member += 1,
            Verdict::SamePerson { known, configured } => {
                store.unite(known, configured, now).await?;
                is_roster_stale = true;
            }
        }
    }
    if is_roster_stale {
        return Err(StoreError::StaleConfiguration);
    }
    result.kept += u32::try_from(kept.len()).unwrap_or(u32::MAX);
    if !kept.is_empty() {
        let changed = store.upsert_page(repository, revision, kept).await?;
        result.changed += u32::try_from(changed).unwrap_or(u32::MAX);
    }
    Ok(())
}
