//! Services at the edge: one that nothing ever reached, and two that share a repository.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use mergeline_fake_github::example::TEAMS;
use mergeline_fake_github::{FakeGitCommit, FakeGitHub, FakePullRequest, at, deployment, pr};
use mergeline_test_support::TestDatabase;
use serde_json::{Value, json};

use super::events::Posting;
use super::{WEEK, World, assert_nothing_is_lost, collected, shown, teams_file};

/// The commits, each of a pull request: its author, when it was merged, and the file that it changes.
const MERGED: [(&str, &str, &str); 6] = [
    ("ana", "2026-05-29T08:00:00Z", "src/a.rs"),
    ("ana", "2026-06-01T08:00:00Z", "src/b.rs"),
    ("bob", "2026-06-02T08:00:00Z", "src/c.rs"),
    ("cho", "2026-06-03T08:00:00Z", "src/d.rs"),
    ("stranger", "2026-06-04T08:00:00Z", "src/e.rs"),
    ("ana", "2026-06-05T08:00:00Z", "README.md"),
];

/// The id of the commit with this number.
fn oid(number: u64) -> String {
    format!("{number:040x}")
}

/// A repository in which all that was merged, four hours after its first commit.
async fn github() -> Result<FakeGitHub> {
    let fake = FakeGitHub::start().await?;
    fake.require_token("ghp_canary");
    for (number, (author, merged_at, file)) in (1..).zip(MERGED) {
        let parents = if number > 1 { vec![oid(number - 1)] } else { Vec::new() };
        fake.put_commits("acme/shop", [FakeGitCommit { oid: oid(number), parents, committed_at: at(merged_at) }]);
        let began = at(merged_at) - chrono::TimeDelta::hours(4);
        let merged = pr("acme/shop", i64::try_from(number)?).by(author).first_commit(&began.to_rfc3339());
        let merged = merged.merged(merged_at).merge_commit(&oid(number)).changing(&[file]);
        fake.put([FakePullRequest { created_at: began, ..merged }]);
    }
    Ok(fake)
}

#[tokio::test]
async fn only_failed_attempts_are_no_deployment_no_success_and_no_fail_rate() -> Result<()> {
    let fake = github().await?;
    fake.put_deployments([
        deployment("acme/shop", 1, &oid(2), "2026-06-01T09:00:00Z").status("failure", "2026-06-01T09:00:00Z"),
        deployment("acme/shop", 2, &oid(3), "2026-06-02T09:00:00Z").status("error", "2026-06-02T09:00:00Z"),
    ]);
    let database = TestDatabase::create().await?;
    collected(&fake, &database, &teams_file()).await?;
    let world = World::serving(database)?;
    let expected = json!({
        "succeeded": [0.0, 0.0], "per_day": [0.0, 0.0], "kinds": [0.0, 0.0, 0.0],
        "failed": [0.0, 0.0], "fail_rate": [null, null], "rework_rate": [null, null],
        "finished": [2.0, 2.0], "success_rate": [0.0, 0.0],
        "lead_time": [0.0, 0.0, null, null, null, null],
        "recovery": [0.0, 0.0, null, null], "mttr": [0.0, null, 0.0, 0.0], "deployment_recovery": [0.0, null],
    });
    let path = format!("/v1/metrics/service/acme.shop/dora?{WEEK}");
    let answer = world.get(&path).await?;
    assert_eq!(shown(&answer["data"]["total"]), expected);
    assert_eq!(shown(&answer["data"]["buckets"][0]), expected, "one week");
    let text = world.text(&format!("{path}&format=csv")).await?;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().context("a header")?;
    let rows: Vec<Vec<&str>> = lines.collect();
    assert_eq!(rows.len(), 2, "a week and the total");
    for row in rows {
        let of = |column: &str| header.iter().position(|name| *name == column).map(|place| row[place]);
        for (column, value) in [
            ("deployments", "0"),
            ("deployments_per_day", "0"),
            ("deployments_per_day_weighted", "0"),
            ("change_fail_rate", ""),
            ("change_fail_rate_weighted", ""),
            ("finished", "2"),
            ("deployment_success_rate", "0"),
            ("deployment_success_rate_weighted", "0"),
            ("change_lead_time_p50_hours", ""),
        ] {
            assert_eq!(of(column), Some(value), "{column} of {}", row[0]);
        }
    }
    assert_eq!(answer["meta"]["deployments"]["services_with_deployments"], json!(1));
    Ok(())
}

