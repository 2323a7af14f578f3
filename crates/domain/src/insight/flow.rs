//! Where the time of a team's pull requests goes: all that is said of it, of the same pull requests.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;

use super::pickup_calendar::{OpenedPickup, PickupCalendar, pickup_calendar};
use super::size_effect::{SizeClass, SizeEffect, SizedTimes, class_of, size_effect};
use super::time_share::{Phase, PhaseTimes, TimeShare, time_share};
use super::wip_age::{MergedTime, OpenAge, WipAge, wip_age};
use crate::metrics::DateRange;
use crate::{Weight, monday_of, start_of_day};

/// What is open is compared with what was merged in so many whole weeks.
pub const WIP_WEEKS: u64 = 26;

/// A pull request of a team that is open, or was merged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowTimes {
    /// Which one.
    pub id: i64,
    /// When it became ready for review; `None` while it is a draft.
    pub ready_at: Option<DateTime<Utc>>,
    /// When it was merged; `None` while it is open.
    pub merged_at: Option<DateTime<Utc>>,
    /// Its phases in seconds, in the order of [`Phase::ALL`]; `None` where one is not known.
    pub seconds: [Option<f64>; 4],
    /// Whether its commits and reviews were read.
    pub has_details: bool,
    /// Added and deleted lines; `None` if they were not read.
    pub lines: Option<u64>,
    /// The team's share in it.
    pub weight: Weight,
    /// Its author, as any number that is the same for the same person.
    pub person: i64,
}

/// By what pull requests are looked at.
#[derive(Debug, Clone, Copy)]
pub struct FlowContext {
    /// The days, in the team's zone.
    pub range: DateRange,
    /// The current time.
    pub now: DateTime<Utc>,
    /// The smallest group of people whose numbers may be shown; 0 shows all.
    pub min_group_size: usize,
}

impl FlowContext {
    /// The earliest merge that matters.
    pub fn since(&self) -> DateTime<Utc> {
        self.range.start().min(start_of_day(self.first_compared(), self.range.zone))
    }

    /// The first day on which what is open is compared with merges.
    fn first_compared(&self) -> NaiveDate {
        self.running_week() - Days::new(7 * WIP_WEEKS)
    }

    fn running_week(&self) -> NaiveDate {
        monday_of(self.day(self.now))
    }

    fn day(&self, at: DateTime<Utc>) -> NaiveDate {
        at.with_timezone(&self.range.zone).date_naive()
    }

    fn zone(&self) -> Tz {
        self.range.zone
    }

    /// Those of weeks that may be shown.
    pub(super) fn shown<T>(&self, items: Vec<T>, at_and_person: impl Fn(&T) -> (DateTime<Utc>, i64)) -> Vec<T> {
        self.shown_by(items, at_and_person, |_| ())
    }

    /// Those of weeks that may be shown: with small groups hidden, of weeks that are over and by as many people, for each key. So no
    /// two ranges differ by what one person did.
    pub(super) fn shown_by<T, K: Ord>(
        &self,
        items: Vec<T>,
        at_and_person: impl Fn(&T) -> (DateTime<Utc>, i64),
        key: impl Fn(&T) -> K,
    ) -> Vec<T> {
        if self.min_group_size == 0 {
            return items;
        }
        let week = |item: &T| self.week(at_and_person(item).0);
        let mut people: BTreeMap<(NaiveDate, K), BTreeSet<i64>> = BTreeMap::new();
        for item in &items {
            people.entry((week(item), key(item))).or_default().insert(at_and_person(item).1);
        }
        let running = self.running_week();
        let is_shown = |item: &T| {
            let week = week(item);
            week < running && people.get(&(week, key(item))).is_some_and(|people| people.len() >= self.min_group_size)
        };
        items.into_iter().filter(is_shown).collect()
    }

    pub(super) fn week(&self, at: DateTime<Utc>) -> NaiveDate {
        monday_of(self.day(at))
    }

    /// The weeks whose sums of phases may be shown. Sums of each phase are shown elsewhere, of all pull requests that have it: without
    /// those that have every phase, they are of the others, who must be nobody or enough people, too.
    fn weeks_of_shares(&self, merged: &[Merged<'_>], phases: &[Phase]) -> BTreeSet<NaiveDate> {
        let mut weeks: BTreeMap<NaiveDate, (BTreeSet<i64>, Vec<BTreeSet<i64>>)> = BTreeMap::new();
        for (it, at) in merged {
            let (whole, others) = weeks
                .entry(self.week(*at))
                .or_insert_with(|| (BTreeSet::new(), vec![BTreeSet::new(); phases.len() + 1]));
            if has_all(it, phases) {
                whole.insert(it.person);
                continue;
            }
            others[phases.len()].insert(it.person);
            for (index, _) in phases.iter().enumerate().filter(|(_, phase)| is_known(it, **phase)) {
                others[index].insert(it.person);
            }
        }
        let is_enough = |people: &BTreeSet<i64>| people.is_empty() || people.len() >= self.min_group_size;
        let is_shown = |(whole, others): &(BTreeSet<i64>, Vec<BTreeSet<i64>>)| {
            whole.len() >= self.min_group_size && others.iter().all(is_enough)
        };
        let running = self.running_week();
        weeks.into_iter().filter(|(week, people)| *week < running && is_shown(people)).map(|(week, _)| week).collect()
    }
}

/// A pull request, and when it was merged.
type Merged<'a> = (&'a FlowTimes, DateTime<Utc>);

fn is_known(it: &FlowTimes, phase: Phase) -> bool {
    it.seconds[phase as usize].is_some_and(|seconds| seconds >= 0.0)
}

fn has_all(it: &FlowTimes, phases: &[Phase]) -> bool {
    phases.iter().all(|phase| is_known(it, *phase))
}

