//! Metrics of teams files in plain Rust, over the rows that they are made of, compared with those of SQL.
//!
//! `METRIC_DEFINITIONS` sets how many definitions there are (1,000).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use fastrand::Rng;
use mergeline_domain::insight::{
    CustomMetric, EndState, FlagField, MetricFields, MetricInterval, MetricMeasure, MetricOf, MetricRange,
    MetricSelection, MetricStatistic, TextField,
};
use mergeline_domain::metrics::Interval;
use mergeline_domain::{Sample, TeamId, Weight, start_of_day, weighted_mean, weighted_percentile};
use mergeline_fake_github::at;
use mergeline_store::{MetricBucket, StoreError};
use mergeline_test_support::TestDatabase;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::types::Json;

use crate::common::fresh;

type At = DateTime<Utc>;

const DEFINITIONS: usize = 1_000;
/// How many definitions are asked of the same rows.
const OF_THE_SAME_ROWS: usize = 100;
const ROWS: i64 = 160;
const FIRST_DAY: &str = "2026-03-02T00:00:00Z";
const DAYS: i64 = 60;
const TITLES: [&str; 9] = [
    "Bump left-pad",
    "bump right_pad to 50%",
    "docs: explain weights",
    "DOCS: Explain",
    "Add a\\b",
    "Ärger beheben",
    "ärger beheben",
    "Fix [x] *now*",
    "x",
];
const LABELS: [&str; 7] = ["docs", "Docs", "a_b", "aXb", "100%", "*", "chore"];
const BRANCHES: [&str; 5] = ["main", "release/1.2", "Release/2", "feature/docs", "main-2"];
const ZONES: [Tz; 4] = [Tz::UTC, Tz::Europe__Oslo, Tz::America__St_Johns, Tz::Asia__Kolkata];

/// A pull request's share in a team, with its facts.
#[derive(Debug, sqlx::FromRow)]
#[expect(clippy::struct_excessive_bools, reason = "a row has what its table has")]
struct Fact {
    team_id: i64,
    units: i32,
    id: i64,
    names: Vec<String>,
    author_id: i64,
    title: String,
    is_draft: bool,
    base_ref: Option<String>,
    head_ref: Option<String>,
    labels: Option<Vec<String>>,
    created_at: At,
    closed_at: Option<At>,
    merged_at: Option<At>,
    delivered_at: Option<At>,
    is_delivery_assumed: bool,
    first_commit_at: Option<At>,
    first_review_at: Option<At>,
    first_approval_at: Option<At>,
    ready_at: Option<At>,
    additions: Option<i32>,
    deletions: Option<i32>,
    changed_files: Option<i32>,
    is_read: bool,
    reverts: Option<i64>,
    reverts_a_revert: bool,
}

async fn facts(pool: &PgPool) -> Result<Vec<Fact>> {
    let facts = sqlx::query_as(
        "select a.team_id, (a.weight * 10000)::integer as units, p.id, array_remove(array[r.name, r.current_name, r.display_name], null) as names,
            p.author_id, p.title, p.is_draft, p.base_ref, p.head_ref, p.labels, p.created_at, p.closed_at, p.merged_at,
            p.delivered_at, p.is_delivery_assumed, p.first_commit_at, p.first_review_at, p.first_approval_at, p.ready_at,
            p.additions, p.deletions, p.changed_files, coalesce(p.detailed_at = p.updated_at, false) as is_read, p.reverts,
            coalesce((
                select w.reverts is not null from pull_requests as w
                where w.repository_id = p.repository_id and w.number = p.reverts
            ), false) as reverts_a_revert
        from pr_attributions as a
        inner join pull_requests as p on a.pull_request_id = p.id
        inner join repositories as r on p.repository_id = r.id",
    );
    Ok(facts.fetch_all(pool).await?)
}

