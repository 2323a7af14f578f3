//! A worked example of DORA's metrics, number by number: fake GitHub, real collector, real PostgreSQL, the API's answers.
//!
//! One service of two teams in one week: a failed attempt, a rollback after two incidents, a hotfix and a redeploy.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use chrono::TimeDelta;
use http_body_util::BodyExt;
use mergeline_api::{Api, ApiKeys, NewKey, Scope, router};
use mergeline_collector::{CollectOptions, Sources, collect};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::example::{TEAMS, put};
use mergeline_fake_github::{FakeGitHub, at};
use mergeline_github::{GitHub, GitHubSettings};
use mergeline_store::ApplyOptions;
use mergeline_test_support::TestDatabase;
use serde_json::{Value, json};
use tower::ServiceExt;

const NOW: &str = "2026-06-15T12:00:00Z";
const WEEK: &str = "from=2026-06-01&to=2026-06-08";

fn teams_file() -> String {
    format!("version: 1\nrepositories: [acme/shop]\nteams: [{TEAMS}]\n")
}

mod coverage;
mod demo;
mod events;
mod services;

struct World {
    database: TestDatabase,
    router: Router,
}

const INCIDENTS: &str = "
with new as (
    insert into incidents (service_id, source, external_id, title, started_at)
    select s.id, 'events', i.id, i.id, i.started_at::timestamptz
    from services_in_force as s
    cross join (values
        ('I1', '2026-06-03T12:00:00Z'), ('I2', '2026-06-03T12:30:00Z'),
        ('I3', '2026-06-07T09:00:00Z'), ('I4', '2026-05-29T08:00:00Z')
    ) as i (id, started_at)
    returning id, external_id, started_at
)
insert into incident_states (incident_id, at, state)
select id, started_at, 'opened' from new
union all
select t.id, e.at::timestamptz, 'resolved'
from new as t
inner join (values
    ('I1', '2026-06-03T13:00:00Z'), ('I2', '2026-06-03T15:30:00Z'), ('I4', '2026-05-29T10:00:00Z')
) as e (id, at) on t.external_id = e.id";

/// Collects the example once.
async fn collected(fake: &FakeGitHub, database: &TestDatabase, teams: &str) -> Result<()> {
    let store = database.store()?;
    let file = TeamsFile::parse("teams.yaml", teams.as_bytes())?;
    store.apply(&file, ApplyOptions::default(), at(NOW)).await?;
    let settings = GitHubSettings::from_vars(|name| match name {
        "GITHUB_API_URL" => Some(fake.url()),
        "GITHUB_PAT" => Some("ghp_canary".to_owned()),
        _ => None,
    });
    let settings = settings.ok().context("valid settings")?;
    let settings = settings.with_pace(Duration::from_millis(1), Duration::from_secs(5));
    let sources = Sources::from(GitHub::connect(&settings)?);
    let options = CollectOptions::at_a_terminal(at(NOW), TimeDelta::days(180), 1);
    collect(&sources, &store, &options, &|_| {}).await?;
    Ok(())
}

impl World {
    async fn new() -> Result<Self> {
        Self::of(&teams_file()).await
    }

    async fn of(teams: &str) -> Result<Self> {
        let fake = FakeGitHub::start().await?;
        fake.require_token("ghp_canary");
        put(&fake, "acme/shop");
        let database = TestDatabase::create().await?;
        collected(&fake, &database, teams).await?;
        let store = database.store()?;
        sqlx::raw_sql(INCIDENTS).execute(&database.pool().await?).await?;
        sqlx::raw_sql("update services set has_facts = true").execute(&database.pool().await?).await?;
        store.derive_all(true).await?;
        Self::serving(database)
    }

    /// Serves what is stored.
    fn serving(database: TestDatabase) -> Result<Self> {
        let api = Api::new(database.reader()?, Duration::from_secs(20), || at(NOW));
        Ok(Self { database, router: router(api) })
    }

    async fn text(&self, path: &str) -> Result<String> {
        let response = self.router.clone().oneshot(Request::get(path).body(Body::empty())?).await?;
        let status = response.status();
        let bytes = response.into_body().collect().await?.to_bytes();
        let text = String::from_utf8(bytes.into())?;
        anyhow::ensure!(status == 200, "{path}: {status} {text}");
        Ok(text)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(path).await?)?)
    }

    async fn total(&self, subject: &str, more: &str) -> Result<Value> {
        let answer = self.get(&format!("/v1/metrics/{subject}dora?{WEEK}{more}")).await?;
        Ok(answer["data"]["total"].clone())
    }
}

/// The numbers of the example's table, rounded to four decimals.
fn shown(total: &Value) -> Value {
    let rounded = |pointer: &str| {
        let value = total.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {total}"));
        value.as_f64().map(|value| (value * 10_000.0).round() / 10_000.0)
    };
    let all = |pointers: &[&str]| pointers.iter().map(|pointer| json!(rounded(pointer))).collect::<Value>();
    json!({
        "succeeded": all(&["/deployment_frequency/n", "/deployment_frequency/weight"]),
        "per_day": all(&["/deployment_frequency/per_day", "/deployment_frequency/per_day_weighted"]),
        "kinds": all(&["change", "rollback", "redeploy"].map(|kind| format!("/deployment_frequency/kinds/{kind}/n"))
            .iter().map(String::as_str).collect::<Vec<_>>()),
        "failed": all(&["/change_fail_rate/failed/n", "/change_fail_rate/failed/weight"]),
        "fail_rate": all(&["/change_fail_rate/rate", "/change_fail_rate/rate_weighted"]),
        "rework_rate": all(&["/rework_rate/rate", "/rework_rate/rate_weighted"]),
        "finished": all(&["/deployment_success_rate/finished/n", "/deployment_success_rate/finished/weight"]),
        "success_rate": all(&["/deployment_success_rate/rate", "/deployment_success_rate/rate_weighted"]),
        "lead_time": all(&["n", "weight", "mean_hours", "p50_hours", "p75_hours", "p95_hours"]
            .map(|it| format!("/change_lead_time/{it}")).iter().map(String::as_str).collect::<Vec<_>>()),
        "recovery": all(&["n", "weight", "mean_hours", "p50_hours"]
            .map(|it| format!("/recovery_time/{it}")).iter().map(String::as_str).collect::<Vec<_>>()),
        "mttr": all(&["/mttr/n", "/mttr/mean_hours", "/mttr/open/n", "/recovery_time/open/n"]),
        "deployment_recovery": all(&["/deployment_recovery_time/n", "/deployment_recovery_time/p50_hours"]),
    })
}

