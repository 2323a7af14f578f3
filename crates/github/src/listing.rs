//! Pull requests of a repository, page by page, in two orders.

use std::collections::HashMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use http::header::{ETAG, LINK};
use mergeline_domain::progress::Cursor;
use mergeline_domain::{PullRequest, RepoName};
use mergeline_source::{ChangeAt, Etag, ListLength, Page, PageAnswer, Position, UnreadableRow};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::answer::Answer;
use crate::client::{GitHubRequest, GitHubSession};
use crate::model::{DecodedPage, decode_page};
use crate::{GitHubError, link};

/// A repository with half a million pull requests has 5,000 pages; more is a loop.
pub(crate) const MAX_PAGES: u32 = 5_000;

/// The page sizes. Each size divides the previous one, so that a smaller page starts where a larger one does.
pub(crate) const PAGE_SIZES: [u8; 5] = [100, 50, 25, 5, 1];

/// The next larger page size, if there is one.
pub(crate) fn larger_page(size: u8) -> Option<u8> {
    PAGE_SIZES.into_iter().rev().find(|larger| *larger > size)
}

/// The next smaller page size, if there is one.
pub(crate) fn smaller_page(size: u8) -> Option<u8> {
    PAGE_SIZES.into_iter().find(|smaller| *smaller < size)
}

/// After this many unreadable rows in a row, another row is requested, to see whether the server fails at everything
/// and not only at these rows.
const MAX_UNREADABLE_IN_A_ROW: u32 = 5;

/// The maximum times a listing goes back because earlier rows have vanished.
pub(crate) const MAX_RETURNS: u32 = 20;

pub(crate) const TOO_FAST: &str = "rows vanish faster than the list can be read";

/// The maximum times a page is read in parts again because the list became shorter.
const MAX_READINGS_IN_PARTS: u32 = 4;

/// How many rows a listing goes back at first: usually one row has vanished.
pub(crate) const FIRST_RETURN: u32 = 10;

/// If this many rows of a page are all undecodable, GitHub's format has changed.
pub(crate) const NO_EXCEPTIONS: usize = 10;

pub(crate) const EMPTY_PAGE: &str = "a page is empty although the previous page announced it";

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The latest change first.
    Update,
    /// The oldest first.
    Creation,
    /// The newest first.
    Newest,
}

impl Order {
    /// With `sort=updated` the default direction is ascending, so the direction is always explicit.
    fn query(self) -> &'static str {
        match self {
            Self::Update => "state=all&sort=updated&direction=desc",
            Self::Creation => "state=all&sort=created&direction=asc",
            Self::Newest => "state=all&sort=created&direction=desc",
        }
    }
}

/// A page of a list: its size and number.
#[derive(Debug, Clone, Copy)]
struct Part<'a> {
    repository: &'a RepoName,
    order: Order,
    size: u8,
    number: u32,
}

impl Part<'_> {
    /// Its rows, from 1.
    fn rows(&self) -> std::ops::RangeInclusive<u32> {
        let size = u32::from(self.size);
        (self.number - 1).saturating_mul(size) + 1..=self.number.saturating_mul(size)
    }

    /// The pages of the next smaller size that cover these rows, last page first; `None` for single pull requests.
    fn smaller(&self) -> Option<impl Iterator<Item = Self>> {
        let size = smaller_page(self.size)?;
        let page = |row: u32| (row - 1) / u32::from(size) + 1;
        let (first, last) = (page(*self.rows().start()), page(*self.rows().end()));
        Some((first..=last).rev().map(move |number| Self { size, number, ..*self }))
    }
}

