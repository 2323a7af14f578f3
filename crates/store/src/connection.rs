//! Connection settings, the pool, migrations and transactions.

use std::net::IpAddr;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mergeline_domain::Problem;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres};
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};
use url::Url;

use crate::passwords::Passwords;
use crate::roles::{Roles, become_owner, create_roles, is_beside_owner, owns_tables};
use crate::session::{APPLICATION_NAME, Access, Connections, Pooler, Session};
use crate::{Actor, Logins, Renewal, StoreError, Tenant};

/// Not checked at compile time, because the migrator creates this table, not our migrations.
pub(crate) const APPLIED_MIGRATIONS: &str = "select version from _sqlx_migrations where success order by version";

/// The login's `search_path`, the statements it needs to find a schema there, and the one it needs to create tables.
/// Not checked at compile time, because it uses none of our tables.
const MISSING_RIGHTS: &str = "with named as (
        select case p.name when '$user' then current_user else p.name end as name, p.place + 100 * (p.name = '$user')::integer as place
        from (
            select trim(both '\" ' from e.element), e.place
            from regexp_split_to_table(current_setting('search_path'), ',') with ordinality as e (element, place)
        ) as p (name, place)
        where p.name <> ''
    ),
    unusable as (
        select concat(
            case when s.oid is null then format('CREATE SCHEMA %I; ', n.name) end,
            format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', n.name, current_user)
        ) as statements
        from named as n left join pg_namespace as s on n.name = s.nspname
        -- An existing schema first, and the one of $user last.
        order by s.oid is null, n.place
        limit 1
    )
    select
        current_setting('search_path'),
        case when current_schema() is null then coalesce(
            (select statements from unusable),
            format('ALTER ROLE %I IN DATABASE %I SET search_path = public', current_user, current_database())
        ) end,
        case when not has_schema_privilege(current_schema(), 'create')
        then format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', current_schema(), current_user) end";

/// Its own lock is off, because it would wait for that lock, see [`migrate`]. Unknown migrations come from a newer
/// program, see [`refuse_if_too_old`].
static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../../migrations");
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
});

/// Held while migrating. The number is arbitrary.
const MIGRATION_LOCK: i64 = 0x6d65_7267_656e;
/// How often other processes poll for the lock.
const MIGRATION_PAUSE: Duration = Duration::from_millis(100);

/// A page, a report or a migration step takes seconds at most. Anything longer is stuck.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than any of our transactions holds a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);
/// Within our transactions the next statement comes in milliseconds. If none comes, the sandbox is frozen or gone, and
/// its locks would stay forever. Shorter than the lock timeout of other transactions.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection takes milliseconds. A pool without one after this long is exhausted or cut off.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// One sandbox serves one request or a few repositories at a time.
const MAX_CONNECTIONS: u32 = 5;

/// Maximum retries after a serialization failure or deadlock.
const MAX_CONFLICTS: u32 = 3;
/// The pause before each such retry. It grows each time, plus a random part of up to this length.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);
/// The pause before a broken connection is replaced.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Connection options and timeouts of the database.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    options: PgConnectOptionsSecret,
    statement_timeout: Duration,
    silence_timeout: Duration,
    acquire_timeout: Duration,
    max_connections: u32,
    /// Whether it serves API requests: the same few statements again and again.
    answers_requests: bool,
    pooler: Pooler,
    passwords: Option<Passwords>,
}

/// Connect options contain the password, so `Debug` shows nothing of them.
#[derive(Clone)]
struct PgConnectOptionsSecret(PgConnectOptions);

