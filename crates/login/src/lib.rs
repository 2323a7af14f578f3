#![doc = include_str!("../README.md")]

mod bearer;
mod error;
mod provider;
mod published;
mod seal;
mod session;
mod settings;
mod token;

pub use bearer::{Bearer, TokenSettings, Tokens};
pub use error::LoginError;
pub use provider::{Answer, Answered, Provider, Started};
pub use session::{ATTEMPT_MINUTES, SESSION_HOURS, Session};
pub use settings::LoginSettings;