/// The attempts of two services, each by its commit, how it ended and when.
const ATTEMPTS: [(&str, u64, &str, &str); 11] = [
    ("shop", 1, "success", "2026-05-30T09:00:00Z"),
    ("shop", 2, "success", "2026-06-01T10:00:00Z"),
    ("shop", 3, "success", "2026-06-02T10:00:00Z"),
    ("shop", 2, "success", "2026-06-02T14:00:00Z"),
    ("shop", 4, "success", "2026-06-03T15:00:00Z"),
    ("shop", 5, "success", "2026-06-04T10:00:00Z"),
    ("admin", 1, "success", "2026-05-30T10:00:00Z"),
    ("admin", 3, "success", "2026-06-02T09:00:00Z"),
    ("admin", 4, "failure", "2026-06-03T09:00:00Z"),
    ("admin", 5, "success", "2026-06-04T09:00:00Z"),
    ("admin", 5, "success", "2026-06-05T09:00:00Z"),
];

/// A teams file in which `more` is said of both services, and one has other environments.
fn two_services(top: &str, more: &str, environments: &str) -> String {
    let owners = "owners: [{ team: payments, weight: 0.6 }, { team: platform, weight: 0.4 }]";
    format!(
        "version: 1\nrepositories: [acme/shop]\n{top}services:\n\
         - {{ slug: shop, repositories: [acme/shop], {more}{owners} }}\n\
         - {{ slug: admin, repositories: [acme/shop], {more}{environments}owners: [{{ team: platform, weight: 0.5 }}] }}\n\
         teams: [{TEAMS}]\n"
    )
}

/// What both did, read from GitHub, where their environments tell them apart.
async fn read(more: &str) -> Result<World> {
    let fake = github().await?;
    fake.put_deployments((1..).zip(ATTEMPTS).map(|(number, (service, commit, status, time))| {
        let environment = if service == "shop" { "production" } else { "prod-admin" };
        deployment("acme/shop", number, &oid(commit), time).to(environment).status(status, time)
    }));
    let database = TestDatabase::create().await?;
    collected(&fake, &database, &two_services("", more, "environments: [prod-admin], ")).await?;
    World::serving(database)
}

/// The same, posted to one environment of both: each names its service.
async fn posted(more: &str) -> Result<World> {
    let teams = two_services("deployments: { source: events }\n", more, "");
    let posting = Posting::of(github().await?, &teams).await?;
    for (number, (service, commit, status, time)) in (1..).zip(ATTEMPTS) {
        let body = json!({
            "id": format!("ci-{number}"), "service": service, "environment": "production", "status": status,
            "sha": oid(commit), "finished_at": time
        });
        let (status, answer) = posting.send("other", "/deployments", "application/json", body.to_string()).await?;
        ensure!(status == 201, "{answer}");
    }
    // The commits are read by the next collection.
    collected(&posting.fake, &posting.world.database, &teams).await?;
    World::serving(posting.world.database)
}

/// What an answer says of deployments and what they delivered.
fn counts(answer: &Value) -> Value {
    let total = &answer["data"]["total"];
    let of = |pointer: &str| total.pointer(&format!("{pointer}/n")).cloned().unwrap_or_else(|| json!(pointer));
    let kinds = ["change", "rollback", "redeploy"].map(|kind| of(&format!("/deployment_frequency/kinds/{kind}")));
    json!({
        "succeeded": of("/deployment_frequency"),
        "kinds": kinds,
        "finished": of("/deployment_success_rate/finished"),
        "failed": of("/change_fail_rate/failed"),
        "rework": of("/rework_rate/rework"),
        "delivered": of("/change_lead_time/delivered"),
        "p50_hours": total["change_lead_time"]["p50_hours"],
    })
}

