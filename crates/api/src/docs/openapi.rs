//! The API in OpenAPI 3.1, generated from the response types and parameters.

use http::Method;
use mergeline_webhooks::Plugin;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::http::envelope::REQUEST_ID;
use crate::http::errors::{BEARER, BEARER_REFUSED, CHALLENGE, ErrorBody, ProblemBody};
use crate::http::operation::{Body, Operation};
use crate::http::parameters::{CURSOR, Parameter, TZ, service_schema, team_schema};
use crate::http::response::{CSV, JSON, LINES, PROBLEM_JSON};

/// Error statuses and their meanings.
fn error_statuses(operation: &Operation) -> Vec<(u16, &'static str)> {
    let is_checked = operation.scope.is_some();
    let has_team = operation.has_team();
    let asks_database = is_checked || operation.has_plugin();
    let mut statuses = vec![
        (400, "A parameter is invalid (`validation_error`, `invalid_cursor`); `details` names each."),
        (
            403,
            "Without keys: called under a host name that is not this machine's, or by a page of another site \
             (`host_not_allowed`, `cross_site`).",
        ),
        (406, "The response is not available in a format that `Accept` allows (`not_acceptable`)."),
        (500, "Logged under the trace ID (`internal_error`)."),
        (504, "It took longer than REQUEST_TIMEOUT_SECONDS (`timeout`)."),
    ];
    if is_checked {
        statuses.retain(|(status, _)| *status != 403);
        statuses.push((401, "No key in `x-api-key` or token in `Authorization`, or a wrong one (`unauthorized`)."));
        statuses.push((
            403,
            "The key does not allow this (`insufficient_scope`, `limited_to_teams`); without keys, a host name that \
             is not this machine's, or a page of another site (`host_not_allowed`, `cross_site`).",
        ));
    }
    if operation.has_service() {
        statuses.push((404, "The service does not exist (`not_found`)."));
    }
    if operation.has_deployment() {
        statuses.push((404, "The deployment does not exist (`not_found`)."));
    }
    if has_team {
        statuses.push((404, "The team does not exist, or the key may not see it (`not_found`)."));
    }
    if operation.has_incident() {
        statuses.push((404, "The incident does not exist, or the key may not post about its service (`not_found`)."));
    }
    if operation.has_plugin_name() {
        statuses.push((404, "There is no such plugin (`not_found`)."));
    }
    if operation.has_plugin() {
        statuses.retain(|(status, _)| !matches!(status, 400 | 403 | 406));
        statuses.push((400, "It cannot be read, or its service is missing (`validation_error`)."));
        statuses.push((401, "The signature is missing or wrong (`unauthorized`)."));
        statuses.push((404, "There is no such plugin or service (`not_found`)."));
        statuses.push((409, "The id of an incident is that of another service (`conflict`)."));
        statuses.push((413, "The body is larger than 6 MB (`too_large`)."));
        statuses.push((415, "The body is not JSON (`unsupported_media_type`)."));
    }
    if operation.takes_lines() {
        statuses.retain(|(status, _)| *status != 400);
        statuses.push((
            400,
            "It has no line, or too many (`validation_error`). What is wrong with one line is in its result.",
        ));
        statuses.push((413, "The body is larger than 1 MB (`too_large`)."));
        statuses.push((415, "The body is not declared as application/x-ndjson (`unsupported_media_type`)."));
    } else if operation.request_body.is_some() {
        statuses.retain(|(status, _)| *status != 400);
        statuses.push((400, "A field is invalid (`validation_error`); `details` names each."));
        statuses.push((409, "The id was posted before with other values (`conflict`), or another source reports the deployments of the service (`other_source`)."));
        statuses.push((413, "The body is larger than 64 kB (`too_large`)."));
        statuses.push((415, "The body is not JSON (`unsupported_media_type`)."));
        if !operation.has_incident() {
            statuses.push((404, "The service does not exist, or the key may not post about it (`not_found`)."));
        }
    }
    if asks_database {
        statuses.push((
            503,
            "The database cannot be reached (`unavailable`), too many requests are in progress (`overloaded`), or the \
             schema does not match (`schema_outdated`).",
        ));
    }
    statuses.sort_unstable();
    statuses
}

