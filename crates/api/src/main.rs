//! The Lambda function `api`.

use std::sync::Arc;

use chrono::Utc;
use futures::FutureExt;
use mergeline_api::{Api, Renewal, Settings, router};
use mergeline_aws::{API_KEYS, Aws, DATABASE_URL, SecretValues, SecretVariable, Secrets};
use mergeline_store::Store;

/// The variables that may be kept as secrets.
const SECRETS: [SecretVariable; 2] = [DATABASE_URL, API_KEYS];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    mergeline_telemetry::init(None);
    #[expect(clippy::disallowed_methods, reason = "the program's one clock")]
    let clock = Utc::now;
    // Loading what AWS needs costs time that a laptop need not spend.
    let secrets = if SecretValues::are_named_by(&SECRETS, variable) {
        Some(Arc::new(Aws::from_vars(variable).await.secrets()))
    } else {
        None
    };
    let settings = settings(secrets.as_deref(), false)
        .await
        .inspect_err(|error| tracing::error!("The function cannot start: {error}"))?;
    let store = Store::connect(&settings.database);
    let renewal = secrets.map(|secrets| renewal(secrets, store.clone()));
    lambda_http::run(router(Api { store, keys: settings.keys, timeout: settings.timeout, clock, renewal })).await
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

async fn settings(secrets: Option<&Secrets>, fresh: bool) -> Result<Settings, lambda_http::Error> {
    let values = match secrets {
        Some(secrets) => SecretValues::fetch(secrets, &SECRETS, variable, fresh).await?,
        None => SecretValues::default(),
    };
    Ok(Settings::from_vars(|name| values.get(name).or_else(|| variable(name)))?)
}

/// A password that was changed while the sandbox is warm is read anew when the database refuses the old one.
fn renewal(secrets: Arc<Secrets>, store: Store) -> Renewal {
    Renewal::new(move || {
        let (secrets, store) = (secrets.clone(), store.clone());
        async move {
            match settings(Some(&secrets), true).await {
                Ok(settings) => store.reconnect_with(&settings.database),
                Err(error) => {
                    tracing::error!("The secrets cannot be read anew: {error}");
                    return false;
                }
            }
            true
        }
        .boxed()
    })
}
