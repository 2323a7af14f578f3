//! A path and method of the API, for the router and the OpenAPI document.

use axum::routing::{MethodFilter, MethodRouter};
use http::Method;
use mergeline_store::EventSubject;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

use super::parameters::{CURSOR, Parameter};
use crate::auth::scope::Scope;
use crate::state::Api;

/// An operation: one method at one path.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) method: Method,
    /// Below `/v1`.
    pub(crate) path: &'static str,
    pub(crate) handler: fn(MethodFilter) -> MethodRouter<Api>,
    pub(crate) admission: Admit,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    /// The required scope; `None` for paths that are open to everyone.
    pub(crate) scope: Option<Scope>,
    pub(crate) parameters: &'static [&'static Parameter],
    /// Whether it is also available as CSV.
    pub(crate) has_csv: bool,
    /// Whether it may return 304.
    pub(crate) has_etag: bool,
    /// The schema of the body that it takes; `None` for operations that only read.
    pub(crate) request_body: Option<fn(&mut SchemaGenerator) -> Value>,
    pub(crate) body: Body,
}

/// How an operation gets access to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admit {
    /// It does not use the database.
    Open,
    /// It checks the health.
    Health,
    /// It looks something up.
    Lookup,
    /// It aggregates pull requests.
    Statistics,
    /// It receives a webhook, which has a signature and no key.
    Webhook,
}

/// The body of a response.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    /// JSON with this schema.
    Json(fn(&mut SchemaGenerator) -> Value),
    /// The same, also with 503.
    Health(fn(&mut SchemaGenerator) -> Value),
    /// Another document.
    Document(&'static str),
    /// None: the status says everything.
    Nothing,
}

impl Operation {
    /// Whether it is paginated.
    pub(crate) fn has_pages(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == CURSOR.name)
    }

    /// Whether it is about one service.
    pub(crate) fn has_service(&self) -> bool {
        self.path.contains("{service}")
    }

    /// Whether it is about one deployment.
    pub(crate) fn has_deployment(&self) -> bool {
        self.path.contains("{deployment_id}")
    }

    /// Whether it is about one incident, by the id of its sender.
    pub(crate) fn has_incident(&self) -> bool {
        self.path.contains("{incident_id}")
    }

    /// Whether it receives webhooks.
    pub(crate) fn has_plugin(&self) -> bool {
        self.path.contains("{plugin}")
    }

    /// What the events are about that it takes; `None` if it takes none.
    pub(crate) fn event_subject(&self) -> Option<EventSubject> {
        self.request_body?;
        Some(if self.path.starts_with("/incidents") { EventSubject::Incident } else { EventSubject::Deployment })
    }

    /// Whether it takes one JSON object in each line of its body.
    pub(crate) fn takes_lines(&self) -> bool {
        self.path.ends_with("/batch")
    }

    /// Whether it is about one source or webhook.
    pub(crate) fn has_plugin_name(&self) -> bool {
        self.path.contains("/plugins/{name}")
    }

    /// Whether its path has a parameter.
    pub(crate) fn has_path_parameter(&self) -> bool {
        self.path.contains('{')
    }

    /// Whether it is about one team.
    pub(crate) fn has_team(&self) -> bool {
        self.path.contains("{team_id}")
    }
}

/// The schema of a response in its envelope.
pub(crate) fn enveloped<D: JsonSchema, M: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!({
        "type": "object",
        "properties": {
            "data": generator.subschema_for::<D>(),
            "meta": generator.subschema_for::<M>(),
            "trace_id": { "type": "string", "description": "Identifies the request in the log." }
        },
        "required": ["data", "meta", "trace_id"],
        "additionalProperties": false
    })
}

/// The schema of the body of a request.
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// The schema of a response without an envelope.
pub(crate) fn plain<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}
