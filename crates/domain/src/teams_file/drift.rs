//! Compares a teams file with GitHub's teams, and proposes dated changes. Nothing is applied.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::draft::{LeafTeam, LeafTeams, equal_parts};
use super::people::FilePeople;
use super::{MemberEntry, TeamEntry, TeamsFile};
use crate::{ExternalId, Forge, Login, Period, TeamSlug, Weight, start_of_day};

/// How a teams file differs from GitHub's teams now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    /// The teams that differ: those of the file in its order, then new ones.
    pub teams: Vec<TeamDrift>,
    /// People for whom no lines are proposed, because lines of the file about them start later.
    pub undecided: BTreeSet<Login>,
}

/// How a team differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamDrift {
    /// The team's slug in the file, or the one that it would have.
    pub slug: TeamSlug,
    /// What happened to it.
    pub state: TeamState,
    /// Who is in GitHub's team and not in the file's.
    pub joined: Vec<Login>,
    /// Who is in the file's team and not in GitHub's.
    pub left: Vec<Login>,
    /// Lines of the file that the proposal replaces, each with what replaces it.
    pub replaced: Vec<(MemberEntry, Vec<MemberEntry>)>,
    /// Lines that the proposal adds.
    pub added: Vec<MemberEntry>,
}

/// What happened to a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeamState {
    /// It is in both.
    Known,
    /// It is at GitHub only.
    New {
        /// Its display name.
        name: String,
    },
    /// It is in the file only, or nobody is in it at GitHub, or it contains other teams now.
    Missing,
    /// Another team at GitHub has exactly its members.
    Renamed {
        /// The slug that it would have now.
        to: TeamSlug,
    },
}

/// A person's share in a team of the file now.
struct Share<'a> {
    team: usize,
    member: &'a MemberEntry,
}

/// A person of the file, or an account that is not in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    InFile(usize),
    New(ExternalId),
}

impl Drift {
    /// Compares what applies now. `is_compared` says of a team, by its name in the file or at GitHub, whether it is looked
    /// at. Bots of the file are not people.
    pub fn between(
        file: &TeamsFile,
        leaves: &LeafTeams,
        now: DateTime<Utc>,
        is_compared: impl Fn(&str) -> bool,
    ) -> Self {
        let listed: Vec<&LeafTeam> = leaves
            .teams
            .iter()
            .filter(|team| is_compared(&team.listed_as) && is_compared(team.entry.slug.as_str()))
            .collect();
        let comparison = Comparison::new(file, now);
        let compared: Vec<usize> =
            (0..file.teams.len()).filter(|index| is_compared(file.teams[*index].slug.as_str())).collect();
        let matches = comparison.matches(&compared, &listed);
        comparison.compare(&compared, &listed, &matches)
    }

    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.teams.is_empty()
    }

    /// The proposed lines, to copy into the file. Empty if there are none.
    pub fn to_yaml(&self, zone: Tz) -> String {
        self.teams.iter().map(|team| team.to_yaml(zone)).collect()
    }
}

impl TeamDrift {
    /// Nobody joined or left, and no lines are proposed.
    fn new(slug: &TeamSlug, state: TeamState) -> Self {
        let (slug, joined, left) = (slug.clone(), Vec::new(), Vec::new());
        Self { slug, state, joined, left, replaced: Vec::new(), added: Vec::new() }
    }

    fn has_lines(&self) -> bool {
        !self.replaced.is_empty() || !self.added.is_empty()
    }

