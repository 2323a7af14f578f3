//! The Lambda function `api`.

use chrono::Utc;
use mergeline_api::{Api, Settings, router};
use mergeline_store::Store;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    mergeline_telemetry::init(None);
    #[expect(clippy::disallowed_methods, reason = "the program's one clock")]
    let clock = Utc::now;
    let settings = Settings::from_vars(|name| std::env::var(name).ok().filter(|text| !text.trim().is_empty()))
        .inspect_err(|problems| {
            tracing::error!("The function cannot start: {problems}");
        })?;
    let store = Store::connect(&settings.database);
    lambda_http::run(router(Api { store, key: settings.key, timeout: settings.timeout, clock })).await
}
