//! Which environments mean production.

use std::fmt;

use glob::{MatchOptions, Pattern};

use super::ids::ServiceId;
use super::source::{DeploymentSource, Origin, SourceRules};

/// The default names of production.
const PRODUCTION_NAMES: [&str; 3] = ["production", "prod", "live"];

/// What may follow one of these names.
const SEPARATORS: [char; 5] = ['-', '_', '/', '.', ' '];

/// Environments that mean one thing to users.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EnvironmentGroup {
    /// What users work with. The metrics are about it.
    Production,
    /// Environments that do not last, such as previews.
    Transient,
    /// Any other environment, by its name in lowercase.
    Other(String),
}

impl fmt::Display for EnvironmentGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Production => f.write_str("production"),
            Self::Transient => f.write_str("transient"),
            Self::Other(name) => write!(f, "other:{name}"),
        }
    }
}

/// The environment of what is listed without one.
pub const LISTED_ENVIRONMENT: &str = "production";

/// An environment as a source reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Environment<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether its creator says that users work with it. Many tools set this wrongly.
    pub is_production: Option<bool>,
    /// Whether its creator says that it does not last.
    pub is_transient: bool,
}

/// The environments that mean production. Case does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvironmentRules {
    /// Names and patterns; `None` for the default names.
    pub production: Option<Vec<Pattern>>,
    /// Whether an environment's flag decides, and not its name.
    pub trusts_flag: bool,
}

/// A service that a deployment may belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRules {
    /// The service.
    pub service: ServiceId,
    /// Its own names and patterns of production; `None` for the rules of the configuration.
    pub own: Option<EnvironmentRules>,
    /// The only source whose deployments to production count: the configured one, else the first that reported one. `None` while
    /// there is none.
    pub source: Option<SourceRules>,
}

impl ServiceRules {
    /// The group that an environment belongs to. Of another source than its own, none is production: one deployment would count
    /// twice.
    pub fn group_of(
        &self,
        default: &EnvironmentRules,
        environment: Environment<'_>,
        source: DeploymentSource,
    ) -> EnvironmentGroup {
        // The flag decides only about production, never about the service.
        let group = match &self.own {
            Some(own) if !default.trusts_flag => own.group_of(environment),
            _ => default.group_of(environment),
        };
        let is_of_other = self.source.as_ref().is_some_and(|own| own.source != source);
        match group {
            EnvironmentGroup::Production if is_of_other => EnvironmentGroup::Other(environment.name.to_lowercase()),
            group => group,
        }
    }
}

/// The service that a deployment belongs to, and the group of its environment there. Of the services of its repository, in
/// the order of the file, that is the first one whose own environments have it, else the first one without its own, else the
/// first one; each time one with that source, if there is any. `None` if there are none.
pub fn service_of(
    services: &[ServiceRules],
    default: &EnvironmentRules,
    environment: Environment<'_>,
    source: DeploymentSource,
) -> Option<(ServiceId, EnvironmentGroup)> {
    let name = environment.name.to_lowercase();
    let names_it = |it: &&ServiceRules| it.own.as_ref().is_some_and(|own| own.is_production(&name));
    let first = |is_it: &dyn Fn(&&ServiceRules) -> bool| {
        let has_source = |it: &&ServiceRules| it.source.as_ref().is_none_or(|own| own.source == source);
        services.iter().filter(has_source).find(is_it).or_else(|| services.iter().find(is_it))
    };
    let service = first(&names_it).or_else(|| first(&|it| it.own.is_none())).or_else(|| services.first())?;
    Some((service.service, service.group_of(default, environment, source)))
}

/// The same for what is listed without an environment: the first service whose source it comes from, where it is production. If
/// there is none, it stays with the first service and does not count.
pub fn service_of_listed(services: &[ServiceRules], origin: &Origin) -> Option<(ServiceId, EnvironmentGroup)> {
    let takes = |it: &&ServiceRules| it.source.as_ref().is_some_and(|source| source.takes(origin));
    match services.iter().find(takes) {
        Some(service) => Some((service.service, EnvironmentGroup::Production)),
        None => Some((services.first()?.service, EnvironmentGroup::Other(LISTED_ENVIRONMENT.to_owned()))),
    }
}

/// By which labels and branches a pull request is known as a hotfix. Case does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HotfixRules {
    labels: Vec<String>,
    branches: Vec<Pattern>,
}

impl HotfixRules {
    /// Rules with these labels, and names and patterns of branches.
    ///
    /// # Errors
    /// The first pattern that is none.
    pub fn new(labels: &[String], branches: &[String]) -> Result<Self, glob::PatternError> {
        let labels = labels.iter().map(|label| label.to_lowercase()).collect();
        Ok(Self { labels, branches: branches.iter().map(|name| Pattern::new(name)).collect::<Result<_, _>>()? })
    }

    /// Whether a pull request with these labels, from this branch, is a hotfix.
    pub fn is_hotfix(&self, labels: &[String], branch: Option<&str>) -> bool {
        labels.iter().any(|label| self.labels.contains(&label.to_lowercase()))
            || branch.is_some_and(|branch| self.branches.iter().any(|it| it.matches_with(branch, IGNORING_CASE)))
    }
}

/// How patterns are matched.
pub(crate) const IGNORING_CASE: MatchOptions =
    MatchOptions { case_sensitive: false, require_literal_separator: false, require_literal_leading_dot: false };

impl EnvironmentRules {
    /// Rules with these names and patterns of production environments; `None` for the default names.
    ///
    /// # Errors
    /// The first pattern that is none.
    pub fn new(production: Option<&[String]>, trusts_flag: bool) -> Result<Self, glob::PatternError> {
        let patterns = |names: &[String]| names.iter().map(|name| Pattern::new(name)).collect::<Result<_, _>>();
        Ok(Self { production: production.map(patterns).transpose()?, trusts_flag })
    }

    /// The group that an environment belongs to. A transient one is never production.
    pub fn group_of(&self, environment: Environment<'_>) -> EnvironmentGroup {
        let name = environment.name.to_lowercase();
        if environment.is_transient {
            return EnvironmentGroup::Transient;
        }
        let is_production =
            if self.trusts_flag { environment.is_production == Some(true) } else { self.is_production(&name) };
        if is_production { EnvironmentGroup::Production } else { EnvironmentGroup::Other(name) }
    }

    fn is_production(&self, name: &str) -> bool {
        match &self.production {
            Some(patterns) => patterns.iter().any(|pattern| pattern.matches_with(name, IGNORING_CASE)),
            None => PRODUCTION_NAMES.iter().any(|default| {
                name.strip_prefix(default).is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATORS))
            }),
        }
    }
}
