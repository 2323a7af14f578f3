//! The worked example, the edge cases, and random histories compared with sets of ancestors.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::{TeamId, Weight};

const REPO: RepositoryId = RepositoryId(1);

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-{}:00Z", text.replace(' ', "T")).parse().expect("a time")
}

fn oid(number: u32) -> Oid {
    format!("{number:040x}").parse().expect("an id")
}

fn deployment(id: i64, environment: &str, commit: u32, outcome: DeploymentOutcome) -> Deployment {
    Deployment {
        id: DeploymentId(id),
        source_id: id.to_string(),
        environment: environment.to_owned(),
        revisions: vec![Revision { repository: REPO, oid: oid(commit) }],
        outcome,
        is_declared_failed: false,
        is_declared_rework: false,
        remedies: None,
    }
}

fn success(id: i64, when: &str, commit: u32) -> Deployment {
    deployment(id, "production", commit, DeploymentOutcome::Succeeded { at: at(when), failed_afterwards_at: None })
}

fn failure(id: i64, when: &str, commit: u32) -> Deployment {
    deployment(id, "production", commit, DeploymentOutcome::Failed { at: at(when) })
}

fn change(number: i64, commit: u32) -> MergedPullRequest {
    MergedPullRequest {
        id: PullRequestId(number),
        repository: REPO,
        number,
        merged_at: at("05-01 00:00"),
        commit: Some((oid(commit), Via::MergeCommit)),
        committed_at: None,
        reverts: None,
        is_hotfix: false,
        closes: Vec::new(),
    }
}

/// A history in which each commit follows the one before it, made an hour apart in May.
fn line(commits: u32, deployments: Vec<Deployment>, changes: Vec<MergedPullRequest>) -> Stream {
    let mut graph = CommitGraph::default();
    for number in 0..commits {
        let parents = number.checked_sub(1).map(oid).into_iter().collect();
        graph.insert(oid(number), parents, at("05-01 00:00") + TimeDelta::hours(number.into()));
    }
    Stream { deployments, pull_requests: changes, commits: BTreeMap::from([(REPO, graph)]) }
}

fn kinds(timeline: &Timeline) -> Vec<(i64, Option<DeploymentKind>)> {
    timeline.facts.iter().map(|fact| (fact.deployment.0, fact.kind)).collect()
}

fn delivered(timeline: &Timeline) -> BTreeMap<i64, i64> {
    let succeeded = timeline.facts.iter().filter(|fact| fact.kind.is_some());
    succeeded.flat_map(|fact| fact.pull_requests.iter().map(|it| (it.0, fact.deployment.0))).collect()
}

fn failures(stream: &Stream, incidents: &[LinkedIncident]) -> BTreeMap<i64, (Vec<FailureReason>, Option<i64>)> {
    let judged = judge(stream, &timeline(stream), incidents, DEFAULT_REMEDY_WINDOW);
    let failed = judged.into_iter().filter(|(_, judgment)| !judgment.failures.is_empty());
    let outcome = |it: Judgment| {
        let remedy = it.remedy(|_| true).map(|remedy| remedy.deployment.0);
        (it.failures.into_keys().collect(), remedy)
    };
    failed.map(|(id, it)| (id.0, outcome(it))).collect()
}

fn rework(stream: &Stream) -> BTreeMap<i64, Vec<ReworkReason>> {
    let judged = judge(stream, &timeline(stream), &[], DEFAULT_REMEDY_WINDOW);
    let rework = judged.into_iter().filter(|(_, judgment)| !judgment.rework.is_empty());
    rework.map(|(id, it)| (id.0, it.rework.into_iter().collect())).collect()
}

/// The worked example: the stream, and the incidents with their starts.
fn worked_example() -> (Stream, Vec<(IncidentId, DateTime<Utc>)>) {
    let deployments = vec![
        success(0, "05-30 09:00", 0),
        success(1, "06-01 10:00", 1),
        failure(2, "06-02 10:00", 2),
        success(3, "06-02 11:00", 2),
        success(4, "06-03 10:00", 3),
        success(5, "06-03 13:00", 2),
        success(6, "06-04 10:00", 4),
        success(7, "06-05 10:00", 4),
    ];
    let changes = vec![
        change(0, 0),
        change(1, 1),
        change(2, 1),
        change(3, 2),
        change(4, 3),
        MergedPullRequest { is_hotfix: true, ..change(6, 4) },
        change(7, 5),
    ];
    let incidents = [(1, "06-03 12:00"), (2, "06-03 12:30"), (3, "06-07 09:00"), (4, "05-29 08:00")];
    (line(5, deployments, changes), incidents.map(|(id, start)| (IncidentId(id), at(start))).to_vec())
}

fn links(stream: &Stream, incidents: &[(IncidentId, DateTime<Utc>)]) -> Vec<LinkedIncident> {
    let timeline = timeline(stream);
    let counted = timeline.facts.iter().filter(|fact| fact.kind.is_some_and(DeploymentKind::is_counted));
    let succeeded: Vec<(DeploymentId, DateTime<Utc>)> = counted
        .map(|fact| stream.deployments.iter().find(|it| it.id == fact.deployment).expect("it exists"))
        .map(|it| (it.id, it.outcome.succeeded_at().expect("it succeeded")))
        .collect();
    let linked = incidents.iter().filter_map(|(id, started_at)| {
        let deployment = deployment_before(*started_at, &succeeded, DEFAULT_INCIDENT_WINDOW)?;
        Some(LinkedIncident { id: *id, deployment })
    });
    linked.collect()
}

