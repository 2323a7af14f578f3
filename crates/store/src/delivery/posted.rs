//! Stores deployments and incidents that are posted or imported, and what became of each.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, SubsecRound, Utc};
use mergeline_domain::delivery::{
    DeploymentId, DeploymentSource, DeploymentState, Environment, EnvironmentGroup, IncidentChange, IncidentId,
    IncidentOutcome, IncidentState, IncidentStateKind, LinkRule, Oid, PostedDeployment, PostedIncident, ServiceRules,
};
use mergeline_domain::{RepoName, one_line};

use super::derive::{begin_new, derive, lock_ids, lock_services};
use super::issues::severity_of_label;
use super::reported::settle;
use super::rules::rules_of_service;
use crate::attributions::hold_together;
use crate::connection::Transaction;
use crate::revision::parse_stored;
use crate::session::Session;
use crate::{DatabaseSettings, Renewal, RepositoryId, StoreError, Tenant, Writer};

/// An arbitrary number that no other lock has.
const MERGES_LOCK: i32 = 0x6d67_6c6d;

/// Who posts something, and what it may be about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sender {
    /// The name of its key, if it has one.
    pub key_name: Option<String>,
    /// The program, so that two programs may number theirs alike.
    pub program: Option<String>,
    /// The slugs of the only services that it may post about; `None` for all.
    pub services: Option<Vec<String>>,
    /// How it comes.
    pub channel: Channel,
    /// The kind of webhook, if it comes by one.
    pub plugin: Option<&'static str>,
}

impl Sender {
    /// Where its incidents come from.
    fn incident_source(&self) -> &'static str {
        self.plugin.unwrap_or(DeploymentSource::Events.into())
    }
}

/// How an event comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Channel {
    /// By the API.
    #[default]
    Api,
    /// From a file.
    Import,
    /// By a webhook, which tells it late, twice or in any order.
    Webhook,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum EventSubject {
    /// A deployment.
    Deployment,
    /// An incident.
    Incident,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum EventOutcome {
    /// It is new.
    Created,
    /// It was known, and is different now.
    Changed,
    /// It was known, and nothing changed.
    Replayed,
}

impl EventOutcome {
    fn of(is_new: bool, is_changed: bool) -> Self {
        match (is_new, is_changed) {
            (true, _) => Self::Created,
            (false, true) => Self::Changed,
            (false, false) => Self::Replayed,
        }
    }
}

/// A deployment that was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeployment {
    /// Its id.
    pub id: DeploymentId,
    /// What became of it.
    pub outcome: EventOutcome,
    /// Whether it is one to production.
    pub is_production: bool,
    /// Whether its commits are named.
    pub has_revisions: bool,
    /// The fields whose values were said before, differ, and stay.
    pub kept: Vec<&'static str>,
}

/// An incident that was posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIncident {
    /// Its id.
    pub id: IncidentId,
    /// What became of it.
    pub outcome: EventOutcome,
    /// The deployment that it belongs to, and why.
    pub link: Option<(DeploymentId, LinkRule)>,
    /// Whether its severity is a word that is not understood.
    pub has_unknown_severity: bool,
    /// The fields whose values were said before, differ, and stay.
    pub kept: Vec<&'static str>,
}

/// Why an event was refused. It was recorded, and changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventRefusal {
    /// There is no such service, or the sender may not post about it.
    #[error("there is no such service")]
    UnknownService,
    /// A repository is not one of the service.
    #[error("{0} is not a repository of the service")]
    UnknownRepository(RepoName),
    /// A commit needs its repository.
    #[error("the service has several repositories: name that of the commit")]
    RepositoryMissing,
    /// Another source reports the deployments of the service.
    #[error(
        "the deployments of this service come from {0}; `deployments: {{ source: events }}` in the teams file changes that"
    )]
    OtherSource(DeploymentSource),
    /// The same id was posted with another value of this field.
    #[error("this id was posted before with another {0}")]
    Conflict(&'static str),
    /// Its service has no such deployment.
    #[error("its service has no such deployment")]
    UnknownDeployment,
    /// The deployment cannot have caused the incident.
    #[error("the service of the incident has no such deployment that succeeded in production")]
    NoCause,
    /// There is no such incident.
    #[error("there is no such incident")]
    UnknownIncident,
    /// Several sources have an incident with this id.
    #[error("several sources have an incident with this id")]
    AmbiguousIncident,
    /// It would be before the last state of the incident.
    #[error("it is not after the last state of the incident, {last}")]
    BeforeLastState {
        /// The field with the time.
        field: &'static str,
        /// When the incident reached its last state.
        last: DateTime<Utc>,
    },
}

impl EventRefusal {
    /// A stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownService => "unknown_service",
            Self::UnknownRepository(_) => "unknown_repository",
            Self::RepositoryMissing => "repository_missing",
            Self::OtherSource(_) => "other_source",
            Self::Conflict(_) => "conflict",
            Self::UnknownDeployment | Self::NoCause => "unknown_deployment",
            Self::UnknownIncident => "unknown_incident",
            Self::AmbiguousIncident => "ambiguous_incident",
            Self::BeforeLastState { .. } => "before_last_state",
        }
    }
}

