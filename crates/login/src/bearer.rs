//! Tokens that programs send with each request: who they are about.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::jwk::JwkSet;
use mergeline_domain::{AccessLines, Identity, Problem};
use mergeline_http_client::Proxy;
use tokio::sync::Mutex;

use crate::error::LoginError;
use crate::published::{Published, is_recent};
use crate::settings::{ISSUER as LOGIN_ISSUER, address, groups_claim, set};
use crate::token::{Groups, key_of, type_of, verified};

const ISSUER: &str = "JWT_ISSUER";
const AUDIENCE: &str = "JWT_AUDIENCE";
/// A provider that did not answer is asked again after this, however many tokens come.
const PAUSE: TimeDelta = TimeDelta::seconds(10);
/// If the provider cannot be reached, its keys count for as long as a session does.
const KEPT_FOR: TimeDelta = TimeDelta::hours(8);
/// Longer ones are none. API Gateway takes headers of 10 kB.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// What tokens of programs call themselves (RFC 9068 and 7519), if they do. Others have another purpose, such as the end of a
/// session.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// The provider that signs tokens of programs, and the audience that they must be for.
#[derive(Clone)]
pub struct TokenSettings {
    issuer: String,
    audience: String,
    groups_claim: Vec<String>,
    proxy: Option<Proxy>,
}

impl fmt::Debug for TokenSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSettings").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl TokenSettings {
    /// Reads `JWT_AUDIENCE`, `JWT_ISSUER` (without it, `OIDC_ISSUER`) and `OIDC_GROUPS_CLAIM`, each through `lookup`, and a proxy.
    ///
    /// # Errors
    /// `config.jwt` for a missing or invalid value, `config.proxy` for an invalid proxy.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut refuse = |name: &str, message: &str, help: &str| {
            problems.push(Problem::setting("config.jwt", name, message, help));
        };
        let issuer = set(&lookup, ISSUER).or_else(|| set(&lookup, LOGIN_ISSUER)).unwrap_or_default();
        if !address(&issuer).is_some_and(|url| url.query().is_none() && url.fragment().is_none()) {
            let help = "write the address of the provider that signs the tokens as it names itself, such as \
                        https://login.example.com";
            refuse(ISSUER, "with AUTHORIZER=jwt it must be an address that begins with https://", help);
        }
        let audience = set(&lookup, AUDIENCE).unwrap_or_default();
        if audience.is_empty() {
            let help = "set it to what the provider writes into the claim `aud` of tokens for this API; the client id of the \
                        login would let ID tokens in";
            refuse(AUDIENCE, "it is not set, and AUTHORIZER=jwt needs it", help);
        }
        let proxy = Proxy::from_vars(&lookup).map_err(|problem| problems.push(problem)).ok().flatten();
        let groups_claim = groups_claim(&lookup);
        if problems.is_empty() { Ok(Self { issuer, audience, groups_claim, proxy }) } else { Err(problems) }
    }

    /// The address of the provider that signs tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whom tokens must be for.
    pub fn audience(&self) -> &str {
        &self.audience
    }
}

/// Checks tokens that programs send.
#[derive(Debug)]
pub struct Tokens {
    settings: TokenSettings,
    published: Published,
    /// When the provider was asked for keys and has not answered with any. One request asks, and others wait for it.
    unanswered: Mutex<Option<DateTime<Utc>>>,
}

/// Whom a token is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Who they are; they have been since the token was made.
    pub identity: Identity,
    /// When the token ends.
    pub expires_at: DateTime<Utc>,
}

impl Tokens {
    /// With these settings. It asks for nothing yet.
    ///
    /// # Errors
    /// [`LoginError::Unreachable`] if no certificate authority is known.
    pub fn new(settings: TokenSettings) -> Result<Self, LoginError> {
        let published = Published::new(settings.issuer.clone(), settings.proxy.as_ref())?;
        Ok(Self { settings, published, unanswered: Mutex::default() })
    }

