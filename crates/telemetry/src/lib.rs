#![doc = include_str!("../README.md")]

mod export;
mod propagation;
mod settings;
mod shape;
mod visible;

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

pub use export::{export, flush, keep_flushing};
pub use propagation::{ContinueTrace, ContinuedTrace, continue_traces, follow, traceparent};
pub use visible::Visible;

/// Libraries return their errors anyway, so only their warnings are logged.
const DEFAULT_FILTER: &str = "warn,mergeline=info,collector=info,api=info";
/// The target of all spans: `run`, `repository`, `request`, `query` and so on. In Lambda, log lines carry their fields. On a terminal
/// `RUST_LOG=warn,mergeline=info,spans=info` shows them, and `spans=debug` shows queries too.
const SPANS: &str = "spans=info";
/// The same as a target.
const TARGET: &str = "spans";

/// Starts logging for this process. `default_filter` applies while `RUST_LOG` is unset; `None` selects the default
/// filter. If there is an endpoint for traces, spans are kept until [`flush`].
pub fn init(default_filter: Option<&str>) {
    let default_filter = default_filter.unwrap_or(DEFAULT_FILTER);
    let chosen = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| default_filter.to_owned());
    let with_spans = |filter: String| {
        let adds_spans = is_lambda() && !filter.contains(TARGET);
        if adds_spans { format!("{filter},{SPANS}") } else { filter }
    };
    let filter = EnvFilter::try_new(with_spans(chosen));
    let problem = filter.as_ref().err().map(ToString::to_string);
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(with_spans(default_filter.to_owned())));
    let logs = tracing_subscriber::fmt::layer();
    let logs = if is_lambda() {
        // CloudWatch adds the time, and indexes fields.
        let logs = logs.json().flatten_event(true).with_current_span(false).without_time();
        logs.with_writer(|| Visible(io::stdout())).boxed()
    } else {
        logs.with_target(false).with_ansi(io::stderr().is_terminal()).with_writer(|| Visible(io::stderr())).boxed()
    };
    if settings::is_endpoint_set() {
        let traces = traces();
        // Each decides for itself what it gets: of the logs, no trace gets anything.
        Registry::default().with(logs.with_filter(filter)).with(traces).init();
    } else {
        Registry::default().with(logs).with(filter).init();
    }
    if let Some(problem) = problem {
        tracing::warn!(
            "RUST_LOG is not used, because it cannot be read ({problem}): write a level such as `info`, or `target=level` with \
             error, warn, info, debug, trace or off, separated by commas"
        );
    }
}

/// Keeps spans until they are sent.
fn traces<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_tracer(export::tracer())
        .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET))
}

/// Whether this process runs in a Lambda sandbox, including a local one.
pub fn is_lambda() -> bool {
    std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some()
}