/// Ends the transaction of an event that is refused, or that failed.
enum Stopped {
    Refused(EventRefusal),
    Failed(StoreError),
}

impl<E: Into<StoreError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The digest of what was received, for the record.
pub type EventDigest = [u8; 32];

/// Stores what is posted, and can change nothing else.
#[derive(Debug, Clone)]
pub struct Poster(Writer);

impl Poster {
    /// Prepares the pool, like [`crate::Reader::connect`].
    pub fn connect(settings: &DatabaseSettings) -> Self {
        Self(Writer::for_posting(settings))
    }

    /// Through the connections of a writer, with all its rights.
    pub fn of(writer: &Writer) -> Self {
        Self(writer.clone())
    }

    /// The same database, but its address and password are reread when no connection can be made. Clones share this.
    #[must_use]
    pub fn with_renewal(self, renewal: Renewal) -> Self {
        Self(self.0.renewed_by(renewal))
    }

    /// The same database and pool, for the rows of another tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: Tenant) -> Self {
        Self(self.0.for_tenant(tenant))
    }

    /// Opens new connections with these settings, after a change of password or server.
    pub fn reconnect_with(&self, settings: &DatabaseSettings) {
        self.0.reconnect_with(settings);
    }

    pub(crate) fn reader(&self) -> &crate::Reader {
        &self.0
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.0
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.0.close().await;
    }

    /// Stores a posted deployment and derives what follows, in one transaction.
    ///
    /// # Errors
    /// When the database fails. What is refused is recorded.
    pub async fn post_deployment(
        &self,
        sender: &Sender,
        digest: &EventDigest,
        posted: &PostedDeployment,
        now: DateTime<Utc>,
    ) -> Result<Result<StoredDeployment, EventRefusal>, StoreError> {
        let received = Received::new(sender, digest, EventSubject::Deployment, &posted.id, now);
        match self.receive(&received, Work::Deployment(posted)).await? {
            Ok(Stored::Deployment(stored)) => Ok(Ok(stored)),
            Ok(Stored::Incident(_)) => Ok(Err(EventRefusal::UnknownDeployment)),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Stores a posted incident and derives what follows, in one transaction.
    ///
    /// # Errors
    /// When the database fails. What is refused is recorded.
    pub async fn post_incident(
        &self,
        sender: &Sender,
        digest: &EventDigest,
        posted: &PostedIncident,
        now: DateTime<Utc>,
    ) -> Result<Result<StoredIncident, EventRefusal>, StoreError> {
        let received = Received::new(sender, digest, EventSubject::Incident, &posted.id, now);
        Ok(incident_of(self.receive(&received, Work::Incident(posted)).await?))
    }

    /// Resolves or reopens a posted incident, by the id that its sender gave it.
    ///
    /// # Errors
    /// When the database fails. What is refused is recorded.
    pub async fn change_incident(
        &self,
        sender: &Sender,
        digest: &EventDigest,
        id: &str,
        change: IncidentChange,
        now: DateTime<Utc>,
    ) -> Result<Result<StoredIncident, EventRefusal>, StoreError> {
        let received = Received::new(sender, digest, EventSubject::Incident, id, now);
        Ok(incident_of(self.receive(&received, Work::Change(id, &change)).await?))
    }

    /// Sets the deployment that an incident belongs to, even if its source says otherwise; `None` takes that
    /// back. The incident is known by the id that its source gave it, or by its number.
    ///
    /// # Errors
    /// When the database fails. What is refused is recorded.
    pub async fn set_link(
        &self,
        sender: &Sender,
        digest: &EventDigest,
        id: &str,
        deployment: Option<DeploymentId>,
        now: DateTime<Utc>,
    ) -> Result<Result<StoredIncident, EventRefusal>, StoreError> {
        let received = Received::new(sender, digest, EventSubject::Incident, id, now);
        Ok(incident_of(self.receive(&received, Work::Link(id, deployment)).await?))
    }

    /// Records an event that cannot be used at all, for example because a field is invalid.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_refused_event(
        &self,
        sender: &Sender,
        digest: &EventDigest,
        subject: EventSubject,
        id: Option<&str>,
        reason: &'static str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let received = Received::new(sender, digest, subject, id.unwrap_or_default(), now);
        self.0.perform(&Refusing { received: &received, reason }).await
    }

    async fn receive(
        &self,
        received: &Received<'_>,
        work: Work<'_>,
    ) -> Result<Result<Stored, EventRefusal>, StoreError> {
        // A refusal rolls back, so it is recorded in a transaction of its own.
        let receiving = Receiving { received, work, refused: Mutex::new(None) };
        let outcome = self.0.perform(&receiving).await;
        let refusal = receiving.refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (outcome, refusal) {
            (Ok(stored), _) => Ok(Ok(stored)),
            (Err(StoreError::Other(_)), Some(refusal)) => {
                self.0.perform(&Refusing { received, reason: refusal.code() }).await?;
                Ok(Err(refusal))
            }
            (Err(error), _) => Err(error),
        }
    }
}

