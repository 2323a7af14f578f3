//! Stores deployments that are listed with their ends: runs of workflows, releases and tags, and merges.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::{
    DeploymentSource, DeploymentState, DeploymentStateKind, LISTED_ENVIRONMENT, Origin, ServiceId, SourceOptions,
};
use mergeline_source::ReportedDeployment;
use sqlx::types::Json;

use super::deployments::OutcomeColumns;
use super::derive::{begin_new, derive, lock_services};
use super::progress::{DeploymentProgress, write_progress};
use super::rules::RepositoryServices;
use crate::attributions::hold_together;
use crate::repositories::renew_lease;
use crate::revision::parse_stored;
use crate::session::Session;
use crate::{Lease, Reader, RepositoryId, StoreError, Writer};

/// A list of a source that has deployments of a repository's services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentList {
    /// The source.
    pub source: DeploymentSource,
    /// Which of its lists.
    pub name: String,
    /// What to ask for.
    pub options: SourceOptions,
}

impl Reader {
    /// The lists of deployments that are read for a repository.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployment_lists(&self, repository: RepositoryId) -> Result<Vec<DeploymentList>, StoreError> {
        let query = sqlx::query!(
            r#"select source as "source!", list as "list!", options as "options!: Json<SourceOptions>"
            from lists_of_repositories
            where repository_id = $1
            order by source, list"#,
            repository.0
        );
        let rows = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        let lists = rows.into_iter().map(|row| {
            let Json(options) = row.options;
            Ok(DeploymentList { source: parse_stored(&row.source)?, name: row.list, options })
        });
        lists.collect()
    }

    /// When the oldest run of a repository was created that has not ended and was started since an instant. One that is started
    /// again keeps its place in the list, which is that of its first attempt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn oldest_unfinished_run(
        &self,
        repository: RepositoryId,
        since: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let query = sqlx::query_scalar!(
            "select min(least(u.created_at, f.created_at))
            from deployments as u
            left join deployments as f
                on u.repository_id = f.repository_id and f.source = u.source
                and f.external_id = split_part(u.external_id, '/', 1) || '/1'
            where
                u.repository_id = $1 and u.source = 'github-actions' and u.outcome = 'unfinished' and u.created_at >= $2
                and u.deleted_at is null",
            repository.0,
            since
        );
        self.with_deadline(async |connection| Ok(query.fetch_one(connection).await?)).await
    }

    /// Whether releases of a repository are stored, or also tags.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_releases(&self, repository: RepositoryId, or_tags: bool) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar!(
            r#"select exists (
                select from deployments
                where
                    repository_id = $1 and source = 'github-releases' and deleted_at is null
                    and ($2 or origin ->> 'kind' <> 'tag')
            ) as "has_some!""#,
            repository.0,
            or_tags
        );
        self.with_deadline(async |connection| Ok(query.fetch_one(connection).await?)).await
    }

    /// Which of these deployments of a repository are stored with their ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ended_deployments(
        &self,
        repository: RepositoryId,
        source: DeploymentSource,
        ids: &[String],
    ) -> Result<BTreeSet<String>, StoreError> {
        let query = sqlx::query_scalar!(
            "select external_id from deployments
            where repository_id = $1 and source = $2 and external_id = any($3) and outcome <> 'unfinished'",
            repository.0,
            <&str>::from(source),
            ids
        );
        let ids = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        Ok(ids.into_iter().collect())
    }

    /// The stored pull requests of a repository that were merged into a branch since an instant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn merges(
        &self,
        repository: RepositoryId,
        branch: &str,
        since: DateTime<Utc>,
    ) -> Result<Merges, StoreError> {
        let query = sqlx::query!(
            r#"select
                external_id, number, merged_at as "merged_at!", merge_commit,
                -- What was read before the merge does not have its commit.
                coalesce(detailed_at >= merged_at, false) as "has_details!"
            from pull_requests
            where
                repository_id = $1 and merged_at >= $3 and deleted_at is null and (base_ref = $2 or base_ref is null)
            order by number"#,
            repository.0,
            branch,
            since
        );
        let rows = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        let is_missing_some = rows.iter().any(|row| !row.has_details);
        let deployments = rows.into_iter().filter(|row| row.has_details).map(|row| ReportedDeployment {
            // Its number is that of another one in another repository.
            id: row.external_id.into(),
            origin: Origin::Merge { branch: branch.to_owned() },
            commit: row.merge_commit.and_then(|oid| oid.parse().ok()),
            created_at: row.merged_at,
            end: Some(DeploymentState { at: row.merged_at, kind: DeploymentStateKind::Success }),
            version: Some(format!("#{}", row.number)),
            url: None,
        });
        Ok(Merges { deployments: deployments.collect(), is_missing_some })
    }
}

