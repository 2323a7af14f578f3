//! Where the database is, and the pool of connections to it.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::LazyLock;
use std::time::Duration;

use mergeline_domain::Problem;
use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::session::{Connections, Pooler, Scope, Session};
use crate::{Renewal, StoreError};

/// Not checked at compile time: the table is the migrator's, and in none of our migrations.
pub(crate) const APPLIED_MIGRATIONS: &str = "select version from _sqlx_migrations where success order by version";

/// Where the login would look, the statements without which it finds no schema there, and the one without which it may make
/// no tables. Not checked at compile time: there is no table of ours in it.
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
        -- One that is there, and none that is meant for whoever has one.
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

/// How connections are called in the lists of the server and of poolers.
pub(crate) const APPLICATION_NAME: &str = "mergeline";

/// Its own lock would be waited for, see [`migrate`]. Migrations that it does not know are a newer program's, see
/// [`refuse_if_too_old`].
static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../../migrations");
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
});

/// Held by whoever migrates. The number is arbitrary.
const MIGRATION_LOCK: i64 = 0x6d65_7267_656e;
/// How often others look whether it is their turn.
const MIGRATION_PAUSE: Duration = Duration::from_millis(100);

/// A page, a report or a migration step takes seconds at most; what takes longer is stuck.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than any transaction of ours holds a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);
/// Within a transaction of ours the next question comes in milliseconds. Where none comes, its sandbox is frozen or gone, and
/// what it has locked would stay locked for ever. Shorter than others wait for the lock.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection takes milliseconds; a pool that has none after this long is exhausted or cut off.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// One sandbox serves one request or a few repositories at a time.
const MAX_CONNECTIONS: u32 = 5;

/// How often a transaction that another one was in the way of is tried again.
const MAX_CONFLICTS: u32 = 3;
/// The pause before that, longer each time, plus up to as much by chance.
const CONFLICT_PAUSE: Duration = Duration::from_millis(50);
/// The pause before a broken connection is made anew.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Where the database is and how long it may take.
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    options: PgConnectOptionsSecret,
    statement_timeout: Duration,
    silence_timeout: Duration,
    acquire_timeout: Duration,
    max_connections: u32,
    /// The same few statements again and again.
    answers_requests: bool,
    pooler: Pooler,
}

/// Connect options carry the password; nothing of them is shown.
#[derive(Clone)]
struct PgConnectOptionsSecret(PgConnectOptions);

