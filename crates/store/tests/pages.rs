//! Storing pages: idempotent, in any order, with matching attributions.

mod common;

use anyhow::{Context, Result};
use common::{apply, attributions, fresh, share, teams};
use std::time::Duration;

use mergeline_domain::Details;
use mergeline_domain::progress::{Backfill, Cursor, ProgressEvent};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakePullRequest, FakeUser, at, pr};
use mergeline_store::{
    ApplyOptions, Filter, KnownBy, Lease, LeaseOutcome, PageOfWork, Place, QuarantineKey, Repository, StoreError,
    Undecodable, WithoutDetails, Writer,
};
use mergeline_test_support::{TestDatabase, finish_reading, keep, miscounted};

const MERGED: &str = "2026-02-02T10:00:00Z";

fn opened() -> FakePullRequest {
    pr("acme/api", 1).created("2026-02-01T10:00:00Z")
}

async fn titles(database: &TestDatabase) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar("select title from pull_requests order by number").fetch_all(&database.pool().await?).await?)
}

/// A lease on the repository, for one minute.
async fn lease(store: &Writer, now: &str) -> Result<(Lease, Repository)> {
    let repository = store.snapshot().await?.context("configured")?.repositories[0].id;
    store.lease(repository, at(now), Duration::from_secs(60)).await?.context("another worker has the lease")
}