impl std::fmt::Debug for PgConnectOptionsSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl DatabaseSettings {
    /// Which database this is: the same text for the same server, port and name, from which neither can be read.
    pub fn fingerprint(&self) -> String {
        let PgConnectOptionsSecret(options) = &self.options;
        let place = options.get_socket().map_or_else(|| options.get_host().into(), |socket| socket.to_string_lossy());
        let text = format!("{place}:{}/{}", options.get_port(), options.get_database().unwrap_or_default());
        Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The name that it connects as.
    pub fn login(&self) -> &str {
        let PgConnectOptionsSecret(options) = &self.options;
        options.get_username()
    }

    /// Reads `DB_URL` and `DB_POOLER` through `lookup`. A database is never guessed.
    ///
    /// # Errors
    /// `config.db_url` when it is not set, `config.db_pooler` for an unknown kind, and the errors of [`Self::parse`].
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let url = lookup("DB_URL").filter(|url| !url.trim().is_empty()).ok_or_else(|| {
            let help = "set it to postgres://user:password@host:5432/database";
            Problem::setting("config.db_url", "DB_URL", "it is not set", help)
        })?;
        let settings = Self::parse(&SecretString::from(url))?;
        let pooler = match lookup("DB_POOLER").as_deref().map(str::trim) {
            None | Some("") => Pooler::Unknown,
            Some("session") => Pooler::OfSessions,
            Some("transaction") => Pooler::OfTransactions,
            Some(other) => {
                let help = "set it to session or transaction, or leave it unset: a pooler is detected automatically";
                return Err(Problem::setting("config.db_pooler", "DB_POOLER", format!("unknown kind `{other}`"), help));
            }
        };
        Ok(Self { pooler, ..settings })
    }

    /// Reads a database URL: `postgres://user:password@host:port/database`. Connections to other machines always use
    /// verified TLS, which the URL may not weaken.
    ///
    /// # Errors
    /// `config.db_url` for a URL without a PostgreSQL database, `config.insecure_tls` for a weaker TLS mode.
    pub fn parse(url: &SecretString) -> Result<Self, Problem> {
        let refuse = |message: String| {
            let help = "write postgres://user:password@host:5432/database, with special characters of the password percent-encoded";
            Problem::setting("config.db_url", "DB_URL", message, help)
        };
        let text = url.expose_secret().trim();
        let parsed = Url::parse(text).map_err(|error| refuse(format!("not a URL: {error}")))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(refuse(format!("`{}:` is not a PostgreSQL URL", parsed.scheme())));
        }
        if parsed.path().trim_matches('/').is_empty() {
            return Err(refuse(format!("{} names no database", masked(&parsed))));
        }
        if !names_a_host(&parsed) {
            // Otherwise PGHOST in the environment would choose the host and bypass the TLS rule.
            return Err(refuse(format!("{} names no host", masked(&parsed))));
        }
        let options = PgConnectOptions::from_str(text)
            // Dropped, because the error may quote the unreadable part of the URL.
            .map_err(|_| refuse(format!("{} cannot be read", masked(&parsed))))?;
        let options = if is_local(&parsed) { options } else { with_verified_tls(&parsed, options)? };
        Ok(Self {
            // Numbers are sent in binary, where the setting has no effect, and poolers do not know it.
            options: PgConnectOptionsSecret(options.application_name(APPLICATION_NAME).extra_float_digits(None)),
            statement_timeout: STATEMENT_TIMEOUT,
            silence_timeout: SILENCE_TIMEOUT,
            acquire_timeout: ACQUIRE_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
            answers_requests: false,
            pooler: Pooler::Unknown,
            passwords: None,
        })
    }

    /// Each connection gets a password of its own, in place of the one in the URL.
    #[must_use]
    pub fn with_passwords(self, passwords: Passwords) -> Self {
        Self { passwords: Some(passwords), ..self }
    }

    /// Whether connections are encrypted, and only to a server whose certificate proves its name.
    pub fn verifies_server(&self) -> bool {
        let PgConnectOptionsSecret(options) = &self.options;
        matches!(options.get_ssl_mode(), PgSslMode::VerifyFull)
    }

    /// Opens at most this many connections.
    #[must_use]
    pub fn with_connections(self, max_connections: u32) -> Self {
        Self { max_connections, ..self }
    }

    /// The limits of each connection or, behind a pooler, of each transaction. Not sent as startup options, because
    /// poolers refuse those.
    fn limits(&self) -> Vec<(&'static str, String)> {
        let milliseconds = |timeout: Duration| timeout.as_millis().to_string();
        let mut limits = vec![
            ("statement_timeout", milliseconds(self.statement_timeout)),
            ("lock_timeout", milliseconds(LOCK_TIMEOUT)),
            ("idle_in_transaction_session_timeout", milliseconds(self.silence_timeout)),
        ];
        if self.answers_requests {
            // Planning takes as long as execution, and JIT compilation even longer. The plan is the same for every team
            // and range.
            limits.extend([("plan_cache_mode", "force_generic_plan".to_owned()), ("jit", "off".to_owned())]);
        }
        limits
    }

    /// Fits connecting and each statement into a request with this timeout. The database gives up just before the
    /// request does, so that the response can still be written and the connection stays healthy. An unreachable
    /// database is reported earlier, as unavailable. Transactions that stay idle for the full timeout are abandoned.
    #[must_use]
    pub fn for_requests_within(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout.mul_f64(0.9);
        self.silence_timeout = timeout;
        self.acquire_timeout = timeout.mul_f64(0.5);
        self.answers_requests = true;
        self
    }
}

