//! Names that GitHub and the teams file use, parsed once.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The id of an account, a repository or a change at its forge, as text: most forges use numbers, some use UUIDs. It stays
/// the same when names change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExternalId(String);

impl ExternalId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<i64> for ExternalId {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

impl From<String> for ExternalId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A kind of server that hosts repositories.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    strum::Display,
    strum::EnumIter,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Forge {
    /// GitHub, or GitHub Enterprise Server.
    #[serde(rename = "github")]
    #[strum(serialize = "github")]
    GitHub,
    /// GitLab.
    #[serde(rename = "gitlab")]
    #[strum(serialize = "gitlab")]
    GitLab,
}

impl Forge {
    /// The address of its public site.
    pub fn public_url(self) -> &'static str {
        match self {
            Self::GitHub => "https://github.com",
            Self::GitLab => "https://gitlab.com",
        }
    }
}

/// A server that repositories and accounts belong to, by its number in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub i64);

impl InstanceId {
    /// GitHub, or the GitHub Enterprise Server of the configuration.
    pub const GITHUB: Self = Self(1);
}

/// Why a name was rejected, and what to write instead.
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

/// Letters of other scripts that look like ASCII letters, each followed by that ASCII letter.
const LOOK_ALIKES: &str =
    "аaеeоoрpсcуyхxіiјjѕsһhԁdԛqԝwАAВBЕEКKМMНHОOРPСCТTХXІIЈJЅSοoαaνvιiκkρpτtΑAΒBΕEΗHΙIΚKΜMΝNΟOΡPΤTΧXΥYΖZıiℓl‐-‑-–-—-−-";

/// The ASCII letter that a character looks like.
fn look_alike(character: char) -> Option<char> {
    // Full-width letters and digits follow the order of ASCII.
    let full_width = u32::from(character).checked_sub(0xfee0).filter(|code| (0x21..=0x7e).contains(code));
    let letters: Vec<char> = LOOK_ALIKES.chars().collect();
    let pair = letters.chunks_exact(2).find(|pair| pair[0] == character).map(|pair| pair[1]);
    full_width.and_then(char::from_u32).or(pair)
}

/// Whether a character has no width, or looks like a space.
pub(crate) fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{a0}' | '\u{ad}' | '\u{180e}' | '\u{2000}'..='\u{200f}' | '\u{202a}'..='\u{202f}' | '\u{205f}'..='\u{2064}' | '\u{2066}'..='\u{206f}' | '\u{3000}' | '\u{feff}'
    )
}

/// The problem with the first non-ASCII character, by code point, and the text that was probably meant.
fn strange_character(text: &str) -> Option<(String, String)> {
    let strange = text.chars().find(|character| !character.is_ascii())?;
    let meant: String = text.chars().filter(|c| !is_invisible(*c)).map(|c| look_alike(c).unwrap_or(c)).collect();
    let code = u32::from(strange);
    let reason = match look_alike(strange) {
        _ if is_invisible(strange) => format!("it has the invisible character U+{code:04X}"),
        Some(letter) => format!("its `{strange}` is U+{code:04X}, which only looks like `{letter}`"),
        None => format!("it has `{strange}`, U+{code:04X}"),
    };
    Some((reason, meant))
}

/// What a pasted URL of GitHub's site or API points to.
enum Address {
    /// A user or an organization.
    Account(String),
    /// `owner/name`, where the name may be a pattern.
    Repository(String),
}

impl Address {
    /// First path segments that are site pages, not accounts.
    const PAGES: [&str; 12] = [
        "search",
        "settings",
        "topics",
        "marketplace",
        "notifications",
        "explore",
        "enterprises",
        "login",
        "features",
        "collections",
        "repositories",
        "user",
    ];

    fn of(text: &str) -> Option<Self> {
        let meant = strange_character(text).map_or_else(|| text.to_owned(), |(_, meant)| meant);
        let path = meant.trim().split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        // A host comes before a path of any depth: `https://host/`, `git@host:`, or `host/` with a dot in it.
        let after_host = path.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
        let after_host = after_host.or_else(|| path.split_once('@').and_then(|(_, rest)| rest.split_once(':')));
        let after_host = after_host.or_else(|| path.split_once('/').filter(|(host, _)| host.contains('.')));
        let parts: Vec<&str> = after_host.map_or(path, |(_, rest)| rest).split('/').collect();
        let repository = |owner: &str, name: &str| {
            Some(Self::Repository(format!("{owner}/{}", name.strip_suffix(".git").unwrap_or(name))))
        };
        match parts.strip_prefix(&["api", "v3"]).filter(|rest| !rest.is_empty()).unwrap_or(&parts) {
            ["repos", owner, name, ..] => repository(owner, name),
            ["orgs", _, "people", login] => Some(Self::Account((*login).to_owned())),
            ["orgs" | "users", account, ..] => Some(Self::Account((*account).to_owned())),
            ["apps", app, ..] if after_host.is_some() => Some(Self::Account(format!("{app}[bot]"))),
            [page, ..] if after_host.is_some() && Self::PAGES.contains(page) => None,
            [account] if after_host.is_some() => Some(Self::Account((*account).to_owned())),
            [owner, name, ..] => repository(owner, name),
            _ => None,
        }
    }
}