#[tokio::test]
async fn f02_a_leased_repository_cannot_be_leased_again() -> Result<()> {
    let (_database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let (held, repository) = lease(&store, "2026-06-15T12:00:00Z").await?;
    assert!(store.lease(repository.id, at("2026-06-15T12:00:59Z"), Duration::from_secs(60)).await?.is_none());
    store.release(&held, LeaseOutcome::Succeeded, None, at("2026-06-15T12:00:59Z")).await?;
    assert!(store.lease(repository.id, at("2026-06-15T12:00:59Z"), Duration::from_secs(60)).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn f04_a_worker_that_lost_its_lease_cannot_write() -> Result<()> {
    let (_database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let revision = store.snapshot().await?.context("configured")?.revision;
    let (lost, _) = lease(&store, "2026-06-15T12:00:00Z").await?;
    // Its lease has expired, and the next worker takes over.
    let (successor, _) = lease(&store, "2026-06-15T12:01:00Z").await?;
    let now = at("2026-06-15T12:01:01Z");
    let listed = ProgressEvent::Listed {
        newest: None,
        down_to: now,
        started_at: now,
        is_verified: false,
        has_pull_requests: true,
    };
    for refused in [
        store.upsert_page(&lost, revision, PageOfWork::default(), now).await.map(|_| ()),
        store.advance_listing(&lost, revision, listed.clone(), None, now).await.map(|_| ()),
        store.advance(&lost, ProgressEvent::BackfillFinished { at: now }, now).await.map(|_| ()),
        store.store_details(&lost, revision, &[], now).await,
        store.store_files(&lost, &[], now).await,
        store.postpone_files(&lost, &[], now).await,
        store.note_without_files(&lost, now).await,
        store.mark_deleted(&lost, &[1], now).await,
        store.release(&lost, LeaseOutcome::Succeeded, None, now).await,
    ] {
        assert!(matches!(refused, Err(StoreError::LostLease)), "{refused:?}");
    }
    store.advance_listing(&successor, revision, listed, None, now).await?;
    Ok(())
}

#[tokio::test]
async fn f07_an_unreleased_lease_expires() -> Result<()> {
    let (_database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let (_, repository) = lease(&store, "2026-06-15T12:00:00Z").await?;
    assert!(store.lease(repository.id, at("2026-06-15T12:01:00Z"), Duration::from_secs(60)).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn storing_a_page_again_touches_no_row() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let page = [opened().merged(MERGED), pr("acme/api", 2)];
    assert_eq!(keep(&store, &page).await?, 2);
    let before = database.digest().await?;
    assert_eq!(keep(&store, &page).await?, 0);
    assert_eq!(database.digest().await?, before);
    Ok(())
}

#[tokio::test]
async fn first_page_shows_the_planner_its_rows() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let known = async || -> Result<Vec<(String, bool)>> {
        let known = "select relname::text, reltuples > 0 from pg_class
            where relname in ('pull_requests', 'pr_attributions') order by relname";
        Ok(sqlx::query_as(known).fetch_all(&database.pool().await?).await?)
    };
    let both = |is_known: bool| ["pr_attributions", "pull_requests"].map(|name| (name.to_owned(), is_known));
    assert_eq!(known().await?, both(false));
    keep(&store, &[opened().merged(MERGED)]).await?;
    assert_eq!(known().await?, both(false), "a single row says too little");
    let page: Vec<FakePullRequest> = (2..60).map(|number| pr("acme/api", number).merged(MERGED)).collect();
    keep(&store, &page).await?;
    assert_eq!(known().await?, both(true));
    Ok(())
}

#[tokio::test]
async fn f30_the_newest_state_wins_in_any_order() -> Result<()> {
    let states = [
        opened().titled("opened"),
        opened().closed("2026-02-02T10:00:00Z").titled("closed"),
        opened().updated("2026-02-03T10:00:00Z").titled("reopened"),
        opened().merged("2026-02-04T10:00:00Z").titled("merged"),
    ];
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 3], [3, 3, 1, 2]] {
        let (database, store) = fresh().await?;
        apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
        for index in order {
            keep(&store, &states[index..=index]).await?;
        }
        assert_eq!(titles(&database).await?, ["merged"], "{order:?}");
        assert_eq!(attributions(&database).await?, [share(1, "pay", "1")], "{order:?}");
    }
    Ok(())
}

#[tokio::test]
async fn attributions_carry_the_times_of_the_newest_state() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    keep(&store, &[opened()]).await?;
    keep(&store, &[opened().merged(MERGED)]).await?;
    let differing: i64 = sqlx::query_scalar(
        "select count(*) from pr_attributions as a inner join pull_requests as p on a.pull_request_id = p.id
        where (a.created_at, a.closed_at, a.merged_at, a.author_id, a.repository_id)
            is distinct from (p.created_at, p.closed_at, p.merged_at, p.author_id, p.repository_id)",
    )
    .fetch_one(&database.pool().await?)
    .await?;
    assert_eq!((differing, attributions(&database).await?.len()), (0, 1));
    Ok(())
}

#[tokio::test]
async fn f28_a_duplicate_on_a_page_stores_the_newest() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    keep(&store, &[opened().merged(MERGED).titled("newer"), opened().titled("older")]).await?;
    assert_eq!(titles(&database).await?, ["newer"]);
    Ok(())
}

#[tokio::test]
async fn merging_after_a_team_change_moves_the_share() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("old", "{ github: ana, to: 2026-02-02 }"), ("new", "{ github: ana, from: 2026-02-02 }")]))
        .await?;
    keep(&store, &[opened()]).await?;
    assert_eq!(attributions(&database).await?, [share(1, "old", "1")]);
    keep(&store, &[opened().merged(MERGED)]).await?;
    assert_eq!(attributions(&database).await?, [share(1, "new", "1")]);
    Ok(())
}

#[tokio::test]
async fn attributions_made_by_an_outdated_roster_are_refused() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let outdated = store.snapshot().await?.context("configured")?;
    let (lease, _) = lease(&store, MERGED).await?;
    apply(&store, &teams(&[("pay", "{ github: ana, weight: 0.5 }")])).await?;
    let page = store.upsert_page(&lease, outdated.revision, PageOfWork::default(), at(MERGED)).await;
    assert!(matches!(page, Err(StoreError::StaleConfiguration)), "{page:?}");
    let listed = ProgressEvent::Listed {
        newest: None,
        down_to: at(MERGED),
        started_at: at(MERGED),
        is_verified: false,
        has_pull_requests: true,
    };
    let finish = store.advance_listing(&lease, outdated.revision, listed, None, at(MERGED)).await;
    assert!(matches!(finish, Err(StoreError::StaleConfiguration)), "{finish:?}");
    assert_eq!(attributions(&database).await?, []);
    Ok(())
}

