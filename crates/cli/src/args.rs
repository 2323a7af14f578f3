//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args as ClapArgs, Parser, Subcommand};
use mergeline_api::{KeyName, Scope};
use mergeline_domain::metrics::{Lookback, LookbackError};
use mergeline_domain::{GithubId, Login, RepoName, TeamSlug};

use crate::explain::PullRequestName;
use crate::quarantine::QuarantineName;

/// Team delivery metrics from GitHub that an engineering manager can trust to the last pull request.
#[derive(Debug, Parser)]
#[command(name = "mergeline", version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// A line for each paragraph: clap breaks them where the terminal ends.
const AFTER_HELP: &str = "\
Environment: GITHUB_PAT (token), DB_URL (a private PostgreSQL is used when unset), TEAMS_FILE or TEAM_CONFIG_JSON with \
REPOSITORIES, GITHUB_API_URL, BACKFILL_DAYS, LEDGER_DAYS, COLLECT_CONCURRENCY, API_KEY, API_KEYS, RUST_LOG; for replay WORK_QUEUE_URL, \
DEAD_LETTER_QUEUE_URL and the usual ones of AWS. The README explains each.

Exit codes: 0 done, 1 failed, 2 the input is wrong, 3 some repositories could not be collected, 130, 143 or 129 ended by \
Ctrl-C, SIGTERM or SIGHUP (serve and demo: 0). status: 3 while some \
repository fails. doctor: 0 also with warnings, 1 it found an error, 2 the error is in the settings or the teams file. \
explain: 1 also when there is no such pull request.";

/// What all commands take.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Options {
    /// Print JSON for machines instead of tables for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Where the private PostgreSQL keeps its data
    // An empty one of the environment counts as unset.
    #[arg(long, global = true, env = "MERGELINE_DATA_DIR", value_name = "FOLDER", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Collect a made-up organization, print its numbers and serve them: needs no token and no account
    Demo(Demo),
    /// Read pull requests from GitHub into the database
    Collect(Collect),
    /// Show the stored numbers of all teams, or of one by week with its phases
    Show(Show),
    /// Show the last runs, and how the collection of each repository stands
    Status(Status),
    /// Check settings, teams file, database, GitHub, repositories and logins, and say how to mend what is wrong
    Doctor(Doctor),
    /// Say for which teams a pull request counts, with which weight, and why
    Explain(Explain),
    /// What could not be read: accept that it is missing
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Erase what is stored of a person who is no longer in the teams file; without --yes, say what that is
    Erase(Erase),
    /// Delete pull requests that were merged or closed before a day, for good; without --yes, say what that is
    Prune(Prune),
    /// Put the work that failed each time back into the work queue
    Replay,
    /// Answer HTTP requests on this machine
    Serve(Serve),
    /// Make keys for the API
    #[command(subcommand)]
    Keys(Keys),
    /// Print the API as an OpenAPI 3.1 document
    #[command(name = "openapi")]
    OpenApi,
    /// Bring the database schema up to date
    Migrate,
    /// Run another program with DB_URL set to the database, `mergeline with-db psql` for example
    #[expect(clippy::doc_markdown, reason = "shown as it is by --help")]
    WithDb(WithDb),
    /// Find, keep and remove what the private PostgreSQL holds
    #[command(subcommand)]
    Data(Data),
    /// Check, compare and apply the teams file
    #[command(subcommand)]
    Teams(Teams),
    /// Print velocity and lead time of a repository or a teams file, live from GitHub, and keep nothing
    Report(Report),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) struct ListenAddress {
    pub(crate) address: SocketAddr,
    /// The host as it was written, by which people will call it.
    pub(crate) host: String,
}

