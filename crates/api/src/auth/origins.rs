//! Pages of other sites that may read the API (CORS).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use mergeline_domain::Problem;
use tower_http::cors::{AllowOrigin, CorsLayer};
use url::{Host, Url};

use super::hosts::is_loopback_name;
use crate::http::envelope::{DATA_AS_OF, META, NEXT_CURSOR, REQUEST_ID};

const VARIABLE: &str = "CORS_ORIGIN";
/// What such a page may send.
const SENT: [HeaderName; 2] = [HeaderName::from_static("x-api-key"), header::IF_NONE_MATCH];
/// What its scripts may see of an answer.
const SEEN: [HeaderName; 6] = [header::ETAG, header::CONTENT_DISPOSITION, DATA_AS_OF, META, NEXT_CURSOR, REQUEST_ID];
/// How long a browser remembers what it was allowed. Browsers cut longer times to their own limits.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// The origins whose pages may read the API with a key. They never get what a cookie opens, and post nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedOrigins(BTreeSet<String>);

impl AllowedOrigins {
    /// Reads `CORS_ORIGIN` through `lookup`: origins as browsers send them, separated by commas.
    ///
    /// # Errors
    /// `config.cors_origin` for anything else, `*` and `null` included.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let text = lookup(VARIABLE).unwrap_or_default();
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        origins.map(origin).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a page of this origin may read with this method.
    pub(crate) fn allow(&self, origin: &str, method: &Method) -> bool {
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        reads && self.0.contains(origin)
    }

    /// What tells browsers; `None` if there are no origins. It answers requests with `OPTIONS` itself.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let origins = self.0.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins))
            .allow_methods([Method::GET, Method::HEAD])
            .allow_headers(SENT)
            .expose_headers(SEEN)
            .max_age(REMEMBERED);
        (!self.0.is_empty()).then_some(layer)
    }
}

/// An origin, exactly as a browser sends it.
fn origin(text: &str) -> Result<String, Problem> {
    let url = Url::parse(text).ok();
    let is_safe = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
    // A star is a valid part of a name, and would be taken for a pattern.
    let is_plain = !text.contains('*');
    if is_plain && url.as_ref().is_some_and(|url| is_safe(url) && url.origin().ascii_serialization() == text) {
        return Ok(text.to_owned());
    }
    let message = format!("`{text}` is not an origin that can be allowed");
    let help = "write each as browsers send it, without path and slash at the end, separated by commas: \
                https://metrics.example.com; http:// is for this machine only";
    Err(Problem::setting("config.cors_origin", VARIABLE, message, help))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_loopback_name(name),
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(text: &str) -> Result<AllowedOrigins, Problem> {
        AllowedOrigins::from_vars(|_| Some(text.to_owned()))
    }

    #[test]
    fn only_exact_origins_are_allowed_with_http_on_loopback_only() {
        for text in [
            "https://metrics.example.com",
            "https://metrics.example.com:8443",
            "https://xn--mtrics-bva.example.com",
            "http://localhost:5173",
            "http://127.0.0.1:3000",
            "http://[::1]:3000",
            "https://a.example.com, https://b.example.com",
        ] {
            assert!(origins(text).is_ok(), "{text}");
        }
        for text in [
            "*",
            "null",
            "https://*",
            "https://*.example.com",
            "http://metrics.example.com",
            "https://metrics.example.com/",
            "https://metrics.example.com/app",
            "https://metrics.example.com:443",
            "https://Metrics.example.com",
            "https://métrics.example.com",
            "https://ana:secret@metrics.example.com",
            "https://metrics.example.com?a",
            "metrics.example.com",
            "file://",
            "https://a.example.com https://b.example.com",
            "http://localhost.example.com",
        ] {
            let refused = origins(text).expect_err(text);
            assert_eq!((refused.code, refused.path.as_str()), ("config.cors_origin", VARIABLE), "{text}");
        }
        assert_eq!(origins(" , "), Ok(AllowedOrigins::default()));
        assert!(AllowedOrigins::default().layer().is_none());
    }
}
