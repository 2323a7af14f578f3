//! The part of the teams file about kinds of work.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::reader::{Reader, given, join};
use super::tree::Node;
use crate::insight::InvestmentRule;

pub(super) const INVESTMENT_KEYS: &[&str] = &["category", "labels", "branches", "titles", "rework"];

/// The name of what no rule takes.
const UNCATEGORIZED: &str = "uncategorized";
/// The longest name of a category.
const MOST_CATEGORY: usize = 60;

/// A rule of the file: which pull requests belong to a kind of work. The first rule that takes one decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvestmentEntry {
    /// The name of the kind.
    pub category: String,
    /// Those with one of these labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Those from one of these branches; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branches: Vec<String>,
    /// Those with one of these titles; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub titles: Vec<String>,
    /// Reverts and hotfixes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rework: bool,
}

impl InvestmentEntry {
    /// The rule.
    ///
    /// # Errors
    /// None in practice: every text is a pattern.
    pub fn rule(&self) -> Result<InvestmentRule, glob::PatternError> {
        let rule = InvestmentRule::new(&self.category, &self.labels, &self.branches, &self.titles)?;
        Ok(if self.rework { rule.with_rework() } else { rule })
    }
}

/// The rule on one line, for people.
impl fmt::Display for InvestmentEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [("labels", &self.labels), ("branches", &self.branches), ("titles", &self.titles)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let parts = lists.map(|(name, list)| format!("{name} {}", list.join(" | ")));
        let parts: Vec<String> = parts.chain(self.rework.then(|| "rework".to_owned())).collect();
        write!(f, "{}: {}", self.category, parts.join(", "))
    }
}

impl Reader<'_> {
    /// A rule for a kind of work.
    pub(super) fn investment(&mut self, node: &Node, path: &str) -> Option<InvestmentEntry> {
        let fields = self.fields(node, path, INVESTMENT_KEYS, &[]);
        let category = fields
            .required(self, "category")
            .and_then(|node| self.line_of(node, &join(path, "category"), MOST_CATEGORY));
        let [labels, branches, titles] = ["labels", "branches", "titles"].map(|key| {
            let node = fields.optional(self, key)?;
            let texts = self.list(node, &join(path, key), Reader::one_line);
            Some(self.at_least_one(node, &join(path, key), texts))
        });
        let rework = fields.optional(self, "rework").map(|node| self.boolean(node, &join(path, "rework")));
        if let Some(node) = fields.optional(self, "category").filter(|_| category.as_deref() == Some(UNCATEGORIZED)) {
            let help = "leave the rule out: what no rule takes is uncategorized";
            self.report("config.investment", node.at, &join(path, "category"), "this name is taken", help);
            return None;
        }
        // What could not be read was already reported.
        let (labels, branches, titles) = (given(labels)?, given(branches)?, given(titles)?);
        let rework = given(rework)?.unwrap_or(false);
        if labels.is_none() && branches.is_none() && titles.is_none() && !rework {
            let help = "add `labels`, `branches`, `titles` or `rework: true`";
            self.report("config.investment", node.at, path, "the rule takes no pull request", help);
            return None;
        }
        let (labels, branches) = (labels.unwrap_or_default(), branches.unwrap_or_default());
        Some(InvestmentEntry { category: category?, labels, branches, titles: titles.unwrap_or_default(), rework })
    }
}
