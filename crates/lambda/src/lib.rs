#![doc = include_str!("../README.md")]

mod collector;
mod doctor;
mod gateway;
mod login;
mod messages;
mod metrics;
mod notices;
mod queue;
mod renewal;
mod task;
mod traces;

pub use collector::{Collector, FunctionError, Outcome};
pub use doctor::{Check, Examination, Lookup, State, examine_api, message_and_help};
pub use gateway::{ApiEvent, DirectlyAsked, without_base_path};
pub use login::with_way_in;
pub use notices::ChangesQueue;
pub use queue::replay;
pub use renewal::renewal;
pub use task::{CollectTask, DeadLetter, Failure, Task};
pub use traces::{TracesAfterAnswers, export_traces};
