//! The Lambda function `collector`.

use chrono::{DateTime, Utc};
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{LambdaEvent, Runtime, service_fn};
use mergeline_lambda::{Collector, TracesAfterAnswers};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    mergeline_telemetry::init(None);
    #[expect(clippy::disallowed_methods, reason = "the program's one clock")]
    let clock = Utc::now;
    let lookup = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    // A sandbox that cannot start fails each event with the reason, so that Lambda shows it.
    let collector = &Collector::new(lookup, clock).await;
    let handler = service_fn(|event: LambdaEvent<serde_json::Value>| async move {
        let deadline = DateTime::from_timestamp_millis(i64::try_from(event.context.deadline).unwrap_or_default());
        let outcome = match collector {
            // Boxed, because it is a large future and there is only one.
            Ok(collector) => Box::pin(collector.handle(event.payload, deadline.unwrap_or_default())).await,
            Err(error) => Err(error.clone()),
        };
        outcome.inspect_err(|error| tracing::error!(code = error.code, "The invocation failed: {error}"))
    });
    Runtime::new(handler).layer(TracingLayer::new()).layer(TracesAfterAnswers).run().await
}
