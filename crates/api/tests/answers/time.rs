//! Where a team's time goes, and how much of people it had.

use anyhow::Result;
use chrono::TimeDelta;
use mergeline_api::{Api, Scope, router};
use mergeline_domain::Details;
use mergeline_fake_github::{FakePullRequest, at, pr};
use serde_json::{Value, json};

use crate::common::{Backend, PRIVACY, TEAMS, ask, keys};
use crate::rows;

/// A pull request with its hours of coding, pickup and review, and its lines.
fn worked(number: i64, who: &str, ready: &str, hours: [i64; 3], lines: i64) -> (FakePullRequest, Details) {
    let ready = at(ready);
    let [coding, pickup, review] = hours.map(TimeDelta::hours);
    let merged = ready + pickup + review;
    let details = Details {
        first_commit_at: Some(ready - coding),
        ready_at: Some(ready),
        first_review_at: Some(ready + pickup),
        additions: lines,
        ..Details::default()
    };
    (pr("acme/api", number).by(who).created(&ready.to_rfc3339()).merged(&merged.to_rfc3339()), details)
}

/// In each of the twenty weeks before June 15, 2026: one of Ana with 6, 3 and 1 hours, and one of Bob, who counts half, with 0, 99 and 1.
/// Open since: one of Ana for a day, one of Bob for ten days, and a draft.
fn history() -> Vec<(FakePullRequest, Details)> {
    let mut all = Vec::new();
    for week in 0..20_i64 {
        let text = |start: &str| (at(start) + TimeDelta::weeks(week)).to_rfc3339();
        all.push(worked(2 * week + 1, "ana", &text("2026-01-27T08:00:00Z"), [6, 3, 1], 120));
        all.push(worked(2 * week + 2, "bob", &text("2026-01-28T08:00:00Z"), [0, 99, 1], 1_001));
    }
    let ready = |it: &FakePullRequest| Details { ready_at: Some(it.created_at), ..Details::default() };
    for (number, who, created) in [(101, "ana", "2026-06-16T12:00:00Z"), (102, "bob", "2026-06-07T12:00:00Z")] {
        let it = pr("acme/api", number).by(who).created(created);
        all.push((it.clone(), ready(&it)));
    }
    all.push((
        pr("acme/api", 103).created("2026-06-01T08:00:00Z").drafted_at("2026-06-01T08:00:00Z"),
        Details::default(),
    ));
    all
}

async fn backend(teams: &str, history: &[(FakePullRequest, Details)]) -> Result<Backend> {
    with_unread(teams, history, &[]).await
}

/// The same, with others whose details were not read.
async fn with_unread(
    teams: &str,
    history: &[(FakePullRequest, Details)],
    unread: &[FakePullRequest],
) -> Result<Backend> {
    let backend = Backend::with_teams(teams).await?;
    let all: Vec<FakePullRequest> = history.iter().map(|(it, _)| it.clone()).chain(unread.iter().cloned()).collect();
    backend.keep_since("2025-12-01T00:00:00Z", &all).await?;
    backend.add_details(&history.iter().map(|(it, details)| (it, details.clone())).collect::<Vec<_>>()).await?;
    Ok(backend)
}

async fn time(backend: &Backend, path: &str) -> Result<Value> {
    let (status, answer) = backend.get(&format!("/v1/metrics/team/{path}")).await?;
    assert_eq!(status, 200, "{answer}");
    Ok(answer)
}

/// A number without what floating point adds to it.
fn rounded(value: &Value) -> Option<f64> {
    value.as_f64().map(|value| (value * 1e6).round() / 1e6)
}

fn shares(of: &Value, field: &str) -> Vec<Option<f64>> {
    of["phases"].as_array().into_iter().flatten().map(|phase| rounded(&phase[field])).collect()
}

/// The codes of the warnings.
fn codes(answer: &Value) -> Vec<&str> {
    let warnings = answer["meta"]["warnings"].as_array().into_iter().flatten();
    warnings.filter_map(|it| it.as_str()?.split(':').next()).collect()
}

