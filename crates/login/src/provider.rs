//! The provider: where people log in, and what it says about them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use jsonwebtoken::jwk::JwkSet;
use mergeline_domain::{AccessLines, error_chain};
use mergeline_http_client::HttpClient;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use url::Url;

use crate::error::LoginError;
use crate::seal::Purpose;
use crate::session::{ATTEMPT_MINUTES, Attempt, Session};
use crate::settings::LoginSettings;
use crate::token::{Expected, identity, key_of};

/// For each request to the provider. A person waits.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Answers are a few kilobytes.
const MAX_BYTES: usize = 512 * 1024;
/// What the provider says about itself, and its keys, are asked for again after this.
const KNOWN_FOR: TimeDelta = TimeDelta::hours(1);
/// Tokens with unknown keys cannot make this program ask for keys more often.
const BETWEEN_KEYS: TimeDelta = TimeDelta::minutes(1);

/// The provider. Its addresses and keys are kept for an hour.
#[derive(Debug)]
pub struct Provider {
    settings: LoginSettings,
    http: HttpClient<Full<Bytes>>,
    known: Mutex<Known>,
    /// States of answers that were used, for as long as their logins would count.
    used: Mutex<VecDeque<(String, DateTime<Utc>)>>,
}

/// More answers within ten minutes are no people.
const MOST_USED: usize = 10_000;

#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Metadata, DateTime<Utc>)>,
    keys: Option<(JwkSet, DateTime<Utc>)>,
}

/// What a provider says about itself (OpenID Connect Discovery 1.0, section 3).
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    /// HTTP Basic if it is missing.
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: Option<String>,
}

#[derive(Deserialize)]
struct TokenRefusal {
    error: String,
}

/// A login that was started.
#[derive(Debug)]
pub struct Started {
    /// Where the person goes.
    pub location: Url,
    /// The value of a cookie for ten minutes, which the callback needs.
    pub cookie: String,
}

/// What the provider sends people back with.
#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
}

/// The answer to a login that was started in this browser.
#[derive(Debug)]
pub struct Answered {
    attempt: Attempt,
    code: String,
}

impl Provider {
    /// With these settings. It asks for nothing yet.
    ///
    /// # Errors
    /// [`LoginError::Unreachable`] if no certificate authority is known.
    pub fn new(settings: LoginSettings) -> Result<Self, LoginError> {
        let http = mergeline_http_client::client(settings.proxy.as_ref())
            .map_err(|error| LoginError::Unreachable(error.to_string()))?;
        Ok(Self { settings, http, known: Mutex::default(), used: Mutex::default() })
    }

    /// The address of the page, with a slash at its end.
    pub fn page(&self) -> &Url {
        &self.settings.page
    }

