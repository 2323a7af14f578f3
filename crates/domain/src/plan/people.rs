//! Resolves the people of a file to known or new people.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::{Current, KnownPerson, Terms};
use crate::teams_file::{MemberEntry, TeamsFile};
use crate::{GithubId, Login, PersonId, TeamSlug};

/// A person of the file, known or new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPerson {
    /// The known person; `None` for a new person.
    pub known: Option<PersonId>,
    /// The login to show: the current one if the file has several.
    pub login: Login,
    /// Other logins of the same account in the file.
    pub other_logins: Vec<Login>,
    /// The account's number, if it is in the file or known.
    pub github_id: Option<GithubId>,
    /// The current login at GitHub, if the file does not have it.
    pub now_called: Option<Login>,
    /// Whether everything about the person is already stored.
    pub is_stored: bool,
}

impl PlannedPerson {
    /// All logins of the account in the file.
    pub fn logins(&self) -> impl Iterator<Item = &Login> {
        std::iter::once(&self.login).chain(&self.other_logins)
    }
}

/// What identifies two logins of the file as one person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Identity<'a> {
    Known(PersonId),
    Number(GithubId),
    Login(&'a Login),
}

/// A team, and a person's terms in it.
type Share<'a> = (&'a TeamSlug, Terms);

/// What the file says about each login.
struct Named<'a> {
    /// The number, if the file has it.
    numbers: BTreeMap<&'a Login, Option<GithubId>>,
    shares: HashMap<&'a Login, Vec<Share<'a>>>,
}

impl<'a> Named<'a> {
    fn of(file: &'a TeamsFile) -> Self {
        let mut named = Self { numbers: BTreeMap::new(), shares: HashMap::new() };
        for team in &file.teams {
            for member in &team.members {
                let number = named.numbers.entry(&member.login).or_default();
                *number = number.or(member.github_id);
                let terms = Terms { weight: member.weight, period: member.period };
                named.shares.entry(&member.login).or_default().push((&team.slug, terms));
            }
        }
        named
    }

    /// Whether a login is in the file and may mean this person.
    fn may_mean(&self, login: &Login, person: &KnownPerson) -> bool {
        self.numbers.get(login).is_some_and(|number| number.is_none() || *number == person.github_id)
    }

    /// Whether the file has a person's number.
    fn has_number_of(&self, person: &KnownPerson) -> bool {
        person.github_id.is_some() && self.numbers.values().any(|number| *number == person.github_id)
    }
}

/// Whom a login means after one account gave it up and another one took it over.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meaning {
    /// The person configured under it: the file is older than the change.
    Former,
    /// The person who has it now: the file was corrected.
    Present,
    /// Either: these logins form a cycle, so the file contains all of them before and after the change.
    Circle(Vec<Login>),
}

/// The known people, indexed by number and by login.
struct Directory<'a> {
    by_id: HashMap<PersonId, &'a KnownPerson>,
    by_number: HashMap<GithubId, &'a KnownPerson>,
    by_configured: HashMap<&'a Login, Vec<&'a KnownPerson>>,
    by_seen: HashMap<&'a Login, Vec<&'a KnownPerson>>,
    by_other: HashMap<&'a Login, Vec<&'a KnownPerson>>,
    members: HashMap<PersonId, Vec<Share<'a>>>,
}

impl<'a> Directory<'a> {
    fn of(current: &'a Current) -> Self {
        let mut members: HashMap<PersonId, Vec<Share<'a>>> = HashMap::new();
        for team in &current.teams {
            for membership in &team.memberships {
                members.entry(membership.person).or_default().push((&team.slug, membership.terms));
            }
        }
        let mut directory = Self {
            by_id: HashMap::new(),
            by_number: HashMap::new(),
            by_configured: HashMap::new(),
            by_seen: HashMap::new(),
            by_other: HashMap::new(),
            members,
        };
        for person in &current.people {
            directory.by_id.insert(person.id, person);
            if let Some(number) = person.github_id {
                directory.by_number.insert(number, person);
            }
            directory.by_configured.entry(&person.configured_login).or_default().push(person);
            directory.by_seen.entry(&person.login).or_default().push(person);
            for login in &person.other_logins {
                directory.by_other.entry(login).or_default().push(person);
            }
        }
        directory
    }

