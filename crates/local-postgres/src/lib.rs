#![doc = include_str!("../README.md")]

mod binaries;
mod server;

pub use binaries::Binaries;
pub use server::{DataFolder, Server, data_folder};

/// Why a private PostgreSQL could not be started or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine has no PostgreSQL that is new enough.
    #[error(
        "no PostgreSQL {min} or later found\n  looked in: {looked}\n  help: {help}, or name a folder with `initdb` and \
         `postgres` in PG_BINDIR, or a running server in DB_URL",
        min = binaries::MIN_VERSION,
        looked = looked_in.join(", "),
        help = binaries::how_to_install()
    )]
    NotFound {
        /// Every place that was searched, and what was found there.
        looked_in: Vec<String>,
    },
    /// `PG_BINDIR` names a folder without the programs.
    #[error(
        "PG_BINDIR names {folder}, where there is no PostgreSQL {min} or later: {reason}\n  help: name the folder with `initdb` and \
         `postgres`, which `pg_config --bindir` prints, or unset PG_BINDIR to have it looked for",
        min = binaries::MIN_VERSION
    )]
    NotInFolder {
        /// The folder.
        folder: String,
        /// What was found there.
        reason: String,
    },
    /// The folder for the data cannot be created or written.
    #[error(
        "cannot use the folder {folder}: {reason}\n  help: let this account write there, or name another folder with --data-dir or in \
         MERGELINE_DATA_DIR"
    )]
    Unusable {
        /// The folder.
        folder: String,
        /// Why not.
        reason: String,
    },
    /// A PostgreSQL command failed.
    #[error("{command} failed: {output}")]
    Command {
        /// Which one.
        command: &'static str,
        /// What it printed.
        output: String,
    },
    /// The data folder belongs to another major version.
    #[error(
        "the data in {folder} was made by PostgreSQL {found}, and {installed} is installed here\n  help: install \
         PostgreSQL {found} alongside (or name its folder in PG_BINDIR), then `mergeline data dump > mergeline.sql`, \
         `mergeline data remove --yes` and `mergeline data restore mergeline.sql` move the data to {installed}; or \
         run only `mergeline data remove --yes`, and collect again"
    )]
    OtherVersion {
        /// The data folder.
        folder: String,
        /// The version in the folder.
        found: String,
        /// The version of the binaries.
        installed: u32,
    },
    /// The data folder has no login for us: a version before the first release made it.
    #[error(
        "the data in {folder} was made by a version before the first release and cannot be used\n  help: run \
         `mergeline data remove --yes`, and collect again"
    )]
    BeforeFirstRelease {
        /// The data folder.
        folder: String,
    },
    /// Another process uses the private server.
    #[error(
        "the private PostgreSQL in {folder} is in use\n  help: end the other `mergeline` commands (`serve`, `collect`), and try again"
    )]
    InUse {
        /// The folder.
        folder: String,
    },
    /// The server did not come up in time.
    #[error(
        "the private PostgreSQL was not ready within {seconds} s\n  its log: {log}\n  help: end other `mergeline` commands, and try again"
    )]
    NotReady {
        /// How long it waited.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// The server was stopped by a signal, so it can neither respond nor exit.
    #[error(
        "the private PostgreSQL in {folder} was stopped by a signal and does not respond\n  help: \
         `kill -CONT {process}` resumes it; `kill -KILL {process}` ends it, and the next command starts it again"
    )]
    Stopped {
        /// The folder.
        folder: String,
        /// Its process id.
        process: String,
    },
    /// A file system error.
    #[error("{what}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}
