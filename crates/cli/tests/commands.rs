//! Runs the real `mergeline` binary, as a person and as a script would.

mod common;
mod teams_files;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use common::{Laptop, Ran, TEAMS, github, while_serving, yesterday};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{FakeGitCommit, FakeGitHub, FakeWebhook, deployment, pr};
use mergeline_store::ApplyOptions;
use mergeline_test_support::{FakeChannels, FakeOtlp, FakeProvider, TestDatabase};
use serde_json::{Value, json};

fn http_get(address: &str, path: &str, headers: &str) -> Result<(u16, Value)> {
    http_get_as(address, address, path, headers)
}

/// Sends a request to the server at `address` with another `Host` header.
fn http_get_as(address: &str, host: &str, path: &str, headers: &str) -> Result<(u16, Value)> {
    let (head, body) = answer_of(address, host, path, headers)?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok((status, serde_json::from_slice(&body)?))
}

/// The head of an answer, and its body, which may be no text.
fn answer_of(address: &str, host: &str, path: &str, headers: &str) -> Result<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n").context("a head")?;
    let body = answer.split_off(end + 4);
    Ok((String::from_utf8(answer)?, body))
}

#[tokio::test]
async fn demo_says_it_is_synthetic_and_prints_numbers() -> Result<()> {
    let ran = Laptop::new()?.run(&["demo", "--no-serve"]).await?;
    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    for expected in [
        "SYNTHETIC",
        "carla",
        "(running)",
        "acme/legacy: repo_not_accessible",
        "(pr_cycle_time@1; not DORA's",
        "DORA since ",
        "Platform",
    ] {
        assert!(ran.out().contains(expected), "{expected}: {}", ran.out());
    }
    let first_run = ran.out().split("Run 2").next().unwrap_or_default().to_owned();
    assert!(!first_run.contains(" 0 GraphQL points"), "without phases: {}", ran.out());
    Ok(())
}

#[tokio::test]
async fn demo_repository_failure_leaves_earlier_weeks_complete() -> Result<()> {
    let ran = Laptop::new()?.run(&["demo", "--no-serve"]).await?;
    let (_, tables) =
        ran.out().split_once("Velocity by ISO week").map(|(a, b)| (a.to_owned(), b.to_owned())).context("tables")?;
    let weeks: Vec<&str> = tables.lines().filter(|line| line.trim_start().starts_with("20")).collect();
    assert_eq!(weeks.len(), 12, "{tables}");
    assert_eq!(weeks.iter().filter(|line| line.contains('*')).count(), 0, "{tables}");
    assert_eq!(weeks.iter().filter(|line| line.contains("(running)")).count(), 1, "{tables}");
    assert!(tables.contains("partial_coverage: the last collection of acme/legacy failed"), "{tables}");
    assert!(ran.out().contains("3 of 3 repositories complete") && ran.out().contains("2 of 3 repositories complete"));
    Ok(())
}

#[tokio::test]
async fn show_prints_collected_data_by_team_and_week() -> Result<()> {
    let fake = github().await?;
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("DB_URL", database.url());
    assert!(Laptop::new()?.run(&["show"]).await?.out().contains("Nothing was ever collected"));
    assert!(laptop.run(&["show"]).await?.out().contains("No team is configured"));
    let collected = laptop.run(&["collect"]).await?;
    let (_, tables) =
        collected.out().split_once("\n\n").map(|(a, b)| (a.to_owned(), b.to_owned())).context("tables")?;
    assert!(tables.contains("payments") && tables.contains("1 (1)"), "{tables}");
    let shown = laptop.run(&["show"]).await?;
    assert_eq!((shown.code(), shown.out()), (Some(0), tables));
    let team = laptop.run(&["show", "payments", "--last", "P3W"]).await?.out();
    assert_eq!(team.lines().filter(|line| line.trim_start().starts_with("20")).count(), 3, "{team}");
    assert!(team.contains("coding") && team.lines().all(|line| line.chars().count() <= 80), "{team}");
    let json = laptop.run(&["show", "payments", "--last", "P2W", "--json"]).await?.json()?;
    let velocity = &json["teams"][0]["velocity"]["data"];
    assert_eq!((velocity["buckets"].as_array().map(Vec::len), &velocity["total"]["prs_merged"]), (Some(2), &json!(1)));
    for (arguments, expected) in [(["show", "paymets"], "the teams are: payments"), (["show", "--last=3weeks"], "P12W")]
    {
        let ran = laptop.run(&arguments).await?;
        assert_eq!((ran.code(), ran.err().contains(expected)), (Some(2), true), "{arguments:?}: {}", ran.err());
    }
    Ok(())
}

#[tokio::test]
async fn incomplete_weeks_are_marked_with_the_reason() -> Result<()> {
    let fake = github().await?;
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("DB_URL", database.url());
    fake.break_repository("acme/web", Some(404));
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(3));
    let shown = laptop.run(&["show"]).await?.out();
    assert_eq!(shown.lines().filter(|line| line.contains(" * ")).count(), 11, "{shown}");
    for expected in ["* Not complete", "never_collected: acme/web was never fully collected"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    Ok(())
}

#[tokio::test]
async fn many_teams_and_long_names_fit_eighty_columns() -> Result<()> {
    let fake = github().await?;
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("DB_URL", database.url());
    let teams =
        (1..=9).map(|n| format!("  - {{ slug: team-{n}, name: Team number {n}, members: [{{ github: p{n} }}] }}\n"));
    let teams: String = teams.collect();
    // Two lengths, each with a repository that can be read and one that cannot, and the longest team name.
    let named = |owner: &str, length: usize| format!("{owner}/{}-read", "long".repeat(26).split_at(length - 5).0);
    let [read, longer] = [named("acme", 62), named("acme-corp", 96)];
    let [missing, lost] = [&read, &longer].map(|name| name.replace("-read", "-lost"));
    assert_eq!([read.len(), longer.len()], [67, 106]);
    let name = "a very long name ".repeat(6).split_at(98).0.to_owned() + "zz";
    let long = format!("  - {{ slug: long, name: {name}, members: [{{ github: ana }}] }}\n");
    let repositories = format!("[acme/api, acme/web, {read}, {longer}, {missing}, {lost}]");
    laptop.write("teams.yaml", &format!("version: 1\nrepositories: {repositories}\nteams:\n{teams}{long}"))?;
    for repository in [&read, &longer] {
        fake.add_repository(repository);
    }
    fake.break_repository("acme/web", Some(404));
    for arguments in [&["collect"][..], &["show"], &["show", "long"], &["status"]] {
        let printed = laptop.run(arguments).await?.out();
        assert!(
            printed.contains("acme/web") || printed.contains("Team number 9") || printed.contains(" week"),
            "{printed}"
        );
        let too_long: Vec<&str> = printed.lines().filter(|line| line.chars().count() > 80).collect();
        assert_eq!(too_long, Vec::<&str>::new(), "{printed}");
        if arguments == ["status"] {
            // The table shows both ends of a name, and the reason has the full name.
            let rows = printed.lines().filter(|line| line.starts_with("acme") && line.contains("…"));
            assert_eq!(rows.filter(|line| line.contains("-read ") || line.contains("-lost ")).count(), 4, "{printed}");
            assert!(printed.contains(&format!("  {missing}:")), "{printed}");
        }
    }
    Ok(())
}

/// Asserts that a server without keys refuses pages that use DNS rebinding, and answers local requests.
fn assert_refuses_rebinding(address: &str) -> Result<()> {
    let path = "/v1/teams";
    for host in ["evil.example", "evil.example:8787", "localhost.evil.example"] {
        let (status, refused) = http_get_as(address, host, path, "")?;
        assert_eq!((status, &refused["error"]["code"]), (403, &json!("host_not_allowed")), "{host}");
    }
    for page in ["Origin: http://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n"] {
        let (status, refused) = http_get(address, path, page)?;
        assert_eq!((status, &refused["error"]["code"]), (403, &json!("cross_site")), "{page}");
    }
    for host in ["localhost", "127.0.0.1", "[::1]", "devbox.internal:1"] {
        assert_eq!(http_get_as(address, host, path, "")?.0, 200, "{host}");
    }
    Ok(())
}

