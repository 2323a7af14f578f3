//! How many requests work with the database at a time, so that slow ones do not stop the others.

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

/// The part of a request's time that it waits for its turn. The rest is for its answer.
const PATIENCE: f64 = 0.2;

/// The turns that there are. A request takes one of its key, one of all those that sum up pull requests if it does, and one of
/// the database's connections, in this order: what waits for one of the former keeps none of the latter.
#[derive(Debug)]
pub(crate) struct Admission {
    patience: Duration,
    /// One for each connection of the pool.
    connections: Semaphore,
    /// One fewer, so that a team is found while all of these are at work.
    statistics: Semaphore,
    keys: HashMap<KeyName, TurnsOfKey>,
    /// One, as each look at the health makes a connection.
    health: Semaphore,
    /// Whether the last request found no database. What waits then waits for no other request.
    is_database_lost: AtomicBool,
}

/// The turns of one key. Together they leave a connection to the other keys.
#[derive(Debug)]
struct TurnsOfKey {
    /// Half of those that all keys have.
    statistics: Semaphore,
    /// For teams and the state of the collection: half of the connections.
    lookups: Semaphore,
}

impl Admission {
    pub(crate) fn of(api: &Api) -> Self {
        let connections = api.store.connections().max(1);
        let statistics = (connections - 1).max(1);
        let of_key = || TurnsOfKey {
            statistics: Semaphore::new((statistics / 2).max(1)),
            lookups: Semaphore::new((connections / 2).max(1)),
        };
        let names = api.keys.iter().flat_map(|keys| keys.names().cloned());
        Self {
            patience: api.timeout.mul_f64(PATIENCE),
            connections: Semaphore::new(connections),
            statistics: Semaphore::new(statistics),
            keys: names.map(|name| (name, of_key())).collect(),
            health: Semaphore::new(1),
            is_database_lost: AtomicBool::new(false),
        }
    }

    /// A turn on one of these, unless it takes too long.
    async fn turn<'a>(&self, turns: &'a Semaphore) -> Result<SemaphorePermit<'a>, ApiError> {
        match tokio::time::timeout(self.patience, turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ if self.is_database_lost.load(Ordering::Relaxed) => Err(ApiError::Unavailable),
            _ => {
                tracing::warn!("Too many requests wait for the database: one is sent away");
                Err(ApiError::Overloaded)
            }
        }
    }

    /// A turn of the request's key, if it has one.
    async fn turn_of_key(
        &self,
        extensions: &Extensions,
        kind: impl FnOnce(&TurnsOfKey) -> &Semaphore,
    ) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
        let turns = extensions.get::<Access>().and_then(Access::key_name).and_then(|name| self.keys.get(name));
        match turns {
            Some(turns) => self.turn(kind(turns)).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Lets a request work with the database once a connection is free.
pub(crate) async fn admit(
    State(admission): State<Arc<Admission>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let _turn = admission.turn(&admission.connections).await?;
    let response = next.run(request).await;
    let is_lost = response.extensions().get::<DatabaseLost>().is_some();
    admission.is_database_lost.store(is_lost, Ordering::Relaxed);
    Ok(response)
}

/// Lets a request sum up pull requests once its key and all keys together do not have too many that do.
pub(crate) async fn admit_statistics(
    State(admission): State<Arc<Admission>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let _turn_of_key = admission.turn_of_key(request.extensions(), |turns| &turns.statistics).await?;
    let _turn = admission.turn(&admission.statistics).await?;
    Ok(next.run(request).await)
}

/// Lets a request look something up once its key does not have too many that do.
pub(crate) async fn admit_lookups(
    State(admission): State<Arc<Admission>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let _turn_of_key = admission.turn_of_key(request.extensions(), |turns| &turns.lookups).await?;
    Ok(next.run(request).await)
}

/// Lets a request look at the health once no other one does. It waits for nothing else.
pub(crate) async fn admit_health(State(admission): State<Arc<Admission>>, request: Request, next: Next) -> Response {
    // They are never closed.
    let _turn = admission.health.acquire().await;
    next.run(request).await
}
