//! Serves a fake GitHub until Ctrl-C, for trying programs by hand and for benchmarks.
//!
//! Without arguments it serves the demo's organization. With `REPOSITORIES PULL_REQUESTS LATENCY_MS BODY_BYTES` it
//! serves this many repositories with this many pull requests each. The pull requests are by `ana` and changed in the
//! last day. Each SIGUSR1 changes the first one of each repository.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use mergeline_fake_github::{FakeGitHub, FakePullRequest, pr, synthetic};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
async fn main() -> Result<()> {
    let now = DateTime::<Utc>::from(SystemTime::now());
    let numbers: Vec<u32> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let fake = FakeGitHub::start().await?;
    if let [repositories, pull_requests, latency, body] = numbers[..] {
        for repository in 0..repositories {
            fake.put((1..=i64::from(pull_requests)).map(|number| {
                let mut made = pr(&format!("acme/repo-{repository}"), number).with_body(body as usize);
                made.created_at = now - TimeDelta::days(1);
                let step = TimeDelta::hours(19) / i32::try_from(pull_requests).unwrap_or(i32::MAX);
                made.merged_at_instant(now - TimeDelta::hours(20) + step * i32::try_from(number).unwrap_or(i32::MAX))
            }));
        }
        // A benchmark sends more requests than GitHub allows in an hour.
        fake.set_rate_limit(1_000_000_000, 0);
        fake.set_graphql_rate_limit(1_000_000_000, 0);
        fake.set_latency(Duration::from_millis(latency.into()));
    } else {
        let organization = synthetic::organization(now);
        fake.put_organization(&organization);
        fake.break_repository(organization.lost_repository, Some(404));
        std::fs::write("fake-teams.yaml", organization.teams_file).context("cannot write fake-teams.yaml")?;
        println!("export TEAMS_FILE=$PWD/fake-teams.yaml");
    }
    println!("export GITHUB_PAT={}", FakeGitHub::TOKEN);
    println!("export GITHUB_API_URL={}", fake.url());
    let mut signals = signal(SignalKind::user_defined1())?;
    loop {
        signals.recv().await;
        let changed_at = DateTime::<Utc>::from(SystemTime::now());
        for repository in 0..numbers.first().copied().unwrap_or_default() {
            let mut changed = pr(&format!("acme/repo-{repository}"), 1).with_body(300).titled("Changed");
            changed.created_at = now - TimeDelta::days(1);
            fake.put([FakePullRequest {
                updated_at: changed_at,
                ..changed.merged_at_instant(now - TimeDelta::hours(20))
            }]);
        }
    }
}
