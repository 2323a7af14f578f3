//! Runs real histories through all of Mergeline: fake GitHub, real collector, real PostgreSQL, the API's answers.
//! Every figure that the API can express equals the one that was computed independently of this project.

mod deliveries;
mod example;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::BodyExt;
use mergeline_api::{Api, router};
use mergeline_collector::{CollectOptions, Sources, collect};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakeGitHub, FakePullRequest, at, recorded};
use mergeline_github::{GitHub, GitHubSettings};
use mergeline_store::{ApplyOptions, RunState};
use mergeline_test_support::TestDatabase;
use serde_json::{Value, json};
use tower::ServiceExt;

/// After the last recorded change.
const NOW: &str = "2026-09-01T00:00:00Z";
/// All recorded data, in whole ISO weeks.
const RANGE: &str = "from=2020-06-01&to=2026-08-31&tz=UTC";

struct World {
    database: TestDatabase,
    router: Router,
    expected: Value,
}

/// Collects one recorded repository with a teams file made from its authors.
async fn collected(folder: &Path, name: &str, teams: impl Fn(&[&str]) -> String) -> Result<World> {
    collected_with(folder, name, teams, |_| ()).await
}

/// The same after more was put into the fake GitHub.
async fn collected_with(
    folder: &Path,
    name: &str,
    teams: impl Fn(&[&str]) -> String,
    put_more: impl FnOnce(&FakeGitHub),
) -> Result<World> {
    let pull_requests = recorded::pull_requests(folder, name)?;
    let repository = pull_requests.first().context("pull requests")?.repository.clone();
    let authors: BTreeSet<&str> = pull_requests
        .iter()
        .filter_map(|pull_request| pull_request.user.as_ref())
        .map(|user| user.login.as_str())
        .collect();
    let authors: Vec<&str> = authors.into_iter().collect();
    let text =
        format!("version: 1\nrepositories: [{repository}]\nallow_weights_above_one: true\nteams:\n{}", teams(&authors));
    let fake = FakeGitHub::start().await?;
    fake.put(pull_requests.clone());
    put_more(&fake);
    let github = connect(&fake)?;
    let database = TestDatabase::create().await?;
    let store = database.store()?;
    store.apply(&TeamsFile::parse("teams.yaml", text.as_bytes())?, ApplyOptions::default(), at(NOW)).await?;
    let options = CollectOptions::at_a_terminal(at(NOW), TimeDelta::days(3_650), 1);
    let report = collect(&github, &store, &options, &|_| {}).await?;
    assert_eq!(report.state, RunState::Succeeded, "{report}");
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("expected/metrics.json"))?)?;
    let expected = expected["repos"][&repository].clone();
    let router = router(Api::new(database.reader()?, Duration::from_secs(20), || at(NOW)));
    Ok(World { database, router, expected })
}

fn connect(fake: &FakeGitHub) -> Result<Sources> {
    let settings = GitHubSettings::from_vars(|name| match name {
        "GITHUB_API_URL" => Some(fake.url()),
        "GITHUB_PAT" => Some(FakeGitHub::TOKEN.to_owned()),
        _ => None,
    });
    Ok(GitHub::connect(&settings.expect("valid settings"))?.into())
}

/// A team with these members, all with the same weight.
fn team(slug: &str, members: &[&str], weight: &str) -> String {
    let members: Vec<String> =
        members.iter().map(|login| format!("{{ github: '{login}', weight: {weight} }}")).collect();
    format!("  - {{ slug: {slug}, members: [{}] }}\n", members.join(", "))
}

impl World {
    async fn answer(&self, address: &str) -> Result<Value> {
        let response = self.router.clone().oneshot(Request::get(address).body(Body::empty())?).await?;
        assert_eq!(response.status(), 200, "{address}");
        Ok(serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
    }

    async fn ask(&self, path: &str, query: &str) -> Result<Value> {
        self.answer(&format!("/v1/metrics/team/{path}?{query}")).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.ask(path, RANGE).await
    }

    /// All pages of a team's pull requests.
    async fn pull_requests(&self, slug: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let answer = self.get_page(slug, &cursor).await?;
            all.extend(answer["data"]["pull_requests"].as_array().context("pull requests")?.iter().cloned());
            let Some(next) = answer["meta"]["next_cursor"].as_str() else { return Ok(all) };
            cursor = format!("&cursor={next}");
        }
    }

