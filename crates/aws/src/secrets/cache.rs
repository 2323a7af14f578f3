//! When to fetch a secret. No clock, no network.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

/// A value this young is used without a request. This bounds the calls of a busy function, and how long a changed
/// secret goes unnoticed while the old value still works.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(5 * 60);
/// A stale value this young is used while Secrets Manager fails: long enough for its usual incidents, short enough that
/// a revoked secret does not stay in use.
pub(super) const STALE_FOR: Duration = Duration::from_secs(60 * 60);
/// For this long after a failure, no request waits for a service that is probably still down.
pub(super) const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// The cached state of one secret.
#[derive(Debug, Default)]
pub(super) struct CachedSecret {
    value: Option<Value>,
    /// The last time Secrets Manager failed, unless it has responded since.
    failed_at: Option<Instant>,
}

#[derive(Debug)]
struct Value {
    secret: SecretString,
    received_at: Instant,
}

/// A value that is used because there is no newer one.
#[derive(Debug)]
pub(super) struct StaleValue {
    pub(super) secret: SecretString,
    pub(super) age: Duration,
    /// Whether this is the first failure after a regular response, and needs a warning.
    pub(super) is_first: bool,
}

impl CachedSecret {
    /// The value to use without a request, if any.
    pub(super) fn usable(&self, now: Instant) -> Option<&SecretString> {
        let is_paused = self.failed_at.is_some_and(|at| now.duration_since(at) < PAUSE_AFTER_FAILURE);
        let usable_for = if is_paused { STALE_FOR } else { FRESH_FOR };
        self.younger_than(usable_for, now).map(|value| &value.secret)
    }

    /// Stores a value that Secrets Manager returned.
    pub(super) fn store(&mut self, secret: SecretString, now: Instant) {
        *self = Self { value: Some(Value { secret, received_at: now }), failed_at: None };
    }

    /// Records a failure of Secrets Manager. Returns the value to use instead, if it is young enough.
    pub(super) fn stale_value(&mut self, now: Instant) -> Option<StaleValue> {
        let is_first = self.failed_at.replace(now).is_none();
        let value = self.younger_than(STALE_FOR, now)?;
        Some(StaleValue { secret: value.secret.clone(), age: now.duration_since(value.received_at), is_first })
    }

    fn younger_than(&self, age: Duration, now: Instant) -> Option<&Value> {
        self.value.as_ref().filter(|value| now.duration_since(value.received_at) < age)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn stored(now: Instant) -> CachedSecret {
        let mut cached = CachedSecret::default();
        cached.store("value".into(), now);
        cached
    }

    #[test]
    fn a_new_cache_entry_has_no_value() {
        let mut cached = CachedSecret::default();
        assert!(cached.usable(Instant::now()).is_none());
        assert!(cached.stale_value(Instant::now()).is_none());
    }

    #[test]
    fn a_value_is_fresh_for_five_minutes() {
        let start = Instant::now();
        let cached = stored(start);
        let usable = cached.usable(start + FRESH_FOR - SECOND);
        assert_eq!(usable.map(ExposeSecret::expose_secret), Some("value"));
        assert!(cached.usable(start + FRESH_FOR).is_none());
    }

    #[test]
    fn a_stale_value_is_usable_for_an_hour() {
        let start = Instant::now();
        let mut cached = stored(start);
        let stale = cached.stale_value(start + STALE_FOR - SECOND);
        assert_eq!(stale.map(|stale| stale.age + SECOND), Some(STALE_FOR));
        assert!(cached.stale_value(start + STALE_FOR).is_none());
    }

    #[test]
    fn a_failure_starts_a_pause_and_reports_once() {
        let start = Instant::now();
        let failed = start + FRESH_FOR;
        let mut cached = stored(start);
        assert!(cached.stale_value(failed).is_some_and(|stale| stale.is_first));
        assert!(cached.usable(failed + PAUSE_AFTER_FAILURE - SECOND).is_some());
        assert!(cached.usable(failed + PAUSE_AFTER_FAILURE).is_none());
        assert!(cached.stale_value(failed + PAUSE_AFTER_FAILURE).is_some_and(|stale| !stale.is_first));
    }

    #[test]
    fn the_pause_does_not_outlast_the_hour() {
        let start = Instant::now();
        let mut cached = stored(start);
        cached.stale_value(start + STALE_FOR - SECOND);
        assert!(cached.usable(start + STALE_FOR).is_none());
    }

    #[test]
    fn a_successful_response_clears_the_failure() {
        let start = Instant::now();
        let mut cached = stored(start);
        cached.stale_value(start + FRESH_FOR);
        cached.store("newer".into(), start + FRESH_FOR + SECOND);
        assert!(cached.stale_value(start + FRESH_FOR + SECOND).is_some_and(|stale| stale.is_first));
    }
}
