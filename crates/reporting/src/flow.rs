//! Where a team's time goes.

use std::collections::HashMap;

use mergeline_domain::insight::{Flow, Invested, Investment, flow, investment};
use mergeline_domain::metrics::{Incomplete, Warning, WarningCode};
use mergeline_domain::teams_file::InvestmentEntry;
use mergeline_store::{Filter, LinkedPullRequest, StoreError, TeamRef};

use crate::query::ReportError;
use crate::report::{NOT_STARTED, Report, applying};
use crate::statistics::DETAILS_PENDING;

/// Where the time of a team's pull requests goes, and how old those are that are open.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamTime {
    /// The team.
    pub team: TeamRef,
    /// The numbers.
    pub flow: Flow,
    /// The pull requests that are open, by the number that [`Flow::wip_age`] has.
    pub open: HashMap<i64, LinkedPullRequest>,
    /// The kinds of work that were merged in the range; `None` where the teams file has no rules for them.
    pub investment: Option<Investment>,
    /// Why the range is not final; nothing if it is over and was fully read.
    pub incomplete: Vec<Incomplete>,
    /// What readers must know.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// Where the time of the pull requests goes that were merged in the range, and how old those are that are open.
    ///
    /// # Errors
    /// [`ReportError::UnknownTeam`] without a team, and when the database fails.
    pub async fn time(&mut self) -> Result<TeamTime, ReportError> {
        let team = self.required_team()?;
        let context = self.flow_context();
        let filter = self.filter.clone();
        let times = self.reader.flow_times(team.id, context.since(), &filter).await?;
        let flow = flow(&times, &context);
        let ids: Vec<i64> = flow.wip_age.open.iter().map(|open| open.id).collect();
        let open = if ids.is_empty() { Vec::new() } else { self.reader.linked_pull_requests(&ids).await? };
        let investment = self.investment(&team, &filter).await?;
        let mut warnings = self.warnings().to_vec();
        warnings.extend(self.warnings_of_time(&flow));
        Ok(TeamTime {
            team,
            flow,
            open: open.into_iter().map(|it| (it.id, it)).collect(),
            investment,
            incomplete: self.coverage().incomplete_range(&self.range, self.today()),
            warnings,
        })
    }

    async fn investment(&mut self, team: &TeamRef, filter: &Filter) -> Result<Option<Investment>, ReportError> {
        let (entries, hotfixes) = self.reader.investment_rules().await?;
        if entries.is_empty() {
            return Ok(None);
        }
        let rules = entries.iter().map(InvestmentEntry::rule).collect::<Result<Vec<_>, _>>();
        let rules = rules.map_err(|error| StoreError::Other(error.into()))?;
        let merged = self.reader.invested_pull_requests(team.id, filter).await?;
        let items = merged.iter().map(|it| Invested {
            labels: &it.labels,
            branch: it.branch.as_deref(),
            title: &it.title,
            is_rework: it.is_revert || hotfixes.is_hotfix(&it.labels, it.branch.as_deref()),
            weight: it.weight,
        });
        Ok(Some(investment(&items.collect::<Vec<_>>(), &rules)))
    }

    fn warnings_of_time(&self, flow: &Flow) -> Vec<Warning> {
        let has_hidden_medians = flow.size_effect.classes.iter().any(|class| class.is_suppressed);
        applying([
            (
                flow.n == 0 && self.is_read && !self.has_not_started(),
                WarningCode::NoData,
                "no pull request was merged in the range",
            ),
            (self.has_not_started(), WarningCode::NoData, NOT_STARTED),
            (flow.lacks_details, WarningCode::DetailsPending, DETAILS_PENDING),
            (
                flow.n_hidden > 0 || flow.wip_age.is_suppressed || has_hidden_medians,
                WarningCode::Suppressed,
                "durations of fewer people than privacy.min_group_size, or of a week that is not over, are not shown and left out \
                 of every sum",
            ),
        ])
    }
}
