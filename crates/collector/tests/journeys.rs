//! From the fake GitHub to rows in PostgreSQL, by the real collector.

mod common;
mod deliveries;

use anyhow::{Context, Result};
use chrono::TimeDelta;
use common::{ANA, NOW, World, connect_with, many, merged, outcome, teams_file};
use mergeline_collector::{CollectError, CollectOptions, Progress, RunReport, Sources, collect};
use mergeline_domain::InstanceId;
use mergeline_domain::plan::Doubt;
use mergeline_fake_github::{FakeGitHub, FakeUser, Fault, RecordedRequest, at, pr};
use mergeline_store::{ApplyOptions, ResultState, RunState};
use tokio::sync::Notify;

#[tokio::test]
async fn run_keeps_members_and_counts_skipped_by_reason() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([
        merged(1),
        merged(2).by("stranger"),
        merged(3).by_user(Some(FakeUser::bot("renovate"))),
        merged(4).by_user(None),
        merged(5).overriding("created_at", serde_json::Value::Null),
    ]);
    let report = world.collect().await?;
    let result = &report.repositories[0].result;
    assert_eq!(report.state, RunState::Succeeded);
    assert_eq!(
        (
            result.listed,
            result.kept,
            result.skipped_not_a_member,
            result.skipped_bot,
            result.skipped_ghost,
            result.quarantined
        ),
        (5, 1, 1, 1, 1, 1)
    );
    assert_eq!(world.numbers().await?, [1]);
    Ok(())
}

#[tokio::test]
async fn f01_repeated_run_changes_nothing_with_one_request_each() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.collect().await?;
    let before = world.database.digest().await?;
    world.fake.forget_requests();
    let report = world.collect().await?;
    assert_eq!(world.database.digest().await?, before);
    assert_eq!(report.total(|result| result.changed), 0);
    assert_eq!(world.fake.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn pending_reattribution_runs_even_with_a_refused_token() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(5));
    world.collect().await?;
    let file = teams_file("acme/api, acme/web", &ANA.replace("ana", "ana, weight: 0.5"))?;
    let options = ApplyOptions { at_once: 2, ..ApplyOptions::default() };
    let applied = world.store.apply(&file, options, at(NOW)).await?;
    assert_eq!((applied.pull_requests_reattributed, applied.people_to_reattribute), (2, 1), "{applied}");
    world.fake.fail_next("acme/api", Fault::Status(401));
    assert_ne!(world.collect().await?.state, RunState::Succeeded);
    let halves: i64 = sqlx::query_scalar("select count(*) from pr_attributions where weight = 0.5")
        .fetch_one(&world.database.pool().await?)
        .await?;
    assert_eq!(halves, 5);
    assert!(!world.store.coverage().await?.is_reattributing);
    Ok(())
}

#[tokio::test]
async fn a_later_run_reads_only_changed_pages() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(350));
    world.collect().await?;
    world.fake.forget_requests();
    world
        .fake
        .put([merged(7).updated("2026-06-10T10:00:00Z").titled("edited"), merged(351).updated("2026-06-11T10:00:00Z")]);
    let report = world.collect().await?;
    assert_eq!(report.total(|result| result.changed), 2);
    let paths: Vec<String> = world.fake.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(paths, ["GET", "POST", "GET"], "one page for each repository, and one query for the changes");
    Ok(())
}

#[tokio::test]
async fn watermark_is_the_newest_update_not_the_clock() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1).updated("2026-06-03T10:00:00Z")]);
    world.collect().await?;
    let watermarks = world.watermarks().await?;
    assert_eq!(watermarks["acme/api"], Some(at("2026-06-03T10:00:00Z")));
    assert_eq!(watermarks["acme/web"], None, "nothing was seen there");
    Ok(())
}

#[tokio::test]
async fn f29_equal_timestamps_at_the_watermark_are_not_lost() -> Result<()> {
    let world = World::new().await?;
    world.fake.put((1..=150).map(merged));
    world.collect().await?;
    world.fake.put((151..=200).map(merged));
    world.collect().await?;
    assert_eq!(world.numbers().await?.len(), 200);
    Ok(())
}