#[tokio::test]
async fn the_watermark_never_moves_back() -> Result<()> {
    let (_database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    for (watermark, expected) in [
        (Some("2026-02-02T10:00:00Z"), "2026-02-02T10:00:00Z"),
        (Some("2026-01-01T10:00:00Z"), "2026-02-02T10:00:00Z"),
        (None, "2026-02-02T10:00:00Z"),
    ] {
        finish_reading(&store, watermark.map(at), at(MERGED), at("2026-01-01T00:00:00Z")).await?;
        let now = store.snapshot().await?.context("configured")?;
        assert_eq!(now.repositories[0].progress.watermark, Some(at(expected)));
    }
    Ok(())
}

#[tokio::test]
async fn a_new_login_keeps_the_accounts_memberships() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    keep(&store, &[opened().merged(MERGED)]).await?;
    let ana = FakeUser::person("ana");
    let renamed = FakeUser { login: "Ana-B".to_owned(), ..ana.clone() };
    let stranger = FakeUser { id: ana.id + 1, ..ana };
    let of = |number: i64, user: FakeUser| pr("acme/api", number).by_user(Some(user)).merged(MERGED);
    keep(&store, &[of(2, renamed), of(3, stranger)]).await?;
    assert_eq!(attributions(&database).await?, [share(1, "pay", "1"), share(2, "pay", "1")]);
    Ok(())
}

