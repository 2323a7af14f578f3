//! The part of the teams file about deliveries: services with their owners, environments, windows and hotfixes.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::reader::{Placed, Reader, given, join};
use super::tree::{Node, Value};
use crate::delivery::{
    DEFAULT_INCIDENT_WINDOW, DEFAULT_REMEDY_WINDOW, DeploymentSource, PathPattern, SourceOptions, SourceRules,
};
use crate::{Period, RepoName, ServiceSlug, TeamSlug, Weight};

pub(super) const ENVIRONMENT_KEYS: &[&str] = &["production", "trust_flag"];
pub(super) const INCIDENT_KEYS: &[&str] = &["issues", "window", "remedy_window", "hotfix"];
pub(super) const ISSUE_KEYS: &[&str] = &["labels"];
pub(super) const HOTFIX_KEYS: &[&str] = &["labels", "branches"];
pub(super) const SERVICE_KEYS: &[&str] =
    &["slug", "name", "repositories", "paths", "environments", "deployments", "owners"];
pub(super) const DEPLOYMENT_KEYS: &[&str] = &["source", "workflow", "branch", "tag", "prereleases", "tags"];
pub(super) const OWNER_KEYS: &[&str] = &["team", "weight", "from", "to"];

/// The longest name.
const MAX_CHARS: usize = 100;
/// The longest path.
const MAX_PATH_CHARS: usize = 500;

/// Windows are between an hour and a year: longer ones would link everything with everything.
const WINDOW_HOURS: std::ops::RangeInclusive<u32> = 1..=24 * 366;

/// What a teams file says about deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliverySettings {
    /// Names and patterns of production environments; `None` for the default names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub production: Option<Vec<String>>,
    /// Whether the flag of a deployment decides about production, and not the name of its environment.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub trusts_flag: bool,
    /// Which source reports the deployments of services; `None` for the first that reported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<DeploymentSource>,
    /// What of it is a deployment.
    #[serde(skip_serializing_if = "SourceOptions::is_default")]
    pub source_options: SourceOptions,
    /// Labels of issues that are incidents. Without any, no issues are read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incident_labels: Vec<String>,
    /// For how many hours after a deployment an incident belongs to it; `None` for a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident_window_hours: Option<u32>,
    /// For how many hours after a deployment a rollback or a revert makes it a failure; `None` for a week.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy_window_hours: Option<u32>,
    /// Labels of hotfixes; `None` for `hotfix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hotfix_labels: Option<Vec<String>>,
    /// Names and patterns of the branches of hotfixes; `None` for `hotfix/*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hotfix_branches: Option<Vec<String>>,
    /// The services, in the order of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceEntry>,
}

/// A service of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// The short name that identifies its history.
    pub slug: ServiceSlug,
    /// The display name.
    pub name: String,
    /// Its repositories.
    pub repositories: Vec<RepoName>,
    /// The files of its repositories that belong to it; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Names and patterns of its production environments; `None` for those of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environments: Option<Vec<String>>,
    /// Which source reports its deployments; `None` for what the file says about all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DeploymentSource>,
    /// What of it is a deployment.
    #[serde(default, skip_serializing_if = "SourceOptions::is_default")]
    pub source_options: SourceOptions,
    /// The teams that own it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<OwnerEntry>,
}

/// A team that owns a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerEntry {
    /// The team.
    pub team: TeamSlug,
    /// Its share.
    pub weight: Weight,
    /// Since when; `None` is the beginning of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// Until when, exclusive; `None` means no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<DateTime<Utc>>,
}

impl OwnerEntry {
    /// When it applies. The reader has checked that it ends after it starts.
    pub fn period(&self) -> Option<Period> {
        Period::new(self.from, self.to).ok()
    }
}

impl DeliverySettings {
    /// For how long after a deployment an incident belongs to it.
    pub fn incident_window(&self) -> TimeDelta {
        self.incident_window_hours.map_or(DEFAULT_INCIDENT_WINDOW, |hours| TimeDelta::hours(hours.into()))
    }

    /// For how long after a deployment a rollback or a revert makes it a failure.
    pub fn remedy_window(&self) -> TimeDelta {
        self.remedy_window_hours.map_or(DEFAULT_REMEDY_WINDOW, |hours| TimeDelta::hours(hours.into()))
    }

    /// Labels of hotfixes.
    pub fn hotfix_labels(&self) -> Vec<String> {
        self.hotfix_labels.clone().unwrap_or_else(|| vec!["hotfix".to_owned()])
    }

    /// Names and patterns of the branches of hotfixes.
    pub fn hotfix_branches(&self) -> Vec<String> {
        self.hotfix_branches.clone().unwrap_or_else(|| vec!["hotfix/*".to_owned()])
    }
}

