//! `GET /healthz`: whether the program runs; `GET /health`: whether it can answer.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::resources::{age_hours, instant};
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, plain};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;
use crate::http::response::{JSON, json};
use crate::state::Api;

pub(crate) const ALIVE: Operation = Operation {
    method: Method::GET,
    path: "/healthz",
    handler: |filter| on(filter, alive),
    admission: Admit::Open,
    id: "getAlive",
    summary: "Whether the program runs",
    description: "Does not use the database. Also at `/healthz` without the version.",
    scope: None,
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Json(plain::<Alive>),
};

pub(crate) const HEALTH: Operation = Operation {
    path: "/health",
    handler: |filter| on(filter, health),
    admission: Admit::Health,
    id: "getHealth",
    summary: "Whether the program can answer requests",
    description: "Database, schema and freshness. 503 if it cannot answer requests. Also at `/health` without the version.",
    body: Body::Health(plain::<Health>),
    ..ALIVE
};

/// The program is running.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Alive {
    /// Always `ok`.
    #[schemars(extend("enum" = ["ok"]))]
    status: &'static str,
}

/// Whether the program can answer requests, and how fresh its data is.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `stale` if the last complete collection of some repository is older than nine hours, or nothing was ever
    /// collected; `failing` with status 503.
    #[schemars(extend("enum" = ["ok", "stale", "failing"]))]
    status: &'static str,
    #[schemars(extend("enum" = ["ok", "unavailable"]))]
    database: &'static str,
    /// `outdated` if migrations are missing, `unknown` without a database.
    #[schemars(extend("enum" = ["ok", "outdated", "unknown"]))]
    schema: &'static str,
    /// When the oldest of the latest complete collections started.
    #[schemars(extend("format" = "date-time"))]
    data_as_of: Option<String>,
    /// How long ago that was.
    age_hours: Option<f64>,
}

/// Reports that the program is running, without the database.
async fn alive(request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.accepts(JSON)?;
    Ok(json(StatusCode::OK, &Alive { status: "ok" }))
}

/// Checks the database and reports the result.
async fn health(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.accepts(JSON)?;
    let failing = |database, schema| Health { status: "failing", database, schema, data_as_of: None, age_hours: None };
    let health = match api.store.health().await {
        Ok(coverage) => {
            let now = api.now();
            let is_fresh = coverage.data_as_of.is_some_and(|at| now - at <= api.stale_after);
            Health {
                status: if is_fresh { "ok" } else { "stale" },
                database: "ok",
                schema: "ok",
                data_as_of: coverage.data_as_of.map(instant),
                age_hours: coverage.data_as_of.map(|at| age_hours(at, now)),
            }
        }
        Err(error) => {
            let health = match ApiError::from(error) {
                ApiError::SchemaOutdated => failing("ok", "outdated"),
                _ => failing("unavailable", "unknown"),
            };
            return Ok(json(StatusCode::SERVICE_UNAVAILABLE, &health));
        }
    };
    Ok(json(StatusCode::OK, &health))
}
