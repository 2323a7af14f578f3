#![doc = include_str!("../README.md")]
// The largest of GitHub's objects is one `json!` of eighty fields.
#![recursion_limit = "256"]

mod app_key;
mod aws;
mod database;
mod fake_github;
mod keep;
mod lambda_runtime;
mod pooler;
mod proxy;
mod pull_request;
mod python;
pub mod recorded;
pub mod synthetic;

pub use app_key::app_key;
pub use aws::{AwsEmulator, AwsFault, AwsService, EmulatedMessage, EmulatedMetric, EmulatedQueue};
pub use database::{TestDatabase, miscounted};
pub use fake_github::{FakeGitHub, Fault, Layout, RecordedRequest, Refused};
pub use keep::{finish_reading, keep};
pub use lambda_runtime::{Invocation, LambdaRuntime};
pub use pooler::PgBouncer;
pub use proxy::FakeProxy;
pub use pull_request::{FakeCommit, FakeDraftEvent, FakePullRequest, FakeReview, FakeUser, HALF_A_PAIR, at, pr};
pub use python::PythonTool;
