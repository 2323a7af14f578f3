//! Logins that neither the file nor the stored data can assign to a person, with the lines that would resolve them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::{Current, KnownAccount, PlannedPerson};
use crate::teams_file::TeamsFile;
use crate::{ExternalId, Forge, Login, Period, PersonId, TeamSlug};

/// At most this many possible successors are named.
const NAMED: usize = 3;

/// A login without `id:` that may mean someone other than the person it counts for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// Two accounts had it, one after the other.
    TwoAccounts {
        /// The login.
        login: Login,
        /// The person it counts for.
        counted: Account,
        /// The person who may be meant.
        other: Account,
    },
    /// Nobody was seen under it, and another login starts where it ends. It may be a former login of the same account.
    FormerLogin {
        /// The login.
        login: Login,
        /// When it ends.
        until: NaiveDate,
        /// The logins that start then in the same team.
        successors: Vec<Successor>,
    },
}

/// An account that has, or had, an ambiguous login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Its number, once it was seen.
    pub id: Option<ExternalId>,
    /// Its login in the configuration in force.
    pub configured_login: Login,
    /// Its current login, if known.
    pub login: Option<Login>,
}

/// A login that starts where another one ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Successor {
    /// The login.
    pub login: Login,
    /// Its account's number, if known.
    pub id: Option<ExternalId>,
}

/// A login of the configuration, and what is known about whom it counts for.
struct Entry<'a> {
    login: &'a Login,
    /// Whether the configuration has the account's number.
    is_numbered: bool,
    account: Option<&'a KnownAccount>,
    number: Option<&'a ExternalId>,
    spans: Vec<(&'a TeamSlug, Period)>,
}

impl Entry<'_> {
    fn begins(&self) -> Option<DateTime<Utc>> {
        // `None`, the beginning of time, sorts before every instant.
        self.spans.iter().map(|(_, period)| period.from()).min().flatten()
    }

    fn ends(&self) -> Option<DateTime<Utc>> {
        let ends: Option<Vec<_>> = self.spans.iter().map(|(_, period)| period.to()).collect();
        ends?.into_iter().max()
    }

    fn was_seen(&self) -> bool {
        self.number.is_some()
    }
}

/// The doubts about a file after its people were resolved. The logins in `guessed` were resolved only by likelihood.
pub(super) fn of_file(
    current: &Current,
    file: &TeamsFile,
    people: &[PlannedPerson],
    guessed: &BTreeSet<Login>,
) -> Vec<Doubt> {
    let mut entries: BTreeMap<&Login, Entry<'_>> = BTreeMap::new();
    for planned in people.iter().flat_map(|person| &person.accounts) {
        let (account, number) = (planned.known.as_ref(), planned.external_id.as_ref());
        for login in planned.logins() {
            entries.insert(login, Entry { login, is_numbered: false, account, number, spans: Vec::new() });
        }
    }
    let mut numbers = HashSet::new();
    for team in &file.teams {
        for member in &team.members {
            numbers.extend(member.external_id.as_ref().map(|id| (member.login.forge(), id)));
            for login in member.logins() {
                if let Some(entry) = entries.get_mut(login) {
                    entry.is_numbered |= *login == member.login && member.external_id.is_some();
                    entry.spans.push((&team.slug, member.period));
                }
            }
        }
    }
    let entries: Vec<Entry<'_>> = entries.into_values().collect();
    let mut doubts = several_accounts(current, &entries, &numbers);
    doubts.extend(entries.iter().filter(|entry| guessed.contains(entry.login)).filter_map(|entry| {
        let counted = entry.account?;
        let is_former =
            |other: &&KnownAccount| other.person != counted.person && other.configured_login == *entry.login;
        let former = current.accounts.iter().find(is_former).filter(|_| counted.configured_login != *entry.login)?;
        Some(two_accounts(current, entry.login, counted, former))
    }));
    doubts.extend(former_logins(current, &entries, file.timezone));
    doubts
}

