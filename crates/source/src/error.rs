//! What a source reports when it could not provide something.

use std::fmt;

use mergeline_domain::Recovery;

/// What a failure means to the collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The credentials are refused, so every request with them fails.
    CredentialsRefused,
    /// The credentials are known, but may not read this.
    Forbidden,
    /// There is no such thing, or the credentials may not see it.
    NotFound,
    /// The source no longer offers it.
    Gone,
    /// A rate limit is reached, or is known to be.
    RateLimited,
    /// The work's own deadline has passed.
    OutOfTime,
    /// Fewer pull requests at once may be readable.
    TooLarge,
    /// Rows of a list cannot be read, not even one by one.
    PageUnreadable,
    /// The list has no row. It may be a lost permission.
    ListsNothing,
    /// The response does not match the documentation.
    InvalidAnswer,
    /// Anything else.
    Other,
}

/// Why a source did not provide what was requested. It never contains a token or a body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SourceError {
    /// What it means to the collector.
    pub kind: ErrorKind,
    /// A stable code for logs, the ledger and alarms.
    pub code: &'static str,
    /// A sentence for people. For a rate limit, without the pause.
    pub message: String,
    /// What it takes to recover. For a rate limit, with the pause that the source asks for.
    pub recovery: Recovery,
    /// What to do about a refusal that the credentials or their owner's settings cause.
    pub advice: Option<&'static str>,
    /// What a person can do about it, if nothing more specific is known.
    pub help: &'static str,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match (self.kind, self.recovery) {
            (ErrorKind::RateLimited, Recovery::Retry { after: Some(pause) }) => {
                write!(f, "; retry in {} s", pause.as_secs())
            }
            _ => Ok(()),
        }
    }
}

impl SourceError {
    /// The deadline of the work has passed.
    pub fn out_of_time() -> Self {
        let message = "out of time".to_owned();
        let help = "try again, with more time";
        Self {
            kind: ErrorKind::OutOfTime,
            code: "out_of_time",
            message,
            recovery: Recovery::MoreTime,
            advice: None,
            help,
        }
    }

    /// A list beside that of pull requests has no row any more.
    pub fn empty_list(what: &str) -> Self {
        let message = format!("none of its {what} are listed any more; stored ones stay but do not count as fresh");
        Self { code: "lists_nothing", message, ..Self::lists_nothing() }
    }

    /// The list of pull requests has no row.
    pub fn lists_nothing() -> Self {
        Self {
            kind: ErrorKind::ListsNothing,
            code: "repo_lists_nothing",
            message: "none of its pull requests are listed any more; stored ones stay but do not count as fresh"
                .to_owned(),
            recovery: Recovery::NeedsPerson,
            advice: None,
            help: "check what the token may see",
        }
    }

    /// A response that does not match the documentation.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            kind: ErrorKind::InvalidAnswer,
            code: "invalid_answer",
            message: message.into(),
            recovery: Recovery::RETRY,
            advice: None,
            help: "try again later",
        }
    }
}
