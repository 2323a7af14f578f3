#![doc = include_str!("../README.md")]

mod collect;
mod lambda;
mod report;
mod settings;

pub use collect::{CollectError, CollectOptions, Progress, collect, keep_page};
pub use lambda::{Collector, FunctionError, Outcome};
pub use report::{RepositoryReport, RunReport};
pub use settings::{Settings, TeamsSource, configure};
