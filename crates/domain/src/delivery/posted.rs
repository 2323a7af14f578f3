//! Deployments and incidents that programs post and people import: what is accepted, and what it means.

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Deserialize;

use super::commits::Oid;
use super::outcome::{DeploymentState, DeploymentStateKind};
use crate::metrics::InvalidParameter;
use crate::{RepoName, is_line};

/// Clocks differ by less.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);
/// Older times are mistakes, and would make everything since then count as known.
const OLDEST: TimeDelta = TimeDelta::days(3_653);
/// What deploys more repositories at once is several deployments.
const MAX_REVISIONS: usize = 20;
const MAX_ID: usize = 200;
const MAX_NAME: usize = 200;
const MAX_URL: usize = 500;

/// A deployment as it is posted. Times are RFC 3339.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeploymentEvent {
    /// The id that the sender gives it, such as that of a pipeline. The same id is the same deployment.
    #[schemars(length(min = 1, max = 200))]
    pub id: String,
    /// The slug or the number of a service, or a repository as `owner/name`, or by its name if no other has it.
    #[schemars(length(min = 1, max = 200))]
    pub service: String,
    /// The name of the environment.
    #[schemars(length(min = 1, max = 200))]
    pub environment: String,
    /// How far it is. Several may follow each other; `success` if left out.
    #[schemars(extend("enum" = ["queued", "in_progress", "success", "failure", "cancelled", null]))]
    pub status: Option<String>,
    /// The repository of `sha`. Not needed for a service of one.
    pub repository: Option<String>,
    /// The full commit that is deployed, 40 or 64 hexadecimal digits. Without one, it is unknown what was delivered.
    #[schemars(regex(pattern = r"^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$"))]
    pub sha: Option<String>,
    /// Instead of `sha`: the commits of several repositories.
    #[schemars(length(max = 20))]
    pub revisions: Option<Vec<RevisionEvent>>,
    /// A version for people.
    #[schemars(length(max = 200))]
    pub version: Option<String>,
    /// When it started.
    #[schemars(extend("format" = "date-time"))]
    pub started_at: Option<String>,
    /// When it reached `status`; now if left out.
    #[schemars(extend("format" = "date-time"))]
    pub finished_at: Option<String>,
    /// Whether it is unplanned work after a failure.
    pub rework: Option<bool>,
    /// Whether it failed users although it succeeded.
    pub failed: Option<bool>,
    /// The id of the failed deployment that it remedies.
    #[schemars(length(max = 200))]
    pub remedies: Option<String>,
    /// Its page.
    #[schemars(length(max = 500))]
    pub url: Option<String>,
}

/// The commit of a repository that is deployed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevisionEvent {
    /// `owner/name`.
    pub repository: String,
    /// The full commit.
    #[schemars(regex(pattern = r"^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$"))]
    pub sha: String,
}

/// A valid posted deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedDeployment {
    /// The id that the sender gave it.
    pub id: String,
    /// How the sender names the service.
    pub service: String,
    /// The name of the environment.
    pub environment: String,
    /// The state that it reached; `None` while it waits.
    pub state: Option<DeploymentState>,
    /// Whether its sender says when it finished; otherwise it does when it is posted.
    pub says_end: bool,
    /// When it was first known: when it started, or reached its state.
    pub created_at: DateTime<Utc>,
    /// The commits; of one without a repository, the service must have only one.
    pub revisions: Vec<(Option<RepoName>, Oid)>,
    /// A version for people.
    pub version: Option<String>,
    /// Whether its sender says that it is rework.
    pub is_rework: bool,
    /// Whether its sender says that it failed users.
    pub is_failed: bool,
    /// The id of the deployment that it remedies.
    pub remedies: Option<String>,
    /// Its page.
    pub url: Option<String>,
}

