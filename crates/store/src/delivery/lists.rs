//! What is behind the numbers: deployments with what they delivered, and what is in force.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::{DeploymentId, IncidentId, Oid, ServiceId, Share};
use mergeline_domain::metrics::Basis;
use mergeline_domain::{ExternalId, TeamSlug};

use super::deployments::stored_oid;
use super::metrics::DoraScope;
use crate::revision::parse_stored;
use crate::{ReadSession, StoreError};

/// A deployment as it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentRow {
    /// Its id.
    pub id: DeploymentId,
    /// Its source, and its id there.
    pub source: String,
    /// Its id at the source.
    pub external_id: ExternalId,
    /// Its service.
    pub service_id: ServiceId,
    /// The service's slug.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// `succeeded`, `failed`, `cancelled` or `unfinished`.
    pub outcome: String,
    /// The version, if its source names one.
    pub version: Option<String>,
    /// Its page, if its source names one.
    pub url: Option<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it succeeded or failed.
    pub finished_at: Option<DateTime<Utc>>,
    /// The instant by which it is listed: when it finished, or was created if it did not.
    pub at: DateTime<Utc>,
    /// Whether its source no longer has it. It then does not count.
    pub is_deleted: bool,
    /// What it was; `None` for a failed attempt, one that did not finish, and outside of production.
    pub kind: Option<String>,
    /// What it repeats, if it is a rollout.
    pub repeats: Option<DeploymentId>,
    /// What was in force before.
    pub replaces: Option<DeploymentId>,
    /// How many pull requests it delivered, or a failed attempt contained.
    pub pull_requests: i32,
    /// Some of it may have been brought by an earlier deployment whose commits cannot be read.
    pub is_after_unknown: bool,
    /// Why it failed after its success.
    pub failures: Vec<String>,
    /// Why it is rework.
    pub rework: Vec<String>,
    /// What remedied it.
    pub remedied_by: Option<DeploymentId>,
    /// When it was remedied.
    pub remedied_at: Option<DateTime<Utc>>,
    /// The commits, as `owner/name@sha`.
    pub revisions: Vec<String>,
    /// The team's share, if a team was asked for.
    pub share: Option<Share>,
}

/// An incident, whether it counts, and the deployment that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Its id.
    pub id: IncidentId,
    /// Its source.
    pub source: String,
    /// Its id at the source.
    pub external_id: ExternalId,
    /// The repository, as `owner/name`, if it is an issue.
    pub repository: Option<String>,
    /// The number of the issue.
    pub number: Option<i64>,
    /// The slug of its service, if one is known.
    pub service: Option<String>,
    /// The title.
    pub title: String,
    /// `critical`, `high`, `medium` or `low`, if its source says so.
    pub severity: Option<String>,
    /// The word of the source.
    pub source_severity: Option<String>,
    /// Its page.
    pub url: Option<String>,
    /// When it started; with the earliest start of those that were merged into it.
    pub started_at: DateTime<Utc>,
    /// When it was resolved.
    pub resolved_at: Option<DateTime<Utc>>,
    /// `open`, `resolved`, `dismissed` or `merged`. The last two do not count.
    pub outcome: String,
    /// What it was merged into.
    pub merged_into: Option<IncidentId>,
    /// The deployment that it belongs to.
    pub deployment: Option<DeploymentId>,
    /// Why it belongs to that one: `named`, `set` or `window`.
    pub rule: Option<String>,
    /// The states that it has had, in order: `opened`, `resolved`, `reopened`, `dismissed` or `merged`.
    pub states: Vec<(DateTime<Utc>, String)>,
    /// The team's share, if a team was asked for.
    pub share: Option<Share>,
}

/// An incident of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedIncidentRow {
    /// Its id.
    pub id: IncidentId,
    /// Why it belongs to the deployment: `named`, `set` or `window`.
    pub rule: String,
}

/// A filter for incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentFilter {
    /// Whose.
    pub scope: DoraScope,
    /// By what they belong to the team.
    pub basis: Basis,
    /// The start of the range, inclusive.
    pub from: DateTime<Utc>,
    /// The end of the range, exclusive.
    pub to: DateTime<Utc>,
    /// Only those of these severities; `None` for all.
    pub severities: Option<Vec<String>>,
}

