//! Metrics of teams files in plain Rust, over the rows that they are made of, compared with those of SQL: of pull requests, reviews,
//! deployments and incidents.
//!
//! `METRIC_DEFINITIONS` sets how many definitions there are (1,000).

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{NaiveDate, TimeDelta};
use chrono_tz::Tz;
use fastrand::Rng;
use mergeline_domain::delivery::Share;
use mergeline_domain::insight::{
    CustomMetric, MetricFields, MetricInterval, MetricMeasure, MetricOf, MetricRange, MetricSelection, MetricState,
    MetricStatistic, TextField,
};
use mergeline_domain::metrics::{Basis, Interval};
use mergeline_domain::{Sample, TeamId, Weight, start_of_day, weighted_percentile};
use mergeline_fake_github::at;
use mergeline_store::{MetricBucket, StoreError};

use world::{At, Thing, things, world};

const DEFINITIONS: usize = 1_000;
/// How many definitions are asked of the same rows.
const OF_THE_SAME_ROWS: usize = 100;
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

/// Something at one of the events by which it is counted.
#[derive(Debug, Clone, Copy)]
struct Event<'a> {
    thing: &'a Thing,
    state: Option<MetricState>,
    at: At,
}

impl Event<'_> {
    /// Whether each of the fields takes it, one after the other.
    fn taken_by(&self, fields: &MetricFields) -> Vec<bool> {
        let thing = self.thing;
        let texts = fields.texts.iter().map(|(field, list)| {
            let fits = |text: &str, wanted: &str| {
                if field.has_patterns() { is_like(text, wanted) } else { text.eq_ignore_ascii_case(wanted) }
            };
            let of_thing = thing.texts.get(field).map(Vec::as_slice).unwrap_or_default();
            of_thing.iter().any(|text| list.iter().any(|wanted| fits(text, wanted)))
        });
        let ranges = fields.ranges.iter().map(|(measure, range)| {
            let factor = if measure.is_time() { 3600.0 } else { 1.0 };
            thing.measures.get(measure).is_some_and(|value| {
                range.at_least.is_none_or(|least| f64::from(least) * factor <= *value)
                    && range.at_most.is_none_or(|most| *value <= f64::from(most) * factor)
            })
        });
        let flags = fields.flags.iter().map(|(field, is_set)| thing.flags.get(field) == Some(is_set));
        texts.chain(ranges).chain(flags).collect()
    }

    fn is_taken_by(&self, selection: &MetricSelection) -> bool {
        (selection.states.is_empty() || self.state.is_some_and(|state| selection.states.contains(&state)))
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

fn fields(random: &mut Rng, of: MetricOf, chance: u32) -> MetricFields {
    let mut fields = MetricFields::default();
    for field in of.texts() {
        if random.u32(0..100) >= chance {
            continue;
        }
        let texts: &[&str] = match field {
            TextField::Repositories => &["acme/api", "acme/Web_1", "acme/web"],
            TextField::BaseBranches | TextField::Branches => &BRANCHES,
            TextField::Labels => &LABELS,
            TextField::Titles => &TITLES,
            TextField::Services => &["shop", "acme.Web_1"],
            TextField::Kinds | TextField::Severities => field.choices().unwrap_or_default(),
        };
        let list = (0..random.usize(1..4)).map(|_| {
            if field.choices().is_some() {
                texts[random.usize(0..texts.len())].to_owned()
            } else {
                pattern(random, texts)
            }
        });
        fields.texts.insert(*field, list.filter(|text| !text.is_empty()).collect());
    }
    for measure in of.measures() {
        if random.u32(0..100) >= chance {
            continue;
        }
        let least = random.u32(0..if measure.is_time() { 100 } else { 20 });
        let most = least + random.u32(0..if measure.is_time() { 200 } else { 30 });
        let (at_least, at_most) =
            [(Some(least), None), (None, Some(most)), (Some(least), Some(most))][random.usize(0..3)];
        fields.ranges.insert(*measure, MetricRange { at_least, at_most });
    }
    for field in of.flags() {
        if random.u32(0..100) < chance {
            fields.flags.insert(*field, random.bool());
        }
    }
    fields
}

fn selection(random: &mut Rng, of: MetricOf) -> MetricSelection {
    // An incident has both of its events, and is counted by one.
    let most = if of == MetricOf::Incidents { 1 } else { 2 };
    let states = of.states().iter().copied().filter(|_| random.u32(0..3) == 0).take(most).collect();
    let chances = if of == MetricOf::PullRequests { (12, 5) } else { (25, 10) };
    let (of_fields, of_not) = (random.u32(0..chances.0), random.u32(0..chances.1));
    MetricSelection { states, fields: fields(random, of, of_fields), not: fields(random, of, of_not) }
}

fn definition(random: &mut Rng, of: MetricOf) -> Result<CustomMetric> {
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
    let measures = of.measures();
    Ok(CustomMetric {
        id: "random".parse().context("an id")?,
        name: "Random".to_owned(),
        of,
        basis: (!of.is_of_people()).then(|| [Basis::Delivered, Basis::Owned][random.usize(0..2)]),
        when: selection(random, of),
        measure: statistic.has_measure().then(|| measures[random.usize(0..measures.len())]),
        statistic,
        by: if random.bool() { MetricInterval::Week } else { MetricInterval::Month },
        than: (statistic == MetricStatistic::Share).then(|| selection(random, of)),
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
    fn expected(&self, metric: &CustomMetric, things: &[Thing]) -> Result<Vec<MetricBucket>> {
        let interval = metric.by.interval();
        let (start, end) = self.range();
        // Of a share `than` says by which event; where nothing is said, it is the first.
        let mut states = metric.than.as_ref().unwrap_or(&metric.when).states.clone();
        if states.is_empty() {
            states.extend(metric.of.states().first());
        }
        let basis = (!metric.of.is_of_people()).then(|| metric.basis().to_string());
        let of_metric = things
            .iter()
            .filter(|thing| thing.of == Some(metric.of) && thing.team == self.team && thing.basis == basis);
        let events = of_metric
            .flat_map(|thing| thing.events.iter().map(move |(state, at)| Event { thing, state: *state, at: *at }));
        let is_asked = |event: &Event<'_>| {
            event.state.is_none_or(|state| states.contains(&state)) && start <= event.at && event.at < end
        };
        let mut by_bucket: BTreeMap<NaiveDate, Vec<Event<'_>>> = BTreeMap::new();
        let mut first = interval.start(self.days.0);
        while first < self.days.1 {
            by_bucket.insert(first, Vec::new());
            first = interval.end(first);
        }
        for event in events.filter(is_asked) {
            let day = event.at.with_timezone(&self.zone).date_naive();
            by_bucket.entry(interval.start(day)).or_default().push(event);
        }
        let of_team = |thing: &&Thing| thing.of == Some(metric.of) && thing.team == self.team;
        let unread: Vec<(At, At)> = things.iter().filter(of_team).filter_map(|thing| thing.unread_since).collect();
        let buckets = by_bucket.into_iter().map(|(start, events)| {
            let span = (start_of_day(start, self.zone), start_of_day(interval.end(start), self.zone));
            let has_unread = unread.iter().any(|(since, until)| *since < span.1 && span.0 <= *until);
            let bucket = numbers(metric, start, &events)?;
            Ok(MetricBucket { lacks_details: bucket.lacks_details || has_unread, ..bucket })
        });
        buckets.collect()
    }
}

type Group = (Option<MetricState>, bool, bool, bool);

#[expect(clippy::cast_precision_loss, reason = "there are few things")]
fn numbers(metric: &CustomMetric, start: NaiveDate, events: &[Event<'_>]) -> Result<MetricBucket> {
    let mut groups: BTreeMap<Group, [BTreeSet<i64>; 2]> = BTreeMap::new();
    let (mut taken, mut taken_weight, mut of_weight, mut of) = (0, 0, 0, 0);
    let (mut all_weight, mut sum, mut samples) = (0, 0.0, Vec::new());
    let mut squares = [0.0; 3];
    let part = |thing: &Thing| thing.weight as f64 / Share::WHOLE.0 as f64;
    for event in events {
        let thing = event.thing;
        let is_taken = event.is_taken_by(&metric.when);
        let is_of = metric.than.as_ref().is_none_or(|than| event.is_taken_by(than));
        let value = metric.measure.and_then(|measure| thing.measures.get(&measure).copied());
        let [authors, reviewers] = groups.entry((event.state, is_taken, is_of, value.is_some())).or_default();
        authors.extend(thing.author);
        reviewers.extend(thing.reviewer);
        if is_of {
            (of, of_weight) = (of + 1, of_weight + thing.weight);
            squares[0] += part(thing).powi(2);
        }
        if is_taken && is_of {
            (taken, taken_weight) = (taken + 1, taken_weight + thing.weight);
            squares[1] += part(thing).powi(2);
        }
        if let Some(seconds) = value.filter(|_| is_taken) {
            // Percentiles take weights of ten-thousandths, and of one at least.
            let units = u16::try_from((thing.weight + 5_000) / 10_000)?.max(1);
            samples.push(Sample { seconds, weight: Weight::from_units(units).context("a weight")?, id: thing.id });
            all_weight += thing.weight;
            squares[2] += part(thing).powi(2);
            sum += seconds * thing.weight as f64;
        }
    }
    let sides = if metric.of == MetricOf::Reviews { 2 } else { 1 };
    let smallest = |group: &[BTreeSet<i64>; 2]| group.iter().take(sides).map(BTreeSet::len).min();
    let people = groups.values().filter(|_| metric.of.is_of_people()).filter_map(smallest).min();
    let n_samples = i64::try_from(samples.len())?;
    let whole = Share::WHOLE.0 as f64;
    let (n, weight, value) = match metric.statistic {
        MetricStatistic::Count => (taken, taken_weight, Some(taken as f64)),
        MetricStatistic::Weight => (taken, taken_weight, Some(taken_weight as f64 / whole)),
        MetricStatistic::Share => (of, of_weight, (of_weight > 0).then(|| taken_weight as f64 / of_weight as f64)),
        MetricStatistic::Mean => (n_samples, all_weight, (all_weight > 0).then(|| sum / all_weight as f64)),
        MetricStatistic::P50 => (n_samples, all_weight, weighted_percentile(&samples, 0.5)),
        MetricStatistic::P75 => (n_samples, all_weight, weighted_percentile(&samples, 0.75)),
        MetricStatistic::P90 => (n_samples, all_weight, weighted_percentile(&samples, 0.9)),
    };
    let squares = match metric.statistic {
        MetricStatistic::Share => squares[0],
        MetricStatistic::Count | MetricStatistic::Weight => squares[1],
        _ => squares[2],
    };
    let people = people.map(i64::try_from).transpose()?;
    let lacks_details = metric.needs_details() && events.iter().any(|event| !event.thing.is_read);
    Ok(MetricBucket { start, n, weight: Share(weight), squares, taken, value, people, lacks_details })
}

fn is_same(found: &MetricBucket, expected: &MetricBucket) -> bool {
    let near = match (found.value, expected.value) {
        (Some(found), Some(expected)) => (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
        (found, expected) => found == expected,
    };
    let is_near = near && (found.squares - expected.squares).abs() <= 1e-9 * expected.squares.max(1.0);
    let rest = |bucket: &MetricBucket| MetricBucket { value: None, squares: 0.0, ..*bucket };
    is_near && rest(found) == rest(expected)
}

#[tokio::test]
async fn a_thousand_metrics_equal_plain_rust_over_the_rows() -> Result<()> {
    let definitions = match std::env::var("METRIC_DEFINITIONS") {
        Ok(number) => number.parse()?,
        Err(_) => DEFINITIONS,
    };
    let mut random = Rng::with_seed(48);
    // What would prove nothing: values of nothing, or of everything.
    let mut found_of: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for round in 0..definitions.div_ceil(OF_THE_SAME_ROWS) {
        let database = world(&mut random).await?;
        let pool = database.pool().await?;
        let things = things(&pool).await?;
        let teams: Vec<i64> = sqlx::query_scalar("select id from teams order by id").fetch_all(&pool).await?;
        let reader = database.reader()?;
        for _ in 0..OF_THE_SAME_ROWS.min(definitions - round * OF_THE_SAME_ROWS) {
            let of = MetricOf::ALL[random.usize(0..MetricOf::ALL.len())];
            let (metric, asked) = (definition(&mut random, of)?, Asked::random(&mut random, &teams));
            let mut session = reader.session().await?;
            let found = session.custom_metric(&metric, TeamId(asked.team), asked.range(), asked.zone).await?;
            let expected = asked.expected(&metric, &things)?;
            let context = || format!("{metric:#?}\n{} in {}", metric.formula(), asked.zone);
            ensure!(found.len() == expected.len(), "{}: {:?} {expected:?}", context(), found);
            for (found, expected) in found.iter().zip(&expected) {
                ensure!(is_same(found, expected), "{}\nSQL says {found:?}\nthe rows say {expected:?}", context());
                let (with_value, partial) = found_of.entry(of.to_string()).or_default();
                *with_value += usize::from(expected.value.is_some_and(|value| value > 0.0));
                *partial += usize::from(expected.taken > 0 && expected.taken < expected.n);
            }
        }
    }
    let are_enough =
        found_of.values().all(|(with_value, partial)| with_value * 5 > definitions && partial * 200 > definitions);
    ensure!(found_of.len() == MetricOf::ALL.len() && are_enough, "values, and partial ones: {found_of:?}");
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
    let mut metric = definition(&mut Rng::with_seed(1), MetricOf::PullRequests)?;
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
    let mut metric = definition(&mut Rng::with_seed(2), MetricOf::PullRequests)?;
    (metric.when, metric.than) = (MetricSelection::default(), None);
    (metric.statistic, metric.measure, metric.by) = (MetricStatistic::Count, None, MetricInterval::Month);
    let range = (at(FIRST_DAY), at(FIRST_DAY) + TimeDelta::days(400));
    let sum = |buckets: &[MetricBucket]| buckets.iter().map(|bucket| bucket.n).sum::<i64>();
    let reader = database.reader()?;
    let mine = reader.session().await?.custom_metric(&metric, TeamId(1), range, Tz::UTC).await?;
    ensure!(sum(&mine) > 0 && mine[0].start == Interval::Month.start(range.0.date_naive()));
    let other = mergeline_store::Tenant::new(2);
    let theirs = reader.for_tenant(other).session().await?.custom_metric(&metric, TeamId(1), range, Tz::UTC).await?;
    ensure!(sum(&theirs) == 0, "{theirs:?}");
    Ok(())
}
