//! The part of the teams file about goals and working agreements.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc, Weekday};
use serde::{Deserialize, Serialize};
use strum::VariantArray;

use super::checks::problem;
use super::reader::{Draft, Placed, Reader, given, join, times_of_day, weight_meant};
use super::tree::Node;
use crate::insight::{
    Clock, GoalForm, GoalMeasure, GoalRevision, MetricInterval, MetricStatistic, Percent, WorkingHours,
};
use crate::{GoalId, MetricId, Period, Problem, TeamSlug, Weight};

pub(super) const GOAL_KEYS: &[&str] = &[
    "id", "team", "sentence", "form", "measure", "within", "share", "open", "metric", "clock", "hours", "days", "free",
    "from", "to",
];

const CODE: &str = "config.goal";

/// The longest sentence.
const MOST_SENTENCE: usize = 200;
/// Of four weeks, what began in the first two has had a time of two weeks.
const MOST_SHARE_HOURS: u32 = 14 * 24;
/// More open pull requests than this are no limit.
const MOST_OPEN: u32 = 10_000;

/// A goal of the file. Several of one id, one after the other, are its revisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoalEntry {
    /// The short name that identifies its history.
    pub id: GoalId,
    /// The team that it is for; `None` for each team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamSlug>,
    /// What the team says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
    /// What it asks for.
    #[serde(flatten)]
    pub form: GoalForm,
    /// By which clock waiting is measured.
    #[serde(default)]
    pub clock: Clock,
    /// Since when it is in force; `None` is the beginning of time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<DateTime<Utc>>,
    /// Until when, exclusive; `None` means no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<DateTime<Utc>>,
}

impl GoalEntry {
    /// When it is in force. The reader has checked that it ends after it starts.
    pub fn period(&self) -> Option<Period> {
        Period::new(self.from, self.to).ok()
    }
}

/// The goal on one line, for people.
impl fmt::Display for GoalEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.form.text(&self.clock))?;
        match &self.team {
            Some(team) => write!(f, ", team {team}")?,
            None => f.write_str(", all teams")?,
        }
        for (word, at) in [("from", self.from), ("to", self.to)] {
            if let Some(at) = at {
                write!(f, ", {word} {}", at.format("%Y-%m-%dT%H:%MZ"))?;
            }
        }
        Ok(())
    }
}

/// The goals of a file, and since when they were configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredGoals {
    /// When the file was applied.
    pub applied_at: DateTime<Utc>,
    /// Its goals.
    pub goals: Vec<GoalEntry>,
}

/// A goal of a team with all of its revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TeamGoal {
    /// Its short name.
    pub id: GoalId,
    /// What it asked for, the oldest first. They do not overlap.
    pub revisions: Vec<GoalRevision>,
}

/// The goals of a team by their ids, as the files say that were applied one after the other, the oldest first.
///
/// Dates of a file decide. A goal without any that asks for something else than before does so since its file was applied, and one that
/// a file leaves out ends then: the past is judged by the goal of its time.
pub fn goals_of_team(files: &[ConfiguredGoals], team: &TeamSlug) -> Vec<TeamGoal> {
    let is_for_team = |goal: &&GoalEntry| goal.team.as_ref().is_none_or(|slug| slug == team);
    let ids: BTreeSet<&GoalId> =
        files.iter().flat_map(|file| &file.goals).filter(is_for_team).map(|goal| &goal.id).collect();
    let of_id = |id: &GoalId| {
        let mut revisions: Vec<GoalRevision> = Vec::new();
        for file in files {
            let mut entries: Vec<&GoalEntry> =
                file.goals.iter().filter(is_for_team).filter(|goal| goal.id == *id).collect();
            entries.sort_by_key(|goal| goal.from);
            revise(&mut revisions, &entries, file.applied_at);
        }
        TeamGoal { id: id.clone(), revisions }
    };
    ids.into_iter().map(of_id).filter(|goal| !goal.revisions.is_empty()).collect()
}

