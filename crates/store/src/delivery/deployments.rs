//! Stores deployments and their states.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::delivery::{DeploymentOutcome, DeploymentState, Environment, EnvironmentGroup, Oid, ServiceId};
use mergeline_source::{ListedDeployment, ListedState};

use super::derive::{begin_new, derive, lock_services};
use super::progress::{DeploymentProgress, write_progress};
use super::reported::DeploymentList;
use super::rules::RepositoryServices;
use crate::attributions::hold_together;
use crate::repositories::renew_lease;
use crate::revision::parse_stored;
use crate::session::Session;
use crate::{Lease, Reader, RepositoryId, StoreError, Writer};

/// The source of deployments that a repository lists.
const OF_REPOSITORY: &str = "github-deployments";

/// A deployment whose states must be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedDeployment {
    /// The id by which they are read.
    pub node_id: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Reader {
    /// When the newest stored deployment of a repository was created.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn newest_deployment(&self, repository: RepositoryId) -> Result<Option<DateTime<Utc>>, StoreError> {
        let query = sqlx::query_scalar!(
            "select max(created_at) from deployments where repository_id = $1 and source = $2",
            repository.0,
            OF_REPOSITORY
        );
        self.with_deadline(async |connection| Ok(query.fetch_one(connection).await?)).await
    }

    /// Deployments whose states were not read since `now`, the newest first: those that never were, those that were last read
    /// within the remedy window after their creation or success, because a late failure counts, and after that once a day those
    /// without an end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployments_without_states(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
        limit: u32,
    ) -> Result<Vec<AskedDeployment>, StoreError> {
        let window = self.delivery_settings().await?.remedy_window();
        let query = sqlx::query_as!(
            AskedDeployment,
            r#"select node_id as "node_id!", created_at from deployments
            where
                repository_id = $1 and node_id is not null and deleted_at is null
                -- Previews end by the hundred, and no metric shows them.
                and environment_group <> 'transient'
                and (
                    states_read_at is null
                    or (
                        states_read_at < $2
                        and (
                            outcome = 'unfinished' and created_at > $3 and states_read_at < $2 - interval '20 hours'
                            or states_read_at < coalesce(succeeded_at, created_at) + make_interval(secs => $4)
                        )
                    )
                )
            order by created_at desc, id
            limit $5"#,
            repository.0,
            now,
            now - MAY_END_WITHIN,
            window.as_seconds_f64(),
            i64::from(limit)
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }

    /// The ids at the source of the stored deployments of a repository that were created since an instant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployments_since(
        &self,
        repository: RepositoryId,
        since: DateTime<Utc>,
    ) -> Result<BTreeSet<String>, StoreError> {
        let query = sqlx::query_scalar!(
            "select external_id from deployments
            where repository_id = $1 and source = $2 and created_at >= $3 and deleted_at is null",
            repository.0,
            OF_REPOSITORY,
            since
        );
        let ids = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        Ok(ids.into_iter().collect())
    }
}

/// One that has not ended by then never will.
const MAY_END_WITHIN: TimeDelta = TimeDelta::days(60);

