//! The database of a command: the one in `DB_URL`, else a private one below the data folder.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use etcetera::BaseStrategy;
use mergeline_domain::Problem;
use mergeline_local_postgres::Server;
use mergeline_store::Store;

use crate::args::Options;
use crate::failure::Failure;

/// The one database that a private server is used for.
const PRIVATE_DATABASE: &str = "postgres";

/// A database with the server that must be kept running for it.
#[derive(Debug)]
pub(crate) struct Database {
    /// The private server; `None` when `DB_URL` names a database.
    server: Option<Server>,
}

impl Database {
    /// The database of `DB_URL`, else the private one, started if need be.
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        if std::env::var_os("DB_URL").is_some_and(|url| !url.is_empty()) {
            return Ok(Self { server: None });
        }
        if mergeline_telemetry::is_lambda() {
            let help = "name the database in DB_URL; a private one would be gone with the sandbox";
            return Err(Problem::setting("config.db_url", "DB_URL", "it is not set", help).into());
        }
        let folder = data_folder(options)?.join("postgres");
        let server =
            tokio::task::spawn_blocking(move || Server::persistent(&folder)).await.map_err(anyhow::Error::from)??;
        Ok(Self { server: Some(server) })
    }

    /// A database that vanishes at the end.
    pub(crate) async fn throwaway() -> Result<Self, Failure> {
        let server = tokio::task::spawn_blocking(Server::throwaway).await.map_err(anyhow::Error::from)??;
        Ok(Self { server: Some(server) })
    }

    /// The environment as the libraries read it, with this database as `DB_URL`.
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        match (&self.server, name) {
            (Some(server), "DB_URL") => Some(server.url(PRIVATE_DATABASE)),
            _ => std::env::var(name).ok(),
        }
    }

    /// Whether it is this program's own, to be migrated without being asked.
    pub(crate) fn is_private(&self) -> bool {
        self.server.is_some()
    }
}

fn data_folder(options: &Options) -> Result<PathBuf, Failure> {
    if let Some(folder) = &options.data_dir {
        return Ok(folder.clone());
    }
    // The server's account cannot reach into root's home.
    let system = PathBuf::from("/var/lib/mergeline");
    let home = etcetera::home_dir().map_err(anyhow::Error::from)?;
    if home == PathBuf::from("/root") {
        return Ok(system);
    }
    let strategy = etcetera::choose_base_strategy().map_err(anyhow::Error::from)?;
    Ok(strategy.data_dir().join("mergeline"))
}

/// `mergeline migrate`
pub(crate) async fn migrate(options: &Options) -> Result<ExitCode, Failure> {
    let database = Database::open(options).await?;
    let settings = mergeline_api::Settings::from_vars(|name| database.lookup(name).filter(|_| name == "DB_URL"))?;
    Store::connect(&settings.database).migrate().await?;
    let known = Store::known_migrations();
    if options.json {
        let migrations: Vec<_> =
            known.iter().map(|(version, name)| serde_json::json!({ "version": version, "name": name })).collect();
        writeln!(io::stdout(), "{}", serde_json::json!({ "migrations": migrations }))?;
    } else {
        writeln!(io::stdout(), "The schema is up to date ({} migrations).", known.len())?;
    }
    Ok(ExitCode::SUCCESS)
}
