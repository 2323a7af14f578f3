//! Text without hidden bidirectional controls.

use std::io::{self, Write};

/// Writes text so that nothing in it reorders how the rest is displayed. Bidirectional controls such as U+202E (Unicode
/// Annex 9) are written as escapes, for example `\u202e`, which is also valid in JSON. Each write must have whole
/// characters.
#[derive(Debug)]
pub struct Visible<W>(pub W);

impl<W: Write> Write for Visible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while let Some((at, length, escape)) = first_control(rest) {
            self.0.write_all(&rest[..at])?;
            self.0.write_all(escape.as_bytes())?;
            rest = &rest[at + length..];
        }
        self.0.write_all(rest)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The position of the first bidirectional control, its length in bytes, and its escape.
fn first_control(bytes: &[u8]) -> Option<(usize, usize, String)> {
    (0..bytes.len()).find_map(|at| {
        let (length, code) = match bytes.get(at..)? {
            [0xd8, 0x9c, ..] => (2, 0x061c),
            [0xe2, 0x80, last @ (0x8e | 0x8f | 0xaa..=0xae), ..] => (3, 0x2000 + u32::from(last - 0x80)),
            [0xe2, 0x81, last @ 0xa6..=0xa9, ..] => (3, 0x2040 + u32::from(last - 0x80)),
            _ => return None,
        };
        Some((at, length, format!("\\u{code:04x}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = Visible(Vec::new());
        out.write_all(text.as_bytes()).expect("memory");
        String::from_utf8(out.0).expect("text")
    }

    #[test]
    fn only_bidirectional_control_characters_are_escaped() {
        assert_eq!(written("safe\u{202e}txt.exe"), "safe\\u202etxt.exe");
        let controls = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}'];
        for control in controls.into_iter().chain('\u{2066}'..='\u{2069}') {
            let expected = format!("a\\u{:04x}b", u32::from(control));
            assert_eq!(written(&format!("a{control}b")), expected);
        }
        let others: String = ('\u{20}'..='\u{2fff}').filter(|c| !written(&c.to_string()).starts_with("\\u")).collect();
        assert_eq!((written(&others), others.chars().count()), (others.clone(), 0x2fff - 0x20 + 1 - 12));
        assert_eq!(written("שלום עולם, مرحبا, 日本, 🦀 \u{200b}"), "שלום עולם, مرحبا, 日本, 🦀 \u{200b}");
    }
}
