//! What can go wrong between Mergeline and GitHub.

use std::time::Duration;

/// Which of GitHub's limits is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// The hourly one, or what of it is kept for others.
    Primary,
    /// One against bursts and expensive requests.
    Secondary,
}

/// Why GitHub did not give what was asked. Never carries a token or a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitHubError {
    /// 401.
    #[error("GitHub refused the token (401): it is wrong, revoked or expired")]
    Unauthorized,
    /// 403 that is no rate limit.
    #[error("the token may not read this (403): give it read access to pull requests")]
    Forbidden,
    /// GraphQL tells of a pull request, and not all that belongs to it.
    #[error("the token may not read all of a pull request: give it read access to contents, for the commits")]
    Withheld,
    /// 403 until the token is authorised for the organisation.
    #[error("the organisation demands single sign-on (403): authorise the token for it in the token's settings")]
    SingleSignOn,
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
    #[error("GitHub's {} is reached{}", match limit {
        Limit::Primary => "rate limit",
        Limit::Secondary => "secondary rate limit",
    }, retry_in.map(|pause| format!("; it can be asked again in {} s", pause.as_secs())).unwrap_or_default())]
    RateLimited {
        /// Which one.
        limit: Limit,
        /// How long GitHub wants to be left alone, if it said so.
        retry_in: Option<Duration>,
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
    /// An answer leads to another host. The token goes nowhere else.
    #[error("GitHub's answer leads to another host, {host}: not followed")]
    Elsewhere {
        /// Which.
        host: String,
    },
    /// GraphQL answered with errors: what it gave beside them is not whole.
    #[error("GitHub's answer is not whole: {reason}")]
    PartialAnswer {
        /// What GitHub said.
        reason: String,
    },
    /// An answer that is too large, for Mergeline or for GitHub: ask for less at once.
    #[error("too much was asked for at once: {reason}")]
    TooMuch {
        /// Who said so.
        reason: String,
    },
    /// An answer that ended before its end.
    #[error("GitHub's answer ended early: {reason}")]
    Truncated {
        /// How that was noticed.
        reason: String,
    },
    /// A page that cannot be read, and not in smaller parts either.
    #[error(
        "page {page} of the list ({page_size} pull requests on a page) cannot be read, and its rows {first} to {last} not one by \
         one either: {cause}"
    )]
    PageUnreadable {
        /// Its number.
        page: u32,
        /// How many pull requests are on it.
        page_size: u8,
        /// The first of the rows that were asked for alone.
        first: u32,
        /// The last of them.
        last: u32,
        /// What came instead of the last one.
        cause: Box<GitHubError>,
    },
    /// No answer.
    #[error("GitHub cannot be reached: {reason}")]
    Transport {
        /// Why.
        reason: String,
    },
    /// The time for the work is up.
    #[error("the time is up")]
    OutOfTime,
}

impl GitHubError {
    /// A stable code for logs, the ledger and alarms.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized => "github_unauthorized",
            Self::Forbidden => "github_forbidden",
            Self::Withheld => "github_withheld",
            Self::SingleSignOn => "github_sso_required",
            Self::NotFound => "repo_not_accessible",
            Self::Gone { .. } => "repo_unavailable",
            Self::RateLimited { .. } => "github_rate_limited",
            Self::UnexpectedStatus { .. } => "github_status",
            Self::InvalidAnswer { .. } => "github_invalid_answer",
            Self::Elsewhere { .. } => "github_elsewhere",
            Self::PartialAnswer { .. } => "github_partial_answer",
            Self::TooMuch { .. } => "github_too_much",
            Self::Truncated { .. } => "github_truncated",
            Self::PageUnreadable { cause, .. } => cause.code(),
            Self::Transport { .. } => "github_unreachable",
            Self::OutOfTime => "out_of_time",
        }
    }

    /// Whether asking again later, with nothing changed on this side, may bring an answer.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::RateLimited { .. }
            | Self::UnexpectedStatus { .. }
            | Self::InvalidAnswer { .. }
            | Self::PartialAnswer { .. }
            | Self::TooMuch { .. }
            | Self::Truncated { .. }
            | Self::PageUnreadable { .. }
            | Self::Transport { .. }
            | Self::OutOfTime => true,
            Self::Unauthorized
            | Self::Forbidden
            | Self::Withheld
            | Self::SingleSignOn
            | Self::NotFound
            | Self::Gone { .. }
            | Self::Elsewhere { .. } => false,
        }
    }

    /// Whether asking for less at once may bring an answer: GitHub gives up after ten seconds of work.
    pub fn is_too_much(&self) -> bool {
        matches!(self, Self::TooMuch { .. } | Self::UnexpectedStatus { status: 502..=504 })
    }

    /// Whether a smaller page of a list may be answered: GitHub, or a proxy before it, fails at so much, or at one of the
    /// pull requests on it.
    pub fn wants_smaller_page(&self) -> bool {
        matches!(self, Self::TooMuch { .. } | Self::Truncated { .. } | Self::UnexpectedStatus { status: 500..=599 })
    }

    /// Why an answer is not JSON: half of one is another matter than something else.
    pub(crate) fn of_json(error: &serde_json::Error) -> Self {
        if error.is_eof() { Self::Truncated { reason: error.to_string() } } else { Self::invalid(error.to_string()) }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidAnswer { reason: crate::text::clean(&reason.into()) }
    }
}
