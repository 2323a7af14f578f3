//! What a Lambda invocation of the collector does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lambda_runtime::Diagnostic;
use mergeline_aws::{
    Aws, AwsError, DATABASE_URL, GITHUB_APP_KEY, GITHUB_TOKEN, SecretValues, SecretVariable, VariableError,
};
use mergeline_collector::{
    CollectError, CollectOptions, RosterSnapshot, RunContext, RunReport, Settings, collect, configure, not_found, plan,
    trim_ledger,
};
use mergeline_domain::{Problem, Problems, error_chain};
use mergeline_github::{GitHub, GitHubError};
use mergeline_store::{ApplyError, RunId, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::metrics::Sums;
use crate::queue::{BatchFailures, Queues, Record, enqueue, work};

/// The variables that may be kept as secrets.
const SECRETS: [SecretVariable; 3] = [DATABASE_URL, GITHUB_TOKEN, GITHUB_APP_KEY];
/// The code of a secret that exists without a value.
const SECRET_EMPTY: &str = "secret_empty";
/// Kept at the end of an invocation for writing down how far it came: a statement may take so long.
const MARGIN: Duration = Duration::from_secs(30);
/// Longer than any event is on its way.
const LONG_AGO: TimeDelta = TimeDelta::days(1);

/// So long nothing is asked with a token that was refused and of which there is no newer one: as long as a secret is
/// believed to be unchanged.
const REFUSED_FOR: Duration = Duration::from_secs(5 * 60);

/// Looks a variable of the environment up.
type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The collector with its clients, built once and used by every invocation of a sandbox.
pub struct Collector {
    lookup: Lookup,
    aws: Option<Aws>,
    queues: Option<Queues>,
    clients: Mutex<Option<Arc<Clients>>>,
    is_migrated: AtomicBool,
    clock: fn() -> DateTime<Utc>,
}

/// What is built from settings and secrets, anew when a secret changes.
struct Clients {
    secrets: SecretValues,
    settings: Settings,
    github: GitHub,
    store: Store,
    /// How and when GitHub last refused the token, or the App, and there was no other.
    refused: std::sync::Mutex<Option<(GitHubError, Instant)>>,
}

impl Clients {
    fn new(secrets: SecretValues, settings: Settings, store: Store) -> Result<Self, FunctionError> {
        let github =
            GitHub::connect(&settings.github).map_err(|error| FunctionError::new(error.code(), error_chain(&error)))?;
        Ok(Self { secrets, settings, github, store, refused: std::sync::Mutex::default() })
    }

    fn note_refusal(&self, refusal: GitHubError) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((refusal, Instant::now()));
    }

    fn refused_lately(&self) -> Option<GitHubError> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.as_ref().filter(|(_, at)| at.elapsed() < REFUSED_FOR).map(|(refusal, _)| refusal.clone())
    }
}

/// What an invocation may ask for.
#[derive(Debug)]
enum Event {
    /// Messages of the work queue.
    Records(Vec<Record>),
    /// Anything else.
    Asked(Action),
}

impl Event {
    fn read(payload: serde_json::Value) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Batch {
            records: Vec<Record>,
        }
        /// A schedule's event has no `action`: it asks for a collection.
        #[derive(Deserialize)]
        struct Asked {
            #[serde(default)]
            action: Action,
        }
        if payload.get("Records").is_some() {
            return Ok(Self::Records(serde_json::from_value::<Batch>(payload)?.records));
        }
        Ok(Self::Asked(serde_json::from_value::<Asked>(payload)?.action))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    #[default]
    Collect,
    Migrate,
}

/// What an invocation answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// What was asked for.
    Done(Done),
    /// The messages of the batch that come back.
    Worked(BatchFailures),
}

/// What was asked for and done.
#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Done {
    /// A run was done in this process.
    Collect(RunReport),
    /// A run was begun: its work is in the queue.
    Plan {
        /// The run's number in the ledger.
        run: RunId,
        /// How many repositories are due.
        queued: usize,
        /// What went wrong while planning.
        problems: Vec<String>,
    },
    /// The schema is up to date.
    Migrate,
    /// Nothing could begin yet: a secret of the stack is still to be filled.
    Wait {
        /// Which one, and how.
        reason: String,
    },
}

/// Why an invocation failed: a code that alarms can tell apart, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct FunctionError {
    /// The code.
    pub code: String,
    /// What happened and what to do.
    pub message: String,
}

