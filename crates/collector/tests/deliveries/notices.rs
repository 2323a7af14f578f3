//! Repositories that a webhook says have changed are read at once.

use std::time::Duration;

use anyhow::{Context, Result};
use mergeline_collector::{CollectOptions, FollowUp, RosterSnapshot, RunContext};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{at, deployment, issue, run};
use mergeline_source::Remaining;
use mergeline_store::ApplyOptions;
use mergeline_webhooks::{Carried, ChangeNotice};

use super::{collect_all_at, commit, merged_as, oid};
use crate::common::World;

async fn world() -> Result<World> {
    let world = World::new().await?;
    world
        .fake
        .put_commits("acme/api", [commit(1, &[], "2026-06-01T08:00:00Z"), commit(2, &[1], "2026-06-15T11:58:00Z")]);
    world.fake.put([merged_as(1, 1, "2026-06-01T08:00:00Z")]);
    collect_all_at(&world, "2026-06-15T08:00:00Z").await?;
    world.fake.forget_requests();
    Ok(world)
}

/// From now on, issues with a label are incidents.
async fn read_incidents(world: &World) -> Result<()> {
    let text = "version: 1\nrepositories: [acme/api]\nincidents: { issues: { labels: [incident] } }\n\
                teams: [{ slug: payments, members: [{ github: ana }] }]\n";
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    Ok(())
}

async fn notice(world: &World, updated_at: Option<&str>) -> Result<ChangeNotice> {
    let snapshot = world.store.snapshot().await?.context("configured")?;
    let repository = snapshot.repositories.iter().find(|it| it.name.as_str() == "acme/api").context("configured")?;
    let received_at = at("2026-06-15T12:00:00Z");
    let name = repository.name.clone();
    Ok(ChangeNotice {
        repository: repository.id,
        name,
        received_at,
        updated_at: updated_at.map(at),
        carried: None,
        tries: 0,
    })
}

async fn follow_at(world: &World, notice: ChangeNotice, now: &str) -> Result<FollowUp> {
    let options = CollectOptions::at_a_terminal(at(now), chrono::TimeDelta::days(180), 1);
    let (revision, roster) = world.store.roster().await?.context("configured")?;
    let context = RunContext::new(&world.github, &world.store, options, &|_| {}, RosterSnapshot { revision, roster });
    Ok(context.follow(notice).await?)
}

const MISSED: &str = "select coalesce(sum(missed), 0)::bigint from announcements";
const NOW: &str = "2026-06-15T12:00:01Z";

