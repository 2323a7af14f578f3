//! `mergeline collect`, and the run that `demo` and `report` share with it.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use mergeline_collector::{
    CancellationToken, CollectOptions, Progress, RunReport, Settings, Sources, TeamsSource, collect_until, configure,
    credentials_refusal, trim_ledger,
};
use mergeline_domain::metrics::{Lookback, RangeRequest};
use mergeline_domain::{InstanceId, RepoName, RepoPattern, count_of};
use mergeline_github::GitHub;
use mergeline_source::SourceError;
use mergeline_store::{Reason, ResultState, RunState, Writer};

use crate::args::{Collect, Options};
use crate::database::{Database, actor};
use crate::environment::variable;
use crate::failure::{Failure, PARTIAL};
use crate::show;
use crate::signals::EndingSignals;
use crate::tables::{Layout, wrapped};
use crate::terminal;

/// The range of the tables at the end, the same as in `mergeline show`.
pub(crate) const USUAL_RANGE: RangeRequest = RangeRequest::Lookback(Lookback::Weeks(12));

/// `mergeline collect`
pub(crate) async fn run(args: &Collect, options: &Options, clock: fn() -> DateTime<Utc>) -> Result<ExitCode, Failure> {
    let now = clock();
    // Load the teams file first, to report its mistakes before a server starts.
    let teams = teams_source(args.teams.as_ref())?;
    let file = teams.load()?;
    let database = Database::open(options).await?;
    let mut settings = Settings::from_vars(|name| if is_teams_variable(name) { None } else { database.lookup(name) })?;
    settings.teams = teams;
    settings.allow_removals |= args.allow_removals;
    let store = Writer::connect(&settings.database, actor());
    // Read the machine's certificates while the database is prepared.
    let github = settings.github.clone();
    let connecting = tokio::task::spawn_blocking(move || GitHub::connect(&github));
    store.migrate().await?;
    let sources = Sources::from(connecting.await.map_err(anyhow::Error::from)??);
    let mut refusal = None;
    // If there is nothing to apply, the run itself finds out whether the token is refused. That saves a request.
    if let Some(file) = &file
        && !store.plan(file, now).await?.is_in_force()
    {
        // An App has a token for each owner.
        let repository = file.repositories.first().map(RepoName::owner);
        let owner = repository.or_else(|| file.rules.patterns().next().map(RepoPattern::owner));
        refusal = credentials_refusal(&sources, InstanceId::GITHUB, &store, owner, now).await?;
        if let Some(refusal) = &refusal {
            // With a new teams file nothing can be collected. Otherwise the run still starts, so that the ledger
            // records it.
            if store.roster().await?.is_none() {
                return Err(refusal.error.clone().into());
            }
            writeln!(terminal::stderr(), "The teams file is not applied: GitHub refuses the token.")?;
        } else {
            let applied = configure(&store, &settings.teams, settings.allow_removals, now).await?;
            if let (Some(applied), false) = (&applied, options.json)
                && !applied.plan.is_empty()
            {
                write!(terminal::stderr(), "{applied}")?;
            }
        }
    }
    let mut signals = EndingSignals::new()?;
    let stop = CancellationToken::new();
    let mut ended_by = None;
    let mut report = {
        let mut collecting = pin!(collect_until_stopped(&sources, &store, &settings, args.verify, options, now, &stop));
        loop {
            tokio::select! {
                report = &mut collecting => break report?,
                code = signals.next() => {
                    if ended_by.replace(code).is_some() {
                        return Ok(ExitCode::from(code));
                    }
                    writeln!(terminal::stderr(), "Stopping after the current write. Press Ctrl-C again to stop at once.")?;
                    stop.cancel();
                }
            }
        }
    };
    report
        .refusals
        .extend(refusal.filter(|refusal| report.refusals.iter().all(|known| known.instance != refusal.instance)));
    if file.is_none() && !options.json {
        writeln!(terminal::stderr(), "There is no teams file: the last applied one is in effect.")?;
    }
    print_report(&report, options)?;
    // If nothing was collected, tables would only hide the reason.
    if !options.json && ended_by.is_none() && report.incomplete().count() < report.repositories.len() {
        writeln!(
            terminal::stdout(),
            "\n{}",
            show::everything(&store, USUAL_RANGE, true, clock(), Layout::Terminal).await?
        )?;
    }
    if ended_by.is_none() {
        trim_ledger(&store, settings.ledger, clock()).await;
    }
    if database.is_private() {
        // A private server logs connections that are still open when it stops; other servers keep running.
        store.close().await;
    }
    Ok(ended_by.map_or_else(|| exit_code(&report), ExitCode::from))
}

fn is_teams_variable(name: &str) -> bool {
    matches!(name, "TEAMS_FILE" | "TEAM_CONFIG_JSON" | "REPOSITORIES")
}

/// The teams file from the flag, else from the environment.
pub(crate) fn teams_source(file: Option<&std::path::PathBuf>) -> Result<TeamsSource, Failure> {
    match file {
        Some(file) => Ok(TeamsSource::File(file.clone())),
        None => Ok(TeamsSource::from_vars(variable)?),
    }
}

