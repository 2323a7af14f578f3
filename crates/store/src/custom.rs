//! The metrics of the teams file: from a definition to numbers.
//!
//! A query is put together from the fragments of this file, which are fixed; what a definition says is only ever a bound value. Team,
//! weights and the groups of people are in each of them.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use mergeline_domain::TeamId;
use mergeline_domain::insight::{
    CustomMetric, EndState, FlagField, MetricFields, MetricMeasure, MetricSelection, MetricStatistic, TextField,
};
use sqlx::types::Json;
use sqlx::{Postgres, QueryBuilder};

use crate::{ReadSession, StoreError};

/// The time that the database has for a metric. Its session waits no longer for anything that comes after it.
const TIME: &str = "set local statement_timeout = '2s'";

/// The numbers of a metric in a calendar unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricBucket {
    /// The first day.
    pub start: NaiveDate,
    /// How many pull requests the value is made of: of a share those that `than` takes, of a measure those that have it.
    pub n: i64,
    /// The sum of their weights in ten-thousandths.
    pub weight_units: i64,
    /// How many `when` takes, of a share those of them that `than` takes, too.
    pub taken: i64,
    /// The value, of a time in seconds; `None` if it is of nothing.
    pub value: Option<f64>,
    /// The fewest people in any of the groups into which the metric divides the team's pull requests; `None` if there are none.
    pub people: Option<i64>,
}

/// The numbers of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricNumbers {
    /// One for each calendar unit, without gaps, also where there is nothing.
    pub buckets: Vec<MetricBucket>,
    /// Whether some of the pull requests have facts that were not read yet.
    pub lacks_details: bool,
}

type Row = (NaiveDate, i64, i64, i64, Option<f64>, Option<i64>, bool);

impl ReadSession {
    /// The metrics of the teams file that is in force.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn custom_metrics(&mut self) -> Result<Vec<CustomMetric>, StoreError> {
        let row = sqlx::query_scalar!(
            r#"select c.metrics as "metrics!: Json<Vec<CustomMetric>>" from configuration_in_force as c"#
        );
        Ok(row.fetch_optional(&mut *self.connection).await?.map(|Json(metrics)| metrics).unwrap_or_default())
    }

    /// The numbers of a metric for a team's pull requests that were merged (or closed, if it is about these) in `[from, to)`, by its
    /// calendar unit in a zone.
    ///
    /// # Errors
    /// [`StoreError::Timeout`] if it takes more than two seconds, and when the database fails otherwise.
    #[tracing::instrument(target = "spans", name = "query", level = "debug", skip_all, fields(query = "custom_metric"))]
    pub async fn custom_metric(
        &mut self,
        metric: &CustomMetric,
        team: TeamId,
        range: (DateTime<Utc>, DateTime<Utc>),
        zone: Tz,
    ) -> Result<MetricNumbers, StoreError> {
        sqlx::query(TIME).execute(&mut *self.connection).await?;
        let mut query = compiled(metric, team, range, zone);
        let rows: Vec<Row> = query.build_query_as().fetch_all(&mut *self.connection).await?;
        let lacks_details = rows.first().is_some_and(|row| row.6);
        let bucket = |(start, n, weight_units, taken, value, people, _): Row| MetricBucket {
            start,
            n,
            weight_units,
            taken,
            value,
            people,
        };
        Ok(MetricNumbers { buckets: rows.into_iter().map(bucket).collect(), lacks_details })
    }
}

