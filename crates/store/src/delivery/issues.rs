//! Incidents that a repository lists: issues with a label.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mergeline_source::{Closing, Etag, ListedIncident};

use super::derive::{begin_new, derive_with_unassigned, lock_ids};
use super::progress::DeploymentProblem;
use crate::attributions::hold_together;
use crate::repositories::{bump_data_version, renew_lease};
use crate::session::Session;
use crate::{Lease, Reader, RepositoryId, StoreError, Writer};

/// The source of incidents that a repository lists.
const OF_REPOSITORY: &str = "github-issues";

/// Words of labels that tell a severity, alone or behind `severity:`, `severity/`, `sev:` or `sev/`.
const SEVERITIES: [(&str, &[&str]); 4] = [
    ("critical", &["critical", "sev0", "sev1", "p0"]),
    ("high", &["high", "sev2", "p1"]),
    ("medium", &["medium", "sev3", "p2"]),
    ("low", &["low", "sev4", "p3"]),
];

/// How far the incidents of a label are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IncidentProgress {
    /// The version of the list.
    pub etag: Option<Etag>,
    /// When it was last read completely.
    pub read_at: Option<DateTime<Utc>>,
    /// Why it could not be read at the last attempt.
    pub problem: Option<DeploymentProblem>,
}

impl Reader {
    /// The labels of issues that are incidents.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incident_labels(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.delivery_settings().await?.incident_labels)
    }

    /// How far the incidents of a repository with this label are read.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incident_progress(
        &self,
        repository: RepositoryId,
        label: &str,
    ) -> Result<IncidentProgress, StoreError> {
        let query = sqlx::query!(
            "select etag, etag_scope, read_at, problem, problem_message from incident_progress
            where repository_id = $1 and label = $2",
            repository.0,
            label
        );
        let row = self.with_deadline(async |connection| Ok(query.fetch_optional(connection).await?)).await?;
        let Some(row) = row else { return Ok(IncidentProgress::default()) };
        Ok(IncidentProgress {
            etag: row.etag.zip(row.etag_scope).map(|(value, scope)| Etag { value, scope }),
            read_at: row.read_at,
            problem: row.problem.zip(row.problem_message).map(|(code, message)| DeploymentProblem { code, message }),
        })
    }

    /// The ids at the source of the stored incidents of a repository with this label that count.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn incidents_with(&self, repository: RepositoryId, label: &str) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query_scalar!(
            "select external_id from incidents
            where
                repository_id = $1 and source = $2 and withdrawn_at is null
                and exists (select from unnest(labels) as l (label) where lower(l.label) = lower($3))",
            repository.0,
            OF_REPOSITORY,
            label
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }
}

impl Writer {
    /// Stores listed incidents, and with them how far they are read; `gone` are the ids at the source of those that it no longer
    /// lists. Derives what follows in the same transaction. Returns how many rows are new or different.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn store_incidents(
        &self,
        lease: &Lease,
        label: &str,
        incidents: &[ListedIncident],
        gone: &[String],
        progress: &IncidentProgress,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        let incidents: BTreeMap<&str, &ListedIncident> = incidents.iter().map(|it| (it.id.as_str(), it)).collect();
        self.in_transaction(async |connection| {
            hold_together(connection).await?;
            renew_lease(connection, lease, now).await?;
            let before = services_of(connection, lease.repository).await?;
            let mut services = lock_ids(connection, &before).await?;
            let mut changed = write(connection, lease.repository, &incidents).await?;
            changed += write_states(connection, lease.repository, &incidents).await?;
            let withdrawn = sqlx::query!(
                "update incidents set withdrawn_at = $4
                where repository_id = $1 and source = $2 and external_id = any($3) and withdrawn_at is null",
                lease.repository.0,
                OF_REPOSITORY,
                gone,
                now
            )
            .execute(&mut *connection)
            .await?;
            changed += usize::try_from(withdrawn.rows_affected()).unwrap_or(usize::MAX);
            if changed > 0 {
                let mut assigned = assign_incidents(connection).await?;
                assigned.extend(services_of(connection, lease.repository).await?);
                begin_new(connection, &mut services, &assigned).await?;
                derive_with_unassigned(connection, &services).await?;
                bump_data_version(connection, lease).await?;
            }
            write_progress(connection, lease.repository, label, progress).await?;
            Ok(changed)
        })
        .await
    }
}

/// The services that the incidents of a repository belong to.
async fn services_of(connection: &mut Session, repository: RepositoryId) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select distinct service_id as "service_id!" from incidents
        where repository_id = $1 and service_id is not null
        order by 1"#,
        repository.0
    )
    .fetch_all(connection)
    .await?)
}