/// A listing by update in progress, newest first. Request page after page, as far as needed.
///
/// GitHub addresses pages only by number. If a row vanishes, all later rows move up, and the first row of the next
/// page would be skipped. Each page is therefore a little smaller, so that it starts with a row of the previous one.
/// If that row is missing, the listing goes back.
#[derive(Debug)]
pub struct PullRequestPages<'a> {
    session: &'a GitHubSession,
    repository: RepoName,
    page_size: u8,
    etag: Option<Etag>,
    /// The number of rows read, from the first one on.
    rows: u32,
    /// The last rows that were read.
    end: Option<End>,
    has_next: bool,
    pages: u32,
    returns: u32,
    /// How often it went back since the last usable page.
    returns_in_a_row: u32,
    /// It resumes an earlier listing and has not yet found a row of that.
    is_resumed: bool,
}

/// Where a listing by update stopped: what its cursor contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct ListPosition {
    /// How many rows were read, from the start of the list.
    rows: u32,
    /// When the last of them changed.
    oldest: Option<DateTime<Utc>>,
    /// The number of the last of them.
    last: Option<i64>,
}

impl ListPosition {
    /// A cursor of an earlier version that cannot be read starts the list again: nothing is lost.
    fn of(cursor: &Cursor) -> Self {
        serde_json::from_str(&cursor.0).unwrap_or_default()
    }

    fn cursor(self) -> Cursor {
        // Numbers and times always serialize.
        Cursor(serde_json::to_string(&self).unwrap_or_default())
    }
}

/// The end of the part of a list that was read.
#[derive(Debug)]
struct End {
    /// Numbers and times of change.
    rows: HashMap<i64, Option<DateTime<Utc>>>,
    oldest: Option<DateTime<Utc>>,
    last: Option<i64>,
}

impl End {
    fn of(page: &Page) -> Self {
        let understood = page.pull_requests.iter();
        let oldest = understood.clone().min_by_key(|pull_request| pull_request.updated_at);
        let mut rows: HashMap<i64, _> = page.numbers().map(|number| (number, None)).collect();
        rows.extend(understood.map(|pull_request| (pull_request.number, Some(pull_request.updated_at))));
        let last = page.pull_requests.last().map(|pull_request| pull_request.number);
        Self { rows, oldest: oldest.map(|pull_request| pull_request.updated_at), last }
    }

    fn at(position: ListPosition) -> Self {
        let ListPosition { oldest, last, .. } = position;
        Self { rows: last.map(|number| (number, oldest)).into_iter().collect(), oldest, last }
    }

    /// Whether a page holds a row that was read before, or one that has moved in front of it since. If so, there are
    /// no rows between them.
    fn is_on(&self, page: &Page) -> bool {
        let is_newer = |pull_request: &PullRequest| self.oldest.is_some_and(|oldest| pull_request.updated_at > oldest);
        page.numbers().any(|number| self.rows.contains_key(&number)) || page.pull_requests.iter().any(is_newer)
    }

    /// Removes rows from a page that were read before and have not changed since.
    fn take_from(&self, page: &mut Page) {
        let is_same = |number: i64, updated_at| self.rows.get(&number) == Some(&updated_at);
        page.pull_requests.retain(|pull_request| !is_same(pull_request.number, Some(pull_request.updated_at)));
        page.undecodable.retain(|item| !is_same(item.number, None));
    }
}