#[tokio::test]
async fn serve_and_demo_without_keys_reject_dns_rebinding() -> Result<()> {
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("DB_URL", database.url()).with("ALLOWED_HOSTS", "devbox.internal");
    for command in ["serve", "demo"] {
        let command = laptop.command(&[command, "--listen", "127.0.0.1:0"]);
        tokio::task::spawn_blocking(move || while_serving(command, assert_refuses_rebinding)).await??;
    }
    Ok(())
}

#[tokio::test]
async fn stalled_clients_cannot_block_others_and_are_logged() -> Result<()> {
    const FILES: u32 = 100;
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("DB_URL", database.url());
    let command = laptop.command_with_files(FILES, &["serve", "--listen", "127.0.0.1:0"]);
    let ask = |address: &str| {
        let mut half_sent = Vec::new();
        for number in 0..2 * FILES {
            let mut stream = TcpStream::connect(address)?;
            // Connections that were closed for others accept no more data.
            let _ = write!(stream, "GET /v1/teams HTTP/1.1\r\nHost: {address}\r\n");
            half_sent.push(stream);
            if number % 20 == 0 {
                assert_eq!(http_get(address, "/v1/teams", "")?.0, 200, "after {number}");
            }
        }
        assert_eq!(http_get(address, "/v1/teams", "")?.0, 200);
        Ok(())
    };
    let said = tokio::task::spawn_blocking(move || while_serving(command, ask)).await??;
    assert!(said.contains("connections are taken: those that send no request are closed"), "{said}");
    assert!(!said.contains("could not be accepted"), "no files left: {said}");
    Ok(())
}

#[test]
fn the_demo_api_answers_its_printed_commands() -> Result<()> {
    let laptop = Laptop::new()?.with("WEBHOOK_SECRETS", json!({ "github": WEBHOOK_SECRET }).to_string());
    let runtime = tokio::runtime::Runtime::new()?;
    let printed = while_serving(laptop.command(&["demo", "--listen", "127.0.0.1:0"]), |address| {
        let webhook = FakeWebhook::new(&format!("http://{address}/v1/webhook/github"), WEBHOOK_SECRET);
        let release = json!({ "action": "published", "repository": { "id": 1, "full_name": "acme/api" } });
        assert_eq!(runtime.block_on(webhook.send(&webhook.delivery("release", &release)))?, 202);
        let (status, teams) = http_get(address, "/v1/teams", "")?;
        assert_eq!((status, &teams["meta"]["count"]), (200, &json!(3)));
        let (status, velocity) = http_get(address, "/v1/metrics/team/payments/velocity", "")?;
        assert_eq!((status, velocity["data"]["buckets"].as_array().map(Vec::len)), (200, Some(12)));
        let (status, config) = http_get(address, "/v1/app/config.json", "")?;
        assert_eq!((status, &config["login"]), (200, &json!("none")), "the page needs no key here");
        for (path, accepts, expected) in [
            ("/v1/teams", "gzip", Some("gzip")),
            ("/v1/app/index.html", "gzip, br", Some("gzip")),
            ("/v1/teams", "identity", None),
        ] {
            let (head, _) = answer_of(address, address, path, &format!("accept-encoding: {accepts}\r\n"))?;
            let head = head.to_lowercase();
            let encoding = head.lines().find_map(|line| line.strip_prefix("content-encoding: "));
            assert_eq!(encoding, expected, "{path}: {head}");
        }
        let (status, dora) = http_get(address, "/v1/metrics/dora?days=90&edition=dora-2024", "")?;
        assert_eq!(status, 200);
        for pointer in [
            "/deployment_frequency/kinds/change",
            "/deployment_frequency/kinds/rollback",
            "/change_fail_rate/reasons/incident",
            "/change_fail_rate/reasons/rolled_back",
            "/rework_rate/reasons/hotfix",
            "/mttr",
        ] {
            let n = dora["data"]["total"].pointer(pointer).and_then(|count| count["n"].as_i64());
            assert!(n > Some(0), "{pointer}: {n:?}");
        }
        Ok(())
    })?;
    let first = printed.lines().next().unwrap_or_default();
    assert!(
        first.starts_with("Open http://") && first.contains("/v1/app/ in a browser"),
        "the address comes first: {printed}"
    );
    Ok(())
}

