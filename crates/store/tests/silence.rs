//! A connection to the database that goes silent: it is not refused or closed, but no more data arrives. Causes are a
//! silent failover, a firewall that dropped its connection state, and, seen from the database, a frozen sandbox.
//! docs/faults.md has the table.

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use common::{apply, attributions, fresh, share, teams};
use mergeline_domain::delivery::{
    ChangedFiles, DeploymentEvent, DeploymentSource, DeploymentState, DeploymentStateKind, IncidentChange,
    IncidentEvent, Oid, Origin, PostedDeployment, SourceOptions,
};
use mergeline_domain::messages::MessageKind;
use mergeline_domain::progress::{Backfill, Cursor, ProgressEvent, ReadForward, Reading};
use mergeline_domain::{ChannelId, Details, InstanceId, Problems, RepoName, Verdict};
use mergeline_fake_github::{FakeUser, at, pr};
use mergeline_source::{
    Block, CommitRecord, ListedDeployment, ListedIncident, ListedState, Remaining, ReportedDeployment,
};
use mergeline_store::{
    Actor, ApplyError, ApplyOptions, ClaimTerms, DatabaseSettings, DeliveryOutcome, DeploymentList, DeploymentProgress,
    EventSubject, IncidentProgress, KeptPullRequest, KnownBy, Lease, LeaseOutcome, MessageKey, MessageOutcome,
    PageOfWork, PlannedMessage, Poster, QuarantineKey, Reason, ReceivedDelivery, Reported, RepositoryId,
    RepositoryResult, ResultState, Revision, RunId, Sender, StoreError, Undecodable, UnreadableChange, WithoutDetails,
    Writer,
};
use mergeline_test_support::{TestDatabase, keep, miscounted};
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Url;

/// The list of a repository's releases.
fn releases() -> DeploymentList {
    let (source, options) = (DeploymentSource::GithubReleases, SourceOptions::default());
    DeploymentList { source, name: "releases".to_owned(), options }
}

const NOW: &str = "2026-06-15T12:00:00Z";
const MINUTE: Duration = Duration::from_secs(60);

/// The server's reply to the ping that tests a connection.
const PING_REPLY: &[u8] = b"Z\0\0\0\x05I";

/// When the first connection goes silent.
#[derive(Clone, Copy)]
enum Silence {
    /// At the reply that contains this. All later connections are silent too.
    ForAll(&'static str),
    /// At the reply that contains this.
    ForOne(&'static str),
    /// At the reply that contains this, until the database ends the connection.
    WhileFrozen(&'static str),
    /// Once it is back in the pool.
    ForAnIdleOne,
    /// At the reply to a commit: the connection is cut, and the reply is lost.
    CutAtCommit,
    /// Never.
    Never,
}

impl Silence {
    fn begins_with(self, reply: &[u8]) -> bool {
        match self {
            Self::ForAll(word) | Self::ForOne(word) | Self::WhileFrozen(word) => {
                reply.windows(word.len()).any(|part| part == word.as_bytes())
            }
            Self::ForAnIdleOne => reply == PING_REPLY,
            Self::CutAtCommit => reply.windows(7).any(|part| part == b"COMMIT\0"),
            Self::Never => false,
        }
    }
}

/// A proxy to a database that goes silent once.
struct Proxy {
    url: String,
    state: Arc<State>,
}

struct State {
    silence: Silence,
    is_silent: AtomicBool,
    /// One permit per silent connection that the client has closed.
    closed: Semaphore,
    /// How many queries the database has completed.
    completed: AtomicUsize,
}

impl Proxy {
    async fn to(database: &TestDatabase, silence: Silence) -> Result<Self> {
        let options: PgConnectOptions = database.url().parse()?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut url = Url::parse(database.url())?;
        url.set_host(Some("127.0.0.1"))?;
        ensure!(url.set_port(Some(listener.local_addr()?.port())).is_ok(), "a URL with a port");
        url.set_query(Some("sslmode=disable"));
        let state = State {
            silence,
            is_silent: AtomicBool::new(false),
            closed: Semaphore::new(0),
            completed: AtomicUsize::new(0),
        };
        let proxy = Self { url: url.into(), state: Arc::new(state) };
        let state = Arc::clone(&proxy.state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (state, options) = (Arc::clone(&state), options.clone());
                tokio::spawn(async move {
                    let port = options.get_port();
                    match options.get_socket() {
                        Some(folder) => {
                            let path: PathBuf = folder.join(format!(".s.PGSQL.{port}"));
                            state.forward(client, UnixStream::connect(path).await?).await
                        }
                        None => state.forward(client, TcpStream::connect((options.get_host(), port)).await?).await,
                    }
                });
            }
        });
        Ok(proxy)
    }

    /// A store behind the proxy, with the limits for requests within three seconds.
    fn store(&self) -> Result<Writer> {
        let settings = DatabaseSettings::parse(&SecretString::from(self.url.clone())).map_err(Problems::from)?;
        Ok(Writer::connect(&settings.for_requests_within(Duration::from_secs(3)), Actor::Collector))
    }

    /// Waits until the client closes a connection that went silent.
    async fn is_closed(&self) -> Result<()> {
        self.state.closed.acquire().await?.forget();
        Ok(())
    }
}

impl State {
    async fn forward(
        &self,
        mut client: TcpStream,
        mut server: impl AsyncRead + AsyncWrite + Unpin,
    ) -> std::io::Result<()> {
        if !(self.is_silent.load(Ordering::Relaxed) && matches!(self.silence, Silence::ForAll(_))) {
            let Some(mut reply) = self.forward_until_silence(&mut client, &mut server).await? else { return Ok(()) };
            match self.silence {
                Silence::CutAtCommit => return Ok(()),
                Silence::ForAll(_) | Silence::ForOne(_) => reply.clear(),
                Silence::WhileFrozen(_) => drop(server.read_to_end(&mut reply).await?),
                Silence::ForAnIdleOne | Silence::Never => {}
            }
            client.write_all(&reply).await?;
            if matches!(self.silence, Silence::WhileFrozen(_)) {
                client.shutdown().await?;
            }
        }
        while client.read(&mut [0; 512]).await? > 0 {}
        self.closed.add_permits(1);
        // The server is not notified either.
        std::future::pending().await
    }

