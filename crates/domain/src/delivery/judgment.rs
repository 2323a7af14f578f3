//! Which deployments failed, which were rework, and what remedied them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::ids::{DeploymentId, IncidentId, PullRequestId, RepositoryId};
use super::incident::LinkedIncident;
use super::stream::{Deployment, MergedPullRequest, Stream};
use super::timeline::{DeploymentFact, DeploymentKind, Timeline};

/// For how long after a deployment a rollback or a revert makes it a failure, unless the configuration says otherwise.
pub const DEFAULT_REMEDY_WINDOW: TimeDelta = TimeDelta::days(7);

/// Why a succeeded deployment failed (`change_fail_rate@1`).
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
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FailureReason {
    /// An incident is linked to it.
    Incident,
    /// It was in force when a rollback followed within the remedy window.
    RolledBack,
    /// It delivered a pull request that one delivered within the remedy window reverts.
    Reverted,
    /// It failed after its success, such as in a health check, or a rollout of it failed.
    FailedAfterwards,
    /// Its source says so.
    Declared,
}

/// Why a succeeded deployment was rework (`rework_rate@1`).
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
pub enum ReworkReason {
    /// Its source says so.
    Declared,
    /// It is a rollback.
    Rollback,
    /// It delivered a revert.
    Revert,
    /// It delivered a pull request that is labeled or named as a hotfix.
    Hotfix,
    /// It delivered a pull request that closes the issue of an incident.
    IncidentFix,
}

/// A deployment that remedied a failed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remedy {
    /// When it succeeded.
    pub at: DateTime<Utc>,
    /// Its place among the counted deployments, which decides between several of one instant.
    place: usize,
    /// The deployment.
    pub deployment: DeploymentId,
}

/// Failure reasons, rework reasons and remedy of a succeeded, counted deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgment {
    /// Why it failed, each with its remedy; empty if it did not.
    pub failures: BTreeMap<FailureReason, Option<Remedy>>,
    /// Why it was rework; empty if it was not.
    pub rework: BTreeSet<ReworkReason>,
    /// The deployment that names this one as what it remedies.
    pub named_remedy: Option<Remedy>,
}

impl FailureReason {
    /// All reasons.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;
}

impl Judgment {
    /// What remedied it, if it failed for one of these reasons: the deployment that names it, else the earliest.
    pub fn remedy(&self, is_chosen: impl Fn(FailureReason) -> bool) -> Option<Remedy> {
        let mut chosen = self.failures.iter().filter(|(reason, _)| is_chosen(**reason)).peekable();
        chosen.peek()?;
        self.named_remedy.or_else(|| chosen.filter_map(|(_, remedy)| *remedy).min())
    }
}

/// Judges each succeeded, counted deployment of a stream. `incidents` are those linked to its deployments.
pub fn judge(
    stream: &Stream,
    timeline: &Timeline,
    incidents: &[LinkedIncident],
    remedy_window: TimeDelta,
) -> BTreeMap<DeploymentId, Judgment> {
    let mut judge = Judge::new(stream, timeline, incidents, remedy_window);
    for index in 0..judge.counted.len() {
        judge.evaluate(index);
    }
    judge.evaluate_rollouts(stream, timeline);
    let counted = judge.counted.iter().map(|it| it.deployment.id);
    counted.zip(judge.judgments).collect()
}

/// A counted deployment.
struct Counted<'a> {
    deployment: &'a Deployment,
    fact: &'a DeploymentFact,
    at: DateTime<Utc>,
}

struct Judge<'a> {
    counted: Vec<Counted<'a>>,
    /// Indexes of counted deployments; of rollouts, those of what they repeat.
    indexes: HashMap<DeploymentId, usize>,
    pull_requests: HashMap<PullRequestId, &'a MergedPullRequest>,
    by_number: HashMap<(RepositoryId, i64), &'a MergedPullRequest>,
    delivered_by: HashMap<PullRequestId, usize>,
    with_incidents: HashSet<usize>,
    incidents: HashMap<IncidentId, usize>,
    window: TimeDelta,
    judgments: Vec<Judgment>,
}

