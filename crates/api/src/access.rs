//! Who may ask, and what.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::Extensions;
use http::request::Parts;
use mergeline_domain::TeamSlug;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::keys::{ApiKey, KeyName};
use crate::router::Api;

/// The header that API Gateway uses as well.
const KEY_HEADER: &str = "x-api-key";

/// What a key may be used for. Each scope allows what those before it allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// `metrics:read`: the numbers of teams.
    MetricsRead,
    /// `prs:read`: pull requests and people.
    PrsRead,
    /// `admin`: the state of the collection.
    Admin,
}

impl Scope {
    /// All scopes, the narrowest one first.
    pub const ALL: [Self; 3] = [Self::MetricsRead, Self::PrsRead, Self::Admin];

    /// The scope as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MetricsRead => "metrics:read",
            Self::PrsRead => "prs:read",
            Self::Admin => "admin",
        }
    }

    /// Whether this scope allows what `other` allows.
    pub fn implies(self, other: Self) -> bool {
        self >= other
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no scope. The text is not shown: in a list of keys it may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeError;

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Scope::ALL.map(|scope| format!("`{scope}`"));
        write!(f, "the scopes are {}", known.join(", "))
    }
}

impl std::error::Error for ScopeError {}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(ScopeError)
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.as_str().to_owned()
    }
}

/// What a request may do: everything, or what its key allows. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Access(Option<Arc<ApiKey>>);

impl Access {
    /// No keys are set: whoever gets here was let in by something in front of the program.
    pub(crate) fn everything() -> Self {
        Self(None)
    }

    /// What this key allows.
    pub(crate) fn of(key: Arc<ApiKey>) -> Self {
        Self(Some(key))
    }

    /// Whether the request may do what the scope names.
    pub(crate) fn has(&self, scope: Scope) -> bool {
        self.0.as_ref().is_none_or(|key| key.allows(scope))
    }

    /// Lets a request pass that may do what the scope names.
    ///
    /// # Errors
    /// [`ApiError::InsufficientScope`] for any other.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), ApiError> {
        if self.has(scope) { Ok(()) } else { Err(ApiError::InsufficientScope(scope)) }
    }

    /// What the request's key is called, if it has one.
    pub(crate) fn key_name(&self) -> Option<&KeyName> {
        self.0.as_deref().map(ApiKey::name)
    }

    /// Whether the request may know of the team.
    pub(crate) fn sees(&self, team: &TeamSlug) -> bool {
        self.only_teams().is_none_or(|teams| teams.contains(team))
    }

    /// The only teams that the request may know of; `None` for all.
    pub(crate) fn only_teams(&self) -> Option<&BTreeSet<TeamSlug>> {
        self.0.as_ref().and_then(|key| key.teams())
    }

    /// Whether there may be teams that the request must not know of, whatever it asks for.
    pub(crate) fn is_limited_to_teams(&self) -> bool {
        self.only_teams().is_some()
    }
}

impl<S: Sync> FromRequestParts<S> for Access {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        access(&parts.extensions)
    }
}

/// What [`require_key`] found out about a request.
///
/// # Errors
/// [`ApiError::Internal`] for a path that does not go through it: nobody checked, so nothing is shown.
pub(crate) fn access(extensions: &Extensions) -> Result<Access, ApiError> {
    extensions.get::<Access>().cloned().ok_or_else(|| {
        tracing::error!("A path asks what a request may do, and nothing checked its key");
        ApiError::Internal
    })
}

/// Lets a request pass that carries a known key, or any request when no keys are set, and notes what it may do.
pub(crate) async fn require_key(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let access = match &api.keys {
        None => Access::everything(),
        Some(keys) => {
            let given = request.headers().get(KEY_HEADER).ok_or(ApiError::Unauthorized)?;
            keys.find(given.as_bytes()).ok_or(ApiError::WrongKey)?
        }
    };
    if let Some(key) = &access.0 {
        tracing::debug!(key = %key.name(), "The key {} asks", key.name());
    }
    request.extensions_mut().insert(access);
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_allows_itself_and_the_narrower_ones() {
        for (wide, scope) in Scope::ALL.into_iter().enumerate() {
            assert_eq!(scope.to_string().parse(), Ok(scope));
            for (narrow, other) in Scope::ALL.into_iter().enumerate() {
                assert_eq!(scope.implies(other), narrow <= wide, "{scope} {other}");
            }
        }
        for other in ["", "metrics:write", "Admin", " admin", "*"] {
            assert_eq!(other.parse::<Scope>(), Err(ScopeError), "{other}");
        }
    }

    #[test]
    fn scopes_are_read_and_written_in_json_as_they_are_called() -> Result<(), serde_json::Error> {
        let json = r#"["metrics:read","prs:read","admin"]"#;
        assert_eq!(serde_json::from_str::<[Scope; 3]>(json)?, Scope::ALL);
        assert_eq!(serde_json::to_string(&Scope::ALL)?, json);
        assert!(serde_json::from_str::<Scope>(r#""write""#).is_err());
        Ok(())
    }

    #[test]
    fn without_keys_everything_is_allowed_and_seen() {
        let access = Access::everything();
        assert!(Scope::ALL.into_iter().all(|scope| access.has(scope)));
        assert!("payments".parse().is_ok_and(|team| access.sees(&team)));
        assert!(!access.is_limited_to_teams());
    }

    #[test]
    fn a_path_that_nothing_checked_shows_nothing() {
        let mut extensions = Extensions::new();
        assert!(matches!(access(&extensions), Err(ApiError::Internal)));
        extensions.insert(Access::everything());
        assert!(access(&extensions).is_ok());
    }
}
