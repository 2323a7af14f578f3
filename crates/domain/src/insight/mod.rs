//! What a team should look at: lasting changes, forecasts, goals, and where time goes. Pure: weeks, durations and weights are passed
//! in, people only as numbers to count them by, and nothing that comes out is of a person.

mod capacity;
mod change;
mod clock;
mod custom;
mod flow;
mod forecast;
mod goal_history;
mod goals;
mod groups;
#[cfg(test)]
mod histories;
mod investment;
mod number;
mod pickup_calendar;
mod reviews;
mod share_interval;
mod size_effect;
#[cfg(test)]
mod tests;
mod time_share;
mod wip_age;

pub use capacity::{Capacity, capacity, fte_weeks};
pub use change::{
    BASELINE_WEEKS, Baseline, ChangeReport, ChangeState, ChangeWeek, ChartWeek, Direction, FEW_A_WEEK, FteShift,
    LevelChange, Scale, level_changes,
};
pub use clock::{Clock, WorkingHours};
pub use custom::{
    CustomMetric, FlagField, MetricFields, MetricInterval, MetricMeasure, MetricOf, MetricRange, MetricSelection,
    MetricState, MetricStatistic, MetricUnit, TextField,
};
pub use flow::{Flow, FlowContext, FlowTimes, WIP_WEEKS, flow};
pub use forecast::{
    BackTest, DoneBy, ForecastReport, ForecastTotal, Forecaster, Horizon, WEEKS_AHEAD, WEEKS_NEEDED, back_test,
    forecast,
};
pub use goal_history::{GoalFacts, GoalHistory, GoalRevision, GoalTimes, GoalWeekState, ReadWeek, goal_history};
pub use goals::{
    Breach, GoalContext, GoalForm, GoalItem, GoalMeasure, GoalPreview, GoalState, GoalWeek, MetricWeek, OpenEvaluation,
    PREVIEW_WEEKS, Percent, PreviewWeek, SHARE_WEEKS, ShareEvaluation, ShareNumbers, ShareTarget, Suggestion,
    judge_each, judge_limit, judge_share, preview, suggest,
};
pub use investment::{Invested, Investment, InvestmentCategory, InvestmentRule, investment};
pub use pickup_calendar::{
    CALENDAR_WEEKS, CalendarCell, FEWEST_IN_CELL, OpenedPickup, PickupCalendar, pickup_calendar,
};
pub use reviews::{
    FlowCell, FlowingReview, GivenReview, ReviewFlow, ReviewSpread, SMALLEST_SPREAD, TeamReviews, TeamShare,
    review_flow, review_spread, team_reviews,
};
pub use size_effect::{SIZE_BOUNDS, SizeClass, SizeEffect, SizedTimes, size_effect};
pub use time_share::{Phase, PhaseShare, PhaseTimes, TimeShare, time_share};
pub use wip_age::{AgeInTeam, MergedTime, OpenAge, WipAge, wip_age};
