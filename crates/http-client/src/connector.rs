//! Connections: direct, or through a proxy from the environment.

use std::ffi::OsString;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mergeline_domain::Problem;
use tokio::net::TcpStream;
use tower::Service;
use url::{Host, Url};

use crate::guard::{Guard, Resolver};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest pause within a response.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// An HTTP client that sends requests with bodies of the type `B`.
pub type HttpClient<B> = Client<TimeoutConnector<HttpsConnector<Connector>>, B>;

/// No certificate authority is known, so no server can be trusted.
#[derive(Debug, thiserror::Error)]
#[error("no server can be trusted without certificates of authorities: {reason}")]
pub struct NoAuthorities {
    /// Where they were looked for, and what is wrong there.
    reason: String,
}

impl NoAuthorities {
    /// What a person can do about it.
    pub const HELP: &str = "set SSL_CERT_FILE to a PEM file with the certificates of the authorities, or unset SSL_CERT_FILE and SSL_CERT_DIR \
                            for those of this machine, which the package ca-certificates installs";

    fn new(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let file = problem_of_authorities(&lookup);
        let folder =
            lookup("SSL_CERT_DIR").map(|folder| format!("SSL_CERT_DIR is {}, which has none", folder.display()));
        let places: Vec<String> = file.into_iter().chain(folder).collect();
        let reason = if places.is_empty() { "this machine has none".to_owned() } else { places.join("; ") };
        Self { reason }
    }
}

/// Why the file in `SSL_CERT_FILE` is of no use; `None` if it is not set, or has certificates.
pub fn problem_of_authorities(lookup: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let path = lookup("SSL_CERT_FILE").filter(|path| !path.is_empty())?;
    let shown = path.display();
    match std::fs::read(&path) {
        Err(error) => Some(format!("SSL_CERT_FILE is {shown}, which cannot be read: {error}")),
        Ok(bytes) => {
            let has_certificates = String::from_utf8_lossy(&bytes).contains("-----BEGIN CERTIFICATE-----");
            (!has_certificates).then(|| format!("SSL_CERT_FILE is {shown}, which has no certificate in PEM form"))
        }
    }
}

/// The proxy for TLS connections, and the hosts that bypass it.
///
/// Connections without TLS go to this machine: settings take no other addresses. They never use a proxy.
#[derive(Clone)]
pub struct Proxy(Arc<Matcher>);

impl fmt::Debug for Proxy {
    /// Hides the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

impl Proxy {
    /// Reads `HTTPS_PROXY`, else `ALL_PROXY`, and `NO_PROXY`, in either case, as curl does.
    ///
    /// # Errors
    /// `config.proxy` for an address that is not that of an HTTP proxy. It never contains the address.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Problem> {
        let set = |names: [&'static str; 2]| {
            let found = names.into_iter().find_map(|name| lookup(name).map(|value| (name, value)));
            found.filter(|(_, value)| !value.trim().is_empty())
        };
        let proxy = set(["HTTPS_PROXY", "https_proxy"]).or_else(|| set(["ALL_PROXY", "all_proxy"]));
        let Some((name, address)) = proxy else { return Ok(None) };
        check(name, &address)?;
        let no_proxy = set(["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts).unwrap_or_default();
        let matcher = Matcher::builder().https(address.trim().to_owned()).no(no_proxy).build();
        Ok(Some(Self(Arc::new(matcher))))
    }

    /// The proxy address for this URL, without user and password; `None` for a direct connection.
    pub fn address_for(&self, url: &Url) -> Option<String> {
        let intercept = self.0.intercept(&url.as_str().parse().ok()?)?;
        Some(intercept.uri().to_string().trim_end_matches('/').to_owned())
    }
}

/// Whether an address is on this machine. Only there connections may be without TLS.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Never shows the address: it may hold a password.
fn check(name: &str, address: &str) -> Result<(), Problem> {
    let refuse = |message: &str| {
        let help =
            "write http://HOST:PORT, with user and password before the host if the proxy requires them, or unset it";
        Err(Problem::setting("config.proxy", name, message, help))
    };
    let address = address.trim();
    let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    match Url::parse(&whole) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            refuse("it is not an HTTP proxy; SOCKS and others are not supported")
        }
        Ok(url) if url.host_str().is_some_and(|host| !host.is_empty()) && whole.parse::<Uri>().is_ok() => Ok(()),
        _ => refuse("it is not a URL"),
    }
}

/// Opens connections.
#[derive(Clone)]
pub struct Connector {
    direct: HttpConnector<Resolver>,
    by_proxy: Option<ByProxy>,
}

/// The connection to a proxy may use TLS too.
#[derive(Clone)]
struct ByProxy {
    proxy: Proxy,
    connector: HttpsConnector<HttpConnector>,
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let by_proxy = self.by_proxy.as_ref();
        let found = by_proxy.and_then(|by_proxy| Some((by_proxy, by_proxy.proxy.0.intercept(&to)?)));
        let Some((ByProxy { connector, .. }, intercept)) = found else {
            let connecting = self.direct.call(to);
            return Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) });
        };
        let mut tunnel = Tunnel::new(intercept.uri().clone(), connector.clone());
        if let Some(authorization) = intercept.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        let connecting = tunnel.call(to);
        Box::pin(async move { Ok(connecting.await?) })
    }
}

