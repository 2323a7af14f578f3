//! Commits, deployments, incidents and services: their steps, and what is expected of them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;
use mergeline_collector::{FollowUp, RosterSnapshot, RunContext};
use mergeline_fake_github::{
    FakeDelivery, FakeDeployment, FakeDeploymentStatus, FakeGitCommit, FakeIssue, FakePullRequest, FakeUser,
    deployment, issue,
};
use mergeline_store::RepositoryId;
use mergeline_webhooks::{ChangeNotice, ChangedRepository, Delivery, Meaning, Plugin};

use crate::model::{Repository, author};
use crate::world::{PEOPLE, World};

/// The label of issues that are incidents.
pub(crate) const LABEL: &str = "incident";
/// Environments that mean production, and one that does not.
const ENVIRONMENTS: [&str; 3] = ["production", "prod-eu", "staging"];
/// What a pull request may change.
pub(crate) const FILES: [&[&str]; 4] = [&["src/a.rs"], &["docs/b.md"], &["src/a.rs", "docs/b.md"], &["README.md"]];
/// How long the states of a deployment with an end are read: as long as a failure counts.
const READ_FOR: TimeDelta = TimeDelta::days(7);
/// Issues and pull requests share their numbers.
const FIRST_ISSUE: i64 = 10_000;

/// Which services the teams file names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Services {
    /// None: each repository is one.
    #[default]
    Implied,
    /// One of both repositories.
    Whole,
    /// One of a part of the first repository.
    Part,
    /// Two of the first repository, each with its own paths and environments.
    Two,
}

/// A service as the test expects it.
struct Expected {
    repositories: Vec<usize>,
    folder: Option<&'static str>,
    environments: &'static [&'static str],
}

impl Services {
    /// The lines of the teams file.
    pub(crate) fn text(self, repositories: &[Repository], has_pattern: bool) -> String {
        // What a pattern finds has the name that GitHub gives it.
        let name = |index: usize| {
            let Repository { name, configured, .. } = &repositories[index];
            if has_pattern { name } else { configured }
        };
        let service = |slug: &str, more: &str| format!("  - {{ slug: {slug}, repositories: [{}]{more} }}\n", name(0));
        match self {
            Self::Implied => String::new(),
            Self::Whole => format!("services:\n  - {{ slug: shop, repositories: [{}, {}] }}\n", name(0), name(1)),
            Self::Part => format!("services:\n{}", service("shop", ", paths: [src]")),
            Self::Two => format!(
                "services:\n{}{}",
                service("shop", ", paths: [src], environments: [production]"),
                service("docs", ", paths: ['docs/**'], environments: [prod-eu]")
            ),
        }
    }

    fn expected(self) -> Vec<Expected> {
        let all = &ENVIRONMENTS[..2];
        let service = |repositories: &[usize], folder, environments| {
            let repositories = repositories.to_vec();
            Expected { repositories, folder, environments }
        };
        match self {
            Self::Implied => vec![service(&[0], None, all), service(&[1], None, all)],
            Self::Whole => vec![service(&[0, 1], None, all)],
            Self::Part => vec![service(&[0], Some("src/"), all), service(&[1], None, all)],
            Self::Two => vec![
                service(&[0], Some("src/"), &ENVIRONMENTS[..1]),
                service(&[0], Some("docs/"), &ENVIRONMENTS[1..2]),
                service(&[1], None, all),
            ],
        }
    }
}

/// What a delivery says, as the API understands it.
fn read(delivery: &FakeDelivery, received_at: DateTime<Utc>) -> Result<Option<ChangedRepository>> {
    let mut headers = HeaderMap::new();
    headers.insert("x-github-event", delivery.event.parse()?);
    headers.insert("x-github-delivery", delivery.id.parse()?);
    headers.insert("content-type", "application/json".parse()?);
    let message =
        Delivery { plugin: Plugin::GitHub, headers: &headers, body: delivery.body.as_bytes(), received_at }.read()?;
    Ok(match message.meaning {
        Meaning::Changed(changed) => Some(changed),
        Meaning::Nothing | Meaning::Incidents(_) => None,
    })
}

