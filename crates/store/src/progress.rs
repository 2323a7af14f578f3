//! Stores the collection progress of repositories. What it is after an event is decided in the domain.

use chrono::{DateTime, Utc};
use mergeline_domain::progress::{CollectionProgress, ProgressEvent};
use mergeline_source::Etag;
use serde_json::json;

use crate::attributions::lock_configuration;
use crate::events::EventKind;
use crate::progress_columns::{ProgressColumns, progress_of};
use crate::quarantine::forget_places;
use crate::repositories::renew_lease;
use crate::session::Session;
use crate::{Lease, RepositoryId, Revision, StoreError, Writer};

impl Writer {
    /// Records an event of a repository's collection. Returns the progress after it. Recording the same event again
    /// changes nothing.
    ///
    /// At the end of a backfill, quarantined rows that are known only by place are removed if the backfill read the whole
    /// list and did not find them there.
    ///
    /// # Errors
    /// [`StoreError::LostLease`] when another worker has taken over.
    pub async fn advance(
        &self,
        lease: &Lease,
        event: ProgressEvent,
        now: DateTime<Utc>,
    ) -> Result<CollectionProgress, StoreError> {
        self.in_transaction(async |connection| {
            let held = renew_lease(connection, lease, now).await?;
            if matches!(event, ProgressEvent::BackfillFinished { .. })
                && let Some(read_at) = held.progress.whole_reading_at()
            {
                forget_places(connection, lease.repository, read_at).await?;
            }
            let was_running = held.progress.backfill.is_some();
            let progress = held.progress.after(event.clone(), held.kept_since);
            write_progress(connection, lease, &progress, Beside::default()).await?;
            if was_running && progress.backfill.is_none() {
                let payload = json!({ "covered_since": progress.covered_since });
                self.record_event(connection, EventKind::BackfillFinished, &held.name, &payload, now).await?;
            }
            Ok(progress)
        })
        .await
    }

    /// Like [`Writer::advance`], for the end of a listing: what it listed, or that a backfill must follow. `etag` is that
    /// of its first page.
    ///
    /// # Errors
    /// As [`Writer::advance`], and [`StoreError::StaleConfiguration`] when people may have been added since the roster was
    /// read, whose pull requests were not kept.
    pub async fn advance_listing(
        &self,
        lease: &Lease,
        revision: Revision,
        event: ProgressEvent,
        etag: Option<&Etag>,
        now: DateTime<Utc>,
    ) -> Result<CollectionProgress, StoreError> {
        self.in_transaction(async |connection| {
            lock_configuration(connection, revision).await?;
            let held = renew_lease(connection, lease, now).await?;
            let progress = held.progress.after(event.clone(), held.kept_since);
            write_progress(connection, lease, &progress, Beside { etag: Some(etag), ..Beside::default() }).await?;
            Ok(progress)
        })
        .await
    }
}

/// What changes with the progress, in the same statement.
#[derive(Default)]
pub(crate) struct Beside<'a> {
    /// The new ETag of the incremental stream; `Some(None)` deletes it.
    #[expect(clippy::option_option, reason = "as it was, and none, are two things")]
    pub(crate) etag: Option<Option<&'a Etag>>,
    /// Whether earlier responses about the repository are out of date.
    pub(crate) bumps_data_version: bool,
}

/// Replaces the progress of a leased repository.
pub(crate) async fn write_progress(
    connection: &mut Session,
    lease: &Lease,
    progress: &CollectionProgress,
    beside: Beside<'_>,
) -> Result<(), StoreError> {
    let columns = ProgressColumns::from(progress);
    let etag = beside.etag.flatten();
    sqlx::query!(
        "update repositories
        set
            watermark = $2, covered_since = $3, reopened_since = $4, listed_at = $5, collected_at = $6, verified_at = $7,
            page_size = $8, has_pull_requests = $9, backfill_order = $10, backfill_since = $11, backfill_anchor = $12,
            backfill_rows = $13, backfill_cursor = $14, backfill_length = $15, backfill_newest = $16, backfill_seen = $17,
            backfill_readings = $18, backfill_reading_at = $19,
            etag = case when $20 then $21 else etag end,
            etag_scope = case when $20 then $22 else etag_scope end,
            data_version = data_version + $23
        where id = $1",
        lease.repository.0,
        columns.watermark,
        columns.covered_since,
        columns.reopened_since,
        columns.listed_at,
        columns.collected_at,
        columns.verified_at,
        columns.page_size,
        columns.has_pull_requests,
        columns.backfill_order,
        columns.backfill_since,
        columns.backfill_anchor,
        columns.backfill_rows,
        columns.backfill_cursor,
        columns.backfill_length,
        columns.backfill_newest,
        columns.backfill_seen,
        columns.backfill_readings,
        columns.backfill_reading_at,
        beside.etag.is_some(),
        etag.map(|etag| etag.value.as_str()),
        etag.map(|etag| etag.scope.as_str()),
        i64::from(beside.bumps_data_version)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Applies an event that every repository has, one that leaves the positions of readings as they are. Returns the
/// progress of each after it.
pub(crate) async fn advance_all(
    connection: &mut Session,
    event: ProgressEvent,
) -> Result<Vec<CollectionProgress>, StoreError> {
    sqlx::query!("select id from repositories order by id for update").fetch_all(&mut *connection).await?;
    let foreseen = foresee_all(connection, event).await?;
    let ids: Vec<i64> = foreseen.iter().map(|(id, _)| id.0).collect();
    let progress: Vec<CollectionProgress> = foreseen.into_iter().map(|(_, progress)| progress).collect();
    let covered: Vec<_> = progress.iter().map(|it| it.covered_since).collect();
    let reopened: Vec<_> = progress.iter().map(|it| it.reopened_since).collect();
    let backfill: Vec<_> = progress.iter().map(|it| it.backfill.as_ref().map(|backfill| backfill.since)).collect();
    sqlx::query!(
        "update repositories as r
        set covered_since = n.covered_since, reopened_since = n.reopened_since, backfill_since = n.backfill_since
        from unnest($1::bigint [], $2::timestamptz [], $3::timestamptz [], $4::timestamptz [])
            as n (id, covered_since, reopened_since, backfill_since)
        where
            r.id = n.id
            and (r.covered_since, r.reopened_since, r.backfill_since)
            is distinct from (n.covered_since, n.reopened_since, n.backfill_since)",
        &ids,
        &covered as &[Option<DateTime<Utc>>],
        &reopened as &[Option<DateTime<Utc>>],
        &backfill as &[Option<DateTime<Utc>>]
    )
    .execute(connection)
    .await?;
    Ok(progress)
}

/// The progress of each repository, as it would be after an event.
pub(crate) async fn foresee_all(
    connection: &mut Session,
    event: ProgressEvent,
) -> Result<Vec<(RepositoryId, CollectionProgress)>, StoreError> {
    let rows = sqlx::query!(
        "select
            id, (select kept_since from retention) as kept_since,
            watermark, covered_since, reopened_since, listed_at, collected_at, verified_at, page_size, has_pull_requests,
            backfill_order, backfill_since, backfill_anchor, backfill_rows, backfill_cursor, backfill_length, backfill_newest,
            backfill_seen, backfill_readings, backfill_reading_at
        from repositories
        order by id"
    )
    .fetch_all(connection)
    .await?;
    let after = rows.into_iter().map(|row| {
        let progress = progress_of!(row)?;
        Ok((RepositoryId(row.id), progress.after(event.clone(), row.kept_since)))
    });
    after.collect()
}
