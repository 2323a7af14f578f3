//! What always holds, and what holds once everything is quiet.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use mergeline_test_support::miscounted;

use crate::model::{author, reviewed_at, state};
use crate::world::{TOKEN, World};

/// A stored pull request.
#[derive(Debug, sqlx::FromRow)]
struct Row {
    repository: i64,
    number: i64,
    title: String,
    state: String,
    updated_at: DateTime<Utc>,
    merged_at: Option<DateTime<Utc>>,
    first_review_at: Option<DateTime<Utc>>,
    reviewed_at: Vec<DateTime<Utc>>,
    has_details: bool,
    login: String,
}

impl World {
    async fn rows(&self) -> Result<BTreeMap<(i64, i64), Row>> {
        let rows: Vec<Row> = sqlx::query_as(
            "select r.external_id::bigint as repository, p.number, p.title, p.state, p.updated_at, p.merged_at, p.first_review_at,
                array(select v.submitted_at from pull_request_reviews as v where v.pull_request_id = p.id order by v.place) as reviewed_at,
                (p.detailed_at = p.updated_at and p.reviews_at = p.updated_at) is true as has_details, h.login
            from pull_requests as p
            inner join repositories as r on p.repository_id = r.id
            inner join accounts as h on p.author_id = h.person_id and p.instance_id = h.instance_id
            where r.removed_at is null and r.external_id is not null and p.deleted_at is null",
        )
        .fetch_all(&self.pool)
        .await?;
        let count = rows.len();
        let rows: BTreeMap<_, _> = rows.into_iter().map(|row| ((row.repository, row.number), row)).collect();
        ensure!(rows.len() == count, "I1: a pull request is stored twice");
        Ok(rows)
    }

