//! How far the collection of a repository has come: a state, and what happens to it. Pure; the store keeps the state.

use chrono::{DateTime, Utc};

/// The page size that every repository starts with.
pub const WHOLE_PAGE: u8 = 100;

/// A place in a list at a source. Only the source that made it can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// How far the collection of a repository has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionProgress {
    /// The newest `updated_at` up to which everything is stored; `None` before the first complete backfill.
    pub watermark: Option<DateTime<Utc>>,
    /// Everything that changed since then is stored; `None` before the first complete backfill.
    pub covered_since: Option<DateTime<Utc>>,
    /// Changes since then must be read again, for a person whose pull requests were not kept so far.
    pub reopened_since: Option<DateTime<Utc>>,
    /// When the last listing started that was read to its end.
    pub listed_at: Option<DateTime<Utc>>,
    /// When the last complete collection started.
    pub collected_at: Option<DateTime<Utc>>,
    /// When stored pull requests were last compared with the source's list.
    pub verified_at: Option<DateTime<Utc>>,
    /// How many pull requests are requested per page.
    pub page_size: u8,
    /// False if pull requests are disabled in the repository's settings.
    pub has_pull_requests: bool,
    /// The running backfill.
    pub backfill: Option<Backfill>,
}

/// A running backfill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// Pull requests that changed since then are kept.
    pub since: DateTime<Utc>,
    /// The newest change when it started. The incremental stream continues from there.
    pub anchor: Option<DateTime<Utc>>,
    /// In which order it reads, and where it is.
    pub reading: Reading,
}

/// The order of a backfill, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// By creation, oldest first.
    ByCreation(ReadForward),
    /// By update, newest change first.
    ByUpdate(ReadBack),
}

/// The progress of a backfill by creation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadForward {
    /// How many rows of the list are stored.
    pub rows: u32,
    /// Where the list continues; `None` at its start.
    pub cursor: Option<Cursor>,
    /// How many pull requests there were when it started; `None` when the source did not say.
    pub length: Option<u32>,
    /// When the newest of them was opened.
    pub newest: Option<DateTime<Utc>>,
    /// How many of them it has seen. If it is fewer than `length` at the end, one vanished in between and others moved
    /// up.
    pub seen: u32,
    /// How often it was started, including the first time.
    pub readings: u32,
    /// When it was last started; `None` before the first time.
    pub started_at: Option<DateTime<Utc>>,
}

/// The progress of a backfill by update.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// How many rows of the list are stored.
    pub rows: u32,
    /// Where the list continues; `None` at its start.
    pub cursor: Option<Cursor>,
}

/// What a collection has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgressEvent {
    /// The incremental listing was read back to `down_to`, and everything of it is stored.
    Listed {
        /// The newest `updated_at` in it; `None` when nothing was listed.
        newest: Option<DateTime<Utc>>,
        /// How far back it was read.
        down_to: DateTime<Utc>,
        /// When it started.
        started_at: DateTime<Utc>,
        /// Whether it was compared with what is stored.
        is_verified: bool,
        /// False if pull requests are disabled in the repository's settings.
        has_pull_requests: bool,
    },
    /// A backfill was started.
    BackfillStarted {
        /// The backfill.
        backfill: Backfill,
        /// When the listing started that led to it.
        at: DateTime<Utc>,
    },
    /// A backfill reads by creation from the first page, for the first time or again.
    ReadingStarted {
        /// How many pull requests there are.
        length: Option<u32>,
        /// When the newest of them was opened.
        newest: Option<DateTime<Utc>>,
        /// How often it was started, including this time.
        readings: u32,
        /// When.
        at: DateTime<Utc>,
    },
    /// A page of a backfill by creation is stored.
    PageStored {
        /// How many rows of the list are stored with it.
        rows: u32,
        /// Where the list continues after it.
        cursor: Cursor,
        /// How many pull requests it adds to those seen so far.
        seen: u32,
    },
    /// Rows of a backfill by update are stored.
    RowsStored(ReadBack),
    /// The backfill is at its end.
    BackfillFinished {
        /// When.
        at: DateTime<Utc>,
    },
    /// The source can only return smaller pages, or larger ones again.
    PageSizeChanged {
        /// How many pull requests are requested per page.
        page_size: u8,
    },
    /// A person is configured whose pull requests since then were not kept so far.
    Reopened {
        /// Since when; `None` is the beginning of time.
        since: Option<DateTime<Utc>>,
    },
    /// What was merged or closed before then is deleted, and is not stored again.
    Pruned {
        /// Before when.
        before: DateTime<Utc>,
    },
}

