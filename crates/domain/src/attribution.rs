//! Which teams a pull request counts for, with which weight, and why not.

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{AccountKind, GithubId, Login, Period, PullRequest, Weight};

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
    /// A person's number at Mergeline, which survives changes of login.
    PersonId
}
row_id! {
    /// A membership's number; a corrected membership gets a new one.
    MembershipId
}

/// A person's share in a team over a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The membership's number.
    pub id: MembershipId,
    /// The team that the share belongs to.
    pub team: TeamId,
    /// The share of the person's work.
    pub weight: Weight,
    /// When it is in force, half open.
    pub period: Period,
}

/// A configured person with all their memberships, past and future ones included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The person's number.
    pub id: PersonId,
    /// The login under which GitHub last showed them, or the configured one before that.
    pub login: Login,
    /// The account's number; `None` until it has been seen or configured.
    pub github_id: Option<GithubId>,
    /// All memberships in force at some time. None for somebody who is no member any more.
    pub memberships: Vec<Membership>,
}

/// One team's share of a pull request, and the membership that gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attribution {
    /// The team that it counts for.
    pub team: TeamId,
    /// The membership that says so.
    pub membership: MembershipId,
    /// With which weight.
    pub weight: Weight,
}

impl Person {
    /// Whether both are members at the same time, in whatever teams.
    fn meets(&self, other: &Self) -> bool {
        let other = || other.memberships.iter().map(|membership| membership.period);
        self.memberships.iter().any(|membership| other().any(|period| membership.period.overlaps(&period)))
    }

    /// The teams' shares of a pull request of this person with this attribution instant: one for each
    /// membership that holds it. None at all when they were in no team then.
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

/// Why a pull request is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The author's account is deleted.
    Ghost,
    /// A bot that is not configured as a member.
    Bot,
    /// A person of no configured team.
    NotAMember,
}

/// What becomes of a pull request that GitHub listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// A configured person's: it is stored, with the shares of the teams (none when they were in no team
    /// at the attribution instant).
    Keep {
        /// The author.
        person: &'a Person,
        /// The teams' shares.
        attributions: Vec<Attribution>,
    },
    /// Anybody else's: only counted.
    Skip(SkipReason),
    /// The account was known under another login, and the configuration has its new login as somebody new, who begins where
    /// the known one ends: the two are one person, and must become one before anything of theirs can be kept.
    DuplicatePerson {
        /// The person whose account it is.
        known: PersonId,
        /// The person who was configured by the new login.
        configured: PersonId,
    },
}

/// The configured people, to be looked up by account.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    people: Vec<Person>,
    by_github_id: HashMap<GithubId, usize>,
    by_login: HashMap<Login, usize>,
    bots: Vec<Login>,
}

impl Roster {
    /// A roster of these people: members, and everybody else whose account is known from before. `bots` are logins that count as bots although GitHub calls them users.
    pub fn new(people: Vec<Person>, bots: Vec<Login>) -> Self {
        let mut by_github_id = HashMap::new();
        let mut by_login = HashMap::new();
        for (index, person) in people.iter().enumerate() {
            match person.github_id {
                Some(id) => {
                    by_github_id.insert(id, index);
                }
                // A login alone identifies only who has never been seen: once the number is known, whoever
                // registers the login again inherits nothing.
                None => {
                    by_login.insert(person.login.clone(), index);
                }
            }
        }
        Self { people, by_github_id, by_login, bots }
    }

    /// The configured people.
    pub fn people(&self) -> &[Person] {
        &self.people
    }

    /// Whether an account is a program's by configuration, though GitHub calls it a user.
    pub fn names_as_bot(&self, login: &Login) -> bool {
        self.bots.contains(login)
    }

    /// Keeps or skips a pull request, and attributes it when it is kept.
    pub fn judge(&self, pull_request: &PullRequest) -> Verdict<'_> {
        self.judging().judge(pull_request)
    }

    /// Judges pull requests that belong together, those of a page.
    pub fn judging(&self) -> Judging<'_> {
        Judging { roster: self, learned: HashMap::new() }
    }
}

/// Judges pull requests one after the other. A login identifies its account only until the account is seen: what one
/// pull request shows about that holds for the next ones, also when the account is renamed in between.
#[derive(Debug)]
pub struct Judging<'a> {
    roster: &'a Roster,
    /// The accounts that were seen, and the people of the roster (by index) that they turned out to be.
    learned: HashMap<GithubId, usize>,
}