impl Current {
    /// The doubts about the configuration in force. Whether its file had a number beside a login is no longer known, so
    /// a login that matches the present one is not in doubt.
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut accounts: HashMap<PersonId, Vec<&KnownAccount>> = HashMap::new();
        for account in &self.accounts {
            accounts.entry(account.person).or_default().push(account);
        }
        let mut entries: BTreeMap<(PersonId, Forge), Entry<'_>> = BTreeMap::new();
        for team in self.teams.iter().filter(|team| !team.is_archived) {
            for membership in &team.memberships {
                for account in accounts.get(&membership.person).into_iter().flatten().copied() {
                    let entry = entries.entry((account.person, account.forge())).or_insert_with(|| Entry {
                        login: &account.configured_login,
                        is_numbered: false,
                        account: Some(account),
                        number: account.external_id.as_ref(),
                        spans: Vec::new(),
                    });
                    entry.spans.push((&team.slug, membership.terms.period));
                }
            }
        }
        let entries: Vec<Entry<'_>> = entries.into_values().collect();
        let zone = self.settings.as_ref().map_or(Tz::UTC, |settings| settings.timezone);
        let mut doubts = several_accounts(self, &entries, &HashSet::new());
        doubts.extend(former_logins(self, &entries, zone));
        doubts
    }

    /// An account's current login; `None` if it now belongs to another account.
    fn present_login<'a>(&self, account: &'a KnownAccount) -> Option<&'a Login> {
        let has_taken_over = |other: &KnownAccount| {
            other.person != account.person
                && other.login == account.login
                && other.configured_login != other.login
                && account.configured_login == account.login
        };
        (account.external_id.is_some() && !self.accounts.iter().any(has_taken_over)).then_some(&account.login)
    }

    fn account(&self, account: &KnownAccount) -> Account {
        Account {
            id: account.external_id.clone(),
            configured_login: account.configured_login.clone(),
            login: self.present_login(account).cloned(),
        }
    }
}

fn two_accounts(current: &Current, login: &Login, counted: &KnownAccount, other: &KnownAccount) -> Doubt {
    let (counted, other) = (current.account(counted), current.account(other));
    Doubt::TwoAccounts { login: login.clone(), counted, other }
}