impl CollectionProgress {
    /// Before anything was collected.
    pub const NONE: Self = Self {
        watermark: None,
        covered_since: None,
        reopened_since: None,
        listed_at: None,
        collected_at: None,
        verified_at: None,
        page_size: WHOLE_PAGE,
        has_pull_requests: true,
        backfill: None,
    };

    /// The state after an event. The same event twice in a row is the same as once, so a transaction may be repeated whose
    /// end is unknown. What was merged or closed before `kept_since` is not stored, so it is not covered.
    #[must_use]
    pub fn after(self, event: ProgressEvent, kept_since: Option<DateTime<Utc>>) -> Self {
        match event {
            ProgressEvent::Listed { newest, down_to, started_at, is_verified, has_pull_requests } => {
                let listed = Self { has_pull_requests, ..self }.listed(newest, down_to, started_at, kept_since);
                if is_verified { listed.verified(self.verified_at, started_at) } else { listed }
            }
            ProgressEvent::BackfillStarted { backfill, at } => Self {
                // The backfill covers what was reopened within its window.
                reopened_since: self.reopened_since.filter(|since| *since < backfill.since),
                listed_at: self.listed_at.max(Some(at)),
                has_pull_requests: true,
                backfill: Some(backfill),
                ..self
            },
            ProgressEvent::ReadingStarted { length, newest, readings, at } => self.with_reading(|_| {
                Reading::ByCreation(ReadForward {
                    length,
                    newest,
                    readings,
                    started_at: Some(at),
                    ..ReadForward::default()
                })
            }),
            ProgressEvent::PageStored { rows, cursor, seen } => {
                self.with_reading(|reading| reading.past(rows, cursor, seen))
            }
            ProgressEvent::RowsStored(read_back) => self.with_reading(|reading| match reading {
                Reading::ByUpdate(_) => Reading::ByUpdate(read_back),
                by_creation @ Reading::ByCreation(_) => by_creation,
            }),
            ProgressEvent::BackfillFinished { at } => self.backfilled(at, kept_since),
            ProgressEvent::PageSizeChanged { page_size } => Self { page_size, ..self },
            ProgressEvent::Reopened { since } => {
                let read_since = self.covered_since.or(self.backfill.as_ref().map(|backfill| backfill.since));
                // Not further back than the repository was read or needs to be read.
                let since = read_since.map(|read_since| since.map_or(read_since, |since| since.max(read_since)));
                Self { reopened_since: self.reopened_since.into_iter().chain(since).min(), ..self }
            }
            ProgressEvent::Pruned { before } => Self {
                // `None` stays: nothing was read, or nothing must be read again.
                covered_since: self.covered_since.map(|since| since.max(before)),
                reopened_since: self.reopened_since.map(|since| since.max(before)),
                backfill: self.backfill.map(|backfill| Backfill { since: backfill.since.max(before), ..backfill }),
                ..self
            },
        }
    }

    /// Where the incremental stream continues; `None` before it has started. The backfill reads what lies before its
    /// anchor.
    pub fn position(&self) -> Option<DateTime<Utc>> {
        self.backfill.as_ref().and_then(|backfill| backfill.anchor).or(self.watermark)
    }

    /// When the running backfill started to read the list by creation, if it keeps everything that it finds there.
    /// A row without a number that is no longer at its place then has vanished. If only recent changes are kept, it may
    /// have been read and skipped.
    pub fn whole_reading_at(&self) -> Option<DateTime<Utc>> {
        let backfill = self.backfill.as_ref()?;
        let is_whole = self.covered_since.is_none_or(|covered| backfill.since <= covered);
        match &backfill.reading {
            Reading::ByCreation(read) if is_whole => read.started_at,
            Reading::ByCreation(_) | Reading::ByUpdate(_) => None,
        }
    }

    fn listed(
        self,
        newest: Option<DateTime<Utc>>,
        down_to: DateTime<Utc>,
        started_at: DateTime<Utc>,
        kept_since: Option<DateTime<Utc>>,
    ) -> Self {
        let is_all_read = self.reopened_since.is_none_or(|since| since >= down_to);
        let listed = Self {
            listed_at: self.listed_at.max(Some(started_at)),
            reopened_since: self.reopened_since.filter(|_| !is_all_read),
            ..self
        };
        match listed.backfill {
            // Until the past is read, its end is what the incremental stream continues from.
            Some(backfill) => {
                Self { backfill: Some(Backfill { anchor: backfill.anchor.max(newest), ..backfill }), ..listed }
            }
            None => Self {
                watermark: self.watermark.max(newest),
                covered_since: covered(self.covered_since, down_to, kept_since),
                collected_at: if is_all_read { self.collected_at.max(Some(started_at)) } else { self.collected_at },
                ..listed
            },
        }
    }

