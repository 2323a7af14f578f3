//! Deployments, their states and commits.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use mergeline_domain::delivery::DeploymentOutcome;
use mergeline_fake_github::{FakeDeployment, FakeGitCommit, FakeGitHub, Fault, at, deployment};
use mergeline_github::{DeploymentPages, GitHubError, GitHubSession};
use mergeline_source::{CommitRecord, DeploymentPage, DeploymentPageAnswer, ListedDeployment};

use crate::REPOSITORY;
use crate::common::{connect, session};

const SUCCEEDED_AT: &str = "2026-06-01T10:05:00Z";

fn sha(number: i64) -> String {
    format!("{number:040x}")
}

fn succeeded(number: i64) -> FakeDeployment {
    deployment(REPOSITORY, number, &sha(number), "2026-06-01T10:00:00Z").status("success", SUCCEEDED_AT)
}

/// All pages of a listing.
async fn all(mut pages: DeploymentPages<'_>) -> Result<Vec<DeploymentPage>, GitHubError> {
    let mut all = Vec::new();
    while let Some(DeploymentPageAnswer::Page(page)) = pages.next().await? {
        all.push(page);
    }
    Ok(all)
}

async fn listed(session: &GitHubSession) -> Result<Vec<ListedDeployment>> {
    let pages = all(session.deployments(&REPOSITORY.parse()?, None)).await?;
    Ok(pages.into_iter().flat_map(|page| page.deployments).collect())
}

async fn states_ids(session: &GitHubSession) -> Result<Vec<String>> {
    Ok(listed(session).await?.into_iter().map(|it| it.states_id).collect())
}

/// The numbers of deployments, counted from the numbers of today.
fn numbers<'a>(deployments: impl IntoIterator<Item = &'a ListedDeployment>) -> Vec<i64> {
    let number = |it: &ListedDeployment| it.id.as_str().parse::<i64>().map_or(0, |id| id - 5_000_000_000);
    deployments.into_iter().map(number).collect()
}

/// This many commits in a line, oldest first, an hour apart.
fn line(count: i64) -> impl Iterator<Item = FakeGitCommit> {
    (1..=count).map(|number| FakeGitCommit {
        oid: sha(number),
        parents: (number > 1).then(|| sha(number - 1)).into_iter().collect(),
        committed_at: at("2026-01-01T00:00:00Z") + chrono::TimeDelta::hours(number),
    })
}

async fn history(session: &GitHubSession, from: i64) -> Result<Vec<CommitRecord>> {
    let mut pages = session.commits(&REPOSITORY.parse()?, &sha(from).parse()?, None);
    let mut all = Vec::new();
    while let Some(page) = pages.next().await? {
        all.extend(page.commits);
    }
    Ok(all)
}

#[tokio::test]
async fn all_deployments_are_read_newest_first() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_deployments((1..=250).map(succeeded));
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let found = listed(&session(&github)).await?;
    assert_eq!(numbers(&found), (1..=250).rev().collect::<Vec<_>>());
    assert_eq!(fake.requests().len(), 3);
    Ok(())
}

#[tokio::test]
async fn deleting_while_reading_skips_no_deployment() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_deployments((1..=250).map(succeeded));
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let session = session(&github);
    let mut pages = session.deployments(&REPOSITORY.parse()?, None);
    let mut found = Vec::new();
    while let Some(DeploymentPageAnswer::Page(page)) = pages.next().await? {
        // A workflow cleans up the newest ones.
        for it in numbers(&page.deployments).into_iter().take(7) {
            fake.delete_deployment(REPOSITORY, 5_000_000_000 + it);
        }
        found.extend(page.deployments);
    }
    assert_eq!(numbers(&found), (1..=250).rev().collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn new_deployments_while_reading_repeat_none() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_deployments((1..=150).map(succeeded));
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let (session, repository) = (session(&github), REPOSITORY.parse()?);
    let mut pages = session.deployments(&repository, None);
    let Some(DeploymentPageAnswer::Page(first)) = pages.next().await? else { panic!("a page") };
    let later = |number| deployment(REPOSITORY, number, &sha(number), "2026-07-01T00:00:00Z");
    fake.put_deployments((151..=400).map(later));
    let rest = all(pages).await?;
    let found: Vec<_> = first.deployments.iter().chain(rest.iter().flat_map(|page| &page.deployments)).collect();
    let old = numbers(found.into_iter().filter(|it| it.created_at < at("2026-07-01T00:00:00Z")));
    assert_eq!(old, (1..=150).rev().collect::<Vec<_>>());
    // So does a later run that resumes.
    let cursor = first.end.context("a cursor")?;
    let resumed = all(session.deployments_after(&repository, &cursor)).await?;
    let resumed = numbers(resumed.iter().flat_map(|page| &page.deployments));
    assert!((1..=50).all(|number| resumed.contains(&number)), "{resumed:?}");
    Ok(())
}

