//! Deployments and runs as deliveries of a webhook carry them: the same objects that the lists have.

use chrono::{DateTime, Utc};
use mergeline_source::{Announced, ListedState, RunQuery, UndecodableDeployment};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::deployments;
use crate::model::is_sane;
use crate::runs;
use crate::text::{Text, clean};

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    deployment: Option<&'a RawValue>,
    #[serde(borrow, default)]
    deployment_status: Option<&'a RawValue>,
    #[serde(borrow, default)]
    workflow_run: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct StatusItem {
    state: Text,
    created_at: DateTime<Utc>,
    #[serde(default)]
    environment: Option<Text>,
}

#[derive(Deserialize)]
struct RunPath {
    /// Enterprise Server of before version 3.5 does not say.
    #[serde(default)]
    path: Option<Text>,
}

/// What a delivery says that will never change: a deployment, one of its states, or an attempt of a run that has ended.
pub(crate) fn announced(event: &str, body: &str) -> Result<Option<Announced>, UndecodableDeployment> {
    let body: Body<'_> = read(body)?;
    match (event, body.deployment, body.deployment_status, body.workflow_run) {
        ("deployment", Some(deployment), ..) => Ok(Some(Announced::Deployment(deployments::listed(deployment)?, None))),
        ("deployment_status", Some(deployment), Some(status), _) => {
            let deployment = deployments::listed(deployment)?;
            let StatusItem { state, created_at, environment } = read(status.get())?;
            if !is_sane(created_at) {
                return Err(undecodable(&format!("a status is of {created_at}, which is out of range")));
            }
            let state: ListedState = deployments::state(&state.to_ascii_uppercase(), created_at, environment);
            Ok(Some(Announced::Deployment(deployment, Some(state))))
        }
        ("workflow_run", _, _, Some(run)) => announced_run(run),
        _ => Ok(None),
    }
}

fn announced_run(raw: &RawValue) -> Result<Option<Announced>, UndecodableDeployment> {
    let RunPath { path } = read(raw.get())?;
    let path = path.ok_or_else(|| undecodable("a run does not say the file of its workflow"))?;
    // What GitHub runs by itself has no file.
    let Some(workflow) = path.strip_prefix(".github/workflows/").map(clean) else { return Ok(None) };
    let query = RunQuery { workflow: workflow.clone(), branch: None, since: DateTime::UNIX_EPOCH };
    let listed = runs::listed(read(raw.get())?, &query).map_err(|reason| undecodable(&reason))?;
    let ended = listed.filter(|run| run.deployment.end.is_some());
    Ok(ended.map(|run| Announced::Run(workflow, run)))
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, UndecodableDeployment> {
    serde_json::from_str(json).map_err(|error| undecodable(&error.to_string()))
}

fn undecodable(reason: &str) -> UndecodableDeployment {
    UndecodableDeployment { id: None, reason: clean(reason) }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, Result};
    use mergeline_domain::delivery::{DeploymentStateKind, Origin};
    use serde_json::json;

    use super::*;

    fn deployment() -> serde_json::Value {
        json!({
            "id": 3_000_000_000_i64, "node_id": "DE_1", "sha": "0".repeat(40), "environment": "production",
            "created_at": "2026-06-01T10:00:00Z", "production_environment": true, "transient_environment": false
        })
    }

    fn run(conclusion: &str, event: &str) -> serde_json::Value {
        json!({
            "id": 7_000_000_000_i64, "run_attempt": 2, "head_sha": "1".repeat(40), "head_branch": "main", "event": event,
            "status": "completed", "conclusion": conclusion, "created_at": "2026-06-01T09:00:00Z",
            "run_started_at": "2026-06-01T10:00:00Z", "updated_at": "2026-06-01T10:05:00Z",
            "path": ".github/workflows/deploy.yml"
        })
    }

    fn read_one(event: &str, body: &serde_json::Value) -> Result<Option<Announced>> {
        announced(event, &body.to_string()).map_err(|error| anyhow::anyhow!(error.reason))
    }

    #[test]
    fn a_deployment_status_is_a_state_of_its_deployment() -> Result<()> {
        for (state, kind) in [
            ("success", DeploymentStateKind::Success),
            ("error", DeploymentStateKind::Failure),
            ("queued", DeploymentStateKind::InProgress),
        ] {
            let status = json!({ "state": state, "created_at": "2026-06-01T10:04:00Z", "environment": "prod-eu" });
            let body = json!({ "deployment": deployment(), "deployment_status": status });
            let Some(Announced::Deployment(deployment, Some(said))) = read_one("deployment_status", &body)? else {
                anyhow::bail!("{state} is no state");
            };
            assert_eq!((deployment.id.as_str(), deployment.is_production), ("3000000000", Some(true)));
            assert_eq!((said.state.kind, said.environment.as_deref()), (kind, Some("prod-eu")));
        }
        Ok(())
    }

    #[test]
    fn a_run_is_announced_with_its_attempt_once_it_has_ended() -> Result<()> {
        let ended = read_one("workflow_run", &json!({ "workflow_run": run("failure", "push") }))?;
        let Some(Announced::Run(workflow, listed)) = ended else { anyhow::bail!("no run") };
        assert_eq!((workflow.as_str(), listed.id, listed.attempt), ("deploy.yml", 7_000_000_000, 2));
        let end = listed.deployment.end.context("ended")?;
        assert_eq!(end.kind, DeploymentStateKind::Failure);
        let origin = Origin::Run { workflow, branch: Some("main".to_owned()) };
        assert_eq!(listed.deployment.origin, origin);
        let mut running = run("", "push");
        running["status"] = json!("in_progress");
        let mut unnamed = run("success", "push");
        unnamed["path"] = json!(null);
        assert!(read_one("workflow_run", &json!({ "workflow_run": unnamed })).is_err(), "it may deploy");
        for other in [running, run("success", "pull_request")] {
            assert_eq!(read_one("workflow_run", &json!({ "workflow_run": other }))?, None);
        }
        Ok(())
    }

    #[test]
    fn what_is_not_whole_is_said() {
        let early = json!({ "deployment": deployment(), "deployment_status": { "state": "success", "created_at": "1200-06-01T10:04:00Z" } });
        for (event, body) in [
            ("deployment", ""),
            ("deployment", "{"),
            ("deployment", r#"{"deployment": {"id": 1}}"#),
            ("workflow_run", r#"{"workflow_run": 7}"#),
            ("deployment_status", &early.to_string()),
        ] {
            assert!(announced(event, body).is_err(), "{body}");
        }
        assert_eq!(announced("pull_request", "{}"), Ok(None));
    }
}