/// A login, which an account has at its forge: compared and stored without case, including GitHub's `[bot]` suffix. Written
/// as `octocat` for GitHub and with the forge for others, `gitlab:octocat`. Equal logins at two forges are two accounts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Login {
    forge: Forge,
    text: String,
}

impl Login {
    /// GitHub's limit for the part before `[bot]`.
    const MAX_LEN: usize = 39;
    /// GitLab's limit for the path of a namespace.
    const MAX_GITLAB_LEN: usize = 255;

    /// The login as the forge sent it. It is never rejected, because it exists there. NUL is removed, which no database
    /// stores.
    pub fn of(forge: Forge, text: &str) -> Self {
        Self { forge, text: text.replace('\0', "").to_ascii_lowercase() }
    }

    /// The login that was written with its forge, as [`Login`] shows it. Like [`Self::of`], it is never rejected.
    pub fn written(text: &str) -> Self {
        let with_forge = text.split_once(':').and_then(|(forge, login)| Some((forge.parse().ok()?, login)));
        with_forge.map_or_else(|| Self::from_github(text), |(forge, login)| Self::of(forge, login))
    }

    /// The login as GitHub sent it.
    pub fn from_github(text: &str) -> Self {
        Self::of(Forge::GitHub, text)
    }

    /// A GitHub login as a person wrote it: letters, digits, hyphens and underscores (enterprise accounts have one), at
    /// most 39, not starting with a hyphen.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn github(text: &str) -> Result<Self, NameError> {
        let stem = text.strip_suffix("[bot]").unwrap_or(text);
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let starts_well = stem.starts_with(|c: char| c.is_ascii_alphanumeric());
        if starts_well && stem.len() <= Self::MAX_LEN && stem.chars().all(allowed) {
            return Ok(Self::from_github(text));
        }
        if let Some((reason, meant)) = strange_character(text) {
            let meant = meant.trim();
            let suggestion = (meant != text && meant.parse::<Self>().is_ok()).then(|| meant.to_owned());
            return Err(NameError::new(format!("`{text}` is not a GitHub login: {reason}"), suggestion));
        }
        let trimmed = stem.trim().trim_start_matches(['@', '-']);
        let suggestion = (trimmed != stem && trimmed.parse::<Self>().is_ok()).then(|| trimmed.to_owned());
        let suggestion = suggestion.or_else(|| match Address::of(text)? {
            Address::Account(login) => (login != text && login.parse::<Self>().is_ok()).then_some(login),
            Address::Repository(_) => None,
        });
        let reason = if stem.len() > Self::MAX_LEN {
            format!("`{text}` is longer than the {} characters of a GitHub login", Self::MAX_LEN)
        } else {
            format!("`{text}` is not a GitHub login (letters, digits and hyphens, not starting with a hyphen)")
        };
        Err(NameError::new(reason, suggestion))
    }

    /// A GitLab login as a person wrote it: letters, digits, dots, hyphens and underscores, not starting with a hyphen
    /// and not ending with a dot.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn gitlab(text: &str) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_login = |text: &str| {
            (1..=Self::MAX_GITLAB_LEN).contains(&text.len())
                && text.chars().all(allowed)
                && !text.starts_with('-')
                && !text.ends_with('.')
        };
        if is_login(text) {
            return Ok(Self::of(Forge::GitLab, text));
        }
        let meant = strange_character(text).map_or_else(|| text.to_owned(), |(_, meant)| meant);
        let meant = meant.trim().rsplit('/').next().unwrap_or_default().trim_start_matches('@').to_owned();
        let suggestion = (meant != text && is_login(&meant)).then_some(meant);
        let reason = strange_character(text).map_or_else(
            || "(letters, digits, dots, hyphens and underscores, not starting with a hyphen)".to_owned(),
            |(reason, _)| reason,
        );
        Err(NameError::new(format!("`{text}` is not a GitLab login: {reason}"), suggestion))
    }

    /// The forge of the account.
    pub fn forge(&self) -> Forge {
        self.forge
    }

    /// The login in lower case, as at its forge.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Login {
    type Err = NameError;

    /// A login as [`Login`] is written: of GitLab with its forge, else of GitHub.
    fn from_str(text: &str) -> Result<Self, NameError> {
        text.strip_prefix("gitlab:").map_or_else(|| Self::github(text), Self::gitlab)
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.forge {
            Forge::GitHub => f.write_str(&self.text),
            Forge::GitLab => write!(f, "{}:{}", self.forge, self.text),
        }
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
        login.to_string()
    }
}

