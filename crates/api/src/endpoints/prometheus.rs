//! `GET /metrics`: the numbers that Prometheus keeps and alerts on.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::{DateTime, Days, Utc};
use chrono_tz::Tz;
use http::{HeaderValue, Method, StatusCode};
use mergeline_domain::TeamSlug;
use mergeline_domain::metrics::{
    CHANGE_LEAD_TIME, Coverage, Durations, Interval, MeasureKind, PR_CYCLE_TIME, RangeRequest, VELOCITY,
};
use mergeline_domain::monday_of;
use mergeline_reporting::{Deliveries, Numbers, OpenNumbers, Report, ReportError, ReportKind, ReportQuery, Viewer};
use mergeline_store::{Team, TeamSelector};

use super::resources::weight;
use crate::auth::scope::Scope;
use crate::http::errors::ApiError;
use crate::http::exposition::{CONTENT_TYPE, Exposition, Gauge};
use crate::http::operation::{Admit, Body, Operation};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;
use crate::http::response::{TEXT, build_response};
use crate::state::Api;

/// As in a summary.
const WEEKS: u64 = 4;

/// Only where it is asked for, and outside of `/v1`, where Prometheus looks. It is no part of the API's document.
pub(crate) const PROMETHEUS: Operation = Operation {
    method: Method::GET,
    path: "/metrics",
    handler: |filter| on(filter, metrics),
    admission: Admit::Statistics,
    id: "getPrometheusMetrics",
    summary: "Numbers for Prometheus",
    description: "Freshness, failures, and each team's last whole weeks, in the text format of Prometheus.",
    scope: Some(Scope::MetricsRead),
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Document(TEXT),
};

