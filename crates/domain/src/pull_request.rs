//! The pull request model.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{ExternalId, Login};

/// What kind of account wrote a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A person, or any account that is not a bot.
    Human,
    /// `user.type = "Bot"`.
    Bot,
    /// GitHub's placeholder for deleted accounts.
    Ghost,
}

/// The account that wrote a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Author {
    /// The account's id, which survives a login change.
    pub id: ExternalId,
    /// The login when it was read.
    pub login: Login,
    /// Human, bot or ghost.
    pub kind: AccountKind,
}

/// The state of a pull request.
///
/// Merged means that GitHub reports a merge time. `merge_commit_sha` does not count, because closed pull requests have
/// one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Open, including drafts and reopened pull requests.
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

/// A [`State`] without its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum PullRequestState {
    /// Open, including drafts and reopened pull requests.
    Open,
    /// Closed without a merge.
    Closed,
    /// Merged.
    Merged,
}

/// Which time of a pull request decides about membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AttributedBy {
    /// Its merge.
    MergedAt,
    /// Its close, where it was not merged.
    ClosedAt,
    /// Its creation, while it is open.
    CreatedAt,
}

/// Why a pull request does not count for a team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Exclusion {
    /// It is open, or was closed without a merge.
    NotMerged,
    /// Its author was not in the team at the instant that decides.
    NotAMember,
    /// GitHub no longer has it.
    Deleted,
}

/// A pull request, reduced to what the metrics need.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PullRequest {
    /// The pull request's id, unique at its forge.
    pub id: ExternalId,
    /// The GraphQL node ID.
    pub node_id: Option<String>,
    /// The number within its repository.
    pub number: i64,
    /// The title, without control characters, at most 1 kB.
    pub title: String,
    /// The author; `None` once the account is deleted.
    pub author: Option<Author>,
    /// Open, closed or merged, with the times.
    pub state: State,
    /// Whether it is marked as a draft.
    pub is_draft: bool,
    /// The base branch.
    pub base_ref: Option<String>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it was last changed. The newer row wins.
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

    /// When it was closed, with or without a merge.
    pub fn closed_at(&self) -> Option<DateTime<Utc>> {
        match self.state {
            State::Merged { closed_at, .. } => Some(closed_at),
            State::Closed { at } => Some(at),
            State::Open => None,
        }
    }

    /// The instant at which its author's memberships count: merge, otherwise close, otherwise creation.
    pub fn attribution_instant(&self) -> DateTime<Utc> {
        match self.state {
            State::Merged { at, .. } | State::Closed { at } => at,
            State::Open => self.created_at,
        }
    }
}