/// Sends what happens in `acme/api` until the API shows this many merged pull requests of payments.
async fn deliver_until(fake: &FakeGitHub, webhook: &FakeWebhook, address: &str, merged: i64) -> Result<()> {
    let number = 3 + merged;
    fake.put([pr("acme/api", number).merged_at_instant(yesterday())]);
    let event = fake.event("acme/api", "closed", Some(("pull_request", &format!("pulls/{number}")))).await?;
    let delivery = webhook.delivery("pull_request", &event);
    // The second one is a repetition, and the third one comes out of order.
    let late =
        webhook.delivery("pull_request", &fake.event("acme/api", "opened", Some(("pull_request", "pulls/1"))).await?);
    for delivery in [&delivery, &delivery, &late] {
        assert_eq!(webhook.send(delivery).await?, 202);
    }
    let address = address.to_owned();
    tokio::task::spawn_blocking(move || {
        let key = "x-api-key: a-key-of-sixteen-or-more\r\n";
        for _ in 0..300 {
            let (status, answer) = http_get(&address, "/v1/metrics/team/payments/velocity", key)?;
            anyhow::ensure!(status == 200, "{answer}");
            if answer["data"]["total"]["prs_merged"] == json!(merged) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        anyhow::bail!("the API never showed {merged} merged pull requests")
    })
    .await?
}

const WEBHOOK_SECRET: &str = "a webhook secret";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_announces_is_served_without_a_collection() -> Result<()> {
    let fake = github().await?;
    let laptop = Laptop::new()?
        .with("GITHUB_API_URL", fake.url())
        .with("GITHUB_PAT", FakeGitHub::TOKEN)
        .with("WEBHOOK_SECRETS", json!({ "github": WEBHOOK_SECRET }).to_string())
        .with("API_KEY", "a-key-of-sixteen-or-more");
    let first = laptop.run(&["collect"]).await?;
    assert_eq!(first.code(), Some(0), "{}", first.err());
    let command = laptop.command(&["serve", "--listen", "127.0.0.1:0"]);
    let runtime = tokio::runtime::Handle::current();
    let fake = &fake;
    let said = tokio::task::block_in_place(|| {
        while_serving(command, |address| {
            runtime.block_on(async {
                let webhook = FakeWebhook::new(&format!("http://{address}/v1/webhook/github"), WEBHOOK_SECRET);
                for merged in 2..=3 {
                    deliver_until(fake, &webhook, address, merged).await?;
                }
                let stranger = FakeWebhook::new(&format!("http://{address}/v1/webhook/github"), "another secret");
                let event = fake.event("acme/api", "closed", None).await?;
                assert_eq!(stranger.send(&stranger.delivery("pull_request", &event)).await?, 401);
                Ok(())
            })
        })
    })?;
    assert!(said.contains("its signature is missing or wrong"), "{said}");
    assert!(!said.contains(WEBHOOK_SECRET), "{said}");
    let status = laptop.run(&["status", "--json"]).await?;
    assert_eq!(status.json()?["runs"].as_array().map(Vec::len), Some(1), "no run was started: {}", status.out());
    Ok(())
}

#[tokio::test]
async fn collect_then_serve_needs_no_database_setup() -> Result<()> {
    let fake = github().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("API_KEY", "a-key-of-sixteen-or-more");
    let first = laptop.run(&["collect"]).await?;
    assert_eq!(first.code(), Some(0), "{}", first.err());
    let summary = "2 of 2 repositories complete\n  3 pull requests listed, 1 kept (1 new or changed)";
    assert!(first.out().contains(summary), "{}", first.out());
    assert!(first.err().contains("+ membership  ana in payments"), "{}", first.err());
    let second = laptop.run(&["collect", "--json"]).await?;
    assert_eq!(second.json()?["repositories"][0]["changed"], json!(0));
    let command = laptop.command(&["serve", "--prometheus", "--listen", "127.0.0.1:0"]);
    let ask = |address: &str| {
        assert_eq!(http_get(address, "/v1/teams", "")?.0, 401);
        assert_eq!(http_get(address, "/metrics", "")?.0, 401);
        let (status, answer) =
            http_get(address, "/v1/metrics/team/payments/velocity", "x-api-key: a-key-of-sixteen-or-more\r\n")?;
        assert_eq!((status, &answer["data"]["total"]["prs_merged"]), (200, &json!(1)));
        Ok(())
    };
    tokio::task::spawn_blocking(move || while_serving(command, ask)).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_exports_its_requests_at_the_latest_when_it_ends() -> Result<()> {
    let otlp = FakeOtlp::start().await?;
    let laptop = Laptop::new()?;
    let migrated = laptop.run(&["migrate"]).await?;
    assert_eq!(migrated.code(), Some(0), "{}", migrated.err());
    let laptop = laptop.with("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.url());
    let command = laptop.command(&["serve", "--listen", "127.0.0.1:0"]);
    let ask = |address: &str| {
        assert_eq!(http_get(address, "/v1/teams?tz=canary", "x-api-key: canary\r\n")?.0, 400);
        assert_eq!(http_get(address, "/v1/teams", "")?.0, 200);
        Ok(())
    };
    tokio::task::spawn_blocking(move || while_serving(command, ask)).await??;
    let exported = otlp.after(1).await;
    let text: String = exported.iter().map(|it| String::from_utf8_lossy(&it.body).into_owned()).collect();
    assert!(text.contains("GET /v1/teams") && !text.contains("canary"), "{text:?}");
    let wrong = laptop.with("OTEL_EXPORTER_OTLP_ENDPOINT", "collector").run(&["status"]).await?;
    assert_eq!(wrong.code(), Some(2), "{}", wrong.err());
    assert!(wrong.err().contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{}", wrong.err());
    Ok(())
}

#[tokio::test]
async fn serve_answers_at_once_while_the_endpoint_of_traces_hangs() -> Result<()> {
    /// Far above what an answer takes on a busy machine, far below what an export may.
    const AT_ONCE: Duration = Duration::from_secs(1);
    let otlp = FakeOtlp::hanging().await?;
    let laptop = Laptop::new()?;
    let migrated = laptop.run(&["migrate"]).await?;
    assert_eq!(migrated.code(), Some(0), "{}", migrated.err());
    let laptop = laptop.with("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.url());
    let command = laptop.command(&["serve", "--listen", "127.0.0.1:0"]);
    let asked = otlp.clone();
    let ask = move |address: &str| {
        let mut slowest = Duration::ZERO;
        let mut while_hanging = 0;
        let ends_at = Instant::now() + Duration::from_secs(60);
        // Until many were answered while an export waited.
        while while_hanging < 50 {
            ensure!(Instant::now() < ends_at, "nothing was exported");
            while_hanging += usize::from(asked.requests() > 0);
            let started_at = Instant::now();
            let status = http_get(address, "/v1/teams", "")?.0;
            slowest = slowest.max(started_at.elapsed());
            ensure!(status == 200, "{status}");
            // Without pauses, the test would only measure how busy it keeps the machine.
            std::thread::sleep(Duration::from_millis(20));
        }
        ensure!(slowest < AT_ONCE, "an answer took {slowest:?}");
        Ok(())
    };
    // It also ends, with traces that nobody takes.
    tokio::task::spawn_blocking(move || while_serving(command, ask)).await??;
    Ok(())
}

#[tokio::test]
async fn serve_recovers_after_its_private_server_is_killed() -> Result<()> {
    let fake = github().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url());
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    let state = Path::new(&laptop.environment["MERGELINE_DATA_DIR"]).join("postgres/data/postmaster.pid");
    let command = laptop.command(&["serve", "--listen", "127.0.0.1:0"]);
    let ask = move |address: &str| {
        let process = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let before = process(&std::fs::read_to_string(&state)?);
        let group = std::process::Command::new("ps").args(["-o", "pgid=", "-p", &before]).output()?;
        let group: i32 = String::from_utf8(group.stdout)?.trim().parse()?;
        nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL)?;
        let is_back = || -> Result<bool> {
            let is_another = std::fs::read_to_string(&state).is_ok_and(|text| process(&text) != before);
            Ok(is_another && http_get(address, "/v1/teams", "")?.0 == 200)
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !is_back()? {
            anyhow::ensure!(std::time::Instant::now() < deadline, "it does not recover");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        Ok(())
    };
    tokio::task::spawn_blocking(move || while_serving(command, ask)).await??;
    Ok(())
}

#[tokio::test]
async fn a_stopped_private_server_gets_its_own_advice() -> Result<()> {
    let fake = github().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url());
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    let state = Path::new(&laptop.environment["MERGELINE_DATA_DIR"]).join("postgres/data/postmaster.pid");
    let command = laptop.command(&["serve", "--listen", "127.0.0.1:0"]);
    let others = [&["status"][..], &["collect"], &["doctor", "--offline"]].map(|arguments| laptop.command(arguments));
    let ask = move |address: &str| {
        let process: i32 = std::fs::read_to_string(&state)?.lines().next().unwrap_or_default().parse()?;
        let signal = |signal| nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), signal);
        signal(nix::sys::signal::Signal::SIGSTOP)?;
        // Longer than the check interval of `serve`.
        let health = http_get(address, "/health", "")?.0;
        let refused = others.map(|mut other| other.output());
        // Before any assertion can fail, so that no stopped process is left.
        signal(nix::sys::signal::Signal::SIGCONT)?;
        for output in refused {
            let ran = Ran::of(output?);
            let said = ran.out() + &ran.err();
            assert_eq!(ran.code(), Some(1), "{said}");
            assert!(said.contains(&format!("kill -CONT {process}")) && !said.contains("DB_URL"), "{said}");
        }
        assert_eq!((health, http_get(address, "/health", "")?.0), (503, 200));
        Ok(())
    };
    let said = tokio::task::spawn_blocking(move || while_serving(command, ask)).await??;
    assert_eq!(said.matches("kill -CONT").count(), 1, "{said}");
    Ok(())
}

#[tokio::test]
async fn one_failing_repository_exits_three_and_all_exit_one() -> Result<()> {
    let fake = github().await?;
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("DB_URL", database.url());
    fake.break_repository("acme/web", Some(404));
    let partial = laptop.run(&["collect"]).await?;
    assert_eq!(partial.code(), Some(3));
    assert!(partial.out().contains("acme/web: repo_not_accessible"), "{}", partial.out());
    // Not a 500: a person's pauses between attempts would take a minute.
    fake.break_repository("acme/api", Some(404));
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(1));
    Ok(())
}

#[tokio::test]
async fn input_errors_exit_two_and_list_all_places() -> Result<()> {
    let laptop = Laptop::new()?;
    laptop.write(
        "teams.yaml",
        "version: 1\nrepositories: [acme]\nteams:\n  - slug: pay\n    members:\n      - { github: ana, weigth: 2 }\n",
    )?;
    for arguments in [&["collect"][..], &["teams", "validate"], &["teams", "plan"], &["teams", "apply"]] {
        let ran = laptop.run(arguments).await?;
        assert_eq!(ran.code(), Some(2), "{arguments:?}: {}", ran.err());
        assert!(ran.err().contains("teams.yaml:2:16: config.repo_syntax"), "{}", ran.err());
        assert!(
            ran.err().contains("teams.yaml:6:24: config.unknown_key") && ran.err().contains("did you mean `weight`?"),
            "{}",
            ran.err()
        );
    }
    let json = laptop.run(&["teams", "validate", "--json"]).await?;
    assert_eq!(json.json()?["error"]["problems"][1]["at"], json!({ "line": 6, "column": 24 }));
    assert_eq!(laptop.run(&["teams", "validate", "missing.yaml"]).await?.code(), Some(2));
    let ambiguous = Laptop::new()?.with("TEAMS_FILE", "teams.yaml").with("TEAM_CONFIG_JSON", "[]");
    assert!(ambiguous.run(&["collect"]).await?.err().contains("config.ambiguous_source"));
    let weak = Laptop::new()?.with("DB_URL", "postgres://u:s3cret@db.example.com/m?sslmode=require");
    let refused = weak.run(&["collect"]).await?;
    assert!(refused.err().contains("config.insecure_tls") && !refused.err().contains("s3cret"), "{}", refused.err());
    Ok(())
}

#[tokio::test]
async fn a_wrong_folder_of_postgresql_is_named_with_help() -> Result<()> {
    let ran = Laptop::new()?.with("PG_BINDIR", "/nowhere").run(&["demo", "--no-serve"]).await?;
    assert_eq!(ran.code(), Some(1));
    for part in ["PG_BINDIR names /nowhere,", "it is not a folder", "help: name the folder", "unset PG_BINDIR"] {
        assert!(ran.err().contains(part), "{part}: {}", ran.err());
    }
    assert!(!ran.err().contains("install"), "{}", ran.err());
    Ok(())
}

#[tokio::test]
async fn serving_other_machines_needs_a_key() -> Result<()> {
    let ran = Laptop::new()?.run(&["serve", "--listen", "0.0.0.0:0"]).await?;
    assert_eq!(ran.code(), Some(2));
    assert!(ran.err().contains("API_KEY"), "{}", ran.err());
    Ok(())
}

#[tokio::test]
async fn a_created_key_works_with_its_printed_entry() -> Result<()> {
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("DB_URL", database.url());
    let create = ["keys", "create", "--name", "grafana", "--scope", "metrics:read", "--team", "payments"];
    let made = laptop.run(&[&create[..], &["--json"]].concat()).await?.json()?;
    assert_eq!(made["entry"]["scopes"], json!(["metrics:read"]));
    assert_eq!(made["entry"]["teams"], json!(["payments"]));
    let printed = laptop.run(&create).await?;
    let line = |start: &str| printed.out().lines().find(|line| line.starts_with(start)).map(str::to_owned);
    let (key, entry) = (line("mgl_").context("a key")?, line("{").context("an entry")?);
    assert_ne!(json!(key), made["key"]);
    laptop.run(&["migrate"]).await?;
    let second = entry.replace("grafana", "grafana-2");
    let laptop = laptop.with("API_KEYS", format!("[{}, {second}]", made["entry"]));
    let command = laptop.command(&["serve", "--listen", "127.0.0.1:0"]);
    let ask = move |address: &str| {
        let status = |key: &str| Ok(http_get(address, "/v1/teams", &format!("x-api-key: {key}\r\n"))?.0);
        let statuses = [made["key"].as_str().unwrap_or_default(), &key, "mgl_another"].map(status);
        assert_eq!(statuses.into_iter().collect::<Result<Vec<u16>>>()?, [200, 200, 401]);
        Ok(())
    };
    let printed = tokio::task::spawn_blocking(move || while_serving(command, ask)).await??;
    assert!(printed.contains("with the keys in API_KEYS"), "{printed}");
    Ok(())
}

#[tokio::test]
async fn serving_with_tokens_takes_no_request_without_one() -> Result<()> {
    let database = TestDatabase::create().await?;
    #[expect(clippy::disallowed_methods, reason = "the server's clock is the real one")]
    let provider = FakeProvider::start(Utc::now).await?;
    provider.say(json!({ "sub": "grafana", "aud": "metrics", "nonce": null }));
    let laptop = Laptop::new()?.with("DB_URL", database.url()).with("AUTHORIZER", "jwt");
    let laptop = laptop.with("JWT_ISSUER", provider.url()).with("JWT_AUDIENCE", "metrics");
    let teams = "version: 1\nrepositories: [acme/api]\naccess: [{ subject: grafana, role: viewer }]\nteams: [{ slug: payments, members: [{ github: ana }] }]\n";
    let file = TeamsFile::parse("teams.yaml", teams.as_bytes())?;
    #[expect(clippy::disallowed_methods, reason = "as a collection does")]
    database.store()?.apply(&file, ApplyOptions::default(), Utc::now()).await?;
    // Other machines may reach it: nothing is open.
    let command = laptop.command(&["serve", "--listen", "0.0.0.0:0"]);
    let token = provider.token();
    let ask = move |address: &str| {
        let address = address.replace("0.0.0.0", "127.0.0.1");
        let status = |path: &str, header: &str| Ok(http_get(&address, path, header)?.0);
        let bearer = format!("authorization: Bearer {token}\r\n");
        let statuses = [
            status("/v1/teams", &bearer),
            status("/v1/teams", "x-api-key: local-only-not-a-secret\r\n"),
            status("/v1/teams", ""),
            status("/v1/app/", ""),
        ];
        assert_eq!(statuses.into_iter().collect::<Result<Vec<u16>>>()?, [200, 401, 401, 404]);
        Ok(())
    };
    let printed = tokio::task::spawn_blocking(move || while_serving(command, ask)).await??;
    assert!(printed.contains("answers requests with tokens"), "{printed}");
    let doctor = laptop.run(&["doctor"]).await?;
    let found = format!("tokens: {} answers, keys: 1; tokens must be for metrics", provider.url());
    assert!(doctor.out().contains(&found), "{}", doctor.out());
    Ok(())
}

const SHOP: &str = "
version: 1
repositories: [acme/shop]
deployments: { source: events }
services: [{ slug: shop, repositories: [acme/shop] }]
teams: [{ slug: payments, members: [{ github: ana }] }]
";

/// The commands of a recipe, which a pipeline would run: from its first `case` or `curl` to the end of that.
fn commands_of(recipe: &str) -> String {
    let lines = recipe.lines().map(|line| line.trim().trim_start_matches("- "));
    let mut commands = String::new();
    let mut is_continued = false;
    for line in lines {
        if is_continued || line.starts_with("case ") || line.starts_with("curl ") {
            // A text of Groovy has its backslashes twice.
            commands.push_str(&line.replace("\\\\\"", "\\\""));
            commands.push('\n');
            is_continued = line.ends_with('\\');
        }
    }
    commands
}

#[tokio::test]
async fn every_recipe_of_the_documents_posts_a_deployment() -> Result<()> {
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("DB_URL", database.url());
    laptop.write("teams.yaml", SHOP)?;
    ensure!(laptop.run(&["teams", "apply"]).await?.code() == Some(0), "applied");
    let create = ["keys", "create", "--name", "ci", "--scope", "events:write", "--service", "shop", "--json"];
    let made = laptop.run(&create).await?.json()?;
    assert_eq!(made["entry"]["services"], json!(["shop"]));
    let laptop = laptop.with("API_KEYS", json!([made["entry"]]).to_string());
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md"))?;
    let (_, recipes) = document.split_once("## Recipes").context("recipes")?;
    let recipes: Vec<(String, String)> = recipes
        .split("\n### ")
        .skip(1)
        .filter_map(|recipe| {
            let (name, rest) = recipe.split_once('\n')?;
            Some((name.to_owned(), rest.split("```").nth(1)?.to_owned()))
        })
        .collect();
    let names: Vec<&str> = recipes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Plain curl", "GitHub Actions", "GitLab CI", "Jenkins", "CircleCI", "Argo CD"]);
    let command = laptop.command(&["serve", "--listen", "127.0.0.1:0"]);
    let ask = move |address: &str| {
        let sha = "0a".repeat(20);
        for (name, recipe) in recipes {
            let commands = if name == "Argo CD" {
                let body = recipe.lines().find(|line| line.trim().starts_with("{\"id\"")).context("a body")?;
                let body = body.replace("{{index .app.metadata.annotations \"example.com/commit\"}}", &sha);
                let body = body.replace("{{.app.metadata.name}}", "shop");
                let body = body.replace("{{.app.status.operationState.startedAt}}", "2026-06-01T10:00:00Z");
                ensure!(!body.contains("{{"), "{body}");
                let key = "-H \"x-api-key: $MERGELINE_KEY\" -H 'content-type: application/json'";
                format!("curl --fail-with-body -sS \"$MERGELINE_URL/deployments\" {key} -d '{}'", body.trim())
            } else {
                commands_of(&recipe)
            };
            let mut program = std::process::Command::new("bash");
            program.arg("-euc").arg(format!("git() {{ echo {sha}; }}\n{commands}"));
            program.env("MERGELINE_URL", format!("http://{address}/v1"));
            program.env("MERGELINE_KEY", made["key"].as_str().unwrap_or_default());
            for variable in ["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "CIRCLE_SHA1"] {
                program.env(variable, &sha);
            }
            for variable in [
                "GITHUB_RUN_ID",
                "GITHUB_RUN_ATTEMPT",
                "CI_JOB_ID",
                "BUILD_TAG",
                "CIRCLE_WORKFLOW_ID",
                "CIRCLE_BUILD_NUM",
            ] {
                program.env(variable, format!("{name}-{variable}"));
            }
            program.env("CI_JOB_URL", "https://gitlab.example.com/1").env("CI_JOB_STATUS", "success");
            program.env("STATUS", "success").env("DEPLOY_STATUS", "failure");
            let output = program.output()?;
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            ensure!(output.status.success(), "{name}: {said}\n{commands}");
            ensure!(said.contains("\"result\":\"created\"") && said.contains("\"warnings\":[]"), "{name}: {said}");
        }
        Ok(())
    };
    tokio::task::spawn_blocking(move || while_serving(command, ask)).await??;
    let pool = database.pool().await?;
    let stored: (i64, i64) =
        sqlx::query_as("select count(*), count(*) filter (where outcome = 'failed') from deployments")
            .fetch_one(&pool)
            .await?;
    assert_eq!(stored, (6, 1));
    Ok(())
}

#[tokio::test]
async fn an_import_stores_all_rows_or_says_which_are_wrong() -> Result<()> {
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("DB_URL", database.url());
    laptop.write("teams.yaml", SHOP)?;
    laptop.run(&["teams", "apply"]).await?;
    let sha = "0a".repeat(20);
    let row = |id: &str, more: &str| format!("{id},shop,production,{more}\n");
    let header = "id,service,environment,status,sha,finished_at,failed\n";
    let good = [
        header,
        &row("1", &format!("success,{sha},2026-06-01T10:00:00Z,")),
        &row("2", &format!("failure,{sha},2026-06-02T10:00:00Z,false")),
        &row("3", ",,2026-06-03T10:00:00Z,true"),
    ];
    let bad = [header, &row("4", "success,abc,2026-06-01,"), &row("", ",,,maybe"), &row("5", ",,,")];
    laptop.write("bad.csv", &bad.concat())?;
    let refused = laptop.run(&["import", "deployments", "bad.csv"]).await?;
    assert_eq!(refused.code(), Some(2));
    for place in [
        "bad.csv:2: sha: write the full commit",
        "bad.csv:2: finished_at: ",
        "bad.csv:3: ",
        "bad.csv:4: finished_at: write when it was",
    ] {
        assert!(refused.err().contains(place), "{place}: {}", refused.err());
    }
    laptop.write("unknown.csv", "id,service,environment,comit\n1,shop,production,x\n")?;
    let unknown = laptop.run(&["import", "deployments", "unknown.csv"]).await?;
    assert!(unknown.err().contains("comit"), "{}", unknown.err());
    laptop.write("good.csv", &good.concat())?;
    let stored = laptop.run(&["import", "deployments", "good.csv", "--json"]).await?;
    assert_eq!(stored.json()?, json!({ "created": 3, "changed": 0, "replayed": 0, "refused": [] }));
    let again = laptop.run(&["import", "deployments", "good.csv"]).await?;
    assert_eq!((again.code(), again.out().trim()), (Some(0), "0 created, 0 changed, 3 known before, 0 refused."));
    let started = "2026-06-03T11:00:00Z";
    let rows = format!("id,service,title,deployment,started_at\nI1,shop,Down,3,{started}\nI2,shop,Down,9,{started}\n");
    laptop.write("incidents.csv", &rows)?;
    let incidents = laptop.run(&["import", "incidents", "incidents.csv"]).await?;
    assert_eq!(incidents.code(), Some(1));
    assert!(incidents.out().contains("incidents.csv:3: its service has no such deployment"), "{}", incidents.out());
    let rows: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', external_id, outcome, is_declared_failed) from deployments order by external_id",
    )
    .fetch_all(&database.pool().await?)
    .await?;
    assert_eq!(rows, ["1 succeeded f", "2 failed f", "3 succeeded t"]);
    let received: Vec<String> = sqlx::query_scalar(
        "select concat_ws(' ', channel, kind, outcome, count(*)) from received_events group by channel, kind, outcome order by 1",
    )
    .fetch_all(&database.pool().await?)
    .await?;
    let expected = [
        "import deployment created 3",
        "import deployment replayed 3",
        "import incident created 1",
        "import incident refused 1",
    ];
    assert_eq!(received, expected);
    Ok(())
}

