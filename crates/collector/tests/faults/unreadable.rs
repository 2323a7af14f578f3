//! Unreadable rows in lists whose rows move: nothing is lost silently.

use std::time::Duration;

use crate::common::{self, World, connect_at_once, many, merged, options, outcome};
use crate::{PAGE_SIZE, QUARANTINED, relabelled};
use anyhow::Result;
use chrono::TimeDelta;
use mergeline_collector::CollectOptions;
use mergeline_fake_github::{FakePullRequest, Fault, at, pr};
use mergeline_store::{QuarantineKey, ResultState};
use serde_json::json;

const STALE: &str = "select number::text from pull_requests where title <> 'relabelled' order by number";
const INCOMPLETE: &str = "select count(*) from repositories where backfill_order is not null or collected_at is null";

fn sparse(count: i64) -> Vec<FakePullRequest> {
    let opened = |number: i64| {
        let mut pull_request = pr("acme/api", number * 50).created("2026-06-01T09:00:00Z");
        pull_request.created_at += TimeDelta::minutes(number);
        pull_request.updated_at = pull_request.created_at;
        pull_request
    };
    (1..=count).map(opened).collect()
}

fn plain_at(now: &str) -> CollectOptions {
    CollectOptions { details: false, ..common::options_at(at(now)) }
}

async fn run(world: &World, now: &str) -> Result<()> {
    run_with(world, &plain_at(now)).await
}

async fn run_with(world: &World, options: &CollectOptions) -> Result<()> {
    let report = world.collect_and(options, |_| {}).await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "{report:?}");
    Ok(())
}

/// Returns the numbers that are neither stored nor in quarantine by number, while the repository claims to be complete.
async fn lost(world: &World, there: impl Iterator<Item = i64>) -> Result<Vec<i64>> {
    assert_eq!(world.number(INCOMPLETE).await?, 0, "all claim to be complete");
    let numbers = world.numbers().await?;
    let quarantined = world.texts(QUARANTINED).await?;
    Ok(there.filter(|number| !numbers.contains(number) && !quarantined.contains(&format!("#{number}"))).collect())
}

fn opened(number: i64, updated: &str) -> FakePullRequest {
    merged(number).created(updated).merged(updated)
}

/// A page by update is read in parts: a row that vanishes between two parts takes the first row of the next part with
/// it.
#[tokio::test]
async fn f27_row_vanishing_from_split_page_loses_no_other() -> Result<()> {
    for answers in [7, 8, 9] {
        let world = World::new().await?;
        world.fake.put(many(250));
        world.fake.break_pull_request("acme/api", 250, Some(502));
        run(&world, common::NOW).await?;
        assert_eq!(world.texts(QUARANTINED).await?, ["#250"]);
        assert!(
            world.store.accept_quarantined(&"acme/api".parse()?, QuarantineKey::Number(250), at(common::NOW)).await?
        );
        // Thirty change; the unreadable one is the row after them. In parts: 100, 50, 25 (1 to 25), 25, 5 (26 to 30)
        // ...
        world.fake.put(relabelled(30).map(|mut it| {
            it.updated_at = at(common::NOW) + TimeDelta::minutes(2 * it.number);
            it
        }));
        world.fake.delete_after(answers, "acme/api", 29);
        world.fake.forget_requests();
        for now in ["2026-06-15T13:10:00Z", "2026-06-15T16:00:00Z", "2026-06-18T15:00:00Z"] {
            run(&world, now).await?;
        }
        let stale: Vec<i64> =
            world.texts(STALE).await?.iter().filter_map(|it| it.parse().ok()).filter(|it| *it <= 30).collect();
        assert!(stale.iter().all(|it| *it == 29), "with #29 gone after {answers} answers: {stale:?}");
    }
    Ok(())
}

