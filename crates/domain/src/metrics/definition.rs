/// Shown with all team numbers.
pub const NOT_FOR_PEOPLE: &str =
    "Not for comparing people, and with care between teams: they differ in what they work on.";

/// Merged pull requests.
pub const VELOCITY: &str = "velocity@1";
/// From opening to merge.
pub const PR_CYCLE_TIME: &str = "pr_cycle_time@1";
/// Coding, pickup, review and deploy.
pub const PR_PHASES: &str = "pr_phases@1";
/// How well a median is known.
pub const MEDIAN_INTERVAL: &str = "median_interval@1";
/// Which pull request counts for which team.
pub const ATTRIBUTION: &str = "attribution@1";

/// Which deployment delivers a pull request.
pub const DELIVERY: &str = "delivery@1";
/// A team's share of a deployment by the pull requests in it.
pub const DELIVERED: &str = "delivered@1";
/// A team's share of a deployment by who owns the service.
pub const OWNED: &str = "owned@1";
/// Deployments per day.
pub const DEPLOYMENT_FREQUENCY: &str = "deployment_frequency@1";
/// From the first commit to production.
pub const CHANGE_LEAD_TIME: &str = "change_lead_time@1";
/// Failed deployments.
pub const CHANGE_FAIL_RATE: &str = "change_fail_rate@1";
/// Unplanned deployments.
pub const REWORK_RATE: &str = "rework_rate@1";
/// Attempts that succeeded.
pub const DEPLOYMENT_SUCCESS_RATE: &str = "deployment_success_rate@1";
/// Time to recover from incidents with a deployment.
pub const RECOVERY_TIME: &str = "recovery_time@1";
/// Time to resolve all incidents.
pub const MTTR: &str = "mttr@1";
/// Time to remedy failed deployments.
pub const DEPLOYMENT_RECOVERY_TIME: &str = "deployment_recovery_time@1";
/// The score of DORA's Quick Check.
pub const QUICK_CHECK: &str = "quick_check@2025";

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
pub const DEFINITIONS: [Definition; 17] = [
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
            "It is served by /lead-time. It is not DORA's change lead time, which is change_lead_time@1.",
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
                  first review by a person who is not the author. review: that to merged_at. deploy: merged_at to the success of the first deployment \
                  to production that delivered it.",
        unit: "hours",
        includes: "Of the pull requests of velocity@1 those whose phase is known; each phase has its own n and weight.",
        excludes: "Phases that are unknown or would be negative: the flags of a pull request say why.",
        caveats: &[
            "The phases of a bucket do not sum up to its cycle time: each is made from the pull requests that have it.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: MEDIAN_INTERVAL,
        name: "Interval of the median",
        formula: "From the k-th shortest to the k-th longest duration, where k is the largest number for which a variable of Binomial(n, 1/2) is below k \
                  with a probability of at most 2.5 %: in 95 of 100 such samples the true median is between them. Above n = 1000, \
                  k = floor(n/2 + 1/2 - 0.979982 * sqrt(n)).",
        unit: "hours",
        includes: "Distinct pull requests with the duration, each once: weights do not count here.",
        excludes: "Fewer than six pull requests: null.",
        caveats: &[
            "It says how far chance may have moved the median, if pull requests were independent of each other. Two intervals that \
             overlap are no proof that nothing has changed.",
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
    Definition {
        id: DELIVERY,
        name: "Delivery",
        formula: "A pull request is delivered by the first succeeded production deployment that contains its merge commit: whose \
                  commit is that commit or a descendant. Where its forge names no merge commit, the last commit of its branch \
                  stands for it.",
        unit: "deployment",
        includes: "Merged pull requests of the service's repositories.",
        excludes: "What the first deployment of a repository contains (before_first_deployment), what no deployment contains yet \
                   (not_deployed_yet), and what cannot be read (unknown_history, not_collected).",
        caveats: &[
            "A rollback does not take a delivery back, and a redeploy does not repeat it.",
            "Of several services of a repository each delivers for itself; of the whole, the first one counts.",
        ],
    },
    Definition {
        id: DELIVERED,
        name: "Share of a deployment by what it delivers",
        formula: "The sum of the team's weights over the pull requests that the deployment delivers (a failed attempt: contains, and \
                  nothing delivered before), divided by their number. Without new commits: the shares of the deployment that was in \
                  force before.",
        unit: "share of a deployment",
        includes: "Stored pull requests.",
        excludes: "Deployments with new commits but without a stored pull request: they belong to no team.",
        caveats: &[
            "The shares of all teams and the remainder, which belongs to no team, sum to the number of deployments.",
        ],
    },
    Definition {
        id: OWNED,
        name: "Share of a deployment by who owns its service",
        formula: "The weight of the team as an owner of the service when the deployment finished.",
        unit: "share of a deployment",
        includes: "Services with owners in the teams file.",
        excludes: "Services without an owner at that time: their deployments belong to no team.",
        caveats: &[
            "The shares of all teams and the remainder, which belongs to no team, sum to the number of deployments.",
            "Change lead time needs no basis: a pull request counts for the teams of its author.",
        ],
    },
    Definition {
        id: DEPLOYMENT_FREQUENCY,
        name: "Deployment frequency",
        formula: "Succeeded production deployments, divided by the days of the range that have started.",
        unit: "deployments per day",
        includes: "By the first success: first, change, redeploy, rollback and unknown deployments.",
        excludes: "Rollouts, which bring what is in force to another environment of production; failed, cancelled and unfinished \
                   attempts; other environments.",
        caveats: &[
            "Null where no source reports deployments, or no day is known.",
            "Days before deployments were first read count too: an answer says since when they are known.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: CHANGE_LEAD_TIME,
        name: "Change lead time",
        formula: "From the first commit of a delivered pull request to the success of the deployment that delivered it; then \
                  weighted p50, p75, p90, p95 and mean.",
        unit: "hours",
        includes: "Delivered pull requests (delivery@1) with a known first commit, by the time of the delivery.",
        excludes: "Pull requests without a delivery, counted by reason; negative times.",
        caveats: &["Null when n is 0, never 0.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: CHANGE_FAIL_RATE,
        name: "Change fail rate",
        formula: "Failed divided by succeeded production deployments.",
        unit: "fraction",
        includes: "A deployment failed if an incident is linked to it, a rollback followed while it was in force, a revert of what it \
                   delivered followed (both within the remedy window), it failed after its success, or its source says so. Counted \
                   once, also for several reasons.",
        excludes: "Attempts that never succeeded: they count in deployment_success_rate@1.",
        caveats: &["Null without succeeded deployments.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: REWORK_RATE,
        name: "Rework rate",
        formula: "Rework divided by succeeded production deployments.",
        unit: "fraction",
        includes: "Rollbacks, and deployments that deliver a revert or a hotfix, that close the issue of an incident, or whose source \
                   says so.",
        excludes: "Reverts of reverts, and a pull request together with its revert.",
        caveats: &["Null without succeeded deployments.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: DEPLOYMENT_SUCCESS_RATE,
        name: "Deployment success rate",
        formula: "Succeeded divided by finished attempts to deploy to production.",
        unit: "fraction",
        includes: "Succeeded and failed attempts, by when they finished.",
        excludes: "Cancelled and unfinished attempts, and rollouts.",
        caveats: &["Null without finished attempts.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: RECOVERY_TIME,
        name: "Recovery time",
        formula: "From the start of an incident to its resolution; then weighted percentiles and mean.",
        unit: "hours",
        includes: "Resolved incidents that belong to a deployment, by the resolution.",
        excludes: "Open incidents, which are counted beside; dismissed and merged ones.",
        caveats: &["A reopened incident is open again: its earlier resolution does not count.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: MTTR,
        name: "Time to restore",
        formula: "From the start of an incident to its resolution; then weighted percentiles and mean.",
        unit: "hours",
        includes: "All resolved incidents, by the resolution.",
        excludes: "Open incidents, which are counted beside; dismissed and merged ones.",
        caveats: &[NOT_FOR_PEOPLE],
    },
    Definition {
        id: DEPLOYMENT_RECOVERY_TIME,
        name: "Failed deployment recovery time",
        formula: "From the success of a failed deployment to that of the deployment that remedied it: the one that says so, else the \
                  rollback or revert, else the next one after a failure; then weighted percentiles and mean.",
        unit: "hours",
        includes: "Failed deployments with a remedy, by the remedy.",
        excludes: "Failed deployments without a remedy, which are counted beside.",
        caveats: &["Needs no incidents.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: QUICK_CHECK,
        name: "Quick Check score",
        formula: "Each of lead time, frequency and recovery in one of six ranges scores 0, 2, 4, 6, 8 or 10; each rate scores 10 minus \
                  its tenths. The score is the mean of those that are known.",
        unit: "points from 0 to 10",
        includes: "Medians, and the rates of the range.",
        excludes: "Metrics without a value. The frequency of a range that was read and has no deployment is 0.",
        caveats: &["In DORA's survey people estimate; these are measurements."],
    },
];
