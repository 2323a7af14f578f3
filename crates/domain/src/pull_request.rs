//! A pull request as Mergeline sees it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{GithubId, Login};

/// What kind of account wrote a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A person, or any account that is not a bot.
    Human,
    /// `user.type = "Bot"`.
    Bot,
    /// The account that stands in for deleted ones.
    Ghost,
}

/// The account that wrote a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Author {
    /// The account's number, which survives a change of login.
    pub id: GithubId,
    /// The login at the time of reading.
    pub login: Login,
    /// Person or bot.
    pub kind: AccountKind,
}

/// Where a pull request stands.
///
/// Merged means that GitHub names a merge time, and nothing else: closed pull requests carry a
/// `merge_commit_sha` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Open, a draft or a reopened one included.
    Open,
    /// Closed without a merge.
    Closed {
        /// When.
        at: DateTime<Utc>,
    },
    /// Merged.
    Merged {
        /// When it was merged.
        at: DateTime<Utc>,
        /// When it was closed; usually the same second or the next.
        closed_at: DateTime<Utc>,
    },
}

/// A pull request, reduced to what the metrics need.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PullRequest {
    /// The number of the pull request over all of GitHub.
    pub id: GithubId,
    /// GraphQL's name of the pull request.
    pub node_id: Option<String>,
    /// The number within its repository.
    pub number: i64,
    /// The title, without control characters, 1 kB at most.
    pub title: String,
    /// Who wrote it; `None` once the account is deleted.
    pub author: Option<Author>,
    /// Open, closed or merged, with the times.
    pub state: State,
    /// Whether it is marked as a draft.
    pub is_draft: bool,
    /// The branch that it goes to.
    pub base_ref: Option<String>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When anything about it last changed. The newer row wins.
    pub updated_at: DateTime<Utc>,
}

impl PullRequest {
    /// When it was merged, if it was.
    pub fn merged_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Merged { at, .. } => Some(at),
            State::Open | State::Closed { .. } => None,
        }
    }

    /// When it was closed, by a merge or without.
    pub fn closed_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Merged { closed_at, .. } => Some(closed_at),
            State::Closed { at } => Some(at),
            State::Open => None,
        }
    }

    /// The instant at which its author's memberships count: merge, else close, else creation.
    pub fn attribution_instant(&self) -> DateTime<Utc> {
        match self.state {
            State::Merged { at, .. } | State::Closed { at } => at,
            State::Open => self.created_at,
        }
    }
}
