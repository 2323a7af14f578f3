//! What a team's history says: lasting changes of its weeks, and what is likely to be merged next.

use chrono::NaiveDate;
use mergeline_domain::insight::{
    BASELINE_WEEKS, BackTest, ChangeReport, ChangeWeek, CustomMetric, ForecastReport, Horizon, Scale, WEEKS_NEEDED,
    back_test, forecast, level_changes,
};
use mergeline_domain::metrics::{Incomplete, MeasureKind, Warning};

use mergeline_store::TeamRef;

use crate::custom::{MeasuredMetric, MeasuredUnit};
use crate::query::ReportError;
use crate::report::Report;
use crate::statistics::{BucketNumbers, ReportStatistics};

/// The lasting changes of a team's weeks (`change@1`).
#[derive(Debug, Clone, PartialEq)]
pub struct TeamChanges {
    /// The team.
    pub team: TeamRef,
    /// Of the number of pull requests that were merged, each counted once.
    pub merged: ChangeReport,
    /// Of the weekly medians of the time from opening to merge, in hours.
    pub cycle_time: ChangeReport,
    /// Of the metrics of the teams file that are counts, or medians of times in hours, by week; none of a part of the pull requests.
    pub metrics: Vec<MetricChange>,
    /// What readers must know.
    pub warnings: Vec<Warning>,
}

/// The lasting changes of a metric of the teams file.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricChange {
    /// The metric.
    pub metric: CustomMetric,
    /// Its changes.
    pub change: ChangeReport,
}

/// What a team is likely to merge (`forecast@1`).
#[derive(Debug, Clone, PartialEq)]
pub struct TeamForecast {
    /// The team.
    pub team: TeamRef,
    /// The Monday of the first week that it is made from; `None` if the last week was not read completely.
    pub since: Option<NaiveDate>,
    /// The consecutive complete weeks up to now.
    pub weeks_known: usize,
    /// How many of them are still missing for a forecast.
    pub weeks_missing: usize,
    /// The forecast; `None` while weeks are missing.
    pub forecast: Option<ForecastReport>,
    /// What readers must know.
    pub warnings: Vec<Warning>,
}

/// How statements about a team would have turned out in its past.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamBackTest {
    /// The team.
    pub team: TeamRef,
    /// The Monday of the first week that is known; `None` if the last week was not read completely.
    pub since: Option<NaiveDate>,
    /// The consecutive complete weeks up to now.
    pub weeks_known: usize,
    /// How often forecasts would have held, one for each horizon.
    pub forecasts: Vec<BackTest>,
    /// The weeks in which a lasting change of merges could have been found.
    pub weeks_watched: usize,
    /// The lasting changes that were found: of merges, and of the times from opening to merge.
    pub changes: [usize; 2],
}

impl Report {
    /// How forecasts over these horizons would have turned out, and how many lasting changes were found.
    ///
    /// # Errors
    /// As for [`Self::statistics`].
    pub async fn back_test(&mut self, horizons: &[Horizon]) -> Result<TeamBackTest, ReportError> {
        let ReportStatistics { buckets, .. } = self.statistics().await?;
        let known = known_weeks(&buckets);
        let weeks: Vec<f64> = known.iter().map(|week| count(week)).collect();
        let [merged, cycle_time] = changes_of(&buckets);
        let used = buckets.iter().filter(|week| week.is_complete()).count();
        Ok(TeamBackTest {
            team: self.required_team()?,
            since: known.first().map(|week| week.start),
            weeks_known: weeks.len(),
            forecasts: horizons.iter().map(|horizon| back_test(&weeks, *horizon)).collect(),
            weeks_watched: used.saturating_sub(BASELINE_WEEKS * merged.baselines.len()),
            changes: [merged.changes.len(), cycle_time.changes.len()],
        })
    }

