//! The work on one repository under a lease: its streams, details and quarantine.

mod announced;
mod backfill;
mod deployments;
mod details;
mod files;
mod incidents;
mod incremental;
mod page;
mod progress;
mod quarantine;
mod reported;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{Either, select};
use futures::{FutureExt, Stream, StreamExt};
use mergeline_domain::progress::{CollectionProgress, ProgressEvent};
use mergeline_domain::{ExternalId, InstanceId, Recovery, RepoName, error_chain};
use mergeline_source::{
    Announced, ErrorKind, ListLength, Page, RepositoryFacts, RepositoryIdentity, RepositoryKey, Session, Source,
    SourceError,
};
use mergeline_store::{
    Identity, Lease, LeaseOutcome, Reason, Repository, RepositoryId, RepositoryResult, ResultState, RunId, StoreError,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::context::{INTERRUPTED, Progress, RosterSnapshot, RunContext};
use crate::limits;
use crate::report::{CredentialsRefusal, RepositoryReport};
use crate::sources::{AnySession, AnySource};

pub use page::keep_page;

/// Renewed with every write. Longer than any request with its retries, shorter than the pause between runs.
const LEASE: Duration = Duration::from_secs(600);
/// How long work in progress may continue after the run was stopped: a transaction takes milliseconds.
const FINISH_WITHIN: Duration = Duration::from_secs(1);
/// How often a repository is restarted because a teams file was applied in the meantime.
const MAX_RESTARTS: u32 = 5;

/// Whether someone else retries a failure soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// No: a failure counts.
    Only,
    /// Yes: a transient failure does not count against the repository yet.
    Retryable,
}

/// What to do with a repository.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work<'a> {
    /// Read everything that changed.
    Read,
    /// Take what a delivery announced, and read only the commits that it names, if they may be read.
    Take(&'a Announced, MayRead),
}

/// Whether the limits of the source allow reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MayRead {
    Yes,
    No,
}

/// What stops the work on a repository.
enum Interruption {
    Source(SourceError),
    Store(StoreError),
    /// The work continues later.
    Deferred {
        reason: Reason,
        recovery: Recovery,
    },
    /// The work cannot continue.
    Failed {
        reason: Reason,
        recovery: Recovery,
    },
    /// The source answers for another repository of the same name, which has this row now.
    Replaced(RepositoryId),
}

impl Interruption {
    fn interrupted() -> Self {
        let (code, message) = INTERRUPTED;
        Self::Deferred { reason: Reason { code, message: message.to_owned() }, recovery: Recovery::RETRY }
    }

    /// Whether the work could have continued with more time or requests.
    fn is_for_lack_of_time(&self) -> bool {
        match self {
            Self::Source(error) => matches!(error.kind, ErrorKind::OutOfTime | ErrorKind::RateLimited),
            Self::Deferred { .. } => true,
            Self::Store(_) | Self::Failed { .. } | Self::Replaced(_) => false,
        }
    }

    fn lists_nothing() -> Self {
        let SourceError { code, message, recovery, .. } = SourceError::lists_nothing();
        Self::Failed { reason: Reason { code, message }, recovery }
    }
}

impl From<SourceError> for Interruption {
    fn from(error: SourceError) -> Self {
        match error.kind {
            ErrorKind::ListsNothing => Self::lists_nothing(),
            _ => Self::Source(error),
        }
    }
}

impl From<StoreError> for Interruption {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// How the work on a repository ended.
struct Outcome {
    state: ResultState,
    ending: LeaseOutcome,
    reason: Option<Reason>,
    deferred_until: Option<DateTime<Utc>>,
    /// What it takes to do better; `None` when nothing is left to do here.
    recovery: Option<Recovery>,
}

impl Outcome {
    fn failed(reason: Reason, recovery: Recovery, attempt: Attempt) -> Self {
        let is_excused = recovery.is_transient() && attempt == Attempt::Retryable;
        let ending = if is_excused { LeaseOutcome::Deferred } else { LeaseOutcome::Failed };
        let (state, reason, recovery) = (ResultState::Failed, Some(reason), Some(recovery));
        Self { state, ending, reason, deferred_until: None, recovery }
    }

