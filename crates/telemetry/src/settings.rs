//! Where traces go.

use std::collections::HashMap;
use std::fmt;

use http::{HeaderName, HeaderValue};
use mergeline_domain::Problem;
use mergeline_http_client::{Proxy, is_loopback};
use percent_encoding::percent_decode_str;
use url::Url;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// Below the endpoint, as the specification of OTLP says.
const TRACES: &str = "v1/traces";

/// Whether traces go anywhere. Asked before anything else is read.
pub(crate) fn is_endpoint_set() -> bool {
    std::env::var(ENDPOINT).is_ok_and(|text| !text.trim().is_empty())
}

/// Where traces go, and what is sent with them.
pub(crate) struct Settings {
    pub(crate) endpoint: Url,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) proxy: Option<Proxy>,
}

impl fmt::Debug for Settings {
    /// Hides the headers, which hold a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

impl Settings {
    /// Reads `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS` and the proxy through `lookup`; `None` without
    /// an endpoint.
    ///
    /// # Errors
    /// `config.otlp_endpoint` and `config.otlp_headers`. The headers are never shown.
    pub(crate) fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Problem> {
        let set = |name: &str| lookup(name).filter(|text| !text.trim().is_empty());
        let Some(text) = set(ENDPOINT) else { return Ok(None) };
        let headers = set(HEADERS).map(|text| headers(&text)).transpose()?.unwrap_or_default();
        let endpoint = endpoint(text.trim(), !headers.is_empty())?;
        Ok(Some(Self { endpoint, headers, proxy: Proxy::from_vars(&lookup)? }))
    }
}

fn endpoint(text: &str, has_headers: bool) -> Result<Url, Problem> {
    let refuse = |message: &str, help: &str| Err(Problem::setting("config.otlp_endpoint", ENDPOINT, message, help));
    let help = "write https://HOST:PORT, or http://127.0.0.1:4318 for a collector beside the program";
    let Ok(url) = Url::parse(&format!("{}/{TRACES}", text.trim_end_matches('/'))) else {
        return refuse("it is not a URL", help);
    };
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    let is_plain = !url.username().is_empty() || url.password().is_some();
    if !matches!(url.scheme(), "http" | "https") || !has_host || is_plain || !url.path().ends_with(TRACES) {
        return refuse("it is not the address of a collector", help);
    }
    if url.scheme() == "http" && has_headers && !is_loopback(&url) {
        let help = "write https://, or leave out OTEL_EXPORTER_OTLP_HEADERS";
        return refuse("headers hold a key, and would be sent without TLS", help);
    }
    Ok(url)
}

/// `name=value,name=value`, with what is special in values percent-encoded, as the specification of OTLP says.
fn headers(text: &str) -> Result<HashMap<String, String>, Problem> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let name: HeaderName = name.trim().parse().ok()?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
        HeaderValue::from_str(&value).ok()?;
        Some((name.to_string(), value))
    };
    pairs.map(header).collect::<Option<_>>().ok_or_else(|| {
        let help = "write name=value, several separated by commas, with spaces as %20";
        Problem::setting("config.otlp_headers", HEADERS, "it is not a list of headers", help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str, headers: &str) -> Result<Option<Settings>, Problem> {
        Settings::from_vars(|name| match name {
            ENDPOINT => Some(endpoint.to_owned()),
            HEADERS => Some(headers.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn traces_go_below_the_endpoint_with_decoded_headers() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otlp.example.com/otlp/", "https://otlp.example.com/otlp/v1/traces"),
        ] {
            let found = settings(endpoint, "authorization=Basic%20YTpi+A==, x-scope=a").expect("valid").expect("set");
            assert_eq!(found.endpoint.as_str(), expected);
            assert_eq!(found.headers["authorization"], "Basic YTpi+A==");
            assert_eq!((found.headers["x-scope"].as_str(), found.headers.len()), ("a", 2));
            assert!(!format!("{found:?}").contains("YTpi"), "{found:?}");
        }
        assert!(settings("", "a=b").is_ok_and(|found| found.is_none()));
        assert!(settings("http://collector.internal:4318", "").is_ok_and(|found| found.is_some()));
    }

    #[test]
    fn unusable_endpoints_and_headers_are_refused_and_hidden() {
        for endpoint in
            ["collector:4318", "ftp://s3cret", "https://", "https://a:s3cret@otlp.example.com", "https://a?b"]
        {
            let refused = settings(endpoint, "").expect_err(endpoint);
            assert_eq!(refused.code, "config.otlp_endpoint", "{endpoint}");
            assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
        }
        let refused = settings("http://collector.internal:4318", "a=s3cret").expect_err("a key without TLS");
        assert_eq!(refused.code, "config.otlp_endpoint");
        for headers in ["s3cret", "a b=s3cret", "a=s3cret%0d%0ax", "=s3cret"] {
            let refused = settings("https://otlp.example.com", headers).expect_err(headers);
            assert_eq!(refused.code, "config.otlp_headers", "{headers}");
            assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
        }
    }
}
