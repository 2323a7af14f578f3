//! Derives what deployments delivered, which of them failed, and which teams they belong to, from what is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::{
    DeploymentId, DeploymentKind, Judgment, MissingReason, PullRequestId, Share, Shares, Stream, Timeline, Via, judge,
    shares_of, timeline,
};
use mergeline_domain::metrics::Basis;
use mergeline_domain::{Period, TeamId, Weight};

use super::incidents::Incidents;
use super::rules::DeliveryRules;
use super::stream::{StoredStream, columns_of};
use crate::attributions::{hold_alone, stored_period};
use crate::session::Session;
use crate::{RepositoryId, StoreError, Writer};

/// Locks the incidents that belong to no service. Beside the lock of the configuration.
const UNASSIGNED_LOCK: i32 = 0x6d67_6c69;

/// What a recompute found that differs from what is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Differences {
    /// How many services were looked at.
    pub services: usize,
    /// How many derived rows were missing, different or too many.
    pub rows: u64,
}

impl Writer {
    /// Derives everything again from stored facts. Without `writes`, only counts what differs; that is zero unless
    /// something is wrong.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn derive_all(&self, writes: bool) -> Result<Differences, StoreError> {
        let mut transaction = self.pool.begin().await?;
        hold_alone(&mut transaction).await?;
        let services = lock_all(&mut transaction).await?;
        let mut differences = Differences { services: services.len(), rows: 0 };
        let rules = DeliveryRules::read(&mut transaction).await?;
        for service in services {
            differences.rows += derive_one(&mut transaction, service, &rules).await?;
        }
        differences.rows += derive_unassigned(&mut transaction, &rules).await?;
        differences.rows += correct_copies(&mut transaction).await?;
        if writes {
            transaction.commit().await?;
        }
        Ok(differences)
    }
}

/// Locks the services of these repositories that have deployments, in a fixed order. To call before any fact is written.
pub(crate) async fn lock_services(
    connection: &mut Session,
    repositories: &[RepositoryId],
) -> Result<Vec<i64>, StoreError> {
    let repositories: Vec<i64> = repositories.iter().map(|repository| repository.0).collect();
    Ok(sqlx::query_scalar!(
        "select s.id from services as s
        where
            s.has_facts
            and (
                s.repository_id = any($1)
                or exists (
                    select from service_repositories as o
                    inner join repositories as r on o.repository in (r.name, r.current_name)
                    where o.service_id = s.id and r.id = any($1)
                )
                or exists (select from deployments as d where d.service_id = s.id and d.repository_id = any($1))
            )
        order by s.id
        for update",
        &repositories
    )
    .fetch_all(connection)
    .await?)
}

/// Locks all services that have deployments or incidents, in a fixed order.
pub(super) async fn lock_all(connection: &mut Session) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!("select id from services where has_facts order by id for update")
        .fetch_all(connection)
        .await?)
}

/// Locks these services, in a fixed order.
pub(super) async fn lock_ids(connection: &mut Session, services: &[i64]) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar!("select id from services where id = any($1) order by id for update", services)
        .fetch_all(connection)
        .await?)
}

/// Adds those services to the locked ones that are not yet, and notes that they have deployments.
pub(super) async fn begin_new(
    connection: &mut Session,
    locked: &mut Vec<i64>,
    services: &[i64],
) -> Result<(), StoreError> {
    let new: Vec<i64> = services.iter().copied().filter(|id| !locked.contains(id)).collect();
    if new.is_empty() {
        return Ok(());
    }
    locked.extend(lock_ids(connection, &new).await?);
    locked.sort_unstable();
    locked.dedup();
    sqlx::query!("update services set has_facts = true where id = any($1) and not has_facts", &new)
        .execute(connection)
        .await?;
    Ok(())
}

/// Derives these services again, which are locked.
pub(crate) async fn derive(connection: &mut Session, services: &[i64]) -> Result<(), StoreError> {
    if services.is_empty() {
        return Ok(());
    }
    let rules = DeliveryRules::read(connection).await?;
    for service in services {
        derive_one(connection, *service, &rules).await?;
    }
    Ok(())
}

/// Derives these services again, which are locked, and the incidents that belong to no service. To call last.
pub(super) async fn derive_with_unassigned(connection: &mut Session, services: &[i64]) -> Result<(), StoreError> {
    let rules = DeliveryRules::read(connection).await?;
    for service in services {
        derive_one(connection, *service, &rules).await?;
    }
    derive_unassigned(connection, &rules).await?;
    Ok(())
}

