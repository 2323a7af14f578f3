//! What a function finds out about itself: whether it reaches, from its own network and with its own rights, what it works with.
//!
//! Answers name settings, hosts and ARNs, and hold no secret.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use mergeline_api::Settings as ApiSettings;
use mergeline_aws::{Aws, Queue, SecretValues, SecretVariable};
use mergeline_collector::Settings as CollectorSettings;
use mergeline_domain::messages::ChannelEntry;
use mergeline_domain::{Problem, Problems, count_of, error_chain};
use mergeline_github::GitHub;
use mergeline_login::{LoginSettings, Provider, TokenSettings, Tokens};
use mergeline_source::WaitBudget;
use mergeline_store::{Actor, DatabaseSettings, Reader, Writer};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::login::with_way_in;
use crate::messages::sender;

/// For each check, of which one follows at most two others. The API's function has 29 s.
const WITHIN: Duration = Duration::from_secs(8);
/// An App has a token for each owner. More than these say nothing new about the network.
const MOST_OWNERS: usize = 5;

/// Looks up an environment variable.
pub type Lookup<'a> = &'a (dyn Fn(&str) -> Option<String> + Send + Sync);

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It does not work.
    Error,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// How it ended.
    pub state: State,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub remedy: Option<String>,
}

impl Check {
    fn ok(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self { name: name.into(), state: State::Ok, message: message.into(), remedy: None }
    }

    fn error(name: impl Into<String>, message: impl Into<String>, remedy: Option<String>) -> Self {
        Self { name: name.into(), state: State::Error, message: message.into(), remedy }
    }

    /// From an error, whose text may end with help.
    fn of(name: impl Into<String>, error: &dyn std::error::Error) -> Self {
        let (message, remedy) = message_and_help(error);
        Self::error(name, message, remedy)
    }
}

/// The text of an error with its causes, and the help that its text ends with.
pub fn message_and_help(error: &dyn std::error::Error) -> (String, Option<String>) {
    const HELP: &str = "\n  help: ";
    let (text, chain) = (error.to_string(), error_chain(error));
    match text.split_once(HELP) {
        Some((message, help)) => {
            // The causes follow the help.
            let causes = chain.strip_prefix(&text).unwrap_or_default();
            (format!("{message}{causes}"), Some(help.to_owned()))
        }
        None => (chain, None),
    }
}

/// The answer to `{"action":"doctor"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename = "doctor")]
pub struct Examination {
    /// What was checked, in order.
    pub checks: Vec<Check>,
}

/// A check that takes as long as it is allowed to, and no longer.
async fn within(name: &str, checking: impl Future<Output = Check>) -> Check {
    timeout(WITHIN, checking).await.unwrap_or_else(|_| unanswered(name))
}

fn unanswered(name: &str) -> Check {
    let message = format!("no answer within {} s", WITHIN.as_secs());
    let remedy = "check the function's subnets, security groups and routes".to_owned();
    Check { name: name.to_owned(), state: State::Error, message, remedy: Some(remedy) }
}

/// Reads each secret that is set by ARN, past the cache: the values if all could be read, and a check for each.
async fn secrets(
    aws: Option<&Aws>,
    variables: &[SecretVariable],
    lookup: Lookup<'_>,
) -> (Option<SecretValues>, Vec<Check>) {
    let Some(aws) = aws else { return (Some(SecretValues::default()), Vec::new()) };
    let secrets = aws.secrets();
    let set = variables.iter().filter(|variable| lookup(variable.arn).is_some_and(|arn| !arn.trim().is_empty()));
    let checks = join_all(set.map(|variable| {
        let name = format!("secret {}", variable.name);
        let secrets = &secrets;
        async move {
            let reading = async {
                match SecretValues::fetch(secrets, &[*variable], lookup, true).await {
                    Ok(_) => Check::ok(name.clone(), "it can be read"),
                    Err(error) => Check::of(name.clone(), &error),
                }
            };
            within(&name, reading).await
        }
    }));
    let checks = checks.await;
    if checks.iter().any(|check| check.state == State::Error) {
        return (None, checks);
    }
    (SecretValues::fetch(&secrets, variables, lookup, false).await.ok(), checks)
}

