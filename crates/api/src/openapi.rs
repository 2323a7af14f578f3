//! `GET /v1/openapi.json`: the API in OpenAPI 3.1, made from the types and parameters that answer.

use std::sync::LazyLock;

use axum::response::Response;
use http::HeaderMap;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::access::Scope;
use crate::answer::document;
use crate::collection::{AnsweredRepository, AnsweredRun, RUNS_PARAMETERS, RunsMeta, StatusMeta};
use crate::definitions::{Definition, DefinitionsMeta};
use crate::error::{ApiError, CHALLENGE, ErrorBody, ProblemBody};
use crate::health::{Alive, Health};
use crate::metrics::{BucketsData, LEAD_TIME_ENDPOINT, SUMMARY_ENDPOINT, SummaryData, VELOCITY_ENDPOINT};
use crate::model::Meta;
use crate::negotiation::{Accept, CSV, JSON, PROBLEM_JSON};
use crate::parameters::{CURSOR, Parameter, Query, TZ, team_schema};
use crate::pull_requests::{self, PullRequestsData, PullRequestsMeta};
use crate::teams::{AnsweredTeam, TeamData, TeamMeta, TeamsMeta};

/// One path, as the document describes it.
pub(crate) struct Operation {
    pub(crate) path: &'static str,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    /// What a key needs; `None` for paths that are open to everybody.
    pub(crate) scope: Option<Scope>,
    pub(crate) parameters: &'static [&'static Parameter],
    /// Whether it exists as CSV too.
    pub(crate) has_csv: bool,
    /// Whether it answers 304.
    pub(crate) is_tagged: bool,
    /// Its body: the schema of a whole answer.
    body: Body,
}

enum Body {
    /// JSON with this schema.
    Json(fn(&mut SchemaGenerator) -> Value),
    /// The same with 503.
    Health,
    /// Something else.
    Other(&'static str),
}

fn enveloped<D: JsonSchema, M: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    json!({
        "type": "object",
        "properties": {
            "data": generator.subschema_for::<D>(),
            "meta": generator.subschema_for::<M>(),
            "trace_id": { "type": "string", "description": "The log has the request under it." }
        },
        "required": ["data", "meta", "trace_id"],
        "additionalProperties": false
    })
}

