//! `GET /v1/metrics/team/{team_id}/time`: where a team's time goes.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::NaiveDate;
use http::Method;
use mergeline_domain::insight::{Investment, InvestmentCategory, PickupCalendar, SizeEffect, TimeShare, WipAge};
use mergeline_domain::metrics::{DateRange, INVESTMENT, Interval, VELOCITY, WIP_AGE};
use mergeline_reporting::{Report, ReportKind};
use mergeline_store::LinkedPullRequest;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::reports::{RequestedReport, with_meta};
use super::resources::{Completeness, Meta, TeamRef, weight};
use crate::auth::scope::Scope;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{
    BASE, BOM, FORMAT, FROM, Form, LAST, Parameter, ParameterReader, Parameters, REPO, Selection, TO, TZ,
};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const TIME: Operation = Operation {
    method: Method::GET,
    path: "/metrics/team/{team_id}/time",
    handler: |filter| on(filter, time),
    admission: Admit::Statistics,
    id: "getTime",
    summary: "Where a team's time goes",
    description: "time_share@1, size_effect@1, pickup_calendar@1 and investment@1 of the range, and wip_age@1 of now: which phase takes how much of \
                  the time, how long pull requests of each size and of each hour of opening wait, what kind of work was merged, and how old open \
                  pull requests are against what the team merged. The default range is the last 26 whole weeks; the calendar takes 13 weeks. Which pull requests are open needs \
                  the scope prs:read.",
    scope: Some(Scope::MetricsRead),
    parameters: TimeParameters::DESCRIPTIONS,
    has_csv: true,
    // Ages change with the clock.
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<TeamTime, Meta>),
};

#[derive(Debug)]
struct TimeParameters(Selection, Form);

impl Parameters for TimeParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&FROM, &TO, &LAST, &TZ, &REPO, &BASE, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(Selection::read(reader), Form::read(reader))
    }
}

/// Where the time of a team's pull requests goes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamTime {
    team: TeamRef,
    /// The first day.
    from: NaiveDate,
    /// The first day after the range.
    to: NaiveDate,
    #[serde(flatten)]
    completeness: Completeness,
    /// How many pull requests were merged in the range.
    prs_merged: usize,
    /// How many of them are of weeks with fewer people than `privacy.min_group_size`, or that are not over: their times are in no number.
    n_hidden: usize,
    /// The phases from the first commit to the merge.
    until_merge: TimeShare,
    /// The phases from the first commit to production.
    until_production: TimeShare,
    size_effect: SizeEffect,
    /// By when pull requests were opened in the range; null if it is shorter than 13 weeks.
    pickup_calendar: Option<PickupCalendar>,
    wip_age: OpenWork,
    /// Kinds of work by the rules of the teams file; null without any.
    investment: Option<KindsOfWork>,
}

/// What kind of work was merged in the range.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KindsOfWork {
    /// The ID of the formula.
    definition: &'static str,
    /// In the order of the rules, also empty ones; they sum to all.
    categories: Vec<KindOfWork>,
}

/// The pull requests of a kind of work.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct KindOfWork {
    /// Its name; null for the last one, of those that no rule takes.
    category: Option<String>,
    /// How many there are.
    n: usize,
    /// The sum of their weights.
    weight: f64,
    /// Their part of the weights of all; null if nothing was merged.
    share: Option<f64>,
}

/// How old open pull requests are, now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OpenWork {
    /// The ID of the formula.
    definition: &'static str,
    /// How many pull requests are open, without drafts.
    n: usize,
    /// The pull requests merged in the last 26 weeks, with which they are compared.
    n_merged: usize,
    /// Whether these are by fewer people than `privacy.min_group_size`, so that nothing is compared.
    is_suppressed: bool,
    /// Half of those merged took at most so long from ready for review to the merge; null for fewer than 5.
    p50_hours: Option<f64>,
    /// The same of 85 %.
    p85_hours: Option<f64>,
    /// The same of 95 %.
    p95_hours: Option<f64>,
    /// Those that are open, the oldest first; null without the scope prs:read.
    open: Option<Vec<OpenPullRequest>>,
}

/// An open pull request.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OpenPullRequest {
    /// Its repository.
    repository: String,
    /// Its number there.
    number: i64,
    /// Its title.
    title: String,
    /// Its page at GitHub.
    url: String,
    /// How long it has been ready for review.
    age_hours: f64,
    /// It is older than this weighted part of what was merged; null if that is too few.
    older_than: Option<f64>,
}

async fn time(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let TimeParameters(selection, form) = request.parameters()?;
    let shows_pull_requests = request.access()?.has(Scope::PrsRead);
    let mut requested = RequestedReport::prepare(&api, &request, ReportKind::Time, selection, form).await?;
    let found = requested.report.time().await?;
    let meta = requested.meta(Some(Interval::Week), &found.warnings);
    let data = TeamTime::of(found, requested.report.range(), shows_pull_requests);
    Ok(requested.with_freshness(requested.response(data, meta, rows)?))
}

/// The `data` and `meta` of where a team's time goes, for programs that do not use HTTP.
///
/// # Errors
/// If it cannot be serialized as JSON.
pub fn time_json(report: &Report, found: &mergeline_reporting::TeamTime) -> Result<Value, serde_json::Error> {
    with_meta(report, TeamTime::of(found.clone(), report.range(), true), &found.warnings)
}

