//! Properties that hold for any response body. The fuzz targets and the tests on their corpora call these functions.
//!
//! Each function panics if a property does not hold, and otherwise returns what it saw.

#[cfg(test)]
mod corpus;

use chrono::{DateTime, Datelike, Utc};
use mergeline_domain::{Details, PullRequest, State};
use mergeline_source::{Announced, ListedState};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::GitHubError;
use crate::details::histories;
use crate::model::{decode_page, decode_single, number_of};

/// The outcome of decoding a page or a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It is refused as a whole.
    Refused,
    /// It is decoded.
    Read {
        /// How many pull requests were decoded.
        understood: usize,
        /// How many could not be decoded.
        undecodable: usize,
    },
}

/// Decodes bytes as what a delivery of a webhook carries: the event, a line break and the body.
///
/// # Panics
/// If what is decoded has something that a database or a terminal cannot handle, or a run has not ended.
pub fn announced(bytes: &[u8]) -> Seen {
    let Ok(text) = std::str::from_utf8(bytes) else { return Seen::Refused };
    let (event, body) = text.split_once('\n').unwrap_or_default();
    let read = |understood| Seen::Read { understood, undecodable: 0 };
    match crate::announced::announced(event, body) {
        Ok(None) => read(0),
        Ok(Some(Announced::Deployment(deployment, state))) => {
            check_text("environment", &deployment.environment);
            check_time("a deployment", deployment.created_at);
            if let Some(ListedState { state, environment }) = state {
                check_text("environment", environment.as_deref().unwrap_or_default());
                check_time("a status", state.at);
            }
            read(1)
        }
        Ok(Some(Announced::Run(workflow, run))) => {
            check_text("workflow", &workflow);
            check_text("branch", run.branch().unwrap_or_default());
            check_text("address", run.deployment.url.as_deref().unwrap_or_default());
            check_time("a run", run.deployment.created_at);
            check_time("an end", run.deployment.end.expect("only one that has ended is announced").at);
            read(1)
        }
        Err(undecodable) => {
            check_text("reason", &undecodable.reason);
            assert!(!undecodable.reason.is_empty(), "no reason is given");
            Seen::Refused
        }
    }
}

/// Decodes bytes as a page of pull requests.
///
/// # Panics
/// If an item is lost or duplicated, if decoding all at once differs from decoding one by one or decoding twice, or
/// if the result has something that a database or a terminal cannot handle.
pub fn page(body: &[u8]) -> Seen {
    // An independent decoder that only counts the items of a JSON list.
    let listed = serde_json::from_slice::<Vec<IgnoredAny>>(body).ok().map(|items| items.len());
    let page = match decode_page(body) {
        Ok(page) => page,
        Err(error) => {
            check_error(&error);
            assert!(listed.is_none() || std::str::from_utf8(body).is_err(), "a list of {listed:?} items is refused");
            return Seen::Refused;
        }
    };
    let (understood, undecodable) = (page.pull_requests.len(), page.undecodable.len() + page.nameless.len());
    assert_eq!(listed, Some(understood + undecodable), "items are lost or invented");

    let again = decode_page(body).expect("the same bytes were a page before");
    assert_eq!(page.pull_requests, again.pull_requests, "the second reading differs");
    assert_eq!(page.undecodable, again.undecodable, "the second reading differs");
    assert_eq!(page.nameless, again.nameless, "the second reading differs");

    if let Ok(items) = serde_json::from_slice::<Vec<&RawValue>>(body) {
        let (mut single, mut refused) = (Vec::new(), Vec::new());
        let nameless: Vec<usize> = page.nameless.iter().map(|item| item.index as usize).collect();
        for (_, item) in items.iter().enumerate().filter(|(index, _)| !nameless.contains(index)) {
            let number = number_of(item.get().as_bytes()).expect("it is not nameless");
            match decode_single(item.get().as_bytes(), number) {
                Ok(pull_request) => single.push(pull_request),
                Err(item) => refused.push(item),
            }
        }
        assert_eq!(page.pull_requests, single, "decoding one by one gives different pull requests");
        assert_eq!(page.undecodable, refused, "decoding one by one refuses different items");
    }

    for pull_request in &page.pull_requests {
        check_pull_request(pull_request);
    }
    for item in &page.undecodable {
        assert!(is_number(item.number), "{} is not a pull request number", item.number);
        check_text("reason", &item.reason);
        assert!(!item.reason.is_empty(), "no reason is given");
    }
    for item in &page.nameless {
        assert!(item.after.is_none_or(is_number) && item.before.is_none_or(is_number), "a neighbor has no number");
        check_text("reason", &item.reason);
        assert!(!item.reason.is_empty(), "no reason is given");
    }
    Seen::Read { understood, undecodable }
}

