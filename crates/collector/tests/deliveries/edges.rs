//! Cases at the edge of the rules, one by one.

use std::collections::BTreeMap;

use anyhow::Result;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{at, deployment, issue};
use mergeline_store::ApplyOptions;

use super::{collect_all, collect_all_at, commit, deliveries, kinds, merged_as, oid};
use crate::common::{NOW, World};

const WITH_INCIDENTS: &str = "incidents: { issues: { labels: [incident] } }";

async fn apply(world: &World, more: &str) -> Result<()> {
    let text = format!(
        "version: 1\nrepositories: [acme/api, acme/web]\n{more}\nteams:\n- {{ slug: payments, members: [{{ github: ana }}] }}\n"
    );
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    Ok(())
}

/// Two commits, each of a pull request, and a deployment of each.
async fn world(more: &str) -> Result<World> {
    let world = World::new().await?;
    apply(&world, more).await?;
    world
        .fake
        .put_commits("acme/api", [commit(1, &[], "2026-06-01T08:00:00Z"), commit(2, &[1], "2026-06-02T08:00:00Z")]);
    world.fake.put([merged_as(1, 1, "2026-06-01T08:00:00Z"), merged_as(2, 2, "2026-06-02T08:00:00Z")]);
    world.fake.put_deployments([
        deployment("acme/api", 1, &oid(1), "2026-06-01T09:00:00Z").status("success", "2026-06-01T09:00:00Z"),
        deployment("acme/api", 2, &oid(2), "2026-06-02T09:00:00Z").status("success", "2026-06-02T09:00:00Z"),
    ]);
    Ok(world)
}