/// An incident as it is posted. Times are RFC 3339.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IncidentEvent {
    /// The id that the sender gives it. The same id is the same incident.
    #[schemars(length(min = 1, max = 200))]
    pub id: String,
    /// The service, as for a deployment.
    #[schemars(length(min = 1, max = 200))]
    pub service: String,
    /// What it is called.
    #[schemars(length(min = 1, max = 200))]
    pub title: String,
    /// The sender's word: `critical`, `sev1`, `p1` and the like are understood, others only shown.
    #[schemars(length(max = 200))]
    pub severity: Option<String>,
    /// When it started; now if left out.
    #[schemars(extend("format" = "date-time"))]
    pub started_at: Option<String>,
    /// When it was resolved, if it was.
    #[schemars(extend("format" = "date-time"))]
    pub resolved_at: Option<String>,
    /// The id that the sender gave the deployment that caused it. If left out, it belongs to the last one before its start.
    #[schemars(length(max = 200))]
    pub deployment: Option<String>,
    /// Its page.
    #[schemars(length(max = 500))]
    pub url: Option<String>,
}

/// A valid posted incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedIncident {
    /// The id that the sender gave it.
    pub id: String,
    /// How the sender names the service.
    pub service: String,
    /// What it is called.
    pub title: String,
    /// The sender's word.
    pub severity: Option<String>,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// Whether its sender says when it started; otherwise it starts when it is posted.
    pub says_start: bool,
    /// When it was resolved.
    pub resolved_at: Option<DateTime<Utc>>,
    /// The id that the sender gave the deployment that caused it.
    pub deployment: Option<String>,
    /// Its page.
    pub url: Option<String>,
}

/// Collects what is wrong with the fields of an event.
struct Fields {
    now: DateTime<Utc>,
    invalid: Vec<InvalidParameter>,
}

impl Fields {
    fn at(now: DateTime<Utc>) -> Self {
        Self { now, invalid: Vec::new() }
    }

    fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.invalid.push(InvalidParameter::new(name, "invalid", message));
    }

    /// One line of text without blanks around it.
    fn text(&mut self, name: &str, text: String, longest: usize) -> String {
        if !is_line(&text, longest) {
            self.refuse(name, format!("write one line of 1 to {longest} characters, without blanks around it"));
        }
        text
    }

    /// The same of a field that may be left out.
    fn optional(&mut self, name: &str, text: Option<String>, longest: usize) -> Option<String> {
        text.map(|text| self.text(name, text, longest))
    }

    fn url(&mut self, text: Option<String>) -> Option<String> {
        let text = self.optional("url", text, MAX_URL)?;
        if !text.starts_with("https://") && !text.starts_with("http://") {
            self.refuse("url", "write an address that starts with https://");
        }
        Some(text)
    }

    fn instant(&mut self, name: &str, text: Option<&str>) -> Option<DateTime<Utc>> {
        let text = text?;
        let Ok(at) = DateTime::parse_from_rfc3339(text) else {
            self.refuse(name, "write an instant with an offset, for example 2026-06-01T10:00:00Z");
            return None;
        };
        let at = at.to_utc();
        if at > self.now + CLOCK_SKEW {
            let message = "it is more than 5 minutes in the future";
            self.invalid.push(InvalidParameter::new(name, "future_timestamp", message));
        } else if at < self.now - OLDEST {
            self.refuse(name, "it is more than ten years ago");
        }
        Some(at)
    }

    fn oid(&mut self, name: &str, text: &str) -> Option<Oid> {
        let oid = text.to_ascii_lowercase().parse().ok();
        if oid.is_none() {
            self.refuse(name, "write the full commit: 40 or 64 hexadecimal digits");
        }
        oid
    }

    fn repository(&mut self, name: &str, text: &str) -> Option<RepoName> {
        let repository = text.parse().ok();
        if repository.is_none() {
            self.refuse(name, "write owner/name");
        }
        repository
    }

    fn finish<T>(self, event: T) -> Result<T, Vec<InvalidParameter>> {
        if self.invalid.is_empty() { Ok(event) } else { Err(self.invalid) }
    }
}

