//! Checks of GitHub: the token, the rate limits, the clock, and the configured repositories and logins.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_collector::within_known_limits;
use mergeline_domain::{ExternalId, InstanceId, Login, RepoName, RepoPattern};
use mergeline_github::{GitHub, GitHubError, GitHubSession, GitHubSettings, RateLimit, TokenReport};
use mergeline_source::{ListedRepository, Page, PageAnswer, RepositoryKey, WaitBudget};
use mergeline_store::{ConfiguredLogin, Writer};

use super::Configured;
use super::findings::{Check, Findings};
use crate::failure::Failure;
use crate::tables::ago;

/// Enough time to create and deploy a new token.
const EXPIRES_SOON: TimeDelta = TimeDelta::days(14);
/// More than the time a response takes.
const MAX_SKEW_SECONDS: i64 = 60;
/// The default of `GITHUB_RESERVE_PERCENT`: the share of a rate limit that is left to others.
const RESERVE_PERCENT: u64 = 10;
/// Short, because a user is waiting.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A client for the checks, and when they started.
pub(super) struct Checks {
    github: GitHub,
    has_details: bool,
    now: DateTime<Utc>,
}

/// Account numbers by current login.
pub(super) type Numbers = BTreeMap<Login, ExternalId>;

/// An error that makes further requests pointless.
struct Abandoned(GitHubError);

impl Checks {
    pub(super) fn new(settings: &GitHubSettings, has_details: bool, now: DateTime<Utc>) -> Result<Self, GitHubError> {
        Ok(Self { github: GitHub::connect(settings)?, has_details, now })
    }

    fn session(&self, owner: Option<&str>) -> GitHubSession {
        self.github.session(owner, WaitBudget { deadline: None, longest_wait: LONGEST_WAIT }, self.now)
    }

    /// Runs the checks within the rate limits that other commands found, and shares new ones with them.
    pub(super) async fn check_within_known_limits(
        &self,
        store: Option<&Writer>,
        configured: &Configured,
        known: &[ConfiguredLogin],
        findings: &mut Findings,
    ) -> Result<Numbers, Failure> {
        // Boxed: it is a large future.
        let checking = Box::pin(self.check(configured, known, findings));
        match store {
            Some(store) => within_known_limits(&self.github, InstanceId::GITHUB, store, self.now, checking).await?,
            None => checking.await,
        }
    }

    /// Checks everything at GitHub, one request at a time. An error that stops the checks of one owner does not stop
    /// those of other owners. Returns the account numbers.
    async fn check(
        &self,
        configured: &Configured,
        known: &[ConfiguredLogin],
        findings: &mut Findings,
    ) -> Result<Numbers, Failure> {
        let mut stops = Stops::default();
        self.tokens(configured, &mut stops, findings).await?;
        for repository in &configured.repositories {
            if stops.is_stopped(repository.owner()) {
                continue;
            }
            match self.repository(repository, |name| configured.repositories.contains(name)).await {
                Ok(check) => findings.add(check)?,
                Err(stop) => self.stop(Some(repository.owner()), stop, &mut stops, findings)?,
            }
        }
        self.deployment_sources(&configured.without_deployments, &mut stops, findings).await?;
        self.patterns(configured, &mut stops, findings).await?;
        self.logins(configured, known, &mut stops, findings).await
    }

