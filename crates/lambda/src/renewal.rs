//! How often the function `api` checks whether its secrets have changed.

use std::time::Duration;

use futures::future::BoxFuture;
use mergeline_store::Renewal;

/// As long as the collector caches a secret.
const SECRETS_FRESH_FOR: Duration = Duration::from_secs(5 * 60);
/// Without this, every request would check the secret while the database is down.
const PAUSE_BETWEEN_CHECKS: Duration = Duration::from_secs(10);

/// Checks the secrets as often as the function does. `check` returns whether they have changed.
pub fn renewal(check: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Renewal {
    Renewal::new(SECRETS_FRESH_FOR, PAUSE_BETWEEN_CHECKS, check)
}
