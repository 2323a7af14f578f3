//! Problems in a person's input: where, why, and what to do.

use std::fmt::{self, Write};
use std::ops::RangeInclusive;

use serde::Serialize;

/// A position in a text. Line and column are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One problem in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// A stable code, for example `config.weight_range`.
    pub code: &'static str,
    /// Where in the text, if there is one.
    pub at: Option<Position>,
    /// The path of the value, `teams[0].members[1].weight`, or the name of the variable.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// A related position.
    pub related: Option<Position>,
}

impl Problem {
    /// A problem with a setting, which has no surrounding text.
    pub fn setting(code: &'static str, name: &str, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { code, at: None, path: name.to_owned(), message: message.into(), help: Some(help.into()), related: None }
    }
}

/// An error with its causes on one line. A cause that is already in the text is not repeated.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// An integer setting within bounds; `default` if it is not set.
///
/// # Errors
/// `config.range` for any other value, with the bounds.
pub fn bounded_integer(
    lookup: impl Fn(&str) -> Option<String>,
    name: &str,
    bounds: RangeInclusive<u16>,
    default: u16,
) -> Result<u16, Problem> {
    let Some(text) = lookup(name) else { return Ok(default) };
    text.trim().parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
        let help = format!("write a whole number from {} to {}, or unset it", bounds.start(), bounds.end());
        let is_number = text.trim().parse::<i64>().is_ok();
        let message = if is_number { "is out of range" } else { "is not a whole number" };
        let help = match days_of(&text).filter(|days| name.ends_with("_DAYS") && bounds.contains(days)) {
            Some(days) => format!("write the days, without a word: {days}"),
            None => help,
        };
        Problem::setting("config.range", name, format!("`{text}` {message}"), help)
    })
}

/// The number of days in a duration given in words: `6 months`.
fn days_of(text: &str) -> Option<u16> {
    let text = text.trim();
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let count: u32 = text[..text.len() - unit.len()].parse().ok()?;
    let hours_each: u32 = match unit.trim().to_lowercase().trim_end_matches('s') {
        "d" | "day" => 24,
        "w" | "week" => 7 * 24,
        "m" | "month" => 730,
        "y" | "year" => 365 * 24,
        _ => return None,
    };
    u16::try_from(count.checked_mul(hours_each)?.div_ceil(24)).ok()
}

/// Every problem in one source of configuration, shown together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file or variable.
    pub source: String,
    /// Its text, for the lines quoted under each problem.
    pub text: String,
    /// The problems in the order of the text.
    pub list: Vec<Problem>,
}

impl Problems {
    /// Problems with settings, which have no text.
    pub fn of_settings(list: Vec<Problem>) -> Self {
        Self { source: "environment".to_owned(), text: String::new(), list }
    }

    /// The code of the first problem, for outputs that have room for one.
    pub fn code(&self) -> &'static str {
        self.list.first().map_or("config", |problem| problem.code)
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self::of_settings(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<&str> = self.text.lines().collect();
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            self.write_problem(f, problem, &lines)?;
        }
        Ok(())
    }
}

impl Problems {
    /// Longer lines are cut, because a minified file is a single line.
    const SHOWN_COLUMNS: usize = 120;

    fn write_problem(&self, f: &mut fmt::Formatter<'_>, problem: &Problem, lines: &[&str]) -> fmt::Result {
        let Problem { code, at, path, message, help, related } = problem;
        let (source, path, message) = (TerminalSafe(&self.source), TerminalSafe(path), TerminalSafe(message));
        match at {
            Some(at) => write!(f, "{source}:{at}: {code}: {message}")?,
            None if path.0.is_empty() => write!(f, "{source}: {code}: {message}")?,
            None => write!(f, "{path}: {code}: {message}")?,
        }
        if at.is_some() && !path.0.is_empty() {
            write!(f, "\n  at {path}")?;
        }
        if let Some(at) = at
            && let Some(line) = lines.get(at.line - 1)
            && at.column <= Self::SHOWN_COLUMNS
        {
            let shown: String = line.chars().take(Self::SHOWN_COLUMNS).collect();
            write!(f, "\n  {:>4} | {}", at.line, TerminalSafe(&shown))?;
            write!(f, "\n       | {}^", " ".repeat(at.column - 1))?;
        }
        if let Some(related) = related {
            write!(f, "\n  see also {source}:{related}")?;
        }
        if let Some(help) = help {
            // The first sentence may be followed by lines to copy.
            for (index, line) in help.lines().enumerate() {
                let lead = if index == 0 { "help: " } else { "      " };
                write!(f, "\n  {lead}{}", TerminalSafe(line))?;
            }
        }
        Ok(())
    }
}

/// Untrusted text with control characters replaced. Each character keeps its column.
struct TerminalSafe<'a>(&'a str);

impl fmt::Display for TerminalSafe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\t' => f.write_char(' '),
            other if other.is_control() => f.write_char(char::REPLACEMENT_CHARACTER),
            other => f.write_char(other),
        })
    }
}
