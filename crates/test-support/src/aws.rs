//! An AWS emulator on this machine: Secrets Manager, SQS and `CloudWatch`, with faults on request.
//!
//! The service is a Python program around moto, `crates/test-support/aws/emulator.py`. It needs `python3`. Its other
//! dependencies are installed once, in `target/aws-emulator` of the workspace.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use crate::python::{PythonTool, workspace};

const PYTHON: PythonTool = PythonTool {
    folder: "aws-emulator",
    requirements: "crates/test-support/aws/requirements.txt",
    variable: "AWS_EMULATOR_PYTHON",
};
const REGION: &str = "eu-north-1";

/// One server for all tests of a process. It reads from a pipe of this process, and exits with it.
static SERVER: OnceCell<Server> = OnceCell::const_new();
static NEXT_ACCOUNT: AtomicU64 = AtomicU64::new(1);

/// A separate AWS account on the emulator that all tests of this process share.
#[derive(Debug, Clone)]
pub struct AwsEmulator {
    address: String,
    /// Twelve digits, also used as the access key.
    account: String,
}

/// A service of the emulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsService {
    /// Secrets Manager.
    SecretsManager,
    /// Simple Queue Service.
    Sqs,
    /// Simple Email Service.
    Ses,
    /// `CloudWatch`.
    CloudWatch,
}

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsFault {
    /// The service responds with status 500 and does nothing. The SDK retries, up to three requests per call.
    Unavailable,
    /// The service denies permission.
    Denied,
    /// The service does its work, but the end of the response is missing.
    Garbled,
    /// For `SendMessageBatch`: the last entry fails, the others are sent.
    Partial,
}

/// A queue and its dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmulatedQueue {
    /// The queue's URL.
    pub url: String,
    /// The URL of its dead-letter queue.
    pub dead_letters_url: String,
}

/// A message in a queue, received or not.
#[derive(Debug, Clone, PartialEq)]
pub struct EmulatedMessage {
    /// What was sent.
    pub body: String,
    /// How often it was received.
    pub receives: u64,
    /// How long it stays hidden or delayed. Zero when it can be received.
    pub hidden_seconds: f64,
}

/// A value that arrived at `CloudWatch`.
#[derive(Debug, Clone, PartialEq)]
pub struct EmulatedMetric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Its unit, as `CloudWatch` calls it.
    pub unit: String,
    /// The names of its dimensions.
    pub dimensions: Vec<String>,
}

impl AwsEmulator {
    /// A new, empty account. The first call in a process starts the emulator. The first call on a machine installs it,
    /// which takes a minute.
    ///
    /// # Errors
    /// When Python is missing, or the emulator cannot be installed or started.
    pub async fn start() -> anyhow::Result<Self> {
        let server = SERVER.get_or_try_init(|| async { tokio::task::spawn_blocking(Server::start).await? }).await?;
        let account = format!("{:012}", NEXT_ACCOUNT.fetch_add(1, Ordering::Relaxed));
        Ok(Self { address: server.address.clone(), account })
    }

