//! Everything that the environment decides about the API.

use std::time::Duration;

use mergeline_domain::{Problems, bounded_integer};
use mergeline_store::DatabaseSettings;

use crate::auth::hosts::AllowedHosts;
use crate::auth::keys::ApiKeys;

/// API Gateway gives up after 29 s.
const MAX_TIMEOUT_SECONDS: u16 = 28;
const DEFAULT_TIMEOUT_SECONDS: u16 = 5;

/// Everything that the environment decides about the API.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the database is.
    pub database: DatabaseSettings,
    /// The keys of which requests must carry one; `None` where something in front of the program checks them.
    pub keys: Option<ApiKeys>,
    /// The names that a server without keys answers to.
    pub hosts: AllowedHosts,
    /// How long a request may take.
    pub timeout: Duration,
}

impl Settings {
    /// Reads `DB_URL`, `API_KEY`, `API_KEYS`, `ALLOWED_HOSTS` and `REQUEST_TIMEOUT_SECONDS`, each through `lookup`.
    ///
    /// # Errors
    /// Every variable that is missing or cannot be used.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let database = DatabaseSettings::from_vars(&lookup).map_err(|problem| problems.push(problem)).ok();
        let keys = ApiKeys::from_vars(&lookup).map_err(|refused| problems.extend(refused.list)).ok().flatten();
        let hosts = AllowedHosts::from_vars(&lookup).map_err(|problem| problems.push(problem)).unwrap_or_default();
        let timeout =
            bounded_integer(&lookup, "REQUEST_TIMEOUT_SECONDS", 1..=MAX_TIMEOUT_SECONDS, DEFAULT_TIMEOUT_SECONDS)
                .map_err(|problem| problems.push(problem))
                .unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        let timeout = Duration::from_secs(timeout.into());
        match database {
            Some(database) if problems.is_empty() => {
                Ok(Self { database: database.for_requests_within(timeout), keys, hosts, timeout })
            }
            _ => Err(Problems::of_settings(problems)),
        }
    }
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
    fn time_limits_outside_one_to_twenty_eight_seconds_are_refused() {
        for seconds in ["-1", "0", "9999", "8s", ""] {
            assert_eq!(codes(&[DB, ("REQUEST_TIMEOUT_SECONDS", seconds)]), ["config.range"], "{seconds}");
        }
        assert_eq!(codes(&[DB, ("REQUEST_TIMEOUT_SECONDS", "28")]), Vec::<&str>::new());
    }

    #[test]
    fn a_short_key_is_refused_and_a_key_is_never_shown() {
        assert_eq!(codes(&[DB, ("API_KEY", "s3cret")]), ["config.weak_secret"]);
        let lookup = |name: &str| match name {
            "DB_URL" => Some(DB.1.to_owned()),
            "API_KEY" => Some("8f3a61c97e04b5d2".to_owned()),
            _ => None,
        };
        assert!(!format!("{:?}", Settings::from_vars(lookup)).contains("8f3a61c97e04b5d2"));
    }

    #[test]
    fn a_list_of_keys_that_cannot_be_used_is_told_beside_the_other_problems() {
        let vars = [("API_KEY", "s3cret"), ("API_KEYS", "[1]"), ("REQUEST_TIMEOUT_SECONDS", "0")];
        assert_eq!(codes(&vars), ["config.db_url", "config.weak_secret", "config.api_keys", "config.range"]);
    }

    #[test]
    fn hosts_that_cannot_be_used_are_refused_beside_the_other_problems() {
        let vars = [DB, ("ALLOWED_HOSTS", "http://devbox:8787"), ("REQUEST_TIMEOUT_SECONDS", "0")];
        assert_eq!(codes(&vars), ["config.allowed_hosts", "config.range"]);
    }

    #[test]
    fn a_database_is_never_guessed() {
        assert_eq!(codes(&[]), ["config.db_url"]);
    }
}
