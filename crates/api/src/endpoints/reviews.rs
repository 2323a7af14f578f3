//! `GET /v1/metrics/team/{team_id}/reviews`: the reviews that a team gave and got.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::NaiveDate;
use http::Method;
use mergeline_domain::TeamId;
use mergeline_domain::insight::{FlowCell, ReviewSpread};
use mergeline_domain::metrics::{DateRange, Interval};
use mergeline_reporting::{Report, ReportKind, ReviewsOfTeam};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::reports::{RequestedReport, with_meta};
use super::resources::{Completeness, Meta, TeamRef};
use crate::auth::scope::Scope;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{
    BASE, BOM, FORMAT, FROM, Form, LAST, Parameter, ParameterReader, Parameters, REPO, Selection, TO, TZ,
};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const REVIEWS: Operation = Operation {
    method: Method::GET,
    path: "/metrics/team/{team_id}/reviews",
    handler: |filter| on(filter, reviews),
    admission: Admit::Statistics,
    id: "getReviews",
    summary: "Who reviews for whom, by teams",
    description: "review_spread@1 and review_flow@1 of the reviews that were submitted in the range: among how many people those of the team's \
                  pull requests are spread, and which team reviews for which, with the wait. A review belongs to a team by the memberships \
                  at its time; the flow has those in which the team has a part, as the author's or the reviewer's. Nobody is named. The \
                  default range is the last 26 whole weeks.",
    scope: Some(Scope::MetricsRead),
    parameters: ReviewsParameters::DESCRIPTIONS,
    has_csv: true,
    // A review by the team's people in a repository of others changes it.
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<TeamReviews, Meta>),
};

#[derive(Debug)]
struct ReviewsParameters(Selection, Form);

impl Parameters for ReviewsParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&FROM, &TO, &LAST, &TZ, &REPO, &BASE, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(Selection::read(reader), Form::read(reader))
    }
}

/// The reviews that a team gave and got.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamReviews {
    team: TeamRef,
    /// The first day.
    from: NaiveDate,
    /// The first day after the range.
    to: NaiveDate,
    #[serde(flatten)]
    completeness: Completeness,
    /// How many reviews were submitted in the range in which the team has a part, as the author's or the reviewer's.
    reviews: usize,
    /// How many of the team's pull requests may have reviews in the range that are not known, since they were not all read yet.
    prs_unread: usize,
    spread: SpreadOfReviews,
    flow: FlowOfReviews,
}

/// Among how many people the reviews of the team's pull requests are spread.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SpreadOfReviews {
    #[serde(flatten)]
    spread: ReviewSpread,
    /// The reviews by people outside the teams file, which are left out: who of them is the same person is not stored.
    n_outside: usize,
    /// How many are left out: their week has fewer reviewers than `privacy.min_group_size`, or is not over.
    n_hidden: usize,
}

/// Which team reviews for which.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FlowOfReviews {
    /// The ID of the formula.
    definition: &'static str,
    /// How many reviews there are. Unless weights above 1 are allowed, those of all cells sum to it.
    n: usize,
    /// How many are left out: their week has fewer authors or reviewers than `privacy.min_group_size`, or is not over.
    n_hidden: usize,
    /// The cells with a review; what belongs to no team comes first. Of a review by or for somebody who also belongs to other teams,
    /// the other parts are in those teams' cells.
    cells: Vec<CellOfReviews>,
}

/// The reviews that one team gave another.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CellOfReviews {
    /// The team of the authors; null for what belongs to no team, or to none that the key may see.
    author_team: Option<TeamRef>,
    /// The team of the reviewers; null likewise, and for people outside the teams file.
    reviewer_team: Option<TeamRef>,
    /// Distinct reviews with a part in it.
    n: usize,
    /// The reviews by the product of both weights.
    weight: f64,
    /// The weighted median of the time from ready for review to the review; null where none is known, and if too few people are in
    /// it on either side.
    wait_p50_hours: Option<f64>,
    /// Whether the wait is hidden.
    is_suppressed: bool,
}

