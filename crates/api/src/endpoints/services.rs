//! `GET /v1/services` and `/v1/state`: what is deployed, and what is in force.

use axum::extract::State;
use axum::response::Response;
use axum::routing::on;
use http::Method;
use mergeline_reporting::PRODUCTION;
use mergeline_store::ServiceOwner;
use schemars::JsonSchema;
use serde::Serialize;

use super::resources::{age_hours, instant};
use crate::auth::scope::Scope;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::etag::ETag;
use crate::http::operation::{Admit, Body, Operation, enveloped};
use crate::http::parameters::{ENVIRONMENT, NoParameters, Parameter, ParameterReader, Parameters, environment_of};
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
    has_etag: true,
    request_body: None,
    body: Body::Json(enveloped::<Vec<Service>, ServicesMeta>),
};

pub(crate) const STATE: Operation = Operation {
    path: "/state",
    handler: |filter| on(filter, state),
    id: "getState",
    summary: "What is in force",
    description: "For each service: what is in force of each repository in production, or in `environment`, and since when; merged pull \
                  requests that no deployment to production contains, and open incidents.",
    parameters: StateParameters::DESCRIPTIONS,
    has_etag: false,
    body: Body::Json(enveloped::<Vec<ServiceState>, StateMeta>),
    ..SERVICES
};

#[derive(Debug)]
struct StateParameters {
    environment: Option<String>,
}

impl Parameters for StateParameters {
    const DESCRIPTIONS: &'static [&'static Parameter] = &[&ENVIRONMENT];

    fn read(reader: &mut ParameterReader) -> Self {
        Self { environment: environment_of(reader) }
    }
}

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
    /// The files of them that belong to it; null for all.
    paths: Option<Vec<String>>,
    /// The environments that are its production; null for those of the whole teams file.
    environments: Option<Vec<String>>,
    /// Who owns it.
    owners: Vec<Owner>,
    /// Whether any deployment of it to production is known.
    has_deployments: bool,
}

/// A team that owns a service for a time.
#[derive(Debug, Serialize, JsonSchema)]
struct Owner {
    team: String,
    weight: f64,
    /// Since when; null from the beginning.
    #[schemars(extend("format" = "date-time"))]
    from: Option<String>,
    /// Until when; null for no end.
    #[schemars(extend("format" = "date-time"))]
    to: Option<String>,
}

/// What is in force of a service, and what waits.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServiceState {
    id: i64,
    slug: String,
    name: String,
    /// What is in force of each of its repositories in the environment, as far as its commits are known.
    in_force: Vec<InForce>,
    /// Merged pull requests that no deployment contains; null without a known deployment.
    not_deployed: Option<i64>,
    /// How long ago the oldest of them was merged.
    oldest_not_deployed_hours: Option<f64>,
    /// Merged pull requests of which that is not known yet, because their details or files are not read.
    not_collected: i64,
    open_incidents: i64,
    /// The last state of any of its deployments, whichever source reported it and to any environment.
    #[schemars(extend("format" = "date-time"))]
    last_event_at: Option<String>,
}

/// The deployment in force of a repository.
#[derive(Debug, Serialize, JsonSchema)]
struct InForce {
    repository: String,
    deployment_id: i64,
    #[schemars(extend("format" = "date-time"))]
    since: String,
    commit: String,
}

impl From<mergeline_store::InForce> for InForce {
    fn from(it: mergeline_store::InForce) -> Self {
        let (since, commit) = (instant(it.since), it.commit.to_string());
        Self { repository: it.repository, deployment_id: it.deployment.0, since, commit }
    }
}

impl From<ServiceOwner> for Owner {
    fn from(owner: ServiceOwner) -> Self {
        let ServiceOwner { team, share, from, to } = owner;
        Self { team: team.to_string(), weight: share.as_part(), from: from.map(instant), to: to.map(instant) }
    }
}

/// The number of services.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ServicesMeta {
    count: usize,
    /// The instant that the response describes.
    #[schemars(extend("format" = "date-time"))]
    as_of: String,
}

/// What the states are of.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StateMeta {
    /// The environment, in lower case, or `production` or `transient` for all that are.
    environment: String,
    count: usize,
    /// The instant that the response describes.
    #[schemars(extend("format" = "date-time"))]
    as_of: String,
}

/// All services in force.
async fn list(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    request.refuse_limited()?;
    let mut session = api.store.session().await?;
    let services = session.services().await?;
    let mut owners = session.service_owners().await?;
    let services: Vec<Service> = services
        .into_iter()
        .map(|service| Service {
            id: service.id.0,
            slug: service.slug,
            name: service.name,
            implied: service.is_implied,
            repositories: service.repositories,
            paths: service.paths,
            environments: service.environments,
            owners: owners.remove(&service.id).unwrap_or_default().into_iter().map(Owner::from).collect(),
            has_deployments: service.has_deployments,
        })
        .collect();
    let etag = ETag::of_content(&(request.operation.id, &services))?;
    etag.unless_known(&request.headers, || {
        let meta = ServicesMeta { count: services.len(), as_of: instant(api.now()) };
        Ok(answer(services, meta))
    })
}

/// What is in force of each service.
async fn state(State(api): State<Api>, request: ApiRequest) -> Result<Response, ApiError> {
    let StateParameters { environment } = request.parameters()?;
    request.format(None)?;
    request.refuse_limited()?;
    let now = api.now();
    let environment = environment.map_or_else(|| PRODUCTION.to_owned(), |name| name.to_lowercase());
    let states = api.store.session().await?.service_states(&environment).await?;
    let states: Vec<ServiceState> = states
        .into_iter()
        .map(|state| ServiceState {
            id: state.id.0,
            slug: state.slug,
            name: state.name,
            in_force: state.in_force.into_iter().map(InForce::from).collect(),
            not_deployed: state.waiting,
            oldest_not_deployed_hours: state.oldest_waiting.map(|at| age_hours(at, now)),
            not_collected: state.not_collected,
            open_incidents: state.open_incidents,
            last_event_at: state.last_event_at.map(instant),
        })
        .collect();
    let meta = StateMeta { environment, count: states.len(), as_of: instant(now) };
    Ok(answer(states, meta))
}
