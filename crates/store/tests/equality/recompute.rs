//! Random facts about deployments, incidents and pull requests, in any order, some of them late, repeated, corrected or deleted:
//! what is derived with each of them equals a recompute of everything, and SQL's numbers equal those of plain Rust.
//!
//! `RECOMPUTE_SEEDS` sets how many sequences there are (200).

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use mergeline_domain::delivery::{
    ChangedFiles, DeploymentEvent, DeploymentState, DeploymentStateKind, IncidentChange, IncidentEvent, Oid, Origin,
    SourceOptions,
};
use mergeline_domain::teams_file::TeamsFile;
use mergeline_domain::{Details, Verdict};
use mergeline_fake_github::{at, pr};
use mergeline_source::{Closing, CommitRecord, ListedDeployment, ListedIncident, ListedState, ReportedDeployment};
use mergeline_store::{
    ApplyOptions, DeploymentList, DeploymentProgress, IncidentProgress, KeptPullRequest, Lease, PageOfWork, Poster,
    Reported, Sender, WithoutDetails, Writer,
};
use mergeline_test_support::TestDatabase;

use crate::common::fresh;
use crate::dora;

const SEEDS: u64 = 200;
/// Each database grows with its sequences, and each recompute looks at all of it.
const IN_A_DATABASE: u64 = 25;
const STEPS: usize = 8;
/// How many numbers are compared with those of the rows.
const QUESTIONS: usize = 25;
const NOW: &str = "2026-06-15T12:00:00Z";
const COMMITS: u64 = 14;
const ENVIRONMENTS: [&str; 7] = ["production", "production", "production", "prod-eu", "staging", "preview", "blue"];
const REPOSITORIES: [&str; 2] = ["acme/api", "acme/web"];
const DIGEST: [u8; 32] = [7; 32];

/// Facts are stored, with all that follows from them.
struct World {
    database: TestDatabase,
    store: Writer,
    poster: Poster,
    random: Rng,
    leases: Vec<Lease>,
}

fn oid(number: u64) -> Oid {
    format!("{number:040x}").parse().expect("forty digits")
}

/// The commit with this number: on the main line, every third one on a branch that the one after it merges.
fn commit(number: u64) -> CommitRecord {
    let parents: &[u64] = match (number, number % 3) {
        (1, _) => &[],
        (2, _) => &[1],
        (_, 0) => &[number - 2],
        (_, 1) => &[number - 2, number - 1],
        (_, _) => &[number - 1],
    };
    let parents = parents.iter().map(|parent| (oid(*parent), committed_at(*parent))).collect();
    CommitRecord { oid: oid(number), parents, committed_at: committed_at(number) }
}

fn committed_at(number: u64) -> DateTime<Utc> {
    at("2026-05-01T08:00:00Z") + TimeDelta::hours(20 * i64::try_from(number).unwrap_or_default())
}

impl World {
    async fn new() -> Result<Self> {
        let (database, store) = fresh().await?;
        let poster = Poster::of(&store);
        let mut world = Self { database, store, poster, random: Rng::with_seed(0), leases: Vec::new() };
        world.apply("", "{ github: ana }, { github: bob, weight: 0.5 }").await?;
        let snapshot = world.store.snapshot().await?.context("configured")?;
        for name in REPOSITORIES {
            let repository = snapshot.repositories.iter().find(|it| it.name.as_str() == name).context("configured")?;
            let leased = world.store.lease(repository.id, at(NOW), Duration::from_secs(86_400)).await?;
            world.leases.push(leased.context("free")?.0);
        }
        // Enough that most of what follows changes something.
        for index in 0..REPOSITORIES.len() {
            let commits: Vec<CommitRecord> = (1..COMMITS).map(commit).collect();
            world.store.store_commits(&world.leases[index], &commits, at(NOW)).await?;
        }
        for _ in 0..20 {
            world.pull_request().await?;
            world.listed().await?;
            world.states().await?;
        }
        Ok(world)
    }

    async fn apply(&self, more: &str, members: &str) -> Result<()> {
        let text = format!(
            "version: 1\nrepositories: [acme/api, acme/web]\n{more}\nteams:\n- {{ slug: pay, members: [{members}] }}\n\
             - {{ slug: web, members: [{{ github: cho }}, {{ github: bob, weight: 0.25 }}] }}\n"
        );
        // Two services of one workflow are refused.
        let Ok(file) = TeamsFile::parse("teams.yaml", text.as_bytes()) else { return Ok(()) };
        let options = ApplyOptions { allow_removals: true, ..ApplyOptions::default() };
        self.store.apply(&file, options, at(NOW)).await?;
        Ok(())
    }

