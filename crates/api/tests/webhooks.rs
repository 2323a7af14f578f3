//! Deliveries of webhooks: which are accepted, what they lead to, and what is recorded.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use common::{Backend, NOW, send};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::Request;
use http_body_util::BodyExt;
use mergeline_api::{Api, NoticeQueue, Webhooks, router};
use mergeline_fake_github::{FakeWebhook, at};
use mergeline_webhooks::{ChangeNotice, WebhookSecrets};
use serde_json::{Value, json};
use tokio::sync::mpsc;

const SECRET: &str = "It's a Secret to Everybody";
const PREVIOUS: &str = "the secret before that one";
const GITHUB: &str = "/v1/webhook/github";

/// A channel that can be made to refuse.
#[derive(Debug)]
struct Channel {
    sender: mpsc::UnboundedSender<ChangeNotice>,
    is_full: AtomicBool,
}

impl NoticeQueue for Channel {
    fn push(&self, notice: ChangeNotice) -> BoxFuture<'_, Result<(), String>> {
        let sent = if self.is_full.load(Ordering::Relaxed) {
            Err("it is full".to_owned())
        } else {
            self.sender.send(notice).map_err(|error| error.to_string())
        };
        std::future::ready(sent).boxed()
    }
}

struct Receiver {
    backend: Backend,
    router: Router,
    queue: Arc<Channel>,
    notices: mpsc::UnboundedReceiver<ChangeNotice>,
}

/// The status, and the code of an error.
type Answered = (u16, String);

impl Receiver {
    async fn new() -> Result<Self> {
        Self::of(Backend::empty().await?)
    }

