#![doc = include_str!("../README.md")]

mod digest;
mod discord;
mod mail;
mod message;
mod slack;
mod teams;
#[cfg(test)]
mod tests;
mod webhook;

pub use digest::{DigestOptions, digest};
pub use discord::discord;
pub use mail::{Mail, mail};
pub use message::{Line, Link, Message, Section};
pub use slack::slack;
pub use teams::teams;
pub use webhook::webhook;
