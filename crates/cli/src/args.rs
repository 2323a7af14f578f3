//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::LazyLock;

use chrono::NaiveDate;
use chrono_tz::Tz;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use mergeline_api::{KeyName, Scope, ServiceName};
use mergeline_domain::metrics::{Lookback, LookbackError};
use mergeline_domain::teams_file::Column;
use mergeline_domain::{Login, RepoEntry, RepoName, TeamSlug, parse_zone};

use crate::names::{PullRequestName, QuarantineName};

/// Team delivery metrics from GitHub that an engineering manager can trust to the last pull request.
#[derive(Debug, Parser)]
#[command(name = "mergeline", version = version(), after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// The version, and the commit that a release was built from.
fn version() -> &'static str {
    const NUMBER: &str = env!("CARGO_PKG_VERSION");
    static WITH_COMMIT: LazyLock<Option<String>> =
        LazyLock::new(|| option_env!("MERGELINE_COMMIT").map(|commit| format!("{NUMBER} ({commit})")));
    WITH_COMMIT.as_deref().unwrap_or(NUMBER)
}

/// One line per paragraph: clap wraps them to the terminal's width.
const AFTER_HELP: &str = concat!(
    "\
Environment: GITHUB_PAT (token), DB_URL (a private PostgreSQL is used when unset), TEAMS_FILE or TEAM_CONFIG_JSON with \
REPOSITORIES, GITHUB_API_URL, BACKFILL_DAYS, LEDGER_DAYS, COLLECT_CONCURRENCY, API_KEY, API_KEYS, RUST_LOG; for replay WORK_QUEUE_URL, \
DEAD_LETTER_QUEUE_URL and the usual AWS variables. ",
    page_of_docs!("settings.md"),
    " explains each.

Exit codes: 0 done, 1 failed, 2 the input is wrong, 3 some repositories could not be collected or some messages not sent, 130, 143 or 129 ended by \
Ctrl-C, SIGTERM or SIGHUP (serve and demo: 0). status: 3 while any \
repository fails. teams drift: 3 when the file differs. doctor: 0 also with warnings, 1 it found an error, 2 the error is in the settings or the teams file. \
explain: 1 also when the pull request does not exist."
);

/// Options of all commands.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Options {
    /// Print JSON for machines instead of tables for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the private PostgreSQL keeps its data
    // An empty environment variable counts as unset.
    #[arg(long, global = true, env = "MERGELINE_DATA_DIR", value_name = "FOLDER", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Collect a made-up organization, print its numbers and serve them; needs no token or account
    Demo(Demo),
    /// Write a teams file from what GitHub lists: repositories, teams and who is in them
    Init(Init),
    /// Read pull requests from GitHub into the database
    Collect(Collect),
    /// Show the stored numbers of all teams, or of one by week with its phases
    Show(Show),
    /// Show the last runs and the collection state of each repository
    Status(Status),
    /// Check settings, teams file, database, GitHub, repositories and logins, and say how to fix what is wrong
    Doctor(Doctor),
    /// Show what happened: applied teams files, failing and recovered repositories, finished backfills, completed weeks
    Events(Events),
    /// Explain which teams a pull request counts for, with which weight, and why
    Explain(Explain),
    /// Derive again what deployments delivered
    #[command(subcommand)]
    Deployments(Deployments),
    /// Store deployments or incidents from a CSV file, as if each had been posted
    #[command(subcommand)]
    Import(Import),
    /// Accept that unreadable pull requests are missing
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Erase what is stored about a person who is no longer in the teams file; without --yes, a dry run
    Erase(Erase),
    /// Permanently delete pull requests that were merged or closed before a day; without --yes, a dry run
    Prune(Prune),
    /// Put dead letters back into the work queue
    Replay,
    /// Answer HTTP requests on this machine
    Serve(Serve),
    /// Create API keys
    #[command(subcommand)]
    Keys(Keys),
    /// Print the API as an OpenAPI 3.1 document
    #[command(name = "openapi")]
    OpenApi,
    /// Bring the database schema up to date
    Migrate,
    /// Run another program with DB_URL set to the database, for example `mergeline with-db psql`
    #[expect(clippy::doc_markdown, reason = "shown as it is by --help")]
    WithDb(WithDb),
    /// Locate, dump, restore and remove the data of the private PostgreSQL
    #[command(subcommand)]
    Data(Data),
    /// Make, check, compare and apply the teams file
    #[command(subcommand)]
    Teams(Teams),
    /// Show how the teams' goals stand, or would have stood
    #[command(subcommand)]
    Goals(Goals),
    /// Show the metrics that the teams file defines, or what those of a file would show
    #[command(subcommand)]
    Metrics(Metrics),
    /// Print a team's last week for a chat or for mail; sends nothing
    Digest(Digest),
    /// Send what the channels of the teams file should hear
    ///
    /// Judges what is new, and sends what is due: digests, agreements, goals, lasting changes, and what operators should know. Run it
    /// every quarter of an hour; what was sent is not sent again. Addresses are in CHANNELS.
    Notify(Notify),
    /// The channels of the teams file, and what was sent to them
    #[command(subcommand)]
    Channels(Channels),
    /// Show how often forecasts would have held, and how many lasting changes were found, in the teams' own past
    BackTest(BackTestOf),
    /// Make a file of the teams' percentiles that may be given away
    #[command(subcommand)]
    Benchmark(Benchmark),
    /// Explain who may see what on the page
    #[command(subcommand)]
    Access(Access),
    /// Print velocity and lead time of a repository or a teams file, live from GitHub; stores nothing
    Report(Report),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder, one for each command
    Man {
        /// The folder; it must exist
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
    },
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) struct ListenAddress {
    pub(crate) address: SocketAddr,
    /// The host as the user wrote it. Clients will use it too.
    pub(crate) host: String,
}

