//! The paths under which API Gateway reaches the API.

use lambda_http::http::Uri;
use lambda_http::http::uri::PathAndQuery;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use mergeline_api::{Caller, ClientPath};

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
