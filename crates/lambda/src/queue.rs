//! The work queue: one message per repository. The worker that receives it collects it, or puts it back when it has to
//! wait.

use std::time::Duration;

use mergeline_aws::{AwsError, Queue};
use mergeline_collector::{Attempt, FollowUp, RunContext};
use mergeline_domain::{Recovery, error_chain};
use mergeline_store::{Reason, Repository, ResultState, RunId, StoreError};
use mergeline_webhooks::ChangeNotice;
use serde::{Deserialize, Serialize};
use tracing::Instrument;

use crate::metrics::Sums;
use crate::task::{CollectTask, DeadLetter, Failure, SendTask, Task};

/// After this many receives a message goes to the dead-letter queue. The queue's redrive policy has the same limit, for
/// workers that crash.
const MAX_RECEIVES: u32 = 5;
/// How long a failed message waits at first. Each receive doubles it.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(60);

/// A message as Lambda delivers it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) message_id: String,
    pub(crate) receipt_handle: String,
    pub(crate) body: String,
    /// The queue that it is from.
    #[serde(rename = "eventSourceARN", default)]
    pub(crate) source: String,
    #[serde(default)]
    pub(crate) attributes: Attributes,
    /// What was sent with it.
    #[serde(default)]
    message_attributes: MessageAttributes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MessageAttributes {
    traceparent: MessageAttribute,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MessageAttribute {
    string_value: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Attributes {
    approximate_receive_count: String,
}

impl Record {
    /// The trace that it belongs to, in W3C's format.
    fn traceparent(&self) -> Option<&str> {
        self.message_attributes.traceparent.string_value.as_deref()
    }

    /// The channel that it names, if it is about one.
    pub(crate) fn channel(&self) -> Option<SendTask> {
        let Ok(Task::Send(task)) = Task::from_body(&self.body) else { return None };
        Some(task)
    }

    /// A span for the work on it.
    pub(crate) fn span(&self) -> tracing::Span {
        let span = tracing::info_span!(target: "spans", "message", sqs.message_id = self.message_id);
        mergeline_telemetry::follow(&span, self.traceparent());
        span
    }

    fn receives(&self) -> u32 {
        self.attributes.approximate_receive_count.parse().unwrap_or(1)
    }
}

/// The messages to return to the queue. The others are done.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchFailures {
    /// One for each returned message.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// A message to return to the queue.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// The message's id.
    pub item_identifier: String,
}

/// The queues of a deployment.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    pub(crate) work: Queue,
    pub(crate) dead_letters: Queue,
    /// Where webhooks leave repositories; `None` if there are none.
    pub(crate) changes: Option<Queue>,
}

impl Queues {
    /// The queue of changes, if a message is from there.
    fn changes_with(&self, record: &Record) -> Option<&Queue> {
        let name = record.source.rsplit(':').next().unwrap_or_default();
        self.changes.as_ref().filter(|changes| changes.name() == name)
    }
}

/// What to do with a message.
enum Disposition {
    Ack,
    /// Return it to the queue after this long.
    RetryAfter(Duration),
    /// Send it again as a fresh message now.
    Requeue,
    /// It failed too often.
    DeadLetter(Reason),
}

/// Sends a message for each repository.
pub(crate) async fn enqueue(queue: &Queue, run: RunId, repositories: &[Repository]) -> Result<(), AwsError> {
    let task = |repository: &Repository| {
        Task::Collect(CollectTask { run, repository: repository.id, name: repository.called().clone() })
    };
    let bodies: Vec<String> = repositories.iter().map(|repository| task(repository).body()).collect();
    queue.in_trace(mergeline_telemetry::traceparent()).send(&bodies).await
}

/// Processes a batch of messages one by one. Returns those to put back.
///
/// # Errors
/// Only errors that affect all messages. Then all of them return to the queue.
pub(crate) async fn work(
    context: &RunContext<'_>,
    queues: &Queues,
    records: &[Record],
    sums: &mut Sums,
) -> Result<BatchFailures, StoreError> {
    let mut failures = BatchFailures::default();
    for record in records {
        if work_on(context, queues, record, sums).instrument(record.span()).await? {
            failures.batch_item_failures.push(ItemFailure { item_identifier: record.message_id.clone() });
        }
    }
    Ok(failures)
}

