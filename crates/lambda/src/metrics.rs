//! Metrics for CloudWatch: sums over a run or a worker's batch, never per repository, so that the bill does not grow
//! with the organization.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mergeline_aws::{Metric, Unit};
use mergeline_collector::{LastRun, Planning, RepositoryReport};
use mergeline_source::ErrorKind;
use mergeline_store::ResultState;

/// The sums since the last report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums {
    pull_requests: u32,
    api_errors: u32,
    requests: u32,
    graphql_points: u32,
    failed: u32,
    deferred: u32,
    quarantined: u32,
    unannounced: u32,
    database: Duration,
    rate_limit_remaining: Option<u32>,
    rate_limit_percent: Option<u32>,
    token_expires_at: Option<DateTime<Utc>>,
    completed_runs: u32,
    last_run: Option<LastRun>,
    is_token_refused: bool,
}

impl Sums {
    pub(crate) fn add(&mut self, report: &RepositoryReport) {
        let result = &report.result;
        self.pull_requests += result.listed;
        self.api_errors += result.api_errors;
        self.requests += result.requests + result.graphql_requests;
        self.graphql_points += result.graphql_points;
        self.failed += u32::from(result.state == ResultState::Failed);
        self.deferred += u32::from(matches!(result.state, ResultState::Deferred));
        self.quarantined += result.quarantined;
        self.unannounced += u32::from(report.has_unannounced);
        self.database += result.database;
        self.rate_limit_remaining = least(self.rate_limit_remaining, result.rate_limit_remaining);
        self.rate_limit_percent = least(self.rate_limit_percent, result.rate_limit_percent);
        self.token_expires_at = least(self.token_expires_at, result.token_expires_at);
        self.is_token_refused |= report.cause.as_ref().is_some_and(|cause| cause.kind == ErrorKind::CredentialsRefused);
    }

    /// The usage and findings of planning. When an invocation plans twice, the first `last_run` counts.
    pub(crate) fn add_planning(&mut self, Planning { usage, last_run }: &Planning) {
        self.last_run.get_or_insert(*last_run);
        self.api_errors += usage.errors;
        self.requests += usage.requests;
        self.rate_limit_remaining = least(self.rate_limit_remaining, usage.rate_limit_remaining);
        self.rate_limit_percent = least(self.rate_limit_percent, usage.rate_limit_percent);
        self.token_expires_at = least(self.token_expires_at, usage.token_expires_at);
    }

    /// Counts each run once, when it completes.
    pub(crate) fn add_run(&mut self, completes: bool) {
        self.completed_runs += u32::from(completes);
    }

    /// In CloudWatch's form. `data_as_of` is when the oldest of the last complete collections started.
    pub(crate) fn metrics(&self, data_as_of: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<Metric> {
        let count = |name, value: u32| Metric { name, value: value.into(), unit: Unit::Count };
        let mut metrics = vec![
            count("PullRequestsProcessed", self.pull_requests),
            count("ApiErrors", self.api_errors),
            count("GitHubRequests", self.requests),
            count("GraphQLPoints", self.graphql_points),
            count("RepositoriesFailed", self.failed),
            count("RepositoriesDeferred", self.deferred),
            count("PullRequestsQuarantined", self.quarantined),
            count("RunsCompleted", self.completed_runs),
            count("TokenRefused", self.is_token_refused.into()),
            Metric { name: "DatabaseQueryDuration", value: self.database.as_secs_f64(), unit: Unit::Seconds },
        ];
        if let Some(last_run) = self.last_run {
            metrics.push(count("RunsPartial", (last_run == LastRun::Partial).into()));
            metrics.push(count("RunsFailed", (last_run == LastRun::Failed).into()));
        }
        // Only where there are webhooks: each metric costs.
        if self.unannounced > 0 {
            metrics.push(count("UnannouncedChanges", self.unannounced));
        }
        metrics.extend(self.rate_limit_remaining.map(|left| count("RateLimitRemaining", left)));
        metrics.extend(self.rate_limit_percent.map(|left| Metric {
            name: "RateLimitPercent",
            value: left.into(),
            unit: Unit::Percent,
        }));
        metrics.extend(data_as_of.map(|at| Metric {
            name: "DataFreshness",
            value: (now - at).as_seconds_f64().max(0.0),
            unit: Unit::Seconds,
        }));
        metrics.extend(self.token_expires_at.map(|at| Metric {
            name: "TokenDaysLeft",
            value: (at - now).as_seconds_f64() / 86_400.0,
            unit: Unit::Count,
        }));
        metrics
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}
