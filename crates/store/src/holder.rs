//! Which process holds a lease, and whether it still lives.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// This process. Looked up once: it does not change.
static THIS: LazyLock<Holder> = LazyLock::new(|| {
    let process = std::process::id();
    // Sandboxes of a function are copies: host and process are the same in all of them.
    let is_copied = std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some();
    Holder { host: host(), process, instance: if is_copied { None } else { instance(process) } }
});

/// A process that works on a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// The name of its machine.
    pub host: String,
    /// Its number there.
    pub process: u32,
    /// Tells it from every other process of that number, on this machine and on others.
    #[serde(skip)]
    pub(crate) instance: Option<String>,
}

impl Holder {
    pub(crate) fn this() -> &'static Self {
        &THIS
    }

    /// Whether it ran on this machine and does not run any more. `false` where that cannot be known.
    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead_for(Self::this())
    }

    fn is_dead_for(&self, this: &Self) -> bool {
        let (Some(its), Some(this)) = (&self.instance, &this.instance) else { return false };
        machine_of(its) == machine_of(this) && instance(self.process).as_ref() != Some(its)
    }
}

/// Somebody who works on a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldLease {
    /// Who; `None` when it was taken by a program that did not say.
    pub holder: Option<Holder>,
    /// Since when.
    pub since: Option<DateTime<Utc>>,
    /// Until when, if nothing more is heard of them.
    pub until: DateTime<Utc>,
}

impl std::fmt::Display for HeldLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.holder {
            Some(Holder { host, process, .. }) => write!(f, "process {process} on {host} works on it")?,
            None => f.write_str("somebody else works on it")?,
        }
        if let Some(since) = self.since {
            write!(f, " since {}", since.format("%Y-%m-%d %H:%M:%S UTC"))?;
        }
        write!(f, "; it is free again when they are done, or at {}", self.until.format("%H:%M:%S UTC"))
    }
}

/// An instance is the machine, as long as it runs and as far as its processes see each other, and the start of the process.
fn machine_of(instance: &str) -> &str {
    instance.rsplit_once(' ').map_or("", |(machine, _)| machine)
}

#[cfg(target_os = "linux")]
fn instance(process: u32) -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // Containers have numbers of their own.
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may have anything in it. After it: the state, and as the twentieth field from there the start.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    let started = fields.nth(18)?;
    // A zombie works on nothing.
    (state != "Z").then(|| format!("{} {} {started}", boot.trim(), namespace.display()))
}

#[cfg(not(target_os = "linux"))]
fn instance(process: u32) -> Option<String> {
    let said = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).env("LC_ALL", "C").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    };
    let boot = said("sysctl", &["-n", "kern.bootsessionuuid"])?;
    let started = said("ps", &["-o", "lstart=", "-p", &process.to_string()])?;
    Some(format!("{boot} {}", started.split_whitespace().collect::<Vec<_>>().join("-")))
}

fn host() -> String {
    let from_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let said = || {
        let output = std::process::Command::new("uname").arg("-n").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let name = from_kernel.or_else(said).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "this machine".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_this_machine_that_has_ended_is_dead() {
        let this = Holder::this();
        assert!(this.instance.is_some(), "this process is known");
        assert!(!this.is_dead());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let of_child = Holder { process: child.id(), instance: instance(child.id()), ..this.clone() };
        assert!(!of_child.is_dead(), "it sleeps");
        child.kill().and_then(|()| child.wait()).expect("it ends");
        assert!(of_child.is_dead());
        // The same number, started at another time.
        let (machine, _) = this.instance.as_deref().and_then(|text| text.rsplit_once(' ')).expect("known");
        assert!(Holder { instance: Some(format!("{machine} 1")), ..this.clone() }.is_dead());
        let elsewhere = Holder { instance: Some("another-boot pid:[1] 1".to_owned()), ..of_child.clone() };
        assert!(!elsewhere.is_dead(), "nothing is known of another machine");
        assert!(!Holder { instance: None, ..of_child.clone() }.is_dead(), "nothing is known of a sandbox");
        assert!(!of_child.is_dead_for(&Holder { instance: None, ..this.clone() }), "a sandbox knows nothing of others");
    }
}