    fn number(&mut self, up_to: u64) -> u64 {
        self.random.u64(1..=up_to)
    }

    fn some<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.usize(0..of.len())]
    }

    fn lease(&mut self) -> (usize, Lease) {
        let index = self.random.usize(0..self.leases.len());
        (index, self.leases[index])
    }

    /// Some instant in the weeks after the first commits.
    fn instant(&mut self) -> DateTime<Utc> {
        at("2026-05-02T00:00:00Z") + TimeDelta::minutes(30 * self.random.i64(0..700))
    }

    /// Stores something. Returns what, for the message of a failure.
    async fn step(&mut self) -> Result<String> {
        Ok(match self.random.u32(0..26) {
            0..6 => self.pull_request().await?,
            6 => self.commits().await?,
            7 => self.missing_commit().await?,
            8..12 => self.listed().await?,
            12..17 => self.states().await?,
            17 => self.reported().await?,
            18 | 19 => self.posted().await?,
            20 => self.posted_incident().await?,
            21 => self.issues().await?,
            22 | 23 => self.file().await?,
            24 => self.files().await?,
            _ => self.deleted().await?,
        })
    }

    /// A merged pull request with its details, or only one of them.
    async fn pull_request(&mut self) -> Result<String> {
        let (index, lease) = self.lease();
        let number = i64::try_from(self.number(12))?;
        let (merged_at, author) = (
            committed_at(number.unsigned_abs()) + TimeDelta::minutes(self.random.i64(0..600)),
            self.some(&["ana", "bob", "cho"]),
        );
        let mut merged = pr(REPOSITORIES[index], number).by(author).merged_at_instant(merged_at);
        merged.created_at = merged_at - TimeDelta::hours(5);
        // A later state of what is known is stored, an earlier one is not.
        let snapshot = self.store.snapshot().await?.context("configured")?;
        if let Verdict::Keep { person, attributions } = snapshot.roster.judge(&merged.facts()) {
            let kept = KeptPullRequest { pull_request: merged.facts(), person: person.id, attributions };
            let page = PageOfWork { kept: vec![kept], ..PageOfWork::default() };
            self.store.upsert_page(&lease, snapshot.revision, page, at(NOW)).await?;
        }
        if self.random.u32(0..4) > 0 {
            let wanted = self.store.without_details(lease.repository, at(NOW), 3).await?;
            let details: Vec<(WithoutDetails, Details)> = wanted
                .into_iter()
                .map(|it| {
                    let details = self.details(it.number);
                    (it, details)
                })
                .collect();
            self.store.store_details(&lease, snapshot.revision, &details, at(NOW)).await?;
        }
        Ok(format!("{}#{number} merged at {merged_at}", REPOSITORIES[index]))
    }

    /// The details of a pull request that was usually merged as the commit of its number.
    fn details(&mut self, number: i64) -> Details {
        let hash = if self.random.u32(0..4) == 0 { self.number(COMMITS + 1) } else { number.unsigned_abs() };
        let maybe = |random: &mut Rng, number: i64| (random.u32(0..4) == 0).then_some(number);
        let (reverts, closes) = (maybe(&mut self.random, 3), maybe(&mut self.random, 41));
        let is_hotfix = self.random.u32(0..5) == 0;
        Details {
            first_commit_at: Some(committed_at(hash)),
            merge_commit: (self.random.u32(0..6) > 0).then(|| oid(hash).to_string()),
            merge_committed_at: Some(committed_at(hash)),
            head_commit: Some(oid(self.random.u64(1..=COMMITS)).to_string()),
            labels: if is_hotfix { vec!["hotfix".to_owned()] } else { Vec::new() },
            reverts,
            closes: closes.into_iter().collect(),
            ..Details::default()
        }
    }

    async fn commits(&mut self) -> Result<String> {
        let (index, lease) = self.lease();
        let (from, to) = (self.number(COMMITS), self.number(COMMITS));
        let range = from.min(to)..=from.max(to);
        let commits: Vec<CommitRecord> = range.clone().map(commit).collect();
        self.store.store_commits(&lease, &commits, at(NOW)).await?;
        Ok(format!("{} commits {range:?}", REPOSITORIES[index]))
    }

    async fn missing_commit(&mut self) -> Result<String> {
        let (index, lease) = self.lease();
        let number = self.number(COMMITS);
        self.store.note_missing_commit(&lease, &oid(number), at(NOW)).await?;
        Ok(format!("{} commit {number} is missing", REPOSITORIES[index]))
    }

    fn deployment_id(index: usize, number: u64) -> String {
        format!("{}", 1_000 * index as u64 + number)
    }

    async fn listed(&mut self) -> Result<String> {
        let (index, lease) = self.lease();
        let number = self.number(10);
        let id = Self::deployment_id(index, number);
        let environment = self.some(&ENVIRONMENTS).to_owned();
        let hash = self.number(COMMITS);
        // Mostly soon after the commit.
        let created_at =
            if self.random.u32(0..3) == 0 { self.instant() } else { committed_at(hash) + TimeDelta::hours(1) };
        let event = format!("{} deployment {id} of {hash} to {environment}", REPOSITORIES[index]);
        let listed = ListedDeployment {
            states_id: format!("DE_{id}"),
            id: id.into(),
            is_transient: environment == "preview",
            environment,
            commit: (self.random.u32(0..8) > 0).then(|| oid(hash)),
            created_at,
            is_production: None,
        };
        let states_id = listed.states_id.clone();
        self.store.store_deployments(&lease, &[listed], None, at(NOW)).await?;
        if self.random.u32(0..4) > 0 {
            let state = DeploymentState { at: created_at, kind: DeploymentStateKind::Success };
            let states = [(states_id, vec![ListedState { state, environment: None }])];
            self.store.store_deployment_states(&lease, &states, at(NOW), at(NOW)).await?;
        }
        Ok(event)
    }

    fn kind(&mut self) -> DeploymentStateKind {
        use DeploymentStateKind::{Cancelled, Failure, InProgress, Inactive, Success};
        [Success, Success, Success, Failure, InProgress, Cancelled, Inactive][self.random.usize(0..7)]
    }

    async fn states(&mut self) -> Result<String> {
        let (index, lease) = self.lease();
        let number = self.number(10);
        let id = format!("DE_{}", Self::deployment_id(index, number));
        let mut states = Vec::new();
        for _ in 0..self.number(2) {
            let state = DeploymentState { at: self.instant(), kind: self.kind() };
            let environment = (self.random.u32(0..6) == 0).then(|| self.some(&ENVIRONMENTS).to_owned());
            states.push(ListedState { state, environment });
        }
        let event = format!("{id}: {states:?}");
        self.store.store_deployment_states(&lease, &[(id, states)], at(NOW), at(NOW)).await?;
        Ok(event)
    }

    /// A release, a run or a merge.
    async fn reported(&mut self) -> Result<String> {
        let (index, lease) = self.lease();
        let (number, hash, created_at) = (self.number(5), self.number(COMMITS), self.instant());
        let origin = match self.random.u32(0..3) {
            0 => Origin::Release { tag: format!("v{number}"), is_prerelease: false },
            1 => Origin::Run { workflow: "deploy.yml".to_owned(), branch: Some("main".to_owned()) },
            _ => Origin::Merge { branch: "main".to_owned() },
        };
        let list =
            DeploymentList { source: origin.source(), name: "main".to_owned(), options: SourceOptions::default() };
        let end = DeploymentState { at: created_at, kind: self.kind() };
        let deployment = ReportedDeployment {
            id: format!("{index}{number}").into(),
            origin,
            commit: Some(oid(hash)),
            created_at,
            end: self.random.bool().then_some(end),
            version: None,
            url: None,
        };
        let complete_since = (self.random.u32(0..4) == 0).then_some(created_at);
        let event = format!("{deployment:?}, {complete_since:?}");
        let reported = Reported { list: &list, deployments: &[deployment], complete_since };
        self.store.store_reported(&lease, reported, &DeploymentProgress::default(), at(NOW)).await?;
        Ok(event)
    }

    /// A posted deployment, which may be refused.
    async fn posted(&mut self) -> Result<String> {
        let (number, hash) = (self.number(6), self.number(COMMITS));
        let service = self.some(&["shop", "acme/api", "acme/web"]).to_owned();
        let status = self.some(&["queued", "in_progress", "success", "success", "failure", "cancelled"]).to_owned();
        let finished_at = self.instant();
        let remedies = (self.random.u32(0..5) == 0).then(|| format!("D{}", self.random.u64(1..=6)));
        let event = DeploymentEvent {
            id: format!("D{number}"),
            service,
            environment: self.some(&ENVIRONMENTS).to_owned(),
            status: Some(status),
            repository: Some(self.some(&REPOSITORIES).to_owned()),
            sha: (self.random.u32(0..8) > 0).then(|| oid(hash).to_string()),
            finished_at: Some(finished_at.to_rfc3339()),
            rework: Some(self.random.u32(0..6) == 0),
            failed: Some(self.random.u32(0..6) == 0),
            remedies,
            ..DeploymentEvent::default()
        };
        let what = format!("{event:?}");
        let Ok(posted) = event.check(at(NOW)) else { return Ok("not posted".to_owned()) };
        let outcome = self.poster.post_deployment(&Sender::default(), &DIGEST, &posted, at(NOW)).await?;
        Ok(format!("posted {what}: {}", outcome.is_ok()))
    }

    /// A posted incident, a change of one, or its link.
    async fn posted_incident(&mut self) -> Result<String> {
        let (id, sender, time) = (format!("I{}", self.number(4)), Sender::default(), self.instant());
        let outcome = match self.random.u32(0..7) {
            0 | 1 => {
                let event = IncidentEvent {
                    id: id.clone(),
                    service: self.some(&["shop", "acme/api"]).to_owned(),
                    title: "Down".to_owned(),
                    severity: Some(self.some(&["sev1", "minor"]).to_owned()),
                    started_at: Some(time.to_rfc3339()),
                    deployment: (self.random.u32(0..3) == 0).then(|| format!("D{}", self.random.u64(1..=6))),
                    ..IncidentEvent::default()
                };
                let Ok(incident) = event.check(at(NOW)) else { return Ok("no incident".to_owned()) };
                self.poster.post_incident(&sender, &DIGEST, &incident, at(NOW)).await?.is_ok()
            }
            2 => {
                let deployments: Vec<i64> = sqlx::query_scalar("select id from deployments order by id")
                    .fetch_all(&self.database.pool().await?)
                    .await?;
                let nth = self.random.usize(0..=deployments.len());
                let deployment = deployments.get(nth).copied().map(mergeline_domain::delivery::DeploymentId);
                self.poster.set_link(&sender, &DIGEST, &id, deployment, at(NOW)).await?.is_ok()
            }
            kind => {
                let change = match kind {
                    3 => IncidentChange::Resolved(time),
                    4 => IncidentChange::Reopened(time),
                    5 => IncidentChange::Dismissed(time),
                    _ => IncidentChange::Merged { at: time, into: Some(format!("I{}", self.random.u64(1..=4))) },
                };
                self.poster.change_incident(&sender, &DIGEST, &id, change, at(NOW)).await?.is_ok()
            }
        };
        Ok(format!("incident {id} at {time}: {outcome}"))
    }

    /// Issues that are incidents, one of which may be gone.
    async fn issues(&mut self) -> Result<String> {
        let (index, lease) = self.lease();
        let number = 40 + i64::try_from(self.number(3))?;
        let (opened_at, closed_at) = (self.instant(), self.instant());
        let id = format!("{index}{number}");
        let closing = if self.random.u32(0..4) == 0 { Closing::Dismissed } else { Closing::Resolved };
        let service = self.some(&["service:shop", "service:docs", "sev2"]).to_owned();
        let listed = ListedIncident {
            id: id.clone().into(),
            number,
            title: "Down".to_owned(),
            labels: vec!["incident".to_owned(), service],
            url: None,
            opened_at,
            updated_at: closed_at.max(opened_at),
            closed: (closed_at > opened_at).then_some((closed_at, closing)),
        };
        let gone = if self.random.u32(0..4) == 0 { vec![format!("{index}42")] } else { Vec::new() };
        let event = format!("{listed:?}, gone {gone:?}");
        let progress = IncidentProgress { read_at: Some(at(NOW)), ..IncidentProgress::default() };
        self.store.store_incidents(&lease, "incident", &[listed], &gone, &progress, at(NOW)).await?;
        Ok(event)
    }

    /// Another teams file: services, sources, environments, windows, owners and members.
    async fn file(&mut self) -> Result<String> {
        let services = self.some(&[
            "",
            "services: [{ slug: shop, repositories: [acme/api, acme/web], owners: [{ team: pay, weight: 0.7 }, { team: web, weight: 0.3 }] }]",
            "services: [{ slug: shop, repositories: [acme/api], paths: [src], owners: [{ team: pay, from: 2026-05-10 }] }]",
            "services: [{ slug: shop, repositories: [acme/api], paths: [src], environments: [production] }, \
             { slug: docs, repositories: [acme/api], paths: [docs, src/x], environments: [blue, prod-eu] }]",
            "services: [{ slug: shop, repositories: [acme/api], deployments: { source: events } }]",
            "services: [{ slug: shop, repositories: [acme/web], deployments: { source: github-releases } }]",
            "",
            "services: [{ slug: shop, repositories: [acme/api], paths: [docs, src] }]",
        ]);
        let source = self.some(&[
            "",
            "",
            "",
            "",
            "",
            "",
            "deployments: { source: events }",
            "deployments: { workflow: deploy.yml, branch: main }",
            "deployments: { source: merges, branch: main }",
            "deployments: { source: github-deployments }",
        ]);
        let environments = self.some(&["", "environments: { production: [blue, 'prod*'] }"]);
        let incidents = self.some(&[
            "",
            "incidents: { issues: { labels: [incident] } }",
            "incidents: { issues: { labels: [incident] }, window: 72h, remedy_window: 2d, hotfix: { labels: [none] } }",
        ]);
        let members = self.some(&[
            "{ github: ana }, { github: bob, weight: 0.5 }",
            "{ github: ana, to: 2026-05-12 }, { github: bob, weight: 0.75 }",
            "{ github: ana, weight: 0.3333 }",
        ]);
        let more = format!("{services}\n{source}\n{environments}\n{incidents}");
        self.apply(&more, members).await?;
        Ok(format!("{more}\n{members}"))
    }

    async fn files(&mut self) -> Result<String> {
        let (index, lease) = self.lease();
        let wanted = self.store.without_files(lease.repository, at(NOW), 4).await?;
        let mut files = Vec::new();
        for one in wanted {
            let paths = self.some(&["src/a.rs", "docs/a.md", "src/x/b.rs", "README.md"]);
            let is_complete = self.random.u32(0..6) > 0;
            files.push((one.node_id, ChangedFiles { paths: vec![paths.to_owned()], is_complete }));
        }
        self.store.store_files(&lease, &files, at(NOW)).await?;
        Ok(format!("{}: {files:?}", REPOSITORIES[index]))
    }

    /// Something is deleted at the source.
    async fn deleted(&mut self) -> Result<String> {
        let (index, lease) = self.lease();
        let number = self.number(10);
        if self.random.bool() {
            self.store.mark_deleted(&lease, &[i64::try_from(number)?], at(NOW)).await?;
            return Ok(format!("{}#{number} is deleted", REPOSITORIES[index]));
        }
        let id = Self::deployment_id(index, number);
        self.store.mark_deployments_deleted(&lease, std::slice::from_ref(&id), at(NOW)).await?;
        Ok(format!("deployment {id} is deleted"))
    }

    /// I11 and I12.
    async fn check(&self) -> Result<()> {
        while self.store.reattribute(50).await?.people_left > 0 {}
        let differences = self.store.derive_all(false).await?;
        ensure!(differences.rows == 0, "{} rows differ from a recompute", differences.rows);
        let wrong: Vec<String> = sqlx::query_scalar(
            "select basis || ' ' || deployment_id || ': ' || sum(share) from deployment_shares
            group by basis, deployment_id having sum(share) > 1 or min(share) <= 0",
        )
        .fetch_all(&self.database.pool().await?)
        .await?;
        ensure!(wrong.is_empty(), "shares of one deployment: {wrong:?}");
        Ok(())
    }
}