#[tokio::test]
async fn what_a_delivery_announced_is_stored_without_a_run() -> Result<()> {
    let world = world().await?;
    let runs = world.number("select count(*) from collection_runs").await?;
    world.fake.put([merged_as(2, 2, "2026-06-15T11:59:00Z")]);
    world.fake.put_deployments([
        deployment("acme/api", 1, &oid(2), "2026-06-15T11:59:30Z").status("success", "2026-06-15T11:59:40Z")
    ]);
    let notice = notice(&world, Some("2026-06-15T11:59:00Z")).await?;
    assert_eq!(follow_at(&world, notice.clone(), NOW).await?, FollowUp::Done);
    assert_eq!(world.numbers().await?, [1, 2]);
    assert_eq!(world.number("select count(*) from deployments where outcome = 'succeeded'").await?, 1);
    assert_eq!(world.number("select count(*) from collection_runs").await?, runs);
    // Other deliveries of the same moment ask nothing.
    world.fake.forget_requests();
    assert_eq!(follow_at(&world, notice, "2026-06-15T12:00:02Z").await?, FollowUp::Done);
    assert_eq!(world.asked_about("acme/api"), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_list_that_lags_behind_is_read_again_after_2_10_and_60_seconds() -> Result<()> {
    let world = world().await?;
    let mut notice = notice(&world, Some("2026-06-15T11:59:00Z")).await?;
    for (number, seconds) in (1..).zip([2, 10, 60]) {
        let FollowUp::Again(after, next) = follow_at(&world, notice.clone(), NOW).await? else {
            anyhow::bail!("try {number} gave up");
        };
        assert_eq!((after, next.tries), (Duration::from_secs(seconds), number));
        notice = next;
    }
    assert_eq!(follow_at(&world, notice.clone(), NOW).await?, FollowUp::Done, "the next run finds it");
    world.fake.put([merged_as(2, 2, "2026-06-15T11:59:00Z")]);
    notice.tries = 1;
    assert_eq!(follow_at(&world, notice, NOW).await?, FollowUp::Done);
    assert_eq!(world.numbers().await?, [1, 2]);
    Ok(())
}

#[tokio::test]
async fn a_delivery_without_a_time_is_followed_until_something_is_new() -> Result<()> {
    let world = world().await?;
    let mut notice = notice(&world, None).await?;
    for (number, seconds) in (1..).zip([2, 10, 60]) {
        let FollowUp::Again(after, next) = follow_at(&world, notice.clone(), NOW).await? else {
            anyhow::bail!("try {number} gave up");
        };
        assert_eq!((after, next.tries), (Duration::from_secs(seconds), number));
        notice = next;
    }
    assert_eq!(follow_at(&world, notice.clone(), NOW).await?, FollowUp::Done, "the next run finds it");
    // A deployment, and then an incident, that the list has at the second look.
    notice.tries = 1;
    world.fake.put_deployments([
        deployment("acme/api", 1, &oid(1), "2026-06-15T11:59:30Z").status("success", "2026-06-15T11:59:40Z")
    ]);
    assert_eq!(follow_at(&world, notice.clone(), NOW).await?, FollowUp::Done);
    read_incidents(&world).await?;
    assert!(matches!(follow_at(&world, notice.clone(), NOW).await?, FollowUp::Again(..)), "no incident is listed yet");
    world.fake.put_issues([issue("acme/api", 11, "incident", "2026-06-15T11:59:50Z")]);
    assert_eq!(follow_at(&world, notice, NOW).await?, FollowUp::Done);
    assert_eq!(world.number("select count(*) from incidents").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_deployment_or_incident_that_no_delivery_announced_is_counted() -> Result<()> {
    for is_deployment in [true, false] {
        let world = world().await?;
        read_incidents(&world).await?;
        let heard =
            "insert into announcements (repository_id, last_at) select id, '2026-06-15T12:30:00Z' from repositories";
        world.execute(heard).await?;
        if is_deployment {
            let time = "2026-06-15T13:00:00Z";
            world.fake.put_deployments([deployment("acme/api", 1, &oid(1), time).status("success", time)]);
        } else {
            world.fake.put_issues([issue("acme/api", 11, "incident", "2026-06-15T13:00:00Z")]);
        }
        collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
        collect_all_at(&world, "2026-06-15T20:00:00Z").await?;
        assert_eq!(world.number(MISSED).await?, 1, "a deployment: {is_deployment}");
    }
    Ok(())
}

#[tokio::test]
async fn half_of_the_hourly_limit_is_left_to_the_runs() -> Result<()> {
    let world = world().await?;
    let remaining = |remaining| {
        let resets_at = at("2026-06-15T13:00:00Z");
        [Remaining { scope: "token".to_owned(), limit: 5_000, remaining, resets_at }]
    };
    let instance = mergeline_domain::InstanceId::GITHUB;
    world.store.store_rate_limit_remaining(instance, &remaining(2_499), at(NOW)).await?;
    let notice = notice(&world, Some("2026-06-15T11:59:00Z")).await?;
    assert_eq!(follow_at(&world, notice.clone(), NOW).await?, FollowUp::Done);
    assert_eq!(world.asked_about("acme/api"), Vec::<String>::new());
    world.store.store_rate_limit_remaining(instance, &remaining(2_501), at(NOW)).await?;
    follow_at(&world, notice, NOW).await?;
    assert!(!world.asked_about("acme/api").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_repository_that_is_being_read_waits_and_one_that_is_gone_does_not() -> Result<()> {
    let world = world().await?;
    let notice = notice(&world, Some("2026-06-15T11:59:00Z")).await?;
    let lease = world.store.lease(notice.repository, at(NOW), Duration::from_secs(60)).await?.context("free")?;
    let again = FollowUp::Again(Duration::from_secs(5), notice.clone());
    assert_eq!(follow_at(&world, notice.clone(), NOW).await?, again);
    world.store.release(&lease.0, mergeline_store::LeaseOutcome::Succeeded, None, at(NOW)).await?;
    world.apply_to("acme/web", "{ slug: payments, members: [{ github: ana }] }").await?;
    assert_eq!(follow_at(&world, notice, NOW).await?, FollowUp::Done);
    Ok(())
}

#[tokio::test]
async fn a_change_that_no_delivery_announced_is_counted_once() -> Result<()> {
    let world = world().await?;
    world.fake.put([merged_as(2, 2, "2026-06-15T09:00:00Z")]);
    collect_all_at(&world, "2026-06-15T12:00:00Z").await?;
    assert_eq!(world.number(MISSED).await?, 0, "no delivery ever came about the repository");
    world
        .execute(
            "insert into announcements (repository_id, last_at) select id, '2026-06-15T12:30:00Z' from repositories",
        )
        .await?;
    world.fake.put([merged_as(3, 2, "2026-06-15T12:30:20Z")]);
    collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
    assert_eq!(world.number(MISSED).await?, 0, "it was announced");
    world.fake.put([merged_as(4, 2, "2026-06-15T17:00:00Z")]);
    collect_all_at(&world, "2026-06-15T20:00:00Z").await?;
    collect_all_at(&world, "2026-06-16T00:00:00Z").await?;
    assert_eq!(world.number(MISSED).await?, 1);
    Ok(())
}

/// A notice with what a delivery carries of a deployment, or of the status of it that was added last but `nth`.
async fn announcing(world: &World, id: i64, nth: Option<usize>) -> Result<ChangeNotice> {
    let (event, body) = if let Some(nth) = nth {
        ("deployment_status", world.fake.deployment_status_event("acme/api", id, nth).await?)
    } else {
        let path = format!("deployments/{id}");
        ("deployment", world.fake.event("acme/api", "created", Some(("deployment", &path))).await?)
    };
    let carried = Some(Carried { event: event.to_owned(), body: body.to_string() });
    world.fake.forget_requests();
    Ok(ChangeNotice { carried, ..notice(world, None).await? })
}

/// The deployments that count.
const COUNTED: &str = "select external_id || ' ' || outcome from deployments where deleted_at is null order by 1";

#[tokio::test]
async fn a_deployment_is_taken_from_its_deliveries_in_any_order_without_reading_a_list() -> Result<()> {
    let world = world().await?;
    // With the first one known, the second delivers.
    let first = deployment("acme/api", 1, &oid(1), "2026-06-15T08:30:00Z").status("success", "2026-06-15T08:31:00Z");
    world.fake.put([merged_as(2, 2, "2026-06-15T09:00:00Z")]);
    world.fake.put_deployments([first]);
    collect_all_at(&world, "2026-06-15T11:00:00Z").await?;
    let second = deployment("acme/api", 2, &oid(2), "2026-06-15T11:59:00Z")
        .status("in_progress", "2026-06-15T11:59:10Z")
        .status("success", "2026-06-15T11:59:40Z")
        .status("failure", "2026-06-15T11:59:50Z");
    let id = second.id;
    world.fake.put_deployments([second]);
    // The failure first, then the beginning, then the success twice, then the deployment itself.
    for nth in [Some(0), Some(2), Some(1), Some(1), None] {
        let notice = announcing(&world, id, nth).await?;
        assert_eq!(follow_at(&world, notice, NOW).await?, FollowUp::Done);
        let asked = world.asked_about("acme/api");
        assert!(asked.iter().all(|path| !path.contains("deployments") && !path.contains("pulls")), "{asked:?}");
    }
    let stored =
        "select external_id || ' ' || outcome || ' ' || coalesce(failed_afterwards_at::text, 'fine') from deployments
        where external_id like '%2'";
    assert_eq!(world.texts(stored).await?, [format!("{id} succeeded 2026-06-15 11:59:50+00")]);
    let delivered = "select count(*) from pr_deliveries as l inner join deployments as d on l.deployment_id = d.id
        where d.external_id like '%2'";
    assert_eq!(world.number(delivered).await?, 1, "with its commits, which are read");
    // The next run adds nothing.
    let before = world.number("select data_version from services where slug is null").await?;
    collect_all_at(&world, "2026-06-15T12:30:00Z").await?;
    assert_eq!(world.number("select data_version from services where slug is null").await?, before);
    Ok(())
}

#[tokio::test]
async fn a_late_delivery_does_not_bring_back_a_deployment_that_was_deleted() -> Result<()> {
    let world = world().await?;
    let time = "2026-06-15T09:00:00Z";
    let deployments = [1, 2].map(|number| deployment("acme/api", number, &oid(1), time).status("success", time));
    let (kept, gone) = (deployments[0].id, deployments[1].id);
    world.fake.put_deployments(deployments);
    let late = announcing(&world, gone, Some(0)).await?;
    collect_all_at(&world, "2026-06-15T10:00:00Z").await?;
    world.fake.delete_deployment("acme/api", gone);
    collect_all_at(&world, "2026-06-15T11:00:00Z").await?;
    let expected = [format!("{kept} succeeded")];
    assert_eq!(world.texts(COUNTED).await?, expected);
    follow_at(&world, late, NOW).await?;
    assert_eq!(world.texts(COUNTED).await?, expected);
    Ok(())
}

#[tokio::test]
async fn deliveries_of_another_source_or_before_the_past_is_read_are_left_to_the_runs() -> Result<()> {
    let world = world().await?;
    let time = "2026-06-15T09:00:00Z";
    world.fake.put_deployments([deployment("acme/api", 1, &oid(1), time).status("success", time)]);
    let id = deployment("acme/api", 1, "", time).id;
    let announced = announcing(&world, id, Some(0)).await?;
    let text = "version: 1\nrepositories: [acme/api]\ndeployments: { source: merges, branch: main }\n\
                teams: [{ slug: payments, members: [{ github: ana }] }]\n";
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    assert_eq!(follow_at(&world, announced.clone(), NOW).await?, FollowUp::Done);
    let of_github = "select count(*) from deployments where source = 'github-deployments'";
    assert_eq!(world.number(of_github).await?, 0, "another source is in force");
    world.apply("{ slug: payments, members: [{ github: ana }] }").await?;
    world.execute("update deployment_progress set covered_since = null, listed_at = null").await?;
    assert_eq!(follow_at(&world, announced, NOW).await?, FollowUp::Done);
    assert_eq!(world.number(of_github).await?, 0, "its past is not read");
    assert_eq!(world.asked_about("acme/api"), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn an_ended_run_is_taken_from_its_delivery_if_its_workflow_and_branch_are_the_source() -> Result<()> {
    let world = world().await?;
    let text = "version: 1\nrepositories: [acme/api]\ndeployments: { workflow: deploy.yml, branch: main }\n\
                teams: [{ slug: payments, members: [{ github: ana }] }]\n";
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at("2026-06-15T08:10:00Z")).await?;
    let early = run("acme/api", 1, &oid(1), "2026-06-15T08:20:00Z").ended("success", "2026-06-15T08:25:00Z");
    world.fake.put_runs([early]);
    collect_all_at(&world, "2026-06-15T09:00:00Z").await?;
    let runs = [
        ("deploy.yml", "push", "main", 2),
        ("deploy.yml", "push", "feature", 3),
        ("test.yml", "push", "main", 4),
        // It deploys nothing, and nothing is read for it.
        ("deploy.yml", "pull_request", "main", 5),
    ];
    for (workflow, event, branch, number) in runs {
        let time = "2026-06-15T11:50:00Z";
        let ended = run("acme/api", number, &oid(1), time).on(event, branch);
        let ended = ended.of(workflow).ended("failure", "2026-06-15T11:59:00Z");
        let id = ended.id;
        world.fake.put_runs([ended]);
        let path = format!("actions/runs/{id}/attempts/1");
        let body = world.fake.event("acme/api", "completed", Some(("workflow_run", &path))).await?;
        let carried = Some(Carried { event: "workflow_run".to_owned(), body: body.to_string() });
        world.fake.forget_requests();
        let notice = ChangeNotice { carried, ..notice(&world, None).await? };
        assert_eq!(follow_at(&world, notice, NOW).await?, FollowUp::Done);
        assert_eq!(world.asked_about("acme/api"), Vec::<String>::new());
    }
    let failed = "select count(*) from deployments where outcome = 'failed'";
    assert_eq!(world.number(failed).await?, 1);
    Ok(())
}
