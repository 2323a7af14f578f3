//! Checks of the database, its schema and its data.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::plan::Doubt;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_domain::{InstanceId, Login, RepoName, count_of, error_chain};
use mergeline_local_postgres::Binaries;
use mergeline_store::{
    Announcements, ApplyError, ConfiguredLogin, DatabaseStatus, KnownEnvironment, LoginKind, PluginActivity,
    QuarantineEntry, RepositoryStatus, ResultState, RunState, Snapshot, SourceActivity, StoreError, UNKNOWN_ZONE_HELP,
    UnreadList, Writer,
};
use mergeline_webhooks::WebhookSecrets;

use super::findings::{Check, Findings, Outcome};
use super::{Configured, settings};
use crate::args::Options;
use crate::database::Database;
use crate::environment::variable;
use crate::failure::Failure;
use crate::remedies;
use crate::tables::ago;

/// The oldest PostgreSQL version with all features that the schema uses.
const MIN_VERSION: i32 = 15;
/// How many pull requests in quarantine are listed with their reasons; `status` shows more.
const LISTED: u32 = 5;
/// After this time without a run, the timer may be gone.
const OLD: TimeDelta = TimeDelta::days(7);

/// What the checks found in the database.
#[derive(Default)]
pub(super) struct Checked {
    /// The database itself, if its schema is up to date.
    pub(super) opened: Option<(Database, Writer)>,
    /// The current configuration, `None` if there is none.
    pub(super) configured: Option<Configured>,
    /// The people, with the last login that GitHub showed.
    pub(super) known: Vec<ConfiguredLogin>,
    /// Logins that may belong to another person than the one they count for.
    pub(super) doubts: Vec<Doubt>,
    /// Repositories without a deployment to production, where GitHub's list is their source.
    pub(super) without_deployments: Vec<RepoName>,
}

pub(super) async fn check(
    options: &Options,
    file: Option<&TeamsFile>,
    has_details: bool,
    findings: &mut Findings,
    now: DateTime<Utc>,
) -> Result<Checked, Failure> {
    let opened = match Database::open_existing(options).await {
        Ok(Some(database)) => database.store().map(|store| Some((database, store))),
        Ok(None) => Ok(None),
        Err(failure) => Err(failure),
    };
    let (database, store) = match opened {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            findings.add(private_to_come())?;
            findings.add(nothing_collected())?;
            return Ok(Checked::default());
        }
        // Problems with DB_URL were reported with the settings.
        Err(Failure::Problems(_)) => return Ok(Checked::default()),
        Err(failure) => {
            let (message, help) = split_help(&failure.to_string());
            findings.add(Check::error("database", message, help))?;
            return Ok(Checked::default());
        }
    };
    let status = match store.database_status().await {
        Ok(status) => status,
        Err(error) => {
            findings.add(Check::error("database", error_chain(&error), remedy(&error)))?;
            return Ok(Checked::default());
        }
    };
    findings.add(server(&status, database.is_private()))?;
    findings.add(schema(&status))?;
    for check in [reading_role(&status), row_level_security(&status)].into_iter().flatten().chain(logins(&status)) {
        findings.add(check)?;
    }
    if !status.missing().is_empty() {
        return Ok(Checked::default());
    }
    let outcome = read(&store, file, has_details, findings, now).await;
    let opened = Some((database, store));
    match outcome {
        Ok(checked) => Ok(Checked { opened, ..checked }),
        Err(Unread::Store(error)) => {
            findings.add(Check::error("database", error_chain(&error), remedy(&error)))?;
            Ok(Checked { opened, ..Checked::default() })
        }
        Err(Unread::Failure(failure)) => Err(failure),
    }
}

/// Why reading the data stopped early.
enum Unread {
    Store(StoreError),
    /// The findings cannot be printed.
    Failure(Failure),
}

impl From<StoreError> for Unread {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn nothing_collected() -> Check {
    Check::warning("collection", "nothing was ever collected here", "run `mergeline collect`")
}

fn private_to_come() -> Check {
    match Binaries::find() {
        Ok(binaries) => {
            let (version, folder) = (binaries.version(), binaries.folder().display());
            Check::ok(
                "database",
                format!("none yet: `collect` creates a private one with PostgreSQL {version} ({folder})"),
            )
        }
        Err(error) => {
            let (message, help) = split_help(&error.to_string());
            Check::error("database", message, help)
        }
    }
}

/// Errors of the private server include their remedy in the text.
fn split_help(text: &str) -> (String, String) {
    let (message, help) = text.split_once("help: ").unwrap_or((text, "fix the cause, and try again"));
    (message.to_owned(), help.to_owned())
}

fn remedy(error: &StoreError) -> Cow<'static, str> {
    remedies::of_database(error).unwrap_or(Cow::Borrowed("run `mergeline migrate` of this version"))
}

