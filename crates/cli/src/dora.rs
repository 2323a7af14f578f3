//! DORA's metrics as a text table.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use mergeline_domain::metrics::{Count, RangeRequest, STALE_AFTER, WarningCode};
use mergeline_reporting::{DoraMetrics, DoraQuery, DoraReport, DoraSubject, Viewer};
use mergeline_store::{DeploymentCoverage, Reader};

use crate::failure::Failure;
use crate::tables::{Layout, Unit, align, table_of_names};

/// A row: a name, and its numbers over the range.
struct Row {
    name: String,
    metrics: DoraMetrics,
}

/// The five metrics of the organization and of these teams over a range; a line that says why not if no deployment is known.
pub(crate) async fn all(
    store: &Reader,
    teams: &[mergeline_domain::TeamSlug],
    range: RangeRequest,
    now: DateTime<Utc>,
    layout: Layout,
) -> Result<String, Failure> {
    let mut rows = Vec::new();
    let mut since = None;
    let of_teams = teams.iter().map(|team| DoraSubject::Team(mergeline_store::TeamSelector::Slug(team.clone())));
    for subject in of_teams.chain([DoraSubject::Organization]) {
        let mut report =
            DoraReport::prepare(store, DoraQuery::new(subject, range), &Viewer::ALL_TEAMS, now, STALE_AFTER).await?;
        if report.deployment_coverage().with_source == 0 {
            return Ok(layout.lines(&why_missing(report.deployment_coverage())));
        }
        since = Some(report.range().from);
        let metrics = report.metrics().await?;
        let name = report.team().map_or_else(|| "all".to_owned(), |team| team.name.clone());
        rows.push(Row { name, metrics });
    }
    Ok(since.map(|since| table(&rows, &since.to_string(), layout)).unwrap_or_default())
}

/// Why there are no metrics of deployments, and how to get them.
fn why_missing(coverage: &DeploymentCoverage) -> String {
    let affected = |code: &str| {
        let names = coverage.problems.iter().filter(|(_, of)| of == code).map(|(repository, _)| repository.as_str());
        Some(names.collect::<Vec<_>>().join(", ")).filter(|names| !names.is_empty())
    };
    let reason = if affected("no_token").is_some() {
        "deployments are read only with a token. Set GITHUB_PAT, and run `mergeline collect`".to_owned()
    } else if let Some(names) = affected("no_permission") {
        format!(
            "the token may not read the deployments of {names}. Give it the permissions *Deployments* and *Contents*, read, and run \
             `mergeline collect`"
        )
    } else if let Some((repository, code)) = coverage.problems.first() {
        format!("the deployments of {repository} could not be read ({code}). `mergeline doctor` says what to do")
    } else if coverage.known_since.is_none() {
        "no deployments were read, which takes a token in GITHUB_PAT, and not COLLECT_DEPLOYMENTS=false".to_owned()
    } else {
        format!(
            "no repository has a deployment at GitHub. `mergeline doctor` says where else they may come from: workflows, releases, \
             merges, or your own program ({})",
            page_of_docs!("events.md")
        )
    };
    format!("DORA's metrics are missing: {reason}.\n")
}

fn table(rows: &[Row], since: &str, layout: Layout) -> String {
    let all = || rows.iter().map(|row| &row.metrics.total);
    let unit = Unit::of(all().filter_map(|total| total.numbers.lead_time.median()));
    let recovery_unit = Unit::of(all().filter_map(|total| total.numbers.time_to_recover()));
    let mut text = layout.lines(&format!(
        "DORA since {since}: production deployments by what they deliver (delivered@1), weighted in brackets, and \
             per calendar day; median change lead time in {}, median time to recover in {}\n",
        unit.name(),
        recovery_unit.name()
    ));
    let header = ["team", "deployments", "per day", "lead time", "failed", "rework", "recovery", "success"];
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
