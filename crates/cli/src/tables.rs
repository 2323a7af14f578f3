//! Numbers as tables for people.

use std::fmt::Write as _;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use mergeline_domain::{Weight, iso_week, monday_of, start_of_day};
use mergeline_store::{Bucket, Bucketing, Filter, Interval, Statistics, Store, Team};

use crate::failure::Failure;

/// Rows stand close together: a table of weeks is read downwards.
const LINE_BELOW_HEADER: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// The Monday of the week that holds the day so many days ago.
pub(crate) fn monday_before(now: DateTime<Utc>, days: u64, zone: Tz) -> NaiveDate {
    monday_of(now.with_timezone(&zone).date_naive() - Days::new(days))
}

/// The tables of all teams from a Monday up to now: velocity by week, and cycle times over all of them.
pub(crate) async fn all_teams(store: &Store, first: NaiveDate, now: DateTime<Utc>) -> Result<String, Failure> {
    let zone = store.timezone().await?;
    let today = now.with_timezone(&zone).date_naive();
    let monday = monday_before(now, 0, zone);
    let range = (start_of_day(first, zone), start_of_day(today + Days::new(1), zone));
    let mut teams = Vec::new();
    let mut reader = store.reader().await?;
    for team in store.teams(now).await? {
        let bucketing = Bucketing { interval: Interval::Week, zone, counts_fully: false, counts_people: false };
        let statistics = reader.statistics(team.id, &Filter::range(range.0, range.1), &bucketing).await?;
        teams.push((team, statistics));
    }
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Velocity by ISO week, {} (velocity@1): merged pull requests, weighted in brackets",
        zone.name()
    );
    let _ = writeln!(text, "{}", velocity(&teams, monday));
    let _ = writeln!(text, "\nFrom opening to merge since {first} (pr_cycle_time@1; not DORA's change lead time)");
    let _ = writeln!(text, "{}", cycle_times(&teams));
    let _ = write!(text, "\nNot for comparing people, and with care between teams.");
    Ok(text)
}

pub(crate) fn table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(LINE_BELOW_HEADER).set_header(header);
    table
}

/// All columns but the first hold numbers.
fn align(table: &mut Table) {
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn velocity(teams: &[(Team, Statistics)], this_monday: NaiveDate) -> Table {
    let header = std::iter::once("week".to_owned()).chain(teams.iter().map(|(team, _)| team.name.clone()));
    let mut table = table(header.collect());
    let weeks = teams.first().map_or(0, |(_, times)| times.buckets.len());
    for week in 0..weeks {
        let buckets: Vec<&Bucket> = teams.iter().filter_map(|(_, times)| times.buckets.get(week)).collect();
        let Some(start) = buckets.first().map(|bucket| bucket.start) else { continue };
        let running = if start == this_monday { " (running)" } else { "" };
        let label = format!("{}{running}", iso_week(start));
        table.add_row(std::iter::once(label).chain(buckets.into_iter().map(counts)));
    }
    let totals = teams.iter().map(|(_, times)| counts(&times.total));
    table.add_row(std::iter::once("all".to_owned()).chain(totals));
    align(&mut table);
    table
}

fn counts(bucket: &Bucket) -> String {
    let weighted = Weight::format_units(bucket.weighted_units.unsigned_abs());
    format!("{} ({weighted})", bucket.prs_merged)
}

fn cycle_times(teams: &[(Team, Statistics)]) -> Table {
    let header = ["team", "n", "weight", "median", "mean", "p75", "p90", "p95"];
    let mut table = table(header.map(str::to_owned).to_vec());
    for (team, Statistics { total, .. }) in teams {
        let weight = Weight::format_units(total.cycle.weight_units.unsigned_abs());
        let mut row = vec![team.name.clone(), total.cycle.n.to_string(), weight];
        row.extend(match total.cycle.durations {
            Some(times) => {
                // Side by side they are compared: one unit for all of them.
                let all = [times.p50, times.mean, times.p75, times.p90, times.p95];
                all.map(|seconds| duration_beside(seconds, all.into_iter().fold(0.0, f64::max)))
            }
            None => std::array::from_fn(|_| "none".to_owned()),
        });
        table.add_row(row);
    }
    align(&mut table);
    table
}

/// How long ago an instant was, or how long it is until then, in its largest unit.
pub(crate) fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let span = largest_unit((now - at).abs());
    if at <= now { format!("{span} ago") } else { format!("in {span}") }
}

/// A span of time in its largest unit that it has two of: 90 minutes are minutes still, two hours are hours.
pub(crate) fn largest_unit(span: TimeDelta) -> String {
    let unit = [(span.num_days(), "d"), (span.num_hours(), "h"), (span.num_minutes(), "min")];
    let (count, unit) = unit.into_iter().find(|(count, _)| *count >= 2).unwrap_or((span.num_seconds(), "s"));
    format!("{count} {unit}")
}

/// So many of something: `1 run`, `2 runs`.
pub(crate) fn count_of(count: impl std::fmt::Display, what: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// An instant as people of a zone read it.
pub(crate) fn local(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z").to_string()
}

/// Hours with one decimal, days from three of them on.
pub(crate) fn duration(seconds: f64) -> String {
    duration_beside(seconds, seconds)
}

/// The same in the unit of the longest of several durations.
fn duration_beside(seconds: f64, longest: f64) -> String {
    let hours = seconds / 3_600.0;
    if longest < 72.0 * 3_600.0 { format!("{hours:.1} h") } else { format!("{:.1} d", hours / 24.0) }
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
}
