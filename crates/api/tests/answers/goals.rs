//! Goals of the teams file: how they stood and stand.

use anyhow::Result;
use chrono::TimeDelta;
use mergeline_api::{Api, Scope, router};
use mergeline_domain::Details;
use mergeline_fake_github::{FakePullRequest, at, pr};
use mergeline_test_support::eight_weeks;
use serde_json::{Value, json};

use crate::common::{Backend, PRIVACY, TEAMS, ask, keys};

const GOALS: &str = "
goals:
  - { id: done-fast, form: share, measure: cycle_time, within: 4h, share: 0.8 }
  - { id: no-old-ones, sentence: We finish what we start., form: each, measure: age, within: 7d }
  - { id: few-at-once, team: payments, form: limit, open: 1 }
  - { id: of-platform, team: platform, form: limit, open: 1 }
";

fn with_goals(goals: &str) -> String {
    format!("{goals}{TEAMS}")
}

async fn backend(teams: &str) -> Result<Backend> {
    let backend = Backend::with_teams(teams).await?;
    let all = eight_weeks();
    backend.keep_since("2026-04-20T00:00:00Z", &all).await?;
    let details: Vec<(&FakePullRequest, Details)> =
        all.iter().map(|it| (it, Details { ready_at: Some(it.created_at), ..Details::default() })).collect();
    backend.add_details(&details).await?;
    Ok(backend)
}

fn goal<'a>(answer: &'a Value, id: &str) -> &'a Value {
    let goals = answer["data"]["goals"].as_array().expect("a list");
    goals.iter().find(|goal| goal["id"] == id).unwrap_or(&Value::Null)
}

fn states(goal: &Value) -> Vec<&str> {
    goal["weeks"].as_array().expect("weeks").iter().filter_map(|week| week["state"].as_str()).collect()
}

#[tokio::test]
async fn each_form_of_goal_is_judged_by_its_rule() -> Result<()> {
    let backend = backend(&with_goals(GOALS)).await?;
    let (status, answer) = backend.get("/v1/teams/payments/goals").await?;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["meta"]["definitions"][0], "goal@1");
    let share = goal(&answer, "done-fast");
    // Per week 2 of weight 1 in time, and 1 of weight 1/2 late; in the window 8 and 4, of which all had their time.
    let numbers = &share["weeks"][25]["numbers"];
    assert_eq!(json!([numbers["n"], numbers["n_within"], numbers["n_waiting"]]), json!([13, 8, 1]), "one still waits");
    // 8 of 8 + 4/2 + 1.
    assert!((numbers["share"].as_f64().unwrap_or_default() - 8.0 / 11.0).abs() < 1e-9, "{numbers}");
    assert_eq!(share["state"], "inconclusive", "the interval contains 80%: {numbers}");
    assert_eq!(share["weeks"][25]["week"], "2026-06-08");
    assert_eq!(states(share)[..21], ["incomplete"; 21], "not all of the first window was read");
    assert_eq!(json!([share["open"], share["in_force"]]), json!([null, 0]));
    assert_eq!(share["revisions"][0]["goal"]["share"], 0.8, "as in the file");
    assert_eq!(share["suggestion"]["p50_hours"], 1);
    let each = goal(&answer, "no-old-ones");
    assert_eq!(json!([each["state"], each["open"]["n"], each["open"]["n_late"]]), json!(["missed", 2, 1]));
    let late = &each["open"]["late"][0];
    assert_eq!(
        json!([late["repository"], late["number"], late["since"], late["late_since"], late["url"]]),
        json!([
            "acme/api",
            101,
            "2026-06-01T08:00:00Z",
            "2026-06-08T08:00:00Z",
            "https://github.com/acme/api/pull/101"
        ])
    );
    assert_eq!(states(each)[23..], ["met", "met", "missed"], "since June 8");
    assert_eq!(each["revisions"][0]["sentence"], "We finish what we start.");
    assert_eq!(each["open"]["at"], "2026-06-17T08:00:00Z", "as of the last collection");
    assert_eq!(json!([share["last"]["week"], each["last"]]), json!(["2026-06-08", null]));
    let limit = goal(&answer, "few-at-once");
    assert_eq!(json!([limit["state"], limit["open"]["n"], limit["open"]["late"]]), json!(["missed", 2, []]));
    assert_eq!(*goal(&answer, "of-platform"), Value::Null, "another team's");
    let (_, of_platform) = backend.get("/v1/teams/platform/goals").await?;
    assert_eq!(goal(&of_platform, "of-platform")["state"], "met", "Bob's only");
    let (_, none) = backend.get("/v1/teams/nobody/goals").await?;
    assert_eq!(goal(&none, "done-fast")["state"], "too_few");
    assert_eq!(goal(&none, "no-old-ones")["state"], "met");
    Ok(())
}

