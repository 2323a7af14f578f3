//! A whole run in this process: every repository that is due, a few at a time, in turns.

use std::collections::{BTreeMap, VecDeque};

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use mergeline_domain::{InstanceId, Recovery, RepoName};
use mergeline_store::{Reason, Repository, RepositoryId, RepositoryResult, ResultState, RunState, Settled, Writer};
use tokio_util::sync::CancellationToken;

use crate::context::{CollectError, CollectOptions, INTERRUPTED, Observer, Progress, RosterSnapshot, RunContext};
use crate::limits::{learn_remaining, remember_remaining};
use crate::plan::{Plan, plan_until};
use crate::report::{RepositoryReport, RunReport};
use crate::sources::Sources;
use crate::work::Attempt;

/// How many pages a repository may read before others get their turn.
const PAGES_A_TURN: u32 = 50;

/// A repository that waits for its turn.
struct Waiting {
    id: RepositoryId,
    instance: InstanceId,
    name: RepoName,
}

impl From<&Repository> for Waiting {
    fn from(repository: &Repository) -> Self {
        Self { id: repository.id, instance: repository.instance, name: repository.called().clone() }
    }
}

fn interrupted() -> RepositoryResult {
    let (code, message) = INTERRUPTED;
    let reason = Some(Reason { code, message: message.to_owned() });
    RepositoryResult { state: ResultState::Deferred, reason, ..RepositoryResult::default() }
}

/// Collects every configured repository that is due, least recently served first. Running it again changes nothing.
///
/// # Errors
/// When there is no configuration or the database fails. Failures of single repositories are in the report.
pub async fn collect(
    sources: &Sources,
    store: &Writer,
    options: &CollectOptions,
    observer: Observer<'_>,
) -> Result<RunReport, CollectError> {
    // Boxed: it is a large future.
    Box::pin(collect_until(sources, store, options, observer, &CancellationToken::new())).await
}

/// Like [`collect`] until `stop` is cancelled. Then the current write finishes, every lease is released, and the run
/// ends with what it has. The next run continues there.
///
/// # Errors
/// As [`collect`].
#[tracing::instrument(target = "spans", name = "run", skip_all, fields(run.id))]
pub async fn collect_until(
    sources: &Sources,
    store: &Writer,
    options: &CollectOptions,
    observer: Observer<'_>,
    stop: &CancellationToken,
) -> Result<RunReport, CollectError> {
    for (instance, source) in sources.iter() {
        learn_remaining(source, instance, store, options.now).await?;
    }
    let Plan { run, snapshot, due, problems, problem_causes, planning } =
        plan_until(sources, store, options, stop).await?;
    tracing::Span::current().record("run.id", run.0);
    observer(Progress::Started { repositories: due.len() });
    let rostered = RosterSnapshot { revision: snapshot.revision, roster: snapshot.roster };
    let mut collecting = RunContext::new(sources, store, *options, observer, rostered);
    collecting.stop = stop.clone();
    let mut waiting: VecDeque<Waiting> = due.iter().map(Waiting::from).collect();
    for (instance, _) in sources.iter() {
        if waiting.iter().filter(|one| one.instance == instance).count() > options.concurrency {
            collecting.pages_a_turn.insert(instance, PAGES_A_TURN);
        }
    }
    let collecting = &collecting;
    let mut busy: BTreeMap<InstanceId, usize> = BTreeMap::new();
    let mut working = FuturesUnordered::new();
    // By id: a name can move to another repository during the run.
    let mut reports: BTreeMap<RepositoryId, RepositoryReport> = BTreeMap::new();
    loop {
        // One instance does not wait for another.
        let has_room = |one: &Waiting| busy.get(&one.instance).copied().unwrap_or_default() < options.concurrency;
        if !stop.is_cancelled()
            && let Some(next) = waiting.iter().position(has_room).and_then(|place| waiting.remove(place))
        {
            let Waiting { id, instance, name } = next;
            *busy.entry(instance).or_default() += 1;
            let worked = collecting.repository(run, id, name, Attempt::Only);
            working.push(async move { (instance, worked.await) });
            continue;
        }
        let Some((instance, outcome)) = working.next().await else { break };
        busy.entry(instance).and_modify(|count| *count -= 1);
        let (id, report) = match outcome {
            Ok(worked) => worked,
            Err(error) => {
                // The ledger itself failed. Close the run if that still works; the first error is the one to report.
                let _ = store.fail_run(run, collecting.now()).await;
                return Err(error.into());
            }
        };
        let RepositoryReport { repository: name, result, cause, recovery, has_unannounced } = report;
        let is_turn_over = recovery == Some(Recovery::NextTurn);
        let result = match reports.remove(&id) {
            Some(mut earlier) => {
                earlier.result.absorb(result);
                earlier.result
            }
            None => result,
        };
        // Under its latest name.
        let report = RepositoryReport { repository: name.clone(), result, cause, recovery, has_unannounced };
        if is_turn_over && !collecting.is_out_of_time() {
            waiting.push_back(Waiting { id, instance, name });
        } else {
            observer(Progress::Finished(&report));
        }
        reports.insert(id, report);
    }
    // These never got a turn.
    for Waiting { id, name: repository, .. } in waiting {
        if reports.contains_key(&id) {
            continue;
        }
        let result = interrupted();
        store.record_result(run, id, collecting.now(), &result).await?;
        let recovery = Some(Recovery::RETRY);
        reports.insert(id, RepositoryReport { repository, result, cause: None, recovery, has_unannounced: false });
    }
    let mut repositories: Vec<RepositoryReport> = reports.into_values().collect();
    repositories.sort_by(|one, other| one.repository.cmp(&other.repository));
    let ended_at = collecting.now();
    for (instance, source) in sources.iter() {
        remember_remaining(source, instance, store, ended_at).await;
    }
    let settled = store.settle_run(run, ended_at).await?;
    let settled = settled.unwrap_or(Settled { state: RunState::Failed, completes: false });
    let report = RunReport {
        run,
        state: settled.state,
        completes: settled.completes,
        problems,
        problem_causes,
        repositories,
        // Includes what the run learned about accounts.
        doubts: store.doubts().await?.into(),
        planning,
        refusals: collecting.refusals(),
    };
    report.log();
    Ok(report)
}