/// Processes a message. Returns whether it returns to its queue.
async fn work_on(
    context: &RunContext<'_>,
    queues: &Queues,
    record: &Record,
    sums: &mut Sums,
) -> Result<bool, StoreError> {
    let disposition = match Task::from_body(&record.body) {
        Ok(Task::Collect(task)) => match collect_one(context, record, task, sums).await {
            // For example a run or repository that is not in the database. The other messages may still succeed.
            Err(error) if !error.is_fatal() => {
                failed(record, Reason { code: error.code(), message: error_chain(&error) })
            }
            outcome => outcome?,
        },
        Ok(Task::Read(notice)) => match read_one(context, queues, notice).await {
            Err(error) if !error.is_fatal() => {
                tracing::warn!(code = error.code(), "A changed repository was not read: {}", error_chain(&error));
                Disposition::Ack
            }
            outcome => outcome?,
        },
        // Only the queue of messages has these, and what takes them from there knows what to do.
        Ok(Task::Send(_)) => failed(
            record,
            Reason { code: "message.unexpected", message: "a channel in a queue of repositories".to_owned() },
        ),
        Err(error) => {
            let message = format!("cannot parse the message: {error}");
            failed(record, Reason { code: "message.unreadable", message })
        }
    };
    let is_returned = settle(queues, record, disposition).await.unwrap_or_else(|error| {
        // Its work is stored and can be repeated. It returns after its visibility timeout, and the other messages
        // are not affected.
        tracing::warn!(
            sqs.message_id = record.message_id,
            code = error.code(),
            "Could not update a message, so it stays in the queue: {}",
            error_chain(&error)
        );
        true
    });
    Ok(is_returned)
}

/// Applies a disposition to the queues. Returns whether the same message returns to its queue.
async fn settle(queues: &Queues, record: &Record, disposition: Disposition) -> Result<bool, AwsError> {
    let changes = queues.changes_with(record);
    match disposition {
        // That queue has dead letters of its own, to which SQS moves it.
        Disposition::DeadLetter(_) if let Some(changes) = changes => {
            changes.hide(&record.receipt_handle, Duration::ZERO).await.map(|()| true)
        }
        Disposition::Ack => Ok(false),
        Disposition::RetryAfter(delay) => {
            changes.unwrap_or(&queues.work).hide(&record.receipt_handle, delay).await.map(|()| true)
        }
        Disposition::Requeue => {
            let work = queues.work.in_trace(record.traceparent().map(str::to_owned));
            work.send_with(&record.body, Duration::ZERO).await.map(|()| false)
        }
        Disposition::DeadLetter(reason) => dead_letter(queues, record, &reason).await.map(|()| false),
    }
}

/// Reads a repository for a webhook. What is not read, the next run finds.
async fn read_one(context: &RunContext<'_>, queues: &Queues, notice: ChangeNotice) -> Result<Disposition, StoreError> {
    let FollowUp::Again(after, notice) = context.follow(notice).await? else { return Ok(Disposition::Ack) };
    let Some(changes) = &queues.changes else { return Ok(Disposition::Ack) };
    let changes = changes.in_trace(mergeline_telemetry::traceparent());
    if let Err(error) = changes.send_with(&Task::Read(notice).body(), after).await {
        tracing::warn!(code = error.code(), "A changed repository is not read again: {}", error_chain(&error));
    }
    Ok(Disposition::Ack)
}