#[tokio::test]
async fn a_goal_about_a_metric_has_the_numbers_of_its_weeks() -> Result<()> {
    let metrics = "
metrics:
  - { id: fast, of: pull_requests, statistic: share, when: { cycle_time: { at_most: 4h } }, than: {} }
goals:
  - { id: mostly-fast, form: metric, metric: fast, share: 0.9 }
";
    let backend = backend(&with_goals(metrics)).await?;
    let (status, answer) = backend.get("/v1/teams/payments/goals").await?;
    assert_eq!(status, 200, "{answer}");
    let found = goal(&answer, "mostly-fast");
    assert_eq!(found["revisions"][0]["goal"], json!({"form": "metric", "metric": "fast", "share": 0.9}));
    let (_, custom) = backend.get("/v1/metrics/team/payments/custom").await?;
    let buckets = custom["data"]["metrics"][0]["buckets"].as_array().expect("buckets");
    let last = &buckets[buckets.len() - 4..];
    let sum = |name: &str| last.iter().filter_map(|bucket| bucket[name].as_f64()).sum::<f64>();
    let numbers = &found["weeks"][25]["numbers"];
    assert_eq!(json!([numbers["n"], numbers["n_within"], numbers["n_waiting"]]), json!([12, 8, 0]), "{numbers}");
    assert_eq!(json!([sum("n"), sum("n_taken"), sum("weight")]), json!([12.0, 8.0, 10.0]));
    assert!((numbers["share"].as_f64().unwrap_or_default() - 0.8).abs() < 1e-9, "{numbers}");
    assert_eq!(states(found)[..21], ["incomplete"; 21], "not all of the first window was read");
    assert_eq!((&found["state"], &found["open"]), (&json!("inconclusive"), &Value::Null));
    Ok(())
}

#[tokio::test]
async fn a_range_lists_its_whole_weeks_with_what_came_before_them() -> Result<()> {
    let backend = backend(&with_goals(GOALS)).await?;
    let (_, all) = backend.get("/v1/teams/payments/goals").await?;
    let (_, some) = backend.get("/v1/teams/payments/goals?from=2026-06-01&to=2026-06-15").await?;
    for id in ["done-fast", "no-old-ones", "few-at-once"] {
        let (all, some) = (&goal(&all, id)["weeks"], &goal(&some, id)["weeks"]);
        let last = |weeks: &Value, from: usize| json!(weeks.as_array().expect("weeks")[from..]);
        assert_eq!(last(some, 0), last(all, 24), "{id}");
    }
    let (status, wrong) = backend.get("/v1/teams/payments/goals?interval=day").await?;
    assert_eq!((status, &wrong["error"]["code"]), (400, &json!("validation_error")), "{wrong}");
    assert_eq!(backend.get("/v1/teams/unknown/goals").await?.0, 404);
    Ok(())
}

#[tokio::test]
async fn a_state_does_not_depend_on_the_range() -> Result<()> {
    // Met by the first weeks, and between the two sides since.
    let goals = "goals: [{ id: fast, form: share, measure: cycle_time, within: 4h, share: 0.6 }]\n";
    let backend = Backend::with_teams(&with_goals(goals)).await?;
    let mut all = Vec::new();
    for week in 0..20 {
        for index in 0..8 {
            let opened = at("2026-01-27T08:00:00Z") + TimeDelta::weeks(week);
            let hours = if week >= 8 && index % 8 >= 5 { 24 } else { 1 };
            let (number, merged) = (i64::try_from(all.len())? + 1, opened + TimeDelta::hours(hours));
            all.push(pr("acme/api", number).created(&opened.to_rfc3339()).merged(&merged.to_rfc3339()));
        }
    }
    backend.keep_since("2026-01-26T00:00:00Z", &all).await?;
    let of = async |range: &str| -> Result<(Value, Value)> {
        let (status, answer) = backend.get(&format!("/v1/teams/payments/goals?{range}")).await?;
        assert_eq!(status, 200, "{answer}");
        Ok((goal(&answer, "fast")["state"].clone(), goal(&answer, "fast")["weeks"].clone()))
    };
    let (state, weeks) = of("from=2026-02-02&to=2026-06-15").await?;
    assert_eq!(state, "met");
    let last = weeks.as_array().and_then(|weeks| weeks.last()).cloned().unwrap_or_default();
    let numbers = &last["numbers"];
    assert!(numbers["low"].as_f64() < Some(0.6) && Some(0.6) < numbers["high"].as_f64(), "between: {numbers}");
    assert_eq!(of("from=2026-06-08&to=2026-06-15").await?, (json!("met"), json!([last])), "one week");
    assert_eq!(of("from=2027-01-04&to=2027-02-01").await?, (json!("met"), json!([])), "a range to come");
    assert_eq!(of("from=2026-02-02&to=2026-04-13").await?.0, "met", "the state is that of now");
    // From a Wednesday on, the first whole week starts on the Monday after.
    let (_, weeks) = of("from=2026-06-03&to=2026-06-16").await?;
    assert_eq!((weeks.as_array().map(Vec::len), &weeks[0]["week"]), (Some(1), &json!("2026-06-08")));
    Ok(())
}

