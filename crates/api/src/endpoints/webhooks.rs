//! `POST /v1/webhook/{plugin}`: deliveries of webhooks.
//!
//! The signature is checked over the bytes as they came, before anything of them is read. What a delivery of GitHub is about is read
//! from GitHub, or stored, later: the answer leaves in milliseconds.

use axum::body::{Body as RequestBody, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use http::{Method, StatusCode};
use mergeline_domain::delivery::{IncidentChange, IncidentEvent};
use mergeline_domain::metrics::InvalidParameter;
use mergeline_store::{
    Channel, DeliveryOutcome, EventDigest, EventRefusal, EventSubject, Poster, ReceivedDelivery, Sender, StoredIncident,
};
use mergeline_webhooks::{
    ChangeNotice, ChangedRepository, Delivery, IncidentMessage, Meaning, Message, Plugin, SignedWith, Unusable,
};
use sha2::{Digest, Sha256};

use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation};
use crate::http::parameters::{Parameter, ParameterReader, Parameters, WEBHOOK_SERVICE, service_text};
use crate::http::request::ApiRequest;
use crate::state::Api;

/// AWS takes no larger request to a function.
const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;

pub(crate) const RECEIVE: Operation = Operation {
    method: Method::POST,
    path: "/webhook/{plugin}",
    handler: |filter| on(filter, receive),
    admission: Admit::Webhook,
    id: "receiveWebhook",
    summary: "Receive a webhook",
    description: "Needs no key, but the signature of the plugin with a secret in WEBHOOK_SECRETS. A delivery of `github` makes the \
                  collector read its repository soon, or store the deployment that it is about. The other plugins report incidents of the service in `service`. 202 if the \
                  delivery means something here, 204 if not.",
    scope: None,
    parameters: WebhookParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    request_body: None,
    body: Body::Nothing,
};

#[derive(Debug)]
struct WebhookParameters {
    service: Option<String>,
}

impl Parameters for WebhookParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&WEBHOOK_SERVICE];

    fn read(reader: &mut ParameterReader) -> Self {
        Self { service: service_text(reader) }
    }
}

async fn receive(State(api): State<Api>, request: ApiRequest, body: RequestBody) -> Result<Response, ApiError> {
    let plugin = request.plugin()?;
    let WebhookParameters { service } = request.parameters()?;
    let body = axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| ApiError::DeliveryTooLarge)?;
    let delivery = Delivery { plugin, headers: &request.headers, body: &body, received_at: api.now() };
    match delivery.verify(&api.webhooks.secrets) {
        Err(_) => {
            // Counted by the log: a row for each would let anyone fill the table.
            let reason = if api.webhooks.secrets.of(plugin).is_empty() {
                "WEBHOOK_SECRETS has no secret for it"
            } else {
                "its signature is missing or wrong"
            };
            tracing::warn!(webhook.plugin = %plugin, "A webhook was refused: {reason}");
            return Err(ApiError::WrongSignature);
        }
        Ok(SignedWith::Previous) => {
            tracing::info!(webhook.plugin = %plugin, "A webhook was signed with the secret that is being replaced");
        }
        Ok(SignedWith::Current) => {}
    }
    let poster = api.poster.as_ref().ok_or(ApiError::MethodNotAllowed)?;
    let delivery_id = request.headers.get("x-github-delivery").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let receiving = Receiving { api: &api, poster, plugin, digest: digest_of(&body), delivery_id, service };
    match delivery.read() {
        Ok(message) => receiving.take(message).await,
        Err(unusable) => receiving.refuse(&unusable).await,
    }
}

fn digest_of(body: &Bytes) -> EventDigest {
    Sha256::digest(body).into()
}

/// A delivery whose signature is right.
struct Receiving<'a> {
    api: &'a Api,
    poster: &'a Poster,
    plugin: Plugin,
    digest: EventDigest,
    /// Known also if the body cannot be read.
    delivery_id: Option<String>,
    service: Option<String>,
}

