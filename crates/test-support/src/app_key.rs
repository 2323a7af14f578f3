//! Keys of GitHub Apps.

use std::io;
use std::process::Command;

/// A key for a GitHub App that exists nowhere. Made by `openssl`.
///
/// # Errors
/// When there is no `openssl`, or it makes none.
pub fn app_key() -> io::Result<String> {
    let made = Command::new("openssl").args(["genrsa", "2048"]).output()?;
    if !made.status.success() {
        return Err(io::Error::other(format!("openssl: {}", String::from_utf8_lossy(&made.stderr))));
    }
    String::from_utf8(made.stdout).map_err(io::Error::other)
}
