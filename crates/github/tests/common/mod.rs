//! Helpers for the client's tests.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;

use anyhow::Result;
use mergeline_fake_github::at;
use mergeline_github::{GitHub, GitHubSession, GitHubSettings};
use mergeline_source::WaitBudget;

/// Settings for a fake, with pauses that are short enough for a test.
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

/// The address of a server that sends these bytes in response to every request.
pub(crate) fn always(answer: impl Into<Vec<u8>>) -> Result<String> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let (url, answer) = (format!("http://{}", listener.local_addr()?), answer.into());
    // Ends with the process, so the result is dropped.
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let _ = connection.read(&mut [0; 8_192]).and_then(|_| connection.write_all(&answer));
        }
    });
    Ok(url)
}

/// A complete response with this body.
pub(crate) fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// A session that waits at most two seconds.
pub(crate) fn session(github: &GitHub) -> GitHubSession {
    let budget = WaitBudget { deadline: None, longest_wait: Duration::from_secs(2) };
    github.session(Some("acme"), budget, at("2026-06-15T12:00:00Z"))
}