fn plain<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// Every path below `/v1`.
pub(crate) const OPERATIONS: &[Operation] = &[
    Operation {
        path: "/teams",
        id: "listTeams",
        summary: "All teams",
        description: "Slug, name, and the members in force: how many, their weights, since when. Archived teams come last.",
        scope: Some(Scope::MetricsRead),
        parameters: &[],
        has_csv: false,
        is_tagged: false,
        body: Body::Json(enveloped::<Vec<AnsweredTeam>, TeamsMeta>),
    },
    Operation {
        path: "/teams/{team_id}",
        id: "getTeam",
        summary: "One team",
        description: "With each membership that is in force. Logins are shown to keys with the scope prs:read.",
        scope: Some(Scope::MetricsRead),
        parameters: &[],
        has_csv: false,
        is_tagged: false,
        body: Body::Json(enveloped::<TeamData, TeamMeta>),
    },
    Operation {
        path: "/metrics/team/{team_id}/velocity",
        id: "getVelocity",
        summary: "Merged pull requests by calendar unit",
        description: "velocity@1: counts, weighted counts, cycle time and phases by week (or `interval`), and of the whole range. \
                      The last 12 weeks when no range is given.",
        scope: Some(VELOCITY_ENDPOINT.scope),
        parameters: VELOCITY_ENDPOINT.parameters,
        has_csv: VELOCITY_ENDPOINT.has_csv,
        is_tagged: true,
        body: Body::Json(enveloped::<BucketsData, Meta>),
    },
    Operation {
        path: "/metrics/team/{team_id}/lead-time",
        id: "getLeadTime",
        summary: "How long merged pull requests took",
        description: "pr_cycle_time@1 while no deployments are known: from opening to merge by month (or `interval`), and of the \
                      whole range. The last six months when no range is given. It is not DORA's change lead time.",
        scope: Some(LEAD_TIME_ENDPOINT.scope),
        parameters: LEAD_TIME_ENDPOINT.parameters,
        has_csv: LEAD_TIME_ENDPOINT.has_csv,
        is_tagged: true,
        body: Body::Json(enveloped::<BucketsData, Meta>),
    },
    Operation {
        path: "/metrics/team/{team_id}/summary",
        id: "getSummary",
        summary: "A period beside the one before",
        description: "One call for a first screen: the last four whole weeks (or the range), as many days before, what changed if both \
                      were read completely, and the age of the open pull requests.",
        scope: Some(SUMMARY_ENDPOINT.scope),
        parameters: SUMMARY_ENDPOINT.parameters,
        has_csv: SUMMARY_ENDPOINT.has_csv,
        is_tagged: false,
        body: Body::Json(enveloped::<SummaryData, Meta>),
    },
    Operation {
        path: "/metrics/team/{team_id}/pull-requests",
        id: "listPullRequests",
        summary: "The pull requests behind any number",
        description: "Each with the membership, weight and rule that counted it, its durations and flags; and those of the team's \
                      people that do not count, with the reason (to a key that is limited to teams: none of before or after they \
                      were members). Those that count are the prs_merged of the same range. A page at a \
                      time: `meta.next_cursor`, and the header mergeline-next-cursor with CSV, lead to the next.",
        scope: Some(pull_requests::ENDPOINT.scope),
        parameters: pull_requests::ENDPOINT.parameters,
        has_csv: pull_requests::ENDPOINT.has_csv,
        is_tagged: true,
        body: Body::Json(enveloped::<PullRequestsData, PullRequestsMeta>),
    },
    Operation {
        path: "/collection/status",
        id: "getCollectionStatus",
        summary: "How the collection stands",
        description: "Freshness by repository, what fails, and what is deferred until when and why.",
        scope: Some(Scope::Admin),
        parameters: &[],
        has_csv: false,
        is_tagged: false,
        body: Body::Json(enveloped::<Vec<AnsweredRepository>, StatusMeta>),
    },
    Operation {
        path: "/collection/runs",
        id: "listCollectionRuns",
        summary: "The runs of the collector",
        description: "Newest first, with the sums over their repositories.",
        scope: Some(Scope::Admin),
        parameters: RUNS_PARAMETERS,
        has_csv: false,
        is_tagged: false,
        body: Body::Json(enveloped::<Vec<AnsweredRun>, RunsMeta>),
    },
    Operation {
        path: "/definitions",
        id: "listDefinitions",
        summary: "What every number means",
        description: "Id, formula, inclusion rules and caveats. A changed formula gets a new id.",
        scope: None,
        parameters: &[],
        has_csv: false,
        is_tagged: true,
        body: Body::Json(enveloped::<Vec<Definition>, DefinitionsMeta>),
    },
    Operation {
        path: "/openapi.json",
        id: "getOpenApi",
        summary: "This document",
        description: "OpenAPI 3.1.",
        scope: None,
        parameters: &[],
        has_csv: false,
        is_tagged: false,
        body: Body::Other(JSON),
    },
    Operation {
        path: "/docs",
        id: "getDocs",
        summary: "The API as a page to read",
        description: "It asks nothing of other hosts.",
        scope: None,
        parameters: &[],
        has_csv: false,
        is_tagged: false,
        body: Body::Other(crate::docs::HTML),
    },
    Operation {
        path: "/healthz",
        id: "getAlive",
        summary: "Whether the program runs",
        description: "Asks nothing of the database. Also at `/healthz` without the version.",
        scope: None,
        parameters: &[],
        has_csv: false,
        is_tagged: false,
        body: Body::Json(plain::<Alive>),
    },
    Operation {
        path: "/health",
        id: "getHealth",
        summary: "Whether the program can answer",
        description: "Database, schema and freshness. 503 when it cannot answer.",
        scope: None,
        parameters: &[],
        has_csv: false,
        is_tagged: false,
        body: Body::Health,
    },
];

/// Statuses of errors and what they mean.
fn error_statuses(operation: &Operation) -> Vec<(u16, &'static str)> {
    let is_checked = operation.scope.is_some();
    let has_team = operation.path.contains("{team_id}");
    let asks_database = is_checked;
    let mut statuses = vec![
        (400, "A parameter cannot be used (`validation_error`, `invalid_cursor`); `details` names each."),
        (
            403,
            "Without keys: called by a name that is not this machine's, or by a page of another site (`host_not_allowed`, `cross_site`).",
        ),
        (406, "The answer does not exist in the form that `Accept` asks for (`not_acceptable`)."),
        (500, "Logged under the trace id (`internal_error`)."),
        (504, "It took longer than REQUEST_TIMEOUT_SECONDS (`timeout`)."),
    ];
    if is_checked {
        statuses.retain(|(status, _)| *status != 403);
        statuses.push((401, "No key in `x-api-key`, or a wrong one (`unauthorized`)."));
        statuses.push((
            403,
            "A key that is not for this (`insufficient_scope`, `limited_to_teams`); without keys, a name that \
             is not this machine's, or a page of another site (`host_not_allowed`, `cross_site`).",
        ));
    }
    if has_team {
        statuses.push((404, "No such team, or none that the key may know of (`not_found`)."));
    }
    if asks_database {
        statuses.push((503, "The database is away (`unavailable`), too many requests are being answered (`overloaded`), or the schema does not fit (`schema_outdated`)."));
    }
    statuses.sort_unstable();
    statuses
}

