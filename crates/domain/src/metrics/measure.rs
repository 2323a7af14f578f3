/// A duration measured on merged pull requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureKind {
    /// From opening to merge (`pr_cycle_time@1`); a merge before the opening has none.
    CycleTime,
    /// From the first commit to opening (`pr_phases@1`).
    Coding,
    /// From ready for review to the first review (`pr_phases@1`).
    Pickup,
    /// From the first review to merge (`pr_phases@1`).
    Review,
    /// From merge to production (`pr_phases@1`); a deployment before the merge has none.
    Deploy,
}

impl MeasureKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::CycleTime, Self::Coding, Self::Pickup, Self::Review, Self::Deploy];

    /// The name in SQL, CSV and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CycleTime => "cycle_time",
            Self::Coding => "coding",
            Self::Pickup => "pickup",
            Self::Review => "review",
            Self::Deploy => "deploy",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// One duration over a set of pull requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measure {
    /// Pull requests that have this duration.
    pub n: i64,
    /// The sum of their weights, in ten-thousandths.
    pub weight_units: i64,
    /// Distinct authors, if they were counted; otherwise 0.
    pub contributors: i64,
    /// `None` if there are no pull requests, or if the durations are hidden.
    pub durations: Option<Durations>,
}

/// Weighted statistics of durations, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Durations {
    /// The weighted mean.
    pub mean: f64,
    /// The weighted median.
    pub p50: f64,
    /// The weighted 75th percentile.
    pub p75: f64,
    /// The weighted 90th percentile.
    pub p90: f64,
    /// The weighted 95th percentile.
    pub p95: f64,
    /// The 95 % interval of the median of pull requests (`median_interval@1`); `None` below six, and for what is not of pull requests.
    pub median_interval: Option<[f64; 2]>,
}

impl Measure {
    /// The measure of an empty set of pull requests.
    pub const NONE: Self = Self { n: 0, weight_units: 0, contributors: 0, durations: None };
}
