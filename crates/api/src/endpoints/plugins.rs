//! `GET /v1/plugins` and `/v1/plugins/{name}/health`: where deployments and incidents come from, and whether they do.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use chrono::{DateTime, Utc};
use http::Method;
use mergeline_domain::delivery::DeploymentSource;
use mergeline_store::{Announcements, PluginActivity, SourceActivity};
use mergeline_webhooks::Plugin as Webhook;
use schemars::JsonSchema;
use serde::Serialize;
use strum::VariantArray;

use super::resources::instant;
use crate::auth::scope::Scope;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;
use crate::state::Api;

pub(crate) const LIST: Operation = Operation {
    method: Method::GET,
    path: "/plugins",
    handler: |filter| on(filter, list),
    admission: Admit::Lookup,
    id: "listPlugins",
    summary: "Sources of deployments, and webhooks",
    description: "Which are used, and when each was last heard from.",
    scope: Some(Scope::Admin),
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Json(enveloped::<Vec<Plugin>, PluginsMeta>),
};

pub(crate) const HEALTH: Operation = Operation {
    path: "/plugins/{name}/health",
    handler: |filter| on(filter, health),
    id: "getPluginHealth",
    summary: "Whether a source or webhook works",
    description: "What came in the last 24 hours, what could not be read, and which changes no webhook announced.",
    body: Body::Json(enveloped::<PluginHealth, PluginsMeta>),
    ..LIST
};

/// A source of deployments, or a kind of webhook.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Plugin {
    name: &'static str,
    /// `source`: deployments are read from it. `webhook`: it sends what happens.
    #[schemars(extend("enum" = ["source", "webhook"]))]
    kind: &'static str,
    /// Whether it is the source of a service, or has a secret.
    enabled: bool,
    /// How many services it is the source of; null for a webhook.
    services: Option<i64>,
    /// When its newest deployment was created, or its last delivery came.
    #[schemars(extend("format" = "date-time"))]
    last_event_at: Option<String>,
}

/// What came from a source or webhook.
#[derive(Debug, Serialize, JsonSchema)]
struct PluginHealth {
    #[serde(flatten)]
    plugin: Plugin,
    /// Deliveries of the last 24 hours; null for a source.
    received: Option<i64>,
    /// Those of them that meant nothing here.
    ignored: Option<i64>,
    /// Those of them that could not be used, although their signatures were right.
    refused: Option<i64>,
    /// How often a collection found a change of a pull request that no delivery had announced; null for all but `github`.
    missed_changes: Option<i64>,
    /// When it last did.
    #[schemars(extend("format" = "date-time"))]
    missed_at: Option<String>,
    /// What could not be read of a source at the last attempt.
    problems: Vec<PluginProblem>,
}

/// Why deployments of a repository could not be read.
#[derive(Debug, Serialize, JsonSchema)]
struct PluginProblem {
    repository: String,
    /// A stable code.
    code: String,
    /// A sentence.
    message: String,
}

/// The instant that the response describes.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PluginsMeta {
    #[schemars(extend("format" = "date-time"))]
    as_of: String,
}

/// What is known of all of them.
struct Activity {
    sources: BTreeMap<String, SourceActivity>,
    webhooks: BTreeMap<String, PluginActivity>,
    announcements: Announcements,
}

impl Activity {
    async fn read(api: &Api, now: DateTime<Utc>) -> Result<Self, ApiError> {
        let sources = api.store.source_activity().await?;
        let webhooks = api.store.plugin_activity(now).await?;
        Ok(Self {
            sources: sources.into_iter().map(|it| (it.source.clone(), it)).collect(),
            webhooks: webhooks.into_iter().map(|it| (it.plugin.clone(), it)).collect(),
            announcements: api.store.announcements().await?,
        })
    }

    fn plugins(&self, api: &Api) -> Vec<Plugin> {
        let sources = DeploymentSource::VARIANTS.iter().map(|source| {
            let name = <&str>::from(source);
            let activity = self.sources.get(name);
            let services = activity.map_or(0, |it| it.services);
            let last_event_at = activity.and_then(|it| it.last_at).map(instant);
            Plugin { name, kind: "source", enabled: services > 0, services: Some(services), last_event_at }
        });
        let webhooks = Webhook::ALL.iter().map(|webhook| {
            let name = <&str>::from(webhook);
            let last_event_at = self.webhooks.get(name).map(|it| instant(it.last_at));
            let enabled = !api.webhooks.secrets.of(*webhook).is_empty();
            Plugin { name, kind: "webhook", enabled, services: None, last_event_at }
        });
        sources.chain(webhooks).collect()
    }
}

async fn list(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let now = api.now();
    let activity = Activity::read(&api, now).await?;
    Ok(answer(activity.plugins(&api), PluginsMeta { as_of: instant(now) }))
}

async fn health(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    let now = api.now();
    let activity = Activity::read(&api, now).await?;
    let name = request.plugin_name()?;
    let plugin = activity.plugins(&api).into_iter().find(|plugin| plugin.name == name);
    let plugin = plugin.ok_or_else(|| ApiError::NotFound("There is no such plugin.".into()))?;
    let is_webhook = plugin.kind == "webhook";
    let of_webhook =
        |count: fn(&PluginActivity) -> i64| is_webhook.then(|| activity.webhooks.get(name).map_or(0, count));
    let announces = name == <&str>::from(Webhook::GitHub);
    let unread = if is_webhook { Vec::new() } else { api.store.unread_deployments().await? };
    let unread = unread.into_iter().filter(|it| it.source == name);
    let health = PluginHealth {
        received: of_webhook(|it| it.received),
        ignored: of_webhook(|it| it.ignored),
        refused: of_webhook(|it| it.refused),
        missed_changes: announces.then_some(activity.announcements.missed),
        missed_at: activity.announcements.missed_at.filter(|_| announces).map(instant),
        problems: unread
            .map(|it| PluginProblem { repository: it.repository, code: it.code, message: it.message })
            .collect(),
        plugin,
    };
    Ok(answer(health, PluginsMeta { as_of: instant(now) }))
}