#[test]
fn worked_example_has_its_kinds_and_deliveries() {
    use DeploymentKind::{Change, First, Redeploy, Rollback};
    let (stream, _) = worked_example();
    let timeline = timeline(&stream);
    let expected = [
        (0, Some(First)),
        (1, Some(Change)),
        (2, None),
        (3, Some(Change)),
        (4, Some(Change)),
        (5, Some(Rollback)),
        (6, Some(Change)),
        (7, Some(Redeploy)),
    ];
    assert_eq!(kinds(&timeline), expected);
    assert_eq!(delivered(&timeline), BTreeMap::from([(1, 1), (2, 1), (3, 3), (4, 4), (6, 6)]));
    let missing =
        [(PullRequestId(0), MissingReason::BeforeFirstDeployment), (PullRequestId(7), MissingReason::NotDeployedYet)];
    assert_eq!(timeline.missing, BTreeMap::from(missing));
    assert_eq!(timeline.in_force, BTreeMap::from([(REPO, DeploymentId(7))]));
}

#[test]
fn worked_example_has_its_failures_and_rework() {
    let (stream, incidents) = worked_example();
    let linked = links(&stream, &incidents);
    assert_eq!(linked.iter().map(|it| (it.id.0, it.deployment.0)).collect::<Vec<_>>(), [(1, 4), (2, 4)]);
    let failed = (vec![FailureReason::Incident, FailureReason::RolledBack], Some(5));
    assert_eq!(failures(&stream, &linked), BTreeMap::from([(4, failed)]));
    let expected = [(5, vec![ReworkReason::Rollback]), (6, vec![ReworkReason::Hotfix])];
    assert_eq!(rework(&stream), BTreeMap::from(expected));
}

#[test]
fn worked_example_has_its_shares() {
    let (stream, _) = worked_example();
    let (payments, platform) = (TeamId(1), TeamId(2));
    let half = Weight::from_units(5_000).expect("a weight");
    let weights = BTreeMap::from([
        (1, vec![(payments, Weight::FULL)]),
        (2, vec![(payments, half), (platform, half)]),
        (3, vec![(platform, Weight::FULL)]),
        (4, vec![(payments, Weight::FULL)]),
        (6, vec![(payments, Weight::FULL)]),
    ]);
    let shares = shares_of(&timeline(&stream), |id| weights.get(&id.0).map_or(&[], Vec::as_slice));
    let of = |team: TeamId, without: i64| {
        let counted = shares.iter().filter(|(id, _)| id.0 > 0 && id.0 != without);
        counted.filter_map(|(_, shares)| shares.teams.get(&team)).map(|share| share.0).sum::<i64>()
    };
    assert_eq!((of(payments, 2), of(platform, 2)), (475_000_000, 125_000_000), "succeeded");
    assert_eq!((of(payments, -1), of(platform, -1)), (475_000_000, 225_000_000), "finished");
    assert_eq!(
        shares[&DeploymentId(1)].teams,
        BTreeMap::from([(payments, Share(75_000_000)), (platform, Share(25_000_000))])
    );
    assert!(shares.iter().filter(|(id, _)| id.0 > 0).all(|(_, shares)| shares.unattributed() == Share(0)));
    assert_eq!(shares[&DeploymentId(0)].unattributed(), Share::WHOLE, "the first one delivers nothing");
}

#[test]
fn shares_of_a_third_leave_an_exact_remainder() {
    let stream = line(
        2,
        vec![success(1, "06-01 00:00", 0), success(2, "06-02 00:00", 1)],
        vec![change(1, 1), change(2, 1), change(3, 1)],
    );
    let teams: Vec<Vec<(TeamId, Weight)>> = (1..4).map(|team| vec![(TeamId(team), Weight::FULL)]).collect();
    let shares = shares_of(&timeline(&stream), |id| &teams[usize::try_from(id.0 - 1).expect("an index")]);
    let expected: BTreeMap<_, _> = (1..4).map(|team| (TeamId(team), Share(33_333_333))).collect();
    assert_eq!(shares[&DeploymentId(2)].teams, expected);
    assert_eq!(shares[&DeploymentId(2)].unattributed(), Share(1));
}

#[test]
fn rollback_after_eight_days_fails_nobody() {
    let after = |when: &str| {
        line(2, vec![success(1, "06-01 00:00", 0), success(2, "06-02 00:00", 1), success(3, when, 0)], vec![])
    };
    assert_eq!(failures(&after("06-10 00:01"), &[]), BTreeMap::new());
    assert_eq!(rework(&after("06-10 00:01")), BTreeMap::from([(3, vec![ReworkReason::Rollback])]));
    let failed = (vec![FailureReason::RolledBack], Some(3));
    assert_eq!(failures(&after("06-09 00:00"), &[]), BTreeMap::from([(2, failed)]));
    assert_eq!(failures(&after("06-09 00:01"), &[]), BTreeMap::new());
}

#[test]
fn returning_to_a_newer_commit_is_a_redeploy() {
    let commits = [2, 3, 2, 3];
    let deployments =
        commits.iter().zip(1_i32..).map(|(commit, id)| success(id.into(), &format!("06-0{id} 00:00"), *commit));
    let stream = line(4, deployments.collect(), vec![]);
    let expected = [DeploymentKind::First, DeploymentKind::Change, DeploymentKind::Rollback, DeploymentKind::Redeploy];
    let found: Vec<DeploymentKind> = timeline(&stream).facts.iter().filter_map(|fact| fact.kind).collect();
    assert_eq!(found, expected);
    assert_eq!(failures(&stream, &[]).keys().collect::<Vec<_>>(), [&2], "only what was rolled back");
}

#[test]
fn second_region_is_a_rollout_of_the_first() {
    use DeploymentKind::{Change, First, Redeploy, Rollout};
    let in_region = |id, region: &str, when: &str, commit| {
        deployment(id, region, commit, DeploymentOutcome::Succeeded { at: at(when), failed_afterwards_at: None })
    };
    let stream = line(
        3,
        vec![
            in_region(1, "prod-eu", "06-01 00:00", 0),
            in_region(2, "prod-eu", "06-02 00:00", 1),
            in_region(3, "PROD-us", "06-02 01:00", 1),
            in_region(4, "prod-us", "06-02 02:00", 1),
            deployment(5, "prod-ap", 1, DeploymentOutcome::Failed { at: at("06-02 03:00") }),
        ],
        vec![change(1, 1)],
    );
    let timeline = timeline(&stream);
    let found: Vec<_> = timeline.facts.iter().map(|fact| fact.kind).collect();
    assert_eq!(found, [Some(First), Some(Change), Some(Rollout), Some(Redeploy), Some(Rollout)]);
    assert_eq!(delivered(&timeline), BTreeMap::from([(1, 2)]));
    // The failed rollout belongs to what it repeats: the redeploy that is in force.
    assert_eq!(failures(&stream, &[]).keys().collect::<Vec<_>>(), [&4]);
}