#[tokio::test]
async fn keys_with_invalid_arguments_are_not_created() -> Result<()> {
    let laptop = Laptop::new()?;
    for (arguments, said) in [
        (&["--name", "grafana"][..], "--scope"),
        (&["--name", "grafana", "--scope", "write"], "metrics:read, prs:read, admin"),
        (&["--name", "a b", "--scope", "admin"], "letters, digits"),
        (&["--name", "a", "--scope", "admin", "--team", "Payments"], "not a slug"),
    ] {
        let ran = laptop.run(&[&["keys", "create"], arguments].concat()).await?;
        assert_eq!((ran.code(), ran.out()), (Some(2), String::new()), "{arguments:?}");
        assert!(ran.err().contains(said), "{arguments:?}: {}", ran.err());
    }
    Ok(())
}

#[tokio::test]
async fn teams_plan_and_apply_then_reapply_changes_nothing() -> Result<()> {
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("DB_URL", database.url());
    let planned = laptop.run(&["teams", "plan"]).await?;
    assert!(planned.out().contains("+ team        payments (payments)"), "{} {}", planned.out(), planned.err());
    let applied = laptop.run(&["teams", "apply"]).await?;
    assert_eq!(applied.out(), format!("{}Applied.\n", planned.out()));
    assert_eq!(laptop.run(&["teams", "apply"]).await?.out(), "Nothing changes.\n");
    let json = laptop.run(&["teams", "plan", "--json"]).await?.json()?;
    assert_eq!(json["memberships"], json!([]));
    Ok(())
}

