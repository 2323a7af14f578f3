//! Drafts a teams file from what GitHub lists.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::write::{SCHEMA_LINE, comment, display_name, scalar};
use super::{MemberEntry, TeamEntry};
use crate::{ExternalId, Login, Period, RepoEntry, TeamSlug, Weight, one_line};

/// The most characters of a team's slug.
const MAX_SLUG: usize = 63;
/// More characters of GitHub's names are not shown in a comment.
const SHOWN_NAME: usize = 63;

/// A team of an organization, as GitHub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedTeam {
    /// Its short name in GitHub's addresses.
    pub slug: String,
    /// Its display name.
    pub name: String,
    /// The short name of the team that contains it.
    pub parent: Option<String>,
    /// Its members. GitHub includes those of the teams that it contains.
    pub members: Vec<ListedAccount>,
}

/// An account in a list of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Its login.
    pub login: Login,
    /// Its id.
    pub id: ExternalId,
    /// Whether it is neither a bot nor an organization.
    pub is_person: bool,
}

/// The teams of an organization that contain no other teams, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeafTeams {
    /// The teams with members, in GitHub's order. Each membership is full and has no dates.
    pub teams: Vec<LeafTeam>,
    /// Teams that contain others, and the ones that they contain.
    pub parents: BTreeMap<String, Vec<String>>,
    /// Teams without people.
    pub empty: Vec<String>,
    /// People who are only in teams that contain others, and in which.
    pub only_in_parents: BTreeMap<String, Vec<String>>,
    /// Members that are bots, or whose login no file may have.
    pub not_people: BTreeSet<String>,
}

/// A team that contains no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafTeam {
    /// GitHub's short name of it.
    pub listed_as: String,
    /// The team as the file would have it.
    pub entry: TeamEntry,
}

impl LeafTeam {
    /// Whether somebody means this team by a name, which may be GitHub's or the file's.
    pub fn is_called(&self, name: &str) -> bool {
        self.listed_as.eq_ignore_ascii_case(name) || self.entry.slug.as_str().eq_ignore_ascii_case(name)
    }
}

impl LeafTeams {
    /// The leaf teams among these.
    pub fn of(listed: &[ListedTeam]) -> Self {
        let mut leaves = Self::default();
        for team in listed {
            if let Some(parent) = &team.parent {
                leaves.parents.entry(parent.clone()).or_default().push(team.slug.clone());
            }
        }
        let mut taken = BTreeSet::new();
        for team in listed.iter().filter(|team| !leaves.parents.contains_key(&team.slug)) {
            let members = members(&team.members, &mut leaves.not_people);
            if members.is_empty() {
                leaves.empty.push(shown(&team.slug));
                continue;
            }
            let slug = slug_of(&team.slug, &taken);
            taken.insert(slug.clone());
            let name = display_name(&team.name).unwrap_or_else(|| slug.to_string());
            let entry = TeamEntry { slug, name, renamed_from: None, members };
            leaves.teams.push(LeafTeam { listed_as: team.slug.clone(), entry });
        }
        let in_leaves: BTreeSet<Login> =
            leaves.teams.iter().flat_map(|team| &team.entry.members).map(|member| member.login.clone()).collect();
        for team in listed.iter().filter(|team| leaves.parents.contains_key(&team.slug)) {
            for member in members(&team.members, &mut leaves.not_people) {
                if !in_leaves.contains(&member.login) {
                    leaves.only_in_parents.entry(member.login.to_string()).or_default().push(shown(&team.slug));
                }
            }
        }
        leaves
    }

    /// One team of these accounts, for an owner without teams.
    pub fn of_one(name: &str, accounts: &[ListedAccount]) -> Self {
        let team =
            ListedTeam { slug: name.to_owned(), name: name.to_owned(), parent: None, members: accounts.to_vec() };
        Self::of(&[team])
    }

    /// What was left out, and why, as sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.parents.is_empty() {
            let parents: Vec<String> = self.parents.keys().map(|slug| shown(slug)).collect();
            notes.push(format!("Left out, because they contain other teams: {}.", parents.join(", ")));
        }
        if !self.only_in_parents.is_empty() {
            let people: Vec<String> =
                self.only_in_parents.iter().map(|(login, teams)| format!("{login} ({})", teams.join(", "))).collect();
            let people = people.join(", ");
            notes.push(format!(
                "Only in teams that were left out, so that they count for no team until you add them: {people}."
            ));
        }
        if !self.empty.is_empty() {
            notes.push(format!("Left out, because nobody is in them: {}.", self.empty.join(", ")));
        }
        if !self.not_people.is_empty() {
            let logins: Vec<&str> = self.not_people.iter().map(String::as_str).collect();
            notes.push(format!("Left out, because they are not people: {}.", logins.join(", ")));
        }
        notes
    }
}

