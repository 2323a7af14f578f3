//! The Lambda function `api`.

use std::future::Ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use lambda_http::request::LambdaRequest;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::tower::Service;
use lambda_runtime::{LambdaEvent, Runtime};
use mergeline_api::{Api, Authorizer, Login, NoticeQueue, Settings, TokenCheck, Webhooks, router};
use mergeline_aws::{
    API_KEYS, Aws, DATABASE_URL, LOGIN_SECRET, OTLP_HEADERS, SESSION_SECRET, SecretValues, SecretVariable, Secrets,
    VariableError, WEBHOOK_SECRETS,
};
use mergeline_domain::Problems;
use mergeline_lambda::{
    ChangesQueue, DirectlyAsked, Examination, TracesAfterAnswers, examine_api, export_traces, with_way_in,
};
use mergeline_store::{Poster, Reader, Renewal};
use tokio::sync::Mutex;

/// Of each of the two pools. A sandbox answers one request at a time; the second connection is for what looks at the database
/// beside it, such as the check of its health.
const CONNECTIONS: u32 = 2;
/// The variables that may be stored as secrets.
const SECRETS: [SecretVariable; 6] =
    [DATABASE_URL, API_KEYS, WEBHOOK_SECRETS, LOGIN_SECRET, SESSION_SECRET, OTLP_HEADERS];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    mergeline_telemetry::init(None);
    #[expect(clippy::disallowed_methods, reason = "the program's one clock")]
    let clock = Utc::now;
    // Loading the AWS client takes time, which a laptop does not need to spend.
    let changes = variable("CHANGES_QUEUE_URL");
    let has_secrets = SecretValues::any_configured(&SECRETS, variable);
    let has_login = variable("DB_LOGIN").is_some();
    let aws = if has_secrets || has_login || changes.is_some() { Some(Aws::from_vars(variable).await) } else { None };
    let secrets = aws.as_ref().filter(|_| has_secrets).map(Aws::secrets);
    let queue = aws.as_ref().zip(changes).map(|(aws, url)| ChangesQueue::new(aws.queue(&url)));
    let mut function = Function { aws: aws.clone(), secrets, values: SecretValues::default(), clock };
    let examine = {
        let aws = aws.clone();
        move || examination(aws.clone(), clock)
    };
    let settings = match function.settings().await {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!(code = error.code(), "The function cannot start: {error}");
            return Runtime::new(DirectlyAsked::new(NotStarted, examine)).run().await;
        }
    };
    export_traces(|name| function.values.get(name).or_else(|| variable(name)));
    let connections = settings.database.clone().with_connections(CONNECTIONS);
    let (store, poster) = (Reader::connect(&connections), Poster::connect(&connections));
    let database = settings.database.fingerprint();
    let (store, poster) = match function.secrets {
        Some(_) => {
            let renewal = renewal(function, store.clone(), poster.clone());
            (store.with_renewal(renewal.clone()), poster.with_renewal(renewal))
        }
        None => (store, poster),
    };
    // Not every request comes through the gateway: `cargo lambda watch` forwards everything that reaches its port.
    let hosts = Some(settings.hosts);
    let queue = queue.map(|queue| -> Arc<dyn NoticeQueue> { Arc::new(queue) });
    let webhooks = Webhooks { secrets: settings.webhooks, queue };
    let (keys, gateway_key_scope) = (settings.keys, Some(settings.gateway_key_scope));
    let tokens = settings.tokens.map(TokenCheck::new).transpose()?.map(Arc::new);
    // Never without a login: anyone can reach the page through the gateway. A browser has no key where there are none, cannot
    // sign, and gets its token by a login.
    let page = match (settings.login, settings.authorizer) {
        (Some(login), _) => Some(Login::oidc(login)?),
        (None, Authorizer::Key) => Some(Login::Key),
        (None, Authorizer::Iam | Authorizer::Jwt) => None,
    };
    let api = Api {
        poster: Some(poster),
        keys,
        authorizer: settings.authorizer,
        tokens,
        gateway_key_scope,
        webhooks,
        hosts,
        origins: settings.origins,
        page,
        database,
        stale_after: settings.stale_after,
        ..Api::new(store, settings.timeout, clock)
    };
    let service = tower::ServiceBuilder::new()
        .option_layer(mergeline_telemetry::continue_traces())
        .map_request(mergeline_lambda::without_base_path)
        .service(router(api));
    let handler = DirectlyAsked::new(lambda_http::Adapter::from(service), examine);
    let runtime = Runtime::new(handler).layer(TracingLayer::new());
    runtime.layer(TracesAfterAnswers).run().await
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.trim().is_empty())
}

/// What this function reaches.
fn examination(aws: Option<Aws>, clock: fn() -> DateTime<Utc>) -> BoxFuture<'static, Examination> {
    // Boxed, because it is a large future.
    Box::pin(async move { examine_api(aws.as_ref(), &SECRETS, &variable, clock).await })
}

/// Answers nothing, because the function has no settings. It ends the sandbox with a request, as if it had not started: the next one
/// tries again.
struct NotStarted;

impl Service<LambdaEvent<LambdaRequest>> for NotStarted {
    type Response = ();
    type Error = lambda_http::Error;
    type Future = Ready<Result<(), lambda_http::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), lambda_http::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: LambdaEvent<LambdaRequest>) -> Self::Future {
        std::process::exit(1)
    }
}

/// Where the settings come from.
struct Function {
    aws: Option<Aws>,
    secrets: Option<Secrets>,
    /// The values that were last read.
    values: SecretValues,
    clock: fn() -> DateTime<Utc>,
}

impl Function {
    async fn settings(&mut self) -> Result<Settings, VariableError> {
        if let Some(secrets) = &self.secrets {
            self.values = SecretValues::fetch(secrets, &SECRETS, variable, true).await?;
        }
        let mut settings = Settings::from_vars(|name| self.values.get(name).or_else(|| variable(name)))?;
        settings.database =
            with_way_in(settings.database, self.aws.as_ref(), variable, self.clock).map_err(Problems::from)?;
        Ok(settings)
    }
}

fn renewal(function: Function, store: Reader, poster: Poster) -> Renewal {
    let function = Arc::new(Mutex::new(function));
    mergeline_lambda::renewal(move || {
        let (function, store, poster) = (function.clone(), store.clone(), poster.clone());
        async move {
            let mut function = function.lock().await;
            let before = function.values.clone();
            match function.settings().await {
                Ok(_) if function.values == before => false,
                Ok(settings) => {
                    let connections = settings.database.with_connections(CONNECTIONS);
                    store.reconnect_with(&connections);
                    poster.reconnect_with(&connections);
                    true
                }
                Err(error) => {
                    tracing::error!(code = error.code(), "Could not refresh the secrets: {error}");
                    false
                }
            }
        }
        .boxed()
    })
}
