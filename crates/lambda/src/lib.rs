#![doc = include_str!("../README.md")]

mod collector;
mod gateway;
mod metrics;
mod queue;

pub use collector::{Collector, FunctionError, Outcome};
pub use gateway::without_base_path;
pub use queue::{DeadLetter, Message, replay};
