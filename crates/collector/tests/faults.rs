//! What goes wrong around a run: time, limits, other runs, the network, repositories. docs/faults.md has the table.

mod common;
#[path = "faults/unreadable.rs"]
mod unreadable;

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use chrono::TimeDelta;
use common::{
    ANA, NOW, World, connect, connect_at_once, connect_with, many, merged, options, options_at, outcome, outcomes,
    teams_file,
};
use mergeline_collector::{CollectError, CollectOptions, Progress, RunReport, collect};
use mergeline_fake_github::{FakeGitHub, FakePullRequest, FakeReview, FakeUser, Fault, at, pr};
use mergeline_local_postgres::Server;
use mergeline_store::{
    Actor, ApplyOptions, DatabaseSettings, QuarantineKey, ResultState, RunState, StoreError, Writer,
};
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::time::Instant;

const WITHIN_THE_LEASE: &str = "2026-06-15T12:05:00Z";
const AFTER_THE_LEASE: &str = "2026-06-15T12:11:00Z";

/// Polls a run until `count` pages are stored. From then on it stands still, like a frozen sandbox.
async fn until_pages<F>(mut run: std::pin::Pin<&mut F>, pages: &Semaphore, count: u32) -> Result<()>
where
    F: Future<Output = Result<RunReport, CollectError>>,
{
    tokio::select! {
        report = &mut run => bail!("it ended before: {}", report?),
        permits = pages.acquire_many(count) => permits?.forget(),
    }
    Ok(())
}

fn counting(pages: &Semaphore) -> impl Fn(Progress<'_>) + Send + Sync {
    |progress| {
        if let Progress::Page { .. } = progress {
            pages.add_permits(1);
        }
    }
}

const FENCE: &str = "select fence from repositories where name = 'acme/api' and removed_at is null";

#[tokio::test]
async fn f02_second_concurrent_run_reports_a_busy_repository() -> Result<()> {
    let world = World::on_small_pages(7).await?;
    let (pages, options) = (Semaphore::new(0), options());
    let observer = counting(&pages);
    let mut first = pin!(collect(&world.github, &world.store, &options, &observer));
    until_pages(first.as_mut(), &pages, 2).await?;
    let second = world.collect_elsewhere(&options).await?;
    assert_eq!(outcome(&second, "acme/api"), (ResultState::Busy, Some("busy")));
    assert_eq!(outcome(&second, "acme/web"), (ResultState::Succeeded, None));
    assert_eq!(second.state, RunState::Deferred);
    assert_eq!(first.await?.state, RunState::Succeeded);
    assert_eq!(world.numbers().await?, (1..=7).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn f02_one_failed_and_one_busy_repository_is_partial() -> Result<()> {
    let world = World::on_small_pages(7).await?;
    let (pages, options) = (Semaphore::new(0), options());
    let observer = counting(&pages);
    world.fake.break_repository("acme/web", Some(404));
    let mut first = pin!(collect(&world.github, &world.store, &options, &observer));
    until_pages(first.as_mut(), &pages, 2).await?;
    let second = world.collect_elsewhere(&options).await?;
    assert_eq!(outcome(&second, "acme/api"), (ResultState::Busy, Some("busy")));
    assert_eq!(outcome(&second, "acme/web"), (ResultState::Failed, Some("repo_not_accessible")));
    assert_eq!(second.state, RunState::Partial);
    Ok(())
}

#[tokio::test]
async fn f03_expired_lease_is_taken_over_with_higher_fence() -> Result<()> {
    let world = World::on_small_pages(10).await?;
    {
        let (pages, options) = (Semaphore::new(0), options());
        let observer = counting(&pages);
        let mut killed = pin!(collect(&world.github, &world.store, &options, &observer));
        until_pages(killed.as_mut(), &pages, 2).await?;
    }
    let fence = world.number(FENCE).await?;
    let too_early = world.collect_elsewhere(&options_at(at(WITHIN_THE_LEASE))).await?;
    assert_eq!(outcome(&too_early, "acme/api").0, ResultState::Busy);
    let next = world.collect_elsewhere(&options_at(at(AFTER_THE_LEASE))).await?;
    assert_eq!(next.state, RunState::Succeeded);
    assert!(world.number(FENCE).await? > fence);
    assert_eq!(world.numbers().await?, (1..=10).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn f04_frozen_run_writes_nothing_after_its_lease() -> Result<()> {
    let world = World::on_small_pages(10).await?;
    let (pages, options) = (Semaphore::new(0), options());
    let observer = counting(&pages);
    let mut frozen = pin!(collect(&world.github, &world.store, &options, &observer));
    until_pages(frozen.as_mut(), &pages, 2).await?;
    assert_eq!(world.collect_elsewhere(&options_at(at(AFTER_THE_LEASE))).await?.state, RunState::Succeeded);
    let before = world.database.digest().await?;
    let woken = frozen.await?;
    assert_eq!(outcome(&woken, "acme/api"), (ResultState::Busy, Some("lease_lost")));
    assert_eq!(world.database.digest().await?, before);
    Ok(())
}

#[tokio::test]
async fn f06_run_stops_before_deadline_and_next_one_resumes() -> Result<()> {
    let world = World::on_small_pages(30).await?;
    let deadline = Some(Instant::now() + Duration::from_millis(300));
    // From the third page on, GitHub does not answer in time.
    let stall = |pages| {
        if pages == 3 {
            world.fake.set_latency(Duration::from_secs(3_600));
        }
    };
    let report = world.collect_and(&CollectOptions { deadline, ..options() }, stall).await?;
    assert_eq!(report.state, RunState::Deferred);
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Deferred, Some("out_of_time")));
    world.fake.set_latency(Duration::ZERO);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    assert_eq!(world.numbers().await?, (1..=30).collect::<Vec<_>>());
    let backfill: Vec<String> =
        world.asked_about("acme/api").into_iter().filter(|path| path.contains("sort=created")).collect();
    assert_eq!(backfill.iter().collect::<BTreeSet<_>>().len(), backfill.len(), "no page is read twice: {backfill:?}");
    Ok(())
}

#[tokio::test]
async fn f07_run_without_time_left_leaves_no_lease() -> Result<()> {
    let world = World::on_small_pages(7).await?;
    let report = world.collect_and(&CollectOptions { deadline: Some(Instant::now()), ..options() }, |_| {}).await?;
    assert_eq!(report.state, RunState::Deferred);
    assert_eq!(world.numbers().await?, Vec::<i64>::new());
    assert_eq!(world.number("select count(*) from repositories where leased_until is not null").await?, 0);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    Ok(())
}

/// A refusal for the next 40 minutes of the real clock, which the fake's `Date` header shows too.
fn limited_for_forty_minutes() -> Result<Fault> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Fault::RateLimited { reset: now.as_secs() + 2_400 })
}

#[tokio::test]
async fn f11_rate_limit_mid_run_defers_the_rest() -> Result<()> {
    let world = World::on_small_pages(30).await?;
    let fault = limited_for_forty_minutes()?;
    let report = world
        .collect_and(&options(), |pages| {
            if pages == 3 {
                world.fake.fail_next("acme/api", fault.clone());
            }
        })
        .await?;
    assert_eq!(report.state, RunState::Deferred);
    let api = &report.repositories[0].result;
    assert_eq!(api.reason.as_ref().map(|reason| reason.code), Some("github_rate_limited"));
    assert!(api.deferred_until > Some(at("2026-06-15T12:30:00Z")), "{:?}", api.deferred_until);
    assert_eq!(world.numbers().await?, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(world.collect_elsewhere(&options_at(at("2026-06-15T12:45:00Z"))).await?.state, RunState::Succeeded);
    assert_eq!(world.numbers().await?, (1..=30).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn f11_rate_limit_stops_requests_for_every_repository() -> Result<()> {
    let faults = [
        limited_for_forty_minutes()?,
        Fault::SecondaryLimit { retry_after: 90 },
        Fault::SecondaryLimitWithoutHeaders,
        Fault::TooManyRequests { retry_after: None },
        Fault::NonNumericRefusal,
    ];
    for fault in faults {
        let world = World::new().await?;
        world.fake.fail_next("acme/api", fault.clone());
        let report = world.collect_and(&options(), |_| {}).await?;
        assert_eq!(report.state, RunState::Deferred, "{fault:?}");
        assert_eq!(world.fake.requests().len(), 1, "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn f11_a_graphql_rate_limit_defers_only_the_details() -> Result<()> {
    for kind in ["RATE_LIMITED", "RATE_LIMIT"] {
        let world = World::new().await?;
        world.fake.put([merged(1), merged(2).by("stranger")]);
        world.fake.fail_next_graphql(Fault::GraphqlErrors { kind: kind.to_owned(), with_data: false });
        let report = world.collect_and(&options(), |_| {}).await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Deferred, Some("github_rate_limited")), "{kind}");
        assert_eq!(outcome(&report, "acme/web"), (ResultState::Succeeded, None), "REST has its own limit");
        assert_eq!(world.numbers().await?, [1]);
        let after_the_window = options_at(at("2026-06-15T13:05:00Z"));
        assert_eq!(world.collect_elsewhere(&after_the_window).await?.total(|result| result.enriched), 1);
    }
    Ok(())
}

#[tokio::test]
async fn f15_only_the_pull_request_failing_graphql_is_deferred() -> Result<()> {
    for fault in [Fault::Status(500), Fault::Status(502), Fault::Truncated] {
        let world = World::new().await?;
        world.fake.put([merged(1), merged(2)]);
        // Both together, and the first one alone, three times each.
        for _ in 0..6 {
            world.fake.fail_next_graphql(fault.clone());
        }
        let report = world.collect().await?;
        assert_eq!(report.state, RunState::Succeeded, "{fault:?}: {report}");
        let counts = (report.total(|result| result.enriched), report.total(|result| result.without_details));
        assert_eq!(counts, (1, 1), "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn missing_or_failing_graphql_costs_few_requests() -> Result<()> {
    for (status, code, requests) in [(404, "github_no_graphql", 1), (500, "github_status", 3 * 13)] {
        let world = World::new().await?;
        world.fake.put(many(150));
        world.fake.break_repository("/graphql", Some(status));
        let report = world.collect().await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some(code)));
        let asked = world.fake.requests().iter().filter(|request| request.path.ends_with("/graphql")).count();
        assert_eq!(asked, requests, "{status}");
        assert_eq!(world.numbers().await?.len(), 150, "pull requests do not need phases");
    }
    Ok(())
}

#[tokio::test]
async fn f12_rate_limit_blocks_later_runs_until_its_reset() -> Result<()> {
    let faults = [
        limited_for_forty_minutes()?,
        Fault::SecondaryLimit { retry_after: 600 },
        Fault::TooManyRequests { retry_after: Some(600) },
    ];
    for fault in faults {
        let world = World::new().await?;
        world.fake.put([merged(1)]);
        world.fake.fail_next("acme/api", fault.clone());
        world.collect_and(&options(), |_| {}).await?;
        let blocked = world.collect_elsewhere(&options_at(at("2026-06-15T12:09:00Z"))).await?;
        assert_eq!(outcome(&blocked, "acme/api"), (ResultState::Deferred, Some("github_rate_limited")), "{fault:?}");
        assert_eq!(world.fake.requests().len(), 1, "{fault:?}: no request within the window");
        // Another account's token has its own limits.
        world.fake.require_no_token();
        let another = connect_with(&world.fake.url(), Some("ghp_another"))?;
        let report = world.collect_with(&another, &options_at(at("2026-06-15T12:09:30Z")), |_| {}).await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "{fault:?}");
        let after = world.collect_elsewhere(&options_at(at("2026-06-15T12:45:00Z"))).await?;
        assert_eq!(after.state, RunState::Succeeded, "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn f12_rate_limit_is_shared_before_the_run_ends() -> Result<()> {
    let world = World::new().await?;
    world.fake.fail_next("acme/api", Fault::SecondaryLimit { retry_after: 600 });
    let patient = CollectOptions { longest_wait: Duration::from_secs(3_600), ..options() };
    let mut killed = pin!(collect(&world.github, &world.store, &patient, &|_| {}));
    // It waits for ten minutes and is killed while waiting.
    loop {
        tokio::select! {
            report = &mut killed => bail!("it ended before: {}", report?),
            stored = world.number("select count(*) from rate_limit_blocks") => if stored? > 0 { break },
        }
    }
    let next = world.collect_elsewhere(&options_at(at("2026-06-15T12:05:00Z"))).await?;
    assert_eq!(next.state, RunState::Deferred);
    assert_eq!(world.fake.requests().len(), 1);
    Ok(())
}

#[tokio::test]
async fn f12_remaining_limit_is_shared_until_a_refusal() -> Result<()> {
    const KNOWN: &str = "select count(*) from rate_limit_remaining where remaining between 1 and hourly_limit";
    let world = World::new().await?;
    world.fake.put([merged(1)]);
    world.collect_and(&options(), |_| {}).await?;
    assert_eq!(world.number(KNOWN).await?, 1);
    world.fake.fail_next("acme/api", Fault::SecondaryLimit { retry_after: 600 });
    world.collect_elsewhere(&options_at(at("2026-06-15T12:02:00Z"))).await?;
    assert_eq!(world.number(KNOWN).await?, 0, "the run after the refusal starts with one request");
    Ok(())
}

#[tokio::test]
async fn f11_tenth_of_the_limit_is_left_for_others() -> Result<()> {
    let world = World::on_small_pages(90).await?;
    world.fake.set_rate_limit(20, 0);
    let report = world.collect_and(&options(), |_| {}).await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Deferred, Some("github_rate_limited")));
    assert_eq!(report.repositories[0].result.rate_limit_remaining, Some(2));
    assert_eq!(world.fake.requests().len(), 18);
    Ok(())
}

#[tokio::test]
async fn f14_absurd_reset_defers_work_about_an_hour() -> Result<()> {
    let world = World::new().await?;
    world.fake.fail_next("acme/api", Fault::RateLimited { reset: 250_000_000_000 });
    let report = world.collect_and(&options(), |_| {}).await?;
    let until = report.repositories[0].result.deferred_until;
    assert!(until.is_some_and(|until| until < at("2026-06-15T14:00:00Z")), "{until:?}");
    Ok(())
}

const PAGE_SIZE: &str = "select page_size::bigint from repositories where name = 'acme/api'";

/// The page sizes requested so far, without consecutive repeats.
fn page_sizes(world: &World) -> Vec<u32> {
    let size = |path: &String| path.split("per_page=").nth(1)?.split('&').next()?.parse().ok();
    let mut sizes: Vec<u32> = world.asked_about("acme/api").iter().filter_map(size).collect();
    sizes.dedup();
    sizes
}

#[tokio::test]
async fn f15_pages_shrink_to_one_before_the_repository_fails() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    // Each size is tried three times.
    for (failures, page_size, state) in [(3, 50, ResultState::Succeeded), (3, 25, ResultState::Succeeded)] {
        world.fail(failures, &Fault::BadGatewayHtml);
        assert_eq!(outcome(&world.collect().await?, "acme/api").0, state);
        assert_eq!(world.number(PAGE_SIZE).await?, page_size, "remembered for the repository");
    }
    world.set_page_size(100).await?;
    world.fake.forget_requests();
    world.fail(100, &Fault::BadGatewayHtml);
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some("github_status")));
    // The length of the list is requested before a page is read in parts.
    assert_eq!(page_sizes(&world), [100, 1, 50, 25, 5, 1]);
    let reason = report.repositories[0].result.reason.as_ref().map(|reason| reason.message.clone());
    assert_eq!(
        reason.as_deref(),
        Some(
            "page 1 of the list (100 pull requests on a page) cannot be read, and its rows 1 to 5 not one by one either: \
             GitHub answered with status 502"
        )
    );
    assert_eq!(
        world.number("select count(*) from quarantined_pull_requests").await?,
        0,
        "no pull request is blamed for it"
    );
    Ok(())
}

