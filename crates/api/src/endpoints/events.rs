//! `POST /v1/deployments` and `/batch`, `/v1/incidents`, `/v1/incidents/{incident_id}/resolve`, `/reopen` and `/dismiss`: what programs
//! report. `PUT /v1/incidents/{incident_id}/deployment`: what a person knows better. `GET /v1/events`: what came.

use std::time::Instant;

use axum::body::{Body as RequestBody, Bytes};
use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::{HeaderValue, Method, StatusCode, header};
use mergeline_domain::delivery::{
    DeploymentEvent, DeploymentId, IncidentChange, IncidentEvent, LinkRule, checked_instant,
};
use mergeline_domain::metrics::InvalidParameter;
use mergeline_domain::one_line;
use mergeline_reporting::{PagePosition, cut_to_page};
use mergeline_store::{EventDigest, EventOutcome, EventSubject, Poster, Sender, StoredDeployment, StoredIncident};
use schemars::{JsonSchema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::resources::instant;
use crate::auth::scope::Scope;
use crate::http::cursors;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped, schema_of};
use crate::http::parameters::{
    CURSOR, LIMIT, NoParameters, OUTCOME, Page, Parameter, ParameterReader, Parameters, outcome_of,
};
use crate::http::request::ApiRequest;
use crate::state::Api;

/// The lines of a batch.
const MAX_LINES: usize = 200;

pub(crate) const DEPLOYMENT: Operation = Operation {
    method: Method::POST,
    path: "/deployments",
    handler: |filter| on(filter, post_deployment),
    admission: Admit::Lookup,
    id: "postDeployment",
    summary: "Report a deployment",
    description: "Identified by its id: 201 if it is new, 200 if it is known (`replayed`), or has a later state or more fields now \
                  (`changed`). Where no GitHub deployments exist, or the teams file says `deployments: { source: events }`. What it \
                  delivered is known once the next collection has read its commits.",
    scope: Some(Scope::EventsWrite),
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: Some(schema_of::<DeploymentEvent>),
    body: Body::Json(enveloped::<PostedDeployment, PostedMeta>),
};

pub(crate) const INCIDENT: Operation = Operation {
    path: "/incidents",
    handler: |filter| on(filter, post_incident),
    id: "postIncident",
    summary: "Report an incident",
    description: "Identified by its id: 201 if it is new, 200 if it is known. It belongs to the deployment that it names, or to the last \
                  one of its service within the window before its start.",
    request_body: Some(schema_of::<IncidentEvent>),
    body: Body::Json(enveloped::<PostedIncident, PostedMeta>),
    ..DEPLOYMENT
};

pub(crate) const RESOLVE: Operation = Operation {
    path: "/incidents/{incident_id}/resolve",
    handler: |filter| on(filter, resolve),
    id: "resolveIncident",
    summary: "Resolve an incident",
    description: "By the id that its sender gave it. Once resolved, its end stays until it is reopened.",
    request_body: Some(schema_of::<Resolution>),
    ..INCIDENT
};

pub(crate) const REOPEN: Operation = Operation {
    path: "/incidents/{incident_id}/reopen",
    handler: |filter| on(filter, reopen),
    id: "reopenIncident",
    summary: "Reopen an incident",
    description: "By the id that its sender gave it. The earlier resolution does not count any more.",
    request_body: Some(schema_of::<Reopening>),
    ..INCIDENT
};

pub(crate) const DISMISS: Operation = Operation {
    path: "/incidents/{incident_id}/dismiss",
    handler: |filter| on(filter, dismiss),
    id: "dismissIncident",
    summary: "Dismiss an incident",
    description: "By the id that its sender gave it: it turned out to be none, and does not count. Reopening takes that back.",
    request_body: Some(schema_of::<Dismissal>),
    ..INCIDENT
};

pub(crate) const LINK: Operation = Operation {
    method: Method::PUT,
    path: "/incidents/{incident_id}/deployment",
    handler: |filter| on(filter, link),
    id: "setIncidentDeployment",
    summary: "Say which deployment caused an incident",
    description: "By the id that the incident's source gave it, or its number in `/v1/incidents`, and the number of a succeeded production deployment of its service, as in \
                  `/v1/deployments`. It stays, even if the source says otherwise later; null takes it back.",
    scope: Some(Scope::Admin),
    request_body: Some(schema_of::<Linking>),
    ..INCIDENT
};