    /// If several accounts had a login one after the other: the current member, otherwise the newest.
    fn best(
        &self,
        named: &HashMap<&Login, Vec<&'a KnownPerson>>,
        login: &Login,
        fits: impl Fn(&KnownPerson) -> bool,
    ) -> Option<&'a KnownPerson> {
        let named = named.get(login)?.iter().copied().filter(|person| fits(person));
        named.max_by_key(|person| (self.members.contains_key(&person.id), person.id))
    }

    /// Who was configured under a login, and who has it now.
    fn former_and_present(&self, login: &Login) -> (Option<&'a KnownPerson>, Option<&'a KnownPerson>) {
        (self.best(&self.by_configured, login, |_| true), self.best(&self.by_seen, login, |_| true))
    }

    /// Whom a login of the file means. Logins whose meaning is only likely are added to `guessed`.
    fn find(&self, login: &Login, file: &Named<'_>, guessed: &mut BTreeSet<Login>) -> Option<&'a KnownPerson> {
        if let Some(number) = file.numbers.get(login).copied().flatten() {
            // If the file has a number, a login matches only a person whose number is still unknown.
            let is_unseen = |person: &KnownPerson| person.github_id.is_none();
            return self
                .by_number
                .get(&number)
                .copied()
                .or_else(|| self.best(&self.by_configured, login, is_unseen))
                .or_else(|| self.best(&self.by_seen, login, is_unseen));
        }
        // A former login identifies a person only next to another login of that person. On its own, it may belong to
        // someone who registered it since.
        let had_before = || {
            self.best(&self.by_other, login, |person| {
                file.numbers.contains_key(&person.login) || file.numbers.contains_key(&person.configured_login)
            })
        };
        match self.former_and_present(login) {
            (Some(former), Some(present)) if former.id != present.id => match self.meaning(login, file) {
                Meaning::Former => Some(former),
                Meaning::Present => Some(present),
                Meaning::Circle(logins) => {
                    let is_corrected = self.fits_those_who_have_them(&logins, file);
                    guessed.extend(logins);
                    Some(if is_corrected { present } else { former })
                }
            },
            // Configured once and never seen, until it became known whose login it had been.
            (Some(former), _) if former.github_id.is_none() && !self.members.contains_key(&former.id) => {
                had_before().or(Some(former))
            }
            (Some(found), _) | (None, Some(found)) => Some(found),
            (None, None) => had_before(),
        }
    }

    /// Whom a login means after one account gave it up and another one took it over. A file that uses the current
    /// logins of both was corrected. Every other file is older than the change.
    fn meaning(&self, login: &Login, file: &Named<'_>) -> Meaning {
        let mut way: Vec<&Login> = vec![login];
        loop {
            let here = way[way.len() - 1];
            let (Some(former), Some(present)) = self.former_and_present(here) else { return Meaning::Former };
            if former.id == present.id {
                return Meaning::Former;
            }
            if file.has_number_of(former) || file.has_number_of(present) {
                return if file.has_number_of(present) { Meaning::Former } else { Meaning::Present };
            }
            if former.login == *here || !file.may_mean(&former.login, former) {
                return Meaning::Former;
            }
            let next = &present.configured_login;
            if !file.may_mean(next, present) {
                return Meaning::Present;
            }
            // The file has the login that the current one replaced, so the answer depends on whom that login means.
            if next == login {
                return Meaning::Circle(way.into_iter().cloned().collect());
            }
            if way.contains(&next) {
                return Meaning::Former;
            }
            way.push(next);
        }
    }

    /// For a cycle of logins: whether the file is closer to what is in force for the people who have the logins now
    /// than for the people who were configured under them.
    fn fits_those_who_have_them(&self, logins: &[Login], file: &Named<'_>) -> bool {
        let same = |login: &Login, person: Option<&KnownPerson>| {
            let held = person.and_then(|person| self.members.get(&person.id));
            let shares = file.shares.get(login).into_iter().flatten();
            shares.filter(|share| held.is_some_and(|held| held.contains(share))).count()
        };
        let (mut former, mut present) = (0, 0);
        for login in logins {
            let people = self.former_and_present(login);
            former += same(login, people.0);
            present += same(login, people.1);
        }
        present > former
    }
}

