//! Every path, and what all requests go through.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use mergeline_store::Store;
use serde::Serialize;

use crate::access::{ApiKey, require_key};
use crate::answer::{TRACE_ID, json};
use crate::error::ApiError;
use crate::{metrics, teams};

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct Api {
    /// The database.
    pub store: Store,
    /// The key that requests must carry, if any.
    pub key: Option<ApiKey>,
    /// How long a request may take.
    pub timeout: Duration,
    /// What time it is.
    pub clock: fn() -> DateTime<Utc>,
}

/// Longer addresses than this are nobody's question.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// The API as a service for Lambda, the laptop and the tests.
pub fn router(api: Api) -> Router {
    let v1 = Router::new()
        .route("/teams", get(teams::list))
        .route("/metrics/team/{team_id}/velocity", get(metrics::velocity))
        .route("/metrics/team/{team_id}/lead-time", get(metrics::lead_time))
        .route_layer(from_fn_with_state(api.clone(), require_key))
        // Behind API Gateway every path begins with the stage, which is named v1.
        .route("/healthz", get(healthz));
    Router::new()
        .nest("/v1", v1)
        .route("/healthz", get(healthz))
        .fallback(async || ApiError::NotFound("There is nothing at this path."))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(from_fn_with_state(api.clone(), around_each_request))
        .with_state(api)
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
}

/// Says that the program runs; it asks nothing of the database.
async fn healthz() -> Response {
    json(http::StatusCode::OK, &Health { status: "ok" })
}

/// Gives each request a trace id, a time limit and a line in the log, and turns a panic into an answer.
async fn around_each_request(State(api): State<Api>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let trace_id = trace_id(&request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = TRACE_ID
        .scope(trace_id.clone(), async {
            if request.uri().query().is_some_and(|query| query.len() > MAX_QUERY_BYTES) {
                let message = format!("the query string is longer than {MAX_QUERY_BYTES} bytes");
                return ApiError::parameter("query", "too_long", message).into_response();
            }
            let work = AssertUnwindSafe(tokio::time::timeout(api.timeout, next.run(request))).catch_unwind();
            match work.await {
                Ok(Ok(response)) => response,
                Ok(Err(_)) => ApiError::Timeout.into_response(),
                // The panic's own message has been logged by its hook.
                Err(_) => ApiError::Internal.into_response(),
            }
        })
        .await;
    let (status, milliseconds) = (answered.status().as_u16(), begun.elapsed().as_secs_f64() * 1_000.0);
    tracing::info!(trace_id, status, milliseconds, "{method} {path} answered {status} in {milliseconds:.1} ms");
    answered
}

/// The id that AWS gave the request, so that its logs and ours meet; else a new one.
fn trace_id(request: &Request) -> String {
    let header = request.headers().get("x-amzn-trace-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="));
    let is_plausible = |id: &&str| id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    root.filter(is_plausible).map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}
