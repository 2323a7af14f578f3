//! The structure of the teams file, from which its JSON Schema is generated.
//!
//! These types only describe the file. [`super::reader`] reads it, because a parser that stops at the first problem
//! would make users fix one problem at a time. A test keeps the two in sync.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::delivery::DeploymentSource;
use crate::insight::{GoalMeasure, MetricInterval, MetricMeasure, MetricOf, MetricStatistic};
use crate::metrics::Basis;
use crate::{Forge, Role};

/// Which repositories are collected and who belongs to which team, when, and with which share.
#[derive(JsonSchema, Serialize)]
#[schemars(title = "Mergeline teams file", deny_unknown_fields)]
pub(super) struct Document {
    /// The version of this format.
    #[schemars(range(min = 1, max = 1))]
    version: u8,
    /// The IANA time zone in which dates start and weeks are counted. UTC when left out.
    #[schemars(extend("default" = "UTC", "examples" = ["Europe/Oslo"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    /// The repositories to collect, as `owner/name`; `owner/*` and `owner/prefix-*` mean all that begin so, `!owner/name` and
    /// `!owner/*-suffix` leave some out. Of the entries that match a repository, the last one decides.
    #[schemars(
        length(min = 1),
        inner(regex(
            pattern = r"^([A-Za-z0-9][A-Za-z0-9_-]*/([A-Za-z0-9._-]+|[A-Za-z0-9._-]*\*)|![A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._*-]+)$"
        ))
    )]
    repositories: Vec<String>,
    /// Whether `owner/*` also matches archived repositories. Named repositories are always collected.
    #[schemars(extend("default" = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    include_archived: Option<bool>,
    /// Logins that count as bots although GitHub calls them users. A bot counts for a team only when it is
    /// listed as its member.
    #[schemars(inner(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]*(\[bot\])?$")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    bots: Option<Vec<String>>,
    /// Whether one person's concurrent weights may sum to more than 1.
    #[schemars(extend("default" = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_weights_above_one: Option<bool>,
    /// Which statistics are hidden because they come from too few people.
    #[serde(skip_serializing_if = "Option::is_none")]
    privacy: Option<Privacy>,
    /// The servers that people have accounts at, one of each forge. `https://github.com` and `https://gitlab.com` if left
    /// out. Only GitHub is collected so far, from the server that the settings name.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<Vec<Instance>>,
    /// Which deployment environments mean production.
    #[serde(skip_serializing_if = "Option::is_none")]
    environments: Option<Environments>,
    /// Which source reports deployments.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployments: Option<Deployments>,
    /// What makes a deployment a failed one, or rework.
    #[serde(skip_serializing_if = "Option::is_none")]
    incidents: Option<Incidents>,
    /// What is deployed and fails as one. A repository that no service has is a service by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<Vec<Service>>,
    /// Who may see what, of those who log in to the page. The first line about somebody decides; without one, nobody gets
    /// anything. Keys of the API have scopes of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Vec<Access>>,
    /// Goals and working agreements of teams.
    #[serde(skip_serializing_if = "Option::is_none")]
    goals: Option<Vec<Goal>>,
    /// Kinds of work. The first rule that takes a pull request decides; what none takes is uncategorized.
    #[serde(skip_serializing_if = "Option::is_none")]
    investment: Option<Vec<InvestmentRule>>,
    /// Where messages go. The addresses are secrets, and not here.
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<Vec<Channel>>,
    /// Metrics of your own. Each is shown like the built-in ones, for every team.
    #[schemars(length(max = 20))]
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<Vec<Metric>>,
    /// The teams. A team that is removed is archived; its past stays.
    #[schemars(length(min = 1))]
    teams: Vec<Team>,
}

/// Which pull requests belong to a kind of work: those of any of its lists.
#[derive(JsonSchema, Serialize)]
#[schemars(
    deny_unknown_fields,
    extend("anyOf" = [
        { "required": ["labels"] },
        { "required": ["branches"] },
        { "required": ["titles"] },
        { "required": ["rework"], "properties": { "rework": { "const": true } } },
    ])
)]
struct InvestmentRule {
    /// The name of the kind. Several rules may have the same. What no rule takes is `uncategorized`.
    #[schemars(length(min = 1, max = 60), extend("not" = { "const": "uncategorized" }))]
    category: String,
    /// Labels, in upper or lower case.
    #[schemars(length(min = 1), inner(length(min = 1, max = 100)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// Names and patterns of the branches that they come from.
    #[schemars(length(min = 1), inner(length(min = 1, max = 100)), extend("examples" = [["feature/*"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    branches: Option<Vec<String>>,
    /// Patterns of titles.
    #[schemars(length(min = 1), inner(length(min = 1, max = 100)), extend("examples" = [["chore*"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    titles: Option<Vec<String>>,
    /// Reverts and hotfixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    rework: Option<bool>,
}

