//! `GET /v1/openapi.json` and `/v1/docs`: the API documentation.

use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use http::{HeaderValue, Method, StatusCode, header};

use crate::docs;
use crate::http::context::ClientPath;
use crate::http::envelope::document;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;
use crate::http::response::{HTML, JSON};

pub(crate) const OPENAPI: Operation = Operation {
    method: Method::GET,
    path: "/openapi.json",
    handler: |filter| on(filter, openapi),
    admission: Admit::Open,
    id: "getOpenApi",
    summary: "This document",
    description: "OpenAPI 3.1.",
    scope: None,
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Document(JSON),
};

pub(crate) const DOCS: Operation = Operation {
    path: "/docs",
    handler: |filter| on(filter, page),
    id: "getDocs",
    summary: "The API documentation as a page",
    description: "It loads nothing from other hosts.",
    body: Body::Document(HTML),
    ..OPENAPI
};

/// The documents about these operations. Each is generated on its first request.
#[derive(Debug)]
pub(crate) struct Documents {
    operations: &'static [&'static Operation],
    openapi: OnceLock<Vec<u8>>,
    page: OnceLock<String>,
}

impl Documents {
    pub(crate) fn of(operations: &'static [&'static Operation]) -> Self {
        Self { operations, openapi: OnceLock::new(), page: OnceLock::new() }
    }

    fn openapi(&self) -> Vec<u8> {
        let make = || serde_json::to_vec(&docs::openapi(self.operations)).unwrap_or_default();
        self.openapi.get_or_init(make).clone()
    }

    fn page(&self) -> Vec<u8> {
        self.page.get_or_init(|| docs::page(self.operations)).clone().into_bytes()
    }
}

async fn openapi(Extension(documents): Extension<Arc<Documents>>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.accepts(JSON)?;
    Ok(document(JSON, documents.openapi()))
}

async fn page(Extension(documents): Extension<Arc<Documents>>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.accepts(HTML)?;
    let mut response = document("text/html; charset=utf-8", documents.page());
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    Ok(response)
}

/// Redirects the addresses above the documentation to it.
pub(crate) async fn redirect_to_docs(asked: Option<Extension<ClientPath>>) -> Response {
    redirect(asked.as_deref(), "docs", HeaderValue::from_static("/v1/docs"))
}

/// Redirects the addresses above the page to it. Its own addresses are relative, so that it ends with a slash.
pub(crate) async fn redirect_to_page(asked: Option<Extension<ClientPath>>) -> Response {
    redirect(asked.as_deref(), "app/", HeaderValue::from_static("/v1/app/"))
}

/// Redirects the address of the page to its folder.
pub(crate) async fn redirect_to_folder(asked: Option<Extension<ClientPath>>) -> Response {
    match asked.as_deref() {
        Some(asked) => redirect(Some(asked), "", HeaderValue::from_static("/v1/app/")),
        None => redirect(None, "app/", HeaderValue::from_static("/v1/app/")),
    }
}

/// Redirects to something below the path that the client used.
fn redirect(asked: Option<&ClientPath>, below: &str, default: HeaderValue) -> Response {
    let path = match asked {
        Some(ClientPath(path)) => path.trim_matches('/'),
        // With nothing in front of the program, the version is set here.
        None => "v1",
    };
    let target = if path.is_empty() { format!("/{below}") } else { format!("/{path}/{below}") };
    let location = HeaderValue::from_str(&target).unwrap_or(default);
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
}