/// The same with a server that cannot show more than fifty at once.
#[tokio::test]
async fn f27_row_vanishing_from_halved_page_loses_no_other() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(90));
    run(&world, common::NOW).await?;
    world.fake.put(relabelled(90));
    world.fake.limit_page_size(50, 502);
    // Three attempts at a hundred, and the first fifty.
    world.fake.forget_requests();
    world.fake.delete_after(4, "acme/api", 80);
    run(&world, "2026-06-15T12:10:00Z").await?;
    run(&world, "2026-06-15T15:00:00Z").await?;
    let stale = world.texts(STALE).await?;
    assert!(stale.iter().all(|it| it == "80"), "{stale:?} {:?}", world.asked_about("acme/api"));
    Ok(())
}

/// #250 is readable again after an update, which came after the merge of #251, which is unreadable.
#[tokio::test]
async fn f15_row_fixed_by_update_explains_no_new_row() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.fake.break_pull_request("acme/api", 250, Some(502));
    run(&world, common::NOW).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["#250"]);
    world.fake.break_pull_request("acme/api", 250, None);
    world.fake.put([opened(251, "2026-06-15T12:20:00Z"), merged(250).updated("2026-06-15T12:30:00Z")]);
    world.fake.break_pull_request("acme/api", 251, Some(502));
    for now in ["2026-06-15T13:00:00Z", "2026-06-15T16:00:00Z", "2026-06-18T16:00:00Z", "2026-06-23T16:00:00Z"] {
        run(&world, now).await?;
    }
    assert_eq!(lost(&world, 1..=251).await?, Vec::<i64>::new());
    Ok(())
}

/// The same with two that changed in the same second, as after a merge queue or a bulk label.
#[tokio::test]
async fn f15_fixed_row_sharing_a_timestamp_explains_no_other() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.fake.put([merged(249).updated("2026-06-10T10:00:00Z"), merged(250).updated("2026-06-10T10:00:00Z")]);
    world.fake.break_pull_request("acme/api", 250, Some(502));
    run(&world, common::NOW).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["#250"]);
    world.fake.break_pull_request("acme/api", 250, None);
    world.fake.put([opened(251, "2026-06-15T12:20:00Z")]);
    world.fake.break_pull_request("acme/api", 251, Some(502));
    for now in ["2026-06-15T12:30:00Z", "2026-06-15T16:00:00Z", "2026-06-18T16:00:00Z", "2026-06-23T16:00:00Z"] {
        run(&world, now).await?;
    }
    assert_eq!(lost(&world, 1..=251).await?, Vec::<i64>::new());
    Ok(())
}

/// The oldest row of a list has no row after it.
#[tokio::test]
async fn f15_fixed_only_row_explains_no_new_row() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(1));
    world.fake.break_pull_request("acme/api", 1, Some(502));
    run(&world, common::NOW).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["#1"]);
    world.fake.break_pull_request("acme/api", 1, None);
    world.fake.put([opened(2, "2026-06-15T12:20:00Z")]);
    world.fake.break_pull_request("acme/api", 2, Some(502));
    for now in ["2026-06-15T12:30:00Z", "2026-06-15T16:00:00Z", "2026-06-18T16:00:00Z", "2026-06-23T16:00:00Z"] {
        run(&world, now).await?;
    }
    assert_eq!(lost(&world, 1..=2).await?, Vec::<i64>::new());
    Ok(())
}

/// #250 is deleted, which is only noticed when its retry is due. Until then it explains #251, while many others move
/// past it.
#[tokio::test]
async fn f15_row_deleted_before_its_retry_explains_no_other() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.fake.break_pull_request("acme/api", 250, Some(502));
    run(&world, common::NOW).await?;
    world.fake.break_pull_request("acme/api", 250, None);
    world.fake.delete_pull_request("acme/api", 250);
    world.fake.put([opened(251, "2026-06-15T12:20:00Z")]);
    world.fake.break_pull_request("acme/api", 251, Some(502));
    run(&world, "2026-06-15T12:25:00Z").await?;
    let touched =
        |numbers: std::ops::RangeInclusive<i64>, when: &'static str| numbers.map(move |it| merged(it).updated(when));
    world.fake.put(touched(1..=120, "2026-06-15T12:30:00Z"));
    run(&world, "2026-06-15T12:35:00Z").await?;
    world.fake.put(touched(121..=249, "2026-06-15T12:50:00Z"));
    run(&world, "2026-06-15T12:55:00Z").await?;
    for now in ["2026-06-15T14:00:00Z", "2026-06-15T16:00:00Z", "2026-06-18T16:00:00Z"] {
        run(&world, now).await?;
    }
    assert_eq!(lost(&world, (1..=251).filter(|it| *it != 250)).await?, Vec::<i64>::new());
    Ok(())
}

