//! The fake GitHub keeps GitHub's contract: its answers pass GitHub's own description, where that is at hand.

use anyhow::{Context, Result};
use mergeline_test_support::{FakeGitHub, FakePullRequest, FakeUser, Fault, pr, recorded};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const REPOSITORY: &str = "acme/api";

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    fn numbers(&self) -> Vec<i64> {
        self.body.as_array().into_iter().flatten().filter_map(|item| item["number"].as_i64()).collect()
    }
}

/// A request as plain as `curl` sends it: no client of ours stands between the test and the fake.
async fn get(fake: &FakeGitHub, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let address = fake.url();
    let host = address.strip_prefix("http://").context("an HTTP address")?;
    let mut stream = tokio::net::TcpStream::connect(host).await?;
    let extra: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: test\r\nConnection: close\r\n{extra}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("a head")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("a status")?.parse()?;
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
    Ok(Answer { status, headers, body: serde_json::from_str(body).unwrap_or(Value::Null) })
}

fn pulls(query: &str) -> String {
    format!("/repos/{REPOSITORY}/pulls?{query}")
}

fn many(count: i64) -> impl Iterator<Item = FakePullRequest> {
    (1..=count).map(move |number| {
        let mut pull_request = pr(REPOSITORY, number);
        pull_request.created_at += chrono::TimeDelta::minutes(number);
        // Updated in the opposite order, so that the two sorts differ.
        pull_request.updated_at = pull_request.created_at + chrono::TimeDelta::minutes(2 * (count - number));
        pull_request
    })
}

/// GitHub's description of a listed pull request as a JSON Schema.
fn schema(folder: &std::path::Path) -> Result<jsonschema::Validator> {
    let text = std::fs::read_to_string(folder.join("github-contract/openapi-slice.json"))?;
    let mut document: Value = serde_json::from_str(&text)?;
    translate(&mut document);
    let schema = json!({
        "$ref": "#/components/schemas/pull-request-simple",
        "components": document["components"],
    });
    jsonschema::draft202012::options().build(&schema).map_err(|error| anyhow::anyhow!("{error}"))
}

/// OpenAPI 3.0 says `nullable` where JSON Schema lists `null` as a type.
fn translate(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                if let Some(Value::String(kind)) = fields.get("type").cloned() {
                    fields.insert("type".to_owned(), json!([kind, "null"]));
                }
                if let Some(Value::Array(allowed)) = fields.get_mut("enum") {
                    allowed.push(Value::Null);
                }
            }
            fields.values_mut().for_each(translate);
        }
        Value::Array(items) => items.iter_mut().for_each(translate),
        _ => {}
    }
}

#[tokio::test]
async fn every_listed_pull_request_passes_githubs_own_description() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let validator = schema(&folder)?;
    let fake = FakeGitHub::start().await?;
    fake.put([
        pr(REPOSITORY, 1),
        pr(REPOSITORY, 2).merged("2026-01-02T00:00:00Z"),
        pr(REPOSITORY, 3).closed("2026-01-02T00:00:00Z").by_user(None),
        pr(REPOSITORY, 4).by_user(Some(FakeUser::bot("renovate"))),
    ]);
    fake.put(recorded::pull_requests(&folder, "cfrg__draft-irtf-cfrg-vdaf")?.into_iter().take(50).map(
        |mut recorded| {
            recorded.repository = REPOSITORY.to_owned();
            recorded.number += 100;
            // GitHub itself leaves its description here: the schema does not allow the fork to be gone.
            recorded.is_fork_gone = false;
            recorded
        },
    ));
    let answer = get(&fake, &pulls("state=all&per_page=100"), &[]).await?;
    let items = answer.body.as_array().context("a list")?;
    assert_eq!(items.len(), 54);
    for item in items {
        let problems: Vec<String> =
            validator.iter_errors(item).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert_eq!(problems, Vec::<String>::new(), "{}", item["number"]);
    }
    Ok(())
}

#[tokio::test]
async fn links_lead_through_all_pages_by_the_repositorys_number() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(25));
    let first = get(&fake, &pulls("state=all&per_page=10"), &[]).await?;
    let link = first.header("link").context("a link")?;
    assert!(
        link.contains("/repositories/") && link.contains("rel=\"next\"") && link.contains("page=3>; rel=\"last\""),
        "{link}"
    );
    assert!(!link.contains("rel=\"prev\""), "{link}");
    let last = get(&fake, &pulls("state=all&per_page=10&page=3"), &[]).await?;
    let link = last.header("link").context("a link")?;
    assert!(
        link.contains("page=2>; rel=\"prev\"") && link.contains("page=1>; rel=\"first\"") && !link.contains("next"),
        "{link}"
    );
    assert_eq!(last.numbers().len(), 5);
    let single = get(&fake, &pulls("state=all&per_page=100"), &[]).await?;
    assert_eq!(single.header("link"), None);
    Ok(())
}

