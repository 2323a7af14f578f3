//! The format of every response: the envelope, CSV, and the headers that describe them.

use std::fmt::Write as _;

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::context::trace_id;
use super::errors::ApiError;
use super::response::{build_response, json};
use super::tables::Rows;

/// How fresh the data of a response is. It is also sent with a 304, because the client's copy has an older instant.
pub(crate) const DATA_AS_OF: HeaderName = HeaderName::from_static("mergeline-data-as-of");

/// `meta` as JSON, because a table has no place for it.
pub(crate) const META: HeaderName = HeaderName::from_static("mergeline-meta");

/// The cursor for the next page of a table.
pub(crate) const NEXT_CURSOR: HeaderName = HeaderName::from_static("mergeline-next-cursor");

/// The trace ID, because tables and 304 responses have no other place for it.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `{"data": …, "meta": …, "trace_id": …}`
#[derive(Debug, Serialize)]
struct Envelope<D, M> {
    data: D,
    meta: M,
    trace_id: String,
}

/// A response in its envelope.
pub(crate) fn answer(data: impl Serialize, meta: impl Serialize) -> Response {
    json(StatusCode::OK, &Envelope { data, meta, trace_id: trace_id() })
}

/// Rows as CSV (RFC 4180), with a file name for browsers, and with `meta` in a header.
///
/// # Errors
/// If they cannot be serialized.
pub(crate) fn csv(rows: Rows, name: &str, meta: &impl Serialize, has_bom: bool) -> Result<Response, ApiError> {
    const BOM: &[u8] = "\u{feff}".as_bytes();
    let table = rows.into_bytes()?;
    // Without it, Excel assumes that the table is in the machine's code page.
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

/// The response with the cursor of the next page, if there is one, in a header: a table has no other place for it.
pub(crate) fn with_next_cursor(mut response: Response, cursor: Option<String>) -> Response {
    if let Some(cursor) = cursor.and_then(|cursor| HeaderValue::from_str(&cursor).ok()) {
        response.headers_mut().insert(NEXT_CURSOR, cursor);
    }
    response
}

/// JSON in printable ASCII. Other characters occur only inside strings, such as text from people, and are escaped.
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

/// A document that is the same for everyone and changes only with the program.
pub(crate) fn document(content_type: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = build_response(StatusCode::OK, HeaderValue::from_static(content_type), bytes);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_json_is_printable_ascii_and_round_trips() {
        let text = "two\r\nlines, \u{7f}, æøå, 日本, 🦀 and \"quotes\"";
        let json = serde_json::to_string(text).expect("a text");
        let written = ascii(&json);
        assert!(written.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{written}");
        assert_eq!(serde_json::from_str::<String>(&written).expect("JSON"), text);
    }
}
