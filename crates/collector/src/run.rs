//! A whole run in this process: every repository that is due, a few at a time, in turns.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use mergeline_domain::{Problem, Recovery, RepoName, Roster};
use mergeline_github::{GitHub, GitHubError, WaitBudget};
use mergeline_store::{
    Reason, RepositoryId, RepositoryResult, ResultState, Revision, RunState, Settled, Store, StoreError,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::limits::{learn_remaining, remember_remaining};
use crate::plan::{Plan, plan_until};
use crate::report::{RepositoryReport, RunReport};
use crate::work::Attempt;

/// How many pages a repository may read before others get their turn.
const PAGES_A_TURN: u32 = 50;

/// Options of a run.
#[derive(Debug, Clone, Copy)]
pub struct CollectOptions {
    /// When the run starts.
    pub now: DateTime<Utc>,
    /// How far the first collection of a repository goes back.
    pub backfill: TimeDelta,
    /// How many repositories are worked on at a time.
    pub concurrency: usize,
    /// When the run must be over; `None` for no deadline.
    pub deadline: Option<Instant>,
    /// The longest single wait for a GitHub rate limit. Longer waits are deferred.
    pub longest_wait: Duration,
    /// Whether reviews, commits and sizes are read too.
    pub details: bool,
    /// Whether repositories that failed recently are retried before their pause is over.
    pub ignores_pauses: bool,
    /// Whether everything stored is compared with GitHub's list now, even if the weekly comparison is not due.
    pub verifies: bool,
}

impl CollectOptions {
    /// Options for a person who waits at a terminal: no deadline, and repositories that failed before are retried.
    pub fn at_a_terminal(now: DateTime<Utc>, backfill: TimeDelta, concurrency: usize) -> Self {
        let WaitBudget { deadline, longest_wait } = WaitBudget::AT_A_TERMINAL;
        Self {
            now,
            backfill,
            concurrency,
            deadline,
            longest_wait,
            details: true,
            ignores_pauses: true,
            verifies: false,
        }
    }

    /// How long the run may wait for GitHub.
    pub(crate) fn wait_budget(&self) -> WaitBudget {
        WaitBudget { deadline: self.deadline, longest_wait: self.longest_wait }
    }
}

/// Why a whole run failed. A failing repository is not a reason.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// No teams file was ever applied.
    #[error("{}: {}", .0.code, .0.message)]
    NotConfigured(Box<Problem>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An event during a run.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The run starts to read repositories.
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

/// A callback for progress. It is called from within the run, so it must be quick.
pub type Observer<'a> = &'a (dyn Fn(Progress<'_>) + Send + Sync);

/// The people to whom pull requests are attributed, with the revision of their configuration.
#[derive(Debug)]
pub struct RosterSnapshot {
    /// The revision.
    pub revision: Revision,
    /// The people.
    pub roster: Roster,
}

/// State shared by the work on all repositories of a run.
pub struct RunContext<'a> {
    pub(crate) github: &'a GitHub,
    /// The database.
    pub store: &'a Store,
    pub(crate) options: CollectOptions,
    pub(crate) observer: Observer<'a>,
    /// How many pages a repository may read in a row.
    pub(crate) pages_a_turn: u32,
    rostered: Mutex<Arc<RosterSnapshot>>,
    started: Instant,
    token_refusal: OnceLock<GitHubError>,
    /// Cancelled when the run should end.
    pub(crate) stop: CancellationToken,
}

impl<'a> RunContext<'a> {
    /// Creates the context of a run that uses this roster and reports progress to `observer`.
    pub fn new(
        github: &'a GitHub,
        store: &'a Store,
        options: CollectOptions,
        observer: Observer<'a>,
        rostered: RosterSnapshot,
    ) -> Self {
        Self {
            github,
            store,
            options,
            observer,
            pages_a_turn: u32::MAX,
            rostered: Mutex::new(Arc::new(rostered)),
            started: Instant::now(),
            token_refusal: OnceLock::new(),
            stop: CancellationToken::new(),
        }
    }

    /// The current time: the caller's start time plus what has elapsed since.
    pub fn now(&self) -> DateTime<Utc> {
        self.options.now + TimeDelta::from_std(self.started.elapsed()).unwrap_or_default()
    }

    pub(crate) fn is_out_of_time(&self) -> bool {
        self.stop.is_cancelled() || self.options.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(crate) fn rostered(&self) -> Arc<RosterSnapshot> {
        self.rostered.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reloads the roster after a teams file was applied.
    pub(crate) async fn renew_roster(&self) -> Result<Arc<RosterSnapshot>, StoreError> {
        let Some((revision, roster)) = self.store.roster().await? else { return Ok(self.rostered()) };
        let fresh = Arc::new(RosterSnapshot { revision, roster });
        *self.rostered.lock().unwrap_or_else(PoisonError::into_inner) = fresh.clone();
        Ok(fresh)
    }

    /// Records that GitHub refused the token, or the App. That applies to every repository, so no other one is started.
    pub fn refuse_token(&self, refusal: GitHubError) {
        // The first refusal is enough.
        let _ = self.token_refusal.set(refusal);
    }

    /// GitHub's refusal of the token, or of the App, if there was one in this run.
    pub fn token_refusal(&self) -> Option<&GitHubError> {
        self.token_refusal.get()
    }
}

/// The reason for work that was interrupted.
pub(crate) const INTERRUPTED: (&str, &str) = ("interrupted", "the run was interrupted; the next one continues here");

fn interrupted() -> RepositoryResult {
    let (code, message) = INTERRUPTED;
    let reason = Some(Reason { code, message: message.to_owned() });
    RepositoryResult { state: ResultState::Deferred, reason, ..RepositoryResult::default() }
}

/// Collects every configured repository that is due, least recently served first. Running it again changes nothing.
///
/// # Errors
/// When there is no configuration or the database fails. Failures of single repositories are in the report.
pub async fn collect(
    github: &GitHub,
    store: &Store,
    options: &CollectOptions,
    observer: Observer<'_>,
) -> Result<RunReport, CollectError> {
    // Boxed: it is a large future.
    Box::pin(collect_until(github, store, options, observer, &CancellationToken::new())).await
}

/// Like [`collect`] until `stop` is cancelled. Then the current write finishes, every lease is released, and the run
/// ends with what it has. The next run continues there.
///
/// # Errors
/// As [`collect`].
#[tracing::instrument(target = "spans", name = "run", skip_all, fields(run.id))]
pub async fn collect_until(
    github: &GitHub,
    store: &Store,
    options: &CollectOptions,
    observer: Observer<'_>,
    stop: &CancellationToken,
) -> Result<RunReport, CollectError> {
    learn_remaining(github, store, options.now).await?;
    let Plan { run, snapshot, due, problems, problem_causes, planning } =
        plan_until(github, store, options, stop).await?;
    tracing::Span::current().record("run.id", run.0);
    observer(Progress::Started { repositories: due.len() });
    let rostered = RosterSnapshot { revision: snapshot.revision, roster: snapshot.roster };
    let mut collecting = RunContext::new(github, store, *options, observer, rostered);
    collecting.stop = stop.clone();
    if due.len() > options.concurrency {
        collecting.pages_a_turn = PAGES_A_TURN;
    }
    let collecting = &collecting;
    let mut waiting: VecDeque<_> = due.iter().map(|repository| (repository.id, repository.called().clone())).collect();
    let mut working = FuturesUnordered::new();
    // By id: a name can move to another repository during the run.
    let mut reports: BTreeMap<RepositoryId, RepositoryReport> = BTreeMap::new();
    loop {
        while working.len() < options.concurrency
            && !stop.is_cancelled()
            && let Some((id, name)) = waiting.pop_front()
        {
            working.push(collecting.repository(run, id, name, Attempt::Only));
        }
        let Some(outcome) = working.next().await else { break };
        let (id, report) = match outcome {
            Ok(worked) => worked,
            Err(error) => {
                // The ledger itself failed. Close the run if that still works; the first error is the one to report.
                let _ = store.fail_run(run, collecting.now()).await;
                return Err(error.into());
            }
        };
        let RepositoryReport { repository: name, result, cause, recovery } = report;
        let is_turn_over = recovery == Some(Recovery::NextTurn);
        let result = match reports.remove(&id) {
            Some(mut earlier) => {
                earlier.result.absorb(result);
                earlier.result
            }
            None => result,
        };
        // Under its latest name.
        let report = RepositoryReport { repository: name.clone(), result, cause, recovery };
        if is_turn_over && !collecting.is_out_of_time() {
            waiting.push_back((id, name));
        } else {
            observer(Progress::Finished(&report));
        }
        reports.insert(id, report);
    }
    // These never got a turn.
    for (id, repository) in waiting {
        if reports.contains_key(&id) {
            continue;
        }
        let result = interrupted();
        store.record_result(run, id, collecting.now(), &result).await?;
        reports.insert(id, RepositoryReport { repository, result, cause: None, recovery: Some(Recovery::RETRY) });
    }
    let mut repositories: Vec<RepositoryReport> = reports.into_values().collect();
    repositories.sort_by(|one, other| one.repository.cmp(&other.repository));
    let ended_at = collecting.now();
    remember_remaining(github, store, ended_at).await;
    let settled = store.settle_run(run, ended_at).await?;
    let settled = settled.unwrap_or(Settled { state: RunState::Failed, completes: false });
    let report = RunReport {
        run,
        state: settled.state,
        completes: settled.completes,
        problems,
        problem_causes,
        repositories,
        // Includes what the run learned about accounts.
        doubts: store.doubts().await?.into(),
        planning,
        token_refusal: collecting.token_refusal().cloned(),
    };
    report.log();
    Ok(report)
}
