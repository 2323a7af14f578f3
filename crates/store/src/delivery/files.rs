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
            r#"select p.node_id as "node_id!", p.number
            from (select paths_digest($1) as digest) as g
            inner join pull_requests as p on g.digest is not null
            left join pull_request_files as f on p.id = f.pull_request_id
            where
                p.repository_id = $1 and p.merged_at is not null and p.deleted_at is null and p.node_id is not null
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
            let (mut pull_requests, mut services) = (Vec::new(), Vec::new());
            for (id, files) in files {
                ids.push(id.as_str());
                incomplete.push(!files.is_complete);
                for ServiceId(service) in rules.services_of(files) {
                    pull_requests.push(id.as_str());
                    services.push(service);
                }
            }
            sqlx::query!(
                "insert into pull_request_files (pull_request_id, paths_digest, is_incomplete)
                select p.id, paths_digest($1), w.is_incomplete
                from unnest($2::text [], $3::boolean []) as w (node_id, is_incomplete)
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
                "delete from pull_request_services as t
                using pull_requests as p
                where
                    t.pull_request_id = p.id and p.node_id = any($2) and p.repository_id + 0 = $1
                    and not exists (
                        select from unnest($3::text [], $4::bigint []) as w (node_id, service_id)
                        where p.node_id = w.node_id and t.service_id = w.service_id
                    )",
                lease.repository.0,
                &ids as &[&str],
                &pull_requests as &[&str],
                &services
            )
            .execute(&mut *connection)
            .await?;
            sqlx::query!(
                "insert into pull_request_services (service_id, pull_request_id)
                select w.service_id, p.id
                from unnest($2::text [], $3::bigint []) as w (node_id, service_id)
                inner join pull_requests as p on w.node_id = p.node_id
                where p.repository_id + 0 = $1
                order by 1, 2
                on conflict do nothing",
                lease.repository.0,
                &pull_requests as &[&str],
                &services
            )
            .execute(&mut *connection)
            .await?;
            derive(connection, &locked).await?;
            bump_data_version(connection, lease).await
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

/// The services that share a repository by paths.
async fn path_rules(connection: &mut Session, repository: RepositoryId) -> Result<PathRules, StoreError> {
    let rows = sqlx::query!(
        r#"select distinct s.id, s.paths as "paths!"
        from repositories as r
        inner join service_repositories as o on o.repository in (r.name, r.current_name)
        inner join services as s on o.service_id = s.id
        where r.id = $1 and s.paths is not null and s.archived_at is null"#,
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
