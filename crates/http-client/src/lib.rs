#![doc = include_str!("../README.md")]

mod connector;
mod guard;

pub use connector::{HttpClient, NoAuthorities, Proxy, client, guarded_client, is_loopback};
pub use guard::{Guard, is_public};
