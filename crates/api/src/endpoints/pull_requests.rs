//! `GET /v1/metrics/team/{team_id}/pull-requests`: the pull requests behind a number.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::Method;
use mergeline_reporting::{ReportError, ReportKind};
use mergeline_store::{PullRequestList, TeamPullRequest};
use schemars::JsonSchema;
use serde::Serialize;

use super::reports::RequestedReport;
use super::resources::{Membership, Meta, TeamRef, hours, instant};
use crate::auth::scope::Scope;
use crate::http::cursors;
use crate::http::envelope::{answer, csv, with_next_cursor};
use crate::http::errors::ApiError;
use crate::http::negotiation::Format;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{
    BASE, BOM, CURSOR, DAYS, FORMAT, FROM, Form, LAST, LIMIT, Page, Parameter, ParameterReader, Parameters, REPO, SORT,
    STATE, Selection, TO, TZ, WEEK, WEIGHTING, list_of,
};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const PULL_REQUESTS: Operation = Operation {
    method: Method::GET,
    path: "/metrics/team/{team_id}/pull-requests",
    handler: |filter| on(filter, list),
    admission: Admit::Statistics,
    id: "listPullRequests",
    summary: "The pull requests behind any number",
    description: "Each with the membership, weight and rule that counted it, its durations and flags. Pull requests of the team's \
                  people that do not count are listed with the reason; a key that is limited to teams does not see those \
                  from before or after they were members. Those that count are the prs_merged of the same range. With `state=open`: all \
                  that are open, whenever they were opened. \
                  `meta.next_cursor`, or with CSV the header mergeline-next-cursor, leads to the next page.",
    scope: Some(Scope::PrsRead),
    parameters: PullRequestsParameters::DESCRIPTIONS,
    has_csv: true,
    has_etag: true,
    request_body: None,
    body: Body::Json(enveloped::<PullRequests, PullRequestsMeta>),
};

#[derive(Debug)]
struct PullRequestsParameters {
    selection: Selection,
    list: PullRequestList,
    form: Form,
    page: Page,
}

impl Parameters for PullRequestsParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[
        &FROM, &TO, &DAYS, &LAST, &WEEK, &TZ, &REPO, &BASE, &WEIGHTING, &STATE, &SORT, &LIMIT, &CURSOR, &FORMAT, &BOM,
    ];

    fn read(reader: &mut ParameterReader) -> Self {
        let (selection, list) = (Selection::read(reader), list_of(reader));
        Self { selection, list, form: Form::read(reader), page: Page::read(reader) }
    }
}

/// The pull requests behind a team's numbers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PullRequests {
    team: TeamRef,
    /// In the requested order; by default by the instant that determines membership, which is the merge for merged ones.
    pull_requests: Vec<PullRequest>,
}

/// A pull request of a current or former team member, and why it counts or does not.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PullRequest {
    repository: String,
    number: i64,
    /// Its page.
    url: String,
    title: String,
    /// The author's login.
    author: String,
    #[schemars(extend("enum" = ["open", "closed", "merged"]))]
    state: String,
    is_draft: bool,
    base: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    #[schemars(extend("format" = "date-time"))]
    merged_at: Option<String>,
    /// When it was closed or merged; null while it is open.
    #[schemars(extend("format" = "date-time"))]
    closed_at: Option<String>,
    /// When another person first reviewed it. Null if nobody has, or with the flag `details_pending` if that is not known yet.
    #[schemars(extend("format" = "date-time"))]
    first_review_at: Option<String>,
    /// Whether it is included in `prs_merged`.
    counts: bool,
    /// The weight that it counts with; 0 if it does not count.
    weight: f64,
    /// Why it does not count: `not_merged`, `not_a_member` (of this team, at that instant) or `deleted` (no longer on
    /// GitHub).
    #[schemars(extend("enum" = ["not_merged", "not_a_member", "deleted", null]))]
    excluded: Option<String>,
    rule: Rule,
    /// From opening to merge; null if it is not merged, or was merged before its creation.
    cycle_time_hours: Option<f64>,
    coding_hours: Option<f64>,
    pickup_hours: Option<f64>,
    review_hours: Option<f64>,
    /// From the merge to production.
    deploy_hours: Option<f64>,
    /// From the first commit to production.
    change_lead_time_hours: Option<f64>,
    /// When the first deployment to production delivered it.
    #[schemars(extend("format" = "date-time"))]
    delivered_at: Option<String>,
    /// That deployment; see `/v1/deployments/{deployment_id}`.
    deployment_id: Option<i64>,
    /// The commit by which the deployment is known to contain it.
    #[schemars(extend("enum" = ["merge_commit", "head_commit", null]))]
    via: Option<String>,
    /// Why it is merged and not delivered so far.
    #[schemars(extend("enum" = [
        "not_deployed_yet", "before_first_deployment", "no_source", "unknown_history", "not_collected", "no_service", null
    ]))]
    not_delivered: Option<String>,
    additions: Option<i32>,
    deletions: Option<i32>,
    changed_files: Option<i32>,
    /// Notes about its durations.
    flags: Vec<String>,
}

