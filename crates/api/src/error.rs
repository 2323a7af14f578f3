//! Every error that the API answers with.

use axum::response::{IntoResponse, Response};
use chrono_tz::Tz;
use http::{HeaderValue, StatusCode, header};
use mergeline_domain::with_causes;
use mergeline_store::StoreError;
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Scope;
use crate::answer::{as_json, trace_id, wants_problem_details};
use crate::negotiation::{JSON, PROBLEM_JSON};

/// A key in `x-api-key`, which no registered scheme is about.
pub(crate) const CHALLENGE: &str = "ApiKey realm=\"mergeline\"";

/// What is wrong with one parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
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
    /// 400 `invalid_cursor`: not one of ours, changed, or from another question.
    InvalidCursor,
    /// 401 `unauthorized`: no key.
    Unauthorized,
    /// 401 `unauthorized`: a wrong key.
    WrongKey,
    /// 403 `insufficient_scope`: the key is not for this.
    InsufficientScope(Scope),
    /// 403 `limited_to_teams`: the key is for some teams, and this belongs to none.
    LimitedToTeams,
    /// 403 `host_not_allowed`: called by a name that a server without keys does not answer to.
    HostNotAllowed,
    /// 403 `cross_site`: a page of another site asks a server without keys.
    CrossSite,
    /// 404 `not_found`: no such team or path.
    NotFound(&'static str),
    /// 405 `method_not_allowed`: only reading is offered.
    MethodNotAllowed,
    /// 406 `not_acceptable`: the answer does not exist in the form that is asked for.
    NotAcceptable {
        /// The forms that there are.
        offered: &'static str,
    },
    /// 503 `unavailable`: the database cannot be reached.
    Unavailable,
    /// 503 `unknown_timezone`: the database does not know the time zone of the teams file.
    UnknownTimezone(Tz),
    /// 503 `overloaded`: too many requests work with the database.
    Overloaded,
    /// 503 `schema_outdated`: the schema is not this program's. Mostly it is older, and is being migrated.
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
            Self::Validation(_) | Self::InvalidCursor => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::WrongKey => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) | Self::LimitedToTeams | Self::HostNotAllowed | Self::CrossSite => {
                StatusCode::FORBIDDEN
            }
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Self::Unavailable | Self::UnknownTimezone(_) | Self::Overloaded | Self::SchemaOutdated => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Validation(_) => "validation_error",
            Self::InvalidCursor => "invalid_cursor",
            Self::Unauthorized | Self::WrongKey => "unauthorized",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::LimitedToTeams => "limited_to_teams",
            Self::HostNotAllowed => "host_not_allowed",
            Self::CrossSite => "cross_site",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable { .. } => "not_acceptable",
            Self::Unavailable => "unavailable",
            Self::UnknownTimezone(_) => "unknown_timezone",
            Self::Overloaded => "overloaded",
            Self::SchemaOutdated => "schema_outdated",
            Self::Timeout => "timeout",
            Self::Internal => "internal_error",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Validation(_) => "The request cannot be understood; see details.".to_owned(),
            Self::InvalidCursor => "The cursor does not belong to this question; begin again without it.".to_owned(),
            Self::Unauthorized => "Send the API key in the header x-api-key.".to_owned(),
            Self::WrongKey => "The API key is not accepted.".to_owned(),
            Self::InsufficientScope(scope) => format!("The API key lacks the scope {scope}."),
            Self::LimitedToTeams => "The API key is limited to teams, and this belongs to no team.".to_owned(),
            Self::HostNotAllowed => {
                "Without a key this server answers only to localhost, to addresses, and to the names in \
                                     ALLOWED_HOSTS."
                    .to_owned()
            }
            Self::CrossSite => "Without a key this server does not answer pages of other sites.".to_owned(),
            Self::NotFound(what) => (*what).to_owned(),
            Self::MethodNotAllowed => "Only GET and HEAD are offered here.".to_owned(),
            Self::NotAcceptable { offered } => format!("This exists as {offered}, which Accept excludes."),
            Self::Unavailable => "The database is not available; try again in a moment.".to_owned(),
            Self::UnknownTimezone(zone) => format!(
                "The database does not know the time zone {zone} of the teams file; name another one there, or update the \
                 database server's time zones."
            ),
            Self::Overloaded => "Too many requests are being answered; try again in a moment.".to_owned(),
            Self::SchemaOutdated => {
                "The database schema does not fit this program: run the migrations of this version, \
                 or deploy a newer program."
                    .to_owned()
            }
            Self::Timeout => "The answer took too long; ask for a shorter range.".to_owned(),
            Self::Internal => "Something went wrong here; the log has the details under the trace id.".to_owned(),
        }
    }
}

/// `{"error": {"code", "message", "details", "trace_id"}}`
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorBody {
    error: ErrorFields,
}

#[derive(Debug, Serialize, JsonSchema)]
struct ErrorFields {
    /// A stable word for programs.
    code: String,
    /// A sentence for people.
    message: String,
    details: Vec<Detail>,
    trace_id: String,
}

/// The same as problem details (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProblemBody {
    /// Always `about:blank`: the code says which problem it is.
    r#type: String,
    /// The status in words.
    title: String,
    status: u16,
    /// A sentence for people.
    detail: String,
    /// A stable word for programs.
    code: String,
    errors: Vec<Detail>,
    trace_id: String,
}

impl From<csv::Error> for ApiError {
    fn from(error: csv::Error) -> Self {
        tracing::error!(trace_id = trace_id(), "Could not write rows: {error}");
        Self::Internal
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(trace_id = trace_id(), code = error.code(), "Could not answer: {}", with_causes(&error));
        match error {
            StoreError::Unavailable(_)
            | StoreError::ReadOnly(_)
            | StoreError::Unauthorized(_)
            | StoreError::MayNotConnect { .. } => Self::Unavailable,
            StoreError::Timeout(_) => Self::Timeout,
            StoreError::Schema(_) | StoreError::Pooler { .. } => Self::SchemaOutdated,
            StoreError::StaleConfiguration
            | StoreError::SamePerson { .. }
            | StoreError::LostLease
            | StoreError::SameRepository { .. }
            | StoreError::Conflict(_)
            | StoreError::DiskFull(_)
            | StoreError::UnknownValue(_)
            | StoreError::MayNotCreate { .. }
            | StoreError::NoSchema { .. }
            | StoreError::Other(_) => Self::Internal,
        }
    }
}

/// The database is not there, or lets nobody in: a request that was answered so may be tried again with a new address or
/// password.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatabaseLost;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message) = (self.status(), self.code().to_owned(), self.message());
        let is_unauthorized = matches!(self, Self::Unauthorized | Self::WrongKey);
        let is_method = matches!(self, Self::MethodNotAllowed);
        let is_lost = matches!(self, Self::Unavailable);
        let details = if let Self::Validation(details) = self { details } else { Vec::new() };
        let mut response = if wants_problem_details() {
            let body = ProblemBody {
                r#type: "about:blank".to_owned(),
                title: status.canonical_reason().unwrap_or_default().to_owned(),
                status: status.as_u16(),
                detail: message,
                code,
                errors: details,
                trace_id: trace_id(),
            };
            as_json(status, PROBLEM_JSON, &body)
        } else {
            as_json(status, JSON, &ErrorBody { error: ErrorFields { code, message, details, trace_id: trace_id() } })
        };
        if is_unauthorized {
            // RFC 9110, 15.5.2: how to be let in.
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        if is_method {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        if is_lost {
            response.extensions_mut().insert(DatabaseLost);
        }
        response
    }
}