/// How many pull requests are requested in each response of the corpus.
const ASKED: [usize; 3] = [1, 2, 3];

/// Decodes bytes as a GraphQL response for one, two and three pull requests.
///
/// # Panics
/// As [`details`] does.
pub fn answer(body: &[u8]) -> Seen {
    let seen = ASKED.map(|asked| details(body, asked));
    seen.into_iter().find(|seen| *seen != Seen::Refused).unwrap_or(Seen::Refused)
}

/// Decodes bytes as a GraphQL response for `asked` pull requests: `PR_0`, `PR_1` and so on.
///
/// # Panics
/// If one of them is not in the result exactly once, if decoding twice differs, or if the result has something that a
/// database cannot handle.
pub fn details(body: &[u8], asked: usize) -> Seen {
    let ids: Vec<String> = (0..asked).map(|index| format!("PR_{index}")).collect();
    let decoded = match histories(body, &ids) {
        Ok(decoded) => decoded,
        Err(error) => {
            check_error(&error);
            return Seen::Refused;
        }
    };
    let mut names: Vec<&String> = decoded.iter().map(|(id, _)| id).collect();
    names.sort();
    let mut expected: Vec<&String> = ids.iter().collect();
    expected.sort();
    assert_eq!(names, expected, "a pull request is missing or duplicated");
    assert_eq!(histories(body, &ids).as_ref(), Ok(&decoded), "the second reading differs");

    for (_, history) in decoded {
        for text in [&history.base_ref, &history.merge_commit].into_iter().flatten() {
            check_stored("text", text);
        }
        for login in history.author.iter().chain(history.reviews.iter().filter_map(|review| review.author.as_ref())) {
            check_stored("login", login.as_str());
        }
        check_time("created_at", history.created_at);
        let created_at = history.created_at;
        let details = Details::from(history);
        let times = [details.first_commit_at, details.first_review_at, details.first_approval_at, details.ready_at];
        times.into_iter().flatten().for_each(|at| check_time("a time of its details", at));
        assert!(details.first_commit_at.is_none() || !details.has_unread_commits, "the first of some commits");
        assert!(
            details.first_approval_at.is_none_or(|approval| details.first_review_at.is_some_and(|at| at <= approval)),
            "approved before it was reviewed"
        );
        for (from, to) in details.draft_periods {
            assert!(to.is_none_or(|to| from < to), "a period as a draft from {from} to {to:?}, opened at {created_at}");
        }
    }
    Seen::Read { understood: asked, undecodable: 0 }
}

fn check_pull_request(pull_request: &PullRequest) {
    let PullRequest { number, title, node_id, base_ref, author, state, created_at, updated_at, .. } = pull_request;
    assert!(is_number(*number), "{number} is not a pull request number");
    check_text("title", title);
    for text in [node_id, base_ref].into_iter().flatten() {
        check_stored("text", text);
    }
    if let Some(author) = author {
        check_stored("login", author.login.as_str());
    }
    check_time("created_at", *created_at);
    check_time("updated_at", *updated_at);
    match *state {
        State::Open => {}
        State::Closed { at } => check_time("closed_at", at),
        State::Merged { at, closed_at } => {
            check_time("merged_at", at);
            check_time("closed_at", closed_at);
        }
    }
}

fn is_number(number: i64) -> bool {
    (1..=i64::from(i32::MAX)).contains(&number)
}

/// Errors are logged and stored in the ledger, so what they quote must be bounded.
fn check_error(error: &GitHubError) {
    match error {
        GitHubError::InvalidAnswer { reason }
        | GitHubError::PartialAnswer { reason }
        | GitHubError::NodeNotFound { reason }
        | GitHubError::Truncated { reason }
        | GitHubError::TooMuch { reason } => check_text("error's reason", reason),
        GitHubError::RateLimited { .. } => {}
        other => panic!("a body alone cannot cause {other:?}"),
    }
}

/// Text for display: at most a kilobyte, without control characters.
fn check_text(what: &str, text: &str) {
    assert!(text.len() <= 1_024, "the {what} has {} bytes", text.len());
    assert!(!text.chars().any(char::is_control), "the {what} has control characters: {text:?}");
}

/// Text for storage: PostgreSQL refuses NUL.
fn check_stored(what: &str, text: &str) {
    assert!(!text.contains('\0'), "the {what} has a NUL: {text:?}");
}

fn check_time(what: &str, at: DateTime<Utc>) {
    assert!((1970..2200).contains(&at.year()), "{what} is {at}");
}