fn shown(name: &str) -> String {
    one_line(name, SHOWN_NAME)
}

/// The people among the members, each once, in alphabetical order.
fn members(listed: &[ListedAccount], not_people: &mut BTreeSet<String>) -> Vec<MemberEntry> {
    let mut people: BTreeMap<&Login, MemberEntry> = BTreeMap::new();
    for account in listed {
        let login = &account.login;
        let is_person =
            account.is_person && !login.as_str().ends_with("[bot]") && Login::github(login.as_str()).is_ok();
        if !is_person {
            not_people.insert(shown(login.as_str()));
            continue;
        }
        people.entry(login).or_insert_with(|| MemberEntry {
            login: login.clone(),
            external_id: Some(account.id.clone()),
            other_accounts: Vec::new(),
            weight: Weight::FULL,
            period: Period::ALWAYS,
        });
    }
    people.into_values().collect()
}

/// The slug that a file may have for a team with this name, other than those that are taken.
pub(super) fn slug_of(name: &str, taken: &BTreeSet<TeamSlug>) -> TeamSlug {
    let folded: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let folded = folded.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let has_letter = folded.chars().any(|c| c.is_ascii_lowercase());
    let stem = match folded.as_str() {
        "" => "team".to_owned(),
        _ if has_letter => folded,
        _ => format!("team-{folded}"),
    };
    let mut number = 1_u32;
    loop {
        let end = if number == 1 { String::new() } else { format!("-{number}") };
        // Cutting may leave a hyphen at the end, or digits only.
        let start: String = stem.chars().take(MAX_SLUG - end.len()).collect();
        let start = start.trim_end_matches('-');
        let slug = format!("{start}{end}").parse().or_else(|_| format!("team{end}").parse());
        match slug {
            Ok(slug) if !taken.contains(&slug) => return slug,
            _ => number += 1,
        }
    }
}

/// A sum of weights in so many equal parts, which add up to exactly the sum: the first ones have the odd units. At most as
/// many parts as the sum has units, because a weight is never zero.
pub(super) fn equal_parts(units: u64, parts: usize) -> Vec<Weight> {
    let parts_units = u64::try_from(parts).unwrap_or(u64::MAX).max(1);
    let (each, odd) = (units / parts_units, units % parts_units);
    let units_of = |index: u64| each + u64::from(index < odd);
    (0..parts_units)
        .map_while(|index| {
            Weight::from_units(u16::try_from(units_of(index)).unwrap_or(Weight::UNITS).min(Weight::UNITS))
        })
        .collect()
}

/// Gives each person an equal share in each of their teams.
pub fn share_equally(teams: &mut [TeamEntry]) {
    let mut counts: BTreeMap<Login, usize> = BTreeMap::new();
    for member in teams.iter().flat_map(|team| &team.members) {
        *counts.entry(member.login.clone()).or_default() += 1;
    }
    let mut shares: BTreeMap<Login, std::vec::IntoIter<Weight>> = counts
        .into_iter()
        .map(|(login, count)| (login, equal_parts(Weight::UNITS.into(), count).into_iter()))
        .collect();
    for team in teams {
        team.members.retain_mut(|member| match shares.get_mut(&member.login).and_then(Iterator::next) {
            Some(weight) => {
                member.weight = weight;
                true
            }
            None => false,
        });
    }
}

/// A teams file that is not written yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamsDraft {
    /// What the first comment says, as sentences.
    pub about: Vec<String>,
    /// The time zone.
    pub timezone: Tz,
    /// The entries of `repositories`.
    pub repositories: Vec<RepoEntry>,
    /// The teams.
    pub teams: Vec<TeamEntry>,
}