    async fn get_page(&self, slug: &str, cursor: &str) -> Result<Value> {
        self.ask(&format!("{slug}/pull-requests"), &format!("{RANGE}&limit=100{cursor}")).await
    }

    /// Asserts that a team's percentiles and mean equal the expected ones from opening to merge.
    async fn assert_cycle_times(&self, slug: &str) -> Result<()> {
        let answer = self.get(&format!("{slug}/lead-time")).await?;
        assert_statistics(&answer["data"]["total"]["cycle_time"], &self.expected["open_to_merge"], slug)
    }
}

/// Asserts that an answer's statistics equal the expected ones, which are in seconds.
fn assert_statistics(found: &Value, expected: &Value, context: &str) -> Result<()> {
    assert_eq!(found["n"], expected["n"], "{context}");
    for (ours, theirs) in [
        ("p50_hours", "p50_cont"),
        ("p75_hours", "p75_cont"),
        ("p90_hours", "p90_cont"),
        ("p95_hours", "p95_cont"),
        ("mean_hours", "mean"),
    ] {
        let seconds = found[ours].as_f64().context("a number")? * 3_600.0;
        assert_near(seconds, &expected[theirs], &format!("{context} {ours}"));
    }
    Ok(())
}

/// Expected figures are given to three decimals of a second.
fn assert_near(found: f64, expected: &Value, context: &str) {
    let expected = expected.as_f64().unwrap_or(f64::NAN);
    assert!((found - expected).abs() <= 0.000_6 + expected * 1e-12, "{context}: found {found}, expected {expected}");
}

/// Asserts that all expected figures of a duration follow from the listed pull requests.
fn assert_figures(mut seconds: Vec<i64>, expected: &Value, context: &str) {
    seconds.sort_unstable();
    let last = seconds.len() - 1;
    assert_eq!(expected["n"], seconds.len(), "{context}");
    assert_eq!(expected["min"], seconds[0], "{context}");
    assert_eq!(expected["max"], seconds[last], "{context}");
    assert_eq!(expected["negative"], 0, "{context}: no negative durations");
    assert_near(real(seconds.iter().sum()) / real_length(&seconds), &expected["mean"], &format!("{context} mean"));
    for percent in [50, 75, 90, 95] {
        // Nearest rank.
        let rank = (percent * seconds.len()).div_ceil(100);
        assert_eq!(expected[format!("p{percent}_disc")], seconds[rank - 1], "{context}");
        // Interpolated between two ranks.
        let (below, hundredths) = (percent * last / 100, percent * last % 100);
        let (low, high) = (seconds[below], seconds[last.min(below + 1)]);
        let hundredths = real(i64::try_from(hundredths).unwrap_or_default());
        let found = real(low) + real(high - low) * hundredths / 100.0;
        assert_near(found, &expected[format!("p{percent}_cont")], &format!("{context} p{percent}"));
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn real(number: i64) -> f64 {
    number as f64
}

fn real_length(list: &[i64]) -> f64 {
    real(i64::try_from(list.len()).unwrap_or_default())
}

/// A duration of a listed pull request in seconds, which the API divided into hours.
fn seconds(pull_request: &Value, field: &str) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "far below 2^53")]
    pull_request[field].as_f64().map(|hours| (hours * 3_600.0).round() as i64)
}

/// Merged pull requests by ISO week, without empty weeks.
fn by_week(velocity: &Value, field: &str) -> BTreeMap<String, f64> {
    let buckets = velocity["data"]["buckets"].as_array().cloned().unwrap_or_default();
    let count = |bucket: &Value| {
        (bucket["bucket"].as_str().unwrap_or_default().to_owned(), bucket[field].as_f64().unwrap_or(-1.0))
    };
    buckets.iter().map(count).filter(|(_, merged)| *merged != 0.0).collect()
}