fn server(status: &DatabaseStatus, is_private: bool) -> Check {
    let DatabaseStatus { version, is_encrypted, .. } = status;
    if *version < MIN_VERSION {
        let message = format!("PostgreSQL {version} is too old");
        return Check::error("database", message, format!("use PostgreSQL {MIN_VERSION} or later"));
    }
    let way = match (is_private, is_encrypted) {
        (true, _) => "the private one",
        (false, true) => "over TLS",
        // Connections to other machines without verified TLS are refused earlier.
        (false, false) => "on this machine, without TLS",
    };
    Check::ok("database", format!("PostgreSQL {version}, {way}"))
}

fn schema(status: &DatabaseStatus) -> Check {
    let (missing, unknown, all) = (status.missing(), status.unknown(), Writer::known_migrations().len());
    let help = "run `mergeline migrate`; `collect` does it too";
    if let (false, false, Some((version, name))) = (status.owns_tables, status.migrations.is_empty(), missing.first()) {
        let message = format!("{} of {all} migrations missing, starting at {version} ({name})", missing.len());
        let help = "run `mergeline migrate` with the login that owns the tables; this one does not";
        return Check::error("schema", message, help);
    }
    if let (Some(grant), false) = (&status.missing_grant, missing.is_empty()) {
        let message = "the login may not create tables in the database";
        return Check::error("schema", message, remedies::grant_remedy(grant));
    }
    if status.is_of_before_first_release() {
        let message = "a version from before the first release created it; it cannot be migrated";
        let help = "name an empty database in DB_URL (the private one: `mergeline data remove`), and collect again";
        return Check::error("schema", message, help);
    }
    match (missing.first(), unknown.first()) {
        (Some(_), _) if status.migrations.is_empty() => {
            Check::warning("schema", "the database is empty", "run `mergeline collect`, or `mergeline migrate`")
        }
        (Some((version, name)), _) => {
            let count = missing.len();
            Check::error("schema", format!("{count} of {all} migrations missing, starting at {version} ({name})"), help)
        }
        (None, Some(version)) => {
            let count = unknown.len();
            let message = format!(
                "a newer Mergeline has migrated it: {count} migrations are unknown here, starting at {version}"
            );
            Check::warning("schema", message, "use that version on this machine too")
        }
        (None, None) => Check::ok("schema", format!("up to date ({all} migrations)")),
    }
}

/// Whether the API reads as a role that cannot write.
fn reading_role(status: &DatabaseStatus) -> Option<Check> {
    let statements = status.missing_role.as_ref().filter(|_| status.missing().is_empty())?;
    let message = "the API reads with all rights of this login, not as a role that may only read";
    let help = format!(
        "run `mergeline migrate`, which `collect` does too; if this remains, let an administrator of the database run \
         `{statements}`"
    );
    Some(Check::warning("reading role", message, help))
}

/// The logins of the collector and the API, where they have their own, and which rights are too many or too few.
fn logins(status: &DatabaseStatus) -> Vec<Check> {
    const NAME: &str = "logins";
    let checks = status.logins.iter().flat_map(|login| {
        let who = match login.kind {
            LoginKind::Writer => format!("`{}`, the collector's,", login.name),
            LoginKind::Reader => format!("`{}`, the API's,", login.name),
        };
        if login.excess.is_empty() && login.lacking.is_empty() {
            return vec![Check::ok(NAME, format!("{who} may do what it has to, and nothing else"))];
        }
        let excess = login.excess.iter().map(|excess| {
            let help = "take that away; `mergeline migrate` with the owner's login, DB_WRITER_URL and DB_READER_URL sets what it can";
            Check::warning(NAME, format!("{who} {excess}"), help)
        });
        let lacking = login.lacking.iter().map(|lacking| {
            Check::error(NAME, format!("{who} {lacking}"), "run `mergeline migrate` with the login that owns the tables")
        });
        excess.chain(lacking).collect()
    });
    checks.collect()
}

