//! A database with a team whose numbers are known, behind the real router.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use mergeline_api::{Api, ApiKeys, router};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_store::{ApplyOptions, Store};
use mergeline_test_support::{FakePullRequest, TestDatabase, at, finish_reading, keep, pr};
use serde_json::Value;

pub(crate) const NOW: &str = "2026-06-17T12:00:00Z";
pub(crate) const KEY: &str = "a-key-of-sixteen-or-more";

/// Payments has ana, and bob by half; platform has bob by half; nobody has nothing.
const TEAMS: &str = "
version: 1
timezone: Europe/Oslo
repositories: [acme/api]
teams:
  - { slug: payments, name: Payments, members: [{ github: ana }, { github: bob, weight: 0.5 }] }
  - { slug: platform, name: Platform, members: [{ github: bob, weight: 0.5 }] }
  - { slug: nobody, members: [] }
";

pub(crate) struct Backend {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
}

impl Backend {
    pub(crate) async fn empty() -> Result<Self> {
        Self::with_teams(TEAMS).await
    }

    pub(crate) async fn with_teams(teams: &str) -> Result<Self> {
        let database = TestDatabase::create().await?;
        let store = database.store()?;
        let file = TeamsFile::parse("teams.yaml", teams.as_bytes())?;
        store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
        Ok(Self { database, store })
    }

    pub(crate) async fn with(pull_requests: &[FakePullRequest]) -> Result<Self> {
        let backend = Self::empty().await?;
        backend.keep(pull_requests).await?;
        Ok(backend)
    }

    /// Stores pull requests as a collection does, and says that the collection was complete.
    pub(crate) async fn keep(&self, pull_requests: &[FakePullRequest]) -> Result<()> {
        keep(&self.store, pull_requests).await?;
        let started_at = at("2026-06-17T08:00:00Z");
        finish_reading(&self.store, Some(started_at), started_at, at("2026-05-01T00:00:00Z")).await?;
        Ok(())
    }

    pub(crate) fn router(&self, key: Option<&str>) -> Router {
        let keys = key.map(ApiKeys::single);
        router(Api {
            store: self.store.clone(),
            keys,
            timeout: Duration::from_secs(20),
            clock: || at(NOW),
            renewal: None,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Value)> {
        let response = send(&self.router(None), Request::get(path).body(Body::empty())?).await?;
        let status = response.status().as_u16();
        Ok((status, body(response).await?))
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Result<Response<Body>> {
    use tower::ServiceExt;
    Ok(router.clone().oneshot(request).await?)
}

/// The JSON of an answer, with the trace id made equal, as it differs each time.
pub(crate) async fn body(response: Response<Body>) -> Result<Value> {
    let bytes = response.into_body().collect().await?.to_bytes();
    let mut json: Value = serde_json::from_slice(&bytes)?;
    for pointer in ["/trace_id", "/error/trace_id"] {
        if let Some(id) = json.pointer_mut(pointer) {
            assert!(id.as_str().is_some_and(|id| !id.is_empty()), "every answer has a trace id");
            *id = Value::String("TRACE".to_owned());
        }
    }
    Ok(json)
}

/// ana: 2 h in W23, 10 h and 20 h in W24; bob: 8 h in W24; one merged before it was created.
pub(crate) fn history() -> Vec<FakePullRequest> {
    let on = |number, created: &str, merged: &str| pr("acme/api", number).created(created).merged(merged);
    vec![
        on(1, "2026-06-03T08:00:00Z", "2026-06-03T10:00:00Z"),
        on(2, "2026-06-09T00:00:00Z", "2026-06-09T10:00:00Z"),
        on(3, "2026-06-10T00:00:00Z", "2026-06-10T20:00:00Z"),
        on(4, "2026-06-11T00:00:00Z", "2026-06-11T08:00:00Z").by("bob"),
        on(5, "2026-06-12T00:00:00Z", "2026-06-11T00:00:00Z"),
        pr("acme/api", 6).created("2026-06-12T00:00:00Z"),
        pr("acme/api", 7).created("2026-06-12T00:00:00Z").closed("2026-06-13T00:00:00Z"),
    ]
}
