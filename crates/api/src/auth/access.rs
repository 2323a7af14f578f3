//! What a request may access.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use mergeline_reporting::Viewer;
use mergeline_store::Sender;

use crate::auth::keys::{ApiKey, KeyName};
use crate::auth::scope::Scope;
use crate::http::errors::ApiError;
use crate::state::Api;

/// The header that API Gateway uses too.
const KEY_HEADER: &str = "x-api-key";

/// What a request may do: everything, or what its key allows. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Access(Option<Arc<ApiKey>>);

impl Access {
    /// No keys are set: a component in front of the program already authorized the request.
    pub(crate) fn everything() -> Self {
        Self(None)
    }

    /// What this key allows.
    pub(crate) fn of(key: Arc<ApiKey>) -> Self {
        Self(Some(key))
    }

    /// Whether the request has the scope.
    pub(crate) fn has(&self, scope: Scope) -> bool {
        self.0.as_ref().is_none_or(|key| key.allows(scope))
    }

    /// Accepts a request that has the scope.
    ///
    /// # Errors
    /// [`ApiError::InsufficientScope`] otherwise.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.has(scope) { Ok(()) } else { Err(ApiError::InsufficientScope(scope)) }
    }

    /// The name of the request's key, if it has one.
    pub(crate) fn key_name(&self) -> Option<&KeyName> {
        self.0.as_deref().map(ApiKey::name)
    }

    /// Who posts with the request, and what that may be about.
    pub(crate) fn sender(&self) -> Sender {
        self.0.as_ref().map_or_else(Sender::default, |key| key.sender())
    }

    /// Which teams the request may see.
    pub(crate) fn viewer(&self) -> Viewer {
        let teams = self.0.as_ref().and_then(|key| key.teams());
        teams.map_or(Viewer::ALL_TEAMS, |teams| Viewer::of_teams(teams.clone()))
    }
}

/// Accepts a request with a known key, or any request if no keys are set, and records what it may do.
pub(crate) async fn require_key(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let access = match &api.keys {
        None => Access::everything(),
        Some(keys) => {
            let given = request.headers().get(KEY_HEADER).ok_or(ApiError::Unauthorized)?;
            Access::of(keys.find(given.as_bytes()).ok_or(ApiError::WrongKey)?)
        }
    };
    if let Some(key) = &access.0 {
        tracing::debug!(key = %key.name(), "Request with the key {}", key.name());
    }
    request.extensions_mut().insert(access);
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_keys_everything_is_allowed_and_visible() {
        let access = Access::everything();
        assert!(Scope::ALL.into_iter().all(|scope| access.has(scope)));
        assert!("payments".parse().is_ok_and(|team| access.viewer().sees(&team)));
        assert!(!access.viewer().is_limited());
    }
}
