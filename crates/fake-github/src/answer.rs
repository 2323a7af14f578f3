//! Responses: JSON in GitHub's format, and the ways in which a connection may break instead.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::HALF_A_PAIR;
use crate::call::Call;

/// A response before it is sent.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Payload,
}

/// The body, or how the connection breaks.
pub(crate) enum Payload {
    Bytes(Bytes),
    /// A body that does not end properly.
    Stream(Body),
    /// Not even a head: the connection ends.
    Nothing,
}

/// Serialized JSON, compressed if the client accepts that.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    bytes: Bytes,
    is_gzipped: bool,
    /// A hash of the uncompressed text.
    hash: u64,
}

impl Page {
    pub(crate) fn of(value: &Value, gzip: bool) -> Self {
        Self::of_json(value.to_string(), gzip)
    }

    /// Escapes the placeholders of half pairs in JSON.
    pub(crate) fn of_json(json: String, gzip: bool) -> Self {
        let json = if json.contains(HALF_A_PAIR) { json.replace(HALF_A_PAIR, "\\ud83d") } else { json };
        Self::of_bytes(json.into_bytes(), gzip)
    }

    pub(crate) fn of_bytes(bytes: Vec<u8>, gzip: bool) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let hash = hasher.finish();
        match gzip.then(|| zip(&bytes)) {
            Some(Ok(zipped)) => Self { bytes: zipped.into(), is_gzipped: true, hash },
            _ => Self { bytes: bytes.into(), is_gzipped: false, hash },
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

fn zip(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

impl Answer {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let answer = Self { status, headers: HeaderMap::new(), body: Payload::Bytes(body.into()) };
        answer.with(header::CONTENT_TYPE, content_type)
    }

    pub(crate) fn page(status: StatusCode, page: &Page) -> Self {
        let answer = Self::new(status, "application/json; charset=utf-8", page.bytes.clone());
        if page.is_gzipped { answer.with(header::CONTENT_ENCODING, "gzip") } else { answer }
    }

    pub(crate) fn json(status: StatusCode, value: &Value) -> Self {
        Self::page(status, &Page::of(value, false))
    }

    /// A page, or 304 if the client already has it. An `ETag` belongs to its token.
    pub(crate) fn conditional(call: &Call, page: &Page) -> Self {
        let mut hasher = DefaultHasher::new();
        (page.hash, call.header(header::AUTHORIZATION)).hash(&mut hasher);
        let etag = format!("\"{:016x}\"", hasher.finish());
        if !call.wants_all && call.header(header::IF_NONE_MATCH) == Some(etag.as_str()) {
            let answer = Self {
                status: StatusCode::NOT_MODIFIED,
                headers: HeaderMap::new(),
                body: Payload::Bytes(Bytes::new()),
            };
            return answer.with(header::ETAG, &etag);
        }
        Self::page(StatusCode::OK, page).with(header::ETAG, &etag)
    }

    /// A refusal in GitHub's format.
    pub(crate) fn error(status: StatusCode, message: &str) -> Self {
        let body = json!({
            "message": message,
            "documentation_url": "https://docs.github.com/rest",
            "status": status.as_u16().to_string(),
        });
        Self::json(status, &body)
    }

    pub(crate) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "Not Found")
    }

    /// A missing page of an Enterprise server's site, as browsers get it.
    pub(crate) fn of_the_site() -> Self {
        let page = "<!DOCTYPE html><html><body>This is not the web page you are looking for.</body></html>";
        Self::new(StatusCode::NOT_FOUND, "text/html; charset=utf-8", page)
    }

    pub(crate) fn is_json(&self) -> bool {
        let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        content_type.is_some_and(|content_type| content_type.contains("json"))
    }

    pub(crate) fn moved(location: &str) -> Self {
        let body = json!({
            "message": "Moved Permanently",
            "url": location,
            "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects",
        });
        Self::json(StatusCode::MOVED_PERMANENTLY, &body).with(header::LOCATION, location)
    }

    /// Ends the connection instead of responding.
    pub(crate) fn nothing() -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body: Payload::Nothing }
    }

    /// The status that the client sees; 0 for none.
    pub(crate) fn status_sent(&self) -> u16 {
        if matches!(self.body, Payload::Nothing) { 0 } else { self.status.as_u16() }
    }

    /// Sets a header.
    pub(crate) fn with(mut self, name: impl Into<HeaderName>, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name.into(), value);
        }
        self
    }

    /// Sets a header by its full name.
    pub(crate) fn saying(self, name: &'static str, value: &str) -> Self {
        self.with(HeaderName::from_static(name), value)
    }

    /// Sends it. The world must not be locked: the connection may end here.
    pub(crate) fn send(self) -> Response {
        let body = match self.body {
            Payload::Bytes(bytes) => Body::from(bytes),
            Payload::Stream(body) => body,
            // Ends this connection's task, and with it the connection, without a message on standard error.
            Payload::Nothing => std::panic::resume_unwind(Box::new("the connection ends by request")),
        };
        (self.status, self.headers, body).into_response()
    }
}
