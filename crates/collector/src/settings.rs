//! Settings of a collection, read from the environment.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_domain::{Problem, Problems, bounded_integer};
use mergeline_github::GitHubSettings;
use mergeline_store::{Applied, ApplyError, ApplyOptions, DatabaseSettings, Writer};

/// Where a teams file is looked for when none is named: the working folder, and the folder of Lambda's layers.
const USUAL_FILES: [&str; 2] = ["teams.yaml", "/opt/teams.yaml"];
/// Half a year, as forecasts and lasting changes need it: 26 whole weeks, on any day of the week (196 days), and a few days
/// more, because a collection may be late.
const DEFAULT_BACKFILL_DAYS: u16 = 200;
/// Ten years.
const MAX_BACKFILL_DAYS: u16 = 3_650;
/// A year, and time to look at it.
const DEFAULT_LEDGER_DAYS: u16 = 400;
/// A dead letter names its run and can come back from its queue for two weeks.
const MIN_LEDGER_DAYS: u16 = 30;
/// Ten years.
const MAX_LEDGER_DAYS: u16 = 3_650;
/// A waiting sandbox costs money; longer waits are deferred.
const DEFAULT_LONGEST_WAIT: u16 = 60;
/// The longest run of a Lambda function.
const MAX_LONGEST_WAIT: u16 = 900;

/// Settings of a collection, read from the environment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// GitHub's address and the token.
    pub github: GitHubSettings,
    /// The database connection.
    pub database: DatabaseSettings,
    /// Where the teams come from.
    pub teams: TeamsSource,
    /// How far the first collection of a repository goes back.
    pub backfill: TimeDelta,
    /// The longest single wait for a GitHub rate limit.
    pub longest_wait: Duration,
    /// Whether reviews, commits and sizes are read too.
    pub details: bool,
    /// Whether deployments are read too.
    pub deployments: bool,
    /// Whether a teams file may remove a large part of the memberships.
    pub allow_removals: bool,
    /// How long the ledger keeps runs.
    pub ledger: TimeDelta,
}

impl Settings {
    /// Reads the environment, each variable through `lookup`.
    ///
    /// # Errors
    /// Lists every variable that is missing or invalid.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let github = GitHubSettings::from_vars(&lookup).map_err(|found| problems.extend(found)).ok();
        let database = DatabaseSettings::from_vars(&lookup).map_err(|problem| problems.push(problem)).ok();
        let teams = TeamsSource::from_vars(&lookup).map_err(|problem| problems.push(problem)).ok();
        let mut number = |name, bounds, default| {
            bounded_integer(&lookup, name, bounds, default).map_err(|problem| problems.push(problem)).unwrap_or(default)
        };
        let backfill_days = number("BACKFILL_DAYS", 1..=MAX_BACKFILL_DAYS, DEFAULT_BACKFILL_DAYS);
        let longest_wait = number("MAX_WAIT_SECONDS", 1..=MAX_LONGEST_WAIT, DEFAULT_LONGEST_WAIT);
        let ledger_days = number("LEDGER_DAYS", MIN_LEDGER_DAYS..=MAX_LEDGER_DAYS, DEFAULT_LEDGER_DAYS);
        let details = flag(&lookup, "COLLECT_DETAILS", true).map_err(|problem| problems.push(problem)).unwrap_or(true);
        let deployments =
            flag(&lookup, "COLLECT_DEPLOYMENTS", true).map_err(|problem| problems.push(problem)).unwrap_or(true);
        match (github, database, teams) {
            (Some(github), Some(database), Some(teams)) if problems.is_empty() => Ok(Self {
                github,
                database,
                teams,
                backfill: TimeDelta::days(backfill_days.into()),
                longest_wait: Duration::from_secs(longest_wait.into()),
                details,
                deployments,
                allow_removals: lookup("ALLOW_REMOVALS").is_some_and(|text| text == "true"),
                ledger: TimeDelta::days(ledger_days.into()),
            }),
            _ => Err(Problems::of_settings(problems)),
        }
    }
}

fn flag(lookup: impl Fn(&str) -> Option<String>, name: &str, default: bool) -> Result<bool, Problem> {
    match lookup(name).as_deref().map(str::trim) {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(Problem::setting(
            "config.flag",
            name,
            format!("`{other}` is neither true nor false"),
            "write true or false",
        )),
    }
}

