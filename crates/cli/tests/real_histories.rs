//! Real histories through the whole of Mergeline: fake GitHub, real collector, real PostgreSQL, the API's answers.
//! Every figure that can be expressed equals what was computed independently of this project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use http_body_util::BodyExt;
use mergeline_api::{Api, router};
use mergeline_collector::{CollectOptions, collect};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_github::{GitHub, GitHubSettings};
use mergeline_store::{ApplyOptions, RunState};
use mergeline_test_support::{FakeGitHub, FakePullRequest, TestDatabase, at, recorded};
use serde_json::Value;
use tower::ServiceExt;

/// After the last recorded change.
const NOW: &str = "2026-09-01T00:00:00Z";
/// Everything that was recorded, in whole ISO weeks.
const RANGE: &str = "from=2020-06-01&to=2026-08-31&tz=UTC";

struct World {
    database: TestDatabase,
    router: Router,
    expected: Value,
}

/// Collects one recorded repository under a teams file made from its authors.
async fn collected(folder: &Path, name: &str, teams: impl Fn(&[&str]) -> String) -> Result<World> {
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
    let settings = GitHubSettings::from_vars(|name| (name == "GITHUB_API_URL").then(|| fake.url()));
    let github = GitHub::connect(&settings.expect("valid settings"))?;
    let database = TestDatabase::create().await?;
    let store = database.store()?;
    store.apply(&TeamsFile::parse("teams.yaml", text.as_bytes())?, ApplyOptions::default(), at(NOW)).await?;
    let options = CollectOptions::at_a_terminal(at(NOW), TimeDelta::days(3_650), 1);
    let report = collect(&github, &store, &options, &|_| {}).await?;
    assert_eq!(report.state, RunState::Succeeded, "{report}");
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("expected/metrics.json"))?)?;
    let expected = expected["repos"][&repository].clone();
    let router = router(Api { store, keys: None, timeout: Duration::from_secs(20), clock: || at(NOW), renewal: None });
    Ok(World { database, router, expected })
}

/// One team with these members, all with this weight.
fn team(slug: &str, members: &[&str], weight: &str) -> String {
    let members: Vec<String> =
        members.iter().map(|login| format!("{{ github: '{login}', weight: {weight} }}")).collect();
    format!("  - {{ slug: {slug}, members: [{}] }}\n", members.join(", "))
}

