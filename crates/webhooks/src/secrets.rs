//! The setting `WEBHOOK_SECRETS`: JSON with up to two live secrets for each plugin, so that one can be exchanged.

use std::collections::BTreeMap;

use mergeline_domain::Problem;
use secrecy::SecretString;
use serde::Deserialize;
use strum::VariantArray;

use crate::Plugin;

const NAME: &str = "WEBHOOK_SECRETS";
const MIN_BYTES: usize = 16;
/// The one in use, and the one that replaces it.
const MAX_LIVE: usize = 2;
const HELP: &str = "write JSON such as {\"github\": \"…\"}, or {\"github\": [\"new\", \"old\"]} while one is exchanged";

/// The live secrets of each plugin. A plugin without any accepts nothing.
#[derive(Debug, Clone, Default)]
pub struct WebhookSecrets {
    by_plugin: BTreeMap<Plugin, Vec<SecretString>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl WebhookSecrets {
    /// Reads `WEBHOOK_SECRETS` through `lookup`. Empty means none.
    ///
    /// # Errors
    /// What is wrong with it, without its values.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let Some(text) = lookup(NAME).filter(|text| !text.trim().is_empty()) else { return Ok(Self::default()) };
        let problem = |code, message: String| Problem::setting(code, NAME, message, HELP);
        let broken = |message: &str| problem("config.webhook_secrets", message.to_owned());
        let read: BTreeMap<String, OneOrMore> =
            serde_json::from_str(&text).map_err(|_| broken("it is not a JSON object of texts and lists of texts"))?;
        let mut by_plugin = BTreeMap::new();
        for (name, secrets) in read {
            let Ok(plugin) = name.parse::<Plugin>() else {
                let known: Vec<&str> = Plugin::VARIANTS.iter().map(<&str>::from).collect();
                // The name may be a secret in the wrong place.
                return Err(broken(&format!("it has a key that is no plugin; there are {}", known.join(", "))));
            };
            let secrets = match secrets {
                OneOrMore::One(secret) => vec![secret],
                OneOrMore::More(secrets) => secrets,
            };
            if secrets.is_empty() || secrets.len() > MAX_LIVE {
                return Err(broken(&format!("`{name}` has {} secrets; one or two can be in use", secrets.len())));
            }
            if secrets.iter().any(|secret| secret.len() < MIN_BYTES) {
                let message = format!("a secret of `{name}` has fewer than {MIN_BYTES} bytes");
                return Err(problem("config.weak_secret", message));
            }
            by_plugin.insert(plugin, secrets.into_iter().map(SecretString::from).collect());
        }
        Ok(Self { by_plugin })
    }

    /// Those of a plugin, the newest first.
    pub fn of(&self, plugin: Plugin) -> &[SecretString] {
        self.by_plugin.get(&plugin).map_or(&[], Vec::as_slice)
    }

    /// The plugins that have one.
    pub fn plugins(&self) -> impl Iterator<Item = Plugin> {
        self.by_plugin.keys().copied()
    }

    /// Whether no plugin has any.
    pub fn is_empty(&self) -> bool {
        self.by_plugin.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WebhookSecrets, Problem> {
        WebhookSecrets::from_vars(|_| Some(text.to_owned()))
    }

    #[test]
    fn one_or_two_secrets_may_be_live() -> anyhow::Result<()> {
        let secrets = read(r#"{"github": ["0123456789abcdef", "fedcba9876543210"], "pagerduty": "0123456789abcdef"}"#);
        let secrets = secrets.map_err(|problem| anyhow::anyhow!("{problem:?}"))?;
        assert_eq!((secrets.of(Plugin::GitHub).len(), secrets.of(Plugin::PagerDuty).len()), (2, 1));
        assert!(secrets.of(Plugin::Grafana).is_empty());
        assert!(WebhookSecrets::from_vars(|_| None).is_ok_and(|none| none.is_empty()));
        Ok(())
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_being_shown() {
        for (text, code) in [
            ("0123456789abcdef", "config.webhook_secrets"),
            (r#"{"0123456789abcdef": "github"}"#, "config.webhook_secrets"),
            (r#"{"github": []}"#, "config.webhook_secrets"),
            (r#"{"github": ["0123456789abcdef", "0123456789abcdef", "0123456789abcdef"]}"#, "config.webhook_secrets"),
            (r#"{"github": "s3cret"}"#, "config.weak_secret"),
        ] {
            let problem = read(text).expect_err("refused");
            assert_eq!(problem.code, code, "{text}");
            let shown = format!("{problem:?}");
            assert!(!shown.contains("0123456789abcdef") && !shown.contains("s3cret"), "{shown}");
        }
    }
}