#[tokio::test]
async fn goals_stay_those_of_a_team_that_is_renamed() -> Result<()> {
    let goals = |team: &str, open: u32| format!("goals: [{{ id: few, team: {team}, form: limit, open: {open} }}]\n");
    let backend = Backend::with_teams(&with_goals(&goals("platform", 1))).await?;
    backend.apply(&with_goals(&goals("platform", 2))).await?;
    let revisions = async |team: &str| -> Result<Value> {
        let (_, answer) = backend.get(&format!("/v1/teams/{team}/goals")).await?;
        Ok(goal(&answer, "few")["revisions"].clone())
    };
    let before = revisions("platform").await?;
    assert_eq!(before.as_array().map(Vec::len), Some(2), "{before}");
    let renamed = with_goals(&goals("plat", 2)).replace("{ slug: platform,", "{ slug: plat, renamed_from: platform,");
    backend.apply(&renamed).await?;
    assert_eq!(revisions("plat").await?, before);
    Ok(())
}

#[tokio::test]
async fn what_is_open_is_not_judged_by_old_data() -> Result<()> {
    let backend = backend(&with_goals(GOALS)).await?;
    let at_noon = backend.get("/v1/teams/payments/goals").await?.1;
    assert_eq!(goal(&at_noon, "no-old-ones")["state"], "missed");
    let later = Api::new(backend.reader.clone(), std::time::Duration::from_secs(20), || at("2026-06-18T12:00:00Z"));
    let answered = ask(&router(later), "GET", "/v1/teams/payments/goals", &[]).await?.json()?;
    assert_eq!(goal(&answered, "no-old-ones")["state"], "incomplete", "nothing was read for a day");
    Ok(())
}

#[tokio::test]
async fn a_draft_does_not_wait_and_unread_changes_are_not_judged() -> Result<()> {
    let goals = "goals: [{ id: old, form: each, measure: age, within: 7d }]\n";
    let backend = Backend::with_teams(&with_goals(goals)).await?;
    let draft = pr("acme/api", 1).created("2026-06-01T08:00:00Z").drafted_at("2026-06-02T08:00:00Z");
    let open = pr("acme/api", 2).created("2026-06-01T08:00:00Z");
    backend.keep_since("2026-05-01T00:00:00Z", &[draft.clone(), open.clone()]).await?;
    let read = |it: &FakePullRequest| Details { ready_at: Some(it.created_at), ..Details::default() };
    backend.add_details(&[(&draft, read(&draft)), (&open, read(&open))]).await?;
    let found = async || -> Result<Value> {
        let (_, answer) = backend.get("/v1/teams/payments/goals").await?;
        let old = goal(&answer, "old");
        Ok(json!([old["state"], old["open"]["n"], old["open"]["late"][0]["number"]]))
    };
    assert_eq!(found().await?, json!(["missed", 1, 2]), "turned back into a draft, one does not wait");
    let changed = "update pull_requests set updated_at = updated_at + interval '1 hour' where number = 2";
    sqlx::raw_sql(changed).execute(&backend.database.pool().await?).await?;
    assert_eq!(found().await?[0], "incomplete", "it changed, and what did is not read yet");
    Ok(())
}

