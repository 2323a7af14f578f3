//! The same example, reported by a program instead of read from GitHub: its deployments and incidents are posted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use mergeline_api::{Api, ApiKeys, NewKey, Scope, router};
use mergeline_fake_github::example::{TEAMS, put};
use mergeline_fake_github::{FakeGitHub, at};
use mergeline_test_support::TestDatabase;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{NOW, WEEK, World, assert_worked, collected};

/// What posts about one service as one program.
pub(super) struct Posting {
    pub(super) world: World,
    pub(super) fake: FakeGitHub,
    keys: Vec<(&'static str, String)>,
}

const SOURCE: &str = "deployments: { source: events }\n";

fn teams_file(more: &str) -> String {
    format!("version: 1\nrepositories: [acme/shop, acme/web]\n{more}teams: [{TEAMS}]\n")
}

/// The commit with this number in the example.
fn sha(number: u64) -> String {
    format!("{number:040x}")
}

impl Posting {
    async fn new(more: &str) -> Result<Self> {
        let fake = FakeGitHub::start().await?;
        fake.require_token("ghp_canary");
        put(&fake, "acme/shop");
        Self::of(fake, &teams_file(more)).await
    }

    pub(super) async fn of(fake: FakeGitHub, teams: &str) -> Result<Self> {
        let database = TestDatabase::create().await?;
        collected(&fake, &database, teams).await?;
        let (mut entries, mut keys) = (Vec::new(), Vec::new());
        for (number, (name, scope, service)) in (1..).zip([
            ("ci", Scope::EventsWrite, Some("acme.shop")),
            ("other", Scope::EventsWrite, None),
            ("reader", Scope::PrsRead, None),
            ("boss", Scope::Admin, None),
        ]) {
            let made = NewKey::from_random([number; 32], name.parse()?, [scope], []);
            let services = service.map(str::parse).transpose()?;
            let source = if name == "other" { Some("other".parse()?) } else { None };
            let made = made.for_posting(services, source);
            entries.push(serde_json::to_value(&made.entry)?);
            keys.push((name, made.key));
        }
        let api = Api {
            poster: Some(database.poster()?),
            keys: Some(ApiKeys::parse(&Value::from(entries).to_string())?),
            ..Api::new(database.reader()?, Duration::from_secs(20), || at(NOW))
        };
        Ok(Self { world: World { database, router: router(api) }, fake, keys })
    }

    /// Sends a body as the owner of a key. Returns the status and the answer.
    pub(super) async fn send(&self, key: &str, path: &str, media_type: &str, body: String) -> Result<(u16, Value)> {
        self.send_as("POST", key, path, media_type, body).await
    }

    async fn send_as(
        &self,
        method: &str,
        key: &str,
        path: &str,
        media_type: &str,
        body: String,
    ) -> Result<(u16, Value)> {
        let key = self.keys.iter().find(|(name, _)| *name == key).map(|(_, key)| key.as_str()).context("a key")?;
        let request = Request::builder().method(method).uri(format!("/v1{path}")).header("x-api-key", key);
        let request = request.header("content-type", media_type).body(Body::from(body))?;
        let response = self.world.router.clone().oneshot(request).await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?))
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.send("ci", path, "application/json", body.to_string()).await
    }

    /// The status and the code of an error, or the result of an event.
    async fn outcome(&self, path: &str, body: &Value) -> Result<(u16, String)> {
        let (status, answer) = self.post(path, body).await?;
        let text = answer["data"]["result"].as_str().or(answer["error"]["code"].as_str());
        Ok((status, text.unwrap_or_default().to_owned()))
    }

    async fn text(&self, sql: &'static str) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(sql).fetch_all(&self.world.database.pool().await?).await?)
    }
}

fn deployment(id: &str, commit: u64, status: &str, at: &str) -> Value {
    json!({
        "id": id, "service": "shop", "environment": "production", "status": status, "sha": sha(commit), "finished_at": at
    })
}

/// The deployments of the example, by number: commit, status and time.
const DEPLOYED: [(u64, &str, &str); 8] = [
    (10, "success", "2026-05-30T09:00:00Z"),
    (22, "success", "2026-06-01T10:00:00Z"),
    (30, "failure", "2026-06-02T10:00:00Z"),
    (30, "success", "2026-06-02T11:00:00Z"),
    (42, "success", "2026-06-03T10:00:00Z"),
    (30, "success", "2026-06-03T13:00:00Z"),
    (60, "success", "2026-06-04T10:00:00Z"),
    (60, "success", "2026-06-05T10:00:00Z"),
];

