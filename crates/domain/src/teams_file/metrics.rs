//! The part of the teams file about metrics of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use strum::VariantArray as _;

use super::checks::problem;
use super::reader::{Draft, Reader, given, join};
use super::tree::{Node, Value};
use crate::insight::{
    CustomMetric, FlagField, MetricFields, MetricInterval, MetricMeasure, MetricOf, MetricRange, MetricSelection,
    MetricState, MetricStatistic, TextField,
};
use crate::metrics::Basis;
use crate::{MetricId, Problem};

pub(super) const METRIC_KEYS: &[&str] = &["id", "name", "of", "basis", "when", "measure", "statistic", "by", "than"];
/// All fields, each of which some things have; `state` and `not` are only outside of a `not`.
pub(super) const FIELD_KEYS: &[&str] = &[
    "repositories",
    "base_branches",
    "branches",
    "labels",
    "titles",
    "cycle_time",
    "coding",
    "pickup",
    "review",
    "deploy",
    "lead_time",
    "lines",
    "files",
    "reviewed",
    "approved",
    "draft",
    "revert",
    "services",
    "kinds",
    "severities",
    "recovery_time",
    "pull_requests",
    "wait",
    "failure",
    "rework",
    "deployment",
    "internal",
];
pub(super) const RANGE_KEYS: &[&str] = &["at_least", "at_most"];

/// More would be a page that nobody reads, and each is a query.
pub(super) const MOST_METRICS: usize = 20;
/// The longest name.
const MOST_NAME: usize = 60;
/// The longest list of a field.
const MOST_TEXTS: usize = 20;
/// The largest size.
const MOST_SIZE: u32 = 10_000_000;

const CODE: &str = "config.metric";

