//! `GET /v1/teams/{team_id}/goals`: how a team's goals stood, and stand.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::Method;
use mergeline_domain::insight::{GoalRevision, GoalState, GoalWeekState, Suggestion};
use mergeline_domain::metrics::Interval;
use mergeline_reporting::{JudgedGoal, ReportKind};
use mergeline_store::LinkedPullRequest;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::reports::RequestedReport;
use super::resources::{Meta, TeamRef, instant};
use crate::auth::scope::Scope;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{BOM, FORMAT, FROM, Form, LAST, Parameter, ParameterReader, Parameters, Selection, TO};
use crate::http::request::ApiRequest;
use crate::http::tables::{Cell, Rows};
use crate::state::Api;

pub(crate) const GOALS: Operation = Operation {
    method: Method::GET,
    path: "/teams/{team_id}/goals",
    handler: |filter| on(filter, goals),
    admission: Admit::Statistics,
    id: "listGoals",
    summary: "How a team's goals stand",
    description: "goal@1, for each goal of the teams file that is or was for the team: how it stood in each whole week of the range, by the \
                  revision that was in force then, and how it stands as of the last collection. The default range is the last 26 whole weeks. Which pull \
                  requests break an agreement needs the scope prs:read.",
    scope: Some(Scope::MetricsRead),
    parameters: GoalParameters::DESCRIPTIONS,
    has_csv: true,
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<TeamGoals, Meta>),
};

#[derive(Debug)]
struct GoalParameters(Selection, Form);

impl Parameters for GoalParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&FROM, &TO, &LAST, &FORMAT, &BOM];

    fn read(reader: &mut ParameterReader) -> Self {
        Self(Selection::read(reader), Form::read(reader))
    }
}

/// The goals of a team.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamGoals {
    team: TeamRef,
    /// By id.
    goals: Vec<Goal>,
}

/// A goal, how it stood, and how it stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Goal {
    /// Its short name in the teams file.
    id: String,
    /// How it stands: of a share after the last whole week, of the others as of the last collection. Null if it is not in force, or no week
    /// was judged yet.
    state: Option<GoalState>,
    /// The week after which a share has this state, also outside of the range; null for the others, and where there is none.
    last: Option<GoalWeekState>,
    /// Which of the revisions is in force, counted from 0; null if none is.
    in_force: Option<usize>,
    /// What it asked for, the oldest first.
    revisions: Vec<Revision>,
    /// How many pull requests wait for what it is about, and which of them wait too long; null for a share.
    open: Option<OpenNow>,
    /// The whole weeks of the range at whose end it was in force, oldest first: of a share how it stood then, of the others whether it held
    /// all week.
    weeks: Vec<GoalWeekState>,
    /// What could be asked for at present, going by the last four weeks; only of a share in force.
    suggestion: Option<Suggestion>,
}

/// What a goal asked for during a time.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Revision {
    #[serde(flatten)]
    revision: GoalRevision,
    /// The ID of the formula of what it measures.
    measured_by: &'static str,
}

/// What is open.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct OpenNow {
    /// As of when: of the last collection.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// How many wait.
    n: usize,
    /// How many of them wait too long; 0 for a limit. Null if all of them are by fewer people than may be shown.
    n_late: Option<usize>,
    /// Those that wait too long, the longest first; null without the scope prs:read.
    late: Option<Vec<LatePullRequest>>,
}

/// A pull request that waits longer than was agreed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LatePullRequest {
    /// Its repository.
    repository: String,
    /// Its number there.
    number: i64,
    /// Its title.
    title: String,
    /// Its page at GitHub.
    url: String,
    /// Since when it waits.
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Since when it waits too long.
    #[schemars(extend("format" = "date-time"))]
    late_since: String,
}

async fn goals(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let GoalParameters(selection, form) = request.parameters()?;
    let shows_pull_requests = request.access()?.has(Scope::PrsRead);
    let mut requested = RequestedReport::prepare(&api, &request, ReportKind::Goals, selection, form).await?;
    let found = requested.report.goals().await?;
    let meta = requested.meta(Some(Interval::Week), &found.warnings);
    let data = TeamGoals::of(found, shows_pull_requests);
    Ok(requested.with_freshness(requested.response(data, meta, rows)?))
}

/// A team's goals as in the API, with all that may be shown.
///
/// # Errors
/// If a number is not finite.
pub fn goals_json(found: mergeline_reporting::TeamGoals) -> Result<Value, serde_json::Error> {
    serde_json::to_value(TeamGoals::of(found, true))
}

impl TeamGoals {
    fn of(found: mergeline_reporting::TeamGoals, shows_pull_requests: bool) -> Self {
        let listed = shows_pull_requests.then_some(&found.pull_requests);
        let goals = found.goals.into_iter().map(|goal| Goal::of(goal, listed)).collect();
        Self { team: (&found.team).into(), goals }
    }
}

impl Goal {
    fn of(goal: JudgedGoal, listed: Option<&HashMap<i64, LinkedPullRequest>>) -> Self {
        let JudgedGoal { id, revisions, history, in_force, last } = goal;
        let open = history.open.map(|open| OpenNow {
            at: instant(open.at),
            n: open.open,
            n_late: (!open.is_suppressed).then_some(open.breaches.len()),
            late: listed.map(|listed| {
                let late = open.breaches.iter().filter_map(|breach| {
                    let it = listed.get(&breach.id)?;
                    Some(LatePullRequest {
                        repository: it.repository.clone(),
                        number: it.number,
                        title: it.title.clone(),
                        url: it.url.clone(),
                        since: instant(breach.since),
                        late_since: instant(breach.broken_since),
                    })
                });
                late.collect()
            }),
        });
        let revision = |revision: GoalRevision| Revision { measured_by: revision.measured_by(), revision };
        Self {
            id: id.to_string(),
            state: history.state,
            last,
            in_force,
            revisions: revisions.into_iter().map(revision).collect(),
            open,
            weeks: history.weeks,
            suggestion: history.suggestion,
        }
    }
}

/// A row for each whole week of each goal.
fn rows(found: &TeamGoals) -> Result<Rows, csv::Error> {
    let mut rows =
        Rows::new(["goal", "week", "revision", "state", "n", "n_within", "n_waiting", "share", "low", "high"])?;
    let whole = |number: usize| Cell::Whole(i64::try_from(number).ok());
    for goal in &found.goals {
        for week in &goal.weeks {
            let numbers = week.numbers;
            rows.push([
                Cell::Text(&goal.id),
                Cell::Text(&week.week.to_string()),
                whole(week.revision),
                Cell::Text(&week.state.to_string()),
                numbers.map_or(Cell::Whole(None), |it| whole(it.n)),
                numbers.map_or(Cell::Whole(None), |it| whole(it.n_within)),
                numbers.map_or(Cell::Whole(None), |it| whole(it.n_waiting)),
                Cell::Number(numbers.map(|it| it.share)),
                Cell::Number(numbers.map(|it| it.low)),
                Cell::Number(numbers.map(|it| it.high)),
            ])?;
        }
    }
    Ok(rows)
}
