//! The deployments and incidents behind a number.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mergeline_domain::metrics::{Basis, DateRange, DefaultRange, Interval, InvalidParameter, RangeRequest};
use mergeline_store::{
    DeploymentFilter, DeploymentRow, DoraScope, IncidentFilter, IncidentRow, ReadSession, Reader, Revision, Service,
    ServiceSelector, TeamRef, TeamSelector, Wait, WaitingPullRequest,
};

use crate::dora::part_of;
use crate::pull_requests::{PagePosition, cut_to_page};
use crate::query::{ReportError, Viewer};

/// The name for all environments that are production.
pub const PRODUCTION: &str = "production";

/// A query for deployments or incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryQuery {
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
}

/// A validated query for deployments or incidents.
#[derive(Debug)]
pub struct DeliveryReport {
    range: DateRange,
    basis: Basis,
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

/// A page of incidents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentList {
    /// Them, by their start.
    pub incidents: Vec<IncidentRow>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<PagePosition>,
}

/// A page of merged pull requests that wait for production.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingList {
    /// Them, by their merge.
    pub pull_requests: Vec<WaitingPullRequest>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<PagePosition>,
}

impl DeliveryReport {
    /// Validates a query and finds what it names.
    ///
    /// # Errors
    /// [`ReportError::UnknownTeam`], [`ReportError::LimitedToTeams`] and [`ReportError::Invalid`] for problems that the
    /// client can fix.
    pub async fn prepare(
        store: &Reader,
        query: DeliveryQuery,
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
        Ok(Self { range, basis: query.basis, team, service, revision: status.revision, reader })
    }

    /// The days it covers.
    pub fn range(&self) -> &DateRange {
        &self.range
    }

    /// The team, if only what it has a share of is listed.
    pub fn team(&self) -> Option<&TeamRef> {
        self.team.as_ref()
    }

    /// The service, if only what belongs to it is listed.
    pub fn service(&self) -> Option<&Service> {
        self.service.as_ref()
    }

    /// By what deployments and incidents belong to the team.
    pub fn basis(&self) -> Basis {
        self.basis
    }

    fn scope(&self) -> DoraScope {
        DoraScope {
            team: self.team.as_ref().map(|team| team.id),
            service: self.service.as_ref().map(|service| service.id),
        }
    }

    /// The filter for deployments to an environment, or to `production` or `transient` for all that are; `None` for
    /// production.
    pub fn deployments_to(&self, environment: Option<&str>) -> DeploymentFilter {
        let environment = environment.map_or_else(|| PRODUCTION.to_owned(), str::to_lowercase);
        DeploymentFilter {
            scope: self.scope(),
            basis: self.basis,
            from: self.range.start(),
            to: self.range.end(),
            environment: Some(environment),
        }
    }

    /// The filter for incidents of these severities; empty for all.
    pub fn incidents_of(&self, severities: Vec<String>) -> IncidentFilter {
        IncidentFilter {
            scope: self.scope(),
            basis: self.basis,
            from: self.range.start(),
            to: self.range.end(),
            severities: (!severities.is_empty()).then_some(severities),
        }
    }

    /// Identifies the list that the rows of a filter belong to.
    pub fn list_identity(&self, filter: &impl Debug) -> String {
        format!("{:?} {:?} {filter:?}", self.reader.tenant(), self.revision)
    }

    /// A page of deployments.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn deployments(
        &mut self,
        filter: &DeploymentFilter,
        after: Option<PagePosition>,
        limit: u32,
    ) -> Result<DeploymentList, ReportError> {
        let start = after.map(|position| (position.at, position.id));
        // One extra row shows whether there is another page.
        let mut deployments = self.reader.deployments(filter, start, limit + 1).await?;
        let next = cut_to_page(&mut deployments, limit, |last| PagePosition { at: last.at, id: last.id.0 });
        Ok(DeploymentList { deployments, next })
    }

    /// A page of incidents that were open at any time in the range.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn incidents(
        &mut self,
        filter: &IncidentFilter,
        after: Option<PagePosition>,
        limit: u32,
    ) -> Result<IncidentList, ReportError> {
        let start = after.map(|position| (position.at, position.id));
        let mut incidents = self.reader.incidents(filter, start, limit + 1).await?;
        let next = cut_to_page(&mut incidents, limit, |last| PagePosition { at: last.started_at, id: last.id.0 });
        Ok(IncidentList { incidents, next })
    }

    /// A page of merged pull requests that wait for production, whenever they were merged.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn waiting(
        &mut self,
        wait: Wait,
        after: Option<PagePosition>,
        limit: u32,
    ) -> Result<WaitingList, ReportError> {
        let start = after.map(|position| (position.at, position.id));
        let scope = self.scope();
        let mut pull_requests = self.reader.waiting_pull_requests(scope, wait, start, limit + 1).await?;
        let next = cut_to_page(&mut pull_requests, limit, |last| PagePosition { at: last.merged_at, id: last.id });
        Ok(WaitingList { pull_requests, next })
    }
}
