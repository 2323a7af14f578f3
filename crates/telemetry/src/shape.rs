//! What is exported of a span: names and attributes of OpenTelemetry's semantic conventions, and nothing that is not listed here.

use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents};

/// The methods that have a name; any other is `_OTHER`.
const METHODS: [&str; 9] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"];
const OTHER: &str = "_OTHER";

/// Parts of GitHub's paths that name no person, repository or branch. All others become `{}`.
const PATH_PARTS: [&str; 46] = [
    "access_tokens",
    "actions",
    "api",
    "app",
    "branches",
    "commits",
    "compare",
    "comments",
    "contents",
    "deployments",
    "environments",
    "events",
    "files",
    "git",
    "graphql",
    "heads",
    "installation",
    "installations",
    "issues",
    "jobs",
    "labels",
    "latest",
    "logs",
    "merge",
    "meta",
    "orgs",
    "parents",
    "pulls",
    "rate_limit",
    "ref",
    "refs",
    "releases",
    "repos",
    "repositories",
    "reviews",
    "runs",
    "search",
    "statuses",
    "tags",
    "teams",
    "timeline",
    "trees",
    "user",
    "users",
    "v3",
    "workflows",
];

/// The span as it is exported. Events, which are log lines, are never exported, nor are descriptions of errors.
pub(crate) fn exported(span: SpanData) -> SpanData {
    let kind = Kind::of(&span);
    let text = |key: &str| text(&span.attributes, key);
    let method = text("http.method").map(|method| METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER));
    let mut attributes = Vec::new();
    let mut keep = |key: &'static str, value: Option<Value>| {
        attributes.extend(value.map(|value| KeyValue::new(key, value)));
    };
    keep("http.request.method", method.map(Value::from));
    keep("http.response.status_code", number(&span.attributes, "http.status"));
    keep("mergeline.run.id", number(&span.attributes, "run.id"));
    let name = match kind {
        Kind::Request => {
            // The route, never the path: a path is what anybody sends.
            let route = text("http.route");
            keep("http.route", route.map(|route| Value::from(route.to_owned())));
            // It is ours, or AWS's.
            keep("mergeline.trace_id", text("trace_id").map(|id| Value::from(id.to_owned())));
            [method, route].into_iter().flatten().collect::<Vec<_>>().join(" ")
        }
        Kind::GitHub => {
            let template = text("url.path").map(template).unwrap_or_default();
            keep("url.template", Some(Value::from(template.clone())));
            format!("{} {template}", method.unwrap_or(OTHER))
        }
        Kind::Query => {
            let query = text("query").map_or_else(
                || format!("{} transaction", text("access").unwrap_or_default().to_ascii_lowercase()),
                str::to_owned,
            );
            keep("db.system.name", Some(Value::from("postgresql")));
            keep("db.query.summary", Some(Value::from(query.clone())));
            query
        }
        Kind::Message => {
            keep("messaging.system", Some(Value::from("aws_sqs")));
            keep("messaging.operation.type", Some(Value::from("process")));
            keep("messaging.message.id", text("sqs.message_id").map(|id| Value::from(id.to_owned())));
            "process".to_owned()
        }
        Kind::Other => span.name.to_string(),
    };
    let is_failed = matches!(span.status, Status::Error { .. }) || is_server_error(&attributes);
    SpanData {
        name: name.into(),
        span_kind: kind.span_kind(),
        attributes,
        events: SpanEvents::default(),
        status: if is_failed { Status::error("") } else { Status::Unset },
        ..span
    }
}

/// What a span is about, by the name that the code gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    GitHub,
    Query,
    Message,
    Other,
}

impl Kind {
    fn of(span: &SpanData) -> Self {
        match span.name.as_ref() {
            "request" => Self::Request,
            "github_request" => Self::GitHub,
            "query" => Self::Query,
            "message" => Self::Message,
            _ => Self::Other,
        }
    }

    fn span_kind(self) -> SpanKind {
        match self {
            Self::Request => SpanKind::Server,
            Self::GitHub | Self::Query => SpanKind::Client,
            Self::Message => SpanKind::Consumer,
            Self::Other => SpanKind::Internal,
        }
    }
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|it| it.key.as_str() == key)?;
    match &found.value {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    }
}

fn number(attributes: &[KeyValue], key: &str) -> Option<Value> {
    let found = attributes.iter().find(|it| it.key.as_str() == key)?;
    match found.value {
        Value::I64(number) => Some(Value::I64(number)),
        _ => None,
    }
}

fn is_server_error(attributes: &[KeyValue]) -> bool {
    matches!(number(attributes, "http.response.status_code"), Some(Value::I64(500..)))
}

/// A path of GitHub's API with `{}` in place of everything that names something.
fn template(path: &str) -> String {
    let part = |part: &str| match PATH_PARTS.iter().find(|known| **known == part) {
        Some(known) => *known,
        None if part.is_empty() => "",
        None => "{}",
    };
    let mut parts: Vec<&str> = path.split('/').map(part).collect();
    // What follows these is a name, even one that is spelled like a part of a path.
    for at in 0..parts.len() {
        let names = match parts[at] {
            "repos" => 2,
            "users" | "orgs" | "branches" | "contents" | "compare" | "heads" | "tags" | "ref" => 1,
            _ => 0,
        };
        for name in parts.iter_mut().skip(at + 1).take(names) {
            *name = "{}";
        }
    }
    parts.join("/")
}
