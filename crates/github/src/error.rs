//! What can go wrong between Mergeline and GitHub.

use chrono::{DateTime, Utc};

/// Why GitHub did not give what was asked. Never carries a token or a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// 401.
    #[error("GitHub refused the token (401): it is wrong, revoked or expired")]
    Unauthorized,
    /// 403 that is no rate limit.
    #[error("the token may not read this (403): give it read access to pull requests{hint}")]
    Forbidden {
        /// What else GitHub demands, single sign-on for example.
        hint: String,
    },
    /// 404: GitHub says the same of what is not there and of what the token may not see.
    #[error("not found (404): the repository does not exist, or the token may not see it")]
    NotFound,
    /// 410 or 451.
    #[error("GitHub no longer offers this ({status})")]
    Gone {
        /// The status.
        status: u16,
    },
    /// The hourly or a secondary limit.
    #[error("GitHub's rate limit is reached{}", retry_at.map(|at| format!(" until {at}")).unwrap_or_default())]
    RateLimited {
        /// When GitHub wants to be asked again, if it said so.
        retry_at: Option<DateTime<Utc>>,
    },
    /// 5xx, or another status that has no meaning here.
    #[error("GitHub answered with status {status}")]
    UnexpectedStatus {
        /// The status.
        status: u16,
    },
    /// An answer that is not what GitHub documents.
    #[error("GitHub's answer cannot be used: {reason}")]
    InvalidAnswer {
        /// Why.
        reason: String,
    },
    /// No answer, or half of one.
    #[error("GitHub cannot be reached: {reason}")]
    Transport {
        /// Why.
        reason: String,
    },
}

impl GitHubError {
    /// A stable code for logs, the ledger and alarms.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized => "github_unauthorized",
            Self::Forbidden { .. } => "github_forbidden",
            Self::NotFound => "repo_not_accessible",
            Self::Gone { .. } => "repo_unavailable",
            Self::RateLimited { .. } => "github_rate_limited",
            Self::UnexpectedStatus { .. } => "github_status",
            Self::InvalidAnswer { .. } => "github_invalid_answer",
            Self::Transport { .. } => "github_unreachable",
        }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidAnswer { reason: reason.into() }
    }
}
