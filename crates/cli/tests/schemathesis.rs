//! Every operation of the API's document, asked as the document says and as it does not, by Schemathesis. Only
//! `/v1/openapi.json` is not asked again: it is where Schemathesis reads the document.

mod common;

use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use common::{Laptop, while_serving, yesterday};
use mergeline_fake_github::synthetic::organization;
use mergeline_fake_github::{FakeGitHub, pr};
use mergeline_test_support::{PythonTool, TestDatabase};
use serde_json::json;

const KEY: &str = "a-key-of-sixteen-or-more";
const SCHEMATHESIS: PythonTool = PythonTool {
    folder: "schemathesis",
    requirements: "crates/cli/tests/schemathesis/requirements.txt",
    variable: "SCHEMATHESIS_PYTHON",
};

/// The same requests each time, for half a minute on a machine that does nothing else.
const USUALLY: [&str; 4] = ["--seed", "20260617", "--max-examples", "150"];
/// Options that go before the usual ones, `--seed 7 --max-examples 5000` for example.
const OPTIONS_VARIABLE: &str = "SCHEMATHESIS_OPTIONS";

/// The demo's teams, and those that answers look different for: nobody in it, one person in it, taken out since. No group is too
/// small: where one would be hidden, some of what the document allows is refused.
const TEAMS: &str = "
version: 1
timezone: Europe/Oslo
repositories: [acme/api, acme/web, acme/web.js, acme/legacy]
teams:
  - { slug: payments, name: Payments, members: [{ github: ana }, { github: bob, weight: 0.5, to: 2100-01-01 }] }
  - { slug: platform, name: \"Plattform ⚙\", members: [{ github: bob, weight: 0.5 }, { github: carla, from: 2026-01-01 }] }
  - { slug: web, members: [{ github: deniz }, { github: finn }, { github: emil }] }
  - { slug: 2-fast, members: [{ github: solo }] }
  - { slug: nobody, members: [] }
";
const FORMER: &str = "  - { slug: former, members: [{ github: guest, weight: 0.25 }] }\n";

/// Collects what has every peculiarity that an answer can show: several runs, one of them partial, a repository that
/// fails, pull requests in quarantine, deleted, hostile, imported, and of former members.
async fn collect(laptop: &Laptop, fake: &FakeGitHub) -> Result<()> {
    let now = DateTime::<Utc>::from(std::time::SystemTime::now());
    let merged = |number| pr("acme/web.js", number).merged_at_instant(yesterday());
    fake.put(organization(now).pull_requests);
    fake.put([
        merged(1).titled("=HYPERLINK(\"http://example.com\",\"\u{202e}a,b\")\r\n"),
        merged(2).titled("+1|@SUM(1) 🦀 \u{0}").by("solo"),
        merged(3).titled("").by("bob"),
        merged(4).created("2026-01-01T09:00:00Z").merged("2025-12-31T09:00:00Z"),
        merged(5).overriding("created_at", json!("soon")),
        pr("acme/web.js", 6).by("carla"),
        pr("acme/web.js", 7).drafted_at("2026-01-02T09:00:00Z").closed("2026-02-02T09:00:00Z"),
    ]);
    fake.put((8..120).map(|number| merged(number).merged_at_instant(now - TimeDelta::hours(3 * number))));
    fake.break_repository("acme/legacy", Some(404));
    laptop.write("teams.yaml", &format!("{TEAMS}{FORMER}"))?;
    let first = laptop.run(&["collect"]).await?;
    ensure!(first.code() == Some(3), "{}{}", first.out(), first.err());
    laptop.write("teams.yaml", TEAMS)?;
    fake.delete_pull_request("acme/web.js", 3);
    let second = laptop.run(&["collect", "--verify"]).await?;
    ensure!(second.code() == Some(3), "{}{}", second.out(), second.err());
    Ok(())
}

/// Runs the checks and hands over what they said, as an error when they found anything.
fn check(python: &Path, address: &str) -> Result<String> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis");
    let scratch = tempfile::tempdir()?;
    let output = Command::new(python)
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(sources.join("schemathesis.toml"))
        .args(["run", &format!("http://{address}/v1/openapi.json"), "--checks", "all", "--no-color"])
        .args(USUALLY)
        .args(std::env::var(OPTIONS_VARIABLE).unwrap_or_default().split_whitespace())
        .env("API_KEY", KEY)
        .env("SCHEMATHESIS_HOOKS", sources.join("hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // What it remembers of earlier runs must not decide about this one.
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", python.display()))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "Schemathesis found something ({}):\n{said}", output.status);
    Ok(said)
}

#[test]
fn the_document_is_openapi() -> Result<()> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let output = Command::new(SCHEMATHESIS.python()?)
        .args(["-m", "openapi_spec_validator", "--schema", "3.1", "--validation-errors", "all"])
        .arg(document)
        .output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "it breaks the specification of OpenAPI 3.1:\n{said}");
    Ok(())
}

#[tokio::test]
async fn the_api_answers_every_request_as_its_document_says_and_refuses_what_the_document_refuses() -> Result<()> {
    let python = tokio::task::spawn_blocking(|| SCHEMATHESIS.python()).await??;
    let database = TestDatabase::create().await?;
    let fake = FakeGitHub::start().await?;
    let laptop = Laptop::new()?
        .with("GITHUB_API_URL", fake.url())
        .with("DB_URL", database.url())
        .with("API_KEY", KEY)
        // A machine that is busy with something else is no finding.
        .with("REQUEST_TIMEOUT_SECONDS", "28");
    collect(&laptop, &fake).await?;
    // More runs than a page of them has, of every state.
    let runs = "insert into collection_runs (state, started_at, finished_at, planned, problems)
        select s, now() - n * interval '4 hours', case when s <> 'running' then now() - n * interval '3 hours' end, n, '{}'
        from generate_series(1, 150) as n
        cross join unnest(array['running', 'succeeded', 'deferred', 'partial', 'failed', 'interrupted']) as s";
    sqlx::query(runs).execute(&database.pool().await?).await?;
    let serve = laptop.command(&["serve", "--listen", "127.0.0.1:0"]);
    let ask = move |address: &str| {
        let said = check(&python, address)?;
        let facts = said.lines().map(str::trim).filter(|line| line.contains(" generated, ") || line.contains("Seed:"));
        writeln!(io::stderr(), "Schemathesis: {}", facts.collect::<Vec<_>>().join("; "))?;
        Ok(())
    };
    tokio::task::spawn_blocking(move || while_serving(serve, ask)).await??;
    Ok(())
}
