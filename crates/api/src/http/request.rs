//! A request as handlers see it: its team, its query string, what it accepts, and what it may do.

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use http::{HeaderMap, header};
use mergeline_domain::delivery::DeploymentId;
use mergeline_store::{ServiceSelector, TeamSelector};
use mergeline_webhooks::Plugin;
use sha2::{Digest, Sha256};

use super::errors::ApiError;
use super::negotiation::{Accept, Format};
use super::operation::Operation;
use super::parameters::{Parameters, service_selector, team_selector};
use super::response::{JSON, LINES};
use crate::auth::access::Access;
use crate::state::Api;

/// Two hundred lines are shorter.
const MAX_LINES_BYTES: usize = 1024 * 1024;
/// Ids are not longer.
const MAX_INCIDENT: usize = 200;
/// More than any event needs.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// A request that has access to its operation.
#[derive(Debug)]
pub(crate) struct ApiRequest {
    pub(crate) operation: &'static Operation,
    pub(crate) headers: HeaderMap,
    query: String,
    /// What the path names.
    subject: Option<Result<Path<String>, PathRejection>>,
    access: Option<Access>,
}

impl FromRequestParts<Api> for ApiRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let Extension(operation) = Extension::<&'static Operation>::from_request_parts(parts, api)
            .await
            .map_err(|_| unchecked("its operation"))?;
        let access = parts.extensions.get::<Access>().cloned();
        if let Some(scope) = operation.scope {
            let access = access.as_ref().ok_or_else(|| unchecked("its key"))?;
            if let Err(error) = access.require(scope) {
                record_refused(api, operation, access, &error).await?;
                return Err(error);
            }
        }
        let has_subject = operation.has_path_parameter();
        let subject = if has_subject { Some(Path::from_request_parts(parts, api).await) } else { None };
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Ok(Self { operation, headers: parts.headers.clone(), query, subject, access })
    }
}

/// Records that a key sent what it may not. Nothing of its body is read.
async fn record_refused(api: &Api, operation: &Operation, access: &Access, error: &ApiError) -> Result<(), ApiError> {
    let Some((poster, subject)) = api.poster.as_ref().zip(operation.event_subject()) else { return Ok(()) };
    let (sender, digest) = (access.sender(), Sha256::digest([]).into());
    if sender.key_name.is_some() {
        poster.record_refused_event(&sender, &digest, subject, None, error.code(), api.now()).await?;
    }
    Ok(())
}

/// The request was not checked before it reached its handler, so nothing is shown.
fn unchecked(what: &str) -> ApiError {
    tracing::error!("A request reached its handler before a check of {what}");
    ApiError::Internal
}

impl ApiRequest {
    /// What the request may do.
    ///
    /// # Errors
    /// [`ApiError::Internal`] on a path without a key check.
    pub(crate) fn access(&self) -> Result<&Access, ApiError> {
        self.access.as_ref().ok_or_else(|| unchecked("its key"))
    }

    /// Refuses keys that are limited to teams, for what does not belong to a team, such as repositories and services.
    ///
    /// # Errors
    /// [`ApiError::LimitedToTeams`] for such a key.
    pub(crate) fn refuse_limited(&self) -> Result<(), ApiError> {
        if self.access()?.viewer().is_limited() { Err(ApiError::LimitedToTeams) } else { Ok(()) }
    }

    /// The parameters of the query string.
    ///
    /// # Errors
    /// Every invalid parameter.
    pub(crate) fn parameters<P: Parameters>(&self) -> Result<P, ApiError> {
        P::parse(&self.query)
    }

    /// The format of the response. The query overrides the header.
    ///
    /// # Errors
    /// If it is not available in an accepted format.
    pub(crate) fn format(&self, named: Option<Format>) -> Result<Format, ApiError> {
        Accept::of(&self.headers).choose(named, self.operation.has_csv)
    }

    /// Whether a document of this media type is acceptable.
    ///
    /// # Errors
    /// If it is not.
    pub(crate) fn accepts(&self, media_type: &'static str) -> Result<(), ApiError> {
        Accept::of(&self.headers).require(media_type)
    }

    /// The team of the path.
    ///
    /// # Errors
    /// If it is not a valid team number or slug.
    pub(crate) fn team(&self) -> Result<TeamSelector, ApiError> {
        team_selector(self.subject("team_id")?)
    }