/// The rule that applied (`attribution@1`): the membership that contains the instant.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Rule {
    /// The instant that determines membership.
    #[schemars(extend("format" = "date-time"))]
    attributed_at: String,
    /// Which of the pull request's times it is.
    #[schemars(extend("enum" = ["merged_at", "closed_at", "created_at"]))]
    attributed_by: String,
    /// Null if no membership of the author in this team contains the instant.
    membership: Option<Membership>,
}

/// Context for reading the list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PullRequestsMeta {
    #[serde(flatten)]
    meta: Meta,
    /// Rows on this page.
    count: usize,
    /// For the next page; null on the last page.
    next_cursor: Option<String>,
}

impl PullRequest {
    fn of(row: TeamPullRequest, ignore_weights: bool) -> Self {
        let counts = row.excluded.is_none();
        let membership = row.membership.as_ref().map(Membership::from);
        let weight = match &membership {
            Some(_) if counts && ignore_weights => 1.0,
            Some(membership) if counts => membership.weight,
            _ => 0.0,
        };
        Self {
            repository: row.repository,
            number: row.number,
            url: row.url,
            title: row.title,
            author: row.author,
            state: row.state.to_string(),
            is_draft: row.is_draft,
            base: row.base_ref,
            created_at: instant(row.created_at),
            merged_at: row.merged_at.map(instant),
            closed_at: row.closed_at.map(instant),
            first_review_at: row.first_review_at.map(instant),
            counts,
            weight,
            excluded: row.excluded.map(|why| why.to_string()),
            rule: Rule {
                attributed_at: instant(row.attributed_at),
                attributed_by: row.attributed_by.to_string(),
                membership,
            },
            cycle_time_hours: row.cycle_seconds.map(hours),
            coding_hours: row.coding_seconds.map(hours),
            pickup_hours: row.pickup_seconds.map(hours),
            review_hours: row.review_seconds.map(hours),
            deploy_hours: row.deploy_seconds.map(hours),
            change_lead_time_hours: row.lead_seconds.map(hours),
            delivered_at: row.delivered_at.map(instant),
            deployment_id: row.delivered_by.map(|id| id.0),
            via: row.via,
            not_delivered: row.missing.map(|reason| <&str>::from(reason).to_owned()),
            additions: row.additions,
            deletions: row.deletions,
            changed_files: row.changed_files,
            flags: row.flags,
        }
    }

    const COLUMNS: [&'static str; 34] = [
        "repository",
        "number",
        "title",
        "author",
        "state",
        "is_draft",
        "base",
        "created_at",
        "merged_at",
        "counts",
        "weight",
        "excluded",
        "attributed_at",
        "attributed_by",
        "membership_id",
        "joined_at",
        "left_at",
        "cycle_time_hours",
        "coding_hours",
        "pickup_hours",
        "review_hours",
        "additions",
        "deletions",
        "changed_files",
        "flags",
        "deploy_hours",
        "change_lead_time_hours",
        "delivered_at",
        "deployment_id",
        "not_delivered",
        "url",
        "closed_at",
        "first_review_at",
        "via",
    ];

