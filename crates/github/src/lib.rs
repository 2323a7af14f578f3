#![doc = include_str!("../README.md")]

mod answer;
mod client;
mod credentials;
mod details;
mod error;
mod limits;
mod link;
mod listing;
mod lookups;
mod model;
mod retry;
mod settings;

pub use client::{GitHub, Patience, Session, Usage};
pub use error::{GitHubError, Limit};
pub use listing::{Etag, Page, PageAnswer, PullRequestPages};
pub use lookups::{ListedRepository, RateLimit, TokenReport};
pub use model::{RepositoryIdentity, UndecodableItem};
pub use settings::GitHubSettings;

/// What fuzzing feeds with arbitrary bytes.
#[doc(hidden)]
pub mod fuzzing {
    /// Decodes bytes as a page of pull requests. Returns how many items could and could not be understood.
    pub fn page(body: &[u8]) -> Option<(usize, usize)> {
        let page = crate::model::decode_page(body).ok()?;
        Some((page.pull_requests.len(), page.undecodable.len()))
    }

    /// Decodes bytes as an answer of GraphQL about so many pull requests. Returns how many were told.
    pub fn details(body: &[u8], asked: usize) -> Option<usize> {
        let ids: Vec<String> = (0..asked).map(|index| format!("PR_{index}")).collect();
        crate::details::told_about(body, &ids).ok()
    }
}
