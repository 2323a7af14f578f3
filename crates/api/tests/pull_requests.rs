//! The pull requests behind the numbers: each with the rule that counted it, page by page, as JSON and as CSV.

mod common;

use anyhow::{Context, Result};
use common::{Answered, Backend, ask, keys};
use mergeline_api::{Api, Scope, router};
use mergeline_domain::Details;
use mergeline_fake_github::{FakePullRequest, at, pr};
use serde_json::{Value, json};

/// ana is in payments. Half of bob was there until noon (UTC) of 2026-06-10, and he is in platform since.
const TEAMS: &str = "
version: 1
repositories: [acme/api]
teams:
  - { slug: payments, members: [{ github: ana }, { github: bob, weight: 0.5, to: 2026-06-10T12:00:00Z }] }
  - { slug: platform, members: [{ github: bob, from: 2026-06-10T12:00:00Z }] }
";
const LIST: &str = "/v1/metrics/team/payments/pull-requests?from=2026-06-01&to=2026-06-15";

/// Nine that were merged on the first days of June, each opened a day before, then those that do not count.
fn pull_requests() -> Vec<FakePullRequest> {
    let merged = |number: i64| {
        let created = format!("2026-06-{number:02}T00:00:00Z");
        pr("acme/api", number).created(&created).merged(&format!("2026-06-{:02}T00:00:00Z", number + 1))
    };
    vec![
        merged(1),
        merged(2).by("bob"),
        // Merged before it was created, at the same instant as 2.
        pr("acme/api", 3).created("2026-06-05T00:00:00Z").merged("2026-06-03T00:00:00Z"),
        merged(4),
        merged(5),
        merged(6),
        merged(7),
        // The instant at which bob leaves belongs to platform.
        merged(8).by("bob").merged("2026-06-10T12:00:00Z"),
        merged(9).titled("=HYPERLINK(\"http://evil\",\"x\"), \"quoted\"\r\nand a second line"),
        pr("acme/api", 10).created("2026-06-11T00:00:00Z"),
        pr("acme/api", 11).created("2026-06-11T00:00:00Z").closed("2026-06-12T00:00:00Z"),
        pr("acme/api", 12).created("2026-06-12T00:00:00Z").merged("2026-06-13T00:00:00Z"),
    ]
}

/// A pull request with everything, and one for each flag.
async fn backend() -> Result<Backend> {
    let backend = Backend::with_teams(TEAMS).await?;
    let all = pull_requests();
    backend.keep(&all).await?;
    let dated = |first_commit: &str, ready: Option<&str>, first_review: Option<&str>| Details {
        first_commit_at: Some(at(first_commit)),
        ready_at: ready.map(at),
        first_review_at: first_review.map(at),
        ..Details::default()
    };
    let whole = Details {
        additions: 12,
        deletions: 3,
        changed_files: 2,
        ..dated("2026-05-31T20:00:00Z", Some("2026-06-01T06:00:00Z"), Some("2026-06-01T12:00:00Z"))
    };
    let details = [
        (&all[0], whole),
        (&all[2], Details::default()),
        (&all[3], dated("2026-06-04T01:00:00Z", None, None)),
        (&all[4], dated("2026-06-05T00:00:00Z", Some("2026-06-05T12:00:00Z"), Some("2026-06-05T06:00:00Z"))),
        (&all[5], dated("2026-06-06T00:00:00Z", None, Some("2026-06-08T00:00:00Z"))),
        (&all[6], Details { is_draft_history_incomplete: true, ..dated("2026-06-07T00:00:00Z", None, None) }),
    ];
    backend.add_details(&details).await?;
    backend.store.mark_deleted(&backend.lease().await?, &[12], at(common::NOW)).await?;
    Ok(backend)
}

fn numbers(answer: &Value) -> Vec<i64> {
    let rows = answer["data"]["pull_requests"].as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row["number"].as_i64()).collect()
}

#[tokio::test]
async fn pull_requests_explain_counting_and_missing_durations() -> Result<()> {
    let answered = backend().await?.ask(LIST, &[]).await?;
    assert_eq!(answered.status, 200);
    let answer = answered.json()?;
    insta::assert_json_snapshot!(answer);
    let rows = answer["data"]["pull_requests"].as_array().context("rows")?;
    let mut reasons: Vec<&str> = rows.iter().filter_map(|row| row["excluded"].as_str()).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons, ["deleted", "not_a_member", "not_merged"], "all reasons");
    let mut flags: Vec<&Value> = rows.iter().filter_map(|row| row["flags"].as_array()).flatten().collect();
    flags.sort_unstable_by_key(ToString::to_string);
    flags.dedup();
    assert_eq!(flags.len(), 6, "all flags: {flags:?}");
    Ok(())
}

