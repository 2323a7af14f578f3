//! What `show` and `report` say beyond the numbers of weeks, by the real `mergeline` binary.

mod common;

use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use common::Laptop;
use mergeline_fake_github::{FakeGitHub, pr};
use serde_json::Value;

/// Six people of a team, of whom `p1` opens and the others review, and one of another team.
const TEAMS: &str = "\
version: 1
repositories: [acme/api]
teams:
  - { slug: payments, name: Payments, members: [{ github: p1 }, { github: p2 }, { github: p3 }, { github: p4 }, { github: p5 }, { github: p6 }] }
  - { slug: web, name: Web, members: [{ github: w1 }] }
";

/// The words of an output, without its lines.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn show_and_report_say_who_reviews_for_whom_by_teams_and_name_nobody() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.require_token(FakeGitHub::TOKEN);
    let now = DateTime::<Utc>::from(SystemTime::now());
    let ago = |hours: i64| (now - TimeDelta::hours(hours)).to_rfc3339();
    // p2 makes half of the reviews of p1's; somebody of Web and one outside review, too.
    let reviewers = ["p2", "p2", "p2", "p2", "p3", "p4", "p5", "p6", "w1", "stranger"];
    let opened = (0_i32..).zip(reviewers).map(|(index, reviewer)| {
        let start = 400 - 2 * i64::from(index);
        pr("acme/api", i64::from(index) + 1)
            .by("p1")
            .created(&ago(start))
            .reviewed_by(reviewer, &ago(start - 6))
            .merged(&ago(start - 8))
    });
    let by_web = pr("acme/api", 50).by("w1").created(&ago(300)).reviewed_by("p2", &ago(298)).merged(&ago(290));
    fake.put(opened.chain([by_web]).collect::<Vec<_>>());
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("GITHUB_PAT", FakeGitHub::TOKEN);
    laptop.write("teams.yaml", TEAMS)?;
    let collected = laptop.run(&["collect"]).await?;
    ensure!(collected.code() == Some(0), "{}", collected.err());

    let shown = laptop.run(&["show", "payments", "--last", "P8W"]).await?.out();
    let spread = "Payments: half of the 9 reviews of its pull requests were made by 2 of 6 people (review_spread@1)";
    let outside = "Payments: 1 review by people outside the teams file, who are not in that";
    let rows = |text: &str| -> Vec<String> {
        let rows = text.lines().skip_while(|line| !line.starts_with("opened by")).skip(2);
        rows.take_while(|line| !line.contains(':') && !line.is_empty()).map(words).collect()
    };
    let (of_payments, by_payments) = (
        ["Payments no team 1 1.00 6.0", "Payments Payments 8 8.00 6.0", "Payments Web 1 1.00 6.0"],
        "Web Payments 1 1.00 2.0",
    );
    assert_eq!(rows(&shown), [&of_payments[..], &[by_payments]].concat(), "{shown}");
    for line in [spread, outside] {
        ensure!(words(&shown).contains(line), "{line}: {shown}");
    }
    // Each review is in the rows of one team.
    let reported = laptop.run(&["report", "--teams", "teams.yaml"]).await?.out();
    assert_eq!(rows(&reported), [&of_payments[..], &[by_payments]].concat(), "{reported}");
    let web = "Web: among how many people the reviews of its pull requests are spread is hidden";
    ensure!(words(&reported).contains(spread) && words(&reported).contains(web), "{reported}");
    let json = laptop.run(&["show", "payments", "--json"]).await?.json()?;
    let reviews = &json["teams"][0]["reviews"]["data"];
    assert_eq!([&reviews["spread"]["half_by"], &reviews["spread"]["people"]], [2, 6], "{reviews}");
    for person in ["p1", "p2", "p6", "w1", "stranger"] {
        let names = |text: &str| text.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == person);
        ensure!(!names(&shown) && !names(&reported) && !names(&reviews.to_string()), "{person} is named");
    }
    Ok(())
}

