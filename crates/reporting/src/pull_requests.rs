//! The pull requests behind a team's numbers.

use chrono::{DateTime, Utc};
use mergeline_domain::metrics::{Warning, WarningCode};
use mergeline_store::{Audience, ListedState, PullRequestList, TeamPullRequest};

use crate::query::ReportError;
use crate::report::Report;

/// Where a page starts: after the pull request with this instant and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PagePosition {
    /// The instant that the list is sorted by, or what stands for it.
    pub at: DateTime<Utc>,
    /// Breaks ties between equal instants.
    pub id: i64,
}

/// A page of pull requests.
#[derive(Debug, Clone, PartialEq)]
pub struct PullRequestPage {
    /// The pull requests.
    pub pull_requests: Vec<TeamPullRequest>,
    /// Where the next page starts; `None` on the last page.
    pub next: Option<PagePosition>,
    /// What readers must know, including about the collection.
    pub warnings: Vec<Warning>,
}

/// Cuts rows to a page, if one more row was read than a page holds. Returns where the next page starts, if there is one.
pub fn cut_to_page<T>(rows: &mut Vec<T>, limit: u32, position: impl Fn(&T) -> PagePosition) -> Option<PagePosition> {
    let limit = limit as usize;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| has_more).map(position)
}

impl Report {
    /// The pull requests of the team's people in the range, and open ones of any time if only those are requested; at most `limit` of
    /// them, with the reason why each counts or not.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pull_requests(
        &mut self,
        list: PullRequestList,
        after: Option<PagePosition>,
        limit: u32,
    ) -> Result<PullRequestPage, ReportError> {
        // A limited viewer does not see people after they left the team.
        let audience = if self.is_limited { Audience::ThisTeam } else { Audience::AllTeams };
        let start = after.map(|position| (position.at, position.id));
        // One extra row shows whether there is another page.
        let team = self.required_team()?.id;
        let found = self.reader.team_pull_requests(team, &self.filter, list, audience, start, limit + 1).await;
        let mut pull_requests = found?;
        let next = cut_to_page(&mut pull_requests, limit, |last| PagePosition { at: last.sort_at, id: last.id });
        let mut warnings = self.warnings().to_vec();
        if list.state.is_some() {
            warnings.retain(|warning| {
                warning.code != WarningCode::BeforeCollection || list.state != Some(ListedState::Open)
            });
        } else if pull_requests.is_empty() && after.is_none() && self.is_read {
            let message = "no one on this team has a pull request in the range";
            warnings.push(Warning::new(WarningCode::NoData, message));
        }
        Ok(PullRequestPage { pull_requests, next, warnings })
    }
}