/// Writes listed incidents. Returns how many are new or different.
async fn write(
    connection: &mut Session,
    repository: RepositoryId,
    incidents: &BTreeMap<&str, &ListedIncident>,
) -> Result<usize, StoreError> {
    /// As many characters of a title are kept.
    const TITLE: usize = 200;
    let ids: Vec<&str> = incidents.keys().copied().collect();
    let numbers: Vec<i64> = incidents.values().map(|it| it.number).collect();
    let titles: Vec<String> = incidents.values().map(|it| it.title.chars().take(TITLE).collect()).collect();
    let labels: Vec<serde_json::Value> = incidents.values().map(|it| it.labels.as_slice().into()).collect();
    let severities: Vec<Option<&str>> = incidents.values().map(|it| severity_of(&it.labels)).collect();
    let words: Vec<Option<&str>> = incidents.values().map(|it| severity_label(&it.labels)).collect();
    let started_at: Vec<DateTime<Utc>> = incidents.values().map(|it| it.opened_at).collect();
    let urls: Vec<Option<&str>> = incidents.values().map(|it| it.url.as_deref()).collect();
    let written = sqlx::query!(
        "insert into incidents as i (
            source, instance_id, repository_id, external_id, number, title, labels, severity, source_severity, started_at, url
        )
        select
            $2, r.instance_id, r.id, l.external_id, l.number, l.title, array(select jsonb_array_elements_text(l.labels)), l.severity,
            l.source_severity, l.started_at, l.url
        from unnest(
            $3::text [], $4::text [], $5::jsonb [], $6::text [], $7::text [], $8::timestamptz [], $9::text [], $10::bigint []
        ) as l (external_id, title, labels, severity, source_severity, started_at, url, number)
        inner join repositories as r on r.id = $1
        order by l.external_id
        on conflict on constraint incidents_source_key do update
        set
            repository_id = excluded.repository_id, number = excluded.number, title = excluded.title, labels = excluded.labels,
            severity = excluded.severity, source_severity = excluded.source_severity, started_at = excluded.started_at,
            url = excluded.url, withdrawn_at = null
        where
            (
                i.repository_id, i.number, i.title, i.labels, i.severity, i.source_severity, i.started_at, i.url, i.withdrawn_at
            ) is distinct from (
                excluded.repository_id, excluded.number, excluded.title, excluded.labels, excluded.severity, excluded.source_severity,
                excluded.started_at, excluded.url, null::timestamptz
            )",
        repository.0,
        OF_REPOSITORY,
        &ids as &[&str],
        &titles,
        &labels,
        &severities as &[Option<&str>],
        &words as &[Option<&str>],
        &started_at,
        &urls as &[Option<&str>],
        &numbers
    )
    .execute(connection)
    .await?;
    Ok(usize::try_from(written.rows_affected()).unwrap_or(usize::MAX))
}

