//! User-written text in GitHub's JSON.

use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Longer than any title, login or branch.
const MAX_BYTES: usize = 900;
/// The longest known error message from GitHub has 230 characters.
pub(crate) const MAX_SENTENCE: usize = 300;

/// Descriptive text. It never makes a response undecodable.
///
/// JSON can escape half a surrogate pair (`\ud83d`). GitHub sends that for a title that was cut in the middle of an
/// emoji. A Rust string cannot hold one, so it becomes the replacement character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    /// The text, safe for display and storage, see [`clean`].
    pub(crate) fn clean(&self) -> String {
        clean(&self.0)
    }

    /// Like `clean`, but consumes the text.
    pub(crate) fn into_clean(self) -> String {
        if is_clean(&self.0) { self.0 } else { clean(&self.0) }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Read as bytes: `serde_json` refuses half a pair in a string, but passes it through encoded like a character
        // in bytes.
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text, E> {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return Ok(Text(text.to_owned()));
        }
        String::from_utf8(with_halves_replaced(bytes)).map(Text).map_err(|_| E::custom("a string is not UTF-8"))
    }
}

/// Replaces each half of a surrogate pair. It is encoded in three bytes that UTF-8 does not allow; the replacement
/// also has three.
fn with_halves_replaced(bytes: &[u8]) -> Vec<u8> {
    let mut replaced = bytes.to_vec();
    let mut rest = &mut replaced[..];
    while let Some(at) = rest.windows(3).position(|three| matches!(three, [0xed, 0xa0..=0xbf, 0x80..=0xbf])) {
        rest[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        rest = &mut rest[at + 3..];
    }
    replaced
}

/// GitHub's error message, cut to the length that our errors carry. The text must be clean.
pub(crate) fn sentence(clean: &str) -> String {
    clean.chars().take(MAX_SENTENCE).collect()
}

/// At most 1 kB without control characters: PostgreSQL refuses NUL, and terminals interpret the others.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len().min(MAX_BYTES));
    for character in text.chars().filter(|character| !character.is_control()) {
        if clean.len() + character.len_utf8() > MAX_BYTES {
            break;
        }
        clean.push(character);
    }
    clean
}

/// A quick check whether [`clean`] would leave the text unchanged. 0xc2 starts control characters, among others.
fn is_clean(text: &str) -> bool {
    text.len() <= MAX_BYTES && text.bytes().all(|byte| byte >= b' ' && byte != 0x7f && byte != 0xc2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_cleaning_text_agree() {
        for text in ["Fix it", "a\u{0}b", "tab\tand\n", "\u{7f}", "c1 \u{85}", "café °", "🚀", &"ü".repeat(600), ""]
        {
            assert_eq!(Text(text.to_owned()).into_clean(), clean(text), "{text:?}");
        }
    }

    fn read(json: &str) -> Option<String> {
        serde_json::from_str::<Text>(json).ok().map(|text| text.0)
    }

    #[test]
    fn g16_only_half_surrogate_pairs_are_replaced() {
        for (json, text) in [
            (r#""Fix \ud83d""#, "Fix \u{fffd}"),
            (r#""\ude80 and \uD83D\u0041""#, "\u{fffd} and \u{fffd}A"),
            (r#""\ud83d\ud83d\ude80""#, "\u{fffd}🚀"),
            (r#""\ud83d\ude80 ü 🚀 \n""#, "🚀 ü 🚀 \n"),
            (r#""""#, ""),
        ] {
            assert_eq!(read(json).as_deref(), Some(text), "{json}");
        }
    }

    #[test]
    fn g15_text_must_be_a_utf8_string() {
        for json in ["null", "7", "[1, 2]", "{}", "\"\\x\""] {
            assert_eq!(read(json), None, "{json}");
        }
        assert!(serde_json::from_slice::<Text>(b"\"\xff\"").is_err());
        assert!(serde_json::from_slice::<Text>(b"\"caf\xe9\"").is_err(), "Latin-1");
    }
}
