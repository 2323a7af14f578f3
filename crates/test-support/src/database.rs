//! A separate database for each test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::ensure;
use mergeline_local_postgres::Server;
use mergeline_store::{Actor, DatabaseSettings, Poster, Reader, Writer};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool};
use tokio::sync::OnceCell;
use url::Url;

/// The template of all test databases.
const TEMPLATE: &str = "mergeline_template";
/// The login under test on the server of `TEST_DATABASE_URL`.
const LOGIN: &str = "mergeline_test";

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);
/// Databases that no test uses anymore. The next test drops them, because a thousand of them take 15 GB of disk.
static FINISHED: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Cluster {
    /// Keeps our own server running. `None` when `TEST_DATABASE_URL` names one.
    _server: Option<Server>,
    /// The URL of a server with its superuser, and with the login under test.
    superuser: String,
    login: String,
    /// `CREATE DATABASE` can copy a template only once at a time.
    creating: tokio::sync::Mutex<()>,
}

/// A freshly migrated database. It is dropped some time after the last clone of this value.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    url: String,
    superuser_url: String,
    _name: Arc<Name>,
}

#[derive(Debug)]
struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        FINISHED.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.0));
    }
}

impl TestDatabase {
    /// Creates a migrated, empty database on this process's server. The first call starts the server. Set
    /// `TEST_DATABASE_URL` to use a running server.
    ///
    /// # Errors
    /// When there is no PostgreSQL. That is an error, not a reason to skip.
    pub async fn create() -> anyhow::Result<Self> {
        let cluster = CLUSTER.get_or_try_init(Cluster::start).await?;
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let _turn = cluster.creating.lock().await;
        let mut connection = PgConnection::connect(&at(&cluster.superuser, "postgres")).await?;
        drop_finished(&mut connection).await;
        let (owner, template) = (user_of(&cluster.login), format!("{TEMPLATE}_{}", std::process::id()));
        connection.execute(AssertSqlSafe(format!("create database {name} owner {owner} template {template}"))).await?;
        connection.close().await?;
        let (url, superuser_url) = (at(&cluster.login, &name), at(&cluster.superuser, &name));
        Ok(Self { url, superuser_url, _name: Arc::new(Name(name)) })
    }

    /// The URL to set as `DB_URL`. Its login owns the database and is not a superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL for the superuser, who sees the rows of all tenants.
    pub fn superuser_url(&self) -> &str {
        &self.superuser_url
    }

    /// A store on this database.
    ///
    /// # Errors
    /// When `TEST_DATABASE_URL` is invalid.
    pub fn store(&self) -> anyhow::Result<Writer> {
        connect(&self.url)
    }

    /// Connections to this database that can only read.
    ///
    /// # Errors
    /// When `TEST_DATABASE_URL` is invalid.
    pub fn reader(&self) -> anyhow::Result<Reader> {
        Ok(Reader::connect(&settings(&self.url)?))
    }

    /// Where what is posted is stored, as the API does.
    ///
    /// # Errors
    /// If the URL is not valid.
    pub fn poster(&self) -> anyhow::Result<Poster> {
        Ok(Poster::connect(&settings(&self.url)?))
    }

    /// A pool for a test's queries, with the login of [`Self::url`].
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn pool(&self) -> anyhow::Result<PgPool> {
        Ok(PgPool::connect(&self.url).await?)
    }

    /// A pool for what only the superuser may see or do.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn superuser_pool(&self) -> anyhow::Result<PgPool> {
        Ok(PgPool::connect(&self.superuser_url).await?)
    }

    /// Makes the time zones Europe/Kiev, Asia/Kolkata and Europe/Oslo unknown to new connections, as on a server that
    /// is older than a name or leaves out old names.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn forget_zones(&self) -> anyhow::Result<()> {
        let lacking = "create schema lacking;
            create function lacking.timezone(name text, at timestamptz) returns timestamp language plpgsql as $$ begin
                if name in ('Europe/Kiev', 'Asia/Kolkata', 'Europe/Oslo') then
                    raise invalid_parameter_value using message = format('time zone \"%s\" not recognized', name);
                end if;
                return pg_catalog.timezone(name, at);
            end $$;
            do $$ begin
                execute format('alter database %I set search_path = public, lacking, pg_catalog', current_database());
            end $$";
        let pool = self.pool().await?;
        sqlx::raw_sql(lacking).execute(&pool).await?;
        pool.close().await;
        Ok(())
    }

    /// All collected and derived data as text, which is equal exactly when the data is equal: facts, attributions,
    /// watermarks, people. Leaves out what differs from run to run: the ledger and the start of a run.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn digest(&self) -> anyhow::Result<String> {
        let pool = self.pool().await?;
        let rows: Vec<String> = sqlx::query_scalar(
            "select 'pull_request ' || p::text || ' @' || p.xmin::text from pull_requests as p
            union all select 'attribution ' || a::text || ' @' || a.xmin::text from pr_attributions as a
            union all select 'repository ' || r.name || ' ' || coalesce(r.watermark::text, 'none') from repositories as r
            union all select 'account ' || h::text from accounts as h
            union all select 'membership ' || m::text from team_memberships as m
            order by 1",
        )
        .fetch_all(&pool)
        .await?;
        pool.close().await;
        Ok(rows.join("\n"))
    }
}

