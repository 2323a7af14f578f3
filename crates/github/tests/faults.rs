//! How the client handles broken connections, limits and pages. docs/faults.md has the table.

mod common;

use std::time::Duration;

use anyhow::Result;
use common::{always, connect, ok, session, settings};
use mergeline_domain::RepoName;
use mergeline_fake_github::{FakeGitHub, Fault, at, pr};
use mergeline_github::{GitHub, GitHubError, GitHubSession, GitHubSettings, Limit};
use mergeline_source::{Page, PageAnswer, Source, WaitBudget};
use tokio::time::Instant;

const REPOSITORY: &str = "acme/api";

fn repository() -> RepoName {
    REPOSITORY.parse().expect("a repository")
}

async fn first_page(session: &GitHubSession) -> Result<Page, GitHubError> {
    match session.by_update(&repository(), 100, None).next().await? {
        Some(PageAnswer::Page(page)) => Ok(page),
        other => panic!("{other:?}"),
    }
}

/// A fake with one pull request and these faults before its responses.
async fn fake(faults: impl IntoIterator<Item = Fault>) -> Result<FakeGitHub> {
    let fake = FakeGitHub::start().await?;
    fake.put([pr(REPOSITORY, 1)]);
    faults.into_iter().for_each(|fault| fake.fail_next(REPOSITORY, fault));
    Ok(fake)
}

/// A session without a limit on waits.
fn unlimited_session(github: &GitHub) -> GitHubSession {
    let budget = WaitBudget { deadline: None, longest_wait: Duration::MAX };
    github.session(Some("acme"), budget, at("2026-06-15T12:00:00Z"))
}

