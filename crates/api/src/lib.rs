#![doc = include_str!("../README.md")]

mod access;
mod admission;
mod answer;
mod collection;
mod csv;
mod cursor;
mod definitions;
mod docs;
mod error;
pub mod fuzzing;
mod health;
mod hosts;
mod keys;
mod metrics;
mod model;
mod negotiation;
mod openapi;
mod parameters;
mod pull_requests;
mod question;
mod router;
mod settings;
mod teams;

pub use access::{Scope, ScopeError};
pub use docs::ClientPath;
pub use hosts::AllowedHosts;
pub use keys::{ApiKey, ApiKeys, KeyName, KeyNameError, NewKey};
pub use openapi::openapi;
pub use router::{Api, Renewal, router};
pub use settings::Settings;
