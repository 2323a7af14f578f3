//! The expected state of GitHub and the teams file, kept separately from both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use mergeline_domain::Weight;
use mergeline_fake_github::{FakeDeployment, FakeGitCommit, FakeIssue, FakePullRequest};

use crate::deliveries::{LABEL, Services};

/// A repository that is configured while it exists.
#[derive(Debug, Clone, Default)]
pub(crate) struct Repository {
    /// What the teams file calls it.
    pub(crate) configured: String,
    /// What GitHub calls it.
    pub(crate) name: String,
    /// GitHub's number.
    pub(crate) id: i64,
    /// Its pull requests by number; undecodable ones too.
    pub(crate) pull_requests: BTreeMap<i64, FakePullRequest>,
    /// The numbers of those that GitHub fails to return.
    pub(crate) unreadable: BTreeSet<i64>,
    /// Its commits by their ids.
    pub(crate) commits: BTreeMap<String, FakeGitCommit>,
    /// The commits of the main line, oldest first.
    pub(crate) main: Vec<String>,
    /// Its deployments by their ids.
    pub(crate) deployments: BTreeMap<i64, FakeDeployment>,
    /// Its issues by number.
    pub(crate) issues: BTreeMap<i64, FakeIssue>,
}

/// One person's shares: a team, ten-thousandths, from and to as days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) team: &'static str,
    pub(crate) units: u16,
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
}

/// The teams file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Teams {
    /// Shares by person. A person without shares is not a member.
    pub(crate) shares: BTreeMap<&'static str, Vec<Share>>,
    /// Whether repositories are named by `acme/*`.
    pub(crate) has_pattern: bool,
    /// What is deployed as one.
    pub(crate) services: Services,
}

pub(crate) const TEAMS: [&str; 3] = ["one", "two", "three"];

/// The first day of everything.
pub(crate) fn day(number: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date") + Days::new(number)
}

impl Teams {
    pub(crate) fn text(&self, repositories: &[Repository]) -> String {
        let names: Vec<&str> = if self.has_pattern {
            vec!["'acme/*'"]
        } else {
            repositories.iter().map(|repository| repository.configured.as_str()).collect()
        };
        let mut text = format!(
            "version: 1\nrepositories: [{}]\nincidents: {{ issues: {{ labels: [{LABEL}] }} }}\n{}teams:\n",
            names.join(", "),
            self.services.text(repositories, self.has_pattern)
        );
        for team in TEAMS {
            let mut members = String::new();
            for (person, shares) in &self.shares {
                for share in shares.iter().filter(|share| share.team == team) {
                    let weight = Weight::from_units(share.units).expect("in range");
                    let _ = write!(members, "\n      - {{ github: {person}, weight: {weight}");
                    for (key, at) in [("from", share.from), ("to", share.to)] {
                        if let Some(at) = at {
                            let _ = write!(members, ", {key}: {}", day(at));
                        }
                    }
                    members.push_str(" }");
                }
            }
            let members = if members.is_empty() { " []".to_owned() } else { members };
            let _ = writeln!(text, "  - slug: {team}\n    members:{members}");
        }
        text
    }

    /// Whether a person's change at this time must be known: what came before all memberships does not count.
    pub(crate) fn concerns(&self, login: &str, changed_at: DateTime<Utc>) -> bool {
        let begins = |share: &Share| share.from.map(|from| day(from).and_time(NaiveTime::MIN).and_utc());
        let shares = self.shares.get(login).map_or(&[][..], Vec::as_slice);
        shares.iter().any(|share| begins(share).is_none_or(|begins| begins <= changed_at))
    }
}

/// Whether the collector can decode it.
pub(crate) fn is_decodable(pull_request: &FakePullRequest) -> bool {
    pull_request.overrides.is_empty()
}

pub(crate) fn author(pull_request: &FakePullRequest) -> Option<&str> {
    pull_request.user.as_ref().map(|user| user.login.as_str())
}

pub(crate) fn state(pull_request: &FakePullRequest) -> &'static str {
    match (pull_request.merged_at, pull_request.closed_at) {
        (Some(_), _) => "merged",
        (None, Some(_)) => "closed",
        (None, None) => "open",
    }
}

/// The reviews by people who are not the author, the first one first.
pub(crate) fn reviewed_at(pull_request: &FakePullRequest) -> Vec<DateTime<Utc>> {
    let author = author(pull_request);
    let reviews = pull_request.reviews.iter().filter(|review| {
        review.user.as_ref().is_some_and(|user| user.kind == "User" && Some(user.login.as_str()) != author)
    });
    let mut times: Vec<DateTime<Utc>> = reviews.filter_map(|review| review.submitted_at).collect();
    times.sort_unstable();
    times
}
