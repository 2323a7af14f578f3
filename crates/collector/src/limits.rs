//! What GitHub refuses by its limits, carried between its client, which forgets it with the process, and the store.

use std::pin::pin;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{Either, select};
use mergeline_domain::error_chain;
use mergeline_github::{Block, BlockKind, GitHub, Remaining};
use mergeline_store::{RateLimitBlock, RateLimitRemaining, Store, StoreError};
use tokio::time::Instant;

/// Does some work that begins `now` with what an earlier run, or another process, was refused, and stores what is refused
/// meanwhile.
///
/// # Errors
/// When the database fails before the work begins.
pub async fn within_known_limits<T>(
    github: &GitHub,
    store: &Store,
    now: DateTime<Utc>,
    work: impl Future<Output = T>,
) -> Result<T, StoreError> {
    learn(github, store, now).await?;
    let begun = Instant::now();
    let clock = || now + TimeDelta::from_std(begun.elapsed()).unwrap_or_default();
    Ok(remembering(github, store, clock, work).await)
}

/// Lets the client know what an earlier run, or another process, was refused.
///
/// # Errors
/// When the database fails.
pub(crate) async fn learn(github: &GitHub, store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let stored = store.rate_limit_blocks(now).await?;
    // Of another kind: a newer program's, which shares the database.
    let known = stored.into_iter().filter_map(|RateLimitBlock { scope, kind, until }| {
        BlockKind::from_name(&kind).map(|kind| Block { scope, kind, until })
    });
    github.know_blocks(&known.collect::<Vec<_>>(), now);
    Ok(())
}

/// Lets the client know what GitHub told an earlier run of what is left.
///
/// # Errors
/// When the database fails.
pub(crate) async fn learn_remaining(github: &GitHub, store: &Store, now: DateTime<Utc>) -> Result<(), StoreError> {
    let stored = store.rate_limit_remaining(now).await?;
    let known = stored.into_iter().map(|RateLimitRemaining { scope, hourly_limit, remaining, resets_at }| Remaining {
        scope,
        limit: hourly_limit,
        remaining,
        resets_at,
    });
    github.know_remaining(&known.collect::<Vec<_>>(), now);
    Ok(())
}

/// Stores what GitHub has said is left, for the next run. That one can do without.
pub(crate) async fn remember_remaining(github: &GitHub, store: &Store, now: DateTime<Utc>) {
    let told = github.remaining(now).into_iter().map(|Remaining { scope, limit, remaining, resets_at }| {
        RateLimitRemaining { scope, hourly_limit: limit, remaining, resets_at }
    });
    let remaining: Vec<RateLimitRemaining> = told.collect();
    if remaining.is_empty() {
        return;
    }
    if let Err(error) = store.store_rate_limit_remaining(&remaining, now).await {
        tracing::warn!(code = error.code(), "The next run begins with one request: {}", error_chain(&error));
    }
}

/// Does some work, and stores at once what GitHub refuses pipeline: the process may end while it waits for a limit.
pub(crate) async fn remembering<T>(
    github: &GitHub,
    store: &Store,
    now: impl Fn() -> DateTime<Utc>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let done = loop {
        match select(work.as_mut(), pin!(github.blocked())).await {
            Either::Left((done, _)) => break done,
            Either::Right(((), _)) => remember(github, store, now()).await,
        }
    };
    remember(github, store, now()).await;
    done
}

async fn remember(github: &GitHub, store: &Store, now: DateTime<Utc>) {
    let blocks: Vec<RateLimitBlock> = github
        .take_new_blocks(now)
        .into_iter()
        .map(|Block { scope, kind, until }| RateLimitBlock { scope, kind: kind.as_str().to_owned(), until })
        .collect();
    if blocks.is_empty() {
        return;
    }
    // The work itself does not depend on it, and whatever it writes next tells of a database that is gone.
    if let Err(error) = store.store_rate_limit_blocks(&blocks, now).await {
        let code = error.code();
        tracing::warn!(code, "Other processes will not know of a limit of GitHub: {}", error_chain(&error));
    }
}