#[tokio::test]
async fn each_number_of_the_worked_example_is_served() -> Result<()> {
    assert_worked(&World::new().await?).await
}

/// Asserts every number of the example's table.
async fn assert_worked(world: &World) -> Result<()> {
    let of_service = json!({
        "succeeded": [6.0, 6.0], "per_day": [0.8571, 0.8571], "kinds": [4.0, 1.0, 1.0],
        "failed": [1.0, 1.0], "fail_rate": [0.1667, 0.1667], "rework_rate": [0.3333, 0.3333],
        "finished": [7.0, 7.0], "success_rate": [0.8571, 0.8571],
        "lead_time": [5.0, 5.0, 16.2, 4.0, 26.0, 43.6],
        "recovery": [2.0, 2.0, 2.0, 2.0], "mttr": [2.0, 2.0, 1.0, 0.0], "deployment_recovery": [1.0, 3.0],
    });
    assert_eq!(shown(&world.total("service/acme.shop/", "").await?), of_service);
    assert_eq!(shown(&world.total("", "").await?), of_service, "the organization has one service");
    let of_payments = json!({
        "succeeded": [5.0, 4.75], "per_day": [0.7143, 0.6786], "kinds": [3.0, 1.0, 1.0],
        "failed": [1.0, 1.0], "fail_rate": [0.2, 0.2105], "rework_rate": [0.4, 0.4211],
        "finished": [5.0, 4.75], "success_rate": [1.0, 1.0],
        "lead_time": [4.0, 3.5, 5.7143, 2.75, 5.8333, 21.9667],
        "recovery": [2.0, 2.0, 2.0, 2.0], "mttr": [2.0, 2.0, 0.0, 0.0], "deployment_recovery": [1.0, 3.0],
    });
    assert_eq!(shown(&world.total("team/payments/", "").await?), of_payments);
    let of_platform = json!({
        "succeeded": [2.0, 1.25], "per_day": [0.2857, 0.1786], "kinds": [2.0, 0.0, 0.0],
        "failed": [0.0, 0.0], "fail_rate": [0.0, 0.0], "rework_rate": [0.0, 0.0],
        "finished": [3.0, 2.25], "success_rate": [0.6667, 0.5556],
        "lead_time": [2.0, 1.5, 40.6667, 37.0, 42.5, 46.9],
        "recovery": [0.0, 0.0, null, null], "mttr": [0.0, null, 0.0, 0.0], "deployment_recovery": [0.0, null],
    });
    assert_eq!(shown(&world.total("team/platform/", "").await?), of_platform);
    let organization = world.total("", "").await?;
    assert_eq!(organization["unattributed"]["succeeded"], json!(0.0), "4.75 and 1.25 are all 6");
    assert_eq!(organization["not_delivered"]["not_deployed_yet"], json!({ "n": 1, "weight": 1.0 }), "#107");
    Ok(())
}

/// A teams file in which both teams own the service.
fn owned_teams_file() -> String {
    let owners = "owners: [{ team: payments, weight: 0.6 }, { team: platform, weight: 0.4 }]";
    format!(
        "version: 1\nrepositories: [acme/shop]\nservices: [{{ slug: shop, repositories: [acme/shop], {owners} }}]\nteams: [{TEAMS}]\n"
    )
}

#[tokio::test]
async fn each_number_of_the_owners_is_served() -> Result<()> {
    let world = World::of(&owned_teams_file()).await?;
    let of_owner = |share: f64, per_day: f64, lead_time: Value| {
        let part = |n: f64| (n * share * 10_000.0).round() / 10_000.0;
        json!({
            "succeeded": [6.0, part(6.0)], "per_day": [0.8571, per_day], "kinds": [4.0, 1.0, 1.0],
            "failed": [1.0, part(1.0)], "fail_rate": [0.1667, 0.1667], "rework_rate": [0.3333, 0.3333],
            "finished": [7.0, part(7.0)], "success_rate": [0.8571, 0.8571],
            // By the pull requests, as ever.
            "lead_time": lead_time,
            "recovery": [2.0, part(2.0), 2.0, 2.0], "mttr": [2.0, 2.0, 1.0, 0.0], "deployment_recovery": [1.0, 3.0],
        })
    };
    let payments = world.total("team/payments/", "&basis=owned").await?;
    assert_eq!(shown(&payments), of_owner(0.6, 0.5143, json!([4.0, 3.5, 5.7143, 2.75, 5.8333, 21.9667])));
    let platform = world.total("team/platform/", "&basis=owned").await?;
    assert_eq!(shown(&platform), of_owner(0.4, 0.3429, json!([2.0, 1.5, 40.6667, 37.0, 42.5, 46.9])));
    let open = |total: &Value| total["mttr"]["open"].clone();
    assert_eq!(
        [open(&payments), open(&platform)],
        [json!({ "n": 1, "weight": 0.6 }), json!({ "n": 1, "weight": 0.4 })],
        "I3"
    );
    let pool = world.database.pool().await?;
    let shares = "select concat_ws(' ', team, sum(share)::float8) from view_team_deployments
        where basis = 'owned@1' and succeeded_at >= '2026-06-01' and kind <> 'rollout' group by team order by team";
    assert_eq!(sqlx::query_scalar::<_, String>(shares).fetch_all(&pool).await?, ["payments 3.6", "platform 2.4"]);
    Ok(())
}