impl Writer {
    /// Stores a page of a repository's list with the progress of its reading, in one transaction. Their states are read
    /// apart. Storing the same page again changes nothing. Returns how many rows are new or different.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn store_deployments(
        &self,
        lease: &Lease,
        deployments: &[ListedDeployment],
        progress: Option<(&DeploymentList, &DeploymentProgress)>,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        // One statement must not touch a row twice, and locks rows in a fixed order.
        let deployments: BTreeMap<&str, &ListedDeployment> =
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
            let changed = write(connection, lease.repository, &columns).await?;
            if changed > 0 {
                begin_new(connection, &mut services, &columns.services).await?;
                derive(connection, &services).await?;
            }
            if let Some((list, progress)) = progress {
                write_progress(connection, lease.repository, list, progress).await?;
            }
            Ok(changed)
        })
        .await
    }

    /// Stores the states of deployments, by the ids that their list gave for that, and derives what follows from them, in
    /// one transaction. States are only added. Returns how many deployments changed.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn store_deployment_states(
        &self,
        lease: &Lease,
        states: &[(String, Vec<ListedState>)],
        read_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let mut services = lock_services(connection, &[lease.repository]).await?;
            let rules = RepositoryServices::read(connection, lease.repository).await?;
            add_states(connection, lease.repository, states).await?;
            let ids: Vec<&str> = states.iter().map(|(id, _)| id.as_str()).collect();
            let (changed, settled_in) = settle(connection, lease.repository, &ids, Some(read_at), &rules).await?;
            if changed > 0 {
                // The environment of the last success may be that of another service.
                begin_new(connection, &mut services, &settled_in).await?;
                derive(connection, &services).await?;
            }
            Ok(changed)
        })
        .await
    }

    /// Stores a deployment that a delivery announced, with a state of it, and derives what follows, in one transaction. One that is known
    /// gets the state only, and one that the list no longer has not even that: the delivery is older. Its states are still to be read. Returns how many rows
    /// changed.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn store_announced(
        &self,
        lease: &Lease,
        deployment: &ListedDeployment,
        state: Option<&ListedState>,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        let states = [(deployment.states_id.clone(), state.cloned().into_iter().collect())];
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let mut services = lock_services(connection, &[lease.repository]).await?;
            let known = sqlx::query_scalar!(
                r#"select deleted_at is not null as "is_gone!"
                from deployments
                where repository_id = $1 and source = $2 and external_id = $3"#,
                lease.repository.0,
                OF_REPOSITORY,
                deployment.id.as_str()
            );
            let known = known.fetch_optional(&mut *connection).await?;
            if known == Some(true) {
                return Ok(0);
            }
            let rules = RepositoryServices::read(connection, lease.repository).await?;
            let mut columns = Columns::default();
            columns.add(deployment, &rules);
            // What the list has may be newer.
            let written = if known.is_none() { write(connection, lease.repository, &columns).await? } else { 0 };
            add_states(connection, lease.repository, &states).await?;
            let ids = [deployment.states_id.as_str()];
            let (settled, settled_in) = settle(connection, lease.repository, &ids, None, &rules).await?;
            if written + settled > 0 {
                begin_new(connection, &mut services, &columns.services).await?;
                begin_new(connection, &mut services, &settled_in).await?;
                derive(connection, &services).await?;
            }
            Ok(written + settled)
        })
        .await
    }

    /// Marks deployments, by their ids at the source, that it no longer has. They do not count, and return if it lists
    /// them again.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn mark_deployments_deleted(
        &self,
        lease: &Lease,
        source_ids: &[String],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let services = lock_services(connection, &[lease.repository]).await?;
            sqlx::query!(
                "update deployments set deleted_at = $4
                where repository_id = $1 and source = $2 and external_id = any($3) and deleted_at is null",
                lease.repository.0,
                OF_REPOSITORY,
                source_ids,
                now
            )
            .execute(&mut *connection)
            .await?;
            derive(connection, &services).await
        })
        .await
    }
}

/// Deployments, as columns for one statement.
#[derive(Default)]
struct Columns {
    services: Vec<i64>,
    ids: Vec<String>,
    states_ids: Vec<String>,
    environments: Vec<String>,
    groups: Vec<String>,
    is_production: Vec<Option<bool>>,
    is_transient: Vec<bool>,
    created_at: Vec<DateTime<Utc>>,
    oids: Vec<Option<Vec<u8>>>,
}

impl Columns {
    fn add(&mut self, deployment: &ListedDeployment, rules: &RepositoryServices) {
        let ListedDeployment { environment: name, is_production, is_transient, .. } = deployment;
        let environment = Environment { name, is_production: *is_production, is_transient: *is_transient };
        // A repository that was removed in the meantime is no service.
        let Some((ServiceId(service), group)) = rules.service_of(environment) else { return };
        self.services.push(service);
        self.ids.push(deployment.id.to_string());
        self.states_ids.push(deployment.states_id.clone());
        self.environments.push(name.clone());
        self.groups.push(group.to_string());
        self.is_production.push(*is_production);
        self.is_transient.push(*is_transient);
        self.created_at.push(deployment.created_at);
        self.oids.push(deployment.commit.as_ref().map(|oid| oid.as_bytes().to_vec()));
    }
}

