//! The database roles that connections act as.
//!
//! Connections of the API act as a role that can only read, so a mistake in them cannot change anything; those that store what
//! is posted act as one that can write this, and what follows from it, and nothing else. A login that
//! policies do not apply to, because it is a superuser or has `BYPASSRLS`, acts as the owner of the tables, to which they
//! do. Where the collector has a login of its own, that one acts as a role that may write rows, and owns nothing: see
//! [`crate::logins`].
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
pub(crate) const NAME: &str = named!("reader");

/// The name of the role that writes what is posted.
pub(crate) const POSTER_NAME: &str = named!("poster");

/// The name of the role that writes rows without owning the tables.
pub(crate) const WRITER_NAME: &str = named!("writer");

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
pub(crate) static UNGRANTED: LazyLock<String> = LazyLock::new(|| {
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

/// The tables that the role `r` has to write and may not, and the rights, as the end of a query. Which migrations ran, what a
/// program must know, and which organizations there are and who reads them by SQL, is not for it to change.
pub(crate) static UNWRITABLE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "(values ('INSERT'), ('UPDATE'), ('DELETE')) as g (right_to)
        cross join pg_class as c
        inner join pg_namespace as s on c.relnamespace = s.oid and s.nspname = current_schema()
        where
            c.relkind = 'r' and c.relowner = {OWNER_OF_TABLES}
            and c.relname not in ('_sqlx_migrations', 'schema_requirements', 'tenants', 'readers')
            and has_table_privilege(r.oid, c.oid, g.right_to) is not true"
    )
});

/// The sequences from which the role `r` has to take numbers and may not, as the end of a query.
pub(crate) static UNCOUNTED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "pg_class as c inner join pg_namespace as s on c.relnamespace = s.oid and s.nspname = current_schema()
        where
            c.relowner = {OWNER_OF_TABLES} and c.relname <> 'tenants_id_seq'
            -- In this order: of other relations it cannot be asked.
            and case when c.relkind = 'S' then has_sequence_privilege(r.oid, c.oid, 'usage') is not true else false end"
    )
});

/// The name of the role that owns the tables where the login that migrates is one that policies do not apply to.
const OWNER_NAME: &str = named!("owner");

/// Whether policies do not apply to this login, in SQL.
const BYPASSES: &str =
    "exists (select from pg_roles as l where l.rolname = session_user and (l.rolsuper or l.rolbypassrls))";

/// The owner of the tables, in SQL.
pub(crate) const OWNER_OF_TABLES: &str = "(
        select c.relowner from pg_class as c inner join pg_namespace as s on c.relnamespace = s.oid
        where s.nspname = current_schema() and c.relname = 'tenants'
    )";

/// What it takes to change to a role, in SQL. Since PostgreSQL 16, a member may lack that right.
pub(crate) const TO_ACT: &str =
    "case when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end";

/// Whether this login may change to the role `r`, in SQL.
static MAY_ACT: LazyLock<String> = LazyLock::new(|| format!("pg_has_role(session_user, r.oid, {TO_ACT})"));

/// Whether this login may change the tables themselves, because it owns them, may act as their owner, or will create
/// them, in SQL.
pub(crate) static OWNS: LazyLock<String> =
    LazyLock::new(|| format!("({OWNER_OF_TABLES} is null or pg_has_role(session_user, {OWNER_OF_TABLES}, {TO_ACT}))"));

/// Whether this is a login beside that of the owner: it is a member of a role that writes or reads, in SQL.
static IS_BESIDE_OWNER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "not {owns} and exists (
            select from pg_roles as r where r.rolname in ({WRITER_NAME}, {NAME}) and pg_has_role(session_user, r.oid, 'member')
        )",
        owns = *OWNS
    )
});

/// The tables and views of this login's schema that the role `r` may not read, as the end of a query.
pub(crate) static UNREADABLE: LazyLock<String> = LazyLock::new(|| {
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
        "pg_roles as r where r.rolname = {NAME} and {may_act} \
         and has_schema_privilege(r.oid, current_schema(), 'usage') and not exists (select from {unreadable})",
        may_act = *MAY_ACT,
        unreadable = *UNREADABLE
    )
});

/// The role that writes what is posted, as the end of a query: if this login may act as it, and if it may do all of it.
static POSTER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "pg_roles as r where r.rolname = {POSTER_NAME} and {may_act} \
         and has_schema_privilege(r.oid, current_schema(), 'usage') and not exists (select from {unreadable}) \
         and not exists (select from {ungranted})",
        may_act = *MAY_ACT,
        unreadable = *UNREADABLE,
        ungranted = *UNGRANTED
    )
});

/// Whether connections act as the owner `r` of the tables, in SQL: if policies apply to it and not to this login, or if it was
/// made because they did not apply to an earlier login.
static IS_OWNER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "r.oid = {OWNER_OF_TABLES} and not (r.rolsuper or r.rolbypassrls) and ({BYPASSES} or r.rolname = {OWNER_NAME})
        and {may_act}",
        may_act = *MAY_ACT
    )
});

