//! The real client against the fake GitHub.

mod common;
mod deployments;

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use common::{connect, session};
use mergeline_domain::PullRequest;
use mergeline_fake_github::{FakeGitHub, FakePullRequest, FakeUser, Fault, Layout, Refused, at, pr, team};
use mergeline_github::{GitHub, GitHubError, GitHubSettings, Limit, Owner};
use mergeline_source::{PageAnswer, RepositoryKey, WaitBudget};
use mergeline_test_support::app_key;

const REPOSITORY: &str = "acme/api";

async fn read_all(github: &GitHub, repository: &str) -> Result<Vec<PullRequest>, GitHubError> {
    let repository = repository.parse().expect("a repository");
    let session = session(github);
    let mut pages = session.by_update(&repository, 100, None);
    let mut all = Vec::new();
    while let Some(PageAnswer::Page(page)) = pages.next().await? {
        all.extend(page.pull_requests);
    }
    Ok(all)
}

/// This many pull requests, each updated a minute after the previous one.
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
async fn changes_do_not_disturb_pages_by_creation() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(250));
    let github = connect(&fake.url(), None)?;
    let (session, repository) = (session(&github), REPOSITORY.parse()?);
    let before = session.page_by_creation(&repository, 100, 2).await?;
    fake.put([pr(REPOSITORY, 1).updated("2026-12-01T00:00:00Z"), pr(REPOSITORY, 251).created("2026-12-01T00:00:00Z")]);
    let after = session.page_by_creation(&repository, 100, 2).await?;
    assert_eq!(before.pull_requests, after.pull_requests);
    assert_eq!((before.has_next, before.pages_left), (true, Some(1)));
    Ok(())
}

#[tokio::test]
async fn an_unchanged_page_is_a_free_304() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(3));
    let github = connect(&fake.url(), Some("ghp_right"))?;
    let repository = REPOSITORY.parse()?;
    let first = session(&github);
    let Some(PageAnswer::Page(page)) = first.by_update(&repository, 100, None).next().await? else { panic!("a page") };
    let second = session(&github);
    assert_eq!(second.by_update(&repository, 100, page.etag.clone()).next().await?, Some(PageAnswer::Unchanged));
    assert_eq!(first.usage().rate_limit_remaining, second.usage().rate_limit_remaining);
    // An ETag of another token is not even sent.
    let other = connect(&fake.url(), Some("ghp_other"))?;
    let third = session(&other);
    assert!(matches!(third.by_update(&repository, 100, page.etag).next().await?, Some(PageAnswer::Page(_))));
    assert_eq!(fake.requests().last().and_then(|request| request.etag.clone()), None);
    Ok(())
}

#[tokio::test]
async fn every_request_has_api_version_and_token() -> Result<()> {
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
async fn bad_token_missing_and_forbidden_repositories_are_distinct() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.require_token("ghp_right");
    fake.put(many(1));
    let wrong = connect(&fake.url(), Some("ghp_wrong"))?;
    assert_eq!(read_all(&wrong, REPOSITORY).await, Err(GitHubError::Unauthorized));
    let right = connect(&fake.url(), Some("ghp_right"))?;
    assert_eq!(read_all(&right, "acme/nowhere").await, Err(GitHubError::NotFound));
    for (fault, code) in [
        (Fault::Status(403), "github_forbidden"),
        (Fault::ResourceNotAccessible, "github_forbidden"),
        (Fault::SamlSso, "github_sso_required"),
    ] {
        fake.fail_next(REPOSITORY, fault);
        assert_eq!(read_all(&right, REPOSITORY).await.map_err(|error| error.code()), Err(code));
    }
    fake.fail_next(REPOSITORY, Fault::Status(451));
    fake.fail_next(REPOSITORY, Fault::Status(410));
    assert_eq!(read_all(&right, REPOSITORY).await.map_err(|error| error.code()), Err("repo_unavailable"));
    Ok(())
}

