//! `mergeline doctor`: runs all checks, one line each, and continues after failures.

mod channels;
mod database;
mod findings;
mod github;
mod login;
mod settings;
#[cfg(feature = "aws")]
mod stack;

use std::collections::BTreeMap;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_domain::plan::{Current, Plan};
use mergeline_domain::teams_file::{MemberEntry, TeamsFile};
use mergeline_domain::{ExternalId, Forge, Login, RepoName, RepoRules, count_of};

use crate::args::{Doctor, Options};
use crate::collecting::teams_source;
use crate::failure::Failure;
use findings::{Check, Findings};

/// The configuration from the teams file, else from the database.
#[derive(Debug, Default)]
struct Configured {
    repositories: Vec<RepoName>,
    rules: RepoRules,
    includes_archived: bool,
    logins: BTreeMap<Login, Option<ExternalId>>,
    /// Repositories without a deployment to production, as far as the database knows.
    without_deployments: Vec<RepoName>,
}

pub(crate) async fn run(args: &Doctor, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let mut findings = Findings::new(options.json);
    if let Some(name) = &args.stack {
        #[cfg(feature = "aws")]
        return of_stack(name, findings).await;
        #[cfg(not(feature = "aws"))]
        return Err(Failure::Input(format!("--stack {name}: {}", crate::WITHOUT_AWS)));
    }
    let settings = settings::check(args.teams.is_some(), &mut findings)?;
    let teams = match teams_source(args.teams.as_ref()) {
        Ok(source) => source.load().map_err(Some),
        // Reported with the settings.
        Err(_) => Err(None),
    };
    match &teams {
        Ok(Some(file)) => findings.add(teams_file(file))?,
        Ok(None) | Err(None) => {}
        Err(Some(problems)) => settings::report("teams file", problems, &mut findings)?,
    }
    let file = teams.as_ref().ok().and_then(Option::as_ref);
    if let Some(file) = file.filter(|file| !file.channels.is_empty()) {
        channels::check(file, &mut findings)?;
    }
    if let Some(login) = settings.login {
        login::check(login, file, args.offline, now, &mut findings).await?;
    }
    if let Some(tokens) = settings.tokens {
        login::check_tokens(tokens, file, args.offline, now, &mut findings).await?;
    }
    let mut database = database::check(options, file, settings.details, &mut findings, now).await?;
    if let (None, Some(file)) = (&database.configured, file) {
        // The database knows nothing yet, so use the file alone.
        database.doubts = Plan::between(&Current::default(), file, now).map(|plan| plan.doubts).unwrap_or_default();
    }
    let without_deployments = std::mem::take(&mut database.without_deployments);
    let mut configured = match (teams, database.configured) {
        (Ok(Some(file)), _) => Configured::by(&file),
        (Ok(None), Some(in_force)) => {
            findings.add(Check::ok("teams file", "there is none: the last applied one is in effect"))?;
            in_force
        }
        (Ok(None), None) => {
            let help = "write one (`mergeline init` makes it of GitHub's teams), or set TEAMS_FILE";
            findings.add(Check::error("teams file", "there is none, and none was applied before", help))?;
            Configured::default()
        }
        (Err(_), in_force) => in_force.unwrap_or_default(),
    };
    configured.without_deployments = without_deployments;
    let github = settings.github.filter(|_| !args.offline);
    let checks = github.map(|github| github::Checks::new(&github, settings.details, now));
    let numbers = match checks {
        Some(Ok(checks)) => {
            let store = database.opened.as_ref().map(|(_, store)| store);
            checks.check_within_known_limits(store, &configured, &database.known, &mut findings).await?
        }
        not_asked => {
            if let Some(Err(error)) = not_asked {
                findings.add(Check::error("GitHub", error.to_string(), error.help()))?;
            }
            github::check_known(&configured, &database.known, &mut findings)?;
            BTreeMap::new()
        }
    };
    for mut doubt in database.doubts {
        doubt.learn(|login| numbers.get(login).cloned());
        findings.add(Check::warning(format!("login {}", doubt.login()), doubt.message(), doubt.remedy()))?;
    }
    if let Some((_, store)) = &database.opened {
        // A private server logs connections that are still open when it stops.
        store.close().await;
    }
    findings.finish()
}

#[cfg(feature = "aws")]
async fn of_stack(name: &str, mut findings: Findings) -> Result<ExitCode, Failure> {
    Box::pin(stack::check(name, &mut findings)).await?;
    findings.finish()
}

impl Configured {
    fn by(file: &TeamsFile) -> Self {
        let mut logins: BTreeMap<Login, Option<ExternalId>> = BTreeMap::new();
        let at_github = |member: &&MemberEntry| member.login.forge() == Forge::GitHub;
        for member in file.teams.iter().flat_map(|team| &team.members).filter(at_github) {
            let id = logins.entry(member.login.clone()).or_default();
            *id = id.take().or_else(|| member.external_id.clone());
        }
        Self {
            repositories: file.repositories.clone(),
            rules: file.rules.clone(),
            includes_archived: file.include_archived,
            logins,
            without_deployments: Vec::new(),
        }
    }
}

fn teams_file(file: &TeamsFile) -> Check {
    let members: usize = file.teams.iter().map(|team| team.members.len()).sum();
    let (teams, members) = (count_of(file.teams.len(), "team"), count_of(members, "membership"));
    let (repositories, patterns) = (file.repositories.len(), file.rules.patterns().count());
    Check::ok("teams file", format!("{teams}, {members}; repositories: {repositories}, patterns: {patterns}"))
}
