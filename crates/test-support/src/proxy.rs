//! A proxy, as companies have it between their machines and the Internet.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// More than any head that is sent to it.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// An HTTP proxy that knows where some hosts are, which nobody else does: `CONNECT` for those that are reached by TLS,
/// absolute addresses for the others. It stops when the value goes.
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
    /// Starts a proxy that lets clients through to these hosts (`name:port`), with the value of `Proxy-Authorization` that it
    /// demands.
    ///
    /// # Errors
    /// When no port can be had.
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
                // How a connection ends is its client's business.
                tokio::spawn(async move { serve(client, &hosts, authorization.as_deref(), &seen).await });
            }
        });
        Ok(Self { address, asked_for, server })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The hosts that it was asked for, one for each connection.
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
    let is_admitted = authorization.is_none_or(|demanded| {
        text.lines()
            .filter_map(|line| line.split_once(": "))
            .any(|(name, value)| name.eq_ignore_ascii_case("proxy-authorization") && value == demanded)
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
        // Servers take the absolute form too.
        server.write_all(&head).await?;
    }
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}
