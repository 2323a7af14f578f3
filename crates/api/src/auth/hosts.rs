//! Which requests a server without keys answers: only those that a page of another site cannot have caused.
//!
//! A page can point its own host name at 127.0.0.1 after it was loaded (DNS rebinding), and then read what a server
//! there answers. Its requests carry that name as `Host`, which distinguishes them from legitimate ones.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::extract::Request;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, header};
use mergeline_domain::Problem;

use super::origins::AllowedOrigins;
use crate::http::errors::ApiError;

const VARIABLE: &str = "ALLOWED_HOSTS";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Host names that a server without keys answers to, in addition to loopback names and IP addresses. A page always
/// comes from its own address, so only names can be redirected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts(BTreeSet<String>);

impl AllowedHosts {
    /// Reads `ALLOWED_HOSTS` through `lookup`: host names without scheme and port, separated by commas.
    ///
    /// # Errors
    /// `config.allowed_hosts` for an invalid host name.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let text = lookup(VARIABLE).unwrap_or_default();
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(host_name).collect::<Result<_, _>>().map(Self)
    }

    /// Also allows the host that the server listens on.
    #[must_use]
    pub fn and(mut self, host: &str) -> Self {
        self.0.insert(normalized(host));
        self
    }

    fn contains(&self, host: &str) -> bool {
        let host = normalized(host);
        is_loopback_name(&host) || is_address(&host) || self.0.contains(&host)
    }

    /// Accepts a request that a page of another site cannot have caused, unless its origin is allowed to read.
    ///
    /// # Errors
    /// [`ApiError::HostNotAllowed`] for another `Host`, [`ApiError::CrossSite`] for a page of another site.
    pub(crate) fn check(&self, request: &Request, origins: &AllowedOrigins) -> Result<(), ApiError> {
        let headers = request.headers();
        let host = only(headers, &header::HOST).and_then(authority).ok_or(ApiError::HostNotAllowed)?;
        let named = [Some(&host), request.uri().authority()];
        if !named.into_iter().flatten().all(|authority| self.contains(authority.host())) {
            return Err(ApiError::HostNotAllowed);
        }
        let from = only(headers, &header::ORIGIN);
        if from.is_some_and(|from| origins.allow(from, request.method())) {
            return Ok(());
        }
        let is_own_page =
            !headers.contains_key(header::ORIGIN) || from.and_then(origin).is_some_and(|origin| origin == host);
        if is_own_page && !is_cross_site(headers) { Ok(()) } else { Err(ApiError::CrossSite) }
    }
}

/// A name of the list, normalized for comparison.
fn host_name(text: &str) -> Result<String, Problem> {
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let name = normalized(text);
    if name.split('.').all(is_label) || is_address(&name) {
        return Ok(name);
    }
    let message = format!("`{text}` is not a host name");
    let help = "write host names without scheme and port, separated by commas: devbox.local,metrics.example.com";
    Err(Problem::setting("config.allowed_hosts", VARIABLE, message, help))
}