/// The id of a commit.
fn oid(number: u64) -> String {
    format!("{number:040x}")
}

fn times<'a>(deployment: &'a FakeDeployment, state: &'a str) -> impl Iterator<Item = DateTime<Utc>> + 'a {
    deployment.statuses.iter().filter(move |status| status.state == state).map(|status| status.created_at)
}

fn succeeded_at(deployment: &FakeDeployment) -> Option<DateTime<Utc>> {
    times(deployment, "success").min()
}

fn outcome(deployment: &FakeDeployment) -> &'static str {
    match (succeeded_at(deployment), times(deployment, "failure").next()) {
        (Some(_), _) => "succeeded",
        (None, Some(_)) => "failed",
        (None, None) => "unfinished",
    }
}

impl Repository {
    /// A commit and everything before it.
    fn contained(&self, oid: &str) -> HashSet<&str> {
        let mut contained = HashSet::new();
        let mut waiting: Vec<&str> = self.commits.get_key_value(oid).map(|(oid, _)| oid.as_str()).into_iter().collect();
        while let Some(oid) = waiting.pop() {
            if contained.insert(oid) {
                waiting
                    .extend(self.commits.get(oid).into_iter().flat_map(|commit| &commit.parents).map(String::as_str));
            }
        }
        contained
    }

    /// The deployment that is expected to have delivered each commit; `None` for what the first one contained.
    fn delivered(&self, environments: &[&str]) -> BTreeMap<&str, Option<i64>> {
        let to = |deployment: &&FakeDeployment| environments.contains(&deployment.environment.as_str());
        let mut successes: Vec<(DateTime<Utc>, &FakeDeployment)> =
            self.deployments.values().filter(to).filter_map(|it| Some((succeeded_at(it)?, it))).collect();
        successes.sort_by_key(|(at, deployment)| (*at, deployment.id));
        let mut delivered = BTreeMap::new();
        for (nth, (_, deployment)) in successes.into_iter().enumerate() {
            for oid in self.contained(&deployment.sha) {
                delivered.entry(oid).or_insert((nth > 0).then_some(deployment.id));
            }
        }
        delivered
    }
}

impl World {
    fn new_commit(&mut self, repository: usize, parents: Vec<String>, committed_at: DateTime<Utc>) -> String {
        self.last_commit += 1;
        let commit = FakeGitCommit { oid: oid(self.last_commit), parents, committed_at };
        let name = self.repositories[repository].name.clone();
        self.fake.put_commits(&name, [commit.clone()]);
        let oid = commit.oid.clone();
        self.repositories[repository].commits.insert(oid.clone(), commit);
        oid
    }

    /// Merges a pull request: squashed, or with the commits of its branch, which began somewhere on the main line.
    pub(crate) fn merge(&mut self, repository: usize, pull_request: &mut FakePullRequest, at: DateTime<Utc>) {
        let line = self.repositories[repository].main.clone();
        let mut parents: Vec<String> = line.last().cloned().into_iter().collect();
        if !line.is_empty() && self.random.bool() {
            let began = line[self.random.usize(0..line.len())].clone();
            parents.push(self.new_commit(repository, vec![began], at - TimeDelta::seconds(1)));
        }
        let merged = self.new_commit(repository, parents, at);
        pull_request.merge_commit = Some(merged.clone());
        self.repositories[repository].main.push(merged);
    }

    /// Opens and merges pull requests, and deploys.
    pub(crate) fn release(&mut self) {
        let repository = self.random.usize(0..self.repositories.len());
        let name = self.repositories[repository].name.clone();
        for _ in 0..self.random.u32(1..=3) {
            let at = self.tick(TimeDelta::minutes(40));
            let mut merged = self.opened(repository, at);
            if self.random.u32(0..4) > 0 {
                merged.user = Some(FakeUser::person(PEOPLE[0]));
            }
            (merged.merged_at, merged.closed_at) = (Some(at), Some(at));
            self.merge(repository, &mut merged, at);
            self.record(format!(
                "{name}#{} opened by {} and merged",
                merged.number,
                author(&merged).unwrap_or("a ghost")
            ));
            self.put(repository, merged);
        }
        self.deploy(repository);
    }

