//! Several organizations in one database: none sees or changes anything of another one.

mod common;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use common::{apply, teams};
use futures::FutureExt;
use mergeline_domain::Problems;
use mergeline_fake_github::{at, pr};
use mergeline_store::{Actor, ApplyError, DatabaseSettings, Reader, StoreError, Tenant, Writer};
use mergeline_test_support::{PgBouncer, TestDatabase, keep, miscounted};
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, Row};

const NOW: &str = "2026-06-17T12:00:00Z";
const SECOND: Tenant = Tenant::new(2);

/// The tables without rows of tenants.
const SHARED: &str = "('tenants', 'readers', 'schema_requirements', '_sqlx_migrations')";

/// Rows in every table of a tenant. Names and ids are the same for all, as if all collected the same repository.
const ROWS: &str = "
    insert into configurations (applied_at, timezone, bots) values ('2026-06-01', 'UTC', '{}');
    insert into teams (slug, name, created_at) values ('pay', 'Payments', '2026-06-01');
    insert into people default values;
    insert into accounts (person_id, instance_id, external_id, configured_login, login) select id, 1, '7', 'ana', 'ana' from people;
    insert into team_memberships (team_id, person_id, weight, added_in)
    select t.id, p.id, 0.5, c.revision from teams as t cross join people as p cross join configurations as c;
    insert into reattributions (person_id, team_id) select person_id, team_id from team_memberships;
    insert into incomplete_patterns (pattern, reason) values ('acme/*', 'hidden');
    insert into retention (kept_since) values ('2020-01-01');
    insert into repositories (name, external_id, added_at, collected_at, covered_since)
    values ('acme/api', '9', '2026-06-01', '2026-06-10', '2026-01-01');
    insert into collection_runs (started_at, finished_at, state) values ('2026-06-10', '2026-06-10', 'succeeded');
    insert into collection_results (
        run_id, repository_id, state, started_at, duration_seconds, requests, pages, listed, kept,
        skipped_ghost, skipped_bot, skipped_not_a_member, quarantined, changed
    )
    select n.id, r.id, 'succeeded', '2026-06-10', 1, 1, 1, 1, 1, 0, 0, 0, 0, 1 from collection_runs as n cross join repositories as r;
    insert into quarantined_pull_requests (repository_id, number, reason, first_seen_at, last_tried_at)
    select id, 8, 'odd', '2026-06-10', '2026-06-10' from repositories;
    insert into reopened_histories (repository_id) select id from repositories;
    insert into rate_limit_blocks (instance_id, scope, kind, blocked_until) values (1, 'token', 'core', '2026-06-10');
    insert into rate_limit_remaining (instance_id, scope, hourly_limit, remaining, resets_at) values (1, 'token', 5000, 10, '2026-06-10');
    insert into events (at, kind, actor_kind, subject) values ('2026-06-10', 'week_completed', 'collector', '2026-W23');
    insert into pull_requests (
        repository_id, instance_id, number, external_id, author_id, title, state, is_draft, created_at, updated_at, closed_at, merged_at
    )
    select r.id, 1, n, (76 + n)::text, p.id, 'Pay', 'merged', false, '2026-06-01', '2026-06-09', '2026-06-09', '2026-06-09'
    from repositories as r cross join people as p cross join generate_series(1, 2) as n;
    insert into pr_attributions (
        pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, closed_at, merged_at, coding_seconds
    )
    select p.id, m.team_id, m.id, 0.5, p.repository_id, p.author_id, p.created_at, p.closed_at, p.merged_at, 60
    from pull_requests as p cross join team_memberships as m;
    insert into pull_request_reviews (pull_request_id, place, author_id, reviewer_id, submitted_at)
    select id, 1, author_id, author_id, '2026-06-08' from pull_requests;
    insert into messages (channel, kind, subject, period, content, created_at, due_at)
    values ('chat', 'digest', 'team 1', '2026-W23', '{}', '2026-06-10', '2026-06-10');
    insert into message_channels (channel, off_since, next_try_at, problem) values ('chat', '2026-06-10', '2026-06-10', 'gone');
    insert into message_plans (planned_at) values ('2026-06-10');
    insert into services (slug, name) values ('shop', 'Shop');
    insert into service_repositories (service_id, repository) select id, 'acme/api' from services where slug = 'shop';
    insert into service_owners (service_id, team_id, weight, added_in)
    select s.id, t.id, 1, c.revision from services as s cross join teams as t cross join configurations as c where s.slug = 'shop';
    insert into deployments (
        service_id, source, instance_id, repository_id, external_id, listed_environment, environment, environment_group,
        created_at, outcome, succeeded_at
    )
    select s.id, 'github-deployments', 1, r.id, '70', 'prod', 'prod', 'production', '2026-06-09', 'succeeded', '2026-06-09'
    from services as s cross join repositories as r where s.slug = 'shop';
    insert into deployment_revisions (deployment_id, repository_id, oid)
    select id, repository_id, decode(repeat('0a', 20), 'hex') from deployments;
    insert into deployment_states (deployment_id, at, state) select id, succeeded_at, 'success' from deployments;
    insert into commits (repository_id, oid, parents, committed_at)
    select id, decode(repeat('0a', 20), 'hex'), '{}', '2026-06-09' from repositories;
    insert into open_commits (repository_id, oid) select id, decode(repeat('0b', 20), 'hex') from repositories;
    insert into deployment_progress (repository_id, covered_since, read_at)
    select id, '2026-01-01', '2026-06-10'::timestamptz + current_tenant() * interval '1 hour' from repositories;
    insert into deployment_lists (repository_id, source, list) select id, 'merges', 'main' from repositories;
    update pull_requests set delivered_at = '2026-06-09' where number = 2;
    update pr_attributions as a set delivered_at = p.delivered_at from pull_requests as p where a.pull_request_id = p.id;
    insert into incident_progress (repository_id, label) select id, 'incident' from repositories;
    insert into deployment_facts (
        deployment_id, service_id, succeeded_at, finished_at, kind, is_known, has_new_commits, is_after_unknown, pull_requests
    )
    select id, service_id, succeeded_at, succeeded_at, 'change', true, true, false, 1 from deployments;
    insert into deployment_failures (deployment_id, reason) select id, 'incident' from deployments;
    update services set paths = array['src'] where slug = 'shop';
    insert into pull_request_files (pull_request_id) select id from pull_requests;
    insert into pull_request_services (service_id, pull_request_id, is_touched) select s.id, p.id, true from services as s cross join pull_requests as p;
    insert into pr_deliveries (pull_request_id, service_id, deployment_id, delivered_at, via)
    select p.id, d.service_id, d.id, d.succeeded_at, 'merge_commit' from pull_requests as p cross join deployments as d;
    insert into deployment_attempts (deployment_id, pull_request_id)
    select d.id, p.id from pull_requests as p cross join deployments as d;
    insert into deployment_shares (basis, team_id, deployment_id, share, service_id, succeeded_at, finished_at, kind, rework)
    select 'delivered', t.id, d.id, 0.5, d.service_id, d.succeeded_at, d.succeeded_at, 'change', '{}'
    from deployments as d cross join teams as t;
    insert into incidents (service_id, source, external_id, title, started_at)
    select service_id, 'events', 'I1', 'Down', '2026-06-09' from deployments;
    insert into received_events (id, received_at, channel, sha256, kind, outcome)
    select current_tenant(), now(), 'api', sha256('body'), 'deployment', 'created';
    insert into announcements (repository_id, last_at) select id, '2026-06-10' from repositories;
    insert into incidents (service_id, source, external_id, title, started_at, merged_into)
    select service_id, source, 'merged', title, started_at, external_id from incidents;
    insert into incident_states (incident_id, at, state) select id, started_at, 'opened' from incidents;
    insert into incident_states (incident_id, at, state)
    select id, started_at + interval '1 minute', 'merged' from incidents where merged_into is not null;
    insert into incident_facts (incident_id, service_id, started_at, resolved_at, deployment_id, rule)
    select i.id, i.service_id, i.started_at, i.started_at + interval '1 hour', d.id, 'window' from incidents as i cross join deployments as d;";

