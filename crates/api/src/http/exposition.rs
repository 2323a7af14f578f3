//! The text format of Prometheus (version 0.0.4).

use std::fmt::Write as _;

/// The media type with the version, as Prometheus expects it.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Gauges, written one after the other.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Begins the gauge `name`, whose samples follow. Names of the format are letters, digits and `_`.
    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) -> Gauge<'_> {
        let _ = write!(self.0, "# HELP {name} ");
        // Unlike in label values, quotes stay as they are.
        escape(&mut self.0, help, false);
        let _ = writeln!(self.0, "\n# TYPE {name} gauge");
        Gauge { text: &mut self.0, name }
    }

    /// The whole text.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

/// A gauge whose samples are being written.
#[derive(Debug)]
pub(crate) struct Gauge<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Gauge<'_> {
    /// Adds a sample. The values of labels may be any text; each set of labels occurs once.
    pub(crate) fn sample(&mut self, labels: &[(&'static str, &str)], value: f64) {
        self.text.push_str(self.name);
        for (place, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.text, "{}{label}=\"", if place == 0 { '{' } else { ',' });
            escape(self.text, text, true);
            self.text.push('"');
        }
        let _ = writeln!(self.text, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// Adds a sample if there is a value: where nothing is known there is no sample, never a 0.
    pub(crate) fn known(&mut self, labels: &[(&'static str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.sample(labels, value);
        }
    }
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_within_their_line_and_quotes() {
        let mut text = Exposition::default();
        let mut gauge = text.gauge("a", "\\ \"two\nlines\"");
        gauge.sample(&[("b", "\\n\n\"} 7"), ("c", "")], 0.25);
        gauge.known(&[], Some(3_000_000_000.0));
        gauge.known(&[], None);
        assert_eq!(
            String::from_utf8(text.into_bytes()).expect("text"),
            "# HELP a \\\\ \"two\\nlines\"\n# TYPE a gauge\na{b=\"\\\\n\\n\\\"} 7\",c=\"\"} 0.25\na 3000000000\n"
        );
    }
}