#[tokio::test]
async fn goals_are_planned_previewed_and_shown() -> Result<()> {
    let (fake, database) = (github().await?, TestDatabase::create().await?);
    let long_ago = yesterday() - TimeDelta::days(9);
    fake.put([pr("acme/api", 4).titled("Old one").created(&long_ago.to_rfc3339())]);
    let laptop =
        Laptop::new()?.with("DB_URL", database.url()).with("GITHUB_API_URL", fake.url()).with("GITHUB_PAT", "x");
    let collected = laptop.run(&["collect"]).await?;
    assert_eq!(collected.code(), Some(0), "{} {}", collected.out(), collected.err());
    let none = laptop.run(&["goals", "show"]).await?.out();
    assert!(none.starts_with("No goals: see https://") && none.ends_with("/docs/teams.md#goals.\n"), "{none}");
    let goals = "goals:\n- { id: no-old-ones, form: each, measure: age, within: 7d }\n- { id: few, form: limit, open: 9 }\n\
                 - { id: fast, form: share, measure: cycle_time, within: 4h, share: 0.8 }\n";
    laptop.write("teams.yaml", &format!("{TEAMS}{goals}"))?;
    let planned = laptop.run(&["teams", "plan"]).await?.out();
    assert!(
        planned.contains("+ goal        no-old-ones: all are merged or closed within 7 d, all teams\n"),
        "{planned}"
    );
    // What is not applied is previewed from the file, and not shown.
    let previewed = laptop.run(&["goals", "preview"]).await?;
    for said in [
        "payments, if these goals had been in force",
        "no-old-ones: all are merged or closed within 7 d",
        "of 26 weeks",
        "message",
    ] {
        assert!(previewed.out().contains(said), "{said}: {} {}", previewed.out(), previewed.err());
    }
    let json = laptop.run(&["goals", "preview", "--team", "payments", "--json"]).await?.json()?;
    let weeks = json["teams"][0]["goals"][1]["weeks"].as_array().map(Vec::len);
    assert_eq!((&json["teams"][0]["goals"][1]["id"], weeks), (&json!("few"), Some(26)), "{json}");
    assert!(laptop.run(&["goals", "show"]).await?.out().starts_with("No goals"));
    laptop.run(&["teams", "apply"]).await?;
    let shown = laptop.run(&["goals", "show", "payments"]).await?;
    for said in
        ["no-old-ones: missed", "1 waits at present", "acme/api#4: Old one", "few: met (at most 9 open)", "fast: "]
    {
        assert!(shown.out().contains(said), "{said}: {} {}", shown.out(), shown.err());
    }
    let unknown = laptop.run(&["goals", "show", "web"]).await?;
    assert_eq!(unknown.code(), Some(2), "{}", unknown.err());
    assert!(unknown.err().contains("there is no team `web`; the teams are: payments"), "{}", unknown.err());
    Ok(())
}

