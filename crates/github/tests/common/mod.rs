//! What the client's tests share.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::Duration;

use anyhow::Result;
use mergeline_github::{GitHub, GitHubSettings, Patience, Session};
use mergeline_test_support::at;

/// Settings for a fake, with pauses that a test can wait for.
pub(crate) fn settings(url: &str, token: Option<&str>) -> GitHubSettings {
    let settings = GitHubSettings::from_vars(|name| match name {
        "GITHUB_API_URL" => Some(url.to_owned()),
        "GITHUB_PAT" => token.map(str::to_owned),
        _ => None,
    });
    settings.expect("valid settings").with_pace(Duration::from_millis(1), Duration::from_secs(5))
}

pub(crate) fn connect(url: &str, token: Option<&str>) -> Result<GitHub> {
    Ok(GitHub::connect(&settings(url, token))?)
}

/// A piece of work that waits two seconds at most.
pub(crate) fn session(github: &GitHub) -> Session<'_> {
    let patience = Patience { deadline: None, longest_wait: Duration::from_secs(2) };
    github.session(Some("acme"), patience, at("2026-06-15T12:00:00Z"))
}
