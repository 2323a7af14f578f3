//! Reads keys from the environment. Reports all problems at once, without showing a hash or a key.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;

use mergeline_domain::{Problem, Problems, TeamSlug};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{ApiKey, KeyHash, KeyName, KeyNameError, LIST, PLAIN, Proof, ServiceName, ServiceNameError};
use crate::auth::scope::{Scope, ScopeError};

/// A guessable key is not a key.
const MIN_KEY_LENGTH: usize = 16;
/// Sixteen random digits nearly always have more.
const MIN_DISTINCT: usize = 6;
/// Fewer leave too little to guess. One in two hundred keys of sixteen random digits has fewer, and hardly any longer
/// key.
const MIN_SURPRISES: usize = 9;
/// Typical typing sequences, each a cycle.
const SEQUENCES: [&str; 6] =
    ["0123456789abcdef", "0123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiop", "asdfghjkl", "zxcvbnm"];
/// Words from examples, and words that attackers try first. Longer words come before the words they contain.
const PLACEHOLDERS: [&str; 15] = [
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "password",
    "mergeline",
    "replace",
    "example",
    "default",
    "secret",
    "admin",
    "token",
    "your",
    "test",
    "key",
];
/// The help for an invalid list.
const EXAMPLE: &str = r#"write a list like `[{"name": "grafana", "sha256": "…", "scopes": ["metrics:read"]}]`; `mergeline keys create` prints such entries"#;

/// An entry before validation, as JSON values, so that all problems can be reported at once.
#[derive(Deserialize)]
struct Draft {
    #[serde(default, deserialize_with = "given")]
    name: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    sha256: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    arn: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    scopes: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    teams: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    services: Option<Value>,
    #[serde(default, deserialize_with = "given")]
    source: Option<Value>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

/// A `null` counts as a value and is rejected: `"teams": null` must not widen a key that was meant to be limited.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// What was read so far.
#[derive(Default)]
pub(super) struct Reading {
    keys: Vec<ApiKey>,
    problems: Vec<Problem>,
    /// Where each name, and each key or caller, was first seen.
    names: HashMap<KeyName, String>,
    proofs: HashMap<Proof, String>,
}

impl Reading {
    /// The keys that were read, unless there are problems.
    pub(super) fn finish(self) -> Result<Vec<ApiKey>, Problems> {
        if self.problems.is_empty() { Ok(self.keys) } else { Err(Problems::of_settings(self.problems)) }
    }

    /// The text of a single key.
    pub(super) fn plain(&mut self, text: &str) {
        if let Some(message) = weakness(text) {
            let help = "make one with `openssl rand -hex 24`";
            self.problems.push(Problem::setting("config.weak_secret", PLAIN, message, help));
            return;
        }
        let key = ApiKey::plain(text);
        self.note(PLAIN, Some(&key.name), Some(&key.proof));
        self.keys.push(key);
    }

    fn refuse(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::setting("config.api_keys", LIST, message, help));
    }

    /// A list of hashed keys.
    pub(super) fn list(&mut self, json: &str) {
        let entries = match serde_json::from_str::<Vec<Box<RawValue>>>(json) {
            Ok(entries) => entries,
            // The error's text would show the value.
            Err(error) if error.is_data() => return self.refuse("not a JSON array of keys", EXAMPLE),
            Err(error) => return self.refuse(format!("it is not JSON: {error}"), EXAMPLE),
        };
        if entries.is_empty() {
            let help = "unset it, or add what `mergeline keys create` prints";
            self.refuse("the list is empty, so no request would be accepted", help);
        }
        for (number, entry) in (1_usize..).zip(&entries) {
            let key = self.entry(&format!("entry {number}"), entry.get());
            self.keys.extend(key);
        }
    }

