//! What a provider publishes about itself: its addresses, and the keys that it signs with.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use jsonwebtoken::jwk::JwkSet;
use mergeline_domain::error_chain;
use mergeline_http_client::{HttpClient, NoAuthorities, Proxy};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::error::LoginError;

/// For each request to the provider. Somebody waits.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Answers are a few kilobytes.
const MAX_BYTES: usize = 512 * 1024;
/// What the provider says about itself, and its keys, are asked for again after this.
const KNOWN_FOR: TimeDelta = TimeDelta::hours(1);
/// Tokens with unknown keys cannot make this program ask for keys more often.
const BETWEEN_KEYS: TimeDelta = TimeDelta::minutes(1);

/// What a provider publishes, kept for an hour.
#[derive(Debug)]
pub(crate) struct Published {
    issuer: String,
    http: HttpClient<Full<Bytes>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Metadata, DateTime<Utc>)>,
    keys: Option<(JwkSet, DateTime<Utc>)>,
}

/// What a provider says about itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    /// These two are missing where nobody logs in, as at those that only sign tokens of programs.
    authorization_endpoint: Option<Url>,
    token_endpoint: Option<Url>,
    jwks_uri: Url,
    /// HTTP Basic if it is missing.
    pub(crate) token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

impl Metadata {
    /// Where people go to log in, and where a code is exchanged for a token.
    pub(crate) fn for_logins(&self) -> Result<(Url, Url), LoginError> {
        let missing = || LoginError::Unsuitable("it has no address to log in at".to_owned());
        self.authorization_endpoint.clone().zip(self.token_endpoint.clone()).ok_or_else(missing)
    }
}

impl Published {
    /// Of this provider. It asks for nothing yet.
    pub(crate) fn new(issuer: String, proxy: Option<&Proxy>) -> Result<Self, LoginError> {
        let http = mergeline_http_client::client(proxy)
            .map_err(|error| LoginError::Unreachable(format!("{error}; {}", NoAuthorities::HELP)))?;
        Ok(Self { issuer, http, known: Mutex::default() })
    }

    /// The provider's address.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What the provider says about itself.
    pub(crate) async fn metadata(&self, now: DateTime<Utc>) -> Result<Metadata, LoginError> {
        if let Some((metadata, at)) = self.known().metadata.as_ref()
            && is_recent(*at, now, KNOWN_FOR)
        {
            return Ok(metadata.clone());
        }
        let issuer = self.issuer.as_str();
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = self.get(&address).await?;
        if metadata.issuer.contains('{') {
            let message =
                "it is for several organizations; write the issuer of one, for Entra with its tenant's id in it";
            return Err(LoginError::Unsuitable(message.to_owned()));
        }
        if metadata.issuer != issuer {
            let message =
                format!("it calls itself {}, and the setting must be written the same", plain(&metadata.issuer));
            return Err(LoginError::Unsuitable(message));
        }
        let Metadata { authorization_endpoint, token_endpoint, jwks_uri, .. } = &metadata;
        for url in [authorization_endpoint.as_ref(), token_endpoint.as_ref(), Some(jwks_uri)].into_iter().flatten() {
            // A provider on this machine may answer without TLS, others may not send people or secrets anywhere without.
            if url.scheme() != "https" && !issuer.starts_with("http://") {
                return Err(LoginError::Unsuitable(format!("its address {} has no TLS", plain(url.as_str()))));
            }
        }
        self.known().metadata = Some((metadata.clone(), now));
        Ok(metadata)
    }

    /// What is known. Never held while the provider is asked.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The provider's keys as they were read last, if that was within `limit`.
    pub(crate) fn known_keys(&self, now: DateTime<Utc>, limit: TimeDelta) -> Option<JwkSet> {
        let known = self.known();
        known.keys.as_ref().filter(|(_, at)| is_recent(*at, now, limit)).map(|(keys, _)| keys.clone())
    }

    /// How old known keys may be; if a token names one that is not among them, `again`.
    pub(crate) fn limit(again: bool) -> TimeDelta {
        if again { BETWEEN_KEYS } else { KNOWN_FOR }
    }

    /// The provider's keys; `again` asks for them although they are known, if that was a minute ago.
    pub(crate) async fn keys(&self, now: DateTime<Utc>, again: bool) -> Result<JwkSet, LoginError> {
        let address = self.metadata(now).await?.jwks_uri;
        if let Some(keys) = self.known_keys(now, Self::limit(again)) {
            return Ok(keys);
        }
        let found: Keys = self.get(address.as_str()).await?;
        let keys = JwkSet { keys: found.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect() };
        if keys.keys.is_empty() {
            return Err(LoginError::Unsuitable("it has no keys that can be used".to_owned()));
        }
        self.known().keys = Some((keys.clone(), now));
        Ok(keys)
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, LoginError> {
        let request = Request::get(address).header(header::ACCEPT, "application/json");
        let (status, body) = self.send(request, String::new()).await?;
        if status != StatusCode::OK {
            let message = format!("{address} answered {status}");
            return Err(if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                LoginError::Unreachable(message)
            } else {
                LoginError::Unsuitable(message)
            });
        }
        serde_json::from_slice(&body).map_err(|error| LoginError::Unsuitable(format!("{address}: {error}")))
    }

    /// The status and the body of an answer. Redirects are not followed.
    pub(crate) async fn send(
        &self,
        request: http::request::Builder,
        body: String,
    ) -> Result<(StatusCode, Bytes), LoginError> {
        let request = request
            .body(Full::from(body))
            .map_err(|error| LoginError::Unsuitable(format!("a bad address: {error}")))?;
        let place =
            format!("{}{}", request.uri().authority().map_or("", http::uri::Authority::as_str), request.uri().path());
        let answering = async {
            let response = self.http.request(request).await.map_err(|error| error_chain(&error))?;
            let status = response.status();
            let body =
                Limited::new(response.into_body(), MAX_BYTES).collect().await.map_err(|error| error.to_string())?;
            Ok::<_, String>((status, body.to_bytes()))
        };
        match tokio::time::timeout(TIMEOUT, answering).await {
            Ok(answer) => answer.map_err(|reason| LoginError::Unreachable(format!("{place}: {reason}"))),
            Err(_) => Err(LoginError::Unreachable(format!("{place}: no answer within {} s", TIMEOUT.as_secs()))),
        }
    }
}

/// Keys one by one: one of a kind that is not known does not spoil the others.
#[derive(Deserialize)]
struct Keys {
    keys: Vec<serde_json::Value>,
}

/// A clock that was set back must not keep what is known forever.
pub(crate) fn is_recent(at: DateTime<Utc>, now: DateTime<Utc>, limit: TimeDelta) -> bool {
    at <= now && now < at + limit
}

/// A provider's text for a log: one line, not long.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
