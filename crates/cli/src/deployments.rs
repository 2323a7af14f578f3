//! `mergeline deployments derive`: derives again what deployments delivered.

use std::io::Write;
use std::process::ExitCode;

use crate::args::{Deployments, Options};
use crate::database::collected;
use crate::failure::Failure;
use crate::status::NOTHING;
use crate::terminal;

pub(crate) async fn run(command: &Deployments, options: &Options) -> Result<ExitCode, Failure> {
    let Deployments::Derive { check } = command;
    let mut out = terminal::stdout();
    let Some((_database, store)) = collected(options).await? else {
        writeln!(out, "{NOTHING}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let found = store.derive_all(!check).await?;
    store.close().await;
    if options.json {
        let found = serde_json::json!({ "services": found.services, "rows": found.rows, "written": !check });
        writeln!(out, "{found}")?;
    } else {
        let rows = found.rows;
        let what = match (rows, check) {
            (0, _) => "everything agrees".to_owned(),
            (_, true) => format!("{rows} rows differ: `mergeline deployments derive` repairs them"),
            (_, false) => format!("{rows} rows differed and are repaired"),
        };
        writeln!(out, "Services with deployments: {}; {what}.", found.services)?;
    }
    Ok(if found.rows > 0 && *check { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