/// #41 was a known unreadable row and was fixed by an update. The note about it explains its neighbor #40 when the past
/// is read again for ben, who is new in the teams file.
#[tokio::test]
async fn f15_moved_row_explains_no_neighbor_on_team_change() -> Result<()> {
    for count in [90, 250] {
        let world = World::new().await?;
        world.fake.put(many(count));
        let mut of_ben = merged(40).by("ben");
        of_ben.updated_at += TimeDelta::minutes(40);
        world.fake.put([of_ben]);
        world.fake.break_pull_request("acme/api", 41, Some(502));
        run(&world, common::NOW).await?;
        assert_eq!(world.texts(QUARANTINED).await?, ["#41"]);
        world.fake.break_pull_request("acme/api", 41, None);
        world.fake.put([merged(41).updated("2026-06-15T12:20:00Z")]);
        run(&world, "2026-06-15T12:30:00Z").await?;
        assert_eq!(world.texts(QUARANTINED).await?, Vec::<String>::new());
        world.fake.break_pull_request("acme/api", 40, Some(502));
        world.apply("{ slug: payments, members: [{ github: ana }, { github: ben }] }").await?;
        for now in ["2026-06-15T13:00:00Z", "2026-06-15T16:00:00Z", "2026-06-18T16:00:00Z"] {
            run(&world, now).await?;
        }
        assert_eq!(lost(&world, 1..=count).await?, Vec::<i64>::new(), "{count}");
    }
    Ok(())
}

/// A comparison must not forget the page size that it has just learned.
#[tokio::test]
async fn f15_a_comparison_keeps_its_newly_learned_page_size() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(150));
    run(&world, common::NOW).await?;
    world.fake.limit_page_size(25, 502);
    let verifying = CollectOptions { verifies: true, ..plain_at("2026-06-15T13:00:00Z") };
    run_with(&world, &verifying).await?;
    assert_eq!(world.number(PAGE_SIZE).await?, 25);
    Ok(())
}

/// An item without a number comes after one with a number that cannot be decoded.
#[tokio::test]
async fn f15_item_without_number_triggers_only_one_full_reading() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    // By update: #250, #249, #248 (undecodable), #247 (no number), #246.
    let at_minute = |number: i64| {
        let mut it = merged(number);
        it.updated_at += TimeDelta::minutes(number);
        it
    };
    world
        .fake
        .put([at_minute(248).overriding("merged_at", json!("soon")), at_minute(247).overriding("number", json!(0))]);
    run(&world, common::NOW).await?;
    let quarantined = world.texts(QUARANTINED).await?;
    world.fake.forget_requests();
    for (touched, now) in
        [("2026-06-15T12:05:00Z", "2026-06-15T12:10:00Z"), ("2026-06-15T12:15:00Z", "2026-06-15T12:20:00Z")]
    {
        // Otherwise the list is unchanged.
        world.fake.put([merged(1).updated(touched)]);
        run(&world, now).await?;
    }
    let past: Vec<String> = world
        .asked_about("acme/api")
        .into_iter()
        .filter(|path| path.contains("sort=created") && path.contains("per_page=100"))
        .collect();
    assert_eq!(past, Vec::<String>::new(), "{quarantined:?}");
    Ok(())
}

