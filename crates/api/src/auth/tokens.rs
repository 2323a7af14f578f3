//! Tokens that programs send in place of a key, and what the teams file lets whom they are about do.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use mergeline_domain::Refusal;
use mergeline_login::{LoginError, TokenSettings, Tokens};

use super::access::Access;
use super::sessions::{KnownLines, Person, in_time};
use crate::http::context::trace_id;
use crate::http::errors::ApiError;
use crate::state::Api;

/// Checks tokens, with the lines of `access:` that were last read.
#[derive(Debug)]
pub struct TokenCheck {
    tokens: Tokens,
    lines: KnownLines,
}

impl TokenCheck {
    /// With the provider of these settings.
    ///
    /// # Errors
    /// If no certificate authority is known.
    pub fn new(settings: TokenSettings) -> Result<Self, LoginError> {
        Ok(Self { tokens: Tokens::new(settings)?, lines: KnownLines::default() })
    }
}

/// Accepts a request with a token of somebody whom a line of `access:` lets see something, and records what they may do.
pub(super) async fn require_token(api: &Api, mut request: Request, next: Next) -> Result<Response, ApiError> {
    // Without anything to check them with, no token is good.
    let check = api.tokens.as_ref().ok_or(ApiError::TokenRequired)?;
    let token = token(request.headers())?;
    let now = api.now();
    let lines = check.lines.get(&api.store, now).await?;
    let bearer = in_time(api, check.tokens.bearer(token, &lines, now)).await.map_err(|error| refused(&error))?;
    let grant = lines.decide(&bearer.identity).map_err(|refusal| match refusal {
        Refusal::LoginTooOld { .. } => ApiError::WrongToken,
        Refusal::NoLine | Refusal::Denied { .. } => ApiError::NoAccess,
    })?;
    tracing::debug!(role = %grant.role, line = grant.line, "Request with a token as {}", grant.role);
    request.extensions_mut().insert(Access::of_person(Person::by_token(&bearer, grant)));
    let mut response = next.run(request).await;
    // A cache would outlive the token, and knows its holder as little as its end.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The token of `Authorization: Bearer`, the only place where one is looked for: addresses end up in logs.
fn token(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value,
        (None, _) => return Err(ApiError::TokenRequired),
        (Some(_), Some(_)) => return Err(ApiError::WrongToken),
    };
    let text = value.to_str().map_err(|_| ApiError::WrongToken)?;
    let (scheme, token) = text.split_once(' ').ok_or(ApiError::TokenRequired)?;
    // Names of schemes are not case-sensitive (RFC 9110, 11.1).
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(ApiError::TokenRequired) }
}

fn refused(error: &LoginError) -> ApiError {
    let code = error.code();
    match error {
        LoginError::Unreachable(_) | LoginError::Unsuitable(_) => {
            tracing::error!(trace_id = trace_id(), code, "No token can be checked: {error}");
            ApiError::ProviderUnavailable
        }
        LoginError::TooManyGroups | LoginError::NoGroups => {
            tracing::warn!(trace_id = trace_id(), code, "A token was refused: {error}");
            ApiError::NoAccess
        }
        _ => {
            // Everybody can send one: this is no warning.
            tracing::info!(trace_id = trace_id(), "A token was refused: {error}");
            ApiError::WrongToken
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(values: &[&'static str]) -> Result<String, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
        }
        match token(&headers) {
            Ok(token) => Ok(token.to_owned()),
            Err(ApiError::TokenRequired) => Err("required"),
            Err(_) => Err("wrong"),
        }
    }

    #[test]
    fn a_token_is_the_only_bearer_of_the_header() {
        for values in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert_eq!(found(&[values]), Ok("a.b.c".to_owned()), "{values}");
        }
        for values in [&[][..], &["a.b.c"], &["Basic a.b.c"], &["Bearer"], &["Bearer-a.b.c"]] {
            assert_eq!(found(values), Err("required"), "{values:?}");
        }
        assert_eq!(found(&["Bearer a.b.c", "Bearer a.b.c"]), Err("wrong"));
    }
}