impl Operation {
    /// Whether it answers a page at a time.
    fn has_pages(&self) -> bool {
        self.parameters.iter().any(|parameter| parameter.name == CURSOR.name)
    }
}

/// Where an answer leads: from all teams to one, from a team to what is said about it, from a page to the next.
fn links(operation: &Operation) -> Map<String, Value> {
    let team = |pointer: &str| json!({ "team_id": format!("$response.body#/data/{pointer}slug") });
    match operation.id {
        "listTeams" => {
            let link = json!({ "operationId": "getTeam", "description": "The first team.", "parameters": team("0/") });
            Map::from_iter([("getTeam".to_owned(), link)])
        }
        "getTeam" => OPERATIONS
            .iter()
            .filter(|about| about.path.starts_with("/metrics/team/{team_id}/"))
            .map(|about| {
                let link = json!({ "operationId": about.id, "description": about.summary, "parameters": team("") });
                (about.id.to_owned(), link)
            })
            .collect(),
        _ if operation.has_pages() => Map::from_iter([("next".to_owned(), next_page(operation))]),
        _ => Map::new(),
    }
}

/// The same question for the next page. What the question left out is left out again.
fn next_page(operation: &Operation) -> Value {
    let mut parameters = Map::new();
    if operation.path.contains("{team_id}") {
        parameters.insert("team_id".to_owned(), json!("$request.path.team_id"));
    }
    for Parameter { name, .. } in operation.parameters {
        parameters.insert((*name).to_owned(), json!(format!("$request.query.{name}")));
    }
    parameters.insert(CURSOR.name.to_owned(), json!("$response.body#/meta/next_cursor"));
    json!({
        "operationId": operation.id,
        "description": "The next page, while `meta.next_cursor` is not null.",
        "parameters": parameters
    })
}

fn operation_object(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = Vec::new();
    if operation.path.contains("{team_id}") {
        parameters.push(json!({ "$ref": "#/components/parameters/team_id" }));
    }
    for parameter in operation.parameters {
        if parameter.name == TZ.name {
            // There are hundreds of zones.
            parameters.push(json!({ "$ref": "#/components/parameters/tz" }));
            continue;
        }
        let mut object = json!({
            "name": parameter.name, "in": "query", "required": false,
            "description": parameter.description, "schema": (parameter.schema)()
        });
        if parameter.name == "repo" {
            object["style"] = json!("form");
            object["explode"] = json!(false);
        }
        parameters.push(object);
    }
    let mut headers = Map::new();
    let mut add_header = |name: &str| {
        headers.insert(name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    };
    if operation.path.starts_with("/metrics/") {
        add_header("mergeline-data-as-of");
    }
    if operation.is_tagged {
        add_header("ETag");
        parameters.push(json!({ "$ref": "#/components/parameters/if_none_match" }));
    }
    let mut content = Map::new();
    match operation.body {
        Body::Json(schema) => content.insert(JSON.to_owned(), json!({ "schema": schema(generator) })),
        Body::Health => content.insert(JSON.to_owned(), json!({ "schema": plain::<Health>(generator) })),
        Body::Other(JSON) => content.insert(JSON.to_owned(), json!({ "schema": { "type": "object" } })),
        Body::Other(other) => content.insert(other.to_owned(), json!({ "schema": { "type": "string" } })),
    };
    if operation.has_csv {
        content.insert(CSV.to_owned(), json!({ "schema": { "type": "string" } }));
    }
    let mut responses = Map::new();
    if let Body::Health = operation.body {
        responses.insert("503".to_owned(), json!({ "description": "It cannot answer.", "content": content.clone() }));
    }
    let mut answer = json!({
        "description": "The answer.", "headers": headers.clone(), "content": content, "links": links(operation)
    });
    if operation.has_csv {
        answer["headers"]["mergeline-meta"] = json!({ "$ref": "#/components/headers/mergeline-meta" });
    }
    if operation.has_pages() && operation.has_csv {
        answer["headers"]["mergeline-next-cursor"] = json!({ "$ref": "#/components/headers/mergeline-next-cursor" });
    }
    responses.insert("200".to_owned(), answer);
    if operation.is_tagged {
        let unchanged = "The answer is the one that the client has. Nothing was summed.";
        responses.insert("304".to_owned(), json!({ "description": unchanged, "headers": headers }));
    }
    for (status, description) in error_statuses(operation) {
        let mut response = json!({
            "description": description,
            "content": {
                JSON: { "schema": { "$ref": "#/components/schemas/ErrorBody" } },
                PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/ProblemBody" } }
            }
        });
        if status == 401 {
            response["headers"] = json!({ "WWW-Authenticate": { "$ref": "#/components/headers/WWW-Authenticate" } });
        }
        if status == 503 {
            response["headers"] = json!({ "Retry-After": { "$ref": "#/components/headers/Retry-After" } });
        }
        responses.insert(status.to_string(), response);
    }
    let mut object = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": parameters,
        "responses": responses,
        "security": []
    });
    if let Some(scope) = operation.scope {
        object["security"] = json!([{ "key": [] }]);
        object["description"] = json!(format!("{} Scope: {scope}.", operation.description));
    }
    json!({ "get": object })
}

