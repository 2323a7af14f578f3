//! The logins of the collector and the API, where they are not the owner's.
//!
//! The owner's login migrates, and it alone. That of the collector may write rows, that of the API may read them and
//! store what is posted. They own nothing, and cannot create anything.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use mergeline_domain::Problem;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, Executor, Postgres};
use url::Url;

use crate::roles::{
    NAME, OWNER_OF_TABLES, POSTER_NAME, SEARCH_PATH, TO_ACT, UNCOUNTED, UNGRANTED, UNREADABLE, UNWRITABLE, WRITER_NAME,
    attempt,
};
use crate::{DatabaseSettings, Reader, StoreError};

/// How often a password is hashed: as often as PostgreSQL does by itself.
const ITERATIONS: u32 = 4096;
/// How long a salt is, in bytes: as long as PostgreSQL's own.
const SALT: usize = 16;

/// The names of tables `c`, in SQL: five, and how many more there are.
const FIRST_NAMES: &str = "array_to_string((array_agg(distinct c.relname::text))[:5], ', ')
    || case when count(distinct c.oid) > 5 then format(' and %s more', count(distinct c.oid) - 5) else '' end";

/// The logins that `migrate` makes beside the one that it uses itself.
#[derive(Debug, Clone)]
pub struct Logins {
    writer: Login,
    reader: Login,
}

#[derive(Debug, Clone)]
struct Login {
    kind: LoginKind,
    name: String,
    password: SecretString,
    settings: DatabaseSettings,
    /// Whether RDS lets it in by IAM, and then no longer by its password; `None` to leave that as it is.
    by_iam: Option<bool>,
}

/// The role whose members RDS lets in by IAM. Other servers do not have it.
const BY_IAM: &str = "rds_iam";

/// What a login is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum LoginKind {
    /// The collector: it writes rows.
    Writer,
    /// The API: it reads, and stores what is posted.
    Reader,
}

/// A login beside the owner's, and whether its rights are right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoginStatus {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub kind: LoginKind,
    /// What it may do and should not, as ends of a sentence that begins with its name.
    pub excess: Vec<String>,
    /// What it should be able to do and is not, in the same form.
    pub lacking: Vec<String>,
}

impl LoginKind {
    /// The roles that such a login is a member of, as SQL for their names.
    fn roles(self) -> &'static [&'static str] {
        match self {
            Self::Writer => &[WRITER_NAME],
            Self::Reader => &[NAME, POSTER_NAME],
        }
    }

    /// The settings of such a login in this database: name and value, both as SQL.
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Writer => &[("search_path", SEARCH_PATH)],
            Self::Reader => &[("search_path", SEARCH_PATH), ("default_transaction_read_only", "'on'")],
        }
    }
}

impl Logins {
    /// Reads `DB_WRITER_URL`, `DB_READER_URL` and `DB_LOGIN` through `lookup`. `None` if neither URL is set: one login does
    /// everything.
    ///
    /// # Errors
    /// `config.db_logins` if only one of them is set, one names no user or password, or two logins are the same, and
    /// `config.db_login` for an unknown way to log in.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Problem> {
        const WRITER: &str = "DB_WRITER_URL";
        const READER: &str = "DB_READER_URL";
        let given = |name: &str| lookup(name).filter(|url| !url.trim().is_empty());
        let (writer, reader) = match (given(WRITER), given(READER)) {
            (None, None) => return Ok(None),
            (Some(writer), Some(reader)) => (writer, reader),
            (Some(_), None) => {
                return Err(problem(READER, "it is not set, and DB_WRITER_URL is", "set both or neither"));
            }
            (None, Some(_)) => {
                return Err(problem(WRITER, "it is not set, and DB_READER_URL is", "set both or neither"));
            }
        };
        let by_iam = WayIn::from_vars(&lookup)?.map(|way| way == WayIn::Iam);
        let writer = Login { by_iam, ..Login::parse(LoginKind::Writer, WRITER, &writer)? };
        let reader = Login { by_iam, ..Login::parse(LoginKind::Reader, READER, &reader)? };
        let owner = given("DB_URL").and_then(|url| Url::parse(url.trim()).ok()).map(|url| decoded(url.username()));
        let mut names = vec![&writer.name, &reader.name];
        names.extend(&owner);
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            let message = "two of DB_URL, DB_WRITER_URL and DB_READER_URL name the same user";
            return Err(problem(WRITER, message, "give each a user of its own"));
        }
        Ok(Some(Self { writer, reader }))
    }

    /// Makes the logins, and lets them do what they are for. Returns the statements that are left for an administrator.
    pub(crate) async fn make<C>(&self, connection: &mut C) -> Result<Option<String>, StoreError>
    where
        for<'c> &'c mut C: Executor<'c, Database = Postgres>,
    {
        let mut left = Vec::new();
        for login in [&self.writer, &self.reader] {
            left.extend(login.make(&mut *connection).await?);
        }
        Ok((!left.is_empty()).then(|| left.join("; ")))
    }
}

