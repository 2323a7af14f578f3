//! A real history: which publication first contained each merged pull request, as git ancestry says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use chrono::TimeDelta;
use mergeline_collector::{CollectOptions, collect};
use mergeline_fake_github::{FakeDeployment, FakeGitCommit, FakePullRequest, at, recorded};

use crate::common::World;

const NAME: &str = "cfrg__draft-irtf-cfrg-vdaf";
/// After the last recorded change.
const AFTER: &str = "2026-07-01T00:00:00Z";

/// The recorded data.
struct History {
    pull_requests: Vec<FakePullRequest>,
    deployments: Vec<FakeDeployment>,
    commits: Vec<FakeGitCommit>,
    expected: BTreeMap<i64, i64>,
}

impl History {
    fn read(folder: &Path) -> Result<Self> {
        let pull_requests = recorded::pull_requests(folder, NAME)?;
        let deployments = recorded::deployments(folder, NAME)?;
        let commits = recorded::line_of_commits(&pull_requests, &deployments);
        let expected = recorded::first_deploys(folder, NAME)?;
        let expected = expected.into_iter().map(|(number, it)| (number, it.deploy)).collect();
        Ok(Self { pull_requests, deployments, commits, expected })
    }

    async fn world(&self) -> Result<World> {
        let world = World::unconfigured().await?;
        let repository = &self.pull_requests.first().context("pull requests")?.repository;
        let authors: BTreeSet<&str> =
            self.pull_requests.iter().filter_map(|it| Some(it.user.as_ref()?.login.as_str())).collect();
        let members: Vec<String> =
            authors.iter().filter(|it| !it.ends_with(']')).map(|login| format!("{{ github: {login} }}")).collect();
        world.apply_to(repository, &format!("{{ slug: all, members: [{}] }}", members.join(", "))).await?;
        world.fake.put(self.pull_requests.iter().cloned());
        world.fake.put_commits(repository, self.commits.iter().cloned());
        Ok(world)
    }
}

async fn collect_all(world: &World, verifies: bool) -> Result<()> {
    let options = CollectOptions::at_a_terminal(at(AFTER), TimeDelta::days(3_000), 1);
    let options = CollectOptions { verifies, ..options };
    let report = collect(&world.github, &world.store, &options, &|_| {}).await?;
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(world.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    Ok(())
}

/// Which deployment delivered each pull request, of those that the truth has.
async fn delivered(world: &World, history: &History) -> Result<BTreeMap<i64, i64>> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "select p.number, d.external_id::bigint
        from pr_deliveries as l
        inner join pull_requests as p on l.pull_request_id = p.id
        inner join deployments as d on l.deployment_id = d.id",
    )
    .fetch_all(&world.database.pool().await?)
    .await?;
    Ok(rows.into_iter().filter(|(number, _)| history.expected.contains_key(number)).collect())
}

/// Shuffles in the same way each time.
fn shuffled(deployments: &[FakeDeployment]) -> Vec<FakeDeployment> {
    let mut shuffled = deployments.to_vec();
    shuffled.sort_by_key(|it| it.id.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()));
    shuffled
}

#[tokio::test]
async fn each_real_delivery_is_that_of_git_ancestry() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let history = History::read(&folder)?;
    assert_eq!(history.expected.len(), 183);
    let world = history.world().await?;
    world.fake.put_deployments(history.deployments.iter().cloned());
    collect_all(&world, false).await?;
    assert_eq!(delivered(&world, &history).await?, history.expected);
    Ok(())
}

#[tokio::test]
async fn the_order_of_arrival_does_not_matter() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let history = History::read(&folder)?;
    let newest_first: Vec<FakeDeployment> = history.deployments.iter().rev().cloned().collect();
    for order in [newest_first, shuffled(&history.deployments)] {
        let world = history.world().await?;
        for some in order.chunks(order.len().div_ceil(4)) {
            world.fake.put_deployments(some.iter().cloned());
            collect_all(&world, true).await?;
        }
        assert_eq!(delivered(&world, &history).await?, history.expected);
    }
    Ok(())
}

#[tokio::test]
async fn what_a_deleted_deployment_delivered_moves_to_the_next() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let history = History::read(&folder)?;
    let world = history.world().await?;
    world.fake.put_deployments(history.deployments.iter().cloned());
    collect_all(&world, false).await?;
    let gone: BTreeSet<i64> = history.expected.values().copied().step_by(7).collect();
    for id in &gone {
        world.fake.delete_deployment("cfrg/draft-irtf-cfrg-vdaf", *id);
    }
    collect_all(&world, true).await?;
    let moved = delivered(&world, &history).await?;
    for (number, by) in &history.expected {
        let now_by = moved.get(number);
        assert_eq!(now_by == Some(by), !gone.contains(by), "#{number} was delivered by {by}, now by {now_by:?}");
        assert!(now_by.is_none_or(|by| !gone.contains(by)));
    }
    world.fake.put_deployments(history.deployments.iter().cloned());
    collect_all(&world, true).await?;
    assert_eq!(delivered(&world, &history).await?, history.expected, "it came back late");
    Ok(())
}
