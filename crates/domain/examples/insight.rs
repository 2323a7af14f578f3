//! How forecasts, change detection and goals do on made-up histories, from seeds, and how fast they are.
//!
//! `cargo run --release -p mergeline-domain --example insight [HISTORIES]`; 1,000 histories unless it says otherwise.

#[path = "../src/insight/histories.rs"]
mod histories;

use std::collections::BTreeSet;
use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use fastrand::Rng;
use mergeline_domain::insight::{
    ChangeWeek, Clock, Forecaster, GoalContext, GoalForm, GoalItem, GoalMeasure, GoalWeek, Horizon, Percent, Scale,
    ShareTarget, WorkingHours, back_test, forecast, judge_share, level_changes, preview,
};
use mergeline_domain::{Weight, start_of_day};

use histories::{Kind, dated, done_when_sure, false_alarms, found, held};

/// The teams and the weeks that the time is measured with.
const TEAMS: u64 = 200;
const WEEKS: usize = 156;

#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
fn main() {
    let histories = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let seeds = 0..histories;
    println!(
        "{histories} histories; 2 to 5 times the variance of Poisson, neighboring weeks alike, a level that wanders"
    );
    for weeks in [1, 4, 8, 12, 26] {
        let Some(horizon) = Horizon::new(weeks) else { continue };
        let real = |rng: &mut Rng| Kind::real(rng, 1.0..35.0);
        let clinging = |rng: &mut Rng| Kind { likeness: 0.5 + 0.4 * rng.f64(), drift: 0.0, ..real(rng) };
        let shown = |held: [f64; 3]| held.map(|part| format!("{:.1}", 100.0 * part)).join(", ");
        let (usual, hard) = (held(seeds.clone(), horizon, real), held(seeds.clone(), horizon, clinging));
        println!(
            "intervals of {weeks:2} weeks said to hold 50, 80, 95 %: {}; weeks that cling: {}",
            shown(usual),
            shown(hard)
        );
    }
    println!("done when 85 % sure: {:.1} %", 100.0 * done_when_sure(seeds.clone()));
    let independent = |dispersion: f64| {
        move |rng: &mut Rng| Kind { dispersion, likeness: 0.0, drift: 0.0, ..Kind::real(rng, 3.0..35.0) }
    };
    println!("false alarms a year, Poisson: {:.2}", false_alarms(seeds.clone(), independent(1.0)));
    println!("false alarms a year, independent weeks: {:.2}", false_alarms(seeds.clone(), independent(3.0)));
    for likeness in [0.1, 0.2, 0.3, 0.4, 0.7] {
        let kind = |rng: &mut Rng| Kind { likeness, drift: 0.0, ..Kind::real(rng, 3.0..35.0) };
        println!("false alarms a year, levels alike by {likeness}: {:.2}", false_alarms(seeds.clone(), kind));
    }
    for (a_week, what) in [(10.0..35.0, "above 10 a week"), (3.0..10.0, "from 3 to 10"), (1.0..3.0, "below 3")] {
        for (factor, change) in [(0.5, "halved"), (2.0, "doubled")] {
            let (part, after) = found(seeds.clone(), factor, a_week.clone());
            println!("{change}, {what}: {:.0} % found within 16 weeks, the median one after {after}", 100.0 * part);
        }
    }
    for (part, target, what) in [(0.5, 50, "set at what the team does"), (0.6, 50, "that is met on the whole")] {
        println!("changes a year of a goal {what}: {:.1}", goal_changes(seeds.clone(), part, target));
    }
    measure();
}

/// The Monday so many weeks after the first one.
fn monday(week: usize) -> NaiveDate {
    NaiveDate::from_ymd_opt(2023, 1, 2).unwrap_or_default() + Days::new(7 * u64::try_from(week).unwrap_or_default())
}

/// The pull requests of a team, so many a week, of which a part is picked up within 4 hours.
fn items(rng: &mut Rng, weeks: &[f64], part: f64) -> Vec<GoalItem> {
    let mut items = Vec::new();
    for (week, count) in weeks.iter().enumerate() {
        let start: DateTime<Utc> = start_of_day(monday(week), Tz::UTC);
        let mut left = *count;
        while left > 0.0 {
            let since = start + TimeDelta::minutes(rng.i64(0..7 * 24 * 60));
            let wait = if rng.f64() < part { rng.i64(1..240) } else { rng.i64(241..6_000) };
            let (id, person) = (i64::try_from(items.len()).unwrap_or_default(), rng.i64(0..8));
            let done = Some(since + TimeDelta::minutes(wait));
            items.push(GoalItem { id, since, done, ended: None, weight: Weight::FULL, person });
            left -= 1.0;
        }
    }
    items
}