impl DeploymentEvent {
    /// What it means at an instant.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub fn check(self, now: DateTime<Utc>) -> Result<PostedDeployment, Vec<InvalidParameter>> {
        let mut fields = Fields::at(now);
        let revisions = self.checked_revisions(&mut fields);
        let id = fields.text("id", self.id, MAX_ID);
        let service = fields.text("service", self.service, MAX_NAME);
        let environment = fields.text("environment", self.environment, MAX_NAME);
        let started_at = fields.instant("started_at", self.started_at.as_deref());
        let finished_at = fields.instant("finished_at", self.finished_at.as_deref());
        let status = fields.optional("status", self.status, MAX_NAME);
        let kind = match status.as_deref() {
            None | Some("success") => Some(DeploymentStateKind::Success),
            Some("failure") => Some(DeploymentStateKind::Failure),
            Some("cancelled") => Some(DeploymentStateKind::Cancelled),
            Some("in_progress") => Some(DeploymentStateKind::InProgress),
            Some("queued") => None,
            Some(_) => {
                fields.refuse("status", "write queued, in_progress, success, failure or cancelled");
                None
            }
        };
        let is_final = !matches!(kind, None | Some(DeploymentStateKind::InProgress));
        let is_running = matches!(status.as_deref(), Some("queued" | "in_progress"));
        if finished_at.is_some() && is_running {
            fields.refuse("finished_at", "leave it out while the deployment is not finished");
        }
        if started_at.zip(finished_at).is_some_and(|(started, finished)| finished < started) {
            fields.refuse("finished_at", "it is before started_at");
        }
        let reached_at = if is_final { finished_at.unwrap_or(now) } else { started_at.unwrap_or(now) };
        let version = fields.optional("version", self.version, MAX_NAME);
        let remedies = fields.optional("remedies", self.remedies, MAX_ID);
        if remedies.as_ref() == Some(&id) {
            fields.refuse("remedies", "a deployment cannot remedy itself");
        }
        let url = fields.url(self.url);
        let deployment = PostedDeployment {
            id,
            service,
            environment,
            state: kind.map(|kind| DeploymentState { at: reached_at, kind }),
            says_end: finished_at.is_some(),
            created_at: started_at.unwrap_or(reached_at),
            revisions,
            version,
            is_rework: self.rework.unwrap_or_default(),
            is_failed: self.failed.unwrap_or_default(),
            remedies,
            url,
        };
        fields.finish(deployment)
    }

    fn checked_revisions(&self, fields: &mut Fields) -> Vec<(Option<RepoName>, Oid)> {
        let (repository, sha) = (self.repository.clone(), self.sha.clone());
        let several = self.revisions.as_deref().unwrap_or_default();
        if !several.is_empty() && (sha.is_some() || repository.is_some()) {
            fields.refuse("revisions", "write either revisions, or sha and repository");
            return Vec::new();
        }
        if several.len() > MAX_REVISIONS {
            fields.refuse("revisions", format!("at most {MAX_REVISIONS} repositories"));
            return Vec::new();
        }
        let repository = repository.and_then(|text| fields.repository("repository", &text));
        if let Some(sha) = sha {
            return fields.oid("sha", &sha).map(|oid| (repository, oid)).into_iter().collect();
        }
        let mut revisions: Vec<(Option<RepoName>, Oid)> = Vec::new();
        for revision in several {
            let repository = fields.repository("revisions", &revision.repository);
            let Some((repository, oid)) = repository.zip(fields.oid("revisions", &revision.sha)) else { continue };
            if revisions.iter().any(|(known, _)| known.as_ref() == Some(&repository)) {
                fields.refuse("revisions", format!("{repository} is there twice"));
            }
            revisions.push((Some(repository), oid));
        }
        revisions
    }
}

