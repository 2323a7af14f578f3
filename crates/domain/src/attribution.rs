//! Which teams a pull request counts for, with which weight, and why not.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{AccountKind, ExternalId, Forge, Login, Period, PullRequest, Weight};

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id! {
    /// A team's number.
    TeamId
}
row_id! {
    /// A person's number in Mergeline, which survives login changes.
    PersonId
}
row_id! {
    /// A membership's number; a corrected membership gets a new one.
    MembershipId
}

/// A person's share in a team during a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The membership's number.
    pub id: MembershipId,
    /// The team that the share belongs to.
    pub team: TeamId,
    /// The share of the person's work.
    pub weight: Weight,
    /// When the membership applies, half open.
    pub period: Period,
}

/// A configured person with all memberships, including past and future ones, and the account at one forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The person's number.
    pub id: PersonId,
    /// The login that the forge last reported, or the configured one before that.
    pub login: Login,
    /// The account's id; `None` until it was seen or configured.
    pub external_id: Option<ExternalId>,
    /// All memberships, past and future. Empty for a former member.
    pub memberships: Vec<Membership>,
}

/// One team's share of a pull request, and the membership that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attribution {
    /// The team it counts for.
    pub team: TeamId,
    /// The membership it comes from.
    pub membership: MembershipId,
    /// The weight.
    pub weight: Weight,
}

impl Person {
    /// Whether both are members at the same time, in any teams.
    fn meets(&self, other: &Self) -> bool {
        let other = || other.memberships.iter().map(|membership| membership.period);
        self.memberships.iter().any(|membership| other().any(|period| membership.period.overlaps(&period)))
    }

    /// The teams' shares of this person's pull request at this attribution instant, one for each membership that
    /// contains the instant. Empty if the person was not in a team then.
    pub fn attribute_at(&self, instant: DateTime<Utc>) -> Vec<Attribution> {
        self.memberships
            .iter()
            .filter(|membership| membership.period.contains(instant))
            .map(|membership| Attribution {
                team: membership.team,
                membership: membership.id,
                weight: membership.weight,
            })
            .collect()
    }
}

/// Why a pull request is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The author's account is deleted.
    Ghost,
    /// A bot that is not configured as a member.
    Bot,
    /// A person who is not in a configured team.
    NotAMember,
}

/// What happens to a pull request that GitHub listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Its author is a configured person. It is stored with the teams' shares, which are empty if the person was not in
    /// a team at the attribution instant.
    Keep {
        /// The author.
        person: &'a Person,
        /// The teams' shares.
        attributions: Vec<Attribution>,
    },
    /// Its author is not configured: it is only counted.
    Skip(SkipReason),
    /// The account was known under another login, and its new login is configured as a new person who starts where the
    /// known one ends. The two are one person and must be merged before their pull requests can be stored.
    DuplicatePerson {
        /// The person who owns the account.
        known: PersonId,
        /// The person who was configured under the new login.
        configured: PersonId,
    },
}

/// The configured people, indexed by their accounts at one forge.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    people: Vec<Person>,
    by_external_id: HashMap<ExternalId, usize>,
    by_login: HashMap<Login, usize>,
    bots: Vec<Login>,
}

impl Roster {
    /// Builds a roster of members and of everyone else whose account is already known. `bots` are logins that count as
    /// bots even though GitHub calls them users.
    pub fn new(people: Vec<Person>, bots: Vec<Login>) -> Self {
        let mut by_external_id = HashMap::new();
        let mut by_login = HashMap::new();
        for (index, person) in people.iter().enumerate() {
            match person.external_id.clone() {
                // An equal id at another forge is another account. Only pull requests of GitHub are judged.
                Some(id) if person.login.forge() == Forge::GitHub => {
                    by_external_id.insert(id, index);
                }
                Some(_) => {}
                // A login alone identifies only an account that was never seen. Once the number is known, another
                // account that registers the login inherits nothing.
                None => {
                    by_login.insert(person.login.clone(), index);
                }
            }
        }
        Self { people, by_external_id, by_login, bots }
    }

    /// The configured people.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// Whether an account is configured as a bot even though GitHub calls it a user.
    pub fn names_as_bot(&self, login: &Login) -> bool {
        self.bots.contains(login)
    }

