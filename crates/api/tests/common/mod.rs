//! A database with a team whose numbers are known, behind the real router.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use chrono::TimeDelta;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use mergeline_api::{Api, ApiKeys, NewKey, Scope, router};
use mergeline_domain::Details;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakePullRequest, at, pr};
use mergeline_store::{ApplyOptions, Lease, Reader, RepositoryResult, RunId, WithoutDetails, Writer};
use mergeline_test_support::{TestDatabase, finish_reading, keep};
use serde_json::Value;

pub(crate) const NOW: &str = "2026-06-17T12:00:00Z";
pub(crate) const KEY: &str = "a-key-of-sixteen-or-more";

/// Payments has ana, and half of bob; platform has the other half; `nobody` is empty.
pub(crate) const TEAMS: &str = "
version: 1
timezone: Europe/Oslo
repositories: [acme/api]
teams:
  - { slug: payments, name: Payments, members: [{ github: ana }, { github: bob, weight: 0.5 }] }
  - { slug: platform, name: Platform, members: [{ github: bob, weight: 0.5 }] }
  - { slug: nobody, members: [] }
";

/// Hides statistics of one person; goes before [`TEAMS`].
pub(crate) const PRIVACY: &str = "privacy: { min_group_size: 2 }";

pub(crate) struct Backend {
    pub(crate) database: TestDatabase,
    pub(crate) store: Writer,
    /// What the API has.
    pub(crate) reader: Reader,
}

impl Backend {
    pub(crate) async fn empty() -> Result<Self> {
        Self::with_teams(TEAMS).await
    }

    pub(crate) async fn with_teams(teams: &str) -> Result<Self> {
        let database = TestDatabase::create().await?;
        let (store, reader) = (database.store()?, database.reader()?);
        let backend = Self { database, store, reader };
        backend.apply(teams).await?;
        Ok(backend)
    }

    /// Applies a teams file.
    pub(crate) async fn apply(&self, teams: &str) -> Result<()> {
        let file = TeamsFile::parse("teams.yaml", teams.as_bytes())?;
        self.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
        Ok(())
    }

    pub(crate) async fn with(pull_requests: &[FakePullRequest]) -> Result<Self> {
        let backend = Self::empty().await?;
        backend.keep(pull_requests).await?;
        Ok(backend)
    }

    /// Stores pull requests as a collection does, and marks the collection as complete.
    pub(crate) async fn keep(&self, pull_requests: &[FakePullRequest]) -> Result<()> {
        self.keep_since("2026-05-01T00:00:00Z", pull_requests).await
    }

    /// The same, where everything since an instant was read.
    pub(crate) async fn keep_since(&self, covered_since: &str, pull_requests: &[FakePullRequest]) -> Result<()> {
        keep(&self.store, pull_requests).await?;
        let started_at = at("2026-06-17T08:00:00Z");
        finish_reading(&self.store, Some(started_at), started_at, at(covered_since)).await?;
        Ok(())
    }

    /// The lease of the first repository.
    pub(crate) async fn lease(&self) -> Result<Lease> {
        let snapshot = self.store.snapshot().await?.context("configured")?;
        let (lease, _) =
            self.store.lease(snapshot.repositories[0].id, at(NOW), Duration::ZERO).await?.context("free")?;
        Ok(lease)
    }

    /// Stores GraphQL details of stored pull requests.
    pub(crate) async fn add_details(&self, details: &[(&FakePullRequest, Details)]) -> Result<()> {
        let details: Vec<(WithoutDetails, Details)> = details
            .iter()
            .map(|(pull_request, details)| {
                let facts = pull_request.facts();
                let wanted = WithoutDetails {
                    node_id: facts.node_id.unwrap_or_default(),
                    number: facts.number,
                    updated_at: facts.updated_at,
                };
                (wanted, details.clone())
            })
            .collect();
        let (revision, _) = self.store.roster().await?.context("configured")?;
        Ok(self.store.store_details(&self.lease().await?, revision, &details, at(NOW)).await?)
    }

    /// Records a collector run of one minute with its result for the first repository.
    pub(crate) async fn run(&self, started_at: &str, result: &RepositoryResult) -> Result<RunId> {
        let snapshot = self.store.snapshot().await?.context("configured")?;
        let (started_at, repository) = (at(started_at), snapshot.repositories[0].id);
        let run = self.store.start_run(snapshot.revision, 1, &[], started_at).await?;
        self.store.record_result(run, repository, started_at, result).await?;
        self.store.settle_run(run, started_at + TimeDelta::minutes(1)).await?;
        Ok(run)
    }

