//! The rate limits of instances, shared with the next run and with other sandboxes.

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::InstanceId;
use mergeline_source::{Block, Remaining};

use crate::{Reader, StoreError, Writer};

/// How long an expired block is kept for people who look into it.
const KEPT_FOR: TimeDelta = TimeDelta::days(1);

impl Reader {
    /// The blocks of an instance that have not expired yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rate_limit_blocks(&self, instance: InstanceId, now: DateTime<Utc>) -> Result<Vec<Block>, StoreError> {
        let query = sqlx::query_as!(
            Block,
            "select scope, kind, blocked_until as until from rate_limit_blocks
            where instance_id = $1 and blocked_until > $2
            order by 1, 2",
            instance.0,
            now
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }

    /// What is left of the limits of an instance that have not been reset since.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rate_limit_remaining(
        &self,
        instance: InstanceId,
        now: DateTime<Utc>,
    ) -> Result<Vec<Remaining>, StoreError> {
        let query = sqlx::query!(
            "select scope, hourly_limit, remaining, resets_at from rate_limit_remaining
            where instance_id = $1 and resets_at > $2
            order by 1",
            instance.0,
            now
        );
        let rows = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        let known = rows.into_iter().map(|row| Remaining {
            scope: row.scope,
            limit: u32::try_from(row.hourly_limit).unwrap_or_default(),
            remaining: u32::try_from(row.remaining).unwrap_or_default(),
            resets_at: row.resets_at,
        });
        Ok(known.collect())
    }
}

impl Writer {
    /// Stores blocks. Of several blocks of one kind, the longest counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn store_rate_limit_blocks(
        &self,
        instance: InstanceId,
        blocks: &[Block],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // Sorted, so that two workers cannot deadlock. One statement must not touch a row twice.
        let mut sorted: Vec<&Block> = blocks.iter().collect();
        sorted.sort_by(|a, b| (&a.scope, &a.kind, b.until).cmp(&(&b.scope, &b.kind, a.until)));
        sorted.dedup_by(|later, kept| (&later.scope, &later.kind) == (&kept.scope, &kept.kind));
        let scopes: Vec<&str> = sorted.iter().map(|block| block.scope.as_str()).collect();
        let kinds: Vec<&str> = sorted.iter().map(|block| block.kind.as_str()).collect();
        let untils: Vec<DateTime<Utc>> = sorted.iter().map(|block| block.until).collect();
        self.in_transaction(async |connection| {
            sqlx::query!(
                "insert into rate_limit_blocks as b (instance_id, scope, kind, blocked_until)
                select $1, i.scope, i.kind, i.until
                from unnest($2::text [], $3::text [], $4::timestamptz []) as i (scope, kind, until)
                on conflict (tenant_id, instance_id, scope, kind) do update
                set blocked_until = greatest(b.blocked_until, excluded.blocked_until)",
                instance.0,
                &scopes as &[&str],
                &kinds as &[&str],
                &untils
            )
            .execute(&mut *connection)
            .await?;
            // The earlier remainder no longer justifies sending several requests at once.
            sqlx::query!(
                "delete from rate_limit_remaining where instance_id = $1 and scope = any($2)",
                instance.0,
                &scopes as &[&str]
            )
            .execute(&mut *connection)
            .await?;
            sqlx::query!("delete from rate_limit_blocks where blocked_until < $1", now - KEPT_FOR)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    /// Stores what is left of limits. Replaces earlier values.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn store_rate_limit_remaining(
        &self,
        instance: InstanceId,
        remaining: &[Remaining],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // Sorted, so that two workers cannot deadlock.
        let mut sorted: Vec<&Remaining> = remaining.iter().collect();
        sorted.sort_by(|a, b| a.scope.cmp(&b.scope));
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let scopes: Vec<&str> = sorted.iter().map(|it| it.scope.as_str()).collect();
        let limits: Vec<i32> = sorted.iter().map(|it| number(it.limit)).collect();
        let left: Vec<i32> = sorted.iter().map(|it| number(it.remaining)).collect();
        let resets: Vec<DateTime<Utc>> = sorted.iter().map(|it| it.resets_at).collect();
        self.in_transaction(async |connection| {
            sqlx::query!(
                "insert into rate_limit_remaining (instance_id, scope, hourly_limit, remaining, resets_at)
                select $1, i.scope, i.hourly_limit, i.remaining, i.resets_at
                from unnest($2::text [], $3::int [], $4::int [], $5::timestamptz [])
                    as i (scope, hourly_limit, remaining, resets_at)
                on conflict (tenant_id, instance_id, scope) do update
                set hourly_limit = excluded.hourly_limit, remaining = excluded.remaining, resets_at = excluded.resets_at",
                instance.0,
                &scopes as &[&str],
                &limits,
                &left,
                &resets
            )
            .execute(&mut *connection)
            .await?;
            sqlx::query!("delete from rate_limit_remaining where resets_at < $1", now - KEPT_FOR)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }
}