fn settings(url: &str) -> Result<DatabaseSettings> {
    Ok(DatabaseSettings::parse(&SecretString::from(url)).map_err(Problems::from)?)
}

async fn run(pool: &PgPool, statements: impl Into<String>) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(pool).await?;
    Ok(())
}

async fn texts(pool: &PgPool, query: impl Into<String>) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(AssertSqlSafe(query.into())).fetch_all(pool).await?)
}

/// Runs statements as the program does for a tenant. Returns the rows of the last one.
async fn as_tenant(pool: &PgPool, tenant: Tenant, statements: &str) -> Result<Vec<PgRow>, sqlx::Error> {
    let sql = format!("begin; set local app.tenant = '{}'; {statements}", tenant.id());
    let mut connection = pool.acquire().await?;
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *connection).await;
    let end = if rows.is_ok() { "commit" } else { "rollback" };
    sqlx::raw_sql(end).execute(&mut *connection).await?;
    rows
}

async fn fill(pool: &PgPool, tenant: Tenant) -> Result<()> {
    as_tenant(pool, tenant, ROWS).await?;
    Ok(())
}

/// A database with two tenants, with rows in each table for both.
async fn two_tenants() -> Result<(TestDatabase, PgPool)> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    fill(&pool, Tenant::FIRST).await?;
    run(&pool, "insert into tenants default values").await?;
    fill(&pool, SECOND).await?;
    Ok((database, pool))
}

/// The tables with rows of tenants.
async fn tables(pool: &PgPool) -> Result<Vec<String>> {
    let query = format!(
        "select relname::text from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace
        and relname not in {SHARED} order by 1"
    );
    let tables = texts(pool, query).await?;
    ensure!(tables.len() > 15, "{tables:?}");
    Ok(tables)
}