/// Accepts `127.0.0.1:8787`, `[::1]:8787` and `localhost:8787`. `:8787` and `8787` listen on this machine only.
fn listen_address(text: &str) -> Result<ListenAddress, String> {
    let address = socket_address(text)?;
    let host = text.rsplit_once(':').map_or("", |(host, _)| host);
    let host = if host.is_empty() { address.ip().to_string() } else { host.to_owned() };
    Ok(ListenAddress { address, host })
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let help = "write an address and a port: 127.0.0.1:8787, localhost:8787, or :8787";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port: u16 = port.parse().map_err(|_| help.to_owned())?;
    if matches!(host, "" | "localhost") {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    let found = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("`{host}` is not an address of this machine: {error}; {help}"))?;
    // The first IPv4 address if there is one, because clients may try either family.
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(|address| !address.is_ipv4());
    found.into_iter().next().ok_or_else(|| help.to_owned())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Events {
    /// How many to show, the newest first
    #[arg(long, default_value_t = 50, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Show those before this one, by its id in --json
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<i64>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Where the API listens; port 0 picks a free port
    #[arg(long, visible_alias = "port", default_value = "127.0.0.1:8787", value_name = "HOST:PORT", value_parser = listen_address)]
    pub(crate) listen: ListenAddress,
    /// Print the numbers and exit without serving them
    #[arg(long)]
    pub(crate) no_serve: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Collect {
    /// The teams file (default: `TEAMS_FILE`, else teams.yaml)
    #[arg(long, value_name = "FILE")]
    pub(crate) teams: Option<PathBuf>,
    /// Apply the teams file even if it removes a large part of the memberships
    #[arg(long)]
    pub(crate) allow_removals: bool,
    /// List everything again, find what was deleted on GitHub, and fix what differs
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Show {
    /// A team, by its slug
    #[arg(value_name = "TEAM")]
    pub(crate) team: Option<String>,
    /// How far to look back: days, weeks, months or years, including the current one; only weeks where the teams file sets
    /// `privacy.min_group_size`
    #[arg(long, default_value = "P12W", value_name = "PERIOD", value_parser = lookback)]
    pub(crate) last: Lookback,
}

fn lookback(text: &str) -> Result<Lookback, LookbackError> {
    text.to_ascii_uppercase().parse()
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Status {
    /// How many runs to show
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) runs: u32,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// Send no requests to GitHub
    #[arg(long)]
    pub(crate) offline: bool,
    /// The teams file (default: `TEAMS_FILE`, else teams.yaml)
    #[arg(long, value_name = "FILE")]
    pub(crate) teams: Option<PathBuf>,
    /// Only have the functions of this stack check what they reach, from their network and with their rights
    #[arg(long, value_name = "NAME", conflicts_with_all = ["offline", "teams"])]
    pub(crate) stack: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// The pull request as owner/name#123, or its URL
    #[arg(value_name = "OWNER/NAME#NUMBER")]
    pub(crate) pull_request: PullRequestName,
    /// Ask GitHub if it is not stored
    #[arg(long)]
    pub(crate) ask: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Deployments {
    /// Derive what each deployment delivered, which failed and whose they are, from what is stored; asks nobody
    Derive {
        /// Only say whether it differs from what is stored
        #[arg(long)]
        check: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Columns: id, service, environment, and as needed status, repository, sha, version, `started_at`, `finished_at`, rework,
    /// failed, remedies, url
    Deployments(ImportFile),
    /// Columns: id, service, title, and as needed severity, `started_at`, `resolved_at`, deployment, url
    Incidents(ImportFile),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImportFile {
    /// The file; its first line names the columns
    #[arg(value_name = "FILE.csv")]
    pub(crate) file: PathBuf,
    /// The program that the ids belong to, if several number theirs alike
    #[arg(long)]
    pub(crate) source: Option<KeyName>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Treat weeks as complete without an unreadable pull request; answers still say that it is missing
    Accept {
        /// The pull request as owner/name#123, or owner/name@57 where `status` shows only its position
        #[arg(value_name = "OWNER/NAME#NUMBER")]
        pull_request: QuarantineName,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Erase {
    /// A login that the person has or had
    #[arg(value_name = "LOGIN")]
    pub(crate) login: Login,
    /// The account's number at GitHub, if several accounts had that login at different times
    #[arg(long, value_name = "NUMBER")]
    pub(crate) account: Option<i64>,
    /// Do it
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Prune {
    /// The first day to keep, in the time zone of the teams file
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) before: NaiveDate,
    /// Do it
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A day in the format of the teams file.
fn date(text: &str) -> Result<NaiveDate, String> {
    let date = text.parse::<NaiveDate>().ok().filter(|date| date.to_string() == text);
    date.ok_or_else(|| format!("`{text}` is not a day: write YYYY-MM-DD, for example 2026-01-01"))
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WithDb {
    /// The program and its arguments; psql also gets the database URL
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// Where the API listens; to accept other machines, set `API_KEY` or `API_KEYS`
    #[arg(long, visible_alias = "port", default_value = "127.0.0.1:8787", value_name = "HOST:PORT", value_parser = listen_address)]
    pub(crate) listen: ListenAddress,
    /// Also answer at `/metrics`, in the text format of Prometheus; takes a key with metrics:read where keys are set
    #[arg(long)]
    pub(crate) prometheus: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Create a key and show it once, with its entry for `API_KEYS`
    Create(CreateKey),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CreateKey {
    /// Who or what will use it: letters, digits, `.`, `_` and `-`
    #[arg(long)]
    pub(crate) name: KeyName,
    /// What it may be used for; repeat for each scope
    #[arg(long = "scope", required = true, value_name = "SCOPE", value_parser = scopes())]
    pub(crate) scopes: Vec<Scope>,
    /// The slug of a team that it may see; repeat for each team (default: all teams)
    #[arg(long = "team", value_name = "TEAM")]
    pub(crate) teams: Vec<TeamSlug>,
    /// The slug of a service that it may post about, with the scope events:write; repeat for each (default: all services)
    #[arg(long = "service", value_name = "SERVICE")]
    pub(crate) services: Vec<ServiceName>,
    /// The program that posts with it, if several number their deployments alike
    #[arg(long)]
    pub(crate) source: Option<KeyName>,
}

/// The scopes, which `--help` and the error for an unknown scope list.
fn scopes() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)).try_map(|text| text.parse())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Print the folder of the private PostgreSQL
    Path,
    /// Print all data as SQL, for `data restore`
    Dump,
    /// Create a private database from the output of `data dump`; there must be none yet
    Restore {
        /// The output of `data dump`
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove the private PostgreSQL with all data
    Remove {
        /// Do it
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Teams {
    /// Check a teams file without a database
    Validate(TeamsFile),
    /// Show what applying a teams file would change
    Plan(TeamsFile),
    /// Apply a teams file
    Apply(Apply),
    /// Print the JSON Schema of the teams file
    Schema,
    /// Print a teams file to start from
    Example,
    /// Print a teams file made of GitHub's teams, without questions
    Draft(DraftTeams),
    /// Compare the teams file with GitHub's teams, and propose dated lines; changes nothing, and exits with 3 if they differ
    Drift(DriftArgs),
    /// Print a teams file, or lines to add to one, from a table of people as CSV
    Import(ImportPeople),
}

/// What to take from GitHub.
#[derive(Debug, ClapArgs)]
pub(crate) struct FromGitHub {
    /// The organization, or a person's account (default: the only one whose repositories the token sees)
    #[arg(long, value_name = "LOGIN")]
    pub(crate) org: Option<Login>,
    /// A repository as owner/name, or a pattern as in the teams file, such as 'acme/*' or '!acme/*-archive'; repeat for each
    /// (default: all of the organization)
    #[arg(long = "repository", value_name = "OWNER/NAME")]
    pub(crate) repositories: Vec<RepoEntry>,
    #[command(flatten)]
    pub(crate) selection: TeamSelection,
    /// The time zone in which days and weeks start (default: that of this machine)
    #[arg(long, value_name = "ZONE", value_parser = timezone)]
    pub(crate) timezone: Option<Tz>,
}

/// Which teams count.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct TeamSelection {
    /// A team to take, by its slug; repeat for each (default: all that contain no other teams)
    #[arg(long = "team", value_name = "SLUG", conflicts_with = "skipped")]
    pub(crate) teams: Vec<String>,
    /// A team to leave out, by its slug; repeat for each
    #[arg(id = "skipped", long = "skip-team", value_name = "SLUG")]
    pub(crate) skipped: Vec<String>,
}

impl TeamSelection {
    /// Whether nothing was chosen.
    pub(crate) fn is_empty(&self) -> bool {
        self.teams.is_empty() && self.skipped.is_empty()
    }
}

/// The file to write.
#[derive(Debug, ClapArgs)]
pub(crate) struct Output {
    /// The file to write (init: `TEAMS_FILE`, else teams.yaml; others print)
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    #[command(flatten)]
    pub(crate) from: FromGitHub,
    #[command(flatten)]
    pub(crate) output: Output,
    /// Ask nothing: take everything that the other flags do not name; `GITHUB_PAT` must be set
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DraftTeams {
    #[command(flatten)]
    pub(crate) from: FromGitHub,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DriftArgs {
    #[command(flatten)]
    pub(crate) teams: TeamsFile,
    /// The organization (default: the owner of the file's repositories)
    #[arg(long, value_name = "LOGIN")]
    pub(crate) org: Option<Login>,
    #[command(flatten)]
    pub(crate) selection: TeamSelection,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ImportPeople {
    /// The table. Its first line names the columns: login, team, and as needed weight, from, to or `last_day`, id, `team_name`
    #[arg(value_name = "FILE.csv")]
    pub(crate) file: PathBuf,
    /// A repository as owner/name, or a pattern as in the teams file; repeat for each
    #[arg(long = "repository", value_name = "OWNER/NAME", conflicts_with = "add_to")]
    pub(crate) repositories: Vec<RepoEntry>,
    /// A teams file: print what is to be added to it. It is not changed
    #[arg(long, value_name = "FILE")]
    pub(crate) add_to: Option<PathBuf>,
    /// What the table calls a column, for example `login="GitHub user"`; repeat for each
    #[arg(long = "column", value_name = "COLUMN=HEADER", value_parser = column)]
    pub(crate) columns: Vec<(Column, String)>,
    /// The time zone in which days and weeks start (default: that of this machine)
    #[arg(long, value_name = "ZONE", value_parser = timezone, conflicts_with = "add_to")]
    pub(crate) timezone: Option<Tz>,
    #[command(flatten)]
    pub(crate) output: Output,
}

fn timezone(text: &str) -> Result<Tz, String> {
    parse_zone(text).ok_or_else(|| format!("`{text}` is not a time zone: write an IANA name, for example Europe/Oslo"))
}

/// Parses `login=GitHub user`.
fn column(text: &str) -> Result<(Column, String), String> {
    let known = || {
        let names: Vec<&str> = Column::all().map(<&str>::from).collect();
        format!("write a column and its header, for example `login=GitHub user`; the columns are: {}", names.join(", "))
    };
    let (name, header) = text.split_once('=').ok_or_else(known)?;
    let column = name.trim().parse().map_err(|_| known())?;
    if header.trim().is_empty() { Err(known()) } else { Ok((column, header.trim().to_owned())) }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Goals {
    /// Show how the goals in force stand
    Show {
        /// A team, by its slug (default: all)
        #[arg(value_name = "TEAM")]
        team: Option<String>,
    },
    /// Show how the goals of a teams file would have stood in the last 26 weeks, and how many messages that would have been
    Preview {
        #[command(flatten)]
        teams: TeamsFile,
        /// Only those of this team, by its slug
        #[arg(long, value_name = "TEAM")]
        team: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Metrics {
    /// Show the metrics in force
    Show {
        /// A team, by its slug (default: all)
        #[arg(value_name = "TEAM")]
        team: Option<String>,
    },
    /// Show what the metrics of a teams file would say of what is stored
    Preview {
        #[command(flatten)]
        teams: TeamsFile,
        /// Only for this team, by its slug
        #[arg(long, value_name = "TEAM")]
        team: Option<String>,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Digest {
    /// A team, by its slug (default: all)
    #[arg(value_name = "TEAM")]
    pub(crate) team: Option<String>,
    /// The ISO week, for example 2026-W23 (default: the last whole one)
    #[arg(long, value_name = "WEEK", value_parser = monday_of_week)]
    pub(crate) week: Option<NaiveDate>,
    /// What to print: text, HTML, or the JSON body that a service's webhook takes, on a line for each team
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: DigestFormat,
    /// Leave out the titles of pull requests
    #[arg(long)]
    pub(crate) no_titles: bool,
    /// The address of the page up to `/v1/app/`, to link to it
    #[arg(long, value_name = "URL", value_parser = page)]
    pub(crate) page: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Notify {
    /// Print what would be sent, and send nothing
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Channels {
    /// Each channel, whether it has an address, and what became of its messages in the last seven days
    List,
    /// Send a sample to a channel
    Test(TestChannel),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TestChannel {
    /// The channel, by its id in the teams file
    #[arg(value_name = "CHANNEL")]
    pub(crate) channel: String,
    /// Print what would be sent, and send nothing
    #[arg(long)]
    pub(crate) print: bool,
}

/// Where a digest is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DigestFormat {
    /// Plain text, as mail has it
    Text,
    /// HTML, as mail has it
    Html,
    /// An incoming webhook of Slack
    Slack,
    /// A workflow of Microsoft Teams
    Teams,
    /// A webhook of Discord
    Discord,
    /// The body of a Standard Webhook
    Webhook,
}

fn monday_of_week(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(&format!("{text}-1"), "%G-W%V-%u")
        .map_err(|_| "write an ISO week, for example 2026-W23".to_owned())
}

fn page(text: &str) -> Result<String, String> {
    let is_address = ["https://", "http://"].iter().any(|start| text.len() > start.len() && text.starts_with(start));
    if is_address && !text.contains(['#', '?', ' ']) {
        Ok(text.to_owned())
    } else {
        Err("write the address up to `/v1/app/`".to_owned())
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BackTestOf {
    /// A team, by its slug (default: all)
    #[arg(value_name = "TEAM")]
    pub(crate) team: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Access {
    /// Show what somebody may see who logs in, and which line of `access` decides
    Explain(ExplainAccess),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainAccess {
    #[command(flatten)]
    pub(crate) teams: TeamsFile,
    /// The person's address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// Whether the provider does not say that the address is verified, as Entra
    #[arg(long)]
    pub(crate) unverified: bool,
    /// A group of the person at the provider; repeat for each
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// The person's domain (default: that of the address); with Google, that of the workspace
    #[arg(long, value_name = "DOMAIN")]
    pub(crate) domain: Option<String>,
    /// The person's identifier at the provider
    #[arg(long, value_name = "ID")]
    pub(crate) subject: Option<String>,
    /// When they logged in (default: now)
    #[arg(long, value_name = "INSTANT")]
    pub(crate) logged_in_at: Option<chrono::DateTime<chrono::Utc>>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TeamsFile {
    /// The teams file (default: `TEAMS_FILE`, else teams.yaml)
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) teams: TeamsFile,
    /// Apply it even if it removes a large part of the memberships
    #[arg(long)]
    pub(crate) allow_removals: bool,
}

/// Parses `owner/name`, or the URL of any page of the repository.
fn repository(text: &str) -> Result<RepoName, String> {
    let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let path = address.map(|address| address.split_once('/').map_or("", |(_, path)| path));
    let name: String =
        match path.or_else(|| text.strip_prefix("git@").and_then(|text| text.split_once(':')).map(|(_, path)| path)) {
            Some(path) => {
                path.split(['?', '#']).next().unwrap_or_default().split('/').take(2).collect::<Vec<_>>().join("/")
            }
            None => text.trim_end_matches('/').to_owned(),
        };
    let name = name.strip_suffix(".git").unwrap_or(&name);
    name.parse().map_err(|error| format!("{error}"))
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Report {
    /// A repository as owner/name, or its URL; its authors count as one team
    #[arg(value_name = "OWNER/NAME", conflicts_with = "teams", value_parser = repository)]
    pub(crate) repository: Option<RepoName>,
    /// A teams file instead of a repository
    #[arg(long, value_name = "FILE")]
    pub(crate) teams: Option<PathBuf>,
    /// How many days to look back; the first week is shown in full
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub(crate) days: u16,
    /// What to print (default: tables; `json` is the same as --json)
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    pub(crate) format: Option<ReportFormat>,
    /// Also print public repositories, which are not companies, beside the teams
    #[arg(long, conflicts_with = "json")]
    pub(crate) benchmark: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Benchmark {
    /// Print the teams' percentiles without names and sizes, rounded, as JSON to read and to give away; sends nothing
    Export(BenchmarkExport),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BenchmarkExport {
    /// Only this team, by its slug (default: all)
    #[arg(value_name = "TEAM")]
    pub(crate) team: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Tables for a terminal
    Table,
    /// JSON for machines
    Json,
    /// Markdown, for example for the summary of a run of GitHub Actions
    Markdown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_an_ip_name_or_local_port() {
        let address = |text: &str| listen_address(text).map(|listen| listen.address.to_string());
        for text in ["127.0.0.1:8787", "localhost:8787", ":8787", "8787"] {
            assert_eq!(address(text), Ok("127.0.0.1:8787".to_owned()), "{text}");
        }
        assert_eq!(address("[::1]:0"), Ok("[::1]:0".to_owned()));
        let host = |text: &str| listen_address(text).map(|listen| listen.host);
        for (text, expected) in
            [("localhost:1", "localhost"), (":1", "127.0.0.1"), ("[::1]:1", "[::1]"), ("1", "127.0.0.1")]
        {
            assert_eq!(host(text), Ok(expected.to_owned()), "{text}");
        }
        for text in ["localhost", "", "127.0.0.1", "localhost:http", ":99999"] {
            assert!(address(text).is_err_and(|message| message.contains("localhost:8787")), "{text}");
        }
    }

    #[test]
    fn a_repository_parses_from_its_name_or_any_url() {
        for text in [
            "acme/api",
            "acme/api/",
            "https://github.com/acme/api",
            "https://github.com/acme/api.git",
            "https://github.com/acme/api/pulls?q=is%3Aopen",
            "https://github.example.com/acme/api#readme",
            "git@github.com:acme/api.git",
        ] {
            assert_eq!(repository(text).map(|name| name.to_string()), Ok("acme/api".to_owned()), "{text}");
        }
        for text in ["acme", "https://github.com/acme", "https://github.com", "acme/api/pulls"] {
            assert!(repository(text).is_err(), "{text}");
        }
    }
}
