//! What webhooks delivered, and what they announced.

use chrono::{DateTime, Utc};
use mergeline_domain::delivery::DeploymentSource;
use mergeline_domain::{ExternalId, InstanceId, RepoName, one_line};

use crate::connection::Transaction;
use crate::delivery::{EventDigest, Poster};
use crate::revision::parse_stored;
use crate::session::Session;
use crate::{Reader, RepositoryId, StoreError, Writer};

/// A delivery that was received.
#[derive(Debug, Clone, Copy)]
pub struct ReceivedDelivery<'a> {
    /// The kind of webhook.
    pub plugin: &'a str,
    /// The id that its sender gave it.
    pub id: Option<&'a str>,
    /// What it is about, such as `pull_request.closed`.
    pub kind: &'a str,
    /// The digest of its body, which is not kept.
    pub digest: &'a EventDigest,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The repository will be read.
    Queued(RepositoryId),
    /// It means nothing here.
    Ignored,
    /// It cannot be used, for this reason.
    Refused(&'static str),
}

/// What is known about a delivery and its repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownDelivery {
    /// What became of it when it came before.
    pub outcome: Option<String>,
    /// Its repository, if that is collected.
    pub repository: Option<(RepositoryId, RepoName)>,
    /// The sources of deployments that are read for it, if the delivery carries facts: that takes longer than all the rest.
    pub sources: Vec<DeploymentSource>,
}

/// What came by a kind of webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginActivity {
    /// The kind.
    pub plugin: String,
    /// When the last delivery came.
    pub last_at: DateTime<Utc>,
    /// How many came in the last 24 hours.
    pub received: i64,
    /// How many of these meant nothing.
    pub ignored: i64,
    /// How many of these could not be used, although their signatures were right.
    pub refused: i64,
}

/// An event that was received: posted, imported or delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedEvent {
    /// Its number in the record.
    pub id: i64,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// How it came.
    pub channel: String,
    /// The kind of webhook.
    pub plugin: Option<String>,
    /// The id that its sender gave the delivery.
    pub delivery_id: Option<String>,
    /// The name of the key.
    pub key_name: Option<String>,
    /// What it is about.
    pub kind: String,
    /// The id that its sender gave what it is about, or the kind of event.
    pub subject: Option<String>,
    /// What became of it.
    pub outcome: String,
    /// Why it was refused.
    pub reason: Option<String>,
    /// The digest of what came, in hexadecimal digits.
    pub sha256: String,
}

/// How well webhooks announce what changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Announcements {
    /// Repositories about which a delivery ever came.
    pub repositories: i64,
    /// How often a collection found a change that no delivery had announced.
    pub missed: i64,
    /// When it last did.
    pub missed_at: Option<DateTime<Utc>>,
}

/// Deployments that a source reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceActivity {
    /// The source.
    pub source: String,
    /// How many services it is the source of.
    pub services: i64,
    /// When the newest of its deployments to production was created.
    pub last_at: Option<DateTime<Utc>>,
}

impl Reader {
    /// What came by each kind of webhook.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plugin_activity(&self, now: DateTime<Utc>) -> Result<Vec<PluginActivity>, StoreError> {
        let query = sqlx::query_as!(
            PluginActivity,
            r#"select
                plugin as "plugin!", max(received_at) as "last_at!",
                count(*) filter (where received_at > $1::timestamptz - interval '24 hours') as "received!",
                count(*) filter (where received_at > $1::timestamptz - interval '24 hours' and outcome = 'ignored') as "ignored!",
                count(*) filter (where received_at > $1::timestamptz - interval '24 hours' and outcome = 'refused') as "refused!"
            from received_events
            where plugin is not null
            group by plugin
            order by plugin"#,
            now
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }

    /// What was received, the newest first, behind a place in that list.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn received_events(
        &self,
        outcome: Option<&str>,
        after: Option<(DateTime<Utc>, i64)>,
        limit: u32,
    ) -> Result<Vec<ReceivedEvent>, StoreError> {
        let (at, id) = after.unzip();
        let query = sqlx::query_as!(
            ReceivedEvent,
            r#"select
                id, received_at, channel, plugin, delivery_id, key_name, kind, subject, outcome, reason,
                encode(sha256, 'hex') as "sha256!"
            from received_events
            where
                ($1::text is null or outcome = $1)
                and ($2::timestamptz is null or (received_at, id) < ($2, $3))
            order by received_at desc, id desc
            limit $4"#,
            outcome,
            at,
            id,
            i64::from(limit)
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }

    /// How well webhooks announce what changes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn announcements(&self) -> Result<Announcements, StoreError> {
        let query = sqlx::query_as!(
            Announcements,
            r#"select count(*) as "repositories!", coalesce(sum(missed), 0)::bigint as "missed!", max(missed_at) as missed_at
            from announcements"#
        );
        self.with_deadline(async |connection| Ok(query.fetch_one(connection).await?)).await
    }

    /// The sources of deployments that are used.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn source_activity(&self) -> Result<Vec<SourceActivity>, StoreError> {
        let query = sqlx::query_as!(
            SourceActivity,
            r#"select
                s.source as "source!", s.services as "services!",
                (
                    select max(d.created_at) from deployments as d
                    where d.source = s.source and d.environment_group = 'production' and d.deleted_at is null
                ) as last_at
            from (
                select coalesce(o.source, 'github-deployments') as source, count(*) as services
                from sources_of_services as o
                group by 1
            ) as s
            order by 1"#
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }
}

