//! Messages are planned, and sent.

use std::time::Duration;

use chrono::{DateTime, Days, Utc};
use chrono_tz::Tz;
use mergeline_domain::messages::{ChannelEntry, MessageKind};
use mergeline_domain::metrics::COLLECT_EVERY_HOURS;
use mergeline_domain::{ChannelId, Problem, bounded_integer, count_of, start_of_day};
use mergeline_reporting::ReportError;
use mergeline_store::{
    ClaimTerms, ClaimedMessages, MessageKey, MessageOutcome, PlannedChanges, PlannedMessage, StoreError, Writer,
};

use crate::answers::{Answer, OFF_FOR, outcome_of};
use crate::merge::merged;
use crate::message::{Line, Link, Message, Section};
use crate::plan::Plan;
use crate::sender::Sender;

/// So many messages a channel gets in a day beside digests; the others wait for the next one, and become one.
const MOST_A_DAY: i64 = 5;
/// So many are sent to a channel at once, at most: a digest for each team, and one for all else.
const MOST_AT_ONCE: usize = 40;
/// Slack takes one message a second.
const PAUSE: Duration = Duration::from_millis(1_100);

/// What messages are written by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifySettings {
    /// The address of the page, up to `app/`; `None` for no links to it.
    pub page: Option<String>,
    /// How often data is collected.
    pub collect_every_hours: u16,
}

impl NotifySettings {
    /// Reads `PUBLIC_URL` and `COLLECT_EVERY_HOURS`.
    ///
    /// # Errors
    /// For a value that is not a number of hours.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let page = lookup("PUBLIC_URL").filter(|text| !text.trim().is_empty());
        let page = page.map(|page| format!("{}/", page.trim().trim_end_matches('/')));
        let collect_every_hours = bounded_integer(&lookup, "COLLECT_EVERY_HOURS", 1..=24, COLLECT_EVERY_HOURS)?;
        Ok(Self { page, collect_every_hours })
    }
}

/// Why messages could not be planned or sent.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A team could not be judged.
    #[error(transparent)]
    Report(#[from] ReportError),
}

impl NotifyError {
    /// A short, stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Store(error) | Self::Report(ReportError::Store(error)) => error.code(),
            Self::Report(_) => "notify.report",
        }
    }
}

/// What was sent to a channel at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many messages the service took.
    pub sent: usize,
    /// Why others were not, without an address.
    pub problems: Vec<String>,
    /// When the next one can be sent.
    pub next_at: Option<DateTime<Utc>>,
}

/// What there is to say now, if anything may have changed since it was last judged. `None` if nothing has.
///
/// # Errors
/// When the database fails.
pub async fn plan(
    store: &Writer,
    settings: &NotifySettings,
    now: DateTime<Utc>,
) -> Result<Option<PlannedChanges>, NotifyError> {
    if !store.needs_planning(now).await? {
        return Ok(None);
    }
    let channels = store.channels().await?;
    let planned = planned(store, &channels, settings, now).await?;
    let changes = store.plan_messages(&planned, now).await?;
    if changes.expired > 0 {
        tracing::warn!(
            "A message was not sent, or may not have been: {} too late for their channels",
            count_of(changes.expired, "digest")
        );
    }
    Ok(Some(changes))
}

/// All that there is to say now, with what was sent before and is still true.
///
/// # Errors
/// When the database fails.
pub async fn planned(
    store: &Writer,
    channels: &[ChannelEntry],
    settings: &NotifySettings,
    now: DateTime<Utc>,
) -> Result<Vec<PlannedMessage>, NotifyError> {
    if channels.is_empty() {
        return Ok(Vec::new());
    }
    let zone = store.timezone().await?;
    Box::pin(Plan { store, channels, settings, zone, now }.messages()).await
}

