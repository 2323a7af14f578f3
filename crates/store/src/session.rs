//! A connection for queries, either directly to PostgreSQL or through a pooler.
//!
//! Everything runs in transactions that name their tenant, because policies of the database show only the rows of the
//! tenant that a transaction names. A [`Session`] refuses statements outside one. Transactions that read are read only
//! and are never committed: their connection rolls back after the caller has its answer.
//!
//! A pooler that may use another server connection for each transaction (PgBouncer in transaction mode, RDS Proxy
//! without pinning) keeps no session state: neither settings nor prepared statements. Behind one, transactions also set
//! their own timeouts, and statements are unnamed. On a direct connection, timeouts and statements belong to the
//! session.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use sqlx::ConnectOptions as _;
use sqlx::pool::{PoolConnection, PoolConnectionMetadata};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    AssertSqlSafe, Connection, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, Row, SqlStr,
};

use crate::error::MayNotConnect;
use crate::passwords::Passwords;
use crate::roles::{POSTS_AS, READS_AS, REFUSE_MIXING, SEARCH_PATH, WRITES_AS};
use crate::{Renewal, Tenant};

/// The name of our connections in the lists of the server and of poolers.
pub(crate) const APPLICATION_NAME: &str = "mergeline";

/// The setting that is true while a connection is set up that leads directly to PostgreSQL.
const IS_DIRECT: &str = "app.is_direct";

/// What is between this program and PostgreSQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pooler {
    /// Detected for each new connection. Any pooler is assumed to pool transactions.
    #[default]
    Unknown,
    /// Nothing, or a pooler that keeps one server connection for as long as a client is connected.
    OfSessions,
    /// A pooler that may switch server connections with each transaction.
    OfTransactions,
}

/// What a connection or a transaction may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only read, as the role that may only read, if this login may act as it.
    Read,
    /// Write what is posted, as the role for that, if this login may act as it.
    Post,
    /// Everything that the login may do, as the owner of the tables if policies do not apply to the login itself, or as the
    /// role that may write rows if the login does not own the tables.
    Write,
}

impl Access {
    /// The role that connections act as, as the end of a query that has no row if they act as the login.
    fn role(self) -> &'static str {
        match self {
            Self::Read => &READS_AS,
            Self::Post => &POSTS_AS,
            Self::Write => &WRITES_AS,
        }
    }
}

/// The limits of each connection: names and values of settings.
type Limits = Vec<(&'static str, String)>;

/// The pool of connections, for the rows of one tenant. A query sent to it gets its own transaction, which only reads.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pool: PgPool,
    state: Arc<State>,
    tenant: Tenant,
    /// Finds a new address or password when no connection can be made.
    renewal: Option<Renewal>,
    passwords: Option<Passwords>,
}

/// As whom transactions behind a pooler act.
#[derive(Debug, Default)]
enum Role {
    /// Not looked for yet, or gone since.
    #[default]
    Unknown,
    /// As the login.
    Login,
    /// As a role, by these statements.
    Acting(String),
}

#[derive(Debug)]
struct State {
    pooler: Pooler,
    limits: Limits,
    access: Access,
    /// As whom transactions behind a pooler act.
    role: Mutex<Role>,
    /// Whether any connection has detected a pooler.
    is_pooled: AtomicBool,
    /// Why the last new connection could not be set up. The pool would only report a timeout.
    refusal: Mutex<Option<sqlx::Error>>,
}

