//! Traces are sent between an answer and the next event: before, somebody waits, and afterwards the sandbox is frozen.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Then};
use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Error, LambdaInvocation};
use mergeline_domain::Problems;

/// What that may take, which is billed.
const WITHIN: Duration = Duration::from_millis(250);

/// Sends traces after each answer. A layer of the runtime, whose service ends when Lambda has the answer.
#[derive(Debug, Clone, Copy)]
pub struct TracesAfterAnswers;

impl<S> Layer<S> for TracesAfterAnswers {
    type Service = TracedInvocations<S>;

    fn layer(&self, inner: S) -> TracedInvocations<S> {
        TracedInvocations(inner)
    }
}

/// A service behind [`TracesAfterAnswers`].
#[derive(Debug, Clone)]
pub struct TracedInvocations<S>(S);

/// Reads where traces go, each variable through `lookup`. A mistake there is logged, and stops nothing.
pub fn export_traces(lookup: impl Fn(&str) -> Option<String>) {
    if let Err(problem) = mergeline_telemetry::export(lookup) {
        let problems = Problems::from(problem);
        tracing::error!(code = problems.code(), "No traces are exported: {problems}");
    }
}

type Outcome = Result<(), Error>;

impl<S> Service<LambdaInvocation> for TracedInvocations<S>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
{
    type Response = ();
    type Error = Error;
    type Future = Then<S::Future, BoxFuture<'static, Outcome>, fn(Outcome) -> BoxFuture<'static, Outcome>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Outcome> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        self.0.call(invocation).then(sent)
    }
}

fn sent(answered: Outcome) -> BoxFuture<'static, Outcome> {
    async {
        mergeline_telemetry::flush(WITHIN).await;
        answered
    }
    .boxed()
}
