//! The deployments behind a number.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mergeline_domain::metrics::{Basis, DateRange, DefaultRange, Interval, InvalidParameter, RangeRequest};
use mergeline_store::{
    DeploymentFilter, DeploymentRow, DoraScope, ReadSession, Reader, Revision, ServiceSelector, TeamSelector,
};

use crate::pull_requests::{PagePosition, cut_to_page};
use crate::query::{ReportError, Viewer};

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
    /// `production`, `transient`, or the name of another environment; `None` for production.
    pub environment: Option<String>,
}

/// A validated query for deployments.
#[derive(Debug)]
pub struct DeploymentsReport {
    range: DateRange,
    filter: DeploymentFilter,
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
                Some(found.ok_or_else(|| InvalidParameter::new("team", "unknown_team", "there is no such team"))?.id)
            }
            None => None,
        };
        let service = match &query.service {
            Some(service) => {
                let found = reader.service(service).await?;
                let unknown = || InvalidParameter::new("service", "unknown_service", "there is no such service");
                Some(found.ok_or_else(unknown)?.id)
            }
            None => None,
        };
        let zone = query.timezone.unwrap_or(status.timezone);
        let default = DefaultRange::UpToNow { interval: Interval::Week, count: 12 };
        let range = query.range.resolve(zone, now, default, None)?;
        let group = match query.environment.as_deref().map(str::to_lowercase) {
            None => "production".to_owned(),
            Some(name) if name == "production" || name == "transient" => name,
            Some(name) => format!("other:{name}"),
        };
        let filter = DeploymentFilter {
            scope: DoraScope { team, service },
            basis: query.basis,
            from: range.start(),
            to: range.end(),
            group: Some(group),
        };
        Ok(Self { range, filter, revision: status.revision, reader })
    }

    /// The days it covers.
    pub fn range(&self) -> &DateRange {
        &self.range
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
