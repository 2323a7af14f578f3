//! The database of a command: the one in `DB_URL`, else a private one in the data folder.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use mergeline_domain::{Problem, count_of, error_chain};
use mergeline_local_postgres::{DataFolder, Server, data_folder};
use mergeline_store::{Actor, DatabaseSettings, Logins, Writer};

use crate::args::{Options, WithDb};
use crate::environment::variable;
use crate::failure::Failure;
use crate::terminal;

/// The database to use on a private server.
const PRIVATE_DATABASE: &str = "postgres";
/// How often `serve` checks its private server.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The private server usually starts in less than a second. A longer wait prints a message.
const SILENT_AT_MOST: Duration = Duration::from_secs(3);

/// A database with the server that must be kept running for it.
#[derive(Debug)]
pub(crate) struct Database {
    /// The private server; `None` when `DB_URL` names a database.
    server: Option<Server>,
}

impl Database {
    /// Opens the database of `DB_URL`, else the private one, which is started if needed.
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        if variable("DB_URL").is_some() {
            return Ok(Self { server: None });
        }
        if mergeline_telemetry::is_lambda() {
            let help = "name the database in DB_URL; a private one would be lost with the sandbox";
            return Err(Problem::setting("config.db_url", "DB_URL", "it is not set", help).into());
        }
        let folder = private_folder(options)?;
        let mut starting = tokio::task::spawn_blocking({
            let folder = folder.clone();
            move || Server::persistent(&folder)
        });
        let mut started = tokio::time::timeout(SILENT_AT_MOST, &mut starting).await.ok();
        if started.is_none() {
            let folder = folder.display();
            writeln!(terminal::stderr(), "Waiting for the private PostgreSQL in {folder} …")?;
            started = Some(starting.await);
        }
        let started = started.context("the private PostgreSQL was not started")?;
        Ok(Self { server: Some(started.map_err(anyhow::Error::from)??) })
    }

    /// Like [`Database::open`], but `None` if the private database is needed and was never created.
    pub(crate) async fn open_existing(options: &Options) -> Result<Option<Self>, Failure> {
        if variable("DB_URL").is_none() && !DataFolder::new(&private_folder(options)?).has_data()? {
            return Ok(None);
        }
        Self::open(options).await.map(Some)
    }

    /// A database that is deleted at the end.
    pub(crate) async fn throwaway() -> Result<Self, Failure> {
        let server = tokio::task::spawn_blocking(Server::throwaway).await.map_err(anyhow::Error::from)??;
        Ok(Self { server: Some(server) })
    }

    /// The environment for the libraries, with this database as `DB_URL`.
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        match (&self.server, name) {
            (Some(server), "DB_URL") => Some(server.url(PRIVATE_DATABASE)),
            _ => variable(name),
        }
    }

    /// The path of a PostgreSQL program in the private server's version, and the database URL to give it. `pg_dump`
    /// needs all rows, so it runs as the superuser.
    pub(crate) fn program(&self, name: &str) -> Result<(PathBuf, String), Failure> {
        let server = self.server.as_ref().context("there is no private database")?;
        let url = if name == "pg_dump" { server.superuser_url(PRIVATE_DATABASE) } else { server.url(PRIVATE_DATABASE) };
        Ok((server.binaries().path(name), url))
    }

    /// A store for this database.
    pub(crate) fn store(&self) -> Result<Writer, Failure> {
        Ok(Writer::connect(&DatabaseSettings::from_vars(|name| self.lookup(name))?, actor()))
    }

    /// Never returns. Restarts the private server if it and its supervisor were killed.
    pub(crate) async fn keep_running(&self) {
        let Some(server) = &self.server else { return std::future::pending().await };
        let mut another: Option<Server> = None;
        let mut said = String::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if another.as_ref().unwrap_or(server).answers() {
                said.clear();
                continue;
            }
            let folder = server.folder().to_owned();
            let why = match tokio::task::spawn_blocking(move || Server::persistent(&folder)).await {
                Ok(Ok(started)) => {
                    another = Some(started);
                    continue;
                }
                Ok(Err(error)) => error_chain(&error),
                Err(error) => error.to_string(),
            };
            // Log each cause only once.
            if why != said {
                tracing::warn!("The private PostgreSQL does not answer: {why}");
                said = why;
            }
        }
    }

    /// Whether this is the private database, which is migrated automatically.
    pub(crate) fn is_private(&self) -> bool {
        self.server.is_some()
    }
}

