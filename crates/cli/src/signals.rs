//! The signals that a terminal, a shell or a service manager sends to end a program.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The bit of SIGHUP in the mask of ignored signals.
#[cfg(target_os = "linux")]
const HANGUP: u64 = 1;

/// Ctrl-C, SIGTERM and SIGHUP. Once this exists, they no longer end the program.
pub(crate) struct EndingSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl EndingSignals {
    pub(crate) fn new() -> io::Result<Self> {
        // Under `nohup` the terminal may close.
        let hangup = if is_hangup_handled() { Some(signal(SignalKind::hangup())?) } else { None };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// Waits for the next signal. Returns the exit code that a shell reports for it: 128 plus the signal's number.
    pub(crate) async fn next(&mut self) -> u8 {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => {
                    hangup.recv().await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
            () = hangup => 129,
        }
    }
}

/// Whether to handle SIGHUP, which is when it is not already ignored. If that is unknown, keep the default action.
#[cfg(target_os = "linux")]
fn is_hangup_handled() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANGUP == 0)
}

#[cfg(not(target_os = "linux"))]
fn is_hangup_handled() -> bool {
    false
}