/// Adds the states that follow from what is listed. One that is open although its last state is an end was opened again.
async fn write_states(
    connection: &mut Session,
    repository: RepositoryId,
    incidents: &BTreeMap<&str, &ListedIncident>,
) -> Result<usize, StoreError> {
    let (mut ids, mut at, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let (mut open, mut changed_at) = (Vec::new(), Vec::new());
    for (id, incident) in incidents {
        ids.push(*id);
        at.push(incident.opened_at);
        states.push("opened");
        if let Some((closed_at, closing)) = incident.closed {
            ids.push(*id);
            at.push(closed_at);
            states.push(match closing {
                Closing::Resolved => "resolved",
                Closing::Dismissed => "dismissed",
                Closing::Merged => "merged",
            });
        } else {
            open.push(*id);
            changed_at.push(incident.updated_at);
        }
    }
    let added = sqlx::query!(
        "insert into incident_states (incident_id, at, state)
        select i.id, s.at, s.state
        from unnest($3::text [], $4::timestamptz [], $5::text []) as s (external_id, at, state)
        inner join incidents as i on i.repository_id = $1 and i.source = $2 and i.external_id = s.external_id
        order by i.id, s.at, s.state
        on conflict (tenant_id, incident_id, at, state) do nothing",
        repository.0,
        OF_REPOSITORY,
        &ids as &[&str],
        &at,
        &states as &[&str]
    )
    .execute(&mut *connection)
    .await?;
    let reopened = sqlx::query!(
        "insert into incident_states (incident_id, at, state)
        select i.id, greatest(o.at, l.at + interval '1 second'), 'reopened'
        from unnest($3::text [], $4::timestamptz []) as o (external_id, at)
        inner join incidents as i on i.repository_id = $1 and i.source = $2 and i.external_id = o.external_id
        cross join lateral (
            select s.at, s.state from incident_states as s where s.incident_id = i.id order by s.at desc, s.state desc limit 1
        ) as l
        where l.state in ('resolved', 'dismissed', 'merged')
        order by i.id
        on conflict (tenant_id, incident_id, at, state) do nothing",
        repository.0,
        OF_REPOSITORY,
        &open as &[&str],
        &changed_at
    )
    .execute(connection)
    .await?;
    Ok(usize::try_from(added.rows_affected() + reopened.rows_affected()).unwrap_or(usize::MAX))
}

/// Withdraws incidents that no label of the configuration makes one, and forgets how far other labels were read.
pub(super) async fn withdraw_unlabeled(
    connection: &mut Session,
    labels: &[String],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let labels: Vec<String> = labels.iter().map(|label| label.to_lowercase()).collect();
    sqlx::query!(
        "update incidents as i set withdrawn_at = $3
        where
            i.source = $1 and i.withdrawn_at is null
            and not exists (select from unnest(i.labels) as l (label) where lower(l.label) = any($2))",
        OF_REPOSITORY,
        &labels,
        now
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!("delete from incident_progress where lower(label) <> all($1)", &labels).execute(connection).await?;
    Ok(())
}

/// Gives each listed incident the service that it belongs to: the only one of its repository, else that of its label
/// `service:SLUG`, else none. Those of a repository that is no longer collected stay where they are. Returns all services that
/// gained or lost one.
pub(super) async fn assign_incidents(connection: &mut Session) -> Result<Vec<i64>, StoreError> {
    let rows = sqlx::query!(
        r#"with of_repository as (
            select o.repository_id, min(f.id) as service_id, count(*) as services
            from repositories_of_services as o
            inner join services_in_force as f on o.service_id = f.id
            group by o.repository_id
        ),
        wanted as (
            select
                i.id,
                i.service_id as before,
                case when r.services is null then i.service_id when r.services = 1 then r.service_id else (
                    select f.id from services_in_force as f
                    where exists (
                        select from unnest(i.labels) as l (label) where lower(l.label) = 'service:' || lower(f.slug)
                    )
                    order by f.id
                    limit 1
                ) end as service_id
            from incidents as i
            left join of_repository as r on i.repository_id = r.repository_id
            where i.repository_id is not null
        ),
        moved as (
            update incidents as i set service_id = w.service_id
            from wanted as w
            where i.id = w.id and i.service_id is distinct from w.service_id
            returning w.before, w.service_id
        )
        select before from moved where before is not null
        union
        select service_id from moved where service_id is not null"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(|row| row.before).collect())
}

async fn write_progress(
    connection: &mut Session,
    repository: RepositoryId,
    label: &str,
    progress: &IncidentProgress,
) -> Result<(), StoreError> {
    let IncidentProgress { etag, read_at, problem } = progress;
    sqlx::query!(
        "insert into incident_progress (repository_id, label, etag, etag_scope, read_at, problem, problem_message)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (tenant_id, repository_id, label) do update
        set
            etag = excluded.etag, etag_scope = excluded.etag_scope, read_at = excluded.read_at, problem = excluded.problem,
            problem_message = excluded.problem_message",
        repository.0,
        label,
        etag.as_ref().map(|etag| etag.value.as_str()),
        etag.as_ref().map(|etag| etag.scope.as_str()),
        *read_at,
        problem.as_ref().map(|problem| problem.code.as_str()),
        problem.as_ref().map(|problem| problem.message.as_str())
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The label that tells a severity.
fn severity_label(labels: &[String]) -> Option<&str> {
    labels.iter().find(|label| severity_of_label(label).is_some()).map(String::as_str)
}

fn severity_of(labels: &[String]) -> Option<&'static str> {
    labels.iter().find_map(|label| severity_of_label(label))
}

/// The severity that a word means, alone or behind `severity:` and the like.
pub(super) fn severity_of_label(label: &str) -> Option<&'static str> {
    let label = label.to_lowercase();
    let word = ["severity:", "severity/", "sev:", "sev/"].iter().find_map(|prefix| label.strip_prefix(prefix));
    let word = word.unwrap_or(&label).trim();
    SEVERITIES.iter().find(|(_, words)| words.contains(&word)).map(|(severity, _)| *severity)
}
