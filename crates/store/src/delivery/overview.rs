//! What an operator wants to know about deployments.

use crate::{Reader, RepositoryId, StoreError};

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

/// A repository whose deployments could not be read at the last attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadDeployments {
    /// `owner/name`.
    pub repository: String,
    /// A stable code.
    pub code: String,
    /// A sentence.
    pub message: String,
}

impl Reader {
    /// The environments that deployments name, without those that do not last, the most used first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn environments(&self) -> Result<Vec<KnownEnvironment>, StoreError> {
        let query = sqlx::query_as!(
            KnownEnvironment,
            r#"select
                min(environment) as "name!", bool_or(environment_group = 'production') as "is_production!",
                count(*) as "deployments!"
            from deployments
            where deleted_at is null and environment_group <> 'transient'
            group by lower(environment)
            order by count(*) desc, 1"#
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }

    /// Whether the deployments of all services of a repository are posted, so that nobody lists them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deployments_are_posted(&self, repository: RepositoryId) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar!(
            r#"select is_posted as "is_posted!" from deployments_read where repository_id = $1"#,
            repository.0
        );
        let found = self.with_deadline(async |connection| Ok(query.fetch_optional(connection).await?)).await?;
        Ok(found.unwrap_or_default())
    }

    /// The repositories whose deployments could not be read at the last attempt.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unread_deployments(&self) -> Result<Vec<UnreadDeployments>, StoreError> {
        let query = sqlx::query_as!(
            UnreadDeployments,
            r#"select r.display_name as "repository!", p.problem as "code!", p.problem_message as "message!"
            from deployment_progress as p
            inner join deployments_read as r on p.repository_id = r.repository_id
            where p.problem is not null and not r.is_posted
            order by r.display_name"#
        );
        self.with_deadline(async |connection| Ok(query.fetch_all(connection).await?)).await
    }
}
