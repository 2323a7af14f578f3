//! What GraphQL reports about a pull request beyond the list: the times that delimit its phases.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::{ExternalId, Login, Roster};

/// The dates of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// When it was authored, by the author's clock.
    pub authored_at: Option<DateTime<Utc>>,
    /// When it was committed in its current form.
    pub committed_at: Option<DateTime<Utc>>,
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The reviewer; `None` for a deleted account.
    pub author: Option<Login>,
    /// The reviewer's account; `None` if the forge does not say.
    pub account: Option<ExternalId>,
    /// Whether the reviewer is a bot.
    pub is_bot: bool,
    /// Whether it approves, or did before it was dismissed.
    pub is_approval: bool,
    /// When it was submitted; `None` if it was not.
    pub submitted_at: Option<DateTime<Utc>>,
}

/// A submitted review by a person who is not the author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedReview {
    /// The reviewer's login.
    pub login: Login,
    /// The reviewer's account; `None` if the forge does not say.
    pub account: Option<ExternalId>,
    /// When it was submitted.
    pub submitted_at: DateTime<Utc>,
}

/// A change between draft and ready for review.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DraftEvent {
    /// It became ready for review.
    Ready(DateTime<Utc>),
    /// It became a draft.
    Draft(DateTime<Utc>),
}

impl DraftEvent {
    fn at(self) -> DateTime<Utc> {
        match self {
            Self::Ready(at) | Self::Draft(at) => at,
        }
    }
}

/// A pull request's complete history as GitHub reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// The author; `None` for a deleted account.
    pub author: Option<Login>,
    /// Whether it is a draft now.
    pub is_draft: bool,
    /// The commits that GitHub lists, in any order.
    pub commits: Vec<Commit>,
    /// Whether `commits` is complete.
    pub has_all_commits: bool,
    /// Its reviews, in any order.
    pub reviews: Vec<Review>,
    /// Whether `reviews` is complete.
    pub has_all_reviews: bool,
    /// Its changes between draft and ready, in any order.
    pub draft_events: Vec<DraftEvent>,
    /// Lines added.
    pub additions: i64,
    /// Lines deleted.
    pub deletions: i64,
    /// Files changed.
    pub changed_files: i64,
    /// The merge commit.
    pub merge_commit: Option<String>,
    /// When that commit was made.
    pub merge_committed_at: Option<DateTime<Utc>>,
    /// The last commit of its branch.
    pub head_commit: Option<String>,
    /// The name of its branch.
    pub head_ref: Option<String>,
    /// The base branch.
    pub base_ref: Option<String>,
    /// Its labels.
    pub labels: Vec<String>,
    /// The number of the pull request of the same repository that it reverts, as its forge marks it.
    pub reverts: Option<i64>,
    /// The numbers of the issues of the same repository that its description closes.
    pub closes: Vec<i64>,
}

impl History {
    /// The history with reviews by configured bots marked as bot reviews.
    #[must_use]
    pub fn with_bots_of(mut self, roster: &Roster) -> Self {
        for review in &mut self.reviews {
            review.is_bot |= review.author.as_ref().is_some_and(|login| roster.names_as_bot(login));
        }
        self
    }
}

/// What is derived from a pull request's history. Unknown values are `None`, never a guess.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// When the first commit was authored. `None` if some commits could not be read, because any of them may be the
    /// first.
    pub first_commit_at: Option<DateTime<Utc>>,
    /// Whether some commits could not be read.
    pub has_unread_commits: bool,
    /// The first review by a person who is not the author.
    pub first_review_at: Option<DateTime<Utc>>,
    /// The first approval by a person who is not the author.
    pub first_approval_at: Option<DateTime<Utc>>,
    /// The reviews by people who are not the author, the first one first.
    pub reviews: Vec<CountedReview>,
    /// Whether there are reviews that could not be read.
    pub has_unread_reviews: bool,
    /// When it was first ready for review; `None` if it never was, or if GitHub does not say when.
    pub ready_at: Option<DateTime<Utc>>,
    /// The draft periods, half open; `None` means the period has not ended.
    pub draft_periods: Vec<(DateTime<Utc>, Option<DateTime<Utc>>)>,
    /// Whether the draft and ready events are inconsistent.
    pub is_draft_history_incomplete: bool,
    /// Lines added.
    pub additions: i64,
    /// Lines deleted.
    pub deletions: i64,
    /// Files changed.
    pub changed_files: i64,
    /// The merge commit.
    pub merge_commit: Option<String>,
    /// When that commit was made.
    pub merge_committed_at: Option<DateTime<Utc>>,
    /// The last commit of its branch.
    pub head_commit: Option<String>,
    /// The name of its branch.
    pub head_ref: Option<String>,
    /// The base branch.
    pub base_ref: Option<String>,
    /// Its labels, sorted.
    pub labels: Vec<String>,
    /// The number of the pull request of the same repository that it reverts.
    pub reverts: Option<i64>,
    /// The numbers of the issues of the same repository that it closes, in order, each once.
    pub closes: Vec<i64>,
}