impl IncidentEvent {
    /// What it means at an instant.
    ///
    /// # Errors
    /// Every field that cannot be used.
    pub fn check(self, now: DateTime<Utc>) -> Result<PostedIncident, Vec<InvalidParameter>> {
        let mut fields = Fields::at(now);
        let id = fields.text("id", self.id, MAX_ID);
        let service = fields.text("service", self.service, MAX_NAME);
        let title = fields.text("title", self.title, MAX_NAME);
        let severity = fields.optional("severity", self.severity, MAX_NAME);
        let resolved_at = fields.instant("resolved_at", self.resolved_at.as_deref());
        let says_start = self.started_at.is_some();
        let started_at = fields.instant("started_at", self.started_at.as_deref()).unwrap_or(now);
        if resolved_at.is_some_and(|at| at < started_at) {
            fields.refuse("resolved_at", "it is before started_at");
        }
        let deployment = fields.optional("deployment", self.deployment, MAX_ID);
        let url = fields.url(self.url);
        fields.finish(PostedIncident {
            id,
            service,
            title,
            severity,
            started_at,
            says_start,
            resolved_at,
            deployment,
            url,
        })
    }
}

/// When an incident was resolved, or opened again.
///
/// # Errors
/// If the text is no instant that can be used.
pub fn checked_instant(
    name: &str,
    text: Option<&str>,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, Vec<InvalidParameter>> {
    let mut fields = Fields::at(now);
    let at = fields.instant(name, text).unwrap_or(now);
    fields.finish(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    fn event(json: &str) -> Result<PostedDeployment, Vec<(String, String)>> {
        let event: DeploymentEvent =
            serde_json::from_str(json).map_err(|it| vec![("body".to_owned(), it.to_string())])?;
        let checked = event.check(at("2026-06-01T12:00:00Z"));
        checked.map_err(|invalid| invalid.into_iter().map(|it| (it.parameter, it.message)).collect())
    }

    #[test]
    fn the_shortest_event_is_a_success_now() {
        let posted = event(r#"{"id":"1","service":"shop","environment":"prod"}"#).expect("valid");
        let state = DeploymentState { at: at("2026-06-01T12:00:00Z"), kind: DeploymentStateKind::Success };
        assert_eq!((posted.state, posted.created_at), (Some(state), state.at));
        assert_eq!(posted.revisions, []);
    }

    #[test]
    fn every_field_that_cannot_be_used_is_named() {
        let refused = event(
            r#"{"id":" ","service":"shop","environment":"prod","status":"done","sha":"abc","repository":"x",
            "started_at":"2026-06-01","finished_at":"2026-06-01T12:06:00Z","url":"javascript:alert(1)"}"#,
        );
        let names: Vec<String> = refused.expect_err("refused").into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["repository", "sha", "id", "started_at", "finished_at", "status", "url"]);
        for (json, name) in [
            (
                r#"{"id":"1","service":"s","environment":"p","sha":"0","revisions":[{"repository":"a/b","sha":"0"}]}"#,
                "revisions",
            ),
            (r#"{"id":"1","service":"s","environment":"p","remedies":"1"}"#, "remedies"),
            (
                r#"{"id":"1","service":"s","environment":"p","status":"queued","finished_at":"2026-06-01T10:00:00Z"}"#,
                "finished_at",
            ),
            (
                r#"{"id":"1","service":"s","environment":"p","started_at":"2026-06-01T11:00:00Z","finished_at":"2026-06-01T10:00:00Z"}"#,
                "finished_at",
            ),
            (r#"{"id":"1","service":"s","environment":"p","environmnt":"p"}"#, "body"),
        ] {
            assert_eq!(event(json).expect_err(json)[0].0, name, "{json}");
        }
    }

    #[test]
    fn an_incident_cannot_end_before_its_start() {
        let incident = |started: &str, resolved: Option<&str>| IncidentEvent {
            id: "I1".to_owned(),
            service: "shop".to_owned(),
            title: "Down".to_owned(),
            started_at: Some(started.to_owned()),
            resolved_at: resolved.map(str::to_owned),
            ..IncidentEvent::default()
        };
        let now = at("2026-06-01T12:00:00Z");
        assert!(incident("2026-06-01T10:00:00Z", Some("2026-06-01T11:00:00Z")).check(now).is_ok());
        let refused = incident("2026-06-01T10:00:00Z", Some("2026-06-01T09:00:00Z")).check(now).expect_err("refused");
        assert_eq!(refused[0].parameter, "resolved_at");
    }
}
