//! The collector's cloud environment: its secrets, its queues, Lambda's poller.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mergeline_aws::{Aws, Message, Queue};
use mergeline_fake_github::FakeGitHub;
use mergeline_local_postgres::Server;
use mergeline_test_support::{AwsEmulator, EmulatedQueue, Invocation, LambdaRuntime, TestDatabase};
use serde_json::{Value, json};
use sqlx::PgPool;

/// Part of every secret. It must not appear in any output.
pub(crate) const CANARY: &str = "canary";
pub(crate) const TOKEN: &str = "ghp_canary";
/// How many messages Lambda delivers at once.
pub(crate) const BATCH: u8 = 5;
/// More batches than any test needs.
const MAX_BATCHES: usize = 50;
const TEAMS: &str = r#"[{"slug": "payments", "members": [{"github_username": "ana", "allocation_weight": 0.5}]}]"#;

pub(crate) struct Cloud {
    pub(crate) aws: AwsEmulator,
    pub(crate) fake: FakeGitHub,
    pub(crate) database: TestDatabase,
    pub(crate) queue: EmulatedQueue,
    pub(crate) token_arn: String,
    /// The variables that the template sets, changed as a test needs.
    pub(crate) environment: HashMap<&'static str, String>,
    pub(crate) work: Queue,
    pub(crate) dead_letters: Queue,
}

/// A sandbox and its responses.
pub(crate) struct Sandbox {
    pub(crate) runtime: LambdaRuntime,
    answers: String,
}

/// The outcome of a batch.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) outcome: Invocation,
    /// The bodies of the messages that were returned.
    pub(crate) back: Vec<String>,
    pub(crate) messages: usize,
}

impl Cloud {
    /// A deployment for these repositories, none of which exists yet.
    pub(crate) async fn new(repositories: &[&str]) -> Result<Self> {
        let aws = AwsEmulator::start().await?;
        let fake = FakeGitHub::start().await?;
        fake.require_token(TOKEN);
        let database = TestDatabase::create().await?;
        let token_arn = aws.create_secret("token", Some(TOKEN)).await?;
        let database_arn = aws.create_secret("database", Some(&with_password(database.url()))).await?;
        let queue = aws.create_queue("work", 5).await?;
        let mut environment = aws.environment();
        environment.extend([
            ("DB_URL_SECRET_ARN", database_arn),
            ("GITHUB_TOKEN_SECRET_ARN", token_arn.clone()),
            ("WORK_QUEUE_URL", queue.url.clone()),
            ("DEAD_LETTER_QUEUE_URL", queue.dead_letters_url.clone()),
            ("METRICS_NAMESPACE", "Mergeline".to_owned()),
            ("GITHUB_API_URL", fake.url()),
            ("TEAM_CONFIG_JSON", TEAMS.to_owned()),
            ("REPOSITORIES", repositories.join(",")),
            ("BACKFILL_DAYS", "3650".to_owned()),
        ]);
        let client = Aws::from_vars(|name| environment.get(name).cloned()).await;
        let (work, dead_letters) = (client.queue(&queue.url), client.queue(&queue.dead_letters_url));
        Ok(Self { aws, fake, database, queue, token_arn, environment, work, dead_letters })
    }

    /// A deployment without queues: one invocation does a whole run.
    pub(crate) async fn without_queues(repositories: &[&str]) -> Result<Self> {
        let mut cloud = Self::new(repositories).await?;
        cloud.environment.retain(|name, _| !name.ends_with("QUEUE_URL"));
        Ok(cloud)
    }

    /// A client of this cloud.
    pub(crate) async fn client(&self) -> Aws {
        Aws::from_vars(|name| self.environment.get(name).cloned()).await
    }

    /// A cold sandbox.
    pub(crate) async fn sandbox(&self) -> Result<Sandbox> {
        let runtime = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_collector")), &self.environment).await?;
        Ok(Sandbox { runtime, answers: String::new() })
    }

