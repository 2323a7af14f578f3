//! The provider: where people log in, and what it says about them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderValue, Request, StatusCode, header};
use mergeline_domain::AccessLines;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use url::Url;

use crate::error::LoginError;
use crate::published::{Metadata, Published, plain};
use crate::seal::Purpose;
use crate::session::{ATTEMPT_MINUTES, Attempt, Session};
use crate::settings::LoginSettings;
use crate::token::{Groups, Login, key_of, verified};

/// The provider that people log in with.
#[derive(Debug)]
pub struct Provider {
    settings: LoginSettings,
    published: Published,
    /// States of answers that were used, for as long as their logins would count.
    used: Mutex<VecDeque<(String, DateTime<Utc>)>>,
}

/// More answers within ten minutes are no people.
const MOST_USED: usize = 10_000;

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
        let published = Published::new(settings.issuer.clone(), settings.proxy.as_ref())?;
        Ok(Self { settings, published, used: Mutex::default() })
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
        let (mut location, _) = self.published.metadata(now).await?.for_logins()?;
        let attempt =
            Attempt { state: random()?, nonce: random()?, verifier: random()?, to: to.to_owned(), started_at: now };
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(attempt.verifier.as_bytes()));
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
        let mut keys = self.published.keys(now, false).await?;
        if key_of(&token, &keys)?.is_none() {
            keys = self.published.keys(now, true).await?;
        }
        let unknown = || LoginError::Token("it is signed by an unknown key".to_owned());
        let key = key_of(&token, &keys)?.ok_or_else(unknown)?;
        let login = Login { client_id: &self.settings.client_id, nonce: &attempt.nonce };
        let claims = verified(&token, key, &self.settings.issuer, &self.settings.client_id, now)?;
        claims.are_of(login)?;
        let of = Groups { claim: &self.settings.groups_claim, wanted: &groups, are_needed: lines.deny_groups() };
        let identity = claims.identity(of, now)?;
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
        self.published.metadata(now).await?.for_logins()?;
        Ok(self.published.keys(now, false).await?.keys.len())
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
        let metadata = self.published.metadata(now).await?;
        let (request, form) = self.token_request(&metadata, code, verifier)?;
        let (status, body) = self.published.send(request, form).await?;
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
    fn token_request(
        &self,
        metadata: &Metadata,
        code: &str,
        verifier: &str,
    ) -> Result<(http::request::Builder, String), LoginError> {
        let (_, token_endpoint) = metadata.for_logins()?;
        let methods = metadata.token_endpoint_auth_methods_supported.as_ref();
        let takes_basic = methods.is_none_or(|all| all.iter().any(|method| method == "client_secret_basic"));
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.settings.redirect_address())
            .append_pair("code_verifier", verifier);
        let mut request = Request::post(token_endpoint.as_str())
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
        Ok((request, form.finish()))
    }
}

/// 256 random bits, as text.
fn random() -> Result<String, LoginError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| LoginError::Unreachable(format!("no random numbers: {error}")))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}
