//! The real binary `api` under the Lambda runtime protocol, with API Gateway's REST events.

#[path = "../../api/tests/common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::Utc;
use common::{Backend, TEAMS, history};
use futures::FutureExt;
use mergeline_api::{Api, router};
use mergeline_domain::Problems;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::{at, pr};
use mergeline_local_postgres::Server;
use mergeline_store::{Actor, ApplyOptions, DatabaseSettings, Passwords, Reader, Renewal, Writer};
use mergeline_test_support::{AwsEmulator, Exported, FakeOtlp, FakeProvider, Invocation, LambdaRuntime};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::Instant;

async fn start(backend: &Backend) -> Result<LambdaRuntime> {
    let environment = HashMap::from([("DB_URL", backend.database.url().to_owned())]);
    LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await
}

/// A proxy response as API Gateway receives it.
async fn invoke(function: &mut LambdaRuntime, event: Value) -> Result<Value> {
    match function.invoke(event).await? {
        Invocation::Answer(answer) => Ok(answer),
        Invocation::Error(error) => anyhow::bail!("the invocation failed: {error}"),
    }
}

/// The status and the JSON of a proxy response.
async fn ask(function: &mut LambdaRuntime, event: &str) -> Result<(i64, Value)> {
    let answer = invoke(function, serde_json::from_str(event)?).await?;
    let body = answer["body"].as_str().context("a body")?;
    Ok((answer["statusCode"].as_i64().context("a status")?, serde_json::from_str(body)?))
}

/// The event for a path without its version, with these parameters and one header.
fn event(path: &str, parameters: &[(&str, &str)], (name, value): (&str, &str)) -> Result<Value> {
    let mut event: Value = serde_json::from_str(include_str!("../../../infra/events/api-teams.json"))?;
    event["path"] = json!(path);
    event["requestContext"]["path"] = json!(format!("/v1{path}"));
    event["multiValueHeaders"] = json!({ name: [value] });
    event["headers"] = json!({ name: value });
    let values = parameters.iter().map(|(name, value)| ((*name).to_owned(), json!([value])));
    event["multiValueQueryStringParameters"] = values.collect();
    event["queryStringParameters"] =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    Ok(event)
}

#[tokio::test]
async fn rest_events_return_the_routers_data() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let mut function = start(&backend).await?;
    for (event, path) in [
        (include_str!("../../../infra/events/api-teams.json"), "/v1/teams"),
        (
            include_str!("../../../infra/events/api-velocity.json"),
            "/v1/metrics/team/payments/velocity?from=2026-06-01&to=2026-06-15",
        ),
        (
            include_str!("../../../infra/events/api-lead-time.json"),
            "/v1/metrics/team/payments/lead-time?from=2026-06-01&to=2026-07-01",
        ),
    ] {
        let (status, answer) = ask(&mut function, event).await?;
        assert_eq!(status, 200, "{path}: {answer}");
        assert_eq!(
            answer["data"],
            without_completeness(backend.get(path).await?.1["data"].clone(), &answer["data"]),
            "{path}"
        );
        assert_eq!(answer["trace_id"], json!(LambdaRuntime::TRACE_ID), "the trace id that Lambda also logs");
    }
    Ok(())
}

#[tokio::test]
async fn a_key_of_the_gateway_alone_reads_and_administers_nothing() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let mut function = start(&backend).await?;
    let header = ("accept", "application/json");
    let week = [("from", "2026-06-01"), ("to", "2026-06-15")];
    for (path, parameters, status) in [
        ("/metrics/team/payments/velocity", &week[..], 200),
        ("/metrics/team/payments/pull-requests", &week[..], 200),
        ("/coverage", &[], 200),
        ("/collection/status", &[], 403),
        ("/events", &[], 403),
    ] {
        let (found, answer) = ask(&mut function, &event(path, parameters, header)?.to_string()).await?;
        assert_eq!(found, status, "{path}: {answer}");
    }
    let posted = include_str!("../../../infra/events/api-deployment.json");
    let (status, answer) = ask(&mut function, posted).await?;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("insufficient_scope")), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_posted_event_is_stored_plain_or_encoded() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let database = ("DB_URL", backend.database.url().to_owned());
    let environment = HashMap::from([database, ("GATEWAY_KEY_SCOPE", "events:write".to_owned())]);
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let mut event: Value = serde_json::from_str(include_str!("../../../infra/events/api-deployment.json"))?;
    let (status, answer) = ask(&mut function, &event.to_string()).await?;
    assert_eq!((status, &answer["data"]["result"]), (201, &json!("created")), "{answer}");
    // The gateway encodes bodies of media types that are declared binary.
    let body = event["body"].as_str().context("a body")?.as_bytes();
    event["body"] = json!(BASE64_STANDARD.encode(body));
    event["isBase64Encoded"] = json!(true);
    let (status, answer) = ask(&mut function, &event.to_string()).await?;
    assert_eq!((status, &answer["data"]["result"]), (200, &json!("replayed")), "{answer}");
    event["httpMethod"] = json!("DELETE");
    assert_eq!(ask(&mut function, &event.to_string()).await?.0, 405);
    Ok(())
}

#[tokio::test]
async fn a_signed_request_has_the_scopes_of_its_caller() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let keys = r#"[
        {"name": "grafana", "arn": "arn:aws:iam::123456789012:role/tools/grafana", "scopes": ["metrics:read"], "teams": ["payments"]},
        {"name": "ops", "arn": "arn:aws:iam::123456789012:user/ops", "scopes": ["admin"]}]"#;
    let mut environment =
        HashMap::from([("DB_URL", backend.database.url().to_owned()), ("AUTHORIZER", "iam".to_owned())]);
    let role = "arn:aws:sts::123456789012:assumed-role/grafana/i-0123456789";
    let (user, stranger) = ("arn:aws:iam::123456789012:user/ops", "arn:aws:iam::123456789012:user/grafana");
    let signed_by = |path: &str, arn: Option<&str>| -> Result<String> {
        let mut event = event(path, &[], ("x-api-key", "local-only-not-a-secret"))?;
        event["requestContext"]["identity"]["userArn"] = json!(arn);
        Ok(event.to_string())
    };
    for (list, arn, expected) in [
        (Some(keys), Some(role), [200, 404, 403, 403]),
        (Some(keys), Some(user), [200, 200, 200, 200]),
        (Some(keys), Some(stranger), [403; 4]),
        (Some(keys), None, [403; 4]),
        // Without a list, all that the gateway lets in are alike, and none administers.
        (None, Some(stranger), [200, 200, 200, 403]),
        (None, None, [403; 4]),
    ] {
        environment.remove("API_KEYS");
        environment.extend(list.map(|list| ("API_KEYS", list.to_owned())));
        let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
        let mut found = [0; 4];
        for (status, path) in found.iter_mut().zip([
            "/metrics/team/payments/velocity",
            "/metrics/team/platform/velocity",
            "/metrics/team/payments/pull-requests",
            "/collection/status",
        ]) {
            *status = ask(&mut function, &signed_by(path, arn)?).await?.0;
        }
        assert_eq!(found, expected, "{arn:?} {list:?}");
        let (status, answer) = ask(&mut function, &signed_by("/app/config.json", arn)?).await?;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")), "nobody could log in to the page");
    }
    Ok(())
}