/// Whether every host in the URL is on this machine: a Unix socket or a loopback address.
fn is_local(url: &Url) -> bool {
    let named: Vec<String> = url
        .query_pairs()
        .filter(|(key, _)| matches!(&**key, "host" | "hostaddr"))
        .map(|(_, host)| host.into_owned())
        .collect();
    let in_authority = url.host_str().map(str::to_owned);
    let mut hosts = if named.is_empty() { in_authority.into_iter().collect() } else { named };
    hosts.retain(|host| !is_local_host(host));
    hosts.is_empty()
}

fn names_a_host(url: &Url) -> bool {
    let in_authority = url.host_str().is_some_and(|host| !host.is_empty());
    in_authority || url.query_pairs().any(|(key, host)| matches!(&*key, "host" | "hostaddr") && !host.is_empty())
}

fn is_local_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.starts_with('/')
        || host.to_ascii_lowercase().starts_with("%2f")
        || host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn with_verified_tls(url: &Url, options: PgConnectOptions) -> Result<PgConnectOptions, Problem> {
    let named = url.query_pairs().find(|(key, _)| matches!(&**key, "sslmode" | "ssl-mode"));
    match named.as_ref().map(|(_, mode)| &**mode) {
        None | Some("verify-full") => Ok(options.ssl_mode(PgSslMode::VerifyFull)),
        Some(weaker) => Err(Problem::setting(
            "config.insecure_tls",
            "DB_URL",
            format!("sslmode={weaker} does not verify the server at {}", masked(url)),
            "use sslmode=verify-full, or leave it out; sslrootcert=FILE names the server's own authority",
        )),
    }
}

/// The URL without its password and parameters.
fn masked(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{}://{}:***@{host}{}", url.scheme(), url.username(), url.path())
}

/// The applied migrations; empty for an empty database.
async fn applied_migrations<C>(connection: &mut C) -> Result<Vec<i64>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let is_migrated: bool =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(&mut *connection).await?;
    Ok(if is_migrated { sqlx::query_scalar(APPLIED_MIGRATIONS).fetch_all(connection).await? } else { Vec::new() })
}

/// How many migrations the schema lacks.
async fn migrations_missing<C>(connection: &mut C) -> Result<usize, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let applied = applied_migrations(connection).await?;
    Ok(MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version)).count())
}

/// The statement that lets this login create tables; `None` when it already may.
///
/// # Errors
/// When there is no schema for them.
pub(crate) async fn missing_grant<C>(connection: &mut C) -> Result<Option<String>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    match sqlx::query_as(MISSING_RIGHTS).fetch_one(connection).await? {
        (search_path, Some(statements), _) => Err(StoreError::NoSchema { search_path, statements }),
        (_, None, grant) => Ok(grant),
    }
}

