//! The deployments of a stream in order: what each of them brought, and which pull requests it delivered.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::commits::{Generations, Oid};
use super::ids::{DeploymentId, PullRequestId, RepositoryId};
use super::outcome::DeploymentOutcome;
use super::stream::{Deployment, MergedPullRequest, Revision, Stream};

/// What a deployment was, compared with what its stream contained before.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeploymentKind {
    /// None of its repositories was deployed before. Nothing that it contains counts as delivered.
    First,
    /// It has a commit that no earlier succeeded deployment contained.
    Change,
    /// It brings what is in force to an environment of the group that does not have it. It is not counted: it belongs to the
    /// deployment it repeats. A failed one is that deployment's failure.
    Rollout,
    /// It has no new commit, and lacks one that was in force.
    Rollback,
    /// It has no new commit, and lacks none.
    Redeploy,
    /// Its commits cannot be read.
    Unknown,
}

impl DeploymentKind {
    /// Whether deployments of this kind are counted.
    pub fn is_counted(self) -> bool {
        self != Self::Rollout
    }
}

/// Why a merged pull request has no deployment. A timeline tells only the first three.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MissingReason {
    /// No deployment contains it yet.
    NotDeployedYet,
    /// The first deployment contains it, or its commit is older than that one's.
    BeforeFirstDeployment,
    /// Its forge names no commit for it, or what may have delivered it cannot be read.
    UnknownHistory,
    /// Its details are not read yet, or the files that tell its service.
    NotCollected,
    /// No source reports deployments of its service.
    NoSource,
    /// It changes no files of any service.
    NoService,
}

/// What a finished deployment did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentFact {
    /// The deployment.
    pub deployment: DeploymentId,
    /// What it was; `None` for a failed attempt, unless it is a rollout.
    pub kind: Option<DeploymentKind>,
    /// The deployment that it repeats, if it is a rollout.
    pub repeats: Option<DeploymentId>,
    /// What was in force of its repositories before it; of several, the latest. For a rollback, only what it lacks.
    pub replaces: Option<DeploymentId>,
    /// Whether its commits can be read.
    pub is_known: bool,
    /// Whether it has commits that no earlier succeeded deployment contained.
    pub has_new_commits: bool,
    /// The pull requests that it delivered, or that a failed attempt contained and nothing had delivered before it. In
    /// ascending order.
    pub pull_requests: Vec<PullRequestId>,
    /// Some of it may have been brought by an earlier deployment whose commits cannot be read.
    pub is_after_unknown: bool,
    /// When it first failed after its success, or a rollout of it failed.
    pub failed_afterwards_at: Option<DateTime<Utc>>,
}

/// The finished deployments of a stream, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    /// What each of them did.
    pub facts: Vec<DeploymentFact>,
    /// The pull requests that none of them delivered.
    pub missing: BTreeMap<PullRequestId, MissingReason>,
    /// What is in force of each repository at the end.
    pub in_force: BTreeMap<RepositoryId, DeploymentId>,
}

impl Timeline {
    /// The deployment that counts for this one: the one it repeats, if it is a rollout.
    pub fn counted(&self, deployment: DeploymentId) -> DeploymentId {
        let fact = self.facts.iter().find(|fact| fact.deployment == deployment);
        fact.and_then(|fact| fact.repeats).unwrap_or(deployment)
    }
}

/// Puts the deployments of a stream in order and follows the commits that each of them was the first to contain
/// (`delivery@1`). Deployments that have neither succeeded nor failed are left out.
pub fn timeline(stream: &Stream) -> Timeline {
    let finished = stream.deployments.iter().filter(|it| it.outcome.finished_at().is_some());
    let mut finished: Vec<&Deployment> = finished.collect();
    finished.sort_by_cached_key(|it| it.sort_key());
    let mut walk = Walk::new(stream);
    for deployment in finished {
        walk.step(deployment);
    }
    walk.finish()
}

/// What is in force of a repository.
struct InForce<'a> {
    oid: &'a Oid,
    /// The place of its deployment among the facts.
    fact: usize,
}

/// The commits that a deployment is the first to contain, of each repository that has any.
type Reached<'a> = Vec<(RepositoryId, HashSet<&'a Oid>)>;

struct Walk<'a> {
    stream: &'a Stream,
    pull_requests: HashMap<(RepositoryId, &'a Oid), Vec<&'a MergedPullRequest>>,
    generations: HashMap<RepositoryId, Generations<'a>>,
    seen: HashMap<RepositoryId, HashSet<&'a Oid>>,
    /// When the commit of each repository's first deployment was made. What is older counts as contained in that one.
    floors: HashMap<RepositoryId, DateTime<Utc>>,
    in_force: BTreeMap<RepositoryId, InForce<'a>>,
    /// What each environment has of each repository.
    environments: HashMap<(RepositoryId, String), &'a Oid>,
    /// When something unknown was last deployed, if nothing new followed that is known.
    unknown_since: Option<DateTime<Utc>>,
    delivered: HashSet<PullRequestId>,
    facts: Vec<DeploymentFact>,
}

