//! The work queue: one message for each repository, worked by whoever gets it, put back when it has to wait.

use std::time::Duration;

use mergeline_aws::{AwsError, Queue};
use mergeline_collector::{Attempt, OUT_OF_TIME, RunContext};
use mergeline_domain::error_chain;
use mergeline_store::{Reason, Repository, ResultState, RunId, StoreError};
use serde::{Deserialize, Serialize};

use crate::metrics::Sums;
use crate::task::{CollectTask, DeadLetter, Failure, Task};

/// After so many receives a message lies in the dead-letter queue. The queue's own redrive policy says the same, for
/// workers that die without a word.
const MAX_RECEIVES: u32 = 5;
/// How long a failed message rests at first; doubled with each receive.
const FIRST_REST: Duration = Duration::from_secs(60);

/// A message as Lambda hands it over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) message_id: String,
    pub(crate) receipt_handle: String,
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) attributes: Attributes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Attributes {
    approximate_receive_count: String,
}

impl Record {
    fn receives(&self) -> u32 {
        self.attributes.approximate_receive_count.parse().unwrap_or(1)
    }
}

/// The messages that have to come back; the others are done.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchFailures {
    /// One for each message that comes back.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// A message that has to come back.
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
}

/// What becomes of a message.
enum Disposition {
    Ack,
    /// It comes back after this long.
    RetryAfter(Duration),
    /// It comes back as a fresh message at once.
    Requeue,
    /// It has failed too often.
    DeadLetter(Reason),
}

/// Sends a message for each repository.
pub(crate) async fn enqueue(queue: &Queue, run: RunId, repositories: &[Repository]) -> Result<(), AwsError> {
    let task = |repository: &Repository| {
        Task::Collect(CollectTask { run, repository: repository.id, name: repository.called().clone() })
    };
    let bodies: Vec<String> = repositories.iter().map(|repository| task(repository).body()).collect();
    queue.send(&bodies).await
}

/// Works a batch of messages, one after the other. Returns those that come back.
///
/// # Errors
/// Only what all messages stand on; then all of them come back.
pub(crate) async fn work(
    collecting: &RunContext<'_>,
    queues: &Queues,
    records: &[Record],
    sums: &mut Sums,
) -> Result<BatchFailures, StoreError> {
    let mut failures = BatchFailures::default();
    for record in records {
        let disposition = match Task::from_body(&record.body) {
            Ok(Task::Collect(task)) => match collect_one(collecting, record, task, sums).await {
                // A run or repository that the database does not know, for example: the other messages can do better.
                Err(error) if !error.is_fatal() => {
                    failed(record, Reason { code: error.code(), message: error_chain(&error) })
                }
                outcome => outcome?,
            },
            Err(error) => {
                let message = format!("the message cannot be understood: {error}");
                failed(record, Reason { code: "message.unreadable", message })
            }
        };
        let is_back = settle(queues, record, disposition).await.unwrap_or_else(|error| {
            // Its work is noted and can be repeated: it comes back when its visibility timeout is over, and the others
            // are spared that.
            tracing::warn!(
                sqs.message_id = record.message_id,
                code = error.code(),
                "A message stays in the queue as it is: {}",
                error_chain(&error)
            );
            true
        });
        if is_back {
            failures.batch_item_failures.push(ItemFailure { item_identifier: record.message_id.clone() });
        }
    }
    Ok(failures)
}

/// Lets the queues know what becomes of a message. Returns whether it comes back as it is.
async fn settle(queues: &Queues, record: &Record, disposition: Disposition) -> Result<bool, AwsError> {
    match disposition {
        Disposition::Ack => Ok(false),
        Disposition::RetryAfter(rest) => queues.work.hide(&record.receipt_handle, rest).await.map(|()| true),
        Disposition::Requeue => queues.work.send_with(&record.body, Duration::ZERO).await.map(|()| false),
        Disposition::DeadLetter(reason) => dead_letter(queues, record, &reason).await.map(|()| false),
    }
}

