//! A laptop that runs the real binary.

#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod tls;

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use mergeline_fake_github::{FakeGitHub, FakeUser, pr};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const TEAMS: &str =
    "version: 1\nrepositories: [acme/api, acme/web]\nteams: [{ slug: payments, members: [{ github: ana }] }]\n";

/// A working folder, and the environment for commands.
pub(crate) struct Laptop {
    folder: TempDir,
    pub(crate) environment: HashMap<&'static str, String>,
}

impl Laptop {
    /// Creates a working folder with a teams file, and an environment with only the necessary paths.
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // The account that runs the private server must reach its data.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        std::fs::write(folder.path().join("teams.yaml"), TEAMS)?;
        let data = folder.path().join("data").display().to_string();
        let environment = HashMap::from([
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", folder.path().display().to_string()),
            ("MERGELINE_DATA_DIR", data),
        ]);
        Ok(Self { folder, environment })
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.insert(name, value.into());
        self
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.folder.path().join(name), text)?)
    }

    pub(crate) fn read(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.path().join(name))?)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        Ok(std::fs::remove_file(self.folder.path().join(name))?)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mergeline"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// A command with a limit on open files.
    pub(crate) fn command_with_files(&self, files: u32, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -n {files} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_mergeline")])
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end. A blocking thread is used because the fake GitHub runs on this test's runtime.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Ran> {
        let mut command = self.command(arguments);
        Ok(Ran(tokio::task::spawn_blocking(move || command.output()).await??))
    }
}

/// The output and exit status of a command.
pub(crate) struct Ran(Output);

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        Self(output)
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out()).with_context(|| format!("{} {}", self.out(), self.err()))
    }
}

/// A GitHub with an empty repository and one with three pull requests, one of them by a member.
pub(crate) async fn github() -> Result<FakeGitHub> {
    let fake = FakeGitHub::start().await?;
    fake.add_repository("acme/web");
    let merged_at = yesterday();
    fake.put([
        pr("acme/api", 1).merged_at_instant(merged_at),
        pr("acme/api", 2).by("stranger").merged_at_instant(merged_at),
        pr("acme/api", 3).by_user(Some(FakeUser::bot("renovate"))).merged_at_instant(merged_at),
    ]);
    Ok(fake)
}

/// A day ago by the real clock, which the binary uses.
pub(crate) fn yesterday() -> DateTime<Utc> {
    DateTime::from(SystemTime::now() - Duration::from_secs(86_400))
}

/// Starts a server command, runs `ask` with its address, and stops it with SIGTERM. Returns its output, then its log.
pub(crate) fn while_serving(mut command: Command, ask: impl FnOnce(&str) -> Result<()>) -> Result<String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("an output")?).lines();
    let mut stderr = child.stderr.take().context("no standard error")?;
    let log = std::thread::spawn(move || std::io::read_to_string(&mut stderr));
    let mut printed = String::new();
    let mut address = None;
    for line in &mut lines {
        let line = line?;
        printed.push_str(&line);
        printed.push('\n');
        address = line
            .split_once("http://")
            .map(|(_, rest)| rest.split(['/', ' ', '\'']).next().unwrap_or_default().to_owned());
        if address.is_some() {
            break;
        }
    }
    let outcome = match &address {
        Some(address) => ask(address),
        None => Err(anyhow::anyhow!("it never printed an address: {printed}")),
    };
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id())?);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM)?;
    let status = child.wait()?;
    let log = log.join().unwrap_or_else(|_| Ok(String::new()))?;
    outcome.with_context(|| format!("while it was serving; its log:\n{log}"))?;
    assert!(status.success(), "{status}");
    Ok(printed + &log)
}
