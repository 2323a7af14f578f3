//! The commands for operating a collection: `status`, `doctor`, `explain`, `replay`, `collect --verify` and others.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use common::tls::TlsFront;
use common::{Laptop, Ran, TEAMS, github, yesterday};
use mergeline_fake_github::{FakeGitHub, FakeUser, Fault, Layout, Refused, pr, run};
use mergeline_local_postgres::Binaries;
use mergeline_test_support::{FakeProvider, FakeProxy, TestDatabase, app_key};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

const TOKEN: &str = "github_pat_s3cret-canary";

/// A laptop that uses this GitHub, with its own database.
async fn laptop(fake: &FakeGitHub) -> Result<(Laptop, TestDatabase)> {
    let database = TestDatabase::create().await?;
    let laptop =
        Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("GITHUB_PAT", TOKEN).with("DB_URL", database.url());
    // Far enough back for pull requests with fixed dates.
    Ok((laptop.with("BACKFILL_DAYS", "3650"), database))
}

/// The text with times and ages masked and without column widths, because these differ from run to run.
fn masked(text: &str) -> String {
    let is_time = |word: &str| {
        let word = word.trim_matches([',', '.', ';']);
        word.contains(['-', ':']) && word.len() > 3 && word.chars().all(|c| c.is_ascii_digit() || "-:".contains(c))
    };
    let is_unit = |word: &str| matches!(word.trim_matches(['.', ',', ';']), "s" | "min" | "h" | "d");
    let mask = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().filter(|word| !word.starts_with('─')).collect();
        let mut masked = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let is_age = word.parse::<u32>().is_ok() && words.get(index + 1).is_some_and(|next| is_unit(next));
            masked.push(if is_age || is_time(word) { "…" } else { word });
        }
        masked.join(" ")
    };
    text.lines().map(mask).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The warnings and errors in the text of `doctor`.