impl<'a> Judge<'a> {
    fn new(stream: &'a Stream, timeline: &'a Timeline, incidents: &[LinkedIncident], window: TimeDelta) -> Self {
        let by_id: HashMap<_, _> = stream.deployments.iter().map(|it| (it.id, it)).collect();
        let is_counted = |fact: &&DeploymentFact| fact.kind.is_some_and(DeploymentKind::is_counted);
        let counted: Vec<Counted<'_>> = timeline
            .facts
            .iter()
            .filter(is_counted)
            .filter_map(|fact| {
                let deployment = *by_id.get(&fact.deployment)?;
                Some(Counted { deployment, fact, at: deployment.outcome.succeeded_at()? })
            })
            .collect();
        let mut indexes: HashMap<_, _> =
            counted.iter().enumerate().map(|(index, it)| (it.deployment.id, index)).collect();
        for fact in &timeline.facts {
            if let Some(index) = fact.repeats.and_then(|repeated| indexes.get(&repeated).copied()) {
                indexes.insert(fact.deployment, index);
            }
        }
        let linked = incidents.iter().filter_map(|it| Some((it.id, *indexes.get(&it.deployment)?)));
        let incidents: HashMap<IncidentId, usize> = linked.collect();
        let delivered = counted.iter().enumerate();
        Self {
            pull_requests: stream.pull_requests.iter().map(|it| (it.id, it)).collect(),
            by_number: stream.pull_requests.iter().map(|it| ((it.repository, it.number), it)).collect(),
            delivered_by: delivered
                .flat_map(|(index, it)| it.fact.pull_requests.iter().map(move |id| (*id, index)))
                .collect(),
            with_incidents: incidents.values().copied().collect(),
            incidents,
            indexes,
            window,
            judgments: vec![Judgment::default(); counted.len()],
            counted,
        }
    }

    fn evaluate(&mut self, index: usize) {
        let (fact, deployment) = (self.counted[index].fact, self.counted[index].deployment);
        self.evaluate_declared(index, deployment);
        if let Some(failed_at) = fact.failed_afterwards_at {
            self.mark_failed(index, FailureReason::FailedAfterwards, self.next_after(index, failed_at));
        }
        if self.with_incidents.contains(&index) {
            self.mark_failed(index, FailureReason::Incident, None);
        }
        if fact.kind == Some(DeploymentKind::Rollback) {
            self.mark_rework(index, ReworkReason::Rollback);
            let replaced = fact.replaces.and_then(|replaced| self.indexes.get(&replaced).copied());
            self.mark_failed_within_window(replaced, index, FailureReason::RolledBack);
        }
        let delivered: Vec<&MergedPullRequest> =
            fact.pull_requests.iter().filter_map(|id| self.pull_requests.get(id).copied()).collect();
        let together = Together::of(&delivered);
        for pull_request in delivered {
            self.evaluate_pull_request(index, pull_request, &together);
        }
    }

    /// What is declared of a rollout is true of the deployment that it repeats.
    fn evaluate_rollouts(&mut self, stream: &'a Stream, timeline: &Timeline) {
        let rollouts: HashSet<DeploymentId> =
            timeline.facts.iter().filter(|fact| fact.repeats.is_some()).map(|fact| fact.deployment).collect();
        for rollout in stream.deployments.iter().filter(|it| rollouts.contains(&it.id)) {
            if let Some(index) = self.indexes.get(&rollout.id).copied() {
                self.evaluate_declared(index, rollout);
            }
        }
    }