fn goal_weeks(count: usize) -> Vec<GoalWeek> {
    (3..count).map(|week| GoalWeek { start: monday(week), is_complete: true }).collect()
}

/// How often a year the state of a share of the pickup changes that a team reaches by a part.
#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 of anything")]
fn goal_changes(seeds: Range<u64>, part: f64, target: u8) -> f64 {
    let (mut changes, mut judged) = (0, 0);
    let context = GoalContext { clock: &Clock::Wall, zone: Tz::UTC, min_group_size: 0, metric: &[] };
    for seed in seeds {
        let mut rng = Rng::with_seed(seed);
        let weeks = Kind::real(&mut rng, 3.0..35.0).weeks(&mut rng, WEEKS, None);
        let Some(share) = Percent::new(target) else { continue };
        let target = ShareTarget { within: TimeDelta::hours(4), share };
        let states = judge_share(target, &items(&mut rng, &weeks, part), &goal_weeks(WEEKS), None, context);
        judged += states.len();
        changes += states.iter().filter(|state| state.is_changed).count();
    }
    52.0 * changes as f64 / judged as f64
}

/// Goals, changes and forecasts of 200 teams over three years.
#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
fn measure() {
    let nine = NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default();
    let five = NaiveTime::from_hms_opt(17, 0, 0).unwrap_or_default();
    let (days, free) = (WorkingHours::DAYS.to_vec(), BTreeSet::from([monday(51)]));
    let office = Clock::Working(WorkingHours { from: nine, to: five, days, free });
    let teams: Vec<(Vec<f64>, Vec<GoalItem>)> = (0..TEAMS)
        .map(|seed| {
            let mut rng = Rng::with_seed(seed);
            let weeks = Kind::real(&mut rng, 1.0..35.0).weeks(&mut rng, WEEKS, None);
            let items = items(&mut rng, &weeks, 0.6);
            (weeks, items)
        })
        .collect();
    let share = Percent::new(60);
    let weeks = goal_weeks(WEEKS);
    let (mut changes, mut forecasts, mut goals) = (0.0, 0.0, 0.0);
    let seconds = |since: Instant| since.elapsed().as_secs_f64();
    for (counts, items) in &teams {
        let start = Instant::now();
        let medians: Vec<ChangeWeek> =
            dated(counts).into_iter().map(|it| ChangeWeek { value: Some(3_600.0 * (1.0 + it.n)), ..it }).collect();
        black_box(level_changes(Scale::Count, &dated(counts)));
        black_box(level_changes(Scale::Duration, &medians));
        changes += seconds(start);
        let start = Instant::now();
        for horizon in [4, 12, 26].into_iter().filter_map(Horizon::new) {
            black_box(forecast(counts, monday(WEEKS), horizon, Some(100.0)));
        }
        forecasts += seconds(start);
        let start = Instant::now();
        for clock in [&Clock::Wall, &office] {
            let context = GoalContext { clock, zone: chrono_tz::Europe::Oslo, min_group_size: 2, metric: &[] };
            let (measure, within_hours) = (GoalMeasure::Pickup, 4);
            for form in [
                share.map(|share| GoalForm::Share { measure, within_hours, share }),
                Some(GoalForm::Each { measure, within_hours: 48 }),
                Some(GoalForm::Limit { open: 10 }),
            ] {
                black_box(form.map(|form| preview(&form, items, &weeks, context)));
            }
        }
        goals += seconds(start);
    }
    let pull_requests: usize = teams.iter().map(|(_, items)| items.len()).sum();
    println!(
        "{TEAMS} teams, {WEEKS} weeks, {pull_requests} pull requests: {:.2} s (changes of two numbers {changes:.2}, forecasts of three \
         horizons with back-tests {forecasts:.2}, six goals in each week {goals:.2})",
        changes + forecasts + goals
    );
}