/// How a login proves itself to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayIn {
    /// By the password in its secret.
    Secret,
    /// By a token of IAM, which RDS takes in place of a password.
    Iam,
}

impl WayIn {
    /// Reads `DB_LOGIN` through `lookup`; `None` without it.
    ///
    /// # Errors
    /// `config.db_login` for another value.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Problem> {
        const NAME: &str = "DB_LOGIN";
        match lookup(NAME).as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some("secret") => Ok(Some(Self::Secret)),
            Some("iam") => Ok(Some(Self::Iam)),
            Some(other) => {
                let help = "write secret, or iam for RDS and Aurora with IAM database authentication";
                Err(Problem::setting("config.db_login", NAME, format!("there is no way `{other}`"), help))
            }
        }
    }
}

fn problem(variable: &'static str, message: &str, help: &str) -> Problem {
    Problem::setting("config.db_logins", variable, message, help)
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

impl Login {
    fn parse(kind: LoginKind, variable: &'static str, url: &str) -> Result<Self, Problem> {
        let settings = DatabaseSettings::parse(&SecretString::from(url)).map_err(|problem| {
            // It names DB_URL.
            Problem::setting(problem.code, variable, problem.message, problem.help.unwrap_or_default())
        })?;
        let parsed = Url::parse(url.trim()).ok();
        let named = parsed.as_ref().map(|url| (decoded(url.username()), url.password().map(decoded)));
        let help = "write postgres://user:password@host:5432/database, with a password of ASCII characters";
        match named {
            Some((name, Some(password))) if !name.is_empty() && !password.is_empty() && password.is_ascii() => {
                Ok(Self { kind, name, password: password.into(), settings, by_iam: None })
            }
            _ => Err(problem(variable, "it names no user with a password of ASCII characters", help)),
        }
    }

    async fn make<C>(&self, connection: &mut C) -> Result<Option<String>, StoreError>
    where
        for<'c> &'c mut C: Executor<'c, Database = Postgres>,
    {
        let (exists, granting) = self.found(&mut *connection).await?;
        if let (true, Some(statement)) = (exists, granting) {
            return Err(StoreError::LoginTaken { login: self.name.clone(), statement });
        }
        if let Some(statements) = self.missing(&mut *connection).await? {
            attempt(&mut *connection, &statements).await?;
        }
        let left = self.missing(&mut *connection).await?;
        let is_there = exists || self.found(&mut *connection).await?.0;
        if is_there && self.by_iam == Some(true) && is_of_rds(&mut *connection).await? {
            // RDS refuses the password of such a login.
            return Ok(left);
        }
        let is_refused = async || matches!(self.try_out().await, Err(StoreError::Unauthorized(_)));
        // A new login has no password yet. One that is there gets the one in its secret if that is refused.
        let has_password =
            if is_there && (!exists || is_refused().await) { self.set_password(connection).await? } else { is_there };
        // The password itself is never shown.
        let password = format!("\\password {}", self.name);
        let statements = left.into_iter().chain((!has_password).then_some(password));
        let statements: Vec<String> = statements.collect();
        Ok((!statements.is_empty()).then(|| statements.join("; ")))
    }

    /// Whether the login exists, and the statement that makes it one of this database if it is not.
    async fn found<C>(&self, connection: &mut C) -> Result<(bool, Option<String>), StoreError>
    where
        for<'c> &'c mut C: Executor<'c, Database = Postgres>,
    {
        let sql = format!(
            "select
                l.oid is not null,
                (
                    select string_agg(format('GRANT %I TO %I', r.rolname, n.name), '; ' order by r.rolname) from pg_roles as r
                    where r.rolname in ({roles}) and pg_has_role(l.oid, r.oid, 'member') is not true
                )
            from (select $1::text as name) as n left join pg_roles as l on l.rolname = n.name",
            roles = self.kind.roles().join(", ")
        );
        Ok(sqlx::query_as(AssertSqlSafe(sql)).bind(&self.name).fetch_one(connection).await?)
    }

    /// The statements that let the login do what it is for; `None` if it may.
    async fn missing<C>(&self, connection: &mut C) -> Result<Option<String>, StoreError>
    where
        for<'c> &'c mut C: Executor<'c, Database = Postgres>,
    {
        let memberships: String = self
            .kind
            .roles()
            .iter()
            .map(|role| {
                format!(
                    ",
                (
                    select case
                        when l.oid is null or r.oid is null or not pg_has_role(l.oid, r.oid, {TO_ACT})
                            then format('GRANT %I TO %I', g.name, n.name)
                    end
                    from (select {role} as name) as g left join pg_roles as r on r.rolname = g.name
                )"
                )
            })
            .collect();
        let settings: String = self
            .kind
            .settings()
            .iter()
            .map(|(name, value)| {
                format!(
                    ",
                case
                    when not exists (
                        select from pg_db_role_setting as s inner join pg_database as d on s.setdatabase = d.oid
                        where
                            d.datname = current_database() and s.setrole = l.oid
                            and format('%s=%s', '{name}', {value}) = any(s.setconfig)
                    )
                        then format('ALTER ROLE %I IN DATABASE %I SET {name} = %s', n.name, current_database(), {value})
                end"
                )
            })
            .collect();
        let sql = format!(
            "select nullif(concat_ws(
                '; ',
                case
                    when l.oid is null then format('CREATE ROLE %I LOGIN', n.name)
                    when not l.rolcanlogin then format('ALTER ROLE %I LOGIN', n.name)
                end,
                case
                    when not coalesce(
                        has_database_privilege(l.oid, current_database(), 'connect'),
                        has_database_privilege('public', current_database(), 'connect')
                    )
                        then format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), n.name)
                end,
                (
                    select case
                        when $2 and not coalesce(pg_has_role(l.oid, i.oid, 'member'), false)
                            then format('GRANT %I TO %I', i.rolname, n.name)
                        when not $2 and exists (
                            select from pg_auth_members as m where m.roleid = i.oid and m.member = l.oid
                        )
                            then format('REVOKE %I FROM %I', i.rolname, n.name)
                    end
                    from pg_roles as i
                    where i.rolname = '{BY_IAM}'
                ){memberships}{settings}
            ), '')
            from (select $1::text as name) as n left join pg_roles as l on l.rolname = n.name"
        );
        let missing = sqlx::query_scalar(AssertSqlSafe(sql)).bind(&self.name).bind(self.by_iam);
        Ok(missing.fetch_one(connection).await?)
    }

    /// Connects as the login.
    async fn try_out(&self) -> Result<(), StoreError> {
        let reader = Reader::connect(&self.settings);
        let outcome = reader.ping().await;
        reader.close().await;
        outcome
    }

    /// Sets the password, and returns whether this login may. The server never gets the password, and what is made of it is no
    /// part of a statement: our log has statements, and so have the server's log and its statistics of them.
    async fn set_password<C>(&self, connection: &mut C) -> Result<bool, StoreError>
    where
        for<'c> &'c mut C: Executor<'c, Database = Postgres>,
    {
        const SET: &str = "do $$ begin
                execute format('alter role %I password %L', current_setting('app.login'), current_setting('app.verifier'));
                perform set_config('app.verifier', 'set', false);
            exception when insufficient_privilege then null;
            end $$";
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(|error| StoreError::Other(error.to_string().into()))?;
        let verifier = verifier(&self.password, &salt);
        sqlx::query("select set_config('app.login', $1, false), set_config('app.verifier', $2, false)")
            .bind(&self.name)
            .bind(verifier.expose_secret())
            .execute(&mut *connection)
            .await?;
        (&mut *connection).execute(sqlx::raw_sql(SET)).await?;
        let sql = "select current_setting('app.verifier') = 'set', set_config('app.verifier', '', false)";
        let (is_set, _): (bool, String) = sqlx::query_as(sql).fetch_one(connection).await?;
        Ok(is_set)
    }
}

