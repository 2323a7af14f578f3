#![doc = include_str!("../README.md")]

mod configuration;
mod connection;
mod error;
mod ledger;
mod metrics;
mod pages;

pub use configuration::{Applied, ApplyError, ApplyOptions, Repository, RepositoryId, Revision, Snapshot};
pub use connection::{DatabaseSettings, Store};
pub use error::StoreError;
pub use ledger::{RepositoryError, RepositoryResult, RunId, RunState};
pub use metrics::{Bucket, Coverage, CycleTimes, Durations, Interval, Team, TeamRef};
pub use pages::{CompleteReading, KeptPullRequest};