impl State {
    /// Sets up a new connection, and detects a pooler.
    ///
    /// On a direct connection, PostgreSQL gets the application name from our startup packet. A pooler sends its own
    /// startup packet, and sets the name later or not at all.
    async fn make_ready(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.pooler == Pooler::OfTransactions {
            return self.find_role(connection).await;
        }
        let is_direct = if self.pooler == Pooler::Unknown {
            format!(
                "exists (select from pg_settings where name = 'application_name' and source = 'client' \
                 and setting = '{APPLICATION_NAME}')"
            )
        } else {
            "true".to_owned()
        };
        let limits: Vec<String> = self.limits.iter().map(|(name, value)| format!("('{name}', '{value}')")).collect();
        // Asked once, because that takes a millisecond, and kept until the end of these statements, which are one transaction.
        let known = format!("current_setting('{IS_DIRECT}') = 'true'");
        let sql = format!(
            "select set_config('{IS_DIRECT}', ({is_direct})::text, true); \
             select set_config(l.name, l.value, false) from (values {limits}) as l (name, value) where {known}; \
             select set_config('search_path', {SEARCH_PATH}, false), set_config('role', r.rolname, false) \
             from {role} and {known}; \
             select {known}, rolsuper or rolbypassrls from pg_roles where rolname = current_user",
            limits = limits.join(", "),
            role = self.access.role()
        );
        let answers = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
        let last = answers.last().ok_or(sqlx::Error::RowNotFound)?;
        let (is_direct, is_above_policies): (bool, bool) = (last.try_get(0)?, last.try_get(1)?);
        if is_direct {
            // Only needed above policies; a `do` block takes a millisecond.
            if is_above_policies {
                sqlx::raw_sql(REFUSE_MIXING).execute(connection).await?;
            }
            return Ok(());
        }
        self.is_pooled.store(true, Ordering::Relaxed);
        self.find_role(connection).await
    }

    /// Finds the role that transactions act as, which must be named: a query for it would come too late to set a
    /// transaction's isolation level.
    async fn find_role(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let sql = format!(
            "select format('set local search_path = %s; set local role %I', {SEARCH_PATH}, r.rolname) from {}",
            self.access.role()
        );
        let row = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(&mut *connection).await?;
        let role = if let Some(row) = row {
            Role::Acting(row.try_get(0)?)
        } else {
            sqlx::raw_sql(REFUSE_MIXING).execute(connection).await?;
            Role::Login
        };
        *self.role() = role;
        Ok(())
    }

    fn role(&self) -> MutexGuard<'_, Role> {
        self.role.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_pooled(&self) -> bool {
        self.is_pooled.load(Ordering::Relaxed)
    }

    /// Begins a transaction with its tenant in one round trip.
    async fn begin(&self, connection: &mut PgConnection, access: Access, tenant: Tenant) -> Result<(), sqlx::Error> {
        let mut begin = match (access, self.access) {
            (Access::Read, _) => "begin read only",
            // The API's own login only reads unless a transaction says otherwise.
            (_, Access::Post) => "begin read write",
            _ => "begin",
        }
        .to_owned();
        if self.is_pooled() {
            let is_unknown = matches!(*self.role(), Role::Unknown);
            if is_unknown {
                self.find_role(connection).await?;
            }
            for (name, value) in &self.limits {
                let _ = write!(begin, "; set local {name} = '{value}'");
            }
            if let Role::Acting(role) = &*self.role() {
                let _ = write!(begin, "; {role}");
            }
        }
        let _ = write!(begin, "; set local app.tenant = '{}'", tenant.id());
        let outcome = sqlx::raw_sql(AssertSqlSafe(begin)).execute(connection).await;
        if let Err(sqlx::Error::Database(error)) = &outcome
            && error.code().is_some_and(|code| matches!(&*code, "22023" | "42501" | "42704"))
        {
            // The role is gone, or this login may not act as it any more. The next transaction looks again.
            *self.role() = Role::Unknown;
        }
        outcome.map(drop)
    }
}

