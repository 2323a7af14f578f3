//! Unusual and broken answers from GitHub, through the whole collector. docs/faults.md has the table.

mod common;

use anyhow::Result;
use chrono::TimeDelta;
use common::{ANA, Log, NOW, World, connect_with, many, merged, options, outcome};
use mergeline_collector::CollectOptions;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakeCommit, FakeReview, FakeUser, Fault, HALF_A_PAIR, Layout, Refused, at, pr};
use mergeline_store::{ApplyOptions, ResultState, RunState};
use serde_json::{Value, json};

const TITLES: &str = "select title from pull_requests order by number";

#[tokio::test]
async fn g01_deleted_accounts_are_counted_but_not_attributed() -> Result<()> {
    let world = World::new().await?;
    let ghost = FakeUser { id: 10_137, ..FakeUser::person("ghost") };
    let of_a_ghost = FakeReview {
        user: None,
        state: "APPROVED".to_owned(),
        submitted_at: Some(at("2026-06-02T09:00:00Z")),
        dismissed_from: None,
    };
    let mut reviewed = merged(3);
    reviewed.reviews.push(of_a_ghost);
    world.fake.put([merged(1).by_user(None), merged(2).by_user(Some(ghost)), reviewed]);
    let report = world.collect().await?;
    assert_eq!(report.total(|result| result.skipped_ghost), 2);
    assert_eq!(world.numbers().await?, [3]);
    assert_eq!(world.number("select count(first_review_at) from pull_requests").await?, 0, "the reviewer is unknown");
    Ok(())
}

#[tokio::test]
async fn g01_deleted_member_account_keeps_its_stored_history() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.collect().await?;
    world.fake.put((1..=3).map(|number| merged(number).by_user(None).updated("2026-06-10T00:00:00Z")));
    world.collect().await?;
    assert_eq!(world.number("select count(*) from pr_attributions").await?, 3);
    Ok(())
}

#[tokio::test]
async fn g02_merge_before_creation_is_flagged_without_cycle_time() -> Result<()> {
    let world = World::new().await?;
    let mut imported = merged(1);
    imported.created_at = at("2026-06-05T00:00:00Z");
    world.fake.put([imported]);
    world.collect().await?;
    let row = "select concat_ws(' ', number, cycle_time_seconds, is_merged_before_creation, 'merged_before_creation' = any(flags))
        from pr_metrics";
    assert_eq!(world.texts(row).await?, ["1 t t"]);
    Ok(())
}

#[tokio::test]
async fn g03_closed_reopened_and_merged_counts_once_as_merged() -> Result<()> {
    let world = World::new().await?;
    let opened = pr("acme/api", 1).created("2026-06-01T09:00:00Z");
    let mut states = Vec::new();
    for state in [
        opened.clone(),
        opened.clone().closed("2026-06-02T09:00:00Z"),
        opened.clone().updated("2026-06-03T09:00:00Z"),
        opened.merged("2026-06-04T09:00:00Z"),
    ] {
        world.fake.put([state]);
        world.collect().await?;
        states.extend(world.texts("select state from pull_requests").await?);
    }
    assert_eq!(states, ["open", "closed", "open", "merged"]);
    assert_eq!(world.number("select count(*) from pr_attributions").await?, 1);
    Ok(())
}

#[tokio::test]
async fn g04_missing_draft_times_start_pickup_at_creation() -> Result<()> {
    let world = World::new().await?;
    // A draft since the 1st at noon; GitHub no longer says when it became ready.
    let mut merged_draft = merged(1).drafted_at("2026-06-01T12:00:00Z").reviewed_by("bob", "2026-06-01T19:00:00Z");
    merged_draft.draft = false;
    world.fake.put([merged_draft]);
    world.collect().await?;
    let row = "select concat_ws(' ', pickup_seconds::bigint, 'draft_times_missing' = any(flags)) from pr_metrics";
    assert_eq!(world.texts(row).await?, [format!("{} t", 10 * 3_600)]);
    Ok(())
}