impl Cluster {
    async fn start() -> anyhow::Result<Self> {
        let given = std::env::var("TEST_DATABASE_URL").ok().filter(|url| !url.is_empty());
        let (server, superuser, login) = if let Some(given) = given {
            let login = login_on(&given).await?;
            (None, given, login)
        } else {
            let server = tokio::task::spawn_blocking(Server::throwaway).await??;
            let (superuser, login) = (server.superuser_url("postgres"), server.url("postgres"));
            (Some(server), superuser, login)
        };
        let cluster = Self { _server: server, superuser, login, creating: tokio::sync::Mutex::new(()) };
        let template = format!("{TEMPLATE}_{}", std::process::id());
        let mut connection = PgConnection::connect(&at(&cluster.superuser, "postgres")).await?;
        connection.execute(AssertSqlSafe(format!("drop database if exists {template}"))).await?;
        let owner = user_of(&cluster.login);
        connection.execute(AssertSqlSafe(format!("create database {template} owner {owner}"))).await?;
        connection.close().await?;
        let store = connect(&at(&cluster.login, &template))?;
        store.migrate().await?;
        // A template must not have open connections while it is copied.
        store.close().await;
        Ok(cluster)
    }
}

/// A login on a given server that owns the databases and is not a superuser: the given one, or another one with its
/// password.
async fn login_on(given: &str) -> anyhow::Result<String> {
    let mut url = Url::parse(given)?;
    let password = url.password().unwrap_or_default().replace('\'', "''");
    let mut connection = PgConnection::connect(&at(given, "postgres")).await?;
    let is_superuser: bool =
        sqlx::query_scalar("select current_setting('is_superuser')::boolean").fetch_one(&mut connection).await?;
    if !is_superuser {
        return Ok(given.to_owned());
    }
    let create = format!(
        "do $$ begin
            if not exists (select from pg_roles where rolname = '{LOGIN}') then
                create role {LOGIN} login createdb createrole password '{password}';
            end if;
        end $$"
    );
    connection.execute(AssertSqlSafe(create)).await?;
    connection.close().await?;
    ensure!(url.set_username(LOGIN).is_ok(), "TEST_DATABASE_URL needs a host");
    Ok(url.into())
}

/// The login in a URL.
fn user_of(url: &str) -> String {
    Url::parse(url).map(|url| url.username().to_owned()).unwrap_or_default()
}

/// The URL of another database on the same server.
fn at(url: &str, database: &str) -> String {
    let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
    let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
    format!("{server}/{database}?{parameters}")
}

/// Drops the databases that no test uses anymore. One with open connections stays until the next time.
async fn drop_finished(connection: &mut PgConnection) {
    let finished = std::mem::take(&mut *FINISHED.lock().unwrap_or_else(PoisonError::into_inner));
    for name in finished {
        // The role that only reads belongs to the server. It exists if the database was migrated by itself.
        let role = format!("select 'mergeline_reader_' || oid from pg_database where datname = '{name}'");
        let role: Option<String> =
            sqlx::query_scalar(AssertSqlSafe(role)).fetch_optional(&mut *connection).await.unwrap_or_default();
        if connection.execute(AssertSqlSafe(format!("drop database {name}"))).await.is_err() {
            drop(Name(name));
        } else if let Some(role) = role {
            let _ = connection.execute(AssertSqlSafe(format!("drop role if exists {role}"))).await;
        }
    }
}

fn settings(url: &str) -> anyhow::Result<DatabaseSettings> {
    Ok(DatabaseSettings::parse(&SecretString::from(url)).map_err(mergeline_domain::Problems::from)?)
}

fn connect(url: &str) -> anyhow::Result<Writer> {
    Ok(Writer::connect(&settings(url)?, Actor::Collector))
}

/// The repositories whose stored counts differ from the actual number of pull requests: stored, without details, in
/// quarantine.
///
/// # Errors
/// When the database cannot be reached.
pub async fn miscounted(pool: &PgPool) -> anyhow::Result<Vec<String>> {
    let miscounted = sqlx::query_scalar(
        "with compared as (
            select
                r.name,
                row(
                    r.pull_requests, r.without_details, r.quarantined, r.missing_from, r.has_undated_missing
                )::text as recorded,
                row(
                    (select count(*) from pull_requests as p where p.repository_id = r.id and p.deleted_at is null),
                    (
                        select count(*) from pull_requests as p
                        where p.repository_id = r.id and p.detailed_at is distinct from p.updated_at and p.deleted_at is null
                    ),
                    (select count(*) from quarantined_pull_requests as q where q.repository_id = r.id),
                    (
                        select min(q.created_from) from quarantined_pull_requests as q
                        where q.repository_id = r.id and q.accepted_at is null
                    ),
                    exists (
                        select from quarantined_pull_requests as q
                        where q.repository_id = r.id and q.accepted_at is null and q.created_from is null
                    )
                )::text as counted
            from repositories as r
        )
        select name || ' has ' || recorded || ', counted ' || counted from compared where recorded <> counted order by 1",
    );
    Ok(miscounted.fetch_all(pool).await?)
}