/// The channels of the teams file to which something can be sent now.
///
/// # Errors
/// When the database fails.
pub async fn due(store: &Writer, now: DateTime<Utc>) -> Result<Vec<ChannelEntry>, NotifyError> {
    let due = store.due_channels(now).await?;
    let channels = store.channels().await?;
    if due.is_empty() || channels.is_empty() {
        return Ok(Vec::new());
    }
    let zone = store.timezone().await?;
    let is_due =
        |channel: &ChannelEntry| due.iter().any(|id| id == channel.id.as_str()) && channel.open_from(now, zone) <= now;
    Ok(channels.into_iter().filter(is_due).collect())
}

/// Sends what is due to a channel.
///
/// # Errors
/// When the database fails. What was sent and could not be recorded counts as unknown.
pub async fn deliver(
    store: &Writer,
    sender: &Sender,
    channel: &ChannelEntry,
    clock: fn() -> DateTime<Utc>,
) -> Result<Delivered, NotifyError> {
    let mut delivered = Delivered::default();
    let now = clock();
    if let Some(why) = sender.problem_of(&channel.id, channel.kind) {
        // Not tried: what waits stays, and operators hear of it. As soon as there is an address, it is sent.
        store.turn_channel_off(&channel.id, &why, now, now).await?;
        delivered.problems.push(why);
        return Ok(delivered);
    }
    let zone = store.timezone().await?;
    let lost = store.settle_lost_messages(&channel.id, channel.kind.is_program(), now).await?;
    if lost > 0 {
        let why = format!("the program ended while {} sent: nobody knows whether they arrived", were(lost));
        tracing::warn!(channel = %channel.id, "A message was not sent, or may not have been: {}: {why}", channel.id);
        delivered.problems.push(why);
    }
    for nth in 0..MOST_AT_ONCE {
        let now = clock();
        // Quiet hours may have started since it was planned.
        if channel.open_from(now, zone) > now {
            break;
        }
        let Some(claimed) = store.claim_messages(&channel.id, terms(channel, zone, now), now).await? else { break };
        if nth > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let answer = attempt(sender, channel, &claimed, clock()).await;
        let now = clock();
        let outcomes: Vec<_> =
            claimed.messages.iter().map(|it| (it, outcome_of(&answer, channel.kind, it, now))).collect();
        store.finish_messages(&outcomes, now).await?;
        let given_up = |(_, outcome): &(_, MessageOutcome)| match outcome {
            MessageOutcome::Failed(why) | MessageOutcome::Unknown(why) => Some(why.clone()),
            _ => None,
        };
        if let Some(why) = outcomes.iter().find_map(given_up) {
            let (id, batch) = (&channel.id, claimed.batch);
            tracing::warn!(channel = %id, batch, "A message was not sent, or may not have been: {id}: {why}");
        }
        match &answer {
            Answer::Taken => {
                delivered.sent += 1;
                store.turn_channel_on(&channel.id).await?;
            }
            Answer::Gone(why) => {
                store.turn_channel_off(&channel.id, why, now, now + OFF_FOR).await?;
                delivered.problems.push(why.clone());
                break;
            }
            Answer::Later(_, why) => {
                delivered.problems.push(why.clone());
                break;
            }
            Answer::Refused(why) | Answer::Unknown(why) => delivered.problems.push(why.clone()),
        }
    }
    delivered.next_at = store.next_due(&channel.id).await?.map(|at| channel.open_from(at, zone));
    Ok(delivered)
}

/// What would be sent to each channel by now, and has not been: the channel, from when on, and the message. Quiet hours count,
/// limits of a day do not.
///
/// # Errors
/// When the database fails.
pub async fn unsent(
    store: &Writer,
    settings: &NotifySettings,
    now: DateTime<Utc>,
) -> Result<Vec<(ChannelEntry, DateTime<Utc>, MessageKind, Message)>, NotifyError> {
    let channels = store.channels().await?;
    let planned = planned(store, &channels, settings, now).await?;
    let keys: Vec<MessageKey> = planned.iter().map(|message| message.key.clone()).collect();
    let settled = store.settled_messages(&keys).await?;
    let open: Vec<PlannedMessage> =
        planned.into_iter().zip(settled).filter(|(_, settled)| !settled).map(|(message, _)| message).collect();
    let mut unsent = Vec::new();
    for channel in channels {
        let of_channel = open.iter().filter(|message| message.key.channel == channel.id);
        let read = |message: &PlannedMessage| serde_json::from_value::<Message>(message.content.clone()).ok();
        let (alone, together): (Vec<_>, Vec<_>) =
            of_channel.partition(|it| it.key.kind == MessageKind::Digest || channel.kind.is_program());
        for message in alone {
            unsent.extend(read(message).map(|it| (channel.clone(), message.due_at, message.key.kind, it)));
        }
        if let Some(first) = together.first()
            && let Some(message) = merged(together.iter().filter_map(|it| read(it)).collect())
        {
            unsent.push((channel, first.due_at, first.key.kind, message));
        }
    }
    Ok(unsent)
}

