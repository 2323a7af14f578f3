//! The histories of pull requests, by GraphQL: a hundred in one query, where REST would take hundreds of requests.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mergeline_domain::{Commit, DraftEvent, ExternalId, History, Login, Review};
use serde::Deserialize;

use crate::GitHubError;
use crate::client::GitHubSession;
#[cfg(any(test, fuzzing))]
use crate::graphql::decode;
use crate::graphql::{Connection, Node, is_of_the_batch};
use crate::model::is_sane;
use crate::text::Text;

const DETAILS: &str = include_str!("queries/pull_request_details.graphql");
const MORE_COMMITS: &str = include_str!("queries/more_commits.graphql");
const MORE_REVIEWS: &str = include_str!("queries/more_reviews.graphql");
const MORE_TIMELINE: &str = include_str!("queries/more_timeline.graphql");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PullRequestNode {
    id: String,
    created_at: DateTime<Utc>,
    is_draft: bool,
    #[serde(default)]
    body: Text,
    base_ref_name: Text,
    #[serde(default)]
    head_ref_name: Text,
    #[serde(default)]
    head_ref_oid: Text,
    additions: i64,
    deletions: i64,
    changed_files: i64,
    author: Option<Actor>,
    merge_commit: Option<MergeCommit>,
    #[serde(default)]
    labels: Option<Connection<Label>>,
    #[serde(default)]
    repository: Option<NamedRepository>,
    commits: Connection<CommitNode>,
    reviews: Connection<ReviewNode>,
    timeline_items: Connection<TimelineNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MergeCommit {
    oid: Text,
    #[serde(default)]
    committed_date: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedRepository {
    name_with_owner: Text,
}

#[derive(Deserialize)]
struct Label {
    name: Text,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Actor {
    #[serde(rename = "__typename")]
    kind: Text,
    login: Text,
    /// Of people, and only where the query asks for it.
    #[serde(default)]
    database_id: Option<i64>,
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

impl Node for PullRequestNode {
    const NAME: &str = "pull requests";
    type Complete = History;

    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), GitHubError> {
        let Self { id, created_at, .. } = self;
        if is_sane(*created_at) {
            return Ok(());
        }
        Err(GitHubError::invalid(format!("{id} was opened at {created_at}, which is out of range")))
    }

    /// Reads the remaining pages of a pull request's commits, reviews and events.
    async fn complete(mut self, session: &GitHubSession) -> Result<History, GitHubError> {
        let Self { id, commits, reviews, timeline_items, .. } = &mut self;
        session.all_commits(id, commits).await?;
        session.rest(MORE_REVIEWS, id, reviews, |more: MoreReviews| more.reviews).await?;
        session.rest(MORE_TIMELINE, id, timeline_items, |more: MoreTimeline| more.timeline_items).await?;
        Ok(history(self))
    }
}

impl GitHubSession {
    /// The histories of pull requests by GraphQL id, each complete or with the reason why it is missing.
    ///
    /// # Errors
    /// Errors that concern all of them: a limit, the token, the connection to GitHub.
    pub async fn histories(&self, ids: &[String]) -> Result<Vec<(String, Result<History, GitHubError>)>, GitHubError> {
        self.each_node::<PullRequestNode>(DETAILS, ids).await
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
}

/// The histories of these pull requests in a response, from its first pages only.
#[cfg(any(test, fuzzing))]
pub(crate) fn histories(body: &[u8], ids: &[String]) -> Result<Vec<(String, History)>, GitHubError> {
    let decoded = decode::<PullRequestNode>(body, ids)?;
    Ok(decoded.data.into_iter().map(|node| (node.id.clone(), history(node))).collect())
}

/// A pull request's history, after all pages were read.
fn history(node: PullRequestNode) -> History {
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
    let (reverts, closes) = (reverted(&node), closed(&node));
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
        // Beyond `MAX_PAGES`.
        has_all_reviews: !node.reviews.page_info.has_next_page,
        reviews: node.reviews.nodes.iter().map(|node| review(node, &dismissed)).collect(),
        draft_events: node.timeline_items.nodes.iter().filter_map(draft_event).collect(),
        additions: node.additions,
        deletions: node.deletions,
        changed_files: node.changed_files,
        merge_committed_at: node.merge_commit.as_ref().and_then(|it| it.committed_date).filter(|at| is_sane(*at)),
        merge_commit: node.merge_commit.map(|commit| commit.oid.clean()),
        head_commit: Some(node.head_ref_oid.into_clean()).filter(|oid| !oid.is_empty()),
        head_ref: Some(node.head_ref_name.into_clean()).filter(|name| !name.is_empty()),
        base_ref: Some(node.base_ref_name.clean()),
        labels: node.labels.into_iter().flat_map(|labels| labels.nodes).map(|label| label.name.into_clean()).collect(),
        reverts,
        closes,
    }
}

/// The numbers of the issues of the same repository that the description closes: one of GitHub's keywords, perhaps with a colon,
/// and then `#N`, `GH-N`, `owner/repo#N` or the address of the issue.
///
/// Source: GitHub, "Linking a pull request to an issue". What is linked by hand is not seen.
fn closed(node: &PullRequestNode) -> Vec<i64> {
    const KEYWORDS: [&str; 9] =
        ["close", "closes", "closed", "fix", "fixes", "fixed", "resolve", "resolves", "resolved"];
    let name = node.repository.as_ref().map(|repository| repository.name_with_owner.to_lowercase());
    let number_of = |reference: &str| -> Option<i64> {
        let reference = reference.to_lowercase();
        let reference = reference.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '#');
        let (repository, number) = if let Some(number) = reference.strip_prefix("gh-") {
            ("", number)
        } else if let Some((repository, number)) = reference.split_once('#') {
            (repository, number)
        } else {
            let (repository, number) = reference.split_once("://")?.1.split_once('/')?.1.split_once("/issues/")?;
            (repository, number)
        };
        let is_here = repository.is_empty() || name.as_deref() == Some(repository);
        number.parse().ok().filter(|number| is_here && *number > 0)
    };
    let text = without_code_and_comments(&node.body);
    let words: Vec<&str> = text.split_whitespace().collect();
    let pairs = words.iter().zip(words.iter().skip(1));
    let closing = pairs.filter(|(keyword, _)| {
        let keyword = keyword.trim_start_matches(|c: char| !c.is_ascii_alphabetic());
        let keyword = keyword.strip_suffix(':').unwrap_or(keyword);
        KEYWORDS.iter().any(|known| known.eq_ignore_ascii_case(keyword))
    });
    closing.filter_map(|(_, reference)| number_of(reference)).collect()
}

/// Markdown without comments, as in templates, and without code.
fn without_code_and_comments(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut rest = markdown;
    while let Some((before, after)) = rest.split_once("<!--") {
        text.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = ["```", "~~~"].iter().any(|fence| line.trim_start().starts_with(fence));
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    let lines = lines.map(|line| line.split('`').step_by(2).collect::<Vec<_>>().join("` `"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The number of the pull request that this one reverts, by the marks of GitHub's button: the branch `revert-N-…`, and
/// `Reverts owner/name#N` in the description, which wins. A title `Revert "…"` has no number, so it says nothing alone.
fn reverted(node: &PullRequestNode) -> Option<i64> {
    let name = node.repository.as_ref().map(|repository| repository.name_with_owner.to_lowercase());
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let target = words.next().filter(|word| word.eq_ignore_ascii_case("reverts")).and_then(|_| words.next())?;
        let (repository, number) = target.trim_end_matches(['.', ',']).split_once('#')?;
        let is_here = repository.is_empty() || name.as_ref().is_none_or(|name| *name == repository.to_lowercase());
        if is_here { number.parse().ok() } else { None }
    };
    let of_branch = || node.head_ref_name.strip_prefix("revert-")?.split_once('-')?.0.parse().ok();
    let number: Option<i64> = node.body.lines().filter_map(of_line).next_back().or_else(of_branch);
    number.filter(|number| *number > 0)
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
        account: node.author.as_ref().and_then(|author| author.database_id).map(ExternalId::from),
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
    use serde_json::{Value, json};

    use super::*;

    fn refused(body: &Value) -> &'static str {
        let ids = ["PR_1".to_owned()];
        histories(body.to_string().as_bytes(), &ids).expect_err("refused").code()
    }

    #[test]
    fn issues_are_closed_by_the_keywords_of_the_description() {
        let closed_by = |body: &str| {
            let empty = json!({ "nodes": [], "pageInfo": { "hasNextPage": false } });
            let node = json!({
                "id": "PR_1", "createdAt": "2026-06-01T10:00:00Z", "isDraft": false, "body": body, "baseRefName": "main",
                "headRefName": "fix", "headRefOid": "", "additions": 1, "deletions": 1, "changedFiles": 1, "author": null,
                "mergeCommit": null, "labels": null, "repository": { "nameWithOwner": "Acme/Web" },
                "commits": empty, "reviews": empty, "timelineItems": empty,
            });
            let body = json!({ "data": { "nodes": [node] } }).to_string();
            let all = histories(body.as_bytes(), &["PR_1".to_owned()]).expect("decodes");
            all.into_iter().flat_map(|(_, history)| history.closes).collect::<Vec<_>>()
        };
        assert_eq!(closed_by("Fixes #12, resolves: acme/web#13.\n\n- CLOSED GH-14"), [12, 13, 14]);
        assert_eq!(closed_by("This fixes https://github.com/acme/web/issues/15."), [15]);
        assert_eq!(
            closed_by("Fixes acme/api#16 and https://github.com/acme/api/issues/17"),
            [0_i64; 0],
            "of another repository"
        );
        let hidden = "<!-- Fixes #1 -->\n```\nFixes #2\n```\nSay `fixes #3`, and fixes #21";
        assert_eq!(closed_by(hidden), [21], "comments and code say nothing");
        assert_eq!(closed_by("See #18. It prefixes #19; fix the #20, fixes #0 and fixes #x"), [0_i64; 0]);
    }

    #[test]
    fn a_revert_is_known_by_its_branch_and_its_description() {
        let reverted_by = |branch: &str, body: &str| {
            let empty = json!({ "nodes": [], "pageInfo": { "hasNextPage": false } });
            let node = json!({
                "id": "PR_1", "createdAt": "2026-06-01T10:00:00Z", "isDraft": false, "title": "Revert \"Add x\"",
                "body": body, "baseRefName": "main", "headRefName": branch, "headRefOid": "", "additions": 1,
                "deletions": 1, "changedFiles": 1, "author": null, "mergeCommit": null, "labels": null,
                "repository": { "nameWithOwner": "Acme/Web" },
                "commits": empty, "reviews": empty, "timelineItems": empty,
            });
            let body = json!({ "data": { "nodes": [node] } }).to_string();
            let all = histories(body.as_bytes(), &["PR_1".to_owned()]).expect("decodes");
            all.into_iter().next().and_then(|(_, history)| history.reverts)
        };
        assert_eq!(reverted_by("revert-12-add-x", ""), Some(12));
        assert_eq!(reverted_by("revert-12-add-x", "Why\n\nReverts acme/web#13"), Some(13), "the last mark wins");
        assert_eq!(reverted_by("fix", "Reverts acme/web#13.\nReverts #14"), Some(14));
        assert_eq!(reverted_by("fix", "Reverts acme/api#13"), None, "another repository's");
        assert_eq!(reverted_by("revert-x", "It reverts #14; see reverts#15"), None);
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
