//! A proxy, as companies put one between their machines and the Internet.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// More than any request head in the tests.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// An HTTP proxy for hosts that only it can resolve: `CONNECT` for hosts with TLS, absolute URLs for the others. It
/// stops on drop.
#[derive(Debug)]
pub struct FakeProxy {
    address: SocketAddr,
    asked_for: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Drop for FakeProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl FakeProxy {
    /// Starts a proxy to these hosts (`name:port`). `authorization` is the `Proxy-Authorization` value that it
    /// requires.
    ///
    /// # Errors
    /// When no port is available.
    pub async fn start(hosts: &[(&str, SocketAddr)], authorization: Option<&str>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let hosts: HashMap<String, SocketAddr> = hosts.iter().map(|(host, at)| ((*host).to_owned(), *at)).collect();
        let (hosts, authorization) = (Arc::new(hosts), authorization.map(str::to_owned));
        let asked_for = Arc::new(Mutex::new(Vec::new()));
        let seen = asked_for.clone();
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (hosts, authorization, seen) = (hosts.clone(), authorization.clone(), seen.clone());
                // The client handles errors of its connection.
                tokio::spawn(async move { serve(client, &hosts, authorization.as_deref(), &seen).await });
            }
        });
        Ok(Self { address, asked_for, server })
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requested hosts, one per connection.
    pub fn asked_for(&self) -> Vec<String> {
        self.asked_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(
    mut client: TcpStream,
    hosts: &HashMap<String, SocketAddr>,
    authorization: Option<&str>,
    seen: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_HEAD_BYTES {
        head.push(client.read_u8().await?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut words = text.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_tunnel = method == "CONNECT";
    let host = if is_tunnel {
        target.to_owned()
    } else {
        let rest = target.strip_prefix("http://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        if host.contains(':') { host.to_owned() } else { format!("{host}:80") }
    };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(host.clone());
    let is_admitted = authorization.is_none_or(|required| {
        text.lines()
            .filter_map(|line| line.split_once(": "))
            .any(|(name, value)| name.eq_ignore_ascii_case("proxy-authorization") && value == required)
    });
    if !is_admitted {
        return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
    }
    let Some(address) = hosts.get(&host) else {
        return client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    };
    let mut server = TcpStream::connect(address).await?;
    if is_tunnel {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    } else {
        // Servers also accept the absolute form.
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
