//! The database roles that connections act as.
//!
//! Connections of the API act as a role that can only read, so a mistake in them cannot change anything; those that store what
//! is posted act as one that can write this, and what follows from it, and nothing else. A login that
//! policies do not apply to, because it is a superuser or has `BYPASSRLS`, acts as the owner of the tables, to which they
//! do.
//!
//! A role belongs to the whole server, and a member of one database's role must not read another database. So they are
//! named after the database's number, which no other one has.

use std::sync::LazyLock;

use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres};

use crate::StoreError;

/// The name of a role of this database, in SQL.
macro_rules! named {
    ($what:literal) => {
        concat!("(select 'mergeline_", $what, "_' || d.oid from pg_database as d where d.datname = current_database())")
    };
}

/// The name of the role that reads.
const NAME: &str = named!("reader");

/// The name of the role that writes what is posted.
const POSTER_NAME: &str = named!("poster");

/// What the role that writes what is posted may do besides reading, in SQL: table, right, and the columns if only some.
const POSTED: &str = "(
    values
    ('deployments', 'INSERT', null::text []),
    (
        'deployments', 'UPDATE',
        array[
            'outcome', 'succeeded_at', 'failed_at', 'failed_afterwards_at', 'version', 'url', 'is_declared_failed', 'is_declared_rework',
            'remedies', 'created_at'
        ]
    ),
    ('deployment_revisions', 'INSERT', null),
    ('deployment_states', 'INSERT', null),
    ('incidents', 'INSERT', null),
    ('incidents', 'UPDATE', array['named_deployment_id', 'set_deployment_id', 'severity', 'source_severity', 'url', 'merged_into']),
    ('incident_states', 'INSERT', null),
    ('received_events', 'INSERT', null),
    ('announcements', 'INSERT', null),
    ('announcements', 'UPDATE', array['last_at']),
    -- The triggers of pull requests add to these, here always nothing.
    ('repositories', 'UPDATE', array['pull_requests', 'without_details']),
    ('services', 'UPDATE', array['has_facts', 'data_version', 'first_source']),
    ('deployment_facts', 'INSERT', null),
    ('deployment_facts', 'UPDATE', null),
    ('deployment_facts', 'DELETE', null),
    ('deployment_failures', 'INSERT', null),
    ('deployment_failures', 'UPDATE', null),
    ('deployment_failures', 'DELETE', null),
    ('deployment_shares', 'INSERT', null),
    ('deployment_shares', 'UPDATE', null),
    ('deployment_shares', 'DELETE', null),
    ('deployment_attempts', 'INSERT', null),
    ('deployment_attempts', 'DELETE', null),
    ('incident_facts', 'INSERT', null),
    ('incident_facts', 'UPDATE', null),
    ('incident_facts', 'DELETE', null),
    ('pr_deliveries', 'INSERT', null),
    ('pr_deliveries', 'UPDATE', null),
    ('pr_deliveries', 'DELETE', null),
    ('pull_requests', 'UPDATE', array['delivered_at', 'is_delivery_assumed']),
    ('pr_attributions', 'UPDATE', array['delivered_at', 'lead_seconds', 'deploy_seconds'])
) as g (name, right_to, columns)";

/// What of that the role `r` lacks, as the end of a query.
static UNGRANTED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{POSTED}
        inner join pg_class as c on c.relname = g.name and c.relowner = {OWNER_OF_TABLES}
        inner join pg_namespace as s on c.relnamespace = s.oid and s.nspname = current_schema()
        where
            case
                when g.columns is null then has_table_privilege(r.oid, c.oid, g.right_to) is not true
                else exists (
                    select from unnest(g.columns) as l (name)
                    where has_column_privilege(r.oid, c.oid, l.name, g.right_to) is not true
                )
            end"
    )
});

/// The name of the role that owns the tables where the login that migrates is one that policies do not apply to.
const OWNER_NAME: &str = named!("owner");

