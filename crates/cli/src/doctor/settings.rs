//! Checks of the settings in the environment.

use mergeline_domain::{Problem, Problems};
use mergeline_github::GitHubSettings;
use mergeline_http_client::{NoAuthorities, problem_of_authorities};
use mergeline_login::{LoginSettings, TokenSettings};

use super::findings::{Check, Findings, Outcome};
use crate::environment::variable;
use crate::failure::Failure;

/// The settings to list if they are set.
const NAMES: [&str; 41] = [
    "GITHUB_PAT",
    "GITHUB_APP_ID",
    "GITHUB_APP_PRIVATE_KEY",
    "GITHUB_API_URL",
    "GITHUB_RESERVE_PERCENT",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "DB_URL",
    "DB_POOLER",
    "TEAMS_FILE",
    "TEAM_CONFIG_JSON",
    "REPOSITORIES",
    "BACKFILL_DAYS",
    "COLLECT_CONCURRENCY",
    "COLLECT_DETAILS",
    "MAX_WAIT_SECONDS",
    "ALLOW_REMOVALS",
    "LEDGER_DAYS",
    "API_KEY",
    "API_KEYS",
    "AUTHORIZER",
    "JWT_ISSUER",
    "JWT_AUDIENCE",
    "WEBHOOK_SECRETS",
    "CHANNELS",
    "CHANNEL_HOSTS",
    "MAIL_FROM",
    "SMTP_URL",
    "ALLOWED_HOSTS",
    "CORS_ORIGIN",
    "OIDC_ISSUER",
    "OIDC_CLIENT_ID",
    "OIDC_CLIENT_SECRET",
    "OIDC_SCOPES",
    "OIDC_GROUPS_CLAIM",
    "PUBLIC_URL",
    "SESSION_SECRET",
    "REQUEST_TIMEOUT_SECONDS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
];
/// Names that other tools use for a setting, and the right name here.
const MISTAKEN: [(&str, &str); 4] = [
    ("GITHUB_TOKEN", "GITHUB_PAT"),
    ("GH_TOKEN", "GITHUB_PAT"),
    ("DATABASE_URL", "DB_URL"),
    ("TEAMS_CONFIG_JSON", "TEAM_CONFIG_JSON"),
];
/// A placeholder for the private database, which is checked later.
const PRIVATE: &str = "postgres://postgres@localhost/postgres";

/// What the other checks need of the settings.
pub(super) struct Checked {
    /// `None` if they are invalid.
    pub(super) github: Option<GitHubSettings>,
    /// Whether details are collected.
    pub(super) details: bool,
    /// The provider that people log in with, if there is one.
    pub(super) login: Option<LoginSettings>,
    /// Which tokens are good, if requests carry one.
    pub(super) tokens: Option<TokenSettings>,
}

/// Checks all settings, those of the collection and those of the API. A teams file from a flag takes precedence over
/// the environment.
pub(super) fn check(is_file_named: bool, findings: &mut Findings) -> Result<Checked, Failure> {
    let lookup = |name: &str| match name {
        "TEAMS_FILE" | "TEAM_CONFIG_JSON" | "REPOSITORIES" if is_file_named => None,
        "DB_URL" => Some(variable(name).unwrap_or_else(|| PRIVATE.to_owned())),
        _ => variable(name),
    };
    let collection = mergeline_collector::Settings::from_vars(lookup);
    let api = mergeline_api::Settings::from_vars(lookup);
    let login = api.as_ref().ok().and_then(|settings| settings.login.clone());
    let tokens = api.as_ref().ok().and_then(|settings| settings.tokens.clone());
    let details = collection.as_ref().map_or(true, |settings| settings.details);
    let mut problems: Vec<Problem> = collection.err().map_or_else(Vec::new, |problems| problems.list);
    for problem in api.err().map_or_else(Vec::new, |problems| problems.list) {
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    if problems.is_empty() {
        let set: Vec<&str> = NAMES.into_iter().filter(|name| variable(name).is_some()).collect();
        let message = match set.as_slice() {
            [] => "none is set, using the defaults".to_owned(),
            set => format!("valid: {}", set.join(", ")),
        };
        findings.add(Check::ok("settings", message))?;
    } else {
        report("settings", &Problems::of_settings(problems), findings)?;
    }
    // Where SSL_CERT_DIR has authorities, the rest works without that file.
    if let Some(problem) = problem_of_authorities(|name| std::env::var_os(name)) {
        findings.add(Check::warning("settings", problem, NoAuthorities::HELP))?;
    }
    for (theirs, ours) in MISTAKEN {
        if variable(theirs).is_some() && variable(ours).is_none() {
            let message = format!("{theirs} is set, which Mergeline does not read");
            findings.add(Check::warning("settings", message, format!("set {ours} if you meant that")))?;
        }
    }
    Ok(Checked { github: GitHubSettings::from_vars(variable).ok(), details, login, tokens })
}

/// Adds one error for each problem.
pub(super) fn report(name: &str, problems: &Problems, findings: &mut Findings) -> Result<(), Failure> {
    for problem in &problems.list {
        let Problem { code, at, path, message, help, .. } = problem;
        let place = match at {
            Some(at) => format!("{}:{at}", problems.source),
            None if path.is_empty() => problems.source.clone(),
            None => path.clone(),
        };
        let message = format!("{place}: {code}: {message}");
        findings.add(Check::new(name, Outcome::Error, message, help.as_deref()))?;
    }
    Ok(())
}