impl Reader<'_> {
    /// A metric.
    pub(super) fn metric(&mut self, node: &Node, path: &str) -> Option<CustomMetric> {
        let fields = self.fields(node, path, METRIC_KEYS, &[]);
        let id = fields
            .required(self, "id")
            .and_then(|node| self.name::<MetricId>(CODE, node, &join(path, "id"), "docs-share"));
        let name = fields.optional(self, "name").map(|node| self.line_of(node, &join(path, "name"), MOST_NAME));
        let of = fields.required(self, "of").and_then(|node| self.one_of(CODE, node, &join(path, "of")));
        let statistic = fields
            .required(self, "statistic")
            .and_then(|node| self.one_of::<MetricStatistic>(CODE, node, &join(path, "statistic")));
        let measure_node = fields.optional(self, "measure");
        let measure = measure_node.map(|node| self.one_of::<MetricMeasure>(CODE, node, &join(path, "measure")));
        let by = fields.optional(self, "by").map(|node| self.one_of::<MetricInterval>(CODE, node, &join(path, "by")));
        let basis_node = fields.optional(self, "basis");
        let basis = basis_node.map(|node| self.one_of::<Basis>(CODE, node, &join(path, "basis")));
        let when_node = fields.optional(self, "when");
        let when = when_node.map(|node| self.selection(node, &join(path, "when"), of));
        let than_node = fields.optional(self, "than");
        let than = than_node.map(|node| self.selection(node, &join(path, "than"), of));
        // What could not be read was already reported.
        let (name, measure, by, basis) = (given(name)?, given(measure)?, given(by)?, given(basis)?);
        let (when, than) = (given(when)?.unwrap_or_default(), given(than)?);
        let (id, of, statistic) = (id?, of?, statistic?);
        let is_share = statistic == MetricStatistic::Share;
        let mut wrong: Vec<(&Node, &str, String, String)> = Vec::new();
        if let Some(at) = basis_node.filter(|_| of.is_of_people()) {
            let message = format!("{} are a team's by their author", of.things());
            wrong.push((at, "basis", message, "leave it out".to_owned()));
        }
        match (measure_node, statistic.has_measure()) {
            (Some(at), false) => {
                wrong.push((at, "measure", needless("measure", statistic), "leave it out".to_owned()));
            }
            (None, true) => {
                let message = format!("the statistic `{statistic}` needs `measure`");
                let help = format!("add one of {}", list(of.measures()));
                wrong.push((node, "measure", message, help));
            }
            _ => {}
        }
        if let Some((at, measure)) = measure_node.zip(measure).filter(|(_, measure)| !of.measures().contains(measure)) {
            let message = format!("{} have no `{measure}`", of.things());
            wrong.push((at, "measure", message, format!("write one of {}", list(of.measures()))));
        }
        match (than_node, is_share) {
            (Some(at), false) => wrong.push((at, "than", needless("than", statistic), "leave it out".to_owned())),
            (None, true) => {
                let help = "say of what it is the part: `than: {}` of everything";
                wrong.push((node, "than", "the statistic `share` needs `than`".to_owned(), help.to_owned()));
            }
            _ => {}
        }
        if is_share && (when.is_empty() || than.as_ref() == Some(&when)) {
            let help = "say which part is meant, for example `when: { labels: [docs] }`".to_owned();
            wrong.push((when_node.unwrap_or(node), "when", "a share of everything is always 1".to_owned(), help));
        }
        let name = name.unwrap_or_else(|| id.to_string());
        let by = by.unwrap_or_default();
        let metric = CustomMetric { id, name, of, basis, when, measure, statistic, by, than };
        let states = metric.states();
        if is_share && !metric.when.states.is_empty() && metric.when.states.is_disjoint(&states) {
            let all = of.states().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let help = format!("name in `than` also the states of `when`, for example `than: {{ state: [{all}] }}`");
            let message = "`when` takes nothing of what `than` takes".to_owned();
            wrong.push((when_node.unwrap_or(node), "when", message, help));
        }
        if let Some((measure, needed)) = metric.measure.and_then(|measure| Some((measure, measure.needs(of)?)))
            && !states.contains(&needed)
        {
            let message = format!("only what is `{needed}` has a `{measure}`");
            let others: Vec<_> = of.measures().iter().copied().filter(|other| other.needs(of).is_none()).collect();
            let or = if others.is_empty() { String::new() } else { format!(", or measure {}", list(&others)) };
            wrong.push((measure_node.unwrap_or(node), "measure", message, format!("take `{needed}` ones{or}")));
        }
        for (at, key, selection) in [(when_node, "when", Some(&metric.when)), (than_node, "than", metric.than.as_ref())]
        {
            let mut fields = selection.into_iter().flat_map(|it| [&it.fields, &it.not]);
            if let Some((field, needed)) = fields.find_map(|fields| only_of(fields, of, &states)) {
                let message = format!("only what is `{needed}` has `{field}`");
                wrong.push((at.unwrap_or(node), key, message, format!("leave it out, or take `{needed}` ones")));
            }
        }
        if of == MetricOf::Incidents && states.len() > 1 {
            let (at, key) = if is_share { (than_node, "than") } else { (when_node, "when") };
            let help = "keep one of them: by the resolution, or by the start".to_owned();
            wrong.push((at.unwrap_or(node), key, "an incident would be counted twice".to_owned(), help));
        }
        let is_right = wrong.is_empty();
        for (at, key, message, help) in wrong {
            self.report(CODE, at.at, &join(path, key), message, help);
        }
        is_right.then_some(metric)
    }

    /// Which things are taken. Without knowing of what they are, every field is right.
    fn selection(&mut self, node: &Node, path: &str, of: Option<MetricOf>) -> Option<MetricSelection> {
        let known: Vec<&str> = FIELD_KEYS.iter().copied().chain(["state", "not"]).collect();
        let taken = self.metric_fields(node, path, &known, of);
        let outer = entries(node);
        let state = outer.get("state").map(|node| self.states(node, &join(path, "state"), of));
        let not = outer.get("not").map(|node| {
            let path = join(path, "not");
            let not = self.metric_fields(node, &path, FIELD_KEYS, of)?;
            if not.is_empty() {
                let help = "name a field, or leave `not` out";
                self.report(CODE, node.at, &path, "`not` names no field", help);
                return None;
            }
            Some(not)
        });
        let (state, not) = (given(state)?, given(not)?);
        Some(MetricSelection { states: state.unwrap_or_default(), fields: taken?, not: not.unwrap_or_default() })
    }

    fn metric_fields(&mut self, node: &Node, path: &str, known: &[&str], of: Option<MetricOf>) -> Option<MetricFields> {
        let before = self.problems_so_far();
        let fields = self.fields(node, path, known, &[]);
        if let Some(of) = of {
            self.only_fields_of(of, node, path);
        }
        let (mut texts, mut ranges, mut flags) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for field in TextField::ALL {
            let key: &str = field.into();
            let Some(node) = fields.optional(self, key) else { continue };
            texts.extend(self.texts(node, &join(path, key), *field).map(|list| (*field, list)));
        }
        for measure in MetricMeasure::ALL {
            let key: &str = measure.into();
            let Some(node) = fields.optional(self, key) else { continue };
            ranges.extend(self.metric_range(node, &join(path, key), *measure).map(|range| (*measure, range)));
        }
        for field in FlagField::ALL {
            let key: &str = field.into();
            let Some(node) = fields.optional(self, key) else { continue };
            flags.extend(self.boolean(node, &join(path, key)).map(|is_set| (*field, is_set)));
        }
        // A field that could not be read must not be left out: more would be taken.
        (self.problems_so_far() == before).then_some(MetricFields { texts, ranges, flags })
    }

    /// Reports the fields that these things do not have.
    fn only_fields_of(&mut self, of: MetricOf, node: &Node, path: &str) {
        let texts = of.texts().iter().map(<&str>::from);
        let measures = of.measures().iter().map(<&str>::from);
        let flags = of.flags().iter().map(<&str>::from);
        let own: Vec<&str> = texts.chain(measures).chain(flags).collect();
        let Value::Map(entries) = &node.value else { return };
        for (key, _) in entries {
            let name = key.text.as_str();
            if FIELD_KEYS.contains(&name) && !own.contains(&name) {
                let help = format!("use one of {}", own.join(", "));
                self.report(CODE, key.at, &join(path, name), format!("{} have no `{name}`", of.things()), help);
            }
        }
    }

    fn texts(&mut self, node: &Node, path: &str, field: TextField) -> Option<BTreeSet<String>> {
        let choices = field.choices();
        let texts = self.list(node, path, |reader, node, path| {
            let text = reader.one_line(node, path)?;
            if field == TextField::Services && text.contains('/') {
                let help =
                    format!("write a slug: that of a repository without a service is `{}`", text.replace('/', "."));
                reader.report(CODE, node.at, path, format!("no service is called `{text}`"), help);
                return None;
            }
            if let Some(choices) = choices.filter(|choices| !choices.contains(&text.as_str())) {
                let help = format!("write one of {}", choices.join(", "));
                reader.report(CODE, node.at, path, format!("unknown word `{text}`"), help);
                return None;
            }
            Some(text)
        });
        let texts = self.at_least_one(node, path, texts)?;
        if texts.len() > MOST_TEXTS {
            let message = format!("a list of {} entries", texts.len());
            self.report(CODE, node.at, path, message, format!("write {MOST_TEXTS} at most; `*` stands for anything"));
            return None;
        }
        Some(texts.into_iter().collect())
    }

    fn states(&mut self, node: &Node, path: &str, of: Option<MetricOf>) -> Option<BTreeSet<MetricState>> {
        let known = of.map_or(MetricState::VARIANTS, MetricOf::states);
        let states = self.list(node, path, |reader, node, path| {
            let state = reader.one_of::<MetricState>(CODE, node, path)?;
            if let Some(of) = of.filter(|_| !known.contains(&state)) {
                let help = match known {
                    [] => "leave `state` out".to_owned(),
                    known => format!("write one of {}", list(known)),
                };
                reader.report(CODE, node.at, path, format!("{} are never `{state}`", of.things()), help);
                return None;
            }
            Some(state)
        });
        if states.is_empty() && matches!(&node.value, Value::List(items) if items.is_empty()) {
            let help = format!("name one of {}, or leave `state` out", list(known));
            self.report("config.empty", node.at, path, "the list is empty", help);
        }
        (!states.is_empty()).then(|| states.into_iter().map(|state| state.value).collect())
    }

    fn metric_range(&mut self, node: &Node, path: &str, measure: MetricMeasure) -> Option<MetricRange> {
        let fields = self.fields(node, path, RANGE_KEYS, &[]);
        let [at_least, at_most] = ["at_least", "at_most"].map(|key| {
            let node = fields.optional(self, key)?;
            let path = join(path, key);
            Some(if measure.is_time() { self.window(node, &path) } else { self.size(node, &path) })
        });
        let (at_least, at_most) = (given(at_least)?, given(at_most)?);
        let message = match (at_least, at_most) {
            (None, None) => "the range has no bound",
            (Some(least), Some(most)) if least > most => "nothing is in this range",
            _ => return Some(MetricRange { at_least, at_most }),
        };
        let help = if measure.is_time() { "write `{ at_most: 4h }`" } else { "write `{ at_least: 1, at_most: 400 }`" };
        self.report(CODE, node.at, path, message, help);
        None
    }

    fn size(&mut self, node: &Node, path: &str) -> Option<u32> {
        let text = self.plain(node, path, "a whole number")?;
        let size = text.parse().ok().filter(|size| *size <= MOST_SIZE);
        if size.is_none() {
            let help = format!("write a whole number from 0 to {MOST_SIZE}");
            self.report(CODE, node.at, path, format!("`{text}` is not a number"), help);
        }
        size
    }
}