#[tokio::test]
async fn metrics_of_the_file_are_planned_previewed_and_shown() -> Result<()> {
    let (fake, database) = (github().await?, TestDatabase::create().await?);
    let laptop =
        Laptop::new()?.with("DB_URL", database.url()).with("GITHUB_API_URL", fake.url()).with("GITHUB_PAT", "x");
    let collected = laptop.run(&["collect"]).await?;
    assert_eq!(collected.code(), Some(0), "{} {}", collected.out(), collected.err());
    let none = laptop.run(&["metrics", "show"]).await?.out();
    assert!(
        none.starts_with("No metrics: see https://") && none.ends_with("/docs/teams.md#metrics-of-your-own.\n"),
        "{none}"
    );
    let metrics = "metrics:\n- { id: small, name: Small ones, of: pull_requests, statistic: count, when: { cycle_time: { at_most: 90d } } }\n\
                   - { id: read, of: pull_requests, statistic: share, when: { reviewed: true }, than: {}, by: month }\n";
    laptop.write("teams.yaml", &format!("{TEAMS}{metrics}"))?;
    let planned = laptop.run(&["teams", "plan"]).await?.out();
    assert!(planned.contains("  metric      small@") && planned.contains("the number of pull requests"), "{planned}");
    // What is not applied is previewed from the file, and not shown.
    let previewed = laptop.run(&["metrics", "preview"]).await?;
    for said in [
        "payments: Small ones",
        "custom_metric@1",
        "the number of pull requests that were merged",
        "by week of the merge",
    ] {
        assert!(previewed.out().contains(said), "{said}: {} {}", previewed.out(), previewed.err());
    }
    assert!(laptop.run(&["metrics", "show"]).await?.out().starts_with("No metrics"));
    laptop.run(&["teams", "apply"]).await?;
    assert_eq!(
        laptop.run(&["teams", "plan"]).await?.out(),
        "Nothing changes.\n",
        "what is stored is what the file says"
    );
    let shown = laptop.run(&["metrics", "show", "payments", "--json"]).await?.json()?;
    let metric = &shown["teams"][0]["data"]["metrics"][0];
    assert_eq!(json!([metric["slug"], metric["buckets"].as_array().map(Vec::len)]), json!(["small", 26]), "{shown}");
    let all = laptop.run(&["show"]).await?.out();
    assert!(
        all.contains("Metrics of the teams file (custom_metric@1)") && all.contains("payments: Small ones"),
        "{all}"
    );
    let json = laptop.run(&["show", "--json"]).await?.json()?;
    assert_eq!(json["teams"][0]["custom"]["data"]["metrics"][0]["slug"], "small", "{json}");
    Ok(())
}

#[tokio::test]
async fn example_is_valid_and_schema_matches_committed_file() -> Result<()> {
    let laptop = Laptop::new()?;
    laptop.write("example.yaml", &laptop.run(&["teams", "example"]).await?.out())?;
    let valid = laptop.run(&["teams", "validate", "example.yaml"]).await?;
    assert_eq!((valid.code(), valid.out().as_str()), (Some(0), "Valid: 2 teams, 4 memberships; repositories: 2.\n"));
    assert_eq!(laptop.run(&["teams", "schema"]).await?.out(), include_str!("../../../docs/teams.schema.json"));
    Ok(())
}

#[tokio::test]
async fn a_repository_report_counts_people_and_stores_nothing() -> Result<()> {
    let fake = github().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url());
    let ran = laptop.run(&["report", "acme/api", "--json"]).await?;
    let answers = ran.json()?;
    assert_eq!(answers["teams"][0]["velocity"]["data"]["total"]["prs_merged"], json!(2), "the bot is not counted");
    assert_eq!(fake.requests().len(), 1);
    let answers = laptop.run(&["report", "--teams", "teams.yaml", "--json"]).await?.json()?;
    let velocity = &answers["teams"][0]["velocity"];
    assert_eq!(velocity["data"]["total"]["prs_merged"], json!(1));
    assert_eq!(velocity["data"]["buckets"][0]["complete"], json!(true), "the first week is fully read: {velocity}");
    let neither = laptop.run(&["report"]).await?;
    assert_eq!((neither.code(), neither.err().contains("--teams")), (Some(2), true), "{}", neither.err());
    let table = laptop.run(&["report", "--teams", "teams.yaml"]).await?;
    assert!(table.out().contains("payments") && table.out().contains("1 (1)"), "{} {}", table.out(), table.err());
    assert!(!Path::new(&laptop.environment["MERGELINE_DATA_DIR"]).exists());
    fake.put([pr("acme/api", 44).overriding("created_at", json!("soon"))]);
    let unread = laptop.run(&["report", "acme/api", "--json"]).await?.json()?;
    let meta = &unread["teams"][0]["velocity"]["meta"];
    assert_eq!(meta["coverage"]["quarantined"], json!(1), "{meta}");
    assert!(meta["warnings"].to_string().contains("quarantined: "), "{meta}");
    let missing = laptop.run(&["report", "acme/nowhere"]).await?;
    assert_eq!(missing.code(), Some(1));
    assert!(missing.err().contains("not found (404)"), "{}", missing.err());
    Ok(())
}

#[tokio::test]
async fn access_explain_names_the_line_that_decides() -> Result<()> {
    let laptop = Laptop::new()?;
    laptop.write(
        "teams.yaml",
        "version: 1\nrepositories: [acme/api]\nteams: [{ slug: payments, members: [{ github: ana }] }]\n\
         access:\n- { email: ana@acme.example, deny: true }\n- { group: leads, role: lead, teams: [payments] }\n\
         - { domain: acme.example, role: viewer }\n",
    )?;
    for (arguments, said) in [
        (&["--email", "ana@acme.example"][..], &["Line 1 ", "They see nothing."][..]),
        (
            &["--email", "bo@acme.example", "--group", "leads"],
            &["Line 2 ", "They see the numbers and pull requests of payments."],
        ),
        (&["--email", "bo@acme.example"], &["Line 3 ", "They see the numbers of all teams."]),
        (
            &["--email", "bo@acme.example", "--unverified"],
            &["No line of `access` is about this person.", "They see nothing."],
        ),
        (&["--email", "cy@other.example"], &["No line of `access` is about this person.", "They see nothing."]),
    ] {
        let ran = laptop.run(&[&["access", "explain"], arguments].concat()).await?;
        assert!(said.iter().all(|text| ran.out().contains(text)), "{arguments:?}: {} {}", ran.out(), ran.err());
        assert_eq!(ran.code(), Some(0));
    }
    let json = laptop.run(&["access", "explain", "--email", "bo@acme.example", "--json"]).await?.json()?;
    assert_eq!((&json["line"], &json["role"], &json["teams"]), (&json!(3), &json!("viewer"), &Value::Null));
    Ok(())
}

