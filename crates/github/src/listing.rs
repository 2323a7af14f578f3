//! Pull requests of a repository, page by page, in two orders.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use http::header::{ETAG, LINK};
use mergeline_domain::{PullRequest, RepoName};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use url::Url;

use crate::answer::Answer;
use crate::client::{Question, Session};
use crate::model::{DecodedPage, RepositoryIdentity, UndecodableItem, decode_page};
use crate::{GitHubError, link};

/// A repository with half a million pull requests has 5,000 pages; more is a loop.
const MAX_PAGES: u32 = 5_000;

/// So many pull requests on a page, none of which can be understood, are no exceptions: GitHub's answers have changed.
const NO_EXCEPTIONS: usize = 10;

/// What an answer is known by, and for which token and address that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag {
    /// As GitHub sent it, quotes included.
    pub value: String,
    /// A digest of the token and the address.
    pub scope: String,
}

/// A page of a repository's pull requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// The pull requests that could be understood, in GitHub's order.
    pub pull_requests: Vec<PullRequest>,
    /// Those that could not.
    pub undecodable: Vec<UndecodableItem>,
    /// Which repository this is; `None` on an empty page.
    pub repository: Option<RepositoryIdentity>,
    /// What the answer is known by.
    pub etag: Option<Etag>,
    /// Whether there are further pages.
    pub has_next: bool,
    /// The number of the last page, as far as GitHub tells.
    pub last: Option<u32>,
}

impl Page {
    /// Whether GitHub listed nothing at all.
    pub fn is_empty(&self) -> bool {
        self.pull_requests.is_empty() && self.undecodable.is_empty()
    }

    /// Adds what a later page listed.
    pub fn append(&mut self, mut later: Self) {
        self.pull_requests.append(&mut later.pull_requests);
        self.undecodable.append(&mut later.undecodable);
        self.has_next = later.has_next;
    }

    /// The newest change on the page.
    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.pull_requests.iter().map(|pull_request| pull_request.updated_at).max()
    }
}

/// An answer to a conditional question.
#[derive(Debug, Clone, PartialEq)]
pub enum PageAnswer {
    /// It is as it was (304), which costs nothing of the hourly limit.
    Unchanged,
    /// It is this now.
    Page(Page),
}

/// A listing by update under way, the newest first: ask for page after page, as far as needed.
#[derive(Debug)]
pub struct PullRequestPages<'a> {
    session: &'a Session<'a>,
    next: Option<Url>,
    seen: HashSet<Url>,
    etag: Option<Etag>,
}

impl<'a> Session<'a> {
    /// The pull requests of a repository, the one that changed last first. With an `etag` the first page may be
    /// [`PageAnswer::Unchanged`], which ends the listing.
    ///
    /// Source: GitHub, "List pull requests". It has no `since`.
    pub fn by_update(&'a self, repository: &RepoName, page_size: u8, etag: Option<Etag>) -> PullRequestPages<'a> {
        // With `sort=updated` the default direction is ascending.
        let query = format!("state=all&sort=updated&direction=desc&per_page={page_size}");
        let url = self.github.url(&format!("/repos/{repository}/pulls"), Some(&query));
        PullRequestPages { session: self, next: Some(url), seen: HashSet::new(), etag }
    }

    /// A page of the pull requests of a repository by creation, oldest first: an order that changes do not disturb.
    ///
    /// # Errors
    /// Whatever GitHub, or the way to it, says.
    pub async fn by_creation(&self, repository: &RepoName, page_size: u8, page: u32) -> Result<Page, GitHubError> {
        if page > MAX_PAGES {
            return Err(GitHubError::invalid("the pages have no end"));
        }
        let query = format!("state=all&sort=created&direction=asc&per_page={page_size}&page={page}");
        let url = self.github.url(&format!("/repos/{repository}/pulls"), Some(&query));
        self.page(url, None, false, false).await.and_then(|(answer, next)| match answer {
            PageAnswer::Page(page) => {
                next.map(|address| self.github.on_same_host(&address)).transpose()?;
                Ok(page)
            }
            PageAnswer::Unchanged => Err(GitHubError::invalid("304 although nothing was said to be known")),
        })
    }

    /// A page with the address of the next one. One that the page before announced is not empty: an error is not the end.
    async fn page(
        &self,
        url: Url,
        known: Option<&Etag>,
        is_first: bool,
        is_announced: bool,
    ) -> Result<(PageAnswer, Option<String>), GitHubError> {
        let scope = if is_first { Some(self.scope(&url).await?) } else { None };
        let usable = known.filter(|etag| scope.as_ref() == Some(&etag.scope));
        let question = Question { etag: usable.map(|etag| etag.value.clone()), ..Question::get(url) };
        self.ask(question, |answer| {
            if answer.status.as_u16() == 304 {
                return Ok((PageAnswer::Unchanged, None));
            }
            let next = answer.header(&LINK).and_then(link::next_page).map(str::to_owned);
            let page = read_page(answer, next.is_some(), scope.as_deref())?;
            if is_announced && page.is_empty() {
                return Err(GitHubError::invalid("a page is empty to which the one before it led"));
            }
            Ok((PageAnswer::Page(page), next))
        })
        .await
    }

    /// ETags belong to a token and an address.
    async fn scope(&self, url: &Url) -> Result<String, GitHubError> {
        let token = self.token().await?;
        let mut hasher = Sha256::new();
        hasher.update(token.as_ref().map_or("", |token| token.expose_secret()));
        hasher.update(url.as_str());
        Ok(hasher.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
    }
}

fn read_page(answer: &Answer, has_next: bool, scope: Option<&str>) -> Result<Page, GitHubError> {
    let DecodedPage { pull_requests, undecodable, repository } = decode_page(&answer.body()?)?;
    if pull_requests.is_empty() && undecodable.len() >= NO_EXCEPTIONS {
        return Err(GitHubError::invalid("none of the pull requests on a page can be understood"));
    }
    let etag = answer.header(&ETAG).zip(scope);
    let etag = etag.map(|(value, scope)| Etag { value: value.to_owned(), scope: scope.to_owned() });
    let last = answer.header(&LINK).and_then(link::last_page);
    Ok(Page { pull_requests, undecodable, repository, etag, has_next, last })
}

impl PullRequestPages<'_> {
    /// The next page, `None` after the last one.
    ///
    /// # Errors
    /// Whatever GitHub, or the way to it, says; asking again repeats the request.
    pub async fn next(&mut self) -> Result<Option<PageAnswer>, GitHubError> {
        let Some(url) = self.next.clone() else { return Ok(None) };
        let is_first = self.seen.is_empty();
        let (answer, next) = self.session.page(url.clone(), self.etag.as_ref(), is_first, !is_first).await?;
        self.seen.insert(url);
        self.next = match next {
            Some(address) => Some(self.checked_next(&address)?),
            None => None,
        };
        Ok(Some(answer))
    }

    fn checked_next(&self, address: &str) -> Result<Url, GitHubError> {
        let url = self.session.github.on_same_host(address)?;
        if self.seen.len() >= MAX_PAGES as usize || self.seen.contains(&url) {
            return Err(GitHubError::invalid("the pages lead in a circle"));
        }
        Ok(url)
    }
}
