//! Where GitHub is, and the credentials for it.

use std::time::Duration;

use jsonwebtoken::EncodingKey;
use mergeline_domain::{Problem, bounded_integer};
use mergeline_http_client::{Proxy, is_loopback};
use secrecy::SecretString;
use url::Url;

const GITHUB_COM: &str = "https://api.github.com";

/// Far below the 100 concurrent requests at which GitHub limits.
const MAX_CONCURRENCY: u16 = 20;
/// GitHub asks for one request at a time for each token.
const DEFAULT_CONCURRENCY: u16 = 1;
/// The share of the hourly limit that is reserved for everyone else who uses the token's account.
const DEFAULT_RESERVE_PERCENT: u16 = 10;
/// The unit of the pauses after unusable responses.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The parameters and names of the permissions that a token needs, all of them to read.
const PERMISSIONS: [(&str, &str); 4] = [
    ("pull_requests", "Pull requests"),
    ("contents", "Contents"),
    ("deployments", "Deployments"),
    ("members", "Members"),
];
/// The lifetime that is filled in for a new token.
const TOKEN_DAYS: &str = "90";

/// The page at which a person makes a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPage {
    /// Its address.
    pub url: String,
    /// Whether permissions and name are filled in there.
    pub is_filled_in: bool,
}

impl TokenPage {
    /// The names of the permissions that a token needs, all of them to read. The last one is the organization's.
    pub fn permissions() -> impl Iterator<Item = &'static str> {
        PERMISSIONS.iter().map(|(_, name)| *name)
    }

    /// The same as a list in a sentence.
    pub fn needs() -> String {
        Self::permissions().collect::<Vec<_>>().join(", ")
    }
}

/// GitHub's address, the credentials for it, and how many requests it gets.
#[derive(Debug, Clone)]
pub struct GitHubSettings {
    pub(crate) api_url: Url,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) token: Option<SecretString>,
    pub(crate) app: Option<AppSettings>,
    pub(crate) concurrency: usize,
    pub(crate) reserve: f64,
    pub(crate) first_pause: Duration,
    pub(crate) total_timeout: Duration,
}

/// A GitHub App.
#[derive(Clone)]
pub(crate) struct AppSettings {
    pub(crate) id: String,
    pub(crate) key: EncodingKey,
}

impl std::fmt::Debug for AppSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppSettings").field("id", &self.id).finish_non_exhaustive()
    }
}