#[tokio::test]
async fn g05_new_fields_and_unknown_kinds_are_accepted() -> Result<()> {
    let world = World::new().await?;
    let mannequin = FakeUser { kind: "Mannequin".to_owned(), ..FakeUser::person("ana") };
    let mut unusual = merged(1).by_user(Some(mannequin)).overriding("brand_new", json!({ "a": [1, null] }));
    unusual.reviews.push(FakeReview {
        user: Some(FakeUser::person("bob")),
        state: "PONDERED".to_owned(),
        submitted_at: Some(at("2026-06-01T19:00:00Z")),
        dismissed_from: None,
    });
    world.fake.put([unusual.overriding("author_association", json!("OVERLORD"))]);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    assert_eq!(world.number("select count(*) from pull_requests where first_review_at is not null").await?, 1);
    Ok(())
}

#[tokio::test]
async fn g06_only_pull_request_missing_a_field_is_quarantined() -> Result<()> {
    for field in ["id", "created_at", "updated_at"] {
        let world = World::new().await?;
        world.fake.put([merged(1), merged(2).overriding(field, Value::Null), merged(3)]);
        let report = world.collect().await?;
        assert_eq!(report.total(|result| result.quarantined), 1, "{field}");
        assert_eq!(world.numbers().await?, [1, 3], "{field}");
        assert_eq!(world.texts("select number::text from quarantined_pull_requests").await?, ["2"], "{field}");
    }
    Ok(())
}

#[tokio::test]
async fn g06_a_purely_descriptive_field_may_be_null() -> Result<()> {
    for field in ["title", "state", "draft", "base", "node_id"] {
        let world = World::new().await?;
        world.fake.put([merged(1), merged(2).overriding(field, Value::Null), merged(3)]);
        let report = world.collect().await?;
        assert_eq!((report.state, report.total(|result| result.quarantined)), (RunState::Succeeded, 0), "{field}");
        assert_eq!(world.numbers().await?, [1, 2, 3], "{field}");
    }
    Ok(())
}

const DETAILED: &str = "select count(*) from pull_requests where detailed_at = updated_at";

#[tokio::test]
async fn g07_partial_graphql_answer_is_discarded_and_retried_whole() -> Result<()> {
    for (kind, with_data) in
        [("", true), ("", false), ("NOT_FOUND", true), ("FORBIDDEN", true), ("SERVICE_UNAVAILABLE", false)]
    {
        let world = World::new().await?;
        world.fake.put(many(4));
        world.fake.fail_next_graphql(Fault::GraphqlErrors { kind: kind.to_owned(), with_data });
        let report = world.collect().await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None), "{kind}");
        assert_eq!(world.number(DETAILED).await?, 4, "{kind}");
        assert_eq!(report.repositories[0].result.graphql_requests, 3, "{kind}: all, then halves");
    }
    Ok(())
}

#[tokio::test]
async fn g07_forbidden_commits_cost_one_query_and_are_deferred() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(4));
    world.fake.withhold_commits();
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(report.repositories[0].result.graphql_requests, 1);
    assert_eq!(world.number("select count(*) from pull_requests where detail_retry_at is not null").await?, 4);
    assert_eq!(world.collect().await?.total(|result| result.graphql_requests), 0);
    Ok(())
}

#[tokio::test]
async fn first_commit_is_earliest_across_all_commit_pages() -> Result<()> {
    let world = World::new().await?;
    let mut long = merged(1);
    long.commits = (1..=250_i64)
        .map(|number| {
            // The list is ordered by ancestry: the commit written first can be anywhere.
            let days_before = if number == 230 { 30 } else { 2 };
            let at = long.created_at - TimeDelta::days(days_before);
            FakeCommit { authored_at: at, committed_at: at }
        })
        .collect();
    world.fake.put([long, merged(2)]);
    let report = world.collect().await?;
    let coding =
        "select concat_ws(' ', number, round(coding_seconds)::bigint / 3600, flags) from pr_metrics order by number";
    assert_eq!(world.texts(coding).await?, ["1 720 {}", "2 1 {}"]);
    assert_eq!(report.total(|result| result.graphql_requests), 3, "two further pages of commits");
    Ok(())
}