impl<'a> Judging<'a> {
    /// Keeps or skips a pull request, and attributes it when it is kept.
    pub fn judge(&mut self, pull_request: &PullRequest) -> Verdict<'a> {
        let roster = self.roster;
        let Some(author) = &pull_request.author else { return Verdict::Skip(SkipReason::Ghost) };
        let known = roster.by_github_id.get(&author.id).or_else(|| self.learned.get(&author.id)).copied();
        let is_seen = |index: usize| self.learned.values().any(|seen| *seen == index);
        let configured = roster.by_login.get(&author.login).copied().filter(|index| !is_seen(*index));
        let found = match (known, configured) {
            // Whoever is configured at the same time is somebody else, whose login the account has taken over.
            (Some(known), Some(configured)) if roster.people[known].meets(&roster.people[configured]) => Some(known),
            (Some(known), Some(configured)) => {
                let (known, configured) = (roster.people[known].id, roster.people[configured].id);
                return Verdict::DuplicatePerson { known, configured };
            }
            (None, Some(configured)) => {
                self.learned.insert(author.id, configured);
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

    fn author(id: GithubId, login: &str, kind: AccountKind) -> Author {
        Author { id, login: Login::from_github(login), kind }
    }

    fn merged(author: Option<Author>, seconds: i64) -> PullRequest {
        PullRequest {
            id: 1,
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

    fn person(id: i64, login: &str, github_id: Option<GithubId>, memberships: Vec<Membership>) -> Person {
        Person { id: PersonId(id), login: Login::from_github(login), github_id, memberships }
    }

    fn teams(verdict: &Verdict<'_>) -> Vec<(i64, u16)> {
        match verdict {
            Verdict::Keep { attributions, .. } => attributions.iter().map(|a| (a.team.0, a.weight.units())).collect(),
            other => panic!("not kept: {other:?}"),
        }
    }

    #[test]
    fn a_pull_request_splits_across_both_teams_of_its_author() {
        let ana =
            person(1, "ana", Some(7), vec![membership(1, 1, 5_000, None, None), membership(2, 2, 5_000, None, None)]);
        let roster = Roster::new(vec![ana], vec![]);
        let pr = merged(Some(author(7, "ana", AccountKind::Human)), 100);
        assert_eq!(teams(&roster.judge(&pr)), [(1, 5_000), (2, 5_000)]);
    }

    #[test]
    fn the_instant_of_a_change_of_team_belongs_to_the_new_team() {
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
    fn an_open_pull_request_counts_at_its_creation_and_a_closed_one_at_its_close() {
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
    fn outside_all_memberships_a_member_is_kept_unallocated() {
        let ana = person(1, "ana", Some(7), vec![membership(1, 1, 10_000, Some(500), None)]);
        let roster = Roster::new(vec![ana], vec![]);
        assert_eq!(teams(&roster.judge(&merged(Some(author(7, "ana", AccountKind::Human)), 100))), []);
    }

    #[test]
    fn a_login_registered_again_by_somebody_else_inherits_nothing() {
        let ana = person(1, "ana", Some(7), vec![membership(1, 1, 10_000, None, None)]);
        let roster = Roster::new(vec![ana], vec![]);
        let stranger = merged(Some(author(8, "ana", AccountKind::Human)), 100);
        assert_eq!(roster.judge(&stranger), Verdict::Skip(SkipReason::NotAMember));
    }

    #[test]
    fn a_known_account_that_was_configured_anew_by_its_new_login_is_one_person() {
        let before = person(1, "ana", Some(7), vec![]);
        let after = person(2, "ana-b", None, vec![membership(1, 1, 10_000, None, None)]);
        let roster = Roster::new(vec![before, after], vec![]);
        let pr = merged(Some(author(7, "ana-b", AccountKind::Human)), 100);
        assert_eq!(roster.judge(&pr), Verdict::DuplicatePerson { known: PersonId(1), configured: PersonId(2) });
        let stranger = merged(Some(author(8, "ana-b", AccountKind::Human)), 100);
        assert_eq!(teams(&roster.judge(&stranger)), [(1, 10_000)]);
    }

    #[test]
    fn an_account_that_took_over_the_login_of_a_member_beside_it_stays_who_it_was() {
        let carl = person(1, "carl", Some(9), vec![membership(1, 1, 5_000, None, None)]);
        let ana = person(2, "ana", None, vec![membership(2, 2, 5_000, Some(50), None)]);
        let roster = Roster::new(vec![carl, ana], vec![]);
        let by = |id, login| merged(Some(author(id, login, AccountKind::Human)), 100);
        let mut judging = roster.judging();
        assert_eq!(teams(&judging.judge(&by(9, "ana"))), [(1, 5_000)]);
    }

    #[test]
    fn an_account_that_is_renamed_within_a_page_is_one_person_and_its_old_login_is_nobody_elses() {
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
    fn who_is_no_member_any_more_is_skipped() {
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
    fn bots_and_ghosts_are_skipped_unless_a_bot_is_configured_as_a_member() {
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

    /// One person's concurrent weights over up to four teams, cut at up to three instants, never above 1.
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
        fn attributed_and_unallocated_weights_sum_to_the_number_of_pull_requests(
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
