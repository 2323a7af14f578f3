#![doc = include_str!("../README.md")]

mod access;
mod answer;
mod error;
mod metrics;
mod parameters;
mod router;
mod settings;
mod teams;

pub use access::ApiKey;
pub use router::{Api, router};
pub use settings::Settings;