#[tokio::test]
async fn incomplete_commit_list_leaves_coding_unknown_and_flagged() -> Result<()> {
    for fault in ["few", "circle", "FORBIDDEN", "RESOURCE_LIMITS_EXCEEDED", "502", "truncated"] {
        let world = World::new().await?;
        let mut long = merged(1).reviewed_by("bob", "2026-06-01T19:00:00Z");
        let commit = FakeCommit { authored_at: at("2026-05-30T09:00:00Z"), committed_at: at("2026-05-30T09:00:00Z") };
        long.commits = vec![commit; 150];
        world.fake.put([long]);
        world.fake.fail_next_graphql(Fault::Nothing);
        match fault {
            "few" => world.fake.limit_listed_commits(120),
            "circle" => world.fake.repeat_cursors(),
            "502" => (0..3).for_each(|_| world.fake.fail_next_graphql(Fault::Status(502))),
            "truncated" => (0..3).for_each(|_| world.fake.fail_next_graphql(Fault::Truncated)),
            kind => world.fake.fail_next_graphql(Fault::GraphqlErrors { kind: kind.to_owned(), with_data: true }),
        }
        assert_eq!(world.collect().await?.state, RunState::Succeeded);
        let phases = "select concat_ws(' ', coalesce(coding_seconds::text, '-'), pickup_seconds::bigint / 3600, flags) from pr_metrics";
        assert_eq!(world.texts(phases).await?, ["- 10 {commits_incomplete}"], "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn review_after_merge_is_flagged_without_pickup_time() -> Result<()> {
    let world = World::new().await?;
    // Merged after 25 hours, reviewed after 72.
    world.fake.put([
        merged(1).reviewed_by("bob", "2026-06-04T09:00:00Z"),
        merged(2).reviewed_by("bob", "2026-06-02T09:00:00Z"),
    ]);
    world.collect().await?;
    let phases = "select concat_ws(' ', number, coalesce((pickup_seconds / 3600)::text, '-'),
            coalesce((review_seconds / 3600)::text, '-'), flags) from pr_metrics order by number";
    assert_eq!(world.texts(phases).await?, ["1 - - {reviewed_after_merge}", "2 24 1 {}"]);
    let counted =
        "select concat_ws(' ', phase, n, median_hours) from view_team_phases where unit = 'week' order by phase";
    assert_eq!(world.texts(counted).await?, ["coding 2 1", "pickup 1 24", "review 1 1"]);
    let longer = "select count(*) from pr_metrics where coalesce(pickup_seconds, 0) + coalesce(review_seconds, 0) > cycle_time_seconds";
    assert_eq!(world.number(longer).await?, 0);
    Ok(())
}

#[tokio::test]
async fn g16_lone_surrogate_does_not_block_storage_or_phases() -> Result<()> {
    let world = World::new().await?;
    let odd = format!("Fix {HALF_A_PAIR}");
    let reviewer = FakeUser { login: format!("bo{HALF_A_PAIR}b"), ..FakeUser::person("bob") };
    let review = FakeReview {
        user: Some(reviewer),
        state: "APPROVED".to_owned(),
        submitted_at: Some(at("2026-06-01T19:00:00Z")),
        dismissed_from: None,
    };
    let mut second = merged(2).titled(&odd).review(review);
    second.base_ref = format!("release/{HALF_A_PAIR}");
    world.fake.put([merged(1).titled(&odd), second, merged(3)]);
    let report = world.collect().await?;
    assert_eq!((report.state, report.total(|result| result.quarantined)), (RunState::Succeeded, 0));
    assert_eq!(world.texts(TITLES).await?, ["Fix \u{fffd}", "Fix \u{fffd}", "Change 3"]);
    assert_eq!(world.number(DETAILED).await?, 3);
    assert_eq!(world.number("select count(first_review_at) from pull_requests").await?, 1);
    Ok(())
}

#[tokio::test]
async fn graphql_refusal_logs_count_first_number_and_message() -> Result<()> {
    let lacking = |log: &Log| -> Result<String> {
        let text = log.text()?;
        let mut lines = text.lines().filter(|line| line.contains("no phases of"));
        let line = lines.next().unwrap_or_default().to_owned();
        assert_eq!(lines.count(), 0, "one line for all of them: {text}");
        Ok(line)
    };
    let numbers = || (6..10).map(merged);
    // Every query is refused, for several of them and for each alone.
    for (kind, words) in [
        (
            "NOT_FOUND",
            "no phases of 4 pull requests, the first #6: GitHub's response is incomplete: Could not resolve to a node",
        ),
        (
            "FORBIDDEN",
            "no phases of 4 pull requests, the first #6: GitHub's response is incomplete: Resource not accessible by",
        ),
    ] {
        let world = World::new().await?;
        world.fake.put(numbers());
        let fault = Fault::GraphqlErrors { kind: kind.to_owned(), with_data: false };
        (0..7).for_each(|_| world.fake.fail_next_graphql(fault.clone()));
        let log = Log::start()?;
        let report = world.collect().await?;
        assert!(report.to_string().ends_with("; 4 pull requests lack phases"), "{report}");
        let line = lacking(&log)?;
        assert!(line.contains(words) && line.contains(kind), "{line}");
        assert!(!line.contains("PR_") && !log.text()?.contains("PR_"), "node ids do not help a reader: {line}");
    }
    let world = World::new().await?;
    world.fake.put(numbers());
    world.fake.withhold_commits();
    let log = Log::start()?;
    let report = world.collect().await?;
    assert!(report.to_string().ends_with("; 4 pull requests lack phases"), "{report}");
    let line = lacking(&log)?;
    assert!(line.contains("no phases of 4 pull requests, the first #6: the token may not read all"), "{line}");
    assert!(line.contains("read access to contents") && !log.text()?.contains("PR_"), "{line}");
    drop(log);
    // A run that does not request them still counts them.
    let later = world.collect().await?;
    assert_eq!((later.total(|result| result.graphql_requests), later.total(|result| result.without_details)), (0, 4));
    let world = World::new().await?;
    world.fake.put(many(4));
    assert!(!world.collect().await?.to_string().contains("lack"));
    Ok(())
}

#[tokio::test]
async fn without_a_token_public_repositories_skip_graphql() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(4));
    world.fake.require_no_token();
    let anonymous = connect_with(&world.fake.url(), None)?;
    let report = world.collect_with(&anonymous, &options(), |_| {}).await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.numbers().await?, [1, 2, 3, 4]);
    assert_eq!(report.total(|result| result.graphql_requests), 0);
    // Nothing was given up permanently.
    world.collect().await?;
    assert_eq!(world.number(DETAILED).await?, 4);
    Ok(())
}

