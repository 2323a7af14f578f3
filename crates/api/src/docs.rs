//! `GET /v1/docs`: the API as a page to read, which asks nothing of other hosts.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::Extension;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::answer::document;
use crate::definitions::DEFINITIONS;
use crate::error::ApiError;
use crate::negotiation::Accept;
use crate::openapi::OPERATIONS;
use crate::parameters::Query;

pub(crate) const HTML: &str = "text/html";

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;\
    background:#fff}h1,h2,h3{line-height:1.2}h3{margin:2rem 0 .3rem}code{font:.9em ui-monospace,monospace;background:#f2f2f2;\
    padding:.1em .3em;border-radius:3px}table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{text-align:left;\
    vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #ddd}dt{font-weight:600;margin-top:.5rem}\
    dd{margin:0}@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}code{background:#2a2a2a}\
    td,th{border-color:#444}}";

/// Text of ours as HTML, with `code` where it stands between backticks.
fn html(text: &str) -> String {
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let mut out = String::with_capacity(escaped.len());
    for (index, part) in escaped.split('`').enumerate() {
        if index % 2 == 1 {
            let _ = write!(out, "<code>{part}</code>");
        } else {
            out.push_str(part);
        }
    }
    out
}

fn page() -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>Mergeline API</title><style>{STYLE}</style></head><body>\
         <h1>Mergeline API</h1><p>{}</p><p>The same for programs: <a href=\"openapi.json\">openapi.json</a>.</p><h2>Paths</h2>",
        html(
            "Answers are `{data, meta, trace_id}`, errors `{error: {code, message, details, trace_id}}`. Send the key in the header \
             `x-api-key`. `data` with CSV: `Accept: text/csv` or `format=csv`; `meta` is in the header `mergeline-meta` then. Send \
             an answer's `ETag` back as `If-None-Match`: while nothing has changed, the answer is an empty 304."
        )
    );
    for operation in OPERATIONS {
        let scope = operation.scope.map_or_else(|| "open to everybody".to_owned(), |scope| format!("scope `{scope}`"));
        let _ = write!(
            out,
            "<h3 id=\"{}\"><code>GET /v1{}</code></h3><p><strong>{}.</strong> {} ({})</p>",
            operation.id,
            html(operation.path),
            html(operation.summary),
            html(operation.description),
            html(&scope)
        );
        if !operation.parameters.is_empty() {
            out.push_str("<table><tr><th>parameter</th><th>meaning</th><th>values</th></tr>");
            for parameter in operation.parameters {
                let schema = (parameter.schema)();
                let values = values(&schema);
                let _ = write!(
                    out,
                    "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                    parameter.name,
                    html(parameter.description),
                    html(&values)
                );
            }
            out.push_str("</table>");
        }
    }
    out.push_str("<h2>What the numbers mean</h2>");
    for definition in &DEFINITIONS {
        let _ = write!(
            out,
            "<h3><code>{}</code> {}</h3><dl><dt>Formula</dt><dd>{}</dd><dt>Unit</dt><dd>{}</dd><dt>Includes</dt><dd>{}</dd>\
             <dt>Excludes</dt><dd>{}</dd><dt>To keep in mind</dt>",
            html(definition.id),
            html(definition.name),
            html(definition.formula),
            html(definition.unit),
            html(definition.includes),
            html(definition.excludes)
        );
        for caveat in definition.caveats {
            let _ = write!(out, "<dd>{}</dd>", html(caveat));
        }
        out.push_str("</dl>");
    }
    out.push_str("</body></html>");
    out
}

/// What a parameter takes, in a few words.
fn values(schema: &serde_json::Value) -> String {
    let list = |value: &serde_json::Value| {
        let texts = value.as_array().into_iter().flatten();
        let texts: Vec<String> = texts
            .map(|value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        texts.join(", ")
    };
    match schema {
        // Of hundreds an example is shown.
        schema if schema["enum"].as_array().is_some_and(|values| values.len() < 10) => list(&schema["enum"]),
        schema if schema["maximum"].is_number() => format!("{} to {}", schema["minimum"], schema["maximum"]),
        schema if schema["type"] == "array" => "`acme/api,acme/web`".to_owned(),
        schema => list(&schema["examples"]),
    }
}

/// The path by which the client asked, where a gateway is in front of the program, which may have taken a part of it. The gateway
/// also sees to who may ask.
#[derive(Debug, Clone)]
pub struct ClientPath(pub String);

/// Leads to the page from the addresses above it, by the path that the client knows.
pub(crate) async fn redirect(asked: Option<Extension<ClientPath>>) -> Response {
    let path = match &asked {
        Some(Extension(ClientPath(path))) => path.trim_matches('/'),
        // Where nothing is in front, the version is ours to say.
        None => "v1",
    };
    let target = if path.is_empty() { "/docs".to_owned() } else { format!("/{path}/docs") };
    let location = HeaderValue::from_str(&target).unwrap_or(HeaderValue::from_static("/v1/docs"));
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::TEMPORARY_REDIRECT, headers).into_response()
}

static PAGE: LazyLock<String> = LazyLock::new(page);

/// The page as an answer.
pub(crate) async fn get(headers: HeaderMap, query: axum::extract::RawQuery) -> Result<Response, ApiError> {
    Query::parse(&query.0.unwrap_or_default(), &[])?;
    Accept::of(&headers).require(HTML)?;
    let mut response = document("text/html; charset=utf-8", PAGE.clone().into_bytes());
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_path_and_definition_and_no_other_host() {
        let page = page();
        for operation in OPERATIONS {
            assert!(page.contains(&html(operation.path)), "{}", operation.path);
        }
        for definition in &DEFINITIONS {
            assert!(page.contains(definition.id), "{}", definition.id);
        }
        for elsewhere in ["http://", "https://", "//", "src=", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }
}