fn expected_by_week(expected: &Value) -> BTreeMap<String, f64> {
    let weeks = expected["merged_per_week"].as_object().cloned().unwrap_or_default();
    weeks.into_iter().map(|(week, merged)| (week, merged.as_f64().unwrap_or(-1.0))).collect()
}

/// The count of each name.
fn counted<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

fn text<'a>(pull_request: &'a Value, field: &str) -> &'a str {
    pull_request[field].as_str().unwrap_or_default()
}

/// Checks all figures except `by_user_type`, because the API does not say whether an account belongs to a person.
async fn all_figures_equal(name: &str) -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let world = collected(&folder, name, |authors| team("everyone", authors, "1")).await?;
    let expected = &world.expected;
    let velocity = world.get("everyone/velocity").await?;
    assert_eq!(velocity["data"]["total"]["prs_merged"], expected["merged"]);
    assert_eq!(by_week(&velocity, "prs_merged"), expected_by_week(expected));
    world.assert_cycle_times("everyone").await?;
    let years = expected["per_year"].as_object().context("years")?;
    for (year, expected) in years {
        let next = year.parse::<i32>()? + 1;
        let query = format!("from={year}-01-01&to={next}-01-01&tz=UTC");
        let total = world.ask("everyone/lead-time", &query).await?["data"]["total"].take();
        assert_eq!(total["prs_merged"], expected["merged"], "{year}");
        assert_statistics(&total["cycle_time"], &expected["open_to_merge"], year)?;
    }
    let listed = world.pull_requests("everyone").await?;
    assert_lists(&listed, expected)?;
    assert_durations(&listed, expected, &recorded::pull_requests(&folder, name)?)
}

/// Checks the counts in the list: by state, by author, by week of opening.
fn assert_lists(listed: &[Value], expected: &Value) -> Result<()> {
    assert_eq!(expected["prs"], listed.len());
    let states = counted(listed.iter().map(|pull_request| text(pull_request, "state")));
    for (state, figure) in [("open", "open"), ("merged", "merged"), ("closed", "closed_unmerged")] {
        assert_eq!(expected[figure], states.get(state).copied().unwrap_or_default(), "{state}");
    }
    let authors: BTreeSet<&str> = listed.iter().map(|pull_request| text(pull_request, "author")).collect();
    assert_eq!(expected["authors"], authors.len());
    let of_merged = listed.iter().filter(|pull_request| pull_request["state"] == "merged");
    let mut by_author: Vec<(String, usize)> =
        counted(of_merged.map(|pull_request| text(pull_request, "author"))).into_iter().collect();
    by_author.sort_by_key(|(login, count)| (std::cmp::Reverse(*count), login.clone()));
    let top = expected["merged_by_author_top10"].as_object().context("authors")?;
    // Compare logins without case. With equal counts, any author may be the tenth.
    let least = top.values().filter_map(Value::as_u64).min().context("ten authors")?;
    for (login, count) in top {
        let found = by_author.iter().find(|(author, _)| *author == login.to_lowercase());
        assert_eq!(found.map(|(_, count)| json!(count)), Some(count.clone()), "{login}");
    }
    assert!(by_author.iter().skip(top.len()).all(|(_, count)| *count as u64 <= least), "no other author has more");
    let mut opened = BTreeMap::new();
    for pull_request in listed {
        let week = text(pull_request, "created_at").parse::<DateTime<Utc>>()?.format("%G-W%V").to_string();
        *opened.entry(week).or_insert(0) += 1;
    }
    assert_eq!(json!(opened), expected["opened_per_week"]);
    Ok(())
}