const REVIEWS: &str =
    "select concat_ws(' ', p.number, v.place, coalesce(a.login, '-'), to_char(v.submitted_at, 'HH24:MI'))
    from pull_request_reviews as v
    inner join pull_requests as p on v.pull_request_id = p.id
    left join accounts as a on v.reviewer_id = a.person_id
    order by p.number, v.place";

/// A review at an hour of June 1.
fn reviewed(user: Option<FakeUser>, state: &str, hour: Option<u32>) -> FakeReview {
    let submitted_at = hour.map(|hour| at(&format!("2026-06-01T{hour:02}:00:00Z")));
    FakeReview { user, state: state.to_owned(), submitted_at, dismissed_from: None }
}

const ANA_AND_BOB: &str = "{ slug: payments, members: [{ github: ana }, { github: bob }] }";

#[tokio::test]
async fn reviews_by_other_people_are_stored_and_replaced() -> Result<()> {
    let world = World::unconfigured().await?;
    world.apply(ANA_AND_BOB).await?;
    let person = |login| Some(FakeUser::person(login));
    let renamed = FakeUser { login: "bobby".to_owned(), ..FakeUser::person("bob") };
    let impostor = FakeUser { id: 77, ..FakeUser::person("bob") };
    let own = pr("acme/api", 1).by("bob").created("2026-05-20T09:00:00Z").merged("2026-05-20T10:00:00Z");
    let first = merged(2)
        .review(reviewed(person("carla"), "APPROVED", Some(19)))
        .review(reviewed(person("bob"), "COMMENTED", Some(18)))
        .review(reviewed(Some(renamed), "CHANGES_REQUESTED", Some(20)))
        .review(reviewed(Some(impostor), "COMMENTED", Some(21)))
        .review(reviewed(person("ana"), "COMMENTED", Some(11)))
        .review(reviewed(Some(FakeUser::bot("renovate")), "APPROVED", Some(12)))
        .review(reviewed(None, "APPROVED", Some(13)))
        .review(reviewed(person("bob"), "PENDING", None));
    world.fake.put([own, first.clone(), merged(3).dismissed_approval_by("bob", "2026-06-01T15:00:00Z")]);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    let dismissed = "3 1 bob 15:00";
    assert_eq!(
        world.texts(REVIEWS).await?,
        ["2 1 bob 18:00", "2 2 - 19:00", "2 3 bob 20:00", "2 4 - 21:00", dismissed]
    );
    // Somebody's account is gone, and with it a review.
    let mut fewer = first.updated("2026-06-10T09:00:00Z");
    fewer.reviews.truncate(1);
    world.fake.put([fewer]);
    world.collect().await?;
    assert_eq!(world.texts(REVIEWS).await?, ["2 1 - 19:00", dismissed]);
    // Nothing else is known of somebody outside.
    assert_eq!(world.number("select count(*) from accounts where login = 'carla'").await?, 0);
    world.apply("{ slug: payments, members: [{ github: ana }, { github: bob }, { github: carla }] }").await?;
    let report = world.collect().await?;
    assert_eq!(world.texts(REVIEWS).await?, ["2 1 carla 19:00", dismissed], "she was added");
    assert_eq!(report.total(|result| result.graphql_requests), 1, "only what somebody outside reviewed");
    Ok(())
}