/// Where a team's time goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// The pull requests that were merged in the range.
    pub n: usize,
    /// How many of them are of weeks that have fewer people than may be shown, or are not over.
    pub n_hidden: usize,
    /// Whether the commits and reviews of some were not read.
    pub lacks_details: bool,
    /// The phases up to the merge.
    pub until_merge: TimeShare,
    /// The phases up to production.
    pub until_production: TimeShare,
    /// Pickup and review by size.
    pub size_effect: SizeEffect,
    /// Pickup by when pull requests were opened in the range; `None` if it is shorter than 13 weeks.
    pub pickup_calendar: Option<PickupCalendar>,
    /// How old open pull requests are; not of the range, but of now.
    pub wip_age: WipAge,
}

/// Where the time of pull requests goes. They are those merged since [`FlowContext::since`], and those that are open.
pub fn flow(times: &[FlowTimes], context: &FlowContext) -> Flow {
    let merged = |from: NaiveDate, to: NaiveDate| {
        let (from, to) = (start_of_day(from, context.zone()), start_of_day(to, context.zone()));
        let dated = times.iter().filter_map(|it| it.merged_at.map(|at| (it, at)));
        dated.filter(|(_, at)| (from..to).contains(at)).collect::<Vec<_>>()
    };
    let of_range = merged(context.range.from, context.range.to);
    let n = of_range.len();
    let lacks_details = of_range.iter().any(|(it, _)| !it.has_details);
    let shares = |phases: &[Phase]| {
        let weeks = (context.min_group_size > 0).then(|| context.weeks_of_shares(&of_range, phases));
        let is_shown = |(it, at): &&Merged<'_>| {
            !has_all(it, phases) || weeks.as_ref().is_none_or(|weeks| weeks.contains(&context.week(*at)))
        };
        let shown = of_range.iter().filter(is_shown);
        let items: Vec<PhaseTimes> =
            shown.map(|(it, _)| PhaseTimes { seconds: it.seconds, weight: it.weight }).collect();
        let n_hidden = of_range.len() - items.len();
        TimeShare { n_hidden, ..time_share(&items, phases) }
    };
    let (until_merge, until_production) = (shares(Phase::UNTIL_MERGE), shares(Phase::ALL));
    let n_hidden = n - context.shown(of_range.clone(), |(it, at)| (*at, it.person)).len();
    // A class of a week is by fewer people than the week.
    let class = |(it, _): &Merged<'_>| it.lines.map(class_of);
    let size_effect =
        sizes(&of_range, &context.shown_by(of_range.clone(), |(it, at)| (*at, it.person), class), context);
    let opened = times.iter().filter(|it| it.merged_at.is_some()).filter_map(|it| {
        let pickup = it.seconds[Phase::Pickup as usize]?;
        Some(OpenedPickup { opened: it.ready_at?, pickup, weight: it.weight, person: it.person })
    });
    let hour = |it: &OpenedPickup| it.hour_of_week(context.zone());
    let opened = context.shown_by(opened.collect(), |it| (it.opened, it.person), hour);
    let days = (context.range.from, context.range.to);
    Flow {
        n,
        n_hidden,
        lacks_details,
        until_merge,
        until_production,
        size_effect,
        pickup_calendar: pickup_calendar(&opened, days, context.zone(), context.min_group_size),
        wip_age: ages(times, merged(context.first_compared(), context.running_week()), context),
    }
}

/// Counts all, and takes the times of those that may be shown.
fn sizes(all: &[Merged<'_>], shown: &[Merged<'_>], context: &FlowContext) -> SizeEffect {
    let of = |merged: &[Merged<'_>], min_group_size: usize| {
        let sized = merged.iter().map(|(it, _)| SizedTimes {
            lines: it.lines,
            pickup: it.seconds[Phase::Pickup as usize],
            review: it.seconds[Phase::Review as usize],
            weight: it.weight,
            person: it.person,
        });
        size_effect(&sized.collect::<Vec<_>>(), min_group_size)
    };
    let (all, shown) = (of(all, 0), of(shown, context.min_group_size));
    let class = |(all, shown): (&SizeClass, &SizeClass)| {
        let lacks = |all: Option<f64>, shown: Option<f64>| all.is_some() && shown.is_none();
        let is_suppressed =
            lacks(all.pickup_p50_hours, shown.pickup_p50_hours) || lacks(all.review_p50_hours, shown.review_p50_hours);
        SizeClass { n: all.n, is_suppressed, ..*shown }
    };
    let classes = all.classes.iter().zip(&shown.classes).map(class).collect();
    SizeEffect { classes, ..all }
}

/// Compares what is open with what was merged in the last weeks.
fn ages(times: &[FlowTimes], merged: Vec<Merged<'_>>, context: &FlowContext) -> WipAge {
    let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).as_seconds_f64();
    let is_any_merged = !merged.is_empty();
    let merged = context.shown(merged, |(it, at)| (*at, it.person)).into_iter().filter_map(|(it, at)| {
        // What was imported can be merged before it was opened, and has no duration.
        let seconds = Some(seconds(it.ready_at?, at)).filter(|seconds| *seconds >= 0.0)?;
        Some(MergedTime { seconds, weight: it.weight, person: it.person })
    });
    let open = times.iter().filter(|it| it.merged_at.is_none()).filter_map(|it| {
        let age = seconds(it.ready_at?, context.now);
        Some(OpenAge { id: it.id, seconds: age.max(0.0) })
    });
    let ages = wip_age(&open.collect::<Vec<_>>(), &merged.collect::<Vec<_>>(), context.min_group_size);
    WipAge { is_suppressed: ages.is_suppressed || is_any_merged && ages.n_merged == 0, ..ages }
}