    /// The service of the path.
    ///
    /// # Errors
    /// If it is not a valid service number or slug.
    pub(crate) fn service(&self) -> Result<ServiceSelector, ApiError> {
        let text = self.subject("service")?;
        service_selector(text).map_err(|message| ApiError::parameter("service", "invalid", message))
    }

    /// The number of the deployment of the path.
    ///
    /// # Errors
    /// If it is not a valid number.
    pub(crate) fn deployment(&self) -> Result<DeploymentId, ApiError> {
        let text = self.subject("deployment_id")?;
        let is_plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        let id = text.parse().ok().filter(|_| is_plain && text.len() <= 18);
        let refusal = || ApiError::parameter("deployment_id", "invalid", "write the number of the deployment");
        id.map(DeploymentId).ok_or_else(refusal)
    }

    /// The id that its sender gave the incident of the path.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if no incident can have it.
    pub(crate) fn incident(&self) -> Result<&str, ApiError> {
        let text = self.subject("incident_id")?;
        let is_possible = text.chars().count() <= MAX_INCIDENT && !text.chars().any(char::is_control);
        if is_possible { Ok(text) } else { Err(ApiError::NotFound("There is no such incident.".into())) }
    }

    /// The plugin of the path.
    ///
    /// # Errors
    /// [`ApiError::NotFound`] if there is no such plugin.
    pub(crate) fn plugin(&self) -> Result<Plugin, ApiError> {
        self.subject("plugin")?.parse().map_err(|_| ApiError::NotFound("There is no such plugin.".into()))
    }

    /// The name of a plugin, which may not exist.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub(crate) fn plugin_name(&self) -> Result<&str, ApiError> {
        self.subject("name")
    }

    /// The body, if it is declared as JSON and not too large. One that may be left out needs no declaration while it is empty.
    ///
    /// # Errors
    /// [`ApiError::UnsupportedMediaType`] and [`ApiError::TooLarge`].
    pub(crate) async fn body(&self, body: Body, may_be_empty: bool) -> Result<Bytes, ApiError> {
        let media_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        let is_json = media_type.eq_ignore_ascii_case(JSON);
        let bytes = axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| ApiError::TooLarge)?;
        if is_json || may_be_empty && bytes.is_empty() { Ok(bytes) } else { Err(ApiError::UnsupportedMediaType) }
    }

    /// A body of lines, if it is declared as such and not too large.
    ///
    /// # Errors
    /// [`ApiError::UnsupportedMediaType`] and [`ApiError::TooLarge`].
    pub(crate) async fn lines(&self, body: Body) -> Result<Bytes, ApiError> {
        let media_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = media_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
        let bytes = axum::body::to_bytes(body, MAX_LINES_BYTES).await.map_err(|_| ApiError::BatchTooLarge)?;
        if media_type.eq_ignore_ascii_case(LINES) { Ok(bytes) } else { Err(ApiError::NotLines) }
    }

    /// What the path names.
    fn subject(&self, name: &str) -> Result<&str, ApiError> {
        match &self.subject {
            Some(Ok(Path(text))) => Ok(text),
            _ => Err(ApiError::parameter(name, "invalid", "it is not UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use mergeline_store::{DatabaseSettings, Reader};

    use super::*;

    #[tokio::test]
    async fn a_request_without_a_key_check_is_rejected() -> anyhow::Result<()> {
        // Nothing connects to it.
        let settings = DatabaseSettings::parse(&"postgres://nobody@127.0.0.1:1/none".into());
        let settings = settings.map_err(|problem| anyhow::anyhow!("{problem:?}"))?;
        let api = Api::new(Reader::connect(&settings), Duration::from_secs(1), DateTime::default);
        for operation in crate::endpoints::OPERATIONS {
            let mut request = http::Request::new(());
            request.extensions_mut().insert(*operation);
            let (mut parts, ()) = request.into_parts();
            let found = ApiRequest::from_request_parts(&mut parts, &api).await;
            assert_eq!(found.is_ok(), operation.scope.is_none(), "{}", operation.path);
            parts.extensions.insert(Access::everything());
            assert!(ApiRequest::from_request_parts(&mut parts, &api).await.is_ok(), "{}", operation.path);
        }
        Ok(())
    }
}
