//! What happens when the way to the database goes silent: nothing is refused, nothing is closed, nothing comes any more. A
//! server that took over without a word is like that, a firewall that forgot a connection, and, seen from the database, a
//! sandbox that was frozen. docs/faults.md has the table.

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use common::{apply, attributions, fresh, share, teams};
use mergeline_domain::{Details, Problems, RepoName, Verdict};
use mergeline_fake_github::{FakeUser, at, pr};
use mergeline_store::{
    ApplyError, ApplyOptions, Backfill, BackfillStep, DatabaseSettings, KeptPullRequest, KnownBy, Lease, LeaseOutcome,
    Listed, PageOfWork, QuarantineKey, RateLimitBlock, RateLimitRemaining, Reason, RepositoryId, RepositoryResult,
    ResultState, Revision, RunId, Store, StoreError, Undecodable, UnreadableChange, WithoutDetails,
};
use mergeline_test_support::{TestDatabase, keep, miscounted};
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Url;

const NOW: &str = "2026-06-15T12:00:00Z";
const MINUTE: Duration = Duration::from_secs(60);

/// The answer to the question whether a connection is well.
const WELL: &[u8] = b"Z\0\0\0\x05I";

/// When the first connection goes silent.
#[derive(Clone, Copy)]
enum Silence {
    /// With the answer that has this in it, and whoever comes afterwards meets the same silence.
    ForAll(&'static str),
    /// With the answer that has this in it.
    ForOne(&'static str),
    /// With the answer that has this in it, until the database ends the connection.
    WhileFrozen(&'static str),
    /// Once it went back into the pool.
    ForAnIdleOne,
    /// With the answer that something was committed: the connection is cut, and the answer lost.
    CutAtCommit,
    /// Never.
    Never,
}

impl Silence {
    fn begins_with(self, answer: &[u8]) -> bool {
        match self {
            Self::ForAll(word) | Self::ForOne(word) | Self::WhileFrozen(word) => {
                answer.windows(word.len()).any(|part| part == word.as_bytes())
            }
            Self::ForAnIdleOne => answer == WELL,
            Self::CutAtCommit => answer.windows(7).any(|part| part == b"COMMIT\0"),
            Self::Never => false,
        }
    }
}

/// A way to a database that goes silent once.
struct Way {
    url: String,
    state: Arc<State>,
}

struct State {
    silence: Silence,
    is_silent: AtomicBool,
    /// As many permits as silent connections that the client has closed.
    closed: Semaphore,
    /// How many statements the database has completed.
    completed: AtomicUsize,
}

impl Way {
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
        let way = Self { url: url.into(), state: Arc::new(state) };
        let state = Arc::clone(&way.state);
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
        Ok(way)
    }

    /// A store at its end whose limits are those of requests within three seconds.
    fn store(&self) -> Result<Store> {
        let settings = DatabaseSettings::parse(&SecretString::from(self.url.clone())).map_err(Problems::from)?;
        Ok(Store::connect(&settings.for_requests_within(Duration::from_secs(3))))
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
            let Some(mut answer) = self.forward_until_silence(&mut client, &mut server).await? else { return Ok(()) };
            match self.silence {
                Silence::CutAtCommit => return Ok(()),
                Silence::ForAll(_) | Silence::ForOne(_) => answer.clear(),
                Silence::WhileFrozen(_) => drop(server.read_to_end(&mut answer).await?),
                Silence::ForAnIdleOne | Silence::Never => {}
            }
            client.write_all(&answer).await?;
            if matches!(self.silence, Silence::WhileFrozen(_)) {
                client.shutdown().await?;
            }
        }
        while client.read(&mut [0; 512]).await? > 0 {}
        self.closed.add_permits(1);
        // The server does not learn of it either.
        std::future::pending().await
    }

    /// Returns the answer that comes no more, or nothing when one of the two has closed the connection.
    async fn forward_until_silence(
        &self,
        client: &mut TcpStream,
        server: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> std::io::Result<Option<Vec<u8>>> {
        let (mut question, mut answer) = (vec![0; 8192], vec![0; 8192]);
        let mut messages = Messages::default();
        loop {
            tokio::select! {
                read = client.read(&mut question) => match read? {
                    0 => return Ok(None),
                    length => server.write_all(&question[..length]).await?,
                },
                read = server.read(&mut answer) => match &answer[..read?] {
                    [] => return Ok(None),
                    answer => {
                        self.completed.fetch_add(messages.completed_in(answer), Ordering::Relaxed);
                        if self.silence.begins_with(answer) && !self.is_silent.swap(true, Ordering::Relaxed) {
                            return Ok(Some(answer.to_vec()));
                        }
                        client.write_all(answer).await?;
                    }
                },
            }
        }
    }
}

/// Where messages of a database begin: each has a letter and a length, and comes in any number of pieces.
#[derive(Default)]
struct Messages {
    head: Vec<u8>,
    /// How much of the message is still to come.
    left: usize,
}

impl Messages {
    /// How many statements were completed with a piece of what the database says.
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
            if let [letter, a, b, c, d] = self.head[..] {
                completed += usize::from(letter == b'C');
                self.left = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX) - 4;
                self.head.clear();
            }
        }
        completed
    }
}