async fn views(pool: &PgPool) -> Result<Vec<String>> {
    let query = "select relname::text from pg_class where relkind in ('v', 'm') and relnamespace = 'public'::regnamespace order by 1";
    texts(pool, query).await
}

#[tokio::test]
async fn every_table_names_its_tenant_and_forces_policies() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    let unprotected = format!(
        "select c.relname::text from pg_class as c
        where
            c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and c.relname not in {SHARED}
            and not (
                c.relrowsecurity and c.relforcerowsecurity
                and exists (
                    select from pg_attribute as a
                    inner join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
                    where
                        a.attrelid = c.oid and a.attnum = 1 and a.attname = 'tenant_id' and a.attnotnull
                        and a.atttypid = 'integer'::regtype and pg_get_expr(d.adbin, d.adrelid) = 'current_tenant()'
                )
                and (
                    select
                        array_agg((p.polcmd, p.polpermissive, p.polroles)::text)
                        = array[('*'::\"char\", true, array[0]::oid [])::text]
                        and bool_and(pg_get_expr(p.polqual, p.polrelid) = e.rows and pg_get_expr(p.polwithcheck, p.polrelid) = e.rows)
                    from pg_policy as p
                    cross join (values ('(tenant_id = ( SELECT current_tenant() AS current_tenant))')) as e (rows)
                    where p.polrelid = c.oid
                )
            )"
    );
    assert_eq!(texts(&pool, unprotected).await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn every_key_and_index_starts_with_the_tenant() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    let indexes = format!(
        "select i.indexrelid::regclass::text from pg_index as i
        inner join pg_class as c on i.indrelid = c.oid
        where
            c.relnamespace = 'public'::regnamespace and c.relname not in {SHARED}
            and pg_get_indexdef(i.indexrelid, 1, true) not in ('tenant_id', 'int4range(tenant_id, tenant_id, ''[]''::text)')"
    );
    assert_eq!(texts(&pool, indexes).await?, [""; 0]);
    let foreign_keys = format!(
        "select k.conname::text from pg_constraint as k
        inner join pg_class as c on k.conrelid = c.oid
        where
            k.contype = 'f' and c.relnamespace = 'public'::regnamespace and c.relname not in {SHARED}
            and (
                pg_get_constraintdef(k.oid) not like 'FOREIGN KEY (tenant_id%'
                or (k.confrelid <> 'tenants'::regclass and k.confkey[1] <> 1)
            )"
    );
    assert_eq!(texts(&pool, foreign_keys).await?, [""; 0]);
    // Each leads to the table of tenants, directly or through its parent.
    let orphans = format!(
        "select c.relname::text from pg_class as c
        where
            c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and c.relname not in {SHARED}
            and not exists (select from pg_constraint as k where k.contype = 'f' and k.conrelid = c.oid and k.confrelid <> c.oid)"
    );
    assert_eq!(texts(&pool, orphans).await?, [""; 0]);
    Ok(())
}

/// What a tenant sees in a table, a view or a function, as text.
async fn seen(pool: &PgPool, tenant: Tenant, source: &str) -> Result<Option<String>> {
    let query = format!("select string_agg(s::text, chr(10) order by s::text) from {source} as s");
    let rows = as_tenant(pool, tenant, &query).await.with_context(|| source.to_owned())?;
    Ok(rows.first().context("a row")?.try_get(0)?)
}

#[tokio::test]
async fn no_table_view_or_function_shows_foreign_rows() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    fill(&pool, Tenant::FIRST).await?;
    let (tables, views) = (tables(&pool).await?, views(&pool).await?);
    // The functions that read rows. Their cases are below.
    let reading = "select distinct proname::text from pg_proc where pronamespace = 'public'::regnamespace and proretset order by 1";
    let functions_of_rows = [
        "allocations",
        "count_deployments",
        "delivery_times",
        "first_delivery",
        "merge_statistics",
        "reason_not_delivered",
        "reason_of_paths",
        "recovery_times",
        "scoped_deployments",
        "scoped_incidents",
        "smallest_groups",
        "team_bucket",
        "team_deliveries",
        "team_dora",
        "team_statistics",
        "undelivered",
    ];
    assert_eq!(texts(&pool, reading).await?, functions_of_rows);
    let above = "select distinct proname::text from pg_proc where pronamespace = 'public'::regnamespace and prosecdef order by 1";
    assert_eq!(texts(&pool, above).await?, ["current_tenant", "team_bucket", "team_deliveries", "team_dora"]);
    let functions = [1, 2].map(|team| {
        [
            format!("team_statistics({team}, '2026-06-01', '2026-07-01', 'UTC', 'week')"),
            format!("merge_statistics({team}, '2026-06-01', '2026-07-01', 'UTC', 'week')"),
            format!("team_bucket({team}, 'week', '2026-06-08')"),
            format!("team_deliveries({team}, 'week', '2026-06-08')"),
            format!("team_dora({team}, 'week', '2026-06-08')"),
        ]
    });
    // Of a team, and of everybody.
    let of_deliveries = ["1", "null"].map(|team| {
        [
            format!("scoped_deployments({team}, null, 'delivered', '2026-06-01', '2026-07-01')"),
            format!("count_deployments({team}, null, 'delivered', '2026-06-01', '2026-07-01', 'UTC', 'week', '{{incident}}')"),
            format!("delivery_times({team}, null, '2026-06-01', '2026-07-01', 'UTC', 'week')"),
            format!("undelivered({team}, null, '2026-06-01', '2026-07-01')"),
            format!("scoped_incidents({team}, null, 'delivered', null)"),
            format!(
                "recovery_times({team}, null, 'delivered', '2026-06-01', '2026-07-01', 'UTC', 'week', '{{incident}}', null)"
            ),
        ]
    });
    let of_all = [
        "merge_statistics(null, '2026-06-01', '2026-07-01', 'UTC', 'week')".to_owned(),
        "allocations('2026-06-01', '2026-07-01', 'UTC', 'week')".to_owned(),
        "smallest_groups(null, '2026-06-01', '2026-07-01', 'UTC')".to_owned(),
        "reason_not_delivered((select min(id) from pull_requests))".to_owned(),
        "first_delivery((select min(id) from pull_requests))".to_owned(),
    ];
    let functions_of_one = functions[0].iter().chain(&of_all).chain(of_deliveries.iter().flatten());
    let sources: Vec<&String> = tables.iter().chain(&views).chain(functions_of_one).collect();
    let mut alone = Vec::new();
    for source in &sources {
        let rows = seen(&pool, Tenant::FIRST, source).await?;
        ensure!(rows.is_some(), "{source} has no rows");
        alone.push(rows);
    }
    let of_an_empty_team = seen(&pool, Tenant::FIRST, &functions[1][0]).await?;
    run(&pool, "insert into tenants default values").await?;
    fill(&pool, SECOND).await?;
    for (source, alone) in sources.iter().zip(alone) {
        assert_eq!(seen(&pool, Tenant::FIRST, source).await?, alone, "{source}");
        let theirs = seen(&pool, SECOND, source).await?;
        assert_eq!(seen(&pool, Tenant::new(3), source).await?.filter(|_| tables.contains(source)), None, "{source}");
        assert!(!tables.contains(source) || (theirs.is_some() && theirs != alone), "{source}");
    }
    // The second team is that of the second tenant.
    assert_eq!(seen(&pool, Tenant::FIRST, &functions[1][0]).await?, of_an_empty_team);
    assert_ne!(seen(&pool, SECOND, &functions[1][0]).await?, of_an_empty_team);
    Ok(())
}

#[tokio::test]
async fn a_parent_row_of_another_tenant_is_refused() -> Result<()> {
    let (database, _pool) = two_tenants().await?;
    // The superuser sees the rows of both. The ids of instances are the same for all.
    let superuser = database.superuser_pool().await?;
    let keys: Vec<(String, String, String, String, String)> = sqlx::query_as(
        "select
            k.conname::text, k.conrelid::regclass::text, k.confrelid::regclass::text,
            string_agg(quote_ident(c.attname), ', ' order by n.place), string_agg(quote_ident(p.attname), ', ' order by n.place)
        from pg_constraint as k
        cross join unnest(k.conkey, k.confkey) with ordinality as n (child, parent, place)
        inner join pg_attribute as c on k.conrelid = c.attrelid and n.child = c.attnum
        inner join pg_attribute as p on k.confrelid = p.attrelid and n.parent = p.attnum
        where k.contype = 'f' and k.connamespace = 'public'::regnamespace and n.place > 1 and k.confrelid <> 'instances'::regclass
        group by k.oid",
    )
    .fetch_all(&superuser)
    .await?;
    assert!(keys.len() > 15, "{keys:?}");
    for (name, child, parent, columns, referenced) in keys {
        let mut transaction = superuser.begin().await?;
        // Only a service without a name may have a repository.
        let rows = if child == "services" { "slug is null" } else { "true" };
        let update = format!(
            "update {child} set ({columns}) = (select {referenced} from {parent} where tenant_id = 2 limit 1)
            where ctid = (select ctid from {child} where tenant_id = 1 and {rows} limit 1)"
        );
        let outcome = sqlx::raw_sql(AssertSqlSafe(update)).execute(&mut *transaction).await;
        let error = outcome.err().with_context(|| format!("{name} takes it"))?;
        let constraint = error.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
        let is_referenced =
            child == "accounts" && constraint.as_deref().is_some_and(|name| name.starts_with("pull_requests"));
        assert!(is_referenced || constraint.as_deref() == Some(&name), "{name}: {error}");
    }
    Ok(())
}

#[tokio::test]
async fn no_key_is_taken_by_another_tenant() -> Result<()> {
    let (database, _pool) = two_tenants().await?;
    let superuser = database.superuser_pool().await?;
    run(&superuser, "insert into tenants default values; delete from instances where tenant_id = 3").await?;
    // Copied as they are, with their ids, to a new tenant. What another tenant's key kept out would be missing.
    let mut transaction = superuser.begin().await?;
    sqlx::raw_sql("set local session_replication_role = replica").execute(&mut *transaction).await?;
    for table in tables(&superuser).await? {
        let columns: Vec<String> = sqlx::query_scalar(
            "select quote_ident(attname) from pg_attribute
            where attrelid = $1::regclass and attnum > 1 and not attisdropped and attgenerated = ''",
        )
        .bind(&table)
        .fetch_all(&superuser)
        .await?;
        let columns = columns.join(", ");
        let copy = format!(
            "insert into {table} (tenant_id{comma}{columns}) overriding system value
            select 3{comma}{columns} from {table} where tenant_id = 1 on conflict do nothing",
            comma = if columns.is_empty() { "" } else { ", " }
        );
        let copied = sqlx::query(AssertSqlSafe(copy)).execute(&mut *transaction).await?.rows_affected();
        let count = format!("select count(*) from {table} where tenant_id = 1");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&superuser).await?;
        assert_eq!(i64::try_from(copied)?, rows, "{table}");
        assert!(rows > 0, "{table}");
    }
    Ok(())
}