/// Derives incidents that belong to no service. Returns how many rows changed. To call last: it locks all of them.
async fn derive_unassigned(connection: &mut Session, rules: &DeliveryRules) -> Result<u64, StoreError> {
    let tenant = connection.tenant().id();
    sqlx::query!("select pg_advisory_xact_lock($1, $2)", UNASSIGNED_LOCK, tenant).execute(&mut *connection).await?;
    let incidents = Incidents::read(connection, None).await?;
    let linked = incidents.linked(&Stream::default(), &Timeline::default(), rules.incident_window);
    linked.write(connection, None).await
}

/// Deletes what is derived from pull requests that are about to be deleted, or to belong to another repository.
pub(crate) async fn forget_deliveries(connection: &mut Session, pull_requests: &[i64]) -> Result<(), StoreError> {
    sqlx::query!("delete from pr_deliveries where pull_request_id = any($1)", pull_requests)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("delete from deployment_attempts where pull_request_id = any($1)", pull_requests)
        .execute(connection)
        .await?;
    Ok(())
}

/// Derives a service. Returns how many rows changed.
async fn derive_one(connection: &mut Session, service: i64, rules: &DeliveryRules) -> Result<u64, StoreError> {
    note_source(connection, service).await?;
    let incidents = Incidents::read(connection, Some(service)).await?;
    let stored = StoredStream::read(connection, service, rules, &incidents).await?;
    let timeline = timeline(&stored.stream);
    let incidents = incidents.linked(&stored.stream, &timeline, rules.incident_window);
    let judgments = judge(&stored.stream, &timeline, &incidents.links(), rules.remedy_window);
    let weights = |pull_request: PullRequestId| -> &[(TeamId, Weight)] {
        stored.weights.get(&pull_request).map_or(&[], Vec::as_slice)
    };
    let shares = shares_of(&timeline, weights);
    let times: HashMap<DeploymentId, Times> = stored
        .stream
        .deployments
        .iter()
        .filter_map(|it| {
            let finished_at = it.outcome.finished_at()?;
            Some((it.id, Times { succeeded_at: it.outcome.succeeded_at(), finished_at }))
        })
        .collect();
    let mut changed = write_facts(connection, service, &timeline, &judgments, &times).await?;
    changed += write_failures(connection, service, &judgments).await?;
    changed += write_deliveries(connection, service, &stored, &timeline, &times).await?;
    changed += write_attempts(connection, service, &timeline).await?;
    let owners = owners(connection, service).await?;
    let owned = owned_shares(&timeline, &times, &owners);
    for (basis, shares) in [(Basis::Delivered, &shares), (Basis::Owned, &owned)] {
        changed += write_shares(connection, service, basis, &timeline, &judgments, &times, shares).await?;
    }
    changed += incidents.write(connection, Some(service)).await?;
    if changed > 0 {
        sqlx::query!("update services set data_version = data_version + 1 where id = $1", service)
            .execute(connection)
            .await?;
    }
    Ok(changed)
}

