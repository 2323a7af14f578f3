#![doc = include_str!("../README.md")]

mod announced;
mod answer;
mod client;
mod credentials;
mod deployments;
mod details;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod graphql;
mod issues;
mod limits;
mod link;
mod listing;
mod lookups;
mod model;
mod releases;
mod retry;
mod runs;
mod settings;
mod source;
mod teams;
mod text;
mod tokens;

pub use client::{GitHub, GitHubSession};
pub use deployments::{CommitPages, DeploymentPages};
pub use error::{GitHubError, Limit, Refusal};
pub use listing::PullRequestPages;
pub use lookups::{RateLimit, TokenReport};
pub use settings::{GitHubSettings, TokenPage};
pub use teams::Owner;