/// What an event asks for.
#[derive(Clone, Copy)]
enum Work<'a> {
    Deployment(&'a PostedDeployment),
    Incident(&'a PostedIncident),
    Change(&'a str, &'a IncidentChange),
    Link(&'a str, Option<DeploymentId>),
}

/// What was stored.
enum Stored {
    Deployment(StoredDeployment),
    Incident(StoredIncident),
}

impl Stored {
    fn outcome(&mut self) -> &mut EventOutcome {
        match self {
            Self::Deployment(stored) => &mut stored.outcome,
            Self::Incident(stored) => &mut stored.outcome,
        }
    }
}

fn incident_of(stored: Result<Stored, EventRefusal>) -> Result<StoredIncident, EventRefusal> {
    match stored? {
        Stored::Incident(stored) => Ok(stored),
        Stored::Deployment(_) => Err(EventRefusal::UnknownIncident),
    }
}

/// The transaction that stores an event.
struct Receiving<'a> {
    received: &'a Received<'a>,
    work: Work<'a>,
    /// Why it was rolled back.
    refused: Mutex<Option<EventRefusal>>,
}

impl Transaction for Receiving<'_> {
    type Done = Stored;

    async fn run(&self, connection: &mut Session) -> Result<Stored, StoreError> {
        hold_together(connection).await?;
        let sender = self.received.sender;
        if sender.channel == Channel::Webhook {
            lock_merges(connection).await?;
        }
        let stored = match self.work {
            Work::Deployment(posted) => store_deployment(connection, sender, posted).await.map(Stored::Deployment),
            Work::Incident(posted) => store_incident(connection, sender, posted).await.map(Stored::Incident),
            Work::Change(id, change) => change_incident(connection, sender, id, change).await.map(Stored::Incident),
            Work::Link(id, deployment) => set_link(connection, id, deployment).await.map(Stored::Incident),
        };
        match stored {
            Ok(mut stored) => {
                let outcome = stored.outcome();
                // What the first attempt recorded, if its reply was lost.
                *outcome = parse_stored(&self.received.record((*outcome).into(), None, connection).await?)?;
                Ok(stored)
            }
            Err(Stopped::Failed(error)) => Err(error),
            Err(Stopped::Refused(refusal)) => {
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal.clone());
                Err(StoreError::Other(refusal.into()))
            }
        }
    }
}

/// Incidents of webhooks are stored one after the other: one that is merged changes the start of another, which may be of another service
/// and may be arriving at the same time.
async fn lock_merges(connection: &mut Session) -> Result<(), StoreError> {
    let tenant = connection.tenant().id();
    sqlx::query!("select pg_advisory_xact_lock($1, $2)", MERGES_LOCK, tenant).execute(connection).await?;
    Ok(())
}

/// The transaction that records a refusal.
struct Refusing<'a> {
    received: &'a Received<'a>,
    reason: &'static str,
}

impl Transaction for Refusing<'_> {
    type Done = ();

    async fn run(&self, connection: &mut Session) -> Result<(), StoreError> {
        self.received.record("refused", Some(self.reason), connection).await?;
        Ok(())
    }
}

/// An event that is being received.
struct Received<'a> {
    /// Random, so that a transaction that is repeated because its reply was lost records it once.
    id: i64,
    sender: &'a Sender,
    digest: &'a EventDigest,
    kind: EventSubject,
    subject: &'a str,
    at: DateTime<Utc>,
}

impl<'a> Received<'a> {
    fn new(
        sender: &'a Sender,
        digest: &'a EventDigest,
        kind: EventSubject,
        subject: &'a str,
        at: DateTime<Utc>,
    ) -> Self {
        Self { id: fastrand::i64(1..), sender, digest, kind, subject, at }
    }

    /// Records what became of it. Returns what is recorded.
    async fn record(
        &self,
        outcome: &str,
        reason: Option<&str>,
        connection: &mut Session,
    ) -> Result<String, StoreError> {
        const SUBJECT: usize = 200;
        let subject = one_line(self.subject, SUBJECT);
        sqlx::query!(
            "insert into received_events (id, received_at, channel, key_name, sha256, kind, subject, outcome, reason, plugin)
            values ($1, $2, $3, $4, $5, $6, nullif($7, ''), $8, $9, $10)
            on conflict (tenant_id, id) do nothing",
            self.id,
            self.at,
            <&str>::from(self.sender.channel),
            self.sender.key_name,
            &self.digest[..],
            <&str>::from(self.kind),
            subject,
            outcome,
            reason,
            self.sender.plugin
        )
        .execute(&mut *connection)
        .await?;
        Ok(sqlx::query_scalar!("select outcome from received_events where id = $1", self.id)
            .fetch_one(connection)
            .await?)
    }
}