/// What the next file makes of the revisions of a goal.
fn revise(revisions: &mut Vec<GoalRevision>, entries: &[&GoalEntry], applied_at: DateTime<Utc>) {
    let revision = |entry: &GoalEntry, in_force| GoalRevision {
        goal: entry.form.clone(),
        clock: entry.clock.clone(),
        sentence: entry.sentence.clone(),
        in_force,
    };
    let entry = match entries {
        [] => return end(revisions, Some(applied_at)),
        [entry] if entry.from.is_none() && entry.to.is_none() => entry,
        [first, ..] => {
            end(revisions, first.from);
            revisions.extend(entries.iter().filter_map(|entry| Some(revision(entry, entry.period()?))));
            return;
        }
    };
    match revisions.last_mut() {
        None => revisions.push(revision(entry, Period::ALWAYS)),
        Some(last)
            if last.goal == entry.form
                && last.clock == entry.clock
                && last.in_force.to().is_none()
                && last.in_force.contains(applied_at) =>
        {
            last.sentence.clone_from(&entry.sentence);
        }
        Some(_) => {
            end(revisions, Some(applied_at));
            revisions.extend(Period::new(Some(applied_at), None).ok().map(|period| revision(entry, period)));
        }
    }
}

/// Ends what is in force at an instant, and removes what would start later; all of it without an instant.
fn end(revisions: &mut Vec<GoalRevision>, at: Option<DateTime<Utc>>) {
    let kept = |revision: GoalRevision| {
        let in_force = revision.in_force.ending_at(at?)?;
        Some(GoalRevision { in_force, ..revision })
    };
    *revisions = std::mem::take(revisions).into_iter().filter_map(kept).collect();
}

/// What makes a goal a share, an agreement or a limit.
#[derive(Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
enum FormName {
    Share,
    Each,
    Limit,
    Metric,
}

impl FormName {
    /// The keys that it needs. It takes no others of those that forms have.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Share => &["measure", "within", "share"],
            Self::Each => &["measure", "within"],
            Self::Limit => &["open"],
            Self::Metric => &["metric", "share"],
        }
    }
}

