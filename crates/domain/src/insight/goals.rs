//! Goals and working agreements of a team (`goal@1`): what is judged, when its state changes, and how it would have stood.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::Clock;
use super::share_interval::{effective, jeffreys};
use crate::metrics::{COLLECT_EVERY_HOURS, FEW, GOAL, PR_CYCLE_TIME, PR_PHASES, PR_PICKUP_WORKING};
use crate::{MetricId, Weight, monday_of, start_of_day};

/// A share is judged over so many whole weeks.
pub const SHARE_WEEKS: u64 = 4;
/// A preview covers so many weeks.
pub const PREVIEW_WEEKS: usize = 26;

/// What a goal with a time is about.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum GoalMeasure {
    /// From ready for review to the first review by another person.
    Pickup,
    /// From the first review to the merge.
    Review,
    /// From the opening to the merge.
    CycleTime,
    /// From ready for review to the merge or the close.
    Age,
}

impl GoalMeasure {
    /// The ID of the formula by which it is measured. That of the pickup by working hours is one of its own.
    pub fn definition(self, clock: &Clock) -> &'static str {
        match (self, clock) {
            (Self::Pickup, Clock::Working(_)) => PR_PICKUP_WORKING,
            (Self::Age, _) | (_, Clock::Working(_)) => GOAL,
            (Self::Pickup | Self::Review, Clock::Wall) => PR_PHASES,
            (Self::CycleTime, Clock::Wall) => PR_CYCLE_TIME,
        }
    }
}

/// A part between 1 and 99 %, written as a fraction with two decimals at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64")]
pub struct Percent(u8);

impl Percent {
    /// So many hundredths; `None` outside 1 to 99. That nothing or all of it is to be so is no share.
    pub fn new(hundredths: u8) -> Option<Self> {
        (1..=99).contains(&hundredths).then_some(Self(hundredths))
    }

    /// The number of hundredths.
    pub fn hundredths(self) -> u8 {
        self.0
    }

    /// As a fraction.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl From<Percent> for f64 {
    fn from(percent: Percent) -> Self {
        percent.as_f64()
    }
}

impl TryFrom<f64> for Percent {
    type Error = String;

    fn try_from(share: f64) -> Result<Self, String> {
        let percent = (1..=99).filter_map(Self::new).find(|percent| (percent.as_f64() - share).abs() < 1e-9);
        percent.ok_or_else(|| format!("{share} is not from 0.01 to 0.99, with two decimals at most"))
    }
}

/// What a goal asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "form", rename_all = "snake_case")]
pub enum GoalForm {
    /// So many percent take no longer than a time. Judged on the last four whole weeks, once a week.
    Share {
        /// What is measured.
        measure: GoalMeasure,
        /// How long it may take, in hours.
        within_hours: u32,
        /// How many percent.
        share: Percent,
    },
    /// None waits longer than a time. Judged at every collection on what is open.
    Each {
        /// What is measured.
        measure: GoalMeasure,
        /// How long it may take, in hours.
        within_hours: u32,
    },
    /// At most so many are open. Judged at every collection.
    Limit {
        /// How many.
        open: u32,
    },
    /// A metric of the teams file, which is a share, is at least so many percent. Judged on the last four whole weeks, once a week.
    Metric {
        /// Its short name.
        #[schemars(with = "String")]
        metric: MetricId,
        /// How many percent.
        share: Percent,
    },
}

impl GoalForm {
    /// What it asks for, as the middle of a line for people.
    pub fn text(&self, clock: &Clock) -> String {
        let what = |measure: GoalMeasure| match measure {
            GoalMeasure::Pickup => "get their first review",
            GoalMeasure::Review => "are merged after their first review",
            GoalMeasure::CycleTime => "are merged",
            GoalMeasure::Age => "are merged or closed",
        };
        let time = |hours: u32| match clock {
            // A day of work has as many hours as the file says.
            Clock::Working(_) => format!("{hours} h of work"),
            Clock::Wall if hours.is_multiple_of(24) => format!("{} d", hours / 24),
            Clock::Wall => format!("{hours} h"),
        };
        match self {
            Self::Share { measure, within_hours, share } => {
                format!("{}% {} within {}", share.hundredths(), what(*measure), time(*within_hours))
            }
            Self::Each { measure, within_hours } => format!("all {} within {}", what(*measure), time(*within_hours)),
            Self::Limit { open } => format!("at most {open} open"),
            Self::Metric { metric, share } => format!("the metric {metric} is at least {}%", share.hundredths()),
        }
    }
}

