//! A Lambda invocation of the collector.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lambda_runtime::Diagnostic;
use mergeline_aws::{
    Aws, AwsError, DATABASE_READER_URL, DATABASE_URL, DATABASE_WRITER_URL, GITHUB_APP_KEY, GITHUB_TOKEN, OTLP_HEADERS,
    Queue, SecretValues, SecretVariable, VariableError,
};
use mergeline_collector::{
    CollectError, CollectOptions, CredentialsRefusal, RosterSnapshot, RunContext, RunReport, Settings, Sources,
    collect, configure, not_found, plan, trim_ledger,
};
use mergeline_domain::{InstanceId, Problem, Problems, error_chain};
use mergeline_github::GitHub;
use mergeline_notifier::NotifySettings;
use mergeline_store::{Actor, ApplyError, DatabaseSettings, Logins, RunId, StoreError, Writer};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::Instrument;

use crate::doctor::{Examination, examine_collector, examine_migrator};
use crate::login::with_way_in;
use crate::messages::{CHANNEL_SECRETS, Notified, notify, send, sender};
use crate::metrics::Sums;
use crate::queue::{BatchFailures, ItemFailure, Queues, Record, enqueue, work};
use crate::task::SendTask;
use crate::traces::export_traces;

/// The variables that may be stored as secrets.
const SECRETS: [SecretVariable; 4] = [DATABASE_URL, GITHUB_TOKEN, GITHUB_APP_KEY, OTLP_HEADERS];
/// The logins that are made where each function has its own. Only a function that has these variables makes them.
const LOGINS: [SecretVariable; 2] = [DATABASE_WRITER_URL, DATABASE_READER_URL];
/// The code of a secret that exists without a value.
const SECRET_EMPTY: &str = "secret_empty";
/// Reserved at the end of an invocation for saving progress. One statement may take this long.
const MARGIN: Duration = Duration::from_secs(30);
/// Longer than any event takes to arrive.
const LONG_AGO: TimeDelta = TimeDelta::days(1);

/// How long a refused token is not tried again when there is no newer one. As long as a secret is cached.
const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// Looks up an environment variable.
type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The collector with its clients, built once and used by every invocation of a sandbox.
pub struct Collector {
    lookup: Lookup,
    aws: Option<Aws>,
    queues: Option<Queues>,
    /// Where channels to which something is due wait to be sent to; `None` where the function sends itself.
    messages: Option<Queue>,
    clients: Mutex<Option<Arc<Clients>>>,
    is_migrated: AtomicBool,
    clock: fn() -> DateTime<Utc>,
}

/// Clients built from settings and secrets, and rebuilt when a secret changes.
struct Clients {
    secrets: SecretValues,
    settings: Settings,
    sources: Sources,
    store: Writer,
    /// How and when each instance last refused its credentials without newer ones to try.
    refused: std::sync::Mutex<BTreeMap<InstanceId, (CredentialsRefusal, Instant)>>,
}

impl Clients {
    fn new(secrets: SecretValues, settings: Settings, store: Writer) -> Result<Self, FunctionError> {
        let github =
            GitHub::connect(&settings.github).map_err(|error| FunctionError::new(error.code(), error_chain(&error)))?;
        Ok(Self { secrets, settings, sources: github.into(), store, refused: std::sync::Mutex::default() })
    }

    fn record_refusal(&self, refusal: CredentialsRefusal) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(refusal.instance, (refusal, Instant::now()));
    }

    fn recent_refusals(&self) -> Vec<CredentialsRefusal> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = refused.values().filter(|(_, at)| at.elapsed() < REFUSED_FOR);
        recent.map(|(refusal, _)| refusal.clone()).collect()
    }
}

/// What an invocation may ask for.
#[derive(Debug)]
enum Event {
    /// Messages from the work queue.
    Records(Vec<Record>),
    /// Anything else.
    Requested(Action),
}