/// The values of a mapping's keys that are not null; what is wrong with them is reported elsewhere.
fn entries(node: &Node) -> HashMap<&str, &Node> {
    match &node.value {
        Value::Map(entries) => {
            let given = entries.iter().filter(|(_, node)| !matches!(node.value, Value::Null));
            given.map(|(key, node)| (key.text.as_str(), node)).collect()
        }
        _ => HashMap::new(),
    }
}

/// A field that nothing has of what these events count, and the event that would give it one.
fn only_of(fields: &MetricFields, of: MetricOf, states: &BTreeSet<MetricState>) -> Option<(&'static str, MetricState)> {
    let of_ranges = fields.ranges.keys().filter_map(|measure| Some((measure.into(), measure.needs(of)?)));
    let succeeded = |field: &'static str, is_there: bool| is_there.then_some((field, MetricState::Succeeded));
    let of_deployments = [
        succeeded("kinds", fields.texts.contains_key(&TextField::Kinds)),
        succeeded("failure", fields.flags.contains_key(&FlagField::Failure)),
    ];
    of_ranges.chain(of_deployments.into_iter().flatten()).find(|(_, needed)| !states.contains(needed))
}

fn needless(key: &str, statistic: MetricStatistic) -> String {
    format!("`{key}` means nothing for the statistic `{statistic}`")
}

