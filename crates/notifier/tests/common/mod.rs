//! A team whose history is known, channels at fakes of their services, and a clock that the test sets.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::messages::{ChannelEntry, MessageKind};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_domain::{ChannelId, Details};
use mergeline_fake_github::{FakePullRequest, at};
use mergeline_notifier::{Delivered, NotifySettings, Sender, deliver, due, plan};
use mergeline_store::{ApplyOptions, LeaseOutcome, MessageKey, PlannedMessage, WithoutDetails, Writer};
use mergeline_test_support::{FakeChannels, TestDatabase, eight_weeks, finish_reading, keep};
use serde_json::{Value, json};
use sqlx::PgPool;

/// A Wednesday.
pub(crate) const NOW: &str = "2026-06-17T12:00:00Z";
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) const TEAMS: &str = "
version: 1
timezone: Europe/Oslo
repositories: [acme/api]
teams:
  - { slug: payments, name: Payments, members: [{ github: ana }, { github: bob, weight: 0.5 }] }
  - { slug: platform, name: Platform, members: [{ github: bob, weight: 0.5 }] }
";

thread_local! {
    static CLOCK: Cell<i64> = const { Cell::new(0) };
}

/// The time of the test's thread.
pub(crate) fn clock() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(CLOCK.get()).unwrap_or_default()
}

pub(crate) fn set_clock(now: DateTime<Utc>) {
    CLOCK.set(now.timestamp_millis());
}

pub(crate) fn pass(time: TimeDelta) {
    set_clock(clock() + time);
}

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) store: Writer,
    pub(crate) pool: PgPool,
    pub(crate) fake: FakeChannels,
    pub(crate) sender: Sender,
    pub(crate) settings: NotifySettings,
}

impl World {
    /// With these channels and goals, as lines of the teams file. Each channel has an address at the fake of its service.
    pub(crate) async fn with(lines: &str) -> Result<Self> {
        set_clock(at(NOW));
        let database = TestDatabase::create().await?;
        let (store, pool) = (database.store()?, database.pool().await?);
        let fake = FakeChannels::start().await?;
        let file = TeamsFile::parse("teams.yaml", format!("{TEAMS}{lines}").as_bytes())?;
        store.apply(&file, ApplyOptions::default(), at("2026-06-01T00:00:00Z")).await?;
        let sender = sender(&fake, &file.channels, &[])?;
        let page = Some("https://mergeline.example.com/v1/app/".to_owned());
        let settings = NotifySettings { page, collect_every_hours: 4 };
        Ok(Self { database, store, pool, fake, sender, settings })
    }

    /// The same with eight weeks of pull requests, read until four hours before [`NOW`].
    pub(crate) async fn with_history(lines: &str) -> Result<Self> {
        let world = Self::with(lines).await?;
        let titled = |it: FakePullRequest| if it.number == 101 { it.titled("Pay by card <!channel>") } else { it };
        let all: Vec<FakePullRequest> = eight_weeks().into_iter().map(titled).collect();
        keep(&world.store, &all).await?;
        let ready: Vec<(WithoutDetails, Details)> = all.iter().map(details).collect();
        let (revision, _) = world.store.roster().await?.context("configured")?;
        let snapshot = world.store.snapshot().await?.context("configured")?;
        let lease = world.store.lease(snapshot.repositories[0].id, clock(), Duration::ZERO).await?;
        let (lease, _) = lease.context("free")?;
        world.store.store_details(&lease, revision, &ready, clock()).await?;
        world.store.release(&lease, LeaseOutcome::Succeeded, None, clock()).await?;
        let started_at = at("2026-06-17T08:00:00Z");
        finish_reading(&world.store, Some(started_at), started_at, at("2026-01-01T00:00:00Z")).await?;
        Ok(world)
    }

