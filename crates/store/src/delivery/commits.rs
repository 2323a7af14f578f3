//! Stores the commits that deployments contain.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::Oid;
use mergeline_source::CommitRecord;

use super::deployments::stored_oid;
use super::derive::{derive, lock_services};
use crate::attributions::hold_together;
use crate::repositories::renew_lease;
use crate::session::Session;
use crate::{Lease, Reader, RepositoryId, StoreError, Writer};

/// A commit that must be read, with its ancestors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCommit {
    /// The commit.
    pub oid: Oid,
    /// Ancestors that are older than this are not needed; `None` while it is unknown.
    pub floor: Option<DateTime<Utc>>,
}

impl Reader {
    /// The next commit to read of a repository; `None` when everything that deployments to production contain is stored.
    /// First that of the oldest deployment, which is as far as the others have to be read, then the newest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_open_commit(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
    ) -> Result<Option<OpenCommit>, StoreError> {
        let query = sqlx::query_file!("queries/next_open_commit.sql", repository.0, now);
        let row = self.with_deadline(async |connection| Ok(query.fetch_optional(connection).await?)).await?;
        row.map(|row| Ok(OpenCommit { oid: stored_oid(&row.oid)?, floor: row.floor })).transpose()
    }

    /// Which of these commits of a repository are stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stored_commits(&self, repository: RepositoryId, oids: &[Oid]) -> Result<HashSet<Oid>, StoreError> {
        let oids: Vec<Vec<u8>> = oids.iter().map(|oid| oid.as_bytes().to_vec()).collect();
        let query = sqlx::query_scalar!(
            "select oid from commits where repository_id = $1 and oid = any($2)",
            repository.0,
            &oids
        );
        let stored = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        stored.iter().map(|oid| stored_oid(oid)).collect()
    }
}

impl Writer {
    /// Stores commits and derives what follows from them, in one transaction. Parents that are not among them, nor stored
    /// before, are open. Returns how many are new.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn store_commits(
        &self,
        lease: &Lease,
        commits: &[CommitRecord],
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        let columns = Columns::of(commits);
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let services = lock_services(connection, &[lease.repository]).await?;
            let new = write(connection, lease.repository, &columns).await?;
            if new > 0 {
                derive(connection, &services).await?;
            }
            Ok(new)
        })
        .await
    }

    /// Notes that the source does not have a commit. It is asked again after one day and after two more, then never.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn note_missing_commit(&self, lease: &Lease, oid: &Oid, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let services = lock_services(connection, &[lease.repository]).await?;
            sqlx::query!(
                "insert into open_commits as o (repository_id, oid, failures, retry_at)
                values ($1, $2, 1, $3::timestamptz + interval '1 day')
                on conflict (tenant_id, repository_id, oid) do update
                set
                    failures = o.failures + 1,
                    retry_at = case when o.failures = 0 then $3::timestamptz + interval '1 day'
                        when o.failures = 1 then $3::timestamptz + interval '2 days' end
                -- Said twice, it counts once.
                where o.retry_at <= $3",
                lease.repository.0,
                oid.as_bytes(),
                now
            )
            .execute(&mut *connection)
            .await?;
            derive(connection, &services).await
        })
        .await
    }
}

/// Commits, as columns for one statement.
#[derive(Default)]
struct Columns {
    oids: Vec<Vec<u8>>,
    /// An array of arrays cannot be ragged: the parents of a commit in a row.
    parents: Vec<Vec<u8>>,
    committed_at: Vec<DateTime<Utc>>,
    /// All parents once.
    parent_oids: Vec<Vec<u8>>,
    parents_committed_at: Vec<DateTime<Utc>>,
    lengths: Vec<i32>,
}

impl Columns {
    fn of(commits: &[CommitRecord]) -> Self {
        let mut columns = Self::default();
        let (mut own, mut of_parents) = (HashSet::new(), HashSet::new());
        for commit in commits {
            if !own.insert(&commit.oid) {
                continue;
            }
            columns.oids.push(commit.oid.as_bytes().to_vec());
            columns.parents.push(commit.parents.iter().flat_map(|(oid, _)| oid.as_bytes().to_vec()).collect());
            columns.lengths.push(i32::try_from(commit.oid.as_bytes().len()).unwrap_or_default());
            columns.committed_at.push(commit.committed_at);
            for (parent, committed_at) in &commit.parents {
                if of_parents.insert(parent) {
                    columns.parent_oids.push(parent.as_bytes().to_vec());
                    columns.parents_committed_at.push(*committed_at);
                }
            }
        }
        columns
    }
}

/// Writes commits, and opens their parents that are not stored. Returns how many are new.
async fn write(connection: &mut Session, repository: RepositoryId, columns: &Columns) -> Result<usize, StoreError> {
    let new = sqlx::query!(
        "insert into commits (repository_id, oid, parents, committed_at)
        select
            $1, c.oid,
            array(
                select substring(c.parents from n * c.length + 1 for c.length)
                from generate_series(0, length(c.parents) / c.length - 1) as n
                order by n
            ),
            c.committed_at
        from unnest($2::bytea [], $3::bytea [], $4::integer [], $5::timestamptz []) as c (oid, parents, length, committed_at)
        order by c.oid
        on conflict (tenant_id, repository_id, oid) do nothing",
        repository.0,
        &columns.oids,
        &columns.parents,
        &columns.lengths,
        &columns.committed_at
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from open_commits where repository_id = $1 and oid = any($2)", repository.0, &columns.oids)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into open_commits (repository_id, oid, committed_at)
        select $1, p.oid, p.committed_at
        from unnest($2::bytea [], $3::timestamptz []) as p (oid, committed_at)
        where not exists (select from commits as c where c.repository_id = $1 and c.oid = p.oid)
        order by p.oid
        on conflict (tenant_id, repository_id, oid) do update
        set committed_at = excluded.committed_at, failures = 0, retry_at = '-infinity'
        where open_commits.committed_at is null",
        repository.0,
        &columns.parent_oids,
        &columns.parents_committed_at
    )
    .execute(connection)
    .await?;
    Ok(usize::try_from(new.rows_affected()).unwrap_or(usize::MAX))
}