/// `merged, closed`.
fn list<T: Copy + Into<&'static str>>(all: &[T]) -> String {
    let names: Vec<&'static str> = all.iter().map(|one| (*one).into()).collect();
    names.join(", ")
}

/// A file has few metrics, each of its own id, and where small groups are hidden none by month or by who delivered.
pub(super) fn metrics_are_few_and_different(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen = HashMap::new();
    for (index, metric) in draft.metrics.iter().enumerate() {
        if let Some(first) = seen.insert(&metric.value.id, metric.at) {
            let message = format!("there is another metric `{}`", metric.value.id);
            let mut problem = problem(CODE, metric, message, "give each metric its own id");
            problem.related = Some(first);
            problems.push(problem);
        }
        if index == MOST_METRICS {
            let message = format!("there are {} metrics", draft.metrics.len());
            problems.push(problem(CODE, metric, message, &format!("keep {MOST_METRICS} at most")));
        }
        if draft.min_group_size.is_some() && metric.value.by == MetricInterval::Month {
            let message = "a month without its whole weeks is a few days, and those may be one person's".to_owned();
            let help = "write `by: week`: with `privacy.min_group_size`, only whole weeks are shown";
            problems.push(problem(CODE, metric, message, help));
        }
        let of = metric.value.of;
        if draft.min_group_size.is_some() && !of.is_of_people() && metric.value.basis() == Basis::Delivered {
            let message =
                format!("a team's part of {} by `delivered` tells whose pull requests they were", of.things());
            let help = "write `basis: owned`, as long as there is `privacy.min_group_size`";
            problems.push(problem(CODE, metric, message, help));
        }
    }
}
