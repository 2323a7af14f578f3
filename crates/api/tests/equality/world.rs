//! A random organization in a database behind the API.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use mergeline_api::{Api, router};
use mergeline_domain::progress::ProgressEvent;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_domain::{Details, PullRequest, RepoName, Verdict};
use mergeline_fake_github::pr;
use mergeline_store::{
    ApplyOptions, KeptPullRequest, Lease, LeaseOutcome, PageOfWork, Repository, Snapshot, WithoutDetails, Writer,
};
use mergeline_test_support::TestDatabase;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tower::ServiceExt;
use url::Url;

use crate::organization::{Change, Membership, Organization, REPOSITORIES, TEAMS};

pub(crate) struct World {
    pub(crate) organization: Organization,
    database: TestDatabase,
    store: Writer,
    router: Router,
}

/// A row of a table, by column.
pub(crate) type Row = BTreeMap<String, String>;

impl World {
    /// Stores everything as a collection does.
    pub(crate) async fn of(organization: Organization) -> Result<Self> {
        let database = TestDatabase::create().await?;
        let store = database.store()?;
        let clock = organization.clock;
        let router = router(Api::new(database.reader()?, Duration::from_secs(60), clock));
        let world = Self { organization, database, store, router };
        if world.organization.is_reorganized {
            world.apply(&world.organization.before_the_reorganization()).await?;
        } else {
            world.apply(&world.organization.memberships).await?;
        }
        world.for_each_repository(async |snapshot, lease, name| world.keep(snapshot, lease, name).await).await?;
        if world.organization.is_reorganized {
            world.apply(&world.organization.memberships).await?;
        }
        world.for_each_repository(async |snapshot, lease, name| world.finish(snapshot, lease, name).await).await?;
        Ok(world)
    }

    async fn apply(&self, memberships: &[Membership]) -> Result<()> {
        let file = TeamsFile::parse("teams.yaml", self.organization.teams_file(memberships).as_bytes())?;
        let options = ApplyOptions { allow_removals: true, ..ApplyOptions::default() };
        self.store.apply(&file, options, (self.organization.clock)()).await?;
        Ok(())
    }

    async fn for_each_repository(&self, work: impl AsyncFn(&Snapshot, &Lease, &RepoName) -> Result<()>) -> Result<()> {
        let now = (self.organization.clock)();
        let snapshot = self.store.snapshot().await?.context("nothing is configured")?;
        assert_eq!(snapshot.repositories.len(), REPOSITORIES.len());
        for Repository { id, name, .. } in &snapshot.repositories {
            let (lease, _) = self.store.lease(*id, now, Duration::ZERO).await?.context("the lease is taken")?;
            work(&snapshot, &lease, name).await?;
            self.store.release(&lease, LeaseOutcome::Succeeded, None, now).await?;
        }
        Ok(())
    }

    async fn keep(&self, snapshot: &Snapshot, lease: &Lease, name: &RepoName) -> Result<()> {
        let now = (self.organization.clock)();
        let (mut page, mut details, mut deleted) = (PageOfWork::default(), Vec::new(), Vec::new());
        for change in self.organization.changes.iter().filter(|change| change.repository == name.as_str()) {
            let pull_request = change.facts();
            if let Verdict::Keep { person, attributions } = snapshot.roster.judge(&pull_request) {
                page.kept.push(KeptPullRequest { pull_request, person: person.id, attributions });
            }
            details.extend(change.details());
            deleted.extend(change.is_deleted.then_some(change.number));
        }
        self.store.upsert_page(lease, snapshot.revision, page, now).await?;
        self.store.store_details(lease, snapshot.revision, &details, now).await?;
        self.store.mark_deleted(lease, &deleted, now).await?;
        Ok(())
    }

    async fn finish(&self, snapshot: &Snapshot, lease: &Lease, name: &RepoName) -> Result<()> {
        let index = REPOSITORIES.iter().position(|repository| *repository == name.as_str()).context("configured")?;
        let (down_to, started_at) = (self.organization.read_since[index], self.organization.read_until[index]);
        let listed = ProgressEvent::Listed {
            newest: Some(started_at),
            down_to,
            started_at,
            is_verified: true,
            has_pull_requests: true,
        };
        self.store.advance_listing(lease, snapshot.revision, listed, None, started_at).await?;
        Ok(())
    }

    async fn respond(&self, path: &str, query: &str) -> Result<Response<Body>> {
        let address = format!("/v1/metrics/{path}?{query}");
        let response = self.router.clone().oneshot(Request::get(&address).body(Body::empty())?).await?;
        assert_eq!(response.status(), 200, "{address}");
        Ok(response)
    }

