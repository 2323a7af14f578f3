//! Real histories, kept outside this repository.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use mergeline_domain::benchmark::{Benchmark, BenchmarkRow};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    FakeCommit, FakeDeployment, FakeDeploymentStatus, FakeDraftEvent, FakeGitCommit, FakePullRequest, FakeReview,
    FakeUser,
};

/// The folder with the recorded data: `MERGELINE_TEST_DATA`, else `shared/data` next to the checkout. `None`, with a
/// note on standard error, if it does not exist.
pub fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("MERGELINE_TEST_DATA").map_or(beside, PathBuf::from);
    if folder.join("prs").is_dir() {
        return Some(folder);
    }
    // Bypasses the test harness, which would capture it.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: no recorded data in {}; set MERGELINE_TEST_DATA to the folder that has them",
        folder.display()
    );
    None
}

#[derive(Deserialize)]
struct Line {
    repo: String,
    id: i64,
    number: i64,
    title: String,
    user: Option<User>,
    draft: Option<bool>,
    base: Branch,
    head: Branch,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    merged_at: Option<DateTime<Utc>>,
    body_chars: Option<usize>,
    additions: Option<i64>,
    deletions: Option<i64>,
    changed_files: Option<i64>,
    #[serde(default)]
    labels: Vec<Label>,
    merge_commit_sha: Option<String>,
    commits_list: Vec<Commit>,
    reviews_list: Vec<Review>,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Commit {
    author_date: DateTime<Utc>,
    committer_date: DateTime<Utc>,
}

#[derive(Deserialize)]
struct Review {
    user: Option<User>,
    state: String,
    submitted_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Event {
    event: String,
    created_at: DateTime<Utc>,
}

#[derive(Deserialize)]
struct User {
    id: i64,
    login: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Branch {
    #[serde(rename = "ref")]
    name: String,
    #[serde(default)]
    sha: Option<String>,
    repo: Option<Value>,
}

/// A label, as its name or as an object with it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Label {
    Name(String),
    Object { name: String },
}

/// The pull requests of one recorded repository, `bitcoin-core__gui` for example.
///
/// # Errors
/// If the file is missing or has another format.
pub fn pull_requests(folder: &Path, name: &str) -> anyhow::Result<Vec<FakePullRequest>> {
    let path = folder.join("prs").join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| Ok(serde_json::from_str::<Line>(line)?.into())).collect()
}

#[derive(Deserialize)]
struct DeploymentLine {
    repo: String,
    id: i64,
    sha: String,
    environment: String,
    created_at: DateTime<Utc>,
    production_environment: Option<bool>,
    statuses: Vec<StatusLine>,
}

#[derive(Deserialize)]
struct StatusLine {
    state: String,
    created_at: DateTime<Utc>,
}

/// The deployments of one recorded repository.
///
/// # Errors
/// If the file is missing or has another format.
pub fn deployments(folder: &Path, name: &str) -> anyhow::Result<Vec<FakeDeployment>> {
    let path = folder.join("deployments").join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| Ok(serde_json::from_str::<DeploymentLine>(line)?.into())).collect()
}

/// The deployment that first contained a pull request, as git ancestry says.
#[derive(Debug, Deserialize)]
pub struct FirstDeploy {
    /// Its id.
    pub deploy: i64,
    /// When it succeeded.
    pub deployed_at: DateTime<Utc>,
}

/// The first deployment of each pull request that has one, by number.
///
/// # Errors
/// When the file cannot be read.
pub fn first_deploys(folder: &Path, name: &str) -> anyhow::Result<BTreeMap<i64, FirstDeploy>> {
    #[derive(Deserialize)]
    struct Expected {
        prs: BTreeMap<i64, FirstDeploy>,
    }
    let path = folder.join("expected/first_deploy").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str::<Expected>(&text)?.prs)
}

/// The merges into `main` in their order, and the other deployed commits when they were deployed, as one line: that has
/// the ancestry of the real history between them. What was merged into other branches is in no deployed commit.
pub fn line_of_commits(pull_requests: &[FakePullRequest], deployments: &[FakeDeployment]) -> Vec<FakeGitCommit> {
    let into_main = pull_requests.iter().filter(|it| it.base_ref == "main");
    let merges = into_main.filter_map(|it| Some((it.merged_at?, it.merge_commit.clone()?)));
    let mut line: Vec<(DateTime<Utc>, String)> = merges.collect();
    let mut known: BTreeSet<String> = line.iter().map(|(_, oid)| oid.clone()).collect();
    for deployment in deployments.iter().filter(|it| it.environment == "production") {
        if known.insert(deployment.sha.clone()) {
            line.push((deployment.created_at, deployment.sha.clone()));
        }
    }
    line.sort();
    let mut commits: Vec<FakeGitCommit> = Vec::new();
    for (committed_at, oid) in line {
        let parents = commits.last().map(|last| last.oid.clone()).into_iter().collect();
        commits.push(FakeGitCommit { oid, parents, committed_at });
    }
    commits
}

