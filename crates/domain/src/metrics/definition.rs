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
/// Weeks that differ lastingly from those before.
pub const CHANGE: &str = "change@1";
/// How many will be done by then.
pub const FORECAST: &str = "forecast@1";
/// How a goal stands.
pub const GOAL: &str = "goal@1";
/// From ready for review to the first review, by working hours.
pub const PR_PICKUP_WORKING: &str = "pr_pickup_working@1";
/// Which phases take how much of the time.
pub const TIME_SHARE: &str = "time_share@1";
/// How old open pull requests are.
pub const WIP_AGE: &str = "wip_age@1";
/// Pickup and review by size.
pub const SIZE_EFFECT: &str = "size_effect@1";
/// Among how many people reviews are spread.
pub const REVIEW_SPREAD: &str = "review_spread@1";
/// Which team reviews for which.
pub const REVIEW_FLOW: &str = "review_flow@1";
/// Pickup by the hour of the opening.
pub const PICKUP_CALENDAR: &str = "pickup_calendar@1";
/// How much of people a team had.
pub const FTE_WEEKS: &str = "fte_weeks@1";
/// What kind of work was merged.
pub const INVESTMENT: &str = "investment@1";
/// A metric of the teams file.
pub const CUSTOM_METRIC: &str = "custom_metric@1";
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
pub const DEFINITIONS: [Definition; 30] = [
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
        id: CHANGE,
        name: "Lasting change",
        formula: "Of each week y = 2 * sqrt(x + 3/8) for a count x, or the logarithm of the week's median duration. c and s are the mean and the \
                  standard deviation of y over the baseline: the first 26 complete weeks since the last change. Each later week has \
                  z = (y - c) / s, up = max(0, up + z - 0.5), down = max(0, down - z - 0.5). Above 6 the level has changed since the week after \
                  the one in which that sum was last 0, and a new baseline begins there. Chart: c and c +- 2.66 times the mean difference \
                  between neighboring weeks of the baseline, drawn back.",
        unit: "that of the number",
        includes: "Complete weeks of the team's time zone. From and to are means of weeks; of durations geometric means of weekly medians.",
        excludes: "Weeks that are not over or not fully read; of durations weeks without any.",
        caveats: &[
            "Where neighboring weeks resemble each other a little, as in public repositories, expect one false alarm in two to four years; where they \
             resemble each other much, one a year. Half of the halvings and doublings take longer than four to seven weeks to be found.",
            "Below 3 pull requests a week on the average since the last change, too few to tell: a halving is hardly ever found, and a change \
             from such a level is not listed.",
            "After a change, 26 complete weeks pass before another one can be found.",
            "A baseline whose weeks are all alike has s = 1.",
            "A week outside of the limits of the chart is a mark, not a change. Neither direction is called better.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: FORECAST,
        name: "Forecast",
        formula: "m is the mean of the means of the last 8 and the last 26 complete weeks, f the variance of the last 26 divided by their mean, 1 at \
                  least. The total T of the next H weeks that is not exceeded with probability p: sqrt(T + 3/8) = max(0, sqrt(m * H + 3/8) + z \
                  * sqrt(f * (1 + H / 26)) / 2), with z from a table of H and p, interpolated. From 4 independent stretches of H weeks on, z is mixed with \
                  the quantiles of the team's own past errors (of n, a further one is below the k-th with probability k / (n + 1)), with the weight n / (n + 12). N are done in the first H weeks whose total reaches \
                  N with the probability.",
        unit: "that of the count",
        includes: "26 complete weeks at least; at most 52 weeks ahead.",
        excludes: "Weeks before one that was not fully read.",
        caveats: &[
            "The table was measured on public repositories: of the 50, 80 and 95 % intervals of 12 weeks, 50, 80 and 94 % held the truth. \
             An answer says how often those of the team did.",
            "The 80 % interval of 12 weeks is wide: 0.7 to 1.4 times the expected total for teams above 10 a week, 0.3 to 2.2 times below 3.",
            "It continues what is. It does not know of holidays, new people or plans.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: GOAL,
        name: "Goal",
        formula: "share: of what began to wait in the last 4 whole weeks and had its time by their end, the weighted part that took no longer. Met if the 80 % \
                  interval (Beta(x + 1/2, n - x + 1/2), with x and n scaled to n = sum(w)^2 / sum(w^2)) lies wholly at or above the target, missed if it lies \
                  wholly below; otherwise as it was before, or inconclusive. each: missed while a pull request waits longer; limit: while more are \
                  ready for review and open; a week of them is met if it held all week, for limit every four hours. Pickup and review are those of \
                  pr_phases@1, cycle_time is pr_cycle_time@1, age ends with the merge or the close; a goal may count working hours only. metric: \
                  like share, of what a custom_metric@1 is the share of in these weeks.",
        unit: "state",
        includes: "Done within its time, done late, and still waiting beyond it. A draft waits from ready for review on, and not while it is one again.",
        excludes: "What has not had its time, and what was closed, or merged without the review it waited for, before its time. Fewer than 5 pull requests, or people \
                   than may be shown: too_few.",
        caveats: &[
            "A goal set at what a team does anyway changes its state twice a year by chance.",
            "The past is judged by the goal of its time.",
            "What was not touched since before the first collection began to read is not known, so it is not among what is open.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: PR_PICKUP_WORKING,
        name: "Pickup by working hours",
        formula: "The pickup of pr_phases@1, counting only the hours of the goal's days between the start and the end of work.",
        unit: "working hours",
        includes: "As the pickup of pr_phases@1.",
        excludes: "Other days of the week, and the days that the goal lists as free.",
        caveats: &[
            "Used up when work ends, the time lasts until work starts again.",
            "It says how long pull requests wait, never when somebody works.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: TIME_SHARE,
        name: "Where time goes",
        formula: "share: the weighted sum of a phase over the weighted sum of all phases. median_share: the weighted median of each pull request's own part.",
        unit: "fraction",
        includes: "Pull requests of velocity@1 with all phases of pr_phases@1 that are asked for: until the merge, or until production.",
        excludes: "The others, counted by the first phase that is not known.",
        caveats: &[
            "One pull request of nine weeks can rule the shares, not the medians. The shares sum to 1, the medians do not.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: WIP_AGE,
        name: "Age of open work",
        formula: "The weighted part of the pull requests merged in the last 26 weeks whose time from ready for review to the merge is shorter than the age.",
        unit: "fraction",
        includes: "Open pull requests that are no drafts.",
        excludes: "Null with fewer than 5 merged pull requests.",
        caveats: &["What never merges is not among the times that it is compared with.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: SIZE_EFFECT,
        name: "Pickup and review by size",
        formula: "Weighted medians of pickup and review (pr_phases@1) of pull requests with up to 10, 50, 200, 500, 1,000 and more added and deleted lines.",
        unit: "hours",
        includes: "Pull requests of velocity@1 with a known size; each median has its own n.",
        excludes: "Those whose size was not read, counted beside.",
        caveats: &["No cause is claimed: large pull requests differ in more than their size.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: REVIEW_SPREAD,
        name: "Spread of reviews",
        formula: "The smallest number of people who made half of the reviews, and the number of people who made any.",
        unit: "people",
        includes: "Reviews, by their submission, by people other than the author, of pull requests whose author was in the team then.",
        excludes: "Reviews by people outside the teams file, counted beside: who of them is the same person is not stored. Null for fewer than 5 \
                   people, or fewer than may be shown. Where small groups are hidden, weeks with fewer reviewers.",
        caveats: &["It never says who.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: REVIEW_FLOW,
        name: "Flow of reviews",
        formula: "Each review counts for each team of the author and each team of the reviewer with the product of both weights; what belongs to no team \
                  has a row and a column of its own. wait: the weighted median of the time from ready for review to the review.",
        unit: "reviews",
        includes: "Reviews, by their submission, by people other than the author, with the memberships at the time of the review. Of a team: those in \
                   which it has a part, on either side.",
        excludes: "The wait of cells with fewer authors or reviewers than may be shown, where everybody outside the teams file is one person. Where \
                   small groups are hidden, weeks with fewer of either.",
        caveats: &[
            "What somebody did who also belongs to other teams is in their cells, too.",
            "All cells sum to the number of reviews, unless the configuration allows weights above 1.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: PICKUP_CALENDAR,
        name: "Pickup by the hour of the opening",
        formula: "The weighted median pickup (pr_phases@1) by the weekday and the hour in which a pull request was opened for review.",
        unit: "hours",
        includes: "13 weeks or more, in the team's time zone.",
        excludes: "Cells with fewer than 6 pull requests, or fewer people than may be shown.",
        caveats: &["It never says when somebody worked.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: FTE_WEEKS,
        name: "FTE weeks",
        formula: "The weights of the team's memberships integrated over the bucket, in weeks of 7 days. merged_per_fte_week: prs_merged_weighted divided by it.",
        unit: "weeks of a whole person",
        includes: "Memberships of the teams file, for the part of the bucket in which they applied.",
        excludes: "merged_per_fte_week is null without any membership. Both are null for a team of fewer people than may be shown.",
        caveats: &[
            "Holidays and absences are not known.",
            "Of a week that is not over, and of a range that begins or ends within it, the days count that belong to it.",
            NOT_FOR_PEOPLE,
        ],
    },
    Definition {
        id: INVESTMENT,
        name: "Kinds of work",
        formula: "Each pull request counts with its weight for the category of the first rule that takes it, by label, branch, title, or as rework.",
        unit: "pull requests",
        includes: "The pull requests of velocity@1.",
        excludes: "None: what no rule takes is uncategorized, and all categories sum to all.",
        caveats: &["It says what was merged, not how much time it took.", NOT_FOR_PEOPLE],
    },
    Definition {
        id: CUSTOM_METRIC,
        name: "Metric of the teams file",
        formula: "A count, a sum of weights, a share, a percentile or a mean, as the teams file defines it. Each metric says its own \
                  formula, and its ID carries a digest of its meaning.",
        unit: "as each metric says",
        includes: "Pull requests of the team that were merged, reviews of its pull requests, deployments that succeeded and incidents that \
                   were resolved, by the week or month in which they were. A metric that names states takes those: `closed` without a \
                   merge, `failed`, `started`.",
        excludes: "What is not known, or not read yet: no field takes it. With privacy.min_group_size, every week in which fewer \
                   people are in any of the groups into which the metric divides the team's pull requests or reviews, and weeks that \
                   are not over.",
        caveats: &["No field is of a person.", NOT_FOR_PEOPLE],
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
