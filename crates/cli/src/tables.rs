//! Numbers as text tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use mergeline_domain::metrics::{Durations, Incomplete, MeasureKind, Warning, WarningCode};
use mergeline_domain::{Weight, monday_of};
use mergeline_reporting::{BucketNumbers, Numbers, ReportStatistics};
use mergeline_store::Count;

/// No lines between rows: a table of weeks is read downwards.
const LINE_BELOW_HEADER: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// The text width without a terminal.
const USUAL_WIDTH: usize = 80;
/// The space between two columns.
const GAP: usize = 2;
/// The minimum width of a shortened name, even on a narrow terminal.
const SHORTEST_NAME: usize = 12;
/// The maximum width of a team's name in a column header, so that several teams fit side by side.
const LONGEST_TITLE: usize = 30;
/// Warnings that do not apply to the tables: about data that is not shown, or that a 0 already shows.
const NOT_SHOWN: [WarningCode; 3] = [WarningCode::NoData, WarningCode::NoChange, WarningCode::DetailsPending];

const NO_TEAM: &str = "No team is configured: run `mergeline teams apply`, or `mergeline collect`.";

/// Where numbers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Columns and lines as wide as the terminal.
    Terminal,
    /// Markdown as GitHub shows it, for example in the summary of a workflow's run.
    Markdown,
}

impl Layout {
    /// How wide a line may be.
    fn width(self) -> usize {
        match self {
            Self::Terminal => line_width(),
            Self::Markdown => usize::from(u16::MAX),
        }
    }

    /// Lines of text, each of which may be long.
    pub(crate) fn lines(self, text: &str) -> String {
        match self {
            Self::Terminal => wrapped(text, 0),
            // Adjoining lines would become one paragraph, and one below a table a row of it.
            Self::Markdown => {
                text.lines().filter(|line| !line.is_empty()).fold(String::new(), |mut all, line| {
                    let _ = write!(all, "\n{}\n", markdown(line));
                    all
                }) + "\n"
            }
        }
    }

    fn table(self, header: Vec<String>) -> Table {
        match self {
            Self::Terminal => table(header),
            Self::Markdown => {
                let mut table = Table::new();
                table.load_style(comfy_table::presets::ASCII_MARKDOWN).set_header(self.cells(header));
                table
            }
        }
    }

    fn cells(self, cells: Vec<String>) -> Vec<String> {
        match self {
            Self::Terminal => cells,
            Self::Markdown => cells.iter().map(|cell| markdown(cell)).collect(),
        }
    }
}

/// Text as Markdown shows it: no letter of a name means anything else.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '&' | '|' | '#' | '~') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

const SECONDS_OF_HOUR: f64 = 3_600.0;

const CAVEAT: &str = "Not for comparing people, and with care between teams.";

/// The Monday of the week that contains the day `days` days ago.
pub(crate) fn monday_before(now: DateTime<Utc>, days: u64, zone: Tz) -> NaiveDate {
    monday_of(now.with_timezone(&zone).date_naive() - Days::new(days))
}

/// The tables of several teams over one range: velocity by week, and cycle times over all of it.
pub(crate) fn all_teams(teams: &[ReportStatistics], now: DateTime<Utc>, layout: Layout) -> String {
    let Some(range) = teams.first().map(|team| team.range) else { return NO_TEAM.to_owned() };
    let today = now.with_timezone(&range.zone).date_naive();
    let title = "Velocity by ISO week";
    let zone = range.zone.name();
    let mut text = layout.lines(&format!("{title}, {zone} (velocity@1): merged pull requests, weighted in brackets\n"));
    let tables: Vec<String> = velocity(teams, today, layout).iter().map(Table::to_string).collect();
    let _ = writeln!(text, "{}", tables.join("\n\n"));
    let unit = Unit::of(teams.iter().filter_map(|team| cycle_time(&team.total)).flat_map(statistics_of));
    let (unit_name, first) = (unit.name(), range.from);
    let title = format!(
        "\nFrom opening to merge in {unit_name} since {first} (pr_cycle_time@1; not DORA's change lead time)\n"
    );
    text.push_str(&layout.lines(&title));
    let _ = writeln!(text, "{}", cycle_times(teams, unit, layout));
    text.push_str(&notes(teams, today, &NOT_SHOWN, layout));
    text
}

