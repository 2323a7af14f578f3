//! How the database's address and password are read again, when they change while the program runs.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, timeout};

/// A secret takes some milliseconds.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// Reads the secret with the database's address and password again: from time to time, and when no connection can be made.
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
    /// A renewal that reads the secret, has the store connect by it, and returns whether it is another one than before: once in
    /// `every`, and when no connection can be made, though not before `pause` has passed since the last look.
    pub fn new(
        every: Duration,
        pause: Duration,
        renew: impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static,
    ) -> Self {
        let last = Mutex::new(LastLook { at: Instant::now(), is_start: true });
        Self(Arc::new(Inner { renew: Box::new(renew), every, pause, last }))
    }

    /// Whether there is another secret now. A database that is down does not change that, so it is not looked at for each
    /// attempt.
    pub(crate) async fn after_a_loss(&self) -> bool {
        let may_look = {
            let mut last = self.last();
            let may_look = last.is_start || last.at.elapsed() >= self.0.pause;
            if may_look {
                *last = LastLook { at: Instant::now(), is_start: false };
            }
            may_look
        };
        may_look && (self.0.renew)().await
    }

    /// Looks once it is time. When the secret does not come soon, what is known is used on.
    pub(crate) async fn if_due(&self) {
        let is_due = {
            let mut last = self.last();
            let is_due = last.at.elapsed() >= self.0.every;
            if is_due {
                *last = LastLook { at: Instant::now(), is_start: false };
            }
            is_due
        };
        if is_due {
            let _ = timeout(LOOK_WITHIN, (self.0.renew)()).await;
        }
    }

    fn last(&self) -> MutexGuard<'_, LastLook> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal")
    }
}
