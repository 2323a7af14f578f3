//! The metrics of the teams file: from a definition to numbers.
//!
//! A query is put together from the fragments of this file, which are fixed; what a definition says is only ever a bound value. Team,
//! weights and the groups of people are in each of them.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use mergeline_domain::TeamId;
use mergeline_domain::delivery::Share;
use mergeline_domain::insight::{
    CustomMetric, FlagField, MetricFields, MetricMeasure, MetricOf, MetricSelection, MetricState, MetricStatistic,
    TextField,
};
use mergeline_domain::metrics::Basis;
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
    /// Of how many things the value is made: of a share those that `than` takes, of a measure those that have it.
    pub n: i64,
    /// The sum of their weights.
    pub weight: Share,
    /// The sum of the squares of their weights.
    pub squares: f64,
    /// How many `when` takes, of a share those of them that `than` takes, too.
    pub taken: i64,
    /// The value, of a time in seconds; `None` if it is of nothing.
    pub value: Option<f64>,
    /// The fewest people in any of the groups into which the metric divides the team's pull requests or reviews, of these both authors
    /// and reviewers; `None` if there are none, and of deployments and incidents.
    pub people: Option<i64>,
    /// Whether some of the pull requests, also of reviews, have facts that were not read yet.
    pub lacks_details: bool,
}

type Row = (NaiveDate, i64, i64, f64, i64, Option<f64>, Option<i64>, bool);

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

    /// The numbers of a metric for what of a team happened in `[from, to)`: one for each calendar unit in a zone, without gaps, also where
    /// there is nothing. Deployments and incidents
    /// are a team's by the pull requests that were delivered (`delivered@1`).
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
    ) -> Result<Vec<MetricBucket>, StoreError> {
        sqlx::query(TIME).execute(&mut *self.connection).await?;
        let mut query = compiled(metric, team, range, zone);
        let rows: Vec<Row> = query.build_query_as().fetch_all(&mut *self.connection).await?;
        let bucket = |(start, n, weight, squares, taken, value, people, lacks_details): Row| MetricBucket {
            start,
            n,
            weight: Share(weight),
            squares,
            taken,
            value,
            people,
            lacks_details,
        };
        Ok(rows.into_iter().map(bucket).collect())
    }
}

