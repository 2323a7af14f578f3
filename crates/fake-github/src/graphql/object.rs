//! The complete objects of GraphQL, from which queries select fields.

use std::ops::Range;

use serde_json::{Value, json};

use crate::contract::{deployment_node, in_order, merge_commit, status_node, time};
use crate::history::Commits;
use crate::world::Repository;
use crate::{FakeDeployment, FakePullRequest, FakeReview, FakeUser};

/// GitHub lists this many files of a pull request at most.
const MAX_FILES: usize = 3_000;

/// How many hours after its submission a review was dismissed.
const HOURS_TO_DISMISSAL: i64 = 1;

/// A pull request with all its connections.
pub(super) fn pull_request(pull_request: &FakePullRequest, repository_id: i64, repository: &Repository) -> Value {
    let FakePullRequest { id, number, merged_at, .. } = pull_request;
    let merge_commit = merged_at.and_then(|merged_at| {
        let oid = merge_commit(pull_request)?;
        let made_at = repository.commits.get(&oid).map_or(merged_at, |commit| commit.committed_at);
        Some(json!({ "__typename": "Commit", "oid": oid, "committedDate": time(made_at) }))
    });
    let labels = pull_request.labels.iter().map(|name| json!({ "__typename": "Label", "name": name }));
    json!({
        "__typename": "PullRequest",
        "id": format!("PR_{id}"),
        "fullDatabaseId": id.to_string(),
        "number": number,
        "title": pull_request.title,
        "url": format!("https://github.com/{}/pull/{number}", repository.full_name),
        "state": match (merged_at, pull_request.closed_at) {
            (Some(_), _) => "MERGED",
            (None, Some(_)) => "CLOSED",
            (None, None) => "OPEN",
        },
        "isDraft": pull_request.draft,
        "merged": merged_at.is_some(),
        "closed": pull_request.closed_at.is_some(),
        "createdAt": time(pull_request.created_at),
        "updatedAt": time(pull_request.updated_at),
        "closedAt": pull_request.closed_at.map(time),
        "mergedAt": merged_at.map(time),
        "baseRefName": pull_request.base_ref,
        "body": pull_request.body(),
        "headRefName": pull_request.head_ref(),
        "headRefOid": pull_request.head_commit(),
        "additions": pull_request.additions,
        "deletions": pull_request.deletions,
        "changedFiles": pull_request.changed_files,
        "author": actor(pull_request.user.as_ref()),
        "mergeCommit": merge_commit,
        "labels": connection("Label", &labels.collect::<Vec<_>>()),
        "repository": {
            "__typename": "Repository",
            "id": format!("R_{repository_id}"),
            "nameWithOwner": repository.full_name,
            "isArchived": repository.is_archived,
        },
        "commits": connection("PullRequestCommit", &commits(pull_request)),
        "files": connection("PullRequestChangedFile", &files(pull_request)),
        "reviews": connection("PullRequestReview", &reviews(pull_request)),
        "timelineItems": connection("PullRequestTimelineItems", &timeline(pull_request)),
    })
}

/// The files that GitHub lists.
fn files(pull_request: &FakePullRequest) -> Vec<Value> {
    let file = |path: &str| json!({ "__typename": "PullRequestChangedFile", "path": path, "changeType": "MODIFIED" });
    if pull_request.files.is_empty() {
        let count = usize::try_from(pull_request.changed_files).unwrap_or_default().min(MAX_FILES);
        return (1..=count).map(|number| file(&format!("file-{number}.txt"))).collect();
    }
    pull_request.files.iter().take(MAX_FILES).map(|path| file(path)).collect()
}

/// A deployment with its statuses.
pub(super) fn deployment(deployment: &FakeDeployment) -> Value {
    let statuses = in_order(deployment).into_iter().enumerate().rev().map(|(index, status)| {
        json!({
            "__typename": "DeploymentStatus",
            "id": status_node(deployment, index),
            "state": status.state.to_uppercase(),
            "createdAt": time(status.created_at),
            "environment": status.environment.as_ref().unwrap_or(&deployment.environment),
        })
    });
    json!({
        "__typename": "Deployment",
        "id": deployment_node(deployment.id),
        "commitOid": deployment.sha,
        "createdAt": time(deployment.created_at),
        "updatedAt": time(deployment.updated_at()),
        "environment": deployment.latest_environment(),
        // The type holds 32 bits, and today's numbers are larger.
        "databaseId": i32::try_from(deployment.id).ok(),
        "statuses": connection("DeploymentStatus", &statuses.collect::<Vec<_>>()),
    })
}

/// A commit with its history. Of the history, only the part that `wanted` names is made; the rest is null.
pub(super) fn commit(commits: &Commits, oid: &str, wanted: Option<Range<usize>>) -> Option<Value> {
    let commit = commits.get(oid)?;
    let parent = |oid: &String| {
        let committed_at = commits.get(oid).map(|parent| time(parent.committed_at));
        json!({ "__typename": "Commit", "oid": oid, "committedDate": committed_at.unwrap_or_default() })
    };
    let mut object = json!({
        "__typename": "Commit",
        "oid": oid,
        "committedDate": time(commit.committed_at),
        "parents": connection("Commit", &commit.parents.iter().map(parent).collect::<Vec<_>>()),
    });
    if let Some(wanted) = wanted {
        let log = commits.log(oid);
        let made = log.iter().enumerate().map(|(index, oid)| {
            if wanted.contains(&index) { self::commit(commits, oid, None).unwrap_or_default() } else { Value::Null }
        });
        object["history"] = connection("CommitHistory", &made.collect::<Vec<_>>());
    }
    Some(object)
}