/// Where a column of the table is in the answer. Those of durations, reasons and scores are named alike.
const COLUMNS: [(&str, &str); 49] = [
    ("deployments", "/deployment_frequency/n"),
    ("deployments_weighted", "/deployment_frequency/weight"),
    ("days", "/deployment_frequency/days"),
    ("deployments_per_day", "/deployment_frequency/per_day"),
    ("deployments_per_day_weighted", "/deployment_frequency/per_day_weighted"),
    ("first", "/deployment_frequency/kinds/first/n"),
    ("change", "/deployment_frequency/kinds/change/n"),
    ("rollback", "/deployment_frequency/kinds/rollback/n"),
    ("redeploy", "/deployment_frequency/kinds/redeploy/n"),
    ("unknown", "/deployment_frequency/kinds/unknown/n"),
    ("delivered", "/change_lead_time/delivered/n"),
    ("delivered_weighted", "/change_lead_time/delivered/weight"),
    ("failed", "/change_fail_rate/failed/n"),
    ("failed_weighted", "/change_fail_rate/failed/weight"),
    ("change_fail_rate", "/change_fail_rate/rate"),
    ("change_fail_rate_weighted", "/change_fail_rate/rate_weighted"),
    ("rework", "/rework_rate/rework/n"),
    ("rework_weighted", "/rework_rate/rework/weight"),
    ("rework_rate", "/rework_rate/rate"),
    ("rework_rate_weighted", "/rework_rate/rate_weighted"),
    ("finished", "/deployment_success_rate/finished/n"),
    ("finished_weighted", "/deployment_success_rate/finished/weight"),
    ("deployment_success_rate", "/deployment_success_rate/rate"),
    ("deployment_success_rate_weighted", "/deployment_success_rate/rate_weighted"),
    ("unremedied", "/deployment_recovery_time/unremedied/n"),
    ("open_incidents", "/mttr/open/n"),
    ("open_incidents_weighted", "/mttr/open/weight"),
    ("open_incidents_with_deployment", "/recovery_time/open/n"),
    ("failed_incident", "/change_fail_rate/reasons/incident/n"),
    ("failed_rolled_back", "/change_fail_rate/reasons/rolled_back/n"),
    ("failed_reverted", "/change_fail_rate/reasons/reverted/n"),
    ("failed_failed_afterwards", "/change_fail_rate/reasons/failed_afterwards/n"),
    ("failed_declared", "/change_fail_rate/reasons/declared/n"),
    ("rework_declared", "/rework_rate/reasons/declared/n"),
    ("rework_rollback", "/rework_rate/reasons/rollback/n"),
    ("rework_revert", "/rework_rate/reasons/revert/n"),
    ("rework_hotfix", "/rework_rate/reasons/hotfix/n"),
    ("rework_incident_fix", "/rework_rate/reasons/incident_fix/n"),
    ("unattributed_finished", "/unattributed/finished"),
    ("unattributed_succeeded", "/unattributed/succeeded"),
    ("unattributed_failed", "/unattributed/failed"),
    ("unattributed_rework", "/unattributed/rework"),
    ("unattributed_incidents", "/unattributed/incidents"),
    ("unattributed_open_incidents", "/unattributed/open_incidents"),
    ("deployment_frequency_class", "/deployment_frequency/class/name"),
    ("change_lead_time_class", "/change_lead_time/class/name"),
    ("change_fail_rate_class", "/change_fail_rate/class/name"),
    ("recovery_time_class", "/recovery_time/class/name"),
    ("deployment_recovery_time_class", "/deployment_recovery_time/class/name"),
];
const TIMINGS: [(&str, &str); 5] = [
    ("change_lead_time", "/change_lead_time"),
    ("deploy", "/change_lead_time/deploy"),
    ("recovery_time", "/recovery_time"),
    ("mttr", "/mttr"),
    ("deployment_recovery_time", "/deployment_recovery_time"),
];
const STATISTICS: [(&str, &str); 9] = [
    ("n", "n"),
    ("weight", "weight"),
    ("mean_hours", "mean_hours"),
    ("p50_hours", "p50_hours"),
    ("p75_hours", "p75_hours"),
    ("p90_hours", "p90_hours"),
    ("p95_hours", "p95_hours"),
    ("p50_interval_from_hours", "p50_interval_hours/0"),
    ("p50_interval_to_hours", "p50_interval_hours/1"),
];
const NOT_DELIVERED: [&str; 6] =
    ["not_deployed_yet", "before_first_deployment", "no_source", "no_service", "unknown_history", "not_collected"];
const SCORES: [&str; 8] = [
    "change_lead_time",
    "deployment_frequency",
    "recovery_time",
    "change_fail_rate",
    "rework_rate",
    "throughput",
    "stability",
    "score",
];

/// All columns with numbers, and where they are in the answer.
fn columns() -> Vec<(String, String)> {
    let counts = COLUMNS.map(|(column, pointer)| (column.to_owned(), pointer.to_owned())).into_iter();
    let durations = TIMINGS.into_iter().flat_map(|(timing, place)| {
        STATISTICS.map(|(statistic, field)| (format!("{timing}_{statistic}"), format!("{place}/{field}")))
    });
    let reasons = NOT_DELIVERED.into_iter().flat_map(|reason| {
        [("", "n"), ("_weighted", "weight")]
            .map(|(end, field)| (format!("not_delivered_{reason}{end}"), format!("/not_delivered/{reason}/{field}")))
    });
    let scores = SCORES.map(|score| (format!("quick_check_{score}"), format!("/quick_check/{score}")));
    counts.chain(durations).chain(reasons).chain(scores).collect()
}

/// Asserts that an answer as a table has no other columns and rows than as JSON, and the same numbers. Returns the
/// columns that have any.
async fn assert_same_as_table(world: &World, path: &str) -> Result<BTreeSet<String>> {
    let data = world.get(path).await?["data"].take();
    let text = world.text(&format!("{path}&format=csv")).await?;
    let mut rows = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().context("a header")?;
    let columns = columns();
    let (mut names, mut known) = (header.clone(), vec!["bucket", "start", "end", "complete"]);
    known.extend(columns.iter().map(|(column, _)| column.as_str()));
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known, "{path}: each column of the table is compared");
    let rows: Vec<_> = rows.collect();
    let (buckets, mut filled) = (data["buckets"].as_array().context("buckets")?, BTreeSet::new());
    assert_eq!(rows.len(), buckets.len() + 1, "{path}: a row for each bucket, and one for all");
    for (row, numbers) in rows.iter().zip(buckets.iter().chain([&data["total"]])) {
        let of = |column: &str| header.iter().position(|name| *name == column).map_or("", |place| row[place]);
        assert_eq!(of("bucket"), numbers["bucket"].as_str().unwrap_or("total"), "{path}");
        assert_eq!(of("complete"), numbers["complete"].to_string(), "{path}: {}", of("bucket"));
        for (column, pointer) in &columns {
            let in_json = numbers.pointer(pointer).unwrap_or(&Value::Null);
            let in_json = in_json.as_f64().map_or_else(|| in_json.clone(), |number| json!(number));
            // Read like JSON, which is inexact in the last digit.
            let cell = match of(column) {
                "" => Value::Null,
                text => serde_json::from_str::<f64>(text).map_or_else(|_| json!(text), |number| json!(number)),
            };
            assert_eq!(cell, in_json, "{path}: {column} of {}", of("bucket"));
            if !cell.is_null() {
                filled.insert(column.clone());
            }
        }
    }
    Ok(filled)
}