/// The role of connections that write, as the end of a query.
pub(crate) static WRITES_AS: LazyLock<String> = LazyLock::new(|| {
    let (is_owner, owns, may_act) = (&*IS_OWNER, &*OWNS, &*MAY_ACT);
    format!("pg_roles as r where ({is_owner}) or (r.rolname = {WRITER_NAME} and {may_act} and not {owns})")
});

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
                        r.rolname = {OWNER_NAME} and {BYPASSES} and {may_act} and not (r.rolsuper or r.rolbypassrls)
                        and has_schema_privilege(r.oid, current_schema(), 'create')
                else {is_owner}
            end",
        is_owner = *IS_OWNER,
        may_act = *MAY_ACT
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

/// Whether this login may change the tables themselves, or will create them.
pub(crate) async fn owns_tables<C>(connection: &mut C) -> Result<bool, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let sql = format!("select {}", *OWNS);
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?)
}

/// Whether this login is one beside that of the owner of the tables, which neither migrates nor makes roles.
pub(crate) async fn is_beside_owner<C>(connection: &mut C) -> Result<bool, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let sql = format!("select {}", *IS_BESIDE_OWNER);
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?)
}

/// The roles to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Roles {
    /// That one which reads, that one which writes what is posted, and that one which writes rows where it was made before.
    Usual,
    /// All of them, because logins are to be made for them.
    OfLogins,
}

/// The statements that make the roles usable for this login; `None` if they are, if there are no tables yet, or if that is
/// for the owner of the tables to see to.
pub(crate) async fn missing_role<C>(connection: &mut C, roles: Roles) -> Result<Option<String>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let missing = |name: &str, is_for_this_login: bool, more: &str| {
        // What a migration makes can be read at once, while programs of the release before still run.
        format!(
            "(select concat_ws(
                '; ',
                case when r.oid is null then format('CREATE ROLE %I NOLOGIN', n.name) end,
                case
                    when {is_for_this_login} and (r.oid is null or not {may_act})
                        then format('GRANT %I TO %I', n.name, session_user)
                end,
                case
                    when r.oid is null or not has_schema_privilege(r.oid, current_schema(), 'usage')
                        then format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), n.name)
                end,
                (
                    select 'GRANT SELECT ON ' || string_agg(format('%I.%I', s.nspname, c.relname), ', ' order by c.relname)
                        || format(' TO %I', n.name)
                    from {unreadable}
                ){more},
                case
                    when r.oid is null or not exists (
                        select from pg_default_acl as d cross join aclexplode(d.defaclacl) as a
                        where
                            d.defaclrole = {OWNER_OF_TABLES} and d.defaclnamespace = to_regnamespace(quote_ident(current_schema()))
                            and d.defaclobjtype = 'r' and a.grantee = r.oid and a.privilege_type = 'SELECT'
                    )
                        then format(
                            'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I GRANT SELECT ON TABLES TO %I',
                            pg_get_userbyid({OWNER_OF_TABLES}), current_schema(), n.name
                        )
                end
            )
            from (select {name} as name) as n
            left join pg_roles as r on r.rolname = n.name)",
            may_act = *MAY_ACT,
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
    let writes = format!(
        ",
                (
                    select 'GRANT INSERT, UPDATE, DELETE ON '
                        || string_agg(distinct format('%I.%I', s.nspname, c.relname), ', ') || format(' TO %I', n.name)
                    from {unwritable}
                ),
                (
                    select 'GRANT USAGE ON SEQUENCE '
                        || string_agg(format('%I.%I', s.nspname, c.relname), ', ' order by c.relname) || format(' TO %I', n.name)
                    from {uncounted}
                )",
        unwritable = *UNWRITABLE,
        uncounted = *UNCOUNTED
    );
    let sql = format!(
        "select nullif(concat_ws(
            '; ', nullif({reader}, ''), nullif({poster}, ''),
            case
                when {is_needed} or exists (select from pg_roles as w where w.rolname = {WRITER_NAME}) then nullif({writer}, '')
            end
        ), '')
        where to_regclass('_sqlx_migrations') is not null and not ({is_beside_owner})",
        reader = missing(NAME, true, ""),
        poster = missing(POSTER_NAME, true, &grants),
        writer = missing(WRITER_NAME, false, &writes),
        is_needed = roles == Roles::OfLogins,
        is_beside_owner = *IS_BESIDE_OWNER
    );
    let missing: Option<Option<String>> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(connection).await?;
    Ok(missing.flatten())
}

/// Creates the roles and lets them do what they are for, as far as this login may. Returns the statements that are left for an
/// administrator; until they have run, connections have the login's own rights.
pub(crate) async fn create_roles<C>(connection: &mut C, roles: Roles) -> Result<Option<String>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let Some(statements) = missing_role(&mut *connection, roles).await? else { return Ok(None) };
    attempt(&mut *connection, &statements).await?;
    missing_role(connection, roles).await
}

/// Runs statements in a block of their own: what this login may not do must not fail anything else.
pub(crate) async fn attempt<C>(connection: &mut C, statements: &str) -> Result<(), StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let attempt = format!("do 'begin {}; exception when others then null; end'", statements.replace('\'', "''"));
    connection.execute(sqlx::raw_sql(AssertSqlSafe(attempt))).await?;
    Ok(())
}