impl Event {
    fn read(payload: serde_json::Value) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Batch {
            records: Vec<Record>,
        }
        /// A schedule event has no `action`, which means a collection.
        #[derive(Deserialize)]
        struct Requested {
            #[serde(default)]
            action: Action,
        }
        if payload.get("Records").is_some() {
            return Ok(Self::Records(serde_json::from_value::<Batch>(payload)?.records));
        }
        Ok(Self::Requested(serde_json::from_value::<Requested>(payload)?.action))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    #[default]
    Collect,
    Migrate,
    Doctor,
    Notify,
}

/// The response of an invocation.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// What was requested.
    Done(Done),
    /// What was found out.
    Examined(Examination),
    /// The messages of the batch to return to the queue.
    Worked(BatchFailures),
}

/// The action that was done.
#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Done {
    /// A run completed in this process.
    Collect(RunReport),
    /// A run started, and its work is in the queue.
    Plan {
        /// The run's number in the ledger.
        run: RunId,
        /// How many repositories are due.
        queued: usize,
        /// What went wrong while planning.
        problems: Vec<String>,
    },
    /// The schema is up to date.
    Migrate {
        /// What an administrator of the database has to run, because this login may not.
        #[serde(skip_serializing_if = "Option::is_none")]
        statements: Option<String>,
    },
    /// Messages to channels were judged, and what is due is being sent.
    Notify(Notified),
    /// Nothing could start yet, because a secret of the stack has no value.
    Wait {
        /// Which secret, and how to fill it.
        reason: String,
    },
}

/// Why an invocation failed: a code for alarms, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct FunctionError {
    /// The code.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}

impl FunctionError {
    pub(crate) fn new(code: &str, message: impl std::fmt::Display) -> Self {
        Self { code: code.to_owned(), message: message.to_string() }
    }
}

impl From<FunctionError> for Diagnostic {
    fn from(error: FunctionError) -> Self {
        Self { error_type: error.code, error_message: error.message }
    }
}

impl From<Problems> for FunctionError {
    fn from(problems: Problems) -> Self {
        Self::new(problems.code(), &problems)
    }
}

impl From<StoreError> for FunctionError {
    fn from(error: StoreError) -> Self {
        Self::new(error.code(), error_chain(&error))
    }
}

impl From<AwsError> for FunctionError {
    fn from(error: AwsError) -> Self {
        Self::new(error.code(), error_chain(&error))
    }
}

impl From<VariableError> for FunctionError {
    fn from(error: VariableError) -> Self {
        match error {
            VariableError::Problems(problems) => problems.into(),
            VariableError::Aws(error) => error.into(),
        }
    }
}

impl From<ApplyError> for FunctionError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Problems(problems) => problems.into(),
            ApplyError::TooManyRemovals { .. } => Self::new("config.too_many_removals", error),
            ApplyError::UnknownTimezone(_) => Self::new("config.unknown_timezone", error),
            ApplyError::Store(error) => error.into(),
        }
    }
}

impl From<CollectError> for FunctionError {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::NotConfigured(problem) => Problems::from(*problem).into(),
            CollectError::Store(error) => error.into(),
        }
    }
}