/// Whether policies do not apply to this login, in SQL.
const BYPASSES: &str =
    "exists (select from pg_roles as l where l.rolname = session_user and (l.rolsuper or l.rolbypassrls))";

/// The owner of the tables, in SQL.
const OWNER_OF_TABLES: &str = "(
        select c.relowner from pg_class as c inner join pg_namespace as s on c.relnamespace = s.oid
        where s.nspname = current_schema() and c.relname = 'tenants'
    )";

/// Whether this login may change to the role `r`, in SQL. Since PostgreSQL 16, a member may lack that right.
const MAY_ACT: &str = "pg_has_role(session_user, r.oid, case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end)";

/// The tables and views of this login's schema that the role `r` may not read, as the end of a query.
static UNREADABLE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "pg_class as c inner join pg_namespace as s on c.relnamespace = s.oid
        where
            s.nspname = current_schema() and c.relkind in ('r', 'v') and c.relowner = {OWNER_OF_TABLES}
            and has_table_privilege(r.oid, c.oid, 'select') is not true"
    )
});

/// The schemas that this login finds, in SQL. `$user` in its search path would mean another schema for the role.
pub(crate) const SEARCH_PATH: &str = "(select string_agg(quote_ident(s.name), ', ' order by s.place) \
                                      from unnest(current_schemas(false)) with ordinality as s (name, place))";

/// The role that reads, as the end of a query: if this login may act as it, and if it may read everything.
static READER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "pg_roles as r where r.rolname = {NAME} and {MAY_ACT} \
         and has_schema_privilege(r.oid, current_schema(), 'usage') and not exists (select from {unreadable})",
        unreadable = *UNREADABLE
    )
});

/// The role that writes what is posted, as the end of a query: if this login may act as it, and if it may do all of it.
static POSTER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "pg_roles as r where r.rolname = {POSTER_NAME} and {MAY_ACT} \
         and has_schema_privilege(r.oid, current_schema(), 'usage') and not exists (select from {unreadable}) \
         and not exists (select from {ungranted})",
        unreadable = *UNREADABLE,
        ungranted = *UNGRANTED
    )
});

/// Whether connections act as the owner `r` of the tables, in SQL: if policies apply to it and not to this login, or if it was
/// made because they did not apply to an earlier login.
static IS_OWNER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "r.oid = {OWNER_OF_TABLES} and not (r.rolsuper or r.rolbypassrls) and ({BYPASSES} or r.rolname = {OWNER_NAME})
        and {MAY_ACT}"
    )
});

/// The role of connections that write, as the end of a query.
pub(crate) static WRITES_AS: LazyLock<String> = LazyLock::new(|| format!("pg_roles as r where {}", *IS_OWNER));

/// The role of connections that read, as the end of a query. Without it, the login's own rights are better than none.
pub(crate) static READS_AS: LazyLock<String> = LazyLock::new(|| {
    let (reader, is_owner) = (&*READER, &*IS_OWNER);
    format!("pg_roles as r where case when exists (select from {reader}) then r.rolname = {NAME} else {is_owner} end")
});

/// The role of connections that write what is posted, as the end of a query. Without it, they have the login's own rights.
pub(crate) static POSTS_AS: LazyLock<String> = LazyLock::new(|| {
    let (poster, is_owner) = (&*POSTER, &*IS_OWNER);
    format!(
        "pg_roles as r where case when exists (select from {poster}) then r.rolname = {POSTER_NAME} else {is_owner} end"
    )
});

/// Refuses a connection that would mix up several organizations: nothing would keep their rows apart.
pub(crate) const REFUSE_MIXING: &str = "do $$ begin
        if to_regclass('tenants') is not null
            and exists (select from pg_roles where rolname = current_user and (rolsuper or rolbypassrls))
        then
            if (select count(*) > 1 from tenants) then
                raise exception 'several organizations share this database, and its rules about rows do not apply to this login'
                using hint = 'set DB_URL to a login that owns the tables and is neither a superuser nor BYPASSRLS';
            end if;
        end if;
    end $$";

