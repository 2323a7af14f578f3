//! The steps of a history.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use mergeline_collector::{CollectOptions, collect};
use mergeline_fake_github::{FakePullRequest, FakeReview, FakeUser, Fault, pr};
use mergeline_source::WaitBudget;
use serde_json::Value;

use crate::deliveries::FILES;
use crate::model::{Repository, Share, TEAMS, author, is_decodable};
use crate::world::{PEOPLE, World};

/// Attributions with their author: who counts for which team.
type Counted = BTreeSet<(String, i64, i64, String)>;

impl World {
    /// Runs one random step.
    pub(crate) async fn step(&mut self) -> Result<()> {
        match self.random.u32(0..142) {
            0..22 => self.open_some(),
            22..45 => self.change_one(),
            45..51 => return self.fail_next().await,
            51..54 => self.rename(),
            54..56 => self.recreate(),
            56..58 => self.delete_one(),
            58..60 => return self.vanish_while_paging().await,
            60..63 => self.break_one(),
            63..65 => self.fail_at_one(),
            65..70 => return self.edit_teams().await,
            70..76 => return self.change_while_paging().await,
            76..83 => return self.run_killed().await,
            83..87 => return self.run_twice_at_once().await,
            87..90 => return self.run_without_time().await,
            130..136 | 100..112 => self.release(),
            112..117 => self.deploy_or_settle(),
            117..120 => self.change_an_incident(),
            120..124 | 136..142 => return self.deliver().await,
            124..127 => return self.edit_services().await,
            127..130 => self.delete_deployment(),
            _ => return self.run_whole().await,
        }
        Ok(())
    }

    fn some_repository(&mut self) -> usize {
        self.random.usize(0..self.repositories.len())
    }

    fn some_user(&mut self) -> Option<FakeUser> {
        match self.random.u32(0..10) {
            0 => None,
            1 => Some(FakeUser::bot("renovate")),
            2 => Some(FakeUser::person("stranger")),
            _ => Some(FakeUser::person(PEOPLE[self.random.usize(0..PEOPLE.len())])),
        }
    }

    pub(crate) fn put(&mut self, repository: usize, pull_request: FakePullRequest) {
        self.fake.put([pull_request.clone()]);
        self.repositories[repository].pull_requests.insert(pull_request.number, pull_request);
    }

    pub(crate) fn open_some(&mut self) {
        let repository = self.some_repository();
        for _ in 0..self.random.u32(1..=5) {
            let created_at = self.tick(TimeDelta::minutes(40));
            let mut opened = self.opened(repository, created_at);
            opened.draft = self.random.u32(0..5) == 0;
            let FakePullRequest { repository: name, number, .. } = &opened;
            let event = format!("{name}#{number} opened by {}", author(&opened).unwrap_or("a ghost"));
            self.record(event);
            self.put(repository, opened);
        }
    }

    /// A new pull request.
    pub(crate) fn opened(&mut self, repository: usize, created_at: DateTime<Utc>) -> FakePullRequest {
        let Repository { name, pull_requests, .. } = &self.repositories[repository];
        let number = 1 + pull_requests.keys().max().copied().unwrap_or_default();
        let mut opened = pr(name, number).by_user(self.some_user());
        (opened.created_at, opened.updated_at) = (created_at, created_at);
        opened.changing(FILES[self.random.usize(0..FILES.len())])
    }

