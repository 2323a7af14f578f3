//! Where GitHub is and with which token it is asked.

use mergeline_domain::Problem;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

const GITHUB_COM: &str = "https://api.github.com";

/// Where GitHub is and with which token it is asked.
#[derive(Debug, Clone)]
pub struct GitHubSettings {
    pub(crate) api_url: Url,
    pub(crate) token: Option<SecretString>,
}

impl GitHubSettings {
    /// Reads `GITHUB_API_URL` (github.com when unset) and `GITHUB_PAT` (60 requests an hour and public
    /// repositories only when unset).
    ///
    /// # Errors
    /// `config.base_url` for an address that is not HTTPS, `config.token_format` for what cannot be a token.
    /// The token itself is never shown.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let address = lookup("GITHUB_API_URL").filter(|text| !text.trim().is_empty());
        let api_url = base_url(address.as_deref().unwrap_or(GITHUB_COM)).map_err(|problem| problems.push(problem)).ok();
        let token = match lookup("GITHUB_PAT") {
            None => None,
            Some(text) => token(&text).map_err(|problem| problems.push(problem)).ok(),
        };
        match api_url {
            Some(api_url) if problems.is_empty() => Ok(Self { api_url, token }),
            _ => Err(problems),
        }
    }
}

fn base_url(text: &str) -> Result<Url, Problem> {
    let refuse = |message: String| {
        let help = "write https://api.github.com, or https://HOST/api/v3 for GitHub Enterprise Server";
        Problem::setting("config.base_url", "GITHUB_API_URL", message, help)
    };
    let url = Url::parse(text.trim().trim_end_matches('/')).map_err(|error| refuse(format!("no URL: {error}")))?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(refuse("it names no host".to_owned())),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it carries a user or password; the token goes into GITHUB_PAT".to_owned()));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        other => Err(refuse(format!("{other}: would send the token unprotected"))),
    }
}

fn token(text: &str) -> Result<SecretString, Problem> {
    let refuse = |reason: &str| {
        let help = "set it to the bare token; a fine-grained one with read access to pull requests is enough";
        Err(Problem::setting("config.token_format", "GITHUB_PAT", reason, help))
    };
    if text.trim().is_empty() {
        return refuse("it is empty");
    }
    if text.trim() != text {
        return refuse("there is white space around it, a line break perhaps");
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
        return refuse("it contains characters that no token has");
    }
    Ok(SecretString::from(text))
}

impl GitHubSettings {
    pub(crate) fn expose_token(&self) -> Option<&str> {
        self.token.as_ref().map(ExposeSecret::expose_secret)
    }
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
    fn github_com_is_meant_when_no_address_is_set() {
        assert_eq!(settings(None, None).expect("valid").api_url.as_str(), "https://api.github.com/");
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
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
    fn what_cannot_be_a_token_is_refused_and_never_shown() {
        for token in ["", " ", "ghp_s3cret\n", "\"ghp_s3cret\"", "changeme-s3cret", "<s3cret>", "s3crét"] {
            let lookup = |name: &str| (name == "GITHUB_PAT").then(|| token.to_owned());
            let problems = GitHubSettings::from_vars(lookup).expect_err("refused");
            assert_eq!(problems[0].code, "config.token_format", "{token:?}");
            assert!(!format!("{problems:?}").contains("s3cr"), "{problems:?}");
        }
        assert!(!format!("{:?}", settings(None, Some("ghp_s3cret"))).contains("s3cret"));
    }
}