#[tokio::test]
async fn f15_page_size_drops_to_what_the_server_handles() -> Result<()> {
    for status in [500, 502, 503, 504] {
        let world = World::new().await?;
        world.fake.put(many(230));
        world.fake.limit_page_size(50, status);
        let report = world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "{status}");
        assert_eq!(world.numbers().await?, (1..=230).collect::<Vec<_>>(), "{status}");
        assert_eq!(world.number(PAGE_SIZE).await?, 50, "{status}");
    }
    Ok(())
}

const QUARANTINED: &str =
    "select coalesce('#' || number, '@' || position) from quarantined_pull_requests order by number, position";

#[tokio::test]
async fn f15_failing_pull_request_is_quarantined_by_its_number() -> Result<()> {
    for (count, broken) in [(250, 57), (250, 1), (250, 250), (250, 101), (40, 40), (40, 1), (1, 1)] {
        let world = World::new().await?;
        world.fake.put(many(count));
        world.fake.break_pull_request("acme/api", broken, Some(502));
        let report = world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
        let rest: Vec<i64> = (1..=count).filter(|number| *number != broken).collect();
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "#{broken} of {count}");
        assert_eq!(world.numbers().await?, rest, "#{broken} of {count}");
        assert_eq!(world.texts(QUARANTINED).await?, [format!("#{broken}")], "#{broken} of {count}");
        let reasons = world.texts("select reason from quarantined_pull_requests").await?;
        assert!(reasons[0].contains(&format!("row {broken} of the list (page ")), "{reasons:?}");
        assert!(reasons[0].contains(&format!("#{broken} cannot be read, not even alone")), "{reasons:?}");
        // It is known now: the next run does not read the past again.
        world.fake.forget_requests();
        assert_eq!(outcome(&world.collect().await?, "acme/api"), (ResultState::Succeeded, None));
        assert!(
            world.asked_about("acme/api").iter().all(|path| !path.contains("direction=asc&per_page=100")),
            "#{broken} of {count}"
        );
        // Once it can be read, it is stored.
        world.fake.break_pull_request("acme/api", broken, None);
        world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
        assert_eq!(world.numbers().await?.len(), rest.len() + 1, "#{broken} of {count}");
        assert_eq!(world.texts(QUARANTINED).await?, Vec::<String>::new(), "#{broken} of {count}");
    }
    Ok(())
}

/// Pull requests with issues between them, which have numbers too: more than are tried to find one.
fn sparse(count: i64) -> Vec<FakePullRequest> {
    let opened = |number: i64| {
        let mut pull_request = pr("acme/api", number * 50).created("2026-06-01T09:00:00Z");
        pull_request.created_at += TimeDelta::minutes(number);
        pull_request.updated_at = pull_request.created_at;
        pull_request
    };
    (1..=count).map(opened).collect()
}

#[tokio::test]
async fn f15_unreadable_row_without_number_is_quarantined_by_place() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(sparse(120));
    world.fake.break_pull_request("acme/api", 57 * 50, Some(500));
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    assert_eq!(world.numbers().await?.len(), 119);
    assert_eq!(world.texts(QUARANTINED).await?, ["@57"]);
    world.fake.break_pull_request("acme/api", 57 * 50, None);
    world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
    assert_eq!(world.numbers().await?.len(), 120);
    assert_eq!(world.texts(QUARANTINED).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn f15_row_known_by_place_survives_earlier_deletions() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(sparse(120));
    world.fake.break_pull_request("acme/api", 57 * 50, Some(500));
    world.collect().await?;
    assert!(world.store.accept_quarantined(&"acme/api".parse()?, QuarantineKey::Position(57), at(NOW)).await?);
    // #58 is now row 57, and readable.
    world.fake.delete_pull_request("acme/api", 3 * 50);
    world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["@56"]);
    let accepted = "select count(*) from quarantined_pull_requests where accepted_at is not null";
    assert_eq!(world.number(accepted).await?, 1, "it stays accepted wherever it is listed");
    assert_eq!(world.number("select count(*) from repositories where backfill_order is not null").await?, 0);
    for (number, is_by_place) in [(57 * 50, Some(true)), (57 * 50 - 1, Some(true)), (58 * 50, None), (56 * 50, None)] {
        let reason = world.store.quarantine_reason(&"acme/api".parse()?, number).await?;
        assert_eq!(reason.map(|reason| reason.is_by_place), is_by_place, "#{number}");
    }
    world.fake.break_pull_request("acme/api", 57 * 50, None);
    world.collect_at(at("2026-06-15T20:00:00Z"), 1).await?;
    assert_eq!(world.texts(QUARANTINED).await?, Vec::<String>::new());
    assert!(world.numbers().await?.contains(&(57 * 50)));
    Ok(())
}

const ACCEPTED: &str = "select count(*) from quarantined_pull_requests where accepted_at is not null";

#[tokio::test]
async fn f15_acceptance_by_place_does_not_cover_another_row() -> Result<()> {
    // Which one is unreadable when #57 is deleted, and whether it already was before.
    for (broken, is_known) in [(58, true), (58, false), (56, true)] {
        let world = World::new().await?;
        world.fake.put(sparse(120));
        world.fake.break_pull_request("acme/api", 57 * 50, Some(500));
        if is_known {
            world.fake.break_pull_request("acme/api", broken * 50, Some(500));
        }
        world.collect().await?;
        assert!(world.store.accept_quarantined(&"acme/api".parse()?, QuarantineKey::Position(57), at(NOW)).await?);
        world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
        assert_eq!(world.number(ACCEPTED).await?, 1);
        world.fake.break_pull_request("acme/api", broken * 50, Some(500));
        world.fake.delete_pull_request("acme/api", 57 * 50);
        world.collect_at(at("2026-06-15T20:00:00Z"), 1).await?;
        let position = if broken < 57 { broken } else { broken - 1 };
        assert_eq!(world.texts(QUARANTINED).await?, [format!("@{position}")], "#{broken}");
        assert_eq!(world.number(ACCEPTED).await?, 0, "#{broken}");
    }
    Ok(())
}

#[tokio::test]
async fn f15_newest_row_stays_accepted_until_another_follows() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(sparse(120));
    world.fake.break_pull_request("acme/api", 120 * 50, Some(500));
    world.collect().await?;
    assert!(world.store.accept_quarantined(&"acme/api".parse()?, QuarantineKey::Position(120), at(NOW)).await?);
    world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
    assert_eq!((world.texts(QUARANTINED).await?, world.number(ACCEPTED).await?), (vec!["@120".to_owned()], 1));
    // #6000 may be deleted by now, and a later row may be before this one: the list does not show it.
    world.fake.put([pr("acme/api", 121 * 50).created("2026-06-15T20:30:00Z")]);
    world.collect_at(at("2026-06-16T20:00:00Z"), 1).await?;
    assert_eq!((world.texts(QUARANTINED).await?, world.number(ACCEPTED).await?), (vec!["@120".to_owned()], 0));
    assert!(world.store.accept_quarantined(&"acme/api".parse()?, QuarantineKey::Position(120), at(NOW)).await?);
    world.collect_at(at("2026-06-19T20:00:00Z"), 1).await?;
    assert_eq!((world.texts(QUARANTINED).await?, world.number(ACCEPTED).await?), (vec!["@120".to_owned()], 1));
    Ok(())
}

#[tokio::test]
async fn f15_hidden_row_is_not_mistaken_for_another() -> Result<()> {
    // In the middle of a page, at its end, at the end of the list, and next to another unreadable one.
    for (hidden, other) in [(57, None), (100, None), (250, None), (57, Some(58)), (58, Some(57))] {
        let world = World::new().await?;
        world.fake.put(many(250));
        world.fake.break_pull_request("acme/api", hidden, Some(502));
        world.fake.hide_pull_request("acme/api", hidden);
        if let Some(other) = other {
            world.fake.break_pull_request("acme/api", other, Some(502));
        }
        let report = world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "#{hidden}");
        let unreadable = hidden.min(other.unwrap_or(hidden))..=hidden.max(other.unwrap_or(hidden));
        let expected: Vec<String> = unreadable.map(|number| format!("@{number}")).collect();
        assert_eq!(world.texts(QUARANTINED).await?, expected);
        assert_eq!(world.numbers().await?.len(), 250 - expected.len());
    }
    Ok(())
}

#[tokio::test]
async fn f15_first_rows_are_retried_without_a_full_reading() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(sparse(120));
    for row in [1, 2] {
        world.fake.break_pull_request("acme/api", row * 50, Some(500));
    }
    world.collect().await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["@1", "@2"]);
    world.fake.forget_requests();
    world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
    let asked = world.asked_about("acme/api");
    assert!(asked.iter().all(|path| !path.contains("sort=created") || !path.contains("per_page=100")), "{asked:?}");
    assert_eq!(world.texts(QUARANTINED).await?, ["@1", "@2"]);
    world.fake.break_pull_request("acme/api", 50, None);
    world.collect_at(at("2026-06-15T20:00:00Z"), 1).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["@2"]);
    Ok(())
}

#[tokio::test]
async fn f15_last_rows_across_a_page_boundary_are_quarantined() -> Result<()> {
    for (count, broken) in [(201, 200..=201), (203, 200..=203), (203, 199..=203)] {
        let world = World::new().await?;
        world.fake.put(many(count));
        broken.clone().for_each(|number| world.fake.break_pull_request("acme/api", number, Some(502)));
        in_one_run(&world, &CollectOptions { details: false, ..options() }).await?;
        let expected: Vec<String> = broken.map(|number| format!("#{number}")).collect();
        assert_eq!(world.texts(QUARANTINED).await?, expected, "{count}");
    }
    Ok(())
}

#[tokio::test]
async fn f15_fixed_row_is_stored_by_rereading_for_another() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(sparse(120));
    world.fake.break_pull_request("acme/api", 57 * 50, Some(500));
    world.collect().await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["@57"]);
    world.fake.break_pull_request("acme/api", 57 * 50, None);
    world.fake.put([pr("acme/api", 121 * 50).created("2026-06-15T13:30:00Z")]);
    world.fake.break_pull_request("acme/api", 121 * 50, Some(500));
    world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
    world.collect_at(at("2026-06-17T20:00:00Z"), 1).await?;
    assert!(world.numbers().await?.contains(&(57 * 50)), "{:?}", world.texts(QUARANTINED).await?);
    Ok(())
}

