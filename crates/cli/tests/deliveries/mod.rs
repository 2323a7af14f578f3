//! The deployments of a real history: what the API says that each of them delivered, and what git ancestry says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use mergeline_fake_github::recorded::{self, FirstDeploy};
use serde_json::json;

use crate::{RANGE, World, collected_with, team};

const NAME: &str = "cfrg__draft-irtf-cfrg-vdaf";

async fn world(folder: &Path) -> Result<World> {
    let deployments = recorded::deployments(folder, NAME)?;
    let pull_requests = recorded::pull_requests(folder, NAME)?;
    let repository = pull_requests.first().context("pull requests")?.repository.clone();
    let commits = recorded::line_of_commits(&pull_requests, &deployments);
    let everyone = |authors: &[&str]| team("everyone", authors, "1");
    collected_with(folder, NAME, everyone, |fake| {
        fake.put_commits(&repository, commits);
        fake.put_deployments(deployments);
    })
    .await
}

#[tokio::test]
async fn the_api_tells_each_real_delivery_as_git_ancestry_does() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let expected = recorded::first_deploys(&folder, NAME)?;
    assert_eq!(expected.len(), 183);
    let world = world(&folder).await?;
    let (mut found, mut listed) = (BTreeMap::new(), BTreeMap::<i64, BTreeSet<i64>>::new());
    for pull_request in world.pull_requests("everyone").await? {
        let number = pull_request["number"].as_i64().context("a number")?;
        if let Some(id) = pull_request["deployment_id"].as_i64() {
            found.insert(number, (id, pull_request["delivered_at"].clone()));
            listed.entry(id).or_default().insert(number);
        }
    }
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "no more and no fewer");
    let mut by_id = BTreeMap::new();
    for (id, numbers) in &listed {
        let deployment = world.answer(&format!("/v1/deployments/{id}")).await?["data"].take();
        let delivered = deployment["pull_requests"].as_array().context("pull requests")?;
        assert!(delivered.iter().all(|it| it["delivered"] == json!(true)), "{deployment}");
        let delivered: BTreeSet<i64> = delivered.iter().filter_map(|it| it["number"].as_i64()).collect();
        assert_eq!((&delivered, &deployment["pull_request_count"]), (numbers, &json!(numbers.len())), "{deployment}");
        by_id.insert(*id, deployment);
    }
    let mut same = 0;
    for (number, FirstDeploy { deploy, deployed_at }) in &expected {
        let (id, delivered_at) = &found[number];
        assert_eq!(by_id[id]["external_id"], json!(deploy.to_string()), "#{number}");
        assert_eq!(delivered_at.as_str().context("an instant")?.parse::<DateTime<Utc>>()?, *deployed_at, "#{number}");
        same += 1;
    }
    assert_eq!(same, 183);
    for path in ["dora", "team/everyone/dora"] {
        let answer = world.answer(&format!("/v1/metrics/{path}?{RANGE}")).await?;
        let delivered = &answer["data"]["total"]["change_lead_time"]["delivered"];
        assert_eq!(*delivered, json!({ "n": 183, "weight": 183.0 }), "{path}");
    }
    assert_eq!(delivering(&world).await?, listed.into_keys().collect(), "no other deployment delivered any");
    Ok(())
}

/// The deployments that say that they delivered any pull request, from all pages.
async fn delivering(world: &World) -> Result<BTreeSet<i64>> {
    let (mut all, mut cursor) = (BTreeSet::new(), String::new());
    loop {
        let answer = world.answer(&format!("/v1/deployments?{RANGE}&limit=100{cursor}")).await?;
        let rows = answer["data"].as_array().context("deployments")?;
        all.extend(
            rows.iter().filter(|row| row["pull_request_count"] != json!(0)).filter_map(|row| row["id"].as_i64()),
        );
        let Some(next) = answer["meta"]["next_cursor"].as_str() else { return Ok(all) };
        cursor = format!("&cursor={next}");
    }
}