/// Pages of five do not overlap after row 60.
#[tokio::test]
async fn f27_row_vanishing_between_tiny_pages_loses_no_other() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(90));
    run(&world, common::NOW).await?;
    world.fake.put(relabelled(90));
    world.fake.limit_page_size(5, 502);
    world.set_page_size(5).await?;
    let change = |_| {
        let asked = world.asked_about("acme/api");
        if asked.last().is_some_and(|path| path.contains("sort=updated") && path.contains("per_page=5&page=12"))
            || asked.last().is_some_and(|path| ends_at_sixty(path))
        {
            world.fake.delete_pull_request("acme/api", 80);
        }
    };
    world.collect_and(&plain_at("2026-06-15T12:10:00Z"), change).await?;
    run(&world, "2026-06-15T15:00:00Z").await?;
    let stale = world.texts(STALE).await?;
    assert!(stale.iter().all(|it| it == "80"), "{stale:?} {:?}", world.asked_about("acme/api"));
    Ok(())
}

fn ends_at_sixty(path: &str) -> bool {
    let of = |name: &str| path.split(['?', '&']).find_map(|it| it.strip_prefix(name)?.parse::<u32>().ok());
    path.contains("sort=updated")
        && of("per_page=").zip(of("page=").or(Some(1))).is_some_and(|(size, page)| size * page == 60)
}

/// A row that no list can show but that can be read alone: its later changes are not visible in a list.
#[tokio::test]
async fn f15_row_read_alone_explains_only_its_old_state() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.fake.put([pr("acme/api", 250).created("2026-06-01T09:00:00Z").updated("2026-06-10T10:00:00Z")]);
    world.fake.break_in_lists("acme/api", 250, Some(502));
    run(&world, common::NOW).await?;
    assert_eq!(lost(&world, 1..=250).await?, Vec::<i64>::new());
    assert_eq!(world.texts(QUARANTINED).await?, Vec::<String>::new());
    // The weekly comparison would request it alone.
    world.fake.put([merged(250).merged("2026-06-15T12:10:00Z")]);
    for now in ["2026-06-15T12:30:00Z", "2026-06-15T16:00:00Z", "2026-06-18T16:00:00Z"] {
        run(&world, now).await?;
    }
    let state = world.texts("select state from pull_requests where number = 250").await?;
    assert!(state == ["merged"] || world.texts(QUARANTINED).await? == ["#250"], "{state:?}");
    Ok(())
}

/// A row that can be read on retry leaves the quarantine, together with the note about it.
#[tokio::test]
async fn f15_row_fixed_on_retry_explains_no_new_row() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.fake.break_pull_request("acme/api", 250, Some(502));
    run(&world, common::NOW).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["#250"]);
    let fix = |_| world.fake.break_pull_request("acme/api", 250, None);
    world.collect_and(&plain_at("2026-06-15T14:00:00Z"), fix).await?;
    assert_eq!(world.texts(QUARANTINED).await?, Vec::<String>::new());
    world.fake.put([opened(251, "2026-06-15T14:20:00Z"), merged(250).updated("2026-06-15T14:30:00Z")]);
    world.fake.break_pull_request("acme/api", 251, Some(502));
    for now in ["2026-06-15T15:00:00Z", "2026-06-15T18:00:00Z", "2026-06-18T16:00:00Z"] {
        run(&world, now).await?;
    }
    assert_eq!(lost(&world, 1..=251).await?, Vec::<i64>::new());
    Ok(())
}

