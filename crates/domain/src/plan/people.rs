//! Who the people of a file are: known ones, or new ones.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::{Current, KnownPerson};
use crate::teams_file::{MemberEntry, TeamsFile};
use crate::{GithubId, Login, PersonId};

/// A person of the file, found among the known ones or new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPerson {
    /// Who it is, `None` for somebody new.
    pub known: Option<PersonId>,
    /// The login to show: where the file has several, the present one.
    pub login: Login,
    /// The other logins by which the file names the same account.
    pub other_logins: Vec<Login>,
    /// The account's number, when the file names it or it is known.
    pub github_id: Option<GithubId>,
    /// The login that GitHub shows now, when the file does not have it.
    pub now_called: Option<Login>,
    /// Whether the store knows all of it.
    pub is_stored: bool,
}

impl PlannedPerson {
    /// All logins by which the file names the account.
    pub fn logins(&self) -> impl Iterator<Item = &Login> {
        std::iter::once(&self.login).chain(&self.other_logins)
    }
}

/// What makes two logins of the file one person.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Identity<'a> {
    Known(PersonId),
    Number(GithubId),
    Login(&'a Login),
}

/// The known people, to be looked up by number and by login.
struct Directory<'a> {
    by_id: HashMap<PersonId, &'a KnownPerson>,
    by_number: HashMap<GithubId, &'a KnownPerson>,
    by_configured: HashMap<&'a Login, Vec<&'a KnownPerson>>,
    by_seen: HashMap<&'a Login, Vec<&'a KnownPerson>>,
    by_other: HashMap<&'a Login, Vec<&'a KnownPerson>>,
    members: HashSet<PersonId>,
}

impl<'a> Directory<'a> {
    fn of(current: &'a Current) -> Self {
        let memberships = current.teams.iter().flat_map(|team| &team.memberships);
        let mut directory = Self {
            by_id: HashMap::new(),
            by_number: HashMap::new(),
            by_configured: HashMap::new(),
            by_seen: HashMap::new(),
            by_other: HashMap::new(),
            members: memberships.map(|membership| membership.person).collect(),
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

    /// Several accounts may have had a login one after the other: the one that is a member now, else the newest.
    fn best(
        &self,
        named: &HashMap<&Login, Vec<&'a KnownPerson>>,
        login: &Login,
        fits: impl Fn(&KnownPerson) -> bool,
    ) -> Option<&'a KnownPerson> {
        let named = named.get(login)?.iter().copied().filter(|person| fits(person));
        named.max_by_key(|person| (self.members.contains(&person.id), person.id))
    }

    /// Whom a login of the file means.
    fn find(
        &self,
        login: &Login,
        number: Option<GithubId>,
        file: &BTreeMap<&Login, Option<GithubId>>,
    ) -> Option<&'a KnownPerson> {
        if let Some(number) = number {
            // With a number in the file, a login fits only a person whose number is still unknown.
            let is_unseen = |person: &KnownPerson| person.github_id.is_none();
            return self
                .by_number
                .get(&number)
                .copied()
                .or_else(|| self.best(&self.by_configured, login, is_unseen))
                .or_else(|| self.best(&self.by_seen, login, is_unseen));
        }
        let is_in_file = |login: &Login| file.contains_key(login);
        let configured = self.best(&self.by_configured, login, |_| true);
        let seen = self.best(&self.by_seen, login, |_| true);
        match (configured, seen) {
            // One account gave the login up and another one took it over. A file that calls both by their present
            // logins has been corrected; every other one was written before.
            (Some(former), Some(present)) if former.id != present.id => {
                let is_corrected =
                    former.login != *login && is_in_file(&former.login) && !is_in_file(&present.configured_login);
                Some(if is_corrected { present } else { former })
            }
            (Some(found), _) | (None, Some(found)) => Some(found),
            // A login that somebody had before is theirs only beside another one of theirs: alone, it may be that of
            // somebody who has registered it since.
            (None, None) => self.best(&self.by_other, login, |person| {
                is_in_file(&person.login) || is_in_file(&person.configured_login)
            }),
        }
    }
}

/// Finds each person of the file among the known ones: by number, else by the login of the configuration, by the one
/// that GitHub shows, or by a former one.
pub(super) fn resolve(current: &Current, file: &TeamsFile) -> Vec<PlannedPerson> {
    let members = || file.teams.iter().flat_map(|team| &team.members);
    let mut numbers: BTreeMap<&Login, Option<GithubId>> = BTreeMap::new();
    for member in members() {
        let number = numbers.entry(&member.login).or_default();
        *number = number.or(member.github_id);
    }
    let directory = Directory::of(current);
    let mut groups: BTreeMap<Identity<'_>, BTreeSet<&Login>> = BTreeMap::new();
    for (login, number) in &numbers {
        let identity = match (directory.find(login, *number, &numbers), number) {
            (Some(person), _) => Identity::Known(person.id),
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
    people
}

/// An end, open ends last, and a start.
type Latest = (bool, Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// How late the memberships of each login go.
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
