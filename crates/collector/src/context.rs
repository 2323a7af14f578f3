//! What the work on all repositories of a run shares.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use mergeline_domain::{InstanceId, Problem, RepoName, Roster};
use mergeline_source::{SourceError, WaitBudget};
use mergeline_store::{RepositoryResult, Revision, StoreError, Writer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::report::{CredentialsRefusal, RepositoryReport};
use crate::sources::{AnySource, Sources};

/// Options of a run.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct CollectOptions {
    /// When the run starts.
    pub now: DateTime<Utc>,
    /// How far the first collection of a repository goes back.
    pub backfill: TimeDelta,
    /// How many repositories of an instance are worked on at a time.
    pub concurrency: usize,
    /// When the run must be over; `None` for no deadline.
    pub deadline: Option<Instant>,
    /// The longest single wait for a rate limit. Longer waits are deferred.
    pub longest_wait: Duration,
    /// Whether reviews, commits and sizes are read too.
    pub details: bool,
    /// Whether deployments are read too.
    pub deployments: bool,
    /// Whether repositories that failed recently are retried before their pause is over.
    pub ignores_pauses: bool,
    /// Whether everything stored is compared with the source's list now, even if the weekly comparison is not due.
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
            deployments: true,
            ignores_pauses: true,
            verifies: false,
        }
    }

    /// How long the run may wait for a source.
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
    sources: &'a Sources,
    /// The database.
    pub store: &'a Writer,
    pub(crate) options: CollectOptions,
    pub(crate) observer: Observer<'a>,
    /// How many pages a repository of an instance may read in a row; no limit if it is not here.
    pub(crate) pages_a_turn: BTreeMap<InstanceId, u32>,
    rostered: Mutex<Arc<RosterSnapshot>>,
    started: Instant,
    refusals: Mutex<BTreeMap<InstanceId, SourceError>>,
    /// Cancelled when the run should end.
    pub(crate) stop: CancellationToken,
}

impl<'a> RunContext<'a> {
    /// Creates the context of a run that uses this roster and reports progress to `observer`.
    pub fn new(
        sources: &'a Sources,
        store: &'a Writer,
        options: CollectOptions,
        observer: Observer<'a>,
        rostered: RosterSnapshot,
    ) -> Self {
        Self {
            sources,
            store,
            options,
            observer,
            pages_a_turn: BTreeMap::new(),
            rostered: Mutex::new(Arc::new(rostered)),
            started: Instant::now(),
            refusals: Mutex::default(),
            stop: CancellationToken::new(),
        }
    }

    /// The current time: the caller's start time plus what has elapsed since.
    pub fn now(&self) -> DateTime<Utc> {
        let now = self.options.now + TimeDelta::from_std(self.started.elapsed()).unwrap_or_default();
        // As the database stores it, so that what was stored compares equal.
        now.trunc_subsecs(6)
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

    /// The client of an instance; `None` if the instance is not collected.
    pub(crate) fn source(&self, instance: InstanceId) -> Option<&'a AnySource> {
        self.sources.get(instance)
    }

    /// Records that an instance refused its credentials. That applies to every repository there, so no other one of the
    /// instance is started.
    pub fn refuse(&self, CredentialsRefusal { instance, error }: CredentialsRefusal) {
        // The first refusal is enough.
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).entry(instance).or_insert(error);
    }

    /// An instance's refusal of its credentials, if there was one in this run.
    pub(crate) fn refusal(&self, instance: InstanceId) -> Option<SourceError> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).get(&instance).cloned()
    }

    /// All refusals of credentials in this run.
    pub fn refusals(&self) -> Vec<CredentialsRefusal> {
        let refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals
            .iter()
            .map(|(instance, error)| CredentialsRefusal { instance: *instance, error: error.clone() })
            .collect()
    }
}

/// The reason for work that was interrupted.
pub(crate) const INTERRUPTED: (&str, &str) = ("interrupted", "the run was interrupted; the next one continues here");
