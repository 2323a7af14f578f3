#![doc = include_str!("../README.md")]

mod collector;
mod gateway;
mod metrics;
mod queue;
mod renewal;

pub use collector::{Collector, FunctionError, Outcome};
pub use gateway::without_base_path;
pub use queue::{DeadLetter, Message, replay};
pub use renewal::renewal;