    /// The router's state: no keys, a long time limit, and [`NOW`].
    pub(crate) fn api(&self) -> Api {
        Api::new(self.reader.clone(), Duration::from_secs(20), || at(NOW))
    }

    pub(crate) fn router(&self, key: Option<&str>) -> Router {
        router(Api { keys: key.map(ApiKeys::single), ..self.api() })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<(u16, Value)> {
        let response = send(&self.router(None), Request::get(path).body(Body::empty())?).await?;
        let status = response.status().as_u16();
        Ok((status, body(response).await?))
    }

    /// Sends a request without a key.
    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answered> {
        ask(&self.router(None), "GET", path, headers).await
    }
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answered {
    /// The text of a header; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body, with a fixed trace ID.
    pub(crate) fn json(&self) -> Result<Value> {
        let mut json = serde_json::from_str(&self.text).with_context(|| format!("no JSON: {self:?}"))?;
        equal_trace_id(&mut json);
        Ok(json)
    }

    /// The code of an error; empty if it is not an error.
    pub(crate) fn code(&self) -> String {
        let json: Value = serde_json::from_str(&self.text).unwrap_or_default();
        json["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The rejected parameters, each with the reason.
    pub(crate) fn refused(&self) -> Vec<(String, String)> {
        let json: Value = serde_json::from_str(&self.text).unwrap_or_default();
        let details = json["error"]["details"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        details.iter().map(|detail| (text(&detail["parameter"]), text(&detail["reason"]))).collect()
    }
}

pub(crate) async fn ask(router: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Answered> {
    let request = headers
        .iter()
        .fold(Request::builder().method(method).uri(path), |request, (name, value)| request.header(*name, *value));
    let response = send(router, request.body(Body::empty())?).await?;
    let (status, mut headers) = (response.status().as_u16(), response.headers().clone());
    // It differs each time, like the trace ID in a body.
    let request_id = headers.get_mut("x-request-id").context("a response without a request id")?;
    *request_id = HeaderValue::from_static("x");
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(Answered { status, headers, text: String::from_utf8(bytes.into())? })
}

/// A list with keys of these scopes, limited to these teams, and the texts of the keys.
pub(crate) fn keys(wanted: &[(Scope, &[&str])]) -> Result<(ApiKeys, Vec<String>)> {
    let (mut entries, mut texts) = (Vec::new(), Vec::new());
    for (number, (scope, teams)) in (1..).zip(wanted) {
        let teams: Result<Vec<_>, _> = teams.iter().map(|team| team.parse()).collect();
        let made = NewKey::from_random([number; 32], format!("key-{number}").parse()?, [*scope], teams?);
        entries.push(made.entry);
        texts.push(made.key);
    }
    Ok((ApiKeys::parse(&serde_json::to_string(&entries)?)?, texts))
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Result<Response<Body>> {
    use tower::ServiceExt;
    Ok(router.clone().oneshot(request).await?)
}

/// The JSON of a response, with a fixed trace ID, because it differs each time.
pub(crate) async fn body(response: Response<Body>) -> Result<Value> {
    let bytes = response.into_body().collect().await?.to_bytes();
    let mut json: Value = serde_json::from_slice(&bytes)?;
    equal_trace_id(&mut json);
    Ok(json)
}

fn equal_trace_id(json: &mut Value) {
    for pointer in ["/trace_id", "/error/trace_id"] {
        if let Some(id) = json.pointer_mut(pointer) {
            assert!(id.as_str().is_some_and(|id| !id.is_empty()), "every response has a trace ID");
            *id = Value::String("TRACE".to_owned());
        }
    }
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

/// GraphQL details of [`history`]. 1 took 2 h of coding, 0.5 h until its review and 1.5 h after it. 2 took 4 h, 3 h
/// since it was no longer a draft, and 6 h. 4 was not reviewed. 3 has no details.
pub(crate) fn details(history: &[FakePullRequest]) -> Vec<(&FakePullRequest, Details)> {
    let reviewed = |first_commit: &str, ready: Option<&str>, first_review: &str| Details {
        first_commit_at: Some(at(first_commit)),
        ready_at: ready.map(at),
        first_review_at: Some(at(first_review)),
        ..Details::default()
    };
    vec![
        (&history[0], reviewed("2026-06-03T06:00:00Z", None, "2026-06-03T08:30:00Z")),
        (&history[1], reviewed("2026-06-08T20:00:00Z", Some("2026-06-09T01:00:00Z"), "2026-06-09T04:00:00Z")),
        (&history[3], Details::default()),
    ]
}
