//! A period compared with the previous one.

use chrono::NaiveDate;
use mergeline_domain::metrics::{DateRange, Incomplete, Interval, Measure, MeasureKind, Warning, WarningCode};
use mergeline_store::{Filter, TeamRef};

use crate::query::ReportError;
use crate::report::Report;
use crate::statistics::Numbers;

/// A period, the previous one, and what is open now.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamSummary {
    /// The team.
    pub team: TeamRef,
    /// The requested days.
    pub period: PeriodNumbers,
    /// The preceding period of the same length.
    pub previous: PeriodNumbers,
    /// The period minus the previous one; `None` unless both are complete.
    pub change: Option<SummaryChange>,
    /// What is open now.
    pub open: OpenNumbers,
    /// What readers must know, including about the collection.
    pub warnings: Vec<Warning>,
}

/// The numbers of a period.
#[derive(Debug, Clone, PartialEq)]
pub struct PeriodNumbers {
    /// The first day.
    pub from: NaiveDate,
    /// The first day after the period.
    pub to: NaiveDate,
    /// Why it is not final; nothing if it is over and was fully read.
    pub incomplete: Vec<Incomplete>,
    /// What was merged in it.
    pub numbers: Numbers,
}

/// The difference from the previous period; durations are `None` if one of the two periods has none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SummaryChange {
    /// Distinct pull requests.
    pub prs_merged: i64,
    /// The sum of their weights, in ten-thousandths.
    pub weight_units: i64,
    /// The median cycle time, in seconds.
    pub cycle_time_p50: Option<f64>,
    /// The 90th percentile of cycle times, in seconds.
    pub cycle_time_p90: Option<f64>,
}

/// The open pull requests, by the memberships at their creation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OpenNumbers {
    /// How long they have been open; without durations if small groups are hidden.
    pub age: Measure,
    /// The age of the oldest one, in seconds; `None` if small groups are hidden.
    pub oldest_seconds: Option<f64>,
}

impl Report {
    /// The range compared with the preceding period of the same length, and what is open.
    ///
    /// # Errors
    /// [`ReportError::Invalid`] for a time zone that the database does not know.
    pub async fn summary(&mut self) -> Result<TeamSummary, ReportError> {
        let team = self.required_team()?;
        let hides_small_groups = self.hides_small_groups();
        let before = self.range.preceding();
        let filter = self.filter.clone();
        let filter_before = Filter { from: before.start(), to: before.end(), ..filter.clone() };
        // Only totals are shown, so the coarsest buckets are cheapest. Hiding works by week.
        let unit = if hides_small_groups { Interval::Week } else { Interval::Quarter };
        let now = self.shown_statistics(&filter, unit).await?;
        let then = self.shown_statistics(&filter_before, unit).await?;
        let open = self.open().await?;
        let period = self.period(&self.range, now.total.clone());
        let previous = self.period(&before, then.total.clone());
        let is_comparable = period.incomplete.is_empty() && previous.incomplete.is_empty();
        let mut warnings = self.warnings().to_vec();
        if !is_comparable {
            let message = "the period or the previous one is not complete, so they are not compared";
            warnings.push(Warning::new(WarningCode::NoChange, message));
        }
        let is_open_suppressed = hides_small_groups && open.age.n > 0;
        let is_suppressed = is_open_suppressed || period.numbers.is_suppressed || previous.numbers.is_suppressed;
        let lacks_details = now.lacks_details || then.lacks_details;
        warnings.extend(self.number_warnings(&now, is_suppressed, lacks_details));
        Ok(TeamSummary {
            team,
            change: is_comparable.then(|| SummaryChange::between(&period.numbers, &previous.numbers)),
            period,
            previous,
            open,
            warnings,
        })
    }

    /// The team's open pull requests, of any age.
    ///
    /// # Errors
    /// [`ReportError::UnknownTeam`] for a report about the organization.
    pub async fn open(&mut self) -> Result<OpenNumbers, ReportError> {
        let (team, shows_ages) = (self.required_team()?, !self.hides_small_groups());
        let open = self.reader.open_pull_requests(team.id, &self.filter, self.query.ignore_weights, self.now).await?;
        // Requested before and after a merge, the ages would reveal its duration. None are shown where small groups are
        // hidden.
        let age = Measure { durations: open.age.durations.filter(|_| shows_ages), ..open.age };
        Ok(OpenNumbers { age, oldest_seconds: open.oldest_seconds.filter(|_| shows_ages) })
    }

    fn period(&self, range: &DateRange, numbers: Numbers) -> PeriodNumbers {
        let incomplete = self.coverage().incomplete_range(range, self.today());
        PeriodNumbers { from: range.from, to: range.to, incomplete, numbers }
    }
}

impl SummaryChange {
    fn between(now: &Numbers, before: &Numbers) -> Self {
        let durations = |numbers: &Numbers| numbers.bucket.measure(MeasureKind::CycleTime).durations;
        let both = durations(now).zip(durations(before));
        Self {
            prs_merged: now.bucket.prs_merged - before.bucket.prs_merged,
            weight_units: now.bucket.weight_units - before.bucket.weight_units,
            cycle_time_p50: both.map(|(now, before)| now.p50 - before.p50),
            cycle_time_p90: both.map(|(now, before)| now.p90 - before.p90),
        }
    }
}