impl<'a> Walk<'a> {
    fn new(stream: &'a Stream) -> Self {
        let mut pull_requests: HashMap<_, Vec<&MergedPullRequest>> = HashMap::new();
        for pull_request in &stream.pull_requests {
            if let Some((oid, _)) = &pull_request.commit {
                pull_requests.entry((pull_request.repository, oid)).or_default().push(pull_request);
            }
        }
        Self {
            stream,
            pull_requests,
            generations: HashMap::new(),
            seen: HashMap::new(),
            floors: HashMap::new(),
            in_force: BTreeMap::new(),
            environments: HashMap::new(),
            unknown_since: None,
            delivered: HashSet::new(),
            facts: Vec::new(),
        }
    }

    fn step(&mut self, deployment: &'a Deployment) {
        let is_known = self.stream.knows(deployment);
        match deployment.outcome {
            DeploymentOutcome::Succeeded { at, failed_afterwards_at } if !is_known => {
                self.unknown_since = Some(at);
                let fact = self.fact(deployment, Some(DeploymentKind::Unknown), None);
                self.facts.push(DeploymentFact { failed_afterwards_at, ..fact });
            }
            DeploymentOutcome::Succeeded { failed_afterwards_at, .. } => {
                self.succeeded(deployment, failed_afterwards_at);
            }
            DeploymentOutcome::Failed { at } => self.failed(deployment, is_known, at),
            DeploymentOutcome::Cancelled | DeploymentOutcome::Unfinished => {}
        }
    }

    fn succeeded(&mut self, deployment: &'a Deployment, failed_afterwards_at: Option<DateTime<Utc>>) {
        let is_first = self.is_first(deployment);
        for revision in &deployment.revisions {
            let made_at = self.stream.commits.get(&revision.repository).and_then(|it| it.committed_at(&revision.oid));
            if let Some(made_at) = made_at {
                self.floors.entry(revision.repository).or_insert(made_at);
            }
        }
        let reached = self.reach(deployment);
        let repeated = self.repeated(deployment, &reached);
        // Looked for only where it matters: it takes a look at all commits.
        let mut lacked = None;
        let kind = if is_first {
            DeploymentKind::First
        } else if repeated.is_some() {
            DeploymentKind::Rollout
        } else if !reached.is_empty() {
            DeploymentKind::Change
        } else {
            lacked = self.lacked(deployment);
            if lacked.is_some() { DeploymentKind::Rollback } else { DeploymentKind::Redeploy }
        };
        let mut fact = self.fact(deployment, Some(kind), Some(&reached));
        fact.failed_afterwards_at = failed_afterwards_at;
        fact.replaces = lacked.map(|place| self.facts[place].deployment).or(fact.replaces);
        if kind == DeploymentKind::Rollout {
            fact.repeats = repeated.map(|place| self.facts[place].deployment);
            self.note_failure(repeated, failed_afterwards_at);
        } else {
            if fact.has_new_commits {
                fact.is_after_unknown = self.unknown_since.take().is_some();
            }
            self.delivered.extend(&fact.pull_requests);
            self.put_in_force(deployment, reached);
        }
        for revision in &deployment.revisions {
            let environment = deployment.environment.to_lowercase();
            self.environments.insert((revision.repository, environment), &revision.oid);
        }
        self.facts.push(fact);
    }

    /// A failed attempt changes nothing. If it repeats what is in force, it is that deployment's failure.
    fn failed(&mut self, deployment: &'a Deployment, is_known: bool, at: DateTime<Utc>) {
        let reached = is_known.then(|| self.reach(deployment));
        let repeated = reached.as_ref().and_then(|reached| self.repeated(deployment, reached));
        let mut fact = self.fact(deployment, repeated.map(|_| DeploymentKind::Rollout), reached.as_ref());
        fact.repeats = repeated.map(|place| self.facts[place].deployment);
        self.note_failure(repeated, Some(at));
        self.facts.push(fact);
    }

    /// What a deployment did; `reached` is `None` if its commits cannot be read.
    fn fact(
        &self,
        deployment: &Deployment,
        kind: Option<DeploymentKind>,
        reached: Option<&Reached<'a>>,
    ) -> DeploymentFact {
        let known = deployment.revisions.iter().filter_map(|revision| self.in_force.get(&revision.repository));
        let is_new = |revision: &Revision| !self.in_force.contains_key(&revision.repository);
        DeploymentFact {
            deployment: deployment.id,
            kind,
            repeats: None,
            replaces: known.map(|known| known.fact).max().map(|place| self.facts[place].deployment),
            is_known: reached.is_some(),
            has_new_commits: reached
                .is_some_and(|reached| !reached.is_empty() || deployment.revisions.iter().any(is_new)),
            pull_requests: reached.map(|reached| self.pull_requests_in(reached)).unwrap_or_default(),
            is_after_unknown: false,
            failed_afterwards_at: None,
        }
    }

