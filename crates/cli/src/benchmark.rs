//! Public repositories beside teams, and `mergeline benchmark export`: teams, rounded so far that they may be given away.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use mergeline_domain::benchmark::{Benchmark as PublicBenchmark, HoursOfMany, two_digits};
use mergeline_domain::insight::SMALLEST_SPREAD;
use mergeline_domain::metrics::{MeasureKind, RangeRequest};
use mergeline_domain::{count_of, monday_of};
use mergeline_reporting::{Numbers, ReportKind, ReportStatistics};
use mergeline_store::Reader;
use serde_json::{Value, json};

use crate::args::{Benchmark, Options};
use crate::database::collected;
use crate::failure::Failure;
use crate::show::{chosen, current, statistics};
use crate::status::NOTHING;
use crate::tables::{Layout, align, table_of_names};
use crate::terminal;

/// How many weeks an export is of.
const WEEKS: u32 = 26;
/// Fewer pull requests say little, and much about those who made them.
const FEWEST: i64 = 20;
/// An export says only that there were so many, or more.
const CLASSES: [i64; 6] = [20, 50, 100, 200, 500, 1_000];
const ABOUT: [&str; 4] = [
    "Percentiles of teams, from opening to merge, in hours (pr_cycle_time@1), and what they merged a week (velocity@1).",
    "Numbers are rounded to two digits, counts to classes. There are no names of teams, people or repositories, and no sizes of teams.",
    "Teams of fewer than five people who merged, of fewer than 20 pull requests, or with weeks that were not read are left out.",
    "Nobody got this file: Mergeline sends it nowhere. Whether to give it away is up to you.",
];

fn hours(numbers: &Numbers) -> Option<HoursOfMany> {
    let durations = numbers.bucket.measure(MeasureKind::CycleTime).durations.filter(|_| !numbers.is_suppressed)?;
    let [p50, p75, p90] = [durations.p50, durations.p75, durations.p90].map(|seconds| seconds / 3_600.0);
    Some(HoursOfMany { p50, p75, p90 })
}

#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
fn a_week(merged: i64, weeks: f64) -> f64 {
    merged as f64 / weeks
}

/// Teams over a range, and below them the public repositories that come with the program.
pub(crate) async fn table(
    store: &Reader,
    range: RangeRequest,
    now: DateTime<Utc>,
    layout: Layout,
) -> Result<String, Failure> {
    let public = PublicBenchmark::public();
    let row = |name: String, since: NaiveDate, n: String, a_week: f64, hours: Option<HoursOfMany>, none: &str| {
        let cells = hours.map_or([None; 3], |it| [it.p50, it.p75, it.p90].map(Some));
        let cells = cells.map(|hours| hours.map_or_else(|| none.to_owned(), |hours| format!("{hours:.1}")));
        [name, since.to_string(), n, format!("{a_week:.1}")].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let mut rows = Vec::new();
    for team in current(store, now).await? {
        let (_, found) = statistics(store, &team, ReportKind::Velocity, range, now).await?;
        let (total, merged) = (&found.total, found.total.bucket.prs_merged);
        #[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
        let weeks = (found.range.to - found.range.from).num_days() as f64 / 7.0;
        let none = if total.is_suppressed { "hidden" } else { "-" };
        let per_week = a_week(merged, weeks);
        rows.push(row(found.name().to_owned(), found.range.from, merged.to_string(), per_week, hours(total), none));
    }
    for it in &public.repositories {
        let name = format!("{} ({})", it.repository, it.kind);
        rows.push(row(name, it.from, it.n.to_string(), it.merged_a_week, it.cycle_time_hours, "-"));
    }
    let mut text = layout.lines(&format!(
        "Beside {}, which are not companies: n merged since, merged a week, and hours from opening to merge\n",
        public.name
    ));
    let mut table =
        table_of_names(&["team or repository", "since", "n", "a week", "median", "p75", "p90"], rows, layout);
    align(&mut table);
    let _ = writeln!(text, "{table}");
    Ok(text.trim_end().to_owned())
}

/// `mergeline benchmark`
pub(crate) async fn run(command: &Benchmark, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let Benchmark::Export(args) = command;
    let Some((_database, store)) = collected(options).await? else {
        // Standard output is for the file.
        writeln!(terminal::stderr(), "{NOTHING}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let to = monday_of(now.with_timezone(&store.timezone().await?).date_naive());
    let from = to - Days::new(7 * u64::from(WEEKS));
    let range = RangeRequest::Days { from: Some(from), to: Some(to) };
    let teams = chosen(&store, args.team.as_deref(), now).await?;
    let (mut rows, mut left_out) = (Vec::new(), 0_usize);
    for team in &teams {
        let (report, found) = statistics(&store, team, ReportKind::Velocity, range, now).await?;
        let fewest = usize::try_from(report.min_group_size()).unwrap_or_default().max(SMALLEST_SPREAD);
        match exported(&found, fewest) {
            Some(row) => rows.push(row),
            None => left_out += 1,
        }
    }
    store.close().await;
    // Their order would name the teams.
    rows.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let rows: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    let month = format!("{}-{:02}", to.year(), to.month());
    let file =
        json!({ "format": "mergeline-benchmark@1", "about": ABOUT, "until": month, "weeks": WEEKS, "teams": rows });
    writeln!(terminal::stdout(), "{}", serde_json::to_string_pretty(&file)?)?;
    if left_out > 0 {
        let teams = count_of(left_out, "team");
        writeln!(
            terminal::stderr(),
            "{teams} left out: too few people or pull requests, or weeks that were not read."
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What a team gives away, and its median, by which it is sorted; `None` if that would say too much or too little.
fn exported(found: &ReportStatistics, fewest_people: usize) -> Option<(f64, Value)> {
    let total = &found.total;
    let merged = total.bucket.prs_merged;
    let people = usize::try_from(total.bucket.contributors).unwrap_or_default();
    let is_read = found.buckets.iter().all(mergeline_reporting::BucketNumbers::is_complete);
    let hours = hours(total).filter(|_| merged >= FEWEST && people >= fewest_people && is_read)?.rounded();
    let class = CLASSES.iter().rev().find(|least| merged >= **least)?;
    let row = json!({
        "merged_a_week": two_digits(a_week(merged, f64::from(WEEKS))),
        "n": format!("{class} or more"),
        "cycle_time_hours": hours,
    });
    Some((hours.p50, row))
}
