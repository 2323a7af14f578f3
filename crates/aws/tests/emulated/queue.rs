use std::collections::BTreeSet;
use std::time::Duration;

use mergeline_aws::AwsError;

use crate::emulator::{AwsFault, AwsService};
use crate::start;

const HOUR: Duration = Duration::from_secs(60 * 60);

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| format!(r#"{{"number":{number},"text":"Ünïcode & <tags>"}}"#)).collect()
}

#[tokio::test]
async fn messages_sent_in_batches_are_received_intact() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let queue = aws.queue(&emulator.create_queue("work", 5).await?.url);
    let sent = bodies(23);
    queue.send(&sent).await?;
    assert_eq!(emulator.requests("SendMessageBatch").await?, 3);
    assert_eq!(queue.depth().await?, 23);
    let mut received = BTreeSet::new();
    loop {
        let messages = queue.receive(10).await?;
        if messages.is_empty() {
            break;
        }
        for message in messages {
            assert_eq!(message.receives, 1);
            queue.delete(&message.receipt_handle).await?;
            received.insert(message.body);
        }
    }
    assert_eq!(received, sent.into_iter().collect());
    assert_eq!(emulator.messages(queue.url()).await?, []);
    Ok(())
}

#[tokio::test]
async fn sending_no_messages_makes_no_request() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    aws.queue(&emulator.create_queue("work", 5).await?.url).send(&[]).await?;
    assert_eq!(emulator.requests("SendMessageBatch").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_rejected_message_is_sent_once_more() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let queue = aws.queue(&emulator.create_queue("work", 5).await?.url);
    emulator.fail_next(AwsService::Sqs, AwsFault::Partial, 1).await?;
    queue.send(&bodies(3)).await?;
    let arrived: Vec<_> = emulator.messages(queue.url()).await?.into_iter().map(|message| message.body).collect();
    assert_eq!(arrived, bodies(3));
    Ok(())
}

#[tokio::test]
async fn a_message_rejected_twice_counts_as_undelivered() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let queue = aws.queue(&emulator.create_queue("work", 5).await?.url);
    emulator.fail_next(AwsService::Sqs, AwsFault::Partial, 2).await?;
    let error = queue.send(&bodies(3)).await.err();
    assert!(matches!(error, Some(AwsError::Undelivered { lost: 1, all: 3, .. })), "{error:?}");
    assert_eq!(queue.depth().await?, 2);
    Ok(())
}

#[tokio::test]
async fn message_delays_are_capped_at_fifteen_minutes() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let queue = aws.queue(&emulator.create_queue("work", 5).await?.url);
    queue.send_with("later", HOUR).await?;
    assert_eq!(queue.receive(1).await?, []);
    let waiting = emulator.messages(queue.url()).await?;
    assert!(waiting.iter().all(|message| (800.0..=900.0).contains(&message.hidden_seconds)), "{waiting:?}");
    emulator.release(queue.url()).await?;
    assert_eq!(queue.receive(1).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_hidden_message_is_not_received() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let queue = aws.queue(&emulator.create_queue("work", 5).await?.url);
    queue.send_with("busy", Duration::ZERO).await?;
    for message in queue.receive(1).await? {
        queue.hide(&message.receipt_handle, 24 * HOUR).await?;
    }
    assert_eq!(queue.receive(1).await?, []);
    let hidden = emulator.messages(queue.url()).await?;
    assert!(hidden.iter().all(|message| (42_000.0..43_000.0).contains(&message.hidden_seconds)), "{hidden:?}");
    emulator.release(queue.url()).await?;
    assert_eq!(queue.receive(1).await?.first().map(|message| message.receives), Some(2));
    Ok(())
}

#[tokio::test]
async fn a_message_with_zero_timeout_is_received_again() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let queue = aws.queue(&emulator.create_queue("work", 5).await?.url);
    queue.send_with("again", Duration::ZERO).await?;
    for message in queue.receive(1).await? {
        queue.hide(&message.receipt_handle, Duration::ZERO).await?;
    }
    assert_eq!(queue.receive(1).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_message_received_too_often_is_dead_lettered() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let created = emulator.create_queue("work", 2).await?;
    let queue = aws.queue(&created.url);
    queue.send_with("poison", Duration::ZERO).await?;
    for _ in 0..3 {
        queue.receive(1).await?;
        emulator.release(queue.url()).await?;
    }
    let dead = aws.queue(&created.dead_letters_url).receive(10).await?;
    assert_eq!(dead.iter().map(|message| message.body.as_str()).collect::<Vec<_>>(), ["poison"]);
    Ok(())
}

#[tokio::test]
async fn a_missing_queue_is_named_in_errors() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let url = emulator.create_queue("work", 5).await?.url.replace("work", "absent");
    let queue = aws.queue(&url);
    for error in [queue.send(&bodies(1)).await.err(), queue.receive(1).await.err(), queue.depth().await.err()] {
        assert!(matches!(&error, Some(AwsError::QueueNotFound { url: named, .. }) if *named == url), "{error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_invalid_receipt_is_reported_as_expired() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let queue = aws.queue(&emulator.create_queue("work", 5).await?.url);
    let error = queue.hide("no-receipt", HOUR).await.err();
    assert!(matches!(error, Some(AwsError::ReceiptExpired { .. })), "{error:?}");
    Ok(())
}