#[tokio::test]
async fn phases_have_their_weighted_shares() -> Result<()> {
    let backend = backend(TEAMS, &history()).await?;
    let answer = time(&backend, "payments/time").await?;
    let data = &answer["data"];
    assert_eq!(json!([data["from"], data["to"], data["complete"]]), json!(["2025-12-15", "2026-06-15", true]));
    assert_eq!(json!([data["prs_merged"], data["n_hidden"]]), json!([40, 0]));
    let merge = &data["until_merge"];
    assert_eq!(json!([merge["definition"], merge["n"], merge["weight"]]), json!(["time_share@1", 40, 30.0]));
    // By week 6 + 0, 3 + 99/2, and 1 + 1/2 of 60 weighted hours.
    assert_eq!(shares(merge, "share"), [Some(0.1), Some(0.875), Some(0.025)]);
    assert_eq!(shares(merge, "median_share"), [Some(0.6), Some(0.3), Some(0.1)], "two of three hours are Ana's");
    let production = &data["until_production"];
    assert_eq!(json!([production["n"], production["missing"]]), json!([0, { "deploy": 40 }]), "nothing is deployed");
    assert_eq!(shares(production, "share"), [None; 4]);
    // Of Bob's team alone.
    let answer = time(&backend, "platform/time").await?;
    assert_eq!(shares(&answer["data"]["until_merge"], "share"), [Some(0.0), Some(0.99), Some(0.01)]);
    Ok(())
}

#[tokio::test]
async fn sizes_and_hours_have_their_medians() -> Result<()> {
    let backend = backend(TEAMS, &history()).await?;
    let answer = time(&backend, "payments/time").await?;
    let classes = answer["data"]["size_effect"]["classes"].as_array().cloned().unwrap_or_default();
    let n: Vec<&Value> = classes.iter().map(|class| &class["n"]).collect();
    assert_eq!(json!(n), json!([0, 0, 20, 0, 0, 20]));
    let of = |index: usize| {
        json!([classes[index]["above"], classes[index]["pickup_p50_hours"], classes[index]["review_p50_hours"]])
    };
    assert_eq!([of(0), of(2), of(5)], [json!([null, null, null]), json!([50, 3.0, 1.0]), json!([1_000, 99.0, 1.0])]);
    // Eight in the morning of UTC is nine in Oslo's winter, and ten from March 29 on.
    let cells = &answer["data"]["pickup_calendar"]["cells"];
    let cell = |weekday, hour, n, hours| json!({ "weekday": weekday, "hour": hour, "n": n, "pickup_p50_hours": hours });
    assert_eq!(*cells, json!([cell(2, 9, 9, 3.0), cell(2, 10, 11, 3.0), cell(3, 9, 9, 99.0), cell(3, 10, 11, 99.0)]));
    let twelve = time(&backend, "payments/time?from=2026-03-23&to=2026-06-15").await?;
    assert_eq!(twelve["data"]["pickup_calendar"], Value::Null, "twelve weeks");
    assert_eq!(twelve["data"]["prs_merged"], 24);
    Ok(())
}

#[tokio::test]
async fn open_work_is_as_old_as_the_teams_own_times_say() -> Result<()> {
    let backend = backend(TEAMS, &history()).await?;
    let of = async |path: &str| -> Result<Value> { Ok(time(&backend, path).await?["data"]["wip_age"].clone()) };
    let ages = of("payments/time").await?;
    assert_eq!(json!([ages["n"], ages["n_merged"], ages["is_suppressed"]]), json!([2, 40, false]), "without the draft");
    assert_eq!([&ages["p50_hours"], &ages["p85_hours"]].map(rounded), [Some(4.0), Some(100.0)]);
    let open: Vec<Value> = ages["open"].as_array().into_iter().flatten().cloned().collect();
    let shown = open.iter().map(|it| (it["number"].as_i64(), rounded(&it["age_hours"]), rounded(&it["older_than"])));
    let two_thirds = Some(0.666_667);
    assert_eq!(shown.collect::<Vec<_>>(), [(Some(102), Some(240.0), Some(1.0)), (Some(101), Some(24.0), two_thirds)]);
    assert_eq!(open[0]["url"], "https://github.com/acme/api/pull/102");
    // It is of now, and compared with the last 26 weeks.
    let mut short = of("payments/time?from=2026-06-01&to=2026-06-08").await?;
    assert_eq!(short, ages);
    // Ana's were open for four hours; none of them is in this branch.
    short = of("payments/time?base=release").await?;
    assert_eq!(json!([short["n"], short["n_merged"], short["p50_hours"]]), json!([0, 0, null]));
    assert_eq!(backend.get("/v1/metrics/team/payments/time?repo=acme/unknown").await?.0, 400);
    assert_eq!(backend.get("/v1/metrics/team/unknown/time").await?.0, 404);
    Ok(())
}

