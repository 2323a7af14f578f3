//! `mergeline status`: the ledger, and the collection state of each repository.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use comfy_table::{CellAlignment, Table};
use mergeline_domain::count_of;
use mergeline_domain::metrics::Coverage;
use mergeline_store::{QuarantineEntry, RepositoryStatus, ResultState, RunStatus};

use crate::args::{Options, Status};
use crate::database::collected;
use crate::failure::{Failure, PARTIAL};
use crate::tables::{Layout, ago, largest_unit, local, table, table_of_names, wrapped};
use crate::terminal;

pub(crate) async fn run(args: &Status, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let mut out = terminal::stdout();
    let Some((_database, store)) = collected(options).await? else {
        if options.json {
            let nothing = serde_json::json!({ "runs": [], "repositories": [], "coverage": null, "quarantine": [] });
            writeln!(out, "{nothing}")?;
        } else {
            writeln!(out, "{NOTHING}")?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let runs = store.runs(None, args.runs).await?;
    let repositories = store.repository_statuses().await?;
    let coverage = store.coverage().await?;
    let patterns = store.incomplete_patterns().await?;
    let quarantine = store.quarantine_entries(if options.json { ALL } else { SHOWN }).await?;
    let zone = store.timezone().await?;
    let kept_since = store.kept_since().await?;
    store.close().await;
    if options.json {
        let Coverage { failing, pending, never_collected, data_as_of, .. } = &coverage;
        let coverage = serde_json::json!({
            "covered_since": coverage.since(), "data_as_of": data_as_of, "failing": failing, "pending": pending,
            "never_collected": never_collected, "quarantined": coverage.quarantined, "kept_since": kept_since,
            "reattributing": coverage.is_reattributing,
            "incomplete_patterns": patterns.iter().map(|(pattern, reason)| {
                serde_json::json!({ "pattern": pattern, "reason": reason })
            }).collect::<Vec<_>>(),
        });
        let status = serde_json::json!({ "runs": runs, "repositories": repositories, "coverage": coverage, "quarantine": quarantine });
        writeln!(out, "{status}")?;
    } else {
        let missing = Missing { patterns: &patterns, quarantine: &quarantine, kept_since };
        write!(out, "{}", text(&runs, &repositories, &coverage, &missing, zone, now))?;
    }
    // A refused token marks no repository as failing, but nothing is collected from them either.
    let is_any_failing = !coverage.failing.is_empty() || repositories.iter().any(has_failed);
    Ok(if is_any_failing { ExitCode::from(PARTIAL) } else { ExitCode::SUCCESS })
}

/// How many pull requests in quarantine the text shows. The JSON has all of them.
const SHOWN: u32 = 20;
const ALL: u32 = 10_000;

pub(crate) const NOTHING: &str = "Nothing was ever collected here: run `mergeline collect`.";

/// The repositories that keep weeks from being complete, each with the reason and what to do; empty if all are read.
pub(crate) fn not_fully_read(repositories: &[RepositoryStatus]) -> String {
    let mut text = String::new();
    let is_unread = |repository: &&RepositoryStatus| has_failed(repository) || repository.covered_since.is_none();
    for repository in repositories.iter().filter(is_unread) {
        let RepositoryStatus { name, reason, reason_code, .. } = repository;
        let _ = match reason.as_ref().filter(|_| has_failed(repository)) {
            Some(reason) => {
                let code = reason_code.as_ref().map(|code| format!("{code}: ")).unwrap_or_default();
                writeln!(
                    text,
                    "{name} is not fully read: {code}{reason}\n  help: `mergeline doctor` says what to do about it; or leave it out: \
                     take it from `repositories` in the teams file, or add `!{name}` below the pattern that matches it, and run \
                     `mergeline collect`"
                )
            }
            None => writeln!(text, "{name} is not fully read yet\n  help: `mergeline collect` continues with it"),
        };
    }
    text
}

fn has_failed(repository: &RepositoryStatus) -> bool {
    repository.state == Some(ResultState::Failed)
}

/// What is not counted, apart from incomplete repositories.
struct Missing<'a> {
    patterns: &'a [(String, String)],
    quarantine: &'a [QuarantineEntry],
    kept_since: Option<DateTime<Utc>>,
}

fn text(
    runs: &[RunStatus],
    repositories: &[RepositoryStatus],
    coverage: &Coverage,
    missing: &Missing<'_>,
    zone: Tz,
    now: DateTime<Utc>,
) -> String {
    let mut text = String::new();
    if runs.is_empty() {
        let _ = writeln!(text, "{NOTHING}");
    } else {
        let _ = writeln!(text, "{}", runs_table(runs, zone));
        for run in runs {
            for problem in &run.problems {
                let _ = writeln!(text, "{}", wrapped(&format!("  run {}: {problem}", run.id), 4));
            }
        }
    }
    if repositories.is_empty() {
        let _ = writeln!(text, "\nNo repository is configured: run `mergeline teams apply`, or `mergeline collect`.");
        return text;
    }
    let _ = writeln!(text, "\n{}", repositories_table(repositories, zone, now));
    let mut lines = String::new();
    for repository in repositories {
        for remark in remarks(repository) {
            let _ = writeln!(lines, "  {}: {remark}", repository.name);
        }
    }
    for entry in missing.quarantine {
        let accepted = if entry.accepted_at.is_some() { ", accepted" } else { "" };
        let _ = writeln!(lines, "  {} (in quarantine{accepted}): {}", entry.name(), entry.reason);
    }
    for (pattern, reason) in missing.patterns {
        let _ = writeln!(lines, "  {pattern}: repositories may be missing: {reason}");
    }
    let _ = writeln!(lines, "\n{}", covered(coverage, zone, now));
    if let Some(since) = missing.kept_since {
        let since = local(since, zone);
        let _ = writeln!(
            lines,
            "Pull requests that were merged or closed before {since} were pruned and are not read again."
        );
    }
    text.push_str(&wrapped(&lines, 4));
    text
}

/// At most 80 columns: the JSON has the other counts of a run.
fn runs_table(runs: &[RunStatus], zone: Tz) -> Table {
    let header = ["run", "state", "started", "took", "complete", "requests", "kept", "changed"];
    let mut table = table(header.map(str::to_owned).to_vec());
    for run in runs {
        let took = run.finished_at.map_or("-".to_owned(), |at| largest_unit(at - run.started_at));
        let started = run.started_at.with_timezone(&zone).format("%m-%d %H:%M %Z").to_string();
        let complete = i64::from(run.planned) - run.failed - run.deferred;
        let complete = match run.finished_at {
            Some(_) => format!("{} of {}", complete.max(0), run.planned),
            None => "-".to_owned(),
        };
        let counts = [run.requests, run.kept, run.changed];
        let row = [run.id.to_string(), run.state.to_string(), started, took, complete];
        table.add_row(row.into_iter().chain(counts.map(|count| count.to_string())));
    }
    align_right(&mut table, &[0, 3, 4, 5, 6, 7]);
    table
}

/// At most 80 columns, with long names shortened. The lines below the table say why a repository is not complete.
fn repositories_table(repositories: &[RepositoryStatus], zone: Tz, now: DateTime<Utc>) -> Table {
    let header = ["repository", "state", "collected", "back to", "stored", "next try"];
    let rows = repositories.iter().map(|repository| {
        vec![
            repository.name.clone(),
            repository.state.map_or("new".to_owned(), |state| state.to_string()),
            repository.collected_at.map_or("never".to_owned(), |at| ago(at, now)),
            read_back_to(repository, zone),
            repository.pull_requests.to_string(),
            repository.next_at.filter(|at| *at > now).map_or("-".to_owned(), |at| ago(at, now)),
        ]
    });
    let mut table = table_of_names(&header, rows.collect(), Layout::Terminal);
    align_right(&mut table, &[4]);
    table
}

/// What does not fit into the table, one line each.
fn remarks(repository: &RepositoryStatus) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(configured_as) = &repository.configured_as {
        remarks.push(format!("configured as {configured_as}"));
    }
    if let Some(reason) = &repository.reason {
        let code = repository.reason_code.as_ref().map_or(String::new(), |code| format!("{code}: "));
        remarks.push(format!("{code}{reason}"));
    }
    if !repository.has_pull_requests {
        remarks
            .push("pull requests are switched off in its GitHub settings: it is complete without new ones".to_owned());
    }
    for (count, what) in [
        (repository.without_details, "without details"),
        (repository.without_files, "not compared with paths"),
        (repository.quarantined, "in quarantine"),
    ] {
        if count > 0 {
            remarks.push(format!("{} {what}", count_of(count, "pull request")));
        }
    }
    remarks
}