/// Logins without a number that another known account was seen with.
fn several_accounts(current: &Current, entries: &[Entry<'_>], numbers: &HashSet<(Forge, &ExternalId)>) -> Vec<Doubt> {
    let mut seen: BTreeMap<&Login, Vec<&KnownAccount>> = BTreeMap::new();
    for account in &current.accounts {
        // If the file has the account's number, the account is meant where the number is.
        if account.external_id.as_ref().is_some_and(|number| !numbers.contains(&(account.forge(), number))) {
            seen.entry(&account.login).or_default().push(account);
        }
    }
    let doubtful = entries.iter().filter(|entry| !entry.is_numbered).filter_map(|entry| {
        let counted = entry.account?;
        let other = seen.get(entry.login)?.iter().find(|other| other.person != counted.person)?;
        Some(two_accounts(current, entry.login, counted, other))
    });
    doubtful.collect()
}

/// Logins that were never seen where pull requests were read, and after which another login starts.
fn former_logins(current: &Current, entries: &[Entry<'_>], zone: Tz) -> Vec<Doubt> {
    let is_fresh = current.read_since.is_none();
    let mut beginning: BTreeMap<DateTime<Utc>, Vec<&Entry<'_>>> = BTreeMap::new();
    for entry in entries {
        if let Some(begins) = entry.begins() {
            beginning.entry(begins).or_default().push(entry);
        }
    }
    let mut doubts = Vec::new();
    // Nobody can be seen at a forge that is not collected.
    let may_be_seen = |entry: &&Entry<'_>| entry.login.forge() == Forge::GitHub;
    for entry in entries.iter().filter(may_be_seen).filter(|entry| !entry.is_numbered && !entry.was_seen()) {
        let Some(end) = entry.ends().filter(|end| current.read_since.is_none_or(|since| since < *end)) else {
            continue;
        };
        let follows = |other: &&Entry<'_>| {
            other.login != entry.login
                && other.login.forge() == entry.login.forge()
                && (is_fresh || other.was_seen())
                && other.spans.iter().any(|(team, period)| {
                    let ended = |(former, ended): &(&TeamSlug, Period)| former == team && ended.to() == Some(end);
                    period.from() == Some(end) && entry.spans.iter().any(ended)
                })
        };
        let successor = |other: &Entry<'_>| Successor { login: other.login.clone(), id: other.number.cloned() };
        let begin = beginning.get(&end).into_iter().flatten().copied();
        let successors: Vec<Successor> = begin.filter(follows).map(successor).collect();
        if !successors.is_empty() {
            let until = end.with_timezone(&zone).date_naive();
            doubts.push(Doubt::FormerLogin { login: entry.login.clone(), until, successors });
        }
    }
    doubts
}

impl Account {
    fn history(&self, login: &Login) -> String {
        let Some(id) = &self.id else { return "one that was never seen".to_owned() };
        let number = format!("number {id}");
        match &self.login {
            None => format!("{number}, which had it before"),
            Some(now) if now != login => format!("{number}, which had it before and is {now} now"),
            Some(_) if self.configured_login == *login => format!("{number}, which was seen with it too"),
            Some(_) => format!("{number}, which was {} before and has it now", self.configured_login),
        }
    }

    fn line(&self) -> Option<String> {
        let id = self.id.as_ref()?;
        Some(match &self.login {
            Some(login) => line(login, Some(id)),
            None => format!("the account's present login with `id: {id}`"),
        })
    }
}

fn line(login: &Login, id: Option<&ExternalId>) -> String {
    match id {
        Some(id) => format!("`{{ {}: {}, id: {id} }}`", login.forge(), login.as_str()),
        None => format!("`{{ {}: {}, id: … }}`", login.forge(), login.as_str()),
    }
}

impl Doubt {
    /// The login.
    pub fn login(&self) -> &Login {
        match self {
            Self::TwoAccounts { login, .. } | Self::FormerLogin { login, .. } => login,
        }
    }

    /// What is unknown.
    pub fn message(&self) -> String {
        match self {
            Self::TwoAccounts { login, counted, other } => {
                format!("{login} may mean two accounts: {}, or {}", counted.history(login), other.history(login))
            }
            Self::FormerLogin { login, until, successors } => {
                let mut names: Vec<&str> = successors.iter().take(NAMED).map(|one| one.login.as_str()).collect();
                if successors.len() > NAMED {
                    names.push("others");
                }
                let (names, verb) = (names.join(", "), if successors.len() == 1 { "begins" } else { "begin" });
                format!("nobody was seen as {login} at GitHub, and where that ends, on {until}, {names} {verb}")
            }
        }
    }

    /// What to write.
    pub fn remedy(&self) -> String {
        match self {
            Self::TwoAccounts { login, counted, other } => {
                let counts = match (&counted.id, counted.line()) {
                    (Some(id), Some(line)) => format!("it counts for number {id}: write {line} in its place"),
                    _ => format!(
                        "it counts for neither: write the number of the account that is meant beside it, {}",
                        line(login, None)
                    ),
                };
                match (&other.id, other.line()) {
                    (Some(id), Some(line)) => format!("{counts}; if number {id} is meant, {line}"),
                    _ => format!("{counts}; if another account is meant, its number, {}", line(login, None)),
                }
            }
            Self::FormerLogin { login, successors, .. } => {
                let lines: Vec<String> = successors
                    .iter()
                    .take(NAMED)
                    .map(|one| format!("{} and {}", line(login, one.id.as_ref()), line(&one.login, one.id.as_ref())))
                    .collect();
                format!(
                    "if it is a former login of the same account, write the account's number beside both: {}; until then its earlier \
                     pull requests do not count",
                    lines.join(", or ")
                )
            }
        }
    }

    /// Fills in account numbers that were found elsewhere.
    pub fn learn(&mut self, number_of: impl Fn(&Login) -> Option<ExternalId>) {
        if let Self::FormerLogin { successors, .. } = self {
            for successor in successors {
                if successor.id.is_none() {
                    successor.id = number_of(&successor.login);
                }
            }
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message(), self.remedy())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{applied, file, plan};
    use super::*;

    /// The configuration in force, with the accounts' current logins, in the order of their configured logins.
    fn seen(members: &str, logins: &[&str]) -> Current {
        let mut current = applied(&file(members), false);
        for (person, login) in current.accounts.iter_mut().zip(logins) {
            person.login = Login::from_github(login);
        }
        current.read_since = Some(DateTime::UNIX_EPOCH);
        current
    }

    const ALICE_AND_BOB: &str =
        "      - { github: alice, id: 7 }\n      - { github: bob, id: 8, weight: 0.5, from: 2026-01-01 }\n";

    fn without_numbers(members: &str) -> TeamsFile {
        file(&members.replace(", id: 7", "").replace(", id: 8", ""))
    }

    #[test]
    fn an_old_file_after_swapped_logins_gets_advice() {
        let current = seen(ALICE_AND_BOB, &["bob", "alice"]);
        let old = plan(&current, &without_numbers(ALICE_AND_BOB));
        insta::assert_snapshot!(old, @r"
        Nothing changes.
        ! alice may mean two accounts: number 7, which had it before and is bob now, or number 8, which was bob before and has it now; it counts for number 7: write `{ github: bob, id: 7 }` in its place; if number 8 is meant, `{ github: alice, id: 8 }`
        ! bob may mean two accounts: number 8, which had it before and is alice now, or number 7, which was alice before and has it now; it counts for number 8: write `{ github: alice, id: 8 }` in its place; if number 7 is meant, `{ github: bob, id: 7 }`
        ! bob has 0.5 unallocated today: it counts for no team
        ");
        assert_eq!(current.doubts(), old.doubts, "also without the file");
    }

    #[test]
    fn following_swapped_logins_keeps_everybody_in_place() {
        let current = seen(ALICE_AND_BOB, &["bob", "alice"]);
        let swapped = "      - { github: bob }\n      - { github: alice, weight: 0.5, from: 2026-01-01 }\n";
        let corrected = plan(&current, &file(swapped));
        insta::assert_snapshot!(corrected, @r"
        Nothing changes.
        ! alice may mean two accounts: number 8, which was bob before and has it now, or number 7, which had it before and is bob now; it counts for number 8: write `{ github: alice, id: 8 }` in its place; if number 7 is meant, `{ github: bob, id: 7 }`
        ! bob may mean two accounts: number 7, which was alice before and has it now, or number 8, which had it before and is alice now; it counts for number 7: write `{ github: bob, id: 7 }` in its place; if number 8 is meant, `{ github: alice, id: 8 }`
        ! alice has 0.5 unallocated today: it counts for no team
        ");
        let people: Vec<_> = corrected
            .people
            .iter()
            .flat_map(|one| &one.accounts)
            .map(|one| (one.login.as_str(), one.external_id.clone()))
            .collect();
        assert_eq!(people, [("alice", Some(8.into())), ("bob", Some(7.into()))]);
    }

    #[test]
    fn the_suggested_lines_resolve_the_doubt() {
        let current = seen(ALICE_AND_BOB, &["bob", "alice"]);
        for (alice, bob) in [(7, 8), (8, 7)] {
            let logins = |number| if number == 7 { "bob" } else { "alice" };
            let lines = format!(
                "      - {{ github: {}, id: {alice} }}\n      - {{ github: {}, id: {bob}, weight: 0.5, from: 2026-01-01 }}\n",
                logins(alice),
                logins(bob)
            );
            let certain = plan(&current, &file(&lines));
            assert_eq!(certain.doubts, [], "{certain}");
            assert_eq!(certain.is_empty(), alice == 7, "{certain}");
        }
    }

    #[test]
    fn a_cycle_of_three_logins_is_followed() {
        let members = |names: [&str; 3]| {
            let [a, b, c] = names;
            format!(
                "      - {{ github: {a}, weight: 0.1 }}\n      - {{ github: {b}, weight: 0.2 }}\n      - {{ github: {c}, weight: 0.3 }}\n"
            )
        };
        let mut current = seen(&members(["ana", "bob", "cleo"]), &["bob", "cleo", "ana"]);
        for (number, account) in (7_i64..).zip(&mut current.accounts) {
            account.external_id = Some(number.into());
        }
        for names in [["ana", "bob", "cleo"], ["bob", "cleo", "ana"]] {
            let planned = plan(&current, &file(&members(names)));
            assert!(planned.is_empty(), "{planned}");
            assert_eq!(planned.doubts.len(), 3, "{planned}");
        }
    }

    #[test]
    fn a_taken_over_login_is_reported_with_numbers() {
        // Ana is now called ana-b, and carl took over her login.
        let members = "      - { github: ana, id: 7 }\n      - { github: carl, id: 9, weight: 0.5 }\n";
        let file = without_numbers(&members.replace(", id: 9", ""));
        let both = seen(members, &["ana-b", "ana"]);
        insta::assert_snapshot!(plan(&both, &file), @r"
        Nothing changes.
        ! carl is now called ana at GitHub, and ana is another one in the teams file: write `{ github: ana, id: 9 }` in place of carl
        ! ana may mean two accounts: number 7, which had it before and is ana-b now, or number 9, which was carl before and has it now; it counts for number 7: write `{ github: ana-b, id: 7 }` in its place; if number 9 is meant, `{ github: ana, id: 9 }`
        ! carl has 0.5 unallocated today: it counts for no team
        ");
        // Ana's current login is unknown.
        let one = seen(members, &["ana", "ana"]);
        insta::assert_snapshot!(plan(&one, &file).doubts[0], @"ana may mean two accounts: number 7, which had it before, or number 9, which was carl before and has it now; it counts for number 7: write the account's present login with `id: 7` in its place; if number 9 is meant, `{ github: ana, id: 9 }`");
        // Nobody was ever seen as ana.
        let mut unseen = seen(members, &["ana", "ana"]);
        unseen.accounts[0].external_id = None;
        insta::assert_snapshot!(plan(&unseen, &file).doubts[0], @"ana may mean two accounts: one that was never seen, or number 9, which was carl before and has it now; it counts for neither: write the number of the account that is meant beside it, `{ github: ana, id: … }`; if number 9 is meant, `{ github: ana, id: 9 }`");
    }

    #[test]
    fn an_unseen_login_may_be_a_former_login() {
        let members = "      - { github: alice, to: 2026-03-01 }\n      - { github: alice2, from: 2026-03-01 }\n      - { github: bob, from: 2026-02-01 }\n";
        let mut fresh = plan(&Current::default(), &file(members));
        insta::assert_snapshot!(fresh.doubts[0], @"nobody was seen as alice at GitHub, and where that ends, on 2026-03-01, alice2 begins; if it is a former login of the same account, write the account's number beside both: `{ github: alice, id: … }` and `{ github: alice2, id: … }`; until then its earlier pull requests do not count");
        fresh.doubts[0].learn(|login| (login.as_str() == "alice2").then_some(7.into()));
        insta::assert_snapshot!(fresh.doubts[0], @"nobody was seen as alice at GitHub, and where that ends, on 2026-03-01, alice2 begins; if it is a former login of the same account, write the account's number beside both: `{ github: alice, id: 7 }` and `{ github: alice2, id: 7 }`; until then its earlier pull requests do not count");
        let mut collected = seen(members, &["alice", "alice2"]);
        assert_eq!(plan(&collected, &file(members)).doubts, [], "neither was seen: nothing is lost");
        collected.accounts[1].external_id = Some(7.into());
        let planned = plan(&collected, &file(members));
        assert_eq!((&planned.doubts, planned.is_empty()), (&fresh.doubts, true));
        assert_eq!(collected.doubts(), planned.doubts);
        // What was merged before that is not read.
        collected.read_since = Some("2026-03-01T00:00:00Z".parse().expect("an instant"));
        assert_eq!(plan(&collected, &file(members)).doubts, []);
    }

    #[test]
    fn a_shared_number_merges_two_unseen_logins() {
        let members = "      - { github: alice, to: 2026-03-01 }\n      - { github: alice2, from: 2026-03-01 }\n";
        let current = applied(&file(members), false);
        assert_eq!(current.accounts.len(), 2);
        let numbered = file(&members.replace(", ", ", id: 7, "));
        let one = plan(&current, &numbered);
        assert_eq!((one.people.len(), one.doubts.len()), (1, 0), "{one}");
        assert_eq!(one.losses(), 1, "{one}");
    }
}
