//! How long the ledger keeps runs.

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::error_chain;
use mergeline_store::Writer;

/// Batches deleted after each run. A backlog of years takes several runs.
const BATCHES: usize = 20;

/// Deletes ledger rows of runs that started more than `keep` ago, a few batches at most. Call it after a run is over
/// and reported. A failure here does not fail the run: the next one tries again.
pub async fn trim_ledger(store: &Writer, keep: TimeDelta, now: DateTime<Utc>) {
    for _ in 0..BATCHES {
        match store.trim_ledger(now - keep).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let cause = error_chain(&error);
                tracing::warn!(code = error.code(), "Could not trim the ledger; the next run tries again: {cause}");
                return;
            }
        }
    }
}