/// A state of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentStateRow {
    /// When.
    pub at: DateTime<Utc>,
    /// Which.
    pub state: String,
    /// The environment, if the source names one with it.
    pub environment: Option<String>,
}

/// A pull request of a deployment, with its teams.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveredPullRequest {
    /// `owner/name`.
    pub repository: String,
    /// Its number.
    pub number: i64,
    /// The title.
    pub title: String,
    /// When it was merged.
    pub merged_at: DateTime<Utc>,
    /// The commit by which it was recognized: `merge_commit` or `head_commit`; `None` for a failed attempt.
    pub via: Option<String>,
    /// From the first commit to the delivery, in seconds.
    pub lead_seconds: Option<f64>,
    /// From the merge to the delivery, in seconds.
    pub deploy_seconds: Option<f64>,
    /// The teams that it counts for.
    pub teams: Vec<DeliveredFor>,
}

/// A team that a pull request counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveredFor {
    /// The team.
    pub team: TeamSlug,
    /// The weight in ten-thousandths.
    pub weight_units: i32,
    /// The membership by which it counts.
    pub membership: i64,
}

/// What is in force of a service, and what waits.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceState {
    /// Its id.
    pub id: ServiceId,
    /// Its slug.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// What is in force of each of its repositories in the environment.
    pub in_force: Vec<InForce>,
    /// Merged pull requests that no deployment contains; `None` without a known deployment.
    pub waiting: Option<i64>,
    /// Merged pull requests of which that is not known yet, because their details or files are not read.
    pub not_collected: i64,
    /// When the oldest of them was merged.
    pub oldest_waiting: Option<DateTime<Utc>>,
    /// Open incidents.
    pub open_incidents: i64,
    /// The last event that any source reported.
    pub last_event_at: Option<DateTime<Utc>>,
}

/// Why a merged pull request may wait for production.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Wait {
    /// No deployment contains it yet.
    #[default]
    NotDeployedYet,
    /// Nobody knows yet, because its details or files are not read.
    NotCollected,
}

/// A merged pull request that waits for production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingPullRequest {
    /// Its number in the database.
    pub id: i64,
    /// The name of its repository.
    pub repository: String,
    /// Its number there.
    pub number: i64,
    /// Its title.
    pub title: String,
    /// Its page at GitHub.
    pub url: String,
    /// When it was merged.
    pub merged_at: DateTime<Utc>,
    /// The slugs of the services in which it waits, of those that were asked for.
    pub services: Vec<String>,
}

/// The deployment in force of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    /// `owner/name`.
    pub repository: String,
    /// The deployment.
    pub deployment: DeploymentId,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Its commit.
    pub commit: Oid,
}

/// A team's share of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamShare {
    /// By what it belongs to the team: `delivered` or `owned`.
    pub basis: String,
    /// The team.
    pub team: TeamSlug,
    /// The share.
    pub share: Share,
}

/// A filter for deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentFilter {
    /// Whose.
    pub scope: DoraScope,
    /// By what they belong to the team.
    pub basis: Basis,
    /// The start of the range, inclusive.
    pub from: DateTime<Utc>,
    /// The end of the range, exclusive.
    pub to: DateTime<Utc>,
    /// Only those of this environment, in lower case, or of `production` or `transient` for all that are; `None` for all.
    pub environment: Option<String>,
}

impl ReadSession {
    /// Deployments by when they finished, or were created if they did not. `after` is the cursor: instant and id of the last
    /// known one.
    ///
    /// # Errors
    /// When the database fails or takes too long.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "deployments"))]
    pub async fn deployments(
        &mut self,
        filter: &DeploymentFilter,
        after: Option<(DateTime<Utc>, i64)>,
        limit: u32,
    ) -> Result<Vec<DeploymentRow>, StoreError> {
        self.read_deployments(filter, after, limit, None).await
    }

