//! `mergeline import`: stores deployments and incidents from a file, as if each had been posted.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_domain::count_of;
use mergeline_domain::delivery::{DeploymentEvent, IncidentEvent, PostedDeployment, PostedIncident};
use mergeline_domain::metrics::InvalidParameter;
use mergeline_store::{Channel, EventOutcome, EventRefusal, Poster, Sender, Writer};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::args::{Import, Options};
use crate::database::collected;
use crate::failure::{FAILED, Failure};
use crate::status::NOTHING;
use crate::terminal;

/// A valid row, and where it is.
struct Row<T> {
    line: u64,
    digest: [u8; 32],
    event: T,
}

/// What became of the rows.
#[derive(Default)]
struct Tally {
    created: u64,
    changed: u64,
    replayed: u64,
    /// The line and the reason.
    refused: Vec<(u64, EventRefusal)>,
}

pub(crate) async fn run(command: &Import, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let (Import::Deployments(file) | Import::Incidents(file)) = command;
    let mut out = terminal::stdout();
    let text = std::fs::read(&file.file)
        .map_err(|error| Failure::Input(format!("cannot read {}: {error}", file.file.display())))?;
    let program = file.source.as_ref().map(ToString::to_string);
    let sender = Sender { program, channel: Channel::Import, ..Sender::default() };
    // Everything is checked before anything is stored.
    let rows = match command {
        Import::Deployments(_) => {
            let check = |event: DeploymentEvent| {
                let is_running = matches!(event.status.as_deref(), Some("queued" | "in_progress"));
                let at = if is_running { &event.started_at } else { &event.finished_at };
                has_time(at.as_ref(), if is_running { "started_at" } else { "finished_at" })?;
                event.check(now)
            };
            Rows::Deployments(checked(&file.file, &text, check)?)
        }
        Import::Incidents(_) => {
            let check = |event: IncidentEvent| {
                has_time(event.started_at.as_ref(), "started_at")?;
                event.check(now)
            };
            Rows::Incidents(checked(&file.file, &text, check)?)
        }
    };
    let Some((_database, store)) = collected(options).await? else {
        writeln!(out, "{NOTHING}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let tally = rows.store(&store, &sender, now).await?;
    store.close().await;
    let Tally { created, changed, replayed, refused } = &tally;
    if options.json {
        let refused: Vec<_> = refused
            .iter()
            .map(|(line, refusal)| serde_json::json!({ "line": line, "code": refusal.code(), "message": refusal.to_string() }))
            .collect();
        let tally =
            serde_json::json!({ "created": created, "changed": changed, "replayed": replayed, "refused": refused });
        writeln!(out, "{tally}")?;
    } else {
        writeln!(out, "{created} created, {changed} changed, {replayed} known before, {} refused.", refused.len())?;
        for (line, refusal) in refused {
            writeln!(out, "{}:{line}: {refusal}", file.file.display())?;
        }
    }
    Ok(if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// A file is about the past, where now is never meant.
fn has_time(at: Option<&String>, name: &str) -> Result<(), Vec<InvalidParameter>> {
    match at {
        Some(_) => Ok(()),
        None => Err(vec![InvalidParameter::new(name, "missing", "write when it was")]),
    }
}

enum Rows {
    Deployments(Vec<Row<PostedDeployment>>),
    Incidents(Vec<Row<PostedIncident>>),
}

impl Rows {
    async fn store(&self, store: &Writer, sender: &Sender, now: DateTime<Utc>) -> Result<Tally, Failure> {
        let poster = Poster::of(store);
        let mut tally = Tally::default();
        match self {
            Self::Deployments(rows) => {
                for Row { line, digest, event } in rows {
                    let stored = poster.post_deployment(sender, digest, event, now).await?;
                    tally.add(*line, stored.map(|it| it.outcome));
                }
            }
            Self::Incidents(rows) => {
                for Row { line, digest, event } in rows {
                    let stored = poster.post_incident(sender, digest, event, now).await?;
                    tally.add(*line, stored.map(|it| it.outcome));
                }
            }
        }
        Ok(tally)
    }
}

impl Tally {
    fn add(&mut self, line: u64, outcome: Result<EventOutcome, EventRefusal>) {
        match outcome {
            Ok(EventOutcome::Created) => self.created += 1,
            Ok(EventOutcome::Changed) => self.changed += 1,
            Ok(EventOutcome::Replayed) => self.replayed += 1,
            Err(refusal) => self.refused.push((line, refusal)),
        }
    }
}

/// The rows of a file, whose first line names the fields. Empty cells are fields that are left out.
fn checked<E: DeserializeOwned, T>(
    file: &Path,
    text: &[u8],
    check: impl Fn(E) -> Result<T, Vec<InvalidParameter>>,
) -> Result<Vec<Row<T>>, Failure> {
    let name = file.display();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).flexible(true).from_reader(text);
    let header = reader
        .headers()
        .cloned()
        .map_err(|error| Failure::Input(format!("{name}: {}\n  help: {HELP}", said(&error))))?;
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, |position| line_of(text, position));
                problems.push(format!("{name}:{line}: {}", said(&error)));
                continue;
            }
        };
        let line = record.position().map_or(0, |position| line_of(text, position));
        if record.len() != header.len() {
            let (cells, columns) = (count_of(record.len(), "cell"), count_of(header.len(), "column"));
            problems.push(format!("{name}:{line}: the row has {cells}, and the first line names {columns}"));
            continue;
        }
        match record.deserialize::<E>(Some(&header)) {
            Ok(event) => match check(event) {
                Ok(event) => {
                    let digest = Sha256::digest(record.as_slice()).into();
                    rows.push(Row { line, digest, event });
                }
                Err(invalid) => {
                    let invalid = invalid.iter().map(|it| format!("{name}:{line}: {}: {}", it.parameter, it.message));
                    problems.extend(invalid);
                }
            },
            Err(error) => {
                let reason = said(&error);
                // What is wrong with the columns is so in every row.
                if ["unknown field", "missing field", "duplicate field"].iter().any(|start| reason.starts_with(start)) {
                    let reason = reason.replacen("field", "column", 1);
                    let message = format!(
                        "{name}:1: {reason}\n  help: rename the column in the first line, or take it out; {HELP}"
                    );
                    return Err(Failure::Input(message));
                }
                let column = match error.kind() {
                    csv::ErrorKind::Deserialize { err, .. } => {
                        err.field().and_then(|at| header.get(usize::try_from(at).ok()?))
                    }
                    _ => None,
                };
                let column = column.map(|column| format!("{column}: ")).unwrap_or_default();
                problems.push(format!("{name}:{line}: {column}{reason}"));
            }
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(Failure::Input(format!("{}\n  help: {HELP}", problems.join("\n")))) }
}