#[tokio::test]
async fn all_pages_of_reviews_are_stored() -> Result<()> {
    let world = World::new().await?;
    let mut discussed = merged(1);
    for minute in 0..170 {
        discussed.reviews.push(FakeReview {
            submitted_at: Some(at("2026-06-01T10:00:00Z") + TimeDelta::minutes(minute)),
            ..reviewed(Some(FakeUser::person("bob")), "COMMENTED", None)
        });
    }
    world.fake.put([discussed.clone()]);
    assert_eq!(world.collect().await?.total(|result| result.graphql_requests), 3, "50, 100 and 20 reviews");
    let known = "select concat_ws(' ', (select count(*) from pull_request_reviews), has_unread_reviews, reviews_at = updated_at)
        from pull_requests";
    assert_eq!(world.texts(known).await?, ["170 f t"]);
    // More than are read: 50 on the first page, and 50 further ones.
    let last = discussed.reviews[0].clone();
    discussed.reviews.resize(5_051, last);
    world.fake.put([discussed.updated("2026-06-10T09:00:00Z")]);
    world.collect().await?;
    assert_eq!(world.texts(known).await?, ["5050 t t"]);
    Ok(())
}

#[tokio::test]
async fn reviews_that_an_earlier_version_did_not_keep_are_read_within_the_budget() -> Result<()> {
    let world = World::new().await?;
    world.fake.put((1..=3).map(|number| merged(number).reviewed_by("bob", "2026-06-01T19:00:00Z")));
    world.collect().await?;
    world.execute("delete from pull_request_reviews; update pull_requests set reviews_at = null").await?;
    let report = world.collect_elsewhere(&CollectOptions { details: false, ..options() }).await?;
    assert_eq!(report.total(|result| result.without_details), 0);
    assert_eq!(world.number(DETAILED).await?, 3, "what is known stays known");
    assert_eq!(world.number("select count(*) from pull_request_reviews").await?, 0);
    let report = world.collect().await?;
    assert_eq!(report.total(|result| result.graphql_requests), 1);
    assert_eq!(world.texts(REVIEWS).await?, ["1 1 - 19:00", "2 1 - 19:00", "3 1 - 19:00"]);
    assert_eq!(world.collect().await?.total(|result| result.graphql_requests), 0);
    Ok(())
}

#[tokio::test]
async fn configured_bots_stop_counting_as_human_reviewers() -> Result<()> {
    let world = World::new().await?;
    let robot = "2026-06-01T10:00:00Z";
    world.fake.put([merged(1).approved_by("acme-ci", robot).reviewed_by("bob", "2026-06-01T19:00:00Z")]);
    let first_review = || world.texts("select to_char(first_review_at, 'HH24:MI') from pull_requests");
    let first_approval = || world.number("select count(first_approval_at) from pull_requests");
    for (bots, reviewed, approvals) in [("", "10:00", 1), ("bots: [Acme-CI]", "19:00", 0), ("bots: []", "10:00", 1)] {
        let text = format!("version: 1\nrepositories: [acme/api, acme/web]\n{bots}\nteams: [{ANA}]\n");
        let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
        world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
        assert_eq!(world.collect().await?.state, RunState::Succeeded);
        assert_eq!(first_review().await?, [reviewed], "{bots}");
        assert_eq!(first_approval().await?, approvals, "{bots}");
    }
    Ok(())
}

#[tokio::test]
async fn g08_oversized_graphql_query_is_split_in_half() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(40));
    world.fake.limit_graphql_nodes(10);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    assert_eq!(world.number(DETAILED).await?, 40);
    Ok(())
}

