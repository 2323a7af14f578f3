//! `GET /v1/definitions`: what every number means.

use axum::response::Response;
use axum::routing::on;
use http::Method;
use mergeline_domain::metrics::DEFINITIONS;
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::etag::ETag;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;

pub(crate) const LIST: Operation = Operation {
    method: Method::GET,
    path: "/definitions",
    handler: |filter| on(filter, list),
    admission: Admit::Open,
    id: "listDefinitions",
    summary: "What every number means",
    description: "ID, formula, inclusion rules and caveats. A changed formula gets a new ID.",
    scope: None,
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: true,
    request_body: None,
    body: Body::Json(enveloped::<Vec<Definition>, DefinitionsMeta>),
};

/// What a number means. A changed formula gets a new ID; it never changes silently.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Definition {
    id: &'static str,
    name: &'static str,
    formula: &'static str,
    unit: &'static str,
    /// Which pull requests are included.
    includes: &'static str,
    /// Which pull requests are excluded.
    excludes: &'static str,
    caveats: &'static [&'static str],
}

/// The number of definitions.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DefinitionsMeta {
    count: usize,
}

impl From<&mergeline_domain::metrics::Definition> for Definition {
    fn from(definition: &mergeline_domain::metrics::Definition) -> Self {
        let mergeline_domain::metrics::Definition { id, name, formula, unit, includes, excludes, caveats } = definition;
        Self { id, name, formula, unit, includes, excludes, caveats }
    }
}

/// The response is the same for everyone.
async fn list(request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    ETag::of(&["definitions"]).unless_known(&request.headers, || {
        let definitions: Vec<Definition> = DEFINITIONS.iter().map(Definition::from).collect();
        let meta = DefinitionsMeta { count: definitions.len() };
        Ok(answer(definitions, meta))
    })
}
