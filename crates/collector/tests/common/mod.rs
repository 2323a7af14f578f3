//! A fake GitHub, a database and the real collector between them.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use mergeline_collector::{CollectError, CollectOptions, Progress, RunReport, Sources, collect};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakeGitHub, FakePullRequest, Fault, Layout, at, pr};
use mergeline_github::{GitHub, GitHubSettings};
use mergeline_store::{ApplyOptions, ResultState, Writer};
use mergeline_test_support::TestDatabase;

pub(crate) const NOW: &str = "2026-06-15T12:00:00Z";
pub(crate) const ANA: &str = "{ slug: payments, members: [{ github: ana }] }";

pub(crate) struct World {
    pub(crate) fake: FakeGitHub,
    pub(crate) database: TestDatabase,
    pub(crate) store: Writer,
    pub(crate) github: Sources,
}

/// Captures the log of this thread while it lives.
pub(crate) struct Log {
    file: tempfile::NamedTempFile,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Log {
    pub(crate) fn start() -> Result<Self> {
        let file = tempfile::NamedTempFile::new()?;
        let logs = tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(file.reopen()?)).finish();
        Ok(Self { file, _guard: tracing::subscriber::set_default(logs) })
    }

    pub(crate) fn text(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.file.path())?)
    }
}

/// What a run did to a repository, and why.
pub(crate) type Outcome = (String, ResultState, Option<&'static str>);

impl World {
    /// A configured, empty world: `acme/api` and `acme/web`, with ana in payments.
    pub(crate) async fn new() -> Result<Self> {
        let world = Self::unconfigured().await?;
        world.apply(ANA).await?;
        Ok(world)
    }

    /// The same with `count` pull requests of ana in `acme/api`, on pages of three.
    pub(crate) async fn on_small_pages(count: i64) -> Result<Self> {
        let world = Self::new().await?;
        world.fake.put(many(count));
        world.set_page_size(3).await?;
        Ok(world)
    }

    pub(crate) async fn unconfigured() -> Result<Self> {
        Self::unconfigured_on(Layout::Cloud).await
    }

    /// The same on a GitHub with this layout.
    pub(crate) async fn unconfigured_on(layout: Layout) -> Result<Self> {
        let fake = FakeGitHub::start_as(layout).await?;
        fake.require_token("ghp_canary");
        fake.add_repository("acme/api");
        fake.add_repository("acme/web");
        let github = connect(&fake.url())?;
        let database = TestDatabase::create().await?;
        let store = database.store()?;
        Ok(Self { fake, database, store, github })
    }

    pub(crate) async fn apply(&self, teams: &str) -> Result<()> {
        self.apply_to("acme/api, acme/web", teams).await
    }

    pub(crate) async fn apply_to(&self, repositories: &str, teams: &str) -> Result<()> {
        self.store.apply(&teams_file(repositories, teams)?, ApplyOptions::default(), at(NOW)).await?;
        Ok(())
    }

    /// A client as in another sandbox: it does not remember rate limits.
    pub(crate) fn another_github(&self) -> Result<Sources> {
        connect(&self.fake.url())
    }

    pub(crate) async fn collect_at(&self, now: DateTime<Utc>, concurrency: usize) -> Result<RunReport, CollectError> {
        let options = CollectOptions::at_a_terminal(now, TimeDelta::days(180), concurrency);
        let options = CollectOptions { deployments: false, ..options };
        collect(&self.github, &self.store, &options, &|_| {}).await
    }

    pub(crate) async fn collect(&self) -> Result<RunReport> {
        Ok(self.collect_at(at(NOW), 1).await?)
    }

    /// A run by another sandbox.
    pub(crate) async fn collect_elsewhere(&self, options: &CollectOptions) -> Result<RunReport> {
        let (github, store) = (self.another_github()?, self.database.store()?);
        let report = collect(&github, &store, options, &|_| {}).await?;
        store.close().await;
        Ok(report)
    }

    /// A run that calls `after` after each page with the number of pages stored so far.
    pub(crate) async fn collect_and(
        &self,
        options: &CollectOptions,
        after: impl Fn(usize) + Send + Sync,
    ) -> Result<RunReport, CollectError> {
        self.collect_with(&self.github, options, after).await
    }

    pub(crate) async fn collect_with(
        &self,
        github: &Sources,
        options: &CollectOptions,
        after: impl Fn(usize) + Send + Sync,
    ) -> Result<RunReport, CollectError> {
        let pages = AtomicUsize::new(0);
        let observer = |progress: Progress<'_>| {
            if let Progress::Page { .. } = progress {
                after(pages.fetch_add(1, Ordering::Relaxed) + 1);
            }
        };
        collect(github, &self.store, options, &observer).await
    }

    /// Makes the next `times` answers about `acme/api` fail.
    pub(crate) fn fail(&self, times: usize, fault: &Fault) {
        for _ in 0..times {
            self.fake.fail_next("acme/api", fault.clone());
        }
    }

    pub(crate) async fn numbers(&self) -> Result<Vec<i64>> {
        let pool = self.database.pool().await?;
        Ok(sqlx::query_scalar("select number from pull_requests order by number").fetch_all(&pool).await?)
    }

    pub(crate) async fn watermarks(&self) -> Result<HashMap<String, Option<DateTime<Utc>>>> {
        let snapshot = self.store.snapshot().await?.context("configured")?;
        Ok(snapshot.repositories.into_iter().map(|r| (r.name.to_string(), r.progress.watermark)).collect())
    }

    /// Runs a query that returns one number.
    pub(crate) async fn number(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(&self.database.pool().await?).await?)
    }

    /// Runs a query that returns texts.
    pub(crate) async fn texts(&self, query: &'static str) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(query).fetch_all(&self.database.pool().await?).await?)
    }

    /// Changes the database behind the collector's back.
    pub(crate) async fn execute(&self, statements: &'static str) -> Result<()> {
        sqlx::raw_sql(statements).execute(&self.database.pool().await?).await?;
        Ok(())
    }

    pub(crate) async fn set_page_size(&self, page_size: i16) -> Result<()> {
        let pool = self.database.pool().await?;
        sqlx::query("update repositories set page_size = $1").bind(page_size).execute(&pool).await?;
        Ok(())
    }

    /// The paths and queries of requests about a repository, renamed or not.
    pub(crate) fn asked_about(&self, repository: &str) -> Vec<String> {
        let by_id = self.fake.repository_id(repository).map(|id| format!("/repositories/{id}/"));
        let by_name = format!("/repos/{repository}/");
        let concerns =
            |path: &String| path.starts_with(&by_name) || by_id.as_ref().is_some_and(|prefix| path.starts_with(prefix));
        self.fake.requests().into_iter().map(|request| request.path).filter(concerns).collect()
    }
}

