//! The private server, tested with PostgreSQL's client programs.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mergeline_local_postgres::{Binaries, DataFolder, Server};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn answers(url: &str) -> bool {
    let Ok(binaries) = Binaries::find() else { return false };
    let psql = Command::new(binaries.folder().join("psql")).args([url, "-Atc", "select 1"]).output();
    psql.is_ok_and(|output| output.stdout == b"1\n")
}

/// Waits until another process has done something.
fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_true() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn socket_folder(url: &str) -> String {
    let (_, socket) = url.split_once("host=").expect("a socket");
    socket.replace("%2F", "/")
}

#[test]
fn a_throwaway_server_answers_and_leaves_nothing_behind() -> TestResult {
    let server = Server::throwaway()?;
    let url = server.url("postgres");
    assert!(answers(&url));
    drop(server);
    eventually("the folder is gone", || !Path::new(&socket_folder(&url)).exists());
    Ok(())
}

#[test]
fn a_persistent_server_stops_with_its_last_user() -> TestResult {
    let folder = reachable_folder()?;
    let first = Server::persistent(folder.path())?;
    let second = Server::persistent(folder.path())?;
    let url = first.url("postgres");
    assert_eq!(second.url("postgres"), url);
    psql(&url, "create table kept as select 42 as answer");
    drop(first);
    assert!(answers(&url), "the second user can still use it");
    drop(second);
    eventually("the server stops", || !folder.path().join("data/postmaster.pid").exists());
    let again = Server::persistent(folder.path())?;
    assert_eq!(psql(&again.url("postgres"), "select answer from kept"), "42");
    drop(again);
    eventually("the server stops", || !folder.path().join("data/postmaster.pid").exists());
    Ok(())
}

#[test]
fn a_server_stops_when_its_user_is_killed() -> TestResult {
    let folder = reachable_folder()?;
    let mut child = holder_in(folder.path())?;
    let state = folder.path().join("data/postmaster.pid");
    eventually("the child's server is ready", || {
        std::fs::read_to_string(&state).is_ok_and(|text| text.contains("ready"))
    });
    child.kill()?;
    child.wait()?;
    eventually("the server stops", || !state.exists());
    let server = Server::persistent(folder.path())?;
    assert!(answers(&server.url("postgres")), "it starts again");
    drop(server);
    eventually("the server stops", || !state.exists());
    Ok(())
}

/// Runs this test binary as a separate process to kill. It starts a server and waits.
fn holder_in(folder: &Path) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["--exact", "hold_a_server_for_another_test", "--ignored", "--nocapture"])
        .env("HOLD_SERVER_IN", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
}

#[test]
#[ignore = "not a test: the process that a_server_stops_when_its_user_is_killed kills"]
fn hold_a_server_for_another_test() -> TestResult {
    let Some(folder) = std::env::var_os("HOLD_SERVER_IN") else { return Ok(()) };
    let _server = Server::persistent(Path::new(&folder))?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}

#[test]
fn a_leftover_state_file_does_not_block_startup() -> TestResult {
    let folder = reachable_folder()?;
    drop(Server::persistent(folder.path())?);
    let state = folder.path().join("data/postmaster.pid");
    eventually("the server stops", || !state.exists());
    // The id of a live process, as after a restart of the machine.
    let living = std::process::id();
    std::fs::write(&state, format!("{living}\n/nowhere\n0\n5432\n/nowhere\n\n0 0\nready   \n"))?;
    let server = Server::persistent(folder.path())?;
    assert!(answers(&server.url("postgres")));
    drop(server);
    eventually("the server stops", || !state.exists());
    Ok(())
}

#[test]
fn a_folder_too_deep_for_sockets_still_works() -> TestResult {
    let folder = reachable_folder()?;
    let deep = folder.path().join("d".repeat(120));
    let server = Server::persistent(&deep)?;
    assert!(answers(&server.url("postgres")));
    drop(server);
    eventually("the server stops", || !deep.join("data/postmaster.pid").exists());
    Ok(())
}

#[test]
fn only_line_breaks_are_refused_in_folder_names() -> TestResult {
    let folder = reachable_folder()?;
    for name in ["with a space", "a,b", "it's \"quoted\"", "größe", "100%"] {
        let odd = folder.path().join(name);
        let server = Server::persistent(&odd)?;
        assert!(answers(&server.url("postgres")), "{name}");
        drop(server);
        eventually("the server stops", || !odd.join("data/postmaster.pid").exists());
    }
    let refused = Server::persistent(&folder.path().join("two\nlines")).expect_err("refused");
    assert!(refused.to_string().contains("line break"), "{refused}");
    Ok(())
}

#[test]
fn a_killed_server_is_restarted_for_its_users() -> TestResult {
    let folder = reachable_folder()?;
    let server = Server::persistent(folder.path())?;
    let url = server.url("postgres");
    psql(&url, "create table kept as select 42 as answer");
    for signal in ["-KILL", "-TERM", "-INT", "-KILL"] {
        let before = process_of(folder.path());
        assert!(Command::new("kill").args([signal, &before]).status()?.success());
        eventually("another server is ready", || process_of(folder.path()) != before && answers(&url));
        assert_eq!(psql(&url, "select answer from kept"), "42", "{signal}");
    }
    let before = process_of(folder.path());
    assert!(Command::new("kill").args(["-KILL", &before]).status()?.success());
    let second = Server::persistent(folder.path())?;
    assert!(answers(&second.url("postgres")), "the next user gets the new server");
    drop((server, second));
    eventually("the server stops", || !folder.path().join("data/postmaster.pid").exists());
    Ok(())
}

