//! How far the lists of a repository's deployments are read.

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::DeploymentSource;
use mergeline_domain::progress::Cursor;
use mergeline_source::Etag;

use super::reported::DeploymentList;
use crate::repositories::renew_lease;
use crate::session::Session;
use crate::{Lease, Reader, RepositoryId, StoreError, Writer};

/// How far a list of a repository's deployments is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeploymentProgress {
    /// The version of the list's first page.
    pub etag: Option<Etag>,
    /// The first reading of the list, until it is done.
    pub reading: Option<DeploymentReading>,
    /// Everything that was created since then is stored; `None` before the list was read.
    pub covered_since: Option<DateTime<Utc>>,
    /// What was created before is listed completely; `None` before the list was read.
    pub listed_at: Option<DateTime<Utc>>,
    /// When the last complete reading of list, states and commits started.
    pub read_at: Option<DateTime<Utc>>,
    /// Why they could not be read at the last attempt.
    pub problem: Option<DeploymentProblem>,
}

impl DeploymentProgress {
    /// The first reading of the list is done, which started then. What it has is complete only with its states and commits.
    pub fn is_listed(&mut self, since: DateTime<Utc>, started_at: DateTime<Utc>, etag: Option<Etag>) {
        self.covered_since = Some(since);
        self.listed_at = Some(started_at);
        (self.read_at, self.reading, self.etag) = (None, None, etag);
    }
}

/// The first reading of a list of deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentReading {
    /// How far back it goes.
    pub since: DateTime<Utc>,
    /// When it started. Deployments that are newer are read after it.
    pub started_at: DateTime<Utc>,
    /// Where it continues; `None` at the start of the list.
    pub cursor: Option<Cursor>,
}

/// Why deployments could not be read. Pull requests are not affected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentProblem {
    /// A stable code.
    pub code: String,
    /// A sentence.
    pub message: String,
}

impl Reader {
    /// How far a list of a repository's deployments is read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployment_progress(
        &self,
        repository: RepositoryId,
        list: &DeploymentList,
    ) -> Result<DeploymentProgress, StoreError> {
        let query = sqlx::query!(
            "select etag, etag_scope, reading_since, reading_started_at, reading_cursor, covered_since, listed_at, read_at,
                problem, problem_message
            from (
                select
                    etag, etag_scope, reading_since, reading_started_at, reading_cursor, covered_since, listed_at, read_at,
                    problem, problem_message, repository_id, $2::text as source, $3::text as list
                from deployment_progress
                where $2 = 'github-deployments'
                union all
                select
                    etag, etag_scope, reading_since, reading_started_at, reading_cursor, covered_since, listed_at, read_at,
                    problem, problem_message, repository_id, source, list
                from deployment_lists
            ) as p
            where repository_id = $1 and source = $2 and list = $3",
            repository.0,
            <&str>::from(list.source),
            list.name
        );
        let row = self.with_deadline(async |connection| Ok(query.fetch_optional(connection).await?)).await?;
        let Some(row) = row else { return Ok(DeploymentProgress::default()) };
        let started = row.reading_since.zip(row.reading_started_at);
        Ok(DeploymentProgress {
            etag: row.etag.zip(row.etag_scope).map(|(value, scope)| Etag { value, scope }),
            reading: started.map(|(since, started_at)| DeploymentReading {
                since,
                started_at,
                cursor: row.reading_cursor.map(Cursor),
            }),
            covered_since: row.covered_since,
            listed_at: row.listed_at,
            read_at: row.read_at,
            problem: row.problem.zip(row.problem_message).map(|(code, message)| DeploymentProblem { code, message }),
        })
    }
}

impl Writer {
    /// Stores how far a list of a repository's deployments is read. Storing the same again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn store_deployment_progress(
        &self,
        lease: &Lease,
        list: &DeploymentList,
        progress: &DeploymentProgress,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            renew_lease(connection, lease, now).await?;
            write_progress(connection, lease.repository, list, progress).await
        })
        .await
    }
}

/// Replaces the progress of a list. Only a change of what is covered, or of the problem, changes responses.
pub(super) async fn write_progress(
    connection: &mut Session,
    repository: RepositoryId,
    list: &DeploymentList,
    progress: &DeploymentProgress,
) -> Result<(), StoreError> {
    if list.source == DeploymentSource::GithubDeployments {
        return write_progress_of_deployments(connection, repository, progress).await;
    }
    let DeploymentProgress { etag, reading, covered_since, listed_at, read_at, problem } = progress;
    sqlx::query!(
        "insert into deployment_lists (
            repository_id, etag, etag_scope, reading_since, reading_started_at, reading_cursor, covered_since, listed_at,
            read_at, problem, problem_message, source, list
        ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        on conflict (tenant_id, repository_id, source, list) do update
        set
            etag = excluded.etag,
            etag_scope = excluded.etag_scope,
            reading_since = excluded.reading_since,
            reading_started_at = excluded.reading_started_at,
            reading_cursor = excluded.reading_cursor,
            covered_since = excluded.covered_since,
            listed_at = excluded.listed_at,
            read_at = excluded.read_at,
            problem = excluded.problem,
            problem_message = excluded.problem_message",
        repository.0,
        etag.as_ref().map(|etag| etag.value.as_str()),
        etag.as_ref().map(|etag| etag.scope.as_str()),
        reading.as_ref().map(|reading| reading.since),
        reading.as_ref().map(|reading| reading.started_at),
        reading.as_ref().and_then(|reading| reading.cursor.as_ref()).map(|cursor| cursor.0.as_str()),
        *covered_since,
        *listed_at,
        *read_at,
        problem.as_ref().map(|problem| problem.code.as_str()),
        problem.as_ref().map(|problem| problem.message.as_str()),
        <&str>::from(list.source),
        list.name
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The same of GitHub's list of deployments, which has a table of its own.
async fn write_progress_of_deployments(
    connection: &mut Session,
    repository: RepositoryId,
    progress: &DeploymentProgress,
) -> Result<(), StoreError> {
    let DeploymentProgress { etag, reading, covered_since, listed_at, read_at, problem } = progress;
    sqlx::query!(
        "insert into deployment_progress (
            repository_id, etag, etag_scope, reading_since, reading_started_at, reading_cursor, covered_since, listed_at,
            read_at, problem, problem_message
        ) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        on conflict (tenant_id, repository_id) do update
        set
            etag = excluded.etag,
            etag_scope = excluded.etag_scope,
            reading_since = excluded.reading_since,
            reading_started_at = excluded.reading_started_at,
            reading_cursor = excluded.reading_cursor,
            covered_since = excluded.covered_since,
            listed_at = excluded.listed_at,
            read_at = excluded.read_at,
            problem = excluded.problem,
            problem_message = excluded.problem_message",
        repository.0,
        etag.as_ref().map(|etag| etag.value.as_str()),
        etag.as_ref().map(|etag| etag.scope.as_str()),
        reading.as_ref().map(|reading| reading.since),
        reading.as_ref().map(|reading| reading.started_at),
        reading.as_ref().and_then(|reading| reading.cursor.as_ref()).map(|cursor| cursor.0.as_str()),
        *covered_since,
        *listed_at,
        *read_at,
        problem.as_ref().map(|problem| problem.code.as_str()),
        problem.as_ref().map(|problem| problem.message.as_str())
    )
    .execute(connection)
    .await?;
    Ok(())
}
