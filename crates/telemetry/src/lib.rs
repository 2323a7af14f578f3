#![doc = include_str!("../README.md")]

mod visible;

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

pub use visible::Visible;

/// Libraries return their errors anyway, so only their warnings are logged.
const DEFAULT_FILTER: &str = "warn,mergeline=info,collector=info,api=info";
/// The target of all spans: `run`, `repository`, `request` and `query`. In Lambda, log lines carry their fields. On a terminal
/// `RUST_LOG=warn,mergeline=info,spans=info` shows them, and `spans=debug` shows queries too.
const SPANS: &str = "spans=info";

/// Starts logging for this process. `default_filter` applies while `RUST_LOG` is unset; `None` selects the default
/// filter.
pub fn init(default_filter: Option<&str>) {
    let default_filter = default_filter.unwrap_or(DEFAULT_FILTER);
    let chosen = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_else(|_| default_filter.to_owned());
    let with_spans = |filter: String| {
        let adds_spans = is_lambda() && !filter.contains("spans");
        if adds_spans { format!("{filter},{SPANS}") } else { filter }
    };
    let filter = EnvFilter::try_new(with_spans(chosen));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(with_spans(default_filter.to_owned())));
    let logs = tracing_subscriber::fmt().with_env_filter(filter);
    if is_lambda() {
        // CloudWatch adds the time, and indexes fields.
        logs.json()
            .flatten_event(true)
            .with_current_span(false)
            .without_time()
            .with_writer(|| Visible(io::stdout()))
            .init();
    } else {
        logs.with_target(false).with_ansi(io::stderr().is_terminal()).with_writer(|| Visible(io::stderr())).init();
    }
}

/// Whether this process runs in a Lambda sandbox, including a local one.
pub fn is_lambda() -> bool {
    std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some()
}
