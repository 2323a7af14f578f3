//! The HTTP server of `serve` and `demo`. No client can take up all connections.

use std::collections::BTreeMap;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tower::ServiceExt;

/// The time limit for a client to send the headers of a request, and the keep-alive time between requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// More simultaneous clients than this do not happen on a laptop.
const MAX_CONNECTIONS: usize = 512;
/// Open files other than client connections: for the database, the terminal and the runtime.
const OTHER_FILES: u64 = 64;
/// The minimum, even with a very low limit on open files.
const MIN_CONNECTIONS: usize = 8;
/// Any running request has timed out by then.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a failed accept, so that files can be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The minimum time between two warnings.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Limits on clients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    connections: usize,
    header_timeout: Duration,
}

impl Limits {
    /// As many connections as the process may open files, minus [`OTHER_FILES`].
    pub(crate) fn of_this_process() -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let left = usize::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(usize::MAX);
        Self { connections: left.clamp(MIN_CONNECTIONS, MAX_CONNECTIONS), header_timeout: HEADER_TIMEOUT }
    }
}

/// Serves until `stop` is ready. Running requests are finished.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: impl Future<Output = ()>) {
    let open = Arc::new(Open::new(limits));
    let (stopping, is_stopping) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // The client disconnected before the accept.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => {
                    open.log(|| format!("A connection could not be accepted: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let connection = tokio::select! {
            () = &mut stop => break,
            connection = open.take_place() => connection,
        };
        let (open, router, is_stopping) = (open.clone(), router.clone(), is_stopping.clone());
        tokio::spawn(async move {
            attend(stream, router, &connection, limits, is_stopping).await;
            open.leave(&connection);
        });
    }
    drop(listener);
    // Sending fails if there is no connection. That is fine.
    let _ = stopping.send(true);
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, open.until_empty()).await.is_err() {
        tracing::warn!("Some clients did not read their responses: their connections are closed");
    }
}