/// How a goal stands.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumString,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum GoalState {
    /// It is met.
    Met,
    /// It is not met.
    Missed,
    /// A share could be on either side of what it should be, and was not known to be on one of them before.
    Inconclusive,
    /// Fewer than five pull requests, or fewer people than may be shown.
    TooFew,
    /// Not everything was read.
    Incomplete,
}

impl GoalState {
    /// All of them.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// Whether it says something about the goal and not about the data.
    fn is_judgment(self) -> bool {
        matches!(self, Self::Met | Self::Missed | Self::Inconclusive)
    }
}

/// A pull request that waits or waited, as a goal sees it. Which instants these are depends on the [`GoalMeasure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoalItem {
    /// Which one.
    pub id: i64,
    /// Since when it waits. A draft waits from ready on.
    pub since: DateTime<Utc>,
    /// When what it waited for happened.
    pub done: Option<DateTime<Utc>>,
    /// When it stopped waiting without that: closed unmerged, or merged without a review.
    pub ended: Option<DateTime<Utc>>,
    /// The team's share in it.
    pub weight: Weight,
    /// Its author, as any number that is the same for the same person. People are only counted.
    pub person: i64,
}

impl GoalItem {
    /// Whether it waits at an instant.
    fn waits(&self, at: DateTime<Utc>) -> bool {
        let stopped = self.stopped();
        self.since <= at && stopped.is_none_or(|stopped| at < stopped)
    }

    fn stopped(&self) -> Option<DateTime<Utc>> {
        self.done.into_iter().chain(self.ended).min()
    }
}

/// What is the same for all evaluations of a goal.
#[derive(Debug, Clone, Copy)]
pub struct GoalContext<'a> {
    /// By which clock waiting is measured.
    pub clock: &'a Clock,
    /// The team's zone.
    pub zone: Tz,
    /// The smallest group of people whose numbers may be shown; 0 shows all.
    pub min_group_size: usize,
    /// The weeks of the metric that the goal is about.
    pub metric: &'a [MetricWeek],
}

/// The numbers of a week of a metric that is a share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricWeek {
    /// Its Monday.
    pub start: NaiveDate,
    /// Of how many things it is the share.
    pub n: usize,
    /// How many of them it takes.
    pub n_taken: usize,
    /// The sum of their weights.
    pub weight: f64,
    /// The sum of the weights of those that it takes.
    pub taken: f64,
    /// The sum of the squares of their weights.
    pub squares: f64,
    /// Whether it may not be shown, since it is of too few people.
    pub is_hidden: bool,
    /// Whether all of it was read.
    pub is_complete: bool,
}

/// A week for which a share is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoalWeek {
    /// Its Monday. The window is this week and the three before.
    pub start: NaiveDate,
    /// Whether all of the window was read.
    pub is_complete: bool,
}

impl GoalWeek {
    /// The 26 weeks before a Monday, oldest first, all of them complete.
    pub fn before(monday: NaiveDate) -> Vec<Self> {
        let weeks = (1..=26).rev().map(|weeks| monday - Days::new(7 * weeks));
        weeks.map(|start| Self { start, is_complete: true }).collect()
    }

    /// The last weeks up to the end of this one.
    fn last(self, weeks: u64, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
        let from = self.start - Days::new(7 * (weeks - 1));
        (start_of_day(from, zone), start_of_day(self.start + Days::new(7), zone))
    }

    fn window(self, zone: Tz) -> (DateTime<Utc>, DateTime<Utc>) {
        self.last(SHARE_WEEKS, zone)
    }
}

/// The numbers of a share of pull requests that wait, or of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct ShareNumbers {
    /// The pull requests that began to wait in the window and had their time; of a metric what it is the share of.
    pub n: usize,
    /// Those of them for which it was enough; of a metric those that it takes.
    pub n_within: usize,
    /// Those of them that still waited at the end of the window; of a metric none.
    pub n_waiting: usize,
    /// The weighted part for which it was enough, or that the metric takes.
    pub share: f64,
    /// The lower end of its 80 % interval.
    pub low: f64,
    /// The upper end of its 80 % interval.
    pub high: f64,
}

