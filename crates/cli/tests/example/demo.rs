//! The organization of `mergeline demo`: what the demo says that it shows is in the API's answers.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use chrono::{DateTime, Datelike, Utc, Weekday};
use mergeline_fake_github::synthetic::{Organization, organization};
use mergeline_fake_github::{FakeDeployment, FakeGitHub, at};
use mergeline_test_support::TestDatabase;
use serde_json::{Value, json};

use super::{NOW, World, assert_same_as_table, collected};

/// All its weeks.
const RANGE: &str = "from=2025-12-15&to=2026-06-16";

struct Demo {
    organization: Organization,
    world: World,
}

impl Demo {
    async fn new() -> Result<Self> {
        let organization = organization(at(NOW));
        let fake = FakeGitHub::start().await?;
        fake.require_token("ghp_canary");
        fake.put_organization(&organization);
        let database = TestDatabase::create().await?;
        collected(&fake, &database, &organization.teams_file).await?;
        Ok(Self { organization, world: World::serving(database)? })
    }

    /// The numbers of a subject in all weeks.
    async fn total(&self, subject: &str, more: &str) -> Result<Value> {
        Ok(self.world.get(&format!("/v1/metrics/{subject}dora?{RANGE}{more}")).await?["data"]["total"].take())
    }

    /// All pages of a list.
    async fn all(&self, list: &str) -> Result<Vec<Value>> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let answer = self.world.get(&format!("/v1/{list}?{RANGE}&limit=100{cursor}")).await?;
            all.extend(answer["data"].as_array().context("rows")?.iter().cloned());
            let Some(next) = answer["meta"]["next_cursor"].as_str() else { return Ok(all) };
            cursor = format!("&cursor={next}");
        }
    }

    async fn deployments(&self) -> Result<BTreeMap<i64, Value>> {
        let rows = self.all("deployments").await?.into_iter();
        rows.map(|row| Ok((row["id"].as_i64().context("an id")?, row))).collect()
    }
}

fn has(list: &Value, word: &str) -> bool {
    list.as_array().is_some_and(|words| words.contains(&json!(word)))
}

#[tokio::test]
async fn the_demo_has_changes_rollbacks_and_failed_attempts() -> Result<()> {
    let demo = Demo::new().await?;
    let ended_as = |deployment: &&FakeDeployment, state: &str| {
        deployment.statuses.last().is_some_and(|status| status.state == state)
    };
    let made = &demo.organization.deployments;
    let (mut shas, mut again) = (BTreeSet::new(), 0);
    for deployment in made.iter().filter(|it| ended_as(it, "success")) {
        again += u32::from(!shas.insert(&deployment.sha));
    }
    let (succeeded, attempts) = (shas.len() + usize::try_from(again)?, made.len());
    let failed = made.iter().filter(|it| ended_as(it, "failure")).count();
    assert!(again > 0 && failed > 0, "{again} rollbacks and {failed} failed attempts");
    let total = demo.total("", "").await?;
    let kinds = ["first", "change", "rollback", "unknown"]
        .map(|kind| total["deployment_frequency"]["kinds"][kind]["n"].clone());
    assert_eq!(kinds, [json!(2), json!(shas.len() - 2), json!(again), json!(0)], "two services, each with a first one");
    assert_eq!(
        (&total["deployment_frequency"]["n"], &total["deployment_success_rate"]["finished"]["n"]),
        (&json!(succeeded), &json!(attempts))
    );
    assert_eq!(total["change_fail_rate"]["reasons"]["rolled_back"]["n"], json!(again));
    let deployments = demo.deployments().await?;
    let rolled_back: Vec<&Value> = deployments.values().filter(|it| has(&it["failures"], "rolled_back")).collect();
    assert_eq!(rolled_back.len(), usize::try_from(again)?);
    for row in rolled_back {
        let remedy = &deployments[&row["remedied_by"].as_i64().context("a remedy")?];
        assert_eq!(remedy["kind"], json!("rollback"), "{row}");
    }
    Ok(())
}