/// Settings that could be read; else what is wrong with them becomes checks.
fn valid<T>(found: Result<T, impl Into<Problems>>, checks: &mut Vec<Check>) -> Option<T> {
    found.map_err(|problems| checks.extend(of_problems(&problems.into()))).ok()
}

fn of_problems(problems: &Problems) -> Vec<Check> {
    let check = |problem: &Problem| Check {
        name: "settings".to_owned(),
        state: State::Error,
        message: format!("{}: {}: {}", problem.path, problem.code, problem.message),
        remedy: problem.help.clone(),
    };
    problems.list.iter().map(check).collect()
}

/// Whether the database lets this login in, and the schema fits.
async fn database(store: &Reader, settings: &DatabaseSettings) -> Check {
    const NAME: &str = "database";
    let login = settings.login();
    let checked = async {
        // A new connection: those of a pool were let in long ago.
        store.ping().await?;
        store.health().await
    };
    match checked.await {
        Ok(_) => Check::ok(NAME, format!("it lets the login `{login}` in, and the schema fits")),
        Err(error) => {
            let (message, remedy) = message_and_help(&error);
            Check::error(NAME, format!("with the login `{login}`: {message}"), remedy)
        }
    }
}

async fn login(settings: LoginSettings, now: DateTime<Utc>) -> Check {
    let issuer = settings.issuer().to_owned();
    let checked = async { Provider::new(settings)?.check(now).await };
    match checked.await {
        Ok(keys) => Check::ok("login", format!("{issuer} answers, keys: {keys}")),
        Err(error) => Check::error("login", format!("{issuer}: {error}"), None),
    }
}

async fn tokens(settings: TokenSettings, now: DateTime<Utc>) -> Check {
    let (issuer, audience) = (settings.issuer().to_owned(), settings.audience().to_owned());
    let checked = async { Tokens::new(settings)?.check(now).await };
    match checked.await {
        Ok(keys) => Check::ok("tokens", format!("{issuer} answers, keys: {keys}; tokens must be for {audience}")),
        Err(error) => Check::error("tokens", format!("{issuer}: {error}"), None),
    }
}

/// Checks of the API's function: secrets, settings, database, and the provider of logins and tokens.
pub async fn examine_api(
    aws: Option<&Aws>,
    variables: &[SecretVariable],
    lookup: Lookup<'_>,
    clock: fn() -> DateTime<Utc>,
) -> Examination {
    let now = clock();
    let (values, mut checks) = secrets(aws, variables, lookup).await;
    let Some(values) = values else { return Examination { checks } };
    let found = ApiSettings::from_vars(|name| values.get(name).or_else(|| lookup(name)));
    let Some(found) = valid(found, &mut checks) else { return Examination { checks } };
    let settings = valid(with_way_in(found.database, aws, lookup, clock), &mut checks);
    let Some(settings) = settings.map(|it| it.with_connections(1)) else { return Examination { checks } };
    checks.push(Check::ok("settings", "they are valid"));
    let store = Reader::connect(&settings);
    let mut others: Vec<BoxFuture<'_, Check>> = vec![within("database", database(&store, &settings)).boxed()];
    others.extend(found.login.map(|settings| within("login", login(settings, now)).boxed()));
    others.extend(found.tokens.map(|settings| within("tokens", tokens(settings, now)).boxed()));
    checks.extend(join_all(others).await);
    store.close().await;
    Examination { checks }
}

/// Checks of the collector's function: secrets, settings, database, queues, and GitHub.
pub(crate) async fn examine_collector(
    aws: Option<&Aws>,
    variables: &[SecretVariable],
    queues: &[&Queue],
    lookup: Lookup<'_>,
    clock: fn() -> DateTime<Utc>,
) -> Examination {
    let now = clock();
    let (values, mut checks) = secrets(aws, variables, lookup).await;
    let Some(values) = values else { return Examination { checks } };
    let found = CollectorSettings::from_vars(|name| values.get(name).or_else(|| lookup(name)));
    let Some(mut found) = valid(found, &mut checks) else { return Examination { checks } };
    let settings = valid(with_way_in(found.database.clone(), aws, lookup, clock), &mut checks);
    let Some(settings) = settings else { return Examination { checks } };
    found.database = settings;
    checks.push(Check::ok("settings", "they are valid"));
    let store = Writer::connect(&found.database, Actor::Collector);
    let mut others: Vec<BoxFuture<'_, Check>> = vec![within("database", database(&store, &found.database)).boxed()];
    others.extend(queues.iter().map(|queue| within("queue", messages(queue)).boxed()));
    checks.extend(join_all(others).await);
    checks.extend(github(&found, &store, now).await);
    match timeout(WITHIN, channels(aws, &store, lookup)).await {
        Ok(found) => checks.extend(found),
        Err(_) => checks.push(unanswered("channels")),
    }
    store.close().await;
    Examination { checks }
}