/// Checks figures that no answer has but that follow from the listed durations: smallest, largest, nearest ranks, and
/// times between instants that are not phase boundaries.
fn assert_durations(listed: &[Value], expected: &Value, recorded: &[FakePullRequest]) -> Result<()> {
    let recorded: BTreeMap<i64, &FakePullRequest> = recorded.iter().map(|record| (record.number, record)).collect();
    let (mut open_to_merge, mut commit_to_merge, mut open_to_review) = (Vec::new(), Vec::new(), Vec::new());
    let mut of_years: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for pull_request in listed.iter().filter(|pull_request| pull_request["state"] == "merged") {
        let record = recorded[&pull_request["number"].as_i64().context("a number")?];
        let cycle = seconds(pull_request, "cycle_time_hours").context("merged after it was opened")?;
        open_to_merge.push(cycle);
        of_years.entry(text(pull_request, "merged_at").get(..4).unwrap_or_default()).or_default().push(cycle);
        // Coding plus cycle time, if the first commit came before the opening. After a force push, author dates are
        // later. Then pr_phases@1 uses the commit date, and has no coding time if that is later too. The expected
        // figure still uses the author date, which the API does not return.
        let written_at = record.commits.iter().map(|commit| commit.authored_at).min();
        match written_at.filter(|at| *at > record.created_at) {
            None => commit_to_merge.extend(seconds(pull_request, "coding_hours").map(|coding| coding + cycle)),
            Some(at) => commit_to_merge.push(cycle - (at - record.created_at).num_seconds()),
        }
        // Our pickup starts when a draft becomes ready, the expected figure at the opening: that is cycle time minus
        // review. A first review after the merge is not in any of our phases, but the expected figure counts it.
        let review = seconds(pull_request, "review_hours").map(|review| cycle - review);
        let pickup = seconds(pull_request, "pickup_hours");
        let is_late =
            pull_request["flags"].as_array().is_some_and(|flags| flags.contains(&json!("reviewed_after_merge")));
        assert!(
            !is_late || (review, pickup) == (None, None),
            "{}: pickup and review end with the merge",
            record.number
        );
        let after_merge = record.reviews.iter().filter_map(|review| review.submitted_at);
        let after_merge = after_merge.filter(|at| is_late && Some(*at) > record.merged_at).min();
        let after_merge = after_merge.map(|at| (at - record.created_at).num_seconds());
        // We ignore a review by an account that was deleted later: it may have been the author's. The expected figure
        // counts it as another person's.
        let by_deleted =
            record.reviews.iter().filter(|review| review.user.is_none()).filter_map(|r| r.submitted_at).min();
        let by_deleted = by_deleted.map(|at| (at - record.created_at).num_seconds());
        open_to_review.extend(review.or(pickup).or(after_merge).into_iter().chain(by_deleted).min());
        if let (Some(review), Some(pickup), []) = (review, pickup, &record.draft_events[..]) {
            assert_eq!(review, pickup, "{}: both give the time of the first review", record.number);
        }
    }
    assert_figures(open_to_merge, &expected["open_to_merge"], "open_to_merge");
    assert_figures(commit_to_merge, &expected["commit_to_merge"], "commit_to_merge");
    assert_figures(open_to_review, &expected["open_to_review"], "open_to_review");
    for (year, cycles) in of_years {
        assert_figures(cycles, &expected["per_year"][year]["open_to_merge"], year);
    }
    Ok(())
}

#[tokio::test]
async fn a_rest_recording_has_all_its_expected_figures() -> Result<()> {
    all_figures_equal("bitcoin-core__gui").await
}

#[tokio::test]
async fn a_graphql_recording_has_all_its_expected_figures() -> Result<()> {
    all_figures_equal("cfrg__draft-irtf-cfrg-vdaf").await
}

