//! Applies what a changed teams file left to do, before anything new is read.

use std::time::Duration;

use mergeline_store::{PULL_REQUESTS_AT_ONCE, StoreError, Writer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Reattributes stored pull requests for up to half of the remaining time, so that reading gets its share too. The next
/// run continues.
///
/// # Errors
/// Only fatal errors of the database.
pub(crate) async fn reattribute(
    store: &Writer,
    deadline: Option<Instant>,
    stop: &CancellationToken,
) -> Result<(), StoreError> {
    let started = Instant::now();
    let half = deadline.map(|deadline| deadline.saturating_duration_since(started) / 2);
    let has_time = |spent: Duration| !stop.is_cancelled() && half.is_none_or(|half| spent < half);
    let mut pull_requests = 0;
    while has_time(started.elapsed()) {
        let done = match store.reattribute(PULL_REQUESTS_AT_ONCE).await {
            Ok(done) => done,
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                tracing::warn!(code = error.code(), "Could not finish reattributing stored pull requests: {error}");
                break;
            }
        };
        pull_requests += done.pull_requests;
        if done.is_finished() {
            break;
        }
    }
    if pull_requests > 0 {
        tracing::info!(pull_requests, "Reattributed {pull_requests} stored pull requests after a teams file change");
    }
    Ok(())
}