    /// Keeps or skips a pull request, and attributes it if it is kept.
    pub fn judge(&self, pull_request: &PullRequest) -> Verdict<'_> {
        self.judging().judge(pull_request)
    }

    /// Judges pull requests that belong together, such as those of one page.
    pub fn judging(&self) -> Judging<'_> {
        Judging { roster: self, learned: HashMap::new() }
    }
}

/// Judges pull requests in sequence. A login identifies its account only until the account is seen. What one pull
/// request shows about an account applies to the next ones, even if the account is renamed in between.
#[derive(Debug)]
pub struct Judging<'a> {
    roster: &'a Roster,
    /// The accounts seen so far, with the matching people of the roster (by index).
    learned: HashMap<ExternalId, usize>,
}

impl<'a> Judging<'a> {
    /// Keeps or skips a pull request, and attributes it if it is kept.
    pub fn judge(&mut self, pull_request: &PullRequest) -> Verdict<'a> {
        let roster = self.roster;
        let Some(author) = &pull_request.author else { return Verdict::Skip(SkipReason::Ghost) };
        let known = roster.by_external_id.get(&author.id).or_else(|| self.learned.get(&author.id)).copied();
        let is_seen = |index: usize| self.learned.values().any(|seen| *seen == index);
        let configured = roster.by_login.get(&author.login).copied().filter(|index| !is_seen(*index));
        let found = match (known, configured) {
            // A person configured for the same time is someone else, whose login this account has taken over.
            (Some(known), Some(configured)) if roster.people[known].meets(&roster.people[configured]) => Some(known),
            (Some(known), Some(configured)) => {
                let (known, configured) = (roster.people[known].id, roster.people[configured].id);
                return Verdict::DuplicatePerson { known, configured };
            }
            (None, Some(configured)) => {
                self.learned.insert(author.id.clone(), configured);
                Some(configured)
            }
            (known, None) => known,
        };
        match found.and_then(|index| roster.people.get(index)).filter(|person| !person.memberships.is_empty()) {
            Some(person) => {
                Verdict::Keep { person, attributions: person.attribute_at(pull_request.attribution_instant()) }
            }
            None if author.kind == AccountKind::Ghost => Verdict::Skip(SkipReason::Ghost),
            None if author.kind == AccountKind::Bot || roster.names_as_bot(&author.login) => {
                Verdict::Skip(SkipReason::Bot)
            }
            None => Verdict::Skip(SkipReason::NotAMember),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Author, State};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("in range")
    }

    fn author(id: i64, login: &str, kind: AccountKind) -> Author {
        Author { id: id.into(), login: Login::from_github(login), kind }
    }

    fn merged(author: Option<Author>, seconds: i64) -> PullRequest {
        PullRequest {
            id: 1.into(),
            node_id: None,
            number: 1,
            title: String::new(),
            author,
            state: State::Merged { at: at(seconds), closed_at: at(seconds) },
            is_draft: false,
            base_ref: None,
            created_at: at(0),
            updated_at: at(seconds),
        }
    }

    fn membership(id: i64, team: i64, units: u16, from: Option<i64>, to: Option<i64>) -> Membership {
        Membership {
            id: MembershipId(id),
            team: TeamId(team),
            weight: Weight::from_units(units).expect("in range"),
            period: Period::new(from.map(at), to.map(at)).expect("valid"),
        }
    }

    fn person(id: i64, login: &str, external_id: Option<i64>, memberships: Vec<Membership>) -> Person {
        let external_id = external_id.map(ExternalId::from);
        Person { id: PersonId(id), login: Login::from_github(login), external_id, memberships }
    }

    fn teams(verdict: &Verdict<'_>) -> Vec<(i64, u16)> {
        match verdict {
            Verdict::Keep { attributions, .. } => attributions.iter().map(|a| (a.team.0, a.weight.units())).collect(),
            other => panic!("not kept: {other:?}"),
        }
    }

    #[test]
    fn a_pull_request_splits_across_its_authors_teams() {
        let ana =
            person(1, "ana", Some(7), vec![membership(1, 1, 5_000, None, None), membership(2, 2, 5_000, None, None)]);
        let roster = Roster::new(vec![ana], vec![]);
        let pr = merged(Some(author(7, "ana", AccountKind::Human)), 100);
        assert_eq!(teams(&roster.judge(&pr)), [(1, 5_000), (2, 5_000)]);
    }

    #[test]
    fn the_instant_of_a_team_change_is_the_new_teams() {
        let bob = person(
            1,
            "bob",
            Some(7),
            vec![membership(1, 1, 10_000, None, Some(100)), membership(2, 2, 10_000, Some(100), None)],
        );
        let roster = Roster::new(vec![bob], vec![]);
        let judged = |seconds| teams(&roster.judge(&merged(Some(author(7, "bob", AccountKind::Human)), seconds)));
        assert_eq!(judged(99), [(1, 10_000)]);
        assert_eq!(judged(100), [(2, 10_000)]);
    }

    #[test]
    fn pull_requests_count_at_creation_or_close() {
        let ana = person(
            1,
            "ana",
            Some(7),
            vec![membership(1, 1, 10_000, None, Some(50)), membership(2, 2, 10_000, Some(50), None)],
        );
        let roster = Roster::new(vec![ana], vec![]);
        let mut pr = merged(Some(author(7, "ana", AccountKind::Human)), 100);
        pr.state = State::Closed { at: at(60) };
        assert_eq!(teams(&roster.judge(&pr)), [(2, 10_000)]);
        pr.state = State::Open;
        assert_eq!(teams(&roster.judge(&pr)), [(1, 10_000)]);
    }

    #[test]
    fn a_member_outside_memberships_is_kept_unallocated() {
        let ana = person(1, "ana", Some(7), vec![membership(1, 1, 10_000, Some(500), None)]);
        let roster = Roster::new(vec![ana], vec![]);
        assert_eq!(teams(&roster.judge(&merged(Some(author(7, "ana", AccountKind::Human)), 100))), []);
    }

    #[test]
    fn a_reused_login_inherits_nothing() {
        let ana = person(1, "ana", Some(7), vec![membership(1, 1, 10_000, None, None)]);
        let roster = Roster::new(vec![ana], vec![]);
        let stranger = merged(Some(author(8, "ana", AccountKind::Human)), 100);
        assert_eq!(roster.judge(&stranger), Verdict::Skip(SkipReason::NotAMember));
    }

    #[test]
    fn a_known_account_under_its_new_login_merges() {
        let before = person(1, "ana", Some(7), vec![]);
        let after = person(2, "ana-b", None, vec![membership(1, 1, 10_000, None, None)]);
        let roster = Roster::new(vec![before, after], vec![]);
        let pr = merged(Some(author(7, "ana-b", AccountKind::Human)), 100);
        assert_eq!(roster.judge(&pr), Verdict::DuplicatePerson { known: PersonId(1), configured: PersonId(2) });
        let stranger = merged(Some(author(8, "ana-b", AccountKind::Human)), 100);
        assert_eq!(teams(&roster.judge(&stranger)), [(1, 10_000)]);
    }

    #[test]
    fn an_account_taking_a_members_login_stays_itself() {
        let carl = person(1, "carl", Some(9), vec![membership(1, 1, 5_000, None, None)]);
        let ana = person(2, "ana", None, vec![membership(2, 2, 5_000, Some(50), None)]);
        let roster = Roster::new(vec![carl, ana], vec![]);
        let by = |id, login| merged(Some(author(id, login, AccountKind::Human)), 100);
        let mut judging = roster.judging();
        assert_eq!(teams(&judging.judge(&by(9, "ana"))), [(1, 5_000)]);
    }

    #[test]
    fn a_rename_within_a_page_is_one_person() {
        let old = person(1, "ana", None, vec![membership(1, 1, 10_000, None, Some(50))]);
        let new = person(2, "ana-b", None, vec![membership(2, 1, 10_000, Some(50), None)]);
        let roster = Roster::new(vec![old, new], vec![]);
        let by = |id, login| merged(Some(author(id, login, AccountKind::Human)), 100);
        let mut judging = roster.judging();
        assert_eq!(teams(&judging.judge(&by(7, "ana"))), []);
        let same = Verdict::DuplicatePerson { known: PersonId(1), configured: PersonId(2) };
        assert_eq!(judging.judge(&by(7, "ana-b")), same);
        assert_eq!(judging.judge(&by(8, "ana")), Verdict::Skip(SkipReason::NotAMember));
    }

    #[test]
    fn an_equal_id_at_another_forge_is_another_account() {
        let login = Login::of(Forge::GitLab, "ana");
        let memberships = vec![membership(1, 1, 10_000, None, None)];
        let ana = Person { id: PersonId(1), login, external_id: Some(7.into()), memberships };
        let bob = person(2, "bob", Some(8), vec![membership(2, 2, 10_000, None, None)]);
        let roster = Roster::new(vec![bob, ana], vec![]);
        let by = |id, login| merged(Some(author(id, login, AccountKind::Human)), 100);
        assert_eq!(roster.judge(&by(7, "ana")), Verdict::Skip(SkipReason::NotAMember));
        assert_eq!(teams(&roster.judge(&by(8, "bob"))), [(2, 10_000)]);
    }

    #[test]
    fn a_former_member_is_skipped() {
        let roster = Roster::new(vec![person(1, "ana", Some(7), vec![])], vec![]);
        let pr = merged(Some(author(7, "ana", AccountKind::Human)), 100);
        assert_eq!(roster.judge(&pr), Verdict::Skip(SkipReason::NotAMember));
    }

    #[test]
    fn a_renamed_account_keeps_its_memberships() {
        let ana = person(1, "ana", Some(7), vec![membership(1, 1, 10_000, None, None)]);
        let roster = Roster::new(vec![ana], vec![]);
        assert_eq!(teams(&roster.judge(&merged(Some(author(7, "ana-b", AccountKind::Human)), 100))), [(1, 10_000)]);
    }

    #[test]
    fn bots_and_ghosts_are_skipped_unless_configured() {
        let bot = |login| Some(author(9, login, AccountKind::Bot));
        let roster = Roster::new(vec![], vec![Login::from_github("ci-user")]);
        assert_eq!(roster.judge(&merged(None, 1)), Verdict::Skip(SkipReason::Ghost));
        assert_eq!(roster.judge(&merged(bot("renovate[bot]"), 1)), Verdict::Skip(SkipReason::Bot));
        let configured_bot = merged(Some(author(3, "CI-user", AccountKind::Human)), 1);
        assert_eq!(roster.judge(&configured_bot), Verdict::Skip(SkipReason::Bot));
        let ghost = merged(Some(author(10_137, "ghost", AccountKind::Ghost)), 1);
        assert_eq!(roster.judge(&ghost), Verdict::Skip(SkipReason::Ghost));
        let member = person(1, "renovate[bot]", None, vec![membership(1, 1, 10_000, None, None)]);
        let roster = Roster::new(vec![member], vec![]);
        assert_eq!(teams(&roster.judge(&merged(bot("renovate[bot]"), 1))), [(1, 10_000)]);
    }

    /// One person's concurrent weights across up to four teams, cut at up to three instants, never above 1.
    fn any_memberships() -> impl Strategy<Value = Vec<Membership>> {
        let row = prop::collection::vec(0u16..=2_500, 4);
        (prop::collection::btree_set(1i64..1_000, 0..3), prop::collection::vec(row, 4)).prop_map(|(cuts, rows)| {
            let edges: Vec<Option<i64>> = std::iter::once(None).chain(cuts.into_iter().map(Some)).collect();
            let mut memberships = Vec::new();
            for (index, from) in edges.iter().enumerate() {
                let to = edges.get(index + 1).copied().flatten();
                for (team, &units) in (1i64..).zip(&rows[index]) {
                    if units > 0 {
                        let id = i64::try_from(memberships.len()).expect("few");
                        memberships.push(membership(id, team, units, *from, to));
                    }
                }
            }
            memberships
        })
    }

    proptest! {
        #[test]
        fn attributed_and_unallocated_weights_sum_to_the_count(
            memberships in any_memberships(),
            instants in prop::collection::vec(0i64..1_100, 1..40),
        ) {
            let expected_at = |seconds: i64| -> u64 {
                memberships.iter()
                    .filter(|m| m.period.from().is_none_or(|f| f <= at(seconds)) && m.period.to().is_none_or(|t| at(seconds) < t))
                    .map(|m| u64::from(m.weight.units()))
                    .sum()
            };
            let ana = person(1, "ana", Some(7), memberships.clone());
            let roster = Roster::new(vec![ana], vec![]);
            let mut attributed = 0;
            let mut unallocated = 0;
            for &seconds in &instants {
                let pr = merged(Some(author(7, "ana", AccountKind::Human)), seconds);
                let shares: u64 = teams(&roster.judge(&pr)).iter().map(|(_, units)| u64::from(*units)).sum();
                prop_assert_eq!(shares, expected_at(seconds));
                attributed += shares;
                unallocated += u64::from(Weight::UNITS) - shares;
            }
            prop_assert_eq!(attributed + unallocated, instants.len() as u64 * u64::from(Weight::UNITS));
        }
    }
}