/// The comparison has reset the page size to 100 in the database, but not for the run that continues.
#[tokio::test]
async fn f15_reading_killed_after_comparison_resumes_in_place() -> Result<()> {
    for is_length_known in [false, true] {
        let world = World::new().await?;
        world.fake.put(sparse(450));
        world.fake.break_pull_request("acme/api", 57 * 50, Some(500));
        world.fake.break_pull_request("acme/api", 210 * 50, Some(500));
        run(&world, common::NOW).await?;
        assert_eq!(world.texts(QUARANTINED).await?, ["@57", "@210"]);
        // From then on, the rows that the list by update cannot show are known.
        run_with(&world, &CollectOptions { verifies: true, ..plain_at("2026-06-15T12:10:00Z") }).await?;
        run_with(&world, &CollectOptions { verifies: true, ..plain_at("2026-06-15T12:20:00Z") }).await?;
        world.set_page_size(25).await?;
        // Both have moved when they are retried.
        world.fake.delete_pull_request("acme/api", 56 * 50);
        let week = "2026-06-23T12:00:00Z";
        {
            let pages = tokio::sync::Semaphore::new(0);
            let observer = |_: mergeline_collector::Progress<'_>| {
                let asked = world.asked_about("acme/api");
                if asked.iter().any(|it| it.contains("sort=created&direction=asc&per_page=25")) {
                    pages.add_permits(1);
                }
            };
            world.fake.forget_requests();
            if !is_length_known {
                for _ in 0..WITHOUT_LENGTH {
                    world.fake.fail_next("acme/api", Fault::Nothing);
                }
                // The length of the list cannot be found.
                world.fail(18, &Fault::Status(502));
            }
            let options = plain_at(week);
            let mut killed =
                std::pin::pin!(mergeline_collector::collect(&world.github, &world.store, &options, &observer));
            tokio::select! {
                report = &mut killed => panic!("it ended before: {:?} {:?}", report?, world.asked_about("acme/api")),
                permits = pages.acquire_many(4) => permits?.forget(),
            }
        }
        world.fake.forget_faults("acme/api");
        let position =
            "select 'page ' || backfill_rows / page_size + 1 || ' of ' || page_size || ', length ' || coalesce(backfill_length::text, '?')
            from repositories where name = 'acme/api'";
        let position = world.texts(position).await?;
        world.fake.forget_requests();
        run(&world, "2026-06-23T13:00:00Z").await?;
        let asked: Vec<String> =
            world.asked_about("acme/api").into_iter().filter(|it| it.contains("sort=created")).collect();
        let quarantined = world.texts(QUARANTINED).await?;
        assert_eq!(quarantined, ["@56", "@209"], "{is_length_known} {position:?} {asked:#?}");
        // The length of the list is only requested when it is read once more.
        assert!(asked.iter().all(|it| !it.contains("direction=desc")), "{is_length_known} {position:?} {asked:#?}");
    }
    Ok(())
}

/// How many answers come before the length of the list is requested.
const WITHOUT_LENGTH: usize = 57;