pub(crate) const BATCH: Operation = Operation {
    path: "/deployments/batch",
    handler: |filter| on(filter, batch),
    id: "postDeployments",
    summary: "Report several deployments",
    description: "One deployment in each line (application/x-ndjson), 200 lines at most, each as in `POST /v1/deployments` and with a result of \
                  its own. Lines that were not reached in time say so: send them again.",
    request_body: Some(lines_of::<DeploymentEvent>),
    body: Body::Json(enveloped::<Vec<LineResult>, BatchMeta>),
    ..DEPLOYMENT
};

pub(crate) const LIST: Operation = Operation {
    method: Method::GET,
    path: "/events",
    handler: |filter| on(filter, list),
    id: "listEvents",
    summary: "What was received",
    description: "What was posted, imported or delivered by webhooks, also what was refused, newest first. Bodies are not kept.",
    scope: Some(Scope::Admin),
    parameters: ListParameters::DESCRIPTIONS,
    request_body: None,
    body: Body::Json(enveloped::<Vec<ReceivedEvent>, ListMeta>),
    ..DEPLOYMENT
};

/// The schema of a body with one JSON object in each line.
fn lines_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> serde_json::Value {
    serde_json::json!({
        "type": "string",
        "description": "One JSON object in each line.",
        "x-line": generator.subschema_for::<T>()
    })
}

/// That an incident was none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Dismissal {
    /// When that was known; now if left out.
    #[schemars(extend("format" = "date-time"))]
    dismissed_at: Option<String>,
}

/// The deployment that an incident belongs to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Linking {
    /// Its number, as in `/v1/deployments`; null takes back what was set.
    #[schemars(required, extend("type" = ["integer", "null"]), range(min = 1, max = 999_999_999_999_999_999_i64))]
    #[serde(deserialize_with = "Option::deserialize")]
    deployment: Option<i64>,
}

/// What became of a line.
#[derive(Debug, Serialize, JsonSchema)]
struct LineResult {
    /// Its number, from 1.
    line: usize,
    /// The deployment's number here; null if it was not stored.
    id: Option<i64>,
    #[schemars(extend("enum" = ["created", "changed", "replayed", "refused", "not_processed"]))]
    result: String,
    /// The code of an error, as in the answer to a single one.
    code: Option<String>,
    /// What is wrong, or stays as it was said before.
    message: Option<String>,
}

/// How many lines there were, by result.
#[derive(Debug, Serialize, JsonSchema)]
struct BatchMeta {
    count: usize,
    /// How many were stored, or known.
    stored: usize,
    /// How many were refused, or not processed.
    not_stored: usize,
}

/// An event that was received.
#[derive(Debug, Serialize, JsonSchema)]
struct ReceivedEvent {
    #[schemars(extend("format" = "date-time"))]
    received_at: String,
    #[schemars(extend("enum" = ["api", "import", "webhook"]))]
    channel: String,
    /// Whose webhook it was.
    plugin: Option<String>,
    /// The id that its sender gave the delivery.
    delivery_id: Option<String>,
    /// The name of the key.
    key_name: Option<String>,
    #[schemars(extend("enum" = ["deployment", "incident", "repository", "other"]))]
    kind: String,
    /// The id that its sender gave what it is about, or the kind of event.
    subject: Option<String>,
    #[schemars(extend("enum" = ["created", "changed", "replayed", "refused", "queued", "ignored"]))]
    outcome: String,
    /// Why it was refused.
    reason: Option<String>,
    /// The digest of the body, in hexadecimal digits; of nothing if the body was not read.
    sha256: String,
}

/// Where the list continues.
#[derive(Debug, Serialize, JsonSchema)]
struct ListMeta {
    count: usize,
    /// For the next page; null on the last page.
    next_cursor: Option<String>,
}

#[derive(Debug)]
struct ListParameters {
    outcome: Option<&'static str>,
    page: Page,
}

impl Parameters for ListParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&OUTCOME, &LIMIT, &CURSOR];

    fn read(reader: &mut ParameterReader) -> Self {
        Self { outcome: outcome_of(reader), page: Page::read(reader) }
    }
}

/// The end of an incident.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Resolution {
    /// When it was resolved; now if left out.
    #[schemars(extend("format" = "date-time"))]
    resolved_at: Option<String>,
}

/// That an incident is not over.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reopening {
    /// When it was reopened; now if left out.
    #[schemars(extend("format" = "date-time"))]
    reopened_at: Option<String>,
}

/// A deployment that was reported.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PostedDeployment {
    /// Its number here; see `/v1/deployments/{deployment_id}`.
    id: i64,
    /// What became of the event.
    #[schemars(extend("enum" = ["created", "changed", "replayed"]))]
    result: String,
    /// Whether its environment is production. Others are listed, and no metric counts them.
    production: bool,
}

