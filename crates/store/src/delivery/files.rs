//! The files that merged pull requests change, where services share a repository by paths. Only which services they belong to is
//! stored.

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::{ChangedFiles, PathPattern, PathRules, ServiceId};

use super::derive::{derive, lock_services};
use crate::attributions::hold_together;
use crate::repositories::{bump_data_version, renew_lease};
use crate::session::Session;
use crate::{Lease, Reader, RepositoryId, StoreError, Writer};

/// A merged pull request whose files must be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutFiles {
    /// Its GraphQL node ID.
    pub node_id: String,
    /// Its number in the repository.
    pub number: i64,
    /// How often they could not be read.
    pub failures: i16,
}

impl Reader {
    /// Merged pull requests whose files were not read since the paths of the services of their repository changed, the latest first.
    /// None where no service has paths.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn without_files(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<WithoutFiles>, StoreError> {
        let query = sqlx::query_as!(
            WithoutFiles,
            r#"with g as materialized (select paths_digest($1) as digest)
            select p.node_id as "node_id!", p.number, coalesce(f.failures, 0::smallint) as "failures!"
            from g
            inner join pull_requests as p on p.repository_id = $1
            left join pull_request_files as f on p.id = f.pull_request_id
            where
                g.digest is not null and p.merged_at is not null and p.deleted_at is null and p.node_id is not null
                and f.paths_digest is distinct from g.digest
                and (f.retry_at is null or f.retry_at <= $2)
            order by p.merged_at desc, p.id
            limit $3"#,
            repository.0,
            now,
            i64::from(limit)
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }
}

impl Reader {
    /// Whether services of a repository have paths, or pull requests are counted that were not compared with any.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_paths(&self, repository: RepositoryId) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar!(
            r#"select without_files <> 0 or paths_digest(id) is not null as "has_paths!" from repositories where id = $1"#,
            repository.0
        );
        self.with_deadline(async |connection| Ok(query.fetch_one(connection).await?)).await
    }
}

impl Writer {
    /// Stores which services pull requests belong to, by the ids that were asked for, and derives what follows. The paths are
    /// those in force now.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn store_files(
        &self,
        lease: &Lease,
        files: &[(String, ChangedFiles)],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let locked = lock_services(connection, &[lease.repository]).await?;
            let rules = path_rules(connection, lease.repository).await?;
            let (mut ids, mut incomplete) = (Vec::new(), Vec::new());
            let (mut pull_requests, mut services, mut touched) = (Vec::new(), Vec::new(), Vec::new());
            for (id, files) in files {
                ids.push(id.as_str());
                incomplete.push(!files.is_complete);
                for (ServiceId(service), is_touched) in rules.compared_with(files) {
                    pull_requests.push(id.as_str());
                    services.push(service);
                    touched.push(is_touched);
                }
            }
            sqlx::query!(
                "with g as materialized (select paths_digest($1) as digest)
                insert into pull_request_files (pull_request_id, paths_digest, is_incomplete)
                select p.id, g.digest, w.is_incomplete
                from g
                cross join unnest($2::text [], $3::boolean []) as w (node_id, is_incomplete)
                inner join pull_requests as p on w.node_id = p.node_id
                where p.repository_id + 0 = $1
                order by p.id
                on conflict (tenant_id, pull_request_id) do update
                set
                    paths_digest = excluded.paths_digest, is_incomplete = excluded.is_incomplete, failures = 0,
                    retry_at = null",
                lease.repository.0,
                &ids as &[&str],
                &incomplete
            )
            .execute(&mut *connection)
            .await?;
            sqlx::query!(
                "insert into pull_request_services (service_id, pull_request_id, is_touched, paths_revision)
                select s.id, p.id, w.is_touched, s.paths_revision
                from unnest($2::text [], $3::bigint [], $4::boolean []) as w (node_id, service_id, is_touched)
                inner join pull_requests as p on w.node_id = p.node_id
                inner join services as s on w.service_id = s.id
                where p.repository_id + 0 = $1
                order by 1, 2
                on conflict (tenant_id, service_id, pull_request_id) do update
                set is_touched = excluded.is_touched, paths_revision = excluded.paths_revision",
                lease.repository.0,
                &pull_requests as &[&str],
                &services,
                &touched
            )
            .execute(&mut *connection)
            .await?;
            derive(connection, &locked).await?;
            bump_data_version(connection, lease).await
        })
        .await
    }

    /// Notes how many merged pull requests of a repository were not compared with the paths in force, for answers to say so.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn note_without_files(&self, lease: &Lease, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            count_without_files(connection, Some(lease.repository)).await
        })
        .await
    }

    /// Delays the next attempt for pull requests whose files the source does not return: an hour, doubled up to two days.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn postpone_files(
        &self,
        lease: &Lease,
        node_ids: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            sqlx::query!(
                "insert into pull_request_files as f (pull_request_id, failures, retry_at)
                select p.id, 1, $3::timestamptz + interval '1 hour'
                from pull_requests as p
                where p.repository_id = $1 and p.node_id = any($2)
                on conflict (tenant_id, pull_request_id) do update
                set failures = least(f.failures, 30) + 1, retry_at = $3 + interval '1 hour' * least(2 ^ f.failures, 48)
                -- Said twice, it counts once.
                where f.retry_at is null or f.retry_at <= $3",
                lease.repository.0,
                node_ids,
                now
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }
}

/// Notes how many merged pull requests of some repositories, or of all, were not compared with the paths in force.
pub(super) async fn count_without_files(
    connection: &mut Session,
    repository: Option<RepositoryId>,
) -> Result<(), StoreError> {
    sqlx::query!(
        "with digests as materialized (
            select w.repository_id, string_agg(w.service_id || '@' || w.paths_revision, ' ' order by w.service_id) as digest
            from services_with_paths as w
            where w.is_collected and ($1::bigint is null or w.repository_id = $1)
            group by w.repository_id
        ),
        counted as (
            select d.repository_id, count(*)::integer as without_files
            from digests as d
            inner join pull_requests as p on d.repository_id = p.repository_id
            left join pull_request_files as f on p.id = f.pull_request_id
            where
                p.merged_at is not null and p.deleted_at is null and f.paths_digest is distinct from d.digest
            group by d.repository_id
        )
        update repositories as r set without_files = coalesce(c.without_files, 0)
        from repositories as o
        left join counted as c on o.id = c.repository_id
        where
            r.id = o.id and ($1::bigint is null or o.id = $1)
            and r.without_files <> coalesce(c.without_files, 0)",
        repository.map(|repository| repository.0)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The services that share a repository by paths.
async fn path_rules(connection: &mut Session, repository: RepositoryId) -> Result<PathRules, StoreError> {
    let rows = sqlx::query!(
        r#"select service_id as "id!", paths as "paths!" from services_with_paths
        where repository_id = $1 and is_collected"#,
        repository.0
    )
    .fetch_all(connection)
    .await?;
    let services = rows.into_iter().map(|row| {
        let patterns = row.paths.iter().map(|path| path.parse::<PathPattern>());
        // Only valid patterns are stored.
        let patterns = patterns.collect::<Result<_, _>>().map_err(|error| StoreError::Other(error.into()))?;
        Ok((ServiceId(row.id), patterns))
    });
    Ok(PathRules { services: services.collect::<Result<_, StoreError>>()? })
}
