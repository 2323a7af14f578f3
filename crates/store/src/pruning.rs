//! Pruning: permanently deletes pull requests that were merged or closed before a day.

use chrono::{DateTime, Utc};
use mergeline_domain::progress::ProgressEvent;

use crate::attributions::hold_alone;
use crate::erasure::{Count, delete_pull_requests};
use crate::progress::advance_all;
use crate::session::Session;
use crate::{Reader, StoreError, Writer};

/// The range of ids that one transaction covers.
const NUMBERS_AT_ONCE: i64 = 2_000;

/// What pruning would delete, and what would stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prunable {
    /// Pull requests that were merged or closed before the instant, by repository.
    pub pull_requests: Vec<Count>,
    /// Their team shares, by team.
    pub shares: Vec<Count>,
    /// The other pull requests, by repository.
    pub remaining: Vec<Count>,
}

impl Reader {
    /// Since when pull requests are kept; `None` if nothing was ever pruned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn kept_since(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        let query = sqlx::query_scalar!("select kept_since from retention");
        self.with_deadline(async |connection| Ok(query.fetch_optional(connection).await?)).await
    }

    /// What was merged or closed before an instant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prunable(&self, before: DateTime<Utc>) -> Result<Prunable, StoreError> {
        self.at_one_instant(async |connection| {
            let rows = sqlx::query!(
                r#"select
                    r.display_name as "name!",
                    count(*) filter (where coalesce(p.merged_at, p.closed_at, p.deleted_at) < $1) as "gone!",
                    count(*) as "all!"
                from pull_requests as p
                inner join repositories as r on p.repository_id = r.id
                group by 1
                order by 1"#,
                before
            )
            .fetch_all(&mut *connection)
            .await?;
            let shares = sqlx::query_as!(
                Count,
                r#"select t.slug as name, count(*) as "count!"
                from pr_attributions as a
                inner join teams as t on a.team_id = t.id
                where coalesce(a.merged_at, a.closed_at) < $1
                group by 1
                order by 1"#,
                before
            )
            .fetch_all(connection)
            .await?;
            let counts = |count: fn(i64, i64) -> i64| -> Vec<Count> {
                let counts = rows.iter().map(|row| Count { name: row.name.clone(), count: count(row.gone, row.all) });
                counts.filter(|count| count.count > 0).collect()
            };
            Ok(Prunable { pull_requests: counts(|gone, _| gone), shares, remaining: counts(|gone, all| all - gone) })
        })
        .await
    }
}

impl Writer {
    /// Deletes a batch of the pull requests that were merged or closed before an instant: those with an id greater than
    /// `after`, as many as fit into a short transaction. Returns the id to continue after, `None` at the end. From the
    /// first call on, nothing before that instant is reported as complete, and pull requests that were merged or closed
    /// before it are not stored again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune(&self, before: DateTime<Utc>, after: i64) -> Result<Option<i64>, StoreError> {
        self.in_transaction(async |connection| {
            // No page is stored at the same time. Later pages know the new limit.
            hold_alone(connection).await?;
            keep_since(connection, before).await?;
            let first = sqlx::query_scalar!("select min(id) from pull_requests where id > $1", after)
                .fetch_one(&mut *connection)
                .await?;
            let Some(first) = first else { return Ok(None) };
            let last = first + NUMBERS_AT_ONCE;
            let old = sqlx::query_scalar!(
                "select id from pull_requests
                where id between $1 and $2 and coalesce(merged_at, closed_at, deleted_at) < $3",
                first,
                last,
                before
            )
            .fetch_all(&mut *connection)
            .await?;
            delete_pull_requests(connection, &old).await?;
            let has_more =
                sqlx::query_scalar!(r#"select exists (select from pull_requests where id > $1) as "has_more!""#, last)
                    .fetch_one(connection)
                    .await?;
            Ok(has_more.then_some(last))
        })
        .await
    }
}

/// Moves the retention limit forward. Pull requests merged or closed before it are not stored, and nothing before it is
/// read again or reported as complete.
async fn keep_since(connection: &mut Session, before: DateTime<Utc>) -> Result<(), StoreError> {
    let moved = sqlx::query!(
        "insert into retention as r (kept_since) values ($1)
        on conflict (tenant_id) do update set kept_since = excluded.kept_since where r.kept_since < excluded.kept_since",
        before
    )
    .execute(&mut *connection)
    .await?;
    if moved.rows_affected() == 0 {
        return Ok(());
    }
    advance_all(connection, ProgressEvent::Pruned { before }).await?;
    sqlx::query!("update repositories set data_version = data_version + 1").execute(connection).await?;
    Ok(())
}