impl GitHubSettings {
    /// Reads `GITHUB_API_URL` (github.com if unset), `GITHUB_PAT` (if unset: 60 requests per hour, public
    /// repositories only, no GraphQL), `GITHUB_APP_ID` with `GITHUB_APP_PRIVATE_KEY`, `COLLECT_CONCURRENCY` (1),
    /// `GITHUB_RESERVE_PERCENT` (10), and `HTTPS_PROXY` or `ALL_PROXY` with `NO_PROXY`.
    ///
    /// # Errors
    /// `config.base_url` for an address that is not HTTPS, `config.token_format` for an invalid token,
    /// `config.app_key` for an invalid App key, `config.proxy` for an invalid proxy, `config.range` for numbers.
    /// Errors never contain a secret.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let address = lookup("GITHUB_API_URL").filter(|text| !text.trim().is_empty());
        let api_url = base_url(address.as_deref().unwrap_or(GITHUB_COM)).map_err(|problem| problems.push(problem)).ok();
        let proxy = Proxy::from_vars(&lookup).map_err(|problem| problems.push(problem)).ok().flatten();
        let token = match lookup("GITHUB_PAT") {
            None => None,
            Some(text) => token(&text).map_err(|problem| problems.push(problem)).ok(),
        };
        let app = app(lookup("GITHUB_APP_ID"), lookup("GITHUB_APP_PRIVATE_KEY"));
        let app = app.map_err(|problem| problems.push(problem)).ok().flatten();
        let mut number = |name, bounds, default| {
            bounded_integer(&lookup, name, bounds, default).map_err(|problem| problems.push(problem)).unwrap_or(default)
        };
        let concurrency = number("COLLECT_CONCURRENCY", 1..=MAX_CONCURRENCY, DEFAULT_CONCURRENCY);
        let reserve = number("GITHUB_RESERVE_PERCENT", 0..=90, DEFAULT_RESERVE_PERCENT);
        match api_url {
            Some(api_url) if problems.is_empty() => Ok(Self {
                api_url,
                proxy,
                token,
                app,
                concurrency: concurrency.into(),
                reserve: f64::from(reserve) / 100.0,
                first_pause: FIRST_PAUSE,
                total_timeout: Duration::MAX,
            }),
            _ => Err(problems),
        }
    }

    /// Whether there is a token or an App.
    pub fn has_credentials(&self) -> bool {
        self.token.is_some() || self.app.is_some()
    }

    /// The same settings with a token that a person entered. White space around it is removed.
    ///
    /// # Errors
    /// `config.token_format` for what cannot be a token. It is not repeated.
    pub fn with_token(mut self, text: &str) -> Result<Self, Problem> {
        self.token = Some(token(text.trim())?);
        Ok(self)
    }

    /// The page at which a person makes a fine-grained token. GitHub's own sites fill in what it needs, and the owner of
    /// the repositories if it is known.
    ///
    /// Source: GitHub, "Managing your personal access tokens", "Pre-filling fine-grained personal access token details using
    /// URL parameters". Enterprise servers do not have it.
    pub fn token_page(&self, owner: Option<&str>) -> TokenPage {
        let mut url = self.api_url.clone();
        let host = url.host_str().unwrap_or_default().to_owned();
        let site = host.strip_prefix("api.").filter(|site| *site == "github.com" || site.ends_with(".ghe.com"));
        let is_filled_in = site.is_some_and(|site| url.set_host(Some(site)).is_ok());
        url.set_path("/settings/personal-access-tokens/new");
        if is_filled_in {
            let mut query = url.query_pairs_mut();
            query.append_pair("name", "Mergeline").append_pair("expires_in", TOKEN_DAYS);
            query.extend_pairs(PERMISSIONS.iter().map(|(parameter, _)| (*parameter, "read")));
            if let Some(owner) = owner {
                query.append_pair("target_name", owner);
            }
        }
        TokenPage { url: url.into(), is_filled_in }
    }

    /// How many requests are sent at a time.
    pub fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Shorter pauses and timeouts than usual, to test what happens after them.
    #[must_use]
    pub fn with_pace(mut self, first_pause: Duration, total_timeout: Duration) -> Self {
        self.first_pause = first_pause;
        self.total_timeout = total_timeout;
        self
    }
}

fn app(id: Option<String>, key: Option<String>) -> Result<Option<AppSettings>, Problem> {
    let refuse = |name: &str, message: &str, help: &str| Err(Problem::setting("config.app_key", name, message, help));
    match (id, key) {
        (None, None) => Ok(None),
        (Some(_), None) => {
            let help = "set it to the App's private key (PEM), or unset GITHUB_APP_ID";
            refuse("GITHUB_APP_PRIVATE_KEY", "GITHUB_APP_ID is set without a key", help)
        }
        (None, Some(_)) => {
            let help = "set it to the App's number or client id";
            refuse("GITHUB_APP_ID", "GITHUB_APP_PRIVATE_KEY is set without an App", help)
        }
        (Some(id), Some(key)) => {
            let id = id.trim().to_owned();
            if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '.') {
                return refuse(
                    "GITHUB_APP_ID",
                    "it is not an App's number or client id",
                    "copy it from the App's settings",
                );
            }
            // Many places store a line break as two characters.
            if let Ok(key) = EncodingKey::from_rsa_pem(key.replace("\\n", "\n").trim().as_bytes()) {
                Ok(Some(AppSettings { id, key }))
            } else {
                let help = "set it to the whole PEM file that GitHub gave, BEGIN and END lines included";
                refuse("GITHUB_APP_PRIVATE_KEY", "it is not an RSA private key in PEM form", help)
            }
        }
    }
}