/// Notes which source reported the first deployment of a service to production. That one goes on unless the configuration says
/// otherwise. The other sources need options, so only the configuration can name them.
async fn note_source(connection: &mut Session, service: i64) -> Result<(), StoreError> {
    sqlx::query!(
        "update services as s
        set first_source = d.source
        from (
            select d.source from deployments as d
            where
                d.service_id = $1 and d.environment_group = 'production' and d.deleted_at is null
                and d.source in ('github-deployments', 'events')
            order by d.id
            limit 1
        ) as d
        where s.id = $1 and s.first_source is null",
        service
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// When a deployment succeeded, and finished.
struct Times {
    succeeded_at: Option<DateTime<Utc>>,
    finished_at: DateTime<Utc>,
}

/// The reasons for rework of a deployment, in the form of the database.
fn rework_of(judgment: Option<&Judgment>) -> String {
    let reasons: Vec<&str> = judgment.into_iter().flat_map(|judgment| &judgment.rework).map(<&str>::from).collect();
    format!("{{{}}}", reasons.join(","))
}

async fn write_facts(
    connection: &mut Session,
    service: i64,
    timeline: &Timeline,
    judgments: &BTreeMap<DeploymentId, Judgment>,
    times: &HashMap<DeploymentId, Times>,
) -> Result<u64, StoreError> {
    let (mut ids, mut succeeded_at, mut finished_at, mut kinds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut repeats, mut replaces, mut known, mut new, mut after_unknown) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut counts, mut rework, mut remedied_by, mut remedied_at) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for fact in &timeline.facts {
        let Some(time) = times.get(&fact.deployment) else { continue };
        let judgment = judgments.get(&fact.deployment);
        ids.push(fact.deployment.0);
        succeeded_at.push(time.succeeded_at);
        finished_at.push(time.finished_at);
        kinds.push(fact.kind.map(<&str>::from));
        repeats.push(fact.repeats.map(|id| id.0));
        replaces.push(fact.replaces.map(|id| id.0));
        known.push(fact.is_known);
        new.push(fact.has_new_commits);
        after_unknown.push(fact.is_after_unknown);
        counts.push(i32::try_from(fact.pull_requests.len()).unwrap_or(i32::MAX));
        rework.push(rework_of(judgment));
        let named = judgment.and_then(|judgment| judgment.named_remedy);
        let (by, at) = columns_of(named.map(|remedy| (remedy.deployment, remedy.at)));
        remedied_by.push(by);
        remedied_at.push(at);
    }
    let gone = sqlx::query!(
        "delete from deployment_facts as f
        using deployments as d
        where
            f.deployment_id = d.id and (d.service_id = $1 or f.service_id = $1)
            and f.deployment_id not in (select unnest($2::bigint []))",
        service,
        &ids
    )
    .execute(&mut *connection)
    .await?;
    let written = sqlx::query!(
        "insert into deployment_facts as f (
            service_id, deployment_id, succeeded_at, finished_at, kind, repeats_id, replaces_id, is_known, has_new_commits,
            is_after_unknown, pull_requests, rework, remedied_by_id, remedied_at
        )
        select
            $1, w.deployment_id, w.succeeded_at, w.finished_at, w.kind, w.repeats_id, w.replaces_id, w.is_known,
            w.has_new_commits, w.is_after_unknown, w.pull_requests, w.rework::text [], w.remedied_by_id, w.remedied_at
        from unnest(
            $2::bigint [], $3::timestamptz [], $4::timestamptz [], $5::text [], $6::bigint [], $7::bigint [], $8::boolean [],
            $9::boolean [], $10::boolean [], $11::integer [], $12::text [], $13::bigint [], $14::timestamptz []
        ) as w (
            deployment_id, succeeded_at, finished_at, kind, repeats_id, replaces_id, is_known, has_new_commits,
            is_after_unknown, pull_requests, rework, remedied_by_id, remedied_at
        )
        -- Most are what they were, and looking costs less than trying to write.
        left join deployment_facts as b on w.deployment_id = b.deployment_id
        where
            b.deployment_id is null
            or (
                b.service_id, b.succeeded_at, b.finished_at, b.kind, b.repeats_id, b.replaces_id, b.is_known,
                b.has_new_commits, b.is_after_unknown, b.pull_requests, b.rework, b.remedied_by_id, b.remedied_at
            ) is distinct from (
                $1, w.succeeded_at, w.finished_at, w.kind, w.repeats_id, w.replaces_id, w.is_known, w.has_new_commits,
                w.is_after_unknown, w.pull_requests, w.rework::text [], w.remedied_by_id, w.remedied_at
            )
        order by w.deployment_id
        on conflict (tenant_id, deployment_id) do update
        set
            service_id = excluded.service_id, succeeded_at = excluded.succeeded_at, finished_at = excluded.finished_at,
            kind = excluded.kind, repeats_id = excluded.repeats_id, replaces_id = excluded.replaces_id,
            is_known = excluded.is_known, has_new_commits = excluded.has_new_commits,
            is_after_unknown = excluded.is_after_unknown, pull_requests = excluded.pull_requests,
            rework = excluded.rework, remedied_by_id = excluded.remedied_by_id, remedied_at = excluded.remedied_at",
        service,
        &ids,
        &succeeded_at as &[Option<DateTime<Utc>>],
        &finished_at,
        &kinds as &[Option<&str>],
        &repeats as &[Option<i64>],
        &replaces as &[Option<i64>],
        &known,
        &new,
        &after_unknown,
        &counts,
        &rework,
        &remedied_by as &[Option<i64>],
        &remedied_at as &[Option<DateTime<Utc>>]
    )
    .execute(connection)
    .await?;
    Ok(gone.rows_affected() + written.rows_affected())
}

