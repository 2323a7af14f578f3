//! What an operator wants to know about deployments.

use mergeline_domain::RepoName;

use crate::{Reader, StoreError};

/// An environment that deployments name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownEnvironment {
    /// Its name.
    pub name: String,
    /// Whether it means production.
    pub is_production: bool,
    /// Deployments to it.
    pub deployments: i64,
}

/// A list of a repository that could not be read at the last attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadList {
    /// `owner/name`.
    pub repository: String,
    /// The source of the deployments or incidents on it.
    pub source: String,
    /// A stable code.
    pub code: String,
    /// A sentence.
    pub message: String,
}

impl Reader {
    /// The environments that deployments of the sources in force name, without those that do not last, the most used first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn environments(&self) -> Result<Vec<KnownEnvironment>, StoreError> {
        let query = sqlx::query_as!(
            KnownEnvironment,
            r#"select
                min(d.environment) as "name!", bool_or(d.environment_group = 'production') as "is_production!",
                count(*) as "deployments!"
            from deployments as d
            inner join sources_of_services as s on d.service_id = s.service_id
            where
                d.deleted_at is null and d.environment_group <> 'transient' and d.source = coalesce(s.source, d.source)
                -- What is listed without environments is to production, or not what the file names.
                and (d.origin is null or d.environment_group = 'production')
            group by lower(d.environment)
            order by count(*) desc, 1"#
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }

    /// The services of the teams file that name a repository which is not collected, such as one that was renamed since a pattern found
    /// it, each with that name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn services_without_repository(&self) -> Result<Vec<(String, String)>, StoreError> {
        let query = sqlx::query!(
            r#"select s.slug as "slug!", o.repository
            from services as s
            inner join service_repositories as o on s.id = o.service_id
            where
                s.archived_at is null
                and not exists (
                    select from repositories as r
                    where r.removed_at is null and o.repository in (r.name, r.current_name)
                )
            order by 1, 2"#
        );
        let rows = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        Ok(rows.into_iter().map(|row| (row.slug, row.repository)).collect())
    }

    /// The names of repositories that have no deployment to production, although GitHub's list was read and no other source is
    /// named for them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn repositories_without_deployments(&self) -> Result<Vec<RepoName>, StoreError> {
        let query = sqlx::query_scalar!(
            r#"select r.display_name as "name!"
            from lists_of_repositories as w
            inner join repositories as r on w.repository_id = r.id
            inner join deployment_progress as p on r.id = p.repository_id
            where
                w.source = 'github-deployments' and p.listed_at is not null and r.removed_at is null
                and not exists (
                    select from deployments as d
                    where d.repository_id = r.id and d.environment_group = 'production' and d.deleted_at is null
                )
            order by 1"#
        );
        let names = self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await?;
        Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The lists of incidents that could not be read at the last attempt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unread_incidents(&self) -> Result<Vec<UnreadList>, StoreError> {
        let query = sqlx::query_as!(
            UnreadList,
            r#"select distinct
                r.display_name as "repository!", 'github-issues' as "source!", p.problem as "code!", p.problem_message as "message!"
            from configuration_in_force as c
            cross join lateral jsonb_array_elements_text(coalesce(c.delivery -> 'incident_labels', '[]')) as l (label)
            inner join incident_progress as p on l.label = p.label
            inner join repositories as r on p.repository_id = r.id
            where p.problem is not null and r.removed_at is null
            order by 1, 3, 4"#
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }

    /// The lists of deployments that could not be read at the last attempt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unread_deployments(&self) -> Result<Vec<UnreadList>, StoreError> {
        let query = sqlx::query_as!(
            UnreadList,
            r#"select r.display_name as "repository!", p.source as "source!", p.problem as "code!", p.problem_message as "message!"
            from (
                select repository_id, 'github-deployments' as source, '' as list, problem, problem_message
                from deployment_progress
                union all
                select repository_id, source, list, problem, problem_message from deployment_lists
            ) as p
            inner join lists_of_repositories as w
                on p.repository_id = w.repository_id and p.source = w.source and p.list = w.list
            inner join repositories as r on p.repository_id = r.id
            where p.problem is not null and r.removed_at is null
            order by r.display_name, p.source, p.list"#
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }
}
