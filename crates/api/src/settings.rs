//! The API's settings from the environment.

use std::time::Duration;

use chrono::TimeDelta;
use mergeline_domain::metrics::{COLLECT_EVERY_HOURS, stale_after};
use mergeline_domain::{Problem, Problems, bounded_integer};
use mergeline_login::{LoginSettings, TokenSettings};
use mergeline_store::DatabaseSettings;
use mergeline_webhooks::WebhookSecrets;

use crate::auth::callers::Authorizer;
use crate::auth::hosts::AllowedHosts;
use crate::auth::keys::ApiKeys;
use crate::auth::origins::AllowedOrigins;
use crate::auth::scope::Scope;

/// API Gateway gives up after 29 s.
const MAX_TIMEOUT_SECONDS: u16 = 28;
const DEFAULT_TIMEOUT_SECONDS: u16 = 5;
const DEFAULT_SCOPE: Scope = Scope::PrsRead;

/// The API's settings from the environment.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How to connect to the database.
    pub database: DatabaseSettings,
    /// The keys, one of which each request must carry; `None` if a component in front of the program checks them.
    pub keys: Option<ApiKeys>,
    /// Whether requests carry a key or a token, or are signed by identities of IAM.
    pub authorizer: Authorizer,
    /// Which tokens are good; `None` unless requests carry one.
    pub tokens: Option<TokenSettings>,
    /// What a request may do that API Gateway let in, while there are no keys. Never everything: all keys of the gateway are alike.
    pub gateway_key_scope: Scope,
    /// The secrets that webhooks are signed with.
    pub webhooks: WebhookSecrets,
    /// The provider that people log in with; `None` if there is none.
    pub login: Option<LoginSettings>,
    /// The host names that a server without keys answers to.
    pub hosts: AllowedHosts,
    /// The origins whose pages may read the API with a key.
    pub origins: AllowedOrigins,
    /// The time limit of a request.
    pub timeout: Duration,
    /// After this time without a complete collection, the numbers are stale.
    pub stale_after: TimeDelta,
}

impl Settings {
    /// Reads `DB_URL`, `API_KEY`, `API_KEYS`, `AUTHORIZER`, `GATEWAY_KEY_SCOPE`, `WEBHOOK_SECRETS`, `ALLOWED_HOSTS`, `CORS_ORIGIN`,
    /// `REQUEST_TIMEOUT_SECONDS`, `COLLECT_EVERY_HOURS` and what [`LoginSettings`] and, with `AUTHORIZER=jwt`,
    /// [`TokenSettings`] read, each through `lookup`.
    ///
    /// # Errors
    /// Every missing or invalid variable.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let database = DatabaseSettings::from_vars(&lookup).map_err(|problem| problems.push(problem)).ok();
        let keys = ApiKeys::from_vars(&lookup).map_err(|refused| problems.extend(refused.list)).ok().flatten();
        let authorizer = Authorizer::from_vars(&lookup).map_err(|problem| problems.push(problem)).unwrap_or_default();
        if authorizer == Authorizer::Iam && keys.as_ref().is_some_and(|keys| !keys.name_callers()) {
            problems.push(nobody());
        }
        if authorizer == Authorizer::Jwt && keys.is_some() {
            problems.push(no_keys());
        }
        let is_by_token = authorizer == Authorizer::Jwt;
        let tokens = is_by_token.then(|| TokenSettings::from_vars(&lookup)).transpose();
        let tokens = tokens.map_err(|refused| problems.extend(refused)).ok().flatten();
        let gateway_key_scope =
            gateway_key_scope(&lookup).map_err(|problem| problems.push(problem)).unwrap_or(DEFAULT_SCOPE);
        let webhooks = WebhookSecrets::from_vars(&lookup).map_err(|problem| problems.push(problem)).unwrap_or_default();
        let login = LoginSettings::from_vars(&lookup).map_err(|refused| problems.extend(refused)).ok().flatten();
        let hosts = AllowedHosts::from_vars(&lookup).map_err(|problem| problems.push(problem)).unwrap_or_default();
        let origins = AllowedOrigins::from_vars(&lookup).map_err(|problem| problems.push(problem)).unwrap_or_default();
        let timeout =
            bounded_integer(&lookup, "REQUEST_TIMEOUT_SECONDS", 1..=MAX_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS)
                .map_err(|problem| problems.push(problem))
                .unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        let timeout = Duration::from_secs(timeout.into());
        let collect_every = bounded_integer(&lookup, "COLLECT_EVERY_HOURS", 1..=24, COLLECT_EVERY_HOURS)
            .map_err(|problem| problems.push(problem))
            .unwrap_or(COLLECT_EVERY_HOURS);
        let stale_after = stale_after(collect_every);
        match database {
            Some(database) if problems.is_empty() => {
                let database = database.for_requests_within(timeout);
                Ok(Self {
                    database,
                    keys,
                    authorizer,
                    tokens,
                    gateway_key_scope,
                    webhooks,
                    login,
                    hosts,
                    origins,
                    timeout,
                    stale_after,
                })
            }
            _ => Err(Problems::of_settings(problems)),
        }
    }
}

fn nobody() -> Problem {
    Problem::setting(
        "config.api_keys",
        "API_KEYS",
        "no entry has an `arn`, so no request would be accepted with AUTHORIZER=iam",
        "add an entry with `arn` in place of `sha256` for each user or role of IAM that may ask",
    )
}

