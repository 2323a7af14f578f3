//! Every error that the API returns.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use chrono_tz::Tz;
use http::{HeaderValue, StatusCode, header};
use mergeline_domain::delivery::DeploymentSource;
use mergeline_domain::error_chain;
use mergeline_domain::metrics::InvalidParameter;
use mergeline_reporting::ReportError;
use mergeline_store::{EventRefusal, StoreError};
use schemars::JsonSchema;
use serde::Serialize;

use super::context::{trace_id, wants_problem_details};
use super::response::{JSON, PROBLEM_JSON, as_json};
use crate::auth::scope::Scope;

/// A key in `x-api-key`. No registered scheme covers it.
pub(crate) const CHALLENGE: &str = "ApiKey realm=\"mergeline\"";
/// A token in `Authorization` (RFC 6750, 3), and what is said about one that was sent.
pub(crate) const BEARER: &str = "Bearer realm=\"mergeline\"";
pub(crate) const BEARER_REFUSED: &str = "Bearer realm=\"mergeline\", error=\"invalid_token\"";

/// Statuses, codes and meanings of all errors.
pub(crate) const ERRORS: [(u16, &str, &str); 23] = [
    (400, "validation_error", "Parameters or fields of the body are invalid; `details` names each."),
    (400, "invalid_cursor", "The cursor was not issued here, was changed, or belongs to another query."),
    (
        401,
        "unauthorized",
        "No key in `x-api-key` or token in `Authorization`, or a wrong one; of a webhook, no signature or a wrong one.",
    ),
    (401, "login_required", "Below the page: nobody is logged in, or no longer."),
    (403, "no_access", "Below the page, or with a token: the teams file lets this person see nothing."),
    (403, "insufficient_scope", "The key lacks the required scope."),
    (403, "limited_to_teams", "The key is limited to teams, and this does not belong to a team."),
    (403, "host_not_allowed", "Called without a key under a host name that is not this machine's."),
    (403, "cross_site", "Called without a key by a page of another site, or below the page by anything but the page."),
    (404, "not_found", "The path or team does not exist, or the key may not see it."),
    (405, "method_not_allowed", "The method is not in `Allow`."),
    (406, "not_acceptable", "The response is not available in a format that `Accept` allows."),
    (409, "conflict", "The id was posted before, with another service, environment or commit."),
    (409, "other_source", "Another source reports the deployments of the service."),
    (413, "too_large", "The body is larger than 64 kB, a batch than 1 MB, or a webhook than 6 MB."),
    (415, "unsupported_media_type", "The body is not JSON."),
    (500, "internal_error", "Logged under the trace ID."),
    (503, "unavailable", "The database cannot be reached."),
    (503, "provider_unavailable", "The provider's keys cannot be read, so no token can be checked."),
    (503, "overloaded", "Too many requests are in progress."),
    (503, "schema_outdated", "The database schema does not match this program."),
    (503, "unknown_timezone", "The database does not know the time zone of the teams file."),
    (504, "timeout", "It took longer than REQUEST_TIMEOUT_SECONDS."),
];