impl From<History> for Details {
    fn from(history: History) -> Self {
        let human = |review: &&Review| {
            // A deleted account may be anyone, including the author, so it does not count as another person.
            !review.is_bot && review.author.as_ref().is_some_and(|login| Some(login) != history.author.as_ref())
        };
        let first = |reviews: &mut dyn Iterator<Item = &Review>| reviews.filter_map(|review| review.submitted_at).min();
        let first_review_at = first(&mut history.reviews.iter().filter(human));
        let first_approval_at = first(&mut history.reviews.iter().filter(human).filter(|review| review.is_approval));
        let counted = history.reviews.iter().filter(human).filter_map(|review| {
            let (login, account) = (review.author.clone()?, review.account.clone());
            Some(CountedReview { login, account, submitted_at: review.submitted_at? })
        });
        let mut reviews: Vec<CountedReview> = counted.collect();
        reviews.sort_by_key(|review| review.submitted_at);
        let drafts = Drafts::of(&history);
        Self {
            first_commit_at: history.has_all_commits.then(|| first_commit_of(&history)).flatten(),
            has_unread_commits: !history.has_all_commits,
            first_review_at,
            first_approval_at,
            reviews,
            has_unread_reviews: !history.has_all_reviews,
            ready_at: drafts.ready_at,
            draft_periods: drafts.periods,
            is_draft_history_incomplete: drafts.is_incomplete,
            additions: history.additions,
            deletions: history.deletions,
            changed_files: history.changed_files,
            merge_commit: history.merge_commit,
            merge_committed_at: history.merge_committed_at,
            head_commit: history.head_commit,
            head_ref: history.head_ref,
            base_ref: history.base_ref,
            labels: {
                let mut labels = history.labels;
                labels.sort();
                labels
            },
            reverts: history.reverts,
            closes: {
                let closes: BTreeSet<i64> = history.closes.into_iter().collect();
                closes.into_iter().collect()
            },
        }
    }
}

fn first_commit_of(history: &History) -> Option<DateTime<Utc>> {
    history.commits.iter().filter_map(|commit| written_at(*commit, history.created_at)).min()
}

/// The author date. The commit date if the author date is missing or later than the opening, as after a force push or
/// with a clock that is ahead.
fn written_at(commit: Commit, created_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    commit.authored_at.filter(|at| *at <= created_at).or(commit.committed_at).or(commit.authored_at)
}

struct Drafts {
    ready_at: Option<DateTime<Utc>>,
    periods: Vec<(DateTime<Utc>, Option<DateTime<Utc>>)>,
    is_incomplete: bool,
}

impl Drafts {
    fn of(history: &History) -> Self {
        let mut events = history.draft_events.clone();
        events.sort_by_key(|event| event.at());
        // A pull request that becomes ready was a draft before. Without events, it was always what it is now.
        let began_as_draft = match events.first() {
            Some(DraftEvent::Ready(_)) => true,
            Some(DraftEvent::Draft(_)) => false,
            None => history.is_draft,
        };
        let mut drafts = Self {
            ready_at: (!began_as_draft).then_some(history.created_at),
            periods: Vec::new(),
            is_incomplete: false,
        };
        let mut draft_since = began_as_draft.then_some(history.created_at);
        for event in events {
            match (event, draft_since) {
                (DraftEvent::Ready(at), Some(since)) => {
                    if since < at {
                        drafts.periods.push((since, Some(at)));
                    }
                    drafts.ready_at = drafts.ready_at.or(Some(at));
                    draft_since = None;
                }
                (DraftEvent::Draft(at), None) => draft_since = Some(at),
                (DraftEvent::Ready(_), None) | (DraftEvent::Draft(_), Some(_)) => drafts.is_incomplete = true,
            }
        }
        drafts.is_incomplete |= draft_since.is_some() != history.is_draft;
        if let (Some(since), true) = (draft_since, history.is_draft) {
            drafts.periods.push((since, None));
        }
        drafts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(hour * 3_600, 0).expect("in range")
    }

    fn history() -> History {
        History {
            created_at: at(10),
            author: Some(Login::from_github("ana")),
            is_draft: false,
            commits: vec![Commit { authored_at: Some(at(8)), committed_at: Some(at(9)) }],
            has_all_commits: true,
            reviews: Vec::new(),
            has_all_reviews: true,
            draft_events: Vec::new(),
            additions: 1,
            deletions: 2,
            changed_files: 3,
            merge_commit: None,
            merge_committed_at: None,
            head_commit: None,
            head_ref: None,
            base_ref: None,
            labels: Vec::new(),
            reverts: None,
            closes: Vec::new(),
        }
    }

