//! Merged pull requests by calendar unit.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Days, NaiveDate, Utc};
use mergeline_domain::insight::{Capacity, capacity};
use mergeline_domain::metrics::{
    Allocation, Allocations, Bucket, Count, DateRange, DoraBucket, DoraStatistics, Incomplete, Interval, MeasureKind,
    Statistics, Timing, Warning, WarningCode, hide_small_groups, remove_hidden,
};
use mergeline_domain::{Period, Weight, start_of_day};
use mergeline_store::{Bucketing, DoraScope, Filter, TeamMembership, TeamRef};

use crate::dora::{counted_days, hide_small_timings, lacks_deployments, limit_to_smallest_groups};
use crate::query::{ReportError, ReportKind};
use crate::report::{Report, applying};

/// What [`WarningCode::DetailsPending`] means for merged pull requests.
pub(crate) const DETAILS_PENDING: &str =
    "commits and reviews of some merged pull requests were not read, so they have no phases yet";

/// The merged pull requests of a team or of the organization over a range.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportStatistics {
    /// The team; `None` for the organization.
    pub team: Option<TeamRef>,
    /// The days it covers.
    pub range: DateRange,
    /// The calendar unit of the buckets.
    pub interval: Interval,
    /// Every unit that the range touches, including those without merges.
    pub buckets: Vec<BucketNumbers>,
    /// The whole range, computed from its pull requests, not from the buckets.
    pub total: Numbers,
    /// What was delivered in the range; `None` where nothing is known, and outside of lead times.
    pub lead_time: Option<Deliveries>,
    /// Which count for teams; only for the organization.
    pub allocation: Option<Allocation>,
    /// The people that the team had in the range; only of a team's merges.
    pub capacity: Option<Capacity>,
    /// The memberships that say so; none if the people of any calendar unit are hidden.
    pub memberships: Vec<TeamMembership>,
    /// Why it is not final; nothing if the range is over and was fully read.
    pub incomplete: Vec<Incomplete>,
    /// What readers must know, including about the collection.
    pub warnings: Vec<Warning>,
}

impl BucketNumbers {
    /// Whether the whole unit is in the range, is over, was read, and counts according to the teams file.
    pub fn is_complete(&self) -> bool {
        self.incomplete.is_empty()
    }
}

impl ReportStatistics {
    /// The name of the team; `organization` without one.
    pub fn name(&self) -> &str {
        self.team.as_ref().map_or("organization", |team| &team.name)
    }
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
    /// Why it is not final; nothing if the whole unit is in the range, is over, was read, and counts according to the teams file.
    pub incomplete: Vec<Incomplete>,
    /// What was merged in it.
    pub numbers: Numbers,
    /// What was delivered in it; `None` where nothing is known, and outside of lead times.
    pub lead_time: Option<Deliveries>,
    /// Which count for teams; only for the organization.
    pub allocation: Option<Allocation>,
    /// The people that the team had in it; only of a team's merges.
    pub capacity: Option<Capacity>,
}

/// The pull requests that were delivered in a calendar unit or range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deliveries {
    /// All of them, also those without a known first commit.
    pub delivered: Count,
    /// From their first commit to the delivery.
    pub lead_time: Timing,
}

impl From<&DoraBucket> for Deliveries {
    fn from(bucket: &DoraBucket) -> Self {
        Self { delivered: bucket.delivered, lead_time: bucket.lead_time }
    }
}

