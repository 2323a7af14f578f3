//! Guarantees of the schema, tested on a real PostgreSQL.

mod common;

use anyhow::{Context, Result, ensure};
use common::{apply, fresh, teams};
use mergeline_domain::Problems;
use mergeline_fake_github::pr;
use mergeline_store::{Actor, DatabaseSettings, TeamSelector, Writer};
use mergeline_test_support::{TestDatabase, keep, miscounted};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

/// The last migration of the first release. Before it, no databases were in use.
const FIRST_RELEASE: i64 = 20_261_128_200_500;
/// Rows for every table of that schema.
const DATA: [&str; 3] =
    [include_str!("data/configuration.sql"), include_str!("data/pull_requests.sql"), include_str!("data/ledger.sql")];

/// The migration with the tables of deployments, and rows for them.
const DEPLOYMENTS: (i64, &str) = (20_261_129_100_000, include_str!("data/deployments.sql"));

/// One team with one member from 2026-01-01, and a repository.
async fn one_member() -> Result<(TestDatabase, PgPool)> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    sqlx::raw_sql(
        "insert into configurations (applied_at, timezone, bots) values (now(), 'UTC', '{}');
        insert into teams (slug, name, created_at) values ('pay', 'Pay', now());
        insert into people default values;
        insert into accounts (person_id, instance_id, external_id, configured_login, login) values (1, 1, '7', 'ana', 'ana');
        insert into repositories (name, added_at) values ('acme/api', now());
        insert into team_memberships (team_id, person_id, weight, joined_at, added_in) values (1, 1, 0.5, '2026-01-01', 1);",
    )
    .execute(&pool)
    .await?;
    Ok((database, pool))
}

/// The name of the constraint that refuses a statement, `None` when it passes.
async fn refused_by(pool: &PgPool, statement: &str) -> Option<String> {
    let error = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(pool).await.err()?;
    let constraint = error.as_database_error().and_then(|error| error.constraint()).map(str::to_owned);
    Some(constraint.unwrap_or_else(|| error.to_string()))
}

#[tokio::test]
async fn only_overlapping_memberships_in_force_are_refused() -> Result<()> {
    let (_database, pool) = one_member().await?;
    let membership = |from: &str, to: &str| {
        format!(
            "insert into team_memberships (team_id, person_id, weight, joined_at, left_at, added_in) values (1, 1, 0.5, {from}, {to}, 1)"
        )
    };
    let overlap = Some("team_memberships_do_not_overlap".to_owned());
    assert_eq!(refused_by(&pool, &membership("'2026-06-01'", "null")).await, overlap);
    assert_eq!(refused_by(&pool, &membership("null", "'2026-01-01 00:00:01'")).await, overlap);
    assert_eq!(refused_by(&pool, &membership("null", "'2026-01-01'")).await, None);
    sqlx::raw_sql("update team_memberships set removed_in = 1 where joined_at = '2026-01-01'").execute(&pool).await?;
    assert_eq!(refused_by(&pool, &membership("'2026-06-01'", "null")).await, None);
    Ok(())
}

