//! `GET /healthz`, whether the program runs, and `GET /health`, whether it can answer.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::json;
use crate::error::{ApiError, DatabaseLost};
use crate::model::{STALE_AFTER, age_hours, instant};
use crate::negotiation::{Accept, JSON};
use crate::parameters::Query;
use crate::router::Api;

/// That the program runs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Alive {
    /// Always the same.
    #[schemars(extend("enum" = ["ok"]))]
    status: &'static str,
}

/// Whether the program can answer, and how fresh its answers are.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Health {
    /// `stale` when the last complete collection of some repository is older than nine hours, or none was ever collected;
    /// `failing` with status 503.
    #[schemars(extend("enum" = ["ok", "stale", "failing"]))]
    status: &'static str,
    #[schemars(extend("enum" = ["ok", "unavailable"]))]
    database: &'static str,
    /// `outdated` when migrations are missing, `unknown` without a database.
    #[schemars(extend("enum" = ["ok", "outdated", "unknown"]))]
    schema: &'static str,
    /// When the oldest of the last complete collections began.
    #[schemars(extend("format" = "date-time"))]
    data_as_of: Option<String>,
    /// How long ago that is.
    age_hours: Option<f64>,
}

/// Says that the program runs; it asks nothing of the database.
pub(crate) async fn alive(headers: HeaderMap, query: axum::extract::RawQuery) -> Result<Response, ApiError> {
    Query::parse(&query.0.unwrap_or_default(), &[])?;
    Accept::of(&headers).require(JSON)?;
    Ok(json(StatusCode::OK, &Alive { status: "ok" }))
}

/// Asks the database, and says what it finds.
pub(crate) async fn health(
    State(api): State<Api>,
    headers: HeaderMap,
    query: axum::extract::RawQuery,
) -> Result<Response, ApiError> {
    Query::parse(&query.0.unwrap_or_default(), &[])?;
    Accept::of(&headers).require(JSON)?;
    let failing = |database, schema| Health { status: "failing", database, schema, data_as_of: None, age_hours: None };
    let health = match api.store.health().await {
        Ok(coverage) => {
            let now = (api.clock)();
            let is_fresh = coverage.data_as_of.is_some_and(|at| now - at <= STALE_AFTER);
            Health {
                status: if is_fresh { "ok" } else { "stale" },
                database: "ok",
                schema: "ok",
                data_as_of: coverage.data_as_of.map(instant),
                age_hours: coverage.data_as_of.map(|at| age_hours(at, now)),
            }
        }
        Err(error) => {
            let error = ApiError::from(error);
            let health = match &error {
                ApiError::SchemaOutdated => failing("ok", "outdated"),
                _ => failing("unavailable", "unknown"),
            };
            let mut response = json(StatusCode::SERVICE_UNAVAILABLE, &health);
            if matches!(error, ApiError::Unavailable) {
                response.extensions_mut().insert(DatabaseLost);
            }
            return Ok(response);
        }
    };
    Ok(json(StatusCode::OK, &health))
}