const INCIDENTS: [(&str, &str, Option<&str>); 4] = [
    ("I1", "2026-06-03T12:00:00Z", Some("2026-06-03T13:00:00Z")),
    ("I2", "2026-06-03T12:30:00Z", Some("2026-06-03T15:30:00Z")),
    ("I3", "2026-06-07T09:00:00Z", None),
    ("I4", "2026-05-29T08:00:00Z", Some("2026-05-29T10:00:00Z")),
];

#[tokio::test]
async fn posted_deployments_and_incidents_give_the_same_numbers() -> Result<()> {
    // Late and early ones lead to the same rows, also when their commits are stored before.
    for order in [[0, 1, 2, 3, 4, 5, 6, 7], [7, 6, 5, 4, 3, 2, 1, 0], [7, 0, 1, 2, 3, 4, 5, 6]] {
        let posting = Posting::new(SOURCE).await?;
        for (place, number) in order.into_iter().enumerate() {
            let (commit, status, at) = DEPLOYED[number];
            if order[0] == 7 && place == 1 {
                collected(&posting.fake, &posting.world.database, &teams_file(SOURCE)).await?;
            }
            let outcome =
                posting.outcome("/deployments", &deployment(&format!("ci-{number}"), commit, status, at)).await?;
            assert_eq!(outcome, (201, "created".to_owned()), "{number}");
        }
        for (id, started_at, resolved_at) in INCIDENTS {
            let incident = json!({
                "id": id, "service": "acme/shop", "title": id, "started_at": started_at, "resolved_at": resolved_at
            });
            assert_eq!(posting.outcome("/incidents", &incident).await?.0, 201, "{id}");
        }
        // The commits are read by the next collection.
        collected(&posting.fake, &posting.world.database, &teams_file(SOURCE)).await?;
        let open = Api::new(posting.world.database.reader()?, Duration::from_secs(20), || at(NOW));
        let world = World { database: posting.world.database, router: router(open) };
        assert_worked(&world).await?;
        let sql = "select distinct source from deployments";
        let sources: Vec<String> = sqlx::query_scalar(sql).fetch_all(&world.database.pool().await?).await?;
        assert_eq!(sources, ["events"], "GitHub's list is not read");
        let differences = world.database.store()?.derive_all(false).await?;
        assert_eq!(differences.rows, 0, "derived again, nothing differs");
        let list = world.get(&format!("/v1/incidents?{WEEK}")).await?;
        assert_eq!(list["data"][0]["rule"], json!("window"));
    }
    Ok(())
}

#[tokio::test]
async fn the_same_id_is_the_same_deployment() -> Result<()> {
    let posting = Posting::new(SOURCE).await?;
    let started = json!({
        "id": "7", "service": "acme.shop", "environment": "production", "status": "in_progress",
        "started_at": "2026-06-01T09:00:00Z"
    });
    assert_eq!(posting.outcome("/deployments", &started).await?, (201, "created".to_owned()));
    let done = deployment("7", 22, "success", "2026-06-01T10:00:00Z");
    assert_eq!(posting.outcome("/deployments", &done).await?, (200, "changed".to_owned()));
    assert_eq!(posting.outcome("/deployments", &done).await?, (200, "replayed".to_owned()));
    let later = deployment("7", 22, "success", "2026-06-01T11:00:00Z");
    assert_eq!(posting.outcome("/deployments", &later).await?, (200, "replayed".to_owned()), "the first success stays");
    let failed = deployment("7", 22, "failure", "2026-06-01T12:00:00Z");
    assert_eq!(posting.outcome("/deployments", &failed).await?, (200, "changed".to_owned()), "a health check");
    let (_, coverage) = posting.send_as("GET", "reader", "/coverage", "application/json", String::new()).await?;
    let source = &coverage["meta"]["sources"][0];
    assert_eq!((&source["source"], &source["last_event_at"]), (&json!("events"), &json!("2026-06-01T12:00:00Z")));
    for (field, value) in [("sha", json!(sha(30))), ("environment", json!("live")), ("service", json!("acme.web"))] {
        let mut other = done.clone();
        other[field] = value;
        let (status, answer) = posting.send("other", "/deployments", "application/json", other.to_string()).await?;
        assert_eq!((status, &answer["data"]["result"]), (201, &json!("created")), "{field}: another program");
        let mut again = other.clone();
        again[field] = done[field].clone();
        let (status, answer) = posting.send("other", "/deployments", "application/json", again.to_string()).await?;
        assert_eq!((status, &answer["error"]["code"]), (409, &json!("conflict")), "{field}");
        let gone = "delete from deployment_states as s using deployments as d where s.deployment_id = d.id and d.sender = 'other';
            delete from deployment_facts; delete from deployment_shares; delete from deployment_failures; delete from pr_deliveries;
            delete from deployment_revisions as r using deployments as d where r.deployment_id = d.id and d.sender = 'other';
            delete from deployments where sender = 'other'";
        sqlx::raw_sql(gone).execute(&posting.world.database.pool().await?).await?;
    }
    let rows = posting.text(
        "select concat_ws(' ', outcome, succeeded_at at time zone 'utc', failed_afterwards_at at time zone 'utc') from deployments
        where sender is null and source = 'events'",
    );
    assert_eq!(rows.await?, ["succeeded 2026-06-01 10:00:00 2026-06-01 12:00:00"]);
    Ok(())
}