/// A configured database, its store and its only repository.
async fn configured() -> Result<(TestDatabase, Store, RepositoryId)> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let snapshot = store.snapshot().await?.context("configured")?;
    let repository = snapshot.repositories.first().context("a repository")?.id;
    Ok((database, store, repository))
}

#[tokio::test]
async fn f34_a_database_that_goes_silent_is_not_available_and_gives_free_what_was_locked_there() -> Result<()> {
    let (database, neighbour, repository) = configured().await?;
    let way = Way::to(&database, Silence::ForAll("UPDATE 1")).await?;
    let store = way.store()?;
    let leased = timeout(MINUTE, store.lease(repository, at(NOW), MINUTE)).await?;
    assert_eq!(leased.as_ref().err().map(StoreError::code), Some("db_unavailable"), "{leased:?}");
    timeout(MINUTE, way.is_closed()).await??;
    // The lease that nobody got was written, and not committed.
    assert!(neighbour.lease(repository, at(NOW), MINUTE).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn f34_a_transaction_whose_connection_goes_silent_is_done_again_on_another_one() -> Result<()> {
    let (database, _neighbour, repository) = configured().await?;
    let way = Way::to(&database, Silence::ForOne("UPDATE 1")).await?;
    let store = way.store()?;
    assert!(timeout(MINUTE, store.lease(repository, at(NOW), MINUTE)).await??.is_some());
    timeout(MINUTE, way.is_closed()).await??;
    Ok(())
}

#[tokio::test]
async fn f34_a_question_whose_answer_never_comes_is_given_up_and_its_connection_closed() -> Result<()> {
    let (database, _neighbour, repository) = configured().await?;
    let by_itself = async |store: &Store| store.repository(repository).await.map(|found| found.is_some());
    let of_several = async |store: &Store| store.snapshot().await.map(|found| found.is_some());
    tokio::try_join!(given_up(&database, "acme/api", by_itself), given_up(&database, "SET", of_several))?;
    Ok(())
}

async fn given_up(
    database: &TestDatabase,
    word: &'static str,
    question: impl AsyncFn(&Store) -> Result<bool, StoreError>,
) -> Result<()> {
    let way = Way::to(database, Silence::ForOne(word)).await?;
    let store = way.store()?;
    let error = timeout(MINUTE, question(&store)).await?.err().context("it is answered")?;
    assert_eq!(error.code(), "db_unavailable", "{error:?}");
    assert!(format!("{:#}", anyhow::Error::from(error)).contains("went silent"));
    timeout(MINUTE, way.is_closed()).await??;
    assert!(question(&store).await?);
    Ok(())
}

#[tokio::test]
async fn f40_a_transaction_that_the_database_ended_while_its_sandbox_was_frozen_is_done_again() -> Result<()> {
    let (database, _neighbour, repository) = configured().await?;
    let way = Way::to(&database, Silence::WhileFrozen("UPDATE 1")).await?;
    let store = way.store()?;
    assert!(timeout(MINUTE, store.lease(repository, at(NOW), MINUTE)).await??.is_some());
    Ok(())
}

#[tokio::test]
async fn f40_a_connection_that_went_silent_while_it_was_idle_is_made_anew() -> Result<()> {
    let (database, _neighbour, _) = configured().await?;
    let for_a_worker = async |store: &Store| store.snapshot().await.map(|found| found.is_some());
    let for_a_request =
        async |store: &Store| store.reader_with_status(None, &[]).await.map(|(_, at)| at.revision.is_some());
    tokio::try_join!(made_anew(&database, for_a_worker), made_anew(&database, for_a_request))?;
    Ok(())
}

/// Asks until the connection that went silent is closed; each question is answered.
async fn made_anew(database: &TestDatabase, question: impl AsyncFn(&Store) -> Result<bool, StoreError>) -> Result<()> {
    let way = Way::to(database, Silence::ForAnIdleOne).await?;
    let store = way.store()?;
    let asking = async {
        loop {
            ensure!(question(&store).await?, "configured");
        }
    };
    timeout(MINUTE, async {
        tokio::select! { closed = way.is_closed() => closed, failed = asking => failed }
    })
    .await?
}

/// What a page holds while it is stored, so that no teams file is applied meanwhile.
const HOLD_CONFIGURATION: &str = "select pg_advisory_lock_shared(120282478503276)";

#[tokio::test]
async fn an_unchanged_teams_file_takes_one_statement_and_waits_for_nobody_who_holds_the_configuration() -> Result<()> {
    let (database, store) = fresh().await?;
    let members = "{ github: ana, weight: 0.5 }, { github: ben, id: 7, from: 2026-02-01, to: 2026-03-01 }";
    let (file, other) = (teams(&[("pay", members)]), teams(&[("pay", "{ github: ana, weight: 0.25 }")]));
    apply(&store, &file).await?;
    let way = Way::to(&database, Silence::Never).await?;
    let store = way.store()?;
    assert!(store.snapshot().await?.is_some(), "its connection is ready");
    let pool = database.pool().await?;
    sqlx::query(HOLD_CONFIGURATION).execute(&pool).await?;
    let completed = || way.state.completed.load(Ordering::Relaxed);
    let before = completed();
    let applied = apply(&store, &file).await?;
    assert_eq!(completed() - before, 1);
    let said = applied.to_string();
    assert!(said.contains("Nothing changes.") && said.contains("ana has 0.5 unallocated today"), "{said}");
    // What changes something does wait, here until it may not wait any longer.
    let waited = apply(&store, &other).await;
    assert!(matches!(waited, Err(ApplyError::Store(StoreError::Timeout(_)))), "{waited:?}");
    Ok(())
}

/// The methods that write, by name.
const WRITING: [&str; 33] = [
    "accept_quarantined",
    "apply",
    "begin_backfill",
    "begin_reading",
    "close_interrupted_runs",
    "erase",
    "exchange_names",
    "fail_run",
    "finish_backfill",
    "finish_listing",
    "identify",
    "identify as another one",
    "identify as one that was archived",
    "lease",
    "mark_deleted",
    "note_unlisted",
    "note_unreadable",
    "postpone_details",
    "prune",
    "reattribute",
    "record_result",
    "release",
    "resolve_pattern",
    "set_page_size",
    "settle_run",
    "start_run",
    "store_details",
    "store_rate_limit_blocks",
    "store_rate_limit_remaining",
    "trim_ledger",
    "unite",
    "upsert_page",
    "upsert_page with what cannot be read",
];

/// Everything that a worker needs.
struct Scene {
    database: TestDatabase,
    store: Store,
    lease: Lease,
    revision: Revision,
    run: RunId,
}

impl Scene {
    /// A repository of a pattern with a backfill under way, leased after a failure, a stored pull request whose details are
    /// missing, and a run that has gone on with it once.
    async fn set() -> Result<Self> {
        let (database, store, repository) = configured().await?;
        keep(&store, &[pr("acme/api", 1).by("ana").merged("2026-06-10T12:00:00Z")]).await?;
        let revision = store.snapshot().await?.context("configured")?.revision;
        let (first, _) = store.lease(repository, at(NOW), MINUTE).await?.context("free")?;
        store.identify(&first, &"acme/api".parse()?, 1, &"acme/api".parse()?, at(NOW)).await?;
        let since = at("2026-01-01T00:00:00Z");
        let backfill =
            Backfill { next_page: 3, since, anchor: Some(at("2026-06-10T12:00:00Z")), ..Backfill::default() };
        store.begin_backfill(&first, revision, backfill, None, at(NOW)).await?;
        store.release(&first, LeaseOutcome::Failed, at(NOW)).await?;
        let (lease, _) = store.lease(repository, at(NOW), MINUTE).await?.context("free")?;
        let run = store.start_run(revision, 1, &[], at(NOW)).await?;
        let reason = Some(Reason { code: "turn_over", message: String::new() });
        let earlier =
            RepositoryResult { state: ResultState::Deferred, reason, requests: 5, ..RepositoryResult::default() };
        store.record_result(run, repository, at(NOW), &earlier).await?;
        Ok(Self { database, store, lease, revision, run })
    }

    async fn write(&self, store: &Store, method: &str) -> Result<String> {
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
                backfill: Some(BackfillStep::ByCreation { next_page: 4, seen: 100 }),
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
            "begin_reading" => {
                let backfill = Backfill { next_page: 1, since, readings: 2, ..Backfill::default() };
                format!("{:?}", store.begin_reading(lease, backfill, now).await?)
            }
            "note_unlisted" => {
                format!("{:?}", store.note_unlisted(&"acme/*".parse()?, "without a token").await?)
            }
            "store_rate_limit_blocks" => {
                let block = RateLimitBlock { scope: "token".to_owned(), kind: "core".to_owned(), until: now };
                format!("{:?}", store.store_rate_limit_blocks(&[block], now).await?)
            }
            "store_rate_limit_remaining" => {
                let remaining = RateLimitRemaining {
                    scope: "token".to_owned(),
                    hourly_limit: 5_000,
                    remaining: 4_000,
                    resets_at: now,
                };
                format!("{:?}", store.store_rate_limit_remaining(&[remaining], now).await?)
            }
            "apply" => {
                let file = teams(&[("pay", "{ github: ana }, { github: ben }")]);
                format!("{:?}", store.apply(&file, ApplyOptions::default(), now).await?.plan.memberships.len())
            }
            "begin_backfill" => {
                let backfill = Backfill { next_page: 1, since, ..Backfill::default() };
                format!("{:?}", store.begin_backfill(lease, revision, backfill, None, now).await?)
            }
            "close_interrupted_runs" => {
                let later = at("2026-06-15T12:02:00Z");
                format!("{:?}", store.close_interrupted_runs(TimeDelta::minutes(1), later).await?)
            }
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
            "finish_backfill" => format!("{:?}", store.finish_backfill(lease, now).await?),
            "finish_listing" => {
                let listed = Listed {
                    newest: Some(since),
                    down_to: since,
                    started_at: now,
                    etag: None,
                    is_verified: true,
                    has_pull_requests: true,
                };
                format!("{:?}", store.finish_listing(lease, revision, &listed).await?)
            }
            "identify" => format!("{:?}", store.identify(lease, &api, 1, &"acme/new-name".parse()?, now).await?),
            "identify as another one" => format!("{:?}", store.identify(lease, &api, 2, &api, now).await?),
            "identify as one that was archived" => {
                self.execute(
                    "insert into repositories (name, github_id, added_at, removed_at)
                    values ('acme/former', 2, '2026-06-01Z', '2026-06-02Z')",
                )
                .await?;
                format!("{:?}", store.identify(lease, &api, 2, &api, now).await?)
            }
            "exchange_names" => {
                self.execute(
                    "update repositories set github_id = null, current_name = null;
                    insert into repositories (name, github_id, added_at) values ('acme/former', 1, '2026-06-01Z')",
                )
                .await?;
                format!("{:?}", store.exchange_names(lease, &"acme/former".parse()?, 1, &api, now).await?)
            }
            "lease" => {
                let later = at("2026-06-15T12:02:00Z");
                format!("{:?}", store.lease(lease.repository, later, MINUTE).await?.context("expired")?)
            }
            "mark_deleted" => format!("{:?}", store.mark_deleted(lease, &[1], now).await?),
            "postpone_details" => format!("{:?}", store.postpone_details(lease, &[node()], now).await?),
            "prune" => format!("{:?}", store.prune(at("2026-06-14T00:00:00Z"), 0).await?),
            "reattribute" => {
                let file = teams(&[("pay", "{ github: ana, weight: 0.5 }")]);
                self.store.apply(&file, ApplyOptions { at_once: 0, ..ApplyOptions::default() }, now).await?;
                let step = store.reattribute(9).await?;
                ensure!(attributions(&self.database).await? == [share(1, "pay", "0.5")], "it counts differently");
                format!("{:?}", step.people_left)
            }
            "record_result" => {
                let result = RepositoryResult { requests: 7, ..RepositoryResult::default() };
                format!("{:?}", store.record_result(self.run, lease.repository, now, &result).await?)
            }
            "release" => format!("{:?}", store.release(lease, LeaseOutcome::Failed, now).await?),
            "resolve_pattern" => {
                let found = ["acme/api".parse()?, "acme/web".parse()?].into();
                store.resolve_pattern(&"acme/*".parse()?, &found, None, revision, now).await?;
                String::new()
            }
            "set_page_size" => format!("{:?}", store.set_page_size(lease, 50, now).await?),
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
                ensure!(!details.is_empty(), "one without details");
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
            "unite" => {
                let people: Vec<i64> = sqlx::query_scalar(
                    "insert into people (configured_login, login) values ('nana', 'nana') returning (select min(id) from people)",
                )
                .fetch_all(&self.database.pool().await?)
                .await?;
                let known = mergeline_domain::PersonId(people[0]);
                format!(
                    "{:?}",
                    store
                        .merge_people(known, mergeline_domain::PersonId(people[0] + 1), FakeUser::person("ana").id, now)
                        .await?
                )
            }
            "upsert_page" => page(Vec::new()).await?,
            "upsert_page with what cannot be read" => {
                page(vec![Undecodable {
                    known_by: KnownBy::Number(9),
                    reason: "no title".to_owned(),
                    created_from: None,
                }])
                .await?
            }
            other => anyhow::bail!("no method {other}"),
        })
    }

    /// Prepares what a method is about.
    async fn execute(&self, statements: &'static str) -> Result<()> {
        sqlx::raw_sql(statements).execute(&self.database.pool().await?).await?;
        Ok(())
    }

    /// All rows of all tables, without what nobody reads: which draw it was, and how often answers have become old.
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
            let sql = format!(
                "select '{table} ' || (to_jsonb(t) - 'lease_token' - 'written_as' - 'page_token' - 'data_version')::text
                from {table} as t order by 1"
            );
            rows.extend(sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).fetch_all(&pool).await?);
        }
        Ok(rows)
    }
}

