//! The provider that people log in with.

use std::fmt;
use std::sync::Arc;

use mergeline_domain::Problem;
use mergeline_http_client::{Proxy, is_loopback};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::seal::Seal;

pub(crate) const ISSUER: &str = "OIDC_ISSUER";
const CLIENT_ID: &str = "OIDC_CLIENT_ID";
const CLIENT_SECRET: &str = "OIDC_CLIENT_SECRET";
const SCOPES: &str = "OIDC_SCOPES";
const GROUPS_CLAIM: &str = "OIDC_GROUPS_CLAIM";
const PUBLIC_URL: &str = "PUBLIC_URL";
const SESSION_SECRET: &str = "SESSION_SECRET";
const DEFAULT_SCOPES: &str = "openid email profile";
const DEFAULT_GROUPS_CLAIM: &str = "groups";
/// 128 bits written as hexadecimal digits.
const MIN_SECRET_CHARS: usize = 32;

/// The provider that people log in with, and this program's account there.
#[derive(Clone)]
pub struct LoginSettings {
    pub(crate) issuer: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<SecretString>,
    pub(crate) scopes: String,
    /// The keys that lead to the groups inside an ID token.
    pub(crate) groups_claim: Vec<String>,
    /// The address of the page, with a slash at its end.
    pub(crate) page: Url,
    pub(crate) seal: Arc<Seal>,
    pub(crate) proxy: Option<Proxy>,
}

impl fmt::Debug for LoginSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginSettings").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl LoginSettings {
    /// Reads `OIDC_ISSUER`; `None` without it. With it `OIDC_CLIENT_ID`, `PUBLIC_URL` and `SESSION_SECRET` are needed;
    /// `OIDC_CLIENT_SECRET`, `OIDC_SCOPES`, `OIDC_GROUPS_CLAIM` and a proxy may be there.
    ///
    /// # Errors
    /// `config.oidc` for a missing or invalid value, `config.weak_secret` for a short secret, `config.proxy` for an invalid proxy.
    /// Errors never contain a secret.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Vec<Problem>> {
        let set = |name: &str| set(&lookup, name);
        let Some(issuer) = set(ISSUER) else { return Ok(None) };
        let mut problems = Vec::new();
        let mut refuse = |name: &str, message: &str, help: &str| {
            problems.push(Problem::setting("config.oidc", name, message, help));
        };
        if !address(&issuer).is_some_and(|url| url.query().is_none() && url.fragment().is_none()) {
            let help = "write the provider's address as it names itself, such as https://accounts.google.com";
            refuse(ISSUER, "it is not an address that begins with https://", help);
        }
        let client_id = set(CLIENT_ID).unwrap_or_default();
        if client_id.is_empty() {
            refuse(
                CLIENT_ID,
                "it is not set, and OIDC_ISSUER is",
                "set it to the id that the provider gave this program",
            );
        }
        let page = page(set(PUBLIC_URL).as_deref());
        if page.is_none() {
            let help = "set it to the page's address as people open it, such as https://metrics.example.com/app/; http:// is \
                        for this machine only";
            refuse(PUBLIC_URL, "it is not the address of the page, which ends with /app/", help);
        }
        let scopes = set(SCOPES).unwrap_or_else(|| DEFAULT_SCOPES.to_owned());
        if !scopes.split_whitespace().any(|scope| scope == "openid") {
            refuse(SCOPES, "`openid` is missing", "write the scopes separated by spaces: openid email profile groups");
        }
        // A session is good for this program's account at this provider, and for this page.
        let place = format!("{issuer}\n{client_id}\n{}", page.as_ref().map_or("", Url::as_str));
        let seal = seal(set(SESSION_SECRET).as_deref(), &place).map_err(|problem| problems.push(problem)).ok();
        let proxy = Proxy::from_vars(&lookup).map_err(|problem| problems.push(problem)).ok().flatten();
        match (page, seal) {
            (Some(page), Some(seal)) if problems.is_empty() => Ok(Some(Self {
                issuer,
                client_id,
                client_secret: set(CLIENT_SECRET).map(SecretString::from),
                scopes,
                groups_claim: groups_claim(&lookup),
                page,
                seal: Arc::new(seal),
                proxy,
            })),
            _ => Err(problems),
        }
    }

    /// The provider's address.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The address of the page, with a slash at its end.
    pub fn page(&self) -> &Url {
        &self.page
    }

    /// Where the provider sends people back to. It must be registered there.
    pub fn redirect_address(&self) -> String {
        format!("{}callback", self.page)
    }

    /// The secret that proves to the provider which program asks.
    pub(crate) fn client_secret(&self) -> Option<&str> {
        self.client_secret.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// A setting, if it is not empty.
pub(crate) fn set(lookup: impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The keys that lead to the groups inside a token.
pub(crate) fn groups_claim(lookup: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let claim = set(lookup, GROUPS_CLAIM).unwrap_or_else(|| DEFAULT_GROUPS_CLAIM.to_owned());
    // A claim with dots in its name, as a URL has, is one key.
    if claim.contains('/') { vec![claim] } else { claim.split('.').map(str::to_owned).collect() }
}

/// An address with TLS, or one of this machine.
pub(crate) fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_bare = url.username().is_empty() && url.password().is_none();
    ((url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url))) && is_bare).then_some(url)
}