#[tokio::test]
async fn f15_new_unreadable_row_is_quarantined_during_reopened_reading() -> Result<()> {
    for is_newcomer in [false, true] {
        let world = World::new().await?;
        world.fake.put(many(250));
        world.fake.set_repository_creation("acme/api", at("2020-01-01T00:00:00Z"));
        let plain = CollectOptions { details: false, ..options() };
        in_one_run(&world, &CollectOptions { backfill: TimeDelta::days(60), ..plain }).await?;
        world.fake.put([merged(251).created("2026-06-15T12:10:00Z").merged("2026-06-15T12:20:00Z")]);
        world.fake.break_pull_request("acme/api", 251, Some(502));
        let days = if is_newcomer { 60 } else { 365 };
        if is_newcomer {
            world.apply("{ slug: payments, members: [{ github: ana }, { github: ben }] }").await?;
        }
        for now in ["2026-06-15T13:00:00Z", "2026-06-15T15:00:00Z"] {
            let later = CollectOptions { backfill: TimeDelta::days(days), now: at(now), ..plain };
            in_one_run(&world, &later).await?;
        }
        assert_eq!(world.texts(QUARANTINED).await?, ["#251"], "a newcomer: {is_newcomer}");
    }
    Ok(())
}

#[tokio::test]
async fn f15_fixed_or_deleted_row_explains_no_new_row() -> Result<()> {
    for (known, is_gone) in [(250, false), (249, false), (250, true), (249, true)] {
        let world = World::new().await?;
        world.fake.put(many(250));
        world.fake.break_pull_request("acme/api", known, Some(502));
        let plain = CollectOptions { details: false, ..options() };
        in_one_run(&world, &plain).await?;
        assert_eq!(world.texts(QUARANTINED).await?, [format!("#{known}")]);
        world.fake.break_pull_request("acme/api", known, None);
        if is_gone {
            world.fake.delete_pull_request("acme/api", known);
        }
        world.fake.put([merged(251).created("2026-06-15T12:30:00Z").merged("2026-06-15T12:40:00Z")]);
        world.fake.break_pull_request("acme/api", 251, Some(502));
        for now in ["2026-06-15T14:00:00Z", "2026-06-15T16:00:00Z"] {
            in_one_run(&world, &CollectOptions { now: at(now), ..plain }).await?;
        }
        assert_eq!(world.texts(QUARANTINED).await?, ["#251"], "#{known} gone: {is_gone}");
    }
    Ok(())
}

#[tokio::test]
async fn f15_briefly_unreadable_row_explains_no_new_row() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    let plain_at = |now| CollectOptions { details: false, now: at(now), ..options() };
    in_one_run(&world, &plain_at(NOW)).await?;
    world.fake.put([merged(251).created("2026-06-15T12:10:00Z").merged("2026-06-15T12:11:00Z")]);
    world.fake.break_pull_request("acme/api", 251, Some(502));
    let fix = |_| world.fake.break_pull_request("acme/api", 251, None);
    world.collect_and(&plain_at("2026-06-15T12:15:00Z"), fix).await?;
    assert!(world.numbers().await?.contains(&251));
    world.fake.put([merged(252).created("2026-06-15T12:20:00Z").merged("2026-06-15T12:21:00Z")]);
    world.fake.break_pull_request("acme/api", 252, Some(502));
    in_one_run(&world, &plain_at("2026-06-15T13:00:00Z")).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["#252"]);
    Ok(())
}

#[tokio::test]
async fn f22_acceptance_after_a_name_swap_affects_one_repository() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(5));
    world.fake.put((1..=5).map(|it| pr("acme/web", it).created("2026-06-01T09:00:00Z").merged("2026-06-02T10:00:00Z")));
    for name in ["acme/api", "acme/web"] {
        world.fake.break_pull_request(name, 3, Some(502));
    }
    world.collect().await?;
    for (from, to) in [("acme/api", "acme/other"), ("acme/web", "acme/api"), ("acme/other", "acme/web")] {
        world.fake.rename(from, to);
    }
    world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
    assert!(world.store.accept_quarantined(&"acme/api".parse()?, QuarantineKey::Number(3), at(NOW)).await?);
    let accepted =
        "select r.current_name from quarantined_pull_requests as q join repositories as r on r.id = q.repository_id
        where q.accepted_at is not null";
    assert_eq!(world.texts(accepted).await?, ["acme/api"]);
    Ok(())
}

#[tokio::test]
async fn f15_row_gone_on_retry_is_marked_deleted() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(5));
    let plain_at = |now| CollectOptions { details: false, now: at(now), ..options() };
    in_one_run(&world, &plain_at(NOW)).await?;
    world.fake.break_pull_request("acme/api", 3, Some(502));
    let verifying = CollectOptions { verifies: true, ..plain_at("2026-06-15T12:10:00Z") };
    in_one_run(&world, &verifying).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["#3"]);
    world.fake.break_pull_request("acme/api", 3, None);
    world.fake.delete_pull_request("acme/api", 3);
    in_one_run(&world, &plain_at("2026-06-15T20:00:00Z")).await?;
    assert_eq!(world.texts(QUARANTINED).await?, Vec::<String>::new());
    assert_eq!(world.texts("select number::text from pull_requests where deleted_at is not null").await?, ["3"]);
    Ok(())
}

#[tokio::test]
async fn f15_only_the_consecutive_unreadable_rows_are_quarantined() -> Result<()> {
    for broken in [57..=63, 98..=103, 1..=7, 244..=250] {
        let world = World::new().await?;
        world.fake.put(many(250));
        broken.clone().for_each(|number| world.fake.break_pull_request("acme/api", number, Some(502)));
        let report = world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "{broken:?}");
        assert_eq!(world.numbers().await?.len(), 250 - broken.clone().count(), "{broken:?}");
        let expected: Vec<String> = broken.clone().map(|number| format!("#{number}")).collect();
        assert_eq!(world.texts(QUARANTINED).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn f15_quarantined_row_explains_no_other_unreadable_row() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.fake.break_pull_request("acme/api", 3, Some(502));
    world.collect().await?;
    assert!(world.store.accept_quarantined(&"acme/api".parse()?, QuarantineKey::Number(3), at(NOW)).await?);
    world.fake.put([merged(240).updated("2026-06-12T00:00:00Z"), merged(250).updated("2026-06-11T00:00:00Z")]);
    world.fake.break_pull_request("acme/api", 240, Some(502));
    world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["#3", "#240"]);
    // Both are known now: the past is not read again.
    world.fake.put([merged(250).updated("2026-06-15T14:10:00Z")]);
    world.fake.forget_requests();
    assert_eq!(world.collect_at(at("2026-06-15T14:30:00Z"), 1).await?.state, RunState::Succeeded);
    assert!(world.asked_about("acme/api").iter().all(|path| !path.contains("sort=created&direction=asc")));
    Ok(())
}

#[tokio::test]
async fn f15_comparison_completes_despite_a_newly_unreadable_row() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.collect().await?;
    world.fake.delete_pull_request("acme/api", 7);
    world.fake.break_pull_request("acme/api", 12, Some(502));
    let verifying = CollectOptions { verifies: true, details: false, ..options() };
    assert_eq!(outcome(&world.collect_and(&verifying, |_| {}).await?, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.texts("select number::text from pull_requests where deleted_at is not null").await?, ["7"]);
    assert_eq!(world.texts(QUARANTINED).await?, ["#12"]);
    Ok(())
}

#[tokio::test]
async fn a_requested_comparison_runs_after_the_backfill() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.collect().await?;
    world.fake.delete_pull_request("acme/api", 7);
    let under_way = "update repositories set backfill_order = 'creation', backfill_rows = page_size, backfill_since = covered_since where name = 'acme/api'";
    world.execute(under_way).await?;
    let verifying = CollectOptions { verifies: true, details: false, ..options() };
    assert_eq!(outcome(&world.collect_and(&verifying, |_| {}).await?, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.texts("select number::text from pull_requests where deleted_at is not null").await?, ["7"]);
    Ok(())
}

#[tokio::test]
async fn a_first_collection_sends_no_comparison_requests() -> Result<()> {
    let mut requests = Vec::new();
    for verifies in [false, true] {
        let world = World::new().await?;
        world.fake.put(many(250));
        let report = world.collect_and(&CollectOptions { verifies, ..options() }, |_| {}).await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
        requests.push(world.fake.requests().len());
    }
    assert_eq!(requests[0], requests[1]);
    Ok(())
}

#[tokio::test]
async fn f15_closed_connections_make_the_pages_smaller() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.fail(3, &Fault::Reset);
    assert_eq!(outcome(&world.collect().await?, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.number(PAGE_SIZE).await?, 50);
    Ok(())
}

#[tokio::test]
async fn f15_pull_request_that_fails_later_is_quarantined() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(150));
    world.collect().await?;
    world.fake.put([merged(12).updated("2026-06-10T00:00:00Z"), merged(13).updated("2026-06-11T00:00:00Z")]);
    world.fake.break_pull_request("acme/api", 12, Some(502));
    let report = world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.texts(QUARANTINED).await?, ["#12"]);
    assert_eq!(world.watermarks().await?["acme/api"], Some(at("2026-06-11T00:00:00Z")));
    Ok(())
}

#[tokio::test]
async fn f15_very_small_pages_grow_back_during_reading() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(200));
    world.set_page_size(5).await?;
    world.collect().await?;
    assert_eq!(world.numbers().await?.len(), 200);
    assert_eq!(world.number(PAGE_SIZE).await?, 25);
    Ok(())
}

#[tokio::test]
async fn f27_row_vanishing_during_backfill_loses_no_other() -> Result<()> {
    for (answers, gone) in [(1, 12), (2, 12), (3, 12), (3, 100), (3, 101), (4, 150), (4, 250)] {
        let world = World::new().await?;
        world.fake.put(many(250));
        // Without details, which do not exist for the deleted one.
        world.fake.delete_after(answers, "acme/api", gone);
        let options = CollectOptions { details: false, ..options() };
        assert_eq!(outcome(&world.collect_and(&options, |_| {}).await?, "acme/api"), (ResultState::Succeeded, None));
        let numbers = world.numbers().await?;
        let lost: Vec<i64> = (1..=250).filter(|number| *number != gone && !numbers.contains(number)).collect();
        assert_eq!(lost, Vec::<i64>::new(), "with #{gone} gone after {answers} answers");
    }
    Ok(())
}

#[tokio::test]
async fn f27_list_length_survives_an_unreadable_newest_row() -> Result<()> {
    for unreadable in [1, 2, 3, 5, 7] {
        let world = World::new().await?;
        world.fake.put(many(250));
        let shown = 250 - unreadable;
        for number in shown + 1..=250 {
            world.fake.break_pull_request("acme/api", number, Some(502));
        }
        let delete = |pages| {
            if pages == 1 {
                world.fake.delete_pull_request("acme/api", 12);
            }
        };
        world.collect_and(&CollectOptions { details: false, ..options() }, delete).await?;
        let numbers = world.numbers().await?;
        let lost: Vec<i64> = (1..=shown).filter(|number| *number != 12 && !numbers.contains(number)).collect();
        assert_eq!(lost, Vec::<i64>::new(), "with {unreadable} unreadable rows");
    }
    Ok(())
}

#[tokio::test]
async fn f27_new_unreadable_row_does_not_hide_a_loss() -> Result<()> {
    // Unreadable from the start, and new.
    for (unreadable, new) in [(None, 13..=13), (Some(12), 13..=13), (None, 13..=17), (Some(12), 13..=17)] {
        let world = World::on_small_pages(12).await?;
        if let Some(number) = unreadable {
            world.fake.break_pull_request("acme/api", number, Some(502));
        }
        let change = |pages| {
            if pages == 1 {
                world.fake.delete_pull_request("acme/api", 2);
                for number in new.clone() {
                    world.fake.put([merged(number).created("2026-06-14T00:00:00Z").updated("2026-06-14T00:00:00Z")]);
                    world.fake.break_pull_request("acme/api", number, Some(502));
                }
            }
        };
        world.collect_and(&CollectOptions { details: false, ..options() }, change).await?;
        let numbers = world.numbers().await?;
        let there = (1..=12).filter(|number| *number != 2 && Some(*number) != unreadable);
        let lost: Vec<i64> = there.filter(|number| !numbers.contains(number)).collect();
        assert_eq!(lost, Vec::<i64>::new(), "with {unreadable:?} and {new:?}");
    }
    Ok(())
}

#[tokio::test]
async fn f27_row_unreadable_on_one_page_counts_once() -> Result<()> {
    let world = World::on_small_pages(12).await?;
    world.fake.set_latency(Duration::from_millis(30));
    world.fake.break_pull_request("acme/api", 5, Some(502));
    let github = connect_at_once(&world.fake.url(), Some("ghp_canary"), 4)?;
    // The first page has been answered by then, and usually all others except the second, which is read row by row.
    let change = |pages| {
        if pages == 1 {
            world.fake.delete_pull_request("acme/api", 2);
            world.fake.break_pull_request("acme/api", 7, Some(502));
        }
    };
    let options = CollectOptions { details: false, ..options() };
    world.collect_with(&github, &options, change).await?;
    let numbers = world.numbers().await?;
    let there = (1..=12).filter(|number| ![2, 5, 7].contains(number));
    let lost: Vec<i64> = there.filter(|number| !numbers.contains(number)).collect();
    assert_eq!(lost, Vec::<i64>::new());
    Ok(())
}

