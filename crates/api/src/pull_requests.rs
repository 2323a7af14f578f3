//! `GET /v1/metrics/team/{team_id}/pull-requests`: what is behind a number.

use axum::extract::State;
use axum::response::Response;
use mergeline_store::{Audience, Interval, TeamPullRequest};
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Scope;
use crate::answer::{answer, csv};
use crate::csv::{Cell, Rows};
use crate::cursor::{Cursor, cut_to_page};
use crate::definitions::{ATTRIBUTION, PR_CYCLE_TIME, PR_PHASES};
use crate::error::ApiError;
use crate::model::{AnsweredTeam, Meta, hours, instant, weight};
use crate::negotiation::Format;
use crate::parameters::{
    BASE, BOM, CURSOR, FORMAT, FROM, LAST, LIMIT, Otherwise, Parameter, REPO, TO, TZ, WEEK, WEIGHTING,
};
use crate::question::{Endpoint, TeamRequest};
use crate::router::Api;

const PARAMETERS: &[&Parameter] =
    &[&FROM, &TO, &LAST, &WEEK, &TZ, &REPO, &BASE, &WEIGHTING, &LIMIT, &CURSOR, &FORMAT, &BOM];

pub(crate) const ENDPOINT: Endpoint = Endpoint {
    definition: ATTRIBUTION,
    definitions: &[ATTRIBUTION, PR_CYCLE_TIME, PR_PHASES],
    scope: Scope::PrsRead,
    parameters: PARAMETERS,
    // The same as velocity's, so that the numbers of both belong together.
    otherwise: Otherwise::UpToNow { interval: Interval::Week, count: 12 },
    has_csv: true,
    looks_back: false,
    sums_up: false,
};

/// The pull requests behind a team's numbers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PullRequestsData {
    team: AnsweredTeam,
    /// By the instant that decides about membership, which for merged ones is the merge.
    pull_requests: Vec<AnsweredPullRequest>,
}

/// A pull request of somebody who is or was in the team, and why it counts or not.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AnsweredPullRequest {
    repository: String,
    number: i64,
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
    /// Whether it is among `prs_merged`.
    counts: bool,
    /// With which weight it counts; 0 when it does not.
    weight: f64,
    /// Why it does not count: `not_merged`, `not_a_member` (of this team, at that instant) or `deleted` (GitHub has it no
    /// more).
    #[schemars(extend("enum" = ["not_merged", "not_a_member", "deleted", null]))]
    excluded: Option<String>,
    rule: Rule,
    /// From opening to merge; null when it is not merged, or merged before its creation.
    cycle_time_hours: Option<f64>,
    coding_hours: Option<f64>,
    pickup_hours: Option<f64>,
    review_hours: Option<f64>,
    additions: Option<i32>,
    deletions: Option<i32>,
    changed_files: Option<i32>,
    /// What to know about its durations.
    flags: Vec<String>,
}

/// The rule that decided (`attribution@1`): the membership that contains the instant.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Rule {
    /// The instant that decides about membership.
    #[schemars(extend("format" = "date-time"))]
    attributed_at: String,
    /// Which of the pull request's times it is.
    #[schemars(extend("enum" = ["merged_at", "closed_at", "created_at"]))]
    attributed_by: String,
    /// Null when no membership of the author in this team contains the instant.
    membership: Option<AnsweredMembership>,
}

/// A membership, half open.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AnsweredMembership {
    id: i64,
    weight: f64,
    /// Null is the beginning of time.
    #[schemars(extend("format" = "date-time"))]
    joined_at: Option<String>,
    /// Null is no end.
    #[schemars(extend("format" = "date-time"))]
    left_at: Option<String>,
}

/// What the list is to be read with.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PullRequestsMeta {
    #[serde(flatten)]
    meta: Meta,
    /// Rows on this page.
    count: usize,
    /// For the next page; null on the last.
    next_cursor: Option<String>,
}