fn complaints(ran: &Ran) -> String {
    ran.out()
        .lines()
        .filter(|line| line.starts_with("warning") || line.starts_with("error"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The states of the doctor checks with this name.
fn states(answer: &Value, name: &str) -> Vec<String> {
    let checks = answer["checks"].as_array().cloned().unwrap_or_default();
    let named = checks.iter().filter(|check| check["name"] == json!(name));
    named.map(|check| check["state"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn status_and_explain_create_no_database_before_collecting() -> Result<()> {
    let laptop = Laptop::new()?;
    let status = laptop.run(&["status"]).await?;
    assert_eq!((status.code(), status.out().contains("Nothing was ever collected")), (Some(0), true));
    assert_eq!(laptop.run(&["status", "--json"]).await?.json()?["runs"], json!([]));
    let explained = laptop.run(&["explain", "acme/api#1"]).await?;
    assert_eq!((explained.code(), explained.err().contains("nothing was ever collected")), (Some(1), true));
    assert!(!std::path::Path::new(&laptop.environment["MERGELINE_DATA_DIR"]).exists());
    Ok(())
}

#[tokio::test]
async fn status_shows_runs_and_exits_three_on_failures() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    assert_eq!(laptop.run(&["status"]).await?.code(), Some(0));
    fake.break_repository("acme/web", Some(404));
    laptop.run(&["collect"]).await?;
    let status = laptop.run(&["status", "--runs", "1"]).await?;
    assert_eq!(status.code(), Some(3), "{}", status.err());
    insta::assert_snapshot!(masked(&status.out()), @r#"
    run state started took complete requests kept changed
    2 partial … … UTC … s 1 of 2 4 0 0
    repository state collected back to stored next try
    acme/api succeeded … s ago … 1 -
    acme/web failed … s ago … 0 in … min
    acme/web: repo_not_accessible: not found (404): the repository does not exist,
    or the token may not see it
    Everything that changed since … … UTC is stored, as of … s ago.
    "#);
    let answer = laptop.run(&["status", "--json"]).await?.json()?;
    assert_eq!(answer["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(answer["coverage"]["failing"], json!(["acme/web"]));
    assert_eq!(answer["repositories"][0]["pull_requests"], json!(1));
    Ok(())
}

#[tokio::test]
async fn status_says_when_pull_requests_are_switched_off() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    fake.switch_off_pull_requests("acme/web");
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    let status = laptop.run(&["status"]).await?;
    assert_eq!(status.code(), Some(0), "{}", status.err());
    assert!(masked(&status.out()).contains("acme/web: pull requests are switched off"), "{}", status.out());
    let answer = laptop.run(&["status", "--json"]).await?.json()?;
    let switches = [0, 1].map(|index| answer["repositories"][index]["has_pull_requests"].clone());
    assert_eq!(switches, [json!(true), json!(false)]);
    Ok(())
}

#[tokio::test]
async fn quarantined_items_are_listed_and_accepted_by_name() -> Result<()> {
    let fake = github().await?;
    let (laptop, database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    let unread = "insert into quarantined_pull_requests (repository_id, number, reason, first_seen_at, last_tried_at)
        select id, 2, 'row 2 of the list cannot be read', now(), now() from repositories where name = 'acme/api'";
    sqlx::query(unread).execute(&database.pool().await?).await?;
    let status = laptop.run(&["status"]).await?;
    assert!(status.out().contains("acme/api#2 (in quarantine): row 2 of the list"), "{}", status.out());
    let doctor = laptop.run(&["doctor"]).await?;
    assert!(doctor.out().contains("acme/api#2"), "{}", doctor.out());
    let refused = laptop.run(&["quarantine", "accept", "acme/api#3"]).await?;
    assert_eq!(refused.code(), Some(2));
    assert!(
        refused.err().contains("acme/api#3 is not in quarantine: `mergeline status` shows what is"),
        "{}",
        refused.err()
    );
    let accepted = laptop.run(&["quarantine", "accept", "acme/api#2"]).await?;
    assert_eq!(accepted.code(), Some(0), "{}", accepted.err());
    let status = laptop.run(&["status"]).await?;
    assert!(status.out().contains("acme/api#2 (in quarantine, accepted): row 2 of the list"), "{}", status.out());
    let status = laptop.run(&["status", "--json"]).await?.json()?;
    let entry = &status["quarantine"][0];
    assert_eq!((&entry["repository"], &entry["number"]), (&json!("acme/api"), &json!(2)), "{status}");
    assert!(entry["accepted_at"].is_string(), "{status}");
    Ok(())
}

#[tokio::test]
async fn doctor_counts_exclusions_from_a_repository_pattern() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let teams = |rules: &str| TEAMS.replace("[acme/api, acme/web]", rules);
    laptop.write("teams.yaml", &teams("[\"acme/*\", \"!acme/web\"]"))?;
    let doctor = laptop.run(&["doctor"]).await?;
    assert!(
        doctor.out().contains("pattern acme/*: matches 1 of 2 repositories, 1 more is excluded"),
        "{}",
        doctor.out()
    );
    laptop.write("teams.yaml", &teams("[\"acme/w*\", \"!acme/web\", acme/api]"))?;
    let doctor = laptop.run(&["doctor"]).await?;
    let warned = "matches 1 repository, which is excluded; help: check the entries with `!`";
    assert!(doctor.out().contains(warned), "{}", doctor.out());
    Ok(())
}

#[tokio::test]
async fn status_and_doctor_report_an_outdated_schema() -> Result<()> {
    let fake = github().await?;
    let (laptop, database) = laptop(&fake).await?;
    let last = "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)";
    sqlx::query(last).execute(&database.pool().await?).await?;
    let status = laptop.run(&["status"]).await?;
    assert_eq!(status.code(), Some(1));
    assert!(
        status.err().contains("1 migration missing") && status.err().contains("mergeline migrate"),
        "{}",
        status.err()
    );
    let doctor = laptop.run(&["doctor", "--offline", "--json"]).await?;
    assert_eq!((doctor.code(), states(&doctor.json()?, "schema")), (Some(1), vec!["error".to_owned()]));
    Ok(())
}

#[tokio::test]
async fn migrate_makes_logins_that_collect_and_doctor_work_with() -> Result<()> {
    let fake = github().await?;
    let (owner, database) = laptop(&fake).await?;
    let place = database.url().split('?').next().unwrap_or_default();
    let name = place.rsplit('/').next().context("a URL with a database")?.to_owned();
    let [writer, reader] = ["writer", "reader"].map(|kind| {
        let mut url = database.url().to_owned();
        let (from, to) = (url.find("://").map_or(0, |at| at + 3), url.find('@').unwrap_or_default());
        url.replace_range(from..to, &format!("{name}_{kind}:s3cret-canary"));
        url
    });
    let owner = owner.with("DB_WRITER_URL", &writer).with("DB_READER_URL", &reader);
    let migrated = owner.run(&["migrate"]).await?;
    assert_eq!((migrated.code(), migrated.out().lines().count()), (Some(0), 1), "{}", migrated.out());
    let with = |url: &str| -> Result<Laptop> {
        let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("GITHUB_PAT", TOKEN);
        Ok(laptop.with("DB_URL", url).with("BACKFILL_DAYS", "3650"))
    };
    let (collector, api) = (with(&writer)?, with(&reader)?);
    let collected = collector.run(&["collect"]).await?;
    assert_eq!(collected.code(), Some(0), "{}", collected.err());
    for laptop in [&owner, &collector, &api] {
        let doctor = laptop.run(&["doctor", "--json"]).await?;
        assert_eq!(states(&doctor.json()?, "logins"), ["ok", "ok"]);
        assert_eq!(doctor.code(), Some(0), "{}", doctor.out());
    }
    let role = "select 'mergeline_writer_' || oid from pg_database where datname = current_database()";
    let pool = database.superuser_pool().await?;
    let role: String = sqlx::query_scalar(role).fetch_one(&pool).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("revoke update on teams from {role}"))).execute(&pool).await?;
    let doctor = collector.run(&["doctor"]).await?;
    assert!(complaints(&doctor).contains("the collector's, cannot write teams"), "{}", doctor.out());
    assert!(!doctor.out().contains("canary"));
    Ok(())
}

#[tokio::test]
async fn a_healthy_setup_passes_doctor_with_few_requests() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    fake.forget_requests();
    fake.set_rate_limit(5_000, 1_000);
    fake.set_graphql_rate_limit(5_000, 4_500);
    let doctor = laptop.run(&["doctor"]).await?;
    assert_eq!(doctor.code(), Some(0), "{}", doctor.err());
    // Mask the local server's version and the growing number of migrations.
    let numbers = |text: &str| {
        let mask = |line: &str| match line.split_once(": ") {
            Some(("ok database", rest)) => format!("ok database: PostgreSQL X{}", &rest[rest.find(',').unwrap_or(0)..]),
            Some(("ok schema", _)) => "ok schema: up to date (N migrations)".to_owned(),
            _ => line.to_owned(),
        };
        text.lines().map(mask).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(numbers(&masked(&doctor.out())), @r#"
    ok settings: valid: GITHUB_PAT, GITHUB_API_URL, DB_URL, BACKFILL_DAYS
    ok teams file: 1 team, 1 membership; repositories: 2, patterns: 0
    ok database: PostgreSQL X, on this machine, without TLS
    ok schema: up to date (N migrations)
    ok time zone: UTC
    ok collection: run 1 was the last one: succeeded, started … s ago
    ok quarantine: empty
    ok details: complete
    ok deployments: no repository has any, so there are no deployment frequency and change lead time
    ok GitHub: answers; a fine-grained personal token
    ok rate limit: 4000 of 5000 are left, resets in … min
    warning GraphQL rate limit: 500 of 5000 are left, resets in … min; help: wait, or use a token of another account or a GitHub App, which has its own limit
    ok clock: agrees with GitHub's
    ok repository acme/api: can be read
    ok repository acme/web: has no pull requests that the token may see
    ok login ana: is number 1245054725
    15 ok, 1 warning, 0 errors
    "#);
    // One for the token, two for each of two repositories, one for the history of the only pull request, none for what may deploy,
    // because the limit is met, one for a login.
    assert_eq!((fake.requests().len(), fake.most_at_once()), (7, 1));
    Ok(())
}

#[tokio::test]
async fn doctor_checks_the_provider_that_people_log_in_with() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    #[expect(clippy::disallowed_methods, reason = "nothing depends on it")]
    let provider = FakeProvider::start(chrono::Utc::now).await?;
    let laptop = laptop
        .with("OIDC_CLIENT_ID", FakeProvider::CLIENT)
        .with("PUBLIC_URL", "https://metrics.acme.com/v1/app/")
        .with("SESSION_SECRET", "8f3a61c97e04b5d28f3a61c97e04b5d2");
    let about_login =
        |ran: &Ran| ran.out().lines().filter(|line| line.contains("login")).collect::<Vec<_>>().join("\n");
    let laptop = laptop.with("OIDC_ISSUER", provider.url());
    let nobody = laptop.run(&["doctor"]).await?;
    assert!(about_login(&nobody).contains("nobody sees anything"), "{}", nobody.out());
    laptop.write("teams.yaml", &format!("{TEAMS}access: [{{ domain: acme.com, role: viewer }}]\n"))?;
    let fine = laptop.run(&["doctor"]).await?;
    let registered = "https://metrics.acme.com/v1/app/callback must be registered there";
    let line = about_login(&fine);
    assert!(line.contains("ok") && line.contains(registered) && !line.contains("nobody sees"), "{}", fine.out());

    provider.with(|state| state.metadata.insert("issuer".to_owned(), json!("https://other.example")));
    let wrong = laptop.run(&["doctor"]).await?;
    assert_eq!(wrong.code(), Some(1), "{}", wrong.out());
    assert!(about_login(&wrong).contains("check OIDC_ISSUER"), "{}", wrong.out());
    let offline = laptop.run(&["doctor", "--offline"]).await?;
    assert!(!about_login(&offline).contains(provider.url()), "{}", offline.out());
    let gone = laptop.with("OIDC_ISSUER", "http://127.0.0.1:9").run(&["doctor"]).await?;
    assert_eq!(gone.code(), Some(1), "{}", gone.out());
    Ok(())
}

#[tokio::test]
async fn doctor_names_what_may_deploy_where_github_has_no_deployments() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let commit = "0123456789012345678901234567890123456789";
    fake.put_runs([
        run("acme/api", 1, commit, "2026-06-01T10:00:00Z"),
        run("acme/api", 2, commit, "2026-06-01T10:00:00Z").of("ci.yml"),
    ]);
    laptop.run(&["collect"]).await?;
    let doctor = laptop.run(&["doctor"]).await?;
    let found: Vec<String> =
        doctor.out().lines().filter(|line| line.contains("no deployment to production")).map(str::to_owned).collect();
    insta::assert_snapshot!(found.join("\n"), @r"
    warning  deployments: acme/api has no deployment to production at GitHub; workflows: ci.yml, deploy.yml; releases in the last year: 0; help: if that is how it is deployed, write into the teams file: `services: [{ slug: api, repositories: [acme/api], deployments: { workflow: deploy.yml } }]`; for all repositories alike: `deployments: { workflow: deploy.yml }`
    ok       deployments: acme/web has no deployment to production at GitHub; workflows: none; releases in the last year: 0
    ");
    Ok(())
}

#[tokio::test]
async fn doctor_says_what_services_lack() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let teams = |service: &str| {
        format!(
            "version: 1\nrepositories: ['acme/*']\nservices: [{service}]\nteams: [{{ slug: pay, members: [{{ github: ana }}] }}]\n"
        )
    };
    laptop.write("teams.yaml", &teams("{ slug: shop, repositories: [acme/api] }"))?;
    laptop.run(&["collect"]).await?;
    let lacks = async || -> Result<String> {
        let doctor = laptop.run(&["doctor"]).await?;
        Ok(doctor.out().lines().filter(|line| line.contains("services:")).collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(lacks().await?, "");
    laptop.write("teams.yaml", &teams("{ slug: shop, repositories: [acme/api], paths: [src] }"))?;
    laptop.run(&["teams", "apply"]).await?;
    insta::assert_snapshot!(lacks().await?, @"warning  services: 1 merged pull request not compared with the paths of services yet (acme/api); help: run `mergeline collect` with a token; the log says which could not be read");
    fake.rename("acme/api", "acme/backend");
    laptop.run(&["collect"]).await?;
    insta::assert_snapshot!(lacks().await?, @"warning  services: `shop` has `acme/api`, which is not collected: nothing new of it counts for the service; help: if it was renamed, write its present name into the teams file");
    Ok(())
}

#[tokio::test]
async fn doctor_says_what_a_limited_token_cannot_read() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    fake.withhold_commits();
    let doctor = laptop.run(&["doctor"]).await?;
    assert_eq!(doctor.code(), Some(0), "{}", doctor.err());
    let about_it = |ran: &Ran| complaints(ran).lines().find(|line| line.contains("acme/api")).map(str::to_owned);
    insta::assert_snapshot!(about_it(&doctor).unwrap_or_default(), @"warning  repository acme/api: can be read, except its reviews, commits and sizes: the token may not read all of a pull request: give it read access to contents, for the commits; help: give the token read access to contents of this repository");
    fake.forget_requests();
    let anonymous = laptop.with("GITHUB_PAT", "").run(&["doctor"]).await?;
    assert_eq!(about_it(&anonymous), None);
    assert!(anonymous.out().contains("without reviews, commits and sizes"), "{}", anonymous.out());
    assert!(fake.requests().iter().all(|request| request.path != "/graphql"));
    Ok(())
}

#[tokio::test]
async fn doctor_says_when_a_run_ending_limit_expires() -> Result<()> {
    let fake = github().await?;
    let (laptop, database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    let block = "insert into rate_limit_blocks (instance_id, scope, kind, blocked_until) values (1, 'a', 'secondary', now() + '1 hour'), \
                 (1, 'b', 'core', now() - interval '1 second')";
    sqlx::query(block).execute(&database.pool().await?).await?;
    let doctor = laptop.run(&["doctor", "--offline"]).await?;
    let limits: Vec<_> =
        complaints(&doctor).lines().filter(|line| line.contains(" limits: ")).map(str::to_owned).collect();
    assert_eq!(limits.len(), 1, "{}", doctor.out());
    assert!(limits[0].contains("GitHub's rate limit `secondary` stopped a run; it expires in 59 min"), "{limits:?}");
    Ok(())
}

#[tokio::test]
async fn a_rate_limit_stops_the_next_commands_requests() -> Result<()> {
    let fake = github().await?;
    let (laptop, database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    let pool = database.pool().await?;
    let commands = [
        &["collect"][..],
        &["doctor"],
        &["explain", "--ask", "acme/api#9"],
        &["report", "acme/api"],
        &["report", "--teams", "teams.yaml"],
    ];
    for (first, next) in commands.into_iter().zip(commands.into_iter().cycle().skip(1)) {
        fake.fail_next("acme/api", Fault::SecondaryLimit { retry_after: 600 });
        laptop.run(first).await?;
        fake.forget_requests();
        let ran = laptop.run(next).await?;
        let said = ran.out() + &ran.err();
        assert_eq!(fake.requests().len(), 0, "{next:?} after {first:?}: {said}");
        assert!(said.contains("secondary rate limit is reached"), "{next:?} after {first:?}: {said}");
        sqlx::query("delete from rate_limit_blocks").execute(&pool).await?;
        fake.forget_faults("acme/api");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_timezone_fails_doctor_and_collect() -> Result<()> {
    let fake = github().await?;
    let (laptop, database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    database.forget_zones().await?;
    laptop.write("teams.yaml", &format!("timezone: Europe/Kiev\n{TEAMS}"))?;
    let doctor = laptop.run(&["doctor"]).await?;
    assert_eq!(doctor.code(), Some(0), "{}", doctor.out());
    assert!(doctor.out().contains("time zone: Europe/Kiev, which the database calls Europe/Kyiv"), "{}", doctor.out());
    let applied = laptop.run(&["collect"]).await?;
    assert_eq!(applied.code(), Some(0), "{}", applied.err());
    laptop.write("teams.yaml", &format!("timezone: Europe/Oslo\n{TEAMS}"))?;
    let doctor = laptop.run(&["doctor"]).await?;
    let unknown = "error time zone: the database does not know Europe/Oslo or another name for it; help: name another";
    assert_eq!((doctor.code(), masked(&complaints(&doctor)).contains(unknown)), (Some(1), true), "{}", doctor.out());
    let refused = laptop.run(&["collect"]).await?;
    assert_eq!(refused.code(), Some(2), "{}", refused.err());
    assert!(refused.err().contains("config.unknown_timezone"), "{}", refused.err());
    Ok(())
}

#[tokio::test]
async fn doctor_reports_every_problem_with_its_remedy() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    fake.put([pr("acme/api", 4).merged("2026-02-02T10:00:00Z").overriding("created_at", json!("soon"))]);
    laptop.run(&["collect"]).await?;
    fake.rename("acme/web", "acme/site");
    fake.add_user(FakeUser { id: 77, ..FakeUser::person("bob") });
    fake.set_token_expiration(Some("2026-01-01 10:00:00 UTC"));
    laptop.write(
        "teams.yaml",
        "version: 1\nrepositories: [acme/api, acme/web, acme/nowhere, other/*, acme/a*]\nteams: [{ slug: payments, members: \
         [{ github: ana }, { github: nobody-there }, { github: bob, id: 78 }] }]\n",
    )?;
    let doctor = laptop.run(&["doctor"]).await?;
    assert_eq!(doctor.code(), Some(1), "{}", doctor.err());
    assert!(doctor.out().contains("pattern acme/a*: matches 1 of 2 repositories"), "{}", doctor.out());
    insta::assert_snapshot!(masked(&complaints(&doctor)), @r#"
    warning quarantine: 1 pull request unreadable and not counted (acme/api): acme/api#4: input contains invalid characters at line 1 column 6672; help: `mergeline collect` retries them; if one stays, report it, and run `mergeline quarantine accept` with its name to treat weeks as complete without it
    warning token: expired … d ago (2026-01-01); help: create a new one at GitHub, and set it in GITHUB_PAT
    warning repository acme/web: is called acme/site now; help: write acme/site into the teams file
    error repository acme/nowhere: not found (404): the repository does not exist, or the token may not see it; help: check the spelling, and give the token access to it; or leave it out of `repositories` in the teams file, where `!owner/name` takes it out of a pattern
    error pattern other/*: the token cannot see an owner other (404); help: check the owner's spelling, and which owner the token is for
    error login nobody-there: GitHub does not know this account; help: check the spelling; bots are written name[bot]; a renamed account needs the same `id` for its old and new login
    error login bob: now belongs to another account (number 77); number 78 is expected; help: write the current login of number 78 into the teams file, with `id: 78`; if you mean number 77, write `{ github: bob, id: 77 }`
    "#);
    Ok(())
}

#[tokio::test]
async fn a_possible_former_login_gets_suggested_file_lines() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let id = FakeUser::person("ana").id;
    let teams =
        TEAMS.replace("{ github: ana }", "{ github: ana-old, to: 2026-02-01 }, { github: ana, from: 2026-02-01 }");
    laptop.write("teams.yaml", &teams)?;
    let lines = |id: &str| format!("`{{ github: ana-old, id: {id} }}` and `{{ github: ana, id: {id} }}`");
    let (known, unknown) = (lines(&id.to_string()), lines("…"));
    let assert_shows =
        |ran: &Ran, lines: &str| assert!(masked(&ran.out()).replace('\n', " ").contains(lines), "{}", ran.out());
    assert_shows(&laptop.run(&["doctor"]).await?, "where that ends, on … ana begins; help: if it is a former login");
    // GitHub knows the number before the first collection.
    assert_shows(&laptop.run(&["doctor"]).await?, &known);
    assert_shows(&laptop.run(&["doctor", "--offline"]).await?, &unknown);
    assert_shows(&laptop.run(&["teams", "plan"]).await?, &unknown);
    assert_shows(&laptop.run(&["teams", "apply"]).await?, &unknown);
    assert_shows(&laptop.run(&["collect"]).await?, &known);
    assert_shows(&laptop.run(&["teams", "plan"]).await?, &known);
    assert_shows(&laptop.run(&["doctor", "--offline"]).await?, &known);
    laptop.write(
        "teams.yaml",
        &teams.replace(", to:", &format!(", id: {id}, to:")).replace(", from:", &format!(", id: {id}, from:")),
    )?;
    let collected = laptop.run(&["collect"]).await?;
    assert!(!collected.out().contains("nobody was seen"), "{}", collected.out());
    let doctor = laptop.run(&["doctor"]).await?;
    assert_eq!((doctor.code(), complaints(&doctor).contains("login")), (Some(0), false), "{}", doctor.out());
    Ok(())
}

#[tokio::test]
async fn doctor_recognizes_swapped_logins_and_suggests_a_fix() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let teams = "version: 1\nrepositories: [acme/api]\nteams: [{ slug: pay, members: [{ github: ana }] }, { slug: web, members: [{ github: bob }] }]";
    laptop.write("teams.yaml", teams)?;
    let (ana, bob) = (FakeUser::person("ana"), FakeUser::person("bob"));
    fake.put([pr("acme/api", 5).by("bob").merged_at_instant(yesterday())]);
    laptop.run(&["collect"]).await?;
    let exchanged =
        [FakeUser { login: "bob".to_owned(), ..ana.clone() }, FakeUser { login: "ana".to_owned(), ..bob.clone() }];
    for user in &exchanged {
        fake.add_user(user.clone());
    }
    let of_logins = |ran: &Ran| {
        let lines: Vec<_> =
            complaints(ran).lines().filter(|line| line.contains(" login ")).map(str::to_owned).collect();
        lines.join("\n").replace(&ana.id.to_string(), "ANA").replace(&bob.id.to_string(), "BOB")
    };
    insta::assert_snapshot!(of_logins(&laptop.run(&["doctor"]).await?), @r"
    error    login ana: now belongs to another account (number BOB); number ANA is expected; help: replace it with `{ github: bob, id: ANA }`; if you mean number BOB, write `{ github: ana, id: BOB }`
    error    login bob: now belongs to another account (number ANA); number BOB is expected; help: replace it with `{ github: ana, id: BOB }`; if you mean number ANA, write `{ github: bob, id: ANA }`
    ");
    for (number, user) in (6..).zip(exchanged) {
        fake.put([pr("acme/api", number).by_user(Some(user)).merged_at_instant(yesterday())]);
    }
    laptop.run(&["collect"]).await?;
    insta::assert_snapshot!(of_logins(&laptop.run(&["doctor", "--offline"]).await?), @r"
    warning  login ana: is now bob; help: write bob into the teams file, with id ANA; collected data stays with the account
    warning  login bob: is now ana; help: write ana into the teams file, with id BOB; collected data stays with the account
    warning  login ana: ana may mean two accounts: number ANA, which had it before and is bob now, or number BOB, which was bob before and has it now; help: it counts for number ANA: write `{ github: bob, id: ANA }` in its place; if number BOB is meant, `{ github: ana, id: BOB }`
    warning  login bob: bob may mean two accounts: number BOB, which had it before and is ana now, or number ANA, which was ana before and has it now; help: it counts for number BOB: write `{ github: ana, id: BOB }` in its place; if number ANA is meant, `{ github: bob, id: ANA }`
    ");
    Ok(())
}

#[tokio::test]
async fn an_owner_refusing_the_token_is_reported_once() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    fake.put([pr("bolt/site", 1)]);
    fake.refuse_owner("acme", Some(Refused::IpAllowList));
    laptop.write(
        "teams.yaml",
        "version: 1\nrepositories: [acme/api, acme/web, acme/*, bolt/site, bolt/*]\nteams: [{ slug: payments, members: [{ \
         github: ana }] }]\n",
    )?;
    let doctor = laptop.run(&["doctor"]).await?;
    assert_eq!(doctor.code(), Some(1), "{}", doctor.err());
    let said = "error    GitHub (acme): some checks were skipped: the organization does not admit this machine's address (403); \
                GitHub says: Although you appear to have the correct authorization credentials, the `acme` organization has an \
                IP allow list enabled, and your IP address is not permitted to access this resource; help: let an owner of the \
                organization add the address that requests come from to its IP allow list";
    let errors: Vec<String> =
        complaints(&doctor).lines().filter(|line| line.starts_with("error")).map(str::to_owned).collect();
    assert_eq!(errors, [said]);
    for checked in ["repository bolt/site: can be read", "pattern bolt/*: matches 1 of 1", "login ana: is number"] {
        assert!(doctor.out().contains(checked), "{}", doctor.out());
    }
    let collect = laptop.run(&["collect"]).await?;
    let out = collect.out().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(collect.code(), Some(3), "{out}");
    assert!(
        out.contains("2 of 3: github_ip_not_allowed: the organization does not admit this machine's address"),
        "{out}"
    );
    assert!(out.contains("resource: let an owner of the organization add the address"), "{out}");
    let status = laptop.run(&["status", "--json"]).await?.json()?;
    assert_eq!(status["repositories"][0]["reason_code"], json!("github_ip_not_allowed"));
    Ok(())
}

#[tokio::test]
async fn doctor_checks_each_owner_with_its_app_token() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    fake.put([pr("bolt/site", 1)]);
    fake.require_token(TOKEN);
    fake.install_app("4711", &["acme", "bolt"]);
    fake.suspend_installation("acme", true);
    laptop.write(
        "teams.yaml",
        "version: 1\nrepositories: [acme/api, bolt/site]\nteams: [{ slug: payments, members: [] }]\n",
    )?;
    let both = laptop.with("GITHUB_APP_ID", "4711").with("GITHUB_APP_PRIVATE_KEY", app_key()?);
    let doctor = both.run(&["doctor"]).await?;
    let warned = "warning  GitHub App (acme): the GitHub App is suspended or refused there (403); GitHub says: This installation \
                  has been suspended; the personal token is used";
    assert_eq!(doctor.code(), Some(0), "{}", doctor.out());
    assert!(doctor.out().contains(warned) && doctor.out().contains("acme/api: can be read"), "{}", doctor.out());
    let alone = both.with("GITHUB_PAT", "");
    let doctor = alone.run(&["doctor"]).await?;
    assert_eq!(doctor.code(), Some(1), "{}", doctor.out());
    assert!(doctor.out().contains("error    GitHub (acme): the GitHub App is suspended"), "{}", doctor.out());
    assert!(doctor.out().contains("ok       repository bolt/site: can be read"), "{}", doctor.out());
    assert!(!doctor.out().contains("repository acme/api"), "{}", doctor.out());
    Ok(())
}

#[tokio::test]
async fn an_unknown_github_app_fails_with_a_remedy() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    fake.require_token(TOKEN);
    fake.install_app("4711", &["acme"]);
    let laptop = laptop.with("GITHUB_PAT", "").with("GITHUB_APP_ID", "4712").with("GITHUB_APP_PRIVATE_KEY", app_key()?);
    let collect = laptop.run(&["collect"]).await?;
    assert_eq!(collect.code(), Some(1), "{}", collect.err());
    let said = "GitHub refused the GitHub App; GitHub says: Integration not found";
    assert!(
        collect.err().contains(said) && collect.err().contains("help: check that GITHUB_APP_ID"),
        "{}",
        collect.err()
    );
    let doctor = laptop.run(&["doctor"]).await?;
    assert_eq!((doctor.code(), doctor.out().matches(said).count()), (Some(1), 1), "{}", doctor.out());
    Ok(())
}

#[tokio::test]
async fn an_incompletely_listed_pattern_is_reported_everywhere() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    fake.add_user(FakeUser::person("alice"));
    fake.put([pr("alice/open", 1).by("ana").merged_at_instant(yesterday()), pr("alice/secret", 2).by("ana")]);
    fake.make_private("alice/secret", &[]);
    laptop.write(
        "teams.yaml",
        "version: 1\nrepositories: [alice/*]\nteams: [{ slug: payments, members: [{ github: ana }] }]\n",
    )?;
    let collect = laptop.run(&["collect"]).await?;
    let out = collect.out().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(collect.code(), Some(0), "{out}");
    assert!(out.contains("pattern_coverage: not all repositories of alice/* are listed to the token"), "{out}");
    let reason = "the token is not alice's: GitHub lists only the user's public repositories, and those shared with the token's account";
    let doctor = laptop.run(&["doctor"]).await?;
    let warned = format!(
        "warning  pattern alice/*: matches 1 of 1 repositories; others may be missing: {reason}; help: use a token"
    );
    assert!(doctor.out().contains(&warned), "{}", doctor.out());
    let status = laptop.run(&["status", "--json"]).await?.json()?;
    assert_eq!(status["coverage"]["incomplete_patterns"], json!([{ "pattern": "alice/*", "reason": reason }]));
    let status = laptop.run(&["status"]).await?.out().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(status.contains("alice/*: repositories may be missing: the token is not alice's"), "{status}");
    fake.set_token_owner(FakeUser::person("alice"));
    laptop.run(&["collect"]).await?;
    let doctor = laptop.run(&["doctor"]).await?;
    assert!(doctor.out().contains("ok       pattern alice/*: matches 2 of 2 repositories"), "{}", doctor.out());
    let status = laptop.run(&["status", "--json"]).await?.json()?;
    assert_eq!(status["coverage"]["incomplete_patterns"], json!([]));
    Ok(())
}

/// An Enterprise Server with an internal authority, reachable only through a proxy.
struct Intranet {
    fake: FakeGitHub,
    _front: TlsFront,
    proxy: FakeProxy,
    laptop: Laptop,
    _database: TestDatabase,
}

/// The help where no proxy is in use.
const UNREACHABLE: &str =
    "help: check the network and GITHUB_API_URL; where only a proxy leads out, name it in HTTPS_PROXY";
/// Its name, which does not resolve anywhere.
const ENTERPRISE: &str = "ghe.mergeline.test";

impl Intranet {
    async fn new() -> Result<Self> {
        let fake = FakeGitHub::start_as(Layout::EnterpriseServer).await?;
        fake.add_repository("acme/web");
        fake.put([pr("acme/api", 1).merged_at_instant(yesterday())]);
        let upstream = fake.url().trim_start_matches("http://").split('/').next().unwrap_or_default().parse()?;
        let front = TlsFront::start(ENTERPRISE, upstream).await?;
        let credentials = "Basic YW5hOnMzY3JldC1jYW5hcnk=";
        let proxy = FakeProxy::start(&[(&format!("{ENTERPRISE}:443"), front.address)], Some(credentials)).await?;
        let (laptop, database) = laptop(&fake).await?;
        laptop.write("authorities.pem", &front.authority)?;
        let laptop = laptop
            .with("GITHUB_API_URL", format!("https://{ENTERPRISE}"))
            .with("HTTPS_PROXY", format!("http://ana:s3cret-canary@{}", proxy.address()))
            .with("SSL_CERT_FILE", "authorities.pem");
        Ok(Self { fake, _front: front, proxy, laptop, _database: database })
    }

    /// Runs `doctor` with additional environment variables.
    async fn doctor(&self, environment: &[(&'static str, &str)]) -> Result<Ran> {
        let mut command = self.laptop.command(&["doctor"]);
        command.envs(environment.iter().copied());
        let ran = Ran::of(tokio::task::spawn_blocking(move || command.output()).await??);
        assert!(!ran.out().contains("s3cret-canary") && !ran.err().contains("s3cret-canary"), "{}", ran.out());
        Ok(ran)
    }
}

#[tokio::test]
async fn an_enterprise_server_works_through_the_environment_proxy() -> Result<()> {
    let intranet = Intranet::new().await?;
    let collect = intranet.laptop.run(&["collect"]).await?;
    assert_eq!(collect.code(), Some(0), "{} {}", collect.out(), collect.err());
    let doctor = intranet.doctor(&[]).await?;
    assert_eq!(doctor.code(), Some(0), "{}", doctor.out());
    let answers = format!("GitHub: answers through the proxy http://{}; ", intranet.proxy.address());
    assert!(doctor.out().contains(&answers), "{}", doctor.out());
    assert!(doctor.out().contains("HTTPS_PROXY, SSL_CERT_FILE"), "{}", doctor.out());
    let asked_for = intranet.proxy.asked_for();
    assert!(asked_for.len() >= 2 && asked_for.iter().all(|host| *host == format!("{ENTERPRISE}:443")), "{asked_for:?}");
    assert!(intranet.fake.requests().iter().all(|request| request.status == 200), "{:?}", intranet.fake.requests());
    Ok(())
}

#[tokio::test]
async fn help_names_the_proxy_in_use_or_where_to_name_one() -> Result<()> {
    let intranet = Intranet::new().await?;
    let proxy = format!("http://{}", intranet.proxy.address());
    let unknown = intranet.laptop.command(&[]).get_current_dir().map(|folder| folder.join("teams.yaml"));
    let unknown = unknown.unwrap_or_default().display().to_string();
    for (environment, said, help) in [
        (
            [("HTTPS_PROXY", proxy.as_str())],
            format!("by the proxy {proxy}"),
            "help: check HTTPS_PROXY and NO_PROXY, and what the proxy allows",
        ),
        ([("NO_PROXY", ENTERPRISE)], "cannot be reached: dns error".to_owned(), UNREACHABLE),
        ([("HTTPS_PROXY", "")], "cannot be reached: dns error".to_owned(), UNREACHABLE),
        (
            [("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")],
            "UnknownIssuer".to_owned(),
            "help: set SSL_CERT_FILE to a file with the authority that signed the server's certificate",
        ),
    ] {
        let doctor = intranet.doctor(&environment).await?;
        let line = doctor.out().lines().find(|line| line.starts_with("error    GitHub")).unwrap_or_default().to_owned();
        assert!(line.contains(&said) && line.ends_with(help), "{environment:?}: {line}");
        let names_the_proxy = line.contains("by the proxy http://");
        assert_eq!(names_the_proxy, !said.starts_with("cannot") && environment[0].0 != "NO_PROXY", "{line}");
        assert!(!line.contains("Service Error"), "{line}");
    }
    assert_eq!(intranet.fake.requests(), []);
    let doctor = intranet.doctor(&[("SSL_CERT_FILE", &unknown)]).await?;
    assert_eq!(doctor.code(), Some(1));
    let problem = format!(
        "GitHub: no server can be trusted without certificates of authorities: SSL_CERT_FILE is {unknown}, which has no"
    );
    assert!(doctor.out().contains(&problem), "{} {}", doctor.out(), doctor.err());
    let doctor = intranet.doctor(&[("HTTPS_PROXY", "socks5://ana:s3cret-canary@proxy:1080")]).await?;
    assert_eq!(doctor.code(), Some(2));
    assert!(doctor.out().contains("HTTPS_PROXY: config.proxy: it is not an HTTP proxy"), "{}", doctor.out());
    Ok(())
}

#[tokio::test]
async fn doctor_reports_all_configuration_problems_and_exits_two() -> Result<()> {
    let laptop = Laptop::new()?.with("BACKFILL_DAYS", "0").with("API_KEY", "short").with("GITHUB_TOKEN", TOKEN);
    laptop.write("teams.yaml", "version: 1\nrepositories: [acme]\nteams: [{ slug: Payments, members: [] }]\n")?;
    let doctor = laptop.run(&["doctor", "--offline"]).await?;
    assert_eq!(doctor.code(), Some(2), "{}", doctor.err());
    insta::assert_snapshot!(complaints(&doctor), @r#"
    error    settings: BACKFILL_DAYS: config.range: `0` is out of range; help: write a whole number from 1 to 3650, or unset it
    error    settings: API_KEY: config.weak_secret: it is shorter than 16 characters; help: make one with `openssl rand -hex 24`
    warning  settings: GITHUB_TOKEN is set, which Mergeline does not read; help: set GITHUB_PAT if you meant that
    error    teams file: teams.yaml:2:16: config.repo_syntax: `acme` has no owner: write `owner/name`; help: write it as `owner/name`
    error    teams file: teams.yaml:3:17: config.team_slug: `Payments` is not a slug (lower-case letters, digits and inner hyphens, at least one letter, at most 63 characters); help: write `payments`
    warning  collection: nothing was ever collected here; help: run `mergeline collect`
    "#);
    Ok(())
}

#[tokio::test]
async fn a_renamed_login_is_known_without_a_request() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    let ana = FakeUser::person("ana");
    let renamed = FakeUser { login: "ana-b".to_owned(), ..ana };
    fake.put([pr("acme/api", 5).by_user(Some(renamed)).merged_at_instant(yesterday())]);
    laptop.run(&["collect"]).await?;
    fake.forget_requests();
    let doctor = laptop.run(&["doctor", "--offline"]).await?;
    assert_eq!((doctor.code(), fake.requests().len()), (Some(0), 0));
    assert!(complaints(&doctor).starts_with("warning  login ana: is now ana-b; help: write ana-b"), "{}", doctor.out());
    Ok(())
}

#[tokio::test]
async fn a_refused_token_is_reported_once_without_secrets() -> Result<()> {
    let fake = github().await?;
    fake.require_token("github_pat_another");
    let (laptop, database) = laptop(&fake).await?;
    let url = database.url().replace("mergeline_private@", "mergeline_private:s3cret-canary@");
    for (url, arguments) in [
        (url.as_str(), &["doctor"][..]),
        (&url, &["doctor", "--json"]),
        ("postgres://u:s3cret-canary@127.0.0.1:1/m", &["doctor"]),
        ("postgres://u:s3cret-canary@db.example.com/m?sslmode=disable", &["doctor"]),
        ("mysql://u:s3cret-canary@localhost/m", &["doctor", "--json"]),
    ] {
        let laptop = Laptop::new()?
            .with("GITHUB_API_URL", laptop.environment["GITHUB_API_URL"].clone())
            .with("RUST_LOG", "trace")
            .with("GITHUB_PAT", TOKEN)
            .with("DB_URL", url);
        fake.forget_requests();
        let doctor = laptop.run(arguments).await?;
        assert_eq!(fake.requests().len(), 1, "{}", doctor.out());
        assert_eq!(doctor.out().matches("refused the token").count(), 1, "{}", doctor.out());
        assert!(!doctor.out().contains("s3cret-canary") && !doctor.err().contains("s3cret-canary"), "{url}");
    }
    Ok(())
}

const SPLIT: &str = "version: 1\nrepositories: [acme/api]\ntimezone: Europe/Oslo\nteams:\n  - { slug: payments, members: [{ \
                     github: ana, weight: 0.5 }] }\n  - { slug: web, members: [{ github: ana, weight: 0.25, from: 2026-03-01 \
                     }, { github: bob, from: 2026-03-01 }] }\n";

#[tokio::test]
async fn bidirectional_controls_never_reach_the_terminal() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put([pr("acme/api", 1)
        .merged("2026-02-28T22:59:59Z")
        .titled("Add invoice\u{202e}fdp.exe \u{2067}now\u{2069}")]);
    let (laptop, _database) = laptop(&fake).await?;
    laptop.write("teams.yaml", SPLIT)?;
    let laptop = laptop.with("RUST_LOG", "debug");
    let turns = |text: &str| text.contains(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
    for arguments in [&["collect"][..], &["explain", "acme/api#1"], &["explain", "acme/api#1", "--json"]] {
        let ran = laptop.run(arguments).await?;
        assert_eq!(ran.code(), Some(0), "{}", ran.err());
        assert!(!turns(&ran.out()) && !turns(&ran.err()), "{arguments:?}: {} {}", ran.out(), ran.err());
    }
    let wrong = laptop.with("ALLOWED_HOSTS", "host\u{202e}name").run(&["serve", "--listen", "127.0.0.1:0"]).await?;
    assert_eq!((wrong.code(), turns(&wrong.err())), (Some(2), false));
    assert!(wrong.err().contains("host\\u202ename"), "the control is shown as an escape: {}", wrong.err());
    // Errors in the command line itself are printed by a library.
    let laptop = Laptop::new()?;
    for arguments in [
        &["report", "acme/\u{202e}api"][..],
        &["serve", "--listen", "local\u{202e}host"],
        &["col\u{202e}lect"],
        &["--js\u{202e}on"],
    ] {
        let ran = laptop.run(arguments).await?;
        assert_eq!((ran.code(), turns(&ran.err())), (Some(2), false), "{arguments:?}: {}", ran.err());
        assert!(ran.err().contains("\\u202e") && ran.out().is_empty(), "{arguments:?}: {}", ran.err());
    }
    let [help, version] = [laptop.run(&["--help"]).await?, laptop.run(&["--version"]).await?];
    assert!(help.code() == Some(0) && help.out().contains("Usage: mergeline") && help.err().is_empty());
    assert!(version.code() == Some(0) && version.out().starts_with("mergeline "));
    Ok(())
}

#[tokio::test]
async fn explain_shows_the_deciding_time_and_unallocated_share() -> Result<()> {
    let fake = FakeGitHub::start().await?;
    fake.put([
        pr("acme/api", 1).merged("2026-02-28T22:59:59Z"),
        pr("acme/api", 2).created("2026-03-02T10:00:00Z"),
        pr("acme/api", 3).by("bob").closed("2026-02-01T10:00:00Z"),
    ]);
    let (laptop, _database) = laptop(&fake).await?;
    laptop.write("teams.yaml", SPLIT)?;
    laptop.run(&["collect"]).await?;
    let mut explained = String::new();
    for name in ["acme/api#1", "https://github.com/acme/api/pull/2/files", "acme/api#3"] {
        let ran = laptop.run(&["explain", name]).await?;
        assert_eq!(ran.code(), Some(0), "{}", ran.err());
        explained.push_str(&ran.out());
    }
    insta::assert_snapshot!(explained, @r#"
    acme/api#1 "Change 1" by ana, merged
      opened 2026-01-01 10:00 CET, merged 2026-02-28 23:59 CET: the merge decides
      counts for payments with 0.5: a member all the time
      does not count for web: a member since 2026-03-01 00:00 CET, which is later
      0.5 of it belongs to no team
      cycle time 58.6 d, coding 1.0 h, pickup unknown, review unknown
        pickup and review are unknown because nobody else reviewed it before the merge
    acme/api#2 "Change 2" by ana, open
      opened 2026-03-02 11:00 CET: the opening decides until it is closed
      would count, once it is merged, for payments with 0.5: a member all the time
      would count, once it is merged, for web with 0.25: a member since 2026-03-01 00:00 CET
      0.25 of it belongs to no team
    acme/api#3 "Change 3" by bob, closed
      opened 2026-01-01 10:00 CET, closed 2026-02-01 11:00 CET: the close decides
      does not count for web: a member since 2026-03-01 00:00 CET, which is later
      it belongs to no team
    "#);
    let merged = laptop.run(&["explain", "acme/api#1", "--json"]).await?.json()?;
    assert_eq!((&merged["unallocated"], &merged["stored"]["excluded"]), (&json!(0.5), &json!(null)));
    assert_eq!(merged["stored"]["shares"][0]["counts"], json!(true));
    let open = laptop.run(&["explain", "acme/api#2", "--json"]).await?.json()?;
    assert_eq!(open["stored"]["excluded"], json!("not_merged"));
    assert_eq!([0, 1].map(|share| open["stored"]["shares"][share]["counts"].clone()), [json!(false), json!(false)]);
    Ok(())
}

#[tokio::test]
async fn explain_asks_github_about_unstored_pull_requests() -> Result<()> {
    let fake = github().await?;
    fake.put([
        pr("acme/api", 4).merged("2026-02-02T10:00:00Z").overriding("created_at", json!("soon")),
        pr("acme/other", 1).merged("2026-02-02T10:00:00Z"),
    ]);
    let (laptop, _database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    for (name, code, expected) in [
        ("acme/api#2", 0, "counts for nobody: stranger is in no team"),
        ("acme/api#3", 0, "counts for nobody: renovate[bot] is a bot"),
        ("acme/api#4", 1, "in quarantine"),
        ("acme/api#5", 1, "there is no acme/api#5"),
        ("acme/other#1", 0, "acme/other is not among the configured repositories"),
        ("acme/other#1", 0, "would count for payments (1)"),
    ] {
        let ran = laptop.run(&["explain", "--ask", name]).await?;
        assert_eq!(ran.code(), Some(code), "{name} {} {}", ran.out(), ran.err());
        assert!(ran.out().contains(expected), "{expected}: {}", ran.out());
    }
    fake.forget_requests();
    let unasked = laptop.run(&["explain", "acme/api#2"]).await?;
    assert_eq!((unasked.code(), fake.requests().len()), (Some(1), 0));
    assert!(unasked.out().contains("--ask acme/api#2"), "{}", unasked.out());
    assert_eq!(laptop.run(&["explain", "acme/api"]).await?.code(), Some(2));
    Ok(())
}

#[tokio::test]
async fn collect_verify_finds_pull_requests_deleted_on_github() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    fake.delete_pull_request("acme/api", 1);
    laptop.run(&["collect"]).await?;
    let is_gone = "It was deleted on GitHub: it counts for nobody";
    assert!(!laptop.run(&["explain", "acme/api#1"]).await?.out().contains(is_gone));
    laptop.run(&["collect", "--verify"]).await?;
    let explained = laptop.run(&["explain", "acme/api#1"]).await?;
    assert!(explained.out().contains(is_gone), "{}", explained.out());
    Ok(())
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn replay_requeues_dead_letters_and_names_them() -> Result<()> {
    let aws = mergeline_test_support::AwsEmulator::start().await?;
    let queue = aws.create_queue("work", 5).await?;
    let mut laptop = Laptop::new()?
        .with("WORK_QUEUE_URL", queue.url.clone())
        .with("DEAD_LETTER_QUEUE_URL", queue.dead_letters_url.clone());
    laptop.environment.extend(aws.environment());
    assert_eq!(laptop.run(&["replay"]).await?.out(), "There are no dead letters.\n");
    let work = r#"{"run":7,"repository":3,"name":"acme/api"}"#;
    let letter = r#"{"run":7,"repository":3,"name":"acme/api","code":"github_status","cause":"502","receives":5}"#;
    let sender = mergeline_aws::Aws::from_vars(|name| laptop.environment.get(name).cloned()).await;
    sender.queue(&queue.dead_letters_url).send(&[letter, work, "{}"].map(str::to_owned)).await?;
    let replayed = laptop.run(&["replay"]).await?;
    assert_eq!(replayed.code(), Some(0), "{}", replayed.err());
    insta::assert_snapshot!(replayed.out(), @r#"
    acme/api of run 7, after 5 attempts: github_status: 502
    acme/api of run 7: its worker ended without reporting an error
    unknown format, put back unchanged: {}
    Put back into the work queue: 3 dead letters.
    "#);
    let back: Vec<String> = aws.messages(&queue.url).await?.into_iter().map(|message| message.body).collect();
    // A letter that can be decoded is put back in the current format.
    let task = r#"{"version":1,"kind":"collect","run":7,"repository":3,"name":"acme/api"}"#;
    assert_eq!(back, [task, work, "{}"]);
    assert_eq!(aws.messages(&queue.dead_letters_url).await?, []);
    Ok(())
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn aws_is_reached_through_the_environment_proxy() -> Result<()> {
    let aws = mergeline_test_support::AwsEmulator::start().await?;
    let queue = aws.create_queue("work", 5).await?;
    let mut laptop = Laptop::new()?;
    laptop.environment.extend(aws.environment());
    let endpoint = laptop.environment.get("AWS_ENDPOINT_URL").cloned().unwrap_or_default();
    let address = endpoint.trim_start_matches("http://").trim_end_matches('/').parse()?;
    let proxy = FakeProxy::start(&[("sqs.mergeline.test:80", address)], None).await?;
    let named = |url: &str| url.replace(endpoint.trim_end_matches('/'), "http://sqs.mergeline.test");
    let laptop = laptop
        .with("AWS_ENDPOINT_URL", "http://sqs.mergeline.test")
        .with("WORK_QUEUE_URL", named(&queue.url))
        .with("DEAD_LETTER_QUEUE_URL", named(&queue.dead_letters_url))
        .with("HTTP_PROXY", format!("http://{}", proxy.address()));
    let replayed = laptop.run(&["replay"]).await?;
    assert_eq!(replayed.out(), "There are no dead letters.\n", "{}", replayed.err());
    assert!(proxy.asked_for().iter().any(|host| host == "sqs.mergeline.test:80"), "{:?}", proxy.asked_for());
    let away = laptop.with("NO_PROXY", "sqs.mergeline.test").run(&["replay"]).await?;
    assert_eq!(away.code(), Some(1), "{}", away.out());
    Ok(())
}

/// Answers like CloudFormation and Lambda: a stack `prod`, and what its functions answer to events.
#[cfg(feature = "aws")]
async fn fake_aws(functions: Value) -> Result<String> {
    use axum::extract::{Path, Query};
    use axum::http::{HeaderMap, StatusCode};
    use axum::response::IntoResponse;
    use axum::routing::post;
    let stacks = async |headers: HeaderMap, body: String| {
        let signed = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let error = |code: &str, message: &str| {
            let text = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
            );
            (StatusCode::BAD_REQUEST, text)
        };
        if !signed.contains("/cloudformation/aws4_request") || !body.contains("Action=DescribeStacks") {
            return error("InvalidAction", "not this");
        }
        if body.contains("StackName=secret") {
            return error("AccessDenied", "User is not authorized to perform: cloudformation:DescribeStacks");
        }
        if !body.contains("StackName=prod") {
            return error("ValidationError", "Stack with id other does not exist");
        }
        let outputs = [
            ("CollectorFunction", "prod-Collector-1"),
            ("ApiFunction", "prod-api"),
            ("MigratorFunction", "prod-Migrator-1"),
        ];
        let outputs = outputs.map(|(key, value)| {
            format!("<member><OutputKey>{key}</OutputKey><OutputValue>{value}</OutputValue></member>")
        });
        let stack = format!(
            "<StackName>prod</StackName><CreationTime>2026-06-01T00:00:00Z</CreationTime><StackStatus>UPDATE_COMPLETE</StackStatus><Outputs>{}</Outputs>",
            outputs.concat()
        );
        (
            StatusCode::OK,
            format!(
                "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>{stack}</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
            ),
        )
    };
    let invoke = async move |Path(name): Path<String>,
                             Query(query): Query<std::collections::BTreeMap<String, String>>,
                             body: String| {
        let known =
            &functions[name + query.get("Qualifier").map(|alias| format!(":{alias}")).unwrap_or_default().as_str()];
        let asked: Value = serde_json::from_str(&body).unwrap_or_default();
        if known.is_null() || asked != json!({ "action": "doctor" }) {
            let denied = json!({ "Message": "User is not authorized to perform: lambda:InvokeFunction" });
            return (StatusCode::FORBIDDEN, [("x-amzn-errortype", "AccessDeniedException")], denied.to_string())
                .into_response();
        }
        if known.get("errorType").is_some() {
            return (StatusCode::OK, [("x-amz-function-error", "Unhandled")], known.to_string()).into_response();
        }
        known.to_string().into_response()
    };
    let routes =
        axum::Router::new().route("/", post(stacks)).route("/2015-03-31/functions/{name}/invocations", post(invoke));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(address)
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn a_stacks_functions_say_what_they_reach() -> Result<()> {
    let check = |name: &str, state: &str, message: &str, remedy: Option<&str>| json!({ "name": name, "state": state, "message": message, "remedy": remedy });
    let functions = json!({
        "prod-Collector-1": { "action": "doctor", "checks": [
            check("database", "ok", "it lets the login `writer` in", None),
            check("GitHub", "error", "no answer within 8 s", Some("check the function's subnets")),
        ] },
        // The version that requests go to, not the one that was deployed last.
        "prod-api:live": { "action": "doctor", "checks": [check("login", "ok", "https://id.acme.com answers", None)] },
        "prod-Migrator-1": { "errorType": "Runtime.ExitError", "errorMessage": "exited" },
    });
    let url = fake_aws(functions).await?;
    let laptop = Laptop::new()?
        .with("AWS_ENDPOINT_URL", url)
        .with("AWS_REGION", "eu-north-1")
        .with("AWS_ACCESS_KEY_ID", "AKID")
        .with("AWS_SECRET_ACCESS_KEY", "canary");
    let ran = laptop.run(&["doctor", "--stack", "prod"]).await?;
    assert_eq!(ran.code(), Some(1), "{}", ran.err());
    insta::assert_snapshot!(ran.out(), @r#"
    ok       collector: database: it lets the login `writer` in
    error    collector: GitHub: no answer within 8 s; help: check the function's subnets
    ok       api: login: https://id.acme.com answers
    error    migrator: the function prod-Migrator-1 failed: {"errorMessage":"exited","errorType":"Runtime.ExitError"}; help: look at its log

    2 ok, 0 warnings, 2 errors
    "#);
    let json = laptop.run(&["doctor", "--stack", "prod", "--json"]).await?.json()?;
    assert_eq!(json["checks"].as_array().map(Vec::len), Some(4), "{json}");
    for (stack, expected) in [
        ("other", "there is no stack other"),
        ("secret", "not allowed to call cloudformation:DescribeStacks on secret"),
    ] {
        let ran = laptop.run(&["doctor", "--stack", stack]).await?;
        assert_eq!((ran.code(), ran.out().contains(expected)), (Some(1), true), "{}", ran.out());
    }
    let both = laptop.run(&["doctor", "--stack", "prod", "--offline"]).await?;
    assert_eq!(both.code(), Some(2), "{}", both.err());
    Ok(())
}

#[cfg(not(feature = "aws"))]
#[tokio::test]
async fn replay_without_aws_support_says_how_to_install() -> Result<()> {
    for command in [&["replay"][..], &["doctor", "--stack", "prod"]] {
        let ran = Laptop::new()?.run(command).await?;
        assert_eq!((ran.code(), ran.err().contains("--features aws")), (Some(2), true), "{}", ran.err());
    }
    Ok(())
}

#[cfg(feature = "aws")]
#[tokio::test]
async fn replay_needs_both_queues() -> Result<()> {
    let ran = Laptop::new()?.with("WORK_QUEUE_URL", "http://127.0.0.1:1/q").run(&["replay"]).await?;
    assert_eq!((ran.code(), ran.err().contains("DEAD_LETTER_QUEUE_URL: config.queues")), (Some(2), true));
    let neither = Laptop::new()?.run(&["replay", "--json"]).await?.json()?;
    assert_eq!(neither["error"]["problems"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test]
async fn a_wrong_token_fails_and_applies_no_teams() -> Result<()> {
    let fake = github().await?;
    fake.require_token("github_pat_another");
    let (laptop, database) = laptop(&fake).await?;
    let pool = database.pool().await?;
    let teams = async || sqlx::query_scalar::<_, i64>("select count(*) from teams").fetch_one(&pool).await;
    let first = laptop.run(&["collect"]).await?;
    let help = "help: make a new token at GitHub";
    assert_eq!((first.code(), fake.requests().len()), (Some(1), 1), "{}", first.err());
    assert!(first.err().contains("refused the token (401)") && first.err().contains(help), "{}", first.err());
    assert_eq!(teams().await?, 0);
    fake.require_token(TOKEN);
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    fake.require_token("github_pat_another");
    fake.forget_requests();
    for is_changed in [false, true] {
        if is_changed {
            laptop.write("teams.yaml", SPLIT)?;
        }
        let later = laptop.run(&["collect"]).await?;
        let out = later.out().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(later.code(), Some(1), "{out}");
        assert!(out.contains("failed with 0 of 2 repositories complete"), "{out}");
        let cause = "all 2: github_unauthorized: GitHub refused the token (401)";
        assert!(out.contains(cause) && out.contains(help), "{out}");
        assert_eq!(out.matches("refused the token").count(), 1, "{out}");
        let is_checked_first = fake.requests().iter().any(|request| request.path.contains("rate_limit"));
        assert_eq!(is_checked_first, is_changed, "if there is nothing to apply, the run itself finds out");
    }
    assert_eq!(teams().await?, 1, "the teams file with two teams is not applied");
    Ok(())
}

#[tokio::test]
async fn an_unlistable_owner_alone_fails_the_collection() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    laptop.write(
        "teams.yaml",
        "version: 1\nrepositories: [nobody/*]\nteams: [{ slug: a, members: [{ github: ana }] }]\n",
    )?;
    let ran = laptop.run(&["collect"]).await?;
    assert_eq!(ran.code(), Some(1));
    assert!(ran.out().contains("help: check the spelling, and give the token access to it"), "{}", ran.out());
    Ok(())
}

#[tokio::test]
async fn a_failed_run_gives_its_remedy_only_once() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    let collect = async |laptop: &Laptop, cause: &str, help: &str| -> Result<()> {
        let ran = laptop.run(&["collect"]).await?;
        let out = ran.out().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!((ran.code(), out.contains(cause)), (Some(1), true), "{cause}: {out}");
        assert_eq!((out.matches(help).count(), out.matches("help:").count() <= 1), (1, true), "{help}: {out}");
        Ok(())
    };
    let repositories = ["acme/api", "acme/web"];
    for (status, cause, help) in [
        (404, "all 2: repo_not_accessible", "help: check the spelling, and give the token access to it"),
        (403, "all 2: github_forbidden", "give the token read access to pull requests of this repository"),
    ] {
        for repository in repositories {
            fake.break_repository(repository, Some(status));
        }
        collect(&laptop, cause, help).await?;
    }
    for repository in repositories {
        fake.break_repository(repository, None);
        (0..3).for_each(|_| fake.fail_next(repository, Fault::Html));
    }
    collect(&laptop, "all 2: github_invalid_answer", "help: check GITHUB_API_URL").await?;
    let unreachable = laptop.with("GITHUB_API_URL", "http://127.0.0.1:1");
    collect(&unreachable, "github_unreachable", "help: check the network and GITHUB_API_URL").await
}

#[tokio::test]
async fn status_exits_three_after_a_refused_token() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    fake.require_token("github_pat_another");
    laptop.run(&["collect"]).await?;
    let status = laptop.run(&["status", "--json"]).await?;
    assert_eq!(status.code(), Some(3));
    let answer = status.json()?;
    assert_eq!(answer["repositories"][0]["reason_code"], json!("github_unauthorized"));
    assert_eq!(answer["coverage"]["failing"], json!(["acme/api", "acme/web"]));
    assert_eq!(answer["repositories"][0]["next_at"], json!(null));
    Ok(())
}

#[tokio::test]
async fn a_signal_ends_collect_and_releases_its_repositories() -> Result<()> {
    // A child inherits an ignored SIGHUP, as under `nohup`, but not a handler: with one here, it gets the default
    // action.
    let _handled = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let fake = github().await?;
        let (laptop, _database) = laptop(&fake).await?;
        fake.fail_next("acme/api", Fault::SlowBody);
        let mut command = laptop.command(&["collect"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pid = Pid::from_raw(i32::try_from(child.id())?);
        while !fake.requests().iter().any(|request| request.path.starts_with("/repos/acme/api")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        kill(pid, signal)?;
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output()).await??;
        let out = String::from_utf8_lossy(&ended.stdout);
        assert_eq!(ended.status.code(), Some(code), "{out}");
        let cause = "all 2: interrupted: the run was interrupted; the next one continues here";
        assert!(out.contains(cause), "{out}");
        let next = laptop.run(&["collect"]).await?;
        assert_eq!(
            (next.code(), next.out().contains("2 of 2 repositories complete")),
            (Some(0), true),
            "{}",
            next.out()
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_killed_collection_can_be_resumed_immediately() -> Result<()> {
    let fake = github().await?;
    let (laptop, _database) = laptop(&fake).await?;
    fake.fail_next("acme/api", Fault::SlowBody);
    let mut killed = laptop.command(&["collect"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    while !fake.requests().iter().any(|request| request.path.starts_with("/repos/acme/api")) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    killed.kill()?;
    tokio::task::spawn_blocking(move || killed.wait()).await??;
    let next = laptop.run(&["collect"]).await?;
    assert_eq!(next.code(), Some(0), "{}", next.out());
    assert!(next.out().contains("2 of 2 repositories complete"), "{}", next.out());
    Ok(())
}

#[tokio::test]
async fn an_unreachable_database_is_reported_once_with_help() -> Result<()> {
    let laptop = Laptop::new()?.with("DB_URL", "postgres://u:s3cret-canary@127.0.0.1:1/m");
    for arguments in [&["status"][..], &["collect"], &["migrate"], &["show"]] {
        let ran = laptop.run(arguments).await?;
        assert_eq!((ran.code(), ran.err().matches("Connection refused").count()), (Some(1), 1), "{}", ran.err());
        assert!(ran.err().contains("help: check host, port and network of DB_URL"), "{}", ran.err());
    }
    Ok(())
}

#[tokio::test]
async fn private_data_is_found_dumped_restored_and_removed() -> Result<()> {
    let fake = github().await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url());
    assert_eq!(laptop.run(&["data", "dump"]).await?.code(), Some(2), "there is nothing yet");
    laptop.run(&["collect"]).await?;
    let shown = laptop.run(&["show"]).await?.out();
    let folder = laptop.run(&["data", "path"]).await?.out().trim().to_owned();
    assert!(std::path::Path::new(&folder).join("data/PG_VERSION").exists(), "{folder}");
    let dump = laptop.run(&["data", "dump"]).await?;
    assert_eq!((dump.code(), dump.out().contains("pull_requests")), (Some(0), true), "{}", dump.err());
    laptop.write("mergeline.sql", &dump.out())?;
    let restore = ["data", "restore", "mergeline.sql"];
    assert!(laptop.run(&restore).await?.err().contains("there is data in"));
    let unsure = laptop.run(&["data", "remove"]).await?;
    assert_eq!((unsure.code(), unsure.err().contains("--yes")), (Some(2), true), "{}", unsure.err());
    assert_eq!(laptop.run(&["data", "remove", "--yes"]).await?.code(), Some(0));
    assert!(!std::path::Path::new(&folder).exists());
    assert!(laptop.run(&["data", "remove", "--yes"]).await?.out().contains("There is nothing"));
    let restored = laptop.run(&restore).await?;
    assert_eq!(restored.code(), Some(0), "{}", restored.err());
    assert_eq!(laptop.run(&["show"]).await?.out(), shown);
    assert_eq!(laptop.run(&["collect", "--json"]).await?.json()?["repositories"][0]["changed"], json!(0));
    laptop.run(&["data", "remove", "--yes"]).await?;
    let dump = dump.out();
    let half = dump.split_inclusive('\n').take_while(|line| !line.starts_with("COPY public.pull_requests ")).collect();
    for part in [half, String::new(), "select 1;\n-- PostgreSQL database dump complete\n".to_owned()] {
        laptop.write("part.sql", &part)?;
        let refused = laptop.run(&["data", "restore", "part.sql"]).await?;
        assert_eq!((refused.code(), std::path::Path::new(&folder).exists()), (Some(2), false), "{}", refused.err());
        assert!(refused.err().contains("part.sql is not a complete dump of Mergeline's data"), "{}", refused.err());
    }
    laptop.write("broken.sql", &format!("nonsense;\n{dump}"))?;
    let broken = laptop.run(&["data", "restore", "broken.sql"]).await?;
    assert_eq!((broken.code(), std::path::Path::new(&folder).exists()), (Some(1), false), "{}", broken.err());
    // A folder with only the server programs.
    let programs = tempfile::tempdir()?;
    std::fs::set_permissions(programs.path(), std::fs::Permissions::from_mode(0o755))?;
    let binaries = Binaries::find()?;
    for program in ["initdb", "postgres"] {
        std::os::unix::fs::symlink(binaries.path(program), programs.path().join(program))?;
    }
    let mut restoring = laptop.command(&restore);
    restoring.env("PG_BINDIR", programs.path());
    let restored = Ran::of(tokio::task::spawn_blocking(move || restoring.output()).await??);
    assert_eq!((restored.code(), restored.err().contains("psql")), (Some(1), true), "{}", restored.err());
    assert!(!std::path::Path::new(&folder).exists(), "the failed restore is removed");
    let named = laptop.with("DB_URL", "postgres://localhost/m");
    assert!(named.run(&["data", "dump"]).await?.err().contains("pg_dump"));
    Ok(())
}

/// Moves data as docs/laptop.md says. Needs two versions of PostgreSQL: `PG_BINDIR_OF_NEWER` is the folder of the
/// newer one.
#[tokio::test]
#[ignore = "needs a newer PostgreSQL: PG_BINDIR_OF_NEWER=… cargo test -p mergeline-cli --test operations -- --ignored another_major"]
async fn data_moves_to_another_major_version_as_documented() -> Result<()> {
    let newer = std::env::var("PG_BINDIR_OF_NEWER").context("PG_BINDIR_OF_NEWER")?;
    let older = Binaries::find()?;
    let fake = github().await?;
    let laptop =
        Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("PG_BINDIR", older.folder().display().to_string());
    laptop.run(&["collect"]).await?;
    let shown = laptop.run(&["show"]).await?.out();
    // The newer version alone leaves the data unchanged and says what to do.
    let laptop = laptop.with("PG_BINDIR", &newer);
    for arguments in [&["show"][..], &["collect"], &["data", "dump"]] {
        let refused = laptop.run(arguments).await?;
        assert_eq!(
            (refused.code(), refused.err().contains("mergeline data dump")),
            (Some(1), true),
            "{}",
            refused.err()
        );
    }
    // With both versions installed, the older one serves its data, regardless of the version of `pg_config`.
    let programs = tempfile::tempdir()?;
    let pg_config = programs.path().join("pg_config");
    std::fs::write(&pg_config, format!("#!/bin/sh\necho {newer}\n"))?;
    std::fs::set_permissions(&pg_config, std::fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", programs.path().display(), laptop.environment["PATH"]);
    let laptop = laptop.with("PATH", path).with("PG_BINDIR", "");
    assert_eq!(laptop.run(&["show"]).await?.out(), shown);
    let dump = laptop.run(&["data", "dump"]).await?;
    assert_eq!(dump.code(), Some(0), "{}", dump.err());
    laptop.write("mergeline.sql", &dump.out())?;
    for arguments in [&["data", "remove", "--yes"][..], &["data", "restore", "mergeline.sql"]] {
        let moved = laptop.run(arguments).await?;
        assert_eq!(moved.code(), Some(0), "{arguments:?}: {}", moved.err());
    }
    let doctor = laptop.run(&["doctor", "--offline"]).await?;
    let said = doctor.out();
    assert!(said.contains(", the private one") && !said.contains(&format!("PostgreSQL {}", older.version())), "{said}");
    assert_eq!(laptop.run(&["show"]).await?.out(), shown);
    let collected = laptop.run(&["collect", "--json"]).await?.json()?;
    assert_eq!(collected["repositories"][0]["changed"], json!(0), "{collected}");
    Ok(())
}

#[tokio::test]
async fn a_login_without_create_rights_gets_the_grant() -> Result<()> {
    let fake = github().await?;
    let database = TestDatabase::create().await?;
    let (role, _, owner, url) = empty_database_with_login(&database).await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("DB_URL", url);
    let grant = format!("GRANT USAGE, CREATE ON SCHEMA public TO {role}");
    for (arguments, code) in [(&["migrate"][..], 1), (&["collect"], 1), (&["doctor", "--offline"], 1)] {
        let ran = laptop.run(arguments).await?;
        let said = ran.out() + &ran.err();
        assert_eq!(ran.code(), Some(code), "{arguments:?}: {said}");
        for once in ["may not create tables", &grant] {
            assert_eq!(said.matches(once).count(), 1, "{arguments:?}: {said}");
        }
        assert!(!said.contains("at line"), "{arguments:?}: {said}");
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(grant)).execute(&owner).await?;
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    // If no migration is missing, everything works without the privilege.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("revoke create on schema public from {role}"))).execute(&owner).await?;
    for arguments in [&["migrate"][..], &["collect"], &["doctor", "--offline"]] {
        let ran = laptop.run(arguments).await?;
        assert_eq!(ran.code(), Some(0), "{arguments:?}: {}", ran.out() + &ran.err());
    }
    Ok(())
}

/// Creates a login and an empty database. Returns the role, the database name, the owner's pool and the login's URL.
async fn empty_database_with_login(database: &TestDatabase) -> Result<(String, String, sqlx::PgPool, String)> {
    let pool = database.pool().await?;
    let name: String = sqlx::query_scalar("select current_database()::text").fetch_one(&pool).await?;
    // Other tests may share the server, so role and database names must be unique.
    let (role, empty) = (format!("{name}_role"), format!("{name}_empty"));
    for statement in [format!("create role {role} login"), format!("create database {empty}")] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&pool).await?;
    }
    let url = database.url().replace(&name, &empty);
    let owner = sqlx::PgPool::connect(&url).await?;
    let url = url.replace("mergeline_private@", &format!("{role}@"));
    Ok((role, empty, owner, url))
}

/// Asserts that each command fails with one message that has the statements to run, and works after the owner ran them.
async fn assert_fixed_by(laptop: &Laptop, owner: &sqlx::PgPool, cause: &str, statements: &str) -> Result<()> {
    for arguments in [&["migrate"][..], &["collect"], &["status"], &["doctor", "--offline"]] {
        let ran = laptop.run(arguments).await?;
        let said = ran.out() + &ran.err();
        assert_eq!(ran.code(), Some(1), "{arguments:?}: {said}");
        for once in [cause, statements] {
            assert_eq!(said.matches(once).count(), 1, "{once} {arguments:?}: {said}");
        }
        assert!(!said.contains("42501") && !said.contains("3F000"), "{arguments:?}: {said}");
    }
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(owner).await?;
    for arguments in [&["migrate"][..], &["collect"], &["doctor", "--offline"]] {
        let ran = laptop.run(arguments).await?;
        assert_eq!(ran.code(), Some(0), "{arguments:?}: {}", ran.out() + &ran.err());
    }
    Ok(())
}

#[tokio::test]
async fn a_login_without_connect_rights_gets_the_grant() -> Result<()> {
    let fake = github().await?;
    let database = TestDatabase::create().await?;
    let (role, name, owner, url) = empty_database_with_login(&database).await?;
    let refuse =
        format!("revoke connect on database {name} from public; grant usage, create on schema public to {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(refuse)).execute(&owner).await?;
    let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("DB_URL", url);
    let grant = format!("GRANT CONNECT ON DATABASE \"{name}\" TO \"{role}\"");
    assert_fixed_by(&laptop, &owner, "the login may not connect to the database", &grant).await
}

#[tokio::test]
async fn an_unusable_search_path_gets_the_statements_to_run() -> Result<()> {
    let fake = github().await?;
    for (search_path, before, statements) in [
        ("metrics", "", "CREATE SCHEMA metrics; GRANT USAGE, CREATE ON SCHEMA metrics TO <role>"),
        ("\"$user\", \"Team A\"", "", "CREATE SCHEMA \"Team A\"; GRANT USAGE, CREATE ON SCHEMA \"Team A\" TO <role>"),
        ("absent, hidden", "create schema hidden;", "GRANT USAGE, CREATE ON SCHEMA hidden TO <role>"),
        (
            "''",
            "grant create on schema public to <role>;",
            "ALTER ROLE <role> IN DATABASE <database> SET search_path = public",
        ),
    ] {
        let database = TestDatabase::create().await?;
        let (role, name, owner, url) = empty_database_with_login(&database).await?;
        let filled = |text: &str| text.replace("<role>", &role).replace("<database>", &name);
        let prepare = format!("{} alter role {role} set search_path = {search_path}", filled(before));
        sqlx::raw_sql(sqlx::AssertSqlSafe(prepare)).execute(&owner).await?;
        let laptop = Laptop::new()?.with("GITHUB_API_URL", fake.url()).with("DB_URL", url);
        assert_fixed_by(&laptop, &owner, "names no schema that it may use", &filled(statements)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn collect_trims_old_runs_and_tolerates_failed_deletes() -> Result<()> {
    let fake = github().await?;
    let (laptop, database) = laptop(&fake).await?;
    let pool = database.pool().await?;
    let runs = async || -> Result<Vec<i64>> {
        let sql = "select extract(day from now() - started_at)::bigint from collection_runs order by id";
        Ok(sqlx::query_scalar(sql).fetch_all(&pool).await?)
    };
    let old = "insert into collection_runs (started_at, finished_at, state)
        select now() - make_interval(days => age), now(), 'succeeded' from unnest(array[401, 399, 31, 29]) as age";
    sqlx::raw_sql(old).execute(&pool).await?;
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    assert_eq!(runs().await?, [399, 31, 29, 0], "the default is 400 days");
    let refuse = "create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
        create trigger refuse before delete on collection_runs execute function refuse()";
    sqlx::raw_sql(refuse).execute(&pool).await?;
    let laptop = laptop.with("LEDGER_DAYS", "30");
    let blocked = laptop.run(&["collect"]).await?;
    assert_eq!(
        (blocked.code(), blocked.err().contains("Could not trim the ledger")),
        (Some(0), true),
        "{}",
        blocked.err()
    );
    sqlx::raw_sql("drop trigger refuse on collection_runs").execute(&pool).await?;
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    assert_eq!(runs().await?, [29, 0, 0, 0]);
    let refused = laptop.with("LEDGER_DAYS", "7").run(&["doctor", "--offline"]).await?;
    let expected = "LEDGER_DAYS: config.range: `7` is out of range; help: write a whole number from 30 to 3650";
    assert!(complaints(&refused).contains(expected), "{}", refused.out());
    Ok(())
}

/// Collects ana and ben in payments. Ana changes her login between two collections.
async fn with_ana_and_ben(fake: &FakeGitHub, laptop: &Laptop) -> Result<()> {
    const BOTH: &str = "version: 1\nrepositories: [acme/api, acme/web]\nteams:\n  - slug: payments\n    members: [{ github: \
                        ana-canary }, { github: ben }]\n";
    let renamed = FakeUser { login: "ana-now".to_owned(), ..FakeUser::person("ana-canary") };
    laptop.write("teams.yaml", BOTH)?;
    fake.put([pr("acme/api", 10).by("ana-canary").titled("canary title").merged_at_instant(yesterday())]);
    laptop.run(&["collect"]).await?;
    fake.put([
        pr("acme/web", 11).by_user(Some(renamed)).titled("canary title").merged_at_instant(yesterday()),
        pr("acme/web", 12).by("ben").merged_at_instant(yesterday()).reviewed_by("ana-canary", "2026-01-02T10:00:00Z"),
    ]);
    let ran = laptop.run(&["collect"]).await?;
    assert_eq!(ran.code(), Some(0), "{}", ran.out());
    Ok(())
}

const ONLY_BEN: &str =
    "version: 1\nrepositories: [acme/api, acme/web]\nteams: [{ slug: payments, members: [{ github: ben }] }]\n";

/// All rows of the database, as text.
async fn all_rows(database: &TestDatabase) -> Result<String> {
    let pool = database.pool().await?;
    let tables = "select relname::text from pg_class
        where relkind = 'r' and relnamespace = 'public'::regnamespace and relname not like '\\_%' order by 1";
    let mut rows = String::new();
    for table in sqlx::query_scalar::<_, String>(tables).fetch_all(&pool).await? {
        let sql = format!("select coalesce(string_agg(to_jsonb(t)::text, e'\n'), '') from {table} as t");
        rows.push_str(&sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(sql)).fetch_one(&pool).await?);
    }
    Ok(rows)
}

#[tokio::test]
async fn an_erased_person_leaves_no_trace_after_collecting() -> Result<()> {
    let fake = github().await?;
    let (laptop, database) = laptop(&fake).await?;
    with_ana_and_ben(&fake, &laptop).await?;
    let account = FakeUser::person("ana-canary").id.to_string();
    // Messages in the ledger, a plan and the quarantine, and the bots of a former configuration.
    let traces = "update collection_results set state = 'failed', error_code = 'config.same_person',
            error_message = '`ana-canary` and `ana-now` are the same GitHub account' where run_id = 1;
        update collection_runs set problems = array['`ana-canary` twice', 'of `ben`'] where id = 1;
        insert into quarantined_pull_requests (repository_id, number, reason, first_seen_at, last_tried_at)
        values (1, 99, 'the author `ana-now` is strange', now(), now());
        update configurations set bots = array['ana-canary', 'robot'] where revision = 1;";
    sqlx::raw_sql(traces).execute(&database.pool().await?).await?;
    for login in ["ana-canary", "Ana-Now"] {
        let refused = laptop.run(&["erase", login, "--yes"]).await?;
        assert_eq!((refused.code(), refused.err().contains("in payments")), (Some(2), true), "{}", refused.err());
        assert!(refused.err().contains("remove the person from the teams file"), "{}", refused.err());
    }
    laptop.write("teams.yaml", ONLY_BEN)?;
    let ran = laptop.run(&["collect", "--allow-removals"]).await?;
    assert_eq!(ran.code(), Some(0), "{}{}", ran.out(), ran.err());
    let before = all_rows(&database).await?;
    assert!(["ana-canary", "ana-now", "canary title", &account].iter().all(|trace| before.contains(trace)), "{before}");
    let dry = laptop.run(&["erase", "ana-canary"]).await?;
    assert_eq!(dry.code(), Some(0), "{}", dry.err());
    insta::assert_snapshot!(masked(&dry.out().replace(&account, "NUMBER")), @r"
    ana-now, account NUMBER, also known as ana-canary
    what where count
    pull requests acme/api 1
    acme/web 1
    memberships payments 1
    messages ledger, history 5
    Nothing is erased yet. With --yes this is erased, and only a teams file that
    names the person restores it. 1 pull request of 1 account stay.
    ");
    let json = laptop.run(&["erase", "ana-canary", "--json"]).await?.json()?;
    assert_eq!((&json["erased"], &json["remaining"]), (&json!(false), &json!({ "pull_requests": 1, "people": 1 })));
    assert_eq!(all_rows(&database).await?, before, "a dry run changes nothing");
    // A teams file that still names her would restore her data.
    laptop.write(
        "old.yaml",
        "version: 1\nrepositories: [acme/api]\nteams: [{ slug: a, members: [{ github: ana-now }] }]\n",
    )?;
    let laptop = laptop.with("TEAMS_FILE", "old.yaml");
    let named = laptop.run(&["erase", "ana-canary", "--yes"]).await?;
    assert!(named.code() == Some(2) && named.err().contains("the teams file names `ana-now`"), "{}", named.err());
    let laptop = laptop.with("TEAMS_FILE", "teams.yaml");
    let erased = laptop.run(&["erase", "ana-canary", "--yes", "--json"]).await?.json()?;
    assert_eq!((&erased["erased"], &erased["found"]), (&json!(true), &json["found"]));
    assert_eq!(erased["remaining"], json["remaining"]);
    for arguments in [&["status"][..], &["collect"], &["collect", "--verify"]] {
        let ran = laptop.run(arguments).await?;
        assert_ne!(ran.code(), Some(2), "{}", ran.err());
        let after = all_rows(&database).await?;
        for trace in ["ana-canary", "ana-now", "canary title", &account] {
            assert!(!after.contains(trace), "{trace} after {arguments:?}: {after}");
        }
        assert!(after.contains("robot") && after.contains("`ben`") && after.contains("`[erased]`"), "{after}");
    }
    let status = laptop.run(&["status", "--json"]).await?.json()?;
    let counted = [0, 1].map(|index| status["repositories"][index]["pull_requests"].clone());
    assert_eq!(counted, [json!(0), json!(1)]);
    let again = laptop.run(&["erase", "ana-canary", "--yes"]).await?;
    assert!(again.code() == Some(2) && again.err().contains("nothing is stored about `ana-canary`"), "{}", again.err());
    Ok(())
}

#[tokio::test]
async fn erase_picks_one_of_several_accounts_by_number() -> Result<()> {
    let fake = github().await?;
    let (laptop, database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    let people = "with new as (insert into people select from generate_series(1, 3) returning id),
        numbered as (select id, row_number() over (order by id) as place from new)
        insert into accounts (person_id, instance_id, external_id, configured_login, login)
        select n.id, 1, f.external_id, f.configured_login, f.login
        from (values (1, '501', 'twice', 'first'), (2, '502', 'twice', 'twice'), (3, '503', 'other', 'other'))
            as f (place, external_id, configured_login, login)
        inner join numbered as n on f.place = n.place";
    sqlx::raw_sql(people).execute(&database.pool().await?).await?;
    let several = laptop.run(&["erase", "twice", "--yes"]).await?;
    assert_eq!(several.code(), Some(2), "{}", several.err());
    for part in ["first, account 501, also known as twice", "twice, account 502", "--account NUMBER"] {
        assert!(several.err().contains(part), "{part}: {}", several.err());
    }
    let another = laptop.run(&["erase", "twice", "--account", "503"]).await?;
    assert!(another.code() == Some(2) && another.err().contains("account 503 never had"), "{}", another.err());
    assert_eq!(laptop.run(&["erase", "twice", "--account", "501", "--yes"]).await?.code(), Some(0));
    let left: Vec<String> =
        sqlx::query_scalar("select external_id from accounts where external_id between '500' and '510' and length(external_id) = 3 order by 1")
            .fetch_all(&database.pool().await?)
            .await?;
    assert_eq!(left, ["502", "503"]);
    Ok(())
}

#[tokio::test]
async fn prune_dry_runs_then_deletes_old_pull_requests() -> Result<()> {
    let fake = github().await?;
    fake.put([
        pr("acme/api", 20).by("ana").created("2025-12-01T00:00:00Z").merged("2025-12-31T22:59:59Z"),
        pr("acme/api", 21).by("ana").created("2025-12-01T00:00:00Z").merged("2025-12-31T23:00:00Z"),
        pr("acme/web", 22).by("ana").created("2025-12-01T00:00:00Z"),
    ]);
    let (laptop, database) = laptop(&fake).await?;
    let file = "version: 1\ntimezone: Europe/Oslo\nrepositories: [acme/api, acme/web]\nteams: [{ slug: payments, members: [{ \
                github: ana }] }]\n";
    laptop.write("teams.yaml", file)?;
    assert_eq!(laptop.run(&["collect"]).await?.code(), Some(0));
    let before = all_rows(&database).await?;
    let dry = laptop.run(&["prune", "--before", "2026-01-01"]).await?;
    assert_eq!(dry.code(), Some(0), "{}", dry.err());
    insta::assert_snapshot!(masked(&dry.out()), @r"
    Merged or closed before … … CET:
    what where count
    pull requests acme/api 1
    shares of teams payments 1
    remaining acme/api 2
    acme/web 1
    Nothing is deleted yet. With --yes this is deleted permanently: it is not read
    again, even with a larger BACKFILL_DAYS, and nothing before … … CET
    counts as complete. 3 pull requests stay, including open ones.
    ");
    assert_eq!(all_rows(&database).await?, before, "a dry run changes nothing");
    let pruned = laptop.run(&["prune", "--before", "2026-01-01", "--yes", "--json"]).await?.json()?;
    assert_eq!((&pruned["pruned"], &pruned["kept_since"]), (&json!(true), &json!("2025-12-31T23:00:00Z")));
    assert_eq!(pruned["found"]["pull_requests"], json!([{ "name": "acme/api", "count": 1 }]));
    let again = laptop.run(&["prune", "--before", "2025-06-01"]).await?;
    assert!(again.out().contains("already kept only since 2026-01-01 00:00 CET"), "{}", again.out());
    fake.put([pr("acme/api", 20)
        .by("ana")
        .created("2025-12-01T00:00:00Z")
        .merged("2025-12-31T22:59:59Z")
        .titled("again")]);
    assert_eq!(laptop.run(&["collect", "--verify"]).await?.code(), Some(0));
    let numbers = "select number from pull_requests order by number";
    let numbers: Vec<i64> = sqlx::query_scalar(numbers).fetch_all(&database.pool().await?).await?;
    assert_eq!(numbers, [1, 21, 22]);
    let explained = laptop.run(&["explain", "acme/api#20", "--ask"]).await?;
    let said = explained.out().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("merged or closed before 2026-01-01 00:00 CET was pruned and is not stored"), "{said}");
    let status = laptop.run(&["status"]).await?.out();
    assert!(status.contains("Pull requests that were merged or closed before 2026-01-01"), "{status}");
    Ok(())
}

#[tokio::test]
async fn erase_and_prune_refuse_bad_input_with_help() -> Result<()> {
    let nothing = Laptop::new()?;
    for arguments in [&["erase", "ana"][..], &["prune", "--before", "2026-01-01"]] {
        let ran = nothing.run(arguments).await?;
        assert!(ran.code() == Some(2) && ran.err().contains("nothing was ever collected"), "{}", ran.err());
    }
    let fake = github().await?;
    let (laptop, database) = laptop(&fake).await?;
    laptop.run(&["collect"]).await?;
    for (arguments, said) in [
        (&["prune", "--before", "2999-01-01", "--yes"][..], "is in the future"),
        (&["prune", "--before", "01.02.2026"], "write YYYY-MM-DD, for example 2026-01-01"),
        (&["prune", "--before", "2026-02-30"], "is not a day"),
        (&["prune", "--yes"], "--before <DATE>"),
        (&["erase", "nobody-knows", "--yes"], "nothing is stored about `nobody-knows`"),
        (&["erase", "not a login"], "invalid value"),
    ] {
        let ran = laptop.run(arguments).await?;
        assert!(ran.code() == Some(2) && ran.err().contains(said), "{arguments:?}: {}", ran.err());
    }
    let last = "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)";
    sqlx::query(last).execute(&database.pool().await?).await?;
    for arguments in [&["erase", "ana", "--yes"][..], &["prune", "--before", "2026-01-01", "--yes"]] {
        let ran = laptop.run(arguments).await?;
        assert_eq!(ran.code(), Some(1), "{}", ran.err());
        assert!(ran.err().contains("1 migration missing") && ran.err().contains("mergeline migrate"), "{}", ran.err());
    }
    Ok(())
}
