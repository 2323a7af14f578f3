//! Where channels lead. Addresses are secrets: none is in the teams file, the database, a log or an error.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::message::Mailbox;
use mergeline_domain::messages::ChannelKind;
use mergeline_domain::{ChannelId, Problem, Problems};
use mergeline_http_client::Guard;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

/// The variable that holds them.
pub(crate) const CHANNELS: &str = "CHANNELS";
/// The variable with the hosts that the operator allows.
const CHANNEL_HOSTS: &str = "CHANNEL_HOSTS";
/// How a secret of Standard Webhooks begins.
const SECRET_PREFIX: &str = "whsec_";
/// The bytes that a secret of Standard Webhooks has.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// So many addresses of mail, at most.
const MOST_RECIPIENTS: usize = 50;

/// Where a channel leads.
#[derive(Clone)]
pub(crate) enum Address {
    /// The address of a webhook or workflow.
    Url(SecretString),
    /// The address of a program that takes Standard Webhooks, and the secrets that sign: two while one is exchanged.
    Signed(SecretString, Vec<SecretString>),
    /// Whom mail goes to.
    Mail(Vec<Mailbox>),
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address")
    }
}

/// The addresses of channels, by their short names, and which hosts may be connected to.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    by_channel: BTreeMap<ChannelId, Address>,
    guard: Guard,
}

impl Addresses {
    /// Reads `CHANNELS`, a JSON object with the address of each channel under its id, and `CHANNEL_HOSTS`.
    ///
    /// # Errors
    /// `config.channels` for each that cannot be used. Never shows an address.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Problems> {
        let set = |name: &str| lookup(name).filter(|text| !text.trim().is_empty());
        let hosts = set(CHANNEL_HOSTS).unwrap_or_default();
        let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
        let guard = Guard::allowing(hosts).map_err(|host| {
            let message = format!("`{host}` is not a host");
            let help = "write `host` or `host:port`, separated by commas, without `https://`";
            Problem::setting("config.channel_hosts", CHANNEL_HOSTS, message, help)
        })?;
        let Some(text) = set(CHANNELS) else { return Ok(Self { by_channel: BTreeMap::new(), guard }) };
        let refuse = |message: String, help: &str| Problem::setting("config.channels", CHANNELS, message, help);
        let Ok(Value::Object(entries)) = serde_json::from_str(&text) else {
            let help = "write {\"payments-chat\": \"https://…\", \"leads\": {\"to\": [\"leads@example.com\"]}}";
            return Err(refuse("it is not a JSON object".to_owned(), help).into());
        };
        let (mut by_channel, mut list) = (BTreeMap::new(), Vec::new());
        for (name, value) in entries {
            let read = name
                .parse()
                .map_err(|_| "its name is not the id of a channel")
                .and_then(|id: ChannelId| address(&value).map(|address| (id, address)));
            match read {
                Ok((id, address)) => {
                    by_channel.insert(id, address);
                }
                Err(why) => {
                    let help = "write an https address, {\"url\": \"https://…\", \"secret\": \"whsec_…\"}, or {\"to\": [\"…\"]}";
                    list.push(refuse(format!("channel `{}`: {why}", shown(&name)), help));
                }
            }
        }
        if list.is_empty() {
            return Ok(Self { by_channel, guard });
        }
        Err(Problems { source: CHANNELS.to_owned(), text: String::new(), list })
    }

    /// The ids that have an address.
    pub fn ids(&self) -> impl Iterator<Item = &ChannelId> {
        self.by_channel.keys()
    }

    /// Which hosts may be connected to.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The address of a channel, if it fits what takes its messages and may be connected to.
    pub(crate) fn of(&self, channel: &ChannelId, kind: ChannelKind, has_proxy: bool) -> Result<&Address, String> {
        let Some(address) = self.by_channel.get(channel) else {
            return Err(format!("{CHANNELS} has no address for it"));
        };
        let url = match (address, kind) {
            (Address::Mail(_), ChannelKind::Email) => return Ok(address),
            (Address::Url(url), ChannelKind::Slack | ChannelKind::Teams | ChannelKind::Discord)
            | (Address::Signed(url, _), ChannelKind::Webhook) => url,
            (_, ChannelKind::Email) => return Err(format!("{CHANNELS} needs {{\"to\": [\"…\"]}} for it")),
            (_, ChannelKind::Webhook) => {
                return Err(format!("{CHANNELS} needs {{\"url\": \"https://…\", \"secret\": \"whsec_…\"}} for it"));
            }
            _ => return Err(format!("{CHANNELS} needs the address of its webhook")),
        };
        let url = Url::parse(url.expose_secret()).map_err(|_| "its address is not a URL".to_owned())?;
        self.guard
            .check(&url)
            .map_err(|why| format!("nothing is sent to its address: {why} (CHANNEL_HOSTS allows hosts)"))?;
        let is_known = is_host_of(kind, url.host_str().unwrap_or_default());
        // What a proxy connects to cannot be checked here.
        if is_known == Some(false) || (is_known.is_none() && has_proxy) {
            return self.guard.allows(&url).then_some(address).ok_or_else(|| {
                format!("nothing is sent to its address: the host is not one of {kind}'s (CHANNEL_HOSTS allows hosts)")
            });
        }
        Ok(address)
    }
}