#[tokio::test]
async fn f27_row_vanishing_during_incremental_loses_no_other() -> Result<()> {
    for (answers, gone) in [(1, 240), (1, 151), (2, 240), (2, 60)] {
        let world = World::new().await?;
        world.fake.put(many(250));
        world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
        world.fake.put(relabelled(250));
        world.fake.delete_after(answers, "acme/api", gone);
        world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
        let stale = world.texts("select number::text from pull_requests where title <> 'relabelled'").await?;
        assert!(stale.iter().all(|number| *number == gone.to_string()), "with #{gone} gone after {answers}: {stale:?}");
    }
    Ok(())
}

#[tokio::test]
async fn f15_backfill_resumes_in_place_with_smaller_pages() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(350));
    let fail = |pages| {
        // Two of four pages of 100 are stored.
        if pages == 2 {
            world.fail(3, &Fault::Status(504));
        }
    };
    assert_eq!(world.collect_and(&options(), fail).await?.state, RunState::Succeeded);
    assert_eq!(world.numbers().await?, (1..=350).collect::<Vec<_>>());
    let smaller: Vec<String> =
        world.asked_about("acme/api").into_iter().filter(|path| path.contains("per_page=50")).collect();
    assert_eq!(smaller.len(), 3);
    assert!(smaller[0].ends_with("page=5"), "{smaller:?}");
    Ok(())
}

#[tokio::test]
async fn f15_weekly_comparison_tries_full_pages_again() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.collect().await?;
    world.set_page_size(25).await?;
    world.collect_at(at("2026-06-23T12:00:00Z"), 1).await?;
    assert_eq!(world.number(PAGE_SIZE).await?, 100);
    Ok(())
}

#[tokio::test]
async fn f17_unreachable_github_fails_the_run_without_changes() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.collect().await?;
    let before = world.database.digest().await?;
    let tls_where_none_is = world.fake.url().replace("http:", "https:");
    for url in ["http://127.0.0.1:1", &tls_where_none_is] {
        let report = collect(&connect(url)?, &world.store, &options(), &|_| {}).await?;
        assert_eq!(report.state, RunState::Failed, "{url}");
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some("github_unreachable")), "{url}");
    }
    assert_eq!(world.database.digest().await?, before);
    Ok(())
}

#[tokio::test]
async fn f21_lost_permission_keeps_history_and_other_repositories() -> Result<()> {
    for (status, code) in [(403, "github_forbidden"), (404, "repo_not_accessible")] {
        let world = World::new().await?;
        world.fake.put([merged(1), pr("acme/web", 2).merged("2026-06-02T10:00:00Z")]);
        world.collect().await?;
        world.fake.break_repository("acme/api", Some(status));
        world.fake.put([pr("acme/web", 3).merged("2026-06-03T10:00:00Z")]);
        let report = world.collect().await?;
        assert_eq!(report.state, RunState::Partial);
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some(code)));
        assert_eq!(world.numbers().await?, [1, 2, 3]);
        assert_eq!(world.number("select count(*) from pr_attributions").await?, 3);
    }
    Ok(())
}

#[tokio::test]
async fn f21_failed_repository_is_retried_after_a_pause() -> Result<()> {
    let world = World::new().await?;
    world.fake.break_repository("acme/api", Some(403));
    let later = |now| CollectOptions { ignores_pauses: false, ..options_at(at(now)) };
    world.collect_and(&later(NOW), |_| {}).await?;
    world.fake.break_repository("acme/api", None);
    let paused = world.collect_and(&later("2026-06-15T12:30:00Z"), |_| {}).await?;
    assert_eq!(outcomes(&paused), [("acme/web".to_owned(), ResultState::Succeeded, None)]);
    let again = world.collect_and(&later("2026-06-15T13:30:00Z"), |_| {}).await?;
    assert_eq!(outcome(&again, "acme/api"), (ResultState::Succeeded, None));
    Ok(())
}

#[tokio::test]
async fn f22_empty_answer_hides_no_renamed_repository() -> Result<()> {
    let world = World::unconfigured().await?;
    world.fake.put([pr("acme/web", 1).merged("2026-06-01T10:00:00Z"), pr("acme/web", 2)]);
    world.apply_to("'acme/*'", ANA).await?;
    world.collect().await?;
    world.fake.rename("acme/web", "acme/site");
    // The list of what looks like a new repository is empty, but only this time.
    world.fake.fail_next("acme/site", Fault::EmptyList);
    let shown = "select count(*) from pull_requests as p
        inner join repositories as r on p.repository_id = r.id where r.removed_at is null";
    for day in ["2026-06-16T12:00:00Z", "2026-06-17T12:00:00Z"] {
        world.collect_at(at(day), 1).await?;
        assert_eq!(world.number(shown).await?, 2, "{day}");
    }
    Ok(())
}

#[tokio::test]
async fn f22_renamed_repository_keeps_its_row_and_pull_requests() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.collect().await?;
    world.fake.rename("acme/api", "acme/core");
    world.fake.put([pr("acme/core", 4).updated("2026-06-10T00:00:00Z")]);
    world.collect().await?;
    world.fake.forget_requests();
    world.collect().await?;
    assert!(world.fake.requests().iter().all(|request| request.status != 301), "{:?}", world.fake.requests());
    assert_eq!(world.numbers().await?, [1, 2, 3, 4]);
    let names = "select name || ' ' || current_name from repositories order by name";
    // The empty one was asked for its number.
    assert_eq!(world.texts(names).await?, ["acme/api acme/core", "acme/web acme/web"]);
    Ok(())
}

#[tokio::test]
async fn f22_renamed_repository_of_a_pattern_counts_once() -> Result<()> {
    let world = World::unconfigured().await?;
    world.apply_to("'acme/*'", ANA).await?;
    world.fake.put(many(3));
    world.collect().await?;
    world.fake.rename("acme/api", "acme/core");
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    assert_eq!(world.numbers().await?, [1, 2, 3]);
    assert_eq!(world.number("select count(*) from pr_attributions").await?, 3);
    Ok(())
}

#[tokio::test]
async fn f22_chained_renames_and_corrected_file_lose_no_repository() -> Result<()> {
    let world = World::unconfigured().await?;
    world.fake.add_repository("acme/b");
    world.apply_to("acme/api, acme/b", ANA).await?;
    world.fake.put([merged(1), pr("acme/b", 2).merged("2026-06-03T10:00:00Z")]);
    world.collect().await?;
    let rows = "select concat_ws(' ', p.number, r.current_name) from pull_requests as p
        inner join repositories as r on p.repository_id = r.id where r.removed_at is null order by p.number";
    world.fake.rename("acme/b", "acme/c");
    world.fake.rename("acme/api", "acme/b");
    world.fake.put([pr("acme/b", 3).merged("2026-06-04T10:00:00Z"), pr("acme/c", 4).merged("2026-06-05T10:00:00Z")]);
    for file in ["acme/api, acme/b", "acme/b, acme/c", "acme/b, acme/c"] {
        world.apply_to(file, ANA).await?;
        let report = world.collect().await?;
        assert_eq!(report.state, RunState::Succeeded, "{file}: {report}");
        assert_eq!(world.texts(rows).await?, ["1 acme/b", "2 acme/c", "3 acme/b", "4 acme/c"], "{file}");
    }
    assert_eq!(world.number("select count(*) from repositories").await?, 2, "both rows are the same as before");
    Ok(())
}

/// A world with `acme/a`, `acme/b` and so on, each collected with its own pull request, and the row where each is
/// stored.
async fn collected_repositories(repositories: &str, names: &[&str]) -> Result<(World, Vec<String>)> {
    let world = World::unconfigured().await?;
    world.apply_to(repositories, ANA).await?;
    for (number, name) in (1..).zip(names) {
        world.fake.put([pr(name, number).merged("2026-06-03T10:00:00Z")]);
    }
    world.collect().await?;
    let places = world.texts(PLACES).await?;
    assert_eq!(places.len(), names.len());
    Ok((world, places))
}

/// The row of each pull request of [`collected_repositories`].
const PLACES: &str =
    "select concat_ws(' ', number, repository_id) from pull_requests where number < 10 order by number";
/// The collected repositories with the pull requests of each.
const COLLECTED: &str =
    "select concat_ws(' ', r.name, r.current_name, string_agg(p.number::text, '+' order by p.number))
    from repositories as r left join pull_requests as p on p.repository_id = r.id
    where r.removed_at is null group by r.tenant_id, r.id order by r.name";

#[tokio::test]
async fn f22_file_corrected_before_the_run_keeps_all_rows() -> Result<()> {
    let three = ["acme/a", "acme/b", "acme/c"];
    let chain = [("acme/c", "acme/d"), ("acme/b", "acme/c"), ("acme/a", "acme/b")];
    for (names, renames, corrected, expected) in [
        (&three[..2], &chain[1..2], "acme/a, acme/c", &["acme/a acme/a 1+11", "acme/c acme/c 2+12"][..]),
        (&three[..2], &chain[1..], "acme/b, acme/c", &["acme/b acme/b 1+11", "acme/c acme/c 2+12"]),
        (&three, &chain, "acme/b, acme/c, acme/d", &["acme/b acme/b 1+11", "acme/c acme/c 2+12", "acme/d acme/d 3+13"]),
        // Only some of the lines are corrected.
        (&three, &chain, "acme/a, acme/c, acme/d", &["acme/a acme/b 1+11", "acme/c acme/c 2+12", "acme/d acme/d 3+13"]),
    ] {
        // One at a time in either order, and several at a time.
        for (concurrency, is_new_first) in [(1, true), (1, false), (4, true)] {
            let (world, places) = collected_repositories(&names.join(", "), names).await?;
            for (from, to) in renames {
                world.fake.rename(from, to);
            }
            for row in expected {
                let (name, numbers) = row.rsplit_once(' ').context("a row")?;
                let (name, number) =
                    name.split_once(' ').map(|(_, now)| now).zip(numbers.split('+').nth(1)).context("a row")?;
                world.fake.put([pr(name, number.parse()?).merged("2026-06-04T10:00:00Z")]);
            }
            world.apply_to(corrected, ANA).await?;
            if !is_new_first {
                world
                    .execute("update repositories set served_at = '2026-06-15T13:00Z' where served_at is null")
                    .await?;
            }
            let case = format!("{corrected}, {concurrency} at a time, new first: {is_new_first}");
            let report = world.collect_at(at("2026-06-15T12:30:00Z"), concurrency).await?;
            if concurrency == 1 {
                assert_eq!(report.state, RunState::Succeeded, "{case}: {report}");
            } else {
                world.collect_at(at("2026-06-15T12:40:00Z"), 1).await?;
            }
            assert_eq!(world.texts(COLLECTED).await?, expected, "{case}: {report}");
            assert_eq!(world.texts(PLACES).await?, places, "{case}: each stays in its row");
            world.apply_to(corrected, ANA).await?;
            assert_eq!(world.collect_at(at("2026-06-15T13:00:00Z"), 1).await?.state, RunState::Succeeded, "{case}");
            assert_eq!(world.texts(COLLECTED).await?, expected, "{case}: no further change");
        }
    }
    Ok(())
}

#[tokio::test]
async fn f22_extra_line_after_rename_names_the_correct_line() -> Result<()> {
    let failure = |report: &RunReport| {
        let failed: Vec<_> = report.failed().filter_map(|one| one.result.reason.as_ref()).collect();
        assert_eq!(failed.len(), 1, "{report}");
        (failed[0].code, failed[0].message.clone())
    };
    // The new name is written next to the former one, which no repository has.
    let (world, places) = collected_repositories("acme/a", &["acme/a"]).await?;
    world.fake.rename("acme/a", "acme/b");
    world.apply_to("acme/a, acme/b", ANA).await?;
    let message = "`acme/b` and `acme/a` are one repository, which GitHub calls `acme/b` now: in the teams file, write `acme/b` in \
         place of the two";
    assert_eq!(failure(&world.collect().await?), ("config.same_repository", message.to_owned()));
    world.apply_to("acme/b", ANA).await?;
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    assert_eq!(world.texts(COLLECTED).await?, ["acme/b acme/b 1"]);
    assert_eq!(world.texts(PLACES).await?, places);
    // The repository that had the name before is deleted.
    let (world, places) = collected_repositories("acme/a, acme/b", &["acme/a", "acme/b"]).await?;
    world.fake.delete_repository("acme/b");
    world.fake.rename("acme/a", "acme/b");
    let message = "what was collected as `acme/b` is gone at GitHub, and `acme/a` is called `acme/b` now: in the teams file, \
         take the line `acme/a` out and keep `acme/b`";
    assert_eq!(failure(&world.collect().await?), ("config.same_repository", message.to_owned()));
    world.apply_to("acme/b", ANA).await?;
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    assert_eq!(world.texts(COLLECTED).await?, ["acme/b acme/b 1"]);
    assert_eq!(world.texts(PLACES).await?, places, "earlier merges stay too");
    Ok(())
}

