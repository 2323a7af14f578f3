//! Pull requests that could not be read or understood.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mergeline_domain::RepoName;
use serde::Serialize;

use crate::progress_columns::saturated;
use crate::session::Session;
use crate::{Reader, RepositoryId, StoreError, Writer};

/// A pull request that could not be read or understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// How it is identified.
    pub known_by: KnownBy,
    /// Why it could not be read or understood.
    pub reason: String,
    /// The earliest time at which it may have been opened; `None` when that is unknown.
    pub created_from: Option<DateTime<Utc>>,
}

/// The place of a row without a number in the list by creation. It does not change when earlier pull requests are
/// deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The number of the last readable row before it; 0 at the start of the list.
    pub after: i64,
    /// How many rows it is behind that one.
    pub rows: u32,
}

/// The next readable row behind a row without a number, in the list by creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Following {
    /// The number of the first readable row behind it.
    pub number: i64,
    /// How many rows that one is behind it.
    pub rows: u32,
}

/// How the collection identifies a pull request in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KnownBy {
    /// Its number.
    Number(i64),
    /// Its place in the list by creation, because GitHub does not show its number.
    Place {
        /// Where the row was last seen, from 1.
        position: u32,
        /// Its place.
        place: Place,
        /// The row that follows; `None` if there is none or it is unknown. If another row follows, it may be another
        /// pull request.
        following: Option<Following>,
    },
}

impl KnownBy {
    /// The key that people use for it.
    pub fn key(self) -> QuarantineKey {
        match self {
            Self::Number(number) => QuarantineKey::Number(number),
            Self::Place { position, .. } => QuarantineKey::Position(position),
        }
    }

    /// Its unique identity: a number or a place.
    fn unique(self) -> (Option<i64>, Option<Place>) {
        match self {
            Self::Number(number) => (Some(number), None),
            Self::Place { place, .. } => (None, Some(place)),
        }
    }

    fn following(self) -> Option<Following> {
        match self {
            Self::Number(_) => None,
            Self::Place { following, .. } => following,
        }
    }

    fn position(self) -> Option<i32> {
        match self {
            Self::Number(_) => None,
            Self::Place { position, .. } => Some(saturated(position)),
        }
    }
}

/// How people name a pull request in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QuarantineKey {
    /// Its number.
    Number(i64),
    /// Its position in the list by creation, from 1, because GitHub does not show its number.
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

/// A pull request in quarantine, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantineEntry {
    /// `owner/name`.
    pub repository: String,
    /// Its number; `None` if only its place is known.
    pub number: Option<i64>,
    /// Its last seen position in the list by creation, if its number is unknown.
    pub position: Option<i32>,
    /// Why it is in quarantine.
    pub reason: String,
    /// The earliest time at which it may have been opened, if known.
    pub created_from: Option<DateTime<Utc>>,
    /// When it was first seen.
    pub first_seen_at: DateTime<Utc>,
    /// When it was last requested.
    pub last_tried_at: DateTime<Utc>,
    /// When a person accepted that it is missing.
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

impl Reader {
    /// The pull requests in quarantine that are due for another attempt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantined(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<KnownBy>, StoreError> {
        // The pause doubles from an hour to two days.
        let query = sqlx::query!(
            "select number, position, after_number, rows_after, before_number, rows_before from quarantined_pull_requests
            where repository_id = $1 and last_tried_at <= $2::timestamptz - interval '1 hour' * least(2 ^ (attempts - 1), 48)
            order by last_tried_at, id
            limit $3",
            repository.0,
            now,
            i64::from(limit)
        );
        let rows = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        let known_by = rows.into_iter().filter_map(|row| {
            let by_place = || {
                let position = row.position?.unsigned_abs();
                let rows = row.rows_after.map_or(position, i32::unsigned_abs);
                let following = row.before_number.zip(row.rows_before);
                let following = following.map(|(number, rows)| Following { number, rows: rows.unsigned_abs() });
                Some(KnownBy::Place { position, place: Place { after: row.after_number, rows }, following })
            };
            row.number.map(KnownBy::Number).or_else(by_place)
        });
        Ok(known_by.collect())
    }

    /// The quarantined pull requests of the configured repositories, by repository and number. At most `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantine_entries(&self, limit: u32) -> Result<Vec<QuarantineEntry>, StoreError> {
        let query = sqlx::query_as!(
            QuarantineEntry,
            r#"select
                r.display_name as "repository!", q.number, q.position, q.reason, q.created_from,
                q.first_seen_at, q.last_tried_at, q.accepted_at
            from quarantined_pull_requests as q
            inner join repositories as r on q.repository_id = r.id
            where r.removed_at is null
            order by 1, q.number nulls last, q.position
            limit $1"#,
            i64::from(limit)
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }
}