#[test]
fn only_failed_attempts_deliver_nothing() {
    let stream = line(2, vec![failure(1, "06-01 00:00", 0), failure(2, "06-02 00:00", 1)], vec![change(1, 1)]);
    let timeline = timeline(&stream);
    assert_eq!(kinds(&timeline), [(1, None), (2, None)]);
    assert_eq!(timeline.missing, BTreeMap::from([(PullRequestId(1), MissingReason::NotDeployedYet)]));
    assert_eq!(timeline.in_force, BTreeMap::new());
}

#[test]
fn unknown_commits_leave_their_changes_to_the_next() {
    let stream = line(
        3,
        vec![success(1, "06-01 00:00", 0), success(2, "06-02 00:00", 99), success(3, "06-03 00:00", 2)],
        vec![change(1, 1), change(2, 2)],
    );
    let timeline = timeline(&stream);
    assert_eq!(timeline.facts[1].kind, Some(DeploymentKind::Unknown));
    assert_eq!(delivered(&timeline), BTreeMap::from([(1, 3), (2, 3)]));
    let flagged: Vec<bool> = timeline.facts.iter().map(|fact| fact.is_after_unknown).collect();
    assert_eq!(flagged, [false, false, true]);
    assert_eq!(timeline.facts[2].replaces, Some(DeploymentId(1)), "an unknown one is never in force");
}

#[test]
fn merge_queue_delivers_all_by_one_push() {
    let stream = line(
        6,
        vec![success(1, "06-01 00:00", 0), success(2, "06-02 00:00", 5)],
        (1_u32..6).map(|number| change(number.into(), number)).collect(),
    );
    assert_eq!(delivered(&timeline(&stream)), (1..6).map(|number| (number, 2)).collect());
}

#[test]
fn health_check_failing_later_is_remedied_by_the_next() {
    let failing = DeploymentOutcome::Succeeded { at: at("06-02 00:00"), failed_afterwards_at: Some(at("06-02 00:10")) };
    let stream = line(
        3,
        vec![success(1, "06-01 00:00", 0), deployment(2, "production", 1, failing), success(3, "06-02 01:00", 2)],
        vec![],
    );
    let failed = (vec![FailureReason::FailedAfterwards], Some(3));
    assert_eq!(failures(&stream, &[]), BTreeMap::from([(2, failed)]));
}

#[test]
fn revert_fails_what_delivered_the_change() {
    let revert = |number, commit, reverts| MergedPullRequest { reverts: Some(reverts), ..change(number, commit) };
    let deployments = || (0_u32..4).map(|n| success(n.into(), &format!("06-0{} 00:00", n + 1), n)).collect::<Vec<_>>();
    let reverted = line(4, deployments(), vec![change(1, 1), revert(2, 2, 1)]);
    let failed = (vec![FailureReason::Reverted], Some(2));
    assert_eq!(failures(&reverted, &[]), BTreeMap::from([(1, failed.clone())]));
    assert_eq!(rework(&reverted), BTreeMap::from([(2, vec![ReworkReason::Revert])]));
    // Reverting the revert fails nobody, and is no rework.
    let restored = line(4, deployments(), vec![change(1, 1), revert(2, 2, 1), revert(3, 3, 2)]);
    assert_eq!(failures(&restored, &[]), BTreeMap::from([(1, failed)]));
    assert_eq!(rework(&restored).keys().collect::<Vec<_>>(), [&2]);
    // Both in one deployment fail nobody.
    let together = line(4, deployments(), vec![change(1, 2), revert(2, 2, 1)]);
    assert_eq!((failures(&together, &[]), rework(&together)), (BTreeMap::new(), BTreeMap::new()));
}

#[test]
fn named_remedy_wins_over_earlier_ones() {
    let mut deployments = vec![success(1, "06-01 00:00", 0), success(2, "06-02 00:00", 1)];
    deployments.push(success(3, "06-03 00:00", 0));
    deployments.push(Deployment { remedies: Some(DeploymentId(2)), ..success(4, "06-04 00:00", 2) });
    let failed = (vec![FailureReason::RolledBack], Some(4));
    assert_eq!(failures(&line(3, deployments, vec![]), &[]), BTreeMap::from([(2, failed)]));
}

#[test]
fn incident_is_remedied_by_what_closes_its_issue() {
    let closing = MergedPullRequest { closes: vec![IncidentId(1)], ..change(2, 3) };
    let deployments = (0_u32..4).map(|n| success(n.into(), &format!("06-0{} 00:00", n + 1), n)).collect();
    let stream = line(4, deployments, vec![change(1, 1), closing]);
    let linked = [LinkedIncident { id: IncidentId(1), deployment: DeploymentId(1) }];
    assert_eq!(failures(&stream, &linked), BTreeMap::from([(1, (vec![FailureReason::Incident], Some(3)))]));
    assert_eq!(rework(&stream), BTreeMap::from([(3, vec![ReworkReason::IncidentFix])]));
}

#[test]
fn incident_window_excludes_its_start_and_includes_its_end() {
    let deployments = [(DeploymentId(1), at("06-01 00:00"))];
    let linked = |start: &str| deployment_before(at(start), &deployments, DEFAULT_INCIDENT_WINDOW);
    assert_eq!(linked("06-01 00:00"), Some(DeploymentId(1)));
    assert_eq!(linked("06-01 23:59"), Some(DeploymentId(1)));
    assert_eq!(linked("06-02 00:00"), None);
    assert_eq!(linked("05-31 23:59"), None);
}

