//! Messages to channels: written once for what they are about, claimed by a worker, and what became of them.

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::ChannelId;
use mergeline_domain::messages::{ChannelEntry, MessageKind};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;

use crate::revision::parse_stored;
use crate::session::Session;
use crate::{Reader, StoreError, Writer};

/// A worker that has not said after this time what became of a message is gone. Longer than any attempt takes.
const CLAIMED_FOR: TimeDelta = TimeDelta::minutes(3);
/// A message of a lasting change is not repeated when later facts move the week in which it was found: for 26 weeks after a change none
/// is looked for.
const CHANGE_IS_NEWS_FOR: TimeDelta = TimeDelta::weeks(20);
/// More are not sent together; the message that they become says how many it leaves out.
const MOST_TOGETHER: i64 = 1_000;
/// An operator hears of the end of what was reported within this time.
const REPORTED_WITHIN: TimeDelta = TimeDelta::days(3);

/// How the period of a message starts that says that something has ended.
pub const END_OF: &str = "end ";

/// What identifies a message: it is sent once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageKey {
    /// Where it goes.
    pub channel: ChannelId,
    /// What kind it is.
    pub kind: MessageKind,
    /// What it is about.
    pub subject: String,
    /// When that was: a week, a day, or nothing for what happens once.
    pub period: String,
}

/// Something to say.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedMessage {
    /// What identifies it.
    pub key: MessageKey,
    /// What it says.
    pub content: Value,
    /// Not before this instant.
    pub due_at: DateTime<Utc>,
}

/// What planning changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlannedChanges {
    /// Messages that are new.
    pub added: u64,
    /// Messages that waited, and are no longer true.
    pub dropped: u64,
    /// Digests that waited for too long. They failed.
    pub expired: u64,
}

/// How a channel is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimTerms {
    /// Whether several messages become one.
    pub merges: bool,
    /// The start of the channel's day, and of its next one.
    pub day: (DateTime<Utc>, DateTime<Utc>),
    /// How many it gets in a day beside digests; `None` for any number.
    pub most_a_day: Option<i64>,
}

/// Messages that a worker may send now, together.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedMessages {
    /// The number of what is sent, which a repetition has again.
    pub batch: i64,
    /// In the order in which they were planned.
    pub messages: Vec<ClaimedMessage>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedMessage {
    id: i64,
    /// What kind it is.
    pub kind: MessageKind,
    /// What it says.
    pub content: Value,
    /// How often it was tried, with this time.
    pub attempts: i32,
    /// Whether it may have arrived before.
    pub is_repeated: bool,
    /// When it was first tried.
    pub first_tried_at: DateTime<Utc>,
}

/// What became of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageOutcome {
    /// The service took them.
    Sent,
    /// They did not arrive, and may be sent again at this time.
    Again(DateTime<Utc>, String),
    /// Nobody knows whether they arrived, and they are sent again at this time, saying so.
    Repeated(DateTime<Utc>, String),
    /// They will not be sent.
    Failed(String),
    /// Nobody knows.
    Unknown(String),
}

/// What was written to a channel lately, and what waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChannelStatus {
    /// The short name.
    pub channel: String,
    /// Messages that wait, or are being sent.
    pub waiting: i64,
    /// When the last one was sent.
    pub last_sent_at: Option<DateTime<Utc>>,
    /// Messages of the last seven days of which each was sent.
    pub sent: i64,
    /// Messages of the last seven days that were not.
    pub failed: i64,
    /// Messages of the last seven days of which nobody knows.
    pub unknown: i64,
    /// Why it refuses messages, else why the last of those was not sent.
    pub problem: Option<String>,
    /// Since when it refuses messages.
    pub off_since: Option<DateTime<Utc>>,
    /// When it is tried again.
    pub next_try_at: Option<DateTime<Utc>>,
}

/// A repository whose collection fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingRepository {
    /// `owner/name`.
    pub name: String,
    /// When it was last read completely, or added.
    pub since: DateTime<Utc>,
    /// Why it fails.
    pub reason: Option<String>,
}

