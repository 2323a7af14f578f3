//! The tests that every source passes. A source's crate provides a [`World`], a forge outside the process that its tests
//! can change, and calls [`contract_tests!`](crate::contract_tests). `docs/sources.md` has the reasons.

#![allow(clippy::missing_panics_doc, clippy::panic, clippy::expect_used, reason = "a failed claim is a panic")]

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::progress::Cursor;
use mergeline_domain::{Recovery, RepoName};

use crate::{
    Block, Changes, ErrorKind, Page, PageAnswer, RepositoryKey, Session, Source, SourceError, Start, WaitBudget,
};

/// A forge with one repository, which is empty at first.
pub trait World: Sized {
    /// The source under test.
    type Source: Source;

    /// Starts it.
    fn start() -> impl Future<Output = Self>;

    /// A client with accepted credentials, which sends one request at a time.
    fn connect(&self) -> Self::Source;

    /// A client whose credentials are refused.
    fn connect_refused(&self) -> Self::Source;

    /// The repository's current name.
    fn repository(&self) -> RepoName;

    /// Creates a pull request, or changes it.
    fn put(&self, number: i64, opened: DateTime<Utc>, changed: DateTime<Utc>);

    /// Deletes a pull request.
    fn delete(&self, number: i64);

    /// Renames the repository, within its owner.
    fn rename(&self, name: &str);

    /// Refuses the next request because of a rate limit that lasts this long.
    fn limit_next(&self, pause: Duration);

    /// Answers the next request for a list as if the list had no rows.
    fn empty_next(&self);

    /// Fails to return a pull request from now on, alone or in a list; `false` if this forge never does that.
    fn break_row(&self, number: i64) -> bool;

    /// Fails to return more than this many pull requests at once from now on; `false` if this forge never does that.
    fn limit_page_size(&self, size: u8) -> bool;

    /// Whether lists have ETags.
    const HAS_ETAGS: bool;

    /// How many requests there were.
    fn requests(&self) -> usize;
}

/// Defines a test for each claim of the contract, against a [`World`].
#[macro_export]
macro_rules! contract_tests {
    ($world:ty) => {
        $crate::contract_tests! { $world:
            every_change_is_listed_latest_change_first
            a_listing_continues_where_its_cursor_says
            vanishing_rows_hide_no_other_row
            a_change_during_a_listing_is_not_lost
            an_unchanged_list_is_reported_as_unchanged
            a_list_by_creation_is_complete_oldest_first
            a_cursor_survives_another_page_size
            cursors_named_ahead_lead_to_the_pages
            an_empty_list_is_never_an_end
            a_falsely_empty_page_is_never_an_end
            an_unreadable_row_spoils_no_other_row
            pages_that_are_too_large_are_read_in_parts
            a_cursor_that_cannot_be_read_starts_again
            rows_and_length_agree_with_the_list
            a_single_pull_request_is_read_by_number
            a_renamed_repository_keeps_its_id
            owned_repositories_include_the_repository
            what_does_not_exist_is_not_found
            refused_credentials_are_recognized_as_such
            a_rate_limit_stops_requests_until_it_ends
            a_known_rate_limit_is_not_tried_again
            unknown_kinds_of_blocks_are_ignored
            each_request_is_counted_in_the_usage
        }
    };
    ($world:ty: $($claim:ident)+) => {
        $(
            #[tokio::test]
            async fn $claim() {
                $crate::contract::$claim(<$world as $crate::contract::World>::start().await).await;
            }
        )+
    };
}

/// Does not wait for a limit.
const BUDGET: WaitBudget = WaitBudget { deadline: None, longest_wait: Duration::ZERO };

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_781_524_800, 0).expect("in range")
}

fn hours_ago(hours: i64) -> DateTime<Utc> {
    now() - TimeDelta::hours(hours)
}

/// Pull requests 1 to `count`, each opened an hour after the one before, and changed in the opposite order.
fn fill(world: &impl World, count: i64) {
    for number in 1..=count {
        world.put(number, hours_ago(1_000 - number), hours_ago(number));
    }
}