/// The table of one team by week.
pub(crate) fn one_team(team: &ReportStatistics, now: DateTime<Utc>) -> String {
    let today = now.with_timezone(&team.range.zone).date_naive();
    let rows = || team.buckets.iter().map(|bucket| &bucket.numbers).chain([&team.total]);
    let unit = Unit::of(rows().flat_map(|numbers| shown(numbers).into_iter().flatten()));
    let mut text = String::new();
    let _ = writeln!(text, "{} by ISO week, {}", team.name(), team.range.zone);
    let _ = writeln!(
        text,
        "merged pull requests, weighted in brackets (velocity@1); median and p75 from opening to merge (pr_cycle_time@1), \
         and medians of the phases (pr_phases@1), in {}",
        unit.name()
    );
    let text = wrapped(&text, 0);
    let header = ["week", "merged", "people", "median", "p75", "coding", "pickup", "review"];
    let mut table = table(header.map(str::to_owned).to_vec());
    let labels = team.buckets.iter().map(|bucket| label(bucket, today)).chain(["all".to_owned()]);
    let merged = team.buckets.iter().map(counts_of).chain([counts(&team.total)]);
    for ((label, merged), numbers) in labels.zip(merged).zip(rows()) {
        let durations = shown(numbers).map(|seconds| unit.cell(seconds, numbers.is_suppressed));
        let people = if merged == "-" { merged.clone() } else { numbers.bucket.contributors.to_string() };
        let counts = [label, merged, people];
        table.add_row(counts.into_iter().chain(durations));
    }
    align(&mut table);
    format!("{text}{table}\n{}", notes(std::slice::from_ref(team), today, &NOT_SHOWN[..2], Layout::Terminal))
}

/// The durations of a row of one team's table, in seconds.
fn shown(numbers: &Numbers) -> [Option<f64>; 5] {
    let median = |kind| numbers.bucket.measure(kind).durations.map(|durations| durations.p50);
    let p75 = cycle_time(numbers).map(|durations| durations.p75);
    let [coding, pickup, review] = [MeasureKind::Coding, MeasureKind::Pickup, MeasureKind::Review].map(median);
    [median(MeasureKind::CycleTime), p75, coding, pickup, review]
}

fn cycle_time(numbers: &Numbers) -> Option<Durations> {
    numbers.bucket.measure(MeasureKind::CycleTime).durations
}

/// Median, mean and the higher percentiles, in seconds.
fn statistics_of(durations: Durations) -> [f64; 5] {
    let Durations { mean, p50, p75, p90, p95, median_interval: _ } = durations;
    [p50, mean, p75, p90, p95]
}

pub(crate) fn table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(LINE_BELOW_HEADER).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 1));
    }
    table
}

/// A table of counts by kind and place.
pub(crate) fn counts_table(kinds: &[(&str, &[Count])]) -> Table {
    let mut table = table(["what", "where", "count"].map(str::to_owned).to_vec());
    for (kind, counts) in kinds {
        for (index, count) in counts.iter().enumerate() {
            let kind = if index == 0 { *kind } else { "" };
            table.add_row([kind, &count.name, &count.count.to_string()]);
        }
    }
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A table with names in the first column, shortened so that the other columns fit on the line.
pub(crate) fn table_of_names(header: &[&str], rows: Vec<Vec<String>>, layout: Layout) -> Table {
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str).chain([header[column]]);
        GAP + cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let others: usize = (1..header.len()).map(width_of).sum();
    let room = layout.width().saturating_sub(GAP + others).max(SHORTEST_NAME);
    let mut table = layout.table(header.iter().map(|&title| title.to_owned()).collect());
    for mut row in rows {
        if let Some(name) = row.first_mut() {
            *name = shortened(name, room);
        }
        table.add_row(layout.cells(row));
    }
    table
}

/// A name in at most `width` characters. A longer name loses its middle, because names often differ at their ends.
fn shortened(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let kept = width.saturating_sub(1);
    let (start, end) = (kept.div_ceil(2), kept / 2);
    name.chars().take(start).chain(['…']).chain(name.chars().skip(length - end)).collect()
}

/// Aligns all columns except the first to the right: they hold numbers.
pub(crate) fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

/// Velocity by week, one column per team. Teams that do not fit on a line continue in a table below.
fn velocity(teams: &[ReportStatistics], today: NaiveDate, layout: Layout) -> Vec<Table> {
    let labels =
        teams.first().map_or_else(Vec::new, |team| team.buckets.iter().map(|bucket| label(bucket, today)).collect());
    let columns = teams.iter().map(|team| {
        let rows = team.buckets.iter().map(counts_of).chain([counts(&team.total)]);
        std::iter::once(shortened(team.name(), LONGEST_TITLE)).chain(rows).collect::<Vec<String>>()
    });
    let width_of = |cells: &[String]| GAP + cells.iter().map(|cell| cell.chars().count()).max().unwrap_or_default();
    let room = layout.width().saturating_sub(GAP + labels.iter().map(String::len).max().unwrap_or_default());
    let mut groups: Vec<Vec<Vec<String>>> = Vec::new();
    let mut used = usize::MAX;
    for cells in columns {
        let width = width_of(&cells);
        match groups.last_mut() {
            Some(group) if used + width <= room => {
                used += width;
                group.push(cells);
            }
            _ => {
                used = width;
                groups.push(vec![cells]);
            }
        }
    }
    let labels: Vec<String> = ["week".to_owned()].into_iter().chain(labels).chain(["all".to_owned()]).collect();
    let row = |group: &[Vec<String>], index: usize| {
        let cells = group.iter().map(|cells| cells.get(index).cloned().unwrap_or_default());
        labels.get(index).cloned().into_iter().chain(cells).collect::<Vec<String>>()
    };
    groups
        .iter()
        .map(|group| {
            let mut table = layout.table(row(group, 0));
            for index in 1..labels.len() {
                table.add_row(layout.cells(row(group, index)));
            }
            align(&mut table);
            table
        })
        .collect()
}