    /// The environment variables for a program that uses this account.
    pub fn environment(&self) -> HashMap<&'static str, String> {
        HashMap::from([
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", self.account.clone()),
            ("AWS_SECRET_ACCESS_KEY", "emulator".to_owned()),
        ])
    }

    /// Creates a secret. `None` creates it without a value. Returns its ARN.
    ///
    /// # Errors
    /// When the emulator refuses the request.
    pub async fn create_secret(&self, name: &str, value: Option<&str>) -> anyhow::Result<String> {
        let mut request = json!({ "Name": name, "ClientRequestToken": request_token() });
        if let Some(value) = value {
            request["SecretString"] = value.into();
        }
        text(&self.aws(AwsService::SecretsManager, "secretsmanager.CreateSecret", &request).await?, "ARN")
    }

    /// Gives a secret a new value.
    ///
    /// # Errors
    /// When the emulator refuses the request.
    pub async fn put_secret(&self, arn: &str, value: &str) -> anyhow::Result<()> {
        let request = json!({ "SecretId": arn, "SecretString": value, "ClientRequestToken": request_token() });
        self.aws(AwsService::SecretsManager, "secretsmanager.PutSecretValue", &request).await?;
        Ok(())
    }

    /// Creates a queue, and a dead-letter queue for messages that were received `max_receives` times without success.
    ///
    /// # Errors
    /// When the emulator refuses the request.
    pub async fn create_queue(&self, name: &str, max_receives: u32) -> anyhow::Result<EmulatedQueue> {
        let dead_letters = json!({ "QueueName": format!("{name}-dead-letters") });
        let dead_letters = self.aws(AwsService::Sqs, "AmazonSQS.CreateQueue", &dead_letters).await?;
        let redrive = json!({
            "deadLetterTargetArn": format!("arn:aws:sqs:{REGION}:{}:{name}-dead-letters", self.account),
            "maxReceiveCount": max_receives,
        });
        let queue = json!({ "QueueName": name, "Attributes": { "RedrivePolicy": redrive.to_string() } });
        let queue = self.aws(AwsService::Sqs, "AmazonSQS.CreateQueue", &queue).await?;
        Ok(EmulatedQueue { url: text(&queue, "QueueUrl")?, dead_letters_url: text(&dead_letters, "QueueUrl")? })
    }

    /// All messages of a queue, including those that cannot be received now, oldest first.
    ///
    /// # Errors
    /// When the queue does not exist.
    pub async fn messages(&self, queue_url: &str) -> anyhow::Result<Vec<EmulatedMessage>> {
        let messages = self.control("messages", json!({ "queue": queue_url, "region": REGION })).await?;
        let read = |message: &Value| {
            Ok(EmulatedMessage {
                body: text(message, "body")?,
                receives: message["receives"].as_u64().context("no receives")?,
                hidden_seconds: message["hidden_seconds"].as_f64().context("no hidden_seconds")?,
            })
        };
        messages.as_array().context("no list of messages")?.iter().map(read).collect()
    }

    /// Makes all hidden and delayed messages of a queue visible, as if their time had passed.
    ///
    /// # Errors
    /// When the queue does not exist.
    pub async fn release(&self, queue_url: &str) -> anyhow::Result<()> {
        self.control("release", json!({ "queue": queue_url, "region": REGION })).await?;
        Ok(())
    }

    /// All values that `CloudWatch` accepted, in order.
    ///
    /// # Errors
    /// When the emulator has exited.
    pub async fn metrics(&self) -> anyhow::Result<Vec<EmulatedMetric>> {
        let metrics = self.control("metrics", json!({})).await?;
        let read = |metric: &Value| {
            let dimensions = metric["Dimensions"].as_array().map_or(&[][..], Vec::as_slice);
            Ok(EmulatedMetric {
                namespace: text(metric, "Namespace")?,
                name: text(metric, "MetricName")?,
                value: metric["Value"].as_f64().context("no Value")?,
                unit: text(metric, "Unit")?,
                dimensions: dimensions.iter().map(|dimension| text(dimension, "Name")).collect::<Result<_, _>>()?,
            })
        };
        metrics.as_array().context("no list of metrics")?.iter().map(read).collect()
    }

    /// Lets mail be sent from an address.
    ///
    /// # Errors
    /// When the emulator has exited.
    pub async fn verify_sender(&self, sender: &str) -> anyhow::Result<()> {
        self.control("verify_sender", json!({ "region": REGION, "sender": sender })).await?;
        Ok(())
    }

    /// What is known of all mail that was sent, as text.
    ///
    /// # Errors
    /// When the emulator has exited.
    pub async fn mails(&self) -> anyhow::Result<Vec<String>> {
        let mails = self.control("mails", json!({ "region": REGION })).await?;
        let all = mails.as_array().context("no list of mails")?;
        Ok(all.iter().filter_map(|mail| mail.as_str().map(str::to_owned)).collect())
    }

    /// How many requests of an operation arrived, for example `SendMessageBatch`. Includes failed requests and the
    /// SDK's retries.
    ///
    /// # Errors
    /// When the emulator has exited.
    pub async fn requests(&self, operation: &str) -> anyhow::Result<usize> {
        let requests = self.control("requests", json!({})).await?;
        let is_wanted = |request: &&Value| {
            request.as_str().and_then(|request| request.split_once('.')).is_some_and(|(_, name)| name == operation)
        };
        Ok(requests.as_array().context("no list of requests")?.iter().filter(is_wanted).count())
    }

    /// Makes the next requests to a service fail.
    ///
    /// # Errors
    /// When the emulator has exited.
    pub async fn fail_next(&self, service: AwsService, fault: AwsFault, times: u32) -> anyhow::Result<()> {
        let fault = match fault {
            AwsFault::Unavailable => "unavailable",
            AwsFault::Denied => "denied",
            AwsFault::Garbled => "garbled",
            AwsFault::Partial => "partial",
        };
        self.control("fail_next", json!({ "service": service.signing_name(), "fault": fault, "times": times })).await?;
        Ok(())
    }

    /// Calls the control interface of the emulator.
    async fn control(&self, verb: &str, mut request: Value) -> anyhow::Result<Value> {
        request["account"] = self.account.as_str().into();
        self.post(&format!("/_emulator/{verb}"), "", &request).await
    }

    /// Calls AWS to prepare a test: not recorded, and without faults.
    async fn aws(&self, service: AwsService, target: &str, request: &Value) -> anyhow::Result<Value> {
        let headers = format!(
            "X-Amz-Target: {target}\r\nX-Emulator-Setup: yes\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential={}/20260101/{REGION}/{}/aws4_request, SignedHeaders=host, Signature=0\r\n",
            self.account,
            service.signing_name()
        );
        self.post("/", &headers, request).await
    }

    /// One HTTP/1.0 request, where the response ends with the connection.
    async fn post(&self, path: &str, headers: &str, request: &Value) -> anyhow::Result<Value> {
        let body = request.to_string();
        let request = format!(
            "POST {path} HTTP/1.0\r\nHost: {}\r\n{headers}Content-Type: application/x-amz-json-1.1\r\nContent-Length: \
             {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut stream = TcpStream::connect(&self.address).await.context("the AWS emulator has exited")?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("the AWS emulator's response has no body")?;
        ensure!(head.split(' ').nth(1) == Some("200"), "the AWS emulator refused {path}: {answer}");
        Ok(serde_json::from_str(body)?)
    }
}

impl AwsService {
    /// Its name in signatures.
    fn signing_name(self) -> &'static str {
        match self {
            Self::SecretsManager => "secretsmanager",
            Self::Sqs => "sqs",
            Self::Ses => "ses",
            Self::CloudWatch => "monitoring",
        }
    }
}

fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    Ok(value[field].as_str().with_context(|| format!("no {field} in {value}"))?.to_owned())
}

/// The version of a secret: 32 to 64 characters, unique per call.
fn request_token() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:032}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The emulator's process.
#[derive(Debug)]
struct Server {
    address: String,
    /// Its standard input is open as long as this process lives, `kill -9` included.
    _child: Child,
}

impl Server {
    fn start() -> anyhow::Result<Self> {
        let python = PYTHON.python()?;
        let mut child = Command::new(&python)
            .arg(workspace()?.join("crates/test-support/aws/emulator.py"))
            // Ignore the developer's AWS configuration.
            .envs(["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name, "emulator")))
            .env("AWS_CONFIG_FILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let mut address = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut address)?;
        if address.is_empty() {
            bail!("the AWS emulator did not start ({}), see above", child.wait()?);
        }
        Ok(Self { address: address.trim_end().to_owned(), _child: child })
    }
}