async fn sequences(seeds: std::ops::Range<u64>) -> Result<()> {
    let mut world = World::new().await?;
    for seed in seeds {
        if seed % IN_A_DATABASE == 0 {
            world = World::new().await?;
        }
        world.random = Rng::with_seed(seed);
        let mut events = Vec::new();
        for _ in 0..STEPS {
            let event = world.step().await.with_context(|| format!("seed {seed} after\n{}", events.join("\n")))?;
            events.push(event);
        }
        world.check().await.with_context(|| format!("seed {seed}:\n{}", events.join("\n")))?;
        // I6: as often as new rows are worth it.
        if seed % 5 == 4 {
            let World { database, random, .. } = &mut world;
            dora::check(database, random, QUESTIONS).await.with_context(|| format!("seed {seed}"))?;
        }
    }
    Ok(())
}

/// A part of the seeds: the parts run side by side.
async fn part(number: u64, of: u64) -> Result<()> {
    let seeds = std::env::var("RECOMPUTE_SEEDS").map_or(Ok(SEEDS), |text| text.parse())?;
    sequences(seeds * number / of..seeds * (number + 1) / of).await
}

#[tokio::test]
async fn a_recompute_equals_the_increments_of_the_first_half_of_random_facts() -> Result<()> {
    part(0, 2).await
}

#[tokio::test]
async fn a_recompute_equals_the_increments_of_the_second_half_of_random_facts() -> Result<()> {
    part(1, 2).await
}