    fn to_yaml(&self, zone: Tz) -> String {
        let slug = &self.slug;
        let mut yaml = String::new();
        match &self.state {
            TeamState::New { name } => {
                let (slug, name, members) = (slug.clone(), name.clone(), self.added.clone());
                if !members.is_empty() {
                    yaml.push_str("  # a new team\n");
                    yaml.push_str(&TeamEntry { slug, name, renamed_from: None, members }.to_yaml(zone));
                }
                return yaml;
            }
            TeamState::Missing => {
                let _ = writeln!(
                    yaml,
                    "  # remove the team `{slug}`, if it is gone: its memberships end then, and its past stays"
                );
                return yaml;
            }
            TeamState::Renamed { to } => {
                let _ = writeln!(
                    yaml,
                    "  - slug: {to}   # in place of {slug}, if it is the same team\n    renamed_from: {slug}"
                );
            }
            TeamState::Known if !self.has_lines() => return yaml,
            TeamState::Known => {
                let _ = writeln!(yaml, "  - slug: {slug}");
            }
        }
        if self.has_lines() {
            yaml.push_str("    members:\n");
        }
        for (before, after) in &self.replaced {
            let before = before.to_yaml(zone);
            if after.is_empty() {
                let _ = writeln!(yaml, "      # remove - {before}");
                continue;
            }
            let _ = writeln!(yaml, "      # in place of - {before}");
            for member in after {
                let _ = writeln!(yaml, "      - {}", member.to_yaml(zone));
            }
        }
        if !self.added.is_empty() && !self.replaced.is_empty() {
            yaml.push_str("      # new\n");
        }
        for member in &self.added {
            let _ = writeln!(yaml, "      - {}", member.to_yaml(zone));
        }
        yaml
    }
}

/// What is known of the file's people.
struct Comparison<'a> {
    file: &'a TeamsFile,
    now: DateTime<Utc>,
    people: FilePeople<'a>,
    by_id: HashMap<&'a ExternalId, usize>,
    /// People with an id cannot be found by login: someone else may have it now.
    has_id: BTreeSet<usize>,
    /// The first login of each person.
    logins: BTreeMap<usize, &'a Login>,
    /// Shares that apply now.
    shares: BTreeMap<usize, Vec<Share<'a>>>,
    /// People with a line that starts later.
    planned: BTreeSet<usize>,
}

impl<'a> Comparison<'a> {
    fn new(file: &'a TeamsFile, now: DateTime<Utc>) -> Self {
        let people = FilePeople::of(file.teams.iter().flat_map(|team| &team.members));
        let mut this = Self {
            file,
            now,
            people,
            by_id: HashMap::new(),
            has_id: BTreeSet::new(),
            logins: BTreeMap::new(),
            shares: BTreeMap::new(),
            planned: BTreeSet::new(),
        };
        for (team, entry) in file.teams.iter().enumerate() {
            for member in &entry.members {
                let Some(person) = this.people.person(&member.login) else { continue };
                if let Some(id) = member.external_id.as_ref().filter(|_| member.login.forge() == Forge::GitHub) {
                    this.by_id.insert(id, person);
                    this.has_id.insert(person);
                }
                this.logins.entry(person).or_insert(&member.login);
                if member.period.contains(now) {
                    this.shares.entry(person).or_default().push(Share { team, member });
                } else if member.period.from().is_some_and(|from| from > now) {
                    this.planned.insert(person);
                }
            }
        }
        this
    }

