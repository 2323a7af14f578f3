//! Which source reports deployments, and what of it is one.

use std::fmt;

use glob::Pattern;
use serde::{Deserialize, Serialize};

/// Which source reports the deployments of a service to production.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum DeploymentSource {
    /// GitHub's list of deployments.
    GithubDeployments,
    /// The runs of a workflow of GitHub Actions.
    GithubActions,
    /// Published releases, and tags if wanted.
    GithubReleases,
    /// Each pull request that is merged into a branch, which is assumed to be in production then.
    Merges,
    /// What is posted to the API, or imported.
    Events,
}

/// What of a source is a deployment. Which fields matter depends on the source.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceOptions {
    /// The file of the workflow, such as `deploy.yml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
    /// The branch of runs or merges; `None` for runs of every branch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// A pattern of tags; `None` for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Whether prereleases count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub prereleases: bool,
    /// Whether annotated tags without a release count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tags: bool,
}

impl SourceOptions {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A source with what of it is a deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceRules {
    /// The source.
    pub source: DeploymentSource,
    /// What of it.
    pub options: SourceOptions,
}

impl SourceRules {
    /// All of a source.
    pub fn all_of(source: DeploymentSource) -> Self {
        Self { source, options: SourceOptions::default() }
    }

    /// Whether what is listed is a deployment by these rules.
    pub fn takes(&self, origin: &Origin) -> bool {
        let SourceOptions { workflow, branch, tag: pattern, prereleases, tags } = &self.options;
        let is_tag = |tag: &str| {
            let pattern = pattern.as_ref().map(|pattern| Pattern::new(pattern));
            pattern.is_none_or(|pattern| pattern.is_ok_and(|pattern| pattern.matches(tag)))
        };
        self.source == origin.source()
            && match origin {
                Origin::Run { workflow: file, branch: of } => {
                    workflow.as_ref() == Some(file) && (branch.is_none() || branch == of)
                }
                Origin::Release { tag, is_prerelease } => (*prereleases || !is_prerelease) && is_tag(tag),
                Origin::Tag { tag } => *tags && is_tag(tag),
                Origin::Merge { branch: into } => branch.as_ref() == Some(into),
            }
    }
}

/// The source and its options, as the end of a line.
impl fmt::Display for SourceRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SourceOptions { workflow, branch, tag, prereleases, tags } = &self.options;
        write!(f, "{}", self.source)?;
        for (name, value) in [("workflow", workflow), ("branch", branch), ("tag", tag)] {
            if let Some(value) = value {
                write!(f, " {name} {value}")?;
            }
        }
        for (name, is_set) in [("prereleases", prereleases), ("tags", tags)] {
            if *is_set {
                write!(f, " {name}")?;
            }
        }
        Ok(())
    }
}

/// What a deployment without an environment is at its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// A run of a workflow.
    Run {
        /// The file of the workflow.
        workflow: String,
        /// The branch or tag that it ran for.
        branch: Option<String>,
    },
    /// A published release.
    Release {
        /// Its tag.
        tag: String,
        /// Whether it is marked as one.
        is_prerelease: bool,
    },
    /// An annotated tag without a release.
    Tag {
        /// Its name.
        tag: String,
    },
    /// A merged pull request.
    Merge {
        /// The branch that it was merged into.
        branch: String,
    },
}

impl Origin {
    /// The source that has it.
    pub fn source(&self) -> DeploymentSource {
        match self {
            Self::Run { .. } => DeploymentSource::GithubActions,
            Self::Release { .. } | Self::Tag { .. } => DeploymentSource::GithubReleases,
            Self::Merge { .. } => DeploymentSource::Merges,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(source: DeploymentSource, options: SourceOptions) -> SourceRules {
        SourceRules { source, options }
    }

    #[test]
    fn a_run_counts_for_its_workflow_and_branch() {
        let run = |workflow: &str, branch: &str| Origin::Run {
            workflow: workflow.to_owned(),
            branch: Some(branch.to_owned()),
        };
        let workflow = Some("deploy.yml".to_owned());
        let of_main =
            SourceOptions { workflow: workflow.clone(), branch: Some("main".to_owned()), ..Default::default() };
        let of_main = rules(DeploymentSource::GithubActions, of_main);
        assert!(of_main.takes(&run("deploy.yml", "main")));
        assert!(!of_main.takes(&run("deploy.yml", "next")));
        assert!(!of_main.takes(&run("ci.yml", "main")));
        let of_any = rules(DeploymentSource::GithubActions, SourceOptions { workflow, ..Default::default() });
        assert!(of_any.takes(&run("deploy.yml", "next")));
        assert!(!SourceRules::all_of(DeploymentSource::Events).takes(&run("deploy.yml", "main")));
    }

    #[test]
    fn prereleases_tags_and_patterns_are_chosen() {
        let release = |tag: &str, is_prerelease| Origin::Release { tag: tag.to_owned(), is_prerelease };
        let tag = Origin::Tag { tag: "v2".to_owned() };
        let plain = SourceRules::all_of(DeploymentSource::GithubReleases);
        assert!(plain.takes(&release("v1", false)));
        assert!(!plain.takes(&release("v1", true)) && !plain.takes(&tag));
        let options = SourceOptions { tag: Some("v*".to_owned()), prereleases: true, tags: true, ..Default::default() };
        let chosen = rules(DeploymentSource::GithubReleases, options);
        assert!(chosen.takes(&release("v1", true)) && chosen.takes(&tag));
        assert!(!chosen.takes(&release("shop-1", false)));
    }

    #[test]
    fn a_merge_counts_for_the_named_branch_only() {
        let into = |branch: &str| Origin::Merge { branch: branch.to_owned() };
        let options = SourceOptions { branch: Some("main".to_owned()), ..Default::default() };
        let of_main = rules(DeploymentSource::Merges, options);
        assert!(of_main.takes(&into("main")) && !of_main.takes(&into("release")));
        assert!(!SourceRules::all_of(DeploymentSource::Merges).takes(&into("main")), "no branch is named");
    }
}