fn session<W: World>(world: &W, source: &W::Source) -> <W::Source as Source>::Session {
    source.session(Some(world.repository().owner()), BUDGET, now())
}

/// All pages from a start on, until `take` returns false.
async fn read<S: Session>(
    session: &S,
    repository: &RepoName,
    page_size: u8,
    start: Start,
    mut take: impl FnMut(&Page) -> bool,
) -> Vec<Page> {
    let mut changes = session.changes(repository, page_size, start);
    let mut pages = Vec::new();
    while let Some(answer) = changes.next().await.expect("a page") {
        let PageAnswer::Page(page) = answer else { panic!("unchanged without an ETag") };
        let goes_on = take(&page);
        pages.push(page);
        if !goes_on {
            break;
        }
    }
    pages
}

async fn read_all<S: Session>(session: &S, repository: &RepoName, start: Start) -> Vec<Page> {
    read(session, repository, 5, start, |_| true).await
}

fn numbers(pages: &[Page]) -> Vec<i64> {
    pages.iter().flat_map(Page::numbers).collect()
}

fn distinct(pages: &[Page]) -> BTreeSet<i64> {
    numbers(pages).into_iter().collect()
}

fn kind<T>(outcome: Result<T, SourceError>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind)
}

/// The list by update is complete, and the latest change comes first.
pub async fn every_change_is_listed_latest_change_first<W: World>(world: W) {
    fill(&world, 12);
    let source = world.connect();
    let pages = read_all(&session(&world, &source), &world.repository(), Start::Beginning(None)).await;
    assert_eq!(numbers(&pages), (1..=12).collect::<Vec<i64>>());
    assert!(pages.len() > 1, "several pages");
    assert!(pages.last().is_some_and(|page| !page.has_next), "the last page says so");
    let name = world.repository();
    assert!(pages.iter().all(|page| page.repository.as_ref().is_some_and(|one| one.name == name)));
}

/// A reading that stops after any page continues there.
pub async fn a_listing_continues_where_its_cursor_says<W: World>(world: W) {
    fill(&world, 23);
    let (source, name) = (world.connect(), world.repository());
    for stops_after in 1..=3 {
        let session = session(&world, &source);
        let mut count = 0;
        let first = read(&session, &name, 5, Start::Beginning(None), |_| {
            count += 1;
            count < stops_after
        });
        let mut pages = first.await;
        let end = pages.last().and_then(|page| page.end.clone()).expect("a position");
        assert_eq!(end.rows as usize, distinct(&pages).len(), "rows of the list are read");
        let mut rest = read_all(&session, &name, Start::After(end.cursor)).await;
        pages.append(&mut rest);
        assert_eq!(distinct(&pages), (1..=23).collect::<BTreeSet<i64>>(), "stopped after {stops_after}");
    }
}

/// Rows that were read and vanish move later rows up. None of those is skipped.
pub async fn vanishing_rows_hide_no_other_row<W: World>(world: W) {
    fill(&world, 23);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let mut gone = vec![3, 1];
    let pages = read(&session, &name, 5, Start::Beginning(None), |_| {
        gone.pop().into_iter().for_each(|number| world.delete(number));
        true
    });
    let expected: BTreeSet<i64> = (1..=23).collect();
    let missing: Vec<i64> = expected.difference(&distinct(&pages.await)).copied().collect();
    assert!(missing.iter().all(|number| [1, 3].contains(number)), "missing: {missing:?}");
    // The same between two readings.
    let first = read(&session, &name, 5, Start::Beginning(None), |_| false).await;
    let end = first.last().and_then(|page| page.end.clone()).expect("a position");
    // Also the last row that was read, where the cursor is.
    let last = first.last().and_then(|page| page.pull_requests.last()).map_or(5, |one| one.number);
    world.delete(4);
    world.delete(last);
    let rest = read_all(&session, &name, Start::After(end.cursor)).await;
    let both: BTreeSet<i64> = distinct(&first).union(&distinct(&rest)).copied().collect();
    let missing: Vec<i64> = expected.difference(&both).copied().collect();
    assert!(missing.iter().all(|number| [1, 3, 4, last].contains(number)), "missing: {missing:?}");
}

