//! Pull requests for the fake GitHub, with sensible defaults.

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::{AccountKind, Author, Login, PullRequest, State};

use crate::contract::sha;

/// A placeholder for half a surrogate pair, which a Rust string cannot hold: the fake GitHub writes it as `\ud83d`.
pub const HALF_A_PAIR: char = '\u{f8ff}';

/// An account at the fake GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeUser {
    /// The account's number.
    pub id: i64,
    /// The login.
    pub login: String,
    /// `User`, `Bot` and so on.
    pub kind: String,
}

impl FakeUser {
    /// A person whose number follows from the login, so that a login is the same account everywhere.
    pub fn person(login: &str) -> Self {
        Self { id: person_number(login), login: login.to_owned(), kind: "User".to_owned() }
    }

    /// A bot; GitHub appends `[bot]` to its login.
    pub fn bot(name: &str) -> Self {
        Self { id: account_number(name), login: format!("{name}[bot]"), kind: "Bot".to_owned() }
    }

    /// An organization.
    pub fn organization(login: &str) -> Self {
        Self { kind: "Organization".to_owned(), ..Self::person(login) }
    }
}

/// A number beyond 2^31 that depends only on the name.
fn account_number(name: &str) -> i64 {
    3_000_000_000 + hash(name)
}

/// A person's number, which fits 32 bits, as GraphQL's type of it does.
fn person_number(login: &str) -> i64 {
    1_000_000_000 + hash(login)
}

/// A number below 10^9 (FNV-1a).
fn hash(name: &str) -> i64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
    });
    i64::try_from(hash % 1_000_000_000).unwrap_or_default()
}

/// A commit of a pull request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeCommit {
    /// When it was written, by its author's clock.
    pub authored_at: DateTime<Utc>,
    /// When it got its present form.
    pub committed_at: DateTime<Utc>,
}

/// A review of a pull request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeReview {
    /// The reviewer; `None` for a deleted account.
    pub user: Option<FakeUser>,
    /// `APPROVED`, `COMMENTED`, `CHANGES_REQUESTED`, `DISMISSED` or `PENDING`.
    pub state: String,
    /// When it was submitted; `None` if it is pending.
    pub submitted_at: Option<DateTime<Utc>>,
    /// The state of a dismissed review before the dismissal.
    pub dismissed_from: Option<String>,
}

/// A change between draft and ready for review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FakeDraftEvent {
    /// The time of the change.
    pub at: DateTime<Utc>,
    /// Whether it became ready; otherwise it became a draft.
    pub is_ready: bool,
}

/// A pull request at the fake GitHub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakePullRequest {
    /// `owner/name` of its repository.
    pub repository: String,
    /// The number across all of GitHub.
    pub id: i64,
    /// The number in the repository.
    pub number: i64,
    /// The title.
    pub title: String,
    /// The author; `None` for a deleted account.
    pub user: Option<FakeUser>,
    /// Whether it is a draft.
    pub draft: bool,
    /// The base branch.
    pub base_ref: String,
    /// Whether the fork that it came from is gone.
    pub is_fork_gone: bool,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// When it was closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// When it was merged.
    pub merged_at: Option<DateTime<Utc>>,
    /// Its commits; if empty, one commit an hour before the opening.
    pub commits: Vec<FakeCommit>,
    /// Whether GitHub has lost its commits: an empty list then means no commits.
    pub has_lost_commits: bool,
    /// Its reviews, in order of submission.
    pub reviews: Vec<FakeReview>,
    /// Its changes between draft and ready.
    pub draft_events: Vec<FakeDraftEvent>,
    /// Lines added.
    pub additions: i64,
    /// Lines deleted.
    pub deletions: i64,
    /// How many files are changed.
    pub changed_files: i64,
    /// Their paths; if empty, as many as are changed, which belong to nothing.
    pub files: Vec<String>,
    /// The merge commit that GitHub reports; `None` for one derived from the number once it is closed.
    pub merge_commit: Option<String>,
    /// Its labels.
    pub labels: Vec<String>,
    /// The name of its branch; `None` for one derived from the number.
    pub head_ref: Option<String>,
    /// The last commit of its branch; `None` for one derived from the number.
    pub head_commit: Option<String>,
    /// Its description; `None` for one of `body_bytes`.
    pub body: Option<String>,
    /// The length of its description in bytes.
    pub body_bytes: usize,
    /// Fields of GitHub's response that are replaced, to test invalid values.
    pub overrides: Vec<(String, serde_json::Value)>,
}