impl Reader {
    /// The channels of the teams file in force.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channels(&self) -> Result<Vec<ChannelEntry>, StoreError> {
        let row = sqlx::query_scalar!(
            r#"select channels as "channels!: Json<Vec<ChannelEntry>>" from configuration_in_force"#
        );
        Ok(row.fetch_optional(&self.pool).await?.map_or_else(Vec::new, |channels| channels.0))
    }

    /// Whether something may be new to say: since messages were last planned a half hour of the clock has started, something was
    /// collected, or a message that waits is due. What has an hour of the day starts with one of these.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn needs_planning(&self, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let needed = sqlx::query_scalar!(
            r#"select
                not exists (
                    select from message_plans as p
                    where date_bin('30 minutes', p.planned_at, 'epoch') >= date_bin('30 minutes', $1::timestamptz, 'epoch')
                )
                or exists (
                    select from repositories as r cross join message_plans as p
                    where r.removed_at is null and r.collected_at > p.planned_at
                )
                or exists (
                    select from collection_runs as c cross join message_plans as p where c.finished_at > p.planned_at
                )
                or exists (
                    select from configurations as c cross join message_plans as p where c.applied_at > p.planned_at
                )
                or exists (select from messages as m where m.state = 'waiting' and m.due_at <= $1) as "needed!""#,
            now
        );
        Ok(needed.fetch_one(&self.pool).await?)
    }

    /// Which of these were sent, failed, or may have been sent: there is nothing more to say about them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settled_messages(&self, keys: &[MessageKey]) -> Result<Vec<bool>, StoreError> {
        let [channels, kinds, subjects, periods] = columns(keys);
        let settled = sqlx::query_scalar!(
            r#"select
                exists (
                    select from messages as m
                    where
                        m.channel = k.channel and m.kind = k.kind and m.subject = k.subject and m.period = k.period
                        and m.state not in ('waiting', 'dropped')
                ) as "settled!"
            from unnest($1::text [], $2::text [], $3::text [], $4::text []) with ordinality
                as k (channel, kind, subject, period, place)
            order by k.place"#,
            &channels as &[&str],
            &kinds as &[&str],
            &subjects as &[&str],
            &periods as &[&str]
        );
        Ok(settled.fetch_all(&self.pool).await?)
    }

    /// What was lately reported to operators and has not ended: the channel, the subject, and what was said last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reported_operations(&self, now: DateTime<Utc>) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query!(
            "select channel, subject from (
                select distinct on (m.channel, m.subject) m.channel, m.subject, m.period, m.state
                from messages as m
                where m.kind = 'operations' and m.state <> 'dropped' and m.created_at > $1
                order by m.channel, m.subject, m.id desc
            ) as last
            -- An end that waits is still to be said.
            where not starts_with(last.period, $2) or last.state = 'waiting'",
            now - REPORTED_WITHIN,
            END_OF
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| (row.channel, row.subject)).collect())
    }

    /// The repositories that were not read completely since an instant, and whose last work failed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn failing_repositories(&self, since: DateTime<Utc>) -> Result<Vec<FailingRepository>, StoreError> {
        let rows = sqlx::query_as!(
            FailingRepository,
            r#"select r.display_name as "name!", coalesce(r.collected_at, r.added_at) as "since!", l.error_message as "reason?"
            from repositories as r
            cross join lateral (
                select c.state, c.error_message
                from collection_results as c
                where c.repository_id = r.id and c.state <> 'busy'
                order by c.run_id desc
                limit 1
            ) as l
            where r.removed_at is null and l.state = 'failed' and coalesce(r.collected_at, r.added_at) < $1
            order by 1"#,
            since
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// The channels to which something can be sent now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due_channels(&self, now: DateTime<Utc>) -> Result<Vec<String>, StoreError> {
        let channels = sqlx::query_scalar!(
            "select distinct m.channel
            from messages as m
            where
                (
                    (m.state = 'waiting' and m.due_at <= $1)
                    or (m.state = 'sending' and m.tried_at <= $2)
                )
                and not exists (select from message_channels as c where c.channel = m.channel and c.next_try_at > $1)
            order by m.channel",
            now,
            now - CLAIMED_FOR
        );
        Ok(channels.fetch_all(&self.pool).await?)
    }

    /// When the next message can be sent to a channel; `None` if none waits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_due(&self, channel: &ChannelId) -> Result<Option<DateTime<Utc>>, StoreError> {
        let due = sqlx::query_scalar!(
            "select min(greatest(m.due_at, c.next_try_at))
            from messages as m
            left join message_channels as c on m.channel = c.channel
            where m.state = 'waiting' and m.channel = $1",
            channel.as_str()
        );
        Ok(due.fetch_one(&self.pool).await?)
    }

    /// What was written to channels lately, by channel. One without any message is not in it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn channel_statuses(&self, now: DateTime<Utc>) -> Result<Vec<ChannelStatus>, StoreError> {
        let rows = sqlx::query_as!(
            ChannelStatus,
            r#"select
                coalesce(m.channel, c.channel) as "channel!",
                count(*) filter (where m.state in ('waiting', 'sending')) as "waiting!",
                max(m.finished_at) filter (where m.state = 'sent') as last_sent_at,
                count(*) filter (where m.state = 'sent' and m.finished_at > $1) as "sent!",
                count(*) filter (where m.state = 'failed' and m.finished_at > $1) as "failed!",
                count(*) filter (where m.state = 'unknown' and m.finished_at > $1) as "unknown!",
                coalesce(
                    min(c.problem),
                    (
                        array_agg(m.problem order by m.id desc)
                        filter (where m.problem is not null and coalesce(m.finished_at, m.tried_at) > $1)
                    )[1]
                ) as problem,
                min(c.off_since) as off_since, min(c.next_try_at) as next_try_at
            from messages as m
            full outer join message_channels as c on m.channel = c.channel
            group by 1
            order by 1"#,
            now - TimeDelta::days(7)
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }
}