    fn entry(&mut self, entry: &str, json: &str) -> Option<ApiKey> {
        if !json.starts_with('{') {
            self.refuse(format!("{entry} is not an object"), EXAMPLE);
            return None;
        }
        let draft = match serde_json::from_str::<Draft>(json) {
            Ok(draft) => draft,
            // A duplicate field. The text names the field but does not show a value.
            Err(error) => {
                self.refuse(format!("{entry}: {error}"), EXAMPLE);
                return None;
            }
        };
        for field in draft.unknown.keys() {
            self.refuse(
                format!("{entry} has a field that does not exist{}", shown(field)),
                "the fields are `name`, `sha256` or `arn`, `scopes`, `teams`, `services` and `source`",
            );
        }
        let name = self.name(entry, draft.name.as_ref());
        let proof = self.proof(entry, draft.sha256.as_ref(), draft.arn.as_ref());
        let scopes = self.scopes(entry, draft.scopes);
        let teams = self.teams(entry, draft.teams);
        let services = self.services(entry, draft.services);
        let source = self.source(entry, draft.source.as_ref());
        self.note(entry, name.as_ref(), proof.as_ref());
        Some(ApiKey {
            name: name?,
            proof: proof?,
            scopes: scopes?,
            teams: teams?,
            services: services?,
            source: source?,
        })
    }

    fn name(&mut self, entry: &str, value: Option<&Value>) -> Option<KeyName> {
        let name = value.and_then(Value::as_str).ok_or(KeyNameError).and_then(str::parse);
        name.map_err(|error| self.refuse(format!("{entry} has no valid `name`"), error.to_string())).ok()
    }

    fn proof(&mut self, entry: &str, sha256: Option<&Value>, arn: Option<&Value>) -> Option<Proof> {
        match (sha256, arn) {
            (Some(_), Some(_)) => {
                let help = "write `sha256` for a key, or `arn` for a user or role of IAM that signs its requests";
                self.refuse(format!("{entry} has a `sha256` and an `arn`"), help);
                None
            }
            (None, Some(arn)) => {
                let identity = arn.as_str().and_then(|arn| arn.parse().ok());
                if identity.is_none() {
                    let help = "write it like arn:aws:iam::123456789012:role/NAME, or with user/NAME";
                    self.refuse(format!("{entry}: `arn` is not that of a user or a role"), help);
                }
                identity.map(Proof::Caller)
            }
            (sha256, None) => self.sha256(entry, sha256).map(Proof::Key),
        }
    }

    fn sha256(&mut self, entry: &str, value: Option<&Value>) -> Option<KeyHash> {
        let help = "take it from `mergeline keys create`, or from `printf %s \"$KEY\" | sha256sum`";
        let Some(hash) = value.and_then(Value::as_str).and_then(KeyHash::from_hex) else {
            self.refuse(format!("{entry} has no `sha256` of 64 hexadecimal digits"), help);
            return None;
        };
        // A variable was unset when the hash was made: an empty header would be accepted.
        if hash == KeyHash::of(b"") {
            self.refuse(format!("{entry}: `sha256` is the hash of an empty text"), help);
            return None;
        }
        Some(hash)
    }

    fn scopes(&mut self, entry: &str, value: Option<Value>) -> Option<BTreeSet<Scope>> {
        let help = ScopeError.to_string();
        let Some(texts) = value.and_then(texts) else {
            self.refuse(format!("{entry} has no list of `scopes`, so it may do nothing"), help);
            return None;
        };
        self.parsed(&texts, &format!("{entry} has a scope that does not exist"), &help)
    }

    /// `Some(None)` for all teams.
    #[expect(clippy::option_option, reason = "the outer one says whether it can be used, as in the other fields")]
    fn teams(&mut self, entry: &str, value: Option<Value>) -> Option<Option<BTreeSet<TeamSlug>>> {
        let Some(value) = value else { return Some(None) };
        let Some(texts) = texts(value) else {
            let help = "list the slugs of teams, or omit `teams` for all of them";
            self.refuse(format!("{entry}: `teams` is not a list of teams"), help);
            return None;
        };
        let help = "write lower-case letters, digits and inner hyphens, as in the teams file";
        self.parsed(&texts, &format!("{entry} has a team that is not a slug"), help).map(Some)
    }

    /// `Some(None)` for all services.
    #[expect(clippy::option_option, reason = "the outer one says whether it can be used, as in the other fields")]
    fn services(&mut self, entry: &str, value: Option<Value>) -> Option<Option<BTreeSet<ServiceName>>> {
        let Some(value) = value else { return Some(None) };
        let help = ServiceNameError.to_string();
        let Some(texts) = texts(value) else {
            let help = "list the slugs of services, or omit `services` for all of them";
            self.refuse(format!("{entry}: `services` is not a list of services"), help);
            return None;
        };
        self.parsed(&texts, &format!("{entry} has a service that is not a slug"), &help).map(Some)
    }