    /// Starts a login, after which the person goes to `to`.
    ///
    /// # Errors
    /// If the provider cannot be used.
    pub async fn start(&self, to: &str, now: DateTime<Utc>) -> Result<Started, LoginError> {
        let metadata = self.metadata(now).await?;
        let attempt =
            Attempt { state: random()?, nonce: random()?, verifier: random()?, to: to.to_owned(), started_at: now };
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(attempt.verifier.as_bytes()));
        let mut location = metadata.authorization_endpoint;
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.settings.redirect_address())
            .append_pair("scope", &self.settings.scopes)
            .append_pair("state", &attempt.state)
            .append_pair("nonce", &attempt.nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        let cookie = self.sealed(Purpose::Attempt, &attempt)?;
        Ok(Started { location, cookie })
    }

    /// The login that an answer of the provider belongs to, if it was started in this browser and not used yet.
    ///
    /// # Errors
    /// Why there is none. Nothing was asked of anybody until then.
    pub fn answered(&self, answer: Answer, cookie: Option<&str>, now: DateTime<Utc>) -> Result<Answered, LoginError> {
        let attempt: Attempt =
            cookie.and_then(|cookie| self.opened(Purpose::Attempt, cookie)).ok_or(LoginError::NotStarted)?;
        if !attempt.is_in_force(now) {
            return Err(LoginError::NotStarted);
        }
        if answer.state.as_deref() != Some(attempt.state.as_str()) {
            return Err(LoginError::OtherLogin);
        }
        if let Some(error) = answer.error {
            return Err(LoginError::Refused(plain(&error)));
        }
        let code = answer.code.ok_or_else(|| LoginError::Refused("without a code".to_owned()))?;
        self.use_up(&attempt, now)?;
        Ok(Answered { attempt, code })
    }

    /// Each login is ended once: nobody makes this program ask the provider again and again.
    fn use_up(&self, attempt: &Attempt, now: DateTime<Utc>) -> Result<(), LoginError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|(_, at)| now < *at + TimeDelta::minutes(ATTEMPT_MINUTES));
        if used.len() >= MOST_USED || used.iter().any(|(state, _)| *state == attempt.state) {
            return Err(LoginError::NotStarted);
        }
        used.push_back((attempt.state.clone(), now));
        Ok(())
    }

    /// Ends a login: the session, the value of its cookie, and where the person wanted to go. `lines` say which groups matter.
    ///
    /// # Errors
    /// Why nobody is logged in.
    pub async fn finish(
        &self,
        answered: Answered,
        lines: &AccessLines,
        now: DateTime<Utc>,
    ) -> Result<(Session, String, String), LoginError> {
        let Answered { attempt, code } = answered;
        let groups = lines.groups();
        let token = self.exchange(&code, &attempt.verifier, now).await?;
        let expected = Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce: &attempt.nonce,
            groups_claim: &self.settings.groups_claim,
            groups: &groups,
            needs_groups: lines.deny_groups(),
        };
        let mut keys = self.keys(now, false).await?;
        if key_of(&token, &keys)?.is_none() {
            keys = self.keys(now, true).await?;
        }
        let unknown = || LoginError::Token("it is signed by an unknown key".to_owned());
        let identity = identity(&token, key_of(&token, &keys)?.ok_or_else(unknown)?, expected, now)?;
        let asked = groups.iter().map(|group| (*group).to_owned()).collect();
        let session = Session { issuer: self.settings.issuer.clone(), identity, asked };
        let cookie = self.sealed(Purpose::Session, &session)?;
        Ok((session, cookie, attempt.to))
    }

    /// The session of a cookie, if it is one of this program and in force.
    pub fn session(&self, cookie: &str, now: DateTime<Utc>) -> Option<Session> {
        let session: Session = self.opened(Purpose::Session, cookie)?;
        session.is_in_force(&self.settings.issuer, now).then_some(session)
    }

    /// Asks the provider about itself and for its keys, to find out whether people could log in. The number of keys.
    ///
    /// # Errors
    /// Why they could not.
    pub async fn check(&self, now: DateTime<Utc>) -> Result<usize, LoginError> {
        self.metadata(now).await?;
        Ok(self.keys(now, false).await?.keys.len())
    }

    fn sealed(&self, purpose: Purpose, value: &impl serde::Serialize) -> Result<String, LoginError> {
        let text = serde_json::to_vec(value).map_err(|error| LoginError::Unsuitable(error.to_string()))?;
        self.settings
            .seal
            .close(purpose, &text)
            .ok_or_else(|| LoginError::Unsuitable("a cookie could not be sealed".to_owned()))
    }

    fn opened<T: DeserializeOwned>(&self, purpose: Purpose, cookie: &str) -> Option<T> {
        serde_json::from_slice(&self.settings.seal.open(purpose, cookie)?).ok()
    }

    /// The ID token for a code.
    async fn exchange(&self, code: &str, verifier: &str, now: DateTime<Utc>) -> Result<String, LoginError> {
        let metadata = self.metadata(now).await?;
        let (request, form) = self.token_request(&metadata, code, verifier);
        let (status, body) = self.send(request, form).await?;
        if status != StatusCode::OK {
            let reason = serde_json::from_slice(&body).map(|refusal: TokenRefusal| plain(&refusal.error));
            let reason = reason.unwrap_or_else(|_| format!("status {status}"));
            return Err(if status.is_server_error() {
                LoginError::Unreachable(reason)
            } else {
                LoginError::CodeRefused(reason)
            });
        }
        let answer: TokenAnswer =
            serde_json::from_slice(&body).map_err(|_| LoginError::Token("the answer is not JSON".to_owned()))?;
        answer.id_token.ok_or_else(|| LoginError::Token("there is none: is `openid` in OIDC_SCOPES?".to_owned()))
    }

    /// The request for a token, and its form.
    fn token_request(&self, metadata: &Metadata, code: &str, verifier: &str) -> (http::request::Builder, String) {
        let methods = metadata.token_endpoint_auth_methods_supported.as_ref();
        let takes_basic = methods.is_none_or(|all| all.iter().any(|method| method == "client_secret_basic"));
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.settings.redirect_address())
            .append_pair("code_verifier", verifier);
        let mut request = Request::post(metadata.token_endpoint.as_str())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        match self.settings.client_secret() {
            Some(secret) if takes_basic => {
                // Each part in the form of a form (RFC 6749, 2.3.1).
                let part = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = BASE64_STANDARD.encode(format!("{}:{}", part(&self.settings.client_id), part(secret)));
                if let Ok(mut value) = HeaderValue::try_from(format!("Basic {pair}")) {
                    value.set_sensitive(true);
                    request = request.header(header::AUTHORIZATION, value);
                }
            }
            Some(secret) => {
                form.append_pair("client_id", &self.settings.client_id).append_pair("client_secret", secret);
            }
            None => {
                form.append_pair("client_id", &self.settings.client_id);
            }
        }
        (request, form.finish())
    }

    /// What the provider says about itself.
    async fn metadata(&self, now: DateTime<Utc>) -> Result<Metadata, LoginError> {
        if let Some((metadata, at)) = self.known().metadata.as_ref()
            && is_recent(*at, now, KNOWN_FOR)
        {
            return Ok(metadata.clone());
        }
        let issuer = self.settings.issuer.as_str();
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let metadata: Metadata = self.get(&address).await?;
        if metadata.issuer.contains('{') {
            let message =
                "it is for several organizations; write the issuer of one, for Entra with its tenant's id in it";
            return Err(LoginError::Unsuitable(message.to_owned()));
        }
        if metadata.issuer != issuer {
            let message =
                format!("it calls itself {}, and OIDC_ISSUER must be written the same", plain(&metadata.issuer));
            return Err(LoginError::Unsuitable(message));
        }
        for url in [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri] {
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

    /// The provider's keys; `again` asks for them although they are known, if that was a minute ago.
    async fn keys(&self, now: DateTime<Utc>, again: bool) -> Result<JwkSet, LoginError> {
        let address = self.metadata(now).await?.jwks_uri;
        if let Some((keys, at)) = self.known().keys.as_ref()
            && is_recent(*at, now, if again { BETWEEN_KEYS } else { KNOWN_FOR })
        {
            return Ok(keys.clone());
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
    async fn send(&self, request: http::request::Builder, body: String) -> Result<(StatusCode, Bytes), LoginError> {
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
fn is_recent(at: DateTime<Utc>, now: DateTime<Utc>, limit: TimeDelta) -> bool {
    at <= now && now < at + limit
}

/// 256 random bits, as text.
fn random() -> Result<String, LoginError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| LoginError::Unreachable(format!("no random numbers: {error}")))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// A provider's text for a log: one line, not long.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
