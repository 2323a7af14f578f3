use std::collections::BTreeMap;

use chrono::NaiveDate;

/// Which merged pull requests count for teams. The weights of all teams and what is left over sum to their number, unless the
/// configuration allows weights above 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocation {
    /// The weights of all teams, in ten-thousandths.
    pub weight_units: i64,
    /// Those whose author was in no team at the time.
    pub no_team: i64,
    /// Those whose weights sum to less than 1.
    pub partly: i64,
    /// What is left of those, in ten-thousandths.
    pub partly_units: i64,
    /// Those that the source no longer has. They do not count.
    pub deleted: i64,
}

/// The allocation of the buckets of a range that have merged pull requests, and of the whole range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocations {
    /// By the first day of the bucket.
    pub buckets: BTreeMap<NaiveDate, Allocation>,
    /// The whole range.
    pub total: Allocation,
}