pub(crate) fn teams_file(repositories: &str, teams: &str) -> Result<TeamsFile> {
    let text = format!("version: 1\nrepositories: [{repositories}]\nteams: [{teams}]\n");
    Ok(TeamsFile::parse("teams.yaml", text.as_bytes())?)
}

pub(crate) fn connect(url: &str) -> Result<Sources> {
    connect_with(url, Some("ghp_canary"))
}

pub(crate) fn connect_with(url: &str, token: Option<&str>) -> Result<Sources> {
    connect_at_once(url, token, 1)
}

/// A client with up to `concurrency` requests at a time.
pub(crate) fn connect_at_once(url: &str, token: Option<&str>, concurrency: usize) -> Result<Sources> {
    let settings = GitHubSettings::from_vars(|name| match name {
        "GITHUB_API_URL" => Some(url.to_owned()),
        "GITHUB_PAT" => token.map(str::to_owned),
        "COLLECT_CONCURRENCY" => Some(concurrency.to_string()),
        _ => None,
    });
    let settings = settings.expect("valid settings");
    Ok(GitHub::connect(&settings.with_pace(Duration::from_millis(1), Duration::from_secs(5)))?.into())
}

/// Options of a run at [`NOW`] that does not wait for rate limits, and reads no deployments: tests of pull requests count
/// requests.
pub(crate) fn options() -> CollectOptions {
    options_at(at(NOW))
}

pub(crate) fn options_at(now: DateTime<Utc>) -> CollectOptions {
    let options = CollectOptions::at_a_terminal(now, TimeDelta::days(180), 1);
    CollectOptions { longest_wait: Duration::from_millis(50), deployments: false, ..options }
}

/// What a run did to each repository.
pub(crate) fn outcomes(report: &RunReport) -> Vec<Outcome> {
    let outcome = |report: &mergeline_collector::RepositoryReport| {
        let code = report.result.reason.as_ref().map(|reason| reason.code);
        (report.repository.to_string(), report.result.state, code)
    };
    report.repositories.iter().map(outcome).collect()
}

/// What a run did to one repository.
pub(crate) fn outcome(report: &RunReport, repository: &str) -> (ResultState, Option<&'static str>) {
    let found = outcomes(report).into_iter().find(|(name, ..)| name == repository);
    found.map_or_else(|| panic!("{repository} is not in the report"), |(_, state, code)| (state, code))
}

pub(crate) fn merged(number: i64) -> FakePullRequest {
    pr("acme/api", number).created("2026-06-01T09:00:00Z").merged("2026-06-02T10:00:00Z")
}

/// `count` pull requests of ana, each updated a minute after the previous one.
pub(crate) fn many(count: i64) -> impl Iterator<Item = FakePullRequest> {
    (1..=count).map(|number| {
        let mut pull_request = merged(number);
        pull_request.updated_at += TimeDelta::minutes(number);
        pull_request
    })
}