#[tokio::test]
async fn f22_repositories_swapping_names_mid_run_both_report() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1), pr("acme/web", 2).merged("2026-06-03T10:00:00Z")]);
    world.collect().await?;
    // A new member with enough pull requests for several turns.
    world.fake.put([pr("acme/api", 3).by("ben").merged("2026-06-03T10:00:00Z")]);
    world.fake.put((100..300).map(|number| pr("acme/web", number).by("ben").merged("2026-06-03T10:00:00Z")));
    world.apply("{ slug: payments, members: [{ github: ana }, { github: ben }] }").await?;
    world.set_page_size(3).await?;
    let is_exchanged = AtomicBool::new(false);
    let observer = |progress: Progress<'_>| {
        if matches!(progress, Progress::Finished(_)) && !is_exchanged.swap(true, Ordering::Relaxed) {
            for (from, to) in [("acme/api", "acme/other"), ("acme/web", "acme/api"), ("acme/other", "acme/web")] {
                world.fake.rename(from, to);
            }
        }
    };
    let report = collect(&world.github, &world.store, &options(), &observer).await?;
    let of_each: Vec<_> = report.repositories.iter().map(|one| (one.repository.as_str(), one.result.changed)).collect();
    assert_eq!(of_each, [("acme/api", 1), ("acme/api", 200)], "each under the name it had when it was last read");
    assert_eq!((report.state, world.numbers().await?.len()), (RunState::Succeeded, 203));
    Ok(())
}

#[tokio::test]
async fn excluded_repositories_are_skipped_and_keep_their_data() -> Result<()> {
    let world = World::unconfigured().await?;
    world.fake.add_repository("acme/old-archive");
    world.apply_to("'acme/*'", ANA).await?;
    world.fake.put([merged(1), pr("acme/old-archive", 2).merged("2026-06-03T10:00:00Z")]);
    world.collect().await?;
    let collected = "select name from repositories where removed_at is null order by name";
    assert_eq!(world.texts(collected).await?, ["acme/api", "acme/old-archive", "acme/web"]);
    world.apply_to("'acme/*', '!acme/*-archive', '!acme/web'", ANA).await?;
    assert_eq!(world.texts(collected).await?, ["acme/api"], "at once");
    for (file, expected) in [
        ("'acme/*', '!acme/*-archive', '!acme/web'", &["acme/api"][..]),
        ("'acme/*', '!acme/*w*', '!acme/*a*'", &[]),
        ("'acme/*', '!acme/*', acme/web", &["acme/web"]),
        ("'acme/*'", &["acme/api", "acme/old-archive", "acme/web"]),
    ] {
        world.apply_to(file, ANA).await?;
        let report = world.collect().await?;
        assert_eq!(world.texts(collected).await?, expected, "{file}: {report}");
        assert_eq!(world.numbers().await?, [1, 2], "{file}");
    }
    Ok(())
}

#[tokio::test]
async fn f23_recreated_repository_gets_its_own_new_row() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1), merged(2)]);
    world.collect().await?;
    world.fake.recreate_repository("acme/api");
    world.fake.put([merged(1).titled("another").updated("2026-06-12T00:00:00Z")]);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    let rows =
        "select concat_ws(' ', p.number, p.title, case when r.removed_at is null then 'kept' else 'archived' end)
        from pull_requests as p inner join repositories as r on p.repository_id = r.id order by r.id, p.number";
    assert_eq!(world.texts(rows).await?, ["1 Change 1 archived", "2 Change 2 archived", "1 another kept"]);
    Ok(())
}

#[tokio::test]
async fn f24_empty_and_archived_complete_while_blocked_one_fails() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1)]);
    world.fake.archive_repository("acme/api");
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    let covered = "select count(*) from repositories where covered_since is not null and collected_at is not null";
    assert_eq!(world.number(covered).await?, 2, "the empty one too");
    world.fake.put([pr("acme/web", 2).updated("2026-06-14T00:00:00Z")]);
    world.fake.break_repository("acme/api", Some(451));
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some("repo_unavailable")));
    assert_eq!(world.numbers().await?, [1, 2], "the first pull request of the empty one is found");
    Ok(())
}

#[tokio::test]
async fn f24_disabled_pull_requests_complete_and_keep_their_history() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1)]);
    world.fake.switch_off_pull_requests("acme/web");
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    let complete = "select count(*) from repositories where covered_since is not null and collected_at is not null";
    assert_eq!(world.number(complete).await?, 2, "also the one that never had any");
    assert_eq!(world.texts("select name from repositories where not has_pull_requests").await?, ["acme/web"]);
    world.fake.switch_off_pull_requests("acme/api");
    let report = world.collect_at(at("2026-06-16T12:00:00Z"), 1).await?;
    assert_eq!(report.state, RunState::Succeeded, "{report:?}");
    // The start of each repository, by a clock that continues from the run's.
    let data_as_of = world.store.coverage().await?.data_as_of;
    assert!(data_as_of >= Some(at("2026-06-16T12:00:00Z")), "{data_as_of:?}");
    assert_eq!(world.numbers().await?, [1], "earlier merges stay");
    Ok(())
}

#[tokio::test]
async fn f24_repository_is_complete_after_its_only_deletion() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1)]);
    world.collect().await?;
    world.fake.delete_pull_request("acme/api", 1);
    for day in ["2026-06-16T12:00:00Z", "2026-06-17T12:00:00Z"] {
        let report = world.collect_at(at(day), 1).await?;
        assert_eq!(report.state, RunState::Succeeded, "{day}: {report:?}");
        assert_eq!(world.number("select count(*) from pr_attributions").await?, 0, "{day}");
    }
    assert_eq!(world.number("select count(*) from pull_requests where deleted_at is not null").await?, 1);
    Ok(())
}

/// How many stored pull requests no longer exist at GitHub.
const GONE: &str = "select count(*) from pull_requests where deleted_at is not null";

#[tokio::test]
async fn f24_deleting_all_pull_requests_completes_over_several_runs() -> Result<()> {
    let world = World::unconfigured().await?;
    world.apply_to("acme/api", ANA).await?;
    world.fake.put(many(60));
    world.collect().await?;
    for number in 1..=60 {
        world.fake.delete_pull_request("acme/api", number);
    }
    // Forty requests are left, and four of them are reserved for others.
    world.fake.set_rate_limit(40, 0);
    world.fake.forget_requests();
    let report = world.collect_elsewhere(&options_at(at("2026-06-16T12:00:00Z"))).await?;
    assert_eq!(report.state, RunState::Deferred, "{report:?}");
    assert_eq!(world.number(GONE).await?, 21);
    world.fake.set_rate_limit(5_000, 0);
    world.execute("delete from rate_limit_blocks").await?;
    for day in ["2026-06-17T12:00:00Z", "2026-06-18T12:00:00Z"] {
        let report = world.collect_elsewhere(&options_at(at(day))).await?;
        assert_eq!(report.state, RunState::Succeeded, "{day}: {report:?}");
        assert_eq!(world.number("select count(*) from pr_attributions").await?, 0, "{day}");
    }
    assert_eq!(world.number(GONE).await?, 60);
    let asked = world.asked_about("acme/api");
    let again = asked.iter().filter(|path| asked.iter().filter(|other| other == path).count() > 1);
    assert!(again.filter(|path| path.contains("/pulls/")).count() <= 2 * 20, "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn f24_empty_list_deletes_only_what_is_confirmed_gone() -> Result<()> {
    for is_hidden in [true, false] {
        let world = World::unconfigured().await?;
        world.apply_to("acme/api", ANA).await?;
        world.fake.put(many(3));
        world.collect().await?;
        world.fake.empty_list("acme/api");
        if is_hidden {
            // After the answers for the list, the repository and the length of the list.
            world.fake.delete_repository_after(3, "acme/api");
        } else {
            world.fake.delete_pull_request("acme/api", 1);
        }
        let report = world.collect_at(at("2026-06-16T12:00:00Z"), 1).await?;
        let expected = if is_hidden { "repo_not_accessible" } else { "repo_lists_nothing" };
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some(expected)));
        let gone = i64::from(!is_hidden);
        assert_eq!(world.number(GONE).await?, gone);
    }
    Ok(())
}

#[tokio::test]
async fn f25_undecodable_item_stays_quarantined_until_it_decodes() -> Result<()> {
    let world = World::new().await?;
    // The broken one does not change later.
    let broken = merged(1).overriding("created_at", serde_json::Value::Null);
    world.fake.put([broken, merged(2).updated("2026-06-10T00:00:00Z")]);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    assert_eq!(world.numbers().await?, [2]);
    assert_eq!(world.texts("select number::text from quarantined_pull_requests").await?, ["1"]);
    world.fake.put([merged(1)]);
    world.fake.forget_requests();
    world.collect_at(at("2026-06-15T13:00:01Z"), 1).await?;
    assert_eq!(world.numbers().await?, [1, 2]);
    assert_eq!(world.number("select count(*) from quarantined_pull_requests").await?, 0);
    assert!(world.asked_about("acme/api").iter().any(|path| path.ends_with("/pulls/1")), "it is requested alone");
    Ok(())
}

#[tokio::test]
async fn f25_persistently_broken_item_is_retried_less_often() -> Result<()> {
    let world = World::new().await?;
    let broken = merged(1).overriding("created_at", serde_json::Value::Null);
    world.fake.put([broken, merged(2).updated("2026-06-10T00:00:00Z")]);
    world.collect().await?;
    let mut asked = Vec::new();
    for minutes in [30, 61, 120, 182, 300] {
        world.fake.forget_requests();
        world.collect_at(at(NOW) + TimeDelta::minutes(minutes), 1).await?;
        asked.push(world.asked_about("acme/api").iter().any(|path| path.ends_with("/pulls/1")));
    }
    assert_eq!(asked, [false, true, false, true, false]);
    Ok(())
}

/// The repositories of the requests in order, without consecutive repeats.
fn turns(world: &World) -> Vec<&'static str> {
    let api = world.asked_about("acme/api");
    let mut turns = Vec::new();
    for request in world.fake.requests().iter().filter(|request| request.method == "GET") {
        let turn = if api.contains(&request.path) { "api" } else { "web" };
        if turns.last() != Some(&turn) {
            turns.push(turn);
        }
    }
    turns
}

#[tokio::test]
async fn f26_giant_repository_takes_turns_with_the_others() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(1_500));
    world.set_page_size(25).await?;
    world.fake.put([pr("acme/web", 1).updated("2026-06-10T00:00:00Z")]);
    let options = CollectOptions { details: false, ..options() };
    assert_eq!(world.collect_and(&options, |_| {}).await?.state, RunState::Succeeded);
    assert_eq!(turns(&world), ["api", "web", "api"]);
    assert_eq!(world.numbers().await?.len(), 1_501);
    Ok(())
}

/// The pull request that changes before each run.
const CHANGING: i64 = 1_000;

/// Runs in one sandbox after another until one is complete. Each run meets a rate limit after `pages` pages. Returns
/// how many runs it took.
async fn runs_of(world: &World, pages: usize, options: CollectOptions) -> Result<usize> {
    let fault = limited_for_forty_minutes()?;
    for run in 1..=8 {
        // Each starts after the rate limit that ended the previous one.
        let now = options.now + TimeDelta::hours(run);
        let options = CollectOptions { details: false, now, ..options };
        world.fake.put([pr("acme/api", CHANGING).updated(&format!("2026-06-10T00:00:0{run}Z"))]);
        let github = world.another_github()?;
        let limit = |count| {
            if count == pages {
                world.fake.fail_next("acme/api", fault.clone());
            }
        };
        if world.collect_with(&github, &options, limit).await?.state == RunState::Succeeded {
            return Ok(usize::try_from(run)?);
        }
    }
    bail!("it never ends")
}

#[tokio::test]
async fn f26_long_backfill_is_finished_over_several_runs() -> Result<()> {
    let world = World::on_small_pages(40).await?;
    assert_eq!(runs_of(&world, 5, options()).await?, 4);
    assert_eq!(world.numbers().await?, (1..=40).chain([CHANGING]).collect::<Vec<_>>());
    Ok(())
}

/// Everything changes three days later, as after a bulk relabeling.
fn relabelled(count: i64) -> impl Iterator<Item = FakePullRequest> {
    many(count).map(|mut pull_request| {
        pull_request.updated_at += TimeDelta::days(3);
        pull_request.titled("relabelled")
    })
}

#[tokio::test]
async fn f26_changes_exceeding_a_turn_are_read_once() -> Result<()> {
    let world = World::on_small_pages(180).await?;
    world.collect().await?;
    world.set_page_size(3).await?;
    world.fake.put(relabelled(180));
    world.fake.forget_requests();
    let report = world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
    assert_eq!(report.state, RunState::Succeeded);
    // 90 overlapping pages of three and two; where pages do not overlap, the last row of the previous page is checked
    // alone.
    assert_eq!(world.asked_about("acme/api").len(), 119);
    Ok(())
}

#[tokio::test]
async fn f26_changes_exceeding_a_run_take_several_runs() -> Result<()> {
    let world = World::on_small_pages(180).await?;
    world.collect().await?;
    world.set_page_size(3).await?;
    world.fake.put(relabelled(180));
    assert_eq!(runs_of(&world, 52, options()).await?, 2);
    assert_eq!(world.watermarks().await?["acme/api"], Some(at("2026-06-10T00:00:02Z")));
    assert_eq!(world.number("select count(*) from pull_requests where title = 'relabelled'").await?, 180);
    Ok(())
}

