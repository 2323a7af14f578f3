//! A connection as queries see it, directly to PostgreSQL or by way of a pooler.
//!
//! A pooler that gives a client another server for each transaction (PgBouncer in transaction mode, RDS Proxy without pinning)
//! keeps nothing of a session: neither settings nor prepared statements. Behind one, everything happens in transactions that
//! begin with their own time-outs, and statements have no names. Where nobody is in between, both would cost round trips, so
//! settings and statements are the session's.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use sqlx::pool::{PoolConnection, PoolConnectionMetadata};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{
    AssertSqlSafe, Connection, Describe, Either, Execute, Executor, PgConnection, PgPool, Postgres, Row, SqlStr,
};

use crate::Renewal;
use crate::connection::APPLICATION_NAME;
use crate::error::MayNotConnect;

/// What is between this program and PostgreSQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Pooler {
    /// Found out with each new connection. Any pooler is taken for one of transactions.
    #[default]
    Unknown,
    /// Nothing, or a pooler that keeps a server for as long as a client is connected.
    OfSessions,
    /// A pooler that may change servers with each transaction.
    OfTransactions,
}

/// What each connection is limited by: names and values of settings.
type Limits = Vec<(&'static str, String)>;

/// How many statements belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Each is a transaction of its own, unless a pooler asks for one around them.
    Statements,
    /// All are one transaction.
    Transaction,
}

/// The pool of connections. A query that is sent to it has a connection, and behind a pooler a transaction, of its own.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pool: PgPool,
    state: Arc<State>,
    /// How another address or password is found, when no connection can be made.
    renewal: Option<Renewal>,
}

#[derive(Debug)]
struct State {
    pooler: Pooler,
    limits: Limits,
    /// Begins a transaction behind a pooler.
    begin: String,
    /// Whether a pooler was found, by any connection.
    is_pooled: AtomicBool,
    /// Why the last new connection could not be made ready; the pool would only say that it waited.
    refusal: Mutex<Option<sqlx::Error>>,
}