    /// The lines about a person.
    fn lines_of(&self, person: usize) -> impl Iterator<Item = &'a MemberEntry> {
        let lines = self.file.teams.iter().flat_map(|team| &team.members);
        lines.filter(move |line| self.people.person(&line.login) == Some(person))
    }

    /// Who an account of GitHub is.
    fn who(&self, login: &Login, id: &ExternalId) -> Who {
        let by_login = || self.people.person(login).filter(|person| !self.has_id.contains(person));
        self.by_id.get(id).copied().or_else(by_login).map_or_else(|| Who::New(id.clone()), Who::InFile)
    }

    /// The people in a team of GitHub, with their accounts.
    fn members_of(&self, team: &'a LeafTeam) -> BTreeMap<Who, &'a MemberEntry> {
        let is_bot = |login: &Login| self.file.bots.contains(login);
        let members = team.entry.members.iter().filter(|member| !is_bot(&member.login));
        members.filter_map(|member| Some((self.who(&member.login, member.external_id.as_ref()?), member))).collect()
    }

    /// The people who are in a team of the file now.
    fn people_in(&self, team: usize) -> BTreeSet<Who> {
        let is_in = |shares: &Vec<Share<'_>>| shares.iter().any(|share| share.team == team);
        self.shares.iter().filter(|(_, shares)| is_in(shares)).map(|(person, _)| Who::InFile(*person)).collect()
    }

    /// GitHub's team for each team of the file: by slug, else by name, else by its members.
    fn matches(&self, compared: &[usize], listed: &[&'a LeafTeam]) -> BTreeMap<usize, usize> {
        let mut found: BTreeMap<usize, usize> = BTreeMap::new();
        let mut pair = |is_same: &dyn Fn(&TeamEntry, usize, &LeafTeam) -> bool| {
            for team in compared {
                if found.contains_key(team) {
                    continue;
                }
                let is_free =
                    |place: &usize, found: &BTreeMap<usize, usize>| !found.values().any(|taken| taken == place);
                let mut candidates = (0..listed.len())
                    .filter(|place| is_free(place, &found) && is_same(&self.file.teams[*team], *team, listed[*place]));
                let first = candidates.next();
                // Several that fit are no answer.
                let is_only = candidates.next().is_none();
                if let (Some(place), true) = (first, is_only) {
                    found.insert(*team, place);
                }
            }
        };
        pair(&|entry, _, team| team.entry.slug == entry.slug);
        pair(&|entry, _, team| team.is_called(entry.slug.as_str()));
        pair(&|entry, _, team| team.entry.name.to_lowercase() == entry.name.to_lowercase());
        pair(&|_, index, team| {
            let people = self.people_in(index);
            !people.is_empty() && self.members_of(team).into_keys().collect::<BTreeSet<_>>() == people
        });
        found
    }

    fn compare(&self, compared: &[usize], listed: &[&'a LeafTeam], matches: &BTreeMap<usize, usize>) -> Drift {
        // Teams of the file by their place there, then new ones.
        let known = self.file.teams.len();
        let new: Vec<usize> = (0..listed.len()).filter(|place| !matches.values().any(|taken| taken == place)).collect();
        let mut teams: BTreeMap<usize, TeamDrift> = BTreeMap::new();
        let mut targets: BTreeMap<Who, BTreeSet<usize>> = BTreeMap::new();
        let mut accounts: BTreeMap<Who, &MemberEntry> = BTreeMap::new();
        for index in compared {
            let entry = &self.file.teams[*index];
            let state = match matches.get(index) {
                None => TeamState::Missing,
                Some(place) if listed[*place].is_called(entry.slug.as_str()) => TeamState::Known,
                // A name is changed without a trace; a team with the same name and another slug is the same team.
                Some(place) if listed[*place].entry.name.to_lowercase() == entry.name.to_lowercase() => {
                    TeamState::Known
                }
                Some(place) => TeamState::Renamed { to: listed[*place].entry.slug.clone() },
            };
            teams.insert(*index, TeamDrift::new(&entry.slug, state));
        }
        for (number, place) in new.iter().enumerate() {
            let entry = &listed[*place].entry;
            teams.insert(known + number, TeamDrift::new(&entry.slug, TeamState::New { name: entry.name.clone() }));
        }
        let pairs = matches.iter().map(|(index, place)| (*index, *place));
        for (team, place) in pairs.chain(new.iter().enumerate().map(|(number, place)| (known + number, *place))) {
            for (who, account) in self.members_of(listed[place]) {
                targets.entry(who.clone()).or_default().insert(team);
                accounts.entry(who).or_insert(account);
            }
        }
        for person in self.shares.keys() {
            targets.entry(Who::InFile(*person)).or_default();
        }
        let mut undecided = BTreeSet::new();
        for (who, after) in &targets {
            let change = Change { comparison: self, who, account: accounts.get(who).copied(), after };
            if let Some(login) = change.note(&mut teams) {
                undecided.insert(login);
            }
        }
        let differs = |team: &TeamDrift| {
            team.state != TeamState::Known || !team.joined.is_empty() || !team.left.is_empty() || team.has_lines()
        };
        Drift { teams: teams.into_values().filter(differs).collect(), undecided }
    }
}

/// The teams of a person after the change.
struct Change<'a> {
    comparison: &'a Comparison<'a>,
    who: &'a Who,
    /// The account at GitHub, unless the person is in no team there.
    account: Option<&'a MemberEntry>,
    after: &'a BTreeSet<usize>,
}

impl Change<'_> {
    /// Adds the change of a person to the teams. Returns their login if nothing can be proposed.
    fn note(&self, teams: &mut BTreeMap<usize, TeamDrift>) -> Option<Login> {
        let none = Vec::new();
        let (person, shares) = match self.who {
            Who::InFile(person) => (Some(person), self.comparison.shares.get(person).unwrap_or(&none)),
            Who::New(_) => (None, &none),
        };
        let login = person
            .and_then(|person| self.comparison.logins.get(person).copied())
            .or(self.account.map(|account| &account.login))?;
        let (compared, others): (Vec<&Share<'_>>, Vec<&Share<'_>>) =
            shares.iter().partition(|share| teams.contains_key(&share.team));
        let before: BTreeSet<usize> = compared.iter().map(|share| share.team).collect();
        if before == *self.after {
            return None;
        }
        for team in self.after.difference(&before) {
            let login = self.account.map_or(login, |account| &account.login);
            teams.entry(*team).and_modify(|drift| drift.joined.push(login.clone()));
        }
        for team in before.difference(self.after) {
            teams.entry(*team).and_modify(|drift| drift.left.push(login.clone()));
        }
        if person.is_some_and(|person| self.comparison.planned.contains(person)) {
            return Some(login.clone());
        }
        self.propose(&compared, &others, teams);
        None
    }

    /// Proposes lines: what a person had in the compared teams is split equally among those at GitHub.
    fn propose(&self, compared: &[&Share<'_>], others: &[&Share<'_>], teams: &mut BTreeMap<usize, TeamDrift>) {
        let sum =
            |shares: &[&Share<'_>]| shares.iter().map(|share| u64::from(share.member.weight.units())).sum::<u64>();
        let had = sum(compared);
        let left = u64::from(Weight::UNITS).saturating_sub(sum(others));
        // Somebody whose whole work is for teams that are not compared has no share left: then theirs are split, too.
        let budget = if had > 0 {
            had
        } else if left > 0 {
            left
        } else {
            sum(others)
        };
        let splits_others = had == 0 && left == 0;
        let mut targets: BTreeSet<usize> = self.after.clone();
        if splits_others {
            targets.extend(others.iter().map(|share| share.team));
        }
        let weights: BTreeMap<usize, Weight> =
            targets.iter().copied().zip(equal_parts(budget, targets.len())).collect();
        let start = self.start();
        let changed = compared.iter().chain(others.iter().filter(|_| splits_others));
        for Share { team, member } in changed.copied() {
            let weight = weights.get(team).copied();
            if weight == Some(member.weight) {
                continue;
            }
            let entry = &self.comparison.file.teams[*team];
            let drift = teams.entry(*team).or_insert_with(|| TeamDrift::new(&entry.slug, TeamState::Known));
            // A team that is gone ends with all its memberships.
            if drift.state == TeamState::Missing {
                continue;
            }
            drift.replaced.push(((*member).clone(), from_then_on(member, weight, start)));
        }
        for team in &targets {
            let is_known = shares_of(compared, others).any(|share| share.team == *team);
            let (false, Some(weight), Some(drift)) = (is_known, weights.get(team), teams.get_mut(team)) else {
                continue;
            };
            let Ok(period) = Period::new(Some(start), None) else { continue };
            let Some(account) = self.account else { continue };
            drift.added.push(MemberEntry { weight: *weight, period, ..self.identity(account) });
        }
    }

    /// The accounts for a new line: those of the file, so that it is the same person, else the one at GitHub.
    fn identity(&self, account: &MemberEntry) -> MemberEntry {
        let Who::InFile(person) = self.who else { return account.clone() };
        // The line about the present login, if there is one.
        let line = self
            .comparison
            .lines_of(*person)
            .max_by_key(|line| (line.login == account.login, line.external_id.is_some()));
        line.cloned().unwrap_or_else(|| account.clone())
    }

    /// The day from which the proposal applies: today, unless another line of the person ended later today.
    fn start(&self) -> DateTime<Utc> {
        let Comparison { file, now, .. } = self.comparison;
        let today = start_of_day(now.with_timezone(&file.timezone).date_naive(), file.timezone);
        let Who::InFile(person) = self.who else { return today };
        let lines = self.comparison.lines_of(*person);
        lines.filter_map(|line| line.period.to()).filter(|to| to <= now).fold(today, DateTime::max)
    }
}

fn shares_of<'a, 'b>(one: &'b [&'a Share<'a>], other: &'b [&'a Share<'a>]) -> impl Iterator<Item = &'a Share<'a>> + 'b {
    one.iter().chain(other).copied()
}

