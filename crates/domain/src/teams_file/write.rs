//! Writes teams as the YAML of a teams file.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

use super::{MemberEntry, TeamEntry};
use crate::names::is_invisible;
use crate::{Forge, Weight, start_of_day};

/// Where lines of comments are broken.
const COMMENT_COLUMNS: usize = 110;
/// The most characters of a display name.
pub(super) const MAX_NAME_CHARS: usize = 100;
/// Plain words that YAML, in one of its versions, does not read as text.
const NOT_TEXT: [&str; 10] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan"];

/// The first line of a file, by which editors find the schema.
pub(super) const SCHEMA_LINE: &str = "# yaml-language-server: $schema=https://raw.githubusercontent.com/mergeline/mergeline/main/docs/teams.schema.json\n";

/// A text as a YAML value that every parser reads as this text: plain if it is a simple word, else in quotes.
pub(super) fn scalar(text: &str) -> String {
    let is_simple = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/' | '*'))
        && !text.ends_with(' ')
        && !NOT_TEXT.contains(&text.to_ascii_lowercase().as_str());
    // A JSON string is a YAML string.
    if is_simple { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// A display name as a file may have it: one line without invisible characters. `None` if nothing is left.
pub(super) fn display_name(text: &str) -> Option<String> {
    let visible: String = text
        .chars()
        .map(|c| if c.is_whitespace() || c == '\u{a0}' { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .collect();
    let name: String = visible.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_NAME_CHARS).collect();
    let name = name.trim_end();
    (!name.is_empty()).then(|| name.to_owned())
}

/// An instant as the file has it: a date if a day starts then in the zone.
fn instant(at: DateTime<Utc>, zone: Tz) -> String {
    let date = at.with_timezone(&zone).date_naive();
    if start_of_day(date, zone) == at { date.to_string() } else { at.to_rfc3339_opts(SecondsFormat::AutoSi, true) }
}

impl MemberEntry {
    /// The line's mapping, `{ github: alice, weight: 0.5 }`, in a file with this time zone.
    pub fn to_yaml(&self, zone: Tz) -> String {
        let mut fields = Vec::new();
        for login in self.logins() {
            let key = match login.forge() {
                Forge::GitHub => "github",
                Forge::GitLab => "gitlab",
            };
            fields.push(format!("{key}: {}", scalar(login.as_str())));
        }
        fields.extend(self.external_id.as_ref().map(|id| format!("id: {id}")));
        if self.weight != Weight::FULL {
            fields.push(format!("weight: {}", self.weight));
        }
        fields.extend(self.period.from().map(|at| format!("from: {}", instant(at, zone))));
        fields.extend(self.period.to().map(|at| format!("to: {}", instant(at, zone))));
        format!("{{ {} }}", fields.join(", "))
    }
}

impl TeamEntry {
    /// The team as an item of the file's list `teams`, indented by two blanks, in a file with this time zone.
    pub fn to_yaml(&self, zone: Tz) -> String {
        let mut yaml = format!("  - slug: {}\n", scalar(self.slug.as_str()));
        if let Some(former) = &self.renamed_from {
            let _ = writeln!(yaml, "    renamed_from: {}", scalar(former.as_str()));
        }
        if self.name != self.slug.as_str() {
            let _ = writeln!(yaml, "    name: {}", scalar(&self.name));
        }
        if self.members.is_empty() {
            yaml.push_str("    members: []\n");
            return yaml;
        }
        yaml.push_str("    members:\n");
        for member in &self.members {
            let _ = writeln!(yaml, "      - {}", member.to_yaml(zone));
        }
        yaml
    }
}

/// A text as lines of comments.
pub(super) fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > COMMENT_COLUMNS {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}