/// What was delivered, by calendar unit and in all, where anything is known of it.
#[derive(Default)]
struct LeadTimes {
    buckets: HashMap<NaiveDate, Deliveries>,
    total: Option<Deliveries>,
    is_suppressed: bool,
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

impl Report {
    /// Merged pull requests by calendar unit.
    ///
    /// # Errors
    /// [`ReportError::Invalid`] for a time zone that the database does not know.
    pub async fn statistics(&mut self) -> Result<ReportStatistics, ReportError> {
        let interval = if self.hides_small_groups() {
            Interval::Week
        } else {
            self.query.interval.unwrap_or(self.kind.default_interval())
        };
        let filter = self.filter.clone();
        let mut shown = self.shown_statistics(&filter, interval).await?;
        let lead_times = self.lead_times(&filter, interval).await?;
        let allocations = self.allocations(&filter, interval, &mut shown).await?;
        let (range, today) = (self.range, self.today());
        let mut warnings = Vec::new();
        if self.kind == ReportKind::LeadTime {
            let message = "cycle_time is from opening to merge; DORA's change lead time is change_lead_time";
            warnings.push(Warning::new(WarningCode::PrCycleTime, message));
        }
        warnings.extend(self.warnings().iter().cloned());
        let is_suppressed = shown.total.is_suppressed || lead_times.is_suppressed;
        warnings.extend(self.number_warnings(&shown, is_suppressed, shown.lacks_details));
        let mut buckets = self.bucket_numbers(shown.buckets, interval, &range);
        for bucket in &mut buckets {
            bucket.lead_time = lead_times.buckets.get(&bucket.start).copied();
            bucket.allocation =
                allocations.as_ref().map(|all| all.buckets.get(&bucket.start).copied().unwrap_or_default());
        }
        let mut memberships = self.memberships().await?;
        let mut capacity = memberships.as_ref().map(|of| {
            for bucket in &mut buckets {
                let units = bucket.numbers.bucket.weight_units;
                bucket.capacity = Some(self.capacity(of, (bucket.start, bucket.end), units));
            }
            self.capacity(of, (range.from, range.to), shown.total.bucket.weight_units)
        });
        // What is hidden of one week would follow from the sum of all, and from the memberships.
        let is_hidden = |bucket: &BucketNumbers| bucket.capacity == Some(Capacity::HIDDEN);
        if self.hides_small_groups() && (capacity == Some(Capacity::HIDDEN) || buckets.iter().any(is_hidden)) {
            capacity = capacity.map(|_| Capacity::HIDDEN);
            memberships = None;
        }
        Ok(ReportStatistics {
            buckets,
            total: shown.total,
            lead_time: lead_times.total,
            allocation: allocations.as_ref().map(|all| all.total),
            capacity,
            memberships: memberships.unwrap_or_default(),
            incomplete: self.with_deployments(self.coverage().incomplete_range(&range, today), &range),
            team: self.team.clone(),
            range,
            interval,
            warnings,
        })
    }

    /// Numbers with the calendar units that they are of, and how far these are final.
    pub(crate) fn bucket_numbers(
        &self,
        numbers: Vec<Numbers>,
        interval: Interval,
        range: &DateRange,
    ) -> Vec<BucketNumbers> {
        let (coverage, today) = (self.coverage(), self.today());
        let bucket = |numbers: Numbers| {
            let start = numbers.bucket.start;
            BucketNumbers {
                label: interval.label(start),
                start,
                end: interval.end(start),
                incomplete: self.with_deployments(
                    coverage.incomplete_bucket(start, interval, range, today),
                    &DateRange { from: start, to: interval.end(start), ..*range },
                ),
                numbers,
                lead_time: None,
                allocation: None,
                capacity: None,
            }
        };
        numbers.into_iter().map(bucket).collect()
    }

    /// Why these days are not final, also as to deployments if the report has any.
    fn with_deployments(&self, mut reasons: Vec<Incomplete>, days: &DateRange) -> Vec<Incomplete> {
        let deployments = self.deployments.as_ref().filter(|it| it.with_source > 0);
        if deployments.is_some_and(|it| lacks_deployments(it, days, self.today())) {
            reasons.push(Incomplete::DeploymentsNotRead);
        }
        reasons
    }

    /// The memberships that touch the range, if the report is about a team's merges.
    async fn memberships(&mut self) -> Result<Option<Vec<TeamMembership>>, ReportError> {
        let Some(team) = self.team.as_ref().filter(|_| matches!(self.kind, ReportKind::Velocity | ReportKind::Change))
        else {
            return Ok(None);
        };
        let mut memberships = self.reader.memberships(team.id).await?;
        let (start, end) = (self.range.start(), self.range.end());
        memberships.retain(|it| is_within(&it.period, start, end));
        Ok(Some(memberships))
    }

    /// What a team had of people in a calendar unit, and what it merged with them. Only days of the range count, up to today.
    fn capacity(&self, memberships: &[TeamMembership], days: (NaiveDate, NaiveDate), merged_units: i64) -> Capacity {
        let (from, to) = (days.0.max(self.range.from), days.1.min(self.range.to).min(self.today() + Days::new(1)));
        let (start, end) = (start_of_day(from, self.range.zone), start_of_day(to, self.range.zone));
        let within = memberships.iter().filter(|it| start < end && is_within(&it.period, start, end));
        let people: BTreeSet<i64> = within.clone().map(|it| it.person).collect();
        // What is divided by one person's weight is that person's.
        if self.hides_small_groups() && i64::try_from(people.len()).is_ok_and(|n| n < self.status.min_group_size) {
            return Capacity::HIDDEN;
        }
        let within: Vec<(Period, Weight)> = within.map(|it| (it.period, it.weight)).collect();
        let found = capacity(&within, (from, to), self.range.zone, merged_units);
        // Whole pull requests are not those of parts of people.
        let merged_per_fte_week = found.merged_per_fte_week.filter(|_| !self.query.ignore_weights);
        Capacity { merged_per_fte_week, ..found }
    }

