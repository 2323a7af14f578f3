//! The document is what the program answers: no path is missing, none is too many, and the stored copy is the same.

mod common;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use common::{Backend, ask};
use mergeline_api::openapi;
use serde_json::Value;

#[test]
fn the_stored_document_is_the_one_that_the_program_makes() -> Result<()> {
    let stored: Value = serde_json::from_str(include_str!("../../../docs/openapi.json"))?;
    assert!(stored == openapi(), "it has drifted: cargo run -q -- openapi > docs/openapi.json");
    Ok(())
}

#[tokio::test]
async fn the_document_is_served_as_it_is() -> Result<()> {
    let answered = Backend::empty().await?.ask("/v1/openapi.json", &[]).await?;
    assert_eq!((answered.status, answered.header("content-type")), (200, "application/json"));
    assert_eq!(answered.header("cache-control"), "public, max-age=300");
    assert_eq!(serde_json::from_str::<Value>(&answered.text)?, openapi());
    Ok(())
}

fn documented() -> BTreeSet<String> {
    openapi()["paths"].as_object().into_iter().flatten().map(|(path, _)| path.clone()).collect()
}

/// The paths in the source of the router: what is nested below `/v1`, and what is not.
fn routed() -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let source = include_str!("../src/router.rs");
    let (below, rest) = source.split_once(".nest(\"/v1\", v1)").context("the version")?;
    let paths = |source: &str, prefix: &str| {
        let routes = source.split(".route(\"").skip(1).filter_map(|rest| rest.split_once('"'));
        routes.map(|(path, _)| format!("{prefix}{path}")).collect()
    };
    Ok((paths(below, "/v1"), paths(rest, "")))
}

#[test]
fn every_path_is_in_the_document_and_every_path_of_the_document_is_there() -> Result<()> {
    let (versioned, others) = routed()?;
    assert_eq!(versioned, documented());
    let others: BTreeSet<String> = others.into_iter().map(|path| format!("/v1{path}")).collect();
    assert!(others.is_subset(&documented()), "what lies beside the version is what lies below it: {others:?}");
    Ok(())
}

#[tokio::test]
async fn every_path_of_the_document_answers_with_a_type_that_it_names() -> Result<()> {
    let router = Backend::with(&common::history()).await?.router(None);
    let document = openapi();
    for path in documented() {
        let answered = ask(&router, "GET", &path.replace("{team_id}", "payments"), &[]).await?;
        assert_eq!(answered.status, 200, "{path}: {}", answered.text);
        let content = &document["paths"][&path]["get"]["responses"]["200"]["content"];
        let content_type = answered.header("content-type").split(';').next().unwrap_or_default();
        assert!(content.get(content_type).is_some(), "{path}: {content_type} is none of {content}");
    }
    Ok(())
}

#[tokio::test]
async fn the_page_says_the_same_and_runs_and_loads_nothing() -> Result<()> {
    let answered = Backend::empty().await?.ask("/v1/docs", &[]).await?;
    assert_eq!((answered.status, answered.header("content-type")), (200, "text/html; charset=utf-8"));
    insta::assert_snapshot!(answered.header("content-security-policy"), @"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    assert!(!answered.text.contains("<script"));
    for path in documented() {
        assert!(answered.text.contains(&path), "{path}");
    }
    Ok(())
}
