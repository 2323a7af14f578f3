//! The known keys.

mod reading;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mergeline_domain::{Problems, TeamSlug};
use mergeline_store::Sender;
use serde::Serialize;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use self::reading::Reading;
use crate::auth::callers::Identity;
use crate::auth::scope::Scope;

/// The single plain-text key.
const PLAIN: &str = "API_KEY";
/// The list of hashed keys.
const LIST: &str = "API_KEYS";
/// The prefix of keys, by which people and secret scanners recognize them.
const PREFIX: &str = "mgl_";

/// The name of a key in lists and logs: letters, digits, `.`, `_` and `-`, at most 40.
///
/// The limit is so short that neither a hash nor a generated key can be mistaken for a name and shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct KeyName(String);

impl KeyName {
    const MAX_LEN: usize = 40;
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a valid key name. The text is not shown, because it may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyNameError;

impl fmt::Display for KeyNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a name has letters, digits, `.`, `_` and `-`, at most {}", KeyName::MAX_LEN)
    }
}

impl std::error::Error for KeyNameError {}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_name = !text.is_empty() && text.len() <= Self::MAX_LEN && text.chars().all(allowed);
        is_name.then(|| Self(text.to_owned())).ok_or(KeyNameError)
    }
}

/// The SHA-256 of a key. A plain hash is enough, because keys are long and random and cannot be guessed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct KeyHash([u8; 32]);

impl KeyHash {
    fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// The hash written as 64 hexadecimal digits.
    fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 2 * bytes.len() {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

impl Serialize for KeyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What shows who a request belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
enum Proof {
    /// The key that it carries.
    #[serde(rename = "sha256")]
    Key(KeyHash),
    /// The identity of IAM that signed it.
    #[serde(rename = "arn")]
    Caller(Identity),
}

/// A key as the program knows it: by its hash. Or an identity of IAM in place of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    name: KeyName,
    #[serde(flatten)]
    proof: Proof,
    scopes: BTreeSet<Scope>,
    /// The only teams that it shows; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    teams: Option<BTreeSet<TeamSlug>>,
    /// The only services that it may post about; `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<BTreeSet<ServiceName>>,
    /// The program that posts with it, so that two programs may number theirs alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<KeyName>,
}

/// The slug of a service that a key may post about: of the teams file, or `owner.name` of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ServiceName(String);

impl ServiceName {
    const MAX_LEN: usize = 200;

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Not the slug of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceNameError;

impl fmt::Display for ServiceNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write the slug of a service, as in the teams file, or owner.name of a repository")
    }
}

impl std::error::Error for ServiceNameError {}

impl FromStr for ServiceName {
    type Err = ServiceNameError;

    fn from_str(text: &str) -> Result<Self, ServiceNameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        let has_letter = text.chars().any(|c| c.is_ascii_lowercase());
        let is_name = has_letter && text.len() <= Self::MAX_LEN && text.chars().all(allowed);
        is_name.then(|| Self(text.to_owned())).ok_or(ServiceNameError)
    }
}

impl ApiKey {
    /// The name of the key.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The key in `API_KEY`, which may do everything.
    fn plain(text: &str) -> Self {
        let scopes = BTreeSet::from([Scope::Admin]);
        Self {
            name: KeyName(PLAIN.to_owned()),
            proof: Proof::Key(KeyHash::of(text.as_bytes())),
            scopes,
            teams: None,
            services: None,
            source: None,
        }
    }

    /// Whether one of its scopes implies this one.
    pub(crate) fn allows(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|held| held.implies(scope))
    }

    /// Who posts with it, and what that may be about.
    pub(crate) fn sender(&self) -> Sender {
        let services = self.services.as_ref().map(|all| all.iter().map(|it| it.as_str().to_owned()).collect());
        let program = self.source.as_ref().map(ToString::to_string);
        Sender { key_name: Some(self.name.to_string()), program, services, ..Sender::default() }
    }

    /// The only teams that it shows; `None` for all.
    pub(crate) fn teams(&self) -> Option<&BTreeSet<TeamSlug>> {
        self.teams.as_ref()
    }
}

/// A newly created key. This is the only time its text is known.
#[derive(Serialize)]
pub struct NewKey {
    /// The key that requests send.
    pub key: String,
    /// The entry for `API_KEYS`.
    pub entry: ApiKey,
}

impl NewKey {
    /// Creates a key from these random bytes. Without teams it shows all of them.
    pub fn from_random(
        random: [u8; 32],
        name: KeyName,
        scopes: impl IntoIterator<Item = Scope>,
        teams: impl IntoIterator<Item = TeamSlug>,
    ) -> Self {
        let key = format!("{PREFIX}{}", hex(&random));
        let teams: BTreeSet<_> = teams.into_iter().collect();
        let entry = ApiKey {
            name,
            proof: Proof::Key(KeyHash::of(key.as_bytes())),
            scopes: scopes.into_iter().collect(),
            teams: (!teams.is_empty()).then_some(teams),
            services: None,
            source: None,
        };
        Self { key, entry }
    }