#[tokio::test]
async fn the_example_as_a_table_has_the_same_columns_rows_and_numbers() -> Result<()> {
    let world = World::of(&owned_teams_file()).await?;
    let mut filled = BTreeSet::new();
    for subject in ["", "service/shop/", "team/payments/", "team/platform/"] {
        for basis in ["delivered", "owned"] {
            let path = format!("/v1/metrics/{subject}dora?{WEEK}&basis={basis}&interval=day&edition=dora-2024");
            filled.extend(assert_same_as_table(&world, &path).await?);
        }
    }
    let empty = columns().into_iter().map(|(column, _)| column).filter(|column| !filled.contains(column));
    let empty: Vec<String> = empty.filter(|column| !column.contains("_p50_interval_")).collect();
    assert_eq!(empty, Vec::<String>::new(), "only the median of six or more has an interval");
    Ok(())
}

#[tokio::test]
async fn all_teams_and_what_is_unattributed_are_all_deployments_and_incidents() -> Result<()> {
    // In the second one payments owns half of the service, and nobody the rest.
    let half = owned_teams_file().replace("weight: 0.6 }, { team: platform, weight: 0.4", "weight: 0.5");
    for teams in [owned_teams_file(), half] {
        let world = World::of(&teams).await?;
        for basis in ["delivered", "owned"] {
            assert_nothing_is_lost(&world, &format!("{WEEK}&basis={basis}&interval=day")).await?;
        }
    }
    Ok(())
}

/// Asserts that the weights of both teams and what is unattributed are the number of all, each day and in the total.
async fn assert_nothing_is_lost(world: &World, query: &str) -> Result<()> {
    let [all, payments, platform] =
        ["", "team/payments/", "team/platform/"].map(|subject| format!("/v1/metrics/{subject}dora?{query}"));
    let (all, teams) = (world.get(&all).await?, [world.get(&payments).await?, world.get(&platform).await?]);
    let measures = [
        ("finished", "/deployment_success_rate/finished"),
        ("succeeded", "/deployment_frequency"),
        ("failed", "/change_fail_rate/failed"),
        ("rework", "/rework_rate/rework"),
        ("incidents", "/mttr"),
        ("open_incidents", "/mttr/open"),
    ];
    let places = (0..7).map(|day| format!("/data/buckets/{day}")).chain(["/data/total".to_owned()]);
    for place in places {
        for (name, pointer) in measures {
            let of = |answer: &Value, last: &str| {
                answer.pointer(&format!("{place}{pointer}/{last}")).and_then(Value::as_f64).unwrap_or(f64::NAN)
            };
            let left = all.pointer(&format!("{place}/unattributed/{name}")).and_then(Value::as_f64);
            let sum = teams.iter().map(|team| of(team, "weight")).sum::<f64>() + left.unwrap_or(f64::NAN);
            assert!((sum - of(&all, "n")).abs() < 1e-7, "{query} {place} {name}: {sum}");
        }
    }
    assert_eq!(teams[0]["data"]["total"]["unattributed"], Value::Null, "of a team there is no rest");
    Ok(())
}

#[tokio::test]
async fn what_no_team_has_is_told() -> Result<()> {
    let world = World::of(&owned_teams_file()).await?;
    let of = async |basis: &str| {
        let answer = world.get(&format!("/v1/metrics/dora?{WEEK}&basis={basis}")).await?;
        let warns = answer["meta"]["warnings"].to_string().contains("unattributed_share");
        let left = &answer["data"]["total"]["unattributed"];
        anyhow::Ok((left["succeeded"].clone(), left["incidents"].clone(), left["open_incidents"].clone(), warns))
    };
    // The open incident has no deployment, and its service has owners.
    assert_eq!(of("delivered").await?, (json!(0.0), json!(0.0), json!(1.0), true));
    assert_eq!(of("owned").await?, (json!(0.0), json!(0.0), json!(0.0), false));
    Ok(())
}

#[tokio::test]
async fn classes_and_the_score_of_the_example_are_served() -> Result<()> {
    let world = World::new().await?;
    for (edition, classes) in [
        ("dora-2019", ["high", "elite", "high", "low"]),
        ("dora-2021", ["high", "high", "high", "high"]),
        ("dora-2023", ["high", "elite", "high", "low"]),
        ("dora-2024", ["high", "elite", "high", "high"]),
    ] {
        let total = world.total("service/acme.shop/", &format!("&edition={edition}")).await?;
        let names = ["deployment_frequency", "change_lead_time", "recovery_time", "change_fail_rate"];
        assert_eq!(
            names.map(|name| total[name]["class"]["name"].clone()),
            classes.map(|class| json!(class)),
            "{edition}"
        );
        assert_eq!(total["recovery_time"]["class"]["few"], json!(true), "two incidents");
    }
    let without = world.total("service/acme.shop/", "").await?;
    assert_eq!(without["change_lead_time"]["class"], Value::Null, "only with an edition");
    let rounded = |name: &str| without["quick_check"][name].as_f64().map(|score| (score * 100.0).round() / 100.0);
    let scores = ["change_lead_time", "deployment_frequency", "recovery_time", "throughput", "stability", "score"];
    assert_eq!(scores.map(rounded), [8.0, 6.0, 8.0, 7.33, 7.5, 7.4].map(Some));
    Ok(())
}

