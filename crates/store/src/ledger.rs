//! What each run did, and to which repository.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use crate::{RepositoryId, Revision, Store, StoreError};

/// A run's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RunId(pub i64);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Every repository is complete.
    Succeeded,
    /// Some repositories failed, the others are complete.
    Partial,
    /// No repository is complete.
    Failed,
}

impl RunState {
    /// The state's name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Partial => "partial",
            Self::Failed => "failed",
        }
    }
}

/// Why a repository could not be collected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RepositoryError {
    /// A stable code.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// What a run did to one repository. `listed` is the sum of `kept` and the four reasons for skipping.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RepositoryResult {
    /// Why it failed, if it did.
    pub error: Option<RepositoryError>,
    /// How long it took.
    #[serde(rename = "duration_seconds", serialize_with = "as_seconds")]
    pub duration: Duration,
    /// Requests sent to GitHub.
    pub requests: u32,
    /// Pages read.
    pub pages: u32,
    /// Pull requests listed by GitHub.
    pub listed: u32,
    /// Pull requests of configured people.
    pub kept: u32,
    /// Skipped because the author's account is deleted.
    pub skipped_ghost: u32,
    /// Skipped because a bot wrote them.
    pub skipped_bot: u32,
    /// Skipped because the author is in no configured team.
    pub skipped_not_a_member: u32,
    /// Skipped because GitHub's answer could not be understood.
    pub skipped_undecodable: u32,
    /// Rows that are new or different.
    pub changed: u32,
    /// What GitHub said is left of the rate limit.
    pub rate_limit_remaining: Option<u32>,
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl Store {
    /// Opens a run in the ledger.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start_run(&self, revision: Revision, now: DateTime<Utc>) -> Result<RunId, StoreError> {
        let id = sqlx::query_scalar!(
            "insert into collection_runs (started_at, configuration_revision) values ($1, $2) returning id",
            now,
            revision.0
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(RunId(id))
    }

    /// Notes what a run did to one repository.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_result(
        &self,
        run: RunId,
        repository: RepositoryId,
        started_at: DateTime<Utc>,
        result: &RepositoryResult,
    ) -> Result<(), StoreError> {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let error_code = result.error.as_ref().map(|error| error.code);
        let error_message = result.error.as_ref().map(|error| error.message.as_str());
        sqlx::query!(
            "insert into collection_results (
                run_id, repository_id, state, error_code, error_message, started_at, duration_seconds,
                requests, pages, listed, kept, skipped_ghost, skipped_bot, skipped_not_a_member, skipped_undecodable,
                changed, rate_limit_remaining
            ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
            run.0,
            repository.0,
            if result.error.is_some() { "failed" } else { "succeeded" },
            error_code,
            error_message,
            started_at,
            result.duration.as_secs_f64(),
            count(result.requests),
            count(result.pages),
            count(result.listed),
            count(result.kept),
            count(result.skipped_ghost),
            count(result.skipped_bot),
            count(result.skipped_not_a_member),
            count(result.skipped_undecodable),
            count(result.changed),
            result.rate_limit_remaining.map(count)
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Closes a run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_run(&self, run: RunId, state: RunState, now: DateTime<Utc>) -> Result<(), StoreError> {
        sqlx::query!(
            "update collection_runs set finished_at = $2, state = $3 where id = $1",
            run.0,
            now,
            state.as_str()
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