/// The service that a sender names and may post about, locked.
async fn service(connection: &mut Session, sender: &Sender, name: &str) -> Result<i64, Stopped> {
    let found = sqlx::query!(
        r#"select f.id as "id!", f.slug as "slug!", (f.slug = lower($1) or f.id::text = $1) as "is_named!"
        from services_in_force as f
        where
            f.slug = lower($1)
            or f.id::text = $1
            or exists (
                select from repositories_of_services as o
                inner join repositories as r on o.repository_id = r.id
                where
                    o.service_id = f.id
                    and (r.name = lower($1) or r.current_name = lower($1) or split_part(r.name, '/', 2) = lower($1))
            )
        order by 3 desc, 1
        limit 2"#,
        name
    )
    .fetch_all(&mut *connection)
    .await?;
    let service = match found.as_slice() {
        [first, ..] if first.is_named => first,
        [only] => only,
        _ => return Err(Stopped::Refused(EventRefusal::UnknownService)),
    };
    if sender.services.as_ref().is_some_and(|allowed| !allowed.contains(&service.slug)) {
        return Err(Stopped::Refused(EventRefusal::UnknownService));
    }
    let id = service.id;
    lock(connection, id).await?;
    Ok(id)
}

/// Locks a service, and those that share a repository with it: which of them delivers a pull request first is noted once. Before the
/// first event of a service its repositories are locked, too: a page that is being stored would not see that the service has one.
async fn lock(connection: &mut Session, service: i64) -> Result<(), StoreError> {
    let rows = sqlx::query!(
        r#"select o.repository_id as "id!", s.has_facts
        from services as s
        inner join repositories_of_services as o on s.id = o.service_id
        where s.id = $1
        order by 1"#,
        service
    )
    .fetch_all(&mut *connection)
    .await?;
    let repositories: Vec<i64> = rows.iter().map(|row| row.id).collect();
    if rows.iter().any(|row| !row.has_facts) {
        sqlx::query!("select id from repositories where id = any($1) order by id for no key update", &repositories)
            .fetch_all(&mut *connection)
            .await?;
    }
    let repositories: Vec<RepositoryId> = repositories.into_iter().map(RepositoryId).collect();
    let mut locked = lock_services(connection, &repositories).await?;
    begin_new(connection, &mut locked, &[service]).await
}

/// The commits of a deployment by the ids of their repositories.
async fn revisions(
    connection: &mut Session,
    service: i64,
    named: &[(Option<RepoName>, Oid)],
) -> Result<Vec<(i64, Vec<u8>)>, Stopped> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query!(
        r#"select r.id, r.name, r.current_name
        from repositories_of_services as o
        inner join repositories as r on o.repository_id = r.id
        where o.service_id = $1
        order by r.removed_at is not null, r.id"#,
        service
    )
    .fetch_all(connection)
    .await?;
    let mut found = Vec::new();
    for (name, oid) in named {
        let repository = match name {
            Some(name) => {
                let text = name.as_str().to_lowercase();
                let known =
                    rows.iter().find(|row| row.name == text || row.current_name.as_deref() == Some(text.as_str()));
                known.ok_or_else(|| Stopped::Refused(EventRefusal::UnknownRepository(name.clone())))?.id
            }
            None => match rows.as_slice() {
                [only] => only.id,
                _ => return Err(Stopped::Refused(EventRefusal::RepositoryMissing)),
            },
        };
        found.push((repository, oid.as_bytes().to_vec()));
    }
    Ok(found)
}