impl std::fmt::Debug for PgConnectOptionsSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl DatabaseSettings {
    /// Reads `DB_URL` and `DB_POOLER` through `lookup`. A database is never guessed.
    ///
    /// # Errors
    /// `config.db_url` when it is not set, `config.db_pooler` for an unknown kind, and whatever [`Self::parse`] refuses.
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
                let help = "write session or transaction, or leave it out: a pooler is found without it";
                return Err(Problem::setting("config.db_pooler", "DB_POOLER", format!("unknown kind `{other}`"), help));
            }
        };
        Ok(Self { pooler, ..settings })
    }

    /// Reads a database URL: `postgres://user:password@host:port/database`. Any host that is not this machine
    /// is reached by verified TLS, which the URL may not weaken.
    ///
    /// # Errors
    /// `config.db_url` for a URL that names no PostgreSQL database, `config.insecure_tls` for a weaker TLS mode.
    pub fn parse(url: &SecretString) -> Result<Self, Problem> {
        let refuse = |message: String| {
            let help = "write postgres://user:password@host:5432/database, with special characters of the password percent-encoded";
            Problem::setting("config.db_url", "DB_URL", message, help)
        };
        let text = url.expose_secret().trim();
        let parsed = Url::parse(text).map_err(|error| refuse(format!("no URL: {error}")))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(refuse(format!("`{}:` is no PostgreSQL URL", parsed.scheme())));
        }
        if parsed.path().trim_matches('/').is_empty() {
            return Err(refuse(format!("{} names no database", masked(&parsed))));
        }
        if !names_a_host(&parsed) {
            // Otherwise PGHOST of the environment would decide where it goes, and past the rule for TLS.
            return Err(refuse(format!("{} names no host", masked(&parsed))));
        }
        let options = PgConnectOptions::from_str(text)
            // The error may quote the part of the URL that it could not read.
            .map_err(|_| refuse(format!("{} cannot be read", masked(&parsed))))?;
        let options = if is_local(&parsed) { options } else { with_verified_tls(&parsed, options)? };
        Ok(Self {
            // Numbers travel in binary form, for which digits mean nothing, and poolers do not know the setting.
            options: PgConnectOptionsSecret(options.application_name(APPLICATION_NAME).extra_float_digits(None)),
            statement_timeout: STATEMENT_TIMEOUT,
            silence_timeout: SILENCE_TIMEOUT,
            acquire_timeout: ACQUIRE_TIMEOUT,
            max_connections: MAX_CONNECTIONS,
            answers_requests: false,
            pooler: Pooler::Unknown,
        })
    }

    /// What each connection, or behind a pooler each transaction, is limited by. Not sent as startup options: poolers refuse
    /// those.
    fn limits(&self) -> Vec<(&'static str, String)> {
        let milliseconds = |timeout: Duration| timeout.as_millis().to_string();
        let mut limits = vec![
            ("statement_timeout", milliseconds(self.statement_timeout)),
            ("lock_timeout", milliseconds(LOCK_TIMEOUT)),
            ("idle_in_transaction_session_timeout", milliseconds(self.silence_timeout)),
        ];
        if self.answers_requests {
            // Planning takes as long as answering, compiling longer, and the plan is the same for every team and range.
            limits.extend([("plan_cache_mode", "force_generic_plan".to_owned()), ("jit", "off".to_owned())]);
        }
        limits
    }

    /// Fits connecting and each statement into a request that may take so long. The database gives up just before
    /// the request does, so that the answer can still be written and the connection stays healthy; a database that
    /// cannot be reached is told sooner, as what it is. Nobody comes back to a transaction that is silent for longer.
    #[must_use]
    pub fn for_requests_within(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout.mul_f64(0.9);
        self.silence_timeout = timeout;
        self.acquire_timeout = timeout.mul_f64(0.5);
        self.answers_requests = true;
        self
    }
}

/// Whether the URL stays on this machine: a Unix socket or the loopback addresses, wherever it names a host.
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
            format!("sslmode={weaker} does not verify who answers at {}", masked(url)),
            "write sslmode=verify-full, or leave it out; sslrootcert=FILE names the server's own authority",
        )),
    }
}

/// The URL without its password and parameters.
fn masked(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{}://{}:***@{host}{}", url.scheme(), url.username(), url.path())
}

/// The migrations that were applied; none in an empty database.
async fn applied_migrations<C>(connection: &mut C) -> Result<Vec<i64>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let is_migrated: bool =
        sqlx::query_scalar("select to_regclass('_sqlx_migrations') is not null").fetch_one(&mut *connection).await?;
    Ok(if is_migrated { sqlx::query_scalar(APPLIED_MIGRATIONS).fetch_all(connection).await? } else { Vec::new() })
}

/// How many of its migrations the schema lacks.
async fn migrations_missing<C>(connection: &mut C) -> Result<usize, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    let applied = applied_migrations(connection).await?;
    Ok(MIGRATOR.iter().filter(|migration| !applied.contains(&migration.version)).count())
}

/// The statement that lets this login make tables; `None` when it may.
///
/// # Errors
/// When there is no schema in which it could.
pub(crate) async fn missing_grant<C>(connection: &mut C) -> Result<Option<String>, StoreError>
where
    for<'c> &'c mut C: Executor<'c, Database = Postgres>,
{
    match sqlx::query_as(MISSING_RIGHTS).fetch_one(connection).await? {
        (search_path, Some(statements), _) => Err(StoreError::NoSchema { search_path, statements }),
        (_, None, grant) => Ok(grant),
    }
}

/// The indexes that migrations build beside writers, which may be left half built.
fn built_beside_writers() -> Vec<String> {
    // Of unique ones too.
    let word = "index concurrently if not exists ";
    let statements = MIGRATOR.iter().map(|migration| migration.sql.as_str());
    let names = statements.flat_map(|sql| sql.split(word).skip(1)).filter_map(|rest| rest.split_whitespace().next());
    names.map(str::to_owned).collect()
}