/// A line that ends at an instant, and goes on from there with another weight, if with any.
fn from_then_on(member: &MemberEntry, weight: Option<Weight>, start: DateTime<Utc>) -> Vec<MemberEntry> {
    let before = Period::new(member.period.from(), Some(start)).ok();
    // What began today would be empty before it.
    let from = before.map_or(member.period.from(), |_| Some(start));
    let after = weight.and_then(|weight| Some((weight, Period::new(from, member.period.to()).ok()?)));
    let ended = before.map(|period| MemberEntry { period, ..member.clone() });
    let changed = after.map(|(weight, period)| MemberEntry { weight, period, ..member.clone() });
    ended.into_iter().chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::teams_file::{ListedAccount, ListedTeam};

    fn now() -> DateTime<Utc> {
        "2026-11-30T12:00:00Z".parse().expect("an instant")
    }

    fn parse(teams: &str) -> TeamsFile {
        let text = format!("version: 1\ntimezone: Europe/Oslo\nrepositories: [acme/api]\n{teams}");
        TeamsFile::parse("t", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    }

    fn account(login: &str) -> ListedAccount {
        let id = login.bytes().fold(0_i64, |id, byte| id * 31 % 1_000_003 + i64::from(byte)).into();
        ListedAccount { login: Login::from_github(login), id, is_person: true }
    }

    fn leaves(teams: &[(&str, &[&str])]) -> LeafTeams {
        let listed = teams.iter().map(|(slug, logins)| ListedTeam {
            slug: (*slug).to_owned(),
            name: (*slug).to_owned(),
            parent: None,
            members: logins.iter().map(|login| account(login)).collect(),
        });
        LeafTeams::of(&listed.collect::<Vec<_>>())
    }

    fn drift(file: &TeamsFile, github: &[(&str, &[&str])]) -> Drift {
        Drift::between(file, &leaves(github), now(), |_| true)
    }

    /// The file after somebody copied the proposal into it.
    fn copied(file: &TeamsFile, drift: &Drift) -> TeamsFile {
        let mut teams = file.teams.clone();
        for change in &drift.teams {
            let members = change.added.clone();
            match (&change.state, teams.iter_mut().find(|team| team.slug == change.slug)) {
                (TeamState::Missing, _) => teams.retain(|team| team.slug != change.slug),
                (TeamState::New { name }, _) => {
                    let (slug, name) = (change.slug.clone(), name.clone());
                    teams.push(TeamEntry { slug, name, renamed_from: None, members });
                }
                (state, Some(team)) => {
                    for (before, after) in &change.replaced {
                        let place =
                            team.members.iter().position(|member| member == before).expect("a line of the file");
                        team.members.splice(place..=place, after.iter().cloned());
                    }
                    team.members.extend(members);
                    if let TeamState::Renamed { to } = state {
                        team.renamed_from = Some(std::mem::replace(&mut team.slug, to.clone()));
                    }
                }
                (_, None) => panic!("{} is not in the file", change.slug),
            }
        }
        let yaml: String = teams.iter().map(|team| team.to_yaml(file.timezone)).collect();
        parse(&format!("teams:\n{yaml}"))
    }

    const TWO_TEAMS: &str = "teams:
  - { slug: pay, members: [{ github: ana }, { github: bob, weight: 0.5, from: 2026-01-01 }] }
  - { slug: ops, members: [{ github: bob, weight: 0.5 }, { github: cho, weight: 0.3 }] }\n";

    #[test]
    fn equal_members_are_no_drift_at_any_weights() {
        assert!(drift(&parse(TWO_TEAMS), &[("pay", &["bob", "ana"]), ("ops", &["cho", "bob"])]).is_empty());
    }

    #[test]
    fn changes_are_proposed_as_dated_lines() {
        let file = parse(TWO_TEAMS);
        let found = drift(&file, &[("pay", &["ana", "cho"]), ("ops", &["bob", "cho"])]);
        insta::assert_snapshot!(found.to_yaml(file.timezone), @r"
          - slug: pay
            members:
              # in place of - { github: bob, weight: 0.5, from: 2026-01-01 }
              - { github: bob, weight: 0.5, from: 2026-01-01, to: 2026-11-30 }
              # new
              - { github: cho, weight: 0.15, from: 2026-11-30 }
          - slug: ops
            members:
              # in place of - { github: bob, weight: 0.5 }
              - { github: bob, weight: 0.5, to: 2026-11-30 }
              - { github: bob, from: 2026-11-30 }
              # in place of - { github: cho, weight: 0.3 }
              - { github: cho, weight: 0.3, to: 2026-11-30 }
              - { github: cho, weight: 0.15, from: 2026-11-30 }
        ");
    }

    #[test]
    fn new_missing_and_renamed_teams_are_distinguished() {
        let file = parse(TWO_TEAMS);
        let found = drift(&file, &[("billing", &["ana", "bob"]), ("search", &["eve"])]);
        let states: Vec<_> = found.teams.iter().map(|team| (team.slug.as_str(), team.state.clone())).collect();
        let [(pay, TeamState::Renamed { to }), (ops, TeamState::Missing), (search, TeamState::New { .. })] =
            &states[..]
        else {
            panic!("{states:?}")
        };
        assert_eq!((*pay, to.as_str(), *ops, *search), ("pay", "billing", "ops", "search"));
    }

    #[test]
    fn a_renamed_account_with_an_id_is_the_same_person() {
        let id = account("ana-new").id;
        let file =
            parse(&format!("teams: [{{ slug: pay, members: [{{ github: ana, id: {id} }}, {{ github: bob }}] }}]\n"));
        assert!(drift(&file, &[("pay", &["ana-new", "bob"])]).is_empty());
        // Somebody else who has the login now.
        let found = drift(&file, &[("pay", &["ana", "bob"])]);
        assert_eq!((found.teams[0].joined.len(), found.teams[0].left.len()), (1, 1));
    }

    #[test]
    fn bots_and_teams_that_are_not_compared_do_not_differ() {
        let file = parse(&format!("bots: [robot]\n{TWO_TEAMS}"));
        let leaves = leaves(&[("pay", &["ana", "bob", "robot"]), ("all-hands", &["ana", "bob", "cho", "eve"])]);
        let found = Drift::between(&file, &leaves, now(), |team| !["ops", "all-hands"].contains(&team));
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn who_works_only_elsewhere_gets_a_share_from_there() {
        let file =
            parse("teams: [{ slug: pay, members: [{ github: ana }] }, { slug: own, members: [{ github: bob }] }]\n");
        let leaves = leaves(&[("pay", &["ana", "bob"])]);
        let found = Drift::between(&file, &leaves, now(), |team| team != "own");
        let after = copied(&file, &found);
        assert_eq!(after.teams[0].members[1].weight.to_string(), "0.5");
        assert_eq!(after.teams[1].members[1].weight.to_string(), "0.5");
    }

    #[test]
    fn a_line_that_starts_later_leaves_the_person_undecided() {
        let file = parse(
            "teams: [{ slug: pay, members: [{ github: ana, to: 2027-01-01 }, { github: bob }] },
          { slug: ops, members: [{ github: ana, from: 2027-01-01 }] }]\n",
        );
        let found = drift(&file, &[("pay", &["bob"]), ("ops", &["ana"])]);
        assert_eq!(found.undecided.iter().map(Login::as_str).collect::<Vec<_>>(), ["ana"]);
        assert!(found.teams.iter().all(|team| team.replaced.is_empty() && team.added.is_empty()), "{found:?}");
    }

    fn memberships() -> impl Strategy<Value = Vec<Vec<bool>>> {
        prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 1..5)
    }

    proptest! {
        #[test]
        fn a_copied_proposal_is_a_valid_file_without_drift(
            before in memberships(),
            after in memberships(),
            // When the lines of the file begin: before today, today at midnight, or an hour ago.
            begins in prop::collection::vec(0_usize..4, 4),
        ) {
            let logins = ["ana", "bob", "cho", "dan"];
            let mut teams: Vec<TeamEntry> = leaves(&[]).teams.into_iter().map(|team| team.entry).collect();
            for (number, members) in before.iter().enumerate() {
                let people: Vec<&str> = logins.iter().zip(members).filter(|(_, is_in)| **is_in).map(|(it, _)| *it).collect();
                let name = format!("team-{number}");
                teams.extend(leaves(&[(&name, &people)]).teams.into_iter().map(|team| team.entry));
            }
            prop_assume!(!teams.is_empty());
            crate::teams_file::share_equally(&mut teams);
            let starts = [None, Some("2026-01-01T00:00:00Z"), Some("2026-11-29T23:00:00Z"), Some("2026-11-30T11:00:00Z")];
            for member in teams.iter_mut().flat_map(|team| &mut team.members) {
                let person = logins.iter().position(|login| *login == member.login.as_str()).expect("one of them");
                let from = starts[begins[person]].map(|text| text.parse().expect("an instant"));
                member.period = Period::new(from, None).expect("open");
            }
            let yaml: String = teams.iter().map(|team| team.to_yaml(chrono_tz::Europe::Oslo)).collect();
            let file = parse(&format!("teams:\n{yaml}"));
            let names: Vec<String> = (0..after.len()).map(|number| format!("team-{}", number + 1)).collect();
            let people: Vec<Vec<&str>> = after
                .iter()
                .map(|members| logins.iter().zip(members).filter(|(_, is_in)| **is_in).map(|(it, _)| *it).collect())
                .collect();
            let github: Vec<(&str, &[&str])> =
                names.iter().map(String::as_str).zip(people.iter().map(Vec::as_slice)).collect();
            prop_assume!(people.iter().any(|people| !people.is_empty()));
            let found = drift(&file, &github);
            let after = copied(&file, &found);
            prop_assert!(drift(&after, &github).is_empty(), "{yaml}\n{github:?}\n{found:?}");
            // Nobody gains or loses work, except who came or left.
            for login in logins {
                let sum: u32 = after
                    .teams
                    .iter()
                    .flat_map(|team| &team.members)
                    .filter(|member| member.login.as_str() == login && member.period.contains(now()))
                    .map(|member| u32::from(member.weight.units()))
                    .sum();
                prop_assert!(sum == 0 || sum == u32::from(Weight::UNITS), "{login}: {sum}");
            }
        }
    }
}
