//! What a team's week was, in sentences.

use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use mergeline_domain::insight::{ChangeReport, GoalRevision, GoalState, MetricUnit};
use mergeline_domain::metrics::{Durations, Incomplete, MeasureKind, RangeRequest};
use mergeline_domain::{TeamSlug, Weight, count_of};
use mergeline_reporting::{
    JudgedGoal, MetricChange, PeriodNumbers, Report, ReportError, ReportKind, TeamChanges, TeamSummary, TeamTime,
};
use mergeline_store::Reader;

use crate::message::{Line, Link, Message, Section};

/// So many open pull requests are listed.
const MOST_OPEN: usize = 20;

/// What a digest may say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DigestOptions {
    /// Whether pull requests have their titles, not only their numbers.
    pub has_titles: bool,
    /// The address of the page, up to `app/`; `None` for no link.
    pub page: Option<String>,
}

/// The digest of a team's week, which starts on a Monday.
///
/// # Errors
/// If the team is unknown, and when the database fails.
pub async fn digest(
    store: &Reader,
    team: &TeamSlug,
    week: NaiveDate,
    options: &DigestOptions,
    now: DateTime<Utc>,
) -> Result<Message, ReportError> {
    of_week(store, team, week, options, now).await.map(|(message, _)| message)
}

/// The digest, and whether all of its week was read.
pub(crate) async fn of_week(
    store: &Reader,
    team: &TeamSlug,
    week: NaiveDate,
    options: &DigestOptions,
    now: DateTime<Utc>,
) -> Result<(Message, bool), ReportError> {
    let prepare = |kind, range| Report::of_team(store, kind, team, range, now);
    // Each report holds a connection, so none outlives its numbers.
    let (summary, footer, hides_ages) = {
        let mut report = prepare(ReportKind::Summary, RangeRequest::Week(week)).await?;
        let summary = report.summary().await?;
        (summary, footer(&report), report.min_group_size() > 0)
    };
    let goals = prepare(ReportKind::Goals, RangeRequest::Week(week)).await?.goals().await?;
    let changes = prepare(ReportKind::Change, RangeRequest::DEFAULT).await?.changes().await?;
    let time = prepare(ReportKind::Time, RangeRequest::Week(week)).await?.time().await?;
    let open = if hides_ages { Vec::new() } else { open_lines(&time, options) };
    let sections = [
        Section::new("Numbers", number_lines(&summary)),
        Section::new("Goals", goals.goals.iter().filter_map(goal_line).collect()),
        Section::new("Lasting changes", change_lines(&changes, week)),
        Section::new("Open longest", open),
    ];
    let address = |page: &String| format!("{page}#/overview?team={team}&week={}", week.format("%G-W%V"));
    let link = options.page.as_ref().map(|page| Link::to_page(address(page)));
    let is_read = summary.period.incomplete.is_empty();
    let message = Message {
        title: format!("{}: {}", summary.team.name, days(week)),
        summary: sentence(&summary.period),
        sections: sections.into_iter().flatten().collect(),
        link,
        footer,
    };
    Ok((message, is_read))
}

/// How far the numbers of a report can be trusted.
pub(crate) fn footer(report: &Report) -> String {
    let as_of = report.coverage().data_as_of.map(|at| format!("Data as of {}", when(at, report.range().zone)));
    let as_of = as_of.unwrap_or_else(|| "Nothing was collected yet".to_owned());
    format!("{as_of}. About a team's delivery, not for judging people.")
}

/// An instant, by the clock of a zone.
pub(crate) fn when(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%b %-d, %Y, %-I:%M %p").to_string()
}

