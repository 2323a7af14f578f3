//! The document matches the program: no path is missing or superfluous, and the stored copy is up to date.

mod common;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use common::{Backend, ask};
use mergeline_api::openapi;
use serde_json::Value;

#[test]
fn the_stored_document_is_up_to_date() -> Result<()> {
    let stored: Value = serde_json::from_str(include_str!("../../../docs/openapi.json"))?;
    assert!(stored == openapi(), "out of date: cargo run -q -- openapi > docs/openapi.json");
    Ok(())
}

#[tokio::test]
async fn the_document_is_served_unchanged() -> Result<()> {
    let answered = Backend::empty().await?.ask("/v1/openapi.json", &[]).await?;
    assert_eq!((answered.status, answered.header("content-type")), (200, "application/json"));
    assert_eq!(answered.header("cache-control"), "public, max-age=300");
    assert_eq!(serde_json::from_str::<Value>(&answered.text)?, openapi());
    Ok(())
}

/// The paths that can be read.
fn documented() -> BTreeSet<String> {
    let paths = openapi()["paths"].clone();
    let readable = paths.as_object().into_iter().flatten().filter(|(_, operations)| operations.get("get").is_some());
    readable.map(|(path, _)| path.clone()).collect()
}

#[tokio::test]
async fn unversioned_paths_answer_like_versioned_paths() -> Result<()> {
    let backend = Backend::empty().await?;
    let router = backend.router(None);
    for path in documented() {
        let beside = ask(&router, "GET", path.trim_start_matches("/v1"), &[]).await?;
        let is_health = ["/v1/health", "/v1/healthz"].contains(&path.as_str());
        assert_eq!(beside.status, if is_health { 200 } else { 404 }, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn every_path_answers_with_a_documented_type() -> Result<()> {
    let backend = Backend::with(&common::history()).await?;
    let router = backend.router(None);
    let document = openapi();
    for path in documented() {
        let asked = path
            .replace("{team_id}", "payments")
            .replace("{service}", "acme.api")
            .replace("{deployment_id}", "1")
            .replace("{name}", "github");
        let answered = ask(&router, "GET", &asked, &[]).await?;
        // There is no deployment.
        let status = if path.contains("{deployment_id}") { 404 } else { 200 };
        assert_eq!(answered.status, status, "{path}: {}", answered.text);
        let content = &document["paths"][&path]["get"]["responses"][status.to_string()]["content"];
        let content_type = answered.header("content-type").split(';').next().unwrap_or_default();
        assert!(content.get(content_type).is_some(), "{path}: {content_type} is not in {content}");
    }
    Ok(())
}

#[tokio::test]
async fn the_page_has_no_scripts_or_external_resources() -> Result<()> {
    let answered = Backend::empty().await?.ask("/v1/docs", &[]).await?;
    assert_eq!((answered.status, answered.header("content-type")), (200, "text/html; charset=utf-8"));
    insta::assert_snapshot!(answered.header("content-security-policy"), @"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    assert!(!answered.text.contains("<script"));
    for path in documented() {
        assert!(answered.text.contains(&path), "{path}");
    }
    Ok(())
}

/// Values of each parameter at the limits of what is allowed, on both sides.
fn edges() -> Vec<(&'static str, String)> {
    let mut edges: Vec<(&str, String)> = Vec::new();
    let mut add = |name, values: &[&str]| edges.extend(values.iter().map(|value| (name, (*value).to_owned())));
    add("from", &["1970-01-01", "1969-12-31", "2026-02-28", "2026-02-29", "2024-02-29", "2026-1-05", "2026-06-31", ""]);
    add("to", &["2199-12-31", "2200-01-01", "2026-13-01", "2026-00-10", "2026-06-00", "2026-06-15T00:00:00Z"]);
    add("last", &["P1D", "P3700D", "P3701D", "P4000D", "P528W", "P529W", "P530W", "P600W", "P121M", "P122M", "P130M"]);
    add("last", &["P10Y", "P11Y", "P9Y", "P0D", "P00D", "P01W", "P", "12W", "P1Q", "P9999Y", "P999D", "P999W"]);
    add("interval", &["day", "quarter", "year", "Day", ""]);
    add("weighting", &["full", "allocated", "half"]);
    add("base", &["main", "", "a b", "å", "a\u{7f}", "a\u{85}", "a\u{fffd}", "a\n"]);
    add("base", &[&"å".repeat(255), &"å".repeat(256), &"x".repeat(255), &"x".repeat(256)]);
    add(
        "repo",
        &["acme/api", "acme/x.git", "acme/x.GIT", "acme/git", "acme/it", "acme/T", "acme/xgit", "acme/agit", "acme"],
    );
    add(
        "repo",
        &["acme/.", "acme/..", "acme/...", "acme/a.", "acme/.a", "acme/.git", "acme/.gi", "acme/a.gi", "acme/g.it"],
    );
    add("repo", &["acme/a..", "acme/x.git.", "acme/x.gitt", "acme/x.gt", "acme/ ", "_a/b", "-a/b", "a/b/c", "acme/*"]);
    let long = |length| format!("acme/{}", "x".repeat(length));
    add(
        "repo",
        &[&long(100), &long(101), &format!("acme/{}.git", "x".repeat(96)), &format!("acme/{}git", "x".repeat(97))],
    );
    add("tz", &["Europe/Oslo", "UTC", "Europe/Kiev", "Europe/Kyiv", "CET", "europe/oslo", "Mars/Phobos", "", "+01:00"]);
    add("days", &["1", "366", "367", "0", "01", "7d", "-1", ""]);
    add("basis", &["delivered", "owned", "Owned", ""]);
    add("failures", &["incident", "rolled_back", "rollback", ""]);
    add("severity", &["critical", "low", "none", ""]);
    add("edition", &["dora-2019", "dora-2024", "dora-2022", "2024", ""]);
    add("service", &["shop", "acme.api", "7", "07", "acme/api", "a b", "", "å", &"s".repeat(200), &"s".repeat(201)]);
    add("team", &["payments", "7", "07", "Payments", ""]);
    add("environment", &["production", "Staging", "a b", "", "a\u{7f}", &"x".repeat(255), &"x".repeat(256)]);
    add("limit", &["1", "1000", "0", "1001", "01", "1e2", "-1"]);
    add("format", &["csv", "json", "xml"]);
    add("bom", &["0", "1", "2", "true", ""]);
    for year in 1969..=2200 {
        for week in ["00", "01", "52", "53", "54"] {
            edges.push(("week", format!("{year}-W{week}")));
        }
    }
    edges
}

#[tokio::test]
async fn parameters_are_accepted_exactly_as_documented() -> Result<()> {
    let backend = Backend::empty().await?;
    let router = backend.router(None);
    let document = openapi();
    let paths = [
        "/v1/metrics/team/{team_id}/velocity",
        "/v1/metrics/team/{team_id}/pull-requests",
        "/v1/metrics/dora",
        "/v1/deployments",
    ];
    let schema_of = |name: &str| {
        let tz = document.pointer("/components/parameters/tz");
        let listed = paths.iter().filter_map(|path| document["paths"][path]["get"]["parameters"].as_array());
        let schema = listed.flatten().chain(tz).find(|parameter| parameter["name"] == name)?.get("schema")?;
        // A list is split into items at commas, so items do not contain any.
        Some(schema.get("items").unwrap_or(schema).clone())
    };
    for (name, value) in edges() {
        let schema = schema_of(name).with_context(|| name.to_owned())?;
        let validator = jsonschema::options().should_validate_formats(true).build(&schema)?;
        let is_number = schema["type"] == "integer";
        let number = value.parse::<i64>().ok().filter(|number| number.to_string() == value);
        let is_allowed = match number.filter(|_| is_number) {
            Some(number) => validator.is_valid(&Value::from(number)),
            None => !is_number && validator.is_valid(&Value::from(value.clone())),
        };
        let path = match name {
            "limit" => paths[1],
            "days" | "basis" | "failures" | "severity" | "edition" | "service" => paths[2],
            "team" | "environment" => paths[3],
            _ => paths[0],
        };
        let path = path.replace("{team_id}", "payments");
        let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair(name, &value).finish();
        let answered = ask(&router, "GET", &format!("{path}?{query}"), &[]).await?;
        // What depends on other parameters, on today or on the data is not part of the schema.
        let beyond = ["empty_range", "unknown_repository", "unknown_service", "unknown_team", "range_too_large"];
        let refused = answered.refused();
        let is_refused = refused.iter().any(|(_, reason)| name == "last" || !beyond.contains(&reason.as_str()));
        assert_eq!(is_allowed, !is_refused, "{name}={value}: {refused:?}");
    }
    Ok(())
}

#[tokio::test]
async fn parent_addresses_redirect_to_the_page() -> Result<()> {
    let backend = Backend::empty().await?;
    let router = backend.router(Some(common::KEY));
    for path in ["/", "/v1", "/v1/"] {
        let answered = ask(&router, "GET", path, &[]).await?;
        assert_eq!((answered.status, answered.header("location")), (307, "/v1/docs"), "{path}");
        assert_eq!(answered.header("cache-control"), "no-store", "{path}");
        assert_eq!(ask(&router, "GET", answered.header("location"), &[]).await?.status, 200, "{path}");
    }
    Ok(())
}
