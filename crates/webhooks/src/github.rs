//! Events of GitHub. Each says which repository changed. A deployment, its states and a run that has ended never change, so they
//! are taken from the delivery; everything else is read from GitHub.
//!
//! Two events of one second differ in their state, but not in `updated_at`, and they may come in any order: a pull request that
//! is read again is never older than what is stored. Source: GitHub, "Webhook events and payloads".

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Carried, ChangedRepository, Delivery, Meaning, Message, Unusable};

/// No text of these objects that matters is longer.
const LONGEST: usize = 1_000;

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(default)]
    action: Option<String>,
    /// Missing in events of organizations and Apps.
    #[serde(default)]
    repository: Option<RepositoryItem>,
    #[serde(default)]
    pull_request: Option<PullRequestItem>,
    #[serde(borrow, default)]
    deployment: Option<&'a RawValue>,
    #[serde(borrow, default)]
    deployment_status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    workflow_run: Option<&'a RawValue>,
}

/// An object's own fields, in the form in which they came.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

#[derive(Serialize)]
struct Objects<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment_status: Option<Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow_run: Option<Fields<'a>>,
}

#[derive(Deserialize)]
struct RepositoryItem {
    id: i64,
    full_name: String,
}

#[derive(Deserialize)]
struct PullRequestItem {
    #[serde(default)]
    updated_at: Option<DateTime<Utc>>,
}

/// Reads an event. One that is not known, or that changes nothing that is stored, means nothing: GitHub adds them without notice.
pub(super) fn read(delivery: &Delivery<'_>) -> Result<Message, Unusable> {
    let event = delivery.header("x-github-event").ok_or(Unusable::Header("X-GitHub-Event"))?;
    let id = delivery.header("x-github-delivery").ok_or(Unusable::Header("X-GitHub-Delivery"))?;
    let payload: Payload<'_> = delivery.parse()?;
    let action = payload.action.as_deref().unwrap_or_default();
    let kind = if action.is_empty() { event.to_owned() } else { format!("{event}.{action}") };
    let nothing = Message { id: Some(id.to_owned()), kind, meaning: Meaning::Nothing };
    if !changes(event, action) {
        return Ok(nothing);
    }
    let carried = carried(event, &payload)?;
    let repository = payload.repository.ok_or_else(|| Unusable::Body("it names no repository".to_owned()))?;
    let Ok(name) = repository.full_name.parse() else {
        return Err(Unusable::Body("the name of the repository is not owner/name".to_owned()));
    };
    let updated_at = payload.pull_request.and_then(|pull_request| pull_request.updated_at);
    let changed = ChangedRepository { id: repository.id, name, updated_at, carried };
    Ok(Message { meaning: Meaning::Changed(changed), ..nothing })
}

/// What an event says that will never change. Other objects in it, such as people, are left out, and so are long texts: a message
/// to the collector is small.
fn carried(event: &str, payload: &Payload<'_>) -> Result<Option<Carried>, Unusable> {
    if !matches!(event, "deployment" | "deployment_status" | "workflow_run") {
        return Ok(None);
    }
    let objects = Objects {
        deployment: payload.deployment.map(own_fields).transpose()?,
        deployment_status: payload.deployment_status.map(own_fields).transpose()?,
        workflow_run: payload.workflow_run.map(own_fields).transpose()?,
    };
    let body = serde_json::to_string(&objects).map_err(Unusable::unreadable)?;
    Ok(Some(Carried { event: event.to_owned(), body }))
}

fn own_fields(object: &RawValue) -> Result<Fields<'_>, Unusable> {
    let mut fields: Fields<'_> = serde_json::from_str(object.get()).map_err(Unusable::unreadable)?;
    fields.retain(|_, value| !value.get().starts_with(['{', '[']) && value.get().len() <= LONGEST);
    Ok(fields)
}

