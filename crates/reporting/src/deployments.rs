//! The deployments behind a number.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mergeline_domain::metrics::{Basis, DateRange, DefaultRange, Interval, InvalidParameter, RangeRequest};
use mergeline_store::{
    DeploymentFilter, DeploymentRow, DoraScope, ReadSession, Reader, Revision, Service, ServiceSelector, TeamRef,
    TeamSelector,
};

use crate::dora::part_of;
use crate::pull_requests::{PagePosition, cut_to_page};
use crate::query::{ReportError, Viewer};

/// All environments that are production.
const PRODUCTION: &str = "production";

/// A query for deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentsQuery {
    /// The days.
    pub range: RangeRequest,
    /// The zone in which days start; `None` for the teams file's time zone.
    pub timezone: Option<Tz>,
    /// Only those that this team has a share of.
    pub team: Option<TeamSelector>,
    /// Only those of this service.
    pub service: Option<ServiceSelector>,
    /// By what they belong to the team.
    pub basis: Basis,
    /// `production`, `transient`, or the name of an environment; `None` for production.
    pub environment: Option<String>,
}

/// A validated query for deployments.
#[derive(Debug)]
pub struct DeploymentsReport {
    range: DateRange,
    filter: DeploymentFilter,
    team: Option<TeamRef>,
    service: Option<Service>,
    revision: Option<Revision>,
    reader: ReadSession,
}

/// A page of deployments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentList {
    /// Them, by when they finished, or were created if they did not.
    pub deployments: Vec<DeploymentRow>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<PagePosition>,
}

impl DeploymentsReport {
    /// Validates a query and finds what it names.
    ///
    /// # Errors
    /// [`ReportError::UnknownTeam`], [`ReportError::LimitedToTeams`] and [`ReportError::Invalid`] for problems that the
    /// client can fix.
    pub async fn prepare(
        store: &Reader,
        query: DeploymentsQuery,
        viewer: &Viewer,
        now: DateTime<Utc>,
    ) -> Result<Self, ReportError> {
        if viewer.is_limited() && query.team.is_none() {
            return Err(ReportError::LimitedToTeams);
        }
        let (mut reader, mut status) = store.session_with_status(query.team.as_ref(), &[]).await?;
        let team = match &query.team {
            Some(_) => {
                let found = status.team.take().filter(|team| viewer.sees(&team.slug));
                Some(found.ok_or_else(|| InvalidParameter::new("team", "unknown_team", "there is no such team"))?)
            }
            None => None,
        };
        let service = match &query.service {
            Some(service) => {
                let found = reader.service(service).await?;
                Some(part_of(&mut reader, found, team.as_ref().map(|team| team.id), viewer).await?)
            }
            None => None,
        };
        let zone = query.timezone.unwrap_or(status.timezone);
        let default = DefaultRange::UpToNow { interval: Interval::Week, count: 12 };
        let range = query.range.resolve(zone, now, default, None)?;
        let environment = query.environment.as_deref().map_or_else(|| PRODUCTION.to_owned(), str::to_lowercase);
        let filter = DeploymentFilter {
            scope: DoraScope {
                team: team.as_ref().map(|team| team.id),
                service: service.as_ref().map(|service| service.id),
            },
            basis: query.basis,
            from: range.start(),
            to: range.end(),
            environment: Some(environment),
        };
        Ok(Self { range, filter, team, service, revision: status.revision, reader })
    }

    /// The days it covers.
    pub fn range(&self) -> &DateRange {
        &self.range
    }

    /// The team, if only its deployments are listed.
    pub fn team(&self) -> Option<&TeamRef> {
        self.team.as_ref()
    }

    /// The service, if only its deployments are listed.
    pub fn service(&self) -> Option<&Service> {
        self.service.as_ref()
    }

    /// The environment, or `production` or `transient` for all that are.
    pub fn environment(&self) -> &str {
        self.filter.environment.as_deref().unwrap_or(PRODUCTION)
    }

    /// By what deployments belong to the team.
    pub fn basis(&self) -> Basis {
        self.filter.basis
    }

    /// Identifies the list that the rows belong to.
    pub fn list_identity(&self) -> String {
        format!("{:?} {:?} {:?}", self.reader.tenant(), self.revision, self.filter)
    }

    /// A page of them.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn deployments(
        &mut self,
        after: Option<PagePosition>,
        limit: u32,
    ) -> Result<DeploymentList, ReportError> {
        let start = after.map(|position| (position.at, position.id));
        // One extra row shows whether there is another page.
        let mut deployments = self.reader.deployments(&self.filter, start, limit + 1).await?;
        let next = cut_to_page(&mut deployments, limit, |last| PagePosition { at: last.at, id: last.id.0 });
        Ok(DeploymentList { deployments, next })
    }
}