#[tokio::test]
async fn show_of_one_team_and_reports_print_the_five() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.require_token(FakeGitHub::TOKEN);
    let now = DateTime::<Utc>::from(SystemTime::now());
    let ago = |hours: i64| (now - TimeDelta::hours(hours)).to_rfc3339();
    let oid = |number: i64| format!("{number:040x}");
    for number in 1..=2 {
        let hours = 72 - number * 24;
        let parents = if number > 1 { vec![oid(number - 1)] } else { Vec::new() };
        let commit = FakeGitCommit { oid: oid(number), parents, committed_at: now - TimeDelta::hours(hours) };
        fake.put_commits("acme/api", [commit]);
        let mut merged = pr("acme/api", number).created(&ago(hours + 5)).merged(&ago(hours));
        merged.merge_commit = Some(oid(number));
        fake.put([merged]);
        let deployed = deployment("acme/api", number, &oid(number), &ago(hours - 1));
        fake.put_deployments([deployed.status("success", &ago(hours - 2))]);
    }
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("GITHUB_PAT", FakeGitHub::TOKEN);
    let file = "version: 1\nrepositories: [acme/api]\nteams: [{ slug: payments, members: [{ github: ana }] }]\n";
    laptop.write("teams.yaml", file)?;
    let one = laptop.run(&["report", "acme/api"]).await?;
    let several = laptop.run(&["report", "--teams", "teams.yaml"]).await?;
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    let shown = laptop.run(&["show", "payments"]).await?;
    for ran in [one, several, shown] {
        let out = ran.out();
        let line = out.lines().find(|line| line.starts_with("all ") && line.contains("2 (2.00)"));
        ensure!(out.contains("DORA since") && line.is_some(), "{out} {}", ran.err());
    }
    Ok(())
}