    /// Whole pages are tried again from time to time: not where the comparison itself has just found that they are too large.
    fn verified(self, before: Option<DateTime<Utc>>, at: DateTime<Utc>) -> Self {
        let page_size = if before.is_some_and(|before| before < at) { WHOLE_PAGE } else { self.page_size };
        Self { verified_at: Some(at), page_size, ..self }
    }

    fn backfilled(self, at: DateTime<Utc>, kept_since: Option<DateTime<Utc>>) -> Self {
        let Some(backfill) = self.backfill else { return self };
        let is_all_read = self.reopened_since.is_none();
        Self {
            watermark: self.watermark.max(backfill.anchor),
            covered_since: covered(self.covered_since, backfill.since, kept_since),
            collected_at: if is_all_read { self.collected_at.max(self.listed_at) } else { self.collected_at },
            // Nothing was stored before that could be compared.
            verified_at: if self.covered_since.is_none() { Some(at) } else { self.verified_at },
            backfill: None,
            ..self
        }
    }

    fn with_reading(self, change: impl FnOnce(Reading) -> Reading) -> Self {
        let backfill = self.backfill.map(|backfill| Backfill { reading: change(backfill.reading), ..backfill });
        Self { backfill, ..self }
    }
}

impl Backfill {
    /// One that starts to read by creation.
    pub fn by_creation(since: DateTime<Utc>, anchor: Option<DateTime<Utc>>) -> Self {
        Self { since, anchor, reading: Reading::ByCreation(ReadForward::default()) }
    }
}

impl Reading {
    /// Pages are stored in their order. A page that is stored again, because the reply was lost, was counted already.
    fn past(self, rows: u32, cursor: Cursor, adds: u32) -> Self {
        match self {
            Self::ByCreation(read) if read.cursor.as_ref() != Some(&cursor) => {
                // A cursor that the source can no longer read starts the list again, and so does the count.
                let before = if rows > read.rows { read.seen } else { 0 };
                let seen = before.saturating_add(adds);
                Self::ByCreation(ReadForward { rows, cursor: Some(cursor), seen, ..read })
            }
            other => other,
        }
    }
}