    fn review(login: &str, hour: i64) -> Review {
        let author = (!login.is_empty()).then(|| Login::from_github(login));
        let is_bot = login.ends_with("bot");
        Review { author, account: None, is_bot, is_approval: false, submitted_at: Some(at(hour)) }
    }

    fn details(change: impl FnOnce(&mut History)) -> Details {
        let mut history = history();
        change(&mut history);
        history.into()
    }

    #[test]
    fn the_first_commit_uses_its_author_date() {
        let first = |authored_at: Option<i64>, committed_at: Option<i64>| {
            let commit = Commit { authored_at: authored_at.map(at), committed_at: committed_at.map(at) };
            details(|history| history.commits = vec![commit]).first_commit_at
        };
        assert_eq!(first(Some(8), Some(9)), Some(at(8)));
        assert_eq!(first(None, Some(9)), Some(at(9)));
        assert_eq!(first(Some(11), Some(9)), Some(at(9)));
        // After a force push both are later: the date is kept, and flagged by its readers.
        assert_eq!(first(Some(11), Some(12)), Some(at(12)));
        assert_eq!(first(None, None), None);
        let commit = |hour| Commit { authored_at: Some(at(hour)), committed_at: Some(at(9)) };
        let listed = vec![commit(7), commit(5), commit(6)];
        assert_eq!(
            details(|history| history.commits = listed).first_commit_at,
            Some(at(5)),
            "not the one listed first"
        );
    }

    #[test]
    fn partial_commits_leave_the_first_one_unknown() {
        let some = details(|history| history.has_all_commits = false);
        assert_eq!((some.first_commit_at, some.has_unread_commits), (None, true));
    }

    #[test]
    fn the_author_never_counts_as_a_reviewer() {
        let reviews =
            vec![review("ana", 11), review("lint-bot", 12), review("", 13), review("bob", 15), review("cho", 14)];
        assert_eq!(details(|history| history.reviews = reviews).first_review_at, Some(at(14)));
        let pending = Review { submitted_at: None, ..review("bob", 1) };
        assert_eq!(details(|history| history.reviews = vec![pending]).first_review_at, None);
    }

    #[test]
    fn reviews_by_other_people_are_kept_in_order() {
        let pending = Review { submitted_at: None, ..review("bob", 1) };
        let mut history = history();
        history.reviews = vec![
            review("cho", 14),
            Review { account: Some(7.into()), ..review("bob", 13) },
            review("ana", 11),
            review("lint-bot", 11),
            review("ci-user", 11),
            review("", 11),
            review("bob", 15),
            pending,
        ];
        history.has_all_reviews = false;
        let roster = Roster::new(Vec::new(), vec![Login::from_github("ci-user")]);
        let details = Details::from(history.with_bots_of(&roster));
        let by = |login, account: Option<i64>, hour| CountedReview {
            login: Login::from_github(login),
            account: account.map(ExternalId::from),
            submitted_at: at(hour),
        };
        assert_eq!(details.reviews, [by("bob", Some(7), 13), by("cho", None, 14), by("bob", None, 15)]);
        assert!(details.has_unread_reviews);
    }

    #[test]
    fn the_author_never_counts_as_the_approver() {
        let approval = |login, hour| Review { is_approval: true, ..review(login, hour) };
        let reviews = vec![review("bob", 11), approval("ana", 12), approval("bob", 13)];
        assert_eq!(details(|history| history.reviews = reviews).first_approval_at, Some(at(13)));
    }

    #[test]
    fn only_drafts_wait_for_the_ready_event() {
        assert_eq!(details(|_| ()).ready_at, Some(at(10)));
        let opened_as_draft = details(|history| history.draft_events = vec![DraftEvent::Ready(at(12))]);
        assert_eq!(opened_as_draft.ready_at, Some(at(12)));
        assert_eq!(opened_as_draft.draft_periods, [(at(10), Some(at(12)))]);
        let twice = details(|history| {
            history.is_draft = true;
            history.draft_events = vec![DraftEvent::Draft(at(14)), DraftEvent::Ready(at(12))];
        });
        assert_eq!((twice.ready_at, twice.is_draft_history_incomplete), (Some(at(12)), false));
        assert_eq!(twice.draft_periods, [(at(10), Some(at(12))), (at(14), None)]);
        assert_eq!(details(|history| history.is_draft = true).ready_at, None);
    }

    #[test]
    fn inconsistent_changes_are_marked() {
        let ready_twice = vec![DraftEvent::Ready(at(12)), DraftEvent::Ready(at(13))];
        assert!(details(|history| history.draft_events = ready_twice).is_draft_history_incomplete);
        let never_ready_again = vec![DraftEvent::Draft(at(12))];
        assert!(details(|history| history.draft_events = never_ready_again).is_draft_history_incomplete);
    }
}
