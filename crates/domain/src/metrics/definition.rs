/// Shown with all team numbers.
pub const NOT_FOR_PEOPLE: &str =
    "Not for comparing people, and with care between teams: they differ in what they work on.";

/// Merged pull requests.
pub const VELOCITY: &str = "velocity@1";
/// From opening to merge.
pub const PR_CYCLE_TIME: &str = "pr_cycle_time@1";
/// Coding, pickup and review.
pub const PR_PHASES: &str = "pr_phases@1";
/// Which pull request counts for which team.
pub const ATTRIBUTION: &str = "attribution@1";

/// What a number means. A changed formula gets a new ID; it never changes silently.
#[derive(Debug)]
pub struct Definition {
    /// Name and version.
    pub id: &'static str,
    /// The display name.
    pub name: &'static str,
    /// How it is computed.
    pub formula: &'static str,
    /// The unit.
    pub unit: &'static str,
    /// Which pull requests are included.
    pub includes: &'static str,
    /// Which pull requests are excluded.
    pub excludes: &'static str,
    /// Limitations to keep in mind.
    pub caveats: &'static [&'static str],
}

/// Every definition that the API serves.
pub const DEFINITIONS: [Definition; 4] = [
    Definition {
        id: VELOCITY,
        name: "Velocity",
        formula: "prs_merged counts the pull requests whose merge lies in the bucket; prs_merged_weighted sums their weights.",
        unit: "pull requests",
        includes: "Pull requests merged in the range whose author was a member of the team at the instant of the merge.",
        excludes: "Open ones, those closed without a merge, authors outside the team, bots and deleted accounts that are not \
                   members, and pull requests that no longer exist on GitHub.",
        caveats: &[
            "Buckets are calendar units of the requested time zone, weeks from Monday. A bucket that is not over, or started before \
             everything was read, is not complete.",
            "Summed over all teams, the weights and the unallocated shares are the number of distinct pull requests.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: PR_CYCLE_TIME,
        name: "Pull request cycle time",
        formula: "merged_at - created_at of each pull request; then weighted p50, p75, p90, p95 and mean over the bucket.",
        unit: "hours",
        includes: "The pull requests of velocity@1.",
        excludes: "Merges before the creation (imported history): they count as merged, and have no duration.",
        caveats: &[
            "It is served as lead time while no deployments are known. It is not DORA's change lead time.",
            "Weighted percentile: sort by (seconds, weight); with weights w and running sums S, sample k is at S_k - w_k / 2; \
             interpolate linearly between the two samples around the fraction of the way from the first to the last. With equal \
             weights it is PostgreSQL's percentile_cont.",
            "Null when n is 0, never 0.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: PR_PHASES,
        name: "Phases of a pull request",
        formula: "coding: first commit to created_at. pickup: ready for review (created_at, if it never was a draft) to the \
                  first review by a person who is not the author. review: that to merged_at.",
        unit: "hours",
        includes: "Of the pull requests of velocity@1 those whose phase is known; each phase has its own n and weight.",
        excludes: "Phases that are unknown or would be negative: the flags of a pull request say why.",
        caveats: &[
            "The phases of a bucket do not sum up to its cycle time: each is made from the pull requests that have it.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: ATTRIBUTION,
        name: "Attribution to teams",
        formula: "A pull request counts for each team of its author at its attribution instant, with the weight of the \
                  membership. The instant is merged_at when merged, else closed_at when closed, else created_at.",
        unit: "share of a pull request",
        includes: "Memberships that contain the instant: joined_at belongs to them, left_at does not.",
        excludes: "Memberships that were taken out of the teams file.",
        caveats: &[
            "weighting=full counts each pull request with 1 for every team of its author: sums over teams then exceed the number \
             of pull requests.",
        ],
    },
];