    /// An existing pull request, changed in some way at this time.
    fn changed(&mut self, at: DateTime<Utc>) -> Option<(usize, FakePullRequest, String)> {
        let repository = self.some_repository();
        let count = self.repositories[repository].pull_requests.len();
        if count == 0 {
            return None;
        }
        let nth = self.random.usize(0..count);
        let mut changed = self.repositories[repository].pull_requests.values().nth(nth)?.clone();
        changed.updated_at = at;
        let what = match (changed.closed_at, changed.merged_at, self.random.u32(0..6)) {
            (None, _, 0 | 1) => {
                (changed.merged_at, changed.closed_at) = (Some(at), Some(at));
                self.merge(repository, &mut changed, at);
                "merged"
            }
            (None, _, 2) => {
                changed.closed_at = Some(at);
                "closed"
            }
            (Some(_), None, 0 | 1) => {
                changed.closed_at = None;
                "reopened"
            }
            (_, _, 3) => {
                let user = Some(FakeUser::person(PEOPLE[self.random.usize(0..PEOPLE.len())]));
                let state = if self.random.bool() { "APPROVED" } else { "COMMENTED" };
                changed.reviews.push(FakeReview {
                    user,
                    state: state.to_owned(),
                    submitted_at: Some(at),
                    dismissed_from: None,
                });
                "reviewed"
            }
            _ => {
                changed.title = format!("Changed at {at}");
                "edited"
            }
        };
        // A change fixes what could not be decoded.
        changed.overrides.clear();
        let event = format!("{}#{} {what}", self.repositories[repository].name, changed.number);
        Some((repository, changed, event))
    }

    fn change_one(&mut self) {
        let at = self.tick(TimeDelta::hours(9));
        if let Some((repository, changed, event)) = self.changed(at) {
            self.record(event);
            self.put(repository, changed);
        }
    }

    /// A change that happens while a run reads.
    async fn change_while_paging(&mut self) -> Result<()> {
        self.tick(TimeDelta::minutes(1));
        let answers = self.random.u32(1..=4);
        let Some((repository, changed, event)) = self.changed(self.now + TimeDelta::seconds(1)) else { return Ok(()) };
        self.record(format!("{event} after {answers} answers"));
        self.fake.put_after(answers, changed.clone());
        let options = self.options();
        let report = self.run(options, u64::MAX).await?.context("not killed")?;
        self.record(report.to_string());
        self.let_answers_pass(answers).await?;
        self.repositories[repository].pull_requests.insert(changed.number, changed);
        self.now += TimeDelta::seconds(2);
        Ok(())
    }

    /// Triggers what was due after this many answers, even if the run needed fewer.
    async fn let_answers_pass(&self, answers: u32) -> Result<()> {
        let github = self.client("1")?;
        let session = github.session(None, WaitBudget::AT_A_TERMINAL, self.now);
        for _ in 0..answers {
            let _ = session.account_id("ana").await;
        }
        Ok(())
    }

    /// A deletion that happens while a run reads.
    async fn vanish_while_paging(&mut self) -> Result<()> {
        self.tick(TimeDelta::minutes(1));
        let repository = self.some_repository();
        let numbers: Vec<i64> = self.repositories[repository].pull_requests.keys().copied().collect();
        if numbers.len() < 2 {
            return Ok(());
        }
        let number = numbers[self.random.usize(0..numbers.len())];
        let answers = self.random.u32(1..=6);
        let name = self.repositories[repository].name.clone();
        self.record(format!("{name}#{number} vanishes after {answers} answers"));
        self.fake.delete_after(answers, &name, number);
        // It is no longer expected, whether the run sees it or not.
        self.repositories[repository].pull_requests.remove(&number);
        let options = self.options();
        let report = self.run(options, u64::MAX).await?.context("not killed")?;
        self.record(report.to_string());
        self.let_answers_pass(answers).await
    }

    /// A pull request that GitHub fails to return from now on, or returns again.
    fn fail_at_one(&mut self) {
        let repository = self.some_repository();
        let name = self.repositories[repository].name.clone();
        if let Some(number) = self.repositories[repository].unreadable.pop_first() {
            self.record(format!("{name}#{number} can be read again"));
            return self.fake.break_pull_request(&name, number, None);
        }
        let numbers: Vec<i64> = self.repositories[repository].pull_requests.keys().copied().collect();
        if numbers.is_empty() {
            return;
        }
        let number = numbers[self.random.usize(0..numbers.len())];
        self.record(format!("GitHub fails at {name}#{number}"));
        self.fake.break_pull_request(&name, number, Some(502));
        self.repositories[repository].unreadable.insert(number);
    }