#[tokio::test]
async fn unchanged_deployments_are_a_free_304() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_deployments([succeeded(1)]);
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let (session, repository) = (session(&github), REPOSITORY.parse()?);
    let first = all(session.deployments(&repository, None)).await?;
    let etag = first.into_iter().next().and_then(|page| page.etag);
    assert!(etag.is_some());
    let remaining = session.usage().rate_limit_remaining;
    let again = session.deployments(&repository, etag.clone()).next().await?;
    assert_eq!(again, Some(DeploymentPageAnswer::Unchanged));
    assert_eq!(session.usage().rate_limit_remaining, remaining);
    // An ETag of another token is not even sent.
    let other = connect(&fake.url(), Some("ghp_other"))?;
    let answer = crate::common::session(&other).deployments(&repository, etag.clone()).next().await?;
    assert!(matches!(answer, Some(DeploymentPageAnswer::Page(_))));
    assert_eq!(fake.requests().last().and_then(|request| request.etag.clone()), None);
    fake.put_deployments([succeeded(2)]);
    let changed = session.deployments(&repository, etag).next().await?;
    assert!(matches!(changed, Some(DeploymentPageAnswer::Page(page)) if page.deployments.len() == 2));
    Ok(())
}

#[tokio::test]
async fn later_deployment_does_not_change_an_outcome() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let later = deployment(REPOSITORY, 2, &sha(2), "2026-06-02T10:00:00Z").status("success", "2026-06-02T10:05:00Z");
    fake.put_deployments([succeeded(1), later]);
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let session = session(&github);
    let ids = states_ids(&session).await?;
    let mut outcomes = BTreeMap::new();
    for (id, states) in session.deployment_states(&ids).await? {
        let states: Vec<_> = states?.into_iter().map(|listed| listed.state).collect();
        outcomes.insert(id, (states.len(), DeploymentOutcome::of(&states).succeeded_at()));
    }
    // The first one has become inactive since.
    let expected = [
        ("DE_5000000001".to_owned(), (2, Some(at(SUCCEEDED_AT)))),
        ("DE_5000000002".to_owned(), (1, Some(at("2026-06-02T10:05:00Z")))),
    ];
    assert_eq!(outcomes, BTreeMap::from(expected));
    Ok(())
}

#[tokio::test]
async fn flags_and_short_commits_are_distinguished() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let preview =
        deployment(REPOSITORY, 2, "fa123e2", "2026-06-02T10:00:00Z").to("preview").flagged(Some(false), Some(true));
    fake.put_deployments([succeeded(1), preview]);
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let listed = listed(&session(&github)).await?;
    let found: Vec<_> = listed
        .iter()
        .map(|it| (it.environment.as_str(), it.commit.is_some(), it.is_production, it.is_transient))
        .collect();
    assert_eq!(found, [("preview", false, Some(false), true), ("production", true, None, false)]);
    Ok(())
}

#[tokio::test]
async fn missing_permission_is_not_an_empty_list() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_deployments([succeeded(1)]);
    fake.hide_deployments(REPOSITORY, true);
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let refused = session(&github).deployments(&REPOSITORY.parse()?, None).next().await;
    assert_eq!(refused, Err(GitHubError::NotFound));
    Ok(())
}

#[tokio::test]
async fn many_states_of_a_deployment_are_all_read() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let mut long = succeeded(1);
    for minute in 10..50 {
        long = long.status("in_progress", &format!("2026-06-01T10:{minute}:00Z"));
    }
    fake.put_deployments([long]);
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let session = session(&github);
    let ids = states_ids(&session).await?;
    let states = session.deployment_states(&ids).await?.pop().context("a deployment")?.1?;
    assert_eq!(states.len(), 41);
    Ok(())
}