/// The label of a week, marked if it is running or not complete.
fn label(bucket: &BucketNumbers, today: NaiveDate) -> String {
    let mark = match bucket {
        bucket if is_running(bucket, today) => " (running)",
        bucket if !bucket.is_complete() => " *",
        _ => "",
    };
    format!("{}{mark}", bucket.label)
}

fn is_running(bucket: &BucketNumbers, today: NaiveDate) -> bool {
    today < bucket.end
}

/// The counts of a week; nothing where nothing of it was read, because 0 would be a number.
fn counts_of(bucket: &BucketNumbers) -> String {
    let is_unread = bucket.incomplete.contains(&Incomplete::NotRead) && bucket.numbers.bucket.prs_merged == 0;
    if is_unread { "-".to_owned() } else { counts(&bucket.numbers) }
}

fn counts(numbers: &Numbers) -> String {
    format!("{} ({})", numbers.bucket.prs_merged, weight(numbers.bucket.weight_units))
}

fn weight(units: i64) -> String {
    Weight::format_units(units.unsigned_abs())
}

fn cycle_times(teams: &[ReportStatistics], unit: Unit, layout: Layout) -> Table {
    let header = ["team", "n", "weight", "median", "mean", "p75", "p90", "p95"];
    let rows = teams.iter().map(|team| {
        let measure = team.total.bucket.measure(MeasureKind::CycleTime);
        let durations = measure.durations.map_or([None; 5], |durations| statistics_of(durations).map(Some));
        let durations = durations.map(|seconds| unit.cell(seconds, team.total.is_suppressed));
        let counts = [team.name().to_owned(), measure.n.to_string(), weight(measure.weight_units)];
        counts.into_iter().chain(durations).collect()
    });
    let mut table = table_of_names(&header, rows.collect(), layout);
    align(&mut table);
    table
}

/// Notes about the tables, one paragraph each.
fn notes(teams: &[ReportStatistics], today: NaiveDate, left_out: &[WarningCode], layout: Layout) -> String {
    let mut text = "\n".to_owned();
    let is_partly_read = |bucket: &BucketNumbers| !bucket.is_complete() && !is_running(bucket, today);
    if teams.iter().any(|team| team.buckets.iter().any(is_partly_read)) {
        text.push_str(
            "* Not complete: part of that week was not read or not requested, and nothing of it where there is a `-`. `mergeline status` \
             says why.\n",
        );
    }
    let mut said = BTreeSet::new();
    for team in teams {
        for warning in team.warnings.iter().filter(|warning| !left_out.contains(&warning.code)) {
            let line = line_of(warning);
            if !said.insert(line.clone()) {
                continue;
            }
            let is_of_all = teams.iter().all(|team| team.warnings.contains(warning));
            let whose = if is_of_all { String::new() } else { format!("{}: ", team.name()) };
            let _ = writeln!(text, "{whose}{line}");
        }
    }
    text.push_str(CAVEAT);
    layout.lines(&text)
}

/// A warning as a line below a table. It must not refer to `coverage`, which only the API has.
fn line_of(warning: &Warning) -> String {
    warning.to_string().replace("; see coverage", "")
}

/// The unit of all durations in a table. They share one because readers compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Minutes,
    Hours,
    Days,
}

impl Unit {
    /// Days if all durations are at least 48 hours, minutes if all are below 2 hours, else hours.
    pub(crate) fn of(seconds: impl Iterator<Item = f64>) -> Self {
        let (shortest, longest) =
            seconds.fold((f64::INFINITY, 0.0_f64), |(s, l), seconds| (s.min(seconds), l.max(seconds)));
        match (shortest / SECONDS_OF_HOUR, longest / SECONDS_OF_HOUR) {
            (shortest, _) if shortest.is_finite() && shortest >= 48.0 => Self::Days,
            (shortest, longest) if shortest.is_finite() && longest < 2.0 => Self::Minutes,
            _ => Self::Hours,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Minutes => "minutes",
            Self::Hours => "hours",
            Self::Days => "days",
        }
    }