#[tokio::test]
async fn a_token_opens_what_the_gateway_asks_nothing_for() -> Result<()> {
    let backend = Backend::with_teams(&format!("access: [{{ subject: grafana, role: viewer }}]\n{TEAMS}")).await?;
    backend.keep(&history()).await?;
    #[expect(clippy::disallowed_methods, reason = "the function's clock is the real one")]
    let provider = FakeProvider::start(Utc::now).await?;
    provider.say(json!({ "sub": "grafana", "aud": "https://metrics.acme.com", "nonce": null }));
    let mut environment = HashMap::from([
        ("DB_URL", backend.database.url().to_owned()),
        ("AUTHORIZER", "jwt".to_owned()),
        ("JWT_ISSUER", provider.url().to_owned()),
        ("JWT_AUDIENCE", "https://metrics.acme.com".to_owned()),
    ]);
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let bearer = format!("Bearer {}", provider.token());
    for (path, (name, value), status) in [
        ("/metrics/team/payments/velocity", ("authorization", bearer.as_str()), 200),
        ("/collection/status", ("authorization", &bearer), 403),
        ("/teams", ("x-api-key", "local-only-not-a-secret"), 401),
        ("/teams", ("authorization", "Bearer a.b.c"), 401),
        ("/app/config.json", ("authorization", &bearer), 404),
    ] {
        let mut event = event(path, &[], (name, value))?;
        // A signature of IAM is no token.
        event["requestContext"]["identity"]["userArn"] = json!("arn:aws:iam::123456789012:user/grafana");
        let answer = invoke(&mut function, event).await?;
        assert_eq!(answer["statusCode"], json!(status), "{path} {name}: {answer}");
        let is_asked = answer["multiValueHeaders"]["www-authenticate"][0].as_str().unwrap_or_default();
        assert_eq!(is_asked.starts_with("Bearer "), status == 401, "{answer}");
    }
    // Without an audience the function does not start, and lets nobody in.
    environment.remove("JWT_AUDIENCE");
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let asked = function.invoke(event("/teams", &[], ("authorization", &bearer))?).await;
    assert!(!matches!(asked, Ok(Invocation::Answer(_))), "{asked:?}");
    Ok(())
}

fn checks(answer: &Value) -> Vec<String> {
    let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
    let checks = answer["checks"].as_array().into_iter().flatten();
    checks
        .map(|check| format!("{} {}: {}", text(check, "state"), text(check, "name"), text(check, "message")))
        .collect()
}

#[tokio::test]
async fn who_may_invoke_the_function_learns_what_it_reaches() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let aws = AwsEmulator::start().await?;
    #[expect(clippy::disallowed_methods, reason = "the function's clock is the real one")]
    let provider = FakeProvider::start(Utc::now).await?;
    let url =
        backend.database.url().replacen("postgres://mergeline_private@", "postgres://mergeline_private:canary@", 1);
    let secret = json!({ "client_secret": "canary-client", "session_secret": "8f3a61c97e04b5d2canary7e04b5d2aa" });
    let mut environment = aws.environment();
    let login = aws.create_secret("login", Some(&secret.to_string())).await?;
    environment.extend([
        ("DB_URL_SECRET_ARN", aws.create_secret("database", Some(&url)).await?),
        ("OIDC_ISSUER", provider.url().to_owned()),
        ("OIDC_CLIENT_ID", FakeProvider::CLIENT.to_owned()),
        ("OIDC_CLIENT_SECRET_ARN", login.clone()),
        ("SESSION_SECRET_ARN", login),
        ("PUBLIC_URL", "https://metrics.acme.com/v1/app/".to_owned()),
        ("AUTHORIZER", "jwt".to_owned()),
        ("JWT_AUDIENCE", "api".to_owned()),
    ]);
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let answer = invoke(&mut function, json!({ "action": "doctor" })).await?;
    assert_eq!(answer["action"], json!("doctor"));
    let issuer = provider.url();
    assert_eq!(
        checks(&answer),
        [
            "ok secret DB_URL: it can be read".to_owned(),
            "ok secret OIDC_CLIENT_SECRET: it can be read".to_owned(),
            "ok secret SESSION_SECRET: it can be read".to_owned(),
            "ok settings: they are valid".to_owned(),
            "ok database: it lets the login `mergeline_private` in, and the schema fits".to_owned(),
            format!("ok login: {issuer} answers, keys: 1"),
            format!("ok tokens: {issuer} answers, keys: 1; tokens must be for api"),
        ]
    );
    provider.with(|state| state.published_status = 503);
    aws.put_secret(&environment["DB_URL_SECRET_ARN"], "postgres://canary:canary@127.0.0.1:9/none").await?;
    let answer = invoke(&mut function, json!({ "action": "doctor" })).await?;
    let found = checks(&answer);
    assert!(found[4].starts_with("error database: with the login `canary`: "), "{found:?}");
    assert!(found[5].contains("503") && found[6].contains("503"), "{found:?}");
    let log = function.stop().await?;
    for text in [answer.to_string().replace("login `canary`", ""), log] {
        assert!(!text.contains("canary") && !text.contains("8f3a61c9"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn a_function_that_could_not_start_says_why_to_whoever_invokes_it() -> Result<()> {
    let aws = AwsEmulator::start().await?;
    let arn = aws.create_secret("created-empty", None).await?;
    let mut environment = aws.environment();
    environment.insert("DB_URL_SECRET_ARN", arn.clone());
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let answer = invoke(&mut function, json!({ "action": "doctor" })).await?;
    assert_eq!(checks(&answer), [format!("error secret DB_URL: Secrets Manager has no value for {arn}")]);
    let remedy = answer["checks"][0]["remedy"].as_str().unwrap_or_default();
    assert!(remedy.contains("put-secret-value"), "{answer}");
    // A request ends it, so that the next sandbox tries again.
    let event: Value = serde_json::from_str(include_str!("../../../infra/events/api-teams.json"))?;
    assert!(function.invoke(event).await.is_err());
    environment.remove("DB_URL_SECRET_ARN");
    environment.insert("REQUEST_TIMEOUT_SECONDS", "0".to_owned());
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let found = checks(&invoke(&mut function, json!({ "action": "doctor" })).await?);
    let names = found.iter().map(|check| check.split(": ").nth(1).unwrap_or_default()).collect::<Vec<_>>();
    assert_eq!(names, ["DB_URL", "REQUEST_TIMEOUT_SECONDS"], "{found:?}");
    Ok(())
}

#[tokio::test]
async fn no_request_through_the_gateway_asks_the_function_itself() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let mut function = start(&backend).await?;
    let question = r#"{"action":"doctor"}"#;
    for (method, path) in [("POST", "/"), ("POST", "/deployments"), ("GET", "/doctor"), ("POST", "/webhook/github")] {
        let mut event = event(path, &[("action", "doctor")], ("action", "doctor"))?;
        event["httpMethod"] = json!(method);
        event["body"] = json!(question);
        let answer = invoke(&mut function, event).await?;
        assert!(answer["statusCode"].as_i64().is_some_and(|status| status >= 400), "{method} {path}: {answer}");
        assert_eq!(answer.get("checks"), None);
    }
    let mut direct = function_url_event(&[("host", "localhost")]);
    direct["body"] = json!(question);
    assert_eq!(invoke(&mut function, direct).await?.get("checks"), None);
    Ok(())
}

/// A function URL event. `cargo lambda watch` sends one for every request to its port.
fn function_url_event(headers: &[(&str, &str)]) -> Value {
    let headers: serde_json::Map<_, _> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/v1/teams", "rawQueryString": "", "headers": headers,
        "requestContext": {
            "stage": "$default", "routeKey": "$default", "domainName": "localhost", "domainPrefix": "api", "requestId": "1",
            "http": { "method": "GET", "path": "/v1/teams", "protocol": "http", "sourceIp": "127.0.0.1", "userAgent": "curl" },
            "time": "15/Jun/2026:12:00:00 +0000", "timeEpoch": 1_781_524_800,
        },
        "isBase64Encoded": false,
    })
}

