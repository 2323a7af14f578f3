#![doc = include_str!("../README.md")]

mod connector;
mod guard;

pub use connector::{
    HttpClient, NoAuthorities, Proxy, check_authorities, client, guarded_client, is_loopback, problem_of_authorities,
};
pub use guard::{Guard, is_public};
