//! GitHub keeps the contract of a source, against the fake.

mod common;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use mergeline_domain::RepoName;
use mergeline_fake_github::{FakeGitHub, Fault, pr};
use mergeline_github::GitHub;
use mergeline_source::contract::World;

use crate::common::connect;

struct FakeWorld {
    fake: FakeGitHub,
    repository: Mutex<String>,
}

impl FakeWorld {
    fn name(&self) -> String {
        self.repository.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl World for FakeWorld {
    type Source = GitHub;

    async fn start() -> Self {
        let fake = FakeGitHub::start().await.expect("a fake");
        fake.require_token(FakeGitHub::TOKEN);
        fake.add_repository("acme/api");
        Self { fake, repository: Mutex::new("acme/api".to_owned()) }
    }

    fn connect(&self) -> GitHub {
        connect(&self.fake.url(), Some(FakeGitHub::TOKEN)).expect("a client")
    }

    fn connect_refused(&self) -> GitHub {
        connect(&self.fake.url(), Some("ghp_another")).expect("a client")
    }

    fn repository(&self) -> RepoName {
        self.name().parse().expect("a name")
    }

    fn put(&self, number: i64, opened: DateTime<Utc>, changed: DateTime<Utc>) {
        self.fake.put([pr(&self.name(), number).created(&written(opened)).updated(&written(changed))]);
    }

    fn delete(&self, number: i64) {
        self.fake.delete_pull_request(&self.name(), number);
    }

    fn rename(&self, name: &str) {
        let (before, after) = (self.name(), format!("acme/{name}"));
        self.fake.rename(&before, &after);
        *self.repository.lock().unwrap_or_else(PoisonError::into_inner) = after;
    }

    fn limit_next(&self, pause: Duration) {
        self.fake.fail_next(&self.name(), Fault::SecondaryLimit { retry_after: pause.as_secs() });
    }

    fn empty_next(&self) {
        self.fake.fail_next(&self.name(), Fault::EmptyList);
    }

    fn break_row(&self, number: i64) -> bool {
        self.fake.break_pull_request(&self.name(), number, Some(502));
        true
    }

    fn limit_page_size(&self, size: u8) -> bool {
        self.fake.limit_page_size(size.into(), 502);
        true
    }

    const HAS_ETAGS: bool = true;

    fn requests(&self) -> usize {
        self.fake.requests().len()
    }
}

mergeline_source::contract_tests!(FakeWorld);
