//! Checks across the whole teams file: each a small function that notes what it finds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::reader::{Draft, Placed};
use super::{MemberEntry, TeamsFile};
use crate::{GithubId, Login, Period, Problem, Weight};

pub(super) fn check(draft: &Draft, problems: &mut Vec<Problem>) {
    nothing_is_empty(draft, problems);
    repositories_are_listed_once(draft, problems);
    slugs_are_unique(draft, problems);
    logins_and_numbers_agree(draft, problems);
    periods_in_one_team_do_not_overlap(draft, problems);
    if !draft.allow_weights_above_one {
        weights_sum_to_one_at_most(draft, problems);
    }
}

fn problem<T>(code: &'static str, place: &Placed<T>, message: String, help: &str) -> Problem {
    let (at, path) = (Some(place.at), place.path.clone());
    Problem { code, at, path, message, help: Some(help.to_owned()), related: None }
}

fn nothing_is_empty(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut empty = |path: &str, help: &str| {
        // A list that could not be read, or a file that is no mapping at all, has been reported already.
        let is_reported = |problem: &Problem| problem.path.is_empty() || problem.path.to_lowercase().starts_with(path);
        if !problems.iter().any(is_reported) {
            let message = format!("no {path} are configured");
            let (path, help) = (path.to_owned(), Some(help.to_owned()));
            problems.push(Problem { code: "config.empty", at: None, path, message, help, related: None });
        }
    };
    if draft.repositories.is_empty() {
        empty(
            "repositories",
            "name at least one repository as `owner/name` (`repositories` in the file, else REPOSITORIES)",
        );
    }
    if draft.teams.is_empty() {
        empty("teams", "describe at least one team with its members");
    }
}

fn repositories_are_listed_once(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for repository in &draft.repositories {
        if let Some(first) = seen.insert(&repository.value, repository.at) {
            let message = format!("`{}` is listed twice (case does not matter)", repository.value);
            let mut problem = problem("config.duplicate_repo", repository, message, "keep one of them");
            problem.related = Some(first);
            problems.push(problem);
        }
    }
}

fn slugs_are_unique(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for team in &draft.teams {
        let Some(slug) = &team.value.slug else { continue };
        if let Some(first) = seen.insert(slug, team.at) {
            let message = format!("the slug `{slug}` is taken by another team");
            let mut problem = problem("config.duplicate_team", team, message, "give each team a slug of its own");
            problem.related = Some(first);
            problems.push(problem);
        }
    }
}

fn members(draft: &Draft) -> impl Iterator<Item = &Placed<MemberEntry>> {
    draft.teams.iter().flat_map(|team| &team.value.members)
}

fn logins_and_numbers_agree(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut by_login: HashMap<&Login, &Placed<MemberEntry>> = HashMap::new();
    let mut by_id: HashMap<GithubId, &Placed<MemberEntry>> = HashMap::new();
    for member in members(draft) {
        let Some(id) = member.value.github_id else { continue };
        let login = &member.value.login;
        let same_login = *by_login.entry(login).or_insert(member);
        let same_id = *by_id.entry(id).or_insert(member);
        let other = if same_login.value.github_id != Some(id) {
            Some((same_login, format!("`{login}` has two account numbers")))
        } else if same_id.value.login != *login {
            Some((same_id, format!("account {id} has two logins, `{}` and `{login}`", same_id.value.login)))
        } else {
            None
        };
        if let Some((other, message)) = other {
            let mut problem =
                problem("config.person_id", member, message, "write the same login and number everywhere");
            problem.related = Some(other.at);
            problems.push(problem);
        }
    }
}

fn periods_in_one_team_do_not_overlap(draft: &Draft, problems: &mut Vec<Problem>) {
    for team in &draft.teams {
        let mut by_login: HashMap<&Login, Vec<&Placed<MemberEntry>>> = HashMap::new();
        for member in &team.value.members {
            let earlier = by_login.entry(&member.value.login).or_default();
            if let Some(other) = earlier.iter().find(|other| other.value.period.overlaps(&member.value.period)) {
                let message = format!("`{}` is in this team twice at the same time", member.value.login);
                let help = "end the first membership where the second starts: `to` is the first day after it";
                let mut problem = problem("config.period_overlap", member, message, help);
                problem.related = Some(other.at);
                problems.push(problem);
            }
            earlier.push(member);
        }
    }
}

fn weights_sum_to_one_at_most(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut by_login: BTreeMap<&Login, Vec<&Placed<MemberEntry>>> = BTreeMap::new();
    for member in members(draft) {
        by_login.entry(&member.value.login).or_default().push(member);
    }
    for (login, members) in by_login {
        let shares: Vec<(Period, Weight)> = members.iter().map(|m| (m.value.period, m.value.weight)).collect();
        let Some((from, units)) = first_sum_above_one(&shares) else { continue };
        let inside: Vec<_> = members.iter().filter(|m| from.is_none_or(|at| m.value.period.contains(at))).collect();
        let (Some(first), Some(last)) = (inside.first(), inside.last()) else { continue };
        let since = from.map_or_else(
            || "the beginning".to_owned(),
            |at| at.with_timezone(&draft.timezone).date_naive().to_string(),
        );
        let message = format!("the weights of `{login}` sum to {} from {since}", Weight::format_units(units));
        let help = "make them sum to 1 at most, or set `allow_weights_above_one: true`";
        let mut problem = problem("config.weight_sum", last, message, help);
        problem.related = Some(first.at);
        problems.push(problem);
    }
}

/// The start of the first span in which concurrent weights sum to more than one person, with the sum in
/// ten-thousandths. The start is `None` for the beginning of time.
pub(crate) fn first_sum_above_one(shares: &[(Period, Weight)]) -> Option<(Option<DateTime<Utc>>, u64)> {
    sums(shares).into_iter().find(|(_, units)| *units > u64::from(Weight::UNITS))
}

/// The sum of concurrent weights from each instant at which it may change, in order.
fn sums(shares: &[(Period, Weight)]) -> Vec<(Option<DateTime<Utc>>, u64)> {
    let edges: BTreeSet<Option<DateTime<Utc>>> = shares.iter().map(|(period, _)| period.from()).collect();
    edges
        .into_iter()
        .map(|edge| {
            let holds = |period: &Period| match edge {
                Some(at) => period.contains(at),
                None => period.from().is_none(),
            };
            (edge, shares.iter().filter(|(period, _)| holds(period)).map(|(_, weight)| u64::from(weight.units())).sum())
        })
        .collect()
}

impl TeamsFile {
    /// The people whose weights sum to less than 1 at `now`, with what is left in ten-thousandths.
    ///
    /// Their pull requests count for that share in no team: reported, not lost.
    pub fn unallocated(&self, now: DateTime<Utc>) -> Vec<(Login, u64)> {
        let mut sums: BTreeMap<&Login, u64> = BTreeMap::new();
        for member in self.teams.iter().flat_map(|team| &team.members) {
            if member.period.contains(now) {
                *sums.entry(&member.login).or_default() += u64::from(member.weight.units());
            }
        }
        let full = u64::from(Weight::UNITS);
        sums.into_iter().filter(|(_, sum)| *sum < full).map(|(login, sum)| (login.clone(), full - sum)).collect()
    }
}