    /// `Some(None)` for no source.
    #[expect(clippy::option_option, reason = "the outer one says whether it can be used, as in the other fields")]
    fn source(&mut self, entry: &str, value: Option<&Value>) -> Option<Option<KeyName>> {
        let Some(value) = value else { return Some(None) };
        let name = value.as_str().ok_or(KeyNameError).and_then(str::parse);
        name.map_err(|error| self.refuse(format!("{entry} has no valid `source`"), error.to_string())).ok().map(Some)
    }

    /// The parsed texts, unless one of them is rejected.
    fn parsed<T: FromStr + Ord>(&mut self, texts: &[String], message: &str, help: &str) -> Option<BTreeSet<T>> {
        let parse =
            |text: &String| text.parse().map_err(|_| self.refuse(format!("{message}{}", shown(text)), help)).ok();
        // Parses all of them before checking any, so that each problem is reported.
        let parsed: Vec<Option<T>> = texts.iter().map(parse).collect();
        parsed.into_iter().collect()
    }

    /// Records which entry has this name and key or caller, and rejects duplicates.
    fn note(&mut self, entry: &str, name: Option<&KeyName>, proof: Option<&Proof>) {
        if let Some(name) = name {
            match self.names.get(name) {
                Some(first) => {
                    self.refuse(format!("{entry} has the name `{name}`, as {first} has"), "give each key its own name");
                }
                None => drop(self.names.insert(name.clone(), entry.to_owned())),
            }
        }
        if let Some(proof) = proof {
            match self.proofs.get(proof) {
                Some(first) => self.refuse(
                    format!("{entry} is the same key as {first}"),
                    "remove one of them: a key has one set of scopes",
                ),
                None => drop(self.proofs.insert(proof.clone(), entry.to_owned())),
            }
        }
    }
}

/// Why a key is guessable, if it is.
fn weakness(key: &str) -> Option<String> {
    let bytes = key.as_bytes();
    let distinct: BTreeSet<u8> = bytes.iter().copied().collect();
    let is_repeated = |period: usize| bytes.chunks(period).all(|chunk| bytes.starts_with(chunk));
    let steps: BTreeSet<i16> = bytes.windows(2).map(|pair| i16::from(pair[1]) - i16::from(pair[0])).collect();
    if bytes.len() < MIN_KEY_LENGTH {
        Some(format!("it is shorter than {MIN_KEY_LENGTH} characters"))
    } else if distinct.len() < MIN_DISTINCT {
        Some(format!("it has fewer than {MIN_DISTINCT} different characters"))
    } else if (1..=bytes.len() / 2).any(is_repeated) {
        Some("it repeats a part of itself".to_owned())
    } else if steps.len() == 1 {
        Some("it counts up or down".to_owned())
    } else if surprises(key) < MIN_SURPRISES {
        Some("it consists of common words, sequences and repetitions".to_owned())
    } else {
        None
    }
}

/// The number of characters in a key that do not follow from earlier ones, as in a sequence or a repetition, and that
/// are outside placeholder words.
fn surprises(key: &str) -> usize {
    let key = PLACEHOLDERS.iter().fold(key.to_lowercase(), |rest, word| rest.replace(word, ""));
    let bytes = key.as_bytes();
    let follows = |one: u8, next: u8| {
        one == next
            || SEQUENCES.iter().any(|sequence| {
                let place = |byte: u8| sequence.bytes().position(|other| other == byte);
                let (Some(one), Some(next)) = (place(one), place(next)) else { return false };
                (one + 1) % sequence.len() == next || (next + 1) % sequence.len() == one
            })
    };
    let is_repeated = |end: usize| end >= 2 && bytes[..end].windows(3).any(|part| part == &bytes[end - 2..=end]);
    let is_surprise = |end: &usize| !((*end > 0 && follows(bytes[end - 1], bytes[*end])) || is_repeated(*end));
    (0..bytes.len()).filter(is_surprise).count()
}

/// A nonempty list of texts.
fn texts(value: Value) -> Option<Vec<String>> {
    serde_json::from_value(value).ok().filter(|texts: &Vec<String>| !texts.is_empty())
}