/// The folder of the private PostgreSQL.
pub(crate) fn private_folder(options: &Options) -> Result<PathBuf, Failure> {
    let named = options.data_dir.clone().filter(|folder| !folder.as_os_str().is_empty());
    Ok(named.map_or_else(data_folder, Ok)?.join("postgres"))
}

/// A store with the collected data, and the server that must keep running for it. `None` if nothing was ever collected:
/// there is no private database yet, or the database is empty.
///
/// # Errors
/// If the database cannot be queried, or its schema is older than this program.
pub(crate) async fn collected(options: &Options) -> Result<Option<(Database, Writer)>, Failure> {
    let Some(database) = Database::open_existing(options).await? else { return Ok(None) };
    let store = database.store()?;
    let status = store.database_status().await?;
    let missing = status.missing();
    if status.migrations.is_empty() {
        return Ok(None);
    }
    if let Some((version, name)) = missing.first() {
        let missing = count_of(missing.len(), "migration");
        return Err(Failure::Other(anyhow::anyhow!(
            "the database's schema is older than this program: {missing} missing, from {version} ({name}) \
             on\n  help: run `mergeline migrate`; `mergeline collect` does it too"
        )));
    }
    Ok(Some((database, store)))
}

/// `mergeline migrate`
pub(crate) async fn migrate(options: &Options) -> Result<ExitCode, Failure> {
    let database = Database::open(options).await?;
    let (store, logins) = (database.store()?, Logins::from_vars(|name| database.lookup(name))?);
    let missing_role = match &logins {
        Some(logins) => store.migrate_with(logins).await?,
        None => store.migrate().await?,
    };
    let known = Writer::known_migrations();
    if options.json {
        let migrations: Vec<_> =
            known.iter().map(|(version, name)| serde_json::json!({ "version": version, "name": name })).collect();
        let report = serde_json::json!({ "migrations": migrations, "missing_role": missing_role });
        writeln!(terminal::stdout(), "{report}")?;
    } else {
        writeln!(terminal::stdout(), "The schema is up to date ({} migrations).", known.len())?;
        if let (Some(statements), Some(_)) = (&missing_role, &logins) {
            writeln!(
                terminal::stdout(),
                "This login may not make the logins of DB_WRITER_URL and DB_READER_URL. An administrator of the database may run in \
                 psql\n  {statements}\nthen run this again. The passwords are those of the two variables."
            )?;
        } else if let Some(statements) = missing_role {
            writeln!(
                terminal::stdout(),
                "This login may not create the role as which the API only reads. An administrator of the database may run\n  \
                 {statements};\nthen run this again. Until then, the API reads with all rights of this login."
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `mergeline with-db`
pub(crate) async fn run_with(args: &WithDb, options: &Options) -> Result<ExitCode, Failure> {
    let database = Database::open(options).await?;
    database.store()?.migrate().await?;
    let url = database.lookup("DB_URL").unwrap_or_default();
    let Some((program, arguments)) = args.command.split_first() else { return Ok(ExitCode::SUCCESS) };
    let mut command = tokio::process::Command::new(program);
    if program == "psql" {
        command.arg(&url);
    }
    command.args(arguments).env("DB_URL", &url);
    // Ctrl-C is for the child: psql uses it to cancel a query. The database stays until the child exits.
    let mut interrupted = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut running = command.spawn().with_context(|| format!("cannot run {}", program.display()))?;
    let status = loop {
        tokio::select! {
            status = running.wait() => break status?,
            _ = interrupted.recv() => {}
            // The child is useless without its database.
            _ = terminated.recv() => running.start_kill()?,
        }
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Who changes something with this program.
pub(crate) fn actor() -> Actor {
    Actor::here(variable)
}