async fn store_deployment(
    connection: &mut Session,
    sender: &Sender,
    posted: &PostedDeployment,
) -> Result<StoredDeployment, Stopped> {
    let service = service(connection, sender, &posted.service).await?;
    let rules = rules_of_service(connection, service).await?;
    let (rules, default) = rules.ok_or(Stopped::Refused(EventRefusal::UnknownService))?;
    let environment = Environment { name: &posted.environment, is_production: None, is_transient: false };
    let other = rules.source.as_ref().map(|rules| rules.source).filter(|source| *source != DeploymentSource::Events);
    let of_any_source = ServiceRules { source: None, ..rules };
    let group = of_any_source.group_of(&default, environment, DeploymentSource::Events);
    let is_production = group == EnvironmentGroup::Production;
    if let Some(other) = other.filter(|_| is_production) {
        return Err(Stopped::Refused(EventRefusal::OtherSource(other)));
    }
    let revisions = revisions(connection, service, &posted.revisions).await?;
    let known = sqlx::query!(
        "select id, service_id, environment from deployments where source = $1 and sender is not distinct from $2 and external_id = $3",
        <&str>::from(DeploymentSource::Events),
        sender.program,
        posted.id
    )
    .fetch_optional(&mut *connection)
    .await?;
    let (id, is_new) = match known {
        Some(known) => {
            if known.service_id != service {
                return Err(Stopped::Refused(EventRefusal::Conflict("service")));
            }
            if known.environment.to_lowercase() != posted.environment.to_lowercase() {
                return Err(Stopped::Refused(EventRefusal::Conflict("environment")));
            }
            (known.id, false)
        }
        None => (insert_deployment(connection, sender, service, posted, &group.to_string()).await?, true),
    };
    let mut is_changed = add_revisions(connection, id, &revisions).await?;
    is_changed |= add_state(connection, id, posted.state).await?;
    is_changed |= !is_new && add_fields(connection, id, posted).await?;
    if is_new || is_changed {
        settle(connection, &[id]).await?;
        derive(connection, &[service]).await?;
    }
    let has_revisions = sqlx::query_scalar!(
        r#"select exists (select from deployment_revisions where deployment_id = $1) as "has_any!""#,
        id
    )
    .fetch_one(&mut *connection)
    .await?;
    let outcome = EventOutcome::of(is_new, is_changed);
    let kept = if is_new { Vec::new() } else { kept_of_deployment(connection, id, posted).await? };
    Ok(StoredDeployment { id: DeploymentId(id), outcome, is_production, has_revisions, kept })
}

async fn insert_deployment(
    connection: &mut Session,
    sender: &Sender,
    service: i64,
    posted: &PostedDeployment,
    group: &str,
) -> Result<i64, Stopped> {
    let inserted = sqlx::query_scalar!(
        "insert into deployments (
            service_id, source, sender, external_id, listed_environment, environment, environment_group, version, url,
            is_declared_failed, is_declared_rework, remedies, created_at
        )
        values ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10, $11, $12)
        returning id",
        service,
        <&str>::from(DeploymentSource::Events),
        sender.program,
        posted.id,
        posted.environment,
        group,
        posted.version,
        posted.url,
        posted.is_failed,
        posted.is_rework,
        posted.remedies,
        posted.created_at
    )
    .fetch_one(connection)
    .await;
    inserted.map_err(taken)
}

/// Another transaction just stored the same id: the next attempt finds it.
fn taken(error: sqlx::Error) -> Stopped {
    let is_taken = error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation);
    Stopped::Failed(if is_taken { StoreError::Conflict(error.into()) } else { error.into() })
}

/// Adds the commits of a deployment. Returns whether any is new.
async fn add_revisions(
    connection: &mut Session,
    deployment: i64,
    revisions: &[(i64, Vec<u8>)],
) -> Result<bool, Stopped> {
    let mut is_changed = false;
    for (repository, oid) in revisions {
        let known = sqlx::query_scalar!(
            "select oid from deployment_revisions where deployment_id = $1 and repository_id = $2",
            deployment,
            repository
        )
        .fetch_optional(&mut *connection)
        .await?;
        match known {
            Some(known) if known == *oid => {}
            Some(_) => return Err(Stopped::Refused(EventRefusal::Conflict("sha"))),
            None => {
                sqlx::query!(
                    "insert into deployment_revisions (deployment_id, repository_id, oid) values ($1, $2, $3)",
                    deployment,
                    repository,
                    oid
                )
                .execute(&mut *connection)
                .await?;
                is_changed = true;
            }
        }
    }
    Ok(is_changed)
}

/// Adds a state. Of two equal ones the first one's time stays; only a failure after a success is a new one, also if the deployment had
/// failed before. Returns whether it is new.
async fn add_state(connection: &mut Session, deployment: i64, state: Option<DeploymentState>) -> Result<bool, Stopped> {
    let Some(DeploymentState { at, kind }) = state else { return Ok(false) };
    let added = sqlx::query!(
        "insert into deployment_states (deployment_id, at, state)
        select $1, $2, $3
        where
            not exists (select from deployment_states as s where s.deployment_id = $1 and s.state = $3)
            or $3 = 'failure'
            and exists (select from deployment_states as s where s.deployment_id = $1 and s.state = 'success' and s.at < $2)
            and not exists (
                select from deployment_states as s
                where
                    s.deployment_id = $1 and s.state = 'failure'
                    and s.at > (select min(x.at) from deployment_states as x where x.deployment_id = $1 and x.state = 'success')
            )
        on conflict do nothing",
        deployment,
        at,
        <&str>::from(kind)
    )
    .execute(connection)
    .await?;
    Ok(added.rows_affected() > 0)
}