#[tokio::test]
async fn f26_raised_backfill_is_finished_over_several_runs() -> Result<()> {
    let world = World::new().await?;
    // Forty pull requests that last changed before the window of 180 days.
    world.fake.put(
        (1..=40).map(|number| pr("acme/api", number).created("2025-11-01T00:00:00Z").updated("2025-12-01T00:00:00Z")),
    );
    world.fake.put([merged(41)]);
    world.collect().await?;
    assert_eq!(world.numbers().await?, [41]);
    world.set_page_size(3).await?;
    runs_of(&world, 12, CollectOptions { backfill: TimeDelta::days(365), ..options() }).await?;
    assert_eq!(world.numbers().await?, (1..=41).chain([CHANGING]).collect::<Vec<_>>());
    assert_eq!(world.number("select count(*) from repositories where backfill_order is not null").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_raised_backfill_reads_further_back_once() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([pr("acme/api", 1).updated("2025-12-01T00:00:00Z"), merged(2)]);
    world.collect().await?;
    assert_eq!(world.numbers().await?, [2]);
    let options = CollectOptions { backfill: TimeDelta::days(365), ..options() };
    world.collect_and(&options, |_| {}).await?;
    assert_eq!(world.numbers().await?, [1, 2]);
    world.fake.forget_requests();
    let again = world.collect_and(&options, |_| {}).await?;
    assert!(again.repositories.iter().all(|report| report.result.is_unchanged));
    Ok(())
}

/// `count` pull requests of ana. The last `recent` were opened and merged within two weeks, a minute apart, and the
/// others long ago.
fn long_history(count: i64, recent: i64) -> impl Iterator<Item = FakePullRequest> {
    (1..=count).map(move |number| {
        let pull_request = pr("acme/api", number);
        let mut pull_request = if number > count - recent {
            pull_request.created("2026-06-02T09:00:00Z").merged("2026-06-03T10:00:00Z")
        } else {
            pull_request.created("2024-01-01T09:00:00Z").merged("2024-01-02T10:00:00Z")
        };
        pull_request.updated_at += TimeDelta::minutes(number);
        pull_request
    })
}

/// A window of two weeks, without details.
fn two_weeks() -> CollectOptions {
    CollectOptions { backfill: TimeDelta::days(14), details: false, ..options() }
}

async fn in_one_run(world: &World, options: &CollectOptions) -> Result<()> {
    let report = world.collect_and(options, |_| {}).await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "{report:?}");
    Ok(())
}

#[tokio::test]
async fn window_costs_its_pages_plus_at_most_one() -> Result<()> {
    for (recent, requests) in [(40, 1), (150, 2), (290, 3), (300, 4), (500, 6), (900, 10)] {
        let world = World::new().await?;
        world.fake.put(long_history(6_100, recent));
        // Opened long ago, but in the window.
        world.fake.put([pr("acme/api", 1).created("2024-01-01T09:00:00Z").updated("2026-06-04T00:00:00Z")]);
        in_one_run(&world, &two_weeks()).await?;
        let expected: Vec<i64> = [1].into_iter().chain(6_101 - recent..=6_100).collect();
        assert_eq!(world.numbers().await?, expected, "{recent}");
        assert_eq!(world.asked_about("acme/api").len(), requests, "{recent}");
        world.fake.forget_requests();
        in_one_run(&world, &two_weeks()).await?;
        assert_eq!(world.asked_about("acme/api").len(), 1, "{recent}: it is complete");
    }
    Ok(())
}

#[tokio::test]
async fn history_within_the_window_is_read_by_creation() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    in_one_run(&world, &CollectOptions { details: false, ..options() }).await?;
    let by_creation = world.asked_about("acme/api").iter().filter(|path| path.contains("sort=created")).count();
    assert_eq!(
        (by_creation, world.asked_about("acme/api").len()),
        (4, 5),
        "its length and three pages, after the first"
    );
    assert_eq!(world.numbers().await?.len(), 250);
    Ok(())
}

#[tokio::test]
async fn f27_newest_row_may_be_outside_the_last_updated() -> Result<()> {
    for vanishes in [false, true] {
        let world = World::new().await?;
        world.fake.put(many(350));
        // All but the last twenty are relabeled.
        world.fake.put((1..=330).map(|number| merged(number).updated("2026-06-14T00:00:00Z")));
        world.fake.set_repository_creation("acme/api", at("2020-01-01T00:00:00Z"));
        if vanishes {
            world.fake.delete_after(3, "acme/api", 12);
        }
        let github = connect_at_once(&world.fake.url(), Some("ghp_canary"), 2)?;
        world.collect_with(&github, &CollectOptions { details: false, ..options() }, |_| {}).await?;
        let expected: Vec<i64> = (1..=350).filter(|number| !vanishes || *number != 12).collect();
        let numbers = world.numbers().await?;
        assert!(expected.iter().all(|number| numbers.contains(number)), "{vanishes}: {}", numbers.len());
    }
    Ok(())
}

#[tokio::test]
async fn half_changed_repository_reads_concurrently_by_creation() -> Result<()> {
    for (at_once, by_creation, requests) in [(1, 0, 3), (4, 3, 3 + 2)] {
        let world = World::new().await?;
        world.fake.put(many(250));
        world.fake.set_repository_creation("acme/api", at("2020-01-01T00:00:00Z"));
        let github = connect_at_once(&world.fake.url(), Some("ghp_canary"), at_once)?;
        let report = world.collect_with(&github, &CollectOptions { details: false, ..options() }, |_| {}).await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "{report:?}");
        assert_eq!(world.numbers().await?, (1..=250).collect::<Vec<_>>());
        let asked = world.asked_about("acme/api");
        assert_eq!(
            asked.iter().filter(|path| path.contains("sort=created&direction=asc")).count(),
            by_creation,
            "{asked:?}"
        );
        // In addition to the pages: the first page by update, and the row in the middle, which shows the length too.
        assert_eq!(asked.len(), requests, "{asked:?}");
    }
    Ok(())
}

#[tokio::test]
async fn first_collection_without_token_fits_one_hourly_limit() -> Result<()> {
    let world = World::new().await?;
    world.fake.require_no_token();
    world.fake.set_rate_limit(60, 0);
    world.fake.put(long_history(6_100, 1_800));
    let github = connect_with(&world.fake.url(), None)?;
    let report = world.collect_with(&github, &two_weeks(), |_| {}).await?;
    assert_eq!(report.state, RunState::Succeeded, "{report:?}");
    assert_eq!(world.numbers().await?.len(), 1_800);
    Ok(())
}

#[tokio::test]
async fn f27_change_during_window_reading_is_not_lost() -> Result<()> {
    // The oldest of all, one that is read later, and one that was read earlier.
    for (answers, number) in [(1, 5), (2, 5), (1, 620), (2, 620), (3, 995)] {
        let world = World::new().await?;
        world.fake.put(long_history(1_000, 390));
        let moved = pr("acme/api", number).created("2024-01-01T09:00:00Z").titled("moved");
        world.fake.put_after(answers, moved.updated("2026-06-14T10:00:00Z"));
        in_one_run(&world, &two_weeks()).await?;
        in_one_run(&world, &two_weeks()).await?;
        let expected: BTreeSet<i64> = (611..=1_000).chain([number]).collect();
        assert_eq!(world.numbers().await?, expected.into_iter().collect::<Vec<_>>(), "#{number} after {answers}");
        assert_eq!(
            world.texts("select number::text from pull_requests where title = 'moved'").await?,
            [number.to_string()],
            "after {answers}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn f27_row_vanishing_during_window_loses_no_other() -> Result<()> {
    for (answers, gone) in [(1, 990), (2, 990), (2, 850), (3, 703), (3, 803)] {
        let world = World::new().await?;
        world.fake.put(long_history(1_000, 390));
        world.fake.delete_after(answers, "acme/api", gone);
        in_one_run(&world, &two_weeks()).await?;
        let numbers = world.numbers().await?;
        let lost: Vec<i64> = (611..=1_000).filter(|number| *number != gone && !numbers.contains(number)).collect();
        assert_eq!(lost, Vec::<i64>::new(), "with #{gone} gone after {answers} answers");
    }
    Ok(())
}

#[tokio::test]
async fn f26_long_window_spans_runs_without_repeating_pages() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(long_history(3_000, 1_000));
    // One changes before each run and moves to the front.
    let runs = runs_of(&world, 4, two_weeks()).await?;
    assert_eq!(world.numbers().await?, [CHANGING].into_iter().chain(2_001..=3_000).collect::<Vec<_>>());
    let asked = world.asked_about("acme/api");
    assert!(asked.iter().all(|path| path.contains("sort=updated")), "{asked:?}");
    // Each run reads the first page, which has changed, and three more, and is refused the next.
    assert_eq!((runs, asked.len()), (4, 5 + 5 + 5 + 3), "{asked:?}");
    Ok(())
}

#[tokio::test]
async fn f05_killed_window_reading_resumes_in_another_sandbox() -> Result<()> {
    for vanished in [0, 1, 60, 290] {
        let world = World::new().await?;
        world.fake.put(long_history(1_000, 390));
        {
            let (pages, options) = (Semaphore::new(0), two_weeks());
            let observer = counting(&pages);
            let mut killed = pin!(collect(&world.github, &world.store, &options, &observer));
            until_pages(killed.as_mut(), &pages, 3).await?;
        }
        let stored = world.numbers().await?;
        assert_eq!(stored.len(), 294);
        // Some of the read ones are deleted, and an unread one moves to the front.
        (1_001 - vanished..=1_000).for_each(|number| world.fake.delete_pull_request("acme/api", number));
        world.fake.put([pr("acme/api", 650).created("2026-06-02T09:00:00Z").updated("2026-06-14T00:00:00Z")]);
        world.fake.forget_requests();
        let options = CollectOptions { now: at(AFTER_THE_LEASE), ..two_weeks() };
        let report = world.collect_elsewhere(&options).await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "{vanished}");
        assert_eq!(world.numbers().await?, (611..=1_000).collect::<Vec<_>>(), "{vanished}");
        let asked = world.asked_about("acme/api");
        assert!(asked.len() <= if vanished < 2 { 3 } else { 8 }, "{vanished}: {asked:?}");
    }
    Ok(())
}

