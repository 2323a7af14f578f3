//! The worked example: a service of two teams in one week, with a failed attempt, a rollback, a hotfix and a redeploy.

use anyhow::Result;
use mergeline_fake_github::{FakePullRequest, at, deployment, pr};

use super::{collect_all, commit, deliveries, kinds, oid};
use crate::common::World;

const TEAMS: &str = "{ slug: payments, members: [{ github: ana }, { github: bob, weight: 0.5 }] }, \
                     { slug: platform, members: [{ github: bob, weight: 0.5 }, { github: cho }] }";

fn change(number: i64, author: &str, commit: u64, first_commit: &str, merged_at: &str) -> FakePullRequest {
    let mut pull_request = pr("acme/api", number).by(author).first_commit(first_commit).merged(merged_at);
    pull_request.created_at = at(first_commit);
    pull_request.merge_commit(&oid(commit))
}

pub(super) async fn world() -> Result<World> {
    let world = World::unconfigured().await?;
    world.apply(TEAMS).await?;
    world.fake.put_commits(
        "acme/api",
        [
            commit(10, &[], "2026-05-28T12:00:00Z"),
            commit(21, &[10], "2026-06-01T08:30:00Z"),
            commit(22, &[21], "2026-06-01T08:40:00Z"),
            commit(30, &[22], "2026-06-02T08:00:00Z"),
            commit(41, &[30], "2026-06-03T07:00:00Z"),
            commit(42, &[41], "2026-06-03T08:00:00Z"),
            commit(60, &[42], "2026-06-04T09:30:00Z"),
            commit(70, &[60], "2026-06-05T12:00:00Z"),
        ],
    );
    world.fake.put([
        change(100, "ana", 10, "2026-05-28T09:00:00Z", "2026-05-28T12:00:00Z"),
        change(101, "ana", 21, "2026-06-01T08:00:00Z", "2026-06-01T08:30:00Z"),
        change(102, "bob", 22, "2026-05-31T08:00:00Z", "2026-06-01T08:40:00Z"),
        change(103, "cho", 30, "2026-05-31T11:00:00Z", "2026-06-02T08:00:00Z"),
        change(104, "ana", 41, "2026-06-03T06:00:00Z", "2026-06-03T07:00:00Z"),
        change(105, "stranger", 42, "2026-06-03T06:30:00Z", "2026-06-03T08:00:00Z"),
        change(106, "ana", 60, "2026-06-04T09:00:00Z", "2026-06-04T09:30:00Z").labeled("hotfix"),
        change(107, "ana", 70, "2026-06-05T10:00:00Z", "2026-06-05T12:00:00Z"),
    ]);
    let at_ten = |number: i64, commit: u64, state: &str, time: &str| {
        deployment("acme/api", number, &oid(commit), time).status(state, time)
    };
    world.fake.put_deployments([
        at_ten(0, 10, "success", "2026-05-30T09:00:00Z"),
        at_ten(1, 22, "success", "2026-06-01T10:00:00Z"),
        at_ten(2, 30, "failure", "2026-06-02T10:00:00Z"),
        at_ten(3, 30, "success", "2026-06-02T11:00:00Z"),
        at_ten(4, 42, "success", "2026-06-03T10:00:00Z"),
        at_ten(5, 30, "success", "2026-06-03T13:00:00Z"),
        at_ten(6, 60, "success", "2026-06-04T10:00:00Z"),
        at_ten(7, 60, "success", "2026-06-05T10:00:00Z"),
    ]);
    Ok(world)
}

#[tokio::test]
async fn the_worked_example_is_derived_from_github() -> Result<()> {
    let world = world().await?;
    collect_all(&world).await?;
    let shown: Vec<String> = kinds(&world).await?.into_values().map(|kind| kind.unwrap_or("-".to_owned())).collect();
    assert_eq!(shown, ["first", "change", "-", "change", "change", "rollback", "change", "redeploy"]);
    let shown: Vec<String> =
        deliveries(&world).await?.into_iter().map(|(number, by)| format!("{number}: {by}")).collect();
    assert_eq!(
        shown,
        ["100: before_first_deployment", "101: 1", "102: 1", "103: 3", "104: 4", "106: 6", "107: not_deployed_yet"]
    );
    let shares = world
        .texts(
            "select t.slug || ' ' || sum(s.share) filter (where s.succeeded_at is not null) || ' ' || sum(s.share)
            from deployment_shares as s inner join teams as t on s.team_id = t.id
            where s.finished_at >= '2026-06-01' and s.finished_at < '2026-06-08'
            group by t.slug order by t.slug",
        )
        .await?;
    assert_eq!(shares, ["payments 4.75000000 4.75000000", "platform 1.25000000 2.25000000"]);
    let rework = world
        .texts("select array_to_string(rework, ',') from deployment_facts where rework <> '{}' order by finished_at")
        .await?;
    assert_eq!(rework, ["rollback", "hotfix"]);
    let failures = world
        .texts("select reason || ' ' || to_char(remedied_at at time zone 'UTC', 'DD HH24:MI') from deployment_failures")
        .await?;
    assert_eq!(failures, ["rolled_back 03 13:00"]);
    let leads = world
        .texts(
            "select p.number || ' ' || (a.lead_seconds / 3600)::numeric(6, 2)
            from pr_attributions as a inner join pull_requests as p on a.pull_request_id = p.id
            where a.lead_seconds is not null group by 1, p.number order by p.number",
        )
        .await?;
    assert_eq!(leads, ["101 2.00", "102 26.00", "103 48.00", "104 4.00", "106 1.00"]);
    assert_eq!(world.store.derive_all(false).await?.rows, 0);
    Ok(())
}