/// Adds what earlier events about a deployment left out. What they said stays. Returns whether anything is new.
async fn add_fields(connection: &mut Session, id: i64, posted: &PostedDeployment) -> Result<bool, Stopped> {
    let added = sqlx::query!(
        "update deployments
        set
            version = coalesce(version, $2), url = coalesce(url, $3), remedies = coalesce(remedies, $4),
            is_declared_failed = is_declared_failed or $5, is_declared_rework = is_declared_rework or $6,
            -- Events come in any order, and clocks differ.
            created_at = least(created_at, $7)
        where
            id = $1
            and (
                created_at > $7
                or version is null and $2::text is not null
                or url is null and $3::text is not null
                or remedies is null and $4::text is not null
                or $5 and not is_declared_failed
                or $6 and not is_declared_rework
            )",
        id,
        posted.version,
        posted.url,
        posted.remedies,
        posted.is_failed,
        posted.is_rework,
        posted.created_at
    )
    .execute(connection)
    .await?;
    Ok(added.rows_affected() > 0)
}

/// The fields of a deployment whose first values stay.
async fn kept_of_deployment(
    connection: &mut Session,
    id: i64,
    posted: &PostedDeployment,
) -> Result<Vec<&'static str>, Stopped> {
    let row = sqlx::query!(
        r#"select
            d.version, d.url, d.remedies,
            array(select s.at from deployment_states as s where s.deployment_id = d.id and s.state = $2) as "times!"
        from deployments as d
        where d.id = $1"#,
        id,
        posted.state.map(|state| <&str>::from(state.kind))
    )
    .fetch_one(connection)
    .await?;
    let kept = [
        ("version", differs(posted.version.as_ref(), row.version.as_ref())),
        ("url", differs(posted.url.as_ref(), row.url.as_ref())),
        ("remedies", differs(posted.remedies.as_ref(), row.remedies.as_ref())),
        ("finished_at", posted.says_end && posted.state.is_some_and(|state| !row.times.contains(&stored(state.at)))),
    ];
    Ok(names_of(kept))
}

/// An instant as it is stored: in microseconds, rounded.
fn stored(at: DateTime<Utc>) -> DateTime<Utc> {
    at.round_subsecs(6)
}

/// Whether a value is said and another one is stored.
fn differs<T: PartialEq>(said: Option<&T>, stored: Option<&T>) -> bool {
    said.is_some() && said != stored
}