#[tokio::test]
async fn g09_each_kind_of_refusal_has_its_own_code() -> Result<()> {
    for (fault, state, code) in [
        (Fault::RateLimited { reset: 4_000_000_000 }, ResultState::Deferred, "github_rate_limited"),
        (Fault::ResourceNotAccessible, ResultState::Failed, "github_forbidden"),
        (Fault::SamlSso, ResultState::Failed, "github_sso_required"),
        (Fault::Refused(Refused::IpAllowList), ResultState::Failed, "github_ip_not_allowed"),
        (Fault::Refused(Refused::ClassicToken), ResultState::Failed, "github_token_not_allowed"),
        (Fault::Refused(Refused::Blocked), ResultState::Failed, "repo_unavailable"),
    ] {
        let world = World::new().await?;
        world.fake.fail_next("acme/api", fault);
        let report = world.collect_and(&options(), |_| {}).await?;
        assert_eq!(outcome(&report, "acme/api"), (state, Some(code)));
    }
    Ok(())
}

#[tokio::test]
async fn g10_inaccessible_repository_error_says_what_to_check() -> Result<()> {
    let world = World::new().await?;
    world.apply_to("acme/api, acme/web, acme/secret", ANA).await?;
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/secret"), (ResultState::Failed, Some("repo_not_accessible")));
    let message = report.failed().find_map(|failed| failed.result.reason.clone()).map(|reason| reason.message);
    assert!(message.as_ref().is_some_and(|message| message.contains("the token may not see it")), "{message:?}");
    Ok(())
}

#[tokio::test]
async fn enterprise_server_provides_details_and_follows_renames() -> Result<()> {
    let world = World::unconfigured_on(Layout::EnterpriseServer).await?;
    world.apply(ANA).await?;
    world.fake.put(many(4));
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.number(DETAILED).await?, 4);
    world.fake.rename("acme/api", "acme/core");
    world.fake.put([merged(5).updated("2026-06-14T00:00:00Z")]);
    world.collect().await?;
    assert_eq!(world.number(DETAILED).await?, 5);
    Ok(())
}

#[tokio::test]
async fn g11_cross_host_redirect_fails_without_leaking_the_token() -> Result<()> {
    let elsewhere = mergeline_fake_github::FakeGitHub::start().await?;
    let world = World::new().await?;
    let address = format!("{}/repositories/1/pulls?page=2", elsewhere.url());
    world.fake.put(many(150));
    world.fake.fail_next("acme/api", Fault::RedirectTo(address.clone()));
    assert_eq!(outcome(&world.collect().await?, "acme/api"), (ResultState::Failed, Some("github_cross_host_redirect")));
    // Links are not followed, so their target does not matter.
    world.fake.set_link_address(&elsewhere.url());
    assert_eq!(outcome(&world.collect().await?, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(world.numbers().await?, (1..=150).collect::<Vec<_>>());
    assert_eq!(elsewhere.requests(), []);
    Ok(())
}

#[tokio::test]
async fn g13_unsolicited_304_does_not_mean_empty_repository() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.fake.fail_next("acme/api", Fault::NotModified);
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some("github_invalid_answer")));
    assert_eq!(world.number("select count(covered_since) from repositories where name = 'acme/api'").await?, 0);
    Ok(())
}

#[tokio::test]
async fn g13_unsolicited_304_does_not_extend_coverage() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.collect().await?;
    // The ETag is lost and there is a new member: everything must be read again.
    world.execute("update repositories set etag = null").await?;
    world.fake.put([merged(4).by("bob")]);
    world.apply("{ slug: payments, members: [{ github: ana }, { github: bob }] }").await?;
    world.fake.fail_next("acme/api", Fault::NotModified);
    world.collect().await?;
    assert_eq!(world.number("select count(reopened_since) from repositories where name = 'acme/api'").await?, 1);
    world.collect().await?;
    assert_eq!(world.numbers().await?, [1, 2, 3, 4]);
    Ok(())
}

#[tokio::test]
async fn g14_empty_page_does_not_end_a_backfill() -> Result<()> {
    // During the first reading, by creation; each page is requested three times at most.
    for (after, times) in [(1, 1), (2, 1), (3, 1), (1, 3), (2, 3)] {
        let world = World::on_small_pages(12).await?;
        let empty = |pages| {
            if pages == after {
                world.fail(times, &Fault::EmptyList);
            }
        };
        world.collect_and(&options(), empty).await?;
        // The last of these answers may reach the next run.
        world.collect().await?;
        world.collect().await?;
        assert_eq!(world.numbers().await?, (1..=12).collect::<Vec<_>>(), "after {after}, {times} times");
    }
    Ok(())
}

