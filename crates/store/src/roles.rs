//! The database role that can only read. Connections of the API act as it, so a mistake in them cannot change anything.
//!
//! A role belongs to the whole server. It is named after the database, because a member of one database's role must not
//! read another one.

use sqlx::{AssertSqlSafe, Executor, PgConnection, Postgres};

use crate::StoreError;

/// The name of the role, in SQL. The longest name of a database leaves no room for more.
const NAME: &str = "left(current_database(), 56) || '_reader'";

/// The role if this login may act as it, as the end of a query.
pub(crate) const READER: &str =
    "pg_roles as r where r.rolname = left(current_database(), 56) || '_reader' and pg_has_role(r.oid, 'member')";

/// What the role lacks: the statements that create it for this login, whether this login may run them, and those that
/// let it read what is new.
async fn lacking<C>(connection: &mut C) -> Result<(Option<String>, bool, Option<String>), StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let sql = format!(
        "select
            case
                when r.oid is null then format('CREATE ROLE %1$I NOLOGIN; GRANT %1$I TO %2$I', n.name, current_user)
                when not pg_has_role(r.oid, 'member') then format('GRANT %1$I TO %2$I', n.name, current_user)
            end,
            (select u.rolsuper or u.rolcreaterole from pg_roles as u where u.rolname = current_user),
            case
                when r.oid is null or exists (
                    select from pg_class as c
                    where
                        c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'v')
                        and pg_has_role(c.relowner, 'usage') and not has_table_privilege(r.oid, c.oid, 'select')
                )
                then format('GRANT USAGE ON SCHEMA %1$I TO %2$I; GRANT SELECT ON ALL TABLES IN SCHEMA %1$I TO %2$I', current_schema(), n.name)
            end
        from (select {NAME} as name) as n
        left join pg_roles as r on r.rolname = n.name"
    );
    Ok(sqlx::query_as(AssertSqlSafe(sql)).fetch_one(connection).await?)
}

/// The statements that an administrator must run before connections can act as the role; `None` if they can, or will once
/// this login migrates.
pub(crate) async fn missing_role<C>(connection: &mut C) -> Result<Option<String>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let (create, may_create, _) = lacking(connection).await?;
    Ok(create.filter(|_| !may_create))
}

/// Creates the role and lets it read everything, as far as this login may. Returns what is left for an administrator.
pub(crate) async fn create_reader(connection: &mut PgConnection) -> Result<Option<String>, StoreError> {
    let (create, may_create, grant) = lacking(connection).await?;
    match create {
        Some(create) if !may_create => return Ok(Some(create)),
        Some(create) => drop(sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?),
        None => {}
    }
    if let Some(grant) = grant {
        sqlx::raw_sql(AssertSqlSafe(grant)).execute(connection).await?;
    }
    Ok(None)
}