#[tokio::test]
async fn f27_change_during_paging_is_stored_exactly_once() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    // After the first answer, the oldest one moves to the front and pushes all others down by one.
    world.fake.put_after(1, merged(1).updated("2026-06-14T10:00:00Z").titled("moved"));
    world.collect().await?;
    world.collect().await?;
    assert_eq!(world.numbers().await?, (1..=250).collect::<Vec<_>>());
    let title: String = sqlx::query_scalar("select title from pull_requests where number = 1")
        .fetch_one(&world.database.pool().await?)
        .await?;
    assert_eq!(title, "moved");
    Ok(())
}

#[tokio::test]
async fn first_run_stops_at_the_backfill_limit() -> Result<()> {
    let world = World::new().await?;
    let old = pr("acme/api", 1).created("2025-10-01T00:00:00Z").updated("2025-12-01T00:00:00Z");
    world.fake.put([old, merged(2)]);
    world.collect().await?;
    assert_eq!(world.numbers().await?, [2]);
    Ok(())
}

#[tokio::test]
async fn failing_repository_is_reported_without_stopping_the_others() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1)]);
    world.fake.break_repository("acme/web", Some(502));
    let report = world.collect().await?;
    assert_eq!(report.state, RunState::Partial);
    let failed: Vec<_> =
        report.failed().map(|f| (f.repository.to_string(), f.result.reason.clone().map(|e| e.code))).collect();
    assert_eq!(failed, [("acme/web".to_owned(), Some("github_status"))]);
    assert_eq!(world.numbers().await?, [1]);
    let ledger: Vec<(String, String, Option<String>)> = sqlx::query_as(
        "select n.state, r.state, r.error_code from collection_results as r
        inner join collection_runs as n on r.run_id = n.id order by r.repository_id",
    )
    .fetch_all(&world.database.pool().await?)
    .await?;
    let row = |state: &str, code: Option<&str>| ("partial".to_owned(), state.to_owned(), code.map(str::to_owned));
    assert_eq!(ledger, [row("succeeded", None), row("failed", Some("github_status"))]);
    Ok(())
}

#[tokio::test]
async fn repository_failing_midway_resumes_from_its_watermark() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    world.collect().await?;
    world.fake.put((1..=250).map(|number| {
        let mut again = merged(number).titled("second");
        again.updated_at += TimeDelta::days(5) + TimeDelta::minutes(number);
        again
    }));
    // The first page arrives, the second does not.
    world.fake.fail_next("acme/api", Fault::NonNumericLimits);
    world.fail(3, &Fault::Html);
    let report = world.collect().await?;
    assert_eq!(report.state, RunState::Partial);
    assert_eq!(world.watermarks().await?["acme/api"], Some(at("2026-06-02T14:10:01Z")), "it has not moved");
    world.collect().await?;
    let old: i64 = sqlx::query_scalar("select count(*) from pull_requests where title <> 'second'")
        .fetch_one(&world.database.pool().await?)
        .await?;
    assert_eq!(old, 0);
    Ok(())
}

#[tokio::test]
async fn a_bad_answer_deletes_and_zeroes_nothing() -> Result<()> {
    for fault in [
        Fault::Html,
        Fault::Truncated,
        Fault::GzipBomb,
        Fault::TruncatedJson,
        Fault::EmptyList,
        Fault::Status(404),
        Fault::Status(403),
        Fault::Status(410),
        Fault::Status(500),
    ] {
        let world = World::new().await?;
        world.fake.put(many(3));
        world.collect().await?;
        let before = world.database.digest().await?;
        // Every request fails, also for smaller and smaller parts.
        world.fail(100, &fault);
        assert_eq!(world.collect().await?.state, RunState::Partial, "{fault:?}");
        assert_eq!(world.database.digest().await?, before, "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_corrected_membership_sends_no_github_request() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(30));
    world.collect().await?;
    world.fake.forget_requests();
    world.apply("{ slug: payments, members: [{ github: ana, weight: 0.5, from: 2026-06-02T10:00:00Z }] }").await?;
    assert_eq!(world.fake.requests(), []);
    let weights: String = sqlx::query_scalar("select trim_scale(sum(weight))::text from pr_attributions")
        .fetch_one(&world.database.pool().await?)
        .await?;
    assert_eq!(weights, "15");
    Ok(())
}

#[tokio::test]
async fn a_new_member_triggers_rereading_the_window() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1), merged(2).by("bob")]);
    world.collect().await?;
    assert_eq!(world.numbers().await?, [1]);
    world.apply("{ slug: payments, members: [{ github: ana }, { github: bob }] }").await?;
    world.collect().await?;
    assert_eq!(world.numbers().await?, [1, 2]);
    Ok(())
}

