//! The metrics of the teams file.

use std::collections::HashMap;

use chrono::{Days, NaiveDate};
use mergeline_domain::insight::{CustomMetric, MetricInterval, MetricUnit, MetricWeek, ReadWeek};
use mergeline_domain::metrics::{DateRange, Incomplete, Interval, RangeRequest, Warning, WarningCode};
use mergeline_domain::{MetricId, TeamId};
use mergeline_store::{DeploymentCoverage, MetricBucket, TeamRef};

use crate::dora::{
    deployments_not_read, incidents_not_read, incomplete_deliveries, lacks_deployments, no_deployment_source,
    no_incident_source,
};
use crate::query::ReportError;
use crate::report::{Report, applying};
use crate::statistics::DETAILS_PENDING;

/// The metrics of the teams file, for a team.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamMetrics {
    /// The team.
    pub team: TeamRef,
    /// In the order of the file.
    pub metrics: Vec<MeasuredMetric>,
    /// What readers must know.
    pub warnings: Vec<Warning>,
}

/// A metric and its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredMetric {
    /// What it means.
    pub metric: CustomMetric,
    /// Every calendar unit that the range touches.
    pub units: Vec<MeasuredUnit>,
}

/// The number of a metric in a calendar unit.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredUnit {
    /// `2026-W23` or `2026-06`.
    pub label: String,
    /// The first day.
    pub start: NaiveDate,
    /// The first day after it.
    pub end: NaiveDate,
    /// Why it is not final; nothing if the whole unit is in the range, is over, and was read.
    pub incomplete: Vec<Incomplete>,
    /// The numbers; `None` if they are of too few people to be shown.
    pub numbers: Option<MetricBucket>,
    /// Its value in the metric's unit; `None` if it is of nothing, or hidden.
    pub value: Option<f64>,
}

impl Report {
    /// The numbers of the metrics that the teams file defines.
    ///
    /// # Errors
    /// [`ReportError::UnknownTeam`] without a team, and when the database fails or takes more than two seconds for one of them.
    pub async fn custom_metrics(&mut self) -> Result<TeamMetrics, ReportError> {
        let metrics = self.reader.custom_metrics().await?;
        self.measure(metrics).await
    }

    /// The same of any metrics, also of those that no file has yet.
    ///
    /// # Errors
    /// As for [`Self::custom_metrics`].
    pub async fn measure(&mut self, metrics: Vec<CustomMetric>) -> Result<TeamMetrics, ReportError> {
        let team = self.required_team()?;
        let days = self.range;
        let deployments = self.deployments_for(metrics.iter(), days).await?;
        let (mut measured, mut lacks_details) = (Vec::new(), false);
        for metric in metrics {
            let days = if metric.by == MetricInterval::Month { self.whole_months() } else { days };
            let found = self.buckets_of(&metric, team.id, days).await?;
            lacks_details |= found.iter().any(|bucket| bucket.lacks_details);
            let unit = |bucket| self.unit(&metric, bucket, &days, deployments.as_ref());
            let units = found.into_iter().map(unit).collect();
            measured.push(MeasuredMetric { metric, units });
        }
        let has_hidden = measured.iter().flat_map(|it| &it.units).any(|unit| unit.numbers.is_none());
        let mut warnings = self.warnings().to_vec();
        warnings.extend(self.warnings_of_metrics(deployments.as_ref(), lacks_details));
        warnings.extend(applying([(
            has_hidden,
            WarningCode::Suppressed,
            "weeks in which a metric divides the team's pull requests into groups of fewer people than privacy.min_group_size, and \
             weeks that are not over, are not shown",
        )]));
        Ok(TeamMetrics { team, metrics: measured, warnings })
    }

    /// The whole weeks of metrics that are shares, as goals see them, and what readers must know about them.
    ///
    /// # Errors
    /// As for [`Self::custom_metrics`].
    pub(crate) async fn metric_weeks(
        &mut self,
        metrics: &[&CustomMetric],
        weeks: &[ReadWeek],
    ) -> Result<(HashMap<MetricId, Vec<MetricWeek>>, Vec<Warning>), ReportError> {
        let team = self.required_team()?;
        let [Some(first), Some(last)] = [weeks.first(), weeks.last()] else { return Ok(Default::default()) };
        let days = DateRange { from: first.start, to: last.start + Days::new(7), ..self.range };
        let deployments = self.deployments_for(metrics.iter().copied(), days).await?;
        let (mut numbers, mut lacks_details) = (HashMap::new(), false);
        for metric in metrics {
            let found = self.buckets_of(metric, team.id, days).await?;
            lacks_details |= found.iter().any(|bucket| bucket.lacks_details);
            let week = |bucket: MetricBucket| {
                let weight = bucket.weight.as_part();
                MetricWeek {
                    start: bucket.start,
                    n: usize::try_from(bucket.n).unwrap_or_default(),
                    n_taken: usize::try_from(bucket.taken).unwrap_or_default(),
                    weight,
                    taken: bucket.value.unwrap_or_default() * weight,
                    squares: bucket.squares,
                    is_hidden: !self.shows(metric, &bucket),
                    is_complete: !bucket.lacks_details
                        && self.incomplete_unit(metric, bucket.start, &days, deployments.as_ref()).is_empty(),
                }
            };
            numbers.insert(metric.id.clone(), found.into_iter().map(week).collect());
        }
        Ok((numbers, self.warnings_of_metrics(deployments.as_ref(), lacks_details)))
    }