impl TeamTime {
    fn of(found: mergeline_reporting::TeamTime, range: &DateRange, shows_pull_requests: bool) -> Self {
        let flow = found.flow;
        Self {
            team: (&found.team).into(),
            from: range.from,
            to: range.to,
            completeness: found.incomplete.as_slice().into(),
            prs_merged: flow.n,
            n_hidden: flow.n_hidden,
            until_merge: flow.until_merge,
            until_production: flow.until_production,
            size_effect: flow.size_effect,
            pickup_calendar: flow.pickup_calendar,
            wip_age: OpenWork::of(&flow.wip_age, shows_pull_requests.then_some(&found.open)),
            investment: found.investment.map(KindsOfWork::from),
        }
    }
}

impl From<Investment> for KindsOfWork {
    fn from(investment: Investment) -> Self {
        let category = |it: InvestmentCategory| KindOfWork {
            category: it.category,
            n: it.n,
            weight: weight(i64::try_from(it.weight_units).unwrap_or(i64::MAX)),
            share: it.share,
        };
        Self {
            definition: investment.definition,
            categories: investment.categories.into_iter().map(category).collect(),
        }
    }
}

impl OpenWork {
    fn of(ages: &WipAge, listed: Option<&HashMap<i64, LinkedPullRequest>>) -> Self {
        let open = |listed: &HashMap<i64, LinkedPullRequest>| {
            let open = ages.open.iter().filter_map(|age| {
                let it = listed.get(&age.id)?;
                Some(OpenPullRequest {
                    repository: it.repository.clone(),
                    number: it.number,
                    title: it.title.clone(),
                    url: it.url.clone(),
                    age_hours: age.hours,
                    older_than: age.older_than,
                })
            });
            open.collect()
        };
        Self {
            definition: WIP_AGE,
            n: ages.open.len(),
            n_merged: ages.n_merged,
            is_suppressed: ages.is_suppressed,
            p50_hours: ages.p50_hours,
            p85_hours: ages.p85_hours,
            p95_hours: ages.p95_hours,
            open: listed.map(open),
        }
    }
}

/// A row for each number: its formula, what it is of, and which it is. Nothing of single pull requests.
fn rows(found: &TeamTime) -> Result<Rows, csv::Error> {
    let mut rows = Rows::new(["definition", "of", "name", "value"])?;
    #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
    let count = |n: usize| Some(n as f64);
    let mut push = |definition: &str, of: &str, name: &str, value: Option<f64>| {
        rows.push([Cell::Text(definition), Cell::Text(of), Cell::Text(name), Cell::Number(value)])
    };
    push(VELOCITY, "range", "prs_merged", count(found.prs_merged))?;
    push(VELOCITY, "range", "n_hidden", count(found.n_hidden))?;
    for (end, shares) in [("until_merge", &found.until_merge), ("until_production", &found.until_production)] {
        push(shares.definition, end, "n", count(shares.n))?;
        push(shares.definition, end, "weight", Some(shares.weight))?;
        push(shares.definition, end, "n_hidden", count(shares.n_hidden))?;
        for phase in &shares.phases {
            let of = format!("{end}.{}", phase.phase);
            push(shares.definition, &of, "share", phase.share)?;
            push(shares.definition, &of, "median_share", phase.median_share)?;
        }
        for (phase, n) in &shares.missing {
            push(shares.definition, &format!("{end}.{phase}"), "missing", count(*n))?;
        }
    }
    for class in &found.size_effect.classes {
        let bound = |bound: Option<u64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        let of = format!("lines {}..{}", bound(class.above.map(|above| above + 1)), bound(class.up_to));
        push(found.size_effect.definition, &of, "n", count(class.n))?;
        push(found.size_effect.definition, &of, "is_suppressed", count(usize::from(class.is_suppressed)))?;
        push(found.size_effect.definition, &of, "n_pickup", count(class.n_pickup))?;
        push(found.size_effect.definition, &of, "pickup_p50_hours", class.pickup_p50_hours)?;
        push(found.size_effect.definition, &of, "n_review", count(class.n_review))?;
        push(found.size_effect.definition, &of, "review_p50_hours", class.review_p50_hours)?;
    }
    push(found.size_effect.definition, "lines unknown", "n", count(found.size_effect.n_unknown))?;
    if let Some(calendar) = &found.pickup_calendar {
        for cell in &calendar.cells {
            let of = format!("weekday {} hour {}", cell.weekday, cell.hour);
            push(calendar.definition, &of, "n", count(cell.n))?;
            push(calendar.definition, &of, "pickup_p50_hours", Some(cell.pickup_p50_hours))?;
        }
    }
    for kind in found.investment.iter().flat_map(|it| &it.categories) {
        let of = kind.category.as_deref().unwrap_or("uncategorized");
        push(INVESTMENT, of, "n", count(kind.n))?;
        push(INVESTMENT, of, "weight", Some(kind.weight))?;
        push(INVESTMENT, of, "share", kind.share)?;
    }
    let ages = &found.wip_age;
    push(ages.definition, "open", "n", count(ages.n))?;
    push(ages.definition, "merged", "n", count(ages.n_merged))?;
    push(ages.definition, "merged", "is_suppressed", count(usize::from(ages.is_suppressed)))?;
    for (name, hours) in [("p50_hours", ages.p50_hours), ("p85_hours", ages.p85_hours), ("p95_hours", ages.p95_hours)] {
        push(ages.definition, "merged", name, hours)?;
    }
    Ok(rows)
}
