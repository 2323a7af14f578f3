//! Carries the rate limits of an instance between its client, which forgets them when the process ends, and the store.

use std::pin::pin;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::{Either, select};
use mergeline_domain::{InstanceId, error_chain};
use mergeline_source::Source;
use mergeline_store::{StoreError, Writer};
use tokio::time::Instant;

/// Runs `work`, which starts `now`, with the rate limits that earlier runs or other processes met. Stores those met
/// during the work.
///
/// # Errors
/// When the database fails before the work starts.
pub async fn within_known_limits<T>(
    source: &impl Source,
    instance: InstanceId,
    store: &Writer,
    now: DateTime<Utc>,
    work: impl Future<Output = T>,
) -> Result<T, StoreError> {
    learn(source, instance, store, now).await?;
    let started = Instant::now();
    let clock = || now + TimeDelta::from_std(started.elapsed()).unwrap_or_default();
    Ok(remembering(source, instance, store, clock, work).await)
}

/// Loads the rate limits that earlier runs or other processes met into the client.
///
/// # Errors
/// When the database fails.
pub(crate) async fn learn(
    source: &impl Source,
    instance: InstanceId,
    store: &Writer,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    source.know_blocks(&store.rate_limit_blocks(instance, now).await?, now);
    Ok(())
}

/// Loads the remaining requests that an instance reported to an earlier run into the client.
///
/// # Errors
/// When the database fails.
pub(crate) async fn learn_remaining(
    source: &impl Source,
    instance: InstanceId,
    store: &Writer,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    source.know_remaining(&store.rate_limit_remaining(instance, now).await?, now);
    Ok(())
}

/// Stores the remaining requests that an instance reported, for the next run. A failure is only logged: the next run can do
/// without.
pub(crate) async fn remember_remaining(source: &impl Source, instance: InstanceId, store: &Writer, now: DateTime<Utc>) {
    let remaining = source.remaining(now);
    if remaining.is_empty() {
        return;
    }
    if let Err(error) = store.store_rate_limit_remaining(instance, &remaining, now).await {
        tracing::warn!(
            code = error.code(),
            "Could not store the remaining requests; the next run starts with a single one: {}",
            error_chain(&error)
        );
    }
}

/// Runs `work` and stores each rate limit as soon as it is met: the process may end while it waits for one.
pub(crate) async fn remembering<T>(
    source: &impl Source,
    instance: InstanceId,
    store: &Writer,
    now: impl Fn() -> DateTime<Utc>,
    work: impl Future<Output = T>,
) -> T {
    let mut work = pin!(work);
    let done = loop {
        match select(work.as_mut(), pin!(source.blocked())).await {
            Either::Left((done, _)) => break done,
            Either::Right(((), _)) => remember(source, instance, store, now()).await,
        }
    };
    remember(source, instance, store, now()).await;
    done
}

async fn remember(source: &impl Source, instance: InstanceId, store: &Writer, now: DateTime<Utc>) {
    let blocks = source.take_new_blocks(now);
    if blocks.is_empty() {
        return;
    }
    // The work does not depend on this. If the database is gone, its next write fails anyway.
    if let Err(error) = store.store_rate_limit_blocks(instance, &blocks, now).await {
        let code = error.code();
        tracing::warn!(code, "Could not store a rate limit for other processes: {}", error_chain(&error));
    }
}