/// What changes while the list is read is on a later page, or at the front of the next listing.
pub async fn a_change_during_a_listing_is_not_lost<W: World>(world: W) {
    fill(&world, 23);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let mut is_first = true;
    let pages = read(&session, &name, 5, Start::Beginning(None), |_| {
        if std::mem::take(&mut is_first) {
            world.put(20, hours_ago(980), now());
        }
        true
    });
    let mut pages = pages.await;
    let mut next = read(&session, &name, 5, Start::Beginning(None), |_| false).await;
    pages.append(&mut next);
    assert_eq!(distinct(&pages), (1..=23).collect::<BTreeSet<i64>>());
}

/// With the ETag of its first page, an unchanged list costs one request; a changed one is listed.
pub async fn an_unchanged_list_is_reported_as_unchanged<W: World>(world: W) {
    fill(&world, 7);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let first = read(&session, &name, 5, Start::Beginning(None), |_| false).await;
    let etag = first.first().and_then(|page| page.etag.clone());
    assert_eq!(etag.is_some(), W::HAS_ETAGS);
    // A source without ETags lists everything each time.
    let Some(etag) = etag else { return };
    let before = world.requests();
    let mut again = session.changes(&name, 5, Start::Beginning(Some(etag.clone())));
    assert_eq!(again.next().await.expect("an answer"), Some(PageAnswer::Unchanged));
    assert_eq!(again.next().await.expect("an end"), None);
    assert_eq!(world.requests(), before + 1);
    world.put(6, hours_ago(994), now());
    let mut changed = session.changes(&name, 5, Start::Beginning(Some(etag)));
    let answer = changed.next().await.expect("an answer");
    assert!(matches!(answer, Some(PageAnswer::Page(page)) if page.numbers().next() == Some(6)));
}

/// Pages by creation, each from the cursor of the one before.
async fn by_creation<S: Session>(session: &S, name: &RepoName, sizes: &[u8]) -> Vec<Page> {
    let (mut pages, mut from): (Vec<Page>, Option<Cursor>) = (Vec::new(), None);
    loop {
        let size = sizes.get(pages.len()).or(sizes.last()).copied().expect("a size");
        let page = session.by_creation(name, size, from.as_ref()).await.expect("a page");
        from = page.end.as_ref().map(|end| end.cursor.clone());
        let has_next = page.has_next;
        pages.push(page);
        if !has_next {
            return pages;
        }
    }
}

/// The list by creation is complete, the oldest first, and its repository is named.
pub async fn a_list_by_creation_is_complete_oldest_first<W: World>(world: W) {
    fill(&world, 12);
    let (source, name) = (world.connect(), world.repository());
    let pages = by_creation(&session(&world, &source), &name, &[5]).await;
    assert_eq!(numbers(&pages), (1..=12).collect::<Vec<i64>>());
    assert!(pages.iter().all(|page| page.repository.as_ref().is_some_and(|one| one.name == name)));
    let rows: Vec<u32> = pages.iter().filter_map(|page| Some(page.end.as_ref()?.rows)).collect();
    assert!(rows.len() == pages.len() && rows.is_sorted_by(|one, next| one < next), "they grow: {rows:?}");
    let left: Vec<Option<u32>> = pages.iter().map(|page| page.pages_left).collect();
    let is_right =
        |(place, left): (usize, &Option<u32>)| left.is_none_or(|left| left as usize + place + 1 == pages.len());
    assert!(left.iter().enumerate().all(is_right), "pages left: {left:?}");
}