/// `owner/name` of a repository: compared and stored without case. The owner may have several path elements, as groups and
/// subgroups of GitLab do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoName {
    full: String,
    slash: usize,
}

impl RepoName {
    /// The path of a repository at any forge: at least an owner and a name. At GitHub, it has exactly two elements and a
    /// stricter form, which [`str::parse`] checks.
    ///
    /// # Errors
    /// When an element is missing.
    pub fn from_path(path: &str) -> Result<Self, NameError> {
        let full = path.to_lowercase();
        match full.rfind('/') {
            Some(slash) if full.split('/').all(|element| !element.is_empty()) => Ok(Self { full, slash }),
            _ => Err(NameError::new(format!("`{path}` is not the path of a repository: write `owner/name`"), None)),
        }
    }

    /// The account or group that owns the repository.
    pub fn owner(&self) -> &str {
        &self.full[..self.slash]
    }

    /// The repository's name without its owner.
    pub fn name(&self) -> &str {
        &self.full[self.slash + 1..]
    }

    /// `owner/name` in lower case.
    pub fn as_str(&self) -> &str {
        &self.full
    }

    /// The `owner/name` that a pasted URL or a `.git` path most likely means.
    fn normalised(text: &str) -> Option<String> {
        let Address::Repository(candidate) = Address::of(text)? else { return None };
        (candidate != text && candidate.parse::<Self>().is_ok()).then_some(candidate)
    }
}

/// `owner/*` or `owner/prefix-*`: all of an owner's repositories with that prefix.
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

    /// Whether the pattern matches this repository.
    pub fn matches(&self, repository: &RepoName) -> bool {
        repository.as_str().starts_with(&self.stem)
    }
}

impl FromStr for RepoPattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |reason: &str| Err(NameError::new(format!("`{text}` {reason}"), None));
        let Some(stem) = text.strip_suffix('*').filter(|stem| !stem.contains('*')) else {
            return refuse("is not a pattern: write `owner/*` or `owner/prefix-*`, with one `*` at the end");
        };
        // The part after the slash must be the start of a name, so one more letter makes it a valid name.
        match format!("{stem}x").parse::<RepoName>() {
            Ok(name) => Ok(Self { stem: stem.to_ascii_lowercase(), slash: name.owner().len() }),
            Err(_) => refuse("is not a pattern: write `owner/*` or `owner/prefix-*`"),
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

/// `!owner/name`, or `!owner/*-suffix` with `*` for any letters: repositories to leave out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoExclusion {
    /// The pattern without its `!`.
    glob: String,
    slash: usize,
}

impl RepoExclusion {
    /// The account that owns the repositories.
    pub fn owner(&self) -> &str {
        &self.glob[..self.slash]
    }

    /// Whether the exclusion matches this repository.
    pub fn matches(&self, repository: &RepoName) -> bool {
        self.matches_text(repository.as_str())
    }

    /// Whether the exclusion covers everything that a pattern matches.
    pub fn covers(&self, pattern: &RepoPattern) -> bool {
        self.glob.ends_with('*') && self.matches_text(&pattern.stem)
    }

    fn matches_text(&self, text: &str) -> bool {
        let mut parts = self.glob.split('*');
        let Some(rest) = parts.next().and_then(|start| text.strip_prefix(start)) else { return false };
        let Some(end) = parts.next_back() else { return rest.is_empty() };
        // Matching each part at its first place leaves the most for the parts after it.
        let middle = parts.try_fold(rest, |rest, part| rest.split_once(part).map(|(_, rest)| rest));
        middle.is_some_and(|rest| rest.ends_with(end))
    }
}

