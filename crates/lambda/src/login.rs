//! How the functions log in to the database: by the password in their secret, or by a token of IAM.

use chrono::{DateTime, Utc};
use futures::FutureExt;
use mergeline_aws::Aws;
use mergeline_domain::{Problem, error_chain};
use mergeline_store::{DatabaseSettings, Passwords, WayIn};

/// The settings with the way in that `DB_LOGIN` names. With `iam`, each new connection makes a token of its own, since one is good for
/// 15 minutes; the password in the URL is not used.
///
/// # Errors
/// `config.db_login` for an unknown way, or without AWS; `config.insecure_tls` if a token would be sent to a server that has not proved
/// its name.
pub fn with_way_in(
    settings: DatabaseSettings,
    aws: Option<&Aws>,
    lookup: impl Fn(&str) -> Option<String>,
    clock: fn() -> DateTime<Utc>,
) -> Result<DatabaseSettings, Problem> {
    if WayIn::from_vars(lookup)? != Some(WayIn::Iam) {
        return Ok(settings);
    }
    if !settings.verifies_server() {
        let message = "DB_LOGIN is iam, and the server would get a token without TLS";
        let help = "name the host of RDS or Aurora, which is always reached by verified TLS";
        return Err(Problem::setting("config.insecure_tls", "DB_URL", message, help));
    }
    let Some(aws) = aws else {
        let help = "set it in Lambda only, or leave it out";
        return Err(Problem::setting("config.db_login", "DB_LOGIN", "it is iam, and there is no AWS here", help));
    };
    let tokens = aws.database_tokens();
    Ok(settings.with_passwords(Passwords::new(move |address| {
        let (tokens, now) = (tokens.clone(), clock());
        async move {
            let token = tokens.token(&address.host, address.port, &address.login, now.into()).await;
            token.map_err(|error| error_chain(&error))
        }
        .boxed()
    })))
}