/// The indexes that migrations build concurrently, which an interruption may leave invalid.
fn concurrently_built_indexes() -> Vec<String> {
    // Matches unique indexes too.
    let word = "index concurrently if not exists ";
    let statements = MIGRATOR.iter().map(|migration| migration.sql.as_str());
    let names = statements.flat_map(|sql| sql.split(word).skip(1)).filter_map(|rest| rest.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// Migrates. Concurrent processes take turns.
async fn migrate(connection: &mut PgConnection, logins: Option<&Logins>) -> Result<Option<String>, StoreError> {
    // Building an index of ten million rows takes longer than the limit of other statements. Roles are for the login itself
    // to create.
    sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0; reset role").execute(&mut *connection).await?;
    if is_beside_owner(connection).await? {
        return check_schema(connection, logins).await;
    }
    // Polled rather than waited for: a concurrent index build waits for every running statement, including one that
    // waits for this lock.
    while !sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, MIGRATION_LOCK)
        .fetch_one(&mut *connection)
        .await?
    {
        sleep(MIGRATION_PAUSE).await;
    }
    refuse_if_too_old(connection).await?;
    refuse_before_first_release(connection).await?;
    // Reported before anything is tried, because the server's own message names a line of its source. If no migration
    // is missing, the right to create tables is not needed. The migrator would still try to create its own table.
    if let Some(grant) = missing_grant(connection).await? {
        return match migrations_missing(connection).await? {
            0 => make_roles(connection, logins).await,
            missing if !owns_tables(connection).await? => Err(StoreError::Outdated { missing }),
            _ => Err(StoreError::MayNotCreate { grant }),
        };
    }
    // An interrupted build leaves an invalid index, which is rebuilt. Leftovers of an interrupted rebuild are dropped.
    // Other owners' indexes are not touched.
    let broken = sqlx::query_scalar!(
        r#"select
            format(
                case when c.relname = any($1) then 'reindex index concurrently %I.%I' else 'drop index concurrently %I.%I' end,
                n.nspname, c.relname
            ) as "statement!"
        from pg_index as i
        inner join pg_class as c on i.indexrelid = c.oid
        inner join pg_namespace as n on c.relnamespace = n.oid
        where
            not i.indisvalid and n.nspname = current_schema() and pg_has_role(c.relowner, 'usage')
            and regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '') = any($1)
        order by c.relname = any($1)"#,
        &concurrently_built_indexes()
    )
    .fetch_all(&mut *connection)
    .await?;
    for statement in broken {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
    }
    // The lock always ends with the connection.
    become_owner(connection).await?;
    MIGRATOR.run(&mut *connection).await?;
    sqlx::raw_sql("reset role").execute(&mut *connection).await?;
    make_roles(connection, logins).await
}

/// What a login beside the owner's does in place of migrating: it checks whether the owner's did.
async fn check_schema<C>(connection: &mut C, logins: Option<&Logins>) -> Result<Option<String>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    if logins.is_some() {
        return Err(StoreError::NotOwner);
    }
    refuse_if_too_old(&mut *connection).await?;
    match migrations_missing(connection).await? {
        0 => Ok(None),
        missing => Err(StoreError::Outdated { missing }),
    }
}

/// Makes the roles, and the logins that are to act as them. Returns the statements that are left for an administrator.
async fn make_roles<C>(connection: &mut C, logins: Option<&Logins>) -> Result<Option<String>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let Some(logins) = logins else { return create_roles(connection, Roles::Usual).await };
    if !owns_tables(&mut *connection).await? {
        return Err(StoreError::NotOwner);
    }
    let left = create_roles(&mut *connection, Roles::OfLogins).await?;
    let left: Vec<String> = left.into_iter().chain(logins.make(connection).await?).collect();
    Ok((!left.is_empty()).then(|| left.join("; ")))
}

/// The previous release also works on a newer schema, for example after a rollback. The schema says how far back that
/// goes.
pub(crate) async fn refuse_if_too_old<C>(connection: &mut C) -> Result<(), StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let is_older = sqlx::query_scalar!(r#"select to_regclass('schema_requirements') is null as "is_older!""#)
        .fetch_one(&mut *connection)
        .await?;
    if is_older {
        return Ok(());
    }
    let least = sqlx::query_scalar!("select least_migration from schema_requirements").fetch_one(connection).await?;
    match MIGRATOR.iter().map(|migration| migration.version).max() {
        Some(newest) if newest < least => {
            let cause =
                format!("a newer program migrated it and asks for migration {least}; this program ends with {newest}");
            Err(StoreError::Schema(cause.into()))
        }
        _ => Ok(()),
    }
}

