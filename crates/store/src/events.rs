//! What happened, written in the transaction that made it happen.

use chrono::{DateTime, Days, Utc};
use chrono_tz::Tz;
use mergeline_domain::{iso_week, monday_of, start_of_day};
use serde::Serialize;
use serde_json::{Value, json};

use crate::revision::parse_stored;
use crate::session::Session;
use crate::{Reader, StoreError, Writer};

/// The length of a week.
const WEEK: Days = Days::new(7);

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EventKind {
    /// A teams file became the configuration in force.
    ConfigurationApplied,
    /// The collection of a repository failed, after it had worked.
    RepositoryFailing,
    /// The collection of a repository worked again.
    RepositoryRecovered,
    /// The past of a repository was read to its end.
    BackfillFinished,
    /// Everything up to the end of a week was read, of every repository.
    WeekCompleted,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its number. Of two events that happen at the same time, the one with the lower number may become visible later.
    pub id: i64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What happened.
    pub kind: EventKind,
    /// Who made it happen: `collector`, or the name of a person's login.
    pub actor: String,
    /// What it is about: a revision, `owner/name`, or a week such as `2026-W24`.
    pub subject: String,
    /// Details, by the kind.
    pub payload: Value,
}

impl Reader {
    /// The newest events, newest first, at most `limit`; with `before`, those with lower numbers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events(&self, before: Option<i64>, limit: u32) -> Result<Vec<Event>, StoreError> {
        let query = sqlx::query!(
            r#"select id, at, kind, coalesce(actor_name, actor_kind) as "actor!", subject, payload
            from events
            where $1::bigint is null or id < $1
            order by id desc
            limit $2"#,
            before,
            i64::from(limit)
        );
        let rows = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        rows.into_iter()
            .map(|row| {
                Ok(Event {
                    id: row.id,
                    at: row.at,
                    kind: parse_stored(&row.kind)?,
                    actor: row.actor,
                    subject: row.subject,
                    payload: row.payload,
                })
            })
            .collect()
    }
}

impl Writer {
    /// Records that something happened, in the transaction of `connection`. A week that is recorded already stays as it
    /// is.
    pub(crate) async fn record_event(
        &self,
        connection: &mut Session,
        kind: EventKind,
        subject: &str,
        payload: &Value,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        sqlx::query!(
            "insert into events (at, kind, actor_kind, actor_name, subject, payload) values ($1, $2, $3, $4, $5, $6)
            on conflict (tenant_id, subject) where kind = 'week_completed' do nothing",
            now,
            <&str>::from(kind),
            self.actor().kind(),
            self.actor().name(),
            subject,
            payload
        )
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Records the weeks that have become complete since the last one: those of the file's time zone up to the moment
    /// until which everything is read. The first time, only the last of them.
    pub(crate) async fn record_completed_weeks(
        &self,
        connection: &mut Session,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let row = sqlx::query!(
            r#"select
                c.covered_since, c.complete_until, f.timezone as "timezone!",
                (select max((e.payload ->> 'from')::date) from events as e where e.kind = 'week_completed') as last
            from collection_coverage as c
            cross join configuration_in_force as f"#
        )
        .fetch_optional(&mut *connection)
        .await?;
        let Some(row) = row else { return Ok(()) };
        let (Some(since), Some(until)) = (row.covered_since, row.complete_until) else { return Ok(()) };
        let zone: Tz = parse_stored(&row.timezone)?;
        let this_week = monday_of(until.with_timezone(&zone).date_naive());
        let mut monday = row.last.map_or(this_week - WEEK, |last| last + WEEK);
        while monday < this_week {
            if start_of_day(monday, zone) >= since {
                let payload = json!({ "from": monday, "to": monday + WEEK });
                self.record_event(connection, EventKind::WeekCompleted, &iso_week(monday), &payload, now).await?;
            }
            monday = monday + WEEK;
        }
        Ok(())
    }
}
