//! How a team's goals stood, and stand.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Days, NaiveDate, Utc};
use mergeline_domain::insight::{
    Clock, CustomMetric, GoalContext, GoalFacts, GoalForm, GoalHistory, GoalRevision, GoalTimes, GoalWeekState,
    MetricInterval, MetricStatistic, MetricWeek, ReadWeek, SHARE_WEEKS, goal_history,
};
use mergeline_domain::metrics::{DateRange, Warning};
use mergeline_domain::teams_file::{TeamGoal, goals_of_team};
use mergeline_domain::{GoalId, MetricId, monday_of, start_of_day};
use mergeline_store::{LinkedPullRequest, TeamRef};

use crate::query::ReportError;
use crate::report::Report;

/// How long before the range a share may have got the state that it still has.
const MEMORY_WEEKS: u64 = 104;

/// A team's goals, judged by the revision of the time.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamGoals {
    /// The team.
    pub team: TeamRef,
    /// By id.
    pub goals: Vec<JudgedGoal>,
    /// The pull requests that break one of them, by the number that [`GoalHistory::open`] has.
    pub pull_requests: HashMap<i64, LinkedPullRequest>,
    /// What readers must know.
    pub warnings: Vec<Warning>,
}

/// A goal of a team, and how it stood and stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedGoal {
    /// Its short name.
    pub id: GoalId,
    /// What it asked for, the oldest first.
    pub revisions: Vec<GoalRevision>,
    /// How it stands, and how it stood in the weeks of the range.
    pub history: GoalHistory,
    /// Which of the revisions is in force, counted from 0.
    pub in_force: Option<usize>,
    /// The last whole week, also outside of the range, after which a share has its state.
    pub last: Option<GoalWeekState>,
}

impl Report {
    /// How the goals of a team stood in the whole weeks of the range, and stand now.
    ///
    /// # Errors
    /// [`ReportError::UnknownTeam`] without a team, and when the database fails.
    pub async fn goals(&mut self) -> Result<TeamGoals, ReportError> {
        let goals = goals_of_team(&self.reader.goals().await?, &self.required_team()?.slug);
        let metrics = if metrics_of(&goals).is_empty() { Vec::new() } else { self.reader.custom_metrics().await? };
        self.judge_goals(goals, &metrics).await
    }

    /// The same of any goals and metrics, also of those that are not in force: how they would have stood.
    ///
    /// # Errors
    /// As for [`Self::goals`].
    pub async fn judge_goals(
        &mut self,
        goals: Vec<TeamGoal>,
        metrics: &[CustomMetric],
    ) -> Result<TeamGoals, ReportError> {
        let team = self.required_team()?;
        let (weeks, since) = self.weeks_of_goals();
        let times = if goals.is_empty() {
            Vec::new()
        } else {
            self.reader.goal_times(team.id, start_of_day(since, self.range.zone)).await?
        };
        let wanted = metrics_of(&goals);
        // A metric that has become another one since says nothing about the goal.
        let is_share =
            |metric: &&CustomMetric| metric.statistic == MetricStatistic::Share && metric.by == MetricInterval::Week;
        let metrics: Vec<&CustomMetric> =
            metrics.iter().filter(|metric| wanted.contains(&metric.id)).filter(is_share).collect();
        let (numbers, of_metrics) = self.metric_weeks(&metrics, &weeks).await?;
        let goals = self.judge(goals, &times, &numbers, &weeks);
        let breaches = goals.iter().filter_map(|goal| goal.history.open.as_ref()).flat_map(|open| &open.breaches);
        let ids: Vec<i64> = breaches.map(|breach| breach.id).collect();
        let listed = if ids.is_empty() { Vec::new() } else { self.reader.linked_pull_requests(&ids).await? };
        let pull_requests = listed.into_iter().map(|it| (it.id, it)).collect();
        let warnings = self.warnings().iter().cloned().chain(of_metrics).collect();
        Ok(TeamGoals { team, goals, pull_requests, warnings })
    }

    fn judge(
        &self,
        goals: Vec<TeamGoal>,
        times: &[GoalTimes],
        metrics: &HashMap<MetricId, Vec<MetricWeek>>,
        weeks: &[ReadWeek],
    ) -> Vec<JudgedGoal> {
        let coverage = self.coverage();
        let is_fresh = |at: &DateTime<Utc>| self.now - self.stale_after <= *at && !coverage.is_reattributing;
        let read_until = coverage.complete_until.map(|at| at.min(self.now)).filter(is_fresh);
        let facts = GoalFacts { times, metrics, weeks, read_until, now: self.now };
        let context = GoalContext {
            clock: &Clock::Wall,
            zone: self.range.zone,
            min_group_size: self.smallest_group(),
            metric: &[],
        };
        let judged = |goal: TeamGoal| {
            let mut history = goal_history(&goal.revisions, &facts, context);
            let is_asked =
                |week: &GoalWeekState| self.range.from <= week.week && week.week + Days::new(7) <= self.range.to;
            let in_force = goal.revisions.iter().position(|revision| revision.in_force.contains(self.now));
            let decides = |week: &GoalWeekState| history.open.is_none() && in_force == Some(week.revision);
            let last = history.weeks.last().filter(|week| decides(week)).cloned();
            history.weeks.retain(is_asked);
            JudgedGoal { id: goal.id, revisions: goal.revisions, history, in_force, last }
        };
        goals.into_iter().map(judged).collect()
    }

    /// The whole weeks up to now, from long before the range on, and the first day of all: a share that is between the two sides keeps its
    /// state, which must not depend on the range.
    fn weeks_of_goals(&self) -> (Vec<ReadWeek>, NaiveDate) {
        let end = self.running_week();
        let first = monday_of(self.range.from).min(end) - Days::new(7 * (MEMORY_WEEKS + SHARE_WEEKS - 1));
        let mondays = std::iter::successors(Some(first), |monday| Some(*monday + Days::new(7)));
        let week = |start: NaiveDate| {
            let days = DateRange { from: start, to: start + Days::new(7), ..self.range };
            ReadWeek { start, is_complete: self.coverage().incomplete_range(&days, self.today()).is_empty() }
        };
        (mondays.take_while(|monday| *monday + Days::new(7) <= end).map(week).collect(), first)
    }
}

/// The metrics that goals are or were about.
fn metrics_of(goals: &[TeamGoal]) -> BTreeSet<&MetricId> {
    let revisions = goals.iter().flat_map(|goal| &goal.revisions);
    let metrics = revisions.filter_map(|revision| match &revision.goal {
        GoalForm::Metric { metric, .. } => Some(metric),
        _ => None,
    });
    metrics.collect()
}
