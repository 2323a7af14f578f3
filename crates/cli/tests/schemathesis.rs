//! Schemathesis tests every operation of the API document with valid and invalid requests. It does not test
//! `/v1/openapi.json`, where it reads the document.

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

/// The same requests each time. They take four minutes on two cores.
const USUALLY: [&str; 4] = ["--seed", "20260617", "--max-examples", "40"];
/// A variable with options that override the usual ones, for example `--seed 7 --max-examples 5000`.
const OPTIONS_VARIABLE: &str = "SCHEMATHESIS_OPTIONS";

/// The demo's teams, and special cases: an empty team, a team of one person, and a former team. No minimum group size
/// is set: with hidden groups, the API would refuse some requests that the document allows.
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

/// Collects data with every special case that an answer can show: several runs, one of them partial, a failing
/// repository, and pull requests that are in quarantine, deleted, hostile, imported or from former members.
async fn collect(laptop: &Laptop, fake: &FakeGitHub) -> Result<()> {
    let now = DateTime::<Utc>::from(std::time::SystemTime::now());
    let merged = |number| pr("acme/web.js", number).merged_at_instant(yesterday());
    fake.put_organization(&organization(now));
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

/// Runs the checks and returns their output, as an error if they found a problem.
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
        // A new folder, so that state from earlier runs does not affect this one.
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", python.display()))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "Schemathesis found something ({}):\n{said}", output.status);
    Ok(said)
}

#[test]
fn the_api_document_is_valid_openapi() -> Result<()> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let output = Command::new(SCHEMATHESIS.python()?)
        .args(["-m", "openapi_spec_validator", "--schema", "3.1", "--validation-errors", "all"])
        .arg(document)
        .output()?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure!(output.status.success(), "it violates the OpenAPI 3.1 specification:\n{said}");
    Ok(())
}

#[tokio::test]
async fn the_api_accepts_and_refuses_as_documented() -> Result<()> {
    let python = tokio::task::spawn_blocking(|| SCHEMATHESIS.python()).await??;
    let database = TestDatabase::create().await?;
    let fake = FakeGitHub::start().await?;
    let laptop = Laptop::new()?
        .with("GITHUB_API_URL", fake.url())
        .with("DB_URL", database.url())
        .with("API_KEY", KEY)
        // A busy machine must not cause a finding.
        .with("REQUEST_TIMEOUT_SECONDS", "28");
    collect(&laptop, &fake).await?;
    // More runs than fit on a page, in every state.
    let runs = "insert into collection_runs (state, started_at, finished_at, planned, problems)
        select s, now() - n * interval '4 hours', case when s <> 'running' then now() - n * interval '3 hours' end, n, '{}'
        from generate_series(1, 150) as n
        cross join unnest(array['running', 'succeeded', 'deferred', 'partial', 'failed', 'interrupted']) as s";
    sqlx::query(runs).execute(&database.pool().await?).await?;
    // Without a token, deployments are not read.
    let deployments = "update services set has_facts = true;
        insert into deployments (
            service_id, source, instance_id, repository_id, external_id, listed_environment, environment, environment_group,
            created_at, states_read_at, outcome, succeeded_at
        )
        select s.id, 'github-deployments', r.instance_id, r.id, n, 'production', 'production', 'production', d.at, now(), 'succeeded', d.at
        from repositories as r
        inner join services as s on r.id = s.repository_id
        cross join generate_series(1, 150) as n
        cross join lateral (select now() - n * interval '5 hours' as at) as d
        where r.name = 'acme/api'
        order by n";
    sqlx::raw_sql(deployments).execute(&database.pool().await?).await?;
    let incidents = "with new as (
            insert into incidents (service_id, source, external_id, title, started_at)
            select s.id, 'events', 'INC-' || n, 'Down', '2026-06-01T00:00:00Z'
            from repositories as r
            inner join services as s on r.id = s.repository_id
            cross join generate_series(1, 150) as n
            where r.name = 'acme/web'
            returning id, started_at
        )
        insert into incident_states (incident_id, at, state) select id, started_at, 'opened' from new";
    sqlx::raw_sql(incidents).execute(&database.pool().await?).await?;
    let derived = laptop.run(&["deployments", "derive"]).await?;
    ensure!(derived.code() == Some(0), "{}{}", derived.out(), derived.err());
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
