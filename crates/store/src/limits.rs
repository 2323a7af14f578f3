//! GitHub's refusals by its limits, as far as they concern the next run or another sandbox.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Store, StoreError};

/// How long an ended block is kept for people who look for it.
const KEPT_FOR: TimeDelta = TimeDelta::days(1);

/// Until when GitHub refuses requests with some credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitBlock {
    /// A digest of the credentials and GitHub's address.
    pub scope: String,
    /// Which requests: `core`, `graphql`, or all with `secondary`.
    pub kind: String,
    /// Until when.
    pub until: DateTime<Utc>,
}

impl Store {
    /// The blocks that have not ended yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rate_limit_blocks(&self, now: DateTime<Utc>) -> Result<Vec<RateLimitBlock>, StoreError> {
        let question = sqlx::query_as!(
            RateLimitBlock,
            "select scope, kind, blocked_until as until from rate_limit_blocks where blocked_until > $1 order by 1, 2",
            now
        );
        self.patiently(async |connection| Ok(question.fetch_all(connection).await?)).await
    }

    /// Stores blocks. Of several of a kind the longest counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn store_rate_limit_blocks(
        &self,
        blocks: &[RateLimitBlock],
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        // In one order, so that two workers cannot wait for each other; one statement must not touch a row twice.
        let mut sorted: Vec<&RateLimitBlock> = blocks.iter().collect();
        sorted.sort_by(|a, b| (&a.scope, &a.kind, b.until).cmp(&(&b.scope, &b.kind, a.until)));
        sorted.dedup_by(|later, kept| (&later.scope, &later.kind) == (&kept.scope, &kept.kind));
        let scopes: Vec<&str> = sorted.iter().map(|block| block.scope.as_str()).collect();
        let kinds: Vec<&str> = sorted.iter().map(|block| block.kind.as_str()).collect();
        let untils: Vec<DateTime<Utc>> = sorted.iter().map(|block| block.until).collect();
        self.in_transaction(async |connection| {
            sqlx::query!(
                "insert into rate_limit_blocks as b (scope, kind, blocked_until)
                select i.scope, i.kind, i.until
                from unnest($1::text [], $2::text [], $3::timestamptz []) as i (scope, kind, until)
                on conflict (scope, kind) do update
                set blocked_until = greatest(b.blocked_until, excluded.blocked_until)",
                &scopes as &[&str],
                &kinds as &[&str],
                &untils
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
}
