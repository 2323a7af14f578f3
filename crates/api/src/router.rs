//! Every path, with the middleware in front of its operation.

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, MethodRouter, get};
use axum::{Extension, Router};

use crate::auth::access::require_key;
use crate::endpoints::{ALIVE, Documents, OPERATIONS, redirect_to_docs, redirect_to_folder, redirect_to_page};
use crate::http::admission::{Admission, admit, admit_health, admit_lookups, admit_statistics};
use crate::http::errors::ApiError;
use crate::http::layers::around;
use crate::http::operation::{Admit, Operation};
use crate::state::Api;

/// The addresses above the page and the documentation, which people try first.
const ABOVE: [&str; 3] = ["/", "/v1", "/v1/"];

/// The API as a service for Lambda, the laptop and the tests.
pub fn router(api: Api) -> Router {
    let admission = Arc::new(Admission::of(&api));
    // A request passes through the last layer first.
    let with_key = Router::new()
        .merge(
            of(Admit::Lookup)
                .route_layer(from_fn_with_state(admission.clone(), admit))
                .route_layer(from_fn_with_state(admission.clone(), admit_lookups)),
        )
        .merge(
            of(Admit::Statistics)
                .route_layer(from_fn_with_state(admission.clone(), admit))
                .route_layer(from_fn_with_state(admission.clone(), admit_statistics)),
        )
        .route_layer(from_fn_with_state(api.clone(), require_key));
    let webhooks = of(Admit::Webhook).route_layer(from_fn_with_state(admission.clone(), admit));
    let health = || of(Admit::Health).route_layer(from_fn_with_state(admission.clone(), admit_health));
    let above = ABOVE.into_iter().fold(Router::new(), |router, path| match api.page {
        Some(_) => router.route(path, get(redirect_to_page)),
        None => router.route(path, get(redirect_to_docs)),
    });
    let page = api
        .page
        .map_or_else(Router::new, |login| mergeline_dashboard::router(login).route("/app", get(redirect_to_folder)));
    let router = above
        // Behind API Gateway every path starts with the stage, which is named v1.
        .nest("/v1", Router::new().merge(with_key).merge(webhooks).merge(of(Admit::Open)).merge(health()).merge(page))
        .merge(health())
        .route(ALIVE.path, method_router(&ALIVE))
        .fallback(async || ApiError::NotFound("There is nothing at this path."))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(Extension(Arc::new(Documents::of(OPERATIONS))))
        .with_state(api.clone());
    around(router, api)
}

fn of(admission: Admit) -> Router<Api> {
    let operations = OPERATIONS.iter().filter(|operation| operation.admission == admission);
    operations.fold(Router::new(), |router, operation| router.route(operation.path, method_router(operation)))
}

fn method_router(operation: &'static Operation) -> MethodRouter<Api> {
    let filter = MethodFilter::try_from(operation.method.clone()).unwrap_or(MethodFilter::GET);
    (operation.handler)(filter).layer(Extension(operation))
}