#[tokio::test]
async fn concurrent_repositories_give_the_same_rows() -> Result<()> {
    let facts = async |concurrency: usize| -> Result<String> {
        let world = World::new().await?;
        world.fake.put(many(150));
        world.fake.put(
            (1..=150)
                .map(|number| pr("acme/web", number).created("2026-06-01T09:00:00Z").merged("2026-06-02T10:00:00Z")),
        );
        world.collect_at(at(NOW), concurrency).await?;
        let pool = world.database.pool().await?;
        let rows: Vec<String> = sqlx::query_scalar(
            "select r.name || p.number || p.updated_at || a.weight from pull_requests as p
            inner join repositories as r on p.repository_id = r.id inner join pr_attributions as a on a.pull_request_id = p.id order by 1",
        )
        .fetch_all(&pool)
        .await?;
        assert_eq!(rows.len(), 300);
        Ok(rows.join("\n"))
    };
    assert_eq!(facts(1).await?, facts(2).await?);
    Ok(())
}

#[tokio::test]
async fn f45_teams_file_applied_mid_run_sets_the_attributions() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(250));
    let first_page = Notify::new();
    let observer = |progress: Progress<'_>| {
        if let Progress::Page { .. } = progress {
            first_page.notify_one();
        }
    };
    // Slow enough that the file is applied between two pages.
    world.fake.set_latency(std::time::Duration::from_millis(200));
    let options = CollectOptions::at_a_terminal(at(NOW), TimeDelta::days(180), 1);
    let (run, applied) = tokio::join!(collect(&world.github, &world.store, &options, &observer), async {
        first_page.notified().await;
        world.apply("{ slug: payments, members: [{ github: ana, weight: 0.5 }] }").await
    });
    applied?;
    assert_eq!(run?.state, RunState::Succeeded);
    assert!(world.fake.requests().len() > 4, "three pages and one, and some again after the restart");
    let weights: Vec<(String, i64)> =
        sqlx::query_as("select trim_scale(weight)::text, count(*) from pr_attributions group by 1")
            .fetch_all(&world.database.pool().await?)
            .await?;
    assert_eq!(weights, [("0.5".to_owned(), 250)]);
    Ok(())
}

#[tokio::test]
async fn member_returning_under_a_new_login_keeps_history() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1)]);
    world.collect().await?;
    let renamed = FakeUser { login: "ana-b".to_owned(), ..FakeUser::person("ana") };
    world.fake.put([merged(1).by_user(Some(renamed.clone())), merged(2).by_user(Some(renamed))]);
    world.apply("{ slug: payments, members: [{ github: ana-b }] }").await?;
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    let (people, shares): (i64, i64) =
        sqlx::query_as("select (select count(*) from people), (select count(*) from pr_attributions)")
            .fetch_one(&world.database.pool().await?)
            .await?;
    assert_eq!((people, shares), (1, 2));
    Ok(())
}

#[tokio::test]
async fn rereading_for_a_new_member_loses_no_changes() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([merged(1).updated("2026-06-03T00:00:00Z")]);
    world.collect().await?;
    // The repository is not read for most of a year and changes in the meantime.
    world.fake.put([merged(2).updated("2026-07-01T00:00:00Z")]);
    world.apply("{ slug: payments, members: [{ github: ana }, { github: bob }] }").await?;
    world.collect_at(at("2027-04-01T00:00:00Z"), 1).await?;
    assert_eq!(world.numbers().await?, [1, 2]);
    Ok(())
}