    async fn buckets_of(
        &mut self,
        metric: &CustomMetric,
        team: TeamId,
        days: DateRange,
    ) -> Result<Vec<MetricBucket>, ReportError> {
        let found = self.reader.custom_metric(metric, team, (days.start(), days.end()), days.zone).await;
        found.map_err(|error| self.refusal(error))
    }

    /// How far deployments are read, if any of these metrics depends on them. What takes long is in no time-out of the metrics.
    async fn deployments_for(
        &mut self,
        mut metrics: impl Iterator<Item = &CustomMetric>,
        days: DateRange,
    ) -> Result<Option<DeploymentCoverage>, ReportError> {
        if metrics.any(CustomMetric::needs_deployments) {
            Ok(Some(self.reader.deployment_coverage(None, None, days.start()..days.end(), self.now).await?))
        } else {
            Ok(None)
        }
    }

    /// The months that the range touches, whole: unless somebody asked for other days, a part of one is no month.
    fn whole_months(&self) -> DateRange {
        if self.query.range != RangeRequest::DEFAULT {
            return self.range;
        }
        let month = Interval::Month;
        let last = month.start(self.range.to - Days::new(1));
        DateRange { from: month.start(self.range.from), to: month.end(last), ..self.range }
    }

    fn warnings_of_metrics(&self, deployments: Option<&DeploymentCoverage>, lacks_details: bool) -> Vec<Warning> {
        let (now, stale_after, is_limited) = (self.now, self.stale_after, self.is_limited);
        let of_services = deployments.into_iter().flat_map(|deployments| {
            applying([
                no_deployment_source(deployments, false),
                deployments_not_read(deployments, &self.range, now, stale_after, is_limited),
                incidents_not_read(deployments, &self.range, now, stale_after, is_limited),
                no_incident_source(deployments),
            ])
        });
        of_services.chain(applying([(lacks_details, WarningCode::DetailsPending, DETAILS_PENDING)])).collect()
    }

    /// Why a calendar unit of a metric is not final. The coverage of deployments is there for what depends on it.
    fn incomplete_unit(
        &self,
        metric: &CustomMetric,
        start: NaiveDate,
        days: &DateRange,
        deployments: Option<&DeploymentCoverage>,
    ) -> Vec<Incomplete> {
        let (interval, today) = (metric.by.interval(), self.today());
        let end = interval.end(start);
        let needed = deployments.filter(|_| metric.needs_deployments());
        if let Some(deployments) = needed.filter(|_| !metric.of.is_of_people()) {
            return incomplete_deliveries(self.coverage(), deployments, days, (start, end), today);
        }
        let mut reasons = self.coverage().incomplete_bucket(start, interval, days, today);
        let unit = DateRange { from: start, to: end, ..*days };
        if needed.is_some_and(|deployments| lacks_deployments(deployments, &unit, today)) {
            reasons.push(Incomplete::DeploymentsNotRead);
        }
        reasons
    }

    fn unit(
        &self,
        metric: &CustomMetric,
        bucket: MetricBucket,
        days: &DateRange,
        deployments: Option<&DeploymentCoverage>,
    ) -> MeasuredUnit {
        let (interval, start) = (metric.by.interval(), bucket.start);
        let numbers = Some(bucket).filter(|bucket| self.shows(metric, bucket));
        let in_a_unit = if metric.unit() == MetricUnit::Hours { 3600.0 } else { 1.0 };
        MeasuredUnit {
            label: interval.label(start),
            start,
            end: interval.end(start),
            incomplete: self.incomplete_unit(metric, start, days, deployments),
            numbers,
            value: numbers.and_then(|numbers| numbers.value).map(|value| value / in_a_unit),
        }
    }

    /// Whether every group into which the metric divides the pull requests is of enough people. What is not over is never shown:
    /// comparing it from day to day would reveal what was added since the day before. Nor is a month: without its whole weeks it is a few
    /// days.
    fn shows(&self, metric: &CustomMetric, bucket: &MetricBucket) -> bool {
        let is_large = bucket.people.is_none_or(|people| people >= self.min_group_size());
        let is_whole_week = metric.by == MetricInterval::Week && bucket.start < self.running_week();
        !self.hides_small_groups() || (is_whole_week && is_large)
    }
}
