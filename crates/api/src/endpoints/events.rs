//! `POST /v1/deployments`, `/v1/incidents`, `/v1/incidents/{incident_id}/resolve` and `/reopen`: what programs report.

use axum::body::Body as RequestBody;
use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::{HeaderValue, Method, StatusCode, header};
use mergeline_domain::delivery::{DeploymentEvent, IncidentEvent, LinkRule, checked_instant};
use mergeline_domain::metrics::InvalidParameter;
use mergeline_store::{
    EventDigest, EventOutcome, EventSubject, IncidentChange, Poster, Sender, StoredDeployment, StoredIncident,
};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::auth::scope::Scope;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped, schema_of};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;
use crate::state::Api;

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

    /// Records that it cannot be used.
    async fn refuse(&self, api: &Api, id: Option<&str>, invalid: Vec<InvalidParameter>) -> Result<ApiError, ApiError> {
        let error = ApiError::Validation(invalid);
        let Self { poster, sender, digest, subject } = self;
        poster.record_refused_event(sender, digest, *subject, id, error.code(), api.now()).await?;
        Ok(error)
    }

    /// The event in a body.
    async fn parse<T: DeserializeOwned>(&self, api: &Api, bytes: &[u8]) -> Result<T, ApiError> {
        // A struct could also be read from an array of its fields.
        let is_object = bytes.trim_ascii_start().starts_with(b"{");
        let parsed = serde_json::from_slice(bytes).map_err(|error| error.to_string());
        match parsed.and_then(|event| if is_object { Ok(event) } else { Err("it is not a JSON object".to_owned()) }) {
            Ok(event) => Ok(event),
            Err(message) => {
                let invalid = vec![InvalidParameter::new("body", "invalid", message)];
                Err(self.refuse(api, None, invalid).await?)
            }
        }
    }
}

fn status(outcome: EventOutcome) -> StatusCode {
    if outcome == EventOutcome::Created { StatusCode::CREATED } else { StatusCode::OK }
}

/// Stores a deployment.
async fn post_deployment(State(api): State<Api>, request: ApiRequest, body: RequestBody) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let bytes = request.body(body, false).await?;
    let event = Event::of(&api, &request, &bytes, EventSubject::Deployment)?;
    let reported: DeploymentEvent = event.parse(&api, &bytes).await?;
    let (id, now) = (reported.id.clone(), api.now());
    let posted = match reported.check(now) {
        Ok(posted) => posted,
        Err(invalid) => return Err(event.refuse(&api, Some(&id), invalid).await?),
    };
    let stored = event.poster.post_deployment(&event.sender, &event.digest, &posted, now).await??;
    let StoredDeployment { id, outcome, is_production, has_revisions } = stored;
    let warnings = [
        (!has_revisions, "no_sha: without its commit, it is unknown what this deployment delivered"),
        (!is_production, "not_production: its environment is not production, so no metric counts it"),
    ];
    let warnings = warnings.into_iter().filter(|(applies, _)| *applies).map(|(_, text)| text.to_owned()).collect();
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
    let bytes = request.body(body, false).await?;
    let event = Event::of(&api, &request, &bytes, EventSubject::Incident)?;
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
    let bytes = request.body(body, true).await?;
    let event = Event::of(api, request, &bytes, EventSubject::Incident)?;
    let reported = if bytes.is_empty() { T::default() } else { event.parse(api, &bytes).await? };
    let now = api.now();
    let at = match checked_instant(name, at(reported).as_deref(), now) {
        Ok(at) => at,
        Err(invalid) => return Err(event.refuse(api, Some(id), invalid).await?),
    };
    let stored = event.poster.change_incident(&event.sender, &event.digest, id, change(at), now).await??;
    Ok(incident(&stored, false))
}

/// The answer; `lacks_link` is whether it names a deployment and does not belong to it.
fn incident(stored: &StoredIncident, lacks_link: bool) -> Response {
    let StoredIncident { id, outcome, link } = stored;
    let data = PostedIncident {
        id: id.0,
        result: outcome.to_string(),
        deployment_id: link.map(|(deployment, _)| deployment.0),
        rule: link.map(|(_, rule)| <&str>::from(rule).to_owned()),
    };
    let warning = "not_linked: the deployment that it names is no succeeded one to production".to_owned();
    let mut response = answer(data, PostedMeta { warnings: if lacks_link { vec![warning] } else { Vec::new() } });
    *response.status_mut() = status(*outcome);
    response
}
