//! What a request may access.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use mergeline_domain::TeamSlug;
use mergeline_reporting::Viewer;

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

    /// The viewer, for a report.
    pub(crate) fn viewer(&self) -> Viewer {
        self.only_teams().map_or(Viewer::ALL_TEAMS, |teams| Viewer::of_teams(teams.clone()))
    }

    /// Whether the request may see the team.
    pub(crate) fn sees(&self, team: &TeamSlug) -> bool {
        self.only_teams().is_none_or(|teams| teams.contains(team))
    }

    /// The only teams that the request may see; `None` for all.
    pub(crate) fn only_teams(&self) -> Option<&BTreeSet<TeamSlug>> {
        self.0.as_ref().and_then(|key| key.teams())
    }

    /// Whether there may be teams that the request must not see.
    pub(crate) fn is_limited_to_teams(&self) -> bool {
        self.only_teams().is_some()
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
        assert!("payments".parse().is_ok_and(|team| access.sees(&team)));
        assert!(!access.is_limited_to_teams());
    }
}
