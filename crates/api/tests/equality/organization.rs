//! Random organizations, and queries about them.

use std::collections::BTreeMap;

use chrono::{DateTime, Days, NaiveDate, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use mergeline_fake_github::at;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::definitions::Unit;

pub(crate) const TEAMS: [&str; 3] = ["one", "two", "three"];
pub(crate) const REPOSITORIES: [&str; 2] = ["acme/api", "acme/web"];
const MEMBERS: [&str; 5] = ["ana", "bob", "carl", "dora", "eve"];
/// An author who is not in a team.
const STRANGER: &str = "mallory";
const BRANCHES: [&str; 3] = ["main", "release/1.0", "fix/a+b"];
/// Half-hour offsets and jumps, and clocks that change at midnight.
const ZONES: [Tz; 6] = [
    Tz::UTC,
    Tz::Europe__Oslo,
    Tz::America__Havana,
    Tz::Asia__Kolkata,
    Tz::Australia__Lord_Howe,
    Tz::America__St_Johns,
];
/// Days on which clocks change, and where.
const CHANGES_OF_CLOCKS: [(&str, Tz); 8] = [
    ("2026-03-08", Tz::America__Havana),
    ("2026-11-01", Tz::America__Havana),
    ("2026-03-29", Tz::Europe__Oslo),
    ("2026-10-25", Tz::Europe__Oslo),
    ("2026-04-05", Tz::Australia__Lord_Howe),
    ("2026-10-04", Tz::Australia__Lord_Howe),
    ("2026-03-08", Tz::America__St_Johns),
    ("2026-11-01", Tz::America__St_Johns),
];
/// The first days of weeks 1 and 53, of months, quarters and years.
const BEGINNINGS: [&str; 7] =
    ["2025-12-29", "2026-01-01", "2026-02-01", "2026-04-01", "2026-12-28", "2027-01-01", "2027-01-04"];
/// Possible current times: a midnight that Havana's clocks skip, Oslo's midnight before a day of 25 hours, Kolkata's at
/// the end of week 53, and a time after everything.
const CLOCKS: [fn() -> DateTime<Utc>; 4] = [
    || at("2026-03-08T05:00:00Z"),
    || at("2026-10-24T22:00:00Z"),
    || at("2027-01-03T18:30:00Z"),
    || at("2027-03-01T12:00:00Z"),
];
/// Everything starts then, and takes this many days.
const FIRST_DAY: &str = "2025-12-01";
const DAYS: u16 = 430;

/// Teams, the pull requests of their people, and how far those were read.
#[derive(Debug, Clone)]
pub(crate) struct Organization {
    /// The zone of the teams file, in which memberships start and end.
    pub(crate) zone: Tz,
    pub(crate) memberships: Vec<Membership>,
    pub(crate) changes: Vec<Change>,
    pub(crate) questions: [Question; 4],
    /// For each repository, since when it was read.
    pub(crate) read_since: Vec<DateTime<Utc>>,
    /// For each repository, until when it was read.
    pub(crate) read_until: Vec<DateTime<Utc>>,
    pub(crate) clock: fn() -> DateTime<Utc>,
    /// Whether everything was first stored under another teams file.
    pub(crate) is_reorganized: bool,
}

/// A share of a person's work in a team, in ten-thousandths, from one day to before another.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) person: &'static str,
    pub(crate) team: &'static str,
    pub(crate) units: i64,
    pub(crate) from: Option<NaiveDate>,
    pub(crate) to: Option<NaiveDate>,
}

/// A pull request.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) repository: &'static str,
    pub(crate) number: i64,
    pub(crate) author: &'static str,
    pub(crate) base: &'static str,
    /// Whether only the details have the branch.
    pub(crate) is_base_told_late: bool,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) closed_at: Option<DateTime<Utc>>,
    pub(crate) merged_at: Option<DateTime<Utc>>,
    /// The details, if they were read.
    pub(crate) history: Option<History>,
    pub(crate) is_deleted: bool,
}

/// The times of events that the list does not include.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) first_commit: Option<DateTime<Utc>>,
    pub(crate) ready: Option<DateTime<Utc>>,
    pub(crate) first_review: Option<DateTime<Utc>>,
}

/// A query to the API.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) unit: Unit,
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
    /// The teams file's zone if left out.
    pub(crate) zone: Option<Tz>,
    pub(crate) is_full: bool,
    pub(crate) repositories: Vec<&'static str>,
    pub(crate) base: Option<&'static str>,
}

