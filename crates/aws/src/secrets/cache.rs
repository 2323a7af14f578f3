//! When a secret has to be asked for. No clock, no network.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;

/// A value this young is used without asking: it bounds the calls of a busy function, and how long a changed secret
/// stays unseen by those who are not refused.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(5 * 60);
/// A value this young serves while Secrets Manager fails: long enough for its usual incidents, short enough that a
/// revoked secret does not live on.
pub(super) const BRIDGED_FOR: Duration = Duration::from_secs(60 * 60);
/// After a failure nobody waits again for a service that is likely still down.
pub(super) const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(30);

/// What is known of one secret.
#[derive(Debug, Default)]
pub(super) struct CachedSecret {
    value: Option<Value>,
    /// The last time that Secrets Manager failed, unless it has answered since.
    failed_at: Option<Instant>,
}

#[derive(Debug)]
struct Value {
    secret: SecretString,
    received_at: Instant,
}

/// A value used because there is no newer one.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) secret: SecretString,
    pub(super) age: Duration,
    /// Whether the one before was a regular answer: time to say so.
    pub(super) is_first: bool,
}

impl CachedSecret {
    /// The value to use without asking, if any.
    pub(super) fn usable(&self, now: Instant) -> Option<&SecretString> {
        let is_paused = self.failed_at.is_some_and(|at| now.duration_since(at) < PAUSE_AFTER_FAILURE);
        let usable_for = if is_paused { BRIDGED_FOR } else { FRESH_FOR };
        self.younger_than(usable_for, now).map(|value| &value.secret)
    }

    /// Secrets Manager has answered.
    pub(super) fn store(&mut self, secret: SecretString, now: Instant) {
        *self = Self { value: Some(Value { secret, received_at: now }), failed_at: None };
    }

    /// Secrets Manager has failed: the value that serves instead, if any is young enough.
    pub(super) fn bridge(&mut self, now: Instant) -> Option<Bridge> {
        let is_first = self.failed_at.replace(now).is_none();
        let value = self.younger_than(BRIDGED_FOR, now)?;
        Some(Bridge { secret: value.secret.clone(), age: now.duration_since(value.received_at), is_first })
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
    fn nothing_is_known_at_first() {
        let mut cached = CachedSecret::default();
        assert!(cached.usable(Instant::now()).is_none());
        assert!(cached.bridge(Instant::now()).is_none());
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
    fn a_value_bridges_failures_for_an_hour() {
        let start = Instant::now();
        let mut cached = stored(start);
        let bridge = cached.bridge(start + BRIDGED_FOR - SECOND);
        assert_eq!(bridge.map(|bridge| bridge.age + SECOND), Some(BRIDGED_FOR));
        assert!(cached.bridge(start + BRIDGED_FOR).is_none());
    }

    #[test]
    fn after_a_failure_there_is_a_pause_and_no_second_report() {
        let start = Instant::now();
        let failed = start + FRESH_FOR;
        let mut cached = stored(start);
        assert!(cached.bridge(failed).is_some_and(|bridge| bridge.is_first));
        assert!(cached.usable(failed + PAUSE_AFTER_FAILURE - SECOND).is_some());
        assert!(cached.usable(failed + PAUSE_AFTER_FAILURE).is_none());
        assert!(cached.bridge(failed + PAUSE_AFTER_FAILURE).is_some_and(|bridge| !bridge.is_first));
    }

    #[test]
    fn the_pause_does_not_outlast_the_hour() {
        let start = Instant::now();
        let mut cached = stored(start);
        cached.bridge(start + BRIDGED_FOR - SECOND);
        assert!(cached.usable(start + BRIDGED_FOR).is_none());
    }

    #[test]
    fn an_answer_ends_the_failure() {
        let start = Instant::now();
        let mut cached = stored(start);
        cached.bridge(start + FRESH_FOR);
        cached.store("newer".into(), start + FRESH_FOR + SECOND);
        assert!(cached.bridge(start + FRESH_FOR + SECOND).is_some_and(|bridge| bridge.is_first));
    }
}
