//! Deployments and commits for the fake GitHub.

use chrono::{DateTime, Utc};

use crate::at;

/// A commit of a repository's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeGitCommit {
    /// Its id: forty hexadecimal digits.
    pub oid: String,
    /// The ids of its parents.
    pub parents: Vec<String>,
    /// When it was made, by the clock of the machine that made it.
    pub committed_at: DateTime<Utc>,
}

/// A status of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeDeploymentStatus {
    /// `success`, `failure`, `in_progress` and so on, as REST writes them.
    pub state: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// The environment, if the status names another one than the deployment.
    pub environment: Option<String>,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeDeployment {
    /// The repository's `owner/name`.
    pub repository: String,
    /// Its number, beyond 32 bits like real ones.
    pub id: i64,
    /// The commit.
    pub sha: String,
    /// The environment.
    pub environment: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// What its creator said about the environment; often wrong, and left out where `None`.
    pub is_production: Option<bool>,
    /// Whether its creator said that the environment does not last; left out where `None`.
    pub is_transient: Option<bool>,
    /// Its statuses.
    pub statuses: Vec<FakeDeploymentStatus>,
}

/// New deployments have about this number today.
const FIRST_DEPLOYMENT: i64 = 5_000_000_000;

/// A deployment of a commit to `production`, without statuses. `number` is added to the numbers of today.
///
/// # Panics
/// If the time is invalid, because tests write it.
pub fn deployment(repository: &str, number: i64, sha: &str, created_at: &str) -> FakeDeployment {
    FakeDeployment {
        repository: repository.to_owned(),
        id: FIRST_DEPLOYMENT + number,
        sha: sha.to_owned(),
        environment: "production".to_owned(),
        created_at: at(created_at),
        is_production: None,
        is_transient: None,
        statuses: Vec::new(),
    }
}

impl FakeDeployment {
    /// To another environment.
    #[must_use]
    pub fn to(mut self, environment: &str) -> Self {
        environment.clone_into(&mut self.environment);
        self
    }

    /// With what its creator says about the environment.
    #[must_use]
    pub fn flagged(mut self, is_production: Option<bool>, is_transient: Option<bool>) -> Self {
        (self.is_production, self.is_transient) = (is_production, is_transient);
        self
    }

    /// With one more status.
    ///
    /// # Panics
    /// If the time is invalid, because tests write it.
    #[must_use]
    pub fn status(mut self, state: &str, created_at: &str) -> Self {
        let status = FakeDeploymentStatus { state: state.to_owned(), created_at: at(created_at), environment: None };
        self.statuses.push(status);
        self
    }

    /// With its latest status in another environment than its own.
    #[must_use]
    pub fn in_environment(mut self, environment: &str) -> Self {
        if let Some(status) = self.statuses.last_mut() {
            status.environment = Some(environment.to_owned());
        }
        self
    }

    /// When it last changed: also when a later deployment made it inactive.
    pub(crate) fn updated_at(&self) -> DateTime<Utc> {
        self.statuses.iter().map(|status| status.created_at).chain([self.created_at]).max().unwrap_or(self.created_at)
    }

    /// The environment that it was last said to be in.
    pub(crate) fn latest_environment(&self) -> &str {
        let last = self.statuses.iter().max_by_key(|status| status.created_at);
        last.and_then(|status| status.environment.as_deref()).unwrap_or(&self.environment)
    }

    /// When it first succeeded.
    fn succeeded_at(&self) -> Option<DateTime<Utc>> {
        self.statuses.iter().filter(|status| status.state == "success").map(|status| status.created_at).min()
    }

    /// The deployment with the `inactive` status that GitHub adds: a later success in the same environment ends a
    /// successful one, unless it is said to be of production or not to last.
    pub(crate) fn as_ended_by<'a>(&self, others: impl Iterator<Item = &'a Self>) -> Self {
        let mut ended = self.clone();
        let Some(succeeded_at) = self.succeeded_at() else { return ended };
        if self.is_production == Some(true) || self.is_transient == Some(true) {
            return ended;
        }
        let successes = others.filter(|it| it.environment == self.environment);
        let later =
            successes.filter_map(|it| Some((it.succeeded_at()?, it.id))).filter(|it| *it > (succeeded_at, self.id));
        if let Some((created_at, _)) = later.min() {
            let state = "inactive".to_owned();
            ended.statuses.push(FakeDeploymentStatus { state, created_at, environment: None });
        }
        ended
    }
}
