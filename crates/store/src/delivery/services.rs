//! The services of the teams file, and which of them deployments belong to.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::{DeploymentSource, Environment, EnvironmentRules, Origin, ServiceId, ServiceRules};
use mergeline_domain::teams_file::{DeliverySettings, ServiceEntry};
use sqlx::types::Json;

use super::derive::{begin_new, derive_with_unassigned, lock_all, lock_services};
use super::files::count_without_files;
use super::issues::{assign_incidents, withdraw_unlabeled};
use super::rules::{DeliveryRules, RepositoryServices, rules_of_service};
use crate::session::Session;
use crate::{RepositoryId, Revision, StoreError};

/// Makes these the services in force, moves deployments to the services that they now belong to, and derives what follows.
/// The caller holds the configuration alone.
pub(crate) async fn write_services(
    connection: &mut Session,
    settings: &DeliverySettings,
    revision: Revision,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let slugs: Vec<&str> = settings.services.iter().map(|service| service.slug.as_str()).collect();
    sqlx::query!(
        "update services set archived_at = $2 where slug is not null and slug <> all($1) and archived_at is null",
        &slugs as &[&str],
        now
    )
    .execute(&mut *connection)
    .await?;
    for (place, service) in (0..).zip(&settings.services) {
        keep_until_compared(connection, service).await?;
        let id = sqlx::query_scalar!(
            "insert into services (slug, name, place, environments, source, source_options, paths)
            values ($1, $2, $3, $4, $5, $6, $7)
            on conflict (tenant_id, slug) do update
            set
                name = excluded.name, place = excluded.place, environments = excluded.environments, source = excluded.source,
                source_options = excluded.source_options, paths = excluded.paths, archived_at = null,
                paths_revision = services.paths_revision + (services.paths is distinct from excluded.paths)::integer
            returning id",
            service.slug.as_str(),
            service.name,
            place,
            service.environments.as_deref(),
            service.source.map(<&str>::from),
            Json(&service.source_options) as _,
            service.paths.as_deref()
        )
        .fetch_one(&mut *connection)
        .await?;
        let names: Vec<&str> = service.repositories.iter().map(mergeline_domain::RepoName::as_str).collect();
        sqlx::query!(
            "delete from service_repositories where service_id = $1 and repository <> all($2)",
            id,
            &names as &[&str]
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "insert into service_repositories (service_id, repository) select $1, unnest($2::text []) on conflict do nothing",
            id,
            &names as &[&str]
        )
        .execute(&mut *connection)
        .await?;
    }
    take_over_until_compared(connection).await?;
    count_without_files(connection, None).await?;
    write_owners(connection, settings, revision).await?;
    withdraw_unlabeled(connection, &settings.incident_labels, now).await?;
    let mut moved = move_deployments(connection, None).await?;
    moved.extend(regroup_posted(connection).await?);
    moved.extend(move_posted_incidents(connection).await?);
    moved.extend(assign_incidents(connection).await?);
    let mut services = lock_all(connection).await?;
    begin_new(connection, &mut services, &moved).await?;
    derive_with_unassigned(connection, &services).await
}

