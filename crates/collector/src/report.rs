//! What a run did, for people, logs and machines.

use std::fmt;

use mergeline_domain::plan::Doubt;
use mergeline_domain::{InstanceId, Recovery, RepoName, count_of};
use mergeline_source::{SourceError, Usage};
use mergeline_store::{Reason, Repository, RepositoryResult, ResultState, RunId, RunState};
use serde::{Serialize, Serializer};

/// What planning requested, and what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planning {
    /// The requests.
    pub usage: Usage,
    /// How the previous run left the collection.
    pub last_run: LastRun,
}

/// How the previous run left the collection, including retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastRun {
    /// Everything was collected, or continues.
    Whole,
    /// The last attempt at some repositories failed, or a pattern matches none.
    Partial,
    /// The last attempt at each repository failed.
    Failed,
}

impl LastRun {
    pub(crate) fn of(repositories: &[Repository], problems: &[String]) -> Self {
        let failing = repositories.iter().filter(|repository| repository.failures > 0).count();
        if failing > 0 && failing == repositories.len() {
            Self::Failed
        } else if failing > 0 || !problems.is_empty() {
            Self::Partial
        } else {
            Self::Whole
        }
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// The run's number in the ledger.
    pub run: RunId,
    /// How it ended.
    pub state: RunState,
    /// What went wrong while planning, as sentences.
    pub problems: Vec<String>,
    /// The sources' errors among them.
    #[serde(skip)]
    pub problem_causes: Vec<SourceError>,
    /// What it did to each repository.
    pub repositories: Vec<RepositoryReport>,
    /// Logins in the teams file that may belong to someone other than the person they count for.
    pub doubts: Box<[Doubt]>,
    /// What planning requested, and what it found.
    #[serde(skip)]
    pub planning: Planning,
    /// Whether the run became complete with this report: it was not before, and has not failed.
    #[serde(skip)]
    pub completes: bool,
    /// Refusals of credentials, because of which repositories were left out.
    #[serde(rename = "is_token_refused", serialize_with = "whether_any")]
    pub refusals: Vec<CredentialsRefusal>,
}

#[expect(clippy::ptr_arg, reason = "serde passes a reference to the field")]
fn whether_any<T, S: Serializer>(list: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bool(!list.is_empty())
}

/// An instance's refusal of its credentials: of the token, or of the App. Every request there fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialsRefusal {
    /// The instance.
    pub instance: InstanceId,
    /// The error.
    pub error: SourceError,
}

/// What a run did to one repository.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepositoryReport {
    /// `owner/name`.
    pub repository: RepoName,
    /// The counts, and the reason if it is not complete.
    #[serde(flatten)]
    pub result: RepositoryResult,
    /// The source's error, where that is why it is not complete.
    #[serde(skip)]
    pub cause: Option<SourceError>,
    /// What it takes to complete it; `None` when it is complete, or somebody else works on it.
    #[serde(skip)]
    pub recovery: Option<Recovery>,
    /// Whether it found a change that no webhook had announced, although webhooks of the repository come.
    #[serde(skip)]
    pub has_unannounced: bool,
}

impl RepositoryReport {
    /// Logs why a repository is not complete. A program that prints the report filters this module out of its log.
    pub fn log(&self) {
        let Self { repository, result, .. } = self;
        let Some(Reason { code, message }) = &result.reason else { return };
        if result.state == ResultState::Failed {
            tracing::warn!(repo.name = %repository, code, "Could not collect {repository}: {message}");
        } else {
            tracing::info!(repo.name = %repository, code, "{repository} continues later: {message}");
        }
    }
}

impl RunReport {
    /// Logs a line for each repository that is not complete and one for the run.
    pub(crate) fn log(&self) {
        for report in self.incomplete() {
            report.log();
        }
        for doubt in &self.doubts {
            tracing::warn!("{doubt}");
        }
        tracing::info!(
            run.id = self.run.0,
            run.state = self.state.as_str(),
            repositories = self.repositories.len(),
            repositories_failed = self.failed().count(),
            repositories_deferred = self.incomplete().count() - self.failed().count(),
            listed = self.total(|result| result.listed),
            kept = self.total(|result| result.kept),
            changed = self.total(|result| result.changed),
            enriched = self.total(|result| result.enriched),
            deployments = self.total(|result| result.deployments),
            commits = self.total(|result| result.commits),
            skipped_not_a_member = self.total(|result| result.skipped_not_a_member),
            skipped_bot = self.total(|result| result.skipped_bot),
            skipped_ghost = self.total(|result| result.skipped_ghost),
            quarantined = self.total(|result| result.quarantined),
            requests = self.total(|result| result.requests) + self.planning.usage.requests,
            graphql_points = self.total(|result| result.graphql_points),
            without_details = self.total(|result| result.without_details),
            "{self}"
        );
    }

    /// The sum of one count over all repositories.
    pub fn total(&self, count: impl Fn(&RepositoryResult) -> u32) -> u32 {
        self.repositories.iter().map(|report| count(&report.result)).sum()
    }

    /// The repositories that failed.
    pub fn failed(&self) -> impl Iterator<Item = &RepositoryReport> {
        self.repositories.iter().filter(|report| report.result.state == ResultState::Failed)
    }

    /// How it ended and what it read, in clauses separated by semicolons.
    pub fn summary(&self) -> String {
        let lacking = self.total(|result| result.without_details);
        let lacking = match lacking {
            0 => String::new(),
            1 => "; 1 pull request lacks phases".to_owned(),
            lacking => format!("; {lacking} pull requests lack phases"),
        };
        format!(
            "{} with {} of {} repositories complete; {} listed, {} kept ({} new or changed), \
             skipped: {} not in a team, {} by bots, {} by deleted accounts; {} not understood and in quarantine; {}, {}{lacking}",
            self.state.as_str(),
            self.repositories.len() - self.incomplete().count(),
            self.repositories.len(),
            count_of(self.total(|result| result.listed), "pull request"),
            self.total(|result| result.kept),
            self.total(|result| result.changed),
            self.total(|result| result.skipped_not_a_member),
            self.total(|result| result.skipped_bot),
            self.total(|result| result.skipped_ghost),
            self.total(|result| result.quarantined),
            count_of(self.total(|result| result.requests) + self.planning.usage.requests, "request"),
            count_of(self.total(|result| result.graphql_points), "GraphQL point"),
        )
    }

    /// The repositories that failed or continue later.
    pub fn incomplete(&self) -> impl Iterator<Item = &RepositoryReport> {
        self.repositories.iter().filter(|report| report.result.state != ResultState::Succeeded)
    }
}

impl fmt::Display for RunReport {
    /// The one line that sums up a run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Run {}: {}", self.run.0, self.summary())
    }
}
