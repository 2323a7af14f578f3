//! Messages to channels: judged every quarter of an hour, and sent by the function that takes the channel from the queue.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use mergeline_aws::{Aws, CHANNELS, MailError, Mails, OutgoingMail, Queue, SMTP_URL, SecretValues, SecretVariable};
use mergeline_domain::{ChannelId, error_chain};
use mergeline_notifier::{
    Answer, Delivered, Mail, MailService, Mailbox, NotifyError, NotifySettings, Sender, SenderError, deliver, due,
    mail_headers, plan,
};
use mergeline_store::Writer;
use serde::Serialize;

use crate::collector::FunctionError;
use crate::task::{SendTask, Task};

/// The variables that may be stored as secrets. Nothing else needs them, so that collecting goes on without.
pub(crate) const CHANNEL_SECRETS: [SecretVariable; 2] = [CHANNELS, SMTP_URL];
/// SQS delays no message longer. What waits longer is found by a later look.
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// What a look for messages led to.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Notified {
    /// Messages that are new.
    pub added: u64,
    /// Messages that waited, and are no longer true.
    pub dropped: u64,
    /// The channels to which something is being sent.
    pub channels: Vec<String>,
}

/// The way to channels: by SMTP if there is a server, else mail goes by SES.
pub(crate) async fn sender(
    aws: Option<&Aws>,
    lookup: &(dyn Fn(&str) -> Option<String> + Send + Sync),
) -> Result<Sender, FunctionError> {
    let secrets = match aws {
        Some(aws) => SecretValues::fetch(&aws.secrets(), &CHANNEL_SECRETS, lookup, false).await?,
        None => SecretValues::default(),
    };
    let ses = aws.map(|aws| Arc::new(Ses(aws.mails())) as Arc<dyn MailService>);
    Sender::from_vars(|name| secrets.get(name).or_else(|| lookup(name)), ses).map_err(|error| match error {
        SenderError::Problems(problems) => problems.into(),
        SenderError::NoAuthorities(error) => FunctionError::new("channels.no_authorities", error_chain(&error)),
    })
}

/// Judges what there is to say, and has what is due sent: through the queue, or here without one.
pub(crate) async fn notify(
    store: &Writer,
    sender: &Sender,
    settings: &NotifySettings,
    queue: Option<&Queue>,
    clock: fn() -> DateTime<Utc>,
) -> Result<Notified, FunctionError> {
    let changes = Box::pin(plan(store, settings, clock())).await?.unwrap_or_default();
    let mut notified = Notified { added: changes.added, dropped: changes.dropped, channels: Vec::new() };
    for channel in due(store, clock()).await? {
        match queue {
            Some(queue) => announce(queue, channel.id.clone(), Duration::ZERO).await?,
            None => log(&channel.id, &Box::pin(deliver(store, sender, &channel, clock)).await?),
        }
        notified.channels.push(channel.id.to_string());
    }
    Ok(notified)
}

/// Sends what is due to a channel, and has the queue remind of what is due soon.
pub(crate) async fn send(
    store: &Writer,
    sender: &Sender,
    task: &SendTask,
    queue: Option<&Queue>,
    clock: fn() -> DateTime<Utc>,
) -> Result<(), FunctionError> {
    let channels = store.channels().await?;
    let Some(channel) = channels.iter().find(|channel| channel.id == task.channel) else {
        tracing::info!(channel = %task.channel, "The teams file has no such channel any more");
        return Ok(());
    };
    let delivered = Box::pin(deliver(store, sender, channel, clock)).await?;
    log(&channel.id, &delivered);
    let wait = delivered.next_at.map(|at| (at - clock()).to_std().unwrap_or_default());
    if let (Some(queue), Some(wait)) = (queue, wait.filter(|wait| *wait <= LONGEST_DELAY)) {
        announce(queue, channel.id.clone(), wait).await?;
    }
    Ok(())
}

async fn announce(queue: &Queue, channel: ChannelId, wait: Duration) -> Result<(), FunctionError> {
    let body = Task::Send(SendTask { channel }).body();
    Ok(queue.in_trace(mergeline_telemetry::traceparent()).send_with(&body, wait).await?)
}

fn log(channel: &ChannelId, delivered: &Delivered) {
    tracing::info!(channel = %channel, sent = delivered.sent, "Sent {} messages to channel {channel}", delivered.sent);
    for problem in &delivered.problems {
        tracing::warn!(channel = %channel, "A message to channel {channel} was not sent: {problem}");
    }
}

impl From<NotifyError> for FunctionError {
    fn from(error: NotifyError) -> Self {
        Self::new(error.code(), error_chain(&error))
    }
}

/// Mail by SES.
#[derive(Debug)]
struct Ses(Mails);

impl MailService for Ses {
    fn send<'a>(&'a self, from: &'a Mailbox, to: &'a [Mailbox], mail: &'a Mail) -> BoxFuture<'a, Answer> {
        async move {
            let to: Vec<String> = to.iter().map(ToString::to_string).collect();
            let headers = mail_headers(from);
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let outgoing = OutgoingMail {
                from: &from.to_string(),
                to: &to,
                subject: &mail.subject,
                text: &mail.text,
                html: &mail.html,
                headers: &headers,
            };
            match self.0.send(&outgoing).await {
                Ok(()) => Answer::Taken,
                // What SES says may quote addresses.
                Err(MailError::Later(_)) => Answer::Later(None, "SES does not take it now".to_owned()),
                Err(MailError::Refused(_)) => Answer::Refused("SES refused it".to_owned()),
                Err(MailError::Denied(_)) => Answer::Gone(
                    "SES does not let it be sent: is the sender verified, and may the role use ses:SendEmail?"
                        .to_owned(),
                ),
                Err(MailError::Unknown(_)) => Answer::Unknown("SES did not answer".to_owned()),
            }
        }
        .boxed()
    }
}