/// The whole document.
pub fn openapi() -> Value {
    // Answers are written, not read: what is null is there.
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<ErrorBody>();
    generator.subschema_for::<ProblemBody>();
    let paths: Map<String, Value> = OPERATIONS
        .iter()
        .map(|operation| (format!("/v1{}", operation.path), operation_object(operation, &mut generator)))
        .collect();
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mergeline",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Team delivery metrics from GitHub that a manager can question.",
            "description": "Answers are `{data, meta, trace_id}`. Errors are `{error: {code, message, details, trace_id}}`, or problem \
                            details (RFC 9457) when `Accept` names application/problem+json. Every parameter that is not known is \
                            refused. Every answer about numbers says how fresh its data is in the header mergeline-data-as-of.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" }
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": {
                "team_id": {
                    "name": "team_id", "in": "path", "required": true,
                    "description": "The team's number or slug.",
                    "schema": team_schema()
                },
                "tz": {
                    "name": TZ.name, "in": "query", "required": false,
                    "description": TZ.description, "schema": (TZ.schema)()
                },
                "if_none_match": {
                    "name": "If-None-Match", "in": "header", "required": false,
                    "description": "The ETag of an answer that the client has.",
                    "schema": { "type": "string" }
                }
            },
            "headers": {
                "ETag": {
                    "description": "What the answer is known by: formula, configuration, the last run that changed data, and question.",
                    "required": true,
                    "schema": { "type": "string", "pattern": "^W/\"[0-9a-f]{32}\"$" }
                },
                "WWW-Authenticate": {
                    "description": "How to be let in: with a key in the header x-api-key.",
                    "required": true,
                    "schema": { "type": "string", "const": CHALLENGE }
                },
                "Retry-After": {
                    "description": "How many seconds to wait before another attempt.",
                    "required": true,
                    "schema": { "type": "integer", "minimum": 1 }
                },
                "mergeline-data-as-of": {
                    "description": "When the oldest of the last complete collections began: nothing newer is claimed. Missing before the first.",
                    "schema": { "type": "string", "format": "date-time" }
                },
                "mergeline-meta": {
                    "description": "With CSV: `meta` as JSON in ASCII, with how many repositories its coverage has instead of which. A table has no place for it.",
                    "schema": { "type": "string", "contentMediaType": "application/json" }
                },
                "mergeline-next-cursor": {
                    "description": "`meta.next_cursor`, which a table has no place for. Missing on the last page.",
                    "schema": { "type": "string" }
                }
            },
            "securitySchemes": { "key": { "type": "apiKey", "in": "header", "name": "x-api-key" } }
        }
    })
}

/// Made once: it is the same for everybody.
static TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| serde_json::to_vec(&openapi()).unwrap_or_default());

/// The document as an answer.
pub(crate) async fn get(headers: HeaderMap, query: axum::extract::RawQuery) -> Result<Response, ApiError> {
    Query::parse(&query.0.unwrap_or_default(), &[])?;
    Accept::of(&headers).require(JSON)?;
    Ok(document(JSON, TEXT.clone()))
}
