//! Traces that go on from one program to the next (W3C Trace Context).

use std::collections::HashMap;
use std::task::{self, Poll};

use http::Request;
use opentelemetry::Context;
use opentelemetry::context::{FutureExt, WithContext};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tower::{Layer, Service};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::settings::is_endpoint_set;

/// The header, and the attribute of a message.
const TRACEPARENT: &str = "traceparent";

/// Lets requests go on with the trace of who sends them. `None` if there are no traces.
pub fn continue_traces() -> Option<ContinueTrace> {
    is_endpoint_set().then_some(ContinueTrace(()))
}

/// Middleware: what a request begins belongs to the trace in its header `traceparent`, if it has one.
#[derive(Debug, Clone)]
pub struct ContinueTrace(());

impl<S> Layer<S> for ContinueTrace {
    type Service = ContinuedTrace<S>;

    fn layer(&self, inner: S) -> ContinuedTrace<S> {
        ContinuedTrace(inner)
    }
}

/// A service behind [`ContinueTrace`].
#[derive(Debug, Clone)]
pub struct ContinuedTrace<S>(S);

impl<S: Service<Request<B>>, B> Service<Request<B>> for ContinuedTrace<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = WithContext<S::Future>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let traceparent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let from = remote(traceparent.unwrap_or_default());
        self.0.call(request).with_context(from)
    }
}

/// The trace that is being worked on, for a message that leads to more work; `None` if there is none.
pub fn traceparent() -> Option<String> {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes a span that was just made belong to the trace that a message came with.
pub fn follow(span: &Span, traceparent: Option<&str>) {
    let Some(traceparent) = traceparent else { return };
    // It fails where there are no traces, or the span has started.
    let _ = span.set_parent(remote(traceparent));
}

/// The trace that this names; none if it is malformed. `tracestate` is left behind: it is any text, and would be exported.
fn remote(traceparent: &str) -> Context {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
    TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
}