/// Whether the server lets logins in by IAM.
async fn is_of_rds<C>(connection: &mut C) -> Result<bool, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let sql = "select exists (select from pg_roles where rolname = $1)";
    Ok(sqlx::query_scalar(sql).bind(BY_IAM).fetch_one(connection).await?)
}

/// What PostgreSQL stores of a password, `SCRAM-SHA-256` as in RFC 5803. It proves that somebody knows the password, and does
/// not tell it.
fn verifier(password: &SecretString, salt: &[u8]) -> SecretString {
    let keyed = |key: &[u8], parts: &[&[u8]]| -> [u8; 32] {
        // HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    };
    let password = password.expose_secret().as_bytes();
    let mut block = keyed(password, &[salt, &1_u32.to_be_bytes()]);
    let mut salted = block;
    for _ in 1..ITERATIONS {
        block = keyed(password, &[&block]);
        salted.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
    }
    let stored_key = Sha256::digest(keyed(&salted, &[b"Client Key"]));
    let server_key = keyed(&salted, &[b"Server Key"]);
    let [salt, stored_key, server_key] = [salt, &stored_key, &server_key].map(|bytes| BASE64_STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored_key}:{server_key}").into()
}

/// The logins beside the owner's, with what they may do too much and too little.
pub(crate) async fn statuses<C>(connection: &mut C) -> Result<Vec<LoginStatus>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    // Superusers are members of every role, and one login that does everything is a member of those that read. So of these
    // only those count that were made members of the role that writes, which one login never is.
    let sql = format!(
        "with roles as (
            select r.oid, k.kind, k.is_first
            from (
                values ({WRITER_NAME}, 'writer', true), ({NAME}, 'reader', true), ({POSTER_NAME}, 'reader', false)
            ) as k (name, kind, is_first)
            inner join pg_roles as r on r.rolname = k.name
        ),
        logins as (
            select l.oid, l.rolname, l.rolsuper, l.rolbypassrls, l.rolcreaterole, l.rolcreatedb, max(k.kind) as kind
            from pg_roles as l inner join roles as k on k.is_first and pg_has_role(l.oid, k.oid, {TO_ACT})
            where
                l.rolcanlogin and l.oid <> {OWNER_OF_TABLES}
                and case
                    when l.rolsuper or pg_has_role(l.oid, {OWNER_OF_TABLES}, {TO_ACT})
                        then k.kind = 'writer' and exists (
                            select from pg_auth_members as m where m.roleid = k.oid and m.member = l.oid
                        )
                    else true
                end
            group by 1, 2, 3, 4, 5, 6
        )
        select
            l.rolname::text, l.kind,
            array_remove(array[
                case when l.rolsuper then 'is a superuser' end,
                case when l.rolbypassrls then 'passes the rules about rows (BYPASSRLS)' end,
                case when l.rolcreaterole then 'may create roles' end,
                case when l.rolcreatedb then 'may create databases' end,
                case when pg_has_role(l.oid, {OWNER_OF_TABLES}, {TO_ACT}) then 'may act as the owner of the tables' end,
                case
                    when has_schema_privilege(l.oid, current_schema(), 'create')
                        then format('may create tables in the schema %I', current_schema())
                end,
                case when has_database_privilege(l.oid, current_database(), 'create') then 'may create schemas' end,
                case when exists (select from pg_class as c where c.relowner = l.oid) then 'owns tables' end,
                (
                    select 'has more rights than its role to ' || {names}
                    from pg_class as c inner join pg_namespace as s on c.relnamespace = s.oid and s.nspname = current_schema()
                    cross join unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) as p (name)
                    where
                        not pg_has_role(l.oid, c.relowner, {TO_ACT})
                        and c.relkind in ('r', 'v') and c.relowner = {OWNER_OF_TABLES} and has_table_privilege(l.oid, c.oid, p.name)
                        and not exists (
                            select from roles as k where k.kind = l.kind and has_table_privilege(k.oid, c.oid, p.name)
                        )
                ),
                case
                    when l.kind = 'reader' and not exists (
                        select from pg_db_role_setting as s
                        where s.setrole = l.oid and 'default_transaction_read_only=on' = any(s.setconfig)
                    )
                        then 'may write in transactions that do not say so'
                end
            ], null) as excess,
            array_remove(array_remove(array[
                (
                    select 'cannot read ' || {names}
                    from (select l.oid) as r, {unreadable}
                ),
                case
                    when l.kind = 'writer'
                        then concat_ws(
                            '; ',
                            (select 'cannot write ' || {names} from (select l.oid) as r, {unwritable}),
                            (select 'cannot number rows by ' || {names} from (select l.oid) as r, {uncounted})
                        )
                    else (
                        select 'cannot store what is posted in ' || {names}
                        from (select l.oid) as r, {ungranted}
                    )
                end
            ], null), '') as lacking
        from logins as l
        order by l.kind desc, l.rolname",
        names = FIRST_NAMES,
        unreadable = *UNREADABLE,
        unwritable = *UNWRITABLE,
        uncounted = *UNCOUNTED,
        ungranted = *UNGRANTED
    );
    let rows: Vec<(String, String, Vec<String>, Vec<String>)> =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(connection).await?;
    let read = |(name, kind, excess, lacking): (String, String, Vec<String>, Vec<String>)| {
        let kind = crate::revision::parse_stored(&kind)?;
        Ok(LoginStatus { name, kind, excess, lacking })
    };
    rows.into_iter().map(read).collect()
}