#[tokio::test]
async fn g14_suddenly_empty_list_does_not_refresh_the_data() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.collect().await?;
    let before = (world.database.digest().await?, world.store.coverage().await?.data_as_of);
    world.fake.empty_list("acme/api");
    world.fake.empty_list("acme/web");
    world.collect_at(at("2026-06-16T12:00:00Z"), 1).await?;
    assert_eq!(world.database.digest().await?, before.0);
    assert_eq!(world.store.coverage().await?.data_as_of, before.1);
    Ok(())
}

#[tokio::test]
async fn a_wholly_undecodable_page_fails_its_repository() -> Result<()> {
    let world = World::new().await?;
    world.fake.put((1..=10).map(|number| merged(number).overriding("created_at", serde_json::Value::Null)));
    let report = world.collect().await?;
    let codes: Vec<_> =
        report.failed().filter_map(|failed| failed.result.reason.as_ref()).map(|error| error.code).collect();
    assert_eq!(codes, ["github_invalid_answer"]);
    Ok(())
}

#[tokio::test]
async fn without_a_teams_file_github_gets_no_request() -> Result<()> {
    let world = World::unconfigured().await?;
    let outcome = world.collect_at(at(NOW), 1).await;
    assert!(matches!(outcome, Err(CollectError::NotConfigured(_))), "{outcome:?}");
    assert_eq!(world.fake.requests(), []);
    Ok(())
}

#[tokio::test]
async fn token_appears_in_neither_database_nor_report() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.fake.fail_next("acme/web", Fault::Status(401));
    let report = world.collect().await?;
    assert!(!format!("{report:?} {report} {}", serde_json::to_string(&report)?).contains("canary"));
    let everything: Vec<String> = sqlx::query_scalar(
        "select r::text from collection_results as r union all select n::text from collection_runs as n",
    )
    .fetch_all(&world.database.pool().await?)
    .await?;
    assert!(!everything.join("\n").contains("canary"));
    Ok(())
}

#[tokio::test]
async fn account_renamed_mid_run_stays_one_person() -> Result<()> {
    let world = World::on_small_pages(0).await?;
    let teams = "{ slug: payments, members: [{ github: ana, to: 2026-06-02 }, { github: ana-b, from: 2026-06-02 }] }";
    world.apply(teams).await?;
    let renamed = FakeUser { login: "ana-b".to_owned(), ..FakeUser::person("ana") };
    // The rename falls between the rows of the second page, and between it and the first page.
    world.fake.put(many(8).map(|pull_request| match pull_request.number {
        1..=4 => pull_request.merged("2026-06-01T10:00:00Z"),
        _ => pull_request.by_user(Some(renamed.clone())),
    }));
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
    let state = "select concat_ws(' ', count(*), (select count(*) from people), (select login from accounts)) from pr_attributions";
    assert_eq!(world.texts(state).await?, ["8 1 ana-b"]);
    let before = world.database.digest().await?;
    world.apply(teams).await?;
    world.collect().await?;
    assert_eq!(world.database.digest().await?, before);
    Ok(())
}

/// An account under another login than its first one.
fn renamed(person: &str, login: &str) -> FakeUser {
    FakeUser { login: login.to_owned(), ..FakeUser::person(person) }
}

/// The team that each pull request counts for.
const COUNTED: &str = "select concat_ws(' ', p.number, t.slug) from pull_requests as p
    left join pr_attributions as a on a.pull_request_id = p.id left join teams as t on a.team_id = t.id order by p.number, t.slug";

/// The doubts after a run: the login, and the account number that it counts for or that should be written.
fn doubts(report: &RunReport) -> Vec<(&str, Option<i64>)> {
    let number = |doubt: &Doubt| {
        let id = match doubt {
            Doubt::TwoAccounts { counted, .. } => counted.id.as_ref(),
            Doubt::FormerLogin { successors, .. } => successors.first().and_then(|one| one.id.as_ref()),
        };
        id.and_then(|id| id.as_str().parse().ok())
    };
    report.doubts.iter().map(|doubt| (doubt.login().as_str(), number(doubt))).collect()
}