fn read_back_to(repository: &RepositoryStatus, zone: Tz) -> String {
    match (repository.backfill_page, repository.covered_since) {
        (Some(page), _) => format!("at page {page}"),
        (None, Some(since)) => since.with_timezone(&zone).date_naive().to_string(),
        (None, None) => "-".to_owned(),
    }
}

fn covered(coverage: &Coverage, zone: Tz, now: DateTime<Utc>) -> String {
    let (Some(since), Some(as_of)) = (coverage.covered_since, coverage.data_as_of) else {
        return "No repository is fully read yet.".to_owned();
    };
    let mut text = format!("Everything that changed since {} is stored, as of {}", local(since, zone), ago(as_of, now));
    if !coverage.pending.is_empty() {
        let _ = write!(text, ", but not all of {}", coverage.pending.join(", "));
    }
    if coverage.quarantined > 0 {
        text.push_str(if coverage.pending.is_empty() {
            ", but not what is in quarantine"
        } else {
            ", and not what is in quarantine"
        });
    }
    text.push('.');
    if coverage.is_reattributing {
        text.push_str(" Memberships have changed, and some stored pull requests still count the old way: the next collection updates them first.");
    }
    text
}

fn align_right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_text_names_what_is_still_missing() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().ok();
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let coverage = Coverage {
            collected: 1,
            failing: names(&["acme/legacy"]),
            pending: names(&["acme/legacy", "acme/web"]),
            never_collected: names(&["acme/legacy"]),
            covered_since: at("2026-05-01T00:00:00Z"),
            complete_until: None,
            data_as_of: at("2026-06-17T08:00:00Z"),
            quarantined: 0,
            is_reattributing: false,
            incomplete_patterns: Vec::new(),
        };
        let text = |coverage: &Coverage| covered(coverage, Tz::UTC, at("2026-06-17T12:00:00Z").unwrap_or_default());
        insta::assert_snapshot!(text(&coverage), @"Everything that changed since 2026-05-01 00:00 UTC is stored, as of 4 h ago, but not all of acme/legacy, acme/web.");
        let in_quarantine = Coverage { quarantined: 1, pending: Vec::new(), ..coverage.clone() };
        insta::assert_snapshot!(text(&in_quarantine), @"Everything that changed since 2026-05-01 00:00 UTC is stored, as of 4 h ago, but not what is in quarantine.");
        let coverage = Coverage { failing: Vec::new(), pending: Vec::new(), never_collected: Vec::new(), ..coverage };
        insta::assert_snapshot!(text(&coverage), @"Everything that changed since 2026-05-01 00:00 UTC is stored, as of 4 h ago.");
        insta::assert_snapshot!(text(&Coverage { covered_since: None, data_as_of: None, ..coverage }), @"No repository is fully read yet.");
    }
}