impl World {
    async fn get(&self, path: &str) -> Result<Value> {
        let request = Request::get(format!("/v1/metrics/team/{path}?{RANGE}")).body(Body::empty())?;
        let response = self.router.clone().oneshot(request).await?;
        assert_eq!(response.status(), 200, "{path}");
        Ok(serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
    }

    /// Percentiles and mean of a team, in seconds, equal the expected ones of opening to merge.
    async fn assert_cycle_times(&self, slug: &str) -> Result<()> {
        let total = self.get(&format!("{slug}/lead-time")).await?["data"]["total"].clone();
        let expected = &self.expected["open_to_merge"];
        assert_eq!(total["n"], expected["n"], "{slug}");
        for (ours, theirs, tolerance) in [
            ("p50_hours", "p50_cont", 1e-6),
            ("p75_hours", "p75_cont", 1e-6),
            ("p90_hours", "p90_cont", 1e-6),
            ("p95_hours", "p95_cont", 1e-6),
            // Given to three decimals.
            ("mean_hours", "mean", 0.000_6),
        ] {
            let found = total[ours].as_f64().context("a number")? * 3_600.0;
            let expected = expected[theirs].as_f64().context("a number")?;
            assert!(
                (found - expected).abs() <= tolerance * (1.0 + expected * 1e-6),
                "{slug} {ours}: {found} {expected}"
            );
        }
        Ok(())
    }
}

/// Merged pull requests by ISO week, weeks without any left out.
fn by_week(velocity: &Value, field: &str) -> BTreeMap<String, f64> {
    let buckets = velocity["data"]["buckets"].as_array().cloned().unwrap_or_default();
    let count = |bucket: &Value| {
        (bucket["week"].as_str().unwrap_or_default().to_owned(), bucket[field].as_f64().unwrap_or(-1.0))
    };
    buckets.iter().map(count).filter(|(_, merged)| *merged != 0.0).collect()
}

fn expected_by_week(expected: &Value) -> BTreeMap<String, f64> {
    let weeks = expected["merged_per_week"].as_object().cloned().unwrap_or_default();
    weeks.into_iter().map(|(week, merged)| (week, merged.as_f64().unwrap_or(-1.0))).collect()
}

async fn all_figures_equal(name: &str) -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let world = collected(&folder, name, |authors| team("everyone", authors, "1")).await?;
    let states: (i64, i64, i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where state = 'open'), count(*) filter (where state = 'merged'),
            count(*) filter (where state = 'closed') from pull_requests",
    )
    .fetch_one(&world.database.pool().await?)
    .await?;
    let number = |field: &str| world.expected[field].as_i64();
    assert_eq!(Some(states.0), number("prs"));
    assert_eq!(
        (Some(states.1), Some(states.2), Some(states.3)),
        (number("open"), number("merged"), number("closed_unmerged"))
    );
    let velocity = world.get("everyone/velocity").await?;
    assert_eq!(velocity["data"]["total"]["prs_merged"], world.expected["merged"]);
    assert_eq!(by_week(&velocity, "prs_merged"), expected_by_week(&world.expected));
    world.assert_cycle_times("everyone").await
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
async fn half_of_everybody_is_half_of_the_pull_requests_with_the_same_percentiles() -> Result<()> {
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
async fn teams_of_one_have_the_merges_of_their_author() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let one_each = |authors: &[&str]| {
        authors.iter().enumerate().map(|(n, login)| team(&format!("author-{n}"), &[login], "1")).collect::<String>()
    };
    for name in ["bitcoin-core__gui", "cfrg__draft-irtf-cfrg-vdaf"] {
        let world = collected(&folder, name, one_each).await?;
        let merges: Vec<(String, i64)> = sqlx::query_as(
            "select h.login, count(*) from pr_metrics as m inner join people as h on m.author = h.login
            where m.merged_at is not null group by h.login",
        )
        .fetch_all(&world.database.pool().await?)
        .await?;
        let merges: BTreeMap<String, i64> = merges.into_iter().collect();
        let expected = world.expected["merged_by_author_top10"].as_object().context("authors")?;
        for (login, count) in expected {
            assert_eq!(merges.get(&login.to_lowercase()).copied(), count.as_i64(), "{login}");
        }
        let by_team: i64 = sqlx::query_scalar("select sum(prs_merged)::bigint from view_team_velocity")
            .fetch_one(&world.database.pool().await?)
            .await?;
        assert_eq!(Some(by_team), world.expected["merged"].as_i64(), "the view conserves them");
    }
    Ok(())
}

#[tokio::test]
async fn a_change_of_team_in_the_middle_splits_the_history_without_loss() -> Result<()> {
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
async fn collecting_a_real_history_again_touches_no_row() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let world = collected(&folder, "cfrg__draft-irtf-cfrg-vdaf", |authors| team("everyone", authors, "1")).await?;
    let before = world.database.digest().await?;
    let fake = FakeGitHub::start().await?;
    let pull_requests: Vec<FakePullRequest> = recorded::pull_requests(&folder, "cfrg__draft-irtf-cfrg-vdaf")?;
    fake.put(pull_requests);
    let settings = GitHubSettings::from_vars(|name| (name == "GITHUB_API_URL").then(|| fake.url()));
    let github = GitHub::connect(&settings.expect("valid settings"))?;
    let store = world.database.store()?;
    // As if nothing had been read before: every page comes again.
    sqlx::query("update repositories set watermark = null").execute(&world.database.pool().await?).await?;
    let options = CollectOptions::at_a_terminal(at(NOW), TimeDelta::days(3_650), 1);
    let report = collect(&github, &store, &options, &|_| {}).await?;
    assert_eq!((report.total(|result| result.listed), report.total(|result| result.changed)), (407, 0));
    assert_eq!(world.database.digest().await?, before);
    Ok(())
}
