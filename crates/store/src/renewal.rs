//! Rereads the database's address and password when they change while the program runs.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, timeout};

/// Reading a secret takes a few milliseconds.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// Rereads the secret with the database's address and password: periodically, and when no connection can be made.
#[derive(Clone)]
pub struct Renewal(Arc<Inner>);

struct Inner {
    renew: Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>,
    every: Duration,
    pause: Duration,
    last: Mutex<LastLook>,
}

struct LastLook {
    /// When the secret was last looked at, or read at the start.
    at: Instant,
    is_start: bool,
}

impl Renewal {
    /// `renew` reads the secret, makes the store connect with it, and returns whether it changed. It runs once per
    /// `every`, and when no connection can be made, but not before `pause` has passed since the last read.
    pub fn new(
        every: Duration,
        pause: Duration,
        renew: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        let last = Mutex::new(LastLook { at: Instant::now(), is_start: true });
        Self(Arc::new(Inner { renew: Box::new(renew), every, pause, last }))
    }

    /// Whether the secret has changed. Limited to one read per `pause`, because an outage does not change the secret.
    pub(crate) async fn after_a_loss(&self) -> bool {
        self.begin_look(|last| last.is_start || last.at.elapsed() >= self.0.pause) && (self.0.renew)().await
    }

    /// Rereads the secret once it is due. If it takes too long, the known one stays in use.
    pub(crate) async fn if_due(&self) {
        if self.begin_look(|last| last.at.elapsed() >= self.0.every) {
            let _ = timeout(LOOK_WITHIN, (self.0.renew)()).await;
        }
    }

    /// Whether it is time to look. If so, the look starts now, and no other one does.
    fn begin_look(&self, is_time: impl Fn(&LastLook) -> bool) -> bool {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = is_time(&last);
        if is_time {
            *last = LastLook { at: Instant::now(), is_start: false };
        }
        is_time
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal")
    }
}
