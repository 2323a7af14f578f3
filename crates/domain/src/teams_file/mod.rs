//! The teams file: which repositories are collected, and who belongs to which team, when, and with which share.

mod access;
mod channels;
mod checks;
mod delivery;
mod document;
mod draft;
mod drift;
mod goals;
mod investment;
mod metrics;
mod people;
mod people_csv;
mod reader;
mod tree;
mod write;

pub(crate) use checks::first_sum_above_one;
use chrono_tz::Tz;
pub use delivery::{DeliverySettings, OwnerEntry, ServiceEntry};
pub use document::json_schema;
pub use draft::{LeafTeam, LeafTeams, ListedAccount, ListedTeam, TeamsDraft, share_equally};
pub use drift::{Drift, TeamDrift, TeamState};
pub use goals::{ConfiguredGoals, GoalEntry, TeamGoal, goals_of_team};
pub use investment::InvestmentEntry;
pub use people_csv::{Column, Columns, PeopleCsv};

use serde::Serialize;

use crate::insight::CustomMetric;
use crate::messages::ChannelEntry;
use crate::{
    AccessLines, ExternalId, Forge, Login, Period, Position, Problem, Problems, RepoName, RepoRules, TeamSlug, Weight,
};

/// A valid teams file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamsFile {
    /// The zone in which dates start and weeks are counted.
    pub timezone: Tz,
    /// The repositories to collect that are named.
    pub repositories: Vec<RepoName>,
    /// Patterns for the repositories to collect, with exclusions.
    pub rules: RepoRules,
    /// Whether patterns also match archived repositories.
    pub include_archived: bool,
    /// Logins that count as bots even though GitHub calls them users.
    pub bots: Vec<Login>,
    /// Whether one person's concurrent weights may sum to more than 1.
    pub allow_weights_above_one: bool,
    /// The smallest group of people whose statistics are shown; `None` shows all.
    pub min_group_size: Option<u8>,
    /// The servers that are named. A forge that is not has the address of its public site.
    pub instances: Vec<InstanceEntry>,
    /// Services, environments, windows and hotfixes.
    pub delivery: DeliverySettings,
    /// Who may see what on the page.
    pub access: AccessLines,
    /// Goals and working agreements.
    pub goals: Vec<GoalEntry>,
    /// Kinds of work, in the order in which they are tried.
    pub investment: Vec<InvestmentEntry>,
    /// Where messages go.
    pub channels: Vec<ChannelEntry>,
    /// Metrics of its own.
    pub metrics: Vec<CustomMetric>,
    /// The teams.
    pub teams: Vec<TeamEntry>,
}

/// A server of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceEntry {
    /// What kind of server it is.
    pub forge: Forge,
    /// Its address, without a slash at the end.
    pub url: String,
}

/// A team of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamEntry {
    /// The short name that identifies the team's history.
    pub slug: TeamSlug,
    /// The display name.
    pub name: String,
    /// Its previous slug, if it is a known team with a new slug.
    pub renamed_from: Option<TeamSlug>,
    /// The memberships, in the order of the file.
    pub members: Vec<MemberEntry>,
}

/// A membership of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberEntry {
    /// The login of the person's account, at GitHub if there is one.
    pub login: Login,
    /// That account's id, if the file has it.
    pub external_id: Option<ExternalId>,
    /// The logins of the person's accounts at other forges.
    pub other_accounts: Vec<Login>,
    /// The share of the person's work.
    pub weight: Weight,
    /// When the membership applies.
    pub period: Period,
}

impl TeamsFile {
    /// The server of a forge.
    pub fn instance(&self, forge: Forge) -> InstanceEntry {
        let named = self.instances.iter().find(|instance| instance.forge == forge).cloned();
        named.unwrap_or_else(|| InstanceEntry { forge, url: forge.public_url().to_owned() })
    }
}

impl MemberEntry {
    /// The logins of all accounts, the one at GitHub first.
    pub fn logins(&self) -> impl Iterator<Item = &Login> {
        std::iter::once(&self.login).chain(&self.other_accounts)
    }
}

impl TeamsFile {
    /// Parses and validates a teams file. `source` is its name in problems.
    ///
    /// # Errors
    /// Every problem in the file, in file order.
    pub fn parse(source: &str, bytes: &[u8]) -> Result<Self, Problems> {
        Self::read(source, bytes, reader::read_file)
    }

    /// Parses and validates the environment's format: `TEAM_CONFIG_JSON`, an array of teams that also accepts
    /// `github_username`, `allocation_weight`, `joined_at` and `left_at`, and `REPOSITORIES`, comma separated.
    ///
    /// # Errors
    /// Every problem in the two variables.
    pub fn parse_variables(team_config_json: &str, repositories: &str) -> Result<Self, Problems> {
        // JSON may write one character as two escapes, which YAML does not support. Written out, both can read it.
        let unescaped = team_config_json
            .contains("\\u")
            .then(|| serde_json::from_str::<serde_json::Value>(team_config_json).ok())
            .flatten()
            .map(|value| value.to_string());
        let text = unescaped.as_deref().unwrap_or(team_config_json);
        let read = Self::read("TEAM_CONFIG_JSON", text.as_bytes(), |root, problems| {
            reader::read_variables(root, repositories, problems)
        });
        read.map_err(|mut problems| {
            let is_of_yaml = |problem: &&mut Problem| problem.help.as_deref() == Some(tree::HELP_WITH_YAML);
            for problem in problems.list.iter_mut().filter(is_of_yaml) {
                problem.help = Some("it is JSON: look for a missing bracket, comma or quote".to_owned());
            }
            problems
        })
    }

    fn read(
        source: &str,
        bytes: &[u8],
        read: impl FnOnce(&tree::Node, &mut Vec<Problem>) -> reader::Draft,
    ) -> Result<Self, Problems> {
        let mut list = Vec::new();
        let mut file = None;
        match tree::parse(bytes) {
            Ok(root) => {
                let draft = read(&root, &mut list);
                checks::check(&draft, &mut list);
                file = draft.finish();
            }
            Err(problem) => list.push(problem),
        }
        list.sort_by_key(|problem| problem.at);
        match file {
            Some(file) if list.is_empty() => Ok(file),
            _ => {
                let text = tree::lines_of(&String::from_utf8_lossy(bytes));
                move_inside(&text, &mut list);
                Err(Problems { source: source.to_owned(), text, list })
            }
        }
    }
}

/// The parser puts what is missing at the end on a line after the last one, and miscounts around NUL. Every position is
/// moved to where a caret can be shown.
fn move_inside(text: &str, problems: &mut [Problem]) {
    let lengths: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    let moved = |at: Position| {
        let line = at.line.clamp(1, lengths.len());
        let end = lengths[line - 1] + 1;
        Position { line, column: if at.line > line { end } else { at.column.clamp(1, end) } }
    };
    for problem in problems {
        problem.at = problem.at.map(moved);
        problem.related = problem.related.map(moved);
    }
}

#[cfg(test)]
mod tests;