impl Receiving<'_> {
    async fn take(&self, message: Message) -> Result<Response, ApiError> {
        let Message { id, kind, meaning } = message;
        let received =
            ReceivedDelivery { plugin: self.plugin.into(), id: id.as_deref(), kind: &kind, digest: &self.digest };
        match meaning {
            Meaning::Nothing => self.ignore(&received).await,
            Meaning::Changed(changed) => self.changed(&received, changed).await,
            Meaning::Incidents(incidents) => self.incidents(incidents).await,
        }
    }

    async fn ignore(&self, received: &ReceivedDelivery<'_>) -> Result<Response, ApiError> {
        self.poster.record_delivery(received, DeliveryOutcome::Ignored, self.api.now()).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// Records that it cannot be used.
    async fn refuse(&self, unusable: &Unusable) -> Result<Response, ApiError> {
        let (reason, error) = match unusable {
            Unusable::ContentType => ("content_type", ApiError::UnsupportedMediaType),
            Unusable::Body(_) => ("body", ApiError::parameter("body", "invalid", unusable.to_string())),
            Unusable::Header(name) => ("header", ApiError::parameter(name, "missing", unusable.to_string())),
        };
        let id = self.delivery_id.as_deref();
        let received = ReceivedDelivery { plugin: self.plugin.into(), id, kind: "", digest: &self.digest };
        self.poster.record_delivery(&received, DeliveryOutcome::Refused(reason), self.api.now()).await?;
        Err(error)
    }

    /// Has a repository read soon. A delivery is recorded only after the queue took it: one that comes again is answered like the
    /// first time, and not lost before.
    async fn changed(&self, received: &ReceivedDelivery<'_>, changed: ChangedRepository) -> Result<Response, ApiError> {
        let known = self
            .poster
            .known_delivery(received, Some((&changed.id.into(), &changed.name)), changed.carried.is_some())
            .await?;
        let Some((repository, name)) = known.repository else { return self.ignore(received).await };
        if changed.carried.as_ref().is_some_and(|it| !known.sources.contains(&it.source())) {
            return self.ignore(received).await;
        }
        // One that meant nothing may be sent again after its repository was added.
        if known.outcome.as_deref() != Some("queued") {
            let now = self.api.now();
            let ChangedRepository { updated_at, carried, .. } = changed;
            let notice = ChangeNotice { repository, name, received_at: now, updated_at, carried, tries: 0 };
            let Some(queue) = &self.api.webhooks.queue else {
                tracing::error!("A webhook of GitHub came, but nothing reads repositories for them here");
                return Err(ApiError::Unavailable);
            };
            if let Err(error) = queue.push(notice).await {
                tracing::error!("A webhook could not be queued: {error}");
                return Err(ApiError::Unavailable);
            }
            self.poster.record_delivery(received, DeliveryOutcome::Queued(repository), now).await?;
        }
        Ok(StatusCode::ACCEPTED.into_response())
    }

    /// Stores what happened to incidents. That is harmless when repeated.
    async fn incidents(&self, incidents: Vec<IncidentMessage>) -> Result<Response, ApiError> {
        let plugin: &'static str = self.plugin.into();
        let sender = Sender { channel: Channel::Webhook, plugin: Some(plugin), ..Sender::default() };
        // One that cannot be used does not hold up the others of its delivery.
        let mut refusal = None;
        for IncidentMessage { mut incident, change } in incidents {
            if incident.service.is_empty() {
                incident.service = self.service.clone().unwrap_or_default();
            }
            match self.store(&sender, incident, change).await {
                // It may be sent again.
                Err(error) if error.status().is_server_error() => return Err(error),
                Err(error) => refusal = refusal.or(Some(error)),
                Ok(()) => {}
            }
        }
        refusal.map_or_else(|| Ok(StatusCode::ACCEPTED.into_response()), Err)
    }

    async fn store(
        &self,
        sender: &Sender,
        incident: IncidentEvent,
        change: Option<IncidentChange>,
    ) -> Result<(), ApiError> {
        let (id, now) = (incident.id.clone(), self.api.now());
        let checked = if incident.service.is_empty() {
            let message = format!(
                "add the service to the address of the webhook: /v1/webhook/{}?service=shop",
                <&str>::from(self.plugin)
            );
            Err(vec![InvalidParameter::new("service", "missing", message)])
        } else {
            incident.check(now)
        };
        let posted = match checked {
            Ok(posted) => posted,
            Err(invalid) => {
                let subject = EventSubject::Incident;
                self.poster.record_refused_event(sender, &self.digest, subject, Some(&id), "invalid", now).await?;
                return Err(ApiError::Validation(invalid));
            }
        };
        let stored: Result<StoredIncident, EventRefusal> =
            self.poster.post_incident(sender, &self.digest, &posted, now).await?;
        stored?;
        let Some(change) = change else { return Ok(()) };
        self.poster.change_incident(sender, &self.digest, &id, change.no_later_than(now), now).await??;
        Ok(())
    }
}
