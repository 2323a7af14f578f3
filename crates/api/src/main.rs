//! The Lambda function `api`.

use chrono::Utc;
use mergeline_api::{Api, Settings, router};
use mergeline_aws::{Aws, DATABASE_URL, SecretValues};
use mergeline_store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    mergeline_telemetry::init(None);
    #[expect(clippy::disallowed_methods, reason = "the program's one clock")]
    let clock = Utc::now;
    let settings = settings().await.inspect_err(|error| tracing::error!("The function cannot start: {error}"))?;
    let store = Store::connect(&settings.database);
    lambda_http::run(router(Api { store, key: settings.key, timeout: settings.timeout, clock })).await
}

async fn settings() -> Result<Settings, lambda_http::Error> {
    let lookup = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
    let secrets = if SecretValues::are_named_by(&[DATABASE_URL], lookup) {
        let secrets = Aws::from_vars(lookup).await.secrets();
        SecretValues::fetch(&secrets, &[DATABASE_URL], lookup, false).await?
    } else {
        // Loading what AWS needs costs time that a laptop need not spend.
        SecretValues::default()
    };
    Ok(Settings::from_vars(|name| secrets.get(name).or_else(|| lookup(name)))?)
}
