// The fake GitHub follows GitHub's contract: its responses match GitHub's own schema, if that is available. Included
// once for each layout.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use apollo_compiler::executable::{Selection, SelectionSet};
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema, ast};
use mergeline_fake_github::{
    FakeCommit, FakeDeployment, FakeGitCommit, FakeGitHub, FakePullRequest, FakeReview, FakeUser, Fault, HALF_A_PAIR, at, deployment, issue, pr, recorded, release, run, tag, team,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const REPOSITORY: &str = "acme/api";
/// A placeholder for GraphQL's path in either layout.
const GRAPHQL: &str = "/graphql";

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

async fn start() -> Result<FakeGitHub> {
    Ok(FakeGitHub::start_as(LAYOUT).await?)
}

/// A plain request, like `curl` sends it, without Mergeline's client.
async fn get(fake: &FakeGitHub, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    let (answer, _) = send(fake, "GET", path, headers, "").await?;
    Ok(answer)
}

async fn post(fake: &FakeGitHub, path: &str, headers: &[(&str, &str)], body: &Value) -> Result<Answer> {
    let (answer, _) = send(fake, "POST", path, headers, &body.to_string()).await?;
    Ok(answer)
}

/// The response, and its raw body.
async fn send(
    fake: &FakeGitHub,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(Answer, String)> {
    let url = if path == GRAPHQL { fake.graphql_url() } else { fake.url() + path };
    send_to(&url, method, headers, body).await
}

async fn send_to(url: &str, method: &str, headers: &[(&str, &str)], body: &str) -> Result<(Answer, String)> {
    let address = url.strip_prefix("http://").context("an HTTP address")?;
    let (host, path) = address.split_at(address.find('/').context("a path")?);
    let mut stream = tokio::net::TcpStream::connect(host).await?;
    let extra: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: test\r\nConnection: close\r\nContent-Length: \
         {length}\r\n{extra}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("a head")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("a status")?.parse()?;
    let headers =
        lines.filter_map(|line| line.split_once(": ")).map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
    let answer = Answer { status, headers, body: serde_json::from_str(body).unwrap_or(Value::Null) };
    Ok((answer, body.to_owned()))
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

/// GitHub's own OpenAPI description of its REST responses.
struct Description(Value);

impl Description {
    fn read(folder: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(folder.join("github-contract/openapi-slice.json"))?;
        let mut document: Value = serde_json::from_str(&text)?;
        translate(&mut document);
        Ok(Self(document))
    }

    /// Schema violations in the response to a path of the description.
    fn problems(&self, path: &str, answer: &Value) -> Result<Vec<String>> {
        let mut schema =
            self.0["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"].clone();
        anyhow::ensure!(schema.is_object(), "{path} is not described");
        schema["components"] = self.0["components"].clone();
        let validator =
            jsonschema::draft202012::options().build(&schema).map_err(|error| anyhow::anyhow!("{error}"))?;
        Ok(validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect())
    }
}

/// OpenAPI 3.0 uses `nullable` where JSON Schema lists `null` as a type.
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
async fn listed_pull_requests_match_the_github_schema() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let description = Description::read(&folder)?;
    let fake = start().await?;
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
            // Real GitHub deviates from its schema here: the schema does not allow the fork to be gone.
            recorded.is_fork_gone = false;
            recorded
        },
    ));
    let answer = get(&fake, &pulls("state=all&per_page=100"), &[]).await?;
    let items = answer.body.as_array().context("a list")?;
    assert_eq!(items.len(), 54);
    assert_eq!(description.problems("/repos/{owner}/{repo}/pulls", &answer.body)?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn other_rest_responses_match_the_github_schema() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let description = Description::read(&folder)?;
    let fake = start().await?;
    fake.put([pr(REPOSITORY, 1), pr(REPOSITORY, 2).merged("2026-01-02T00:00:00Z"), pr("ana/dotfiles", 1)]);
    fake.put_deployments([deployed(1), deployed(2).flagged(Some(true), Some(false))]);
    fake.put_teams([team("acme", "engineering"), team("acme", "payments").with(["ana"]).below("engineering")]);
    for (path, described) in [
        ("/repos/acme/api", "/repos/{owner}/{repo}"),
        ("/repos/acme/api/pulls/1", "/repos/{owner}/{repo}/pulls/{pull_number}"),
        ("/repos/acme/api/pulls/2", "/repos/{owner}/{repo}/pulls/{pull_number}"),
        ("/orgs/acme/repos", "/orgs/{org}/repos"),
        ("/orgs/acme/members", "/orgs/{org}/members"),
        ("/orgs/acme/teams", "/orgs/{org}/teams"),
        ("/orgs/acme/teams/engineering/members", "/orgs/{org}/teams/{team_slug}/members"),
        // Not in the slice; the items are the same.
        ("/users/ana/repos", "/orgs/{org}/repos"),
        ("/user", "/user"),
        ("/users/ana", "/user"),
        ("/users/acme", "/user"),
        ("/rate_limit", "/rate_limit"),
        ("/repos/acme/api/deployments", "/repos/{owner}/{repo}/deployments"),
        ("/repos/acme/api/deployments/5000000001", "/repos/{owner}/{repo}/deployments/{deployment_id}"),
        (
            "/repos/acme/api/deployments/5000000001/statuses",
            "/repos/{owner}/{repo}/deployments/{deployment_id}/statuses",
        ),
    ] {
        let answer = get(&fake, path, &[("Authorization", "Bearer ghp_right")]).await?;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(description.problems(described, &answer.body)?, Vec::<String>::new(), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn links_page_through_by_repository_number() -> Result<()> {
    let fake = start().await?;
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
async fn list_defaults_are_the_github_ones() -> Result<()> {
    let fake = start().await?;
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
async fn an_unchanged_response_is_a_free_304() -> Result<()> {
    let fake = start().await?;
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
async fn the_newer_api_version_drops_the_merge_commit() -> Result<()> {
    let fake = start().await?;
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
async fn refusals_have_the_github_format() -> Result<()> {
    let fake = start().await?;
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

#[tokio::test]
async fn a_renamed_repository_keeps_its_number() -> Result<()> {
    let fake = start().await?;
    fake.put(many(2));
    let id = fake.repository_id(REPOSITORY).context("a repository")?;
    fake.rename(REPOSITORY, "acme/core");
    let renamed = get(&fake, &format!("/repositories/{id}"), &[]).await?;
    assert_eq!((&renamed.body["full_name"], &renamed.body["id"]), (&json!("acme/core"), &json!(id)));
    let listed = get(&fake, "/repos/acme/core/pulls", &[]).await?;
    let base = &listed.body[0]["base"]["repo"];
    assert_eq!((&base["full_name"], &base["id"]), (&json!("acme/core"), &json!(id)));
    // Another repository takes the name. Its pull request is a different one, although it has the same data.
    fake.put([pr(REPOSITORY, 1)]);
    let taken = get(&fake, "/repos/acme/api/pulls/1", &[]).await?;
    assert_ne!((&taken.body["base"]["repo"]["id"], &taken.body["id"]), (&json!(id), &json!(pr(REPOSITORY, 1).id)));
    Ok(())
}

#[tokio::test]
async fn recreating_a_deleted_repository_gives_another_number() -> Result<()> {
    let fake = start().await?;
    fake.put(many(3));
    fake.delete_pull_request(REPOSITORY, 2);
    assert_eq!(get(&fake, &pulls("direction=asc"), &[]).await?.numbers(), [1, 3]);
    assert_eq!(get(&fake, "/repos/acme/api/pulls/2", &[]).await?.status, 404);
    fake.archive_repository(REPOSITORY);
    assert_eq!(get(&fake, "/repos/acme/api", &[]).await?.body["archived"], json!(true));
    let before = fake.repository_id(REPOSITORY).context("a repository")?;
    fake.recreate_repository(REPOSITORY);
    assert_ne!(fake.repository_id(REPOSITORY), Some(before));
    assert_eq!(get(&fake, &pulls(""), &[]).await?.body, json!([]));
    assert_eq!(get(&fake, &format!("/repositories/{before}/pulls"), &[]).await?.status, 404);
    fake.delete_repository(REPOSITORY);
    assert_eq!(get(&fake, &pulls(""), &[]).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn an_owner_is_an_organization_or_person() -> Result<()> {
    let fake = start().await?;
    fake.put([pr("acme/api", 1), pr("acme/web", 1), pr("ana/dotfiles", 1)]);
    assert_eq!(get(&fake, "/orgs/ana/repos", &[]).await?.status, 404);
    assert_eq!(get(&fake, "/users/nobody", &[]).await?.status, 404);
    let names = async |path: &str| -> Result<Vec<Value>> {
        let answer = get(&fake, path, &[]).await?;
        Ok(answer.body.as_array().context("a list")?.iter().map(|item| item["full_name"].clone()).collect())
    };
    assert_eq!(names("/orgs/acme/repos?type=all&sort=full_name").await?, ["acme/api", "acme/web"]);
    assert_eq!(names("/orgs/acme/repos?type=public").await?, Vec::<Value>::new());
    assert_eq!(names("/users/ana/repos").await?, ["ana/dotfiles"]);
    let page = get(&fake, "/orgs/acme/repos?per_page=1", &[]).await?;
    let next = page.header("link").and_then(|link| link.split(&['<', '>'][..]).nth(1)).context("a next page")?;
    assert!(next.contains("/organizations/") && next.contains("page=2"), "{next}");
    let next = next.strip_prefix(&fake.url()).context("on the same host")?;
    assert_eq!(names(next).await?, ["acme/api"]);
    Ok(())
}

#[tokio::test]
async fn a_team_lists_members_of_teams_in_it() -> Result<()> {
    let fake = start().await?;
    fake.put_teams([
        team("acme", "engineering").with(["dana"]),
        team("acme", "payments").named("Payments").with(["ana", "bob"]).below("engineering"),
        team("other", "payments").with(["eve"]),
    ]);
    fake.add_organization_member("acme", FakeUser::person("cho"));
    let token = [("Authorization", "Bearer ghp_right")];
    let list = async |path: &str| -> Result<Vec<(Value, Value)>> {
        let answer = get(&fake, path, &token).await?;
        let key = if path.ends_with("members") { ("login", "inherited") } else { ("slug", "parent") };
        let items = answer.body.as_array().with_context(|| format!("{path}: {}", answer.body))?.iter();
        Ok(items.map(|item| (item[key.0].clone(), item[key.1].clone())).collect())
    };
    let teams = list("/orgs/acme/teams").await?;
    assert_eq!((teams.len(), &teams[1].0, &teams[1].1["slug"]), (2, &json!("payments"), &json!("engineering")));
    let members = list("/orgs/acme/teams/engineering/members").await?;
    let expected = [("dana", false), ("ana", true), ("bob", true)];
    assert_eq!(members, expected.map(|(login, is_inherited)| (json!(login), json!(is_inherited))));
    let all: Vec<Value> = list("/orgs/acme/members").await?.into_iter().map(|(login, _)| login).collect();
    assert_eq!(all, ["ana", "bob", "cho", "dana"]);
    let page = get(&fake, "/orgs/acme/teams/payments/members?per_page=1", &token).await?;
    let next = page.header("link").and_then(|link| link.split(&['<', '>'][..]).nth(1)).context("a next page")?;
    assert!(next.contains("/organizations/") && next.contains("/team/"), "{next}");
    let next = get(&fake, next.strip_prefix(&fake.url()).context("on the same host")?, &token).await?;
    assert_eq!(next.body[0]["login"], json!("bob"));
    for (path, headers, status) in [
        ("/orgs/acme/teams", &[][..], 401),
        ("/orgs/ana/teams", &token[..], 404),
        ("/orgs/acme/teams/nobody/members", &token[..], 404),
    ] {
        assert_eq!(get(&fake, path, headers).await?.status, status, "{path}");
    }
    fake.delete_team("acme", "engineering");
    assert_eq!(list("/orgs/acme/teams").await?, [(json!("payments"), Value::Null)]);
    Ok(())
}

/// `{"iss":"4711"}`, without a signature.
const WEB_TOKEN: &str = "Bearer e30.eyJpc3MiOiI0NzExIn0.c2ln";

#[tokio::test]
async fn owners_and_collaborators_see_private_user_repositories() -> Result<()> {
    let fake = start().await?;
    fake.add_user(FakeUser::person("alice"));
    fake.add_repository("alice/open");
    fake.make_private("alice/shared", &["bob"]);
    fake.make_private("alice/secret", &[]);
    let token = [("Authorization", "Bearer github_pat_made_up")];
    let names = async |path: &str, headers: &[(&str, &str)]| -> Result<Vec<String>> {
        let body = get(&fake, path, headers).await?.body;
        let items = body.as_array().cloned().unwrap_or_default();
        Ok(items.iter().map(|item| item["name"].as_str().unwrap_or_default().to_owned()).collect())
    };
    for (login, mine, shared) in
        [("alice", vec!["open", "secret", "shared"], vec![]), ("bob", vec![], vec!["shared"]), ("eve", vec![], vec![])]
    {
        fake.set_token_owner(FakeUser::person(login));
        assert_eq!(names("/user/repos?affiliation=owner", &token).await?, mine, "{login}");
        assert_eq!(names("/user/repos?affiliation=collaborator", &token).await?, shared, "{login}");
        assert_eq!(names("/users/alice/repos", &token).await?, ["open"], "{login}");
        let status = get(&fake, "/repos/alice/shared/pulls", &token).await?.status;
        assert_eq!(status, if login == "eve" { 404 } else { 200 }, "{login}");
    }
    assert_eq!(get(&fake, "/user/repos", &[]).await?.status, 401);
    assert_eq!(get(&fake, "/user/repos?affiliation=friend", &token).await?.status, 422);
    assert_eq!(get(&fake, "/installation/repositories", &token).await?.status, 403);
    fake.install_app("4711", &["alice"]);
    let installations = get(&fake, "/app/installations", &[("Authorization", WEB_TOKEN)]).await?;
    let path = format!("/app/installations/{}/access_tokens", installations.body[0]["id"]);
    post(&fake, &path, &[("Authorization", WEB_TOKEN)], &json!({})).await?;
    let given = get(&fake, "/installation/repositories", &[("Authorization", "Bearer ghs_1_alice")]).await?;
    assert_eq!((given.status, &given.body["total_count"]), (200, &json!(3)));
    Ok(())
}

#[tokio::test]
async fn an_installation_token_covers_one_owner_until_expiry() -> Result<()> {
    let fake = start().await?;
    fake.put([pr("acme/api", 1), pr("other/api", 1)]);
    fake.install_app("4711", &["acme", "other"]);
    assert_eq!(get(&fake, "/repos/acme/api/pulls", &[]).await?.status, 401);
    let installations = get(&fake, "/app/installations", &[("Authorization", WEB_TOKEN)]).await?;
    assert_eq!(installations.body[0]["account"]["login"], json!("acme"));
    let path = format!("/app/installations/{}/access_tokens", installations.body[0]["id"]);
    assert_eq!(post(&fake, &path, &[("Authorization", "Bearer ghp_x")], &json!({})).await?.status, 401);
    let given = post(&fake, &path, &[("Authorization", WEB_TOKEN)], &json!({})).await?;
    assert_eq!((given.status, &given.body["token"]), (201, &json!("ghs_1_acme")));
    let token = [("Authorization", "Bearer ghs_1_acme")];
    let status = async |path: &str| -> Result<u16> { Ok(get(&fake, path, &token).await?.status) };
    assert_eq!((status("/repos/acme/api/pulls").await?, status("/repos/other/api/pulls").await?), (200, 404));
    assert_eq!((status("/orgs/acme/repos").await?, status("/user").await?), (200, 403));
    fake.suspend_installation("acme", true);
    assert_eq!((status("/repos/acme/api/pulls").await?, status("/orgs/acme/repos").await?), (403, 403));
    let refused = post(&fake, &path, &[("Authorization", WEB_TOKEN)], &json!({})).await?;
    assert_eq!((refused.status, &refused.body["message"]), (403, &json!("This installation has been suspended")));
    let installations = get(&fake, "/app/installations", &[("Authorization", WEB_TOKEN)]).await?;
    assert!(installations.body[0]["suspended_at"].is_string(), "{}", installations.body);
    fake.suspend_installation("acme", false);
    fake.expire_installation_tokens();
    assert_eq!(status("/repos/acme/api/pulls").await?, 401);
    Ok(())
}

#[tokio::test]
async fn the_limit_counts_down_and_resets() -> Result<()> {
    let fake = start().await?;
    fake.put(many(1));
    fake.set_rate_limit(2, 0);
    // Long enough for three requests on a busy machine.
    fake.set_reset_in(Duration::from_secs(3));
    let remaining = async || -> Result<(u16, Option<String>)> {
        let answer = get(&fake, &pulls(""), &[]).await?;
        Ok((answer.status, answer.header("x-ratelimit-remaining").map(str::to_owned)))
    };
    assert_eq!(remaining().await?, (200, Some("1".to_owned())));
    assert_eq!(remaining().await?, (200, Some("0".to_owned())));
    assert_eq!(remaining().await?, (403, Some("0".to_owned())));
    let limit = get(&fake, "/rate_limit", &[]).await?;
    assert_eq!(limit.body["resources"]["core"]["remaining"], json!(0));
    tokio::time::sleep(Duration::from_millis(3_100)).await;
    assert_eq!(remaining().await?, (200, Some("1".to_owned())));
    fake.hide_rate_limit_headers(true);
    for _ in 0..3 {
        assert_eq!(remaining().await?, (200, None));
    }
    assert_eq!(get(&fake, "/rate_limit", &[]).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn responses_carry_token_scopes_and_expiration() -> Result<()> {
    let fake = start().await?;
    fake.put(many(1));
    fake.require_token("ghp_old");
    fake.set_token_expiration(Some("2026-12-31 10:00:00 UTC"));
    let answer = get(&fake, &pulls(""), &[("Authorization", "Bearer ghp_old")]).await?;
    assert_eq!(answer.header("x-oauth-scopes"), Some("read:org, repo"));
    assert_eq!(answer.header("github-authentication-token-expiration"), Some("2026-12-31 10:00:00 UTC"));
    fake.require_token("github_pat_new");
    assert_eq!(get(&fake, &pulls(""), &[("Authorization", "Bearer ghp_old")]).await?.status, 401);
    let fine_grained = get(&fake, &pulls(""), &[("Authorization", "Bearer github_pat_new")]).await?;
    assert_eq!((fine_grained.status, fine_grained.header("x-oauth-scopes")), (200, None));
    Ok(())
}

#[tokio::test]
async fn faults_look_like_the_github_ones() -> Result<()> {
    let fake = start().await?;
    fake.put(many(1));
    for (fault, status, header, value) in [
        (Fault::SecondaryLimitWithoutHeaders, 403, "retry-after", None),
        (Fault::SecondaryLimit { retry_after: 7 }, 403, "retry-after", Some("7")),
        (Fault::TooManyRequests { retry_after: Some(3) }, 429, "retry-after", Some("3")),
        (Fault::TooManyRequests { retry_after: None }, 429, "retry-after", None),
        (Fault::ResetAt(-62_135_596_800), 403, "x-ratelimit-reset", Some("-62135596800")),
        (Fault::NonNumericLimits, 200, "x-ratelimit-remaining", Some("soon")),
        (Fault::NonNumericRefusal, 403, "retry-after", Some("soon")),
        (Fault::ZeroOfZero, 200, "x-ratelimit-limit", Some("0")),
        (
            Fault::SamlSso,
            403,
            "x-github-sso",
            Some("required; url=https://github.com/orgs/acme/sso?authorization_request=AAAA"),
        ),
        (Fault::ResourceNotAccessible, 403, "x-accepted-github-permissions", Some("pull_requests=read")),
        (Fault::BadGatewayHtml, 502, "content-type", Some("text/html")),
        (Fault::NotModified, 304, "etag", None),
        (Fault::EmptyList, 200, "link", None),
    ] {
        fake.fail_next(REPOSITORY, fault.clone());
        let answer = get(&fake, &pulls("state=all"), &[]).await?;
        assert_eq!((answer.status, answer.header(header)), (status, value), "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn connections_break_as_on_a_real_network() -> Result<()> {
    let fake = start().await?;
    fake.put(many(2));
    let (_, whole) = send(&fake, "GET", &pulls(""), &[], "").await?;
    fake.fail_next(REPOSITORY, Fault::Reset);
    assert!(send(&fake, "GET", &pulls(""), &[], "").await.is_err(), "not even a head");
    fake.fail_next(REPOSITORY, Fault::TruncatedJson);
    let (answer, half) = send(&fake, "GET", &pulls(""), &[], "").await?;
    let length = half.len().to_string();
    assert_eq!((answer.header("content-length"), half.len()), (Some(length.as_str()), whole.len() / 2));
    fake.fail_next(REPOSITORY, Fault::HalfResponse);
    let (answer, half) = send(&fake, "GET", &pulls(""), &[], "").await?;
    let length = whole.len().to_string();
    assert_eq!((answer.header("content-length"), half.len()), (Some(length.as_str()), whole.len() / 2));
    fake.fail_next(REPOSITORY, Fault::SlowBody);
    let slow = tokio::time::timeout(Duration::from_millis(1_500), get(&fake, &pulls(""), &[])).await;
    assert!(slow.is_err(), "without an end");
    assert_eq!(get(&fake, &pulls(""), &[]).await?.status, 200, "the fake still works");
    Ok(())
}

#[tokio::test]
async fn concurrent_requests_are_counted() -> Result<()> {
    let fake = start().await?;
    fake.put(many(1));
    fake.set_latency(Duration::from_millis(200));
    let path = pulls("");
    tokio::try_join!(get(&fake, &path, &[]), get(&fake, &path, &[]), get(&fake, &path, &[]))?;
    assert_eq!(fake.most_at_once(), 3);
    fake.forget_requests();
    get(&fake, &path, &[]).await?;
    assert_eq!(fake.most_at_once(), 1);
    Ok(())
}

#[tokio::test]
async fn a_page_is_cached_until_a_change() -> Result<()> {
    let fake = start().await?;
    fake.put(many(100).map(|pull_request| pull_request.with_body(20_000)));
    let path = pulls("per_page=100");
    let mut took = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        get(&fake, &path, &[("Accept-Encoding", "gzip")]).await?;
        took.push(started.elapsed());
    }
    assert!(took[2] < took[0], "{took:?}");
    fake.put([pr(REPOSITORY, 1).titled("changed")]);
    let answer = get(&fake, &pulls("per_page=100"), &[]).await?;
    assert!(answer.body.as_array().is_some_and(|items| items.iter().any(|item| item["title"] == "changed")));
    Ok(())
}

const DETAILS: &str = include_str!("../../../github/src/queries/pull_request_details.graphql");
const MORE_COMMITS: &str = include_str!("../../../github/src/queries/more_commits.graphql");
const MORE_REVIEWS: &str = include_str!("../../../github/src/queries/more_reviews.graphql");
const MORE_TIMELINE: &str = include_str!("../../../github/src/queries/more_timeline.graphql");
const DEPLOYMENT_STATUSES: &str = include_str!("../../../github/src/queries/deployment_statuses.graphql");
const MORE_STATUSES: &str = include_str!("../../../github/src/queries/more_deployment_statuses.graphql");
const COMMIT_HISTORY: &str = include_str!("../../../github/src/queries/commit_history.graphql");
const RELEASES: &str = include_str!("../../../github/src/queries/releases.graphql");
const TAGS: &str = include_str!("../../../github/src/queries/tags.graphql");
const COMMIT_PARENTS: &str = include_str!("../../../github/src/queries/commit_parents.graphql");
/// Fields that the collector does not request, but the fake supports.
const EVERYTHING: &str = "\
query($ids: [ID!]!) {
  rateLimit { cost remaining limit resetAt used }
  nodes(ids: $ids) { ...whole }
}
fragment whole on PullRequest {
  name: title id fullDatabaseId number state url merged closed updatedAt closedAt mergedAt headRefName
  repository { id nameWithOwner isArchived }
  reviews(first: 2) { totalCount nodes { state } }
}
";

async fn query(fake: &FakeGitHub, query: &str, variables: Value) -> Result<Answer> {
    let bearer = format!("Bearer {}", FakeGitHub::TOKEN);
    post(fake, GRAPHQL, &[("authorization", &bearer)], &json!({ "query": query, "variables": variables })).await
}

fn node_id(pull_request: &FakePullRequest) -> String {
    format!("PR_{}", pull_request.id)
}

/// A pull request with 120 reviews, 130 changes between draft and ready, and special accounts.
fn much_discussed() -> FakePullRequest {
    let instant = |minute: usize| format!("2026-01-02T{:02}:{:02}:00Z", minute / 60, minute % 60);
    let mut made = pr(REPOSITORY, 1).by_user(Some(FakeUser::bot("renovate"))).approved_by("bob", &instant(0));
    made = made.dismissed_approval_by("carla", &instant(1));
    made.reviews[0].user = None;
    for minute in 2..120 {
        made = made.reviewed_by("bob", &instant(minute));
    }
    for minute in 0..65 {
        made = made.drafted_at(&instant(2 * minute)).ready_at(&instant(2 * minute + 1));
    }
    made.merged("2026-01-03T00:00:00Z")
}

fn oid(number: i64) -> String {
    format!("{number:040x}")
}

fn commit(number: i64, parents: &[i64]) -> FakeGitCommit {
    let committed_at = at("2026-01-01T00:00:00Z") + chrono::TimeDelta::hours(number);
    FakeGitCommit { oid: oid(number), parents: parents.iter().copied().map(oid).collect(), committed_at }
}

fn deployed(number: i64) -> FakeDeployment {
    let made = deployment(REPOSITORY, number, &oid(number), &format!("2026-06-0{number}T10:00:00Z"));
    made.status("in_progress", &format!("2026-06-0{number}T10:01:00Z"))
        .status("success", &format!("2026-06-0{number}T10:05:00Z"))
}

#[tokio::test]
async fn deployments_are_listed_newest_first_by_page() -> Result<()> {
    let fake = start().await?;
    fake.put_deployments((1..=3).map(deployed));
    let path = "/repos/acme/api/deployments";
    let ids = |answer: &Answer| -> Vec<i64> {
        answer.body.as_array().into_iter().flatten().filter_map(|item| item["id"].as_i64()).collect()
    };
    let first = get(&fake, &format!("{path}?per_page=2"), &[]).await?;
    assert_eq!(ids(&first), [5_000_000_003, 5_000_000_002]);
    assert!(first.header("link").is_some_and(|link| link.contains("page=2>; rel=\"next\"")), "{:?}", first.headers);
    let second = get(&fake, &format!("{path}?per_page=2&page=2"), &[]).await?;
    assert_eq!(ids(&second), [5_000_000_001]);
    let filtered = get(&fake, &format!("{path}?environment=staging"), &[]).await?;
    assert_eq!(filtered.body, json!([]));
    Ok(())
}

#[tokio::test]
async fn issues_are_listed_by_label_with_pull_requests() -> Result<()> {
    let fake = start().await?;
    fake.put_issues([
        issue(REPOSITORY, 1, "incident", "2026-06-01T10:00:00Z").closed("2026-06-05T10:00:00Z", "completed"),
        issue(REPOSITORY, 2, "incident", "2026-06-02T10:00:00Z").labeled("sev 1"),
        issue(REPOSITORY, 3, "bug", "2026-06-03T10:00:00Z"),
    ]);
    fake.put([pr(REPOSITORY, 4).created("2026-06-04T10:00:00Z").labeled("Incident")]);
    let listed = async |query: &str| -> Result<Vec<(i64, bool)>> {
        let answer = get(&fake, &format!("/repos/acme/api/issues?{query}"), &[]).await?;
        let items = answer.body.as_array().into_iter().flatten();
        Ok(items.filter_map(|item| Some((item["number"].as_i64()?, item.get("pull_request").is_some()))).collect())
    };
    assert_eq!(listed("labels=incident").await?, [(4, true), (2, false)], "open ones, the newest first");
    let by_update = "labels=incident&state=all&sort=updated&direction=desc";
    assert_eq!(listed(by_update).await?, [(1, false), (4, true), (2, false)]);
    assert_eq!(listed("labels=incident,sev%201&state=all").await?, [(2, false)], "several labels mean all of them");
    assert_eq!(listed("state=all&since=2026-06-04T00:00:00Z").await?, [(4, true), (1, false)]);
    fake.hide_issues(REPOSITORY, true);
    assert_eq!(get(&fake, "/repos/acme/api/issues", &[]).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn listed_issues_match_the_github_schema() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let description = Description::read(&folder)?;
    let fake = start().await?;
    let opened = issue(REPOSITORY, 1, "incident", "2026-06-01T10:00:00Z");
    fake.put_issues([opened.clone(), issue(REPOSITORY, 2, "bug", "2026-06-01T10:00:00Z").closed("2026-06-02T10:00:00Z", "duplicate")]);
    fake.put([pr(REPOSITORY, 4).labeled("incident")]);
    let answer = get(&fake, "/repos/acme/api/issues?state=all", &[]).await?;
    assert_eq!(answer.body.as_array().map(Vec::len), Some(3));
    assert_eq!(description.problems("/repos/{owner}/{repo}/issues", &answer.body)?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn listed_runs_match_the_github_schema() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let description = Description::read(&folder)?;
    let fake = start().await?;
    let ended = run(REPOSITORY, 1, &oid(1), "2026-06-01T10:00:00Z").ended("success", "2026-06-01T10:05:00Z");
    fake.put_runs([ended.again("2026-06-01T11:00:00Z"), run(REPOSITORY, 2, &oid(1), "2026-06-02T10:00:00Z")]);
    let answer = get(&fake, "/repos/acme/api/actions/runs", &[]).await?;
    assert_eq!(answer.body["total_count"], json!(2));
    assert_eq!(description.problems("/repos/{owner}/{repo}/actions/runs", &answer.body)?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn runs_are_listed_by_workflow_with_their_last_attempts() -> Result<()> {
    let fake = start().await?;
    let failed = run(REPOSITORY, 1, &oid(1), "2026-06-01T10:00:00Z").ended("failure", "2026-06-01T10:05:00Z");
    fake.put_runs([
        failed.again("2026-06-01T11:00:00Z").ended("success", "2026-06-01T11:05:00Z"),
        run(REPOSITORY, 2, &oid(2), "2026-06-02T10:00:00Z").on("push", "next"),
        run(REPOSITORY, 3, &oid(3), "2026-06-03T10:00:00Z").of("ci.yml"),
    ]);
    let listed = async |query: &str| -> Result<Vec<i64>> {
        let path = format!("/repos/acme/api/actions/workflows/deploy.yml/runs?{query}");
        let answer = get(&fake, &path, &[]).await?;
        let runs = answer.body["workflow_runs"].as_array().into_iter().flatten();
        Ok(runs.filter_map(|run| Some(run["id"].as_i64()? - 19_000_000_000)).collect())
    };
    assert_eq!(listed("").await?, [2, 1], "the newest first");
    assert_eq!(listed("branch=main").await?, [1]);
    assert_eq!(listed("created=%3E%3D2026-06-02T10:00:00Z").await?, [2]);
    assert_eq!(listed("created=2026-06-01T00:00:00Z..2026-06-01T10:00:00Z").await?, [1], "both ends count");
    let attempt = async |number: u32| -> Result<(Value, Value)> {
        let path = format!("/repos/acme/api/actions/runs/19000000001/attempts/{number}");
        let answer = get(&fake, &path, &[]).await?;
        Ok((answer.body["conclusion"].clone(), answer.body["updated_at"].clone()))
    };
    assert_eq!(attempt(1).await?, (json!("failure"), json!("2026-06-01T10:05:00Z")));
    assert_eq!(attempt(2).await?, (json!("success"), json!("2026-06-01T11:05:00Z")));
    let list = get(&fake, "/repos/acme/api/actions/workflows/deploy.yml/runs?branch=main", &[]).await?;
    assert_eq!(list.body["workflow_runs"][0]["run_attempt"], json!(2), "only the last one is listed");
    assert_eq!(get(&fake, "/repos/acme/api/actions/workflows/none.yml/runs", &[]).await?.status, 404);
    fake.hide_actions(REPOSITORY, true);
    assert_eq!(get(&fake, "/repos/acme/api/actions/workflows/deploy.yml/runs", &[]).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_filtered_list_of_runs_ends_after_a_thousand() -> Result<()> {
    let fake = start().await?;
    fake.put_runs((1..=1_001).map(|number| run(REPOSITORY, number, &oid(1), "2026-06-01T10:00:00Z")));
    let on_page = async |query: &str| -> Result<usize> {
        let path = format!("/repos/acme/api/actions/workflows/deploy.yml/runs?per_page=100&page=11{query}");
        Ok(get(&fake, &path, &[]).await?.body["workflow_runs"].as_array().map_or(0, Vec::len))
    };
    assert_eq!((on_page("").await?, on_page("&branch=main").await?), (1, 0));
    Ok(())
}

#[tokio::test]
async fn success_makes_earlier_deployments_inactive() -> Result<()> {
    let fake = start().await?;
    let flagged = |number| deployed(number).to("live").flagged(Some(true), None);
    fake.put_deployments([deployed(1), deployed(2), deployed(3).to("staging"), flagged(4), flagged(5)]);
    let states = async |number: i64| -> Result<Vec<String>> {
        let path = format!("/repos/acme/api/deployments/{}/statuses", 5_000_000_000 + number);
        let answer = get(&fake, &path, &[]).await?;
        let states = answer.body.as_array().into_iter().flatten().filter_map(|item| item["state"].as_str());
        Ok(states.map(str::to_owned).collect())
    };
    assert_eq!(states(1).await?, ["inactive", "success", "in_progress"]);
    assert_eq!(states(2).await?, ["success", "in_progress"]);
    assert_eq!(states(3).await?, ["success", "in_progress"], "another environment");
    assert_eq!(states(4).await?, ["success", "in_progress"], "said to be of production");
    // It also changes when the earlier one was last updated.
    let earlier = get(&fake, "/repos/acme/api/deployments/5000000001", &[]).await?;
    assert_eq!(earlier.body["updated_at"], json!("2026-06-02T10:05:00Z"));
    Ok(())
}

#[tokio::test]
async fn deployments_without_permission_are_not_found() -> Result<()> {
    let fake = start().await?;
    fake.put_deployments([deployed(1)]);
    fake.hide_deployments(REPOSITORY, true);
    assert_eq!(get(&fake, "/repos/acme/api/deployments", &[]).await?.status, 404);
    let answer = query(&fake, DEPLOYMENT_STATUSES, json!({ "ids": ["DE_5000000001"] })).await?;
    assert_eq!((&answer.body["data"]["nodes"][0], &answer.body["errors"][0]["type"]), (&Value::Null, &json!("NOT_FOUND")));
    Ok(())
}

#[tokio::test]
async fn history_lists_ancestors_by_date_in_pages() -> Result<()> {
    let fake = start().await?;
    // Two branches that were merged.
    fake.put_commits(REPOSITORY, [commit(1, &[]), commit(2, &[1]), commit(3, &[1]), commit(4, &[3, 2])]);
    let page = async |after: Value| -> Result<(Vec<String>, Value)> {
        let variables = json!({ "owner": "acme", "name": "api", "oid": oid(4), "first": 3, "after": after });
        let answer = query(&fake, COMMIT_HISTORY, variables).await?;
        let history = &answer.body["data"]["repository"]["object"]["history"];
        let oids = history["nodes"].as_array().into_iter().flatten().filter_map(|node| node["oid"].as_str());
        Ok((oids.map(str::to_owned).collect(), history["pageInfo"]["endCursor"].clone()))
    };
    let (first, end) = page(Value::Null).await?;
    assert_eq!(first, [oid(4), oid(3), oid(2)]);
    assert_eq!(page(end).await?.0, [oid(1)]);
    Ok(())
}

#[tokio::test]
async fn graphql_responses_fit_the_schema_and_selection() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let text = std::fs::read_to_string(folder.join("github-contract/schema.graphql"))?;
    let schema = githubs_schema(text);
    let fake = start().await?;
    let (first, second) = (much_discussed(), pr(REPOSITORY, 2).by_user(None));
    fake.put([first.clone(), second.clone()]);
    let page = json!({ "id": node_id(&first), "after": "cursor:50" });
    let unknown = json!({ "ids": [node_id(&first), "PR_1"] });
    fake.put_deployments([deployed(1), deployed(2)]);
    fake.put_commits(REPOSITORY, [commit(1, &[]), commit(2, &[1])]);
    let draft = release(REPOSITORY, 2, "v2", &oid(2), "2026-06-02T10:00:00Z").as_draft();
    fake.put_releases([release(REPOSITORY, 1, "v1", &oid(1), "2026-06-01T10:00:00Z"), draft]);
    fake.put_tags([tag(REPOSITORY, "v1", &oid(1), "2026-06-01T09:00:00Z")]);
    let history = json!({ "owner": "acme", "name": "api", "oid": oid(2), "first": 1, "after": null });
    let gone = json!({ "owner": "acme", "name": "api", "oid": oid(3), "first": 1, "after": null });
    for (text, variables) in [
        (DETAILS, json!({ "ids": [node_id(&first), node_id(&second)] })),
        (DETAILS, unknown),
        (MORE_COMMITS, page.clone()),
        (MORE_REVIEWS, page.clone()),
        (MORE_TIMELINE, page),
        (DEPLOYMENT_STATUSES, json!({ "ids": ["DE_5000000001", "DE_5000000002"] })),
        (MORE_STATUSES, json!({ "id": "DE_5000000001", "after": "cursor:1" })),
        (COMMIT_HISTORY, history.clone()),
        (COMMIT_HISTORY, gone),
        (COMMIT_PARENTS, history),
        (RELEASES, json!({ "owner": "acme", "name": "api", "after": null })),
        (TAGS, json!({ "owner": "acme", "name": "api", "after": null })),
        (EVERYTHING, json!({ "ids": [node_id(&first), node_id(&second)] })),
    ] {
        let document = ExecutableDocument::parse_and_validate(&schema, text, "query.graphql");
        let document = document.map_err(|error| anyhow::anyhow!("{error}"))?;
        let operation = document.operations.iter().next().context("an operation")?;
        let answer = query(&fake, text, variables).await?;
        let mut problems = Vec::new();
        let fit = Fit { schema: &schema, document: &document };
        fit.object(&operation.selection_set, &answer.body["data"], "data", &mut problems);
        assert_eq!(problems, Vec::<String>::new(), "{}", answer.body);
    }
    Ok(())
}

/// GitHub's schema. It defines two fields of `EnterpriseOwnerInfo` twice, which would make it invalid.
fn githubs_schema(text: String) -> Valid<Schema> {
    Valid::assume_valid(Schema::parse(text, "schema.graphql").unwrap_or_else(|twice| twice.partial))
}

/// Compares a response with the selection of its query.
struct Fit<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
}

impl Fit<'_> {
    fn value(&self, of: &ast::Type, selected: &SelectionSet, value: &Value, path: &str, problems: &mut Vec<String>) {
        if value.is_null() {
            if of.is_non_null() {
                problems.push(format!("{path} is null"));
            }
        } else if of.is_list() {
            match value.as_array() {
                Some(items) => {
                    for (index, item) in items.iter().enumerate() {
                        self.value(of.item_type(), selected, item, &format!("{path}[{index}]"), problems);
                    }
                }
                None => problems.push(format!("{path} is not a list")),
            }
        } else if selected.selections.is_empty() {
            self.leaf(of.inner_named_type(), value, path, problems);
        } else {
            self.object(selected, value, path, problems);
        }
    }

    fn leaf(&self, of: &str, value: &Value, path: &str, problems: &mut Vec<String>) {
        let fits = match (of, self.schema.types.get(of)) {
            ("Int", _) => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            ("Boolean", _) => value.is_boolean(),
            ("BigInt", _) => value.as_str().is_some_and(|text| text.parse::<i64>().is_ok()),
            ("DateTime", _) => {
                value.as_str().is_some_and(|text| text.ends_with('Z') && at(text) > at("2000-01-01T00:00:00Z"))
            }
            (_, Some(ExtendedType::Enum(values))) => {
                value.as_str().is_some_and(|text| values.values.keys().any(|name| name == text))
            }
            _ => value.is_string(),
        };
        if !fits {
            problems.push(format!("{path} is not a valid {of}: {value}"));
        }
    }

    fn object(&self, selected: &SelectionSet, value: &Value, path: &str, problems: &mut Vec<String>) {
        let mut expected = Vec::new();
        self.fields(selected, value, path, &mut expected, problems);
        for key in value.as_object().into_iter().flat_map(|fields| fields.keys()) {
            if !expected.contains(key) {
                problems.push(format!("{path}.{key} was not selected"));
            }
        }
    }

    fn fields(
        &self,
        selected: &SelectionSet,
        value: &Value,
        path: &str,
        expected: &mut Vec<String>,
        problems: &mut Vec<String>,
    ) {
        for selection in &selected.selections {
            match selection {
                Selection::Field(field) => {
                    let key = field.response_key().as_str();
                    expected.push(key.to_owned());
                    match value.get(key) {
                        Some(value) => {
                            self.value(field.ty(), &field.selection_set, value, &format!("{path}.{key}"), problems);
                        }
                        None => problems.push(format!("{path}.{key} is missing")),
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.type_condition.as_ref().map(apollo_compiler::Name::as_str);
                    self.fragment(on, &fragment.selection_set, value, path, expected, problems);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = spread.fragment_def(self.document) {
                        let on = Some(fragment.type_condition().as_str());
                        self.fragment(on, &fragment.selection_set, value, path, expected, problems);
                    }
                }
            }
        }
    }

    /// Its fields are expected in objects of its type. An object without `__typename` is of the type that its query reads:
    /// a pull request in all but the queries of deployments and commits.
    fn fragment(
        &self,
        on: Option<&str>,
        selected: &SelectionSet,
        value: &Value,
        path: &str,
        expected: &mut Vec<String>,
        problems: &mut Vec<String>,
    ) {
        let kind = value.get("__typename").and_then(Value::as_str).unwrap_or("PullRequest");
        let is_read = matches!(on, Some("Deployment" | "Commit" | "Tag"));
        if is_read || on.is_none_or(|on| on == kind) {
            self.fields(selected, value, path, expected, problems);
        }
    }
}

#[tokio::test]
async fn graphql_connections_are_paged_to_the_end() -> Result<()> {
    let fake = start().await?;
    let pull_request = much_discussed();
    let id = node_id(&pull_request);
    fake.put([pull_request]);
    let first = query(&fake, DETAILS, json!({ "ids": [id] })).await?;
    let reviews = &first.body["data"]["nodes"][0]["reviews"];
    assert_eq!(
        (reviews["nodes"].as_array().map(Vec::len), &reviews["pageInfo"]["hasNextPage"]),
        (Some(50), &json!(true))
    );
    let after = &reviews["pageInfo"]["endCursor"];
    let second = query(&fake, MORE_REVIEWS, json!({ "id": id, "after": after })).await?;
    let reviews = &second.body["data"]["node"]["reviews"];
    assert_eq!(
        (reviews["nodes"].as_array().map(Vec::len), &reviews["pageInfo"]["hasNextPage"]),
        (Some(70), &json!(false))
    );
    let items = &first.body["data"]["nodes"][0]["timelineItems"];
    assert_eq!((items["nodes"].as_array().map(Vec::len), &items["pageInfo"]["hasNextPage"]), (Some(100), &json!(true)));
    let after = &items["pageInfo"]["endCursor"];
    let second = query(&fake, MORE_TIMELINE, json!({ "id": id, "after": after })).await?;
    assert_eq!(second.body["data"]["node"]["timelineItems"]["nodes"].as_array().map(Vec::len), Some(31));
    Ok(())
}

#[tokio::test]
async fn graphql_names_bots_and_deleted_accounts_differently() -> Result<()> {
    let fake = start().await?;
    let pull_request = much_discussed();
    fake.put([pull_request.clone()]);
    let answer = query(&fake, DETAILS, json!({ "ids": [node_id(&pull_request)] })).await?;
    let node = &answer.body["data"]["nodes"][0];
    assert_eq!(node["author"], json!({ "__typename": "Bot", "login": "renovate" }));
    assert_eq!(node["reviews"]["nodes"][0]["author"], Value::Null);
    let dismissed = &node["reviews"]["nodes"][1];
    assert_eq!(dismissed["state"], json!("DISMISSED"));
    let items = node["timelineItems"]["nodes"].as_array().context("a timeline")?;
    let dismissal = items.iter().find(|item| item["__typename"] == "ReviewDismissedEvent").context("a dismissal")?;
    assert_eq!((&dismissal["previousReviewState"], &dismissal["review"]["id"]), (&json!("APPROVED"), &dismissed["id"]));
    assert_eq!(node["commits"]["nodes"][0]["commit"]["authoredDate"], json!("2026-01-01T08:00:00Z"));
    Ok(())
}

#[tokio::test]
async fn graphql_refuses_with_status_200() -> Result<()> {
    let fake = start().await?;
    let pull_requests: Vec<_> = many(3).collect();
    fake.put(pull_requests.clone());
    let ids: Vec<String> = pull_requests.iter().map(node_id).collect();
    let ask = async |ids: Vec<String>| -> Result<(u16, Value)> {
        let answer = query(&fake, DETAILS, json!({ "ids": ids })).await?;
        Ok((answer.status, answer.body))
    };
    let (status, body) = ask(vec!["PR_1".to_owned(), ids[0].clone()]).await?;
    let message = "Could not resolve to a node with the global id of 'PR_1'";
    let error = json!({ "type": "NOT_FOUND", "path": ["nodes", 0], "message": message });
    assert_eq!((status, &body["data"]["nodes"][0], &body["errors"]), (200, &Value::Null, &json!([error])));
    assert_eq!(body["data"]["nodes"][1]["id"], json!(ids[0]));
    let kind = |body: &Value| (body["data"].is_null(), body["errors"][0]["type"].as_str().map(str::to_owned));
    let (_, body) = ask((0..101).map(|number| format!("PR_{number}")).collect()).await?;
    assert_eq!(kind(&body), (true, Some("ARGUMENT_LIMIT".to_owned())));
    fake.limit_graphql_nodes(2);
    assert_eq!(kind(&ask(ids.clone()).await?.1), (true, Some("MAX_NODE_LIMIT_EXCEEDED".to_owned())));
    let errors = |with_data| Fault::GraphqlErrors { kind: String::new(), with_data };
    fake.fail_next_graphql(errors(true));
    let (_, body) = ask(ids[..2].to_vec()).await?;
    assert_eq!((body["data"]["nodes"][0].is_object(), &body["data"]["nodes"][1]), (true, &Value::Null));
    fake.fail_next_graphql(errors(false));
    assert_eq!(kind(&ask(ids[..2].to_vec()).await?.1), (true, None));
    let unknown_field = query(&fake, "{ rateLimit { joy } }", Value::Null).await?;
    assert_eq!(unknown_field.body["errors"][0]["message"], json!("Field 'joy' doesn't exist on type 'RateLimit'"));
    Ok(())
}

#[tokio::test]
async fn half_a_surrogate_pair_is_escaped_in_json() -> Result<()> {
    let fake = start().await?;
    fake.put([pr(REPOSITORY, 1).titled(&format!("Fix {HALF_A_PAIR}"))]);
    for path in [pulls(""), "/repos/acme/api/pulls/1".to_owned()] {
        let (_, body) = send(&fake, "GET", &path, &[], "").await?;
        assert!(body.contains(r#""title":"Fix \ud83d""#), "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn unlisted_commits_are_still_counted() -> Result<()> {
    let fake = start().await?;
    let instant = at("2026-01-01T00:00:00Z");
    let mut long = pr(REPOSITORY, 1);
    long.commits = vec![FakeCommit { authored_at: instant, committed_at: instant }; 5];
    let variables = json!({ "ids": [node_id(&long)] });
    fake.put([long]);
    fake.limit_listed_commits(3);
    let answer = query(&fake, DETAILS, variables).await?;
    let commits = &answer.body["data"]["nodes"][0]["commits"];
    assert_eq!((&commits["totalCount"], commits["nodes"].as_array().map(Vec::len)), (&json!(5), Some(3)));
    Ok(())
}

#[tokio::test]
async fn graphql_requires_a_token() -> Result<()> {
    let fake = start().await?;
    let answer = post(&fake, GRAPHQL, &[], &json!({ "query": "{ rateLimit { cost } }" })).await?;
    assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (401, Some("0")));
    Ok(())
}

#[tokio::test]
async fn graphql_points_have_a_separate_limit() -> Result<()> {
    let fake = start().await?;
    let pull_requests: Vec<_> = many(100).collect();
    fake.put(pull_requests.clone());
    let ids: Vec<String> = pull_requests.iter().map(node_id).collect();
    let answer = query(&fake, DETAILS, json!({ "ids": ids })).await?;
    // Four connections of a hundred nodes.
    assert_eq!(answer.body["data"]["rateLimit"]["cost"], json!(4));
    assert_eq!(answer.header("x-ratelimit-resource"), Some("graphql"));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("4996"));
    assert_eq!(get(&fake, &pulls(""), &[]).await?.header("x-ratelimit-remaining"), Some("4999"));
    fake.set_graphql_rate_limit(5_000, 5_000);
    let answer = query(&fake, DETAILS, json!({ "ids": ids })).await?;
    assert_eq!((answer.status, &answer.body["errors"][0]["type"]), (200, &json!("RATE_LIMIT")));
    assert_eq!(answer.header("x-ratelimit-remaining"), Some("0"));
    Ok(())
}

#[tokio::test]
async fn requests_are_recorded_as_received() -> Result<()> {
    let fake = start().await?;
    fake.put(many(1));
    get(&fake, &pulls(""), &[("If-None-Match", "\"known\"")]).await?;
    query(&fake, "{ rateLimit { cost } }", Value::Null).await?;
    let [listed, asked] = &fake.requests()[..] else { anyhow::bail!("two requests") };
    assert_eq!((listed.method.as_str(), listed.etag.as_deref(), &listed.body), ("GET", Some("\"known\""), &None));
    assert_eq!(asked.method, "POST");
    assert!(fake.graphql_url().ends_with(&asked.path), "{}", asked.path);
    assert!(asked.body.as_ref().is_some_and(|body| body.contains("rateLimit")));
    Ok(())
}

#[test]
fn recorded_histories_have_their_details() -> Result<()> {
    let Some(folder) = recorded::folder() else { return Ok(()) };
    let recorded = recorded::pull_requests(&folder, "bitcoin-core__gui")?;
    let pull_request = recorded.iter().find(|pull_request| pull_request.number == 29).context("#29")?;
    assert_eq!(pull_request.commits[0].authored_at, at("2021-05-15T19:57:35Z"));
    let reviewers: Vec<_> = pull_request.reviews.iter().map(reviewer).collect();
    assert_eq!(reviewers, ["promag", "promag", "jarolrod"]);
    let events: Vec<_> = pull_request.draft_events.iter().map(|event| (event.at, event.is_ready)).collect();
    assert_eq!(events, [(at("2020-10-24T09:30:58Z"), false), (at("2021-05-15T21:49:38Z"), true)]);
    assert_eq!((pull_request.additions, pull_request.deletions, pull_request.changed_files), (30, 32, 4));
    Ok(())
}

fn reviewer(review: &FakeReview) -> &str {
    review.user.as_ref().map_or("nobody", |user| &user.login)
}