#[tokio::test]
async fn g14_empty_page_does_not_end_incremental_listing() -> Result<()> {
    for times in [1, 3] {
        let world = World::on_small_pages(12).await?;
        world.collect().await?;
        world.set_page_size(3).await?;
        world.fake.put(many(12).map(|changed| changed.updated("2026-06-10T00:00:00Z").titled("changed")));
        let empty = |pages| {
            if pages == 2 {
                world.fail(times, &Fault::EmptyList);
            }
        };
        world.collect_and(&options(), empty).await?;
        world.collect().await?;
        assert_eq!(world.number("select count(*) from pull_requests where title = 'changed'").await?, 12, "{times}");
    }
    Ok(())
}

#[tokio::test]
async fn g14_backfill_ends_when_its_last_page_empties() -> Result<()> {
    let world = World::on_small_pages(10).await?;
    // The only pull request of the fourth page is deleted after three pages are stored.
    let delete = |pages| {
        if pages == 3 {
            world.fake.delete_pull_request("acme/api", 10);
        }
    };
    assert_eq!(world.collect_and(&options(), delete).await?.state, RunState::Succeeded);
    assert_eq!(world.number("select count(*) from repositories where backfill_order is not null").await?, 0);
    Ok(())
}

#[tokio::test]
async fn g15_truncated_single_answer_does_not_quarantine_anything() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    world.collect().await?;
    world.fake.delete_pull_request("acme/api", 2);
    // The list is complete; then #2 is requested by number.
    let half = |_| world.fail(2, &Fault::TruncatedJson);
    world.collect_and(&CollectOptions { verifies: true, ..options() }, half).await?;
    assert_eq!(world.number("select count(*) from quarantined_pull_requests").await?, 0);
    Ok(())
}

#[tokio::test]
async fn g15_endless_answer_shrinks_pages_and_then_fails() -> Result<()> {
    let world = World::new().await?;
    world.fake.put(many(3));
    // The requests: 100 pull requests; the length of the list by its five newest rows and by the oldest; pages of 50,
    // 25 and 5; then five alone; then the newest and the oldest.
    world.fail(17, &Fault::GzipBomb);
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some("github_too_much")));
    assert_eq!(world.asked_about("acme/api").len(), 17);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    Ok(())
}

#[tokio::test]
async fn g16_titles_are_stripped_of_controls_and_truncated() -> Result<()> {
    let world = World::new().await?;
    let long = "x".repeat(64 * 1024);
    let titles = ["a\0b", "\u{202e}rtl", "🎉 \u{1b}[31mred", &long, "'; drop table pull_requests; --"];
    world.fake.put(titles.iter().zip(1..).map(|(title, number)| merged(number).titled(title)));
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    let expected = ["ab", "\u{202e}rtl", "🎉 [31mred", &long[..900], "'; drop table pull_requests; --"];
    assert_eq!(world.texts(TITLES).await?, expected);
    Ok(())
}

#[tokio::test]
async fn g17_valid_times_parse_and_absurd_ones_are_quarantined() -> Result<()> {
    let world = World::new().await?;
    world.fake.put([
        merged(1).overriding("merged_at", json!("2026-06-02T12:00:00.123456789+02:00")),
        merged(2).overriding("updated_at", json!("9999-12-31T23:59:59Z")),
        merged(3).overriding("created_at", json!("0001-01-01T00:00:00Z")),
        merged(4).overriding("created_at", json!("yesterday")),
    ]);
    world.collect().await?;
    let merges = "select to_char(merged_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.MS') from pull_requests";
    assert_eq!(world.texts(merges).await?, ["2026-06-02 10:00:00.123"]);
    assert_eq!(world.texts("select number::text from quarantined_pull_requests order by 1").await?, ["2", "3", "4"]);
    assert_eq!(world.watermarks().await?["acme/api"], Some(at("2026-06-02T10:00:01Z")));
    Ok(())
}