impl State {
    /// Makes a new connection ready, and finds out what is in between.
    ///
    /// PostgreSQL has the name of the application from the packet that opened the connection. A pooler opened it with a packet
    /// of its own, and has set the name afterwards or not at all.
    async fn make_ready(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if self.pooler == Pooler::OfTransactions {
            return Ok(());
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
        let sql = format!(
            "select count(set_config(l.name, l.value, false)) > 0 from (values {}) as l (name, value) where {is_direct}",
            limits.join(", ")
        );
        let is_ready: bool = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)?;
        if !is_ready {
            self.is_pooled.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn is_pooled(&self) -> bool {
        self.is_pooled.load(Ordering::Relaxed)
    }

    async fn begin(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let begin = if self.is_pooled() { self.begin.as_str() } else { "begin" };
        sqlx::raw_sql(AssertSqlSafe(begin)).execute(connection).await.map(drop)
    }
}

impl Connections {
    /// Prepares the pool; connections are made when they are needed, and tested before each use.
    pub(crate) fn lazy(
        options: PgConnectOptions,
        pooler: Pooler,
        limits: Limits,
        max_connections: u32,
        acquire_timeout: Duration,
    ) -> Self {
        let mut begin = "begin".to_owned();
        for (name, value) in &limits {
            let _ = write!(begin, "; set local {name} = '{value}'");
        }
        let is_pooled = AtomicBool::new(pooler == Pooler::OfTransactions);
        let state = Arc::new(State { pooler, limits, begin, is_pooled, refusal: Mutex::new(None) });
        let for_new_ones = Arc::clone(&state);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(acquire_timeout)
            .test_before_acquire(false)
            .before_acquire(move |connection, _: PoolConnectionMetadata| {
                let test = tokio::time::timeout(test_timeout(acquire_timeout), connection.ping());
                Box::pin(async move { Ok(matches!(test.await, Ok(Ok(())))) })
            })
            .after_connect(move |connection, _| {
                let state = Arc::clone(&for_new_ones);
                Box::pin(async move {
                    state.make_ready(connection).await.map_err(|error| {
                        let message = error.to_string();
                        *state.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        sqlx::Error::Protocol(message)
                    })
                })
            })
            .connect_lazy_with(options);
        Self { pool, state, renewal: None }
    }

    /// How many connections there are at most.
    pub(crate) fn max_connections(&self) -> usize {
        usize::try_from(self.pool.options().get_max_connections()).unwrap_or(usize::MAX)
    }

    /// Whether nothing can be sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// Whether the server is on this machine, and reached by a socket of its file system.
    pub(crate) fn is_by_socket(&self) -> bool {
        self.pool.connect_options().get_socket().is_some()
    }

    /// How long a connection may take to be there.
    pub(crate) fn acquire_timeout(&self) -> Duration {
        self.pool.options().get_acquire_timeout()
    }

    /// How long an idle connection has to show that it is well.
    pub(crate) fn test_timeout(&self) -> Duration {
        test_timeout(self.acquire_timeout())
    }

    /// The same connections, which are made with another address or password where the known one leads nowhere.
    pub(crate) fn with_renewal(self, renewal: Renewal) -> Self {
        Self { renewal: Some(renewal), ..self }
    }

    /// Looks whether there is another address or password, once it is time.
    pub(crate) async fn renew_if_due(&self) {
        if let Some(renewal) = &self.renewal {
            renewal.if_due().await;
        }
    }

    /// Whether another address or password was found.
    async fn is_renewed(&self) -> bool {
        match &self.renewal {
            Some(renewal) => renewal.after_a_loss().await,
            None => false,
        }
    }

    /// A connection on which nothing has begun.
    pub(crate) async fn acquire(&self) -> Result<Session, sqlx::Error> {
        match self.acquire_once().await {
            Err(_) if self.is_renewed().await => self.acquire_once().await,
            outcome => outcome,
        }
    }

    async fn acquire_once(&self) -> Result<Session, sqlx::Error> {
        let acquired = self.pool.acquire().await;
        let connection = acquired.map_err(|error| match error {
            sqlx::Error::PoolTimedOut => {
                self.state.refusal.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(error)
            }
            error => MayNotConnect::or(error, &self.pool.connect_options()),
        })?;
        Ok(Session::on(Owner::Pool(connection), &self.state))
    }

    /// The same, of those that are idle, if there is one. It was not tested.
    pub(crate) fn try_idle(&self) -> Option<Session> {
        self.pool.try_acquire().map(|connection| Session::on(Owner::Pool(connection), &self.state))
    }

    /// A connection for these statements.
    pub(crate) async fn session(&self, scope: Scope) -> Result<Session, sqlx::Error> {
        let mut session = self.acquire().await?;
        session.open(scope).await?;
        Ok(session)
    }

    /// A transaction.
    pub(crate) async fn begin(&self) -> Result<Session, sqlx::Error> {
        self.session(Scope::Transaction).await
    }

    /// A connection beside the pool.
    pub(crate) async fn dedicated_session(&self) -> Result<Session, sqlx::Error> {
        match self.connect().await {
            Err(_) if self.is_renewed().await => self.connect().await,
            outcome => outcome,
        }
    }

    async fn connect(&self) -> Result<Session, sqlx::Error> {
        let options = self.pool.connect_options();
        let mut connection =
            PgConnection::connect_with(&options).await.map_err(|error| MayNotConnect::or(error, &options))?;
        self.state.make_ready(&mut connection).await?;
        let mut session = Session::on(Owner::Own(Box::new(connection)), &self.state);
        session.open(Scope::Statements).await?;
        Ok(session)
    }

    /// Makes new connections with these options. Idle ones are let go, those at work go on.
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

/// The pool's own test has no limit: a connection that went silent would take the time of the one after it.
fn test_timeout(acquire_timeout: Duration) -> Duration {
    acquire_timeout / 2
}

/// A connection that queries are sent on. A transaction that was not committed is rolled back when it goes.
pub(crate) struct Session {
    /// `None` only while it goes.
    owner: Option<Owner>,
    state: Arc<State>,
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

    /// Keeps it from going back into the pool.
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
    fn on(owner: Owner, state: &Arc<State>) -> Self {
        Self { owner: Some(owner), state: Arc::clone(state), is_in_transaction: false }
    }

    /// Begins the transaction that these statements need.
    pub(crate) async fn open(&mut self, scope: Scope) -> Result<(), sqlx::Error> {
        if scope == Scope::Transaction || self.is_pooled() {
            let state = Arc::clone(&self.state);
            // Before it is sent: whoever does not wait for the answer may have begun.
            self.is_in_transaction = true;
            state.begin(self.connection()?).await?;
        }
        Ok(())
    }

    /// The connection itself. Only for what is known to be the session's own: behind a pooler it is not.
    pub(crate) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        self.owner.as_mut().map(Owner::connection).ok_or(sqlx::Error::PoolClosed)
    }

    /// Whether servers may change with each transaction.
    pub(crate) fn is_pooled(&self) -> bool {
        self.state.is_pooled()
    }

    /// Makes what was done in a transaction last, if there is one.
    pub(crate) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        if self.is_in_transaction {
            sqlx::raw_sql("commit").execute(self.connection()?).await?;
            self.is_in_transaction = false;
        }
        Ok(())
    }

    /// Undoes what was done in a transaction, if there is one.
    pub(crate) async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        if self.is_in_transaction {
            sqlx::raw_sql("rollback").execute(self.connection()?).await?;
            self.is_in_transaction = false;
        }
        Ok(())
    }

    /// Closes a connection of its own in order; one of the pool goes back.
    pub(crate) async fn close(mut self) -> Result<(), sqlx::Error> {
        self.commit().await?;
        match self.owner.take() {
            Some(Owner::Own(connection)) => connection.close().await,
            _ => Ok(()),
        }
    }

    /// Closes the connection at once, whatever is under way on it. The pool would take it back only after one more
    /// question, and wait for the answer.
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
        // As the pool does with what comes back to it; without a runtime nothing can come back.
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

/// A statement that gets no name on the server.
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
            // To the end: what fails late has failed.
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
            let mut session = self.session(Scope::Statements).await?;
            let answers: Vec<Answer> = session.fetch_many(query).try_collect().await?;
            session.commit().await?;
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
            let mut session = self.session(Scope::Statements).await?;
            let row = session.fetch_optional(query).await?;
            session.commit().await?;
            Ok(row)
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
        Box::pin(async move { self.session(Scope::Statements).await?.prepare_with(sql, parameters).await })
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Postgres>, sqlx::Error>>
    where
        'p: 'e,
    {
        Box::pin(async move { self.session(Scope::Statements).await?.describe(sql).await })
    }
}