    /// Whom a token is about, if it is genuine, for this API, and in force. `lines` say which groups matter.
    ///
    /// # Errors
    /// What is wrong with it, or why that is not known.
    pub async fn bearer(&self, token: &str, lines: &AccessLines, now: DateTime<Utc>) -> Result<Bearer, LoginError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(LoginError::Token("it is too long".to_owned()));
        }
        // What cannot be a token makes nobody ask the provider.
        key_of(token, &JwkSet { keys: Vec::new() })?;
        if let Some(other) = type_of(token).filter(|name| !TYPES.contains(&name.as_str())) {
            return Err(LoginError::Token(format!("it is a token of the type {}", other.escape_debug())));
        }
        let mut keys = self.keys(now).await?;
        if key_of(token, &keys)?.is_none() {
            keys = self.ask(now, true).await?;
        }
        let unknown = || LoginError::Token("it is signed by an unknown key".to_owned());
        let key = key_of(token, &keys)?.ok_or_else(unknown)?;
        let claims = verified(token, key, &self.settings.issuer, &self.settings.audience, now)?;
        // `not_before` could not be judged without it.
        let issued_at = claims.issued_at.ok_or_else(|| LoginError::Token("it has no iat".to_owned()))?;
        let groups = lines.groups();
        let of = Groups { claim: &self.settings.groups_claim, wanted: &groups, are_needed: lines.deny_groups() };
        Ok(Bearer { identity: claims.identity(of, issued_at)?, expires_at: claims.expires_at })
    }

    /// Asks the provider about itself and for its keys. The number of keys.
    ///
    /// # Errors
    /// Why no token can be checked.
    pub async fn check(&self, now: DateTime<Utc>) -> Result<usize, LoginError> {
        Ok(self.published.keys(now, false).await?.keys.len())
    }

    /// The provider's keys, older ones if it does not answer.
    async fn keys(&self, now: DateTime<Utc>) -> Result<JwkSet, LoginError> {
        if let Some(keys) = self.published.known_keys(now, Published::limit(false)) {
            return Ok(keys);
        }
        match self.ask(now, false).await {
            Ok(keys) => Ok(keys),
            Err(error) => {
                let kept = self.published.known_keys(now, KEPT_FOR).ok_or(error)?;
                tracing::warn!("The keys of {} could not be read again; the known ones count", self.published.issuer());
                Ok(kept)
            }
        }
    }

    /// The provider's keys, asked for at most once in a while.
    async fn ask(&self, now: DateTime<Utc>, again: bool) -> Result<JwkSet, LoginError> {
        let mut unanswered = self.unanswered.lock().await;
        if let Some(keys) = self.published.known_keys(now, Published::limit(again)) {
            return Ok(keys);
        }
        if unanswered.is_some_and(|at| is_recent(at, now, PAUSE)) {
            return Err(LoginError::Unreachable("it did not answer a moment ago".to_owned()));
        }
        // Before asking: a request that runs out of time is dropped here.
        *unanswered = Some(now);
        let keys = self.published.keys(now, again).await?;
        *unanswered = None;
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<TokenSettings, Vec<Problem>> {
        TokenSettings::from_vars(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_provider_of_the_login_signs_tokens_unless_another_is_named() {
        let both = [(LOGIN_ISSUER, "https://id.acme.com"), (AUDIENCE, "api")];
        assert_eq!(read(&both).expect("valid").issuer(), "https://id.acme.com");
        let named = [both[0], both[1], (ISSUER, "https://tokens.acme.com")];
        assert_eq!(read(&named).expect("valid").issuer(), "https://tokens.acme.com");
    }

    #[test]
    fn the_audience_has_no_default() {
        let client = [(LOGIN_ISSUER, "https://id.acme.com"), ("OIDC_CLIENT_ID", "mergeline")];
        let found = |vars: &[(&str, &str)]| -> Vec<String> {
            read(vars)
                .expect_err("refused")
                .into_iter()
                .map(|problem| format!("{} {}", problem.code, problem.path))
                .collect()
        };
        assert_eq!(found(&client), ["config.jwt JWT_AUDIENCE"]);
        assert_eq!(found(&[]), ["config.jwt JWT_ISSUER", "config.jwt JWT_AUDIENCE"]);
        assert_eq!(found(&[(ISSUER, "http://id.acme.com"), (AUDIENCE, "api")]), ["config.jwt JWT_ISSUER"]);
    }
}