async fn write_failures(
    connection: &mut Session,
    service: i64,
    judgments: &BTreeMap<DeploymentId, Judgment>,
) -> Result<u64, StoreError> {
    let (mut ids, mut reasons, mut remedied_by, mut remedied_at) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (deployment, judgment) in judgments {
        for (reason, remedy) in &judgment.failures {
            ids.push(deployment.0);
            reasons.push(<&str>::from(reason));
            let (by, at) = columns_of(remedy.map(|remedy| (remedy.deployment, remedy.at)));
            remedied_by.push(by);
            remedied_at.push(at);
        }
    }
    let gone = sqlx::query!(
        "delete from deployment_failures as f
        using deployments as d
        where
            f.deployment_id = d.id and d.service_id = $1
            and not exists (
                select from unnest($2::bigint [], $3::text []) as w (deployment_id, reason)
                where f.deployment_id = w.deployment_id and f.reason = w.reason
            )",
        service,
        &ids,
        &reasons as &[&str]
    )
    .execute(&mut *connection)
    .await?;
    let written = sqlx::query!(
        "insert into deployment_failures as f (deployment_id, reason, remedied_by_id, remedied_at)
        select * from unnest($1::bigint [], $2::text [], $3::bigint [], $4::timestamptz [])
        order by 1, 2
        on conflict (tenant_id, deployment_id, reason) do update
        set remedied_by_id = excluded.remedied_by_id, remedied_at = excluded.remedied_at
        where f is distinct from excluded",
        &ids,
        &reasons as &[&str],
        &remedied_by as &[Option<i64>],
        &remedied_at as &[Option<DateTime<Utc>>]
    )
    .execute(connection)
    .await?;
    Ok(gone.rows_affected() + written.rows_affected())
}

