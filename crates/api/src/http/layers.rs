//! The middleware of every request and response.

use std::any::Any;
use std::time::Instant;

use axum::BoxError;
use axum::Router;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::{Instrument, Span, field};

use super::context::{ClientPath, REQUEST, RequestFacts};
use super::envelope::REQUEST_ID;
use super::errors::ApiError;
use super::negotiation::Accept;
use crate::auth::callers::Authorizer;
use crate::state::Api;

/// Below this, requests are signed.
const WEBHOOKS: &str = "/v1/webhook/";
/// Longer query strings are mistakes.
const MAX_QUERY_BYTES: usize = 8 * 1024;

/// Wraps a router in the middleware of all requests.
pub(crate) fn around(router: Router, api: Api) -> Router {
    let default_header = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    router.layer(
        // From outermost to innermost.
        ServiceBuilder::new()
            .layer(from_fn(without_client_id))
            .layer(SetRequestIdLayer::new(REQUEST_ID, TraceId))
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(from_fn(in_context))
            .layer(default_header(header::CACHE_CONTROL, "no-store"))
            .layer(vary())
            .layer(default_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .layer(CatchPanicLayer::custom(after_a_panic))
            .layer(HandleErrorLayer::new(async |_: BoxError| ApiError::Timeout))
            .layer(TimeoutLayer::new(api.timeout))
            .layer(from_fn_with_state(api, check)),
    )
}

/// What answers depend on besides their address.
pub(crate) fn vary() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(header::VARY, HeaderValue::from_static("accept, x-api-key"))
}

/// Anyone can send the header, but the ID in logs must be ours.
async fn without_client_id(mut request: Request, next: Next) -> Response {
    request.headers_mut().remove(REQUEST_ID);
    next.run(request).await
}

/// The ID that AWS gave the request, so that its logs match ours; otherwise a new ID.
#[derive(Debug, Clone, Copy)]
struct TraceId;

impl MakeRequestId for TraceId {
    fn make_request_id<B>(&mut self, request: &http::Request<B>) -> Option<RequestId> {
        let header = request.headers().get("x-amzn-trace-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="));
        // Anyone can send this header too, so only a well-formed ID is accepted.
        let id = root.filter(|id| is_trace_id(id)).map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        HeaderValue::from_str(&id).ok().map(RequestId::new)
    }
}

/// `1-5759e988-bd862e3fe1be46a994272793`: version, time and 96 random bits.
fn is_trace_id(text: &str) -> bool {
    let is_hex =
        |part: &str, digits| part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let known = [parts.next(), parts.next(), parts.next(), parts.next()];
    matches!(known, [Some("1"), Some(time), Some(random), None] if is_hex(time, 8) && is_hex(random, 24))
}

/// Makes the trace ID available to the code that answers, and writes a log line.
async fn in_context(request: Request, next: Next) -> Response {
    let started_at = Instant::now();
    let id = request.extensions().get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
    let trace_id = id.unwrap_or_default().to_owned();
    let wants_problem_details = Accept::of(request.headers()).wants_problem_details();
    let facts = RequestFacts { trace_id: trace_id.clone(), wants_problem_details };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let route = request.extensions().get::<MatchedPath>().map(|route| route.as_str().to_owned());
    let span = tracing::info_span!(
        target: "spans",
        "request",
        trace_id,
        http.method = %method,
        http.route = route,
        http.status = field::Empty,
        url.path = path
    );
    let answering = async {
        let response = REQUEST.scope(facts, next.run(request)).await;
        Span::current().record("http.status", i64::from(response.status().as_u16()));
        let (status, milliseconds) = (response.status().as_u16(), started_at.elapsed().as_secs_f64() * 1_000.0);
        tracing::info!(trace_id, status, milliseconds, "{method} {path} answered {status} in {milliseconds:.1} ms");
        response
    };
    answering.instrument(span).await
}

/// The panic hook already logged the panic's own message.
fn after_a_panic(_: Box<dyn Any + Send>) -> Response {
    ApiError::Internal.into_response()
}

/// Rejects requests that no handler should see, and looks up the database's address again when it is due. It does so
/// here, because a Lambda sandbox is frozen after its response, along with its background work.
async fn check(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    // Pages of other sites have no key and no token, and a gateway has its own host name.
    // Nor has a webhook, which comes through a tunnel: its signature is checked instead.
    let is_webhook = request.uri().path().starts_with(WEBHOOKS);
    let is_open = api.keys.is_none()
        && api.authorizer != Authorizer::Jwt
        && !is_webhook
        && request.extensions().get::<ClientPath>().is_none();
    if let Some(hosts) = api.hosts.as_ref().filter(|_| is_open) {
        hosts.check(&request, &api.origins)?;
    }
    if request.uri().query().is_some_and(|query| query.len() > MAX_QUERY_BYTES) {
        let message = format!("the query string is longer than {MAX_QUERY_BYTES} bytes");
        return Err(ApiError::parameter("query", "too_long", message));
    }
    api.store.renew_if_due().await;
    Ok(next.run(request).await)
}
