//! Faults on request.

use std::convert::Infallible;
use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::answer::{Answer, Page, Payload};

/// GitHub's message for too many requests in a short time.
const SECONDARY: &str = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
/// Larger than any page of GitHub, once decompressed.
const BOMB_BYTES: usize = 12 * 1024 * 1024;

/// Compressed once, because that takes a while.
static BOMB: LazyLock<Page> = LazyLock::new(|| Page::of_bytes(vec![b' '; BOMB_BYTES], true));

/// Why GitHub refuses a request although the token has the permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The organization allows certain addresses only.
    IpAllowList,
    /// The organization does not allow classic tokens.
    ClassicToken,
    /// The organization does not allow fine-grained tokens.
    FineGrainedToken,
    /// The organization does not allow tokens with a lifetime over 90 days.
    TokenLifetime,
    /// The organization has not approved the token's OAuth App.
    OAuthApp,
    /// The App's installation is suspended.
    Installation,
    /// The token's account is suspended.
    Account,
    /// GitHub blocks the repository for a violation of its terms.
    Blocked,
    /// GitHub blocks the repository for legal reasons.
    BlockedByLaw,
}

impl Refused {
    /// GitHub's message, as reported by users.
    fn message(self) -> &'static str {
        match self {
            Self::IpAllowList => {
                "Although you appear to have the correct authorization credentials, the `acme` organization has an IP allow list \
                 enabled, and your IP address is not permitted to access this resource."
            }
            Self::ClassicToken => {
                "`acme` forbids access via a personal access token (classic). Please use a GitHub App, OAuth App, or a personal \
                 access token with fine-grained permissions."
            }
            Self::FineGrainedToken => {
                "`acme` forbids access via a fine-grained personal access token. Please use a GitHub App, OAuth App, or a \
                 personal access token (classic)."
            }
            Self::TokenLifetime => {
                "The 'acme' organization forbids access via a fine-grained personal access tokens if the token's lifetime is \
                 greater than 90 days. Please adjust your token's lifetime at the following URL: \
                 https://github.com/settings/personal-access-tokens/1"
            }
            Self::OAuthApp => {
                "Although you appear to have the correct authorization credentials, the `acme` organization has enabled OAuth App \
                 access restrictions, meaning that data access to third-parties is limited."
            }
            Self::Installation => "This installation has been suspended",
            Self::Account => "Sorry. Your account was suspended.",
            Self::Blocked | Self::BlockedByLaw => "Repository access blocked",
        }
    }

    pub(crate) fn answer(self) -> Answer {
        let blocked = |status, reason| {
            let block =
                json!({ "reason": reason, "created_at": "2026-01-01T00:00:00Z", "html_url": "https://github.com/tos" });
            Answer::json(status, &json!({ "message": self.message(), "block": block }))
        };
        match self {
            Self::Blocked => blocked(StatusCode::FORBIDDEN, "tos"),
            Self::BlockedByLaw => blocked(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS, "dmca"),
            _ => Answer::error(StatusCode::FORBIDDEN, self.message()),
        }
    }
}

