//! What somebody meets who starts with Mergeline: wrong settings, missing permissions, and nothing collected yet.

mod common;

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Result;
use common::{Laptop, Ran, TEAMS, github, while_serving, yesterday};
use mergeline_fake_github::{FakeGitHub, pr};
use mergeline_test_support::TestDatabase;

const TOKEN: &str = FakeGitHub::TOKEN;

/// Checks that a command failed with an error that has all of these parts and nothing for programmers.
#[track_caller]
fn assert_error(ran: &Ran, code: i32, parts: &[&str]) {
    let (out, err) = (ran.out(), ran.err());
    assert_eq!(ran.code(), Some(code), "{out} {err}");
    let all = format!("{out}{err}");
    for part in parts {
        assert!(all.contains(part), "{part}: {all}");
    }
    for raw in ["Os {", "Error {", "errors: [", "panicked", "Service Error"] {
        assert!(!all.contains(raw), "{raw}: {all}");
    }
}

/// Waits for an answer: from then on, a server hears signals.
fn is_answering(address: &str) -> Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    write!(stream, "GET /v1/healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let answer = std::io::read_to_string(stream)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    Ok(())
}

/// A laptop and a GitHub without any deployments and with a database of its own.
async fn laptop(fake: &FakeGitHub) -> Result<(Laptop, TestDatabase)> {
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("DB_URL", database.url());
    Ok((laptop, database))
}

