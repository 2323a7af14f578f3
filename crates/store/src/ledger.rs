//! What each run did, and to which repository.

use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, Serializer};

use crate::{RepositoryId, Revision, StoreError, Writer};

/// How many runs are deleted in one transaction. Each has one result per repository.
const RUNS_AT_ONCE: i64 = 50;

/// A run's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunId(pub i64);

/// Whether a run has ended, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RunState {
    /// It has not ended.
    Running,
    /// Every repository is complete.
    Succeeded,
    /// Nothing failed, and some repositories continue later.
    Deferred,
    /// Some repositories failed.
    Partial,
    /// Something failed, nothing is complete, and nothing continues later.
    Failed,
    /// It ended without recording its end, and a later run closed it.
    Interrupted,
}

impl RunState {
    /// The name in the ledger.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The state of a run after every repository was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Its state now.
    pub state: RunState,
    /// It is now at least partly complete, and was not before.
    pub completes: bool,
}

/// How the work on a repository ended in a run.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ResultState {
    /// It is complete.
    #[default]
    Succeeded,
    /// It continues later: a rate limit, the end of the time budget, or a pause after failures.
    Deferred,
    /// Another process is working on it.
    Busy,
    /// It failed.
    Failed,
}

impl ResultState {
    /// The name in the ledger.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why a repository is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// A stable code.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}

/// What a run did to one repository. `listed` is the sum of `kept`, `quarantined` and the three reasons for skipping.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RepositoryResult {
    /// How it ended.
    pub state: ResultState,
    /// Why it is not complete, when it is not.
    pub reason: Option<Reason>,
    /// When it can continue, if it is deferred and that is known.
    pub deferred_until: Option<DateTime<Utc>>,
    /// How long it took.
    #[serde(rename = "duration_seconds", serialize_with = "as_seconds")]
    pub duration: Duration,
    /// How much of that was spent in the database.
    #[serde(rename = "database_seconds", serialize_with = "as_seconds")]
    pub database: Duration,
    /// Requests sent to GitHub's REST API.
    pub requests: u32,
    /// Requests sent to GitHub's GraphQL API.
    pub graphql_requests: u32,
    /// The points that those cost.
    pub graphql_points: u32,
    /// Requests without a usable response.
    pub api_errors: u32,
    /// Pages read.
    pub pages: u32,
    /// Whether GitHub said that nothing has changed.
    pub is_unchanged: bool,
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
    /// Put into quarantine because GitHub's response could not be understood.
    pub quarantined: u32,
    /// Rows that are new or different.
    pub changed: u32,
    /// Pull requests whose details were read.
    pub enriched: u32,
    /// Deployments that are new or different.
    pub deployments: u32,
    /// Incidents, and states of incidents, that are new or different. Not stored.
    pub incidents: u32,
    /// Commits that are new.
    pub commits: u32,
    /// Stored pull requests whose phases are unknown or older than their last change. Not stored.
    pub without_details: u32,
    /// What GitHub said is left of the rate limit.
    pub rate_limit_remaining: Option<u32>,
    /// The same in percent of the limit. Not stored.
    #[serde(skip)]
    pub rate_limit_percent: Option<u32>,
    /// When the token expires, if GitHub said so.
    pub token_expires_at: Option<DateTime<Utc>>,
}

fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl RepositoryResult {
    /// Whether anything was found that was not stored before.
    pub fn has_news(&self) -> bool {
        self.changed > 0 || self.deployments > 0 || self.incidents > 0
    }

    /// Adds the later part of the work, which decides how it ended.
    pub fn absorb(&mut self, later: Self) {
        let earlier = std::mem::replace(self, later);
        self.add_counts(&earlier);
    }

    /// Adds the counts and durations of another part of the work.
    pub fn add_counts(&mut self, earlier: &Self) {
        self.duration += earlier.duration;
        self.database += earlier.database;
        for (count, before) in [
            (&mut self.requests, earlier.requests),
            (&mut self.graphql_requests, earlier.graphql_requests),
            (&mut self.graphql_points, earlier.graphql_points),
            (&mut self.api_errors, earlier.api_errors),
            (&mut self.pages, earlier.pages),
            (&mut self.listed, earlier.listed),
            (&mut self.kept, earlier.kept),
            (&mut self.skipped_ghost, earlier.skipped_ghost),
            (&mut self.skipped_bot, earlier.skipped_bot),
            (&mut self.skipped_not_a_member, earlier.skipped_not_a_member),
            (&mut self.quarantined, earlier.quarantined),
            (&mut self.changed, earlier.changed),
            (&mut self.enriched, earlier.enriched),
            (&mut self.deployments, earlier.deployments),
            (&mut self.incidents, earlier.incidents),
            (&mut self.commits, earlier.commits),
        ] {
            *count += before;
        }
    }
}

