//! The bodies of GitHub's responses, complete enough to match its own schema.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::world::{PullRequestList, Repository, World, is_organization};
use crate::{FakeDeployment, FakeDeploymentStatus, FakeIssue, FakePullRequest, FakeRun, FakeTeam, FakeUser};

/// Where the links of a response point.
pub(crate) struct Links<'a> {
    /// The API's address.
    api: &'a str,
    /// The repository's current `owner/name`.
    repository: &'a str,
    repository_id: i64,
    owner: FakeUser,
    settings: &'a Repository,
    /// From this API version on, `merge_commit_sha` and `assignee` are gone.
    is_slim_version: bool,
}

/// The creation time of a repository without pull requests.
const LONG_AGO: DateTime<Utc> = DateTime::from_timestamp(1_577_836_800, 0).expect("2020");

pub(crate) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Forty hexadecimal digits that differ for each number.
pub(crate) fn sha(number: i64) -> String {
    format!("{number:040x}")
}

/// The id of the workflow in a file.
fn workflow_number(file: &str) -> i64 {
    file.bytes().fold(80_000_000, |id, byte| id + i64::from(byte))
}

/// The node id of a deployment.
pub(crate) fn deployment_node(id: i64) -> String {
    format!("DE_{id}")
}

/// The statuses of a deployment, oldest first.
pub(crate) fn in_order(deployment: &FakeDeployment) -> Vec<&FakeDeploymentStatus> {
    let mut statuses: Vec<_> = deployment.statuses.iter().collect();
    statuses.sort_by_key(|status| status.created_at);
    statuses
}

/// The number of a deployment's status.
fn status_number(deployment: &FakeDeployment, index: usize) -> i64 {
    deployment.id * 10 + i64::try_from(index).unwrap_or_default()
}

/// The node id of a deployment's status.
pub(crate) fn status_node(deployment: &FakeDeployment, index: usize) -> String {
    format!("DES_{}", status_number(deployment, index))
}

/// The merge commit that GitHub reports. It does so for pull requests closed without a merge too.
pub(crate) fn merge_commit(pull_request: &FakePullRequest) -> Option<String> {
    let made = || pull_request.closed_at.map(|_| sha(pull_request.number + 1_000_000));
    pull_request.merge_commit.clone().or_else(made)
}

fn label(api: &str, name: &str) -> Value {
    let id = 6_000_000_000_u64 + name.len() as u64;
    json!({
        "id": id,
        "node_id": format!("LA_{id}"),
        "url": format!("{api}/labels/{name}"),
        "name": name,
        "description": "",
        "color": "ededed",
        "default": false,
    })
}