    pub(crate) fn cell(self, seconds: Option<f64>, is_suppressed: bool) -> String {
        match seconds {
            Some(seconds) => {
                let value = match self {
                    Self::Minutes => seconds / 60.0,
                    Self::Hours => seconds / SECONDS_OF_HOUR,
                    Self::Days => seconds / SECONDS_OF_HOUR / 24.0,
                };
                format!("{value:.1}")
            }
            None if is_suppressed => "hidden".to_owned(),
            None => "-".to_owned(),
        }
    }
}

/// The line width in characters: the terminal's, at least 40; 80 without a terminal.
pub(crate) fn line_width() -> usize {
    Table::new().width().map_or(USUAL_WIDTH, |width| usize::from(width).max(40))
}

/// Text for standard output: wrapped on a terminal, unwrapped elsewhere, so that programs can search it.
pub(crate) fn wrapped_for_people(text: &str, indent: usize) -> String {
    if io::stdout().is_terminal() { wrapped(text, indent) } else { text.to_owned() }
}

/// Wraps long lines between words and indents continuation lines by `indent` spaces. A word that is longer than a line
/// is broken too.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    wrapped_to(text, line_width(), indent)
}

fn wrapped_to(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let mut used = 0;
        for (index, word) in line.split(' ').enumerate() {
            let length = word.chars().count();
            if index > 0 && used + 1 + length > width {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                used = indent;
            } else if index > 0 {
                out.push(' ');
                used += 1;
            }
            for character in word.chars() {
                if used == width && width > indent {
                    out.push('\n');
                    out.extend(std::iter::repeat_n(' ', indent));
                    used = indent;
                }
                out.push(character);
                used += 1;
            }
        }
        out.push_str(end);
    }
    out
}

/// The time since or until an instant, in its largest unit.
pub(crate) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let span = largest_unit((now - at).abs());
    if at <= now { format!("{span} ago") } else { format!("in {span}") }
}

/// A time span in the largest unit with a count of at least two: 90 minutes stay minutes, two hours become hours.
pub(crate) fn largest_unit(span: TimeDelta) -> String {
    let unit = [(span.num_days(), "d"), (span.num_hours(), "h"), (span.num_minutes(), "min")];
    let (count, unit) = unit.into_iter().find(|(count, _)| *count >= 2).unwrap_or((span.num_seconds(), "s"));
    format!("{count} {unit}")
}

/// An instant in local time.
pub(crate) fn local(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
}

/// Hours with one decimal, or days from three days on.
pub(crate) fn duration(seconds: f64) -> String {
    let hours = seconds / 3_600.0;
    if seconds < 72.0 * 3_600.0 { format!("{hours:.1} h") } else { format!("{:.1} d", hours / 24.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let now = DateTime::from_timestamp(10_000_000, 0).expect("in range");
        let ages = [0, 119, 120, 7_199, 7_200, 172_799, 172_800, -7_200].map(|s| ago(now - TimeDelta::seconds(s), now));
        assert_eq!(
            ages,
            ["0 s ago", "119 s ago", "2 min ago", "119 min ago", "2 h ago", "47 h ago", "2 d ago", "in 2 h"]
        );
    }

    #[test]
    fn durations_in_one_table_share_a_unit() {
        let unit = |hours: &[f64]| Unit::of(hours.iter().map(|hours| hours * SECONDS_OF_HOUR));
        assert_eq!(unit(&[16.5, 19.2]), Unit::Hours);
        assert_eq!(unit(&[0.5, 900.0]), Unit::Hours, "days would make the short one 0.0");
        assert_eq!(unit(&[48.0, 900.0]), Unit::Days);
        assert_eq!(unit(&[0.5, 1.9]), Unit::Minutes);
        assert_eq!(unit(&[]), Unit::Hours);
        assert_eq!(Unit::Hours.cell(Some(16.54 * SECONDS_OF_HOUR), false), "16.5");
        assert_eq!([Unit::Days.cell(None, false), Unit::Days.cell(None, true)], ["-", "hidden"]);
    }

    #[test]
    fn a_long_name_is_shortened_in_the_middle() {
        assert_eq!([5, 6, 7].map(|width| shortened("abcdefg", width)), ["ab…fg", "abc…fg", "abcdefg"]);
        assert_eq!(shortened("größer", 4), "gr…r");
    }

    #[test]
    fn long_lines_wrap_at_words_and_indent_continuations() {
        assert_eq!(wrapped_to("one two three\nfour", 8, 2), "one two\n  three\nfour");
        assert_eq!(wrapped_to("  * unbreakable b", 6, 2), "  *\n  unbr\n  eaka\n  ble\n  b");
        assert_eq!(wrapped_to("acme/a-name: why", 8, 2), "acme/a-n\n  ame:\n  why");
        assert_eq!(wrapped_to("ends\n", 80, 2), "ends\n");
    }
}
