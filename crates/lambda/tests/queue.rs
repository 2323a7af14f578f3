//! The collector in the cloud: a schedule event plans, then Lambda's poller delivers the work message by message.

mod cloud;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use chrono::TimeDelta;
use cloud::{BATCH, CANARY, Cloud, TOKEN, at_level, event, schedule};
use mergeline_fake_github::{FakePullRequest, Fault, pr};
use mergeline_test_support::{AwsFault, AwsService, FakeChannels, FakeOtlp, Invocation};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};

/// Requests per failing call.
const ATTEMPTS: u32 = 3;
const THREE: [&str; 3] = ["acme/api", "acme/web", "acme/ios"];

fn merged(repository: &str, number: i64) -> FakePullRequest {
    pr(repository, number)
        .created("2026-06-01T09:00:00Z")
        .merged("2026-06-02T10:00:00Z")
        .approved_by("bob", "2026-06-02T08:00:00Z")
}

/// Three repositories, each with a pull request by ana.
async fn three() -> Result<Cloud> {
    let cloud = Cloud::new(&THREE).await?;
    cloud.fake.put((1..).zip(THREE).map(|(number, repository)| merged(repository, number)));
    Ok(cloud)
}

fn names(bodies: &[Value]) -> BTreeSet<&str> {
    bodies.iter().filter_map(|body| body["name"].as_str()).collect()
}