#[tokio::test]
async fn history_is_read_to_its_end_with_parents() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_commits(REPOSITORY, line(230));
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let session = session(&github);
    let read = history(&session, 230).await?;
    let numbers: Vec<String> = read.iter().map(|commit| commit.oid.to_string()).collect();
    assert_eq!(numbers, (1..=230).rev().map(sha).collect::<Vec<_>>());
    let first = &read[0];
    assert_eq!(first.parents, [(sha(229).parse()?, at("2026-01-01T00:00:00Z") + chrono::TimeDelta::hours(229))]);
    assert!(read[229].parents.is_empty());
    assert_eq!(fake.requests().len(), 3);
    Ok(())
}

#[tokio::test]
async fn merge_of_many_branches_keeps_all_its_parents() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let branches =
        (1..=12).map(|number| FakeGitCommit { parents: Vec::new(), ..line(number).last().expect("a commit") });
    fake.put_commits(REPOSITORY, branches);
    let parents = (1..=12).map(sha).collect();
    fake.put_commits(REPOSITORY, [FakeGitCommit { oid: sha(13), parents, committed_at: at("2026-02-01T00:00:00Z") }]);
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let read = history(&session(&github), 13).await?;
    assert_eq!(read[0].parents.len(), 12);
    Ok(())
}

#[tokio::test]
async fn history_that_takes_too_long_comes_in_smaller_pages() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_commits(REPOSITORY, line(60));
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    // Each size is tried three times.
    for _ in 0..6 {
        fake.fail_next_graphql(Fault::Status(502));
    }
    let read = history(&session(&github), 60).await?;
    assert_eq!(read.len(), 60);
    let size = |body: Option<String>| -> Option<i64> {
        serde_json::from_str::<serde_json::Value>(&body?).ok()?["variables"]["first"].as_i64()
    };
    let sizes: Vec<i64> = fake.requests().into_iter().filter_map(|request| size(request.body)).collect();
    assert_eq!(sizes, [100, 100, 100, 50, 50, 50, 25, 25, 25], "the size that works is kept");
    Ok(())
}

#[tokio::test]
async fn vanished_commit_has_no_history() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_commits(REPOSITORY, line(2));
    fake.remove_commit(REPOSITORY, &sha(2));
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let found = session(&github).commits(&REPOSITORY.parse()?, &sha(2).parse()?, None).next().await?;
    assert_eq!(found, None);
    Ok(())
}

#[tokio::test]
async fn withheld_commits_mean_a_missing_permission() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_commits(REPOSITORY, line(2));
    fake.withhold_commits();
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let refused = session(&github).commits(&REPOSITORY.parse()?, &sha(2).parse()?, None).next().await;
    assert_eq!(refused.map_err(|error| error.code()), Err("github_insufficient_permission"));
    Ok(())
}

#[tokio::test]
async fn announced_page_that_is_empty_is_no_end() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_deployments((1..=150).map(succeeded));
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let session = session(&github);
    let mut pages = session.deployments(&REPOSITORY.parse()?, None);
    assert!(pages.next().await?.is_some());
    for _ in 0..3 {
        fake.fail_next(REPOSITORY, Fault::EmptyList);
    }
    let refused = pages.next().await;
    assert_eq!(refused.map_err(|error| error.code()), Err("github_invalid_answer"));
    Ok(())
}

#[tokio::test]
async fn deployments_that_are_too_large_come_in_smaller_pages() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_deployments((1..=120).map(succeeded));
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    for _ in 0..3 {
        fake.fail_next(REPOSITORY, Fault::Status(502));
    }
    assert_eq!(numbers(&listed(&session(&github)).await?), (1..=120).rev().collect::<Vec<_>>());
    assert!(fake.requests().iter().any(|request| request.path.contains("per_page=50")));
    Ok(())
}

#[tokio::test]
async fn commits_of_a_missing_repository_are_not_found() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let refused = session(&github).commits(&"acme/none".parse()?, &sha(1).parse()?, None).next().await;
    assert_eq!(refused, Err(GitHubError::NotFound));
    Ok(())
}

#[tokio::test]
async fn history_whose_pages_form_a_loop_is_refused() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put_commits(REPOSITORY, line(250));
    fake.repeat_cursors();
    let github = connect(&fake.url(), Some(FakeGitHub::TOKEN))?;
    let refused = history(&session(&github), 250).await.expect_err("a loop");
    assert!(refused.to_string().contains("loop"), "{refused}");
    Ok(())
}