/// A service that had all files of its repositories keeps its pull requests until they are compared with its first paths.
async fn keep_until_compared(connection: &mut Session, service: &ServiceEntry) -> Result<(), StoreError> {
    if service.paths.is_none() {
        return Ok(());
    }
    sqlx::query!(
        "insert into pull_request_services (service_id, pull_request_id, is_touched)
        select s.id, p.id, true
        from services as s
        inner join repositories_of_services as o on s.id = o.service_id
        inner join repositories as r on o.repository_id = r.id
        inner join pull_requests as p on r.id = p.repository_id
        where
            s.slug = $1 and s.paths is null and p.merged_at is not null
            -- What is no longer collected keeps its last comparison.
            and (
                r.removed_at is null
                or not exists (
                    select from pull_request_services as t where t.service_id = s.id and t.pull_request_id = p.id
                )
            )
        on conflict (tenant_id, service_id, pull_request_id) do update set is_touched = true, paths_revision = null",
        service.slug.as_str()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Services with paths also keep what another service had, such as the one that a repository was until now. To call before
/// anything moves to them.
async fn take_over_until_compared(connection: &mut Session) -> Result<(), StoreError> {
    sqlx::query!(
        "insert into pull_request_services (service_id, pull_request_id, is_touched)
        select w.service_id, p.id, true
        from services_with_paths as w
        inner join pull_requests as p on w.repository_id = p.repository_id
        where
            w.is_collected
            and exists (
                select from pr_deliveries as d
                where
                    d.pull_request_id = p.id
                    and not exists (
                        select from repositories_of_services as o
                        where o.service_id = d.service_id and o.repository_id = p.repository_id
                    )
            )
        on conflict do nothing"
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes these the owners in force. What is no longer in the file stays as history.
async fn write_owners(
    connection: &mut Session,
    settings: &DeliverySettings,
    revision: Revision,
) -> Result<(), StoreError> {
    let (mut services, mut teams, mut units) = (Vec::new(), Vec::new(), Vec::new());
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for service in &settings.services {
        for owner in &service.owners {
            services.push(service.slug.as_str());
            teams.push(owner.team.as_str());
            units.push(i32::from(owner.weight.units()));
            from.push(owner.from);
            to.push(owner.to);
        }
    }
    sqlx::query!(
        "update service_owners as o
        set removed_in = $6
        where
            o.removed_in is null
            -- A service that is archived keeps its past.
            and exists (select from services as s where o.service_id = s.id and s.archived_at is null)
            and not exists (
                select from unnest($1::text [], $2::text [], $3::integer [], $4::timestamptz [], $5::timestamptz [])
                    as w (service, team, units, owned_from, owned_to)
                inner join services as s on w.service = s.slug
                inner join teams as t on w.team = t.slug
                where
                    o.service_id = s.id and o.team_id = t.id and o.weight = w.units / 10000.0
                    and o.owned_from is not distinct from w.owned_from and o.owned_to is not distinct from w.owned_to
            )",
        &services as &[&str],
        &teams as &[&str],
        &units,
        &from as &[Option<DateTime<Utc>>],
        &to as &[Option<DateTime<Utc>>],
        revision.0
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "insert into service_owners (service_id, team_id, weight, owned_from, owned_to, added_in)
        select s.id, t.id, w.units / 10000.0, w.owned_from, w.owned_to, $6
        from unnest($1::text [], $2::text [], $3::integer [], $4::timestamptz [], $5::timestamptz [])
            as w (service, team, units, owned_from, owned_to)
        inner join services as s on w.service = s.slug
        inner join teams as t on w.team = t.slug
        where not exists (
            select from service_owners as o
            where
                o.removed_in is null and o.service_id = s.id and o.team_id = t.id and o.weight = w.units / 10000.0
                and o.owned_from is not distinct from w.owned_from and o.owned_to is not distinct from w.owned_to
        )",
        &services as &[&str],
        &teams as &[&str],
        &units,
        &from as &[Option<DateTime<Utc>>],
        &to as &[Option<DateTime<Utc>>],
        revision.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets what some repositories reported follow them to the services that they belong to, after their names changed or they returned,
/// and derives what follows; `locked` are their services until then ([`lock_services`]). To call last.
pub(crate) async fn follow_names(
    connection: &mut Session,
    locked: Vec<i64>,
    repositories: &[RepositoryId],
) -> Result<(), StoreError> {
    for repository in repositories {
        count_without_files(connection, Some(*repository)).await?;
    }
    let mut services = locked;
    services.extend(lock_services(connection, repositories).await?);
    services.sort_unstable();
    services.dedup();
    if services.is_empty() {
        return Ok(());
    }
    let mut moved = Vec::new();
    for repository in repositories {
        moved.extend(move_deployments(connection, Some(*repository)).await?);
    }
    moved.extend(regroup_posted(connection).await?);
    moved.extend(move_posted_incidents(connection).await?);
    moved.extend(assign_incidents(connection).await?);
    begin_new(connection, &mut services, &moved).await?;
    derive_with_unassigned(connection, &services).await
}

/// Moves deployments, or only those of a repository, to the services and groups of environments that they now belong to. Returns
/// all services that gained or lost one.
async fn move_deployments(connection: &mut Session, only: Option<RepositoryId>) -> Result<Vec<i64>, StoreError> {
    let rows = sqlx::query!(
        r#"select
            id, service_id, repository_id as "repository_id!", environment, environment_group, is_production, is_transient,
            origin as "origin: Json<Origin>"
        from deployments
        where
            ($1::bigint is null or repository_id = $1)
            -- What is no longer collected keeps its past.
            and repository_id in (select r.id from repositories as r where r.removed_at is null)
        order by repository_id, id"#,
        only.map(|repository| repository.0)
    )
    .fetch_all(&mut *connection)
    .await?;
    let DeliveryRules { environments, .. } = DeliveryRules::read(connection).await?;
    let mut rules: BTreeMap<i64, RepositoryServices> = BTreeMap::new();
    let (mut touched, mut unread) = (BTreeSet::new(), BTreeSet::new());
    let (mut ids, mut services, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let of_repository = match rules.entry(row.repository_id) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(vacant) => {
                let repository = RepositoryId(row.repository_id);
                vacant.insert(RepositoryServices::with(connection, repository, environments.clone()).await?)
            }
        };
        let belongs_to = if let Some(Json(origin)) = &row.origin {
            of_repository.service_of_listed(origin)
        } else {
            let (name, is_transient) = (&*row.environment, row.is_transient);
            of_repository.service_of(Environment { name, is_production: row.is_production, is_transient })
        };
        let Some((ServiceId(service), group)) = belongs_to else { continue };
        let group = group.to_string();
        if service != row.service_id || group != row.environment_group {
            touched.extend([service, row.service_id]);
            if group != row.environment_group {
                unread.insert(row.repository_id);
            }
            ids.push(row.id);
            services.push(service);
            groups.push(group);
        }
    }
    sqlx::query!(
        "update deployments as d set service_id = w.service_id, environment_group = w.environment_group
        from unnest($1::bigint [], $2::bigint [], $3::text []) as w (id, service_id, environment_group)
        where d.id = w.id",
        &ids,
        &services,
        &groups
    )
    .execute(&mut *connection)
    .await?;
    // States and commits are read of other environments now: until then, nothing is complete.
    let unread: Vec<i64> = unread.into_iter().collect();
    sqlx::query!("update deployment_progress set read_at = null where repository_id = any($1)", &unread)
        .execute(&mut *connection)
        .await?;
    sqlx::query!("update deployment_lists set read_at = null where repository_id = any($1)", &unread)
        .execute(connection)
        .await?;
    Ok(touched.into_iter().collect())
}

/// Gives posted deployments the groups that their environments now belong to, and those of a service that is no longer in force to
/// the service that now has its repository. Returns the services that gained, lost or changed one.
async fn regroup_posted(connection: &mut Session) -> Result<Vec<i64>, StoreError> {
    let rows = sqlx::query!(
        r#"select
            d.id, d.service_id, d.environment, d.environment_group,
            coalesce(
                (
                    select v.repository_id from deployment_revisions as v
                    where v.deployment_id = d.id
                    order by v.repository_id
                    limit 1
                ),
                (
                    select r.id
                    from services as s
                    left join service_repositories as o on s.id = o.service_id
                    inner join repositories as r on s.repository_id = r.id or o.repository in (r.name, r.current_name)
                    where s.id = d.service_id
                    order by r.removed_at nulls first, r.id
                    limit 1
                )
            ) as repository_id
        from deployments as d
        where d.source = $1
        order by d.service_id, d.id"#,
        <&str>::from(DeploymentSource::Events)
    )
    .fetch_all(&mut *connection)
    .await?;
    let DeliveryRules { environments, .. } = DeliveryRules::read(connection).await?;
    let mut rules: BTreeMap<i64, Option<(ServiceRules, EnvironmentRules)>> = BTreeMap::new();
    let mut repositories: BTreeMap<i64, RepositoryServices> = BTreeMap::new();
    let (mut ids, mut services, mut groups, mut touched) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
    for row in rows {
        if let std::collections::btree_map::Entry::Vacant(vacant) = rules.entry(row.service_id) {
            vacant.insert(rules_of_service(connection, row.service_id).await?);
        }
        let environment = Environment { name: &row.environment, is_production: None, is_transient: false };
        let (service, group) = match (rules.get(&row.service_id).and_then(Option::as_ref), row.repository_id) {
            (Some((service, default)), _) => {
                (row.service_id, service.group_of(default, environment, DeploymentSource::Events))
            }
            (None, Some(repository)) => {
                if let std::collections::btree_map::Entry::Vacant(vacant) = repositories.entry(repository) {
                    let of_repository =
                        RepositoryServices::with(connection, RepositoryId(repository), environments.clone());
                    vacant.insert(of_repository.await?);
                }
                let successor = repositories.get(&repository).and_then(|it| it.successor(environment));
                let Some((ServiceId(service), group)) = successor else { continue };
                (service, group)
            }
            (None, None) => continue,
        };
        let group = group.to_string();
        if service != row.service_id || group != row.environment_group {
            ids.push(row.id);
            services.push(service);
            groups.push(group);
            touched.extend([service, row.service_id]);
        }
    }
    sqlx::query!(
        "update deployments as d set service_id = w.service_id, environment_group = w.environment_group
        from unnest($1::bigint [], $2::bigint [], $3::text []) as w (id, service_id, environment_group)
        where d.id = w.id",
        &ids,
        &services,
        &groups
    )
    .execute(connection)
    .await?;
    Ok(touched.into_iter().collect())
}

/// Gives posted incidents of a service that is no longer in force to the one that now has its repository. Returns the services that
/// gained or lost one.
async fn move_posted_incidents(connection: &mut Session) -> Result<Vec<i64>, StoreError> {
    let moved = sqlx::query!(
        r#"with moved as (
            update incidents as i
            set service_id = w.service_id
            from (
                select i.id, i.service_id as before, (
                    select f.id
                    from services as s
                    left join service_repositories as n on s.id = n.service_id
                    inner join repositories as r on s.repository_id = r.id or n.repository in (r.name, r.current_name)
                    inner join repositories_of_services as o on r.id = o.repository_id
                    inner join services_in_force as f on o.service_id = f.id
                    where s.id = i.service_id
                    order by f.place, f.id
                    limit 1
                ) as service_id
                from incidents as i
                where
                    i.repository_id is null and not exists (select from services_in_force as f where f.id = i.service_id)
            ) as w
            where i.id = w.id and w.service_id is not null
            returning w.before, w.service_id
        )
        select before as "id!" from moved where before is not null
        union
        select service_id from moved"#
    )
    .fetch_all(connection)
    .await?;
    Ok(moved.into_iter().map(|row| row.id).collect())
}