/// An incident that was reported.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PostedIncident {
    /// Its number here, as in `/v1/incidents`.
    id: i64,
    /// What became of the event.
    #[schemars(extend("enum" = ["created", "changed", "replayed"]))]
    result: String,
    /// The deployment that it belongs to so far.
    deployment_id: Option<i64>,
    /// Why: `set` by a person, `named` by its sender, or by the `window` before its start.
    #[schemars(extend("enum" = ["set", "named", "window", null]))]
    rule: Option<String>,
}

/// What senders should know.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PostedMeta {
    /// Each warning is a stable code, a colon and a sentence.
    warnings: Vec<String>,
}

/// An event that is being received.
struct Event<'a> {
    poster: &'a Poster,
    sender: Sender,
    digest: EventDigest,
    subject: EventSubject,
}

impl<'a> Event<'a> {
    fn of(api: &'a Api, request: &ApiRequest, bytes: &[u8], subject: EventSubject) -> Result<Self, ApiError> {
        let poster = api.poster.as_ref().ok_or(ApiError::MethodNotAllowed)?;
        Ok(Self { poster, sender: request.access()?.sender(), digest: Sha256::digest(bytes).into(), subject })
    }

    /// The event with its body. One that is too large, or not declared as what it should be, is recorded with the digest of nothing.
    async fn receive(
        api: &'a Api,
        request: &ApiRequest,
        subject: EventSubject,
        id: Option<&str>,
        body: Result<Bytes, ApiError>,
    ) -> Result<(Self, Bytes), ApiError> {
        match body {
            Ok(bytes) => Ok((Self::of(api, request, &bytes, subject)?, bytes)),
            Err(error) => Err(Self::of(api, request, &[], subject)?.record(api, id, error).await?),
        }
    }

    /// Records that it cannot be used.
    async fn refuse(&self, api: &Api, id: Option<&str>, invalid: Vec<InvalidParameter>) -> Result<ApiError, ApiError> {
        self.record(api, id, ApiError::Validation(invalid)).await
    }

    /// Records an error.
    async fn record(&self, api: &Api, id: Option<&str>, error: ApiError) -> Result<ApiError, ApiError> {
        let Self { poster, sender, digest, subject } = self;
        poster.record_refused_event(sender, digest, *subject, id, error.code(), api.now()).await?;
        Ok(error)
    }

    /// The event in a body.
    async fn parse<T: DeserializeOwned>(&self, api: &Api, bytes: &[u8]) -> Result<T, ApiError> {
        match parse(bytes) {
            Ok(event) => Ok(event),
            Err(invalid) => Err(self.refuse(api, None, vec![invalid]).await?),
        }
    }
}

/// The event in a body.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, InvalidParameter> {
    /// The message may quote the body.
    const LONGEST: usize = 300;
    // A struct could also be read from an array of its fields.
    let is_object = bytes.trim_ascii_start().starts_with(b"{");
    let parsed = serde_json::from_slice(bytes).map_err(|error| one_line(&error.to_string(), LONGEST));
    parsed
        .and_then(|event| if is_object { Ok(event) } else { Err("it is not a JSON object".to_owned()) })
        .map_err(|message| InvalidParameter::new("body", "invalid", message))
}

fn status(outcome: EventOutcome) -> StatusCode {
    if outcome == EventOutcome::Created { StatusCode::CREATED } else { StatusCode::OK }
}