#[tokio::test]
async fn what_is_written_again_because_the_answer_to_its_commit_was_lost_is_written_once() -> Result<()> {
    for method in WRITING {
        let undisturbed = Scene::set().await?;
        let expected = undisturbed.write(&undisturbed.store, method).await.with_context(|| method.to_owned())?;
        let scene = Scene::set().await?;
        let way = Way::to(&scene.database, Silence::CutAtCommit).await?;
        let outcome = timeout(MINUTE, scene.write(&way.store()?, method)).await?;
        assert!(way.state.is_silent.load(Ordering::Relaxed), "{method} committed");
        match outcome {
            Ok(answered) => assert_eq!(answered, expected, "{method}"),
            // A teams file is not applied again by itself: who applied it asks what became of it.
            Err(error) => {
                assert!(matches!(method, "apply" | "unite"), "{method}: {error:?}");
                assert!(format!("{error:?}").contains("not available"), "{method}: {error:?}");
            }
        }
        assert_eq!(scene.rows().await?, undisturbed.rows().await?, "{method}");
        let miscounted = miscounted(&scene.database.pool().await?).await?;
        assert!(miscounted.is_empty(), "{method}: {miscounted:?}");
    }
    Ok(())
}

/// Whether a line of the store's source writes, or begins a transaction that may.
fn writes(line: &str) -> bool {
    let transactions = [".in_transaction(", "self.once(", ".pool.begin("];
    let statements = ["insert into ", "delete from ", "\"update "];
    let line = line.trim_start();
    !line.starts_with("//")
        && (line.starts_with("update ") || transactions.iter().chain(&statements).any(|word| line.contains(word)))
}

#[test]
fn every_method_that_writes_is_tried_with_a_lost_answer() -> Result<()> {
    let mut writing = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))? {
        let mut method = String::new();
        for line in std::fs::read_to_string(entry?.path())?.lines() {
            if let Some((before, rest)) = line.trim_start().split_once("async fn ") {
                let rest = if before == "pub " { rest } else { "" };
                method = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            }
            if writes(line) {
                writing.insert(method.clone());
            }
        }
    }
    // What others call.
    writing.remove("");
    let tried = WRITING.iter().filter_map(|name| name.split(' ').next()).map(str::to_owned).collect();
    assert_eq!(writing, tried);
    Ok(())
}