/// Where messages go.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Channel {
    /// The short name, under which the address is in `CHANNELS`.
    #[schemars(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    id: String,
    /// What takes the messages.
    #[schemars(extend("enum" = ["slack", "teams", "discord", "email", "webhook"]))]
    kind: String,
    /// The slugs of the teams that it hears about. All when left out.
    #[schemars(
        length(min = 1),
        inner(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    teams: Option<Vec<String>>,
    /// What it gets. `digest`: a team's last week, on Mondays; `agreement`: what breaks a working agreement now; `goal`: a goal's
    /// state changed; `change`: numbers have lastingly changed; `operations`: the collection or a channel fails.
    #[schemars(length(min = 1), inner(regex(pattern = r"^(digest|agreement|goal|change|operations)$")))]
    kinds: Vec<String>,
    /// When it gets nothing, by the clock of the file's time zone.
    #[schemars(regex(pattern = r"^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$"), extend("examples" = ["18:00-08:00"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet: Option<String>,
    /// Whether it gets messages on Saturdays and Sundays.
    #[schemars(extend("default" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    weekends: Option<bool>,
    /// Whether pull requests have their titles in it, not only their numbers.
    #[schemars(extend("default" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    titles: Option<bool>,
}

/// A metric: of which things, and which number of them. It is made of these fields only, and none is of a person.
#[derive(JsonSchema, Serialize)]
#[schemars(
    deny_unknown_fields,
    extend("oneOf" = [
        {
            "properties": { "statistic": { "enum": ["count", "weight"] }, "measure": false, "than": false },
        },
        {
            "properties": { "statistic": { "const": "share" }, "measure": false, "when": { "minProperties": 1 } },
            "required": ["when", "than"],
        },
        {
            "properties": { "statistic": { "enum": ["p50", "p75", "p90", "mean"] }, "than": false },
            "required": ["measure"],
        },
    ], "allOf" = fields_of_each())
)]
struct Metric {
    /// The short name, which no other metric of the file has.
    #[schemars(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    id: String,
    /// The display name. Defaults to the id.
    #[schemars(length(min = 1, max = 60))]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What it is of.
    #[schemars(with = "String", extend("enum" = ["pull_requests", "deployments", "incidents", "reviews"]))]
    of: MetricOf,
    /// By what deployments and incidents are a team's: by the pull requests that were delivered, or by who owns the service.
    #[schemars(with = "Option<String>", extend("enum" = ["delivered", "owned"], "default" = "delivered"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<Basis>,
    /// Which of them: those that each of these fields takes. All that were merged, succeeded or were resolved when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<MetricWhen>,
    /// What of them, for `p50`, `p75`, `p90` and `mean`: a time or a size. Of pull requests `cycle_time` to `files`, of deployments
    /// `recovery_time` or `pull_requests`, of incidents `recovery_time`, of reviews `wait`, `lines` or `files`.
    #[schemars(
        with = "Option<String>",
        extend("enum" = [
            "cycle_time", "coding", "pickup", "review", "deploy", "lead_time", "lines", "files", "recovery_time", "pull_requests", "wait"
        ])
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    measure: Option<MetricMeasure>,
    /// Which number: how many (`count`), the sum of their weights (`weight`), their weighted part of those that `than` takes (`share`),
    /// a weighted percentile or the weighted mean of the measure.
    #[schemars(with = "String", extend("enum" = ["count", "weight", "share", "p50", "p75", "p90", "mean"]))]
    statistic: MetricStatistic,
    /// In which calendar unit. With `privacy.min_group_size` only by week.
    #[schemars(with = "Option<String>", extend("enum" = ["week", "month"], "default" = "week"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<MetricInterval>,
    /// `share`: of which of them it is the part. `{}` is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    than: Option<MetricWhen>,
}