impl TeamsDraft {
    /// A draft from the teams of an owner at GitHub, with equal shares for those who are in several.
    pub fn from_github(
        owner: &str,
        leaves: &LeafTeams,
        repositories: Vec<RepoEntry>,
        timezone: Tz,
        today: NaiveDate,
    ) -> Self {
        let mut teams: Vec<TeamEntry> = leaves.teams.iter().map(|team| team.entry.clone()).collect();
        share_equally(&mut teams);
        let mut about = vec![
            format!("Drafted from GitHub's teams of {} on {today}.", shown(owner)),
            "No line has a `from`: GitHub does not say since when somebody is in a team, so everybody counts as if they had \
             always been in it. Where somebody came or left in the time that you look at, write `from: 2026-01-05`, the first \
             day, and `to:`, the first day after. Who left earlier is missing, and counts for no team until you add a line."
                .to_owned(),
            "Who is in several teams has an equal share in each: write other weights where the work is divided otherwise."
                .to_owned(),
        ];
        about.extend(leaves.notes());
        Self { about, timezone, repositories, teams }
    }

    /// The file's text.
    pub fn to_yaml(&self) -> String {
        let mut yaml = SCHEMA_LINE.to_owned();
        for sentence in &self.about {
            yaml.push_str(&comment(sentence));
        }
        let _ = write!(yaml, "version: 1\ntimezone: {}\nrepositories:\n", scalar(self.timezone.name()));
        for entry in &self.repositories {
            let _ = writeln!(yaml, "  - {}", scalar(&entry.to_string()));
        }
        yaml.push_str("teams:\n");
        for team in &self.teams {
            yaml.push_str(&team.to_yaml(self.timezone));
        }
        yaml
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::teams_file::tree::{self, Node, Value};
    use crate::teams_file::{TeamsFile, json_schema};

    static SCHEMA: LazyLock<jsonschema::Validator> =
        LazyLock::new(|| jsonschema::validator_for(&json_schema()).expect("a valid schema"));

    fn account(login: &str) -> ListedAccount {
        let id = login.bytes().fold(1_i64, |id, byte| id * 31 % 1_000_003 + i64::from(byte)).into();
        ListedAccount { login: Login::from_github(login), id, is_person: true }
    }

    fn team(slug: &str, name: &str, logins: &[&str]) -> ListedTeam {
        let members = logins.iter().map(|login| account(login)).collect();
        ListedTeam { slug: slug.to_owned(), name: name.to_owned(), parent: None, members }
    }

    fn draft(listed: &[ListedTeam]) -> TeamsDraft {
        let repositories = vec!["acme/*".parse().expect("a pattern"), "null/true".parse().expect("a name")];
        let today = "2026-11-30".parse().expect("a day");
        TeamsDraft::from_github("acme", &LeafTeams::of(listed), repositories, chrono_tz::Europe::Oslo, today)
    }

    /// The file that the draft becomes.
    fn read(draft: &TeamsDraft) -> TeamsFile {
        let yaml = draft.to_yaml();
        let file = TeamsFile::parse("t", yaml.as_bytes()).unwrap_or_else(|problems| panic!("{problems}\n{yaml}"));
        assert_eq!(file.teams, draft.teams, "{yaml}");
        let value = typed(&tree::parse(yaml.as_bytes()).expect("YAML"));
        assert!(SCHEMA.is_valid(&value), "{yaml}");
        file
    }

    /// What a parser of YAML makes of a value, with the types that plain words have in any of its versions.
    fn typed(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar { text, is_plain: true } => {
                let is_boolean =
                    ["true", "false", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
                let number = text.parse::<f64>().ok().map(serde_json::Value::from);
                let number = number.or_else(|| i64::from_str_radix(text.strip_prefix("0x")?, 16).ok().map(Into::into));
                let whole = text.parse::<i64>().ok().map(serde_json::Value::from);
                let boolean = is_boolean.then_some(serde_json::Value::Bool(true));
                whole.or(number).or(boolean).unwrap_or_else(|| text.as_str().into())
            }
            Value::Scalar { text, .. } => text.as_str().into(),
            Value::List(items) => items.iter().map(typed).collect(),
            Value::Map(entries) => entries.iter().map(|(key, node)| (key.text.clone(), typed(node))).collect(),
        }
    }

    #[test]
    fn a_draft_says_what_it_leaves_out() {
        let below =
            |slug: &str, logins: &[&str]| ListedTeam { parent: Some("eng".to_owned()), ..team(slug, slug, logins) };
        let mut pay = below("pay", &["ana", "bob"]);
        pay.members.push(ListedAccount { is_person: false, ..account("robot[bot]") });
        let listed =
            [team("eng", "Engineering", &["ana", "bob", "dana"]), pay, below("ops", &["bob"]), team("old", "Old", &[])];
        insta::assert_snapshot!(draft(&listed).to_yaml(), @r"
        # yaml-language-server: $schema=https://raw.githubusercontent.com/mergeline/mergeline/main/docs/teams.schema.json
        # Drafted from GitHub's teams of acme on 2026-11-30.
        # No line has a `from`: GitHub does not say since when somebody is in a team, so everybody counts as if they
        # had always been in it. Where somebody came or left in the time that you look at, write `from: 2026-01-05`,
        # the first day, and `to:`, the first day after. Who left earlier is missing, and counts for no team until you
        # add a line.
        # Who is in several teams has an equal share in each: write other weights where the work is divided otherwise.
        # Left out, because they contain other teams: eng.
        # Only in teams that were left out, so that they count for no team until you add them: dana (eng).
        # Left out, because nobody is in them: old.
        # Left out, because they are not people: robot[bot].
        version: 1
        timezone: Europe/Oslo
        repositories:
          - acme/*
          - null/true
        teams:
          - slug: pay
            members:
              - { github: ana, id: 126515 }
              - { github: bob, id: 127508, weight: 0.5 }
          - slug: ops
            members:
              - { github: bob, id: 127508, weight: 0.5 }
        ");
        read(&draft(&listed));
    }

    #[test]
    fn each_listed_slug_becomes_one_of_a_file() {
        let mut taken = BTreeSet::new();
        let long = "a".repeat(80);
        for (listed, expected) in [
            ("payments", "payments"),
            ("my_team", "my-team"),
            ("My Team", "my-team-2"),
            ("2024", "team-2024"),
            ("\u{6c7a}\u{6e08}", "team"),
            ("ent:all", "ent-all"),
            ("", "team-2"),
            (&long, &long[..63]),
            (&long, &format!("{}-2", &long[..61])),
        ] {
            let slug = slug_of(listed, &taken);
            assert_eq!(slug.as_str(), expected, "{listed}");
            taken.insert(slug);
        }
    }

    #[test]
    fn shares_of_a_person_add_up_to_one() {
        for (parts, first) in
            [(1, "1"), (2, "0.5"), (3, "0.3334"), (7, "0.1429"), (9_999, "0.0002"), (10_001, "0.0001")]
        {
            let weights = equal_parts(Weight::UNITS.into(), parts);
            let sum: u32 = weights.iter().map(|weight| u32::from(weight.units())).sum();
            assert_eq!((sum, weights[0].to_string().as_str()), (u32::from(Weight::UNITS), first), "{parts}");
        }
    }

    #[test]
    fn words_that_yaml_reads_otherwise_are_quoted() {
        for word in
            ["on", "NO", "null", "1e5", "0x1f", "2026-01-01", "~", "y", "- a", "a: b", "a #b", "", "a ", "\"", "{a}"]
        {
            assert!(scalar(word).starts_with('"'), "{word}");
        }
        for word in ["payments", "acme/*", "Team One", "renovate-2", "acme/api.rs", "\u{e5}se"] {
            let is_plain = word.is_ascii();
            assert_eq!(scalar(word).starts_with('"'), !is_plain, "{word}");
        }
    }

    proptest! {
        #[test]
        fn a_draft_is_read_back_and_fits_the_schema(
            teams in prop::collection::vec(("[a-z0-9_-]{1,8}|true|on|1e5", any::<String>(), prop::collection::btree_set(0_usize..12, 0..12)), 1..6),
        ) {
            let logins = ["ana", "null", "on", "123", "1e5", "0x1f", "y", "true", "a-b", "e2e-1", "no", "acme_co"];
            let listed: Vec<ListedTeam> = teams
                .iter()
                .map(|(slug, name, members)| team(slug, name, &members.iter().map(|it| logins[*it]).collect::<Vec<_>>()))
                .collect();
            let draft = draft(&listed);
            prop_assume!(!draft.teams.is_empty());
            let file = read(&draft);
            for login in logins {
                let weights = file.teams.iter().flat_map(|team| &team.members).filter(|it| it.login.as_str() == login);
                let sum: u32 = weights.map(|member| u32::from(member.weight.units())).sum();
                prop_assert!(sum == 0 || sum == u32::from(Weight::UNITS), "{login} {sum}");
            }
        }
    }
}