    /// What was delivered in the range, if the report is about lead times and a source reports deployments.
    async fn lead_times(&mut self, filter: &Filter, interval: Interval) -> Result<LeadTimes, ReportError> {
        let Some(deployments) = self.deployments.clone().filter(|it| it.with_source > 0) else {
            return Ok(LeadTimes::default());
        };
        let scope = DoraScope { team: self.team.as_ref().map(|team| team.id), service: None };
        let bucketing = self.bucketing(interval);
        let days = (self.range.from, self.range.to);
        let found = self.reader.deliveries(scope, filter, days, &bucketing).await;
        let DoraStatistics { mut buckets, mut total, .. } = found.map_err(|error| self.refusal(error))?;
        let mut is_suppressed = false;
        if self.hides_small_groups() {
            if self.team.is_none() {
                limit_to_smallest_groups(&mut self.reader, None, &self.range, &mut buckets).await?;
            }
            let today = self.today();
            is_suppressed = hide_small_timings(&mut buckets, &mut total, today, self.status.min_group_size);
        }
        let is_known = |bucket: &DoraBucket, from: NaiveDate, to: NaiveDate| {
            let days = (from.max(self.range.from), to.min(self.range.to));
            counted_days(&deployments, self.range.zone, self.now, days, bucket.delivered.n > 0) > 0
        };
        let known = buckets.iter().filter(|bucket| is_known(bucket, bucket.start, interval.end(bucket.start)));
        Ok(LeadTimes {
            buckets: known.map(|bucket| (bucket.start, Deliveries::from(bucket))).collect(),
            total: is_known(&total, self.range.from, self.range.to).then(|| (&total).into()),
            is_suppressed,
        })
    }

    /// Which pull requests of the organization count for teams. Its weights are those of all teams.
    async fn allocations(
        &mut self,
        filter: &Filter,
        interval: Interval,
        shown: &mut ShownStatistics,
    ) -> Result<Option<Allocations>, ReportError> {
        if self.team.is_some() {
            return Ok(None);
        }
        let bucketing = self.bucketing(interval);
        let found = self.reader.allocations(filter, &bucketing).await.map_err(|error| self.refusal(error))?;
        for Numbers { bucket, .. } in &mut shown.buckets {
            bucket.weight_units = found.buckets.get(&bucket.start).map_or(0, |allocation| allocation.weight_units);
        }
        shown.total.bucket.weight_units = found.total.weight_units;
        Ok(Some(found))
    }

    fn bucketing(&self, interval: Interval) -> Bucketing {
        Bucketing {
            interval,
            zone: self.range.zone,
            ignore_weights: self.query.ignore_weights,
            count_contributors: self.hides_small_groups(),
            measures: self.kind.percentiles(),
        }
    }

    pub(crate) async fn shown_statistics(
        &mut self,
        filter: &Filter,
        interval: Interval,
    ) -> Result<ShownStatistics, ReportError> {
        let hides_small_groups = self.hides_small_groups();
        let (team, min_group_size) = (self.team.as_ref().map(|team| team.id), self.status.min_group_size);
        let bucketing = self.bucketing(interval);
        let found = self.reader.statistics(team, filter, &bucketing).await;
        let Statistics { mut buckets, mut total, lacks_details } = found.map_err(|error| self.refusal(error))?;
        let has_imported = total.measure(MeasureKind::CycleTime).n < total.prs_merged;
        let mut has_hidden_weeks = false;
        if hides_small_groups {
            if team.is_none() {
                // The numbers of the organization would reveal those of its smallest team.
                let smallest = self.reader.smallest_groups(None, filter.from, filter.to, self.range.zone).await?;
                for week in &mut buckets {
                    let start = week.start;
                    for kind in MeasureKind::ALL {
                        let smallest = smallest.get(&(start, kind.as_str().to_owned())).copied().unwrap_or_default();
                        let measure = week.measure_mut(kind);
                        measure.contributors = measure.contributors.min(smallest);
                    }
                }
            }
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
        applying([
            (
                shown.total.bucket.prs_merged == 0 && self.is_read,
                WarningCode::NoData,
                "no pull request was merged in the range",
            ),
            (
                shown.has_imported,
                WarningCode::MergedBeforeCreation,
                "imported pull requests count, but have no duration",
            ),
            (lacks_details, WarningCode::DetailsPending, DETAILS_PENDING),
            (
                is_suppressed,
                WarningCode::Suppressed,
                "durations of fewer people than privacy.min_group_size, of a week that is not over, or of open pull requests, \
                 are not shown and left out of every sum",
            ),
        ])
    }
}

/// Whether any of a period lies between two instants.
fn is_within(period: &Period, start: DateTime<Utc>, end: DateTime<Utc>) -> bool {
    period.from().is_none_or(|from| from < end) && period.to().is_none_or(|to| start < to)
}