/// How a share stood after a week.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ShareEvaluation {
    /// The Monday of the last week of the window.
    pub week: NaiveDate,
    /// The Monday of its first week.
    pub from: NaiveDate,
    /// How it stood.
    pub state: GoalState,
    /// Whether the state is another one than before, so that a message is due.
    pub is_changed: bool,
    /// The numbers; `null` if they are too few or not all was read.
    pub numbers: Option<ShareNumbers>,
}

/// What a share is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareTarget {
    /// How long it may take.
    pub within: TimeDelta,
    /// For how many percent.
    pub share: Percent,
}

/// Judges a share over a series of weeks, oldest first. `before` is the last state that was not about missing data; `None` for a new
/// goal or a new revision.
///
/// A state changes only when the 80 % interval of the share lies wholly on the other side.
pub fn judge_share(
    target: ShareTarget,
    items: &[GoalItem],
    weeks: &[GoalWeek],
    before: Option<GoalState>,
    context: GoalContext<'_>,
) -> Vec<ShareEvaluation> {
    let few = weeks_of_few(items, context);
    let shown = items.iter().filter(|item| !few.contains(&week_of(item, context.zone)));
    let mut dated: Vec<(&GoalItem, DateTime<Utc>)> =
        shown.map(|item| (item, context.clock.due(item.since, target.within, context.zone))).collect();
    dated.sort_by_key(|(item, _)| item.since);
    judge_weeks(target.share, weeks, before, |week| {
        let (from, end) = week.window(context.zone);
        let started =
            dated.partition_point(|(item, _)| item.since < from)..dated.partition_point(|(item, _)| item.since < end);
        numbers(&dated[started], end, context.min_group_size)
    })
}

/// Judges the share that a metric is, as [`judge_share`] does. Weeks that may not be shown are in no window.
fn judge_metric(share: Percent, metric: &[MetricWeek], weeks: &[GoalWeek]) -> Vec<ShareEvaluation> {
    judge_weeks(share, weeks, None, |week| numbers_of_metric(metric, week.start))
}

/// The numbers of a metric in the four weeks that end with this one; `None` if they are too few.
fn numbers_of_metric(metric: &[MetricWeek], last: NaiveDate) -> Option<ShareNumbers> {
    let from = last - Days::new(7 * (SHARE_WEEKS - 1));
    let window: Vec<&MetricWeek> =
        metric.iter().filter(|week| from <= week.start && week.start <= last && !week.is_hidden).collect();
    let sum = |of: fn(&MetricWeek) -> f64| window.iter().map(|week| of(week)).sum::<f64>();
    let n: usize = window.iter().map(|week| week.n).sum();
    let (weight, taken) = (sum(|week| week.weight), sum(|week| week.taken));
    let is_few = i64::try_from(n).is_ok_and(|n| n < FEW) || weight <= 0.0;
    (!is_few).then(|| {
        let effective = weight * weight / sum(|week| week.squares);
        let share = taken / weight;
        let (low, high) = jeffreys(effective * share, effective);
        let n_within = window.iter().map(|week| week.n_taken).sum();
        ShareNumbers { n, n_within, n_waiting: 0, share, low, high }
    })
}

/// Judges the numbers of each week. A state changes only when the 80 % interval of the share lies wholly on the other side.
fn judge_weeks(
    share: Percent,
    weeks: &[GoalWeek],
    before: Option<GoalState>,
    numbers: impl Fn(&GoalWeek) -> Option<ShareNumbers>,
) -> Vec<ShareEvaluation> {
    let mut held = before.filter(|state| state.is_judgment());
    let mut result = Vec::with_capacity(weeks.len());
    for week in weeks {
        let numbers = Some(week).filter(|week| week.is_complete).and_then(&numbers);
        let state = match numbers {
            _ if !week.is_complete => GoalState::Incomplete,
            None => GoalState::TooFew,
            Some(numbers) => {
                let wanted = share.as_f64();
                match held {
                    _ if numbers.low >= wanted => GoalState::Met,
                    _ if numbers.high < wanted => GoalState::Missed,
                    held => held.unwrap_or(GoalState::Inconclusive),
                }
            }
        };
        let is_changed = state.is_judgment() && held.is_some_and(|held| held != state);
        if state.is_judgment() {
            held = Some(state);
        }
        let from = week.start - Days::new(7 * (SHARE_WEEKS - 1));
        result.push(ShareEvaluation { week: week.start, from, state, is_changed, numbers });
    }
    result
}