    fn deferred(reason: Reason, recovery: Recovery, until: Option<DateTime<Utc>>) -> Self {
        let (state, reason, recovery) = (ResultState::Deferred, Some(reason), Some(recovery));
        Self { state, ending: LeaseOutcome::Deferred, reason, deferred_until: until, recovery }
    }
}

impl RunContext<'_> {
    /// Works on a repository as far as time, limits and turns allow, and writes the result into the ledger. Returns the
    /// row that was worked on, which is not `id` if the repository was replaced.
    ///
    /// # Errors
    /// Only failures of the database, which every repository needs.
    #[tracing::instrument(target = "spans", skip_all, fields(run.id = run.0, repo.name = %name))]
    pub async fn repository(
        &self,
        run: RunId,
        id: RepositoryId,
        name: RepoName,
        attempt: Attempt,
    ) -> Result<(RepositoryId, RepositoryReport), StoreError> {
        let (id, started_at, mut report) = self.work_on(id, name, attempt, Work::Read).await?;
        self.store.record_result(run, id, started_at, &report.result).await?;
        if report.result.has_news() {
            report.has_unannounced = self.store.note_missed_announcement(id, self.now()).await?;
        }
        Ok((id, report))
    }

    /// The same without the ledger. Returns also when the work started.
    pub(crate) async fn work_on(
        &self,
        id: RepositoryId,
        name: RepoName,
        attempt: Attempt,
        task: Work<'_>,
    ) -> Result<(RepositoryId, DateTime<Utc>, RepositoryReport), StoreError> {
        let started_at = self.now();
        let started = Instant::now();
        let leased = self.store.lease(id, started_at, LEASE).await?;
        let Some((lease, repository)) = leased else {
            let held = self.store.held_lease(id, started_at).await?;
            let message = held.map_or_else(
                || "it is no longer configured, or another run has already finished it".to_owned(),
                |held| held.to_string(),
            );
            let reason = Some(Reason { code: "busy", message });
            let result = RepositoryResult { state: ResultState::Busy, reason, ..RepositoryResult::default() };
            return Ok((
                id,
                started_at,
                RepositoryReport { repository: name, result, cause: None, recovery: None, has_unannounced: false },
            ));
        };
        let name = repository.called().clone();
        let instance = repository.instance;
        let Some(source) = self.source(instance) else {
            let report = self.not_collected(&lease, &repository).await?;
            return Ok((id, started_at, report));
        };
        limits::learn(source, instance, self.store, started_at).await?;
        let session = source.session(Some(name.owner()), self.options.wait_budget(), started_at);
        let mut work = RepositoryJob {
            collecting: self,
            source,
            session: &session,
            lease,
            repository,
            rostered: self.rostered(),
            result: RepositoryResult::default(),
            pages_left: None,
            length: None,
            started_at,
        };
        // A panic is a bug that one repository's data triggers; the others continue. Boxed: reading and storing make a
        // large future.
        let working = AssertUnwindSafe(Box::pin(work.with_restarts(task))).catch_unwind();
        let working = limits::remembering(source, instance, self.store, || self.now(), working);
        let stopped = match select(pin!(working), pin!(self.is_over())).await {
            Either::Left((stopped, _)) => stopped.unwrap_or_else(|_| {
                let message = "the program failed; its log has the place".to_owned();
                Err(Interruption::Failed { reason: Reason { code: "panic", message }, recovery: Recovery::RETRY })
            }),
            Either::Right(((), _)) => Err(Interruption::interrupted()),
        };
        let mut result = std::mem::take(&mut work.result);
        if let Err(Interruption::Replaced(replacement)) = stopped {
            return Box::pin(self.work_on(replacement, name, attempt, task)).await;
        }
        let cause = match &stopped {
            Err(Interruption::Source(error)) => Some(error.clone()),
            _ => None,
        };
        let outcome = self.outcome(stopped, instance, attempt)?;
        let ending = match (task, outcome.ending) {
            // It says nothing about whether the repository can be read.
            (Work::Take(..), LeaseOutcome::Succeeded) => LeaseOutcome::Deferred,
            (_, ending) => ending,
        };
        self.release(&lease, ending, outcome.reason.as_ref()).await?;
        let usage = session.usage();
        result.state = outcome.state;
        result.reason = outcome.reason;
        result.deferred_until = outcome.deferred_until;
        let recovery = outcome.recovery;
        result.duration = started.elapsed();
        result.requests = usage.requests;
        result.graphql_requests = usage.graphql_requests;
        result.graphql_points = usage.graphql_points;
        result.api_errors = usage.errors;
        result.rate_limit_remaining = usage.rate_limit_remaining;
        result.rate_limit_percent = usage.rate_limit_percent;
        result.token_expires_at = usage.token_expires_at;
        Ok((id, started_at, RepositoryReport { repository: name, result, cause, recovery, has_unannounced: false }))
    }