    /// A deployment of what is on the main line now, or was.
    fn deploy(&mut self, repository: usize) {
        let created_at = self.tick(TimeDelta::hours(3));
        let line = &self.repositories[repository].main;
        let Some(last) = line.len().checked_sub(1) else { return };
        let nth = if self.random.u32(0..3) == 0 { self.random.usize(0..=last) } else { last };
        let (sha, name) = (line[nth].clone(), self.repositories[repository].name.clone());
        self.last_deployment += 1;
        let mut deployed = deployment(&name, self.last_deployment, &sha, "2026-01-01T00:00:00Z")
            .to(ENVIRONMENTS[self.random.usize(0..ENVIRONMENTS.len())]);
        deployed.created_at = created_at;
        self.record(format!("{name} deployment {} to {}", self.last_deployment, deployed.environment));
        self.repositories[repository].deployments.insert(deployed.id, deployed);
        // Not always with an outcome.
        if self.random.u32(0..4) > 0 { self.settle(repository) } else { self.put_deployments(repository) }
    }

    /// The next state of the latest deployment of some repository: an outcome, or a failure after a success.
    fn settle(&mut self, repository: usize) {
        let created_at = self.tick(TimeDelta::minutes(20));
        let state = ["success", "success", "success", "failure", "in_progress"][self.random.usize(0..5)].to_owned();
        let Repository { name, deployments, .. } = &mut self.repositories[repository];
        let Some(latest) = deployments.values_mut().next_back() else { return };
        // What happens later is not read any more.
        if created_at > succeeded_at(latest).unwrap_or(latest.created_at) + READ_FOR {
            return;
        }
        let event = format!("{name} deployment {} {state}", latest.id);
        latest.statuses.push(FakeDeploymentStatus { state, created_at, environment: None });
        self.record(event);
        self.put_deployments(repository);
    }

    /// Goes back, deploys again, or learns how a deployment ended.
    pub(crate) fn deploy_or_settle(&mut self) {
        let repository = self.random.usize(0..self.repositories.len());
        if self.random.bool() { self.deploy(repository) } else { self.settle(repository) }
    }

    fn put_deployments(&self, repository: usize) {
        let Repository { name, deployments, .. } = &self.repositories[repository];
        let named = deployments.values().map(|it| FakeDeployment { repository: name.clone(), ..it.clone() });
        self.fake.put_deployments(named);
    }

    pub(crate) fn delete_deployment(&mut self) {
        let repository = self.random.usize(0..self.repositories.len());
        let Repository { name, deployments, .. } = &mut self.repositories[repository];
        // The last one would make the list empty, which is not believed.
        if deployments.len() < 2 {
            return;
        }
        let nth = self.random.usize(0..deployments.len());
        let Some(id) = deployments.keys().nth(nth).copied() else { return };
        deployments.remove(&id);
        self.fake.delete_deployment(name, id);
        let event = format!("{name} deployment {id} deleted");
        self.record(event);
    }