/// Parses an RFC 3339 time, for tests.
///
/// # Panics
/// If the text is not a valid time.
pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap_or_else(|error| panic!("`{text}` is not a time: {error}"))
}

/// An open pull request by `ana`, created on 2026-01-01.
pub fn pr(repository: &str, number: i64) -> FakePullRequest {
    let created_at = at("2026-01-01T09:00:00Z");
    FakePullRequest {
        repository: repository.to_owned(),
        id: account_number(repository) * 4 + number,
        number,
        title: format!("Change {number}"),
        user: Some(FakeUser::person("ana")),
        draft: false,
        base_ref: "main".to_owned(),
        is_fork_gone: false,
        created_at,
        updated_at: created_at,
        closed_at: None,
        merged_at: None,
        commits: Vec::new(),
        has_lost_commits: false,
        reviews: Vec::new(),
        draft_events: Vec::new(),
        additions: 12,
        deletions: 3,
        changed_files: 2,
        files: Vec::new(),
        merge_commit: None,
        labels: Vec::new(),
        head_ref: None,
        head_commit: None,
        body: None,
        body_bytes: 300,
        overrides: Vec::new(),
    }
}

impl FakePullRequest {
    /// Sets the author to this person.
    #[must_use]
    pub fn by(mut self, login: &str) -> Self {
        self.user = Some(FakeUser::person(login));
        self
    }

    /// Sets the author to this account; `None` for a deleted one.
    #[must_use]
    pub fn by_user(mut self, user: Option<FakeUser>) -> Self {
        self.user = user;
        self
    }

    /// Sets when it was opened.
    #[must_use]
    pub fn created(mut self, instant: &str) -> Self {
        self.created_at = at(instant);
        self.updated_at = self.created_at.max(self.updated_at);
        self
    }

    /// Merges it at this time. Like at GitHub, it is closed and updated a second later.
    #[must_use]
    pub fn merged(self, instant: &str) -> Self {
        self.merged_at_instant(at(instant))
    }

    /// Merges it at this time.
    #[must_use]
    pub fn merged_at_instant(mut self, instant: DateTime<Utc>) -> Self {
        self.merged_at = Some(instant);
        self.closed_at = Some(instant + TimeDelta::seconds(1));
        self.updated_at = instant + TimeDelta::seconds(1);
        self
    }

    /// Closes it without a merge at this time.
    #[must_use]
    pub fn closed(mut self, instant: &str) -> Self {
        self.closed_at = Some(at(instant));
        self.updated_at = at(instant);
        self
    }

    /// Sets when it last changed.
    #[must_use]
    pub fn updated(mut self, instant: &str) -> Self {
        self.updated_at = at(instant);
        self
    }

    /// Sets the number across all of GitHub.
    #[must_use]
    pub fn with_id(mut self, id: i64) -> Self {
        self.id = id;
        self
    }

    /// Adds a first commit with this time.
    #[must_use]
    pub fn first_commit(mut self, instant: &str) -> Self {
        self.commits.insert(0, FakeCommit { authored_at: at(instant), committed_at: at(instant) });
        self
    }

    /// Adds a review with a comment by this person at this time.
    #[must_use]
    pub fn reviewed_by(self, login: &str, instant: &str) -> Self {
        self.review(FakeReview {
            user: Some(FakeUser::person(login)),
            state: "COMMENTED".to_owned(),
            submitted_at: Some(at(instant)),
            dismissed_from: None,
        })
    }

    /// Adds an approval by this person at this time.
    #[must_use]
    pub fn approved_by(self, login: &str, instant: &str) -> Self {
        self.review(FakeReview {
            user: Some(FakeUser::person(login)),
            state: "APPROVED".to_owned(),
            submitted_at: Some(at(instant)),
            dismissed_from: None,
        })
    }