/// The address of the REST API. The address of the site also works: `https://github.com`, `https://HOST`.
fn base_url(text: &str) -> Result<Url, Problem> {
    let refuse = |message: String| {
        let help = "write https://api.github.com, https://api.SUBDOMAIN.ghe.com, or https://HOST/api/v3 for GitHub Enterprise Server";
        Problem::setting("config.base_url", "GITHUB_API_URL", message, help)
    };
    let mut url =
        Url::parse(text.trim().trim_end_matches('/')).map_err(|error| refuse(format!("not a URL: {error}")))?;
    if url.host().is_none() {
        return Err(refuse("it has no host".to_owned()));
    }
    let is_loopback = is_loopback(&url);
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it contains a user or password; the token goes into GITHUB_PAT".to_owned()));
    }
    if url.path() == "/api" || url.path() == "/" && !is_loopback {
        match cloud_host(url.host_str().unwrap_or_default()) {
            Some(host) => {
                url.set_host(Some(&host)).map_err(|error| refuse(format!("not a URL: {error}")))?;
                url.set_path("");
            }
            None => url.set_path("/api/v3"),
        }
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        other => Err(refuse(format!("{other}: would send the token unprotected"))),
    }
}

/// Whether the API may be below this address. On this machine it may be any server, for example a tunnel to a site.
pub(crate) fn may_be_a_site(url: &Url) -> bool {
    is_loopback(url) && url.path() == "/"
}

/// The API host of a site that GitHub runs; `None` for a self-hosted server.
///
/// Source: GitHub, "Getting started with the REST API" and "About GitHub Enterprise Cloud with data residency".
fn cloud_host(host: &str) -> Option<String> {
    if matches!(host, "github.com" | "www.github.com" | "api.github.com") {
        return Some("api.github.com".to_owned());
    }
    let tenant = host.strip_suffix(".ghe.com")?;
    Some(format!("api.{}.ghe.com", tenant.strip_prefix("api.").unwrap_or(tenant)))
}

