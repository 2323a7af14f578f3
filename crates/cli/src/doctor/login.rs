//! Checks of the provider that people log in with.

use chrono::{DateTime, Utc};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_login::{LoginSettings, Provider};

use super::findings::{Check, Findings};
use crate::failure::Failure;

const NAME: &str = "login";

/// Whether the provider answers, and whether anyone may see anything.
pub(super) async fn check(
    settings: LoginSettings,
    file: Option<&TeamsFile>,
    is_offline: bool,
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    if file.is_some_and(|file| file.access.is_empty()) {
        let help = "add, for example, `access: [{ domain: example.com, role: viewer }]`";
        let message = "people can log in, and the teams file has no `access`: nobody sees anything";
        findings.add(Check::warning(NAME, message, help))?;
    }
    if is_offline {
        return Ok(());
    }
    let (issuer, redirect) = (settings.issuer().to_owned(), settings.redirect_address());
    let checked = match Provider::new(settings) {
        Ok(provider) => provider.check(now).await,
        Err(error) => Err(error),
    };
    findings.add(match checked {
        Ok(keys) => {
            let message = format!("{issuer} answers, keys: {keys}; {redirect} must be registered there");
            Check::ok(NAME, message)
        }
        Err(error) => {
            let help = "check OIDC_ISSUER, and whether this machine reaches it (a proxy, a firewall)";
            Check::error(NAME, format!("{issuer}: {error}"), help)
        }
    })
}
