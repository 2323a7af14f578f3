#![doc = include_str!("../README.md")]

/// The address of a page of the documentation, of this version: an installed program has no folder `docs`.
macro_rules! page_of_docs {
    ($page:literal) => {
        concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/v", env!("CARGO_PKG_VERSION"), "/docs/", $page)
    };
}

mod access;
mod args;
mod back_test;
mod benchmark;
mod channels;
mod collecting;
mod custom;
mod data;
mod database;
mod demo;
mod deployments;
mod digest;
mod doctor;
mod dora;
mod environment;
mod erase;
mod events;
mod explain;
mod failure;
mod github_teams;
mod goals;
mod http_server;
mod import;
mod init;
mod insight;
mod keys;
mod names;
mod prompts;
mod prune;
mod quarantine;
mod remedies;
#[cfg(feature = "aws")]
mod replay;
mod report;
mod reviews;
mod serve;
mod show;
mod signals;
mod status;
mod tables;
mod team_proposals;
mod teams;
mod terminal;
mod webhooks;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use chrono::Utc;
use clap::{CommandFactory, Parser};

use args::{Args, Command, Report, ReportFormat};
use failure::Failure;

/// The log filter unless `RUST_LOG` is set: only warnings, because users see tables and progress. The run's summary is
/// printed anyway, and so is what the library of AWS could not find.
const LOGS: &str = "warn,mergeline_collector::report=off,aws_config=off,aws_runtime=off,aws_smithy_runtime=off";

/// How long a command that is done waits for its last traces.
const LAST_TRACES_WITHIN: Duration = Duration::from_secs(2);

/// The error of what needs an optional feature.
#[cfg(not(feature = "aws"))]
pub(crate) const WITHOUT_AWS: &str = "this mergeline was built without AWS support, which this needs\n  help: `cargo install --path crates/cli \
                           --features aws`, or use a release";

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    if let Command::Report(Report { format: Some(ReportFormat::Json), .. }) = &args.command {
        args.options.json = true;
    }
    mergeline_telemetry::init(Some(LOGS));
    let is_json = args.options.json;
    let outcome = traced(Box::pin(run(args))).await;
    match outcome {
        Ok(code) => code,
        // A reader that closed the pipe (`| head`) has what it wanted.
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) if is_json => {
            let _ = writeln!(terminal::stdout(), "{}", failure.as_json());
            failure.exit_code()
        }
        Err(failure) => {
            // If standard error is closed too, the error cannot be shown.
            let _ = writeln!(terminal::stderr(), "error: {failure}");
            failure.exit_code()
        }
    }
}

/// Does `work`, and sends its traces, if there is an endpoint for them.
async fn traced(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    mergeline_telemetry::export(environment::variable)?;
    let outcome = tokio::select! {
        outcome = work => outcome,
        never = mergeline_telemetry::keep_flushing() => match never {},
    };
    mergeline_telemetry::flush(LAST_TRACES_WITHIN).await;
    outcome
}

/// Prints clap's error or help through our own output filter.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render();
    let is_plain = |is_terminal: bool| {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        !is_terminal || is_set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
    };
    let shown = |is_terminal| if is_plain(is_terminal) { text.to_string() } else { text.ansi().to_string() };
    // If the output is closed, the text cannot be shown.
    let _ = if error.use_stderr() {
        write!(terminal::stderr(), "{}", shown(io::stderr().is_terminal()))
    } else {
        write!(terminal::stdout(), "{}", shown(io::stdout().is_terminal()))
    };
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failure::BAD_INPUT))
}

async fn run(args: Args) -> Result<ExitCode, Failure> {
    #[expect(clippy::disallowed_methods, reason = "the program's one clock")]
    let clock = Utc::now;
    let options = args.options;
    // Boxed: a collection is a large future.
    match args.command {
        Command::Demo(demo) => Box::pin(demo::run(&demo, &options, clock)).await,
        Command::Init(init) => Box::pin(init::run(&init, &options, clock())).await,
        Command::Collect(collect) => Box::pin(collecting::run(&collect, &options, clock)).await,
        Command::OpenApi => {
            writeln!(terminal::stdout(), "{}", serde_json::to_string_pretty(&mergeline_api::openapi())?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Show(show) => show::run(&show, &options, clock).await,
        Command::Status(status) => status::run(&status, &options, clock()).await,
        Command::Doctor(doctor) => doctor::run(&doctor, &options, clock()).await,
        Command::Events(args) => events::run(&args, &options).await,
        Command::Quarantine(command) => quarantine::run(&command, &options, clock()).await,
        Command::Erase(erase) => erase::run(&erase, &options, clock).await,
        Command::Prune(prune) => prune::run(&prune, &options, clock()).await,
        Command::Deployments(command) => deployments::run(&command, &options).await,
        Command::Import(command) => import::run(&command, &options, clock()).await,
        Command::Explain(explain) => explain::run(&explain, &options, clock()).await,
        #[cfg(feature = "aws")]
        Command::Replay => replay::run(&options).await,
        #[cfg(not(feature = "aws"))]
        Command::Replay => Err(Failure::Input(WITHOUT_AWS.to_owned())),
        Command::Serve(serve) => serve::run(&serve, &options, clock).await,
        Command::Keys(command) => keys::run(&command, &options),
        Command::Migrate => database::migrate(&options).await,
        Command::WithDb(with_db) => database::run_with(&with_db, &options).await,
        Command::Data(command) => data::run(&command, &options).await,
        Command::Goals(command) => goals::run(&command, &options, clock()).await,
        Command::Metrics(command) => custom::run(&command, &options, clock()).await,
        Command::Digest(args) => digest::run(&args, &options, clock()).await,
        Command::Notify(args) => Box::pin(channels::notify(&args, &options, clock)).await,
        Command::Channels(command) => Box::pin(channels::channels(&command, &options, clock())).await,
        Command::BackTest(args) => back_test::run(&args, &options, clock()).await,
        Command::Benchmark(command) => benchmark::run(&command, &options, clock()).await,
        Command::Access(command) => access::run(&command, &options, clock()),
        Command::Teams(command) => teams::run(&command, &options, clock()).await,
        Command::Report(report) => Box::pin(report::run(&report, &options, clock)).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "mergeline", &mut script);
            terminal::stdout().write_all(&script)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { folder } => {
            clap_mangen::generate_to(Args::command(), &folder).map_err(|error| {
                Failure::Input(format!("cannot write manual pages into {}: {error}", folder.display()))
            })?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