/// The deployments of a service, or of all.
async fn listed(world: &World, of: &str) -> Result<BTreeSet<i64>> {
    let answer = world.get(&format!("/v1/deployments?{WEEK}{of}")).await?;
    let rows = answer["data"].as_array().context("rows")?;
    let ids: BTreeSet<i64> = rows.iter().filter_map(|row| row["id"].as_i64()).collect();
    assert_eq!(ids.len(), rows.len(), "each is listed once");
    Ok(ids)
}

/// Asserts that each of two services has its own deployments and delivers for itself, and that all have each one once.
async fn assert_each_counts_once(world: &World, of_readme: &str) -> Result<()> {
    let of = async |subject: &str| world.get(&format!("/v1/metrics/{subject}dora?{WEEK}")).await;
    let shop = json!({
        "succeeded": 5, "kinds": [4, 1, 0], "finished": 5, "failed": 1, "rework": 1, "delivered": 3, "p50_hours": 6.0
    });
    let admin = json!({
        "succeeded": 3, "kinds": [2, 0, 1], "finished": 4, "failed": 0, "rework": 0, "delivered": 3, "p50_hours": 29.0
    });
    // Of the whole, #2 is delivered by shop, and #3 and #4 by whichever was earlier.
    let all = json!({
        "succeeded": 8, "kinds": [6, 1, 1], "finished": 9, "failed": 1, "rework": 1, "delivered": 3, "p50_hours": 6.0
    });
    assert_eq!(counts(&of("service/shop/").await?), shop);
    assert_eq!(counts(&of("service/admin/").await?), admin);
    let organization = of("").await?;
    assert_eq!(counts(&organization), all);
    let left = &organization["data"]["total"];
    assert_eq!(left["unattributed"]["succeeded"], json!(1.0), "nobody in a team wrote what shop deployed last");
    assert_eq!(left["not_delivered"][of_readme], json!({ "n": 1, "weight": 1.0 }), "#6");
    for (service, expected) in [("shop", shop), ("admin", admin)] {
        let filtered = world.get(&format!("/v1/metrics/dora?{WEEK}&service={service}")).await?;
        assert_eq!(counts(&filtered), expected, "the organization's, of {service} alone");
    }
    let (shop, admin) = (listed(world, "&service=shop").await?, listed(world, "&service=admin").await?);
    assert_eq!((shop.len(), admin.len()), (5, 4));
    assert_eq!(listed(world, "").await?, shop.union(&admin).copied().collect(), "and none belongs to both");
    assert!(shop.is_disjoint(&admin));
    for basis in ["delivered", "owned"] {
        assert_nothing_is_lost(world, &format!("{WEEK}&basis={basis}&interval=day")).await?;
    }
    let owned = of_basis(world, "owned").await?;
    assert_eq!(owned["unattributed"]["succeeded"], json!(1.5), "nobody owns half of admin");
    Ok(())
}

async fn of_basis(world: &World, basis: &str) -> Result<Value> {
    Ok(world.get(&format!("/v1/metrics/dora?{WEEK}&basis={basis}")).await?["data"]["total"].take())
}

#[tokio::test]
async fn two_services_of_one_whole_repository_have_their_own_and_all_have_each_once() -> Result<()> {
    for world in [read("").await?, posted("").await?] {
        assert_each_counts_once(&world, "not_deployed_yet").await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_services_of_the_same_paths_have_their_own_and_all_have_each_once() -> Result<()> {
    for world in [read("paths: [src], ").await?, posted("paths: [src], ").await?] {
        assert_each_counts_once(&world, "no_service").await?;
    }
    Ok(())
}
