//! `mergeline access …`

use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_domain::{Identity, Refusal, Role, TeamSlug, domain_of};

use crate::args::{Access, ExplainAccess, Options};
use crate::collecting::teams_source;
use crate::failure::Failure;
use crate::terminal;

pub(crate) fn run(command: &Access, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let Access::Explain(args) = command;
    let file = teams_source(args.teams.file.as_ref())?.load_required()?;
    let person = identity(args, now);
    let decided = file.access.decide(&person);
    let line = match decided {
        Ok(grant) => Some(grant.line),
        Err(Refusal::Denied { line } | Refusal::LoginTooOld { line }) => Some(line),
        Err(Refusal::NoLine) => None,
    };
    let written = line.and_then(|line| file.access.iter().nth(line - 1)).map(ToString::to_string);
    let mut out = terminal::stdout();
    if options.json {
        let role = decided.ok().map(|grant| <&str>::from(grant.role));
        let teams = decided.ok().map(|grant| grant.teams).filter(|teams| !teams.is_empty());
        writeln!(out, "{}", serde_json::json!({ "line": line, "text": written, "role": role, "teams": teams }))?;
        return Ok(ExitCode::SUCCESS);
    }
    match (line, written) {
        (Some(line), Some(written)) => writeln!(out, "Line {line} of `access` decides: {written}")?,
        _ if file.access.is_empty() => writeln!(out, "The teams file has no `access`.")?,
        _ => writeln!(out, "No line of `access` is about this person.")?,
    }
    match decided {
        Ok(grant) => writeln!(out, "They see {}.", seen(grant.role, grant.teams))?,
        Err(Refusal::LoginTooOld { .. }) => writeln!(out, "They see nothing until they log in again.")?,
        Err(Refusal::NoLine | Refusal::Denied { .. }) => writeln!(out, "They see nothing.")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The person that the arguments describe.
fn identity(args: &ExplainAccess, now: DateTime<Utc>) -> Identity {
    let email = args.email.as_ref().map(|address| address.trim().to_lowercase());
    let of_address = email.as_deref().and_then(domain_of).map(str::to_owned);
    Identity {
        subject: args.subject.clone().unwrap_or_default(),
        domain: args
            .domain
            .as_ref()
            .map(|domain| domain.trim().to_lowercase())
            .or(of_address.filter(|_| !args.unverified)),
        email: email.clone().filter(|_| !args.unverified),
        claimed_email: email.filter(|_| args.unverified),
        groups: args.groups.iter().cloned().collect(),
        logged_in_at: args.logged_in_at.unwrap_or(now),
    }
}

fn seen(role: Role, teams: &[TeamSlug]) -> String {
    let teams: Vec<&str> = teams.iter().map(TeamSlug::as_str).collect();
    let teams = if teams.is_empty() { "all teams".to_owned() } else { teams.join(", ") };
    match role {
        Role::Viewer => format!("the numbers of {teams}"),
        Role::Lead | Role::Manager => format!("the numbers and pull requests of {teams}"),
        Role::Admin => format!("the numbers and pull requests of {teams}, and the collection"),
    }
}
