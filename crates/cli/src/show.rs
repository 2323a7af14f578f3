//! `mergeline show`: the stored numbers as tables.

use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_domain::TeamSlug;
use mergeline_store::{Store, Team};

use crate::answers::Answers;
use crate::args::{Options, Show};
use crate::database::collected;
use crate::failure::Failure;
use crate::status::NOTHING;
use crate::tables;
use crate::terminal;

/// `mergeline show`
pub(crate) async fn run(args: &Show, options: &Options, clock: fn() -> DateTime<Utc>) -> Result<ExitCode, Failure> {
    let mut out = terminal::stdout();
    let Some((_database, store)) = collected(options).await? else {
        if options.json {
            writeln!(out, "{}", serde_json::json!({ "teams": [] }))?;
        } else {
            writeln!(out, "{NOTHING}")?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let team = match &args.team {
        Some(name) => Some(find(store.teams(clock()).await?, name)?),
        None => None,
    };
    let query = format!("last={}", args.last);
    let answers = Answers::new(&store, clock);
    let text = match team {
        _ if options.json => {
            let teams = match team {
                Some(team) => vec![team],
                None => current(&store, clock()).await?,
            };
            answers.as_json(&teams, &query).await?.to_string()
        }
        Some(team) => tables::one_team(&answers.velocity(&team, &query).await?, clock()),
        None => all_teams(&store, &query, clock).await?,
    };
    store.close().await;
    writeln!(out, "{text}")?;
    Ok(ExitCode::SUCCESS)
}

/// The tables of all teams that are in the configuration.
pub(crate) async fn all_teams(store: &Store, query: &str, clock: fn() -> DateTime<Utc>) -> Result<String, Failure> {
    let api = Answers::new(store, clock);
    let mut answers = Vec::new();
    for team in current(store, clock()).await? {
        answers.push(api.velocity(&team, query).await?);
    }
    Ok(tables::all_teams(&answers, clock()))
}

/// The teams that are in the configuration, by slug.
pub(crate) async fn current(store: &Store, now: DateTime<Utc>) -> Result<Vec<TeamSlug>, Failure> {
    let teams = store.teams(now).await?.into_iter();
    Ok(teams.filter(|team| team.archived_at.is_none()).map(|team| team.slug).collect())
}

/// The team of a slug or a number.
fn find(teams: Vec<Team>, name: &str) -> Result<TeamSlug, Failure> {
    let known: Vec<String> = teams.iter().map(|team| team.slug.to_string()).collect();
    let is_meant = |team: &Team| team.slug.as_str() == name || team.id.0.to_string() == name;
    teams.into_iter().find(is_meant).map(|team| team.slug).ok_or_else(|| {
        let teams = match known.join(", ") {
            known if known.is_empty() => "no team is configured".to_owned(),
            known => format!("the teams are: {known}"),
        };
        Failure::Input(format!("there is no team `{name}`; {teams}"))
    })
}