    /// Polls once, as Lambda does: receives up to `most` messages, invokes the function with them, and deletes those
    /// that are not returned. `None` when there are no messages.
    pub(crate) async fn poll(&self, sandbox: &mut Sandbox, most: u8) -> Result<Option<Batch>> {
        let messages = self.work.receive(most).await?;
        if messages.is_empty() {
            return Ok(None);
        }
        let outcome = sandbox.invoke(event(&messages)?).await?;
        let is_returned = |index: usize| match &outcome {
            Invocation::Answer(answer) => failures(answer).any(|id| id == message_id(index)),
            Invocation::Error(_) => true,
        };
        let mut back = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            if is_returned(index) {
                back.push(message.body.clone());
            } else {
                self.work.delete(&message.receipt_handle).await?;
            }
        }
        Ok(Some(Batch { outcome, back, messages: messages.len() }))
    }

    /// Polls until there is nothing to receive. Does not wait for hidden messages.
    pub(crate) async fn drain_queue(&self, sandbox: &mut Sandbox) -> Result<Vec<Batch>> {
        let mut batches = Vec::new();
        while let Some(batch) = self.poll(sandbox, BATCH).await? {
            if let Invocation::Error(error) = &batch.outcome {
                bail!("the batch failed: {error}");
            }
            batches.push(batch);
            ensure!(batches.len() < MAX_BATCHES, "the queue does not drain");
        }
        Ok(batches)
    }

    /// Plans a run and processes its messages.
    pub(crate) async fn collect(&self, sandbox: &mut Sandbox) -> Result<()> {
        sandbox.answer(schedule()?).await?;
        self.drain_queue(sandbox).await?;
        Ok(())
    }

    /// The bodies in the work queue, including hidden messages.
    pub(crate) async fn queued(&self) -> Result<Vec<Value>> {
        bodies(&self.aws, &self.queue.url).await
    }

    pub(crate) async fn dead(&self) -> Result<Vec<Value>> {
        bodies(&self.aws, &self.queue.dead_letters_url).await
    }

    /// Every metrics row of the collected pull requests, sorted by its text.
    pub(crate) async fn rows(&self) -> Result<Vec<String>> {
        let pool = self.database.pool().await?;
        let sql = "select (to_jsonb(m) - 'pull_request_id')::text from pr_metrics as m
            union all select 'watermark ' || name || ' ' || coalesce(watermark::text, 'none') from repositories order by 1";
        Ok(sqlx::query_scalar(sql).fetch_all(&pool).await?)
    }

    /// The state of the last run, `running` until it ends.
    pub(crate) async fn run_state(&self) -> Result<String> {
        let pool = self.database.pool().await?;
        let sql = "select state from collection_runs order by id desc limit 1";
        Ok(sqlx::query_scalar(sql).fetch_one(&pool).await?)
    }

    /// State and code of each repository in the last run.
    pub(crate) async fn results(&self) -> Result<BTreeMap<String, (String, Option<String>)>> {
        let pool = self.database.pool().await?;
        let sql = "select r.name, c.state, c.error_code from collection_results as c
            join repositories as r on r.id = c.repository_id
            where c.run_id = (select max(id) from collection_runs)";
        let rows: Vec<(String, String, Option<String>)> = sqlx::query_as(sql).fetch_all(&pool).await?;
        Ok(rows.into_iter().map(|(name, state, code)| (name, (state, code))).collect())
    }

    /// A numeric column of the ledger, summed over the last run.
    pub(crate) async fn ledger(&self, column: &'static str) -> Result<i64> {
        let pool = self.database.pool().await?;
        let sql = "select coalesce(sum((to_jsonb(c) ->> $1)::bigint), 0)::bigint from collection_results as c
            where c.run_id = (select max(id) from collection_runs)";
        Ok(sqlx::query_scalar(sql).bind(column).fetch_one(&pool).await?)
    }

    /// The values of a metric in `CloudWatch`, one per invocation.
    pub(crate) async fn metric(&self, name: &str) -> Result<Vec<f64>> {
        let metrics = self.aws.metrics().await?;
        Ok(metrics.into_iter().filter(|metric| metric.name == name).map(|metric| metric.value).collect())
    }

    /// How often GitHub refused the token.
    pub(crate) fn refusals(&self) -> usize {
        self.fake.requests().iter().filter(|request| request.status == 401).count()
    }

    /// Ends a sandbox, checks all of its output for secrets, and returns the lines of the log.
    pub(crate) async fn end(&self, sandbox: Sandbox) -> Result<Vec<Value>> {
        let Sandbox { runtime, answers } = sandbox;
        let log = runtime.stop().await?;
        let pool = self.database.pool().await?;
        let sql = "select coalesce(string_agg(line, e'\n'), '') from (
            select r::text as line from collection_runs as r union all select c::text from collection_results as c
        ) as ledger";
        let ledger: String = sqlx::query_scalar(sql).fetch_one(&pool).await?;
        let letters = format!("{:?} {:?}", self.queued().await?, self.dead().await?);
        for text in [&log, &answers, &ledger, &letters] {
            ensure!(!text.contains(CANARY), "a secret is shown: {text}");
        }
        log.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))).collect()
    }
}

