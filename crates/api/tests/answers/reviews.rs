//! Who reviews for whom, by teams.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use mergeline_api::{Api, Scope, router};
use mergeline_domain::{CountedReview, Details, Login};
use mergeline_fake_github::{FakePullRequest, FakeUser, at, pr};
use serde_json::{Value, json};

use crate::common::{Backend, PRIVACY, ask, keys};
use crate::rows;

/// Payments has ana, bob by half until June 1, cho and dan; platform has the other half of bob, eve, and all of bob from June 1.
const FILE: &str = "
version: 1
timezone: Europe/Oslo
repositories: [acme/api]
teams:
  - slug: payments
    name: Payments
    members: [{ github: ana }, { github: bob, weight: 0.5, to: 2026-06-01 }, { github: cho }, { github: dan, weight: 0.75 }]
  - slug: platform
    name: Platform
    members:
      - { github: bob, weight: 0.5, to: 2026-06-01 }
      - { github: bob, from: 2026-06-01 }
      - { github: eve }
  - { slug: nobody, members: [{ github: zoe }] }
";

/// A pull request that became ready at noon of a day, and its reviewers, each so many hours later.
struct Reviewed<'a> {
    number: i64,
    by: &'a str,
    ready: DateTime<Utc>,
    reviews: Vec<(&'a str, i64)>,
}

impl Reviewed<'_> {
    fn pull_request(&self) -> FakePullRequest {
        let merged = self.ready + TimeDelta::days(3);
        pr("acme/api", self.number).by(self.by).created(&self.ready.to_rfc3339()).merged(&merged.to_rfc3339())
    }

    fn details(&self) -> Details {
        let reviews = self.reviews.iter().map(|(login, hours)| CountedReview {
            login: Login::from_github(login),
            account: Some(FakeUser::person(login).id.into()),
            submitted_at: self.ready + TimeDelta::hours(*hours),
        });
        Details { ready_at: Some(self.ready), reviews: reviews.collect(), ..Details::default() }
    }
}