#[tokio::test]
async fn a_later_post_adds_what_an_earlier_one_left_out() -> Result<()> {
    let posting = Posting::new(SOURCE).await?;
    posting.post("/deployments", &deployment("0", 10, "success", "2026-05-30T09:00:00Z")).await?;
    for (status, at, outcome) in [
        ("failure", "2026-06-01T10:00:00Z", "created"),
        ("success", "2026-06-01T10:05:00Z", "changed"),
        ("failure", "2026-06-01T10:10:00Z", "changed"),
        ("failure", "2026-06-01T10:10:00Z", "replayed"),
        ("failure", "2026-06-01T10:15:00Z", "replayed"),
        ("success", "2026-06-01T10:20:00Z", "replayed"),
    ] {
        let answer = posting.outcome("/deployments", &deployment("1", 22, status, at)).await?;
        assert_eq!(answer.1, outcome, "{status} at {at}");
    }
    let mut later = deployment("2", 30, "in_progress", "2026-06-02T10:00:00Z");
    later.as_object_mut().context("an object")?.remove("finished_at");
    posting.post("/deployments", &later).await?;
    later = deployment("2", 30, "success", "2026-06-02T10:00:00Z");
    for (field, value) in [
        ("failed", json!(true)),
        ("rework", json!(true)),
        ("remedies", json!("1")),
        ("version", json!("v2")),
        ("url", json!("https://ci.example.com/2")),
    ] {
        later[field] = value;
        assert_eq!(posting.outcome("/deployments", &later).await?, (200, "changed".to_owned()), "{field}");
        assert_eq!(posting.outcome("/deployments", &later).await?, (200, "replayed".to_owned()), "{field}");
    }
    let judged = posting.text(
        "select concat_ws(' ', d.external_id, array(
            select x.reason from deployment_failures as x where x.deployment_id = d.id order by 1
        ), d.version, d.url, r.external_id)
        from deployments as d
        left join deployment_facts as f on d.id = f.deployment_id
        left join deployments as r on f.remedied_by_id = r.id
        order by d.external_id",
    );
    assert_eq!(judged.await?, ["0 {}", "1 {failed_afterwards} 2", "2 {declared} v2 https://ci.example.com/2"]);
    let incident = json!({ "id": "I", "service": "shop", "title": "T", "started_at": "2026-06-02T12:00:00Z" });
    assert_eq!(posting.post("/incidents", &incident).await?.1["data"]["rule"], json!("window"));
    let mut with_cause = incident.clone();
    with_cause["deployment"] = json!("1");
    assert_eq!(posting.post("/incidents", &with_cause).await?.1["data"]["rule"], json!("named"));
    assert_eq!(posting.outcome("/incidents", &with_cause).await?, (200, "replayed".to_owned()));
    assert_eq!(posting.world.database.store()?.derive_all(false).await?.rows, 0);
    Ok(())
}

#[tokio::test]
async fn a_later_post_says_which_of_its_values_do_not_count() -> Result<()> {
    let posting = Posting::new(SOURCE).await?;
    let warnings = async |path: &str, body: &Value| -> Result<Vec<String>> {
        let (_, answer) = posting.post(path, body).await?;
        let warnings = answer["meta"]["warnings"].as_array().with_context(|| answer.to_string())?;
        Ok(warnings.iter().filter_map(|it| it.as_str()).map(str::to_owned).collect())
    };
    let mut first = deployment("1", 22, "success", "2026-06-01T10:00:00Z");
    first["version"] = json!("v1");
    assert_eq!(warnings("/deployments", &first).await?, [""; 0]);
    assert_eq!(warnings("/deployments", &first).await?, [""; 0], "a repetition says nothing else");
    let mut without_time = first.clone();
    without_time.as_object_mut().context("an object")?.remove("finished_at");
    assert_eq!(warnings("/deployments", &without_time).await?, [""; 0]);
    let mut later = deployment("1", 22, "success", "2026-06-01T11:00:00Z");
    (later["version"], later["url"]) = (json!("v2"), json!("https://ci.example.com/1"));
    let kept = "kept: version, finished_at was said before with another value, which stays";
    assert_eq!(warnings("/deployments", &later).await?, [kept], "the address is new");
    let batch = posting.send("ci", "/deployments/batch", "application/x-ndjson", later.to_string()).await?.1;
    assert_eq!(batch["data"][0]["message"], json!(kept));
    let incident = json!({ "id": "I", "service": "shop", "title": "Down", "severity": "annoying" });
    let unknown = warnings("/incidents", &incident).await?;
    assert!(unknown.len() == 1 && unknown[0].starts_with("unknown_severity: "), "{unknown:?}");
    let other = json!({
        "id": "I", "service": "shop", "title": "Up", "severity": "P1", "started_at": "2026-06-01T10:00:00Z", "deployment": "1"
    });
    // A severity that is understood replaces one that is not.
    let kept = "kept: title, started_at was said before with another value, which stays";
    assert_eq!(warnings("/incidents", &other).await?.first().map(String::as_str), Some(kept));
    let severities = posting.text("select severity || ' ' || source_severity from incidents").await?;
    assert_eq!(severities, ["high P1"]);
    Ok(())
}

