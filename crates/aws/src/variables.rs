//! Settings that are secrets: given directly, or by the ARN of the stored secret.

use std::collections::HashMap;

use mergeline_domain::{Problem, Problems};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{AwsError, Secrets};

/// A variable that holds a secret, and the variable with the ARN of that secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretVariable {
    /// The variable, `DB_URL` for example.
    pub name: &'static str,
    /// The variable with the ARN, `DB_URL_SECRET_ARN` for example.
    pub arn: &'static str,
    /// How to parse a JSON value.
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The text, unchanged.
    Text,
    /// The text, unchanged, or `{"token": …}`.
    Token,
    /// A URL, or the JSON that Secrets Manager stores for a database.
    Database,
    /// The text, unchanged, or JSON with this key.
    Field(&'static str),
    /// The text, unchanged, or JSON with this key; empty without it.
    OptionalField(&'static str),
}

/// The host that is connected to in place of the one in the database's secret: that of a proxy in front of it, which the secret does
/// not know.
const DATABASE_HOST: &str = "DB_HOST";

/// The database's URL.
pub const DATABASE_URL: SecretVariable =
    SecretVariable { name: "DB_URL", arn: "DB_URL_SECRET_ARN", form: Form::Database };
/// The URL with the login of the collector, which the owner's login makes.
pub const DATABASE_WRITER_URL: SecretVariable =
    SecretVariable { name: "DB_WRITER_URL", arn: "DB_WRITER_URL_SECRET_ARN", form: Form::Database };
/// The URL with the login of the API, which the owner's login makes.
pub const DATABASE_READER_URL: SecretVariable =
    SecretVariable { name: "DB_READER_URL", arn: "DB_READER_URL_SECRET_ARN", form: Form::Database };
/// A personal token for GitHub.
pub const GITHUB_TOKEN: SecretVariable =
    SecretVariable { name: "GITHUB_PAT", arn: "GITHUB_TOKEN_SECRET_ARN", form: Form::Token };
/// The private key of a GitHub App.
pub const GITHUB_APP_KEY: SecretVariable =
    SecretVariable { name: "GITHUB_APP_PRIVATE_KEY", arn: "GITHUB_APP_KEY_SECRET_ARN", form: Form::Text };
/// The hashed API keys, a JSON array.
pub const API_KEYS: SecretVariable = SecretVariable { name: "API_KEYS", arn: "API_KEYS_SECRET_ARN", form: Form::Text };

/// The secrets of webhooks, a JSON object.
pub const WEBHOOK_SECRETS: SecretVariable =
    SecretVariable { name: "WEBHOOK_SECRETS", arn: "WEBHOOK_SECRETS_SECRET_ARN", form: Form::Text };

/// The addresses of channels, a JSON object.
pub const CHANNELS: SecretVariable = SecretVariable { name: "CHANNELS", arn: "CHANNELS_SECRET_ARN", form: Form::Text };

/// The server that takes mail.
pub const SMTP_URL: SecretVariable = SecretVariable { name: "SMTP_URL", arn: "SMTP_URL_SECRET_ARN", form: Form::Text };

/// This program's secret at the provider that people log in with. It may be stored beside the next one.
pub const LOGIN_SECRET: SecretVariable = SecretVariable {
    name: "OIDC_CLIENT_SECRET",
    arn: "OIDC_CLIENT_SECRET_ARN",
    form: Form::OptionalField("client_secret"),
};

/// The secret that sessions of the page are sealed with.
pub const SESSION_SECRET: SecretVariable =
    SecretVariable { name: "SESSION_SECRET", arn: "SESSION_SECRET_ARN", form: Form::Field("session_secret") };

/// What is sent with traces, a key for example.
pub const OTLP_HEADERS: SecretVariable = SecretVariable {
    name: "OTEL_EXPORTER_OTLP_HEADERS",
    arn: "OTEL_EXPORTER_OTLP_HEADERS_SECRET_ARN",
    form: Form::Text,
};

/// The values of the secret variables that are set by ARN.
#[derive(Debug, Clone, Default)]
pub struct SecretValues(HashMap<&'static str, SecretString>);

impl SecretValues {
    /// The value of a variable, if it is set by ARN.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|value| value.expose_secret().to_owned())
    }
}

impl PartialEq for SecretValues {
    fn eq(&self, other: &Self) -> bool {
        let same = |(name, value): (&&str, &SecretString)| {
            other.0.get(*name).is_some_and(|there| there.expose_secret() == value.expose_secret())
        };
        self.0.len() == other.0.len() && self.0.iter().all(same)
    }
}

/// Why the secret variables could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VariableError {
    /// A variable is set twice, or its value is unusable.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// Secrets Manager did not return it.
    #[error(transparent)]
    Aws(#[from] AwsError),
}

impl VariableError {
    /// A short, stable name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Problems(problems) => problems.code(),
            Self::Aws(error) => error.code(),
        }
    }
}

