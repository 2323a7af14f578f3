//! Names that GitHub and the teams file use, parsed once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The numeric id of an account, a repository or a pull request at GitHub. Larger than 2^31 in practice.
pub type GithubId = i64;

/// Why a name was refused, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NameError {
    /// What is wrong with it.
    pub reason: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl NameError {
    fn new(reason: impl Into<String>, suggestion: Option<String>) -> Self {
        Self { reason: reason.into(), suggestion }
    }
}

/// A GitHub login: compared and kept without case, `[bot]` suffix included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Login(String);

impl Login {
    /// GitHub's limit for the part before `[bot]`.
    const MAX_LEN: usize = 39;

    /// The login as GitHub sent it. Never refused: what GitHub says exists, exists. Without NUL, which no database keeps.
    pub fn from_github(text: &str) -> Self {
        Self(text.replace('\0', "").to_ascii_lowercase())
    }

    /// The login in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Login {
    type Err = NameError;

    /// Letters, digits, hyphens and underscores (enterprise accounts carry one), 39 at most, not starting
    /// with a hyphen.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let stem = text.strip_suffix("[bot]").unwrap_or(text);
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let starts_well = stem.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts_well && stem.len() <= Self::MAX_LEN && stem.chars().all(allowed) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        let trimmed = stem.trim().trim_start_matches(['@', '-']);
        let suggestion = (trimmed != stem && trimmed.parse::<Self>().is_ok()).then(|| trimmed.to_owned());
        let reason = if stem.len() > Self::MAX_LEN {
            format!("`{text}` is longer than the {} characters of a GitHub login", Self::MAX_LEN)
        } else {
            format!("`{text}` is no GitHub login (letters, digits and hyphens, not starting with a hyphen)")
        };
        Err(NameError::new(reason, suggestion))
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Login {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Login> for String {
    fn from(login: Login) -> Self {
        login.0
    }
}

/// `owner/name` of a repository: compared and kept without case, as GitHub does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName {
    full: String,
    slash: usize,
}

impl RepoName {
    /// The account that owns the repository.
    pub fn owner(&self) -> &str {
        &self.full[..self.slash]
    }

    /// The repository's own name.
    pub fn name(&self) -> &str {
        &self.full[self.slash + 1..]
    }

    /// `owner/name` in lower case.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The `owner/name` that a pasted URL or a `.git` path most likely means.
    fn normalised(text: &str) -> Option<String> {
        let path = text.trim().trim_end_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let path = path.rsplit_once("://").map_or(path, |(_, rest)| rest);
        let mut parts = path.rsplit(['/', ':']);
        let (name, owner) = (parts.next()?, parts.next()?);
        let candidate = format!("{owner}/{name}");
        (candidate != text && candidate.parse::<Self>().is_ok()).then_some(candidate)
    }
}

/// `owner/*` or `owner/prefix-*`: all of an owner's repositories whose names begin so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoPattern {
    /// The pattern without its `*`.
    stem: String,
    slash: usize,
}

impl RepoPattern {
    /// The account that owns the repositories.
    pub fn owner(&self) -> &str {
        &self.stem[..self.slash]
    }

    /// Whether the pattern means this repository.
    pub fn matches(&self, repository: &RepoName) -> bool {
        repository.as_str().starts_with(&self.stem)
    }
}

impl FromStr for RepoPattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |reason: &str| Err(NameError::new(format!("`{text}` {reason}"), None));
        let Some(stem) = text.strip_suffix('*').filter(|stem| !stem.contains('*')) else {
            return refuse("is no pattern: write `owner/*` or `owner/prefix-*`, with one `*` at the end");
        };
        // What follows the slash must be the beginning of a name: a letter more makes it one.
        match format!("{stem}x").parse::<RepoName>() {
            Ok(name) => Ok(Self { stem: stem.to_ascii_lowercase(), slash: name.owner().len() }),
            Err(_) => refuse("is no pattern: write `owner/*` or `owner/prefix-*`"),
        }
    }
}

impl fmt::Display for RepoPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}*", self.stem)
    }
}

impl TryFrom<String> for RepoPattern {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<RepoPattern> for String {
    fn from(pattern: RepoPattern) -> Self {
        pattern.to_string()
    }
}

/// An entry of the list of repositories: one that is named, or a pattern.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RepoEntry {
    /// `owner/name`.
    Name(RepoName),
    /// `owner/*` or `owner/prefix-*`.
    Pattern(RepoPattern),
}

impl FromStr for RepoEntry {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.contains('*') { text.parse().map(Self::Pattern) } else { text.parse().map(Self::Name) }
    }
}

impl fmt::Display for RepoEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

