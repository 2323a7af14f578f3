//! The demo's synthetic organization. It is the same on every run within a week.

use std::slice;

use chrono::{DateTime, Datelike, Days, TimeDelta, Utc};

use crate::{
    FakeCommit, FakeDeployment, FakeGitCommit, FakeIssue, FakePullRequest, FakeReview, FakeTeam, FakeUser, deployment,
    issue, pr, team,
};

/// Everything that the fake GitHub serves in the demo, and the matching teams file.
#[derive(Debug, Clone)]
pub struct Organization {
    /// The teams file.
    pub teams_file: String,
    /// The pull requests of all repositories.
    pub pull_requests: Vec<FakePullRequest>,
    /// The commits of each repository.
    pub commits: Vec<(String, Vec<FakeGitCommit>)>,
    /// The deployments of all repositories.
    pub deployments: Vec<FakeDeployment>,
    /// The issues of all repositories, which are incidents.
    pub issues: Vec<FakeIssue>,
    /// The teams at GitHub now.
    pub teams: Vec<FakeTeam>,
    /// A configured repository that the token can read at first, but not later.
    pub lost_repository: &'static str,
    /// One line for each thing that tools usually count wrong.
    pub peculiarities: Vec<String>,
}

/// Issues have numbers beyond those of pull requests.
const FIRST_ISSUE: i64 = 9_001;
/// How many successful deployments there are for each incident.
const SUCCESSES_PER_INCIDENT: usize = 17;
/// How far the history goes back.
const WEEKS: u64 = 26;
/// The repository that the token can no longer read in the demo's second run.
const LOST: &str = "acme/legacy";
/// When bob moves from one team to the other.
const WEEKS_SINCE_CHANGE: u64 = 6;

/// The organization as of the week of `now`: three teams, two working repositories and one lost one.
pub fn organization(now: DateTime<Utc>) -> Organization {
    let today = now.date_naive();
    let this_monday = today - Days::new(u64::from(today.weekday().num_days_from_monday()));
    let first_monday = this_monday - Days::new(7 * WEEKS);
    let change = this_monday - Days::new(7 * WEEKS_SINCE_CHANGE);
    let mut history =
        History { random: Random(0x6d65_7268), details: Random(0x7265_7669), pull_requests: Vec::new(), now };
    let authors = [
        ("ana", "acme/api", 3),
        ("bob", "acme/api", 2),
        ("carla", "acme/api", 4),
        ("deniz", "acme/web", 3),
        ("emil", "acme/api", 2),
        ("finn", "acme/web", 2),
        ("guest", "acme/web", 1),
    ];
    for week in 0..=WEEKS {
        let monday = (first_monday + Days::new(7 * week)).and_hms_opt(8, 0, 0).unwrap_or_default().and_utc();
        for (login, repository, per_week) in authors {
            history.week_of(&FakeUser::person(login), repository, monday, per_week);
        }
        history.week_of(&FakeUser::bot("renovate"), "acme/api", monday, 2);
    }
    // For a repository that is rarely used now.
    for week in 0..WEEKS / 2 {
        let monday = (first_monday + Days::new(14 * week)).and_hms_opt(8, 0, 0).unwrap_or_default().and_utc();
        history.week_of(&FakeUser::person("emil"), LOST, monday, 1);
    }
    // A deleted account's pull request, and one that was open for nine weeks.
    let recently = this_monday.and_hms_opt(10, 0, 0).unwrap_or_default().and_utc() - TimeDelta::weeks(2);
    history.add(None, "acme/web", recently, TimeDelta::hours(5));
    history.add(Some(FakeUser::person("emil")), "acme/api", recently - TimeDelta::weeks(8), TimeDelta::weeks(9));
    // One is open for longer than was agreed, and one may be soon.
    history.add(Some(FakeUser::person("deniz")), "acme/web", recently + TimeDelta::days(3), TimeDelta::weeks(20));
    history.add(Some(FakeUser::person("ana")), "acme/api", recently + TimeDelta::days(9), TimeDelta::weeks(20));
    // Something waits for a deployment at any time of any day.
    history.add(
        Some(FakeUser::person("ana")),
        "acme/api",
        recently - TimeDelta::weeks(1),
        TimeDelta::weeks(1) + TimeDelta::hours(1),
    );
    let next = history.pull_requests.pop();
    let mut pull_requests = history.pull_requests;
    let mut api = merge_in_a_line(&mut pull_requests, "acme/api", 1);
    let web = merge_in_a_line(&mut pull_requests, "acme/web", 2);
    let mut deployments = every_working_day("acme/api", &api, now);
    let issues = incidents(&deployments, &mut pull_requests, now);
    deployments.extend(every_thursday("acme/web", &web, now));
    if let Some(mut pull_request) = next {
        "next".clone_into(&mut pull_request.base_ref);
        let before = pull_request.merged_at.and_then(|at| newest_at(&api, at)).map(|newest| api[newest].oid.clone());
        let mut commits = merge_in_a_line(slice::from_mut(&mut pull_request), "acme/api", 3);
        for commit in &mut commits {
            commit.parents.extend(before.clone());
        }
        api.extend(commits);
        pull_requests.push(pull_request);
    }
    Organization {
        teams_file: teams_file(change),
        pull_requests,
        commits: vec![("acme/api".to_owned(), api), ("acme/web".to_owned(), web)],
        deployments,
        issues,
        teams: vec![
            team("acme", "engineering").named("Engineering"),
            team("acme", "payments").named("Payments").with(["ana", "carla"]).below("engineering"),
            team("acme", "web").named("Web").with(["bob", "deniz", "finn"]).below("engineering"),
            team("acme", "platform").named("Platform").with(["carla", "emil"]).below("engineering"),
        ],
        lost_repository: LOST,
        peculiarities: vec![
            "carla works for payments and platform, half each: each of her pull requests counts 0.5 in both"
                .to_owned(),
            format!("bob moved from payments to web on {change}: what he merged before stays with payments"),
            "renovate[bot], a deleted account and guest, who is in no team, count for nobody".to_owned(),
            "emil has a pull request that was open for nine weeks: compare platform's mean with its median"
                .to_owned(),
            "acme/api is the service shop of two teams, deployed every working day; some attempts fail and are tried again, \
             some deployments are rolled back three hours later; issues with the label incident follow others, each closed by \
             the hotfix that is merged next"
                .to_owned(),
            "ana merged a pull request into the branch next of acme/api, which is not deployed".to_owned(),
            "deniz has a pull request that nobody has reviewed for more than a week: Insight lists it as breaking a goal".to_owned(),
            "acme/web leaves every Thursday, with all that was merged since: its lead times are days".to_owned(),
            "acme/legacy was read by the first run, and then the token lost its access: the second run is partial, what \
             was read still counts, and every week up to then stays complete"
                .to_owned(),
        ],
    }
}

