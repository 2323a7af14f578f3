//! How often the function `api` looks whether its secrets are others.

use std::time::Duration;

use futures::future::BoxFuture;
use mergeline_store::Renewal;

/// As long as the collector goes by what it knows.
const SECRETS_ARE_KNOWN_FOR: Duration = Duration::from_secs(5 * 60);
/// While the database is down, each request would look whether its secret is another one.
const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_secs(10);

/// Looks at the secrets as often as the function does. `look` says whether they are others than before.
pub fn renewal(look: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static) -> Renewal {
    Renewal::new(SECRETS_ARE_KNOWN_FOR, PAUSE_BETWEEN_LOOKS, look)
}
