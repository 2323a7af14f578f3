//! What is left of GitHub's limits, as the headers of its answers say.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::{GitHubError, Limit};

/// GitHub counts the two kinds of requests apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Resource {
    /// Requests of the REST API.
    Rest,
    /// Points of GraphQL.
    GraphQl,
}

/// What an answer's headers said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    pub(crate) reset_in: Duration,
}

impl Told {
    /// What is left, in percent; `None` of a limit that is none.
    pub(crate) fn percent(self) -> Option<u32> {
        u32::try_from(u64::from(self.remaining) * 100 / u64::from(NonZero::new(self.limit)?.get())).ok()
    }
}

#[derive(Debug, Default)]
struct State {
    told: Option<(Told, Instant)>,
    blocked_until: Option<Instant>,
}

/// The limits of all tokens in use; a token is known by a digest.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The part of the hourly limit that is left for others, between 0 and 1.
    reserve: f64,
    states: Mutex<HashMap<(u64, Resource), State>>,
}

impl Limits {
    pub(crate) fn new(reserve: f64) -> Self {
        Self { reserve, states: Mutex::default() }
    }

    fn with<T>(&self, token: u64, resource: Resource, look: impl FnOnce(&mut State) -> T) -> T {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        look(states.entry((token, resource)).or_default())
    }

    /// Whether a request may be sent now: nothing is asked of GitHub while a limit is reached, or would eat into what
    /// is left for others.
    pub(crate) fn check(&self, token: u64, resource: Resource, now: Instant) -> Result<(), GitHubError> {
        self.with(token, resource, |state| {
            if let Some(until) = state.blocked_until.filter(|until| *until > now) {
                let retry_in = Some(until - now);
                return Err(GitHubError::RateLimited { limit: Limit::Secondary, retry_in });
            }
            let Some((told, at)) = state.told else { return Ok(()) };
            let reset_at = at + told.reset_in;
            let is_used_up = f64::from(told.remaining) <= f64::from(told.limit) * self.reserve;
            if is_used_up && reset_at > now {
                return Err(GitHubError::RateLimited { limit: Limit::Primary, retry_in: Some(reset_at - now) });
            }
            Ok(())
        })
    }

    /// Remembers what an answer's headers said.
    pub(crate) fn note(&self, token: u64, resource: Resource, told: Told, now: Instant) {
        self.with(token, resource, |state| state.told = Some((told, now)));
    }

    /// Remembers a secondary limit, which concerns everything that is asked with the token.
    pub(crate) fn block(&self, token: u64, pause: Duration, now: Instant) {
        for resource in [Resource::Rest, Resource::GraphQl] {
            self.with(token, resource, |state| state.blocked_until = Some(now + pause));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn check_with(limit: u32, remaining: u32, later: Duration) -> Result<(), GitHubError> {
        let limits = Limits::new(0.1);
        let now = Instant::now();
        limits.note(1, Resource::Rest, Told { limit, remaining, reset_in: HOUR }, now);
        limits.check(1, Resource::Rest, now + later)
    }

    #[test]
    fn a_tenth_of_the_limit_is_left_for_others_until_it_starts_anew() {
        assert_eq!(check_with(5_000, 501, Duration::ZERO), Ok(()));
        let reached = GitHubError::RateLimited { limit: Limit::Primary, retry_in: Some(HOUR) };
        assert_eq!(check_with(5_000, 500, Duration::ZERO), Err(reached));
        assert_eq!(check_with(5_000, 0, HOUR), Ok(()));
    }

    #[test]
    fn what_is_left_is_told_in_percent_of_the_limit_whatever_that_is() {
        let percent = |limit, remaining| Told { limit, remaining, reset_in: HOUR }.percent();
        assert_eq!([percent(60, 6), percent(15_000, 1_799), percent(5_000, 5_000)], [Some(10), Some(11), Some(100)]);
        assert_eq!(percent(0, 0), None);
    }

    #[test]
    fn tokens_and_kinds_of_requests_are_counted_apart() {
        let limits = Limits::new(0.1);
        let now = Instant::now();
        limits.note(1, Resource::Rest, Told { limit: 60, remaining: 0, reset_in: HOUR }, now);
        assert_eq!(limits.check(2, Resource::Rest, now), Ok(()));
        assert_eq!(limits.check(1, Resource::GraphQl, now), Ok(()));
        limits.block(2, HOUR, now);
        assert!(limits.check(2, Resource::GraphQl, now).is_err());
    }
}