/// The SQLSTATE of a refusal.
fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

#[tokio::test]
async fn an_insert_for_nobody_or_others_fails_loudly() -> Result<()> {
    let (_database, pool) = two_tenants().await?;
    let insert = "insert into teams (slug, name, created_at) values ('web', 'Web', now())";
    let error = sqlx::query(insert).execute(&pool).await.err().context("there are two, and none is named")?;
    assert_eq!(code(&error).as_deref(), Some("P0001"), "{error}");
    let foreign = "insert into teams (tenant_id, slug, name, created_at) values (2, 'web', 'Web', now())";
    let moved = "update teams set tenant_id = 2";
    for statement in [foreign, moved] {
        let error = as_tenant(&pool, Tenant::FIRST, statement).await.err().context(statement)?;
        assert_eq!(code(&error).as_deref(), Some("42501"), "{error}");
    }
    let unknown = as_tenant(&pool, Tenant::new(9), insert).await.err().context("there is no such tenant")?;
    assert_eq!(code(&unknown).as_deref(), Some("23503"), "{unknown}");
    Ok(())
}

#[tokio::test]
async fn with_one_tenant_plain_sql_needs_no_setting() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    run(&pool, ROWS).await?;
    let role = format!("grafana_{}", std::process::id());
    run(&pool, format!("create role {role} login; grant select on pr_metrics to {role}")).await?;
    let mut grafana = connect_as(&pool, &role).await?;
    assert_eq!(count(&mut grafana, "pr_metrics").await?, 2);
    grafana.close().await?;
    // After a transaction that named its tenant, the setting is empty, not absent.
    let mut connection = pool.acquire().await?;
    sqlx::raw_sql("begin; set local app.tenant = '1'; commit").execute(&mut *connection).await?;
    assert_eq!(count(&mut connection, "teams").await?, 1);
    Ok(())
}