#[tokio::test]
async fn show_and_report_say_what_has_changed_and_what_is_likely() -> Result<()> {
    const COUNTS: [i64; 32] =
        [6, 4, 7, 5, 8, 3, 6, 5, 9, 4, 6, 7, 5, 6, 8, 4, 5, 7, 6, 3, 6, 8, 5, 7, 4, 6, 7, 5, 9, 10, 8, 11];
    let fake = FakeGitHub::start().await?;
    let today = DateTime::<Utc>::from(SystemTime::now()).date_naive();
    let monday = today - chrono::Days::new(u64::from(chrono::Datelike::weekday(&today).num_days_from_monday()));
    let first = monday - chrono::Days::new(7 * 32);
    let mut all = Vec::new();
    for (week, count) in (0_u64..).zip(COUNTS) {
        for index in 0..count {
            let merged = (first + chrono::Days::new(7 * week + 1)).and_hms_opt(12, 0, 0).context("noon")?.and_utc();
            let merged = merged + TimeDelta::minutes(index);
            let number = i64::try_from(all.len())? + 1;
            let opened = (merged - TimeDelta::hours(20)).to_rfc3339();
            all.push(pr("acme/api", number).created(&opened).merged(&merged.to_rfc3339()));
        }
    }
    fake.put(all);
    // No week before the first one is read.
    let days = (today - first).num_days();
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("BACKFILL_DAYS", (days + 1).to_string());
    let file = "version: 1\nrepositories: [acme/api]\nteams: [{ slug: payments, name: Payments, members: [{ github: ana }] }]\n";
    laptop.write("teams.yaml", file)?;
    let collected = laptop.run(&["collect"]).await?;
    assert_eq!(collected.code(), Some(0), "{}", collected.err());
    let shown = laptop.run(&["show", "payments"]).await?.out();
    let reported = laptop.run(&["report", "--teams", "teams.yaml", "--days", &days.to_string()]).await?.out();
    // The worked example: found in the sixth week, since the third.
    let since = first + chrono::Days::new(7 * 28);
    for out in [&shown, &reported] {
        let line = format!(
            "Payments: since {since} merged by week is 9.5 instead of 5.8, of 38 and 150 pull requests (change@1)"
        );
        assert!(out.split_whitespace().collect::<Vec<_>>().join(" ").contains(&line), "{line}: {out}");
    }
    let json = laptop.run(&["show", "payments", "--json"]).await?.json()?;
    let team = &json["teams"][0];
    assert_eq!(team["change"]["data"]["merged"]["changes"][0]["since"], since.to_string(), "{team}");
    let total = &team["forecast"]["data"]["forecast"]["totals"][11];
    let likely = |name: &str| total[name].as_f64().map(|value| format!("{:.0}", value.floor())).unwrap_or_default();
    let row = shown.lines().find(|line| line.starts_with("Payments ") && !line.contains("by ISO week"));
    let cells: Vec<&str> = row.unwrap_or_default().split_whitespace().collect();
    assert_eq!(cells[cells.len() - 2..], [likely("p15"), likely("p50")], "{shown}");
    // One person all the time, so that each FTE week is a week.
    let total = &team["velocity"]["data"]["total"];
    let (fte_weeks, merged) = (&total["fte_weeks"], &total["merged_per_fte_week"]);
    let shown_as =
        |value: &Value, decimals: usize| value.as_f64().map(|it| format!("{it:.decimals$}")).unwrap_or_default();
    assert_eq!(cells[1..3], [shown_as(fte_weeks, 1), shown_as(merged, 2)], "{shown}");
    assert_eq!(team["time"]["data"]["prs_merged"], total["prs_merged"]);
    let digest = async |arguments: &[&str]| -> Result<String> {
        let ran = laptop.run(&[&["digest", "payments"], arguments].concat()).await?;
        assert_eq!(ran.code(), Some(0), "{}", ran.err());
        Ok(ran.out())
    };
    let text = digest(&["--page", "https://mergeline.example.com/v1/app"]).await?;
    let week = (monday - chrono::Days::new(7)).format("%G-W%V").to_string();
    for expected in [
        "11 pull requests merged, half within 20 h.",
        "- Merged: 11; 8 in the week before",
        "Merged a week: 9.5 since",
        &format!("https://mergeline.example.com/v1/app/#/overview?team=payments&week={week}"),
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let earlier = (monday - chrono::Days::new(14)).format("%G-W%V").to_string();
    let text = digest(&["--week", &earlier]).await?;
    assert!(text.contains("8 pull requests merged") && !text.contains("Lasting changes"), "found a week later: {text}");
    for (format, of_it) in [
        ("slack", "/blocks/0/text/text"),
        ("teams", "/attachments/0/content/version"),
        ("discord", "/embeds/0/title"),
        ("webhook", "/type"),
    ] {
        let body: Value = serde_json::from_str(&digest(&["--format", format]).await?)?;
        assert!(body.pointer(of_it).is_some_and(Value::is_string), "{format}: {body}");
    }
    assert!(digest(&["--format", "html"]).await?.starts_with("<!doctype html>"));
    let wrong = laptop.run(&["digest", "--week", "2026-23"]).await?;
    assert_eq!((wrong.code(), wrong.err().contains("write an ISO week")), (Some(2), true), "{}", wrong.err());
    // Forecasts from 26 weeks on, up to the 32nd.
    let tested = laptop.run(&["back-test", "--json"]).await?.json()?;
    let tested = &tested["teams"][0];
    let tried: Vec<(Option<i64>, Option<i64>)> = tested["forecasts"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| (it["weeks_ahead"].as_i64(), it["weeks"].as_i64()))
        .collect();
    let expected = [(1, 6), (4, 3), (8, 0), (12, 0), (26, 0)].map(|(ahead, weeks)| (Some(ahead), Some(weeks)));
    assert_eq!(tried, expected, "{tested}");
    assert_eq!(json!([tested["weeks_known"], tested["weeks_watched"], tested["changes"]]), json!([32, 6, [1, 0]]));
    let text = laptop.run(&["back-test", "payments"]).await?.out();
    let held = format!("{} of 6", tested["forecasts"][0]["held_80"]);
    assert!(text.lines().any(|line| line.starts_with("Payments") && line.contains(&held)), "{held}: {text}");
    let line = "Payments: 32 complete weeks; 1 lasting change of merges and 0 lasting changes of times";
    assert!(text.split_whitespace().collect::<Vec<_>>().join(" ").contains(line), "{text}");
    a_lasting_change_is_told_once(laptop, file).await
}

/// Sends to the channels of a laptop on which a lasting change was found with the last whole week.
async fn a_lasting_change_is_told_once(laptop: Laptop, file: &str) -> Result<()> {
    let chats = FakeChannels::start().await?;
    let none = laptop.run(&["notify"]).await?;
    assert_eq!((none.code(), none.out().contains("has no channels")), (Some(0), true), "{}", none.out());
    let channels =
        "channels: [{ id: chat, kind: slack, kinds: [change] }, { id: lost, kind: discord, kinds: [change] }]\n";
    laptop.write("teams.yaml", &format!("{file}{channels}"))?;
    let planned = laptop.run(&["teams", "plan"]).await?.out();
    assert!(planned.contains("+ channel     chat: slack, change, all teams"), "{planned}");
    assert_eq!(laptop.run(&["teams", "apply"]).await?.code(), Some(0));
    let addresses = json!({ "chat": format!("{}?key=s3cret", chats.url("slack", "chat")), "spare": "https://hooks.slack.com/s3cret" });
    let laptop = laptop
        .with("CHANNELS", addresses.to_string())
        .with("CHANNEL_HOSTS", chats.host())
        .with("PUBLIC_URL", "https://mergeline.example.com/app/");
    let mut outputs = String::new();
    let mut run = async |arguments: &[&str]| -> Result<(Option<i32>, String)> {
        let ran = laptop.run(arguments).await?;
        let all = format!("{}{}", ran.out(), ran.err());
        outputs += &all;
        Ok((ran.code(), all))
    };
    let (_, checked) = run(&["doctor", "--offline"]).await?;
    for line in [
        "chat: it has an address",
        "lost: CHANNELS has no address for it",
        "CHANNELS has an address for `spare`, which is no channel of the teams file",
    ] {
        assert!(checked.contains(line), "{line}: {checked}");
    }
    let (code, tested) = run(&["channels", "test", "chat"]).await?;
    assert_eq!((code, tested.contains("the service took it")), (Some(0), true), "{tested}");
    assert!(chats.got("chat")[0].body.contains("Channel chat works."), "{:?}", chats.got("chat"));
    let (code, unknown) = run(&["channels", "test", "chats"]).await?;
    assert_eq!((code, unknown.contains("there are: chat, lost")), (Some(2), true), "{unknown}");
    let (_, printed) = run(&["notify", "--print"]).await?;
    assert!(
        printed.contains("# chat (slack, change), now") && printed.contains("Merged a week: 9.5 since"),
        "{printed}"
    );
    assert_eq!(chats.got("chat").len(), 1, "printing sends nothing");
    let (code, sent) = run(&["notify"]).await?;
    assert_eq!(code, Some(3), "one channel has no address: {sent}");
    assert!(sent.contains("2 new messages to say.") && sent.contains("chat: 1 message sent"), "{sent}");
    let got = chats.got("chat");
    assert!(got.len() == 2 && got[1].body.contains("Merged a week: 9.5 since"), "{got:?}");
    assert!(got[1].body.contains("https://mergeline.example.com/app/#/insight?team=payments"), "{got:?}");
    let (code, again) = run(&["notify"]).await?;
    assert_eq!((code, chats.got("chat").len()), (Some(3), 2), "the other one still has no address: {again}");
    let (_, listed) = run(&["channels", "list"]).await?;
    for line in [
        "chat: slack, change, all teams\n  last 7 days: 1 sent, 0 failed, 0 unknown; 0 waiting",
        "lost: discord, change, all teams\n  cannot be sent to: CHANNELS has no address for it",
    ] {
        assert!(listed.contains(line), "{line}: {listed}");
    }
    let (_, json) = run(&["channels", "list", "--json"]).await?;
    let json: Value = serde_json::from_str(&json)?;
    assert_eq!(
        json!([json[0]["channel"]["id"], json[0]["messages"]["sent"], json[1]["messages"]["waiting"]]),
        json!(["chat", 1, 1])
    );
    assert!(!outputs.contains("s3cret"), "{outputs}");
    Ok(())
}

#[tokio::test]
async fn a_report_in_markdown_has_tables_that_no_name_breaks() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.require_token(FakeGitHub::TOKEN);
    let now = DateTime::<Utc>::from(SystemTime::now());
    let ago = |hours: i64| (now - TimeDelta::hours(hours)).to_rfc3339();
    fake.put([pr("acme/api", 1).created(&ago(50)).merged(&ago(40))]);
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("GITHUB_PAT", FakeGitHub::TOKEN);
    let file = "version: 1\nrepositories: [acme/api]\nteams: [{ slug: a, name: '<b>Pay|ments', members: [{ github: ana }] }]\n";
    laptop.write("teams.yaml", file)?;
    let ran = laptop.run(&["report", "--teams", "teams.yaml", "--format", "markdown"]).await?;
    let out = ran.out();
    let lines: Vec<&str> = out.lines().collect();
    let is_row = |index: usize| lines.get(index).is_some_and(|line| line.starts_with('|') && line.ends_with('|'));
    let firsts = (0..lines.len()).filter(|&index| is_row(index) && !is_row(index.wrapping_sub(1)));
    let mut headers = Vec::new();
    for first in firsts {
        let cells = |line: &str| line.replace("\\|", "").matches('|').count();
        let rows: Vec<&str> = lines[first..].iter().copied().take_while(|line| line.starts_with('|')).collect();
        ensure!(rows.len() > 2 && rows.iter().all(|row| cells(row) == cells(rows[0])), "{out}");
        ensure!(rows[1].chars().all(|letter| "|-: ".contains(letter)), "{out}");
        // A table that follows a paragraph at once is part of it.
        ensure!(
            lines[first - 1].is_empty() && lines.get(first + rows.len()).is_none_or(|line| line.is_empty()),
            "{out}"
        );
        headers.push(rows[0].trim_matches('|').split('|').next().unwrap_or_default().trim().to_owned());
    }
    assert_eq!(headers, ["week", "team", "team"], "{out} {}", ran.err());
    ensure!(out.contains(r"\<b\>Pay\|ments") && out.contains("```text\nThis report"), "{out}");

    let json = laptop.run(&["report", "acme/api", "--format", "json"]).await?;
    assert!(json.json()?["teams"].is_array());
    let both = laptop.run(&["report", "acme/api", "--format", "table", "--json"]).await?;
    assert_eq!(both.code(), Some(2), "{}", both.err());
    Ok(())
}

#[tokio::test]
async fn completions_manual_pages_and_migrations_are_available() -> Result<()> {
    let database = TestDatabase::create().await?;
    let laptop = Laptop::new()?.with("DB_URL", database.url());
    let pages = tempfile::tempdir()?;
    let folder = pages.path().to_str().context("a path")?;
    assert_eq!(laptop.run(&["man", folder]).await?.code(), Some(0));
    let page = std::fs::read_to_string(pages.path().join("mergeline-teams-apply.1"))?;
    ensure!(page.contains("--allow-removals") || page.contains(r"\-\-allow\-removals"), "{page}");
    let missing = laptop.run(&["man", "/nowhere"]).await?;
    assert_eq!(missing.code(), Some(2));
    assert!(missing.err().contains("cannot write manual pages into /nowhere"), "{}", missing.err());
    assert!(laptop.run(&["completions", "bash"]).await?.out().contains("_mergeline"));
    assert!(laptop.run(&["migrate"]).await?.out().starts_with("The schema is up to date"));
    assert!(laptop.run(&["migrate", "--json"]).await?.json()?["migrations"].is_array());
    Ok(())
}
