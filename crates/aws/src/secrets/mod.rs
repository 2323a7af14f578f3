//! Secrets by ARN.

mod cache;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use secrecy::SecretString;
use tokio::time::Instant;

use crate::AwsError;
use crate::error::{Failure, Kind};
use cache::{CachedSecret, StaleValue};

/// Secrets from Secrets Manager, cached for minutes. Cheap to clone; clones share the cache.
#[derive(Debug, Clone)]
pub struct Secrets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: SdkConfig,
    client: OnceLock<Client>,
    /// By ARN. A caller holds the lock of a secret while it fetches it, so that concurrent callers share one request.
    cached: Mutex<HashMap<String, Entry>>,
}

type Entry = Arc<tokio::sync::Mutex<CachedSecret>>;

impl Secrets {
    pub(crate) fn new(config: SdkConfig) -> Self {
        Self(Arc::new(Inner { config, client: OnceLock::new(), cached: Mutex::default() }))
    }

    /// A secret's value, fetched at most once in five minutes. While Secrets Manager fails, the last value is used
    /// until it is an hour old, and a warning is logged once. A missing or forbidden secret is an error right away.
    ///
    /// # Errors
    /// When the secret does not exist, may not be read, or Secrets Manager fails and no value is young enough.
    pub async fn get(&self, arn: &str) -> Result<SecretString, AwsError> {
        let entry = self.entry(arn);
        let mut cached = entry.lock().await;
        if let Some(secret) = cached.usable(Instant::now()) {
            return Ok(secret.clone());
        }
        let error = match self.fetch(arn, &mut cached).await {
            Err(error @ AwsError::Unavailable { .. }) => error,
            answer => return answer,
        };
        let Some(StaleValue { secret, age, is_first }) = cached.stale_value(Instant::now()) else { return Err(error) };
        if is_first {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            tracing::warn!(
                secret.arn = arn,
                secret.age_seconds = age.as_secs(),
                error.code = error.code(),
                error.cause = cause,
                "Secrets Manager failed; using the last value of {arn} until it is an hour old"
            );
        }
        Ok(secret)
    }

    /// Fetches a secret now and bypasses the cache, for when a service refuses the cached value.
    ///
    /// # Errors
    /// When the secret does not exist, may not be read, or Secrets Manager fails.
    pub async fn refresh(&self, arn: &str) -> Result<SecretString, AwsError> {
        let entry = self.entry(arn);
        let mut cached = entry.lock().await;
        self.fetch(arn, &mut cached).await
    }

    fn entry(&self, arn: &str) -> Entry {
        // The lock is held only for this lookup, so a panic cannot leave the map inconsistent.
        let mut cached = self.0.cached.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(cached.entry(arn.to_owned()).or_default())
    }

    async fn fetch(&self, arn: &str, cached: &mut CachedSecret) -> Result<SecretString, AwsError> {
        let client = self.0.client.get_or_init(|| Client::new(&self.0.config));
        let answer = client.get_secret_value().secret_id(arn).send().await;
        let text = answer.map_err(|error| secret_error(arn, error.into()))?.secret_string;
        let secret: SecretString = match text {
            Some(text) if !text.is_empty() => text.into(),
            _ => return Err(AwsError::SecretEmpty { arn: arn.to_owned() }),
        };
        cached.store(secret.clone(), Instant::now());
        Ok(secret)
    }
}

fn secret_error(arn: &str, failure: Failure) -> AwsError {
    match failure.kind {
        // A secret without a value lacks the version for AWSCURRENT. Only the message text shows that.
        Kind::Missing if failure.cause.says("staging label") => AwsError::SecretEmpty { arn: arn.to_owned() },
        Kind::Missing => AwsError::SecretNotFound { arn: arn.to_owned(), source: failure.cause },
        Kind::Denied => AwsError::SecretDenied { arn: arn.to_owned(), source: failure.cause },
        _ => failure.into_error("secretsmanager:GetSecretValue", arn),
    }
}