impl Connections {
    /// Prepares the pool. Connections are opened on demand and tested before each use.
    pub(crate) fn lazy(
        options: PgConnectOptions,
        pooler: Pooler,
        limits: Limits,
        access: Access,
        max_connections: u32,
        acquire_timeout: Duration,
        passwords: Option<Passwords>,
    ) -> Self {
        let is_pooled = AtomicBool::new(pooler == Pooler::OfTransactions);
        let state =
            Arc::new(State { pooler, limits, access, role: Mutex::default(), is_pooled, refusal: Mutex::new(None) });
        let for_new_connections = Arc::clone(&state);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, _: PoolConnectionMetadata| {
                let test = tokio::time::timeout(test_timeout(acquire_timeout), connection.ping());
                Box::pin(async move { Ok(matches!(test.await, Ok(Ok(())))) })
            })
            .after_connect(move |connection, _| {
                let state = Arc::clone(&for_new_connections);
                Box::pin(async move {
                    state.make_ready(connection).await.map_err(|error| {
                        let message = error.to_string();
                        *state.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        sqlx::Error::Protocol(message)
                    })
                })
            })
            .connect_lazy_with(options);
        Self { pool, state, tenant: Tenant::default(), renewal: None, passwords }
    }

    /// The same connections, for the rows of another tenant.
    pub(crate) fn for_tenant(&self, tenant: Tenant) -> Self {
        Self { tenant, ..self.clone() }
    }

    /// The maximum number of connections.
    pub(crate) fn max_connections(&self) -> usize {
        usize::try_from(self.pool.options().get_max_connections()).unwrap_or(usize::MAX)
    }

    /// Whether the pool is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// Whether the server is on this machine and reached through a Unix socket.
    pub(crate) fn is_by_socket(&self) -> bool {
        self.pool.connect_options().get_socket().is_some()
    }

    /// How long acquiring a connection may take.
    pub(crate) fn acquire_timeout(&self) -> Duration {
        self.pool.options().get_acquire_timeout()
    }

    /// How long an idle connection has to prove that it works.
    pub(crate) fn test_timeout(&self) -> Duration {
        test_timeout(self.acquire_timeout())
    }

    /// The same connections, with a new address or password when the known one does not work.
    pub(crate) fn with_renewal(self, renewal: Renewal) -> Self {
        Self { renewal: Some(renewal), ..self }
    }

    /// Checks for a new address or password when that is due.
    pub(crate) async fn renew_if_due(&self) {
        if let Some(renewal) = &self.renewal {
            renewal.if_due().await;
        }
    }

    /// Makes a second attempt if the first one fails and there is a new address or password.
    pub(crate) async fn with_second_attempt<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T, E> {
        match attempt().await {
            Err(_) if self.is_renewed().await => attempt().await,
            outcome => outcome,
        }
    }

    async fn is_renewed(&self) -> bool {
        match &self.renewal {
            Some(renewal) => renewal.after_a_loss().await,
            None => false,
        }
    }

    /// A connection whose transaction is not open yet.
    pub(crate) async fn acquire(&self) -> Result<Session, sqlx::Error> {
        self.with_second_attempt(|| self.acquire_once()).await
    }

    async fn acquire_once(&self) -> Result<Session, sqlx::Error> {
        // Also if a connection is idle: should it turn out to be broken, the pool opens another one by itself.
        if let Some(passwords) = &self.passwords {
            self.pool.set_connect_options(passwords.renew(&self.pool.connect_options()).await?);
        }
        let acquired = self.pool.acquire().await;
        let connection = acquired.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => {
                self.state.refusal.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(error)
            }
            error => MayNotConnect::or(error, &self.pool.connect_options()),
        })?;
        Ok(self.on(Owner::Pool(connection)))
    }

    /// An idle connection of the pool, if there is one. It is not tested, and its transaction is not open yet.
    pub(crate) fn try_idle(&self) -> Option<Session> {
        self.pool.try_acquire().map(|connection| self.on(Owner::Pool(connection)))
    }

    fn on(&self, owner: Owner) -> Session {
        Session { owner: Some(owner), state: Arc::clone(&self.state), tenant: self.tenant, is_in_transaction: false }
    }

    /// A transaction that writes. It has to be committed.
    pub(crate) async fn begin(&self) -> Result<Session, sqlx::Error> {
        self.session(Access::Write).await
    }

    /// A transaction that reads.
    pub(crate) async fn read(&self) -> Result<Session, sqlx::Error> {
        self.session(Access::Read).await
    }

    async fn session(&self, access: Access) -> Result<Session, sqlx::Error> {
        // Behind a pooler the server refuses a login only when the transaction begins.
        self.with_second_attempt(|| self.session_once(access)).await
    }

    async fn session_once(&self, access: Access) -> Result<Session, sqlx::Error> {
        let mut session = self.acquire_once().await?;
        session.open(access).await?;
        Ok(session)
    }

    /// A transaction that reads, on a connection outside the pool.
    pub(crate) async fn dedicated_session(&self) -> Result<Session, sqlx::Error> {
        let mut session = self.connect().await?;
        session.open(Access::Read).await?;
        Ok(session)
    }

    /// A connection outside the pool, whose transaction is not open yet.
    pub(crate) async fn connect(&self) -> Result<Session, sqlx::Error> {
        self.connect_with(self.pool.connect_options()).await
    }

    /// The same for migrations, which may be slow: nobody has to hear about it.
    pub(crate) async fn connect_for_migrations(&self) -> Result<Session, sqlx::Error> {
        let options = PgConnectOptions::clone(&self.pool.connect_options()).disable_statement_logging();
        self.connect_with(Arc::new(options)).await
    }

    async fn connect_with(&self, mut options: Arc<PgConnectOptions>) -> Result<Session, sqlx::Error> {
        if let Some(passwords) = &self.passwords {
            options = Arc::new(passwords.renew(&options).await?);
        }
        let mut connection =
            PgConnection::connect_with(&options).await.map_err(|error| MayNotConnect::or(error, &options))?;
        self.state.make_ready(&mut connection).await?;
        Ok(self.on(Owner::Own(Box::new(connection))))
    }

    /// Opens new connections with these options. Idle connections are closed, busy ones continue.
    pub(crate) fn reconnect_with(&self, options: PgConnectOptions) {
        self.pool.set_connect_options(options);
        while let Some(connection) = self.pool.try_acquire() {
            drop(connection.detach());
        }
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// The pool's own test has no timeout: a silent connection would use up the time for its replacement.
fn test_timeout(acquire_timeout: Duration) -> Duration {
    acquire_timeout / 2
}

/// A transaction that sees the rows of one tenant. Dropping it rolls back what is not committed.
pub(crate) struct Session {
    /// `None` only while it is dropped or closed.
    owner: Option<Owner>,
    state: Arc<State>,
    tenant: Tenant,
    is_in_transaction: bool,
}

enum Owner {
    Pool(PoolConnection<Postgres>),
    Own(Box<PgConnection>),
}

impl Owner {
    fn connection(&mut self) -> &mut PgConnection {
        match self {
            Self::Pool(connection) => connection,
            Self::Own(connection) => connection,
        }
    }

    /// Keeps it from returning to the pool.
    fn discard(self) {
        if let Self::Pool(connection) = self {
            drop(connection.detach());
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("is_in_transaction", &self.is_in_transaction).finish_non_exhaustive()
    }
}

impl Session {
    /// Begins the transaction.
    pub(crate) async fn open(&mut self, access: Access) -> Result<(), sqlx::Error> {
        let (state, tenant) = (Arc::clone(&self.state), self.tenant);
        // Set before sending: if the caller stops waiting, the transaction may have started.
        self.is_in_transaction = true;
        state.begin(self.connection()?, access, tenant).await
    }

    /// Whose rows it sees.
    pub(crate) fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// The raw connection, for statements outside transactions. Use it only if the session is known to own the server
    /// connection; behind a pooler it does not.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.owner.as_mut().map(Owner::connection).ok_or(sqlx::Error::PoolClosed)
    }

    /// Whether the server connection may change with each transaction.
    pub(crate) fn is_pooled(&self) -> bool {
        self.state.is_pooled()
    }

    /// Commits the transaction, if it is open.
    pub(crate) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        if self.is_in_transaction {
            sqlx::raw_sql("commit").execute(self.connection()?).await?;
            self.is_in_transaction = false;
        }
        Ok(())
    }

    /// Rolls back the transaction, if it is open.
    pub(crate) async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        if self.is_in_transaction {
            sqlx::raw_sql("rollback").execute(self.connection()?).await?;
            self.is_in_transaction = false;
        }
        Ok(())
    }

    /// Commits, then closes a dedicated connection or returns a pooled one.
    pub(crate) async fn close(mut self) -> Result<(), sqlx::Error> {
        self.commit().await?;
        match self.owner.take() {
            Some(Owner::Own(connection)) => connection.close().await,
            _ => Ok(()),
        }
    }

    /// Closes the connection immediately, even with a statement running. The pool would first send one more statement
    /// and wait for its response.
    pub(crate) fn discard(mut self) {
        if let Some(owner) = self.owner.take() {
            owner.discard();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(Owner::Pool(mut connection)) = self.owner.take() else { return };
        if !self.is_in_transaction {
            return;
        }
        // Like the pool does for returned connections. Without a runtime nothing can be returned.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                if sqlx::raw_sql("rollback").execute(&mut *connection).await.is_err() {
                    drop(connection.detach());
                }
            })),
            Err(_) => drop(connection.detach()),
        }
    }
}