/// Writes which deployment delivered each pull request of a service, and with it when the first of its services did.
async fn write_deliveries(
    connection: &mut Session,
    service: i64,
    stored: &StoredStream,
    timeline: &Timeline,
    times: &HashMap<DeploymentId, Times>,
) -> Result<u64, StoreError> {
    let mut delivered: HashMap<PullRequestId, (DeploymentId, DateTime<Utc>)> = HashMap::new();
    for fact in timeline.facts.iter().filter(|fact| fact.kind.is_some_and(DeploymentKind::is_counted)) {
        let Some(at) = times.get(&fact.deployment).and_then(|times| times.succeeded_at) else { continue };
        delivered.extend(fact.pull_requests.iter().map(|pull_request| (*pull_request, (fact.deployment, at))));
    }
    let (mut ids, mut deployments, mut delivered_at) = (Vec::new(), Vec::new(), Vec::new());
    let (mut via, mut missing): (Vec<Option<&str>>, Vec<Option<&str>>) = (Vec::new(), Vec::new());
    for pull_request in &stored.stream.pull_requests {
        let by = delivered.get(&pull_request.id).copied();
        let reason = timeline.missing.get(&pull_request.id);
        let is_pending = stored.undetailed.contains(&pull_request.id) && reason == Some(&MissingReason::UnknownHistory);
        if by.is_none() && reason.is_none() {
            continue;
        }
        let (deployment, at) = columns_of(by);
        ids.push(pull_request.id.0);
        deployments.push(deployment);
        delivered_at.push(at);
        via.push(pull_request.commit.as_ref().map(|(_, via): &(_, Via)| via.into()));
        missing.push(match (by, reason) {
            (Some(_), _) => None,
            (None, Some(_)) if is_pending => Some("not_collected"),
            (None, reason) => reason.map(<&str>::from),
        });
    }
    let gone = sqlx::query_scalar!(
        "delete from pr_deliveries
        where service_id = $1 and pull_request_id not in (select unnest($2::bigint []))
        returning pull_request_id",
        service,
        &ids
    )
    .fetch_all(&mut *connection)
    .await?;
    let written = sqlx::query_scalar!(
        "insert into pr_deliveries (service_id, pull_request_id, deployment_id, delivered_at, via, missing)
        select $1, w.*
        from unnest($2::bigint [], $3::bigint [], $4::timestamptz [], $5::text [], $6::text [])
            as w (pull_request_id, deployment_id, delivered_at, via, missing)
        -- Most are what they were, and looking costs less than trying to write.
        left join pr_deliveries as b on b.service_id = $1 and w.pull_request_id = b.pull_request_id
        where
            b.service_id is null
            or (b.deployment_id, b.delivered_at, b.via, b.missing)
            is distinct from (w.deployment_id, w.delivered_at, w.via, w.missing)
        order by w.pull_request_id
        on conflict (tenant_id, service_id, pull_request_id) do update
        set
            deployment_id = excluded.deployment_id, delivered_at = excluded.delivered_at, via = excluded.via,
            missing = excluded.missing
        returning pull_request_id",
        service,
        &ids,
        &deployments as &[Option<i64>],
        &delivered_at as &[Option<DateTime<Utc>>],
        &via as &[Option<&str>],
        &missing as &[Option<&str>]
    )
    .fetch_all(&mut *connection)
    .await?;
    let touched: BTreeSet<i64> = gone.iter().chain(&written).copied().collect();
    if !touched.is_empty() {
        note_first_deliveries(connection, &touched.into_iter().collect::<Vec<_>>()).await?;
    }
    let count = gone.len() + written.len();
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Corrects all copies of first deliveries. Returns how many were wrong.
async fn correct_copies(connection: &mut Session) -> Result<u64, StoreError> {
    let wrong = sqlx::query_scalar!(
        "select p.id from pull_requests as p
        left join lateral first_delivery(p.id) as d on true
        where
            (p.delivered_at, p.is_delivery_assumed) is distinct from (d.delivered_at, coalesce(d.is_assumed, false))
            or exists (
                select from pr_attributions as a
                where
                    a.pull_request_id = p.id
                    and (a.delivered_at, a.lead_seconds, a.deploy_seconds)
                    is distinct from (p.delivered_at, lead_seconds(p), deploy_seconds(p))
            )"
    )
    .fetch_all(&mut *connection)
    .await?;
    note_first_deliveries(connection, &wrong).await?;
    Ok(u64::try_from(wrong.len()).unwrap_or(u64::MAX))
}

/// Copies the first delivery of pull requests to them and to their attributions.
pub(crate) async fn note_first_deliveries(connection: &mut Session, pull_requests: &[i64]) -> Result<(), StoreError> {
    sqlx::query!(
        "update pull_requests as p
        set delivered_at = d.delivered_at, is_delivery_assumed = d.is_assumed
        from (
            select i.id, d.delivered_at, coalesce(d.is_assumed, false) as is_assumed
            from unnest($1::bigint []) as i (id)
            left join lateral first_delivery(i.id) as d on true
        ) as d
        where
            p.id = d.id
            and (p.delivered_at, p.is_delivery_assumed) is distinct from (d.delivered_at, d.is_assumed)",
        pull_requests
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "update pr_attributions as a
        set delivered_at = p.delivered_at, lead_seconds = lead_seconds(p), deploy_seconds = deploy_seconds(p)
        from pull_requests as p
        where
            a.pull_request_id = p.id and p.id = any($1)
            and (a.delivered_at, a.lead_seconds, a.deploy_seconds)
            is distinct from (p.delivered_at, lead_seconds(p), deploy_seconds(p))",
        pull_requests
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes what failed attempts contained.
async fn write_attempts(connection: &mut Session, service: i64, timeline: &Timeline) -> Result<u64, StoreError> {
    let (mut deployments, mut pull_requests) = (Vec::new(), Vec::new());
    for fact in timeline.facts.iter().filter(|fact| fact.kind.is_none()) {
        deployments.extend(fact.pull_requests.iter().map(|_| fact.deployment.0));
        pull_requests.extend(fact.pull_requests.iter().map(|pull_request| pull_request.0));
    }
    let gone = sqlx::query!(
        "delete from deployment_attempts as a
        using deployments as d
        where
            a.deployment_id = d.id and d.service_id = $1
            and not exists (
                select from unnest($2::bigint [], $3::bigint []) as w (deployment_id, pull_request_id)
                where a.deployment_id = w.deployment_id and a.pull_request_id = w.pull_request_id
            )",
        service,
        &deployments,
        &pull_requests
    )
    .execute(&mut *connection)
    .await?;
    let written = sqlx::query!(
        "insert into deployment_attempts (deployment_id, pull_request_id)
        select * from unnest($1::bigint [], $2::bigint [])
        order by 1, 2
        on conflict do nothing",
        &deployments,
        &pull_requests
    )
    .execute(connection)
    .await?;
    Ok(gone.rows_affected() + written.rows_affected())
}

/// A team that owns a service, its share and when.
struct Owner {
    team: TeamId,
    share: Share,
    period: Period,
}

async fn owners(connection: &mut Session, service: i64) -> Result<Vec<Owner>, StoreError> {
    let rows = sqlx::query!(
        r#"select team_id, (weight * 100000000)::bigint as "units!", owned_from, owned_to
        from service_owners
        where service_id = $1 and removed_in is null
        order by team_id, owned_from"#,
        service
    )
    .fetch_all(connection)
    .await?;
    let owners = rows.into_iter().map(|row| {
        let period = stored_period(row.owned_from, row.owned_to)?;
        Ok(Owner { team: TeamId(row.team_id), share: Share(row.units), period })
    });
    owners.collect()
}

/// The shares of the owners of a service in its deployments (`owned@1`), when each finished.
fn owned_shares(
    timeline: &Timeline,
    times: &HashMap<DeploymentId, Times>,
    owners: &[Owner],
) -> BTreeMap<DeploymentId, Shares> {
    let counted = timeline.facts.iter().filter(|fact| fact.kind.is_none_or(DeploymentKind::is_counted));
    let shares = counted.filter_map(|fact| {
        let at = times.get(&fact.deployment)?.finished_at;
        let in_charge = owners.iter().filter(|owner| owner.period.contains(at));
        Some((fact.deployment, Shares { teams: in_charge.map(|owner| (owner.team, owner.share)).collect() }))
    });
    shares.collect()
}

async fn write_shares(
    connection: &mut Session,
    service: i64,
    basis: Basis,
    timeline: &Timeline,
    judgments: &BTreeMap<DeploymentId, Judgment>,
    times: &HashMap<DeploymentId, Times>,
    shares: &BTreeMap<DeploymentId, Shares>,
) -> Result<u64, StoreError> {
    let kinds: HashMap<DeploymentId, Option<&str>> =
        timeline.facts.iter().map(|fact| (fact.deployment, fact.kind.map(<&str>::from))).collect();
    let (mut teams, mut ids, mut parts) = (Vec::new(), Vec::new(), Vec::new());
    let (mut succeeded_at, mut finished_at, mut kind, mut rework) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (deployment, shares) in shares {
        let Some(time) = times.get(deployment) else { continue };
        for (team, share) in &shares.teams {
            teams.push(team.0);
            ids.push(deployment.0);
            parts.push(share.0);
            succeeded_at.push(time.succeeded_at);
            finished_at.push(time.finished_at);
            kind.push(kinds.get(deployment).copied().flatten());
            rework.push(rework_of(judgments.get(deployment)));
        }
    }
    let gone = sqlx::query!(
        "delete from deployment_shares as s
        using deployments as d
        where
            s.deployment_id = d.id and s.basis = $4 and (d.service_id = $1 or s.service_id = $1)
            and not exists (
                select from unnest($2::bigint [], $3::bigint []) as w (team_id, deployment_id)
                where s.team_id = w.team_id and s.deployment_id = w.deployment_id
            )",
        service,
        &teams,
        &ids,
        <&str>::from(basis)
    )
    .execute(&mut *connection)
    .await?;
    let written = sqlx::query!(
        "insert into deployment_shares as s (
            basis, service_id, team_id, deployment_id, share, succeeded_at, finished_at, kind, rework
        )
        select
            $9, $1, w.team_id, w.deployment_id, w.units::numeric / 100000000, w.succeeded_at, w.finished_at, w.kind,
            w.rework::text []
        from unnest(
            $2::bigint [], $3::bigint [], $4::bigint [], $5::timestamptz [], $6::timestamptz [], $7::text [], $8::text []
        ) as w (team_id, deployment_id, units, succeeded_at, finished_at, kind, rework)
        left join deployment_shares as b
            on b.basis = $9 and w.team_id = b.team_id and w.deployment_id = b.deployment_id
        where
            b.deployment_id is null
            or (b.share, b.service_id, b.succeeded_at, b.finished_at, b.kind, b.rework)
            is distinct from (w.units::numeric / 100000000, $1, w.succeeded_at, w.finished_at, w.kind, w.rework::text [])
        order by w.team_id, w.deployment_id
        on conflict (tenant_id, basis, team_id, deployment_id) do update
        set
            share = excluded.share, service_id = excluded.service_id, succeeded_at = excluded.succeeded_at,
            finished_at = excluded.finished_at, kind = excluded.kind, rework = excluded.rework",
        service,
        &teams,
        &ids,
        &parts,
        &succeeded_at as &[Option<DateTime<Utc>>],
        &finished_at,
        &kind as &[Option<&str>],
        &rework,
        <&str>::from(basis)
    )
    .execute(connection)
    .await?;
    Ok(gone.rows_affected() + written.rows_affected())
}
