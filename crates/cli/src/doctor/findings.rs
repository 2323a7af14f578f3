//! The findings, printed as they come or as JSON at the end.

use std::io::Write;
use std::process::ExitCode;

use crate::failure::{BAD_INPUT, FAILED, Failure};
use crate::tables::wrapped_for_people;
use crate::terminal;
use mergeline_domain::count_of;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Ok,
    Warning,
    Error,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// What was found, on one line.
    pub(super) message: String,
    /// What to do about it.
    pub(super) remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(name: impl Into<String>, message: impl AsRef<str>) -> Self {
        Self::new(name, Outcome::Ok, message, None)
    }

    pub(super) fn warning(name: impl Into<String>, message: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self::new(name, Outcome::Warning, message, Some(remedy.as_ref()))
    }

    pub(super) fn error(name: impl Into<String>, message: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self::new(name, Outcome::Error, message, Some(remedy.as_ref()))
    }

    pub(super) fn new(
        name: impl Into<String>,
        outcome: Outcome,
        message: impl AsRef<str>,
        remedy: Option<&str>,
    ) -> Self {
        let remedy = remedy.filter(|remedy| !remedy.is_empty()).map(on_one_line);
        Self { name: name.into(), outcome, message: on_one_line(message.as_ref()), remedy }
    }

    fn as_json(&self) -> serde_json::Value {
        let Self { name, outcome, message, remedy } = self;
        serde_json::json!({ "name": name, "state": outcome.as_str(), "message": message, "remedy": remedy })
    }
}

fn on_one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Findings {
    is_json: bool,
    checks: Vec<Check>,
}

impl Findings {
    pub(super) fn new(is_json: bool) -> Self {
        Self { is_json, checks: Vec::new() }
    }

    /// Adds a check and prints it right away, because checking many repositories takes a while.
    pub(super) fn add(&mut self, check: Check) -> Result<(), Failure> {
        if !self.is_json {
            let mut out = terminal::stdout();
            let remedy = check.remedy.as_ref().map(|remedy| format!("; help: {remedy}"));
            let (outcome, remedy) = (check.outcome.as_str(), remedy.unwrap_or_default());
            let line = format!("{outcome:<7}  {}: {}{remedy}", check.name, check.message);
            writeln!(out, "{}", wrapped_for_people(&line, 9))?;
        }
        self.checks.push(check);
        Ok(())
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.checks.iter().filter(|check| check.outcome == outcome).count()
    }

    /// Prints the JSON or the totals. Returns the exit code.
    pub(super) fn finish(self) -> Result<ExitCode, Failure> {
        let mut out = terminal::stdout();
        let errors = self.count(Outcome::Error);
        if self.is_json {
            let checks: Vec<_> = self.checks.iter().map(Check::as_json).collect();
            writeln!(out, "{}", serde_json::json!({ "checks": checks }))?;
        } else {
            let (ok, warnings) = (self.count(Outcome::Ok), self.count(Outcome::Warning));
            writeln!(out, "\n{ok} ok, {}, {}", count_of(warnings, "warning"), count_of(errors, "error"))?;
        }
        let is_input =
            |check: &Check| check.outcome == Outcome::Error && matches!(check.name.as_str(), "settings" | "teams file");
        Ok(match errors {
            0 => ExitCode::SUCCESS,
            _ if self.checks.iter().any(is_input) => ExitCode::from(BAD_INPUT),
            _ => ExitCode::from(FAILED),
        })
    }
}