/// Where the columns are explained.
const HELP: &str = concat!(
    "`mergeline help import` lists the columns of each kind of file, which ",
    page_of_docs!("events.md"),
    " explains"
);

/// The cause, without the place in the words of the library.
fn said(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
        csv::ErrorKind::Utf8 { .. } => "the text is not UTF-8: save the table as CSV UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// The line on which a record begins. The library counts from the end of the one before, which leaves out empty lines.
fn line_of(text: &[u8], position: &csv::Position) -> u64 {
    let from = usize::try_from(position.byte()).unwrap_or_default().min(text.len());
    let is_break = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    let start = from + text[from..].iter().take_while(is_break).count();
    let lines = text[..start].split(|byte| *byte == b'\n').count();
    u64::try_from(lines).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let check = |event: DeploymentEvent| event.check(DateTime::UNIX_EPOCH);
        match checked(Path::new("d.csv"), text.as_bytes(), check) {
            Ok(rows) => format!("{} rows", rows.len()),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn problems_of_a_table_name_their_line_and_column() {
        let header = "id,service,environment,finished_at";
        for (text, expected) in [
            (format!("{header}\n\n\n1,api,production,x\n"), "d.csv:4: finished_at: "),
            (format!("{header}\r\n1,api,production,x\r\n"), "d.csv:2: finished_at: "),
            (format!("{header},url\n1,\"a\npi\",production,,\n2,api,production,x,\n"), "d.csv:4: finished_at: "),
            (format!("{header}\n1,api\n"), "d.csv:2: the row has 2 cells, and the first line names 4 columns"),
            (
                "id,servce,environment\n1,api,production\n".to_owned(),
                "d.csv:1: unknown column `servce`, expected one of `id`",
            ),
            ("id,environment\n1,production\n".to_owned(), "d.csv:1: missing column `service`"),
            (format!("{header},rework\n1,api,production,2026-01-01T00:00:00Z,maybe\n"), "d.csv:2: rework: "),
        ] {
            let found = refused(&text);
            assert!(found.contains(expected) && found.contains("help: "), "{text}: {found}");
            assert!(!found.contains("CSV"), "{found}");
        }
    }
}