/// Where the events of a deployment come in any order, it began with the earliest of them.
#[tokio::test]
async fn a_deployment_began_with_its_earliest_event() -> Result<()> {
    let posting = Posting::new(SOURCE).await?;
    posting.post("/deployments", &deployment("1", 22, "success", "2026-06-01T10:00:00Z")).await?;
    let created = "select to_char(created_at at time zone 'UTC', 'HH24:MI') from deployments";
    assert_eq!(posting.text(created).await?, ["10:00"]);
    let started = json!({
        "id": "1", "service": "acme.shop", "environment": "production", "status": "in_progress",
        "started_at": "2026-06-01T09:30:00Z"
    });
    assert_eq!(posting.outcome("/deployments", &started).await?, (200, "changed".to_owned()));
    assert_eq!(posting.text(created).await?, ["09:30"]);
    Ok(())
}

#[tokio::test]
async fn services_of_one_repository_are_posted_at_once() -> Result<()> {
    const SERVICES: &str = "deployments: { source: events }
services:
  - { slug: eu, repositories: [acme/shop], environments: [prod-eu] }
  - { slug: us, repositories: [acme/shop], environments: [prod-us] }
";
    let posting = Posting::new(SERVICES).await?;
    let all_of = async |service: &str, hours: i64| {
        for (number, (commit, status, finished_at)) in DEPLOYED.into_iter().enumerate() {
            let finished_at = at(finished_at) + chrono::TimeDelta::hours(hours);
            let body = json!({
                "id": format!("{service}-{number}"), "service": service, "environment": format!("prod-{service}"), "status": status,
                "sha": sha(commit), "finished_at": finished_at.to_rfc3339()
            });
            let (status, answer) = posting.send("other", "/deployments", "application/json", body.to_string()).await?;
            ensure!(status == 201, "{answer}");
        }
        anyhow::Ok(())
    };
    // Once so that the commits are read, then again from the beginning.
    all_of("eu", 0).await?;
    collected(&posting.fake, &posting.world.database, &teams_file(SERVICES)).await?;
    let pool = posting.world.database.pool().await?;
    sqlx::raw_sql("delete from deployment_facts; delete from deployment_shares; delete from deployment_failures; delete from pr_deliveries;
        delete from deployment_attempts; delete from deployment_states; delete from deployment_revisions; delete from deployments")
        .execute(&pool)
        .await?;
    posting.world.database.store()?.derive_all(true).await?;
    // The first transaction waits for a row of its pull requests until the second one waits, too.
    let mut blocking = pool.begin().await?;
    sqlx::query("select id from pull_requests for no key update").fetch_all(&mut *blocking).await?;
    let waiting = async |least: i64| {
        let sql =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await? < least {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    let release = async {
        waiting(2).await?;
        blocking.rollback().await?;
        anyhow::Ok(())
    };
    let second = async {
        waiting(1).await?;
        all_of("eu", 1).await
    };
    let (us, eu, released) = tokio::join!(all_of("us", 0), second, release);
    us.and(eu).and(released)?;
    let differences = posting.world.database.store()?.derive_all(false).await?;
    assert_eq!(differences.rows, 0, "the first delivery of each pull request is that of the first service");
    let first = posting.text(
        "select concat_ws(' ', p.number, p.delivered_at = us.delivered_at, eu.delivered_at - us.delivered_at)
        from pull_requests as p
        inner join pr_deliveries as eu on p.id = eu.pull_request_id
        inner join services as e on eu.service_id = e.id and e.slug = 'eu'
        inner join pr_deliveries as us on p.id = us.pull_request_id
        inner join services as u on us.service_id = u.id and u.slug = 'us'
        where p.delivered_at is not null
        order by p.number",
    );
    let first = first.await?;
    ensure!(first.len() == 5 && first.iter().all(|row| row.ends_with(" t 01:00:00")), "{first:?}");
    Ok(())
}

#[tokio::test]
async fn posts_follow_their_service_to_another_name() -> Result<()> {
    let named = |slug: &str| format!("{SOURCE}services: [{{ slug: {slug}, repositories: [acme/shop] }}]\n");
    let posting = Posting::new("").await?;
    let apply = async |more: &str| {
        let file = mergeline_domain::teams_file::TeamsFile::parse("teams.yaml", teams_file(more).as_bytes())?;
        posting.world.database.store()?.apply(&file, mergeline_store::ApplyOptions::default(), at(NOW)).await?;
        anyhow::Ok(())
    };
    apply(&named("checkout")).await?;
    for (number, (commit, status, at)) in DEPLOYED.into_iter().enumerate() {
        let body = json!({
            "id": number.to_string(), "service": "acme/shop", "environment": "production", "status": status, "sha": sha(commit),
            "finished_at": at
        });
        let (status, answer) = posting.send("other", "/deployments", "application/json", body.to_string()).await?;
        ensure!(status == 201, "{answer}");
    }
    let incident = json!({ "id": "I", "service": "acme/shop", "title": "T", "started_at": "2026-06-03T12:00:00Z" });
    let (status, answer) = posting.send("other", "/incidents", "application/json", incident.to_string()).await?;
    ensure!(status == 201, "{answer}");
    let owners = async || {
        posting
            .text(
                "select concat_ws(' ', coalesce(s.slug, 'implied'), count(*), (select count(*) from incident_facts as i where i.service_id = s.id))
                from deployment_facts as f inner join services as s on f.service_id = s.id
                inner join deployments as d on f.deployment_id = d.id and d.source = 'events'
                group by s.id, s.slug",
            )
            .await
    };
    assert_eq!(owners().await?, ["checkout 8 1"]);
    apply(&named("basket")).await?;
    assert_eq!(owners().await?, ["basket 8 1"], "renamed");
    apply(SOURCE).await?;
    assert_eq!(owners().await?, ["implied 8 1"], "removed");
    apply(&named("checkout")).await?;
    assert_eq!(owners().await?, ["checkout 8 1"], "restored");
    let path = "/incidents/I/resolve";
    assert_eq!(posting.send("other", path, "application/json", "{}".to_owned()).await?.0, 200);
    assert_eq!(posting.world.database.store()?.derive_all(false).await?.rows, 0);
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_recorded() -> Result<()> {
    let posting = Posting::new("").await?;
    let good = deployment("1", 22, "success", "2026-06-01T10:00:00Z");
    let with = |field: &str, value: Value| {
        let mut event = good.clone();
        event[field] = value;
        event
    };
    // GitHub reported deployments of this service first, and no line of the teams file decides otherwise.
    assert_eq!(posting.outcome("/deployments", &good).await?, (409, "other_source".to_owned()));
    assert_eq!(
        posting.outcome("/deployments", &with("service", json!("acme.web"))).await?,
        (404, "not_found".to_owned()),
        "the key is for acme.shop"
    );
    assert_eq!(
        posting.outcome("/deployments", &with("service", json!("nothing"))).await?,
        (404, "not_found".to_owned())
    );
    let staging = with("environment", json!("staging"));
    let (status, answer) = posting.post("/deployments", &staging).await?;
    assert_eq!((status, &answer["data"]["production"]), (201, &json!(false)));
    ensure!(
        answer["meta"]["warnings"][0].as_str().is_some_and(|text| text.starts_with("not_production: ")),
        "{answer}"
    );
    for (field, value) in [
        ("sha", json!("abc")),
        ("status", json!("done")),
        ("finished_at", json!("2026-06-15T12:06:00Z")),
        ("repository", json!("acme/web")),
        ("nonsense", json!(1)),
    ] {
        let mut event = staging.clone();
        event["id"] = json!("2");
        event[field] = value;
        let (status, answer) = posting.post("/deployments", &event).await?;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("validation_error")), "{field}: {answer}");
        let parameter = if field == "nonsense" { "body" } else { field };
        assert_eq!(answer["error"]["details"][0]["parameter"], json!(parameter), "{answer}");
        let reason = if field == "finished_at" { "future_timestamp" } else { "invalid" };
        assert_eq!(answer["error"]["details"][0]["reason"], json!(reason), "{answer}");
    }
    let (status, answer) = posting.send("ci", "/deployments", "text/plain", good.to_string()).await?;
    assert_eq!((status, &answer["error"]["code"]), (415, &json!("unsupported_media_type")));
    let large = with("version", json!("x".repeat(65 * 1024))).to_string();
    assert_eq!(posting.send("ci", "/deployments", "application/json", large).await?.0, 413);
    let lines = "{}\n".repeat(201);
    assert_eq!(posting.send("ci", "/deployments/batch", "application/x-ndjson", lines).await?.0, 400, "too many lines");
    assert_eq!(posting.send("reader", "/deployments", "application/json", good.to_string()).await?.0, 403);
    let get = Request::get("/v1/deployments").header("x-api-key", posting.keys[0].1.as_str()).body(Body::empty())?;
    let response = posting.world.router.clone().oneshot(get).await?;
    assert_eq!(response.status(), 403, "a key that posts reads nothing");
    let recorded = posting.text(
        "select concat_ws(' ', key_name, kind, subject, outcome, reason, count(*)) from received_events
        group by key_name, kind, subject, outcome, reason order by 1",
    );
    let expected = [
        "ci deployment 1 created 1",
        "ci deployment 1 refused other_source 1",
        "ci deployment 1 refused unknown_service 2",
        "ci deployment 2 refused unknown_repository 1",
        "ci deployment 2 refused validation_error 3",
        "ci deployment refused too_large 1",
        "ci deployment refused unsupported_media_type 1",
        "ci deployment refused validation_error 2",
        "reader deployment refused insufficient_scope 1",
    ];
    assert_eq!(recorded.await?, expected, "bodies are not kept");
    assert_eq!(posting.text("select count(*)::text from deployments where source = 'events'").await?, ["1"]);
    Ok(())
}

#[tokio::test]
async fn a20_bodies_that_are_not_events_are_refused() -> Result<()> {
    let posting = Posting::new(SOURCE).await?;
    let deep = format!("{{\"id\":{}1{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let utf16: String = "{\"id\":\"1\"}".chars().flat_map(|c| [c, '\0']).collect();
    for body in [
        "",
        "{",
        "[]",
        "null",
        r#"{"id":"1","id":"2","service":"shop","environment":"production"}"#,
        r#"{"id":1e999,"service":"shop","environment":"production"}"#,
        r#"{"id":"1","service":"shop"}"#,
        r#"["1","shop","production",null,null,null,null,null,null,null,null,null,null,null]"#,
        &deep,
        &utf16,
    ] {
        let (status, answer) = posting.send("ci", "/deployments", "application/json", body.to_owned()).await?;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("validation_error")), "{body:.80}");
    }
    assert_eq!(posting.text("select count(*)::text from deployments where source = 'events'").await?, ["0"]);
    Ok(())
}

#[tokio::test]
async fn an_incident_is_resolved_and_reopened_by_its_id() -> Result<()> {
    let posting = Posting::new(SOURCE).await?;
    let deployed = deployment("d1", 22, "success", "2026-06-01T10:00:00Z");
    posting.post("/deployments", &deployed).await?;
    let incident = json!({
        "id": "INC-1", "service": "shop", "title": "Checkout fails", "severity": "SEV1", "started_at": "2026-06-01T11:00:00Z"
    });
    let (status, answer) = posting.post("/incidents", &incident).await?;
    assert_eq!((status, &answer["data"]["rule"]), (201, &json!("window")), "{answer}");
    assert_eq!(posting.outcome("/incidents", &incident).await?, (200, "replayed".to_owned()));
    let resolve = |at: &str| json!({ "resolved_at": at });
    let path = "/incidents/INC-1/resolve";
    assert_eq!(posting.outcome(path, &resolve("2026-06-01T10:30:00Z")).await?, (400, "validation_error".to_owned()));
    assert_eq!(posting.outcome(path, &resolve("2026-06-01T12:00:00Z")).await?, (200, "changed".to_owned()));
    assert_eq!(posting.outcome(path, &resolve("2026-06-01T13:00:00Z")).await?, (200, "replayed".to_owned()));
    let reopened =
        posting.outcome("/incidents/INC-1/reopen", &json!({ "reopened_at": "2026-06-01T14:00:00Z" })).await?;
    assert_eq!(reopened, (200, "changed".to_owned()));
    let mut again = incident.clone();
    again["resolved_at"] = json!("2026-06-01T12:00:00Z");
    assert_eq!(posting.outcome("/incidents", &again).await?, (200, "replayed".to_owned()), "a late repetition");
    let (status, _) = posting.send("ci", path, "", String::new()).await?;
    assert_eq!(status, 200, "without a body, now");
    let same = json!({ "reopened_at": "2026-06-15T12:00:00Z" });
    let (status, answer) = posting.post("/incidents/INC-1/reopen", &same).await?;
    assert_eq!(
        (status, &answer["error"]["details"][0]["parameter"]),
        (400, &json!("reopened_at")),
        "at the same instant"
    );
    assert_eq!(posting.outcome("/incidents/%00/resolve", &json!({})).await?, (404, "not_found".to_owned()));
    assert_eq!(posting.outcome("/incidents/INC-2/resolve", &json!({})).await?, (404, "not_found".to_owned()));
    let named = json!({ "id": "INC-3", "service": "shop", "title": "T", "deployment": "d1", "started_at": "2026-06-10T00:00:00Z" });
    assert_eq!(posting.post("/incidents", &named).await?.1["data"]["rule"], json!("named"));
    let unknown = json!({ "id": "INC-4", "service": "shop", "title": "T", "deployment": "d9" });
    assert_eq!(posting.outcome("/incidents", &unknown).await?, (400, "validation_error".to_owned()));
    let facts = posting.text(
        "select concat_ws(' ', i.external_id, i.severity, f.started_at at time zone 'utc', f.resolved_at at time zone 'utc', f.rule)
        from incident_facts as f inner join incidents as i on f.incident_id = i.id order by 1",
    );
    let expected = ["INC-1 critical 2026-06-01 11:00:00 2026-06-15 12:00:00 window", "INC-3 2026-06-10 00:00:00 named"];
    assert_eq!(facts.await?, expected);
    Ok(())
}

#[tokio::test]
async fn each_line_of_a_batch_has_a_result_of_its_own() -> Result<()> {
    let posting = Posting::new(SOURCE).await?;
    let path = "/deployments/batch";
    let first = deployment("b1", 10, "success", "2026-05-30T09:00:00Z").to_string();
    let second = deployment("b2", 22, "success", "2026-06-01T10:00:00Z");
    let mut elsewhere = second.clone();
    elsewhere["environment"] = json!("live");
    let mut odd = second.clone();
    odd["status"] = json!("done");
    let lines = [
        first.clone(),
        String::new(),
        second.to_string(),
        elsewhere.to_string(),
        "{".to_owned(),
        odd.to_string(),
        first,
    ];
    let (status, answer) = posting.send("ci", path, "application/x-ndjson", lines.join("\n")).await?;
    assert_eq!(status, 200, "{answer}");
    let results: Vec<String> = answer["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|line| format!("{} {} {}", line["line"], line["result"], line["code"]).replace('"', ""))
        .collect();
    let expected = [
        "1 created null",
        "3 created null",
        "4 refused conflict",
        "5 refused validation_error",
        "6 refused validation_error",
        "7 replayed null",
    ];
    assert_eq!(results, expected);
    assert!(answer["data"][4]["message"].as_str().is_some_and(|text| text.starts_with("status: ")), "{answer}");
    assert_eq!((&answer["meta"]["stored"], &answer["meta"]["not_stored"]), (&json!(3), &json!(3)));
    for (media_type, body, status, code) in [
        ("application/json", "{}".to_owned(), 415, "unsupported_media_type"),
        ("application/x-ndjson", String::new(), 400, "validation_error"),
        ("application/x-ndjson", "{}\n".repeat(201), 400, "validation_error"),
        ("application/x-ndjson", " ".repeat(1_048_577), 413, "too_large"),
    ] {
        let (found, answer) = posting.send("ci", path, media_type, body).await?;
        assert_eq!((found, &answer["error"]["code"]), (status, &json!(code)));
    }
    assert_eq!(posting.send("reader", path, "application/x-ndjson", "{}".to_owned()).await?.0, 403);
    assert_eq!(posting.world.database.store()?.derive_all(false).await?.rows, 0);
    Ok(())
}

#[tokio::test]
async fn a_person_says_which_deployment_caused_an_incident_and_which_incident_was_none() -> Result<()> {
    let posting = Posting::new(SOURCE).await?;
    for (number, (commit, status, at)) in DEPLOYED.into_iter().enumerate() {
        posting.post("/deployments", &deployment(&format!("ci-{number}"), commit, status, at)).await?;
    }
    for (id, started_at, resolved_at) in INCIDENTS {
        let incident = json!({ "id": id, "service": "acme/shop", "title": id, "started_at": started_at, "resolved_at": resolved_at });
        posting.post("/incidents", &incident).await?;
    }
    collected(&posting.fake, &posting.world.database, &teams_file(SOURCE)).await?;
    let failed = async || {
        posting
            .text(
                "select d.external_id || ' ' || f.reason from deployment_failures as f
                inner join deployments as d on f.deployment_id = d.id where f.reason = 'incident' order by 1",
            )
            .await
    };
    let number = async |id: &str| -> Result<i64> {
        let sql = "select id from deployments where external_id = $1";
        Ok(sqlx::query_scalar(sql).bind(id).fetch_one(&posting.world.database.pool().await?).await?)
    };
    assert_eq!(failed().await?, ["ci-4 incident"]);
    let put = async |key: &str, incident: &str, deployment: Value| {
        let body = json!({ "deployment": deployment }).to_string();
        posting.send_as("PUT", key, &format!("/incidents/{incident}/deployment"), "application/json", body).await
    };
    let (status, answer) = put("boss", "I3", json!(number("ci-7").await?)).await?;
    assert_eq!((status, &answer["data"]["rule"]), (200, &json!("set")), "{answer}");
    assert_eq!(failed().await?, ["ci-4 incident", "ci-7 incident"]);
    let (_, answer) = put("boss", "I3", Value::Null).await?;
    assert_eq!((&answer["data"]["result"], &answer["data"]["rule"]), (&json!("changed"), &Value::Null));
    assert_eq!(failed().await?, ["ci-4 incident"]);
    // By its number here, where its source's id is not at hand.
    let by_number = posting.text("select id::text from incidents where external_id = 'I3'").await?.remove(0);
    let (status, answer) = put("boss", &by_number, json!(number("ci-7").await?)).await?;
    assert_eq!((status, &answer["data"]["rule"]), (200, &json!("set")), "{answer}");
    put("boss", &by_number, Value::Null).await?;
    // A failed attempt reached nobody, and a key that posts may not judge.
    for (key, incident, deployment, status) in [
        ("boss", "I3", json!(number("ci-2").await?), 400),
        ("boss", "I3", json!(999_999), 400),
        ("boss", "I3", json!("ci-7"), 400),
        ("boss", "I9", json!(1), 404),
        ("ci", "I3", json!(1), 403),
    ] {
        assert_eq!(put(key, incident, deployment).await?.0, status);
    }
    for incident in ["I1", "I2"] {
        let path = format!("/incidents/{incident}/dismiss");
        assert_eq!(posting.outcome(&path, &json!({})).await?, (200, "changed".to_owned()));
        assert_eq!(posting.outcome(&path, &json!({})).await?, (200, "replayed".to_owned()));
    }
    assert_eq!(failed().await?, Vec::<String>::new());
    let reopened = posting.outcome("/incidents/I1/reopen", &json!({ "reopened_at": "2026-06-15T12:01:00Z" })).await?;
    assert_eq!(reopened, (200, "changed".to_owned()));
    assert_eq!(failed().await?, ["ci-4 incident"], "it is open again");
    assert_eq!(posting.world.database.store()?.derive_all(false).await?.rows, 0);
    // What came is listed page by page, also what was refused.
    let get = async |path: &str| posting.send_as("GET", "boss", path, "", String::new()).await;
    let (status, refused) = get("/events?outcome=refused").await?;
    assert_eq!(status, 200, "{refused}");
    let reasons: Vec<&str> =
        refused["data"].as_array().into_iter().flatten().filter_map(|event| event["reason"].as_str()).collect();
    assert_eq!(reasons.len(), 5, "{refused}");
    let (mut path, mut listed) = ("/events?limit=5".to_owned(), 0);
    loop {
        let (_, page) = get(&path).await?;
        listed += page["data"].as_array().map_or(0, Vec::len);
        let Some(cursor) = page["meta"]["next_cursor"].as_str() else { break };
        path = format!("/events?limit=5&cursor={cursor}");
    }
    let all = posting.text("select count(*)::text from received_events").await?;
    assert_eq!(all, [listed.to_string()]);
    assert_eq!(posting.send_as("GET", "ci", "/events", "", String::new()).await?.0, 403);
    Ok(())
}

#[tokio::test]
async fn of_two_at_one_instant_the_one_with_the_later_id_is_in_force() -> Result<()> {
    // As numbers, part by part; other ids come after them.
    for (first, second) in [("9/10", "10/2"), ("1234", "abc"), ("99", "100")] {
        let posting = Posting::new(SOURCE).await?;
        let mut posted = Vec::new();
        for (id, commit) in [(second, 11), (first, 12)] {
            let mut event = deployment(id, commit, "success", "2026-06-01T10:00:00Z");
            event["environment"] = json!("staging");
            let (status, answer) = posting.post("/deployments", &event).await?;
            assert_eq!(status, 201, "{answer}");
            posted.push(answer["data"]["id"].clone());
        }
        let path = "/state?environment=staging";
        let (_, state) = posting.send_as("GET", "boss", path, "", String::new()).await?;
        assert_eq!(state["data"][0]["in_force"][0]["deployment_id"], posted[0], "{second} after {first}");
    }
    Ok(())
}
