//! What happens when the way to the database goes silent: nothing is refused, nothing is closed, nothing comes any more. A
//! server that took over without a word is like that, a firewall that forgot a connection, and, seen from the database, a
//! sandbox that was frozen. docs/faults.md has the table.

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use common::{apply, fresh, teams};
use mergeline_domain::Problems;
use mergeline_store::{DatabaseSettings, RepositoryId, Store, StoreError};
use mergeline_test_support::{TestDatabase, at};
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
}

impl Silence {
    fn begins_with(self, answer: &[u8]) -> bool {
        match self {
            Self::ForAll(word) | Self::ForOne(word) | Self::WhileFrozen(word) => {
                answer.windows(word.len()).any(|part| part == word.as_bytes())
            }
            Self::ForAnIdleOne => answer == WELL,
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
}

impl Way {
    async fn to(database: &TestDatabase, silence: Silence) -> Result<Self> {
        let options: PgConnectOptions = database.url().parse()?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut url = Url::parse(database.url())?;
        url.set_host(Some("127.0.0.1"))?;
        ensure!(url.set_port(Some(listener.local_addr()?.port())).is_ok(), "a URL with a port");
        url.set_query(Some("sslmode=disable"));
        let state = State { silence, is_silent: AtomicBool::new(false), closed: Semaphore::new(0) };
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
                Silence::ForAll(_) | Silence::ForOne(_) => answer.clear(),
                Silence::WhileFrozen(_) => drop(server.read_to_end(&mut answer).await?),
                Silence::ForAnIdleOne => {}
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
        loop {
            tokio::select! {
                read = client.read(&mut question) => match read? {
                    0 => return Ok(None),
                    length => server.write_all(&question[..length]).await?,
                },
                read = server.read(&mut answer) => match &answer[..read?] {
                    [] => return Ok(None),
                    answer => {
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
        async |store: &Store| store.reader_with_standing(None, &[]).await.map(|(_, at)| at.revision.is_some());
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