async fn backend(teams: &str, all: &[Reviewed<'_>]) -> Result<Backend> {
    let backend = Backend::with_teams(teams).await?;
    let pull_requests: Vec<FakePullRequest> = all.iter().map(Reviewed::pull_request).collect();
    backend.keep_since("2025-12-01T00:00:00Z", &pull_requests).await?;
    let details = all.iter().zip(&pull_requests).map(|(reviewed, it)| (it, reviewed.details()));
    backend.add_details(&details.collect::<Vec<_>>()).await?;
    Ok(backend)
}

async fn reviews(backend: &Backend, path: &str) -> Result<Value> {
    let (status, answer) = backend.get(&format!("/v1/metrics/team/{path}")).await?;
    assert_eq!(status, 200, "{answer}");
    Ok(answer)
}

/// The codes of the warnings.
fn codes(answer: &Value) -> Vec<&str> {
    let warnings = answer["meta"]["warnings"].as_array().into_iter().flatten();
    warnings.filter_map(|it| it.as_str()?.split(':').next()).collect()
}

/// The cells of a flow: the slugs of both teams, n, weight, and the wait.
fn cells(answer: &Value) -> Vec<(String, usize, f64, Option<f64>)> {
    let cells = answer["data"]["flow"]["cells"].as_array().into_iter().flatten();
    let slug = |team: &Value| team["slug"].as_str().unwrap_or("-").to_owned();
    let rounded = |value: &Value| value.as_f64().map(|value| (value * 1e6).round() / 1e6);
    cells
        .map(|cell| {
            let n = cell["n"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default();
            let teams = format!("{} {}", slug(&cell["author_team"]), slug(&cell["reviewer_team"]));
            (teams, n, rounded(&cell["weight"]).unwrap_or_default(), rounded(&cell["wait_p50_hours"]))
        })
        .collect()
}

fn of(answer: &Value, field: &str) -> Value {
    answer["data"]["spread"][field].clone()
}

/// Reviews of May and June. `out` is outside the file.
fn history() -> Vec<Reviewed<'static>> {
    let (may, june) = (at("2026-05-20T10:00:00Z"), at("2026-06-03T10:00:00Z"));
    vec![
        Reviewed { number: 1, by: "ana", ready: may, reviews: vec![("bob", 2), ("cho", 4), ("bob", 6)] },
        Reviewed { number: 2, by: "dan", ready: may, reviews: vec![("eve", 10), ("out", 20)] },
        Reviewed { number: 3, by: "bob", ready: may, reviews: vec![("ana", 1)] },
        Reviewed { number: 4, by: "eve", ready: may, reviews: vec![("out", 1)] },
        Reviewed { number: 5, by: "cho", ready: june, reviews: vec![("bob", 8), ("dan", 3), ("ana", 5)] },
    ]
}

#[tokio::test]
async fn reviews_flow_between_the_teams_of_their_time() -> Result<()> {
    let backend = backend(FILE, &history()).await?;
    let answer = reviews(&backend, "payments/reviews").await?;
    let data = &answer["data"];
    assert_eq!(json!([data["from"], data["to"], data["complete"]]), json!(["2025-12-15", "2026-06-15", true]));
    assert_eq!(json!([data["reviews"], data["prs_unread"]]), json!([9, 0]), "all but that of platform alone");
    assert_eq!(json!([data["flow"]["definition"], data["flow"]["n"]]), json!(["review_flow@1", 9]));
    let cell = |teams: &str, n, weight, wait| (teams.to_owned(), n, weight, Some(wait));
    let expected = [
        // The quarter of dan that belongs to no team: reviewed from outside, and by eve.
        cell("- -", 1, 0.25, 20.0),
        cell("- platform", 1, 0.25, 10.0),
        // dan's from outside (0.75 after 20 hours), and cho's by the rest of dan (0.25 after 3): half of the way.
        cell("payments -", 2, 1.0, 11.5),
        // 0.5 of ana after 1 for bob, 0.5 of bob after 2, 0.75 of dan after 3, cho after 4, ana after 5, 0.5 of bob after 6.
        // C is 0.25, 0.75, 1.375, 2.25, 3.25, 4; its middle 2.125.
        cell("payments payments", 6, 4.25, 3.857_143),
        // 0.5 of bob after 2 and 6, bob after 8, 0.75 for dan by eve after 10. C is 0.25, 0.75, 1.5, 2.375; its middle 1.3125.
        cell("payments platform", 4, 2.75, 7.5),
        cell("platform payments", 1, 0.5, 1.0),
    ];
    assert_eq!(cells(&answer), expected);
    let lost = 9.0 - expected.iter().map(|cell| cell.2).sum::<f64>();
    assert!(lost.abs() < 1e-9, "{lost}");
    assert_eq!(codes(&answer), [""; 0]);
    let platform = reviews(&backend, "platform/reviews").await?;
    // ana's by bob twice, dan's by eve, bob's by ana, eve's by out, cho's by bob.
    assert_eq!(platform["data"]["reviews"], 6);
    Ok(())
}

#[tokio::test]
async fn waits_are_weighted_medians_since_ready() -> Result<()> {
    let ready = at("2026-05-20T10:00:00Z");
    let all = [
        Reviewed { number: 1, by: "ana", ready, reviews: vec![("cho", 2), ("cho", 10), ("dan", 20), ("cho", -1)] },
        Reviewed { number: 2, by: "eve", ready, reviews: vec![("eve2", 3)] },
    ];
    let backend = backend(FILE, &all).await?;
    let answer = reviews(&backend, "payments/reviews").await?;
    // Three known waits with weights 1, 1 and 0.75: C = 0.5, 1.5, 2.375; the middle of them is 1.4375.
    // 2 + (1.4375 - 0.5) / 1 * 8 = 9.5 h. The one before it was ready has none.
    let found = cells(&answer);
    assert_eq!(found[1], ("payments payments".to_owned(), 4, 3.75, Some(9.5)));
    assert_eq!(found[0], ("payments -".to_owned(), 1, 0.25, Some(20.0)));
    Ok(())
}

#[tokio::test]
async fn the_spread_is_of_the_teams_pull_requests_and_of_five_people_at_least() -> Result<()> {
    let backend = backend(FILE, &history()).await?;
    let five = reviews(&backend, "payments/reviews").await?;
    // bob 3, cho 1, eve 1, ana 2, dan 1: five. Those of eve's are not the team's.
    assert_eq!(json!([of(&five, "n"), of(&five, "n_outside")]), json!([8, 1]));
    assert_eq!(json!([of(&five, "people"), of(&five, "half_by"), of(&five, "is_suppressed")]), json!([5, 2, false]));
    let may = reviews(&backend, "payments/reviews?from=2026-05-18&to=2026-05-25").await?;
    assert_eq!(json!([of(&may, "n"), of(&may, "people"), of(&may, "is_suppressed")]), json!([5, null, true]), "four");
    assert_eq!(codes(&may), ["suppressed"]);
    let nobody = reviews(&backend, "nobody/reviews").await?;
    assert_eq!(json!([nobody["data"]["reviews"], of(&nobody, "is_suppressed")]), json!([0, false]));
    assert_eq!(codes(&nobody), ["no_data"]);
    let text = five.to_string() + &may.to_string();
    for login in ["ana", "bob", "cho", "dan", "eve"] {
        assert!(!text.contains(&format!("\"{login}\"")), "{login}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_not_read_is_said() -> Result<()> {
    let backend = backend(FILE, &history()).await?;
    let pool = backend.database.pool().await?;
    let unread = async |path: &str| -> Result<(Value, bool)> {
        let answer = reviews(&backend, path).await?;
        Ok((answer["data"]["prs_unread"].clone(), codes(&answer).contains(&"details_pending")))
    };
    assert_eq!(unread("payments/reviews").await?, (json!(0), false));
    // Of the team, and of platform alone.
    sqlx::raw_sql("update pull_requests set reviews_at = null where number in (2, 4)").execute(&pool).await?;
    assert_eq!(unread("payments/reviews").await?, (json!(1), true));
    assert_eq!(unread("payments/reviews?from=2026-06-01&to=2026-06-08").await?, (json!(0), false), "merged before");
    assert_eq!(unread("payments/reviews?from=2026-05-11&to=2026-05-18").await?, (json!(0), false), "opened after");
    assert_eq!(unread("nobody/reviews").await?, (json!(0), true), "zoe may have reviewed them");
    sqlx::raw_sql("update pull_requests set reviews_at = updated_at, has_unread_reviews = (number = 1)")
        .execute(&pool)
        .await?;
    assert_eq!(unread("payments/reviews").await?, (json!(1), true), "too many to read");
    Ok(())
}

#[tokio::test]
async fn who_left_the_file_counts_for_nobody() -> Result<()> {
    let backend = backend(FILE, &history()).await?;
    backend.apply(&FILE.replace(", { github: cho }", "")).await?;
    let answer = reviews(&backend, "payments/reviews").await?;
    // Without those of cho's own; the review by cho is one from outside.
    assert_eq!(json!([of(&answer, "n"), of(&answer, "n_outside")]), json!([4, 2]));
    Ok(())
}

#[tokio::test]
async fn weeks_of_one_person_are_left_out_where_small_groups_are_hidden() -> Result<()> {
    let mut all = history();
    // A week in which only dan reviews, and the running one.
    let (alone, running) = (at("2026-04-14T10:00:00Z"), at("2026-06-15T10:00:00Z"));
    all.push(Reviewed { number: 11, by: "ana", ready: alone, reviews: vec![("dan", 1)] });
    all.push(Reviewed { number: 12, by: "cho", ready: alone, reviews: vec![("dan", 40)] });
    all.push(Reviewed { number: 13, by: "ana", ready: running, reviews: vec![("cho", 1)] });
    all.push(Reviewed { number: 14, by: "cho", ready: running, reviews: vec![("ana", 1)] });
    let backend = backend(&format!("{PRIVACY}\n{FILE}"), &all).await?;
    let shown = reviews(&backend, "payments/reviews?from=2026-04-13&to=2026-06-22").await?;
    // June's are all of cho's: one author.
    assert_eq!(
        json!([shown["data"]["reviews"], shown["data"]["flow"]["n"], shown["data"]["flow"]["n_hidden"]]),
        json!([13, 6, 7])
    );
    assert_eq!(json!([of(&shown, "n"), of(&shown, "n_hidden"), of(&shown, "n_outside")]), json!([8, 4, 1]));
    let without = reviews(&backend, "payments/reviews?from=2026-05-18&to=2026-06-15").await?;
    assert_eq!(cells(&shown), cells(&without), "as without them");
    for (teams, _, _, wait) in cells(&shown) {
        let is_of_several = ["payments payments", "payments platform"].contains(&teams.as_str());
        assert_eq!(wait.is_some(), is_of_several, "{teams}: one author or reviewer");
    }
    assert!(codes(&shown).contains(&"suppressed"));
    for query in ["from=2026-06-02", "repo=acme/api", "base=main", "tz=UTC"] {
        let (status, _) = backend.get(&format!("/v1/metrics/team/payments/reviews?{query}")).await?;
        assert_eq!(status, 400, "{query}");
    }
    let hidden = reviews(&backend, "payments/reviews?from=2026-04-13&to=2026-04-20").await?;
    assert_eq!(json!([of(&hidden, "n"), of(&hidden, "people"), of(&hidden, "is_suppressed")]), json!([0, null, true]));
    Ok(())
}

#[tokio::test]
async fn other_teams_are_none_for_a_limited_key() -> Result<()> {
    let backend = backend(FILE, &history()).await?;
    let (keys, texts) = keys(&[(Scope::MetricsRead, &["payments"])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let answered = ask(&router, "GET", "/v1/metrics/team/payments/reviews", &[("x-api-key", &texts[0])]).await?;
    let answer: Value = answered.json()?;
    let found: Vec<_> = cells(&answer).into_iter().map(|(teams, n, weight, _)| (teams, n, weight)).collect();
    // The rest of dan's 0.5 and of ana's of bob's 0.5; what platform reviewed, and dan's rest, as before.
    let expected = [("- -", 2, 0.5), ("- payments", 1, 0.5), ("payments -", 6, 3.75), ("payments payments", 6, 4.25)];
    assert_eq!(found, expected.map(|(teams, n, weight)| (teams.to_owned(), n, weight)));
    assert!(!answer.to_string().contains("latform"), "{answer}");
    let other = ask(&router, "GET", "/v1/metrics/team/platform/reviews", &[("x-api-key", &texts[0])]).await?;
    assert_eq!(other.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_table_of_reviews_has_the_numbers_of_the_answer() -> Result<()> {
    let backend = backend(FILE, &history()).await?;
    let answer = reviews(&backend, "payments/reviews").await?;
    let answered = backend.ask("/v1/metrics/team/payments/reviews", &[("accept", "text/csv")]).await?;
    assert_eq!((answered.status, answered.header("content-type")), (200, "text/csv; charset=utf-8; header=present"));
    let mut table: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for row in rows(&answered)? {
        let cell = |name: &str| row.iter().find(|(of, _)| of == name).map(|(_, cell)| cell.clone()).unwrap_or_default();
        let key = ["definition", "author_team", "reviewer_team", "name"].map(cell).join("|");
        assert_eq!(table.insert(key.clone(), cell("value").parse().ok()), None, "{key}");
    }
    for name in ["n", "half_by", "people", "n_outside", "n_hidden"] {
        assert_eq!(
            table.remove(&format!("review_spread@1|payments||{name}")),
            Some(of(&answer, name).as_f64()),
            "{name}"
        );
    }
    for cell in answer["data"]["flow"]["cells"].as_array().context("cells")? {
        let [author, reviewer] =
            ["author_team", "reviewer_team"].map(|side| cell[side]["slug"].as_str().unwrap_or_default());
        for name in ["n", "weight", "wait_p50_hours"] {
            let found = table.remove(&format!("review_flow@1|{author}|{reviewer}|{name}"));
            assert_eq!(found, Some(cell[name].as_f64()), "{author} {reviewer} {name}");
        }
    }
    assert!(table.is_empty(), "{table:?}");
    Ok(())
}

#[tokio::test]
async fn spread_and_flow_equal_a_recount_of_the_reviews() -> Result<()> {
    let logins = ["ana", "bob", "cho", "dan", "eve", "zoe", "out"];
    // In ten-thousandths; bob moves on June 1 in Oslo.
    let moves = at("2026-05-31T22:00:00Z");
    let teams_of = |login: &str, when: DateTime<Utc>| -> Vec<(&'static str, u64)> {
        match login {
            "ana" | "cho" => vec![("payments", 10_000)],
            "bob" if when < moves => vec![("payments", 5_000), ("platform", 5_000)],
            "bob" | "eve" => vec![("platform", 10_000)],
            "dan" => vec![("payments", 7_500), ("-", 2_500)],
            "zoe" => vec![("nobody", 10_000)],
            _ => vec![("-", 10_000)],
        }
    };
    let mut state = 17_u64;
    let mut random = |below: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005_u64).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 33).unwrap_or_default() % below
    };
    let login = |number: i64| logins[usize::try_from(number).unwrap_or_default()];
    let all: Vec<Reviewed<'_>> = (1..=150)
        .map(|number| {
            let (by, minutes) = (login(random(6)), random(90_000));
            let mut reviews: Vec<(&str, i64)> = (0..random(4)).map(|_| (login(random(7)), random(70))).collect();
            reviews.retain(|(reviewer, _)| *reviewer != by);
            Reviewed { number, by, ready: at("2026-04-06T10:00:00Z") + TimeDelta::minutes(minutes), reviews }
        })
        .collect();
    let backend = backend(FILE, &all).await?;
    // Whole weeks from Monday to Monday, in Oslo.
    let (from, to) = (at("2026-04-19T22:00:00Z"), at("2026-06-07T22:00:00Z"));
    for team in ["payments", "platform", "nobody"] {
        let answer = reviews(&backend, &format!("{team}/reviews?from=2026-04-20&to=2026-06-08")).await?;
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        let mut units: BTreeMap<String, (usize, u64)> = BTreeMap::new();
        let (mut n, mut outside) = (0, 0);
        for Reviewed { by, ready, reviews, .. } in &all {
            for (login, hours) in reviews {
                let when = *ready + TimeDelta::hours(*hours);
                let (authors, reviewers) = (teams_of(by, when), teams_of(login, when));
                let has = |teams: &[(&str, u64)]| teams.iter().any(|(of, _)| *of == team);
                if when < from || when >= to || !(has(&authors) || has(&reviewers)) {
                    continue;
                }
                n += 1;
                if has(&authors) && *login == "out" {
                    outside += 1;
                } else if has(&authors) {
                    *counts.entry(login).or_default() += 1;
                }
                for (author_team, author) in &authors {
                    for (reviewer_team, reviewer) in &reviewers {
                        let cell = units.entry(format!("{author_team} {reviewer_team}")).or_default();
                        *cell = (cell.0 + 1, cell.1 + author * reviewer);
                    }
                }
            }
        }
        assert!(n > 20, "{team}");
        assert_eq!(json!([answer["data"]["reviews"], answer["data"]["flow"]["n"]]), json!([n, n]), "{team}");
        let found: BTreeMap<String, (usize, u64)> = cells(&answer)
            .into_iter()
            .map(|(teams, n, weight, _)| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
                let units = (weight * 1e8).round() as u64;
                (teams, (n, units))
            })
            .collect();
        assert_eq!(found, units, "{team}");
        let made: u64 = counts.values().sum();
        assert_eq!(json!([of(&answer, "n"), of(&answer, "n_outside")]), json!([made, outside]), "{team}");
        let mut most_first: Vec<u64> = counts.into_values().collect();
        most_first.sort_unstable_by(|a, b| b.cmp(a));
        let half = (1..=most_first.len()).find(|k| 2 * most_first[..*k].iter().sum::<u64>() >= made);
        let expected = if most_first.len() < 5 { json!([null, null]) } else { json!([most_first.len(), half]) };
        assert_eq!(json!([of(&answer, "people"), of(&answer, "half_by")]), expected, "{team}");
    }
    Ok(())
}
