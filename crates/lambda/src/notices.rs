//! Where the function `api` leaves repositories that webhooks say have changed.

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mergeline_api::NoticeQueue;
use mergeline_aws::Queue;
use mergeline_domain::error_chain;
use mergeline_webhooks::ChangeNotice;

use crate::task::Task;

/// Long enough for several deliveries at once to lead to one reading.
const DELAY: Duration = Duration::from_secs(1);

/// The queue from which the function `collector` takes them.
#[derive(Debug)]
pub struct ChangesQueue(Queue);

impl ChangesQueue {
    /// The queue.
    pub fn new(queue: Queue) -> Self {
        Self(queue)
    }
}

impl NoticeQueue for ChangesQueue {
    fn push(&self, notice: ChangeNotice) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let body = Task::Read(notice).body();
            let queue = self.0.in_trace(mergeline_telemetry::traceparent());
            queue.send_with(&body, DELAY).await.map_err(|error| error_chain(&error))
        }
        .boxed()
    }
}
