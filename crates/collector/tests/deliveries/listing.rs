//! Readings of the list of deployments that stop in the middle, and states that come late.

use anyhow::Result;
use chrono::TimeDelta;
use mergeline_fake_github::{FakeDeployment, FakeGitCommit, Fault, at, deployment};
use mergeline_store::RunState;

use super::{collect_all, collect_all_at, commit, merged_as, oid};
use crate::common::World;

/// Deployments of the same commit with these numbers, an hour apart, the first one in May.
fn hourly(numbers: std::ops::RangeInclusive<i64>) -> impl Iterator<Item = FakeDeployment> {
    numbers.map(|number| {
        let time = (at("2026-05-20T00:00:00Z") + TimeDelta::hours(number)).to_rfc3339();
        deployment("acme/api", number, &oid(1), &time).status("success", &time)
    })
}

async fn world() -> Result<World> {
    let world = World::new().await?;
    world.fake.put_commits("acme/api", [commit(1, &[], "2026-05-01T08:00:00Z")]);
    Ok(world)
}

/// The second page of the list of deployments does not exist, after so many requests.
fn fail_second_page(world: &World, before: usize) {
    world.fail(before, &Fault::Nothing);
    world.fake.fail_next("acme/api", Fault::Status(404));
}

const STORED: &str = "select count(*) from deployments where outcome = 'succeeded'";
const READ: &str =
    "select count(*) from deployment_progress as p inner join repositories as r on p.repository_id = r.id
    where r.name = 'acme/api' and p.read_at is not null";

#[tokio::test]
async fn what_is_behind_a_failed_page_is_read_by_the_next_run() -> Result<()> {
    let world = world().await?;
    world.fake.put_deployments(hourly(1..=1));
    collect_all_at(&world, "2026-05-20T02:00:00Z").await?;
    assert_eq!((world.number(STORED).await?, world.number(READ).await?), (1, 1));
    world.fake.put_deployments(hourly(2..=250));
    fail_second_page(&world, 2);
    collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
    assert_eq!(world.number("select count(*) from deployments").await?, 101, "the first page");
    let problem = "select problem from deployment_progress where problem is not null";
    assert_eq!(world.texts(problem).await?, ["no_permission"]);
    collect_all_at(&world, "2026-06-15T20:00:00Z").await?;
    assert_eq!(world.number(STORED).await?, 250);
    assert_eq!(world.texts(problem).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn what_was_created_since_a_first_reading_stopped_is_read_when_it_goes_on() -> Result<()> {
    let world = world().await?;
    world.fake.put_deployments(hourly(1..=150));
    fail_second_page(&world, 3);
    collect_all_at(&world, "2026-05-26T07:00:00Z").await?;
    assert_eq!(world.number("select count(*) from deployments").await?, 100, "the first page");
    assert_eq!(world.number(READ).await?, 0);
    world.fake.put_deployments(hourly(151..=160));
    collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
    assert_eq!((world.number(STORED).await?, world.number(READ).await?), (160, 1));
    Ok(())
}

#[tokio::test]
async fn a_deployment_in_progress_is_asked_about_until_it_ends() -> Result<()> {
    let world = world().await?;
    let started = deployment("acme/api", 1, &oid(1), "2026-06-01T09:00:00Z").status("queued", "2026-06-01T09:00:00Z");
    world.fake.put_deployments([started.clone()]);
    collect_all_at(&world, "2026-06-01T10:00:00Z").await?;
    world.fake.put_deployments([started.status("success", "2026-06-01T11:00:00Z")]);
    collect_all_at(&world, "2026-06-12T10:00:00Z").await?;
    assert_eq!(world.number(STORED).await?, 1);
    Ok(())
}

#[tokio::test]
async fn missing_permission_for_deployments_leaves_the_rest_complete() -> Result<()> {
    let world = world().await?;
    world.fake.put_deployments(hourly(1..=1));
    world.fake.hide_deployments("acme/api", true);
    let report = collect_all_at(&world, "2026-06-15T12:00:00Z").await?;
    assert_eq!(report.state, RunState::Succeeded);
    let problem = "select problem from deployment_progress where problem is not null";
    assert_eq!((world.texts(problem).await?, world.number(READ).await?), (vec!["no_permission".to_owned()], 0));
    world.fake.hide_deployments("acme/api", false);
    collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
    assert_eq!((world.number(STORED).await?, world.number(READ).await?), (1, 1));
    assert_eq!(world.texts(problem).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn an_empty_list_of_deployments_is_not_believed() -> Result<()> {
    let world = world().await?;
    world.fake.put_deployments(hourly(1..=1));
    collect_all_at(&world, "2026-06-15T12:00:00Z").await?;
    world.fake.delete_deployment("acme/api", 5_000_000_001);
    collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
    assert_eq!(world.number("select count(*) from deployments where deleted_at is null").await?, 1);
    let read_at = "select to_char(read_at at time zone 'UTC', 'HH24:MI') || ' ' || coalesce(problem, '-')
        from deployment_progress as p inner join repositories as r on p.repository_id = r.id where r.name = 'acme/api'";
    assert_eq!(world.texts(read_at).await?, ["12:00 lists_nothing"]);
    // Another one proves that they can be read.
    world.fake.put_deployments(hourly(2..=2));
    collect_all_at(&world, "2026-06-15T20:00:00Z").await?;
    assert_eq!(world.texts(read_at).await?, ["20:00 -"]);
    Ok(())
}

#[tokio::test]
async fn a_thousand_deployments_of_20000_commits_cost_a_page_per_hundred() -> Result<()> {
    let world = World::new().await?;
    let (commits, deployments) = (20_000_u64, 1_000);
    let start = at("2026-01-20T00:00:00Z");
    let at_commit = |number: u64| start + TimeDelta::minutes(10 * i64::try_from(number).unwrap_or_default());
    world.fake.put_commits(
        "acme/api",
        (1..=commits).map(|number| FakeGitCommit {
            oid: oid(number),
            parents: (1 < number).then(|| oid(number - 1)).into_iter().collect(),
            committed_at: at_commit(number),
        }),
    );
    let each = commits / deployments;
    world.fake.put_deployments((1..=deployments).map(|number| {
        let created_at = at_commit(number * each).to_rfc3339();
        deployment("acme/api", i64::try_from(number).unwrap_or_default(), &oid(number * each), &created_at)
            .status("success", &created_at)
    }));
    world.fake.put([merged_as(1, commits, "2026-06-10T00:00:00Z")]);
    world.fake.forget_requests();
    let report = collect_all(&world).await?;
    assert_eq!(report.problems, Vec::<String>::new());
    let asked = |part: &str| {
        let requests = world.fake.requests();
        requests
            .iter()
            .filter(|it| it.path.contains(part) || it.body.as_ref().is_some_and(|body| body.contains(part)))
            .count()
    };
    assert_eq!(asked("acme/api/deployments"), 12, "pages of the list, which overlap, and what came since");
    assert_eq!(asked("query DeploymentStatuses"), 10, "queries for states");
    // The history of the newest has all others.
    assert_eq!(asked("query CommitHistory"), 201, "pages of commits, and the end");
    assert_eq!(world.number("select count(*) from deployment_facts where kind in ('first', 'change')").await?, 1_000);
    Ok(())
}