    /// Applies the teams file with other lines.
    pub(crate) async fn apply(&self, lines: &str) -> Result<()> {
        let file = TeamsFile::parse("teams.yaml", format!("{TEAMS}{lines}").as_bytes())?;
        self.store.apply(&file, ApplyOptions::default(), clock()).await?;
        Ok(())
    }

    pub(crate) async fn channel(&self, id: &str) -> Result<ChannelEntry> {
        let channels = self.store.channels().await?;
        channels.into_iter().find(|it| it.id.as_str() == id).ok_or_else(|| anyhow::anyhow!("no channel {id}"))
    }

    /// Writes messages to a channel without judging anything.
    pub(crate) async fn say(&self, channel: &str, messages: &[(MessageKind, &str)]) -> Result<()> {
        let id: ChannelId = channel.parse()?;
        let planned: Vec<PlannedMessage> =
            messages.iter().map(|(kind, subject)| planned(&id, *kind, subject, clock())).collect();
        self.store.plan_messages(&planned, clock()).await?;
        Ok(())
    }

    pub(crate) async fn deliver(&self, channel: &str) -> Result<Delivered> {
        Ok(Box::pin(deliver(&self.store, &self.sender, &self.channel(channel).await?, clock)).await?)
    }

    /// Judges what there is to say, and sends what is due.
    pub(crate) async fn notify(&self) -> Result<Vec<String>> {
        Box::pin(plan(&self.store, &self.settings, clock())).await?;
        let mut problems = Vec::new();
        for channel in due(&self.store, clock()).await? {
            problems.extend(Box::pin(deliver(&self.store, &self.sender, &channel, clock)).await?.problems);
        }
        Ok(problems)
    }

    /// The subject and state of each message of a channel.
    pub(crate) async fn states(&self, channel: &str) -> Result<Vec<(String, String)>> {
        let sql = "select subject, state from messages where channel = $1 order by id";
        Ok(sqlx::query_as(sql).bind(channel).fetch_all(&self.pool).await?)
    }
}

pub(crate) fn planned(channel: &ChannelId, kind: MessageKind, subject: &str, due_at: DateTime<Utc>) -> PlannedMessage {
    let key = MessageKey { channel: channel.clone(), kind, subject: subject.to_owned(), period: "2026-W24".to_owned() };
    let section = json!({ "heading": "Numbers", "lines": [{ "link": null, "text": subject }], "left_out": 0 });
    let content = json!({
        "title": "Payments", "summary": format!("About {subject}."), "sections": [section], "link": null, "footer": "Data as of today.",
    });
    PlannedMessage { key, content, due_at }
}

/// The way to channels at the fakes, with further variables.
pub(crate) fn sender(fake: &FakeChannels, channels: &[ChannelEntry], variables: &[(&str, &str)]) -> Result<Sender> {
    let mut addresses = serde_json::Map::new();
    for channel in channels {
        let url = fake.url(&channel.kind.to_string(), channel.id.as_str());
        let address = match channel.kind.to_string().as_str() {
            "webhook" => json!({ "url": url, "secret": SECRET }),
            "email" => json!({ "to": ["Leads <leads@example.com>", "ops@example.com"] }),
            _ => json!(url),
        };
        addresses.insert(channel.id.to_string(), address);
    }
    let addresses = Value::Object(addresses).to_string();
    let lookup = |name: &str| match name {
        "CHANNELS" => Some(addresses.clone()),
        "CHANNEL_HOSTS" => Some(fake.host().to_owned()),
        name => variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned()),
    };
    Ok(Sender::from_vars(lookup, None)?)
}

/// What is read after a pull request: it was ready for review when it was opened.
fn details(pull_request: &FakePullRequest) -> (WithoutDetails, Details) {
    let facts = pull_request.facts();
    let node_id = facts.node_id.unwrap_or_default();
    let wanted = WithoutDetails { node_id, number: facts.number, updated_at: facts.updated_at };
    (wanted, Details { ready_at: Some(pull_request.created_at), ..Details::default() })
}