impl Writer {
    /// Writes what there is to say now. What was said stays as it was said; what waits says the newest, and what waits and is not in
    /// the list any more is dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plan_messages(
        &self,
        planned: &[PlannedMessage],
        now: DateTime<Utc>,
    ) -> Result<PlannedChanges, StoreError> {
        let keys: Vec<MessageKey> = planned.iter().map(|message| message.key.clone()).collect();
        let contents: Vec<&Value> = planned.iter().map(|message| &message.content).collect();
        let due: Vec<DateTime<Utc>> = planned.iter().map(|message| message.due_at).collect();
        self.in_transaction(async |connection| {
            let [channels, kinds, subjects, periods] = columns(&keys);
            // One planner after the other, so that neither drops what the other one has just found.
            sqlx::query!(
                "insert into message_plans (planned_at) values ($1)
                on conflict (tenant_id) do update set planned_at = greatest(message_plans.planned_at, excluded.planned_at)",
                now
            )
            .execute(&mut *connection)
            .await?;
            let added = sqlx::query!(
                "insert into messages (channel, kind, subject, period, content, created_at, due_at)
                select k.channel, k.kind, k.subject, k.period, k.content, $7::timestamptz, k.due_at
                from unnest($1::text [], $2::text [], $3::text [], $4::text [], $5::jsonb [], $6::timestamptz []) with ordinality
                    as k (channel, kind, subject, period, content, due_at, place)
                where
                    k.kind <> 'change'
                    or not exists (
                        select from messages as m
                        where
                            m.channel = k.channel and m.kind = 'change' and m.subject = k.subject and m.period <> k.period
                            and m.state not in ('waiting', 'dropped') and m.created_at > $8
                    )
                order by k.place
                on conflict (tenant_id, channel, kind, subject, period) do update
                set
                    state = 'waiting', content = excluded.content, created_at = excluded.created_at, due_at = excluded.due_at,
                    finished_at = null, problem = null, batch = null, attempts = 0, first_tried_at = null
                where messages.state = 'dropped'",
                &channels as &[&str],
                &kinds as &[&str],
                &subjects as &[&str],
                &periods as &[&str],
                &contents as &[&Value],
                &due,
                now,
                now - CHANGE_IS_NEWS_FOR
            )
            .execute(&mut *connection)
            .await?
            .rows_affected();
            // Also of what was tried: settings may hide since what it said.
            sqlx::query!(
                "update messages as m
                set content = k.content
                from unnest($1::text [], $2::text [], $3::text [], $4::text [], $5::jsonb [])
                    as k (channel, kind, subject, period, content)
                where
                    m.channel = k.channel and m.kind = k.kind and m.subject = k.subject and m.period = k.period
                    and m.state = 'waiting' and m.content is distinct from k.content",
                &channels as &[&str],
                &kinds as &[&str],
                &subjects as &[&str],
                &periods as &[&str],
                &contents as &[&Value]
            )
            .execute(&mut *connection)
            .await?;
            // Of a channel that is not in the file any more, nobody claims anything again.
            sqlx::query!(
                "update messages
                set state = 'unknown', content = null, finished_at = $1, problem = 'the program ended while it was sent'
                where state = 'sending' and tried_at <= $1::timestamptz - interval '1 day'",
                now
            )
            .execute(&mut *connection)
            .await?;
            let ended = sqlx::query!(
                "update messages as m
                set
                    state = case m.kind when 'digest' then 'failed' else 'dropped' end,
                    problem = case m.kind when 'digest' then coalesce(m.problem, 'the channel took nothing in time') end,
                    content = null,
                    finished_at = $5
                where
                    m.state = 'waiting'
                    and not exists (
                        select from unnest($1::text [], $2::text [], $3::text [], $4::text []) as k (channel, kind, subject, period)
                        where m.channel = k.channel and m.kind = k.kind and m.subject = k.subject and m.period = k.period
                    )
                returning m.state",
                &channels as &[&str],
                &kinds as &[&str],
                &subjects as &[&str],
                &periods as &[&str],
                now
            )
            .fetch_all(&mut *connection)
            .await?;
            let expired = ended.iter().filter(|row| row.state == "failed").count() as u64;
            Ok(PlannedChanges { added, dropped: ended.len() as u64 - expired, expired })
        })
        .await
    }

    /// Settles what workers claimed that are gone: nobody knows whether it arrived. A receiver that notices repetitions gets it again; a
    /// digest is repeated once, saying so; anything else is not. Returns how many are not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle_lost_messages(
        &self,
        channel: &ChannelId,
        may_repeat: bool,
        now: DateTime<Utc>,
    ) -> Result<usize, StoreError> {
        self.in_transaction(async |connection| settle_lost(connection, channel, may_repeat, now).await).await
    }

    /// Claims what can be sent to a channel now: a digest, or all else that is due. `None` if there is nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim_messages(
        &self,
        channel: &ChannelId,
        terms: ClaimTerms,
        now: DateTime<Utc>,
    ) -> Result<Option<ClaimedMessages>, StoreError> {
        self.once(async |connection| {
            let is_off = sqlx::query_scalar!(
                r#"select exists (select from message_channels where channel = $1 and next_try_at > $2) as "off!""#,
                channel.as_str(),
                now
            );
            if is_off.fetch_one(&mut *connection).await? {
                return Ok(None);
            }
            let due = sqlx::query!(
                "select id, kind from messages
                where channel = $1 and state = 'waiting' and due_at <= $2
                order by kind <> 'digest', id
                limit $3
                for update skip locked",
                channel.as_str(),
                now,
                if terms.merges { MOST_TOGETHER } else { 1 }
            )
            .fetch_all(&mut *connection)
            .await?;
            let Some(first) = due.first() else { return Ok(None) };
            let is_digest = parse_stored::<MessageKind>(&first.kind)? == MessageKind::Digest;
            let is_alone = is_digest || !terms.merges;
            let ids: Vec<i64> = due.iter().take(if is_alone { 1 } else { due.len() }).map(|row| row.id).collect();
            if let Some(most) = terms.most_a_day
                && !is_digest
                && tried_since(connection, channel, terms.day.0).await? >= most
            {
                sqlx::query!("update messages set due_at = $2 where id = any($1)", &ids, terms.day.1)
                    .execute(&mut *connection)
                    .await?;
                return Ok(None);
            }
            claim(connection, &ids, now).await.map(Some)
        })
        .await
    }

    /// Says what became of claimed messages. Nothing happens to one that somebody else has claimed since.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finish_messages(
        &self,
        outcomes: &[(&ClaimedMessage, MessageOutcome)],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            for (message, outcome) in outcomes {
                finish(connection, message, outcome, now).await?;
            }
            Ok(())
        })
        .await
    }

    /// Sends a channel nothing until `next_try_at`, because it refuses its messages.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn turn_channel_off(
        &self,
        channel: &ChannelId,
        problem: &str,
        now: DateTime<Utc>,
        next_try_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            sqlx::query!(
                "insert into message_channels (channel, off_since, next_try_at, problem) values ($1, $2, $3, $4)
                on conflict (tenant_id, channel) do update set next_try_at = excluded.next_try_at, problem = excluded.problem",
                channel.as_str(),
                now,
                next_try_at,
                problem
            )
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// A channel takes messages.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn turn_channel_on(&self, channel: &ChannelId) -> Result<(), StoreError> {
        self.in_transaction(async |connection| {
            sqlx::query!("delete from message_channels where channel = $1", channel.as_str())
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }
}

