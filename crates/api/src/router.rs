//! Every path, with the middleware in front of its operation.

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, any, get};
use axum::{Extension, Router};
use http::Method;

use crate::auth::access::require_key;
use crate::auth::sessions::{login_routes, require_session};
use crate::endpoints::{
    ALIVE, Documents, OPERATIONS, PROMETHEUS, redirect_to_docs, redirect_to_folder, redirect_to_page,
};
use crate::http::admission::{Admission, admit, admit_health, admit_lookups, admit_statistics};
use crate::http::errors::ApiError;
use crate::http::layers::{around, vary};
use crate::http::operation::{Admit, Operation};
use crate::state::{Api, Login};

/// The addresses above the page and the documentation, which people try first.
const ABOVE: [&str; 3] = ["/", "/v1", "/v1/"];
const NOTHING: &str = "There is nothing at this path.";

/// The API as a service for Lambda, the laptop and the tests.
pub fn router(api: Api) -> Router {
    let admission = Arc::new(Admission::of(&api));
    // A request passes through the last layer first.
    let aggregating = |router: Router<Api>| {
        router
            .route_layer(from_fn_with_state(admission.clone(), admit))
            .route_layer(from_fn_with_state(admission.clone(), admit_statistics))
    };
    let data = |offers: fn(&Operation) -> bool| {
        Router::new()
            .merge(
                of(Admit::Lookup, offers)
                    .route_layer(from_fn_with_state(admission.clone(), admit))
                    .route_layer(from_fn_with_state(admission.clone(), admit_lookups)),
            )
            .merge(aggregating(of(Admit::Statistics, offers)))
    };
    let with_key = data(|_| true).route_layer(from_fn_with_state(api.clone(), require_key));
    let webhooks = of(Admit::Webhook, |_| true).route_layer(from_fn_with_state(admission.clone(), admit));
    let health = || of(Admit::Health, |_| true).route_layer(from_fn_with_state(admission.clone(), admit_health));
    let above = ABOVE.into_iter().fold(Router::new(), |router, path| match api.page {
        Some(_) => router.route(path, get(redirect_to_page)),
        None => router.route(path, get(redirect_to_docs)),
    });
    let page = match &api.page {
        None => Router::new(),
        Some(login) => {
            let (kind, more) = match login {
                Login::None => (mergeline_dashboard::Login::None, Router::new()),
                Login::Key => (mergeline_dashboard::Login::Key, Router::new()),
                Login::Oidc(_) => {
                    // Below the page nothing but its files answers without a session, not even that a path is unknown.
                    let data = data(|operation| operation.method == Method::GET)
                        .merge(of(Admit::Open, |_| true))
                        .route("/{*path}", any(async || ApiError::NotFound(NOTHING.into())))
                        .layer(from_fn_with_state(api.clone(), require_session));
                    (mergeline_dashboard::Login::Oidc, login_routes().nest("/app/api", data))
                }
            };
            mergeline_dashboard::router(kind, &api.database).route("/app", get(redirect_to_folder)).merge(more)
        }
    };
    let prometheus = if api.prometheus {
        let metrics = Router::new().route(PROMETHEUS.path, method_router(&PROMETHEUS));
        aggregating(metrics).route_layer(from_fn_with_state(api.clone(), require_key))
    } else {
        Router::new()
    };
    let readable = Router::new()
        .merge(with_key)
        .merge(of(Admit::Open, |_| true))
        .merge(health())
        .method_not_allowed_fallback(method_not_allowed);
    let readable = match api.origins.layer() {
        // The outer layer would leave `Vary` alone where CORS has written to it.
        Some(cors) => readable.layer(vary()).layer(cors),
        None => readable,
    };
    let router = above
        // Behind API Gateway every path starts with the stage, which is named v1.
        .nest("/v1", Router::new().merge(readable).merge(webhooks).merge(page))
        .merge(health())
        .merge(prometheus)
        .route(ALIVE.path, method_router(&ALIVE))
        .fallback(async || ApiError::NotFound(NOTHING.into()))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Extension(Arc::new(Documents::of(OPERATIONS))))
        .with_state(api.clone());
    around(router, api)
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
}

/// The operations with this admission that are offered.
fn of(admission: Admit, offers: fn(&Operation) -> bool) -> Router<Api> {
    let operations = OPERATIONS.iter().filter(|operation| operation.admission == admission && offers(operation));
    operations.fold(Router::new(), |router, operation| router.route(operation.path, method_router(operation)))
}

fn method_router(operation: &'static Operation) -> MethodRouter<Api> {
    let filter = MethodFilter::try_from(operation.method.clone()).unwrap_or(MethodFilter::GET);
    (operation.handler)(filter).layer(Extension(operation))
}