#[tokio::test]
async fn defaults_are_githubs_own() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(120));
    fake.put([pr(REPOSITORY, 500).closed("2026-01-02T00:00:00Z")]);
    let default = get(&fake, &pulls(""), &[]).await?;
    assert_eq!(default.numbers(), (91..=120).rev().collect::<Vec<_>>(), "open ones, newest creation first, 30 a page");
    let capped = get(&fake, &pulls("state=all&per_page=1000"), &[]).await?;
    assert_eq!(capped.numbers().len(), 100);
    let by_update = get(&fake, &pulls("sort=updated&per_page=3"), &[]).await?;
    assert_eq!(by_update.numbers(), [120, 119, 118], "sorting by update is ascending by default");
    let descending = get(&fake, &pulls("sort=updated&direction=desc&per_page=3"), &[]).await?;
    assert_eq!(descending.numbers(), [1, 2, 3]);
    let closed = get(&fake, &pulls("state=closed"), &[]).await?;
    assert_eq!(closed.numbers(), [500]);
    assert_eq!(get(&fake, &pulls("state=merged"), &[]).await?.status, 422);
    Ok(())
}

#[tokio::test]
async fn an_unchanged_answer_is_a_304_that_costs_nothing() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(3));
    let first = get(&fake, &pulls("state=all"), &[]).await?;
    let etag = first.header("etag").context("an ETag")?.to_owned();
    let again = get(&fake, &pulls("state=all"), &[("If-None-Match", &etag)]).await?;
    assert_eq!((again.status, again.header("x-ratelimit-remaining")), (304, first.header("x-ratelimit-remaining")));
    let other_token =
        get(&fake, &pulls("state=all"), &[("If-None-Match", &etag), ("Authorization", "Bearer other")]).await?;
    assert_eq!(other_token.status, 200, "an ETag belongs to its token");
    fake.put([pr(REPOSITORY, 1).titled("changed")]);
    assert_eq!(get(&fake, &pulls("state=all"), &[("If-None-Match", &etag)]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn the_newer_api_version_has_no_merge_commit_and_an_unknown_one_is_refused() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put([pr(REPOSITORY, 1).closed("2026-01-02T00:00:00Z")]);
    let item = async |version: &str| -> Result<Value> {
        Ok(get(&fake, &pulls("state=all"), &[("X-GitHub-Api-Version", version)]).await?.body[0].clone())
    };
    assert!(item("2022-11-28").await?["merge_commit_sha"].is_string(), "set although it was never merged");
    let newer = item("2026-03-10").await?;
    assert!(newer.get("merge_commit_sha").is_none() && newer.get("assignee").is_none());
    assert_eq!(get(&fake, &pulls(""), &[("X-GitHub-Api-Version", "1999-01-01")]).await?.status, 400);
    Ok(())
}

#[tokio::test]
async fn refusals_have_githubs_form() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(1));
    let missing = get(&fake, "/repos/acme/nowhere/pulls", &[]).await?;
    assert_eq!((missing.status, &missing.body["message"]), (404, &json!("Not Found")));
    fake.rename(REPOSITORY, "acme/core");
    let moved = get(&fake, &pulls("state=all"), &[]).await?;
    assert_eq!(moved.status, 301);
    assert!(moved.header("location").is_some_and(|to| to.contains("/repositories/") && to.ends_with("state=all")));
    fake.fail_next("acme/core", Fault::RateLimited { reset: 1_800_000_000 });
    let limited = get(&fake, "/repos/acme/core/pulls", &[]).await?;
    assert_eq!((limited.status, limited.header("x-ratelimit-remaining")), (403, Some("0")));
    assert_eq!(limited.header("x-ratelimit-reset"), Some("1800000000"));
    fake.require_token("right");
    let refused = get(&fake, "/repos/acme/core/pulls", &[("Authorization", "Bearer wrong")]).await?;
    assert_eq!((refused.status, &refused.body["message"]), (401, &json!("Bad credentials")));
    Ok(())
}