    /// Gives up a lease, if it is not lost: then the run that took over releases it.
    async fn release(&self, lease: &Lease, ending: LeaseOutcome, reason: Option<&Reason>) -> Result<(), StoreError> {
        match self.store.release(lease, ending, reason, self.now()).await {
            Err(StoreError::LostLease) => Ok(()),
            outcome => outcome,
        }
    }

    /// Waits for a moment after the run was stopped: long enough for a transaction, but not for a source's answers.
    async fn is_over(&self) {
        self.stop.cancelled().await;
        sleep(FINISH_WITHIN).await;
    }

    /// Gives up a repository whose instance has no client.
    async fn not_collected(&self, lease: &Lease, repository: &Repository) -> Result<RepositoryReport, StoreError> {
        let name = repository.called().clone();
        let message = format!("{name} belongs to an instance that this version does not collect");
        let reason = Some(Reason { code: "instance_not_collected", message });
        self.release(lease, LeaseOutcome::Refused, reason.as_ref()).await?;
        let result = RepositoryResult { state: ResultState::Failed, reason, ..RepositoryResult::default() };
        let recovery = Some(Recovery::NeedsPerson);
        Ok(RepositoryReport { repository: name, result, cause: None, recovery, has_unannounced: false })
    }

    /// Turns what stopped the work into an outcome for the ledger and the next run.
    fn outcome(
        &self,
        stopped: Result<(), Interruption>,
        instance: InstanceId,
        attempt: Attempt,
    ) -> Result<Outcome, StoreError> {
        Ok(match stopped {
            Ok(()) => Outcome {
                state: ResultState::Succeeded,
                ending: LeaseOutcome::Succeeded,
                reason: None,
                deferred_until: None,
                recovery: None,
            },
            Err(Interruption::Source(error)) => match error.kind {
                ErrorKind::RateLimited => {
                    let pause = match error.recovery {
                        Recovery::Retry { after } => after.and_then(|pause| TimeDelta::from_std(pause).ok()),
                        _ => None,
                    };
                    let until = pause.map(|pause| self.now() + pause);
                    // A wait in seconds is useless to someone who reads it later.
                    let from = until
                        .map(|until| format!("; it can be asked again from {} UTC", until.format("%Y-%m-%d %H:%M:%S")));
                    let message = format!("{}{}", error.message, from.unwrap_or_default());
                    Outcome::deferred(Reason { code: error.code, message }, error.recovery, until)
                }
                ErrorKind::OutOfTime => {
                    let reason = Reason { code: error.code, message: error.message };
                    Outcome::deferred(reason, error.recovery, None)
                }
                ErrorKind::CredentialsRefused => {
                    let reason = Reason { code: error.code, message: error.message.clone() };
                    let failed = Outcome::failed(reason, error.recovery, attempt);
                    self.refuse(CredentialsRefusal { instance, error });
                    // The token's fault is not held against the repository.
                    Outcome { ending: LeaseOutcome::Refused, ..failed }
                }
                ErrorKind::Forbidden => {
                    let advice = error.advice.map(|advice| format!(": {advice}")).unwrap_or_default();
                    let reason = Reason { code: error.code, message: format!("{error}{advice}") };
                    Outcome::failed(reason, error.recovery, attempt)
                }
                _ => {
                    let reason = Reason { code: error.code, message: error.message };
                    Outcome::failed(reason, error.recovery, attempt)
                }
            },
            Err(Interruption::Store(StoreError::LostLease)) => {
                let message = StoreError::LostLease.to_string();
                let reason = Some(Reason { code: StoreError::LostLease.code(), message });
                let (state, ending) = (ResultState::Busy, LeaseOutcome::Deferred);
                Outcome { state, ending, reason, deferred_until: None, recovery: None }
            }
            Err(Interruption::Store(error)) if error.is_fatal() => return Err(error),
            Err(Interruption::Store(error)) => {
                let reason = Reason { code: error.code(), message: error_chain(&error) };
                Outcome::failed(reason, error.recovery(), attempt)
            }
            Err(Interruption::Deferred { reason, recovery }) => Outcome::deferred(reason, recovery, None),
            Err(Interruption::Failed { reason, recovery }) => Outcome::failed(reason, recovery, attempt),
            Err(Interruption::Replaced(_)) => {
                let message = "another repository has its name".to_owned();
                Outcome::deferred(Reason { code: "repo_replaced", message }, Recovery::RETRY, None)
            }
        })
    }
}

/// The work on one repository.
struct RepositoryJob<'a> {
    collecting: &'a RunContext<'a>,
    source: &'a AnySource,
    session: &'a AnySession,
    lease: Lease,
    repository: Repository,
    rostered: Arc<RosterSnapshot>,
    result: RepositoryResult,
    /// How many pages of the list by creation follow the first one, if the source has reported it.
    pages_left: Option<u32>,
    /// The length of the list, if another answer included it.
    length: Option<ListLength>,
    /// When the work started, before anything was listed.
    started_at: DateTime<Utc>,
}