/// Where a response links to: from all teams to one, from a team to its reports, from a page to the next.
fn links(operation: &Operation, operations: &[&Operation]) -> Map<String, Value> {
    let team = |pointer: &str| json!({ "team_id": format!("$response.body#/data/{pointer}slug") });
    match operation.id {
        "listTeams" => {
            let link = json!({ "operationId": "getTeam", "description": "The first team.", "parameters": team("0/") });
            Map::from_iter([("getTeam".to_owned(), link)])
        }
        "getTeam" => operations
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

/// The same request for the next page. Omitted parameters stay omitted.
fn next_page(operation: &Operation) -> Value {
    let mut parameters = Map::new();
    if operation.has_team() {
        parameters.insert("team_id".to_owned(), json!("$request.path.team_id"));
    }
    if operation.has_service() {
        parameters.insert("service".to_owned(), json!("$request.path.service"));
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

/// The parameters of an operation's path and query.
fn parameter_objects(operation: &Operation) -> Vec<Value> {
    let mut parameters: Vec<Value> = Vec::new();
    if operation.has_team() {
        parameters.push(json!({ "$ref": "#/components/parameters/team_id" }));
    }
    if operation.has_service() {
        parameters.push(json!({
            "name": "service", "in": "path", "required": true,
            "description": "The service's number or slug; that of a repository is `owner.name`.", "schema": service_schema()
        }));
    }
    if operation.has_deployment() {
        parameters.push(json!({
            "name": "deployment_id", "in": "path", "required": true,
            "description": "The deployment's number.",
            "schema": { "type": "string", "pattern": "^[1-9][0-9]{0,17}$", "examples": ["4711"] }
        }));
    }
    if operation.has_incident() {
        parameters.push(json!({
            "name": "incident_id", "in": "path", "required": true,
            "description": "The id that its sender gave the incident.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 200, "examples": ["INC-42"] }
        }));
    }
    if operation.has_plugin_name() {
        parameters.push(json!({
            "name": "name", "in": "path", "required": true,
            "description": "The name of a source or webhook, as in `/v1/plugins`.",
            "schema": { "type": "string", "pattern": "^[a-z-]{1,40}$", "examples": ["github"] }
        }));
    }
    if operation.has_plugin() {
        let plugins: Vec<&str> = Plugin::ALL.iter().map(<&str>::from).collect();
        parameters.push(json!({
            "name": "plugin", "in": "path", "required": true,
            "description": "Whose webhook it is.", "schema": { "type": "string", "enum": plugins }
        }));
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
        if object["schema"]["type"] == "array" {
            object["style"] = json!("form");
            object["explode"] = json!(false);
        }
        parameters.push(object);
    }
    parameters
}

/// Adds the responses to what cannot be answered.
fn add_errors(operation: &Operation, responses: &mut Map<String, Value>) {
    for (status, description) in error_statuses(operation) {
        let mut response = json!({
            "description": description,
            "content": {
                JSON: { "schema": { "$ref": "#/components/schemas/ErrorResponse" } },
                PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/ProblemDetails" } }
            }
        });
        let header = |name: &str| json!({ "$ref": format!("#/components/headers/{name}") });
        response["headers"] = json!({ REQUEST_ID.as_str(): header(REQUEST_ID.as_str()) });
        if status == 401 && !operation.has_plugin() {
            response["headers"]["WWW-Authenticate"] = header("WWW-Authenticate");
        }
        if status == 503 {
            response["headers"]["Retry-After"] = header("Retry-After");
        }
        responses.insert(status.to_string(), response);
    }
}

fn operation_object(
    operation: &Operation,
    operations: &[&Operation],
    generator: &mut SchemaGenerator,
    of_requests: &mut SchemaGenerator,
) -> Value {
    let mut parameters = parameter_objects(operation);
    let mut headers = Map::new();
    let mut add_header = |name: &str| {
        headers.insert(name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }));
    };
    add_header(REQUEST_ID.as_str());
    if operation.path.starts_with("/metrics/") {
        add_header("mergeline-data-as-of");
    }
    if operation.has_etag {
        add_header("ETag");
        parameters.push(json!({ "$ref": "#/components/parameters/if_none_match" }));
    }
    let mut content = Map::new();
    match operation.body {
        Body::Json(schema) | Body::Health(schema) => {
            content.insert(JSON.to_owned(), json!({ "schema": schema(generator) }))
        }
        Body::Document(JSON) => content.insert(JSON.to_owned(), json!({ "schema": { "type": "object" } })),
        Body::Nothing => None,
        Body::Document(other) => content.insert(other.to_owned(), json!({ "schema": { "type": "string" } })),
    };
    if operation.has_csv {
        content.insert(CSV.to_owned(), json!({ "schema": { "type": "string" } }));
    }
    let mut responses = Map::new();
    if let Body::Health(_) = operation.body {
        let failing = json!({ "description": "Not ready.", "headers": headers.clone(), "content": content.clone() });
        responses.insert("503".to_owned(), failing);
    }
    let mut answer = json!({
        "description": "The response.", "headers": headers.clone(), "content": content, "links": links(operation, operations)
    });
    if operation.has_csv {
        answer["headers"]["mergeline-meta"] = json!({ "$ref": "#/components/headers/mergeline-meta" });
    }
    if operation.has_pages() && operation.has_csv {
        answer["headers"]["mergeline-next-cursor"] = json!({ "$ref": "#/components/headers/mergeline-next-cursor" });
    }
    if operation.request_body.is_some() {
        let mut created = answer.clone();
        created["description"] = json!("It is new.");
        if operation.path == "/deployments" {
            created["headers"]["Location"] =
                json!({ "description": "The deployment.", "schema": { "type": "string" } });
        }
        if operation.takes_lines() {
            answer["description"] = json!("A result for each line.");
        } else {
            answer["description"] = json!("It was known.");
            if !operation.has_incident() {
                responses.insert("201".to_owned(), created);
            }
        }
    }
    if let Body::Nothing = operation.body {
        for (status, description) in [("202", "It means something here."), ("204", "It means nothing here.")] {
            responses.insert(status.to_owned(), json!({ "description": description, "headers": headers.clone() }));
        }
    } else {
        responses.insert("200".to_owned(), answer);
    }
    if operation.has_etag {
        let unchanged = "The client's copy is current. Nothing was computed.";
        responses.insert("304".to_owned(), json!({ "description": unchanged, "headers": headers }));
    }
    add_errors(operation, &mut responses);
    let mut object = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": parameters,
        "responses": responses,
        "security": []
    });
    if let Some(schema) = operation.request_body {
        let is_required = !operation.has_incident() || operation.method == Method::PUT;
        let media_type = if operation.takes_lines() { LINES } else { JSON };
        object["requestBody"] =
            json!({ "required": is_required, "content": { media_type: { "schema": schema(of_requests) } } });
    }
    if let Some(scope) = operation.scope {
        object["security"] = json!([{ "key": [] }, { "bearer": [] }]);
        object["description"] = json!(format!("{} Scope: {scope}.", operation.description));
    }
    object
}

