#![doc = include_str!("../README.md")]

mod binaries;
mod server;

pub use binaries::Binaries;
pub use server::{Server, data_folder};

/// Why a private PostgreSQL could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine has no PostgreSQL, or none that is new enough.
    #[error(
        "no PostgreSQL {min} or later found\n  looked in: {looked}\n  help: {help}, or name a folder with `initdb` and \
         `postgres` in PG_BINDIR, or a running server in DB_URL",
        min = binaries::MIN_VERSION,
        looked = looked_in.join(", "),
        help = binaries::how_to_install()
    )]
    NotFound {
        /// Every place that was tried, with what was there.
        looked_in: Vec<String>,
    },
    /// A command of PostgreSQL failed.
    #[error("{command} failed: {output}")]
    Command {
        /// Which one.
        command: &'static str,
        /// What it printed.
        output: String,
    },
    /// The data folder belongs to another major version.
    #[error(
        "the data in {folder} was made by PostgreSQL {found}, and {installed} is installed here\n  help: name the \
         binaries of PostgreSQL {found} in PG_BINDIR, or remove the folder to start anew (what was collected is collected again)"
    )]
    OtherVersion {
        /// The data folder.
        folder: String,
        /// The version in the folder.
        found: String,
        /// The version of the binaries.
        installed: u32,
    },
    /// The server did not come up in time.
    #[error("the private PostgreSQL did not get ready within {seconds} s\n  its log: {log}")]
    NotReady {
        /// How long was waited.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// The file system refused.
    #[error("{what}")]
    Io {
        /// What was attempted.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}
