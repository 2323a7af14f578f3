//! `mergeline import`: stores deployments and incidents from a file, as if each had been posted.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
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
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
    let header = reader.headers().cloned().map_err(|error| Failure::Input(format!("{name}: {error}")))?;
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                problems.push(format!("{name}: {error}"));
                continue;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
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
            Err(error) => problems.push(format!("{name}:{line}: {error}")),
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(Failure::Input(problems.join("\n"))) }
}
