use std::time::Duration;

/// What it takes to recover from a failure. Errors carry it, so that nobody decides about retries by reading codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// A turn: others go first, in the same process.
    NextTurn,
    /// More time: another process, or the next run, continues where this one stopped.
    MoreTime,
    /// A retry, with nothing changed on this side.
    Retry {
        /// The least pause before it, if it is known.
        after: Option<Duration>,
    },
    /// A person, who changes a token, a permission or the configuration. Retries do not help until then.
    NeedsPerson,
    /// A person, and nothing else works until then: the database, for example.
    Fatal,
}

impl Recovery {
    /// A retry after the caller's usual pause.
    pub const RETRY: Self = Self::Retry { after: None };

    /// Whether the same work may succeed later without anybody's help.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::NextTurn | Self::MoreTime | Self::Retry { .. })
    }
}