/// Whether a service has this host; `None` if its hosts are not known.
fn is_host_of(kind: ChannelKind, host: &str) -> Option<bool> {
    let host = host.to_ascii_lowercase();
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| host.ends_with(suffix));
    match kind {
        ChannelKind::Slack => Some(matches!(&*host, "hooks.slack.com" | "hooks.slack-gov.com")),
        ChannelKind::Teams => Some(ends(&[".logic.azure.com", ".api.powerplatform.com", ".logic.azure.us"])),
        ChannelKind::Discord => {
            Some(matches!(&*host, "discord.com" | "discordapp.com" | "ptb.discord.com" | "canary.discord.com"))
        }
        ChannelKind::Email | ChannelKind::Webhook => None,
    }
}

fn address(value: &Value) -> Result<Address, &'static str> {
    match value {
        Value::String(url) => Ok(Address::Url(checked_url(url)?)),
        Value::Object(entry) => {
            if entry.keys().any(|key| !matches!(key.as_str(), "url" | "secret" | "to")) {
                return Err("it has another key than `url`, `secret` and `to`");
            }
            match (entry.get("url"), entry.get("secret"), entry.get("to")) {
                (None, None, Some(to)) => recipients(to),
                (Some(Value::String(url)), None, None) => Ok(Address::Url(checked_url(url)?)),
                (Some(Value::String(url)), Some(secret), None) => {
                    Ok(Address::Signed(checked_url(url)?, secrets(secret)?))
                }
                _ => Err("it needs `url`, `url` and `secret`, or `to`"),
            }
        }
        _ => Err("it is neither text nor an object"),
    }
}

fn checked_url(text: &str) -> Result<SecretString, &'static str> {
    match Url::parse(text.trim()) {
        Ok(url) if url.has_host() => Ok(SecretString::from(url.to_string())),
        _ => Err("its address is not a URL"),
    }
}

/// One secret, or two while one is exchanged. Each is tried, so that a mistake is known before something is sent.
fn secrets(value: &Value) -> Result<Vec<SecretString>, &'static str> {
    let texts = one_or_more(value);
    let is_secret = |text: &&str| key_of(text).is_some_and(|key| SECRET_BYTES.contains(&key.len()));
    if texts.is_empty() || texts.len() > 2 || !texts.iter().all(is_secret) {
        return Err("its `secret` is not one or two of `whsec_` and 24 to 64 bytes in base64");
    }
    Ok(texts.into_iter().map(SecretString::from).collect())
}

/// A text, or a list of them. What is no text is empty, which nothing takes.
fn one_or_more(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().map(|text| text.as_str().unwrap_or_default()).collect(),
        _ => Vec::new(),
    }
}

/// The bytes that sign.
pub(crate) fn key_of(secret: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.strip_prefix(SECRET_PREFIX)?).ok()
}

