//! What membership changes mean for each person: when pull requests count differently, and from when a person counts
//! who did not before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};

use super::{Current, Plan, Terms, Who};
use crate::{Forge, Login, MembershipId, Period, PersonId, TeamSlug, Weight};

/// What changes for one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonChange {
    /// The person; `None` for a new person, of whom nothing is stored.
    pub known: Option<PersonId>,
    /// Whether they have an account at a forge that is collected.
    is_collected: bool,
    /// All spans of their memberships that were in force before.
    before: Vec<Period>,
    /// Shares to remove, with their teams.
    removed: Vec<(TeamSlug, Terms)>,
    /// Shares to add, with their teams.
    added: Vec<(TeamSlug, Terms)>,
}

impl Plan {
    /// The membership changes, by person.
    pub fn changes_by_person(&self, current: &Current) -> Vec<PersonChange> {
        let mut owners: HashMap<MembershipId, PersonId> = HashMap::new();
        let mut before: HashMap<PersonId, Vec<Period>> = HashMap::new();
        for membership in current.teams.iter().flat_map(|team| &team.memberships) {
            owners.insert(membership.id, membership.person);
            before.entry(membership.person).or_default().push(membership.terms.period);
        }
        let mut collected: BTreeSet<Who> = BTreeSet::new();
        let mut named: HashMap<&Login, Who> = HashMap::new();
        for (index, person) in self.people.iter().enumerate() {
            let who = person.known.map_or(Who::New(index), Who::Known);
            named.extend(person.logins().map(|login| (login, who)));
            collected.extend(person.logins().any(|login| login.forge() == Forge::GitHub).then_some(who));
        }
        let mut changes: BTreeMap<Who, PersonChange> = BTreeMap::new();
        for change in &self.memberships {
            // The replaced row knows its person. In the file, the same login may mean someone else now.
            let owner = change.kind.replaced().and_then(|id| owners.get(&id)).copied().map(Who::Known);
            let Some(who) = owner.or_else(|| named.get(&change.login).copied()) else { continue };
            let known = match who {
                Who::Known(id) => Some(id),
                Who::New(_) => None,
            };
            let of_person = changes.entry(who).or_insert_with(|| PersonChange {
                known,
                is_collected: collected.contains(&who),
                before: known.and_then(|id| before.get(&id)).cloned().unwrap_or_default(),
                removed: Vec::new(),
                added: Vec::new(),
            });
            of_person.removed.extend(change.kind.before().map(|terms| (change.team.clone(), terms)));
            of_person.added.extend(change.kind.after().map(|terms| (change.team.clone(), terms)));
        }
        changes.into_values().collect()
    }
}

impl PersonChange {
    /// The teams whose shares change.
    pub fn teams(&self) -> BTreeSet<&TeamSlug> {
        self.removed.iter().chain(&self.added).map(|(team, _)| team).collect()
    }

    /// When the person's pull requests count differently than before: for another team, or with another weight. The
    /// spans are sorted and do not touch.
    pub fn differing(&self) -> Vec<Period> {
        let terms = || self.removed.iter().chain(&self.added).map(|(_, terms)| terms.period);
        // `None`, the beginning of time, sorts before every instant.
        let mut cuts: BTreeSet<Option<DateTime<Utc>>> = terms().map(|period| period.from()).collect();
        cuts.extend(terms().filter_map(|period| period.to()).map(Some));
        let cuts: Vec<Option<DateTime<Utc>>> = cuts.into_iter().collect();
        let mut spans: Vec<Period> = Vec::new();
        for (index, from) in cuts.iter().enumerate() {
            let to = cuts.get(index + 1).copied().flatten();
            let (Ok(span), true) = (Period::new(*from, to), self.differs_from(*from)) else { continue };
            match spans.last_mut() {
                Some(last) if last.to() == *from => *last = Period::new(last.from(), to).unwrap_or(*last),
                _ => spans.push(span),
            }
        }
        spans
    }

    /// Whether shares differ at an instant; `None` is the beginning of time.
    fn differs_from(&self, instant: Option<DateTime<Utc>>) -> bool {
        let holds = |period: Period| instant.map_or(period.from().is_none(), |instant| period.contains(instant));
        let shares = |terms: &'_ [(TeamSlug, Terms)]| -> BTreeSet<(TeamSlug, Weight)> {
            let held = terms.iter().filter(|(_, terms)| holds(terms.period));
            held.map(|(team, terms)| (team.clone(), terms.weight)).collect()
        };
        shares(&self.removed) != shares(&self.added)
    }

    /// From when the person is a member and was not before, if there is such a time: pull requests of people outside
    /// the teams were never stored. `Some(None)` is the beginning of time.
    pub fn newly_since(&self) -> Option<Option<DateTime<Utc>>> {
        if !self.is_collected {
            return None;
        }
        let began = beginning(self.before.iter().copied());
        // What stays does not start earlier than everything did before.
        let begins = beginning(self.added.iter().map(|(_, terms)| terms.period));
        begins.filter(|begins| began.is_none_or(|began| *begins < began))
    }
}

/// The earliest start: `None` if there are no spans, `Some(None)` for the beginning of time.
#[expect(clippy::option_option, reason = "nowhere and the beginning of time are two things")]
fn beginning(periods: impl Iterator<Item = Period>) -> Option<Option<DateTime<Utc>>> {
    // `None`, the beginning of time, sorts before every instant.
    periods.map(|period| period.from()).min()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn day(number: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(number)
    }

    /// Shares of two teams over spans of days; 0 means open.
    fn shares() -> impl Strategy<Value = Vec<(TeamSlug, Terms)>> {
        let share = (0usize..2, 1u16..4, 0i64..20, 0i64..20).prop_map(|(team, units, from, length)| {
            let team = ["one", "two"][team].parse().expect("a slug");
            let from = (from > 0).then(|| day(from));
            let to = (length > 0).then(|| from.unwrap_or(DateTime::UNIX_EPOCH) + TimeDelta::days(length));
            let period = Period::new(from, to).expect("in order");
            (team, Terms { weight: Weight::from_units(units * 1_000).expect("a weight"), period })
        });
        prop::collection::vec(share, 0..5)
    }

    proptest! {
        #[test]
        fn pull_requests_count_differently_only_in_the_spans(removed in shares(), added in shares()) {
            let change = PersonChange { known: None, is_collected: true, before: Vec::new(), removed, added };
            let spans = change.differing();
            for number in -2..50 {
                let instant = day(number);
                let held = |terms: &[(TeamSlug, Terms)]| -> BTreeSet<(TeamSlug, Weight)> {
                    let held = terms.iter().filter(|(_, terms)| terms.period.contains(instant));
                    held.map(|(team, terms)| (team.clone(), terms.weight)).collect()
                };
                let differs = held(&change.removed) != held(&change.added);
                let containing = spans.iter().filter(|span| span.contains(instant)).count();
                prop_assert_eq!(containing, usize::from(differs), "day {}: {:?}", number, spans);
            }
        }
    }
}