#[tokio::test]
async fn a_range_counts_what_was_merged_in_it_and_says_what_was_not_read() -> Result<()> {
    let mut all = history();
    // Merged on the first and the last instant of the week from June 1, in Oslo, and on either side of it.
    for (number, merged) in [
        (200, "2026-05-31T21:59:59Z"),
        (201, "2026-05-31T22:00:00Z"),
        (202, "2026-06-07T21:59:59Z"),
        (203, "2026-06-07T22:00:00Z"),
    ] {
        let it = pr("acme/api", number).created("2026-05-30T08:00:00Z").merged(merged);
        all.push((it, Details { ready_at: Some(at("2026-05-30T08:00:00Z")), ..Details::default() }));
    }
    let unread = pr("acme/api", 300).created("2026-06-02T08:00:00Z").merged("2026-06-03T08:00:00Z");
    let backend = with_unread(TEAMS, &all, &[unread]).await?;
    let answer = time(&backend, "payments/time?from=2026-06-01&to=2026-06-08").await?;
    let data = &answer["data"];
    assert_eq!(data["prs_merged"], 5, "two of the boundaries, one unread, and one of each person");
    assert_eq!(data["until_merge"]["missing"], json!({ "coding": 3 }));
    assert_eq!(data["size_effect"]["n_unknown"], 1, "what is not read has no size");
    assert!(codes(&answer).contains(&"details_pending"), "{answer}");
    let running = time(&backend, "payments/time?from=2026-06-08&to=2026-06-18").await?;
    assert_eq!(running["data"]["incomplete"], json!(["running"]));
    let before = time(&backend, "payments/time?from=2025-09-01&to=2025-10-06").await?;
    assert_eq!(json!([before["data"]["prs_merged"], before["data"]["incomplete"]]), json!([0, ["not_read"]]));
    Ok(())
}

