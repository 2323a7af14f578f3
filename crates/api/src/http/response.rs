//! Responses with bytes or JSON.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

pub(crate) const JSON: &str = "application/json";
/// One JSON object in each line.
pub(crate) const LINES: &str = "application/x-ndjson";
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";
pub(crate) const CSV: &str = "text/csv";
pub(crate) const HTML: &str = "text/html";
pub(crate) const TEXT: &str = "text/plain";

/// A JSON body that must not be cached.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    as_json(status, JSON, body)
}

/// A JSON body with another content type.
pub(crate) fn as_json(status: StatusCode, content_type: &'static str, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => build_response(status, HeaderValue::from_static(content_type), bytes),
        Err(error) => {
            tracing::error!("Could not write a response: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A response with these bytes.
pub(crate) fn build_response(status: StatusCode, content_type: HeaderValue, bytes: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, content_type)], bytes).into_response()
}
