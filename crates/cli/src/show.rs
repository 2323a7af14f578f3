//! `mergeline show`: the stored numbers as tables.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use mergeline_api::{dora_json, statistics_json};
use mergeline_domain::TeamSlug;
use mergeline_domain::metrics::{RangeRequest, STALE_AFTER};
use mergeline_reporting::{DoraQuery, DoraReport, DoraSubject, Report, ReportKind, ReportStatistics, Viewer};
use mergeline_store::{Reader, Team, TeamSelector};
use serde_json::Value;
use tokio::time::timeout;

use crate::args::{Options, Show};
use crate::database::collected;
use crate::dora;
use crate::failure::Failure;
use crate::insight::{self, Insight};
use crate::status::{NOTHING, not_fully_read};
use crate::tables::{self, Layout};
use crate::terminal;

/// A person waits longer for a table than a program for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What commands about teams say where nothing was ever collected.
pub(crate) fn without_teams(options: &Options) -> Result<ExitCode, Failure> {
    let nothing = if options.json { serde_json::json!({ "teams": [] }).to_string() } else { NOTHING.to_owned() };
    writeln!(terminal::stdout(), "{nothing}")?;
    Ok(ExitCode::SUCCESS)
}

/// `mergeline show`
pub(crate) async fn run(args: &Show, options: &Options, clock: fn() -> DateTime<Utc>) -> Result<ExitCode, Failure> {
    let mut out = terminal::stdout();
    let Some((_database, store)) = collected(options).await? else {
        return without_teams(options);
    };
    let team = match &args.team {
        Some(name) => Some(find(store.teams(clock()).await?, name)?),
        None => None,
    };
    let range = RangeRequest::Lookback(args.last);
    let text = match team {
        _ if options.json => {
            let teams = match team {
                Some(team) => vec![team],
                None => current(&store, clock()).await?,
            };
            as_json(&store, &teams, range, clock()).await?.to_string()
        }
        Some(team) => {
            let (_, statistics) = statistics(&store, &team, ReportKind::Velocity, range, clock()).await?;
            let velocity = tables::one_team(&statistics, clock());
            let insight = Insight::of(&store, &team, range, clock()).await?;
            let insight = insight::table(&[(&statistics, insight)], true, Layout::Terminal);
            with_dora(format!("{velocity}\n\n{insight}"), &store, &[team], range, clock(), Layout::Terminal).await?
        }
        None => everything(&store, range, true, clock(), Layout::Terminal).await?,
    };
    let unread = if options.json { String::new() } else { not_fully_read(&store.repository_statuses().await?) };
    store.close().await;
    writeln!(out, "{text}")?;
    if !unread.is_empty() {
        write!(out, "\n{}", tables::wrapped(&unread, 4))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The tables of all configured teams, and DORA's metrics, or why there are none.
pub(crate) async fn everything(
    store: &Reader,
    range: RangeRequest,
    has_memberships: bool,
    now: DateTime<Utc>,
    layout: Layout,
) -> Result<String, Failure> {
    let teams = current(store, now).await?;
    let mut all = Vec::new();
    for team in &teams {
        all.push(statistics(store, team, ReportKind::Velocity, range, now).await?.1);
    }
    let mut insights = Vec::new();
    for (team, statistics) in teams.iter().zip(&all) {
        insights.push((statistics, Insight::of(store, team, range, now).await?));
    }
    let text =
        format!("{}\n\n{}", tables::all_teams(&all, now, layout), insight::table(&insights, has_memberships, layout));
    with_dora(text.trim_end().to_owned(), store, &teams, range, now, layout).await
}

/// A text, and below it DORA's metrics of these teams and of all, or why there are none.
async fn with_dora(
    text: String,
    store: &Reader,
    teams: &[TeamSlug],
    range: RangeRequest,
    now: DateTime<Utc>,
    layout: Layout,
) -> Result<String, Failure> {
    let dora = dora::all(store, teams, range, now, layout).await?;
    Ok(format!("{text}\n\n{}", dora.trim_end()))
}

/// Velocity and lead time of these teams, in the format of the API.
pub(crate) async fn as_json(
    store: &Reader,
    teams: &[TeamSlug],
    range: RangeRequest,
    now: DateTime<Utc>,
) -> Result<Value, Failure> {
    let mut all = Vec::new();
    for team in teams {
        let mut reports = serde_json::Map::new();
        for (name, kind) in [("velocity", ReportKind::Velocity), ("lead-time", ReportKind::LeadTime)] {
            let (report, statistics) = statistics(store, team, kind, range, now).await?;
            reports.insert(name.to_owned(), statistics_json(&report, &statistics)?);
        }
        let subject = DoraSubject::Team(TeamSelector::Slug(team.clone()));
        let mut report =
            DoraReport::prepare(store, DoraQuery::new(subject, range), &Viewer::ALL_TEAMS, now, STALE_AFTER).await?;
        let metrics = report.metrics().await?;
        reports.insert("dora".to_owned(), dora_json(&report, &metrics)?);
        reports.extend(Insight::of(store, team, range, now).await?.into_json());
        all.push(Value::Object(reports));
    }
    Ok(serde_json::json!({ "teams": all }))
}

pub(crate) async fn statistics(
    store: &Reader,
    team: &TeamSlug,
    kind: ReportKind,
    range: RangeRequest,
    now: DateTime<Utc>,
) -> Result<(Report, ReportStatistics), Failure> {
    let answering = async {
        let mut report = Report::of_team(store, kind, team, range, now).await?;
        let statistics = report.statistics().await?;
        Ok((report, statistics))
    };
    timeout(TIMEOUT, answering).await.unwrap_or_else(|_| {
        let seconds = TIMEOUT.as_secs();
        Err(Failure::Other(anyhow::anyhow!("the database did not answer within {seconds} s; ask for a shorter range")))
    })
}

/// The team with this slug or number; without one, all configured teams.
pub(crate) async fn chosen(store: &Reader, name: Option<&str>, now: DateTime<Utc>) -> Result<Vec<TeamSlug>, Failure> {
    match name {
        Some(name) => Ok(vec![find(store.teams(now).await?, name)?]),
        None => current(store, now).await,
    }
}

/// The slugs of the configured teams.
pub(crate) async fn current(store: &Reader, now: DateTime<Utc>) -> Result<Vec<TeamSlug>, Failure> {
    let teams = store.teams(now).await?.into_iter();
    Ok(teams.filter(|team| team.archived_at.is_none()).map(|team| team.slug).collect())
}

/// Finds a team by its slug or number.
pub(crate) fn find(teams: Vec<Team>, name: &str) -> Result<TeamSlug, Failure> {
    let known: Vec<String> = teams.iter().map(|team| team.slug.to_string()).collect();
    let is_meant = |team: &Team| team.slug.as_str() == name || team.id.0.to_string() == name;
    teams.into_iter().find(is_meant).map(|team| team.slug).ok_or_else(|| {
        let teams = match known.join(", ") {
            known if known.is_empty() => "no team is configured".to_owned(),
            known => format!("the teams are: {known}"),
        };
        Failure::Input(format!("there is no team `{name}`; {teams}"))
    })
}
