#![doc = include_str!("../README.md")]

mod answer;
mod client;
mod connector;
mod credentials;
mod details;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod limits;
mod link;
mod listing;
mod lookups;
mod model;
mod retry;
mod settings;
mod text;
mod tokens;

pub use client::{GitHub, Session, Usage, WaitBudget};
pub use error::{GitHubError, Limit, Refusal};
pub use limits::{Block, BlockKind, Remaining};
pub use listing::{
    Etag, ListLength, ListPosition, Page, PageAnswer, PullRequestPages, RowByUpdate, UnreadableRow, larger_page,
};
pub use lookups::{ListedRepository, OwnedRepositories, RateLimit, TokenReport};
pub use model::{RepositoryIdentity, UndecodableItem};
pub use settings::GitHubSettings;
