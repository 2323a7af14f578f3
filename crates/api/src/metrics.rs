//! `GET /v1/metrics/team/{team_id}/velocity`, `/lead-time` and `/summary`.

use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use mergeline_domain::{MeasureKind, monday_of};
use mergeline_store::{Bucket, Bucketing, Filter, Interval, Reader, Statistics};
use schemars::JsonSchema;
use serde::Serialize;

use crate::access::Scope;
use crate::answer::{answer, csv};
use crate::csv::{Cell, Rows};
use crate::definitions::{PR_CYCLE_TIME, PR_PHASES, VELOCITY};
use crate::error::ApiError;
use crate::model::{AnsweredBucket, AnsweredTeam, DurationStatistics, Numbers, hours, is_suppressed};
use crate::negotiation::Format;
use crate::parameters::{
    BASE, BOM, FORMAT, FROM, INTERVAL, LAST, Otherwise, Parameter, REPO, SUMMARY_FROM, SUMMARY_TO, TO, TZ, WEEK,
    WEIGHTING,
};
use crate::question::{Endpoint, Question, TeamRequest};
use crate::router::Api;

/// Said with every lead time while no deployments are known.
const NOT_DORA: &str =
    "pr_cycle_time: no deployments are known, so this is the time from opening to merge, not DORA's change lead time";

const BUCKET_PARAMETERS: &[&Parameter] =
    &[&FROM, &TO, &LAST, &WEEK, &TZ, &INTERVAL, &REPO, &BASE, &WEIGHTING, &FORMAT, &BOM];
const SUMMARY_PARAMETERS: &[&Parameter] = &[&SUMMARY_FROM, &SUMMARY_TO, &LAST, &WEEK, &TZ, &REPO, &BASE, &WEIGHTING];

pub(crate) const VELOCITY_ENDPOINT: Endpoint = Endpoint {
    definition: VELOCITY,
    definitions: &[VELOCITY, PR_CYCLE_TIME, PR_PHASES],
    scope: Scope::MetricsRead,
    parameters: BUCKET_PARAMETERS,
    otherwise: Otherwise::UpToNow { interval: Interval::Week, count: 12 },
    has_csv: true,
    looks_back: false,
    sums_up: true,
};
pub(crate) const LEAD_TIME_ENDPOINT: Endpoint = Endpoint {
    definition: PR_CYCLE_TIME,
    definitions: &[PR_CYCLE_TIME, VELOCITY, PR_PHASES],
    otherwise: Otherwise::UpToNow { interval: Interval::Month, count: 6 },
    ..VELOCITY_ENDPOINT
};
pub(crate) const SUMMARY_ENDPOINT: Endpoint = Endpoint {
    parameters: SUMMARY_PARAMETERS,
    otherwise: Otherwise::WeeksThatAreOver(4),
    has_csv: false,
    looks_back: true,
    ..VELOCITY_ENDPOINT
};

/// A team's merged pull requests by calendar unit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BucketsData {
    team: AnsweredTeam,
    /// Every unit that the range touches, those without merges too.
    buckets: Vec<AnsweredBucket>,
    total: Total,
}

/// The whole range, made from its pull requests, not from the buckets.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Total {
    /// Whether it is over and everything of it was read.
    complete: bool,
    #[serde(flatten)]
    numbers: Numbers,
}

/// A team's merged pull requests by week, or by another unit.
pub(crate) async fn velocity(State(api): State<Api>, request: TeamRequest) -> Result<Response, ApiError> {
    buckets(&api, request, &VELOCITY_ENDPOINT, Interval::Week).await
}

/// How long a team's merged pull requests took, by month, or by another unit.
pub(crate) async fn lead_time(State(api): State<Api>, request: TeamRequest) -> Result<Response, ApiError> {
    buckets(&api, request, &LEAD_TIME_ENDPOINT, Interval::Month).await
}

async fn buckets(api: &Api, request: TeamRequest, endpoint: &Endpoint, usual: Interval) -> Result<Response, ApiError> {
    let (question, mut reader) = request.understand(api, endpoint).await?;
    if let Some(response) = question.unless_known() {
        return Ok(response);
    }
    let interval =
        if question.hides_small_groups() { Interval::Week } else { question.query.interval.unwrap_or(usual) };
    let statistics = ask(&mut reader, &question, &question.filter, interval).await?;
    let (range, standing) = (&question.range, &question.standing);
    let buckets: Vec<AnsweredBucket> =
        statistics.buckets.iter().map(|bucket| AnsweredBucket::of(bucket, interval, range, standing)).collect();
    let total = Total {
        complete: standing.coverage.is_complete(range.start(), range.end()),
        numbers: statistics.total_numbers(&question),
    };
    let mut meta = question.meta(Some(interval));
    if endpoint.definition == PR_CYCLE_TIME {
        meta.warnings.insert(0, NOT_DORA.to_owned());
    }
    meta.warnings.extend(number_warnings(&question, &statistics, total.numbers.suppressed, statistics.lacks_details));
    let response = match question.format {
        Format::Csv => {
            let name = format!("{}-{}", question.team.slug, endpoint.definition.split('@').next().unwrap_or_default());
            csv(rows(&buckets, &total, &question)?, &name, &meta, question.query.has_bom)?
        }
        Format::Json => answer(BucketsData { team: (&question.team).into(), buckets, total }, meta),
    };
    Ok(question.tagged(response))
}