impl GitHubSession {
    /// The pull requests of a repository, latest change first. With an `etag` the first page may be
    /// [`PageAnswer::Unchanged`], which ends the listing.
    ///
    /// Source: GitHub, "List pull requests". It has no `since`.
    pub fn by_update(&self, repository: &RepoName, page_size: u8, etag: Option<Etag>) -> PullRequestPages<'_> {
        PullRequestPages {
            session: self,
            repository: repository.clone(),
            page_size,
            etag,
            rows: 0,
            end: None,
            has_next: true,
            pages: 0,
            returns: 0,
            returns_in_a_row: 0,
            is_resumed: false,
        }
    }

    /// Resumes such a listing. Rows that changed since are in front of the rows that were read. If rows have vanished
    /// since, the listing goes back, to the start if necessary.
    pub fn by_update_after(&self, repository: &RepoName, page_size: u8, cursor: &Cursor) -> PullRequestPages<'_> {
        let position = ListPosition::of(cursor);
        PullRequestPages {
            rows: position.rows,
            end: Some(End::at(position)),
            is_resumed: position.rows > 0,
            ..self.by_update(repository, page_size, None)
        }
    }

    /// A page of the pull requests of a repository by creation, oldest first. Changes do not disturb this order.
    ///
    /// # Errors
    /// Any error from GitHub or the connection to it.
    pub async fn page_by_creation(&self, repository: &RepoName, page_size: u8, page: u32) -> Result<Page, GitHubError> {
        if page > MAX_PAGES * 100 / u32::from(page_size.max(1)) {
            return Err(GitHubError::invalid("the pages never end"));
        }
        let part = Part { repository, order: Order::Creation, size: page_size, number: page };
        self.page_or_parts(part, None, false).await.and_then(into_page)
    }

    /// How many pull requests a repository has up to the newest readable one, and when that one was opened. This
    /// takes one request with one pull request per page: the last page's number is the length. It takes more requests
    /// if the newest one cannot be read.
    ///
    /// # Errors
    /// [`GitHubError::InvalidAnswer`] if GitHub does not give the last page's number, or none of the newest can be
    /// read, and any other error from GitHub or the connection to it.
    pub async fn list_length(&self, repository: &RepoName) -> Result<ListLength, GitHubError> {
        for number in 1..=MAX_UNREADABLE_IN_A_ROW {
            let part = Part { repository, order: Order::Newest, size: 1, number };
            let page = match self.page(part, None, false).await.and_then(into_page) {
                Ok(page) => page,
                Err(error) if error.wants_smaller_page() => continue,
                Err(error) => return Err(error),
            };
            if page.is_empty() {
                // Behind the end: the rows before it are all there are.
                return Ok(ListLength { rows: number - 1, newest: None });
            }
            // The last page does not name a last page.
            let last = page.pages_left.map(|left| number + left);
            let last = last.or((!page.has_next && !page.is_empty()).then_some(number));
            match (last, page.pull_requests.first()) {
                (Some(last), Some(newest)) => {
                    // Rows before it in this order are newer.
                    return Ok(ListLength { rows: last.saturating_sub(number - 1), newest: Some(newest.created_at) });
                }
                (Some(_), None) if page.has_next => {}
                (Some(rows), None) => return Ok(ListLength { rows, newest: None }),
                (None, _) => break,
            }
        }
        // Otherwise all of them count.
        let part = Part { repository, order: Order::Creation, size: 1, number: 1 };
        let page = self.page(part, None, false).await.and_then(into_page)?;
        let last = page.pages_left.map(|left| 1 + left);
        match last.or((!page.has_next && !page.is_empty()).then_some(1)) {
            Some(rows) => Ok(ListLength { rows, newest: None }),
            None => Err(GitHubError::invalid("the length of the list is unknown")),
        }
    }

    async fn list_length_if_known(&self, repository: &RepoName) -> Result<Option<ListLength>, GitHubError> {
        match self.list_length(repository).await {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.wants_smaller_page() || matches!(error, GitHubError::InvalidAnswer { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The row with this number, from 1, in the list by update; `None` if it does not exist or cannot be read. One
    /// request.
    ///
    /// # Errors
    /// Any other error from GitHub or the connection to it.
    pub async fn row_by_update(&self, repository: &RepoName, row: u32) -> Result<Option<ChangeAt>, GitHubError> {
        let part = Part { repository, order: Order::Update, size: 1, number: row };
        match self.page(part, None, false).await.and_then(into_page) {
            Ok(page) => {
                let rows = page.pages_left.map(|left| row + left);
                Ok(page.pull_requests.first().map(|it| ChangeAt { changed_at: it.updated_at, rows }))
            }
            Err(error) if error.wants_smaller_page() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A page, or the readable part of it. If GitHub cannot return so many pull requests at once, this requests
    /// smaller pages, down to single rows.
    async fn page_or_parts(
        &self,
        part: Part<'_>,
        known: Option<&Etag>,
        is_announced: bool,
    ) -> Result<PageAnswer, GitHubError> {
        match self.page(part, known, is_announced).await {
            Err(error) if error.wants_smaller_page() => self.in_parts_at_rest(part).await.map(PageAnswer::Page),
            outcome => outcome,
        }
    }

    /// Reads a page in parts. In a list by creation, vanished rows are accepted. In a list by update, the parts are
    /// read again if rows vanished in between: later rows have moved up, and the first row of the next part was
    /// skipped.
    async fn in_parts_at_rest(&self, part: Part<'_>) -> Result<Page, GitHubError> {
        if part.order != Order::Update {
            return self.in_parts(part).await;
        }
        let mut before = self.list_length_if_known(part.repository).await?;
        for _ in 0..MAX_READINGS_IN_PARTS {
            let page = self.in_parts(part).await?;
            let after = self.list_length_if_known(part.repository).await?;
            if before.zip(after).is_none_or(|(before, after)| before.rows <= after.rows) {
                return Ok(page);
            }
            before = after;
        }
        Err(GitHubError::invalid(TOO_FAST))
    }

    async fn in_parts(&self, whole: Part<'_>) -> Result<Page, GitHubError> {
        let mut waiting: Vec<Part<'_>> = whole.smaller().into_iter().flatten().collect();
        if waiting.is_empty() {
            waiting.push(whole);
        }
        let mut page = Page::default();
        let (mut smallest, mut in_a_row, mut last_number, mut pages_left) = (whole.size, 0, None, None);
        // Whether a row beyond the page exists that cannot be read itself.
        let mut is_more = false;
        while let Some(part) = waiting.pop() {
            smallest = smallest.min(part.size);
            match self.page(part, None, page.has_next && in_a_row == 0).await.and_then(into_page) {
                Ok(mut read) => {
                    // By creation, the lowest and the highest number; undecodable items have a number too.
                    let (first_number, last) = match whole.order {
                        Order::Creation => (read.numbers().min(), read.numbers().max()),
                        Order::Update | Order::Newest => {
                            let number = |it: &PullRequest| it.number;
                            (read.pull_requests.first().map(number), read.pull_requests.last().map(number))
                        }
                    };
                    let pending = page.unreadable.iter_mut().rev().take(in_a_row as usize);
                    pending.filter(|row| row.before.is_none()).for_each(|row| row.before = first_number);
                    in_a_row = 0;
                    last_number = last.or(last_number);
                    page.repository = page.repository.take().or_else(|| read.repository.take());
                    let last = read.pages_left.map(|left| part.number.saturating_add(left));
                    let pages = last.map(|last| last.saturating_mul(part.size.into()).div_ceil(whole.size.into()));
                    pages_left = pages.map(|pages| pages.saturating_sub(whole.number)).or(pages_left);
                    if *part.rows().start() <= *whole.rows().end() {
                        page.append(read);
                    } else {
                        page.has_next = is_more || !read.is_empty();
                    }
                    if !page.has_next {
                        break;
                    }
                }
                Err(error) if error.wants_smaller_page() => {
                    if let Some(smaller) = part.smaller() {
                        waiting.extend(smaller);
                        continue;
                    }
                    in_a_row += 1;
                    if in_a_row % MAX_UNREADABLE_IN_A_ROW == 0 && !self.shows_an_end(whole.repository).await? {
                        return Err(GitHubError::PageUnreadable {
                            page: whole.number,
                            page_size: whole.size,
                            first: part.number + 1 - in_a_row,
                            last: part.number,
                            cause: Box::new(error),
                        });
                    }
                    // A row beyond the page is only requested to see whether there is more. An error means that it
                    // exists.
                    is_more = part.number > *whole.rows().end();
                    if !is_more {
                        let reason = format!(
                            "row {} of the list (page {} of {}) cannot be read, not even alone: {error}",
                            part.number, whole.number, whole.size
                        );
                        let row = UnreadableRow { position: part.number, after: last_number, before: None, reason };
                        page.unreadable.push(row);
                    }
                    if waiting.is_empty() {
                        waiting.push(Part { number: part.number + 1, ..part });
                    }
                }
                Err(error) => return Err(error),
            }
        }
        page.pages_left = pages_left;
        // If single rows are unreadable, larger pages work for all others. Otherwise the pages are too large.
        page.smaller = page.unreadable.is_empty().then_some(smallest).filter(|size| *size < whole.size);
        Ok(page)
    }

    /// Whether GitHub returns the newest or the oldest pull request. If so, the server is readable.
    async fn shows_an_end(&self, repository: &RepoName) -> Result<bool, GitHubError> {
        for order in [Order::Newest, Order::Creation] {
            let part = Part { repository, order, size: 1, number: 1 };
            match self.page(part, None, false).await {
                Ok(_) => return Ok(true),
                Err(error) if error.wants_smaller_page() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// A page as GitHub returns it. If the previous page announced this one, an empty page is an error and not the
    /// end.
    async fn page(&self, part: Part<'_>, known: Option<&Etag>, is_announced: bool) -> Result<PageAnswer, GitHubError> {
        let Part { repository, order, size, number } = part;
        let mut query = format!("{}&per_page={size}", order.query());
        if number > 1 {
            let _ = write!(query, "&page={number}");
        }
        let url = self.github.url(&format!("/repos/{repository}/pulls"), Some(&query));
        let has_etag = order == Order::Update && number == 1;
        let page = self.if_changed(url, has_etag, known, |answer, etag| {
            let page = read_page(answer, part, etag)?;
            if is_announced && page.is_empty() {
                return Err(GitHubError::invalid(EMPTY_PAGE));
            }
            Ok(page)
        });
        Ok(page.await?.map_or(PageAnswer::Unchanged, PageAnswer::Page))
    }

    /// Sends a request, with a known ETag if that is still valid; `None` if nothing has changed since. `read` also gets the
    /// response's ETag, if the list `has_etag`.
    pub(crate) async fn if_changed<T>(
        &self,
        url: Url,
        has_etag: bool,
        known: Option<&Etag>,
        read: impl Fn(&Answer, Option<Etag>) -> Result<T, GitHubError>,
    ) -> Result<Option<T>, GitHubError> {
        let scope = if has_etag { Some(self.scope(&url).await?) } else { None };
        let usable = known.filter(|etag| scope.as_ref() == Some(&etag.scope));
        let request = GitHubRequest { etag: usable.map(|etag| etag.value.clone()), ..GitHubRequest::get(url) };
        let changed = self.send(request, |answer| {
            if answer.status.as_u16() == 304 {
                return Ok(None);
            }
            let etag = answer.header(&ETAG).zip(scope.clone());
            read(answer, etag.map(|(value, scope)| Etag { value: value.to_owned(), scope })).map(Some)
        });
        match changed.await? {
            // Without an ETag nothing can be unchanged.
            None if usable.is_none() => Err(GitHubError::invalid("304 for a request without an ETag")),
            changed => Ok(changed),
        }
    }

    /// An ETag is valid for one token and address.
    async fn scope(&self, url: &Url) -> Result<String, GitHubError> {
        let token = self.token().await?;
        let mut hasher = Sha256::new();
        hasher.update(token.as_ref().map_or("", |token| token.expose_secret()));
        hasher.update(url.as_str());
        Ok(hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The page, for a request without an ETag.
fn into_page(answer: PageAnswer) -> Result<Page, GitHubError> {
    match answer {
        PageAnswer::Page(page) => Ok(page),
        PageAnswer::Unchanged => Err(GitHubError::invalid("304 for a request without an ETag")),
    }
}

fn read_page(answer: &Answer, part: Part<'_>, etag: Option<Etag>) -> Result<Page, GitHubError> {
    let DecodedPage { pull_requests, undecodable, nameless, repository, .. } = decode_page(&answer.body()?)?;
    if pull_requests.is_empty() && undecodable.len() + nameless.len() >= NO_EXCEPTIONS {
        return Err(GitHubError::invalid("no pull request on a page can be decoded"));
    }
    let has_next = link::has_next(answer.header(&LINK), part.number)?;
    let last = answer.header(&LINK).and_then(link::last_page);
    let pages_left = last.and_then(|last| last.checked_sub(part.number));
    let unreadable = nameless.into_iter().map(|item| {
        let position = part.rows().start().saturating_add(item.index);
        let reason = format!("row {position} of the list has no usable number: {}", item.reason);
        let (after, before) = match part.order {
            Order::Creation => (item.after, item.before),
            Order::Update | Order::Newest => item.understood,
        };
        UnreadableRow { position, after, before, reason }
    });
    let unreadable = unreadable.collect();
    Ok(Page { pull_requests, undecodable, unreadable, repository, etag, has_next, pages_left, ..Page::default() })
}

impl PullRequestPages<'_> {
    /// The next page; `None` after the last one. It may repeat pull requests of the previous page.
    ///
    /// # Errors
    /// Any error from GitHub or the connection to it; calling this again repeats the request.
    pub async fn next(&mut self) -> Result<Option<PageAnswer>, GitHubError> {
        while self.has_next {
            if self.pages >= MAX_PAGES {
                return Err(GitHubError::invalid("the pages never end"));
            }
            let (size, number) = overlapping(self.rows, self.page_size);
            let part = Part { repository: &self.repository, order: Order::Update, size, number };
            let etag = self.etag.as_ref().filter(|_| self.pages == 0);
            let answer = self.session.page_or_parts(part, etag, number > 1 && !self.is_resumed).await?;
            let PageAnswer::Page(mut page) = answer else {
                self.has_next = false;
                return Ok(Some(answer));
            };
            let rows = *part.rows().end();
            self.pages += 1;
            if number > 1 && *part.rows().start() > self.rows && !self.is_resumed {
                // No page starts with a row of the previous one, so its last row is checked alone.
                let last = Part { size: 1, number: self.rows, ..part };
                let is_there = match self.session.page(last, None, false).await.and_then(into_page) {
                    // A row without a usable number proves nothing.
                    Ok(row) => !row.unreadable.is_empty() || self.end.as_ref().is_none_or(|before| before.is_on(&row)),
                    Err(error) if error.wants_smaller_page() => true,
                    Err(error) => return Err(error),
                };
                if !is_there {
                    self.go_back(FIRST_RETURN)?;
                    continue;
                }
            }
            self.page_size = page.smaller.unwrap_or(self.page_size).min(self.page_size);
            let end = End::of(&page);
            page.is_list_empty = page.is_empty();
            let overlaps = number > 1 && (self.is_resumed || *part.rows().start() <= self.rows);
            if let Some(before) = self.end.as_ref().filter(|_| overlaps) {
                if !before.is_on(&page) {
                    // Goes back further each time, until it finds a row that was read.
                    let by = FIRST_RETURN.saturating_mul(2_u32.saturating_pow(self.returns_in_a_row));
                    self.returns_in_a_row += 1;
                    self.go_back(by)?;
                    continue;
                }
                before.take_from(&mut page);
            }
            self.rows = rows;
            self.is_resumed = false;
            self.returns_in_a_row = 0;
            self.end = Some(end);
            self.has_next = page.has_next;
            page.end = Some(Position { rows, cursor: self.position().cursor() });
            return Ok(Some(PageAnswer::Page(page)));
        }
        Ok(None)
    }

    /// Moves back to rows that were read before, because some rows before them have vanished.
    fn go_back(&mut self, by: u32) -> Result<(), GitHubError> {
        self.returns += 1;
        if self.returns > MAX_RETURNS {
            return Err(GitHubError::invalid(TOO_FAST));
        }
        self.rows = self.rows.saturating_sub(by);
        Ok(())
    }

    fn position(&self) -> ListPosition {
        let (oldest, last) = self.end.as_ref().map(|end| (end.oldest, end.last)).unzip();
        ListPosition { rows: self.rows, oldest: oldest.flatten(), last: last.flatten() }
    }

    /// How many pull requests GitHub can return at once, as far as is known.
    pub fn page_size(&self) -> u8 {
        self.page_size
    }
}

/// The page, as size and number, that starts with one of the first `rows` rows and reaches furthest beyond them. If
/// very small pages cannot do both, the next page.
pub(crate) fn overlapping(rows: u32, page_size: u8) -> (u8, u32) {
    let page_of = |row: u32, size: u8| (row.max(1) - 1) / u32::from(size) + 1;
    let beyond = |(size, number): &(u8, u32)| number * u32::from(*size) - rows.min(number * u32::from(*size));
    let pages = (1..=page_size).map(|size| (size, page_of(rows, size)));
    // Of the pages that reach equally far, the largest.
    let furthest = pages.max_by_key(beyond).unwrap_or((1, rows + 1));
    if beyond(&furthest) > 0 { furthest } else { (page_size, page_of(rows + 1, page_size)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_overlap_by_a_row_and_skip_none() {
        // The maximum overhead, in percent of the pages without an overlap.
        for (page_size, percent) in [(25, 33), (50, 22), (100, 14)] {
            let (mut rows, mut pages) = (0, 0);
            while rows < 10_000 {
                let (size, number) = overlapping(rows, page_size);
                let before = (number - 1) * u32::from(size);
                assert!(size <= page_size && before < rows.max(1) && number * u32::from(size) > rows, "after {rows}");
                rows = number * u32::from(size);
                pages += 1;
            }
            let without = 10_000_u32.div_ceil(page_size.into());
            assert!(pages * 100 <= without * (100 + percent), "{pages} instead of {without} pages of {page_size}");
        }
    }

    #[test]
    fn tiny_pages_continue_without_overlap_where_impossible() {
        for page_size in [1, 2, 3, 5] {
            let (mut rows, mut pages) = (0, 0);
            while rows < 100 {
                let (size, number) = overlapping(rows, page_size);
                assert!((number - 1) * u32::from(size) <= rows && number * u32::from(size) > rows, "after {rows}");
                rows = number * u32::from(size);
                pages += 1;
            }
            assert!(pages <= 100, "{page_size}");
        }
    }

    #[test]
    fn a_page_splits_into_next_smaller_pages() {
        let repository = "acme/api".parse().expect("a repository");
        let part = |size, number| Part { repository: &repository, order: Order::Creation, size, number };
        let smaller = |size, number| {
            let pages = part(size, number).smaller().map(|parts| parts.map(|part| (part.size, part.number)).collect());
            pages.map(|mut pages: Vec<_>| {
                pages.reverse();
                pages
            })
        };
        assert_eq!(smaller(100, 2), Some(vec![(50, 3), (50, 4)]));
        assert_eq!(smaller(25, 1), Some(vec![(5, 1), (5, 2), (5, 3), (5, 4), (5, 5)]));
        assert_eq!(smaller(5, 2), Some(vec![(1, 6), (1, 7), (1, 8), (1, 9), (1, 10)]));
        assert_eq!(smaller(99, 2), Some(vec![(50, 2), (50, 3), (50, 4)]), "rows 100 to 198");
        assert_eq!(smaller(1, 7), None);
    }
}