impl From<DeploymentLine> for FakeDeployment {
    fn from(line: DeploymentLine) -> Self {
        let status =
            |it: StatusLine| FakeDeploymentStatus { state: it.state, created_at: it.created_at, environment: None };
        Self {
            repository: line.repo,
            id: line.id,
            sha: line.sha,
            environment: line.environment,
            created_at: line.created_at,
            is_production: line.production_environment,
            is_transient: None,
            statuses: line.statuses.into_iter().map(status).collect(),
        }
    }
}

impl From<Line> for FakePullRequest {
    fn from(line: Line) -> Self {
        Self {
            repository: line.repo,
            id: line.id,
            number: line.number,
            title: line.title,
            user: line.user.map(FakeUser::from),
            draft: line.draft.unwrap_or(false),
            base_ref: line.base.name,
            is_fork_gone: line.head.repo.is_none(),
            created_at: line.created_at,
            updated_at: line.updated_at,
            closed_at: line.closed_at,
            merged_at: line.merged_at,
            has_lost_commits: line.commits_list.is_empty(),
            commits: line.commits_list.into_iter().map(FakeCommit::from).collect(),
            reviews: line.reviews_list.into_iter().map(FakeReview::from).collect(),
            draft_events: line.events.iter().filter_map(Event::between_draft_and_ready).collect(),
            additions: line.additions.unwrap_or(0),
            deletions: line.deletions.unwrap_or(0),
            changed_files: line.changed_files.unwrap_or(0),
            files: Vec::new(),
            merge_commit: line.merge_commit_sha,
            labels: line.labels.into_iter().map(|(Label::Name(name) | Label::Object { name })| name).collect(),
            head_ref: Some(line.head.name),
            head_commit: line.head.sha,
            body: None,
            body_bytes: line.body_chars.unwrap_or(0),
            overrides: Vec::new(),
        }
    }
}

impl From<User> for FakeUser {
    fn from(user: User) -> Self {
        Self { id: user.id, login: user.login, kind: user.kind }
    }
}

impl From<Commit> for FakeCommit {
    fn from(commit: Commit) -> Self {
        Self { authored_at: commit.author_date, committed_at: commit.committer_date }
    }
}

impl From<Review> for FakeReview {
    fn from(review: Review) -> Self {
        // The state before a dismissal is not recorded.
        Self {
            user: review.user.map(FakeUser::from),
            state: review.state,
            submitted_at: review.submitted_at,
            dismissed_from: None,
        }
    }
}

impl Event {
    fn between_draft_and_ready(&self) -> Option<FakeDraftEvent> {
        let is_ready = match self.event.as_str() {
            "ready_for_review" => true,
            "convert_to_draft" => false,
            _ => return None,
        };
        Some(FakeDraftEvent { at: self.created_at, is_ready })
    }
}

/// The recorded repositories, and what is made in each.
const BENCHMARKED: [(&str, &str); 2] =
    [("bitcoin-core__gui", "desktop application"), ("cfrg__draft-irtf-cfrg-vdaf", "specification")];

/// Percentiles over the recorded repositories, each over its last whole weeks. Bots do not count, and nobody is in it.
///
/// # Errors
/// If a recording is missing or has another format.
pub fn benchmark(folder: &Path) -> anyhow::Result<Benchmark> {
    let row = |(name, kind): (&str, &str)| {
        let all = pull_requests(folder, name)?;
        let first = all.first().context("no pull requests")?;
        let repository = first.repository.clone();
        let recorded_until = all.iter().map(|it| it.updated_at).max().context("no pull requests")?;
        let of_people = all.iter().filter(|it| it.user.as_ref().is_none_or(|user| user.kind != "Bot"));
        let merged: Vec<_> = of_people.filter_map(|it| Some((it.created_at, it.merged_at?))).collect();
        Ok(BenchmarkRow::measured(repository, kind, &merged, recorded_until.date_naive()))
    };
    Ok(Benchmark {
        name: "public repositories 2026".to_owned(),
        method: "The last 156 whole weeks (UTC) of each recording; pull requests of people, each once; from opening to merge. They are \
                 not companies, and too few to stand for any."
            .to_owned(),
        repositories: BENCHMARKED.into_iter().map(row).collect::<anyhow::Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_table_is_what_the_recordings_say() -> anyhow::Result<()> {
        let Some(folder) = folder() else { return Ok(()) };
        assert_eq!(Benchmark::public(), benchmark(&folder)?);
        Ok(())
    }
}