fn names_of<const N: usize>(fields: [(&'static str, bool); N]) -> Vec<&'static str> {
    fields.into_iter().filter(|(_, applies)| *applies).map(|(name, _)| name).collect()
}

async fn store_incident(
    connection: &mut Session,
    sender: &Sender,
    posted: &PostedIncident,
) -> Result<StoredIncident, Stopped> {
    let service = service_of_incident(connection, sender, posted).await?;
    let named = match &posted.deployment {
        Some(id) => Some(posted_deployment(connection, sender, service, id).await?),
        None => None,
    };
    let known = incident(connection, sender, &posted.id).await?;
    let (id, is_new) = match known {
        Some((_, of)) if of != Some(service) => return Err(Stopped::Refused(EventRefusal::Conflict("service"))),
        Some((id, _)) => (id, false),
        None => {
            let severity = posted.severity.as_deref().and_then(severity_of_label);
            let id = sqlx::query_scalar!(
                "insert into incidents (
                    service_id, source, sender, external_id, title, severity, source_severity, started_at, url, named_deployment_id
                )
                values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                returning id",
                service,
                sender.incident_source(),
                sender.program,
                posted.id,
                posted.title,
                severity,
                posted.severity,
                posted.started_at,
                posted.url,
                named
            )
            .fetch_one(&mut *connection)
            .await
            .map_err(taken)?;
            add_incident_state(connection, id, posted.started_at, IncidentStateKind::Opened).await?;
            (id, true)
        }
    };
    let mut is_changed = false;
    if let Some(at) = posted.resolved_at {
        is_changed = end_or_reopen(connection, id, &IncidentChange::Resolved(at)).await?;
    }
    if !is_new {
        let severity = posted.severity.as_deref().and_then(severity_of_label);
        let added = sqlx::query!(
            "update incidents
            set
                named_deployment_id = coalesce(named_deployment_id, $2), url = coalesce(url, $3),
                severity = coalesce(severity, $4),
                -- A word that is not understood gives way to one that is.
                source_severity = case when severity is null and $4::text is not null then $5 else coalesce(source_severity, $5) end
            where
                id = $1
                and (
                    severity is null and $4::text is not null or
                    named_deployment_id is null and $2::bigint is not null
                    or url is null and $3::text is not null
                    or source_severity is null and $5::text is not null
                )",
            id,
            named,
            posted.url,
            severity,
            posted.severity
        )
        .execute(&mut *connection)
        .await?;
        is_changed |= added.rows_affected() > 0;
    }
    if is_new || is_changed {
        derive(connection, &[service]).await?;
    }
    let mut stored = stored_incident(connection, id, is_new, is_changed).await?;
    if !is_new {
        stored.kept = kept_of_incident(connection, id, named, posted).await?;
    }
    Ok(stored)
}

/// The fields of an incident whose first values stay.
async fn kept_of_incident(
    connection: &mut Session,
    id: i64,
    named: Option<i64>,
    posted: &PostedIncident,
) -> Result<Vec<&'static str>, Stopped> {
    let row = sqlx::query!(
        "select title, source_severity, url, started_at, named_deployment_id from incidents where id = $1",
        id
    )
    .fetch_one(connection)
    .await?;
    Ok(names_of([
        ("title", posted.title != row.title),
        ("severity", differs(posted.severity.as_ref(), row.source_severity.as_ref())),
        ("url", differs(posted.url.as_ref(), row.url.as_ref())),
        ("started_at", posted.says_start && stored(posted.started_at) != row.started_at),
        ("deployment", differs(named.as_ref(), row.named_deployment_id.as_ref())),
    ]))
}

/// The service of a posted incident, locked. One that was delivered before keeps its service: the address of a webhook may change
/// before it is resolved.
async fn service_of_incident(
    connection: &mut Session,
    sender: &Sender,
    posted: &PostedIncident,
) -> Result<i64, Stopped> {
    if sender.channel == Channel::Webhook
        && let Some((_, Some(known))) = incident(connection, sender, &posted.id).await?
    {
        match service(connection, sender, &known.to_string()).await {
            Err(Stopped::Refused(_)) => {}
            found => return found,
        }
    }
    service(connection, sender, &posted.service).await
}

async fn change_incident(
    connection: &mut Session,
    sender: &Sender,
    external_id: &str,
    change: &IncidentChange,
) -> Result<StoredIncident, Stopped> {
    let unknown = || Stopped::Refused(EventRefusal::UnknownIncident);
    let (_, of) = incident(connection, sender, external_id).await?.ok_or_else(unknown)?;
    let of = of.ok_or_else(unknown)?;
    // By its number, a service is found for as long as it is in force.
    let service = service(connection, sender, &of.to_string()).await.map_err(|stopped| match stopped {
        Stopped::Refused(_) => unknown(),
        failed @ Stopped::Failed(_) => failed,
    })?;
    let (id, _) = incident(connection, sender, external_id).await?.ok_or_else(unknown)?;
    let before = targets(connection, id).await?;
    let mut is_changed = if sender.channel == Channel::Webhook {
        match change.delivered(&states_of(connection, id).await?) {
            Some((at, kind)) => add_incident_state(connection, id, at, kind).await?,
            None => false,
        }
    } else {
        end_or_reopen(connection, id, change).await?
    };
    if let IncidentChange::Merged { at, into } = change {
        // The last merge says into what, in any order of arrival.
        let merged = sqlx::query!(
            "update incidents as i set merged_into = $2
            where
                i.id = $1 and i.merged_into is distinct from $2
                and not exists (
                    select from incident_states as s where s.incident_id = i.id and s.state = 'merged' and s.at > greatest($3, i.started_at)
                )",
            id,
            into.as_deref(),
            at
        )
        .execute(&mut *connection)
        .await?;
        is_changed |= merged.rows_affected() > 0;
    }
    if is_changed {
        let mut services = vec![service];
        // What it is merged into starts with the earliest of them.
        let others = [before, targets(connection, id).await?].concat();
        begin_new(connection, &mut services, &others).await?;
        derive(connection, &services).await?;
    }
    stored_incident(connection, id, false, is_changed).await
}

/// The services of what an incident is merged into, directly and in the end.
async fn targets(connection: &mut Session, id: i64) -> Result<Vec<i64>, Stopped> {
    let services = sqlx::query_scalar!(
        r#"with recursive chain as (
            select m.target_id, m.target_service_id from merged_incidents as m where m.id = $1
            union
            select m.target_id, m.target_service_id
            from chain as c
            inner join merged_incidents as m on c.target_id = m.id
        )
        select c.target_service_id as "id!" from chain as c where c.target_service_id is not null"#,
        id
    )
    .fetch_all(connection)
    .await?;
    Ok(services)
}

/// A posted incident with its service.
async fn incident(
    connection: &mut Session,
    sender: &Sender,
    external_id: &str,
) -> Result<Option<(i64, Option<i64>)>, Stopped> {
    let row = sqlx::query!(
        "select id, service_id from incidents where source = $1 and sender is not distinct from $2 and external_id = $3",
        sender.incident_source(),
        sender.program,
        external_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| (row.id, row.service_id)))
}