/// Stores a deployment.
async fn post_deployment(State(api): State<Api>, request: ApiRequest, body: RequestBody) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let body = request.body(body, false).await;
    let (event, bytes) = Event::receive(&api, &request, EventSubject::Deployment, None, body).await?;
    let reported: DeploymentEvent = event.parse(&api, &bytes).await?;
    let (id, now) = (reported.id.clone(), api.now());
    let posted = match reported.check(now) {
        Ok(posted) => posted,
        Err(invalid) => return Err(event.refuse(&api, Some(&id), invalid).await?),
    };
    let stored = event.poster.post_deployment(&event.sender, &event.digest, &posted, now).await??;
    let StoredDeployment { id, outcome, is_production, has_revisions, kept } = stored;
    let warnings = [
        (!has_revisions, "no_sha: without its commit, it is unknown what this deployment delivered"),
        (!is_production, "not_production: its environment is not production, so no metric counts it"),
    ];
    let warnings = applying(warnings).chain(kept_warning(&kept)).collect();
    let data = PostedDeployment { id: id.0, result: outcome.to_string(), production: is_production };
    let mut response = answer(data, PostedMeta { warnings });
    *response.status_mut() = status(outcome);
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/deployments/{}", id.0)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Stores an incident.
async fn post_incident(State(api): State<Api>, request: ApiRequest, body: RequestBody) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let body = request.body(body, false).await;
    let (event, bytes) = Event::receive(&api, &request, EventSubject::Incident, None, body).await?;
    let reported: IncidentEvent = event.parse(&api, &bytes).await?;
    let (id, now) = (reported.id.clone(), api.now());
    let posted = match reported.check(now) {
        Ok(posted) => posted,
        Err(invalid) => return Err(event.refuse(&api, Some(&id), invalid).await?),
    };
    let stored = event.poster.post_incident(&event.sender, &event.digest, &posted, now).await??;
    let is_linked = stored.link.is_some_and(|(_, rule)| matches!(rule, LinkRule::Named | LinkRule::Set));
    Ok(incident(&stored, posted.deployment.is_some() && !is_linked))
}

/// Resolves an incident.
async fn resolve(State(api): State<Api>, request: ApiRequest, body: RequestBody) -> Result<Response, ApiError> {
    change(&api, &request, body, "resolved_at", |Resolution { resolved_at }| resolved_at, IncidentChange::Resolved)
        .await
}

/// Reopens an incident.
async fn reopen(State(api): State<Api>, request: ApiRequest, body: RequestBody) -> Result<Response, ApiError> {
    change(&api, &request, body, "reopened_at", |Reopening { reopened_at }| reopened_at, IncidentChange::Reopened).await
}

/// Dismisses an incident.
async fn dismiss(State(api): State<Api>, request: ApiRequest, body: RequestBody) -> Result<Response, ApiError> {
    change(&api, &request, body, "dismissed_at", |Dismissal { dismissed_at }| dismissed_at, IncidentChange::Dismissed)
        .await
}

/// Sets the deployment of an incident.
async fn link(State(api): State<Api>, request: ApiRequest, body: RequestBody) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    request.refuse_limited()?;
    let id = request.incident()?;
    let body = request.body(body, false).await;
    let (event, bytes) = Event::receive(&api, &request, EventSubject::Incident, Some(id), body).await?;
    let Linking { deployment } = event.parse(&api, &bytes).await?;
    let now = api.now();
    if deployment.is_some_and(|deployment| deployment < 1) {
        let invalid = InvalidParameter::new("deployment", "invalid", "write the number of a deployment, or null");
        return Err(event.refuse(&api, Some(id), vec![invalid]).await?);
    }
    let deployment = deployment.map(DeploymentId);
    let stored = event.poster.set_link(&event.sender, &event.digest, id, deployment, now).await??;
    Ok(incident(&stored, false))
}

/// Stores several deployments, each by itself.
async fn batch(State(api): State<Api>, request: ApiRequest, body: RequestBody) -> Result<Response, ApiError> {
    /// What takes longer is left to the sender, who sends it again.
    const TIME_FRACTION: f64 = 0.7;
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let body = request.lines(body).await;
    let (whole, bytes) = Event::receive(&api, &request, EventSubject::Deployment, None, body).await?;
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8".to_owned());
    let lines = text.and_then(|text| {
        let lines: Vec<(usize, &str)> = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).collect();
        let is_possible = (1..=MAX_LINES).contains(&lines.len());
        if is_possible { Ok(lines) } else { Err(format!("it has {} lines; 1 to {MAX_LINES} are taken", lines.len())) }
    });
    let lines = match lines {
        Ok(lines) => lines,
        Err(message) => {
            return Err(whole.refuse(&api, None, vec![InvalidParameter::new("body", "invalid", message)]).await?);
        }
    };
    let (started, budget) = (Instant::now(), api.timeout.mul_f64(TIME_FRACTION));
    let mut results = Vec::with_capacity(lines.len());
    for (line, text) in lines {
        if started.elapsed() > budget {
            let message = Some("there was no time left: send it again".to_owned());
            let code = Some("timeout".to_owned());
            results.push(LineResult { line, id: None, result: "not_processed".to_owned(), code, message });
            continue;
        }
        results.push(match store_line(&api, &request, text).await {
            Ok(stored) => {
                let result = stored.outcome.to_string();
                LineResult { line, id: Some(stored.id.0), result, code: None, message: kept_warning(&stored.kept) }
            }
            Err(error @ (ApiError::Unavailable | ApiError::SchemaOutdated | ApiError::Internal)) => return Err(error),
            Err(error) => {
                let (code, message) = (Some(error.code().to_owned()), Some(error.detailed()));
                LineResult { line, id: None, result: "refused".to_owned(), code, message }
            }
        });
    }
    let stored = results.iter().filter(|result| result.id.is_some()).count();
    let meta = BatchMeta { count: results.len(), stored, not_stored: results.len() - stored };
    Ok(answer(results, meta))
}