#[tokio::test]
async fn g09_each_403_names_cause_and_github_message() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(1));
    let github = connect(&fake.url(), Some("ghp_right"))?;
    for (refused, code, sentence) in [
        (Refused::IpAllowList, "github_ip_not_allowed", "has an IP allow list enabled"),
        (Refused::ClassicToken, "github_token_not_allowed", "(classic). Please use"),
        (Refused::FineGrainedToken, "github_token_not_allowed", "via a fine-grained"),
        (Refused::TokenLifetime, "github_token_not_allowed", "greater than 90 days"),
        (Refused::OAuthApp, "github_token_not_allowed", "OAuth App access restrictions"),
        (Refused::Installation, "github_app_suspended", "This installation has been suspended"),
        (Refused::Account, "github_account_suspended", "Your account was suspended"),
        (Refused::Blocked, "repo_unavailable", "Repository access blocked (tos)"),
        (Refused::BlockedByLaw, "repo_unavailable", "Repository access blocked (dmca)"),
    ] {
        fake.fail_next(REPOSITORY, Fault::Refused(refused));
        let error = read_all(&github, REPOSITORY).await.expect_err("refused");
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(sentence), "{error}");
    }
    assert_eq!(fake.requests().len(), 9, "no request is retried");
    Ok(())
}

/// A client with the App of this number, and perhaps a personal token.
fn with_app(fake: &FakeGitHub, id: &str, token: Option<&str>) -> Result<GitHub> {
    // Making a key takes a second.
    static KEY: OnceLock<String> = OnceLock::new();
    let key = KEY.get_or_init(|| app_key().expect("`openssl` makes the test's key"));
    let settings = GitHubSettings::from_vars(|name| match name {
        "GITHUB_API_URL" => Some(fake.url()),
        "GITHUB_PAT" => token.map(str::to_owned),
        "GITHUB_APP_ID" => Some(id.to_owned()),
        "GITHUB_APP_PRIVATE_KEY" => Some(key.clone()),
        _ => None,
    });
    Ok(GitHub::connect(&settings.expect("valid settings"))?)
}

/// A GitHub with the App 4711 at acme, and a personal token.
async fn fake_with_app() -> Result<FakeGitHub> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(1));
    fake.require_token("ghp_right");
    fake.install_app("4711", &["acme"]);
    Ok(fake)
}

#[tokio::test]
async fn a_suspended_app_falls_back_to_the_token() -> Result<()> {
    let fake = fake_with_app().await?;
    let (both, alone) = (with_app(&fake, "4711", Some("ghp_right"))?, with_app(&fake, "4711", None)?);
    for github in [&both, &alone] {
        assert_eq!(read_all(github, REPOSITORY).await?.len(), 1);
    }
    // With a token from before the suspension, and without.
    fake.suspend_installation("acme", true);
    for (both, alone) in [(both, alone), (with_app(&fake, "4711", Some("ghp_right"))?, with_app(&fake, "4711", None)?)]
    {
        for _ in 0..2 {
            assert_eq!(read_all(&both, REPOSITORY).await?.len(), 1);
            let refused = read_all(&alone, REPOSITORY).await.expect_err("suspended");
            assert_eq!(refused.code(), "github_app_suspended");
            assert!(refused.to_string().contains("This installation has been suspended"), "{refused}");
        }
    }
    let refused = fake.requests().iter().filter(|request| request.status == 403 && request.method == "POST").count();
    assert_eq!(refused, 2, "only clients with a token request another one, once each");
    Ok(())
}

#[tokio::test]
async fn an_unknown_app_falls_back_to_the_token() -> Result<()> {
    let fake = fake_with_app().await?;
    let both = with_app(&fake, "4712", Some("ghp_right"))?;
    for _ in 0..2 {
        assert_eq!(read_all(&both, REPOSITORY).await?.len(), 1);
    }
    assert_eq!(fake.requests().iter().filter(|request| request.path.starts_with("/app/")).count(), 1);
    let refused = read_all(&with_app(&fake, "4712", None)?, REPOSITORY).await.expect_err("unknown");
    assert_eq!(refused.to_string(), "GitHub refused the GitHub App; GitHub says: Integration not found");
    assert!(refused.advice().is_some_and(|advice| advice.contains("GITHUB_APP_PRIVATE_KEY")));
    Ok(())
}