#[tokio::test]
async fn a_commit_that_is_gone_is_asked_for_again_after_one_day_and_two_more_and_then_never() -> Result<()> {
    let world = world("").await?;
    // It was pushed over before anybody read it.
    world.fake.put([merged_as(3, 3, "2026-06-03T08:00:00Z")]);
    world.fake.put_deployments([
        deployment("acme/api", 3, &oid(9), "2026-06-03T09:00:00Z").status("success", "2026-06-03T09:00:00Z")
    ]);
    let asked = async |now: &str| {
        collect_all_at(&world, now).await?;
        world.number("select coalesce(max(failures), 0)::bigint from open_commits").await
    };
    assert_eq!(asked("2026-06-04T00:00:00Z").await?, 1);
    let unknown = Some("unknown".to_owned());
    assert_eq!(kinds(&world).await?[&3], unknown);
    assert_eq!(deliveries(&world).await?[&3], "unknown_history", "it may have been in there");
    assert_eq!(deliveries(&world).await?[&2], "2", "the others are as certain as before");
    assert_eq!(asked("2026-06-04T23:59:00Z").await?, 1);
    assert_eq!(asked("2026-06-05T00:01:00Z").await?, 2);
    assert_eq!(asked("2026-06-06T23:59:00Z").await?, 2);
    assert_eq!(asked("2026-06-07T00:02:00Z").await?, 3);
    assert_eq!(asked("2026-08-01T00:00:00Z").await?, 3, "that was the last time");
    assert_eq!(kinds(&world).await?[&3], unknown);
    assert_eq!(world.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    Ok(())
}

#[tokio::test]
async fn without_a_merge_commit_the_head_commit_stands_for_it_and_says_so() -> Result<()> {
    let world = world("").await?;
    collect_all(&world).await?;
    world.execute("update pull_requests set merge_commit = null, head_commit = null where number = 1").await?;
    world.execute("update pull_requests set head_commit = merge_commit, merge_commit = null where number = 2").await?;
    world.store.derive_all(true).await?;
    let expected = [(1, "unknown_history"), (2, "2")];
    assert_eq!(deliveries(&world).await?, expected.map(|(number, by)| (number, by.to_owned())).into());
    let via = "select p.number || ' ' || l.via from pr_deliveries as l
        inner join pull_requests as p on l.pull_request_id = p.id where l.via is not null";
    assert_eq!(world.texts(via).await?, ["2 head_commit"]);
    Ok(())
}

#[tokio::test]
async fn a_deployment_before_the_merge_has_a_lead_time_and_no_deploy_phase() -> Result<()> {
    let world = world("").await?;
    // Merged by a push: GitHub notices after the deployment.
    world.fake.put_commits("acme/api", [commit(3, &[2], "2026-06-03T08:00:00Z")]);
    world.fake.put([merged_as(3, 3, "2026-06-03T10:00:00Z").first_commit("2026-06-03T07:00:00Z")]);
    world.fake.put_deployments([
        deployment("acme/api", 3, &oid(3), "2026-06-03T09:00:00Z").status("success", "2026-06-03T09:00:00Z")
    ]);
    collect_all(&world).await?;
    let found = "select concat_ws(' ', number, lead_seconds(p) / 3600, coalesce(deploy_seconds(p)::text, '-'), array_to_string(pull_request_flags(p), ' '))
        from pull_requests as p where number = 3";
    assert_eq!(world.texts(found).await?, ["3 2 - deployed_before_merge"]);
    Ok(())
}

#[tokio::test]
async fn an_issue_closed_as_a_duplicate_was_merged_into_another_and_does_not_count() -> Result<()> {
    let world = world(WITH_INCIDENTS).await?;
    let opened = issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z");
    world.fake.put_issues([opened.clone().closed("2026-06-02T11:00:00Z", "duplicate")]);
    collect_all(&world).await?;
    let states = "select state from incident_states order by at";
    assert_eq!(world.texts(states).await?, ["opened", "merged"]);
    assert_eq!(world.number("select count(*) from incident_facts").await?, 0);
    world.fake.put_issues([opened.reopened("2026-06-02T12:00:00Z")]);
    collect_all(&world).await?;
    assert_eq!(world.texts(states).await?, ["opened", "merged", "reopened"]);
    assert_eq!(world.number("select count(*) from incident_facts where resolved_at is null").await?, 1);
    Ok(())
}

#[tokio::test]
async fn an_incident_of_one_service_is_not_of_the_deployment_of_another() -> Result<()> {
    let world = world(WITH_INCIDENTS).await?;
    world.fake.put_issues([
        issue("acme/web", 11, "incident", "2026-06-02T09:00:05Z"),
        issue("acme/api", 12, "incident", "2026-06-02T09:00:05Z"),
    ]);
    collect_all(&world).await?;
    let links = "select i.number || ' ' || coalesce(d.external_id::bigint - 5000000000, 0) from incident_facts as f
        inner join incidents as i on f.incident_id = i.id left join deployments as d on f.deployment_id = d.id order by 1";
    assert_eq!(world.texts(links).await?, ["11 0", "12 2"], "seconds after the deployment of acme/api");
    Ok(())
}

#[tokio::test]
async fn the_window_of_incidents_begins_after_24_hours_and_ends_with_the_deployment_itself() -> Result<()> {
    let world = world(WITH_INCIDENTS).await?;
    world.fake.put_issues([
        issue("acme/api", 11, "incident", "2026-06-01T08:59:59Z"),
        issue("acme/api", 12, "incident", "2026-06-01T09:00:00Z"),
        issue("acme/api", 13, "incident", "2026-06-03T08:59:59Z"),
        issue("acme/api", 14, "incident", "2026-06-03T09:00:00Z"),
    ]);
    collect_all(&world).await?;
    let links = "select i.number || ' ' || coalesce(d.external_id::bigint - 5000000000, 0) from incident_facts as f
        inner join incidents as i on f.incident_id = i.id left join deployments as d on f.deployment_id = d.id order by 1";
    assert_eq!(world.texts(links).await?, ["11 0", "12 1", "13 2", "14 0"]);
    Ok(())
}

#[tokio::test]
async fn an_open_incident_stands_beside_and_counts_in_the_week_of_its_resolution() -> Result<()> {
    let world = world(WITH_INCIDENTS).await?;
    let opened = issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z");
    world.fake.put_issues([opened.clone()]);
    collect_all(&world).await?;
    let weeks = "select concat_ws(' ', bucket, n, mean / 3600)
        from recovery_times(null, null, 'delivered', '2026-06-01', '2026-06-15', 'UTC', 'week', '{incident}', null)
        where measure = 'mttr' and bucket is not null";
    assert_eq!(world.texts(weeks).await?, Vec::<String>::new());
    world.fake.put_issues([opened.closed("2026-06-09T10:00:00Z", "completed")]);
    collect_all(&world).await?;
    assert_eq!(world.texts(weeks).await?, ["2026-06-08 1 168"]);
    Ok(())
}

#[tokio::test]
async fn a_merge_queue_delivers_all_its_pull_requests_with_one_deployment() -> Result<()> {
    let world = world("").await?;
    // One push merges five, each by its own commit, which were made before.
    let queue: Vec<_> = (3..=7).map(|number| commit(number, &[number - 1], "2026-06-03T08:00:00Z")).collect();
    world.fake.put_commits("acme/api", queue);
    world.fake.put(
        (3..=7).map(|number| merged_as(number, u64::try_from(number).unwrap_or_default(), "2026-06-03T08:10:00Z")),
    );
    world.fake.put_deployments([
        deployment("acme/api", 3, &oid(7), "2026-06-03T09:00:00Z").status("success", "2026-06-03T09:00:00Z")
    ]);
    collect_all(&world).await?;
    let by_third: BTreeMap<i64, String> = deliveries(&world).await?.into_iter().filter(|(_, by)| by == "3").collect();
    assert_eq!(by_third.keys().copied().collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    Ok(())
}

#[tokio::test]
async fn only_failed_attempts_have_a_success_rate_of_zero_and_no_other() -> Result<()> {
    let world = world("").await?;
    world.fake.put_deployments([
        deployment("acme/api", 1, &oid(1), "2026-06-01T09:00:00Z").status("failure", "2026-06-01T09:00:00Z"),
        deployment("acme/api", 2, &oid(2), "2026-06-02T09:00:00Z").status("error", "2026-06-02T09:00:00Z"),
    ]);
    collect_all(&world).await?;
    let counts = "select measure || ' ' || n
        from count_deployments(null, null, 'delivered', '2026-06-01', '2026-06-08', 'UTC', 'week', '{incident}')
        where bucket is null";
    assert_eq!(world.texts(counts).await?, ["finished 2"], "nothing reached production");
    assert!(deliveries(&world).await?.values().all(|by| by == "not_deployed_yet"));
    Ok(())
}