impl Collector {
    /// Prepares a collector that reads its settings from variables. Nothing is connected yet.
    ///
    /// # Errors
    /// When only one of the two queue URLs is set.
    pub async fn new(
        lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Self, FunctionError> {
        let needs_aws = SecretValues::any_configured(&SECRETS, &lookup)
            || SecretValues::any_configured(&LOGINS, &lookup)
            || SecretValues::any_configured(&CHANNEL_SECRETS, &lookup)
            || ["WORK_QUEUE_URL", "METRICS_NAMESPACE", "DB_LOGIN"].iter().any(|name| lookup(name).is_some());
        // Loading it takes time, which a laptop does not need to spend.
        let aws = if needs_aws { Some(Aws::from_vars(&lookup).await) } else { None };
        let queues = match (&aws, lookup("WORK_QUEUE_URL"), lookup("DEAD_LETTER_QUEUE_URL")) {
            (Some(aws), Some(work), Some(dead_letters)) => {
                let changes = lookup("CHANGES_QUEUE_URL").map(|url| aws.queue(&url));
                Some(Queues { work: aws.queue(&work), dead_letters: aws.queue(&dead_letters), changes })
            }
            (_, None, None) => None,
            _ => {
                let message = "only one of WORK_QUEUE_URL and DEAD_LETTER_QUEUE_URL is set";
                let problem = Problem::setting("config.queues", "WORK_QUEUE_URL", message, "set both or neither");
                return Err(Problems::from(problem).into());
            }
        };
        let messages = aws.as_ref().zip(lookup("MESSAGES_QUEUE_URL")).map(|(aws, url)| aws.queue(&url));
        let lookup: Lookup = Box::new(lookup);
        Ok(Self {
            lookup,
            aws,
            queues,
            messages,
            clients: Mutex::default(),
            is_migrated: AtomicBool::new(false),
            clock,
        })
    }

    /// Handles an event. A repository that fails does not fail the invocation: the ledger and the response report it.
    /// Only a failure that affects all repositories does: database, secrets, configuration.
    ///
    /// `deadline` is when Lambda ends the invocation. One in the distant past counts as not set, because
    /// `cargo lambda watch` sends a duration.
    ///
    /// # Errors
    /// [`FunctionError`] with the code of what failed.
    pub async fn handle(&self, event: serde_json::Value, deadline: DateTime<Utc>) -> Result<Outcome, FunctionError> {
        let event = Event::read(event)
            .map_err(|error| FunctionError::new("event.unknown", format!("unknown event: {error}")))?;
        let now = (self.clock)();
        // Before anything that could fail: it is asked when something does.
        if matches!(event, Event::Requested(Action::Doctor)) {
            return Ok(Outcome::Examined(Box::pin(self.examine()).await));
        }
        if self.only_migrates() {
            return match event {
                Event::Requested(Action::Migrate) => self.migrate_with_logins().await.map(Outcome::Done),
                _ => Err(FunctionError::new(
                    "event.unknown",
                    "this function only migrates: send {\"action\":\"migrate\"} or {\"action\":\"doctor\"}",
                )),
            };
        }
        // First, before anything takes time.
        let deadline = (deadline > now - LONG_AGO).then(|| {
            let left = (deadline - now).to_std().unwrap_or_default();
            Instant::now() + left - MARGIN.min(left / 4)
        });
        let clients = match self.ready(matches!(event, Event::Requested(Action::Collect | Action::Migrate))).await {
            // A new stack's schedule starts right away, before anyone can fill the secrets. That is not a failure and
            // not a reason to retry. The alarm on completed runs reports when none completes.
            Err(error)
                if error.code == SECRET_EMPTY
                    && matches!(event, Event::Requested(Action::Collect | Action::Notify)) =>
            {
                tracing::warn!(code = error.code, "Nothing is collected yet: {}", error.message);
                return Ok(Outcome::Done(Done::Wait { reason: error.message }));
            }
            ready => ready?,
        };
        if let Some(outcome) = self.messages(&event, &clients).await? {
            return Ok(outcome);
        }
        let mut sums = Sums::default();
        let is_scheduled = matches!(event, Event::Requested(_));
        let outcome = match event {
            Event::Requested(Action::Migrate | Action::Doctor | Action::Notify) => {
                return Ok(Outcome::Done(Done::Migrate { statements: None }));
            }
            Event::Requested(Action::Collect) => {
                let settings = &clients.settings;
                configure(&clients.store, &settings.teams, settings.allow_removals, now).await?;
                match &self.queues {
                    Some(queues) => self.plan(queues, &clients, deadline, now, &mut sums).await.map(Outcome::Done),
                    None => self.collect(&clients, deadline, now, &mut sums).await.map(Outcome::Done),
                }
            }
            Event::Records(records) => self.work(&clients, &records, deadline, &mut sums).await.map(Outcome::Worked),
        };
        self.report(&clients.store, &sums, now).await;
        // Once per run, and last: queued work has already started by then.
        if is_scheduled && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            trim_ledger(&clients.store, clients.settings.ledger, now).await;
        }
        outcome
    }