/// The migrations from before the first release no longer exist, so their schemas cannot be migrated further.
async fn refuse_before_first_release(connection: &mut PgConnection) -> Result<(), StoreError> {
    let applied = applied_migrations(connection).await?;
    if is_of_before_first_release(&applied) {
        let cause = "it was created by a version before the first release and cannot be migrated: set DB_URL to an empty \
                     database (for the private one: `mergeline data remove`), and collect again";
        return Err(StoreError::Schema(cause.into()));
    }
    Ok(())
}

/// Whether a version before the first release applied these migrations.
pub(crate) fn is_of_before_first_release(applied: &[i64]) -> bool {
    let first = MIGRATOR.iter().map(|migration| migration.version).min();
    first.is_some_and(|first| applied.iter().any(|version| *version < first))
}

/// Reads what is stored. Its connections cannot write: their transactions are read only, and they act as a role that may
/// only read, where there is one.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(crate) pool: Connections,
    /// How long a worker's transaction may take. A live server ends each statement sooner, and all of them together
    /// take seconds. Without this deadline, a server that silently went away would be waited for forever. Does not
    /// apply to teams files and migrations, which may take long.
    deadline: Duration,
}

/// Changes what is stored, and reads it.
#[derive(Debug, Clone)]
pub struct Writer {
    reader: Reader,
    actor: Actor,
    /// Whether the planner knows of rows. Clones share this.
    pub(crate) has_learned: Arc<AtomicBool>,
}

impl Deref for Writer {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Reader {
    /// Prepares the pool. Connections are opened on demand and tested before each use, because a Lambda sandbox may
    /// have been frozen for hours in between.
    pub fn connect(settings: &DatabaseSettings) -> Self {
        Self::with_access(settings, Access::Read)
    }

    fn with_access(settings: &DatabaseSettings, access: Access) -> Self {
        let pool = Connections::lazy(
            settings.options.0.clone(),
            settings.pooler,
            settings.limits(),
            access,
            settings.max_connections,
            settings.acquire_timeout,
            settings.passwords.clone(),
        );
        Self { pool, deadline: settings.statement_timeout + settings.silence_timeout }
    }

    /// The same database, but its address and password are reread when no connection can be made. Clones share this.
    #[must_use]
    pub fn with_renewal(self, renewal: Renewal) -> Self {
        Self { pool: self.pool.with_renewal(renewal), ..self }
    }

    /// The same database and pool, for the rows of another tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: Tenant) -> Self {
        Self { pool: self.pool.for_tenant(tenant), deadline: self.deadline }
    }

    /// Rereads the address and password when that is due. Without [`Self::with_renewal`] nothing happens.
    pub async fn renew_if_due(&self) {
        self.pool.renew_if_due().await;
    }

    /// How long an idle connection has to prove that it works.
    pub(crate) fn test_timeout(&self) -> Duration {
        self.pool.test_timeout()
    }

    /// A transaction on a connection outside the pool. On failure it returns the reason, while the pool would only
    /// report a timeout. Only a silent firewall makes this wait for the full timeout.
    pub(crate) async fn dedicated_connection(&self) -> Result<Session, StoreError> {
        // Each attempt has its own deadline: an address that is silent uses up the first one.
        self.pool.with_second_attempt(|| self.connect_in_time(self.pool.dedicated_session())).await
    }

    /// The same, before its transaction begins: migrations need statements outside transactions, and no tenant.
    async fn connection_for_migrations(&self) -> Result<Session, StoreError> {
        self.pool.with_second_attempt(|| self.connect_in_time(self.pool.connect_for_migrations())).await
    }

