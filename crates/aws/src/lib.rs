#![doc = include_str!("../README.md")]

mod database;
mod error;
mod mail;
mod metrics;
mod queue;
mod secrets;
mod stack;
mod variables;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_sqs::config::Credentials;

pub use database::DatabaseTokens;
pub use error::{AwsError, Cause};
pub use mail::{MailError, Mails, OutgoingMail};
pub use metrics::{Metric, Metrics, Unit};
pub use queue::{Message, Queue};
pub use secrets::Secrets;
pub use stack::Stacks;
pub use variables::{
    API_KEYS, CHANNELS, DATABASE_READER_URL, DATABASE_URL, DATABASE_WRITER_URL, GITHUB_APP_KEY, GITHUB_TOKEN,
    LOGIN_SECRET, OTLP_HEADERS, SESSION_SECRET, SMTP_URL, SecretValues, SecretVariable, VariableError, WEBHOOK_SECRETS,
};

/// Endpoints of the same region respond within milliseconds. A missing route must not use up a function's time.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// No call here makes the service wait, for example by long polling.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// Includes all attempts and the pauses between them.
const CALL_WITHIN: Duration = Duration::from_secs(20);
/// Requests per call.
const ATTEMPTS: u32 = 3;
/// The SDK's default first pause is up to a second.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Connection to AWS: region and credentials from the environment, loaded once. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Aws(Arc<Clients>);

/// Clients are created on first use, and then shared with their connections.
#[derive(Debug)]
struct Clients {
    config: SdkConfig,
    secrets: Secrets,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    cloudwatch: OnceLock<aws_sdk_cloudwatch::Client>,
}

impl Aws {
    /// Reads the environment of the process, see [`Aws::from_vars`]. Nothing is sent yet: without a region or
    /// credentials, the first call fails.
    pub async fn from_environment() -> Self {
        Self::from_vars(|name| std::env::var(name).ok()).await
    }

    /// Reads the variables from `lookup`: `AWS_REGION` or `AWS_DEFAULT_REGION`; `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; `AWS_ENDPOINT_URL` for an emulator. Other settings come from
    /// the usual AWS sources: profiles, container, machine.
    pub async fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let lookup = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .read_timeout(READ_WITHIN)
            .operation_timeout(CALL_WITHIN)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_PAUSE));
        loader = match lookup("AWS_REGION").or_else(|| lookup("AWS_DEFAULT_REGION")) {
            Some(region) => loader.region(Region::new(region)),
            // Not the machine's metadata service: outside of AWS that takes seconds to time out.
            None => loader.region(ProfileFileRegionProvider::new()),
        };
        if let Some(url) = lookup("AWS_ENDPOINT_URL") {
            loader = loader.endpoint_url(url);
        }
        if let (Some(id), Some(key)) = (lookup("AWS_ACCESS_KEY_ID"), lookup("AWS_SECRET_ACCESS_KEY")) {
            let token = lookup("AWS_SESSION_TOKEN");
            loader = loader.credentials_provider(Credentials::new(id, key, token, None, "environment"));
        }
        let config = loader.load().await;
        let secrets = Secrets::new(config.clone());
        Self(Arc::new(Clients { config, secrets, sqs: OnceLock::new(), cloudwatch: OnceLock::new() }))
    }

    /// The secrets. All values from one connection share a cache.
    pub fn secrets(&self) -> Secrets {
        self.0.secrets.clone()
    }

    /// The queue with this URL.
    pub fn queue(&self, url: &str) -> Queue {
        Queue::new(self.0.sqs.get_or_init(|| aws_sdk_sqs::Client::new(&self.0.config)).clone(), url)
    }

    /// Tokens for logins of databases.
    pub fn database_tokens(&self) -> DatabaseTokens {
        DatabaseTokens::new(&self.0.config)
    }

    /// Mail by SES.
    pub fn mails(&self) -> Mails {
        Mails::new(&self.0.config)
    }

    /// The stacks that are deployed.
    pub fn stacks(&self) -> Stacks {
        Stacks::new(&self.0.config)
    }

    /// The metrics of a namespace.
    pub fn metrics(&self, namespace: &str) -> Metrics {
        let client = self.0.cloudwatch.get_or_init(|| aws_sdk_cloudwatch::Client::new(&self.0.config));
        Metrics::new(client.clone(), namespace)
    }
}