/// Whether the database's rules about rows apply to the login.
fn row_level_security(status: &DatabaseStatus) -> Option<Check> {
    let message = "row-level security does not apply to this login, which is a superuser or has BYPASSRLS: large databases are \
                   slower";
    let help = concat!(
        "set DB_URL to a login that owns the tables and is neither: ",
        page_of_docs!("deploy.md"),
        ", A dedicated user and database"
    );
    // Before the first migration, the owner of the tables is not there yet.
    let is_migrated = !status.migrations.is_empty();
    (status.bypasses_policies && is_migrated).then(|| Check::warning("login", message, help))
}

async fn read(
    store: &Writer,
    file: Option<&TeamsFile>,
    has_details: bool,
    findings: &mut Findings,
    now: DateTime<Utc>,
) -> Result<Checked, Unread> {
    let repositories = store.repository_statuses().await?;
    let known = store.configured_logins().await?;
    let snapshot = store.snapshot().await?;
    let runs = store.runs(None, 1).await?;
    if file.is_some() || snapshot.is_some() {
        findings.add(timezone(store, file).await?)?;
    }
    findings.add(match runs.first() {
        None => nothing_collected(),
        Some(run) => {
            let message = format!("run {} {} {}", run.id, started(run.state), ago(run.started_at, now));
            if now - run.started_at > OLD {
                Check::warning("collection", message, "run `mergeline collect`, or check its timer")
            } else if matches!(run.state, RunState::Failed | RunState::Interrupted) {
                Check::warning("collection", message, "`mergeline status` shows why")
            } else {
                Check::ok("collection", message)
            }
        }
    })?;
    for repository in repositories.iter().filter(|one| one.state == Some(ResultState::Failed)) {
        let reason = repository.reason.as_deref().unwrap_or("unknown reason");
        let code = repository.reason_code.as_deref().unwrap_or("failed");
        let message = format!("{}: its last collection failed: {code}: {reason}", repository.name);
        findings.add(Check::warning("collection", message, "fix the cause, and run `mergeline collect`"))?;
    }
    for block in store.rate_limit_blocks(InstanceId::GITHUB, now).await? {
        let message =
            format!("GitHub's rate limit `{}` stopped a run; it expires {}", block.kind, ago(block.until, now));
        findings.add(Check::warning("limits", message, "no action needed: runs wait until then and continue"))?;
    }
    if !runs.is_empty() {
        let mut checks = vec![
            quarantine(&repositories, &store.quarantine_entries(LISTED).await?),
            details(&repositories, has_details),
        ];
        checks.extend(services(&repositories, &store.services_without_repository().await?));
        let (environments, unread) = (store.environments().await?, store.unread_deployments().await?);
        checks.extend(deployments(&environments, &unread, &store.source_activity().await?));
        checks.extend(unread_lists("incidents", &store.unread_incidents().await?));
        // Where nothing was read, nothing is in order either.
        let is_any_read = repositories.iter().any(|repository| repository.collected_at.is_some());
        for check in checks.into_iter().filter(|check| is_any_read || check.outcome != Outcome::Ok) {
            findings.add(check)?;
        }
    }
    // Those that cannot be used were reported with the settings.
    let secrets = WebhookSecrets::from_vars(variable).unwrap_or_default();
    let plugins: Vec<&str> = secrets.plugins().map(Into::into).collect();
    for check in webhooks(&plugins, &store.plugin_activity(now).await?, store.announcements().await?, now) {
        findings.add(check)?;
    }
    let configured = snapshot.map(|snapshot| Configured {
        repositories: repositories_by_name(&snapshot),
        rules: snapshot.rules,
        includes_archived: snapshot.includes_archived,
        logins: known.iter().map(|one| (Login::from_github(&one.login), one.external_id.clone())).collect(),
        without_deployments: Vec::new(),
    });
    let doubts = doubts(store, file, findings, now).await?;
    let without_deployments = store.repositories_without_deployments().await?;
    Ok(Checked { opened: None, configured, known, doubts, without_deployments })
}

/// The doubts after applying the file, or of the current configuration if there is no file.
async fn doubts(
    store: &Writer,
    file: Option<&TeamsFile>,
    findings: &mut Findings,
    now: DateTime<Utc>,
) -> Result<Vec<Doubt>, Unread> {
    let Some(file) = file else { return Ok(store.doubts().await?) };
    match store.plan(file, now).await {
        Ok(plan) => Ok(plan.doubts),
        Err(ApplyError::Problems(problems)) => {
            settings::report("teams file", &problems, findings)?;
            Ok(Vec::new())
        }
        Err(ApplyError::Store(error)) => Err(error.into()),
        // Reported by other checks.
        Err(ApplyError::TooManyRemovals { .. } | ApplyError::UnknownTimezone(_)) => Ok(Vec::new()),
    }
}

