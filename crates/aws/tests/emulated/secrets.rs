use std::time::Duration;

use mergeline_aws::AwsError;
use secrecy::ExposeSecret;

use crate::emulator::{AwsFault, AwsService};
use crate::start;

const MINUTE: Duration = Duration::from_secs(60);
/// More than all requests of a test.
const ALWAYS: u32 = 100;

/// Advances the time that the cache sees. Sockets need real time, so the clock keeps running.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_secret_is_fetched_once_per_five_minutes() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let arn = emulator.create_secret("token", Some("first")).await?;
    for _ in 0..3 {
        assert_eq!(aws.secrets().get(&arn).await?.expose_secret(), "first");
    }
    assert_eq!(emulator.requests("GetSecretValue").await?, 1);
    emulator.put_secret(&arn, "second").await?;
    pass(4 * MINUTE).await;
    assert_eq!(aws.secrets().get(&arn).await?.expose_secret(), "first");
    pass(MINUTE).await;
    assert_eq!(aws.secrets().get(&arn).await?.expose_secret(), "second");
    assert_eq!(emulator.requests("GetSecretValue").await?, 2);
    Ok(())
}

#[tokio::test]
async fn concurrent_callers_share_one_secret_request() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let arn = emulator.create_secret("token", Some("value")).await?;
    let secrets = aws.secrets();
    let (first, second, third) = tokio::join!(secrets.get(&arn), secrets.get(&arn), secrets.get(&arn));
    for secret in [first, second, third] {
        assert_eq!(secret?.expose_secret(), "value");
    }
    assert_eq!(emulator.requests("GetSecretValue").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_rotated_secret_is_seen_after_a_refresh() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let arn = emulator.create_secret("token", Some("first")).await?;
    let secrets = aws.secrets();
    secrets.get(&arn).await?;
    emulator.put_secret(&arn, "second").await?;
    assert_eq!(secrets.get(&arn).await?.expose_secret(), "first");
    assert_eq!(secrets.refresh(&arn).await?.expose_secret(), "second");
    assert_eq!(secrets.get(&arn).await?.expose_secret(), "second");
    Ok(())
}

#[tokio::test]
async fn a_stale_secret_is_used_for_an_hour() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let arn = emulator.create_secret("token", Some("value")).await?;
    let secrets = aws.secrets();
    secrets.get(&arn).await?;
    emulator.fail_next(AwsService::SecretsManager, AwsFault::Unavailable, ALWAYS).await?;
    pass(59 * MINUTE).await;
    assert_eq!(secrets.get(&arn).await?.expose_secret(), "value");
    pass(MINUTE).await;
    assert_eq!(secrets.get(&arn).await.map_err(|error| error.code()).err(), Some("aws_unavailable"));
    Ok(())
}

#[tokio::test]
async fn a_refresh_never_returns_a_stale_secret() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let arn = emulator.create_secret("token", Some("value")).await?;
    let secrets = aws.secrets();
    secrets.get(&arn).await?;
    emulator.fail_next(AwsService::SecretsManager, AwsFault::Unavailable, ALWAYS).await?;
    assert_eq!(secrets.refresh(&arn).await.map_err(|error| error.code()).err(), Some("aws_unavailable"));
    assert_eq!(secrets.get(&arn).await?.expose_secret(), "value");
    Ok(())
}

#[tokio::test]
async fn transient_failures_are_retried_by_the_sdk() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let arn = emulator.create_secret("token", Some("value")).await?;
    emulator.fail_next(AwsService::SecretsManager, AwsFault::Unavailable, 2).await?;
    assert_eq!(aws.secrets().get(&arn).await?.expose_secret(), "value");
    assert_eq!(emulator.requests("GetSecretValue").await?, 3);
    Ok(())
}

#[tokio::test]
async fn missing_and_empty_secrets_are_different_errors() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let absent = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:absent-AbCdEf";
    let error = aws.secrets().get(absent).await.err();
    assert!(matches!(&error, Some(AwsError::SecretNotFound { arn, .. }) if arn == absent), "{error:?}");
    let created = emulator.create_secret("later", None).await?;
    let error = aws.secrets().get(&created).await.err();
    assert!(matches!(&error, Some(AwsError::SecretEmpty { arn }) if *arn == created), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_forbidden_secret_names_the_missing_permission() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let arn = emulator.create_secret("token", Some("value")).await?;
    emulator.fail_next(AwsService::SecretsManager, AwsFault::Denied, 1).await?;
    let error = aws.secrets().get(&arn).await.map_err(|error| (error.code(), error.to_string()));
    let (code, text) = error.err().unwrap_or_default();
    assert_eq!(code, "secret_denied");
    assert!(text.contains(&arn) && text.contains("secretsmanager:GetSecretValue"), "{text}");
    Ok(())
}
