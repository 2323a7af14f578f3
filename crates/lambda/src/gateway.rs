//! The events that reach the API's function, and the paths under which API Gateway does.

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;
use lambda_http::http::Uri;
use lambda_http::http::uri::PathAndQuery;
use lambda_http::request::LambdaRequest;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use lambda_runtime::tower::Service;
use lambda_runtime::{Error, LambdaEvent};
use mergeline_api::{Caller, ClientPath};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::doctor::Examination;

/// The path parameter of the resources that match every path below them.
const PROXY: &str = "proxy";
/// The resource of the page, which needs no key.
const PAGE: &str = "/app";
/// What the resources below it begin with.
const PAGE_AND_BELOW: &str = "/app/";

/// The request as the router expects it: below `/v1`, without the prefix of the client's path. The prefix may be the
/// stage, the base path of a custom domain (`/delivery`, `/delivery/v1`), nothing, or the stage of the console's Test
/// button. If the gateway checked a signature of IAM, the request says whose it was.
pub fn without_base_path(mut request: Request) -> Request {
    let Some(RequestContext::ApiGatewayV1(context)) = request.request_context_ref() else { return request };
    let raw = request.raw_http_path();
    let parameters = request.path_parameters();
    let resource = context.resource_path.as_deref();
    let path = match (parameters.first(PROXY), resource) {
        (Some(proxy), _) => proxied(raw, proxy),
        (None, Some("/" | PAGE)) => "",
        (None, Some(resource)) if resource.contains('{') => {
            last_segments(raw, resource.trim_matches('/').split('/').count())
        }
        (None, _) => raw,
    };
    let rest = path.trim_start_matches('/');
    // The Test button sends the resource instead of a path.
    let requested = context.path.clone().filter(|path| !path.contains('{'));
    let path = match resource {
        // The gateway asked for no key, so the path never leaves the page.
        Some(PAGE) if requested.as_ref().is_some_and(|path| path.ends_with('/')) => "/v1/app/".to_owned(),
        Some(PAGE) => "/v1/app".to_owned(),
        Some(resource) if resource.starts_with(PAGE_AND_BELOW) => match resource.strip_suffix("{proxy+}") {
            Some(fixed) => format!("/v1{fixed}{rest}"),
            None => format!("/v1{resource}"),
        },
        _ => {
            let rest = rest.strip_prefix("v1").filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(rest);
            let rest = rest.trim_start_matches('/');
            if rest.is_empty() { "/v1".to_owned() } else { format!("/v1/{rest}") }
        }
    };
    let client = ClientPath(requested.unwrap_or_else(|| path.clone()));
    let caller = context.identity.user_arn.clone().map(Caller);
    // A path that is none leads nowhere: what the URI was made of may have been resolved to somewhere else.
    *request.uri_mut() = with_path(request.uri(), &path).unwrap_or_else(|| Uri::from_static("/v1/app/-"));
    request.extensions_mut().insert(client);
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    request
}

/// The part of the path that the proxy resource matched. It comes from the raw path, because the parameter may be
/// decoded.
fn proxied<'a>(raw: &'a str, proxy: &'a str) -> &'a str {
    if raw.ends_with(proxy) {
        return proxy;
    }
    last_segments(raw, proxy.trim_matches('/').split('/').count())
}

/// The end of a path with this many segments.
fn last_segments(path: &str, count: usize) -> &str {
    path.rmatch_indices('/').nth(count.saturating_sub(1)).map_or(path, |(at, _)| &path[at..])
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // An unencoded path is also in the URI that was built from it.
    let path: PathAndQuery = format!("{path}{query}").parse().ok()?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path);
    Uri::from_parts(parts).ok()
}

/// What the API's function is invoked with.
#[derive(Debug)]
pub enum ApiEvent {
    /// A request, through the gateway or a function URL.
    Request(Box<LambdaRequest>),
    /// `{"action":"doctor"}`, by somebody who may invoke the function itself. The gateway wraps all that it is sent.
    Doctor,
}

/// Nothing besides the action: an event of the gateway has a dozen fields more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    action: Action,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Doctor,
}

/// Longer events are requests.
const MAX_ASKED_BYTES: usize = 64;

impl<'de> Deserialize<'de> for ApiEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        // A list of its values would do for serde, too.
        if text.len() <= MAX_ASKED_BYTES
            && text.starts_with('{')
            && let Ok(Asked { action: Action::Doctor }) = serde_json::from_str(text)
        {
            return Ok(Self::Doctor);
        }
        serde_json::from_str(text).map(|request| Self::Request(Box::new(request))).map_err(D::Error::custom)
    }
}

/// The answer to an [`ApiEvent`].
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum ApiAnswer<R> {
    /// To a request.
    Response(R),
    /// What was found out.
    Examination(Examination),
}

/// Answers requests by one service, and questions to the function itself by another.
#[derive(Debug, Clone)]
pub struct DirectlyAsked<S, F> {
    requests: S,
    examine: F,
}

impl<S, F> DirectlyAsked<S, F> {
    /// `examine` answers `{"action":"doctor"}`, and `requests` everything else.
    pub fn new(requests: S, examine: F) -> Self {
        Self { requests, examine }
    }
}

impl<S, F> Service<LambdaEvent<ApiEvent>> for DirectlyAsked<S, F>
where
    S: Service<LambdaEvent<LambdaRequest>>,
    S::Error: Into<Error>,
    S::Response: Send + 'static,
    S::Future: Send + 'static,
    F: Fn() -> BoxFuture<'static, Examination>,
{
    type Response = ApiAnswer<S::Response>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.requests.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, event: LambdaEvent<ApiEvent>) -> Self::Future {
        match event.payload {
            ApiEvent::Doctor => (self.examine)().map(|found| Ok(ApiAnswer::Examination(found))).boxed(),
            ApiEvent::Request(request) => {
                let answering = self.requests.call(LambdaEvent::new(*request, event.context));
                answering.map(|answer| answer.map(ApiAnswer::Response).map_err(Into::into)).boxed()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bare_action_is_no_request() {
        let is_doctor = |text: &str| serde_json::from_str::<ApiEvent>(text).map(|it| matches!(it, ApiEvent::Doctor));
        assert!(is_doctor(r#"{"action":"doctor"}"#).expect("asked"));
        for other in [
            r#"{"action":"migrate"}"#,
            r#"{"action":"doctor","more":1}"#,
            r#"{"Action":"doctor"}"#,
            r#"["doctor"]"#,
            "{}",
        ] {
            assert!(!is_doctor(other).unwrap_or_default(), "{other}");
        }
        let mut event: serde_json::Value =
            serde_json::from_str(include_str!("../../../infra/events/api-teams.json")).expect("an event");
        for (name, value) in [("action", "doctor"), ("body", r#"{"action":"doctor"}"#)] {
            event[name] = value.into();
            assert!(!is_doctor(&event.to_string()).expect("a request"), "{name}");
        }
    }
}