#[tokio::test]
async fn enlarged_window_reads_its_older_part_by_update() -> Result<()> {
    for pages in [usize::MAX, 3] {
        let world = World::new().await?;
        world.fake.put(long_history(3_000, 150));
        // Before these two weeks.
        world.fake.put((2_501..=2_850).map(|number| {
            let mut merged = pr("acme/api", number).created("2026-05-01T09:00:00Z").merged("2026-05-02T10:00:00Z");
            merged.updated_at += TimeDelta::minutes(number);
            merged
        }));
        in_one_run(&world, &two_weeks()).await?;
        assert_eq!(world.numbers().await?.len(), 150);
        world.fake.forget_requests();
        let two_months = CollectOptions { backfill: TimeDelta::days(60), ..two_weeks() };
        let runs = runs_of(&world, pages, two_months).await?;
        assert_eq!(world.numbers().await?, [CHANGING].into_iter().chain(2_501..=3_000).collect::<Vec<_>>());
        let asked = world.asked_about("acme/api");
        assert!(asked.iter().all(|path| path.contains("sort=updated")), "{asked:?}");
        assert_eq!((runs, asked.len()), if pages == 3 { (3, 10) } else { (1, 6) }, "{asked:?}");
        assert_eq!(world.number("select count(*) from repositories where backfill_order is not null").await?, 0);
        // It continues as if it had been read with this window from the start.
        world.fake.forget_faults("acme/api");
        world.fake.forget_requests();
        let later = CollectOptions { now: at("2026-06-16T12:00:00Z"), ..two_months };
        in_one_run(&world, &later).await?;
        assert_eq!(world.asked_about("acme/api").len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn f15_failing_pull_request_in_window_is_quarantined() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(long_history(400, 250));
    world.fake.break_pull_request("acme/api", 200, Some(502));
    in_one_run(&world, &two_weeks()).await?;
    assert_eq!(world.numbers().await?, (151..=400).filter(|number| *number != 200).collect::<Vec<_>>());
    assert_eq!(world.texts("select number::text from quarantined_pull_requests").await?, ["200"]);
    Ok(())
}

#[tokio::test]
async fn no_kind_of_reading_stores_pruned_rows_again() -> Result<()> {
    let world = World::new().await?;
    let old = || pr("acme/api", 1).created("2026-01-05T00:00:00Z").merged("2026-02-02T10:00:00Z");
    world.fake.put([
        old(),
        merged(2),
        pr("acme/web", 3).created("2026-01-05T00:00:00Z").merged("2026-02-02T10:00:00Z"),
    ]);
    world.collect().await?;
    assert_eq!(world.numbers().await?, [1, 2, 3]);
    let before = at("2026-03-01T00:00:00Z");
    assert_eq!(world.store.prune(before, 0).await?, None);
    assert_eq!(world.numbers().await?, [2]);
    let covered = "select count(*) from repositories where covered_since = '2026-03-01 00:00Z'";
    assert_eq!(world.number(covered).await?, 2);
    let further_back = CollectOptions { backfill: TimeDelta::days(3_650), ..options() };
    // A longer backfill, a full comparison, a comment, a new repository and a new member: each causes reading.
    let verifying = CollectOptions { verifies: true, ..further_back };
    world.collect_and(&further_back, |_| {}).await?;
    world.fake.put([old().updated("2026-06-14T00:00:00Z")]);
    world.collect_and(&verifying, |_| {}).await?;
    world.fake.put([pr("acme/new", 4).created("2026-01-05T00:00:00Z").merged("2026-02-02T10:00:00Z")]);
    world.fake.put((100..250).map(|number| {
        let pull_request = pr("acme/new", number).created("2026-01-05T00:00:00Z");
        if number % 2 == 0 {
            pull_request.merged("2026-02-02T10:00:00Z")
        } else {
            pull_request.merged("2026-06-02T10:00:00Z")
        }
    }));
    world.fake.put([pr("acme/api", 5).by("ben").created("2026-01-05T00:00:00Z").merged("2026-02-02T10:00:00Z")]);
    let both = "{ slug: payments, members: [{ github: ana }, { github: ben }] }";
    world.apply_to("acme/api, acme/web, acme/new", both).await?;
    for _ in 0..2 {
        let report = world.collect_and(&verifying, |_| {}).await?;
        assert_eq!(report.state, RunState::Succeeded);
        assert_eq!(world.number("select count(*) from pull_requests where merged_at < '2026-03-01'").await?, 0);
    }
    assert_eq!(world.numbers().await?, std::iter::once(2).chain((101..250).step_by(2)).collect::<Vec<_>>());
    assert_eq!(world.number(covered).await?, 3, "nothing before is called complete");
    Ok(())
}

#[tokio::test]
async fn pruning_during_a_backfill_limits_what_it_covers() -> Result<()> {
    let world = World::on_small_pages(0).await?;
    world.fake.put((1..=9).map(|number| match number % 2 {
        0 => pr("acme/api", number).created("2026-01-05T00:00:00Z").merged("2026-02-02T10:00:00Z"),
        _ => merged(number),
    }));
    let (pages, options) = (Semaphore::new(0), options());
    {
        let observer = counting(&pages);
        let mut stopped = pin!(collect(&world.github, &world.store, &options, &observer));
        until_pages(stopped.as_mut(), &pages, 1).await?;
        world.store.prune(at("2026-03-01T00:00:00Z"), 0).await?;
        stopped.await?;
    }
    assert_eq!(world.numbers().await?, [1, 3, 5, 7, 9]);
    let covered = "select count(*) from repositories where covered_since >= '2026-03-01 00:00Z'";
    assert_eq!(world.number(covered).await?, 2);
    Ok(())
}

#[tokio::test]
async fn f28_pull_request_listed_twice_keeps_the_newest() -> Result<()> {
    let world = World::on_small_pages(9).await?;
    // After the second answer, the list by creation shows it for the first time, and the list by update again.
    world.fake.put_after(2, merged(4).titled("newer").updated("2026-06-14T00:00:00Z"));
    world.collect().await?;
    world.collect().await?;
    assert_eq!(world.numbers().await?, (1..=9).collect::<Vec<_>>());
    assert_eq!(world.texts("select title from pull_requests where number = 4").await?, ["newer"]);
    Ok(())
}

#[tokio::test]
async fn f31_wrong_local_clock_does_not_move_the_watermark() -> Result<()> {
    for minutes in [-10, 0, 10] {
        let world = World::new().await?;
        // The last change happened just now, by GitHub's clock.
        world.fake.put([merged(1), merged(2).updated(NOW)]);
        world.collect_at(at(NOW) + TimeDelta::minutes(minutes), 1).await?;
        assert_eq!(world.watermarks().await?["acme/api"], Some(at(NOW)), "{minutes}");
        world.fake.put([merged(3).updated("2026-06-15T12:00:01Z")]);
        world.collect_at(at(NOW) + TimeDelta::minutes(minutes + 5), 1).await?;
        assert_eq!(world.numbers().await?, [1, 2, 3], "{minutes}");
    }
    Ok(())
}

#[tokio::test]
async fn f31_far_future_change_does_not_hide_earlier_ones() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1), merged(2).updated("2031-01-01T00:00:00Z")]);
    world.collect().await?;
    assert_eq!(world.watermarks().await?["acme/api"], Some(at("2026-06-02T10:00:01Z")));
    world.fake.put([merged(3).updated("2026-06-10T00:00:00Z")]);
    world.collect().await?;
    assert_eq!(world.numbers().await?, [1, 2, 3]);
    Ok(())
}

#[tokio::test]
async fn f33_without_a_database_github_gets_no_request() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let url = "postgres://postgres@localhost:5432/mergeline?host=/nowhere";
    let settings = DatabaseSettings::parse(&SecretString::from(url)).map_err(mergeline_domain::Problems::from)?;
    let outcome =
        collect(&connect(&fake.url())?, &Writer::connect(&settings, Actor::Collector), &options(), &|_| {}).await;
    assert!(matches!(outcome, Err(CollectError::Store(StoreError::Unavailable(_)))), "{outcome:?}");
    assert_eq!(fake.requests(), []);
    Ok(())
}

#[tokio::test]
async fn f34_database_restart_between_pages_is_survived() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let server = std::sync::Mutex::new(Some(Server::persistent(folder.path())?));
    let url = server.lock().ok().and_then(|server| Some(server.as_ref()?.url("postgres"))).context("a server")?;
    let settings = DatabaseSettings::parse(&SecretString::from(url)).map_err(mergeline_domain::Problems::from)?;
    let store = Writer::connect(&settings, Actor::Collector);
    store.migrate().await?;
    store.apply(&teams_file("acme/api", ANA)?, ApplyOptions::default(), at(NOW)).await?;
    let fake = FakeGitHub::start().await?;
    fake.put(many(250));
    let restart = |progress: Progress<'_>| {
        if let (Progress::Page { result, .. }, Ok(mut server)) = (progress, server.lock())
            && result.pages == 2
        {
            // All connections end here.
            drop(server.take());
            *server = Server::persistent(folder.path()).ok();
        }
    };
    assert_eq!(collect(&connect(&fake.url())?, &store, &options(), &restart).await?.state, RunState::Succeeded);
    let stored = store.coverage().await?;
    assert_eq!(stored.data_as_of.map(|at| at.date_naive()), Some(at(NOW).date_naive()));
    Ok(())
}

#[tokio::test]
async fn f35_read_only_database_fails_before_any_request() -> Result<()> {
    let world = World::new().await?;
    world
        .execute(
            "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database());
            end $$",
        )
        .await?;
    let store = world.database.store()?;
    let outcome = collect(&world.github, &store, &options(), &|_| {}).await;
    assert!(matches!(outcome, Err(CollectError::Store(StoreError::ReadOnly(_)))), "{outcome:?}");
    assert_eq!(world.fake.requests(), []);
    Ok(())
}

#[tokio::test]
async fn f39_full_disk_leaves_no_checkpoint_without_data() -> Result<()> {
    let world = World::on_small_pages(9).await?;
    // Full from the fourth pull request on, with PostgreSQL's error.
    world
        .execute(
            "create function refuse() returns trigger language plpgsql as $$ begin
                if new.number between 4 and 6 then raise 'no space left on device' using errcode = 'disk_full'; end if;
                return new;
            end $$;
            create trigger refuse before insert on pull_requests for each row execute function refuse()",
        )
        .await?;
    let outcome = world.collect_and(&options(), |_| {}).await;
    assert!(matches!(outcome, Err(CollectError::Store(StoreError::DiskFull(_)))), "{outcome:?}");
    assert_eq!(world.numbers().await?, [1, 2, 3]);
    assert_eq!(
        world
            .number("select (backfill_rows / page_size + 1)::bigint from repositories where name = 'acme/api'")
            .await?,
        2
    );
    assert_eq!(world.texts("select state from collection_runs").await?, ["failed"]);
    Ok(())
}

#[tokio::test]
async fn f52_panic_in_one_repository_fails_it_alone() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1), pr("acme/web", 2).merged("2026-06-02T10:00:00Z")]);
    let observer = |progress: Progress<'_>| {
        if let Progress::Page { repository, .. } = progress
            && repository.as_str() == "acme/api"
        {
            // A panic without a message on standard error.
            std::panic::resume_unwind(Box::new("by request"));
        }
    };
    let report = collect(&world.github, &world.store, &options(), &observer).await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some("panic")));
    assert_eq!(outcome(&report, "acme/web"), (ResultState::Succeeded, None));
    assert_eq!(world.number("select count(*) from repositories where leased_until is not null").await?, 0);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    Ok(())
}

#[tokio::test]
async fn f52_silently_ended_run_is_closed_by_later_one() -> Result<()> {
    let world = World::on_small_pages(7).await?;
    {
        let (pages, options) = (Semaphore::new(0), options());
        let observer = counting(&pages);
        let mut killed = pin!(collect(&world.github, &world.store, &options, &observer));
        until_pages(killed.as_mut(), &pages, 2).await?;
    }
    world.collect_at(at(WITHIN_THE_LEASE), 1).await?;
    world.collect_at(at("2026-06-15T13:11:00Z"), 1).await?;
    let states = "select state from collection_runs order by id";
    assert_eq!(world.texts(states).await?, ["interrupted", "deferred", "succeeded"]);
    Ok(())
}

#[tokio::test]
async fn f56_watermark_older_than_data_collects_same_rows() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.collect().await?;
    world.execute("create table backup as select id, watermark, etag, etag_scope from repositories").await?;
    world.fake.put((251..=260).map(|number| merged(number).updated("2026-06-10T00:00:00Z")));
    world.collect().await?;
    let before = world.database.digest().await?;
    world
        .execute(
            "update repositories as r set watermark = b.watermark, etag = b.etag, etag_scope = b.etag_scope
            from backup as b where r.id = b.id",
        )
        .await?;
    assert_eq!(world.collect().await?.total(|result| result.changed), 0);
    assert_eq!(world.database.digest().await?, before);
    Ok(())
}

#[tokio::test]
async fn requests_run_one_at_a_time_by_default() -> Result<()> {
    let world = World::on_small_pages(30).await?;
    world.fake.put((1..=9).map(|number| pr("acme/web", number).updated("2026-06-10T00:00:00Z")));
    world.fake.set_latency(Duration::from_millis(2));
    world.collect_at(at(NOW), 2).await?;
    assert_eq!(world.fake.most_at_once(), 1);
    Ok(())
}

#[tokio::test]
async fn comparison_removes_deleted_rows_and_restores_missing_ones() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(5));
    world.collect().await?;
    world.fake.delete_pull_request("acme/api", 2);
    world
        .execute(
            "delete from pr_attributions where pull_request_id in (select id from pull_requests where number = 4);
            delete from pull_requests where number = 4",
        )
        .await?;
    world.collect_and(&CollectOptions { verifies: true, ..options() }, |_| {}).await?;
    let counted = "select number::text from pull_requests where deleted_at is null and id in
        (select pull_request_id from pr_attributions) order by number";
    assert_eq!(world.texts(counted).await?, ["1", "3", "4", "5"]);
    Ok(())
}

#[tokio::test]
async fn requested_comparison_finds_deletions_of_any_age() -> Result<()> {
    let world = World::new().await?;
    let old = |number| pr("acme/api", number).created("2026-02-01T00:00:00Z").merged("2026-02-02T00:00:00Z");
    world.fake.put([old(1), old(2)]);
    world.fake.put(many(150).filter(|changed| changed.number > 2));
    world.collect().await?;
    world.fake.delete_pull_request("acme/api", 1);
    let counted = "select count(distinct pull_request_id) from pr_attributions";
    world.collect_at(at("2026-06-23T12:00:00Z"), 1).await?;
    assert_eq!(world.number(counted).await?, 150, "the weekly comparison covers four weeks");
    world.collect_and(&CollectOptions { verifies: true, ..options_at(at("2026-06-23T13:00:00Z")) }, |_| {}).await?;
    assert_eq!(world.number(counted).await?, 149);
    assert_eq!(world.texts("select number::text from pull_requests where deleted_at is not null").await?, ["1"]);
    // However new, too: the one that changed last of all.
    let newest =
        "select number from pull_requests where deleted_at is null order by updated_at desc, number desc limit 1";
    world.fake.delete_pull_request("acme/api", world.number(newest).await?);
    world.collect_and(&CollectOptions { verifies: true, ..options_at(at("2026-06-23T14:00:00Z")) }, |_| {}).await?;
    assert_eq!(world.number(counted).await?, 148);
    Ok(())
}

#[tokio::test]
async fn comparison_repairs_changes_without_a_newer_timestamp() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(5));
    world.collect().await?;
    world.execute("update pull_requests set title = 'tampered with' where number = 1").await?;
    world.collect_at(at("2026-06-23T12:00:00Z"), 1).await?;
    assert_eq!(world.texts("select title from pull_requests where number = 1").await?, ["Change 1"]);
    Ok(())
}

