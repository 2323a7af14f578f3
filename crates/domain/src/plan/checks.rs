//! Checks on everyone, after logins were resolved to people and former teams were added.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{PlannedPerson, Terms, Who};
use crate::teams_file::{TeamsFile, first_sum_above_one};
use crate::{Forge, Login, Problem, Problems, TeamSlug, Weight};

/// The problem of people whose lines name two accounts at GitHub, which are two people there.
pub(super) fn two_accounts_at_github(people: &[PlannedPerson]) -> Vec<Problem> {
    let problem = |person: &PlannedPerson| {
        let mut logins =
            person.accounts.iter().map(|account| &account.login).filter(|login| login.forge() == Forge::GitHub);
        let (first, second) = (logins.next()?, logins.next()?);
        let message = format!("`{first}` and `{second}` stand beside logins of one account at another forge");
        let help = "write another login there for one of the two, or the same `id` beside both if they are one account";
        Some(Problem::setting("config.accounts", first.as_str(), message, help))
    };
    people.iter().filter_map(problem).collect()
}

/// Each person's memberships after the plan.
#[derive(Default)]
pub(super) struct Holdings {
    by_person: BTreeMap<Who, Vec<Holding>>,
}

/// A membership after the plan.
pub(super) struct Holding {
    pub(super) login: Login,
    pub(super) team: TeamSlug,
    pub(super) terms: Terms,
    pub(super) standing: Standing,
}

/// What the file does with a membership's team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It was unknown before.
    New,
    /// It was archived and is restored.
    Restored,
    /// It is in the file, as before.
    Kept,
    /// It is no longer in the file.
    Leaving,
    /// It was already archived and is not in the file.
    Archived,
}

impl Holding {
    /// Whether the team is not in the file.
    fn is_former(&self) -> bool {
        matches!(self.standing, Standing::Leaving | Standing::Archived)
    }

    /// Whether the team is in the file and was not in the previous one.
    fn is_of_an_arriving_team(&self) -> bool {
        matches!(self.standing, Standing::New | Standing::Restored)
    }
}

/// A team that leaves the file, and its people who are at the same time in teams that join it.
#[derive(Default)]
struct Succession<'a> {
    /// People who were in it until now, and until when.
    members: BTreeSet<Who>,
    until: Option<DateTime<Utc>>,
    /// Those of them whose past would count twice.
    doubled: BTreeMap<Who, &'a Login>,
    /// The teams for which it would, with the number of people.
    successors: BTreeMap<(&'a TeamSlug, bool), usize>,
}

impl Holdings {
    pub(super) fn add(&mut self, who: Who, holding: Holding) {
        self.by_person.entry(who).or_default().push(holding);
    }

    /// People whose shares in the file's teams sum to less than one at an instant, with the remainder in
    /// ten-thousandths.
    pub(super) fn unallocated(&self, now: DateTime<Utc>) -> Vec<(Login, u64)> {
        let full = u64::from(Weight::UNITS);
        let mut people: Vec<(Login, u64)> = self
            .by_person
            .values()
            .filter_map(|holdings| {
                let is_current = |holding: &&Holding| !holding.is_former() && holding.terms.period.contains(now);
                let login = holdings.iter().find(is_current).map(|holding| &holding.login)?;
                let sum: u64 =
                    holdings.iter().filter(is_current).map(|holding| u64::from(holding.terms.weight.units())).sum();
                (sum < full).then(|| (login.clone(), full - sum))
            })
            .collect();
        people.sort();
        people
    }