    /// The lasting changes of a team's weeks. Weeks that are not over, or were not read completely, are left out.
    ///
    /// # Errors
    /// As for [`Self::statistics`].
    pub async fn changes(&mut self) -> Result<TeamChanges, ReportError> {
        let ReportStatistics { buckets, mut warnings, .. } = self.statistics().await?;
        let [merged, cycle_time] = changes_of(&buckets);
        // They are of all repositories and branches.
        let is_of_all = self.filter.repositories.is_none() && self.filter.base.is_none();
        let mut metrics = if is_of_all { self.reader.custom_metrics().await? } else { Vec::new() };
        metrics.retain(|metric| metric.scale().is_some());
        let mut changed = Vec::new();
        if !metrics.is_empty() {
            let found = self.measure(metrics).await?;
            warnings.extend(found.warnings.into_iter().filter(|warning| !self.warnings().contains(warning)));
            let of_metric = |it: MeasuredMetric| Some((it.metric.scale()?, it));
            for (scale, MeasuredMetric { metric, units }) in found.metrics.into_iter().filter_map(of_metric) {
                let weeks: Vec<ChangeWeek> = units.iter().map(|unit| of_metric_week(unit, &buckets)).collect();
                changed.push(MetricChange { metric, change: level_changes(scale, &weeks) });
            }
        }
        Ok(TeamChanges { team: self.required_team()?, merged, cycle_time, metrics: changed, warnings })
    }

    /// What a team is likely to merge in the weeks up to a horizon, and when so many will be merged. It is made from the complete weeks
    /// that lead up to now without a gap.
    ///
    /// # Errors
    /// As for [`Self::statistics`].
    pub async fn forecast(&mut self, horizon: Horizon, wanted: Option<u32>) -> Result<TeamForecast, ReportError> {
        let ReportStatistics { buckets, warnings, .. } = self.statistics().await?;
        let known = known_weeks(&buckets);
        let weeks: Vec<f64> = known.iter().map(|week| count(week)).collect();
        let next = known.last().map(|week| week.end);
        Ok(TeamForecast {
            team: self.required_team()?,
            since: known.first().map(|week| week.start),
            weeks_known: weeks.len(),
            weeks_missing: WEEKS_NEEDED.saturating_sub(weeks.len()),
            forecast: next.and_then(|next| forecast(&weeks, next, horizon, wanted.map(f64::from))),
            warnings,
        })
    }
}

/// The complete weeks that lead up to now without a gap, oldest first.
fn known_weeks(buckets: &[BucketNumbers]) -> Vec<&BucketNumbers> {
    let over = buckets.iter().rev().skip_while(|week| week.incomplete.contains(&Incomplete::Running));
    let mut known: Vec<&BucketNumbers> = over.take_while(|week| week.is_complete()).collect();
    known.reverse();
    known
}

/// The lasting changes of the number of merges, and of the medians from opening to merge.
fn changes_of(buckets: &[BucketNumbers]) -> [ChangeReport; 2] {
    let merged: Vec<ChangeWeek> = buckets.iter().map(|week| of_merges(week, Some(count(week)))).collect();
    let cycle_time: Vec<ChangeWeek> = buckets.iter().map(|week| of_merges(week, median_hours(week))).collect();
    [level_changes(Scale::Count, &merged), level_changes(Scale::Duration, &cycle_time)]
}

/// A week of a metric, with the people that the team had.
fn of_metric_week(unit: &MeasuredUnit, buckets: &[BucketNumbers]) -> ChangeWeek {
    let of_team = buckets.binary_search_by_key(&unit.start, |week| week.start).ok().map(|index| &buckets[index]);
    ChangeWeek {
        start: unit.start,
        is_complete: unit.incomplete.is_empty() && unit.numbers.is_some_and(|numbers| !numbers.lacks_details),
        #[expect(clippy::cast_precision_loss, reason = "a team does not do 2^53 things a week")]
        n: unit.numbers.map_or(0.0, |numbers| numbers.n as f64),
        value: unit.value,
        fte: of_team.and_then(|week| week.capacity).and_then(|it| it.fte_weeks),
    }
}

fn of_merges(week: &BucketNumbers, value: Option<f64>) -> ChangeWeek {
    ChangeWeek {
        start: week.start,
        is_complete: week.is_complete(),
        n: count(week),
        value,
        fte: week.capacity.and_then(|it| it.fte_weeks),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a team does not merge 2^53 pull requests a week")]
fn count(week: &BucketNumbers) -> f64 {
    week.numbers.bucket.prs_merged as f64
}

fn median_hours(week: &BucketNumbers) -> Option<f64> {
    let durations = week.numbers.bucket.measure(MeasureKind::CycleTime).durations;
    durations.map(|durations| durations.p50 / 3600.0)
}
