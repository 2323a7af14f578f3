//! How a team's numbers are defined: calendar units and ranges, measures, completeness, small groups, warnings and
//! definitions. Pure: stored data and the current time are passed in.

mod allocation;
mod bucket;
mod coverage;
mod definition;
mod dora;
mod interval;
mod measure;
mod range;
mod suppression;
mod warning;

pub use allocation::{Allocation, Allocations};
pub use bucket::{Bucket, Statistics};
pub use coverage::{COLLECT_EVERY_HOURS, Coverage, Incomplete, STALE_AFTER, stale_after};
pub use definition::{
    ATTRIBUTION, CHANGE, CHANGE_FAIL_RATE, CHANGE_LEAD_TIME, CUSTOM_METRIC, DEFINITIONS, DELIVERED, DELIVERY,
    DEPLOYMENT_FREQUENCY, DEPLOYMENT_RECOVERY_TIME, DEPLOYMENT_SUCCESS_RATE, Definition, FORECAST, FTE_WEEKS, GOAL,
    INVESTMENT, MEDIAN_INTERVAL, MTTR, NOT_FOR_PEOPLE, OWNED, PICKUP_CALENDAR, PR_CYCLE_TIME, PR_PHASES,
    PR_PICKUP_WORKING, QUICK_CHECK, RECOVERY_TIME, REVIEW_FLOW, REVIEW_SPREAD, REWORK_RATE, SIZE_EFFECT, TIME_SHARE,
    VELOCITY, WIP_AGE,
};
pub use dora::{
    Basis, Class, Count, DeploymentCounts, DoraBucket, DoraStatistics, Edition, FEW, QuickCheck, QuickCheckAnswers,
    Timing, Unattributed,
};
pub use interval::Interval;
pub use measure::{Durations, Measure, MeasureKind};
pub use range::{DateRange, DefaultRange, InvalidParameter, Lookback, LookbackError, RangeRequest};
pub use suppression::{hide_small_groups, remove_hidden};
pub use warning::{CoverageWarnings, Warning, WarningCode, coverage_warnings};