impl Writer {
    /// Accepts that a pull request is missing, so that buckets are complete without it. Returns whether it is in
    /// quarantine.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accept_quarantined(
        &self,
        repository: &RepoName,
        key: QuarantineKey,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let (number, position) = match key {
            QuarantineKey::Number(number) => (Some(number), None),
            QuarantineKey::Position(position) => (None, Some(saturated(position))),
        };
        self.in_transaction(async |connection| {
            let meant = meant_by(&mut *connection, repository).await?;
            let accepted = sqlx::query_scalar!(
                "update quarantined_pull_requests
                set accepted_at = coalesce(accepted_at, $4)
                where repository_id = any($1) and (number = $2 or (number is null and position = $3))
                returning repository_id",
                &meant,
                number,
                position,
                now
            )
            .fetch_all(&mut *connection)
            .await?;
            // Invalidates earlier responses.
            sqlx::query!("update repositories set data_version = data_version + 1 where id = any($1)", &accepted)
                .execute(connection)
                .await?;
            Ok(!accepted.is_empty())
        })
        .await
    }
}

/// The configured repositories with this displayed name. The configured name counts only if no other repository has
/// that name now.
pub(crate) async fn meant_by(connection: &mut Session, name: &RepoName) -> Result<Vec<i64>, StoreError> {
    let meant = sqlx::query_scalar!(
        "select r.id from repositories as r
        where
            r.removed_at is null
            and (
                r.display_name = $1
                or (
                    r.name = $1
                    and not exists (select from repositories as o where o.removed_at is null and o.current_name = $1)
                )
            )",
        name.as_str()
    );
    Ok(meant.fetch_all(connection).await?)
}

/// Releases what could be read: these numbers, and these places in the list by creation.
pub(crate) async fn release_from_quarantine(
    connection: &mut Session,
    repository: RepositoryId,
    understood: &[i64],
    readable: &[Place],
) -> Result<u64, StoreError> {
    let (after, rows): (Vec<i64>, Vec<i32>) = readable.iter().map(|place| (place.after, saturated(place.rows))).unzip();
    let released = sqlx::query!(
        "delete from quarantined_pull_requests
        where
            repository_id = $1
            and (
                number = any($2)
                or (number is null and (after_number, rows_after) in (select * from unnest($3::bigint [], $4::integer [])))
            )",
        repository.0,
        understood,
        &after,
        &rows
    )
    .execute(connection)
    .await?;
    Ok(released.rows_affected())
}

/// Removes rows that are known only by their place and were not found there since the list was read.
pub(crate) async fn forget_places(
    connection: &mut Session,
    repository: RepositoryId,
    read_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "delete from quarantined_pull_requests where repository_id = $1 and number is null and last_tried_at < $2",
        repository.0,
        read_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Quarantines what could not be read.
pub(crate) async fn quarantine(
    connection: &mut Session,
    repository: RepositoryId,
    undecodable: &[Undecodable],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    // One statement must not touch a row twice.
    let items: BTreeMap<(Option<i64>, Option<Place>), &Undecodable> =
        undecodable.iter().map(|item| (item.known_by.unique(), item)).collect();
    if items.is_empty() {
        return Ok(());
    }
    let numbers: Vec<Option<i64>> = items.keys().map(|(number, _)| *number).collect();
    let positions: Vec<Option<i32>> = items.values().map(|item| item.known_by.position()).collect();
    let places = || items.keys().map(|(_, place)| place.as_ref());
    let after: Vec<Option<i64>> = places().map(|place| place.map(|place| place.after)).collect();
    let rows: Vec<Option<i32>> = places().map(|place| place.map(|place| saturated(place.rows))).collect();
    let following = || items.values().map(|item| item.known_by.following());
    let before: Vec<Option<i64>> = following().map(|following| following.map(|following| following.number)).collect();
    let rows_before: Vec<Option<i32>> =
        following().map(|following| following.map(|following| saturated(following.rows))).collect();
    let reasons: Vec<&str> = items.values().map(|item| item.reason.as_str()).collect();
    let created_from: Vec<_> = items.values().map(|item| item.created_from).collect();
    sqlx::query_file!(
        "queries/quarantine.sql",
        repository.0,
        &numbers as &[Option<i64>],
        &positions as &[Option<i32>],
        &after as &[Option<i64>],
        &rows as &[Option<i32>],
        &reasons as &[&str],
        &created_from as &[Option<DateTime<Utc>>],
        now,
        &before as &[Option<i64>],
        &rows_before as &[Option<i32>]
    )
    .execute(connection)
    .await?;
    Ok(())
}
