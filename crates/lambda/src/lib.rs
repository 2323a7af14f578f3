#![doc = include_str!("../README.md")]

mod collector;
mod metrics;
mod queue;

pub use collector::{Collector, FunctionError, Outcome};
pub use queue::{DeadLetter, Message, replay};