/// `127.0.0.1:8787`, `[::1]:8787`, `localhost:8787`, and for this machine alone `:8787` and `8787`.
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
    // The first one, as IPv4 where there is one: what clients try may be either.
    let mut found: Vec<SocketAddr> = found.collect();
    found.sort_by_key(|address| !address.is_ipv4());
    found.into_iter().next().ok_or_else(|| help.to_owned())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// Where the API listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "HOST:PORT", value_parser = listen_address)]
    pub(crate) listen: ListenAddress,
    /// Print the numbers and end, without serving them
    #[arg(long)]
    pub(crate) no_serve: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Collect {
    /// The teams file (default: `TEAMS_FILE`, else teams.yaml)
    #[arg(long, value_name = "FILE")]
    pub(crate) teams: Option<PathBuf>,
    /// Apply the teams file although it takes out a large part of the memberships
    #[arg(long)]
    pub(crate) allow_removals: bool,
    /// List everything again, find what was deleted on GitHub, and mend what differs
    #[arg(long)]
    pub(crate) verify: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Show {
    /// A team, by its slug
    #[arg(value_name = "TEAM")]
    pub(crate) team: Option<String>,
    /// How far to look back: days, weeks, months or years, the running one included
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
    /// Ask nothing of GitHub
    #[arg(long)]
    pub(crate) offline: bool,
    /// The teams file (default: `TEAMS_FILE`, else teams.yaml)
    #[arg(long, value_name = "FILE")]
    pub(crate) teams: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Explain {
    /// The pull request as owner/name#123, or its address
    #[arg(value_name = "OWNER/NAME#NUMBER")]
    pub(crate) pull_request: PullRequestName,
    /// Ask GitHub when it is not stored
    #[arg(long)]
    pub(crate) ask: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Quarantine {
    /// Call weeks complete without a pull request that cannot be read; answers still say that it is missing
    Accept {
        /// The pull request as owner/name#123, or owner/name@57 where `status` shows only its place
        #[arg(value_name = "OWNER/NAME#NUMBER")]
        pull_request: QuarantineName,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Erase {
    /// A login that the person has or had
    #[arg(value_name = "LOGIN")]
    pub(crate) login: Login,
    /// The account's number at GitHub, where several accounts had that login one after the other
    #[arg(long, value_name = "NUMBER")]
    pub(crate) account: Option<GithubId>,
    /// Do it
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Prune {
    /// The first day that is kept, in the time zone of the teams file
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) before: NaiveDate,
    /// Do it
    #[arg(long)]
    pub(crate) yes: bool,
}

/// A day as the teams file writes it.
fn date(text: &str) -> Result<NaiveDate, String> {
    let date = text.parse::<NaiveDate>().ok().filter(|date| date.to_string() == text);
    date.ok_or_else(|| format!("`{text}` is not a day: write YYYY-MM-DD, 2026-01-01 for example"))
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WithDb {
    /// The program and its arguments; psql is given the database as well
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// Where the API listens; beyond this machine `API_KEY` or `API_KEYS` must be set
    #[arg(long, default_value = "127.0.0.1:8787", value_name = "HOST:PORT", value_parser = listen_address)]
    pub(crate) listen: ListenAddress,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key: it is shown once, with the entry that makes the API know it
    Create(CreateKey),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CreateKey {
    /// Who or what will use it: letters, digits, `.`, `_` and `-`
    #[arg(long)]
    pub(crate) name: KeyName,
    /// What it may be used for, once for each scope
    #[arg(long = "scope", required = true, value_name = "SCOPE", value_parser = scopes())]
    pub(crate) scopes: Vec<Scope>,
    /// The slug of a team, once for each: it then shows these teams only
    #[arg(long = "team", value_name = "TEAM")]
    pub(crate) teams: Vec<TeamSlug>,
}

/// The scopes, named by `--help` and by the error for another one.
fn scopes() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.map(Scope::as_str)).try_map(|text| text.parse())
}

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Print the folder of the private PostgreSQL
    Path,
    /// Print all data as SQL, for `data restore`
    Dump,
    /// Make a private database from what `data dump` printed; there must be none yet
    Restore {
        /// What was printed
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
    /// Say what applying a teams file would change
    Plan(TeamsFile),
    /// Make a teams file the configuration in force
    Apply(Apply),
    /// Print the JSON Schema of the teams file
    Schema,
    /// Print a teams file to start from
    Example,
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
    /// Apply it although it takes out a large part of the memberships
    #[arg(long)]
    pub(crate) allow_removals: bool,
}

/// `owner/name`, or the address of any of its pages.
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
    /// A repository as owner/name, or its address: its authors count as one team
    #[arg(value_name = "OWNER/NAME", conflicts_with = "teams", value_parser = repository)]
    pub(crate) repository: Option<RepoName>,
    /// A teams file instead of a repository
    #[arg(long, value_name = "FILE")]
    pub(crate) teams: Option<PathBuf>,
    /// How many days to look back; the first week is shown whole
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub(crate) days: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_is_a_number_a_name_or_a_port_of_this_machine() {
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
    fn a_repository_is_named_by_its_name_or_by_any_of_its_addresses() {
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