impl AnsweredPullRequest {
    fn of(row: TeamPullRequest, counts_fully: bool) -> Self {
        let counts = row.excluded.is_none();
        let membership = row.membership.map(|membership| AnsweredMembership {
            id: membership.membership,
            weight: weight(membership.weight_units.into()),
            joined_at: membership.joined_at.map(instant),
            left_at: membership.left_at.map(instant),
        });
        let weight = match &membership {
            Some(_) if counts && counts_fully => 1.0,
            Some(membership) if counts => membership.weight,
            _ => 0.0,
        };
        Self {
            repository: row.repository,
            number: row.number,
            title: row.title,
            author: row.author,
            state: row.state,
            is_draft: row.is_draft,
            base: row.base_ref,
            created_at: instant(row.created_at),
            merged_at: row.merged_at.map(instant),
            counts,
            weight,
            excluded: row.excluded,
            rule: Rule { attributed_at: instant(row.attributed_at), attributed_by: row.attributed_by, membership },
            cycle_time_hours: row.cycle_seconds.map(hours),
            coding_hours: row.coding_seconds.map(hours),
            pickup_hours: row.pickup_seconds.map(hours),
            review_hours: row.review_seconds.map(hours),
            additions: row.additions,
            deletions: row.deletions,
            changed_files: row.changed_files,
            flags: row.flags,
        }
    }

    const COLUMNS: [&'static str; 25] = [
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
    ];

    fn cells<'a>(&'a self, flags: &'a str) -> [Cell<'a>; 25] {
        let text = |text: &'a Option<String>| Cell::Text(text.as_deref().unwrap_or_default());
        let whole = |number: Option<i32>| Cell::Whole(number.map(i64::from));
        let membership = self.rule.membership.as_ref();
        let optional = |of: fn(&AnsweredMembership) -> &Option<String>| {
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
        ]
    }
}

/// The pull requests of the team's people in the range, a page at a time.
pub(crate) async fn list(State(api): State<Api>, request: TeamRequest) -> Result<Response, ApiError> {
    let (question, mut reader) = request.understand(&api, &ENDPOINT).await?;
    let query = &question.query;
    // New data in between only adds rows or moves them; another configuration is another list.
    let belongs_to = format!("{:?} {:?} {:?}", question.standing.revision, question.team.id, question.filter);
    // Read before anything is answered: `If-None-Match: *` makes no good question of a bad one.
    let after = query.cursor.as_deref().map(|text| Cursor::parse(text, &belongs_to)).transpose()?;
    if let Some(response) = question.unless_known() {
        return Ok(response);
    }
    let after = after.map(|cursor| (cursor.at, cursor.id));
    // Who only sees some teams does not follow people who left them.
    let audience = if question.is_limited { Audience::ThisTeam } else { Audience::AllTeams };
    let mut found =
        reader.team_pull_requests(question.team.id, &question.filter, audience, after, query.limit + 1).await?;
    let next_cursor =
        cut_to_page(&mut found, query.limit, &belongs_to, |last| Cursor { at: last.attributed_at, id: last.id });
    let pull_requests: Vec<AnsweredPullRequest> =
        found.into_iter().map(|row| AnsweredPullRequest::of(row, query.counts_fully)).collect();
    let mut meta = question.meta(None);
    if pull_requests.is_empty() && query.cursor.is_none() && question.is_read {
        meta.warnings.push("no_data: nobody of this team has a pull request in the range".to_owned());
    }
    let mut response = match question.format {
        Format::Csv => {
            let mut rows = Rows::new(AnsweredPullRequest::COLUMNS)?;
            for pull_request in &pull_requests {
                let flags = pull_request.flags.join(" ");
                rows.push(pull_request.cells(&flags))?;
            }
            csv(rows, &format!("{}-pull-requests", question.team.slug), &meta, query.has_bom)?
        }
        Format::Json => {
            let count = pull_requests.len();
            let meta = PullRequestsMeta { meta, count, next_cursor: next_cursor.clone() };
            answer(PullRequestsData { team: (&question.team).into(), pull_requests }, meta)
        }
    };
    if let Some(next) = next_cursor.and_then(|next| http::HeaderValue::from_str(&next).ok()) {
        // A table has no place for it.
        response.headers_mut().insert(crate::answer::NEXT_CURSOR, next);
    }
    Ok(question.tagged(response))
}
