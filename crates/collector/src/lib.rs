#![doc = include_str!("../README.md")]

mod context;
mod limits;
mod notices;
mod plan;
mod reattribution;
mod report;
mod retention;
mod run;
mod settings;
mod sources;
mod token;
mod work;

pub use context::{CollectError, CollectOptions, Observer, Progress, RosterSnapshot, RunContext};
pub use limits::within_known_limits;
pub use notices::FollowUp;
pub use plan::{Plan, plan};
pub use report::{CredentialsRefusal, LastRun, Planning, RepositoryReport, RunReport};
pub use retention::trim_ledger;
pub use run::{collect, collect_until};
pub use settings::{Settings, TeamsSource, configure, not_found};
pub use sources::{AnyChanges, AnySession, AnySource, Sources};
pub use token::credentials_refusal;
pub use tokio_util::sync::CancellationToken;
pub use work::{Attempt, keep_page};