impl RepositoryJob<'_> {
    /// Restarts with the new roster if a teams file was applied in the meantime.
    async fn with_restarts(&mut self, task: Work<'_>) -> Result<(), Interruption> {
        if let Some(refusal) = self.collecting.refusal(self.repository.instance) {
            return Err(refusal.into());
        }
        let mut outcome = self.perform(task).await;
        for _ in 0..MAX_RESTARTS {
            let Err(Interruption::Store(StoreError::StaleConfiguration)) = outcome else { break };
            self.rostered = self.collecting.renew_roster().await?;
            let Some(fresh) = self.collecting.store.repository(self.repository.id).await? else {
                // One that is no longer configured needs no more work.
                return Ok(());
            };
            self.repository = fresh;
            outcome = self.perform(task).await;
        }
        outcome
    }

    async fn perform(&mut self, task: Work<'_>) -> Result<(), Interruption> {
        match task {
            Work::Read => self.run_all().await,
            Work::Take(announced, may_read) => self.take(announced, may_read).await,
        }
    }

    async fn run_all(&mut self) -> Result<(), Interruption> {
        self.pull_requests().await?;
        if self.collecting.options.deployments {
            self.deployments().await?;
            self.incidents().await?;
        }
        self.files().await
    }

    async fn pull_requests(&mut self) -> Result<(), Interruption> {
        // During a backfill nothing is compared.
        let is_compared_later = self.collecting.options.verifies && self.repository.progress.backfill.is_some();
        self.incremental().await?;
        if !self.repository.progress.has_pull_requests {
            return Ok(());
        }
        self.backfill().await?;
        if is_compared_later {
            self.incremental().await?;
            self.backfill().await?;
        }
        if self.retry_quarantined(self.now()).await? {
            self.read_again().await?;
            self.backfill().await?;
        }
        if self.collecting.options.details {
            self.details().await?;
        }
        Ok(())
    }

    fn now(&self) -> DateTime<Utc> {
        self.collecting.now()
    }

    /// Records an event of the collection.
    async fn advance(&mut self, event: ProgressEvent) -> Result<(), Interruption> {
        let advanced = self.collecting.store.advance(&self.lease, event, self.now());
        let progress = timed(&mut self.result.database, advanced).await?;
        self.set_progress(progress);
        Ok(())
    }

    fn set_progress(&mut self, progress: CollectionProgress) {
        if progress.page_size != self.repository.progress.page_size {
            // It counts pages of the earlier size.
            self.pages_left = None;
        }
        self.repository.progress = progress;
    }

    /// Checks that there is time for another page and that the repository's turn is not over.
    fn may_continue(&self) -> Result<(), Interruption> {
        self.has_time()?;
        let pages_a_turn = self.collecting.pages_a_turn.get(&self.repository.instance);
        if pages_a_turn.is_some_and(|most| self.result.pages >= *most) {
            let message = "other repositories have their turn".to_owned();
            return Err(Interruption::Deferred {
                reason: Reason { code: "turn_over", message },
                recovery: Recovery::NextTurn,
            });
        }
        Ok(())
    }

    /// Checks that there is time for another page.
    fn has_time(&self) -> Result<(), Interruption> {
        if self.collecting.stop.is_cancelled() {
            return Err(Interruption::interrupted());
        }
        if self.collecting.is_out_of_time() { Err(SourceError::out_of_time().into()) } else { Ok(()) }
    }

    /// Learns from a page which repository the source answers for. If the page does not show it, the source is asked once, so
    /// that data collected under a former name continues and is not left behind. An empty page shows nothing: it may be
    /// that of a renamed repository, whose list is only empty this time.
    async fn identify(&mut self, page: &Page) -> Result<(), Interruption> {
        let asked;
        let identity = match &page.repository {
            Some(identity) => identity,
            None if self.repository.external_id.is_some() => return Ok(()),
            None => {
                asked = self.session.repository(RepositoryKey::Name(self.repository.called())).await?.identity;
                &asked
            }
        };
        if self.repository.external_id.as_ref() == Some(&identity.id) && *self.repository.called() == identity.name {
            return Ok(());
        }
        let store = self.collecting.store;
        let identified = store.identify(&self.lease, &self.repository.name, &identity.id, &identity.name, self.now());
        let identified = timed(&mut self.result.database, identified).await;
        if let Err(StoreError::DuplicateRepository { other, .. }) = &identified {
            match self.repository.external_id.clone() {
                Some(id) if id != identity.id => return self.follow(&id, other).await,
                Some(_) => {}
                None => self.take_name_over(other, identity).await?,
            }
        }
        match identified? {
            Identity::Same => {
                if self.repository.external_id.is_some() {
                    tracing::info!(
                        repo.name = %identity.name,
                        "{} is now called {}", self.repository.called(), identity.name
                    );
                }
                self.repository.external_id = Some(identity.id.clone());
                self.repository.current_name = Some(identity.name.clone());
                Ok(())
            }
            Identity::Replaced(id) => {
                tracing::warn!(
                    repo.name = %identity.name,
                    "{} is a different repository than before; data collected from both stays",
                    identity.name
                );
                Err(Interruption::Replaced(id))
            }
        }
    }

    /// This repository's data is stored in the row of `other`, a name that now belongs to another repository. That row
    /// gets the name of this one. If `other` still refers to the same repository, nothing is done.
    async fn take_name_over(&mut self, other: &str, identity: &RepositoryIdentity) -> Result<(), Interruption> {
        let Ok(other) = other.parse::<RepoName>() else { return Ok(()) };
        match self.session.repository(RepositoryKey::Name(&other)).await {
            Ok(meant) if meant.identity.id != identity.id => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let store = self.collecting.store;
        let exchanged = store.exchange_names(&self.lease, &other, &identity.id, &identity.name, self.now());
        timed(&mut self.result.database, exchanged).await?;
        tracing::info!(
            repo.name = %identity.name,
            "{} was called {other} before, which now names another repository", identity.name
        );
        // Restarts under the remaining name.
        Err(Interruption::Store(StoreError::StaleConfiguration))
    }

    /// Finds the current name of the repository: its former name now belongs to the one configured as `other`.
    async fn follow(&mut self, id: &ExternalId, other: &str) -> Result<(), Interruption> {
        let now_called = match self.session.repository(RepositoryKey::Id(id)).await {
            Ok(RepositoryFacts { identity, .. }) => identity,
            Err(error) if error.kind == ErrorKind::NotFound => {
                let name = &self.repository.name;
                let message = format!(
                    "what was collected as `{name}` is gone at GitHub, and `{other}` is called `{name}` now: in the teams file, \
                     take the line `{other}` out and keep `{name}`"
                );
                let reason = Reason { code: "config.same_repository", message };
                return Err(Interruption::Failed { reason, recovery: Recovery::NeedsPerson });
            }
            Err(error) => return Err(error.into()),
        };
        let store = self.collecting.store;
        let identified =
            store.identify(&self.lease, &self.repository.name, &now_called.id, &now_called.name, self.now());
        timed(&mut self.result.database, identified).await?;
        tracing::info!(
            repo.name = %now_called.name,
            "{} is now called {}; its former name belongs to another repository",
            self.repository.called(),
            now_called.name
        );
        // Restarts under its current name.
        Err(Interruption::Store(StoreError::StaleConfiguration))
    }

    fn observe(&self) {
        let progress = Progress::Page { repository: self.repository.called(), result: &self.result };
        (self.collecting.observer)(progress);
    }
}

