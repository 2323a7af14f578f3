#![doc = include_str!("../README.md")]
// The largest of GitHub's objects is one `json!` of eighty fields.
#![recursion_limit = "256"]

mod answer;
mod app;
mod apps;
mod call;
mod contract;
mod deployment;
pub mod example;
mod faults;
mod graphql;
mod history;
mod issue;
mod limits;
mod listing;
mod pages;
mod pull_request;
pub mod recorded;
mod rest;
mod run;
mod server;
pub mod synthetic;
mod team;
mod webhook;
mod world;

pub use call::Layout;
pub use deployment::{FakeDeployment, FakeDeploymentStatus, FakeGitCommit, deployment};
pub use faults::{Fault, Refused};
pub use issue::{FakeIssue, issue};
pub use pull_request::{FakeCommit, FakeDraftEvent, FakePullRequest, FakeReview, FakeUser, HALF_A_PAIR, at, pr};
pub use run::{FakeAttempt, FakeRelease, FakeRun, FakeTag, release, run, tag};
pub use server::{FakeGitHub, RecordedRequest};
pub use team::{FakeTeam, team};
pub use webhook::{FakeDelivery, FakeWebhook};
