//! `GET /v1/teams` and `/v1/teams/{team_id}`

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use mergeline_store::{Member, Team, TeamRef};
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::{Access, Scope};
use crate::answer::answer;
use crate::error::ApiError;
use crate::model::{instant, weight};
use crate::negotiation::Accept;
use crate::parameters::Query;
use crate::question::TeamRequest;
use crate::router::Api;

/// A team.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AnsweredTeam {
    id: i64,
    slug: String,
    name: String,
    /// When it was taken out of the configuration; null while it is in it.
    #[schemars(extend("format" = "date-time"))]
    archived_at: Option<String>,
    members: Members,
}

/// The memberships that are in force.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Members {
    /// How many people are members now.
    count: i64,
    /// The sum of their weights.
    weight: f64,
    /// Since when exactly these are the members; null is the beginning of time.
    #[schemars(extend("format" = "date-time"))]
    since: Option<String>,
}

/// A team with each of its memberships.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamData {
    #[serde(flatten)]
    team: AnsweredTeam,
    /// Each membership that is in force.
    memberships: Vec<AnsweredMember>,
}

/// A membership that is in force, half open.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AnsweredMember {
    id: i64,
    /// Null when the key lacks the scope `prs:read`.
    login: Option<String>,
    weight: f64,
    /// Null is the beginning of time.
    #[schemars(extend("format" = "date-time"))]
    joined_at: Option<String>,
    /// Null is no end.
    #[schemars(extend("format" = "date-time"))]
    left_at: Option<String>,
}

/// How many teams there are.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamsMeta {
    count: usize,
}

/// When the answer holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TeamMeta {
    /// When the memberships were looked at.
    #[schemars(extend("format" = "date-time"))]
    as_of: String,
}

impl From<Team> for AnsweredTeam {
    fn from(team: Team) -> Self {
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

impl AnsweredMember {
    fn of(member: Member, shows_people: bool) -> Self {
        Self {
            id: member.membership,
            login: shows_people.then_some(member.login),
            weight: weight(member.weight_units.into()),
            joined_at: member.joined_at.map(instant),
            left_at: member.left_at.map(instant),
        }
    }
}

/// All teams that the key may know of, archived ones last.
pub(crate) async fn list(
    State(api): State<Api>,
    access: Access,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    access.require(Scope::MetricsRead)?;
    let query = Query::parse(&query.unwrap_or_default(), &[])?;
    Accept::of(&headers).choose(query.format, false)?;
    let teams = api.store.teams((api.clock)()).await?;
    let teams: Vec<AnsweredTeam> =
        teams.into_iter().filter(|team| access.sees(&team.slug)).map(AnsweredTeam::from).collect();
    let meta = TeamsMeta { count: teams.len() };
    Ok(answer(teams, meta))
}

/// One team, with the memberships that are in force.
pub(crate) async fn one(State(api): State<Api>, request: TeamRequest) -> Result<Response, ApiError> {
    request.access().require(Scope::MetricsRead)?;
    let query = request.query(&[])?;
    request.accept().choose(query.format, false)?;
    let (head, _, _) = request.team(&api, &[]).await?;
    let now = (api.clock)();
    let team = api.store.team(&TeamRef::Id(head.id), now).await?;
    let team = team.ok_or(ApiError::NotFound("There is no such team."))?;
    let shows_people = request.access().has(Scope::PrsRead);
    let members = api.store.members(head.id, now).await?;
    let memberships = members.into_iter().map(|member| AnsweredMember::of(member, shows_people)).collect();
    Ok(answer(TeamData { team: team.into(), memberships }, TeamMeta { as_of: instant(now) }))
}