/// An invalid text, if it is safe to show: a text as long as a key may be a misplaced key.
fn shown(text: &str) -> String {
    if text.len() < MIN_KEY_LENGTH { format!(": `{text}`") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::super::ApiKeys;
    use super::super::tests::{KEY, OTHER, entry, hash};
    use super::*;

    /// The problems, one per line. Known secrets must not appear in them.
    fn refused(json: &str) -> Vec<String> {
        let problems = ApiKeys::parse(json).expect_err("refused");
        for secret in [hash(KEY), hash(OTHER), KEY.to_owned(), OTHER.to_owned()] {
            assert!(!format!("{problems} {problems:?}").contains(&secret), "{problems}");
        }
        assert!(problems.list.iter().all(|it| it.code == "config.api_keys" && it.path == LIST), "{problems:?}");
        problems.list.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn an_invalid_key_list_is_refused_and_hidden() {
        for (json, said) in [
            ("", "it is not JSON: EOF while parsing a value at line 1 column 0"),
            (KEY, "it is not JSON: invalid number at line 1 column 2"),
            ("[{]", "it is not JSON: key must be a string at line 1 column 3"),
            (&format!("\"{OTHER}\""), "not a JSON array of keys"),
            (&entry("grafana", KEY, r#""scopes":["admin"]"#), "not a JSON array of keys"),
            ("null", "not a JSON array of keys"),
            ("[]", "the list is empty, so no request would be accepted"),
            (&format!("[\"{OTHER}\"]"), "entry 1 is not an object"),
            (r#"[["grafana"]]"#, "entry 1 is not an object"),
            (
                &format!("[{}]", entry("grafana", KEY, r#""scopes":["admin"],"scopes":["metrics:read"]"#)),
                "entry 1: duplicate field `scopes`",
            ),
        ] {
            let found = refused(json);
            assert!(found.len() == 1 && found[0].starts_with(said), "{json}: {found:?}");
        }
    }

    #[test]
    fn all_problems_of_a_list_are_reported_together() {
        let json = format!(
            r#"[{{}},
            {{"name":"a b","sha256":"{OTHER}","scopes":"admin","teams":[],"scope":1,"{KEY}":2}},
            {{"name":"ops","sha256":"{}","scopes":["write","{OTHER}","admin"],"teams":["Payments","web","{}"]}},
            {{"name":"ops","sha256":"{}","scopes":[],"teams":null}},
            {{"name":7,"sha256":"{}","scopes":["admin",1],"teams":"web"}}]"#,
            hash(KEY),
            hash(OTHER),
            hash(KEY).to_uppercase(),
            hash(""),
        );
        assert_eq!(
            refused(&json),
            [
                "entry 1 has no valid `name`",
                "entry 1 has no `sha256` of 64 hexadecimal digits",
                "entry 1 has no list of `scopes`, so it may do nothing",
                "entry 2 has a field that does not exist",
                "entry 2 has a field that does not exist: `scope`",
                "entry 2 has no valid `name`",
                "entry 2 has no `sha256` of 64 hexadecimal digits",
                "entry 2 has no list of `scopes`, so it may do nothing",
                "entry 2: `teams` is not a list of teams",
                "entry 3 has a scope that does not exist: `write`",
                "entry 3 has a scope that does not exist",
                "entry 3 has a team that is not a slug: `Payments`",
                "entry 3 has a team that is not a slug",
                "entry 4 has no list of `scopes`, so it may do nothing",
                "entry 4: `teams` is not a list of teams",
                "entry 4 has the name `ops`, as entry 3 has",
                "entry 4 is the same key as entry 3",
                "entry 5 has no valid `name`",
                "entry 5: `sha256` is the hash of an empty text",
                "entry 5 has no list of `scopes`, so it may do nothing",
                "entry 5: `teams` is not a list of teams",
            ]
        );
    }

    #[test]
    fn an_entry_is_for_a_key_or_for_a_caller() {
        let role = "arn:aws:iam::123456789012:role/grafana";
        let both = format!(r#"[{{"name":"a","sha256":"{}","arn":"{role}","scopes":["admin"]}}]"#, hash(KEY));
        assert_eq!(refused(&both), ["entry 1 has a `sha256` and an `arn`"]);
        for arn in
            [r#""arn:aws:iam::123456789012:role/*""#, r#""arn:aws:iam::123456789012:root""#, r#""*""#, "null", "7"]
        {
            let list = format!(r#"[{{"name":"a","arn":{arn},"scopes":["admin"]}}]"#);
            assert_eq!(refused(&list), ["entry 1: `arn` is not that of a user or a role"], "{arn}");
        }
        let again = role.replace("role/", "role/tools/");
        let twice = format!(
            r#"[{{"name":"a","arn":"{role}","scopes":["admin"]}},{{"name":"b","arn":"{again}","scopes":["metrics:read"]}}]"#
        );
        assert_eq!(refused(&twice), ["entry 2 is the same key as entry 1"]);
    }

    const GUESSABLE: &str = "it consists of common words, sequences and repetitions";

    #[test]
    fn random_keys_of_24_bytes_or_more_pass() {
        // What `openssl rand -hex 24` and `-base64 24` print, from a generator with fixed seeds.
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 40).unwrap_or_default()
        };
        let base64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for (digits, length) in [(&b"0123456789abcdef"[..], 48), (&base64[..], 32)] {
            for _ in 0..10_000 {
                let key: String = (0..length).map(|_| char::from(digits[random() % digits.len()])).collect();
                assert_eq!(weakness(&key), None, "{key}");
            }
        }
    }

    #[test]
    fn a_guessable_key_is_refused_and_hidden() {
        for (key, said) in [
            ("s3cret", "it is shorter than 16 characters"),
            (&"a".repeat(16), "it has fewer than 6 different characters"),
            (&"0".repeat(64), "it has fewer than 6 different characters"),
            ("ababababababababab", "it has fewer than 6 different characters"),
            ("abcdefabcdefabcdef", "it repeats a part of itself"),
            ("changemechangeme", "it repeats a part of itself"),
            ("secret-1secret-1sec", "it repeats a part of itself"),
            ("abcdefghijklmnop", "it counts up or down"),
            ("ponmlkjihgfedcba", "it counts up or down"),
            ("1234567890123456", GUESSABLE),
            ("0123456789abcdef", GUESSABLE),
            ("FEDCBA9876543210", GUESSABLE),
            (&format!("{}abcde", "z".repeat(58)), GUESSABLE),
            ("changemechangeme1", GUESSABLE),
            ("my-secret-api-key", GUESSABLE),
            ("Password123456789", GUESSABLE),
            ("qwertyuiopasdfgh", GUESSABLE),
            ("xk7q-xk7q-xk7q-xk7q-1", GUESSABLE),
        ] {
            let problems =
                ApiKeys::from_vars(|name| (name == PLAIN).then(|| key.to_owned())).expect_err("refused").list;
            let found: Vec<_> = problems.iter().map(|it| (it.code, it.message.as_str())).collect();
            assert_eq!(found, [("config.weak_secret", said)], "{key}");
            assert!(!format!("{problems:?}").contains(key), "{key}");
        }
        // Sixteen digits are the shortest random key.
        for key in [
            KEY,
            OTHER,
            "7d1f0a93c2b85e64",
            "a-key-of-sixteen-or-more",
            "c41d8cd98f00b204e9800998ecf8427e",
            "zX9-test-Qw3rLp0vN8mB",
        ] {
            assert!(ApiKeys::from_vars(|name| (name == PLAIN).then(|| key.to_owned())).is_ok(), "{key}");
        }
    }

    #[test]
    fn problems_say_what_to_do() {
        let problems = ApiKeys::parse(r#"[{"name":"grafana","sha256":"","scopes":["write"]}]"#).expect_err("refused");
        insta::assert_snapshot!(problems, @r#"
        API_KEYS: config.api_keys: entry 1 has no `sha256` of 64 hexadecimal digits
          help: take it from `mergeline keys create`, or from `printf %s "$KEY" | sha256sum`
        API_KEYS: config.api_keys: entry 1 has a scope that does not exist: `write`
          help: the scopes are `metrics:read`, `prs:read`, `admin`, `events:write`
        "#);
    }

    #[test]
    fn the_plain_key_cannot_also_be_listed() {
        let list = format!("[{}]", entry("API_KEY", KEY, r#""scopes":["metrics:read"]"#));
        let lookup = |name: &str| Some(if name == PLAIN { KEY.to_owned() } else { list.clone() });
        let problems = ApiKeys::from_vars(lookup).expect_err("refused").list;
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, ["entry 1 has the name `API_KEY`, as API_KEY has", "entry 1 is the same key as API_KEY"]);
    }
}