/// A statement without a name on the server.
struct Unnamed {
    sql: SqlStr,
    arguments: Option<PgArguments>,
}

impl Execute<'_, Postgres> for Unnamed {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, sqlx::error::BoxDynError> {
        Ok(self.arguments.take())
    }

    fn persistent(&self) -> bool {
        false
    }
}

type Answer = Either<PgQueryResult, PgRow>;

fn failed<'e, T: Send + 'e>(error: sqlx::Error) -> BoxStream<'e, Result<T, sqlx::Error>> {
    stream::once(async { Err(error) }).boxed()
}

impl<'c> Executor<'c> for &'c mut Session {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, mut query: E) -> BoxStream<'e, Result<Answer, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        if !self.is_in_transaction {
            return failed(sqlx::Error::Protocol(
                "a statement outside a transaction, which would see no tenant".to_owned(),
            ));
        }
        let is_pooled = self.is_pooled();
        let connection = match self.connection() {
            Ok(connection) => connection,
            Err(error) => return failed(error),
        };
        if !is_pooled {
            return connection.fetch_many(query);
        }
        match query.take_arguments() {
            Ok(arguments) => connection.fetch_many(Unnamed { arguments, sql: query.sql() }),
            Err(error) => failed(sqlx::Error::Encode(error)),
        }
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let mut answers = self.fetch_many(query);
        Box::pin(async move {
            let mut first = None;
            // Read to the end, because a late error is still an error.
            while let Some(answer) = answers.try_next().await? {
                first = first.or(answer.right());
            }
            Ok(first)
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.connection()?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'c: 'e,
    {
        Box::pin(async move { self.connection()?.describe(sql).await })
    }
}

impl<'p> Executor<'p> for &'p Connections {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Result<Answer, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let answers = async move {
            let mut session = self.read().await?;
            let answers: Vec<Answer> = session.fetch_many(query).try_collect().await?;
            Ok::<_, sqlx::Error>(stream::iter(answers).map(Ok))
        };
        stream::once(answers).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        Box::pin(async move {
            let mut session = self.read().await?;
            session.fetch_optional(query).await
        })
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.read().await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.read().await?.describe(sql).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_statement_outside_a_transaction_is_refused() -> anyhow::Result<()> {
        let database = mergeline_test_support::TestDatabase::create().await?;
        let (wait, limits) = (Duration::from_secs(10), vec![("lock_timeout", "1s".to_owned())]);
        let options = database.url().parse()?;
        let connections = Connections::lazy(options, Pooler::OfSessions, limits, Access::Write, 1, wait, None);
        let mut session = connections.acquire().await?;
        assert!(matches!(sqlx::query("select 1").execute(&mut session).await, Err(sqlx::Error::Protocol(_))));
        session.open(Access::Write).await?;
        sqlx::query("select 1").execute(&mut session).await?;
        session.commit().await?;
        assert!(matches!(sqlx::query("select 1").execute(&mut session).await, Err(sqlx::Error::Protocol(_))));
        Ok(())
    }

    #[tokio::test]
    async fn a_transaction_that_reads_cannot_write() -> anyhow::Result<()> {
        let database = mergeline_test_support::TestDatabase::create().await?;
        let (wait, limits) = (Duration::from_secs(10), vec![("lock_timeout", "1s".to_owned())]);
        let options = database.url().parse()?;
        let connections = Connections::lazy(options, Pooler::OfSessions, limits, Access::Write, 1, wait, None);
        // It is never committed, so its rows would be lost in silence.
        let written = sqlx::query("insert into people default values").execute(&connections).await;
        assert!(written.is_err_and(|error| error.to_string().contains("read-only transaction")));
        Ok(())
    }
}