/// The Monday of the week in which it began to wait.
fn week_of(item: &GoalItem, zone: Tz) -> NaiveDate {
    monday_of(item.since.with_timezone(&zone).date_naive())
}

/// The weeks that are hidden because fewer people than may be shown began something in them. They are in no window: of two windows that
/// differ by one week, the difference would be that week.
fn weeks_of_few(items: &[GoalItem], context: GoalContext<'_>) -> BTreeSet<NaiveDate> {
    let mut people: BTreeMap<NaiveDate, BTreeSet<i64>> = BTreeMap::new();
    for item in items {
        people.entry(week_of(item, context.zone)).or_default().insert(item.person);
    }
    people.into_iter().filter(|(_, people)| people.len() < context.min_group_size).map(|(week, _)| week).collect()
}

/// The numbers of those that had their time at the end; `None` if they are too few.
fn numbers(started: &[(&GoalItem, DateTime<Utc>)], end: DateTime<Utc>, min_group_size: usize) -> Option<ShareNumbers> {
    let outcomes: Vec<(&GoalItem, bool)> = started.iter().filter_map(|(item, due)| outcome(item, *due, end)).collect();
    let people: BTreeSet<i64> = outcomes.iter().map(|(item, _)| item.person).collect();
    let is_few = i64::try_from(outcomes.len()).is_ok_and(|n| n < FEW);
    if is_few || people.len() < min_group_size {
        return None;
    }
    let weighted = outcomes.iter().map(|(item, is_within)| (*is_within, f64::from(item.weight.units())));
    let (x, n) = effective(weighted)?;
    let (low, high) = jeffreys(x, n);
    Some(ShareNumbers {
        n: outcomes.len(),
        n_within: outcomes.iter().filter(|(_, is_within)| *is_within).count(),
        n_waiting: outcomes.iter().filter(|(item, _)| item.stopped().is_none_or(|stopped| end <= stopped)).count(),
        share: x / n,
        low,
        high,
    })
}

/// Whether the time was enough; `None` while it is not over, and of what stopped waiting before.
fn outcome(item: &GoalItem, due: DateTime<Utc>, end: DateTime<Utc>) -> Option<(&GoalItem, bool)> {
    if end < due {
        return None;
    }
    let is_within = item.done.is_some_and(|done| done <= due);
    let is_gone = item.ended.is_some_and(|ended| ended <= due);
    (is_within || !is_gone).then_some((item, is_within))
}

/// A pull request that breaks an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Breach {
    /// Which one.
    pub id: i64,
    /// Since when it waits.
    pub since: DateTime<Utc>,
    /// Since when it waits too long.
    pub broken_since: DateTime<Utc>,
}

/// How a goal about what is open stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OpenEvaluation {
    /// When.
    pub at: DateTime<Utc>,
    /// How it stands: met, missed, incomplete, or too few if those that wait are by fewer people than may be shown.
    pub state: GoalState,
    /// How many wait.
    pub open: usize,
    /// Those that wait too long, the longest first; of a limit none.
    pub breaches: Vec<Breach>,
    /// Whether those that wait too long are hidden, because what waits is by fewer people than may be shown.
    pub is_suppressed: bool,
}

/// Judges at an instant that none waits longer than a time.
pub fn judge_each(
    within: TimeDelta,
    items: &[GoalItem],
    at: DateTime<Utc>,
    is_complete: bool,
    context: GoalContext<'_>,
) -> OpenEvaluation {
    let open: Vec<&GoalItem> = items.iter().filter(|item| item.waits(at)).collect();
    let due = |item: &&GoalItem| (**item, context.clock.due(item.since, within, context.zone));
    let late = open.iter().map(due).filter(|(_, due)| *due < at);
    let mut breaches: Vec<Breach> =
        late.map(|(item, due)| Breach { id: item.id, since: item.since, broken_since: due }).collect();
    breaches.sort_by_key(|breach| (breach.broken_since, breach.id));
    let hides = is_of_few(open.iter().copied(), context.min_group_size);
    if hides {
        breaches.clear();
    }
    let state = if is_complete && hides { GoalState::TooFew } else { state_of(is_complete, breaches.is_empty()) };
    OpenEvaluation { at, state, open: open.len(), breaches, is_suppressed: hides }
}