/// A fault of the next response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No fault: the unchanged response, before a later fault.
    Nothing,
    /// A response with this status in GitHub's error format.
    Status(u16),
    /// 502 with a proxy's HTML page.
    BadGatewayHtml,
    /// The hourly limit is used up until this Unix time.
    RateLimited {
        /// When it resets.
        reset: u64,
    },
    /// The hourly limit is used up until this Unix time, which may be past, zero or negative.
    ResetAt(i64),
    /// The secondary limit, with the seconds to wait.
    SecondaryLimit {
        /// `retry-after`.
        retry_after: u64,
    },
    /// The secondary limit without a time to wait; the hourly limit is not used up.
    SecondaryLimitWithoutHeaders,
    /// 429.
    TooManyRequests {
        /// `retry-after`.
        retry_after: Option<u64>,
    },
    /// The response, with non-numeric rate limit headers.
    NonNumericLimits,
    /// A rate limit refusal whose headers, including `retry-after`, are not numeric.
    NonNumericRefusal,
    /// The response, with a limit of 0 of which 0 remain, like an Enterprise server without limits.
    ZeroOfZero,
    /// 403: the organization requires single sign-on for the token.
    SamlSso,
    /// 403: the token lacks the permission.
    ResourceNotAccessible,
    /// 403 or 451 for a reason other than a missing permission.
    Refused(Refused),
    /// 200 with a proxy's HTML page instead of JSON.
    Html,
    /// 200 with an empty list.
    EmptyList,
    /// A complete HTTP response whose JSON is truncated.
    TruncatedJson,
    /// The connection ends in the middle of the body.
    Truncated,
    /// The connection ends after half of the announced body length.
    HalfResponse,
    /// A byte per second, endlessly.
    SlowBody,
    /// The connection ends without a response.
    Reset,
    /// 304, even without a matching ETag.
    NotModified,
    /// The next page is on this host.
    NextPageAt(String),
    /// A redirect to this address.
    RedirectTo(String),
    /// Larger than any page of GitHub, once decompressed.
    GzipBomb,
    /// 200 with GraphQL's `errors`.
    GraphqlErrors {
        /// The error's `type`; omitted if empty, as GitHub does when a query takes too long.
        kind: String,
        /// Whether there is data too: everything except the last node.
        with_data: bool,
    },
}

/// The response to a fault. The original response is uncompressed, and built only if needed.
pub(crate) fn faulty(fault: &Fault, answer: impl FnOnce() -> Answer) -> Answer {
    match fault {
        Fault::Nothing => answer(),
        Fault::Status(status) => Answer::error(
            StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            "Failed by request",
        ),
        Fault::RateLimited { .. }
        | Fault::ResetAt(_)
        | Fault::SecondaryLimit { .. }
        | Fault::SecondaryLimitWithoutHeaders
        | Fault::TooManyRequests { .. }
        | Fault::NonNumericRefusal => limited(fault),
        Fault::NonNumericLimits => limits(answer(), "soon"),
        Fault::ZeroOfZero => limits(answer(), "0"),
        Fault::SamlSso => Answer::error(
            StatusCode::FORBIDDEN,
            "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to \
             this organization.",
        )
        .saying("x-github-sso", "required; url=https://github.com/orgs/acme/sso?authorization_request=AAAA"),
        Fault::ResourceNotAccessible => {
            Answer::error(StatusCode::FORBIDDEN, "Resource not accessible by personal access token")
                .saying("x-accepted-github-permissions", "pull_requests=read")
        }
        Fault::Refused(refused) => refused.answer(),
        Fault::BadGatewayHtml => html(StatusCode::BAD_GATEWAY, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
        Fault::Html => html(StatusCode::OK, "<html><body>Please log in</body></html>"),
        Fault::EmptyList => Answer::json(StatusCode::OK, &json!([])),
        Fault::NotModified => Answer::new(StatusCode::NOT_MODIFIED, "application/json", Bytes::new()),
        Fault::NextPageAt(address) => answer().with(header::LINK, &format!("<{address}>; rel=\"next\"")),
        Fault::RedirectTo(address) => Answer::moved(address),
        Fault::GzipBomb => Answer::page(StatusCode::OK, &BOMB),
        Fault::GraphqlErrors { kind, with_data } => with_errors(answer(), kind, *with_data),
        Fault::TruncatedJson | Fault::Truncated | Fault::HalfResponse | Fault::SlowBody | Fault::Reset => {
            broken_off(fault, answer)
        }
    }
}

fn html(status: StatusCode, page: &'static str) -> Answer {
    Answer::new(status, "text/html", page)
}

/// Rate limit refusals.
fn limited(fault: &Fault) -> Answer {
    let used_up = |reset: &str| {
        Answer::error(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1.")
            .saying("x-ratelimit-remaining", "0")
            .saying("x-ratelimit-reset", reset)
    };
    match fault {
        Fault::RateLimited { reset } => used_up(&reset.to_string()),
        Fault::ResetAt(reset) => used_up(&reset.to_string()),
        Fault::NonNumericRefusal => limits(used_up("soon"), "soon").with(header::RETRY_AFTER, "soon"),
        Fault::SecondaryLimit { retry_after } => {
            Answer::error(StatusCode::FORBIDDEN, SECONDARY).with(header::RETRY_AFTER, &retry_after.to_string())
        }
        Fault::TooManyRequests { retry_after } => {
            let answer = Answer::error(StatusCode::TOO_MANY_REQUESTS, SECONDARY);
            match retry_after {
                Some(seconds) => answer.with(header::RETRY_AFTER, &seconds.to_string()),
                None => answer,
            }
        }
        _ => Answer::error(StatusCode::FORBIDDEN, SECONDARY),
    }
}

fn limits(mut answer: Answer, value: &'static str) -> Answer {
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-used", "x-ratelimit-reset"] {
        answer = answer.saying(name, value);
    }
    answer
}

/// Responses that are cut off.
fn broken_off(fault: &Fault, answer: impl FnOnce() -> Answer) -> Answer {
    let streamed =
        |body: Body| Answer { status: StatusCode::OK, headers: HeaderMap::new(), body: Payload::Stream(body) };
    let json = |answer: Answer| answer.with(header::CONTENT_TYPE, "application/json; charset=utf-8");
    match fault {
        Fault::Reset => Answer::nothing(),
        Fault::SlowBody => json(streamed(Body::from_stream(drops()))),
        Fault::Truncated => json(streamed(then_broken(Bytes::from_static(b"[{\"number\": 1")))),
        _ => {
            let Answer { headers, body: Payload::Bytes(bytes), .. } = answer() else { return Answer::nothing() };
            let half = bytes.slice(..bytes.len() / 2);
            if *fault == Fault::TruncatedJson {
                return Answer { status: StatusCode::OK, headers, body: Payload::Bytes(half) };
            }
            Answer { status: StatusCode::OK, headers, body: Payload::Stream(then_broken(half)) }
                .with(header::CONTENT_LENGTH, &bytes.len().to_string())
        }
    }
}

/// A body that starts well and then fails, which closes the connection.
fn then_broken(start: Bytes) -> Body {
    let end = stream::once(async {
        // Otherwise the server would notice the failure before it has sent the start.
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::Error::from(io::ErrorKind::ConnectionReset))
    });
    Body::from_stream(stream::once(async { Ok(start) }).chain(end))
}