/// Checks that the database knows the time zone of the teams file, or of the current configuration if there is no file.
async fn timezone(store: &Writer, file: Option<&TeamsFile>) -> Result<Check, StoreError> {
    let zone = match file {
        Some(file) => file.timezone,
        None => store.timezone().await?,
    };
    Ok(match store.known_zone(zone).await? {
        None => {
            let message = format!("the database does not know {zone} or another name for it");
            Check::error("time zone", message, UNKNOWN_ZONE_HELP)
        }
        Some(known) if known != zone => Check::ok("time zone", format!("{zone}, which the database calls {known}")),
        Some(_) => Check::ok("time zone", zone.name()),
    })
}

/// The repositories that are configured by name. Those that a pattern matches are checked with the pattern.
fn repositories_by_name(snapshot: &Snapshot) -> Vec<RepoName> {
    let is_matched_by_pattern = |name: &RepoName| snapshot.rules.patterns().any(|pattern| pattern.matches(name));
    let names = snapshot.repositories.iter().map(|repository| repository.name.clone());
    let mut names: Vec<_> = names.filter(|name| !is_matched_by_pattern(name)).collect();
    names.sort();
    names
}

/// The state of the last run, up to its start time.
fn started(state: RunState) -> String {
    match state {
        RunState::Running => "is in progress, started".to_owned(),
        ended => format!("was the last one: {ended}, started"),
    }
}

fn sum(repositories: &[RepositoryStatus], count: impl Fn(&RepositoryStatus) -> i64) -> (i64, String) {
    let affected: Vec<&str> = repositories.iter().filter(|one| count(one) > 0).map(|one| one.name.as_str()).collect();
    (repositories.iter().map(count).sum(), affected.join(", "))
}

fn quarantine(repositories: &[RepositoryStatus], entries: &[QuarantineEntry]) -> Check {
    match sum(repositories, |repository| repository.quarantined) {
        (0, _) => Check::ok("quarantine", "empty"),
        (count, names) => {
            let listed: Vec<String> =
                entries.iter().map(|entry| format!("{}: {}", entry.name(), entry.reason)).collect();
            let more = if entries.len() < usize::try_from(count).unwrap_or(usize::MAX) { "; ..." } else { "" };
            Check::warning(
                "quarantine",
                format!(
                    "{} unreadable and not counted ({names}): {}{more}",
                    count_of(count, "pull request"),
                    listed.join("; ")
                ),
                "`mergeline collect` retries them; if one stays, report it, and run `mergeline quarantine accept` with \
                 its name to treat weeks as complete without it",
            )
        }
    }
}

fn details(repositories: &[RepositoryStatus], has_details: bool) -> Check {
    match sum(repositories, |repository| repository.without_details) {
        (0, _) => Check::ok("details", "complete"),
        (count, _) if !has_details => Check::ok(
            "details",
            format!(
                "{} without commits and reviews, because of COLLECT_DETAILS=false",
                count_of(count, "pull request")
            ),
        ),
        (count, names) => Check::warning(
            "details",
            format!(
                "{} without commits and reviews: their phases are not counted yet ({names})",
                count_of(count, "pull request")
            ),
            "run `mergeline collect` with a token: without one GitHub does not show them",
        ),
    }
}

/// What services lack: repositories, and comparisons with their paths.
fn services(repositories: &[RepositoryStatus], without: &[(String, String)]) -> Vec<Check> {
    const NAME: &str = "services";
    let lacking = without.iter().map(|(service, repository)| {
        let message =
            format!("`{service}` has `{repository}`, which is not collected: nothing new of it counts for the service");
        Check::warning(NAME, message, "if it was renamed, write its present name into the teams file")
    });
    let mut checks: Vec<Check> = lacking.collect();
    if let (count @ 1.., names) = sum(repositories, |repository| repository.without_files) {
        let message =
            format!("{} not compared with the paths of services yet ({names})", count_of(count, "merged pull request"));
        checks.push(Check::warning(
            NAME,
            message,
            "run `mergeline collect` with a token; the log says which could not be read",
        ));
    }
    checks
}