/// How requests authenticate. Which of them the operator chose, the document cannot say: it is the same for all.
fn security_schemes() -> Value {
    json!({
        "key": {
            "type": "apiKey", "in": "header", "name": "x-api-key",
            "description": "A key of the operator, where keys are set."
        },
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "A token of the operator's provider of OpenID Connect, where the operator chose tokens in place of keys. \
                            The lines of `access` in the teams file say what it allows."
        }
    })
}

/// The whole document.
pub(crate) fn openapi(operations: &[&Operation]) -> Value {
    // Schemas describe output, so null values are present.
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<ErrorBody>();
    generator.subschema_for::<ProblemBody>();
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut of_requests = settings.into_generator();
    let mut paths = Map::new();
    for operation in operations {
        let object = operation_object(operation, operations, &mut generator, &mut of_requests);
        let path = paths.entry(format!("/v1{}", operation.path)).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_ascii_lowercase()] = object;
    }
    let mut schemas = generator.take_definitions(true);
    schemas.extend(of_requests.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mergeline",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Team delivery metrics from GitHub, with the pull requests behind every number.",
            "description": "Responses are `{data, meta, trace_id}`. Errors are `{error: {code, message, details, trace_id}}`, or problem \
                            details (RFC 9457) when `Accept` names application/problem+json. Unknown parameters are \
                            rejected. Every response with numbers states how fresh its data is in the header mergeline-data-as-of.",
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
                    "description": "The ETag of the client's copy of the response.",
                    "schema": { "type": "string" }
                }
            },
            "headers": {
                "x-request-id": {
                    "description": "The trace ID of the response, which identifies the request in the log.",
                    "required": true,
                    "schema": { "type": "string", "minLength": 1 }
                },
                "ETag": {
                    "description": "Identifies the response: formula, configuration, the last run that changed data, and the query.",
                    "required": true,
                    "schema": { "type": "string", "pattern": "^W/\"[0-9a-f]{32}\"$" }
                },
                "WWW-Authenticate": {
                    "description": "How to authenticate: with a key in the header x-api-key, or, where the operator chose \
                                    tokens, with `Authorization: Bearer`.",
                    "required": true,
                    "schema": { "type": "string", "enum": [CHALLENGE, BEARER, BEARER_REFUSED] }
                },
                "Retry-After": {
                    "description": "How many seconds to wait before a retry.",
                    "required": true,
                    "schema": { "type": "integer", "minimum": 1 }
                },
                "mergeline-data-as-of": {
                    "description": "The start of the oldest of the latest complete collections: newer data is not \
                                    guaranteed. Missing before the first.",
                    "schema": { "type": "string", "format": "date-time" }
                },
                "mergeline-meta": {
                    "description": "With CSV: `meta` as JSON in ASCII, because a table has no place for it. Its \
                                    coverage has repository counts instead of names.",
                    "schema": { "type": "string", "contentMediaType": "application/json" }
                },
                "mergeline-next-cursor": {
                    "description": "With CSV: `meta.next_cursor`, because a table has no place for it. Missing on the last page.",
                    "schema": { "type": "string" }
                }
            },
            "securitySchemes": security_schemes()
        }
    })
}