    /// A response about a team.
    pub(crate) async fn ask(&self, path: &str, query: &str) -> Result<Value> {
        self.json(&format!("team/{path}"), query).await
    }

    /// A response about the organization.
    pub(crate) async fn ask_all(&self, path: &str, query: &str) -> Result<Value> {
        self.json(&format!("organization/{path}"), query).await
    }

    async fn json(&self, path: &str, query: &str) -> Result<Value> {
        let response = self.respond(path, query).await?;
        Ok(serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?)
    }

    /// A team's pull requests, from all pages.
    pub(crate) async fn pull_requests(&self, team: &str, query: &str) -> Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let answer = self.ask(&format!("{team}/pull-requests"), &format!("{query}&limit=19{cursor}")).await?;
            rows.extend(answer["data"]["pull_requests"].as_array().context("rows")?.iter().cloned());
            let Some(next) = answer["meta"]["next_cursor"].as_str() else { return Ok(rows) };
            cursor = format!("&cursor={next}");
        }
    }

    /// The same as CSV, where the header has the next cursor.
    pub(crate) async fn rows_of_csv(&self, team: &str, query: &str) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let query = format!("{query}&format=csv&limit=17{cursor}");
            let response = self.respond(&format!("team/{team}/pull-requests"), &query).await?;
            let next = response.headers().get("mergeline-next-cursor").cloned();
            let page = response.into_body().collect().await?.to_bytes();
            for row in csv::Reader::from_reader(&*page).deserialize() {
                rows.push(row?);
            }
            let Some(next) = next else { return Ok(rows) };
            cursor = format!("&cursor={}", next.to_str()?);
        }
    }

    /// Cleans up, because hundreds of databases would take gigabytes.
    pub(crate) async fn close(self) -> Result<()> {
        self.store.close().await;
        let mut url = Url::parse(self.database.url())?;
        let name = url.path().trim_start_matches('/').to_owned();
        url.set_path("postgres");
        let mut connection = PgConnection::connect(url.as_str()).await?;
        connection.execute(AssertSqlSafe(format!("drop database {name} with (force)"))).await?;
        Ok(connection.close().await?)
    }
}

impl Organization {
    fn teams_file(&self, memberships: &[Membership]) -> String {
        let teams: String = TEAMS
            .iter()
            .map(|team| {
                let of_team = memberships.iter().filter(|membership| membership.team == *team);
                let members: Vec<String> = of_team.map(Membership::to_yaml).collect();
                format!("  - {{ slug: {team}, members: [{}] }}\n", members.join(", "))
            })
            .collect();
        let repositories = REPOSITORIES.join(", ");
        format!("version: 1\ntimezone: {}\nrepositories: [{repositories}]\nteams:\n{teams}", self.zone)
    }

    /// The same people, all in one team for all time.
    fn before_the_reorganization(&self) -> Vec<Membership> {
        let people: BTreeSet<&str> = self.memberships.iter().map(|membership| membership.person).collect();
        let in_one = |person| Membership { person, team: TEAMS[0], units: 10_000, from: None, to: None };
        people.into_iter().map(in_one).collect()
    }
}

impl Membership {
    fn to_yaml(&self) -> String {
        let from = self.from.map(|day| format!(", from: {day}")).unwrap_or_default();
        let to = self.to.map(|day| format!(", to: {day}")).unwrap_or_default();
        let weight = format!("{}.{:04}", self.units / 10_000, self.units % 10_000);
        format!("{{ github: {}, weight: {weight}{from}{to} }}", self.person)
    }
}

impl Change {
    /// The pull request as GitHub lists it.
    fn facts(&self) -> PullRequest {
        let title = "=1+1, \"quoted\"\r\nand a line";
        let mut fake = pr(self.repository, self.number).by(self.author).titled(title);
        self.base.clone_into(&mut fake.base_ref);
        fake.created_at = self.created_at;
        fake.merged_at = self.merged_at;
        fake.closed_at = self.closed_at;
        fake.updated_at = self.decided_at().max(self.created_at);
        let mut facts = fake.facts();
        facts.base_ref = facts.base_ref.filter(|_| !self.is_base_told_late);
        facts
    }

    fn details(&self) -> Option<(WithoutDetails, Details)> {
        let facts = self.facts();
        let history = self.history.as_ref()?;
        let details = Details {
            first_commit_at: history.first_commit,
            first_review_at: history.first_review,
            ready_at: history.ready,
            base_ref: Some(self.base.to_owned()),
            ..Details::default()
        };
        Some((WithoutDetails { node_id: facts.node_id?, number: facts.number, updated_at: facts.updated_at }, details))
    }
}
