//! Incidents: issues with a label, and the deployments that they belong to.

use anyhow::Result;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{at, deployment, issue, pr};
use mergeline_store::ApplyOptions;

use super::{collect_all, collect_all_at, commit, merged_as, oid};
use crate::common::{NOW, World};

async fn apply(world: &World, more: &str) -> Result<()> {
    let text = format!(
        "version: 1\nrepositories: [acme/api, acme/web]\nincidents: {{ issues: {{ labels: [incident] }} }}\n{more}\n\
         teams:\n- {{ slug: payments, members: [{{ github: ana }}] }}\n"
    );
    let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
    world.store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    Ok(())
}

/// A service with a first deployment and a change, an hour before each of the incidents.
async fn world() -> Result<World> {
    let world = World::new().await?;
    apply(&world, "").await?;
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

/// Incidents that count: title, resolution, severity, deployment and rule.
async fn incidents(world: &World) -> Result<Vec<String>> {
    assert_eq!(world.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    world
        .texts(
            "select concat_ws(' ', i.title, coalesce(to_char(f.resolved_at at time zone 'UTC', 'DD HH24:MI'), 'open'), f.severity,
                d.external_id::bigint - 5000000000, f.rule)
            from incident_facts as f
            inner join incidents as i on f.incident_id = i.id
            left join deployments as d on f.deployment_id = d.id
            order by i.title",
        )
        .await
}

#[tokio::test]
async fn labeled_issues_are_incidents_of_the_last_deployment() -> Result<()> {
    let world = world().await?;
    world.fake.put_issues([
        issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z")
            .labeled("severity:high")
            .closed("2026-06-02T12:00:00Z", "completed"),
        issue("acme/api", 12, "incident", "2026-06-03T09:00:00Z"),
        issue("acme/api", 13, "bug", "2026-06-02T10:00:00Z"),
        issue("acme/api", 14, "incident", "2026-06-02T11:00:00Z").closed("2026-06-02T12:00:00Z", "not_planned"),
    ]);
    world.fake.put([pr("acme/api", 15).labeled("incident")]);
    collect_all(&world).await?;
    assert_eq!(
        incidents(&world).await?,
        ["Issue 11 02 12:00 high 2 window", "Issue 12 open"],
        "24 hours are not within"
    );
    assert_eq!(world.texts("select reason from deployment_failures").await?, ["incident"]);
    // Again: one conditional request more.
    let before = world.database.digest().await?;
    world.fake.forget_requests();
    collect_all(&world).await?;
    assert_eq!(world.database.digest().await?, before);
    assert_eq!(world.asked_about("acme/api").len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_reopened_issue_is_open_again() -> Result<()> {
    let world = world().await?;
    let opened = issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z");
    let closed = opened.clone().closed("2026-06-02T12:00:00Z", "completed");
    world.fake.put_issues([closed.clone()]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 02 12:00 2 window"]);
    world.fake.put_issues([closed.reopened("2026-06-03T08:00:00Z")]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 open 2 window"]);
    world.fake.put_issues([opened.closed("2026-06-04T08:00:00Z", "completed")]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 04 08:00 2 window"]);
    let states = world.texts("select state from incident_states order by at").await?;
    assert_eq!(states, ["opened", "resolved", "reopened", "resolved"]);
    // Opened and closed again before anybody looked: only the new end shows it.
    let again = issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z").closed("2026-06-04T15:00:00Z", "completed");
    world.fake.put_issues([again]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 04 15:00 2 window"]);
    Ok(())
}

#[tokio::test]
async fn an_issue_without_its_label_is_none_any_more() -> Result<()> {
    let world = world().await?;
    let labeled = issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z");
    world.fake.put_issues([labeled.clone()]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 open 2 window"]);
    world.fake.put_issues([labeled.clone().without_labels("2026-06-03T10:00:00Z")]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, Vec::<String>::new());
    assert_eq!(world.texts("select reason from deployment_failures").await?, Vec::<String>::new());
    world.fake.put_issues([labeled.closed("2026-06-03T11:00:00Z", "completed")]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 03 11:00 2 window"]);
    Ok(())
}

#[tokio::test]
async fn an_empty_list_is_believed_only_if_issues_can_be_read() -> Result<()> {
    let world = world().await?;
    let labeled = issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z");
    world.fake.put_issues([labeled.clone()]);
    collect_all(&world).await?;
    // As of a token without the permission: nothing is listed, with and without the label.
    world.fake.delete_issue("acme/api", 11);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 open 2 window"]);
    let problem = "select problem from incident_progress where problem is not null";
    assert_eq!(world.texts(problem).await?, ["lists_nothing"]);
    // Another issue proves that they can be read.
    world.fake.put_issues([issue("acme/api", 12, "bug", "2026-06-03T10:00:00Z")]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, Vec::<String>::new());
    assert_eq!(world.texts(problem).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn incidents_of_a_label_that_is_no_longer_configured_do_not_count() -> Result<()> {
    let world = world().await?;
    world.fake.put_issues([issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z")]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 open 2 window"]);
    let of_bugs = |labels: &str| {
        let text = format!(
            "version: 1\nrepositories: [acme/api, acme/web]\nincidents: {{ issues: {{ labels: [{labels}] }} }}\n\
             teams:\n- {{ slug: payments, members: [{{ github: ana }}] }}\n"
        );
        TeamsFile::parse("teams.yaml", text.as_bytes())
    };
    world.store.apply(&of_bugs("bug")?, ApplyOptions::default(), at(NOW)).await?;
    assert_eq!(incidents(&world).await?, Vec::<String>::new());
    assert_eq!(world.texts("select reason from deployment_failures").await?, Vec::<String>::new());
    world.store.apply(&of_bugs("bug, incident")?, ApplyOptions::default(), at(NOW)).await?;
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 open 2 window"]);
    Ok(())
}

#[tokio::test]
async fn what_closes_the_issue_of_an_incident_remedies_it() -> Result<()> {
    let world = world().await?;
    world.fake.put_commits("acme/api", [commit(3, &[2], "2026-06-02T12:00:00Z")]);
    world.fake.put([merged_as(3, 3, "2026-06-02T12:00:00Z").described("Fixes #11")]);
    world.fake.put_deployments([
        deployment("acme/api", 3, &oid(3), "2026-06-02T13:00:00Z").status("success", "2026-06-02T13:00:00Z")
    ]);
    world.fake.put_issues([
        issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z").closed("2026-06-02T12:00:00Z", "completed")
    ]);
    collect_all(&world).await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 02 12:00 2 window"]);
    let remedied = "select d.external_id::bigint - 5000000000 || ' by ' || r.external_id::bigint - 5000000000
        from deployment_failures as f
        inner join deployments as d on f.deployment_id = d.id inner join deployments as r on f.remedied_by_id = r.id";
    assert_eq!(world.texts(remedied).await?, ["2 by 3"]);
    let rework = "select array_to_string(rework, ' ') from deployment_facts where rework <> '{}'";
    assert_eq!(world.texts(rework).await?, ["incident_fix"]);
    Ok(())
}

#[tokio::test]
async fn missing_permission_for_issues_leaves_the_rest_complete() -> Result<()> {
    let world = world().await?;
    world.fake.put_issues([issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z")]);
    world.fake.hide_issues("acme/api", true);
    let report = collect_all(&world).await?;
    assert_eq!(report.state, mergeline_store::RunState::Succeeded);
    assert_eq!(
        world.texts("select problem from incident_progress where problem is not null").await?,
        ["no_permission"]
    );
    world.fake.hide_issues("acme/api", false);
    collect_all_at(&world, "2026-06-15T16:00:00Z").await?;
    assert_eq!(incidents(&world).await?, ["Issue 11 open 2 window"]);
    assert_eq!(world.number("select count(*) from incident_progress where problem is not null").await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_incident_of_several_services_goes_by_its_label() -> Result<()> {
    let world = world().await?;
    world.fake.put_issues([
        issue("acme/api", 11, "incident", "2026-06-02T10:00:00Z").labeled("service:admin"),
        issue("acme/api", 12, "incident", "2026-06-02T10:00:00Z"),
    ]);
    collect_all(&world).await?;
    apply(
        &world,
        "services:\n- { slug: shop, repositories: [acme/api] }\n\
         - { slug: admin, repositories: [acme/api], environments: [prod-admin] }",
    )
    .await?;
    let services = world
        .texts(
            "select i.title || ' ' || coalesce(s.slug, '-') from incident_facts as f
            inner join incidents as i on f.incident_id = i.id left join services as s on f.service_id = s.id order by 1",
        )
        .await?;
    assert_eq!(services, ["Issue 11 admin", "Issue 12 -"], "the other one belongs to the organization");
    assert_eq!(world.store.derive_all(false).await?.rows, 0);
    Ok(())
}
