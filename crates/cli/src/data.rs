//! `mergeline data`: show, dump, restore and remove the private PostgreSQL.

use std::io::{BufRead, Seek, Write};
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};

use anyhow::Context;
use mergeline_local_postgres::DataFolder;

use crate::args::{Data, Options};
use crate::database::{Database, private_folder};
use crate::environment::variable;
use crate::failure::Failure;
use crate::terminal;

/// `mergeline data …`
pub(crate) async fn run(command: &Data, options: &Options) -> Result<ExitCode, Failure> {
    let folder = DataFolder::new(&private_folder(options)?);
    match command {
        Data::Path => path(&folder, options)?,
        Data::Dump => return dump(&folder, options).await,
        Data::Restore { file } => return restore(&folder, file, options).await,
        Data::Remove { yes } => remove(&folder, *yes, options)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn path(folder: &DataFolder, options: &Options) -> Result<(), Failure> {
    let mut out = terminal::stdout();
    let (path, version) = (folder.path().display().to_string(), folder.version());
    if options.json {
        writeln!(out, "{}", serde_json::json!({ "path": path, "postgresql": version }))?;
    } else {
        writeln!(out, "{path}")?;
    }
    Ok(())
}

/// Fails if `DB_URL` is set: backups of an external database are up to its owner.
fn refuse_foreign(what: &str) -> Result<(), Failure> {
    if variable("DB_URL").is_none() {
        return Ok(());
    }
    Err(Failure::Input(format!(
        "DB_URL is set, but this command is for the private database\n  help: unset DB_URL, or use PostgreSQL's own \
         program: {what}"
    )))
}

async fn dump(folder: &DataFolder, options: &Options) -> Result<ExitCode, Failure> {
    refuse_foreign("`pg_dump --no-owner --no-privileges --enable-row-security \"$DB_URL\"`")?;
    if !folder.has_data()? {
        return Err(Failure::Input(format!("there is no data in {}", folder.path().display())));
    }
    let database = Database::open(options).await?;
    let (program, url) = database.program("pg_dump")?;
    let arguments = ["--no-owner", "--no-privileges", &url];
    let status = tokio::process::Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn restore(folder: &DataFolder, file: &Path, options: &Options) -> Result<ExitCode, Failure> {
    refuse_foreign("`psql \"$DB_URL\" --file FILE`")?;
    // Open it here, because the server's account may not have access.
    let dump = std::fs::File::open(file).map_err(|error| Failure::Input(format!("{}: {error}", file.display())))?;
    if folder.has_data()? {
        return Err(Failure::Input(format!(
            "there is data in {} already\n  help: save it with `mergeline data dump`, then `mergeline data remove --yes`",
            folder.path().display()
        )));
    }
    if !is_whole_dump(&dump)? {
        return Err(Failure::Input(format!(
            "{} is not a complete dump of Mergeline's data: nothing was restored\n  help: make one with `mergeline data dump`, and keep the \
             data until the dump succeeds",
            file.display()
        )));
    }
    let database = Database::open(options).await?;
    let (program, url) = database.program("psql")?;
    let arguments =
        ["--quiet", "--no-psqlrc", "--single-transaction", "--set", "ON_ERROR_STOP=1", "--output", "/dev/null"];
    let restored = tokio::process::Command::new(&program).args(arguments).arg(&url).stdin(dump).status().await;
    drop(database);
    if !restored.as_ref().is_ok_and(ExitStatus::success) {
        // A partial or empty restore would look like a valid database.
        folder.remove()?;
        restored.with_context(|| format!("cannot run {}", program.display()))?;
        return Err(Failure::Other(anyhow::anyhow!(
            "{} could not be restored: the private database was removed again",
            file.display()
        )));
    }
    let mut out = terminal::stdout();
    if options.json {
        writeln!(out, "{}", serde_json::json!({ "restored": true }))?;
    } else {
        writeln!(out, "Restored {} into {}.", file.display(), folder.path().display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a file has Mergeline's tables and the last line of a `pg_dump`. psql accepts any part of a dump that ends
/// between two statements. Rewinds the file.
fn is_whole_dump(mut file: &std::fs::File) -> Result<bool, Failure> {
    let (mut has_tables, mut has_end) = (false, false);
    for line in std::io::BufReader::new(file).split(b'\n') {
        let line = line?;
        has_tables |= line.starts_with(b"CREATE TABLE public._sqlx_migrations ");
        has_end |= line.starts_with(b"-- PostgreSQL database dump complete");
    }
    file.rewind()?;
    Ok(has_tables && has_end)
}

fn remove(folder: &DataFolder, yes: bool, options: &Options) -> Result<(), Failure> {
    let mut out = terminal::stdout();
    let path = folder.path().display();
    if !yes && folder.path().exists() {
        return Err(Failure::Input(format!("this removes {path} with all collected data: confirm with --yes")));
    }
    let is_removed = folder.remove()?;
    // The parent folder too, if it is empty.
    if let Some(parent) = folder.path().parent().filter(|_| is_removed) {
        let _ = std::fs::remove_dir(parent);
    }
    if options.json {
        writeln!(out, "{}", serde_json::json!({ "removed": is_removed }))?;
    } else if is_removed {
        writeln!(out, "Removed {path}.")?;
    } else {
        writeln!(out, "There is nothing at {path}.")?;
    }
    Ok(())
}