#[tokio::test]
async fn weeks_of_one_person_are_in_no_number_where_small_groups_are_hidden() -> Result<()> {
    let mut all = history();
    // A week of Ana alone, and the running one.
    all.push(worked(200, "ana", "2026-01-20T08:00:00Z", [400, 3, 1], 5));
    all.push(worked(201, "ana", "2026-06-15T08:00:00Z", [400, 3, 1], 5));
    all.push(worked(202, "bob", "2026-06-15T08:00:00Z", [400, 3, 1], 5));
    let backend = backend(&format!("{PRIVACY}\n{TEAMS}"), &all).await?;
    let answer = time(&backend, "payments/time?from=2026-01-19&to=2026-06-22").await?;
    let data = &answer["data"];
    assert_eq!(json!([data["prs_merged"], data["n_hidden"]]), json!([43, 3]), "counts are no secret");
    assert_eq!(shares(&data["until_merge"], "share"), [Some(0.1), Some(0.875), Some(0.025)], "as without them");
    let class = &data["size_effect"]["classes"][2];
    assert_eq!(
        json!([class["n"], class["pickup_p50_hours"], class["is_suppressed"]]),
        json!([20, null, true]),
        "all of Ana"
    );
    assert_eq!(data["pickup_calendar"]["cells"], json!([]), "each is of one person");
    let shares = &data["until_merge"];
    let left_out = shares["missing"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(json!([shares["n"], shares["n_hidden"], left_out]), json!([40, 3, 0]), "together all");
    assert_eq!(data["wip_age"]["n_merged"], 40);
    assert!(codes(&answer).contains(&"suppressed"), "{answer}");
    let alone = time(&backend, "platform/time").await?;
    let (merge, ages) = (&alone["data"]["until_merge"], &alone["data"]["wip_age"]);
    assert_eq!(json!([merge["n"], alone["data"]["n_hidden"], ages["n_merged"]]), json!([0, 20, 0]), "Bob alone");
    assert_eq!(
        json!([ages["is_suppressed"], ages["p50_hours"], ages["open"][0]["older_than"]]),
        json!([true, null, null])
    );
    assert_eq!(backend.get("/v1/metrics/team/payments/time?from=2026-06-02").await?.0, 400, "no whole week");
    Ok(())
}

#[tokio::test]
async fn titles_of_open_work_need_their_scope() -> Result<()> {
    let backend = backend(TEAMS, &history()).await?;
    let (keys, texts) = keys(&[(Scope::MetricsRead, &["payments"]), (Scope::PrsRead, &["payments"])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let open = async |key: &str| -> Result<Value> {
        let answered = ask(&router, "GET", "/v1/metrics/team/payments/time", &[("x-api-key", key)]).await?;
        Ok(answered.json()?["data"]["wip_age"].clone())
    };
    let (metrics, pull_requests) = (open(&texts[0]).await?, open(&texts[1]).await?);
    assert_eq!(json!([metrics["n"], metrics["open"]]), json!([2, null]));
    assert_eq!(pull_requests["open"].as_array().map(Vec::len), Some(2));
    let elsewhere = ask(&router, "GET", "/v1/metrics/team/platform/time", &[("x-api-key", &texts[0])]).await?;
    assert_eq!(elsewhere.status, 404, "another team");
    Ok(())
}

/// The rows of a table, each by the names of its columns.
async fn table(backend: &Backend, path: &str) -> Result<Vec<Value>> {
    let answered = backend.ask(path, &[("accept", "text/csv")]).await?;
    assert_eq!((answered.status, answered.header("content-type")), (200, "text/csv; charset=utf-8; header=present"));
    let row = |cells: Vec<(String, String)>| cells.into_iter().map(|(name, cell)| (name, Value::from(cell))).collect();
    Ok(rows(&answered)?.into_iter().map(row).collect())
}

#[tokio::test]
async fn a_table_of_time_has_the_numbers_of_the_answer_and_no_title() -> Result<()> {
    let backend = backend(TEAMS, &history()).await?;
    let answer = time(&backend, "payments/time").await?;
    let rows = table(&backend, "/v1/metrics/team/payments/time").await?;
    let value = |of: &str, name: &str| -> Value {
        let found: Vec<&Value> = rows.iter().filter(|row| row["of"] == of && row["name"] == name).collect();
        assert_eq!(found.len(), 1, "{of} {name}");
        found[0]["value"].as_str().and_then(|text| text.parse::<f64>().ok()).map_or(Value::Null, Value::from)
    };
    for (index, phase) in ["coding", "pickup", "review"].into_iter().enumerate() {
        let shown = &answer["data"]["until_merge"]["phases"][index];
        for name in ["share", "median_share"] {
            assert_eq!(value(&format!("until_merge.{phase}"), name), shown[name], "{phase}");
        }
    }
    assert_eq!(value("until_production.deploy", "missing"), json!(40.0));
    assert_eq!(value("until_production.deploy", "share"), Value::Null);
    assert_eq!([value("lines 51..200", "n"), value("lines 1001..", "pickup_p50_hours")], [json!(20.0), json!(99.0)]);
    assert_eq!(value("lines ..10", "review_p50_hours"), Value::Null);
    assert_eq!(
        [value("weekday 3 hour 10", "n"), value("weekday 2 hour 9", "pickup_p50_hours")],
        [json!(11.0), json!(3.0)]
    );
    assert_eq!([value("open", "n"), value("merged", "p85_hours")], [json!(2.0), json!(100.0)]);
    assert!(rows.iter().all(|row| !row.to_string().contains("Change")), "a title");
    Ok(())
}

#[tokio::test]
async fn tables_of_changes_forecasts_and_goals_have_the_rows_of_their_answers() -> Result<()> {
    let mut all = Vec::new();
    // 26 weeks of six, then eight of twelve: one lasting change.
    for week in 0..34_i64 {
        for index in 0..if week < 26 { 6 } else { 12 } {
            let merged = at("2025-10-21T12:00:00Z") + TimeDelta::weeks(week) + TimeDelta::hours(index % 7 + week % 3);
            let number = i64::try_from(all.len())? + 1;
            let opened = merged - TimeDelta::hours(20 + week % 5);
            all.push(pr("acme/api", number).created(&opened.to_rfc3339()).merged(&merged.to_rfc3339()));
        }
    }
    let goals = "goals: [{ id: fast, form: share, measure: cycle_time, within: 22h, share: 0.5 }]\n";
    let backend = Backend::with_teams(&format!("{goals}{TEAMS}")).await?;
    backend.keep_since("2025-10-20T00:00:00Z", &all).await?;
    let same = |row: &Value, name: &str, shown: &Value| {
        let text = row[name].as_str().unwrap_or_default();
        let is_same = match shown {
            Value::Null => text.is_empty(),
            Value::Number(number) => text.parse::<f64>().ok() == number.as_f64(),
            shown => text == shown.as_str().map_or_else(|| shown.to_string(), str::to_owned),
        };
        assert!(is_same, "{name} of {row}: {shown}");
    };
    let change = time(&backend, "payments/change").await?;
    let rows = table(&backend, "/v1/metrics/team/payments/change").await?;
    let mut rows = rows.iter();
    for (measure, field) in [("merged", "merged"), ("cycle_time_hours", "cycle_time")] {
        let report = &change["data"][field];
        for week in report["weeks"].as_array().into_iter().flatten() {
            let row = rows.next().expect("a row for each week");
            assert_eq!((&row["measure"], &row["start"]), (&json!(measure), &week["start"]));
            for name in ["value", "is_outside"] {
                same(row, name, &week[name]);
            }
            same(row, "n", if week["value"].is_null() { &Value::Null } else { &week["n"] });
            let changed = report["changes"].as_array().into_iter().flatten().find(|it| it["since"] == week["start"]);
            for (name, of) in [("changed_from", "from"), ("changed_to", "to"), ("found", "found")] {
                same(row, name, changed.map_or(&Value::Null, |it| &it[of]));
            }
            let mut baselines = report["baselines"].as_array().into_iter().flatten();
            let of = |it: &&Value| {
                it["from"].as_str() <= week["start"].as_str()
                    && (it["until"].is_null() || week["start"].as_str() < it["until"].as_str())
            };
            let baseline = baselines.rfind(of);
            for name in ["center", "lower", "upper"] {
                same(row, name, baseline.map_or(&Value::Null, |it| &it[name]));
            }
        }
    }
    assert_eq!(rows.next(), None);
    assert_eq!(change["data"]["merged"]["changes"].as_array().map(Vec::len), Some(1), "{change}");
    let forecast = time(&backend, "payments/forecast?weeks=5").await?;
    let totals = forecast["data"]["forecast"]["totals"].as_array().cloned().unwrap_or_default();
    let rows = table(&backend, "/v1/metrics/team/payments/forecast?weeks=5").await?;
    assert_eq!((rows.len(), totals.len()), (5, 5));
    for (row, total) in rows.iter().zip(&totals) {
        for name in ["weeks", "by", "expected", "p2_5", "p10", "p15", "p25", "p50", "p75", "p85", "p90", "p97_5"] {
            same(row, name, &total[name]);
        }
    }
    let (_, goals) = backend.get("/v1/teams/payments/goals").await?;
    let weeks = goals["data"]["goals"][0]["weeks"].as_array().cloned().unwrap_or_default();
    let rows = table(&backend, "/v1/teams/payments/goals").await?;
    assert_eq!((rows.len(), weeks.len()), (26, 26));
    for (row, week) in rows.iter().zip(&weeks) {
        same(row, "goal", &json!("fast"));
        for name in ["week", "revision", "state"] {
            same(row, name, &week[name]);
        }
        for name in ["n", "n_within", "n_waiting", "share", "low", "high"] {
            same(row, name, &week["numbers"][name]);
        }
    }
    Ok(())
}

/// Ana joins payments in the middle of the week from June 1; Bob counts half.
const JOINING: &str = "
version: 1
timezone: Europe/Oslo
repositories: [acme/api]
teams:
  - { slug: payments, name: Payments, members: [{ github: ana, from: 2026-06-04 }, { github: bob, weight: 0.5 }] }
  - { slug: nobody, members: [] }
";

async fn joined(teams: &str) -> Result<Backend> {
    let backend = Backend::with_teams(teams).await?;
    let merged =
        |number, who: &str, at: &str| pr("acme/api", number).by(who).created("2026-05-01T08:00:00Z").merged(at);
    let all = [
        merged(1, "bob", "2026-06-02T08:00:00Z"),
        merged(2, "ana", "2026-06-05T08:00:00Z"),
        merged(3, "ana", "2026-06-09T08:00:00Z"),
        merged(4, "bob", "2026-06-16T08:00:00Z"),
    ];
    backend.keep_since("2026-04-20T00:00:00Z", &all).await?;
    Ok(backend)
}

#[tokio::test]
async fn merges_stand_beside_the_people_of_their_weeks() -> Result<()> {
    let backend = joined(JOINING).await?;
    let answer = time(&backend, "payments/velocity?from=2026-05-25&to=2026-06-18").await?;
    let data = &answer["data"];
    let buckets = data["buckets"].as_array().cloned().unwrap_or_default();
    let of = |it: &Value| (rounded(&it["fte_weeks"]), rounded(&it["merged_per_fte_week"]));
    // Half of Bob; from Thursday on Ana, for four of seven days; both; and on Wednesday, three days of the running week.
    let half = (Some(0.5), Some(0.0));
    let four_days = 0.5 + 4.0 / 7.0;
    let shown: Vec<_> = buckets.iter().map(of).collect();
    let expected = [
        half,
        (rounded(&json!(four_days)), rounded(&json!(1.5 / four_days))),
        (Some(1.5), rounded(&json!(1.0 / 1.5))),
        (rounded(&json!(1.5 * 3.0 / 7.0)), rounded(&json!(0.5 / (1.5 * 3.0 / 7.0)))),
    ];
    assert_eq!(shown, expected);
    let all = 0.5 + four_days + 1.5 + 1.5 * 3.0 / 7.0;
    assert_eq!(of(&data["total"]), (rounded(&json!(all)), rounded(&json!(3.0 / all))));
    let memberships = data["memberships"].as_array().cloned().unwrap_or_default();
    let mut shown: Vec<Value> =
        memberships.iter().map(|it| json!([it["weight"], it["joined_at"], it["left_at"]])).collect();
    shown.sort_by_key(ToString::to_string);
    assert_eq!(json!(shown), json!([[0.5, null, null], [1.0, "2026-06-03T22:00:00Z", null]]));
    assert!(!answer.to_string().contains("bob"), "nobody is named");
    let before = time(&backend, "payments/velocity?from=2026-05-25&to=2026-06-01").await?;
    assert_eq!(before["data"]["memberships"].as_array().map(Vec::len), Some(1), "those of the range");
    let whole = time(&backend, "payments/velocity?from=2026-06-01&to=2026-06-08&weighting=full").await?;
    assert_eq!(of(&whole["data"]["total"]), (rounded(&json!(four_days)), None), "whole pull requests, parts of people");
    let nobody = time(&backend, "nobody/velocity?from=2026-06-01&to=2026-06-08").await?;
    assert_eq!(of(&nobody["data"]["total"]), (Some(0.0), None));
    let rows = table(&backend, "/v1/metrics/team/payments/velocity?from=2026-06-01&to=2026-06-08").await?;
    let in_table = |row: &Value| row["merged_per_fte_week"].as_str().and_then(|text| text.parse::<f64>().ok());
    assert_eq!([in_table(&rows[0]), in_table(&rows[1])], [buckets[1]["merged_per_fte_week"].as_f64(); 2]);
    Ok(())
}

#[tokio::test]
async fn merges_of_one_person_are_not_divided_where_small_groups_are_hidden() -> Result<()> {
    let backend = joined(&format!("{PRIVACY}\n{JOINING}")).await?;
    let answer = time(&backend, "payments/velocity?from=2026-05-25&to=2026-06-15").await?;
    let buckets = answer["data"]["buckets"].as_array().cloned().unwrap_or_default();
    let shown: Vec<_> =
        buckets.iter().map(|it| (it["fte_weeks"].is_null(), it["merged_per_fte_week"].is_null())).collect();
    assert_eq!(shown, [(true, true), (false, false), (false, false)], "Bob alone in the first");
    // The sum without the other weeks would be the first, and so would his membership.
    assert_eq!((&answer["data"]["total"]["fte_weeks"], &answer["data"]["memberships"]), (&Value::Null, &json!([])));
    let later = time(&backend, "payments/velocity?from=2026-06-01&to=2026-06-15").await?;
    assert!(later["data"]["total"]["fte_weeks"].is_f64(), "{later}");
    assert_eq!(later["data"]["memberships"].as_array().map(Vec::len), Some(2), "{later}");
    Ok(())
}

#[tokio::test]
async fn a_change_says_if_the_people_of_the_team_changed_too() -> Result<()> {
    let mut all = Vec::new();
    for week in 0..32_i64 {
        for index in 0..if week < 26 { 6 } else { 14 } {
            let merged = at("2025-11-04T12:00:00Z") + TimeDelta::weeks(week) + TimeDelta::hours(index);
            let number = i64::try_from(all.len())? + 1;
            all.push(pr("acme/api", number).created("2025-11-03T08:00:00Z").merged(&merged.to_rfc3339()));
        }
    }
    let teams = |bob: &str| {
        let members = format!("{{ github: ana }}, {{ github: bob{bob} }}");
        format!("version: 1\nrepositories: [acme/api]\nteams: [{{ slug: payments, members: [{members}] }}]\n")
    };
    let fte = async |bob: &str| -> Result<Value> {
        let backend = Backend::with_teams(&teams(bob)).await?;
        backend.keep_since("2025-11-03T00:00:00Z", &all).await?;
        let answer = time(&backend, "payments/change").await?;
        assert_eq!(answer["data"]["merged"]["changes"].as_array().map(Vec::len), Some(1), "{answer}");
        Ok(answer["data"]["merged"]["changes"][0]["fte"].clone())
    };
    assert_eq!(fte("").await?, Value::Null, "two all the time");
    // From the first week of the new level on.
    assert_eq!(fte(", from: 2026-05-04").await?, json!({ "from": 1.0, "to": 2.0 }));
    Ok(())
}

const KINDS: &str = "
investment:
  - { category: rework, rework: true }
  - { category: upkeep, labels: [chore], titles: ['bump *'] }
  - { category: features, branches: ['feature/*'] }
  - { category: upkeep, labels: [Docs] }
";

#[tokio::test]
async fn kinds_of_work_sum_to_all_that_was_merged() -> Result<()> {
    let merged = |number: i64, who: &str, title: &str| {
        let at = format!("2026-06-{:02}T08:00:00Z", number % 7 + 8);
        FakePullRequest {
            title: title.to_owned(),
            ..pr("acme/api", number).by(who).created("2026-06-01T08:00:00Z").merged(&at)
        }
    };
    let details = |labels: &[&str], branch: Option<&str>, reverts: Option<i64>| Details {
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        head_ref: branch.map(str::to_owned),
        reverts,
        ..Details::default()
    };
    let all = [
        (merged(1, "ana", "Add a shop"), details(&[], Some("Feature/shop"), None)),
        (merged(2, "ana", "Bump serde"), details(&[], Some("feature/serde"), None)),
        (merged(3, "bob", "Describe it"), details(&["docs"], None, None)),
        (merged(4, "bob", "Revert the shop"), details(&["chore"], None, Some(1))),
        // It brings back what was reverted.
        (merged(5, "ana", "Revert the revert"), details(&[], None, Some(4))),
        (merged(6, "ana", "Fix it"), details(&["Hotfix"], None, None)),
        (merged(7, "ana", "Something else"), details(&[], None, None)),
    ];
    let backend = backend(&format!("{KINDS}{TEAMS}"), &all).await?;
    let answer = time(&backend, "payments/time").await?;
    let kinds = &answer["data"]["investment"];
    let kind = |category: Value, n: i64, weight: f64| json!({ "category": category, "n": n, "weight": weight, "share": weight / 6.0 });
    let expected = json!([
        kind(json!("rework"), 2, 1.5),
        kind(json!("upkeep"), 2, 1.5),
        kind(json!("features"), 1, 1.0),
        kind(Value::Null, 2, 2.0)
    ]);
    assert_eq!(json!([kinds["definition"], kinds["categories"]]), json!(["investment@1", expected]));
    let rows = table(&backend, "/v1/metrics/team/payments/time").await?;
    let n = |of: &str| rows.iter().find(|row| row["of"] == of && row["name"] == "n").map(|row| row["value"].clone());
    assert_eq!([n("rework"), n("uncategorized")], [Some(json!("2")), Some(json!("2"))]);
    let short = time(&backend, "payments/time?from=2026-06-09&to=2026-06-10").await?;
    let of_day = &short["data"]["investment"]["categories"];
    assert_eq!(json!([of_day[0]["n"], of_day[2]["n"], of_day[0]["share"]]), json!([0, 1, 0.0]), "of the range");
    backend.apply(TEAMS).await?;
    let without = time(&backend, "payments/time").await?;
    assert_eq!(without["data"]["investment"], Value::Null, "without rules");
    Ok(())
}

#[tokio::test]
async fn what_one_person_lacks_is_hidden_as_what_one_person_has() -> Result<()> {
    // Both people merged in both weeks, but in the first only one pull request has no review, Ana's.
    let mut all = vec![
        worked(1, "ana", "2026-06-01T08:00:00Z", [6, 3, 1], 20),
        worked(2, "bob", "2026-06-02T08:00:00Z", [1, 9, 1], 20),
        worked(3, "ana", "2026-06-03T08:00:00Z", [40, 0, 0], 300),
        worked(4, "ana", "2026-06-08T08:00:00Z", [6, 3, 1], 20),
        worked(5, "bob", "2026-06-09T08:00:00Z", [1, 9, 1], 300),
    ];
    all[2].1.first_review_at = None;
    let backend = backend(&format!("{PRIVACY}\n{TEAMS}"), &all).await?;
    let of = async |range: &str| -> Result<Value> {
        Ok(time(&backend, &format!("payments/time?{range}")).await?["data"].clone())
    };
    let first = of("from=2026-06-01&to=2026-06-08").await?;
    let shares = &first["until_merge"];
    assert_eq!(json!([shares["n"], shares["n_hidden"], shares["missing"]]), json!([0, 2, { "pickup": 1 }]));
    let both = of("from=2026-06-01&to=2026-06-15").await?;
    assert_eq!(
        json!([both["until_merge"]["n"], both["until_merge"]["n_hidden"]]),
        json!([2, 2]),
        "nor in a longer range"
    );
    // Of 11 to 50 lines are both people's of the first week, and only Ana's of the second.
    let second = &of("from=2026-06-08&to=2026-06-15").await?["size_effect"]["classes"][1];
    assert_eq!(json!([second["n"], second["pickup_p50_hours"], second["is_suppressed"]]), json!([1, null, true]));
    let (first, both) = (&first["size_effect"]["classes"][1], &both["size_effect"]["classes"][1]);
    assert_eq!(json!([first["n"], both["n"]]), json!([2, 3]));
    assert_eq!(first["pickup_p50_hours"], both["pickup_p50_hours"], "subtracting would show Ana's");
    let velocity = time(&backend, "payments/velocity?from=2026-06-01&to=2026-06-15").await?;
    let phases =
        |bucket: usize, phase: &str| velocity["data"]["buckets"][bucket]["phases"][phase]["mean_hours"].clone();
    assert_eq!(
        [phases(0, "pickup"), phases(0, "review")],
        [Value::Null, Value::Null],
        "the sum of all would show Ana's"
    );
    assert_ne!(phases(0, "coding"), Value::Null, "nobody lacks it");
    assert_ne!(phases(1, "pickup"), Value::Null);
    assert_eq!(velocity["data"]["total"]["phases"]["pickup"]["n"], 2, "of the week that is shown");
    Ok(())
}

#[tokio::test]
async fn of_the_organization_what_one_person_of_a_team_lacks_is_hidden_too() -> Result<()> {
    const TWO: &str = "version: 1\ntimezone: Europe/Oslo\nrepositories: [acme/api]\nteams:\n  \
                       - { slug: payments, members: [{ github: ana }, { github: bob }] }\n  \
                       - { slug: web, members: [{ github: cleo }, { github: dan }] }\n";
    let mut all = Vec::new();
    for (week, day) in [(0_i64, 1), (1, 8)] {
        for (index, login) in (1_i64..).zip(["ana", "bob", "cleo", "dan"]) {
            let opened = format!("2026-06-{:02}T08:00:00Z", day + index - 1);
            all.push(worked(week * 10 + index, login, &opened, [6, 3, 1], 20));
        }
    }
    // In the first week one person of each team also merged without a review: two of the organization.
    for (number, login) in [(21, "ana"), (22, "cleo")] {
        let mut without = worked(number, login, "2026-06-03T08:00:00Z", [40, 0, 0], 300);
        without.1.first_review_at = None;
        all.push(without);
    }
    let backend = backend(&format!("{PRIVACY}\n{TWO}"), &all).await?;
    let (status, answer) = backend.get("/v1/metrics/organization/velocity?from=2026-06-01&to=2026-06-15").await?;
    assert_eq!(status, 200, "{answer}");
    let mean = |bucket: usize, phase: &str| answer["data"]["buckets"][bucket]["phases"][phase]["mean_hours"].clone();
    assert_eq!([mean(0, "pickup"), mean(0, "review")], [Value::Null, Value::Null], "{answer}");
    assert!([mean(0, "coding"), mean(1, "pickup"), mean(1, "review")].iter().all(Value::is_number), "{answer}");
    Ok(())
}

#[tokio::test]
async fn of_days_that_have_not_started_it_says_so() -> Result<()> {
    let backend = backend(TEAMS, &history()).await?;
    for what in ["time", "reviews"] {
        let answer = time(&backend, &format!("payments/{what}?from=2027-01-04&to=2027-01-11")).await?;
        assert_eq!(answer["data"]["incomplete"], json!(["running"]), "{what}");
        let warnings = answer["meta"]["warnings"].to_string();
        assert_eq!(warnings.matches("no_data: the range has not started yet").count(), 1, "{what}: {warnings}");
        assert_eq!(warnings.matches("no_data").count(), 1, "{what}: {warnings}");
        let past = time(&backend, &format!("payments/{what}?from=2026-06-01&to=2026-06-08")).await?;
        assert!(!past["meta"]["warnings"].to_string().contains("not started"), "{what}");
    }
    Ok(())
}
