//! The worked example: a service of two teams in one week, with a failed attempt, a rollback, a hotfix and a redeploy.

use anyhow::Result;
use mergeline_fake_github::example::{TEAMS, put};

use super::{collect_all, deliveries, kinds};
use crate::common::World;

pub(super) async fn world() -> Result<World> {
    let world = World::unconfigured().await?;
    world.apply(TEAMS).await?;
    put(&world.fake, "acme/api");
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