/// Serves the requests of one connection.
async fn attend(
    stream: TcpStream,
    router: Router,
    connection: &Arc<Connection>,
    limits: Limits,
    mut is_stopping: watch::Receiver<bool>,
) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        connection.begin_request();
        let answer = router.clone().oneshot(Request::from(request.map(Body::new)));
        async move {
            let response = answer.await;
            connection.end_request();
            response
        }
    });
    let mut http = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut is_last_request = false;
    loop {
        tokio::select! {
            outcome = http.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!("A connection ended: {error}");
                }
                return;
            }
            () = connection.closed.notified() => return,
            _ = is_stopping.wait_for(|is_stopping| *is_stopping), if !is_last_request => {
                if connection.waits_since().is_some() {
                    return;
                }
                is_last_request = true;
                http.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A client's connection.
#[derive(Debug)]
struct Connection {
    number: u64,
    /// Since when it waits for the client to send a request or read a response; `None` while a request is processed.
    waits_since: Mutex<Option<Instant>>,
    /// Notified when a new connection needs its slot.
    closed: Notify,
}

impl Connection {
    fn waits_since(&self) -> Option<Instant> {
        *locked(&self.waits_since)
    }

    fn begin_request(&self) {
        *locked(&self.waits_since) = None;
    }

    fn end_request(&self) {
        *locked(&self.waits_since) = Some(Instant::now());
    }
}

/// The open connections, up to the limit.
#[derive(Debug)]
struct Open {
    limit: usize,
    places: Mutex<Places>,
    changed: Notify,
    logged: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Places {
    next_number: u64,
    taken: BTreeMap<u64, Arc<Connection>>,
    /// The connection that is being closed for a new one.
    closing: Option<u64>,
}

impl Open {
    fn new(limits: Limits) -> Self {
        Self { limit: limits.connections, places: Mutex::default(), changed: Notify::new(), logged: Mutex::new(None) }
    }

    /// Takes a slot for a new connection. If none is free, closes the connection that has been idle longest: an active
    /// client is idle only for moments.
    async fn take_place(&self) -> Arc<Connection> {
        loop {
            let changed = self.changed.notified();
            if let Some(connection) = self.try_take_place() {
                return connection;
            }
            self.log(|| {
                format!("All {} connections are taken: those that send no request are closed for new ones", self.limit)
            });
            // If all are busy, one finishes soon. It is then idle and can be closed.
            let _ = tokio::time::timeout(ACCEPT_PAUSE, changed).await;
        }
    }

    fn try_take_place(&self) -> Option<Arc<Connection>> {
        let mut places = locked(&self.places);
        if places.taken.len() >= self.limit {
            let is_closing = places.closing.is_some_and(|number| places.taken.contains_key(&number));
            let waiting = places.taken.values().filter_map(|it| it.waits_since().map(|since| (since, it)));
            if let Some((_, longest)) = waiting.min_by_key(|(since, _)| *since).filter(|_| !is_closing) {
                longest.closed.notify_one();
                places.closing = Some(longest.number);
            }
            return None;
        }
        places.next_number += 1;
        let number = places.next_number;
        let waits_since = Mutex::new(Some(Instant::now()));
        let connection = Arc::new(Connection { number, waits_since, closed: Notify::new() });
        places.taken.insert(number, connection.clone());
        Some(connection)
    }

    fn leave(&self, connection: &Connection) {
        locked(&self.places).taken.remove(&connection.number);
        self.changed.notify_waiters();
    }

    async fn until_empty(&self) {
        loop {
            let changed = self.changed.notified();
            if locked(&self.places).taken.is_empty() {
                return;
            }
            changed.await;
        }
    }

    /// Logs a warning, unless there was one just before.
    fn log(&self, message: impl FnOnce() -> String) {
        let mut logged = locked(&self.logged);
        if logged.is_none_or(|at| at.elapsed() >= LOG_PAUSE) {
            *logged = Some(Instant::now());
            tracing::warn!("{}", message());
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    const HALF: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n";
    const WHOLE: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    const SLOW: &[u8] = b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

    struct Server {
        address: SocketAddr,
        /// Notified when `/slow` is requested.
        is_asked: Arc<Notify>,
        /// Lets `/slow` respond.
        go: watch::Sender<bool>,
        stop: oneshot::Sender<()>,
        serving: JoinHandle<()>,
    }

    async fn server(limits: Limits) -> anyhow::Result<Server> {
        let (go, may_go) = watch::channel(false);
        let is_asked = Arc::new(Notify::new());
        let asked = is_asked.clone();
        let slow = move || {
            let (mut may_go, asked) = (may_go.clone(), asked.clone());
            async move {
                asked.notify_one();
                let _ = may_go.wait_for(|may_go| *may_go).await;
                "slow"
            }
        };
        let router = Router::new().route("/", get(async || "hello")).route("/slow", get(slow));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let stopped = async move {
            let _ = stopped.await;
        };
        let serving = tokio::spawn(serve(listener, router, limits, stopped));
        Ok(Server { address, is_asked, go, stop, serving })
    }

    async fn send(address: SocketAddr, text: &[u8]) -> anyhow::Result<TcpStream> {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(text).await?;
        Ok(stream)
    }

    async fn answer(stream: &mut TcpStream) -> anyhow::Result<String> {
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    #[tokio::test]
    async fn a_client_with_unfinished_headers_is_disconnected() -> anyhow::Result<()> {
        let limits = Limits { connections: 4, header_timeout: Duration::from_millis(50) };
        let server = server(limits).await?;
        let mut half = send(server.address, HALF).await?;
        assert!(!answer(&mut half).await?.contains("hello"), "it ends without a response");
        Ok(())
    }

    #[tokio::test]
    async fn only_idle_connections_make_room_for_new_ones() -> anyhow::Result<()> {
        let limits = Limits { connections: 2, header_timeout: Duration::from_secs(60) };
        let server = server(limits).await?;
        let mut slow = send(server.address, SLOW).await?;
        server.is_asked.notified().await;
        let mut others = Vec::new();
        for _ in 0..10 {
            others.push(send(server.address, HALF).await?);
        }
        let mut good = send(server.address, WHOLE).await?;
        assert!(answer(&mut good).await?.ends_with("hello"));
        server.go.send(true)?;
        assert!(answer(&mut slow).await?.ends_with("slow"));
        Ok(())
    }

    #[tokio::test]
    async fn shutdown_finishes_running_requests_and_drops_idle_clients() -> anyhow::Result<()> {
        let limits = Limits { connections: 4, header_timeout: Duration::from_secs(60) };
        let server = server(limits).await?;
        let mut slow = send(server.address, SLOW).await?;
        server.is_asked.notified().await;
        let mut half = send(server.address, HALF).await?;
        let _ = server.stop.send(());
        assert!(!answer(&mut half).await.unwrap_or_default().contains("hello"), "it is closed");
        server.go.send(true)?;
        assert!(answer(&mut slow).await?.ends_with("slow"));
        server.serving.await?;
        Ok(())
    }
}
