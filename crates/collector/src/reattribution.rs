//! What a changed teams file has left to do, before anything new is read.

use std::time::Duration;

use mergeline_store::{PULL_REQUESTS_AT_ONCE, Store, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Attributes stored pull requests again as far as time allows: half of what there is, so that reading goes on as well. The next
/// run continues.
///
/// # Errors
/// Only what everything stands on: the database.
pub(crate) async fn reattribute(
    store: &Store,
    deadline: Option<Instant>,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let begun = Instant::now();
    let half = deadline.map(|deadline| deadline.saturating_duration_since(begun) / 2);
    let has_time = |spent: Duration| !stop.is_cancelled() && half.is_none_or(|half| spent < half);
    let mut pull_requests = 0;
    while has_time(begun.elapsed()) {
        let done = match store.reattribute(PULL_REQUESTS_AT_ONCE).await {
            Ok(done) => done,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                tracing::warn!(code = error.code(), "Stored pull requests are not all counted again yet: {error}");
                break;
            }
        };
        pull_requests += done.pull_requests;
        if done.is_finished() {
            break;
        }
    }
    if pull_requests > 0 {
        tracing::info!(pull_requests, "{pull_requests} stored pull requests count differently, as the teams file says");
    }
    Ok(())
}
