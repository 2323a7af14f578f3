//! The API documentation as an HTML page without external resources.

use std::fmt::Write as _;

use mergeline_domain::metrics::{DEFINITIONS, WarningCode};

use crate::http::errors::ERRORS;
use crate::http::operation::Operation;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;\
    background:#fff}h1,h2,h3{line-height:1.2}h3{margin:2rem 0 .3rem}code{font:.9em ui-monospace,monospace;background:#f2f2f2;\
    padding:.1em .3em;border-radius:3px}table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{text-align:left;\
    vertical-align:top;padding:.3rem .6rem .3rem 0;border-bottom:1px solid #ddd}dt{font-weight:600;margin-top:.5rem}\
    dd{margin:0}@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}code{background:#2a2a2a}\
    td,th{border-color:#444}}";

/// Our own text as HTML, with `code` for text in backticks.
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

/// The page.
pub(crate) fn page(operations: &[&Operation]) -> String {
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width,initial-scale=1\"><title>Mergeline API</title><style>{STYLE}</style></head><body>\
         <h1>Mergeline API</h1><p>{}</p><p>For programs: <a href=\"openapi.json\">openapi.json</a>.</p><h2>Paths</h2>",
        html(
            "Responses are `{data, meta, trace_id}`, errors `{error: {code, message, details, trace_id}}`. Send the key in the header \
             `x-api-key`. For `data` as CSV, use `Accept: text/csv` or `format=csv`; `meta` is then in the header `mergeline-meta`. Send \
             a response's `ETag` back as `If-None-Match`: if nothing has changed, the response is an empty 304."
        )
    );
    for operation in operations {
        let scope = operation.scope.map_or_else(|| "open to everyone".to_owned(), |scope| format!("scope `{scope}`"));
        let _ = write!(
            out,
            "<h3 id=\"{}\"><code>{} /v1{}</code></h3><p><strong>{}.</strong> {} ({})</p>",
            operation.id,
            operation.method,
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
             <dt>Excludes</dt><dd>{}</dd><dt>Caveats</dt>",
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
    out.push_str("<h2>Warnings</h2><p>In <code>meta.warnings</code>: a code, a colon and a sentence.</p><table>");
    for code in WarningCode::ALL {
        let _ = write!(out, "<tr><td><code>{}</code></td><td>{}</td></tr>", code.as_str(), html(code.description()));
    }
    out.push_str("</table><h2>Errors</h2><table>");
    for (status, code, description) in ERRORS {
        let _ = write!(out, "<tr><td>{status} <code>{code}</code></td><td>{}</td></tr>", html(description));
    }
    out.push_str("</table></body></html>");
    out
}

/// What a parameter accepts, in a few words.
fn values(schema: &serde_json::Value) -> String {
    let list = |value: &serde_json::Value| {
        let texts = value.as_array().into_iter().flatten();
        let texts: Vec<String> = texts
            .map(|value| format!("`{}`", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        texts.join(", ")
    };
    match schema {
        // If there are hundreds of values, an example is shown.
        schema if schema["enum"].as_array().is_some_and(|values| values.len() < 10) => list(&schema["enum"]),
        schema if schema["maximum"].is_number() => format!("{} to {}", schema["minimum"], schema["maximum"]),
        schema if schema["type"] == "array" => "`acme/api,acme/web`".to_owned(),
        schema => list(&schema["examples"]),
    }
}