/// Two teams that share people, and two repositories, with random pull requests.
async fn world(random: &mut Rng) -> Result<TestDatabase> {
    let (database, store) = fresh().await?;
    let text = "version: 1\nrepositories: [acme/api, acme/Web_1]\nteams:\n\
                - { slug: one, members: [{ github: ana }, { github: bob, weight: 0.5 }, { github: cho, weight: 0.3333 }] }\n\
                - { slug: two, members: [{ github: dov }, { github: bob, weight: 0.25 }, { github: eve, weight: 0.0001 }] }\n";
    let file = mergeline_domain::teams_file::TeamsFile::parse("teams.yaml", text.as_bytes())
        .map_err(|problems| anyhow::anyhow!("{problems}"))?;
    crate::common::apply(&store, &file).await?;
    let pool = database.pool().await?;
    let people: Vec<i64> = sqlx::query_scalar("select id from people order by id").fetch_all(&pool).await?;
    let rows: Vec<Value> = (1..=ROWS).map(|number| row(random, number, &people)).collect();
    sqlx::query(
        "insert into pull_requests (
            repository_id, instance_id, number, external_id, author_id, title, state, is_draft, base_ref, created_at, updated_at,
            closed_at, merged_at, detailed_at, first_commit_at, first_review_at, first_approval_at, ready_at, additions, deletions,
            changed_files, head_ref, labels, reverts, delivered_at, is_delivery_assumed
        )
        select
            repository_id, 1, number, external_id, author_id, title, state, is_draft, base_ref, created_at, updated_at,
            closed_at, merged_at, detailed_at, first_commit_at, first_review_at, first_approval_at, ready_at, additions, deletions,
            changed_files, head_ref, labels, reverts, delivered_at, is_delivery_assumed
        from jsonb_populate_recordset(null::pull_requests, $1)",
    )
    .bind(Json(rows))
    .execute(&pool)
    .await?;
    sqlx::query(
        "insert into pr_attributions (
            pull_request_id, team_id, membership_id, weight, repository_id, author_id, created_at, closed_at, merged_at
        )
        select p.id, m.team_id, m.id, m.weight, p.repository_id, p.author_id, p.created_at, p.closed_at, p.merged_at
        from pull_requests as p
        inner join team_memberships as m on p.author_id = m.person_id",
    )
    .execute(&pool)
    .await?;
    sqlx::query("analyze pull_requests, pr_attributions").execute(&pool).await?;
    Ok(database)
}

fn row(random: &mut Rng, number: i64, people: &[i64]) -> Value {
    let created = at(FIRST_DAY) + TimeDelta::minutes(random.i64(0..DAYS * 24 * 60));
    let later = |random: &mut Rng, hours: i64| created + TimeDelta::minutes(random.i64(-600..hours * 60));
    let maybe = |random: &mut Rng, at: At| (random.u32(0..4) > 0).then_some(at);
    let ended = later(random, 300);
    let state = ["merged", "merged", "merged", "closed", "open"][random.usize(0..5)];
    let updated = created + TimeDelta::days(90);
    let labels: Vec<&str> = (0..random.usize(0..3)).map(|_| LABELS[random.usize(0..LABELS.len())]).collect();
    let branch = |random: &mut Rng| random.choice(BRANCHES).filter(|_| random.u32(0..5) > 0);
    let early = created - TimeDelta::minutes(random.i64(-100..5_000));
    let (review, approval, ready) = (later(random, 400), later(random, 400), later(random, 20));
    let delivered = later(random, 600);
    json!({
        "repository_id": random.i64(1..=2),
        "number": number,
        "external_id": (3_000_000 + number).to_string(),
        "author_id": random.choice(people),
        "title": random.choice(TITLES),
        "state": state,
        "is_draft": random.u32(0..5) == 0,
        "base_ref": branch(random),
        "head_ref": branch(random),
        "labels": (random.u32(0..6) > 0).then_some(labels),
        "created_at": created,
        "updated_at": updated,
        "detailed_at": (random.u32(0..5) > 0).then_some(updated),
        "closed_at": (state != "open").then_some(ended),
        "merged_at": (state == "merged").then_some(ended),
        "first_commit_at": maybe(random, early),
        "first_review_at": maybe(random, review),
        "first_approval_at": maybe(random, approval),
        "ready_at": (random.u32(0..4) == 0).then_some(ready),
        "additions": (random.u32(0..6) > 0).then(|| random.u32(0..30)),
        "deletions": random.u32(0..30),
        "changed_files": (random.u32(0..6) > 0).then(|| random.u32(0..6)),
        "reverts": (random.u32(0..4) == 0).then(|| random.i64(1..=ROWS)),
        "delivered_at": maybe(random, delivered),
        "is_delivery_assumed": random.u32(0..4) == 0,
    })
}