/// With any order and size of pages, each row comes once, and in that order.
#[tokio::test]
async fn lists_are_sorted_and_paged_in_each_order() -> Result<()> {
    let backend = backend().await?;
    for (sort, first) in [("oldest", 1), ("newest", 12), ("longest", 8), ("largest", 1)] {
        let (_, whole) = backend.get(&format!("{LIST}&sort={sort}&limit=1000")).await?;
        let all = numbers(&whole);
        assert_eq!((all.len(), all.first()), (12, Some(&first)), "{sort}: {all:?}");
        let (mut paged, mut cursor) = (Vec::new(), String::new());
        loop {
            let (_, page) = backend.get(&format!("{LIST}&sort={sort}&limit=5{cursor}")).await?;
            paged.extend(numbers(&page));
            let Some(next) = page["meta"]["next_cursor"].as_str() else { break };
            let (status, _) = backend.get(&format!("{LIST}&sort=oldest&limit=5&cursor={next}")).await?;
            assert_eq!(status == 200, sort == "oldest", "a cursor belongs to its order");
            cursor = format!("&cursor={next}");
        }
        assert_eq!(paged, all, "{sort}");
    }
    let (_, longest) = backend.get(&format!("{LIST}&sort=longest&limit=1000")).await?;
    let rows = longest["data"]["pull_requests"].as_array().context("rows")?;
    let durations: Vec<f64> = rows.iter().map(|row| row["cycle_time_hours"].as_f64().unwrap_or(-1.0)).collect();
    assert!(durations.is_sorted_by(|one, next| one >= next), "{durations:?}");
    Ok(())
}

