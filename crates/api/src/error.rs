//! Every error that the API answers with.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use mergeline_domain::with_causes;
use mergeline_store::StoreError;
use serde::Serialize;

use crate::answer::{ErrorBody, json};

/// What is wrong with one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Detail {
    /// The parameter.
    pub(crate) parameter: String,
    /// A stable word for programs.
    pub(crate) reason: &'static str,
    /// A sentence for people.
    pub(crate) message: String,
}

/// An error as a status, a code and details.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// 400 `validation_error`: parameters that cannot be used.
    Validation(Vec<Detail>),
    /// 401 `unauthorized`: no key.
    Unauthorized,
    /// 403 `forbidden`: a wrong key.
    Forbidden,
    /// 404 `not_found`: no such team or path.
    NotFound(&'static str),
    /// 405 `method_not_allowed`: only reading is offered.
    MethodNotAllowed,
    /// 503 `unavailable`: the database cannot be reached.
    Unavailable,
    /// 503 `schema_outdated`: the database was not migrated to this version.
    SchemaOutdated,
    /// 504 `timeout`: it took too long.
    Timeout,
    /// 500 `internal_error`: logged, not shown.
    Internal,
}

impl ApiError {
    /// One parameter that cannot be used.
    pub(crate) fn parameter(parameter: &str, reason: &'static str, message: impl Into<String>) -> Self {
        Self::Validation(vec![Detail { parameter: parameter.to_owned(), reason, message: message.into() }])
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Validation(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable | Self::SchemaOutdated => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Validation(_) => "validation_error",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unavailable => "unavailable",
            Self::SchemaOutdated => "schema_outdated",
            Self::Timeout => "timeout",
            Self::Internal => "internal_error",
        }
    }

    fn message(&self) -> &'static str {
        match self {
            Self::Validation(_) => "The request cannot be understood; see details.",
            Self::Unauthorized => "Send the API key in the header x-api-key.",
            Self::Forbidden => "The API key is not accepted.",
            Self::NotFound(what) => what,
            Self::MethodNotAllowed => "Only GET and HEAD are offered here.",
            Self::Unavailable => "The database is not available; try again in a moment.",
            Self::SchemaOutdated => "The database schema is older than this program: run its migrations.",
            Self::Timeout => "The answer took too long; ask for a shorter range.",
            Self::Internal => "Something went wrong here; the log has the details under the trace id.",
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(code = error.code(), "Could not answer: {}", with_causes(&error));
        match error {
            StoreError::Unavailable(_) | StoreError::Unauthorized(_) | StoreError::ReadOnly(_) => Self::Unavailable,
            StoreError::Timeout(_) => Self::Timeout,
            StoreError::Schema(_) => Self::SchemaOutdated,
            StoreError::UnknownValue(_) => {
                Self::parameter("tz", "invalid", "this database does not know the time zone")
            }
            StoreError::StaleConfiguration
            | StoreError::SamePerson { .. }
            | StoreError::LostLease
            | StoreError::SameRepository { .. }
            | StoreError::Conflict(_)
            | StoreError::DiskFull(_)
            | StoreError::Other(_) => Self::Internal,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message) = (self.status(), self.code(), self.message());
        let (allow, retry) = (matches!(self, Self::MethodNotAllowed), status == StatusCode::SERVICE_UNAVAILABLE);
        let details = if let Self::Validation(details) = self { details } else { Vec::new() };
        let mut response = json(status, &ErrorBody::new(code, message, details));
        if allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if retry {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}
