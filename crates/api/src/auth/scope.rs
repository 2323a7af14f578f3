//! Scopes of keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a key may be used for. `admin` includes all others, and `prs:read` includes `metrics:read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    /// `metrics:read`: the numbers of teams.
    MetricsRead,
    /// `prs:read`: pull requests and people.
    PrsRead,
    /// `admin`: the state of the collection.
    Admin,
    /// `events:write`: posting deployments and incidents, and reading nothing.
    EventsWrite,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::MetricsRead, Self::PrsRead, Self::Admin, Self::EventsWrite];

    /// The scope's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MetricsRead => "metrics:read",
            Self::PrsRead => "prs:read",
            Self::Admin => "admin",
            Self::EventsWrite => "events:write",
        }
    }

    /// Whether this scope includes `other`.
    pub fn implies(self, other: Self) -> bool {
        match (self, other) {
            (Self::Admin, _) | (Self::EventsWrite, Self::EventsWrite) => true,
            (Self::EventsWrite, _) | (_, Self::EventsWrite) => false,
            _ => self >= other,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Not a valid scope. The text is not shown, because in a list of keys it may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeError;

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Scope::ALL.map(|scope| format!("`{scope}`"));
        write!(f, "the scopes are {}", known.join(", "))
    }
}

impl std::error::Error for ScopeError {}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(ScopeError)
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;

    fn try_from(text: String) -> Result<Self, ScopeError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_allows_everything_and_writing_no_reading() {
        let allowed = |scope: Scope| Scope::ALL.map(|other| scope.implies(other));
        assert_eq!(allowed(Scope::MetricsRead), [true, false, false, false]);
        assert_eq!(allowed(Scope::PrsRead), [true, true, false, false]);
        assert_eq!(allowed(Scope::Admin), [true; 4]);
        assert_eq!(allowed(Scope::EventsWrite), [false, false, false, true]);
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for other in ["", "metrics:write", "Admin", " admin", "*"] {
            assert_eq!(other.parse::<Scope>(), Err(ScopeError), "{other}");
        }
    }

    #[test]
    fn scopes_use_their_names_in_json() -> Result<(), serde_json::Error> {
        let json = r#"["metrics:read","prs:read","admin","events:write"]"#;
        assert_eq!(serde_json::from_str::<[Scope; 4]>(json)?, Scope::ALL);
        assert_eq!(serde_json::to_string(&Scope::ALL)?, json);
        assert!(serde_json::from_str::<Scope>(r#""write""#).is_err());
        Ok(())
    }
}