/// Whether pull requests are by fewer people than may be shown. None are by nobody.
fn is_of_few<'a>(items: impl Iterator<Item = &'a GoalItem>, min_group_size: usize) -> bool {
    let people: BTreeSet<i64> = items.map(|item| item.person).collect();
    !people.is_empty() && people.len() < min_group_size
}

/// Judges at an instant that at most so many wait.
pub fn judge_limit(limit: u32, items: &[GoalItem], at: DateTime<Utc>, is_complete: bool) -> OpenEvaluation {
    let open = items.iter().filter(|item| item.waits(at)).count();
    let state = state_of(is_complete, u32::try_from(open).is_ok_and(|open| open <= limit));
    OpenEvaluation { at, state, open, breaches: Vec::new(), is_suppressed: false }
}

fn state_of(is_complete: bool, is_met: bool) -> GoalState {
    match (is_complete, is_met) {
        (false, _) => GoalState::Incomplete,
        (true, true) => GoalState::Met,
        (true, false) => GoalState::Missed,
    }
}

/// How a goal would have stood in the last weeks.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GoalPreview {
    /// The ID of the formula.
    pub definition: &'static str,
    /// Each week, oldest first: of a share how it was judged then, of the others whether it held all week.
    pub weeks: Vec<PreviewWeek>,
    /// How many messages there would have been: of a share and a limit each change of the state, once a week at most; of `each`
    /// each pull request that broke it.
    pub messages: usize,
    /// What could be asked for at present; only of a share.
    pub suggestion: Option<Suggestion>,
}

/// How a goal would have stood in a week.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PreviewWeek {
    /// Its Monday.
    pub week: NaiveDate,
    /// How it would have stood: of a share after the week, of the others `missed` if they did not hold at each collection.
    pub state: GoalState,
    /// The numbers of a share.
    pub numbers: Option<ShareNumbers>,
    /// How many messages there would have been because of this week.
    pub messages: usize,
}

/// What a team does anyway: a goal to begin with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub struct Suggestion {
    /// The present part that takes no longer than the goal's time, or that the metric takes.
    pub share: Option<f64>,
    /// The shortest time in whole hours that is enough for half of them; `null` if half of them still wait, and of a metric.
    pub p50_hours: Option<i64>,
}

/// How a goal would have stood in these weeks, oldest first. Nothing is known before the first one.
pub fn preview(form: &GoalForm, items: &[GoalItem], weeks: &[GoalWeek], context: GoalContext<'_>) -> GoalPreview {
    let mut suggestion = None;
    let shown = |it: ShareEvaluation| PreviewWeek {
        week: it.week,
        state: it.state,
        numbers: it.numbers,
        messages: usize::from(it.is_changed),
    };
    let weeks: Vec<PreviewWeek> = match *form {
        GoalForm::Share { within_hours, share, .. } => {
            let target = ShareTarget { within: TimeDelta::hours(within_hours.into()), share };
            let judged = judge_share(target, items, weeks, None, context);
            suggestion = weeks.last().map(|week| suggest(target.within, items, *week, context));
            judged.into_iter().map(shown).collect()
        }
        GoalForm::Metric { share, .. } => {
            let judged = judge_metric(share, context.metric, weeks);
            let present = |it: &ShareEvaluation| Suggestion { share: it.numbers.map(|it| it.share), p50_hours: None };
            suggestion = judged.last().map(present);
            judged.into_iter().map(shown).collect()
        }
        GoalForm::Each { within_hours, .. } => {
            let within = TimeDelta::hours(within_hours.into());
            let dated = items.iter().map(|item| (context.clock.due(item.since, within, context.zone), item.stopped()));
            let late: Vec<_> = dated.filter(|(due, stopped)| stopped.is_none_or(|stopped| *due < stopped)).collect();
            weeks.iter().map(|week| each_week(*week, &late, context.zone)).collect()
        }
        GoalForm::Limit { open } => limit_weeks(open, items, weeks, context.zone),
    };
    let weeks: Vec<PreviewWeek> = match form {
        // Counts are never hidden; shares were.
        GoalForm::Share { .. } | GoalForm::Limit { .. } | GoalForm::Metric { .. } => weeks,
        GoalForm::Each { .. } => weeks.into_iter().map(|week| hide_few(week, items, context)).collect(),
    };
    let messages = weeks.iter().map(|week| week.messages).sum();
    GoalPreview { definition: GOAL, weeks, messages, suggestion }
}