/// The groups into which the metric divides the pull requests, up to the value: none may be of too few people, also not what is left over.
const GROUPS: &str = " as is_counted
        from stored as s
    ),

    groups as (
        select c.bucket, count(distinct c.author_id) as people
        from counted as c
        group by c.bucket, c.is_merged, c.is_taken, c.is_of, c.value is null
    ),

    smallest as (
        select g.bucket, min(g.people) as people
        from groups as g
        group by g.bucket
    ),

    numbers as (
        select
            c.bucket,
            count(*) filter (where c.is_counted) as n,
            coalesce(sum(c.units) filter (where c.is_counted), 0) as units,
            count(*) filter (where c.is_taken and c.is_of) as taken,
            (";

/// From the value to the calendar.
const CALENDAR: &str = ")::double precision as value
        from counted as c
        group by c.bucket
    ),

    calendar as (
        select generate_series(date_trunc(";

/// From the calendar to the value that is shown.
const SHOWN: &str = "::timestamptz
    )

    select
        d.bucket,
        coalesce(n.n, 0),
        coalesce(n.units, 0)::bigint,
        coalesce(n.taken, 0),
        ";

/// What comes after the value.
const END: &str = ",
        s.people,
        exists (select from stored as l where l.lacks_details)
    from calendar as d
    left join numbers as n on d.bucket = n.bucket
    left join smallest as s on d.bucket = s.bucket
    order by d.bucket";

/// The query of a metric.
fn compiled(
    metric: &CustomMetric,
    team: TeamId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    zone: Tz,
) -> QueryBuilder<Postgres> {
    let unit: &'static str = metric.by.into();
    let mut query = QueryBuilder::new("with ");
    push_stored(&mut query, metric, team, (from, to), zone);
    query
        .push("), counted as (select s.*, ")
        .push(counted(metric.statistic))
        .push(GROUPS)
        .push(value(metric.statistic));
    if let Some(percentile) = metric.statistic.percentile() {
        query.push(", array[").push_bind(percentile).push("]))[1]");
    }
    // From local times, which an instant has exactly one of: no bucket is lost or doubled where clocks change.
    query.push(CALENDAR).push_bind(unit).push(", ").push_bind(from).push("::timestamptz at time zone ");
    query.push_bind(zone.name()).push("), (").push_bind(to);
    query.push("::timestamptz - interval '1 microsecond') at time zone ").push_bind(zone.name()).push(", ('1 ' || ");
    query.push_bind(unit).push(")::interval)::date as bucket where ").push_bind(from).push("::timestamptz < ");
    query.push_bind(to).push(SHOWN);
    // A count of nothing is 0, and everything else of nothing is not known.
    query.push(if matches!(metric.statistic, MetricStatistic::Count | MetricStatistic::Weight) {
        "coalesce(n.value, 0)"
    } else {
        "n.value"
    });
    query.push(END);
    query
}

/// The team's pull requests of the range, with what the metric asks of each.
fn push_stored(
    query: &mut QueryBuilder<Postgres>,
    metric: &CustomMetric,
    team: TeamId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    zone: Tz,
) {
    let unit: &'static str = metric.by.into();
    // Where clocks go back over midnight, the day before the first one comes a second time: it belongs to the first.
    query.push("stored as (select greatest(date_trunc(").push_bind(unit).push(", a.at at time zone ");
    query.push_bind(zone.name()).push("), date_trunc(").push_bind(unit).push(", ").push_bind(from);
    query.push("::timestamptz at time zone ").push_bind(zone.name());
    query.push(
        "))::date as bucket, a.author_id, (a.weight * 10000)::integer as units, p.merged_at is not null as is_merged, ",
    );
    push_selection(query, &metric.when);
    query.push(" as is_taken, ");
    if let Some(than) = &metric.than {
        push_selection(query, than);
    } else {
        query.push("true");
    }
    query.push(" as is_of, ").push(metric.measure.map_or("null::double precision", measured));
    query.push(" as value, p.detailed_at is distinct from p.updated_at as lacks_details from (");
    let mut before = "select ";
    for state in metric.states() {
        // Each has an index of its own.
        let (at, condition) = match state {
            EndState::Merged => ("m.merged_at", "m.team_id = "),
            EndState::Closed => ("m.closed_at", "m.merged_at is null and m.team_id = "),
        };
        query.push(before).push("m.pull_request_id, m.author_id, m.weight, ").push(at);
        query.push(" as at from pr_attributions as m where ").push(condition).push_bind(team.0).push(" and ").push(at);
        query.push(" >= ").push_bind(from).push(" and ").push(at).push(" < ").push_bind(to);
        before = " union all select ";
    }
    query.push(
        ") as a
        inner join pull_requests as p on a.pull_request_id = p.id
        inner join repositories as r on p.repository_id = r.id
    ",
    );
}

/// Of which pull requests the value is.
fn counted(statistic: MetricStatistic) -> &'static str {
    match statistic {
        MetricStatistic::Count | MetricStatistic::Weight => "s.is_taken",
        MetricStatistic::Share => "s.is_of",
        MetricStatistic::P50 | MetricStatistic::P75 | MetricStatistic::P90 | MetricStatistic::Mean => {
            "s.is_taken and s.value is not null"
        }
    }
}

/// The value of a bucket; of a percentile without its fraction.
fn value(statistic: MetricStatistic) -> &'static str {
    match statistic {
        MetricStatistic::Count => "count(*) filter (where c.is_counted)",
        MetricStatistic::Weight => "coalesce(sum(c.units) filter (where c.is_counted), 0) / 10000.0",
        MetricStatistic::Share => {
            "coalesce(sum(c.units) filter (where c.is_taken and c.is_of), 0)::double precision
            / sum(c.units) filter (where c.is_counted)"
        }
        MetricStatistic::Mean => {
            "sum(c.value * c.units) filter (where c.is_counted) / sum(c.units) filter (where c.is_counted)"
        }
        MetricStatistic::P50 | MetricStatistic::P75 | MetricStatistic::P90 => {
            "(weighted_percentiles(
                array_agg(weighted_sample(c.value, c.units) order by weighted_sample(c.value, c.units) desc)
                    filter (where c.is_counted),
                sum(c.units) filter (where c.is_counted)"
        }
    }
}

/// The column of a measure: a time in seconds, else a number.
fn measured(measure: MetricMeasure) -> &'static str {
    match measure {
        MetricMeasure::CycleTime => "p.cycle_seconds",
        MetricMeasure::Coding => "p.coding_seconds",
        MetricMeasure::Pickup => "p.pickup_seconds",
        MetricMeasure::Review => "p.review_seconds",
        MetricMeasure::Deploy => "deploy_seconds(p)",
        MetricMeasure::LeadTime => "lead_seconds(p)",
        MetricMeasure::Lines => "(p.additions::bigint + p.deletions)::double precision",
        MetricMeasure::Files => "p.changed_files::double precision",
    }
}