    pub(super) fn check(&self, file: &TeamsFile) -> Vec<Problem> {
        let mut list = Vec::new();
        let mut former_teams: BTreeMap<&TeamSlug, Vec<Conflict<'_>>> = BTreeMap::new();
        for holdings in self.by_person.values() {
            list.extend(overlap_in_one_team(holdings));
            if file.allow_weights_above_one {
                continue;
            }
            if let Some(conflict) = more_than_one(holdings) {
                match conflict.former {
                    Some(former) => former_teams.entry(&former.team).or_default().push(conflict),
                    None => list.push(conflict.of_this_file(file.timezone)),
                }
            }
        }
        let successions = self.successions();
        let doubled = successions.iter().filter(|(slug, succession)| {
            // Sums above 1 are reported below.
            !former_teams.contains_key(*slug) && succession.doubled.len() * 2 >= succession.members.len()
        });
        list.extend(doubled.filter_map(|(slug, succession)| same_people(slug, succession, file.timezone)));
        let former =
            former_teams.into_iter().map(|(slug, conflicts)| with_former_team(slug, &conflicts, file.timezone));
        list.extend(former);
        list
    }

    /// The teams that leave the file with this plan.
    fn successions(&self) -> BTreeMap<&TeamSlug, Succession<'_>> {
        let mut found: BTreeMap<&TeamSlug, Succession<'_>> = BTreeMap::new();
        let leaving = |holding: &&Holding| holding.standing == Standing::Leaving;
        for holding in self.by_person.values().flatten().filter(leaving) {
            let until = &mut found.entry(&holding.team).or_default().until;
            *until = (*until).max(holding.terms.period.to());
        }
        for (who, holdings) in &self.by_person {
            for former in holdings.iter().filter(leaving) {
                let Some(succession) = found.get_mut(&former.team) else { continue };
                // People who left earlier do not count for the team.
                if former.terms.period.to() != succession.until {
                    continue;
                }
                succession.members.insert(*who);
                let mut doubling: BTreeMap<_, &Login> = BTreeMap::new();
                for holding in holdings.iter().filter(|holding| holding.is_of_an_arriving_team()) {
                    if holding.terms.period.overlaps(&former.terms.period) {
                        doubling.insert((&holding.team, holding.standing == Standing::New), &holding.login);
                    }
                }
                for (team, login) in doubling {
                    succession.doubled.insert(*who, login);
                    *succession.successors.entry(team).or_default() += 1;
                }
            }
        }
        found
    }
}

fn overlap_in_one_team(holdings: &[Holding]) -> Option<Problem> {
    for (index, one) in holdings.iter().enumerate() {
        for two in &holdings[index + 1..] {
            if one.team == two.team && one.terms.period.overlaps(&two.terms.period) {
                let message = format!(
                    "`{}` and `{}` are the same GitHub account, twice in this team at the same time",
                    one.login, two.login
                );
                let help = format!(
                    "end the first membership where the second starts, or keep one of the two; if `{}` is someone else \
                     now, write the account's number beside it: `id: …`",
                    one.login
                );
                return Some(Problem::setting("config.period_overlap", one.team.as_str(), message, help));
            }
        }
    }
    None
}

/// A person whose weights sum to more than 1.
struct Conflict<'a> {
    login: &'a Login,
    units: u64,
    /// The start; `None` is the beginning of time.
    since: Option<DateTime<Utc>>,
    /// A membership in a team that is not in the file, if one is part of the sum.
    former: Option<&'a Holding>,
    /// A team that was unknown before, if one is part of the sum.
    new_team: Option<&'a TeamSlug>,
}

fn more_than_one(holdings: &[Holding]) -> Option<Conflict<'_>> {
    let shares: Vec<_> = holdings.iter().map(|holding| (holding.terms.period, holding.terms.weight)).collect();
    let (since, units) = first_sum_above_one(&shares)?;
    let holds = |holding: &&Holding| match since {
        Some(at) => holding.terms.period.contains(at),
        None => holding.terms.period.from().is_none(),
    };
    let mut counted = holdings.iter().filter(holds);
    let login =
        counted.clone().find(|holding| !holding.is_former()).or_else(|| holdings.first()).map(|one| &one.login)?;
    let new_team = counted.clone().find(|holding| holding.standing == Standing::New).map(|holding| &holding.team);
    let former = counted.find(|holding| holding.is_former());
    Some(Conflict { login, units, since, former, new_team })
}

