//! Plans a run: which repositories there are, and which of them are due.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use mergeline_domain::{ExternalId, InstanceId, RepoName, RepoPattern, error_chain};
use mergeline_source::{
    ErrorKind, ListedRepository, OwnedRepositories, RepositoryFacts, RepositoryKey, Session, Source, SourceError, Usage,
};
use mergeline_store::{Repository, RunId, Snapshot, StoreError, Writer};
use tokio_util::sync::CancellationToken;

use crate::context::{CollectError, CollectOptions};
use crate::limits::within_known_limits;
use crate::reattribution::reattribute;
use crate::report::{LastRun, Planning};
use crate::settings::not_found;
use crate::sources::{AnySession, AnySource, Sources};

/// A run that is still open after this long, with no work in progress, was interrupted.
const INTERRUPTED_AFTER: TimeDelta = TimeDelta::hours(1);

/// A planned run.
#[derive(Debug)]
pub struct Plan {
    /// The run's number in the ledger.
    pub run: RunId,
    /// The configuration used for planning.
    pub snapshot: Snapshot,
    /// The repositories that are due, least recently served first.
    pub due: Vec<Repository>,
    /// What went wrong while planning.
    pub problems: Vec<String>,
    /// The sources' errors among them.
    pub problem_causes: Vec<SourceError>,
    /// What planning requested and found.
    pub planning: Planning,
}

/// Plans a run and opens it in the ledger. Work that a changed teams file left goes first. Logs logins that are in
/// doubt, because no single process sees the whole run.
///
/// # Errors
/// When there is no configuration or the database fails.
pub async fn plan(sources: &Sources, store: &Writer, options: &CollectOptions) -> Result<Plan, CollectError> {
    let plan = plan_until(sources, store, options, &CancellationToken::new()).await?;
    for doubt in store.doubts().await? {
        tracing::warn!("{doubt}");
    }
    Ok(plan)
}

/// Like [`plan`], but ends soon after `stop` is cancelled.
pub(crate) async fn plan_until(
    sources: &Sources,
    store: &Writer,
    options: &CollectOptions,
    stop: &CancellationToken,
) -> Result<Plan, CollectError> {
    let now = options.now;
    store.close_interrupted_runs(INTERRUPTED_AFTER, now).await?;
    reattribute(store, options.deadline, stop).await?;
    let mut snapshot = configured(store).await?;
    let mut resolved = Resolved::default();
    for (instance, source) in sources.iter() {
        // Boxed: it is a large future.
        let resolving = Box::pin(resolve_patterns(source, instance, store, &snapshot, options));
        resolved.add(within_known_limits(source, instance, store, now, resolving).await??);
    }
    let Resolved { problems, problem_causes, usage } = resolved;
    if !snapshot.rules.is_empty() {
        snapshot = configured(store).await?;
    }
    let is_due = |repository: &Repository| options.ignores_pauses || repository.retry_at.is_none_or(|at| at <= now);
    let due: Vec<Repository> = snapshot.repositories.iter().filter(|repository| is_due(repository)).cloned().collect();
    let run = store.start_run(snapshot.revision, due.len(), &problems, now).await?;
    let planning = Planning { usage, last_run: LastRun::of(&snapshot.repositories, &problems) };
    Ok(Plan { run, snapshot, due, problems, problem_causes, planning })
}

async fn configured(store: &Writer) -> Result<Snapshot, CollectError> {
    store.snapshot().await?.ok_or_else(|| CollectError::NotConfigured(Box::new(not_found())))
}

/// The result of resolving patterns.
#[derive(Default)]
struct Resolved {
    /// A sentence for each owner and pattern without repositories.
    problems: Vec<String>,
    /// The sources' errors among them.
    problem_causes: Vec<SourceError>,
    usage: Usage,
}

impl Resolved {
    fn add(&mut self, later: Self) {
        self.problems.extend(later.problems);
        self.problem_causes.extend(later.problem_causes);
        self.usage.add(&later.usage);
    }
}