#[tokio::test]
async fn without_keys_function_urls_reject_cross_site_requests() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let mut function = start(&backend).await?;
    for (headers, expected) in [
        (&[("host", "localhost:9000")][..], (200, Value::Null)),
        (&[("host", "127.0.0.1:9000")], (200, Value::Null)),
        (&[("host", "evil.example:9000")], (403, json!("host_not_allowed"))),
        (&[("host", "localhost:9000"), ("origin", "http://evil.example")], (403, json!("cross_site"))),
        (&[("host", "localhost:9000"), ("sec-fetch-site", "cross-site")], (403, json!("cross_site"))),
    ] {
        let (status, answer) = ask(&mut function, &function_url_event(headers).to_string()).await?;
        assert_eq!((status, answer["error"]["code"].clone()), expected, "{headers:?}: {answer}");
    }
    assert_eq!(ask(&mut function, include_str!("../../../infra/events/api-teams.json")).await?.0, 200);
    Ok(())
}

/// The binary uses the real clock and the test's router a fixed one, so only `complete` of a bucket may differ.
fn without_completeness(mut expected: Value, found: &Value) -> Value {
    let buckets = expected.pointer_mut("/buckets").and_then(Value::as_array_mut);
    if let (Some(expected), Some(found)) = (buckets, found["buckets"].as_array()) {
        for (bucket, found) in expected.iter_mut().zip(found) {
            bucket["complete"] = found["complete"].clone();
            bucket["incomplete"] = found["incomplete"].clone();
        }
    }
    if let Some(total) = expected.get_mut("total") {
        total["incomplete"] = found["total"]["incomplete"].clone();
    }
    expected
}

/// The event for an address: the client's path, the path in the event, and the gateway's value of `{proxy+}`.
fn addressed(client: &str, path: &str, proxy: Option<&str>) -> Result<Value> {
    let mut event = event(path, &[], ("accept", "*/*"))?;
    event["resource"] = json!(if proxy.is_some() { "/{proxy+}" } else { "/" });
    event["requestContext"]["resourcePath"] = event["resource"].clone();
    event["requestContext"]["path"] = json!(client);
    event["pathParameters"] = proxy.map_or(Value::Null, |proxy| json!({ "proxy": proxy }));
    Ok(event)
}

#[tokio::test]
async fn every_gateway_path_works_below_a_base_path() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let mut function = start(&backend).await?;
    for (client, path, proxy) in [
        ("/v1/teams/payments", "/teams/payments", "teams/payments"),
        ("/delivery/teams/payments", "/delivery/teams/payments", "teams/payments"),
        ("/delivery/v1/teams/payments", "/delivery/v1/teams/payments", "teams/payments"),
        ("/delivery/v1/teams/payments", "/delivery/v1/teams/payments", "v1/teams/payments"),
        ("/teams/teams/payments", "/teams/teams/payments", "teams/payments"),
        ("/v1/teams/payments", "/v1/teams/payments", "v1/teams/payments"),
    ] {
        let answer = invoke(&mut function, addressed(client, path, Some(proxy))?).await?;
        assert_eq!(answer["statusCode"], json!(200), "{client} {proxy}: {answer}");
    }
    // The Test button of the console.
    let mut event = addressed("/{proxy+}", "/teams/payments", Some("teams/payments"))?;
    event["requestContext"]["stage"] = json!("test-invoke-stage");
    (event["headers"], event["multiValueHeaders"]) = (Value::Null, Value::Null);
    assert_eq!(invoke(&mut function, event).await?["statusCode"], json!(200), "the Test button");
    for path in ["/webhook/github", "/delivery/webhook/github", "/delivery/v1/webhook/github"] {
        let mut event: Value = serde_json::from_str(include_str!("../../../infra/events/api-webhook.json"))?;
        (event["path"], event["requestContext"]["path"]) = (json!(path), json!(path));
        // No secret is configured, so no signature is right.
        assert_eq!(invoke(&mut function, event).await?["statusCode"], json!(401), "{path}");
    }
    let nothing = invoke(&mut function, addressed("/delivery/nothing", "/delivery/nothing", Some("nothing"))?).await?;
    assert_eq!(nothing["statusCode"], json!(404));
    Ok(())
}

#[tokio::test]
async fn every_base_path_redirects_to_its_page() -> Result<()> {
    let backend = Backend::empty().await?;
    let mut function = start(&backend).await?;
    for (client, path, proxy, target) in [
        ("/v1", "/", None, "/v1/app/"),
        ("/v1/", "/", None, "/v1/app/"),
        ("/", "/", None, "/app/"),
        ("/delivery", "/delivery", None, "/delivery/app/"),
        ("/delivery/", "/delivery/", None, "/delivery/app/"),
        ("/delivery/v1", "/delivery/v1", None, "/delivery/v1/app/"),
        ("/delivery/v1/", "/delivery/v1/", Some("v1/"), "/delivery/v1/app/"),
        ("//evil.example/", "/", None, "/evil.example/app/"),
    ] {
        let answer = invoke(&mut function, addressed(client, path, proxy)?).await?;
        let location = &answer["multiValueHeaders"]["location"];
        assert_eq!((&answer["statusCode"], location), (&json!(307), &json!([target])), "{client}");
    }
    Ok(())
}