#[tokio::test]
async fn reviews_that_were_not_read_and_weeks_of_few_people_are_said_to_be_left_out() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let now = DateTime::<Utc>::from(SystemTime::now());
    let ago = |hours: i64| (now - TimeDelta::hours(hours)).to_rfc3339();
    fake.put([pr("acme/api", 1).by("p1").created(&ago(400)).reviewed_by("p2", &ago(390)).merged(&ago(380))]);
    // Without a token, no review is read.
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url());
    laptop.write("teams.yaml", TEAMS)?;
    laptop.run(&["collect"]).await?;
    let shown = laptop.run(&["show", "payments"]).await?.out();
    let unread = "Payments: the reviews of 1 pull request were not all read, so some may be missing; COLLECT_DETAILS or a \
                  token may be missing";
    ensure!(words(&shown).contains(&words(unread)) && !shown.contains("reviewed by"), "{shown}");
    // With one, and with a smallest group, the week of one reviewer is left out.
    let laptop = laptop.with("GITHUB_PAT", FakeGitHub::TOKEN);
    laptop.write("teams.yaml", &format!("{TEAMS}privacy: {{ min_group_size: 3 }}\n"))?;
    laptop.run(&["collect"]).await?;
    let ran = laptop.run(&["show", "payments", "--last", "P8W"]).await?;
    let shown = ran.out();
    let few =
        "Payments: 1 left out of the spread and 1 of the table, since their weeks have too few people or are not over";
    ensure!(words(&shown).contains(few) && !shown.contains("reviewed by"), "{shown}{}", ran.err());
    let json: Value = laptop.run(&["show", "payments", "--json"]).await?.json()?;
    let hidden = json.pointer("/teams/0/reviews/data/flow/n_hidden").context("reviews")?;
    assert_eq!(hidden, 1, "{json}");
    Ok(())
}

#[tokio::test]
async fn public_repositories_stand_beside_a_team_only_when_asked_for() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let now = DateTime::<Utc>::from(SystemTime::now());
    let ago = |hours: i64| (now - TimeDelta::hours(hours)).to_rfc3339();
    fake.put([pr("acme/api", 1).by("p1").created(&ago(400)).merged(&ago(380))]);
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url());
    let plain = laptop.run(&["report", "acme/api"]).await?.out();
    ensure!(!plain.contains("public repositories") && !plain.contains("bitcoin-core/gui"), "{plain}");
    let ran = laptop.run(&["report", "acme/api", "--benchmark"]).await?;
    let beside = ran.out();
    ensure!(
        words(&beside).contains("Beside public repositories 2026, which are not companies"),
        "{beside}{}",
        ran.err()
    );
    let row = |name: &str| beside.lines().rfind(|line| line.starts_with(name)).map(words).unwrap_or_default();
    ensure!(row("Everyone").ends_with("20.0 20.0 20.0"), "{beside}");
    ensure!(row("bitcoin-core").contains(" 86 0.6 342.1 1428.3 10471.7"), "{beside}");
    Ok(())
}

#[tokio::test]
async fn an_export_has_rounded_percentiles_and_neither_names_nor_sizes() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let now = DateTime::<Utc>::from(SystemTime::now());
    let ago = |hours: i64| (now - TimeDelta::hours(hours)).to_rfc3339();
    // Six people of Payments merge sixty, the one of Web as many.
    let of_payments = (0_i32..60).map(|index| {
        let merged = 24 * 14 + 24 * i64::from(index);
        let opened = merged + 17;
        pr("acme/api", i64::from(index) + 1)
            .by(&format!("p{}", index % 6 + 1))
            .created(&ago(opened))
            .merged(&ago(merged))
    });
    let of_web = (0_i32..60).map(|index| {
        let merged = 24 * 14 + 24 * i64::from(index);
        pr("acme/api", i64::from(index) + 101).by("w1").created(&ago(merged + 33)).merged(&ago(merged))
    });
    fake.put(of_payments.chain(of_web).collect::<Vec<_>>());
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("BACKFILL_DAYS", "220");
    laptop.write("teams.yaml", TEAMS)?;
    let collected = laptop.run(&["collect"]).await?;
    ensure!(collected.code() == Some(0), "{}", collected.err());
    let ran = laptop.run(&["benchmark", "export"]).await?;
    let file = ran.json()?;
    let row = serde_json::json!({
        "merged_a_week": 2.3, "n": "50 or more", "cycle_time_hours": { "p50": 17.0, "p75": 17.0, "p90": 17.0 }
    });
    assert_eq!((&file["format"], &file["teams"]), (&"mergeline-benchmark@1".into(), &serde_json::json!([row])));
    ensure!(ran.err().contains("1 team left out: too few people"), "{}", ran.err());
    for name in ["payments", "Payments", "web", "acme", "p1"] {
        let is_named = file["teams"].to_string().contains(name);
        ensure!(!is_named, "{name}: {file}");
    }
    Ok(())
}
