//! Every path, and what all requests go through.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use mergeline_store::Store;

use crate::access::require_key;
use crate::admission::{Admission, admit, admit_health, admit_lookups, admit_statistics};
use crate::answer::{REQUEST, RequestFacts};
use crate::docs::ClientPath;
use crate::error::{ApiError, DatabaseLost};
use crate::hosts::AllowedHosts;
use crate::keys::ApiKeys;
use crate::negotiation::Accept;
use crate::{collection, definitions, docs, health, metrics, openapi, pull_requests, teams};

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
    /// How the database's secret is read anew; `None` where it is known at the start only.
    pub renewal: Option<Renewal>,
}

impl Api {
    /// An API without keys that answers under every name, with its secrets known from the start.
    pub fn new(store: Store, timeout: Duration, clock: fn() -> DateTime<Utc>) -> Self {
        Self { store, keys: None, hosts: None, timeout, clock, renewal: None }
    }
}

/// How the database's address and password are had anew, when the database cannot be reached or refuses the login, and from
/// time to time.
#[derive(Clone)]
pub struct Renewal(Arc<Renewing>);

struct Renewing {
    renew: Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>,
    every: Duration,
    pause: Duration,
    last: Mutex<LastLook>,
}

struct LastLook {
    /// When the secret was last looked at, or read at the start.
    at: tokio::time::Instant,
    is_start: bool,
}

impl Renewal {
    /// A renewal that reads the secret, has the store connect by it, and says whether it is another one than before: `every` so
    /// often, and when the database is lost, though not before `pause` is over since the last look.
    pub fn new(
        every: Duration,
        pause: Duration,
        renew: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        let last = Mutex::new(LastLook { at: tokio::time::Instant::now(), is_start: true });
        Self(Arc::new(Renewing { renew: Box::new(renew), every, pause, last }))
    }

    /// Whether there is another secret now. A database that is down does not change that, so it is not asked for each request.
    async fn after_a_loss(&self) -> bool {
        let may_look = {
            let mut last = self.last();
            let may_look = last.is_start || last.at.elapsed() >= self.0.pause;
            if may_look {
                *last = LastLook { at: tokio::time::Instant::now(), is_start: false };
            }
            may_look
        };
        may_look && (self.0.renew)().await
    }

    /// Once it is time, before the request: a sandbox that answers is stopped, and what it would do beside that with it. Whoever
    /// does not get the secret soon goes on with what is known.
    async fn if_due(&self) {
        let is_due = {
            let mut last = self.last();
            let is_due = last.at.elapsed() >= self.0.every;
            if is_due {
                *last = LastLook { at: tokio::time::Instant::now(), is_start: false };
            }
            is_due
        };
        if is_due {
            let _ = tokio::time::timeout(LOOK_WITHIN, (self.0.renew)()).await;
        }
    }

    fn last(&self) -> MutexGuard<'_, LastLook> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal")
    }
}

/// A secret takes some milliseconds.
const LOOK_WITHIN: Duration = Duration::from_secs(1);
/// Longer addresses than this are nobody's question.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// The API as a service for Lambda, the laptop and the tests.
pub fn router(api: Api) -> Router {
    let admission = Arc::new(Admission::of(&api));
    let health = get(health::health).layer(from_fn_with_state(admission.clone(), admit_health));
    let statistics = Router::new()
        .route("/metrics/team/{team_id}/velocity", get(metrics::velocity))
        .route("/metrics/team/{team_id}/lead-time", get(metrics::lead_time))
        .route("/metrics/team/{team_id}/summary", get(metrics::summary))
        .route("/metrics/team/{team_id}/pull-requests", get(pull_requests::list))
        // The last one is the first that a request goes through.
        .route_layer(from_fn_with_state(admission.clone(), admit))
        .route_layer(from_fn_with_state(admission.clone(), admit_statistics));
    let v1 = Router::new()
        .route("/teams", get(teams::list))
        .route("/teams/{team_id}", get(teams::one))
        .route("/collection/status", get(collection::status))
        .route("/collection/runs", get(collection::runs))
        .route_layer(from_fn_with_state(admission.clone(), admit))
        .route_layer(from_fn_with_state(admission, admit_lookups))
        .merge(statistics)
        .route_layer(from_fn_with_state(api.clone(), require_key))
        .route("/definitions", get(definitions::list))
        .route("/openapi.json", get(openapi::get))
        .route("/docs", get(docs::get))
        // Behind API Gateway every path begins with the stage, which is named v1.
        .route("/healthz", get(health::alive))
        .route("/health", health.clone());
    // The first addresses that anybody opens.
    let above = ["/", "/v1", "/v1/"].into_iter();
    let above = above.fold(Router::new(), |router, path| router.route(path, get(docs::redirect)));
    above
        .nest("/v1", v1)
        .route("/healthz", get(health::alive))
        .route("/health", health)
        .fallback(async || ApiError::NotFound("There is nothing at this path."))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(from_fn_with_state(api.clone(), around_each_request))
        .with_state(api)
}

/// Gives each request a trace id, a time limit and a line in the log, and turns a panic into an answer.
async fn around_each_request(State(api): State<Api>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let trace_id = trace_id(&request);
    let wants_problem_details = Accept::of(request.headers()).wants_problem_details();
    let facts = RequestFacts { trace_id: trace_id.clone(), wants_problem_details };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let answered = REQUEST
        .scope(facts, async {
            // A key is what no page of another site has, and a gateway's host is its own.
            let is_open = api.keys.is_none() && request.extensions().get::<ClientPath>().is_none();
            let hosts = api.hosts.as_ref().filter(|_| is_open);
            if let Some(Err(refused)) = hosts.map(|hosts| hosts.check(&request)) {
                return refused.into_response();
            }
            if request.uri().query().is_some_and(|query| query.len() > MAX_QUERY_BYTES) {
                let message = format!("the query string is longer than {MAX_QUERY_BYTES} bytes");
                return ApiError::parameter("query", "too_long", message).into_response();
            }
            let work = AssertUnwindSafe(tokio::time::timeout(api.timeout, run(&api, request, next))).catch_unwind();
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

/// Answers, and once more with a new address or password when the old one led nowhere.
async fn run(api: &Api, request: Request, next: Next) -> Response {
    let Some(renewal) = &api.renewal else { return next.run(request).await };
    renewal.if_due().await;
    let (parts, body) = request.into_parts();
    let (again, later) = (parts.clone(), next.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    if response.extensions().get::<DatabaseLost>().is_none() || !renewal.after_a_loss().await {
        return response;
    }
    // Nothing here reads a body, so none is missed.
    later.run(Request::from_parts(again, Body::empty())).await
}

/// The id that AWS gave the request, so that its logs and ours meet; else a new one. Anybody can send the header, so nothing is taken
/// that does not look like one.
fn trace_id(request: &Request) -> String {
    let header = request.headers().get("x-amzn-trace-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="));
    root.filter(|id| is_trace_id(id)).map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// `1-5759e988-bd862e3fe1be46a994272793`: version, time and 96 random bits.
fn is_trace_id(text: &str) -> bool {
    let is_hex =
        |part: &str, digits| part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let known = [parts.next(), parts.next(), parts.next(), parts.next()];
    matches!(known, [Some("1"), Some(time), Some(random), None] if is_hex(time, 8) && is_hex(random, 24))
}
