//! A worked example of DORA's metrics, number by number: fake GitHub, real collector, real PostgreSQL, the API's answers.
//!
//! One service of two teams in one week: a failed attempt, a rollback after two incidents, a hotfix and a redeploy.

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

mod events;

struct World {
    database: TestDatabase,
    router: Router,
}

const INCIDENTS: &str = "
with new as (
    insert into incidents (service_id, source, external_id, title, started_at)
    select s.id, 'events', i.id, i.id, i.started_at::timestamptz
    from services as s
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
        let fake = FakeGitHub::start().await?;
        fake.require_token("ghp_canary");
        put(&fake, "acme/shop");
        let database = TestDatabase::create().await?;
        collected(&fake, &database, &teams_file()).await?;
        let store = database.store()?;
        sqlx::raw_sql(INCIDENTS).execute(&database.pool().await?).await?;
        sqlx::raw_sql("update services set has_facts = true").execute(&database.pool().await?).await?;
        store.derive_all(true).await?;
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
    assert_eq!(organization["unattributed"], json!(0.0), "4.75 and 1.25 are all 6");
    assert_eq!(organization["not_delivered"]["not_deployed_yet"], json!({ "n": 1, "weight": 1.0 }), "#107");
    Ok(())
}

#[tokio::test]
async fn the_example_as_a_table_has_the_same_numbers() -> Result<()> {
    let world = World::new().await?;
    let text = world.text(&format!("/v1/metrics/team/payments/dora?{WEEK}&format=csv")).await?;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().context("a header")?;
    let total = lines.next_back().context("a total")?;
    let cell = |name: &str| header.iter().position(|column| *column == name).map(|place| total[place]);
    let names = ["deployments", "deployments_weighted", "failed", "finished_weighted", "change_lead_time_p50_hours"];
    assert_eq!(names.map(cell), ["5", "4.75", "1", "4.75", "2.75"].map(Some));
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
    assert_eq!(delivered[0]["teams"], json!([{ "team": "payments", "weight": 1.0 }]));
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
