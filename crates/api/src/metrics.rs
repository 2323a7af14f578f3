//! `GET /v1/metrics/team/{team_id}/velocity`, `/lead-time` and `/summary`.

use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
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
    BASE, FORMAT, FROM, INTERVAL, LAST, Otherwise, Parameter, REPO, SUMMARY_FROM, SUMMARY_TO, TO, TZ, WEEK, WEIGHTING,
};
use crate::question::{Endpoint, Question, TeamRequest};
use crate::router::Api;

/// Said with every lead time while no deployments are known.
const NOT_DORA: &str =
    "pr_cycle_time: no deployments are known, so this is the time from opening to merge, not DORA's change lead time";

const BUCKET_PARAMETERS: &[&Parameter] = &[&FROM, &TO, &LAST, &WEEK, &TZ, &INTERVAL, &REPO, &BASE, &WEIGHTING, &FORMAT];
const SUMMARY_PARAMETERS: &[&Parameter] = &[&SUMMARY_FROM, &SUMMARY_TO, &LAST, &WEEK, &TZ, &REPO, &BASE, &WEIGHTING];

pub(crate) const VELOCITY_ENDPOINT: Endpoint = Endpoint {
    definition: VELOCITY,
    definitions: &[VELOCITY, PR_CYCLE_TIME, PR_PHASES],
    scope: Scope::MetricsRead,
    parameters: BUCKET_PARAMETERS,
    otherwise: Otherwise::UpToNow { interval: Interval::Week, count: 12 },
    has_csv: true,
    looks_back: false,
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
    let interval = question.query.interval.unwrap_or(usual);
    let statistics = ask(&mut reader, &question, &question.filter, interval).await?;
    let (range, standing) = (&question.range, &question.standing);
    let buckets: Vec<AnsweredBucket> =
        statistics.buckets.iter().map(|bucket| AnsweredBucket::of(bucket, interval, range, standing)).collect();
    let whole = safe_total(&mut reader, &question, &statistics, interval).await?;
    let numbers = Numbers::of(&whole, standing.min_group_size);
    let total = Total { complete: standing.coverage.is_read(range.start(), range.end()), numbers };
    let mut meta = question.meta(Some(interval));
    if endpoint.definition == PR_CYCLE_TIME {
        meta.warnings.insert(0, NOT_DORA.to_owned());
    }
    let is_suppressed = total.numbers.suppressed || buckets.iter().any(|bucket| bucket.numbers.suppressed);
    meta.warnings.extend(number_warnings(&question, &total.numbers, is_suppressed, statistics.lacks_details));
    let response = match question.format {
        Format::Csv => {
            let name = format!("{}-{}", question.team.slug, endpoint.definition.split('@').next().unwrap_or_default());
            csv(rows(&buckets, &total, &question)?, &name, &meta)?
        }
        Format::Json => answer(BucketsData { team: (&question.team).into(), buckets, total }, meta),
    };
    Ok(question.tagged(response))
}

async fn ask(
    reader: &mut Reader,
    question: &Question,
    filter: &Filter,
    interval: Interval,
) -> Result<Statistics, ApiError> {
    let bucketing = Bucketing {
        interval,
        zone: question.range.zone,
        counts_fully: question.query.counts_fully,
        counts_people: question.standing.min_group_size > 0,
    };
    Ok(reader.statistics(question.team.id, filter, &bucketing).await?)
}

/// The whole range, of which a duration counts as that of no more people than the hidden buckets have: it would tell theirs,
/// minus the buckets that are shown.
async fn safe_total(
    reader: &mut Reader,
    question: &Question,
    statistics: &Statistics,
    interval: Interval,
) -> Result<Bucket, ApiError> {
    let mut total = statistics.total.clone();
    let mut hidden: [Vec<NaiveDate>; 4] = Default::default();
    for bucket in &statistics.buckets {
        for (hidden, measure) in hidden.iter_mut().zip(bucket.measures()) {
            if is_suppressed(measure, question.standing.min_group_size) {
                hidden.push(bucket.start);
            }
        }
    }
    if hidden.iter().all(Vec::is_empty) {
        return Ok(total);
    }
    let people = reader.people_of(question.team.id, &question.filter, interval, question.range.zone, &hidden).await?;
    for ((measure, starts), people) in total.measures_mut().into_iter().zip(&hidden).zip(people) {
        if !starts.is_empty() {
            measure.contributors = measure.contributors.min(people);
        }
    }
    Ok(total)
}

/// What a reader has to know about the numbers themselves, and whether durations are left out, or not known yet, anywhere in
/// the answer.
fn number_warnings(question: &Question, total: &Numbers, is_suppressed: bool, lacks_details: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |text: &str| warnings.push(text.to_owned());
    if total.prs_merged == 0 && question.is_read {
        warn("no_data: no pull request of this team was merged in the range");
    }
    if total.cycle_time.n < total.prs_merged {
        warn("merged_before_creation: imported pull requests count, but have no duration");
    }
    if lacks_details {
        warn(
            "details_pending: commits and reviews of some merged pull requests were not read, so they have no phases yet",
        );
    }
    if is_suppressed {
        warn("suppressed: durations of fewer people than privacy.min_group_size are not shown");
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
    /// How long they have been open.
    age: DurationStatistics,
    /// The longest of them.
    oldest_hours: Option<f64>,
}

impl Period {
    fn of(statistics: &Statistics, filter: &Filter, question: &Question) -> Self {
        let zone = question.range.zone;
        let day = |at: chrono::DateTime<chrono::Utc>| at.with_timezone(&zone).date_naive();
        let (from, to) = (day(filter.from), day(filter.to));
        let complete = question.standing.coverage.is_read(filter.from, filter.to);
        let numbers = Numbers::of(&statistics.total, question.standing.min_group_size);
        Self { from, to, complete, numbers }
    }
}

/// One call for a first screen: this period beside the one before, and what is open.
pub(crate) async fn summary(State(api): State<Api>, request: TeamRequest) -> Result<Response, ApiError> {
    let (question, mut reader) = request.understand(&api, &SUMMARY_ENDPOINT).await?;
    let before = question.range.before();
    let previous = Filter { from: before.start(), to: before.end(), ..question.filter.clone() };
    // Only totals are shown: the coarser the buckets, the less there is to do.
    let unit = Interval::Quarter;
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
    let min_group_size = question.standing.min_group_size;
    let is_open_suppressed = is_suppressed(&open.age, min_group_size);
    let is_anything_suppressed = is_open_suppressed || period.numbers.suppressed || previous.numbers.suppressed;
    meta.warnings.extend(number_warnings(
        &question,
        &period.numbers,
        is_anything_suppressed,
        now.lacks_details || then.lacks_details,
    ));
    let data = SummaryData {
        team: (&question.team).into(),
        change,
        open: Open {
            age: DurationStatistics::of(&open.age, min_group_size),
            oldest_hours: open.oldest_seconds.filter(|_| !is_open_suppressed).map(hours),
        },
        period,
        previous,
    };
    Ok(question.with_freshness(answer(data, meta)))
}