fn recipients(value: &Value) -> Result<Address, &'static str> {
    let texts = one_or_more(value);
    let boxes: Option<Vec<Mailbox>> = texts.iter().map(|text| text.parse().ok()).collect();
    let boxes = boxes.filter(|boxes| (1..=MOST_RECIPIENTS).contains(&boxes.len()));
    boxes.map(Address::Mail).ok_or("its `to` is not 1 to 50 e-mail addresses")
}

/// A name that somebody wrote, unless it may be an address in the wrong place.
fn shown(name: &str) -> String {
    if name.len() <= 63 && !name.contains(['/', ':', '@']) { name.escape_debug().to_string() } else { "…".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn read(channels: &str, hosts: &str) -> Result<Addresses, Problems> {
        Addresses::from_vars(|name| match name {
            CHANNELS => Some(channels.to_owned()),
            CHANNEL_HOSTS => Some(hosts.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_and_never_shown() {
        for channels in [
            r"https://hooks.slack.com/s3cret",
            r#"{"chat": "s3cret"}"#,
            r#"{"chat": 3}"#,
            r#"{"https://hooks.slack.com/s3cret": "x"}"#,
            r#"{"chat": {"url": "https://x.example/s3cret", "secret": "s3cret"}}"#,
            r#"{"chat": {"url": "https://x.example/s3cret", "secret": "whsec_c2hvcnQ="}}"#,
            r#"{"chat": {"to": ["s3cret"]}}"#,
            r#"{"chat": {"to": []}}"#,
            r#"{"chat": {"s3cret": "https://x.example"}}"#,
        ] {
            let problems = read(channels, "").expect_err(channels);
            assert_eq!(problems.code(), "config.channels", "{channels}");
            assert!(!format!("{problems} {problems:?}").contains("s3cret"), "{problems:?}");
        }
        let addresses = read(r#"{"chat": "https://hooks.slack.com/s3cret"}"#, "").expect("valid");
        assert!(!format!("{addresses:?}").contains("s3cret"), "{addresses:?}");
    }

    #[test]
    fn each_service_gets_what_it_takes_at_its_own_hosts() {
        let channels = format!(
            r#"{{"slack": "https://hooks.slack.com/x", "azure": "https://prod-7.westus.logic.azure.com:443/x",
                "discord": "https://discord.com/api/webhooks/1/x", "own": {{"url": "https://ci.example.com/x", "secret": "{SECRET}"}},
                "mail": {{"to": "Leads <leads@example.com>"}}, "other": "https://hooks.slack.com.evil.example/x",
                "near": {{"url": "https://10.0.0.1/x", "secret": "{SECRET}"}}, "test": "http://127.0.0.1:9/x"}}"#
        );
        let addresses = read(&channels, "127.0.0.1:9").expect("valid");
        let of = |id: &str, kind, has_proxy| addresses.of(&id.parse().expect("an id"), kind, has_proxy).map(|_| ());
        for (id, kind) in [
            ("slack", ChannelKind::Slack),
            ("azure", ChannelKind::Teams),
            ("discord", ChannelKind::Discord),
            ("own", ChannelKind::Webhook),
            ("mail", ChannelKind::Email),
            ("test", ChannelKind::Slack),
        ] {
            assert_eq!(of(id, kind, false), Ok(()), "{id}");
        }
        for (id, kind) in [
            ("slack", ChannelKind::Discord),
            ("slack", ChannelKind::Webhook),
            ("slack", ChannelKind::Email),
            ("own", ChannelKind::Slack),
            ("mail", ChannelKind::Slack),
            ("other", ChannelKind::Slack),
            ("near", ChannelKind::Webhook),
            ("missing", ChannelKind::Slack),
        ] {
            assert!(of(id, kind, false).is_err(), "{id} {kind}");
        }
        // A proxy resolves names itself.
        assert!(of("own", ChannelKind::Webhook, true).is_err());
        assert_eq!(of("slack", ChannelKind::Slack, true), Ok(()));
    }
}