async fn reviews(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let ReviewsParameters(selection, form) = request.parameters()?;
    let mut requested = RequestedReport::prepare(&api, &request, ReportKind::Reviews, selection, form).await?;
    let found = requested.report.reviews().await?;
    let meta = requested.meta(Some(Interval::Week), &found.warnings);
    let data = TeamReviews::of(&found, requested.report.range());
    Ok(requested.with_freshness(requested.response(data, meta, rows)?))
}

/// The `data` and `meta` of the reviews that a team gave and got, for programs that do not use HTTP.
///
/// # Errors
/// If it cannot be serialized as JSON.
pub fn reviews_json(report: &Report, found: &ReviewsOfTeam) -> Result<Value, serde_json::Error> {
    with_meta(report, TeamReviews::of(found, report.range()), &found.warnings)
}

impl TeamReviews {
    fn of(found: &ReviewsOfTeam, range: &DateRange) -> Self {
        let reviews = &found.reviews;
        Self {
            team: (&found.team).into(),
            from: range.from,
            to: range.to,
            completeness: found.incomplete.as_slice().into(),
            reviews: reviews.n,
            prs_unread: found.unread.of_team,
            spread: SpreadOfReviews {
                spread: reviews.spread,
                n_outside: reviews.n_outside,
                n_hidden: reviews.n_hidden_in_spread,
            },
            flow: FlowOfReviews {
                definition: reviews.flow.definition,
                n: reviews.flow.n,
                n_hidden: reviews.n_hidden_in_flow,
                cells: reviews.flow.cells.iter().map(|cell| CellOfReviews::of(cell, found)).collect(),
            },
        }
    }
}

impl CellOfReviews {
    fn of(cell: &FlowCell, found: &ReviewsOfTeam) -> Self {
        let team = |id: Option<i64>| id.and_then(|id| found.teams.get(&TeamId(id))).map(TeamRef::from);
        Self {
            author_team: team(cell.author_team),
            reviewer_team: team(cell.reviewer_team),
            n: cell.n,
            weight: cell.weight(),
            wait_p50_hours: cell.wait.map(|seconds| seconds / 3_600.0),
            is_suppressed: cell.is_suppressed,
        }
    }
}

/// A row for each number: its formula, the teams that it is of, and which it is.
fn rows(found: &TeamReviews) -> Result<Rows, csv::Error> {
    let mut rows = Rows::new(["definition", "author_team", "reviewer_team", "name", "value"])?;
    #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
    let count = |n: usize| n as f64;
    let mut push = |definition: &str, teams: [&str; 2], name: &str, value: Option<f64>| {
        let [author, reviewer] = teams.map(Cell::Text);
        rows.push([Cell::Text(definition), author, reviewer, Cell::Text(name), Cell::Number(value)])
    };
    let SpreadOfReviews { spread, n_outside, n_hidden } = &found.spread;
    let numbers = [
        ("n", Some(spread.n)),
        ("half_by", spread.half_by),
        ("people", spread.people),
        ("n_outside", Some(*n_outside)),
        ("n_hidden", Some(*n_hidden)),
    ];
    for (name, number) in numbers {
        push(spread.definition, [&found.team.slug, ""], name, number.map(count))?;
    }
    let slug = |team: &'_ Option<TeamRef>| team.as_ref().map(|team| team.slug.clone()).unwrap_or_default();
    for cell in &found.flow.cells {
        let (author, reviewer) = (slug(&cell.author_team), slug(&cell.reviewer_team));
        let numbers =
            [("n", Some(count(cell.n))), ("weight", Some(cell.weight)), ("wait_p50_hours", cell.wait_p50_hours)];
        for (name, number) in numbers {
            push(found.flow.definition, [&author, &reviewer], name, number)?;
        }
    }
    Ok(rows)
}