/// Blanks, one per second. JSON may have any number of them.
fn drops() -> impl stream::Stream<Item = Result<&'static [u8], Infallible>> {
    stream::unfold(b"[".as_slice(), |drop| async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok(drop), b" ".as_slice()))
    })
}

/// The GraphQL response with an error, and without the last node or without any data.
fn with_errors(answer: Answer, kind: &str, with_data: bool) -> Answer {
    let Payload::Bytes(bytes) = &answer.body else { return answer };
    let mut body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let mut path = json!([]);
    if let (true, Some(nodes)) = (with_data, body["data"]["nodes"].as_array_mut()) {
        path = json!(["nodes", nodes.len().saturating_sub(1)]);
        if let Some(last) = nodes.last_mut() {
            *last = Value::Null;
        }
    } else if with_data {
        path = json!(["node"]);
        body["data"]["node"] = Value::Null;
    } else {
        body["data"] = Value::Null;
    }
    let mut error = json!({ "message": message_of(kind), "path": path });
    if !kind.is_empty() {
        error["type"] = json!(kind);
    }
    body["errors"] = json!([error]);
    let answer = Answer::json(StatusCode::OK, &body);
    if is_rate_limit(kind) { answer.saying("x-ratelimit-remaining", "0") } else { answer }
}

/// Both occur: the second since 2026.
fn is_rate_limit(kind: &str) -> bool {
    matches!(kind, "RATE_LIMITED" | "RATE_LIMIT")
}

fn message_of(kind: &str) -> &'static str {
    match kind {
        _ if is_rate_limit(kind) => "API rate limit already exceeded for user ID 1.",
        "MAX_NODE_LIMIT_EXCEEDED" => {
            "This query requests up to 603,360 possible nodes which exceeds the maximum limit of 500,000."
        }
        "FORBIDDEN" => "Resource not accessible by personal access token",
        "NOT_FOUND" => "Could not resolve to a node with the global id of 'PR_1'.",
        _ => {
            "Something went wrong while executing your query. This may be the result of a timeout, or it could be a \
             GitHub bug."
        }
    }
}