pub(crate) fn user(api: &str, user: &FakeUser) -> Value {
    let FakeUser { id, login, kind } = user;
    let api = format!("{api}/users/{login}");
    json!({
        "login": login,
        "id": id,
        "node_id": format!("U_{id}"),
        "avatar_url": format!("https://avatars.githubusercontent.com/u/{id}?v=4"),
        "gravatar_id": "",
        "url": api,
        "html_url": format!("https://github.com/{login}"),
        "followers_url": format!("{api}/followers"),
        "following_url": format!("{api}/following{{/other_user}}"),
        "gists_url": format!("{api}/gists{{/gist_id}}"),
        "starred_url": format!("{api}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{api}/subscriptions"),
        "organizations_url": format!("{api}/orgs"),
        "repos_url": format!("{api}/repos"),
        "events_url": format!("{api}/events{{/privacy}}"),
        "received_events_url": format!("{api}/received_events"),
        "type": kind,
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// An account with its public data.
pub(crate) fn account(api: &str, account: &FakeUser) -> Value {
    let more = json!({
        "name": null,
        "company": null,
        "blog": "",
        "location": null,
        "email": null,
        "hireable": null,
        "bio": null,
        "public_repos": 0,
        "public_gists": 0,
        "followers": 0,
        "following": 0,
        "created_at": "2020-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    });
    together(user(api, account), more)
}

/// A team without the one that contains it.
fn simple_team(api: &str, organization: &FakeUser, id: i64, team: &FakeTeam) -> Value {
    let address = format!("{api}/organizations/{}/team/{id}", organization.id);
    json!({
        "id": id,
        "node_id": format!("T_{id}"),
        "url": address,
        "html_url": format!("https://github.com/orgs/{}/teams/{}", organization.login, team.slug),
        "members_url": format!("{address}/members{{/member}}"),
        "repositories_url": format!("{address}/repos"),
        "name": team.name,
        "slug": team.slug,
        "description": "",
        "privacy": "closed",
        "notification_setting": "notifications_enabled",
        "permission": "pull",
        "type": "organization",
        "organization_id": organization.id,
    })
}

/// A team in a list.
pub(crate) fn team(
    api: &str,
    organization: &FakeUser,
    id: i64,
    team: &FakeTeam,
    parent: Option<(i64, &FakeTeam)>,
) -> Value {
    let parent = parent.map(|(id, parent)| simple_team(api, organization, id, parent));
    together(simple_team(api, organization, id, team), json!({ "parent": parent }))
}

/// A member of a team.
pub(crate) fn team_member(api: &str, member: &FakeUser, is_inherited: bool) -> Value {
    together(user(api, member), json!({ "role": "member", "inherited": is_inherited }))
}

/// An installation of a GitHub App.
pub(crate) fn installation(api: &str, app: &str, id: i64, account: &FakeUser, is_suspended: bool) -> Value {
    let address = format!("{api}/app/installations/{id}");
    json!({
        "id": id,
        "account": user(api, account),
        "repository_selection": "all",
        "access_tokens_url": format!("{address}/access_tokens"),
        "repositories_url": format!("{api}/installation/repositories"),
        "html_url": format!("https://github.com/organizations/{}/settings/installations/{id}", account.login),
        "app_id": app.parse::<i64>().ok(),
        "app_slug": "mergeline",
        "target_id": account.id,
        "target_type": account.kind,
        "permissions": { "contents": "read", "metadata": "read", "pull_requests": "read" },
        "events": [],
        "single_file_name": null,
        "has_multiple_single_files": false,
        "single_file_paths": [],
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "suspended_at": is_suspended.then_some("2026-02-01T00:00:00Z"),
        "suspended_by": is_suspended.then(|| user(api, account)),
    })
}

/// Merges the fields of both objects.
fn together(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut fields), Value::Object(more)) => {
            fields.extend(more);
            Value::Object(fields)
        }
        (first, _) => first,
    }
}

impl<'a> Links<'a> {
    pub(crate) fn to(world: &World, id: i64, repository: &'a Repository, call: &'a Call) -> Self {
        Self {
            api: &call.api,
            repository: &repository.full_name,
            repository_id: id,
            owner: world.owner_of(repository),
            settings: repository,
            is_slim_version: call.is_slim_version(),
        }
    }

    /// A pull request in a list.
    pub(crate) fn pull_request(&self, pull_request: &FakePullRequest) -> Value {
        let FakePullRequest { number, id, .. } = pull_request;
        let api = format!("{}/repos/{}", self.api, self.repository);
        let html = format!("https://github.com/{}/pull/{number}", self.repository);
        let owner = self.repository.split('/').next().unwrap_or_default();
        let login = pull_request.user.as_ref().map_or(owner, |user| &user.login);
        let repository = self.repository();
        let head_repository = if pull_request.is_fork_gone { Value::Null } else { repository.clone() };
        let labels: Vec<Value> = pull_request.labels.iter().map(|name| label(&api, name)).collect();
        let mut answer = json!({
            "url": format!("{api}/pulls/{number}"),
            "id": id,
            "node_id": format!("PR_{id}"),
            "html_url": html,
            "diff_url": format!("{html}.diff"),
            "patch_url": format!("{html}.patch"),
            "issue_url": format!("{api}/issues/{number}"),
            "number": number,
            "state": if pull_request.closed_at.is_some() { "closed" } else { "open" },
            "locked": false,
            "title": pull_request.title,
            "user": pull_request.user.as_ref().map(|author| user(self.api, author)),
            "body": pull_request.body(),
            "created_at": time(pull_request.created_at),
            "updated_at": time(pull_request.updated_at),
            "closed_at": pull_request.closed_at.map(time),
            "merged_at": pull_request.merged_at.map(time),
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "labels": labels,
            "milestone": null,
            "draft": pull_request.draft,
            "commits_url": format!("{api}/pulls/{number}/commits"),
            "review_comments_url": format!("{api}/pulls/{number}/comments"),
            "review_comment_url": format!("{api}/pulls/comments{{/number}}"),
            "comments_url": format!("{api}/issues/{number}/comments"),
            "statuses_url": format!("{api}/statuses/{}", pull_request.head_commit()),
            "head": {
                "label": format!("{login}:{}", pull_request.head_ref()),
                "ref": pull_request.head_ref(),
                "sha": pull_request.head_commit(),
                "user": pull_request.user.as_ref().map(|author| user(self.api, author)),
                "repo": head_repository,
            },
            "base": {
                "label": format!("{owner}:{}", pull_request.base_ref),
                "ref": pull_request.base_ref,
                "sha": sha(0),
                "user": user(self.api, &self.owner),
                "repo": repository,
            },
            "_links": {
                "self": { "href": format!("{api}/pulls/{number}") },
                "html": { "href": html },
                "issue": { "href": format!("{api}/issues/{number}") },
                "comments": { "href": format!("{api}/issues/{number}/comments") },
                "review_comments": { "href": format!("{api}/pulls/{number}/comments") },
                "review_comment": { "href": format!("{api}/pulls/comments{{/number}}") },
                "commits": { "href": format!("{api}/pulls/{number}/commits") },
                "statuses": { "href": format!("{api}/statuses/{}", sha(*number)) },
            },
            "author_association": "MEMBER",
            "auto_merge": null,
            "active_lock_reason": null,
        });
        if let Value::Object(fields) = &mut answer {
            if !self.is_slim_version {
                fields.insert("merge_commit_sha".to_owned(), json!(merge_commit(pull_request)));
                fields.insert("assignee".to_owned(), Value::Null);
            }
            for (field, value) in &pull_request.overrides {
                fields.insert(field.clone(), value.clone());
            }
        }
        answer
    }

    /// A single pull request.
    pub(crate) fn full_pull_request(&self, pull_request: &FakePullRequest) -> Value {
        let merged_by = pull_request.merged_at.map(|_| user(self.api, &self.owner));
        let more = json!({
            "merged": pull_request.merged_at.is_some(),
            "mergeable": null,
            "rebaseable": null,
            "mergeable_state": "unknown",
            "merged_by": merged_by,
            "comments": 0,
            "review_comments": 0,
            "maintainer_can_modify": false,
            "commits": pull_request.known_commits().len(),
            "additions": pull_request.additions,
            "deletions": pull_request.deletions,
            "changed_files": pull_request.changed_files,
        });
        together(self.pull_request(pull_request), more)
    }

    /// An issue in a list.
    pub(crate) fn issue(&self, issue: &FakeIssue) -> Value {
        let FakeIssue { id, number, title, labels, .. } = issue;
        let api = format!("{}/repos/{}", self.api, self.repository);
        let url = format!("{api}/issues/{number}");
        json!({
            "url": url,
            "repository_url": api,
            "labels_url": format!("{url}/labels{{/name}}"),
            "comments_url": format!("{url}/comments"),
            "events_url": format!("{url}/events"),
            "html_url": format!("https://github.com/{}/issues/{number}", self.repository),
            "id": id,
            "node_id": format!("I_{id}"),
            "number": number,
            "title": title,
            "user": user(self.api, &self.owner),
            "labels": labels.iter().map(|name| label(&api, name)).collect::<Vec<_>>(),
            "state": if issue.closed_at.is_some() { "closed" } else { "open" },
            "state_reason": issue.state_reason,
            "assignee": null,
            "milestone": null,
            "locked": false,
            "comments": 0,
            "created_at": time(issue.created_at),
            "updated_at": time(issue.updated_at),
            "closed_at": issue.closed_at.map(time),
            "author_association": "MEMBER",
            "body": "x",
        })
    }

    /// A pull request as GitHub lists it among issues.
    pub(crate) fn pull_request_as_issue(&self, pull_request: &FakePullRequest) -> Value {
        let issue = FakeIssue {
            repository: self.repository.to_owned(),
            id: pull_request.id,
            number: pull_request.number,
            title: pull_request.title.clone(),
            labels: pull_request.labels.clone(),
            created_at: pull_request.created_at,
            updated_at: pull_request.updated_at,
            closed_at: pull_request.closed_at,
            state_reason: None,
        };
        let mut answer = self.issue(&issue);
        let url = format!("{}/repos/{}/pulls/{}", self.api, self.repository, pull_request.number);
        let html = format!("https://github.com/{}/pull/{}", self.repository, pull_request.number);
        answer["pull_request"] = json!({
            "url": url, "html_url": html, "diff_url": format!("{html}.diff"), "patch_url": format!("{html}.patch"),
            "merged_at": pull_request.merged_at.map(time),
        });
        answer
    }

    /// A deployment. The flags are there only if its creator set them.
    pub(crate) fn deployment(&self, deployment: &FakeDeployment) -> Value {
        let FakeDeployment { id, sha, environment, created_at, .. } = deployment;
        let api = format!("{}/repos/{}", self.api, self.repository);
        let mut answer = json!({
            "url": format!("{api}/deployments/{id}"),
            "id": id,
            "node_id": deployment_node(*id),
            "sha": sha,
            "ref": "main",
            "task": "deploy",
            "payload": {},
            "original_environment": environment,
            "environment": deployment.latest_environment(),
            "description": null,
            "creator": user(self.api, &self.owner),
            "created_at": time(*created_at),
            "updated_at": time(deployment.updated_at()),
            "statuses_url": format!("{api}/deployments/{id}/statuses"),
            "repository_url": api,
            "performed_via_github_app": null,
        });
        for (name, flag) in
            [("production_environment", deployment.is_production), ("transient_environment", deployment.is_transient)]
        {
            if let Some(flag) = flag {
                answer[name] = json!(flag);
            }
        }
        answer
    }

    /// The statuses of a deployment, oldest first.
    pub(crate) fn deployment_statuses(&self, deployment: &FakeDeployment) -> Vec<Value> {
        let api = format!("{}/repos/{}", self.api, self.repository);
        let own = format!("{api}/deployments/{}", deployment.id);
        let statuses = in_order(deployment).into_iter().enumerate().map(|(index, status)| {
            json!({
                "url": format!("{own}/statuses/{}", status_number(deployment, index)),
                "id": status_number(deployment, index),
                "node_id": status_node(deployment, index),
                "state": status.state,
                "creator": user(self.api, &self.owner),
                "description": "",
                "environment": status.environment.as_ref().unwrap_or(&deployment.environment),
                "target_url": "",
                "created_at": time(status.created_at),
                "updated_at": time(status.created_at),
                "deployment_url": own,
                "repository_url": api,
                "environment_url": "",
                "log_url": "",
                "performed_via_github_app": null,
            })
        });
        statuses.collect()
    }

    /// A workflow. Its id follows from its file.
    pub(crate) fn workflow(&self, file: &str) -> Value {
        let api = format!("{}/repos/{}", self.api, self.repository);
        let id = workflow_number(file);
        json!({
            "id": id,
            "node_id": format!("W_{id}"),
            "name": file,
            "path": format!(".github/workflows/{file}"),
            "state": "active",
            "created_at": time(LONG_AGO),
            "updated_at": time(LONG_AGO),
            "url": format!("{api}/actions/workflows/{id}"),
            "html_url": format!("https://github.com/{}/blob/main/.github/workflows/{file}", self.repository),
            "badge_url": format!("https://github.com/{}/workflows/{file}/badge.svg", self.repository),
        })
    }

    /// An attempt of a run, from 1. It has the run's id, and its own times and conclusion.
    pub(crate) fn run(&self, run: &FakeRun, attempt: usize) -> Value {
        let FakeRun { id, workflow, branch, sha, event, created_at, attempts, .. } = run;
        let api = format!("{}/repos/{}", self.api, self.repository);
        let own = format!("{api}/actions/runs/{id}");
        let it = &attempts[attempt - 1];
        let workflow_id = workflow_number(workflow);
        let previous = (attempt > 1).then(|| format!("{own}/attempts/{}", attempt - 1));
        json!({
            "id": id,
            "name": workflow,
            "node_id": format!("WFR_{id}"),
            "check_suite_id": id,
            "check_suite_node_id": format!("CS_{id}"),
            "head_branch": branch,
            "head_sha": sha,
            "path": format!(".github/workflows/{workflow}"),
            "run_number": id % 100_000,
            "run_attempt": attempt,
            "display_title": workflow,
            "event": event,
            "status": if it.end.is_some() { "completed" } else { "in_progress" },
            "conclusion": it.end.as_ref().map(|(conclusion, _)| conclusion),
            "workflow_id": workflow_id,
            "url": own,
            "html_url": format!("https://github.com/{}/actions/runs/{id}", self.repository),
            "pull_requests": [],
            "created_at": time(*created_at),
            "updated_at": time(it.end.as_ref().map_or(it.started_at, |(_, at)| *at)),
            "run_started_at": time(it.started_at),
            "actor": user(self.api, &self.owner),
            "triggering_actor": user(self.api, &self.owner),
            "jobs_url": format!("{own}/jobs"),
            "logs_url": format!("{own}/logs"),
            "check_suite_url": format!("{api}/check-suites/{id}"),
            "artifacts_url": format!("{own}/artifacts"),
            "cancel_url": format!("{own}/cancel"),
            "rerun_url": format!("{own}/rerun"),
            "previous_attempt_url": previous,
            "workflow_url": format!("{api}/actions/workflows/{workflow_id}"),
            "head_commit": null,
            "repository": self.repository(),
            "head_repository": self.repository(),
        })
    }

    /// A single repository.
    pub(crate) fn full_repository(&self) -> Value {
        together(self.repository(), json!({ "network_count": 0, "subscribers_count": 0 }))
    }

    /// A repository in a list or a pull request.
    pub(crate) fn repository(&self) -> Value {
        let (owner, name) = self.repository.split_once('/').unwrap_or((self.repository, ""));
        let is_private = self.settings.is_private || is_organization(&self.owner);
        let api = format!("{}/repos/{}", self.api, self.repository);
        let html = format!("https://github.com/{}", self.repository);
        let mut fields = Map::new();
        // Everything below the repository's own address, with GitHub's placeholders.
        for (field, path) in SUB_RESOURCES {
            fields.insert((*field).to_owned(), json!(format!("{api}{path}")));
        }
        let rest = json!({
            "id": self.repository_id,
            "node_id": format!("R_{}", self.repository_id),
            "name": name,
            "full_name": self.repository,
            "private": is_private,
            "owner": user(self.api, &self.owner),
            "html_url": html,
            "description": format!("The {name} of {owner}"),
            "fork": false,
            "url": api,
            "created_at": time(self.settings.creation().unwrap_or(LONG_AGO)),
            "updated_at": "2026-01-01T00:00:00Z",
            "pushed_at": "2026-01-01T00:00:00Z",
            "git_url": format!("git://github.com/{}.git", self.repository),
            "ssh_url": format!("git@github.com:{}.git", self.repository),
            "clone_url": format!("{html}.git"),
            "svn_url": html,
            "homepage": null,
            "size": 1024,
            "stargazers_count": 0,
            "watchers_count": 0,
            "language": "Rust",
            "has_issues": true,
            "has_projects": true,
            "has_downloads": true,
            "has_wiki": false,
            "has_pages": false,
            "has_discussions": false,
            "has_pull_requests": self.settings.list != PullRequestList::SwitchedOff,
            "forks_count": 0,
            "mirror_url": null,
            "archived": self.settings.is_archived,
            "disabled": false,
            "open_issues_count": 0,
            "license": null,
            "allow_forking": false,
            "is_template": false,
            "web_commit_signoff_required": false,
            "topics": [],
            "visibility": if is_private { "private" } else { "public" },
            "forks": 0,
            "open_issues": 0,
            "watchers": 0,
            "default_branch": "main",
        });
        if let Value::Object(rest) = rest {
            fields.extend(rest);
        }
        Value::Object(fields)
    }
}

const SUB_RESOURCES: &[(&str, &str)] = &[
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    ("notifications_url", "/notifications{?since,all,participating}"),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
];
