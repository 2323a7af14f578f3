//! The form of every answer: the envelope, CSV, and what caches may do with them.

use std::fmt::Write as _;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::csv::Rows;
use crate::error::ApiError;
use crate::model::Meta;
use crate::negotiation::JSON;

tokio::task_local! {
    /// What is known of the request that is being answered.
    pub(crate) static REQUEST: RequestFacts;
}

/// What every answer to a request carries or depends on.
#[derive(Debug, Clone)]
pub(crate) struct RequestFacts {
    pub(crate) trace_id: String,
    /// Whether errors are wanted as problem details.
    pub(crate) wants_problem_details: bool,
}

/// How fresh the data of an answer is, with a 304 too: the answer that the client has says an older instant.
pub(crate) const DATA_AS_OF: HeaderName = HeaderName::from_static("mergeline-data-as-of");

/// What numbers are to be read with, which a table has no place for: `meta` as JSON.
pub(crate) const META: HeaderName = HeaderName::from_static("mergeline-meta");

/// Where a table goes on that does not end here.
pub(crate) const NEXT_CURSOR: HeaderName = HeaderName::from_static("mergeline-next-cursor");

/// The trace id of the request that is being answered; empty outside of one.
pub(crate) fn trace_id() -> String {
    REQUEST.try_with(|facts| facts.trace_id.clone()).unwrap_or_default()
}

/// Whether errors are wanted as problem details.
pub(crate) fn wants_problem_details() -> bool {
    REQUEST.try_with(|facts| facts.wants_problem_details).unwrap_or_default()
}

/// `{"data": …, "meta": …, "trace_id": …}`
#[derive(Debug, Serialize)]
struct Envelope<D, M> {
    data: D,
    meta: M,
    trace_id: String,
}

/// An answer in its envelope.
pub(crate) fn answer(data: impl Serialize, meta: impl Serialize) -> Response {
    json(StatusCode::OK, &Envelope { data, meta, trace_id: trace_id() })
}

/// A body as JSON that nobody keeps.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    as_json(status, JSON, body)
}

/// A body as JSON under another name.
pub(crate) fn as_json(status: StatusCode, content_type: &'static str, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => whole(status, HeaderValue::from_static(content_type), bytes),
        Err(error) => {
            tracing::error!("Could not write an answer: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Rows as CSV (RFC 4180), under a name that a browser saves it by, with what they are to be read with in a header.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn csv(rows: Rows, name: &str, meta: &Meta, has_bom: bool) -> Result<Response, ApiError> {
    const BOM: &[u8] = "\u{feff}".as_bytes();
    let table = rows.into_bytes()?;
    // Without it Excel takes the table for one in the code page of the machine.
    let bytes = if has_bom { [BOM, &table].concat() } else { table };
    let mut response =
        whole(StatusCode::OK, HeaderValue::from_static("text/csv; charset=utf-8; header=present"), bytes);
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\""));
    if let Ok(disposition) = disposition {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    match serde_json::to_string(meta).map(|json| HeaderValue::from_str(&ascii(&json))) {
        Ok(Ok(value)) => response.headers_mut().insert(META, value),
        failed => {
            tracing::error!("Could not write a header: {failed:?}");
            return Err(ApiError::Internal);
        }
    };
    Ok(response)
}

/// JSON in printable ASCII: all other characters stand in its texts, as what people wrote, and are escaped there.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if matches!(c, ' '..='~') {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out
}

fn whole(status: StatusCode, content_type: HeaderValue, bytes: Vec<u8>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::VARY, HeaderValue::from_static("accept, x-api-key")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (status, headers, bytes).into_response()
}

/// A document that is the same for everybody and changes with the program only.
pub(crate) fn document(content_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = whole(StatusCode::OK, HeaderValue::from_static(content_type), bytes);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

/// What an answer is known by: everything that it is made from. It is weak, as each answer has a trace id of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag(String);

impl Tag {
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
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept, x-api-key"));
        self.on(response)
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
    fn json_in_a_header_is_printable_ascii_and_reads_back_the_same() {
        let text = "two\r\nlines, \u{7f}, æøå, 日本, 🦀 and \"quotes\"";
        let json = serde_json::to_string(text).expect("a text");
        let written = ascii(&json);
        assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).expect("JSON"), text);
    }

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_not_and_by_a_star() {
        let tag = Tag::of(&["a", "b"]);
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
        assert_eq!(Tag::of(&["a", "b"]), Tag::of(&["a", "b"]));
        assert_ne!(Tag::of(&["a", "b"]), Tag::of(&["ab", ""]));
        assert_ne!(Tag::of(&["a", "b"]), Tag::of(&["a", "c"]));
    }
}
