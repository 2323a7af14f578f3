//! `mergeline quarantine accept`: treats weeks as complete without an unreadable pull request.

use std::io::{self, Write};
use std::process::ExitCode;

use chrono::{DateTime, Utc};

use crate::args::{Options, Quarantine};
use crate::database::collected;
use crate::failure::Failure;

pub(crate) async fn run(command: &Quarantine, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let Quarantine::Accept { pull_request: name } = command;
    let is_accepted = match collected(options).await? {
        Some((_database, store)) => {
            let is_accepted = store.accept_quarantined(&name.repository, name.key, now).await?;
            store.close().await;
            is_accepted
        }
        None => false,
    };
    if !is_accepted {
        return Err(Failure::Input(format!("{name} is not in quarantine: `mergeline status` shows what is")));
    }
    if options.json {
        writeln!(io::stdout(), "{}", serde_json::json!({ "accepted": name.to_string() }))?;
    } else {
        writeln!(
            io::stdout(),
            "{name} is accepted: weeks are complete without it, and answers say that it is missing."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
