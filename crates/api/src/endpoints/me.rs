//! `GET /v1/me`: what the request's key may do.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::{DateTime, Utc};
use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use crate::auth::scope::Scope;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;
use crate::state::Api;

pub(crate) const ME: Operation = Operation {
    method: Method::GET,
    path: "/me",
    handler: |filter| on(filter, me),
    admission: Admit::Lookup,
    id: "getMe",
    summary: "What the caller may do",
    description: "The name, scopes and teams of the key, or of the person whom the session or token is about, so that a page shows only what it may \
                  ask for.",
    scope: Some(Scope::MetricsRead),
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<Me, MeMeta>),
};

/// What a key or a person may do.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Me {
    /// The name of the key, or the address or identifier of the person; null where no keys are set.
    name: Option<String>,
    /// All scopes, including those that others imply.
    #[schemars(extend("items" = { "type": "string", "enum": ["metrics:read", "prs:read", "admin", "events:write"] }))]
    scopes: Vec<&'static str>,
    /// The slugs of the only teams that it shows; null for all.
    teams: Option<Vec<String>>,
    /// When a person's session or token ends; null for keys.
    session_ends_at: Option<DateTime<Utc>>,
}

/// What answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MeMeta {
    /// The version of the program.
    version: &'static str,
}

async fn me(State(_): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let access = request.access()?;
    let teams = access.viewer().teams().map(|teams| teams.iter().map(ToString::to_string).collect());
    let scopes = Scope::ALL.into_iter().filter(|scope| access.has(*scope)).map(Scope::as_str).collect();
    let person = access.person();
    let name = person.map(|person| person.name.clone()).or_else(|| access.key_name().map(ToString::to_string));
    let me = Me { name, scopes, teams, session_ends_at: person.map(|person| person.ends_at) };
    Ok(answer(me, MeMeta { version: env!("CARGO_PKG_VERSION") }))
}
