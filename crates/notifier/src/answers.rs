//! What an attempt to send means, and what follows from it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::messages::{ChannelKind, MessageKind};
use mergeline_store::{ClaimedMessage, MessageOutcome};

/// How long a message waits before it is tried again; the last one for every later time.
const WAITS: [TimeDelta; 7] = [
    TimeDelta::seconds(10),
    TimeDelta::minutes(1),
    TimeDelta::minutes(5),
    TimeDelta::minutes(30),
    TimeDelta::hours(2),
    TimeDelta::hours(6),
    TimeDelta::hours(12),
];
/// A message is tried for so long.
const TRIED_FOR: TimeDelta = TimeDelta::days(1);
/// A channel that refuses its messages gets none for so long.
pub(crate) const OFF_FOR: TimeDelta = TimeDelta::days(1);

/// What an attempt to send means. The texts say why, without an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The service took it.
    Taken,
    /// It did not arrive, and may later; not before this time has passed, if the service said one.
    Later(Option<Duration>, String),
    /// The service will never take this message.
    Refused(String),
    /// The channel takes no messages any more, or not from here.
    Gone(String),
    /// Nobody knows whether it arrived.
    Unknown(String),
}

impl Answer {
    /// Why it was not taken.
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Taken => None,
            Self::Later(_, why) | Self::Refused(why) | Self::Gone(why) | Self::Unknown(why) => Some(why),
        }
    }
}

/// What follows for a message.
pub(crate) fn outcome_of(
    answer: &Answer,
    kind: ChannelKind,
    claimed: &ClaimedMessage,
    now: DateTime<Utc>,
) -> MessageOutcome {
    let attempt = usize::try_from(claimed.attempts).unwrap_or(1).max(1);
    let wait = WAITS[(attempt - 1).min(WAITS.len() - 1)];
    let may_try_again = |wait: TimeDelta| now + wait - claimed.first_tried_at <= TRIED_FOR;
    match answer {
        Answer::Taken => MessageOutcome::Sent,
        Answer::Later(asked, why) => {
            let asked = asked.and_then(|asked| TimeDelta::from_std(asked).ok()).unwrap_or_default();
            let wait = wait.max(asked);
            if may_try_again(wait) {
                MessageOutcome::Again(now + wait, why.clone())
            } else {
                MessageOutcome::Failed(format!("{why}; tried {} in a day", times(claimed.attempts)))
            }
        }
        // It waits for the channel, which may have another address soon, and for no longer than others.
        Answer::Gone(why) if now - claimed.first_tried_at < TRIED_FOR => MessageOutcome::Again(now, why.clone()),
        Answer::Refused(why) | Answer::Gone(why) => MessageOutcome::Failed(why.clone()),
        Answer::Unknown(why) if kind.is_program() && may_try_again(wait) => {
            // Its number makes a repetition harmless.
            MessageOutcome::Again(now + wait, why.clone())
        }
        Answer::Unknown(why) => {
            if claimed.kind == MessageKind::Digest && !kind.is_program() && !claimed.is_repeated {
                MessageOutcome::Repeated(now + wait, why.clone())
            } else {
                MessageOutcome::Unknown(why.clone())
            }
        }
    }
}

fn times(count: i32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