fn seconds_since(started: Instant) -> u64 {
    started.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn f12_work_resumes_after_waiting_out_secondary_limit() -> Result<()> {
    let fake = fake([Fault::SecondaryLimit { retry_after: 17 }]).await?;
    let (github, started) = (connect(&fake.url(), None)?, Instant::now());
    assert_eq!(first_page(&unlimited_session(&github)).await?.pull_requests.len(), 1);
    assert_eq!(seconds_since(started), 17);
    Ok(())
}

#[tokio::test]
async fn f12_a_wait_over_budget_fails_at_once() -> Result<()> {
    let fake = fake([Fault::SecondaryLimit { retry_after: 17 }]).await?;
    let github = connect(&fake.url(), None)?;
    let limited = GitHubError::RateLimited { limit: Limit::Secondary, retry_in: Some(Duration::from_secs(17)) };
    assert_eq!(first_page(&session(&github)).await, Err(limited));
    // Another session with the same token sends nothing.
    assert!(first_page(&session(&github)).await.is_err());
    assert_eq!(fake.requests().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn f13_a_limit_without_time_gets_five_tries() -> Result<()> {
    let fake = fake(std::iter::repeat_n(Fault::TooManyRequests { retry_after: None }, 5)).await?;
    let (github, started) = (connect(&fake.url(), None)?, Instant::now());
    let outcome = first_page(&unlimited_session(&github)).await;
    assert!(matches!(outcome, Err(GitHubError::RateLimited { limit: Limit::Secondary, .. })), "{outcome:?}");
    assert_eq!(fake.requests().len(), 5);
    // 60 + 120 + 240 + 480, and up to a quarter more as jitter.
    assert!((900..1_126).contains(&seconds_since(started)), "{}", seconds_since(started));
    Ok(())
}

/// A client with this concurrency.
fn connect_at_once(url: &str, concurrency: usize) -> Result<GitHub> {
    let settings = GitHubSettings::from_vars(|name| match name {
        "GITHUB_API_URL" => Some(url.to_owned()),
        "COLLECT_CONCURRENCY" => Some(concurrency.to_string()),
        _ => None,
    });
    Ok(GitHub::connect(&settings.expect("valid settings"))?)
}

#[tokio::test]
async fn f12_one_refusal_stops_all_eight_workers() -> Result<()> {
    let fake = fake(std::iter::repeat_n(Fault::SecondaryLimit { retry_after: 90 }, 8)).await?;
    let github = connect_at_once(&fake.url(), 8)?;
    let work = futures::future::join_all((0..8).map(async |_| first_page(&session(&github)).await)).await;
    assert!(work.iter().all(|outcome| matches!(outcome, Err(GitHubError::RateLimited { .. }))), "{work:?}");
    assert_eq!(fake.requests().len(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn f12_one_probe_precedes_workers_after_a_limit() -> Result<()> {
    let refusals = std::iter::repeat_n(Fault::SecondaryLimit { retry_after: 30 }, 3);
    let fake = fake(refusals).await?;
    let github = connect_at_once(&fake.url(), 8)?;
    let work = futures::future::join_all((0..8).map(async |_| first_page(&unlimited_session(&github)).await)).await;
    assert!(work.iter().all(Result::is_ok), "{work:?}");
    // One probe per limit, and then one request for each worker.
    assert_eq!(fake.requests().len(), 3 + 8);
    Ok(())
}

#[tokio::test]
async fn f12_a_shared_block_applies_to_its_token_only() -> Result<()> {
    let now = at("2026-06-15T12:00:00Z");
    let fake = fake([Fault::SecondaryLimit { retry_after: 90 }]).await?;
    let one = connect(&fake.url(), Some("ghp_one"))?;
    assert!(first_page(&session(&one)).await.is_err());
    let blocks = one.take_new_blocks(now);
    assert!(blocks.iter().all(|block| !block.scope.contains("ghp_one")), "{blocks:?}");
    let (same, another) = (connect(&fake.url(), Some("ghp_one"))?, connect(&fake.url(), Some("ghp_other"))?);
    for github in [&same, &another] {
        github.know_blocks(&blocks, now);
    }
    let outcome = first_page(&session(&same)).await;
    assert!(matches!(outcome, Err(GitHubError::RateLimited { limit: Limit::Secondary, .. })), "{outcome:?}");
    assert_eq!(fake.requests().len(), 1);
    first_page(&session(&another)).await?;
    Ok(())
}

#[tokio::test]
async fn f11_workers_together_respect_the_reserve() -> Result<()> {
    let fake = fake([]).await?;
    fake.set_rate_limit(20, 0);
    let github = connect_at_once(&fake.url(), 8)?;
    let work = futures::future::join_all((0..30).map(async |_| first_page(&session(&github)).await)).await;
    assert_eq!(work.iter().filter(|outcome| outcome.is_ok()).count(), 18);
    assert_eq!(fake.requests().len(), 18);
    Ok(())
}

#[tokio::test]
async fn f13_a_limit_without_time_stops_the_whole_token() -> Result<()> {
    for fault in
        [Fault::SecondaryLimitWithoutHeaders, Fault::TooManyRequests { retry_after: None }, Fault::NonNumericRefusal]
    {
        let fake = fake([fault.clone()]).await?;
        let github = connect(&fake.url(), None)?;
        for _ in 0..2 {
            let outcome = first_page(&session(&github)).await;
            assert!(matches!(outcome, Err(GitHubError::RateLimited { .. })), "{fault:?}: {outcome:?}");
        }
        assert_eq!(fake.requests().len(), 1, "{fault:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn f14_a_past_reset_waits_one_second_once() -> Result<()> {
    for reset in [0, -62_135_596_800, 999] {
        let fake = fake([Fault::ResetAt(reset)]).await?;
        let (github, started) = (connect(&fake.url(), None)?, Instant::now());
        first_page(&unlimited_session(&github)).await?;
        assert_eq!(seconds_since(started), 1, "{reset}");
        (0..2).for_each(|_| fake.fail_next(REPOSITORY, Fault::ResetAt(reset)));
        let outcome = first_page(&unlimited_session(&github)).await;
        assert!(matches!(outcome, Err(GitHubError::RateLimited { .. })), "{reset}: {outcome:?}");
    }
    Ok(())
}

#[tokio::test]
async fn f14_a_far_future_reset_counts_as_an_hour() -> Result<()> {
    let fake = fake([Fault::RateLimited { reset: 250_000_000_000 }]).await?;
    let github = connect(&fake.url(), None)?;
    let about_an_hour = Some(Duration::from_secs(3_660));
    let limited = GitHubError::RateLimited { limit: Limit::Primary, retry_in: about_an_hour };
    assert_eq!(first_page(&session(&github)).await, Err(limited));
    Ok(())
}

#[tokio::test]
async fn f15_unusable_answers_are_retried_and_counted() -> Result<()> {
    for fault in [Fault::Status(500), Fault::Status(503), Fault::BadGatewayHtml, Fault::Html, Fault::TruncatedJson] {
        let fake = fake([fault.clone(), fault.clone()]).await?;
        let github = connect(&fake.url(), None)?;
        let session = session(&github);
        assert_eq!(first_page(&session).await?.pull_requests.len(), 1, "{fault:?}");
        // An HTML page may come from a site, so the client checks once whether the API is elsewhere on this machine.
        let requests = if matches!(fault, Fault::Html) { 4 } else { 3 };
        assert_eq!((session.usage().requests, session.usage().errors), (requests, 2), "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn f16_a_broken_connection_is_made_again() -> Result<()> {
    for fault in [Fault::Reset, Fault::Truncated, Fault::HalfResponse] {
        let fake = fake([fault.clone(), fault.clone()]).await?;
        let github = connect(&fake.url(), None)?;
        assert_eq!(first_page(&session(&github)).await?.pull_requests.len(), 1, "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn f16_a_byte_per_second_runs_into_the_timeout() -> Result<()> {
    let fake = fake(std::iter::repeat_n(Fault::SlowBody, 3)).await?;
    let pace = settings(&fake.url(), None).with_pace(Duration::from_millis(1), Duration::from_millis(50));
    let github = GitHub::connect(&pace)?;
    let outcome = first_page(&session(&github)).await;
    assert!(matches!(outcome, Err(GitHubError::Transport { .. })), "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn f17_closed_ports_and_missing_tls_are_transport_errors() -> Result<()> {
    let plain = fake([]).await?.url().replace("http:", "https:");
    for url in ["http://127.0.0.1:1", &plain] {
        let outcome = first_page(&session(&connect(url, Some("ghp_s3cret"))?)).await;
        let Err(error @ GitHubError::Transport { .. }) = outcome else { panic!("{url}: {outcome:?}") };
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn f31_the_clock_skew_is_measured() -> Result<()> {
    let answer = ok("date: Mon, 15 Jun 2026 11:50:00 GMT\r\n", b"[]");
    let github = connect(&always(answer)?, None)?;
    let session = session(&github);
    first_page(&session).await?;
    let skew = session.usage().clock_skew_seconds;
    assert!(skew.is_some_and(|seconds| (600..700).contains(&seconds)), "{skew:?}");
    Ok(())
}

#[tokio::test]
async fn g12_endless_pages_end_with_an_error() -> Result<()> {
    let fake = fake([]).await?;
    let github = connect(&fake.url(), None)?;
    let outcome = session(&github).page_by_creation(&repository(), 100, 5_001).await;
    assert!(matches!(outcome, Err(GitHubError::InvalidAnswer { .. })), "{outcome:?}");
    assert_eq!(fake.requests(), []);
    Ok(())
}

#[tokio::test]
async fn g12_links_are_not_followed_and_loops_are_refused() -> Result<()> {
    for address in ["http://127.0.0.1:9/repos/acme/api/pulls?page=2", "https://api.github.com.example.com/", "http://["]
    {
        let fake = fake([Fault::NextPageAt(address.to_owned())]).await?;
        let github = connect(&fake.url(), None)?;
        assert!(first_page(&session(&github)).await?.has_next, "{address}");
        assert_eq!(fake.requests().len(), 1, "{address}");
    }
    let back = Fault::NextPageAt("/repos/acme/api/pulls?per_page=100&page=1".to_owned());
    let fake = fake(std::iter::repeat_n(back, 3)).await?;
    let github = connect(&fake.url(), None)?;
    let outcome = first_page(&session(&github)).await;
    assert_eq!(outcome.map_err(|error| error.code()), Err("github_invalid_answer"));
    Ok(())
}

#[tokio::test]
async fn g14_an_empty_linked_page_is_retried() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put((1..=150).map(|number| pr(REPOSITORY, number)));
    let github = connect(&fake.url(), None)?;
    let (session, repository) = (session(&github), repository());
    let mut pages = session.by_update(&repository, 100, None);
    pages.next().await?;
    fake.fail_next(REPOSITORY, Fault::EmptyList);
    let Some(PageAnswer::Page(page)) = pages.next().await? else { panic!("a page") };
    assert_eq!(page.pull_requests.len(), 50);
    Ok(())
}

#[tokio::test]
async fn g15_invalid_utf8_and_bad_gzip_are_errors() -> Result<()> {
    for (headers, body, code) in [
        ("", &b"[{\"number\": 1, \"title\": \"caf\xe9\"}]"[..], "github_invalid_answer"),
        ("", b"\xff\xfe[\0]\0", "github_invalid_answer"),
        ("content-encoding: gzip\r\n", b"[]", "github_truncated"),
        ("content-encoding: gzip\r\n", b"\x1f\x8b\x08\0\0\0\0\0", "github_truncated"),
    ] {
        let github = connect(&always(ok(headers, body))?, None)?;
        let outcome = first_page(&session(&github)).await;
        assert_eq!(outcome.map_err(|error| error.code()), Err(code), "{body:?}");
    }
    Ok(())
}

#[tokio::test]
async fn g15_half_a_pull_request_is_retried() -> Result<()> {
    let fake = fake([Fault::TruncatedJson]).await?;
    let github = connect(&fake.url(), None)?;
    let outcome = session(&github).pull_request(&repository(), 1).await?;
    assert_eq!(outcome.map(|pull_request| pull_request.number), Ok(1));
    Ok(())
}

#[tokio::test]
async fn g20_a_limit_without_usable_headers_waits_a_minute() -> Result<()> {
    let fake = fake([Fault::NonNumericRefusal]).await?;
    let github = connect(&fake.url(), None)?;
    let Err(GitHubError::RateLimited { retry_in: Some(pause), .. }) = first_page(&session(&github)).await else {
        panic!("expected a rate limit")
    };
    assert!(pause >= Duration::from_secs(60), "{pause:?}");
    Ok(())
}

#[tokio::test]
async fn g22_json_with_another_content_type_is_refused() -> Result<()> {
    let answer = ok("", b"[]");
    let answer = String::from_utf8(answer)?.replace("application/json", "text/html; charset=utf-8");
    let github = connect(&always(answer)?, None)?;
    let outcome = first_page(&session(&github)).await;
    assert_eq!(outcome.map_err(|error| error.code()), Err("github_invalid_answer"));
    Ok(())
}