    fn of(backend: Backend) -> Result<Self> {
        let (sender, notices) = mpsc::unbounded_channel();
        let queue = Arc::new(Channel { sender, is_full: AtomicBool::new(false) });
        let secrets =
            json!({ "github": [SECRET, PREVIOUS], "pagerduty": SECRET, "grafana": SECRET, "generic": SECRET });
        let secrets = WebhookSecrets::from_vars(|_| Some(secrets.to_string()));
        let secrets = secrets.map_err(|problem| anyhow::anyhow!("{problem:?}"))?;
        let webhooks = Webhooks { secrets, queue: Some(queue.clone()) };
        let poster = Some(backend.database.poster()?);
        let api = Api { poster, webhooks, ..Api::new(backend.reader.clone(), Duration::from_secs(20), || at(NOW)) };
        Ok(Self { backend, router: router(api), queue, notices })
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answered> {
        let request = headers.iter().fold(Request::post(path), |request, (name, value)| request.header(*name, *value));
        let response = send(&self.router, request.body(Body::from(body.to_vec()))?).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        Ok((status, error["error"]["code"].as_str().unwrap_or_default().to_owned()))
    }

    /// A delivery of GitHub, signed with a secret.
    async fn github(&self, secret: &str, event: &str, id: &str, body: &str) -> Result<Answered> {
        let signature = format!("sha256={}", FakeWebhook::new("", secret).signature(body.as_bytes()));
        let headers = [
            ("content-type", "application/json"),
            ("x-github-event", event),
            ("x-github-delivery", id),
            ("x-hub-signature-256", &signature),
        ];
        self.post(GITHUB, &headers, body.as_bytes()).await
    }

    async fn pagerduty(&self, path: &str, body: &Value) -> Result<Answered> {
        let signature = format!("v1={}", FakeWebhook::new("", SECRET).signature(body.to_string().as_bytes()));
        let headers = [("content-type", "application/json"), ("x-pagerduty-signature", signature.as_str())];
        self.post(path, &headers, body.to_string().as_bytes()).await
    }

    async fn texts(&self, sql: &'static str) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar(sql).fetch_all(&self.backend.database.pool().await?).await?)
    }

    /// What was recorded, the first first.
    async fn recorded(&self) -> Result<Vec<String>> {
        self.texts(
            "select concat_ws(' ', plugin, delivery_id, kind, subject, outcome, reason) from received_events
            order by received_at, delivery_id, outcome, reason",
        )
        .await
    }
}

fn answered(status: u16, code: &str) -> Answered {
    (status, code.to_owned())
}

fn closed(repository: &str) -> String {
    json!({
        "action": "closed", "number": 7,
        "pull_request": { "number": 7, "user": null, "title": "a\u{0}b", "updated_at": "2026-06-17T11:59:00Z" },
        "repository": { "id": 4711, "full_name": repository },
    })
    .to_string()
}

#[tokio::test]
async fn a_delivery_leads_to_one_notice_however_often_it_comes() -> Result<()> {
    let mut receiver = Receiver::new().await?;
    let body = closed("Acme/Api");
    for _ in 0..3 {
        assert_eq!(receiver.github(SECRET, "pull_request", "d-1", &body).await?, answered(202, ""));
    }
    let notice = receiver.notices.try_recv()?;
    assert_eq!((notice.name.as_str(), notice.updated_at), ("acme/api", Some(at("2026-06-17T11:59:00Z"))));
    assert!(receiver.notices.try_recv().is_err(), "one notice");
    assert_eq!(receiver.recorded().await?, ["github d-1 repository pull_request.closed queued"]);
    let announced = "select to_char(last_at at time zone 'UTC', 'HH24:MI') from announcements";
    assert_eq!(receiver.texts(announced).await?, ["12:00"]);
    Ok(())
}

#[tokio::test]
async fn a_deployment_means_something_only_where_its_source_is_in_force() -> Result<()> {
    let mut receiver = Receiver::new().await?;
    let deployment = json!({
        "action": "created", "deployment": { "id": 1 }, "repository": { "id": 4711, "full_name": "acme/api" },
    });
    let run = json!({
        "action": "completed", "workflow_run": { "id": 2 }, "repository": { "id": 4711, "full_name": "acme/api" },
    });
    let (deployment, run) = (deployment.to_string(), run.to_string());
    assert_eq!(receiver.github(SECRET, "deployment", "d-1", &deployment).await?, answered(202, ""));
    assert_eq!(receiver.github(SECRET, "workflow_run", "d-2", &run).await?, answered(204, ""));
    let carried = receiver.notices.try_recv()?.carried.context("the deployment")?;
    assert_eq!((carried.event.as_str(), carried.body.as_str()), ("deployment", r#"{"deployment":{"id":1}}"#));
    sqlx::query("update services set source = 'github-actions', source_options = '{\"workflow\": \"deploy.yml\"}'")
        .execute(&receiver.backend.database.pool().await?)
        .await?;
    assert_eq!(receiver.github(SECRET, "deployment", "d-3", &deployment).await?, answered(204, ""));
    assert_eq!(receiver.github(SECRET, "workflow_run", "d-4", &run).await?, answered(202, ""));
    assert!(receiver.notices.try_recv().is_ok() && receiver.notices.try_recv().is_err(), "one more notice");
    Ok(())
}

#[tokio::test]
async fn a_deployment_of_another_repository_of_the_same_name_is_not_taken() -> Result<()> {
    let receiver = Receiver::new().await?;
    sqlx::query("update repositories set external_id = '1' where name = 'acme/api'")
        .execute(&receiver.backend.database.pool().await?)
        .await?;
    let of = |id: i64| {
        let repository = json!({ "id": id, "full_name": "acme/api" });
        json!({ "action": "created", "deployment": { "id": 1 }, "repository": repository }).to_string()
    };
    assert_eq!(receiver.github(SECRET, "deployment", "d-1", &of(999)).await?, answered(204, ""));
    assert_eq!(receiver.github(SECRET, "deployment", "d-2", &of(1)).await?, answered(202, ""));
    // What is read notices that by itself.
    assert_eq!(receiver.github(SECRET, "pull_request", "d-3", &closed("acme/api")).await?, answered(202, ""));
    Ok(())
}

#[tokio::test]
async fn a_delivery_that_the_queue_refused_is_taken_when_it_comes_again() -> Result<()> {
    let mut receiver = Receiver::new().await?;
    let body = closed("acme/api");
    receiver.queue.is_full.store(true, Ordering::Relaxed);
    assert_eq!(receiver.github(SECRET, "pull_request", "d-1", &body).await?, answered(503, "unavailable"));
    assert_eq!(receiver.recorded().await?, Vec::<String>::new());
    receiver.queue.is_full.store(false, Ordering::Relaxed);
    assert_eq!(receiver.github(SECRET, "pull_request", "d-1", &body).await?, answered(202, ""));
    receiver.notices.try_recv().context("a notice")?;
    Ok(())
}

#[tokio::test]
async fn only_what_is_signed_with_a_live_secret_is_read() -> Result<()> {
    let receiver = Receiver::new().await?;
    let body = closed("acme/api");
    assert_eq!(receiver.github(PREVIOUS, "pull_request", "d-1", &body).await?, answered(202, ""), "being exchanged");
    let refused = answered(401, "unauthorized");
    assert_eq!(receiver.github("a secret of someone else", "pull_request", "d-2", &body).await?, refused);
    let signature = format!("sha256={}", FakeWebhook::new("", SECRET).signature(body.as_bytes()));
    let json = ("content-type", "application/json");
    let event = ("x-github-event", "pull_request");
    let of_another_body = [json, event, ("x-hub-signature-256", signature.as_str())];
    assert_eq!(receiver.post(GITHUB, &of_another_body, format!("{body} ").as_bytes()).await?, refused);
    assert_eq!(receiver.post(GITHUB, &[json, event], body.as_bytes()).await?, refused, "no signature");
    let sha1 = [json, event, ("x-hub-signature", "sha1=2fd4e1c67a2d28fced849ee1bb76e7391b93eb12")];
    assert_eq!(receiver.post(GITHUB, &sha1, body.as_bytes()).await?, refused);
    // No secret is configured for it.
    assert_eq!(receiver.post("/v1/webhook/incident-io", &[json], b"{}").await?, refused);
    assert_eq!(receiver.post("/v1/webhook/nobody", &[json], b"{}").await?, answered(404, "not_found"));
    assert_eq!(receiver.recorded().await?.len(), 1, "refused signatures leave no row");
    Ok(())
}

#[tokio::test]
async fn what_means_nothing_or_cannot_be_used_says_so() -> Result<()> {
    let mut receiver = Receiver::new().await?;
    let nothing = answered(204, "");
    assert_eq!(receiver.github(SECRET, "ping", "d-1", "{\"zen\": \"Design for failure.\"}").await?, nothing);
    assert_eq!(receiver.github(SECRET, "star", "d-2", &closed("acme/api")).await?, nothing);
    assert_eq!(receiver.github(SECRET, "pull_request", "d-3", &closed("acme/other")).await?, nothing);
    let invalid = answered(400, "validation_error");
    assert_eq!(receiver.github(SECRET, "pull_request", "d-4", "{").await?, invalid);
    let form = "payload=%7B%7D";
    let signature = format!("sha256={}", FakeWebhook::new("", SECRET).signature(form.as_bytes()));
    let headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("x-github-event", "pull_request"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    let answer = receiver.post(GITHUB, &headers, form.as_bytes()).await?;
    assert_eq!(answer, answered(415, "unsupported_media_type"));
    let large = vec![b' '; 6 * 1024 * 1024 + 1];
    assert_eq!(receiver.post(GITHUB, &headers, &large).await?, answered(413, "too_large"));
    assert!(receiver.notices.try_recv().is_err(), "nothing is read");
    // Sent again after its repository was added.
    sqlx::query("update repositories set name = 'acme/other' where name = 'acme/api'")
        .execute(&receiver.backend.database.pool().await?)
        .await?;
    assert_eq!(receiver.github(SECRET, "pull_request", "d-3", &closed("acme/other")).await?, answered(202, ""));
    receiver.notices.try_recv().context("a notice")?;
    let expected = [
        "github d-1 other ping ignored",
        "github d-2 other star.closed ignored",
        "github d-3 other pull_request.closed ignored",
        "github d-4 other refused body",
        "github other refused content_type",
    ];
    assert_eq!(receiver.recorded().await?, expected);
    Ok(())
}

/// An event of `PagerDuty` about an incident that started at ten.
fn paged(kind: &str, occurred_at: &str) -> Value {
    let data = json!({
        "id": "PGR0VU2", "title": "Checkout is down", "urgency": "high", "created_at": "2026-06-16T10:00:00Z",
        "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2", "service": { "id": "PF9KMXH" },
    });
    let id = format!("{kind}{occurred_at}");
    json!({ "event": { "id": id, "event_type": kind, "occurred_at": occurred_at, "data": data } })
}

#[tokio::test]
async fn events_of_an_incident_lead_to_the_same_state_in_any_order() -> Result<()> {
    let events = [
        paged("incident.triggered", "2026-06-16T10:00:00Z"),
        paged("incident.resolved", "2026-06-16T11:00:00Z"),
        paged("incident.reopened", "2026-06-16T12:00:00Z"),
        paged("incident.resolved", "2026-06-16T13:00:00Z"),
    ];
    let path = "/v1/webhook/pagerduty?service=acme.api";
    let state = "select concat_ws(' ', i.source, i.external_id, i.source_severity, i.title,
            to_char(f.started_at at time zone 'UTC', 'HH24:MI'), to_char(f.resolved_at at time zone 'UTC', 'HH24:MI'))
        from incidents as i left join incident_facts as f on i.id = f.incident_id";
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3], [1, 3, 0, 2]] {
        let receiver = Receiver::new().await?;
        for (place, event) in order.iter().enumerate() {
            assert_eq!(receiver.pagerduty(path, &events[*event]).await?, answered(202, ""), "{order:?}: {place}");
            // Twice: a sender may repeat it.
            assert_eq!(receiver.pagerduty(path, &events[*event]).await?, answered(202, ""));
        }
        assert_eq!(receiver.texts(state).await?, ["pagerduty PGR0VU2 high Checkout is down 10:00 13:00"], "{order:?}");
        assert_eq!(receiver.backend.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
    }
    Ok(())
}

#[tokio::test]
async fn an_incident_needs_a_service_that_exists() -> Result<()> {
    let receiver = Receiver::new().await?;
    let event = paged("incident.triggered", "2026-06-16T10:00:00Z");
    let missing = receiver.pagerduty("/v1/webhook/pagerduty", &event).await?;
    assert_eq!(missing, answered(400, "validation_error"));
    let unknown = receiver.pagerduty("/v1/webhook/pagerduty?service=shop", &event).await?;
    assert_eq!(unknown, answered(404, "not_found"));
    let odd = receiver.pagerduty("/v1/webhook/pagerduty?service=%00", &event).await?;
    assert_eq!(odd, answered(400, "validation_error"));
    assert_eq!(receiver.texts("select title from incidents").await?, Vec::<String>::new());
    assert_eq!(receiver.recorded().await?.iter().filter(|it| it.contains("refused")).count(), 2);
    Ok(())
}

#[tokio::test]
async fn an_incident_keeps_its_service_when_the_address_changes() -> Result<()> {
    let receiver = Receiver::new().await?;
    let triggered = paged("incident.triggered", "2026-06-16T10:00:00Z");
    receiver.pagerduty("/v1/webhook/pagerduty?service=acme.api", &triggered).await?;
    let services = "select coalesce(s.slug, r.display_name) || ' ' || coalesce(to_char(f.resolved_at at time zone 'UTC', 'HH24:MI'), '-')
        from incidents as i
        inner join services as s on i.service_id = s.id
        left join repositories as r on s.repository_id = r.id
        left join incident_facts as f on i.id = f.incident_id";
    assert_eq!(receiver.texts(services).await?, ["acme/api -"]);
    let resolved = paged("incident.resolved", "2026-06-16T11:00:00Z");
    let answer = receiver.pagerduty("/v1/webhook/pagerduty?service=acme.web", &resolved).await?;
    assert_eq!(answer, answered(202, ""));
    assert_eq!(receiver.texts(services).await?, ["acme/api 11:00"]);
    Ok(())
}

#[tokio::test]
async fn one_alert_without_a_service_does_not_hold_up_the_others() -> Result<()> {
    let receiver = Receiver::new().await?;
    let alert = |service: &str| {
        json!({
            "status": "firing", "fingerprint": service, "startsAt": "2026-06-16T10:00:00Z",
            "labels": { "alertname": "Errors", "incident": "true", "service": service },
        })
    };
    let body = json!({ "status": "firing", "alerts": [alert("typo"), alert("acme.api")] }).to_string();
    let signature = FakeWebhook::new("", SECRET).signature(body.as_bytes());
    let headers = [("content-type", "application/json"), ("x-grafana-alerting-signature", signature.as_str())];
    let answer = receiver.post("/v1/webhook/grafana", &headers, body.as_bytes()).await?;
    assert_eq!(answer, answered(404, "not_found"));
    let stored = receiver.texts("select external_id from incidents").await?;
    assert_eq!(stored, ["acme.api@1781604000"]);
    Ok(())
}

/// An incident that began at nine was merged into another one, which began at ten and is of another service.
#[tokio::test]
async fn an_incident_starts_with_the_first_one_that_was_merged_into_it_in_any_order() -> Result<()> {
    let of = |id: &str, started_at: &str, mut event: Value| {
        event["event"]["data"]["id"] = json!(id);
        event["event"]["data"]["created_at"] = json!(started_at);
        event
    };
    let first = |event: Value| of("P1", "2026-06-16T09:00:00Z", event);
    let other = |event: Value| of("P2", "2026-06-16T10:00:00Z", event);
    let mut merged = first(paged("incident.resolved", "2026-06-16T10:30:00Z"));
    merged["event"]["data"]["resolve_reason"] =
        json!({ "type": "merge_resolve_reason", "incident": { "id": "P2", "type": "incident_reference" } });
    let (api, web) = ("/v1/webhook/pagerduty?service=acme.api", "/v1/webhook/pagerduty?service=acme.web");
    let events = [
        (api, first(paged("incident.triggered", "2026-06-16T09:00:00Z"))),
        (web, other(paged("incident.triggered", "2026-06-16T10:00:00Z"))),
        (api, merged),
        (web, other(paged("incident.resolved", "2026-06-16T11:00:00Z"))),
    ];
    let counted = "select concat_ws(' ', i.external_id, to_char(f.started_at at time zone 'UTC', 'HH24:MI'),
            to_char(f.resolved_at at time zone 'UTC', 'HH24:MI'))
        from incidents as i inner join incident_facts as f on i.id = f.incident_id order by 1";
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
        let teams = common::TEAMS.replace("[acme/api]", "[acme/api, acme/web]");
        let receiver = Receiver::of(Backend::with_teams(&teams).await?)?;
        for event in order {
            let (path, body) = &events[event];
            assert_eq!(receiver.pagerduty(path, body).await?, answered(202, ""), "{order:?}");
        }
        assert_eq!(receiver.texts(counted).await?, ["P2 09:00 11:00"], "{order:?}");
        assert_eq!(receiver.backend.store.derive_all(false).await?.rows, 0, "a full recompute agrees");
        let list = send(&receiver.router, Request::get("/v1/incidents?days=30").body(Body::empty())?).await?;
        let list = common::body(list).await?;
        let shown = |id: &str| {
            let found = list["data"].as_array().into_iter().flatten().find(|it| it["external_id"] == id).cloned();
            found.unwrap_or_default()
        };
        assert_eq!(shown("P1")["outcome"], "merged", "{list:#}");
        assert_eq!(shown("P1")["merged_into"], shown("P2")["id"], "{list:#}");
        // The same delivery again, and one that names no incident, which may be of any kind.
        let (path, body) = &events[2];
        receiver.pagerduty(path, body).await?;
        let mut odd = events[2].1.clone();
        odd["event"]["data"]["resolve_reason"]["incident"]["id"] = json!("\u{0}");
        odd["event"]["occurred_at"] = json!("2026-06-16T10:20:00Z");
        assert_eq!(receiver.pagerduty(path, &odd).await?, answered(202, ""), "an earlier merge changes nothing");
        assert_eq!(receiver.texts(counted).await?, ["P2 09:00 11:00"], "{order:?}");
        // It is open again: both count, each from its own start.
        let reopened = first(paged("incident.reopened", "2026-06-16T12:00:00Z"));
        assert_eq!(receiver.pagerduty(api, &reopened).await?, answered(202, ""));
        assert_eq!(receiver.texts(counted).await?, ["P1 09:00", "P2 10:00 11:00"], "{order:?}");
    }
    Ok(())
}

