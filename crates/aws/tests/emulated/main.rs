//! Tests against an AWS emulator on this machine.

// These files are included directly, not through their crate, so that the AWS tests build without a database.
#[path = "../../../test-support/src/aws.rs"]
pub mod emulator;
#[path = "../../../test-support/src/python.rs"]
pub mod python;

mod failures;
mod mail;
mod metrics;
mod queue;
mod secrets;

use mergeline_aws::Aws;

use crate::emulator::AwsEmulator;

/// A new account on the emulator and a connection to it.
async fn start() -> anyhow::Result<(AwsEmulator, Aws)> {
    let emulator = AwsEmulator::start().await?;
    let environment = emulator.environment();
    let aws = Aws::from_vars(|name| environment.get(name).cloned()).await;
    Ok((emulator, aws))
}