/// Whether an event changes anything that is stored.
fn changes(event: &str, action: &str) -> bool {
    match event {
        "pull_request" => matches!(
            action,
            "opened"
                | "closed"
                | "reopened"
                | "ready_for_review"
                | "converted_to_draft"
                | "synchronize"
                | "edited"
                | "labeled"
                | "unlabeled"
        ),
        "pull_request_review" => matches!(action, "submitted" | "edited" | "dismissed"),
        // Enterprise Server of before version 3 sent no action.
        "deployment" | "deployment_status" => matches!(action, "created" | ""),
        "workflow_run" => action == "completed",
        "release" => matches!(action, "published" | "unpublished" | "released" | "prereleased" | "edited" | "deleted"),
        "issues" => matches!(
            action,
            "opened" | "closed" | "reopened" | "labeled" | "unlabeled" | "transferred" | "edited" | "deleted"
        ),
        "repository" => matches!(action, "renamed" | "transferred" | "archived" | "unarchived" | "deleted"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::Plugin;

    fn message(event: &str, body: &[u8]) -> Result<Message, Unusable> {
        let pairs = [("x-github-event", event), ("x-github-delivery", "d-1"), ("content-type", "application/json")];
        let headers: HeaderMap = pairs
            .iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?)))
            .collect();
        let received_at = DateTime::from_timestamp(1_780_000_000, 0).unwrap_or_default();
        Delivery { plugin: Plugin::GitHub, headers: &headers, body, received_at }.read()
    }

    fn payload(action: &str) -> Value {
        json!({ "action": action, "repository": { "id": 9_000_000_000_i64, "full_name": "Acme/Api" } })
    }

    #[test]
    fn an_event_says_which_repository_changed() -> anyhow::Result<()> {
        let mut body = payload("closed");
        body["pull_request"] = json!({ "updated_at": "2026-06-01T10:00:00Z", "user": null });
        let read = message("pull_request", body.to_string().as_bytes())?;
        let expected = ChangedRepository {
            id: 9_000_000_000,
            name: "acme/api".parse()?,
            updated_at: Some("2026-06-01T10:00:00Z".parse()?),
            carried: None,
        };
        assert_eq!(read.meaning, Meaning::Changed(expected));
        assert_eq!((read.id.as_deref(), read.kind.as_str()), (Some("d-1"), "pull_request.closed"));
        Ok(())
    }

    #[test]
    fn a_deployment_is_carried_without_people_and_long_texts() -> anyhow::Result<()> {
        let mut body = payload("created");
        // Half a surrogate pair, as GitHub cuts texts.
        let text = body.to_string().replacen('{', r#"{"deployment": {"id": 4000000000, "sha": "abc", "ref": "a\ud83d",
            "creator": {"login": "ana"}, "payload": [1], "description": "LONG"}, "deployment_status": {"state": "success"}, "#, 1);
        let text = text.replace("LONG", &"x".repeat(2_000));
        let Meaning::Changed(changed) = message("deployment_status", text.as_bytes())?.meaning else {
            anyhow::bail!("it means something else");
        };
        let carried = changed.carried.ok_or_else(|| anyhow::anyhow!("nothing is carried"))?;
        let expected =
            r#"{"deployment":{"id":4000000000,"ref":"a\ud83d","sha":"abc"},"deployment_status":{"state":"success"}}"#;
        assert_eq!((carried.event.as_str(), carried.body.as_str()), ("deployment_status", expected));
        body["deployment"] = json!(7);
        assert!(matches!(message("deployment", body.to_string().as_bytes()), Err(Unusable::Body(_))));
        Ok(())
    }

    #[test]
    fn what_changes_nothing_means_nothing() -> anyhow::Result<()> {
        for (event, action) in [
            ("ping", ""),
            ("workflow_run", "requested"),
            ("pull_request", "assigned"),
            ("pull_request", "an action of next year"),
            ("an_event_of_next_year", "created"),
        ] {
            let read = message(event, payload(action).to_string().as_bytes())?;
            assert_eq!(read.meaning, Meaning::Nothing, "{event} {action}");
        }
        // An organization's own ping names no repository.
        assert_eq!(message("ping", b"{\"zen\": \"Keep it logically awesome.\"}")?.meaning, Meaning::Nothing);
        Ok(())
    }

    #[test]
    fn a_body_that_cannot_be_read_is_refused() {
        for body in ["", "{", "7", "{\"action\": \"created\"}", "{\"action\": 7}"] {
            assert!(matches!(message("deployment", body.as_bytes()), Err(Unusable::Body(_))), "{body}");
        }
        let mut odd = payload("created");
        odd["repository"]["full_name"] = json!("no slash");
        assert!(matches!(message("deployment", odd.to_string().as_bytes()), Err(Unusable::Body(_))));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(event in "[a-z_]{0,20}", body in any::<Vec<u8>>()) {
            let _ = message(&event, &body);
        }
    }
}