/// A share, in percent.
pub(crate) fn share_of(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

/// `Nov 23 to 29, 2026`.
fn days(week: NaiveDate) -> String {
    let last = week + Days::new(6);
    let (first, end) = match (week.format("%Y").to_string(), week.format("%b").to_string()) {
        (_, month) if month == last.format("%b").to_string() => ("%b %-d", "%-d, %Y"),
        (year, _) if year == last.format("%Y").to_string() => ("%b %-d", "%b %-d, %Y"),
        _ => ("%b %-d, %Y", "%b %-d, %Y"),
    };
    format!("{} to {}", week.format(first), last.format(end))
}

/// What was merged, in a sentence.
fn sentence(period: &PeriodNumbers) -> String {
    if period.incomplete.contains(&Incomplete::NotRead) {
        return "This week was not read.".to_owned();
    }
    let bound = if period.incomplete.is_empty() { "" } else { "At least " };
    let merged = count_of(period.numbers.bucket.prs_merged, "pull request");
    let lasted = durations(period).map(|it| format!(", half within {}", hours(it.p50))).unwrap_or_default();
    let missing: Vec<&str> = period.incomplete.iter().map(|reason| missing(*reason)).collect();
    let why = if missing.is_empty() { String::new() } else { format!(" Missing: {}.", missing.join("; ")) };
    format!("{bound}{merged} merged{lasted}.{why}")
}

/// Why a week is not final, for people.
fn missing(reason: Incomplete) -> &'static str {
    match reason {
        Incomplete::Running => "the rest of the week, which is not over",
        Incomplete::PartlyRead => "what was not read yet",
        Incomplete::NotRead => "all of the week, which was not read",
        Incomplete::Quarantined => "pull requests that could not be read",
        Incomplete::DeploymentsNotRead => "deployments that were not read",
        Incomplete::IncidentsNotRead => "incidents that were not read",
        Incomplete::OutsideRange => "days outside of the range",
    }
}

fn durations(period: &PeriodNumbers) -> Option<Durations> {
    period.numbers.bucket.measure(MeasureKind::CycleTime).durations
}

fn number_lines(summary: &TeamSummary) -> Vec<Line> {
    let (now, before) = (&summary.period, &summary.previous);
    let is_comparable = summary.change.is_some();
    let compared = |text: String| {
        if is_comparable { text } else { "not compared: not both weeks were read completely".to_owned() }
    };
    let count = now.numbers.bucket.prs_merged;
    let by_shares = share(now.numbers.bucket.weight_units);
    let by_shares =
        if by_shares == count.to_string() { String::new() } else { format!(" ({by_shares} by the members' shares)") };
    let merged = format!(
        "Merged: {count}{by_shares}; {}",
        compared(format!("{} in the week before", before.numbers.bucket.prs_merged))
    );
    let mut lines = vec![merged];
    match durations(now) {
        Some(it) => {
            let earlier = durations(before).map_or_else(|| "none".to_owned(), |it| hours(it.p50));
            let earlier = compared(format!("half within {earlier} in the week before"));
            lines.push(format!(
                "Opening to merge: half within {}, nine of ten within {}; {earlier}",
                hours(it.p50),
                hours(it.p90)
            ));
        }
        None if now.numbers.is_suppressed => lines.push("Opening to merge: hidden, by too few people".to_owned()),
        None => {}
    }
    let oldest = summary.open.oldest_seconds.map(|seconds| format!("; the oldest for {}", hours(seconds)));
    lines.push(format!("Open now: {}{}", summary.open.age.n, oldest.unwrap_or_default()));
    lines.iter().map(Line::of).collect()
}