/// In lower case, without the brackets of an IPv6 address and the trailing dot of a complete name.
fn normalized(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

/// Browsers never look these up (RFC 6761, 6.3).
pub(crate) fn is_loopback_name(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

/// The value of a header that occurs exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

fn authority(text: &str) -> Option<Authority> {
    // A user part before the host belongs in page URLs only, and disguises the host.
    text.parse().ok().filter(|_| !text.contains('@'))
}

/// The origin of a page; `None` for `null`, which pages without an origin send.
fn origin(text: &str) -> Option<Authority> {
    text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")).and_then(authority)
}

/// Whether a page of another site sends the request. Following a link from another site is fine, because the page does
/// not get the response.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let is = |name: &HeaderName, value: &str| only(headers, name).is_some_and(|found| found == value);
    let is_followed_link = is(&FETCH_MODE, "navigate") && is(&FETCH_DEST, "document");
    is(&FETCH_SITE, "cross-site") && !is_followed_link
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn hosts(text: &str) -> Result<AllowedHosts, Problem> {
        AllowedHosts::from_vars(|_| Some(text.to_owned()))
    }

    fn refusal(hosts: &AllowedHosts, headers: &[(&str, &str)]) -> Option<&'static str> {
        let request =
            headers.iter().fold(Request::get("/v1/teams"), |request, (name, value)| request.header(*name, *value));
        let request = request.body(Body::empty()).expect("a request");
        match hosts.check(&request, &AllowedOrigins::default()) {
            Ok(()) => None,
            Err(ApiError::HostNotAllowed) => Some("host"),
            Err(ApiError::CrossSite) => Some("site"),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_loopback_addresses_and_allowed_hosts_pass() -> Result<(), Problem> {
        let allowed = hosts("Metrics.Example.com, devbox")?.and("listening.internal");
        for host in [
            "localhost",
            "LOCALHOST:8787",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1:8787",
            "192.0.2.7",
            "[::1]:8787",
            "[2001:db8::1]",
            "metrics.example.com",
            "METRICS.example.com:443",
            "devbox:80",
            "listening.internal:8787",
        ] {
            assert_eq!(refusal(&allowed, &[("host", host)]), None, "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8787",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "example.com",
            "x.metrics.example.com",
            "localhost@evil.example",
            "evil.example@localhost",
            "evil.example#localhost",
            "localhost evil.example",
            "[::1",
            "127.0.0.1:8787:1",
        ] {
            assert_eq!(refusal(&allowed, &[("host", host)]), Some("host"), "{host}");
        }
        assert_eq!(refusal(&allowed, &[]), Some("host"), "none");
        assert_eq!(refusal(&allowed, &[("host", "localhost"), ("host", "evil.example")]), Some("host"), "two");
        Ok(())
    }

    #[test]
    fn a_target_with_another_host_is_refused() {
        let request = Request::get("http://evil.example/v1/teams").header("host", "localhost").body(Body::empty());
        let checked = AllowedHosts::default().check(&request.expect("a request"), &AllowedOrigins::default());
        assert!(matches!(checked, Err(ApiError::HostNotAllowed)));
    }

    #[test]
    fn cross_site_fetches_are_refused_but_links_work() {
        let hosts = AllowedHosts::default();
        let asked = |headers: &[(&str, &str)]| refusal(&hosts, &[&[("host", "127.0.0.1:8787")], headers].concat());
        for origin in ["http://127.0.0.1:8787", "https://127.0.0.1:8787"] {
            assert_eq!(asked(&[("origin", origin), ("sec-fetch-site", "same-origin")]), None, "{origin}");
        }
        for origin in ["null", "", "http://evil.example", "http://localhost:8787", "http://127.0.0.1:3000", "file://"] {
            assert_eq!(asked(&[("origin", origin)]), Some("site"), "{origin}");
        }
        assert_eq!(asked(&[("origin", "http://127.0.0.1:8787"), ("origin", "http://evil.example")]), Some("site"));
        for site in ["none", "same-origin", "same-site"] {
            assert_eq!(asked(&[("sec-fetch-site", site)]), None, "{site}");
        }
        let (cross, navigate) = (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"));
        assert_eq!(asked(&[cross]), Some("site"));
        assert_eq!(asked(&[cross, ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")]), Some("site"));
        assert_eq!(asked(&[cross, navigate, ("sec-fetch-dest", "iframe")]), Some("site"));
        assert_eq!(asked(&[cross, navigate, ("sec-fetch-dest", "document")]), None);
    }

    #[test]
    fn an_invalid_host_name_is_refused_with_advice() {
        for text in ["http://devbox", "devbox:8787", "*", "*.example.com", "a..b", "a b", "exämple.com", "a/b"] {
            let problem = hosts(text).expect_err(text);
            assert_eq!((problem.code, problem.path.as_str()), ("config.allowed_hosts", VARIABLE), "{text}");
        }
        assert_eq!(hosts(" , "), Ok(AllowedHosts::default()));
    }
}
