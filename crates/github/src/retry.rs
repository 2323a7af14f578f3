//! The pause before a retry. The wait itself is in one place, [`crate::GitHubSession`].

use std::time::Duration;

use crate::{GitHubError, Limit};

/// The maximum tries of a request without a usable response.
const MAX_TRIES: u32 = 3;
/// The maximum tries of a request against a secondary limit. GitHub may ban clients that never stop.
const MAX_SECONDARY_TRIES: u32 = 5;
/// The pause that GitHub asks for when it gives no time. Source: GitHub, "Best practices for using the REST API".
pub(crate) const SECONDARY_PAUSE: Duration = Duration::from_secs(60);
/// The pause for a reset in the past.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// The hourly limit resets within an hour; a later time is a broken clock.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(3_660);

/// The maximum jitter for requests that wait for the same limit, as a share of the pause.
const JITTER: f64 = 0.1;
/// The maximum jitter: enough to spread twenty requests.
const LONGEST_JITTER: Duration = Duration::from_secs(5);

/// The jitter after a `pause` for one of several requests that wait for the same limit. `chance` is a number in `[0,
/// 1)`.
pub(crate) fn jitter(pause: Duration, chance: f64) -> Duration {
    pause.mul_f64(JITTER * chance).min(LONGEST_JITTER.mul_f64(chance))
}

/// The pause before a retry, after `failures_before` earlier failures (0 for the first one); `None` for no retry.
/// `first_pause` is the unit of the pauses after unusable responses, `chance` a number in `[0, 1)`.
pub(crate) fn pause_before_retry(
    error: &GitHubError,
    failures_before: u32,
    first_pause: Duration,
    chance: f64,
) -> Option<Duration> {
    let doubled = |pause: Duration| pause.saturating_mul(2_u32.saturating_pow(failures_before));
    match error {
        // A limit that resets is waited for once. If it is still reached then, something else uses it up.
        GitHubError::RateLimited { limit: Limit::Primary, retry_in } => {
            (failures_before == 0).then(|| retry_in.unwrap_or(LONGEST_PAUSE).clamp(SHORTEST_PAUSE, LONGEST_PAUSE))
        }
        GitHubError::RateLimited { limit: Limit::Secondary, retry_in } => (failures_before + 1 < MAX_SECONDARY_TRIES)
            .then(|| match retry_in {
                Some(reported) => *reported,
                None => doubled(SECONDARY_PAUSE).mul_f64(1.0 + chance / 4.0),
            }),
        GitHubError::UnexpectedStatus { status: 500.. }
        | GitHubError::InvalidAnswer { .. }
        | GitHubError::Truncated { .. }
        | GitHubError::Transport { .. } => {
            (failures_before + 1 < MAX_TRIES).then(|| doubled(first_pause).mul_f64(1.0 + chance))
        }
        // A request that is too large stays too large, and waiting does not grant a permission.
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
    fn f12_a_secondary_limit_waits_exactly_retry_after() {
        let reported = GitHubError::RateLimited { limit: Limit::Secondary, retry_in: Some(Duration::from_secs(17)) };
        assert_eq!([0, 1, 2, 3, 4].map(|n| seconds(&reported, n)), [Some(17), Some(17), Some(17), Some(17), None]);
    }

    #[test]
    fn f13_headerless_limits_wait_a_minute_then_exponentially() {
        let silent = GitHubError::RateLimited { limit: Limit::Secondary, retry_in: None };
        assert_eq!([0, 1, 2, 3, 4].map(|n| seconds(&silent, n)), [Some(60), Some(120), Some(240), Some(480), None]);
        let jittered = pause_before_retry(&silent, 0, Duration::from_secs(1), 0.99);
        assert!(jittered > Some(Duration::from_secs(60)) && jittered < Some(Duration::from_secs(76)), "{jittered:?}");
    }

    #[test]
    fn f14_odd_resets_never_wait_forever() {
        assert_eq!(seconds(&primary(0), 0), Some(1));
        assert_eq!(seconds(&primary(u64::MAX), 0), Some(3_660));
        assert_eq!(seconds(&primary(0), 1), None, "one wait at most");
    }

    #[test]
    fn waiters_for_one_limit_return_spread_out() {
        let after = |pause: u64, chance: f64| jitter(Duration::from_secs(pause), chance);
        assert_eq!([after(10, 0.0), after(10, 0.5)], [Duration::ZERO, Duration::from_millis(500)]);
        assert_eq!(after(3_600, 0.8), Duration::from_secs(4));
    }

    #[test]
    fn f15_unusable_answers_are_tried_three_times() {
        for error in [
            GitHubError::UnexpectedStatus { status: 502 },
            GitHubError::invalid("html"),
            GitHubError::Transport { reason: String::new(), proxy: None },
        ] {
            assert_eq!([0, 1, 2].map(|n| seconds(&error, n)), [Some(1), Some(2), None], "{error}");
        }
    }

    #[test]
    fn permanent_errors_are_not_retried() {
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