/// The numbers of a range, as far as they may be shown.
struct ShownStatistics {
    buckets: Vec<Bucket>,
    /// The whole range; where small groups are hidden, its durations are those of the weeks that are shown.
    total: Bucket,
    /// Whether the total lacks durations of hidden weeks.
    has_hidden_weeks: bool,
    /// Whether merged pull requests have no cycle time.
    has_imported: bool,
    lacks_details: bool,
}

impl ShownStatistics {
    fn total_numbers(&self, question: &Question) -> Numbers {
        let numbers = Numbers::of(&self.total, question.standing.min_group_size);
        Numbers { suppressed: numbers.suppressed || self.has_hidden_weeks, ..numbers }
    }
}

async fn ask(
    reader: &mut Reader,
    question: &Question,
    filter: &Filter,
    interval: Interval,
) -> Result<ShownStatistics, ApiError> {
    let bucketing = Bucketing {
        interval,
        zone: question.range.zone,
        counts_fully: question.query.counts_fully,
        counts_people: question.hides_small_groups(),
    };
    let Statistics { mut buckets, mut total, lacks_details } =
        reader.statistics(question.team.id, filter, &bucketing).await.map_err(|error| question.refusal(error))?;
    let has_imported = total.measure(MeasureKind::CycleTime).n < total.prs_merged;
    let hidden = if question.hides_small_groups() { hide(&mut buckets, question) } else { Vec::new() };
    let has_hidden_weeks = !hidden.is_empty();
    if has_hidden_weeks {
        // A sum with a hidden week in it would tell that week, minus the sum of the others.
        let shown = reader.durations_of_shown_weeks(question.team.id, filter, &bucketing, &hidden).await?;
        for (kind, measure) in shown {
            *total.measure_mut(kind) = measure;
        }
    }
    Ok(ShownStatistics { buckets, total, has_hidden_weeks, has_imported, lacks_details })
}

/// The first days of weeks with the durations that they hide, because they are those of too few people. A week that is not over
/// hides all it has: who asks every day would learn what was added since the day before.
fn hide(weeks: &mut [Bucket], question: &Question) -> Vec<(MeasureKind, NaiveDate)> {
    let running = monday_of(question.now.with_timezone(&question.range.zone).date_naive());
    let mut hidden = Vec::new();
    for week in weeks {
        let start = week.start;
        for kind in MeasureKind::ALL {
            let measure = week.measure_mut(kind);
            if start >= running {
                measure.contributors = 0;
            }
            if is_suppressed(measure, question.standing.min_group_size) {
                hidden.push((kind, start));
            }
        }
    }
    hidden
}

/// What a reader has to know about the numbers themselves, and whether durations are left out, or not known yet, anywhere in
/// the answer.
fn number_warnings(
    question: &Question,
    statistics: &ShownStatistics,
    is_suppressed: bool,
    lacks_details: bool,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |text: &str| warnings.push(text.to_owned());
    if statistics.total.prs_merged == 0 && question.is_read {
        warn("no_data: no pull request of this team was merged in the range");
    }
    if statistics.has_imported {
        warn("merged_before_creation: imported pull requests count, but have no duration");
    }
    if lacks_details {
        warn(
            "details_pending: commits and reviews of some merged pull requests were not read, so they have no phases yet",
        );
    }
    if is_suppressed {
        warn(
            "suppressed: durations of fewer people than privacy.min_group_size, of a week that is not over, or of open pull \
             requests, are not shown and left out of every sum",
        );
    }
    warnings
}

