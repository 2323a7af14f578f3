//! Faults between Mergeline and its database, tested on a real one. docs/faults.md has the table.

mod common;

use std::future::poll_fn;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use common::{apply, fresh, teams};
use mergeline_domain::Problems;
use mergeline_domain::metrics::Interval;
use mergeline_fake_github::{at, pr};
use mergeline_local_postgres::Server;
use mergeline_store::{
    Actor, Bucketing, DatabaseSettings, Filter, LeaseOutcome, QuarantineKey, RepositoryId, RepositoryResult,
    ResultState, StoreError, TeamSelector, Writer,
};
use mergeline_test_support::{PgBouncer, TestDatabase, keep, miscounted};
use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, PgPool, Row};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const NOW: &str = "2026-06-15T12:00:00Z";
const MINUTE: Duration = Duration::from_secs(60);

fn settings(url: &str) -> Result<DatabaseSettings> {
    Ok(DatabaseSettings::parse(&SecretString::from(url.to_owned())).map_err(Problems::from)?)
}

/// A configured database, its only repository, and a pool separate from the store's.
async fn configured() -> Result<(TestDatabase, Writer, PgPool, RepositoryId)> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let (pool, repository) = (database.pool().await?, only_repository(&store).await?);
    Ok((database, store, pool, repository))
}

async fn only_repository(store: &Writer) -> Result<RepositoryId> {
    let snapshot = store.snapshot().await?.context("configured")?;
    Ok(snapshot.repositories.first().context("a repository")?.id)
}

async fn execute(pool: &PgPool, statements: impl Into<String>) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statements.into())).execute(pool).await?;
    Ok(())
}

/// A dedicated server that can be stopped.
struct Cluster {
    folder: tempfile::TempDir,
    server: Option<Server>,
}

impl Cluster {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let server = Some(Server::persistent(folder.path())?);
        Ok(Self { folder, server })
    }

    fn url(&self) -> String {
        self.server.as_ref().map(|server| server.url("postgres")).unwrap_or_default()
    }

    fn superuser_url(&self) -> String {
        self.server.as_ref().map(|server| server.superuser_url("postgres")).unwrap_or_default()
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("data/postmaster.pid")
    }

    /// Stops it, even with clients connected.
    fn stop(&mut self) {
        self.server = None;
        while self.state().exists() {
            std::thread::yield_now();
        }
    }
}

#[tokio::test]
async fn f33_a_stopped_database_is_unavailable_until_it_restarts() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let store = Writer::connect(&settings(&cluster.url())?, Actor::Collector);
    store.migrate().await?;
    cluster.stop();
    for outcome in [store.ping().await, store.snapshot().await.map(|_| ()), store.migrate().await.map(|_| ())] {
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }
    cluster.server = Some(Server::persistent(cluster.folder.path())?);
    assert!(store.snapshot().await?.is_none());
    Ok(())
}

/// Waits until backends in this database wait for a lock, and returns them.
async fn waiting(pool: &PgPool) -> Result<Vec<i32>> {
    loop {
        let pids: Vec<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_all(pool)
        .await?;
        if !pids.is_empty() {
            return Ok(pids);
        }
    }
}

/// Ends these backends and waits until they are gone, because one that has not ended yet still counts as waiting.
async fn terminate(pool: &PgPool, pids: &[i32]) -> Result<()> {
    sqlx::query("select pg_terminate_backend(pid, 60000) from unnest($1::integer []) as t (pid)")
        .bind(pids)
        .execute(pool)
        .await?;
    Ok(())
}

#[tokio::test]
async fn f34_a_broken_transaction_is_retried_once() -> Result<()> {
    for (deaths, is_done) in [(1, true), (2, false)] {
        let (_database, store, pool, repository) = configured().await?;
        let mut blocker = pool.begin().await?;
        sqlx::query("select 1 from repositories for update").execute(&mut *blocker).await?;
        let dying = async {
            for _ in 0..deaths {
                terminate(&pool, &waiting(&pool).await?).await?;
            }
            anyhow::Ok(blocker.rollback().await?)
        };
        let (leased, killed) = tokio::join!(store.lease(repository, at(NOW), MINUTE), dying);
        killed?;
        assert_eq!(leased.as_ref().is_ok_and(Option::is_some), is_done, "{deaths}: {leased:?}");
        assert!(is_done || matches!(leased, Err(StoreError::Unavailable(_))), "{leased:?}");
    }
    Ok(())
}

