//! Messages of the work queue: tasks in a versioned format, and dead letters for tasks that failed every time.

use mergeline_domain::{ChannelId, RepoName};
use mergeline_store::{RepositoryId, RunId};
use mergeline_webhooks::ChangeNotice;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the format that is written. Older versions are readable, newer ones are not.
const VERSION: u64 = 1;

/// Work that is queued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Collect a repository.
    Collect(CollectTask),
    /// Read a repository now, because a webhook says that it changed.
    Read(ChangeNotice),
    /// Send what is due to a channel.
    Send(SendTask),
}

/// A channel to which something is due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SendTask {
    /// Its id in the teams file.
    pub channel: ChannelId,
}

/// The collection of one repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectTask {
    /// The run it belongs to.
    pub run: RunId,
    /// Which repository.
    pub repository: RepositoryId,
    /// `owner/name`, for people.
    pub name: RepoName,
}

/// A task that failed on every attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadLetter {
    /// The task.
    pub task: Task,
    /// Why.
    pub failure: Failure,
}

/// How a task failed the last time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable code.
    pub code: String,
    /// A sentence.
    pub cause: String,
    /// The number of attempts.
    pub receives: u32,
}

#[derive(Serialize)]
struct Versioned<'a> {
    version: u64,
    #[serde(flatten)]
    task: &'a Task,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
}

impl Task {
    /// Parses a message. One without a kind is from a time when the only task was to collect a repository.
    ///
    /// # Errors
    /// A sentence, when it is not a task, or when only a newer version can read it.
    pub fn from_body(body: &str) -> Result<Self, String> {
        Self::from_value(serde_json::from_str(body).map_err(|error| error.to_string())?)
    }

    fn from_value(value: Value) -> Result<Self, String> {
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version > VERSION => {
                return Err(format!(
                    "unsupported message version {version}, this program reads up to version {VERSION}"
                ));
            }
            _ => {}
        }
        let task = match value.get("kind") {
            Some(_) => serde_json::from_value(value),
            None => serde_json::from_value(value).map(Self::Collect),
        };
        task.map_err(|error| error.to_string())
    }

    /// The message.
    pub fn body(&self) -> String {
        body(&Versioned { version: VERSION, task: self, failure: None })
    }
}

impl DeadLetter {
    /// Parses a dead letter.
    ///
    /// # Errors
    /// A sentence, when it is not a dead letter.
    pub fn from_body(body: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let failure = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        Ok(Self { task: Task::from_value(value)?, failure })
    }

    /// The message of the task, with the failure added.
    pub fn body(&self) -> String {
        body(&Versioned { version: VERSION, task: &self.task, failure: Some(&self.failure) })
    }
}

fn body(message: &Versioned<'_>) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Task {
        Task::Collect(CollectTask {
            run: RunId(7),
            repository: RepositoryId(3),
            name: "acme/api".parse().expect("a name"),
        })
    }

    #[test]
    fn a_dead_letter_keeps_its_task_and_cause() {
        let failure = Failure { code: "github_status".into(), cause: "502".into(), receives: 5 };
        let letter = DeadLetter { task: task(), failure };
        let expected = r#"{"version":1,"kind":"collect","run":7,"repository":3,"name":"acme/api","code":"github_status","cause":"502","receives":5}"#;
        assert_eq!(letter.body(), expected);
        assert_eq!(DeadLetter::from_body(expected), Ok(letter));
        assert_eq!(Task::from_body(expected), Ok(task()), "a letter that is put back unchanged works too");
        assert_eq!(Task::from_body(&task().body()), Ok(task()));
    }

    #[test]
    fn unversioned_messages_and_letters_are_still_readable() {
        let message = r#"{"run":7,"repository":3,"name":"acme/api"}"#;
        assert_eq!(Task::from_body(message), Ok(task()));
        let letter = r#"{"run":7,"repository":3,"name":"acme/api","code":"github_status","cause":"502","receives":5}"#;
        assert_eq!(DeadLetter::from_body(letter).map(|letter| letter.task), Ok(task()));
        assert!(DeadLetter::from_body(message).is_err(), "a message is not a dead letter");
    }

    #[test]
    fn newer_versions_and_unknown_kinds_are_rejected() {
        let newer = task().body().replace(r#""version":1"#, r#""version":2"#);
        assert!(Task::from_body(&newer).is_err_and(|error| error.contains("version 2")));
        let other = Task::from_body(r#"{"version":1,"kind":"deliver"}"#);
        assert!(other.as_ref().is_err_and(|error| error.contains("deliver")), "{other:?}");
    }
}
