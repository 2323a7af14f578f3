//! Keeps ended spans, and sends them when it is asked to: never while somebody waits for an answer, and from no thread of its own.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full, Limited};
use mergeline_domain::{Problem, error_chain};
use mergeline_http_client::{HttpClient, NoAuthorities, client};
use opentelemetry::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpError, Request, Response};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor,
};

use crate::settings::Settings;
use crate::shape::exported;

/// How many spans are kept until the next time. More are dropped.
const MAX_SPANS: usize = 2_048;
/// After a failure nothing is sent for this long, so that what does not work costs nothing.
const PAUSE: Duration = Duration::from_secs(60);
/// How often a process that is never frozen sends.
const EVERY: Duration = Duration::from_secs(5);
/// How long that may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Answers of a collector are shorter.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The process's traces. There is one, as there is one log.
static TRACES: OnceLock<Arc<Traces>> = OnceLock::new();

#[derive(Debug, Default)]
struct Traces {
    kept: Mutex<Kept>,
    resource: OnceLock<Resource>,
    exporter: OnceLock<opentelemetry_otlp::SpanExporter>,
    /// Held while spans are sent: one batch at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: VecDeque<SpanData>,
    /// Since they were last reported.
    dropped: usize,
    pause: Pause,
}

/// The time in which nothing is sent.
#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
}

impl Pause {
    fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    fn begin(&mut self, now: Instant) {
        self.until = Some(now + PAUSE);
    }
}

impl Traces {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be sent now; empty during a pause, in which spans are dropped.
    fn take(&self, now: Instant) -> Vec<SpanData> {
        let mut kept = self.kept();
        let spans = std::mem::take(&mut kept.spans);
        if kept.pause.is_on(now) {
            kept.dropped += spans.len();
            return Vec::new();
        }
        spans.into()
    }

    /// Begins a pause. Returns how many spans were dropped since the last report.
    fn fail(&self, lost: usize, now: Instant) -> usize {
        let mut kept = self.kept();
        kept.pause.begin(now);
        std::mem::take(&mut kept.dropped) + lost
    }
}

/// Keeps a span when it ends.
#[derive(Debug)]
struct Keep(Arc<Traces>);

impl SpanProcessor for Keep {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut kept = self.0.kept();
        if kept.spans.len() < MAX_SPANS {
            kept.spans.push_back(exported(span));
        } else {
            kept.dropped += 1;
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Set once, where the only provider is made.
        let _ = self.0.resource.set(resource.clone());
    }
}

/// Where the layer of traces begins its spans.
pub(crate) fn tracer() -> SdkTracer {
    let traces = TRACES.get_or_init(Arc::default).clone();
    let is_named = std::env::var_os("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty());
    let function = std::env::var("AWS_LAMBDA_FUNCTION_NAME").ok();
    let resource = Resource::builder();
    let resource = if is_named {
        resource
    } else {
        resource.with_service_name(function.unwrap_or_else(|| "mergeline".to_owned()))
    };
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.build())
        // Whether a trace is kept is for its first program to decide.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
        .with_span_processor(Keep(traces))
        .build();
    // The tracer keeps the provider.
    provider.tracer("mergeline")
}

/// Reads where traces go: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS` and the proxy, each through `lookup`.
/// Until then, and without an endpoint, nothing is sent.
///
/// # Errors
/// What is wrong with them. No value is shown.
pub fn export(lookup: impl Fn(&str) -> Option<String>) -> Result<(), Problem> {
    // A sandbox asks for each event.
    let Some(traces) = TRACES.get().filter(|traces| traces.exporter.get().is_none()) else { return Ok(()) };
    let Some(settings) = Settings::from_vars(lookup)? else { return Ok(()) };
    let refuse = |message: String| {
        let help = "see the settings of telemetry, or leave OTEL_EXPORTER_OTLP_ENDPOINT unset";
        Problem::setting("config.otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", message, help)
    };
    let sending = Client(client(settings.proxy.as_ref()).map_err(|error| {
        Problem::setting("config.otlp_endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", error.to_string(), NoAuthorities::HELP)
    })?);
    let mut exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(sending)
        .with_endpoint(settings.endpoint.as_str())
        .with_headers(settings.headers)
        // A retry would take the time of the next answer.
        .with_retry_policy(RetryPolicy::disabled())
        .with_timeout(WITHIN)
        .build()
        .map_err(|_| refuse("it cannot be used".to_owned()))?;
    exporter.set_resource(traces.resource.get_or_init(|| Resource::builder().build()));
    let _ = traces.exporter.set(exporter);
    Ok(())
}

/// Sends the spans that have ended, within this time. What cannot be sent is dropped and counted, and for a minute nothing is
/// sent. Does nothing without an endpoint.
pub async fn flush(within: Duration) {
    let Some(traces) = TRACES.get() else { return };
    let Some(exporter) = traces.exporter.get() else { return };
    let sending = async {
        let _turn = traces.turn.lock().await;
        let spans = traces.take(Instant::now());
        let count = spans.len();
        if count == 0 {
            return;
        }
        let lost = Lost { traces, count: Some(count) };
        if let Err(error) = exporter.export(spans).await {
            lost.report(&error_chain(&error));
        } else {
            lost.none();
        }
    };
    // What is being sent then counts as lost.
    let _ = tokio::time::timeout(within, sending).await;
}

/// Spans that are being sent. If that is given up, they are lost.
struct Lost<'a> {
    traces: &'a Traces,
    count: Option<usize>,
}

impl Lost<'_> {
    fn none(mut self) {
        self.count = None;
    }

    fn report(mut self, reason: &str) {
        self.say(reason);
    }

    fn say(&mut self, reason: &str) {
        let Some(count) = self.count.take() else { return };
        let dropped = self.traces.fail(count, Instant::now());
        tracing::warn!(
            code = "telemetry.not_exported",
            spans = dropped,
            "{dropped} spans were dropped, and for {} s traces are not exported: {reason}",
            PAUSE.as_secs()
        );
    }
}

impl Drop for Lost<'_> {
    fn drop(&mut self) {
        self.say("the endpoint did not answer in time");
    }
}

/// Sends every few seconds, and never ends. For a process that is never frozen.
pub async fn keep_flushing() -> Infallible {
    if TRACES.get().is_none_or(|traces| traces.exporter.get().is_none()) {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(EVERY).await;
        flush(WITHIN).await;
    }
}

/// The client that all of the program uses.
struct Client(HttpClient<Full<Bytes>>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl opentelemetry_http::HttpClient for Client {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let (head, body) = self.0.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_a_minute_after_a_failure_nothing_is_sent() {
        let mut pause = Pause::default();
        let failed = Instant::now();
        assert!(!pause.is_on(failed));
        pause.begin(failed);
        for (seconds, is_on) in [(0, true), (59, true), (60, false), (61, false)] {
            assert_eq!(pause.is_on(failed + Duration::from_secs(seconds)), is_on, "{seconds} s");
        }
    }
}
