//! The real client against the fake GitHub.

use anyhow::Result;
use mergeline_domain::PullRequest;
use mergeline_github::{GitHub, GitHubError, GitHubSettings};
use mergeline_test_support::{FakeGitHub, FakePullRequest, Fault, at, pr};

const REPOSITORY: &str = "acme/api";

fn connect(url: &str, token: Option<&str>) -> Result<GitHub> {
    let settings = GitHubSettings::from_vars(|name| match name {
        "GITHUB_API_URL" => Some(url.to_owned()),
        "GITHUB_PAT" => token.map(str::to_owned),
        _ => None,
    });
    Ok(GitHub::connect(&settings.expect("valid settings"))?)
}

async fn read_all(github: &GitHub, repository: &str) -> Result<Vec<PullRequest>, GitHubError> {
    let repository = repository.parse().expect("a repository");
    let mut pages = github.pull_requests_updated_since(&repository, at("2000-01-01T00:00:00Z"));
    let mut all = Vec::new();
    while let Some(page) = pages.next().await? {
        all.extend(page.pull_requests);
    }
    Ok(all)
}

/// So many pull requests, each updated a minute after the one before.
fn many(count: i64) -> impl Iterator<Item = FakePullRequest> {
    (1..=count).map(|number| {
        let mut pull_request = pr(REPOSITORY, number);
        pull_request.updated_at += chrono::TimeDelta::minutes(number);
        pull_request
    })
}

#[tokio::test]
async fn all_pages_are_read_newest_update_first() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(250));
    let all = read_all(&connect(&fake.url(), None)?, REPOSITORY).await?;
    let numbers: Vec<i64> = all.iter().map(|pull_request| pull_request.number).collect();
    assert_eq!(numbers, (1..=250).rev().collect::<Vec<_>>());
    assert_eq!(fake.requests().len(), 3);
    Ok(())
}

#[tokio::test]
async fn reading_stops_with_the_first_older_pull_request_and_keeps_equal_times() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(350));
    let github = connect(&fake.url(), None)?;
    let repository = REPOSITORY.parse()?;
    let mut pages = github.pull_requests_updated_since(&repository, many(350).nth(199).expect("the 200th").updated_at);
    let mut numbers = Vec::new();
    while let Some(page) = pages.next().await? {
        numbers.extend(page.pull_requests.iter().map(|pull_request| pull_request.number));
    }
    assert_eq!(numbers, (200..=350).rev().collect::<Vec<_>>());
    assert_eq!(fake.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn every_request_names_the_api_version_and_carries_the_token() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.require_token("ghp_right");
    fake.put(many(150));
    read_all(&connect(&fake.url(), Some("ghp_right"))?, REPOSITORY).await?;
    for request in fake.requests() {
        assert_eq!(request.api_version.as_deref(), Some("2026-03-10"));
        assert_eq!(request.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_token_a_missing_repository_and_a_forbidden_one_are_told_apart() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.require_token("ghp_right");
    fake.put(many(1));
    let wrong = connect(&fake.url(), Some("ghp_wrong"))?;
    assert_eq!(read_all(&wrong, REPOSITORY).await, Err(GitHubError::Unauthorized));
    let right = connect(&fake.url(), Some("ghp_right"))?;
    assert_eq!(read_all(&right, "acme/nowhere").await, Err(GitHubError::NotFound));
    fake.fail_next(REPOSITORY, Fault::Status(403));
    assert!(matches!(read_all(&right, REPOSITORY).await, Err(GitHubError::Forbidden { .. })));
    fake.fail_next(REPOSITORY, Fault::Status(451));
    assert_eq!(read_all(&right, REPOSITORY).await, Err(GitHubError::Gone { status: 451 }));
    Ok(())
}

#[tokio::test]
async fn limits_are_not_permissions() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(1));
    let github = connect(&fake.url(), None)?;
    fake.fail_next(REPOSITORY, Fault::RateLimited { reset: 1_800_000_000 });
    let until = chrono::DateTime::from_timestamp(1_800_000_000, 0);
    assert_eq!(read_all(&github, REPOSITORY).await, Err(GitHubError::RateLimited { retry_at: until }));
    fake.fail_next(REPOSITORY, Fault::SecondaryLimit { retry_after: 60 });
    assert!(matches!(read_all(&github, REPOSITORY).await, Err(GitHubError::RateLimited { .. })));
    Ok(())
}

#[tokio::test]
async fn a_renamed_repository_is_followed_on_the_same_host() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(150));
    fake.rename(REPOSITORY, "acme/core");
    let all = read_all(&connect(&fake.url(), None)?, REPOSITORY).await?;
    assert_eq!(all.len(), 150);
    assert_eq!(fake.requests()[0].status, 301);
    Ok(())
}

#[tokio::test]
async fn the_token_never_goes_to_another_host() -> Result<()> {
    let elsewhere = FakeGitHub::start().await?;
    let fake = FakeGitHub::start().await?;
    fake.put(many(150));
    let github = connect(&fake.url(), Some("ghp_right"))?;
    let address = format!("{}/repositories/1/pulls?page=2", elsewhere.url());
    for fault in [Fault::NextPageAt(address.clone()), Fault::RedirectTo(address)] {
        fake.fail_next(REPOSITORY, fault.clone());
        let outcome = read_all(&github, REPOSITORY).await;
        assert!(matches!(outcome, Err(GitHubError::InvalidAnswer { .. })), "{fault:?}: {outcome:?}");
    }
    assert_eq!(elsewhere.requests(), []);
    Ok(())
}

#[tokio::test]
async fn a_page_that_leads_to_itself_ends_the_listing() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(150));
    let github = connect(&fake.url(), None)?;
    let address = format!("{}/repos/{REPOSITORY}/pulls?page=7", fake.url());
    for _ in 0..3 {
        fake.fail_next(REPOSITORY, Fault::NextPageAt(address.clone()));
    }
    let outcome = read_all(&github, REPOSITORY).await;
    assert!(matches!(outcome, Err(GitHubError::InvalidAnswer { .. })), "{outcome:?}");
    assert_eq!(fake.requests().len(), 2);
    Ok(())
}

#[tokio::test]
async fn answers_that_are_not_githubs_are_errors_and_never_empty_pages() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(1));
    let github = connect(&fake.url(), None)?;
    for (fault, code) in [
        (Fault::Html, "github_invalid_answer"),
        (Fault::Truncated, "github_unreachable"),
        (Fault::GzipBomb, "github_invalid_answer"),
        (Fault::Status(502), "github_status"),
    ] {
        fake.fail_next(REPOSITORY, fault.clone());
        let outcome = read_all(&github, REPOSITORY).await;
        assert_eq!(outcome.map_err(|error| error.code()), Err(code), "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_closed_port_is_an_error_that_says_so() -> Result<()> {
    let address = { FakeGitHub::start().await?.url() };
    tokio::task::yield_now().await;
    let outcome = read_all(&connect("http://127.0.0.1:1", None)?, REPOSITORY).await;
    assert!(matches!(&outcome, Err(GitHubError::Transport { .. })), "{outcome:?} {address}");
    Ok(())
}