/// Writes listed deployments. Returns how many are new or different.
async fn write(connection: &mut Session, repository: RepositoryId, columns: &Columns) -> Result<usize, StoreError> {
    let changed = sqlx::query_file!(
        "queries/upsert_deployments.sql",
        repository.0,
        OF_REPOSITORY,
        &columns.services,
        &columns.ids,
        &columns.states_ids,
        &columns.environments,
        &columns.groups,
        &columns.is_production as &[Option<bool>],
        &columns.is_transient,
        &columns.created_at,
        &columns.oids as &[Option<Vec<u8>>]
    )
    .fetch_all(connection)
    .await?;
    Ok(changed.len())
}

/// Adds states of a repository's deployments.
async fn add_states(
    connection: &mut Session,
    repository: RepositoryId,
    states: &[(String, Vec<ListedState>)],
) -> Result<(), StoreError> {
    let (mut ids, mut at, mut kinds, mut environments) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (id, listed) in states {
        for ListedState { state: DeploymentState { at: instant, kind }, environment } in listed {
            ids.push(id.as_str());
            at.push(*instant);
            kinds.push(<&str>::from(kind));
            environments.push(environment.as_deref());
        }
    }
    sqlx::query!(
        "insert into deployment_states (deployment_id, at, state, environment)
        select d.id, s.at, s.state, max(s.environment)
        from unnest($2::text [], $3::timestamptz [], $4::text [], $5::text []) as s (node_id, at, state, environment)
        inner join deployments as d on d.repository_id = $1 and s.node_id = d.node_id
        group by d.id, s.at, s.state
        order by d.id, s.at, s.state
        on conflict (tenant_id, deployment_id, at, state) do nothing",
        repository.0,
        &ids as &[&str],
        &at,
        &kinds as &[&str],
        &environments as &[Option<&str>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Derives outcome and environment of deployments from their states, which are all of them if they were read. Returns how many
/// changed, and their services.
async fn settle(
    connection: &mut Session,
    repository: RepositoryId,
    states_ids: &[&str],
    read_at: Option<DateTime<Utc>>,
    rules: &RepositoryServices,
) -> Result<(usize, Vec<i64>), StoreError> {
    let rows = sqlx::query!(
        r#"select d.id, d.listed_environment, d.is_production, d.is_transient, s.at as "at?", s.state as "state?", s.environment
        from deployments as d
        left join deployment_states as s on d.id = s.deployment_id
        where d.repository_id = $1 and d.node_id = any($2)
        order by d.id, s.at, s.state"#,
        repository.0,
        states_ids as &[&str]
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut settled: BTreeMap<i64, Settled> = BTreeMap::new();
    for row in rows {
        let one = settled.entry(row.id).or_insert_with(|| Settled {
            environment: row.listed_environment,
            is_production: row.is_production,
            is_transient: row.is_transient,
            states: Vec::new(),
        });
        let (Some(at), Some(state)) = (row.at, row.state) else { continue };
        let state = DeploymentState { at, kind: parse_stored(&state)? };
        // In order: that of the last success counts.
        if let (mergeline_domain::delivery::DeploymentStateKind::Success, Some(environment)) =
            (state.kind, row.environment)
        {
            one.environment = environment;
        }
        one.states.push(state);
    }
    let mut columns = SettledColumns::default();
    for (id, one) in &settled {
        columns.add(*id, one, rules);
    }
    let changed = sqlx::query!(
        "with wanted as (
            select * from unnest(
                $1::bigint [], $2::bigint [], $3::text [], $4::text [], $5::text [], $6::timestamptz [], $7::timestamptz [],
                $8::timestamptz []
            ) as w (id, service_id, environment, environment_group, outcome, succeeded_at, failed_at, failed_afterwards_at)
        ),
        changed as (
            select d.id from deployments as d
            inner join wanted as w on d.id = w.id
            where
                (
                    d.service_id, d.environment, d.environment_group, d.outcome, d.succeeded_at, d.failed_at,
                    d.failed_afterwards_at
                ) is distinct from (
                    w.service_id, w.environment, w.environment_group, w.outcome, w.succeeded_at, w.failed_at,
                    w.failed_afterwards_at
                )
        ),
        written as (
            update deployments as d
            set
                service_id = w.service_id, environment = w.environment, environment_group = w.environment_group,
                outcome = w.outcome, succeeded_at = w.succeeded_at, failed_at = w.failed_at,
                failed_afterwards_at = w.failed_afterwards_at,
                states_read_at = coalesce($9, d.states_read_at)
            from wanted as w
            where d.id = w.id
        )
        select id from changed",
        &columns.ids,
        &columns.services,
        &columns.environments as &[&str],
        &columns.groups,
        &columns.outcomes as &[&str],
        &columns.succeeded_at as &[Option<DateTime<Utc>>],
        &columns.failed_at as &[Option<DateTime<Utc>>],
        &columns.failed_afterwards_at as &[Option<DateTime<Utc>>],
        read_at
    )
    .fetch_all(connection)
    .await?;
    Ok((changed.len(), columns.services))
}

struct Settled {
    environment: String,
    is_production: Option<bool>,
    is_transient: bool,
    states: Vec<DeploymentState>,
}

#[derive(Default)]
struct SettledColumns<'a> {
    ids: Vec<i64>,
    services: Vec<i64>,
    environments: Vec<&'a str>,
    groups: Vec<String>,
    outcomes: Vec<&'static str>,
    succeeded_at: Vec<Option<DateTime<Utc>>>,
    failed_at: Vec<Option<DateTime<Utc>>>,
    failed_afterwards_at: Vec<Option<DateTime<Utc>>>,
}

impl<'a> SettledColumns<'a> {
    fn add(&mut self, id: i64, settled: &'a Settled, rules: &RepositoryServices) {
        let Settled { environment: name, is_production, is_transient, states } = settled;
        let environment = Environment { name, is_production: *is_production, is_transient: *is_transient };
        let Some((ServiceId(service), group)): Option<(ServiceId, EnvironmentGroup)> = rules.service_of(environment)
        else {
            return;
        };
        let columns = OutcomeColumns::of(states);
        self.ids.push(id);
        self.services.push(service);
        self.environments.push(name);
        self.groups.push(group.to_string());
        self.outcomes.push(columns.outcome);
        self.succeeded_at.push(columns.succeeded_at);
        self.failed_at.push(columns.failed_at);
        self.failed_afterwards_at.push(columns.failed_afterwards_at);
    }
}

/// A deployment's outcome, as the columns of `deployments` store it.
#[derive(Default)]
pub(super) struct OutcomeColumns {
    pub(super) outcome: &'static str,
    pub(super) succeeded_at: Option<DateTime<Utc>>,
    pub(super) failed_at: Option<DateTime<Utc>>,
    pub(super) failed_afterwards_at: Option<DateTime<Utc>>,
}

impl OutcomeColumns {
    pub(super) fn of(states: &[DeploymentState]) -> Self {
        match DeploymentOutcome::of(states) {
            DeploymentOutcome::Succeeded { at, failed_afterwards_at } => {
                Self { outcome: "succeeded", succeeded_at: Some(at), failed_afterwards_at, failed_at: None }
            }
            DeploymentOutcome::Failed { at } => Self { outcome: "failed", failed_at: Some(at), ..Self::default() },
            DeploymentOutcome::Cancelled => Self { outcome: "cancelled", ..Self::default() },
            DeploymentOutcome::Unfinished => Self { outcome: "unfinished", ..Self::default() },
        }
    }
}

/// A commit's id, as stored.
pub(super) fn stored_oid(bytes: &[u8]) -> Result<Oid, StoreError> {
    Oid::try_from(bytes).map_err(|error| StoreError::Other(error.into()))
}