    fn note_failure(&mut self, repeated: Option<usize>, at: Option<DateTime<Utc>>) {
        if let Some((place, at)) = repeated.zip(at) {
            let noted = &mut self.facts[place].failed_afterwards_at;
            *noted = Some(noted.map_or(at, |earlier| earlier.min(at)));
        }
    }

    fn is_first(&self, deployment: &Deployment) -> bool {
        !deployment.revisions.iter().any(|revision| self.in_force.contains_key(&revision.repository))
    }

    /// The new commits of each repository that has a floor: without one, nothing of it was deployed.
    fn reach(&self, deployment: &Deployment) -> Reached<'a> {
        let nothing = HashSet::new();
        let of = |revision: &Revision| {
            let commits = self.stream.commits.get(&revision.repository)?;
            let floor = *self.floors.get(&revision.repository)?;
            let seen = self.seen.get(&revision.repository).unwrap_or(&nothing);
            let new = commits.newly_reached(&revision.oid, seen, floor);
            (!new.is_empty()).then_some((revision.repository, new))
        };
        deployment.revisions.iter().filter_map(of).collect()
    }

    /// The stored pull requests among these commits. What the first deployment of a repository contains is not counted.
    fn pull_requests_in(&self, reached: &Reached<'a>) -> Vec<PullRequestId> {
        let known = reached.iter().filter(|(repository, _)| self.in_force.contains_key(repository));
        let commits = known.flat_map(|(repository, commits)| commits.iter().map(|oid| (*repository, *oid)));
        let found = commits.filter_map(|commit| self.pull_requests.get(&commit)).flatten();
        found.map(|pull_request| pull_request.id).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The deployment in force, if this one brings the same to an environment that does not have it. Of several
    /// repositories, the latest.
    fn repeated(&self, deployment: &Deployment, reached: &Reached<'a>) -> Option<usize> {
        if !reached.is_empty() {
            return None;
        }
        let environment = deployment.environment.to_lowercase();
        let mut repeated = None;
        for revision in &deployment.revisions {
            let known = self.in_force.get(&revision.repository)?;
            let has_it = self.environments.get(&(revision.repository, environment.clone())) == Some(&&revision.oid);
            if *known.oid != revision.oid || has_it {
                return None;
            }
            repeated = repeated.max(Some(known.fact));
        }
        repeated
    }

    /// The latest deployment in force that has a commit which this one lacks.
    fn lacked(&mut self, deployment: &Deployment) -> Option<usize> {
        let stream = self.stream;
        let mut lacked = None;
        for revision in &deployment.revisions {
            let known = self.in_force.get(&revision.repository).filter(|known| *known.oid != revision.oid);
            let Some((known, commits)) = known.zip(stream.commits.get(&revision.repository)) else { continue };
            let generations = self.generations.entry(revision.repository).or_insert_with(|| commits.generations());
            if commits.lacks(&revision.oid, known.oid, generations) {
                lacked = lacked.max(Some(known.fact));
            }
        }
        lacked
    }

    fn put_in_force(&mut self, deployment: &'a Deployment, reached: Reached<'a>) {
        for (repository, commits) in reached {
            self.seen.entry(repository).or_default().extend(commits);
        }
        let fact = self.facts.len();
        for revision in &deployment.revisions {
            self.in_force.insert(revision.repository, InForce { oid: &revision.oid, fact });
        }
    }

    fn finish(self) -> Timeline {
        let left = self.stream.pull_requests.iter().filter(|it| !self.delivered.contains(&it.id));
        let missing = left.map(|it| (it.id, self.why_missing(it))).collect();
        let in_force = self.in_force.iter().map(|(repository, it)| (*repository, self.facts[it.fact].deployment));
        Timeline { missing, in_force: in_force.collect(), facts: self.facts }
    }

    fn why_missing(&self, pull_request: &MergedPullRequest) -> MissingReason {
        let Some((oid, _)) = &pull_request.commit else { return MissingReason::UnknownHistory };
        if self.seen.get(&pull_request.repository).is_some_and(|seen| seen.contains(oid)) {
            return MissingReason::BeforeFirstDeployment;
        }
        let known = self.stream.commits.get(&pull_request.repository).and_then(|commits| commits.committed_at(oid));
        let made_at = known.or(pull_request.committed_at).unwrap_or(pull_request.merged_at);
        if self.floors.get(&pull_request.repository).is_some_and(|floor| made_at < *floor) {
            return MissingReason::BeforeFirstDeployment;
        }
        if self.unknown_since.is_some_and(|unknown| pull_request.merged_at <= unknown) {
            return MissingReason::UnknownHistory;
        }
        MissingReason::NotDeployedYet
    }
}