    /// What an event about messages leads to; `None` for any other event.
    async fn messages(&self, event: &Event, clients: &Clients) -> Result<Option<Outcome>, FunctionError> {
        let sends: Vec<(&Record, SendTask)> = match event {
            Event::Requested(Action::Notify) => Vec::new(),
            Event::Records(records) => {
                let sends: Vec<_> = records.iter().filter_map(|record| Some((record, record.channel()?))).collect();
                if sends.is_empty() || sends.len() < records.len() {
                    return Ok(None);
                }
                sends
            }
            Event::Requested(_) => return Ok(None),
        };
        let sender = sender(self.aws.as_ref(), &*self.lookup).await?;
        if matches!(event, Event::Requested(_)) {
            let settings = NotifySettings::from_vars(&self.lookup).map_err(Problems::from)?;
            let queue = self.messages.as_ref();
            let notified = Box::pin(notify(&clients.store, &sender, &settings, queue, self.clock)).await?;
            return Ok(Some(Outcome::Done(Done::Notify(notified))));
        }
        let mut failures = BatchFailures::default();
        for (record, task) in sends {
            let span = record.span();
            let sending = send(&clients.store, &sender, &task, self.messages.as_ref(), self.clock).instrument(span);
            if let Err(error) = Box::pin(sending).await {
                tracing::warn!(
                    code = error.code,
                    "Channel {} was not sent to; it is tried again: {error}",
                    task.channel
                );
                failures.batch_item_failures.push(ItemFailure { item_identifier: record.message_id.clone() });
            }
        }
        Ok(Some(Outcome::Worked(failures)))
    }

    /// What this function reaches, with its own rights and from its own network.
    async fn examine(&self) -> Examination {
        let aws = self.aws.as_ref();
        if self.only_migrates() {
            let [writer, reader] = LOGINS;
            return examine_migrator(aws, &[DATABASE_URL, writer, reader], &*self.lookup).await;
        }
        let queues: Vec<&Queue> = self
            .queues
            .iter()
            .flat_map(|queues| [Some(&queues.work), queues.changes.as_ref()].into_iter().flatten())
            .chain(&self.messages)
            .collect();
        examine_collector(aws, &SECRETS, &queues, &*self.lookup, self.clock).await
    }

    /// Whether this is the function that migrates for the others: it has the owner's login, and knows theirs.
    fn only_migrates(&self) -> bool {
        LOGINS.iter().any(|login| (self.lookup)(login.name).is_some() || (self.lookup)(login.arn).is_some())
    }

    /// Migrates, and makes the logins of the other functions. Their passwords are those that are in their secrets now.
    async fn migrate_with_logins(&self) -> Result<Done, FunctionError> {
        let [writer, reader] = LOGINS;
        let secrets = match &self.aws {
            Some(aws) => {
                SecretValues::fetch(&aws.secrets(), &[DATABASE_URL, writer, reader], &self.lookup, true).await?
            }
            None => SecretValues::default(),
        };
        let lookup = |name: &str| secrets.get(name).or_else(|| (self.lookup)(name));
        let settings = DatabaseSettings::from_vars(lookup).map_err(Problems::from)?;
        let logins = Logins::from_vars(lookup).map_err(Problems::from)?;
        let store = Writer::connect(&settings, Actor::Collector);
        let outcome = match &logins {
            Some(logins) => store.migrate_with(logins).await,
            None => store.migrate().await,
        };
        store.close().await;
        let statements = outcome?;
        if let Some(statements) = &statements {
            tracing::warn!(
                "The login that migrates may not do this; let an administrator of the database run: {statements}"
            );
        }
        Ok(Done::Migrate { statements })
    }