/// The groups into which the metric divides the things, up to their people: none may be of too few, also not what is left over.
const GROUPS: &str = " as is_counted
        from stored as s
    ),

    groups as (
        select c.bucket, ";

/// From the people of a group to the value.
const NUMBERS: &str = " as people
        from counted as c
        group by c.bucket, c.state, c.is_taken, c.is_of, c.value is null
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
            coalesce(sum(c.weight) filter (where c.is_counted), 0) as weight,
            coalesce(sum(c.weight * c.weight) filter (where c.is_counted), 0)::double precision as squares,
            bool_or(c.lacks_details) as lacks_details,
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
        (coalesce(n.weight, 0) * 100000000)::bigint,
        coalesce(n.squares, 0),
        coalesce(n.taken, 0),
        ";

/// What comes after the value.
const END: &str = ",
        s.people,
        ";

/// Whether something of a bucket was not read yet, of all but reviews.
const LACKS_DETAILS: &str = "coalesce(n.lacks_details, false)";

/// What comes last.
const LAST: &str = "
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
        .push(people(metric.of))
        .push(NUMBERS)
        .push(value(metric.statistic));
    if let Some(percentile) = metric.statistic.percentile() {
        query.push(", array[").push_bind(percentile).push("::double precision]))[1]");
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
    if metric.of == MetricOf::Reviews {
        // One that is not read is not among those that are counted. A review changes `updated_at`.
        query.push(
            "exists (
                select from team_memberships as m
                inner join pull_requests as p on m.person_id = p.author_id
                where
                    m.removed_in is null
                    and (p.reviews_at is distinct from p.updated_at or p.has_unread_reviews)
                    and p.deleted_at is null
                    and p.created_at < ((d.bucket + ('1 ' || ",
        );
        query.push_bind(unit).push(")::interval) at time zone ").push_bind(zone.name());
        query.push(") and p.updated_at >= (d.bucket::timestamp at time zone ").push_bind(zone.name());
        query.push(") and m.team_id = ").push_bind(team.0).push(")");
    } else {
        query.push(LACKS_DETAILS);
    }
    query.push(LAST);
    query
}

/// What of the team happened in the range, with what the metric asks of each.
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
    // Sums stay exact; only percentiles use rounded weights.
    query.push("))::date as bucket, a.weight, greatest((a.weight * 10000)::integer, 1) as units, ");
    query.push(match metric.of {
        MetricOf::PullRequests => "a.author_id, ",
        MetricOf::Reviews => "a.author_id, a.reviewer_id, ",
        MetricOf::Deployments | MetricOf::Incidents => "",
    });
    query.push(if metric.needs_details() { "p.detailed_at is distinct from p.updated_at" } else { "false" });
    query.push(" as lacks_details, a.state, ");
    push_selection(query, metric.of, &metric.when);
    query.push(" as is_taken, ");
    if let Some(than) = &metric.than {
        push_selection(query, metric.of, than);
    } else {
        query.push("true");
    }
    query.push(" as is_of, ");
    query.push(metric.measure.map_or("null::double precision", |measure| measured(metric.of, measure)));
    query.push(" as value from (");
    let mut states = metric.states().into_iter().map(Some).collect::<Vec<_>>();
    if states.is_empty() {
        states.push(None);
    }
    for (place, state) in states.into_iter().enumerate() {
        query.push(if place == 0 { "" } else { " union all " });
        push_source(query, metric, state, team, (from, to));
    }
    query.push(joined(metric.of));
}

/// What happened to the team's things of a kind by one event: each has an index of its own.
fn push_source(
    query: &mut QueryBuilder<Postgres>,
    metric: &CustomMetric,
    state: Option<MetricState>,
    team: TeamId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) {
    let (columns, source, at, condition) = match metric.of {
        MetricOf::PullRequests => {
            let (at, condition) = if state == Some(MetricState::Closed) {
                ("m.closed_at", "m.merged_at is null and m.team_id = ")
            } else {
                ("m.merged_at", "m.team_id = ")
            };
            ("m.pull_request_id, m.author_id, m.weight", "pr_attributions as m", at, condition)
        }
        MetricOf::Deployments => {
            let condition = if state == Some(MetricState::Failed) {
                "m.kind is null and m.team_id = "
            } else {
                // A rollout belongs to what it repeats.
                "m.kind <> 'rollout' and m.team_id = "
            };
            ("m.deployment_id, m.share as weight", "deployment_shares as m", "m.finished_at", condition)
        }
        MetricOf::Incidents => {
            let at = if state == Some(MetricState::Started) { "f.started_at" } else { "f.resolved_at" };
            match metric.basis() {
                Basis::Delivered => (
                    "f.incident_id, m.share as weight",
                    "deployment_shares as m inner join incident_facts as f on m.deployment_id = f.deployment_id",
                    at,
                    "m.basis = 'delivered' and m.team_id = ",
                ),
                Basis::Owned => (
                    "f.incident_id, m.weight",
                    "service_owners as m inner join incident_facts as f on
                        m.service_id = f.service_id
                        and (m.owned_from is null or f.started_at >= m.owned_from)
                        and (m.owned_to is null or f.started_at < m.owned_to)",
                    at,
                    "m.removed_in is null and m.team_id = ",
                ),
            }
        }
        MetricOf::Reviews => (
            "v.pull_request_id, v.author_id, v.reviewer_id, v.submitted_at, m.team_id, m.weight",
            "team_memberships as m inner join pull_request_reviews as v on
                m.person_id = v.author_id
                and (m.joined_at is null or v.submitted_at >= m.joined_at)
                and (m.left_at is null or v.submitted_at < m.left_at)",
            "v.submitted_at",
            "m.removed_in is null and m.team_id = ",
        ),
    };
    let name: &'static str = state.map_or("", Into::into);
    query.push("select ").push(columns).push(", ").push(at).push(" as at, ").push_bind(name);
    query.push("::text as state from ").push(source).push(" where ").push(condition).push_bind(team.0);
    query.push(" and ").push(at).push(" >= ").push_bind(from).push(" and ").push(at).push(" < ").push_bind(to);
    if metric.of == MetricOf::Deployments {
        let basis: &'static str = metric.basis().into();
        query.push(" and m.basis = ").push_bind(basis);
    }
}

/// What the fields of a thing are read from.
fn joined(of: MetricOf) -> &'static str {
    match of {
        MetricOf::PullRequests => {
            ") as a
            inner join pull_requests as p on a.pull_request_id = p.id
            inner join repositories as r on p.repository_id = r.id
            "
        }
        // Reviews of a former author are read again.
        MetricOf::Reviews => {
            ") as a
            inner join pull_requests as p
                on a.pull_request_id = p.id and a.author_id = p.author_id and p.deleted_at is null
            inner join repositories as r on p.repository_id = r.id
            "
        }
        MetricOf::Deployments => {
            ") as a
            inner join deployment_facts as f on a.deployment_id = f.deployment_id
            inner join services as w on f.service_id = w.id
            left join repositories as r on w.repository_id = r.id
            "
        }
        MetricOf::Incidents => {
            ") as a
            inner join incident_facts as f on a.incident_id = f.incident_id
            inner join incidents as p on a.incident_id = p.id
            left join services as w on f.service_id = w.id
            left join repositories as r on w.repository_id = r.id
            "
        }
    }
}

/// How many people a group is of. Reviews have people on both sides; of what is of no people there is no group.
fn people(of: MetricOf) -> &'static str {
    match of {
        MetricOf::PullRequests => "count(distinct c.author_id)",
        MetricOf::Reviews => "least(count(distinct c.author_id), count(distinct c.reviewer_id))",
        MetricOf::Deployments | MetricOf::Incidents => "null::bigint",
    }
}

/// Of which things the value is.
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
        MetricStatistic::Weight => "coalesce(sum(c.weight) filter (where c.is_counted), 0)",
        MetricStatistic::Share => {
            "coalesce(sum(c.weight) filter (where c.is_taken and c.is_of), 0)::double precision
            / sum(c.weight) filter (where c.is_counted)::double precision"
        }
        MetricStatistic::Mean => {
            "sum(c.value * c.weight::double precision) filter (where c.is_counted)
            / sum(c.weight) filter (where c.is_counted)::double precision"
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
fn measured(of: MetricOf, measure: MetricMeasure) -> &'static str {
    match measure {
        MetricMeasure::CycleTime => "p.cycle_seconds",
        MetricMeasure::Coding => "p.coding_seconds",
        MetricMeasure::Pickup => "p.pickup_seconds",
        MetricMeasure::Review => "p.review_seconds",
        MetricMeasure::Deploy => "deploy_seconds(p)",
        MetricMeasure::LeadTime => "lead_seconds(p)",
        MetricMeasure::Lines => "(p.additions::bigint + p.deletions)::double precision",
        MetricMeasure::Files => "p.changed_files::double precision",
        MetricMeasure::RecoveryTime if of == MetricOf::Incidents => {
            "case when f.resolved_at >= f.started_at then extract(epoch from f.resolved_at - f.started_at)::double precision end"
        }
        MetricMeasure::RecoveryTime => {
            "(
                select extract(epoch from remedy_of(f.deployment_id, array_agg(x.reason)) - f.succeeded_at)::double precision
                from deployment_failures as x
                where x.deployment_id = f.deployment_id
            )"
        }
        // What the commits contain is not known of all.
        MetricMeasure::PullRequests => "case when f.is_known then f.pull_requests::double precision end",
        // Without a known time, what is reviewed has been ready since the opening, as in pr_phases@1.
        MetricMeasure::Wait => {
            "case
                when a.submitted_at >= coalesce(p.ready_at, p.created_at)
                    then extract(epoch from a.submitted_at - coalesce(p.ready_at, p.created_at))::double precision
            end"
        }
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
        TextField::Services => {
            ("lower(coalesce(w.slug, replace(r.display_name, '/', '.')) collate \"C\") like any(", ")")
        }
        TextField::Kinds => ("f.kind like any(", ")"),
        TextField::Severities => ("f.severity like any(", ")"),
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
        FlagField::Failure => {
            "f.kind is not null and exists (select from deployment_failures as x where x.deployment_id = f.deployment_id)"
        }
        FlagField::Rework => "f.rework <> '{}'",
        FlagField::Deployment => "f.deployment_id is not null",
        FlagField::Internal => {
            "exists (
                select from team_memberships as o
                where
                    o.team_id = a.team_id and o.person_id = a.reviewer_id and o.removed_in is null
                    and (o.joined_at is null or a.submitted_at >= o.joined_at)
                    and (o.left_at is null or a.submitted_at < o.left_at)
            )"
        }
    }
}

/// Whether a selection takes a thing: never null.
fn push_selection(query: &mut QueryBuilder<Postgres>, of: MetricOf, selection: &MetricSelection) {
    query.push("(true");
    if !selection.states.is_empty() {
        let states: Vec<&'static str> = selection.states.iter().map(Into::into).collect();
        query.push(" and a.state = any(").push_bind(states).push("::text [])");
    }
    push_fields(query, of, &selection.fields, ") is true");
    push_fields(query, of, &selection.not, ") is not true");
    query.push(")");
}

fn push_fields(query: &mut QueryBuilder<Postgres>, of: MetricOf, fields: &MetricFields, outcome: &'static str) {
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
                query.push(" and ").push(measured(of, *measure)).push(operator).push_bind(bound(value));
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
