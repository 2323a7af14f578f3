//! `GET /v1/services` and `/v1/state`: what is deployed, and what is in force.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::Method;
use schemars::JsonSchema;
use serde::Serialize;

use super::resources::{age_hours, instant};
use crate::auth::scope::Scope;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;
use crate::state::Api;

pub(crate) const SERVICES: Operation = Operation {
    method: Method::GET,
    path: "/services",
    handler: |filter| on(filter, list),
    admission: Admit::Lookup,
    id: "listServices",
    summary: "All services",
    description: "The services of the teams file, then each repository that none of them has: it is a service by itself, called \
                  `owner.name`.",
    scope: Some(Scope::MetricsRead),
    parameters: NoParameters::DESCRIPTIONS,
    has_csv: false,
    has_etag: false,
    body: Body::Json(enveloped::<Vec<Service>, ServicesMeta>),
};

pub(crate) const STATE: Operation = Operation {
    path: "/state",
    handler: |filter| on(filter, state),
    id: "getState",
    summary: "What is in force",
    description: "For each service: the deployment in force in production and since when, merged pull requests that no deployment \
                  contains, and open incidents.",
    body: Body::Json(enveloped::<Vec<ServiceState>, ServicesMeta>),
    ..SERVICES
};

/// What is deployed and fails as one.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Service {
    id: i64,
    slug: String,
    name: String,
    /// Whether it is a repository that no service of the teams file has.
    implied: bool,
    /// Its repositories, as `owner/name`.
    repositories: Vec<String>,
    /// Whether any deployment of it to production is known.
    has_deployments: bool,
}

/// What is in force of a service, and what waits.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceState {
    id: i64,
    slug: String,
    name: String,
    /// The deployment in force in production; null if there is none whose commits are known.
    in_force: Option<InForce>,
    /// Merged pull requests that no deployment contains.
    not_deployed: i64,
    /// How long ago the oldest of them was merged.
    oldest_not_deployed_hours: Option<f64>,
    open_incidents: i64,
    /// The last event that its source reported.
    #[schemars(extend("format" = "date-time"))]
    last_event_at: Option<String>,
}

/// The deployment in force.
#[derive(Debug, Serialize, JsonSchema)]
struct InForce {
    deployment_id: i64,
    #[schemars(extend("format" = "date-time"))]
    since: String,
    /// Its commits, as `owner/name@sha`.
    revisions: Vec<String>,
}

/// The number of services.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServicesMeta {
    count: usize,
    /// The instant that the response describes.
    #[schemars(extend("format" = "date-time"))]
    as_of: String,
}

/// All services in force.
async fn list(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    if request.access()?.viewer().is_limited() {
        return Err(ApiError::LimitedToTeams);
    }
    let services = api.store.session().await?.services().await?;
    let services: Vec<Service> = services
        .into_iter()
        .map(|service| Service {
            id: service.id.0,
            slug: service.slug,
            name: service.name,
            implied: service.is_implied,
            repositories: service.repositories,
            has_deployments: service.has_deployments,
        })
        .collect();
    let meta = ServicesMeta { count: services.len(), as_of: instant(api.now()) };
    Ok(answer(services, meta))
}

/// What is in force of each service.
async fn state(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    if request.access()?.viewer().is_limited() {
        return Err(ApiError::LimitedToTeams);
    }
    let now = api.now();
    let states = api.store.session().await?.service_states().await?;
    let states: Vec<ServiceState> = states
        .into_iter()
        .map(|state| ServiceState {
            id: state.id.0,
            slug: state.slug,
            name: state.name,
            in_force: state.in_force.zip(state.in_force_since).map(|(deployment, since)| InForce {
                deployment_id: deployment.0,
                since: instant(since),
                revisions: state.revisions,
            }),
            not_deployed: state.waiting,
            oldest_not_deployed_hours: state.oldest_waiting.map(|at| age_hours(at, now)),
            open_incidents: state.open_incidents,
            last_event_at: state.last_event_at.map(instant),
        })
        .collect();
    let meta = ServicesMeta { count: states.len(), as_of: instant(now) };
    Ok(answer(states, meta))
}