impl FromStr for RepoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |reason: String| Err(NameError::new(reason, Self::normalised(text)));
        let Some((owner, name)) = text.split_once('/') else {
            return refuse(format!("`{text}` names no owner: write `owner/name`"));
        };
        let owner_ok = owner.starts_with(|c: char| c.is_ascii_alphanumeric())
            && owner.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let name_ok = !name.is_empty()
            && name.len() <= 100
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && !matches!(name, "." | "..");
        if owner_ok && name_ok && !name.to_ascii_lowercase().ends_with(".git") {
            return Ok(Self { full: text.to_ascii_lowercase(), slash: owner.len() });
        }
        if name.contains('*') {
            return refuse(format!("`{text}` is a pattern: one repository is meant here"));
        }
        refuse(format!("`{text}` is no repository: write `owner/name`"))
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.full)
    }
}

impl TryFrom<String> for RepoName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<RepoName> for String {
    fn from(repo: RepoName) -> Self {
        repo.full
    }
}

/// A team's short name in URLs: lower-case letters, digits and hyphens, at least one letter.
///
/// The letter keeps it apart from the numeric team id, which the API takes in the same place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TeamSlug(String);

impl TeamSlug {
    const MAX_LEN: usize = 63;

    /// The slug's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TeamSlug {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let valid = |text: &str| {
            !text.is_empty()
                && text.len() <= Self::MAX_LEN
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && text.chars().any(|c| c.is_ascii_lowercase())
                && !text.starts_with('-')
                && !text.ends_with('-')
        };
        if valid(text) {
            return Ok(Self(text.to_owned()));
        }
        let folded: String =
            text.trim().to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let folded = folded.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let reason = format!(
            "`{text}` is no slug (lower-case letters, digits and inner hyphens, a letter at least, {} characters at most)",
            Self::MAX_LEN
        );
        Err(NameError::new(reason, valid(&folded).then_some(folded)))
    }
}

impl fmt::Display for TeamSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for TeamSlug {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<TeamSlug> for String {
    fn from(slug: TeamSlug) -> Self {
        slug.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion<T: FromStr<Err = NameError> + fmt::Debug>(text: &str) -> Option<String> {
        text.parse::<T>().expect_err("refused").suggestion
    }

    #[test]
    fn logins_compare_without_case() {
        assert_eq!("Alice".parse::<Login>(), "aLICE".parse::<Login>());
    }

    #[test]
    fn bots_and_enterprise_accounts_are_logins() {
        assert!("renovate[bot]".parse::<Login>().is_ok());
        assert!("ana_acme".parse::<Login>().is_ok());
    }

    #[test]
    fn malformed_logins_are_refused_with_the_probable_meaning() {
        assert_eq!(suggestion::<Login>("@alice"), Some("alice".to_owned()));
        assert_eq!(suggestion::<Login>("-a"), Some("a".to_owned()));
        assert_eq!(suggestion::<Login>("alice smith"), None);
        assert_eq!(suggestion::<Login>(&"a".repeat(40)), None);
        assert_eq!(suggestion::<Login>(""), None);
    }

    #[test]
    fn a_repository_has_an_owner_and_a_name_without_case() {
        let repo: RepoName = "Acme/Web.Site".parse().expect("valid");
        assert_eq!((repo.owner(), repo.name()), ("acme", "web.site"));
        assert_eq!(repo, "acme/web.site".parse().expect("valid"));
    }

    #[test]
    fn pasted_addresses_are_refused_with_owner_and_name() {
        for text in [
            "https://github.com/acme/api",
            "https://github.com/acme/api.git",
            "https://github.com/acme/api/",
            "git@github.com:acme/api.git",
            "acme/api.git",
        ] {
            assert_eq!(suggestion::<RepoName>(text), Some("acme/api".to_owned()), "{text}");
        }
        for text in ["api", "", "/", "acme/", "/api", "acme/..", "acme/*", "a b/c", "acme/api\r\nx"] {
            assert!(text.parse::<RepoName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_slug_is_never_a_number() {
        assert!("42".parse::<TeamSlug>().is_err());
        assert!("team-42".parse::<TeamSlug>().is_ok());
        assert_eq!(suggestion::<TeamSlug>("Team Payments"), Some("team-payments".to_owned()));
    }

    #[test]
    fn a_pattern_means_the_repositories_of_its_owner_that_begin_so() {
        let pattern = |text: &str| text.parse::<RepoPattern>().expect("valid");
        let name = |text: &str| text.parse::<RepoName>().expect("valid");
        assert!(pattern("Acme/*").matches(&name("acme/api")));
        assert!(pattern("acme/web-*").matches(&name("ACME/Web-shop")));
        assert!(!pattern("acme/web-*").matches(&name("acme/website")));
        assert!(!pattern("acme/*").matches(&name("acme2/api")));
        assert_eq!((pattern("Acme/Web-*").to_string().as_str(), pattern("Acme/*").owner()), ("acme/web-*", "acme"));
        for text in ["*", "*/api", "acme/*-web", "acme/**", "acme/a/*", "acme*", "acme/ *"] {
            assert!(text.parse::<RepoPattern>().is_err(), "{text}");
        }
    }
}
