use mergeline_aws::{MailError, OutgoingMail};

use crate::emulator::{AwsFault, AwsService};
use crate::start;

fn mail(to: &[String]) -> OutgoingMail<'_> {
    OutgoingMail {
        from: "Mergeline <mergeline@example.com>",
        to,
        subject: "Payments: Nov 23 to 29, 2026",
        text: "12 pull requests merged.",
        html: "<p>12 pull requests merged.</p>",
        headers: &[("Auto-Submitted", "auto-generated")],
    }
}

#[tokio::test]
async fn mail_of_a_verified_sender_is_sent_to_everyone() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    emulator.verify_sender("mergeline@example.com").await?;
    let to = ["leads@example.com".to_owned(), "Ops <ops@example.com>".to_owned()];
    aws.mails().send(&mail(&to)).await?;
    let sent = emulator.mails().await?;
    assert_eq!(sent.len(), 1, "{sent:?}");
    for expected in ["leads@example.com", "ops@example.com", "Payments: Nov 23 to 29, 2026", "12 pull requests merged."]
    {
        assert!(sent[0].contains(expected), "{expected} in {sent:?}");
    }
    Ok(())
}

#[tokio::test]
async fn mail_of_a_sender_that_is_not_verified_is_denied() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    let refused = aws.mails().send(&mail(&["leads@example.com".to_owned()])).await;
    assert!(matches!(refused, Err(MailError::Denied(_))), "{refused:?}");
    assert_eq!(emulator.mails().await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn each_failure_says_whether_the_mail_may_be_sent_again() -> anyhow::Result<()> {
    let (emulator, aws) = start().await?;
    emulator.verify_sender("mergeline@example.com").await?;
    let to = ["leads@example.com".to_owned()];
    let send = async || aws.mails().send(&mail(&to)).await;
    emulator.fail_next(AwsService::Ses, AwsFault::Unavailable, 1).await?;
    assert!(matches!(send().await, Err(MailError::Later(_))));
    assert_eq!(emulator.requests("SendEmail").await?, 1, "the SDK does not repeat it");
    emulator.fail_next(AwsService::Ses, AwsFault::Denied, 1).await?;
    assert!(matches!(send().await, Err(MailError::Denied(_))));
    emulator.fail_next(AwsService::Ses, AwsFault::Garbled, 1).await?;
    let answer = send().await;
    assert!(matches!(answer, Err(MailError::Unknown(_))), "{answer:?}");
    assert_eq!(emulator.mails().await?.len(), 1, "the last one was sent");
    let closed = mergeline_aws::Aws::from_vars(|name| match name {
        "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:9".to_owned()),
        "AWS_REGION" => Some("eu-north-1".to_owned()),
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("none".to_owned()),
        _ => None,
    });
    let refused = closed.await.mails().send(&mail(&to)).await;
    assert!(matches!(refused, Err(MailError::Later(_))), "nothing listens: {refused:?}");
    Ok(())
}