#[tokio::test]
async fn a_visible_rename_raises_the_data_version() -> Result<()> {
    let (_database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let version = async || anyhow::Ok(store.session_with_status(None, &[]).await?.1.data_version);
    let ana = FakeUser::person("ana");
    keep(&store, &[opened().by_user(Some(ana.clone()))]).await?;
    let stored = version().await?;
    let renamed = FakeUser { login: "ana-b".to_owned(), ..ana };
    for (login, by) in [("another", 1), ("the same", 0)] {
        let before = version().await?;
        keep(&store, &[opened().by_user(Some(renamed.clone()))]).await?;
        assert_eq!(version().await? - before, by, "{login}");
    }
    assert_eq!(version().await?, stored + 1);
    let now = "2026-06-15T12:00:00Z";
    let (held, repository) = lease(&store, now).await?;
    for (name, by) in [("acme/site", 1), ("acme/site", 0)] {
        let before = version().await?;
        store
            .identify(
                &held,
                &repository.name,
                &repository.external_id.clone().unwrap_or_else(|| 7.into()),
                &name.parse()?,
                at(now),
            )
            .await?;
        assert_eq!(version().await? - before, by, "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn a_dead_local_holder_loses_its_lease_immediately() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let repository = store.snapshot().await?.context("configured")?.repositories[0].id;
    let (now, ttl) = (at("2026-06-15T12:00:00Z"), Duration::from_secs(600));
    assert!(store.held_lease(repository, now).await?.is_none());
    let (first, _) = store.lease(repository, now, ttl).await?.context("free")?;
    let later = at("2026-06-15T12:01:00Z");
    let held = store.held_lease(repository, later).await?.context("held")?;
    let text = format!(
        "process {} on {} is working on it (since 2026-06-15 12:00:00 UTC); it becomes free when that ends, \
         or at 12:10:00 UTC",
        std::process::id(),
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim()
    );
    if cfg!(target_os = "linux") {
        assert_eq!(held.to_string(), text);
    }
    assert!(store.lease(repository, later, ttl).await?.is_none(), "its holder is alive");
    // As if another process on this machine had taken it and was killed.
    let pool = database.pool().await?;
    let mut killed = std::process::Command::new("sleep").arg("60").spawn()?;
    sqlx::query(
        "update repositories set lease_process = $1, lease_instance = regexp_replace(lease_instance, ' [^ ]*$', ' 1')",
    )
    .bind(i64::from(killed.id()))
    .execute(&pool)
    .await?;
    killed.kill()?;
    killed.wait()?;
    assert!(store.lease(repository, later, ttl).await?.is_some(), "its holder is dead");
    assert!(matches!(store.release(&first, LeaseOutcome::Succeeded, None, later).await, Err(StoreError::LostLease)));
    // Holders on another machine cannot be checked.
    sqlx::query("update repositories set lease_instance = 'another machine 1'").execute(&pool).await?;
    assert!(store.lease(repository, later, ttl).await?.is_none());
    Ok(())
}

/// Ana was in `pay` and in a team that is now archived. Ben is in `pay`. There are `count` pull requests of hers and
/// one of his. Ana is no longer in the file.
async fn with_former_member(count: i64) -> Result<(TestDatabase, Writer)> {
    let (database, store) = fresh().await?;
    let options = ApplyOptions { allow_removals: true, ..ApplyOptions::default() };
    let both =
        teams(&[("pay", "{ github: ana, weight: 0.5 }, { github: ben }"), ("old", "{ github: ana, weight: 0.5 }")]);
    apply(&store, &both).await?;
    let of_ana = (1..=count).map(|number| pr("acme/api", number).by("ana").merged(MERGED));
    let pull_requests: Vec<_> = of_ana.chain([pr("acme/api", count + 1).by("ben").merged(MERGED)]).collect();
    keep(&store, &pull_requests).await?;
    store.apply(&teams(&[("pay", "{ github: ben }")]), options, at("2026-06-15T12:00:00Z")).await?;
    while !store.reattribute(2_000).await?.is_finished() {}
    Ok((database, store))
}

/// How many pull requests are stored. Checks the repository's counter too.
async fn stored(database: &TestDatabase) -> Result<i64> {
    let stored = sqlx::query_scalar("select count(*) from pull_requests").fetch_one(&database.pool().await?).await?;
    assert_eq!(counters(database).await?.0, stored);
    Ok(stored)
}

#[tokio::test]
async fn erasing_runs_in_batches_that_can_resume() -> Result<()> {
    let (database, store) = with_former_member(2_500).await?;
    assert_eq!(attributions(&database).await?.len(), 2_501, "shares of the archived team stay");
    let account = store.accounts_of(&"ana".parse()?).await?.pop().context("known")?;
    assert_eq!(account.teams, Vec::<String>::new(), "no team of the configuration in force");
    let before = store.roster().await?.context("configured")?;
    let now = at("2026-06-16T12:00:00Z");
    let mut left = Vec::new();
    loop {
        let has_more = store.erase(Some(account.person), &account.logins, now).await?;
        left.push(stored(&database).await?);
        if !has_more {
            break;
        }
        // Another program continues.
        assert_eq!(store.accounts_of(&"ana".parse()?).await?.len(), 1);
    }
    assert_eq!(left, [1_501, 501, 1]);
    assert!(store.accounts_of(&"ana".parse()?).await?.is_empty());
    assert!(store.traces(Some(account.person), &account.logins).await?.is_empty());
    assert_eq!(attributions(&database).await?, [share(2_501, "pay", "1")]);
    let after = store.roster().await?.context("configured")?;
    assert!(before.0 < after.0, "collections with the earlier roster must read it again");
    assert!(!store.erase(Some(account.person), &account.logins, now).await?, "a repeated call does nothing");
    assert_eq!(store.roster().await?.context("configured")?.0, after.0);
    Ok(())
}

#[tokio::test]
async fn an_erased_reviewer_becomes_somebody_outside_in_batches() -> Result<()> {
    let (database, store) = with_former_member(1).await?;
    let pool = database.pool().await?;
    // Ben's was reviewed 4,500 times by her, and once by himself.
    sqlx::raw_sql(
        "insert into pull_request_reviews (pull_request_id, place, author_id, reviewer_id, submitted_at)
        select p.id, n, p.author_id, case when n <= 4500 then (select person_id from accounts where login = 'ana') else p.author_id end,
            p.created_at
        from pull_requests as p cross join generate_series(1, 4501) as n
        where p.number = 2",
    )
    .execute(&pool)
    .await?;
    let account = store.accounts_of(&"ana".parse()?).await?.pop().context("known")?;
    let traces = store.traces(Some(account.person), &account.logins).await?;
    assert_eq!(traces.reviews.iter().map(|of| (of.name.as_str(), of.count)).collect::<Vec<_>>(), [("acme/api", 4_500)]);
    let version = async || -> Result<i64> {
        Ok(sqlx::query_scalar("select data_version from repositories").fetch_one(&pool).await?)
    };
    let (before, now) = (version().await?, at("2026-06-16T12:00:00Z"));
    let mut hers = Vec::new();
    loop {
        let has_more = store.erase(Some(account.person), &account.logins, now).await?;
        let count = "select count(*) from pull_request_reviews where reviewer_id is not null and place <= 4500";
        hers.push(sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await?);
        if !has_more {
            break;
        }
    }
    assert_eq!(hers, [2_500, 500, 0]);
    let left: (i64, i64) =
        sqlx::query_as("select count(*), count(reviewer_id) from pull_request_reviews").fetch_one(&pool).await?;
    assert_eq!(left, (4_501, 1), "that and when it was reviewed stays, as of somebody outside");
    assert!(before < version().await?, "answers change");
    assert!(store.traces(Some(account.person), &account.logins).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn deleted_pull_requests_take_their_reviews_along() -> Result<()> {
    let (database, store) = with_former_member(2).await?;
    let pool = database.pool().await?;
    let reviewed = "insert into pull_request_reviews (pull_request_id, place, author_id, submitted_at)
        select id, 1, author_id, created_at from pull_requests";
    sqlx::raw_sql(reviewed).execute(&pool).await?;
    let left = async || -> Result<i64> {
        Ok(sqlx::query_scalar("select count(*) from pull_request_reviews").fetch_one(&pool).await?)
    };
    let account = store.accounts_of(&"ana".parse()?).await?.pop().context("known")?;
    while store.erase(Some(account.person), &account.logins, at("2026-06-16T12:00:00Z")).await? {}
    assert_eq!(left().await?, 1, "Ben's");
    assert_eq!(store.prune(at("2030-01-01T00:00:00Z"), 0).await?, None);
    assert_eq!((stored(&database).await?, left().await?), (0, 0));
    Ok(())
}

#[tokio::test]
async fn goals_outlive_the_erasure_of_a_former_member() -> Result<()> {
    let (database, store) = with_former_member(1).await?;
    let pool = database.pool().await?;
    sqlx::raw_sql("update configurations set goals = '[{}]'").execute(&pool).await?;
    let account = store.accounts_of(&"ana".parse()?).await?.pop().context("known")?;
    while store.erase(Some(account.person), &account.logins, at("2026-06-16T12:00:00Z")).await? {}
    let goals: Vec<String> =
        sqlx::query_scalar("select distinct goals::text from configurations").fetch_all(&pool).await?;
    assert_eq!(goals, ["[{}]"]);
    Ok(())
}

#[tokio::test]
async fn a_current_member_cannot_be_erased() -> Result<()> {
    let (database, store) = with_former_member(1).await?;
    let ben = store.accounts_of(&"ben".parse()?).await?.pop().context("known")?;
    let refused = store.erase(Some(ben.person), &ben.logins, at("2026-06-16T12:00:00Z")).await;
    assert!(matches!(refused, Err(StoreError::StaleConfiguration)), "{refused:?}");
    assert_eq!((stored(&database).await?, ben.teams), (2, vec!["pay".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn pruning_keeps_open_and_recently_closed_pull_requests() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let pull_requests: Vec<_> = (1..=4_500)
        .map(|number| match number % 4 {
            0 => pr("acme/api", number).created("2025-01-01T00:00:00Z"),
            1 => pr("acme/api", number).created("2025-01-01T00:00:00Z").merged("2026-02-02T10:00:00Z"),
            2 => pr("acme/api", number).created("2025-01-01T00:00:00Z").closed("2026-01-31T23:59:59Z"),
            _ => pr("acme/api", number).created("2025-01-01T00:00:00Z").merged("2026-01-31T23:59:59Z"),
        })
        .collect();
    keep(&store, &pull_requests).await?;
    let before = at("2026-02-01T00:00:00Z");
    let found = store.prunable(before).await?;
    let sums = [&found.pull_requests, &found.shares, &found.remaining].map(|counts| counts[0].count);
    assert_eq!(sums, [2_250, 2_250, 2_250]);
    let (mut after, mut calls) = (store.prune(before, 0).await?, 1);
    while let Some(number) = after {
        after = store.prune(before, number).await?;
        calls += 1;
    }
    assert_eq!((calls, stored(&database).await?), (3, 2_250));
    let kept: i64 = sqlx::query_scalar("select count(*) from pull_requests where number % 4 < 2")
        .fetch_one(&database.pool().await?)
        .await?;
    assert_eq!((kept, attributions(&database).await?.len()), (2_250, 2_250));
    // An earlier day changes nothing: deleted pull requests do not come back.
    assert_eq!(store.prune(at("2026-01-01T00:00:00Z"), 0).await?, Some(2_001));
    assert_eq!((store.kept_since().await?, stored(&database).await?), (Some(before), 2_250));
    Ok(())
}

#[tokio::test]
async fn pages_skip_and_delete_pull_requests_past_retention() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    keep(&store, &[opened()]).await?;
    store.prune(at("2026-02-03T00:00:00Z"), 0).await?;
    assert_eq!(stored(&database).await?, 1, "an open one stays");
    let late = pr("acme/api", 1).created("2026-02-01T10:00:00Z").merged(MERGED).updated("2026-06-01T00:00:00Z");
    let page = [late, pr("acme/api", 2).merged(MERGED), pr("acme/api", 3).merged("2026-02-03T00:00:00Z")];
    assert_eq!(keep(&store, &page).await?, 1);
    assert_eq!(attributions(&database).await?, [share(3, "pay", "1")]);
    assert_eq!(stored(&database).await?, 1);
    Ok(())
}

/// The counters in the repository's row: stored, without details, in quarantine. Checks that they match a count.
async fn counters(database: &TestDatabase) -> Result<(i64, i64, i64)> {
    let pool = database.pool().await?;
    let miscounted = miscounted(&pool).await?;
    anyhow::ensure!(miscounted.is_empty(), "{miscounted:?}");
    let sql = "select pull_requests, without_details, quarantined from repositories where name = 'acme/api'";
    Ok(sqlx::query_as(sql).fetch_one(&pool).await?)
}

/// Stores details of all pull requests that lack them.
async fn detail(store: &Writer) -> Result<()> {
    let revision = store.snapshot().await?.context("configured")?.revision;
    let (lease, repository) = lease(store, NOW).await?;
    let stored = store.without_details(repository.id, at(NOW), 9).await?;
    let details: Vec<(WithoutDetails, Details)> =
        stored.into_iter().map(|stored| (stored, Details::default())).collect();
    store.store_details(&lease, revision, &details, at(NOW)).await?;
    Ok(store.release(&lease, LeaseOutcome::Succeeded, None, at(NOW)).await?)
}

const NOW: &str = "2026-06-15T12:00:00Z";

#[tokio::test]
async fn repository_counters_match_pull_requests_after_every_change() -> Result<()> {
    let (database, store) = fresh().await?;
    let pool = database.pool().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    keep(&store, &[opened().merged(MERGED), pr("acme/api", 2)]).await?;
    assert_eq!(counters(&database).await?, (2, 2, 0));
    keep(&store, &[opened().merged(MERGED)]).await?;
    assert_eq!(counters(&database).await?, (2, 2, 0), "the same page again");
    detail(&store).await?;
    assert_eq!(counters(&database).await?, (2, 0, 0));
    keep(&store, &[opened(), opened().merged("2026-02-04T10:00:00Z"), pr("acme/api", 3)]).await?;
    assert_eq!(counters(&database).await?, (3, 2, 0), "one has changed, and one is new");
    for _ in 0..2 {
        let (lease, _) = lease(&store, NOW).await?;
        store.mark_deleted(&lease, &[1, 2, 99], at(NOW)).await?;
        store.release(&lease, LeaseOutcome::Succeeded, None, at(NOW)).await?;
        assert_eq!(counters(&database).await?, (1, 1, 0), "both are deleted, also on a repeated call");
    }
    keep(&store, &[opened().merged("2026-02-04T10:00:00Z"), pr("acme/api", 2)]).await?;
    assert_eq!(counters(&database).await?, (3, 2, 0), "both are back, one with its details");
    detail(&store).await?;
    let text = "version: 1\ntimezone: UTC\nbots: [ci]\nrepositories: [acme/api]\nteams: [{ slug: pay, members: [{ github: ana }] }]";
    apply(&store, &TeamsFile::parse("teams.yaml", text.as_bytes())?).await?;
    assert_eq!(counters(&database).await?, (3, 3, 0), "all histories are read again");
    // A pull request under its repository's former name.
    sqlx::query(
        "with former as (insert into repositories (name, added_at, removed_at) values ('acme/old', now(), now()) returning id)
        insert into pull_requests (repository_id, instance_id, number, external_id, author_id, title, state, is_draft, created_at, updated_at)
        select f.id, 1, 4, $1, p.id, '', 'open', false, '2026-01-01', '2026-01-01' from former as f, people as p",
    )
    .bind(pr("acme/api", 4).facts().id.to_string())
    .execute(&pool)
    .await?;
    assert_eq!(counters(&database).await?, (3, 3, 0));
    keep(&store, &[pr("acme/api", 4)]).await?;
    assert_eq!(counters(&database).await?, (4, 4, 0), "it has moved");
    // Changes by hand, or by a program that does not know the counters.
    for (sql, expected) in [
        ("delete from pr_attributions; delete from pull_requests where number in (2, 3)", (2, 2, 0)),
        ("update pull_requests set detailed_at = updated_at where number = 4", (2, 1, 0)),
        ("truncate pull_requests cascade", (0, 0, 0)),
    ] {
        sqlx::raw_sql(sql).execute(&pool).await?;
        assert_eq!(counters(&database).await?, expected, "{sql}");
    }
    Ok(())
}

#[tokio::test]
async fn rows_read_by_a_slow_clock_stay_quarantined() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let revision = store.snapshot().await?.context("configured")?.revision;
    let (started, behind) = ("2026-06-15T12:00:00Z", "2026-06-15T11:58:00Z");
    let (lease, _) = lease(&store, started).await?;
    let backfill = Backfill::by_creation(at("2026-01-01T00:00:00Z"), None);
    let begin = ProgressEvent::BackfillStarted { backfill, at: at(started) };
    store.advance_listing(&lease, revision, begin, None, at(started)).await?;
    let first = ProgressEvent::ReadingStarted { length: None, newest: None, readings: 1, at: at(started) };
    store.advance(&lease, first, at(started)).await?;
    let known_by = KnownBy::Place { position: 3, place: Place { after: 1, rows: 2 }, following: None };
    let undecodable = vec![Undecodable { known_by, reason: "no title".to_owned(), created_from: None }];
    let event = Some(ProgressEvent::PageStored { rows: 100, cursor: Cursor("100".to_owned()), seen: 1 });
    let page = PageOfWork { undecodable, event, ..PageOfWork::default() };
    store.upsert_page(&lease, revision, page, at(behind)).await?;
    store.advance(&lease, ProgressEvent::BackfillFinished { at: at(behind) }, at(behind)).await?;
    assert_eq!(counters(&database).await?.2, 1);
    Ok(())
}

#[tokio::test]
async fn the_quarantine_counter_matches_after_every_change() -> Result<()> {
    let (database, store) = fresh().await?;
    apply(&store, &teams(&[("pay", "{ github: ana }")])).await?;
    let revision = store.snapshot().await?.context("configured")?.revision;
    let store_page = async |minute: u32, page: PageOfWork| {
        let now = format!("2026-06-15T12:{minute:02}:00Z");
        let (lease, _) = lease(&store, &now).await?;
        store.upsert_page(&lease, revision, page, at(&now)).await?;
        store.release(&lease, LeaseOutcome::Succeeded, None, at(&now)).await?;
        anyhow::Ok(counters(&database).await?.2)
    };
    let place = Place { after: 1, rows: 2 };
    let third = KnownBy::Place { position: 3, place, following: None };
    let unreadable = |known_by: KnownBy, created_from: Option<&str>| Undecodable {
        known_by,
        reason: "no title".to_owned(),
        created_from: created_from.map(at),
    };
    let undecodable = vec![
        unreadable(KnownBy::Number(8), None),
        unreadable(KnownBy::Number(9), Some("2026-03-01T00:00:00Z")),
        unreadable(third, Some("2026-02-01T00:00:00Z")),
    ];
    for minute in 0..2 {
        let page = PageOfWork { undecodable: undecodable.clone(), ..PageOfWork::default() };
        assert_eq!(store_page(minute, page).await?, 3, "a repeated page changes nothing");
    }
    let name = "acme/api".parse()?;
    for accepted in [QuarantineKey::Position(3), QuarantineKey::Number(8)] {
        assert!(store.accept_quarantined(&name, accepted, at(NOW)).await?);
        assert_eq!(counters(&database).await?.2, 3, "an accepted one stays");
    }
    finish_reading(&store, None, at("2026-06-15T12:02:00Z"), at("2026-01-01T00:00:00Z")).await?;
    let coverage = store.coverage().await?;
    let missing_from = Some(at("2026-03-01T00:00:00Z"));
    assert_eq!((coverage.quarantined, coverage.complete_until), (3, missing_from), "one is not accepted");
    let before = async |to: &str| {
        let filter = Filter::range(at("2025-01-01T00:00:00Z"), at(to));
        anyhow::Ok(store.session().await?.quarantined(&filter).await?)
    };
    assert_eq!(before("2026-02-01T00:00:00Z").await?, 1, "one has no known time");
    assert_eq!(before("2026-02-01T00:00:01Z").await?, 2);
    assert_eq!(before("2026-03-02T00:00:00Z").await?, 3);
    let of_the_view: (i64, Option<chrono::DateTime<chrono::Utc>>) =
        sqlx::query_as("select quarantined, complete_until from collection_coverage")
            .fetch_one(&database.pool().await?)
            .await?;
    assert_eq!(of_the_view, (3, missing_from));
    assert_eq!(store_page(3, PageOfWork { understood: vec![1, 8], ..PageOfWork::default() }).await?, 2);
    assert_eq!(before("2026-02-01T00:00:00Z").await?, 0, "all have a known time now");
    assert_eq!(
        store_page(4, PageOfWork { readable: vec![place], understood: vec![9], ..PageOfWork::default() }).await?,
        0
    );
    let coverage = store.coverage().await?;
    assert_eq!(coverage.complete_until, Some(at("2026-06-15T12:02:00Z")));
    Ok(())
}