async fn connect_as(pool: &PgPool, role: &str) -> Result<PgConnection> {
    Ok(PgConnection::connect_with(&(*pool.connect_options()).clone().username(role)).await?)
}

async fn count(connection: &mut PgConnection, source: &str) -> Result<i64> {
    Ok(sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {source}"))).fetch_one(connection).await?)
}

/// What a view shows on a connection, as text.
async fn shown(connection: &mut PgConnection, view: &str) -> Result<String> {
    let query = format!("select coalesce(string_agg(v::text, chr(10) order by v::text), '') from public.{view} as v");
    Ok(sqlx::query_scalar(AssertSqlSafe(query)).fetch_one(connection).await?)
}

#[tokio::test]
async fn a_registered_reader_sees_its_tenant_only() -> Result<()> {
    let (database, pool) = two_tenants().await?;
    // Both tenants differ in every view.
    let more = "insert into configurations (applied_at, timezone, bots) values ('2026-06-02', 'Asia/Tokyo', '{}');
        update repositories set covered_since = '2026-02-01'; update teams set slug = 'web';";
    as_tenant(&pool, SECOND, more).await?;
    let role = format!("reader_{}", std::process::id());
    let views = views(&pool).await?;
    let reading = format!("mergeline_reader_of_{role}");
    run(
        &pool,
        format!(
            "create role {role} login; grant select on {} to {role}; insert into readers (role, tenant_id) values ('{role}', 2);
            -- One that may read the tables, as the program's own role.
            create role {reading}; grant select on all tables in schema public to {reading}; grant {reading} to {role}",
            views.join(", ")
        ),
    )
    .await?;
    run(&database.superuser_pool().await?, format!("create schema {role} authorization {role}")).await?;
    let tricks = [
        "select 1".to_owned(),
        "set app.tenant = '1'".to_owned(),
        format!("set role {reading}"),
        "create temporary table readers as select session_user::name as role, 1 as tenant_id;
        create temporary table tenants as select 1 as id; set search_path = pg_temp, public"
            .to_owned(),
        format!(
            "create function {role}.current_tenant() returns integer language sql as 'select 1';
            create function {role}.is_same(a name, b name) returns boolean language sql as 'select false';
            create operator {role}.= (leftarg = name, rightarg = name, function = {role}.is_same);
            set search_path = {role}, pg_catalog, public"
        ),
    ];
    for view in &views {
        let [first, second] = [Tenant::FIRST, SECOND].map(|tenant| seen(&pool, tenant, view));
        let (first, second) = (first.await?.unwrap_or_default(), second.await?.unwrap_or_default());
        assert_ne!(first, second, "{view}");
        for trick in &tricks {
            let mut reader = connect_as(&pool, &role).await?;
            let mut transaction = reader.begin().await?;
            sqlx::raw_sql(AssertSqlSafe(trick.clone())).execute(&mut *transaction).await?;
            assert_eq!(shown(&mut transaction, view).await?, second, "{view} after {trick}");
        }
    }
    let mut reader = connect_as(&pool, &role).await?;
    sqlx::raw_sql("set app.tenant = '1'").execute(&mut reader).await?;
    for table in tables(&pool).await? {
        assert_eq!(count(&mut reader, &format!("{table} where tenant_id <> 2")).await?, 0, "{table}");
    }
    for forbidden in ["delete from readers", "update readers set tenant_id = 1"] {
        assert!(sqlx::raw_sql(forbidden).execute(&mut reader).await.is_err(), "{forbidden}");
    }
    Ok(())
}

/// The queries of a dashboard of Grafana: of its variables and panels.
fn queries(dashboard: &serde_json::Value) -> Vec<String> {
    let of = |list: &serde_json::Value, key: &str| -> Vec<String> {
        let items = list.as_array().into_iter().flatten();
        items.filter_map(|item| item[key].as_str()).map(str::to_owned).collect()
    };
    let mut queries = of(&dashboard["templating"]["list"], "query");
    queries.retain(|query| query.starts_with("select"));
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        queries.extend(of(&panel["targets"], "rawSql"));
    }
    queries
}