/// A moment that is drawn before the zone of the organization is known.
#[derive(Debug, Clone)]
enum Moment {
    At(DateTime<Utc>),
    /// This many seconds after one of the midnights at which a range or a membership starts or ends.
    Near(Index, i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closed,
    Merged,
}

/// A pull request without its deciding moment.
#[derive(Debug, Clone)]
struct Draft {
    moment: Moment,
    /// How long it was open, in seconds.
    length: i64,
    state: State,
    /// First commit, readiness and first review, in seconds after the opening.
    history: Option<[Option<i64>; 3]>,
    /// Everything except the times.
    change: Change,
}

fn parsed(day: &str) -> NaiveDate {
    day.parse().expect("a day")
}

fn days() -> impl Strategy<Value = NaiveDate> {
    let clocks = CHANGES_OF_CLOCKS.map(|(day, _)| parsed(day));
    prop_oneof![
        2 => (0..DAYS).prop_map(|n| parsed(FIRST_DAY) + Days::new(n.into())),
        1 => select(clocks.to_vec()),
        1 => select(BEGINNINGS.map(parsed).to_vec()),
    ]
}

/// A day, and a zone where something happens on it.
fn places() -> impl Strategy<Value = (NaiveDate, Option<Tz>)> {
    let clocks = CHANGES_OF_CLOCKS.map(|(day, zone)| (parsed(day), Some(zone)));
    prop_oneof![2 => (days(), prop::option::of(select(ZONES.to_vec()))), 1 => select(clocks.to_vec())]
}

fn moments() -> impl Strategy<Value = Moment> {
    let about = select(vec![-7_200i64, -3_600, -1_800, -1, 0, 0, 1, 1_799, 1_800, 3_599, 3_600, 7_200]);
    let seconds = prop_oneof![about, -10 * 86_400i64..40 * 86_400];
    let anywhere = 0i64..i64::from(DAYS) * 86_400;
    prop_oneof![
        anywhere.prop_map(|n| Moment::At(
            parsed(FIRST_DAY).and_time(chrono::NaiveTime::MIN).and_utc() + TimeDelta::seconds(n)
        )),
        (any::<Index>(), seconds).prop_map(|(index, seconds)| Moment::Near(index, seconds)),
    ]
}

impl Moment {
    fn settled(&self, midnights: &[(NaiveDate, Tz)]) -> DateTime<Utc> {
        match self {
            Self::At(instant) => *instant,
            Self::Near(index, seconds) => {
                let (day, zone) = index.get(midnights);
                let midnight = day.and_time(chrono::NaiveTime::MIN);
                let offset = zone.offset_from_utc_datetime(&midnight).fix().local_minus_utc();
                midnight.and_utc() + TimeDelta::seconds(seconds - i64::from(offset))
            }
        }
    }
}

fn memberships(person: &'static str) -> impl Strategy<Value = Vec<Membership>> {
    let weight = || prop_oneof![1 => Just(0i64), 1 => Just(1), 2 => Just(2_500), 2 => Just(3_333), 4 => 0i64..=3_333];
    let weights = prop_oneof![
        3 => prop::collection::vec(weight(), TEAMS.len()),
        1 => select(vec![vec![10_000, 0, 0], vec![0, 5_000, 5_000], vec![0, 0, 0]]),
    ];
    (prop::collection::btree_set(days(), 0..4), prop::collection::vec(weights, 4)).prop_map(move |(cuts, weights)| {
        let cuts: Vec<NaiveDate> = cuts.into_iter().collect();
        let spans = (0..=cuts.len()).map(|n| (n.checked_sub(1).map(|before| cuts[before]), cuts.get(n).copied()));
        let shares = spans.zip(weights).flat_map(|((from, to), weights)| {
            TEAMS.into_iter().zip(weights).map(move |(team, units)| Membership { person, team, units, from, to })
        });
        shares.filter(|membership| membership.units > 0).collect()
    })
}

fn drafts() -> impl Strategy<Value = Draft> {
    let authors: Vec<&str> = MEMBERS.into_iter().chain([STRANGER]).collect();
    // Many have the same length, and one in ten is imported: merged before it was created.
    let length = prop_oneof![6 => 0i64..2_000_000, 3 => (0i64..6).prop_map(|hours| hours * 3_600), 1 => -200_000i64..0];
    let state = prop_oneof![8 => Just(State::Merged), 1 => Just(State::Closed), 1 => Just(State::Open)];
    let offset = |range: std::ops::Range<i64>| prop::option::weighted(0.8, range);
    let history = [offset(-1_000_000..100_000), offset(0..250_000), offset(-100_000..1_000_000)];
    let names = (select(REPOSITORIES.to_vec()), select(authors), select(BRANCHES.to_vec()));
    let unusual = (prop::bool::weighted(0.1), prop::bool::weighted(0.05));
    (moments(), length, state, prop::option::weighted(0.8, history), names, unusual).prop_map(
        |(moment, length, state, history, (repository, author, base), (is_base_told_late, is_deleted))| {
            let change = Change {
                repository,
                number: 0,
                author,
                base,
                is_base_told_late,
                created_at: DateTime::UNIX_EPOCH,
                closed_at: None,
                merged_at: None,
                history: None,
                is_deleted,
            };
            Draft { moment, length, state, history, change }
        },
    )
}

impl Draft {
    fn settled(self, midnights: &[(NaiveDate, Tz)], number: i64) -> Change {
        let decided_at = self.moment.settled(midnights);
        let created_at = match self.state {
            State::Open => decided_at,
            State::Closed => decided_at - TimeDelta::seconds(self.length.abs()),
            State::Merged => decided_at - TimeDelta::seconds(self.length),
        };
        let after = |seconds: Option<i64>| Some(created_at + TimeDelta::seconds(seconds?));
        Change {
            number,
            created_at,
            closed_at: (self.state != State::Open).then_some(decided_at),
            merged_at: (self.state == State::Merged).then_some(decided_at),
            history: self.history.map(|[commit, ready, review]| History {
                first_commit: after(commit),
                ready: after(ready),
                first_review: after(review),
            }),
            ..self.change
        }
    }
}

fn questions(unit: Unit) -> impl Strategy<Value = Question> {
    let before = prop_oneof![Just(0), 0u64..60];
    let after = prop_oneof![1 => Just(1), 1 => 1u64..30, 2 => 30u64..200];
    let repositories = prop_oneof![
        4 => Just(REPOSITORIES.to_vec()),
        4 => Just(vec![]),
        1 => Just(vec![REPOSITORIES[0]]),
        1 => Just(vec![REPOSITORIES[1]]),
    ];
    let base = prop_oneof![5 => Just(None), 1 => select(BRANCHES.to_vec()).prop_map(Some)];
    (places(), before, after, any::<bool>(), repositories, base).prop_map(
        move |((day, zone), before, after, is_full, repositories, base)| Question {
            unit,
            from: day - Days::new(before),
            to: day + Days::new(after),
            zone,
            is_full,
            repositories,
            base,
        },
    )
}

/// An organization with up to 240 pull requests by up to six people, and a query for each unit.
pub(crate) fn organizations() -> impl Strategy<Value = Organization> {
    let memberships = MEMBERS.map(memberships);
    let questions = [Unit::Day, Unit::Week, Unit::Month, Unit::Quarter].map(questions);
    let drafts = prop_oneof![1 => prop::collection::vec(drafts(), 0..3), 9 => prop::collection::vec(drafts(), 30..240)];
    let read_since = prop::collection::vec(moments(), REPOSITORIES.len());
    let read_until = prop::collection::vec(prop::option::of(moments()), REPOSITORIES.len());
    let zone = select(ZONES.to_vec());
    (zone, memberships, drafts, questions, (read_since, read_until), select(CLOCKS.to_vec()), any::<bool>()).prop_map(
        |(zone, memberships, drafts, questions, (read_since, read_until), clock, is_reorganized)| {
            let memberships: Vec<Membership> = memberships.into_iter().flatten().collect();
            let of_questions = questions.iter().flat_map(|q| [q.from, q.to].map(|day| (day, q.zone.unwrap_or(zone))));
            let of_memberships = memberships.iter().flat_map(|m| m.from.into_iter().chain(m.to)).map(|day| (day, zone));
            let midnights: Vec<(NaiveDate, Tz)> = of_questions.chain(of_memberships).collect();
            let mut numbers: BTreeMap<&str, i64> = BTreeMap::new();
            let mut next = |repository| {
                let number = numbers.entry(repository).or_default();
                *number += 1;
                *number
            };
            let changes = drafts
                .into_iter()
                .map(|draft| {
                    let number = next(draft.change.repository);
                    draft.settled(&midnights, number)
                })
                .collect();
            let read_since = read_since.iter().map(|moment| moment.settled(&midnights)).collect();
            let until = |moment: &Option<Moment>| {
                moment.as_ref().map_or(clock(), |moment| moment.settled(&midnights).min(clock()))
            };
            let read_until = read_until.iter().map(until).collect();
            Organization { zone, memberships, changes, questions, read_since, read_until, clock, is_reorganized }
        },
    )
}

impl Question {
    /// The parameters that select pull requests, for every path.
    pub(crate) fn filters(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("from", &self.from.to_string()).append_pair("to", &self.to.to_string());
        query.extend_pairs(self.zone.map(|zone| ("tz", zone.name())));
        query.extend_pairs((!self.repositories.is_empty()).then(|| ("repo", self.repositories.join(","))));
        query.extend_pairs(self.base.map(|base| ("base", base)));
        query.extend_pairs(self.is_full.then_some(("weighting", "full")));
        query.finish()
    }

    /// The same about the organization, where each pull request counts once.
    pub(crate) fn of_all(&self) -> Self {
        Self { is_full: false, ..self.clone() }
    }

    /// The filters and the unit, which is left out if it is the path's default.
    pub(crate) fn buckets(&self, usual: Unit) -> String {
        let filters = self.filters();
        if self.unit == usual { filters } else { format!("{filters}&interval={}", self.unit.name()) }
    }
}