#[tokio::test]
async fn accounts_that_swap_logins_keep_their_teams() -> Result<()> {
    let old = "{ slug: pay, members: [{ github: ana }] }, { slug: web, members: [{ github: bob }] }";
    let corrected = "{ slug: pay, members: [{ github: bob }] }, { slug: web, members: [{ github: ana }] }";
    let (ana, bob) = (FakeUser::person("ana").id, FakeUser::person("bob").id);
    let numbered = &format!(
        "{{ slug: pay, members: [{{ github: bob, id: {ana} }}] }}, {{ slug: web, members: [{{ github: ana, id: {bob} }}] }}"
    );
    let exchanged = || {
        [merged(3).by_user(Some(renamed("ana", "bob"))), merged(4).by_user(Some(renamed("bob", "ana")))]
            .map(|pull_request| pull_request.updated("2026-06-10T10:00:00Z"))
    };
    let as_they_are = ["1 pay", "2 web", "3 pay", "4 web"];
    // The file is corrected after a run has seen the new logins.
    let world = World::unconfigured().await?;
    world.apply(old).await?;
    world.fake.put([merged(1), merged(2).by("bob")]);
    assert_eq!(doubts(&world.collect().await?), []);
    world.fake.put(exchanged());
    assert_eq!(doubts(&world.collect().await?), [("ana", Some(ana)), ("bob", Some(bob))]);
    assert_eq!(world.texts(COUNTED).await?, as_they_are);
    for _ in 0..2 {
        world.apply(corrected).await?;
        assert_eq!(doubts(&world.collect().await?), []);
        assert_eq!(world.texts(COUNTED).await?, as_they_are);
    }
    // It is corrected before that: the accounts are ambiguous until it has numbers.
    let world = World::unconfigured().await?;
    world.apply(old).await?;
    world.fake.put([merged(1), merged(2).by("bob")]);
    world.collect().await?;
    world.fake.put(exchanged());
    world.apply(corrected).await?;
    assert_eq!(doubts(&world.collect().await?), [("ana", Some(ana)), ("bob", Some(bob))]);
    for _ in 0..2 {
        world.apply(numbered).await?;
        assert_eq!(doubts(&world.collect().await?), []);
        assert_eq!(world.texts(COUNTED).await?, as_they_are);
    }
    Ok(())
}