#[tokio::test]
async fn f35_a_read_only_connection_is_replaced() -> Result<()> {
    let (database, store, pool, repository) = configured().await?;
    store.close().await;
    let read_only = |is: &str| {
        format!(
            "do $$ begin execute format('alter database %I set default_transaction_read_only = {is}', current_database()); end $$"
        )
    };
    execute(&pool, read_only("on")).await?;
    let store = database.store()?;
    only_repository(&store).await?;
    let refused = store.lease(repository, at(NOW), MINUTE).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    only_repository(&store).await?;
    execute(&pool, "set default_transaction_read_only = off; ".to_owned() + &read_only("off")).await?;
    // The pooled connection still leads to the former primary.
    assert!(store.lease(repository, at(NOW), MINUTE).await?.is_some());
    Ok(())
}

/// Makes the first `times` updates of repositories fail with this SQLSTATE.
async fn refuse(pool: &PgPool, times: u32, state: &str) -> Result<()> {
    execute(
        pool,
        format!(
            "create sequence tries;
            create function refuse() returns trigger language plpgsql as $$ begin
                if nextval('tries') <= {times} then raise 'by request' using errcode = '{state}'; end if;
                return new;
            end $$;
            create trigger refuse before update on repositories for each row execute function refuse()"
        ),
    )
    .await
}