/// Which things: those that each of the fields takes. What is not known, or not read yet, is taken by none. Each field is of some of
/// them: the first ones of pull requests.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct MetricWhen {
    /// Names and patterns of repositories, as `owner/name`; `*` stands for anything.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 100)), extend("examples" = [["acme/web-*"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories: Option<Vec<String>>,
    /// Names and patterns of the branches that they went into.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 100)), extend("examples" = [["main"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    base_branches: Option<Vec<String>>,
    /// Names and patterns of the branches that they came from.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 100)), extend("examples" = [["feature/*"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    branches: Option<Vec<String>>,
    /// Labels, of which they have at least one.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 100)), extend("examples" = [["docs"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// Patterns of titles.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 100)), extend("examples" = [["Bump *"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    titles: Option<Vec<String>>,
    /// From the opening to the merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    cycle_time: Option<TimeRange>,
    /// From the first commit to the opening.
    #[serde(skip_serializing_if = "Option::is_none")]
    coding: Option<TimeRange>,
    /// From ready for review to the first review.
    #[serde(skip_serializing_if = "Option::is_none")]
    pickup: Option<TimeRange>,
    /// From the first review to the merge.
    #[serde(skip_serializing_if = "Option::is_none")]
    review: Option<TimeRange>,
    /// From the merge to production.
    #[serde(skip_serializing_if = "Option::is_none")]
    deploy: Option<TimeRange>,
    /// From the first commit to production.
    #[serde(skip_serializing_if = "Option::is_none")]
    lead_time: Option<TimeRange>,
    /// Lines added and deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    lines: Option<SizeRange>,
    /// Files changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<SizeRange>,
    /// Whether another person has reviewed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reviewed: Option<bool>,
    /// Whether it was approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved: Option<bool>,
    /// Whether it ended as a draft.
    #[serde(skip_serializing_if = "Option::is_none")]
    draft: Option<bool>,
    /// Whether it takes another one back.
    #[serde(skip_serializing_if = "Option::is_none")]
    revert: Option<bool>,
    /// Deployments, incidents: slugs and patterns of services.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 100)), extend("examples" = [["checkout"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    services: Option<Vec<String>>,
    /// Deployments: what they are.
    #[schemars(length(min = 1), inner(regex(pattern = r"^(first|change|rollback|redeploy|unknown)$")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    kinds: Option<Vec<String>>,
    /// Incidents: how severe they are.
    #[schemars(length(min = 1), inner(regex(pattern = r"^(critical|high|medium|low)$")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    severities: Option<Vec<String>>,
    /// Incidents: from the start to the resolution. Deployments that failed: from the deployment to what remedied it.
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_time: Option<TimeRange>,
    /// Deployments: how many pull requests they delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_requests: Option<SizeRange>,
    /// Reviews: from ready for review to the review.
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<TimeRange>,
    /// Deployments: whether they succeeded and then failed, for any reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<bool>,
    /// Deployments: whether they repair an earlier one.
    #[serde(skip_serializing_if = "Option::is_none")]
    rework: Option<bool>,
    /// Incidents: whether a deployment made them.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<bool>,
    /// Reviews: whether the reviewer is in the team, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    internal: Option<bool>,
    /// By which event they are counted. Pull requests by the merge when left out, deployments that succeeded, incidents by the resolution;
    /// in `when` of a share, as `than` says.
    #[schemars(length(min = 1), inner(regex(pattern = r"^(merged|closed|succeeded|failed|resolved|started)$")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Vec<String>>,
    /// Fields that must take none of them.
    #[schemars(extend("minProperties" = 1, "properties" = { "not": false, "state": false }))]
    #[serde(skip_serializing_if = "Option::is_none")]
    not: Option<Box<MetricWhen>>,
}

/// Bounds of a time, both inclusive.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct TimeRange {
    /// The shortest.
    #[schemars(regex(pattern = r"^[0-9]+[hd]$"), extend("examples" = ["4h"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<String>,
    /// The longest.
    #[schemars(regex(pattern = r"^[0-9]+[hd]$"), extend("examples" = ["7d"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<String>,
}

/// Bounds of a size, both inclusive.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct SizeRange {
    /// The smallest.
    #[schemars(range(min = 0, max = 10_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    at_least: Option<u32>,
    /// The largest.
    #[schemars(range(min = 0, max = 10_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<u32>,
}

/// Which statistics are hidden because they come from too few people.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Privacy {
    /// Statistics from fewer people than this are hidden. Shows all if left out.
    #[schemars(range(min = 2, max = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_group_size: Option<u8>,
}