impl Fact {
    fn seconds(from: Option<At>, to: Option<At>) -> Option<f64> {
        let (from, to) = (from?, to?);
        (from <= to).then(|| (to - from).as_seconds_f64())
    }

    fn measure(&self, measure: MetricMeasure) -> Option<f64> {
        let ready = self.ready_at.unwrap_or(self.created_at);
        let is_late = self.first_review_at.zip(self.merged_at).is_some_and(|(review, merge)| review > merge);
        let review = self.first_review_at.filter(|_| !is_late);
        match measure {
            MetricMeasure::CycleTime => Self::seconds(Some(self.created_at), self.merged_at),
            MetricMeasure::Coding => Self::seconds(self.first_commit_at, Some(self.created_at)),
            MetricMeasure::Pickup => Self::seconds(Some(ready), review),
            MetricMeasure::Review => Self::seconds(review.filter(|review| *review >= self.created_at), self.merged_at),
            MetricMeasure::Deploy => {
                Self::seconds(self.merged_at, self.delivered_at.filter(|_| !self.is_delivery_assumed))
            }
            MetricMeasure::LeadTime => Self::seconds(self.first_commit_at, self.delivered_at),
            MetricMeasure::Lines => Some(f64::from(self.additions? + self.deletions?)),
            MetricMeasure::Files => self.changed_files.map(f64::from),
        }
    }

    fn texts(&self, field: TextField) -> Vec<&str> {
        match field {
            TextField::Repositories => self.names.iter().map(String::as_str).collect(),
            TextField::BaseBranches => self.base_ref.as_deref().into_iter().collect(),
            TextField::Branches => self.head_ref.as_deref().into_iter().collect(),
            TextField::Labels => self.labels.iter().flatten().map(String::as_str).collect(),
            TextField::Titles => vec![&self.title],
        }
    }

    fn flag(&self, field: FlagField) -> Option<bool> {
        let is_set = match field {
            FlagField::Reviewed => self.first_review_at.is_some(),
            FlagField::Approved => self.first_approval_at.is_some(),
            FlagField::Draft => return Some(self.is_draft),
            FlagField::Revert => self.reverts.is_some() && !self.reverts_a_revert,
        };
        // Whether something has not happened is known only when all was read.
        (is_set || self.is_read).then_some(is_set)
    }

    /// Whether each of the fields takes it, one after the other.
    fn taken_by(&self, fields: &MetricFields) -> Vec<bool> {
        let texts = fields.texts.iter().map(|(field, list)| {
            let fits = |text: &str, wanted: &str| {
                if *field == TextField::Labels { text.eq_ignore_ascii_case(wanted) } else { is_like(text, wanted) }
            };
            self.texts(*field).iter().any(|text| list.iter().any(|wanted| fits(text, wanted)))
        });
        let ranges = fields.ranges.iter().map(|(measure, range)| {
            let factor = if measure.is_time() { 3600.0 } else { 1.0 };
            self.measure(*measure).is_some_and(|value| {
                range.at_least.is_none_or(|least| f64::from(least) * factor <= value)
                    && range.at_most.is_none_or(|most| value <= f64::from(most) * factor)
            })
        });
        let flags = fields.flags.iter().map(|(field, is_set)| self.flag(*field) == Some(*is_set));
        texts.chain(ranges).chain(flags).collect()
    }

    fn state(&self) -> Option<EndState> {
        self.closed_at.map(|_| if self.merged_at.is_some() { EndState::Merged } else { EndState::Closed })
    }

    fn is_taken_by(&self, selection: &MetricSelection) -> bool {
        (selection.states.is_empty() || self.state().is_some_and(|state| selection.states.contains(&state)))
            && self.taken_by(&selection.fields).iter().all(|is_taken| *is_taken)
            && !self.taken_by(&selection.not).contains(&true)
    }
}

/// Whether a text fits a pattern with stars, in which A to Z are a to z.
fn is_like(text: &str, pattern: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            text.char_indices().map(|(place, _)| place).chain([text.len()]).any(|place| is_like(&text[place..], rest))
        }
        Some(first) => text.chars().next().is_some_and(|found| {
            found.eq_ignore_ascii_case(&first) && is_like(&text[found.len_utf8()..], &pattern[first.len_utf8()..])
        }),
    }
}

