use chrono::NaiveDate;

use super::{Bucket, Measure, MeasureKind};

impl Measure {
    /// Whether it has durations from fewer people than may be shown.
    pub fn is_suppressed(&self, min_group_size: i64) -> bool {
        self.n > 0 && self.contributors < min_group_size
    }
}

/// Finds the weeks, by kind of duration, whose durations come from too few people. Unfinished weeks, from
/// `running_week` on, are always hidden: comparing them from day to day would reveal what was added since the day
/// before.
pub fn hide_small_groups(
    weeks: &mut [Bucket],
    running_week: NaiveDate,
    min_group_size: i64,
) -> Vec<(MeasureKind, NaiveDate)> {
    let mut hidden = Vec::new();
    for week in weeks {
        let start = week.start;
        for kind in MeasureKind::ALL {
            let measure = week.measure_mut(kind);
            if start >= running_week {
                measure.contributors = 0;
            }
            if measure.is_suppressed(min_group_size) {
                hidden.push((kind, start));
            }
        }
    }
    hidden
}

/// Removes the durations of small groups from a bucket. Returns whether it removed any.
pub fn remove_hidden(bucket: &mut Bucket, min_group_size: i64) -> bool {
    let mut is_anything_hidden = false;
    for kind in MeasureKind::ALL {
        let measure = bucket.measure_mut(kind);
        if measure.is_suppressed(min_group_size) {
            measure.durations = None;
            is_anything_hidden = true;
        }
    }
    is_anything_hidden
}

#[cfg(test)]
mod tests {
    use super::super::Durations;
    use super::*;

    fn week(start: &str, n: i64, contributors: i64) -> Bucket {
        let mut bucket = Bucket::empty(start.parse().expect("a date"));
        let durations =
            (n > 0).then_some(Durations { mean: 1.0, p50: 1.0, p75: 1.0, p90: 1.0, p95: 1.0, median_interval: None });
        *bucket.measure_mut(MeasureKind::CycleTime) = Measure { n, weight_units: 10_000 * n, contributors, durations };
        bucket
    }

    #[test]
    fn small_groups_and_unfinished_weeks_are_hidden() {
        let mut weeks =
            [week("2026-06-01", 9, 3), week("2026-06-08", 9, 2), week("2026-06-15", 0, 0), week("2026-06-22", 9, 3)];
        let running = weeks[3].start;
        let hidden = hide_small_groups(&mut weeks, running, 3);
        assert_eq!(hidden, [weeks[1].start, running].map(|week| (MeasureKind::CycleTime, week)));
        let is_hidden = weeks.each_mut().map(|week| remove_hidden(week, 3));
        assert_eq!(is_hidden, [false, true, false, true]);
        let shows_durations = weeks.each_ref().map(|week| week.measure(MeasureKind::CycleTime).durations.is_some());
        assert_eq!(shows_durations, [true, false, false, false]);
        assert_eq!(weeks[1].measure(MeasureKind::CycleTime).n, 9, "counts stay");
    }

    #[test]
    fn without_a_minimum_group_size_nothing_is_hidden() {
        assert!(!remove_hidden(&mut week("2026-06-01", 1, 0), 0));
    }
}
