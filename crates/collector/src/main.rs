//! The Lambda function `collector`.

use chrono::Utc;
use lambda_runtime::{LambdaEvent, service_fn};
use mergeline_collector::{Collector, FunctionError, Settings};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    mergeline_telemetry::init(None);
    #[expect(clippy::disallowed_methods, reason = "the program's one clock")]
    let clock = Utc::now;
    let settings = Settings::from_vars(|name| std::env::var(name).ok().filter(|text| !text.trim().is_empty()))
        .map_err(FunctionError::from);
    let collector = settings.and_then(|settings| Collector::new(settings, clock));
    // A sandbox that cannot start answers each event with the reason, which Lambda shows where people look.
    let collector = &collector;
    lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| async move {
        let outcome = match collector {
            Ok(collector) => collector.handle(event.payload).await,
            Err(error) => Err(error.clone()),
        };
        outcome.inspect_err(|error| tracing::error!(code = error.code, "The invocation failed: {error}"))
    }))
    .await
}