fn teams_file(change: chrono::NaiveDate) -> String {
    format!(
        "\
# Synthetic: made by `mergeline demo`.
version: 1
timezone: Europe/Oslo
repositories: [acme/api, acme/web, acme/legacy]
incidents: {{ issues: {{ labels: [incident] }} }}
goals:
  - {{ id: first-review, sentence: \"We look at each other's work on the same day.\", form: share, measure: pickup, within: 8h, share: 0.8 }}
  - {{ id: no-old-ones, form: each, measure: age, within: 7d }}
  - {{ id: few-at-once, team: web, form: limit, open: 3 }}
metrics:
  - {{ id: same-day, name: Merged within a day, of: pull_requests, statistic: share, when: {{ cycle_time: {{ at_most: 24h }} }}, than: {{}} }}
  - {{ id: large-pickup, name: Wait of large ones, of: pull_requests, statistic: p75, measure: pickup, when: {{ lines: {{ at_least: 200 }} }}, by: month }}
services:
  - slug: shop
    repositories: [acme/api]
    owners: [{{ team: payments, weight: 0.7 }}, {{ team: platform, weight: 0.3 }}]
teams:
  - slug: payments
    name: Payments
    members:
      - {{ github: ana }}
      - {{ github: bob, to: {change} }}
      - {{ github: carla, weight: 0.5 }}
  - slug: web
    name: Web
    members:
      - {{ github: deniz }}
      - {{ github: finn }}
      - {{ github: bob, from: {change} }}
  - slug: platform
    name: Platform
    members:
      - {{ github: emil }}
      - {{ github: carla, weight: 0.5 }}
"
    )
}

/// Gives each merged pull request of a repository a merge commit of one line of history, in the order of the merges.
fn merge_in_a_line(pull_requests: &mut [FakePullRequest], repository: &str, line: u64) -> Vec<FakeGitCommit> {
    let mut merged: Vec<&mut FakePullRequest> =
        pull_requests.iter_mut().filter(|it| it.repository == repository && it.merged_at.is_some()).collect();
    merged.sort_by_key(|it| (it.merged_at, it.number));
    let mut commits: Vec<FakeGitCommit> = Vec::with_capacity(merged.len());
    for pull_request in merged {
        let oid = format!("{line:08x}{:032x}", pull_request.number);
        let parents = commits.last().map(|last| last.oid.clone()).into_iter().collect();
        let committed_at = pull_request.merged_at.unwrap_or_default();
        pull_request.merge_commit = Some(oid.clone());
        commits.push(FakeGitCommit { oid, parents, committed_at });
    }
    commits
}

/// The newest commit at an instant, and the one before it.
fn newest_at(commits: &[FakeGitCommit], at: DateTime<Utc>) -> Option<usize> {
    commits.partition_point(|commit| commit.committed_at <= at).checked_sub(1)
}

/// A deployment whose states are a success or failure some minutes after its start.
fn ended(repository: &str, number: i64, sha: &str, at: DateTime<Utc>, state: &str) -> FakeDeployment {
    let text = |at: DateTime<Utc>| at.to_rfc3339();
    deployment(repository, number, sha, &text(at))
        .status("in_progress", &text(at + TimeDelta::seconds(20)))
        .status(state, &text(at + TimeDelta::minutes(6)))
}

/// What is new at four every working day. Every ninth attempt fails and is tried again after an hour; every fourteenth is rolled
/// back after three.
fn every_working_day(repository: &str, commits: &[FakeGitCommit], now: DateTime<Utc>) -> Vec<FakeDeployment> {
    let mut deployments = Vec::new();
    let (mut number, mut turn, mut last) = (0, 0, None);
    let Some(first) = commits.first() else { return deployments };
    let mut at = first.committed_at.date_naive().and_hms_opt(16, 0, 0).unwrap_or_default().and_utc();
    while at < now {
        let newest = newest_at(commits, at).filter(|newest| last != Some(*newest));
        if let Some(newest) = newest.filter(|_| at.weekday().num_days_from_monday() < 5) {
            turn += 1;
            let mut add = |commit: usize, at: DateTime<Utc>, state: &str| {
                number += 1;
                deployments.push(ended(repository, number, &commits[commit].oid, at, state));
            };
            match turn {
                _ if turn % 9 == 0 => {
                    add(newest, at, "failure");
                    add(newest, at + TimeDelta::hours(1), "success");
                }
                _ if turn % 14 == 0 => {
                    add(newest, at, "success");
                    if let Some(before) = last {
                        add(before, at + TimeDelta::hours(3), "success");
                    }
                }
                _ => add(newest, at, "success"),
            }
            last = Some(newest);
        }
        at += TimeDelta::days(1);
    }
    deployments.retain(|it| it.created_at < now);
    deployments
}

/// An incident an hour after every seventeenth successful deployment, closed four hours later. The next pull request is its hotfix.
fn incidents(
    deployments: &[FakeDeployment],
    pull_requests: &mut [FakePullRequest],
    now: DateTime<Utc>,
) -> Vec<FakeIssue> {
    let succeeded = deployments.iter().filter(|it| it.statuses.iter().any(|status| status.state == "success"));
    let mut issues = Vec::new();
    for (number, deployment) in
        (FIRST_ISSUE..).zip(succeeded.skip(SUCCESSES_PER_INCIDENT).step_by(SUCCESSES_PER_INCIDENT))
    {
        let opened_at = deployment.created_at + TimeDelta::hours(1);
        let closed_at = opened_at + TimeDelta::hours(4);
        if opened_at >= now {
            break;
        }
        let opened =
            issue(&deployment.repository, number, "incident", &opened_at.to_rfc3339()).labeled("severity:high");
        issues.push(if closed_at < now { opened.closed(&closed_at.to_rfc3339(), "completed") } else { opened });
        let later = pull_requests.iter_mut().filter(|it| it.repository == deployment.repository);
        let by_people = later.filter(|it| it.user.as_ref().is_some_and(|user| user.kind == "User"));
        let next = by_people.filter(|it| it.merged_at > Some(opened_at)).min_by_key(|it| (it.merged_at, it.number));
        if let Some(hotfix) = next {
            hotfix.labels.push("hotfix".to_owned());
            hotfix.body = Some(format!("Fixes #{number}"));
        }
    }
    issues
}

/// Everything that was merged up to Thursday at noon.
fn every_thursday(repository: &str, commits: &[FakeGitCommit], now: DateTime<Utc>) -> Vec<FakeDeployment> {
    let mut deployments = Vec::new();
    let Some(first) = commits.first() else { return deployments };
    let mut at = first.committed_at.date_naive().and_hms_opt(12, 0, 0).unwrap_or_default().and_utc();
    let mut last = None;
    while at < now {
        if at.weekday().num_days_from_monday() == 3
            && let Some(newest) = newest_at(commits, at).filter(|newest| last != Some(*newest))
        {
            let number = 100_000 + i64::try_from(deployments.len()).unwrap_or_default();
            deployments.push(ended(repository, number, &commits[newest].oid, at, "success"));
            last = Some(newest);
        }
        at += TimeDelta::days(1);
    }
    deployments
}

struct History {
    random: Random,
    /// A separate generator for later additions, so that the times of opening and merging stay the same.
    details: Random,
    pull_requests: Vec<FakePullRequest>,
    now: DateTime<Utc>,
}

impl History {
    /// Up to `per_week` pull requests in the working days after `monday`.
    fn week_of(&mut self, user: &FakeUser, repository: &str, monday: DateTime<Utc>, per_week: u32) {
        for _ in 0..self.random.below(per_week + 1) {
            let created = monday + TimeDelta::minutes(i64::from(self.random.below(4 * 24 * 60 + 9 * 60)));
            // Mostly hours, sometimes days: the product of two draws has a long tail, like real data.
            let minutes = 20 + i64::from(self.random.below(90)) * i64::from(self.random.below(60));
            self.add(Some(user.clone()), repository, created, TimeDelta::minutes(minutes));
        }
    }

    fn add(&mut self, user: Option<FakeUser>, repository: &str, created: DateTime<Utc>, open_for: TimeDelta) {
        // Drawn before anything depends on the clock, so that the history is the same on every run within a week.
        let is_merged = open_for > TimeDelta::weeks(1) || self.random.below(12) > 0;
        let details = self.details_of(user.as_ref(), created, open_for);
        if created > self.now {
            return;
        }
        let number = i64::try_from(self.pull_requests.len()).unwrap_or_default() + 1;
        let mut pull_request = pr(repository, number).by_user(user);
        pull_request.created_at = created;
        pull_request.updated_at = created;
        let ended = created + open_for;
        if ended < self.now {
            pull_request = if is_merged {
                pull_request.merged_at_instant(ended)
            } else {
                FakePullRequest { closed_at: Some(ended), updated_at: ended, ..pull_request }
            };
        }
        let now = self.now;
        let reviews = details.reviews.into_iter().filter(|review| review.submitted_at.is_some_and(|at| at < now));
        pull_request = FakePullRequest { reviews: reviews.collect(), commits: details.commits, ..pull_request };
        (pull_request.additions, pull_request.deletions) = (details.additions, details.additions / 3);
        self.pull_requests.push(pull_request);
    }

    /// A first commit some hours before the opening, then usually a comment and an approval by someone else.
    fn details_of(&mut self, user: Option<&FakeUser>, created: DateTime<Utc>, open_for: TimeDelta) -> Details {
        let coding = 15 + self.details.below(60) * self.details.below(20);
        let committed_at = created - TimeDelta::minutes(i64::from(coding));
        let mut part = |of: TimeDelta, from: u32, up_to: u32| {
            of * i32::try_from(from + self.details.below(up_to - from)).unwrap_or_default() / 100
        };
        let commented_after = part(open_for, 5, 55);
        let approved_after = commented_after + part(open_for - commented_after, 0, 90);
        let author = user.map(|user| user.login.as_str());
        let others = ["ana", "deniz", "emil", "carla"].into_iter().filter(|login| Some(*login) != author);
        let reviewer = others.map(FakeUser::person).nth(self.details.below(3) as usize);
        let review = |state: &str, after: TimeDelta| FakeReview {
            user: reviewer.clone(),
            state: state.to_owned(),
            submitted_at: Some(created + after),
            dismissed_from: None,
        };
        let mut reviews = vec![review("COMMENTED", commented_after), review("APPROVED", approved_after)];
        if self.details.below(8) == 0 {
            reviews.clear();
        }
        let commits = vec![FakeCommit { authored_at: committed_at, committed_at }];
        Details { reviews, commits, additions: 3 + i64::from(self.details.below(20) * self.details.below(20)) }
    }
}

/// GraphQL's data about a pull request.
struct Details {
    reviews: Vec<FakeReview>,
    commits: Vec<FakeCommit>,
    additions: i64,
}

/// Numbers that are the same on every machine (a linear congruential generator, Knuth's constants).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from((self.0 >> 33) % u64::from(bound)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::at;

    #[test]
    fn the_organization_is_the_same_every_run() {
        let ended = |now| -> Vec<FakePullRequest> {
            let before = at("2026-06-15T00:00:00Z");
            let all = organization(at(now)).pull_requests.into_iter();
            all.filter(|pull_request| pull_request.closed_at.is_some_and(|closed| closed < before))
                .map(|pull_request| FakePullRequest {
                    number: 0,
                    id: 0,
                    title: String::new(),
                    merge_commit: None,
                    ..pull_request
                })
                .collect()
        };
        assert_eq!(ended("2026-06-15T12:00:00Z"), ended("2026-06-18T12:00:00Z"));
        assert!(ended("2026-06-18T12:00:00Z").len() > 250);
    }

    #[test]
    fn the_synthetic_teams_file_is_valid() {
        let file = organization(at("2026-06-17T12:00:00Z")).teams_file;
        let parsed = mergeline_domain::teams_file::TeamsFile::parse("demo", file.as_bytes());
        assert_eq!(parsed.map_or_else(|problems| panic!("{problems}"), |file| file.teams.len()), 3);
    }
}