/// The event for an address of the page: the client's path, and the gateway's value of `{proxy+}`.
fn page_event(client: &str, proxy: Option<&str>) -> Result<Value> {
    let mut event = addressed(client, client.strip_prefix("/v1").unwrap_or(client), proxy)?;
    event["resource"] = json!(if proxy.is_some() { "/app/{proxy+}" } else { "/app" });
    event["requestContext"]["resourcePath"] = event["resource"].clone();
    Ok(event)
}

#[tokio::test]
async fn the_page_is_served_as_text_below_every_base_path() -> Result<()> {
    let backend = Backend::empty().await?;
    let mut function = start(&backend).await?;
    for (client, target) in [("/v1/app", "/v1/app/"), ("/app", "/app/"), ("/delivery/app", "/delivery/app/")] {
        let answer = invoke(&mut function, page_event(client, None)?).await?;
        let location = &answer["multiValueHeaders"]["location"];
        assert_eq!((&answer["statusCode"], location), (&json!(307), &json!([target])), "{client}");
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../dashboard/dist/assets"))?;
    let files: Vec<_> =
        files.map(|file| Ok(format!("assets/{}", file?.file_name().display()))).collect::<Result<_>>()?;
    assert!(files.len() > 2, "{files:?}");
    let files = files.iter().map(String::as_str).chain(["index.html", "icon.svg", "config.json"]);
    for base in ["/v1/app/", "/app/", "/delivery/app/"] {
        let page = invoke(&mut function, page_event(base, None)?).await?;
        assert_eq!(page["statusCode"], json!(200), "{base}");
        assert!(page["body"].as_str().is_some_and(|body| body.contains("<title>")), "{base}: {page}");
        for file in files.clone() {
            let answer = invoke(&mut function, page_event(&format!("{base}{file}"), Some(file))?).await?;
            assert_eq!(
                (&answer["statusCode"], &answer["isBase64Encoded"]),
                (&json!(200), &json!(false)),
                "{base}{file}"
            );
        }
    }
    let config = invoke(&mut function, page_event("/v1/app/config.json", Some("config.json"))?).await?;
    let config: Value = serde_json::from_str(config["body"].as_str().context("text")?)?;
    assert_eq!((&config["login"], &config["api"]), (&json!("key"), &json!("../")));
    Ok(())
}

/// The gateway asks for no key there, and without `API_KEYS` the program asks for none elsewhere.
#[tokio::test]
async fn no_path_of_the_page_leads_to_data() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let mut function = start(&backend).await?;
    for resource in ["/app/{proxy+}", "/app/api/{proxy+}"] {
        for below in [
            "teams",
            "v1/teams",
            "/teams",
            "//v1/teams",
            "../teams",
            "../v1/teams",
            "%2e%2e/teams",
            "..%2fteams",
            "%2e%2e%2fteams",
            "x/../../teams",
            "api/teams",
            "api/v1/teams",
            "api",
            "v1",
            "v1/app/../teams",
            "teams/payments",
            ";/../teams",
            "..;/teams",
            "<x/../../teams",
            "x y/../../teams",
            "`/../../v1/teams",
            ">/../../../v1/teams",
            "\\..\\teams",
        ] {
            for proxy in [below, below.trim_start_matches('/'), "teams", ""] {
                for client in [format!("/v1/app/{below}"), format!("/delivery/app/{below}")] {
                    let mut event = page_event(&client, Some(proxy))?;
                    event["resource"] = json!(resource);
                    event["requestContext"]["resourcePath"] = json!(resource);
                    let answer = invoke(&mut function, event).await?;
                    let body = answer["body"].as_str().unwrap_or_default();
                    assert!(!body.contains("payments"), "{client} ({proxy}): {answer}");
                    assert_ne!(
                        (&answer["statusCode"], body.starts_with('{')),
                        (&json!(200), true),
                        "{client} ({proxy}): {answer}"
                    );
                }
            }
        }
    }
    Ok(())
}

/// The event for an address below the page, with parameters and headers.
fn page_request(method: &str, below: &str, parameters: &[(&str, &str)], headers: &[(&str, &str)]) -> Result<Value> {
    let mut event = page_event(&format!("/v1/app/{below}"), Some(below))?;
    if let Some(proxy) = below.strip_prefix("api/") {
        event["resource"] = json!("/app/api/{proxy+}");
        event["requestContext"]["resourcePath"] = event["resource"].clone();
        event["pathParameters"] = json!({ "proxy": proxy });
    }
    event["httpMethod"] = json!(method);
    event["requestContext"]["httpMethod"] = json!(method);
    let pairs = |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), json!([b]))).collect::<Value>();
    let one = |list: &[(&str, &str)]| list.iter().map(|(a, b)| ((*a).to_owned(), json!(b))).collect::<Value>();
    event["multiValueQueryStringParameters"] = pairs(parameters);
    event["queryStringParameters"] = one(parameters);
    event["multiValueHeaders"] = pairs(headers);
    event["headers"] = one(headers);
    Ok(event)
}