/// Some part of a text, with stars around, within, or in place of it.
fn pattern(random: &mut Rng, of: &[&str]) -> String {
    let text: Vec<char> = of[random.usize(0..of.len())].chars().collect();
    let cut = random.usize(0..=text.len());
    let (start, end): (String, String) = (text[..cut].iter().collect(), text[cut..].iter().collect());
    match random.u32(0..7) {
        0 => format!("{start}*"),
        1 => format!("*{end}"),
        2 => format!("{start}*{}", end.to_uppercase()),
        3 => format!("*{}*", start.to_lowercase()),
        4 => "*".to_owned(),
        _ => text.into_iter().collect(),
    }
}

fn fields(random: &mut Rng, chance: u32) -> MetricFields {
    let mut fields = MetricFields::default();
    for field in TextField::ALL {
        if random.u32(0..100) >= chance {
            continue;
        }
        let of: &[&str] = match field {
            TextField::Repositories => &["acme/api", "acme/Web_1", "acme/web"],
            TextField::BaseBranches | TextField::Branches => &BRANCHES,
            TextField::Labels => &LABELS,
            TextField::Titles => &TITLES,
        };
        let list = (0..random.usize(1..4)).map(|_| pattern(random, of));
        fields.texts.insert(*field, list.filter(|text| !text.is_empty()).collect());
    }
    for measure in MetricMeasure::ALL {
        if random.u32(0..100) >= chance {
            continue;
        }
        let least = random.u32(0..if measure.is_time() { 100 } else { 20 });
        let most = least + random.u32(0..if measure.is_time() { 200 } else { 30 });
        let (at_least, at_most) =
            [(Some(least), None), (None, Some(most)), (Some(least), Some(most))][random.usize(0..3)];
        fields.ranges.insert(*measure, MetricRange { at_least, at_most });
    }
    for field in FlagField::ALL {
        if random.u32(0..100) < chance {
            fields.flags.insert(*field, random.bool());
        }
    }
    fields
}

fn selection(random: &mut Rng) -> MetricSelection {
    let states =
        [vec![], vec![], vec![EndState::Merged], vec![EndState::Closed], vec![EndState::Merged, EndState::Closed]];
    let states = states[random.usize(0..states.len())].iter().copied().collect();
    let (of_fields, of_not) = (random.u32(0..12), random.u32(0..5));
    MetricSelection { states, fields: fields(random, of_fields), not: fields(random, of_not) }
}

fn definition(random: &mut Rng) -> Result<CustomMetric> {
    let statistic = [
        MetricStatistic::Count,
        MetricStatistic::Weight,
        MetricStatistic::Share,
        MetricStatistic::Share,
        MetricStatistic::P50,
        MetricStatistic::P75,
        MetricStatistic::P90,
        MetricStatistic::Mean,
    ][random.usize(0..8)];
    Ok(CustomMetric {
        id: "random".parse().context("an id")?,
        name: "Random".to_owned(),
        of: MetricOf::PullRequests,
        when: selection(random),
        measure: statistic.has_measure().then(|| MetricMeasure::ALL[random.usize(0..MetricMeasure::ALL.len())]),
        statistic,
        by: if random.bool() { MetricInterval::Week } else { MetricInterval::Month },
        than: (statistic == MetricStatistic::Share).then(|| selection(random)),
    })
}

struct Asked {
    team: i64,
    days: (NaiveDate, NaiveDate),
    zone: Tz,
}

impl Asked {
    fn random(random: &mut Rng, teams: &[i64]) -> Self {
        let from = at(FIRST_DAY).date_naive() + TimeDelta::days(random.i64(-10..DAYS));
        let days = (from, from + TimeDelta::days(random.i64(1..50)));
        Self { team: teams[random.usize(0..teams.len())], days, zone: ZONES[random.usize(0..ZONES.len())] }
    }

    fn range(&self) -> (At, At) {
        (start_of_day(self.days.0, self.zone), start_of_day(self.days.1, self.zone))
    }

