//! Shared state of the handlers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use mergeline_domain::metrics::STALE_AFTER;
use mergeline_login::{LoginError, LoginSettings, Provider};
use mergeline_store::{Poster, Reader};
use mergeline_webhooks::{ChangeNotice, WebhookSecrets};

use crate::auth::callers::Authorizer;
use crate::auth::hosts::AllowedHosts;
use crate::auth::keys::ApiKeys;
use crate::auth::origins::AllowedOrigins;
use crate::auth::scope::Scope;
use crate::auth::sessions::Sessions;
use crate::auth::tokens::TokenCheck;

/// Where repositories are left that webhooks say have changed.
pub trait NoticeQueue: fmt::Debug + Send + Sync {
    /// Leaves one there.
    ///
    /// # Errors
    /// A sentence, if the queue did not take it.
    fn push(&self, notice: ChangeNotice) -> BoxFuture<'_, Result<(), String>>;
}

/// What receiving webhooks needs.
#[derive(Debug, Clone, Default)]
pub struct Webhooks {
    /// The secrets that they are signed with. A plugin without any accepts nothing.
    pub secrets: WebhookSecrets,
    /// Where changed repositories are left; `None` if nothing reads them.
    pub queue: Option<Arc<dyn NoticeQueue>>,
}

/// How people log in to the page.
#[derive(Debug, Clone)]
pub enum Login {
    /// Not at all: the server listens on this machine only, and has no keys.
    None,
    /// With a key of the API, which the page keeps until its tab is closed.
    Key,
    /// With a provider of OpenID Connect.
    Oidc(Arc<Sessions>),
}

impl Login {
    /// With the provider of these settings.
    ///
    /// # Errors
    /// If no certificate authority is known.
    pub fn oidc(settings: LoginSettings) -> Result<Self, LoginError> {
        Ok(Self::Oidc(Arc::new(Sessions::new(Provider::new(settings)?))))
    }
}

/// Shared state of the handlers.
#[derive(Debug, Clone)]
pub struct Api {
    /// The database.
    pub store: Reader,
    /// Where what is posted is stored. Without it, nothing can be posted.
    pub poster: Option<Poster>,
    /// The keys, one of which each request must carry, if any are set.
    pub keys: Option<ApiKeys>,
    /// Whether requests carry a key or a token, or are signed by identities of IAM.
    pub authorizer: Authorizer,
    /// Checks tokens. With [`Authorizer::Jwt`] and without this, no request for data is accepted.
    pub tokens: Option<Arc<TokenCheck>>,
    /// What each request may do if no keys are set; `None` for everything.
    pub gateway_key_scope: Option<Scope>,
    /// What receiving webhooks needs.
    pub webhooks: Webhooks,
    /// The host names that requests without keys must use. It is set where a browser can reach the server and nothing
    /// in front of the program checks requests.
    pub hosts: Option<AllowedHosts>,
    /// The origins whose pages may read the API with a key.
    pub origins: AllowedOrigins,
    /// How people log in to the page; `None` where there is no page.
    pub page: Option<Login>,
    /// Whether Prometheus finds its metrics at `/metrics`.
    pub prometheus: bool,
    /// Which database this is ([`mergeline_store::DatabaseSettings::fingerprint`]): the page does not show what it kept of another.
    pub database: String,
    /// The time limit of a request.
    pub timeout: Duration,
    /// After this time without a complete collection, the numbers are stale.
    pub stale_after: TimeDelta,
    /// The current time.
    pub clock: fn() -> DateTime<Utc>,
}

impl Api {
    /// An API without keys and page that answers to every host name, and only reads.
    pub fn new(store: Reader, timeout: Duration, clock: fn() -> DateTime<Utc>) -> Self {
        Self {
            store,
            poster: None,
            keys: None,
            authorizer: Authorizer::default(),
            tokens: None,
            gateway_key_scope: None,
            webhooks: Webhooks::default(),
            hosts: None,
            origins: AllowedOrigins::default(),
            page: None,
            prometheus: false,
            database: String::new(),
            timeout,
            stale_after: STALE_AFTER,
            clock,
        }
    }

    /// The current time.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }
}