#[test]
fn last_state_decides_about_an_incident() {
    use IncidentStateKind::{Dismissed, Opened, Reopened, Resolved};
    let state = |when: &str, kind| IncidentState { at: at(when), kind };
    let (opened, resolved) = (state("06-01 00:00", Opened), state("06-02 00:00", Resolved));
    let resolved_at = |when| IncidentOutcome::Resolved { at: at(when) };
    assert_eq!(IncidentOutcome::of(&[resolved, opened]), resolved_at("06-02 00:00"));
    let reopened = [opened, resolved, state("06-03 00:00", Reopened)];
    assert_eq!(IncidentOutcome::of(&reopened), IncidentOutcome::Open);
    let again = [reopened.as_slice(), &[state("06-04 00:00", Resolved)]].concat();
    assert_eq!(IncidentOutcome::of(&again), resolved_at("06-04 00:00"));
    assert_eq!(IncidentOutcome::of(&[opened, state("06-01 01:00", Dismissed)]), IncidentOutcome::NotCounted);
    let twice = [again.as_slice(), &[state("06-05 00:00", Resolved)]].concat();
    assert_eq!(IncidentOutcome::of(&twice), resolved_at("06-05 00:00"), "it may have been opened again unseen");
}

#[test]
fn outcome_follows_from_the_first_success() {
    use DeploymentStateKind::{Cancelled, Failure, InProgress, Inactive, Success};
    let state = |when: &str, kind| DeploymentState { at: at(when), kind };
    let first = state("06-01 00:01", Success);
    let succeeded = |failed_afterwards_at| DeploymentOutcome::Succeeded { at: first.at, failed_afterwards_at };
    let replaced = [state("06-05 00:00", Inactive), first, state("06-01 00:00", InProgress)];
    assert_eq!(DeploymentOutcome::of(&replaced), succeeded(None), "a later deployment does not end it");
    let unhealthy = [first, state("06-01 00:09", Failure)];
    assert_eq!(DeploymentOutcome::of(&unhealthy), succeeded(Some(at("06-01 00:09"))));
    let retried = [state("06-01 00:00", Failure), first];
    assert_eq!(DeploymentOutcome::of(&retried), succeeded(None), "a retry made it");
    assert_eq!(
        DeploymentOutcome::of(&[state("06-01 00:00", Failure)]),
        DeploymentOutcome::Failed { at: at("06-01 00:00") }
    );
    assert_eq!(DeploymentOutcome::of(&[state("06-01 00:00", Cancelled)]), DeploymentOutcome::Cancelled);
    assert_eq!(DeploymentOutcome::of(&[state("06-01 00:00", InProgress)]), DeploymentOutcome::Unfinished);
    assert!(DeploymentOutcome::Unfinished.is_abandoned(at("06-01 00:00"), at("06-02 00:01")));
    assert!(!DeploymentOutcome::Unfinished.is_abandoned(at("06-01 00:00"), at("06-02 00:00")));
}

#[test]
fn default_names_mean_production() {
    let named = |name| Environment { name, is_production: None, is_transient: false };
    let default = EnvironmentRules::default();
    for name in ["production", "Prod", "live", "prod-eu", "production_2", "live/blue", "prod.us", "Production (eu)"] {
        assert_eq!(default.group_of(named(name)), EnvironmentGroup::Production, "{name}");
    }
    for name in ["staging", "products", "lively", "pre-production", "github-pages"] {
        assert_eq!(default.group_of(named(name)), EnvironmentGroup::Other(name.to_owned()), "{name}");
    }
    let preview = Environment { is_transient: true, ..named("production") };
    assert_eq!(default.group_of(preview), EnvironmentGroup::Transient);
    let flagged = Environment { is_production: Some(true), ..named("staging") };
    assert_eq!(default.group_of(flagged), EnvironmentGroup::Other("staging".to_owned()), "many tools set it wrongly");
    let trusting = EnvironmentRules { trusts_flag: true, ..EnvironmentRules::default() };
    assert_eq!(trusting.group_of(flagged), EnvironmentGroup::Production);
    assert_eq!(trusting.group_of(named("production")), EnvironmentGroup::Other("production".to_owned()));
}

#[test]
fn configured_names_replace_the_default() {
    let named = |name| Environment { name, is_production: None, is_transient: false };
    let pattern = |text: &str| glob::Pattern::new(text).expect("a pattern");
    let chosen =
        EnvironmentRules { production: Some(vec![pattern("github-pages"), pattern("EU-*")]), trusts_flag: false };
    assert_eq!(chosen.group_of(named("GitHub-Pages")), EnvironmentGroup::Production);
    assert_eq!(chosen.group_of(named("eu-west")), EnvironmentGroup::Production);
    assert_eq!(chosen.group_of(named("Production")), EnvironmentGroup::Other("production".to_owned()));
}

#[test]
fn environment_that_had_it_gets_a_redeploy() {
    use DeploymentKind::{Change, First, Redeploy, Rollback, Rollout};
    let in_region = |id: i64, region: &str, commit| {
        let at = at(&format!("06-0{id} 00:00"));
        deployment(id, region, commit, DeploymentOutcome::Succeeded { at, failed_afterwards_at: None })
    };
    let kinds_of = |deployments: Vec<Deployment>| -> Vec<DeploymentKind> {
        timeline(&line(3, deployments, vec![])).facts.iter().filter_map(|fact| fact.kind).collect()
    };
    // Both regions are deployed again.
    let again = [("eu", 0), ("eu", 1), ("us", 1), ("us", 1), ("eu", 1)];
    let made = |all: &[(&str, u32)]| -> Vec<Deployment> {
        (1..).zip(all).map(|(id, (region, commit))| in_region(id, region, *commit)).collect()
    };
    assert_eq!(kinds_of(made(&again)), [First, Change, Rollout, Redeploy, Redeploy]);
    // Only one region was changed and rolled back; the other one never lost it.
    let rolled_back = [("eu", 1), ("us", 1), ("eu", 2), ("eu", 1), ("us", 1)];
    assert_eq!(kinds_of(made(&rolled_back)), [First, Rollout, Change, Rollback, Redeploy]);
}