/// Sizes that the collector uses divide each other, and a cursor is of a row, not of a page.
pub async fn a_cursor_survives_another_page_size<W: World>(world: W) {
    fill(&world, 60);
    let (source, name) = (world.connect(), world.repository());
    for sizes in [&[25, 5][..], &[5, 5, 5, 5, 5, 25], &[25, 5, 5, 5, 5, 5, 1]] {
        let pages = by_creation(&session(&world, &source), &name, sizes).await;
        assert_eq!(numbers(&pages), (1..=60).collect::<Vec<i64>>(), "{sizes:?}");
    }
}

/// If a source names the place after a page without reading it, that is the place.
pub async fn cursors_named_ahead_lead_to_the_pages<W: World>(world: W) {
    fill(&world, 12);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let mut from: Option<Cursor> = None;
    for _ in 0..2 {
        let page = session.by_creation(&name, 5, from.as_ref()).await.expect("a page");
        let end = page.end.map(|end| end.cursor);
        if let Some(ahead) = session.following(from.as_ref(), 5) {
            assert_eq!(Some(&ahead), end.as_ref());
        }
        from = end;
    }
}

/// A list without rows may be a lost permission: by creation it is an error, by update the page says so.
pub async fn an_empty_list_is_never_an_end<W: World>(world: W) {
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    assert_eq!(kind(session.by_creation(&name, 5, None).await), Some(ErrorKind::ListsNothing));
    let pages = read_all(&session, &name, Start::Beginning(None)).await;
    let [page] = &pages[..] else { panic!("{pages:?}") };
    assert!(page.is_empty() && page.is_list_empty && !page.has_next, "{page:?}");
    assert_eq!(session.list_length(&name).await.map(|length| length.rows), Ok(0));
    fill(&world, 5);
    let page = session.by_creation(&name, 5, None).await.expect("a page");
    let behind = session.by_creation(&name, 5, page.end.as_ref().map(|end| &end.cursor)).await;
    assert!(behind.is_ok_and(|page| page.is_empty() && !page.has_next), "behind the end");
}

/// A server in trouble may answer with an empty list. That is an error, or the rows come after all.
pub async fn a_falsely_empty_page_is_never_an_end<W: World>(world: W) {
    fill(&world, 12);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let first = session.by_creation(&name, 5, None).await.expect("a page");
    world.empty_next();
    let second = session.by_creation(&name, 5, first.end.as_ref().map(|end| &end.cursor)).await;
    assert!(second.is_err() || second.is_ok_and(|page| page.numbers().eq(6..=10)));
    let mut changes = session.changes(&name, 5, Start::Beginning(None));
    changes.next().await.expect("a page");
    world.empty_next();
    let second = changes.next().await;
    assert!(
        second.is_err() || second.is_ok_and(|answer| matches!(answer, Some(PageAnswer::Page(page)) if page.rows() > 0))
    );
}

/// The other rows of its page are read, and the row is named by its place.
pub async fn an_unreadable_row_spoils_no_other_row<W: World>(world: W) {
    fill(&world, 12);
    if !world.break_row(7) {
        return;
    }
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let pages = by_creation(&session, &name, &[5]).await;
    let expected: Vec<i64> = (1..=12).filter(|number| *number != 7).collect();
    assert_eq!(numbers(&pages), expected);
    let unreadable: Vec<u32> = pages.iter().flat_map(|page| &page.unreadable).map(|row| row.position).collect();
    assert_eq!(unreadable, [7]);
    let row = session.row(&name, 7).await.expect("a row");
    assert_eq!((row.rows(), row.unreadable.len()), (1, 1));
    assert_eq!(kind(session.pull_request(&name, 7).await), Some(ErrorKind::TooLarge));
}

/// The size that works is reported, and no row is lost.
pub async fn pages_that_are_too_large_are_read_in_parts<W: World>(world: W) {
    fill(&world, 60);
    if !world.limit_page_size(30) {
        return;
    }
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let page = session.by_creation(&name, 50, None).await.expect("a page");
    assert_eq!((page.numbers().collect::<Vec<_>>(), page.smaller), ((1..=50).collect(), Some(25)));
    let pages = read(&session, &name, 50, Start::Beginning(None), |_| true).await;
    assert_eq!(distinct(&pages).len(), 60);
}

