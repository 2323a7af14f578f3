//! Teams of organizations, and their lists.

use axum::http::StatusCode;
use serde_json::Value;

use crate::FakeUser;
use crate::answer::Answer;
use crate::apps;
use crate::call::Call;
use crate::contract;
use crate::listing::list_of;
use crate::rest::{Owner, TeamList};
use crate::world::{World, is_organization};

/// The number of the first team.
const FIRST_TEAM: i64 = 12_000_001;

/// A team of an organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeTeam {
    /// The organization's login.
    pub organization: String,
    /// The short name in addresses.
    pub slug: String,
    /// The display name.
    pub name: String,
    /// The short name of the team that contains it.
    pub parent: Option<String>,
    /// The direct members.
    pub members: Vec<FakeUser>,
}

/// A team of `acme` without members: `team("acme", "payments").with(["ana"])`.
pub fn team(organization: &str, slug: &str) -> FakeTeam {
    let (organization, slug) = (organization.to_owned(), slug.to_owned());
    FakeTeam { name: slug.clone(), organization, slug, parent: None, members: Vec::new() }
}

impl FakeTeam {
    /// Adds people by login.
    #[must_use]
    pub fn with<'a>(mut self, logins: impl IntoIterator<Item = &'a str>) -> Self {
        self.members.extend(logins.into_iter().map(FakeUser::person));
        self
    }

    /// Adds an account.
    #[must_use]
    pub fn with_user(mut self, user: FakeUser) -> Self {
        self.members.push(user);
        self
    }

    /// Sets the display name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Puts it into another team.
    #[must_use]
    pub fn below(mut self, parent: &str) -> Self {
        self.parent = Some(parent.to_owned());
        self
    }
}

impl World {
    /// Creates a team, or replaces the one with its slug.
    pub(crate) fn put_team(&mut self, team: FakeTeam) {
        let is_same =
            |known: &FakeTeam| known.organization.eq_ignore_ascii_case(&team.organization) && known.slug == team.slug;
        match self.teams.iter_mut().find(|known| is_same(known)) {
            Some(known) => *known = team,
            None => self.teams.push(team),
        }
    }

    fn teams_of(&self, organization: &FakeUser) -> impl Iterator<Item = (i64, &FakeTeam)> {
        let login = organization.login.clone();
        let numbered = (FIRST_TEAM..).zip(&self.teams);
        numbered.filter(move |(_, team)| team.organization.eq_ignore_ascii_case(&login))
    }

    /// The members of a team and of those in it, each once, and whether the membership is only in one of those.
    fn members_of(&self, team: &FakeTeam) -> Vec<(FakeUser, bool)> {
        let mut members: Vec<(FakeUser, bool)> = team.members.iter().map(|user| (user.clone(), false)).collect();
        let is_in = |other: &&FakeTeam| {
            other.organization.eq_ignore_ascii_case(&team.organization) && other.parent.as_deref() == Some(&team.slug)
        };
        for child in self.teams.iter().filter(is_in) {
            for (user, _) in self.members_of(child) {
                if members.iter().all(|(known, _)| known.id != user.id) {
                    members.push((user, true));
                }
            }
        }
        members
    }
}

/// The teams of an organization, the members of one, or those of the organization. Only members of the organization may
/// see them, and the token's account is one.
pub(crate) fn answer(world: &World, owner: &Owner, list: &TeamList, call: &Call) -> Answer {
    if call.token().is_none() {
        return Answer::error(StatusCode::UNAUTHORIZED, "Requires authentication");
    }
    let Some(organization) = owner.account(world).filter(is_organization) else { return Answer::not_found() };
    if !apps::may_see(world, call, &organization.login) {
        return Answer::error(StatusCode::FORBIDDEN, "Resource not accessible by integration");
    }
    let address = format!("{}/organizations/{}", call.api, organization.id);
    let teams = || world.teams_of(&organization);
    match list {
        TeamList::Teams => {
            let items: Vec<Value> = teams()
                .map(|(id, team)| {
                    let parent = teams().find(|(_, other)| Some(&other.slug) == team.parent.as_ref());
                    contract::team(&call.api, &organization, id, team, parent)
                })
                .collect();
            list_of(call, &items, &format!("{address}/teams"))
        }
        TeamList::MembersOf(name) => {
            let found = teams().find(|(id, team)| team.slug == *name || id.to_string() == *name);
            let Some((id, team)) = found else { return Answer::not_found() };
            let items: Vec<Value> = world
                .members_of(team)
                .iter()
                .map(|(user, is_inherited)| contract::team_member(&call.api, user, *is_inherited))
                .collect();
            list_of(call, &items, &format!("{address}/team/{id}/members"))
        }
        TeamList::Members => {
            let mut members: Vec<&FakeUser> = world.organization_members(&organization.login).collect();
            members.extend(teams().flat_map(|(_, team)| &team.members).filter(|user| user.kind == "User"));
            members.sort_by(|one, other| one.login.cmp(&other.login));
            members.dedup_by_key(|user| user.id);
            let items: Vec<Value> = members.into_iter().map(|user| contract::user(&call.api, user)).collect();
            list_of(call, &items, &format!("{address}/members"))
        }
    }
}
