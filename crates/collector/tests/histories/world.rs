//! A fake GitHub, a database and the real collector between them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use mergeline_collector::{CollectOptions, RunReport, Sources, collect};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakeDelivery, FakeGitHub, FakeWebhook, at};
use mergeline_github::{GitHub, GitHubSettings};
use mergeline_store::{ApplyOptions, RunState, Writer};
use mergeline_test_support::TestDatabase;

use crate::kill::killed_after;
use crate::model::{Repository, Share, TEAMS, Teams};

pub(crate) const TOKEN: &str = "ghp_canary";
pub(crate) const PEOPLE: [&str; 4] = ["ana", "bob", "cho", "dee"];
/// Longer than a lease.
const LEASE_IS_OVER: TimeDelta = TimeDelta::minutes(11);
/// Small, so that few pull requests make several pages.
const PAGE_SIZE: i16 = 3;
/// Faults are queued by the handful.
const MOST_RUNS: u32 = 40;

pub(crate) struct World {
    pub(crate) fake: FakeGitHub,
    pub(crate) database: TestDatabase,
    pub(crate) pool: sqlx::PgPool,
    pub(crate) store: Writer,
    pub(crate) now: DateTime<Utc>,
    pub(crate) random: Rng,
    pub(crate) repositories: Vec<Repository>,
    pub(crate) teams: Teams,
    /// How many commits and deployments there were.
    pub(crate) last_commit: u64,
    pub(crate) last_deployment: i64,
    /// What sends deliveries, and all that there were: they may come again.
    pub(crate) webhook: FakeWebhook,
    pub(crate) deliveries: Vec<FakeDelivery>,
    /// What happened, for a replay.
    pub(crate) events: Vec<String>,
}

impl World {
    pub(crate) async fn new(seed: u64) -> Result<Self> {
        let fake = FakeGitHub::start().await?;
        fake.require_token(TOKEN);
        let database = TestDatabase::create().await?;
        let store = database.store()?;
        let pool = database.pool().await?;
        let random = Rng::with_seed(seed);
        let (repositories, teams) = (Vec::new(), Teams::default());
        let now = at("2026-03-02T08:00:00Z");
        let (last_commit, last_deployment, events) = (0, 0, Vec::new());
        let mut world = Self {
            fake,
            database,
            pool,
            store,
            now,
            random,
            repositories,
            teams,
            last_commit,
            last_deployment,
            webhook: FakeWebhook::new("", "a secret"),
            deliveries: Vec::new(),
            events,
        };
        world.teams.has_pattern = world.random.bool();
        for name in ["acme/api", "acme/web"] {
            world.fake.add_repository(name);
            if world.random.bool() {
                // Created before any window: its past is read by update.
                world.fake.set_repository_creation(name, at("2001-01-01T00:00:00Z"));
            }
            let id = world.fake.repository_id(name).context("a repository")?;
            let (configured, name) = (name.to_owned(), name.to_owned());
            world.repositories.push(Repository { configured, name, id, ..Repository::default() });
        }
        world.teams.shares.insert("ana", vec![Share { team: TEAMS[0], units: 10_000, from: None, to: None }]);
        world.apply().await?;
        Ok(world)
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.pool.close().await;
        self.store.close().await;
        Ok(())
    }

    pub(crate) fn record(&mut self, what: impl Into<String>) {
        self.events.push(format!("{} {}", self.now.format("%m-%d %H:%M:%S"), what.into()));
    }

    /// Moves time forward by at least a second, so that changes have an order.
    pub(crate) fn tick(&mut self, at_most: TimeDelta) -> DateTime<Utc> {
        let seconds = self.random.i64(1..=at_most.num_seconds().max(1));
        self.now += TimeDelta::seconds(seconds);
        self.now
    }

    pub(crate) fn file(&self) -> Result<TeamsFile> {
        Ok(TeamsFile::parse("teams.yaml", self.teams.text(&self.repositories).as_bytes())?)
    }

    pub(crate) async fn apply(&mut self) -> Result<()> {
        // Usually something is left for the next run.
        let at_once = self.random.u32(0..3);
        let options = ApplyOptions { allow_removals: true, at_once, ..ApplyOptions::default() };
        self.store.apply(&self.file()?, options, self.now).await?;
        Ok(())
    }

    /// A client as in a new sandbox: it does not remember rate limits.
    pub(crate) fn github(&self, concurrency: &str) -> Result<Sources> {
        Ok(self.client(concurrency)?.into())
    }

    pub(crate) fn client(&self, concurrency: &str) -> Result<GitHub> {
        let settings = GitHubSettings::from_vars(|name| match name {
            "GITHUB_API_URL" => Some(self.fake.url()),
            "GITHUB_PAT" => Some(TOKEN.to_owned()),
            "COLLECT_CONCURRENCY" => Some(concurrency.to_owned()),
            _ => None,
        });
        let settings = settings.expect("valid settings").with_pace(Duration::from_micros(100), Duration::from_secs(5));
        Ok(GitHub::connect(&settings)?)
    }

    pub(crate) fn options(&mut self) -> CollectOptions {
        CollectOptions {
            longest_wait: Duration::from_millis(5),
            ..CollectOptions::at_a_terminal(self.now, TimeDelta::days(3_650), self.random.usize(1..=2))
        }
    }

    /// Small pages, except where a backfill already counts its pages.
    pub(crate) async fn shrink_pages(&self) -> Result<()> {
        sqlx::query("update repositories set page_size = $1 where backfill_order is null and page_size > 25")
            .bind(PAGE_SIZE)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// A run that is killed after `polls` polls, if it takes that many.
    pub(crate) async fn run(&mut self, options: CollectOptions, polls: u64) -> Result<Option<RunReport>> {
        self.shrink_pages().await?;
        let concurrency = self.random.usize(1..=3).to_string();
        let github = self.github(&concurrency)?;
        // Its connections end with it, like those of a killed sandbox.
        let store = self.database.store()?;
        let outcome = killed_after(polls, Box::pin(collect(&github, &store, &options, &|_| {}))).await;
        store.close().await;
        Ok(outcome.transpose()?)
    }

    /// Runs until all faults are used up and everything is complete.
    pub(crate) async fn run_quietly(&mut self) -> Result<()> {
        self.apply().await?;
        for repository in &mut self.repositories {
            for number in std::mem::take(&mut repository.unreadable) {
                self.fake.break_pull_request(&repository.name, number, None);
            }
        }
        for _ in 0..MOST_RUNS {
            // After all earlier leases and pauses.
            self.now += TimeDelta::days(3);
            let options = CollectOptions { verifies: true, ..self.options() };
            let report = self.run(options, u64::MAX).await?.context("not killed")?;
            // Details that were unavailable are requested again after a pause and do not fail a run.
            let pending: i64 = sqlx::query_scalar(
                "select count(*) from pull_requests as p inner join repositories as r on p.repository_id = r.id
                where p.detailed_at is distinct from p.updated_at and p.deleted_at is null and r.removed_at is null",
            )
            .fetch_one(&self.pool)
            .await?;
            if report.state == RunState::Succeeded && pending == 0 && !self.has_unread_deliveries().await? {
                return Ok(());
            }
            self.record(format!("not yet: {report}"));
        }
        ensure!(false, "it never became complete");
        Ok(())
    }

    /// Lets leases of killed runs end.
    pub(crate) fn wait_for_leases(&mut self) {
        self.now += LEASE_IS_OVER;
    }
}
