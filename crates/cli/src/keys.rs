//! `mergeline keys`

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use mergeline_api::NewKey;

use crate::args::{CreateKey, Keys, Options};
use crate::failure::Failure;
use crate::terminal;

/// `mergeline keys …`
pub(crate) fn run(command: &Keys, options: &Options) -> Result<ExitCode, Failure> {
    let Keys::Create(args) = command;
    let made = create(args)?;
    let mut out = terminal::stdout();
    if options.json {
        writeln!(out, "{}", serde_json::to_string(&made)?)?;
    } else {
        let NewKey { key, entry } = &made;
        let entry = serde_json::to_string(entry)?;
        writeln!(out, "The key, shown only this once. Send it in the x-api-key header:\n\n{key}\n")?;
        writeln!(out, "Its entry for the list in API_KEYS ([entry, entry, …]), which contains no secret:\n\n{entry}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn create(args: &CreateKey) -> Result<NewKey, Failure> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("the system provides no random bytes for a key")?;
    let made = NewKey::from_random(random, args.name.clone(), args.scopes.iter().copied(), args.teams.iter().cloned());
    Ok(made.for_posting(args.services.iter().cloned(), args.source.clone()))
}
