//! Which incidents count, and which deployment each belongs to.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::delivery::{
    DeploymentId, DeploymentKind, IncidentId, IncidentOutcome, IncidentState, LinkRule, LinkedIncident, Stream,
    Timeline, deployment_before,
};

use crate::revision::parse_stored;
use crate::session::Session;
use crate::{RepositoryId, StoreError};

/// The stored incidents of a service.
#[derive(Default)]
pub(super) struct Incidents {
    all: BTreeMap<i64, Incident>,
}

struct Incident {
    /// Whether it is one of the service; otherwise it was merged into one of it.
    is_own: bool,
    /// If it is an issue.
    issue: Option<(RepositoryId, i64)>,
    started_at: DateTime<Utc>,
    severity: Option<String>,
    named: Option<i64>,
    set: Option<i64>,
    merged_into: Option<i64>,
    states: Vec<IncidentState>,
}

/// The incidents of a service that count.
pub(super) struct CountedIncidents {
    counted: Vec<CountedIncident>,
}

struct CountedIncident {
    id: i64,
    started_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
    severity: Option<String>,
    link: Option<(DeploymentId, LinkRule)>,
}

impl Incidents {
    /// Reads them.
    pub(super) async fn read(connection: &mut Session, service: Option<i64>) -> Result<Self, StoreError> {
        let rows = sqlx::query!(
            r#"with recursive chain as (
                select i.id from incidents as i where i.service_id is not distinct from $1 and i.withdrawn_at is null
                union
                select m.id
                from chain as c
                inner join merged_incidents as m on c.id = m.target_id
            )
            select
                i.id, i.service_id is not distinct from $1 as "is_own!", i.repository_id, i.number, i.started_at, i.severity,
                i.named_deployment_id, i.set_deployment_id, m.target_id as "merged_into?", s.at as "at?", s.state as "state?"
            from chain as c
            inner join incidents as i on c.id = i.id
            left join merged_incidents as m on i.id = m.id
            left join incident_states as s on i.id = s.incident_id
            order by i.id, s.at, s.state"#,
            service
        )
        .fetch_all(connection)
        .await?;
        let mut incidents = Self::default();
        for row in rows {
            let incident = incidents.all.entry(row.id).or_insert_with(|| Incident {
                is_own: row.is_own,
                issue: row.repository_id.map(RepositoryId).zip(row.number),
                started_at: row.started_at,
                severity: row.severity,
                named: row.named_deployment_id,
                set: row.set_deployment_id,
                merged_into: row.merged_into,
                states: Vec::new(),
            });
            if let (Some(at), Some(state)) = (row.at, row.state) {
                incident.states.push(IncidentState { at, kind: parse_stored(&state)? });
            }
        }
        Ok(incidents)
    }

    /// What one is merged into in the end, as far as that is known here.
    fn target(&self, id: i64) -> i64 {
        let (mut target, mut passed) = (id, HashSet::new());
        while let Some(next) =
            self.all.get(&target).and_then(|it| it.merged_into).filter(|it| self.all.contains_key(it))
        {
            if !passed.insert(next) {
                break;
            }
            target = next;
        }
        target
    }

    /// The incidents that count and whose issues these are. One that is merged into another stands for that one.
    pub(super) fn closed_by(&self, repository: RepositoryId, issues: &[i64]) -> Vec<IncidentId> {
        let closed = self.all.iter().filter(|(_, incident)| {
            incident.issue.is_some_and(|(of, number)| of == repository && issues.contains(&number))
        });
        let targets: BTreeSet<i64> = closed.map(|(id, _)| self.target(*id)).collect();
        let counts = |id: &i64| {
            let incident = self.all.get(id);
            incident.is_some_and(|it| IncidentOutcome::of(&it.states) != IncidentOutcome::NotCounted)
        };
        targets.into_iter().filter(counts).map(IncidentId).collect()
    }

    /// Those that count, each with the deployment that it belongs to: the one that a person set, else the one that its
    /// source names, else the latest one within the window before its start.
    pub(super) fn linked(self, stream: &Stream, timeline: &Timeline, window: TimeDelta) -> CountedIncidents {
        let mut started: BTreeMap<i64, DateTime<Utc>> = BTreeMap::new();
        for (id, incident) in &self.all {
            let first = started.entry(self.target(*id)).or_insert(incident.started_at);
            *first = incident.started_at.min(*first);
        }
        let succeeded: BTreeMap<DeploymentId, DateTime<Utc>> =
            stream.deployments.iter().filter_map(|it| Some((it.id, it.outcome.succeeded_at()?))).collect();
        let counted: Vec<(DeploymentId, DateTime<Utc>)> = timeline
            .facts
            .iter()
            .filter(|fact| fact.kind.is_some_and(DeploymentKind::is_counted))
            .filter_map(|fact| Some((fact.deployment, *succeeded.get(&fact.deployment)?)))
            .collect();
        let chosen = |id: Option<i64>, rule: LinkRule| {
            let deployment = timeline.counted(DeploymentId(id?));
            succeeded.contains_key(&deployment).then_some((deployment, rule))
        };
        let counted = self.all.iter().filter(|(_, incident)| incident.is_own).filter_map(|(id, incident)| {
            let resolved_at = match IncidentOutcome::of(&incident.states) {
                IncidentOutcome::Open => None,
                IncidentOutcome::Resolved { at } => Some(at),
                IncidentOutcome::NotCounted => return None,
            };
            let started_at = started.get(id).copied().unwrap_or(incident.started_at);
            let in_window = || Some((deployment_before(started_at, &counted, window)?, LinkRule::Window));
            let set = chosen(incident.set, LinkRule::Set);
            let link = set.or_else(|| chosen(incident.named, LinkRule::Named)).or_else(in_window);
            Some(CountedIncident { id: *id, started_at, resolved_at, severity: incident.severity.clone(), link })
        });
        CountedIncidents { counted: counted.collect() }
    }
}