/// Where the teams come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TeamsSource {
    /// A named file.
    File(PathBuf),
    /// `TEAM_CONFIG_JSON` and `REPOSITORIES`.
    Variables {
        /// The array of teams.
        team_config_json: String,
        /// The repositories, comma separated.
        repositories: String,
    },
    /// Nothing was named: a file in a usual place, or else the configuration already in the database.
    Usual,
}

impl TeamsSource {
    /// Reads `TEAMS_FILE`, `TEAM_CONFIG_JSON` and `REPOSITORIES`.
    ///
    /// # Errors
    /// `config.ambiguous_source` when a file and variables are given together.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let given = |name| lookup(name).filter(|text| !text.trim().is_empty());
        match (given("TEAMS_FILE"), given("TEAM_CONFIG_JSON"), given("REPOSITORIES")) {
            (Some(path), None, None) => Ok(Self::File(path.into())),
            (None, Some(team_config_json), repositories) => {
                Ok(Self::Variables { team_config_json, repositories: repositories.unwrap_or_default() })
            }
            (None, None, None) => Ok(Self::Usual),
            (Some(_), Some(_), _) => Err(ambiguous("TEAM_CONFIG_JSON")),
            (Some(_), None, Some(_)) => Err(ambiguous("REPOSITORIES")),
            (None, None, Some(_)) => Err(Problem::setting(
                "config.missing_key",
                "TEAM_CONFIG_JSON",
                "REPOSITORIES is set without TEAM_CONFIG_JSON",
                "set TEAM_CONFIG_JSON too, or put both in a teams file",
            )),
        }
    }

    /// Loads the teams file; `None` when nothing was named and there is none in a usual place.
    ///
    /// # Errors
    /// When it cannot be read, or has problems.
    pub fn load(&self) -> Result<Option<TeamsFile>, Problems> {
        match self {
            Self::File(path) => read_file(path).map(Some),
            Self::Variables { team_config_json, repositories } => {
                TeamsFile::parse_variables(team_config_json, repositories).map(Some)
            }
            Self::Usual => USUAL_FILES.iter().map(Path::new).find(|path| path.exists()).map(read_file).transpose(),
        }
    }

    /// Loads the teams file, which must exist.
    ///
    /// # Errors
    /// `config.not_found` when there is none, and the errors of [`Self::load`].
    pub fn load_required(&self) -> Result<TeamsFile, Problems> {
        self.load()?.ok_or_else(|| not_found().into())
    }
}

fn ambiguous(variable: &str) -> Problem {
    let message = format!("TEAMS_FILE and {variable} are both set");
    Problem::setting("config.ambiguous_source", "TEAMS_FILE", message, "unset one of them: a file contains everything")
}

/// The problem that there is no configuration.
pub fn not_found() -> Problem {
    let message = format!("no teams are configured; looked for {}", USUAL_FILES.join(" and "));
    let help = "write a teams file (`mergeline init` makes one of GitHub's teams), or name it in TEAMS_FILE";
    Problem::setting("config.not_found", "TEAMS_FILE", message, help)
}

fn read_file(path: &Path) -> Result<TeamsFile, Problems> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        let help = if path.starts_with("~") {
            "only a shell expands `~`, and only outside quotes: write the full path"
        } else {
            "name an existing file"
        };
        Problem::setting("config.not_found", &shown, format!("it cannot be read: {error}"), help)
    })?;
    TeamsFile::parse(&shown, &bytes)
}