#[tokio::test]
async fn taking_over_an_unseen_login_changes_no_team() -> Result<()> {
    let teams = "{ slug: pay, members: [{ github: ana, weight: 0.5 }] }, { slug: web, members: [{ github: carl, weight: 0.5 }] }";
    let world = World::unconfigured().await?;
    world.apply(teams).await?;
    world.fake.put([merged(1).by("carl")]);
    world.collect().await?;
    world.fake.put([merged(2).by_user(Some(renamed("carl", "ana"))).updated("2026-06-10T10:00:00Z")]);
    for _ in 0..2 {
        world.apply(teams).await?;
        let report = world.collect().await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
        assert_eq!(doubts(&report), [("ana", None)], "number of carl: {}", FakeUser::person("carl").id);
        assert_eq!(world.texts(COUNTED).await?, ["1 web", "2 web"]);
    }
    // Both in one team at the same time.
    let web = "{ slug: web, members: [{ github: ana }, { github: carl }] }";
    world.apply(&format!("{{ slug: pay, members: [{{ github: dora }}] }}, {web}")).await?;
    world.fake.put([merged(3).by_user(Some(renamed("carl", "ana"))).updated("2026-06-11T10:00:00Z")]);
    assert_eq!(outcome(&world.collect().await?, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.texts(COUNTED).await?, ["1 web", "2 web", "3 web"]);
    Ok(())
}

#[tokio::test]
async fn unseen_former_login_is_reported_until_ids_match() -> Result<()> {
    let teams = |id: &str| {
        format!(
            "{{ slug: pay, members: [{{ github: ana{id}, to: 2026-06-02 }}, {{ github: ana-b{id}, from: 2026-06-02 }}] }}"
        )
    };
    let number = FakeUser::person("ana").id;
    let numbered = teams(&format!(", id: {number}"));
    let pull_requests =
        || [merged(1).merged("2026-06-01T10:00:00Z"), merged(2)].map(|one| one.by_user(Some(renamed("ana", "ana-b"))));
    let world = World::unconfigured().await?;
    world.fake.put(pull_requests());
    world.apply(&teams("")).await?;
    let report = world.collect().await?;
    assert_eq!(doubts(&report), [("ana", Some(number))]);
    assert_eq!(world.texts(COUNTED).await?, ["1", "2 pay"]);
    for file in [&numbered, &numbered, &teams("")] {
        world.apply(file).await?;
        let report = world.collect().await?;
        assert_eq!((report.state, doubts(&report)), (RunState::Succeeded, vec![]));
        assert_eq!(world.texts(COUNTED).await?, ["1 pay", "2 pay"], "{file}");
    }
    // The number is written before any account was seen.
    let world = World::unconfigured().await?;
    world.fake.put(pull_requests());
    for file in [&teams(""), &numbered] {
        world.apply(file).await?;
    }
    world.collect().await?;
    assert_eq!(world.texts(COUNTED).await?, ["1 pay", "2 pay"]);
    world.apply(&teams("")).await?;
    assert_eq!(doubts(&world.collect().await?), []);
    assert_eq!(world.texts(COUNTED).await?, ["1 pay", "2 pay"]);
    Ok(())
}

/// The requests so far, one a line: method, path, whether they have an ETag, the ids in a GraphQL query, status.
fn written(requests: &[RecordedRequest]) -> String {
    let line = |request: &RecordedRequest| {
        let body = request.body.as_deref().and_then(|body| serde_json::from_str::<serde_json::Value>(body).ok());
        let ids = body.as_ref().and_then(|body| body["variables"]["ids"].as_array());
        let ids = ids.map(|ids| format!(" {} ids from {} to {}", ids.len(), ids[0], ids[ids.len() - 1]));
        // An ETag of the fake contains its address, which is another one each time.
        let etag = if request.etag.is_some() { " with an ETag" } else { "" };
        let ids = ids.unwrap_or_default();
        format!("{} {}{etag}{ids}: {}\n", request.method, request.path, request.status)
    };
    requests.iter().map(line).collect()
}

#[tokio::test]
async fn a_fixed_history_always_sends_the_same_requests() -> Result<()> {
    let world = World::new().await?;
    let mut log = String::new();
    let mut note = |title: &str, world: &World| {
        log.extend([format!("# {title}\n"), written(&world.fake.requests())]);
        world.fake.forget_requests();
    };
    let hours = |hours: i64| at(NOW) + TimeDelta::hours(hours);
    world.fake.put(many(330));
    world.fake.put((1..=7).map(|number| pr("acme/web", number).by("ana").updated("2026-06-01T00:00:00Z")));
    world.collect_at(hours(0), 1).await?;
    note("first run", &world);
    world.collect_at(hours(4), 1).await?;
    note("nothing has changed", &world);
    world.fake.put((40..=45).map(|number| merged(number).updated("2026-06-15T15:00:00Z")));
    world.collect_at(hours(8), 1).await?;
    note("six have changed", &world);
    world.fake.rename("acme/web", "acme/site");
    world.fake.put([pr("acme/site", 8).by("ana").created("2026-06-15T20:00:00Z")]);
    world.collect_at(hours(12), 1).await?;
    note("a repository is renamed", &world);
    world.apply("{ slug: payments, members: [{ github: ana }, { github: ben }] }").await?;
    world.fake.break_pull_request("acme/api", 200, Some(502));
    world.collect_at(hours(16), 1).await?;
    note("a member is new, and a row is unreadable", &world);
    world.fake.break_pull_request("acme/api", 200, None);
    world.fake.delete_pull_request("acme/api", 3);
    let verifies = CollectOptions::at_a_terminal(hours(60), TimeDelta::days(180), 1);
    world.collect_and(&CollectOptions { verifies: true, ..verifies }, |_| {}).await?;
    note("everything is compared, and one is gone", &world);
    world.fake.limit_page_size(30, 502);
    world.apply("{ slug: payments, members: [{ github: ana }, { github: cleo }] }").await?;
    world.fail(1, &Fault::SecondaryLimit { retry_after: 900 });
    world.collect_at(hours(64), 1).await?;
    note("a rate limit", &world);
    // The client itself remembers the limit, by a clock that does not jump.
    let later = |after: i64| CollectOptions::at_a_terminal(hours(after), TimeDelta::days(180), 1);
    world.collect_elsewhere(&later(68)).await?;
    note("a member is new, and large pages fail", &world);
    world.apply_to("acme/*", ANA).await?;
    world.fake.switch_off_pull_requests("acme/site");
    world.collect_elsewhere(&later(72)).await?;
    note("a pattern, and pull requests are switched off", &world);
    world.fake.empty_list("acme/api");
    world.collect_elsewhere(&later(76)).await?;
    note("a list is empty", &world);
    insta::assert_snapshot!(log);
    Ok(())
}

/// A second instance with `acme/lib`, and the clients of both.
async fn two_instances(world: &World, other: &FakeGitHub, token: &str) -> Result<Sources> {
    let second = InstanceId(2);
    other.require_token("ghp_canary");
    other.put((1..=3).map(|number| pr("acme/lib", number).by("ana")));
    world
        .execute("insert into repositories (instance_id, name, added_at) values (2, 'acme/lib', '2026-06-01')")
        .await?;
    let github = |sources: Sources| sources.get(InstanceId::GITHUB).cloned().context("GitHub");
    let clients = [
        (InstanceId::GITHUB, github(world.another_github()?)?),
        (second, github(connect_with(&other.url(), Some(token))?)?),
    ];
    Ok(clients.into_iter().collect())
}

#[tokio::test]
async fn refused_credentials_stop_only_their_own_instance() -> Result<()> {
    let (world, other) = (World::new().await?, FakeGitHub::start().await?);
    world.fake.put(many(3));
    let sources = two_instances(&world, &other, "ghp_wrong").await?;
    let options = CollectOptions::at_a_terminal(at(NOW), TimeDelta::days(180), 1);
    let report = collect(&sources, &world.store, &options, &|_| {}).await?;
    assert_eq!(outcome(&report, "acme/lib"), (ResultState::Failed, Some("github_unauthorized")));
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
    let refused: Vec<InstanceId> = report.refusals.iter().map(|refusal| refusal.instance).collect();
    assert_eq!(refused, [InstanceId(2)]);
    assert!(world.fake.requests().iter().all(|request| request.status == 200), "its own token");
    Ok(())
}

#[tokio::test]
async fn a_rate_limit_holds_only_at_its_instance() -> Result<()> {
    let (world, other) = (World::new().await?, FakeGitHub::start().await?);
    world.fake.put(many(3));
    let sources = two_instances(&world, &other, "ghp_canary").await?;
    other.fail_next("acme/lib", Fault::SecondaryLimit { retry_after: 900 });
    let options = CollectOptions::at_a_terminal(at(NOW), TimeDelta::days(180), 1);
    let report = collect(&sources, &world.store, &options, &|_| {}).await?;
    assert_eq!(outcome(&report, "acme/lib"), (ResultState::Deferred, Some("github_rate_limited")));
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
    let blocked = "select 'instance ' || instance_id || ': ' || kind from rate_limit_blocks";
    assert_eq!(world.texts(blocked).await?, ["instance 2: secondary"]);
    let known = world.store.rate_limit_blocks(InstanceId::GITHUB, at(NOW)).await?;
    assert_eq!(known, []);
    Ok(())
}

#[tokio::test]
async fn a_repository_without_a_client_fails_alone() -> Result<()> {
    let (world, other) = (World::new().await?, FakeGitHub::start().await?);
    world.fake.put(many(3));
    two_instances(&world, &other, "ghp_canary").await?;
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/lib"), (ResultState::Failed, Some("instance_not_collected")));
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.number("select count(*) from repositories where leased_until is not null").await?, 0);
    Ok(())
}