/// A client that trusts the certificate authorities of `SSL_CERT_FILE` and `SSL_CERT_DIR`, else those of this
/// machine.
///
/// # Errors
/// If there are none.
pub fn client<B>(proxy: Option<&Proxy>) -> Result<HttpClient<B>, NoAuthorities>
where
    B: Body + Send,
    B::Data: Send,
{
    client_by(proxy, Resolver::default())
}

/// A client for addresses that others have chosen: without a proxy it connects to public addresses only, and to the hosts that are
/// allowed. It checks the address that it connects to, so that a name cannot lead elsewhere later. An address that is written as
/// numbers is not resolved: [`Guard::check`] refuses it.
///
/// # Errors
/// As for [`client`].
pub fn guarded_client<B>(proxy: Option<&Proxy>, guard: &Guard) -> Result<HttpClient<B>, NoAuthorities>
where
    B: Body + Send,
    B::Data: Send,
{
    client_by(proxy, Resolver::guarded(guard.clone()))
}

/// Whether a client of another library would find authorities, too. Some of them panic where there are none.
///
/// # Errors
/// As for [`client`].
pub fn check_authorities() -> Result<(), NoAuthorities> {
    tls().map(drop)
}

fn client_by<B>(proxy: Option<&Proxy>, resolver: Resolver) -> Result<HttpClient<B>, NoAuthorities>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut direct = HttpConnector::new_with_resolver(resolver);
    direct.enforce_http(false);
    let by_proxy = proxy.map(|proxy| {
        let mut to_proxy = HttpConnector::new();
        to_proxy.enforce_http(false);
        let connector = tls()?.https_or_http().enable_http1().wrap_connector(to_proxy);
        Ok::<_, NoAuthorities>(ByProxy { proxy: proxy.clone(), connector })
    });
    let connector = Connector { direct, by_proxy: by_proxy.transpose()? };
    let mut connector = TimeoutConnector::new(tls()?.https_or_http().enable_http1().wrap_connector(connector));
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_read_timeout(Some(READ_TIMEOUT));
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

fn tls() -> Result<HttpsConnectorBuilder<hyper_rustls::builderstates::WantsSchemes>, NoAuthorities> {
    // The library's error is for programmers.
    HttpsConnectorBuilder::new().with_native_roots().map_err(|_| NoAuthorities::new(|name| std::env::var_os(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)]) -> Result<Option<Proxy>, Problem> {
        Proxy::from_vars(|name| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned()))
    }

    fn proxy_address(variables: &[(&str, &str)], to: &str) -> Option<String> {
        proxy(variables).expect("valid")?.address_for(&Url::parse(to).expect("a URL"))
    }

    #[test]
    fn the_environment_sets_the_proxy_except_for_loopback() {
        let github = "https://api.github.com/repos";
        for (variables, address) in [
            (&[][..], None),
            (&[("HTTPS_PROXY", "http://proxy.acme.com:3128")], Some("http://proxy.acme.com:3128")),
            (&[("https_proxy", "proxy.acme.com:3128")], Some("http://proxy.acme.com:3128")),
            (&[("ALL_PROXY", "https://proxy.acme.com")], Some("https://proxy.acme.com")),
            (&[("HTTPS_PROXY", ""), ("ALL_PROXY", "http://other:1")], Some("http://other:1")),
            (&[("HTTP_PROXY", "http://proxy.acme.com:3128")], None),
            (&[("HTTPS_PROXY", "http://ana:s3cret@proxy:3128")], Some("http://proxy:3128")),
            (&[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", "localhost,.github.com")], None),
            (&[("HTTPS_PROXY", "http://proxy:3128"), ("no_proxy", "*")], None),
            (&[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", "example.com")], Some("http://proxy:3128")),
        ] {
            assert_eq!(proxy_address(variables, github).as_deref(), address, "{variables:?}");
        }
        assert_eq!(proxy_address(&[("ALL_PROXY", "http://proxy:3128")], "http://127.0.0.1:8080/"), None);
    }

    #[test]
    fn missing_authorities_are_explained_by_where_they_were_looked_for() {
        let reason = |set: &[(&str, &str)]| {
            let lookup = |name: &str| set.iter().find(|(one, _)| *one == name).map(|(_, value)| OsString::from(value));
            NoAuthorities::new(lookup).reason
        };
        assert_eq!(reason(&[]), "this machine has none");
        assert_eq!(
            reason(&[("SSL_CERT_FILE", "/nope")]),
            "SSL_CERT_FILE is /nope, which cannot be read: No such file or directory (os error 2)"
        );
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let not_pem = format!("SSL_CERT_FILE is {manifest}, which has no certificate in PEM form");
        assert_eq!(reason(&[("SSL_CERT_FILE", manifest)]), not_pem);
        assert_eq!(
            reason(&[("SSL_CERT_FILE", manifest), ("SSL_CERT_DIR", "/none")]),
            format!("{not_pem}; SSL_CERT_DIR is /none, which has none")
        );
    }

    #[test]
    fn an_invalid_proxy_is_refused_and_never_shown() {
        for address in
            ["socks5://ana:s3cret@proxy:1080", "http://", "http://ana:s3cret@", "ftp://s3cret", "http://a b s3cret"]
        {
            let problem = proxy(&[("HTTPS_PROXY", address)]).expect_err("refused");
            assert_eq!(problem.code, "config.proxy", "{address}");
            assert!(!format!("{problem:?}").contains("s3cret"), "{problem:?}");
        }
        let proxy = proxy(&[("HTTPS_PROXY", "http://ana:s3cret@proxy:3128")]);
        assert!(!format!("{proxy:?}").contains("s3cret"), "{proxy:?}");
    }
}
