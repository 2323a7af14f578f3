//! Conditional requests: a client with the current response gets a 304.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::errors::ApiError;

/// A digest of everything that a response is made from. It is weak, because each response has its own trace ID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ETag(String);

impl ETag {
    /// The tag of a response that also depends on `part`.
    pub(crate) fn and(&self, part: &str) -> Self {
        Self::of(&[&self.0, part])
    }

    /// The tag of a response made from these parts.
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        // The program version is one of them, because another version may format the same numbers differently.
        for part in std::iter::once(&env!("CARGO_PKG_VERSION")).chain(parts) {
            hasher.update(part.len().to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("W/\"{hex}\""))
    }

    /// The tag of a response with this content, for what costs little to compute. Leave out what changes by itself, such as the current time.
    ///
    /// # Errors
    /// If it cannot be serialized as JSON.
    pub(crate) fn of_content(content: &impl Serialize) -> Result<Self, ApiError> {
        let text = serde_json::to_string(content).map_err(|error| {
            tracing::error!("Could not write JSON: {error}");
            ApiError::Internal
        })?;
        Ok(Self::of(&[&text]))
    }

    /// Whether the client already has this response (RFC 9110, 13.1.2).
    pub(crate) fn is_known(&self, headers: &HeaderMap) -> bool {
        let texts = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        texts.flat_map(|text| text.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(&self.0))
    }

    /// The response with its tag, or a 304 if the client has it.
    ///
    /// # Errors
    /// Those of making the response.
    pub(crate) fn unless_known(
        &self,
        headers: &HeaderMap,
        response: impl FnOnce() -> Result<Response, ApiError>,
    ) -> Result<Response, ApiError> {
        if self.is_known(headers) { Ok(self.not_modified()) } else { Ok(self.on(response()?)) }
    }

    /// `304 Not Modified`, without a body.
    pub(crate) fn not_modified(&self) -> Response {
        self.on(StatusCode::NOT_MODIFIED.into_response())
    }

    /// The response with its tag. The client may store it, and must revalidate it each time.
    pub(crate) fn on(&self, mut response: Response) -> Response {
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(header::ETAG, value);
        }
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_accepts_lists_weak_tags_and_stars() {
        let tag = ETag::of(&["a", "b"]);
        let known = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(value).expect("a value"));
            tag.is_known(&headers)
        };
        assert!(known(&tag.0) && known(tag.0.trim_start_matches("W/")) && known("*"));
        assert!(known(&format!("\"other\", {}", tag.0)));
        assert!(!known("\"other\"") && !known("") && !tag.is_known(&HeaderMap::new()));
    }

    #[test]
    fn a_tag_depends_on_every_part_and_boundary() {
        assert_eq!(ETag::of(&["a", "b"]), ETag::of(&["a", "b"]));
        assert_ne!(ETag::of(&["a", "b"]), ETag::of(&["ab", ""]));
        assert_ne!(ETag::of(&["a", "b"]), ETag::of(&["a", "c"]));
    }
}