/// The cookies that a response sets, by name.
fn cookies(answer: &Value) -> HashMap<String, String> {
    let lines = answer["multiValueHeaders"]["set-cookie"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let pairs = lines.filter_map(|line| line.split(';').next().and_then(|pair| pair.split_once('=')));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[tokio::test]
async fn somebody_logs_in_through_the_gateway_and_sees_what_access_allows() -> Result<()> {
    let access = "access:\n  - { group: payments, role: viewer, teams: [payments] }\n";
    let backend = Backend::with_teams(&format!("{}\n{access}", TEAMS.trim_end_matches('\n'))).await?;
    backend.keep(&history()).await?;
    #[expect(clippy::disallowed_methods, reason = "the function checks its tokens by the machine's clock")]
    let provider = FakeProvider::start(Utc::now).await?;
    provider.say(json!({ "groups": ["payments"] }));
    let aws = AwsEmulator::start().await?;
    let mut environment = aws.environment();
    let secret = json!({ "client_secret": "canary-client", "session_secret": "8f3a61c97e04b5d28f3a61c97e04b5d2" });
    let arn = aws.create_secret("login", Some(&secret.to_string())).await?;
    environment.extend([
        ("DB_URL", backend.database.url().to_owned()),
        ("OIDC_ISSUER", provider.url().to_owned()),
        ("OIDC_CLIENT_ID", FakeProvider::CLIENT.to_owned()),
        ("OIDC_CLIENT_SECRET_ARN", arn.clone()),
        ("SESSION_SECRET_ARN", arn),
        ("PUBLIC_URL", "https://metrics.acme.com/v1/app/".to_owned()),
    ]);
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;

    let login = invoke(&mut function, page_request("GET", "login", &[("to", "#/teams?last=P4W")], &[])?).await?;
    assert_eq!(login["statusCode"], json!(303), "{login}");
    let location = url::Url::parse(login["multiValueHeaders"]["location"][0].as_str().context("a location")?)?;
    let parameters: HashMap<String, String> = location.query_pairs().into_owned().collect();
    provider.with(|state| state.nonce.clone_from(&parameters["nonce"]));
    let attempt = format!("__Host-mergeline-login={}", cookies(&login)["__Host-mergeline-login"]);
    let parameters = [("code", "once"), ("state", parameters["state"].as_str())];
    let back = invoke(&mut function, page_request("GET", "callback", &parameters, &[("cookie", &attempt)])?).await?;
    let target = json!(["https://metrics.acme.com/v1/app/#/teams?last=P4W"]);
    assert_eq!((&back["statusCode"], &back["multiValueHeaders"]["location"]), (&json!(303), &target), "{back}");
    // Both cookies arrive: that of the session, and the end of the attempt's.
    let set = cookies(&back);
    assert_eq!((set.len(), set["__Host-mergeline-login"].as_str()), (2, ""), "{back}");
    let session = format!("__Host-mergeline={}", set["__Host-mergeline"]);

    let own = ("sec-fetch-site", "same-origin");
    for (path, headers, status) in [
        ("api/teams/payments", vec![("cookie", session.as_str()), own], 200),
        ("api/teams/platform", vec![("cookie", session.as_str()), own], 404),
        ("api/collection/status", vec![("cookie", session.as_str()), own], 403),
        ("api/teams/payments", vec![("cookie", session.as_str()), ("sec-fetch-site", "cross-site")], 403),
        ("api/teams/payments", vec![("cookie", attempt.as_str()), own], 401),
        ("api/teams/payments", vec![own], 401),
    ] {
        let answer = invoke(&mut function, page_request("GET", path, &[], &headers)?).await?;
        assert_eq!(answer["statusCode"], json!(status), "{path} {headers:?}: {answer}");
    }
    let headers = [("cookie", session.as_str()), own];
    let out = invoke(&mut function, page_request("POST", "logout", &[], &headers)?).await?;
    assert_eq!((&out["statusCode"], cookies(&out)["__Host-mergeline"].as_str()), (&json!(204), ""), "{out}");
    let log = function.stop().await?;
    let value = session.split_once('=').context("a value")?.1;
    assert!(!log.contains("canary-client") && !log.contains(value) && !log.contains("8f3a61c97e04b5d2"), "{log}");
    Ok(())
}

#[tokio::test]
async fn unknown_paths_and_parameters_return_the_error_envelope() -> Result<()> {
    let backend = Backend::empty().await?;
    let mut function = start(&backend).await?;
    let event = include_str!("../../../infra/events/api-teams.json");
    let (status, answer) = ask(&mut function, &event.replace("/teams", "/nothing")).await?;
    assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")));
    let event = include_str!("../../../infra/events/api-velocity.json").replace("\"from\"", "\"form\"");
    let (status, answer) = ask(&mut function, &event).await?;
    assert_eq!((status, &answer["error"]["details"][0]["parameter"]), (400, &json!("form")));
    Ok(())
}

#[tokio::test]
async fn every_response_format_arrives_as_readable_text() -> Result<()> {
    let title = "Ærlig, \"talt\" 🦀\\";
    let merged = pr("acme/api", 8).merged("2026-06-10T00:00:00Z").titled(title);
    let backend = Backend::with(&[merged]).await?;
    let mut function = start(&backend).await?;
    let range = [("from", "2026-06-01"), ("to", "2026-06-15")];
    let pull_requests = "/metrics/team/payments/pull-requests";
    let (anything, problem) = (("accept", "*/*"), ("accept", "application/problem+json"));
    let trace = format!("Root={}", LambdaRuntime::TRACE_ID);
    for (path, parameters, header, status, content_type) in [
        (pull_requests, &range[..], ("accept", "text/csv"), 200, Some("text/csv; charset=utf-8; header=present")),
        ("/docs", &[][..], ("accept", "text/html"), 200, Some("text/html; charset=utf-8")),
        ("/openapi.json", &[][..], anything, 200, Some("application/json")),
        ("/metrics/team/unknown/velocity", &range[..], problem, 404, Some("application/problem+json")),
        (pull_requests, &range[..], ("if-none-match", "*"), 304, None),
    ] {
        let answer = invoke(&mut function, event(path, parameters, header)?).await?;
        let found = &answer["multiValueHeaders"]["content-type"];
        assert_eq!((&answer["statusCode"], found), (&json!(status), &content_type.map(|it| [it]).into()), "{path}");
        assert_eq!(answer["isBase64Encoded"], json!(false), "{path}");
        let query: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers = [header, ("x-amzn-trace-id", &*trace)];
        let expected = backend.ask(&format!("/v1{path}?{}", query.join("&")), &headers).await?;
        assert_eq!(answer["body"].as_str().unwrap_or_default(), expected.text, "{path}");
        assert_eq!(answer["body"].as_str().is_some_and(|text| !text.is_empty()), content_type.is_some(), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn the_largest_page_fits_lambdas_response_limit() -> Result<()> {
    let merged = |number: i64| pr("acme/api", 2_000_000_000 + number).merged("2026-06-10T00:00:00Z");
    let backend = Backend::with(&(1..=1_001).map(merged).collect::<Vec<_>>()).await?;
    // The longest possible names, every flag, and the characters that take the most bytes: a quote is escaped in the
    // page, and both characters of that again in the proxy response.
    sqlx::raw_sql(
        r#"update repositories set current_name = repeat('o', 39) || '/' || repeat('n', 100);
        update accounts set login = repeat('l', 39) where login = 'ana';
        update team_memberships set weight = 0.3333, joined_at = '2026-06-09 00:00:01', left_at = '2026-06-11 00:00:01';
        update pull_requests set title = repeat('"', 900), base_ref = repeat('"', 255), is_draft = false,
            additions = 2147483647, deletions = 2147483647, changed_files = 2147483647,
            first_review_at = '2026-06-11', created_at = '2026-06-12', first_commit_at = '2026-06-13',
            detailed_at = null, is_draft_history_incomplete = true, has_unread_commits = true;"#,
    )
    .execute(&backend.database.pool().await?)
    .await?;
    let mut function = start(&backend).await?;
    for format in ["json", "csv"] {
        let parameters = [("from", "2026-06-01"), ("to", "2026-06-15"), ("limit", "1000"), ("format", format)];
        let event = event("/metrics/team/payments/pull-requests", &parameters, ("accept", "*/*"))?;
        // A longer response would be refused here, as in Lambda.
        let answer = invoke(&mut function, event).await?;
        let body = answer["body"].as_str().context("a body")?;
        assert_eq!(
            (&answer["statusCode"], body.matches("reviewed_after_merge").count()),
            (&json!(200), 1_000),
            "{format}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_database_url_is_read_from_its_secret() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let aws = AwsEmulator::start().await?;
    let url =
        backend.database.url().replacen("postgres://mergeline_private@", "postgres://mergeline_private:canary@", 1);
    let mut environment = aws.environment();
    environment.insert("DB_URL_SECRET_ARN", aws.create_secret("database", Some(&url)).await?);
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    for _ in 0..2 {
        let (status, answer) = ask(&mut function, include_str!("../../../infra/events/api-teams.json")).await?;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(aws.requests("GetSecretValue").await?, 1);
    let log = function.stop().await?;
    assert!(!log.contains("canary"), "{log}");
    Ok(())
}

#[tokio::test]
async fn hashed_api_keys_from_a_secret_are_checked() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let aws = AwsEmulator::start().await?;
    // printf %s local-only-not-a-secret | sha256sum
    let sha256 = "ccecef4cea4247d249a8564333749220b1ff39429ee34fa792a60295a9f3fd63";
    let keys = format!(r#"[{{"name": "canary", "sha256": "{sha256}", "scopes": ["admin"]}}]"#);
    let mut environment = aws.environment();
    environment.insert("DB_URL", backend.database.url().to_owned());
    environment.insert("API_KEYS_SECRET_ARN", aws.create_secret("keys", Some(&keys)).await?);
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let event = include_str!("../../../infra/events/api-teams.json");
    assert_eq!(ask(&mut function, event).await?.0, 200);
    let (status, answer) = ask(&mut function, &event.replace("local-only", "another-one")).await?;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("unauthorized")));
    assert_eq!(ask(&mut function, &event.replace("x-api-key", "x-other")).await?.0, 401);
    let log = function.stop().await?;
    assert!(!log.contains(sha256) && !log.contains("local-only"), "{log}");
    Ok(())
}

#[tokio::test]
async fn an_unreadable_secret_stops_startup_with_advice() -> Result<()> {
    let backend = Backend::empty().await?;
    let aws = AwsEmulator::start().await?;
    let arn = aws.create_secret("created-empty", None).await?;
    for (also, expected) in [(None, "put-secret-value"), (Some(backend.database.url()), "unset one of them")] {
        let mut environment = aws.environment();
        environment.insert("DB_URL_SECRET_ARN", arn.clone());
        environment.extend(also.map(|url| ("DB_URL", url.to_owned())));
        let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
        let event = serde_json::from_str(include_str!("../../../infra/events/api-teams.json"))?;
        let error = function.invoke(event).await.err().context("the function started")?;
        assert!(error.to_string().contains(expected), "{error}");
    }
    Ok(())
}

/// A private server that requires a password from `api`, and the URL of a database on it that has teams. `{}` stands
/// for the password, which is `canary-1`.
async fn server_with_passwords() -> Result<(Server, PgPool, String)> {
    let server = tokio::task::spawn_blocking(Server::throwaway).await??;
    let pool = PgPool::connect(&server.superuser_url("postgres")).await?;
    for step in [
        "create role api login password 'canary-1'",
        "create database numbers owner api",
        "create table rules as values ('local all api scram-sha-256'), ('local all all trust')",
        "do $$ begin execute format('copy rules to %L', current_setting('hba_file')); end $$",
        "select pg_reload_conf()",
    ] {
        sqlx::raw_sql(step).execute(&pool).await?;
    }
    let url = server.url("numbers").replacen("mergeline_private@", "api:{}@", 1);
    // The server reloads its rules asynchronously.
    let are_in_force = async { while PgPool::connect(&url.replace("{}", "wrong")).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), are_in_force).await?;
    let settings = DatabaseSettings::parse(&url.replace("{}", "canary-1").into()).map_err(Problems::from)?;
    let store = Writer::connect(&settings, Actor::Collector);
    store.migrate().await?;
    let teams = TeamsFile::parse("teams.yaml", TEAMS.as_bytes())?;
    store.apply(&teams, ApplyOptions::default(), at(common::NOW)).await?;
    store.close().await;
    Ok((server, pool, url))
}

/// Changes the password, and ends the connections that used the previous one.
async fn change_password(pool: &PgPool, password: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(format!("alter role api password '{password}'"))).execute(pool).await?;
    sqlx::raw_sql("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = 'api'")
        .execute(pool)
        .await?;
    Ok(())
}

/// Repeats the request until it succeeds. The function checks the secret again a few seconds after a check that found
/// no change.
async fn until_answered(function: &mut LambdaRuntime, event: &str) -> Result<()> {
    let response = async {
        while ask(function, event).await?.0 != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(60), response).await.context("the new secret is never used")?
}

#[tokio::test]
async fn during_an_outage_requests_share_one_secret_check() -> Result<()> {
    let settings = |name: &str| match name {
        "DB_URL" => Some("postgres://nobody@127.0.0.1:9/none".to_owned()),
        "REQUEST_TIMEOUT_SECONDS" => Some("1".to_owned()),
        _ => None,
    };
    let settings = mergeline_api::Settings::from_vars(settings)?;
    let checks = async |pause: Duration| -> Result<usize> {
        let checks = Arc::new(AtomicUsize::new(0));
        let counted = checks.clone();
        let renewal = Renewal::new(Duration::from_secs(3_600), pause, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { false }.boxed()
        });
        let store = Reader::connect(&settings.database).with_renewal(renewal);
        let router = router(Api::new(store, settings.timeout, || at(common::NOW)));
        for path in ["/v1/teams", "/v1/health", "/v1/teams"] {
            assert_eq!(common::ask(&router, "GET", path, &[]).await?.status, 503, "{path}");
        }
        Ok(checks.load(Ordering::Relaxed))
    };
    assert_eq!((checks(Duration::from_secs(3_600)).await?, checks(Duration::ZERO).await?), (1, 3));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn outages_check_secrets_at_most_every_ten_seconds() -> Result<()> {
    let settings = DatabaseSettings::parse(&"postgres://nobody@127.0.0.1:9/none".to_owned().into());
    let timeout = Duration::from_secs(1);
    let store = Reader::connect(&settings.map_err(Problems::from)?.for_requests_within(timeout));
    let checks = Arc::new(Mutex::new(Vec::new()));
    let seen = checks.clone();
    let renewal = mergeline_lambda::renewal(move || {
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        async { false }.boxed()
    });
    let router = router(Api::new(store.with_renewal(renewal), timeout, || at(common::NOW)));
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        let requests = (0..5).map(|_| common::ask(&router, "GET", "/v1/teams", &[]));
        for response in futures::future::try_join_all(requests).await? {
            assert_eq!(response.status, 503, "{}", response.text);
        }
        tokio::time::advance(Duration::from_millis(300)).await;
    }
    let checks = checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(checks.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(10)), "{checks:?}");
    // And each check as soon as allowed.
    assert!(checks.len() >= 5, "{checks:?}");
    Ok(())
}

#[tokio::test]
async fn each_new_connection_asks_for_a_password_of_its_own() -> Result<()> {
    let (_server, pool, url) = server_with_passwords().await?;
    let (asked, current) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new("canary-1".to_owned())));
    let (counted, known) = (asked.clone(), current.clone());
    let passwords = Passwords::new(move |address| {
        counted.fetch_add(1, Ordering::SeqCst);
        let password = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_ours = address.login == "api" && address.port != 0;
        let answer = if is_ours { Ok(password.into()) } else { Err(format!("{address:?}")) };
        async move { answer }.boxed()
    });
    // The password in the URL is not used.
    let settings = DatabaseSettings::parse(&url.replace("{}", "canary-wrong").into()).map_err(Problems::from)?;
    let api = Reader::connect(&settings.with_passwords(passwords).with_connections(1));
    api.teams(at("2026-06-17T12:00:00Z")).await?;
    for number in 2..=4 {
        // As when a token has ended: what was good for the last connection is not for the next one.
        let (password, before) = (format!("canary-{number}"), asked.load(Ordering::SeqCst));
        change_password(&pool, &password).await?;
        let refused = api.ping().await.err().context("a connection with the last one")?;
        assert_eq!(refused.code(), "db_auth");
        *current.lock().unwrap_or_else(PoisonError::into_inner) = password;
        api.ping().await?;
        assert_eq!(asked.load(Ordering::SeqCst), before + 2, "two connections beside the pool");
        // The pool's own has ended, and the pool opens another.
        api.teams(at("2026-06-17T12:00:00Z")).await?;
        assert!(asked.load(Ordering::SeqCst) > before + 2);
    }
    // Why there is none is said, and not what.
    *current.lock().unwrap_or_else(PoisonError::into_inner) = "canary-1".to_owned();
    let nobody = url.replace("api:{}@", "nobody@");
    let settings = DatabaseSettings::parse(&nobody.into()).map_err(Problems::from)?;
    let none = Passwords::new(|_| async { Err("no credentials".to_owned()) }.boxed());
    let error = Reader::connect(&settings.with_passwords(none)).ping().await.err().context("without a password")?;
    assert_eq!(error.code(), "db_unavailable");
    Ok(())
}

