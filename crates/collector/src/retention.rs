//! How long the ledger remembers.

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::error_chain;
use mergeline_store::Store;

/// How many batches are deleted after one run. A backlog of years takes some runs to go.
const BATCHES: usize = 20;

/// Deletes what the ledger has of runs that began longer than `keep` ago, a few batches of it at most. Called after a run is over
/// and reported. That it fails is no reason for the run to fail: the next one tries again.
pub async fn trim_ledger(store: &Store, keep: TimeDelta, now: DateTime<Utc>) {
    for _ in 0..BATCHES {
        match store.trim_ledger(now - keep).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let cause = error_chain(&error);
                tracing::warn!(code = error.code(), "Old runs stay in the ledger until after the next run: {cause}");
                return;
            }
        }
    }
}