    /// Adds an approval by this person at this time that was dismissed an hour later.
    #[must_use]
    pub fn dismissed_approval_by(self, login: &str, instant: &str) -> Self {
        self.review(FakeReview {
            user: Some(FakeUser::person(login)),
            state: "DISMISSED".to_owned(),
            submitted_at: Some(at(instant)),
            dismissed_from: Some("APPROVED".to_owned()),
        })
    }

    /// Adds a review. This is an update, as at GitHub.
    #[must_use]
    pub fn review(mut self, review: FakeReview) -> Self {
        self.updated_at = review.submitted_at.map_or(self.updated_at, |at| at.max(self.updated_at));
        self.reviews.push(review);
        self
    }

    /// Makes it ready for review at this time.
    #[must_use]
    pub fn ready_at(self, instant: &str) -> Self {
        self.draft_event(FakeDraftEvent { at: at(instant), is_ready: true })
    }

    /// Makes it a draft at this time.
    #[must_use]
    pub fn drafted_at(self, instant: &str) -> Self {
        self.draft_event(FakeDraftEvent { at: at(instant), is_ready: false })
    }

    fn draft_event(mut self, event: FakeDraftEvent) -> Self {
        self.updated_at = event.at.max(self.updated_at);
        self.draft = !event.is_ready;
        self.draft_events.push(event);
        self
    }

    /// Sets the title.
    #[must_use]
    pub fn titled(mut self, title: &str) -> Self {
        title.clone_into(&mut self.title);
        self
    }

    /// Sets the merge commit.
    #[must_use]
    pub fn merge_commit(mut self, oid: &str) -> Self {
        self.merge_commit = Some(oid.to_owned());
        self
    }

    /// Sets the files that it changes.
    #[must_use]
    pub fn changing(mut self, files: &[&str]) -> Self {
        self.files = files.iter().map(|file| (*file).to_owned()).collect();
        self.changed_files = i64::try_from(files.len()).unwrap_or(i64::MAX);
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn labeled(mut self, label: &str) -> Self {
        self.labels.push(label.to_owned());
        self
    }

    /// Sets the name of the branch.
    #[must_use]
    pub fn from_branch(mut self, name: &str) -> Self {
        self.head_ref = Some(name.to_owned());
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn described(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }

    /// The name of its branch.
    pub(crate) fn head_ref(&self) -> String {
        self.head_ref.clone().unwrap_or_else(|| format!("change-{}", self.number))
    }

    /// Its description.
    pub(crate) fn body(&self) -> String {
        self.body.clone().unwrap_or_else(|| "x".repeat(self.body_bytes))
    }

    /// The last commit of its branch.
    pub(crate) fn head_commit(&self) -> String {
        self.head_commit.clone().unwrap_or_else(|| sha(self.number))
    }

    /// Sets the length of the description in bytes.
    #[must_use]
    pub fn with_body(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// Its commits in GitHub's order.
    pub(crate) fn known_commits(&self) -> Vec<FakeCommit> {
        if self.commits.is_empty() && !self.has_lost_commits {
            let before = self.created_at - TimeDelta::hours(1);
            return vec![FakeCommit { authored_at: before, committed_at: before }];
        }
        self.commits.clone()
    }

    /// The same pull request as Mergeline sees it, for tests without GitHub.
    pub fn facts(&self) -> PullRequest {
        let state = match (self.merged_at, self.closed_at) {
            (Some(at), closed_at) => State::Merged { at, closed_at: closed_at.unwrap_or(at) },
            (None, Some(at)) => State::Closed { at },
            (None, None) => State::Open,
        };
        let author = self.user.as_ref().map(|user| Author {
            id: user.id.into(),
            login: Login::from_github(&user.login),
            kind: if user.kind == "Bot" { AccountKind::Bot } else { AccountKind::Human },
        });
        PullRequest {
            id: self.id.into(),
            node_id: Some(format!("PR_{}", self.id)),
            number: self.number,
            title: self.title.replace(HALF_A_PAIR, "\u{fffd}"),
            author,
            state,
            is_draft: self.draft,
            base_ref: Some(self.base_ref.clone()),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// Replaces this field of GitHub's response.
    #[must_use]
    pub fn overriding(mut self, field: &str, value: serde_json::Value) -> Self {
        self.overrides.push((field.to_owned(), value));
        self
    }
}