/// Whether each channel of the teams file has an address that can be used. Nothing is sent.
async fn channels(aws: Option<&Aws>, store: &Writer, lookup: Lookup<'_>) -> Vec<Check> {
    let configured = match store.channels().await {
        Ok(configured) if configured.is_empty() => return Vec::new(),
        Ok(configured) => configured,
        Err(error) => return vec![Check::of("channels", &error)],
    };
    let sender = match sender(aws, lookup).await {
        Ok(sender) => sender,
        Err(error) => return vec![Check::of("channels", &error)],
    };
    let check = |channel: &ChannelEntry| {
        let name = format!("channel {}", channel.id);
        let remedy = || Some("see docs/messages.md for what CHANNELS, CHANNEL_HOSTS and MAIL_FROM hold".to_owned());
        match sender.problem_of(&channel.id, channel.kind) {
            None => Check::ok(name, "it has an address; `mergeline channels test` sends a sample"),
            Some(why) => Check::error(name, why, remedy()),
        }
    };
    configured.iter().map(check).collect()
}

/// Checks of the function that migrates: secrets and database, with the owner's login.
pub(crate) async fn examine_migrator(
    aws: Option<&Aws>,
    variables: &[SecretVariable],
    lookup: Lookup<'_>,
) -> Examination {
    let (values, mut checks) = secrets(aws, variables, lookup).await;
    let Some(values) = values else { return Examination { checks } };
    let found = DatabaseSettings::from_vars(|name| values.get(name).or_else(|| lookup(name)));
    if let Some(settings) = valid(found, &mut checks) {
        let store = Writer::connect(&settings, Actor::Collector);
        checks.push(within("database", database(&store, &settings)).await);
        store.close().await;
    }
    Examination { checks }
}

async fn messages(queue: &Queue) -> Check {
    match queue.depth().await {
        Ok(depth) => Check::ok("queue", format!("{}: about {}", queue.url(), count_of(depth, "message"))),
        Err(error) => Check::of("queue", &error),
    }
}

/// Whether GitHub answers, with the credentials for the owners of the first repositories.
async fn github(settings: &CollectorSettings, store: &Writer, now: DateTime<Utc>) -> Vec<Check> {
    const NAME: &str = "GitHub";
    let github = match GitHub::connect(&settings.github) {
        Ok(github) => github,
        Err(error) => return vec![Check::of(NAME, &error)],
    };
    let mut owners: Vec<String> = Vec::new();
    if github.has_app()
        && let Ok(Some(snapshot)) = store.snapshot().await
    {
        for repository in &snapshot.repositories {
            let owner = repository.name.owner();
            if owners.len() < MOST_OWNERS && !owners.iter().any(|known| known == owner) {
                owners.push(owner.to_owned());
            }
        }
    }
    let owners = if owners.is_empty() { vec![None] } else { owners.into_iter().map(Some).collect() };
    let budget = WaitBudget { deadline: None, longest_wait: Duration::ZERO };
    let asked = owners.into_iter().map(|owner| {
        let name = owner.as_ref().map_or_else(|| NAME.to_owned(), |owner| format!("{NAME} ({owner})"));
        let session = github.session(owner.as_deref(), budget, now);
        async move {
            let asking = async {
                match session.token_report().await {
                    Ok(report) => Check::ok(name.clone(), format!("it answers; {}", report.kind)),
                    Err(error) => {
                        let remedy = Some(error.help().to_owned()).filter(|help| !help.is_empty());
                        Check { name: name.clone(), state: State::Error, message: error_chain(&error), remedy }
                    }
                }
            };
            within(&name, asking).await
        }
    });
    join_all(asked).await
}
