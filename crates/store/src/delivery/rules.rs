//! What the configuration says about services and environments.

use chrono::TimeDelta;
use mergeline_domain::delivery::{
    DeploymentSource, Environment, EnvironmentGroup, EnvironmentRules, HotfixRules, Origin, ServiceId, ServiceRules,
    SourceOptions, SourceRules, service_of, service_of_listed,
};
use mergeline_domain::teams_file::DeliverySettings;
use sqlx::types::Json;

use crate::revision::parse_stored;
use crate::session::Session;
use crate::{Reader, RepositoryId, StoreError};

/// What the configuration in force says about deliveries.
#[derive(Debug, Clone)]
pub(super) struct DeliveryRules {
    pub(super) environments: EnvironmentRules,
    pub(super) hotfix: HotfixRules,
    pub(super) remedy_window: TimeDelta,
    pub(super) incident_window: TimeDelta,
}

impl Reader {
    /// What the configuration in force says about deliveries.
    pub(super) async fn delivery_settings(&self) -> Result<DeliverySettings, StoreError> {
        self.with_deadline(async |connection| settings(connection).await).await
    }
}

async fn settings(connection: &mut Session) -> Result<DeliverySettings, StoreError> {
    let row =
        sqlx::query_scalar!(r#"select delivery as "delivery!: Json<DeliverySettings>" from configuration_in_force"#)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(|Json(settings)| settings).unwrap_or_default())
}

impl DeliveryRules {
    /// Reads them.
    pub(super) async fn read(connection: &mut Session) -> Result<Self, StoreError> {
        let settings = settings(connection).await?;
        let (labels, branches) = (settings.hotfix_labels(), settings.hotfix_branches());
        Ok(Self {
            environments: rules(settings.production.as_deref(), settings.trusts_flag)?,
            hotfix: HotfixRules::new(&labels, &branches).map_err(broken)?,
            remedy_window: settings.remedy_window(),
            incident_window: settings.incident_window(),
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
        let DeliveryRules { environments, .. } = DeliveryRules::read(connection).await?;
        Self::with(connection, repository, environments).await
    }

    /// Reads them, with the rules of the configuration.
    pub(super) async fn with(
        connection: &mut Session,
        repository: RepositoryId,
        default: EnvironmentRules,
    ) -> Result<Self, StoreError> {
        let rows = sqlx::query!(
            r#"select
                f.id as "id!", f.environments, s.source, s.options as "options!: Json<SourceOptions>"
            from repositories_of_services as o
            inner join services_in_force as f on o.service_id = f.id
            inner join sources_of_services as s on f.id = s.service_id
            where o.repository_id = $1
            order by f.place, f.id"#,
            repository.0
        )
        .fetch_all(connection)
        .await?;
        let services = rows.into_iter().map(|row| {
            let own = row.environments.map(|names| rules(Some(&names), false)).transpose()?;
            let source = source_rules(row.source.as_deref(), row.options)?;
            Ok(ServiceRules { service: ServiceId(row.id), own, source })
        });
        let services = services.collect::<Result<_, StoreError>>()?;
        Ok(Self { default, services })
    }

    /// The service that a listed deployment belongs to, and the group of its environment; `None` for a repository that is no
    /// longer collected.
    pub(super) fn service_of(&self, environment: Environment<'_>) -> Option<(ServiceId, EnvironmentGroup)> {
        service_of(&self.services, &self.default, environment, DeploymentSource::GithubDeployments)
    }

    /// The same of one that is listed without an environment.
    pub(super) fn service_of_listed(&self, origin: &Origin) -> Option<(ServiceId, EnvironmentGroup)> {
        service_of_listed(&self.services, origin)
    }

    /// The same of a posted deployment whose service is no longer in force.
    pub(super) fn successor(&self, environment: Environment<'_>) -> Option<(ServiceId, EnvironmentGroup)> {
        let default = EnvironmentRules { trusts_flag: false, ..self.default.clone() };
        service_of(&self.services, &default, environment, DeploymentSource::Events)
    }
}

/// The rules of one service, and those of the configuration, by which what is posted about it is judged; `None` if it is no
/// longer in force. A flag cannot be posted, so there the default names decide.
pub(super) async fn rules_of_service(
    connection: &mut Session,
    service: i64,
) -> Result<Option<(ServiceRules, EnvironmentRules)>, StoreError> {
    let DeliveryRules { environments, .. } = DeliveryRules::read(connection).await?;
    let row = sqlx::query!(
        r#"select f.environments, s.source, s.options as "options!: Json<SourceOptions>"
        from services_in_force as f
        inner join sources_of_services as s on f.id = s.service_id
        where f.id = $1"#,
        service
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let own = row.environments.map(|names| rules(Some(&names), false)).transpose()?;
    let source = source_rules(row.source.as_deref(), row.options)?;
    let default = EnvironmentRules { trusts_flag: false, ..environments };
    Ok(Some((ServiceRules { service: ServiceId(service), own, source }, default)))
}

fn source_rules(source: Option<&str>, Json(options): Json<SourceOptions>) -> Result<Option<SourceRules>, StoreError> {
    let source: Option<DeploymentSource> = source.map(parse_stored).transpose()?;
    Ok(source.map(|source| SourceRules { source, options }))
}

fn rules(names: Option<&[String]>, trusts_flag: bool) -> Result<EnvironmentRules, StoreError> {
    EnvironmentRules::new(names, trusts_flag).map_err(broken)
}

/// Only valid patterns are stored.
fn broken(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Other(error.into())
}