/// The resolved people of a file.
pub(super) struct Resolved {
    pub(super) people: Vec<PlannedPerson>,
    /// Logins that may also mean someone else.
    pub(super) guessed: BTreeSet<Login>,
}

/// Finds each person of the file among the known ones: by number, otherwise by the configured login, by GitHub's
/// current login, or by a former login.
pub(super) fn resolve(current: &Current, file: &TeamsFile) -> Resolved {
    let members = || file.teams.iter().flat_map(|team| &team.members);
    let named = Named::of(file);
    let numbers = &named.numbers;
    let directory = Directory::of(current);
    let mut guessed = BTreeSet::new();
    let mut found: BTreeMap<&Login, Option<PersonId>> = BTreeMap::new();
    let mut by_number: HashMap<GithubId, PersonId> = HashMap::new();
    for (login, number) in numbers {
        let person = directory.find(login, &named, &mut guessed).map(|person| person.id);
        if let (Some(number), Some(person)) = (number, person) {
            // The number makes two people who were never seen one person.
            by_number.entry(*number).or_insert(person);
        }
        found.insert(login, person);
    }
    let mut groups: BTreeMap<Identity<'_>, BTreeSet<&Login>> = BTreeMap::new();
    for (login, number) in numbers {
        let known = number.and_then(|number| by_number.get(&number)).or(found[login].as_ref()).copied();
        let identity = match (known, number) {
            (Some(person), _) => Identity::Known(person),
            (None, Some(number)) => Identity::Number(*number),
            (None, None) => Identity::Login(login),
        };
        groups.entry(identity).or_default().insert(login);
    }
    let latest = latest_memberships(members());
    let mut people: Vec<PlannedPerson> = groups
        .into_iter()
        .map(|(identity, logins)| {
            let known = match identity {
                Identity::Known(id) => directory.by_id.get(&id).copied(),
                Identity::Number(_) | Identity::Login(_) => None,
            };
            let preferred = known.and_then(|person| {
                [&person.login, &person.configured_login].into_iter().find(|login| logins.contains(*login))
            });
            let newest = || logins.iter().copied().max_by_key(|login| latest.get(login));
            let login = preferred.or_else(newest).cloned().unwrap_or_else(|| Login::from_github(""));
            let number = logins.iter().find_map(|login| numbers.get(*login).copied().flatten());
            let has_login = |person: &KnownPerson, login: &Login| {
                person.configured_login == *login || person.login == *login || person.other_logins.contains(login)
            };
            let is_stored = known.is_some_and(|person| {
                person.configured_login == login
                    && (person.github_id.is_some() || number.is_none())
                    && logins.iter().all(|login| has_login(person, login))
            });
            PlannedPerson {
                known: known.map(|person| person.id),
                other_logins: logins.iter().copied().filter(|other| **other != login).cloned().collect(),
                github_id: number.or_else(|| known.and_then(|person| person.github_id)),
                now_called: known.map(|person| &person.login).filter(|now| !logins.contains(*now)).cloned(),
                is_stored,
                login,
            }
        })
        .collect();
    people.sort_by(|a, b| a.login.cmp(&b.login));
    Resolved { people, guessed }
}

/// An end, with open ends last, and a start.
type Latest = (bool, Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// How late each login's memberships last.
fn latest_memberships<'a>(members: impl Iterator<Item = &'a MemberEntry>) -> HashMap<&'a Login, Latest> {
    let mut latest: HashMap<&Login, Latest> = HashMap::new();
    for member in members {
        let (from, to) = (member.period.from(), member.period.to());
        let this = (to.is_none(), to, from);
        let known = latest.entry(&member.login).or_insert(this);
        *known = this.max(*known);
    }
    latest
}
