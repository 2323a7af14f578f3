//! A real PgBouncer in front of a test's database.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use sqlx::postgres::PgConnectOptions;
use tokio::net::UnixStream;
use url::Url;

use crate::TestDatabase;

/// Stops PgBouncer as soon as the pipe of the test process closes, even after `kill -9`.
const SUPERVISOR: &str = r#""$1" "$2" & read -r _; kill "$!"; wait"#;

/// Where distributions install it. Others have it on the path.
const USUAL_PLACES: &[&str] = &["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/opt/homebrew/bin/pgbouncer"];

/// A PgBouncer. In transaction mode it has two server connections, so that clients have to share them.
#[derive(Debug)]
pub struct PgBouncer {
    url: String,
    supervisor: Child,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// Starts PgBouncer in a mode, `session` or `transaction`.
    ///
    /// # Errors
    /// When PgBouncer is not installed. That is an error, not a reason to skip.
    pub async fn start(database: &TestDatabase, mode: &str) -> anyhow::Result<Self> {
        let program = USUAL_PLACES.iter().copied().find(|place| Path::new(place).exists()).unwrap_or("pgbouncer");
        let server: PgConnectOptions = database.url().parse()?;
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        let host =
            server.get_socket().map_or_else(|| server.get_host().to_owned(), |socket| socket.display().to_string());
        let user = server.get_username();
        let name = server.get_database().context("a URL with a database")?;
        // The login under test, and those that a test may have made beside it.
        fs::write(path.join("users"), format!("\"{user}\" \"\"\n\"{name}_writer\" \"\"\n\"{name}_reader\" \"\"\n"))?;
        let settings = format!(
            "[databases]\n* = host={host} port={port}\n[pgbouncer]\nunix_socket_dir = {folder}\nlisten_port = 6432\n\
             auth_type = trust\nauth_file = {folder}/users\npool_mode = {mode}\ndefault_pool_size = {servers}\n\
             query_wait_timeout = 60\n",
            port = server.get_port(),
            servers = if mode == "transaction" { 2 } else { 10 },
            folder = path.display()
        );
        fs::write(path.join("settings"), settings)?;
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SUPERVISOR, "mergeline-pgbouncer", program]).arg(path.join("settings"));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(fs::File::create(path.join("log"))?);
        // It cannot run as root, so it runs under the account of the server.
        if fs::metadata(path)?.uid() == 0 {
            let (uid, gid) = unprivileged()?;
            for entry in [path.to_owned(), path.join("users"), path.join("settings")] {
                chown(entry, Some(uid), Some(gid))?;
            }
            command.uid(uid).gid(gid);
        }
        let mut supervisor = command.spawn()?;
        let socket = path.join(".s.PGSQL.6432");
        while UnixStream::connect(&socket).await.is_err() {
            let log = fs::read_to_string(path.join("log")).unwrap_or_default();
            let is_missing = log.contains("not found");
            ensure!(!is_missing, "cannot start PgBouncer; on Debian: apt-get install -y pgbouncer\n{log}");
            ensure!(supervisor.try_wait()?.is_none(), "PgBouncer has ended: {log}");
            tokio::task::yield_now().await;
        }
        let mut url = Url::parse(&format!("postgres://localhost:6432/{name}"))?;
        ensure!(url.set_username(user).is_ok(), "a URL with a host");
        url.query_pairs_mut().append_pair("host", &path.display().to_string());
        Ok(Self { url: url.into(), supervisor, _folder: folder })
    }

    /// The URL of the database through PgBouncer.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

fn unprivileged() -> anyhow::Result<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| {
            let fields: Vec<&str> =
                accounts.lines().find(|line| line.split(':').next() == Some(name))?.split(':').collect();
            Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
        })
        .context("PgBouncer cannot run as root, and there is no account `postgres` or `nobody`")
}
