//! Rate limits, waiting, and what was used.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

/// How long a caller is ready to wait.
#[derive(Debug, Clone, Copy)]
pub struct WaitBudget {
    /// When all work must end; `None` for no deadline.
    pub deadline: Option<Instant>,
    /// The longest single wait for a limit.
    pub longest_wait: Duration,
}

impl WaitBudget {
    /// No deadline, and waits of at most a minute: what a person at a terminal accepts.
    pub const AT_A_TERMINAL: Self = Self { deadline: None, longest_wait: Duration::from_secs(60) };

    /// Whether a wait that starts now fits.
    pub fn allows(&self, pause: Duration, now: Instant) -> bool {
        pause <= self.longest_wait && self.deadline.is_none_or(|deadline| now + pause < deadline)
    }
}

/// What a unit of work has used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests sent, including redirects and retries, but not those to GraphQL.
    pub requests: u32,
    /// Requests sent to GraphQL.
    pub graphql_requests: u32,
    /// GraphQL points spent.
    pub graphql_points: u32,
    /// Requests without a usable response.
    pub errors: u32,
    /// How many requests remain of the hourly limit, by the last response.
    pub rate_limit_remaining: Option<u32>,
    /// The same as a percentage of the limit.
    pub rate_limit_percent: Option<u32>,
    /// When the token expires, if the source says so.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// How far our clock is ahead of the source's, in seconds.
    pub clock_skew_seconds: Option<i64>,
}

impl Usage {
    /// Adds later usage. Owners may have separate limits: the lowest remaining value counts.
    pub fn add(&mut self, later: &Self) {
        let least = |one: Option<u32>, other: Option<u32>| one.into_iter().chain(other).min();
        self.requests += later.requests;
        self.graphql_requests += later.graphql_requests;
        self.graphql_points += later.graphql_points;
        self.errors += later.errors;
        self.rate_limit_remaining = least(self.rate_limit_remaining, later.rate_limit_remaining);
        self.rate_limit_percent = least(self.rate_limit_percent, later.rate_limit_percent);
        self.token_expires_at = later.token_expires_at.or(self.token_expires_at);
        self.clock_skew_seconds = later.clock_skew_seconds.or(self.clock_skew_seconds);
    }
}

/// A period in which a source refuses requests. Shared, so that others with the same credentials do not have to find
/// out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// A digest of the credentials and the source's address: not the token itself.
    pub scope: String,
    /// Which requests are refused, as the source names them.
    pub kind: String,
    /// The end of the period.
    pub until: DateTime<Utc>,
}

/// What remained of an hourly limit. Shared with others that use the same credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remaining {
    /// A digest of the credentials and the source's address: not the token itself.
    pub scope: String,
    /// Requests per hour.
    pub limit: u32,
    /// Requests that remained.
    pub remaining: u32,
    /// When the limit resets.
    pub resets_at: DateTime<Utc>,
}
