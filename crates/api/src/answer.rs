//! The envelope of every answer.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::error::Detail;

tokio::task_local! {
    /// The trace id of the request that is being answered.
    pub(crate) static TRACE_ID: String;
}

/// The trace id of the request that is being answered; empty outside of one.
fn trace_id() -> String {
    TRACE_ID.try_with(Clone::clone).unwrap_or_default()
}

/// `{"data": …, "meta": …, "trace_id": …}`
#[derive(Debug, Serialize)]
pub(crate) struct Envelope<D, M> {
    data: D,
    meta: M,
    trace_id: String,
}

/// `{"error": {"code", "message", "details", "trace_id"}}`
#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody {
    error: ErrorFields,
}

#[derive(Debug, Serialize)]
struct ErrorFields {
    code: &'static str,
    message: &'static str,
    details: Vec<Detail>,
    trace_id: String,
}

impl ErrorBody {
    pub(crate) fn new(code: &'static str, message: &'static str, details: Vec<Detail>) -> Self {
        Self { error: ErrorFields { code, message, details, trace_id: trace_id() } }
    }
}

/// An answer in its envelope.
pub(crate) fn answer(data: impl Serialize, meta: impl Serialize) -> Response {
    json(StatusCode::OK, &Envelope { data, meta, trace_id: trace_id() })
}

/// A body as JSON. Numbers change every few hours and belong to whoever has the key: nobody in between keeps them.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            ];
            (status, headers, bytes).into_response()
        }
        Err(error) => {
            tracing::error!("Could not write an answer: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
