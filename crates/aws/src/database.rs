//! Tokens that RDS and Aurora take in place of a password (IAM database authentication).

use std::time::{Duration, SystemTime};

use aws_config::{Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use secrecy::SecretString;

use crate::AwsError;
use crate::error::{Failure, Kind};

/// How long RDS takes a token for a new connection; it ends none that is open. Source: Amazon RDS, "IAM database authentication".
const VALID_FOR: Duration = Duration::from_secs(15 * 60);
const SERVICE: &str = "rds-db";
const ACTION: &str = "rds-db:connect";

/// Makes tokens for logins of databases, without asking anybody: a token is a signed address.
#[derive(Debug, Clone)]
pub struct DatabaseTokens {
    credentials: Option<SharedCredentialsProvider>,
    region: Option<Region>,
}

impl DatabaseTokens {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self { credentials: config.credentials_provider(), region: config.region().cloned() }
    }

    /// A token with which this login is let in by the database at this address for the next 15 minutes, if the identity may
    /// `rds-db:connect` as it.
    ///
    /// # Errors
    /// [`AwsError::NotConfigured`] without region or credentials.
    pub async fn token(&self, host: &str, port: u16, login: &str, now: SystemTime) -> Result<SecretString, AwsError> {
        let unusable =
            |error: &dyn std::error::Error| Failure::of(Kind::NotConfigured, error).into_error(ACTION, login);
        let missing = |what: &str| {
            let error = std::io::Error::other(format!("no {what}"));
            unusable(&error)
        };
        let region = self.region.as_ref().ok_or_else(|| missing("region"))?;
        let provider = self.credentials.as_ref().ok_or_else(|| missing("credentials"))?;
        let identity = provider.provide_credentials().await.map_err(|error| unusable(&error))?.into();
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(VALID_FOR);
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region.as_ref())
            .name(SERVICE)
            .time(now)
            .settings(settings)
            .build()
            .map_err(|error| unusable(&error))?
            .into();
        let address = format!("{host}:{port}/?Action=connect&DBUser={}", encoded(login));
        let url = format!("https://{address}");
        let request = SignableRequest::new("GET", &*url, std::iter::empty(), SignableBody::Bytes(&[]))
            .map_err(|error| unusable(&error))?;
        let (signature, _) = sign(request, &parameters).map_err(|error| unusable(&error))?.into_parts();
        let (_, signed) = signature.into_parts();
        // The signed address without its scheme is the token.
        let signed: String = signed.iter().map(|(name, value)| format!("&{name}={}", encoded(value))).collect();
        Ok(SecretString::from(format!("{address}{signed}")))
    }
}

/// As Signature Version 4 encodes: everything but what RFC 3986 calls unreserved.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use secrecy::ExposeSecret;

    use super::*;

    /// 2026-11-30T20:29:11Z
    const NOW: Duration = Duration::from_secs(1_796_070_551);

    fn tokens(session: Option<&str>) -> DatabaseTokens {
        let key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", key, session.map(str::to_owned), None, "test");
        let credentials = Some(SharedCredentialsProvider::new(credentials));
        DatabaseTokens { credentials, region: Some(Region::new("eu-north-1")) }
    }

    async fn token(session: Option<&str>, login: &str, now: Duration) -> String {
        let host = "db.abc.eu-north-1.rds.amazonaws.com";
        let token = tokens(session).token(host, 5432, login, SystemTime::UNIX_EPOCH + now).await;
        token.expect("a token").expose_secret().to_owned()
    }

    /// The address, and the parameters in order.
    fn parts(token: &str) -> (String, Vec<String>) {
        let (address, query) = token.split_once('?').expect("an address");
        let mut parameters: Vec<String> = query.split('&').map(str::to_owned).collect();
        parameters.sort();
        (address.to_owned(), parameters)
    }

    /// The answers are those of `generate_db_auth_token` of AWS's SDK for Python, at that time.
    #[tokio::test]
    async fn a_token_is_the_one_that_awss_own_sdk_makes() {
        const START: &str = "db.abc.eu-north-1.rds.amazonaws.com:5432/?Action=connect&DBUser=mergeline_writer\
            &X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIDEXAMPLE%2F20261130%2Feu-north-1%2Frds-db%2Faws4_request&X-Amz-Date=20261130T202911Z\
            &X-Amz-SignedHeaders=host&X-Amz-Expires=900";
        for (session, rest) in [
            (None, "&X-Amz-Signature=7ddffa5e143b0094cd7a529c788d19e640c55e9f4b7b2f8858b50d966a897c97"),
            (
                Some("session/token+=="),
                "&X-Amz-Security-Token=session%2Ftoken%2B%3D%3D\
                 &X-Amz-Signature=9504e2a8470854f538ca72a354098de6a782119c3b4bcba508d75ae14c6e9c16",
            ),
        ] {
            assert_eq!(parts(&token(session, "mergeline_writer", NOW).await), parts(&format!("{START}{rest}")));
        }
    }

    #[tokio::test]
    async fn a_token_is_for_one_login_and_one_time() {
        let first = token(None, "mergeline_writer", NOW).await;
        assert_ne!(first, token(None, "mergeline_reader", NOW).await);
        assert_ne!(first, token(None, "mergeline_writer", NOW + Duration::from_secs(1)).await);
        let odd = token(None, "a&DBUser=b c/ä", NOW).await;
        assert!(odd.contains("DBUser=a%26DBUser%3Db%20c%2F%C3%A4&"), "{odd}");
    }

    #[tokio::test]
    async fn without_region_or_credentials_there_is_none() {
        for tokens in
            [DatabaseTokens { region: None, ..tokens(None) }, DatabaseTokens { credentials: None, ..tokens(None) }]
        {
            let error = tokens.token("db", 5432, "a", SystemTime::UNIX_EPOCH).await.expect_err("none");
            assert_eq!(error.code(), "aws_not_configured");
        }
    }
}