    /// The clients, with the schema up to date. A cold sandbox migrates, and so does one called with `migrates`, if the login
    /// is the owner's; another one only checks. A refused password is fetched again, once.
    async fn ready(&self, migrates: bool) -> Result<Arc<Clients>, FunctionError> {
        let clients = self.clients(false).await?;
        if self.is_migrated.load(Ordering::Relaxed) && !migrates {
            return match clients.store.ping().await {
                Err(StoreError::Unauthorized(_)) => Ok(self.renewed(&clients).await.unwrap_or(clients)),
                // Any other error is reported by the code that runs into it.
                _ => Ok(clients),
            };
        }
        let clients = match clients.store.migrate().await {
            Ok(_) => clients,
            Err(refusal @ StoreError::Unauthorized(_)) => {
                let Some(fresh) = self.renewed(&clients).await else { return Err(refusal.into()) };
                fresh.store.migrate().await?;
                fresh
            }
            Err(error) => return Err(error.into()),
        };
        self.is_migrated.store(true, Ordering::Relaxed);
        Ok(clients)
    }

    /// The clients for the current values of the secrets. `fresh` bypasses the cache, and drops the tokens of an App's
    /// installations.
    async fn clients(&self, fresh: bool) -> Result<Arc<Clients>, FunctionError> {
        let mut cached = self.clients.lock().await;
        let secrets = match &self.aws {
            Some(aws) => SecretValues::fetch(&aws.secrets(), &SECRETS, &self.lookup, fresh).await?,
            None => SecretValues::default(),
        };
        export_traces(|name| secrets.get(name).or_else(|| (self.lookup)(name)));
        let clients = match cached.as_ref().filter(|clients| clients.secrets == secrets) {
            Some(clients) if fresh && (self.lookup)("GITHUB_APP_ID").is_some() => {
                Clients::new(secrets, clients.settings.clone(), clients.store.clone())?
            }
            Some(clients) => return Ok(clients.clone()),
            None => {
                let mut settings = Settings::from_vars(|name| secrets.get(name).or_else(|| (self.lookup)(name)))?;
                settings.database = with_way_in(settings.database, self.aws.as_ref(), &self.lookup, self.clock)
                    .map_err(Problems::from)?;
                let store = Writer::connect(&settings.database, Actor::Collector);
                Clients::new(secrets, settings, store)?
            }
        };
        let clients = Arc::new(clients);
        *cached = Some(clients.clone());
        Ok(clients)
    }

    /// The clients for a retry after a token or password was refused. `None` when there is nothing new, or when it
    /// cannot be fetched: a failed fetch must not hide the refusal.
    async fn renewed(&self, refused: &Arc<Clients>) -> Option<Arc<Clients>> {
        match self.clients(true).await {
            Ok(fresh) => (!Arc::ptr_eq(&fresh, refused)).then_some(fresh),
            Err(error) => {
                tracing::warn!(code = error.code, "Cannot fetch a new secret after the refusal: {error}");
                None
            }
        }
    }

    fn options(settings: &Settings, deadline: Option<Instant>, now: DateTime<Utc>) -> CollectOptions {
        CollectOptions {
            now,
            backfill: settings.backfill,
            concurrency: settings.github.concurrency(),
            deadline,
            longest_wait: settings.longest_wait,
            details: settings.details,
            deployments: settings.deployments,
            ignores_pauses: false,
            verifies: false,
        }
    }

    /// Queues a message for each repository that is due.
    #[tracing::instrument(target = "spans", skip_all)]
    async fn plan(
        &self,
        queues: &Queues,
        clients: &Clients,
        deadline: Option<Instant>,
        now: DateTime<Utc>,
        sums: &mut Sums,
    ) -> Result<Done, FunctionError> {
        let options = Self::options(&clients.settings, deadline, now);
        let planned = plan(&clients.sources, &clients.store, &options).await?;
        sums.add_planning(&planned.planning);
        if let Err(error) = enqueue(&queues.work, planned.run, &planned.due).await {
            clients.store.fail_run(planned.run, now).await?;
            return Err(error.into());
        }
        // With nothing to do, the run is over.
        if let Some(settled) = clients.store.settle_run(planned.run, now).await? {
            sums.add_run(settled.completes);
        }
        tracing::info!(run.id = planned.run.0, queued = planned.due.len(), "Queued {} repositories", planned.due.len());
        Ok(Done::Plan { run: planned.run, queued: planned.due.len(), problems: planned.problems })
    }

