//! Responses on a schema that is older than the program, newer, or being migrated.

mod common;

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use common::{Answered, ask};
use mergeline_api::{Api, Settings, openapi, router};
use mergeline_fake_github::at;
use mergeline_store::{Actor, Reader, Writer};
use mergeline_test_support::TestDatabase;
use serde_json::{Value, json};
use sqlx::PgPool;

/// The last migration of the first release. Before it there were no databases in use.
const FIRST_RELEASE: i64 = 20_261_128_200_500;
/// Rows for every table of that schema.
const DATA: [&str; 3] = [
    include_str!("../../store/tests/data/configuration.sql"),
    include_str!("../../store/tests/data/pull_requests.sql"),
    include_str!("../../store/tests/data/ledger.sql"),
];

/// The migration with the tables of deployments, and rows for them.
const DEPLOYMENTS: (i64, &str) = (20_261_129_100_000, include_str!("../../store/tests/data/deployments.sql"));

/// The paths that do not need a database.
const DOCUMENTS: [&str; 6] =
    ["/v1/benchmarks", "/v1/definitions", "/v1/docs", "/v1/healthz", "/v1/me", "/v1/openapi.json"];
const HEALTH: &str = "/v1/health";

/// A value of a parameter that matches the rows of [`DATA`]; `None` if another parameter does the same.
fn value(parameter: &str) -> Result<Option<&'static str>> {
    Ok(Some(match parameter {
        "from" => "2026-01-01",
        "to" => "2026-02-01",
        "tz" => "Europe/Oslo",
        "interval" => "week",
        "repo" => "acme/api",
        "base" => "main",
        "weighting" => "full",
        "limit" | "bom" => "1",
        "format" => "csv",
        "service" => "acme.api",
        "team" => "pay",
        "basis" => "delivered",
        "failures" => "incident,rolled_back",
        "severity" => "high",
        "edition" => "dora-2024",
        "environment" => "production",
        "missing" => "not_collected",
        "outcome" => "queued",
        "state" => "open",
        "sort" => "longest",
        "weeks" => "4",
        "count" => "50",
        "days" | "last" | "week" | "cursor" => return Ok(None),
        other => bail!("unknown parameter `{other}`"),
    }))
}

/// Every path of the document, without parameters and with all of them.
fn questions() -> Result<Vec<String>> {
    let document = openapi();
    let mut questions = Vec::new();
    let readable = document["paths"].as_object().context("paths")?.iter().filter(|(_, it)| it.get("get").is_some());
    for (path, operations) in readable {
        let path = path
            .replace("{team_id}", "pay")
            .replace("{service}", "acme.api")
            .replace("{deployment_id}", "2")
            .replace("{name}", "github");
        let mut pairs = Vec::new();
        let parameters = operations["get"]["parameters"].as_array().into_iter().flatten();
        // Shared parameters are references by name.
        let referred = |it: &Value| it["$ref"].as_str().and_then(|it| document.pointer(it.strip_prefix('#')?)).cloned();
        let parameters: Vec<Value> = parameters.map(|it| referred(it).unwrap_or_else(|| it.clone())).collect();
        for name in parameters.iter().filter(|it| it["in"] == "query").filter_map(|it| it["name"].as_str()) {
            pairs.extend(value(name)?.map(|value| format!("{name}={value}")));
        }
        if !pairs.is_empty() {
            questions.push(format!("{path}?{}", pairs.join("&")));
        }
        questions.push(path);
    }
    Ok(questions)
}

/// A database with a router whose connections are set up as in Lambda.
struct World {
    _database: TestDatabase,
    store: Writer,
    pool: PgPool,
    router: Router,
    questions: Vec<String>,
}

impl World {
    /// On the newest schema, with rows in every table.
    async fn new() -> Result<Self> {
        let database = TestDatabase::create().await?;
        let settings = Settings::from_vars(|name| (name == "DB_URL").then(|| database.url().to_owned()))?;
        let (store, timeout) = (Writer::connect(&settings.database, Actor::Collector), settings.timeout);
        let router = router(Api::new(Reader::connect(&settings.database), timeout, || at(common::NOW)));
        let pool = database.pool().await?;
        let world = Self { _database: database, store, pool, router, questions: questions()? };
        world.drop_schema().await?;
        world.migrate(async |_| Ok(())).await?;
        Ok(world)
    }

    async fn run(&self, statements: &'static str) -> Result<()> {
        sqlx::raw_sql(statements).execute(&self.pool).await?;
        Ok(())
    }

    async fn drop_schema(&self) -> Result<()> {
        self.run("drop schema public cascade; create schema public").await
    }

