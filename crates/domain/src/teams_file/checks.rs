//! Checks across the whole teams file. Each is a small function that records what it finds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::MemberEntry;
use super::access::lines_are_about_different_people;
use super::channels::channels_are_listed_once;
use super::goals::{goals_are_of_shares, goals_of_one_id_follow_each_other};
use super::metrics::metrics_are_few_and_different;
use super::people::FilePeople;
use super::reader::{Draft, Placed};
use crate::delivery::{DeploymentSource, SourceRules};
use crate::{ExternalId, Login, Period, Problem, RepoEntry, TeamSlug, Weight};

pub(super) fn check(draft: &Draft, problems: &mut Vec<Problem>) {
    nothing_is_empty(draft, problems);
    repositories_are_listed_once(draft, problems);
    exclusions_follow_what_they_exclude(draft, problems);
    slugs_are_unique(draft, problems);
    former_slugs_are_nobody_elses(draft, problems);
    instances_are_listed_once(draft, problems);
    logins_and_numbers_agree(draft, problems);
    people_have_one_account_at_each_forge(draft, problems);
    periods_in_one_team_do_not_overlap(draft, problems);
    services_are_named_once(draft, problems);
    services_have_collected_repositories(draft, problems);
    services_of_one_repository_are_told_apart(draft, problems);
    merges_have_no_paths(draft, problems);
    services_have_known_owners(draft, problems);
    owners_sum_to_one_at_most(draft, problems);
    lines_are_about_different_people(draft, problems);
    named_teams_are_known(draft, problems);
    goals_are_of_shares(draft, problems);
    goals_of_one_id_follow_each_other(draft, problems);
    channels_are_listed_once(draft, problems);
    metrics_are_few_and_different(draft, problems);
    if !draft.allow_weights_above_one {
        weights_sum_to_one_at_most(draft, problems);
    }
}

pub(super) fn problem<T>(code: &'static str, place: &Placed<T>, message: String, help: &str) -> Problem {
    let (at, path) = (Some(place.at), place.path.clone());
    Problem { code, at, path, message, help: Some(help.to_owned()), related: None }
}

fn nothing_is_empty(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut empty = |path: &str, help: &str| {
        // A list that could not be read, or a file that is not a mapping at all, was already reported.
        let is_reported = |problem: &Problem| problem.path.is_empty() || problem.path.to_lowercase().starts_with(path);
        if !problems.iter().any(is_reported) {
            let message = format!("no {path} are configured");
            let (path, help) = (path.to_owned(), Some(help.to_owned()));
            problems.push(Problem { code: "config.empty", at: None, path, message, help, related: None });
        }
    };
    let has_pattern = draft.repositories.iter().any(|entry| matches!(entry.value, RepoEntry::Pattern(_)));
    let is_named = !draft.named().is_empty();
    if !has_pattern && !is_named {
        empty(
            "repositories",
            "name at least one repository as `owner/name` (`repositories` in the file, else REPOSITORIES)",
        );
    }
    if draft.teams.is_empty() {
        empty("teams", "describe at least one team with its members");
    }
    if has_pattern && !is_named {
        problems.extend(nothing_is_left(draft));
    }
}

/// The problem of exclusions that leave nothing of any pattern.
fn nothing_is_left(draft: &Draft) -> Option<Problem> {
    let mut last = None;
    for (index, entry) in draft.repositories.iter().enumerate() {
        let RepoEntry::Pattern(pattern) = &entry.value else { continue };
        let covers = |later: &&Placed<RepoEntry>| matches!(&later.value, RepoEntry::Exclusion(exclusion) if exclusion.covers(pattern));
        last = Some((draft.repositories[index..].iter().find(covers)?, pattern));
    }
    let (exclusion, pattern) = last?;
    let message = format!("`{}` excludes everything from `{pattern}`: no repositories are configured", exclusion.value);
    let help = "remove one of the two, or list the repositories to collect after them";
    Some(problem("config.empty", exclusion, message, help))
}

fn repositories_are_listed_once(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for (index, repository) in draft.repositories.iter().enumerate() {
        if let Some((first, at)) = seen.insert(&repository.value, (index, repository.at)) {
            if is_changed_by(&draft.repositories[first..index], &repository.value) {
                continue;
            }
            let first = at;
            let message = format!("`{}` is listed twice (case does not matter)", repository.value);
            let mut problem = problem("config.duplicate_repo", repository, message, "keep one of them");
            problem.related = Some(first);
            problems.push(problem);
        }
    }
}

/// Whether an entry between two equal entries can change the result, so that the second one is not redundant.
fn is_changed_by(between: &[Placed<RepoEntry>], entry: &RepoEntry) -> bool {
    let is_exclusion = |entry: &RepoEntry| matches!(entry, RepoEntry::Exclusion(_));
    between.iter().any(|other| {
        is_exclusion(&other.value) != is_exclusion(entry)
            && match (&other.value, entry) {
                (RepoEntry::Name(name), other) | (other, RepoEntry::Name(name)) => other.matches(name),
                (other, entry) => other.owner() == entry.owner(),
            }
    })
}