    async fn number(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(&self.pool).await?)
    }

    /// Holds after any history.
    pub(crate) async fn check_always(&self) -> Result<()> {
        let wrong = self
            .number(
                "with wanted as (
                    select p.id, m.team_id, m.id as membership_id, m.weight
                    from pull_requests as p
                    inner join team_memberships as m
                        on p.author_id = m.person_id and m.removed_in is null
                        and (m.joined_at is null or m.joined_at <= p.attributed_at)
                        and (m.left_at is null or p.attributed_at < m.left_at)
                    where p.deleted_at is null
                ),
                stored as (select pull_request_id as id, team_id, membership_id, weight from pr_attributions)
                select count(*)
                from (
                    (select * from wanted except select * from stored) union all (select * from stored except select * from wanted)
                ) as d
                -- Except for what the next run reattributes.
                where not exists (
                    select from pull_requests as p inner join reattributions as r on p.author_id = r.person_id
                    where p.id = d.id
                )",
            )
            .await?;
        ensure!(wrong == 0, "{wrong} attributions are not what the memberships say");
        let above = self
            .number("select count(*) from (select 1 from pr_attributions group by pull_request_id having sum(weight) > 1) as x")
            .await?;
        ensure!(above == 0, "I5: {above} pull requests count more than once");
        let miscounted = miscounted(&self.pool).await?;
        ensure!(miscounted.is_empty(), "the rows of repositories do not say how many there are: {miscounted:?}");
        self.check_derived().await?;
        self.check_watermarks().await
    }

    /// I4 and I9: what a watermark or an answer claims is stored.
    async fn check_watermarks(&self) -> Result<()> {
        let rows = self.rows().await?;
        let claims: Vec<(i64, Option<DateTime<Utc>>)> = sqlx::query_as(
            "select external_id::bigint, greatest(watermark, collected_at) from repositories
            where removed_at is null and external_id is not null and reopened_since is null and backfill_order is null",
        )
        .fetch_all(&self.pool)
        .await?;
        // What could not be read is not lost: answers say that it is missing until it is requested again.
        let quarantined: Vec<(i64, Option<i64>)> = sqlx::query_as(
            "select r.external_id::bigint, q.number from quarantined_pull_requests as q
            inner join repositories as r on q.repository_id = r.id
            where r.removed_at is null and r.external_id is not null",
        )
        .fetch_all(&self.pool)
        .await?;
        let is_said = |repository: i64, number: i64| {
            quarantined.iter().any(|(id, known)| *id == repository && known.is_none_or(|known| known == number))
        };
        for (repository, claimed) in claims {
            let Some(claimed) = claimed else { continue };
            for (_, pull_request) in self.expected().filter(|(id, _)| *id == repository) {
                if pull_request.updated_at < claimed && !is_said(repository, pull_request.number) {
                    let row = rows.get(&(repository, pull_request.number));
                    let row = row.with_context(|| format!("I4: #{} is lost behind {claimed}", pull_request.number))?;
                    ensure!(
                        row.updated_at == pull_request.updated_at,
                        "I4: #{} is old behind {claimed}",
                        pull_request.number
                    );
                }
            }
        }
        Ok(())
    }

    /// Holds once nothing else happens.
    pub(crate) async fn check_equality(&self) -> Result<()> {
        let left = self.number("select count(*) from reattributions").await?;
        ensure!(left == 0, "pull requests of {left} people and teams were never reattributed");
        self.check_always().await?;
        let rows = self.rows().await?;
        for (repository, expected) in self.expected() {
            let row = rows.get(&(repository, expected.number));
            let row = row.with_context(|| format!("I2: {}#{} is lost", expected.repository, expected.number))?;
            let what = format!("{}#{}", expected.repository, expected.number);
            ensure!(row.title == expected.title, "I2: {what} has the title {}", row.title);
            ensure!(row.state == state(expected), "I2: {what} is {}", row.state);
            ensure!(row.updated_at == expected.updated_at, "I2: {what} is as of {}", row.updated_at);
            ensure!(row.merged_at == expected.merged_at, "I2: {what} was merged at {:?}", row.merged_at);
            ensure!(Some(row.login.as_str()) == author(expected), "I2: {what} is by {}", row.login);
            ensure!(row.has_details, "I2: {what} has no details");
            ensure!(
                row.reviewed_at == reviewed_at(expected) && row.first_review_at == row.reviewed_at.first().copied(),
                "I2: {what} was reviewed at {:?}, for the first time at {:?}",
                row.reviewed_at,
                row.first_review_at
            );
        }
        let is_at_github = |(repository, number): &(i64, i64)| {
            let found = self.repositories.iter().find(|one| one.id == *repository);
            found.is_some_and(|one| one.pull_requests.contains_key(number))
        };
        let since = self.now - chrono::TimeDelta::days(20);
        let ghosts: Vec<_> =
            rows.iter().filter(|(key, row)| !is_at_github(key) && row.updated_at > since).map(|(key, _)| key).collect();
        ensure!(ghosts.is_empty(), "I2: {ghosts:?} no longer exist at GitHub");
        let open = self.number("select count(*) from collection_runs where state = 'running'").await?;
        ensure!(open == 0, "I10: {open} runs never ended");
        let unbalanced = self
            .number(
                "select count(*) from collection_results
                where listed <> kept + skipped_ghost + skipped_bot + skipped_not_a_member + quarantined",
            )
            .await?;
        ensure!(unbalanced == 0, "the ledger does not add up for {unbalanced} results");
        self.check_deliveries().await?;
        self.check_secrets().await
    }

    /// I7: the token is not stored anywhere.
    async fn check_secrets(&self) -> Result<()> {
        let text: String = sqlx::query_scalar(
            "select coalesce(string_agg(t, ' '), '') from (
                select r::text as t from collection_results as r
                union all select n::text from collection_runs as n
                union all select r::text from repositories as r
                union all select q::text from quarantined_pull_requests as q
                union all select p::text from pull_requests as p
            ) as everything",
        )
        .fetch_one(&self.pool)
        .await?;
        ensure!(!text.contains(TOKEN), "I7: the token is in the database");
        Ok(())
    }
}