/// Cursors are stored, and a later version may write others.
pub async fn a_cursor_that_cannot_be_read_starts_again<W: World>(world: W) {
    fill(&world, 7);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let unknown = Cursor("of another version".to_owned());
    let pages = read_all(&session, &name, Start::After(unknown.clone())).await;
    assert_eq!(distinct(&pages).len(), 7);
    let page = session.by_creation(&name, 5, Some(&unknown)).await.expect("a page");
    assert_eq!(page.numbers().next(), Some(1));
}

/// Single rows, and the length that they are compared with.
pub async fn rows_and_length_agree_with_the_list<W: World>(world: W) {
    fill(&world, 7);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    for position in 1..=7 {
        let page = session.row(&name, position).await.expect("a row");
        assert_eq!(numbers(&[page]), [i64::from(position)]);
    }
    assert!(session.row(&name, 8).await.is_ok_and(|page| page.is_empty()), "behind the end");
    let length = session.list_length_if_known(&name).await.expect("a length");
    if let Some(length) = length {
        assert_eq!((length.rows, length.newest), (7, Some(hours_ago(993))));
    }
    let third = session.change_at(&name, 3).await.expect("a row").expect("it exists");
    assert_eq!(third.changed_at, hours_ago(3));
    assert!(third.rows.is_none_or(|rows| rows == 7));
    assert_eq!(session.change_at(&name, 8).await, Ok(None));
}

/// One pull request, as the list shows it.
pub async fn a_single_pull_request_is_read_by_number<W: World>(world: W) {
    fill(&world, 3);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let listed = read_all(&session, &name, Start::Beginning(None)).await;
    let second = listed.iter().flat_map(|page| &page.pull_requests).find(|one| one.number == 2);
    let single = session.pull_request(&name, 2).await.expect("an answer").expect("it can be decoded");
    assert_eq!(Some(&single), second);
    world.delete(2);
    assert_eq!(kind(session.pull_request(&name, 2).await), Some(ErrorKind::NotFound));
}

/// A former name leads to the same repository, under its current name.
pub async fn a_renamed_repository_keeps_its_id<W: World>(world: W) {
    fill(&world, 3);
    let (source, before) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let known = session.repository(RepositoryKey::Name(&before)).await.expect("it exists").identity;
    world.rename("renamed");
    let current = world.repository();
    assert_ne!(before, current);
    let facts = session.repository(RepositoryKey::Id(&known.id)).await.expect("it exists");
    assert_eq!((&facts.identity.id, &facts.identity.name), (&known.id, &current));
    let listed = read_all(&session, &before, Start::Beginning(None)).await;
    let identity = listed.first().and_then(|page| page.repository.as_ref()).expect("it is named");
    assert_eq!((&identity.id, &identity.name), (&known.id, &current));
    assert_eq!(distinct(&listed).len(), 3);
}

/// The owner's list.
pub async fn owned_repositories_include_the_repository<W: World>(world: W) {
    fill(&world, 1);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    let facts = session.repository(RepositoryKey::Name(&name)).await.expect("it exists");
    assert!(facts.has_pull_requests && !facts.is_archived);
    let owned = session.repositories_of(name.owner()).await.expect("a list");
    let found = owned.repositories.iter().find(|one| one.name == name);
    assert_eq!(found.map(|one| &one.id), Some(&facts.identity.id));
    assert_eq!(kind(session.repositories_of("nobody-at-all").await), Some(ErrorKind::NotFound));
}