impl FromStr for RepoExclusion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = || {
            let reason = format!(
                "`{text}` excludes nothing: write `!owner/name`, or `!owner/*-archive` with `*` for any letters"
            );
            Err(NameError::new(reason, None))
        };
        let Some(glob) = text.strip_prefix('!') else { return refuse() };
        let Some((owner, _)) = glob.split_once('/') else { return refuse() };
        // With a letter for each `*`, it must be the name of a repository.
        match glob.replace('*', "x").parse::<RepoName>() {
            Ok(_) if !owner.contains('*') => Ok(Self { glob: glob.to_ascii_lowercase(), slash: owner.len() }),
            _ => refuse(),
        }
    }
}

impl fmt::Display for RepoExclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "!{}", self.glob)
    }
}

/// Patterns and exclusions in the order of the file. The last rule that matches a repository decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(into = "Vec<String>")]
pub struct RepoRules(Vec<RepoEntry>);

impl RepoRules {
    /// The rules among these entries. Names are not rules, and an exclusion before every pattern of its owner has no
    /// effect.
    pub fn new(entries: impl IntoIterator<Item = RepoEntry>) -> Self {
        let mut deduplicated: Vec<RepoEntry> = Vec::new();
        for entry in entries.into_iter().filter(|entry| !matches!(entry, RepoEntry::Name(_))) {
            // Of two equal entries, the later one decides regardless of the earlier one.
            deduplicated.retain(|earlier| *earlier != entry);
            deduplicated.push(entry);
        }
        let mut rules: Vec<RepoEntry> = Vec::new();
        for entry in deduplicated {
            let is_pattern = matches!(entry, RepoEntry::Pattern(_));
            if is_pattern || rules.iter().any(|rule| rule.owner() == entry.owner()) {
                rules.push(entry);
            }
        }
        Self(rules)
    }

    /// Only the patterns.
    pub fn patterns(&self) -> impl Iterator<Item = &RepoPattern> {
        self.0.iter().filter_map(|rule| match rule {
            RepoEntry::Pattern(pattern) => Some(pattern),
            RepoEntry::Name(_) | RepoEntry::Exclusion(_) => None,
        })
    }

    /// Whether a repository that a pattern matches is excluded.
    pub fn exclude(&self, repository: &RepoName) -> bool {
        let last = self.0.iter().rev().find(|rule| rule.matches(repository));
        matches!(last, Some(RepoEntry::Exclusion(_)))
    }

    /// Whether there are no patterns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<RepoRules> for Vec<String> {
    fn from(rules: RepoRules) -> Self {
        rules.0.iter().map(ToString::to_string).collect()
    }
}

impl fmt::Display for RepoRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Vec::<String>::from(self.clone()).join(", "))
    }
}

/// An entry of the list of repositories: a name, a pattern, or an exclusion.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RepoEntry {
    /// `owner/name`.
    Name(RepoName),
    /// `owner/*` or `owner/prefix-*`.
    Pattern(RepoPattern),
    /// `!owner/name` or `!owner/*-suffix`.
    Exclusion(RepoExclusion),
}

impl RepoEntry {
    /// The owner of the repositories.
    pub fn owner(&self) -> &str {
        match self {
            Self::Name(name) => name.owner(),
            Self::Pattern(pattern) => pattern.owner(),
            Self::Exclusion(exclusion) => exclusion.owner(),
        }
    }

    /// Whether it matches this repository.
    pub fn matches(&self, repository: &RepoName) -> bool {
        match self {
            Self::Name(name) => name == repository,
            Self::Pattern(pattern) => pattern.matches(repository),
            Self::Exclusion(exclusion) => exclusion.matches(repository),
        }
    }
}

impl RepoEntry {
    /// The entry that a pasted URL most likely means. The URL of an account means all of its repositories.
    fn normalised(text: &str) -> Option<String> {
        let (sign, address) = text.strip_prefix('!').map_or(("", text), |rest| ("!", rest));
        let candidate = match Address::of(address)? {
            Address::Account(owner) => format!("{sign}{owner}/*"),
            Address::Repository(name) => format!("{sign}{name}"),
        };
        let is_entry = match sign {
            "!" => candidate.parse::<RepoExclusion>().is_ok(),
            _ => candidate.parse::<RepoPattern>().is_ok() || candidate.parse::<RepoName>().is_ok(),
        };
        (candidate != text && is_entry).then_some(candidate)
    }
}

impl FromStr for RepoEntry {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let parsed = if text.starts_with('!') {
            text.parse().map(Self::Exclusion)
        } else if text.contains('*') {
            text.parse().map(Self::Pattern)
        } else {
            text.parse().map(Self::Name)
        };
        parsed.map_err(|error: NameError| match error.suggestion {
            None => NameError { suggestion: Self::normalised(text), ..error },
            Some(_) => error,
        })
    }
}

