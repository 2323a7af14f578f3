//! Limits how many requests use the database at a time, so that slow ones do not block the others.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Extensions;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::errors::{ApiError, DatabaseLost};
use crate::auth::access::Access;
use crate::auth::keys::KeyName;
use crate::state::Api;

/// The fraction of a request's time that it may wait for its permit. The rest is for its response.
const MAX_WAIT_FRACTION: f64 = 0.2;

/// The available permits. A request takes one from its key, one from all aggregating requests if it aggregates pull
/// requests, and one database connection, in this order. A request that waits for an earlier permit does not hold a
/// later one.
#[derive(Debug)]
pub(crate) struct Admission {
    max_wait: Duration,
    /// One for each connection of the pool.
    connections: Semaphore,
    /// One fewer, so that a team can be looked up while all of these are in use.
    statistics: Semaphore,
    keys: HashMap<KeyName, KeyPermits>,
    /// One, because each health check opens a connection.
    health: Semaphore,
    /// Whether the last request could not reach the database. If so, waiting requests do not wait for others.
    is_database_lost: AtomicBool,
}

/// The permits of one key. Together they leave a connection to other keys.
#[derive(Debug)]
struct KeyPermits {
    /// Half of the permits that all keys share.
    statistics: Semaphore,
    /// For teams and the collection status: half of the connections.
    lookups: Semaphore,
}

impl Admission {
    pub(crate) fn of(api: &Api) -> Self {
        let connections = api.store.connections().max(1);
        let statistics = (connections - 1).max(1);
        let of_key = || KeyPermits {
            statistics: Semaphore::new((statistics / 2).max(1)),
            lookups: Semaphore::new((connections / 2).max(1)),
        };
        let names = api.keys.iter().flat_map(|keys| keys.names().cloned());
        Self {
            max_wait: api.timeout.mul_f64(MAX_WAIT_FRACTION),
            connections: Semaphore::new(connections),
            statistics: Semaphore::new(statistics),
            keys: names.map(|name| (name, of_key())).collect(),
            health: Semaphore::new(1),
            is_database_lost: AtomicBool::new(false),
        }
    }

    /// Takes one of these permits, unless that takes too long.
    async fn acquire<'a>(&self, semaphore: &'a Semaphore) -> Result<SemaphorePermit<'a>, ApiError> {
        match tokio::time::timeout(self.max_wait, semaphore.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ if self.is_database_lost.load(Ordering::Relaxed) => Err(ApiError::Unavailable),
            _ => {
                tracing::warn!("Too many requests wait for the database: rejecting one");
                Err(ApiError::Overloaded)
            }
        }
    }

    /// Takes a permit of the request's key, if it has one.
    async fn acquire_for_key(
        &self,
        extensions: &Extensions,
        kind: impl FnOnce(&KeyPermits) -> &Semaphore,
    ) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
        let permits = extensions.get::<Access>().and_then(Access::key_name).and_then(|name| self.keys.get(name));
        match permits {
            Some(permits) => self.acquire(kind(permits)).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Admits a request to the database once a connection is free.
pub(crate) async fn admit(
    State(admission): State<Arc<Admission>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let _permit = admission.acquire(&admission.connections).await?;
    let response = next.run(request).await;
    let is_lost = response.extensions().get::<DatabaseLost>().is_some();
    admission.is_database_lost.store(is_lost, Ordering::Relaxed);
    Ok(response)
}

/// Admits an aggregating request once its key and all keys together are below their limits.
pub(crate) async fn admit_statistics(
    State(admission): State<Arc<Admission>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let _key_permit = admission.acquire_for_key(request.extensions(), |permits| &permits.statistics).await?;
    let _permit = admission.acquire(&admission.statistics).await?;
    Ok(next.run(request).await)
}

/// Admits a lookup once its key is below its limit.
pub(crate) async fn admit_lookups(
    State(admission): State<Arc<Admission>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let _key_permit = admission.acquire_for_key(request.extensions(), |permits| &permits.lookups).await?;
    Ok(next.run(request).await)
}

/// Admits a health check once no other one is running. It waits for nothing else.
pub(crate) async fn admit_health(State(admission): State<Arc<Admission>>, request: Request, next: Next) -> Response {
    // The semaphores are never closed.
    let _permit = admission.health.acquire().await;
    next.run(request).await
}
