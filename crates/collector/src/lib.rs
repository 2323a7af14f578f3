#![doc = include_str!("../README.md")]

mod limits;
mod plan;
mod reattribution;
mod report;
mod retention;
mod run;
mod settings;
mod token;
mod work;

pub use limits::within_known_limits;
pub use plan::{LastRun, Plan, Planning, plan};
pub use report::{RepositoryReport, RunReport};
pub use retention::trim_ledger;
pub use run::{CollectError, CollectOptions, Observer, Progress, RosterSnapshot, RunContext, collect, collect_until};
pub use settings::{Settings, TeamsSource, configure, not_found};
pub use token::token_refusal;
pub use tokio_util::sync::CancellationToken;
pub use work::{Attempt, keep_page};
