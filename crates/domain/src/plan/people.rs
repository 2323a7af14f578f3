//! Resolves the people of a file to known or new people.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::{Current, KnownAccount, Terms};
use crate::groups::Groups;
use crate::teams_file::{MemberEntry, TeamsFile};
use crate::{ExternalId, Forge, Login, PersonId, TeamSlug};

/// A person of the file, known or new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPerson {
    /// The known person; `None` for a new person.
    pub known: Option<PersonId>,
    /// The accounts in the file, at most one for each forge, the one at GitHub first.
    pub accounts: Vec<PlannedAccount>,
}

/// An account of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedAccount {
    /// The account as it is known; `None` for a new one.
    pub known: Option<KnownAccount>,
    /// The login to show: the current one if the file has several.
    pub login: Login,
    /// Other logins of the same account in the file.
    pub other_logins: Vec<Login>,
    /// The account's id, if it is in the file or known.
    pub external_id: Option<ExternalId>,
    /// The current login at the forge, if the file does not have it.
    pub now_called: Option<Login>,
}

impl PlannedAccount {
    /// All logins of the account in the file.
    pub fn logins(&self) -> impl Iterator<Item = &Login> {
        std::iter::once(&self.login).chain(&self.other_logins)
    }

    /// Whether everything about the account is stored for this person.
    fn is_stored_for(&self, person: PersonId) -> bool {
        self.known.as_ref().is_some_and(|known| {
            known.person == person
                && known.configured_login == self.login
                && known.external_id == self.external_id
                && self.logins().all(|login| known.had(login))
        })
    }
}

impl PlannedPerson {
    /// All logins of all accounts in the file.
    pub fn logins(&self) -> impl Iterator<Item = &Login> {
        self.accounts.iter().flat_map(PlannedAccount::logins)
    }

    /// Whether everything about the person is stored.
    pub fn is_stored(&self) -> bool {
        self.known.is_some_and(|person| self.accounts.iter().all(|account| account.is_stored_for(person)))
    }
}

/// What identifies two logins of the file as one account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Identity<'a> {
    Known(PersonId, Forge),
    Number(AccountId<'a>),
    Login(&'a Login),
}

/// A forge, and an account's id there.
type AccountId<'a> = (Forge, &'a ExternalId);

/// A team, and a person's terms in it.
type Share<'a> = (&'a TeamSlug, Terms);

/// What the file says about each login.
struct Named<'a> {
    /// The number, if the file has it.
    numbers: BTreeMap<&'a Login, Option<&'a ExternalId>>,
    shares: HashMap<&'a Login, Vec<Share<'a>>>,
}

impl<'a> Named<'a> {
    fn of(file: &'a TeamsFile) -> Self {
        let mut named = Self { numbers: BTreeMap::new(), shares: HashMap::new() };
        for team in &file.teams {
            for member in &team.members {
                let number = named.numbers.entry(&member.login).or_default();
                *number = number.or(member.external_id.as_ref());
                let terms = Terms { weight: member.weight, period: member.period };
                for login in member.logins() {
                    named.numbers.entry(login).or_default();
                    named.shares.entry(login).or_default().push((&team.slug, terms));
                }
            }
        }
        named
    }

    /// Whether a login is in the file and may mean this account.
    fn may_mean(&self, login: &Login, account: &KnownAccount) -> bool {
        self.numbers.get(login).is_some_and(|number| number.is_none() || *number == account.external_id.as_ref())
    }