/// Resolves the patterns of an instance into the repositories to collect. An owner that cannot be listed keeps those
/// found before.
async fn resolve_patterns(
    source: &AnySource,
    instance: InstanceId,
    store: &Writer,
    snapshot: &Snapshot,
    options: &CollectOptions,
) -> Result<Resolved, StoreError> {
    let Resolved { mut problems, mut problem_causes, mut usage } = Resolved::default();
    let owners: BTreeSet<&str> = patterns_at(snapshot, instance).map(RepoPattern::owner).collect();
    for owner in owners {
        let session = source.session(Some(owner), options.wait_budget(), options.now);
        let listed = session.repositories_of(owner).await;
        usage.add(&session.usage());
        match listed {
            Ok(OwnedRepositories { repositories, incomplete }) => {
                if let Some(reason) = &incomplete {
                    tracing::warn!("The list of repositories of {owner} may be incomplete: {reason}");
                }
                let mut listed = repositories;
                if incomplete.is_none() && !listed.is_empty() {
                    let session = source.session(Some(owner), options.wait_budget(), options.now);
                    let unlisted = find_unlisted(&session, instance, snapshot, owner, &listed).await;
                    usage.add(&session.usage());
                    listed.extend(unlisted);
                }
                for pattern in patterns_of(snapshot, instance, owner) {
                    let is_match = |one: &&ListedRepository| {
                        pattern.matches(&one.name) && (snapshot.includes_archived || !one.is_archived)
                    };
                    let matching = listed.iter().filter(is_match).map(|one| &one.name).collect();
                    problems
                        .extend(apply(store, snapshot, pattern, matching, incomplete.as_deref(), options.now).await?);
                }
            }
            Err(error) => {
                for pattern in patterns_of(snapshot, instance, owner) {
                    store.note_unlisted(pattern, &error.to_string()).await?;
                }
                problems.push(unlisted(owner, &error));
                problem_causes.push(error);
            }
        }
    }
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    Ok(Resolved { problems, problem_causes, usage })
}

/// Returns repositories that are missing from an owner's list but still exist. Lists are read page by page, so one that
/// vanishes during the listing hides another. Each known one is requested separately and stays unless GitHub says that
/// it is gone or belongs to another owner.
async fn find_unlisted(
    session: &AnySession,
    instance: InstanceId,
    snapshot: &Snapshot,
    owner: &str,
    listed: &[ListedRepository],
) -> Vec<ListedRepository> {
    let names: BTreeSet<&RepoName> = listed.iter().map(|one| &one.name).collect();
    let numbers: BTreeSet<&ExternalId> = listed.iter().map(|one| &one.id).collect();
    let is_missing = |one: &&Repository| {
        let is_here = one.instance == instance;
        let is_owners = is_here && one.pattern.as_ref().is_some_and(|pattern| pattern.owner() == owner);
        let is_listed = names.contains(one.called()) || one.external_id.as_ref().is_some_and(|id| numbers.contains(id));
        is_owners && !is_listed && !snapshot.rules.exclude(one.called())
    };
    let mut unlisted = Vec::new();
    for repository in snapshot.repositories.iter().filter(is_missing) {
        let name = repository.called();
        let key = repository.external_id.as_ref().map_or(RepositoryKey::Name(name), RepositoryKey::Id);
        match session.repository(key).await {
            Ok(RepositoryFacts { identity, is_archived, .. }) => {
                unlisted.push(ListedRepository { name: identity.name, id: identity.id, is_archived });
            }
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Gone) => {
                tracing::info!(
                    repo.name = %name,
                    "{name} is gone or hidden from the token: it is no longer collected"
                );
            }
            Err(error) => {
                tracing::warn!(
                    repo.name = %name,
                    "{name} is missing from the list of {owner} and stays: {}", error_chain(&error)
                );
                // Nothing identifies it but its name.
                let id = repository.external_id.clone().unwrap_or_else(|| 0.into());
                unlisted.push(ListedRepository { name: name.clone(), id, is_archived: false });
            }
        }
    }
    unlisted
}

/// The patterns of an instance. All of the configuration's are of GitHub.
fn patterns_at(snapshot: &Snapshot, instance: InstanceId) -> impl Iterator<Item = &RepoPattern> {
    snapshot.rules.patterns().filter(move |_| instance == InstanceId::GITHUB)
}

fn patterns_of<'a>(
    snapshot: &'a Snapshot,
    instance: InstanceId,
    owner: &'a str,
) -> impl Iterator<Item = &'a RepoPattern> {
    patterns_at(snapshot, instance).filter(move |pattern| pattern.owner() == owner)
}

async fn apply(
    store: &Writer,
    snapshot: &Snapshot,
    pattern: &RepoPattern,
    matching: Vec<&RepoName>,
    incomplete: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Option<String>, StoreError> {
    if matching.is_empty() {
        // An empty list may mean that the token lost its access, so nothing is removed because of it.
        if let Some(reason) = incomplete {
            store.note_unlisted(pattern, reason).await?;
        }
        return Ok(Some(format!(
            "`{pattern}` matches no repository that the token may see; those it matched before stay"
        )));
    }
    let found: BTreeSet<RepoName> =
        matching.into_iter().filter(|name| !snapshot.rules.exclude(name)).cloned().collect();
    match store.resolve_pattern(pattern, &found, incomplete, snapshot.revision, now).await {
        Ok(added) => {
            if added > 0 {
                tracing::info!(added, "`{pattern}` matches {added} repositories that were not collected before");
            }
            Ok(None)
        }
        // A teams file was applied in the meantime: the next run resolves its patterns.
        Err(StoreError::StaleConfiguration) => Ok(None),
        Err(error) => Err(error),
    }
}

fn unlisted(owner: &str, error: &SourceError) -> String {
    format!("the repositories of {owner} cannot be listed, those known before are collected: {}", error_chain(error))
}
