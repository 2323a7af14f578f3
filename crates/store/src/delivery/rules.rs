//! What the configuration says about services and environments.

use chrono::TimeDelta;
use mergeline_domain::delivery::{
    DEFAULT_INCIDENT_WINDOW, DEFAULT_REMEDY_WINDOW, Environment, EnvironmentGroup, EnvironmentRules, HotfixRules,
    ServiceId, ServiceRules, service_of,
};
use sqlx::postgres::types::PgInterval;

use crate::session::Session;
use crate::{RepositoryId, StoreError};

/// What the configuration in force says about deliveries.
#[derive(Debug, Clone)]
pub(super) struct DeliveryRules {
    pub(super) environments: EnvironmentRules,
    pub(super) hotfix: HotfixRules,
    pub(super) remedy_window: TimeDelta,
    pub(super) incident_window: TimeDelta,
}

impl DeliveryRules {
    /// Reads them.
    pub(super) async fn read(connection: &mut Session) -> Result<Self, StoreError> {
        let row = sqlx::query!(
            r#"select
                production_environments, trusts_environment_flag as "trusts_flag!", remedy_window as "remedy_window!",
                incident_window as "incident_window!", hotfix_labels as "hotfix_labels!",
                hotfix_branches as "hotfix_branches!"
            from configuration_in_force"#
        )
        .fetch_optional(connection)
        .await?;
        let Some(row) = row else {
            return Ok(Self {
                environments: EnvironmentRules::default(),
                hotfix: HotfixRules::default(),
                remedy_window: DEFAULT_REMEDY_WINDOW,
                incident_window: DEFAULT_INCIDENT_WINDOW,
            });
        };
        Ok(Self {
            environments: rules(row.production_environments.as_deref(), row.trusts_flag)?,
            hotfix: HotfixRules::new(&row.hotfix_labels, &row.hotfix_branches).map_err(broken)?,
            remedy_window: duration(&row.remedy_window),
            incident_window: duration(&row.incident_window),
        })
    }
}

/// The services that the deployments of a repository may belong to.
pub(super) struct RepositoryServices {
    default: EnvironmentRules,
    services: Vec<ServiceRules>,
}

impl RepositoryServices {
    /// Reads them.
    pub(super) async fn read(connection: &mut Session, repository: RepositoryId) -> Result<Self, StoreError> {
        let DeliveryRules { environments: default, .. } = DeliveryRules::read(connection).await?;
        let rows = sqlx::query!(
            r#"select f.id as "id!", f.environments
            from repositories_of_services as o
            inner join services_in_force as f on o.service_id = f.id
            where o.repository_id = $1
            order by f.place, f.id"#,
            repository.0
        )
        .fetch_all(connection)
        .await?;
        let services = rows.into_iter().map(|row| {
            let own = row.environments.map(|names| rules(Some(&names), default.trusts_flag)).transpose()?;
            Ok(ServiceRules { service: ServiceId(row.id), own })
        });
        let services = services.collect::<Result<_, StoreError>>()?;
        Ok(Self { default, services })
    }

    /// The service that a deployment belongs to, and the group of its environment; `None` for a repository that is no
    /// longer collected.
    pub(super) fn service_of(&self, environment: Environment<'_>) -> Option<(ServiceId, EnvironmentGroup)> {
        service_of(&self.services, &self.default, environment)
    }
}

fn rules(names: Option<&[String]>, trusts_flag: bool) -> Result<EnvironmentRules, StoreError> {
    EnvironmentRules::new(names, trusts_flag).map_err(broken)
}

/// Only valid patterns are stored.
fn broken(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Other(error.into())
}

/// Configured windows are stored as days and shorter times.
fn duration(interval: &PgInterval) -> TimeDelta {
    let days = i64::from(interval.days) + 30 * i64::from(interval.months);
    TimeDelta::days(days) + TimeDelta::microseconds(interval.microseconds)
}