impl Sandbox {
    pub(crate) async fn invoke(&mut self, event: Value) -> Result<Invocation> {
        let outcome = self.runtime.invoke(event).await?;
        writeln!(self.answers, "{outcome:?}")?;
        Ok(outcome)
    }

    /// The response to an event that must not fail.
    pub(crate) async fn answer(&mut self, event: Value) -> Result<Value> {
        match self.invoke(event).await? {
            Invocation::Answer(answer) => Ok(answer),
            Invocation::Error(error) => bail!("the invocation failed: {error}"),
        }
    }

    /// The code of an invocation that must fail.
    pub(crate) async fn error(&mut self, event: Value) -> Result<String> {
        match self.invoke(event).await? {
            Invocation::Answer(answer) => bail!("the invocation succeeded: {answer}"),
            Invocation::Error(error) => Ok(error["errorType"].as_str().context("no errorType")?.to_owned()),
        }
    }
}

pub(crate) fn schedule() -> Result<Value> {
    Ok(serde_json::from_str(include_str!("../../../../infra/events/schedule.json"))?)
}

/// The event that Lambda builds from messages.
pub(crate) fn event(messages: &[Message]) -> Result<Value> {
    let example: Value = serde_json::from_str(include_str!("../../../../infra/events/work.json"))?;
    let record = |(index, message): (usize, &Message)| {
        let mut record = example["Records"][0].clone();
        record["messageId"] = message_id(index).into();
        record["receiptHandle"] = message.receipt_handle.as_str().into();
        record["body"] = message.body.as_str().into();
        record["attributes"]["ApproximateReceiveCount"] = message.receives.to_string().into();
        if let Some(traceparent) = &message.traceparent {
            record["messageAttributes"]["traceparent"] = json!({ "stringValue": traceparent, "dataType": "String" });
        }
        record
    };
    let records: Vec<Value> = messages.iter().enumerate().map(record).collect();
    Ok(json!({ "Records": records }))
}

fn message_id(index: usize) -> String {
    format!("00000000-0000-4000-9000-{index:012}")
}

fn failures(answer: &Value) -> impl Iterator<Item = &str> {
    let failures = answer["batchItemFailures"].as_array().map_or(&[][..], Vec::as_slice);
    failures.iter().filter_map(|failure| failure["itemIdentifier"].as_str())
}

async fn bodies(aws: &AwsEmulator, url: &str) -> Result<Vec<Value>> {
    let messages = aws.messages(url).await?;
    let read = |body: &str| serde_json::from_str(body).unwrap_or_else(|_| body.into());
    Ok(messages.iter().map(|message| read(&message.body)).collect())
}

/// A private server that requires a password from `collector`, `writer` and `reader`, the first of which exists, and the URL of a database on it, with `{}` for the
/// password.
pub(crate) async fn server_with_passwords() -> Result<(Server, PgPool, String)> {
    let server = tokio::task::spawn_blocking(Server::throwaway).await??;
    let pool = PgPool::connect(&server.superuser_url("postgres")).await?;
    for step in [
        "create role collector login createrole password 'canary-1'",
        "create database numbers owner collector",
        "create table rules as values ('local all collector,writer,reader scram-sha-256'), ('local all all trust')",
        "do $$ begin execute format('copy rules to %L', current_setting('hba_file')); end $$",
        "select pg_reload_conf()",
    ] {
        sqlx::raw_sql(step).execute(&pool).await?;
    }
    let url = server.url("numbers").replacen("mergeline_private@", "collector:{}@", 1);
    // The server reloads its rules asynchronously.
    let are_in_force = async { while PgPool::connect(&url.replace("{}", "wrong")).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), are_in_force).await?;
    Ok((server, pool, url))
}

/// Adds a password to the URL. The private server does not require one and accepts any.
fn with_password(url: &str) -> String {
    url.replacen("postgres://mergeline_private@", "postgres://mergeline_private:canary@", 1)
}

/// The lines of the log at a level.
pub(crate) fn at_level<'a>(log: &'a [Value], level: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line["level"] == level).collect()
}
