//! The rate limits: one window for REST, one for GraphQL points.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::time::Instant;

/// The hourly limit of a personal token.
const HOURLY: u32 = 5_000;

/// The usage of one kind of request in its window.
#[derive(Debug)]
pub(crate) struct Bucket {
    resource: &'static str,
    pub(crate) limit: u32,
    used: u32,
    /// When the window ends: on tokio's clock, so that a test may pause it.
    resets: Option<Instant>,
}

impl Bucket {
    fn new(resource: &'static str) -> Self {
        Self { resource, limit: HOURLY, used: 0, resets: None }
    }

    fn restart(&mut self, limit: u32, used: u32) {
        *self = Self { limit, used, ..Self::new(self.resource) };
    }

    /// Starts a new window if there is none or the last one has ended.
    pub(crate) fn start_if_due(&mut self, window: Duration) {
        let now = Instant::now();
        if self.resets.is_some_and(|resets| resets <= now) {
            (self.used, self.resets) = (0, None);
        }
        self.resets = self.resets.or(Some(now + window));
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.used >= self.limit
    }

    pub(crate) fn spend(&mut self, points: u32) {
        self.used = self.used.saturating_add(points);
    }

    pub(crate) fn remaining(&self) -> u32 {
        self.limit.saturating_sub(self.used)
    }

    pub(crate) fn used(&self) -> u32 {
        self.used
    }

    /// The Unix time of the window's end, rounded up to a full second.
    pub(crate) fn reset(&self) -> i64 {
        let left = self.resets.map_or(Duration::ZERO, |resets| resets - Instant::now());
        let at = SystemTime::now() + left;
        let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64().ceil();
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds of this century")]
        let seconds = seconds as i64;
        seconds
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "limit": self.limit, "used": self.used, "remaining": self.remaining(), "reset": self.reset() })
    }
}

/// Both windows and their settings.
#[derive(Debug)]
pub(crate) struct Limits {
    pub(crate) core: Bucket,
    pub(crate) graphql: Bucket,
    /// How long a window is.
    pub(crate) window: Duration,
    /// Whether there are no limits, as on an Enterprise server.
    pub(crate) are_hidden: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            core: Bucket::new("core"),
            graphql: Bucket::new("graphql"),
            window: Duration::from_secs(3_600),
            are_hidden: false,
        }
    }
}

impl Limits {
    pub(crate) fn set_core(&mut self, limit: u32, used: u32) {
        self.core.restart(limit, used);
    }

    pub(crate) fn set_graphql(&mut self, limit: u32, used: u32) {
        self.graphql.restart(limit, used);
    }

    pub(crate) fn set_window(&mut self, window: Duration) {
        self.window = window;
        (self.core.resets, self.graphql.resets) = (None, None);
    }

    pub(crate) fn start_due_windows(&mut self) {
        self.core.start_if_due(self.window);
        self.graphql.start_if_due(self.window);
    }

    /// Adds the rate limit headers to a response, except headers that it already has.
    pub(crate) fn write(&self, is_graphql: bool, headers: &mut HeaderMap) {
        if self.are_hidden {
            return;
        }
        let bucket = if is_graphql { &self.graphql } else { &self.core };
        for (name, value) in [
            ("x-ratelimit-limit", bucket.limit.to_string()),
            ("x-ratelimit-remaining", bucket.remaining().to_string()),
            ("x-ratelimit-used", bucket.used.to_string()),
            ("x-ratelimit-reset", bucket.reset().to_string()),
            ("x-ratelimit-resource", bucket.resource.to_owned()),
        ] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.entry(name).or_insert(value);
            }
        }
    }
}