impl DeliverySettings {
    /// Which source reports the deployments of services that name none, and what of it.
    pub fn source_rules(&self) -> Option<SourceRules> {
        Some(SourceRules { source: self.source?, options: self.source_options.clone() })
    }
}

impl ServiceEntry {
    /// Which source reports its deployments, and what of it; `None` for that of the file.
    pub fn source_rules(&self) -> Option<SourceRules> {
        Some(SourceRules { source: self.source?, options: self.source_options.clone() })
    }
}

/// What differs from the defaults, without the services, as the end of a line.
impl fmt::Display for DeliverySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("production", self.production.as_deref()),
            ("incidents", Some(self.incident_labels.as_slice()).filter(|labels| !labels.is_empty())),
            ("hotfix labels", self.hotfix_labels.as_deref()),
            ("hotfix branches", self.hotfix_branches.as_deref()),
        ];
        for (name, list) in lists {
            if let Some(list) = list {
                write!(f, ", {name}: {}", list.join(" "))?;
            }
        }
        if let Some(rules) = self.source_rules() {
            write!(f, ", deployments by {rules}")?;
        }
        if self.trusts_flag {
            f.write_str(", the flag decides about production")?;
        }
        let windows = [("incident window", self.incident_window_hours), ("remedy window", self.remedy_window_hours)];
        for (name, hours) in windows {
            if let Some(hours) = hours {
                write!(f, ", {name}: {hours} h")?;
            }
        }
        Ok(())
    }
}

/// The part about deliveries, as much as could be read.
#[derive(Debug, Default)]
pub(super) struct DeliveryDraft {
    pub(super) settings: DeliverySettings,
    pub(super) services: Vec<Placed<ServiceEntry>>,
}

impl DeliveryDraft {
    pub(super) fn finish(self) -> DeliverySettings {
        DeliverySettings { services: self.services.into_iter().map(|service| service.value).collect(), ..self.settings }
    }
}