#[test]
fn what_is_said_of_a_rollout_is_said_of_what_it_repeats() {
    let in_region = |id: i64, region: &str, commit| {
        let at = at(&format!("06-0{id} 00:00"));
        deployment(id, region, commit, DeploymentOutcome::Succeeded { at, failed_afterwards_at: None })
    };
    let rollout = Deployment { is_declared_failed: true, is_declared_rework: true, ..in_region(3, "us", 1) };
    let remedy = Deployment { remedies: Some(DeploymentId(3)), ..in_region(5, "eu", 0) };
    let deployments = vec![in_region(1, "eu", 0), in_region(2, "eu", 1), rollout, in_region(4, "eu", 2), remedy];
    let stream = line(3, deployments, vec![]);
    assert_eq!(timeline(&stream).counted(DeploymentId(3)), DeploymentId(2));
    let linked = [LinkedIncident { id: IncidentId(1), deployment: DeploymentId(3) }];
    let failed = failures(&stream, &linked);
    assert_eq!(failed[&2], (vec![FailureReason::Incident, FailureReason::Declared], Some(5)));
    assert!(!failed.contains_key(&3));
    assert_eq!(rework(&stream)[&2], [ReworkReason::Declared]);
}

#[test]
fn a_declared_failure_is_remedied_by_the_next_success_and_an_incident_only_by_what_closes_it() {
    let failed = Deployment { is_declared_failed: true, ..success(2, "06-02 00:00", 1) };
    let deployments =
        vec![success(1, "06-01 00:00", 0), failed, failure(3, "06-03 00:00", 2), success(4, "06-04 00:00", 2)];
    let stream = line(3, deployments, vec![]);
    assert_eq!(
        failures(&stream, &[])[&2],
        (vec![FailureReason::Declared], Some(4)),
        "a failed attempt remedies nothing"
    );
    let stream =
        line(2, vec![success(1, "06-01 00:00", 0), success(2, "06-02 00:00", 1), success(3, "06-03 00:00", 1)], vec![]);
    let linked = [LinkedIncident { id: IncidentId(1), deployment: DeploymentId(2) }];
    assert_eq!(failures(&stream, &linked)[&2], (vec![FailureReason::Incident], None));
}

#[test]
fn rollback_of_one_repository_blames_what_changed_it() {
    let other = RepositoryId(2);
    let of = |id: i64, revisions: &[(RepositoryId, u32)]| Deployment {
        revisions: revisions
            .iter()
            .map(|(repository, commit)| Revision { repository: *repository, oid: oid(*commit) })
            .collect(),
        ..success(id, &format!("06-0{id} 00:00"), 0)
    };
    let deployments =
        vec![of(1, &[(REPO, 0), (other, 0)]), of(2, &[(REPO, 1)]), of(3, &[(other, 1)]), of(4, &[(REPO, 0)])];
    let mut stream = line(2, deployments, vec![]);
    stream.commits.insert(other, stream.commits[&REPO].clone());
    let timeline = timeline(&stream);
    assert_eq!(timeline.facts[3].kind, Some(DeploymentKind::Rollback));
    assert_eq!(timeline.facts[3].replaces, Some(DeploymentId(2)));
    assert_eq!(failures(&stream, &[]).keys().collect::<Vec<_>>(), [&2]);
    assert_eq!(timeline.in_force, BTreeMap::from([(REPO, DeploymentId(4)), (other, DeploymentId(3))]));
}

#[test]
fn weights_above_one_leave_a_negative_remainder() {
    let stream = line(2, vec![success(1, "06-01 00:00", 0), success(2, "06-02 00:00", 1)], vec![change(1, 1)]);
    let twice = [(TeamId(1), Weight::FULL), (TeamId(2), Weight::FULL)];
    let shares = shares_of(&timeline(&stream), |_| &twice);
    assert_eq!(shares[&DeploymentId(2)].unattributed(), Share(-Share::WHOLE.0));
}

#[test]
fn unreadable_deployment_may_have_delivered_what_is_missing() {
    let early = MergedPullRequest { merged_at: at("06-01 12:00"), ..change(1, 8) };
    let late = MergedPullRequest { merged_at: at("06-03 12:00"), ..change(2, 9) };
    let deployments = vec![success(1, "06-01 00:00", 0), success(2, "06-02 00:00", 99)];
    let stream = line(2, deployments.clone(), vec![early.clone(), late.clone()]);
    let expected =
        [(PullRequestId(1), MissingReason::UnknownHistory), (PullRequestId(2), MissingReason::NotDeployedYet)];
    assert_eq!(timeline(&stream).missing, BTreeMap::from(expected));
    // Something known that is new tells what is deployed.
    let known = [deployments, vec![success(3, "06-03 00:00", 1)]].concat();
    let stream = line(2, known, vec![early, late]);
    assert!(timeline(&stream).missing.values().all(|reason| *reason == MissingReason::NotDeployedYet));
}

#[test]
fn merge_queue_makes_commits_long_before_the_merge() {
    // The first deployment has the last commit of the queue. The others are older and were not read.
    let queued = |number, seconds| MergedPullRequest {
        committed_at: Some(at("05-01 03:00") + TimeDelta::seconds(seconds)),
        merged_at: at("05-01 03:30"),
        ..change(number, 77)
    };
    let mut stream = line(0, vec![success(1, "06-01 00:00", 3)], vec![queued(1, -4), queued(2, 4)]);
    let mut graph = CommitGraph::complete_since(at("05-01 03:00"));
    graph.insert(oid(3), vec![oid(2)], at("05-01 03:00"));
    stream.commits.insert(REPO, graph);
    let expected =
        [(PullRequestId(1), MissingReason::BeforeFirstDeployment), (PullRequestId(2), MissingReason::NotDeployedYet)];
    assert_eq!(timeline(&stream).missing, BTreeMap::from(expected));
}

