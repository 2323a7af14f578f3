//! Checks of the provider that people log in with, and of the one that signs tokens.

use chrono::{DateTime, Utc};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_login::{LoginSettings, Provider, TokenSettings, Tokens};

use super::findings::{Check, Findings};
use crate::failure::Failure;

const NAME: &str = "login";
const TOKENS: &str = "tokens";

/// Whether the provider answers, and whether anyone may see anything.
pub(super) async fn check(
    settings: LoginSettings,
    file: Option<&TeamsFile>,
    is_offline: bool,
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    warn_without_access(NAME, "people can log in", "{ domain: example.com, role: viewer }", file, findings)?;
    if is_offline {
        return Ok(());
    }
    let (issuer, redirect) = (settings.issuer().to_owned(), settings.redirect_address());
    let checked = async { Provider::new(settings)?.check(now).await };
    findings.add(match checked.await {
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

/// Whether tokens can be checked, and whether anyone may see anything with one.
pub(super) async fn check_tokens(
    settings: TokenSettings,
    file: Option<&TeamsFile>,
    is_offline: bool,
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    warn_without_access(TOKENS, "requests carry tokens", "{ subject: ACCOUNT, role: viewer }", file, findings)?;
    if is_offline {
        return Ok(());
    }
    let (issuer, audience) = (settings.issuer().to_owned(), settings.audience().to_owned());
    let checked = async { Tokens::new(settings)?.check(now).await };
    findings.add(match checked.await {
        Ok(keys) => Check::ok(TOKENS, format!("{issuer} answers, keys: {keys}; tokens must be for {audience}")),
        Err(error) => {
            let help = "check JWT_ISSUER, and whether this machine reaches it (a proxy, a firewall)";
            Check::error(TOKENS, format!("{issuer}: {error}"), help)
        }
    })
}

/// Warns where a file lets nobody see anything; `line` is an example of one that does.
fn warn_without_access(
    name: &str,
    who: &str,
    line: &str,
    file: Option<&TeamsFile>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    if file.is_none_or(|file| !file.access.is_empty()) {
        return Ok(());
    }
    let message = format!("{who}, and the teams file has no `access`: nobody sees anything");
    findings.add(Check::warning(name, message, format!("add, for example, `access: [{line}]`")))
}
