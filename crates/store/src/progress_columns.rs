//! The columns that hold the progress of a repository's collection.

use chrono::{DateTime, Utc};
use mergeline_domain::progress::{Backfill, CollectionProgress, ReadBack, ReadForward, Reading, WHOLE_PAGE};

/// The columns that hold the progress of a repository.
pub(crate) struct ProgressColumns {
    pub(crate) watermark: Option<DateTime<Utc>>,
    pub(crate) covered_since: Option<DateTime<Utc>>,
    pub(crate) reopened_since: Option<DateTime<Utc>>,
    pub(crate) listed_at: Option<DateTime<Utc>>,
    pub(crate) collected_at: Option<DateTime<Utc>>,
    pub(crate) verified_at: Option<DateTime<Utc>>,
    pub(crate) page_size: i16,
    pub(crate) has_pull_requests: bool,
    pub(crate) backfill_page: Option<i32>,
    pub(crate) backfill_since: Option<DateTime<Utc>>,
    pub(crate) backfill_anchor: Option<DateTime<Utc>>,
    pub(crate) backfill_rows: Option<i32>,
    pub(crate) backfill_oldest: Option<DateTime<Utc>>,
    pub(crate) backfill_last: Option<i64>,
    pub(crate) backfill_length: Option<i32>,
    pub(crate) backfill_newest: Option<DateTime<Utc>>,
    pub(crate) backfill_seen: i32,
    pub(crate) backfill_readings: i16,
    pub(crate) backfill_reading_at: Option<DateTime<Utc>>,
}

/// The progress in a row of `repositories` with all of its columns.
macro_rules! progress_of {
    ($row:expr) => {
        mergeline_domain::progress::CollectionProgress::from($crate::progress_columns::ProgressColumns {
            watermark: $row.watermark,
            covered_since: $row.covered_since,
            reopened_since: $row.reopened_since,
            listed_at: $row.listed_at,
            collected_at: $row.collected_at,
            verified_at: $row.verified_at,
            page_size: $row.page_size,
            has_pull_requests: $row.has_pull_requests,
            backfill_page: $row.backfill_page,
            backfill_since: $row.backfill_since,
            backfill_anchor: $row.backfill_anchor,
            backfill_rows: $row.backfill_rows,
            backfill_oldest: $row.backfill_oldest,
            backfill_last: $row.backfill_last,
            backfill_length: $row.backfill_length,
            backfill_newest: $row.backfill_newest,
            backfill_seen: $row.backfill_seen,
            backfill_readings: $row.backfill_readings,
            backfill_reading_at: $row.backfill_reading_at,
        })
    };
}
pub(crate) use progress_of;

impl From<ProgressColumns> for CollectionProgress {
    fn from(row: ProgressColumns) -> Self {
        // Only backfills by creation have readings.
        let reading = match row.backfill_rows.filter(|_| row.backfill_readings == 0) {
            Some(rows) => Reading::ByUpdate(ReadBack {
                rows: rows.unsigned_abs(),
                oldest: row.backfill_oldest,
                last: row.backfill_last,
            }),
            None => Reading::ByCreation(ReadForward {
                next_page: row.backfill_page.unwrap_or(1).unsigned_abs(),
                length: row.backfill_length.map(i32::unsigned_abs),
                newest: row.backfill_newest,
                seen: row.backfill_seen.unsigned_abs(),
                readings: row.backfill_readings.unsigned_abs().into(),
                started_at: row.backfill_reading_at,
            }),
        };
        let since = row.backfill_page.and(row.backfill_since);
        Self {
            watermark: row.watermark,
            covered_since: row.covered_since,
            reopened_since: row.reopened_since,
            listed_at: row.listed_at,
            collected_at: row.collected_at,
            verified_at: row.verified_at,
            page_size: u8::try_from(row.page_size).unwrap_or(WHOLE_PAGE),
            has_pull_requests: row.has_pull_requests,
            backfill: since.map(|since| Backfill { since, anchor: row.backfill_anchor, reading }),
        }
    }
}

impl From<&CollectionProgress> for ProgressColumns {
    fn from(progress: &CollectionProgress) -> Self {
        let backfill = progress.backfill;
        let (forward, back) = match backfill.map(|backfill| backfill.reading) {
            Some(Reading::ByCreation(forward)) => (forward, None),
            Some(Reading::ByUpdate(back)) => (ReadForward::default(), Some(back)),
            None => (ReadForward::default(), None),
        };
        Self {
            watermark: progress.watermark,
            covered_since: progress.covered_since,
            reopened_since: progress.reopened_since,
            listed_at: progress.listed_at,
            collected_at: progress.collected_at,
            verified_at: progress.verified_at,
            page_size: progress.page_size.into(),
            has_pull_requests: progress.has_pull_requests,
            backfill_page: backfill.map(|_| saturated(forward.next_page)),
            backfill_since: backfill.map(|backfill| backfill.since),
            backfill_anchor: backfill.and_then(|backfill| backfill.anchor),
            backfill_rows: back.map(|back| saturated(back.rows)),
            backfill_oldest: back.and_then(|back| back.oldest),
            backfill_last: back.and_then(|back| back.last),
            backfill_length: forward.length.map(saturated),
            backfill_newest: forward.newest,
            backfill_seen: saturated(forward.seen),
            backfill_readings: i16::try_from(forward.readings).unwrap_or(i16::MAX),
            backfill_reading_at: forward.started_at,
        }
    }
}

/// A count as it is stored.
pub(crate) fn saturated(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