/// A window that is read by update, with pages that are read in parts.
#[tokio::test]
async fn f27_row_vanishing_from_split_window_loses_no_other() -> Result<()> {
    let mut wrong = Vec::new();
    for answers in 4..=7 {
        let world = World::new().await?;
        world.fake.set_repository_creation("acme/api", at("2020-01-01T00:00:00Z"));
        let opened_at = |number: i64| {
            let mut it = merged(number).created("2026-05-01T09:00:00Z");
            it.created_at += TimeDelta::minutes(number);
            it.updated_at = at("2026-05-01T10:00:00Z") + TimeDelta::hours(number);
            it
        };
        world.fake.put((1..=150).map(opened_at));
        world.fake.limit_page_size(50, 502);
        world.fake.delete_after(answers, "acme/api", 149);
        let window = CollectOptions { backfill: TimeDelta::days(60), ..plain_at(common::NOW) };
        run_with(&world, &window).await?;
        run_with(&world, &CollectOptions { now: at("2026-06-18T15:00:00Z"), ..window }).await?;
        let lost = lost(&world, (1..=150).filter(|it| *it != 149)).await?;
        if !lost.is_empty() {
            wrong.push((answers, lost));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

/// What two pages count at two places is corrected when these are retried.
#[tokio::test]
async fn f15_row_counted_twice_is_corrected_on_place_retry() -> Result<()> {
    let world = World::new().await?;
    let opened_at = |number: i64| {
        let mut it = merged(number * 50).created("2026-06-01T09:00:00Z");
        it.created_at += TimeDelta::minutes(number);
        it.updated_at += TimeDelta::minutes(number);
        it
    };
    world.fake.put((1..=12).map(opened_at));
    world.set_page_size(3).await?;
    world.fake.set_latency(Duration::from_millis(5));
    world.fake.break_pull_request("acme/api", 5 * 50, Some(502));
    world.fake.break_pull_request("acme/api", 7 * 50, Some(502));
    world.fake.delete_after(19, "acme/api", 2 * 50);
    let github = connect_at_once(&world.fake.url(), Some("ghp_canary"), 4)?;
    let plain = CollectOptions { details: false, ..options() };
    world.collect_with(&github, &plain, |_| {}).await?;
    for now in ["2026-06-15T14:00:00Z", "2026-06-15T18:00:00Z"] {
        world.collect_with(&github, &CollectOptions { now: at(now), ..plain }, |_| {}).await?;
    }
    assert_eq!(world.texts(QUARANTINED).await?, ["@4", "@6"]);
    assert_eq!(world.numbers().await?.len(), 10);
    Ok(())
}

/// #250 again, while the repository is read from further back for a new member.
#[tokio::test]
async fn f15_fixed_row_explains_no_other_during_reopened_reading() -> Result<()> {
    for is_newcomer in [false, true] {
        let world = World::new().await?;
        world.fake.put(many(250));
        world.fake.break_pull_request("acme/api", 250, Some(502));
        run(&world, common::NOW).await?;
        assert_eq!(world.texts(QUARANTINED).await?, ["#250"]);
        world.fake.break_pull_request("acme/api", 250, None);
        world.fake.put([opened(251, "2026-06-15T12:20:00Z"), merged(250).updated("2026-06-15T12:30:00Z")]);
        world.fake.break_pull_request("acme/api", 251, Some(502));
        if is_newcomer {
            world.apply("{ slug: payments, members: [{ github: ana }, { github: ben }] }").await?;
        }
        run(&world, "2026-06-15T13:00:00Z").await?;
        // Later listings end above it.
        world.fake.put((1..=249).map(|it| merged(it).updated("2026-06-15T13:30:00Z")));
        for now in ["2026-06-15T14:00:00Z", "2026-06-15T15:00:00Z", "2026-06-18T16:00:00Z"] {
            run(&world, now).await?;
        }
        assert_eq!(lost(&world, 1..=251).await?, Vec::<i64>::new(), "a newcomer: {is_newcomer}");
    }
    Ok(())
}

/// #250 again, with another quarantined row that is not listed.
#[tokio::test]
async fn f15_fixed_row_explains_no_other_beside_quarantined_row() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    for number in [3, 250] {
        world.fake.break_pull_request("acme/api", number, Some(502));
    }
    run(&world, common::NOW).await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["#3", "#250"]);
    world.fake.break_pull_request("acme/api", 250, None);
    world.fake.put([opened(251, "2026-06-15T12:20:00Z"), merged(250).updated("2026-06-15T12:30:00Z")]);
    world.fake.break_pull_request("acme/api", 251, Some(502));
    for now in ["2026-06-15T13:00:00Z", "2026-06-15T16:00:00Z", "2026-06-18T16:00:00Z"] {
        run(&world, now).await?;
    }
    assert_eq!(lost(&world, 1..=251).await?, Vec::<i64>::new());
    Ok(())
}

/// #151 is the last row of a page, so its time of change is unknown. The rows after the page are not requested one by
/// one.
#[tokio::test]
async fn f15_unreadable_last_row_causes_no_per_row_requests() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    run(&world, common::NOW).await?;
    world.fake.break_pull_request("acme/api", 151, Some(502));
    world.fake.put([merged(250).updated("2026-06-15T12:20:00Z")]);
    run(&world, "2026-06-15T13:00:00Z").await?;
    assert_eq!(world.texts(QUARANTINED).await?, ["#151"]);
    // The row before it changes, and the row that is then before it has changed later.
    world.fake.put([merged(152).updated("2026-06-15T13:20:00Z")]);
    world.fake.forget_requests();
    run(&world, "2026-06-15T16:00:00Z").await?;
    let alone = world.asked_about("acme/api").into_iter().filter(|path| path.contains("/pulls/")).count();
    assert!((1..10).contains(&alone), "{:?}", world.asked_about("acme/api"));
    assert_eq!(world.texts(QUARANTINED).await?, ["#151"]);
    Ok(())
}
