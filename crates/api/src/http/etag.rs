//! Conditional requests: a client that has the answer already is told so.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

/// A digest of everything that an answer is made from. It is weak, as each answer has a trace id of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ETag(String);

impl ETag {
    /// The tag of an answer that is made from this too.
    pub(crate) fn and(&self, part: &str) -> Self {
        Self::of(&[&self.0, part])
    }

    /// The tag of an answer that is made from these.
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut hasher = Sha256::new();
        // The program is one of them: another version may write the same numbers differently.
        for part in std::iter::once(&env!("CARGO_PKG_VERSION")).chain(parts) {
            hasher.update(part.len().to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let digest = hasher.finalize();
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self(format!("W/\"{hex}\""))
    }

    /// Whether the client has this answer already (RFC 9110, 13.1.2).
    pub(crate) fn is_known(&self, headers: &HeaderMap) -> bool {
        let texts = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        texts.flat_map(|text| text.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(&self.0))
    }

    /// `304 Not Modified`, without a body.
    pub(crate) fn not_modified(&self) -> Response {
        self.on(StatusCode::NOT_MODIFIED.into_response())
    }

    /// The answer with its tag: the client may keep it, and asks each time whether it is still right.
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
    fn a_tag_is_found_in_a_list_weak_or_not_and_by_a_star() {
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
    fn a_tag_depends_on_every_part_and_on_where_parts_end() {
        assert_eq!(ETag::of(&["a", "b"]), ETag::of(&["a", "b"]));
        assert_ne!(ETag::of(&["a", "b"]), ETag::of(&["ab", ""]));
        assert_ne!(ETag::of(&["a", "b"]), ETag::of(&["a", "c"]));
    }
}
