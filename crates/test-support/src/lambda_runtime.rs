//! The Lambda runtime API, as a function's binary sees it.
//!
//! Source: AWS, "Using the Lambda runtime API for custom runtimes".

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

/// A cold binary in a debug build responds within a second. A busy machine takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The outcome of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Invocation {
    /// The function's response.
    Answer(Value),
    /// The function's error: `errorType` and `errorMessage`.
    Error(Value),
}

/// A function's binary, started as Lambda starts it. Invoking it again makes it a warm sandbox.
#[derive(Debug)]
pub struct LambdaRuntime {
    events: mpsc::Sender<Event>,
    outcomes: mpsc::Receiver<Invocation>,
    child: Child,
    /// Standard output and standard error, read continuously so that the function never blocks on its log.
    output: [JoinHandle<String>; 2],
    invocations: u32,
    time: Duration,
}

#[derive(Debug)]
struct Event {
    id: String,
    payload: Value,
    /// The time until Lambda ends the function.
    time: Duration,
}

struct Service {
    events: Mutex<mpsc::Receiver<Event>>,
    outcomes: mpsc::Sender<Invocation>,
}

impl LambdaRuntime {
    /// The trace id of every invocation.
    pub const TRACE_ID: &'static str = "1-5bef4de7-ad49b0e87f6ef6c87fc2e700";

    /// The maximum size of a response, including everything around it.
    /// Source: AWS, "Lambda quotas", and the message that Lambda rejects a longer one with.
    pub const MAX_ANSWER_BYTES: usize = 6_291_556;

    /// Starts a binary with this environment, and only `PATH` from the caller's. `FUNCTIONS_DIR` names a folder with
    /// other binaries of the same names, for example built for another machine.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(binary: &Path, environment: &HashMap<&str, String>) -> anyhow::Result<Self> {
        let others = std::env::var_os("FUNCTIONS_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let other = others.zip(binary.file_name()).map(|(folder, name)| folder.join(name));
        let binary = other.as_deref().unwrap_or(binary);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (events, receiver) = mpsc::channel(16);
        let (sender, outcomes) = mpsc::channel(16);
        let service = Arc::new(Service { events: Mutex::new(receiver), outcomes: sender });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(error_at_start))
            .layer(DefaultBodyLimit::max(Self::MAX_ANSWER_BYTES))
            .with_state(service);
        tokio::spawn(async move {
            // It stops with the test's runtime.
            let _ = axum::serve(listener, router).await;
        });
        let mut child = Command::new(binary)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "function")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_REGION", "eu-north-1")
            .envs(environment)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let stderr = child.stderr.take().context("no standard error")?;
        let output = [tokio::spawn(all_of(stdout)), tokio::spawn(all_of(stderr))];
        Ok(Self { events, outcomes, child, output, invocations: 0, time: ANSWER_WITHIN })
    }

    /// Sets the time until the deadline of each further invocation. The default is a minute. An invocation that takes
    /// longer is not ended.
    pub fn set_time(&mut self, time: Duration) {
        self.time = time;
    }

    /// Sends an event and waits for its outcome.
    ///
    /// # Errors
    /// When the binary exits, or does not respond within a minute.
    pub async fn invoke(&mut self, payload: Value) -> anyhow::Result<Invocation> {
        self.invocations += 1;
        let id = format!("00000000-0000-4000-8000-{:012}", self.invocations);
        self.events.send(Event { id, payload, time: self.time }).await.context("the runtime API has stopped")?;
        tokio::select! {
            outcome = self.outcomes.recv() => outcome.context("the runtime API has stopped"),
            status = self.child.wait() => bail!("the function exited: {}: {}", status?, self.written().await?),
            () = tokio::time::sleep(ANSWER_WITHIN) => bail!("no response within {ANSWER_WITHIN:?}"),
        }
    }

    /// Stops the function and returns its output: its log, followed by its standard error.
    ///
    /// # Errors
    /// When its output cannot be read.
    pub async fn stop(mut self) -> anyhow::Result<String> {
        self.child.kill().await?;
        self.written().await
    }

    /// The output of a function that has exited.
    async fn written(&mut self) -> anyhow::Result<String> {
        let [stdout, stderr] = &mut self.output;
        Ok(stdout.await? + &stderr.await?)
    }
}

async fn all_of(mut stream: impl AsyncRead + Unpin) -> String {
    let mut bytes = Vec::new();
    // Keep the output from before a failure.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn next(State(service): State<Arc<Service>>) -> Response {
    let Some(Event { id, payload, time }) = service.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let deadline = now + time;
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", id),
        ("Lambda-Runtime-Deadline-Ms", deadline.as_millis().to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-north-1:123456789012:function:function".to_owned()),
        ("Lambda-Runtime-Trace-Id", format!("Root={};Sampled=0", LambdaRuntime::TRACE_ID)),
    ];
    (headers, axum::Json(payload)).into_response()
}

async fn response(
    State(service): State<Arc<Service>>,
    UrlPath(_): UrlPath<String>,
    body: Result<Bytes, BytesRejection>,
) -> StatusCode {
    let Ok(body) = body else {
        // The caller gets this error instead of the response.
        let error = json!({
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": format!("more than {} bytes", LambdaRuntime::MAX_ANSWER_BYTES),
        });
        report(&service, Invocation::Error(error)).await;
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    report(&service, Invocation::Answer(read(&body))).await
}

async fn error(State(service): State<Arc<Service>>, UrlPath(_): UrlPath<String>, body: Bytes) -> StatusCode {
    report(&service, Invocation::Error(read(&body))).await
}

async fn error_at_start(State(service): State<Arc<Service>>, body: Bytes) -> StatusCode {
    report(&service, Invocation::Error(read(&body))).await
}

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(body).into_owned()))
}

async fn report(service: &Service, outcome: Invocation) -> StatusCode {
    match service.outcomes.send(outcome).await {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::GONE,
    }
}