#[tokio::test]
async fn coverage_tells_each_source_and_its_problem() -> Result<()> {
    let world = World::new().await?;
    let meta =
        async || anyhow::Ok(world.get(&format!("/v1/metrics/dora?{WEEK}")).await?["meta"]["deployments"].clone());
    let covered = meta().await?;
    let source = &covered["sources"][0];
    assert_eq!((&source["source"], &source["services"]), (&json!("github-deployments"), &json!(1)));
    assert_eq!(
        (&source["failing"], &source["problems"], &source["last_event_at"]),
        (&json!(0), &json!([]), &Value::Null)
    );
    assert_eq!((&source["until"], &source["since"]), (&covered["until"], &covered["since"]));
    let pool = world.database.pool().await?;
    let refused = "update deployment_progress set problem = 'no_permission', problem_message = 'Deployments'";
    sqlx::raw_sql(refused).execute(&pool).await?;
    let definitions = &world.get(&format!("/v1/metrics/dora?{WEEK}")).await?["meta"]["definitions"];
    assert!(definitions.as_array().is_some_and(|ids| ids.contains(&json!("median_interval@1"))), "{definitions}");
    let source = meta().await?["sources"][0].clone();
    assert_eq!((&source["failing"], &source["problems"]), (&json!(1), &json!(["no_permission"])));
    let coverage = world.get("/v1/coverage").await?;
    let list = &coverage["data"][0]["deployments"][0];
    assert_eq!((&list["source"], &list["list"]), (&json!("github-deployments"), &json!("")));
    assert_eq!((&list["reason"], &list["read_at"]), (&json!("no_permission"), &source["until"]));
    assert_eq!(coverage["data"][0]["incidents"], json!([]), "no label means incidents");
    assert_eq!(coverage["meta"]["sources"][0]["problems"], json!(["no_permission"]));
    Ok(())
}

#[tokio::test]
async fn without_any_source_nothing_is_claimed() -> Result<()> {
    let world = World::new().await?;
    let pool = world.database.pool().await?;
    sqlx::raw_sql("update deployments set deleted_at = now()").execute(&pool).await?;
    world.database.store()?.derive_all(true).await?;
    let answer = world.get(&format!("/v1/metrics/dora?{WEEK}&edition=dora-2024")).await?;
    let total = &answer["data"]["total"];
    for pointer in [
        "/deployment_frequency/per_day",
        "/deployment_frequency/per_day_weighted",
        "/deployment_frequency/class",
        "/change_lead_time/p50_hours",
        "/change_fail_rate/rate",
        "/rework_rate/rate",
        "/deployment_success_rate/rate",
        "/recovery_time/p50_hours",
        "/deployment_recovery_time/p50_hours",
        "/quick_check/score",
    ] {
        assert_eq!(total.pointer(pointer), Some(&Value::Null), "{pointer}");
    }
    assert_eq!(
        total["not_delivered"]["no_source"],
        json!({ "n": 6, "weight": 6.0 }),
        "merged, and no source tells more"
    );
    assert!(answer["meta"]["warnings"].to_string().contains("no_deployment_source: "), "{}", answer["meta"]);
    let lead_time = world.get(&format!("/v1/metrics/team/payments/lead-time?{WEEK}&interval=week")).await?;
    assert_eq!(lead_time["data"]["total"]["cycle_time"]["n"], json!(5), "cycle time goes on");
    Ok(())
}

#[tokio::test]
async fn filters_of_the_example_change_what_they_say() -> Result<()> {
    let world = World::new().await?;
    let failed = async |more: &str| {
        let total = world.total("", more).await?;
        anyhow::Ok([
            total["change_fail_rate"]["failed"]["n"].clone(),
            total["deployment_recovery_time"]["n"].clone(),
            total["deployment_recovery_time"]["p50_hours"].clone(),
        ])
    };
    assert_eq!(failed("&failures=rolled_back").await?, [json!(1), json!(1), json!(3.0)]);
    assert_eq!(failed("&failures=incident").await?, [json!(1), json!(0), Value::Null], "nothing closes its issue");
    assert_eq!(failed("&failures=reverted,declared").await?, [json!(0), json!(0), Value::Null]);
    let pool = world.database.pool().await?;
    sqlx::raw_sql("update incidents set severity = 'high' where external_id = 'I1'").execute(&pool).await?;
    world.database.store()?.derive_all(true).await?;
    let mttr = async |more: &str| {
        let total = world.total("", more).await?;
        anyhow::Ok([total["mttr"]["n"].clone(), total["mttr"]["p50_hours"].clone(), total["mttr"]["open"]["n"].clone()])
    };
    assert_eq!(mttr("").await?, [json!(2), json!(2.0), json!(1)]);
    assert_eq!(mttr("&severity=high").await?, [json!(1), json!(1.0), json!(0)]);
    let full = world.total("team/payments/", "&weighting=full").await?;
    let counts =
        ["/deployment_frequency/weight", "/change_lead_time/weight", "/deployment_success_rate/finished/weight"];
    assert_eq!(counts.map(|it| full.pointer(it).and_then(Value::as_f64)), [Some(5.0), Some(4.0), Some(5.0)]);
    // 1.67, 2, 4 and 48.67 hours, each once.
    assert_eq!(full["change_fail_rate"]["rate_weighted"], json!(0.2));
    Ok(())
}

#[tokio::test]
async fn lists_answer_with_304_until_what_they_say_changes() -> Result<()> {
    let world = World::new().await?;
    let id = world.get(&format!("/v1/deployments?{WEEK}")).await?["data"][0]["id"].clone();
    let paths = [
        format!("/v1/deployments?{WEEK}"),
        format!("/v1/deployments?{WEEK}&format=csv"),
        format!("/v1/deployments/{id}"),
        format!("/v1/incidents?{WEEK}"),
        format!("/v1/incidents?{WEEK}&format=csv"),
        format!("/v1/metrics/dora?{WEEK}"),
    ];
    let ask = async |path: &str, known: Option<&str>| {
        let request = known.into_iter().fold(Request::get(path), |request, etag| request.header("if-none-match", etag));
        let response = world.router.clone().oneshot(request.body(Body::empty())?).await?;
        let etag = response.headers().get("etag").and_then(|value| value.to_str().ok()).map(str::to_owned);
        anyhow::Ok((response.status().as_u16(), etag.context("an ETag")?))
    };
    let mut etags = Vec::new();
    for path in &paths {
        let (_, etag) = ask(path, None).await?;
        assert_eq!(ask(path, Some(&etag)).await?, (304, etag.clone()), "{path}");
        etags.push(etag);
    }
    let distinct: std::collections::BTreeSet<&String> = etags.iter().collect();
    assert_eq!(distinct.len(), etags.len(), "each has its own");
    // I1 is reopened after two days, and lasted longer.
    let reopen = "insert into incident_states (incident_id, at, state)
        select i.id, e.at::timestamptz, e.state from incidents as i
        cross join (values ('2026-06-05T13:00:00Z', 'reopened'), ('2026-06-05T14:00:00Z', 'resolved')) as e (at, state)
        where i.external_id = 'I1'";
    let pool = world.database.pool().await?;
    sqlx::raw_sql(reopen).execute(&pool).await?;
    sqlx::raw_sql("update deployments set version = '2.0' where repository_id is not null").execute(&pool).await?;
    world.database.store()?.derive_all(true).await?;
    for (path, etag) in paths.iter().zip(&etags) {
        assert_eq!(ask(path, Some(etag)).await?.0, 200, "{path}");
    }
    let incident = world.get(&format!("/v1/incidents?{WEEK}")).await?["data"][0].clone();
    assert_eq!(incident["duration_hours"], json!(50.0));
    let states = incident["states"].as_array().context("states")?.iter().map(|it| it["state"].clone());
    assert_eq!(states.collect::<Value>(), json!(["opened", "resolved", "reopened", "resolved"]));
    Ok(())
}