    /// An answer that cannot be decoded until the pull request changes.
    fn break_one(&mut self) {
        let at = self.tick(TimeDelta::minutes(5));
        if let Some((repository, mut broken, _)) = self.changed(at) {
            if self.repositories[repository].pull_requests.len() < 2 {
                return;
            }
            self.record(format!("{}#{} cannot be decoded", self.repositories[repository].name, broken.number));
            broken.overrides.push(("created_at".to_owned(), Value::Null));
            self.put(repository, broken);
        }
    }

    fn delete_one(&mut self) {
        self.tick(TimeDelta::minutes(5));
        let repository = self.some_repository();
        let numbers: Vec<i64> = self.repositories[repository].pull_requests.keys().copied().collect();
        if numbers.len() < 2 {
            return;
        }
        let number = numbers[self.random.usize(0..numbers.len())];
        let name = self.repositories[repository].name.clone();
        self.record(format!("{name}#{number} deleted"));
        self.fake.delete_pull_request(&name, number);
        self.repositories[repository].pull_requests.remove(&number);
    }

    fn rename(&mut self) {
        let repository = self.some_repository();
        let from = self.repositories[repository].name.clone();
        let to = format!("acme/renamed-{}", self.events.len());
        self.record(format!("{from} renamed to {to}"));
        self.fake.rename(&from, &to);
        self.repositories[repository].name.clone_from(&to);
        for pull_request in self.repositories[repository].pull_requests.values_mut() {
            pull_request.repository.clone_from(&to);
        }
    }

    /// Deletes a repository and creates another one with the same name.
    fn recreate(&mut self) {
        let repository = self.some_repository();
        let Repository { name, configured, .. } = self.repositories[repository].clone();
        if name != configured {
            // Renamed, deleted and replaced before any run: the name in the teams file does not exist, and the run
            // reports it.
            return;
        }
        self.record(format!("{name} recreated"));
        self.fake.recreate_repository(&name);
        // An empty list queued for the former repository would be believed, because nothing of the new one has been
        // seen yet.
        self.fake.forget_faults(&name);
        let id = self.fake.repository_id(&name).unwrap_or_default();
        self.repositories[repository] = Repository { name: name.clone(), configured, id, ..Repository::default() };
        // GitHub shows the repository's identity with a pull request.
        let at = self.tick(TimeDelta::minutes(5));
        let mut first = pr(&name, 1);
        (first.created_at, first.updated_at) = (at, at);
        self.put(repository, first);
    }

    async fn fail_next(&mut self) -> Result<()> {
        let repository = self.some_repository();
        let name = self.repositories[repository].name.clone();
        // An empty list cannot be distinguished from an empty repository before any of it was seen.
        let is_seen: bool = sqlx::query_scalar(
            "select count(*) > 0 from repositories
            where external_id = $1::text and (watermark is not null or backfill_anchor is not null)",
        )
        .bind(self.repositories[repository].id.to_string())
        .fetch_one(&self.pool)
        .await?;
        let at_some_time = 4_000_000_000;
        let faults = [
            Fault::Status(502),
            Fault::Status(500),
            Fault::Status(404),
            Fault::Status(403),
            Fault::Html,
            Fault::Truncated,
            Fault::TruncatedJson,
            Fault::Reset,
            Fault::EmptyList,
            Fault::RateLimited { reset: at_some_time },
            Fault::SecondaryLimit { retry_after: 30 },
            Fault::SecondaryLimitWithoutHeaders,
            Fault::ZeroOfZero,
            Fault::NonNumericLimits,
        ];
        for _ in 0..self.random.u32(1..=3) {
            let fault = faults[self.random.usize(0..faults.len())].clone();
            if fault == Fault::EmptyList && !is_seen {
                continue;
            }
            if self.random.u32(0..4) == 0 {
                let kinds = ["NOT_FOUND", "RATE_LIMITED", "MAX_NODE_LIMIT_EXCEEDED", ""];
                let kind = kinds[self.random.usize(0..kinds.len())].to_owned();
                self.record(format!("GraphQL will answer with {kind}"));
                let with_data = self.random.bool();
                self.fake.fail_next_graphql(Fault::GraphqlErrors { kind, with_data });
            } else {
                self.record(format!("{name} will answer with {fault:?}"));
                self.fake.fail_next(&name, fault);
            }
        }
        Ok(())
    }

