//! `GET /v1/waiting`: what is merged and waits for production.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use mergeline_reporting::{DeliveryQuery, DeliveryReport, PagePosition, WaitingList};
use mergeline_store::{Wait, WaitingPullRequest};
use schemars::JsonSchema;
use serde::Serialize;

use super::deployments;
use super::dora::ServiceRef;
use super::resources::{TeamRef, age_hours, instant};
use crate::auth::scope::Scope;
use crate::http::cursors;
use crate::http::envelope::{answer, csv, with_next_cursor};
use crate::http::errors::ApiError;
use crate::http::negotiation::Format;
use crate::http::operation::{Body, Operation, enveloped};
use crate::http::parameters::{
    BOM, CURSOR, FORMAT, Form, LIMIT, MISSING, Page, Parameter, ParameterReader, Parameters, SERVICE, TEAM, waiting,
};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const LIST: Operation = Operation {
    path: "/waiting",
    handler: |filter| on(filter, list),
    id: "listWaiting",
    summary: "What is merged and waits for production",
    description: "The merged pull requests that no deployment to production contains, whenever they were merged, the one that waits longest \
                  being first: those that `not_deployed` of /v1/state counts, or with `missing` those of `not_collected`. With `team` only those that count for \
                  it. A key that is limited to teams must name one of them.",
    scope: Some(Scope::PrsRead),
    parameters: WaitingParameters::DESCRIPTIONS,
    // Each row has an age.
    has_etag: false,
    body: Body::Json(enveloped::<Vec<WaitingForProduction>, WaitingMeta>),
    ..deployments::LIST
};

#[derive(Debug)]
struct WaitingParameters {
    query: DeliveryQuery,
    wait: Wait,
    form: Form,
    page: Page,
}

impl Parameters for WaitingParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&TEAM, &SERVICE, &MISSING, &LIMIT, &CURSOR, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        let (query, wait) = waiting(reader);
        Self { query, wait, form: Form::read(reader), page: Page::read(reader) }
    }
}

/// A merged pull request that is not known to be in production.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WaitingForProduction {
    /// Its repository, as `owner/name`.
    repository: String,
    number: i64,
    title: String,
    /// Its page.
    url: String,
    #[schemars(extend("format" = "date-time"))]
    merged_at: String,
    /// How long ago it was merged.
    waiting_hours: f64,
    /// The slugs of the services in which it waits.
    services: Vec<String>,
}

/// Context for reading the list.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WaitingMeta {
    /// Why they are not known to be in production.
    #[schemars(extend("enum" = ["not_deployed_yet", "not_collected"]))]
    missing: &'static str,
    /// Only those that count for this team; null for all.
    team: Option<TeamRef>,
    /// Only those of this service; null for all.
    service: Option<ServiceRef>,
    /// Rows on this page.
    count: usize,
    /// For the next page; null on the last page.
    next_cursor: Option<String>,
    /// The instant that the response describes.
    #[schemars(extend("format" = "date-time"))]
    as_of: String,
}

/// A page of them.
async fn list(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let WaitingParameters { query, wait, form, page } = request.parameters()?;
    let format = request.format(form.format)?;
    let now = api.now();
    let mut report = DeliveryReport::prepare(&api.store, query, &request.access()?.viewer(), now).await?;
    let scope = (report.team().map(|team| team.id), report.service().map(|service| service.id));
    let identity = report.list_identity(&(wait, scope));
    let after = page.cursor.as_deref().map(|text| cursors::parse(text, &identity)).transpose()?;
    let WaitingList { pull_requests, next } = report.waiting(wait, after, page.limit).await?;
    let next_cursor = next.map(|next: PagePosition| cursors::to_text(next, &identity));
    let waiting = |row: WaitingPullRequest| WaitingForProduction {
        repository: row.repository,
        number: row.number,
        title: row.title,
        url: row.url,
        merged_at: instant(row.merged_at),
        waiting_hours: age_hours(row.merged_at, now),
        services: row.services,
    };
    let waiting: Vec<WaitingForProduction> = pull_requests.into_iter().map(waiting).collect();
    let meta = WaitingMeta {
        missing: wait.into(),
        team: report.team().map(TeamRef::from),
        service: report.service().map(ServiceRef::from),
        count: waiting.len(),
        next_cursor: next_cursor.clone(),
        as_of: instant(now),
    };
    let response = match format {
        Format::Json => answer(waiting, meta),
        Format::Csv => csv(rows(&waiting)?, "waiting", &meta, form.has_bom)?,
    };
    Ok(with_next_cursor(response, next_cursor))
}

fn rows(waiting: &[WaitingForProduction]) -> Result<Rows, ApiError> {
    let mut rows = Rows::new(["repository", "number", "title", "url", "merged_at", "waiting_hours", "services"])?;
    for it in waiting {
        rows.push([
            Cell::Text(&it.repository),
            Cell::Whole(Some(it.number)),
            Cell::Text(&it.title),
            Cell::Text(&it.url),
            Cell::Text(&it.merged_at),
            Cell::Number(Some(it.waiting_hours)),
            Cell::Text(&it.services.join(" ")),
        ])?;
    }
    Ok(rows)
}