#[tokio::test]
async fn authorities_that_cannot_be_read_are_one_clear_error_of_every_command() -> Result<()> {
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("DB_URL", database.url()).with("GITHUB_PAT", TOKEN);
    laptop.write("not.pem", "this is no certificate\n")?;
    laptop.run(&["migrate"]).await?;
    let channels = "channels: [{ id: chat, kind: slack, kinds: [digest] }]\n";
    laptop.write("teams.yaml", &format!("{TEAMS}{channels}"))?;
    for (file, reason) in [
        ("/nowhere.pem", "SSL_CERT_FILE is /nowhere.pem, which cannot be read: No such file or directory"),
        ("not.pem", "SSL_CERT_FILE is not.pem, which has no certificate in PEM form"),
    ] {
        for arguments in [
            &["doctor"][..],
            &["collect"],
            &["init", "--org", "acme", "--yes", "--output", "new.yaml"],
            &["report", "acme/api"],
            &["teams", "drift"],
            &["explain", "--ask", "acme/api#1"],
            &["notify"],
            #[cfg(feature = "aws")]
            &["doctor", "--stack", "x"],
            #[cfg(feature = "aws")]
            &["replay"],
        ] {
            let mut command = laptop.command(arguments);
            command.env("SSL_CERT_FILE", file).env_remove("SSL_CERT_DIR").env("AWS_REGION", "eu-north-1");
            command.envs(["WORK_QUEUE_URL", "DEAD_LETTER_QUEUE_URL"].map(|name| (name, "https://sqs.example.com/1/q")));
            let ran = Ran::of(tokio::task::spawn_blocking(move || command.output()).await??);
            assert_error(&ran, 1, &[reason, "help: set SSL_CERT_FILE to a PEM file"]);
            if arguments == ["doctor"] {
                let out = ran.out();
                assert!(out.contains("error    GitHub: no server can be trusted"), "{out}");
                let last = out.trim_end().lines().last().unwrap_or_default();
                assert!(last.contains(" ok, ") && last.contains("error"), "it goes on to the end: {out}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_file_of_authorities_that_is_not_used_is_a_warning() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let laptop = laptop.with("SSL_CERT_FILE", "/nowhere.pem").with("SSL_CERT_DIR", "/etc/ssl/certs");
    let out = laptop.run(&["doctor"]).await?.out();
    assert!(out.contains("warning  settings: SSL_CERT_FILE is /nowhere.pem, which cannot be read"), "{out}");
    assert!(out.contains("GitHub: answers"), "{out}");
    Ok(())
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_an_error_that_names_the_setting() -> Result<()> {
    let laptop = Laptop::new()?;
    let help = ["cannot use the folder", "--data-dir", "MERGELINE_DATA_DIR"];
    let folder = Path::new(&laptop.environment["HOME"]);
    symlink("loop", folder.join("loop"))?;
    for unusable in ["teams.yaml", "loop", "/proc/nowhere"] {
        assert_error(&laptop.run(&["collect", "--data-dir", unusable]).await?, 1, &help);
    }
    // A folder that cannot be looked into is not one without data.
    for unusable in ["teams.yaml", "loop"] {
        for arguments in [&["status"][..], &["show"], &["goals", "show"], &["data", "dump"], &["doctor"]] {
            let arguments = [arguments, &["--data-dir", unusable]].concat();
            let ran = laptop.run(&arguments).await?;
            assert_error(&ran, 1, &help);
            assert!(!ran.out().contains("Nothing was ever"), "{}", ran.out());
        }
    }
    let wrong = laptop.with("PG_BINDIR", "/nowhere").run(&["collect"]).await?;
    assert_error(&wrong, 1, &["PG_BINDIR names /nowhere", "unset PG_BINDIR"]);
    Ok(())
}

#[tokio::test]
async fn doctor_and_serve_say_that_nothing_was_collected_yet() -> Result<()> {
    let fake = github().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url());
    let doctor = laptop.run(&["doctor"]).await?;
    assert_eq!(doctor.code(), Some(0), "{}", doctor.out());
    let warning = "warning  collection: nothing was ever collected here; help: run `mergeline collect`";
    assert!(doctor.out().contains(warning), "{}", doctor.out());
    // `--port` is another name for `--listen`.
    let printed = while_serving(laptop.command(&["serve", "--port", "0"]), is_answering)?;
    assert!(printed.starts_with("No repository was read yet"), "{printed}");
    assert!(printed.contains("run `mergeline collect`"), "{printed}");
    // A run that failed read nothing, so nothing is in order.
    fake.break_repository("acme/web", Some(404));
    fake.break_repository("acme/api", Some(404));
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(1));
    let doctor = laptop.run(&["doctor", "--offline"]).await?.out();
    for name in ["quarantine", "details", "deployments"] {
        assert!(!doctor.contains(&format!("ok       {name}")), "{doctor}");
    }
    Ok(())
}

#[tokio::test]
async fn weeks_that_were_not_read_have_no_numbers() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let laptop = laptop.with("BACKFILL_DAYS", "15");
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    for arguments in [&["show"][..], &["show", "payments"]] {
        let out = laptop.run(arguments).await?.out();
        let weeks: Vec<&str> =
            out.lines().filter(|line| line.starts_with("20") && line.contains("-W")).take(12).collect();
        assert_eq!(weeks.len(), 12, "{out}");
        // The first are before everything that was read, and the last ones are read.
        assert!(weeks[0].contains(" * ") && weeks[0].contains(" - ") && !weeks[0].contains("(0)"), "{out}");
        assert!(!weeks[10].contains('*') && weeks[10].contains('('), "{out}");
    }
    Ok(())
}

#[tokio::test]
async fn a_repository_that_keeps_weeks_incomplete_is_named() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let goals = "goals: [{ id: reviews, form: share, measure: pickup, within: 4h, share: 0.8 }]\n";
    laptop.write("teams.yaml", &format!("{TEAMS}{goals}"))?;
    fake.break_repository("acme/web", Some(404));
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(3));
    let laptop = laptop.with("TEAMS_FILE", "teams.yaml");
    for arguments in [&["show"][..], &["show", "payments"], &["goals", "show"], &["goals", "preview"]] {
        let out = laptop.run(arguments).await?.out();
        let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in ["acme/web is not fully read: repo_not_accessible: not found (404)", "help: ", "`!acme/web`"] {
            assert!(out.contains(part), "{arguments:?}: {part}: {out}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn missing_metrics_of_deployments_are_a_line_with_the_way_to_them() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let said = |ran: &Ran| ran.out().split_whitespace().collect::<Vec<_>>().join(" ");
    let ran = laptop.run(&["collect"]).await?;
    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    let missing = "DORA's metrics are missing: deployments are read only with a token. Set GITHUB_PAT, and run `mergeline collect`";
    assert!(said(&ran).contains(missing), "{}", ran.out());
    assert!(said(&laptop.run(&["show", "payments"]).await?).contains(missing));
    let laptop = laptop.with("GITHUB_PAT", TOKEN);
    let ran = laptop.run(&["collect"]).await?;
    assert!(
        said(&ran).contains("DORA's metrics are missing: no repository has a deployment at GitHub."),
        "{}",
        ran.out()
    );
    Ok(())
}

#[tokio::test]
async fn explain_says_why_a_phase_is_not_known() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    let pending = laptop.run(&["explain", "acme/api#1"]).await?.out();
    assert!(
        pending.contains("its commits and reviews are not read yet: `mergeline collect` with a token"),
        "{pending}"
    );
    let laptop = laptop.with("GITHUB_PAT", TOKEN);
    fake.put([pr("acme/api", 4).merged_at_instant(yesterday())]);
    laptop.run(&["collect"]).await?;
    let unreviewed = laptop.run(&["explain", "acme/api#4"]).await?.out();
    assert!(unreviewed.contains("pickup and review are unknown because nobody else reviewed it"), "{unreviewed}");
    Ok(())
}

#[tokio::test]
async fn a_missing_token_is_not_called_a_malformed_one() -> Result<()> {
    let laptop = Laptop::new()?;
    let missing = laptop.run(&["init", "--org", "acme", "--yes", "--output", "new.yaml"]).await?;
    assert_error(
        &missing,
        2,
        &["GITHUB_PAT: config.no_token: it is not set", "personal-access-tokens/new?name=Mergeline"],
    );
    let malformed = laptop.with("GITHUB_PAT", "abc def").run(&["doctor", "--offline"]).await?;
    assert_error(&malformed, 2, &["config.token_format", "Pull requests, Contents, Deployments, Members"]);
    Ok(())
}

#[tokio::test]
async fn a_log_filter_that_cannot_be_read_is_a_warning() -> Result<()> {
    let ran = Laptop::new()?.with("RUST_LOG", "zzz=qq").run(&["status"]).await?;
    assert_eq!(ran.code(), Some(0));
    assert!(ran.err().contains("WARN RUST_LOG is not used, because it cannot be read"), "{}", ran.err());
    Ok(())
}

#[tokio::test]
async fn an_empty_teams_file_says_how_to_begin_one() -> Result<()> {
    let laptop = Laptop::new()?;
    laptop.write("teams.yaml", "")?;
    let ran = laptop.run(&["collect"]).await?;
    assert_error(&ran, 2, &["teams.yaml:1:1: config.empty: the teams file is empty", "mergeline init", "version: 1"]);
    Ok(())
}

#[tokio::test]
async fn an_installed_program_leads_to_documents_that_exist_without_a_clone() -> Result<()> {
    let laptop = Laptop::new()?;
    let help = laptop.run(&["--help"]).await?.out();
    let page = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/v", env!("CARGO_PKG_VERSION"), "/docs/settings.md");
    assert!(help.contains(page), "{help}");
    Ok(())
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn a_stack_without_credentials_is_one_clear_error() -> Result<()> {
    let laptop = Laptop::new()?.with("AWS_EC2_METADATA_DISABLED", "true");
    for laptop in [laptop, Laptop::new()?.with("AWS_EC2_METADATA_DISABLED", "true").with("AWS_REGION", "eu-north-1")] {
        let ran = laptop.run(&["doctor", "--stack", "x"]).await?;
        assert_error(&ran, 1, &["cannot call AWS from here", "help: set AWS_REGION, and sign in"]);
        assert_eq!(ran.err(), "", "{}", ran.err());
        assert!(!ran.out().contains("dispatch failure"), "{}", ran.out());
    }
    Ok(())
}

#[tokio::test]
async fn the_demo_ends_with_the_address_of_its_page() -> Result<()> {
    let laptop = Laptop::new()?;
    let mut command = laptop.command(&["demo", "--listen", "127.0.0.1:0"]);
    command.stdout(std::process::Stdio::piped());
    let mut child = command.spawn()?;
    let out = child.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?;
    let lines = tokio::task::spawn_blocking(move || {
        let lines = std::io::BufRead::lines(std::io::BufReader::new(out));
        let mut read: Vec<String> = Vec::new();
        for line in lines.map_while(Result::ok) {
            let is_last = line.starts_with("The page: ");
            read.push(line);
            if is_last {
                break;
            }
        }
        read
    })
    .await?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(child.id())?), nix::sys::signal::Signal::SIGTERM)?;
    child.wait()?;
    let address = |line: &String| line.split_whitespace().find(|word| word.ends_with("/v1/app/")).map(str::to_owned);
    let (first, last) = (lines.first().and_then(address), lines.last().and_then(address));
    assert!(first.is_some() && first == last, "{lines:?}");
    Ok(())
}
