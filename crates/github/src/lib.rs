#![doc = include_str!("../README.md")]

mod client;
mod error;
mod link;
mod model;
mod settings;

pub use client::{GitHub, Page, PullRequestPages};
pub use error::GitHubError;
pub use model::UndecodableItem;
pub use settings::GitHubSettings;