    /// Migrates an empty database step by step, adds the rows, and runs `after` after each step.
    async fn migrate(&self, after: impl AsyncFn(i64) -> Result<()>) -> Result<()> {
        for (version, name) in Writer::known_migrations() {
            self.store.migrate_to(version).await?;
            if version == FIRST_RELEASE {
                for rows in DATA {
                    self.run(rows).await?;
                }
            }
            if version == DEPLOYMENTS.0 {
                self.run(DEPLOYMENTS.1).await?;
            }
            after(version).await.with_context(|| format!("after {version} {name}"))?;
        }
        Ok(())
    }

    async fn ask(&self, question: &str) -> Result<Answered> {
        // With the same trace ID for all, equal responses are identical.
        ask(&self.router, "GET", question, &[("x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793")]).await
    }

    /// The responses to all requests except health. Each must satisfy `is_right`.
    async fn ask_all(&self, is_right: impl Fn(&str, &Answered) -> bool) -> Result<HashMap<String, String>> {
        let mut answers = HashMap::new();
        for question in self.questions.iter().filter(|question| *question != HEALTH) {
            let answered = self.ask(question).await?;
            ensure!(is_right(question, &answered), "{question}: {} {}", answered.status, answered.text);
            answers.insert(question.clone(), answered.text);
        }
        Ok(answers)
    }

    /// The status, and the reported schema state.
    async fn health(&self) -> Result<(u16, Value)> {
        let answered = self.ask(HEALTH).await?;
        Ok((answered.status, answered.json()?["schema"].clone()))
    }
}

fn is_outdated(answered: &Answered) -> bool {
    (answered.status, answered.code().as_str()) == (503, "schema_outdated")
}

#[tokio::test]
async fn an_older_schema_answers_or_reports_it_is_outdated() -> Result<()> {
    let world = World::new().await?;
    // From here on, all connections have answered every request before. Their prepared statements must not outlive a
    // schema.
    let expected = world.ask_all(|_, answered| answered.status == 200).await?;
    assert_eq!(world.health().await?, (200, json!("ok")));
    world.drop_schema().await?;
    let asks_nothing = |question: &str| DOCUMENTS.contains(&question);
    world
        .ask_all(
            |question, answered| if asks_nothing(question) { answered.status == 200 } else { is_outdated(answered) },
        )
        .await?;
    assert_eq!(world.health().await?, (503, json!("outdated")));
    let newest = Writer::known_migrations().last().context("migrations")?.0;
    let is_same = |question: &str, answered: &Answered| answered.status == 200 && answered.text == expected[question];
    world
        .migrate(async |version| {
            let has_all_rows = version >= FIRST_RELEASE;
            world
                .ask_all(|question, answered| {
                    is_outdated(answered)
                        || if has_all_rows { is_same(question, answered) } else { answered.status < 500 }
                })
                .await?;
            let health = if version == newest { (200, json!("ok")) } else { (503, json!("outdated")) };
            let found = world.health().await?;
            ensure!(found == health, "health: {found:?}");
            Ok(())
        })
        .await?;
    world.ask_all(is_same).await?;
    Ok(())
}

#[tokio::test]
async fn health_reports_a_migration_started_but_unfinished() -> Result<()> {
    let world = World::new().await?;
    world.run("update _sqlx_migrations set success = version <> (select max(version) from _sqlx_migrations)").await?;
    assert_eq!(world.health().await?, (503, json!("outdated")));
    world.run("update _sqlx_migrations set success = true").await?;
    assert_eq!(world.health().await?, (200, json!("ok")));
    Ok(())
}

#[tokio::test]
async fn a_newer_schema_works_until_something_is_removed() -> Result<()> {
    let world = World::new().await?;
    let expected = world.ask_all(|_, answered| answered.status == 200).await?;
    world
        .run(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
            values (99991231000000, 'of the next release', true, '', 0);
            alter table teams add column purpose text;",
        )
        .await?;
    assert_eq!(world.ask_all(|_, answered| answered.status == 200).await?, expected);
    assert_eq!(world.health().await?, (200, json!("ok")));
    world.run("update schema_requirements set least_migration = 99991231000000").await?;
    assert_eq!(world.health().await?, (503, json!("outdated")));
    world.run("alter table accounts rename column login to handle").await?;
    let is_right = |question: &str, answered: &Answered| {
        let shows_people = question.contains("/pull-requests") || question == "/v1/teams/pay";
        if shows_people { is_outdated(answered) } else { answered.status == 200 }
    };
    world.ask_all(is_right).await?;
    Ok(())
}