#[test]
fn missing_commits_below_the_floor_are_no_rollback() {
    // c10, then back to c6, then c8. The commits between them are older than the first one and were not read.
    let deployments = vec![success(1, "06-01 00:00", 10), success(2, "06-02 00:00", 6), success(3, "06-03 00:00", 8)];
    let mut stream = line(0, deployments, vec![]);
    let made_at = |number: u32| at("05-01 00:00") + TimeDelta::hours(number.into());
    let mut graph = CommitGraph::complete_since(made_at(10));
    for number in [6, 8, 10] {
        graph.insert(oid(number), vec![oid(number - 1)], made_at(number));
    }
    stream.commits.insert(REPO, graph);
    let found: Vec<DeploymentKind> = timeline(&stream).facts.iter().filter_map(|fact| fact.kind).collect();
    assert_eq!(found, [DeploymentKind::First, DeploymentKind::Rollback, DeploymentKind::Redeploy]);
}

#[test]
fn remedy_depends_on_the_chosen_reasons() {
    let failing = DeploymentOutcome::Succeeded { at: at("06-02 00:00"), failed_afterwards_at: Some(at("06-03 12:00")) };
    let closing = MergedPullRequest { closes: vec![IncidentId(1)], ..change(2, 4) };
    let deployments = vec![
        success(1, "06-01 00:00", 0),
        deployment(2, "production", 1, failing),
        success(3, "06-03 00:00", 2),
        success(4, "06-04 00:00", 3),
        success(5, "06-05 00:00", 4),
    ];
    let stream = line(5, deployments, vec![closing]);
    let linked = [LinkedIncident { id: IncidentId(1), deployment: DeploymentId(2) }];
    let judged = judge(&stream, &timeline(&stream), &linked, DEFAULT_REMEDY_WINDOW);
    let remedy = |reason| judged[&DeploymentId(2)].remedy(|it| it == reason).map(|remedy| remedy.deployment.0);
    // The one before its failure is no remedy.
    assert_eq!(remedy(FailureReason::FailedAfterwards), Some(4));
    assert_eq!(remedy(FailureReason::Incident), Some(5));
    assert_eq!(remedy(FailureReason::Reverted), None);
}

#[test]
fn attempts_of_a_run_are_sorted_as_numbers() {
    let attempt = |source_id: &str, id| Deployment { source_id: source_id.to_owned(), ..success(id, "06-01 00:00", 0) };
    let stream = line(1, vec![attempt("9/10", 1), attempt("9/2", 2), attempt("x", 3)], vec![]);
    let order: Vec<i64> = timeline(&stream).facts.iter().map(|fact| fact.deployment.0).collect();
    assert_eq!(order, [2, 1, 3]);
}

/// A random history: for each commit, its parents among those before it, and its date in minutes.
#[derive(Debug, Clone)]
struct History {
    parents: Vec<BTreeSet<u32>>,
    dates: Vec<i64>,
    deployments: Vec<Deployment>,
}

impl History {
    fn ancestors(&self, commit: u32) -> BTreeSet<u32> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![commit];
        while let Some(commit) = waiting.pop() {
            if found.insert(commit) {
                waiting.extend(&self.parents[usize::try_from(commit).expect("an index")]);
            }
        }
        found
    }

    fn commit_of(&self, deployment: &Deployment) -> Option<u32> {
        (0..u32::try_from(self.parents.len()).expect("few")).find(|commit| oid(*commit) == deployment.revisions[0].oid)
    }

    fn in_order(&self) -> Vec<&Deployment> {
        let mut ordered: Vec<&Deployment> =
            self.deployments.iter().filter(|it| it.outcome.finished_at().is_some()).collect();
        ordered.sort_by_key(|it| (it.outcome.finished_at(), it.id));
        ordered
    }

    /// The first deployed commit that is known, if there is one.
    fn first(&self) -> Option<u32> {
        let mut succeeded = self.in_order().into_iter().filter(|it| it.outcome.succeeded_at().is_some());
        succeeded.find_map(|it| self.commit_of(it))
    }

    /// When a commit was made, in minutes. Clocks are wrong only above the floor.
    fn date(&self, commit: u32) -> i64 {
        let index = usize::try_from(commit).expect("an index");
        match self.first() {
            Some(first) if self.ancestors(first).contains(&commit) => i64::from(commit) - i64::from(first),
            Some(_) => self.dates[index].abs(),
            None => self.dates[index],
        }
    }

    /// The stream, with the commits that are read from the source: not those from before all that was deployed.
    fn stream(&self) -> Stream {
        let time = |minutes: i64| at("05-01 00:00") + TimeDelta::minutes(minutes);
        let oldest = self.deployments.iter().filter_map(|it| self.commit_of(it)).map(|commit| self.date(commit)).min();
        let mut graph = oldest.map_or_else(CommitGraph::default, |oldest| CommitGraph::complete_since(time(oldest)));
        for (commit, parents) in (0..).zip(&self.parents) {
            if oldest.is_some_and(|oldest| self.date(commit) >= oldest) {
                let parents = parents.iter().map(|parent| oid(*parent)).collect();
                graph.insert(oid(commit), parents, time(self.date(commit)));
            }
        }
        let count = i64::try_from(self.parents.len()).expect("few");
        let changes = (0..count).map(|n| change(n, u32::try_from(n).expect("few"))).collect();
        Stream {
            deployments: self.deployments.clone(),
            pull_requests: changes,
            commits: BTreeMap::from([(REPO, graph)]),
        }
    }

    /// What each deployment was and which changes it delivered, from sets of ancestors.
    fn naive(&self) -> Vec<(i64, Option<DeploymentKind>, BTreeSet<u32>)> {
        let mut contained: BTreeSet<u32> = BTreeSet::new();
        let mut in_force: Option<u32> = None;
        let mut environments: BTreeMap<String, u32> = BTreeMap::new();
        let mut found = Vec::new();
        for it in self.in_order() {
            let succeeded = it.outcome.succeeded_at().is_some();
            let Some(commit) = self.commit_of(it) else {
                found.push((it.id.0, succeeded.then_some(DeploymentKind::Unknown), BTreeSet::new()));
                continue;
            };
            let all = self.ancestors(commit);
            let new: BTreeSet<u32> = all.difference(&contained).copied().collect();
            let has_it = environments.get(&it.environment) == Some(&commit);
            let is_rollout = in_force == Some(commit) && !has_it;
            let changes = if in_force.is_some() { new.clone() } else { BTreeSet::new() };
            let kind = match in_force {
                Some(_) if is_rollout => {
                    if succeeded {
                        environments.insert(it.environment.clone(), commit);
                    }
                    found.push((it.id.0, Some(DeploymentKind::Rollout), BTreeSet::new()));
                    continue;
                }
                _ if !succeeded => {
                    found.push((it.id.0, None, changes));
                    continue;
                }
                None => DeploymentKind::First,
                Some(_) if !new.is_empty() => DeploymentKind::Change,
                Some(known) if !all.contains(&known) => DeploymentKind::Rollback,
                Some(_) => DeploymentKind::Redeploy,
            };
            found.push((it.id.0, Some(kind), changes));
            contained.extend(all);
            environments.insert(it.environment.clone(), commit);
            in_force = Some(commit);
        }
        found
    }
}