async fn collect_one(
    collecting: &RunContext<'_>,
    record: &Record,
    task: CollectTask,
    sums: &mut Sums,
) -> Result<Disposition, StoreError> {
    let CollectTask { run, repository, name } = task;
    let receives = record.receives();
    let is_last = receives >= MAX_RECEIVES;
    let attempt = if is_last { Attempt::Only } else { Attempt::Retryable };
    let (_, report) = collecting.repository(run, repository, name, attempt).await?;
    report.log();
    sums.add(&report.result);
    if let Some(settled) = collecting.store.settle_run(run, collecting.now()).await? {
        sums.add_run(settled.completes);
    }
    let result = report.result;
    let reason = result.reason.unwrap_or(Reason { code: "none", message: String::new() });
    Ok(match result.state {
        ResultState::Succeeded | ResultState::Busy => Disposition::Ack,
        // Time is up here, and begins anew elsewhere.
        ResultState::Deferred if reason.code == OUT_OF_TIME => Disposition::Requeue,
        // Waiting for a limit is no failure: the last receive is not spent on it, the next run takes it up. Nor does
        // waiting mend a token.
        ResultState::Deferred if is_last || !is_worth_another_try(reason.code) => Disposition::Ack,
        ResultState::Deferred => {
            let until = result.deferred_until.and_then(|until| (until - collecting.now()).to_std().ok());
            Disposition::RetryAfter(until.unwrap_or(FIRST_REST))
        }
        // What does not mend itself waits for the next run, each time longer.
        ResultState::Failed if !is_worth_another_try(reason.code) => Disposition::Ack,
        ResultState::Failed if is_last => Disposition::DeadLetter(reason),
        ResultState::Failed => Disposition::RetryAfter(rest_after(receives)),
    })
}

/// A refused token, a missing permission and a repository that is not there are for people to mend.
fn is_worth_another_try(code: &str) -> bool {
    !matches!(
        code,
        "github_unauthorized"
            | "github_app_refused"
            | "github_app_suspended"
            | "github_account_suspended"
            | "github_ip_not_allowed"
            | "github_token_not_allowed"
            | "github_forbidden"
            | "github_no_graphql"
            | "github_sso_required"
            | "repo_not_accessible"
            | "repo_unavailable"
            | "repo_lists_nothing"
            | "config.same_person"
            | "config.same_repository"
    )
}

fn rest_after(receives: u32) -> Duration {
    FIRST_REST * 2_u32.saturating_pow(receives.saturating_sub(1).min(10))
}

/// A message that could not be worked at all.
fn failed(record: &Record, reason: Reason) -> Disposition {
    tracing::error!(sqs.message_id = record.message_id, code = reason.code, "{}", reason.message);
    match record.receives() {
        receives if receives >= MAX_RECEIVES => Disposition::DeadLetter(reason),
        receives => Disposition::RetryAfter(rest_after(receives)),
    }
}

/// Puts a message where people look, with run, repository and cause.
async fn dead_letter(queues: &Queues, record: &Record, reason: &Reason) -> Result<(), AwsError> {
    tracing::error!(
        code = reason.code,
        "Gave up after {} attempts, in the dead-letter queue now: {}: {}",
        record.receives(),
        record.body,
        reason.message
    );
    let letter = match Task::from_body(&record.body) {
        Ok(task) => {
            let (code, cause) = (reason.code.to_owned(), reason.message.clone());
            DeadLetter { task, failure: Failure { code, cause, receives: record.receives() } }.body()
        }
        // As it is: nothing is lost.
        Err(_) => record.body.clone(),
    };
    queues.dead_letters.send_with(&letter, Duration::ZERO).await
}

/// Puts dead letters back into the work queue. `told` is called with each. Returns how many.
///
/// # Errors
/// When a queue fails; what was put back by then stays so.
pub async fn replay(work: &Queue, dead_letters: &Queue, told: impl Fn(&str)) -> Result<usize, AwsError> {
    let mut replayed = 0;
    loop {
        let letters = dead_letters.receive(10).await?;
        if letters.is_empty() {
            return Ok(replayed);
        }
        for letter in letters {
            told(&letter.body);
            let fresh = match DeadLetter::from_body(&letter.body) {
                Ok(DeadLetter { task, .. }) => task.body(),
                // From a worker that died without a word: it is as it was sent.
                Err(_) => letter.body,
            };
            work.send_with(&fresh, Duration::ZERO).await?;
            dead_letters.delete(&letter.receipt_handle).await?;
            replayed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_messages_rest_longer_each_time() {
        assert_eq!([1, 2, 3, 4].map(|receives| rest_after(receives).as_secs()), [60, 120, 240, 480]);
    }
}
