#![doc = include_str!("../README.md")]

mod addresses;
mod answers;
mod digest;
mod discord;
mod mail;
mod merge;
mod message;
mod notify;
mod plan;
mod sender;
mod slack;
mod smtp;
mod teams;
#[cfg(test)]
mod tests;
mod webhook;

pub use addresses::Addresses;
pub use answers::Answer;
pub use digest::{DigestOptions, digest};
pub use discord::discord;
pub use lettre::message::Mailbox;
pub use mail::{Mail, mail};
pub use message::{Line, Link, Message, Section};
pub use notify::{Delivered, NotifyError, NotifySettings, deliver, due, plan, planned, sample, test_channel, unsent};
pub use sender::{MailService, Sender, SenderError, body_of};
pub use slack::slack;
pub use smtp::mail_headers;
pub use teams::teams;
pub use webhook::webhook;