    /// An incident begins, ends, begins again or is none.
    pub(crate) fn change_an_incident(&mut self) {
        let at = self.tick(TimeDelta::hours(5));
        let repository = self.random.usize(0..self.repositories.len());
        let name = self.repositories[repository].name.clone();
        let issues = &mut self.repositories[repository].issues;
        let number = FIRST_ISSUE + self.random.i64(0..3);
        let before = issues.get(&number).cloned();
        let (changed, what) = match (before, self.random.u32(0..6)) {
            (None, _) => {
                let mut opened = issue(&name, number, LABEL, "2026-01-01T00:00:00Z");
                opened.id = 4_100_000_000 + i64::try_from(self.events.len()).unwrap_or_default();
                (opened.created_at, opened.updated_at) = (at, at);
                (opened, "opened")
            }
            (Some(open), reason) if open.closed_at.is_none() => {
                let reason = if reason == 0 { "not_planned" } else { "completed" };
                (FakeIssue { closed_at: Some(at), state_reason: Some(reason.to_owned()), ..open }, reason)
            }
            (Some(closed), 0..3) => {
                (FakeIssue { closed_at: None, state_reason: Some("reopened".to_owned()), ..closed }, "reopened")
            }
            (Some(closed), _) => (FakeIssue { labels: vec!["bug".to_owned()], ..closed }, "no incident"),
        };
        let changed = FakeIssue { updated_at: at, repository: name.clone(), ..changed };
        issues.insert(number, changed.clone());
        self.fake.put_issues([changed]);
        self.record(format!("{name} issue {number} {what}"));
    }

    /// A delivery of a webhook about some repository: a new one, or one of before, sometimes twice. Most changes have none.
    pub(crate) async fn deliver(&mut self) -> Result<()> {
        let received_at = self.tick(TimeDelta::minutes(5));
        let repository = self.random.usize(0..self.repositories.len());
        if let Some(delivery) = self.announce(repository).await? {
            self.deliveries.push(delivery);
        }
        if self.deliveries.is_empty() {
            return Ok(());
        }
        let delivery = self.deliveries[self.random.usize(0..self.deliveries.len())].clone();
        let Some(changed) = read(&delivery, received_at)? else { return Ok(()) };
        let row: Option<i64> =
            sqlx::query_scalar("select id from repositories where external_id = $1 and removed_at is null")
                .bind(changed.id.to_string())
                .fetch_optional(&self.pool)
                .await?;
        let Some(row) = row else { return Ok(()) };
        let ChangedRepository { name, updated_at, carried, .. } = changed;
        let repository = RepositoryId(row);
        let mut notice = ChangeNotice { repository, name, received_at, updated_at, carried, tries: 0 };
        let (times, now) = (self.random.u32(1..=2), received_at + TimeDelta::seconds(1));
        for _ in 0..times {
            self.now = now;
            let options = self.options();
            let github = self.github("1")?;
            let (revision, roster) = self.store.roster().await?.context("configured")?;
            let rostered = RosterSnapshot { revision, roster };
            let context = RunContext::new(&github, &self.store, options, &|_| {}, rostered);
            let followed = context.follow(notice.clone()).await?;
            self.record(format!(
                "a delivery of {} about {}: {}",
                delivery.event,
                notice.name,
                followed == FollowUp::Done
            ));
            if let FollowUp::Again(_, next) = followed {
                notice = next;
            }
        }
        Ok(())
    }

    /// A delivery about what a repository has now; `None` if GitHub cannot show it.
    async fn announce(&mut self, repository: usize) -> Result<Option<FakeDelivery>> {
        let name = self.repositories[repository].name.clone();
        let some =
            |random: &mut fastrand::Rng, from: Vec<i64>| (!from.is_empty()).then(|| from[random.usize(0..from.len())]);
        let (event, body) = match self.random.u32(0..4) {
            0 => {
                let Some(number) =
                    some(&mut self.random, self.repositories[repository].pull_requests.keys().copied().collect())
                else {
                    return Ok(None);
                };
                let path = format!("pulls/{number}");
                ("pull_request", self.fake.event(&name, "edited", Some(("pull_request", &path))).await)
            }
            1 => ("release", self.fake.event(&name, "edited", None).await),
            kind => {
                let deployments = &self.repositories[repository].deployments;
                let Some(id) = some(&mut self.random, deployments.keys().copied().collect()) else { return Ok(None) };
                let statuses = deployments[&id].statuses.len();
                if kind == 2 || statuses == 0 {
                    let path = format!("deployments/{id}");
                    ("deployment", self.fake.event(&name, "created", Some(("deployment", &path))).await)
                } else {
                    let nth = self.random.usize(0..statuses);
                    ("deployment_status", self.fake.deployment_status_event(&name, id, nth).await)
                }
            }
        };
        Ok(body.ok().map(|body| self.webhook.delivery(event, &body)))
    }