#[tokio::test]
async fn merged_and_repeated_alerts_count_as_they_should() -> Result<()> {
    let receiver = Receiver::new().await?;
    let mut merged = paged("incident.resolved", "2026-06-16T11:00:00Z");
    merged["event"]["data"]["resolve_reason"] = json!({ "type": "merge_resolve_reason" });
    receiver.pagerduty("/v1/webhook/pagerduty?service=acme.api", &merged).await?;
    let alert = |starts_at: &str| {
        json!({
            "status": "firing",
            "alerts": [{
                "status": "firing", "fingerprint": "c6eadffa33fcdf37", "startsAt": starts_at,
                "labels": { "alertname": "Errors", "incident": "true", "service": "acme.api" },
            }],
        })
        .to_string()
    };
    for starts_at in ["2026-06-16T10:00:00Z", "2026-06-16T10:00:00Z", "2026-06-16T14:00:00Z"] {
        let body = alert(starts_at);
        let signature = FakeWebhook::new("", SECRET).signature(body.as_bytes());
        let headers = [("content-type", "application/json"), ("x-grafana-alerting-signature", signature.as_str())];
        let answer = receiver.post("/v1/webhook/grafana", &headers, body.as_bytes()).await?;
        assert_eq!(answer, answered(202, ""));
    }
    let counted = "select i.source || ' ' || i.external_id from incidents as i
        inner join incident_facts as f on i.id = f.incident_id order by 1";
    let expected = ["grafana c6eadffa33fcdf37@1781604000", "grafana c6eadffa33fcdf37@1781618400"];
    assert_eq!(receiver.texts(counted).await?, expected, "the merged one does not count");
    Ok(())
}

