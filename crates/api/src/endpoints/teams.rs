//! `GET /v1/teams` and `/v1/teams/{team_id}`

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::Method;
use mergeline_reporting::ReportError;
use schemars::JsonSchema;
use serde::Serialize;

use super::resources::{Membership, instant, weight};
use crate::auth::scope::Scope;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;
use crate::state::Api;

pub(crate) const TEAMS: Operation = Operation {
    method: Method::GET,
    path: "/teams",
    handler: |filter| on(filter, list),
    admission: Admit::Lookup,
    id: "listTeams",
    summary: "All teams",
    description: "Slug, name, and the current members: how many, their weights, since when. Archived teams come last.",
    scope: Some(Scope::MetricsRead),
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<Vec<Team>, TeamsMeta>),
};

pub(crate) const TEAM: Operation = Operation {
    path: "/teams/{team_id}",
    handler: |filter| on(filter, one),
    id: "getTeam",
    summary: "One team",
    description: "With each current membership. Logins are shown to keys with the scope prs:read.",
    body: Body::Json(enveloped::<TeamDetails, TeamMeta>),
    ..TEAMS
};

/// A team.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Team {
    id: i64,
    slug: String,
    name: String,
    /// When it was removed from the configuration; null while it is configured.
    #[schemars(extend("format" = "date-time"))]
    archived_at: Option<String>,
    members: Members,
}

/// The current memberships.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Members {
    /// The number of current members.
    count: i64,
    /// The sum of their weights.
    weight: f64,
    /// Since when exactly these people are the members; null means the beginning of time.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
}

/// A team with each of its memberships.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamDetails {
    #[serde(flatten)]
    team: Team,
    /// Each current membership.
    memberships: Vec<TeamMember>,
}

/// A current member.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamMember {
    /// Null if the key lacks the scope `prs:read`.
    login: Option<String>,
    #[serde(flatten)]
    membership: Membership,
}

/// The number of teams.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamsMeta {
    count: usize,
}

/// The time to which the response applies.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamMeta {
    /// When the memberships were read.
    #[schemars(extend("format" = "date-time"))]
    as_of: String,
}

impl From<mergeline_store::Team> for Team {
    fn from(team: mergeline_store::Team) -> Self {
        Self {
            id: team.id.0,
            slug: team.slug.to_string(),
            name: team.name,
            archived_at: team.archived_at.map(instant),
            members: Members {
                count: team.members,
                weight: weight(team.weight_units),
                since: team.members_since.map(instant),
            },
        }
    }
}

impl TeamMember {
    fn of(member: mergeline_store::Member, shows_people: bool) -> Self {
        let membership = Membership::from(&member);
        Self { login: shows_people.then_some(member.login), membership }
    }
}

/// All teams that the key may see, archived ones last.
async fn list(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let viewer = request.access()?.viewer();
    let teams = api.store.teams(api.now()).await?;
    let teams: Vec<Team> = teams.into_iter().filter(|team| viewer.sees(&team.slug)).map(Team::from).collect();
    let meta = TeamsMeta { count: teams.len() };
    Ok(answer(teams, meta))
}

/// One team, with the current memberships.
async fn one(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let (access, now) = (request.access()?, api.now());
    let asked = request.team()?;
    let team = api.store.team(&asked, now).await?;
    let team = team.filter(|team| access.viewer().sees(&team.slug)).ok_or(ReportError::UnknownTeam(Some(asked)))?;
    let shows_people = access.has(Scope::PrsRead);
    let members = api.store.members(team.id, now).await?;
    let memberships = members.into_iter().map(|member| TeamMember::of(member, shows_people)).collect();
    Ok(answer(TeamDetails { team: team.into(), memberships }, TeamMeta { as_of: instant(now) }))
}