impl FunctionError {
    fn new(code: &str, message: impl std::fmt::Display) -> Self {
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
    /// When only one of the two queues is named.
    pub async fn new(
        lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
        clock: fn() -> DateTime<Utc>,
    ) -> Result<Self, FunctionError> {
        let needs_aws = SecretValues::any_configured(&SECRETS, &lookup)
            || ["WORK_QUEUE_URL", "METRICS_NAMESPACE"].iter().any(|name| lookup(name).is_some());
        // Loading it costs time that a laptop need not spend.
        let aws = if needs_aws { Some(Aws::from_vars(&lookup).await) } else { None };
        let queues = match (&aws, lookup("WORK_QUEUE_URL"), lookup("DEAD_LETTER_QUEUE_URL")) {
            (Some(aws), Some(work), Some(dead_letters)) => {
                Some(Queues { work: aws.queue(&work), dead_letters: aws.queue(&dead_letters) })
            }
            (_, None, None) => None,
            _ => {
                let message = "one of WORK_QUEUE_URL and DEAD_LETTER_QUEUE_URL is set without the other";
                let problem = Problem::setting("config.queues", "WORK_QUEUE_URL", message, "set both or neither");
                return Err(Problems::from(problem).into());
            }
        };
        let lookup: Lookup = Box::new(lookup);
        Ok(Self { lookup, aws, queues, clients: Mutex::default(), is_migrated: AtomicBool::new(false), clock })
    }

    /// Does what an event asks for. A repository that fails does not fail the invocation: the ledger and the
    /// answer say so. Only what all repositories stand on does: database, secrets, configuration.
    ///
    /// `deadline` is when Lambda ends the invocation. One of long ago is none: `cargo lambda watch` sends a duration.
    ///
    /// # Errors
    /// [`FunctionError`] with the code of what failed.
    pub async fn handle(&self, event: serde_json::Value, deadline: DateTime<Utc>) -> Result<Outcome, FunctionError> {
        let event = Event::read(event).map_err(|error| {
            FunctionError::new("event.unknown", format!("the event asks for something unknown: {error}"))
        })?;
        let now = (self.clock)();
        // Before anything takes time.
        let deadline = (deadline > now - LONG_AGO).then(|| {
            let left = (deadline - now).to_std().unwrap_or_default();
            Instant::now() + left - MARGIN.min(left / 4)
        });
        let clients = match self.ready(matches!(event, Event::Asked(_))).await {
            // A new stack's schedule begins at once, before anybody can have filled the secrets: no failure, and no reason to
            // try again. That no run completes is told by the alarm of that name.
            Err(error) if error.code == SECRET_EMPTY && matches!(event, Event::Asked(Action::Collect)) => {
                tracing::warn!(code = error.code, "Nothing is collected yet: {}", error.message);
                return Ok(Outcome::Done(Done::Wait { reason: error.message }));
            }
            ready => ready?,
        };
        let mut sums = Sums::default();
        let is_of_schedule = matches!(event, Event::Asked(_));
        let outcome = match event {
            Event::Asked(Action::Migrate) => return Ok(Outcome::Done(Done::Migrate)),
            Event::Asked(Action::Collect) => {
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
        // Once for each run, and last: where the work is in the queue, it has begun already.
        if is_of_schedule && deadline.is_none_or(|deadline| Instant::now() < deadline) {
            trim_ledger(&clients.store, clients.settings.ledger, now).await;
        }
        outcome
    }

    /// The clients, with the schema up to date: looked after by a cold sandbox, and whenever it `migrates`. A password
    /// that is refused is fetched anew, once.
    async fn ready(&self, migrates: bool) -> Result<Arc<Clients>, FunctionError> {
        let clients = self.clients(false).await?;
        if self.is_migrated.load(Ordering::Relaxed) && !migrates {
            return match clients.store.ping().await {
                Err(StoreError::Unauthorized(_)) => Ok(self.renewed(&clients).await.unwrap_or(clients)),
                // What else is wrong will be said by what needs it.
                _ => Ok(clients),
            };
        }
        let clients = match clients.store.migrate().await {
            Ok(()) => clients,
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

    /// The clients of the secrets' present values. `fresh` asks for these whatever is remembered, and forgets the
    /// tokens of an App's installations.
    async fn clients(&self, fresh: bool) -> Result<Arc<Clients>, FunctionError> {
        let mut held = self.clients.lock().await;
        let secrets = match &self.aws {
            Some(aws) => SecretValues::fetch(&aws.secrets(), &SECRETS, &self.lookup, fresh).await?,
            None => SecretValues::default(),
        };
        let clients = match held.as_ref().filter(|clients| clients.secrets == secrets) {
            Some(clients) if fresh && (self.lookup)("GITHUB_APP_ID").is_some() => {
                Clients::new(secrets, clients.settings.clone(), clients.store.clone())?
            }
            Some(clients) => return Ok(clients.clone()),
            None => {
                let settings = Settings::from_vars(|name| secrets.get(name).or_else(|| (self.lookup)(name)))?;
                let store = Store::connect(&settings.database);
                Clients::new(secrets, settings, store)?
            }
        };
        let clients = Arc::new(clients);
        *held = Some(clients.clone());
        Ok(clients)
    }

    /// The clients to try again with after a token or password was refused. `None` when there is nothing new; that it
    /// cannot be had is no reason to hide the refusal.
    async fn renewed(&self, refused: &Arc<Clients>) -> Option<Arc<Clients>> {
        match self.clients(true).await {
            Ok(fresh) => (!Arc::ptr_eq(&fresh, refused)).then_some(fresh),
            Err(error) => {
                tracing::warn!(code = error.code, "What was refused cannot be had anew: {error}");
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
            ignores_pauses: false,
            verifies: false,
        }
    }

    /// Puts a message for each repository that is due into the queue.
    async fn plan(
        &self,
        queues: &Queues,
        clients: &Clients,
        deadline: Option<Instant>,
        now: DateTime<Utc>,
        sums: &mut Sums,
    ) -> Result<Done, FunctionError> {
        let options = Self::options(&clients.settings, deadline, now);
        let planned = plan(&clients.github, &clients.store, &options).await?;
        sums.add_planning(&planned.planning);
        if let Err(error) = enqueue(&queues.work, planned.run, &planned.due).await {
            clients.store.fail_run(planned.run, now).await?;
            return Err(error.into());
        }
        // Without anything to do the run is over.
        if let Some(settled) = clients.store.settle_run(planned.run, now).await? {
            sums.add_run(settled.completes);
        }
        tracing::info!(
            run.id = planned.run.0,
            queued = planned.due.len(),
            "Queued the work on {} repositories",
            planned.due.len()
        );
        Ok(Done::Plan { run: planned.run, queued: planned.due.len(), problems: planned.problems })
    }

    /// Does a run in this process. A token that is refused is fetched anew, once.
    async fn collect(
        &self,
        clients: &Arc<Clients>,
        deadline: Option<Instant>,
        now: DateTime<Utc>,
        sums: &mut Sums,
    ) -> Result<Done, FunctionError> {
        let options = Self::options(&clients.settings, deadline, now);
        let mut report = collect(&clients.github, &clients.store, &options, &|_| {}).await?;
        sums.add_planning(&report.planning);
        if report.token_refusal.is_some()
            && let Some(fresh) = self.renewed(clients).await
        {
            tracing::info!("The token was refused, and there is a new one: collecting with that");
            report = collect(&fresh.github, &fresh.store, &options, &|_| {}).await?;
            sums.add_planning(&report.planning);
        }
        for repository in &report.repositories {
            sums.add(&repository.result);
        }
        sums.add_run(report.completes);
        match &report.token_refusal {
            None => Ok(Done::Collect(report)),
            Some(GitHubError::Unauthorized) => {
                let message =
                    "GitHub refuses the token; nothing more was asked with it. Store a valid one in its secret";
                Err(FunctionError::new("github_unauthorized", message))
            }
            Some(refusal) => {
                let advice = refusal.advice().map(|advice| format!(": {advice}")).unwrap_or_default();
                Err(FunctionError::new(refusal.code(), format!("{refusal}{advice}")))
            }
        }
    }

    /// Works a batch of messages. A token that is refused is fetched anew, once.
    async fn work(
        &self,
        clients: &Arc<Clients>,
        records: &[Record],
        deadline: Option<Instant>,
        sums: &mut Sums,
    ) -> Result<BatchFailures, FunctionError> {
        let Some(queues) = &self.queues else {
            return Err(FunctionError::new("config.queues", "a message came, and WORK_QUEUE_URL is not set"));
        };
        let mut clients = clients.clone();
        let mut records = records;
        let mut failures = BatchFailures::default();
        let mut may_renew = true;
        while let [record, rest @ ..] = records {
            let Some((revision, roster)) = clients.store.roster().await? else {
                return Err(Problems::from(not_found()).into());
            };
            // A message may come minutes after the first of its batch, and leases count from now on.
            let options = Self::options(&clients.settings, deadline, (self.clock)());
            let rostered = RosterSnapshot { revision, roster };
            let collecting = RunContext::new(&clients.github, &clients.store, options, &|_| {}, rostered);
            let known_refusal = clients.refused_lately();
            let is_known_to_be_refused = known_refusal.is_some();
            if let Some(refusal) = known_refusal {
                collecting.refuse_token(refusal);
            }
            let sums_before = sums.clone();
            let worked = work(&collecting, queues, std::slice::from_ref(record), sums).await?;
            if let Some(refusal) = collecting.token_refusal().cloned().filter(|_| !is_known_to_be_refused) {
                let fresh = if may_renew { self.renewed(&clients).await } else { None };
                may_renew = false;
                if let Some(fresh) = fresh {
                    tracing::info!("The token was refused, and there is a new one: working with that");
                    clients = fresh;
                    // Once more, and only that counts: in the ledger, and for CloudWatch.
                    *sums = sums_before;
                    continue;
                }
                // The other messages, of this batch and the next, need not find out for themselves.
                clients.note_refusal(refusal);
            }
            failures.batch_item_failures.extend(worked.batch_item_failures);
            records = rest;
        }
        Ok(failures)
    }

    /// Tells CloudWatch, if it is to be told. That it cannot be told is no reason to fail.
    async fn report(&self, store: &Store, sums: &Sums, now: DateTime<Utc>) {
        let namespace = (self.lookup)("METRICS_NAMESPACE");
        let (Some(aws), Some(namespace)) = (&self.aws, namespace) else { return };
        let coverage = store.coverage().await.ok();
        let metrics = sums.metrics(coverage.and_then(|coverage| coverage.data_as_of), now);
        if let Err(error) = aws.metrics(&namespace).put(&metrics).await {
            tracing::warn!(code = error.code(), "The metrics could not be sent: {}", error_chain(&error));
        }
    }
}