impl SecretValues {
    /// Fetches the variables that `lookup` has an ARN for. `fresh` bypasses the cache. With `DB_HOST`, `DB_URL` leads there.
    ///
    /// # Errors
    /// `config.ambiguous_source` when a variable is set both ways, `config.secret_form` for JSON without the required
    /// keys, and for a URL where `DB_HOST` is set, and any error from Secrets Manager.
    pub async fn fetch(
        secrets: &Secrets,
        variables: &[SecretVariable],
        lookup: impl Fn(&str) -> Option<String>,
        fresh: bool,
    ) -> Result<Self, VariableError> {
        let set_value = |name: &str| lookup(name).filter(|text| !text.trim().is_empty());
        let mut values = HashMap::new();
        for variable in variables {
            let Some(arn) = set_value(variable.arn) else { continue };
            if set_value(variable.name).is_some() {
                let message = format!("{} and {} are both set", variable.name, variable.arn);
                let help = "unset one of them";
                return Err(
                    Problems::from(Problem::setting("config.ambiguous_source", variable.name, message, help)).into()
                );
            }
            let host = set_value(DATABASE_HOST).filter(|_| *variable == DATABASE_URL);
            let arn = arn.trim();
            let text = if fresh { secrets.refresh(arn).await? } else { secrets.get(arn).await? };
            values.insert(variable.name, variable.read(&text, host.as_deref().map(str::trim))?);
        }
        Ok(Self(values))
    }

    /// Whether any of the variables is set by ARN.
    pub fn any_configured(variables: &[SecretVariable], lookup: impl Fn(&str) -> Option<String>) -> bool {
        variables.iter().any(|variable| lookup(variable.arn).is_some_and(|arn| !arn.trim().is_empty()))
    }
}

#[derive(Deserialize)]
struct Token {
    token: SecretString,
}

/// What Secrets Manager stores for a database that it manages. `url` is our addition.
#[derive(Deserialize)]
struct Database {
    url: Option<SecretString>,
    username: Option<String>,
    password: Option<SecretString>,
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
}

impl SecretVariable {
    /// The value in a secret. `host` replaces the database's.
    fn read(self, text: &SecretString, host: Option<&str>) -> Result<SecretString, Problems> {
        // Pasted values often end with a line break.
        let value = text.expose_secret().trim();
        let has_host_elsewhere = || {
            let message = format!("the secret is a URL, and {DATABASE_HOST} is set");
            let help = format!("write the host into the URL, and unset {DATABASE_HOST}");
            Problems::from(Problem::setting("config.secret_form", self.arn, message, help))
        };
        if !value.starts_with('{') {
            return if host.is_none() { Ok(value.into()) } else { Err(has_host_elsewhere()) };
        }
        let unusable = |needs: &str| {
            let message = format!("the secret's JSON lacks the required keys ({needs})");
            let help = "store the bare value, or JSON with these keys";
            Problems::from(Problem::setting("config.secret_form", self.arn, message, help))
        };
        match self.form {
            Form::Text => Ok(value.into()),
            Form::Token => serde_json::from_str::<Token>(value).map(|it| it.token).map_err(|_| unusable("token")),
            Form::Field(key) => field(value, key).ok_or_else(|| unusable(key)),
            Form::OptionalField(key) => Ok(field(value, key).unwrap_or_default()),
            Form::Database => {
                let needs = "url, or username, password and host";
                let database: Database = serde_json::from_str(value).map_err(|_| unusable(needs))?;
                if host.is_some() && database.url.is_some() {
                    return Err(has_host_elsewhere());
                }
                database.into_url(host).ok_or_else(|| unusable(needs))
            }
        }
    }
}

