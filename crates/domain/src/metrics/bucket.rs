use chrono::NaiveDate;

use super::{Measure, MeasureKind};

/// The merged pull requests of one team over a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// One bucket for each calendar unit that the range touches, in order, including empty ones.
    pub buckets: Vec<Bucket>,
    /// The whole range; its `start` is the first day of the range.
    pub total: Bucket,
    /// Whether details of some pull requests were never read, so that they have no phases.
    pub lacks_details: bool,
}

/// The merged pull requests of one calendar unit, or of a whole range.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// The first day.
    pub start: NaiveDate,
    /// Distinct pull requests.
    pub prs_merged: i64,
    /// The sum of their weights, in ten-thousandths.
    pub weight_units: i64,
    /// Distinct authors.
    pub contributors: i64,
    /// In the order of [`MeasureKind::ALL`].
    measures: [Measure; MeasureKind::ALL.len()],
}

impl Bucket {
    /// A bucket without pull requests.
    pub fn empty(start: NaiveDate) -> Self {
        let measures = [Measure::NONE; MeasureKind::ALL.len()];
        Self { start, prs_merged: 0, weight_units: 0, contributors: 0, measures }
    }

    /// One of the durations.
    pub fn measure(&self, kind: MeasureKind) -> &Measure {
        &self.measures[kind as usize]
    }

    /// Mutable access to one of the durations.
    pub fn measure_mut(&mut self, kind: MeasureKind) -> &mut Measure {
        &mut self.measures[kind as usize]
    }
}
