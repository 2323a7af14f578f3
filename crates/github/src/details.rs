//! The histories of pull requests, by GraphQL: a hundred in one query, where REST would take hundreds of requests.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use http::Method;
use mergeline_domain::{Commit, DraftEvent, History, Login, Review};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Value, json};

use crate::client::{GitHubRequest, GitHubSession};
use crate::model::is_sane;
use crate::text::{Text, sentence};
use crate::{GitHubError, Limit, Refusal};

const DETAILS: &str = include_str!("queries/pull_request_details.graphql");
const MORE_COMMITS: &str = include_str!("queries/more_commits.graphql");
const MORE_REVIEWS: &str = include_str!("queries/more_reviews.graphql");
const MORE_TIMELINE: &str = include_str!("queries/more_timeline.graphql");
/// The most ids that `nodes(ids:)` accepts.
pub(crate) const MAX_IDS: usize = 100;
/// The page limit for commits, reviews or events of one pull request: 5,000 reviews. Later pages are ignored.
const MAX_PAGES: u32 = 50;
/// This many server failures in a row are not caused by single pull requests. Finding one among a hundred takes
/// eight.
const MAX_FAILURES: usize = 12;

#[derive(Deserialize)]
struct Envelope<T> {
    data: Option<T>,
    #[serde(default)]
    errors: Option<Vec<ErrorItem>>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(rename = "type", default)]
    kind: Option<Text>,
    #[serde(default)]
    message: Text,
    /// Names and indexes, starting below `data`.
    #[serde(default)]
    path: Vec<Value>,
}