fn no_keys() -> Problem {
    Problem::setting(
        "config.api_keys",
        "API_KEYS",
        "it is set, and with AUTHORIZER=jwt no request carries a key",
        "leave out API_KEY and API_KEYS, or AUTHORIZER",
    )
}

fn gateway_key_scope(lookup: impl Fn(&str) -> Option<String>) -> Result<Scope, Problem> {
    const NAME: &str = "GATEWAY_KEY_SCOPE";
    let Some(text) = lookup(NAME).filter(|text| !text.trim().is_empty()) else { return Ok(DEFAULT_SCOPE) };
    text.trim().parse().ok().filter(|scope| *scope != Scope::Admin).ok_or_else(|| {
        Problem::setting(
            "config.gateway_key_scope",
            NAME,
            "a key of the gateway alone cannot have this scope",
            "write metrics:read, prs:read or events:write; for more, set API_KEYS",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(vars: &[(&str, &str)]) -> Vec<&'static str> {
        let lookup = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        match Settings::from_vars(lookup) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.list.iter().map(|problem| problem.code).collect(),
        }
    }

    const DB: (&str, &str) = ("DB_URL", "postgres://u@localhost/m");

    #[test]
    fn time_limits_are_one_to_28_seconds() {
        for seconds in ["-1", "0", "9999", "8s", ""] {
            assert_eq!(codes(&[DB, ("REQUEST_TIMEOUT_SECONDS", seconds)]), ["config.range"], "{seconds}");
        }
        assert_eq!(codes(&[DB, ("REQUEST_TIMEOUT_SECONDS", "28")]), Vec::<&str>::new());
    }

    #[test]
    fn a_short_key_is_refused_and_hidden() {
        assert_eq!(codes(&[DB, ("API_KEY", "s3cret")]), ["config.weak_secret"]);
        let lookup = |name: &str| match name {
            "DB_URL" => Some(DB.1.to_owned()),
            "API_KEY" => Some("8f3a61c97e04b5d2".to_owned()),
            _ => None,
        };
        assert!(!format!("{:?}", Settings::from_vars(lookup)).contains("8f3a61c97e04b5d2"));
    }

    #[test]
    fn key_list_problems_join_the_other_problems() {
        let vars = [("API_KEY", "s3cret"), ("API_KEYS", "[1]"), ("REQUEST_TIMEOUT_SECONDS", "0")];
        assert_eq!(codes(&vars), ["config.db_url", "config.weak_secret", "config.api_keys", "config.range"]);
    }

    #[test]
    fn a_key_of_the_gateway_is_never_an_administrators() {
        for (text, expected) in [("admin", true), ("everything", true), ("metrics:read", false), ("", false)] {
            let refused = codes(&[DB, ("GATEWAY_KEY_SCOPE", text)]);
            assert_eq!(refused == ["config.gateway_key_scope"], expected, "{text}: {refused:?}");
        }
    }

    #[test]
    fn signed_requests_need_a_list_that_names_callers_or_none() {
        let sha256 = "ccecef4cea4247d249a8564333749220b1ff39429ee34fa792a60295a9f3fd63";
        let key = format!(r#"[{{"name":"grafana","sha256":"{sha256}","scopes":["metrics:read"]}}]"#);
        let caller = r#"[{"name":"grafana","arn":"arn:aws:iam::123456789012:role/grafana","scopes":["metrics:read"]}]"#;
        for (authorizer, list, expected) in [
            ("iam", key.as_str(), &["config.api_keys"][..]),
            ("iam", caller, &[]),
            ("key", caller, &[]),
            ("iam", "", &["config.api_keys"]),
            ("none", caller, &["config.authorizer"]),
        ] {
            assert_eq!(codes(&[DB, ("AUTHORIZER", authorizer), ("API_KEYS", list)]), expected, "{authorizer} {list}");
        }
        assert_eq!(codes(&[DB, ("AUTHORIZER", "iam")]), Vec::<&str>::new());
    }

    #[test]
    fn tokens_need_an_audience_and_leave_no_way_for_keys() {
        let tokens = [DB, ("AUTHORIZER", "jwt"), ("JWT_ISSUER", "https://id.acme.com"), ("JWT_AUDIENCE", "api")];
        assert_eq!(codes(&tokens), Vec::<&str>::new());
        assert_eq!(codes(&tokens[..3]), ["config.jwt"]);
        let mut with_key = tokens.to_vec();
        with_key.push(("API_KEY", "8f3a61c97e04b5d2"));
        assert_eq!(codes(&with_key), ["config.api_keys"]);
        // Without the way, what belongs to it is not read.
        assert_eq!(codes(&[DB, ("JWT_ISSUER", "nonsense")]), Vec::<&str>::new());
    }

    #[test]
    fn host_and_origin_problems_join_the_other_problems() {
        let vars =
            [DB, ("ALLOWED_HOSTS", "http://devbox:8787"), ("CORS_ORIGIN", "*"), ("REQUEST_TIMEOUT_SECONDS", "0")];
        assert_eq!(codes(&vars), ["config.allowed_hosts", "config.cors_origin", "config.range"]);
    }

    #[test]
    fn the_database_url_has_no_default() {
        assert_eq!(codes(&[]), ["config.db_url"]);
    }
}