/// A server with accounts.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Instance {
    /// What kind of server it is.
    #[schemars(with = "String", extend("enum" = ["github", "gitlab"]))]
    forge: Forge,
    /// Its address.
    #[schemars(regex(pattern = r"^https?://[^/?#@]+(/[^?#]*)?$"), extend("examples" = ["https://gitlab.example.com"]))]
    url: String,
}

/// Which deployment environments mean production.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Environments {
    /// Names and patterns, in upper or lower case. `production`, `prod` and `live`, and names that begin with one of them and a
    /// separator, when left out.
    #[schemars(length(min = 1), inner(length(min = 1, max = 100)), extend("examples" = [["production", "prod-*"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    production: Option<Vec<String>>,
    /// Whether GitHub's flag decides and not the name. Many tools set it wrongly.
    #[schemars(extend("default" = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    trust_flag: Option<bool>,
}

/// Which source reports deployments. One source does for a service; those of others do not count.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Deployments {
    /// GitHub's list of deployments; the runs of a workflow; releases; merges, which are assumed to be in production; or what is
    /// posted to the API or imported. With a workflow, `github-actions`; else the first of `github-deployments` and `events` that
    /// reported one when left out.
    #[schemars(
        with = "Option<String>",
        extend("enum" = ["github-deployments", "github-actions", "github-releases", "merges", "events"])
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<DeploymentSource>,
    /// `github-actions`: the file of the workflow in `.github/workflows`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*\.ya?ml$"), extend("examples" = ["deploy.yml"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<String>,
    /// `github-actions`: the only branch or tag whose runs count; all when left out. `merges`: the branch that is in production.
    #[schemars(length(min = 1, max = 100), extend("examples" = ["main"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<String>,
    /// `github-releases`: a pattern of the tags that count. `*` stands for any characters.
    #[schemars(length(min = 1, max = 100), extend("examples" = ["shop-v*"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// `github-releases`: whether prereleases count.
    #[schemars(extend("default" = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    prereleases: Option<bool>,
    /// `github-releases`: whether annotated tags without a release count.
    #[schemars(extend("default" = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<bool>,
}

/// What makes a deployment a failed one, or rework.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Incidents {
    /// Issues at GitHub that are incidents.
    #[serde(skip_serializing_if = "Option::is_none")]
    issues: Option<Issues>,
    /// For how long after a deployment an incident belongs to it.
    #[schemars(regex(pattern = r"^[0-9]+[hd]$"), extend("default" = "24h"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<String>,
    /// For how long after a deployment a rollback or a revert makes it a failure.
    #[schemars(regex(pattern = r"^[0-9]+[hd]$"), extend("default" = "7d"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy_window: Option<String>,
    /// Which pull requests are hotfixes.
    #[serde(skip_serializing_if = "Option::is_none")]
    hotfix: Option<Hotfix>,
}

/// Issues at GitHub that are incidents: those with one of these labels. Their start is the opening and their end the closing.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Issues {
    /// The labels. An issue belongs to the service of its repository; where that has several, to the one of its label
    /// `service:SLUG`.
    #[schemars(length(min = 1), inner(length(min = 1, max = 100)), extend("examples" = [["incident"]]))]
    labels: Vec<String>,
}

/// Which pull requests are hotfixes: those with one of the labels, or from one of the branches.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Hotfix {
    /// Labels, in upper or lower case. `hotfix` when left out.
    #[schemars(inner(length(min = 1, max = 100)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// Names and patterns of branches. `hotfix/*` when left out.
    #[schemars(length(min = 1), inner(length(min = 1, max = 100)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    branches: Option<Vec<String>>,
}

/// What is deployed and fails as one.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Service {
    /// The short name in URLs, which identifies its history.
    #[schemars(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    slug: String,
    /// The display name. Defaults to the slug.
    #[schemars(length(min = 1, max = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Its repositories, as `owner/name`. They must be collected.
    #[schemars(length(min = 1), inner(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]*/[A-Za-z0-9._-]+$")))]
    repositories: Vec<String>,
    /// The files of its repositories that belong to it: files, and folders with everything in them.
    /// `*` stands for anything within a name, `**` for any folders. All when left out.
    #[schemars(length(min = 1), inner(length(min = 1, max = 500)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<String>>,
    /// Names and patterns of its production environments. Needed where several services share a repository.
    #[schemars(length(min = 1), inner(length(min = 1, max = 100)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    environments: Option<Vec<String>>,
    /// Which source reports its deployments. As for the whole file when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    deployments: Option<Deployments>,
    /// The teams that own it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owners: Option<Vec<Owner>>,
}