fn exclusions_follow_what_they_exclude(draft: &Draft, problems: &mut Vec<Problem>) {
    for (index, entry) in draft.repositories.iter().enumerate() {
        let RepoEntry::Exclusion(exclusion) = &entry.value else { continue };
        let is_meant = |earlier: &Placed<RepoEntry>| match &earlier.value {
            RepoEntry::Name(name) => exclusion.matches(name),
            RepoEntry::Pattern(pattern) => pattern.owner() == exclusion.owner(),
            RepoEntry::Exclusion(_) => false,
        };
        if !draft.repositories[..index].iter().any(is_meant) {
            let message = format!("`{exclusion}` excludes nothing: no earlier entry matches the same repositories");
            let help = format!("write it after the pattern that it narrows, for example `{}/*`", exclusion.owner());
            problems.push(problem("config.exclusion", entry, message, &help));
        }
    }
}

fn slugs_are_unique(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for team in &draft.teams {
        let Some(slug) = &team.value.slug else { continue };
        if let Some(first) = seen.insert(slug, team.at) {
            let message = format!("the slug `{slug}` is taken by another team");
            let mut problem = problem("config.duplicate_team", team, message, "give each team its own slug");
            problem.related = Some(first);
            problems.push(problem);
        }
    }
}

fn former_slugs_are_nobody_elses(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut renamed: HashMap<&TeamSlug, &Placed<TeamSlug>> = HashMap::new();
    for former in draft.teams.iter().filter_map(|team| team.value.renamed_from.as_ref()) {
        let (message, other) = if let Some(other) = renamed.insert(&former.value, former) {
            (format!("two teams cannot both be `{}` under a new slug", former.value), other.at)
        } else if let Some(team) = draft.teams.iter().find(|team| team.value.slug.as_ref() == Some(&former.value)) {
            (format!("`{}` is a team of this file", former.value), team.at)
        } else {
            continue;
        };
        let help = "name the former slug of this team, which no team has now, or leave it out";
        let mut problem = problem("config.renamed_from", former, message, help);
        problem.related = Some(other);
        problems.push(problem);
    }
}

fn members(draft: &Draft) -> impl Iterator<Item = &Placed<MemberEntry>> {
    draft.teams.iter().flat_map(|team| &team.value.members)
}

fn logins_and_numbers_agree(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut by_login: HashMap<&Login, &Placed<MemberEntry>> = HashMap::new();
    for member in members(draft) {
        if member.value.external_id.is_none() {
            continue;
        }
        let login = &member.value.login;
        let first = *by_login.entry(login).or_insert(member);
        if first.value.external_id != member.value.external_id {
            let message = format!("`{login}` has two account numbers");
            let help = "write one number beside each login; a renamed account keeps its number under both logins";
            let mut problem = problem("config.person_id", member, message, help);
            problem.related = Some(first.at);
            problems.push(problem);
        }
    }
}

fn instances_are_listed_once(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for instance in &draft.instances {
        if let Some(first) = seen.insert(instance.value.forge, instance.at) {
            let message = format!("there are two instances of `{}`", instance.value.forge);
            let help = "keep one of them: Mergeline knows one server of each forge";
            let mut problem = problem("config.instance", instance, message, help);
            problem.related = Some(first);
            problems.push(problem);
        }
    }
}

/// A person has one account at each forge. A renamed account has two logins with one number.
fn people_have_one_account_at_each_forge(draft: &Draft, problems: &mut Vec<Problem>) {
    let people = people(draft);
    let numbers: HashMap<&Login, &ExternalId> =
        members(draft).filter_map(|member| Some((&member.value.login, member.value.external_id.as_ref()?))).collect();
    let mut known = HashMap::new();
    for member in members(draft) {
        for login in member.value.logins() {
            let (first, place) = *known.entry((people.person(login), login.forge())).or_insert((login, member));
            let is_same = first == login
                || numbers.get(first).zip(numbers.get(login)).is_some_and(|(first, number)| first == number);
            if !is_same {
                let message = format!("`{first}` and `{login}` would be two accounts of one person at one forge");
                let help = "write the same logins on all lines of a person, or the same `id` if it is one account";
                let mut problem = problem("config.accounts", member, message, help);
                problem.related = Some(place.at);
                problems.push(problem);
            }
        }
    }
}

/// The people of the file.
fn people(draft: &Draft) -> FilePeople<'_> {
    FilePeople::of(members(draft).map(|member| &member.value))
}

