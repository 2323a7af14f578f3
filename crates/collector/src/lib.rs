#![doc = include_str!("../README.md")]

mod lambda;
mod metrics;
mod plan;
mod queue;
mod report;
mod run;
mod settings;
mod work;

pub use lambda::{Collector, FunctionError, Outcome};
pub use queue::{DeadLetter, Message, replay};
pub use report::{RepositoryReport, RunReport};
pub use run::{CollectError, CollectOptions, Progress, collect, collect_until};
pub use settings::{Settings, TeamsSource, configure};
pub use tokio_util::sync::CancellationToken;
pub use work::keep_page;