impl Reader<'_> {
    /// A goal.
    pub(super) fn goal(&mut self, node: &Node, path: &str) -> Option<GoalEntry> {
        let fields = self.fields(node, path, GOAL_KEYS, &[]);
        let id = fields
            .required(self, "id")
            .and_then(|node| self.name::<GoalId>(CODE, node, &join(path, "id"), "first-review"));
        let team = fields.optional(self, "team").map(|node| self.known_team(CODE, node, &join(path, "team")));
        let sentence =
            fields.optional(self, "sentence").map(|node| self.line_of(node, &join(path, "sentence"), MOST_SENTENCE));
        let form =
            fields.required(self, "form").and_then(|node| self.one_of::<FormName>(CODE, node, &join(path, "form")));
        let clock_node = fields.optional(self, "clock");
        let is_working = clock_node.map(|node| self.is_working(node, &join(path, "clock")));
        let hours = fields.optional(self, "hours").map(|node| self.hours(node, &join(path, "hours")));
        let days = fields.optional(self, "days").map(|node| self.days(node, &join(path, "days")));
        let free = fields.optional(self, "free").map(|node| self.free(node, &join(path, "free")));
        let measure =
            fields.optional(self, "measure").map(|node| self.one_of::<GoalMeasure>(CODE, node, &join(path, "measure")));
        let within_node = fields.optional(self, "within");
        let help = help_of_within(form, is_working == Some(Some(true)));
        let within = within_node.map(|node| self.window_with_help(node, &join(path, "within"), help));
        let share = fields.optional(self, "share").map(|node| self.percent(node, &join(path, "share")));
        let open = fields.optional(self, "open").map(|node| self.most_open(node, &join(path, "open")));
        let metric = fields
            .optional(self, "metric")
            .map(|node| self.name::<MetricId>(CODE, node, &join(path, "metric"), "docs-share"));
        let from = fields.optional(self, "from").map(|node| self.instant(node, &join(path, "from")));
        let to_node = fields.optional(self, "to");
        let to = to_node.map(|node| self.instant(node, &join(path, "to")));
        let is_given = [
            ("measure", measure.is_some()),
            ("within", within.is_some()),
            ("share", share.is_some()),
            ("open", open.is_some()),
            ("metric", metric.is_some()),
        ];
        // Even if something else could not be read, so that all problems are reported at once.
        let mut is_right = form.is_none_or(|form| self.has_keys_of(form, &is_given, node, path));
        // What could not be read was already reported.
        let name = form?;
        let (team, sentence, is_working) = (given(team)?, given(sentence)?, given(is_working)?.unwrap_or_default());
        let (hours, days, free) = (given(hours)?, given(days)?, given(free)?);
        let (measure, within_hours, share, open) = (given(measure)?, given(within)?, given(share)?, given(open)?);
        let (from, to, metric) = (given(from)?, given(to)?, given(metric)?);
        for (key, is_given) in [("hours", hours.is_some()), ("days", days.is_some()), ("free", free.is_some())] {
            if is_given && !is_working {
                is_right = false;
                let message = format!("`{key}` means nothing without `clock: working`");
                self.report(CODE, node.at, &join(path, key), message, "add it, or leave them out");
            }
        }
        if is_working && hours.is_none() && !matches!(name, FormName::Limit | FormName::Metric) {
            is_right = false;
            let help = "add, for example, `hours: \"09:00-17:00\"`";
            self.report(CODE, node.at, &join(path, "hours"), "`clock: working` needs `hours`", help);
        }
        if is_working && matches!(name, FormName::Limit | FormName::Metric) {
            is_right = false;
            let at = clock_node.map_or(node.at, |node| node.at);
            self.report(
                CODE,
                at,
                &join(path, "clock"),
                format!("a {name} has no time to measure"),
                "leave `clock` out",
            );
        }
        if let Some(node) = within_node.filter(|_| is_working)
            && self.text(node, path).is_some_and(|text| text.ends_with('d'))
        {
            is_right = false;
            let help = "write it in hours: `8h` is a day of eight hours";
            self.report(CODE, node.at, &join(path, "within"), "working time is not measured in days", help);
        }
        if let Some(node) =
            within_node.filter(|_| name == FormName::Share && within_hours.is_some_and(|it| it > MOST_SHARE_HOURS))
        {
            is_right = false;
            let message = "a share is judged on four weeks, in which hardly anything would have had this time";
            let help = "write `14d` at most, or `form: each`";
            self.report(CODE, node.at, &join(path, "within"), message, help);
        }
        if Period::new(from, to).is_err() {
            let at = to_node.map_or(node.at, |node| node.at);
            let help = "`to` is the first day after the goal, so it must be after `from`";
            self.report("config.period_order", at, &join(path, "to"), "the end is not after the start", help);
            return None;
        }
        let form = match name {
            FormName::Share => GoalForm::Share { measure: measure?, within_hours: within_hours?, share: share? },
            FormName::Each => GoalForm::Each { measure: measure?, within_hours: within_hours? },
            FormName::Limit => GoalForm::Limit { open: open? },
            FormName::Metric => GoalForm::Metric { metric: metric?, share: share? },
        };
        let clock = hours.map_or(Clock::Wall, |(from, to)| {
            let days = days.unwrap_or_else(|| WorkingHours::DAYS.to_vec());
            Clock::Working(WorkingHours { from, to, days, free: free.unwrap_or_default() })
        });
        let id = id?;
        is_right.then_some(GoalEntry { id, team, sentence, form, clock, from, to })
    }

    /// Reports keys that a form lacks, and those that mean nothing for it.
    fn has_keys_of(&mut self, form: FormName, is_given: &[(&str, bool)], node: &Node, path: &str) -> bool {
        let mut is_right = true;
        for (key, is_given) in is_given {
            if *is_given == form.keys().contains(key) {
                continue;
            }
            is_right = false;
            let (message, help) = if *is_given {
                (format!("`{key}` means nothing for the form `{form}`"), "leave it out".to_owned())
            } else {
                (format!("the form `{form}` needs `{key}`"), format!("add, for example, `{key}: {}`", example(key)))
            };
            self.report(CODE, node.at, &join(path, key), message, help);
        }
        is_right
    }

    /// A word of a list.
    pub(super) fn one_of<T>(&mut self, code: &'static str, node: &Node, path: &str) -> Option<T>
    where
        T: std::str::FromStr + VariantArray + Copy + 'static,
        &'static str: From<T>,
    {
        let text = self.text(node, path)?;
        let found = text.parse().ok();
        if found.is_none() {
            let known: Vec<&'static str> = T::VARIANTS.iter().map(|one| (*one).into()).collect();
            let help = format!("write one of: {}", known.join(", "));
            self.report(code, node.at, path, format!("unknown word `{text}`"), help);
        }
        found
    }

    fn is_working(&mut self, node: &Node, path: &str) -> Option<bool> {
        match self.text(node, path)? {
            "working" => Some(true),
            "wall" => Some(false),
            other => {
                let message = format!("unknown clock `{other}`");
                let help = "write `working`, with `hours`, or leave it out to count every hour";
                self.report(CODE, node.at, path, message, help);
                None
            }
        }
    }

    /// `0.8`, in hundredths.
    fn percent(&mut self, node: &Node, path: &str) -> Option<Percent> {
        let text = self.plain(node, path, "a number")?;
        let hundredths = |weight: Weight| {
            let is_whole = weight.units().is_multiple_of(100);
            u8::try_from(weight.units() / 100).ok().filter(|_| is_whole).and_then(Percent::new)
        };
        let percent = text.parse::<Weight>().ok().and_then(hundredths);
        if percent.is_none() {
            let meant = weight_meant(text).or_else(|| weight_meant(&format!("{text}%"))).and_then(hundredths);
            let help = meant.map_or_else(
                || "write 0.01 to 0.99 with two decimals at most; for all of them write `form: each`".to_owned(),
                |meant| format!("write `share: 0.{:02}`", meant.hundredths()),
            );
            let message = format!("`{text}` is not a share between 0 and 1");
            self.report(CODE, node.at, path, message, help);
        }
        percent
    }

    fn most_open(&mut self, node: &Node, path: &str) -> Option<u32> {
        let text = self.plain(node, path, "a whole number")?;
        let open = text.parse().ok().filter(|open| *open <= MOST_OPEN);
        if open.is_none() {
            let help = format!("write a whole number from 0 to {MOST_OPEN}");
            self.report(CODE, node.at, path, format!("`{text}` is not a number of pull requests"), help);
        }
        open
    }

    /// `09:00-17:00`.
    fn hours(&mut self, node: &Node, path: &str) -> Option<(NaiveTime, NaiveTime)> {
        let text = self.text(node, path)?;
        let hours = times_of_day(text).filter(|(from, to)| from < to);
        if hours.is_none() {
            let message = format!("`{text}` are not hours of a day");
            self.report(CODE, node.at, path, message, "write them like `\"09:00-17:00\"`");
        }
        hours
    }

    fn days(&mut self, node: &Node, path: &str) -> Option<Vec<Weekday>> {
        const NAMES: [(&str, Weekday); 7] = [
            ("mon", Weekday::Mon),
            ("tue", Weekday::Tue),
            ("wed", Weekday::Wed),
            ("thu", Weekday::Thu),
            ("fri", Weekday::Fri),
            ("sat", Weekday::Sat),
            ("sun", Weekday::Sun),
        ];
        let mut is_right = true;
        let day = |reader: &mut Self, node: &Node, path: &str| {
            let text = reader.text(node, path)?;
            let day = NAMES.iter().find(|(name, _)| *name == text).map(|(_, day)| *day);
            if day.is_none() {
                let help = "write some of: mon, tue, wed, thu, fri, sat, sun";
                reader.report(CODE, node.at, path, format!("`{text}` is not a day of the week"), help);
                is_right = false;
            }
            day
        };
        let found: BTreeSet<u32> =
            self.list(node, path, day).into_iter().map(|it| it.value.num_days_from_monday()).collect();
        if found.is_empty() && is_right {
            self.report("config.empty", node.at, path, "no days are named", "name at least one, or leave `days` out");
        }
        let days = NAMES.iter().map(|(_, day)| *day).filter(|day| found.contains(&day.num_days_from_monday()));
        (is_right && !found.is_empty()).then(|| days.collect())
    }

    fn free(&mut self, node: &Node, path: &str) -> Option<BTreeSet<NaiveDate>> {
        let mut is_right = true;
        let day = |reader: &mut Self, node: &Node, path: &str| {
            let text = reader.text(node, path)?;
            let day = text.parse().ok().filter(|day: &NaiveDate| day.to_string() == text);
            if day.is_none() {
                is_right = false;
                reader.report("config.date", node.at, path, format!("`{text}` is not a date"), "write `2026-12-24`");
            }
            day
        };
        let days = self.list(node, path, day).into_iter().map(|it| it.value).collect();
        is_right.then_some(days)
    }
}