/// What a text field looks at, up to its patterns. Without a collation of their own, other letters than A to Z would compare as the
/// server's locale says.
fn looked_at(field: TextField) -> (&'static str, &'static str) {
    match field {
        TextField::Repositories => (
            "exists (select from unnest(array[r.name, r.display_name]) as w (text) where lower(w.text collate \"C\") like any(",
            "))",
        ),
        TextField::BaseBranches => ("lower(p.base_ref collate \"C\") like any(", ")"),
        TextField::Branches => ("lower(p.head_ref collate \"C\") like any(", ")"),
        TextField::Labels => {
            ("exists (select from unnest(p.labels) as w (text) where lower(w.text collate \"C\") like any(", "))")
        }
        TextField::Titles => ("lower(p.title collate \"C\") like any(", ")"),
    }
}

/// Whether a flag is set; null if that is not known yet.
fn flag(field: FlagField) -> &'static str {
    match field {
        FlagField::Reviewed => {
            "case when p.first_review_at is not null then true when p.detailed_at is not distinct from p.updated_at then false end"
        }
        FlagField::Approved => {
            "case when p.first_approval_at is not null then true when p.detailed_at is not distinct from p.updated_at then false end"
        }
        FlagField::Draft => "p.is_draft",
        // What restores a change that was reverted is no revert.
        FlagField::Revert => {
            "case
                when p.reverts is not null and not exists (
                    select from pull_requests as w
                    where w.repository_id = p.repository_id and w.number = p.reverts and w.reverts is not null
                ) then true
                when p.detailed_at is not distinct from p.updated_at then false
            end"
        }
    }
}