#[test]
fn the_next_user_replaces_a_killed_supervisor() -> TestResult {
    let folder = reachable_folder()?;
    let first = Server::persistent(folder.path())?;
    psql(&first.url("postgres"), "create table kept as select 42 as answer");
    let server = process_of(folder.path());
    let supervisor = Command::new("ps").args(["-o", "ppid=", "-p", &server]).output()?;
    let supervisor = String::from_utf8(supervisor.stdout)?.trim().to_owned();
    // The supervisor's child, which watches the first user's pipe, still reads from it.
    assert!(Command::new("kill").args(["-KILL", &supervisor, &server]).status()?.success());
    let second = Server::persistent(folder.path())?;
    assert_eq!(psql(&second.url("postgres"), "select answer from kept"), "42");
    drop((first, second));
    eventually("the server stops", || !folder.path().join("data/postmaster.pid").exists());
    Ok(())
}

#[test]
fn a_suspended_server_is_reported_with_the_fix() -> TestResult {
    let folder = reachable_folder()?;
    let server = Server::persistent(folder.path())?;
    let process = process_of(folder.path());
    let signal = |name: &str| Command::new("kill").args([name, &process]).status();
    assert!(signal("-STOP")?.success());
    // The signal may arrive after `kill` returns.
    eventually("the server is suspended", || !server.answers());
    let help = format!("kill -CONT {process}");
    let refused = Server::persistent(folder.path()).expect_err("it does not respond").to_string();
    assert!(refused.contains(&help), "{refused}");
    drop(server);
    // It cannot exit either, although no other command uses it.
    let refused = DataFolder::new(folder.path()).remove().expect_err("it still exists").to_string();
    assert!(refused.contains(&help), "{refused}");
    assert!(signal("-CONT")?.success());
    let server = Server::persistent(folder.path())?;
    assert!(answers(&server.url("postgres")));
    drop(server);
    eventually("the server stops", || !folder.path().join("data/postmaster.pid").exists());
    Ok(())
}

/// The server's process id.
fn process_of(folder: &Path) -> String {
    let state = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap_or_default();
    state.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_failed_start_reports_its_cause_immediately() -> TestResult {
    let folder = reachable_folder()?;
    drop(Server::persistent(folder.path())?);
    eventually("the server stops", || !folder.path().join("data/postmaster.pid").exists());
    std::fs::write(folder.path().join("data/postgresql.auto.conf"), "no_such_setting = 1\n")?;
    let refused = Server::persistent(folder.path()).expect_err("it cannot start").to_string();
    assert!(refused.starts_with("postgres failed") && refused.contains("no_such_setting"), "{refused}");
    // A start that fails with another status is not retried either.
    std::fs::remove_file(folder.path().join("data/postgresql.conf"))?;
    std::fs::write(folder.path().join("log"), "")?;
    let refused = Server::persistent(folder.path()).expect_err("it cannot start").to_string();
    assert_eq!(refused.matches("postgresql.conf").count(), 1, "{refused}");
    Ok(())
}

#[test]
fn data_of_another_major_version_is_left_alone() -> TestResult {
    let folder = reachable_folder()?;
    drop(Server::persistent(folder.path())?);
    eventually("the server stops", || !folder.path().join("data/postmaster.pid").exists());
    std::fs::write(folder.path().join("data/PG_VERSION"), "14\n")?;
    let refused = Server::persistent(folder.path()).expect_err("it has another version").to_string();
    for part in ["made by PostgreSQL 14", "mergeline data dump", "mergeline data restore"] {
        assert!(refused.contains(part), "{refused}");
    }
    let installed = Binaries::find()?.version();
    for version in [Some(installed.to_string()), Some("14".to_owned()), None] {
        assert_eq!(Binaries::find_for(version.as_deref())?.version(), installed, "{version:?}");
    }
    Ok(())
}

#[test]
fn a_kill_during_initdb_allows_the_next_start() -> TestResult {
    let folder = reachable_folder()?;
    let is_running = || {
        let entries = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
        entries.into_iter().any(|entry| {
            entry.file_name().to_string_lossy().starts_with("data.new") && entry.path().join("base").exists()
        })
    };
    for _ in 0..3 {
        let mut child = holder_in(folder.path())?;
        eventually("initdb is running", is_running);
        child.kill()?;
        child.wait()?;
    }
    let server = Server::persistent(folder.path())?;
    assert!(answers(&server.url("postgres")));
    drop(server);
    eventually("the server stops", || !folder.path().join("data/postmaster.pid").exists());
    Ok(())
}

#[test]
fn remove_refuses_data_that_is_in_use() -> TestResult {
    let folder = reachable_folder()?;
    let odd = folder.path().join("a,b");
    let server = Server::persistent(&odd)?;
    let url = server.url("postgres");
    let refused = DataFolder::new(&odd).remove().expect_err("it is in use").to_string();
    assert!(refused.contains("in use") && answers(&url), "{refused}");
    drop(server);
    assert!(DataFolder::new(&odd).remove()?);
    assert!(!odd.exists() && !Path::new(&socket_folder(&url)).exists());
    assert!(!DataFolder::new(&odd).remove()?, "there is nothing left");
    Ok(())
}

/// A temporary folder that the server's account can access too.
fn reachable_folder() -> std::io::Result<tempfile::TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn psql(url: &str, sql: &str) -> String {
    let binaries = Binaries::find().expect("PostgreSQL");
    let output = Command::new(binaries.folder().join("psql")).args([url, "-Atc", sql]).output().expect("psql runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