/// Runs a collection with a progress bar on a terminal. `verifies` lists the last weeks again.
pub(crate) async fn collect_with_progress(
    sources: &Sources,
    store: &Writer,
    settings: &Settings,
    verifies: bool,
    options: &Options,
    now: DateTime<Utc>,
) -> Result<RunReport, Failure> {
    let stop = CancellationToken::new();
    // A run is a large future, and large ones belong on the heap.
    Box::pin(collect_until_stopped(sources, store, settings, verifies, options, now, &stop)).await
}

/// Like [`collect_with_progress`], but ends when `stop` is cancelled.
async fn collect_until_stopped(
    sources: &Sources,
    store: &Writer,
    settings: &Settings,
    verifies: bool,
    options: &Options,
    now: DateTime<Utc>,
    stop: &CancellationToken,
) -> Result<RunReport, Failure> {
    let collect_options = CollectOptions {
        longest_wait: settings.longest_wait,
        details: settings.details,
        deployments: settings.deployments,
        verifies,
        ..CollectOptions::at_a_terminal(now, settings.backfill, settings.github.concurrency())
    };
    let bar = progress_bar(options);
    let observer = |progress: Progress<'_>| match progress {
        Progress::Started { repositories } => bar.set_length(repositories as u64),
        Progress::Page { repository, result } => {
            let pages = count_of(result.pages, "page");
            bar.set_message(format!("{repository}: {pages}, {} kept of {}", result.kept, result.listed));
        }
        Progress::Finished(_) => bar.inc(1),
    };
    let report = Box::pin(collect_until(sources, store, &collect_options, &observer, stop)).await?;
    bar.finish_and_clear();
    Ok(report)
}

/// A progress bar on a terminal; hidden elsewhere.
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

/// Prints the report of a run.
pub(crate) fn print_report(report: &RunReport, options: &Options) -> Result<(), Failure> {
    print_report_as(&format!("Run {}", report.run.0), report, options)
}

/// Prints the summary under a title, and the reasons why repositories are not complete.
pub(crate) fn print_report_as(title: &str, report: &RunReport, options: &Options) -> Result<(), Failure> {
    let mut out = terminal::stdout();
    if options.json {
        writeln!(out, "{}", serde_json::to_string(report)?)?;
        return Ok(());
    }
    // One line per clause: together they are wider than most terminals.
    let mut lines = format!("{title}: {}", report.summary().replace("; ", "\n  "));
    for problem in &report.problems {
        let _ = write!(lines, "\n  {problem}");
    }
    for cause in &report.problem_causes {
        add_remedy(&mut lines, cause);
    }
    for (line, cause) in causes(report) {
        let _ = write!(lines, "\n  {line}");
        if let Some(cause) = cause {
            add_remedy(&mut lines, cause);
        }
    }
    for refusal in &report.refusals {
        add_remedy(&mut lines, &refusal.error);
    }
    for doubt in &report.doubts {
        let _ = write!(lines, "\n  {}\n    help: {}", doubt.message(), doubt.remedy());
    }
    writeln!(out, "{}", wrapped(&lines, 4))?;
    Ok(())
}

/// Adds the advice of `mergeline doctor`, unless the text already has it: refusals include it.
fn add_remedy(lines: &mut String, cause: &SourceError) {
    let remedy = cause.help;
    if !lines.contains(remedy) {
        let _ = write!(lines, "\n    help: {remedy}");
    }
}

/// Why repositories are not complete: each cause once, with the source's error for failures.
fn causes(report: &RunReport) -> Vec<(String, Option<&SourceError>)> {
    let mut groups: Vec<(&Reason, Option<&SourceError>, Vec<&str>)> = Vec::new();
    for incomplete in report.incomplete() {
        let Some(reason) = &incomplete.result.reason else { continue };
        let cause = incomplete.cause.as_ref().filter(|_| incomplete.result.state == ResultState::Failed);
        let name = incomplete.repository.as_str();
        let is_same = |one: &Reason| one.code == reason.code && is_alike(&one.message, &reason.message);
        match groups.iter_mut().find(|(one, ..)| is_same(one)) {
            Some((.., names)) => names.push(name),
            None => groups.push((reason, cause, vec![name])),
        }
    }
    let all = report.repositories.len();
    let line = |(Reason { code, message }, cause, names): (&Reason, _, Vec<&str>)| {
        let line = match names.as_slice() {
            [name] => format!("{name}: {code}: {message}"),
            names if names.len() == all => format!("all {all}: {code}: {message}"),
            names => format!("{} of {all}: {code}: {message} ({})", names.len(), names.join(", ")),
        };
        (line, cause)
    };
    groups.into_iter().map(line).collect()
}

/// Whether two sentences differ only in numbers, for example the seconds until a limit ends.
fn is_alike(one: &str, other: &str) -> bool {
    let parts = |text: &str| {
        text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    parts(one) == parts(other)
}

/// The exit code for a run.
pub(crate) fn exit_code(report: &RunReport) -> ExitCode {
    match report.state {
        RunState::Succeeded => ExitCode::SUCCESS,
        RunState::Partial | RunState::Deferred => ExitCode::from(PARTIAL),
        RunState::Failed | RunState::Interrupted | RunState::Running => ExitCode::FAILURE,
    }
}
