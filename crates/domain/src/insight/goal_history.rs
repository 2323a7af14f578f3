//! How a goal stood in each week and stands now, by the revision that was in force at the time.

use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Serialize;

use super::goals::{
    GoalContext, GoalForm, GoalItem, GoalMeasure, GoalState, GoalWeek, MetricWeek, OpenEvaluation, PreviewWeek,
    SHARE_WEEKS, Suggestion, judge_each, judge_limit, preview,
};
use super::{Clock, ShareNumbers};
use crate::metrics::{CUSTOM_METRIC, GOAL};
use crate::{MetricId, Period, Weight, start_of_day};

/// The instants of a pull request that goals are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoalTimes {
    /// Which one.
    pub id: i64,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
    /// When it was first ready for review; `None` of a draft.
    pub ready_at: Option<DateTime<Utc>>,
    /// When another person first reviewed it.
    pub first_review_at: Option<DateTime<Utc>>,
    /// When it was closed or merged.
    pub closed_at: Option<DateTime<Utc>>,
    /// When it was merged.
    pub merged_at: Option<DateTime<Utc>>,
    /// Whether its reviews were read as of its last change.
    pub has_details: bool,
    /// The team's share in it.
    pub weight: Weight,
    /// Its author, as any number that is the same for the same person.
    pub person: i64,
}

impl GoalTimes {
    /// What a measure sees of it; `None` if it does not wait for that.
    pub fn item(&self, measure: GoalMeasure) -> Option<GoalItem> {
        let closed = self.closed_at;
        // As in pr_phases@1: a review before it was ready, or after it was closed, is none.
        let reviewed = self.first_review_at.filter(|at| closed.is_none_or(|closed| *at <= closed));
        let (since, done, ended) = match measure {
            GoalMeasure::Pickup => {
                let since = self.ready_at?;
                if reviewed.is_some_and(|at| at < since) {
                    return None;
                }
                (since, reviewed, closed)
            }
            GoalMeasure::Review => (reviewed.filter(|at| self.created_at <= *at)?, self.merged_at, closed),
            GoalMeasure::CycleTime => (self.created_at, self.merged_at, closed),
            GoalMeasure::Age => (self.ready_at?, closed, None),
        };
        let is_in_order = done.or(ended).is_none_or(|at| since <= at);
        let (id, weight, person) = (self.id, self.weight, self.person);
        is_in_order.then_some(GoalItem { id, since, done, ended, weight, person })
    }
}

impl GoalMeasure {
    /// Whether it depends on what is read after the pull request itself.
    fn needs_details(self) -> bool {
        !matches!(self, Self::CycleTime)
    }
}

/// What a goal asked for during a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GoalRevision {
    /// What it asks for.
    pub goal: GoalForm,
    /// By which clock waiting is measured.
    pub clock: Clock,
    /// What the team says about it.
    pub sentence: Option<String>,
    /// When it is in force: from the first instant on, before the second one.
    #[schemars(with = "Since")]
    pub in_force: Period,
}

/// How a [`Period`] is written.
#[derive(JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "only its schema is used")]
struct Since {
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
}

impl GoalHistory {
    /// How many messages these weeks would have caused.
    pub fn messages(&self) -> usize {
        self.weeks.iter().map(|week| week.messages).sum()
    }
}

impl GoalRevision {
    /// What it asks for, for people.
    pub fn asks(&self) -> String {
        self.goal.text(&self.clock)
    }

    /// What of pull requests it is about, unless it is about a metric.
    fn measure(&self) -> Option<GoalMeasure> {
        match self.goal {
            GoalForm::Share { measure, .. } | GoalForm::Each { measure, .. } => Some(measure),
            GoalForm::Limit { .. } => Some(GoalMeasure::Age),
            GoalForm::Metric { .. } => None,
        }
    }

    /// The ID of the formula of what it measures.
    pub fn measured_by(&self) -> &'static str {
        match self.goal {
            GoalForm::Limit { .. } => GOAL,
            GoalForm::Metric { .. } => CUSTOM_METRIC,
            GoalForm::Share { measure, .. } | GoalForm::Each { measure, .. } => measure.definition(&self.clock),
        }
    }
}

/// A week, and whether it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadWeek {
    /// Its Monday.
    pub start: NaiveDate,
    /// Whether all of it was read.
    pub is_complete: bool,
}

/// How a goal stood after a week.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GoalWeekState {
    /// The first day of the week.
    pub week: NaiveDate,
    /// Which of the revisions was in force at its end, counted from 0.
    pub revision: usize,
    /// How it stood.
    pub state: GoalState,
    /// The numbers of a share, of the four weeks that end with this one.
    pub numbers: Option<ShareNumbers>,
    /// How many messages there would be because of this week.
    #[serde(skip)]
    pub messages: usize,
}