/// An error with a status, a code and details.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// 400 `validation_error`: invalid parameters.
    Validation(Vec<InvalidParameter>),
    /// 400 `invalid_cursor`: not issued here, changed, or from another query.
    InvalidCursor,
    /// 401 `unauthorized`: no key.
    Unauthorized,
    /// 401 `unauthorized`: a wrong key.
    WrongKey,
    /// 401 `unauthorized`: no token, where one is asked for.
    TokenRequired,
    /// 401 `unauthorized`: a token that is not genuine, not for this API, or not in force.
    WrongToken,
    /// 503 `provider_unavailable`: no token can be checked, because the provider's keys are not known.
    ProviderUnavailable,
    /// 401 `unauthorized`: the signature of a webhook is missing or wrong.
    WrongSignature,
    /// 401 `login_required`: nobody is logged in, or no longer.
    LoginRequired,
    /// 403 `no_access`: no line of `access:` lets this person see anything.
    NoAccess,
    /// 403 `cross_site`: something but the page asks below the page's path.
    NotOfThePage,
    /// 403 `insufficient_scope`: no entry of the list of keys is for the identity of IAM that signed the request.
    UnknownCaller,
    /// 403 `insufficient_scope`: the key lacks the required scope.
    InsufficientScope(Scope),
    /// 403 `limited_to_teams`: the key is limited to teams, and this does not belong to a team.
    LimitedToTeams,
    /// 403 `host_not_allowed`: called under a host name that a server without keys does not accept.
    HostNotAllowed,
    /// 403 `cross_site`: a page of another site called a server without keys.
    CrossSite,
    /// 404 `not_found`: no such team or path.
    NotFound(Cow<'static, str>),
    /// 405 `method_not_allowed`: the path does not have that method.
    MethodNotAllowed,
    /// 406 `not_acceptable`: the response is not available in the requested format.
    NotAcceptable {
        /// The available formats.
        offered: &'static str,
    },
    /// 409 `conflict`: the id was posted before with another value of this field.
    Conflict(&'static str),
    /// 409 `other_source`: another source reports the deployments of the service.
    OtherSource(DeploymentSource),
    /// 413 `too_large`: the body is too large.
    TooLarge,
    /// 413 `too_large`: a webhook is too large.
    DeliveryTooLarge,
    /// 413 `too_large`: a batch is too large.
    BatchTooLarge,
    /// 415 `unsupported_media_type`: the body is not declared as lines of JSON.
    NotLines,
    /// 415 `unsupported_media_type`: the body is not JSON.
    UnsupportedMediaType,
    /// 503 `unavailable`: the database cannot be reached.
    Unavailable,
    /// 503 `unknown_timezone`: the database does not know the time zone of the teams file.
    UnknownTimezone(Tz),
    /// 503 `overloaded`: too many requests use the database.
    Overloaded,
    /// 503 `schema_outdated`: the schema does not match this program. Usually it is older and being migrated.
    SchemaOutdated,
    /// 504 `timeout`: it took too long.
    Timeout,
    /// 500 `internal_error`: logged, not shown.
    Internal,
}

impl ApiError {
    /// A single invalid parameter.
    pub(crate) fn parameter(parameter: &str, reason: &'static str, message: impl Into<String>) -> Self {
        Self::Validation(vec![InvalidParameter::new(parameter, reason, message)])
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Validation(_) | Self::InvalidCursor => StatusCode::BAD_REQUEST,
            Self::Unauthorized
            | Self::WrongKey
            | Self::TokenRequired
            | Self::WrongToken
            | Self::WrongSignature
            | Self::LoginRequired => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_)
            | Self::LimitedToTeams
            | Self::HostNotAllowed
            | Self::CrossSite
            | Self::NotOfThePage
            | Self::UnknownCaller
            | Self::NoAccess => StatusCode::FORBIDDEN,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable { .. } => StatusCode::NOT_ACCEPTABLE,
            Self::Conflict(_) | Self::OtherSource(_) => StatusCode::CONFLICT,
            Self::TooLarge | Self::DeliveryTooLarge | Self::BatchTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType | Self::NotLines => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unavailable
            | Self::ProviderUnavailable
            | Self::UnknownTimezone(_)
            | Self::Overloaded
            | Self::SchemaOutdated => StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The message with the problem of each parameter, where there is no place for details.
    pub(crate) fn detailed(&self) -> String {
        match self {
            Self::Validation(details) => {
                let details = details.iter().map(|it| format!("{}: {}", it.parameter, it.message));
                details.collect::<Vec<_>>().join("; ")
            }
            other => other.message(),
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Validation(_) => "validation_error",
            Self::InvalidCursor => "invalid_cursor",
            Self::Unauthorized | Self::WrongKey | Self::TokenRequired | Self::WrongToken | Self::WrongSignature => {
                "unauthorized"
            }
            Self::ProviderUnavailable => "provider_unavailable",
            Self::InsufficientScope(_) | Self::UnknownCaller => "insufficient_scope",
            Self::LimitedToTeams => "limited_to_teams",
            Self::HostNotAllowed => "host_not_allowed",
            Self::CrossSite | Self::NotOfThePage => "cross_site",
            Self::LoginRequired => "login_required",
            Self::NoAccess => "no_access",
            Self::NotFound(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotAcceptable { .. } => "not_acceptable",
            Self::Conflict(_) => "conflict",
            Self::OtherSource(_) => "other_source",
            Self::TooLarge | Self::DeliveryTooLarge | Self::BatchTooLarge => "too_large",
            Self::UnsupportedMediaType | Self::NotLines => "unsupported_media_type",
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
            Self::Validation(_) => "The request is invalid; see details.".to_owned(),
            Self::InvalidCursor => "The cursor does not belong to this query; start again without it.".to_owned(),
            Self::Unauthorized => "Send the API key in the header x-api-key.".to_owned(),
            Self::WrongKey => "The API key is not accepted.".to_owned(),
            Self::TokenRequired => "Send a token in the header Authorization: Bearer TOKEN.".to_owned(),
            Self::WrongToken => {
                "The token is not accepted: it must be genuine, for this API, and not have ended; the log has the cause."
                    .to_owned()
            }
            Self::ProviderUnavailable => {
                "The token cannot be checked, because its provider does not answer; try again in a moment.".to_owned()
            }
            Self::WrongSignature => {
                "The signature is missing or wrong: the secret must be the one in WEBHOOK_SECRETS.".to_owned()
            }
            Self::UnknownCaller => {
                "The list of keys has no entry for the identity of IAM that signed this, so it may do nothing."
                    .to_owned()
            }
            Self::InsufficientScope(scope) => format!("The API key lacks the scope {scope}."),
            Self::LimitedToTeams => "The API key is limited to teams, and this does not belong to a team.".to_owned(),
            Self::HostNotAllowed => {
                "Without a key this server answers only to localhost, to addresses, and to the names in \
                                     ALLOWED_HOSTS."
                    .to_owned()
            }
            Self::CrossSite => "Without a key this server does not answer pages of other sites.".to_owned(),
            Self::NotOfThePage => {
                "This address is for the page itself; programs send a key to the addresses outside /app.".to_owned()
            }
            Self::LoginRequired => "Log in to see this.".to_owned(),
            Self::NoAccess => {
                "The teams file lets you see nothing: ask the person who keeps it for a line in `access`.".to_owned()
            }
            Self::NotFound(what) => what.clone().into_owned(),
            Self::MethodNotAllowed => {
                "This method is not offered here; the header Allow names those that are.".to_owned()
            }
            Self::NotAcceptable { offered } => format!("This is available as {offered}, which Accept excludes."),
            Self::Conflict(field) => {
                format!(
                    "This id was posted before with another {field}; give another deployment or incident its own id."
                )
            }
            Self::OtherSource(source) => format!(
                "The deployments of this service come from {source}; `deployments: {{ source: events }}` in the teams file \
                 changes that."
            ),
            Self::TooLarge => "The body is larger than 64 kB.".to_owned(),
            Self::DeliveryTooLarge => "The body is larger than 6 MB.".to_owned(),
            Self::BatchTooLarge => "The body is larger than 1 MB.".to_owned(),
            Self::NotLines => {
                "Send one JSON object in each line, with the header content-type: application/x-ndjson.".to_owned()
            }
            Self::UnsupportedMediaType => "Send JSON, with the header content-type: application/json.".to_owned(),
            Self::Unavailable => "The database is not available; try again in a moment.".to_owned(),
            Self::UnknownTimezone(zone) => format!(
                "The database does not know the time zone {zone} of the teams file; name another one there, or update the \
                 database server's time zones."
            ),
            Self::Overloaded => "Too many requests are in progress; try again in a moment.".to_owned(),
            Self::SchemaOutdated => {
                "The database schema does not match this program: run the migrations of this version, \
                 or deploy a newer program."
                    .to_owned()
            }
            Self::Timeout => "The answer took too long; ask for a shorter range.".to_owned(),
            Self::Internal => "Something went wrong here; the log has the details under the trace ID.".to_owned(),
        }
    }
}

/// `{"error": {"code", "message", "details", "trace_id"}}`
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ErrorResponse")]
pub(crate) struct ErrorBody {
    error: ErrorFields,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Error")]
struct ErrorFields {
    /// A stable code for programs.
    code: String,
    /// A sentence for people.
    message: String,
    details: Vec<ErrorDetail>,
    trace_id: String,
}

/// The problem with one parameter.
#[derive(Debug, Serialize, JsonSchema)]
struct ErrorDetail {
    /// The parameter.
    parameter: String,
    /// A stable code for programs.
    reason: &'static str,
    /// A sentence for people.
    message: String,
}

impl From<InvalidParameter> for ErrorDetail {
    fn from(invalid: InvalidParameter) -> Self {
        Self { parameter: invalid.parameter, reason: invalid.reason, message: invalid.message }
    }
}

/// The same error as problem details (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProblemDetails")]
pub(crate) struct ProblemBody {
    /// Always `about:blank`: the code identifies the problem.
    r#type: String,
    /// The status in words.
    title: String,
    status: u16,
    /// A sentence for people.
    detail: String,
    /// A stable code for programs.
    code: String,
    errors: Vec<ErrorDetail>,
    trace_id: String,
}

impl From<csv::Error> for ApiError {
    fn from(error: csv::Error) -> Self {
        tracing::error!(trace_id = trace_id(), "Could not write rows: {error}");
        Self::Internal
    }
}

impl From<EventRefusal> for ApiError {
    fn from(refusal: EventRefusal) -> Self {
        let message = refusal.to_string();
        match refusal {
            EventRefusal::UnknownService => {
                Self::NotFound("There is no such service, or the key may not post about it.".into())
            }
            EventRefusal::UnknownIncident => Self::NotFound(
                "There is no such incident of this sender. One that a webhook or GitHub reported is changed there."
                    .into(),
            ),
            EventRefusal::AmbiguousIncident => Self::parameter("incident_id", "ambiguous", message),
            EventRefusal::Conflict(field) => Self::Conflict(field),
            EventRefusal::OtherSource(source) => Self::OtherSource(source),
            EventRefusal::UnknownRepository(_) | EventRefusal::RepositoryMissing => {
                Self::parameter("repository", "invalid", message)
            }
            EventRefusal::UnknownDeployment | EventRefusal::NoCause => {
                Self::parameter("deployment", "invalid", message)
            }
            EventRefusal::BeforeLastState { field, .. } => Self::parameter(field, "invalid", message),
        }
    }
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        match error {
            // The same for a team that this key must not know of.
            ReportError::UnknownTeam(team) => {
                let team = team.map_or_else(|| "such team".to_owned(), |team| format!("team `{team}`"));
                Self::NotFound(
                    format!("There is no {team} that you may see; GET /v1/teams lists those that you may see.").into(),
                )
            }
            ReportError::UnknownService => {
                Self::NotFound("There is no such service; GET /v1/services lists them.".into())
            }
            ReportError::LimitedToTeams => Self::LimitedToTeams,
            ReportError::Invalid(invalid) => Self::Validation(invalid),
            ReportError::UnknownTimezone(zone, _) => {
                tracing::error!("{}", error_chain(&error));
                Self::UnknownTimezone(zone)
            }
            ReportError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!(trace_id = trace_id(), code = error.code(), "Could not answer: {}", error_chain(&error));
        match error {
            StoreError::Unavailable(_)
            | StoreError::ReadOnly(_)
            | StoreError::Unauthorized(_)
            | StoreError::MayNotConnect { .. } => Self::Unavailable,
            StoreError::Timeout(_) => Self::Timeout,
            StoreError::Schema(_) | StoreError::Outdated { .. } | StoreError::Pooler { .. } => Self::SchemaOutdated,
            StoreError::StaleConfiguration
            | StoreError::DuplicatePerson { .. }
            | StoreError::LostLease
            | StoreError::DuplicateRepository { .. }
            | StoreError::Conflict(_)
            | StoreError::DiskFull(_)
            | StoreError::UnknownValue(_)
            | StoreError::NotOwner
            | StoreError::LoginTaken { .. }
            | StoreError::MayNotCreate { .. }
            | StoreError::NoSchema { .. }
            | StoreError::Other(_) => Self::Internal,
        }
    }
}

/// Marks a response that reports that the database is unreachable or refuses connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DatabaseLost;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message) = (self.status(), self.code().to_owned(), self.message());
        let challenge = match self {
            Self::Unauthorized | Self::WrongKey => Some(CHALLENGE),
            Self::TokenRequired => Some(BEARER),
            Self::WrongToken => Some(BEARER_REFUSED),
            _ => None,
        };
        let is_lost = matches!(self, Self::Unavailable);
        let details = if let Self::Validation(details) = self { details } else { Vec::new() };
        let details: Vec<ErrorDetail> = details.into_iter().map(ErrorDetail::from).collect();
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
        if let Some(challenge) = challenge {
            // RFC 9110, 15.5.2: how to authenticate.
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_documented() {
        let errors = [
            ApiError::Validation(Vec::new()),
            ApiError::InvalidCursor,
            ApiError::Unauthorized,
            ApiError::WrongKey,
            ApiError::TokenRequired,
            ApiError::WrongToken,
            ApiError::ProviderUnavailable,
            ApiError::InsufficientScope(Scope::Admin),
            ApiError::UnknownCaller,
            ApiError::LimitedToTeams,
            ApiError::HostNotAllowed,
            ApiError::CrossSite,
            ApiError::NotFound("".into()),
            ApiError::MethodNotAllowed,
            ApiError::NotAcceptable { offered: JSON },
            ApiError::Conflict("sha"),
            ApiError::OtherSource(DeploymentSource::GithubDeployments),
            ApiError::TooLarge,
            ApiError::UnsupportedMediaType,
            ApiError::Internal,
            ApiError::Unavailable,
            ApiError::Overloaded,
            ApiError::SchemaOutdated,
            ApiError::UnknownTimezone(Tz::UTC),
            ApiError::Timeout,
        ];
        let documented = |error: &ApiError| {
            ERRORS.iter().any(|(status, code, _)| (*status, *code) == (error.status().as_u16(), error.code()))
        };
        assert!(errors.iter().all(documented));
    }
}
