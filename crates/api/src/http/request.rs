//! A request as the handlers get it: its team, its query string, what it accepts, and what it may do.

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use http::HeaderMap;
use http::request::Parts;
use mergeline_store::TeamSelector;

use super::errors::ApiError;
use super::negotiation::{Accept, Format};
use super::operation::Operation;
use super::parameters::{Parameters, team_selector};
use crate::auth::access::Access;

/// A request that may do what its operation does.
#[derive(Debug)]
pub(crate) struct ApiRequest {
    pub(crate) operation: &'static Operation,
    pub(crate) headers: HeaderMap,
    query: String,
    team: Option<Result<Path<String>, PathRejection>>,
    access: Option<Access>,
}

impl<S: Send + Sync> FromRequestParts<S> for ApiRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Extension(operation) = Extension::<&'static Operation>::from_request_parts(parts, state)
            .await
            .map_err(|_| unchecked("which operation it is"))?;
        let access = parts.extensions.get::<Access>().cloned();
        if let Some(scope) = operation.scope {
            access.as_ref().ok_or_else(|| unchecked("what its key allows"))?.require(scope)?;
        }
        let team = if operation.has_team() { Some(Path::from_request_parts(parts, state).await) } else { None };
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Ok(Self { operation, headers: parts.headers.clone(), query, team, access })
    }
}

/// Nobody found out what is to be known of a request before it is answered, so nothing is shown.
fn unchecked(what: &str) -> ApiError {
    tracing::error!("A request reached its handler before it was known {what}");
    ApiError::Internal
}

impl ApiRequest {
    /// What the request may do.
    ///
    /// # Errors
    /// [`ApiError::Internal`] on a path whose key nothing checked.
    pub(crate) fn access(&self) -> Result<&Access, ApiError> {
        self.access.as_ref().ok_or_else(|| unchecked("what its key allows"))
    }

    /// The parameters of the query string.
    ///
    /// # Errors
    /// Each parameter that cannot be used.
    pub(crate) fn parameters<P: Parameters>(&self) -> Result<P, ApiError> {
        P::parse(&self.query)
    }

    /// The form of the answer. What the query names goes before what the header accepts.
    ///
    /// # Errors
    /// When it does not exist in a form that is accepted.
    pub(crate) fn format(&self, named: Option<Format>) -> Result<Format, ApiError> {
        Accept::of(&self.headers).choose(named, self.operation.has_csv)
    }

    /// Whether a document of this media type will do.
    ///
    /// # Errors
    /// When it will not.
    pub(crate) fn accepts(&self, media_type: &'static str) -> Result<(), ApiError> {
        Accept::of(&self.headers).require(media_type)
    }

    /// The team of the path.
    ///
    /// # Errors
    /// When it can be no team's number or slug.
    pub(crate) fn team(&self) -> Result<TeamSelector, ApiError> {
        match &self.team {
            Some(Ok(Path(team))) => team_selector(team),
            _ => Err(ApiError::parameter("team_id", "invalid", "it is not UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_whose_key_nothing_checked_reaches_no_handler() {
        for operation in crate::endpoints::OPERATIONS {
            let mut request = http::Request::new(());
            request.extensions_mut().insert(*operation);
            let (mut parts, ()) = request.into_parts();
            let found = ApiRequest::from_request_parts(&mut parts, &()).await;
            assert_eq!(found.is_ok(), operation.scope.is_none(), "{}", operation.path);
            parts.extensions.insert(Access::everything());
            assert!(ApiRequest::from_request_parts(&mut parts, &()).await.is_ok(), "{}", operation.path);
        }
    }
}