#[tokio::test]
async fn plugins_say_what_is_used_and_when_it_was_last_heard_from() -> Result<()> {
    let receiver = Receiver::new().await?;
    receiver.github(SECRET, "pull_request", "d-1", &closed("acme/api")).await?;
    receiver.github(SECRET, "ping", "d-2", "{}").await?;
    receiver.github(SECRET, "pull_request", "d-3", "{").await?;
    let get = async |path: &str| -> Result<Value> {
        let response = send(&receiver.router, Request::get(path).body(Body::empty())?).await?;
        assert_eq!(response.status(), 200, "{path}");
        common::body(response).await
    };
    let list = get("/v1/plugins").await?;
    let names: Vec<String> = list["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|plugin| plugin["enabled"] == true)
        .map(|plugin| format!("{} {}", plugin["kind"], plugin["name"]).replace('"', ""))
        .collect();
    let expected =
        ["source github-deployments", "webhook github", "webhook pagerduty", "webhook grafana", "webhook generic"];
    assert_eq!(names, expected);
    let health = get("/v1/plugins/github/health").await?;
    let counts = ["received", "ignored", "refused", "missed_changes"].map(|name| health["data"][name].clone());
    assert_eq!(counts, [json!(3), json!(1), json!(1), json!(0)]);
    assert_eq!(health["data"]["last_event_at"], json!("2026-06-17T12:00:00Z"));
    let missing = send(&receiver.router, Request::get("/v1/plugins/nobody/health").body(Body::empty())?).await?;
    assert_eq!(missing.status(), 404);
    Ok(())
}