/// What the form and the clock take, not only what a time looks like.
fn help_of_within(form: Option<FormName>, is_working: bool) -> &'static str {
    match (form == Some(FormName::Share), is_working) {
        (true, true) => "write a time in hours, for example `4h`",
        (true, false) => "write hours or days, `1h` to `14d`",
        (false, true) => "write a time in hours, for example `16h`",
        (false, false) => "write `1h` to `366d`",
    }
}

fn example(key: &str) -> &'static str {
    match key {
        "measure" => "pickup",
        "within" => "4h",
        "share" => "0.8",
        "metric" => "docs-share",
        _ => "10",
    }
}

/// A goal about a metric is about a share by week.
pub(super) fn goals_are_of_shares(draft: &Draft, problems: &mut Vec<Problem>) {
    for goal in &draft.goals {
        let GoalForm::Metric { metric, .. } = &goal.value.form else { continue };
        let found = draft.metrics.iter().map(|it| &it.value).find(|it| it.id == *metric);
        let message = match found {
            // One that could not be read was already reported.
            None if problems.iter().any(|problem| problem.path.starts_with("metrics[")) => continue,
            None => format!("there is no metric `{metric}` in this file"),
            Some(it) if it.statistic != MetricStatistic::Share => format!("the metric `{metric}` is no share"),
            Some(it) if it.by != MetricInterval::Week => format!("the metric `{metric}` is not by week"),
            Some(_) => continue,
        };
        let help = "name one of `metrics` that is by week and has `statistic: share`";
        problems.push(problem(CODE, goal, message, help));
    }
}

/// Goals of one id are revisions of it: for the same team, and one after the other.
pub(super) fn goals_of_one_id_follow_each_other(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&GoalId, Vec<&Placed<GoalEntry>>> = HashMap::new();
    for goal in &draft.goals {
        let earlier = seen.entry(&goal.value.id).or_default();
        let is_other = |other: &&&Placed<GoalEntry>| {
            let periods = goal.value.period().zip(other.value.period());
            other.value.team != goal.value.team || periods.is_none_or(|(one, other)| one.overlaps(&other))
        };
        if let Some(other) = earlier.iter().find(is_other) {
            let message = format!("there is another goal `{}` at the same time, or of another team", goal.value.id);
            let help = "give it an id of its own; of a changed goal, end the former one where the new one starts";
            let mut problem = problem(CODE, goal, message, help);
            problem.related = Some(other.at);
            problems.push(problem);
        }
        earlier.push(goal);
    }
}