impl Conflict<'_> {
    fn since(&self, zone: Tz) -> String {
        self.since.map_or_else(|| "the beginning".to_owned(), |at| day(at, zone))
    }

    fn of_this_file(&self, zone: Tz) -> Problem {
        let (login, units, since) = (self.login, Weight::format_units(self.units), self.since(zone));
        let message = format!("the weights of `{login}` sum to {units} from {since}");
        let help = "make them sum to 1 at most, or set `allow_weights_above_one: true`";
        Problem::setting("config.weight_sum", login.as_str(), message, help)
    }
}

fn day(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).date_naive().to_string()
}

/// The problem of a team whose people are now in another team, together with its past. Most likely the team has a new
/// slug, and everything would count twice.
fn same_people(slug: &TeamSlug, succession: &Succession<'_>, zone: Tz) -> Option<Problem> {
    let ((successor, is_new), _) = succession.successors.iter().rev().max_by_key(|(_, people)| **people)?;
    let who = people(succession.doubled.values().copied());
    let message = format!(
        "the team `{slug}` is not in the file, but its past still counts: it would count for `{successor}` again, with {who}"
    );
    let end = succession.until.map_or_else(String::new, |end| format!("`from: {}`", day(end, zone)));
    let rename = if *is_new { renamed(successor, slug) } else { String::new() };
    let help = format!(
        "{rename}if it is another team, start the memberships there when those in `{slug}` ended: {end}\n\
         if they really belonged to both at once, apply a file with neither of the two first, and `{successor}` then"
    );
    Some(Problem::setting("config.renamed_from", slug.as_str(), message, help))
}

/// `ana`, or `ana` and how many others.
fn people<'a>(logins: impl IntoIterator<Item = &'a Login>) -> String {
    let mut logins = logins.into_iter();
    let first = logins.next().map_or_else(String::new, |login| format!("`{login}`"));
    match logins.count() {
        0 => first,
        others => format!("{first} and {others} more"),
    }
}

/// The lines that keep a team's identity under a new slug.
fn renamed(successor: &TeamSlug, former: &TeamSlug) -> String {
    format!(
        "if `{successor}` is the same team under a new slug, write\n  - slug: {successor}\n    renamed_from: {former}\n"
    )
}

/// One problem for a team that is not in the file, no matter who was in it. Usually it has a new slug.
fn with_former_team(slug: &TeamSlug, conflicts: &[Conflict<'_>], zone: Tz) -> Problem {
    let mut successors: BTreeMap<&TeamSlug, usize> = BTreeMap::new();
    for team in conflicts.iter().filter_map(|conflict| conflict.new_team) {
        *successors.entry(team).or_default() += 1;
    }
    let who = people(conflicts.iter().map(|conflict| conflict.login));
    let since =
        conflicts.iter().min_by_key(|conflict| conflict.since).map_or_else(String::new, |first| first.since(zone));
    let message = format!(
        "the team `{slug}` is not in the file, but its past still counts: with it, the weights of {who} sum to more than \
         1 from {since}"
    );
    let end = conflicts.iter().filter_map(|conflict| conflict.former?.terms.period.to()).max();
    let end = end.map_or_else(String::new, |end| format!("`from: {}`", day(end, zone)));
    let help = match successors.into_iter().max_by_key(|(_, people)| *people) {
        Some((successor, _)) => format!(
            "{}if it is another team, start the memberships there when those in `{slug}` ended: {end}",
            renamed(successor, slug)
        ),
        None => format!("start the memberships in the other teams when those in `{slug}` ended: {end}"),
    };
    Problem::setting("config.weight_sum", slug.as_str(), message, help)
}

/// The problems as an error, if there are any.
pub(super) fn refuse(list: Vec<Problem>) -> Result<(), Problems> {
    if list.is_empty() { Ok(()) } else { Err(Problems::of_settings(list)) }
}