/// A week in which only few people had something open says nothing.
fn hide_few(week: PreviewWeek, items: &[GoalItem], context: GoalContext<'_>) -> PreviewWeek {
    let (start, end) = GoalWeek { start: week.week, is_complete: true }.last(1, context.zone);
    let is_open = |item: &&GoalItem| item.since < end && item.stopped().is_none_or(|stopped| start < stopped);
    if week.state != GoalState::Incomplete && is_of_few(items.iter().filter(is_open), context.min_group_size) {
        return PreviewWeek { state: GoalState::TooFew, messages: 0, ..week };
    }
    week
}

/// A week of an agreement about each pull request, from when those that broke it did so and stopped waiting.
fn each_week(week: GoalWeek, late: &[(DateTime<Utc>, Option<DateTime<Utc>>)], zone: Tz) -> PreviewWeek {
    let (start, end) = week.last(1, zone);
    let is_broken = late.iter().any(|(due, stopped)| *due < end && stopped.is_none_or(|stopped| start < stopped));
    let messages = if week.is_complete { late.iter().filter(|(due, _)| (start..end).contains(due)).count() } else { 0 };
    PreviewWeek { week: week.start, state: state_of(week.is_complete, !is_broken), numbers: None, messages }
}

/// The weeks of a limit, by what was open at each collection.
fn limit_weeks(limit: u32, items: &[GoalItem], weeks: &[GoalWeek], zone: Tz) -> Vec<PreviewWeek> {
    let mut started: Vec<DateTime<Utc>> = items.iter().map(|item| item.since).collect();
    let mut stopped: Vec<DateTime<Utc>> =
        items.iter().filter_map(|item| Some(item.stopped()?.max(item.since))).collect();
    started.sort_unstable();
    stopped.sort_unstable();
    let is_met = |at: DateTime<Utc>| {
        let open = started.partition_point(|it| *it <= at) - stopped.partition_point(|it| *it <= at);
        u32::try_from(open).is_ok_and(|open| open <= limit)
    };
    let mut last = None;
    let mut result = Vec::with_capacity(weeks.len());
    for week in weeks {
        let (start, end) = week.last(1, zone);
        let (mut holds, mut changes) = (true, false);
        let step = TimeDelta::hours(COLLECT_EVERY_HOURS.into());
        let collections = std::iter::successors(Some(start), |at| Some(*at + step)).take_while(|at| *at < end);
        for at in collections.filter(|_| week.is_complete) {
            let met = is_met(at);
            holds &= met;
            changes |= last.is_some_and(|last| last != met);
            last = Some(met);
        }
        let state = state_of(week.is_complete, holds);
        result.push(PreviewWeek { week: week.start, state, numbers: None, messages: usize::from(changes) });
    }
    result
}

/// What could be asked for at present, from the window of a week: the share of a time, and the time of half.
pub fn suggest(within: TimeDelta, items: &[GoalItem], week: GoalWeek, context: GoalContext<'_>) -> Suggestion {
    if !week.is_complete {
        return Suggestion::default();
    }
    let (from, end) = week.window(context.zone);
    let few = weeks_of_few(items, context);
    let started = items.iter().filter(|item| from <= item.since && item.since < end);
    let started: Vec<&GoalItem> = started.filter(|item| !few.contains(&week_of(item, context.zone))).collect();
    let share_within = |within: TimeDelta| {
        let due = |item: &GoalItem| context.clock.due(item.since, within, context.zone);
        let dated: Vec<_> = started.iter().map(|item| (*item, due(item))).collect();
        numbers(&dated, end, context.min_group_size).map(|numbers| numbers.share)
    };
    let elapsed = |item: &&GoalItem| Some(context.clock.elapsed(item.since, item.done?, context.zone));
    // Only a time that somebody needed changes the share.
    let hours: BTreeSet<i64> =
        started.iter().filter_map(elapsed).map(|it| (it.num_seconds() + 3_599) / 3_600).collect();
    let is_half = |hours: &i64| share_within(TimeDelta::hours(*hours)).is_some_and(|share| share >= 0.5);
    Suggestion { share: share_within(within), p50_hours: hours.into_iter().map(|hours| hours.max(1)).find(is_half) }
}