    async fn connect_in_time(
        &self,
        connecting: impl Future<Output = Result<Session, sqlx::Error>>,
    ) -> Result<Session, StoreError> {
        let deadline = self.pool.acquire_timeout();
        timeout(deadline, connecting)
            .await
            .map_err(|_| {
                let reason = if self.pool.is_by_socket() { "" } else { "; a firewall may block it" };
                let cause = format!("no connection within {} s{reason}", deadline.as_secs());
                StoreError::Unavailable(cause.into())
            })?
            .map_err(StoreError::from)
    }

    /// The maximum number of connections in the pool.
    pub fn connections(&self) -> usize {
        self.pool.max_connections()
    }

    /// Checks that the database is reachable and accepts our login.
    ///
    /// # Errors
    /// The reason why not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        // A pooled connection was accepted long ago. This tests whether a new one would be.
        let mut session = self.dedicated_connection().await?;
        session.connection()?.ping().await?;
        session.close().await?;
        Ok(())
    }

    /// Runs `work` that reads in a transaction with a time limit. A connection that times out is discarded.
    pub(crate) async fn with_deadline<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Boxed, here and below: otherwise everything that reads or writes would be a large future.
        Box::pin(self.run(Access::Read, work)).await
    }

    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(?access))]
    async fn run<T>(
        &self,
        access: Access,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut session = self.pool.acquire().await?;
        let working = async {
            session.open(access).await?;
            match work(&mut session).await {
                Ok(done) if access == Access::Read => Ok(done),
                Ok(done) => session.commit().await.map(|()| done).map_err(StoreError::from),
                Err(error) => {
                    // A connection that cannot even roll back is closed.
                    let _ = session.rollback().await;
                    Err(error)
                }
            }
        };
        let outcome = timeout(self.deadline, working).await;
        self.conclude(session, outcome)
    }

    /// The outcome of a transaction. A broken connection is discarded.
    fn conclude<T>(&self, session: Session, outcome: Result<Result<T, StoreError>, Elapsed>) -> Result<T, StoreError> {
        let outcome = outcome.unwrap_or_else(|_| {
            let cause = format!("no response for {} s: the server or the network went silent", self.deadline.as_secs());
            Err(StoreError::Unavailable(cause.into()))
        });
        if matches!(outcome, Err(StoreError::Unavailable(_) | StoreError::ReadOnly(_))) {
            // It is broken, or leads to a server that will not become writable. The next attempt needs another
            // connection.
            session.discard();
        }
        outcome
    }

    /// Opens new connections with these settings, after a change of password or server. Idle connections are closed,
    /// busy ones continue.
    pub fn reconnect_with(&self, settings: &DatabaseSettings) {
        self.pool.reconnect_with(settings.options.0.clone());
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Writer {
    /// Prepares the pool, like [`Reader::connect`]. `actor` is who changes something through it.
    pub fn connect(settings: &DatabaseSettings, actor: Actor) -> Self {
        Self { reader: Reader::with_access(settings, Access::Write), actor, has_learned: Arc::default() }
    }

    /// Prepares a pool whose connections may only write what is posted.
    pub(crate) fn for_posting(settings: &DatabaseSettings) -> Self {
        let reader = Reader::with_access(settings, Access::Post);
        Self { reader, actor: Actor::Collector, has_learned: Arc::default() }
    }

    /// The same, but its address and password are reread when no connection can be made.
    pub(crate) fn renewed_by(self, renewal: Renewal) -> Self {
        Self { reader: self.reader.with_renewal(renewal), ..self }
    }

    /// The same database and pool, for the rows of another tenant.
    #[must_use]
    pub fn for_tenant(&self, tenant: Tenant) -> Self {
        Self { reader: self.reader.for_tenant(tenant), ..self.clone() }
    }

    /// Who changes something through it.
    pub(crate) fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The migrations in this program with their descriptions, oldest first.
    pub fn known_migrations() -> Vec<(i64, String)> {
        MIGRATOR.iter().map(|migration| (migration.version, migration.description.to_string())).collect()
    }

    /// Brings the schema up to date, and creates the roles that only read, and only write what is posted. Concurrent calls are safe, they take turns. A
    /// newer schema stays as it is, and an up-to-date schema is only checked. Returns the statements that an administrator
    /// must run if this login may not create roles; until then the API has the login's own rights.
    ///
    /// A login beside the owner's, see [`Logins`], changes nothing: it only checks.
    ///
    /// # Errors
    /// When the database cannot be reached, its schema requires a newer program, there is something to migrate and the login is
    /// one beside the owner's, or a pooler is in between, because the lock belongs to a session.
    pub async fn migrate(&self) -> Result<Option<String>, StoreError> {
        self.migrate_for(None).await
    }

    /// The same, and makes these logins. Their passwords are set as they are given, where they are not so yet.
    ///
    /// # Errors
    /// Like [`Self::migrate`], and when this login does not own the tables, or a name is taken.
    pub async fn migrate_with(&self, logins: &Logins) -> Result<Option<String>, StoreError> {
        self.migrate_for(Some(logins)).await
    }

    async fn migrate_for(&self, logins: Option<&Logins>) -> Result<Option<String>, StoreError> {
        let mut session = self.connection_for_migrations().await?;
        if session.is_pooled() {
            session.open(Access::Write).await?;
            // Roles are for the login itself to create.
            sqlx::raw_sql("set local role to default").execute(&mut session).await?;
            if is_beside_owner(&mut session).await? {
                return check_schema(&mut session, logins).await;
            }
            let missing = migrations_missing(&mut session).await?;
            if missing > 0 {
                return Err(StoreError::Pooler { missing });
            }
            refuse_if_too_old(&mut session).await?;
            let left = make_roles(&mut session, logins).await?;
            session.close().await?;
            return Ok(left);
        }
        let outcome = migrate(session.connection()?, logins).await;
        session.close().await?;
        outcome
    }

    /// Migrates the schema up to one migration and no further, for testing migrations on data.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn migrate_to(&self, version: i64) -> Result<(), StoreError> {
        let mut session = self.connection_for_migrations().await?;
        MIGRATOR.run_to(version, session.connection()?).await?;
        session.close().await?;
        Ok(())
    }

    /// Runs `work` that writes in a transaction with a time limit, without retries.
    pub(crate) async fn once<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        Box::pin(self.run(Access::Write, work)).await
    }

    /// Runs `work` in a transaction. Retries from the start up to three times after a serialization failure or
    /// deadlock, and once when the connection breaks: after a sandbox was frozen, or after a failover.
    pub(crate) async fn in_transaction<T>(
        &self,
        work: impl AsyncFn(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut retries = Retries::default();
        loop {
            match self.once(&work).await {
                Err(error) => retries.after(error).await?,
                Ok(done) => return Ok(done),
            }
        }
    }

    /// The same for work that may move between threads, which closures cannot promise.
    pub(crate) async fn perform<W: Transaction>(&self, work: &W) -> Result<W::Done, StoreError> {
        let mut retries = Retries::default();
        loop {
            let mut session = self.pool.acquire().await?;
            let working = async {
                session.open(Access::Write).await?;
                match work.run(&mut session).await {
                    Ok(done) => session.commit().await.map(|()| done).map_err(StoreError::from),
                    Err(error) => {
                        let _ = session.rollback().await;
                        Err(error)
                    }
                }
            };
            let outcome = timeout(self.deadline, working).await;
            match self.conclude(session, outcome) {
                Err(error) => retries.after(error).await?,
                Ok(done) => return Ok(done),
            }
        }
    }
}