#[tokio::test]
async fn each_incident_of_the_demo_fails_a_deployment_and_has_a_hotfix() -> Result<()> {
    let demo = Demo::new().await?;
    let (closed, open): (Vec<_>, Vec<_>) = demo.organization.issues.iter().partition(|it| it.closed_at.is_some());
    assert!(closed.len() > 2, "{closed:?}");
    let total = demo.total("", "").await?;
    assert_eq!((&total["mttr"]["n"], &total["mttr"]["open"]["n"]), (&json!(closed.len()), &json!(open.len())));
    assert_eq!(
        total["recovery_time"]["p50_hours"],
        json!(4.0),
        "each has a deployment, and is closed after four hours"
    );
    for reason in ["hotfix", "incident_fix"] {
        assert_eq!(total["rework_rate"]["reasons"][reason]["n"], json!(closed.len()), "{reason}");
    }
    let (deployments, incidents) = (demo.deployments().await?, demo.all("incidents").await?);
    assert_eq!(incidents.len(), demo.organization.issues.len());
    let mut failed = BTreeSet::new();
    for incident in &incidents {
        assert_eq!((&incident["service"], &incident["severity"]), (&json!("shop"), &json!("high")), "{incident}");
        let id = incident["deployment_id"].as_i64().context("a deployment")?;
        assert!(has(&deployments[&id]["failures"], "incident"), "{incident}");
        failed.insert(id);
    }
    assert_eq!(failed.len(), incidents.len(), "each of another deployment");
    assert_eq!(total["change_fail_rate"]["reasons"]["incident"]["n"], json!(failed.len()));
    Ok(())
}

#[tokio::test]
async fn two_teams_own_a_service_of_the_demo() -> Result<()> {
    let demo = Demo::new().await?;
    let services = demo.world.get("/v1/services").await?;
    let shop = &services["data"][0];
    let owners = json!([
        { "team": "payments", "weight": 0.7, "from": null, "to": null },
        { "team": "platform", "weight": 0.3, "from": null, "to": null },
    ]);
    assert_eq!((&shop["slug"], &shop["owners"], &shop["has_deployments"]), (&json!("shop"), &owners, &json!(true)));
    let n = demo.total("service/shop/", "").await?["deployment_frequency"]["n"].as_f64().context("a number")?;
    for (team, share) in [("payments", 0.7), ("platform", 0.3)] {
        let owned = demo.total(&format!("team/{team}/"), "&basis=owned").await?;
        let weight = owned["deployment_frequency"]["weight"].as_f64().context("a weight")?;
        assert!((weight - n * share).abs() < 1e-6, "{team}: {weight} of {n}");
        let delivered = demo.total(&format!("team/{team}/"), "").await?;
        assert!(delivered["deployment_frequency"]["weight"] != json!(0.0), "{team} delivers, too");
    }
    Ok(())
}

#[tokio::test]
async fn a_release_train_of_the_demo_leaves_on_thursdays_with_many_pull_requests() -> Result<()> {
    let demo = Demo::new().await?;
    let deployments = demo.deployments().await?;
    let trains: Vec<&Value> = deployments.values().filter(|it| it["service"] == json!("acme.web")).collect();
    assert!(trains.len() > 20, "almost every week: {}", trains.len());
    for train in &trains {
        let left = train["created_at"].as_str().context("an instant")?.parse::<DateTime<Utc>>()?;
        assert_eq!(left.weekday(), Weekday::Thu, "{train}");
    }
    let longest = trains.iter().max_by_key(|it| it["pull_request_count"].as_i64()).context("a train")?;
    let details = demo.world.get(&format!("/v1/deployments/{}", longest["id"])).await?["data"].take();
    let delivered = details["pull_requests"].as_array().context("pull requests")?;
    assert_eq!(details["pull_request_count"], json!(delivered.len()));
    assert!(delivered.len() >= 5, "{details}");
    let authors: BTreeSet<&str> = delivered.iter().filter_map(|it| it["teams"][0]["team"].as_str()).collect();
    assert_eq!(authors, BTreeSet::from(["web"]));
    // What waits for Thursday takes days to be deployed, and what leaves every day does not.
    let median = async |service: &str| {
        let total = demo.total(&format!("service/{service}/"), "").await?;
        total["change_lead_time"]["deploy"]["p50_hours"].as_f64().context("a median")
    };
    let (train, daily) = (median("acme.web").await?, median("shop").await?);
    assert!(train > 48.0 && daily < 48.0, "{train} and {daily}");
    Ok(())
}

#[tokio::test]
async fn the_demo_as_a_table_has_the_same_columns_rows_and_numbers() -> Result<()> {
    let demo = Demo::new().await?;
    let mut filled = BTreeSet::new();
    for subject in ["", "service/shop/", "service/acme.web/", "team/payments/", "team/web/"] {
        for more in ["", "&edition=dora-2023&interval=month"] {
            let path = format!("/v1/metrics/{subject}dora?{RANGE}{more}");
            filled.extend(assert_same_as_table(&demo.world, &path).await?);
        }
    }
    for timing in ["change_lead_time", "deploy"] {
        for end in ["from", "to"] {
            let column = format!("{timing}_p50_interval_{end}_hours");
            assert!(filled.contains(&column), "{column} is empty");
        }
    }
    Ok(())
}
