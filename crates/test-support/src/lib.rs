#![doc = include_str!("../README.md")]

mod app_key;
mod aws;
mod channels;
mod database;
mod keep;
mod lambda_runtime;
mod node;
mod otlp;
mod pooler;
mod provider;
mod proxy;
mod python;

pub use app_key::app_key;
pub use aws::{AwsEmulator, AwsFault, AwsService, EmulatedMessage, EmulatedMetric, EmulatedQueue};
pub use channels::{ChannelAnswer, ChannelMessage, FakeChannels};
pub use database::{TestDatabase, miscounted};
pub use keep::{eight_weeks, finish_reading, keep};
pub use lambda_runtime::{Invocation, LambdaRuntime};
pub use node::NodePackages;
pub use otlp::{Exported, FakeOtlp};
pub use pooler::PgBouncer;
pub use provider::{FakeProvider, FakeProviderState, signing_key};
pub use proxy::FakeProxy;
pub use python::PythonTool;