    /// The numbers of all calendar units that the range touches, from the rows.
    fn expected(&self, metric: &CustomMetric, facts: &[Fact]) -> Result<(Vec<MetricBucket>, bool)> {
        let interval = metric.by.interval();
        let (start, end) = self.range();
        // Of a share `than` says how they ended; where nothing is said, they were merged.
        let mut states = metric.than.as_ref().unwrap_or(&metric.when).states.clone();
        if states.is_empty() {
            states.insert(EndState::Merged);
        }
        let is_asked = |fact: &&Fact| {
            let is_of_state = fact.state().is_some_and(|state| states.contains(&state));
            let ended = fact.merged_at.or(fact.closed_at);
            fact.team_id == self.team && is_of_state && ended.is_some_and(|at| start <= at && at < end)
        };
        let mut by_bucket: BTreeMap<NaiveDate, Vec<&Fact>> = BTreeMap::new();
        let mut first = interval.start(self.days.0);
        while first < self.days.1 {
            by_bucket.insert(first, Vec::new());
            first = interval.end(first);
        }
        let mut lacks_details = false;
        for fact in facts.iter().filter(is_asked) {
            lacks_details |= !fact.is_read;
            let ended = fact.merged_at.or(fact.closed_at).context("it ended")?;
            let day = ended.with_timezone(&self.zone).date_naive();
            by_bucket.entry(interval.start(day)).or_default().push(fact);
        }
        let buckets = by_bucket.into_iter().map(|(start, facts)| numbers(metric, start, &facts));
        Ok((buckets.collect::<Result<_>>()?, lacks_details))
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are few pull requests")]
fn numbers(metric: &CustomMetric, start: NaiveDate, facts: &[&Fact]) -> Result<MetricBucket> {
    let mut groups: BTreeMap<(Option<EndState>, bool, bool, bool), BTreeSet<i64>> = BTreeMap::new();
    let (mut taken, mut taken_units, mut of_units, mut of) = (0, 0, 0, 0);
    let (mut all_units, mut samples) = (0, Vec::new());
    for fact in facts {
        let is_taken = fact.is_taken_by(&metric.when);
        let is_of = metric.than.as_ref().is_none_or(|than| fact.is_taken_by(than));
        let value = metric.measure.and_then(|measure| fact.measure(measure));
        groups.entry((fact.state(), is_taken, is_of, value.is_some())).or_default().insert(fact.author_id);
        let units = i64::from(fact.units);
        if is_of {
            (of, of_units) = (of + 1, of_units + units);
        }
        if is_taken && is_of {
            (taken, taken_units) = (taken + 1, taken_units + units);
        }
        if let Some(seconds) = value.filter(|_| is_taken) {
            let weight = u16::try_from(fact.units).ok().and_then(Weight::from_units).context("a weight")?;
            samples.push(Sample { seconds, weight, id: fact.id });
            all_units += units;
        }
    }
    let people = groups.values().map(BTreeSet::len).min().map(i64::try_from).transpose()?;
    let n_samples = i64::try_from(samples.len())?;
    let (n, weight_units, value) = match metric.statistic {
        MetricStatistic::Count => (taken, taken_units, Some(taken as f64)),
        MetricStatistic::Weight => (taken, taken_units, Some(taken_units as f64 / 10_000.0)),
        MetricStatistic::Share => (of, of_units, (of_units > 0).then(|| taken_units as f64 / of_units as f64)),
        MetricStatistic::Mean => (n_samples, all_units, weighted_mean(&samples)),
        MetricStatistic::P50 => (n_samples, all_units, weighted_percentile(&samples, 0.5)),
        MetricStatistic::P75 => (n_samples, all_units, weighted_percentile(&samples, 0.75)),
        MetricStatistic::P90 => (n_samples, all_units, weighted_percentile(&samples, 0.9)),
    };
    Ok(MetricBucket { start, n, weight_units, taken, value, people })
}

fn is_same(found: &MetricBucket, expected: &MetricBucket) -> bool {
    let near = match (found.value, expected.value) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        (found, expected) => found == expected,
    };
    near && MetricBucket { value: None, ..*found } == MetricBucket { value: None, ..*expected }
}

#[tokio::test]
async fn a_thousand_metrics_equal_plain_rust_over_the_rows() -> Result<()> {
    let definitions = match std::env::var("METRIC_DEFINITIONS") {
        Ok(number) => number.parse()?,
        Err(_) => DEFINITIONS,
    };
    let mut random = Rng::with_seed(48);
    // What would prove nothing: values of nothing, or of everything.
    let (mut with_value, mut partial) = (0, 0);
    for round in 0..definitions.div_ceil(OF_THE_SAME_ROWS) {
        let database = world(&mut random).await?;
        let pool = database.pool().await?;
        let facts = facts(&pool).await?;
        let teams: Vec<i64> = sqlx::query_scalar("select id from teams order by id").fetch_all(&pool).await?;
        let reader = database.reader()?;
        for _ in 0..OF_THE_SAME_ROWS.min(definitions - round * OF_THE_SAME_ROWS) {
            let (metric, asked) = (definition(&mut random)?, Asked::random(&mut random, &teams));
            let mut session = reader.session().await?;
            let found = session.custom_metric(&metric, TeamId(asked.team), asked.range(), asked.zone).await?;
            let (expected, lacks_details) = asked.expected(&metric, &facts)?;
            let context = || format!("{metric:#?}\n{} in {}", metric.formula(), asked.zone);
            ensure!(found.lacks_details == lacks_details, "{}", context());
            ensure!(found.buckets.len() == expected.len(), "{}: {:?} {expected:?}", context(), found.buckets);
            for (found, expected) in found.buckets.iter().zip(&expected) {
                ensure!(is_same(found, expected), "{}\nSQL says {found:?}\nthe rows say {expected:?}", context());
                with_value += usize::from(expected.value.is_some_and(|value| value > 0.0));
                partial += usize::from(expected.taken > 0 && expected.taken < expected.n);
            }
        }
    }
    ensure!(with_value > definitions && partial > definitions / 20, "{with_value} values, {partial} partial ones");
    Ok(())
}

#[tokio::test]
async fn a_metric_that_takes_longer_than_two_seconds_is_a_time_out() -> Result<()> {
    let database = world(&mut Rng::with_seed(1)).await?;
    let pool = database.pool().await?;
    sqlx::query(
        "create or replace function deploy_seconds(p pull_requests) returns double precision language plpgsql stable as $$
        begin
            perform pg_sleep(10);
            return 1;
        end $$",
    )
    .execute(&pool)
    .await?;
    let mut metric = definition(&mut Rng::with_seed(1))?;
    (metric.when, metric.than) = (MetricSelection::default(), None);
    (metric.statistic, metric.measure) = (MetricStatistic::P50, Some(MetricMeasure::Deploy));
    let range = (at(FIRST_DAY), at(FIRST_DAY) + TimeDelta::days(DAYS));
    let reader = database.reader()?;
    let mut session = reader.session().await?;
    let started = Instant::now();
    let found = session.custom_metric(&metric, TeamId(1), range, Tz::UTC).await;
    ensure!(matches!(found, Err(StoreError::Timeout(_))), "{found:?}");
    ensure!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn a_metric_reads_only_and_only_rows_of_its_tenant() -> Result<()> {
    let database = world(&mut Rng::with_seed(2)).await?;
    let mut metric = definition(&mut Rng::with_seed(2))?;
    (metric.when, metric.than) = (MetricSelection::default(), None);
    (metric.statistic, metric.measure, metric.by) = (MetricStatistic::Count, None, MetricInterval::Month);
    let range = (at(FIRST_DAY), at(FIRST_DAY) + TimeDelta::days(400));
    let sum = |buckets: &[MetricBucket]| buckets.iter().map(|bucket| bucket.n).sum::<i64>();
    let reader = database.reader()?;
    let mine = reader.session().await?.custom_metric(&metric, TeamId(1), range, Tz::UTC).await?;
    ensure!(sum(&mine.buckets) > 0 && mine.buckets[0].start == Interval::Month.start(range.0.date_naive()));
    let other = mergeline_store::Tenant::new(2);
    let theirs = reader.for_tenant(other).session().await?.custom_metric(&metric, TeamId(1), range, Tz::UTC).await?;
    ensure!(sum(&theirs.buckets) == 0, "{theirs:?}");
    Ok(())
}