/// The numbers of a team.
struct TeamNumbers {
    slug: TeamSlug,
    name: String,
    open: OpenNumbers,
    /// The last whole week and the last four, each with the value of its label `weeks`.
    ranges: [(&'static str, RangeNumbers); 2],
}

/// The numbers of some weeks.
struct RangeNumbers {
    is_complete: bool,
    merged: Numbers,
    delivered: Option<Deliveries>,
}

async fn metrics(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.accepts(TEXT)?;
    let (viewer, now) = (request.access()?.viewer(), api.now());
    let (coverage, zone) = (api.store.coverage().await?, api.store.timezone().await?);
    let mut teams = Vec::new();
    for team in api.store.teams(now).await? {
        if team.archived_at.is_none() && viewer.sees(&team.slug) {
            // One that was removed meanwhile is not there.
            teams.extend(numbers(&api, team, &viewer, zone).await?);
        }
    }
    let mut text = Exposition::default();
    write_collection(&mut text, &coverage, &api, now);
    write_teams(&mut text, &teams);
    Ok(build_response(StatusCode::OK, HeaderValue::from_static(CONTENT_TYPE), text.into_bytes()))
}

/// What `lead-time` answers for the last four whole weeks, and what is open.
async fn numbers(api: &Api, team: Team, viewer: &Viewer, zone: Tz) -> Result<Option<TeamNumbers>, ApiError> {
    let now = api.now();
    let to = monday_of(now.with_timezone(&zone).date_naive());
    let range = RangeRequest::Days { from: Some(to - Days::new(7 * WEEKS)), to: Some(to) };
    let selector = TeamSelector::Id(team.id);
    let query = ReportQuery { interval: Some(Interval::Week), ..ReportQuery::new(selector, range) };
    let prepared = Report::prepare(&api.store, ReportKind::LeadTime, query, viewer, now, api.stale_after).await;
    let mut report = match prepared {
        Ok(report) => report,
        Err(ReportError::UnknownTeam(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut statistics = report.statistics().await?;
    let open = report.open().await?;
    let Some(last) = statistics.buckets.pop() else { return Ok(None) };
    let week = RangeNumbers { is_complete: last.is_complete(), merged: last.numbers, delivered: last.lead_time };
    let all = RangeNumbers {
        is_complete: statistics.incomplete.is_empty(),
        merged: statistics.total,
        delivered: statistics.lead_time,
    };
    Ok(Some(TeamNumbers { slug: team.slug, name: team.name, open, ranges: [("1", week), ("4", all)] }))
}

fn write_collection(text: &mut Exposition, coverage: &Coverage, api: &Api, now: DateTime<Utc>) {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    let seconds = |at: DateTime<Utc>| at.timestamp() as f64;
    let as_of = coverage.data_as_of;
    text.gauge(
        "mergeline_data_as_of_timestamp_seconds",
        "When the oldest of the repositories' latest complete collections started, in seconds since 1970.",
    )
    .known(&[], as_of.map(seconds));
    text.gauge("mergeline_data_age_seconds", "How long ago that was when this was read.")
        .known(&[], as_of.map(|at| (now - at).as_seconds_f64().max(0.0)));
    let is_stale = as_of.is_none_or(|at| now - at > api.stale_after);
    text.gauge("mergeline_data_stale", "1 if that is too long ago, or if nothing was collected yet.")
        .sample(&[], flag(is_stale));
    text.gauge("mergeline_repositories_collected", "Repositories whose last collection was complete.")
        .sample(&[], count(coverage.collected));
    for (name, help, repositories) in [
        ("mergeline_repositories_failing", "Repositories whose last collection failed.", &coverage.failing),
        (
            "mergeline_repositories_pending",
            "Repositories that are not fully collected yet, with those that fail.",
            &coverage.pending,
        ),
        (
            "mergeline_repositories_never_collected",
            "Repositories that were never fully collected.",
            &coverage.never_collected,
        ),
    ] {
        text.gauge(name, help).sample(&[], size(repositories.len()));
    }
    text.gauge(
        "mergeline_pull_requests_quarantined",
        "Pull requests that could not be read and are not counted, accepted ones included.",
    )
    .sample(&[], count(coverage.quarantined));
}

fn write_teams(text: &mut Exposition, teams: &[TeamNumbers]) {
    let mut gauge = text.gauge("mergeline_team_info", "1 for each team; the label name is its name for people.");
    for team in teams {
        gauge.sample(&[("team", team.slug.as_str()), ("name", &team.name)], 1.0);
    }
    let mut gauge = text.gauge("mergeline_team_complete", "1 if the last whole weeks were read completely.");
    each_range(teams, |labels, range| gauge.sample(labels, flag(range.is_complete)));
    let help = format!("Merged pull requests of the last whole weeks ({VELOCITY}). Not for comparing people.");
    let mut gauge = text.gauge("mergeline_team_prs_merged", &help);
    each_range(teams, |labels, range| gauge.sample(labels, count(range.merged.bucket.prs_merged)));
    let help = format!("The sum of their weights ({VELOCITY}): the one to add up over teams.");
    let mut gauge = text.gauge("mergeline_team_prs_merged_weighted", &help);
    each_range(teams, |labels, range| gauge.sample(labels, weight(range.merged.bucket.weight_units)));
    let help = format!("Weighted percentiles of the time from opening to merge ({PR_CYCLE_TIME}).");
    let mut gauge = text.gauge("mergeline_team_cycle_time_seconds", &help);
    each_range(teams, |labels, range| {
        percentiles(&mut gauge, labels, range.merged.bucket.measure(MeasureKind::CycleTime).durations);
    });
    let help = format!("Weighted percentiles of the time from the first commit to production ({CHANGE_LEAD_TIME}).");
    let mut gauge = text.gauge("mergeline_team_change_lead_time_seconds", &help);
    each_range(teams, |labels, range| {
        percentiles(&mut gauge, labels, range.delivered.and_then(|it| it.lead_time.durations));
    });
    let mut gauge = text.gauge("mergeline_team_prs_open", "Open pull requests, by the memberships at their opening.");
    for team in teams {
        gauge.sample(&[("team", team.slug.as_str())], count(team.open.age.n));
    }
    let mut gauge = text.gauge("mergeline_team_prs_open_weighted", "The sum of their weights.");
    for team in teams {
        gauge.sample(&[("team", team.slug.as_str())], weight(team.open.age.weight_units));
    }
}

/// Calls `write` for each range of each team, with its labels.
fn each_range(teams: &[TeamNumbers], mut write: impl FnMut(&[(&'static str, &str)], &RangeNumbers)) {
    for team in teams {
        for (weeks, range) in &team.ranges {
            write(&[("team", team.slug.as_str()), ("weeks", weeks)], range);
        }
    }
}

/// None where there is nothing, and for groups that are too small to be shown.
fn percentiles(gauge: &mut Gauge<'_>, labels: &[(&'static str, &str)], durations: Option<Durations>) {
    let Some(it) = durations else { return };
    for (quantile, seconds) in [("0.5", it.p50), ("0.75", it.p75), ("0.9", it.p90), ("0.95", it.p95)] {
        gauge.sample(&[labels, &[("quantile", quantile)]].concat(), seconds);
    }
}

fn flag(is_set: bool) -> f64 {
    f64::from(u8::from(is_set))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn count(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn size(number: usize) -> f64 {
    number as f64
}