/// A repository that does not exist, asked for in each way.
pub async fn what_does_not_exist_is_not_found<W: World>(world: W) {
    let source = world.connect();
    let session = session(&world, &source);
    let name: RepoName = format!("{}/nowhere", world.repository().owner()).parse().expect("a name");
    assert_eq!(kind(session.repository(RepositoryKey::Name(&name)).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(session.by_creation(&name, 5, None).await), Some(ErrorKind::NotFound));
    let mut changes = session.changes(&name, 5, Start::Beginning(None));
    let error = changes.next().await.expect_err("it does not exist");
    assert_eq!((error.kind, error.recovery), (ErrorKind::NotFound, Recovery::NeedsPerson));
}

/// Refused credentials stop the work on the whole instance, so the collector must recognize them.
pub async fn refused_credentials_are_recognized_as_such<W: World>(world: W) {
    fill(&world, 1);
    let source = world.connect_refused();
    let refused = session(&world, &source);
    for error in [refused.check_credentials().await.err(), refused.list_length(&world.repository()).await.err()] {
        let error = error.expect("a refusal");
        assert_eq!((error.kind, error.recovery), (ErrorKind::CredentialsRefused, Recovery::NeedsPerson));
        assert!(!error.to_string().is_empty());
    }
    let source = world.connect();
    assert_eq!(session(&world, &source).check_credentials().await, Ok(()));
}

/// A limit says how long to wait. Until then nothing else is sent, and others learn of it.
pub async fn a_rate_limit_stops_requests_until_it_ends<W: World>(world: W) {
    fill(&world, 1);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    session.list_length(&name).await.expect("no limit yet");
    world.limit_next(Duration::from_secs(600));
    let error = session.list_length(&name).await.expect_err("a limit");
    assert_eq!(error.kind, ErrorKind::RateLimited);
    let Recovery::Retry { after: Some(pause) } = error.recovery else { panic!("no pause: {error:?}") };
    assert!(pause > Duration::from_secs(500) && pause <= Duration::from_secs(660), "{pause:?}");
    let before = world.requests();
    assert_eq!(kind(session.list_length(&name).await), Some(ErrorKind::RateLimited));
    assert_eq!(world.requests(), before, "nothing is sent");
    assert_eq!(source.take_new_blocks(now()).len(), 1);
    assert!(source.take_new_blocks(now()).is_empty(), "each block once");
}

/// What one process has met, another one does not try.
pub async fn a_known_rate_limit_is_not_tried_again<W: World>(world: W) {
    fill(&world, 1);
    let (source, name) = (world.connect(), world.repository());
    world.limit_next(Duration::from_secs(600));
    let met = session(&world, &source).list_length(&name).await;
    assert_eq!(kind(met), Some(ErrorKind::RateLimited));
    let other = world.connect();
    other.know_blocks(&source.take_new_blocks(now()), now());
    let before = world.requests();
    assert_eq!(kind(session(&world, &other).list_length(&name).await), Some(ErrorKind::RateLimited));
    assert_eq!(world.requests(), before);
}

/// A newer version that shares the database may store others.
pub async fn unknown_kinds_of_blocks_are_ignored<W: World>(world: W) {
    fill(&world, 1);
    let (source, name) = (world.connect(), world.repository());
    world.limit_next(Duration::from_secs(600));
    let met = session(&world, &source).list_length(&name).await;
    assert_eq!(kind(met), Some(ErrorKind::RateLimited));
    let of_another_kind = |block: Block| Block { kind: "of a newer version".to_owned(), ..block };
    let blocks: Vec<Block> = source.take_new_blocks(now()).into_iter().map(of_another_kind).collect();
    let other = world.connect();
    other.know_blocks(&blocks, now());
    assert_eq!(kind(session(&world, &other).list_length(&name).await), None);
}

/// The ledger shows what a repository costs.
pub async fn each_request_is_counted_in_the_usage<W: World>(world: W) {
    fill(&world, 12);
    let (source, name) = (world.connect(), world.repository());
    let session = session(&world, &source);
    read_all(&session, &name, Start::Beginning(None)).await;
    session.pull_request(&name, 1).await.expect("an answer").expect("it can be decoded");
    let usage = session.usage();
    assert_eq!((usage.requests + usage.graphql_requests) as usize, world.requests());
    assert_eq!(usage.errors, 0);
}
