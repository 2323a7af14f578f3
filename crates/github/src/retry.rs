//! How long to wait before a request is sent again. Waiting itself is done in one place, [`crate::Session`].

use std::time::Duration;

use crate::{GitHubError, Limit};

/// How often a request that got no usable answer is sent in all.
const MAX_TRIES: u32 = 3;
/// How often a request against a secondary limit is sent in all; GitHub may ban who goes on for ever.
const MAX_SECONDARY_TRIES: u32 = 5;
/// What GitHub asks for when it names no time. Source: GitHub, "Best practices for using the REST API".
pub(crate) const SECONDARY_PAUSE: Duration = Duration::from_secs(60);
/// A reset that lies in the past is a matter of seconds.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The hourly limit starts anew after an hour; what is later is a broken clock.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(3_660);

/// The part of a pause by which those who wait for the same limit come back later than it ends, at most.
const JITTER: f64 = 0.1;
/// The longest such delay: enough to spread twenty requests.
const LONGEST_JITTER: Duration = Duration::from_secs(5);

/// How much later than after a `pause` one of several that wait for the same limit comes back. `chance` is a number in `[0, 1)`.
pub(crate) fn jitter(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(JITTER * chance).min(LONGEST_JITTER.mul_f64(chance))
}

/// The pause before a request that failed so often (0 for the first failure) is sent again; `None` when it is not.
/// `first_pause` is the unit of the pauses after unusable answers, `chance` a number in `[0, 1)`.
pub(crate) fn pause_before_retry(
    error: &GitHubError,
    failures_before: u32,
    first_pause: Duration,
    chance: f64,
) -> Option<Duration> {
    let doubled = |pause: Duration| pause.saturating_mul(2_u32.saturating_pow(failures_before));
    match error {
        // The limit that starts anew is waited for once; if it is still reached then, somebody else uses it up.
        GitHubError::RateLimited { limit: Limit::Primary, retry_in } => {
            (failures_before == 0).then(|| retry_in.unwrap_or(LONGEST_PAUSE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
        }
        GitHubError::RateLimited { limit: Limit::Secondary, retry_in } => (failures_before + 1 < MAX_SECONDARY_TRIES)
            .then(|| match retry_in {
                Some(told) => *told,
                None => doubled(SECONDARY_PAUSE).mul_f64(1.0 + chance / 4.0),
            }),
        GitHubError::UnexpectedStatus { status: 500.. }
        | GitHubError::InvalidAnswer { .. }
        | GitHubError::Truncated { .. }
        | GitHubError::Transport { .. } => {
            (failures_before + 1 < MAX_TRIES).then(|| doubled(first_pause).mul_f64(1.0 + chance))
        }
        // What is too much stays too much, and a permission does not come by waiting.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(error: &GitHubError, failures_before: u32) -> Option<u64> {
        pause_before_retry(error, failures_before, Duration::from_secs(1), 0.0).map(|pause| pause.as_secs())
    }

    fn primary(seconds: u64) -> GitHubError {
        GitHubError::RateLimited { limit: Limit::Primary, retry_in: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn f12_a_secondary_limit_is_waited_for_exactly_as_long_as_it_says() {
        let told = GitHubError::RateLimited { limit: Limit::Secondary, retry_in: Some(Duration::from_secs(17)) };
        assert_eq!([0, 1, 2, 3, 4].map(|n| seconds(&told, n)), [Some(17), Some(17), Some(17), Some(17), None]);
    }

    #[test]
    fn f13_a_secondary_limit_without_headers_is_waited_for_a_minute_and_then_exponentially() {
        let silent = GitHubError::RateLimited { limit: Limit::Secondary, retry_in: None };
        assert_eq!([0, 1, 2, 3, 4].map(|n| seconds(&silent, n)), [Some(60), Some(120), Some(240), Some(480), None]);
        let jittered = pause_before_retry(&silent, 0, Duration::from_secs(1), 0.99);
        assert!(jittered > Some(Duration::from_secs(60)) && jittered < Some(Duration::from_secs(76)), "{jittered:?}");
    }

    #[test]
    fn f14_a_reset_in_the_past_or_far_away_never_becomes_an_endless_wait() {
        assert_eq!(seconds(&primary(0), 0), Some(1));
        assert_eq!(seconds(&primary(u64::MAX), 0), Some(3_660));
        assert_eq!(seconds(&primary(0), 1), None, "one wait at most");
    }

    #[test]
    fn those_who_wait_for_the_same_limit_come_back_one_after_the_other_within_seconds() {
        let after = |pause: u64, chance: f64| jitter(Duration::from_secs(pause), chance);
        assert_eq!([after(10, 0.0), after(10, 0.5)], [Duration::ZERO, Duration::from_millis(500)]);
        assert_eq!(after(3_600, 0.8), Duration::from_secs(4));
    }

    #[test]
    fn f15_unusable_answers_are_asked_for_three_times_with_growing_pauses() {
        for error in [
            GitHubError::UnexpectedStatus { status: 502 },
            GitHubError::invalid("html"),
            GitHubError::Transport { reason: String::new(), proxy: None },
        ] {
            assert_eq!([0, 1, 2].map(|n| seconds(&error, n)), [Some(1), Some(2), None], "{error}");
        }
    }

    #[test]
    fn what_waiting_does_not_mend_is_not_sent_again() {
        for error in [
            GitHubError::Unauthorized,
            GitHubError::Forbidden { cause: crate::Refusal::Permission, message: String::new() },
            GitHubError::NotFound,
            GitHubError::Gone { status: 451, message: String::new() },
            GitHubError::UnexpectedStatus { status: 422 },
            GitHubError::OutOfTime,
        ] {
            assert_eq!(seconds(&error, 0), None, "{error}");
        }
    }
}
