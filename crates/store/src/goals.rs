//! The goals of the teams files, and what they are judged by.

use chrono::{DateTime, Utc};
use mergeline_domain::TeamId;
use mergeline_domain::insight::GoalTimes;
use mergeline_domain::teams_file::{ConfiguredGoals, GoalEntry};
use sqlx::types::Json;

use crate::attributions::stored_weight;
use crate::{ReadSession, StoreError};

/// A pull request, to be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedPullRequest {
    /// Its number in the database.
    pub id: i64,
    /// The name of its repository.
    pub repository: String,
    /// Its number there.
    pub number: i64,
    /// Its title.
    pub title: String,
    /// Its page at GitHub.
    pub url: String,
}

impl ReadSession {
    /// The goals of each teams file that changed them, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn goals(&mut self) -> Result<Vec<ConfiguredGoals>, StoreError> {
        let rows = sqlx::query!(
            r#"select c.applied_at as "applied_at!", c.goals as "goals!: Json<Vec<GoalEntry>>"
            from (
                select revision, applied_at, goals, lag(goals, 1, '[]') over (order by revision) as former
                from configurations
            ) as c
            where c.goals <> c.former
            order by c.revision"#
        )
        .fetch_all(&mut *self.connection)
        .await?;
        Ok(rows.into_iter().map(|row| ConfiguredGoals { applied_at: row.applied_at, goals: row.goals.0 }).collect())
    }

    /// What goals are about, of the pull requests of a team that were open at any time since an instant.
    ///
    /// # Errors
    /// When the database fails.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "goal_times"))]
    pub async fn goal_times(&mut self, team: TeamId, since: DateTime<Utc>) -> Result<Vec<GoalTimes>, StoreError> {
        let rows = sqlx::query_file!("queries/goal_times.sql", team.0, since).fetch_all(&mut *self.connection).await?;
        let times = rows.into_iter().map(|row| {
            Ok(GoalTimes {
                id: row.id,
                created_at: row.created_at,
                ready_at: row.ready_at,
                first_review_at: row.first_review_at,
                closed_at: row.closed_at,
                merged_at: row.merged_at,
                has_details: row.has_details,
                weight: stored_weight(row.weight_units)?,
                person: row.author_id,
            })
        });
        times.collect()
    }

    /// Some pull requests, to be listed, in the order of their numbers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn linked_pull_requests(&mut self, ids: &[i64]) -> Result<Vec<LinkedPullRequest>, StoreError> {
        let rows = sqlx::query_as!(
            LinkedPullRequest,
            r#"select
                p.id, r.display_name as "repository!", p.number, p.title,
                i.base_url || '/' || r.display_name || '/pull/' || p.number as "url!"
            from pull_requests as p
            inner join repositories as r on p.repository_id = r.id
            inner join instances as i on p.instance_id = i.id
            where p.id = any($1)
            order by p.id"#,
            ids
        );
        Ok(rows.fetch_all(&mut *self.connection).await?)
    }
}