/// Sets the deployment of an incident of any source.
async fn set_link(
    connection: &mut Session,
    external_id: &str,
    deployment: Option<DeploymentId>,
) -> Result<StoredIncident, Stopped> {
    // By its number where several sources have an incident with this id.
    let found = sqlx::query!(
        "with named as (
            select id, service_id, external_id from incidents
            where (external_id = $1 or id::text = $1) and withdrawn_at is null
        )
        select n.id, n.service_id from named as n
        where n.external_id = $1 or not exists (select from named as o where o.external_id = $1)
        limit 2",
        external_id
    )
    .fetch_all(&mut *connection)
    .await?;
    let [incident] = &found[..] else {
        let refusal = if found.is_empty() { EventRefusal::UnknownIncident } else { EventRefusal::AmbiguousIncident };
        return Err(Stopped::Refused(refusal));
    };
    let Some(service) = incident.service_id else { return Err(Stopped::Refused(EventRefusal::NoCause)) };
    let services = lock_ids(connection, &[service]).await?;
    if let Some(deployment) = deployment {
        let is_of_service = sqlx::query_scalar!(
            r#"select exists (
                select from deployments as d
                where
                    d.id = $1 and d.service_id = $2 and d.environment_group = 'production' and d.outcome = 'succeeded'
                    and d.deleted_at is null
            ) as "is_of_service!""#,
            deployment.0,
            service
        )
        .fetch_one(&mut *connection)
        .await?;
        if !is_of_service {
            return Err(Stopped::Refused(EventRefusal::NoCause));
        }
    }
    let changed = sqlx::query!(
        "update incidents set set_deployment_id = $2 where id = $1 and set_deployment_id is distinct from $2",
        incident.id,
        deployment.map(|deployment| deployment.0)
    )
    .execute(&mut *connection)
    .await?;
    let is_changed = changed.rows_affected() > 0;
    if is_changed {
        derive(connection, &services).await?;
    }
    stored_incident(connection, incident.id, false, is_changed).await
}

/// The deployment that a sender posted with an id.
async fn posted_deployment(
    connection: &mut Session,
    sender: &Sender,
    service: i64,
    external_id: &str,
) -> Result<i64, Stopped> {
    let id = sqlx::query_scalar!(
        "select id from deployments
        where source = $1 and sender is not distinct from $2 and external_id = $3 and service_id = $4",
        <&str>::from(DeploymentSource::Events),
        sender.program,
        external_id,
        service
    )
    .fetch_optional(connection)
    .await?;
    id.ok_or(Stopped::Refused(EventRefusal::UnknownDeployment))
}

/// Adds a state to an incident, unless it has that state already. Returns whether it is new.
async fn end_or_reopen(connection: &mut Session, id: i64, change: &IncidentChange) -> Result<bool, Stopped> {
    let states = states_of(connection, id).await?;
    let (at, kind) = change.state();
    let is_known = states.contains(&IncidentState { at, kind });
    let is_new = match IncidentOutcome::of(&states) {
        IncidentOutcome::Open => kind != IncidentStateKind::Reopened,
        IncidentOutcome::Resolved { .. } => kind != IncidentStateKind::Resolved,
        IncidentOutcome::NotCounted => kind == IncidentStateKind::Reopened,
    };
    if is_known || !is_new {
        return Ok(false);
    }
    // At the same instant, the resolution would win.
    let is_late = |last: DateTime<Utc>| if kind == IncidentStateKind::Reopened { at <= last } else { at < last };
    if let Some(last) = states.iter().map(|state| state.at).max().filter(|last| is_late(*last)) {
        let field = match kind {
            IncidentStateKind::Reopened => "reopened_at",
            IncidentStateKind::Dismissed => "dismissed_at",
            _ => "resolved_at",
        };
        return Err(Stopped::Refused(EventRefusal::BeforeLastState { field, last }));
    }
    add_incident_state(connection, id, at, kind).await?;
    Ok(true)
}

async fn states_of(connection: &mut Session, id: i64) -> Result<Vec<IncidentState>, StoreError> {
    let rows = sqlx::query!("select at, state from incident_states where incident_id = $1 order by at, state", id)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(|row| Ok(IncidentState { at: row.at, kind: parse_stored(&row.state)? })).collect()
}

async fn add_incident_state(
    connection: &mut Session,
    id: i64,
    at: DateTime<Utc>,
    kind: IncidentStateKind,
) -> Result<bool, Stopped> {
    let added = sqlx::query!(
        "insert into incident_states (incident_id, at, state) values ($1, $2, $3) on conflict do nothing",
        id,
        at,
        <&str>::from(kind)
    )
    .execute(connection)
    .await?;
    Ok(added.rows_affected() > 0)
}

async fn stored_incident(
    connection: &mut Session,
    id: i64,
    is_new: bool,
    is_changed: bool,
) -> Result<StoredIncident, Stopped> {
    let row = sqlx::query!(
        r#"select
            f.deployment_id as "deployment_id?", f.rule as "rule?",
            i.source_severity is not null and i.severity is null as "has_unknown_severity!"
        from incidents as i
        left join incident_facts as f on i.id = f.incident_id
        where i.id = $1"#,
        id
    )
    .fetch_one(connection)
    .await?;
    let link = match row.deployment_id.zip(row.rule) {
        Some((deployment, rule)) => Some((DeploymentId(deployment), parse_stored(&rule)?)),
        None => None,
    };
    let outcome = EventOutcome::of(is_new, is_changed);
    let has_unknown_severity = row.has_unknown_severity;
    Ok(StoredIncident { id: IncidentId(id), outcome, link, has_unknown_severity, kept: Vec::new() })
}