/// Stores the deployment of a line.
async fn store_line(api: &Api, request: &ApiRequest, line: &str) -> Result<StoredDeployment, ApiError> {
    let event = Event::of(api, request, line.as_bytes(), EventSubject::Deployment)?;
    let reported: DeploymentEvent = event.parse(api, line.as_bytes()).await?;
    let (id, now) = (reported.id.clone(), api.now());
    let posted = match reported.check(now) {
        Ok(posted) => posted,
        Err(invalid) => return Err(event.refuse(api, Some(&id), invalid).await?),
    };
    Ok(event.poster.post_deployment(&event.sender, &event.digest, &posted, now).await??)
}

/// What was received, newest first.
async fn list(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    request.refuse_limited()?;
    let ListParameters { outcome, page } = request.parameters()?;
    request.format(None)?;
    let question = format!("events {}", outcome.unwrap_or_default());
    let after = page.cursor.as_deref().map(|text| cursors::parse(text, &question)).transpose()?;
    let after = after.map(|position| (position.at, position.id));
    let mut found = api.store.received_events(outcome, after, page.limit + 1).await?;
    let next = cut_to_page(&mut found, page.limit, |last| PagePosition { at: last.received_at, id: last.id });
    let next_cursor = next.map(|next| cursors::to_text(next, &question));
    let data: Vec<ReceivedEvent> = found
        .into_iter()
        .map(|event| ReceivedEvent {
            received_at: instant(event.received_at),
            channel: event.channel,
            plugin: event.plugin,
            delivery_id: event.delivery_id,
            key_name: event.key_name,
            kind: event.kind,
            subject: event.subject,
            outcome: event.outcome,
            reason: event.reason,
            sha256: event.sha256,
        })
        .collect();
    let meta = ListMeta { count: data.len(), next_cursor };
    Ok(answer(data, meta))
}

async fn change<T: DeserializeOwned + Default>(
    api: &Api,
    request: &ApiRequest,
    body: RequestBody,
    name: &str,
    at: impl FnOnce(T) -> Option<String>,
    change: impl FnOnce(chrono::DateTime<chrono::Utc>) -> IncidentChange,
) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let id = request.incident()?;
    let body = request.body(body, true).await;
    let (event, bytes) = Event::receive(api, request, EventSubject::Incident, Some(id), body).await?;
    let reported = if bytes.is_empty() { T::default() } else { event.parse(api, &bytes).await? };
    let now = api.now();
    let at = match checked_instant(name, at(reported).as_deref(), now) {
        Ok(at) => at,
        Err(invalid) => return Err(event.refuse(api, Some(id), invalid).await?),
    };
    let stored = event.poster.change_incident(&event.sender, &event.digest, id, change(at), now).await??;
    Ok(incident(&stored, false))
}

/// The warnings that apply.
fn applying<const N: usize>(warnings: [(bool, &str); N]) -> impl Iterator<Item = String> {
    warnings.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned())
}

/// That the first values of some fields stay.
fn kept_warning(fields: &[&str]) -> Option<String> {
    let is_any = !fields.is_empty();
    is_any.then(|| format!("kept: {} was said before with another value, which stays", fields.join(", ")))
}

/// The answer; `lacks_link` is whether it names a deployment and does not belong to it.
fn incident(stored: &StoredIncident, lacks_link: bool) -> Response {
    let StoredIncident { id, outcome, link, has_unknown_severity, kept } = stored;
    let data = PostedIncident {
        id: id.0,
        result: outcome.to_string(),
        deployment_id: link.map(|(deployment, _)| deployment.0),
        rule: link.map(|(_, rule)| <&str>::from(rule).to_owned()),
    };
    let warnings = [
        (lacks_link, "not_linked: the deployment that it names is no succeeded one to production"),
        (
            *has_unknown_severity,
            "unknown_severity: its severity is not understood, so filters by severity leave it out; write critical, high, medium or low",
        ),
    ];
    let warnings = applying(warnings).chain(kept_warning(kept)).collect();
    let mut response = answer(data, PostedMeta { warnings });
    *response.status_mut() = status(*outcome);
    response
}