/// Passes the items of a stream to `take`, in order, until it returns false. If `at_once` is more than 1, the stream
/// runs ahead: items that arrive while `take` writes are passed together to its next call.
async fn pipeline<T>(
    arriving: impl Stream<Item = T>,
    at_once: usize,
    mut take: impl AsyncFnMut(Vec<T>) -> Result<bool, Interruption>,
) -> Result<(), Interruption> {
    if at_once == 1 {
        let mut arriving = pin!(arriving);
        while let Some(item) = arriving.next().await {
            if !take(vec![item]).await? {
                break;
            }
        }
        return Ok(());
    }
    let (sender, mut receiver) = mpsc::channel(at_once);
    let arrive = async move {
        let mut arriving = pin!(arriving);
        while let Some(item) = arriving.next().await {
            if sender.send(item).await.is_err() {
                break;
            }
        }
    };
    let work = async {
        let mut arrived = Vec::new();
        while receiver.recv_many(&mut arrived, at_once).await > 0 {
            if !take(std::mem::take(&mut arrived)).await? {
                break;
            }
        }
        Ok(())
    };
    match select(pin!(work), pin!(arrive)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), work)) => work.await,
    }
}

/// Adds the time that `work` takes to `spent`.
async fn timed<T>(spent: &mut Duration, work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    let outcome = work.await;
    *spent += started.elapsed();
    outcome
}
