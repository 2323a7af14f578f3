//! Every number of the API equals an independent implementation in plain Rust, for random memberships, pull requests,
//! zones and queries. Readers can recompute it from the CSV alone.
//!
//! The default is 25 organizations. `EQUALITY_CASES=500 cargo test -p mergeline-api --test equality` tries more, the
//! same ones each time. A failure names the case and the query.

mod definitions;
mod organization;
mod spreadsheet;
mod world;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::NaiveDate;
use definitions::{Expected, Unit, are_near, assert_near, local_day, real, whole};
use organization::{Change, Organization, Question, TEAMS, organizations};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use spreadsheet::assert_redone;
use world::World;

/// Where a response has the durations, and their names in CSV, in the order of `Change::durations`.
const DURATIONS: [(&str, &str); 4] = [
    ("/cycle_time", "cycle_time_hours"),
    ("/phases/coding", "coding_hours"),
    ("/phases/pickup", "pickup_hours"),
    ("/phases/review", "review_hours"),
];

/// Runs the check on each random organization.
async fn for_each_organization(check: impl AsyncFn(&World, &Question, String) -> Result<()>) -> Result<()> {
    let cases: usize = std::env::var("EQUALITY_CASES").map_or(Ok(25), |text| text.parse())?;
    let mut runner = TestRunner::deterministic();
    for case in 0..cases {
        let organization = organizations().new_tree(&mut runner).map_err(anyhow::Error::msg)?.current();
        let world = World::of(organization).await?;
        for question in &world.organization.questions {
            check(&world, question, format!("case {case}, {question:?}")).await?;
        }
        world.close().await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_api_equals_plain_rust_for_random_organizations() -> Result<()> {
    for_each_organization(async |world, question, context| {
        let mut units = 0;
        let mut shares = BTreeMap::new();
        for team in TEAMS {
            let context = format!("team {team}, {context}");
            units += assert_buckets(world, question, team, &context).await?;
            assert_list(world, question, team, &mut shares, &context).await?;
        }
        assert_conserved(&world.organization, question, units, &shares, &context);
        assert_organization(world, question, &context).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_spreadsheet_reproduces_every_number() -> Result<()> {
    for_each_organization(async |world, question, context| {
        for team in TEAMS {
            let rows = world.rows_of_csv(team, &question.filters()).await?;
            let velocity = world.ask(&format!("{team}/velocity"), &question.buckets(Unit::Week)).await?;
            assert_redone(&rows, &velocity, &format!("team {team}, {context}"))?;
        }
        Ok(())
    })
    .await
}

/// Checks velocity and lead time of a team, by bucket and in total. Returns the total's ten-thousandths.
async fn assert_buckets(world: &World, question: &Question, team: &str, context: &str) -> Result<i64> {
    let zone = question.zone.unwrap_or(world.organization.zone);
    let mut buckets: BTreeMap<NaiveDate, Expected> = BTreeMap::new();
    let mut total = Expected::default();
    for change in world.organization.asked(question) {
        let units = world.organization.units(change, team);
        if let (None, Some(merged_at)) = (change.excluded(units), change.merged_at) {
            let counted = (change, if question.is_full { 10_000 } else { units });
            buckets.entry(question.unit.start(local_day(merged_at, zone))).or_default().0.push(counted);
            total.0.push(counted);
        }
    }
    for (path, usual) in [("velocity", Unit::Week), ("lead-time", Unit::Month)] {
        let answer = world.ask(&format!("{team}/{path}"), &question.buckets(usual)).await?;
        let context = format!("{path}, {context}");
        total.assert_is(&answer["data"]["total"], &format!("total, {context}"));
        let found = answer["data"]["buckets"].as_array().context("buckets")?;
        let starts = question.starts();
        assert_eq!(found.len(), starts.len(), "{context}");
        for (found, start) in found.iter().zip(starts) {
            let end = question.unit.next(start);
            let label = question.unit.label(start);
            let is_complete = world.organization.is_complete(question, start, end);
            let head = json!([found["bucket"], found["start"], found["end"], found["complete"]]);
            assert_eq!(head, json!([label, start, end, is_complete]), "{context}");
            buckets.get(&start).unwrap_or(&Expected::default()).assert_is(found, &format!("{label}, {context}"));
        }
    }
    Ok(total.units())
}

/// Checks the list behind a team's numbers, with the reasons. Adds the weights of merged pull requests to `shares`.
async fn assert_list(
    world: &World,
    question: &Question,
    team: &str,
    shares: &mut BTreeMap<(String, i64), f64>,
    context: &str,
) -> Result<()> {
    let organization = &world.organization;
    let is_listed = |change: &&_| organization.is_member(change, Some(team));
    let mut expected: Vec<Value> = organization
        .asked(question)
        .filter(is_listed)
        .map(|change| {
            let units = organization.units(change, team);
            let excluded = change.excluded(units);
            let weight = match excluded {
                Some(_) => 0.0,
                None if question.is_full => 1.0,
                None => real(units) / 10_000.0,
            };
            let decided_at = change.decided_at().format("%Y-%m-%dT%H:%M:%SZ").to_string();
            json!([change.repository, change.number, decided_at, excluded, weight, change.durations()])
        })
        .collect();
    let rows = world.pull_requests(team, &question.filters()).await?;
    let instants: Vec<&str> = rows.iter().filter_map(|row| row["rule"]["attributed_at"].as_str()).collect();
    assert!(instants.is_sorted(), "{context}");
    let mut found: Vec<Value> = rows
        .iter()
        .map(|row| {
            assert_eq!(row["counts"], row["excluded"].is_null(), "{context}");
            let seconds = DURATIONS.map(|(_, key)| row[key].as_f64().map(|hours| whole(hours * 3_600.0)));
            let decided_at = &row["rule"]["attributed_at"];
            json!([row["repository"], row["number"], decided_at, row["excluded"], row["weight"], seconds])
        })
        .collect();
    for list in [&mut expected, &mut found] {
        list.sort_by_key(|row| (row[0].to_string(), row[1].as_i64()));
    }
    assert_eq!(found, expected, "{context}");
    for row in rows.iter().filter(|row| row["state"] == "merged" && row["excluded"] != "deleted") {
        let key = (row["repository"].to_string(), row["number"].as_i64().context("a number")?);
        *shares.entry(key).or_default() += row["weight"].as_f64().context("a weight")?;
    }
    Ok(())
}

/// The weights over all teams plus the unallocated rest equal the number of distinct pull requests.
fn assert_conserved(
    organization: &Organization,
    question: &Question,
    units: i64,
    shares: &BTreeMap<(String, i64), f64>,
    context: &str,
) {
    let distinct = organization
        .asked(question)
        .filter(|change| change.merged_at.is_some() && !change.is_deleted && organization.is_member(change, None))
        .count();
    assert_eq!(shares.len(), distinct, "{context}");
    if question.is_full {
        return;
    }
    assert!(shares.values().all(|share| *share < 1.0 + 1e-9), "{context}");
    let unallocated: f64 = shares.values().map(|share| 1.0 - share).sum();
    let sum = real(units) / 10_000.0 + unallocated;
    assert!(are_near(sum, real(i64::try_from(distinct).unwrap_or_default())), "{sum} of {distinct}, {context}");
}

/// Checks the numbers of the organization, each pull request once, and that the weights of all teams and what is left over sum to
/// them, in every bucket and in total.
async fn assert_organization(world: &World, question: &Question, context: &str) -> Result<()> {
    let organization = &world.organization;
    let zone = question.zone.unwrap_or(organization.zone);
    let mut buckets: BTreeMap<NaiveDate, Rest> = BTreeMap::new();
    let mut total = Rest::default();
    let stored = |change: &&_| organization.is_member(change, None);
    for change in organization.asked(question).filter(stored) {
        let Some(merged_at) = change.merged_at else { continue };
        let units: i64 = TEAMS.iter().map(|team| organization.units(change, team)).sum();
        let bucket = buckets.entry(question.unit.start(local_day(merged_at, zone))).or_default();
        for rest in [bucket, &mut total] {
            rest.add(change, units);
        }
    }
    for (path, usual) in [("velocity", Unit::Week), ("lead-time", Unit::Month)] {
        let answer = world.ask_all(path, &question.of_all().buckets(usual)).await?;
        let context = format!("organization {path}, {context}");
        total.assert_is(&answer["data"]["total"], &format!("total, {context}"));
        assert_eq!(answer["data"]["total"]["not_counted"]["deleted"], total.deleted, "{context}");
        let found = answer["data"]["buckets"].as_array().context("buckets")?;
        let starts = question.starts();
        assert_eq!(found.len(), starts.len(), "{context}");
        for (found, start) in found.iter().zip(starts) {
            let label = question.unit.label(start);
            buckets.get(&start).unwrap_or(&Rest::default()).assert_is(found, &format!("{label}, {context}"));
        }
    }
    Ok(())
}

/// The stored pull requests of a bucket or a range, and which part of them counts for teams.
#[derive(Default)]
struct Rest<'a> {
    each_once: Expected<'a>,
    units: i64,
    no_team: i64,
    partly: i64,
    deleted: i64,
}

impl<'a> Rest<'a> {
    fn add(&mut self, change: &'a Change, units: i64) {
        if change.is_deleted {
            self.deleted += 1;
            return;
        }
        self.each_once.0.push((change, 10_000));
        self.units += units;
        self.no_team += i64::from(units == 0);
        self.partly += i64::from((1..10_000).contains(&units));
    }

    fn assert_is(&self, found: &Value, context: &str) {
        assert_near(&found["prs_merged_weighted"], real(self.units) / 10_000.0, context);
        let mut once = found.clone();
        once["prs_merged_weighted"] = found["prs_merged"].clone();
        self.each_once.assert_is(&once, context);
        let rest = &found["unallocated"];
        assert_eq!((&rest["no_team"], &rest["partly"]), (&self.no_team.into(), &self.partly.into()), "{context}");
        assert_near(&rest["weight"], real(self.each_once.units() - self.units) / 10_000.0, context);
    }
}
