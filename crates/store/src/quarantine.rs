//! Pull requests that could not be read or understood.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mergeline_domain::RepoName;
use serde::Serialize;

use crate::session::Session;
use crate::{RepositoryId, Store, StoreError};

/// A pull request that could not be read or understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// What it is known by.
    pub key: QuarantineKey,
    /// Why.
    pub reason: String,
    /// It was opened then or later; `None` when that is not known.
    pub created_from: Option<DateTime<Utc>>,
}

/// What a pull request in quarantine is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineKey {
    /// Its number.
    Number(i64),
    /// Its place in the list by creation, from 1: GitHub does not show its number.
    Position(u32),
}

impl std::fmt::Display for QuarantineKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "#{number}"),
            Self::Position(position) => write!(f, "@{position}"),
        }
    }
}

/// A pull request in quarantine, as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantineEntry {
    /// `owner/name`.
    pub repository: String,
    /// Its number; `None` where only its place is known.
    pub number: Option<i64>,
    /// Its place in the list by creation, where its number is not known.
    pub position: Option<i32>,
    /// Why.
    pub reason: String,
    /// It was opened then or later, as far as that is known.
    pub created_from: Option<DateTime<Utc>>,
    /// When it was first met.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last asked for.
    pub last_tried_at: DateTime<Utc>,
    /// When somebody accepted that it is missing.
    pub accepted_at: Option<DateTime<Utc>>,
}

impl QuarantineEntry {
    /// `owner/name#12`, or `owner/name@12` for a place in the list.
    pub fn name(&self) -> String {
        match (self.number, self.position) {
            (Some(number), _) => format!("{}#{number}", self.repository),
            (None, Some(position)) => format!("{}@{position}", self.repository),
            (None, None) => self.repository.clone(),
        }
    }
}

impl Store {
    /// The pull requests in quarantine that are due for another attempt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantined(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<QuarantineKey>, StoreError> {
        // The pause doubles from an hour to two days.
        let question = sqlx::query!(
            "select number, position from quarantined_pull_requests
            where repository_id = $1 and last_tried_at <= $2::timestamptz - interval '1 hour' * least(2 ^ (attempts - 1), 48)
            order by last_tried_at, id
            limit $3",
            repository.0,
            now,
            i64::from(limit)
        );
        let rows = self.patiently(async |connection| Ok(question.fetch_all(connection).await?)).await?;
        Ok(rows.into_iter().filter_map(|row| key(row.number, row.position)).collect())
    }

    /// When each pull request in quarantine was last asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantine_tries(&self, repository: RepositoryId) -> Result<Vec<DateTime<Utc>>, StoreError> {
        let question = sqlx::query_scalar!(
            "select last_tried_at from quarantined_pull_requests where repository_id = $1",
            repository.0
        );
        self.patiently(async |connection| Ok(question.fetch_all(connection).await?)).await
    }

    /// What is in quarantine of the configured repositories, by repository and number; so many at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantine_entries(&self, limit: u32) -> Result<Vec<QuarantineEntry>, StoreError> {
        let question = sqlx::query_as!(
            QuarantineEntry,
            r#"select
                coalesce(r.current_name, r.name) as "repository!", q.number, q.position, q.reason, q.created_from,
                q.first_seen_at, q.last_tried_at, q.accepted_at
            from quarantined_pull_requests as q
            inner join repositories as r on q.repository_id = r.id
            where r.removed_at is null
            order by 1, q.number nulls last, q.position
            limit $1"#,
            i64::from(limit)
        );
        self.patiently(async |connection| Ok(question.fetch_all(connection).await?)).await
    }

    /// Accepts that a pull request is missing, so that buckets are complete without it. Says whether it is in quarantine.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accept_quarantined(
        &self,
        repository: &RepoName,
        key: QuarantineKey,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let (number, position) = columns(key);
        self.in_transaction(async |connection| {
            let accepted = sqlx::query_scalar!(
                "update quarantined_pull_requests as q
                set accepted_at = coalesce(q.accepted_at, $4)
                from repositories as r
                where
                    q.repository_id = r.id and r.removed_at is null and (r.name = $1 or r.current_name = $1)
                    and (q.number = $2 or (q.number is null and q.position = $3))
                returning r.id",
                repository.as_str(),
                number,
                position,
                now
            )
            .fetch_all(&mut *connection)
            .await?;
            // Answers that were made before are old.
            sqlx::query!("update repositories set data_version = data_version + 1 where id = any($1)", &accepted)
                .execute(connection)
                .await?;
            Ok(!accepted.is_empty())
        })
        .await
    }
}

fn key(number: Option<i64>, position: Option<i32>) -> Option<QuarantineKey> {
    match (number, position) {
        (Some(number), _) => Some(QuarantineKey::Number(number)),
        (None, Some(position)) => Some(QuarantineKey::Position(position.unsigned_abs())),
        (None, None) => None,
    }
}

fn columns(key: QuarantineKey) -> (Option<i64>, Option<i32>) {
    match key {
        QuarantineKey::Number(number) => (Some(number), None),
        QuarantineKey::Position(position) => (None, Some(i32::try_from(position).unwrap_or(i32::MAX))),
    }
}

/// Takes out what could be read: these numbers, and these places in the list by creation.
pub(crate) async fn release_from_quarantine(
    connection: &mut Session,
    repository: RepositoryId,
    understood: &[i64],
    readable: &[u32],
) -> Result<(), StoreError> {
    let readable: Vec<i32> = readable.iter().filter_map(|position| i32::try_from(*position).ok()).collect();
    sqlx::query!(
        "delete from quarantined_pull_requests
        where repository_id = $1 and (number = any($2) or (number is null and position = any($3)))",
        repository.0,
        understood,
        &readable
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts in what could not be read.
pub(crate) async fn quarantine(
    connection: &mut Session,
    repository: RepositoryId,
    undecodable: &[Undecodable],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // One statement must not touch a row twice.
    let items: BTreeMap<QuarantineKey, &Undecodable> = undecodable.iter().map(|item| (item.key, item)).collect();
    if items.is_empty() {
        return Ok(());
    }
    let (numbers, positions): (Vec<_>, Vec<_>) = items.keys().map(|key| columns(*key)).unzip();
    let reasons: Vec<&str> = items.values().map(|item| item.reason.as_str()).collect();
    let created_from: Vec<_> = items.values().map(|item| item.created_from).collect();
    sqlx::query_file!(
        "queries/quarantine.sql",
        repository.0,
        &numbers as &[Option<i64>],
        &positions as &[Option<i32>],
        &reasons as &[&str],
        &created_from as &[Option<DateTime<Utc>>],
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}