#[tokio::test]
async fn a_changed_goal_is_a_new_revision_and_a_removed_one_stays_as_eight_weeks() -> Result<()> {
    let goals = "goals: [{ id: few, form: limit, open: 1, to: 2026-06-01 }, { id: few, form: limit, open: 9, from: 2026-06-01 }]\n";
    let backend = backend(&with_goals(goals)).await?;
    let (_, answer) = backend.get("/v1/teams/payments/goals?last=P4W").await?;
    let few = goal(&answer, "few");
    let revisions: Vec<&Value> = few["weeks"].as_array().expect("weeks").iter().map(|it| &it["revision"]).collect();
    // Its last instant decides to which revision a week belongs: May 31 ends before the new one.
    assert_eq!(json!([revisions, few["in_force"], few["state"]]), json!([[0, 1, 1], 1, "met"]));
    let before = few["revisions"].clone();
    backend.apply(TEAMS).await?;
    let (_, answer) = backend.get("/v1/teams/payments/goals?last=P4W").await?;
    let few = goal(&answer, "few");
    assert_eq!(json!([few["in_force"], few["state"], few["open"]]), json!([null, null, null]));
    assert_eq!(few["revisions"][0], before[0]);
    assert_eq!(few["revisions"][1]["in_force"]["to"], "2026-06-17T12:00:00Z", "when the file was applied");
    Ok(())
}

#[tokio::test]
async fn what_is_not_read_yet_is_not_judged() -> Result<()> {
    let goals = "goals: [{ id: seen, form: share, measure: pickup, within: 4h, share: 0.5 }]\n";
    let backend = Backend::with_teams(&with_goals(goals)).await?;
    let all = eight_weeks();
    backend.keep_since("2026-04-20T00:00:00Z", &all).await?;
    let state = async || -> Result<Value> {
        let (_, answer) = backend.get("/v1/teams/payments/goals?last=P2W").await?;
        Ok(goal(&answer, "seen")["state"].clone())
    };
    assert_eq!(state().await?, "incomplete", "no reviews were read");
    let reviewed = |it: &FakePullRequest, hours| Details {
        ready_at: Some(it.created_at),
        first_review_at: Some(it.created_at + TimeDelta::hours(hours)),
        ..Details::default()
    };
    // Those of Bob were merged after a day, with a review after nine hours.
    let details: Vec<_> = all.iter().map(|it| (it, reviewed(it, if it.merged_at.is_some() { 1 } else { 9 }))).collect();
    backend.add_details(&details).await?;
    assert_eq!(state().await?, "met");
    Ok(())
}

#[tokio::test]
async fn small_groups_and_titles_are_hidden_in_goals_as_everywhere() -> Result<()> {
    let backend = backend(&format!("{PRIVACY}\n{}", with_goals(GOALS))).await?;
    let (_, answer) = backend.get("/v1/teams/platform/goals").await?;
    let states = |answer: &Value| ["done-fast", "no-old-ones"].map(|id| goal(answer, id)["state"].clone());
    assert_eq!(states(&answer), [json!("too_few"), json!("too_few")], "Bob alone");
    let open = |id| goal(&answer, id)["open"].clone();
    assert_eq!(
        json!([open("no-old-ones")["n"], open("no-old-ones")["n_late"]]),
        json!([1, null]),
        "how long is hidden"
    );
    assert_eq!(goal(&answer, "of-platform")["state"], "met", "how many is not");
    let (_, answer) = backend.get("/v1/teams/payments/goals").await?;
    assert_eq!(states(&answer), [json!("inconclusive"), json!("missed")]);
    assert_eq!(backend.get("/v1/teams/payments/goals?from=2026-06-02").await?.0, 400, "no whole week");
    let (keys, texts) = keys(&[(Scope::MetricsRead, &["payments"]), (Scope::PrsRead, &["payments"])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let late = async |key: &str| -> Result<Value> {
        let answered = ask(&router, "GET", "/v1/teams/payments/goals", &[("x-api-key", key)]).await?;
        Ok(goal(&answered.json()?, "no-old-ones")["open"].clone())
    };
    let (metrics, pull_requests) = (late(&texts[0]).await?, late(&texts[1]).await?);
    assert_eq!(json!([metrics["n_late"], metrics["late"]]), json!([1, null]), "no titles without the scope");
    assert_eq!(pull_requests["late"][0]["number"], 101);
    assert_eq!(
        ask(&router, "GET", "/v1/teams/platform/goals", &[("x-api-key", &texts[0])]).await?.status,
        404,
        "another team"
    );
    Ok(())
}