/// Makes a login that policies do not apply to act as a role to which they do, which then owns what migrations create. Where
/// the login may not create the role, or owns the tables already, it acts as itself.
pub(crate) async fn become_owner(connection: &mut PgConnection) -> Result<(), StoreError> {
    let create = format!(
        "do $$
        declare
            owner constant text := {OWNER_NAME};
        begin
            if {BYPASSES} and {OWNER_OF_TABLES} is null then
                if not exists (select from pg_roles where rolname = owner) then
                    execute format('create role %I nologin', owner);
                end if;
                execute format('grant %I to %I', owner, session_user);
                execute format('grant usage, create on schema %I to %I', current_schema(), owner);
            end if;
        exception when others then null;
        end $$"
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(create))).await?;
    let act = format!(
        "select set_config('search_path', {SEARCH_PATH}, false);
        select set_config('role', r.rolname, false) from pg_roles as r
        where
            case
                when {OWNER_OF_TABLES} is null
                    then
                        r.rolname = {OWNER_NAME} and {BYPASSES} and {MAY_ACT} and not (r.rolsuper or r.rolbypassrls)
                        and has_schema_privilege(r.oid, current_schema(), 'create')
                else {is_owner}
            end",
        is_owner = *IS_OWNER
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(act))).await?;
    Ok(())
}

/// Whether policies do not apply to what this connection does.
pub(crate) async fn bypasses_policies<C>(connection: &mut C) -> Result<bool, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let sql = "select rolsuper or rolbypassrls from pg_roles where rolname = current_user";
    Ok(sqlx::query_scalar(sql).fetch_one(connection).await?)
}

/// The statements that make the roles usable for this login; `None` if they are, or if there are no tables yet.
pub(crate) async fn missing_role<C>(connection: &mut C) -> Result<Option<String>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let missing = |name: &str, more: &str| {
        format!(
            "(select concat_ws(
                '; ',
                case when r.oid is null then format('CREATE ROLE %I NOLOGIN', n.name) end,
                case when r.oid is null or not {MAY_ACT} then format('GRANT %I TO %I', n.name, session_user) end,
                case
                    when r.oid is null or not has_schema_privilege(r.oid, current_schema(), 'usage')
                        then format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), n.name)
                end,
                (
                    select 'GRANT SELECT ON ' || string_agg(format('%I.%I', s.nspname, c.relname), ', ' order by c.relname)
                        || format(' TO %I', n.name)
                    from {unreadable}
                ){more}
            )
            from (select {name} as name) as n
            left join pg_roles as r on r.rolname = n.name)",
            unreadable = *UNREADABLE
        )
    };
    let grants = format!(
        ",
                (
                    select string_agg(
                        format(
                            'GRANT %s%s ON %I.%I TO %I', g.right_to, ' (' || array_to_string(g.columns, ', ') || ')', s.nspname,
                            c.relname, n.name
                        ),
                        '; ' order by g.name, g.right_to
                    )
                    from {ungranted}
                )",
        ungranted = *UNGRANTED
    );
    let sql = format!(
        "select nullif(concat_ws('; ', nullif({reader}, ''), nullif({poster}, '')), '')
        where to_regclass('_sqlx_migrations') is not null",
        reader = missing(NAME, ""),
        poster = missing(POSTER_NAME, &grants)
    );
    let missing: Option<Option<String>> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(connection).await?;
    Ok(missing.flatten())
}

/// Creates the roles and lets them do what they are for, as far as this login may. Returns the statements that are left for an
/// administrator; until they have run, connections have the login's own rights.
pub(crate) async fn create_roles<C>(connection: &mut C) -> Result<Option<String>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let Some(statements) = missing_role(&mut *connection).await? else { return Ok(None) };
    // A block of its own: what this login may not do must not fail anything else.
    let attempt = format!("do 'begin {}; exception when others then null; end'", statements.replace('\'', "''"));
    (&mut *connection).execute(sqlx::raw_sql(AssertSqlSafe(attempt))).await?;
    missing_role(connection).await
}
