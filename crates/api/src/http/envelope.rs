//! The form of every response: the envelope, CSV, and the headers that say how to read them.

use std::fmt::Write as _;

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::context::trace_id;
use super::errors::ApiError;
use super::response::{build_response, json};
use super::tables::Rows;

/// How fresh the data of an answer is, with a 304 too: the answer that the client has says an older instant.
pub(crate) const DATA_AS_OF: HeaderName = HeaderName::from_static("mergeline-data-as-of");

/// What numbers are to be read with, which a table has no place for: `meta` as JSON.
pub(crate) const META: HeaderName = HeaderName::from_static("mergeline-meta");

/// Where a table goes on that does not end here.
pub(crate) const NEXT_CURSOR: HeaderName = HeaderName::from_static("mergeline-next-cursor");

/// The trace id, which tables and 304 have no other place for.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

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

/// Rows as CSV (RFC 4180), under a name that a browser saves it by, with what they are to be read with in a header.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn csv(rows: Rows, name: &str, meta: &impl Serialize, has_bom: bool) -> Result<Response, ApiError> {
    const BOM: &[u8] = "\u{feff}".as_bytes();
    let table = rows.into_bytes()?;
    // Without it Excel takes the table for one in the code page of the machine.
    let bytes = if has_bom { [BOM, &table].concat() } else { table };
    let mut response =
        build_response(StatusCode::OK, HeaderValue::from_static("text/csv; charset=utf-8; header=present"), bytes);
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

/// A document that is the same for everybody and changes with the program only.
pub(crate) fn document(content_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = build_response(StatusCode::OK, HeaderValue::from_static(content_type), bytes);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
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
}