#[tokio::test]
async fn g18_unusable_numbers_are_quarantined_by_inferred_number() -> Result<()> {
    let world = World::new().await?;
    let numbers = [json!(0), json!(-7), json!(2_147_483_648_i64), json!(9_300_000_000_000_000_000_u64), json!("seven")];
    world.fake.put([merged(1)]);
    world.fake.put(numbers.into_iter().zip(2..).map(|(number, at)| merged(at).overriding("number", number)));
    let report = world.collect().await?;
    assert_eq!(outcome(&report, "acme/api"), (ResultState::Succeeded, None));
    assert_eq!(report.total(|result| result.quarantined), 5);
    assert_eq!(world.numbers().await?, [1]);
    let quarantined = "select number::text from quarantined_pull_requests order by number";
    assert_eq!(world.texts(quarantined).await?, ["2", "3", "4", "5", "6"]);
    world.fake.put((2..=6).map(merged));
    world.collect_at(at("2026-06-15T14:00:00Z"), 1).await?;
    assert_eq!(world.numbers().await?, [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.texts(quarantined).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn g19_pull_request_on_two_pages_is_stored_once() -> Result<()> {
    let world = World::on_small_pages(9).await?;
    world.collect().await?;
    world.set_page_size(3).await?;
    let changed = |number| merged(number).titled("changed").updated("2026-06-10T00:00:00Z");
    world.fake.put((1..=9).map(changed));
    // It moves to the front after the first page, so the last row of that page is the first of the second.
    world.fake.put_after(1, merged(1).titled("newest").updated("2026-06-11T00:00:00Z"));
    let report = world.collect().await?;
    // The last one moved to the front in the meantime, and the next run reads it.
    assert_eq!((report.repositories[0].result.listed, world.numbers().await?.len()), (8, 9));
    world.collect().await?;
    assert_eq!(world.number("select count(*) from pull_requests where title in ('changed', 'newest')").await?, 9);
    Ok(())
}

#[tokio::test]
async fn g20_work_continues_without_usable_rate_limit_headers() -> Result<()> {
    for fault in [Fault::NonNumericLimits, Fault::ZeroOfZero] {
        let world = World::new().await?;
        world.fake.put(many(3));
        world.fake.fail_next("acme/api", fault.clone());
        assert_eq!(world.collect().await?.state, RunState::Succeeded, "{fault:?}");
    }
    let world = World::new().await?;
    world.fake.put(many(3));
    world.fake.hide_rate_limit_headers(true);
    let report = world.collect().await?;
    assert_eq!((report.state, report.repositories[0].result.rate_limit_remaining), (RunState::Succeeded, None));
    Ok(())
}

#[tokio::test]
async fn g21_unavailable_repository_keeps_its_stored_history() -> Result<()> {
    for status in [410, 451] {
        let world = World::new().await?;
        world.fake.put(many(3));
        world.collect().await?;
        world.fake.break_repository("acme/api", Some(status));
        let report = world.collect().await?;
        assert_eq!(outcome(&report, "acme/api"), (ResultState::Failed, Some("repo_unavailable")), "{status}");
        assert_eq!(world.number("select count(*) from pr_attributions").await?, 3, "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn g22_proxy_html_is_retried_and_never_means_empty() -> Result<()> {
    for (times, state) in [(2, ResultState::Succeeded), (3, ResultState::Failed)] {
        let world = World::new().await?;
        world.fake.put(many(3));
        world.fail(times, &Fault::Html);
        assert_eq!(outcome(&world.collect().await?, "acme/api").0, state, "{times}");
    }
    Ok(())
}

#[tokio::test]
async fn g23_missing_labels_branches_and_forks_are_accepted() -> Result<()> {
    let world = World::new().await?;
    let mut forked = merged(1);
    forked.is_fork_gone = true;
    world.fake.put([
        forked,
        merged(2).overriding("labels", Value::Null),
        merged(3).overriding("base", Value::Null),
        merged(4).overriding("head", Value::Null),
        merged(5).overriding("draft", Value::Null).overriding("node_id", Value::Null),
        merged(6).overriding("base", json!({ "ref": "main", "repo": null })),
    ]);
    assert_eq!(world.collect().await?.state, RunState::Succeeded);
    assert_eq!(world.numbers().await?, [1, 2, 3, 4, 5, 6]);
    assert_eq!(
        world.number("select count(*) from pull_requests where base_ref = 'main'").await?,
        6,
        "GraphQL knows too"
    );
    Ok(())
}