impl Reader<'_> {
    pub(super) fn environments(&mut self, node: &Node, settings: &mut DeliverySettings) {
        let fields = self.fields(node, "environments", ENVIRONMENT_KEYS, &[]);
        if let Some(node) = fields.optional(self, "production") {
            settings.production = self.patterns(node, "environments.production");
        }
        if let Some(node) = fields.optional(self, "trust_flag") {
            settings.trusts_flag = self.boolean(node, "environments.trust_flag").unwrap_or_default();
            if settings.trusts_flag && settings.production.is_some() {
                let message = "`production` and `trust_flag` exclude each other: either the name or the flag decides";
                self.report("config.environments", node.at, "environments.trust_flag", message, "keep one of them");
            }
        }
    }

    /// Which source reports deployments. A workflow alone says that it is GitHub Actions.
    pub(super) fn source(&mut self, node: &Node, path: &str) -> Option<SourceRules> {
        let fields = self.fields(node, path, DEPLOYMENT_KEYS, &[]);
        let line = |reader: &mut Self, key: &str| {
            given(fields.optional(reader, key).map(|node| reader.one_line(node, &join(path, key))))
        };
        let (workflow, branch) = (line(self, "workflow")?, line(self, "branch")?);
        let tag = given(fields.optional(self, "tag").map(|node| self.pattern(node, &join(path, "tag"))))?;
        let flag = |reader: &mut Self, key: &str| {
            given(fields.optional(reader, key).map(|node| reader.boolean(node, &join(path, key))))
        };
        let (prereleases, tags) = (flag(self, "prereleases")?, flag(self, "tags")?);
        let source = match fields.optional(self, "source") {
            None if workflow.is_some() => DeploymentSource::GithubActions,
            None => {
                fields.required(self, "source");
                return None;
            }
            Some(node) => {
                let text = self.text(node, &join(path, "source"))?;
                let Ok(source) = text.parse() else {
                    let known: Vec<&str> = DeploymentSource::VARIANTS.iter().map(<&str>::from).collect();
                    let message = format!("`{text}` is not a source of deployments");
                    let help = format!("write one of: {}", known.join(", "));
                    self.report("config.deployment_source", node.at, &join(path, "source"), message, help);
                    return None;
                };
                source
            }
        };
        let keys = [
            ("workflow", workflow.is_some()),
            ("branch", branch.is_some()),
            ("tag", tag.is_some()),
            ("prereleases", prereleases.is_some()),
            ("tags", tags.is_some()),
        ];
        let (takes, needs): (&[&str], &[&str]) = match source {
            DeploymentSource::GithubActions => (&["workflow", "branch"], &["workflow"]),
            DeploymentSource::GithubReleases => (&["tag", "prereleases", "tags"], &[]),
            DeploymentSource::Merges => (&["branch"], &["branch"]),
            DeploymentSource::GithubDeployments | DeploymentSource::Events => (&[], &[]),
        };
        let mut is_right = true;
        for (key, is_given) in keys {
            let (message, help) = if is_given && !takes.contains(&key) {
                (format!("`{key}` means nothing for the source `{source}`"), "leave it out".to_owned())
            } else if !is_given && needs.contains(&key) {
                let example = if key == "workflow" { "deploy.yml" } else { "main" };
                (format!("the source `{source}` needs `{key}`"), format!("add, for example, `{key}: {example}`"))
            } else {
                continue;
            };
            is_right = false;
            self.report("config.deployment_source", node.at, &join(path, key), message, help);
        }
        if let Some(file) = workflow.as_ref().filter(|file| !is_workflow(file)) {
            is_right = false;
            let message = format!("`{file}` is not the file of a workflow");
            let help = "write the name of a file in .github/workflows, such as `deploy.yml`";
            self.report("config.deployment_source", node.at, &join(path, "workflow"), message, help);
        }
        let options = SourceOptions {
            workflow,
            branch,
            tag,
            prereleases: prereleases.unwrap_or_default(),
            tags: tags.unwrap_or_default(),
        };
        is_right.then_some(SourceRules { source, options })
    }

    pub(super) fn incidents(&mut self, node: &Node, settings: &mut DeliverySettings) {
        let fields = self.fields(node, "incidents", INCIDENT_KEYS, &[]);
        if let Some(node) = fields.optional(self, "issues") {
            let fields = self.fields(node, "incidents.issues", ISSUE_KEYS, &[]);
            if let Some(node) = fields.required(self, "labels") {
                let labels = self.list(node, "incidents.issues.labels", Reader::one_line);
                if labels.is_empty() && matches!(&node.value, Value::List(items) if items.is_empty()) {
                    let help = "name at least one, or leave `issues` out";
                    self.report("config.empty", node.at, "incidents.issues.labels", "the list is empty", help);
                }
                for label in labels {
                    if !settings.incident_labels.contains(&label.value) {
                        settings.incident_labels.push(label.value);
                    }
                }
            }
        }
        if let Some(node) = fields.optional(self, "window") {
            settings.incident_window_hours = self.window(node, "incidents.window");
        }
        if let Some(node) = fields.optional(self, "remedy_window") {
            settings.remedy_window_hours = self.window(node, "incidents.remedy_window");
        }
        let Some(node) = fields.optional(self, "hotfix") else { return };
        let fields = self.fields(node, "incidents.hotfix", HOTFIX_KEYS, &[]);
        if let Some(node) = fields.optional(self, "labels") {
            let labels = self.list(node, "incidents.hotfix.labels", Reader::one_line);
            settings.hotfix_labels = Some(labels.into_iter().map(|label| label.value).collect());
        }
        if let Some(node) = fields.optional(self, "branches") {
            settings.hotfix_branches = self.patterns(node, "incidents.hotfix.branches");
        }
    }

    pub(super) fn service(&mut self, node: &Node, path: &str) -> Option<ServiceEntry> {
        let fields = self.fields(node, path, SERVICE_KEYS, &[]);
        let slug: Option<ServiceSlug> = fields
            .required(self, "slug")
            .and_then(|node| self.name("config.service_slug", node, &join(path, "slug"), "shop"));
        let name = fields.optional(self, "name").map(|node| self.one_line(node, &join(path, "name")));
        let repositories = match fields.required(self, "repositories") {
            Some(node) => {
                let form = |reader: &mut Self, node: &Node, path: &str| {
                    reader.name::<RepoName>("config.repo_syntax", node, path, "owner/name")
                };
                self.list(node, &join(path, "repositories"), form).into_iter().map(|it| it.value).collect()
            }
            None => Vec::new(),
        };
        let paths = fields.optional(self, "paths").map(|node| self.paths(node, &join(path, "paths")));
        let environments =
            fields.optional(self, "environments").map(|node| self.patterns(node, &join(path, "environments")));
        let source = fields.optional(self, "deployments").map(|node| self.source(node, &join(path, "deployments")));
        let owners = match fields.optional(self, "owners") {
            Some(node) => self.list(node, &join(path, "owners"), Self::owner),
            None => Vec::new(),
        };
        let (name, paths, environments, source) = (given(name)?, given(paths)?, given(environments)?, given(source)?);
        let slug = slug?;
        let name = name.unwrap_or_else(|| slug.to_string());
        let (source, source_options) = source.map(|it| (it.source, it.options)).unzip();
        let source_options = source_options.unwrap_or_default();
        let owners = owners.into_iter().map(|owner| owner.value).collect();
        Some(ServiceEntry { slug, name, repositories, paths, environments, source, source_options, owners })
    }

    fn owner(&mut self, node: &Node, path: &str) -> Option<OwnerEntry> {
        let fields = self.fields(node, path, OWNER_KEYS, &[]);
        let team = fields
            .required(self, "team")
            .and_then(|node| self.name("config.team_slug", node, &join(path, "team"), "payments"));
        let weight = fields.optional(self, "weight").map(|node| self.weight(node, &join(path, "weight")));
        let from = fields.optional(self, "from").map(|node| self.instant(node, &join(path, "from")));
        let to_node = fields.optional(self, "to");
        let to = to_node.map(|node| self.instant(node, &join(path, "to")));
        let (from, to) = (given(from)?, given(to)?);
        if Period::new(from, to).is_err() {
            let help = "`to` is the first day after the ownership, so it must be after `from`";
            let at = to_node.map_or(node.at, |node| node.at);
            self.report("config.period_order", at, &join(path, "to"), "the end is not after the start", help);
            return None;
        }
        let weight = given(weight)?.unwrap_or(Weight::FULL);
        Some(OwnerEntry { team: team?, weight, from, to })
    }

    /// A name, in which `*` stands for anything.
    fn pattern(&mut self, node: &Node, path: &str) -> Option<String> {
        let text = self.one_line(node, path)?;
        if let Err(error) = glob::Pattern::new(&text) {
            let message = format!("`{text}` is not a pattern: {}", error.msg);
            self.report("config.pattern", node.at, path, message, "write a name; `*` stands for any characters");
            return None;
        }
        Some(text)
    }

    /// Names and patterns, in which `*` stands for anything.
    fn patterns(&mut self, node: &Node, path: &str) -> Option<Vec<String>> {
        let patterns = self.list(node, path, Self::pattern);
        self.at_least_one(node, path, patterns)
    }

    /// Files and folders.
    fn path(&mut self, node: &Node, path: &str) -> Option<String> {
        let text = self.line_of(node, path, MAX_PATH_CHARS)?;
        match text.parse::<PathPattern>() {
            Ok(pattern) => Some(pattern.to_string()),
            Err(error) => {
                let message = format!("`{text}` names no files of a repository: {error}");
                let help = "write a file or folder such as `services/shop`; `*` stands for anything within a name";
                self.report("config.path", node.at, path, message, help);
                None
            }
        }
    }

    /// Some of them, in order, each once.
    fn paths(&mut self, node: &Node, path: &str) -> Option<Vec<String>> {
        let paths = self.list(node, path, Self::path);
        let mut paths = self.at_least_one(node, path, paths)?;
        paths.sort_unstable();
        paths.dedup();
        Some(paths)
    }

    /// The entries of a list that must not be empty.
    pub(super) fn at_least_one<T>(&mut self, node: &Node, path: &str, patterns: Vec<Placed<T>>) -> Option<Vec<T>> {
        let patterns: Vec<T> = patterns.into_iter().map(|it| it.value).collect();
        if patterns.is_empty() && matches!(&node.value, Value::List(items) if items.is_empty()) {
            self.report("config.empty", node.at, path, "the list is empty", "name at least one, or leave the key out");
        }
        (!patterns.is_empty()).then_some(patterns)
    }

    /// `24h` or `7d`, in hours.
    pub(super) fn window(&mut self, node: &Node, path: &str) -> Option<u32> {
        self.window_with_help(node, path, "write `1h` to `366d`")
    }

    /// The same where not all of these times are taken.
    pub(super) fn window_with_help(&mut self, node: &Node, path: &str, help: &str) -> Option<u32> {
        let text = self.text(node, path)?;
        let hours = match text.strip_suffix('d') {
            Some(days) => days.parse().ok().and_then(|days: u32| days.checked_mul(24)),
            None => text.strip_suffix('h').and_then(|hours| hours.parse().ok()),
        };
        let hours = hours.filter(|hours| WINDOW_HOURS.contains(hours));
        if hours.is_none() {
            let message = format!("`{text}` is not a time from an hour to a year");
            self.report("config.window", node.at, path, message, help);
        }
        hours
    }

    /// One line of text.
    pub(super) fn one_line(&mut self, node: &Node, path: &str) -> Option<String> {
        self.line_of(node, path, MAX_CHARS)
    }

    pub(super) fn line_of(&mut self, node: &Node, path: &str, max_chars: usize) -> Option<String> {
        let text = self.text(node, path)?.trim();
        if text.is_empty() || text.chars().count() > max_chars || text.chars().any(char::is_control) {
            let message = format!("expected one line of 1 to {max_chars} characters");
            self.report("config.type", node.at, path, message, "write a name");
            return None;
        }
        Some(text.to_owned())
    }
}

/// Whether this is the name of a file that GitHub runs workflows from. It becomes a part of an address.
fn is_workflow(file: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let stem = file.strip_suffix(".yml").or_else(|| file.strip_suffix(".yaml"));
    stem.is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.') && stem.bytes().all(is_plain))
}
