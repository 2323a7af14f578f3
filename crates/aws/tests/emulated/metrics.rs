use mergeline_aws::{Metric, Unit};

use crate::emulator::{AwsFault, AwsService, EmulatedMetric};
use crate::start;

const METRICS: [Metric; 3] = [
    Metric { name: "Collected", value: 12.0, unit: Unit::Count },
    Metric { name: "Age", value: 0.25, unit: Unit::Seconds },
    Metric { name: "Share", value: -1.5, unit: Unit::None },
];

#[tokio::test]
async fn metrics_arrive_with_their_units() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    aws.metrics("Mergeline/test").put(&METRICS).await?;
    let arrived = |name: &str, value, unit: &str| EmulatedMetric {
        namespace: "Mergeline/test".to_owned(),
        name: name.to_owned(),
        value,
        unit: unit.to_owned(),
        dimensions: Vec::new(),
    };
    let expected =
        [arrived("Collected", 12.0, "Count"), arrived("Age", 0.25, "Seconds"), arrived("Share", -1.5, "None")];
    assert_eq!(emulator.metrics().await?, expected);
    assert_eq!(emulator.requests("PutMetricData").await?, 1);
    Ok(())
}

#[tokio::test]
async fn many_metrics_are_sent_in_one_request() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    // Enough for the SDK to compress them.
    aws.metrics("Mergeline").put(&METRICS.repeat(300)).await?;
    assert_eq!(emulator.metrics().await?.len(), 900);
    assert_eq!(emulator.requests("PutMetricData").await?, 1);
    Ok(())
}

#[tokio::test]
async fn sending_no_metrics_makes_no_request() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    aws.metrics("Mergeline").put(&[]).await?;
    assert_eq!(emulator.requests("PutMetricData").await?, 0);
    Ok(())
}

#[tokio::test]
async fn refused_metrics_name_the_missing_permission() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    emulator.fail_next(AwsService::CloudWatch, AwsFault::Denied, 1).await?;
    let error = aws.metrics("Mergeline").put(&METRICS).await.map_err(|error| (error.code(), error.to_string()));
    let (code, text) = error.err().unwrap_or_default();
    assert_eq!(code, "metrics_denied");
    assert!(text.contains("cloudwatch:PutMetricData"), "{text}");
    Ok(())
}
