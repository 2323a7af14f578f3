//! What GitHub lists for a teams file: an owner's teams with their members, and repositories.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::anyhow;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use indicatif::{ProgressBar, ProgressStyle};
use mergeline_domain::teams_file::{LeafTeams, TeamsDraft, TeamsFile};
use mergeline_domain::{Login, Problem, Problems, RepoEntry, RepoName, count_of, parse_zone};
use mergeline_github::{GitHub, GitHubError, GitHubSession, GitHubSettings, Owner, Refusal, TokenPage};
use mergeline_source::{RepositoryKey, WaitBudget};

use crate::args::{FromGitHub, Options, TeamSelection};
use crate::collecting::progress_bar;
use crate::environment::variable;
use crate::failure::Failure;

/// More names are only counted.
const SHOWN_NAMES: usize = 20;
/// What a token needs to list teams.
const HELP_WITH_TEAMS: &str = "give the token the organization permission *Members*, read (a classic token: the scope `read:org`). Its account \
                               must be a member of the organization, whose owners may have to approve the token";

/// GitHub, and when the command started.
pub(crate) struct Lister {
    github: GitHub,
    now: DateTime<Utc>,
    is_quiet: bool,
}

/// The teams of an owner.
pub(crate) struct ListedTeams {
    pub(crate) leaves: LeafTeams,
    /// Why there is only one team, if GitHub has none.
    pub(crate) note: Option<String>,
}

/// The repositories of an owner that the token may see.
pub(crate) struct ListedRepositories {
    /// Those that are not archived.
    pub(crate) active: Vec<RepoName>,
    pub(crate) archived: usize,
    /// Why GitHub left some out.
    pub(crate) incomplete: Option<String>,
}

/// The settings of the environment.
pub(crate) fn settings() -> Result<GitHubSettings, Failure> {
    Ok(GitHubSettings::from_vars(variable).map_err(Problems::of_settings)?)
}

/// Refuses settings without a token.
pub(crate) fn require_token(settings: &GitHubSettings, owner: Option<&Login>) -> Result<(), Failure> {
    if settings.has_credentials() {
        return Ok(());
    }
    let page = settings.token_page(owner.map(Login::as_str));
    let help = format!(
        "set it to a fine-grained token with these permissions, all of them only to read: {}; make one at {}",
        TokenPage::needs(),
        page.url
    );
    Err(Problem::setting(
        "config.no_token",
        "GITHUB_PAT",
        "it is not set, and GitHub lists teams only to a token",
        help,
    )
    .into())
}

impl Lister {
    pub(crate) fn connect(settings: &GitHubSettings, options: &Options, now: DateTime<Utc>) -> Result<Self, Failure> {
        Ok(Self { github: GitHub::connect(settings)?, now, is_quiet: options.json })
    }

    fn session(&self, owner: Option<&str>) -> GitHubSession {
        self.github.session(owner, WaitBudget::AT_A_TERMINAL, self.now)
    }

    /// Fails if GitHub refuses the token.
    pub(crate) async fn check_token(&self) -> Result<(), Failure> {
        // An App has a token for each owner.
        if !self.github.has_app() {
            self.session(None).token_report().await?;
        }
        Ok(())
    }

    /// The owners of the repositories that the token's account may see, with the number of those.
    pub(crate) async fn owners(&self) -> Result<BTreeMap<String, usize>, Failure> {
        let session = self.session(None);
        // An App has no account.
        if !session.has_token().await? {
            return Ok(BTreeMap::new());
        }
        let listed = match session.visible_repositories().await {
            Ok(listed) => listed,
            Err(GitHubError::Forbidden { cause: Refusal::Permission, .. }) => return Ok(BTreeMap::new()),
            Err(error) => return Err(error.into()),
        };
        let mut owners = BTreeMap::new();
        for repository in &listed.repositories {
            *owners.entry(repository.name.owner().to_owned()).or_default() += 1;
        }
        Ok(owners)
    }

    /// The owner that the flags name, or the only one that the token sees. `None` if there are several.
    pub(crate) async fn owner(&self, args: &FromGitHub) -> Result<Result<Login, BTreeMap<String, usize>>, Failure> {
        if let Some(login) = &args.org {
            return Ok(Ok(login.clone()));
        }
        let named: BTreeSet<&str> = args.repositories.iter().map(RepoEntry::owner).collect();
        if let Some(owner) = only(named) {
            return Ok(Ok(Login::from_github(owner)));
        }
        let owners = self.owners().await?;
        Ok(only(owners.keys()).map(|owner| Login::from_github(owner)).ok_or(owners))
    }