/// How a goal stood, and stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct GoalHistory {
    /// How it stands: of a share after the last week, of the others as of the last collection. `None` if it is not in force, or no week
    /// was judged yet.
    pub state: Option<GoalState>,
    /// How it stands as of the last collection, if it is about what is open.
    pub open: Option<OpenEvaluation>,
    /// The weeks during which it was in force, oldest first.
    pub weeks: Vec<GoalWeekState>,
    /// What could be asked for at present; only of a share in force.
    pub suggestion: Option<Suggestion>,
}

/// What a goal is judged by.
#[derive(Debug, Clone, Copy)]
pub struct GoalFacts<'a> {
    /// The pull requests that were open at any time since the first of the weeks.
    pub times: &'a [GoalTimes],
    /// The numbers of the metrics that goals are about.
    pub metrics: &'a HashMap<MetricId, Vec<MetricWeek>>,
    /// Consecutive whole weeks, oldest first. A share needs four weeks, so that the first three are not judged.
    pub weeks: &'a [ReadWeek],
    /// Up to when everything was read; `None` if that is too long ago, or something was not read.
    pub read_until: Option<DateTime<Utc>>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Judges each week by the revision that was in force at its end. A new revision starts without a state.
pub fn goal_history(revisions: &[GoalRevision], facts: &GoalFacts<'_>, context: GoalContext<'_>) -> GoalHistory {
    let mut history = GoalHistory { state: None, open: None, weeks: Vec::new(), suggestion: None };
    for (index, revision) in revisions.iter().enumerate() {
        let metric = match &revision.goal {
            GoalForm::Metric { metric, .. } => Some(facts.metrics.get(metric).map_or(&[][..], Vec::as_slice)),
            _ => None,
        };
        let context = GoalContext { clock: &revision.clock, metric: metric.unwrap_or_default(), ..context };
        let measure = revision.measure();
        let items: Vec<GoalItem> = measure
            .map(|measure| facts.times.iter().filter_map(|times| times.item(measure)).collect())
            .unwrap_or_default();
        let needs_details = measure.is_some_and(GoalMeasure::needs_details);
        let unread: Vec<&GoalTimes> = facts.times.iter().filter(|it| needs_details && !it.has_details).collect();
        let is_pending = |from: DateTime<Utc>, to: DateTime<Utc>| {
            unread.iter().any(|it| it.created_at < to && it.closed_at.is_none_or(|closed| from <= closed))
        };
        let is_of_weeks = matches!(revision.goal, GoalForm::Share { .. } | GoalForm::Metric { .. });
        let needed_weeks = if is_of_weeks { SHARE_WEEKS } else { 1 };
        // A metric that is not in the file any more has no weeks.
        let is_known = |week: &ReadWeek| {
            metric.is_none_or(|weeks| weeks.iter().any(|it| it.start == week.start && it.is_complete))
        };
        let day = |day: NaiveDate| start_of_day(day, context.zone);
        // The last instant of a week belongs to it.
        let last = |week: &ReadWeek| day(week.start + Days::new(7)) - TimeDelta::microseconds(1);
        let judged: Vec<GoalWeek> = facts
            .weeks
            .windows(usize::try_from(SHARE_WEEKS).unwrap_or(1))
            .filter_map(|window| {
                let week = window.last().filter(|week| revision.in_force.contains(last(week)))?;
                let mut needed = window.iter().rev().take(usize::try_from(needed_weeks).unwrap_or(1));
                let from = week.start - Days::new(7 * (needed_weeks - 1));
                let is_complete =
                    needed.all(|week| week.is_complete && is_known(week)) && !is_pending(day(from), last(week));
                Some(GoalWeek { start: week.start, is_complete })
            })
            .collect();
        let shown = preview(&revision.goal, &items, &judged, context);
        history.weeks.extend(shown.weeks.into_iter().map(|it: PreviewWeek| GoalWeekState {
            week: it.week,
            revision: index,
            state: it.state,
            numbers: it.numbers,
            messages: it.messages,
        }));
        if !revision.in_force.contains(facts.now) {
            continue;
        }
        let at = facts.read_until.unwrap_or(facts.now);
        let is_complete = facts.read_until.is_some() && !is_pending(at, at);
        // What a webhook has closed since is not open, either.
        let open: Vec<GoalItem> = items.into_iter().filter(|it| it.done.is_none() && it.ended.is_none()).collect();
        history.open = match revision.goal {
            GoalForm::Share { .. } | GoalForm::Metric { .. } => None,
            GoalForm::Each { within_hours, .. } => {
                Some(judge_each(TimeDelta::hours(within_hours.into()), &open, at, is_complete, context))
            }
            GoalForm::Limit { open: limit } => Some(judge_limit(limit, &open, at, is_complete)),
        };
        let of_weeks = || history.weeks.last().filter(|week| week.revision == index).map(|week| week.state);
        history.state = history.open.as_ref().map(|open| open.state).or_else(of_weeks);
        history.suggestion = shown.suggestion;
    }
    history.weeks.sort_by_key(|week| week.week);
    history
}