/// The merges of a repository into a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merges {
    /// Each of them as a deployment of its merge commit.
    pub deployments: Vec<ReportedDeployment>,
    /// Whether the details of some pull requests are missing, without which a merge commit is not known.
    pub is_missing_some: bool,
}

/// What a list has.
#[derive(Debug, Clone, Copy)]
pub struct Reported<'a> {
    /// The list.
    pub list: &'a DeploymentList,
    /// What was read of it.
    pub deployments: &'a [ReportedDeployment],
    /// Everything of it that was created since then was read: what is stored and missing there does not exist any more. `None` if
    /// what is missing may only be forgotten.
    pub complete_since: Option<DateTime<Utc>>,
}

impl Writer {
    /// Stores what was read of a list, with the progress of its reading, and derives what follows, in one transaction. Storing the
    /// same again changes nothing. What a deployment was first known by stays: its commit and its end. Returns how many are new or
    /// different.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn store_reported(
        &self,
        lease: &Lease,
        reported: Reported<'_>,
        progress: &DeploymentProgress,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        let Reported { list, deployments, complete_since } = reported;
        let deployments: BTreeMap<&str, &ReportedDeployment> =
            deployments.iter().map(|it| (it.id.as_str(), it)).collect();
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let mut services = lock_services(connection, &[lease.repository]).await?;
            let rules = RepositoryServices::read(connection, lease.repository).await?;
            let mut columns = Columns::default();
            for deployment in deployments.values() {
                columns.add(deployment, &rules);
            }
            let mut changed = write(connection, lease.repository, list.source, &columns).await?;
            if let Some(since) = complete_since {
                let listed: Vec<String> = deployments.keys().map(|&id| id.to_owned()).collect();
                changed.extend(mark_deleted(connection, lease.repository, list, &listed, since, now).await?);
            }
            if list.source == DeploymentSource::Merges {
                changed.extend(mark_deleted_merges(connection, lease.repository, now).await?);
            }
            if !changed.is_empty() {
                settle(connection, &changed).await?;
                begin_new(connection, &mut services, &columns.services).await?;
                derive(connection, &services).await?;
            }
            write_progress(connection, lease.repository, list, progress).await?;
            Ok(changed.len())
        })
        .await
    }
}

/// Deployments, as columns for one statement.
#[derive(Default)]
struct Columns {
    services: Vec<i64>,
    groups: Vec<String>,
    ids: Vec<String>,
    origins: Vec<serde_json::Value>,
    versions: Vec<Option<String>>,
    urls: Vec<Option<String>>,
    created_at: Vec<DateTime<Utc>>,
    oids: Vec<Option<Vec<u8>>>,
    states: Vec<Option<&'static str>>,
    ended_at: Vec<Option<DateTime<Utc>>>,
}

impl Columns {
    fn add(&mut self, deployment: &ReportedDeployment, rules: &RepositoryServices) {
        // A repository that was removed in the meantime is no service.
        let Some((ServiceId(service), group)) = rules.service_of_listed(&deployment.origin) else { return };
        self.services.push(service);
        self.groups.push(group.to_string());
        self.ids.push(deployment.id.to_string());
        // Texts and flags always serialize.
        self.origins.push(serde_json::to_value(&deployment.origin).unwrap_or_default());
        self.versions.push(deployment.version.clone());
        self.urls.push(deployment.url.clone());
        self.created_at.push(deployment.created_at);
        self.oids.push(deployment.commit.as_ref().map(|oid| oid.as_bytes().to_vec()));
        self.states.push(deployment.end.map(|end| end.kind.into()));
        self.ended_at.push(deployment.end.map(|end| end.at));
    }
}

