//! `mergeline quarantine accept`: treats weeks as complete without an unreadable pull request.

use std::io::{self, Write};
use std::process::ExitCode;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use mergeline_domain::RepoName;
use mergeline_store::QuarantineKey;

use crate::args::{Options, Quarantine};
use crate::database::collected;
use crate::explain::PullRequestName;
use crate::failure::Failure;

/// A pull request in quarantine, as users write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QuarantineName {
    repository: RepoName,
    key: QuarantineKey,
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

pub(crate) async fn run(command: &Quarantine, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let Quarantine::Accept { pull_request: name } = command;
    let is_accepted = match collected(options).await? {
        Some((_database, store)) => {
            let is_accepted = store.accept_quarantined(&name.repository, name.key, now).await?;
            store.close().await;
            is_accepted
        }
        None => false,
    };
    if !is_accepted {
        return Err(Failure::Input(format!("{name} is not in quarantine: `mergeline status` shows what is")));
    }
    if options.json {
        writeln!(io::stdout(), "{}", serde_json::json!({ "accepted": name.to_string() }))?;
    } else {
        writeln!(
            io::stdout(),
            "{name} is accepted: weeks are complete without it, and answers say that it is missing."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

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