/// A row for each bucket and one for the whole range, called `total`.
fn rows(buckets: &[AnsweredBucket], total: &Total, question: &Question) -> Result<Rows, ApiError> {
    let columns = Numbers::columns();
    let header = ["bucket", "start", "end", "complete"].into_iter().chain(columns.iter().map(String::as_str));
    let mut rows = Rows::new(header)?;
    let mut push = |label: &str, start: NaiveDate, end: NaiveDate, complete: bool, numbers: &Numbers| {
        let (start, end) = (start.to_string(), end.to_string());
        let span = [Cell::Text(label), Cell::Text(&start), Cell::Text(&end), Cell::Flag(complete)];
        rows.push(span.into_iter().chain(numbers.cells()))
    };
    for bucket in buckets {
        push(&bucket.bucket, bucket.start, bucket.end, bucket.complete, &bucket.numbers)?;
    }
    push("total", question.range.from, question.range.to, total.complete, &total.numbers)?;
    Ok(rows)
}

/// A period and the one before it, side by side.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SummaryData {
    team: AnsweredTeam,
    period: Period,
    /// As many days, just before.
    previous: Period,
    /// The period minus the previous one; null unless both are complete.
    change: Option<Change>,
    open: Open,
}

/// The numbers of a period.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Period {
    from: NaiveDate,
    /// The first day after it.
    to: NaiveDate,
    /// Whether it is over and everything of it was read.
    complete: bool,
    #[serde(flatten)]
    numbers: Numbers,
}

/// What is different from the period before; durations are null where one of them has none.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Change {
    prs_merged: i64,
    prs_merged_weighted: f64,
    cycle_time_p50_hours: Option<f64>,
    cycle_time_p90_hours: Option<f64>,
}

/// The pull requests that are open now, by the memberships at their creation.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Open {
    /// How long they have been open; durations are null where `privacy.min_group_size` is set.
    age: DurationStatistics,
    /// The longest of them; null where `privacy.min_group_size` is set.
    oldest_hours: Option<f64>,
}

impl Period {
    fn of(statistics: &ShownStatistics, filter: &Filter, question: &Question) -> Self {
        let zone = question.range.zone;
        let day = |at: chrono::DateTime<chrono::Utc>| at.with_timezone(&zone).date_naive();
        let (from, to) = (day(filter.from), day(filter.to));
        let complete = question.standing.coverage.is_complete(filter.from, filter.to);
        Self { from, to, complete, numbers: statistics.total_numbers(question) }
    }
}

/// One call for a first screen: this period beside the one before, and what is open.
pub(crate) async fn summary(State(api): State<Api>, request: TeamRequest) -> Result<Response, ApiError> {
    let (question, mut reader) = request.understand(&api, &SUMMARY_ENDPOINT).await?;
    let before = question.range.before();
    let previous = Filter { from: before.start(), to: before.end(), ..question.filter.clone() };
    // Only totals are shown: the coarser the buckets, the less there is to do. What is hidden, is hidden by week.
    let unit = if question.hides_small_groups() { Interval::Week } else { Interval::Quarter };
    let now = ask(&mut reader, &question, &question.filter, unit).await?;
    let then = ask(&mut reader, &question, &previous, unit).await?;
    let open = reader
        .open_pull_requests(question.team.id, &question.filter, question.query.counts_fully, question.now)
        .await?;
    let period = Period::of(&now, &question.filter, &question);
    let previous = Period::of(&then, &previous, &question);
    let difference = |of: fn(&DurationStatistics) -> Option<f64>| {
        of(&period.numbers.cycle_time).zip(of(&previous.numbers.cycle_time)).map(|(now, then)| now - then)
    };
    let is_comparable = period.complete && previous.complete;
    let change = is_comparable.then(|| Change {
        prs_merged: period.numbers.prs_merged - previous.numbers.prs_merged,
        prs_merged_weighted: period.numbers.prs_merged_weighted - previous.numbers.prs_merged_weighted,
        cycle_time_p50_hours: difference(|times| times.p50_hours),
        cycle_time_p90_hours: difference(|times| times.p90_hours),
    });
    let mut meta = question.meta(None);
    if !is_comparable {
        meta.warnings
            .push("no_change: the period, or the one before, is not complete, so they are not compared".to_owned());
    }
    // Asked before and after a merge, the ages would tell how long that one took: none are shown where small groups are hidden.
    let min_group_size = if question.hides_small_groups() { i64::MAX } else { 0 };
    let is_open_suppressed = is_suppressed(&open.age, min_group_size);
    let is_anything_suppressed = is_open_suppressed || period.numbers.suppressed || previous.numbers.suppressed;
    meta.warnings.extend(number_warnings(
        &question,
        &now,
        is_anything_suppressed,
        now.lacks_details || then.lacks_details,
    ));
    let data = SummaryData {
        team: (&question.team).into(),
        change,
        open: Open {
            age: DurationStatistics::of(&open.age, min_group_size),
            // It is that of one person.
            oldest_hours: open.oldest_seconds.filter(|_| !question.hides_small_groups()).map(hours),
        },
        period,
        previous,
    };
    Ok(question.with_freshness(answer(data, meta)))
}
