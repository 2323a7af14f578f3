//! From deployments at the fake GitHub to what they delivered.

mod edges;
mod example;
mod incidents;
mod listing;
mod notices;
mod paths;
mod recorded;
mod reported;
mod services;

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::TimeDelta;
use mergeline_collector::{CollectOptions, RunReport, collect};
use mergeline_fake_github::{FakeGitCommit, FakePullRequest, at, deployment, pr};

use crate::common::{NOW, World};

/// The id of the commit with this number.
pub(crate) fn oid(number: u64) -> String {
    format!("{number:040x}")
}

/// A commit with parents.
pub(crate) fn commit(number: u64, parents: &[u64], committed_at: &str) -> FakeGitCommit {
    let parents = parents.iter().copied().map(oid).collect();
    FakeGitCommit { oid: oid(number), parents, committed_at: at(committed_at) }
}

/// A pull request that was merged as a commit.
pub(crate) fn merged_as(number: i64, commit: u64, merged_at: &str) -> FakePullRequest {
    let mut pull_request = pr("acme/api", number).merged(merged_at).merge_commit(&oid(commit));
    pull_request.created_at = at(merged_at) - TimeDelta::hours(1);
    pull_request
}

/// Collects everything, deployments too.
pub(crate) async fn collect_all(world: &World) -> Result<RunReport> {
    collect_all_at(world, NOW).await
}

pub(crate) async fn collect_all_at(world: &World, now: &str) -> Result<RunReport> {
    let options = CollectOptions::at_a_terminal(at(now), TimeDelta::days(180), 1);
    Ok(collect(&world.github, &world.store, &options, &|_| {}).await?)
}

/// The kinds of deployments by their numbers; a failed attempt has none.
pub(crate) async fn kinds(world: &World) -> Result<BTreeMap<i64, Option<String>>> {
    let rows: Vec<(i64, Option<String>)> = sqlx::query_as(
        "select d.external_id::bigint - 5000000000, f.kind
        from deployment_facts as f inner join deployments as d on f.deployment_id = d.id",
    )
    .fetch_all(&world.database.pool().await?)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Which deployment delivered each pull request, or why none did.
pub(crate) async fn deliveries(world: &World) -> Result<BTreeMap<i64, String>> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "select p.number, coalesce(p.missing, (d.external_id::bigint - 5000000000)::text)
        from (select r.number, l.missing, l.deployment_id from pr_deliveries as l
            inner join pull_requests as r on l.pull_request_id = r.id) as p
        left join deployments as d on p.deployment_id = d.id",
    )
    .fetch_all(&world.database.pool().await?)
    .await?;
    Ok(rows.into_iter().collect())
}

#[tokio::test]
async fn a_deployment_delivers_what_it_is_the_first_to_contain() -> Result<()> {
    let world = World::new().await?;
    world.fake.put_commits(
        "acme/api",
        [
            commit(1, &[], "2026-06-01T08:00:00Z"),
            commit(2, &[1], "2026-06-02T08:00:00Z"),
            commit(3, &[2], "2026-06-03T08:00:00Z"),
            commit(4, &[3], "2026-06-04T08:00:00Z"),
        ],
    );
    world.fake.put([
        merged_as(1, 1, "2026-06-01T08:00:00Z"),
        merged_as(2, 2, "2026-06-02T08:00:00Z"),
        merged_as(3, 3, "2026-06-03T08:00:00Z"),
        merged_as(4, 4, "2026-06-04T08:00:00Z"),
    ]);
    world.fake.put_deployments([
        deployment("acme/api", 1, &oid(1), "2026-06-01T09:00:00Z").status("success", "2026-06-01T09:05:00Z"),
        deployment("acme/api", 2, &oid(3), "2026-06-03T09:00:00Z").status("success", "2026-06-03T09:05:00Z"),
        deployment("acme/api", 3, &oid(2), "2026-06-03T10:00:00Z").status("success", "2026-06-03T10:05:00Z"),
        deployment("acme/api", 4, &oid(4), "2026-06-04T09:00:00Z").status("failure", "2026-06-04T09:05:00Z"),
        deployment("acme/api", 5, &oid(3), "2026-06-04T09:00:00Z")
            .to("staging")
            .status("success", "2026-06-04T09:05:00Z"),
    ]);
    let report = collect_all(&world).await?;
    assert_eq!(report.problems, Vec::<String>::new());
    let kind = |kind: &str| Some(kind.to_owned());
    let expected = [(1, kind("first")), (2, kind("change")), (3, kind("rollback")), (4, None)];
    assert_eq!(kinds(&world).await?, BTreeMap::from(expected));
    let expected = [(1, "before_first_deployment"), (2, "2"), (3, "2"), (4, "not_deployed_yet")];
    assert_eq!(deliveries(&world).await?, expected.map(|(number, by)| (number, by.to_owned())).into());
    assert_eq!(world.number("select count(*) from deployment_attempts").await?, 1);
    assert_eq!(world.texts("select reason from deployment_failures").await?, ["rolled_back"]);
    assert_eq!(world.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    // Again: one conditional request for the list, and one query for the states.
    world.fake.forget_requests();
    let before = world.database.digest().await?;
    collect_all(&world).await?;
    assert_eq!(world.database.digest().await?, before);
    assert_eq!(world.asked_about("acme/api").len(), 2);
    Ok(())
}