#[tokio::test]
async fn invalid_weights_and_times_are_refused() -> Result<()> {
    let (_database, pool) = one_member().await?;
    for (values, constraint) in [
        ("0, '2030-01-01', null", "team_memberships_weight_check"),
        ("1.0001, '2030-01-01', null", "team_memberships_weight_check"),
        ("0.5, '2025-06-01', '2025-06-01'", "team_memberships_check"),
    ] {
        let statement = format!(
            "insert into team_memberships (team_id, person_id, weight, joined_at, left_at, added_in) values (1, 1, {values}, 1)"
        );
        assert_eq!(refused_by(&pool, &statement).await.as_deref(), Some(constraint), "{values}");
    }
    let pull_request = |number: i64, state: &str, closed: &str, merged: &str| {
        format!(
            "insert into pull_requests (repository_id, instance_id, number, external_id, author_id, title, state, is_draft, created_at,
                updated_at, closed_at, merged_at)
            values (1, 1, {number}, 1, 1, '', '{state}', false, now(), now(), {closed}, {merged})"
        )
    };
    assert_eq!(
        refused_by(&pool, &pull_request(1, "merged", "now()", "null")).await.as_deref(),
        Some("pull_requests_check")
    );
    assert_eq!(
        refused_by(&pool, &pull_request(1, "open", "now()", "null")).await.as_deref(),
        Some("pull_requests_check1")
    );
    assert_eq!(
        refused_by(&pool, &pull_request(0, "open", "null", "null")).await.as_deref(),
        Some("pull_requests_number_check")
    );
    assert_eq!(refused_by(&pool, &pull_request(1, "merged", "now()", "now()")).await, None);
    assert!(refused_by(&pool, &pull_request(1, "open", "null", "null")).await.is_some(), "the number must be unique");
    Ok(())
}

#[tokio::test]
async fn tables_have_keys_and_times_have_zones() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    let without_key: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class as c
        where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
            and not exists (select 1 from pg_constraint as k where k.conrelid = c.oid and k.contype = 'p')",
    )
    .fetch_all(&pool)
    .await?;
    assert_eq!(without_key, Vec::<String>::new());
    let columns: Vec<(String, String, String)> = sqlx::query_as(
        "select table_name::text, column_name::text, data_type::text from information_schema.columns
        where table_schema = 'public' and table_name not like '\\_%'
            and ((column_name like '%\\_at' or column_name = 'watermark') and data_type <> 'timestamp with time zone'
                or data_type in ('real', 'timestamp without time zone', 'character varying'))",
    )
    .fetch_all(&pool)
    .await?;
    assert_eq!(columns, []);
    Ok(())
}

