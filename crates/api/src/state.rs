//! What the handlers work with.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mergeline_store::Store;

use crate::auth::hosts::AllowedHosts;
use crate::auth::keys::ApiKeys;

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Api {
    /// The database.
    pub store: Store,
    /// The keys of which requests must carry one, if any are set.
    pub keys: Option<ApiKeys>,
    /// The names by which requests without keys must call the server, where a browser can reach it and nothing in front of the
    /// program checks who asks.
    pub hosts: Option<AllowedHosts>,
    /// How long a request may take.
    pub timeout: Duration,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
}

impl Api {
    /// An API without keys that answers under every name.
    pub fn new(store: Store, timeout: Duration, clock: fn() -> DateTime<Utc>) -> Self {
        Self { store, keys: None, hosts: None, timeout, clock }
    }

    /// What time it is.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }
}
