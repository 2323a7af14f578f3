//! `mergeline teams …`

use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_domain::count_of;
use mergeline_domain::teams_file::{self, TeamsFile};
use mergeline_store::{Applied, ApplyOptions, PULL_REQUESTS_AT_ONCE};

use crate::args::{Options, Teams};
use crate::collecting::teams_source;
use crate::database::Database;
use crate::failure::Failure;
use crate::{team_proposals, terminal};

/// A teams file to start from.
const EXAMPLE: &str = "\
# yaml-language-server: $schema=https://raw.githubusercontent.com/mergeline/mergeline/main/docs/teams.schema.json
version: 1
timezone: Europe/Oslo            # for the start of days and weeks
repositories: [acme/api, acme/web]
teams:
  - slug: payments               # keep it: it identifies the team's history
    name: Payments
    members:
      - { github: alice }        # from the start, all of her work
      - { github: bob, weight: 0.5, from: 2026-01-01, to: 2026-07-01 }   # `to` is the first day after it
  - slug: platform
    name: Platform
    members:
      - { github: bob, weight: 0.5, from: 2026-01-01, to: 2026-07-01 }
      - { github: bob, from: 2026-07-01 }
# What is deployed as one, if that is not each repository by itself:
# services:
#   - { slug: shop, repositories: [acme/api, acme/web], owners: [{ team: payments }] }
# Which issues are incidents:
# incidents: { issues: { labels: [incident] } }
";

pub(crate) async fn run(command: &Teams, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let mut out = terminal::stdout();
    match command {
        Teams::Schema => writeln!(out, "{:#}", teams_file::json_schema())?,
        Teams::Example => write!(out, "{EXAMPLE}")?,
        Teams::Draft(args) => return Box::pin(team_proposals::draft(args, options, now)).await,
        Teams::Drift(args) => return Box::pin(team_proposals::drift(args, options, now)).await,
        Teams::Import(args) => return team_proposals::import(args, options, now),
        Teams::Validate(args) => {
            let file = teams_source(args.file.as_ref())?.load_required()?;
            let members: usize = file.teams.iter().map(|team| team.members.len()).sum();
            let (teams, repositories, services) =
                (file.teams.len(), file.repositories.len(), file.delivery.services.len());
            if options.json {
                let summary = serde_json::json!({
                    "valid": true, "teams": teams, "memberships": members, "repositories": repositories, "services": services
                });
                writeln!(out, "{summary}")?;
            } else {
                let (teams, members) = (count_of(teams, "team"), count_of(members, "membership"));
                let services = if services == 0 { String::new() } else { format!("; services: {services}") };
                writeln!(out, "Valid: {teams}, {members}; repositories: {repositories}{services}.")?;
            }
        }
        Teams::Plan(args) => {
            let file = teams_source(args.file.as_ref())?.load_required()?;
            let applied = apply(
                &file,
                ApplyOptions { dry_run: true, allow_removals: true, ..ApplyOptions::default() },
                options,
                now,
            )
            .await?;
            print(&applied, options)?;
            if applied.plan.removes_too_much() && !options.json {
                writeln!(
                    out,
                    "! this removes a large part of the memberships: apply it with --allow-removals if that is intended"
                )?;
            }
        }
        Teams::Apply(args) => {
            let file = teams_source(args.teams.file.as_ref())?.load_required()?;
            let allow_removals =
                args.allow_removals || std::env::var("ALLOW_REMOVALS").is_ok_and(|text| text == "true");
            let applied =
                apply(&file, ApplyOptions { allow_removals, ..ApplyOptions::default() }, options, now).await?;
            print(&applied, options)?;
            if !applied.plan.is_empty() && !options.json {
                writeln!(out, "Applied.")?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn apply(file: &TeamsFile, how: ApplyOptions, options: &Options, now: DateTime<Utc>) -> Result<Applied, Failure> {
    let database = Database::open(options).await?;
    let store = database.store()?;
    store.migrate().await?;
    let mut applied = store.apply(file, how, now).await?;
    // Also finishes what an earlier, interrupted one left to do.
    let mut is_finished = how.dry_run;
    while !is_finished {
        let step = store.reattribute(PULL_REQUESTS_AT_ONCE).await?;
        applied.note(step);
        is_finished = step.is_finished();
    }
    Ok(applied)
}

fn print(applied: &Applied, options: &Options) -> Result<(), Failure> {
    let mut out = terminal::stdout();
    if options.json {
        writeln!(out, "{}", serde_json::to_string(applied)?)?;
    } else {
        write!(out, "{applied}")?;
    }
    Ok(())
}