impl Writer {
    /// Opens a run that plans to collect `planned` repositories.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn start_run(
        &self,
        revision: Revision,
        planned: usize,
        problems: &[String],
        now: DateTime<Utc>,
    ) -> Result<RunId, StoreError> {
        // Drawn once, so that a retry writes the same run.
        let drawn = OnceLock::new();
        self.in_transaction(async |connection| {
            let id = if let Some(id) = drawn.get() {
                *id
            } else {
                let number = sqlx::query_scalar!(
                    r#"select nextval(pg_get_serial_sequence('collection_runs', 'id')) as "number!""#
                );
                let id = number.fetch_one(&mut *connection).await?;
                *drawn.get_or_init(|| id)
            };
            sqlx::query!(
                "insert into collection_runs (id, started_at, configuration_revision, planned, problems)
                overriding system value values ($1, $2, $3, $4, $5)
                on conflict (tenant_id, id) do nothing",
                id,
                now,
                revision.0,
                i32::try_from(planned).unwrap_or(i32::MAX),
                problems
            )
            .execute(connection)
            .await?;
            Ok(RunId(id))
        })
        .await
    }

    /// Closes runs that never recorded their end: older than `age`, while no repository is leased.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close_interrupted_runs(&self, age: TimeDelta, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            sqlx::query!(
                "update collection_runs set finished_at = $1, state = 'interrupted'
                where
                    state = 'running' and started_at < $2
                    and not exists (select 1 from repositories where leased_until > $1)",
                now,
                now - age
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Records what a run did to one repository. For work that was delivered twice, the later result counts.
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
        let writer = fastrand::i64(..);
        self.in_transaction(async |connection| {
            sqlx::query_file!(
                "queries/record_result.sql",
                run.0,
                repository.0,
                result.state.as_str(),
                result.reason.as_ref().map(|reason| reason.code),
                result.reason.as_ref().map(|reason| reason.message.as_str()),
                result.deferred_until,
                started_at,
                result.duration.as_secs_f64(),
                count(result.requests),
                count(result.pages),
                count(result.listed),
                count(result.kept),
                count(result.skipped_ghost),
                count(result.skipped_bot),
                count(result.skipped_not_a_member),
                count(result.quarantined),
                count(result.changed),
                result.rate_limit_remaining.map(count),
                count(result.graphql_requests),
                count(result.graphql_points),
                count(result.enriched),
                result.is_unchanged,
                count(result.deployments),
                count(result.commits),
                writer
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Closes a run once every planned repository has a result, and updates its state when a repository was retried.
    /// Returns the state; `None` while results are missing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_run(&self, run: RunId, now: DateTime<Utc>) -> Result<Option<Settled>, StoreError> {
        self.in_transaction(async |connection| {
            // Locked, so that of two workers that end at the same time the later one sees both results.
            let planned = sqlx::query!(
                r#"select
                    planned, cardinality(problems) > 0 as "has_problems!",
                    -- What ended at this instant was ended by this call, and the answer was lost.
                    state in ('succeeded', 'deferred', 'partial') and finished_at is distinct from $2 as "was_complete!"
                from collection_runs where id = $1 for update"#,
                run.0,
                now
            )
            .fetch_one(&mut *connection)
            .await?;
            let counts = sqlx::query!(
                r#"select
                    count(*) as "all!",
                    count(*) filter (where state = 'failed') as "failed!",
                    count(*) filter (where state in ('deferred', 'busy')) as "deferred!"
                from collection_results where run_id = $1"#,
                run.0
            )
            .fetch_one(&mut *connection)
            .await?;
            if counts.all < i64::from(planned.planned) {
                return Ok(None);
            }
            let went_wrong = counts.failed > 0 || planned.has_problems;
            let complete = counts.all - counts.failed - counts.deferred;
            let state = match (went_wrong, complete, counts.deferred) {
                (true, 0, 0) => RunState::Failed,
                (true, ..) => RunState::Partial,
                (false, _, 0) => RunState::Succeeded,
                (false, ..) => RunState::Deferred,
            };
            sqlx::query!(
                "update collection_runs set finished_at = $2, state = $3 where id = $1",
                run.0,
                now,
                state.as_str()
            )
            .execute(&mut *connection)
            .await?;
            self.record_completed_weeks(connection, now).await?;
            Ok(Some(Settled { state, completes: state != RunState::Failed && !planned.was_complete }))
        })
        .await
    }

    /// Deletes the oldest runs that started before an instant, with their results, and events and records of what was posted from before it,
    /// in a batch small enough for a short transaction. Returns whether there may be more. Three kinds of runs stay: running ones, the last one, and those
    /// with a collected repository's latest result, because `status` shows it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn trim_ledger(&self, before: DateTime<Utc>) -> Result<bool, StoreError> {
        self.in_transaction(async |connection| {
            let gone =
                sqlx::query_file!("queries/trim_ledger.sql", before, RUNS_AT_ONCE).execute(&mut *connection).await?;
            let forgotten = sqlx::query!(
                "delete from events
                where id in (
                    select e.id from events as e
                    where
                        e.at < $1
                        -- The next week follows the last one.
                        and e.id <> (select coalesce(max(w.id), 0) from events as w where w.kind = 'week_completed')
                    order by e.id
                    limit $2
                )",
                before,
                RUNS_AT_ONCE
            )
            .execute(&mut *connection)
            .await?;
            let said = sqlx::query!(
                "delete from messages
                where id in (select m.id from messages as m where m.finished_at < $1 order by m.id limit $2)",
                before,
                RUNS_AT_ONCE
            )
            .execute(&mut *connection)
            .await?;
            let received = sqlx::query!(
                "delete from received_events
                where id in (select e.id from received_events as e where e.received_at < $1 order by e.received_at limit $2)",
                before,
                RUNS_AT_ONCE
            )
            .execute(connection)
            .await?;
            let is_full = |deleted: u64| deleted >= RUNS_AT_ONCE.unsigned_abs();
            Ok([gone, forgotten, said, received].iter().any(|deleted| is_full(deleted.rows_affected())))
        })
        .await
    }

    /// Closes a run that cannot continue, even if results are missing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fail_run(&self, run: RunId, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            sqlx::query!(
                "update collection_runs set finished_at = $2, state = 'failed' where id = $1 and state = 'running'",
                run.0,
                now
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }
}
