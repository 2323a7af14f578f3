//! What a request may access.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use mergeline_reporting::Viewer;
use mergeline_store::Sender;

use crate::auth::callers::{Authorizer, Caller};
use crate::auth::keys::{ApiKey, ApiKeys, KeyName};
use crate::auth::scope::Scope;
use crate::auth::sessions::Person;
use crate::auth::tokens::require_token;
use crate::http::errors::ApiError;
use crate::state::Api;

/// The header that API Gateway uses too.
const KEY_HEADER: &str = "x-api-key";

/// What a request may do. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Access(Holder);

/// Who sent a request.
#[derive(Debug, Clone)]
enum Holder {
    /// No keys are set: a component in front of the program already authorized the request.
    Anyone,
    /// No keys are set, and what is in front of the program lets in everybody who has a key of its own: they all have this scope.
    Gateway(Scope),
    /// The holder of a key, or an identity of IAM that the list of keys names.
    Key(Arc<ApiKey>),
    /// Somebody who logged in to the page, or whom a token is about.
    Person(Arc<Person>),
}

impl Access {
    /// Everything.
    pub(crate) fn everything() -> Self {
        Self(Holder::Anyone)
    }

    /// What everybody may do whom the gateway lets in.
    pub(crate) fn of_gateway(scope: Scope) -> Self {
        Self(Holder::Gateway(scope))
    }

    /// What this key allows.
    pub(crate) fn of(key: Arc<ApiKey>) -> Self {
        Self(Holder::Key(key))
    }

    /// What this person may see.
    pub(crate) fn of_person(person: Person) -> Self {
        Self(Holder::Person(Arc::new(person)))
    }

    fn key(&self) -> Option<&ApiKey> {
        match &self.0 {
            Holder::Key(key) => Some(key),
            Holder::Anyone | Holder::Gateway(_) | Holder::Person(_) => None,
        }
    }

    /// Who logged in or whom the token is about, if the request came by a session or with one.
    pub(crate) fn person(&self) -> Option<&Person> {
        match &self.0 {
            Holder::Person(person) => Some(person),
            Holder::Anyone | Holder::Gateway(_) | Holder::Key(_) => None,
        }
    }

    /// Whether the request has the scope.
    pub(crate) fn has(&self, scope: Scope) -> bool {
        match &self.0 {
            Holder::Anyone => true,
            Holder::Gateway(own) => own.implies(scope),
            Holder::Key(key) => key.allows(scope),
            Holder::Person(person) => person.scope.implies(scope) && (person.may_post || scope != Scope::EventsWrite),
        }
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
        self.key().map(ApiKey::name)
    }

    /// Who posts with the request, and what that may be about.
    pub(crate) fn sender(&self) -> Sender {
        self.key().map_or_else(Sender::default, ApiKey::sender)
    }

    /// Which teams the request may see.
    pub(crate) fn viewer(&self) -> Viewer {
        let teams = match &self.0 {
            Holder::Anyone | Holder::Gateway(_) => None,
            Holder::Key(key) => key.teams(),
            Holder::Person(person) => person.teams.as_ref(),
        };
        teams.map_or(Viewer::ALL_TEAMS, |teams| Viewer::of_teams(teams.clone()))
    }
}

/// Accepts a request with a known key, by a known caller or with a token, or any request that the gateway let in if no keys are set, and records
/// what it may do.
pub(crate) async fn require_key(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if api.authorizer == Authorizer::Jwt {
        return require_token(&api, request, next).await;
    }
    let access = match (&api.keys, api.gateway_key_scope) {
        (None, _) if api.authorizer == Authorizer::Iam && caller(&request).is_none() => {
            return Err(ApiError::UnknownCaller);
        }
        (None, None) => Access::everything(),
        (None, Some(scope)) => Access::of_gateway(scope),
        (Some(keys), _) => Access::of(entry(api.authorizer, keys, &request)?),
    };
    if let Some(key) = access.key() {
        tracing::debug!(key = %key.name(), "Request with the key {}", key.name());
    }
    request.extensions_mut().insert(access);
    Ok(next.run(request).await)
}

/// The entry that a request belongs to.
fn entry(authorizer: Authorizer, keys: &ApiKeys, request: &Request) -> Result<Arc<ApiKey>, ApiError> {
    match authorizer {
        Authorizer::Key => {
            let given = request.headers().get(KEY_HEADER).ok_or(ApiError::Unauthorized)?;
            keys.find(given.as_bytes()).ok_or(ApiError::WrongKey)
        }
        // No key stands in for a token.
        Authorizer::Jwt => Err(ApiError::TokenRequired),
        Authorizer::Iam => caller(request).and_then(|Caller(arn)| keys.find_caller(arn)).ok_or(ApiError::UnknownCaller),
    }
}

fn caller(request: &Request) -> Option<&Caller> {
    request.extensions().get()
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