    /// Whether the file has an account's number.
    fn has_number_of(&self, account: &KnownAccount) -> bool {
        account.external_id.is_some()
            && self
                .numbers
                .iter()
                .any(|(login, number)| login.forge() == account.forge() && *number == account.external_id.as_ref())
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

/// The known accounts, indexed by person, number and login.
struct Directory<'a> {
    by_person: HashMap<(PersonId, Forge), &'a KnownAccount>,
    by_number: HashMap<AccountId<'a>, &'a KnownAccount>,
    by_configured: HashMap<&'a Login, Vec<&'a KnownAccount>>,
    by_seen: HashMap<&'a Login, Vec<&'a KnownAccount>>,
    by_other: HashMap<&'a Login, Vec<&'a KnownAccount>>,
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
            by_person: HashMap::new(),
            by_number: HashMap::new(),
            by_configured: HashMap::new(),
            by_seen: HashMap::new(),
            by_other: HashMap::new(),
            members,
        };
        for account in &current.accounts {
            directory.by_person.insert((account.person, account.forge()), account);
            if let Some(number) = &account.external_id {
                directory.by_number.insert((account.forge(), number), account);
            }
            directory.by_configured.entry(&account.configured_login).or_default().push(account);
            directory.by_seen.entry(&account.login).or_default().push(account);
            for login in &account.other_logins {
                directory.by_other.entry(login).or_default().push(account);
            }
        }
        directory
    }

    /// If several accounts had a login one after the other: the current member, otherwise the newest.
    fn best(
        &self,
        named: &HashMap<&Login, Vec<&'a KnownAccount>>,
        login: &Login,
        fits: impl Fn(&KnownAccount) -> bool,
    ) -> Option<&'a KnownAccount> {
        let named = named.get(login)?.iter().copied().filter(|account| fits(account));
        named.max_by_key(|account| (self.members.contains_key(&account.person), account.person))
    }

    /// The people who may have these accounts, the one with the first account first. Someone with another account at the
    /// forge of an earlier one is someone else.
    fn claimed<'b>(&'b self, accounts: &'b [PlannedAccount]) -> impl Iterator<Item = PersonId> + 'b {
        accounts.iter().enumerate().filter_map(|(place, account)| {
            let person = account.known.as_ref()?.person;
            let is_other =
                accounts[..place].iter().any(|one| self.by_person.contains_key(&(person, one.login.forge())));
            (!is_other).then_some(person)
        })
    }

    /// Who was configured under a login, and who has it now.
    fn former_and_present(&self, login: &Login) -> (Option<&'a KnownAccount>, Option<&'a KnownAccount>) {
        (self.best(&self.by_configured, login, |_| true), self.best(&self.by_seen, login, |_| true))
    }

    /// Whom a login of the file means. Logins whose meaning is only likely are added to `guessed`.
    fn find(&self, login: &Login, file: &Named<'_>, guessed: &mut BTreeSet<Login>) -> Option<&'a KnownAccount> {
        if let Some(number) = file.numbers.get(login).copied().flatten() {
            // If the file has a number, a login matches only a person whose number is still unknown.
            let is_unseen = |account: &KnownAccount| account.external_id.is_none();
            return self
                .by_number
                .get(&(login.forge(), number))
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
            (Some(former), Some(present)) if former.person != present.person => match self.meaning(login, file) {
                Meaning::Former => Some(former),
                Meaning::Present => Some(present),
                Meaning::Circle(logins) => {
                    let is_corrected = self.fits_those_who_have_them(&logins, file);
                    guessed.extend(logins);
                    Some(if is_corrected { present } else { former })
                }
            },
            // Configured once and never seen, until it became known whose login it had been.
            (Some(former), _) if former.external_id.is_none() && !self.members.contains_key(&former.person) => {
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
            if former.person == present.person {
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
        let same = |login: &Login, person: Option<&KnownAccount>| {
            let held = person.and_then(|person| self.members.get(&person.person));
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

/// Finds each person of the file among the known ones, by their accounts: by number, otherwise by the configured login, by
/// the forge's current login, or by a former login.
pub(super) fn resolve(current: &Current, file: &TeamsFile) -> Resolved {
    let members = || file.teams.iter().flat_map(|team| &team.members);
    let named = Named::of(file);
    let directory = Directory::of(current);
    let mut guessed = BTreeSet::new();
    let by_identity = identities(&named, &directory, &mut guessed);
    let latest = latest_memberships(members());
    let mut accounts: Vec<PlannedAccount> = Vec::new();
    let mut groups = Groups::default();
    let mut places: HashMap<&Login, usize> = HashMap::new();
    for (identity, logins) in &by_identity {
        let known = match identity {
            Identity::Known(person, forge) => directory.by_person.get(&(*person, *forge)).copied(),
            Identity::Number(_) | Identity::Login(_) => None,
        };
        accounts.push(planned_account(known, logins, &named, &latest));
        let place = groups.add();
        places.extend(logins.iter().map(|login| (*login, place)));
    }
    // The accounts on one line are one person.
    for member in members() {
        for other in &member.other_accounts {
            groups.join(places[&member.login], places[other]);
        }
    }
    let mut by_group: BTreeMap<usize, Vec<PlannedAccount>> = BTreeMap::new();
    for (place, account) in accounts.into_iter().enumerate() {
        by_group.entry(groups.of(place)).or_default().push(account);
    }
    let mut people: Vec<PlannedPerson> = by_group
        .into_values()
        .map(|accounts| PlannedPerson { known: None, accounts: one_at_each_forge(accounts) })
        .collect();
    people.sort_by(|a, b| a.logins().next().cmp(&b.logins().next()));
    // Where the file separates two accounts that were one person, the account at GitHub keeps the past.
    let mut taken: HashSet<PersonId> = HashSet::new();
    for person in &mut people {
        person.known = directory.claimed(&person.accounts).find(|known| taken.insert(*known));
    }
    Resolved { people, guessed }
}

/// The accounts of a person. Two at a forge that is not collected are one with two logins: nobody could be seen there, so
/// only the file says what it is called. The known one stays.
fn one_at_each_forge(mut accounts: Vec<PlannedAccount>) -> Vec<PlannedAccount> {
    accounts.sort_by(|a, b| {
        let key =
            |account: &PlannedAccount| (account.login.forge(), account.known.is_none(), account.external_id.is_none());
        (key(a), &a.login).cmp(&(key(b), &b.login))
    });
    let mut one_each: Vec<PlannedAccount> = Vec::new();
    for account in accounts {
        match one_each.last_mut() {
            Some(last) if last.login.forge() == account.login.forge() && account.login.forge() != Forge::GitHub => {
                last.other_logins.extend(account.logins().cloned());
            }
            _ => one_each.push(account),
        }
    }
    one_each
}

/// The logins of the file, by the account that they mean.
fn identities<'a>(
    named: &Named<'a>,
    directory: &Directory<'_>,
    guessed: &mut BTreeSet<Login>,
) -> BTreeMap<Identity<'a>, BTreeSet<&'a Login>> {
    let mut found: BTreeMap<&Login, Option<PersonId>> = BTreeMap::new();
    let mut by_number: HashMap<AccountId<'_>, PersonId> = HashMap::new();
    for (login, number) in &named.numbers {
        let person = directory.find(login, named, guessed).map(|account| account.person);
        if let (Some(number), Some(person)) = (number, person) {
            // The number makes two people who were never seen one person.
            by_number.entry((login.forge(), *number)).or_insert(person);
        }
        found.insert(login, person);
    }
    let mut groups: BTreeMap<Identity<'_>, BTreeSet<&Login>> = BTreeMap::new();
    for (login, number) in &named.numbers {
        let number = number.map(|number| (login.forge(), number));
        let known = number.and_then(|number| by_number.get(&number)).or(found[login].as_ref()).copied();
        let identity = match (known, number) {
            (Some(person), _) => Identity::Known(person, login.forge()),
            (None, Some(number)) => Identity::Number(number),
            (None, None) => Identity::Login(login),
        };
        groups.entry(identity).or_default().insert(login);
    }
    groups
}

/// An account with these logins in the file.
fn planned_account(
    known: Option<&KnownAccount>,
    logins: &BTreeSet<&Login>,
    named: &Named<'_>,
    latest: &HashMap<&Login, Latest>,
) -> PlannedAccount {
    let preferred = known.and_then(|account| {
        [&account.login, &account.configured_login].into_iter().find(|login| logins.contains(*login))
    });
    let newest = || logins.iter().copied().max_by_key(|login| latest.get(login));
    let login = preferred.or_else(newest).cloned().unwrap_or_else(|| Login::from_github(""));
    let number = logins.iter().find_map(|login| named.numbers.get(*login).copied().flatten());
    PlannedAccount {
        known: known.cloned(),
        other_logins: logins.iter().copied().filter(|other| **other != login).cloned().collect(),
        // A known account keeps its number.
        external_id: known.and_then(|account| account.external_id.as_ref()).or(number).cloned(),
        now_called: known.map(|account| &account.login).filter(|now| !logins.contains(*now)).cloned(),
        login,
    }
}

/// An end, with open ends last, and a start.
type Latest = (bool, Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// How late each login's memberships last.
fn latest_memberships<'a>(members: impl Iterator<Item = &'a MemberEntry>) -> HashMap<&'a Login, Latest> {
    let mut latest: HashMap<&Login, Latest> = HashMap::new();
    for member in members {
        let (from, to) = (member.period.from(), member.period.to());
        let this = (to.is_none(), to, from);
        for login in member.logins() {
            let known = latest.entry(login).or_insert(this);
            *known = this.max(*known);
        }
    }
    latest
}
