//! Which process holds a lease, and whether it is still alive.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// This process. Looked up once, because it does not change.
static THIS: LazyLock<Holder> = LazyLock::new(|| {
    let process = std::process::id();
    // Sandboxes of a Lambda function are copies: they all have the same host and process ID.
    let is_copied = std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some();
    Holder { host: host(), process, instance: if is_copied { None } else { instance(process) } }
});

/// A process that works on a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The host name of its machine.
    pub host: String,
    /// Its process ID on that machine.
    pub process: u32,
    /// Distinguishes it from every other process with the same ID, on any machine.
    #[serde(skip)]
    pub(crate) instance: Option<String>,
}

impl Holder {
    pub(crate) fn this() -> &'static Self {
        &THIS
    }

    /// Whether it ran on this machine and has ended. `false` when that cannot be determined.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead_for(Self::this())
    }

    fn is_dead_for(&self, this: &Self) -> bool {
        let (Some(its), Some(this)) = (&self.instance, &this.instance) else { return false };
        machine_of(its) == machine_of(this) && instance(self.process).as_ref() != Some(its)
    }
}

/// A lease on a repository that is currently held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldLease {
    /// The process; `None` when the program that took the lease did not record it.
    pub holder: Option<Holder>,
    /// When it was taken.
    pub since: Option<DateTime<Utc>>,
    /// When it expires unless it is renewed.
    pub until: DateTime<Utc>,
}

impl std::fmt::Display for HeldLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.holder {
            Some(Holder { host, process, .. }) => write!(f, "process {process} on {host} is working on it")?,
            None => f.write_str("another process is working on it")?,
        }
        if let Some(since) = self.since {
            write!(f, " (since {})", since.format("%Y-%m-%d %H:%M:%S UTC"))?;
        }
        write!(f, "; it becomes free when that ends, or at {}", self.until.format("%H:%M:%S UTC"))
    }
}

/// An instance consists of the machine (its boot and PID namespace) and the start time of the process.
fn machine_of(instance: &str) -> &str {
    instance.rsplit_once(' ').map_or("", |(machine, _)| machine)
}

#[cfg(target_os = "linux")]
fn instance(process: u32) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // Containers have their own process IDs.
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in parentheses may contain anything. After it come the state and, 20th from there, the start time.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let started = fields.nth(18)?;
    // A zombie does no work.
    (state != "Z").then(|| format!("{} {} {started}", boot.trim(), namespace.display()))
}

#[cfg(not(target_os = "linux"))]
fn instance(process: u32) -> Option<String> {
    let output_of = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).env("LC_ALL", "C").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    let boot = output_of("sysctl", &["-n", "kern.bootsessionuuid"])?;
    let started = output_of("ps", &["-o", "lstart=", "-p", &process.to_string()])?;
    Some(format!("{boot} {}", started.split_whitespace().collect::<Vec<_>>().join("-")))
}

fn host() -> String {
    let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let from_uname = || {
        let output = std::process::Command::new("uname").arg("-n").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let name = from_kernel.or_else(from_uname).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "this machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_ended_local_process_is_dead() {
        let this = Holder::this();
        assert!(this.instance.is_some(), "this process is known");
        assert!(!this.is_dead());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let of_child = Holder { process: child.id(), instance: instance(child.id()), ..this.clone() };
        assert!(!of_child.is_dead(), "it is still running");
        child.kill().and_then(|()| child.wait()).expect("it can be killed");
        assert!(of_child.is_dead());
        // The same process ID with another start time.
        let (machine, _) = this.instance.as_deref().and_then(|text| text.rsplit_once(' ')).expect("known");
        assert!(Holder { instance: Some(format!("{machine} 1")), ..this.clone() }.is_dead());
        let elsewhere = Holder { instance: Some("another-boot pid:[1] 1".to_owned()), ..of_child.clone() };
        assert!(!elsewhere.is_dead(), "processes on another machine cannot be checked");
        assert!(!Holder { instance: None, ..of_child.clone() }.is_dead(), "a sandbox cannot be checked");
        assert!(
            !of_child.is_dead_for(&Holder { instance: None, ..this.clone() }),
            "a sandbox cannot check other processes"
        );
    }
}
