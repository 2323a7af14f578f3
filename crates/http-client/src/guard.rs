//! Addresses that others have chosen must not lead into the network of this program.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;
use url::{Host, Url};

use crate::is_loopback;

/// Which addresses may be connected to: public ones, and the hosts that the operator allows.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Arc<[AllowedHost]>,
}

/// A host, with a port or with any.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AllowedHost {
    host: String,
    port: Option<u16>,
}

impl Guard {
    /// Allows hosts, each as `host` or `host:port`.
    ///
    /// # Errors
    /// The first text that is neither.
    pub fn allowing<'a>(hosts: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let read = |text: &'a str| {
            let url = Url::parse(&format!("https://{text}/")).ok();
            let is_only_a_host = |url: &Url| {
                url.path() == "/" && url.username().is_empty() && url.query().is_none() && url.fragment().is_none()
            };
            let url = url.filter(is_only_a_host).ok_or_else(|| text.to_owned())?;
            let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
            // A port that is usual for the scheme is not in the parsed address.
            let port = if text.ends_with(":443") { Some(443) } else { url.port() };
            Ok(AllowedHost { host, port })
        };
        Ok(Self { allowed: hosts.into_iter().map(read).collect::<Result<_, String>>()? })
    }

    /// Whether the operator allows the host of an address.
    pub fn allows(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
        let port = url.port_or_known_default();
        self.allowed.iter().any(|allowed| allowed.host == host && (allowed.port.is_none() || allowed.port == port))
    }

    /// Whether something may be sent to an address: with TLS, on the usual port, and not to numbers that are not public, unless its
    /// host is allowed. Where the address is a name, what it resolves to is checked on connecting.
    ///
    /// # Errors
    /// Why not, without the address.
    pub fn check(&self, url: &Url) -> Result<(), &'static str> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it has a user or password in it");
        }
        let is_allowed = self.allows(url);
        match url.scheme() {
            "https" => {}
            "http" if is_allowed && is_loopback(url) => {}
            _ => return Err("it is not an https address"),
        }
        if is_allowed {
            return Ok(());
        }
        if self.allows_name(url.host_str().unwrap_or_default()) {
            return Err("its host is allowed with another port");
        }
        if url.port().is_some() {
            return Err("it has a port of its own");
        }
        let is_hidden = match url.host() {
            Some(Host::Ipv4(address)) => !is_public(address.into()),
            Some(Host::Ipv6(address)) => !is_public(address.into()),
            Some(Host::Domain(name)) => !name.trim_end_matches('.').contains('.'),
            None => true,
        };
        if is_hidden { Err("it is not a public address") } else { Ok(()) }
    }

    /// Whether a resolved name may lead anywhere. Its port was checked before.
    fn allows_name(&self, name: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.host.eq_ignore_ascii_case(name))
    }
}

/// Whether an address is one of the public internet, by IANA's registries of special addresses.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        // Shared by providers with their customers.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        // Multicast, reserved and broadcast.
        || a >= 224;
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // What is given out so far is in 2000::/3. Of that, some have an IPv4 address inside (Teredo, 6to4), or mean nothing.
    let is_given_out = a & 0xe000 == 0x2000;
    let is_special = (a == 0x2001 && (b < 0x200 || b == 0xdb8)) || a == 0x2002 || a == 0x3fff;
    is_given_out && !is_special
}

/// Resolves names, and leaves out addresses that may not be connected to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resolver {
    guard: Option<Guard>,
}

impl Resolver {
    pub(crate) fn guarded(guard: Guard) -> Self {
        Self { guard: Some(guard) }
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = self.guard.clone().filter(|guard| !guard.allows_name(name.as_str()));
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let may_be = |address: &SocketAddr| guard.is_none() || is_public(address.ip());
            let addresses: Vec<SocketAddr> = found.filter(may_be).collect();
            if addresses.is_empty() && guard.is_some() {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the name leads to no public address"));
            }
            Ok(addresses.into_iter())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_internet_are_public() {
        for hidden in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2001::1",
            "100::1",
        ] {
            assert!(!is_public(hidden.parse().expect("an address")), "{hidden}");
        }
        for public in
            ["1.1.1.1", "172.32.0.1", "100.128.0.1", "192.0.1.1", "140.82.112.3", "2606:4700::1111", "::ffff:1.1.1.1"]
        {
            assert!(is_public(public.parse().expect("an address")), "{public}");
        }
    }

    #[test]
    fn addresses_that_lead_into_the_network_are_refused_unless_they_are_allowed() {
        let guard = Guard::allowing(["chat.internal", "127.0.0.1:8080", "10.0.0.7:8443", "near.example.com:8443"])
            .expect("hosts");
        let check = |url: &str| guard.check(&Url::parse(url).expect("a URL"));
        for refused in [
            "http://hooks.example.com/x",
            "https://hooks.example.com:8443/x",
            "https://127.0.0.1/x",
            "https://127.1/x",
            "https://0x7f000001/x",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://localhost/",
            "https://metadata/",
            "https://ana:secret@hooks.example.com/",
            "http://chat.internal/x",
            "http://127.0.0.1:8081/x",
            "https://10.0.0.7/x",
            "ftp://hooks.example.com/x",
            "https://near.example.com/x",
        ] {
            assert!(check(refused).is_err(), "{refused}");
        }
        for taken in [
            "https://hooks.example.com/x",
            "https://chat.internal/x",
            "https://chat.internal:9443/x",
            "http://127.0.0.1:8080/x",
            "https://10.0.0.7:8443/x",
            "https://1.1.1.1/",
        ] {
            assert_eq!(check(taken), Ok(()), "{taken}");
        }
        for text in ["a/b", "https://x", "ana@x", "x?y", ""] {
            assert!(Guard::allowing([text]).is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_into_the_network_is_not_connected_to() {
        let mut resolver = Resolver::guarded(Guard::default());
        let refused = resolver.call("localhost".parse().expect("a name")).await.expect_err("refused");
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        let mut allowed = Resolver::guarded(Guard::allowing(["localhost"]).expect("a host"));
        assert!(allowed.call("localhost".parse().expect("a name")).await.expect("resolved").count() > 0);
    }
}
