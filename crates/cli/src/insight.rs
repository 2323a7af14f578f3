//! What the history of teams says, as a text table: for `show` and `report`.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use mergeline_api::{changes_json, forecast_json, reviews_json, time_json};
use mergeline_domain::TeamSlug;
use mergeline_domain::insight::{ChangeReport, ChangeState, Horizon, MetricUnit, Phase};
use mergeline_domain::metrics::RangeRequest;
use mergeline_reporting::{
    MetricChange, Report, ReportKind, ReportStatistics, ReviewsOfTeam, TeamChanges, TeamForecast, TeamMetrics, TeamTime,
};
use mergeline_store::Reader;
use serde_json::{Map, Value};

use crate::custom;
use crate::failure::Failure;
use crate::reviews;
use crate::tables::{Layout, align, table_of_names};

/// What is known of a team beyond the numbers of its weeks.
pub(crate) struct Insight {
    changes: TeamChanges,
    forecast: TeamForecast,
    /// Of the range.
    time: TeamTime,
    /// What the teams file defines, of the range.
    custom: TeamMetrics,
    /// Of the range, too.
    reviews: ReviewsOfTeam,
    /// All of it as in the API, by the last part of the path.
    json: Map<String, Value>,
}

impl Insight {
    /// Asks for a team: where the time of the range goes, who reviews for whom, and what all of its history says.
    pub(crate) async fn of(
        store: &Reader,
        team: &TeamSlug,
        range: RangeRequest,
        now: DateTime<Utc>,
    ) -> Result<Self, Failure> {
        let mut json = Map::new();
        // Each report holds a connection, so none outlives its numbers.
        let changes = {
            let mut report = Report::of_team(store, ReportKind::Change, team, RangeRequest::DEFAULT, now).await?;
            let changes = report.changes().await?;
            json.insert("change".to_owned(), changes_json(&report, &changes)?);
            changes
        };
        let forecast = {
            let mut report = Report::of_team(store, ReportKind::Forecast, team, RangeRequest::DEFAULT, now).await?;
            let forecast = report.forecast(Horizon::QUARTER, None).await?;
            json.insert("forecast".to_owned(), forecast_json(&report, &forecast)?);
            forecast
        };
        let time = {
            let mut report = Report::of_team(store, ReportKind::Time, team, range, now).await?;
            let time = report.time().await?;
            json.insert("time".to_owned(), time_json(&report, &time)?);
            time
        };
        let (custom, custom_json) = custom::of_team(store, team, range, None, now).await?;
        json.insert("custom".to_owned(), custom_json);
        let mut report = Report::of_team(store, ReportKind::Reviews, team, range, now).await?;
        let reviews = report.reviews().await?;
        json.insert("reviews".to_owned(), reviews_json(&report, &reviews)?);
        Ok(Self { changes, forecast, time, custom, reviews, json })
    }

    /// As in the API, by the last part of the path.
    pub(crate) fn into_json(self) -> Map<String, Value> {
        self.json
    }

    /// The cells of its row.
    fn cells(&self, statistics: &ReportStatistics, has_memberships: bool) -> Vec<String> {
        let none = || "-".to_owned();
        let capacity = statistics.capacity.filter(|_| has_memberships);
        let fte_weeks = capacity.and_then(|it| it.fte_weeks).map_or_else(none, |weeks| format!("{weeks:.1}"));
        let merged = capacity.and_then(|it| it.merged_per_fte_week).map_or_else(none, |merged| format!("{merged:.2}"));
        let shares = self.time.flow.until_merge.phases.iter();
        let shares = shares.map(|it| it.share.map_or_else(none, |share| format!("{:.0} %", share * 100.0)));
        let total = self.forecast.forecast.as_ref().and_then(|it| it.totals.last());
        // Rounded up, it would be more than what is that probable.
        let likely = |of: Option<f64>| of.map_or_else(none, |total| format!("{:.0}", total.floor()));
        let mut cells = vec![self.changes.team.name.clone(), fte_weeks, merged];
        cells.extend(shares);
        cells.extend([likely(total.map(|it| it.p15)), likely(total.map(|it| it.p50))]);
        cells
    }

    /// The last lasting change of each of its numbers.
    fn lines(&self) -> Vec<String> {
        let line = |report: &ChangeReport, what: &str, unit: &str, of: &str| {
            report.changes.last().map(|change| {
                let (team, since) = (&self.changes.team.name, change.since);
                let people =
                    change.fte.map(|it| format!("; the team changed from {:.1} to {:.1} people", it.from, it.to));
                format!(
                    "{team}: since {since} {what} is {:.1}{unit} instead of {:.1}{unit}, of {} and {} {of}{}",
                    change.to,
                    change.from,
                    change.n_since,
                    change.n_before,
                    people.unwrap_or_default()
                )
            })
        };
        let merged = line(&self.changes.merged, "merged by week", "", "pull requests");
        let cycle_time = line(&self.changes.cycle_time, "the time from opening to merge", " h", "pull requests");
        let metrics = self.changes.metrics.iter().filter_map(|MetricChange { metric, change }| {
            let unit = if metric.unit() == MetricUnit::Hours { " h" } else { "" };
            line(change, &metric.name, unit, &metric.of.things())
        });
        merged.into_iter().chain(cycle_time).chain(metrics).collect()
    }

    fn is_watched(&self) -> bool {
        self.changes.merged.state == ChangeState::Watching
    }
}

/// A table of teams, each with the numbers of the same range; what has lastingly changed stands below it, and
/// then who reviews for whom. Without memberships of a teams
/// file nobody knows how many people there were.
pub(crate) fn table(teams: &[(&ReportStatistics, Insight)], has_memberships: bool, layout: Layout) -> String {
    let Some((first, _)) = teams.first() else { return String::new() };
    let mut text = layout.lines(&format!(
        "People and time since {}: merged for each week of a whole person (fte_weeks@1); shares of the time until the merge \
         (time_share@1); how many will be merged in the next 12 weeks: at least so many in 85 of 100 cases (likely), and in 50 of 100 (even odds) \
         (forecast@1, from 26 complete weeks on)\n",
        first.range.from
    ));
    let phases = Phase::UNTIL_MERGE.iter().map(ToString::to_string);
    let header: Vec<String> = ["team", "FTE weeks", "per week"].map(str::to_owned).into_iter().chain(phases).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).chain(["likely", "even odds"]).collect();
    let rows = teams.iter().map(|(statistics, insight)| insight.cells(statistics, has_memberships)).collect();
    let mut table = table_of_names(&header, rows, layout);
    align(&mut table);
    let _ = writeln!(text, "{table}");
    let mut lines: Vec<String> = teams.iter().flat_map(|(_, insight)| insight.lines()).collect();
    if lines.is_empty() {
        let is_known = teams.iter().any(|(_, insight)| insight.is_watched());
        let nothing = "Nothing has lastingly changed";
        let unknown = "Lasting changes show from 26 complete weeks on, with 3 merges a week or more";
        lines.push(if is_known { nothing } else { unknown }.to_owned());
    }
    for line in lines {
        text.push_str(&layout.lines(&format!("{line} (change@1)\n")));
    }
    let reviews: Vec<&ReviewsOfTeam> = teams.iter().map(|(_, insight)| &insight.reviews).collect();
    let custom: Vec<&TeamMetrics> = teams.iter().map(|(_, insight)| &insight.custom).collect();
    for part in [reviews::table(&reviews, &first.range.from.to_string(), layout), custom::table(&custom, layout)] {
        if !part.is_empty() {
            text = format!("{}\n\n{part}", text.trim_end());
        }
    }
    text
}
