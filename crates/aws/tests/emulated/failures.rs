use std::error::Error;

use anyhow::Context;
use mergeline_aws::{Aws, AwsError, Metric, Unit};

use crate::emulator::{AwsFault, AwsService};
use crate::start;

const SECRET: &str = "ghs_never_to_be_shown";
/// Requests per failing call.
const ATTEMPTS: u32 = 3;

/// Everything that a log could show about an error.
fn shown(error: &AwsError) -> String {
    let chain = std::iter::successors(Some(error as &dyn Error), |error| (*error).source());
    chain.map(|error| format!("{error} {error:?} ")).collect()
}

#[tokio::test]
async fn no_error_shows_a_secret() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let arn = emulator.create_secret("token", Some(SECRET)).await?;
    for (fault, requests) in [(AwsFault::Garbled, 1), (AwsFault::Unavailable, ATTEMPTS), (AwsFault::Denied, 1)] {
        emulator.fail_next(AwsService::SecretsManager, fault, requests).await?;
        let error = aws.secrets().get(&arn).await.err().context("the call succeeded")?;
        assert!(!shown(&error).contains(SECRET), "{fault:?}: {}", shown(&error));
    }
    aws.secrets().refresh(&arn).await?;
    assert!(!format!("{aws:?}").contains(SECRET));
    Ok(())
}

#[tokio::test]
async fn a_truncated_response_means_aws_is_unavailable() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let arn = emulator.create_secret("token", Some(SECRET)).await?;
    emulator.fail_next(AwsService::SecretsManager, AwsFault::Garbled, 1).await?;
    let error = aws.secrets().get(&arn).await.err();
    assert!(matches!(error, Some(AwsError::Unavailable { .. })), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn a_failing_service_is_called_three_times() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let queue = aws.queue(&emulator.create_queue("work", 5).await?.url);
    emulator.fail_next(AwsService::Sqs, AwsFault::Unavailable, ATTEMPTS).await?;
    let error = queue.depth().await.err();
    assert!(matches!(error, Some(AwsError::Unavailable { .. })), "{error:?}");
    assert_eq!(emulator.requests("GetQueueAttributes").await?, 3);
    assert_eq!(queue.depth().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_refused_connection_means_aws_is_unavailable() {
    // Nothing listens on port 9, "discard".
    let aws = Aws::from_vars(|name| match name {
        "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:9".to_owned()),
        "AWS_REGION" => Some("eu-north-1".to_owned()),
        _ => Some("key".to_owned()),
    });
    let metric = Metric { name: "Collected", value: 1.0, unit: Unit::Count };
    let error = aws.await.metrics("Mergeline").put(&[metric]).await.err();
    assert!(matches!(error, Some(AwsError::Unavailable { .. })), "{error:?}");
}

#[tokio::test]
async fn a_silent_service_times_out_as_unavailable() -> anyhow::Result<()> {
    // The kernel accepts connections for a listener that never reads them.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let url = format!("http://{}", silent.local_addr()?);
    let aws = Aws::from_vars(|name| match name {
        "AWS_ENDPOINT_URL" => Some(url.clone()),
        "AWS_REGION" => Some("eu-north-1".to_owned()),
        _ => Some("key".to_owned()),
    });
    let aws = aws.await;
    let (secrets, metrics, queue) = (aws.secrets(), aws.metrics("Mergeline"), aws.queue(&format!("{url}/1/work")));
    let metric = [Metric { name: "Collected", value: 1.0, unit: Unit::Count }];
    let arn = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:token-AbCdEf";
    let (secret, put, depth) = tokio::join!(secrets.get(arn), metrics.put(&metric), queue.depth());
    for error in [secret.err(), put.err(), depth.err()] {
        assert!(matches!(error, Some(AwsError::Unavailable { .. })), "{error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_region_the_call_fails_with_advice() {
    let aws = Aws::from_vars(|name| name.contains("KEY").then(|| "key".to_owned())).await;
    let error = aws.secrets().get("arn:aws:secretsmanager:eu-north-1:123456789012:secret:token-AbCdEf").await;
    let error = error.map_err(|error| (error.code(), error.to_string())).err().unwrap_or_default();
    assert_eq!(error.0, "aws_not_configured");
    assert!(error.1.contains("AWS_REGION"), "{}", error.1);
}
