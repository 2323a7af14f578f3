//! The operations of the API.

mod benchmarks;
mod collection;
mod coverage;
mod custom;
mod definitions;
mod deployments;
mod documents;
mod dora;
pub(crate) mod events;
mod flow;
mod goals;
mod health;
mod incidents;
mod insight;
mod me;
mod plugins;
mod prometheus;
mod pull_requests;
mod reports;
mod resources;
mod reviews;
mod services;
mod statistics;
mod summary;
mod teams;
mod waiting;
mod webhooks;

pub use custom::custom_json;
pub(crate) use documents::{Documents, redirect_to_docs, redirect_to_folder, redirect_to_page};
pub use dora::dora_json;
pub use flow::time_json;
pub use goals::goals_json;
pub(crate) use health::ALIVE;
pub use insight::{changes_json, forecast_json};
pub(crate) use prometheus::PROMETHEUS;
pub use reviews::reviews_json;
pub use statistics::statistics_json;

use crate::http::operation::Operation;

/// Every operation, in documentation order.
pub(crate) static OPERATIONS: &[&Operation] = &[
    &teams::TEAMS,
    &teams::TEAM,
    &statistics::VELOCITY,
    &statistics::LEAD_TIME,
    &summary::SUMMARY,
    &summary::OVERVIEW,
    &pull_requests::PULL_REQUESTS,
    &insight::CHANGE,
    &insight::FORECAST,
    &flow::TIME,
    &reviews::REVIEWS,
    &custom::CUSTOM,
    &goals::GOALS,
    &statistics::ORGANIZATION_VELOCITY,
    &statistics::ORGANIZATION_LEAD_TIME,
    &dora::ORGANIZATION,
    &dora::TEAM,
    &dora::SERVICE_DORA,
    &services::SERVICES,
    &services::STATE,
    &deployments::LIST,
    &deployments::ONE,
    &incidents::LIST,
    &waiting::LIST,
    &events::DEPLOYMENT,
    &events::BATCH,
    &events::INCIDENT,
    &events::RESOLVE,
    &events::REOPEN,
    &events::DISMISS,
    &events::LINK,
    &events::LIST,
    &webhooks::RECEIVE,
    &plugins::LIST,
    &plugins::HEALTH,
    &coverage::COVERAGE,
    &collection::STATUS,
    &collection::RUNS,
    &definitions::LIST,
    &benchmarks::LIST,
    &documents::OPENAPI,
    &documents::DOCS,
    &me::ME,
    &health::ALIVE,
    &health::HEALTH,
];

#[cfg(test)]
mod tests {
    use mergeline_domain::metrics::DEFINITIONS;

    use super::*;
    use crate::docs;

    #[test]
    fn the_page_lists_every_path_and_definition() {
        let page = docs::page(OPERATIONS);
        for operation in OPERATIONS {
            assert!(page.contains(operation.path), "{}", operation.path);
        }
        for definition in &DEFINITIONS {
            assert!(page.contains(definition.id), "{}", definition.id);
        }
        for elsewhere in ["http://", "https://", "//", "src=", "@import", "url("] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn the_document_has_every_operation() {
        let document = docs::openapi(OPERATIONS);
        for operation in OPERATIONS {
            let method = operation.method.as_str().to_ascii_lowercase();
            let described = &document["paths"][format!("/v1{}", operation.path)][method];
            assert_eq!(described["operationId"], operation.id, "{}", operation.path);
        }
    }
}