/// What a goal asks for: the team's own sentence, if there is one.
pub(crate) fn asked(revision: &GoalRevision) -> String {
    let text = revision.sentence.clone().unwrap_or_else(|| revision.asks());
    let mut letters = text.trim_end_matches('.').chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// How a goal in force stands.
fn goal_line(goal: &JudgedGoal) -> Option<Line> {
    let asks = asked(&goal.revisions[goal.in_force?]);
    let state = match goal.history.state {
        Some(GoalState::Met) => "met",
        Some(GoalState::Missed) => "missed",
        Some(GoalState::Inconclusive) => "inconclusive",
        Some(GoalState::TooFew) => "too few to tell",
        Some(GoalState::Incomplete) => "not fully read",
        None => "not judged yet",
    };
    let share = goal.last.as_ref().and_then(|week| week.numbers);
    let share = share.map(|it| format!(" ({:.0}% of {} in the last 4 whole weeks)", 100.0 * it.share, it.n));
    let open = goal.history.open.as_ref().filter(|open| !open.breaches.is_empty());
    let open = open.map(|open| format!(" ({} of {} open for too long)", open.breaches.len(), open.open));
    Some(Line::of(format!("{asks}: {state}{}{}", share.unwrap_or_default(), open.unwrap_or_default())))
}

/// What was found in this week, once.
fn change_lines(changes: &TeamChanges, week: NaiveDate) -> Vec<Line> {
    let line = |found: FoundChange| {
        let people = found.people.map(|people| format!("; the team changed {people}")).unwrap_or_default();
        Line::of(format!("{}: {}, {} before{people}", found.what, found.now, found.before))
    };
    changes_found(changes, week).into_iter().map(line).collect()
}

/// A lasting change, in words.
pub(crate) struct FoundChange {
    /// What tells it from other changes of the team.
    pub(crate) subject: String,
    /// `Merged a week`.
    pub(crate) what: String,
    /// `9.5 since Jun 1, 2026`.
    pub(crate) now: String,
    /// `5.7`.
    pub(crate) before: String,
    /// `from 4.0 to 6.0 whole people`, if the team changed, too.
    pub(crate) people: Option<String>,
}

/// The lasting changes that were found with a week.
pub(crate) fn changes_found(changes: &TeamChanges, week: NaiveDate) -> Vec<FoundChange> {
    let number: fn(f64) -> String = |value| format!("{value:.1}");
    let time: fn(f64) -> String = |value| hours(value * 3_600.0);
    let mut watched = vec![
        ("merged".to_owned(), "Merged a week", &changes.merged, number),
        ("cycle time".to_owned(), "Opening to merge", &changes.cycle_time, time),
    ];
    for MetricChange { metric, change } in &changes.metrics {
        let say = if metric.unit() == MetricUnit::Hours { time } else { number };
        watched.push((metric.versioned_id(), &metric.name, change, say));
    }
    let found = |(subject, what, report, say): (String, &str, &ChangeReport, fn(f64) -> String)| {
        let change = report.changes.iter().find(|change| change.found == week)?;
        Some(FoundChange {
            subject,
            what: what.to_owned(),
            now: format!("{} since {}", say(change.to), change.since.format("%b %-d, %Y")),
            before: say(change.from),
            people: change.fte.map(|fte| format!("from {:.1} to {:.1} whole people", fte.from, fte.to)),
        })
    };
    watched.into_iter().filter_map(found).collect()
}

/// What is open longest. Nobody is named.
fn open_lines(time: &TeamTime, options: &DigestOptions) -> Vec<Line> {
    let listed = time.flow.wip_age.open.iter().filter_map(|age| Some((age, time.open.get(&age.id)?)));
    let line = listed.take(MOST_OPEN).map(|(age, it)| {
        let older = age.older_than.map(|share| format!(", longer than {:.0}% of what was merged", 100.0 * share));
        let ready = format!("ready for {}{}", hours(3_600.0 * age.hours), older.unwrap_or_default());
        let text = if options.has_titles { format!("{}: {ready}", it.title) } else { ready };
        Line::with_link(format!("{}#{}", it.repository, it.number), &it.url, text)
    });
    line.collect()
}

fn share(units: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
    let weight = units as f64 / f64::from(Weight::UNITS);
    let text = format!("{weight:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A time in seconds, as people say it.
pub(crate) fn hours(seconds: f64) -> String {
    let hours = seconds / 3_600.0;
    let tenth = |value: f64| format!("{value:.1}").trim_end_matches(".0").to_owned();
    if hours < 1.0 {
        format!("{:.0} min", hours * 60.0)
    } else if hours < 48.0 {
        format!("{} h", tenth(hours))
    } else {
        format!("{} days", tenth(hours / 24.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_an_american_calendar() {
        let of = |text: &str| days(text.parse().expect("a day"));
        assert_eq!(of("2026-11-23"), "Nov 23 to 29, 2026");
        assert_eq!(of("2026-11-30"), "Nov 30 to Dec 6, 2026");
        assert_eq!(of("2026-12-28"), "Dec 28, 2026 to Jan 3, 2027");
    }

    #[test]
    fn times_are_short() {
        assert_eq!([90.0, 3_600.0, 49_320.0, 198_720.0].map(hours), ["2 min", "1 h", "13.7 h", "2.3 days"]);
        assert_eq!([10_000, 25_000, 2_500].map(share), ["1", "2.5", "0.25"]);
    }
}
