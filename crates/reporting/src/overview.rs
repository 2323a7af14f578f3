//! All teams at a glance.

use std::collections::BTreeSet;

use chrono::Days;
use mergeline_domain::metrics::{DateRange, Interval, Warning, WarningCode};
use mergeline_domain::{TeamId, monday_of};
use mergeline_store::{Filter, TeamRef};

use crate::query::ReportError;
use crate::report::Report;
use crate::statistics::BucketNumbers;
use crate::summary::TeamSummary;

/// The weeks that are shown beside each summary.
const WEEKS: u64 = 12;

/// Several teams, each beside its own past.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Each team, in the order in which they were asked for.
    pub teams: Vec<TeamOverview>,
    /// What readers must know, including about the collection.
    pub warnings: Vec<Warning>,
}

/// A team beside its own past.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamOverview {
    /// The range, the one before it, and what is open.
    pub summary: TeamSummary,
    /// The twelve weeks up to the end of the range.
    pub weeks: Vec<BucketNumbers>,
}

impl Report {
    /// A summary of each of these teams, which the viewer may see. `reattributing` are those whose pull requests are being counted
    /// again.
    ///
    /// # Errors
    /// [`ReportError::Invalid`] for a time zone that the database does not know.
    pub async fn overview(
        &mut self,
        teams: Vec<TeamRef>,
        reattributing: &BTreeSet<TeamId>,
    ) -> Result<Overview, ReportError> {
        let weeks = last_weeks(&self.range);
        let filter = Filter { from: weeks.start(), to: weeks.end(), ..self.filter.clone() };
        let mut found = Vec::with_capacity(teams.len());
        for team in teams {
            self.status.coverage.is_reattributing = reattributing.contains(&team.id);
            self.team = Some(team);
            let mut summary = self.summary().await?;
            summary.warnings.extend(self.coverage().is_reattributing.then(Warning::reattributing));
            let shown = self.shown_statistics(&filter, Interval::Week).await?;
            let weeks = self.bucket_numbers(shown.buckets, Interval::Week, &weeks);
            found.push(TeamOverview { summary, weeks });
        }
        self.team = None;
        self.status.coverage.is_reattributing = false;
        let warnings = self.common_warnings(&found);
        Ok(Overview { teams: found, warnings })
    }

    /// What is said about the collection, and what is said about the numbers of any team. That there is nothing is said only if it
    /// applies to all.
    fn common_warnings(&self, teams: &[TeamOverview]) -> Vec<Warning> {
        let mut warnings = self.warnings().to_vec();
        for team in teams {
            for warning in &team.summary.warnings {
                let of_all_only = matches!(warning.code, WarningCode::NoData | WarningCode::NoChange);
                let applies = !of_all_only || teams.iter().all(|other| other.summary.warnings.contains(warning));
                if applies && !warnings.contains(warning) {
                    warnings.push(warning.clone());
                }
            }
        }
        warnings
    }
}

/// The weeks up to the end of a range, that of its last day included.
fn last_weeks(range: &DateRange) -> DateRange {
    let last = monday_of(range.to - Days::new(1));
    let to = last + Days::new(7);
    DateRange { from: to - Days::new(7 * WEEKS), to, zone: range.zone }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};

    use super::*;

    #[test]
    fn the_weeks_end_with_that_of_the_last_day() {
        let day = |text: &str| text.parse::<NaiveDate>().expect("a date");
        for (to, last) in [("2026-06-15", "2026-06-08"), ("2026-06-16", "2026-06-15"), ("2026-06-21", "2026-06-15")] {
            let weeks = last_weeks(&DateRange { from: day("2026-05-01"), to: day(to), zone: chrono_tz::Tz::UTC });
            assert_eq!(weeks.to, day(last) + Days::new(7), "{to}");
            assert_eq!((weeks.to - weeks.from).num_weeks(), 12);
            assert_eq!(weeks.from.weekday(), chrono::Weekday::Mon);
        }
    }
}