/// Settles what a worker claimed that is gone, and returns of how many messages nobody will ever know.
async fn settle_lost(
    connection: &mut Session,
    channel: &ChannelId,
    may_repeat: bool,
    now: DateTime<Utc>,
) -> Result<usize, StoreError> {
    let lost = sqlx::query!(
        "update messages as m
        set
            state = case when l.again then 'waiting' else 'unknown' end,
            content = case when l.again then m.content end,
            finished_at = case when not l.again then $2::timestamptz end,
            is_repeated = m.is_repeated or l.again,
            problem = 'the program ended while it was sent'
        from (
            select id, $4 or (kind = 'digest' and not is_repeated) as again
            from messages
            where channel = $1 and state = 'sending' and tried_at <= $3
            for update skip locked
        ) as l
        where m.id = l.id
        returning m.state",
        channel.as_str(),
        now,
        now - CLAIMED_FOR,
        may_repeat
    )
    .fetch_all(connection)
    .await?;
    Ok(lost.iter().filter(|row| row.state == "unknown").count())
}

async fn finish(
    connection: &mut Session,
    message: &ClaimedMessage,
    outcome: &MessageOutcome,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let (state, due_at, problem) = match outcome {
        MessageOutcome::Sent => ("sent", None, None),
        MessageOutcome::Again(at, problem) | MessageOutcome::Repeated(at, problem) => {
            ("waiting", Some(*at), Some(problem))
        }
        MessageOutcome::Failed(problem) => ("failed", None, Some(problem)),
        MessageOutcome::Unknown(problem) => ("unknown", None, Some(problem)),
    };
    sqlx::query!(
        "update messages
        set
            is_repeated = is_repeated or $7,
            state = $3,
            content = case when $3 = 'waiting' then content end,
            due_at = coalesce($4, due_at),
            finished_at = case when $3 <> 'waiting' then $6::timestamptz end,
            problem = $5
        where id = $1 and state = 'sending' and attempts = $2",
        message.id,
        message.attempts,
        state,
        due_at,
        problem,
        now,
        matches!(outcome, MessageOutcome::Repeated(..))
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How often something beside digests was sent to a channel since an instant.
async fn tried_since(connection: &mut Session, channel: &ChannelId, since: DateTime<Utc>) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar!(
        r#"select count(distinct batch) as "count!" from messages
        where channel = $1 and kind <> 'digest' and tried_at >= $2 and state in ('sending', 'sent', 'unknown')"#,
        channel.as_str(),
        since
    );
    Ok(count.fetch_one(connection).await?)
}

async fn claim(connection: &mut Session, ids: &[i64], now: DateTime<Utc>) -> Result<ClaimedMessages, StoreError> {
    let batch = ids.iter().min().copied().unwrap_or_default();
    let mut rows = sqlx::query!(
        r#"update messages
        set
            state = 'sending', batch = $2, tried_at = $3, first_tried_at = coalesce(first_tried_at, $3), attempts = attempts + 1
        where id = any($1)
        returning id, kind, attempts, is_repeated, first_tried_at as "first_tried_at!", content as "content!""#,
        ids,
        batch,
        now
    )
    .fetch_all(connection)
    .await?;
    rows.sort_by_key(|row| row.id);
    let messages = rows.into_iter().map(|row| {
        Ok(ClaimedMessage {
            id: row.id,
            kind: parse_stored(&row.kind)?,
            content: row.content,
            attempts: row.attempts,
            is_repeated: row.is_repeated,
            first_tried_at: row.first_tried_at,
        })
    });
    Ok(ClaimedMessages { batch, messages: messages.collect::<Result<_, StoreError>>()? })
}

fn columns(keys: &[MessageKey]) -> [Vec<&str>; 4] {
    [
        keys.iter().map(|key| key.channel.as_str()).collect(),
        keys.iter().map(|key| <&str>::from(key.kind)).collect(),
        keys.iter().map(|key| key.subject.as_str()).collect(),
        keys.iter().map(|key| key.period.as_str()).collect(),
    ]
}
