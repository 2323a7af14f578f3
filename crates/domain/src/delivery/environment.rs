//! Which environments mean production.

use std::fmt;

use glob::{MatchOptions, Pattern};

/// The default names of production.
const PRODUCTION_NAMES: [&str; 3] = ["production", "prod", "live"];

/// What may follow one of these names.
const SEPARATORS: [char; 5] = ['-', '_', '/', '.', ' '];

/// Environments that mean one thing to users.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EnvironmentGroup {
    /// What users work with. The metrics are about it.
    Production,
    /// Environments that do not last, such as previews.
    Transient,
    /// Any other environment, by its name in lowercase.
    Other(String),
}

impl fmt::Display for EnvironmentGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Production => f.write_str("production"),
            Self::Transient => f.write_str("transient"),
            Self::Other(name) => write!(f, "other:{name}"),
        }
    }
}

/// An environment as a source tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Environment<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether its creator says that users work with it. Many tools set this wrongly.
    pub is_production: Option<bool>,
    /// Whether its creator says that it does not last.
    pub is_transient: bool,
}

/// The environments that mean production. Case does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentRules {
    /// Names and patterns; `None` for the default names.
    pub production: Option<Vec<Pattern>>,
    /// Whether an environment's flag decides, and not its name.
    pub trusts_flag: bool,
}

impl EnvironmentRules {
    /// The group that an environment belongs to. A transient one is never production.
    pub fn group_of(&self, environment: Environment<'_>) -> EnvironmentGroup {
        let name = environment.name.to_lowercase();
        if environment.is_transient {
            return EnvironmentGroup::Transient;
        }
        let is_production =
            if self.trusts_flag { environment.is_production == Some(true) } else { self.is_production(&name) };
        if is_production { EnvironmentGroup::Production } else { EnvironmentGroup::Other(name) }
    }

    fn is_production(&self, name: &str) -> bool {
        let ignoring_case = MatchOptions { case_sensitive: false, ..MatchOptions::new() };
        match &self.production {
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches_with(name, ignoring_case)),
            None => PRODUCTION_NAMES.iter().any(|default| {
                name.strip_prefix(default).is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATORS))
            }),
        }
    }
}
