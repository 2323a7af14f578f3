//! Helpers shared by the store's tests.

#![allow(dead_code, reason = "each test binary uses only some helpers")]

use anyhow::Result;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_fake_github::at;
use mergeline_store::{Applied, ApplyError, ApplyOptions, Writer};
use mergeline_test_support::TestDatabase;

pub(crate) const REPOSITORY: &str = "acme/api";

/// A fresh store and the database behind it.
pub(crate) async fn fresh() -> Result<(TestDatabase, Writer)> {
    let database = TestDatabase::create().await?;
    let store = database.store()?;
    Ok((database, store))
}

/// A teams file with these teams: each a slug with its members in YAML flow style.
pub(crate) fn teams(teams: &[(&str, &str)]) -> TeamsFile {
    teams_in("UTC", teams)
}

pub(crate) fn teams_in(zone: &str, teams: &[(&str, &str)]) -> TeamsFile {
    let teams: Vec<String> =
        teams.iter().map(|(slug, members)| format!("{{ slug: {slug}, members: [{members}] }}")).collect();
    let text = format!("version: 1\ntimezone: {zone}\nrepositories: [{REPOSITORY}]\nteams: [{}]\n", teams.join(", "));
    TeamsFile::parse("teams.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{problems}"))
}

pub(crate) async fn apply(store: &Writer, file: &TeamsFile) -> Result<Applied, ApplyError> {
    store.apply(file, ApplyOptions::default(), at("2026-06-15T12:00:00Z")).await
}

/// (number, team, weight) of every attribution, in order.
pub(crate) async fn attributions(database: &TestDatabase) -> Result<Vec<(i64, String, String)>> {
    let pool = database.pool().await?;
    let rows = sqlx::query_as(
        "select p.number, t.slug, trim_scale(a.weight)::text
        from pr_attributions as a
        inner join pull_requests as p on a.pull_request_id = p.id
        inner join teams as t on a.team_id = t.id
        order by p.number, t.slug",
    )
    .fetch_all(&pool)
    .await?;
    Ok(rows)
}

/// A row of [`attributions`].
pub(crate) fn share(number: i64, team: &str, weight: &str) -> (i64, String, String) {
    (number, team.to_owned(), weight.to_owned())
}