#[tokio::test]
async fn comparison_runs_weekly_and_costs_nothing_between() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    let mut unchanged = Vec::new();
    for day in ["15T12", "18T12", "22T13", "23T12"] {
        let report = world.collect_at(at(&format!("2026-06-{day}:00:00Z")), 1).await?;
        unchanged.push(report.repositories[0].result.is_unchanged);
    }
    assert_eq!(unchanged, [false, true, false, true]);
    Ok(())
}

#[tokio::test]
async fn reviews_beyond_the_first_page_are_read_too() -> Result<()> {
    let world = World::new().await?;
    let by_bot = FakeReview {
        user: Some(FakeUser::bot("linter")),
        state: "COMMENTED".to_owned(),
        submitted_at: Some(at("2026-06-01T10:00:00Z")),
        dismissed_from: None,
    };
    let mut reviewed = merged(1);
    reviewed.reviews = vec![by_bot; 170];
    world.fake.put([reviewed.reviewed_by("bob", "2026-06-02T09:00:00Z")]);
    world.collect().await?;
    assert_eq!(world.number("select pickup_seconds::bigint from pull_requests").await?, 24 * 3_600);
    Ok(())
}

const DETAILED: &str = "select p.number::text from pull_requests as p where detailed_at = updated_at and deleted_at is null order by p.number";

#[tokio::test]
async fn unavailable_details_are_deferred_without_affecting_others() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(10));
    // REST gives it a node id that GraphQL does not know.
    world.fake.put(many(7).skip(6).map(|it| it.overriding("node_id", json!("PR_elsewhere"))));
    assert_eq!(outcome(&world.collect().await?, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.texts(DETAILED).await?, ["1", "2", "3", "4", "5", "6", "8", "9", "10"]);
    assert_eq!(world.texts(POSTPONED).await?, ["7"]);
    assert_eq!(world.number("select count(*) from pull_requests where deleted_at is not null").await?, 0);
    Ok(())
}

const POSTPONED: &str = "select number::text from pull_requests where detail_retry_at > '2026-06-15T12:59:00Z'";

#[tokio::test]
async fn deletion_before_details_is_checked_once_and_uncounted() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(10));
    world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
    world.fake.delete_pull_request("acme/api", 7);
    world.fake.delete_pull_request("acme/api", 3);
    assert_eq!(outcome(&world.collect().await?, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.texts(DETAILED).await?, ["1", "2", "4", "5", "6", "8", "9", "10"]);
    let deleted = "select number::text from pull_requests where deleted_at is not null order by number";
    assert_eq!(world.texts(deleted).await?, ["3", "7"]);
    assert_eq!(world.number("select count(*) from pr_attributions").await?, 8);
    for hours in [4, 8, 24, 60] {
        world.fake.forget_requests();
        let later = world.collect_at(at(NOW) + TimeDelta::hours(hours), 1).await?;
        assert_eq!(later.total(|result| result.graphql_requests + result.without_details), 0, "after {hours} h");
        assert_eq!(world.asked_about("acme/api").len(), 1, "after {hours} h");
    }
    // It was only hidden for a while.
    world.fake.put([merged(7).updated("2026-06-18T00:00:00Z")]);
    world.collect_at(at("2026-06-18T12:00:00Z"), 1).await?;
    assert_eq!(world.texts(deleted).await?, ["3"]);
    assert_eq!(world.texts(DETAILED).await?.len(), 9);
    Ok(())
}

#[tokio::test]
async fn one_wrong_404_never_deletes_a_pull_request() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1), merged(2).overriding("node_id", json!("PR_elsewhere"))]);
    world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
    // The answers for the list, and for the pull request by number.
    world.fake.fail_next("acme/api", Fault::Nothing);
    world.fake.fail_next("acme/api", Fault::Status(404));
    assert_eq!(outcome(&world.collect().await?, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.asked_about("acme/api").iter().filter(|path| path.ends_with("/pulls/2")).count(), 2);
    assert_eq!(world.number("select count(*) from pr_attributions").await?, 2);
    assert_eq!(world.texts(POSTPONED).await?, ["2"]);
    Ok(())
}

#[tokio::test]
async fn unavailable_review_pages_defer_only_their_pull_request() -> Result<()> {
    let world = World::new().await?;
    let discussed = (0..60).fold(merged(1), |discussed, _| discussed.reviewed_by("bob", "2026-06-01T10:00:00Z"));
    world.fake.put([discussed, merged(2)]);
    // The first answer is complete and covers both; the second should return more of the first.
    world.fake.fail_next_graphql(Fault::NonNumericLimits);
    world.fake.fail_next_graphql(Fault::GraphqlErrors { kind: String::new(), with_data: true });
    assert_eq!(outcome(&world.collect().await?, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.texts(DETAILED).await?, ["2"]);
    Ok(())
}

#[tokio::test]
async fn pattern_covers_new_repositories_but_not_archived_ones() -> Result<()> {
    let world = World::unconfigured().await?;
    world.fake.add_repository("other/api");
    world.fake.archive_repository("acme/web");
    world.apply_to("'acme/*'", ANA).await?;
    let of = |report: &RunReport| outcomes(report).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    assert_eq!(of(&world.collect().await?), ["acme/api"]);
    world.fake.put([pr("acme/new", 1)]);
    assert_eq!(of(&world.collect().await?), ["acme/api", "acme/new"]);
    Ok(())
}

#[tokio::test]
async fn repository_skipped_by_a_shifting_list_stays() -> Result<()> {
    let world = World::unconfigured().await?;
    let names: Vec<String> = (100..202).map(|number| format!("acme/r-{number}")).collect();
    for name in &names {
        world.fake.add_repository(name);
    }
    world.apply_to("'acme/r-*'", ANA).await?;
    let planned = async || {
        let plan = mergeline_collector::plan(&world.github, &world.store, &options()).await?;
        let mut due: Vec<String> = plan.due.iter().map(|repository| repository.called().to_string()).collect();
        due.sort();
        anyhow::Ok(due)
    };
    assert_eq!(planned().await?, names);
    let without = |gone: &[&str]| -> Vec<String> {
        names.iter().filter(|name| !gone.contains(&name.as_str())).cloned().collect()
    };
    // The newest come first. When the first is gone, the first of the second page moves up and is on neither page.
    world.fake.delete_repository_after(1, "acme/r-201");
    world.fake.forget_requests();
    assert_eq!(planned().await?, names);
    let asked = || world.fake.requests().into_iter().map(|request| request.path).collect::<Vec<_>>();
    assert_eq!(asked().last().map(String::as_str), Some("/repos/acme/r-101"));
    // One that no longer exists is requested once, in the next run.
    world.fake.forget_requests();
    assert_eq!(planned().await?, without(&["acme/r-201"]));
    assert_eq!(asked().last().map(String::as_str), Some("/repos/acme/r-201"));
    world.fake.forget_requests();
    assert_eq!(planned().await?, without(&["acme/r-201"]));
    assert_eq!(asked().len(), 2, "{:?}", asked());
    // The same happens to one that now belongs to another owner, and to an archived one. If GitHub fails, nothing is
    // removed.
    world.fake.delete_repository_after(1, "acme/r-200");
    world.fake.break_repository("acme/r-100", Some(502));
    world.fake.rename("acme/r-102", "other/r-102");
    world.fake.archive_repository("acme/r-103");
    assert_eq!(planned().await?, without(&["acme/r-102", "acme/r-103", "acme/r-201"]));
    Ok(())
}

#[tokio::test]
async fn repository_renamed_during_failures_stays_one_repository() -> Result<()> {
    for was_read in [true, false] {
        let world = World::unconfigured().await?;
        world.fake.put([pr("acme/web", 1).merged("2026-06-03T10:00:00Z")]);
        world.apply_to("'acme/*'", ANA).await?;
        if was_read {
            world.collect().await?;
        } else {
            mergeline_collector::plan(&world.github, &world.store, &options()).await?;
        }
        world.fake.rename("acme/web", "acme/site");
        (0..3).for_each(|_| world.fake.fail_next("acme/site", Fault::Status(502)));
        world.collect().await?;
        let report = world.collect().await?;
        assert_eq!((report.state, report.repositories.len()), (RunState::Succeeded, 2), "{was_read}: {report}");
        let of = "select concat_ws(' ', r.display_name, count(p)) from repositories as r
            left join pull_requests as p on p.repository_id = r.id where r.removed_at is null group by r.tenant_id, r.id order by 1";
        assert_eq!(world.texts(of).await?, ["acme/api 0", "acme/site 1"], "{was_read}");
    }
    Ok(())
}

#[tokio::test]
async fn f22_unreadable_row_moves_with_its_renamed_repository() -> Result<()> {
    for (before, after) in [("'acme/*'", "'acme/*'"), ("acme/web", "acme/web"), ("acme/web", "acme/site")] {
        // Some servers do not say which repository a pull request belongs to.
        for is_named in [true, false] {
            let world = World::unconfigured().await?;
            let web = |number: i64| {
                let name = if number > 2 { "acme/site" } else { "acme/web" };
                let merged = pr(name, number).with_id(1_000 + number).merged(&format!("2026-06-0{number}T10:00:00Z"));
                if is_named { merged } else { merged.overriding("base", serde_json::Value::Null) }
            };
            world.fake.put([web(1), web(2)]);
            world.apply_to(before, ANA).await?;
            world.collect().await?;
            let row = world.texts("select id::text from repositories where name = 'acme/web'").await?;
            world.fake.rename("acme/web", "acme/site");
            world.fake.break_pull_request("acme/site", 1, Some(502));
            world.fake.put([web(3)]);
            world.apply_to(after, ANA).await?;
            for day in ["2026-06-16T12:00:00Z", "2026-06-17T12:00:00Z"] {
                world.collect_at(at(day), 1).await?;
                let stored = "select concat_ws(' ', r.id, count(distinct p), count(a)) from repositories as r
                    inner join pull_requests as p on p.repository_id = r.id
                    left join pr_attributions as a on a.pull_request_id = p.id and a.repository_id = r.id
                    group by r.id having bool_and(r.removed_at is null)";
                let case = format!("{before} to {after}, named: {is_named}, {day}");
                assert_eq!(world.texts(stored).await?, [format!("{} 3 3", row[0])], "{case}");
                assert_eq!(world.number("select count(*) from pull_requests").await?, 3, "{case}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn private_repositories_of_a_user_survive_weaker_tokens() -> Result<()> {
    let world = World::unconfigured().await?;
    world.fake.add_user(FakeUser::person("alice"));
    world.fake.set_token_owner(FakeUser::person("alice"));
    world.fake.put([pr("alice/open", 1), pr("alice/secret", 2), pr("alice/other", 3)]);
    world.fake.make_private("alice/secret", &[]);
    world.fake.make_private("alice/other", &[]);
    world.apply_to("'alice/*'", ANA).await?;
    let of = |report: &RunReport| outcomes(report).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
    let all = ["alice/open", "alice/other", "alice/secret"];
    assert_eq!(of(&world.collect().await?), all);
    assert_eq!(world.numbers().await?, [1, 2, 3]);
    let incomplete = async || anyhow::Ok(world.store.coverage().await?.incomplete_patterns);
    assert_eq!(incomplete().await?, Vec::<String>::new());
    world.fake.set_token_owner(FakeUser::person("bob"));
    assert_eq!(of(&world.collect().await?), all, "they fail but stay configured");
    assert_eq!(incomplete().await?, ["alice/*"]);
    assert_eq!(world.numbers().await?, [1, 2, 3]);
    world.fake.set_token_owner(FakeUser::person("alice"));
    world.fake.delete_repository("alice/other");
    assert_eq!(of(&world.collect().await?), ["alice/open", "alice/secret"]);
    assert_eq!(incomplete().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn unlistable_owner_keeps_its_known_repositories() -> Result<()> {
    let world = World::unconfigured().await?;
    world.apply_to("'acme/*'", ANA).await?;
    world.fake.put(many(3));
    world.collect().await?;
    for fault in [Fault::Status(403), Fault::Status(500), Fault::EmptyList, Fault::Html, Fault::TruncatedJson] {
        for path in ["/orgs/acme/repos", "/users/acme/repos"] {
            (0..3).for_each(|_| world.fake.fail_next(path, fault.clone()));
        }
        let report = world.collect().await?;
        assert_eq!((report.state, report.problems.len()), (RunState::Partial, 1), "{fault:?}");
        assert_eq!(outcomes(&report).len(), 2, "{fault:?}");
        while world.collect().await?.state != RunState::Succeeded {}
    }
    Ok(())
}

#[tokio::test]
async fn new_member_rereading_stops_at_the_membership_start() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(
        many(350).map(|pull_request| if pull_request.number % 2 == 0 { pull_request } else { pull_request.by("bob") }),
    );
    world.collect().await?;
    world.fake.forget_requests();
    // Covers about the last 50.
    let both = "{ slug: payments, members: [{ github: ana }, { github: bob, from: 2026-06-02T15:00:00Z }] }";
    world.apply(both).await?;
    world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
    assert_eq!(world.asked_about("acme/api").len(), 1);
    world.fake.forget_requests();
    world.apply(&both.replace("15:00", "13:00")).await?;
    world.collect_and(&CollectOptions { details: false, ..options() }, |_| {}).await?;
    assert_eq!(world.asked_about("acme/api").len(), 2);
    assert!(world.numbers().await?.contains(&349));
    Ok(())
}
