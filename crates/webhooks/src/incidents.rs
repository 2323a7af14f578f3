//! Events of tools for incidents.
//!
//! What is not documented by a primary source is read leniently: a field that is missing means that it is not known.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use mergeline_domain::delivery::{IncidentChange, IncidentEvent};
use mergeline_domain::{is_line, one_line};
use serde::Deserialize;
use serde_json::Value;

use crate::{Delivery, IncidentMessage, Meaning, Message, Unusable};

/// The longest id of an incident.
const MAX_ID: usize = 200;

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// A text as one line that is not too long; `None` if nothing is left.
fn line(text: Option<String>) -> Option<String> {
    const LONGEST: usize = 200;
    let line = one_line(&text?, LONGEST);
    (!line.is_empty()).then_some(line)
}

/// The address of a page, if it is one that can be kept.
fn address(text: Option<String>) -> Option<String> {
    const LONGEST: usize = 500;
    text.filter(|it| {
        (it.starts_with("https://") || it.starts_with("http://"))
            && it.chars().count() <= LONGEST
            && !it.chars().any(|c| c.is_control() || c.is_whitespace())
    })
}

#[derive(Deserialize)]
struct PagerDutyBody {
    event: PagerDutyEvent,
}

#[derive(Deserialize)]
struct PagerDutyEvent {
    id: String,
    event_type: String,
    occurred_at: DateTime<Utc>,
    data: Value,
}