    /// The same for a program that posts about these services; about all of them if there are none.
    #[must_use]
    pub fn for_posting(self, services: impl IntoIterator<Item = ServiceName>, source: Option<KeyName>) -> Self {
        let services: BTreeSet<_> = services.into_iter().collect();
        let services = (!services.is_empty()).then_some(services);
        Self { entry: ApiKey { services, source, ..self.entry }, ..self }
    }
}

/// All accepted keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ApiKeys(Arc<[Arc<ApiKey>]>);

impl ApiKeys {
    /// A single key with this text, which may do everything.
    pub fn single(text: &str) -> Self {
        Self::of(vec![ApiKey::plain(text)])
    }

    /// Parses a list in the format of `API_KEYS`.
    ///
    /// # Errors
    /// Every problem in the list, as `config.api_keys`.
    pub fn parse(json: &str) -> Result<Self, Problems> {
        let mut reading = Reading::default();
        reading.list(json);
        reading.finish().map(Self::of)
    }

    /// The keys in `API_KEY` and `API_KEYS`, each through `lookup`; `None` if neither is set.
    ///
    /// # Errors
    /// `config.weak_secret` for a guessable key, and everything that [`ApiKeys::parse`] rejects.
    pub fn from_vars(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Problems> {
        let (plain, list) = (lookup(PLAIN), lookup(LIST));
        if plain.is_none() && list.is_none() {
            return Ok(None);
        }
        let mut reading = Reading::default();
        if let Some(plain) = plain {
            reading.plain(plain.trim());
        }
        if let Some(list) = list {
            reading.list(&list);
        }
        reading.finish().map(|keys| Some(Self::of(keys)))
    }

    fn of(keys: Vec<ApiKey>) -> Self {
        Self(keys.into_iter().map(Arc::new).collect())
    }

    /// The names of all keys.
    pub(crate) fn names(&self) -> impl Iterator<Item = &KeyName> {
        self.0.iter().map(|key| key.name())
    }

    /// The entry of this key; `None` if the key is unknown.
    pub(crate) fn find(&self, given: &[u8]) -> Option<Arc<ApiKey>> {
        self.position(&KeyHash::of(given)).and_then(|position| self.0.get(position)).cloned()
    }

    /// The entry of this user or role of IAM; `None` if there is none.
    pub(crate) fn find_caller(&self, arn: &str) -> Option<Arc<ApiKey>> {
        let caller = Proof::Caller(arn.parse().ok()?);
        self.0.iter().find(|key| key.proof == caller).cloned()
    }

    /// Whether an entry is for an identity of IAM.
    pub(crate) fn name_callers(&self) -> bool {
        self.0.iter().any(|key| matches!(key.proof, Proof::Caller(_)))
    }

    /// Compares with every key to the last byte, so that the time reveals nothing about any of them.
    fn position(&self, given: &KeyHash) -> Option<usize> {
        let mut found = u64::MAX;
        for (position, key) in (0_u64..).zip(self.0.iter()) {
            if let Proof::Key(hash) = &key.proof {
                found.conditional_assign(&position, hash.0.ct_eq(&given.0));
            }
        }
        usize::try_from(found).ok().filter(|position| *position < self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const KEY: &str = "08f3a61c97e4b5d2";
    pub(super) const OTHER: &str = "another-key-of-sixteen";

    pub(super) fn hash(key: &str) -> String {
        hex(&KeyHash::of(key.as_bytes()).0)
    }

    pub(super) fn entry(name: &str, key: &str, more: &str) -> String {
        format!(r#"{{"name":"{name}","sha256":"{}",{more}}}"#, hash(key))
    }

    fn team(slug: &str) -> TeamSlug {
        slug.parse().expect("a slug")
    }

    #[test]
    fn hashes_match_those_of_other_programs() {
        // printf %s abc | sha256sum
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hash("abc"), known);
        for text in [known, &known.to_uppercase()] {
            assert_eq!(KeyHash::from_hex(text), Some(KeyHash::of(b"abc")), "{text}");
        }
        let (short, long, other) = (&known[1..], format!("{known}0"), known.replace('b', "g"));
        for text in ["", short, &long, &other, &"é".repeat(32), &"+1".repeat(32)] {
            assert_eq!(KeyHash::from_hex(text), None, "{text}");
        }
    }

    #[test]
    fn a_key_gets_its_scopes_and_teams_only() {
        let grafana = entry("grafana", KEY, r#""scopes":["metrics:read"],"teams":["payments","web"]"#);
        let ops = entry("ops", OTHER, r#""scopes":["metrics:read","admin"]"#);
        let keys = ApiKeys::parse(&format!("[{grafana},{ops}]")).expect("valid");
        let key = keys.find(KEY.as_bytes()).expect("a key");
        assert_eq!(Scope::ALL.map(|scope| key.allows(scope)), [true, false, false, false]);
        assert_eq!(key.teams(), Some(&BTreeSet::from([team("payments"), team("web")])));
        let key = keys.find(OTHER.as_bytes()).expect("a key");
        assert_eq!(Scope::ALL.map(|scope| key.allows(scope)), [true; 4]);
        assert_eq!(key.teams(), None);
    }

    #[test]
    fn a_caller_is_found_by_its_arn_and_has_no_key() {
        let caller = r#"{"name":"grafana","arn":"arn:aws:iam::123456789012:role/tools/grafana","scopes":["metrics:read"],"teams":["web"]}"#;
        let keys =
            ApiKeys::parse(&format!("[{caller},{}]", entry("ops", KEY, r#""scopes":["admin"]"#))).expect("valid");
        let found = keys.find_caller("arn:aws:sts::123456789012:assumed-role/grafana/1").expect("a caller");
        assert_eq!(found.name().to_string(), "grafana");
        assert_eq!(found.teams(), Some(&BTreeSet::from([team("web")])));
        assert_eq!(
            serde_json::to_string(&*found).expect("JSON"),
            caller.replace("/tools", ""),
            "an entry is written as it is read"
        );
        assert!(keys.find_caller("arn:aws:sts::123456789012:assumed-role/ops/1").is_none());
        assert!(keys.find(b"arn:aws:iam::123456789012:role/grafana").is_none());
        assert!(keys.find(KEY.as_bytes()).is_some_and(|key| key.name().to_string() == "ops"));
        assert!(keys.name_callers() && !ApiKeys::single(KEY).name_callers());
    }

    #[test]
    fn a_long_list_matches_only_its_own_keys() {
        let names: Vec<String> = (0..300).map(|number| format!("key-{number}")).collect();
        let entries: Vec<String> =
            names.iter().map(|name| entry(name, &format!("{name}-of-sixteen"), r#""scopes":["admin"]"#)).collect();
        let keys = ApiKeys::parse(&format!("[{}]", entries.join(","))).expect("valid");
        for (position, name) in names.iter().enumerate() {
            assert_eq!(keys.position(&KeyHash::of(format!("{name}-of-sixteen").as_bytes())), Some(position), "{name}");
        }
        for other in ["", "key-1", "key-1-of-sixtee", "key-1-of-sixteen ", &hash("key-1-of-sixteen")] {
            assert!(keys.find(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn a_name_is_shorter_than_keys_and_hashes() {
        let made = NewKey::from_random([7; 32], KeyName("x".to_owned()), [Scope::Admin], []).key;
        for text in ["", "a b", "a\nb", "é", &hash(KEY), &made] {
            assert_eq!(text.parse::<KeyName>(), Err(KeyNameError), "{text}");
        }
        assert!("Grafana_2.prod-eu".parse::<KeyName>().is_ok());
    }

    #[test]
    fn a_generated_key_matches_its_entry_and_stays_hidden() -> Result<(), serde_json::Error> {
        let name: KeyName = "grafana".parse().expect("a name");
        let made = NewKey::from_random([171; 32], name, [Scope::PrsRead], [team("payments")]);
        assert_eq!(made.key, format!("mgl_{}", "ab".repeat(32)));
        let entry = serde_json::to_string(&made.entry)?;
        assert!(entry.ends_with(r#""scopes":["prs:read"],"teams":["payments"]}"#), "{entry}");
        let keys = ApiKeys::parse(&format!("[{entry}]")).expect("valid");
        let key = keys.find(made.key.as_bytes()).expect("accepted");
        assert!(
            key.allows(Scope::MetricsRead)
                && !key.allows(Scope::Admin)
                && key.teams() == Some(&BTreeSet::from([team("payments")]))
        );
        let debug = format!("{keys:?} {key:?}");
        assert!(debug.contains("grafana") && !debug.contains("abab") && !debug.contains(&hash(&made.key)), "{debug}");
        Ok(())
    }

    #[test]
    fn the_plain_key_and_the_list_are_both_accepted() {
        let list = format!("[{}]", entry("grafana", OTHER, r#""scopes":["metrics:read"]"#));
        let accepted = |plain: Option<&str>, list: Option<&str>| {
            let lookup = |name: &str| if name == PLAIN { plain } else { list }.map(str::to_owned);
            let keys = ApiKeys::from_vars(lookup).expect("valid")?;
            let scopes = [KEY, OTHER].map(|key| keys.find(key.as_bytes()).map(|it| it.allows(Scope::Admin)));
            Some(scopes)
        };
        assert_eq!(accepted(None, None), None);
        assert_eq!(accepted(Some(&format!(" {KEY}\n")), None), Some([Some(true), None]));
        assert_eq!(accepted(None, Some(&list)), Some([None, Some(false)]));
        assert_eq!(accepted(Some(KEY), Some(&list)), Some([Some(true), Some(false)]));
    }
}
