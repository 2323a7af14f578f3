//! The reviews that a team gave and got.

use std::collections::{BTreeSet, HashMap};

use mergeline_domain::TeamId;
use mergeline_domain::insight::{TeamReviews, team_reviews};
use mergeline_domain::metrics::{Incomplete, Warning, WarningCode};
use mergeline_store::{TeamRef, UnreadReviews};

use crate::query::ReportError;
use crate::report::{NOT_STARTED, Report, applying};

/// The reviews that a team gave and got, among how many people they are spread, and which team reviews for which.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewsOfTeam {
    /// The team.
    pub team: TeamRef,
    /// The numbers.
    pub reviews: TeamReviews,
    /// The teams in [`TeamReviews::flow`], by their numbers: those that the viewer may see. What belongs to others is as if it
    /// belonged to none.
    pub teams: HashMap<TeamId, TeamRef>,
    /// Which pull requests may have reviews that are not known.
    pub unread: UnreadReviews,
    /// Why the range is not final; nothing if it is over and was fully read.
    pub incomplete: Vec<Incomplete>,
    /// What readers must know.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// The reviews that were submitted in the range and in which the team has a part.
    ///
    /// # Errors
    /// [`ReportError::UnknownTeam`] without a team, and when the database fails.
    pub async fn reviews(&mut self) -> Result<ReviewsOfTeam, ReportError> {
        let team = self.required_team()?;
        let context = self.flow_context();
        let filter = self.filter.clone();
        let mut reviews = self.reader.reviews(team.id, &filter).await?;
        let unread = self.reader.unread_reviews(team.id, &filter).await?;
        let involved: BTreeSet<TeamId> = reviews
            .iter()
            .flat_map(|review| review.author_teams.iter().chain(&review.reviewer_teams))
            .map(|it| it.0)
            .collect();
        let teams = self.reader.teams_by_id(&involved.into_iter().collect::<Vec<_>>()).await?;
        let visible = teams.into_iter().filter(|team| self.viewer.sees(&team.slug));
        let teams: HashMap<TeamId, TeamRef> = visible.map(|team| (team.id, team)).collect();
        for review in &mut reviews {
            review.author_teams.retain(|(team, _)| teams.contains_key(team));
            review.reviewer_teams.retain(|(team, _)| teams.contains_key(team));
        }
        let reviews = team_reviews(&reviews, team.id, &context);
        let mut warnings = self.warnings().to_vec();
        warnings.extend(self.warnings_of_reviews(&reviews, unread));
        Ok(ReviewsOfTeam {
            team,
            reviews,
            teams,
            unread,
            incomplete: self.coverage().incomplete_range(&self.range, self.today()),
            warnings,
        })
    }

    fn warnings_of_reviews(&self, reviews: &TeamReviews, unread: UnreadReviews) -> Vec<Warning> {
        let is_hidden = reviews.n_hidden_in_spread + reviews.n_hidden_in_flow > 0
            || reviews.spread.is_suppressed
            || reviews.flow.cells.iter().any(|cell| cell.is_suppressed);
        applying([
            (
                reviews.n == 0 && self.is_read && !unread.is_any && !self.has_not_started(),
                WarningCode::NoData,
                "no review of the team was submitted in the range",
            ),
            (self.has_not_started(), WarningCode::NoData, NOT_STARTED),
            (
                unread.is_any,
                WarningCode::DetailsPending,
                "the reviews of some pull requests, of this team or of others, were not all read yet, so some may be missing",
            ),
            (
                is_hidden,
                WarningCode::Suppressed,
                "the spread and waits of fewer people than may be shown are null, and with privacy.min_group_size, weeks of fewer people \
                 or that are not over are left out",
            ),
        ])
    }
}
