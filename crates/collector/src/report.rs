//! What a run did, for people, logs and machines.

use std::fmt;

use mergeline_domain::RepoName;
use mergeline_store::{RepositoryError, RepositoryResult, RunId, RunState};
use serde::Serialize;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// The run's number in the ledger.
    pub run: RunId,
    /// How it ended.
    pub state: RunState,
    /// What it did to each repository.
    pub repositories: Vec<RepositoryReport>,
}

/// What a run did to one repository.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepositoryReport {
    /// `owner/name`.
    pub repository: RepoName,
    /// The counts, and the error if it failed.
    #[serde(flatten)]
    pub result: RepositoryResult,
}

impl RunReport {
    /// Closes the account of a run.
    pub(crate) fn new(run: RunId, repositories: Vec<RepositoryReport>) -> Self {
        let failed = repositories.iter().filter(|report| report.result.error.is_some()).count();
        let state = match failed {
            0 => RunState::Succeeded,
            all if all == repositories.len() => RunState::Failed,
            _ => RunState::Partial,
        };
        Self { run, state, repositories }
    }

    /// Logs a line for each repository that failed and one for the run. Whoever prints the report leaves this
    /// module out of its log.
    pub(crate) fn log(&self) {
        for RepositoryReport { repository, result } in self.failed() {
            if let Some(RepositoryError { code, message }) = &result.error {
                tracing::warn!(repo.name = %repository, code, "Could not collect {repository}: {message}");
            }
        }
        tracing::info!(
            run.id = self.run.0,
            run.state = self.state.as_str(),
            repositories = self.repositories.len(),
            repositories_failed = self.failed().count(),
            listed = self.total(|result| result.listed),
            kept = self.total(|result| result.kept),
            changed = self.total(|result| result.changed),
            skipped_not_a_member = self.total(|result| result.skipped_not_a_member),
            skipped_bot = self.total(|result| result.skipped_bot),
            skipped_ghost = self.total(|result| result.skipped_ghost),
            skipped_undecodable = self.total(|result| result.skipped_undecodable),
            requests = self.total(|result| result.requests),
            "{self}"
        );
    }

    /// The sum of one count over all repositories.
    pub fn total(&self, count: impl Fn(&RepositoryResult) -> u32) -> u32 {
        self.repositories.iter().map(|report| count(&report.result)).sum()
    }

    /// The repositories that failed.
    pub fn failed(&self) -> impl Iterator<Item = &RepositoryReport> {
        self.repositories.iter().filter(|report| report.result.error.is_some())
    }
}

impl fmt::Display for RunReport {
    /// The one line that sums up a run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Run {}: {} with {} of {} repositories complete; {} pull requests listed, {} kept ({} new or changed), \
             skipped: {} not in a team, {} by bots, {} by deleted accounts, {} undecodable; {} requests",
            self.run.0,
            self.state.as_str(),
            self.repositories.len() - self.failed().count(),
            self.repositories.len(),
            self.total(|result| result.listed),
            self.total(|result| result.kept),
            self.total(|result| result.changed),
            self.total(|result| result.skipped_not_a_member),
            self.total(|result| result.skipped_bot),
            self.total(|result| result.skipped_ghost),
            self.total(|result| result.skipped_undecodable),
            self.total(|result| result.requests),
        )
    }
}