    /// The leaf teams of an owner with their people. An owner without teams has one of all members.
    pub(crate) async fn teams(&self, owner: &Login) -> Result<ListedTeams, Failure> {
        let session = self.session(Some(owner.as_str()));
        let mut listed = match session.teams_of(owner.as_str()).await {
            Ok(listed) => listed,
            Err(error @ (GitHubError::NotFound | GitHubError::Forbidden { cause: Refusal::Permission, .. })) => {
                return match session.owner_kind(owner.as_str()).await? {
                    Some(Owner::Person(person)) => Ok(ListedTeams {
                        leaves: LeafTeams::of_one(owner.as_str(), &[person]),
                        note: Some(format!(
                            "{owner} is a person's account, which has no teams: this one has only its owner."
                        )),
                    }),
                    Some(Owner::Organization) => Err(may_not_list(owner, &error)),
                    None => Err(Failure::Input(format!(
                        "there is no account `{owner}` at GitHub\n  help: check the spelling of --org"
                    ))),
                };
            }
            Err(error) => return Err(Failure::Other(anyhow::Error::from(error).context(cannot_list(owner)))),
        };
        let bar = self.progress(listed.len());
        for team in &mut listed {
            bar.set_message(team.slug.clone());
            let members = session.members_of_team(owner.as_str(), &team.slug).await;
            team.members = members.map_err(|error| {
                anyhow::Error::from(error).context(format!("the members of the team {} cannot be listed", team.slug))
            })?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        let leaves = LeafTeams::of(&listed);
        if !leaves.teams.is_empty() {
            return Ok(ListedTeams { leaves, note: None });
        }
        let members = session.members_of(owner.as_str()).await?;
        let leaves = LeafTeams::of_one(owner.as_str(), &members);
        if leaves.teams.is_empty() {
            return Err(Failure::Other(anyhow!(
                "{owner} has no teams and no members that the token may see\n  help: {HELP_WITH_TEAMS}"
            )));
        }
        let note = format!("{owner} has no teams with people that the token may see: this one has all its members.");
        Ok(ListedTeams { leaves, note: Some(note) })
    }

    fn progress(&self, teams: usize) -> ProgressBar {
        let bar = if self.is_quiet { ProgressBar::hidden() } else { progress_bar_for_people() };
        bar.set_length(u64::try_from(teams).unwrap_or_default());
        bar
    }

    /// The repositories of an owner.
    pub(crate) async fn repositories(&self, owner: &Login) -> Result<ListedRepositories, Failure> {
        let listed = match self.session(Some(owner.as_str())).repositories_of(owner.as_str()).await {
            Ok(listed) => listed,
            Err(GitHubError::NotFound) => {
                return Err(Failure::Input(format!(
                    "there is no account `{owner}` at GitHub\n  help: check the spelling of --org"
                )));
            }
            Err(error) => {
                let what = format!("the repositories of {owner} cannot be listed");
                return Err(Failure::Other(anyhow::Error::from(error).context(what)));
            }
        };
        let (archived, active): (Vec<_>, Vec<_>) = listed.repositories.into_iter().partition(|one| one.is_archived);
        let active: Vec<RepoName> = active.into_iter().map(|one| one.name).collect();
        if active.is_empty() {
            let archived = if archived.is_empty() { "" } else { " that are not archived" };
            return Err(Failure::Other(anyhow!(
                "the token sees no repositories of {owner}{archived}\n  help: choose them as the token's repositories at GitHub, or \
                 name them with --repository"
            )));
        }
        Ok(ListedRepositories { active, archived: archived.len(), incomplete: listed.incomplete })
    }
}

impl Lister {
    /// Refuses repositories that the token cannot read, because one of them keeps every week incomplete, and patterns that match
    /// none.
    pub(crate) async fn check_repositories(&self, named: &[RepoEntry]) -> Result<(), Failure> {
        let mut refused = Vec::new();
        for entry in named {
            match entry {
                RepoEntry::Name(name) => {
                    if let Err(error) = self.is_readable(name).await {
                        match error {
                            GitHubError::NotFound | GitHubError::Forbidden { .. } | GitHubError::Gone { .. } => {
                                refused.push(format!("{name} cannot be read: {error}"));
                            }
                            other => return Err(other.into()),
                        }
                    }
                }
                RepoEntry::Pattern(pattern) => {
                    let listed = self.repositories(&Login::from_github(pattern.owner())).await?;
                    if !listed.active.iter().any(|name| pattern.matches(name)) {
                        refused.push(format!("{pattern} matches none of the active repositories that the token sees"));
                    }
                }
                RepoEntry::Exclusion(_) => {}
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        Err(Failure::Input(format!(
            "{}\n  help: check the spelling, and choose them among the token's repositories at GitHub; or leave out their --repository",
            refused.join("\n")
        )))
    }

    /// Looks a repository up, and reads its newest pull request, as a collection does.
    async fn is_readable(&self, name: &RepoName) -> Result<(), GitHubError> {
        let session = self.session(Some(name.owner()));
        let found = session.repository(RepositoryKey::Name(name)).await?;
        session.by_update(&found.identity.name, 1, None).next().await.map(drop)
    }
}

/// A progress bar on a terminal; hidden elsewhere.
fn progress_bar_for_people() -> ProgressBar {
    let bar = progress_bar(&Options { json: false, data_dir: None });
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} teams, {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// The only one; `None` if there are none or several.
pub(crate) fn only<T>(all: impl IntoIterator<Item = T>) -> Option<T> {
    let mut all = all.into_iter();
    all.next().filter(|_| all.next().is_none())
}

fn cannot_list(owner: &Login) -> String {
    format!("the teams of {owner} cannot be listed")
}

/// The token's account is not a member, or the token lacks the permission: GitHub answers both 403 and 404.
fn may_not_list(owner: &Login, error: &GitHubError) -> Failure {
    let status = if *error == GitHubError::NotFound { 404 } else { 403 };
    let help = format!(
        "{HELP_WITH_TEAMS}. Without it, write the teams yourself (`mergeline teams example`), or import them from a table (`mergeline teams import`)"
    );
    Failure::Other(anyhow!("GitHub does not list the teams of {owner} to this token ({status})\n  help: {help}"))
}

/// The error for several owners, of which the flags name none.
pub(crate) fn several_owners(owners: &BTreeMap<String, usize>) -> Failure {
    let help = if owners.is_empty() {
        "name the organization with --org".to_owned()
    } else {
        format!("name one with --org; the token sees repositories of {}", shown(owners.keys()))
    };
    Failure::Input(format!("it is not known whose teams are meant\n  help: {help}"))
}

/// Names in a sentence, of which many are only counted.
pub(crate) fn shown<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let more = names.len().saturating_sub(SHOWN_NAMES);
    let listed = names[..names.len() - more].join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}

/// Keeps the teams that the flags choose.
pub(crate) fn select(leaves: &mut LeafTeams, selection: &TeamSelection) -> Result<(), Failure> {
    let TeamSelection { teams, skipped } = selection;
    for name in teams.iter().chain(skipped) {
        // Those are left out anyway.
        let is_left_out = leaves.parents.contains_key(name) || leaves.empty.contains(name);
        if leaves.teams.iter().any(|team| team.is_called(name)) || is_left_out && skipped.contains(name) {
            continue;
        }
        let listed = shown(leaves.teams.iter().map(|team| &team.listed_as));
        return Err(Failure::Input(match leaves.parents.get(name) {
            Some(children) => format!(
                "`{name}` contains other teams, and people count for those\n  help: name them instead: {}",
                shown(children)
            ),
            None => format!(
                "there is no team `{name}` with people at GitHub that the token may see\n  help: the teams are: {listed}"
            ),
        }));
    }
    leaves.teams.retain(|team| {
        let is_called = |name: &String| team.is_called(name);
        (teams.is_empty() || teams.iter().any(is_called)) && !skipped.iter().any(is_called)
    });
    leaves.empty.retain(|name| teams.is_empty() && !skipped.contains(name));
    if leaves.teams.is_empty() {
        return Err(Failure::Input("every team is left out\n  help: give fewer --skip-team".to_owned()));
    }
    Ok(())
}

/// The entries of `repositories`: what the flags name, where exclusions alone narrow everything of the owner.
pub(crate) fn entries(args: &FromGitHub, owner: &Login) -> Vec<RepoEntry> {
    let named = &args.repositories;
    let all = || format!("{owner}/*").parse().ok();
    let needs_all = named.iter().all(|entry| matches!(entry, RepoEntry::Exclusion(_)));
    needs_all.then(all).flatten().into_iter().chain(named.iter().cloned()).collect()
}

/// The time zone of the machine, else UTC.
pub(crate) fn local_zone() -> Tz {
    let of_link = || {
        let link = std::fs::read_link("/etc/localtime").ok()?;
        link.to_str()?.split_once("zoneinfo/").map(|(_, name)| name.to_owned())
    };
    let zone = variable("TZ").and_then(|name| parse_zone(name.trim_start_matches(':')));
    let zone = zone.or_else(|| parse_zone(&of_link()?));
    // The same under its usual name.
    zone.filter(|zone| !zone.name().ends_with("UTC")).unwrap_or(Tz::UTC)
}

/// The first day of what is now, in a zone.
pub(crate) fn today(now: DateTime<Utc>, zone: Tz) -> NaiveDate {
    now.with_timezone(&zone).date_naive()
}

/// The draft's text, which is a valid teams file.
pub(crate) fn checked(draft: &TeamsDraft) -> Result<String, Failure> {
    let yaml = draft.to_yaml();
    TeamsFile::parse("the draft", yaml.as_bytes())?;
    Ok(yaml)
}

/// How much a draft has: `3 teams, 12 people`.
pub(crate) fn tally(draft: &TeamsDraft) -> (usize, usize, String) {
    let people: BTreeSet<&Login> =
        draft.teams.iter().flat_map(|team| &team.members).map(|member| &member.login).collect();
    let (teams, people) = (draft.teams.len(), people.len());
    let people_text = if people == 1 { "1 person".to_owned() } else { format!("{people} people") };
    (teams, people, format!("{}, {people_text}", count_of(teams, "team")))
}
