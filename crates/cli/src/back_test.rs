//! `mergeline back-test`: how forecasts and lasting changes of the teams would have turned out.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_domain::count_of;
use mergeline_domain::insight::{BackTest, Horizon, WEEKS_NEEDED};
use mergeline_domain::metrics::RangeRequest;
use mergeline_reporting::{Report, ReportKind, TeamBackTest};
use serde_json::{Value, json};

use crate::args::{BackTestOf, Options};
use crate::database::collected;
use crate::failure::Failure;
use crate::show::{chosen, without_teams};
use crate::tables::{Layout, align, table_of_names, wrapped};
use crate::terminal;

/// How many weeks ahead forecasts are tried.
const AHEAD: [usize; 5] = [1, 4, 8, 12, 26];

pub(crate) async fn run(args: &BackTestOf, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let mut out = terminal::stdout();
    let Some((_database, store)) = collected(options).await? else {
        return without_teams(options);
    };
    let teams = chosen(&store, args.team.as_deref(), now).await?;
    let horizons: Vec<Horizon> = AHEAD.iter().filter_map(|weeks| Horizon::new(*weeks)).collect();
    let mut tested = Vec::new();
    for team in teams {
        let mut report = Report::of_team(&store, ReportKind::Change, &team, RangeRequest::DEFAULT, now).await?;
        tested.push(report.back_test(&horizons).await?);
    }
    store.close().await;
    let text = if options.json { as_json(&tested).to_string() } else { as_text(&tested) };
    writeln!(out, "{text}")?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(tested: &[TeamBackTest]) -> Value {
    let team = |it: &TeamBackTest| {
        json!({
            "team": it.team.slug,
            "since": it.since,
            "weeks_known": it.weeks_known,
            "forecasts": it.forecasts,
            "weeks_watched": it.weeks_watched,
            "changes": it.changes,
        })
    };
    json!({ "teams": tested.iter().map(team).collect::<Vec<_>>() })
}

fn as_text(tested: &[TeamBackTest]) -> String {
    let mut text = wrapped(
        "In how many of the last 52 weeks a forecast would have held what was merged then, made from what was known before \
         (forecast@1); and the lasting changes that were found (change@1)\n",
        0,
    );
    let percent = |held: usize, of: &BackTest| {
        let share = 100.0 * ratio(held, of.weeks);
        match of.weeks {
            0 => "-".to_owned(),
            // A percentage of a few would look like more.
            1..=9 => format!("{held} of {}", of.weeks),
            _ => format!("{share:.0} %"),
        }
    };
    let rows = tested.iter().flat_map(|team| {
        team.forecasts.iter().map(move |it| {
            let counts = [it.weeks_ahead, it.weeks].map(|weeks| weeks.to_string());
            let held = [it.held_50, it.held_80, it.held_95].map(|held| percent(held, it));
            [team.team.name.clone()].into_iter().chain(counts).chain(held).collect()
        })
    });
    let header = ["team", "weeks ahead", "tried in", "50 %", "80 %", "95 %"];
    let mut table = table_of_names(&header, rows.collect(), Layout::Terminal);
    align(&mut table);
    let _ = writeln!(text, "{table}");
    for team in tested {
        let name = &team.team.name;
        let known = count_of(team.weeks_known, "complete week");
        let line = if team.weeks_known < WEEKS_NEEDED {
            format!("{name}: {known} of {WEEKS_NEEDED} are known without a gap, so nothing can be tried yet")
        } else {
            let [merged, cycle_time] = team.changes.map(|changes| count_of(changes, "lasting change"));
            let watched = count_of(team.weeks_watched, "week");
            format!("{name}: {known}; {merged} of merges and {cycle_time} of times, looked for in {watched}")
        };
        let _ = writeln!(text, "{}", wrapped(&line, 2));
    }
    text.trim_end().to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 weeks")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