fn histories() -> impl Strategy<Value = History> {
    let commits = (1_u32..25).prop_flat_map(|count| {
        let parents: Vec<_> = (0..count)
            .map(|n| prop::collection::btree_set(0..n.max(1), 0..4.min(usize::try_from(n).unwrap_or(0) + 1)))
            .collect();
        (parents, prop::collection::vec(-500_i64..500, usize::try_from(count).unwrap_or(0)), deployments(count))
    });
    commits.prop_map(|(mut parents, dates, deployments)| {
        parents[0].clear();
        History { parents, dates, deployments }
    })
}

fn deployments(commits: u32) -> impl Strategy<Value = Vec<Deployment>> {
    // Now and then a commit that cannot be read.
    let one = (0..commits + 2, 0_i64..40, 0..6_u8, 0..3_u8);
    prop::collection::vec(one, 0..14).prop_map(move |all| {
        let made = |(id, (commit, hour, outcome, region)): (i64, (u32, i64, u8, u8))| {
            let commit = if commit < commits { commit } else { 1_000 + commit };
            let time = at("06-01 00:00") + TimeDelta::hours(hour);
            let outcome = match outcome {
                0 => DeploymentOutcome::Failed { at: time },
                1 => DeploymentOutcome::Unfinished,
                _ => DeploymentOutcome::Succeeded { at: time, failed_afterwards_at: None },
            };
            deployment(id, &format!("prod-{region}"), commit, outcome)
        };
        (1..).zip(all).map(made).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn two_repositories_of_a_service_are_as_two_streams(one in histories(), other in histories()) {
        const OTHER: RepositoryId = RepositoryId(2);
        const MORE: i64 = 1_000;
        let (one, other) = (one.stream(), other.stream());
        let mut both = one.clone();
        both.commits.insert(OTHER, other.commits[&REPO].clone());
        both.deployments.extend(other.deployments.iter().cloned().map(|mut it| {
            it.id.0 += MORE;
            it.source_id = it.id.0.to_string();
            it.revisions.iter_mut().for_each(|revision| revision.repository = OTHER);
            it
        }));
        both.pull_requests.extend(other.pull_requests.iter().cloned().map(|mut it| {
            it.id.0 += MORE;
            it.repository = OTHER;
            it
        }));
        // What was unknown of one repository may have carried the other's too, which the reasons say. Kinds and deliveries do not depend on it.
        let did = |stream: &Stream, more: i64| -> BTreeMap<i64, (Option<DeploymentKind>, Vec<i64>)> {
            let facts = timeline(stream).facts.into_iter();
            facts.map(|it| (it.deployment.0 + more, (it.kind, it.pull_requests.iter().map(|id| id.0 + more).collect()))).collect()
        };
        let mut apart = did(&one, 0);
        apart.extend(did(&other, MORE));
        prop_assert_eq!(did(&both, 0), apart);
    }

    #[test]
    fn random_histories_equal_sets_of_ancestors(history in histories()) {
        let found: Vec<_> = timeline(&history.stream()).facts.into_iter().map(|fact| {
            let changes = fact.pull_requests.iter().map(|id| u32::try_from(id.0).expect("small")).collect::<BTreeSet<u32>>();
            (fact.deployment.0, fact.kind, changes)
        }).collect();
        prop_assert_eq!(found, history.naive());
    }

    #[test]
    fn order_of_arrival_changes_nothing(history in histories()) {
        let stream = history.stream();
        // What arrives later has a higher id in Mergeline; its id at the source stays.
        let renumbered = |id: DeploymentId| DeploymentId(1_000 - id.0);
        let mut late = stream.clone();
        late.deployments.reverse();
        late.deployments.iter_mut().for_each(|it| it.id = renumbered(it.id));
        late.pull_requests.reverse();
        let (early, late_judged) = (timeline(&stream), timeline(&late));
        let facts: Vec<DeploymentFact> = late_judged.facts.iter().cloned().map(|mut fact| {
            fact.deployment = renumbered(fact.deployment);
            fact.replaces = fact.replaces.map(renumbered);
            fact.repeats = fact.repeats.map(renumbered);
            fact
        }).collect();
        prop_assert_eq!(&facts, &early.facts);
        prop_assert_eq!(&late_judged.missing, &early.missing);
        let judged = |stream: &Stream, timeline: &Timeline| judge(stream, timeline, &[], DEFAULT_REMEDY_WINDOW);
        let remedies = |judgments: BTreeMap<DeploymentId, Judgment>, number: &dyn Fn(DeploymentId) -> DeploymentId| {
            judgments.into_iter().map(|(id, it)| {
                let remedy = it.remedy(|_| true).map(|remedy| number(remedy.deployment));
                (number(id), it.failures.into_keys().collect::<Vec<_>>(), it.rework, remedy)
            }).collect::<BTreeSet<_>>()
        };
        let of_late = remedies(judged(&late, &late_judged), &renumbered);
        prop_assert_eq!(of_late, remedies(judged(&stream, &early), &|id| id));
    }

    #[test]
    fn shares_are_the_mean_of_weights(history in histories(), units in prop::collection::vec(1_u16..10_001, 25)) {
        let weights: Vec<Vec<(TeamId, Weight)>> = units.iter().zip(0_i64..).map(|(units, n)| {
            let weight = Weight::from_units(*units).expect("a weight");
            vec![(TeamId(n % 3), weight), (TeamId(3), weight)]
        }).collect();
        let of = |id: PullRequestId| weights[usize::try_from(id.0).expect("small")].as_slice();
        let timeline = timeline(&history.stream());
        let shares = shares_of(&timeline, of);
        for fact in timeline.facts.iter().filter(|fact| fact.kind != Some(DeploymentKind::Rollout)) {
            let found = &shares[&fact.deployment];
            let count = fact.pull_requests.len();
            for team in (0..4).map(TeamId).filter(|_| count > 0) {
                let sum: u32 = fact.pull_requests.iter().flat_map(|id| of(*id)).filter(|it| it.0 == team)
                    .map(|(_, weight)| u32::from(weight.units())).sum();
                let exact = f64::from(sum) * 10_000.0 / f64::from(u32::try_from(count).expect("few"));
                let share = found.teams.get(&team).map_or(0, |share| share.0);
                prop_assert!((0.0..1.0).contains(&(exact - f64::from(i32::try_from(share).expect("small")))));
            }
            let sum: i64 = found.teams.values().map(|share| share.0).sum();
            prop_assert_eq!(sum + found.unattributed().0, Share::WHOLE.0);
        }
    }
}

#[test]
fn a_deployment_goes_to_a_service_with_its_source() {
    let rules = |service, source| ServiceRules { service: ServiceId(service), own: None, source };
    let runs = SourceRules {
        source: DeploymentSource::GithubActions,
        options: SourceOptions { workflow: Some("jobs.yml".to_owned()), ..SourceOptions::default() },
    };
    let (jobs, shop) = (rules(1, Some(runs)), rules(2, None));
    let environment = Environment { name: "production", is_production: None, is_transient: false };
    for services in [[jobs.clone(), shop.clone()], [shop, jobs]] {
        let found = |source| service_of(&services, &EnvironmentRules::default(), environment, source);
        let expected = Some((ServiceId(2), EnvironmentGroup::Production));
        assert_eq!(found(DeploymentSource::GithubDeployments), expected, "{services:?}");
    }
}

/// An instant of one day.
fn on_day(time: &str) -> DateTime<Utc> {
    at(&format!("06-16 {time}"))
}

/// The outcome of an incident that opened at ten, after these deliveries.
fn after_deliveries(changes: &[IncidentChange]) -> IncidentOutcome {
    let mut states = vec![IncidentState { at: on_day("10:00"), kind: IncidentStateKind::Opened }];
    for change in changes {
        if let Some((at, kind)) = change.delivered(&states) {
            states.push(IncidentState { at, kind });
        }
    }
    IncidentOutcome::of(&states)
}

#[test]
fn what_a_tool_shows_is_no_step_of_its_own() {
    use IncidentChange::SeenOpen;
    let over =
        |since: &str, seen: &str| IncidentChange::SeenResolved { at: Some(on_day(since)), seen_at: on_day(seen) };
    let over_at = |seen: &str| IncidentChange::SeenResolved { at: None, seen_at: on_day(seen) };
    let resolved = |when: &str| IncidentOutcome::Resolved { at: on_day(when) };
    let open = IncidentOutcome::Open;
    assert_eq!(after_deliveries(&[SeenOpen(on_day("10:30")), SeenOpen(on_day("11:30"))]), open);
    // People set an earlier time than that of the last change.
    assert_eq!(after_deliveries(&[SeenOpen(on_day("11:30")), over("11:00", "11:40")]), resolved("11:00"));
    assert_eq!(after_deliveries(&[over("11:00", "11:40"), over("11:30", "11:50")]), resolved("11:30"), "corrected");
    // Without a time of its own, each edit afterwards would be one.
    assert_eq!(after_deliveries(&[over_at("11:00"), over_at("18:00")]), resolved("11:00"));
    assert_eq!(after_deliveries(&[over_at("11:00"), SeenOpen(on_day("12:00")), over_at("13:00")]), resolved("13:00"));
    assert_eq!(after_deliveries(&[over("11:00", "11:00"), SeenOpen(on_day("12:00"))]), open);
    let again = [over("11:00", "11:00"), SeenOpen(on_day("12:00")), over("11:00", "13:00")];
    assert_eq!(after_deliveries(&again), resolved("13:00"), "the time is from before it was opened again");
    assert_eq!(
        after_deliveries(&[over("11:00", "11:00"), SeenOpen(on_day("10:50"))]),
        resolved("11:00"),
        "it came late"
    );
    assert_eq!(after_deliveries(&[over("09:00", "11:00")]), resolved("10:00"), "not before it started");
    let dismissed = IncidentChange::Dismissed(on_day("12:00"));
    assert_eq!(after_deliveries(std::slice::from_ref(&dismissed)), IncidentOutcome::NotCounted);
    assert_eq!(after_deliveries(&[dismissed, SeenOpen(on_day("13:00"))]), open);
}