    /// Looks at repositories without deployments for what may be their source, and says what to write into the teams file.
    async fn deployment_sources(
        &self,
        repositories: &[RepoName],
        stops: &mut Stops,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        /// Each costs three requests, and a few show what is usual.
        const LOOKED_AT: usize = 5;
        for repository in repositories.iter().filter(|it| !stops.is_stopped(it.owner())).take(LOOKED_AT) {
            let session = self.session(Some(repository.owner()));
            let found = async {
                let has_token = session.has_token().await?;
                let since = self.now - TimeDelta::days(365);
                // Without a token, GraphQL is not asked.
                let releases = if has_token {
                    if_permitted(session.releases(repository, since, false).await)?
                } else {
                    Some(Vec::new())
                };
                Ok::<_, GitHubError>(Seen {
                    lists_deployments: if_permitted(session.deployments(repository, None).next().await)?.is_some(),
                    workflows: if_permitted(session.workflow_files(repository).await)?,
                    releases: releases.map(|releases| releases.len()),
                })
            };
            match found.await {
                Ok(seen) => findings.add(possible_sources(repository, &seen))?,
                // Its own check says how much is left.
                Err(GitHubError::RateLimited { .. }) => return Ok(()),
                Err(error) => {
                    findings.add(Check::warning("deployments", format!("{repository}: {error}"), error.help()))?;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Checks the token of each owner: an App has one per owner, a personal token is the same for all.
    async fn tokens(&self, configured: &Configured, stops: &mut Stops, findings: &mut Findings) -> Result<(), Failure> {
        let repositories = configured.repositories.iter().map(RepoName::owner);
        let mut owners: Vec<&str> = Vec::new();
        for owner in repositories.chain(configured.rules.patterns().map(RepoPattern::owner)) {
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
        if !self.github.has_app() || owners.is_empty() {
            return self.token(owners.first().copied(), None, stops, findings).await;
        }
        let (several, mut is_app_refused) = (owners.len() > 1, false);
        for owner in owners {
            if stops.is_stopped(owner) {
                break;
            }
            let about = several.then_some(owner);
            // The App itself is refused for every owner: report it once.
            if is_app_refused {
                return self.token(None, None, stops, findings).await;
            }
            if let Err(error) = self.session(Some(owner)).check_app().await
                && error.is_app_refused()
                && self.session(Some(owner)).has_token().await.unwrap_or_default()
            {
                is_app_refused = error.is_token_refused();
                let message = format!("{error}; the personal token is used");
                let about = about.filter(|_| !is_app_refused);
                findings.add(Check::warning(named("GitHub App", about), message, error.help()))?;
            }
            self.token(Some(owner), about, stops, findings).await?;
        }
        Ok(())
    }

    /// Records what is no longer checked, and reports it.
    fn stop(
        &self,
        owner: Option<&str>,
        Abandoned(error): Abandoned,
        stops: &mut Stops,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let owner = owner.filter(|_| stops_owner_only(&error, self.github.has_app()));
        let message = format!("some checks were skipped: {error}");
        findings.add(Check::error(named("GitHub", owner), message, error.help()))?;
        stops.add(owner);
        Ok(())
    }

    async fn logins(
        &self,
        configured: &Configured,
        known: &[ConfiguredLogin],
        stops: &mut Stops,
        findings: &mut Findings,
    ) -> Result<Numbers, Failure> {
        let (mut numbers, mut others) = (Numbers::new(), Vec::new());
        if stops.everything {
            check_known(configured, known, findings)?;
            return Ok(numbers);
        }
        for (login, id) in &configured.logins {
            let of_login = known.iter().find(|one| one.login == login.as_str());
            if let Some(of_login) = of_login.filter(|one| names_both(configured, known, one)) {
                findings
                    .add(Check::ok(format!("login {login}"), format!("is a former login of {}", of_login.seen_as)))?;
                continue;
            }
            let found = match self.session(None).account_id(login.as_str()).await.map_err(stopped) {
                Err(Ok(stop)) => {
                    self.stop(None, stop, stops, findings)?;
                    break;
                }
                Err(Err(error)) => {
                    findings.add(Check::error(format!("login {login}"), error.to_string(), error.help()))?;
                    continue;
                }
                Ok(found) => found,
            };
            numbers.extend(found.clone().map(|number| (login.clone(), number)));
            let meant = id.clone().or_else(|| of_login?.external_id.clone());
            let is_meant = found.as_ref().is_some_and(|found| meant.as_ref().is_none_or(|meant| meant == found));
            if !is_meant && self.has_another_login(configured, login, id.as_ref()).await {
                let message = "is a former login: another login in the file has its number now";
                findings.add(Check::ok(format!("login {login}"), message))?;
                continue;
            }
            match (found, meant) {
                (Some(found), Some(meant)) if found != meant => others.push((login, found, meant, of_login)),
                (found, meant) => findings.add(account(login, found.as_ref(), meant.as_ref(), of_login))?,
            }
        }
        // Another login in the file may be the current login of the intended account.
        for (login, found, meant, known) in others {
            let now_called = numbers.iter().find(|(_, number)| **number == meant).map(|(login, _)| login.as_str());
            let seen_as = known.map(|known| known.seen_as.as_str()).filter(|seen_as| *seen_as != login.as_str());
            findings.add(another_account(login, &found, &meant, now_called.or(seen_as)))?;
        }
        Ok(numbers)
    }
}

/// What may report the deployments of a repository. `None` is what the token may not read.
struct Seen {
    lists_deployments: bool,
    workflows: Option<Vec<String>>,
    releases: Option<usize>,
}

/// What was read; `None` if the token may not: that looks like something that does not exist.
fn if_permitted<T>(read: Result<T, GitHubError>) -> Result<Option<T>, GitHubError> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(GitHubError::NotFound | GitHubError::Forbidden { .. } | GitHubError::InsufficientPermission) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What may report the deployments of a repository that has none at GitHub, and the lines that say so.
fn possible_sources(repository: &RepoName, seen: &Seen) -> Check {
    let Seen { lists_deployments, workflows, releases } = seen;
    let missing: Vec<&str> =
        [(!lists_deployments, "Deployments"), (workflows.is_none(), "Actions"), (releases.is_none(), "Contents")]
            .into_iter()
            .filter_map(|(is_missing, name)| is_missing.then_some(name))
            .collect();
    let is_deploying = |file: &&String| ["deploy", "release", "publish"].iter().any(|word| file.contains(word));
    let hidden = || "cannot be read".to_owned();
    let workflows = workflows.as_deref();
    let listed = workflows.map_or_else(hidden, |files| match files {
        [] => "none".to_owned(),
        files => files.join(", "),
    });
    let shows = if *lists_deployments { "has no deployment to production at GitHub" } else { "hides its deployments" };
    let message = format!(
        "{repository} {shows}; workflows: {listed}; releases in the last year: {}",
        releases.map_or_else(hidden, |releases| releases.to_string())
    );
    let permission = || format!("give the token the permission {}, read only", missing.join(" and "));
    let source = match workflows.unwrap_or_default().iter().find(is_deploying) {
        // It may have deployments that are hidden.
        _ if !lists_deployments => return Check::warning("deployments", message, permission()),
        Some(file) => format!("{{ workflow: {file} }}"),
        None if releases.is_some_and(|releases| releases > 0) => "{ source: github-releases }".to_owned(),
        None if !missing.is_empty() => return Check::warning("deployments", message, permission()),
        // It may be a library, or deployed by hand.
        None => return Check::ok("deployments", message),
    };
    let name = repository.name();
    let help = format!(
        "if that is how it is deployed, write into the teams file: `services: [{{ slug: {}, repositories: [{repository}], \
         deployments: {source} }}]`; for all repositories alike: `deployments: {source}`",
        name.replace(['.', '_'], "-").to_lowercase()
    );
    Check::warning("deployments", message, help)
}

/// What is no longer checked.
#[derive(Default)]
struct Stops {
    everything: bool,
    owners: BTreeSet<String>,
}

impl Stops {
    fn add(&mut self, owner: Option<&str>) {
        match owner {
            Some(owner) => drop(self.owners.insert(owner.to_owned())),
            None => self.everything = true,
        }
    }

    fn is_stopped(&self, owner: &str) -> bool {
        self.everything || self.owners.contains(owner)
    }
}

/// The name of a check, with its owner.
fn named(name: &str, owner: Option<&str>) -> String {
    owner.map_or_else(|| name.to_owned(), |owner| format!("{name} ({owner})"))
}

/// Checks logins with the database alone.
pub(super) fn check_known(
    configured: &Configured,
    known: &[ConfiguredLogin],
    findings: &mut Findings,
) -> Result<(), Failure> {
    for login in configured.logins.keys() {
        let of_login = known.iter().find(|one| one.login == login.as_str());
        if let Some(renamed) = of_login.filter(|one| !names_both(configured, known, one)).and_then(renamed) {
            findings.add(renamed)?;
        }
    }
    Ok(())
}

/// Whether the current login of a renamed account is also configured, and not for another account.
fn names_both(configured: &Configured, known: &[ConfiguredLogin], one: &ConfiguredLogin) -> bool {
    let present = known.iter().find(|other| other.login == one.seen_as).map(|other| &other.external_id);
    one.login != one.seen_as
        && present.is_none_or(|number| *number == one.external_id)
        && configured.logins.contains_key(&Login::from_github(&one.seen_as))
}

impl Checks {
    /// Checks the token and its rate limits; `about` is the owner to name in findings.
    async fn token(
        &self,
        owner: Option<&str>,
        about: Option<&str>,
        stops: &mut Stops,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let session = self.session(owner);
        let report = session.token_report().await;
        let skew = session.usage().clock_skew_seconds;
        match report {
            Err(error) => {
                findings.add(Check::error(named("GitHub", about), error.to_string(), error.help()))?;
                // If this fails, no other request with the same token is worth sending.
                stops.add(owner.filter(|_| stops_owner_only(&error, self.github.has_app())));
            }
            Ok(report) => {
                findings.add(credentials(&report, about, self.github.proxy()))?;
                if let Some(expires_at) = report.expires_at {
                    findings.add(expiry(expires_at, self.now))?;
                }
                for (name, limit) in [("rate limit", report.rest), ("GraphQL rate limit", report.graphql)] {
                    // 0 of 0: an Enterprise Server without rate limits, or GraphQL without a token.
                    if let Some(limit) = limit.filter(|limit| limit.limit > 0) {
                        findings.add(rate_limit(&named(name, about), limit, self.now))?;
                    }
                }
            }
        }
        if let Some(skew) = skew {
            findings.add(clock(skew))?;
        }
        Ok(())
    }
}

fn credentials(report: &TokenReport, about: Option<&str>, proxy: Option<&str>) -> Check {
    let way = proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
    let scopes = match report.scopes.as_deref().map(str::trim) {
        None => String::new(),
        Some("") => ", without scopes: public repositories only".to_owned(),
        Some(scopes) => format!(", scopes {scopes}"),
    };
    let limits = match report.rest {
        Some(_) => "",
        None => {
            "; it reports no rate limits, which is normal for some Enterprise Servers; if nothing is found, check GITHUB_API_URL"
        }
    };
    Check::ok(named("GitHub", about), format!("answers{way}; {}{scopes}{limits}", report.kind))
}

fn expiry(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> Check {
    let verb = if expires_at > now { "expires" } else { "expired" };
    let message = format!("{verb} {} ({})", ago(expires_at, now), expires_at.format("%Y-%m-%d"));
    if expires_at - now < EXPIRES_SOON {
        return Check::warning("token", message, "create a new one at GitHub, and set it in GITHUB_PAT");
    }
    Check::ok("token", message)
}

fn rate_limit(name: &str, limit: RateLimit, now: DateTime<Utc>) -> Check {
    let RateLimit { limit, remaining, resets_at } = limit;
    let message = format!("{remaining} of {limit} are left, resets {}", ago(resets_at, now));
    if u64::from(remaining) * 100 <= u64::from(limit) * RESERVE_PERCENT {
        return Check::warning(
            name,
            message,
            "wait, or use a token of another account or a GitHub App, which has its own limit",
        );
    }
    Check::ok(name, message)
}

fn clock(skew_seconds: i64) -> Check {
    let (seconds, direction) = (skew_seconds.abs(), if skew_seconds > 0 { "ahead of" } else { "behind" });
    if seconds > MAX_SKEW_SECONDS {
        let message = format!("this machine's clock is {seconds} s {direction} GitHub's");
        return Check::warning("clock", message, "set it with NTP (`timedatectl set-ntp true`)");
    }
    Check::ok("clock", "agrees with GitHub's")
}

impl Checks {
    async fn patterns(
        &self,
        configured: &Configured,
        stops: &mut Stops,
        findings: &mut Findings,
    ) -> Result<(), Failure> {
        let mut by_owner: BTreeMap<&str, Vec<&RepoPattern>> = BTreeMap::new();
        for pattern in configured.rules.patterns() {
            by_owner.entry(pattern.owner()).or_default().push(pattern);
        }
        for (owner, patterns) in by_owner {
            if stops.is_stopped(owner) {
                continue;
            }
            let listed = match self.session(Some(owner)).repositories_of(owner).await.map_err(stopped) {
                Ok(listed) => Ok(listed),
                Err(Ok(stop)) => {
                    self.stop(Some(owner), stop, stops, findings)?;
                    continue;
                }
                Err(Err(error)) => Err(error),
            };
            for pattern in patterns {
                let name = format!("pattern {pattern}");
                findings.add(match &listed {
                    Err(GitHubError::NotFound) => {
                        let message = format!("the token cannot see an owner {owner} (404)");
                        Check::error(name, message, "check the owner's spelling, and which owner the token is for")
                    }
                    Err(error) => Check::error(name, error.to_string(), error.help()),
                    Ok(listed) => {
                        let is_meant = |one: &&ListedRepository| {
                            pattern.matches(&one.name) && (configured.includes_archived || !one.is_archived)
                        };
                        let is_excluded = |one: &ListedRepository| configured.rules.exclude(&one.name);
                        let repositories = &listed.repositories;
                        let meant: Vec<_> = repositories.iter().filter(is_meant).collect();
                        let excluded = meant.iter().filter(|one| is_excluded(one)).count();
                        match meant.len() {
                            0 => {
                                let message = format!(
                                    "matches none of the repositories that the token may see ({})",
                                    repositories.len()
                                );
                                Check::error(name, message, "check the prefix, and what the token may see")
                            }
                            count if excluded == count => {
                                let message = match count {
                                    1 => "matches 1 repository, which is excluded".to_owned(),
                                    _ => format!("matches {count} repositories, all of which are excluded"),
                                };
                                Check::warning(name, message, "check the entries with `!` in the teams file")
                            }
                            count => {
                                let left_out = match excluded {
                                    0 => String::new(),
                                    1 => ", 1 more is excluded".to_owned(),
                                    _ => format!(", {excluded} more are excluded"),
                                };
                                let counted = count - excluded;
                                let found =
                                    format!("matches {counted} of {} repositories{left_out}", repositories.len());
                                match &listed.incomplete {
                                    None => Check::ok(name, found),
                                    Some(reason) => {
                                        let message = format!("{found}; others may be missing: {reason}");
                                        let help = format!(
                                            "use a token of {owner} with access to them, or install a GitHub App there"
                                        );
                                        Check::warning(name, message, help)
                                    }
                                }
                            }
                        }
                    }
                })?;
            }
        }
        Ok(())
    }
}

/// Separates errors that every further request would get too, at least for the same owner.
fn stopped(error: GitHubError) -> Result<Abandoned, GitHubError> {
    match error {
        GitHubError::RateLimited { .. } | GitHubError::Transport { .. } => Ok(Abandoned(error)),
        error if error.is_token_refused() || error.concerns_owner() => Ok(Abandoned(error)),
        other => Err(other),
    }
}

/// Whether an error affects only one owner: an App has a token and a rate limit per owner.
fn stops_owner_only(error: &GitHubError, has_app: bool) -> bool {
    match error {
        GitHubError::Transport { .. } | GitHubError::OutOfTime | GitHubError::AppRefused { .. } => false,
        error => has_app || error.concerns_owner(),
    }
}

impl Checks {
    /// Looks up a repository and reads one of its pull requests, as a collection does. If the repository was renamed,
    /// `is_named` says whether its new name is configured too.
    async fn repository(
        &self,
        repository: &RepoName,
        is_named: impl Fn(&RepoName) -> bool,
    ) -> Result<Check, Abandoned> {
        let name = format!("repository {repository}");
        let failed = |error: GitHubError| {
            stopped(error).map_or_else(|error| Ok(Check::error(&name, error.to_string(), error.help())), Err)
        };
        let session = self.session(Some(repository.owner()));
        let identity = match session.repository(RepositoryKey::Name(repository)).await {
            Ok(facts) => facts.identity,
            Err(error) => return failed(error),
        };
        let newest = session.by_update(&identity.name, 1, None).next().await;
        match newest {
            Err(error) => failed(error),
            Ok(_) if identity.name != *repository => {
                let message = format!("is called {} now", identity.name);
                let help = if is_named(&identity.name) {
                    format!(
                        "{} is in the teams file too: run `mergeline collect`, then `mergeline teams plan` shows which lines to merge",
                        identity.name
                    )
                } else {
                    format!("write {} into the teams file", identity.name)
                };
                Ok(Check::warning(&name, message, help))
            }
            Ok(Some(PageAnswer::Page(page))) if page.is_empty() => {
                Ok(Check::ok(&name, "has no pull requests that the token may see"))
            }
            Ok(Some(PageAnswer::Page(page))) => match self.history(&session, &page).await {
                Ok(()) => Ok(Check::ok(&name, "can be read")),
                Err(error) => stopped(error).map_or_else(
                    |error| {
                        let message = format!("can be read, except its reviews, commits and sizes: {error}");
                        Ok(Check::warning(&name, message, error.help()))
                    },
                    Err,
                ),
            },
            Ok(_) => Ok(Check::ok(&name, "can be read")),
        }
    }

    /// Reads the history of a page's first pull request, if histories are collected.
    async fn history(&self, session: &GitHubSession, page: &Page) -> Result<(), GitHubError> {
        let newest = page.pull_requests.first().and_then(|pull_request| pull_request.node_id.clone());
        let Some(id) = newest.filter(|_| self.has_details) else { return Ok(()) };
        if !session.has_token().await? {
            return Ok(());
        }
        session.histories(&[id]).await?.into_iter().try_for_each(|(_, history)| history.map(drop))
    }

    /// Whether the intended account now has another login in the file.
    async fn has_another_login(&self, configured: &Configured, login: &Login, meant: Option<&ExternalId>) -> bool {
        let is_another = |(other, number): &(&Login, &Option<ExternalId>)| {
            *other != login && meant.is_some() && number.as_ref() == meant
        };
        for (other, _) in configured.logins.iter().filter(is_another) {
            if self.session(None).account_id(other.as_str()).await.is_ok_and(|found| found.as_ref() == meant) {
                return true;
            }
        }
        false
    }
}

/// The error for a login that belongs to another account than intended. `present` is the intended account's login, if
/// known.
fn another_account(login: &Login, found: &ExternalId, meant: &ExternalId, present: Option<&str>) -> Check {
    let message = format!("now belongs to another account (number {found}); number {meant} is expected");
    let write = match present {
        Some(present) => format!("replace it with `{{ github: {present}, id: {meant} }}`"),
        None => format!("write the current login of number {meant} into the teams file, with `id: {meant}`"),
    };
    let help = format!("{write}; if you mean number {found}, write `{{ github: {login}, id: {found} }}`");
    Check::error(format!("login {login}"), message, help)
}

/// The result for a login that belongs to the intended account, or to none.
fn account(
    login: &Login,
    found: Option<&ExternalId>,
    meant: Option<&ExternalId>,
    known: Option<&ConfiguredLogin>,
) -> Check {
    let name = format!("login {login}");
    match (found, meant) {
        (Some(found), _) => Check::ok(name, format!("is number {found}")),
        (None, _) => known.and_then(renamed).unwrap_or_else(|| {
            let help = match meant {
                Some(meant) => format!("write the current login of number {meant} into the teams file"),
                None => "check the spelling; bots are written name[bot]; a renamed account needs the same `id` for \
                         its old and new login"
                    .to_owned(),
            };
            Check::error(name, "GitHub does not know this account", help)
        }),
    }
}

/// The warning for a person who was last seen with another login.
fn renamed(known: &ConfiguredLogin) -> Option<Check> {
    let ConfiguredLogin { login, external_id, seen_as } = known;
    if login == seen_as {
        return None;
    }
    let id = external_id.as_ref().map(|id| format!(", with id {id}")).unwrap_or_default();
    let help = format!("write {seen_as} into the teams file{id}; collected data stays with the account");
    Some(Check::warning(format!("login {login}"), format!("is now {seen_as}"), help))
}

#[cfg(test)]
mod tests {
    use super::super::findings::Outcome;
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).expect("in range")
    }

    #[test]
    fn a_token_expiring_within_two_weeks_is_a_warning() {
        assert_eq!(expiry(now() + TimeDelta::days(14), now()).outcome, Outcome::Ok);
        assert_eq!(expiry(now() + TimeDelta::days(13), now()).outcome, Outcome::Warning);
    }

    #[test]
    fn a_clock_one_minute_off_is_still_ok() {
        assert_eq!([-61, -60, 60, 61].map(|skew| clock(skew).outcome == Outcome::Ok), [false, true, true, false]);
        assert!(clock(-61).message.contains("61 s behind"), "{:?}", clock(-61));
    }

    #[test]
    fn a_limit_at_ten_percent_is_a_warning() {
        let left = |remaining| rate_limit("rate limit", RateLimit { limit: 5_000, remaining, resets_at: now() }, now());
        assert_eq!([500, 501].map(|remaining| left(remaining).outcome), [Outcome::Warning, Outcome::Ok]);
    }

    #[test]
    fn a_login_is_checked_against_the_intended_account() {
        let login = Login::from_github("ana");
        let seen = |external_id: Option<i64>, seen_as: &str| ConfiguredLogin {
            login: "ana".to_owned(),
            external_id: external_id.map(ExternalId::from),
            seen_as: seen_as.to_owned(),
        };
        let id = |number: Option<i64>| number.map(ExternalId::from);
        let judge = |found, meant, known: Option<&ConfiguredLogin>| {
            account(&login, id(found).as_ref(), id(meant).as_ref(), known)
        };
        assert_eq!(judge(Some(7), None, None).outcome, Outcome::Ok);
        assert_eq!(judge(Some(7), Some(7), Some(&seen(Some(7), "ana"))).outcome, Outcome::Ok);
        assert_eq!(judge(None, None, None).outcome, Outcome::Error);
        assert_eq!(judge(None, None, Some(&seen(Some(7), "ana-b"))).message, "is now ana-b");
        let another = another_account(&login, &8.into(), &7.into(), Some("ana-b"));
        assert_eq!((another.outcome, another.message.contains("number 8")), (Outcome::Error, true));
        let lines = ["`{ github: ana-b, id: 7 }`", "`{ github: ana, id: 8 }`"];
        assert!(
            another.remedy.as_ref().is_some_and(|help| lines.iter().all(|line| help.contains(line))),
            "{another:?}"
        );
    }
}