    /// One deployment; `None` if there is none with that id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployment(&mut self, id: DeploymentId) -> Result<Option<DeploymentRow>, StoreError> {
        let filter = DeploymentFilter {
            scope: DoraScope::default(),
            basis: Basis::Delivered,
            from: DateTime::<Utc>::MIN_UTC.max(DateTime::UNIX_EPOCH - chrono::TimeDelta::days(36_500)),
            to: DateTime::UNIX_EPOCH + chrono::TimeDelta::days(365_000),
            environment: None,
        };
        Ok(self.read_deployments(&filter, None, 1, Some(id)).await?.pop())
    }

    async fn read_deployments(
        &mut self,
        filter: &DeploymentFilter,
        after: Option<(DateTime<Utc>, i64)>,
        limit: u32,
        only: Option<DeploymentId>,
    ) -> Result<Vec<DeploymentRow>, StoreError> {
        let rows = sqlx::query_file!(
            "queries/deployments.sql",
            filter.scope.team.map(|team| team.0),
            filter.scope.service.map(|service| service.0),
            <&str>::from(filter.basis),
            filter.from,
            filter.to,
            filter.environment.as_deref(),
            after.map(|(at, _)| at),
            after.map(|(_, id)| id),
            i64::from(limit),
            only.map(|id| id.0)
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let rows = rows.into_iter().map(|row| DeploymentRow {
            id: DeploymentId(row.id),
            source: row.source,
            external_id: row.external_id.into(),
            service_id: ServiceId(row.service_id),
            service: row.service,
            environment: row.environment,
            outcome: row.outcome,
            version: row.version,
            url: row.url,
            created_at: row.created_at,
            finished_at: row.finished_at,
            at: row.at,
            is_deleted: row.is_deleted,
            kind: row.kind,
            repeats: row.repeats_id.map(DeploymentId),
            replaces: row.replaces_id.map(DeploymentId),
            pull_requests: row.pull_requests,
            is_after_unknown: row.is_after_unknown,
            failures: row.failures,
            rework: row.rework,
            remedied_by: row.remedied_by_id.map(DeploymentId),
            remedied_at: row.remedied_at,
            revisions: row.revisions,
            share: row.share.map(Share),
        });
        Ok(rows.collect())
    }

    /// Incidents that were open at any time in a range, by their start. `after` is the cursor: start and id of the last known
    /// one.
    ///
    /// # Errors
    /// When the database fails or takes too long.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "incidents"))]
    pub async fn incidents(
        &mut self,
        filter: &IncidentFilter,
        after: Option<(DateTime<Utc>, i64)>,
        limit: u32,
    ) -> Result<Vec<IncidentRow>, StoreError> {
        let rows = sqlx::query_file!(
            "queries/incidents.sql",
            filter.scope.team.map(|team| team.0),
            filter.scope.service.map(|service| service.0),
            <&str>::from(filter.basis),
            filter.from,
            filter.to,
            filter.severities.as_deref(),
            after.map(|(at, _)| at),
            after.map(|(_, id)| id),
            i64::from(limit)
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let rows = rows.into_iter().map(|row| IncidentRow {
            id: IncidentId(row.id),
            source: row.source,
            external_id: row.external_id.into(),
            repository: row.repository,
            number: row.number,
            service: row.service,
            title: row.title,
            severity: row.severity,
            source_severity: row.source_severity,
            url: row.url,
            started_at: row.started_at,
            resolved_at: row.resolved_at,
            outcome: row.outcome,
            merged_into: row.merged_into.map(IncidentId),
            deployment: row.deployment_id.map(DeploymentId),
            rule: row.rule,
            states: row.state_times.into_iter().zip(row.states).collect(),
            share: row.share.map(Share),
        });
        Ok(rows.collect())
    }

    /// The incidents that belong to a deployment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incidents_of(&mut self, id: DeploymentId) -> Result<Vec<LinkedIncidentRow>, StoreError> {
        let rows = sqlx::query!(
            r#"select incident_id, rule as "rule!" from incident_facts where deployment_id = $1 order by incident_id"#,
            id.0
        )
        .fetch_all(&mut *self.connection)
        .await?;
        Ok(rows.into_iter().map(|row| LinkedIncidentRow { id: IncidentId(row.incident_id), rule: row.rule }).collect())
    }

    /// The states of a deployment, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployment_states(&mut self, id: DeploymentId) -> Result<Vec<DeploymentStateRow>, StoreError> {
        let rows = sqlx::query_as!(
            DeploymentStateRow,
            "select at, state, environment from deployment_states where deployment_id = $1 order by at, state",
            id.0
        );
        Ok(rows.fetch_all(&mut *self.connection).await?)
    }

    /// The pull requests that a deployment delivered, or that a failed attempt contained.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delivered_by(&mut self, id: DeploymentId) -> Result<Vec<DeliveredPullRequest>, StoreError> {
        let rows = sqlx::query!(
            r#"select
                r.display_name as "repository!", p.number, p.title, p.merged_at as "merged_at!", d.via,
                case when d.delivered_at >= p.first_commit_at
                    then extract(epoch from d.delivered_at - p.first_commit_at)::double precision end as lead_seconds,
                -- When a merge counts as a deployment, nobody knows how long it took.
                case when d.delivered_at >= p.merged_at and x.source <> 'merges'
                    then extract(epoch from d.delivered_at - p.merged_at)::double precision end as deploy_seconds,
                array(
                    select concat_ws(' ', t.slug, (a.weight * 10000)::integer, a.membership_id)
                    from pr_attributions as a
                    inner join teams as t on a.team_id = t.id
                    where a.pull_request_id = p.id
                    order by t.slug
                ) as "teams!: Vec<String>"
            from (
                select l.pull_request_id, l.via, l.delivered_at from pr_deliveries as l where l.deployment_id = $1
                union all
                select a.pull_request_id, null, null from deployment_attempts as a where a.deployment_id = $1
            ) as d
            inner join deployments as x on x.id = $1
            inner join pull_requests as p on d.pull_request_id = p.id
            inner join repositories as r on p.repository_id = r.id
            order by r.display_name, p.number"#,
            id.0
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let rows = rows.into_iter().map(|row| {
            let teams = row.teams.iter().map(|text| {
                let mut words = text.split(' ');
                let mut word = || words.next().unwrap_or_default();
                let (team, weight_units) = (parse_stored(word())?, parse_stored(word())?);
                Ok(DeliveredFor { team, weight_units, membership: parse_stored(word())? })
            });
            Ok(DeliveredPullRequest {
                repository: row.repository,
                number: row.number,
                title: row.title,
                merged_at: row.merged_at,
                via: row.via,
                lead_seconds: row.lead_seconds,
                deploy_seconds: row.deploy_seconds,
                teams: teams.collect::<Result<_, StoreError>>()?,
            })
        });
        rows.collect()
    }

    /// What is in force of each repository of each service in an environment, by service.
    async fn in_force(&mut self, environment: &str) -> Result<BTreeMap<i64, Vec<InForce>>, StoreError> {
        let rows = sqlx::query!(
            r#"select distinct on (d.service_id, r.display_name, r.id)
                d.service_id, r.display_name as "repository!", d.id as "deployment_id!", d.succeeded_at as "succeeded_at!", v.oid
            from deployments as d
            left join deployment_facts as f on d.id = f.deployment_id
            inner join deployment_revisions as v on d.id = v.deployment_id
            inner join repositories as r on v.repository_id = r.id
            where
                d.succeeded_at is not null and d.deleted_at is null
                -- One that brings a region what another has is in force in its region.
                and case f.kind
                    when 'unknown' then false
                    when 'rollout' then $1 <> 'production'
                    else f.kind is not null or $1 <> 'production'
                end
                and (
                    d.environment_group = $1
                    or ($1 not in ('production', 'transient') and lower(d.environment) = $1)
                )
            -- As two at the same instant are ordered where they are derived: numbers as numbers, and before other ids.
            order by
                d.service_id, r.display_name, r.id, d.succeeded_at desc,
                case
                    when d.external_id ~ '^[0-9]+(/[0-9]+)*$' then string_to_array(d.external_id, '/')::numeric []
                end desc nulls first,
                d.external_id collate "C" desc, d.id desc"#,
            environment
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let mut in_force: BTreeMap<i64, Vec<InForce>> = BTreeMap::new();
        for row in rows {
            let (deployment, commit) = (DeploymentId(row.deployment_id), stored_oid(&row.oid)?);
            let one = InForce { repository: row.repository, deployment, since: row.succeeded_at, commit };
            in_force.entry(row.service_id).or_default().push(one);
        }
        Ok(in_force)
    }

    /// The shares of teams in a deployment, by both bases.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shares_of(&mut self, id: DeploymentId) -> Result<Vec<TeamShare>, StoreError> {
        let rows = sqlx::query!(
            r#"select s.basis, t.slug, (s.share * 100000000)::bigint as "share!"
            from deployment_shares as s
            inner join teams as t on s.team_id = t.id
            where s.deployment_id = $1
            order by s.basis, t.slug"#,
            id.0
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let rows = rows
            .into_iter()
            .map(|row| Ok(TeamShare { basis: row.basis, team: parse_stored(&row.slug)?, share: Share(row.share) }));
        rows.collect()
    }

    /// The failed deployments that a deployment remedied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remedied_by(&mut self, id: DeploymentId) -> Result<Vec<DeploymentId>, StoreError> {
        let ids = sqlx::query_scalar!(
            r#"select f.deployment_id as "id!" from deployment_facts as f where f.remedied_by_id = $1
            union
            select f.deployment_id from deployment_failures as f
            inner join deployment_facts as x on f.deployment_id = x.deployment_id
            where
                f.remedied_by_id = $1 and x.remedied_by_id is null
                and not exists (
                    select from deployment_failures as o
                    where o.deployment_id = f.deployment_id and o.remedied_at < f.remedied_at
                )
            order by 1"#,
            id.0
        )
        .fetch_all(&mut *self.connection)
        .await?;
        Ok(ids.into_iter().map(DeploymentId).collect())
    }

    /// What is in force of each service in an environment, in lower case, or in all that are `production` or `transient`; and what
    /// waits for production.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn service_states(&mut self, environment: &str) -> Result<Vec<ServiceState>, StoreError> {
        let mut in_force = self.in_force(environment).await?;
        let rows = sqlx::query!(
            r#"select
                f.id as "id!", f.slug as "slug!", f.name as "name!",
                exists (
                    select from deployment_facts as x where x.service_id = f.id and x.kind is not null
                ) as "is_known!",
                w.waiting as "waiting!", w.not_collected as "not_collected!", w.oldest_waiting,
                (
                    select count(*) from incident_facts as i where i.service_id = f.id and i.resolved_at is null
                ) as "open_incidents!",
                (
                    select max(s.at)
                    from deployments as d
                    inner join deployment_states as s on d.id = s.deployment_id
                    where d.service_id = f.id
                ) as last_event_at
            from services_in_force as f
            cross join lateral (
                select
                    count(*) filter (where l.missing = 'not_deployed_yet') as waiting,
                    count(*) filter (where l.missing = 'not_collected') as not_collected,
                    min(p.merged_at) filter (where l.missing = 'not_deployed_yet') as oldest_waiting
                from pr_deliveries as l
                inner join pull_requests as p on l.pull_request_id = p.id
                where l.service_id = f.id and l.missing in ('not_deployed_yet', 'not_collected')
            ) as w
            order by f.is_implied, f.place, f.slug, f.id"#
        )
        .fetch_all(&mut *self.connection)
        .await?;
        let states = rows.into_iter().map(|row| ServiceState {
            id: ServiceId(row.id),
            slug: row.slug,
            name: row.name,
            in_force: in_force.remove(&row.id).unwrap_or_default(),
            waiting: row.is_known.then_some(row.waiting),
            not_collected: row.not_collected,
            oldest_waiting: row.oldest_waiting,
            open_incidents: row.open_incidents,
            last_event_at: row.last_event_at,
        });
        Ok(states.collect())
    }

    /// The merged pull requests that wait for production in the services and for the team of a scope, the one that was merged first
    /// being first: those that [`ServiceState`] counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_pull_requests(
        &mut self,
        scope: DoraScope,
        wait: Wait,
        after: Option<(DateTime<Utc>, i64)>,
        limit: u32,
    ) -> Result<Vec<WaitingPullRequest>, StoreError> {
        let rows = sqlx::query_file_as!(
            WaitingPullRequest,
            "queries/waiting_pull_requests.sql",
            scope.team.map(|team| team.0),
            scope.service.map(|service| service.0),
            <&str>::from(wait),
            after.map(|(at, _)| at),
            after.map(|(_, id)| id),
            i64::from(limit)
        );
        Ok(rows.fetch_all(&mut *self.connection).await?)
    }
}