    pub(crate) async fn edit_services(&mut self) -> Result<()> {
        self.tick(TimeDelta::hours(1));
        let kinds = [Services::Implied, Services::Whole, Services::Part, Services::Two];
        self.teams.services = kinds[self.random.usize(0..kinds.len())];
        self.record(format!("services: {:?}", self.teams.services));
        self.apply().await
    }

    /// I11 and I12: what is derived equals a full recompute, and the shares of all teams and the rest are the number of deployments.
    pub(crate) async fn check_derived(&self) -> Result<()> {
        let differences = self.store.derive_all(false).await?;
        ensure!(differences.rows == 0, "I11: {} derived rows differ from a full recompute", differences.rows);
        let above: i64 = sqlx::query_scalar(
            "select count(*) from (select 1 from deployment_shares group by basis, deployment_id having sum(share) > 1) as x",
        )
        .fetch_one(&self.pool)
        .await?;
        ensure!(above == 0, "I12: {above} deployments count more than once");
        let answers: Vec<(String, i64, i64, bool)> = sqlx::query_as(
            "select b.basis, f.n, a.n, a.attributed = t.share
            from (values ('delivered'), ('owned')) as b (basis)
            cross join (
                select count(*) as n from deployment_facts where kind is distinct from 'rollout'
            ) as f
            cross join lateral (
                select coalesce(max(c.n), 0) as n, coalesce(max(c.attributed), 0) as attributed
                from count_deployments(null, null, b.basis, '2025-01-01', '2028-01-01', 'UTC', 'month', '{}') as c
                where c.bucket is null and c.measure = 'finished'
            ) as a
            cross join lateral (
                select coalesce(sum(c.share), 0) as share
                from teams as t
                cross join count_deployments(t.id, null, b.basis, '2025-01-01', '2028-01-01', 'UTC', 'month', '{}') as c
                where c.bucket is null and c.measure = 'finished'
            ) as t",
        )
        .fetch_all(&self.pool)
        .await?;
        for (basis, stored, counted, is_whole) in answers {
            ensure!(stored == counted, "I12: {counted} of {stored} deployments are counted ({basis})");
            ensure!(
                is_whole,
                "I12: the shares of the teams are not what the organization attributes to them ({basis})"
            );
        }
        Ok(())
    }