/// Since when everything is stored, once everything since `since` is.
fn covered(
    before: Option<DateTime<Utc>>,
    since: DateTime<Utc>,
    kept_since: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    Some(before.map_or(since, |before| before.min(since))).max(kept_since)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hour * 3_600, 0).expect("in range")
    }

    fn instants() -> impl Strategy<Value = DateTime<Utc>> {
        (0_i64..200).prop_map(at)
    }

    fn cursor(rows: u32) -> Cursor {
        Cursor(format!("after {rows}"))
    }

    fn readings() -> impl Strategy<Value = Reading> {
        prop_oneof![
            (0_u32..900).prop_map(|rows| {
                Reading::ByCreation(ReadForward { rows, cursor: Some(cursor(rows)), ..ReadForward::default() })
            }),
            (0_u32..900).prop_map(|rows| Reading::ByUpdate(ReadBack { rows, cursor: Some(cursor(rows)) })),
        ]
    }

    fn events() -> impl Strategy<Value = ProgressEvent> {
        let newest = || proptest::option::of(instants());
        let listed = (newest(), instants(), instants(), any::<bool>(), any::<bool>()).prop_map(
            |(newest, down_to, started_at, is_verified, has_pull_requests)| ProgressEvent::Listed {
                newest,
                down_to,
                started_at,
                is_verified,
                has_pull_requests,
            },
        );
        let started = (instants(), newest(), readings(), instants()).prop_map(|(since, anchor, reading, at)| {
            ProgressEvent::BackfillStarted { backfill: Backfill { since, anchor, reading }, at }
        });
        prop_oneof![
            4 => listed,
            2 => started,
            1 => (0_u32..900, instants()).prop_map(|(length, at)| ProgressEvent::ReadingStarted {
                length: Some(length),
                newest: None,
                readings: 2,
                at
            }),
            3 => (1_u32..900, 0_u32..100)
                .prop_map(|(rows, seen)| ProgressEvent::PageStored { rows, cursor: cursor(rows), seen }),
            3 => (0_u32..900)
                .prop_map(|rows| ProgressEvent::RowsStored(ReadBack { rows, cursor: Some(cursor(rows)) })),
            2 => instants().prop_map(|at| ProgressEvent::BackfillFinished { at }),
            1 => proptest::sample::select(vec![100_u8, 50, 25, 5, 1])
                .prop_map(|page_size| ProgressEvent::PageSizeChanged { page_size }),
            1 => newest().prop_map(|since| ProgressEvent::Reopened { since }),
        ]
    }

    fn after(events: &[ProgressEvent]) -> CollectionProgress {
        events.iter().fold(CollectionProgress::NONE, |state, event| state.after(event.clone(), None))
    }

    /// The newest change that a listing has shown.
    fn newest_listed(events: &[ProgressEvent]) -> Option<DateTime<Utc>> {
        let newest = events.iter().filter_map(|event| match event {
            ProgressEvent::Listed { newest, .. } => *newest,
            ProgressEvent::BackfillStarted { backfill, .. } => backfill.anchor,
            _ => None,
        });
        newest.max()
    }

    proptest! {
        #[test]
        fn the_watermark_never_passes_what_was_listed(events in prop::collection::vec(events(), 0..30)) {
            prop_assert!(after(&events).watermark <= newest_listed(&events));
        }

        #[test]
        fn watermark_and_coverage_only_grow(events in prop::collection::vec(events(), 1..30)) {
            let (last, before) = events.split_last().expect("one at least");
            let (before, now) = (after(before), after(before).after(last.clone(), None));
            prop_assert!(now.watermark >= before.watermark);
            prop_assert!(now.collected_at >= before.collected_at);
            prop_assert!(before.covered_since.is_none_or(|since| now.covered_since.is_some_and(|now| now <= since)));
        }

        #[test]
        fn an_event_repeated_is_the_same_as_once(events in prop::collection::vec(events(), 1..30)) {
            let once = after(&events);
            let last = events.last().cloned().expect("one at least");
            prop_assert_eq!(once.clone().after(last, None), once);
        }

        #[test]
        fn nothing_is_covered_while_the_first_backfill_runs(events in prop::collection::vec(events(), 0..30)) {
            let first = Backfill { since: at(0), anchor: None, reading: Reading::ByUpdate(ReadBack::default()) };
            let started = ProgressEvent::BackfillStarted { backfill: first, at: at(0) };
            let running = events.into_iter().filter(|event| !matches!(event, ProgressEvent::BackfillFinished { .. }));
            let state = running.fold(CollectionProgress::NONE.after(started, None), |state, event| state.after(event, None));
            prop_assert_eq!((state.watermark, state.covered_since, state.collected_at), (None, None, None));
        }

        #[test]
        fn what_was_pruned_is_not_covered(events in prop::collection::vec(events(), 0..30), kept_since in instants()) {
            let state = events.iter().fold(CollectionProgress::NONE, |state, event| state.after(event.clone(), Some(kept_since)));
            prop_assert!(state.covered_since.is_none_or(|since| since >= kept_since));
        }
    }

    #[test]
    fn a_page_that_is_stored_twice_counts_once() {
        let reading = Reading::ByCreation(ReadForward::default());
        let once = reading.past(100, cursor(100), 90);
        assert_eq!(once.clone().past(100, cursor(100), 90), once);
        let further = once.past(150, cursor(150), 50);
        let expected = ReadForward { rows: 150, cursor: Some(cursor(150)), seen: 140, ..ReadForward::default() };
        assert_eq!(further, Reading::ByCreation(expected));
        let again = ReadForward { rows: 25, cursor: Some(cursor(25)), seen: 25, ..ReadForward::default() };
        assert_eq!(further.past(25, cursor(25), 25), Reading::ByCreation(again), "the list starts again");
    }

    #[test]
    fn a_comparison_tries_whole_pages_again() {
        let small = CollectionProgress { page_size: 5, verified_at: Some(at(1)), ..CollectionProgress::NONE };
        let listed = |started_at| ProgressEvent::Listed {
            newest: None,
            down_to: at(0),
            started_at,
            is_verified: true,
            has_pull_requests: true,
        };
        assert_eq!(small.clone().after(listed(at(2)), None).page_size, 100);
        assert_eq!(small.after(listed(at(1)), None).page_size, 5, "the same comparison");
    }
}