/// What is known of deployments: whether any environment means production, and what could not be read.
fn deployments(environments: &[KnownEnvironment], unread: &[UnreadList], sources: &[SourceActivity]) -> Vec<Check> {
    /// More do not help.
    const SHOWN: usize = 8;
    const NAME: &str = "deployments";
    let mut checks = Vec::new();
    let listed: Vec<String> =
        environments.iter().take(SHOWN).map(|it| format!("{} ({})", it.name, it.deployments)).collect();
    let listed = listed.join(", ");
    let production: i64 = environments.iter().filter(|it| it.is_production).map(|it| it.deployments).sum();
    match environments.first() {
        _ if production > 0 => {
            checks.push(Check::ok(NAME, format!("{production} to production; environments: {listed}")));
        }
        None if unread.is_empty() => checks
            .push(Check::ok(NAME, "no repository has any, so there are no deployment frequency and change lead time")),
        None => {}
        Some(most) => checks.push(Check::warning(
            NAME,
            format!("no environment means production: {listed}"),
            format!("write those that do into the teams file: `environments: {{ production: [\"{}\"] }}`", most.name),
        )),
    }
    for activity in sources.iter().filter(|it| it.last_at.is_none()) {
        let named = match activity.source.as_str() {
            "github-actions" => "`workflow` and `branch`",
            "github-releases" => "`tag`, `prereleases` and `tags`",
            "merges" => "`branch`",
            _ => continue,
        };
        checks.push(Check::warning(
            NAME,
            format!(
                "none to production from {}, the source of {}",
                activity.source,
                count_of(activity.services, "service")
            ),
            format!("check {named} in `deployments` of the teams file"),
        ));
    }
    checks.extend(unread_lists(NAME, unread));
    checks
}

/// What could not be read, by reason.
fn unread_lists(check: &str, unread: &[UnreadList]) -> Vec<Check> {
    let mut by_code: BTreeMap<&str, Vec<&UnreadList>> = BTreeMap::new();
    for one in unread {
        by_code.entry(&one.code).or_default().push(one);
    }
    let checks = by_code.into_iter().map(|(code, of_code)| {
        let names: Vec<&str> = of_code.iter().map(|one| one.repository.as_str()).collect();
        let message = of_code.first().map_or("", |one| one.message.as_str());
        let help = match code {
            "no_permission" if of_code.iter().any(|one| one.source == "github-actions") => {
                "check the name of the workflow in the teams file, and give the token this permission"
            }
            "no_permission" if check == "incidents" => {
                "give the token this permission, or remove `incidents.labels` from the teams file"
            }
            "no_permission" => "give the token this permission, or set COLLECT_DEPLOYMENTS=false",
            "no_token" => "set GITHUB_PAT, or COLLECT_DEPLOYMENTS=false",
            "details_pending" => "run `mergeline collect`: it reads them within its budget",
            _ => "run `mergeline collect` again; if it stays, report it",
        };
        Check::warning(check, format!("{}: not read: {code}: {message}", names.join(", ")), help)
    });
    checks.collect()
}