#[tokio::test]
async fn schedule_event_queues_due_repositories_without_calling_github() -> Result<()> {
    let cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    let answer = sandbox.answer(schedule()?).await?;
    assert_eq!(answer, json!({ "action": "plan", "run": 1, "queued": 3, "problems": [] }));
    assert_eq!(names(&cloud.queued().await?), BTreeSet::from(THREE));
    assert_eq!(cloud.aws.requests("SendMessageBatch").await?, 1);
    assert_eq!(cloud.fake.requests(), []);
    assert_eq!(cloud.run_state().await?, "running");
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn queued_and_single_process_runs_store_equal_rows() -> Result<()> {
    let queued = three().await?;
    let mut sandbox = queued.sandbox().await?;
    queued.collect(&mut sandbox).await?;
    assert_eq!((queued.run_state().await?.as_str(), queued.queued().await?), ("succeeded", vec![]));
    let alone = Cloud::without_queues(&THREE).await?;
    alone.fake.put((1..).zip(THREE).map(|(number, repository)| merged(repository, number)));
    let mut other = alone.sandbox().await?;
    assert_eq!(other.answer(schedule()?).await?["state"], json!("succeeded"));
    assert_eq!(queued.rows().await?, alone.rows().await?);
    for column in ["listed", "kept", "changed", "enriched"] {
        assert_eq!(queued.ledger(column).await?, 3, "{column}");
        assert_eq!(alone.ledger(column).await?, 3, "{column}");
    }
    queued.end(sandbox).await?;
    alone.end(other).await?;
    Ok(())
}

#[tokio::test]
async fn a_missing_repository_makes_the_run_partial() -> Result<()> {
    let cloud = Cloud::new(&["acme/api", "acme/gone"]).await?;
    cloud.fake.put([merged("acme/api", 1)]);
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.run_state().await?, "partial");
    let gone = ("failed".to_owned(), Some("repo_not_accessible".to_owned()));
    assert_eq!(cloud.results().await?["acme/gone"], gone);
    assert_eq!((cloud.queued().await?, cloud.dead().await?), (vec![], vec![]), "waiting does not fix it");
    // Reported when the next run starts. That run skips the paused repository.
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.metric("RunsPartial").await?, [0.0, 1.0]);
    assert_eq!(cloud.metric("RunsFailed").await?, [0.0, 0.0]);
    assert_eq!(cloud.metric("RunsCompleted").await?, [0.0, 1.0, 0.0, 1.0], "a partial run counts as completed too");
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f01_work_messages_delivered_twice_change_nothing() -> Result<()> {
    let cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    let batch = event(&cloud.work.receive(BATCH).await?)?;
    let all_done = json!({ "batchItemFailures": [] });
    assert_eq!(sandbox.answer(batch.clone()).await?, all_done);
    let digest = cloud.database.digest().await?;
    assert_eq!(sandbox.answer(batch).await?, all_done);
    assert_eq!(cloud.database.digest().await?, digest);
    assert_eq!(cloud.run_state().await?, "succeeded");
    assert_eq!(cloud.results().await?.len(), 3);
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f01_a_schedule_event_delivered_twice_changes_nothing() -> Result<()> {
    let cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    let digest = cloud.database.digest().await?;
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.database.digest().await?, digest);
    assert_eq!(cloud.run_state().await?, "succeeded");
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f50_bad_messages_become_dead_letters_after_five_receives() -> Result<()> {
    let cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    let unreadable = "{\"run\": 1".to_owned();
    let unknown_run = json!({ "run": 999_999, "repository": 1, "name": "acme/api" });
    cloud.work.send(&[unreadable.clone(), unknown_run.to_string()]).await?;
    let batch = cloud.poll(&mut sandbox, BATCH).await?.context("a batch")?;
    assert_eq!((batch.messages, batch.back), (5, vec![unreadable.clone(), unknown_run.to_string()]));
    assert_eq!(cloud.run_state().await?, "succeeded");
    for _ in 2..=5 {
        assert_eq!(cloud.dead().await?, [json!(null); 0]);
        cloud.aws.release(&cloud.queue.url).await?;
        cloud.drain_queue(&mut sandbox).await?;
    }
    let dead = cloud.dead().await?;
    assert_eq!(dead[0], json!(unreadable));
    assert_eq!((&dead[1]["run"], &dead[1]["code"]), (&json!(999_999), &json!("db_error")));
    assert_eq!(cloud.queued().await?, [json!(null); 0]);
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f50_a_bad_message_about_a_change_becomes_a_dead_letter_of_its_own_queue() -> Result<()> {
    let mut cloud = three().await?;
    let changes = cloud.aws.create_queue("changes", 5).await?;
    cloud.environment.insert("CHANGES_QUEUE_URL", changes.url.clone());
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    let queue = cloud.client().await.queue(&changes.url);
    let unreadable = "{\"kind\": \"read\"".to_owned();
    queue.send(std::slice::from_ref(&unreadable)).await?;
    for receives in 1..=5 {
        cloud.aws.release(&changes.url).await?;
        let received = queue.receive(10).await?;
        assert_eq!(received.len(), 1, "receive {receives}");
        let mut batch = event(&received)?;
        batch["Records"][0]["eventSourceARN"] = json!("arn:aws:sqs:eu-north-1:123456789012:changes");
        let outcome = sandbox.answer(batch).await?;
        assert_eq!(outcome["batchItemFailures"].as_array().map(Vec::len), Some(1), "{outcome}");
    }
    let left = cloud.aws.messages(&changes.url).await?;
    assert_eq!(left.iter().map(|it| (it.receives, it.hidden_seconds > 0.0)).collect::<Vec<_>>(), [(5, false)]);
    assert_eq!(queue.receive(10).await?.len(), 0, "the queue itself gives it up");
    let dead = cloud.aws.messages(&changes.dead_letters_url).await?;
    assert_eq!(dead.iter().map(|it| it.body.as_str()).collect::<Vec<_>>(), [unreadable]);
    assert_eq!((cloud.dead().await?, cloud.queued().await?), (vec![], vec![]));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn messages_are_judged_queued_by_channel_and_sent_once() -> Result<()> {
    let mut cloud = Cloud::new(&["acme/api"]).await?;
    cloud.fake.put([pr("acme/api", 1).created("2026-06-01T09:00:00Z")]);
    let chats = FakeChannels::start().await?;
    let folder = tempfile::tempdir()?;
    let teams = folder.path().join("teams.yaml");
    std::fs::write(
        &teams,
        "version: 1
repositories: [acme/api]
teams: [{ slug: payments, name: Payments, members: [{ github: ana }] }]
goals: [{ id: nothing-open, form: limit, open: 0 }]
channels:
  - { id: chat, kind: slack, kinds: [agreement, operations] }
  - { id: leads, kind: email, kinds: [agreement] }
  - { id: nowhere, kind: discord, kinds: [change] }
",
    )?;
    let messages = cloud.aws.create_queue("messages", 5).await?;
    let chat = format!("{}?key={CANARY}", chats.url("slack", "chat"));
    let addresses = json!({ "chat": chat, "leads": { "to": [format!("{CANARY}@example.com")] } }).to_string();
    let channels = cloud.aws.create_secret("channels", Some(&addresses)).await?;
    for name in ["TEAM_CONFIG_JSON", "REPOSITORIES"] {
        cloud.environment.remove(name);
    }
    cloud.environment.extend([
        ("TEAMS_FILE", teams.display().to_string()),
        ("MESSAGES_QUEUE_URL", messages.url.clone()),
        ("CHANNELS_SECRET_ARN", channels),
        ("CHANNEL_HOSTS", chats.host().to_owned()),
        ("MAIL_FROM", "mergeline@example.com".to_owned()),
    ]);
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    let doctor = sandbox.answer(json!({ "action": "doctor" })).await?;
    let states: Vec<String> = doctor["checks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|check| check["name"].as_str().is_some_and(|name| name.starts_with("channel ")))
        .map(|check| format!("{} {}", check["name"], check["state"]).replace('"', ""))
        .collect();
    assert_eq!(states, ["channel chat ok", "channel leads ok", "channel nowhere error"], "{doctor}");
    let notify = json!({ "action": "notify" });
    let planned = sandbox.answer(notify.clone()).await?;
    assert_eq!(planned, json!({ "action": "notify", "added": 2, "dropped": 0, "channels": ["chat", "leads"] }));
    let queue = cloud.client().await.queue(&messages.url);
    let queued = queue.receive(10).await?;
    let bodies: BTreeSet<&str> = queued.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(
        bodies,
        [r#"{"version":1,"kind":"send","channel":"chat"}"#, r#"{"version":1,"kind":"send","channel":"leads"}"#].into()
    );
    // SES has not verified the sender yet: that channel is off, and the operators hear of it.
    for message in &queued {
        let answer = sandbox.answer(event(std::slice::from_ref(message))?).await?;
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }
    assert_eq!(chats.got("chat").len(), 1);
    assert!(chats.got("chat")[0].body.contains("1 are open, 0 at most were agreed"), "{:?}", chats.got("chat"));
    assert_eq!(cloud.aws.mails().await?.len(), 0);
    // Delivered twice, a message of the queue leads to nothing.
    sandbox.answer(event(&queued)?).await?;
    assert_eq!(chats.got("chat").len(), 1);
    let off: Vec<String> = sqlx::query_scalar("select channel || ': ' || problem from message_channels")
        .fetch_all(&cloud.database.pool().await?)
        .await?;
    assert!(off.len() == 1 && off[0].starts_with("leads: SES does not let it be sent"), "{off:?}");
    // An hour later, with a verified sender.
    cloud.aws.verify_sender("mergeline@example.com").await?;
    let pool = cloud.database.pool().await?;
    for step in ["delete from message_channels", "delete from message_plans"] {
        sqlx::raw_sql(step).execute(&pool).await?;
    }
    let planned = sandbox.answer(notify.clone()).await?;
    assert_eq!(planned["channels"], json!(["leads"]), "{planned}");
    let queued = queue.receive(10).await?;
    sandbox.answer(event(&queued[queued.len() - 1..])?).await?;
    let mails = cloud.aws.mails().await?;
    assert!(mails.len() == 1 && mails[0].contains("1 are open, 0 at most were agreed"), "{mails:?}");
    assert_eq!(cloud.metric("RunsCompleted").await?.len(), 2, "looking for messages is no run");
    let kept: Vec<String> = sqlx::query_scalar("select m::text from messages as m").fetch_all(&pool).await?;
    assert!(!format!("{kept:?} {off:?}").contains(CANARY), "{kept:?} {off:?}");
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f08_a_failing_repository_becomes_a_replayable_dead_letter() -> Result<()> {
    let cloud = three().await?;
    // Unlike 502, not retried within a request: this test looks at the queue's retries.
    cloud.fake.break_repository("acme/web", Some(422));
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.run_state().await?, "partial", "the others are done");
    for receives in 1..5 {
        let left = cloud.aws.messages(&cloud.queue.url).await?;
        assert_eq!((left.len(), left[0].receives), (1, receives));
        assert!(left[0].hidden_seconds > 50.0 * f64::from(1 << (receives - 1)), "{left:?}");
        cloud.aws.release(&cloud.queue.url).await?;
        cloud.drain_queue(&mut sandbox).await?;
    }
    let dead = cloud.dead().await?;
    let letter = json!({
        "version": 1, "kind": "collect", "run": 1, "repository": dead[0]["repository"], "name": "acme/web",
        "code": "github_status", "cause": "GitHub answered with status 422", "receives": 5,
    });
    assert_eq!((cloud.queued().await?, &dead), (vec![], &vec![letter]));
    cloud.fake.break_repository("acme/web", None);
    let replayed = mergeline_lambda::replay(&cloud.work, &cloud.dead_letters, |_| {}).await?;
    assert_eq!((replayed, cloud.dead().await?), (1, vec![]));
    cloud.drain_queue(&mut sandbox).await?;
    assert_eq!(cloud.run_state().await?, "succeeded");
    assert_eq!(cloud.ledger("kept").await?, 3);
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f08_messages_from_a_crashed_worker_can_be_replayed() -> Result<()> {
    let cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    for _ in 0..=5 {
        cloud.work.receive(BATCH).await?;
        cloud.aws.release(&cloud.queue.url).await?;
    }
    assert_eq!(names(&cloud.dead().await?), BTreeSet::from(THREE), "the queue moved them");
    assert_eq!(mergeline_lambda::replay(&cloud.work, &cloud.dead_letters, |_| {}).await?, 3);
    cloud.drain_queue(&mut sandbox).await?;
    assert_eq!((cloud.run_state().await?.as_str(), cloud.ledger("kept").await?), ("succeeded", 3));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f11_rate_limits_hide_the_message_until_the_reset() -> Result<()> {
    let cloud = Cloud::new(&["acme/api"]).await?;
    cloud.fake.put([merged("acme/api", 1)]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    cloud.fake.fail_next("acme/api", Fault::RateLimited { reset: now + 2_400 });
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    let left = cloud.aws.messages(&cloud.queue.url).await?;
    assert!((2_200.0..2_500.0).contains(&left[0].hidden_seconds), "{left:?}");
    let deferred = ("deferred".to_owned(), Some("github_rate_limited".to_owned()));
    assert_eq!(cloud.results().await?["acme/api"], deferred);
    // No requests while the limit lasts. The fifth receive leaves the work to the next run.
    for _ in 2..=5 {
        cloud.aws.release(&cloud.queue.url).await?;
        cloud.drain_queue(&mut sandbox).await?;
    }
    assert_eq!(cloud.fake.requests().len(), 1);
    assert_eq!((cloud.queued().await?, cloud.dead().await?), (vec![], vec![]));
    assert_eq!(cloud.run_state().await?, "deferred");
    let pool = cloud.database.pool().await?;
    let failures: i32 = sqlx::query_scalar("select failures from repositories").fetch_one(&pool).await?;
    assert_eq!(failures, 0);
    // Another sandbox and the next run also know about the limit.
    let mut later = cloud.sandbox().await?;
    cloud.collect(&mut later).await?;
    assert_eq!((cloud.run_state().await?.as_str(), cloud.fake.requests().len()), ("deferred", 1));
    // Forty minutes later, in a cold sandbox.
    sqlx::raw_sql("update rate_limit_blocks set blocked_until = now() - interval '1 second'").execute(&pool).await?;
    cloud.end(later).await?;
    cloud.aws.release(&cloud.queue.url).await?;
    let mut later = cloud.sandbox().await?;
    cloud.collect(&mut later).await?;
    // Either run's message may have collected it.
    let stored: i64 = sqlx::query_scalar("select count(*) from pull_requests").fetch_one(&pool).await?;
    assert_eq!((cloud.run_state().await?.as_str(), stored), ("succeeded", 1));
    cloud.end(sandbox).await?;
    cloud.end(later).await?;
    Ok(())
}

/// Eight pages, which take longer than the shortest invocation below.
fn with_eight_pages(mut cloud: Cloud) -> Cloud {
    cloud.fake.put((1..=800).map(|number| {
        let mut pull_request = merged("acme/api", number);
        pull_request.updated_at += TimeDelta::minutes(number);
        pull_request
    }));
    cloud.fake.set_latency(Duration::from_millis(120));
    cloud.environment.insert("COLLECT_DETAILS", "false".to_owned());
    cloud
}

#[tokio::test]
async fn f06_timed_out_work_resumes_in_a_fresh_message() -> Result<()> {
    let cloud = with_eight_pages(Cloud::new(&["acme/api"]).await?);
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    let planned = cloud.queued().await?;
    sandbox.runtime.set_time(Duration::from_secs(1));
    let batch = cloud.poll(&mut sandbox, BATCH).await?.context("a batch")?;
    assert_eq!(batch.back, [""; 0]);
    let left = cloud.aws.messages(&cloud.queue.url).await?;
    assert_eq!((left[0].receives, left[0].hidden_seconds), (0, 0.0));
    assert_eq!(cloud.queued().await?, planned);
    assert_eq!(cloud.run_state().await?, "deferred");
    sandbox.runtime.set_time(Duration::from_secs(60));
    cloud.drain_queue(&mut sandbox).await?;
    assert_eq!((cloud.run_state().await?.as_str(), cloud.queued().await?), ("succeeded", vec![]));
    assert_eq!((cloud.ledger("changed").await?, cloud.ledger("listed").await?), (800, 800));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f06_a_timed_out_batch_loses_no_messages() -> Result<()> {
    let names: Vec<String> = (1..=5).map(|number| format!("acme/many-{number}")).collect();
    let mut cloud = Cloud::new(&names.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    cloud.fake.put((1..).zip(&names).map(|(number, name)| merged(name, number)));
    cloud.fake.set_latency(Duration::from_millis(400));
    cloud.environment.insert("COLLECT_DETAILS", "false".to_owned());
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    sandbox.runtime.set_time(Duration::from_secs(1));
    let batch = cloud.poll(&mut sandbox, BATCH).await?.context("a batch")?;
    assert_eq!((batch.messages, batch.back), (5, vec![]));
    let fresh = cloud.aws.messages(&cloud.queue.url).await?;
    assert!(!fresh.is_empty() && fresh.iter().all(|message| message.receives == 0), "{fresh:?}");
    sandbox.runtime.set_time(Duration::from_secs(60));
    cloud.drain_queue(&mut sandbox).await?;
    assert_eq!((cloud.run_state().await?.as_str(), cloud.ledger("kept").await?), ("succeeded", 5));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f06_a_single_process_run_resumes_after_a_timeout() -> Result<()> {
    let cloud = with_eight_pages(Cloud::without_queues(&["acme/api"]).await?);
    let mut sandbox = cloud.sandbox().await?;
    sandbox.runtime.set_time(Duration::from_secs(1));
    let first = sandbox.answer(schedule()?).await?;
    assert_eq!(
        (&first["state"], &first["repositories"][0]["reason"]["code"]),
        (&json!("deferred"), &json!("out_of_time"))
    );
    sandbox.runtime.set_time(Duration::from_secs(60));
    let second = sandbox.answer(schedule()?).await?;
    assert_eq!(second["state"], json!("succeeded"));
    let changed = |report: &Value| report["repositories"][0]["changed"].as_i64().unwrap_or_default();
    assert_eq!(changed(&first) + changed(&second), 800);
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f18_a_refused_token_is_tried_only_once() -> Result<()> {
    let cloud = three().await?;
    cloud.fake.require_token("ghp_another");
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    // Two invocations: the second knows from the first.
    for most in [2, 1] {
        let batch = cloud.poll(&mut sandbox, most).await?.context("a batch")?;
        assert_eq!(batch.outcome, Invocation::Answer(json!({ "batchItemFailures": [] })));
    }
    assert_eq!((cloud.refusals(), cloud.fake.requests().len()), (1, 1));
    assert_eq!(cloud.aws.requests("GetSecretValue").await?, 2 + 2, "once at the start, once after the refusal");
    let results = cloud.results().await?;
    assert_eq!(results.len(), 3);
    for (name, (_, code)) in results {
        assert_eq!(code.as_deref(), Some("github_unauthorized"), "{name}");
    }
    assert_eq!(cloud.metric("TokenRefused").await?, [0.0, 1.0, 1.0]);
    assert_eq!((cloud.queued().await?, cloud.dead().await?), (vec![], vec![]));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f19_a_warm_worker_picks_up_a_rotated_token() -> Result<()> {
    let cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    cloud.fake.require_token("ghp_canary_too");
    cloud.aws.put_secret(&cloud.token_arn, "ghp_canary_too").await?;
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.run_state().await?, "succeeded");
    assert_eq!(cloud.refusals(), 1);
    assert!(cloud.metric("TokenRefused").await?.iter().all(|value| *value == 0.0));
    assert!(cloud.metric("RepositoriesFailed").await?.iter().all(|value| *value == 0.0));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn a_change_that_no_webhook_announced_is_a_metric() -> Result<()> {
    let cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    cloud.fake.put([merged(THREE[0], 8), merged(THREE[1], 9)]);
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.metric("UnannouncedChanges").await?, [0.0; 0], "there are no webhooks");
    sqlx::query(
        "insert into announcements (repository_id, last_at) select id, '2020-01-01T00:00:00Z' from repositories where name <> $1",
    )
    .bind(THREE[1])
    .execute(&cloud.database.pool().await?)
    .await?;
    cloud.fake.put([merged(THREE[0], 18), merged(THREE[1], 19)]);
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.metric("UnannouncedChanges").await?, [1.0], "webhooks of the other repository never came");
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn each_invocation_sends_documented_metrics_in_one_request() -> Result<()> {
    let cloud = three().await?;
    cloud.fake.set_token_expiration(Some("2126-12-31 10:00:00 UTC"));
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.aws.requests("PutMetricData").await?, 2);
    let metrics = cloud.aws.metrics().await?;
    let found: BTreeSet<(&str, &str)> =
        metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
    let documented = [
        ("ApiErrors", "Count"),
        ("DataFreshness", "Seconds"),
        ("DatabaseQueryDuration", "Seconds"),
        ("GitHubRequests", "Count"),
        ("GraphQLPoints", "Count"),
        ("PullRequestsProcessed", "Count"),
        ("PullRequestsQuarantined", "Count"),
        ("RateLimitPercent", "Percent"),
        ("RateLimitRemaining", "Count"),
        ("RepositoriesDeferred", "Count"),
        ("RepositoriesFailed", "Count"),
        ("RunsCompleted", "Count"),
        ("RunsFailed", "Count"),
        ("RunsPartial", "Count"),
        ("TokenDaysLeft", "Count"),
        ("TokenRefused", "Count"),
    ];
    assert_eq!(found, BTreeSet::from(documented));
    assert!(metrics.iter().all(|metric| metric.namespace == "Mergeline" && metric.dimensions.is_empty()));
    assert_eq!(cloud.metric("PullRequestsProcessed").await?, [0.0, 3.0]);
    assert_eq!(cloud.metric("RunsCompleted").await?, [0.0, 1.0]);
    assert_eq!((cloud.metric("RunsPartial").await?, cloud.metric("RunsFailed").await?), (vec![0.0], vec![0.0]));
    let sent = f64::from(u32::try_from(cloud.fake.requests().len())?);
    assert_eq!(cloud.metric("GitHubRequests").await?, [0.0, sent]);
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn a_run_with_nothing_due_counts_as_completed() -> Result<()> {
    let cloud = Cloud::new(&["acme/gone"]).await?;
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    // The repository pauses after its failure: nothing is due.
    let answer = sandbox.answer(schedule()?).await?;
    assert_eq!((&answer["queued"], cloud.run_state().await?.as_str()), (&json!(0), "succeeded"));
    assert_eq!(cloud.metric("RunsCompleted").await?, [0.0, 0.0, 1.0], "the first run failed completely");
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn the_next_run_reports_a_fully_failed_run() -> Result<()> {
    let cloud = Cloud::new(&["acme/gone", "acme/lost"]).await?;
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.run_state().await?, "failed");
    assert_eq!(cloud.metric("RepositoriesFailed").await?, [0.0, 2.0]);
    assert_eq!(cloud.metric("RunsCompleted").await?, [0.0, 0.0]);
    cloud.collect(&mut sandbox).await?;
    assert_eq!((cloud.metric("RunsFailed").await?, cloud.metric("RunsPartial").await?), (vec![0.0, 1.0], vec![0.0; 2]));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn a_run_fixed_by_retry_counts_as_completed() -> Result<()> {
    let cloud = Cloud::new(&["acme/api"]).await?;
    cloud.fake.put([merged("acme/api", 1)]);
    cloud.fake.break_repository("acme/api", Some(422));
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.run_state().await?, "failed");
    cloud.fake.break_repository("acme/api", None);
    cloud.aws.release(&cloud.queue.url).await?;
    cloud.drain_queue(&mut sandbox).await?;
    assert_eq!(cloud.metric("RunsCompleted").await?, [0.0, 0.0, 1.0]);
    cloud.collect(&mut sandbox).await?;
    assert_eq!((cloud.metric("RunsFailed").await?, cloud.metric("RunsPartial").await?), (vec![0.0; 2], vec![0.0; 2]));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f51_unsent_metrics_only_log_a_warning() -> Result<()> {
    let cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    cloud.aws.fail_next(AwsService::CloudWatch, AwsFault::Unavailable, ATTEMPTS).await?;
    cloud.drain_queue(&mut sandbox).await?;
    assert_eq!((cloud.run_state().await?.as_str(), cloud.ledger("kept").await?), ("succeeded", 3));
    let log = cloud.end(sandbox).await?;
    let warnings = at_level(&log, "WARN");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["code"], json!("aws_unavailable"));
    Ok(())
}

#[tokio::test]
async fn only_the_message_that_cannot_be_hidden_returns() -> Result<()> {
    let cloud = three().await?;
    cloud.fake.break_repository("acme/api", Some(422));
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    let messages = cloud.work.receive(BATCH).await?;
    cloud.aws.fail_next(AwsService::Sqs, AwsFault::Unavailable, ATTEMPTS).await?;
    let answer = sandbox.answer(event(&messages)?).await?;
    assert_eq!(answer["batchItemFailures"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!((cloud.run_state().await?.as_str(), cloud.ledger("kept").await?), ("partial", 2));
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn a_run_that_cannot_queue_its_work_fails() -> Result<()> {
    let cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    cloud.aws.fail_next(AwsService::Sqs, AwsFault::Unavailable, ATTEMPTS).await?;
    assert_eq!(sandbox.error(schedule()?).await?, "aws_unavailable");
    assert_eq!(cloud.run_state().await?, "failed");
    assert_eq!(cloud.metric("RunsCompleted").await?, [0.0]);
    cloud.collect(&mut sandbox).await?;
    assert_eq!(cloud.run_state().await?, "succeeded");
    cloud.end(sandbox).await?;
    Ok(())
}

#[tokio::test]
async fn f33_without_a_database_the_whole_batch_returns() -> Result<()> {
    let mut cloud = three().await?;
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    cloud.environment.remove("DB_URL_SECRET_ARN");
    cloud.environment.insert("DB_URL", "postgres://nobody:canary@127.0.0.1:9/none".to_owned());
    let mut disconnected = cloud.sandbox().await?;
    let batch = cloud.poll(&mut disconnected, BATCH).await?.context("a batch")?;
    let Invocation::Error(error) = &batch.outcome else { panic!("{:?}", batch.outcome) };
    assert_eq!((&error["errorType"], batch.back.len()), (&json!("db_unavailable"), 3));
    assert_eq!(cloud.fake.requests(), []);
    cloud.aws.release(&cloud.queue.url).await?;
    cloud.drain_queue(&mut sandbox).await?;
    assert_eq!(cloud.run_state().await?, "succeeded");
    cloud.end(sandbox).await?;
    cloud.end(disconnected).await?;
    Ok(())
}

#[tokio::test]
async fn i7_no_secret_appears_even_in_trace_logs() -> Result<()> {
    let mut cloud = three().await?;
    cloud.fake.break_repository("acme/web", Some(422));
    cloud.environment.insert("RUST_LOG", "trace".to_owned());
    let mut sandbox = cloud.sandbox().await?;
    cloud.collect(&mut sandbox).await?;
    cloud.fake.require_token("ghp_another");
    cloud.collect(&mut sandbox).await?;
    assert!(cloud.fake.requests().iter().any(|request| request.token.as_deref() == Some(TOKEN)));
    let log = cloud.end(sandbox).await?;
    assert!(!at_level(&log, "TRACE").is_empty());
    Ok(())
}

#[tokio::test]
async fn each_run_trims_expired_runs_from_the_ledger() -> Result<()> {
    for mut cloud in [Cloud::new(&["acme/api"]).await?, Cloud::without_queues(&["acme/api"]).await?] {
        cloud.environment.insert("LEDGER_DAYS", "30".to_owned());
        cloud.fake.put([merged("acme/api", 1)]);
        let pool = cloud.database.pool().await?;
        let old = "insert into collection_runs (started_at, finished_at, state)
            select now() - make_interval(days => age), now(), 'succeeded' from unnest(array[31, 29]) as age";
        sqlx::raw_sql(old).execute(&pool).await?;
        let mut sandbox = cloud.sandbox().await?;
        cloud.collect(&mut sandbox).await?;
        let ages = "select extract(day from now() - started_at)::bigint from collection_runs order by id";
        let ages: Vec<i64> = sqlx::query_scalar(ages).fetch_all(&pool).await?;
        assert_eq!((ages, cloud.run_state().await?.as_str()), (vec![29, 0], "succeeded"));
        cloud.end(sandbox).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_trace_of_a_plan_goes_on_in_its_messages_and_names_nothing() -> Result<()> {
    let mut cloud = three().await?;
    let otlp = FakeOtlp::start().await?;
    cloud.environment.insert("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.url().to_owned());
    let mut sandbox = cloud.sandbox().await?;
    sandbox.answer(schedule()?).await?;
    let sent = cloud.work.receive(10).await?;
    cloud.aws.release(&cloud.queue.url).await?;
    let parent = sent.first().and_then(|message| message.traceparent.clone()).context("a trace")?;
    let (trace, parent) = (&parent[3..35], &parent[36..52]);
    cloud.drain_queue(&mut sandbox).await?;
    let exported = otlp.after(2).await;
    let mut spans: Vec<Span> = Vec::new();
    for it in &exported {
        let request = ExportTraceServiceRequest::decode(it.body.clone())?;
        spans.extend(request.resource_spans.into_iter().flat_map(|it| it.scope_spans).flat_map(|it| it.spans));
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let plan = spans.iter().find(|span| hex(&span.span_id) == parent).context("the span that sent them")?;
    assert_eq!((plan.name.as_str(), hex(&plan.trace_id).as_str()), ("plan", trace));
    let messages: Vec<&Span> =
        spans.iter().filter(|span| hex(&span.parent_span_id) == parent && span.name == "process").collect();
    assert!(!messages.is_empty(), "{spans:?}");
    for name in ["repository", "page", "GET /repos/{}/{}/pulls", "POST /graphql", "write transaction"] {
        let found = spans.iter().find(|span| span.name == name);
        assert!(found.is_some_and(|span| hex(&span.trace_id) == trace), "{name}: {spans:?}");
    }
    for it in &exported {
        let text = format!("{:?}", ExportTraceServiceRequest::decode(it.body.clone())?);
        for secret in ["acme", "ana", "bob", "ghp_", "insert ", TOKEN, cloud.database.url()] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
    cloud.end(sandbox).await?;
    Ok(())
}