fn token(text: &str) -> Result<SecretString, Problem> {
    let refuse = |reason: &str| {
        let help = format!("set it to the bare token; a fine-grained one needs, to read: {}", TokenPage::needs());
        Err(Problem::setting("config.token_format", "GITHUB_PAT", reason, help))
    };
    if text.trim().is_empty() {
        return refuse("it is empty");
    }
    if text.trim() != text {
        return refuse("there is white space around it, perhaps a line break");
    }
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        return refuse("there are quotes around it");
    }
    let is_placeholder =
        ["changeme", "xxx", "<", "your", "token"].iter().any(|word| text.to_lowercase().starts_with(word));
    if is_placeholder {
        return refuse("it looks like a placeholder");
    }
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return refuse("it contains characters that a token cannot have");
    }
    Ok(SecretString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(api_url: Option<&str>, token: Option<&str>) -> Result<GitHubSettings, Vec<&'static str>> {
        let lookup = |name: &str| match name {
            "GITHUB_API_URL" => api_url.map(str::to_owned),
            "GITHUB_PAT" => token.map(str::to_owned),
            _ => None,
        };
        GitHubSettings::from_vars(lookup).map_err(|problems| problems.iter().map(|problem| problem.code).collect())
    }

    #[test]
    fn the_documents_name_the_permissions_of_a_token() {
        let readme = include_str!("../../../README.md");
        let deploy = include_str!("../../../docs/deploy.md");
        for name in TokenPage::permissions() {
            assert!(readme.contains(&format!("*{name}*")), "{name}");
            assert!(deploy.contains(&format!("*{name}: read*")), "{name}");
        }
        let refused = token("abc def").expect_err("refused").help.unwrap_or_default();
        assert!(TokenPage::permissions().all(|name| refused.contains(name)), "{refused}");
    }

    #[test]
    fn github_com_is_the_default_address() {
        assert_eq!(settings(None, None).expect("valid").api_url.as_str(), "https://api.github.com/");
    }

    #[test]
    fn a_site_address_maps_to_its_api() {
        for (written, api) in [
            ("https://github.com", "https://api.github.com/"),
            ("https://api.github.com/", "https://api.github.com/"),
            ("https://acme.ghe.com", "https://api.acme.ghe.com/"),
            ("https://api.acme.ghe.com", "https://api.acme.ghe.com/"),
            ("https://ghe.example.com", "https://ghe.example.com/api/v3"),
            ("https://ghe.example.com/", "https://ghe.example.com/api/v3"),
            ("https://ghe.example.com:8443/api", "https://ghe.example.com:8443/api/v3"),
            ("https://ghe.example.com/api/v3/", "https://ghe.example.com/api/v3"),
            ("https://gateway.example.com/github/api/v3", "https://gateway.example.com/github/api/v3"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://127.0.0.1:8080/api", "http://127.0.0.1:8080/api/v3"),
        ] {
            assert_eq!(settings(Some(written), None).expect("valid").api_url.as_str(), api, "{written}");
        }
    }

    #[test]
    fn the_token_page_is_filled_in_where_github_can() {
        let page = |api_url, owner| settings(api_url, None).expect("valid").token_page(owner);
        let filled = page(None, Some("acme"));
        assert_eq!(
            filled.url,
            "https://github.com/settings/personal-access-tokens/new?name=Mergeline&expires_in=90&pull_requests=read&contents=read&\
             deployments=read&members=read&target_name=acme"
        );
        let tenant = page(Some("https://acme.ghe.com"), None);
        assert!(tenant.is_filled_in && tenant.url.starts_with("https://acme.ghe.com/settings/"), "{tenant:?}");
        let server = page(Some("https://api.example.com:8443/api/v3"), Some("acme"));
        let url = "https://api.example.com:8443/settings/personal-access-tokens/new".to_owned();
        assert_eq!(server, TokenPage { url, is_filled_in: false });
    }

    #[test]
    fn an_entered_token_is_trimmed_checked_and_never_shown() {
        let entered = |text: &str| settings(None, None).expect("valid").with_token(text);
        assert!(entered(" ghp_right\n").is_ok_and(|settings| settings.has_credentials()));
        let problem = entered("my s3cret").expect_err("refused");
        assert!(!format!("{problem:?}").contains("s3cret"), "{problem:?}");
    }

    #[test]
    fn only_loopback_is_allowed_without_tls() {
        for url in ["https://ghe.example.com/api/v3", "http://127.0.0.1:8080", "http://localhost:1"] {
            assert!(settings(Some(url), None).is_ok(), "{url}");
        }
        for url in
            ["http://ghe.example.com", "ftp://example.com", "https://user:pw@example.com", "nonsense", "file:///etc"]
        {
            assert_eq!(settings(Some(url), None).err(), Some(vec!["config.base_url"]), "{url}");
        }
    }

    #[test]
    fn an_app_needs_id_and_key_never_shown() {
        let with = |id: Option<&str>, key: Option<&str>| {
            let lookup = |name: &str| match name {
                "GITHUB_APP_ID" => id.map(str::to_owned),
                "GITHUB_APP_PRIVATE_KEY" => key.map(str::to_owned),
                _ => None,
            };
            GitHubSettings::from_vars(lookup).map(|_| ()).map_err(|problems| format!("{problems:?}"))
        };
        for (id, key) in
            [(Some("7"), None), (None, Some("s3cret")), (Some("7"), Some("s3cret")), (Some("a b"), Some("k"))]
        {
            let problems = with(id, key).expect_err("refused");
            assert!(problems.contains("config.app_key") && !problems.contains("s3cret"), "{problems}");
        }
    }

    #[test]
    fn an_invalid_token_is_refused_and_never_shown() {
        for token in ["", " ", "ghp_s3cret\n", "\"ghp_s3cret\"", "changeme-s3cret", "<s3cret>", "s3crét"] {
            let lookup = |name: &str| (name == "GITHUB_PAT").then(|| token.to_owned());
            let problems = GitHubSettings::from_vars(lookup).expect_err("refused");
            assert_eq!(problems[0].code, "config.token_format", "{token:?}");
            assert!(!format!("{problems:?}").contains("s3cr"), "{problems:?}");
        }
        assert!(!format!("{:?}", settings(None, Some("ghp_s3cret"))).contains("s3cret"));
    }
}
