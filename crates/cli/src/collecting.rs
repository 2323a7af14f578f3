//! `mergeline collect`, and the run that demo and report share with it.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use mergeline_collector::{CollectOptions, Progress, RunReport, Settings, TeamsSource, collect, configure};
use mergeline_github::GitHub;
use mergeline_store::{RunState, Store};

use crate::args::{Collect, Options};
use crate::database::{Database, variable};
use crate::failure::{Failure, PARTIAL};

/// `mergeline collect`
pub(crate) async fn run(args: &Collect, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    // The teams file first: a mistake in it is told before a server is started.
    let teams = teams_source(args.teams.as_ref())?;
    teams.load()?;
    let database = Database::open(options).await?;
    let mut settings = Settings::from_vars(|name| if is_teams_variable(name) { None } else { database.lookup(name) })?;
    settings.teams = teams;
    settings.allow_removals |= args.allow_removals;
    let store = Store::connect(&settings.database);
    // The machine's certificates are read while the database is made ready.
    let github = settings.github.clone();
    let connecting = tokio::task::spawn_blocking(move || GitHub::connect(&github));
    store.migrate().await?;
    let applied = configure(&store, &settings.teams, settings.allow_removals, now).await?;
    if let (Some(applied), false) = (&applied, options.json)
        && !applied.plan.is_empty()
    {
        write!(io::stderr(), "{applied}")?;
    }
    let github = connecting.await.map_err(anyhow::Error::from)??;
    let report = collect_with_progress(&github, &store, &settings, args.verify, options, now).await?;
    if database.is_private() {
        // A server that ends under open connections says so in its log; any other outlives them.
        store.close().await;
    }
    print_report(&report, options)?;
    Ok(exit_code(&report))
}

fn is_teams_variable(name: &str) -> bool {
    matches!(name, "TEAMS_FILE" | "TEAM_CONFIG_JSON" | "REPOSITORIES")
}

/// The teams file that a flag names, else what the environment says.
pub(crate) fn teams_source(file: Option<&std::path::PathBuf>) -> Result<TeamsSource, Failure> {
    match file {
        Some(file) => Ok(TeamsSource::File(file.clone())),
        None => Ok(TeamsSource::from_vars(variable)?),
    }
}

/// A run with a line that moves while a person watches. `verifies` lists the last weeks again.
pub(crate) async fn collect_with_progress(
    github: &GitHub,
    store: &Store,
    settings: &Settings,
    verifies: bool,
    options: &Options,
    now: DateTime<Utc>,
) -> Result<RunReport, Failure> {
    let collect_options = CollectOptions {
        longest_wait: settings.longest_wait,
        details: settings.details,
        verifies,
        ..CollectOptions::at_a_terminal(now, settings.backfill, settings.github.concurrency())
    };
    let bar = progress_bar(options);
    let observer = |progress: Progress<'_>| match progress {
        Progress::Started { repositories } => bar.set_length(repositories as u64),
        Progress::Page { repository, result } => {
            bar.set_message(format!("{repository}: {} pages, {} kept of {}", result.pages, result.kept, result.listed));
        }
        Progress::Finished(_) => bar.inc(1),
    };
    let report = collect(github, store, &collect_options, &observer).await?;
    bar.finish_and_clear();
    Ok(report)
}

/// A progress bar on a terminal, nothing elsewhere.
pub(crate) fn progress_bar(options: &Options) -> ProgressBar {
    if options.json || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} repositories, {elapsed} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// The summary line, and a line for each repository that failed.
pub(crate) fn print_report(report: &RunReport, options: &Options) -> Result<(), Failure> {
    let mut out = io::stdout();
    if options.json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
        return Ok(());
    }
    writeln!(out, "{report}")?;
    for problem in &report.problems {
        writeln!(out, "  {problem}")?;
    }
    for incomplete in report.incomplete() {
        if let Some(reason) = &incomplete.result.reason {
            writeln!(out, "  {}: {}: {}", incomplete.repository, reason.code, reason.message)?;
        }
    }
    Ok(())
}

/// What a run means for a script.
pub(crate) fn exit_code(report: &RunReport) -> ExitCode {
    match report.state {
        RunState::Succeeded => ExitCode::SUCCESS,
        RunState::Partial | RunState::Deferred => ExitCode::from(PARTIAL),
        RunState::Failed | RunState::Interrupted => ExitCode::FAILURE,
    }
}