#[tokio::test]
async fn id_columns_are_bigint_and_views_have_comments() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    let views_without_comment: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class as c
        where c.relkind = 'v' and c.relnamespace = 'public'::regnamespace and obj_description(c.oid) is null",
    )
    .fetch_all(&pool)
    .await?;
    assert_eq!(views_without_comment, Vec::<String>::new());
    let ids: Vec<String> = sqlx::query_scalar(
        "select table_name || '.' || column_name from information_schema.columns
        where table_schema = 'public' and column_name like '%\\_id'
        and data_type <> case
            when column_name in ('delivery_id', 'external_id', 'node_id') then 'text' when column_name = 'tenant_id' then 'integer' else 'bigint'
        end",
    )
    .fetch_all(&pool)
    .await?;
    assert_eq!(ids, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn every_migration_applies_to_a_database_with_data() -> Result<()> {
    let (database, store) = fresh().await?;
    let pool = database.pool().await?;
    sqlx::raw_sql("drop schema public cascade; create schema public").execute(&pool).await?;
    // One by one, with rows in every table from the first release on, so that later migrations run on a database in
    // use.
    for (version, _) in Writer::known_migrations() {
        store.migrate_to(version).await?;
        if version == FIRST_RELEASE {
            for rows in DATA {
                sqlx::raw_sql(rows).execute(&pool).await?;
            }
        }
        if version == DEPLOYMENTS.0 {
            sqlx::raw_sql(DEPLOYMENTS.1).execute(&pool).await?;
        }
    }
    store.migrate().await?;
    let counted: (i64, i64) =
        sqlx::query_as("select pull_requests, without_details from repositories").fetch_one(&pool).await?;
    assert_eq!((counted, miscounted(&pool).await?), ((2, 2), Vec::new()), "existing rows are counted");
    let weeks: Vec<(String, String, i64)> =
        sqlx::query_as("select team, iso_week, prs_merged from view_team_velocity where prs_merged > 0")
            .fetch_all(&pool)
            .await?;
    assert_eq!(weeks, [("pay".to_owned(), "2026-W02".to_owned(), 1)]);
    let months: Vec<(String, f64, String)> =
        sqlx::query_as("select team, median_hours, definition from view_dora_lead_time where n > 0")
            .fetch_all(&pool)
            .await?;
    assert_eq!(months, [("pay".to_owned(), 26.0, "pr_cycle_time@1".to_owned())]);
    Ok(())
}

/// The parts of a schema, one per line, as this server formats them.
const CATALOG: &str = "
    select format('column %s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attidentity::text || a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid)) as line
    from pg_attribute as a
    inner join pg_class as c on a.attrelid = c.oid and c.relkind in ('r', 'v')
    left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relnamespace = 'public'::regnamespace and a.attnum > 0 and not a.attisdropped and c.relname <> '_sqlx_migrations'
    union all
    select format('constraint %s %s %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
    from pg_constraint as c where c.connamespace = 'public'::regnamespace and c.conrelid::regclass::text <> '_sqlx_migrations'
    union all
    select 'index ' || indexdef from pg_indexes where schemaname = 'public' and tablename <> '_sqlx_migrations'
    union all
    select 'trigger ' || pg_get_triggerdef(t.oid) from pg_trigger as t where not t.tgisinternal
    union all
    select 'function ' || pg_get_functiondef(p.oid) from pg_proc as p where p.pronamespace = 'public'::regnamespace
    union all
    select format('view %s %s', c.relname, pg_get_viewdef(c.oid)) from pg_class as c
    where c.relkind = 'v' and c.relnamespace = 'public'::regnamespace
    union all
    select format('comment %s %s', c.relname, obj_description(c.oid, 'pg_class')) from pg_class as c
    where c.relnamespace = 'public'::regnamespace and obj_description(c.oid, 'pg_class') is not null
    union all
    select format('comment %s %s', p.oid::regprocedure, obj_description(p.oid, 'pg_proc')) from pg_proc as p
    where p.pronamespace = 'public'::regnamespace
    order by 1";

#[tokio::test]
async fn the_documented_schema_matches_the_migrations() -> Result<()> {
    let database = TestDatabase::create().await?;
    let pool = database.pool().await?;
    let migrated: Vec<String> = sqlx::query_scalar(CATALOG).fetch_all(&pool).await?;
    sqlx::raw_sql("drop schema public cascade; create schema public").execute(&pool).await?;
    sqlx::raw_sql(include_str!("../../../docs/schema.sql")).execute(&pool).await?;
    let documented: Vec<String> = sqlx::query_scalar(CATALOG).fetch_all(&pool).await?;
    let missing: Vec<_> = migrated.iter().filter(|line| !documented.contains(line)).collect();
    let added: Vec<_> = documented.iter().filter(|line| !migrated.contains(line)).collect();
    assert!(missing.is_empty() && added.is_empty(), "run .ci/schema; missing: {missing:#?}, unexpected: {added:#?}");
    Ok(())
}

#[tokio::test]
async fn a_prerelease_database_is_refused_with_help() -> Result<()> {
    let (database, store) = fresh().await?;
    let pool = database.pool().await?;
    sqlx::raw_sql(
        "drop schema public cascade; create schema public;
        -- As the migrator makes it.
        create table _sqlx_migrations (version bigint primary key, description text not null,
            installed_on timestamptz not null default now(), success boolean not null, checksum bytea not null,
            execution_time bigint not null);
        insert into _sqlx_migrations values (20261120100000, 'create configuration', now(), true, '', 0);
        create table teams (id bigint)",
    )
    .execute(&pool)
    .await?;
    let refused = store.migrate().await.err().context("migrating must fail")?;
    assert_eq!(refused.code(), "db_schema");
    let message = mergeline_domain::error_chain(&refused);
    assert!(message.contains("before the first release") && message.contains("an empty database"), "{message}");
    let tables: i64 =
        sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'").fetch_one(&pool).await?;
    assert_eq!(tables, 2, "the database is unchanged");
    Ok(())
}

#[tokio::test]
async fn concurrent_migrations_take_turns() -> Result<()> {
    let (database, _) = fresh().await?;
    let pool = database.pool().await?;
    sqlx::raw_sql("drop schema public cascade; create schema public").execute(&pool).await?;
    let (one, two) = (database.store()?, database.store()?);
    let (first, second) = tokio::join!(one.migrate(), two.migrate());
    first?;
    second?;
    let applied: i64 =
        sqlx::query_scalar("select count(*) from _sqlx_migrations where success").fetch_one(&pool).await?;
    assert_eq!(usize::try_from(applied)?, Writer::known_migrations().len());
    Ok(())
}

#[tokio::test]
async fn f43_a_newer_schema_works_until_it_requires_more() -> Result<()> {
    let (database, store) = fresh().await?;
    let pool = database.pool().await?;
    sqlx::raw_sql(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (99991231000000, 'of the next release', true, '', 0)",
    )
    .execute(&pool)
    .await?;
    store.migrate().await?;
    sqlx::raw_sql("update schema_requirements set least_migration = 99991231000000").execute(&pool).await?;
    let error = store.migrate().await.err().context("migrating must fail")?;
    let newest = Writer::known_migrations().last().context("migrations")?.0;
    assert_eq!(error.code(), "db_schema");
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(cause.contains("99991231000000") && cause.contains(&newest.to_string()), "{cause}");
    Ok(())
}

#[tokio::test]
async fn merge_statistics_use_an_index_only_scan() -> Result<()> {
    let (_database, pool) = one_member().await?;
    sqlx::raw_sql(
        "insert into pull_requests (repository_id, instance_id, number, external_id, author_id, title, state, is_draft, created_at, updated_at, closed_at, merged_at)
        select 1, 1, n, n, 1, '', 'merged', false, t, t, t, t from (select n, timestamptz '2020-01-01' + n * interval '1 hour' as t from generate_series(1, 20000) as n) as x;
        insert into teams (slug, name, created_at) select 'team-' || n, '', now() from generate_series(2, 10) as n;
        insert into pr_attributions (pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, merged_at)
        select p.id, t.id, 1, 0.5, 1, 1, p.created_at, p.merged_at from pull_requests as p, teams as t order by p.id, t.id;",
    )
    .execute(&pool)
    .await?;
    let mut connection = pool.acquire().await?;
    // Which scan is cheapest depends on how much of the table has been vacuumed. Whether an index-only scan is possible
    // does not.
    sqlx::raw_sql("analyze pr_attributions; set enable_bitmapscan = off; set enable_seqscan = off")
        .execute(&mut *connection)
        .await?;
    let plan: Vec<String> = sqlx::query_scalar(
        "explain select * from merge_statistics(1, '2021-01-01', '2021-03-26', 'Europe/Oslo', 'week')",
    )
    .fetch_all(&mut *connection)
    .await?;
    let plan = plan.join("\n");
    assert!(plan.contains("Index Only Scan using pr_attributions_merged_idx"), "{plan}");
    Ok(())
}

/// One team with 20,000 merges, one per hour from 2020 on.
async fn long_history() -> Result<PgPool> {
    let (_database, pool) = one_member().await?;
    sqlx::raw_sql(
        "insert into pull_requests (repository_id, instance_id, number, external_id, author_id, title, state, is_draft, created_at, updated_at, closed_at, merged_at)
        select 1, 1, n, n, 1, '', 'merged', false, t, t, t, t from (select n, timestamptz '2020-01-01' + n * interval '1 hour' as t from generate_series(1, 20000) as n) as x;
        insert into pr_attributions (pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, closed_at, merged_at)
        select id, 1, 1, 0.5, 1, 1, created_at, merged_at, merged_at from pull_requests;
        analyze",
    )
    .execute(&pool)
    .await?;
    Ok(pool)
}

#[tokio::test]
async fn a_time_filter_computes_only_matching_buckets() -> Result<()> {
    let pool = long_history().await?;
    // As Grafana writes a time filter.
    let between = "between '2021-01-04T00:00:00Z' and '2021-01-17T23:59:59Z'";
    for (sql, buckets) in [
        (
            format!(
                "select week_start, prs_merged from view_team_velocity where team = 'pay' and week_start {between}"
            ),
            2,
        ),
        (format!("select month_start, n from view_dora_lead_time where team = 'pay' and month_start {between}"), 0),
        ("select n from view_dora_lead_time where month_start = '2021-02-01'".to_owned(), 1),
        (format!("select n from view_team_phases where unit = 'week' and bucket_start {between}"), 2),
    ] {
        let explain = format!("explain (analyze, costs off, timing off, summary off) {sql}");
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&pool).await?;
        let scans: Vec<&String> = plan.iter().filter(|line| line.contains("Function Scan on team_bucket")).collect();
        let expected = if buckets == 0 { "(never executed)".to_owned() } else { format!("loops={buckets})") };
        assert!(matches!(scans.as_slice(), [line] if line.ends_with(&expected)), "{sql}: {}", plan.join("\n"));
    }
    // The view of single pull requests has no buckets. It finds the matching ones by merge time, and by team where the
    // planner does not probe each team (PostgreSQL 18 may).
    let explain =
        format!("explain (costs off) select title from pr_metrics where team = 'pay' and merged_at {between}");
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&pool).await?;
    let by_merge = |line: &String| line.contains("Index Cond: (") && line.contains("merged_at >=");
    assert!(plan.iter().any(by_merge), "{}", plan.join("\n"));
    Ok(())
}

#[tokio::test]
async fn collection_status_reads_no_pull_request() -> Result<()> {
    let (database, owner) = fresh().await?;
    apply(&owner, &teams(&[("pay", "{ github: ana }")])).await?;
    keep(&owner, &[pr("acme/api", 1), pr("acme/api", 2)]).await?;
    let role = format!("blind_{}", std::process::id());
    sqlx::raw_sql(AssertSqlSafe(format!(
        "create role {role} login password 'pw';
        grant select on all tables in schema public to {role};
        revoke select on pull_requests, pr_attributions, quarantined_pull_requests from {role}"
    )))
    .execute(&database.pool().await?)
    .await?;
    let mut url = url::Url::parse(database.url())?;
    ensure!(url.set_username(&role).is_ok() && url.set_password(Some("pw")).is_ok(), "a URL with a host");
    let settings = DatabaseSettings::parse(&SecretString::from(String::from(url))).map_err(Problems::from)?;
    let store = Writer::connect(&settings, Actor::Collector);
    // The queries of `status`, `doctor`, `explain`, /collection/status, /collection/runs and /health, and the first
    // query of each request about a team.
    let statuses = store.repository_statuses().await?;
    assert_eq!((statuses[0].pull_requests, statuses[0].without_details, statuses[0].quarantined), (2, 2, 0));
    store.coverage().await?;
    store.runs(None, 20).await?;
    store.configured_logins().await?;
    store.health().await?;
    store.session_with_status(Some(&TeamSelector::Slug("pay".parse()?)), &["acme/api".parse()?]).await?;
    let refused = store.quarantine_entries(1).await;
    assert!(format!("{refused:?}").contains("permission denied"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn explaining_a_pull_request_uses_only_indexes() -> Result<()> {
    let pool = long_history().await?;
    let by_name = include_str!("../queries/explain.sql").replace("$1", "'acme/api'").replace("$2", "77");
    for (sql, key) in [
        (by_name.as_str(), "pull_requests_tenant_id_repository_id_number_key"),
        ("select flags from pr_metrics where pull_request_id = 77 limit 1", "pr_attributions_pkey"),
    ] {
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("explain {sql}"))).fetch_all(&pool).await?;
        let plan = plan.join("\n");
        assert!(plan.contains(key), "{plan}");
        for facts in ["pull_requests", "pr_attributions"] {
            assert!(!plan.contains(&format!("Seq Scan on {facts}")), "{plan}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn view_only_readers_never_see_small_groups() -> Result<()> {
    let pool = long_history().await?;
    let role = format!("reader_{}", std::process::id());
    sqlx::raw_sql(AssertSqlSafe(format!(
        "create role {role} login; create role {role}_of_nothing login; grant select on view_team_velocity, view_dora_lead_time, view_team_phases, collection_coverage,
            pr_metrics to {role}"
    )))
    .execute(&pool)
    .await?;
    let log_in = async |name: &str| PgConnection::connect_with(&(*pool.connect_options()).clone().username(name)).await;
    let mut reader = log_in(&role).await?;
    for (view, durations) in [
        ("view_team_velocity where week_start = '2021-01-04'", "median_cycle_time_hours"),
        ("view_dora_lead_time where month_start = '2021-01-01'", "median_hours"),
        ("pr_metrics where number = 1", "cycle_time_seconds"),
    ] {
        let sql = format!("select {durations} is not null from {view}");
        let seen: Vec<bool> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut reader).await?;
        assert_eq!(seen, [true], "{view}");
    }
    for view in ["view_team_phases", "collection_coverage"] {
        sqlx::raw_sql(AssertSqlSafe(format!("select * from {view}"))).execute(&mut reader).await?;
    }
    for table in ["pr_attributions", "pull_requests", "people", "team_buckets"] {
        let refused = sqlx::raw_sql(AssertSqlSafe(format!("select * from {table}"))).execute(&mut reader).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("permission denied")), "{table}");
    }
    // A reader's own table does not replace one of ours.
    sqlx::raw_sql("create temporary table configuration_in_force (timezone text, min_group_size integer)")
        .execute(&mut reader)
        .await?;
    sqlx::raw_sql(
        "insert into configurations (applied_at, timezone, bots, min_group_size) values (now(), 'UTC', '{}', 2)",
    )
    .execute(&pool)
    .await?;
    for sql in [
        "select prs_merged, median_cycle_time_hours from view_team_velocity where week_start = '2021-01-04'",
        "select n, median_hours from view_dora_lead_time where month_start = '2021-01-01'",
        "select n, mean from team_bucket(1, 'week', '2021-01-04') where measure = 'cycle_time'",
    ] {
        let (count, hidden): (i64, Option<f64>) = sqlx::query_as(sql).fetch_one(&mut reader).await?;
        assert!(count > 100 && hidden.is_none(), "{sql}: {count} {hidden:?}");
    }
    // The function runs with its owner's rights, and checks the caller.
    let mut stranger = log_in(&format!("{role}_of_nothing")).await?;
    let refused = sqlx::raw_sql("select * from team_bucket(1, 'week', '2021-01-04')").execute(&mut stranger).await;
    assert!(refused.as_ref().is_err_and(|error| error.to_string().contains("permission denied")), "{refused:?}");
    Ok(())
}

#[test]
fn later_migrations_build_indexes_concurrently() -> Result<()> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Up to the first release there were no rows for a lock to block.
        if name.split('_').next().and_then(|version| version.parse::<i64>().ok()) <= Some(FIRST_RELEASE) {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        let statements: Vec<String> = text.split(';').map(str::to_lowercase).collect();
        for statement in &statements {
            let touches_an_index = statement.contains("create index")
                || statement.contains("create unique index")
                || statement.contains("drop index");
            // A table of the same migration has no writers yet.
            let is_new = statements.iter().filter_map(|it| it.split("create table ").nth(1)).any(|it| {
                it.split_whitespace().next().is_some_and(|table| statement.contains(&format!(" on {table} ")))
            });
            if touches_an_index && !is_new {
                assert!(statement.contains("concurrently"), "{name} blocks writers while it runs");
                assert!(text.starts_with("-- no-transaction\n"), "{name} cannot run that in a transaction");
                assert_eq!(statements.len(), 2, "{name} must have one statement: several form a transaction");
            }
        }
    }
    Ok(())
}