    /// Whether everything about deployments and incidents was read without a problem.
    pub(crate) async fn has_unread_deliveries(&self) -> Result<bool> {
        let sql = "select
            exists (
                select from deployment_progress as p inner join repositories as r on p.repository_id = r.id
                where p.problem is not null and r.removed_at is null
            )
            or exists (
                select from incident_progress as p inner join repositories as r on p.repository_id = r.id
                where p.problem is not null and r.removed_at is null
            )
            or exists (
                select from pull_requests as p
                inner join repositories as r on p.repository_id = r.id
                left join pull_request_files as f on p.id = f.pull_request_id
                where
                    r.removed_at is null and p.merged_at is not null and p.deleted_at is null
                    and paths_digest(r.id) is distinct from f.paths_digest and paths_digest(r.id) is not null
            )";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    /// Holds once nothing else happens.
    pub(crate) async fn check_deliveries(&self) -> Result<()> {
        self.check_outcomes().await?;
        self.check_delivered().await?;
        self.check_incidents().await
    }

    async fn check_outcomes(&self) -> Result<()> {
        let stored: Vec<(String, String)> = sqlx::query_as(
            "select d.external_id, d.outcome from deployments as d
            inner join repositories as r on d.repository_id = r.id
            where r.removed_at is null and d.deleted_at is null",
        )
        .fetch_all(&self.pool)
        .await?;
        let stored: BTreeSet<(String, String)> = stored.into_iter().collect();
        let deployments = self.repositories.iter().flat_map(|repository| repository.deployments.values());
        let expected: BTreeSet<(String, String)> =
            deployments.map(|it| (it.id.to_string(), outcome(it).to_owned())).collect();
        ensure!(stored == expected, "deployments are {stored:?}, not {expected:?}");
        Ok(())
    }

    async fn check_delivered(&self) -> Result<()> {
        let stored: Vec<(i64, i64, Option<String>, Option<String>)> = sqlx::query_as(
            "select r.external_id::bigint, p.number, d.external_id, l.missing
            from pr_deliveries as l
            inner join pull_requests as p on l.pull_request_id = p.id
            inner join repositories as r on p.repository_id = r.id
            left join deployments as d on l.deployment_id = d.id
            where r.removed_at is null",
        )
        .fetch_all(&self.pool)
        .await?;
        let stored: BTreeSet<(i64, i64, String)> = stored
            .into_iter()
            .map(|(repository, number, by, missing)| (repository, number, by.or(missing).unwrap_or_default()))
            .collect();
        let (mut expected, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        for service in self.teams.services.expected() {
            let of_service = || service.repositories.iter().map(|index| &self.repositories[*index]);
            let is_finished = |deployment: &FakeDeployment| {
                service.environments.contains(&deployment.environment.as_str()) && outcome(deployment) != "unfinished"
            };
            let has_deployments = of_service().any(|it| it.deployments.values().any(is_finished));
            // A repository that was there before under this name may have had some.
            if !has_deployments {
                waiting.extend(of_service().map(|repository| repository.id));
                continue;
            }
            for repository in of_service() {
                let delivered = repository.delivered(service.environments);
                for (_, pull_request) in self.expected().filter(|(id, _)| *id == repository.id) {
                    let Some(commit) = pull_request.merge_commit.as_deref() else { continue };
                    let is_of_service = service
                        .folder
                        .is_none_or(|folder| pull_request.files.iter().any(|file| file.starts_with(folder)));
                    if pull_request.merged_at.is_none() || !is_of_service {
                        continue;
                    }
                    let by = match delivered.get(commit) {
                        Some(Some(deployment)) => deployment.to_string(),
                        Some(None) => "before_first_deployment".to_owned(),
                        None => "not_deployed_yet".to_owned(),
                    };
                    expected.insert((repository.id, pull_request.number, by));
                }
            }
        }
        // What is stored beyond that belongs to people who are in no team any more.
        let known: BTreeSet<(i64, i64)> = self.expected().map(|(id, pull_request)| (id, pull_request.number)).collect();
        let stored: BTreeSet<_> =
            stored.into_iter().filter(|(repository, number, _)| known.contains(&(*repository, *number))).collect();
        let may_not_wait =
            |(repository, _, by): &&(i64, i64, String)| !waiting.contains(repository) || by != "not_deployed_yet";
        let (missing, extra): (Vec<_>, Vec<_>) =
            (expected.difference(&stored).collect(), stored.difference(&expected).filter(may_not_wait).collect());
        ensure!(missing.is_empty() && extra.is_empty(), "deliveries: missing {missing:?}, too many {extra:?}");
        Ok(())
    }

    async fn check_incidents(&self) -> Result<()> {
        let stored: Vec<(String, Option<DateTime<Utc>>)> = sqlx::query_as(
            "select i.external_id, f.resolved_at from incident_facts as f
            inner join incidents as i on f.incident_id = i.id
            inner join repositories as r on i.repository_id = r.id
            where r.removed_at is null",
        )
        .fetch_all(&self.pool)
        .await?;
        let stored: BTreeSet<_> = stored.into_iter().collect();
        let counts = |issue: &&FakeIssue| {
            issue.labels.iter().any(|label| label == LABEL) && issue.state_reason.as_deref() != Some("not_planned")
        };
        let issues = self.repositories.iter().flat_map(|repository| repository.issues.values());
        let expected: BTreeSet<_> = issues.filter(counts).map(|it| (it.id.to_string(), it.closed_at)).collect();
        ensure!(stored == expected, "incidents are {stored:?}, not {expected:?}");
        Ok(())
    }
}