#[tokio::test]
async fn a_token_of_iam_is_sent_to_no_server_that_has_not_proved_its_name() -> Result<()> {
    let backend = Backend::empty().await?;
    let aws = AwsEmulator::start().await?;
    let mut environment = aws.environment();
    environment.extend([("DB_URL", backend.database.url().to_owned()), ("DB_LOGIN", "iam".to_owned())]);
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let found = checks(&invoke(&mut function, json!({ "action": "doctor" })).await?);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("error settings: DB_URL: config.insecure_tls"), "{found:?}");
    let event: Value = serde_json::from_str(include_str!("../../../infra/events/api-teams.json"))?;
    assert!(function.invoke(event).await.is_err());
    // One that would prove it is asked with a token, and has to answer.
    environment.insert("DB_URL", "postgres://reader@db.mergeline.test:5432/numbers".to_owned());
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let found = checks(&invoke(&mut function, json!({ "action": "doctor" })).await?);
    assert_eq!(found[0], "ok settings: they are valid");
    assert!(found[1].starts_with("error database: with the login `reader`"), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn f19_the_warm_api_picks_up_a_rotated_password() -> Result<()> {
    let (_server, pool, url) = server_with_passwords().await?;
    let aws = AwsEmulator::start().await?;
    let arn = aws.create_secret("database", Some(&url.replace("{}", "canary-1"))).await?;
    let mut environment = aws.environment();
    environment.insert("DB_URL_SECRET_ARN", arn.clone());
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let event = include_str!("../../../infra/events/api-teams.json");
    let (_, before) = ask(&mut function, event).await?;
    assert_eq!(before["meta"]["count"], json!(3), "{before}");
    change_password(&pool, "canary-2").await?;
    aws.put_secret(&arn, &url.replace("{}", "canary-2")).await?;
    for _ in 0..2 {
        let (status, answer) = ask(&mut function, event).await?;
        assert_eq!((status, &answer["data"]), (200, &before["data"]), "{answer}");
    }
    assert_eq!(aws.requests("GetSecretValue").await?, 1 + 1, "once at the start and once for the new password");
    let log = function.stop().await?;
    assert!(!log.contains("canary"), "{log}");
    Ok(())
}

#[tokio::test]
async fn f19_an_unreachable_database_address_is_looked_up_again() -> Result<()> {
    let backend = Backend::empty().await?;
    let aws = AwsEmulator::start().await?;
    let arn = aws.create_secret("database", Some("postgres://api:canary@127.0.0.1:1/numbers")).await?;
    let mut environment = aws.environment();
    environment.insert("DB_URL_SECRET_ARN", arn.clone());
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let event = include_str!("../../../infra/events/api-teams.json");
    assert_eq!(ask(&mut function, event).await?.0, 503);
    aws.put_secret(&arn, backend.database.url()).await?;
    until_answered(&mut function, event).await?;
    assert_eq!(
        aws.requests("GetSecretValue").await?,
        1 + 2,
        "at the start, once without a change, and once for the new address"
    );
    function.stop().await?;
    Ok(())
}

#[tokio::test]
async fn f19_a_changed_address_replaces_one_that_still_answers() -> Result<()> {
    let (before, after) = (Backend::empty().await?, Backend::with_teams(&TEAMS.replace("payments", "billing")).await?);
    let settings = DatabaseSettings::parse(&after.database.url().to_owned().into()).map_err(Problems::from)?;
    // A connection to the old database is open.
    assert_eq!(before.get("/v1/teams/payments").await?.0, 200);
    let store = before.reader.clone();
    let renewal = Renewal::new(Duration::ZERO, Duration::ZERO, move || {
        let (store, settings) = (store.clone(), settings.clone());
        async move {
            store.reconnect_with(&settings);
            true
        }
        .boxed()
    });
    let router = router(Api { store: before.reader.clone().with_renewal(renewal), ..before.api() });
    assert_eq!(common::ask(&router, "GET", "/v1/teams/billing", &[]).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn f19_new_address_is_found_behind_a_silent_one() -> Result<()> {
    let backend = Backend::empty().await?;
    // Connections are accepted, and nobody answers them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("postgres://nobody@{}/none", silent.local_addr()?);
    for path in ["/v1/health", "/v1/teams"] {
        let settings = |url: &str| DatabaseSettings::parse(&url.to_owned().into()).map_err(Problems::from);
        let store = Reader::connect(&settings(&url)?.for_requests_within(Duration::from_secs(2)));
        let (plain, found) = (store.clone(), settings(backend.database.url())?);
        let renewal = Renewal::new(Duration::from_secs(3_600), Duration::ZERO, move || {
            plain.reconnect_with(&found);
            async { true }.boxed()
        });
        let router = router(Api { store: store.with_renewal(renewal), ..backend.api() });
        assert_eq!(common::ask(&router, "GET", path, &[]).await?.status, 200, "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn f41_wrong_passwords_return_503_until_the_secret_changes() -> Result<()> {
    let (_server, pool, url) = server_with_passwords().await?;
    let aws = AwsEmulator::start().await?;
    let arn = aws.create_secret("database", Some(&url.replace("{}", "canary-0"))).await?;
    let mut environment = aws.environment();
    environment.insert("DB_URL_SECRET_ARN", arn.clone());
    let mut function = LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await?;
    let event = include_str!("../../../infra/events/api-teams.json");
    let (status, answer) = ask(&mut function, event).await?;
    assert_eq!((status, &answer["error"]["code"]), (503, &json!("unavailable")));
    assert_eq!(aws.requests("GetSecretValue").await?, 1 + 1, "at the start, and once without a change");
    aws.put_secret(&arn, &url.replace("{}", "canary-1")).await?;
    until_answered(&mut function, event).await?;
    assert_eq!(aws.requests("GetSecretValue").await?, 1 + 2, "no matter how many requests there were");
    change_password(&pool, "canary-3").await?;
    assert_eq!(ask(&mut function, event).await?.0, 503);
    // The health endpoint also picks up the new password.
    aws.put_secret(&arn, &url.replace("{}", "canary-3")).await?;
    until_answered(&mut function, &event.replace("/teams", "/health")).await?;
    assert_eq!(aws.requests("GetSecretValue").await?, 1 + 3);
    let log = function.stop().await?;
    assert!(log.contains("db_auth") && !log.contains("canary"), "{log}");
    Ok(())
}

/// The trace of a caller, W3C's own example.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A function `api` whose traces go there.
async fn start_traced(backend: &Backend, otlp: &FakeOtlp) -> Result<LambdaRuntime> {
    let environment = HashMap::from([
        ("DB_URL", backend.database.url().to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.url().to_owned()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary-header".to_owned()),
    ]);
    LambdaRuntime::start(Path::new(env!("CARGO_BIN_EXE_api")), &environment).await
}

/// The spans of some requests.
fn spans(exported: &[Exported]) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    for it in exported {
        let request = ExportTraceServiceRequest::decode(it.body.clone())?;
        spans.extend(request.resource_spans.into_iter().flat_map(|it| it.scope_spans).flat_map(|it| it.spans));
    }
    Ok(spans)
}

/// What a span says, without its times and ids.
fn said(span: &Span) -> Vec<&str> {
    let mut keys: Vec<&str> = span.attributes.iter().map(|it| it.key.as_str()).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn an_answers_spans_are_exported_in_the_callers_trace() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let otlp = FakeOtlp::start().await?;
    let mut function = start_traced(&backend, &otlp).await?;
    let mut event = event(
        "/metrics/team/payments/velocity",
        &[("from", "2026-06-01"), ("to", "2026-06-15")],
        ("traceparent", TRACEPARENT),
    )?;
    event["multiValueHeaders"]["x-api-key"] = json!(["canary-key"]);
    event["multiValueHeaders"]["user-agent"] = json!(["canary-agent"]);
    let (status, answer) = ask(&mut function, &event.to_string()).await?;
    assert_eq!(status, 200, "{answer}");
    let exported = otlp.after(1).await;
    assert_eq!(exported[0].headers["authorization"], "Bearer canary-header", "decoded");
    let spans = spans(&exported)?;
    let (request, queries): (Vec<&Span>, Vec<&Span>) =
        spans.iter().partition(|span| span.kind == SpanKind::Server as i32);
    assert_eq!(request.len(), 1, "{spans:?}");
    assert_eq!(request[0].name, "GET /v1/metrics/team/{team_id}/velocity");
    assert_eq!(
        said(request[0]),
        ["http.request.method", "http.response.status_code", "http.route", "mergeline.trace_id"]
    );
    assert_eq!(hex(&request[0].parent_span_id), "00f067aa0ba902b7", "the caller's span");
    assert!(queries.iter().any(|span| span.name == "statistics"), "{queries:?}");
    for span in &spans {
        assert_eq!(hex(&span.trace_id), TRACE, "{span:?}");
        assert!(span.events.is_empty(), "log lines are not exported: {span:?}");
    }
    for query in queries {
        assert_eq!(query.kind, SpanKind::Client as i32, "{query:?}");
        assert_eq!(said(query), ["db.query.summary", "db.system.name"], "{query:?}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_that_a_caller_writes_is_exported() -> Result<()> {
    let backend = Backend::with(&[pr("acme/api", 1).titled("canary-title").by("ana")]).await?;
    let otlp = FakeOtlp::start().await?;
    let mut function = start_traced(&backend, &otlp).await?;
    for (path, parameters) in [
        ("/metrics/team/payments/pull-requests", &[("from", "2026-06-01"), ("to", "2026-06-15")][..]),
        ("/metrics/team/canary-team/velocity", &[("repo", "canary/repository"), ("base", "canary-branch")]),
        ("/canary-path/canary-login", &[("canary-name", "canary-value")]),
        ("/teams/payments", &[]),
    ] {
        let mut event = event(path, parameters, ("traceparent", TRACEPARENT))?;
        for header in ["x-api-key", "authorization", "cookie", "user-agent", "tracestate", "baggage", "x-amzn-trace-id"]
        {
            event["multiValueHeaders"][header] = json!([format!("canary={header}")]);
        }
        event["requestContext"]["identity"]["sourceIp"] = json!("203.0.113.77");
        ask(&mut function, &event.to_string()).await?;
    }
    let exported = otlp.after(4).await;
    let (requests, queries): (Vec<Span>, Vec<Span>) =
        spans(&exported)?.into_iter().partition(|span| span.kind == SpanKind::Server as i32);
    assert!(requests.len() == 4 && !queries.is_empty(), "{requests:?} {queries:?}");
    for it in &exported {
        let text = format!("{:?}", ExportTraceServiceRequest::decode(it.body.clone())?);
        for secret in ["canary", "ana", "203.0.113.77", "2026-06-01", "select ", "payments", "postgres://"] {
            let found = text.match_indices(secret).next().map(|(at, _)| &text[at.saturating_sub(40)..at]);
            assert_eq!(found, None, "{secret}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_no_answer_and_is_left_alone() -> Result<()> {
    let backend = Backend::with(&history()).await?;
    let otlp = FakeOtlp::hanging().await?;
    let mut function = start_traced(&backend, &otlp).await?;
    let event = event("/teams", &[], ("accept", "application/json"))?.to_string();
    for _ in 0..3 {
        assert_eq!(ask(&mut function, &event).await?.0, 200);
    }
    // It holds the first request's connection still, and got no second one.
    assert_eq!((otlp.after(1).await.len(), otlp.requests()), (1, 1));
    let log = function.stop().await?;
    assert_eq!(log.matches("telemetry.not_exported").count(), 1, "{log}");
    assert!(!log.contains("canary"), "{log}");
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