#[tokio::test]
async fn what_is_in_force_is_told_of_each_environment() -> Result<()> {
    let world = World::new().await?;
    let pool = world.database.pool().await?;
    let staging = "with new as (
            insert into deployments (service_id, source, external_id, listed_environment, environment, environment_group, created_at, outcome, succeeded_at)
            select s.id, 'events', 'staging-1', 'Staging', 'Staging', 'other:staging', '2026-06-10T09:00:00Z', 'succeeded', '2026-06-10T09:00:00Z'
            from services_in_force as s returning id
        )
        insert into deployment_revisions (deployment_id, repository_id, oid)
        select new.id, r.id, decode(lpad('70', 40, '0'), 'hex') from new cross join repositories as r";
    sqlx::raw_sql(staging).execute(&pool).await?;
    let in_force = async |more: &str| anyhow::Ok(world.get(&format!("/v1/state{more}")).await?);
    let production = in_force("").await?;
    assert_eq!(production["data"][0]["in_force"][0]["since"], json!("2026-06-05T10:00:00Z"));
    assert_eq!(production["meta"]["environment"], json!("production"));
    assert_eq!(in_force("?environment=production").await?["data"], production["data"]);
    let staging = in_force("?environment=staging").await?;
    assert_eq!(staging["data"][0]["in_force"][0]["since"], json!("2026-06-10T09:00:00Z"));
    assert_eq!(staging["data"][0]["in_force"].as_array().map(Vec::len), Some(1));
    assert_eq!(in_force("?environment=nowhere").await?["data"][0]["in_force"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_number_leads_to_its_deployments_and_their_pull_requests() -> Result<()> {
    let world = World::new().await?;
    let list = world.get(&format!("/v1/deployments?{WEEK}&team=payments")).await?;
    let rows = list["data"].as_array().context("rows")?;
    let counted: Vec<&Value> = rows.iter().filter(|row| row["counts"] == json!(true)).collect();
    let share: f64 = counted.iter().filter_map(|row| row["share"].as_f64()).sum();
    assert_eq!((counted.len(), share), (5, 4.75));
    let failed = counted.iter().find(|row| row["failures"] != json!([])).context("a failed one")?;
    assert_eq!(failed["failures"], json!(["incident", "rolled_back"]));
    let details = world.get(&format!("/v1/deployments/{}", failed["id"])).await?;
    assert_eq!(details["data"]["remedied_at"], json!("2026-06-03T13:00:00Z"));
    let states: Vec<&Value> = (0..2).map(|index| &details["data"]["states"][index]["state"]).collect();
    assert_eq!(states, [&json!("success"), &json!("inactive")], "the rollback ended it");
    let shares = json!([{ "basis": "delivered", "team": "payments", "share": 1.0 }]);
    assert_eq!((&failed["pull_request_count"], &details["data"]["shares"]), (&json!(1), &shares));
    let remedy = world.get(&format!("/v1/deployments/{}", failed["remedied_by"])).await?;
    assert_eq!(remedy["data"]["remedies"], json!([failed["id"]]));
    let delivered = &details["data"]["pull_requests"];
    assert_eq!(delivered[0]["delivered"], json!(true));
    assert_eq!(delivered.as_array().map(Vec::len), Some(1));
    assert_eq!((&delivered[0]["number"], &delivered[0]["lead_time_hours"]), (&json!(104), &json!(4.0)));
    let team = &delivered[0]["teams"][0];
    assert_eq!((&team["team"], &team["weight"]), (&json!("payments"), &json!(1.0)));
    let list = world.get(&format!("/v1/metrics/team/payments/pull-requests?{WEEK}")).await?;
    let rows = list["data"]["pull_requests"].as_array().context("rows")?;
    let row = rows.iter().find(|row| row["number"] == json!(104)).context("listed")?;
    assert_eq!(team["membership_id"], row["rule"]["membership"]["id"], "by the same membership");
    assert_eq!((&row["via"], &delivered[0]["via"]), (&json!("merge_commit"), &json!("merge_commit")));
    let state = world.get("/v1/state").await?;
    assert_eq!(state["data"][0]["not_deployed"], json!(1), "#107");
    assert_eq!(state["data"][0]["in_force"][0]["since"], json!("2026-06-05T10:00:00Z"));
    assert_eq!(state["data"][0]["open_incidents"], json!(1));
    let services = world.get("/v1/services").await?;
    assert_eq!(services["data"][0]["slug"], json!("acme.shop"));
    Ok(())
}

#[tokio::test]
async fn recovery_leads_to_its_incidents_and_their_deployment() -> Result<()> {
    let world = World::new().await?;
    let list = world.get(&format!("/v1/incidents?{WEEK}")).await?;
    let of = |row: &Value| json!([row["external_id"], row["outcome"], row["duration_hours"], row["rule"]]);
    let rows: Vec<Value> = list["data"].as_array().context("rows")?.iter().map(of).collect();
    let expected = [
        json!(["I1", "resolved", 1.0, "window"]),
        json!(["I2", "resolved", 3.0, "window"]),
        json!(["I3", "open", null, null]),
    ];
    assert_eq!(rows, expected, "I4 was over before");
    let failed = list["data"][0]["deployment_id"].clone();
    let details = world.get(&format!("/v1/deployments/{failed}")).await?;
    assert_eq!(details["data"]["failures"], json!(["incident", "rolled_back"]));
    let incidents = [&list["data"][0]["id"], &list["data"][1]["id"]].map(|id| json!({ "id": id, "rule": "window" }));
    assert_eq!(details["data"]["incidents"], json!(incidents));
    let of_payments = world.get(&format!("/v1/incidents?{WEEK}&team=payments")).await?;
    assert_eq!(of_payments["data"][1]["share"], json!(1.0));
    assert_eq!(of_payments["meta"]["count"], json!(2), "I3 has no deployment");
    assert_eq!(world.get(&format!("/v1/incidents?{WEEK}&team=platform")).await?["meta"]["count"], json!(0));
    assert_eq!(world.get(&format!("/v1/incidents?{WEEK}&severity=high")).await?["meta"]["count"], json!(0));
    let next = world.get(&format!("/v1/incidents?{WEEK}&limit=2")).await?["meta"]["next_cursor"].clone();
    let cursor = next.as_str().context("a second page")?;
    let second = world.get(&format!("/v1/incidents?{WEEK}&limit=2&cursor={cursor}")).await?;
    assert_eq!((&second["data"][0]["external_id"], &second["meta"]["count"]), (&json!("I3"), &json!(1)));
    let text = world.text(&format!("/v1/incidents?{WEEK}&format=csv")).await?;
    assert_eq!(text.lines().count(), 4);
    // One that is dismissed is listed and does not count.
    let dismiss = "insert into incident_states (incident_id, at, state)
        select id, '2026-06-08T00:00:00Z', 'dismissed' from incidents where external_id = 'I3'";
    sqlx::raw_sql(dismiss).execute(&world.database.pool().await?).await?;
    world.database.store()?.derive_all(true).await?;
    let list = world.get(&format!("/v1/incidents?{WEEK}")).await?;
    assert_eq!((&list["data"][2]["outcome"], &list["data"][2]["counts"]), (&json!("dismissed"), &json!(false)));
    Ok(())
}

#[tokio::test]
async fn lead_time_shows_both_definitions_side_by_side() -> Result<()> {
    let world = World::new().await?;
    let lead_time = async |subject: &str| {
        let answer = world.get(&format!("/v1/metrics/{subject}/lead-time?{WEEK}&interval=week")).await?;
        let total = &answer["data"]["total"];
        let rounded = |value: &Value| value.as_f64().map(|value| (value * 10_000.0).round() / 10_000.0);
        let bucket = &answer["data"]["buckets"][0]["change_lead_time"];
        assert_eq!(total["change_lead_time"], *bucket, "one week");
        let lead = &total["change_lead_time"];
        let (n, p50, delivered) = (lead["n"].clone(), rounded(&lead["p50_hours"]), lead["delivered"].clone());
        anyhow::Ok(json!([n, p50, delivered["weight"], total["cycle_time"]["n"], total["phases"]["deploy"]["n"]]))
    };
    // #107 is merged and not delivered. What was merged before the week has no deploy phase in it.
    assert_eq!(lead_time("team/payments").await?, json!([4, 2.75, 3.5, 5, 4]));
    assert_eq!(lead_time("team/platform").await?, json!([2, 37.0, 1.5, 2, 2]));
    assert_eq!(lead_time("organization").await?, json!([5, 4.0, 5.0, 6, 5]));
    let none = world.get("/v1/metrics/team/payments/lead-time?from=2025-06-01&to=2025-07-01").await?;
    assert_eq!(none["data"]["total"]["change_lead_time"], Value::Null, "deployments are read half a year back");
    let filtered = world.get(&format!("/v1/metrics/team/payments/lead-time?{WEEK}&base=other")).await?;
    assert_eq!(filtered["data"]["total"]["change_lead_time"]["n"], json!(0));
    let list = world.get(&format!("/v1/metrics/team/payments/pull-requests?{WEEK}")).await?;
    let rows = list["data"]["pull_requests"].as_array().context("rows")?;
    let row = |number: i64| rows.iter().find(|row| row["number"] == json!(number)).context("listed");
    assert_eq!(row(104)?["change_lead_time_hours"], json!(4.0));
    let deployment = world.get(&format!("/v1/deployments/{}", row(104)?["deployment_id"])).await?;
    assert_eq!(deployment["data"]["pull_requests"][0]["number"], json!(104), "and back");
    assert_eq!((&row(107)?["not_delivered"], &row(107)?["deployment_id"]), (&json!("not_deployed_yet"), &Value::Null));
    Ok(())
}

#[tokio::test]
async fn what_is_listed_as_delivered_adds_up_to_the_change_lead_time() -> Result<()> {
    let world = World::new().await?;
    for team in ["payments", "platform"] {
        for range in
            [WEEK, "from=2026-06-03&to=2026-06-04", "from=2026-06-05&to=2026-06-06", "from=2025-12-01&to=2026-07-01"]
        {
            let answer = world.get(&format!("/v1/metrics/team/{team}/dora?{range}")).await?;
            let lead = &answer["data"]["total"]["change_lead_time"];
            let (mut rows, mut after) = (Vec::new(), String::new());
            loop {
                let list = format!("/v1/metrics/team/{team}/pull-requests?{range}&state=delivered&limit=2{after}");
                let page = world.get(&list).await?;
                rows.extend(page["data"]["pull_requests"].as_array().context("rows")?.iter().cloned());
                let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
                after = format!("&cursor={cursor}");
            }
            let weight: f64 = rows.iter().filter_map(|row| row["weight"].as_f64()).sum();
            assert_eq!(
                json!([rows.len(), weight]),
                json!([lead["delivered"]["n"], lead["delivered"]["weight"]]),
                "{team} {range}"
            );
            let timed = rows.iter().filter(|row| row["change_lead_time_hours"].is_f64()).count();
            assert_eq!(json!(timed), lead["n"], "{team} {range}");
            assert!(rows.iter().all(|row| row["counts"] == json!(true)), "{rows:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_views_have_the_numbers_of_the_example() -> Result<()> {
    let world = World::new().await?;
    let pool = world.database.pool().await?;
    let text =
        async |sql: &str| anyhow::Ok(sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).fetch_all(&pool).await?);
    let numbers = "succeeded, succeeded_weighted::float8, failed, round(change_fail_rate, 4)::float8, round(rework_rate, 4)::float8,
        finished_weighted::float8, lead_time_n, round(median_change_lead_time_hours::numeric, 4)::float8, recovery_n,
        median_recovery_time_hours, deployment_recovery_n, median_deployment_recovery_time_hours";
    for unit in ["week", "month"] {
        let sql = format!(
            "select concat_ws(' ', team, {numbers}) from view_team_dora
            where unit = '{unit}' and bucket_start = '2026-06-01' order by team"
        );
        let expected = ["payments 5 4.75 1 0.2105 0.4211 4.75 4 2.75 2 2 1 3", "platform 2 1.25 0 0 0 2.25 2 37 0 0"];
        assert_eq!(text(&sql).await?, expected, "{unit}");
    }
    let lead_times = "select concat_ws(' ', team, n, change_lead_time_n, delivered, round(median_change_lead_time_hours::numeric, 4)::float8)
        from view_dora_lead_time where month_start = '2026-06-01' order by team";
    assert_eq!(text(lead_times).await?, ["payments 5 4 4 2.75", "platform 2 2 2 37"]);
    let phases = "select concat_ws(' ', team, n) from view_team_phases
        where unit = 'month' and bucket_start = '2026-06-01' and phase = 'deploy' order by team";
    assert_eq!(text(phases).await?, ["payments 4", "platform 2"]);
    let deployments = "select concat_ws(' ', kind, failures::text, rework::text, remedied_by_id is not null)
        from view_deployments where succeeded_at >= '2026-06-03' order by succeeded_at";
    let expected =
        ["change {incident,rolled_back} {} t", "rollback {} {rollback} f", "change {} {hotfix} f", "redeploy {} {} f"];
    assert_eq!(text(deployments).await?, expected);
    let shares = "select concat_ws(' ', team, sum(share)::float8) from view_team_deployments
        where basis = 'delivered@1' and succeeded_at >= '2026-06-01' and kind <> 'rollout' group by team order by team";
    assert_eq!(text(shares).await?, ["payments 4.75", "platform 1.25"]);
    let incidents = "select concat_ws(' ', external_id, duration_hours, rule) from view_incidents order by started_at";
    assert_eq!(text(incidents).await?, ["I4 2", "I1 1 window", "I2 3 window", "I3"]);
    Ok(())
}

/// The status and the body of an answer.
async fn answer(router: &Router, path: &str) -> Result<(u16, Value)> {
    let response = router.clone().oneshot(Request::get(path).body(Body::empty())?).await?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?))
}

#[tokio::test]
async fn small_groups_hide_lead_times_of_every_subject() -> Result<()> {
    let world = World::new().await?;
    let apply = async |size: i64| {
        let text = format!("{}privacy: {{ min_group_size: {size} }}\n", teams_file());
        let file = TeamsFile::parse("teams.yaml", text.as_bytes())?;
        world.database.store()?.apply(&file, ApplyOptions::default(), at(NOW)).await?;
        let mut medians = Vec::new();
        for subject in ["", "service/acme.shop/", "team/payments/"] {
            medians.push(world.total(subject, "").await?["change_lead_time"]["p50_hours"].clone());
        }
        anyhow::Ok(json!(medians))
    };
    assert_eq!(apply(2).await?, json!([4.0, 4.0, 2.75]), "two people in each team");
    assert_eq!(
        apply(3).await?,
        json!([null, null, null]),
        "three people: without one team, the rest would be another's"
    );
    for subject in ["", "service/acme.shop/"] {
        let (status, _) = answer(&world.router, &format!("/v1/metrics/{subject}dora?{WEEK}&interval=day")).await?;
        assert_eq!(status, 400, "days would isolate people");
    }
    Ok(())
}

#[tokio::test]
async fn pull_requests_of_a_deployment_need_their_scope() -> Result<()> {
    let world = World::new().await?;
    let id = world.get(&format!("/v1/deployments?{WEEK}&service=acme.shop")).await?["data"][0]["id"].clone();
    let of = async |scope: Scope| {
        let made = NewKey::from_random([1; 32], "key".parse()?, [scope], []);
        let keys = Some(ApiKeys::parse(&json!([made.entry]).to_string())?);
        let api = Api { keys, ..Api::new(world.database.reader()?, Duration::from_secs(20), || at(NOW)) };
        let request = Request::get(format!("/v1/deployments/{id}")).header("x-api-key", made.key).body(Body::empty())?;
        let response = router(api).oneshot(request).await?;
        let body: Value = serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
        anyhow::Ok(body["data"]["pull_requests"].clone())
    };
    assert_eq!(of(Scope::MetricsRead).await?, Value::Null);
    assert_eq!(of(Scope::PrsRead).await?.as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test]
async fn frequency_is_of_the_days_that_were_read() -> Result<()> {
    let world = World::new().await?;
    let answer = world.get("/v1/metrics/dora?from=2025-06-08&to=2026-06-22&interval=month").await?;
    let frequency = |index: usize| answer["data"]["buckets"][index]["deployment_frequency"].clone();
    assert_eq!((&frequency(0)["days"], &frequency(0)["per_day"]), (&json!(0), &Value::Null), "half a year was read");
    assert_eq!(frequency(11)["days"], json!(31), "May");
    let june = frequency(12);
    assert_eq!((&june["n"], &june["days"], &june["per_day"]), (&json!(6), &json!(15), &json!(0.4)), "until today");
    let future = world.get("/v1/metrics/dora?from=2026-06-15&to=2026-06-22").await?;
    assert_eq!(future["data"]["total"]["deployment_frequency"]["days"], json!(1));
    Ok(())
}

#[tokio::test]
async fn a_range_without_deployments_has_no_rates() -> Result<()> {
    let world = World::new().await?;
    let answer = world.get("/v1/metrics/dora?from=2026-06-08&to=2026-06-15&edition=dora-2024").await?;
    let total = &answer["data"]["total"];
    assert_eq!(total["deployment_frequency"]["per_day"], json!(0.0));
    assert_eq!(total["change_fail_rate"]["rate"], json!(null));
    assert_eq!(total["change_lead_time"]["p50_hours"], json!(null));
    assert_eq!(total["deployment_frequency"]["class"], json!(null));
    let warnings = answer["meta"]["warnings"].to_string();
    assert!(warnings.contains("no_deployments: "), "{warnings}");
    sqlx::raw_sql("delete from incident_facts; delete from incident_states; delete from incidents")
        .execute(&world.database.pool().await?)
        .await?;
    Ok(())
}