/// Whether a selection takes a pull request: never null.
fn push_selection(query: &mut QueryBuilder<Postgres>, selection: &MetricSelection) {
    query.push("(true");
    if let [state] = selection.states.iter().copied().collect::<Vec<_>>()[..] {
        query.push(match state {
            EndState::Merged => " and p.merged_at is not null",
            EndState::Closed => " and p.merged_at is null",
        });
    }
    push_fields(query, &selection.fields, ") is true");
    push_fields(query, &selection.not, ") is not true");
    query.push(")");
}

fn push_fields(query: &mut QueryBuilder<Postgres>, fields: &MetricFields, outcome: &'static str) {
    for (field, list) in &fields.texts {
        let (before, after) = looked_at(*field);
        let patterns: Vec<String> = list.iter().map(|text| like(text, field.has_patterns())).collect();
        query.push(" and (").push(before).push_bind(patterns).push("::text []").push(after).push(outcome);
    }
    for (measure, range) in &fields.ranges {
        let bound = |value: u32| f64::from(value) * if measure.is_time() { 3600.0 } else { 1.0 };
        query.push(" and (true");
        for (operator, value) in [(" >= ", range.at_least), (" <= ", range.at_most)] {
            if let Some(value) = value {
                query.push(" and ").push(measured(*measure)).push(operator).push_bind(bound(value));
            }
        }
        query.push(outcome);
    }
    for (field, is_set) in &fields.flags {
        query.push(" and ((").push(flag(*field)).push(") = ").push_bind(*is_set).push(outcome);
    }
}

/// A text as a pattern of `like`, in lower case.
fn like(text: &str, has_stars: bool) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '*' if has_stars => pattern.push('%'),
            '%' | '_' | '\\' => pattern.extend(['\\', character]),
            other => pattern.push(other.to_ascii_lowercase()),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(text: &str) -> CustomMetric {
        serde_json::from_str(text).expect("a metric")
    }

    #[test]
    fn nothing_of_a_definition_is_in_the_text_of_its_query() {
        let texts = ["x'; drop table teams; --", "\"$1\"", "acme/*"];
        let fields = serde_json::json!({
            "texts": {"repositories": texts, "base_branches": texts, "branches": texts, "labels": texts, "titles": texts},
            "ranges": {"lines": {"at_least": 424_242}, "pickup": {"at_most": 313_131}},
            "flags": {"reviewed": true, "approved": false, "draft": true, "revert": false},
        });
        let selection = serde_json::json!({ "states": ["closed", "merged"], "fields": fields, "not": fields });
        let metric = metric(
            &serde_json::json!({
                "id": "odd-id", "name": "Odd name", "of": "pull_requests", "when": selection, "statistic": "share",
                "by": "month", "than": selection,
            })
            .to_string(),
        );
        let range = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + chrono::TimeDelta::days(7));
        let query = compiled(&metric, TeamId(515_151), range, Tz::Europe__Oslo);
        let text = query.sql();
        let text = text.as_str();
        for value in ["drop", "acme", "odd", "Odd", "424242", "313131", "515151", "Oslo", "1970"] {
            assert!(!text.contains(value), "`{value}` is in {text}");
        }
        assert!(text.contains("$40"), "values are bound: {text}");
    }

    #[test]
    fn patterns_mean_themselves_except_for_stars() {
        assert_eq!(like("Fix 50%_off*", true), r"fix 50\%\_off%");
        assert_eq!(like(r"a*\Ä", false), r"a*\\Ä");
    }
}
