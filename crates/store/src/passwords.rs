//! Passwords that are made for each connection, where the database takes those of a moment in place of one that is kept.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;

/// Where a password is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAddress {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The name to connect as.
    pub login: String,
}

/// What a password is made by, or a sentence why there is none.
type Make = dyn Fn(LoginAddress) -> BoxFuture<'static, Result<SecretString, String>> + Send + Sync;

/// Makes a password for each new connection. Cheap to clone.
#[derive(Clone)]
pub struct Passwords(Arc<Make>);

impl Passwords {
    /// Made by this.
    pub fn new(
        make: impl Fn(LoginAddress) -> BoxFuture<'static, Result<SecretString, String>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(make))
    }

    /// The same options with a new password.
    pub(crate) async fn renew(&self, options: &PgConnectOptions) -> Result<PgConnectOptions, sqlx::Error> {
        let Self(make) = self;
        let address = LoginAddress {
            host: options.get_host().to_owned(),
            port: options.get_port(),
            login: options.get_username().to_owned(),
        };
        let password = make(address).await.map_err(|cause| {
            // Like a server that cannot be reached: a later attempt may succeed.
            sqlx::Error::Io(std::io::Error::other(format!("there is no password for the login: {cause}")))
        })?;
        Ok(options.clone().password(password.expose_secret()))
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}