    async fn run_whole(&mut self) -> Result<()> {
        self.tick(TimeDelta::days(3));
        let options = self.options();
        let report = self.run(options, u64::MAX).await?.context("not killed")?;
        self.record(report.to_string());
        Ok(())
    }

    async fn run_killed(&mut self) -> Result<()> {
        self.tick(TimeDelta::hours(6));
        let polls = self.random.u64(1..60);
        let options = self.options();
        let outcome = self.run(options, polls).await?;
        self.record(format!("a run, killed after {polls} polls: {}", outcome.is_none()));
        if self.random.bool() {
            self.wait_for_leases();
        }
        Ok(())
    }

    async fn run_without_time(&mut self) -> Result<()> {
        self.tick(TimeDelta::hours(6));
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(self.random.u64(1..60));
        let options = CollectOptions { deadline: Some(deadline), ..self.options() };
        let report = self.run(options, u64::MAX).await?.context("not killed")?;
        self.record(format!("without time: {report}"));
        Ok(())
    }

    /// Two sandboxes that start at the same time.
    async fn run_twice_at_once(&mut self) -> Result<()> {
        self.tick(TimeDelta::hours(6));
        self.shrink_pages().await?;
        let options = self.options();
        let (one, other) = (self.github("1")?, self.github("2")?);
        let (here, there) = (self.database.store()?, self.database.store()?);
        let observer = |_: mergeline_collector::Progress<'_>| {};
        let (first, second) =
            tokio::join!(collect(&one, &here, &options, &observer), collect(&other, &there, &options, &observer));
        self.record(format!("twice at once: {}\n    and {}", first?, second?));
        here.close().await;
        there.close().await;
        Ok(())
    }

    /// A person joins, leaves or gets a new weight. It does not affect others.
    async fn edit_teams(&mut self) -> Result<()> {
        self.tick(TimeDelta::hours(2));
        let person = PEOPLE[self.random.usize(0..PEOPLE.len())];
        let cut = self.random.u64(40..120);
        let shares = match self.random.u32(0..5) {
            0 if self.teams.shares.len() > 1 => Vec::new(),
            1 => vec![
                Share { team: TEAMS[0], units: 10_000, from: None, to: Some(cut) },
                Share { team: TEAMS[1], units: 10_000, from: Some(cut), to: None },
            ],
            2 => TEAMS.iter().map(|team| Share { team, units: 3_333, from: None, to: None }).collect(),
            3 => vec![Share { team: TEAMS[2], units: 5_000, from: Some(cut), to: Some(cut + 30) }],
            _ => vec![Share { team: TEAMS[1], units: self.random.u16(1..=10_000), from: None, to: None }],
        };
        self.record(format!("{person} now has {shares:?}"));
        // Finish what edits of others left first: it belongs to them.
        while self.store.reattribute(3).await?.people_left > 0 {}
        let before = self.counted_of_others(person).await?;
        self.teams.shares.insert(person, shares);
        self.apply().await?;
        ensure!(
            self.counted_of_others(person).await? == before,
            "I8: an edit of {person} changed what counts for others"
        );
        Ok(())
    }

    async fn counted_of_others(&self, person: &str) -> Result<Counted> {
        let rows = sqlx::query_as(
            "select h.login, a.pull_request_id, a.team_id, a.weight::text
            from pr_attributions as a inner join accounts as h on a.author_id = h.person_id where h.configured_login <> $1",
        )
        .bind(person)
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().collect())
    }

    /// The pull requests that must be stored.
    pub(crate) fn expected(&self) -> impl Iterator<Item = (i64, &FakePullRequest)> {
        self.repositories.iter().flat_map(|repository| {
            let is_readable = |number| !repository.unreadable.contains(number);
            let readable = repository.pull_requests.iter().filter(move |(number, _)| is_readable(*number));
            let of_members = readable.map(|(_, pull_request)| pull_request).filter(|pull_request| {
                let concerns = |login| self.teams.concerns(login, pull_request.updated_at);
                is_decodable(pull_request) && author(pull_request).is_some_and(concerns)
            });
            of_members.map(|pull_request| (repository.id, pull_request))
        })
    }
}
