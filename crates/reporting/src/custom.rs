//! The metrics of the teams file.

use chrono::{Days, NaiveDate};
use mergeline_domain::insight::{CustomMetric, MetricInterval, MetricOf, MetricUnit, MetricWeek, ReadWeek};
use mergeline_domain::metrics::{DateRange, Incomplete, Warning, WarningCode};
use mergeline_store::{DeploymentCoverage, Filter, MetricBucket, TeamRef};

use crate::dora::{
    deployments_not_read, incidents_not_read, incomplete_deliveries, no_deployment_source, no_incident_source,
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
        let range = (self.filter.from, self.filter.to);
        let mut lacks_details = false;
        // What takes long is in no time-out of the metrics.
        let has_unread_reviews = metrics.iter().any(|metric| metric.of == MetricOf::Reviews) && {
            let filter = self.filter.clone();
            self.reader.unread_reviews(team.id, &filter).await?.is_any
        };
        let deployments = if metrics.iter().any(|metric| !metric.of.is_of_people()) {
            Some(self.reader.deployment_coverage(None, None, range.0..range.1, self.now).await?)
        } else {
            None
        };
        let mut measured = Vec::new();
        for metric in metrics {
            let found = self.reader.custom_metric(&metric, team.id, range, self.range.zone).await;
            let mut found = found.map_err(|error| self.refusal(error))?;
            if has_unread_reviews && metric.of == MetricOf::Reviews {
                for bucket in &mut found {
                    bucket.lacks_details = true;
                }
            }
            lacks_details |= found.iter().any(|bucket| bucket.lacks_details);
            let of_services = deployments.as_ref().filter(|_| !metric.of.is_of_people());
            let units = found.into_iter().map(|bucket| self.unit(&metric, bucket, of_services)).collect();
            measured.push(MeasuredMetric { metric, units });
        }
        let has_hidden = measured.iter().flat_map(|it| &it.units).any(|unit| unit.numbers.is_none());
        let mut warnings = self.warnings().to_vec();
        if let Some(deployments) = &deployments {
            let (now, stale_after, is_limited) = (self.now, self.stale_after, self.is_limited);
            warnings.extend(applying([
                no_deployment_source(deployments, false),
                deployments_not_read(deployments, &self.range, now, stale_after, is_limited),
                incidents_not_read(deployments, &self.range, now, stale_after, is_limited),
                no_incident_source(deployments),
            ]));
        }
        warnings.extend(applying([
            (lacks_details, WarningCode::DetailsPending, DETAILS_PENDING),
            (
                has_hidden,
                WarningCode::Suppressed,
                "weeks in which a metric divides the team's pull requests into groups of fewer people than privacy.min_group_size, and \
                 weeks that are not over, are not shown",
            ),
        ]));
        Ok(TeamMetrics { team, metrics: measured, warnings })
    }

    /// The whole weeks of a metric that is a share, as goals see them: from the first of these weeks to the end of the last.
    ///
    /// # Errors
    /// As for [`Self::custom_metrics`].
    pub(crate) async fn metric_weeks(
        &mut self,
        metric: &CustomMetric,
        weeks: &[ReadWeek],
    ) -> Result<Vec<MetricWeek>, ReportError> {
        let team = self.required_team()?;
        let [Some(first), Some(last)] = [weeks.first(), weeks.last()] else { return Ok(Vec::new()) };
        let days = DateRange { from: first.start, to: last.start + Days::new(7), ..self.range };
        let range = (days.start(), days.end());
        // What takes long is in no time-out of the metrics.
        let deployments = if metric.of.is_of_people() {
            None
        } else {
            Some(self.reader.deployment_coverage(None, None, range.0..range.1, self.now).await?)
        };
        let has_unread_reviews = metric.of == MetricOf::Reviews && {
            let filter = Filter { from: range.0, to: range.1, ..self.filter.clone() };
            self.reader.unread_reviews(team.id, &filter).await?.is_any
        };
        let found = self.reader.custom_metric(metric, team.id, range, self.range.zone).await;
        let found = found.map_err(|error| self.refusal(error))?;
        let today = self.today();
        let week = |bucket: MetricBucket| {
            let weight = bucket.weight.as_part();
            let is_read = deployments.as_ref().is_none_or(|deployments| {
                let week = (bucket.start, bucket.start + Days::new(7));
                incomplete_deliveries(self.coverage(), deployments, &days, week, today).is_empty()
            });
            MetricWeek {
                start: bucket.start,
                n: usize::try_from(bucket.n).unwrap_or_default(),
                n_taken: usize::try_from(bucket.taken).unwrap_or_default(),
                weight,
                taken: bucket.value.unwrap_or_default() * weight,
                squares: bucket.squares,
                is_hidden: !self.shows(metric, &bucket),
                is_complete: is_read && !bucket.lacks_details && !has_unread_reviews,
            }
        };
        Ok(found.into_iter().map(week).collect())
    }

    /// The coverage of deployments is there for what depends on it.
    fn unit(&self, metric: &CustomMetric, bucket: MetricBucket, of: Option<&DeploymentCoverage>) -> MeasuredUnit {
        let (interval, start) = (metric.by.interval(), bucket.start);
        let numbers = Some(bucket).filter(|bucket| self.shows(metric, bucket));
        let in_a_unit = if metric.unit() == MetricUnit::Hours { 3600.0 } else { 1.0 };
        MeasuredUnit {
            label: interval.label(start),
            start,
            end: interval.end(start),
            incomplete: if let Some(deployments) = of {
                let days = (start, interval.end(start));
                incomplete_deliveries(self.coverage(), deployments, &self.range, days, self.today())
            } else {
                self.coverage().incomplete_bucket(start, interval, &self.range, self.today())
            },
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