impl fmt::Display for RepoEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Pattern(pattern) => pattern.fmt(f),
            Self::Exclusion(exclusion) => exclusion.fmt(f),
        }
    }
}

impl FromStr for RepoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |reason: String| {
            let reason = strange_character(text)
                .map_or(reason, |(strange, _)| format!("`{text}` is not a repository: {strange}"));
            Err(NameError::new(reason, Self::normalised(text)))
        };
        let Some((owner, name)) = text.split_once('/') else {
            return refuse(format!("`{text}` has no owner: write `owner/name`"));
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
            return refuse(format!("`{text}` is a pattern: expected one repository"));
        }
        refuse(format!("`{text}` is not a repository: write `owner/name`"))
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

/// A team's short name in URLs: lower-case letters, digits and hyphens, with at least one letter.
///
/// The letter distinguishes it from the numeric team ID, which the API accepts in the same place.
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
            "`{text}` is not a slug (lower-case letters, digits and inner hyphens, at least one letter, at most {} characters)",
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

/// The short name of a service, which identifies its history. Written like a [`TeamSlug`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceSlug(TeamSlug);

impl ServiceSlug {
    /// The slug's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for ServiceSlug {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ServiceSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The short name of a goal, which identifies its history. Written like a [`TeamSlug`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GoalId(TeamSlug);

impl GoalId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for GoalId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for GoalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The short name of a channel for messages. Written like a [`TeamSlug`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelId(TeamSlug);

impl ChannelId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for ChannelId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The short name of a metric of the teams file. Written like a [`TeamSlug`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricId(TeamSlug);

impl FromStr for MetricId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self)
    }
}