async fn collect_one(
    context: &RunContext<'_>,
    record: &Record,
    task: CollectTask,
    sums: &mut Sums,
) -> Result<Disposition, StoreError> {
    let CollectTask { run, repository, name } = task;
    let receives = record.receives();
    let is_last = receives >= MAX_RECEIVES;
    let attempt = if is_last { Attempt::Only } else { Attempt::Retryable };
    let (_, report) = context.repository(run, repository, name, attempt).await?;
    report.log();
    sums.add(&report);
    if let Some(settled) = context.store.settle_run(run, context.now()).await? {
        sums.add_run(settled.completes);
    }
    let result = report.result;
    let reason = result.reason.unwrap_or(Reason { code: "none", message: String::new() });
    Ok(match (result.state, report.recovery) {
        // Out of time here; another invocation continues.
        (ResultState::Deferred, Some(Recovery::MoreTime)) => Disposition::Requeue,
        // Failures that a retry cannot fix wait for the next run, longer each time.
        (ResultState::Succeeded | ResultState::Busy, _) | (_, Some(Recovery::NeedsPerson)) => Disposition::Ack,
        // Waiting for a rate limit is not a failure. Do not spend the last receive on it: the next run continues.
        (ResultState::Deferred, _) if is_last => Disposition::Ack,
        (ResultState::Deferred, _) => {
            let until = result.deferred_until.and_then(|until| (until - context.now()).to_std().ok());
            Disposition::RetryAfter(until.unwrap_or(FIRST_RETRY_DELAY))
        }
        (ResultState::Failed, _) if is_last => Disposition::DeadLetter(reason),
        (ResultState::Failed, _) => Disposition::RetryAfter(retry_delay(receives)),
    })
}

fn retry_delay(receives: u32) -> Duration {
    FIRST_RETRY_DELAY * 2_u32.saturating_pow(receives.saturating_sub(1).min(10))
}

/// A message that could not be processed at all.
fn failed(record: &Record, reason: Reason) -> Disposition {
    tracing::error!(sqs.message_id = record.message_id, code = reason.code, "{}", reason.message);
    match record.receives() {
        receives if receives >= MAX_RECEIVES => Disposition::DeadLetter(reason),
        receives => Disposition::RetryAfter(retry_delay(receives)),
    }
}

/// Sends a message to the dead-letter queue, with run, repository and cause.
async fn dead_letter(queues: &Queues, record: &Record, reason: &Reason) -> Result<(), AwsError> {
    tracing::error!(
        code = reason.code,
        "Gave up after {} attempts, moving the message to the dead-letter queue: {}: {}",
        record.receives(),
        record.body,
        reason.message
    );
    let letter = match Task::from_body(&record.body) {
        Ok(task) => {
            let (code, cause) = (reason.code.to_owned(), reason.message.clone());
            DeadLetter { task, failure: Failure { code, cause, receives: record.receives() } }.body()
        }
        // Unchanged, so nothing is lost.
        Err(_) => record.body.clone(),
    };
    let dead_letters = queues.dead_letters.in_trace(record.traceparent().map(str::to_owned));
    dead_letters.send_with(&letter, Duration::ZERO).await
}

/// Puts dead letters back into the work queue. Calls `on_letter` with the body of each. Returns how many.
///
/// # Errors
/// When a queue fails. Letters that were already put back stay in the work queue.
pub async fn replay(work: &Queue, dead_letters: &Queue, on_letter: impl Fn(&str)) -> Result<usize, AwsError> {
    let mut replayed = 0;
    loop {
        let letters = dead_letters.receive(10).await?;
        if letters.is_empty() {
            return Ok(replayed);
        }
        for letter in letters {
            on_letter(&letter.body);
            let fresh = match DeadLetter::from_body(&letter.body) {
                Ok(DeadLetter { task, .. }) => task.body(),
                // From a worker that crashed: the message is as it was sent.
                Err(_) => letter.body,
            };
            work.in_trace(letter.traceparent).send_with(&fresh, Duration::ZERO).await?;
            dead_letters.delete(&letter.receipt_handle).await?;
            replayed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_messages_wait_longer_after_each_receive() {
        assert_eq!([1, 2, 3, 4].map(|receives| retry_delay(receives).as_secs()), [60, 120, 240, 480]);
    }
}