/// A query as Grafana sends it, for a year and a team.
fn expanded(query: &str, unit: &str) -> Result<String> {
    let mut sql = query.replace("$team", "1").replace("$unit", unit);
    while let Some((before, rest)) = sql.split_once("$__timeFilter(") {
        let (column, after) = rest.split_once(')').context("a closed macro")?;
        sql = format!("{before}{column} between '2026-01-01T00:00:00Z' and '2026-12-31T00:00:00Z'{after}");
    }
    ensure!(!sql.contains('$'), "an unknown macro or variable: {sql}");
    Ok(sql)
}

#[tokio::test]
async fn every_query_of_grafana_shows_rows_to_its_role() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    fill(&pool, Tenant::FIRST).await?;
    // Complete weeks up to now.
    let until_now =
        "delete from quarantined_pull_requests; delete from reopened_histories; delete from incomplete_patterns; delete from reattributions;
        update repositories set collected_at = now(); update deployment_progress set read_at = now();
        update incident_progress set read_at = now();";
    as_tenant(&pool, Tenant::FIRST, until_now).await?;
    let role = format!("grafana_panels_{}", std::process::id());
    let setup = include_str!("../../../infra/grafana/reader.sql").replace("grafana", &role);
    run(&pool, setup).await?;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/grafana/dashboards");
    let mut asked = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
        for query in queries(&dashboard) {
            for unit in ["week", "month"] {
                let sql = expanded(&query, unit)?;
                let mut reader = connect_as(&pool, &role).await?;
                let rows = sqlx::raw_sql(AssertSqlSafe(sql.clone())).fetch_all(&mut reader).await;
                let rows = rows.with_context(|| format!("{}: {sql}", path.display()))?;
                assert!(!rows.is_empty(), "{}: no rows: {sql}", path.display());
                asked += 1;
            }
        }
    }
    assert!(asked >= 30, "{asked}");
    let mut reader = connect_as(&pool, &role).await?;
    for hidden in ["pr_metrics", "pull_requests", "people", "accounts", "team_memberships", "configurations", "readers"]
    {
        assert!(count(&mut reader, hidden).await.is_err(), "{hidden}");
    }
    let written = sqlx::raw_sql("create temporary table t (a integer)").execute(&mut reader).await;
    assert!(written.is_err_and(|error| error.to_string().contains("read-only")));
    Ok(())
}