#[tokio::test]
async fn limits_are_not_reported_as_permissions() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(1));
    for (fault, limit) in [
        (Fault::RateLimited { reset: 4_000_000_000 }, Limit::Primary),
        (Fault::SecondaryLimit { retry_after: 60 }, Limit::Secondary),
        (Fault::SecondaryLimitWithoutHeaders, Limit::Secondary),
        (Fault::TooManyRequests { retry_after: None }, Limit::Secondary),
    ] {
        let github = connect(&fake.url(), None)?;
        fake.fail_next(REPOSITORY, fault.clone());
        let outcome = read_all(&github, REPOSITORY).await;
        let Err(GitHubError::RateLimited { limit: reached, retry_in: Some(_) }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(reached, limit, "{fault:?}");
    }
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
async fn enterprise_requests_go_to_enterprise_paths() -> Result<()> {
    let fake = FakeGitHub::start_as(Layout::EnterpriseServer).await?;
    let pull_requests: Vec<_> = many(150).collect();
    fake.put(pull_requests.clone());
    fake.rename(REPOSITORY, "acme/core");
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    assert_eq!(read_all(&github, REPOSITORY).await?.len(), 150);
    let session = session(&github);
    let names: Vec<_> =
        session.repositories_of("acme").await?.repositories.into_iter().map(|one| one.name.to_string()).collect();
    assert_eq!(names, ["acme/core"]);
    let ids: Vec<String> = pull_requests.iter().map(|one| format!("PR_{}", one.id)).collect();
    let histories = session.histories(&ids).await?;
    assert_eq!((histories.len(), histories.iter().filter(|(_, history)| history.is_ok()).count()), (150, 150));
    assert!(session.token_report().await?.graphql.is_some());
    Ok(())
}

#[tokio::test]
async fn a_tunneled_enterprise_server_is_detected_by_responses() -> Result<()> {
    let fake = FakeGitHub::start_as(Layout::EnterpriseServer).await?;
    let pull_requests: Vec<_> = many(150).collect();
    fake.put(pull_requests.clone());
    let ids: Vec<String> = pull_requests.iter().map(|one| format!("PR_{}", one.id)).collect();
    let site = fake.url().replace("/api/v3", "");
    for asks_graphql_first in [false, true] {
        fake.forget_requests();
        let github = connect(&site, Some(FakeGitHub::TOKEN))?;
        let session = session(&github);
        if asks_graphql_first {
            assert!(session.histories(&ids[..1]).await?[0].1.is_ok());
        }
        assert_eq!(read_all(&github, REPOSITORY).await?.len(), 150);
        // As after a rename, with the name that the server has at the end of the tunnel.
        let id = fake.repository_id(REPOSITORY).context("a repository")?;
        fake.fail_next(REPOSITORY, Fault::RedirectTo(format!("https://ghe.example.com/api/v3/repositories/{id}")));
        assert_eq!(
            session.repository(RepositoryKey::Name(&REPOSITORY.parse()?)).await?.identity.name.as_str(),
            REPOSITORY
        );
        assert!(session.histories(&ids).await?.iter().all(|(_, history)| history.is_ok()));
        assert!(session.token_report().await?.graphql.is_some());
        let requests = fake.requests();
        let paths: Vec<&str> =
            requests.iter().map(|request| request.path.split('?').next().unwrap_or_default()).collect();
        assert_eq!((requests[0].status, paths[1], &requests[1].token), (404, "/api/v3/meta", &None));
        assert!(paths[2..].iter().all(|path| path.starts_with("/api/") && !path.ends_with("/meta")), "{paths:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_local_404_does_not_trigger_layout_detection() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let github = connect(&fake.url(), None)?;
    assert_eq!(
        session(&github).repository(RepositoryKey::Name(&REPOSITORY.parse()?)).await.err(),
        Some(GitHubError::NotFound)
    );
    assert_eq!(fake.requests().len(), 1);
    Ok(())
}

/// A user's repositories: three public ones and two private ones, one of which is shared with bob.
async fn fake_of_a_user() -> Result<FakeGitHub> {
    let fake = FakeGitHub::start().await?;
    fake.add_user(FakeUser::person("alice"));
    let alices = ["alice/one", "alice/two", "alice/three", "alice/shared", "alice/secret"];
    for name in alices.into_iter().chain(["acme/api", "bob/dotfiles"]) {
        fake.add_repository(name);
    }
    fake.make_private("alice/shared", &["bob"]);
    fake.make_private("alice/secret", &[]);
    Ok(fake)
}

async fn names_of(github: &GitHub, owner: &str) -> Result<(Vec<String>, Option<String>)> {
    let budget = WaitBudget { deadline: None, longest_wait: Duration::ZERO };
    let listed = github.session(Some(owner), budget, at("2026-06-15T12:00:00Z")).repositories_of(owner).await?;
    let names = listed.repositories.iter().map(|one| one.name.name().to_owned()).collect();
    Ok((names, listed.incomplete))
}

#[tokio::test]
async fn only_own_tokens_and_apps_list_private_repositories() -> Result<()> {
    let fake = fake_of_a_user().await?;
    let all = ["one", "secret", "shared", "three", "two"];
    fake.set_token_owner(FakeUser::person("alice"));
    let own = connect(&fake.url(), Some("ghp_right"))?;
    assert_eq!(names_of(&own, "alice").await?, (all.map(str::to_owned).to_vec(), None));
    let bobs = connect(&fake.url(), Some("github_pat_bob"))?;
    fake.set_token_owner(FakeUser::person("bob"));
    let (names, reason) = names_of(&bobs, "alice").await?;
    assert_eq!(names, ["one", "shared", "three", "two"]);
    assert!(reason.is_some_and(|reason| reason.starts_with("the token is not alice's")));
    let (names, reason) = names_of(&connect(&fake.url(), None)?, "alice").await?;
    assert_eq!(names, ["one", "three", "two"]);
    assert!(reason.is_some_and(|reason| reason.starts_with("without a token")));
    assert_eq!(names_of(&bobs, "acme").await?, (vec!["api".to_owned()], None));
    fake.require_token("ghp_right");
    fake.install_app("4711", &["alice"]);
    let app = with_app(&fake, "4711", None)?;
    assert_eq!(names_of(&app, "alice").await?, (all.map(str::to_owned).to_vec(), None));
    Ok(())
}

#[tokio::test]
async fn private_repositories_are_listed_across_all_pages() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.add_user(FakeUser::person("alice"));
    fake.set_token_owner(FakeUser::person("alice"));
    for number in 1..=250 {
        fake.make_private(&format!("alice/r{number}"), &[]);
    }
    let own = connect(&fake.url(), Some("ghp_right"))?;
    assert_eq!(names_of(&own, "alice").await?.0.len(), 250);
    // One request to check for an organization, one for the token's account, and three pages.
    assert_eq!(fake.requests().len(), 1 + 1 + 3);
    fake.install_app("4711", &["alice"]);
    assert_eq!(names_of(&with_app(&fake, "4711", None)?, "alice").await?.0.len(), 250);
    Ok(())
}

#[tokio::test]
async fn the_token_never_goes_to_another_host() -> Result<()> {
    let elsewhere = FakeGitHub::start().await?;
    let fake = FakeGitHub::start().await?;
    fake.put(many(150));
    let github = connect(&fake.url(), Some("ghp_right"))?;
    let address = format!("{}/repositories/1/pulls?page=2", elsewhere.url());
    fake.fail_next(REPOSITORY, Fault::RedirectTo(address.clone()));
    let outcome = read_all(&github, REPOSITORY).await;
    assert!(matches!(outcome, Err(GitHubError::CrossHostRedirect { .. })), "{outcome:?}");
    // A link is not followed: it only shows that there are more pages.
    fake.fail_next(REPOSITORY, Fault::NextPageAt(address));
    assert_eq!(read_all(&github, REPOSITORY).await?.len(), 150);
    assert_eq!(elsewhere.requests(), []);
    Ok(())
}

#[tokio::test]
async fn pages_behind_tls_proxies_use_the_configured_address() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put(many(250));
    let github = connect(&fake.url(), Some("ghp_right"))?;
    for address in ["http://ghe.example.com", "http://10.0.0.7:8080/api/v3", "https://ghe-internal"] {
        fake.set_link_address(address);
        assert_eq!(read_all(&github, REPOSITORY).await?.len(), 250, "{address}");
        let session = session(&github);
        let page = session.page_by_creation(&REPOSITORY.parse()?, 100, 2).await?;
        assert_eq!((page.rows(), page.has_next, page.pages_left), (100, true, Some(1)), "{address}");
    }
    Ok(())
}

#[tokio::test]
async fn a_loop_of_pages_ends_the_listing() -> Result<()> {
    for next in [1, 2] {
        let fake = FakeGitHub::start().await?;
        fake.put(many(150));
        let github = connect(&fake.url(), None)?;
        let session = session(&github);
        let repository = REPOSITORY.parse()?;
        let mut pages = session.by_update(&repository, 100, None);
        pages.next().await?;
        // The second page links to the first one, or to itself.
        let address = format!("{}/repos/{REPOSITORY}/pulls?page={next}", fake.url());
        (0..3).for_each(|_| fake.fail_next(REPOSITORY, Fault::NextPageAt(address.clone())));
        let outcome = pages.next().await;
        assert!(matches!(&outcome, Err(GitHubError::InvalidAnswer { reason }) if reason.contains("loop")));
    }
    Ok(())
}

#[tokio::test]
async fn a_row_vanishing_between_pages_hides_none() -> Result<()> {
    for gone in [250, 151, 152, 60] {
        let fake = FakeGitHub::start().await?;
        fake.put(many(250));
        let github = connect(&fake.url(), None)?;
        let (session, repository) = (session(&github), REPOSITORY.parse()?);
        let mut pages = session.by_update(&repository, 100, None);
        let mut numbers = std::collections::BTreeSet::new();
        while let Some(PageAnswer::Page(page)) = pages.next().await? {
            numbers.extend(page.numbers());
            fake.delete_pull_request(REPOSITORY, gone);
        }
        let lost: Vec<i64> = (1..=250).filter(|number| *number != gone && !numbers.contains(number)).collect();
        assert_eq!(lost, Vec::<i64>::new(), "without #{gone}");
        assert!(fake.requests().len() <= 5, "{}", fake.requests().len());
    }
    Ok(())
}

#[tokio::test]
async fn a_resumed_listing_skips_no_row_after_changes() -> Result<()> {
    for (vanished, moved, together) in
        [(0, 0, false), (1, 0, false), (0, 50, false), (120, 3, false), (240, 0, false), (5, 5, true)]
    {
        let fake = FakeGitHub::start().await?;
        let all = |number: i64| {
            let pull_request = many(number).last().expect("one");
            if together { pull_request.updated("2026-06-01T00:00:00Z") } else { pull_request }
        };
        fake.put((1..=400).map(all));
        let github = connect(&fake.url(), None)?;
        let (session, repository) = (session(&github), REPOSITORY.parse()?);
        let mut pages = session.by_update(&repository, 100, None);
        let (mut numbers, mut end) = (std::collections::BTreeSet::new(), None);
        for _ in 0..3 {
            let Some(PageAnswer::Page(page)) = pages.next().await? else { panic!("a page") };
            numbers.extend(page.numbers());
            end = page.end;
        }
        let end = end.context("a position")?;
        assert_eq!(end.rows, 294);
        (401 - vanished..=400).for_each(|number| fake.delete_pull_request(REPOSITORY, number));
        fake.put((1..=moved).map(|number| all(number).updated("2026-12-01T00:00:00Z")));
        let mut pages = session.by_update_after(&repository, 100, &end.cursor);
        while let Some(PageAnswer::Page(page)) = pages.next().await? {
            numbers.extend(page.numbers());
        }
        let lost: Vec<i64> = (moved + 1..=400).filter(|number| !numbers.contains(number)).collect();
        assert_eq!(lost, Vec::<i64>::new(), "{vanished} vanished, {moved} moved, {together}");
    }
    Ok(())
}

#[tokio::test]
async fn an_unreadable_page_splits_to_find_the_row() -> Result<()> {
    for (status, broken) in [(502, 157), (500, 101), (503, 200), (504, 250)] {
        let fake = FakeGitHub::start().await?;
        fake.put(many(250));
        fake.break_pull_request(REPOSITORY, broken, Some(status));
        let github = connect(&fake.url(), None)?;
        let session = session(&github);
        let number = u32::try_from((broken - 1) / 100 + 1)?;
        let page = session.page_by_creation(&REPOSITORY.parse()?, 100, number).await?;
        assert_eq!(page.rows(), if number == 3 { 50 } else { 100 }, "#{broken}");
        assert_eq!((page.has_next, page.smaller), (number < 3, None), "#{broken}");
        let [row] = &page.unreadable[..] else { panic!("{:?}", page.unreadable) };
        assert_eq!(i64::from(row.position), broken);
        assert_eq!(row.after, (broken != 101).then_some(broken - 1), "#{broken}: the previous page is not read");
        assert_eq!(row.before, (broken != 250).then_some(broken + 1), "#{broken}");
        // Three tries of each size; of the smaller sizes the parts that hold it, and the other parts once.
        assert!(fake.requests().len() <= 3 * 5 + 1 + 1 + 4 + 4 + 1, "{}", fake.requests().len());
    }
    Ok(())
}

#[tokio::test]
async fn the_list_length_takes_one_request() -> Result<()> {
    for count in [0, 1, 2, 250] {
        let fake = FakeGitHub::start().await?;
        fake.add_repository(REPOSITORY);
        fake.put(many(count));
        let github = connect(&fake.url(), None)?;
        let length = session(&github).list_length(&REPOSITORY.parse()?).await?;
        assert_eq!(i64::from(length.rows), count);
        assert_eq!(length.newest.is_some(), count > 0);
        assert_eq!(fake.requests().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn foreign_responses_are_errors_not_empty_pages() -> Result<()> {
    for (fault, code) in [
        (Fault::Html, "github_invalid_answer"),
        (Fault::Truncated, "github_truncated"),
        (Fault::TruncatedJson, "github_truncated"),
        (Fault::GzipBomb, "github_too_much"),
        (Fault::Status(502), "github_status"),
        (Fault::BadGatewayHtml, "github_status"),
    ] {
        let fake = FakeGitHub::start().await?;
        fake.put(many(1));
        // One fault for each try, including the parts.
        for _ in 0..100 {
            fake.fail_next(REPOSITORY, fault.clone());
        }
        let outcome = read_all(&connect(&fake.url(), None)?, REPOSITORY).await;
        assert_eq!(outcome.map_err(|error| error.code()), Err(code), "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_closed_port_is_a_transport_error() -> Result<()> {
    let address = { FakeGitHub::start().await?.url() };
    tokio::task::yield_now().await;
    let outcome = read_all(&connect("http://127.0.0.1:1", None)?, REPOSITORY).await;
    assert!(matches!(&outcome, Err(GitHubError::Transport { .. })), "{outcome:?} {address}");
    Ok(())
}

#[tokio::test]
async fn teams_and_members_are_read_to_the_last_page() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let logins: Vec<String> = (0..101).map(|number| format!("p{number}")).collect();
    fake.put_teams((0..101).map(|number| team("acme", &format!("team-{number}")).below("all")));
    fake.put_teams([team("acme", "all").with(logins.iter().map(String::as_str)).with_user(FakeUser::bot("robot"))]);
    let github = connect(&fake.url(), Some("ghp_right"))?;
    let session = session(&github);
    let teams = session.teams_of("acme").await?;
    assert_eq!((teams.len(), teams[0].parent.as_deref(), teams[101].parent.as_deref()), (102, Some("all"), None));
    let members = session.members_of_team("acme", "all").await?;
    assert_eq!((members.len(), members.iter().filter(|member| member.is_person).count()), (102, 101));
    assert_eq!(session.members_of("acme").await?.len(), 101);
    assert_eq!(fake.requests().len(), 6);
    assert_eq!(session.teams_of("p1").await, Err(GitHubError::NotFound));
    fake.put([pr("p1/dotfiles", 1).by("p1")]);
    assert!(matches!(session.owner_kind("p1").await?, Some(Owner::Person(person)) if person.login.as_str() == "p1"));
    assert_eq!(session.owner_kind("acme").await?, Some(Owner::Organization));
    assert_eq!(session.owner_kind("nobody").await?, None);
    Ok(())
}