/// Migrates in turn with others.
async fn migrate(connection: &mut PgConnection) -> Result<(), StoreError> {
    // An index of ten million rows takes longer to build than any other statement may.
    sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0").execute(&mut *connection).await?;
    // Asked for again and again rather than waited for: building an index beside writers waits for every statement that
    // is under way, the one that waits for this lock among them.
    while !sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "taken!""#, MIGRATION_LOCK)
        .fetch_one(&mut *connection)
        .await?
    {
        sleep(MIGRATION_PAUSE).await;
    }
    refuse_if_too_old(connection).await?;
    refuse_before_first_release(connection).await?;
    // Said before anything is tried: the server's own words name a line of its source. Where nothing is missing, the right to
    // make tables is not needed; what migrates would ask for its own, although it is there.
    if let Some(grant) = missing_grant(connection).await? {
        return match migrations_missing(connection).await? {
            0 => Ok(()),
            _ => Err(StoreError::MayNotCreate { grant }),
        };
    }
    // What was left of one that was interrupted looks like an index, and is none: it is built again, and what an interrupted
    // rebuilding left beside it goes. Others' indexes are their owners' business.
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
        &built_beside_writers()
    )
    .fetch_all(&mut *connection)
    .await?;
    for statement in broken {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await?;
    }
    // The lock ends with the connection, whatever happens.
    MIGRATOR.run(connection).await?;
    Ok(())
}

/// The release before works on a newer schema too, after a rollback for example; how far back that goes, the schema says.
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
                format!("a newer program migrated it, and asks for migration {least}; this one ends with {newest}");
            Err(StoreError::Schema(cause.into()))
        }
        _ => Ok(()),
    }
}

/// The migrations of before the first release are gone: what they made cannot be migrated on.
async fn refuse_before_first_release(connection: &mut PgConnection) -> Result<(), StoreError> {
    let applied = applied_migrations(connection).await?;
    if is_of_before_first_release(&applied) {
        let cause = "a version of before the first release made it, which cannot be migrated: name an empty database in DB_URL \
                     (the private one: `mergeline data remove`), and collect again";
        return Err(StoreError::Schema(cause.into()));
    }
    Ok(())
}

/// Whether these migrations were applied by a version of before the first release.
pub(crate) fn is_of_before_first_release(applied: &[i64]) -> bool {
    let first = MIGRATOR.iter().map(|migration| migration.version).min();
    first.is_some_and(|first| applied.iter().any(|version| *version < first))
}

/// The database that Mergeline works with.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: Connections,
    /// How long a worker's transaction may take. A server that is there ends each of its statements sooner, and all of them
    /// together take seconds; one that is gone without a word would be waited for without end. Not for applying a teams file
    /// and migrating, which may take long.
    deadline: Duration,
}

impl Store {
    /// Prepares the pool. Connections are made when they are needed, and tested before each use: a Lambda
    /// sandbox may have been frozen for hours in between.
    pub fn connect(settings: &DatabaseSettings) -> Self {
        let pool = Connections::lazy(
            settings.options.0.clone(),
            settings.pooler,
            settings.limits(),
            settings.max_connections,
            settings.acquire_timeout,
        );
        Self { pool, deadline: settings.statement_timeout + settings.silence_timeout }
    }

    /// The same database, whose address and password are read again when no connection can be made. Its clones do so too.
    #[must_use]
    pub fn with_renewal(self, renewal: Renewal) -> Self {
        Self { pool: self.pool.with_renewal(renewal), ..self }
    }

    /// Reads the address and password again, once it is time. Without [`Self::with_renewal`] nothing happens.
    pub async fn renew_if_due(&self) {
        self.pool.renew_if_due().await;
    }

    /// How long an idle connection has to show that it is well.
    pub(crate) fn test_timeout(&self) -> Duration {
        self.pool.test_timeout()
    }

