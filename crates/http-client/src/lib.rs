#![doc = include_str!("../README.md")]

mod connector;

pub use connector::{HttpClient, NoAuthorities, Proxy, client, is_loopback};