/// A connection with all its nodes.
fn connection(of: &str, nodes: &[Value]) -> Value {
    json!({ "__typename": format!("{of}Connection"), "totalCount": nodes.len(), "nodes": nodes })
}

/// An account. A deleted one is null, and a bot's login has no `[bot]`.
fn actor(user: Option<&FakeUser>) -> Value {
    let Some(user) = user.filter(|user| user.login != "ghost") else { return Value::Null };
    let login = user.login.strip_suffix("[bot]").unwrap_or(&user.login);
    json!({ "__typename": user.kind, "login": login, "databaseId": i32::try_from(user.id).ok() })
}

fn commits(pull_request: &FakePullRequest) -> Vec<Value> {
    let commits = pull_request.known_commits().into_iter().map(|commit| {
        json!({
            "__typename": "PullRequestCommit",
            "commit": {
                "__typename": "Commit",
                "authoredDate": time(commit.authored_at),
                "committedDate": time(commit.committed_at),
            },
        })
    });
    commits.collect()
}

fn review_id(pull_request: &FakePullRequest, index: usize) -> String {
    format!("PRR_{}_{index}", pull_request.id)
}

fn reviews(pull_request: &FakePullRequest) -> Vec<Value> {
    let reviews = pull_request.reviews.iter().enumerate().map(|(index, review)| {
        json!({
            "__typename": "PullRequestReview",
            "id": review_id(pull_request, index),
            "state": review.state,
            "submittedAt": review.submitted_at.map(time),
            "author": actor(review.user.as_ref()),
        })
    });
    reviews.collect()
}

fn timeline(pull_request: &FakePullRequest) -> Vec<Value> {
    let changes = pull_request.draft_events.iter().map(|event| {
        let kind = if event.is_ready { "ReadyForReviewEvent" } else { "ConvertToDraftEvent" };
        (event.at, json!({ "__typename": kind, "createdAt": time(event.at) }))
    });
    let reviews = pull_request.reviews.iter().enumerate();
    let dismissals = reviews.filter_map(|(index, review)| dismissal(&review_id(pull_request, index), review));
    let mut items: Vec<_> = changes.chain(dismissals).collect();
    items.sort_by_key(|(at, _)| *at);
    items.into_iter().map(|(_, item)| item).collect()
}

fn dismissal(id: &str, review: &FakeReview) -> Option<(chrono::DateTime<chrono::Utc>, Value)> {
    let before = review.dismissed_from.as_ref()?;
    let at = review.submitted_at? + chrono::TimeDelta::hours(HOURS_TO_DISMISSAL);
    let item = json!({
        "__typename": "ReviewDismissedEvent",
        "createdAt": time(at),
        "previousReviewState": before,
        "review": { "__typename": "PullRequestReview", "id": id, "state": review.state },
    });
    Some((at, item))
}

/// The releases of a repository, the newest draft first.
pub(super) fn releases(repository: &Repository) -> Value {
    let mut all: Vec<_> = repository.releases.values().collect();
    all.sort_by_key(|it| std::cmp::Reverse((it.created_at, it.id)));
    let nodes = all.into_iter().map(|it| {
        json!({
            "__typename": "Release",
            "id": format!("RE_{}", it.id),
            "databaseId": it.id,
            "tagName": it.tag,
            "name": it.tag,
            "createdAt": time(it.created_at),
            "publishedAt": it.published_at.map(time),
            "isDraft": it.published_at.is_none(),
            "isPrerelease": it.is_prerelease,
            "url": format!("https://github.com/{}/releases/tag/{}", repository.full_name, it.tag),
            "tagCommit": it.sha.as_ref().map(|oid| json!({ "__typename": "Commit", "oid": oid })),
        })
    });
    connection("Release", &nodes.collect::<Vec<_>>())
}

/// The tags of a repository. A light one is its commit.
pub(super) fn tags(repository: &Repository) -> Value {
    let mut all: Vec<_> = repository.tags.values().collect();
    all.sort_by_key(|it| std::cmp::Reverse(it.tagged_at));
    let nodes = all.into_iter().map(|it| {
        let commit = json!({ "__typename": "Commit", "oid": it.sha });
        let target = match it.tagged_at {
            None => commit,
            Some(at) => json!({
                "__typename": "Tag",
                "name": it.name,
                "tagger": { "__typename": "GitActor", "date": time(at) },
                "target": commit,
            }),
        };
        let id = format!("REF_{}:refs/tags/{}", it.repository, it.name);
        json!({ "__typename": "Ref", "id": id, "name": it.name, "target": target })
    });
    connection("Ref", &nodes.collect::<Vec<_>>())
}