impl fmt::Display for MetricId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion<T: FromStr<Err = NameError> + fmt::Debug>(text: &str) -> Option<String> {
        text.parse::<T>().expect_err("refused").suggestion
    }

    #[test]
    fn logins_compare_ignoring_case() {
        assert_eq!("Alice".parse::<Login>(), "aLICE".parse::<Login>());
    }

    #[test]
    fn bots_and_enterprise_accounts_are_logins() {
        assert!("renovate[bot]".parse::<Login>().is_ok());
        assert!("ana_acme".parse::<Login>().is_ok());
    }

    #[test]
    fn malformed_logins_are_refused_with_a_suggestion() {
        assert_eq!(suggestion::<Login>("@alice"), Some("alice".to_owned()));
        assert_eq!(suggestion::<Login>("-a"), Some("a".to_owned()));
        assert_eq!(suggestion::<Login>("alice smith"), None);
        assert_eq!(suggestion::<Login>(&"a".repeat(40)), None);
        assert_eq!(suggestion::<Login>(""), None);
    }

    #[test]
    fn confusable_characters_are_named_by_code_point() {
        for (text, code, meant) in [
            ("ali\u{200b}ce", "U+200B", Some("alice")),
            ("alice\u{a0}", "U+00A0", Some("alice")),
            ("\u{feff}alice", "U+FEFF", Some("alice")),
            ("\u{430}lice", "U+0430", Some("alice")),
            ("\u{ff41}lice", "U+FF41", Some("alice")),
            ("alice\u{2011}b", "U+2011", Some("alice-b")),
            ("ren\u{e9}", "U+00E9", None),
        ] {
            let error = text.parse::<Login>().expect_err("refused");
            assert!(error.reason.contains(code), "{error}");
            assert_eq!(error.suggestion.as_deref(), meant, "{error}");
        }
    }

    #[test]
    fn repositories_compare_ignoring_case() {
        let repo: RepoName = "Acme/Web.Site".parse().expect("valid");
        assert_eq!((repo.owner(), repo.name()), ("acme", "web.site"));
        assert_eq!(repo, "acme/web.site".parse().expect("valid"));
    }

    #[test]
    fn pasted_urls_are_refused_with_owner_and_name() {
        for text in [
            "https://github.com/acme/api",
            "https://github.com/acme/api.git",
            "https://github.com/acme/api/",
            "git@github.com:acme/api.git",
            "acme/api.git",
            "https://github.com/acme/api/pulls",
            "https://github.com/acme/api/pull/7/files?w=1#diff",
            "github.com/acme/api",
            "acme/api/pulls",
            "acme/api\u{200b}",
            "асme/api",
        ] {
            assert_eq!(suggestion::<RepoName>(text), Some("acme/api".to_owned()), "{text}");
        }
        for text in ["api", "", "/", "acme/", "/api", "acme/..", "acme/*", "a b/c", "acme/api\r\nx"] {
            assert!(text.parse::<RepoName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn pasted_account_and_api_urls_are_recognized() {
        for (text, meant) in [
            ("https://github.com/orgs/acme/repositories", "acme/*"),
            ("https://github.com/orgs/acme", "acme/*"),
            ("https://github.com/acme", "acme/*"),
            ("https://github.com/acme?tab=repositories", "acme/*"),
            ("https://github.com/acme/*", "acme/*"),
            ("github.com/acme/web-*", "acme/web-*"),
            ("orgs/acme/repositories", "acme/*"),
            ("https://api.github.com/repos/acme/api", "acme/api"),
            ("https://api.github.com/orgs/acme/repos", "acme/*"),
            ("https://github.example.com/api/v3/repos/acme/api/pulls", "acme/api"),
            ("https://github.example.com/api/v3/users/acme/repos", "acme/*"),
            ("!https://github.com/acme/mirror", "!acme/mirror"),
        ] {
            assert_eq!(suggestion::<RepoEntry>(text), Some(meant.to_owned()), "{text}");
            assert!(meant.parse::<RepoEntry>().is_ok(), "{meant}");
        }
        // Where one repository is expected, all repositories of an owner are not suggested.
        assert_eq!(suggestion::<RepoName>("https://github.com/orgs/acme/repositories"), None);
        assert_eq!(suggestion::<RepoName>("https://api.github.com/repos/acme/api"), Some("acme/api".to_owned()));
        for text in
            ["https://github.com/search?q=acme", "https://github.com/settings/tokens", "https://github.com/", "*"]
        {
            assert_eq!(suggestion::<RepoEntry>(text), None, "{text}");
        }
        for (text, meant) in [
            ("https://github.com/octocat", Some("octocat")),
            ("github.com/octocat/", Some("octocat")),
            ("https://github.com/octocat?tab=repositories", Some("octocat")),
            ("https://github.com/orgs/acme/people/octocat", Some("octocat")),
            ("https://api.github.com/users/octocat", Some("octocat")),
            ("https://github.com/apps/renovate", Some("renovate[bot]")),
            ("https://github.com/acme/api", None),
        ] {
            assert_eq!(suggestion::<Login>(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn a_slug_is_never_a_number() {
        assert!("42".parse::<TeamSlug>().is_err());
        assert!("team-42".parse::<TeamSlug>().is_ok());
        assert_eq!(suggestion::<TeamSlug>("Team Payments"), Some("team-payments".to_owned()));
    }

    #[test]
    fn a_pattern_matches_repositories_by_owner_and_prefix() {
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

    #[test]
    fn a_written_login_is_read_back_even_if_odd() {
        for login in [Login::from_github("an_odd-login-that-github.sent!"), Login::of(Forge::GitLab, "ana.smith")] {
            assert_eq!(Login::written(&login.to_string()), login);
        }
    }

    #[test]
    fn the_last_matching_rule_decides() {
        let rules = |text: &str| RepoRules::new(text.split_whitespace().map(|entry| entry.parse().expect("an entry")));
        let name = |text: &str| text.parse::<RepoName>().expect("valid");
        for (text, repository, is_excluded) in [
            ("acme/* !acme/mirror", "acme/Mirror", true),
            ("acme/* !acme/mirror", "acme/mirrors", false),
            ("acme/* !acme/*-archive", "acme/api-archive", true),
            ("acme/* !acme/*-archive", "acme/archive", false),
            ("acme/* !acme/*-old-*", "acme/api-old-2024", true),
            ("acme/* !acme/a*b*a", "acme/aba", true),
            ("acme/* !acme/aa*aa", "acme/aaa", false),
            ("acme/* !acme/* acme/web-*", "acme/web-shop", false),
            ("acme/* !acme/* acme/web-*", "acme/api", true),
            ("!acme/mirror acme/*", "acme/mirror", false),
            ("acme/* !other/mirror", "acme/mirror", false),
        ] {
            assert_eq!(rules(text).exclude(&name(repository)), is_excluded, "{text}: {repository}");
        }
        for text in ["!", "!acme", "!*/api", "!acme/", "!acme/a b", "!acme/a/b", "!!acme/api"] {
            assert!(text.parse::<RepoEntry>().is_err(), "{text}");
        }
    }
}
