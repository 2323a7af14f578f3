//! Mail by SMTP.

use std::net::IpAddr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use mergeline_domain::Problem;
use secrecy::{ExposeSecret, SecretString};

use crate::answers::Answer;
use crate::mail::Mail;
use crate::sender::MailService;

/// How long a server may take for each of its answers.
const TIME: Duration = Duration::from_secs(10);
/// How long all of it may take.
const TIME_IN_ALL: Duration = Duration::from_secs(20);

/// A server that takes mail.
#[derive(Debug)]
pub(crate) struct Smtp(AsyncSmtpTransport<Tokio1Executor>);

impl Smtp {
    /// The server of `SMTP_URL`.
    ///
    /// # Errors
    /// `config.smtp_url` for an address that cannot be used, and for a server elsewhere without TLS. Never shows it.
    pub(crate) fn at(url: &SecretString) -> Result<Self, Problem> {
        let refuse = |message: &str| {
            let help = "write smtps://USER:PASSWORD@HOST:465, or smtp://USER:PASSWORD@HOST:587?tls=required";
            Problem::setting("config.smtp_url", "SMTP_URL", message, help)
        };
        let text = url.expose_secret().trim();
        let parsed = url::Url::parse(text).map_err(|_| refuse("it is not a URL"))?;
        let is_safe = parsed.scheme() == "smtps"
            || parsed.query_pairs().any(|(name, value)| name == "tls" && value == "required")
            || is_here(parsed.host_str().unwrap_or_default());
        if !is_safe {
            return Err(refuse("it would send mail and password without TLS"));
        }
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(text)
            .map_err(|_| refuse("it is not the URL of a mail server"))?;
        Ok(Self(builder.timeout(Some(TIME)).build()))
    }
}

impl MailService for Smtp {
    fn send<'a>(&'a self, from: &'a Mailbox, to: &'a [Mailbox], mail: &'a Mail) -> BoxFuture<'a, Answer> {
        async move {
            let message = match compose(from, to, mail) {
                Ok(message) => message,
                Err(error) => return Answer::Refused(format!("the mail cannot be written: {error}")),
            };
            let sending = tokio::time::timeout(TIME_IN_ALL, self.0.send(message)).await;
            match sending {
                Ok(Ok(_)) => Answer::Taken,
                Ok(Err(error)) => answer_of(&error),
                Err(_) => Answer::Unknown("the mail server did not answer in time".to_owned()),
            }
        }
        .boxed()
    }
}

/// Whether a host is this machine. In a URL of this scheme, numbers are a name.
fn is_here(host: &str) -> bool {
    let numbers = host.trim_matches(['[', ']']).parse::<IpAddr>();
    numbers.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

/// Headers of each mail, with their names: how to get no more, and that out-of-office programs should not answer.
pub fn mail_headers(from: &Mailbox) -> [(&'static str, String); 2] {
    let unsubscribe = format!("<mailto:{}?subject=unsubscribe>", from.email);
    [("List-Unsubscribe", unsubscribe), ("Auto-Submitted", "auto-generated".to_owned())]
}

/// A mail with its headers.
fn compose(from: &Mailbox, to: &[Mailbox], mail: &Mail) -> Result<Message, lettre::error::Error> {
    let mut builder = Message::builder().from(from.clone()).subject(&mail.subject);
    for recipient in to {
        builder = builder.to(recipient.clone());
    }
    for (name, value) in mail_headers(from) {
        builder = builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
    }
    builder.multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
}

/// What a failure means. Replies of a server are not repeated: they may quote addresses.
fn answer_of(error: &Error) -> Answer {
    if let Some(code) = error.status() {
        let why = format!("the mail server answered {code}");
        // 530 to 538 are about the login.
        return match u16::from(code) {
            530..=538 => Answer::Gone(format!("{why}: it does not accept the login")),
            400..=499 => Answer::Later(None, why),
            _ => Answer::Refused(why),
        };
    }
    if error.is_timeout() {
        return Answer::Unknown("the mail server did not answer in time".to_owned());
    }
    if error.is_tls() {
        return Answer::Later(None, "no safe connection to the mail server".to_owned());
    }
    // Both a refused connection and one that broke.
    let text = error.to_string();
    if text.starts_with("Connection error") {
        return Answer::Later(None, "no connection to the mail server".to_owned());
    }
    Answer::Unknown("the connection to the mail server broke".to_owned())
}