#[tokio::test]
async fn half_weights_halve_counts_and_keep_percentiles() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let halves = |authors: &[&str]| team("left", authors, "0.5") + &team("right", authors, "0.5");
    let world = collected(&folder, "bitcoin-core__gui", halves).await?;
    let whole = expected_by_week(&world.expected);
    for slug in ["left", "right"] {
        let velocity = world.get(&format!("{slug}/velocity")).await?;
        let doubled: BTreeMap<String, f64> = by_week(&velocity, "prs_merged_weighted")
            .into_iter()
            .map(|(week, weighted)| (week, weighted * 2.0))
            .collect();
        assert_eq!(doubled, whole);
        world.assert_cycle_times(slug).await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_person_teams_have_exactly_their_authors_merges() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let one_each = |authors: &[&str]| {
        authors.iter().enumerate().map(|(n, login)| team(&format!("author-{n}"), &[login], "1")).collect::<String>()
    };
    for name in ["bitcoin-core__gui", "cfrg__draft-irtf-cfrg-vdaf"] {
        let world = collected(&folder, name, one_each).await?;
        let authors: BTreeSet<String> =
            recorded::pull_requests(&folder, name)?.into_iter().filter_map(|p| Some(p.user?.login)).collect();
        let mut sum = 0;
        for (n, login) in authors.iter().enumerate() {
            let total = world.get(&format!("author-{n}/velocity")).await?["data"]["total"].take();
            let merged = total["prs_merged"].as_i64().context("a number")?;
            assert_eq!(total["contributors"], i64::from(merged > 0), "{login}");
            let expected = &world.expected["merged_by_author_top10"][login];
            assert!(expected.is_null() || *expected == merged, "{login}: found {merged}, expected {expected}");
            sum += merged;
        }
        assert_eq!(world.expected["merged"], sum, "all teams together have all merges");
        let by_team: i64 = sqlx::query_scalar("select sum(prs_merged)::bigint from view_team_velocity")
            .fetch_one(&world.database.pool().await?)
            .await?;
        assert_eq!(Some(by_team), world.expected["merged"].as_i64(), "the view has all merges");
    }
    Ok(())
}

#[tokio::test]
async fn changing_teams_splits_the_history_without_loss() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let split = |authors: &[&str]| {
        let until: Vec<String> =
            authors.iter().map(|login| format!("{{ github: '{login}', to: 2022-03-07 }}")).collect();
        let since: Vec<String> =
            authors.iter().map(|login| format!("{{ github: '{login}', from: 2022-03-07 }}")).collect();
        format!(
            "  - {{ slug: before, members: [{}] }}\n  - {{ slug: after, members: [{}] }}\n",
            until.join(", "),
            since.join(", ")
        )
    };
    let world = collected(&folder, "bitcoin-core__gui", split).await?;
    let before = by_week(&world.get("before/velocity").await?, "prs_merged");
    let after = by_week(&world.get("after/velocity").await?, "prs_merged");
    assert!(before.keys().all(|week| week.as_str() < "2022-W10"), "2022-03-07 is the Monday of week 10");
    assert!(after.keys().all(|week| week.as_str() >= "2022-W10"));
    let both: BTreeMap<String, f64> = before.into_iter().chain(after).collect();
    assert_eq!(both, expected_by_week(&world.expected));
    Ok(())
}

#[tokio::test]
async fn recollecting_a_real_history_changes_no_rows() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let world = collected(&folder, "cfrg__draft-irtf-cfrg-vdaf", |authors| team("everyone", authors, "1")).await?;
    let before = world.database.digest().await?;
    let fake = FakeGitHub::start().await?;
    let pull_requests: Vec<FakePullRequest> = recorded::pull_requests(&folder, "cfrg__draft-irtf-cfrg-vdaf")?;
    fake.put(pull_requests);
    let github = connect(&fake)?;
    let store = world.database.store()?;
    // Without a watermark, every page is read again.
    sqlx::query("update repositories set watermark = null").execute(&world.database.pool().await?).await?;
    let options = CollectOptions::at_a_terminal(at(NOW), TimeDelta::days(3_650), 1);
    let report = collect(&github, &store, &options, &|_| {}).await?;
    assert_eq!((report.total(|result| result.listed), report.total(|result| result.changed)), (407, 0));
    assert_eq!(world.database.digest().await?, before);
    Ok(())
}