#[derive(Deserialize)]
struct PagerDutyIncident {
    id: String,
    #[serde(default)]
    title: Option<String>,
    created_at: DateTime<Utc>,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    urgency: Option<String>,
    #[serde(default)]
    priority: Option<Named>,
    #[serde(default)]
    resolve_reason: Option<Value>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    summary: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

/// PagerDuty, webhooks of version 3. An incident that was merged into another one is resolved, with the reason `merge_resolve_reason`
/// and the other one. Source: PagerDuty, "Webhooks v3", and the schema of `ResolveReason`.
pub(super) fn pagerduty(delivery: &Delivery<'_>) -> Result<Message, Unusable> {
    let PagerDutyBody { event } = delivery.parse()?;
    let PagerDutyEvent { id, event_type: kind, occurred_at, data } = event;
    let step = match kind.as_str() {
        "incident.triggered" | "incident.acknowledged" | "incident.priority_updated" => None,
        "incident.reopened" => Some(IncidentChange::Reopened(occurred_at)),
        "incident.resolved" => Some(IncidentChange::Resolved(occurred_at)),
        _ => return Ok(Message { id: Some(id), kind, meaning: Meaning::Nothing }),
    };
    let incident: PagerDutyIncident = serde_json::from_value(data).map_err(Unusable::unreadable)?;
    let reason = incident.resolve_reason.unwrap_or_default();
    let is_merged = reason["type"].as_str().is_some_and(|kind| kind.starts_with("merge"));
    let change = match step {
        // With any reason, it is over.
        Some(IncidentChange::Resolved(at)) if is_merged => {
            let into = reason["incident"]["id"].as_str().filter(|id| is_line(id, MAX_ID)).map(str::to_owned);
            Some(IncidentChange::Merged { at, into })
        }
        step => step,
    };
    let severity = incident.priority.and_then(|priority| priority.summary.or(priority.name)).or(incident.urgency);
    let event = IncidentEvent {
        id: incident.id.clone(),
        title: line(incident.title).unwrap_or_else(|| format!("Incident {}", incident.id)),
        severity: line(severity),
        started_at: Some(instant(incident.created_at)),
        url: address(incident.html_url),
        ..IncidentEvent::default()
    };
    let incidents = vec![IncidentMessage { incident: event, change }];
    Ok(Message { id: Some(id), kind, meaning: Meaning::Incidents(incidents) })
}

#[derive(Deserialize)]
struct IncidentIoBody {
    event_type: String,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct IncidentIoIncident {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    permalink: Option<String>,
    created_at: DateTime<Utc>,
    #[serde(default)]
    updated_at: Option<DateTime<Utc>>,
    #[serde(default)]
    severity: Option<Named>,
    #[serde(default)]
    incident_status: Option<StatusItem>,
    #[serde(default)]
    incident_timestamp_values: Vec<TimestampItem>,
}

#[derive(Deserialize)]
struct StatusItem {
    category: String,
}

#[derive(Deserialize)]
struct TimestampItem {
    incident_timestamp: Named,
    #[serde(default)]
    value: Option<TimestampValue>,
}

#[derive(Deserialize)]
struct TimestampValue {
    value: Option<DateTime<Utc>>,
}

impl IncidentIoIncident {
    /// The time that people set for a step of the incident.
    fn time_of(&self, step: &str) -> Option<DateTime<Utc>> {
        let is_of_step = |it: &&TimestampItem| {
            it.incident_timestamp.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(step))
        };
        self.incident_timestamp_values.iter().find(is_of_step)?.value.as_ref()?.value
    }
}

/// incident.io. A private incident has only an id, and means nothing here.
pub(super) fn incident_io(delivery: &Delivery<'_>) -> Result<Message, Unusable> {
    let IncidentIoBody { event_type: kind, mut rest } = delivery.parse()?;
    let id = delivery.header("webhook-id").map(str::to_owned);
    let about = ["incident_created", "incident_updated", "incident_status_updated"];
    let is_public =
        kind.strip_prefix("public_incident.").is_some_and(|it| about.iter().any(|name| it.starts_with(name)));
    let Some(data) = rest.remove(&kind).filter(|_| is_public) else {
        return Ok(Message { id, kind, meaning: Meaning::Nothing });
    };
    // A change of state has the incident below a name of its own.
    let data = data.get("incident").cloned().unwrap_or(data);
    let incident: IncidentIoIncident = serde_json::from_value(data).map_err(Unusable::unreadable)?;
    let changed_at = incident.updated_at.unwrap_or(delivery.received_at);
    let change = match incident.incident_status.as_ref().map(|status| status.category.as_str()) {
        Some("learning" | "closed") => {
            let resolved_at = incident.time_of("Resolved at").or_else(|| incident.time_of("Closed at"));
            Some(IncidentChange::SeenResolved { at: resolved_at, seen_at: changed_at })
        }
        Some("declined" | "canceled") => Some(IncidentChange::Dismissed(changed_at)),
        // Into which one, it does not say.
        Some("merged") => Some(IncidentChange::Merged { at: changed_at, into: None }),
        Some("live" | "triage" | "paused") => Some(IncidentChange::SeenOpen(changed_at)),
        _ => None,
    };
    let started_at = incident.time_of("Impact started at").or_else(|| incident.time_of("Reported at"));
    let event = IncidentEvent {
        id: incident.id.clone(),
        title: line(incident.name).unwrap_or_else(|| format!("Incident {}", incident.id)),
        severity: line(incident.severity.and_then(|severity| severity.name.or(severity.summary))),
        started_at: Some(instant(started_at.unwrap_or(incident.created_at))),
        url: address(incident.permalink),
        ..IncidentEvent::default()
    };
    let incidents = vec![IncidentMessage { incident: event, change }];
    Ok(Message { id, kind, meaning: Meaning::Incidents(incidents) })
}

#[derive(Deserialize)]
struct GrafanaBody {
    status: String,
    #[serde(default)]
    alerts: Vec<GrafanaAlert>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrafanaAlert {
    status: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: DateTime<Utc>,
    #[serde(default)]
    ends_at: Option<DateTime<Utc>>,
    fingerprint: String,
    #[serde(rename = "generatorURL", default)]
    generator_url: Option<String>,
}

/// Grafana Alerting. Alerts are many, and few are incidents: those with the label `incident` and the value `true`.
pub(super) fn grafana(delivery: &Delivery<'_>) -> Result<Message, Unusable> {
    let body: GrafanaBody = delivery.parse()?;
    let alerts = body.alerts.into_iter().filter(|alert| alert.labels.get("incident").is_some_and(|it| it == "true"));
    let incidents = alerts.map(|alert| {
        let title = alert.annotations.get("summary").or_else(|| alert.labels.get("alertname")).cloned();
        let event = IncidentEvent {
            // The same alert fires again later: that is another incident.
            id: format!("{}@{}", alert.fingerprint, alert.starts_at.timestamp()),
            service: alert.labels.get("service").cloned().unwrap_or_default(),
            title: line(title).unwrap_or_else(|| "An alert".to_owned()),
            severity: line(alert.labels.get("severity").cloned()),
            started_at: Some(instant(alert.starts_at)),
            url: address(alert.generator_url),
            ..IncidentEvent::default()
        };
        let ended_at = alert.ends_at.filter(|at| *at >= alert.starts_at).unwrap_or(delivery.received_at);
        let change = (alert.status == "resolved").then_some(IncidentChange::Resolved(ended_at));
        IncidentMessage { incident: event, change }
    });
    let incidents: Vec<IncidentMessage> = incidents.collect();
    let meaning = if incidents.is_empty() { Meaning::Nothing } else { Meaning::Incidents(incidents) };
    Ok(Message { id: None, kind: format!("alerts.{}", body.status), meaning })
}

/// The body of `POST /v1/incidents`, where the service may be left to the address.
pub(super) fn generic(delivery: &Delivery<'_>) -> Result<Message, Unusable> {
    let mut body: serde_json::Map<String, Value> = delivery.parse()?;
    body.entry("service").or_insert_with(|| Value::String(String::new()));
    let incident: IncidentEvent = serde_json::from_value(Value::Object(body)).map_err(Unusable::unreadable)?;
    let incidents = vec![IncidentMessage { incident, change: None }];
    Ok(Message { id: None, kind: "incident".to_owned(), meaning: Meaning::Incidents(incidents) })
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Plugin;

    fn read(plugin: Plugin, body: &[u8]) -> Result<Message, Unusable> {
        let pairs = [("content-type", "application/json; charset=utf-8"), ("webhook-id", "msg_1")];
        let headers: HeaderMap = pairs
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .into_iter()
            .collect();
        let received_at = "2026-06-01T12:00:00Z".parse().unwrap_or_default();
        Delivery { plugin, headers: &headers, body, received_at }.read()
    }

    fn incidents(plugin: Plugin, body: &Value) -> Vec<IncidentMessage> {
        match read(plugin, body.to_string().as_bytes()).map(|message| message.meaning) {
            Ok(Meaning::Incidents(incidents)) => incidents,
            Ok(_) => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn paged(kind: &str, more: &Value) -> Value {
        let mut data = json!({
            "id": "PGR0VU2", "type": "incident", "number": 2, "title": "Checkout is down", "urgency": "high",
            "created_at": "2026-06-01T10:00:00Z", "html_url": "https://acme.pagerduty.com/incidents/PGR0VU2",
            "service": { "id": "PF9KMXH", "summary": "Checkout" }, "priority": null,
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            data[name] = value.clone();
        }
        json!({ "event": { "id": "5ac64822", "event_type": kind, "occurred_at": "2026-06-01T11:00:00Z", "data": data } })
    }

    #[test]
    fn pagerduty_tells_the_steps_of_an_incident() {
        let of = |kind: &str, more: Value| {
            let read = incidents(Plugin::PagerDuty, &paged(kind, &more));
            read.into_iter().map(|it| (it.incident.severity, it.incident.started_at, it.change)).next()
        };
        let high = Some("high".to_owned());
        let started = Some("2026-06-01T10:00:00Z".to_owned());
        let occurred = at("2026-06-01T11:00:00Z");
        assert_eq!(of("incident.triggered", json!({})), Some((high.clone(), started.clone(), None)));
        let resolved = Some(IncidentChange::Resolved(occurred));
        assert_eq!(of("incident.resolved", json!({})), Some((high.clone(), started.clone(), resolved)));
        let reopened = Some(IncidentChange::Reopened(occurred));
        assert_eq!(of("incident.reopened", json!({})), Some((high.clone(), started.clone(), reopened)));
        let merged = |into: Value| json!({ "resolve_reason": { "type": "merge_resolve_reason", "incident": into } });
        let change = |into: Option<&str>| Some(IncidentChange::Merged { at: occurred, into: into.map(str::to_owned) });
        let into = json!({ "id": "PT4KHLK", "type": "incident_reference" });
        let cases = [
            (into, change(Some("PT4KHLK"))),
            (Value::Null, change(None)),
            (json!({ "id": "" }), change(None)),
            (json!({ "id": "a\u{0}" }), change(None)),
            (json!({ "id": "x".repeat(201) }), change(None)),
            (json!({ "id": 7 }), change(None)),
            (json!("PT4KHLK"), change(None)),
        ];
        for odd in [json!("merge"), json!({ "type": null }), json!([7])] {
            let read = of("incident.resolved", json!({ "resolve_reason": odd })).and_then(|(.., change)| change);
            assert_eq!(read, Some(IncidentChange::Resolved(occurred)), "{odd}");
        }
        for (into, expected) in cases {
            let expected = Some((high.clone(), started.clone(), expected));
            assert_eq!(of("incident.resolved", merged(into)), expected);
        }
        let priority = json!({ "priority": { "summary": "P1" } });
        assert_eq!(of("incident.priority_updated", priority), Some((Some("P1".to_owned()), started, None)));
        assert_eq!(of("incident.annotated", json!({})), None);
        // A ping of a new subscription has another kind of data.
        assert_eq!(of("pagey.ping", json!({ "id": null })), None);
    }

    #[test]
    fn incident_io_tells_state_and_times() {
        let of = |category: &str| {
            let kind = "public_incident.incident_status_updated_v2";
            let incident = json!({
                "id": "01FDAG4SAP5TYPT98WGR2N7W91", "name": "Checkout is down", "created_at": "2026-06-01T10:00:00Z",
                "updated_at": "2026-06-01T11:30:00Z", "severity": { "name": "Major" },
                "incident_status": { "category": category },
                "incident_timestamp_values": [
                    { "incident_timestamp": { "name": "Reported at" }, "value": { "value": "2026-06-01T09:55:00Z" } },
                    { "incident_timestamp": { "name": "Resolved at" }, "value": { "value": "2026-06-01T11:00:00Z" } },
                    { "incident_timestamp": { "name": "Accepted at" }, "value": null },
                ],
            });
            let body = json!({ "event_type": kind, kind: { "new_status": {}, "incident": incident } });
            incidents(Plugin::IncidentIo, &body).into_iter().next()
        };
        let closed = of("closed").expect("an incident");
        assert_eq!(closed.incident.started_at.as_deref(), Some("2026-06-01T09:55:00Z"));
        assert_eq!(closed.incident.severity.as_deref(), Some("Major"));
        let updated = at("2026-06-01T11:30:00Z");
        let resolved = IncidentChange::SeenResolved { at: Some(at("2026-06-01T11:00:00Z")), seen_at: updated };
        assert_eq!(closed.change, Some(resolved));
        assert_eq!(of("declined").and_then(|it| it.change), Some(IncidentChange::Dismissed(updated)));
        assert_eq!(of("live").and_then(|it| it.change), Some(IncidentChange::SeenOpen(updated)));
        let private = json!({ "event_type": "private_incident.incident_created_v2", "private_incident.incident_created_v2": { "id": "1" } });
        assert_eq!(incidents(Plugin::IncidentIo, &private), Vec::new());
    }

    #[test]
    fn texts_are_cut_to_what_can_be_kept() {
        let more = json!({ "title": format!(" Checkout\r\nis {}", "down ".repeat(100)), "html_url": "x".repeat(501) });
        let read = incidents(Plugin::PagerDuty, &paged("incident.triggered", &more));
        assert!(read[0].incident.title.starts_with("Checkout  is down down"), "{:?}", read[0].incident.title);
        assert_eq!(read[0].incident.url, None);
        let incident = IncidentEvent { service: "shop".to_owned(), ..read[0].incident.clone() };
        assert!(incident.check(at("2026-06-01T12:00:00Z")).is_ok());
        let empty = json!({ "title": "\n", "urgency": " " });
        let read = incidents(Plugin::PagerDuty, &paged("incident.triggered", &empty));
        assert_eq!((read[0].incident.title.as_str(), read[0].incident.severity.as_deref()), ("Incident PGR0VU2", None));
    }

    #[test]
    fn a_generic_incident_may_leave_the_service_to_the_address() {
        let read = incidents(Plugin::Generic, &json!({ "id": "G-1", "title": "Down" }));
        assert_eq!(read[0].incident.service, "");
    }

    #[test]
    fn only_labeled_alerts_are_incidents() {
        let alert = |label: &str, status: &str, ends_at: &str| {
            json!({
                "status": status, "fingerprint": "c6eadffa33fcdf37", "startsAt": "2026-06-01T10:00:00Z", "endsAt": ends_at,
                "labels": { "alertname": "High errors", "incident": label, "severity": "critical", "service": "shop" },
                "annotations": { "summary": "Checkout is down" },
            })
        };
        let firing = alert("true", "firing", "0001-01-01T00:00:00Z");
        let body = json!({ "status": "firing", "alerts": [firing, alert("false", "firing", "0001-01-01T00:00:00Z")] });
        let read = incidents(Plugin::Grafana, &body);
        let [one] = &read[..] else { panic!("{read:?}") };
        assert_eq!((one.incident.id.as_str(), one.incident.service.as_str()), ("c6eadffa33fcdf37@1780308000", "shop"));
        assert_eq!(one.change, None);
        let body = json!({ "status": "resolved", "alerts": [alert("true", "resolved", "2026-06-01T10:30:00Z")] });
        let read = incidents(Plugin::Grafana, &body);
        assert_eq!(read[0].change, Some(IncidentChange::Resolved(at("2026-06-01T10:30:00Z"))));
        assert_eq!(read[0].incident.id, "c6eadffa33fcdf37@1780308000");
    }

    #[test]
    fn another_content_type_than_json_is_refused() {
        let headers = HeaderMap::from_iter([(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        )]);
        let delivery = Delivery {
            plugin: Plugin::GitHub,
            headers: &headers,
            body: b"payload=%7B%7D",
            received_at: at("2026-06-01T12:00:00Z"),
        };
        assert_eq!(delivery.read(), Err(Unusable::ContentType));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in any::<Vec<u8>>(), kind in "[a-z._]{0,30}", number in any::<i64>()) {
            let odd = json!({ "event_type": kind, "event": { "id": kind, "event_type": kind, "occurred_at": number, "data": number } });
            for plugin in Plugin::ALL {
                let _ = read(*plugin, &body);
                let _ = read(*plugin, odd.to_string().as_bytes());
            }
        }
    }
}
