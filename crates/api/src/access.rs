//! Who may ask.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::error::ApiError;
use crate::router::Api;

/// The header that API Gateway uses as well.
const KEY_HEADER: &str = "x-api-key";

/// A key that requests must carry.
#[derive(Debug, Clone)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// The key with this text.
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    /// Takes as long for a nearly right key as for a wrong one.
    fn matches(&self, given: &[u8]) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(given).into()
    }
}

/// Lets a request pass that carries the key, or any request when no key is set.
pub(crate) async fn require_key(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    if let Some(key) = &api.key {
        let given = request.headers().get(KEY_HEADER).ok_or(ApiError::Unauthorized)?;
        if !key.matches(given.as_bytes()) {
            return Err(ApiError::Forbidden);
        }
    }
    Ok(next.run(request).await)
}
