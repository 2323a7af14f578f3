#![doc = include_str!("../README.md")]

mod auth;
mod docs;
mod endpoints;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod router;
mod settings;
mod state;

pub use auth::callers::{Authorizer, Caller};
pub use auth::hosts::AllowedHosts;
pub use auth::keys::{ApiKey, ApiKeys, KeyName, KeyNameError, NewKey, ServiceName, ServiceNameError};
pub use auth::origins::AllowedOrigins;
pub use auth::scope::{Scope, ScopeError};
pub use auth::sessions::Sessions;
pub use auth::tokens::TokenCheck;
pub use endpoints::{
    changes_json, custom_json, dora_json, forecast_json, goals_json, reviews_json, statistics_json, time_json,
};
pub use http::context::ClientPath;
pub use router::router;
pub use settings::Settings;
pub use state::{Api, Login, NoticeQueue, Webhooks};

/// The API in OpenAPI 3.1.
pub fn openapi() -> serde_json::Value {
    docs::openapi(endpoints::OPERATIONS)
}