#[tokio::test]
async fn open_pull_requests_are_listed_whenever_they_were_opened() -> Result<()> {
    let backend = backend().await?;
    let range = "/v1/metrics/team/payments/pull-requests?from=2026-01-01&to=2026-01-02";
    let (_, open) = backend.get(&format!("{range}&state=open")).await?;
    assert_eq!(numbers(&open), [10]);
    let row = &open["data"]["pull_requests"][0];
    assert_eq!((&row["closed_at"], &row["first_review_at"]), (&Value::Null, &Value::Null));
    assert_eq!(row["url"], "https://github.com/acme/api/pull/10");
    assert_eq!(numbers(&backend.get(&format!("{LIST}&state=closed")).await?.1), [11]);
    assert_eq!(numbers(&backend.get(&format!("{LIST}&state=merged")).await?.1).len(), 10);
    let (status, refused) = backend.get(&format!("{LIST}&state=stale&sort=worst")).await?;
    assert_eq!((status, refused["error"]["details"].as_array().map(Vec::len)), (400, Some(2)), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_limited_key_loses_people_who_left() -> Result<()> {
    let backend = backend().await?;
    // Deleted on GitHub, and by a former member, so this team does not see it at all.
    let late = pr("acme/api", 13).by("bob").created("2026-06-11T00:00:00Z").merged("2026-06-12T00:00:00Z");
    sqlx::raw_sql("update repositories set leased_until = null").execute(&backend.database.pool().await?).await?;
    backend.keep(&[late]).await?;
    backend.store.mark_deleted(&backend.lease().await?, &[13], at(common::NOW)).await?;
    let (keys, texts) = keys(&[(Scope::PrsRead, &["payments"]), (Scope::PrsRead, &[])])?;
    let router = router(Api { keys: Some(keys), ..backend.api() });
    let list = async |key: &str, more: &str| -> Result<Value> {
        ask(&router, "GET", &format!("{LIST}{more}"), &[("x-api-key", key)]).await?.json()
    };
    let (limited, other) = (list(&texts[0], "").await?, list(&texts[1], "").await?);
    let rows = limited["data"]["pull_requests"].as_array().context("rows")?;
    assert!(rows.iter().all(|row| row["excluded"] != json!("not_a_member")), "{limited}");
    let (shown, all) = (numbers(&limited), numbers(&other));
    let hidden: Vec<i64> = all.iter().copied().filter(|number| !shown.contains(number)).collect();
    assert_eq!(hidden, [8, 13], "bob's since he joined platform");
    assert!(shown.contains(&2) && shown.contains(&12), "bob's earlier one, and ana's deleted one");
    // The rows that count are the same, across pages too.
    let first = list(&texts[0], "&limit=5").await?;
    let cursor = first["meta"]["next_cursor"].as_str().context("a second page")?;
    let second = list(&texts[0], &format!("&limit=100&cursor={cursor}")).await?;
    assert_eq!([numbers(&first), numbers(&second)].concat(), shown);
    Ok(())
}

#[tokio::test]
async fn counted_pull_requests_add_up_to_velocity() -> Result<()> {
    let backend = backend().await?;
    for team in ["payments", "platform"] {
        for query in
            ["from=2026-06-01&to=2026-06-15", "week=2026-W23", "last=P8D&tz=Asia/Tokyo", "week=2026-W24&weighting=full"]
        {
            let (_, list) = backend.get(&format!("/v1/metrics/team/{team}/pull-requests?{query}")).await?;
            let (_, sums) = backend.get(&format!("/v1/metrics/team/{team}/velocity?{query}")).await?;
            let rows = list["data"]["pull_requests"].as_array().context("rows")?;
            let counting: Vec<&Value> = rows.iter().filter(|row| row["counts"] == json!(true)).collect();
            let weights: f64 = counting.iter().filter_map(|row| row["weight"].as_f64()).sum();
            let total = &sums["data"]["total"];
            assert_eq!(json!(counting.len()), total["prs_merged"], "{team} {query}");
            assert_eq!(json!(weights), total["prs_merged_weighted"], "{team} {query}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn pages_have_no_gap_at_equal_instants() -> Result<()> {
    let backend = backend().await?;
    let whole = numbers(&backend.get(LIST).await?.1);
    assert_eq!(whole, [1, 2, 3, 4, 5, 6, 7, 9, 8, 10, 11, 12], "by instant; 2 and 3 are equal");
    for limit in [1, 2, 5, 11, 12, 13] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (_, page) = backend.get(&format!("{LIST}&limit={limit}{cursor}")).await?;
            let found = numbers(&page);
            assert_eq!(page["meta"]["count"], json!(found.len()));
            seen.extend(found);
            assert!(seen.len() <= whole.len(), "the pages repeat: {seen:?}");
            let Some(next) = page["meta"]["next_cursor"].as_str() else { break };
            assert_eq!(page["meta"]["count"], json!(limit), "only the last page is short");
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, whole, "{limit}");
    }
    Ok(())
}

#[tokio::test]
async fn two_pages_match_their_snapshots() -> Result<()> {
    let backend = backend().await?;
    let (_, mut first) = backend.get(&format!("{LIST}&limit=10")).await?;
    let cursor = first["meta"]["next_cursor"].as_str().context("a second page")?.to_owned();
    assert!(cursor.len() == 56 && cursor.bytes().all(|byte| byte.is_ascii_hexdigit()), "{cursor}");
    first["meta"]["next_cursor"] = json!("CURSOR");
    insta::assert_json_snapshot!(first["meta"], @r#"
    {
      "caveat": "Not for comparing people, and with care between teams: they differ in what they work on.",
      "count": 10,
      "coverage": {
        "quarantined": 0,
        "repositories": {
          "collected": 1,
          "counts": {
            "failing": 0,
            "never_collected": 0,
            "pending": 0
          },
          "failing": [],
          "never_collected": [],
          "pending": []
        },
        "since": "2026-05-01T00:00:00Z"
      },
      "data_as_of": "2026-06-17T08:00:00Z",
      "definition": "attribution@1",
      "definitions": [
        "attribution@1",
        "pr_cycle_time@1",
        "pr_phases@1",
        "change_lead_time@1"
      ],
      "filters": {
        "base": null,
        "repositories": null,
        "weighting": "allocated"
      },
      "min_group_size": 0,
      "next_cursor": "CURSOR",
      "range": {
        "from": "2026-06-01",
        "to": "2026-06-15"
      },
      "timezone": "UTC",
      "warnings": []
    }
    "#);
    let (_, second) = backend.get(&format!("{LIST}&limit=10&cursor={cursor}")).await?;
    insta::assert_json_snapshot!(second);
    Ok(())
}

#[tokio::test]
async fn a10_a_changed_or_foreign_cursor_is_refused() -> Result<()> {
    let backend = backend().await?;
    let (_, page) = backend.get(&format!("{LIST}&limit=2")).await?;
    let cursor = page["meta"]["next_cursor"].as_str().context("a second page")?.to_owned();
    assert_eq!(
        backend.ask(&format!("{LIST}&limit=3&cursor={cursor}"), &[]).await?.status,
        200,
        "another page size is allowed"
    );
    let changed = format!("{}{}", if cursor.starts_with('0') { '1' } else { '0' }, &cursor[1..]);
    for other in [
        format!("{LIST}&cursor={changed}"),
        format!("{LIST}&cursor=x"),
        format!("{LIST}&cursor="),
        format!("{}&cursor={cursor}", LIST.replace("payments", "platform")),
        format!("{}&cursor={cursor}", LIST.replace("06-15", "06-16")),
        format!("{LIST}&base=main&cursor={cursor}"),
        format!("/v1/collection/runs?cursor={cursor}"),
    ] {
        let answered = backend.ask(&other, &[]).await?;
        assert_eq!((answered.status, answered.code().as_str()), (400, "invalid_cursor"), "{other}");
    }
    backend.apply(&TEAMS.replace("0.5", "0.25")).await?;
    let answered = backend.ask(&format!("{LIST}&cursor={cursor}"), &[]).await?;
    assert_eq!((answered.status, answered.code().as_str()), (400, "invalid_cursor"), "from another configuration");
    Ok(())
}

#[tokio::test]
async fn a31_csv_is_rfc_4180_without_live_formulas() -> Result<()> {
    let answered = backend().await?.ask(&format!("{LIST}&format=csv"), &[]).await?;
    assert_eq!(answered.header("content-type"), "text/csv; charset=utf-8; header=present");
    assert_eq!(answered.header("x-content-type-options"), "nosniff");
    let mut reader = csv::Reader::from_reader(answered.text.as_bytes());
    let titles: Vec<String> = reader.records().map(|row| Ok(row?[2].to_owned())).collect::<Result<_>>()?;
    assert_eq!(titles[7], "'=HYPERLINK(\"http://evil\",\"x\"), \"quoted\"\r\nand a second line");
    assert!(
        answered.text.contains("\"'=HYPERLINK(\"\"http://evil\"\",\"\"x\"\"), \"\"quoted\"\"\r\nand a second line\"")
    );
    assert!(answered.text.ends_with("\r\n"));
    insta::assert_snapshot!(answered.text.replace("\r\n", "\n"));
    Ok(())
}

#[tokio::test]
async fn csv_links_its_next_page_in_a_header() -> Result<()> {
    let backend = backend().await?;
    let rows = |answered: &Answered| csv::Reader::from_reader(answered.text.as_bytes()).records().count();
    let first = backend.ask(&format!("{LIST}&format=csv&limit=10"), &[]).await?;
    let cursor = first.header("mergeline-next-cursor");
    let second = backend.ask(&format!("{LIST}&format=csv&limit=10&cursor={cursor}"), &[]).await?;
    assert_eq!((rows(&first), rows(&second), second.header("mergeline-next-cursor")), (10, 2, ""));
    Ok(())
}

#[tokio::test]
async fn full_weighting_weighs_only_what_counts() -> Result<()> {
    let (_, answer) = backend().await?.get(&format!("{LIST}&weighting=full")).await?;
    for row in answer["data"]["pull_requests"].as_array().context("rows")? {
        let expected = if row["counts"] == json!(true) { 1.0 } else { 0.0 };
        assert_eq!(row["weight"], json!(expected), "{row}");
    }
    Ok(())
}

#[tokio::test]
async fn no_pull_requests_give_an_empty_list_and_warning() -> Result<()> {
    let (_, answer) = backend().await?.get("/v1/metrics/team/platform/pull-requests?week=2026-W20").await?;
    assert_eq!((&answer["data"]["pull_requests"], &answer["meta"]["count"]), (&json!([]), &json!(0)));
    assert_eq!(answer["meta"]["warnings"], json!(["no_data: no one on this team has a pull request in the range"]));
    Ok(())
}
