//! How users write a pull request, or one in quarantine.

use std::str::FromStr;

use mergeline_domain::RepoName;
use mergeline_store::QuarantineKey;

/// A pull request as users write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PullRequestName {
    pub(crate) repository: RepoName,
    pub(crate) number: i64,
}

impl std::fmt::Display for PullRequestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.repository, self.number)
    }
}

impl PullRequestName {
    pub(crate) fn into_parts(self) -> (RepoName, i64) {
        (self.repository, self.number)
    }
}

impl FromStr for PullRequestName {
    type Err = String;

    /// Parses `owner/name#123`, or the URL of any page of a pull request.
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not a pull request: write owner/name#123, or paste its URL");
        let address = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let (repository, number) = match address {
            None => {
                let (repository, number) = text.split_once('#').ok_or_else(refuse)?;
                (repository.to_owned(), number)
            }
            Some(address) => {
                let path = address.split(['?', '#']).next().unwrap_or_default();
                let parts: Vec<&str> = path.split('/').collect();
                let [_, owner, name, "pull", number, ..] = parts[..] else { return Err(refuse()) };
                (format!("{owner}/{name}"), number)
            }
        };
        let repository = repository.parse().map_err(|error| format!("{error}"))?;
        match number.parse() {
            Ok(number) if number > 0 => Ok(Self { repository, number }),
            _ => Err(refuse()),
        }
    }
}

/// A pull request in quarantine, as users write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuarantineName {
    pub(crate) repository: RepoName,
    pub(crate) key: QuarantineKey,
}

impl std::fmt::Display for QuarantineName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.repository, self.key)
    }
}

impl FromStr for QuarantineName {
    type Err = String;

    /// Parses `owner/name#123`, the URL of a pull request, or `owner/name@57` for a position in the list.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((repository, position)) = text.split_once('@').filter(|_| !text.contains("://")) {
            let repository = repository.parse().map_err(|error| format!("{error}"))?;
            return match position.parse() {
                Ok(position) if position > 0 => Ok(Self { repository, key: QuarantineKey::Position(position) }),
                _ => Err(format!(
                    "`{position}` is not a position in a list: `mergeline status` shows what is in quarantine"
                )),
            };
        }
        let (repository, number) = text.parse::<PullRequestName>()?.into_parts();
        Ok(Self { repository, key: QuarantineKey::Number(number) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_requests_parse_from_number_or_page_url() {
        for text in [
            "Acme/API#12",
            "https://github.com/acme/api/pull/12",
            "https://ghe.example.com/acme/api/pull/12/files?w=1#diff-0",
            "https://github.com/acme/api/pull/12#issuecomment-7",
        ] {
            let name: PullRequestName = text.parse().expect(text);
            assert_eq!(name.to_string(), "acme/api#12", "{text}");
        }
        for text in [
            "acme/api",
            "acme/api#0",
            "acme/api#-1",
            "acme/api#x",
            "api#12",
            "https://github.com/acme/api/issues/12",
            "",
        ] {
            assert!(text.parse::<PullRequestName>().is_err(), "{text}");
        }
    }

    #[test]
    fn quarantined_items_parse_from_number_url_or_position() {
        let named = |text: &str| text.parse::<QuarantineName>().map(|name| name.to_string());
        assert_eq!(named("acme/web#12").as_deref(), Ok("acme/web#12"));
        assert_eq!(named("https://github.com/acme/web/pull/12").as_deref(), Ok("acme/web#12"));
        assert_eq!(named("acme/web@57").as_deref(), Ok("acme/web@57"));
        for text in ["acme/web", "acme/web@0", "acme/web@x", "acme/web#0", "@5"] {
            assert!(named(text).is_err(), "{text}");
        }
    }
}
