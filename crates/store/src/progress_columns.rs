//! The columns that hold the progress of a repository's collection.

use chrono::{DateTime, Utc};
use mergeline_domain::progress::{Backfill, CollectionProgress, Cursor, ReadBack, ReadForward, Reading, WHOLE_PAGE};

use crate::StoreError;
use crate::revision::parse_stored;

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
    pub(crate) backfill_order: Option<String>,
    pub(crate) backfill_since: Option<DateTime<Utc>>,
    pub(crate) backfill_anchor: Option<DateTime<Utc>>,
    pub(crate) backfill_rows: i32,
    pub(crate) backfill_cursor: Option<String>,
    pub(crate) backfill_length: Option<i32>,
    pub(crate) backfill_newest: Option<DateTime<Utc>>,
    pub(crate) backfill_seen: i32,
    pub(crate) backfill_readings: i16,
    pub(crate) backfill_reading_at: Option<DateTime<Utc>>,
}

/// The progress in a row of `repositories` with all of its columns.
macro_rules! progress_of {
    ($row:expr) => {
        mergeline_domain::progress::CollectionProgress::try_from($crate::progress_columns::ProgressColumns {
            watermark: $row.watermark,
            covered_since: $row.covered_since,
            reopened_since: $row.reopened_since,
            listed_at: $row.listed_at,
            collected_at: $row.collected_at,
            verified_at: $row.verified_at,
            page_size: $row.page_size,
            has_pull_requests: $row.has_pull_requests,
            backfill_order: $row.backfill_order,
            backfill_since: $row.backfill_since,
            backfill_anchor: $row.backfill_anchor,
            backfill_rows: $row.backfill_rows,
            backfill_cursor: $row.backfill_cursor,
            backfill_length: $row.backfill_length,
            backfill_newest: $row.backfill_newest,
            backfill_seen: $row.backfill_seen,
            backfill_readings: $row.backfill_readings,
            backfill_reading_at: $row.backfill_reading_at,
        })
    };
}
pub(crate) use progress_of;

/// The order of a backfill, as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum Order {
    Creation,
    Update,
}

impl TryFrom<ProgressColumns> for CollectionProgress {
    type Error = StoreError;

    fn try_from(row: ProgressColumns) -> Result<Self, StoreError> {
        let (rows, cursor) = (row.backfill_rows.unsigned_abs(), row.backfill_cursor.map(Cursor));
        let reading = match row.backfill_order.as_deref().map(parse_stored).transpose()? {
            None => None,
            Some(Order::Update) => Some(Reading::ByUpdate(ReadBack { rows, cursor })),
            Some(Order::Creation) => Some(Reading::ByCreation(ReadForward {
                rows,
                cursor,
                length: row.backfill_length.map(i32::unsigned_abs),
                newest: row.backfill_newest,
                seen: row.backfill_seen.unsigned_abs(),
                readings: row.backfill_readings.unsigned_abs().into(),
                started_at: row.backfill_reading_at,
            })),
        };
        let backfill = reading.zip(row.backfill_since);
        Ok(Self {
            watermark: row.watermark,
            covered_since: row.covered_since,
            reopened_since: row.reopened_since,
            listed_at: row.listed_at,
            collected_at: row.collected_at,
            verified_at: row.verified_at,
            page_size: u8::try_from(row.page_size).unwrap_or(WHOLE_PAGE),
            has_pull_requests: row.has_pull_requests,
            backfill: backfill.map(|(reading, since)| Backfill { since, anchor: row.backfill_anchor, reading }),
        })
    }
}

impl From<&CollectionProgress> for ProgressColumns {
    fn from(progress: &CollectionProgress) -> Self {
        let backfill = progress.backfill.as_ref();
        let none = ReadForward::default();
        let (order, forward, rows, cursor) = match backfill.map(|backfill| &backfill.reading) {
            Some(Reading::ByCreation(read)) => (Some(Order::Creation), read, read.rows, read.cursor.as_ref()),
            Some(Reading::ByUpdate(read)) => (Some(Order::Update), &none, read.rows, read.cursor.as_ref()),
            None => (None, &none, 0, None),
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
            backfill_order: order.map(|order| <&str>::from(order).to_owned()),
            backfill_since: backfill.map(|backfill| backfill.since),
            backfill_anchor: backfill.and_then(|backfill| backfill.anchor),
            backfill_rows: saturated(rows),
            backfill_cursor: cursor.map(|cursor| cursor.0.clone()),
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