/// Writes listed deployments with their ends. Returns those that are new or different.
async fn write(
    connection: &mut Session,
    repository: RepositoryId,
    source: DeploymentSource,
    columns: &Columns,
) -> Result<Vec<i64>, StoreError> {
    let changed = sqlx::query_file_scalar!(
        "queries/upsert_reported_deployments.sql",
        repository.0,
        <&str>::from(source),
        LISTED_ENVIRONMENT,
        &columns.services,
        &columns.groups,
        &columns.ids,
        &columns.origins,
        &columns.versions as &[Option<String>],
        &columns.urls as &[Option<String>],
        &columns.created_at,
        &columns.oids as &[Option<Vec<u8>>],
        &columns.states as &[Option<&str>],
        &columns.ended_at as &[Option<DateTime<Utc>>]
    )
    .fetch_all(connection)
    .await?;
    Ok(changed)
}

/// Marks what a list no longer has. Returns it.
async fn mark_deleted(
    connection: &mut Session,
    repository: RepositoryId,
    list: &DeploymentList,
    listed: &[String],
    since: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "update deployments set deleted_at = $5
        where
            repository_id = $1 and source = $2 and created_at >= $4 and deleted_at is null
            and external_id not in (select unnest($3::text []))
            and ($6 or origin ->> 'kind' <> 'tag')
        returning id",
        repository.0,
        <&str>::from(list.source),
        listed,
        since,
        now,
        list.options.tags
    )
    .fetch_all(connection)
    .await?)
}

/// Marks merges of pull requests that GitHub does not have any more. Returns them. What was pruned or erased here was merged all
/// the same.
async fn mark_deleted_merges(
    connection: &mut Session,
    repository: RepositoryId,
    now: DateTime<Utc>,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        "update deployments as d set deleted_at = $2
        from pull_requests as p
        where
            d.repository_id = $1 and d.source = 'merges' and d.deleted_at is null
            and p.repository_id = $1 and p.external_id = d.external_id and p.deleted_at is not null
        returning d.id",
        repository.0,
        now
    )
    .fetch_all(connection)
    .await?)
}

/// Derives the outcome of deployments from their states.
pub(super) async fn settle(connection: &mut Session, ids: &[i64]) -> Result<(), StoreError> {
    let rows = sqlx::query!(
        "select deployment_id, at, state from deployment_states where deployment_id = any($1) order by 1, 2, 3",
        ids
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut states: BTreeMap<i64, Vec<DeploymentState>> = BTreeMap::new();
    for row in rows {
        let state = DeploymentState { at: row.at, kind: parse_stored(&row.state)? };
        states.entry(row.deployment_id).or_default().push(state);
    }
    let (mut settled, mut outcomes) = (Vec::new(), Vec::new());
    let (mut succeeded_at, mut failed_at, mut failed_afterwards_at) = (Vec::new(), Vec::new(), Vec::new());
    for (id, states) in &states {
        let columns = OutcomeColumns::of(states);
        settled.push(*id);
        outcomes.push(columns.outcome);
        succeeded_at.push(columns.succeeded_at);
        failed_at.push(columns.failed_at);
        failed_afterwards_at.push(columns.failed_afterwards_at);
    }
    sqlx::query!(
        "update deployments as d
        set
            outcome = w.outcome, succeeded_at = w.succeeded_at, failed_at = w.failed_at,
            failed_afterwards_at = w.failed_afterwards_at
        from unnest($1::bigint [], $2::text [], $3::timestamptz [], $4::timestamptz [], $5::timestamptz [])
            as w (id, outcome, succeeded_at, failed_at, failed_afterwards_at)
        where d.id = w.id",
        &settled,
        &outcomes as &[&str],
        &succeeded_at as &[Option<DateTime<Utc>>],
        &failed_at as &[Option<DateTime<Utc>>],
        &failed_afterwards_at as &[Option<DateTime<Utc>>]
    )
    .execute(connection)
    .await?;
    Ok(())
}