/// A team's share in a service over a span of time.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Owner {
    /// The slug of a team of this file.
    #[schemars(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    team: String,
    /// Its share, four decimals at most. Those of a service sum to 1 at most.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1, "default" = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    /// The first day (or instant). The beginning of time when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The first day (or instant) after it. Open when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// What somebody may see who logs in to the page. One of `group`, `email`, `domain` and `subject`, and one of `role` and `deny`.
#[derive(JsonSchema, Serialize)]
#[schemars(
    deny_unknown_fields,
    extend("allOf" = [
        { "oneOf": [{ "required": ["group"] }, { "required": ["email"] }, { "required": ["domain"] }, { "required": ["subject"] }] },
        { "oneOf": [{ "required": ["role"] }, { "required": ["deny"] }] },
    ])
)]
struct Access {
    /// A group at the provider, spelled as there.
    #[schemars(length(min = 1, max = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// An e-mail address. It counts if the provider has verified it.
    #[schemars(length(max = 100), regex(pattern = r"^[^@ ]+@[^@ ]+\.[^@ ]+$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// A domain. With Google it is that of the workspace, elsewhere that of a verified e-mail address.
    #[schemars(length(max = 100), regex(pattern = r"^[^@ ]+\.[^@ ]+$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// An account's identifier at the provider, its claim `sub`.
    #[schemars(length(min = 1, max = 100))]
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// `viewer` sees numbers; `lead` also pull requests, of the teams named; `manager` the same for all teams; `admin` also the
    /// collection.
    #[schemars(with = "Option<String>", extend("enum" = ["viewer", "lead", "manager", "admin"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// The only teams that they see, by slug. A viewer sees all when left out; a lead needs it.
    #[schemars(
        length(min = 1),
        inner(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    teams: Option<Vec<String>>,
    /// `true` if they get nothing, even where a later line is about them.
    #[schemars(extend("const" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    deny: Option<bool>,
    /// A day or an instant: who logged in before must do so again.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
}

/// A goal of a team. `share`: so many take no longer than a time; `each`: none waits longer than a time; `limit`: at most so many are
/// open; `metric`: a share of `metrics` is at least so large. Several of one `id`, one after the other, are one goal that changed.
#[derive(JsonSchema, Serialize)]
#[schemars(
    deny_unknown_fields,
    extend("oneOf" = [
        {
            "properties": { "form": { "const": "share" }, "open": false, "metric": false },
            "required": ["measure", "within", "share"],
        },
        {
            "properties": { "form": { "const": "each" }, "open": false, "share": false, "metric": false },
            "required": ["measure", "within"],
        },
        {
            "properties": {
                "form": { "const": "limit" }, "measure": false, "within": false, "share": false, "metric": false, "clock": { "const": "wall" }
            },
            "required": ["open"],
        },
        {
            "properties": {
                "form": { "const": "metric" }, "measure": false, "within": false, "open": false, "clock": { "const": "wall" }
            },
            "required": ["metric", "share"],
        },
    ]),
    extend("if" = { "properties": { "clock": { "const": "working" } }, "required": ["clock"] }),
    extend("then" = { "required": ["hours"], "properties": { "within": { "pattern": "h$" } } }),
    extend("else" = { "properties": { "hours": false, "days": false, "free": false } })
)]
struct Goal {
    /// The short name, which identifies its history.
    #[schemars(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    id: String,
    /// The slug of the team that it is for. Each team when left out.
    #[schemars(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<String>,
    /// What the team says about it, on one line.
    #[schemars(length(min = 1, max = 200))]
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence: Option<String>,
    /// What it asks for.
    #[schemars(extend("enum" = ["share", "each", "limit", "metric"]))]
    form: String,
    /// `share` and `each`: what is measured. `pickup`, from ready for review to the first review; `review`, from that to the merge;
    /// `cycle_time`, from the opening to the merge; `age`, from ready for review to the merge or the close.
    #[schemars(with = "Option<String>", extend("enum" = ["pickup", "review", "cycle_time", "age"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    measure: Option<GoalMeasure>,
    /// `share` and `each`: how long it may take.
    #[schemars(regex(pattern = r"^[0-9]+[hd]$"), extend("examples" = ["4h", "7d"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    within: Option<String>,
    /// `share` and `metric`: which part of them at least, two decimals at most.
    #[schemars(range(min = 0.01, max = 0.99), extend("examples" = [0.8]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    share: Option<f64>,
    /// `limit`: how many may be open.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<u32>,
    /// `metric`: the id of a metric of this file that is a share by week.
    #[schemars(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    /// `working` counts the hours of `hours` only; `wall`, every hour.
    #[schemars(extend("enum" = ["wall", "working"], "default" = "wall"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<String>,
    /// When the team works, by the clock of the file's time zone.
    #[schemars(regex(pattern = r"^[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$"), extend("examples" = ["09:00-17:00"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<String>,
    /// On which days of the week. From Monday to Friday when left out.
    #[schemars(length(min = 1), inner(regex(pattern = r"^(mon|tue|wed|thu|fri|sat|sun)$")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<Vec<String>>,
    /// Days on which the team does not work.
    #[schemars(extend("examples" = [["2026-12-24"]]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<Vec<String>>,
    /// The first day (or instant). The beginning of time when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The first day (or instant) after it. Open when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// A team and its members.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields)]
struct Team {
    /// The short name in URLs, which identifies the team's history. After a change, set `renamed_from` to the old slug.
    #[schemars(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    slug: String,
    /// The display name. Defaults to the slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The previous slug: the team keeps its number and its past. This line may stay in the file.
    #[schemars(length(max = 63), regex(pattern = r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_from: Option<String>,
    /// The members, past and future ones included.
    members: Vec<Member>,
}

/// A person's share in a team over a span of time. At least one of `github` and `gitlab` must be there.
#[derive(JsonSchema, Serialize)]
#[schemars(deny_unknown_fields, extend("anyOf" = [{ "required": ["github"] }, { "required": ["gitlab"] }]))]
struct Member {
    /// The GitHub login.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_-]*(\[bot\])?$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    github: Option<String>,
    /// The GitLab login. Two accounts on one line are one person. GitLab is not collected yet.
    #[schemars(regex(pattern = r"^[A-Za-z0-9_.][A-Za-z0-9_.-]*$"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    gitlab: Option<String>,
    /// The number of the GitHub account (of the GitLab account if that is the only one), which survives a change of login.
    /// Learned from the first pull request when left out.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// The share of the person's work, four decimals at most.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1, "default" = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    /// The first day (or instant) of the membership. The beginning of time when left out.
    #[schemars(extend("examples" = ["2026-01-05", "2026-01-05T12:00:00Z"]))]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The first day (or instant) after the membership. Open when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

/// The JSON Schema of the teams file, for editors and pre-commit checks.
pub fn json_schema() -> Value {
    let mut generator = schemars::generate::SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.root_schema_for::<Document>();
    // `Option` makes schemas allow null. The file does not use nulls: a key is left out instead.
    schemars::transform::transform_subschemas(&mut drop_null, &mut schema);
    schema.to_value()
}

/// Which fields, measures and events each thing has that a metric may be of.
fn fields_of_each() -> Vec<Value> {
    let of_each = |of: &MetricOf| {
        let texts = of.texts().iter().map(<&str>::from);
        let measures: Vec<&str> = of.measures().iter().map(<&str>::from).collect();
        let flags = of.flags().iter().map(<&str>::from);
        let fields: Vec<&str> = texts.chain(measures.iter().copied()).chain(flags).collect();
        let states: Vec<&str> = of.states().iter().map(<&str>::from).collect();
        let has_state = Some("state").filter(|_| !states.is_empty());
        let names: Vec<&str> = fields.iter().copied().chain(has_state).chain(["not"]).collect();
        let mut state = json!({ "items": { "enum": states } });
        if *of == MetricOf::Incidents {
            state["maxItems"] = json!(1);
        }
        let when = json!({
            "propertyNames": { "enum": names },
            "properties": { "state": state, "not": { "propertyNames": { "enum": fields } } },
        });
        let mut then = json!({ "when": when, "than": when, "measure": { "enum": measures } });
        if of.is_of_people() {
            then["basis"] = json!(false);
        }
        json!({ "if": { "properties": { "of": { "const": of } } }, "then": { "properties": then } })
    };
    MetricOf::ALL.iter().map(of_each).collect()
}

fn drop_null(schema: &mut schemars::Schema) {
    if let Some(object) = schema.as_object_mut() {
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
            choices.retain(|choice| choice["type"] != "null");
            if let [Value::Object(only)] = choices.as_mut_slice() {
                let only = std::mem::take(only);
                object.remove("anyOf");
                object.extend(only);
            }
        }
    }
    schemars::transform::transform_subschemas(&mut drop_null, schema);
}