#[tokio::test]
async fn an_unregistered_reader_sees_nothing_of_two_tenants() -> Result<()> {
    let (_database, pool) = two_tenants().await?;
    let (role, views) = (format!("unknown_{}", std::process::id()), views(&pool).await?);
    run(&pool, format!("create role {role} login; grant select on {} to {role}", views.join(", "))).await?;
    // Rights on the tables do not let it choose either.
    let rights = format!("grant select on all tables in schema public to {role}");
    for (setting, rights) in [
        ("", ""),
        ("set app.tenant = '1'", ""),
        ("set app.tenant = '2'", ""),
        ("set app.tenant = '2'", rights.as_str()),
    ] {
        run(&pool, rights).await?;
        let mut reader = connect_as(&pool, &role).await?;
        sqlx::raw_sql(setting).execute(&mut reader).await?;
        for view in &views {
            let nothing = seen(&pool, Tenant::new(9), view).await?.unwrap_or_default();
            let is_one_row = ["collection_coverage", "delivery_coverage"].contains(&view.as_str());
            assert!(nothing.is_empty() || is_one_row, "{view}: {nothing}");
            assert_eq!(shown(&mut reader, view).await?, nothing, "{view} after {setting}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_tenant_with_registered_readers_stays() -> Result<()> {
    let (_database, pool) = two_tenants().await?;
    run(&pool, "insert into tenants default values; insert into readers (role, tenant_id) values ('grafana', 3)")
        .await?;
    let remove = "delete from instances where tenant_id = 3; delete from tenants where id = 3";
    let error = as_tenant(&pool, Tenant::new(3), remove).await.err().context("a reader would see the others")?;
    assert_eq!(code(&error).as_deref(), Some("23503"), "{error}");
    run(&pool, "delete from readers").await?;
    as_tenant(&pool, Tenant::new(3), remove).await?;
    Ok(())
}

#[tokio::test]
async fn a_registered_owner_still_chooses_its_tenant() -> Result<()> {
    let (_database, pool) = two_tenants().await?;
    run(&pool, "insert into readers (role, tenant_id) values (session_user, 1)").await?;
    let insert = "insert into teams (slug, name, created_at) values ('mobile', 'Mobile', now())";
    as_tenant(&pool, SECOND, insert).await?;
    let found = as_tenant(&pool, SECOND, "select from teams where slug = 'mobile'").await?;
    assert_eq!(found.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_login_above_policies_cannot_mix_tenants() -> Result<()> {
    let (database, _pool) = two_tenants().await?;
    let superuser = database.superuser_pool().await?;
    // As after a restore by a superuser: no owner to act as is left.
    run(&superuser, "alter table tenants owner to postgres").await?;
    let settings = DatabaseSettings::parse(&SecretString::from(database.superuser_url())).map_err(Problems::from)?;
    let store = Writer::connect(&settings, Actor::Collector);
    let error = store.teams(at(NOW)).await.err().context("it would see both")?;
    let text = mergeline_domain::error_chain(&error);
    assert!(text.contains("several organizations share this database"), "{text}");
    run(&superuser, "set session_replication_role = replica; delete from tenants where id = 2").await?;
    store.teams(at(NOW)).await?;
    Ok(())
}

/// The names of the teams that a reader finds.
async fn slugs(reader: &Reader) -> Result<Vec<String>> {
    let teams = reader.teams(at(NOW)).await?;
    Ok(teams.into_iter().map(|team| team.slug.to_string()).collect())
}

/// Requests of two tenants in turn over the same few connections, some of which end badly.
async fn take_turns(reader: &Reader, superuser: &PgPool) -> Result<()> {
    let readers = [(reader.for_tenant(Tenant::FIRST), "pay"), (reader.for_tenant(SECOND), "web")];
    for round in 0..12 {
        for (reader, team) in &readers {
            assert_eq!(slugs(reader).await?, [*team], "round {round}");
            match round % 4 {
                // Cancelled after some steps: before the connection, in the transaction's beginning, in the query.
                0 => {
                    let mut request = Box::pin(reader.teams(at(NOW)));
                    for _ in 0..=round {
                        if (&mut request).now_or_never().is_some() {
                            break;
                        }
                        tokio::time::sleep(Duration::from_micros(100)).await;
                    }
                }
                // Cancelled in a transaction.
                1 => drop(reader.session().await?),
                // Times out at a lock.
                2 => {
                    let mut blocker = superuser.begin().await?;
                    sqlx::raw_sql("lock table teams").execute(&mut *blocker).await?;
                    assert!(reader.teams(at(NOW)).await.is_err(), "the lock is held");
                }
                // Panics in a transaction.
                _ => {
                    let reader = reader.clone();
                    let panicking = tokio::spawn(async move {
                        let _session = reader.session().await;
                        panic!("of a request");
                    });
                    assert!(panicking.await.is_err());
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn tenants_take_turns_on_a_single_connection() -> Result<()> {
    let (database, pool) = two_tenants().await?;
    as_tenant(&pool, SECOND, "update teams set slug = 'web'").await?;
    let superuser = database.superuser_pool().await?;
    let pgbouncer = PgBouncer::start(&database, "transaction").await?;
    for url in [database.url(), pgbouncer.url()] {
        let settings = settings(url)?.for_requests_within(Duration::from_millis(500)).with_connections(1);
        // Waiting for the connection must not be what times out.
        take_turns(&Reader::connect(&settings), &superuser).await.with_context(|| url.to_owned())?;
        take_turns(&Writer::connect(&settings, Actor::Collector), &superuser).await.with_context(|| url.to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn a_shared_connection_keeps_no_tenant_after_commits() -> Result<()> {
    let database = TestDatabase::create().await?;
    run(&database.pool().await?, "insert into tenants default values").await?;
    let pgbouncer = PgBouncer::start(&database, "transaction").await?;
    let writer = Writer::connect(&settings(pgbouncer.url())?, Actor::Collector).for_tenant(SECOND);
    let options: PgConnectOptions = pgbouncer.url().parse()?;
    let neighbor = PgPool::connect_with(options.extra_float_digits(None)).await?;
    for file in [teams(&[("pay", "{ github: ana }")]), teams(&[("pay", "{ github: ben }")])] {
        apply(&writer, &file).await?;
        // Two server connections are behind it.
        let mut both = (neighbor.begin().await?, neighbor.begin().await?);
        for connection in [&mut both.0, &mut both.1] {
            let left = sqlx::raw_sql("select coalesce(current_setting('app.tenant', true), '')");
            assert_eq!(left.fetch_one(&mut **connection).await?.try_get::<String, _>(0)?, "");
        }
    }
    Ok(())
}

#[tokio::test]
async fn two_tenants_collect_one_repository_for_themselves() -> Result<()> {
    let database = TestDatabase::create().await?;
    let (pool, first) = (database.pool().await?, database.store()?);
    run(&pool, "insert into tenants default values").await?;
    let second = first.for_tenant(SECOND);
    apply(&first, &teams(&[("pay", "{ github: ana }")])).await?;
    apply(&second, &teams(&[("web", "{ github: ana, weight: 0.5 }, { github: ben }")])).await?;
    let merged = pr("acme/api", 1).by("ana").merged("2026-06-10T12:00:00Z");
    assert_eq!(keep(&first, std::slice::from_ref(&merged)).await?, 1);
    assert_eq!(keep(&second, &[merged.clone(), pr("acme/api", 2).by("ben")]).await?, 2);
    assert_eq!(keep(&second, std::slice::from_ref(&merged)).await?, 0, "nothing changed");
    let (revision, other) =
        (first.snapshot().await?.context("configured")?, second.snapshot().await?.context("configured")?);
    assert_ne!(revision.repositories[0].id, other.repositories[0].id);
    // One loses its pull request, the other one keeps it.
    let (lease, _) = first.lease(revision.repositories[0].id, at(NOW), Duration::ZERO).await?.context("free")?;
    first.mark_deleted(&lease, &[1], at(NOW)).await?;
    let kept = async |store: &Writer| {
        let found = store.explain(&"acme/api".parse()?, 1).await?.context("stored")?;
        anyhow::Ok((found.is_deleted, found.shares.into_iter().map(|share| share.team).collect::<Vec<_>>()))
    };
    assert!(kept(&first).await?.0);
    assert_eq!(kept(&second).await?, (false, vec!["web".to_owned()]));
    let stored = async |store: &Writer| anyhow::Ok(store.repository_statuses().await?[0].pull_requests);
    assert_eq!((stored(&first).await?, stored(&second).await?), (0, 2));
    // A row of the other tenant is not there, by its id either.
    assert!(first.repository(other.repositories[0].id).await?.is_none());
    assert!(first.lease(other.repositories[0].id, at(NOW), Duration::ZERO).await?.is_none());
    assert_eq!(first.events(None, 10).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn one_tenants_lock_never_stops_the_other() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    run(&pool, "insert into tenants default values").await?;
    let settings = settings(database.url())?.for_requests_within(Duration::from_secs(1));
    let first = Writer::connect(&settings, Actor::Collector);
    let second = first.for_tenant(SECOND);
    // As while the first one stores a page.
    let mut page = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock_shared(1835494499, 1)").execute(&mut *page).await?;
    let file = teams(&[("pay", "{ github: ana }")]);
    apply(&second, &file).await?;
    let waited = apply(&first, &file).await;
    assert!(matches!(waited, Err(ApplyError::Store(StoreError::Timeout(_)))), "{waited:?}");
    Ok(())
}

#[tokio::test]
async fn counters_are_right_for_all_tenants_after_truncating() -> Result<()> {
    let (database, pool) = two_tenants().await?;
    let superuser = database.superuser_pool().await?;
    assert_eq!(miscounted(&superuser).await?, [""; 0]);
    // The superuser's statements concern both tenants at once.
    run(&superuser, "update pull_requests set detailed_at = updated_at; delete from quarantined_pull_requests").await?;
    assert_eq!(miscounted(&superuser).await?, [""; 0]);
    // The login sees one tenant's rows, and truncates the rows of all.
    run(&pool, "truncate pull_requests, pr_attributions cascade").await?;
    assert_eq!(miscounted(&superuser).await?, [""; 0]);
    let counted: Vec<i64> = sqlx::query_scalar("select pull_requests from repositories").fetch_all(&superuser).await?;
    assert_eq!(counted, [0, 0]);
    let setting: Option<String> =
        sqlx::query_scalar("select current_setting('app.tenant', true)").fetch_one(&superuser).await?;
    assert_eq!(setting.unwrap_or_default(), "");
    Ok(())
}