    fn cells<'a>(&'a self, flags: &'a str) -> [Cell<'a>; 34] {
        let text = |text: &'a Option<String>| Cell::optional(text.as_deref());
        let whole = |number: Option<i32>| Cell::Whole(number.map(i64::from));
        let membership = self.rule.membership.as_ref();
        let optional = |of: fn(&Membership) -> &Option<String>| {
            Cell::Text(membership.and_then(|membership| of(membership).as_deref()).unwrap_or_default())
        };
        [
            Cell::Text(&self.repository),
            Cell::Whole(Some(self.number)),
            Cell::Text(&self.title),
            Cell::Text(&self.author),
            Cell::Text(&self.state),
            Cell::Flag(self.is_draft),
            text(&self.base),
            Cell::Text(&self.created_at),
            text(&self.merged_at),
            Cell::Flag(self.counts),
            Cell::Number(Some(self.weight)),
            text(&self.excluded),
            Cell::Text(&self.rule.attributed_at),
            Cell::Text(&self.rule.attributed_by),
            Cell::Whole(membership.map(|membership| membership.id)),
            optional(|membership| &membership.joined_at),
            optional(|membership| &membership.left_at),
            Cell::Number(self.cycle_time_hours),
            Cell::Number(self.coding_hours),
            Cell::Number(self.pickup_hours),
            Cell::Number(self.review_hours),
            whole(self.additions),
            whole(self.deletions),
            whole(self.changed_files),
            Cell::Text(flags),
            Cell::Number(self.deploy_hours),
            Cell::Number(self.change_lead_time_hours),
            text(&self.delivered_at),
            Cell::Whole(self.deployment_id),
            text(&self.not_delivered),
            Cell::Text(&self.url),
            text(&self.closed_at),
            text(&self.first_review_at),
            text(&self.via),
        ]
    }
}

/// The pull requests of the team's people in the range, one page at a time.
async fn list(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let PullRequestsParameters { selection, list: listed, form, page } = request.parameters()?;
    let kind = ReportKind::PullRequests;
    let requested = RequestedReport::prepare(&api, &request, kind, selection, form).await?;
    let mut requested = requested.that_depends_on(&format!("{page:?} {listed:?}"));
    let list = format!("{} {listed:?}", requested.report.list_identity());
    // Parsed before any response: `If-None-Match: *` must not make a bad cursor acceptable.
    let after = page.cursor.as_deref().map(|text| cursors::parse(text, &list)).transpose()?;
    if let Some(response) = requested.not_modified() {
        return Ok(response);
    }
    let found = requested.report.pull_requests(listed, after, page.limit).await?;
    let next_cursor = found.next.map(|next| cursors::to_text(next, &list));
    let ignore_weights = requested.report.query().ignore_weights;
    let pull_requests: Vec<PullRequest> =
        found.pull_requests.into_iter().map(|row| PullRequest::of(row, ignore_weights)).collect();
    let meta = requested.meta(None, &found.warnings);
    let team = requested.report.team().ok_or(ReportError::UnknownTeam(None))?;
    let response = match requested.format {
        Format::Csv => {
            let name = format!("{}-pull-requests", team.slug);
            csv(rows(&pull_requests)?, &name, &meta, requested.has_bom)?
        }
        Format::Json => {
            let meta = PullRequestsMeta { meta, count: pull_requests.len(), next_cursor: next_cursor.clone() };
            answer(PullRequests { team: team.into(), pull_requests }, meta)
        }
    };
    Ok(requested.tagged(with_next_cursor(response, next_cursor)))
}

fn rows(pull_requests: &[PullRequest]) -> Result<Rows, ApiError> {
    let mut rows = Rows::new(PullRequest::COLUMNS)?;
    for pull_request in pull_requests {
        let flags = pull_request.flags.join(" ");
        rows.push(pull_request.cells(&flags))?;
    }
    Ok(rows)
}
