//! Reads repositories in this process when webhooks say that they have changed.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use mergeline_api::{NoticeQueue, Webhooks};
use mergeline_collector::{CollectOptions, FollowUp, RosterSnapshot, RunContext, Settings, Sources};
use mergeline_domain::error_chain;
use mergeline_store::{StoreError, Writer};
use mergeline_webhooks::{ChangeNotice, WebhookSecrets};
use tokio::sync::mpsc;

/// More than come at once. Those that do not fit are found by the next collection.
const CAPACITY: usize = 10_000;

/// The repositories that wait to be read.
#[derive(Debug, Clone)]
struct Waiting(mpsc::Sender<ChangeNotice>);

impl NoticeQueue for Waiting {
    fn push(&self, notice: ChangeNotice) -> BoxFuture<'_, Result<(), String>> {
        let sent = self.0.try_send(notice).map_err(|error| error.to_string());
        std::future::ready(sent).boxed()
    }
}

/// Reads repositories that webhooks say have changed.
pub(crate) struct ChangeReader {
    waiting: Waiting,
    received: mpsc::Receiver<ChangeNotice>,
    sources: Sources,
    store: Writer,
    settings: Settings,
    clock: fn() -> DateTime<Utc>,
}

impl ChangeReader {
    pub(crate) fn new(sources: Sources, store: Writer, settings: Settings, clock: fn() -> DateTime<Utc>) -> Self {
        let (sender, received) = mpsc::channel(CAPACITY);
        Self { waiting: Waiting(sender), received, sources, store, settings, clock }
    }

    /// The database that it writes to.
    pub(crate) fn store(&self) -> Writer {
        self.store.clone()
    }

    /// What the API needs to receive webhooks for it.
    pub(crate) fn webhooks(&self, secrets: WebhookSecrets) -> Webhooks {
        Webhooks { secrets, queue: Some(Arc::new(self.waiting.clone())) }
    }

    /// Reads one after the other, and never ends.
    pub(crate) async fn run(mut self) {
        while let Some(notice) = self.received.recv().await {
            let name = notice.name.clone();
            match self.follow(notice).await {
                Ok(FollowUp::Done) => {}
                Ok(FollowUp::Again(after, notice)) => {
                    let waiting = self.waiting.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(after).await;
                        // If there is no place for it, the next collection finds what changed.
                        drop(waiting.push(notice).await);
                    });
                }
                Err(error) => {
                    tracing::warn!(code = error.code(), "{name} was not read for a webhook: {}", error_chain(&error));
                }
            }
        }
    }

    async fn follow(&self, notice: ChangeNotice) -> Result<FollowUp, StoreError> {
        let Some((revision, roster)) = self.store.roster().await? else { return Ok(FollowUp::Done) };
        let options = CollectOptions {
            now: (self.clock)(),
            backfill: self.settings.backfill,
            concurrency: self.settings.github.concurrency(),
            deadline: None,
            longest_wait: self.settings.longest_wait,
            details: self.settings.details,
            deployments: self.settings.deployments,
            ignores_pauses: false,
            verifies: false,
        };
        let snapshot = RosterSnapshot { revision, roster };
        let context = RunContext::new(&self.sources, &self.store, options, &|_| {}, snapshot);
        // Boxed: it is a large future.
        Box::pin(context.follow(notice)).await
    }
}