impl Writer {
    /// Notes that a collection found that a pull request was opened, merged or closed, a deployment created or an incident opened, and no
    /// delivery had announced it, although deliveries about the repository come. One that came within a minute may have been about it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_missed_announcement(
        &self,
        repository: RepositoryId,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        self.in_transaction(async |connection| {
            let noted = sqlx::query!(
                "update announcements as a
                set missed = a.missed + 1, missed_at = $2
                where
                    a.repository_id = $1
                    and exists (
                        select from (
                            select greatest(p.created_at, p.merged_at, p.closed_at) as at
                            from pull_requests as p
                            where p.repository_id = $1
                            union all
                            -- Tags have no deliveries, and posted ones are none of GitHub's.
                            select d.created_at
                            from deployments as d
                            where d.repository_id = $1 and d.source in ('github-deployments', 'github-actions')
                            union all
                            select i.started_at
                            from incidents as i
                            where i.repository_id = $1 and i.source = 'github-issues'
                        ) as c
                        where
                            c.at > a.last_at + interval '1 minute'
                            -- A later delivery may still be on its way.
                            and c.at < $2::timestamptz - interval '2 minutes'
                            and c.at > coalesce(a.missed_at, '-infinity')
                    )",
                repository.0,
                now
            )
            .execute(connection)
            .await?;
            Ok(noted.rows_affected() > 0)
        })
        .await
    }
}

impl Poster {
    /// What is known about a delivery of GitHub and its repository.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_delivery(
        &self,
        delivery: &ReceivedDelivery<'_>,
        repository: Option<(&ExternalId, &RepoName)>,
        carries_facts: bool,
    ) -> Result<KnownDelivery, StoreError> {
        let query = sqlx::query!(
            r#"select
                (
                    select e.outcome from received_events as e where e.plugin = $1 and e.delivery_id = $2
                ) as outcome,
                r.id as "id?", r.display_name as "name?",
                case when $6 then array(
                    select l.source from lists_of_repositories as l where l.repository_id = r.id
                ) else '{}' end as "sources!: Vec<String>"
            from (values (1)) as one (row)
            left join lateral (
                select r.id, r.display_name from repositories as r
                where
                    r.instance_id = $3 and r.removed_at is null
                    -- What a delivery carries is not read again: another repository of that name must not be taken for this one.
                    and (
                        r.external_id = $4
                        or (not $6 or r.external_id is null) and (r.name = $5 or r.current_name = $5)
                    )
                order by r.external_id = $4 desc nulls last, r.id
                limit 1
            ) as r on true"#,
            delivery.plugin,
            delivery.id,
            InstanceId::GITHUB.0,
            repository.map(|(id, _)| id.as_str()),
            repository.map(|(_, name)| name.as_str()),
            carries_facts
        );
        let row = self.reader().with_deadline(async |connection| Ok(query.fetch_one(connection).await?)).await?;
        let name = row.name.and_then(|name| name.parse().ok());
        let sources = row.sources.iter().map(|source| parse_stored(source)).collect::<Result<_, _>>()?;
        Ok(KnownDelivery { outcome: row.outcome, repository: row.id.map(RepositoryId).zip(name), sources })
    }

    /// Records a delivery, and that it announced a change. One that was recorded before stays as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_delivery(
        &self,
        delivery: &ReceivedDelivery<'_>,
        outcome: DeliveryOutcome,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let id = fastrand::i64(1..);
        self.writer().perform(&Recording { id, delivery, outcome, now }).await
    }
}

/// The transaction that records a delivery.
struct Recording<'a> {
    /// Random, so that a transaction that is repeated because its reply was lost records it once.
    id: i64,
    delivery: &'a ReceivedDelivery<'a>,
    outcome: DeliveryOutcome,
    now: DateTime<Utc>,
}

impl Transaction for Recording<'_> {
    type Done = ();

    async fn run(&self, connection: &mut Session) -> Result<(), StoreError> {
        const LONGEST: usize = 200;
        let ReceivedDelivery { plugin, id, kind, digest } = *self.delivery;
        let (about, outcome, reason) = match self.outcome {
            DeliveryOutcome::Queued(_) => ("repository", "queued", None),
            DeliveryOutcome::Ignored => ("other", "ignored", None),
            DeliveryOutcome::Refused(reason) => ("other", "refused", Some(reason)),
        };
        let kind = one_line(kind, LONGEST);
        sqlx::query!(
            "insert into received_events (id, received_at, channel, plugin, delivery_id, sha256, kind, subject, outcome, reason)
            values ($1, $2, 'webhook', $3, $4, $5, $6, nullif($7, ''), $8, $9)
            on conflict do nothing",
            self.id,
            self.now,
            plugin,
            id,
            &digest[..],
            about,
            kind,
            outcome,
            reason
        )
        .execute(&mut *connection)
        .await?;
        if let DeliveryOutcome::Queued(repository) = self.outcome {
            // Many at once do not wait for each other's commit to write the same second.
            sqlx::query!(
                "insert into announcements as a (repository_id, last_at)
                select $1, $2::timestamptz
                where not exists (
                    select from announcements as n where n.repository_id = $1 and n.last_at > $2::timestamptz - interval '1 second'
                )
                on conflict (tenant_id, repository_id) do update set last_at = greatest(a.last_at, excluded.last_at)",
                repository.0,
                self.now
            )
            .execute(connection)
            .await?;
        }
        Ok(())
    }
}