    /// Brings the schema up to date. Two at once are harmless: they take turns. A schema that is newer is left as it is, and
    /// one that is up to date is only looked at.
    ///
    /// # Errors
    /// When the database cannot be reached, its schema asks for a newer program, or there is something to migrate and a
    /// pooler in between: the lock belongs to a session.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut session = self.dedicated_connection().await?;
        if session.is_pooled() {
            let missing = migrations_missing(&mut session).await?;
            if missing > 0 {
                return Err(StoreError::Pooler { missing });
            }
            refuse_if_too_old(&mut session).await?;
            return Ok(session.close().await?);
        }
        let outcome = migrate(session.connection()?).await;
        session.close().await?;
        outcome
    }

    /// A connection beside the pool: when there is none, it says why, where the pool would only say that it waited. Only
    /// a wall that swallows everything is waited for.
    pub(crate) async fn dedicated_connection(&self) -> Result<Session, StoreError> {
        let deadline = self.pool.acquire_timeout();
        timeout(deadline, self.pool.dedicated_session())
            .await
            .map_err(|_| {
                let reason = if self.pool.is_by_socket() { "" } else { "; a firewall may stand in between" };
                let cause = format!("no connection within {} s{reason}", deadline.as_secs());
                StoreError::Unavailable(cause.into())
            })?
            .map_err(StoreError::from)
    }

    /// How many connections the pool has at most.
    pub fn connections(&self) -> usize {
        self.pool.max_connections()
    }

    /// Asks whether the database is there and lets us in.
    ///
    /// # Errors
    /// Why not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        // A pooled connection was let in long ago: what counts is whether a new one would be.
        let mut session = self.dedicated_connection().await?;
        session.connection()?.ping().await?;
        session.close().await?;
        Ok(())
    }

    /// Brings the schema up to one migration and no further, for trying migrations on data.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn migrate_to(&self, version: i64) -> Result<(), StoreError> {
        let mut session = self.dedicated_connection().await?;
        MIGRATOR.run_to(version, session.connection()?).await?;
        session.close().await?;
        Ok(())
    }

    /// The migrations that this program brings, with their descriptions, oldest first.
    pub fn known_migrations() -> Vec<(i64, String)> {
        MIGRATOR.iter().map(|migration| (migration.version, migration.description.to_string())).collect()
    }

    /// Does some work in a transaction. It is done again from the start when the database says that two transactions
    /// were in each other's way, up to three times, and once when the connection broke under it: after a sandbox was
    /// frozen, or when another server took over.
    pub(crate) async fn in_transaction<T>(
        &self,
        work: impl AsyncFn(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (mut conflicts, mut breaks) = (0, 0);
        loop {
            let outcome = self.once(&work).await;
            match outcome {
                Err(StoreError::Conflict(_)) if conflicts < MAX_CONFLICTS => {
                    conflicts += 1;
                    // By chance, so that two do not meet again.
                    sleep(CONFLICT_PAUSE * conflicts + CONFLICT_PAUSE.mul_f64(fastrand::f64())).await;
                }
                // A transaction that broke while it committed may have been committed: the work is idempotent.
                Err(StoreError::Unavailable(_) | StoreError::ReadOnly(_)) if breaks < 1 => {
                    breaks += 1;
                    sleep(RECONNECT_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Does some work in a transaction.
    pub(crate) async fn once<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.run_with_deadline(Scope::Transaction, work).await
    }

    /// Does some work on a connection, as long as there is hope that it ends.
    pub(crate) async fn with_deadline<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.run_with_deadline(Scope::Statements, work).await
    }

    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(?scope))]
    async fn run_with_deadline<T>(
        &self,
        scope: Scope,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut session = self.pool.acquire().await?;
        let working = async {
            session.open(scope).await?;
            match work(&mut session).await {
                Ok(done) => session.commit().await.map(|()| done).map_err(StoreError::from),
                Err(error) => {
                    // A connection that cannot even roll back is closed.
                    let _ = session.rollback().await;
                    Err(error)
                }
            }
        };
        let outcome = timeout(self.deadline, working).await.unwrap_or_else(|_| {
            let cause = format!("no answer for {} s: it, or the way to it, went silent", self.deadline.as_secs());
            Err(StoreError::Unavailable(cause.into()))
        });
        if matches!(outcome, Err(StoreError::Unavailable(_) | StoreError::ReadOnly(_))) {
            // It leads nowhere, or to a server that will not become writable: the next attempt needs another one.
            session.discard();
        }
        outcome
    }

    /// Makes new connections with these settings, for a password or a server that was changed. Idle ones are let go, those at
    /// work go on.
    pub fn reconnect_with(&self, settings: &DatabaseSettings) {
        self.pool.reconnect_with(settings.options.0.clone());
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
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
    fn a_remote_host_is_verified_in_full_and_nothing_weaker_is_taken() {
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
    fn a_url_that_names_no_postgresql_database_is_refused_without_its_password() {
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
    fn no_connection_waits_works_or_is_silent_without_a_limit() {
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
    fn a_kind_of_pooler_that_does_not_exist_is_refused() {
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