/// Work in a transaction that writes. It may run several times.
pub(crate) trait Transaction: Sync {
    /// Its result.
    type Done: Send;

    /// Does it.
    fn run(&self, connection: &mut Session) -> impl Future<Output = Result<Self::Done, StoreError>> + Send;
}

/// How often a transaction was repeated.
#[derive(Default)]
struct Retries {
    conflicts: u32,
    breaks: u32,
}

impl Retries {
    /// Waits before the next attempt after an error; returns the error if there is none.
    async fn after(&mut self, error: StoreError) -> Result<(), StoreError> {
        match error {
            StoreError::Conflict(_) if self.conflicts < MAX_CONFLICTS => {
                self.conflicts += 1;
                // Random, so that two transactions do not collide again.
                sleep(CONFLICT_PAUSE * self.conflicts + CONFLICT_PAUSE.mul_f64(fastrand::f64())).await;
                Ok(())
            }
            // A transaction whose connection broke during the commit may be committed. The work is idempotent.
            StoreError::Unavailable(_) | StoreError::ReadOnly(_) if self.breaks < 1 => {
                self.breaks += 1;
                sleep(RECONNECT_PAUSE).await;
                Ok(())
            }
            error => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<DatabaseSettings, Problem> {
        DatabaseSettings::parse(&SecretString::from(url))
    }

    fn ssl_mode(url: &str) -> String {
        format!("{:?}", parse(url).expect("valid").options.0.get_ssl_mode())
    }

    #[test]
    fn a_remote_host_always_requires_full_verification() {
        assert_eq!(ssl_mode("postgres://u:p@db.example.com/m"), "VerifyFull");
        assert_eq!(ssl_mode("postgres://u:p@db.example.com/m?sslmode=verify-full"), "VerifyFull");
        for mode in ["disable", "allow", "prefer", "require", "verify-ca"] {
            let problem = parse(&format!("postgres://u:s3cret@db.example.com/m?sslmode={mode}")).expect_err("refused");
            assert_eq!(problem.code, "config.insecure_tls", "{mode}");
            assert!(!problem.message.contains("s3cret"));
        }
    }

    #[test]
    fn this_machine_needs_no_tls() {
        for url in [
            "postgres://u@localhost/m",
            "postgres://u@127.0.0.1:5433/m?sslmode=disable",
            "postgres://u@[::1]/m",
            "postgres://u@localhost/m?host=/run/pg",
        ] {
            assert!(parse(url).is_ok(), "{url}");
        }
        for trick in ["host=db.example.com", "hostaddr=203.0.113.7", "host=/run/pg&host=db.example.com"] {
            assert!(parse(&format!("postgres://u@localhost/m?{trick}&sslmode=disable")).is_err(), "{trick}");
        }
    }

    #[test]
    fn an_invalid_database_url_never_leaks_its_password() {
        for url in [
            "mysql://u:s3cret@localhost/m",
            "postgres://u:s3cret@localhost",
            "postgres://u:s3cret@localhost/",
            "postgres:///m",
            "localhost:5432",
            "",
            "postgres://u:s3cret%ZZ@localhost:99999/m",
        ] {
            let problem = parse(url).expect_err(url);
            assert_eq!(problem.code, "config.db_url", "{url}");
            assert!(!problem.message.contains("s3cret"), "{}", problem.message);
        }
    }

    #[test]
    fn every_connection_limits_statements_locks_and_idle_time() {
        let settings = parse("postgres://u@localhost/m").expect("valid");
        let limits = settings.limits();
        for limit in [
            ("statement_timeout", "60000"),
            ("lock_timeout", "20000"),
            ("idle_in_transaction_session_timeout", "15000"),
        ] {
            assert!(limits.iter().any(|(name, value)| (*name, value.as_str()) == limit), "{limit:?}: {limits:?}");
        }
        assert_eq!(settings.options.0.get_options(), None, "poolers refuse startup options");
    }

    #[test]
    fn an_unknown_kind_of_pooler_is_refused() {
        let read = |kind: &'static str| {
            DatabaseSettings::from_vars(|name| match name {
                "DB_URL" => Some("postgres://u@localhost/m".to_owned()),
                "DB_POOLER" => Some(kind.to_owned()),
                _ => None,
            })
        };
        for (kind, pooler) in
            [("", Pooler::Unknown), ("session", Pooler::OfSessions), ("transaction", Pooler::OfTransactions)]
        {
            assert_eq!(read(kind).expect("valid").pooler, pooler, "{kind}");
        }
        assert_eq!(read("statement").expect_err("unknown").code, "config.db_pooler");
    }

    #[test]
    fn settings_show_no_secret() {
        let settings = parse("postgres://u:s3cret@localhost/m").expect("valid");
        assert!(!format!("{settings:?}").contains("s3cret"));
    }
}
