//! `GET /v1/teams`

use axum::extract::{RawQuery, State};
use axum::response::Response;
use mergeline_domain::{TeamId, TeamSlug};
use mergeline_store::Team;
use serde::Serialize;

use crate::answer::answer;
use crate::error::ApiError;
use crate::metrics::weight;
use crate::parameters::no_parameters;
use crate::router::Api;

/// A team in a list.
#[derive(Debug, Serialize)]
struct ListedTeam {
    id: TeamId,
    slug: TeamSlug,
    name: String,
    /// How many people are members now.
    members: i64,
    /// The sum of their weights.
    members_weight: f64,
    archived_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct Meta {
    count: usize,
}

impl From<Team> for ListedTeam {
    fn from(team: Team) -> Self {
        Self {
            id: team.id,
            slug: team.slug,
            name: team.name,
            members: team.members,
            members_weight: weight(team.weight_units),
            archived_at: team.archived_at.map(crate::metrics::instant),
        }
    }
}

/// All teams, archived ones last.
pub(crate) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    no_parameters(&query.unwrap_or_default())?;
    let teams: Vec<ListedTeam> = api.store.teams((api.clock)()).await?.into_iter().map(ListedTeam::from).collect();
    let meta = Meta { count: teams.len() };
    Ok(answer(teams, meta))
}