/// What is known of webhooks: whether deliveries come of those that have a secret here, and what they missed.
fn webhooks(
    with_secret: &[&str],
    activity: &[PluginActivity],
    announcements: Announcements,
    now: DateTime<Utc>,
) -> Vec<Check> {
    const NAME: &str = "webhooks";
    let mut checks = Vec::new();
    for plugin in with_secret.iter().filter(|name| activity.iter().all(|it| it.plugin != **name)) {
        checks.push(Check::warning(
            NAME,
            format!("{plugin} has a secret, but no delivery with it ever came"),
            "check address and secret where the webhook is set up; the log of the API says what was refused",
        ));
    }
    for PluginActivity { plugin, last_at, received, refused, .. } in activity {
        let message = format!("{plugin}: the last delivery {}; in 24 hours {received}", ago(*last_at, now));
        checks.push(if *refused == 0 {
            Check::ok(NAME, message)
        } else {
            let help = "`GET /v1/events?outcome=refused` lists them";
            Check::warning(NAME, format!("{message}, of which {refused} could not be used"), help)
        });
    }
    if let Some(at) = announcements.missed_at.filter(|at| now - *at < OLD) {
        checks.push(Check::warning(
            NAME,
            format!("{} came without a delivery, the last {}", count_of(announcements.missed, "change"), ago(at, now)),
            concat!("compare the events and repositories of the webhook with ", page_of_docs!("webhooks.md")),
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use mergeline_store::LoginStatus;

    use super::*;

    fn status(version: i32, migrations: Vec<i64>) -> DatabaseStatus {
        DatabaseStatus {
            version,
            is_encrypted: true,
            migrations,
            missing_grant: None,
            missing_role: None,
            bypasses_policies: false,
            owns_tables: true,
            logins: Vec::new(),
        }
    }

    #[test]
    fn each_right_that_a_login_has_too_much_or_too_little_is_named() {
        let login = |excess: &[&str], lacking: &[&str]| LoginStatus {
            name: "mergeline_reader".to_owned(),
            kind: LoginKind::Reader,
            excess: excess.iter().map(ToString::to_string).collect(),
            lacking: lacking.iter().map(ToString::to_string).collect(),
        };
        let checked = |login| {
            let checks = logins(&DatabaseStatus { logins: vec![login], ..status(17, vec![1]) });
            checks.into_iter().map(|check| (check.outcome, check.message)).collect::<Vec<_>>()
        };
        let said = |outcome, text: &str| (outcome, format!("`mergeline_reader`, the API's, {text}"));
        assert_eq!(checked(login(&[], &[])), [said(Outcome::Ok, "may do what it has to, and nothing else")]);
        assert_eq!(
            checked(login(&["may create roles"], &["cannot read teams"])),
            [said(Outcome::Warning, "may create roles"), said(Outcome::Error, "cannot read teams")]
        );
        assert!(logins(&status(17, vec![1])).is_empty(), "one login does everything");
    }

    #[test]
    fn a_login_beside_the_owners_is_not_asked_to_migrate() {
        let beside =
            DatabaseStatus { owns_tables: false, missing_grant: Some("GRANT".to_owned()), ..status(17, vec![1]) };
        let help = schema(&beside).remedy.unwrap_or_default();
        assert!(help.contains("with the login that owns the tables"), "{help}");
    }

    #[test]
    fn a_server_that_is_too_old_is_an_error() {
        assert_eq!(server(&status(14, Vec::new()), false).outcome, Outcome::Error);
        assert_eq!(server(&status(15, Vec::new()), false).outcome, Outcome::Ok);
    }

    #[test]
    fn a_login_above_row_level_security_is_a_warning() {
        let bypassing = |migrations| DatabaseStatus { bypasses_policies: true, ..status(15, migrations) };
        assert_eq!(row_level_security(&bypassing(vec![1])).map(|check| check.outcome), Some(Outcome::Warning));
        assert!(row_level_security(&bypassing(Vec::new())).is_none(), "its owner is made with the tables");
        assert!(row_level_security(&status(15, vec![1])).is_none());
    }

    #[test]
    fn older_schemas_fail_and_newer_or_empty_ones_warn() {
        let known: Vec<i64> = Writer::known_migrations().into_iter().map(|(version, _)| version).collect();
        let newer = known.iter().copied().chain([99_991_231_000_000]).collect();
        let outcomes = [known[..3].to_vec(), newer, Vec::new(), known.clone()].map(|m| schema(&status(17, m)).outcome);
        assert_eq!(outcomes, [Outcome::Error, Outcome::Warning, Outcome::Warning, Outcome::Ok]);
        let before_the_first_release = schema(&status(17, vec![20_261_120_100_000]));
        assert_eq!(before_the_first_release.outcome, Outcome::Error);
        assert!(before_the_first_release.message.contains("before the first release"), "{before_the_first_release:?}");
    }

    #[test]
    fn webhooks_that_are_silent_or_miss_something_are_named() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let heard = |plugin: &str, refused| PluginActivity {
            plugin: plugin.to_owned(),
            last_at: now - TimeDelta::hours(2),
            received: 5,
            ignored: 0,
            refused,
        };
        let outcomes =
            |checks: Vec<Check>| checks.into_iter().map(|check| (check.outcome, check.message)).collect::<Vec<_>>();
        assert!(webhooks(&[], &[], Announcements::default(), now).is_empty(), "without webhooks nothing is said");
        let missed = Announcements { repositories: 1, missed: 3, missed_at: Some(now - TimeDelta::hours(1)) };
        let checks = webhooks(&["github", "grafana"], &[heard("github", 0), heard("pagerduty", 2)], missed, now);
        let expected = [
            (Outcome::Warning, "grafana has a secret, but no delivery with it ever came"),
            (Outcome::Ok, "github: the last delivery 2 h ago; in 24 hours 5"),
            (Outcome::Warning, "pagerduty: the last delivery 2 h ago; in 24 hours 5, of which 2 could not be used"),
            (Outcome::Warning, "3 changes came without a delivery, the last 60 min ago"),
        ];
        assert_eq!(outcomes(checks), expected.map(|(outcome, message)| (outcome, message.to_owned())));
    }
}
