//! Why a command ended early, and with which exit code.

use std::borrow::Cow;
use std::fmt;
use std::process::ExitCode;

use mergeline_collector::CollectError;
use mergeline_domain::{Problem, Problems, error_chain};
use mergeline_github::GitHubError;
use mergeline_http_client::NoAuthorities;
use mergeline_reporting::ReportError;
use mergeline_source::SourceError;
use mergeline_store::{ApplyError, StoreError};

use crate::remedies;

/// The exit code for a command that failed.
pub(crate) const FAILED: u8 = 1;
/// The exit code for input that is wrong.
pub(crate) const BAD_INPUT: u8 = 2;
/// The exit code for a run that is complete for only some repositories.
pub(crate) const PARTIAL: u8 = 3;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input is wrong: its author can fix it.
    Input(String),
    /// The configuration is wrong, in all these places.
    Problems(Problems),
    /// Something did not work.
    Other(anyhow::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Input(_) | Self::Problems(_) => BAD_INPUT,
            Self::Other(_) => FAILED,
        })
    }
}

impl Failure {
    /// Whether the reader of the output has closed it.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let Self::Other(error) = self else { return false };
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

impl Failure {
    /// What `--json` prints instead of the text.
    pub(crate) fn as_json(&self) -> serde_json::Value {
        let problems = if let Self::Problems(problems) = self { problems.list.as_slice() } else { &[] };
        serde_json::json!({ "error": { "message": self.to_string(), "problems": problems } })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(text) => f.write_str(text),
            Self::Problems(problems) => problems.fmt(f),
            // All causes on one line, each only once.
            Self::Other(error) => {
                f.write_str(&error_chain(error.as_ref()))?;
                let remedy =
                    error.chain().find_map(|cause| cause.downcast_ref::<StoreError>()).and_then(remedies::of_database);
                let of_github = error.chain().find_map(|cause| cause.downcast_ref::<GitHubError>());
                let of_source = error.chain().find_map(|cause| cause.downcast_ref::<SourceError>());
                let is_without_authorities = error.chain().any(<dyn std::error::Error>::is::<NoAuthorities>);
                let remedy = remedy
                    .or_else(|| of_github.map(|error| Cow::Borrowed(error.help())))
                    .or_else(|| of_source.map(|error| Cow::Borrowed(error.help)))
                    .or_else(|| is_without_authorities.then_some(Cow::Borrowed(NoAuthorities::HELP)));
                remedy.map_or(Ok(()), |remedy| write!(f, "\n  help: {remedy}"))
            }
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Problems::from(problem).into()
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Problems(problems) => problems.into(),
            ApplyError::TooManyRemovals { .. } | ApplyError::UnknownTimezone(_) => Self::Input(error.to_string()),
            ApplyError::Store(error) => Self::Other(error.into()),
        }
    }
}

impl From<ReportError> for Failure {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::UnknownTeam(_)
            | ReportError::UnknownService
            | ReportError::LimitedToTeams
            | ReportError::Invalid(_) => Self::Input(error.to_string()),
            ReportError::Store(error) => error.into(),
            error @ ReportError::UnknownTimezone(..) => Self::Other(error.into()),
        }
    }
}

impl From<CollectError> for Failure {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::NotConfigured(problem) => (*problem).into(),
            CollectError::Store(error) => Self::Other(error.into()),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

macro_rules! other_failures {
    ($($error:ty),+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Other(error.into())
            }
        })+
    };
}

#[cfg(feature = "aws")]
other_failures!(mergeline_aws::AwsError);

other_failures!(
    std::io::Error,
    serde_json::Error,
    StoreError,
    mergeline_github::GitHubError,
    SourceError,
    mergeline_local_postgres::Error
);