    /// Returns the reply that is held back, or `None` when either side has closed the connection.
    async fn forward_until_silence(
        &self,
        client: &mut TcpStream,
        server: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> std::io::Result<Option<Vec<u8>>> {
        let (mut query, mut reply) = (vec![0; 8192], vec![0; 8192]);
        let mut messages = Messages::default();
        loop {
            tokio::select! {
                read = client.read(&mut query) => match read? {
                    0 => return Ok(None),
                    length => server.write_all(&query[..length]).await?,
                },
                read = server.read(&mut reply) => match &reply[..read?] {
                    [] => return Ok(None),
                    reply => {
                        self.completed.fetch_add(messages.completed_in(reply), Ordering::Relaxed);
                        if self.silence.begins_with(reply) && !self.is_silent.swap(true, Ordering::Relaxed) {
                            return Ok(Some(reply.to_vec()));
                        }
                        client.write_all(reply).await?;
                    }
                },
            }
        }
    }
}

/// Finds the starts of database messages. Each has a letter and a length, and may arrive in any number of pieces.
#[derive(Default)]
struct Messages {
    head: Vec<u8>,
    /// How much of the current message is still missing.
    left: usize,
}

impl Messages {
    /// How many queries completed in a piece of the server's output.
    fn completed_in(&mut self, mut piece: &[u8]) -> usize {
        let mut completed = 0;
        while !piece.is_empty() {
            if self.left > 0 {
                let passed = self.left.min(piece.len());
                (self.left, piece) = (self.left - passed, &piece[passed..]);
                continue;
            }
            self.head.push(piece[0]);
            piece = &piece[1..];
            // Of the letter of what completes a statement, the statement's first letters follow.
            if let [letter, a, b, c, d, name @ ..] = &self.head[..]
                && (*letter != b'C' || name.len() == 3)
            {
                completed += usize::from(name == b"SEL");
                let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
                self.left = length - 4 - name.len();
                self.head.clear();
            }
        }
        completed
    }
}

/// A configured database, its store and its only repository.
async fn configured() -> Result<(TestDatabase, Writer, RepositoryId)> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let snapshot = store.snapshot().await?.context("configured")?;
    let repository = snapshot.repositories.first().context("a repository")?.id;
    Ok((database, store, repository))
}

#[tokio::test]
async fn f34_a_silent_database_is_unavailable_and_releases_locks() -> Result<()> {
    let (database, neighbor, repository) = configured().await?;
    let proxy = Proxy::to(&database, Silence::ForAll("UPDATE 1")).await?;
    let store = proxy.store()?;
    let leased = timeout(MINUTE, store.lease(repository, at(NOW), MINUTE)).await?;
    assert_eq!(leased.as_ref().err().map(StoreError::code), Some("db_unavailable"), "{leased:?}");
    timeout(MINUTE, proxy.is_closed()).await??;
    // The lost lease was written, but not committed.
    assert!(neighbor.lease(repository, at(NOW), MINUTE).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn f34_a_silent_transaction_is_retried_on_another_connection() -> Result<()> {
    let (database, _neighbor, repository) = configured().await?;
    let proxy = Proxy::to(&database, Silence::ForOne("UPDATE 1")).await?;
    let store = proxy.store()?;
    assert!(timeout(MINUTE, store.lease(repository, at(NOW), MINUTE)).await??.is_some());
    timeout(MINUTE, proxy.is_closed()).await??;
    Ok(())
}

#[tokio::test]
async fn f34_unanswered_queries_time_out_and_close_their_connection() -> Result<()> {
    let (database, _neighbor, repository) = configured().await?;
    let single = async |store: &Writer| store.repository(repository).await.map(|found| found.is_some());
    let snapshot = async |store: &Writer| store.snapshot().await.map(|found| found.is_some());
    tokio::try_join!(times_out(&database, "acme/api", single), times_out(&database, "SET", snapshot))?;
    Ok(())
}

async fn times_out(
    database: &TestDatabase,
    word: &'static str,
    query: impl AsyncFn(&Writer) -> Result<bool, StoreError>,
) -> Result<()> {
    let proxy = Proxy::to(database, Silence::ForOne(word)).await?;
    let store = proxy.store()?;
    let error = timeout(MINUTE, query(&store)).await?.err().context("it got a reply")?;
    assert_eq!(error.code(), "db_unavailable", "{error:?}");
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("went silent"));
    timeout(MINUTE, proxy.is_closed()).await??;
    assert!(query(&store).await?);
    Ok(())
}

#[tokio::test]
async fn f40_a_transaction_lost_during_a_freeze_is_retried() -> Result<()> {
    let (database, _neighbor, repository) = configured().await?;
    let proxy = Proxy::to(&database, Silence::WhileFrozen("UPDATE 1")).await?;
    let store = proxy.store()?;
    assert!(timeout(MINUTE, store.lease(repository, at(NOW), MINUTE)).await??.is_some());
    Ok(())
}

#[tokio::test]
async fn f40_an_idle_connection_gone_silent_is_replaced() -> Result<()> {
    let (database, _neighbor, _) = configured().await?;
    let for_a_worker = async |store: &Writer| store.snapshot().await.map(|found| found.is_some());
    let for_a_request =
        async |store: &Writer| store.session_with_status(None, &[]).await.map(|(_, at)| at.revision.is_some());
    tokio::try_join!(is_replaced(&database, for_a_worker), is_replaced(&database, for_a_request))?;
    Ok(())
}

/// Queries until the silent connection is closed. Every query succeeds.
async fn is_replaced(database: &TestDatabase, query: impl AsyncFn(&Writer) -> Result<bool, StoreError>) -> Result<()> {
    let proxy = Proxy::to(database, Silence::ForAnIdleOne).await?;
    let store = proxy.store()?;
    let asking = async {
        loop {
            ensure!(query(&store).await?, "configured");
        }
    };
    timeout(MINUTE, async {
        tokio::select! { closed = proxy.is_closed() => closed, failed = asking => failed }
    })
    .await?
}

/// The lock of a page that is being stored, which keeps teams files from being applied.
const HOLD_CONFIGURATION: &str = "select pg_advisory_lock_shared(1835494499, 1)";

#[tokio::test]
async fn unchanged_teams_files_take_one_statement_without_locks() -> Result<()> {
    let (database, store) = fresh().await?;
    let members = "{ github: ana, weight: 0.5 }, { github: ben, id: 7, from: 2026-02-01, to: 2026-03-01 }";
    let (file, other) = (teams(&[("pay", members)]), teams(&[("pay", "{ github: ana, weight: 0.25 }")]));
    apply(&store, &file).await?;
    let proxy = Proxy::to(&database, Silence::Never).await?;
    let store = proxy.store()?;
    assert!(store.snapshot().await?.is_some(), "the connection is open");
    let pool = database.pool().await?;
    sqlx::query(HOLD_CONFIGURATION).execute(&pool).await?;
    let completed = || proxy.state.completed.load(Ordering::Relaxed);
    let before = completed();
    let applied = apply(&store, &file).await?;
    assert_eq!(completed() - before, 1);
    let report = applied.to_string();
    assert!(report.contains("Nothing changes.") && report.contains("ana has 0.5 unallocated today"), "{report}");
    // A changed file waits for the lock, here until the timeout.
    let waited = apply(&store, &other).await;
    assert!(matches!(waited, Err(ApplyError::Store(StoreError::Timeout(_)))), "{waited:?}");
    Ok(())
}

/// The methods that write, by name.
const WRITING: [&str; 59] = [
    "accept_quarantined",
    "apply",
    "change_incident",
    "post_deployment",
    "post_incident",
    "record_delivery",
    "record_refused_event",
    "set_link",
    "claim_messages",
    "settle_lost_messages",
    "finish_messages",
    "plan_messages",
    "turn_channel_off",
    "turn_channel_on",
    "advance",
    "advance_listing",
    "advance_listing to a backfill",
    "advance to a new reading",
    "advance to another page size",
    "close_interrupted_runs",
    "derive_all",
    "erase",
    "exchange_names",
    "fail_run",
    "identify",
    "identify as another one",
    "identify as one that was archived",
    "lease",
    "mark_deleted",
    "mark_deployments_deleted",
    "note_missing_commit",
    "note_missed_announcement",
    "note_unlisted",
    "note_without_files",
    "note_unreadable",
    "postpone_details",
    "postpone_files",
    "prune",
    "reattribute",
    "record_result",
    "release",
    "resolve_pattern",
    "settle_run",
    "start_run",
    "store_announced",
    "store_commits",
    "store_deployment_progress",
    "store_reported",
    "store_deployment_states",
    "store_deployments",
    "store_details",
    "store_files",
    "store_incidents",
    "store_rate_limit_blocks",
    "store_rate_limit_remaining",
    "trim_ledger",
    "merge_people",
    "upsert_page",
    "upsert_page with what cannot be read",
];

/// The id of a commit.
fn oid(number: u64) -> Result<Oid> {
    Ok(format!("{number:040x}").parse()?)
}

/// Everything a worker needs.
struct Scene {
    database: TestDatabase,
    store: Writer,
    lease: Lease,
    revision: Revision,
    run: RunId,
}

impl Scene {
    /// A pattern's repository with a running backfill, leased after a failure, a stored pull request without details,
    /// and a run with one deferred result for it.
    async fn set() -> Result<Self> {
        let (database, store, repository) = configured().await?;
        keep(&store, &[pr("acme/api", 1).by("ana").merged("2026-06-10T12:00:00Z")]).await?;
        let revision = store.snapshot().await?.context("configured")?.revision;
        let (first, _) = store.lease(repository, at(NOW), MINUTE).await?.context("free")?;
        store.identify(&first, &"acme/api".parse()?, &1.into(), &"acme/api".parse()?, at(NOW)).await?;
        let since = at("2026-01-01T00:00:00Z");
        let read = ReadForward { rows: 200, cursor: Some(Cursor("200".to_owned())), ..ReadForward::default() };
        let anchor = Some(at("2026-06-10T12:00:00Z"));
        let backfill = Backfill { since, anchor, reading: Reading::ByCreation(read) };
        let begin = ProgressEvent::BackfillStarted { backfill, at: at(NOW) };
        store.advance_listing(&first, revision, begin, None, at(NOW)).await?;
        store.release(&first, LeaseOutcome::Failed, None, at(NOW)).await?;
        let (lease, _) = store.lease(repository, at(NOW), MINUTE).await?.context("free")?;
        let run = store.start_run(revision, 1, &[], at(NOW)).await?;
        let reason = Some(Reason { code: "turn_over", message: String::new() });
        let earlier =
            RepositoryResult { state: ResultState::Deferred, reason, requests: 5, ..RepositoryResult::default() };
        store.record_result(run, repository, at(NOW), &earlier).await?;
        Ok(Self { database, store, lease, revision, run })
    }

    async fn write(&self, store: &Writer, method: &str) -> Result<String> {
        let (now, lease, revision) = (at("2026-06-15T12:00:30Z"), &self.lease, self.revision);
        let api: RepoName = "acme/api".parse()?;
        let since = at("2026-02-01T00:00:00Z");
        let node = || "PR_1".to_owned();
        let page = |undecodable: Vec<Undecodable>| async move {
            let roster = self.store.snapshot().await?.context("configured")?.roster;
            let pull_request = pr("acme/api", 2).by("ana").merged("2026-06-12T12:00:00Z").facts();
            let Verdict::Keep { person, attributions } = roster.judge(&pull_request) else { anyhow::bail!("a member") };
            let kept = vec![KeptPullRequest { person: person.id, attributions, pull_request }];
            let page = PageOfWork {
                kept,
                undecodable,
                event: Some(ProgressEvent::PageStored { rows: 300, cursor: Cursor("300".to_owned()), seen: 100 }),
                ..PageOfWork::default()
            };
            Ok(format!("{:?}", store.upsert_page(lease, revision, page, now).await?.quarantined))
        };
        Ok(match method {
            "accept_quarantined" => {
                let undecodable =
                    Undecodable { known_by: KnownBy::Number(8), reason: "no title".to_owned(), created_from: None };
                let page = PageOfWork { undecodable: vec![undecodable], ..PageOfWork::default() };
                self.store.upsert_page(lease, revision, page, now).await?;
                let key = QuarantineKey::Number(8);
                format!("{:?}", store.accept_quarantined(&"acme/api".parse()?, key, now).await?)
            }
            "advance to a new reading" => {
                let event = ProgressEvent::ReadingStarted { length: Some(9), newest: None, readings: 2, at: now };
                format!("{:?}", store.advance(lease, event, now).await?)
            }
            "note_unlisted" => {
                format!("{:?}", store.note_unlisted(&"acme/*".parse()?, "without a token").await?)
            }
            "store_rate_limit_blocks" => {
                let block = Block { scope: "token".to_owned(), kind: "core".to_owned(), until: now };
                format!("{:?}", store.store_rate_limit_blocks(InstanceId::GITHUB, &[block], now).await?)
            }
            "store_rate_limit_remaining" => {
                let remaining = Remaining { scope: "token".to_owned(), limit: 5_000, remaining: 4_000, resets_at: now };
                format!("{:?}", store.store_rate_limit_remaining(InstanceId::GITHUB, &[remaining], now).await?)
            }
            "apply" => {
                let file = teams(&[("pay", "{ github: ana }, { github: ben }")]);
                format!("{:?}", store.apply(&file, ApplyOptions::default(), now).await?.plan.memberships.len())
            }
            "advance_listing to a backfill" => {
                let event = ProgressEvent::BackfillStarted { backfill: Backfill::by_creation(since, None), at: now };
                format!("{:?}", store.advance_listing(lease, revision, event, None, now).await?)
            }
            "close_interrupted_runs" => {
                let later = at("2026-06-15T12:02:00Z");
                format!("{:?}", store.close_interrupted_runs(TimeDelta::minutes(1), later).await?)
            }
            "derive_all" => format!("{:?}", store.derive_all(true).await?),
            "erase" => {
                let options = ApplyOptions { allow_removals: true, ..ApplyOptions::default() };
                self.store.apply(&teams(&[("pay", "{ github: ben }")]), options, now).await?;
                let accounts = self.store.accounts_of(&"ana".parse()?).await?;
                let ana = accounts.first().context("known")?;
                format!("{:?}", store.erase(Some(ana.person), &ana.logins, now).await?)
            }
            "fail_run" => format!("{:?}", store.fail_run(self.run, now).await?),
            "note_unreadable" => {
                let row = UnreadableChange { from: None, until: since };
                format!("{:?}", store.note_unreadable(lease, &[row], now).await?)
            }
            "advance" => {
                format!("{:?}", store.advance(lease, ProgressEvent::BackfillFinished { at: now }, now).await?)
            }
            "advance_listing" => {
                let listed = ProgressEvent::Listed {
                    newest: Some(since),
                    down_to: since,
                    started_at: now,
                    is_verified: true,
                    has_pull_requests: true,
                };
                format!("{:?}", store.advance_listing(lease, revision, listed, None, now).await?)
            }
            "identify" => {
                format!("{:?}", store.identify(lease, &api, &1.into(), &"acme/new-name".parse()?, now).await?)
            }
            "identify as another one" => format!("{:?}", store.identify(lease, &api, &2.into(), &api, now).await?),
            "identify as one that was archived" => {
                self.execute(
                    "insert into repositories (name, external_id, added_at, removed_at)
                    values ('acme/former', '2', '2026-06-01Z', '2026-06-02Z')",
                )
                .await?;
                format!("{:?}", store.identify(lease, &api, &2.into(), &api, now).await?)
            }
            "exchange_names" => {
                self.execute(
                    "update repositories set external_id = null, current_name = null;
                    insert into repositories (name, external_id, added_at) values ('acme/former', '1', '2026-06-01Z')",
                )
                .await?;
                format!("{:?}", store.exchange_names(lease, &"acme/former".parse()?, &1.into(), &api, now).await?)
            }
            "lease" => {
                let later = at("2026-06-15T12:02:00Z");
                format!("{:?}", store.lease(lease.repository, later, MINUTE).await?.context("expired")?)
            }
            "store_announced"
            | "store_deployments"
            | "store_deployment_states"
            | "mark_deployments_deleted"
            | "store_reported" => self.write_deployments(store, method, now).await?,
            "store_deployment_progress" => {
                let progress = DeploymentProgress { covered_since: Some(since), ..DeploymentProgress::default() };
                format!("{:?}", store.store_deployment_progress(lease, &releases(), &progress, now).await?)
            }
            "store_commits" => {
                let commit = CommitRecord {
                    oid: oid(2)?,
                    parents: vec![(oid(1)?, since)],
                    committed_at: at("2026-06-12T12:00:00Z"),
                };
                store.store_commits(lease, &[commit], now).await?;
                String::new()
            }
            "note_missed_announcement" => {
                self.execute(
                    "insert into announcements (repository_id, last_at) select id, '2026-06-01Z' from repositories;
                    update repositories set watermark = '2026-06-02Z'",
                )
                .await?;
                store.note_missed_announcement(lease.repository, now).await?;
                String::new()
            }
            "record_delivery" => {
                let digest = [7; 32];
                let delivery =
                    ReceivedDelivery { plugin: "github", id: Some("d-1"), kind: "deployment.created", digest: &digest };
                Poster::of(store).record_delivery(&delivery, DeliveryOutcome::Queued(lease.repository), now).await?;
                String::new()
            }
            "note_missing_commit" => format!("{:?}", store.note_missing_commit(lease, &oid(2)?, now).await?),
            "store_incidents" => {
                let incident = ListedIncident {
                    id: 9.into(),
                    number: 9,
                    title: "Down".to_owned(),
                    labels: vec!["incident".to_owned()],
                    url: None,
                    opened_at: since,
                    updated_at: since,
                    closed: None,
                };
                let progress = IncidentProgress { read_at: Some(now), ..IncidentProgress::default() };
                store.store_incidents(lease, "incident", &[incident], &[], &progress, now).await?;
                String::new()
            }
            "post_deployment" | "post_incident" | "change_incident" | "set_link" | "record_refused_event" => {
                self.post(store, method, now).await?
            }
            "mark_deleted" => format!("{:?}", store.mark_deleted(lease, &[1], now).await?),
            "postpone_details" => format!("{:?}", store.postpone_details(lease, &[node()], now).await?),
            "postpone_files" => {
                let ids = self.store.without_details(lease.repository, now, 9).await?;
                let ids: Vec<String> = ids.into_iter().map(|it| it.node_id).collect();
                format!("{:?}", store.postpone_files(lease, &ids, now).await?)
            }
            "note_without_files" => {
                self.execute("update repositories set without_files = 7").await?;
                format!("{:?}", store.note_without_files(lease, now).await?)
            }
            "store_files" => {
                let ids = self.store.without_details(lease.repository, now, 9).await?;
                let files: Vec<_> = ids.into_iter().map(|it| (it.node_id, ChangedFiles::default())).collect();
                format!("{:?}", store.store_files(lease, &files, now).await?)
            }
            "prune" => format!("{:?}", store.prune(at("2026-06-14T00:00:00Z"), 0).await?),
            "reattribute" => {
                let file = teams(&[("pay", "{ github: ana, weight: 0.5 }")]);
                self.store.apply(&file, ApplyOptions { at_once: 0, ..ApplyOptions::default() }, now).await?;
                let step = store.reattribute(9).await?;
                ensure!(attributions(&self.database).await? == [share(1, "pay", "0.5")], "the share changed");
                format!("{:?}", step.people_left)
            }
            "record_result" => {
                let result = RepositoryResult { requests: 7, ..RepositoryResult::default() };
                format!("{:?}", store.record_result(self.run, lease.repository, now, &result).await?)
            }
            "release" => format!("{:?}", store.release(lease, LeaseOutcome::Failed, None, now).await?),
            "resolve_pattern" => {
                let found = ["acme/api".parse()?, "acme/web".parse()?].into();
                store.resolve_pattern(&"acme/*".parse()?, &found, None, revision, now).await?;
                String::new()
            }
            "advance to another page size" => {
                let event = ProgressEvent::PageSizeChanged { page_size: 50 };
                format!("{:?}", store.advance(lease, event, now).await?)
            }
            "settle_run" => {
                let result = RepositoryResult::default();
                self.store.record_result(self.run, lease.repository, now, &result).await?;
                format!("{:?}", store.settle_run(self.run, now).await?)
            }
            "start_run" => {
                format!("{:?}", store.start_run(revision, 2, &["acme/* brings none".to_owned()], now).await?)
            }
            "store_details" => {
                let stored = store.without_details(lease.repository, now, 9).await?;
                let details: Vec<(WithoutDetails, Details)> =
                    stored.into_iter().map(|stored| (stored, Details::default())).collect();
                ensure!(!details.is_empty(), "a pull request without details");
                format!("{:?}", store.store_details(lease, revision, &details, now).await?)
            }
            "trim_ledger" => {
                self.store.settle_run(self.run, now).await?;
                self.store.start_run(revision, 0, &[], now).await?;
                let sql = "update collection_runs set finished_at = started_at, state = 'succeeded'; \
                     update repositories set removed_at = added_at";
                sqlx::raw_sql(sql).execute(&self.database.pool().await?).await?;
                format!("{:?}", store.trim_ledger(at("2026-06-16T00:00:00Z")).await?)
            }
            "merge_people" => {
                let people: Vec<i64> = sqlx::query_scalar(
                    "with new as (insert into people default values returning id)
                    insert into accounts (person_id, instance_id, configured_login, login) select id, 1, 'nana', 'nana' from new
                    returning (select min(person_id) from accounts)",
                )
                .fetch_all(&self.database.pool().await?)
                .await?;
                let known = mergeline_domain::PersonId(people[0]);
                format!(
                    "{:?}",
                    store
                        .merge_people(
                            known,
                            mergeline_domain::PersonId(people[0] + 1),
                            &FakeUser::person("ana").id.into(),
                            now
                        )
                        .await?
                )
            }
            "claim_messages"
            | "settle_lost_messages"
            | "finish_messages"
            | "plan_messages"
            | "turn_channel_off"
            | "turn_channel_on" => self.write_messages(store, method, now).await?,
            "upsert_page" => page(Vec::new()).await?,
            "upsert_page with what cannot be read" => {
                page(vec![Undecodable {
                    known_by: KnownBy::Number(9),
                    reason: "no title".to_owned(),
                    created_from: None,
                }])
                .await?
            }
            other => anyhow::bail!("unknown method {other}"),
        })
    }

    /// A method about messages to channels.
    async fn write_messages(&self, store: &Writer, method: &str, now: DateTime<Utc>) -> Result<String> {
        let channel: ChannelId = "chat".parse()?;
        let planned = |subject: &str| PlannedMessage {
            key: MessageKey {
                channel: channel.clone(),
                kind: MessageKind::Goal,
                subject: subject.to_owned(),
                period: "2026-W24".to_owned(),
            },
            content: serde_json::json!({ "title": subject }),
            due_at: now,
        };
        let terms = ClaimTerms { merges: true, day: (now, now), most_a_day: None };
        if method != "turn_channel_on" {
            self.store.plan_messages(&[planned("a"), planned("b")], now).await?;
        }
        Ok(match method {
            "plan_messages" => format!("{:?}", store.plan_messages(&[planned("b")], now).await?.dropped > 5),
            "claim_messages" => format!("{:?}", store.claim_messages(&channel, terms, now).await?),
            "finish_messages" => {
                let claimed = self.store.claim_messages(&channel, terms, now).await?.context("due")?;
                let outcomes: Vec<_> = claimed.messages.iter().map(|it| (it, MessageOutcome::Sent)).collect();
                format!("{:?}", store.finish_messages(&outcomes, now).await?)
            }
            "settle_lost_messages" => {
                self.store.claim_messages(&channel, terms, now).await?.context("due")?;
                let later = now + TimeDelta::hours(1);
                // The second time, there is nothing left to count.
                store.settle_lost_messages(&channel, false, later).await?;
                "settled".to_owned()
            }
            "turn_channel_off" => format!("{:?}", store.turn_channel_off(&channel, "gone", now, now).await?),
            _ => {
                self.store.turn_channel_off(&channel, "gone", now, now).await?;
                format!("{:?}", store.turn_channel_on(&channel).await?)
            }
        })
    }

    /// A method about a deployment. What was changed is not compared: a second time, it is nothing.
    async fn write_deployments(&self, store: &Writer, method: &str, now: DateTime<Utc>) -> Result<String> {
        let created_at = at("2026-06-12T12:00:00Z");
        let listed = ListedDeployment {
            id: 7.into(),
            states_id: "DE_7".to_owned(),
            environment: "production".to_owned(),
            commit: Some(oid(1)?),
            created_at,
            is_production: None,
            is_transient: false,
        };
        if method != "store_deployments" {
            self.store.store_deployments(&self.lease, std::slice::from_ref(&listed), None, now).await?;
        }
        match method {
            "store_deployments" => {
                store.store_deployments(&self.lease, &[listed], None, now).await?;
            }
            "store_announced" => {
                store.store_announced(&self.lease, &ListedDeployment { id: 8.into(), ..listed }, None, now).await?;
            }
            "store_deployment_states" => {
                let state = DeploymentState { at: created_at, kind: DeploymentStateKind::Success };
                let states = [("DE_7".to_owned(), vec![ListedState { state, environment: None }])];
                store.store_deployment_states(&self.lease, &states, now, now).await?;
            }
            "store_reported" => {
                let released = ReportedDeployment {
                    id: "RE_7".to_owned().into(),
                    origin: Origin::Release { tag: "v7".to_owned(), is_prerelease: false },
                    commit: Some(oid(1)?),
                    created_at,
                    end: Some(DeploymentState { at: created_at, kind: DeploymentStateKind::Success }),
                    version: None,
                    url: None,
                };
                let (list, deployments) = (&releases(), &[released][..]);
                let reported = Reported { list, deployments, complete_since: Some(created_at) };
                store.store_reported(&self.lease, reported, &DeploymentProgress::default(), now).await?;
            }
            _ => store.mark_deployments_deleted(&self.lease, &["7".to_owned()], now).await?,
        }
        Ok(String::new())
    }

    /// A method about what is posted. The second attempt answers what the first one did.
    async fn post(&self, store: &Writer, method: &str, now: DateTime<Utc>) -> Result<String> {
        let (sender, digest) = (Sender::default(), [7; 32]);
        let event = IncidentEvent {
            id: "I1".to_owned(),
            service: "acme/api".to_owned(),
            title: "Down".to_owned(),
            started_at: Some("2026-06-12T12:00:00Z".to_owned()),
            ..IncidentEvent::default()
        };
        let incident = event.check(now).ok().context("valid")?;
        let deployment = || -> Result<PostedDeployment> {
            let event = DeploymentEvent {
                id: "D1".to_owned(),
                service: "acme/api".to_owned(),
                environment: "production".to_owned(),
                sha: Some(oid(1)?.to_string()),
                ..DeploymentEvent::default()
            };
            event.check(now).ok().context("valid")
        };
        if matches!(method, "change_incident" | "set_link") {
            Poster::of(&self.store).post_incident(&sender, &digest, &incident, now).await??;
        }
        let poster = Poster::of(store);
        Ok(match method {
            "post_incident" => format!("{:?}", poster.post_incident(&sender, &digest, &incident, now).await??),
            "change_incident" => {
                let change = IncidentChange::Resolved(now);
                format!("{:?}", poster.change_incident(&sender, &digest, "I1", change, now).await??)
            }
            "set_link" => {
                // The deployment that its answer shows follows from the database.
                let deployment =
                    Poster::of(&self.store).post_deployment(&sender, &digest, &deployment()?, now).await??;
                format!("{:?}", poster.set_link(&sender, &digest, "I1", Some(deployment.id), now).await??)
            }
            "record_refused_event" => {
                let refused = poster.record_refused_event(&sender, &digest, EventSubject::Incident, None, "no", now);
                format!("{:?}", refused.await?)
            }
            _ => format!("{:?}", poster.post_deployment(&sender, &digest, &deployment()?, now).await??),
        })
    }

    /// Prepares data for a method.
    async fn execute(&self, statements: &'static str) -> Result<()> {
        sqlx::raw_sql(statements).execute(&self.database.pool().await?).await?;
        Ok(())
    }

    /// All rows of all tables, without random tokens and data versions.
    async fn rows(&self) -> Result<Vec<String>> {
        let pool = self.database.pool().await?;
        let tables: Vec<String> = sqlx::query_scalar(
            "select relname::text from pg_class
            where relkind = 'r' and relnamespace = 'public'::regnamespace and relname not like '\\_%' order by 1",
        )
        .fetch_all(&pool)
        .await?;
        let mut rows = Vec::new();
        for table in tables {
            let random = if table == "received_events" { "- 'id'" } else { "" };
            let sql = format!(
                "select '{table} ' || (to_jsonb(t) - 'lease_token' - 'written_as' - 'data_version' {random})::text
                from {table} as t order by 1"
            );
            rows.extend(sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).fetch_all(&pool).await?);
        }
        Ok(rows)
    }
}

#[tokio::test]
async fn retrying_after_a_lost_commit_reply_is_idempotent() -> Result<()> {
    for method in WRITING {
        let undisturbed = Scene::set().await?;
        let expected = undisturbed.write(&undisturbed.store, method).await.with_context(|| method.to_owned())?;
        let scene = Scene::set().await?;
        let proxy = Proxy::to(&scene.database, Silence::CutAtCommit).await?;
        let outcome = timeout(MINUTE, scene.write(&proxy.store()?, method)).await?;
        assert!(proxy.state.is_silent.load(Ordering::Relaxed), "{method} committed");
        match outcome {
            Ok(returned) => assert_eq!(returned, expected, "{method}"),
            // These are not retried automatically. The caller checks the outcome, or asks again.
            Err(error) => {
                assert!(
                    matches!(method, "apply" | "claim_messages" | "derive_all" | "merge_people"),
                    "{method}: {error:?}"
                );
                assert!(format!("{error:?}").contains("not available"), "{method}: {error:?}");
            }
        }
        assert_eq!(scene.rows().await?, undisturbed.rows().await?, "{method}");
        let miscounted = miscounted(&scene.database.pool().await?).await?;
        assert!(miscounted.is_empty(), "{method}: {miscounted:?}");
    }
    Ok(())
}

/// Whether a line of the store's source writes, or starts a transaction that may write.
fn writes(line: &str) -> bool {
    let transactions = [".in_transaction(", ".perform(", "self.receive(", "self.once(", ".pool.begin("];
    let statements = ["insert into ", "delete from ", "\"update "];
    let line = line.trim_start();
    !line.starts_with("//")
        && (line.starts_with("update ") || transactions.iter().chain(&statements).any(|word| line.contains(word)))
}

#[test]
fn every_writing_method_is_tested_with_lost_replies() -> Result<()> {
    let mut writing = std::collections::BTreeSet::new();
    let files = |folder: &str| std::fs::read_dir(format!("{}/{folder}", env!("CARGO_MANIFEST_DIR")));
    for entry in files("src")?.chain(files("src/delivery")?) {
        let path = entry?.path();
        if path.is_dir() {
            continue;
        }
        let mut method = String::new();
        for line in std::fs::read_to_string(path)?.lines() {
            if let Some((before, rest)) = line.trim_start().split_once("async fn ") {
                let rest = if before == "pub " { rest } else { "" };
                method = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            }
            if writes(line) {
                writing.insert(method.clone());
            }
        }
    }
    // Private functions, which the others call.
    writing.remove("");
    let tried = WRITING.iter().filter_map(|name| name.split(' ').next()).map(str::to_owned).collect();
    assert_eq!(writing, tried);
    Ok(())
}
