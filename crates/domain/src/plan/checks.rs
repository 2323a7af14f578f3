//! What must hold of everybody once logins have become people and former teams are remembered.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Terms, Who};
use crate::teams_file::{TeamsFile, first_sum_above_one};
use crate::{Login, Problem, Problems, TeamSlug, Weight};

/// What each person holds after the plan.
#[derive(Default)]
pub(super) struct Holdings {
    by_person: BTreeMap<Who, Vec<Holding>>,
}

/// A membership after the plan.
pub(super) struct Holding {
    pub(super) login: Login,
    pub(super) team: TeamSlug,
    pub(super) terms: Terms,
    /// Whether the team is not in the file.
    pub(super) is_former: bool,
    /// Whether the team was unknown before.
    pub(super) is_new: bool,
}

impl Holdings {
    pub(super) fn add(&mut self, who: Who, holding: Holding) {
        self.by_person.entry(who).or_default().push(holding);
    }

    /// The people of whom less than a whole is in the file's teams at an instant, with the rest in ten-thousandths.
    pub(super) fn unallocated(&self, now: DateTime<Utc>) -> Vec<(Login, u64)> {
        let full = u64::from(Weight::UNITS);
        let mut people: Vec<(Login, u64)> = self
            .by_person
            .values()
            .filter_map(|holdings| {
                let is_current = |holding: &&Holding| !holding.is_former && holding.terms.period.contains(now);
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
        let former =
            former_teams.into_iter().map(|(slug, conflicts)| with_former_team(slug, &conflicts, file.timezone));
        list.extend(former);
        list
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
                    "end the first membership where the second starts, or keep one of the two; if `{}` is somebody else \
                     by now, write the account's number beside it: `id: …`",
                    one.login
                );
                return Some(Problem::setting("config.period_overlap", one.team.as_str(), message, help));
            }
        }
    }
    None
}

/// Somebody whose weights sum to more than 1.
struct Conflict<'a> {
    login: &'a Login,
    units: u64,
    /// Since when; `None` is the beginning of time.
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
        counted.clone().find(|holding| !holding.is_former).or_else(|| holdings.first()).map(|one| &one.login)?;
    let new_team = counted.clone().find(|holding| holding.is_new).map(|holding| &holding.team);
    let former = counted.find(|holding| holding.is_former);
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

/// One problem for a team that is not in the file, whoever was in it: mostly it has got another slug.
fn with_former_team(slug: &TeamSlug, conflicts: &[Conflict<'_>], zone: Tz) -> Problem {
    let mut successors: BTreeMap<&TeamSlug, usize> = BTreeMap::new();
    for team in conflicts.iter().filter_map(|conflict| conflict.new_team) {
        *successors.entry(team).or_default() += 1;
    }
    let who = conflicts.first().map_or_else(String::new, |first| match conflicts.len() - 1 {
        0 => format!("`{}`", first.login),
        others => format!("`{}` and {others} more", first.login),
    });
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
            "if `{successor}` is the same team under a new slug, write\n  - slug: {successor}\n    renamed_from: {slug}\n\
             if it is another team, start the memberships there when those in `{slug}` ended: {end}"
        ),
        None => format!("start the memberships in the other teams when those in `{slug}` ended: {end}"),
    };
    Problem::setting("config.weight_sum", slug.as_str(), message, help)
}

/// The problems as an error, when there are any.
pub(super) fn refuse(list: Vec<Problem>) -> Result<(), Problems> {
    if list.is_empty() { Ok(()) } else { Err(Problems::of_settings(list)) }
}