/// A message that says that a channel works.
pub fn sample(channel: &ChannelEntry, settings: &NotifySettings) -> Message {
    let kinds: Vec<&str> = channel.kinds.iter().map(<&str>::from).collect();
    let teams: Vec<&str> = channel.teams.iter().map(mergeline_domain::TeamSlug::as_str).collect();
    let about = if teams.is_empty() { "all teams".to_owned() } else { teams.join(", ") };
    let lines = vec![Line::of(format!("Kinds: {}", kinds.join(", "))), Line::of(format!("Teams: {about}"))];
    Message {
        title: "Mergeline: a test".to_owned(),
        summary: format!("Channel {} works.", channel.id),
        sections: Section::new("What this channel gets", lines).into_iter().collect(),
        link: settings.page.clone().map(Link::to_page),
        footer: "Somebody tested the channel.".to_owned(),
    }
}

/// Sends the sample to a channel, and turns the channel on or off by the answer.
///
/// # Errors
/// When the database fails.
pub async fn test_channel(
    store: &Writer,
    sender: &Sender,
    channel: &ChannelEntry,
    settings: &NotifySettings,
    now: DateTime<Utc>,
) -> Result<Answer, NotifyError> {
    if let Some(why) = sender.problem_of(&channel.id, channel.kind) {
        return Ok(Answer::Gone(why));
    }
    let id = format!("msg_{}_test_{}", channel.id, now.timestamp());
    let answer = sender.send(&channel.id, channel.kind, &sample(channel, settings), "test", &id, now).await;
    if answer == Answer::Taken {
        store.turn_channel_on(&channel.id).await?;
    }
    Ok(answer)
}

fn terms(channel: &ChannelEntry, zone: Tz, now: DateTime<Utc>) -> ClaimTerms {
    let today = now.with_timezone(&zone).date_naive();
    let next = start_of_day(today + Days::new(1), zone);
    let is_program = channel.kind.is_program();
    ClaimTerms {
        merges: !is_program,
        day: (start_of_day(today, zone), channel.open_from(next, zone)),
        most_a_day: (!is_program).then_some(MOST_A_DAY),
    }
}

async fn attempt(sender: &Sender, channel: &ChannelEntry, claimed: &ClaimedMessages, now: DateTime<Utc>) -> Answer {
    let messages: Result<Vec<Message>, _> =
        claimed.messages.iter().map(|it| serde_json::from_value(it.content.clone())).collect();
    let Some(mut message) = messages.ok().and_then(merged) else {
        return Answer::Refused("what was kept of it cannot be read".to_owned());
    };
    if claimed.messages.iter().any(|it| it.is_repeated) && !channel.kind.is_program() {
        message.footer = format!("You may have got this before: nobody knows whether it arrived. {}", message.footer);
    }
    let event = claimed.messages.first().map_or("", |it| <&str>::from(it.kind));
    let id = message_id(&channel.id, claimed.batch);
    sender.send(&channel.id, channel.kind, &message, event, &id, now).await
}

fn were(count: usize) -> String {
    format!("{} {}", count_of(count, "message"), if count == 1 { "was" } else { "were" })
}

/// What identifies a message for its receiver.
fn message_id(channel: &ChannelId, batch: i64) -> String {
    format!("msg_{channel}_{batch}")
}
