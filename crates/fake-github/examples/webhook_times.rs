//! Measures webhooks with the program at the given path, on a fresh private database: how long a delivery of a merge, or of a
//! deployment, takes until the API shows it, and how long an answer takes at 200 deliveries per second. Fails beyond the limits.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use mergeline_fake_github::{FakeDeploymentStatus, FakeGitCommit, FakeGitHub, FakeWebhook, deployment, pr};
use tokio::time::Instant;

const SECRET: &str = "a secret for measurements";
const TEAMS: &str = "version: 1\nrepositories: [acme/api]\nteams: [{ slug: payments, members: [{ github: ana }] }]\n";
const MERGES: i64 = 200;
const DEPLOYMENTS: i64 = 200;
/// From a delivery to the changed answer, for 95 of 100.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
/// The answer to a delivery, for 99 of 100.
const ANSWERED_WITHIN: Duration = Duration::from_millis(100);
const PER_SECOND: u32 = 200;
const SECONDS: u32 = 20;

/// A program that ends with this one.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // SIGTERM lets it stop its database.
        drop(Command::new("kill").arg(self.0.id().to_string()).status());
        drop(self.0.wait());
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let program = std::env::args().nth(1).context("name the program")?;
    let folder = std::env::temp_dir().join(format!("webhook-times-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("teams.yaml"), TEAMS)?;
    let fake = FakeGitHub::start().await?;
    fake.set_rate_limit(1_000_000_000, 0);
    fake.set_graphql_rate_limit(1_000_000_000, 0);
    fake.put([merged(1)]);
    let command = |args: &[&str]| {
        let mut command = Command::new(&program);
        command
            .args(args)
            .env("TEAMS_FILE", folder.join("teams.yaml"))
            .env("MERGELINE_DATA_DIR", folder.join("data"))
            .env("GITHUB_API_URL", fake.url())
            .env("GITHUB_PAT", FakeGitHub::TOKEN)
            .env("WEBHOOK_SECRETS", format!("{{\"github\": \"{SECRET}\"}}"))
            .env_remove("DB_URL")
            .env_remove("API_KEY")
            .stderr(Stdio::null());
        command
    };
    ensure!(command(&["collect"]).stdout(Stdio::null()).status()?.success(), "the first collection failed");
    let mut serving = Serving(command(&["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?);
    let stdout = serving.0.stdout.take().context("its output")?;
    let mut lines = BufReader::new(stdout).lines();
    let first = lines.next().context("it said nothing")??;
    let address = first.split_whitespace().find(|word| word.starts_with("http://")).context("no address")?;
    // That of the page.
    let address = address.split_once("/v1/").map_or(address, |(origin, _)| origin).to_owned();
    // What it says later is not read, but must not block it.
    std::thread::spawn(move || lines.for_each(drop));

    let webhook = Arc::new(FakeWebhook::new(&format!("{address}/v1/webhook/github"), SECRET));
    let mut shown = Vec::new();
    for number in 2..=MERGES + 1 {
        fake.put([merged(number)]);
        let event = fake.event("acme/api", "closed", Some(("pull_request", &format!("pulls/{number}")))).await?;
        let delivery = webhook.delivery("pull_request", &event);
        let started = Instant::now();
        let status = webhook.send(&delivery).await?;
        ensure!(status == 202, "a delivery was answered {status}");
        while number_at(&address, MERGED).await? < number {
            ensure!(started.elapsed() < Duration::from_secs(120), "#{number} was never shown");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shown.push(started.elapsed());
    }
    print_times("merge: delivery to changed answer", &mut shown);
    ensure!(percentile(&shown, 95) <= SHOWN_WITHIN, "more than one in twenty merges took longer than {SHOWN_WITHIN:?}");

    let mut shown = Vec::new();
    for number in 1..=DEPLOYMENTS {
        let id = deployed(&fake, number);
        let event = fake.deployment_status_event("acme/api", id, 0).await?;
        let delivery = webhook.delivery("deployment_status", &event);
        let started = Instant::now();
        let status = webhook.send(&delivery).await?;
        ensure!(status == 202, "a delivery was answered {status}");
        while number_at(&address, DEPLOYED).await? < number {
            ensure!(started.elapsed() < Duration::from_secs(120), "deployment {number} was never shown");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        shown.push(started.elapsed());
    }
    print_times("deployment: delivery to changed answer", &mut shown);
    ensure!(
        percentile(&shown, 95) <= SHOWN_WITHIN,
        "more than one in twenty deployments took longer than {SHOWN_WITHIN:?}"
    );

    let event = fake.event("acme/api", "edited", Some(("pull_request", "pulls/1"))).await?;
    let started = Instant::now();
    let mut sent = Vec::new();
    for number in 0..PER_SECOND * SECONDS {
        tokio::time::sleep_until(started + Duration::from_secs(1) / PER_SECOND * number).await;
        let (webhook, delivery) = (webhook.clone(), webhook.delivery("pull_request", &event));
        sent.push(tokio::spawn(async move {
            let started = Instant::now();
            let status = webhook.send(&delivery).await;
            (status, started.elapsed())
        }));
    }
    let mut answered = Vec::new();
    for task in sent {
        let (status, time) = task.await?;
        let status = status?;
        ensure!(status == 202, "a delivery was answered {status}");
        answered.push(time);
    }
    print_times(&format!("answer at {PER_SECOND} deliveries per second"), &mut answered);
    ensure!(
        percentile(&answered, 99) <= ANSWERED_WITHIN,
        "more than one in a hundred answers took longer than {ANSWERED_WITHIN:?}"
    );
    drop(serving);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// The time that this many of a hundred do not exceed; of sorted times.
fn percentile(times: &[Duration], percent: usize) -> Duration {
    times[(times.len() - 1) * percent / 100]
}

#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
fn print_times(what: &str, times: &mut [Duration]) {
    times.sort();
    let at = |percent: usize| percentile(times, percent).as_secs_f64() * 1000.0;
    println!("{what}: {} times, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms", times.len(), at(50), at(95), at(99));
}

/// Deploys the same commit to production now. Returns the id of the deployment.
fn deployed(fake: &FakeGitHub, number: i64) -> i64 {
    let now = DateTime::<Utc>::from(SystemTime::now());
    let oid = format!("{:040x}", 1);
    let commit = FakeGitCommit { oid: oid.clone(), parents: Vec::new(), committed_at: now - TimeDelta::days(1) };
    fake.put_commits("acme/api", [commit]);
    let mut one = deployment("acme/api", number, &oid, "2026-01-01T00:00:00Z");
    let state = "success".to_owned();
    (one.created_at, one.statuses) = (now, vec![FakeDeploymentStatus { state, created_at: now, environment: None }]);
    let id = one.id;
    fake.put_deployments([one]);
    id
}

/// A pull request that was merged yesterday, and changed now.
fn merged(number: i64) -> mergeline_fake_github::FakePullRequest {
    let now = DateTime::<Utc>::from(SystemTime::now());
    let mut made = pr("acme/api", number);
    made.created_at = now - TimeDelta::days(1);
    let mut made = made.merged_at_instant(now - TimeDelta::hours(20));
    made.updated_at = now;
    made
}

/// How many pull requests of the team are merged, and how many deployments succeeded: the path, and where its answer says it.
const MERGED: (&str, &str) = ("team/payments/velocity", "/data/total/prs_merged");
const DEPLOYED: (&str, &str) = ("dora", "/data/total/deployment_frequency/n");

/// A number of the API's answer.
async fn number_at(address: &str, (path, pointer): (&str, &str)) -> Result<i64> {
    let url = format!("{address}/v1/metrics/{path}");
    let output = tokio::process::Command::new("curl").args(["-sS", &url]).output().await?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    answer.pointer(pointer).and_then(serde_json::Value::as_i64).with_context(|| format!("{path} has no {pointer}"))
}