/// The text under a key of an object.
fn field(json: &str, key: &str) -> Option<SecretString> {
    let mut fields: HashMap<String, SecretString> = serde_json::from_str(json).ok()?;
    fields.remove(key)
}

impl Database {
    fn into_url(self, host: Option<&str>) -> Option<SecretString> {
        if let Some(url) = self.url {
            return Some(url);
        }
        let (user, password, own) = (self.username?, self.password?, self.host?);
        let host = host.unwrap_or(&own);
        let (user, password) = (percent_encoded(&user), percent_encoded(password.expose_secret()));
        let (port, name) = (self.port.unwrap_or(5432), self.dbname.unwrap_or_else(|| "mergeline".to_owned()));
        Some(format!("postgres://{user}:{password}@{host}:{port}/{}", percent_encoded(&name)).into())
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variable: SecretVariable, text: &str) -> Result<String, String> {
        let value = variable.read(&SecretString::from(text.to_owned()), None);
        value.map(|value| value.expose_secret().to_owned()).map_err(|problems| problems.to_string())
    }

    #[test]
    fn bare_values_lose_their_trailing_line_break() {
        assert_eq!(read(GITHUB_TOKEN, "ghp_x\n"), Ok("ghp_x".to_owned()));
        assert_eq!(read(DATABASE_URL, "postgres://u:p@h/m"), Ok("postgres://u:p@h/m".to_owned()));
        assert_eq!(read(API_KEYS, "[{\"name\": \"grafana\"}]\n"), Ok("[{\"name\": \"grafana\"}]".to_owned()));
    }

    #[test]
    fn secrets_manager_json_becomes_an_encoded_database_url() {
        let rds = r#"{"engine":"postgres","host":"db.example.com","port":5433,"username":"mergeline","password":"p@ss/word","dbname":"numbers"}"#;
        let url = "postgres://mergeline:p%40ss%2Fword@db.example.com:5433/numbers";
        assert_eq!(read(DATABASE_URL, rds), Ok(url.to_owned()));
        assert_eq!(read(GITHUB_TOKEN, r#"{"token":"ghp_x"}"#), Ok("ghp_x".to_owned()));
    }

    #[test]
    fn a_proxy_takes_the_place_of_the_databases_host() {
        let at_proxy = |text: &str| DATABASE_URL.read(&SecretString::from(text.to_owned()), Some("proxy.example.com"));
        let rds = r#"{"host":"db.example.com","port":5432,"username":"reader","password":"s3cret"}"#;
        let url = at_proxy(rds).map(|value| value.expose_secret().to_owned()).map_err(|problems| problems.to_string());
        assert_eq!(url, Ok("postgres://reader:s3cret@proxy.example.com:5432/mergeline".to_owned()));
        for text in ["postgres://u:s3cret@db.example.com/m", r#"{"url":"postgres://u:s3cret@db.example.com/m"}"#] {
            let problem = at_proxy(text).expect_err("refused").to_string();
            assert!(problem.contains("DB_HOST") && !problem.contains("s3cret"), "{problem}");
        }
    }

    #[test]
    fn one_secret_may_hold_both_of_the_login() {
        let both = r#"{"client_secret":"at the provider","session_secret":"for cookies"}"#;
        assert_eq!(read(LOGIN_SECRET, both), Ok("at the provider".to_owned()));
        assert_eq!(read(SESSION_SECRET, both), Ok("for cookies".to_owned()));
        let one = r#"{"session_secret":"for cookies"}"#;
        assert_eq!(read(LOGIN_SECRET, one), Ok(String::new()), "a public client has none");
        assert_eq!(read(SESSION_SECRET, "for cookies\n"), Ok("for cookies".to_owned()));
    }

    #[test]
    fn json_without_required_keys_is_refused_and_hidden() {
        for (variable, text) in [
            (GITHUB_TOKEN, r#"{"key":"s3cret"}"#),
            (DATABASE_URL, r#"{"password":"s3cret"}"#),
            (SESSION_SECRET, r#"{"secret":"s3cret"}"#),
        ] {
            let problem = read(variable, text).expect_err("refused");
            assert!(problem.contains("config.secret_form") && !problem.contains("s3cret"), "{problem}");
        }
    }
}
