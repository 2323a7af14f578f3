//! `mergeline metrics …`: the metrics that a teams file defines. Their table is also a part of `show` and `report`.

use std::fmt::Write as _;
use std::io::Write;
use std::process::ExitCode;

use chrono::{DateTime, Utc};
use mergeline_api::custom_json;
use mergeline_domain::TeamSlug;
use mergeline_domain::insight::MetricUnit;
use mergeline_domain::metrics::RangeRequest;
use mergeline_domain::teams_file::TeamsFile;
use mergeline_reporting::{MeasuredMetric, MeasuredUnit, Report, ReportKind, TeamMetrics};
use mergeline_store::Reader;
use serde_json::{Value, json};

use crate::args::{Metrics, Options};
use crate::collecting::teams_source;
use crate::database::collected;
use crate::failure::Failure;
use crate::show::{chosen, without_teams};
use crate::tables::{Layout, align, table_of_names, wrapped};
use crate::terminal;

/// How many of the last weeks or months a table has.
const LAST: usize = 3;

pub(crate) async fn run(command: &Metrics, options: &Options, now: DateTime<Utc>) -> Result<ExitCode, Failure> {
    let file = match command {
        Metrics::Show { .. } => None,
        Metrics::Preview { teams, .. } => Some(teams_source(teams.file.as_ref())?.load_required()?),
    };
    let (Metrics::Show { team } | Metrics::Preview { team, .. }) = command;
    let mut out = terminal::stdout();
    let Some((_database, store)) = collected(options).await? else {
        return without_teams(options);
    };
    let mut found = Vec::new();
    for team in chosen(&store, team.as_deref(), now).await? {
        found.push(of_team(&store, &team, RangeRequest::DEFAULT, file.as_ref(), now).await?);
    }
    store.close().await;
    if options.json {
        let teams: Vec<Value> = found.into_iter().map(|(_, json)| json).collect();
        writeln!(out, "{}", json!({ "teams": teams }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let found: Vec<&TeamMetrics> = found.iter().map(|(found, _)| found).collect();
    if found.iter().all(|found| found.metrics.is_empty()) {
        writeln!(out, "No metrics: see {}.", page_of_docs!("teams.md#metrics-of-your-own"))?;
        return Ok(ExitCode::SUCCESS);
    }
    write!(out, "{}", table(&found, Layout::Terminal))?;
    for MeasuredMetric { metric, .. } in found.first().iter().flat_map(|found| &found.metrics) {
        writeln!(out, "{}", wrapped(&format!("{metric}"), 2))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The metrics in force, or those of a file, for a team: also as in the API.
pub(crate) async fn of_team(
    store: &Reader,
    team: &TeamSlug,
    range: RangeRequest,
    file: Option<&TeamsFile>,
    now: DateTime<Utc>,
) -> Result<(TeamMetrics, Value), Failure> {
    let mut report = Report::of_team(store, ReportKind::Custom, team, range, now).await?;
    let found = match file {
        Some(file) => report.measure(file.metrics.clone()).await?,
        None => report.custom_metrics().await?,
    };
    let json = custom_json(&report, &found)?;
    Ok((found, json))
}

/// A table of the last numbers of each metric and team; empty without metrics.
pub(crate) fn table(teams: &[&TeamMetrics], layout: Layout) -> String {
    let metrics = teams.iter().flat_map(|team| team.metrics.iter().map(|metric| (&team.team.name, metric)));
    let rows: Vec<Vec<String>> = metrics
        .flat_map(|(team, MeasuredMetric { metric, units })| {
            let last = &units[units.len().saturating_sub(LAST)..];
            last.iter().map(move |unit| {
                let n = unit.numbers.map_or_else(|| "hidden".to_owned(), |numbers| numbers.n.to_string());
                // As elsewhere: what may still change has a star.
                let star = if unit.incomplete.is_empty() { "" } else { "*" };
                vec![format!("{team}: {}", metric.name), format!("{}{star}", unit.label), shown(unit, metric.unit()), n]
            })
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = layout.lines("Metrics of the teams file (custom_metric@1); * is not final\n");
    let mut table = table_of_names(&["team: metric", "when", "value", "n"], rows, layout);
    align(&mut table);
    let _ = writeln!(text, "{table}");
    text
}

fn shown(unit: &MeasuredUnit, of: MetricUnit) -> String {
    let Some(value) = unit.value else { return "-".to_owned() };
    match of {
        MetricUnit::Share => format!("{:.0} %", value * 100.0),
        MetricUnit::Hours => format!("{value:.1} h"),
        MetricUnit::Lines => format!("{value:.0} lines"),
        MetricUnit::Files => format!("{value:.1} files"),
        MetricUnit::PullRequests | MetricUnit::Deployments | MetricUnit::Incidents | MetricUnit::Reviews => {
            if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
        }
    }
}
