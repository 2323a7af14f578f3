//! `mergeline serve`, and the server that `demo` shares with it.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use chrono::{DateTime, Utc};
use mergeline_api::{Api, Authorizer, Login, Settings, TokenCheck, Webhooks, router};
use mergeline_domain::Problem;
use mergeline_github::GitHub;
use mergeline_login::LoginSettings;
use mergeline_store::{Poster, Reader, Writer};
use mergeline_webhooks::Plugin;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tower_http::compression::CompressionLayer;

use crate::args::{Options, Serve};
use crate::database::{Database, actor};
use crate::environment::variable;
use crate::failure::Failure;
use crate::http_server::{self, Limits};
use crate::signals::EndingSignals;
use crate::terminal;
use crate::webhooks::ChangeReader;

/// How long the start waits to hear whether there is any data.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// `mergeline serve`
pub(crate) async fn run(args: &Serve, options: &Options, clock: fn() -> DateTime<Utc>) -> Result<ExitCode, Failure> {
    let database = Database::open(options).await?;
    let settings = Settings::from_vars(|name| database.lookup(name))?;
    let is_by_token = settings.authorizer == Authorizer::Jwt;
    let is_open = settings.keys.is_none() && !is_by_token;
    if is_open && !args.listen.address.ip().is_loopback() {
        let message = format!("it is not set, and {} can be reached from other machines", args.listen.address);
        let help = "set it (`export API_KEY=$(openssl rand -hex 24)`) or API_KEYS, or listen on 127.0.0.1";
        return Err(Problem::setting("config.weak_secret", "API_KEY", message, help).into());
    }
    if is_open && settings.login.is_some() {
        let message =
            "it is not set, and OIDC_ISSUER is: people would log in to the page, and the API beside it would be open";
        let help = "set it (`export API_KEY=$(openssl rand -hex 24)`) or API_KEYS";
        return Err(Problem::setting("config.weak_secret", "API_KEY", message, help).into());
    }
    if database.is_private() {
        let writer = database.store()?;
        writer.migrate().await?;
        writer.close().await;
    }
    let store = Reader::connect(&settings.database);
    let listener = listen(args.listen.address).await?;
    let address = listener.local_addr()?;
    let (guard, key) = match (is_open, variable("API_KEY").is_some()) {
        _ if is_by_token => ("with tokens", " -H \"authorization: Bearer $TOKEN\""),
        (true, _) => ("open: API_KEY is not set", ""),
        (false, true) => ("with the key in API_KEY", " -H \"x-api-key: $API_KEY\""),
        (false, false) => ("with the keys in API_KEYS", " -H \"x-api-key: mgl_…\""),
    };
    let mut out = terminal::stdout();
    if is_empty(&store).await {
        writeln!(
            out,
            "No repository was read yet, so there are no numbers to show: run `mergeline collect` in another terminal."
        )?;
    }
    match &settings.login {
        // A browser gets its token by a login.
        None if is_by_token => {
            writeln!(out, "http://{address}/v1/ answers requests with tokens; OIDC_ISSUER adds a page")?;
        }
        Some(login) => {
            writeln!(out, "{} shows how the teams deliver, to people who log in at {}", login.page(), login.issuer())?;
        }
        None => writeln!(out, "http://{address}/v1/app/ shows how the teams deliver ({guard})")?,
    }
    writeln!(out, "  curl -s{key} http://{address}/v1/teams")?;
    writeln!(out, "  http://{address}/v1/docs has the documentation of the API. Press Ctrl-C to stop.")?;
    if args.prometheus {
        writeln!(out, "  Prometheus: http://{address}/metrics")?;
    }
    let hosts = settings.hosts.and(&args.listen.host);
    let poster = Poster::connect(&settings.database);
    let changes = if settings.webhooks.is_empty() { None } else { change_reader(&database, clock)? };
    let writer = changes.as_ref().map(ChangeReader::store);
    for plugin in settings.webhooks.plugins() {
        let lacks_token = plugin == Plugin::GitHub && changes.is_none();
        let note = if lacks_token { ", which needs GITHUB_PAT to read what changed" } else { "" };
        writeln!(out, "  Webhooks: POST http://{address}/v1/webhook/{plugin}{note}")?;
    }
    let webhooks = match &changes {
        Some(changes) => changes.webhooks(settings.webhooks),
        None => Webhooks { secrets: settings.webhooks, queue: None },
    };
    let api = Api {
        poster: Some(poster.clone()),
        keys: settings.keys,
        webhooks,
        hosts: Some(hosts),
        origins: settings.origins,
        authorizer: settings.authorizer,
        tokens: settings
            .tokens
            .map(TokenCheck::new)
            .transpose()
            .map_err(|error| Failure::Other(error.into()))?
            .map(Arc::new),
        page: login(settings.login, is_open, is_by_token)?,
        prometheus: args.prometheus,
        database: settings.database.fingerprint(),
        stale_after: settings.stale_after,
        ..Api::new(store.clone(), settings.timeout, clock)
    };
    tokio::select! {
        ended = until_interrupted(listener, router(api), &store, &poster) => ended?,
        () = database.keep_running() => {}
        () = reading(changes) => {}
    }
    if let Some(writer) = writer {
        writer.close().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether no repository was ever read. A database that does not answer is not empty: requests say what is wrong with it.
async fn is_empty(store: &Reader) -> bool {
    let found = timeout(LOOK_WITHIN, store.repository_statuses()).await;
    found.is_ok_and(|found| found.is_ok_and(|all| all.iter().all(|repository| repository.collected_at.is_none())))
}

/// How people log in to the page; `None` where they cannot.
fn login(settings: Option<LoginSettings>, is_open: bool, is_by_token: bool) -> Result<Option<Login>, Failure> {
    match settings {
        Some(settings) => Login::oidc(settings).map(Some).map_err(|error| Failure::Other(error.into())),
        None if is_by_token => Ok(None),
        None if is_open => Ok(Some(Login::None)),
        None => Ok(Some(Login::Key)),
    }
}

/// Reads what webhooks of GitHub announce, if there is a token to read it with.
fn change_reader(database: &Database, clock: fn() -> DateTime<Utc>) -> Result<Option<ChangeReader>, Failure> {
    if !["GITHUB_PAT", "GITHUB_APP_ID"].iter().any(|name| variable(name).is_some()) {
        return Ok(None);
    }
    let settings = mergeline_collector::Settings::from_vars(|name| database.lookup(name))?;
    let sources = GitHub::connect(&settings.github)?.into();
    let store = Writer::connect(&settings.database, actor());
    Ok(Some(ChangeReader::new(sources, store, settings, clock)))
}

/// Reads in this process, and never ends.
async fn reading(changes: Option<ChangeReader>) {
    match changes {
        Some(changes) => changes.run().await,
        None => std::future::pending().await,
    }
}

/// Binds the address. The error suggests another port.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::Other(anyhow::anyhow!(
            "cannot listen on {address}: {error}\n  help: if another program uses the port, pick a free one with --listen 127.0.0.1:0"
        ))
    })
}

/// Serves until Ctrl-C, SIGTERM or SIGHUP. Running requests are finished, then the database connections are closed: the
/// server may stop with this program.
pub(crate) async fn until_interrupted(
    listener: TcpListener,
    router: Router,
    store: &Reader,
    poster: &Poster,
) -> Result<(), Failure> {
    let mut signals = EndingSignals::new()?;
    let interrupted = async move {
        signals.next().await;
    };
    // Compression is for local use only: in the cloud, API Gateway would need the responses in another encoding.
    let router = router.layer(CompressionLayer::new());
    let router = match mergeline_telemetry::continue_traces() {
        Some(traces) => router.layer(traces),
        None => router,
    };
    http_server::serve(listener, router, Limits::of_this_process(), interrupted).await;
    store.close().await;
    poster.close().await;
    Ok(())
}
