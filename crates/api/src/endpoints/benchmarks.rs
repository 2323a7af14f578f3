//! `GET /v1/benchmarks`: percentiles over public repositories.

use axum::response::Response;
use axum::routing::on;
use mergeline_domain::benchmark::Benchmark;
use schemars::JsonSchema;
use serde::Serialize;

use super::definitions;
use crate::http::envelope::answer;
use crate::http::errors::ApiError;
use crate::http::etag::ETag;
use crate::http::operation::{Body, Operation, enveloped};
use crate::http::parameters::{NoParameters, Parameters};
use crate::http::request::ApiRequest;

pub(crate) const LIST: Operation = Operation {
    path: "/benchmarks",
    handler: |filter| on(filter, list),
    id: "listBenchmarks",
    summary: "Public repositories, to stand beside a team",
    description: "Percentiles from opening to merge over public repositories, as of the release of this program. They are not companies.",
    parameters: NoParameters::DESCRIPTIONS,
    body: Body::Json(enveloped::<Benchmark, BenchmarksMeta>),
    ..definitions::LIST
};

/// The number of repositories.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BenchmarksMeta {
    count: usize,
}

/// The response is the same for everyone.
async fn list(request: ApiRequest) -> Result<Response, ApiError> {
    let NoParameters = request.parameters()?;
    request.format(None)?;
    ETag::of(&["benchmarks"]).unless_known(&request.headers, || {
        let benchmark = Benchmark::public();
        let meta = BenchmarksMeta { count: benchmark.repositories.len() };
        Ok(answer(benchmark, meta))
    })
}
