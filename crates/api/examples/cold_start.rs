//! How long the function `api` takes from process start to its first response, next to a Lambda runtime API on this
//! machine: medians, by part.
//!
//! `DB_URL=… cold_start BINARY TEAM TIMES`

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What the function sends to the runtime API, and when.
enum Call {
    /// It is ready for an event, and gets one immediately.
    Next(Instant),
    Answer(Instant, Vec<u8>),
}

/// One start: the duration of each part.
struct Start {
    /// From process start until it requests an event.
    ready: Duration,
    /// From the event to the response.
    first: Duration,
    /// The same event again.
    second: Duration,
    /// Its peak memory, in kB.
    memory: u64,
}

#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [binary, team, times] = &arguments[..] else { anyhow::bail!("DB_URL=… cold_start BINARY TEAM TIMES") };
    let url = std::env::var("DB_URL").context("DB_URL is not set")?;
    let velocity = event(&format!("/metrics/team/{team}/velocity"))?;
    let healthz = event("/healthz")?;
    let (mut full, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..times.parse()? {
        full.push(start(Path::new(binary), &url, &velocity)?);
        bare.push(start(Path::new(binary), &url, &healthz)?);
    }
    let whole = median(&full, |start| start.ready + start.first);
    let once = |starts: &[Start]| median(starts, |start| start.first.saturating_sub(start.second));
    let say = |what: &str, milliseconds: f64| println!("{what:44} {milliseconds:.1} ms");
    println!("process start to first answer, median of {times}:");
    say("  all", whole);
    say("  until it requests an event", median(&full, |start| start.ready));
    say("  the first event alone, once", once(&bare));
    say("  connecting and preparing, once", once(&full) - once(&bare));
    say("  the response, as every later one", median(&full, |start| start.second));
    let memory = full.iter().map(|start| start.memory).max().unwrap_or_default();
    println!("{:44} {memory} kB at most", "  memory of the function");
    Ok(())
}

/// API Gateway's event for a path, with only the required fields.
fn event(path: &str) -> Result<String> {
    let mut event: Value = serde_json::from_str(include_str!("../../../infra/events/api-velocity.json"))?;
    event["path"] = json!(path);
    event["requestContext"]["path"] = json!(format!("/v1{path}"));
    event["queryStringParameters"] = Value::Null;
    event["multiValueQueryStringParameters"] = Value::Null;
    Ok(event.to_string())
}

fn median(starts: &[Start], part: impl Fn(&Start) -> Duration) -> f64 {
    let mut parts: Vec<Duration> = starts.iter().map(part).collect();
    parts.sort_unstable();
    parts.get(parts.len() / 2).map_or(0.0, |part| part.as_secs_f64() * 1_000.0)
}

/// Starts the function, lets it answer the event twice, and stops it.
fn start(binary: &Path, url: &str, event: &str) -> Result<Start> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let (calls, received) = mpsc::channel();
    let payload = event.to_owned();
    // Ends with the program, when there are no more connections.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (calls, payload) = (calls.clone(), payload.clone());
            thread::spawn(move || serve(stream, &payload, &calls));
        }
    });
    let started = Instant::now();
    let mut child = Command::new(binary)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "api")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_REGION", "eu-north-1")
        .env("DB_URL", url)
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let measured = measure(started, &received, &child);
    child.kill()?;
    child.wait()?;
    measured
}

fn measure(started: Instant, calls: &Receiver<Call>, child: &Child) -> Result<Start> {
    let next = || match calls.recv_timeout(ANSWER_WITHIN).context("the function sent nothing")? {
        Call::Next(at) => Ok(at),
        Call::Answer(_, body) => anyhow::bail!("a response without an event: {}", String::from_utf8_lossy(&body)),
    };
    let answer = || match calls.recv_timeout(ANSWER_WITHIN).context("no response")? {
        Call::Answer(at, body) => {
            let answer: Value = serde_json::from_slice(&body)?;
            ensure!(answer["statusCode"] == 200, "{answer}");
            Ok(at)
        }
        Call::Next(_) => anyhow::bail!("it requested another event without a response"),
    };
    let (asked, answered) = (next()?, answer()?);
    let (asked_again, answered_again) = (next()?, answer()?);
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    Ok(Start {
        ready: asked - started,
        first: answered - asked,
        second: answered_again - asked_again,
        memory: memory.unwrap_or_default(),
    })
}

/// The runtime API on one connection, until the function closes it.
///
/// Source: AWS, "Using the Lambda runtime API for custom runtimes".
fn serve(stream: TcpStream, event: &str, calls: &Sender<Call>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            stream.read_line(&mut header)?;
            match header.trim_end().split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        let now = Instant::now();
        let answer = if request.starts_with("GET") {
            calls.send(Call::Next(now))?;
            let deadline = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + ANSWER_WITHIN;
            format!(
                "HTTP/1.1 200 OK\r\n\
                 lambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                 lambda-runtime-deadline-ms: {}\r\n\
                 lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-north-1:123456789012:function:api\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{event}",
                deadline.as_millis(),
                event.len()
            )
        } else {
            calls.send(Call::Answer(now, body))?;
            "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
        };
        stream.get_mut().write_all(answer.as_bytes())?;
    }
}