fn page(text: Option<&str>) -> Option<Url> {
    let text = text?;
    let url = address(&if text.ends_with('/') { text.to_owned() } else { format!("{text}/") })?;
    (url.path().ends_with("/app/") && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

/// From one secret, or several separated by commas.
fn seal(text: Option<&str>, place: &str) -> Result<Seal, Problem> {
    let help = "set it to `openssl rand -hex 32`; while one is exchanged, write the new one, a comma, and the old one";
    let refuse = |message: String| Err(Problem::setting("config.weak_secret", SESSION_SECRET, message, help));
    let Some(text) = text else { return refuse("it is not set, and OIDC_ISSUER is".to_owned()) };
    let secrets: Vec<&str> = text.split(',').map(str::trim).collect();
    if secrets.iter().any(|secret| secret.chars().count() < MIN_SECRET_CHARS) {
        return refuse(format!("it has fewer than {MIN_SECRET_CHARS} characters"));
    }
    match Seal::new(secrets, place) {
        Some(seal) => Ok(seal),
        None => refuse("no key can be made from it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: [(&str, &str); 4] = [
        (ISSUER, "https://id.acme.com"),
        (CLIENT_ID, "mergeline"),
        (PUBLIC_URL, "https://metrics.acme.com/delivery/app"),
        (SESSION_SECRET, "8f3a61c97e04b5d28f3a61c97e04b5d2"),
    ];

    fn read(changed: &[(&str, &str)]) -> Result<Option<LoginSettings>, Vec<Problem>> {
        LoginSettings::from_vars(|name| {
            let of =
                |vars: &[(&str, &str)]| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            of(changed).or_else(|| of(&VALID))
        })
    }

    #[test]
    fn the_callback_is_below_the_page() {
        let settings = read(&[]).expect("valid").expect("set");
        assert_eq!(settings.redirect_address(), "https://metrics.acme.com/delivery/app/callback");
        assert_eq!(settings.groups_claim, ["groups"]);
        let groups = |claim: &str| read(&[(GROUPS_CLAIM, claim)]).expect("valid").expect("set").groups_claim;
        assert_eq!(groups("realm_access.roles"), ["realm_access", "roles"]);
        assert_eq!(groups("https://acme.com/groups"), ["https://acme.com/groups"]);
        assert!(read(&[(ISSUER, "")]).expect("valid").is_none());
        assert!(read(&[(PUBLIC_URL, "http://127.0.0.1:8787/v1/app/")]).is_ok());
    }

    #[test]
    fn each_problem_names_its_variable_and_shows_no_secret() {
        for (name, value, code) in [
            (ISSUER, "id.acme.com", "config.oidc"),
            (ISSUER, "http://id.acme.com", "config.oidc"),
            (ISSUER, "https://id.acme.com?x=1", "config.oidc"),
            (CLIENT_ID, " ", "config.oidc"),
            (PUBLIC_URL, "", "config.oidc"),
            (PUBLIC_URL, "http://metrics.acme.com/app/", "config.oidc"),
            (PUBLIC_URL, "https://metrics.acme.com/", "config.oidc"),
            (PUBLIC_URL, "https://me:s3cret@metrics.acme.com/app/", "config.oidc"),
            (SCOPES, "email", "config.oidc"),
            (SESSION_SECRET, "", "config.weak_secret"),
            (SESSION_SECRET, "s3cret", "config.weak_secret"),
            (SESSION_SECRET, "8f3a61c97e04b5d28f3a61c97e04b5d2,s3cret", "config.weak_secret"),
            ("HTTPS_PROXY", "socks5://s3cret@proxy", "config.proxy"),
        ] {
            let problems = read(&[(name, value)]).expect_err(name);
            let [problem] = problems.as_slice() else { panic!("{name}={value}: {problems:?}") };
            assert_eq!((problem.code, problem.path.as_str()), (code, name), "{value}");
            assert!(!format!("{problem:?}").contains("s3cret"), "{problem:?}");
        }
        let debug = format!("{:?}", read(&[(CLIENT_SECRET, "s3cret")]).expect("valid"));
        assert!(!debug.contains("s3cret") && !debug.contains("8f3a61c9"), "{debug}");
    }
}