fn periods_in_one_team_do_not_overlap(draft: &Draft, problems: &mut Vec<Problem>) {
    let people = people(draft);
    for team in &draft.teams {
        let mut by_person: HashMap<Option<usize>, Vec<&Placed<MemberEntry>>> = HashMap::new();
        for member in &team.value.members {
            let login = &member.value.login;
            let earlier = by_person.entry(people.person(login)).or_default();
            if let Some(other) = earlier.iter().find(|other| other.value.period.overlaps(&member.value.period)) {
                let message = if other.value.login == *login {
                    format!("`{login}` is in this team twice at the same time")
                } else {
                    let other = &other.value.login;
                    format!("`{other}` and `{login}` are one person, who is in this team twice at the same time")
                };
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
    let people = people(draft);
    let mut by_person: BTreeMap<Option<usize>, Vec<&Placed<MemberEntry>>> = BTreeMap::new();
    for member in members(draft) {
        by_person.entry(people.person(&member.value.login)).or_default().push(member);
    }
    for members in by_person.into_values() {
        let shares: Vec<(Period, Weight)> = members.iter().map(|m| (m.value.period, m.value.weight)).collect();
        let Some((from, units)) = first_sum_above_one(&shares) else { continue };
        let inside: Vec<_> = members.iter().filter(|m| from.is_none_or(|at| m.value.period.contains(at))).collect();
        let (Some(first), Some(last)) = (inside.first(), inside.last()) else { continue };
        let since = from.map_or_else(
            || "the beginning".to_owned(),
            |at| at.with_timezone(&draft.timezone).date_naive().to_string(),
        );
        let login = &last.value.login;
        let message = format!("the weights of `{login}` sum to {} from {since}", Weight::format_units(units));
        let help = "make them sum to 1 at most, or set `allow_weights_above_one: true`";
        let mut problem = problem("config.weight_sum", last, message, help);
        problem.related = Some(first.at);
        problems.push(problem);
    }
}

fn services_are_named_once(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for service in &draft.delivery.services {
        if let Some(first) = seen.insert(&service.value.slug, service.at) {
            let message = format!("the slug `{}` is taken by another service", service.value.slug);
            let mut problem = problem("config.duplicate_service", service, message, "give each service its own slug");
            problem.related = Some(first);
            problems.push(problem);
        }
        if service.value.repositories.is_empty() {
            let message = format!("`{}` has no repositories", service.value.slug);
            problems.push(problem("config.empty", service, message, "name at least one as `owner/name`"));
        }
    }
}

fn services_have_collected_repositories(draft: &Draft, problems: &mut Vec<Problem>) {
    for service in &draft.delivery.services {
        for (index, name) in service.value.repositories.iter().enumerate() {
            if service.value.repositories[..index].contains(name) {
                let message = format!("`{name}` is listed twice in the service `{}`", service.value.slug);
                problems.push(problem("config.duplicate_repo", service, message, "keep one of them"));
                continue;
            }
            let last = draft.repositories.iter().rev().find(|entry| entry.value.matches(name));
            if last.is_none_or(|entry| matches!(entry.value, RepoEntry::Exclusion(_))) {
                let message = format!("`{name}` of the service `{}` is not collected", service.value.slug);
                let help = "add it to `repositories` of the file, or take it out of the service";
                problems.push(problem("config.service_repository", service, message, help));
            }
        }
    }
}

/// Each merge of a repository would be a deployment of the service, also of what it does not have.
fn merges_have_no_paths(draft: &Draft, problems: &mut Vec<Problem>) {
    let default = draft.delivery.settings.source_rules();
    for service in draft.delivery.services.iter().filter(|service| service.value.paths.is_some()) {
        let source = service.value.source_rules().or_else(|| default.clone());
        if source.is_some_and(|rules| rules.source == DeploymentSource::Merges) {
            let message = format!(
                "`{}` has `paths`, but each merge into its branch counts as its deployment",
                service.value.slug
            );
            let help = "name another source of its deployments, or leave `paths` out";
            problems.push(problem("config.service_paths", service, message, help));
        }
    }
}

/// A deployment belongs to one service: where a repository has several, their sources or environments must tell which.
fn services_of_one_repository_are_told_apart(draft: &Draft, problems: &mut Vec<Problem>) {
    let settings = &draft.delivery.settings;
    // Without any, GitHub's list is the first that is read.
    let default = || settings.source_rules().unwrap_or(SourceRules::all_of(DeploymentSource::GithubDeployments));
    let source_of = |service: &super::ServiceEntry| service.source_rules().unwrap_or_else(default);
    let mut earlier: HashMap<&crate::RepoName, Vec<&Placed<super::ServiceEntry>>> = HashMap::new();
    for service in &draft.delivery.services {
        let source = source_of(&service.value);
        for name in &service.value.repositories {
            let others = earlier.entry(name).or_default();
            let takes_the_same = |other: &&&Placed<super::ServiceEntry>| {
                let (named, of) = (source_of(&other.value), &other.value);
                let has_environments = of.environments.is_some() || service.value.environments.is_some();
                of.slug != service.value.slug && both_take(&named, &source, has_environments)
            };
            if let Some(first) = others.iter().rev().find(takes_the_same) {
                let message = format!(
                    "`{}` and `{}` both take the deployments of `{name}`",
                    first.value.slug, service.value.slug
                );
                let help = match source.source {
                    DeploymentSource::GithubDeployments => {
                        "name the production environments of one of them in `environments`, or make them one service"
                    }
                    _ => {
                        "give each a `workflow`, `branch` or `tag` of its own in `deployments`, or make them one service"
                    }
                };
                let mut problem = problem("config.service_environments", service, message, help);
                problem.related = Some(first.at);
                problems.push(problem);
            }
            others.push(service);
        }
    }
}

/// Whether a deployment may be one of both sources.
fn both_take(one: &SourceRules, other: &SourceRules, has_environments: bool) -> bool {
    let (of_one, of_other) = (&one.options, &other.options);
    let is_same = |one: &Option<String>, other: &Option<String>| {
        one.as_ref().zip(other.as_ref()).is_none_or(|(one, other)| one == other)
    };
    one.source == other.source
        && match one.source {
            DeploymentSource::GithubDeployments => !has_environments,
            DeploymentSource::GithubActions => {
                is_same(&of_one.workflow, &of_other.workflow) && is_same(&of_one.branch, &of_other.branch)
            }
            // As far as patterns tell: one is often a part of the other.
            DeploymentSource::GithubReleases => {
                of_one.tag.as_ref().zip(of_other.tag.as_ref()).is_none_or(|(one, other)| {
                    let has = |pattern: &str, tag: &str| glob::Pattern::new(pattern).is_ok_and(|it| it.matches(tag));
                    has(one, other) || has(other, one)
                })
            }
            DeploymentSource::Merges => is_same(&of_one.branch, &of_other.branch),
            // What is posted names its service.
            DeploymentSource::Events => false,
        }
}

/// The teams of the file.
fn team_slugs(draft: &Draft) -> BTreeSet<&TeamSlug> {
    draft.teams.iter().filter_map(|team| team.value.slug.as_ref()).collect()
}

fn named_teams_are_known(draft: &Draft, problems: &mut Vec<Problem>) {
    let known = team_slugs(draft);
    for named in draft.named_teams.iter().filter(|named| !known.contains(&named.slug.value)) {
        let message = format!("there is no team `{}` in this file", named.slug.value);
        problems.push(problem(named.code, &named.slug, message, "name a team of this file by its slug"));
    }
}

fn services_have_known_owners(draft: &Draft, problems: &mut Vec<Problem>) {
    let known = team_slugs(draft);
    for service in &draft.delivery.services {
        for owner in service.value.owners.iter().filter(|owner| !known.contains(&owner.team)) {
            let message = format!("the owner `{}` of `{}` is not a team of this file", owner.team, service.value.slug);
            problems.push(problem("config.service_owner", service, message, "write the slug of a team"));
        }
    }
}

fn owners_sum_to_one_at_most(draft: &Draft, problems: &mut Vec<Problem>) {
    for service in &draft.delivery.services {
        let owners = &service.value.owners;
        let periods = || owners.iter().filter_map(|owner| Some((owner, owner.period()?)));
        let overlap = periods().enumerate().find_map(|(index, (owner, period))| {
            let is_same = |(other, of): &(&super::OwnerEntry, Period)| other.team == owner.team && of.overlaps(&period);
            periods().skip(index + 1).find(is_same)
        });
        if let Some((owner, _)) = overlap {
            let message = format!("`{}` owns `{}` twice at the same time", owner.team, service.value.slug);
            let help = "end the first line where the second starts: `to` is the first day after it";
            problems.push(problem("config.period_overlap", service, message, help));
            continue;
        }
        let shares: Vec<(Period, Weight)> = periods().map(|(owner, period)| (period, owner.weight)).collect();
        if let Some((_, units)) = first_sum_above_one(&shares) {
            let message = format!("the owners of `{}` sum to {}", service.value.slug, Weight::format_units(units));
            problems.push(problem("config.weight_sum", service, message, "make them sum to 1 at most"));
        }
    }
}

/// The start of the first span in which concurrent weights sum to more than one person, with the sum in
/// ten-thousandths. The start is `None` for the beginning of time.
pub(crate) fn first_sum_above_one(shares: &[(Period, Weight)]) -> Option<(Option<DateTime<Utc>>, u64)> {
    sums(shares).into_iter().find(|(_, units)| *units > u64::from(Weight::UNITS))
}

/// The sum of concurrent weights from each instant at which it can change, in order.
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