impl CountedIncidents {
    /// Those that belong to a deployment.
    pub(super) fn links(&self) -> Vec<LinkedIncident> {
        let linked = self.counted.iter();
        linked.filter_map(|it| Some(LinkedIncident { id: IncidentId(it.id), deployment: it.link?.0 })).collect()
    }

    /// Writes them. Returns how many rows changed.
    pub(super) async fn write(&self, connection: &mut Session, service: Option<i64>) -> Result<u64, StoreError> {
        let ids: Vec<i64> = self.counted.iter().map(|it| it.id).collect();
        let started_at: Vec<DateTime<Utc>> = self.counted.iter().map(|it| it.started_at).collect();
        let resolved_at: Vec<Option<DateTime<Utc>>> = self.counted.iter().map(|it| it.resolved_at).collect();
        let severities: Vec<Option<&str>> = self.counted.iter().map(|it| it.severity.as_deref()).collect();
        let deployments: Vec<Option<i64>> = self.counted.iter().map(|it| it.link.map(|(id, _)| id.0)).collect();
        let rules: Vec<Option<&str>> = self.counted.iter().map(|it| it.link.map(|(_, rule)| rule.into())).collect();
        let gone = sqlx::query!(
            "delete from incident_facts as f
            using incidents as i
            where
                f.incident_id = i.id and i.service_id is not distinct from $1
                and f.incident_id not in (select unnest($2::bigint []))",
            service,
            &ids
        )
        .execute(&mut *connection)
        .await?;
        let written = sqlx::query!(
            "insert into incident_facts as f (
                service_id, incident_id, started_at, resolved_at, severity, deployment_id, rule
            )
            select $1, w.*
            from unnest(
                $2::bigint [], $3::timestamptz [], $4::timestamptz [], $5::text [], $6::bigint [], $7::text []
            ) as w (incident_id, started_at, resolved_at, severity, deployment_id, rule)
            order by w.incident_id
            on conflict (tenant_id, incident_id) do update
            set
                service_id = excluded.service_id, started_at = excluded.started_at, resolved_at = excluded.resolved_at,
                severity = excluded.severity, deployment_id = excluded.deployment_id, rule = excluded.rule
            where f is distinct from excluded",
            service,
            &ids,
            &started_at,
            &resolved_at as &[Option<DateTime<Utc>>],
            &severities as &[Option<&str>],
            &deployments as &[Option<i64>],
            &rules as &[Option<&str>]
        )
        .execute(connection)
        .await?;
        Ok(gone.rows_affected() + written.rows_affected())
    }
}
