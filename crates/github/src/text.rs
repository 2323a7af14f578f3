//! Text in GitHub's JSON, which is what people wrote.

use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// More than any title, login or branch has.
const MAX_BYTES: usize = 1_024;
/// The longest known sentence of GitHub's about a failure has 230 characters.
pub(crate) const MAX_SENTENCE: usize = 300;

/// Text that only describes: it never makes an answer unreadable.
///
/// JSON can escape half a surrogate pair (`\ud83d`), and GitHub does so for a title that was cut in the middle of an emoji.
/// No Rust string can hold one: it becomes the replacement character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    /// As it may be shown and stored, see [`clean`].
    pub(crate) fn clean(&self) -> String {
        clean(&self.0)
    }

    /// The same, of text that is needed no more.
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
        // As bytes, since `serde_json` refuses half a pair for a string, and writes it as if it were a character for bytes.
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

/// Replaces what half a surrogate pair is written as: three bytes that no UTF-8 has, and so many has the replacement.
fn with_halves_replaced(bytes: &[u8]) -> Vec<u8> {
    let mut replaced = bytes.to_vec();
    let mut rest = &mut replaced[..];
    while let Some(at) = rest.windows(3).position(|three| matches!(three, [0xed, 0xa0..=0xbf, 0x80..=0xbf])) {
        rest[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        rest = &mut rest[at + 3..];
    }
    replaced
}

/// As much of what GitHub says about a failure as an error of ours has, of text that is clean.
pub(crate) fn sentence(clean: &str) -> String {
    clean.chars().take(MAX_SENTENCE).collect()
}

/// At most 1 kB without control characters: PostgreSQL refuses NUL, and terminals obey the others.
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

/// Whether text is surely as [`clean`] would leave it, by a quick look: 0xc2 begins control characters, and others.
fn is_clean(text: &str) -> bool {
    text.len() <= MAX_BYTES && text.bytes().all(|byte| byte >= b' ' && byte != 0x7f && byte != 0xc2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cleaned_alike_whether_it_is_needed_any_more_or_not() {
        for text in ["Fix it", "a\u{0}b", "tab\tand\n", "\u{7f}", "c1 \u{85}", "café °", "🚀", &"ü".repeat(600), ""]
        {
            assert_eq!(Text(text.to_owned()).into_clean(), clean(text), "{text:?}");
        }
    }

    fn read(json: &str) -> Option<String> {
        serde_json::from_str::<Text>(json).ok().map(|text| text.0)
    }

    #[test]
    fn g16_each_half_of_a_surrogate_pair_is_replaced_and_whole_pairs_stay() {
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
    fn g15_what_is_not_a_string_or_not_utf8_is_not_text() {
        for json in ["null", "7", "[1, 2]", "{}", "\"\\x\""] {
            assert_eq!(read(json), None, "{json}");
        }
        assert!(serde_json::from_slice::<Text>(b"\"\xff\"").is_err());
        assert!(serde_json::from_slice::<Text>(b"\"caf\xe9\"").is_err(), "Latin-1");
    }
}