#[derive(Deserialize, Default)]
struct Cost {
    cost: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Nodes {
    #[serde(default)]
    rate_limit: Option<Cost>,
    nodes: Vec<Option<Node>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct More<T> {
    #[serde(default)]
    rate_limit: Option<Cost>,
    node: Option<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: String,
    created_at: DateTime<Utc>,
    is_draft: bool,
    base_ref_name: Text,
    additions: i64,
    deletions: i64,
    changed_files: i64,
    author: Option<Actor>,
    merge_commit: Option<Oid>,
    commits: Connection<CommitNode>,
    reviews: Connection<ReviewNode>,
    timeline_items: Connection<TimelineNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection<T> {
    /// The number on all pages, if the query asks for it.
    #[serde(default)]
    total_count: Option<usize>,
    #[serde(default)]
    page_info: PageInfo,
    nodes: Vec<T>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

impl PageInfo {
    /// Where the next page starts, given the cursors of the pages so far.
    ///
    /// # Errors
    /// [`GitHubError::InvalidAnswer`] if an earlier page started there: such pages never end.
    fn next(&self, so_far: &mut HashSet<String>) -> Result<Option<String>, GitHubError> {
        match self.end_cursor.clone().filter(|_| self.has_next_page) {
            Some(cursor) if !so_far.insert(cursor.clone()) => {
                Err(GitHubError::invalid("the pages of a list form a loop"))
            }
            next => Ok(next),
        }
    }
}

#[derive(Deserialize)]
struct Oid {
    oid: Text,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "__typename")]
    kind: Text,
    login: Text,
}

#[derive(Deserialize)]
struct CommitNode {
    commit: CommitDates,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommitDates {
    authored_date: Option<DateTime<Utc>>,
    committed_date: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReviewNode {
    id: Text,
    state: Text,
    submitted_at: Option<DateTime<Utc>>,
    author: Option<Actor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimelineNode {
    #[serde(rename = "__typename")]
    kind: Text,
    created_at: Option<DateTime<Utc>>,
    previous_review_state: Option<Text>,
    review: Option<Id>,
}

#[derive(Deserialize)]
struct Id {
    id: Text,
}

#[derive(Deserialize)]
struct MoreCommits {
    commits: Connection<CommitNode>,
}

#[derive(Deserialize)]
struct MoreReviews {
    reviews: Connection<ReviewNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MoreTimeline {
    timeline_items: Connection<TimelineNode>,
}

impl GitHubSession {
    /// The histories of pull requests by GraphQL id, each complete or with the reason why it is missing. A batch that
    /// GitHub cannot return is split in halves. A batch that GitHub refuses for each pull request is not split.
    ///
    /// # Errors
    /// Errors that concern all of them: a limit, the token, the connection to GitHub.
    pub async fn histories(&self, ids: &[String]) -> Result<Vec<(String, Result<History, GitHubError>)>, GitHubError> {
        let mut histories = Vec::with_capacity(ids.len());
        let mut batches: Vec<&[String]> = ids.chunks(MAX_IDS).rev().collect();
        let mut failures = 0;
        while let Some(batch) = batches.pop() {
            match self.nodes(batch).await {
                Ok(nodes) => {
                    failures = 0;
                    for node in nodes {
                        let id = node.id.clone();
                        match self.complete(node).await {
                            Err(error) if !concerns_the_batch(&error) => return Err(error),
                            history => histories.push((id, history)),
                        }
                    }
                }
                Err(error) if !concerns_the_batch(&error) => return Err(error),
                Err(error) => {
                    // Each request takes several tries: a server that fails at every request is not asked a hundred
                    // times.
                    failures += usize::from(error.wants_smaller_page());
                    if failures == MAX_FAILURES {
                        return Err(error);
                    }
                    if let [id] = batch {
                        histories.push((id.clone(), Err(error)));
                    } else if is_refusal(&error) {
                        histories.extend(batch.iter().map(|id| (id.clone(), Err(error.clone()))));
                    } else {
                        let (first, second) = batch.split_at(batch.len() / 2);
                        batches.extend([second, first]);
                    }
                }
            }
        }
        Ok(histories)
    }

    async fn nodes(&self, ids: &[String]) -> Result<Vec<Node>, GitHubError> {
        self.graphql(DETAILS, json!({ "ids": ids }), |body| decode(body, ids)).await
    }

    async fn graphql<T>(
        &self,
        query: &str,
        variables: Value,
        read: impl Fn(&[u8]) -> Result<Decoded<T>, GitHubError>,
    ) -> Result<T, GitHubError> {
        let request = GitHubRequest {
            method: Method::POST,
            body: Some(json!({ "query": query, "variables": variables })),
            ..GitHubRequest::get(self.github.graphql_url())
        };
        let url = request.url.to_string();
        let reported = self
            .send(request, |answer| {
                read(&answer.body()?).map_err(|error| match error {
                    // The limit comes with status 200; its reset is in the headers.
                    GitHubError::RateLimited { limit: Limit::Primary, retry_in: None } => GitHubError::RateLimited {
                        limit: Limit::Primary,
                        retry_in: answer.limit().map(|(_, reported)| reported.reset_in),
                    },
                    other => other,
                })
            })
            .await
            .map_err(|error| if error == GitHubError::NotFound { GitHubError::NoGraphql { url } } else { error })?;
        self.count(|usage| usage.graphql_points += reported.cost);
        Ok(reported.data)
    }

    /// Reads the remaining pages of a pull request's commits, reviews and events.
    async fn complete(&self, mut node: Node) -> Result<History, GitHubError> {
        let Node { id, commits, reviews, timeline_items, .. } = &mut node;
        self.all_commits(id, commits).await?;
        self.rest(MORE_REVIEWS, id, reviews, |more: MoreReviews| more.reviews).await?;
        self.rest(MORE_TIMELINE, id, timeline_items, |more: MoreTimeline| more.timeline_items).await?;
        Ok(history(node))
    }

    /// Reads the commits after the first hundred; the earliest may be among them. If GitHub withholds them, too few
    /// commits are known, which [`history`] detects, and everything else is known. A limit, the token or the
    /// connection is an error, and the commits are requested again later.
    async fn all_commits(&self, id: &str, commits: &mut Connection<CommitNode>) -> Result<(), GitHubError> {
        match self.rest(MORE_COMMITS, id, commits, |more: MoreCommits| more.commits).await {
            Err(error) if error == GitHubError::InsufficientPermission || is_of_the_batch(&error) => {
                // Duplicates must not make up for missing commits.
                commits.total_count = None;
                commits.page_info.has_next_page = true;
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Reads the remaining pages of a list, at most [`MAX_PAGES`]. What was read before an error is kept.
    async fn rest<T, M: DeserializeOwned>(
        &self,
        query: &str,
        id: &str,
        list: &mut Connection<T>,
        list_of: impl Fn(M) -> Connection<T>,
    ) -> Result<(), GitHubError> {
        let mut cursors = HashSet::new();
        let mut after = list.page_info.next(&mut cursors)?;
        for _ in 0..MAX_PAGES {
            let Some(cursor) = after else { break };
            let more = list_of(self.more(query, id, &cursor).await?);
            list.nodes.extend(more.nodes);
            after = more.page_info.next(&mut cursors)?;
        }
        Ok(())
    }

    async fn more<T: DeserializeOwned>(&self, query: &str, id: &str, after: &str) -> Result<T, GitHubError> {
        self.graphql(query, json!({ "id": id, "after": after }), |body| {
            let More { rate_limit, node } = data::<More<T>>(body, 1)?;
            let node = node.ok_or_else(|| GitHubError::PartialAnswer { reason: "a node is missing".to_owned() })?;
            Ok(Decoded { data: node, cost: rate_limit.unwrap_or_default().cost })
        })
        .await
    }
}

/// Data with its cost in points.
struct Decoded<T> {
    data: T,
    cost: u32,
}

/// Whether an error may be caused by one pull request of the batch or by the size of the batch, or applies to each of
/// them.
fn concerns_the_batch(error: &GitHubError) -> bool {
    is_of_the_batch(error) || is_refusal(error)
}

/// Whether an error may be caused by one pull request of the batch or by the size of the batch.
fn is_of_the_batch(error: &GitHubError) -> bool {
    error.wants_smaller_page()
        || matches!(
            error,
            GitHubError::PartialAnswer { .. } | GitHubError::NodeNotFound { .. } | GitHubError::InvalidAnswer { .. }
        )
}

/// Whether an error would repeat for each pull request when requested alone.
fn is_refusal(error: &GitHubError) -> bool {
    matches!(error, GitHubError::InsufficientPermission | GitHubError::Forbidden { .. })
}

/// The data of a response for `asked` nodes, if it has no errors. GraphQL responds with status 200 to errors,
/// sometimes with partial data, which is discarded.
fn data<T: DeserializeOwned>(body: &[u8], asked: usize) -> Result<T, GitHubError> {
    let envelope: Envelope<T> = serde_json::from_slice(body).map_err(|error| {
        // Errors first: with errors, the data may have any shape.
        match serde_json::from_slice::<Envelope<IgnoredAny>>(body) {
            Ok(Envelope { errors: Some(errors), .. }) if !errors.is_empty() => refusal(&errors, asked),
            _ => GitHubError::invalid(error.to_string()),
        }
    })?;
    match envelope {
        Envelope { errors: Some(errors), .. } if !errors.is_empty() => Err(refusal(&errors, asked)),
        Envelope { data: Some(data), .. } => Ok(data),
        Envelope { data: None, .. } => Err(GitHubError::invalid("neither data nor errors")),
    }
}

fn refusal(errors: &[ErrorItem], asked: usize) -> GitHubError {
    let is = |kind: &str| errors.iter().any(|error| error.kind.as_deref() == Some(kind));
    let says = |text: &str| errors.iter().any(|error| error.message.to_lowercase().contains(text));
    if is("RATE_LIMITED") || is("RATE_LIMIT") {
        return GitHubError::RateLimited { limit: Limit::Primary, retry_in: None };
    }
    if says("secondary rate limit") {
        return GitHubError::RateLimited { limit: Limit::Secondary, retry_in: None };
    }
    let reason = reason(errors);
    if is("MAX_NODE_LIMIT_EXCEEDED") || is("RESOURCE_LIMITS_EXCEEDED") || says("timeout") || says("timed out") {
        return GitHubError::TooMuch { reason };
    }
    let refused = |error: &ErrorItem| error.kind.as_deref() == Some("FORBIDDEN");
    if let Some(first) = errors.first().filter(|_| errors.iter().all(refused)) {
        // A rule of the organization, not a permission: it applies to all requests.
        let cause = Refusal::of(&first.message);
        if cause != Refusal::Permission {
            return GitHubError::Forbidden { cause, message: sentence(&first.message.clean()) };
        }
    }
    // Commits of private repositories, for a token without *Contents*. All other data would be available.
    if errors.iter().all(refused) && nodes_named(errors) == Some(asked) {
        return GitHubError::InsufficientPermission;
    }
    let is_missing = |error: &ErrorItem| {
        error.kind.as_deref() == Some("NOT_FOUND")
            && matches!(error.path.len(), 1 | 2)
            && nodes_named([error]) == Some(1)
    };
    if asked == 1 && errors.iter().all(is_missing) {
        return GitHubError::NodeNotFound { reason };
    }
    GitHubError::PartialAnswer { reason }
}

/// GitHub's own message, from the first error.
fn reason(errors: &[ErrorItem]) -> String {
    let Some(ErrorItem { kind, message, .. }) = errors.first() else { return "an error".to_owned() };
    let (kind, message) = (kind.as_ref().map(Text::clean).unwrap_or_default(), message.clean());
    let reason = match (kind.as_str(), without_node_id(&message)) {
        ("", "") => "an error without a message".to_owned(),
        ("", words) | (words, "") => words.to_owned(),
        (kind, message) => format!("{message} ({kind})"),
    };
    sentence(&reason)
}

/// GitHub's message without the node id at its end, which does not help anyone to find the pull request.
fn without_node_id(message: &str) -> &str {
    message.split_once(" with the global id of ").map_or(message, |(sentence, _)| sentence)
}

/// How many nodes the errors are about; `None` if an error does not name a node.
fn nodes_named<'a>(errors: impl IntoIterator<Item = &'a ErrorItem>) -> Option<usize> {
    let named: Option<HashSet<u64>> = errors
        .into_iter()
        .map(|error| match error.path.as_slice() {
            [Value::String(nodes), index, ..] if nodes == "nodes" => index.as_u64(),
            [Value::String(node), ..] if node == "node" => Some(0),
            _ => None,
        })
        .collect();
    named.map(|named| named.len())
}

/// Decodes a response for these pull requests. It must contain each of them once, in any order.
fn decode(body: &[u8], ids: &[String]) -> Result<Decoded<Vec<Node>>, GitHubError> {
    let Nodes { rate_limit, nodes } = data::<Nodes>(body, ids.len())?;
    let wanted: HashSet<&str> = ids.iter().map(String::as_str).collect();
    let nodes: Vec<Node> = nodes.into_iter().flatten().filter(|node| wanted.contains(node.id.as_str())).collect();
    let reported: HashSet<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
    if reported.len() != ids.len() || nodes.len() != ids.len() {
        return Err(GitHubError::PartialAnswer {
            reason: format!("{} of {} pull requests returned", reported.len(), ids.len()),
        });
    }
    if let Some(Node { id, created_at, .. }) = nodes.iter().find(|node| !is_sane(node.created_at)) {
        return Err(GitHubError::invalid(format!("{id} was opened at {created_at}, which is out of range")));
    }
    Ok(Decoded { data: nodes, cost: rate_limit.unwrap_or_default().cost })
}

/// The histories of these pull requests in a response, from its first pages only.
#[cfg(any(test, fuzzing))]
pub(crate) fn histories(body: &[u8], ids: &[String]) -> Result<Vec<(String, History)>, GitHubError> {
    decode(body, ids).map(|reported| reported.data.into_iter().map(|node| (node.id.clone(), history(node))).collect())
}

/// A pull request's history, after all pages were read.
fn history(node: Node) -> History {
    // Commits may be missing beyond `MAX_PAGES`, if GitHub withholds them, or if it counts but does not list them.
    let commits = &node.commits;
    let has_all_commits =
        commits.total_count.map_or(!commits.page_info.has_next_page, |total| commits.nodes.len() >= total);
    let dismissed: HashMap<String, String> = node
        .timeline_items
        .nodes
        .iter()
        .filter_map(|item| {
            Some((item.review.as_ref()?.id.to_string(), item.previous_review_state.as_ref()?.to_string()))
        })
        .collect();
    History {
        created_at: node.created_at,
        author: node.author.as_ref().map(login),
        is_draft: node.is_draft,
        commits: node
            .commits
            .nodes
            .into_iter()
            .map(|node| Commit {
                // These times come from the authors' clocks and may be anything.
                authored_at: node.commit.authored_date.filter(|at| is_sane(*at)),
                committed_at: node.commit.committed_date.filter(|at| is_sane(*at)),
            })
            .collect(),
        has_all_commits,
        reviews: node.reviews.nodes.iter().map(|node| review(node, &dismissed)).collect(),
        draft_events: node.timeline_items.nodes.iter().filter_map(draft_event).collect(),
        additions: node.additions,
        deletions: node.deletions,
        changed_files: node.changed_files,
        merge_commit: node.merge_commit.map(|commit| commit.oid.clean()),
        base_ref: Some(node.base_ref_name.clean()),
    }
}

/// GraphQL's login of a bot lacks `[bot]`.
fn login(actor: &Actor) -> Login {
    let suffix = if &*actor.kind == "Bot" { "[bot]" } else { "" };
    Login::from_github(&format!("{}{suffix}", actor.login.clean()))
}

fn review(node: &ReviewNode, dismissed: &HashMap<String, String>) -> Review {
    let before = dismissed.get(&*node.id).map(String::as_str).filter(|_| &*node.state == "DISMISSED");
    Review {
        author: node.author.as_ref().map(login),
        is_bot: node.author.as_ref().is_some_and(|author| &*author.kind == "Bot"),
        is_approval: before.unwrap_or(&node.state) == "APPROVED",
        submitted_at: node.submitted_at.filter(|at| is_sane(*at)),
    }
}

fn draft_event(node: &TimelineNode) -> Option<DraftEvent> {
    let at = node.created_at.filter(|at| is_sane(*at))?;
    match &*node.kind {
        "ReadyForReviewEvent" => Some(DraftEvent::Ready(at)),
        "ConvertToDraftEvent" => Some(DraftEvent::Draft(at)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &Value) -> &'static str {
        let ids = ["PR_1".to_owned()];
        histories(body.to_string().as_bytes(), &ids).expect_err("refused").code()
    }

    #[test]
    fn g07_errors_or_missing_nodes_mean_a_partial_answer() {
        let errors = json!([{ "type": "NOT_FOUND", "message": "gone", "path": ["nodes", 0] }]);
        assert_eq!(refused(&json!({ "data": { "nodes": [null] }, "errors": errors })), "github_partial_answer");
        assert_eq!(refused(&json!({ "data": { "nodes": [null] } })), "github_partial_answer");
        assert_eq!(refused(&json!({ "data": { "nodes": [] } })), "github_partial_answer");
        assert_eq!(refused(&json!({ "data": null, "errors": [] })), "github_invalid_answer");
    }

    #[test]
    fn only_a_missing_single_node_is_not_found() {
        let is_not_found = |ids: &[&str], kind: &str, path: Value| {
            let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            let body =
                json!({ "data": { "nodes": [null] }, "errors": [{ "type": kind, "message": "gone", "path": path }] });
            matches!(histories(body.to_string().as_bytes(), &ids), Err(GitHubError::NodeNotFound { .. }))
        };
        assert!(is_not_found(&["PR_1"], "NOT_FOUND", json!(["nodes", 0])));
        assert!(is_not_found(&["PR_1"], "NOT_FOUND", json!(["node"])));
        assert!(!is_not_found(&["PR_1", "PR_2"], "NOT_FOUND", json!(["nodes", 0])));
        assert!(!is_not_found(&["PR_1"], "NOT_FOUND", json!(["nodes", 0, "author"])), "only a part of it is missing");
        assert!(!is_not_found(&["PR_1"], "NOT_FOUND", json!([])));
        assert!(!is_not_found(&["PR_1"], "", json!(["nodes", 0])), "a query that took too long");
    }

    #[test]
    fn g07_only_refusing_every_node_means_insufficient_permission() {
        let ids = ["PR_1".to_owned(), "PR_2".to_owned()];
        let refused = |nodes: &[u64], kind: &str| {
            let path = |index: &u64| json!(["nodes", index, "commits", "nodes", 0, "commit"]);
            let errors: Vec<Value> = nodes.iter().map(|index| json!({ "type": kind, "path": path(index) })).collect();
            let body = json!({ "data": { "nodes": [null, null] }, "errors": errors });
            histories(body.to_string().as_bytes(), &ids).expect_err("refused").code()
        };
        assert_eq!(refused(&[0, 0, 1], "FORBIDDEN"), "github_insufficient_permission");
        assert_eq!(refused(&[0, 0], "FORBIDDEN"), "github_partial_answer");
        assert_eq!(refused(&[0, 1], "NOT_FOUND"), "github_partial_answer");
    }

    #[test]
    fn g09_a_graphql_organization_rule_is_not_a_permission() {
        let message = "Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow \
                       list enabled, and your IP address is not permitted to access this resource.";
        let error = |index: u64| json!({ "type": "FORBIDDEN", "path": ["nodes", index], "message": message });
        let body = json!({ "data": { "nodes": [null, null] }, "errors": [error(0), error(1)] });
        let refused = histories(body.to_string().as_bytes(), &["PR_1".to_owned(), "PR_2".to_owned()]);
        assert_eq!(refused.expect_err("refused").code(), "github_ip_not_allowed");
    }

    #[test]
    fn g08_too_much_and_rate_limited_are_distinct() {
        let with =
            |kind: &str, message: &str| json!({ "data": null, "errors": [{ "type": kind, "message": message }] });
        assert_eq!(refused(&with("MAX_NODE_LIMIT_EXCEEDED", "too many")), "github_too_much");
        assert_eq!(refused(&with("RESOURCE_LIMITS_EXCEEDED", "too dear")), "github_too_much");
        assert_eq!(refused(&json!({ "errors": [{ "message": "Something timed out" }] })), "github_too_much");
        assert_eq!(refused(&with("RATE_LIMITED", "API rate limit exceeded")), "github_rate_limited");
    }
}
