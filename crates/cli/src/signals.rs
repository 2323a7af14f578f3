//! What a terminal, a shell and a service manager end programs by.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The bit of SIGHUP in the mask of ignored signals.
#[cfg(target_os = "linux")]
const HANGUP: u64 = 1;

/// Ctrl-C, SIGTERM and SIGHUP. From the first of these on they do not end the program by themselves.
pub(crate) struct EndingSignals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl EndingSignals {
    pub(crate) fn new() -> io::Result<Self> {
        // Under `nohup` a terminal may go.
        let hangup = if is_hangup_handled() { Some(signal(SignalKind::hangup())?) } else { None };
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// Waits for the next one. Returns what a shell calls a program that it ended: 128 and the signal's number.
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

/// Whether SIGHUP is not ignored already. Where that is not known, it does what it does to any program.
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