/// Applies the teams file, if there is one.
///
/// # Errors
/// When it has problems, would remove too much, or the database fails.
pub async fn configure(
    store: &Writer,
    source: &TeamsSource,
    allow_removals: bool,
    now: DateTime<Utc>,
) -> Result<Option<Applied>, ApplyError> {
    let Some(file) = source.load()? else { return Ok(None) };
    let applied = store.apply(&file, ApplyOptions { allow_removals, ..ApplyOptions::default() }, now).await?;
    if !applied.plan.is_empty() {
        tracing::info!(
            memberships = applied.plan.memberships.len(),
            reattributed = applied.pull_requests_reattributed,
            "Applied a changed teams file:\n{applied}"
        );
    }
    Ok(Some(applied))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(vars: &[(&str, &str)]) -> Vec<&'static str> {
        let lookup = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        match Settings::from_vars(lookup) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.list.iter().map(|problem| problem.code).collect(),
        }
    }

    const DB: (&str, &str) = ("DB_URL", "postgres://u@localhost/m");

    #[test]
    fn all_unusable_variables_are_reported_at_once() {
        let vars =
            [("GITHUB_PAT", ""), ("DB_URL", "mysql://x/y"), ("BACKFILL_DAYS", "-1"), ("COLLECT_CONCURRENCY", "many")];
        assert_eq!(codes(&vars), ["config.token_format", "config.range", "config.db_url", "config.range"]);
    }

    #[test]
    fn a_database_is_never_guessed() {
        assert_eq!(codes(&[]), ["config.db_url"]);
        assert_eq!(codes(&[DB]), Vec::<&str>::new());
    }

    #[test]
    fn a_file_and_variables_together_are_ambiguous() {
        assert_eq!(codes(&[DB, ("TEAMS_FILE", "t.yaml"), ("TEAM_CONFIG_JSON", "[]")]), ["config.ambiguous_source"]);
        assert_eq!(codes(&[DB, ("TEAMS_FILE", "t.yaml"), ("REPOSITORIES", "a/b")]), ["config.ambiguous_source"]);
        assert_eq!(codes(&[DB, ("REPOSITORIES", "a/b")]), ["config.missing_key"]);
    }

    #[test]
    fn a_missing_file_or_a_folder_is_named() {
        for path in ["/nowhere/teams.yaml", "/"] {
            let problems = TeamsSource::File(path.into()).load().expect_err("refused");
            assert_eq!(problems.list[0].code, "config.not_found");
            assert!(problems.to_string().contains(path), "{problems}");
        }
    }

    #[test]
    fn bad_durations_and_tilde_paths_get_helpful_hints() {
        let lookup = |days: &'static str| {
            move |name: &str| match name {
                "BACKFILL_DAYS" => Some(days.to_owned()),
                "DB_URL" => Some(DB.1.to_owned()),
                _ => None,
            }
        };
        for (days, help) in [
            ("6 months", "write the days, without a word: 183"),
            ("2w", "write the days, without a word: 14"),
            ("1 year", "write the days, without a word: 365"),
            ("half a year", "write a whole number from 1 to 3650, or unset it"),
            ("99 years", "write a whole number from 1 to 3650, or unset it"),
        ] {
            let problems = Settings::from_vars(lookup(days)).expect_err("refused");
            assert_eq!(problems.list[0].help.as_deref(), Some(help), "{days}");
        }
        let problems = TeamsSource::File("~/teams.yaml".into()).load().expect_err("refused");
        assert!(problems.list[0].help.as_ref().is_some_and(|help| help.contains("`~`")), "{problems}");
    }

    #[test]
    fn by_default_at_least_26_whole_weeks_are_read_on_any_day_of_the_week() {
        let settings = Settings::from_vars(|name| (name == "DB_URL").then(|| DB.1.to_owned())).expect("valid");
        let first: DateTime<Utc> = "2026-06-15T23:59:59Z".parse().expect("an instant");
        for day in 0..7 {
            let now = first + TimeDelta::days(day);
            let since = (now - settings.backfill).date_naive();
            let monday = |day: chrono::NaiveDate| mergeline_domain::monday_of(day);
            // The week in which reading starts is read in part, and the present one is not over.
            let whole_weeks = (monday(now.date_naive()) - monday(since)).num_weeks() - 1;
            assert!(whole_weeks >= 26, "{now}: {whole_weeks}");
        }
    }

    #[test]
    fn days_and_concurrency_have_bounds() {
        for days in ["0", "3651", "8d", "", "1e3", "-5"] {
            assert_eq!(codes(&[DB, ("BACKFILL_DAYS", days)]), ["config.range"], "{days}");
        }
        for days in ["0", "29", "3651", "forever", ""] {
            assert_eq!(codes(&[DB, ("LEDGER_DAYS", days)]), ["config.range"], "{days}");
        }
        let most = [DB, ("BACKFILL_DAYS", "3650"), ("COLLECT_CONCURRENCY", "20"), ("LEDGER_DAYS", "30")];
        assert_eq!(codes(&most), Vec::<&str>::new());
    }
}
