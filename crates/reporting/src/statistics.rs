//! Merged pull requests by calendar unit.

use chrono::NaiveDate;
use mergeline_domain::metrics::{
    Bucket, DateRange, Interval, MeasureKind, Statistics, Warning, WarningCode, hide_small_groups, remove_hidden,
};
use mergeline_store::{Bucketing, Filter, TeamRef};

use crate::query::{ReportError, ReportKind};
use crate::report::TeamReport;

/// The merged pull requests of one team over a range.
#[derive(Debug, Clone, PartialEq)]
pub struct TeamStatistics {
    /// The team.
    pub team: TeamRef,
    /// The days it covers.
    pub range: DateRange,
    /// The calendar unit of the buckets.
    pub interval: Interval,
    /// Every unit that the range touches, including those without merges.
    pub buckets: Vec<BucketNumbers>,
    /// The whole range, computed from its pull requests, not from the buckets.
    pub total: Numbers,
    /// Whether the range is over and was fully read.
    pub is_complete: bool,
    /// What readers must know, including about the collection.
    pub warnings: Vec<Warning>,
}

/// A calendar unit and its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct BucketNumbers {
    /// `2026-06-01`, `2026-W23`, `2026-06` or `2026-Q2`.
    pub label: String,
    /// The first day.
    pub start: NaiveDate,
    /// The first day after the unit.
    pub end: NaiveDate,
    /// Whether the whole unit is in the range, is over, was read, and counts according to the teams file.
    pub is_complete: bool,
    /// What was merged in it.
    pub numbers: Numbers,
}

/// The numbers of merged pull requests that may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    /// Counts, and durations except those of small groups.
    pub bucket: Bucket,
    /// Whether durations are hidden because they come from too few people.
    pub is_suppressed: bool,
}

/// The numbers of a range, before they are formatted.
pub(crate) struct ShownStatistics {
    pub(crate) buckets: Vec<Numbers>,
    /// If small groups are hidden, its durations cover only the weeks that are shown.
    pub(crate) total: Numbers,
    /// Whether some merged pull requests have no cycle time.
    has_imported: bool,
    pub(crate) lacks_details: bool,
}

impl TeamReport {
    /// The team's merged pull requests by calendar unit.
    ///
    /// # Errors
    /// [`ReportError::Invalid`] for a time zone that the database does not know.
    pub async fn statistics(&mut self) -> Result<TeamStatistics, ReportError> {
        let interval = if self.hides_small_groups() {
            Interval::Week
        } else {
            self.query.interval.unwrap_or(self.kind.default_interval())
        };
        let filter = self.filter.clone();
        let shown = self.shown_statistics(&filter, interval).await?;
        let (range, coverage) = (self.range, self.coverage());
        let mut warnings = Vec::new();
        if self.kind == ReportKind::LeadTime {
            let message =
                "this is the time from opening to merge; DORA's change lead time is among the team's DORA metrics";
            warnings.push(Warning::new(WarningCode::PrCycleTime, message));
        }
        warnings.extend(self.warnings().iter().cloned());
        warnings.extend(self.number_warnings(&shown, shown.total.is_suppressed, shown.lacks_details));
        let buckets = shown.buckets.into_iter().map(|numbers| {
            let start = numbers.bucket.start;
            BucketNumbers {
                label: interval.label(start),
                start,
                end: interval.end(start),
                is_complete: coverage.is_bucket_complete(start, interval, &range),
                numbers,
            }
        });
        Ok(TeamStatistics {
            buckets: buckets.collect(),
            total: shown.total,
            is_complete: coverage.is_range_complete(&range),
            team: self.team.clone(),
            range,
            interval,
            warnings,
        })
    }

    pub(crate) async fn shown_statistics(
        &mut self,
        filter: &Filter,
        interval: Interval,
    ) -> Result<ShownStatistics, ReportError> {
        let hides_small_groups = self.hides_small_groups();
        let (team, min_group_size) = (self.team.id, self.status.min_group_size);
        let bucketing = Bucketing {
            interval,
            zone: self.range.zone,
            ignore_weights: self.query.ignore_weights,
            count_contributors: hides_small_groups,
        };
        let found = self.reader.statistics(team, filter, &bucketing).await;
        let Statistics { mut buckets, mut total, lacks_details } = found.map_err(|error| self.refusal(error))?;
        let has_imported = total.measure(MeasureKind::CycleTime).n < total.prs_merged;
        let mut has_hidden_weeks = false;
        if hides_small_groups {
            let hidden = hide_small_groups(&mut buckets, self.running_week(), min_group_size);
            has_hidden_weeks = !hidden.is_empty();
            if has_hidden_weeks {
                // Subtracting the other weeks from a sum that includes a hidden week would reveal that week.
                let shown = self.reader.durations_of_shown_weeks(team, filter, &bucketing, &hidden).await?;
                for (kind, measure) in shown {
                    *total.measure_mut(kind) = measure;
                }
            }
        }
        let numbers = |mut bucket: Bucket| {
            let is_suppressed = remove_hidden(&mut bucket, min_group_size);
            Numbers { bucket, is_suppressed }
        };
        let total = numbers(total);
        let total = Numbers { is_suppressed: total.is_suppressed || has_hidden_weeks, ..total };
        Ok(ShownStatistics { buckets: buckets.into_iter().map(numbers).collect(), total, has_imported, lacks_details })
    }

    /// What readers must know about the numbers themselves, and whether durations are hidden or still unknown anywhere
    /// in the response.
    pub(crate) fn number_warnings(
        &self,
        shown: &ShownStatistics,
        is_suppressed: bool,
        lacks_details: bool,
    ) -> Vec<Warning> {
        let warnings = [
            (
                shown.total.bucket.prs_merged == 0 && self.is_read,
                WarningCode::NoData,
                "no pull request of this team was merged in the range",
            ),
            (
                shown.has_imported,
                WarningCode::MergedBeforeCreation,
                "imported pull requests count, but have no duration",
            ),
            (
                lacks_details,
                WarningCode::DetailsPending,
                "commits and reviews of some merged pull requests were not read, so they have no phases yet",
            ),
            (
                is_suppressed,
                WarningCode::Suppressed,
                "durations of fewer people than privacy.min_group_size, of a week that is not over, or of open pull requests, \
                 are not shown and left out of every sum",
            ),
        ];
        let warnings = warnings.into_iter().filter(|(applies, ..)| *applies);
        warnings.map(|(_, code, message)| Warning::new(code, message)).collect()
    }
}