#[tokio::test]
async fn f36_a_conflicting_transaction_is_retried_three_times() -> Result<()> {
    for state in ["40001", "40P01"] {
        for (times, is_done) in [(3, true), (4, false)] {
            let (_database, store, pool, repository) = configured().await?;
            refuse(&pool, times, state).await?;
            let leased = store.lease(repository, at(NOW), MINUTE).await;
            assert_eq!(leased.as_ref().is_ok_and(Option::is_some), is_done, "{state} {times}: {leased:?}");
            assert!(is_done || matches!(leased, Err(StoreError::Conflict(_))), "{leased:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn f36_a_deadlock_victim_is_retried_and_succeeds() -> Result<()> {
    let (database, store, pool, repository) = configured().await?;
    keep(&store, &[pr("acme/api", 1)]).await?;
    let (lease, _) = store.lease(repository, at(NOW), MINUTE).await?.context("free")?;
    let mut other = database.superuser_pool().await?.begin().await?;
    // The other transaction never checks for deadlocks, so the store's transaction is the victim.
    sqlx::raw_sql("set local deadlock_timeout = '1h'; update pull_requests set title = 'theirs'")
        .execute(&mut *other)
        .await?;
    let meeting = async {
        waiting(&pool).await?;
        sqlx::query("update repositories set etag = 'theirs'").execute(&mut *other).await?;
        anyhow::Ok(other.commit().await?)
    };
    // Locks the repository, then the pull request.
    let (marked, met) = tokio::join!(store.mark_deleted(&lease, &[1], at(NOW)), meeting);
    met?;
    marked?;
    let both: (String, bool) =
        sqlx::query_as("select title, deleted_at is not null from pull_requests").fetch_one(&pool).await?;
    assert_eq!(both, ("theirs".to_owned(), true));
    Ok(())
}

#[tokio::test]
async fn concurrent_quarantine_acceptances_are_both_counted() -> Result<()> {
    let (_database, store, pool, repository) = configured().await?;
    sqlx::query(
        "insert into quarantined_pull_requests (repository_id, number, reason, first_seen_at, last_tried_at)
        select $1, n, '', now(), now() from generate_series(8, 9) as n",
    )
    .bind(repository.0)
    .execute(&pool)
    .await?;
    let mut other = pool.begin().await?;
    sqlx::raw_sql("update quarantined_pull_requests set accepted_at = now() where number = 8")
        .execute(&mut *other)
        .await?;
    let meeting = async {
        waiting(&pool).await?;
        anyhow::Ok(other.commit().await?)
    };
    let name = "acme/api".parse()?;
    let (accepted, met) = tokio::join!(store.accept_quarantined(&name, QuarantineKey::Number(9), at(NOW)), meeting);
    met?;
    assert!(accepted?);
    assert!(miscounted(&pool).await?.is_empty());
    let is_missing: bool = sqlx::query_scalar("select has_undated_missing from repositories").fetch_one(&pool).await?;
    assert!(!is_missing, "one is not accepted");
    Ok(())
}

#[tokio::test]
async fn f37_a_full_server_is_unavailable_until_connections_free() -> Result<()> {
    let (database, _store, pool, _) = configured().await?;
    let role = format!("limited_{}", std::process::id());
    execute(
        &pool,
        format!("create role {role} login password 'pw' connection limit 1; grant select on all tables in schema public to {role}"),
    )
    .await?;
    let mut url = url::Url::parse(database.url())?;
    ensure!(url.set_username(&role).is_ok() && url.set_password(Some("pw")).is_ok(), "a URL with a host");
    // Half of this is for connecting.
    let store =
        Writer::connect(&settings(url.as_str())?.for_requests_within(Duration::from_millis(400)), Actor::Collector);
    let taken = PgPool::connect(url.as_str()).await?;
    for outcome in [store.ping().await, store.snapshot().await.map(|_| ())] {
        assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    }
    taken.close().await;
    while store.snapshot().await.is_err() {}
    store.close().await;
    Ok(())
}

async fn backends(pool: &PgPool) -> Result<Vec<i32>> {
    let sql = "select pid from pg_stat_activity where datname = current_database() and application_name = 'mergeline'";
    Ok(sqlx::query_scalar(sql).fetch_all(pool).await?)
}

#[tokio::test]
async fn f38_slow_statements_time_out_and_keep_their_connection() -> Result<()> {
    let (database, store, pool, repository) = configured().await?;
    store.close().await;
    execute(
        &pool,
        "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
        create trigger wait before update on repositories for each row execute function wait()",
    )
    .await?;
    let store =
        Writer::connect(&settings(database.url())?.for_requests_within(Duration::from_secs(1)), Actor::Collector);
    only_repository(&store).await?;
    let before = backends(&pool).await?;
    let outcome = store.lease(repository, at(NOW), MINUTE).await;
    assert!(matches!(outcome, Err(StoreError::Timeout(_))), "{outcome:?}");
    execute(&pool, "drop trigger wait on repositories").await?;
    assert!(store.lease(repository, at(NOW), MINUTE).await?.is_some());
    let after = backends(&pool).await?;
    assert!(before.iter().all(|pid| after.contains(pid)), "a connection was lost: {before:?} {after:?}");
    Ok(())
}

#[tokio::test]
#[ignore = "mounts a small disk, which needs root: cargo test -p mergeline-store --test faults -- --ignored f39"]
async fn f39_a_full_disk_is_reported_without_partial_pages() -> Result<()> {
    let disk = tempfile::tempdir()?;
    let mount = |program: &str, arguments: &[&str]| Command::new(program).args(arguments).arg(disk.path()).status();
    ensure!(mount("mount", &["-t", "tmpfs", "-o", "size=24m", "tmpfs"])?.success(), "mounting failed");
    let outcome = fill(disk.path()).await;
    mount("umount", &["--lazy"])?;
    let (refused, stored, acknowledged) = outcome?;
    assert!(matches!(refused, StoreError::DiskFull(_)), "{refused:?}");
    assert_eq!(stored, acknowledged);
    Ok(())
}

/// Stores pages until the disk is full. Returns the error, how many pull requests are stored, and how many were
/// acknowledged.
async fn fill(disk: &Path) -> Result<(StoreError, i64, i64)> {
    let cluster = Cluster::start()?;
    Command::new("chown").arg("--reference").arg(cluster.state()).arg(disk).status()?;
    let pool = PgPool::connect(&cluster.superuser_url()).await?;
    execute(&pool, format!("create tablespace small location '{}'", disk.display())).await?;
    execute(&pool, "create database small owner mergeline_private tablespace small").await?;
    let url = cluster.server.as_ref().map(|server| server.url("small")).unwrap_or_default();
    let store = Writer::connect(&settings(&url)?, Actor::Collector);
    store.migrate().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let small = PgPool::connect(&url).await?;
    for page in 0.. {
        let page: Vec<_> =
            (1..=1_000).map(|number| pr("acme/api", page * 1_000 + number).titled(&"x".repeat(1_000))).collect();
        if let Err(error) = keep(&store, &page).await {
            let stored = sqlx::query_scalar("select count(*) from pull_requests").fetch_one(&small).await?;
            return Ok((error.downcast()?, stored, page[0].number - 1));
        }
    }
    anyhow::bail!("the disk never filled up")
}

#[tokio::test]
async fn f40_connections_lost_during_a_freeze_are_replaced() -> Result<()> {
    let (_database, store, pool, repository) = configured().await?;
    let before = backends(&pool).await?;
    terminate(&pool, &before).await?;
    only_repository(&store).await?;
    assert!(store.lease(repository, at(NOW), MINUTE).await?.is_some());
    assert!(backends(&pool).await?.iter().all(|pid| !before.contains(pid)));
    Ok(())
}

#[tokio::test]
async fn f41_failed_logins_return_db_auth_without_secrets() -> Result<()> {
    let cluster = Cluster::start()?;
    let pool = PgPool::connect(&cluster.superuser_url()).await?;
    execute(&pool, "alter user mergeline_private password 'right'").await?;
    std::fs::write(
        cluster.folder.path().join("data/pg_hba.conf"),
        "local all mergeline_private scram-sha-256\nlocal all postgres trust\n",
    )?;
    execute(&pool, "select pg_reload_conf()").await?;
    let with = |user: &str| {
        anyhow::Ok(Writer::connect(
            &settings(&cluster.url().replace("mergeline_private@", &format!("{user}@")))?,
            Actor::Collector,
        ))
    };
    // The server reloads the file a moment later.
    while with("mergeline_private:s3cret")?.ping().await.is_ok() {}
    for user in ["mergeline_private:s3cret", "nobody:s3cret"] {
        let store = with(user)?;
        for outcome in [store.ping().await, store.migrate().await.map(|_| ()), store.snapshot().await.map(|_| ())] {
            let error = outcome.err().context("the login was accepted")?;
            assert_eq!(error.code(), "db_auth", "{user}: {error:?}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
    with("mergeline_private:right")?.ping().await?;
    Ok(())
}

#[tokio::test]
async fn f42_nothing_is_sent_when_required_tls_is_declined() -> Result<()> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("postgres://u:s3cret@{}/m?sslmode=verify-full", listener.local_addr()?);
    let server = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept()?;
        // The TLS request has eight bytes. Anything after it would be unencrypted.
        connection.read_exact(&mut [0; 8])?;
        connection.write_all(b"N")?;
        let mut rest = Vec::new();
        connection.read_to_end(&mut rest).map(|_| rest)
    });
    let outcome = Writer::connect(&settings(&url)?, Actor::Collector).ping().await;
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    let rest = server.join().map_err(|_| anyhow::anyhow!("the server failed"))??;
    assert_eq!(rest, b"");
    Ok(())
}

#[tokio::test]
async fn f43_an_outdated_schema_is_reported_as_such() -> Result<()> {
    let (database, store) = fresh().await?;
    let pool = database.pool().await?;
    execute(&pool, "drop schema public cascade; create schema public").await?;
    store.migrate_to(Writer::known_migrations()[0].0).await?;
    let older = store.coverage().await;
    assert!(matches!(older, Err(StoreError::Schema(_))), "{older:?}");
    let message = older.err().map(|error| mergeline_domain::error_chain(&error)).unwrap_or_default();
    // sqlx would add the line in PostgreSQL's source where the error was raised.
    assert!(message.contains("does not exist (42P01)") && !message.contains("at line"), "{message}");
    Ok(())
}

/// Polls `work` up to `polls` times and then drops it. Returns whether it finished before.
async fn killed_after(polls: u32, work: impl Future<Output = Result<(), StoreError>>) -> Result<bool> {
    let (mut work, mut polls) = (Box::pin(work), polls);
    poll_fn(|context| {
        if polls == 0 {
            return Poll::Ready(Ok(false));
        }
        polls -= 1;
        work.as_mut().poll(context).map(|outcome| outcome.map(|()| true).map_err(anyhow::Error::from))
    })
    .await
}

#[tokio::test]
async fn f44_an_interrupted_migration_is_finished_by_the_next() -> Result<()> {
    for polls in (1..).step_by(7) {
        let (database, store) = fresh().await?;
        let pool = database.pool().await?;
        execute(&pool, "drop schema public cascade; create schema public").await?;
        let is_over = killed_after(polls, async { store.migrate().await.map(|_| ()) }).await?;
        store.migrate().await?;
        let applied: i64 =
            sqlx::query_scalar("select count(*) from _sqlx_migrations where success").fetch_one(&pool).await?;
        assert_eq!(usize::try_from(applied)?, Writer::known_migrations().len(), "{polls}");
        apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
        if is_over {
            break;
        }
    }
    Ok(())
}

/// A database with a pull request and its attribution, migrated up to the version before the first concurrent index
/// build.
async fn before_the_indexes() -> Result<(TestDatabase, Writer, PgPool)> {
    let (database, store) = fresh().await?;
    let pool = database.pool().await?;
    execute(&pool, "drop schema public cascade; create schema public").await?;
    store.migrate_to(20_261_128_200_200).await?;
    execute(&pool, include_str!("data/configuration.sql")).await?;
    execute(&pool, include_str!("data/pull_requests.sql")).await?;
    Ok((database, store, pool))
}

#[tokio::test]
async fn building_an_index_does_not_block_writers() -> Result<()> {
    let (_database, store, pool) = before_the_indexes().await?;
    let mut slow_writer = pool.begin().await?;
    sqlx::raw_sql("update pr_attributions set created_at = created_at").execute(&mut *slow_writer).await?;
    let is_building = "select exists (
        select from pg_stat_activity where query ilike '%create index concurrently%' and wait_event_type = 'Lock'
            and datname = current_database() and pid <> pg_backend_pid()
    )";
    let writing = async {
        while !sqlx::query_scalar::<_, bool>(is_building).fetch_one(&pool).await? {
            tokio::task::yield_now().await;
        }
        // The index waits for earlier writers. No writer waits for the index.
        let quick_writer = "begin; set local lock_timeout = '1s';
            update pr_attributions set created_at = created_at where false; update teams set name = name; commit";
        execute(&pool, quick_writer).await?;
        anyhow::Ok(slow_writer.commit().await?)
    };
    let migrating = async { anyhow::Ok(store.migrate().await?) };
    tokio::time::timeout(MINUTE, Box::pin(async { tokio::try_join!(migrating, writing) })).await??;
    assert_eq!(store.database_status().await?.missing(), []);
    Ok(())
}

#[tokio::test]
async fn an_unfinished_index_is_rebuilt() -> Result<()> {
    let (database, store, pool) = before_the_indexes().await?;
    store.migrate().await?;
    // As if the server had stopped during the build: the index exists, but the migration is not recorded.
    execute(
        &database.superuser_pool().await?,
        "update pg_index set indisvalid = false where indexrelid = 'pr_attributions_merged_idx'::regclass;
        delete from _sqlx_migrations where version = 20261128200210",
    )
    .await?;
    store.migrate().await?;
    let is_valid: bool =
        sqlx::query_scalar("select indisvalid from pg_index where indexrelid = 'pr_attributions_merged_idx'::regclass")
            .fetch_one(&pool)
            .await?;
    assert!(is_valid);
    Ok(())
}

#[tokio::test]
async fn migrating_leaves_broken_foreign_indexes_alone() -> Result<()> {
    let (database, _store) = fresh().await?;
    let pool = database.superuser_pool().await?;
    // A foreign index, and one of ours that belongs to another role, in a schema where we own only the rest.
    let (migrator, other) = (format!("migrator_{}", std::process::id()), format!("other_{}", std::process::id()));
    execute(
        &pool,
        format!(
            "create role {migrator} login; create role {other};
            grant all on schema public to {migrator}, {other}; grant all on all tables in schema public to {migrator};
            create table theirs (number integer); create index by_number on theirs (number);
            alter table theirs owner to {other};
            update pg_index set indisvalid = false where indexrelid = 'by_number'::regclass;
            alter table pr_attributions owner to {other};
            create index pr_attributions_merged_idx_ccnew on pr_attributions (weight);
            update pg_index set indisvalid = false where indexrelid in (
                'pr_attributions_merged_idx'::regclass, 'pr_attributions_merged_idx_ccnew'::regclass
            )"
        ),
    )
    .await?;
    let mut url = url::Url::parse(database.url())?;
    ensure!(url.set_username(&migrator).is_ok(), "a URL with a host");
    Writer::connect(&settings(url.as_str())?, Actor::Collector).migrate().await?;
    let all = ["by_number", "pr_attributions_merged_idx", "pr_attributions_merged_idx_ccnew"];
    assert_eq!(broken(&pool).await?, all);
    // A superuser does not touch indexes that no migration names either. Ours is rebuilt although its migration is
    // recorded, and the leftover of a rebuild is gone.
    Writer::connect(&settings(database.superuser_url())?, Actor::Collector).migrate().await?;
    let rebuilt: Vec<String> =
        sqlx::query_scalar("select relname::text from pg_class where relname like 'pr_attributions_merged%'")
            .fetch_all(&pool)
            .await?;
    assert_eq!(rebuilt, ["pr_attributions_merged_idx"]);
    assert_eq!(broken(&pool).await?, ["by_number"]);
    Ok(())
}

/// The names of the indexes that PostgreSQL does not use.
async fn broken(pool: &PgPool) -> Result<Vec<String>> {
    let names = "select indexrelid::regclass::text from pg_index where not indisvalid order by 1";
    Ok(sqlx::query_scalar(names).fetch_all(pool).await?)
}

/// Runs the queries of a request and a worker. Returns text that is equal exactly when the results are.
async fn work_and_query(store: &Writer, repository: RepositoryId) -> Result<String> {
    let filter = Filter::range(at("2026-06-01T00:00:00Z"), at("2026-07-01T00:00:00Z"));
    let bucketing = Bucketing {
        interval: Interval::Week,
        zone: chrono_tz::UTC,
        ignore_weights: false,
        count_contributors: true,
        measures: None,
    };
    let team = TeamSelector::Slug("pay".parse()?);
    let (mut reader, status) = store.session_with_status(Some(&team), &[]).await?;
    let head = status.team.context("a team")?;
    let statistics = reader.statistics(Some(head.id), &filter, &bucketing).await?;
    let open = reader.open_pull_requests(head.id, &filter, false, at(NOW)).await?;
    drop(reader);
    let explained = store.explain(&common::REPOSITORY.parse()?, 1).await?;
    if let Some((lease, _)) = store.lease(repository, at(NOW), Duration::ZERO).await? {
        match store.release(&lease, LeaseOutcome::Succeeded, None, at(NOW)).await {
            Ok(()) | Err(StoreError::LostLease) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let run = store.start_run(status.revision.context("configured")?, 1, &[], at(NOW)).await?;
    store.record_result(run, repository, at(NOW), &RepositoryResult::default()).await?;
    let settled = store.settle_run(run, at(NOW)).await?;
    let (teams, statuses) = (store.teams(at(NOW)).await?, store.repository_statuses().await?);
    let people = store.snapshot().await?.context("configured")?.roster;
    Ok(format!("{statistics:?} {open:?} {explained:?} {settled:?} {teams:?} {statuses:?} {people:?}"))
}

/// A database with a merged pull request, and the query results over a direct connection.
async fn with_results() -> Result<(TestDatabase, RepositoryId, String)> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    keep(&store, &[pr("acme/api", 1).by("ana").merged("2026-06-10T12:00:00Z")]).await?;
    let repository = only_repository(&store).await?;
    // The first run changes what later ones report.
    work_and_query(&store, repository).await?;
    let results = work_and_query(&store, repository).await?;
    Ok((database, repository, results))
}

#[tokio::test]
async fn both_pgbouncer_modes_return_the_same_results() -> Result<()> {
    for (mode, kind) in
        [("session", None), ("session", Some("session")), ("transaction", None), ("transaction", Some("transaction"))]
    {
        let (database, repository, expected) = with_results().await?;
        let pgbouncer = PgBouncer::start(&database, mode).await?;
        let settings = || {
            DatabaseSettings::from_vars(|name| match name {
                "DB_URL" => Some(pgbouncer.url().to_owned()),
                "DB_POOLER" => kind.map(str::to_owned),
                _ => None,
            })
            .map_err(|problem| anyhow::anyhow!("{problem:?}"))
        };
        let client = async || {
            let store = Writer::connect(&settings()?.for_requests_within(Duration::from_secs(30)), Actor::Collector);
            for _ in 0..5 {
                assert_eq!(work_and_query(&store, repository).await?, expected, "{mode} {kind:?}");
            }
            store.close().await;
            anyhow::Ok(())
        };
        futures::future::try_join_all((0..if mode == "session" { 1 } else { 8 }).map(|_| client())).await?;
        let left = PgPool::connect_with(pgbouncer.url().parse::<PgConnectOptions>()?.extra_float_digits(None)).await?;
        let (mut one, mut two) = (left.acquire().await?, left.acquire().await?);
        // Each has its own server connection until it ends its transaction.
        for connection in [&mut one, &mut two] {
            sqlx::raw_sql("begin").execute(&mut **connection).await?;
            let sql =
                "select current_setting('statement_timeout') || ' ' || (select count(*) from pg_prepared_statements)";
            let state: String = sqlx::raw_sql(sql).fetch_one(&mut **connection).await?.try_get(0)?;
            assert_eq!(state, "0 0", "{mode} {kind:?}: session state was left behind");
        }
    }
    Ok(())
}

#[tokio::test]
async fn slow_statements_time_out_behind_transaction_poolers() -> Result<()> {
    let (database, repository, _) = with_results().await?;
    execute(
        &database.pool().await?,
        "create function wait() returns trigger language plpgsql as $$ begin perform pg_sleep(60); return new; end $$;
        create trigger wait before update on repositories for each row execute function wait()",
    )
    .await?;
    let pgbouncer = PgBouncer::start(&database, "transaction").await?;
    let store =
        Writer::connect(&settings(pgbouncer.url())?.for_requests_within(Duration::from_secs(1)), Actor::Collector);
    let outcome = store.lease(repository, at(NOW), MINUTE).await;
    assert!(matches!(outcome, Err(StoreError::Timeout(_))), "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn migrating_through_a_pooler_requires_the_direct_address() -> Result<()> {
    let (database, store) = fresh().await?;
    let pgbouncer = PgBouncer::start(&database, "transaction").await?;
    let pooled = Writer::connect(&settings(pgbouncer.url())?, Actor::Collector);
    pooled.migrate().await?;
    let (newest, _) = Writer::known_migrations().last().context("migrations")?.clone();
    execute(&database.pool().await?, format!("delete from _sqlx_migrations where version = {newest}")).await?;
    let refused = pooled.migrate().await.err().context("migrating must fail")?;
    assert_eq!(refused.code(), "db_pooler");
    assert!(
        refused.to_string().starts_with("1 migration is missing, and a connection pooler is in between"),
        "{refused}"
    );
    assert!(pooled.database_status().await?.missing().len() == 1);
    drop(store);
    Ok(())
}

/// A proxy that accepts only the startup options that RDS Proxy accepts, and opens its own connections for clients.
async fn rds_proxy(database: &TestDatabase) -> Result<String> {
    let server: PgConnectOptions = database.url().parse()?;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut url = url::Url::parse(database.url())?;
    url.set_host(Some("127.0.0.1"))?;
    ensure!(url.set_port(Some(listener.local_addr()?.port())).is_ok(), "a URL with a port");
    url.set_query(Some("sslmode=disable"));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(accept_client(client, server.clone()));
        }
    });
    Ok(url.into())
}

async fn accept_client(mut client: tokio::net::TcpStream, server: PgConnectOptions) -> Result<()> {
    let length = client.read_u32().await?;
    let mut packet = vec![0; usize::try_from(length)? - 4];
    client.read_exact(&mut packet).await?;
    let text = String::from_utf8(packet[4..].to_vec())?;
    let words: Vec<&str> = text.split('\0').collect();
    let known = ["user", "database", "client_encoding", "DateStyle", "TimeZone", "application_name"];
    if let Some([name, _]) = words.as_chunks().0.iter().find(|[name, _]| !name.is_empty() && !known.contains(name)) {
        let message = format!("SFATAL\0VFATAL\0C0A000\0MFeature not supported: RDS Proxy does not support {name}\0\0");
        client.write_u8(b'E').await?;
        client.write_u32(u32::try_from(message.len())? + 4).await?;
        client.write_all(message.as_bytes()).await?;
        return Ok(());
    }
    if let Some(folder) = server.get_socket() {
        let socket = folder.join(format!(".s.PGSQL.{}", server.get_port()));
        join(client, &packet[..4], tokio::net::UnixStream::connect(socket).await?, &server).await
    } else {
        let upstream = tokio::net::TcpStream::connect((server.get_host(), server.get_port())).await?;
        join(client, &packet[..4], upstream, &server).await
    }
}

/// Sends its own startup packet to the server, then forwards data in both directions.
async fn join(
    mut client: tokio::net::TcpStream,
    version: &[u8],
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    server: &PgConnectOptions,
) -> Result<()> {
    let database = server.get_database().unwrap_or_default();
    let own = format!("user\0{}\0database\0{database}\0\0", server.get_username());
    upstream.write_u32(u32::try_from(own.len())? + 8).await?;
    upstream.write_all(version).await?;
    upstream.write_all(own.as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

#[tokio::test]
async fn rds_proxy_accepts_clients_without_startup_options() -> Result<()> {
    let (database, repository, expected) = with_results().await?;
    let store = Writer::connect(&settings(&rds_proxy(&database).await?)?, Actor::Collector);
    store.ping().await?;
    assert_eq!(work_and_query(&store, repository).await?, expected);
    Ok(())
}

#[tokio::test]
async fn trimming_keeps_each_repositorys_last_result() -> Result<()> {
    let (_database, store, pool, repository) = configured().await?;
    let revision = store.snapshot().await?.context("configured")?.revision;
    // 120 runs, one per day. From the 100th on, acme/api is no longer worked on.
    execute(&pool, "insert into repositories (name, added_at, removed_at) values ('acme/gone', now(), now())").await?;
    for day in 0..120 {
        let started_at = at("2026-01-01T00:00:00Z") + TimeDelta::days(day);
        let run = store.start_run(revision, 1, &[], started_at).await?;
        let of = if day < 100 { repository } else { RepositoryId(repository.0 + 1) };
        store.record_result(run, of, started_at, &RepositoryResult::default()).await?;
        if day != 50 {
            store.settle_run(run, started_at).await?;
        }
    }
    let kept = async || -> Result<Vec<i64>> {
        let sql = "select extract(day from started_at - '2026-01-01')::bigint from collection_runs order by id";
        Ok(sqlx::query_scalar(sql).fetch_all(&pool).await?)
    };
    assert!(!store.trim_ledger(at("2026-01-01T00:00:00Z")).await?, "no run is that old");
    assert_eq!(kept().await?.len(), 120);
    // Two batches. The second is not full, because one run is still running.
    let before = at("2026-01-01T00:00:00Z") + TimeDelta::days(60);
    assert!(store.trim_ledger(before).await?);
    assert!(!store.trim_ledger(before).await?);
    assert_eq!(kept().await?, std::iter::once(50).chain(60..120).collect::<Vec<_>>());
    execute(
        &pool,
        "insert into received_events (id, received_at, channel, sha256, kind, outcome)
        select n, timestamptz '2026-12-30' + n * interval '1 day', 'api', sha256('body'), 'deployment', 'created'
        from generate_series(1, 3) as n",
    )
    .await?;
    while store.trim_ledger(at("2027-01-01T00:00:00Z")).await? {}
    let received: Vec<i64> = sqlx::query_scalar("select id from received_events order by id").fetch_all(&pool).await?;
    assert_eq!(received, [2, 3], "those before that day are gone");
    assert_eq!(kept().await?, [50, 99, 119], "the running one, the last one of acme/api, the last one of all");
    let statuses = store.repository_statuses().await?;
    assert_eq!(statuses[0].state, Some(ResultState::Succeeded));
    let results: i64 = sqlx::query_scalar("select count(*) from collection_results").fetch_one(&pool).await?;
    assert_eq!(results, 3);
    Ok(())
}
