//! DORA's metrics as a text table.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use mergeline_domain::metrics::{Count, RangeRequest, STALE_AFTER, WarningCode};
use mergeline_reporting::{DoraMetrics, DoraQuery, DoraReport, DoraSubject, Viewer};
use mergeline_store::Reader;

use crate::failure::Failure;
use crate::tables::{Layout, Unit, align, table_of_names};

/// A row: a name, and its numbers over the range.
struct Row {
    name: String,
    metrics: DoraMetrics,
}

/// The five metrics of the organization and of these teams over a range; `None` if no deployment is known.
pub(crate) async fn all(
    store: &Reader,
    teams: &[mergeline_domain::TeamSlug],
    range: RangeRequest,
    now: DateTime<Utc>,
    layout: Layout,
) -> Result<Option<String>, Failure> {
    let mut rows = Vec::new();
    let mut since = None;
    let of_teams = teams.iter().map(|team| DoraSubject::Team(mergeline_store::TeamSelector::Slug(team.clone())));
    for subject in of_teams.chain([DoraSubject::Organization]) {
        let mut report =
            DoraReport::prepare(store, DoraQuery::new(subject, range), &Viewer::ALL_TEAMS, now, STALE_AFTER).await?;
        if report.deployment_coverage().with_source == 0 {
            return Ok(None);
        }
        since = Some(report.range().from);
        let metrics = report.metrics().await?;
        let name = report.team().map_or_else(|| "all".to_owned(), |team| team.name.clone());
        rows.push(Row { name, metrics });
    }
    Ok(since.map(|since| table(&rows, &since.to_string(), layout)))
}

fn table(rows: &[Row], since: &str, layout: Layout) -> String {
    let all = || rows.iter().map(|row| &row.metrics.total);
    let unit = Unit::of(all().filter_map(|total| total.numbers.lead_time.median()));
    let recovery_unit = Unit::of(all().filter_map(|total| total.numbers.time_to_recover()));
    let mut text = layout.lines(&format!(
            "DORA since {since}: production deployments by what they deliver (delivered@1), weighted in brackets; median change \
             lead time in {}, median time to recover in {}\n",
            unit.name(),
            recovery_unit.name()
    ));
    let header = ["team", "deployments", "a day", "lead time", "failed", "rework", "recovery", "success"];
    let cells = rows.iter().map(|row| {
        let total = &row.metrics.total;
        let deployments = &total.numbers.deployments;
        let succeeded = deployments.succeeded;
        let percent = |part: Count, whole: Count| {
            part.weighted_rate_of(whole).map_or_else(|| "-".to_owned(), |rate| format!("{:.1} %", rate * 100.0))
        };
        vec![
            row.name.clone(),
            format!("{} ({:.2})", succeeded.n, succeeded.share.as_part()),
            total.frequency().map_or_else(|| "-".to_owned(), |(_, weighted)| format!("{weighted:.2}")),
            unit.cell(total.numbers.lead_time.median(), false),
            percent(deployments.failed, succeeded),
            percent(deployments.rework, succeeded),
            recovery_unit.cell(total.numbers.time_to_recover(), false),
            percent(succeeded, deployments.finished),
        ]
    });
    let mut table = table_of_names(&header, cells.collect(), layout);
    align(&mut table);
    let _ = writeln!(text, "{table}");
    let mut said = Vec::new();
    let of_deployments = |code: WarningCode| {
        matches!(
            code,
            WarningCode::AssumedDeployments
                | WarningCode::DeploymentsNotRead
                | WarningCode::IncidentsNotRead
                | WarningCode::OpenIncidents
                | WarningCode::UnfinishedDeployments
                | WarningCode::UnknownHistory
                | WarningCode::FirstDeploymentInRange
                | WarningCode::UnattributedShare
        )
    };
    for warning in rows.iter().flat_map(|row| &row.metrics.warnings).filter(|warning| of_deployments(warning.code)) {
        let line = warning.to_string();
        if !said.contains(&line) {
            text.push_str(&layout.lines(&format!("{line}\n")));
            said.push(line);
        }
    }
    text
}
