/// A duration that is measured of merged pull requests. The statistics have a row for each, beside the one that counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureKind {
    /// From opening to merge (`pr_cycle_time@1`); merges before the opening have none.
    CycleTime,
    /// From the first commit to opening (`pr_phases@1`).
    Coding,
    /// From ready for review to the first review (`pr_phases@1`).
    Pickup,
    /// From the first review to merge (`pr_phases@1`).
    Review,
}

impl MeasureKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::CycleTime, Self::Coding, Self::Pickup, Self::Review];

    /// The name in SQL, in CSV and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CycleTime => "cycle_time",
            Self::Coding => "coding",
            Self::Pickup => "pickup",
            Self::Review => "review",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}
