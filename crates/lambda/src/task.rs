//! What the work queue carries: tasks in a form that says its version, and what becomes of one that failed each time.

use mergeline_domain::RepoName;
use mergeline_store::{RepositoryId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the form that is written. One that is read may be older, and none newer.
const VERSION: u64 = 1;

/// Work that is queued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// Collect a repository.
    Collect(CollectTask),
}

/// The collection of one repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CollectTask {
    /// The run that it belongs to.
    pub run: RunId,
    /// Which repository.
    pub repository: RepositoryId,
    /// `owner/name`, for people.
    pub name: RepoName,
}

/// A task that failed each time it was tried.
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
    /// How often it was tried.
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
    /// Reads a message. One without a kind is of a time when the only task was to collect a repository.
    ///
    /// # Errors
    /// When it is none, or one that only a newer version knows, as a sentence.
    pub fn from_body(body: &str) -> Result<Self, String> {
        Self::from_value(serde_json::from_str(body).map_err(|error| error.to_string())?)
    }

    fn from_value(value: Value) -> Result<Self, String> {
        match value.get("version").and_then(Value::as_u64) {
            Some(version) if version > VERSION => {
                return Err(format!("its form is of version {version}, and this program knows {VERSION}"));
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
    /// Reads a letter.
    ///
    /// # Errors
    /// When it is none, as a sentence.
    pub fn from_body(body: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let failure = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        Ok(Self { task: Task::from_value(value)?, failure })
    }

    /// The message: the task's, with the failure beside it.
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
    fn a_dead_letter_names_run_repository_and_cause_and_becomes_the_message_again() {
        let failure = Failure { code: "github_status".into(), cause: "502".into(), receives: 5 };
        let letter = DeadLetter { task: task(), failure };
        let expected = r#"{"version":1,"kind":"collect","run":7,"repository":3,"name":"acme/api","code":"github_status","cause":"502","receives":5}"#;
        assert_eq!(letter.body(), expected);
        assert_eq!(DeadLetter::from_body(expected), Ok(letter));
        assert_eq!(Task::from_body(expected), Ok(task()), "a letter that is put back as it is works as well");
        assert_eq!(Task::from_body(&task().body()), Ok(task()));
    }

    #[test]
    fn messages_and_letters_without_a_version_are_read_on() {
        let message = r#"{"run":7,"repository":3,"name":"acme/api"}"#;
        assert_eq!(Task::from_body(message), Ok(task()));
        let letter = r#"{"run":7,"repository":3,"name":"acme/api","code":"github_status","cause":"502","receives":5}"#;
        assert_eq!(DeadLetter::from_body(letter).map(|letter| letter.task), Ok(task()));
        assert!(DeadLetter::from_body(message).is_err(), "a message is no letter");
    }

    #[test]
    fn what_only_a_newer_version_knows_is_refused_and_says_so() {
        let newer = task().body().replace(r#""version":1"#, r#""version":2"#);
        assert!(Task::from_body(&newer).is_err_and(|error| error.contains("version 2")));
        let other = Task::from_body(r#"{"version":1,"kind":"deliver"}"#);
        assert!(other.as_ref().is_err_and(|error| error.contains("deliver")), "{other:?}");
    }
}
