//! What kind of work was merged (`investment@1`).

use std::collections::BTreeMap;

use glob::Pattern;

use crate::Weight;
use crate::delivery::IGNORING_CASE;
use crate::metrics::INVESTMENT;

/// Which pull requests belong to a category: those with one of the labels, from one of the branches, with one of the titles, or that
/// are rework. Case does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InvestmentRule {
    category: String,
    labels: Vec<String>,
    branches: Vec<Pattern>,
    titles: Vec<Pattern>,
    is_rework: bool,
}

impl InvestmentRule {
    /// A rule for a category with labels, and patterns of branches and titles, in which `*` stands for anything.
    ///
    /// # Errors
    /// None in practice: every text is a pattern.
    pub fn new(
        category: &str,
        labels: &[String],
        branches: &[String],
        titles: &[String],
    ) -> Result<Self, glob::PatternError> {
        let patterns = |list: &[String]| list.iter().map(|text| wildcard(text)).collect::<Result<_, _>>();
        Ok(Self {
            category: category.to_owned(),
            labels: labels.iter().map(|label| label.to_lowercase()).collect(),
            branches: patterns(branches)?,
            titles: patterns(titles)?,
            is_rework: false,
        })
    }

    /// The rule also takes rework: reverts and hotfixes.
    #[must_use]
    pub fn with_rework(self) -> Self {
        Self { is_rework: true, ..self }
    }

    fn takes(&self, item: &Invested<'_>) -> bool {
        let matches = |patterns: &[Pattern], text: &str| patterns.iter().any(|it| it.matches_with(text, IGNORING_CASE));
        (self.is_rework && item.is_rework)
            || item.labels.iter().any(|label| self.labels.contains(&label.to_lowercase()))
            || item.branch.is_some_and(|branch| matches(&self.branches, branch))
            || matches(&self.titles, item.title)
    }
}

/// A pattern in which only `*` means something: titles have brackets and question marks.
fn wildcard(text: &str) -> Result<Pattern, glob::PatternError> {
    let mut parts: Vec<String> = text.split('*').map(Pattern::escape).collect();
    // Two stars are one.
    let last = parts.len() - 1;
    let mut index = 0;
    parts.retain(|part| {
        index += 1;
        index == 1 || index - 1 == last || !part.is_empty()
    });
    Pattern::new(&parts.join("*"))
}

/// A merged pull request, as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invested<'a> {
    /// Its labels.
    pub labels: &'a [String],
    /// The branch that it came from, if that is known.
    pub branch: Option<&'a str>,
    /// Its title.
    pub title: &'a str,
    /// Whether it is a revert or a hotfix.
    pub is_rework: bool,
    /// The team's share in it.
    pub weight: Weight,
}

/// The pull requests of a category.
#[derive(Debug, Clone, PartialEq)]
pub struct InvestmentCategory {
    /// Its name; `null` for those that no rule takes: they are uncategorized.
    pub category: Option<String>,
    /// How many there are.
    pub n: usize,
    /// The sum of their weights, in ten-thousandths.
    pub weight_units: u64,
    /// Their part of the weights of all; `null` if there are none.
    pub share: Option<f64>,
}

/// What kind of work was merged.
#[derive(Debug, Clone, PartialEq)]
pub struct Investment {
    /// The ID of the formula.
    pub definition: &'static str,
    /// All pull requests.
    pub n: usize,
    /// The sum of their weights, in ten-thousandths.
    pub weight_units: u64,
    /// The categories in the order of the rules, also empty ones; what is uncategorized comes last. They sum to all.
    pub categories: Vec<InvestmentCategory>,
}

/// Puts each pull request into the category of the first rule that takes it.
pub fn investment(items: &[Invested<'_>], rules: &[InvestmentRule]) -> Investment {
    let mut names: Vec<Option<&str>> = Vec::new();
    for rule in rules {
        if !names.contains(&Some(&rule.category)) {
            names.push(Some(&rule.category));
        }
    }
    names.push(None);
    let mut sums: BTreeMap<Option<&str>, (usize, u64)> = BTreeMap::new();
    for item in items {
        let rule = rules.iter().find(|rule| rule.takes(item));
        let sum = sums.entry(rule.map(|rule| rule.category.as_str())).or_default();
        sum.0 += 1;
        sum.1 += u64::from(item.weight.units());
    }
    let weight_units: u64 = sums.values().map(|(_, units)| units).sum();
    let shown = |name: Option<&str>| {
        let (n, units) = sums.get(&name).copied().unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
        let share = (weight_units > 0).then(|| units as f64 / weight_units as f64);
        InvestmentCategory { category: name.map(str::to_owned), n, weight_units: units, share }
    };
    Investment {
        definition: INVESTMENT,
        n: items.len(),
        weight_units,
        categories: names.into_iter().map(shown).collect(),
    }
}