    fn evaluate_declared(&mut self, index: usize, deployment: &Deployment) {
        if deployment.is_declared_rework {
            self.mark_rework(index, ReworkReason::Declared);
        }
        if deployment.is_declared_failed {
            self.mark_failed(index, FailureReason::Declared, Some(index + 1));
        }
        let remedied = deployment.remedies.and_then(|failed| self.indexes.get(&failed).copied());
        if let Some(failed) = remedied.filter(|failed| *failed < index) {
            let remedy = self.remedy(index);
            let named = &mut self.judgments[failed].named_remedy;
            *named = Some(named.map_or(remedy, |earlier| earlier.min(remedy)));
        }
    }

    fn evaluate_pull_request(&mut self, index: usize, pull_request: &MergedPullRequest, together: &Together) {
        if pull_request.is_hotfix {
            self.mark_rework(index, ReworkReason::Hotfix);
        }
        if !pull_request.closes.is_empty() {
            self.mark_rework(index, ReworkReason::IncidentFix);
        }
        for incident in &pull_request.closes {
            if let Some(failed) = self.incidents.get(incident).copied() {
                self.mark_failed(failed, FailureReason::Incident, Some(index));
            }
        }
        let Some(number) = pull_request.reverts else { return };
        let reverted = self.by_number.get(&(pull_request.repository, number)).copied();
        // What restores a change that was reverted is neither a failure nor rework.
        let restores = reverted.is_some_and(|reverted| reverted.reverts.is_some());
        // Neither is a pull request and its revert in the same deployment.
        if restores || together.has_both(pull_request, number) {
            return;
        }
        self.mark_rework(index, ReworkReason::Revert);
        let failed = reverted.and_then(|reverted| self.delivered_by.get(&reverted.id).copied());
        self.mark_failed_within_window(failed, index, FailureReason::Reverted);
    }

    fn remedy(&self, index: usize) -> Remedy {
        Remedy { at: self.counted[index].at, place: index, deployment: self.counted[index].deployment.id }
    }

    /// The first counted deployment after this one that succeeded after an instant.
    fn next_after(&self, index: usize, instant: DateTime<Utc>) -> Option<usize> {
        (index + 1..self.counted.len()).find(|later| self.counted[*later].at > instant)
    }

    fn mark_rework(&mut self, index: usize, reason: ReworkReason) {
        self.judgments[index].rework.insert(reason);
    }

    /// Marks an earlier deployment as failed and remedied by a later one, if within the window.
    fn mark_failed_within_window(&mut self, failed: Option<usize>, remedy: usize, reason: FailureReason) {
        let Some(failed) = failed.filter(|failed| *failed < remedy) else { return };
        if self.counted[remedy].at - self.counted[failed].at <= self.window {
            self.mark_failed(failed, reason, Some(remedy));
        }
    }

    /// Marks a deployment as failed. Of several remedies for one reason, the earliest counts.
    fn mark_failed(&mut self, index: usize, reason: FailureReason, remedy: Option<usize>) {
        let remedy = remedy.filter(|remedy| index < *remedy && *remedy < self.counted.len());
        let remedy = remedy.map(|remedy| self.remedy(remedy));
        let noted = self.judgments[index].failures.entry(reason).or_default();
        *noted = match (*noted, remedy) {
            (Some(noted), Some(remedy)) => Some(noted.min(remedy)),
            (noted, remedy) => noted.or(remedy),
        };
    }
}

/// What one deployment delivered.
struct Together {
    numbers: HashSet<(RepositoryId, i64)>,
    reverted: HashSet<(RepositoryId, i64)>,
}

impl Together {
    fn of(delivered: &[&MergedPullRequest]) -> Self {
        Self {
            numbers: delivered.iter().map(|it| (it.repository, it.number)).collect(),
            reverted: delivered.iter().filter_map(|it| Some((it.repository, it.reverts?))).collect(),
        }
    }

    /// Whether it has a pull request together with its revert: what this one reverts, or what reverts this one.
    fn has_both(&self, pull_request: &MergedPullRequest, reverts: i64) -> bool {
        self.numbers.contains(&(pull_request.repository, reverts))
            || self.reverted.contains(&(pull_request.repository, pull_request.number))
    }
}