    /// Does a run in this process. A refused token is fetched again, once.
    async fn collect(
        &self,
        clients: &Arc<Clients>,
        deadline: Option<Instant>,
        now: DateTime<Utc>,
        sums: &mut Sums,
    ) -> Result<Done, FunctionError> {
        let options = Self::options(&clients.settings, deadline, now);
        let mut report = collect(&clients.sources, &clients.store, &options, &|_| {}).await?;
        sums.add_planning(&report.planning);
        if !report.refusals.is_empty()
            && let Some(fresh) = self.renewed(clients).await
        {
            tracing::info!("The token was refused; collecting again with a new one");
            report = collect(&fresh.sources, &fresh.store, &options, &|_| {}).await?;
            sums.add_planning(&report.planning);
        }
        for repository in &report.repositories {
            sums.add(repository);
        }
        sums.add_run(report.completes);
        match report.refusals.first() {
            None => Ok(Done::Collect(report)),
            Some(CredentialsRefusal { error, .. }) => {
                let advice = error.advice.map(|advice| format!(": {advice}")).unwrap_or_default();
                Err(FunctionError::new(
                    error.code,
                    format!("{error}; no more requests were sent{advice}. In AWS, credentials are stored as secrets"),
                ))
            }
        }
    }

    /// Processes a batch of messages. A refused token is fetched again, once.
    async fn work(
        &self,
        clients: &Arc<Clients>,
        records: &[Record],
        deadline: Option<Instant>,
        sums: &mut Sums,
    ) -> Result<BatchFailures, FunctionError> {
        let Some(queues) = &self.queues else {
            return Err(FunctionError::new("config.queues", "received a queue message, but WORK_QUEUE_URL is not set"));
        };
        let mut clients = clients.clone();
        let mut records = records;
        let mut failures = BatchFailures::default();
        let mut may_renew = true;
        while let [record, rest @ ..] = records {
            let Some((revision, roster)) = clients.store.roster().await? else {
                return Err(Problems::from(not_found()).into());
            };
            // A message may be processed minutes after the first of its batch, and leases count from now.
            let options = Self::options(&clients.settings, deadline, (self.clock)());
            let snapshot = RosterSnapshot { revision, roster };
            let context = RunContext::new(&clients.sources, &clients.store, options, &|_| {}, snapshot);
            let known = clients.recent_refusals();
            known.iter().cloned().for_each(|refusal| context.refuse(refusal));
            let sums_before = sums.clone();
            let worked = work(&context, queues, std::slice::from_ref(record), sums).await?;
            let mut refusals = context.refusals();
            refusals.retain(|refusal| known.iter().all(|known| known.instance != refusal.instance));
            if !refusals.is_empty() {
                let fresh = if may_renew { self.renewed(&clients).await } else { None };
                may_renew = false;
                if let Some(fresh) = fresh {
                    tracing::info!("The token was refused; retrying with a new one");
                    clients = fresh;
                    // Try again. Only the second attempt counts, in the ledger and in CloudWatch.
                    *sums = sums_before;
                    continue;
                }
                // Spare the other messages of this batch and the next from trying it.
                for refusal in refusals {
                    clients.record_refusal(refusal);
                }
            }
            failures.batch_item_failures.extend(worked.batch_item_failures);
            records = rest;
        }
        Ok(failures)
    }

    /// Sends metrics to CloudWatch when a namespace is set. A failure to send them does not fail the invocation.
    async fn report(&self, store: &Writer, sums: &Sums, now: DateTime<Utc>) {
        let namespace = (self.lookup)("METRICS_NAMESPACE");
        let (Some(aws), Some(namespace)) = (&self.aws, namespace) else { return };
        let coverage = store.coverage().await.ok();
        let metrics = sums.metrics(coverage.and_then(|coverage| coverage.data_as_of), now);
        if let Err(error) = aws.metrics(&namespace).put(&metrics).await {
            tracing::warn!(code = error.code(), "The metrics could not be sent: {}", error_chain(&error));
        }
    }
}
