//! What a Lambda invocation of the collector does.

use chrono::{DateTime, Utc};
use lambda_runtime::Diagnostic;
use mergeline_domain::{Problems, with_causes};
use mergeline_github::GitHub;
use mergeline_store::{ApplyError, Store};
use serde::{Deserialize, Serialize};

use crate::{CollectError, CollectOptions, RunReport, Settings, collect, configure};

/// The collector with its clients, built once and used by every invocation of a sandbox.
#[derive(Debug)]
pub struct Collector {
    settings: Settings,
    github: GitHub,
    store: Store,
    clock: fn() -> DateTime<Utc>,
}

/// What an invocation may ask for. A schedule's event has no `action`: it asks for a collection.
#[derive(Debug, Default, Deserialize)]
struct Event {
    #[serde(default)]
    action: Action,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    #[default]
    Collect,
    Migrate,
}

/// What an invocation answers.
#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Outcome {
    /// A run was done.
    Collect(RunReport),
    /// The schema is up to date.
    Migrate,
}

/// Why an invocation failed: a code that alarms can tell apart, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct FunctionError {
    /// The code.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}

impl FunctionError {
    fn new(code: &str, message: impl std::fmt::Display) -> Self {
        Self { code: code.to_owned(), message: message.to_string() }
    }
}

impl From<FunctionError> for Diagnostic {
    fn from(error: FunctionError) -> Self {
        Self { error_type: error.code, error_message: error.message }
    }
}

impl From<Problems> for FunctionError {
    fn from(problems: Problems) -> Self {
        let code = problems.list.first().map_or("config", |problem| problem.code);
        Self::new(code, &problems)
    }
}

impl From<ApplyError> for FunctionError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Problems(problems) => problems.into(),
            ApplyError::TooManyRemovals { .. } => Self::new("config.too_many_removals", error),
            ApplyError::Store(error) => Self::new(error.code(), with_causes(&error)),
        }
    }
}

impl From<CollectError> for FunctionError {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::NotConfigured(problem) => Problems::from(*problem).into(),
            CollectError::Store(error) => Self::new(error.code(), with_causes(&error)),
        }
    }
}

impl Collector {
    /// Builds the clients. Nothing is connected yet.
    ///
    /// # Errors
    /// When the machine's TLS cannot be set up.
    pub fn new(settings: Settings, clock: fn() -> DateTime<Utc>) -> Result<Self, FunctionError> {
        let github =
            GitHub::connect(&settings.github).map_err(|error| FunctionError::new(error.code(), with_causes(&error)))?;
        let store = Store::connect(&settings.database);
        Ok(Self { settings, github, store, clock })
    }

    /// Does what an event asks for. A repository that fails does not fail the invocation: the ledger and the
    /// answer say so. Only what all repositories stand on does: database, configuration.
    ///
    /// # Errors
    /// [`FunctionError`] with the code of what failed.
    pub async fn handle(&self, event: serde_json::Value) -> Result<Outcome, FunctionError> {
        let event: Event = serde_json::from_value(event).map_err(|error| {
            FunctionError::new("event.unknown", format!("the event asks for something unknown: {error}"))
        })?;
        self.store.migrate().await.map_err(|error| FunctionError::new(error.code(), with_causes(&error)))?;
        match event.action {
            Action::Migrate => Ok(Outcome::Migrate),
            Action::Collect => {
                let now = (self.clock)();
                configure(&self.store, &self.settings.teams, self.settings.allow_removals, now).await?;
                let options =
                    CollectOptions { now, backfill: self.settings.backfill, concurrency: self.settings.concurrency };
                Ok(Outcome::Collect(collect(&self.github, &self.store, &options, &|_| {}).await?))
            }
        }
    }
}
