//! Mail by SES.

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::SdkError;
use aws_sdk_sesv2::operation::send_email::SendEmailError;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageHeader};

use crate::Cause;
use crate::error::{Failure, Kind};

/// Sends mail.
#[derive(Debug, Clone)]
pub struct Mails {
    client: Client,
}

/// A mail to send. Addresses may have names before them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMail<'a> {
    /// From whom: an address that SES has verified.
    pub from: &'a str,
    /// To whom.
    pub to: &'a [String],
    /// The subject.
    pub subject: &'a str,
    /// The text.
    pub text: &'a str,
    /// The same as HTML.
    pub html: &'a str,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Why a mail was not sent, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// Not now: SES was not reached, has too much to do, or this account has sent enough for now.
    #[error("SES does not take it now: {0}")]
    Later(Cause),
    /// Not this mail.
    #[error("SES refused it: {0}")]
    Refused(Cause),
    /// No mail at all: the role, the account or the sender may not send.
    #[error(
        "SES does not let it be sent: {0}\n  help: verify the sender in SES, and let the role send as it (ses:SendEmail)"
    )]
    Denied(Cause),
    /// It was sent or not.
    #[error("nobody knows whether SES sent it: {0}")]
    Unknown(Cause),
}

impl Mails {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        // A mail must not be sent twice because an answer was lost.
        let config = aws_sdk_sesv2::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
        Self { client: Client::from_conf(config) }
    }

    /// Sends a mail, once.
    ///
    /// # Errors
    /// See [`MailError`].
    pub async fn send(&self, mail: &OutgoingMail<'_>) -> Result<(), MailError> {
        let text = |data: &str| Content::builder().data(data).charset("UTF-8").build();
        let refused = |error| MailError::Refused(Failure::from(error).cause);
        let mut message = Message::builder().subject(text(mail.subject).map_err(refused)?).body(
            Body::builder().text(text(mail.text).map_err(refused)?).html(text(mail.html).map_err(refused)?).build(),
        );
        for (name, value) in mail.headers {
            let header = MessageHeader::builder().name(*name).value(*value).build();
            message = message.headers(header.map_err(refused)?);
        }
        let to = Destination::builder().set_to_addresses(Some(mail.to.to_vec())).build();
        let request = self.client.send_email().from_email_address(mail.from).destination(to);
        let sent = request.content(EmailContent::builder().simple(message.build()).build()).send().await;
        sent.map(drop).map_err(meaning)
    }
}

fn meaning(error: SdkError<SendEmailError>) -> MailError {
    // One that says that it was sent, and cannot be read, is none.
    let is_answer = error.raw_response().is_some_and(|answer| !answer.status().is_success());
    let is_unsent =
        matches!(&error, SdkError::DispatchFailure(failure) if !failure.is_timeout() && !failure.is_other());
    let is_about_sender = error.as_service_error().is_some_and(|answer| {
        answer.is_account_suspended_exception()
            || answer.is_mail_from_domain_not_verified_exception()
            || answer.is_sending_paused_exception()
            || answer.is_not_found_exception()
    });
    let Failure { kind, cause } = error.into();
    match kind {
        _ if is_about_sender => MailError::Denied(cause),
        Kind::Denied | Kind::NotConfigured => MailError::Denied(cause),
        Kind::Unavailable if is_answer || is_unsent => MailError::Later(cause),
        Kind::Unavailable => MailError::Unknown(cause),
        // The whole request is refused where the sender is not verified: SES has no error of its own for that.
        _ if cause.says("not verified") => MailError::Denied(cause),
        Kind::Missing | Kind::Expired | Kind::Refused => MailError::Refused(cause),
    }
}
