#![expect(clippy::float_cmp, reason = "rounded, or exact by construction")]

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use fastrand::Rng;
use proptest::prelude::*;
use serde_json::Value;

use super::histories::{Kind, dated, done_when_sure, false_alarms, found, held};
use super::number::real;
use super::*;
use crate::{MetricId, Period, TeamId, Weight, monday_of, start_of_day};

const STEADY: &str = "6 4 7 5 8 3 6 5 9 4 6 7 5 6 8 4 5 7 6 3 6 8 5 7 4 6";
const ROUGH: &str = "0 12 3 0 9 1 15 2 0 7 4 0 11 6 0 2 14 1 5 0 8 3 10 0 6 2";

fn counts(text: &str) -> Vec<f64> {
    text.split(' ').map(|count| count.parse().expect("a count")).collect()
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("an instant")
}

/// The Monday so many weeks after the first one.
fn monday(week: usize) -> NaiveDate {
    day("2024-01-01") + Days::new(7 * week as u64)
}

fn changes_of(counts: &[f64]) -> ChangeReport {
    level_changes(Scale::Count, &dated(counts))
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let unit = 10_f64.powi(decimals);
    (value * unit).round() / unit
}

mod change {
    use super::*;

    #[test]
    fn the_worked_change_is_found_in_the_sixth_week() {
        let report = changes_of(&counts(&format!("{STEADY} 7 5 9 10 8 11")));
        let baseline = &report.baselines[0];
        assert_eq!((rounded(baseline.mean, 4), rounded(baseline.deviation, 4)), (4.9164, 0.6496));
        let [change] = report.changes.as_slice() else { panic!("{:?}", report.changes) };
        assert_eq!((change.since, change.found), (monday(28), monday(31)), "since the third week, found in the sixth");
        assert_eq!((rounded(change.sum, 4), change.to, change.direction), (6.3647, 9.5, Direction::Up));
        assert_eq!((rounded(change.from, 4), change.n_before, change.n_since, change.weeks), (5.7692, 150.0, 38.0, 4));
        assert_eq!(change.fte, None);
        assert_eq!((report.state, report.weeks_to_learn), (ChangeState::Learning, 22));
        assert_eq!(baseline.until, Some(monday(28)));
    }

    #[test]
    fn the_worked_sums_are_below_six_before() {
        // The sums of the six weeks, to the last printed digit.
        let sums = [0.2928, 0.0, 1.3586, 3.2074, 4.0490, 6.3647];
        let baseline = changes_of(&counts(STEADY)).baselines[0].clone();
        let mut up = 0.0_f64;
        for (count, expected) in [7.0_f64, 5.0, 9.0, 10.0, 8.0, 11.0].into_iter().zip(sums) {
            up = (up + (2.0 * (count + 0.375).sqrt() - baseline.mean) / baseline.deviation - 0.5).max(0.0);
            assert_eq!(rounded(up, 4), expected);
        }
        let report = changes_of(&counts(&format!("{STEADY} 7 5 9 10 8")));
        assert_eq!((report.changes.len(), report.state), (0, ChangeState::Watching));
    }

    #[test]
    fn weeks_that_are_not_complete_are_left_out() {
        let mut weeks = dated(&counts(&format!("{STEADY} 7 5 9 10 8 11")));
        let mut gap = ChangeWeek::count(monday(20), 0.0);
        gap.is_complete = false;
        for week in &mut weeks[20..] {
            week.start = week.start + Days::new(7);
        }
        weeks.insert(20, gap);
        let report = level_changes(Scale::Count, &weeks);
        assert_eq!(report.changes[0].since, monday(29));
        assert_eq!((report.weeks.len(), report.weeks[20].value), (33, None));
    }

    #[test]
    fn a_lasting_fall_is_found_and_silence_follows() {
        let fall = format!("{STEADY} {} {}", "1 0 1 2 1 0 1 1 0 1", "9 9 9 9 9 9 9 9");
        let report = changes_of(&counts(&fall));
        assert_eq!(report.changes.len(), 1, "26 weeks pass before another one can be found");
        assert_eq!((report.changes[0].direction, report.changes[0].since), (Direction::Down, monday(26)));
    }

    #[test]
    fn a_change_of_the_team_is_said_with_it() {
        let with = |fte_before: f64, fte_after: f64| {
            let mut weeks = dated(&counts(&format!("{STEADY} 7 5 9 10 8 11")));
            for (index, week) in weeks.iter_mut().enumerate() {
                week.fte = Some(if index < 28 { fte_before } else { fte_after });
            }
            level_changes(Scale::Count, &weeks).changes[0].fte
        };
        assert_eq!(with(4.0, 5.0), Some(FteShift { from: 4.0, to: 5.0 }));
        assert_eq!(with(4.0, 4.9), None);
    }

    #[test]
    fn below_three_a_week_are_too_few_to_tell() {
        let sparse: Vec<f64> = (0..80).map(|week| f64::from(week % 3 == 0) * 2.0).collect();
        let report = changes_of(&sparse);
        assert_eq!((report.state, report.changes.len()), (ChangeState::TooFew, 0));
        let grown: Vec<f64> = sparse.iter().copied().chain(counts(STEADY).into_iter().map(|it| 2.0 * it)).collect();
        let report = changes_of(&grown);
        assert_eq!((report.state, report.changes.len()), (ChangeState::Watching, 0), "a new baseline begins");
        assert!(report.baselines[1].n_a_week > 9.0, "{:?}", report.baselines);
    }

    #[test]
    fn a_tripled_cycle_time_is_found() {
        let mut rng = Rng::with_seed(7);
        let median = |rng: &mut Rng, base: f64| Some(base * (0.8 * (rng.f64() - 0.5)).exp());
        let weeks: Vec<ChangeWeek> = (0..40)
            .map(|week| {
                let base = if week < 30 { 10_000.0 } else { 30_000.0 };
                let value = if week % 9 == 4 { None } else { median(&mut rng, base) };
                ChangeWeek::duration(monday(week), 10.0, value)
            })
            .collect();
        let report = level_changes(Scale::Duration, &weeks);
        assert_eq!((report.changes.len(), report.changes[0].since), (1, monday(30)));
        assert!((2.0..4.0).contains(&(report.changes[0].to / report.changes[0].from)), "{:?}", report.changes);
    }

    #[test]
    fn weeks_outside_of_the_limits_are_marked() {
        let report = changes_of(&counts(&format!("{STEADY} 7 30 5")));
        let outside: Vec<NaiveDate> = report.weeks.iter().filter(|it| it.is_outside).map(|it| it.start).collect();
        assert_eq!(outside, [monday(27)]);
        let limits = &report.baselines[0];
        // By hand: the mean of y and 2.66 times the mean of its 25 moves, drawn back as (y / 2)² - 3/8.
        let shown = [limits.lower, limits.center, limits.upper].map(|it| rounded(it, 4));
        let y: Vec<f64> = counts(STEADY).iter().map(|count| 2.0 * (count + 0.375).sqrt()).collect();
        let reach = 2.66 * y.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f64>() / 25.0;
        let drawn = [-reach, 0.0, reach].map(|off| rounded(f64::midpoint(4.916_424, off).powi(2) - 0.375, 4));
        assert_eq!(shown, drawn);
    }

    #[test]
    fn a_baseline_of_equal_weeks_has_a_scale() {
        let level = |count: f64, weeks: usize| vec![count; weeks];
        assert_eq!(changes_of(&[level(5.0, 26), level(6.0, 10)].concat()).changes.len(), 0);
        assert_eq!(changes_of(&[level(5.0, 26), level(10.0, 10)].concat()).changes.len(), 1);
    }
}

mod totals {
    use super::*;

    fn total(weeks: &[f64], horizon: usize, probability: f64) -> f64 {
        let horizon = Horizon::new(horizon).expect("a horizon");
        Forecaster::new(weeks).expect("enough").total(horizon, probability)
    }

    #[test]
    fn the_worked_forecasts_hold() {
        for (text, weekly, dispersion, expected) in
            [(STEADY, 5.6971, 1.0, [48.8, 66.2, 86.0, 92.3]), (ROUGH, 4.4519, 4.8294, [20.0, 49.2, 90.6, 105.1])]
        {
            let weeks = counts(text);
            let forecaster = Forecaster::new(&weeks).expect("enough");
            assert_eq!((rounded(forecaster.weekly(), 4), rounded(forecaster.dispersion(), 4)), (weekly, dispersion));
            assert_eq!([0.1, 0.5, 0.85, 0.9].map(|it| rounded(total(&weeks, 12, it), 1)), expected);
        }
    }

    #[test]
    fn a_forecast_needs_26_weeks_and_looks_52_ahead() {
        assert!(Forecaster::new(&counts(STEADY)[1..]).is_none());
        assert_eq!((Horizon::new(0), Horizon::new(53)), (None, None));
        let silent = vec![0.0; 30];
        assert!(total(&silent, 52, 0.5) < 1.0);
        assert_eq!(Forecaster::new(&silent).and_then(|it| it.weeks_until(50.0, 0.85)), None, "not within a year");
    }

    #[test]
    fn a_count_is_done_when_its_total_reaches_it() {
        let weeks = counts(STEADY);
        let report = forecast(&weeks, monday(26), Horizon::new(12).expect("valid"), Some(60.0)).expect("enough");
        let done = report.done.expect("asked for");
        let (likely, sure) = (done.weeks_50.expect("soon"), done.weeks_85.expect("soon"));
        assert!(total(&weeks, likely, 0.5) >= 60.0 && total(&weeks, likely - 1, 0.5) < 60.0);
        assert!(total(&weeks, sure, 0.15) >= 60.0 && total(&weeks, sure - 1, 0.15) < 60.0);
        assert!(likely < sure);
        assert_eq!(done.by_85, Some(monday(26 + sure)));
        assert_eq!((report.totals.len(), report.totals[11].by), (12, monday(38)));
        assert_eq!(report.back_test, BackTest { weeks_ahead: 12, ..BackTest::default() }, "nothing to look back at");
    }

    #[test]
    fn own_errors_count_from_four_stretches_on() {
        let report = |weeks: usize| {
            let counts: Vec<f64> = counts(STEADY).into_iter().cycle().take(weeks).collect();
            forecast(&counts, monday(weeks), Horizon::new(10).expect("valid"), None).expect("enough").totals[9].clone()
        };
        assert_eq!((report(65).stretches, report(65).own_weight), (3, 0.0));
        assert_eq!((report(66).stretches, report(66).own_weight), (4, 0.25));
        let width = |total: &ForecastTotal| total.p97_5 - total.p2_5;
        assert!(width(&report(66)) < width(&report(65)), "a team that was steady is known better");
    }

    #[test]
    fn the_back_test_counts_at_most_52_weeks() {
        let weeks: Vec<f64> = counts(STEADY).into_iter().cycle().take(156).collect();
        let test = back_test(&weeks, Horizon::new(12).expect("valid"));
        assert_eq!((test.weeks, test.held_95), (52, 52));
        assert_eq!(back_test(&weeks[..40], Horizon::new(12).expect("valid")).weeks, 3);
    }

    proptest! {
        #[test]
        fn more_probability_never_means_less(
            weeks in prop::collection::vec(0u32..40, 26..160),
            horizon in 1usize..=52,
            one in 0.025f64..0.975,
            other in 0.025f64..0.975,
        ) {
            let weeks: Vec<f64> = weeks.into_iter().map(f64::from).collect();
            let (low, high) = (one.min(other), one.max(other));
            prop_assert!(total(&weeks, horizon, low) <= total(&weeks, horizon, high) + 1e-9);
        }
    }
}

/// A pull request of a person with its own number.
fn item(id: i64, since: &str, done: Option<&str>) -> GoalItem {
    GoalItem { id, since: at(since), done: done.map(at), ended: None, weight: Weight::FULL, person: id }
}

fn context(clock: &Clock) -> GoalContext<'_> {
    GoalContext { clock, zone: Tz::UTC, min_group_size: 0, metric: &[] }
}

fn office(free: &[&str]) -> Clock {
    let time = |hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("a time");
    let free = free.iter().map(|text| day(text)).collect();
    Clock::Working(WorkingHours { from: time(9), to: time(17), days: WorkingHours::DAYS.to_vec(), free })
}

mod goals {
    use super::*;

    const FOUR_HOURS: TimeDelta = TimeDelta::hours(4);

    fn target(hundredths: u8) -> ShareTarget {
        ShareTarget { within: FOUR_HOURS, share: Percent::new(hundredths).expect("a share") }
    }

    /// In each of some weeks, so many that were in time, and so many that were late.
    fn history(weeks: &[(usize, usize)]) -> Vec<GoalItem> {
        let mut items = Vec::new();
        for (week, (in_time, late)) in weeks.iter().enumerate() {
            let since = start_of_day(monday(week), Tz::UTC) + TimeDelta::hours(30);
            for hours in std::iter::repeat_n(1, *in_time).chain(std::iter::repeat_n(30, *late)) {
                let (id, done) = (i64::try_from(items.len()).expect("few"), Some(since + TimeDelta::hours(hours)));
                items.push(GoalItem { id, since, done, ended: None, weight: Weight::FULL, person: id });
            }
        }
        items
    }

    fn judged(weeks: &[(usize, usize)], hundredths: u8) -> Vec<ShareEvaluation> {
        let evaluated: Vec<GoalWeek> =
            (0..weeks.len()).map(|week| GoalWeek { start: monday(week), is_complete: true }).collect();
        judge_share(target(hundredths), &history(weeks), &evaluated, None, context(&Clock::Wall))
    }

    fn states(evaluations: &[ShareEvaluation]) -> Vec<GoalState> {
        evaluations.iter().map(|evaluation| evaluation.state).collect()
    }

    #[test]
    fn the_interval_of_a_share_is_jeffreys() {
        // Known answers: the quantiles by numerical integration.
        for ((x, n), expected) in [
            ((8.0, 10.0), (0.605_170, 0.916_385)),
            ((0.0, 5.0), (0.001_501, 0.226_725)),
            ((5.0, 5.0), (0.773_275, 0.998_499)),
            ((2.5, 3.7), (0.352_613, 0.891_126)),
        ] {
            let (low, high) = share_interval::jeffreys(x, n);
            assert_eq!((rounded(low, 6), rounded(high, 6)), expected);
        }
    }

    #[test]
    fn what_still_waits_counts_and_what_has_time_does_not() {
        let items = [
            item(1, "2024-01-02T10:00:00Z", Some("2024-01-02T11:00:00Z")),
            item(2, "2024-01-02T10:00:00Z", Some("2024-01-03T11:00:00Z")),
            item(3, "2024-01-02T10:00:00Z", None),
            GoalItem { ended: Some(at("2024-01-02T12:00:00Z")), ..item(4, "2024-01-02T10:00:00Z", None) },
            GoalItem { ended: Some(at("2024-01-04T12:00:00Z")), ..item(5, "2024-01-02T10:00:00Z", None) },
            item(6, "2024-01-07T23:00:00Z", None),
            item(7, "2024-01-02T10:00:00Z", Some("2024-01-02T14:00:00Z")),
            item(8, "2023-12-02T10:00:00Z", None),
        ];
        let week = GoalWeek { start: monday(0), is_complete: true };
        let evaluation = &judge_share(target(80), &items, &[week], None, context(&Clock::Wall))[0];
        let numbers = evaluation.numbers.expect("enough");
        assert_eq!((numbers.n, numbers.n_within, numbers.n_waiting), (5, 2, 1), "1, 2, 3, 5 and 7");
        assert_eq!((rounded(numbers.share, 9), evaluation.from), (0.4, day("2023-12-11")));
    }

    #[test]
    fn a_state_changes_only_with_the_whole_interval() {
        use GoalState::{Inconclusive, Met, Missed};
        let weeks = [(5, 1), (8, 0), (8, 0), (8, 0), (6, 2), (6, 2), (6, 2), (6, 2), (3, 5), (3, 5), (3, 5), (3, 5)];
        let evaluations = judged(&weeks, 80);
        let expected = [Inconclusive, Inconclusive, Met, Met, Met, Met, Met, Met, Missed, Missed, Missed, Missed];
        assert_eq!(states(&evaluations), expected);
        let changed: Vec<usize> = (0..weeks.len()).filter(|week| evaluations[*week].is_changed).collect();
        assert_eq!(changed, [2, 8]);
    }

    #[test]
    fn few_or_unread_weeks_keep_the_state_for_later() {
        use GoalState::{Incomplete, Met, TooFew};
        let weeks = [(9, 0), (9, 0), (9, 0), (9, 0), (0, 0), (0, 0), (0, 0), (0, 0), (2, 1), (2, 1)];
        let mut evaluated: Vec<GoalWeek> =
            (0..weeks.len()).map(|week| GoalWeek { start: monday(week), is_complete: true }).collect();
        evaluated[1].is_complete = false;
        let evaluations = judge_share(target(80), &history(&weeks), &evaluated, None, context(&Clock::Wall));
        assert_eq!(states(&evaluations), [Met, Incomplete, Met, Met, Met, Met, Met, TooFew, TooFew, Met]);
        assert!(evaluations.iter().all(|evaluation| !evaluation.is_changed));
        assert!(evaluations[1].numbers.is_none() && evaluations[7].numbers.is_none());
    }

    #[test]
    fn a_small_group_has_no_numbers() {
        let items: Vec<GoalItem> =
            history(&[(9, 0)]).into_iter().map(|item| GoalItem { person: item.id % 2, ..item }).collect();
        let week = [GoalWeek { start: monday(0), is_complete: true }];
        let of = |min_group_size| {
            let context = GoalContext { min_group_size, ..context(&Clock::Wall) };
            judge_share(target(80), &items, &week, None, context)[0].state
        };
        assert_eq!((of(2), of(3)), (GoalState::Met, GoalState::TooFew));
    }

    #[test]
    fn each_lists_what_breaks_it_and_limit_counts() {
        let items = [
            item(1, "2024-01-01T10:00:00Z", None),
            item(2, "2024-01-03T10:00:00Z", None),
            item(3, "2024-01-08T10:00:00Z", None),
            item(4, "2024-01-01T10:00:00Z", Some("2024-01-05T10:00:00Z")),
        ];
        let now = at("2024-01-10T11:00:00Z");
        let each = judge_each(TimeDelta::days(7), &items, now, true, context(&Clock::Wall));
        assert_eq!((each.state, each.open), (GoalState::Missed, 3));
        assert_eq!(each.breaches.iter().map(|breach| breach.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(each.breaches[0].broken_since, at("2024-01-08T10:00:00Z"));
        let limit = |open| judge_limit(open, &items, now, true).state;
        assert_eq!((limit(3), limit(2)), (GoalState::Met, GoalState::Missed));
        assert_eq!(judge_limit(9, &items, now, false).state, GoalState::Incomplete);
    }

    #[test]
    fn a_week_of_few_people_cannot_be_found_by_subtracting_windows() {
        let mut items = history(&[(9, 0), (8, 1), (1, 2), (9, 0), (9, 0)]);
        // In the third week, one person.
        let third = start_of_day(monday(2), Tz::UTC)..start_of_day(monday(3), Tz::UTC);
        items.iter_mut().filter(|item| third.contains(&item.since)).for_each(|item| item.person = 1);
        let weeks: Vec<GoalWeek> = (0..5).map(|week| GoalWeek { start: monday(week), is_complete: true }).collect();
        let numbers = |items: &[GoalItem], min_group_size| -> Vec<Option<(usize, usize)>> {
            let context = GoalContext { min_group_size, ..context(&Clock::Wall) };
            let judged = judge_share(target(80), items, &weeks, None, context);
            judged.into_iter().map(|it| it.numbers.map(|it| (it.n, it.n_within))).collect()
        };
        let without: Vec<GoalItem> = items.iter().copied().filter(|item| !third.contains(&item.since)).collect();
        assert_eq!(numbers(&items, 3), numbers(&without, 3), "as if it were not there");
        assert_ne!(numbers(&items, 0), numbers(&without, 0));
    }

    #[test]
    fn each_hides_what_few_people_have_open_and_a_count_is_no_secret() {
        let by = |person: i64, id| GoalItem { person, ..item(id, "2024-01-01T10:00:00Z", None) };
        let now = at("2024-01-10T11:00:00Z");
        let few = GoalContext { min_group_size: 2, ..context(&Clock::Wall) };
        let judged = |items: &[GoalItem]| {
            let each = judge_each(TimeDelta::days(7), items, now, true, few);
            (each.state, each.breaches.len(), judge_limit(1, items, now, true).state)
        };
        assert_eq!(judged(&[by(1, 1), by(1, 2)]), (GoalState::TooFew, 0, GoalState::Missed));
        assert_eq!(judged(&[by(1, 1), by(2, 2)]), (GoalState::Missed, 2, GoalState::Missed));
        assert_eq!(judged(&[]), (GoalState::Met, 0, GoalState::Met), "nothing open is of nobody");
        let weeks = [GoalWeek { start: monday(1), is_complete: true }];
        let form = GoalForm::Each { measure: GoalMeasure::Age, within_hours: 24 };
        let state = |items: &[GoalItem]| preview(&form, items, &weeks, few).weeks[0].state;
        assert_eq!((state(&[by(1, 1)]), state(&[by(1, 1), by(2, 2)])), (GoalState::TooFew, GoalState::Missed));
    }

    #[test]
    fn each_measure_has_its_own_instants() {
        let times = GoalTimes {
            id: 1,
            created_at: at("2024-01-01T10:00:00Z"),
            ready_at: Some(at("2024-01-01T11:00:00Z")),
            first_review_at: Some(at("2024-01-01T12:00:00Z")),
            closed_at: Some(at("2024-01-01T13:00:00Z")),
            merged_at: Some(at("2024-01-01T13:00:00Z")),
            has_details: true,
            weight: Weight::FULL,
            person: 7,
        };
        let hours = |times: GoalTimes, measure| {
            let hour = |at: DateTime<Utc>| at.hour();
            times.item(measure).map(|it| (hour(it.since), it.done.map(hour), it.ended.map(hour)))
        };
        assert_eq!(hours(times, GoalMeasure::Pickup), Some((11, Some(12), Some(13))));
        assert_eq!(hours(times, GoalMeasure::Review), Some((12, Some(13), Some(13))));
        assert_eq!(hours(times, GoalMeasure::CycleTime), Some((10, Some(13), Some(13))));
        assert_eq!(hours(times, GoalMeasure::Age), Some((11, Some(13), None)));
        let draft = GoalTimes { ready_at: None, first_review_at: None, closed_at: None, merged_at: None, ..times };
        assert_eq!(
            (hours(draft, GoalMeasure::Pickup), hours(draft, GoalMeasure::Age)),
            (None, None),
            "drafts do not wait"
        );
        assert_eq!(hours(draft, GoalMeasure::CycleTime), Some((10, None, None)));
        let early = GoalTimes { first_review_at: Some(at("2024-01-01T10:30:00Z")), ..times };
        assert_eq!(hours(early, GoalMeasure::Pickup), None, "reviewed before it was ready");
        let late = GoalTimes { first_review_at: Some(at("2024-01-02T10:30:00Z")), ..times };
        assert_eq!(hours(late, GoalMeasure::Pickup), Some((11, None, Some(13))), "merged without a review");
        assert_eq!(hours(late, GoalMeasure::Review), None);
        let closed = GoalTimes { merged_at: None, ..times };
        assert_eq!(hours(closed, GoalMeasure::CycleTime), Some((10, None, Some(13))), "closed unmerged");
        let imported = GoalTimes {
            merged_at: Some(at("2024-01-01T09:00:00Z")),
            closed_at: Some(at("2024-01-01T09:00:00Z")),
            ..times
        };
        assert_eq!(hours(imported, GoalMeasure::CycleTime), None, "merged before it was opened");
    }

    #[test]
    fn a_week_is_judged_by_the_revision_in_force_at_its_end() {
        let since = |week: usize| start_of_day(monday(week), Tz::UTC) + TimeDelta::hours(30);
        let times: Vec<GoalTimes> = (0..80)
            .map(|id| {
                let created_at = since(usize::try_from(id / 8).expect("small"));
                let closed_at = Some(created_at + TimeDelta::hours(6));
                let (ready_at, first_review_at) = (Some(created_at), Some(created_at + TimeDelta::hours(5)));
                let (weight, person) = (Weight::FULL, id);
                GoalTimes {
                    id,
                    created_at,
                    ready_at,
                    first_review_at,
                    closed_at,
                    merged_at: closed_at,
                    has_details: true,
                    weight,
                    person,
                }
            })
            .collect();
        let share = Percent::new(80).expect("a share");
        let revision = |within_hours, from, to| GoalRevision {
            goal: GoalForm::Share { measure: GoalMeasure::Pickup, within_hours, share },
            clock: Clock::Wall,
            sentence: None,
            in_force: Period::new(from, to).expect("a period"),
        };
        let changed = start_of_day(monday(6), Tz::UTC);
        let revisions = [revision(8, None, Some(changed)), revision(4, Some(changed), None)];
        let read = |unread: Option<usize>| -> Vec<ReadWeek> {
            (0..10).map(|week| ReadWeek { start: monday(week), is_complete: unread != Some(week) }).collect()
        };
        let judged = |weeks: &[ReadWeek], times: &[GoalTimes]| {
            let facts =
                GoalFacts { times, metrics: &HashMap::new(), weeks, read_until: Some(since(10)), now: since(10) };
            let history = goal_history(&revisions, &facts, context(&Clock::Wall));
            let states: Vec<(usize, GoalState)> = history.weeks.iter().map(|it| (it.revision, it.state)).collect();
            (states, history.state)
        };
        let (met, missed, incomplete) = (GoalState::Met, GoalState::Missed, GoalState::Incomplete);
        let expected = [(0, met), (0, met), (0, met), (1, missed), (1, missed), (1, missed), (1, missed)];
        assert_eq!(
            judged(&read(None), &times),
            (expected.to_vec(), Some(missed)),
            "four weeks each, from the fourth on"
        );
        let (states, _) = judged(&read(Some(4)), &times);
        assert_eq!(states[..5], [(0, met), (0, incomplete), (0, incomplete), (1, incomplete), (1, incomplete)]);
        let mut pending = times.clone();
        pending[79].has_details = false;
        assert_eq!(judged(&read(None), &pending).1, Some(incomplete), "its reviews are not read yet");
        let facts = GoalFacts {
            times: &times,
            metrics: &HashMap::new(),
            weeks: &read(None),
            read_until: Some(since(10)),
            now: since(10),
        };
        let ended = goal_history(&revisions[..1], &facts, context(&Clock::Wall));
        assert_eq!((ended.state, ended.weeks.len(), ended.suggestion), (None, 3, None), "not in force any more");
    }

    /// A metric that takes what was in time: its weeks say the same as the pull requests do one by one.
    #[test]
    fn a_goal_about_a_metric_is_judged_like_a_share_of_pull_requests() {
        let counts: [(u16, u16); 11] =
            [(8, 0), (8, 0), (2, 6), (2, 6), (2, 6), (8, 0), (8, 0), (8, 0), (8, 0), (0, 0), (1, 0)];
        let weeks: Vec<ReadWeek> =
            (0..counts.len()).map(|week| ReadWeek { start: monday(week), is_complete: true }).collect();
        let metric_weeks: Vec<MetricWeek> = counts
            .into_iter()
            .enumerate()
            .map(|(week, (in_time, late))| MetricWeek {
                start: monday(week),
                n: usize::from(in_time + late),
                n_taken: usize::from(in_time),
                // Each counts half.
                weight: f64::from(in_time + late) / 2.0,
                taken: f64::from(in_time) / 2.0,
                squares: f64::from(in_time + late) / 4.0,
                is_hidden: false,
                is_complete: true,
            })
            .collect();
        let id: MetricId = "in-time".parse().expect("an id");
        let share = Percent::new(80).expect("a share");
        let revision = GoalRevision {
            goal: GoalForm::Metric { metric: id.clone(), share },
            clock: Clock::Wall,
            sentence: None,
            in_force: Period::ALWAYS,
        };
        assert_eq!(
            (revision.asks().as_str(), revision.measured_by()),
            ("the metric in-time is at least 80%", "custom_metric@1")
        );
        let judge = |metrics: &HashMap<MetricId, Vec<MetricWeek>>| {
            let now = start_of_day(monday(counts.len()), Tz::UTC);
            let facts = GoalFacts { times: &[], metrics, weeks: &weeks, read_until: Some(now), now };
            goal_history(std::slice::from_ref(&revision), &facts, context(&Clock::Wall))
        };
        let mut metrics = HashMap::from([(id.clone(), metric_weeks)]);
        let history = judge(&metrics);
        let all: Vec<(GoalState, Option<ShareNumbers>)> =
            history.weeks.iter().map(|week| (week.state, week.numbers)).collect();
        let expected: Vec<(GoalState, Option<ShareNumbers>)> =
            judged(&counts.map(|(in_time, late)| (usize::from(in_time), usize::from(late))), 80)[3..]
                .iter()
                .map(|it| (it.state, it.numbers))
                .collect();
        // The fourth week is missed beyond doubt, so that it does not matter what was before it.
        assert_eq!(all, expected);
        assert_eq!(history.messages(), 1, "missed, and then met");
        assert_eq!(history.suggestion, Some(Suggestion { share: Some(1.0), p50_hours: None }));
        if let Some(weeks) = metrics.get_mut(&id) {
            weeks[5].is_hidden = true;
            weeks[8].is_complete = false;
        }
        let changed = judge(&metrics);
        assert_eq!(
            changed.weeks[2].numbers.map(|it| (it.n, it.n_within)),
            Some((24, 6)),
            "a hidden week is in no window"
        );
        assert_eq!(changed.state, Some(GoalState::Incomplete), "one of its weeks was not read");
        let gone = judge(&HashMap::new());
        assert_eq!(gone.state, Some(GoalState::Incomplete), "the metric is not in the file any more");
    }

    #[test]
    fn a_preview_counts_the_messages_there_would_have_been() {
        let history = history(&[(8, 0), (8, 0), (2, 6), (2, 6), (2, 6), (8, 0), (8, 0), (8, 0), (8, 0)]);
        let weeks: Vec<GoalWeek> = (0..9).map(|week| GoalWeek { start: monday(week), is_complete: true }).collect();
        let share = Percent::new(80).expect("a share");
        let form = GoalForm::Share { measure: GoalMeasure::Pickup, within_hours: 4, share };
        let shown = preview(&form, &history, &weeks, context(&Clock::Wall));
        assert_eq!(shown.messages, shown.weeks.iter().map(|week| week.messages).sum::<usize>());
        assert_eq!(shown.messages, 2, "missed, and met again: {:?}", shown.weeks);
        let suggestion = shown.suggestion.expect("of a share");
        assert_eq!((suggestion.share.map(|it| rounded(it, 4)), suggestion.p50_hours), (Some(1.0), Some(1)));
        let each = GoalForm::Each { measure: GoalMeasure::Pickup, within_hours: 24 };
        let shown = preview(&each, &history, &weeks, context(&Clock::Wall));
        assert_eq!((shown.messages, shown.weeks[2].messages, shown.weeks[2].state), (18, 6, GoalState::Missed));
        assert_eq!(shown.weeks[5].state, GoalState::Met);
        let limit = GoalForm::Limit { open: 7 };
        let shown = preview(&limit, &history, &weeks, context(&Clock::Wall));
        assert_eq!(shown.weeks.iter().map(|week| week.messages).sum::<usize>(), shown.messages);
        assert_eq!(shown.weeks[0].state, GoalState::Met, "they were done before the next collection");
    }

    #[test]
    fn working_hours_skip_nights_weekends_and_free_days() {
        let zone = chrono_tz::Europe::Oslo;
        let clock = office(&["2024-01-08"]);
        let due = |since: &str, hours| clock.due(at(since), TimeDelta::hours(hours), zone);
        // Oslo is an hour ahead of UTC in winter. 2024-01-05 is a Friday; the Monday after it is free.
        assert_eq!(due("2024-01-05T14:00:00Z", 1), at("2024-01-05T15:00:00Z"));
        assert_eq!(due("2024-01-05T14:00:00Z", 4), at("2024-01-09T10:00:00Z"));
        assert_eq!(due("2024-01-06T12:00:00Z", 4), at("2024-01-09T12:00:00Z"));
        assert_eq!(due("2024-01-05T08:00:00Z", 8), at("2024-01-09T08:00:00Z"), "used up at the end of work");
        let elapsed = |from: &str, to: &str| clock.elapsed(at(from), at(to), zone).num_hours();
        assert_eq!(elapsed("2024-01-05T14:00:00Z", "2024-01-09T10:00:00Z"), 4);
        assert_eq!(elapsed("2024-01-06T12:00:00Z", "2024-01-08T20:00:00Z"), 0);
    }

    proptest! {
        #[test]
        fn within_means_due_by_any_clock(start in 0i64..20_000_000, wait in 0i64..2_000_000, hours in 1i64..80) {
            let since = at("2024-01-01T00:00:00Z") + TimeDelta::seconds(start);
            let done = since + TimeDelta::seconds(wait);
            for clock in [Clock::Wall, office(&["2024-03-29", "2024-04-01"])] {
                let zone = chrono_tz::America::New_York;
                let is_within = clock.elapsed(since, done, zone) <= TimeDelta::hours(hours);
                prop_assert_eq!(is_within, done <= clock.due(since, TimeDelta::hours(hours), zone));
            }
        }

        #[test]
        fn a_state_never_turns_without_the_interval(
            weeks in prop::collection::vec((0usize..9, 0usize..9), 5..40),
            hundredths in 10u8..95,
        ) {
            let wanted = f64::from(hundredths) / 100.0;
            let mut before = None;
            for evaluation in judged(&weeks, hundredths) {
                let Some(numbers) = evaluation.numbers else { continue };
                prop_assert!(numbers.low <= numbers.high && (0.0..=1.0).contains(&numbers.share));
                match (before, evaluation.state) {
                    (Some(GoalState::Met), GoalState::Missed) => prop_assert!(numbers.high < wanted),
                    (Some(GoalState::Missed), GoalState::Met) => prop_assert!(numbers.low >= wanted),
                    (Some(GoalState::Met | GoalState::Missed), state) => prop_assert_eq!(Some(state), before),
                    _ => {}
                }
                if numbers.low >= wanted {
                    prop_assert_eq!(evaluation.state, GoalState::Met);
                }
                before = Some(evaluation.state);
            }
        }

        #[test]
        fn the_unit_of_weights_does_not_matter(outcomes in prop::collection::vec((any::<bool>(), 1u16..100), 1..40)) {
            let of = |factor: f64| {
                let weighted = outcomes.iter().map(|(is_in, weight)| (*is_in, f64::from(*weight) * factor));
                share_interval::effective(weighted).expect("some")
            };
            let ((x, n), (other_x, other_n)) = (of(1.0), of(0.01));
            prop_assert!((x - other_x).abs() < 1e-6 && (n - other_n).abs() < 1e-6);
            prop_assert!(n <= real(outcomes.len()) + 1e-6, "weights never make more of them");
        }
    }
}

mod bottlenecks {
    use super::*;

    fn weight(units: u16) -> Weight {
        Weight::from_units(units).expect("a weight")
    }

    #[test]
    fn one_slow_pull_request_rules_the_shares_not_the_medians() {
        let of = |seconds: [f64; 3]| PhaseTimes {
            seconds: [Some(seconds[0]), Some(seconds[1]), Some(seconds[2]), None],
            weight: Weight::FULL,
        };
        let mut items = vec![of([6.0, 3.0, 1.0]), of([6.0, 3.0, 1.0]), of([0.0, 990.0, 0.0])];
        items.push(PhaseTimes { seconds: [Some(1.0), None, Some(1.0), None], weight: Weight::FULL });
        let share = time_share(&items, Phase::UNTIL_MERGE);
        assert_eq!((share.n, &share.missing), (3, &BTreeMap::from([(Phase::Pickup, 1)])));
        let pickup = share.phases[1];
        assert_eq!((pickup.share.map(|it| rounded(it, 4)), pickup.median_share), (Some(0.9861), Some(0.3)));
        let all = time_share(&items, Phase::ALL);
        assert_eq!((all.n, all.phases[0].share), (0, None));
        assert_eq!(all.missing, BTreeMap::from([(Phase::Pickup, 1), (Phase::Deploy, 3)]));
    }

    #[test]
    fn open_work_is_compared_with_what_was_merged() {
        let merged: Vec<MergedTime> = (1..=20)
            .map(|hour| MergedTime {
                seconds: 3600.0 * f64::from(hour),
                weight: Weight::FULL,
                person: i64::from(hour % 3),
            })
            .collect();
        let open = [OpenAge { id: 1, seconds: 17.5 * 3600.0 }, OpenAge { id: 2, seconds: 40.0 * 3600.0 }];
        let ages = wip_age(&open, &merged, 3);
        let shown: Vec<_> = ages.open.iter().map(|open| (open.id, open.older_than)).collect();
        assert_eq!(shown, [(2, Some(1.0)), (1, Some(0.85))]);
        assert_eq!((ages.p50_hours, ages.open[0].hours), (Some(10.5), 40.0));
        let hidden = wip_age(&open, &merged, 4);
        assert!(hidden.is_suppressed && hidden.p85_hours.is_none() && hidden.open[0].older_than.is_none());
        assert_eq!(wip_age(&open, &merged[..4], 0).p50_hours, None, "four are too few");
    }

    #[test]
    fn sizes_fall_into_their_classes() {
        let of = |lines, pickup, person| SizedTimes { lines, pickup, review: None, weight: Weight::FULL, person };
        let items = [
            of(Some(10), Some(60.0), 1),
            of(Some(11), Some(60.0), 1),
            of(Some(50), Some(120.0), 2),
            of(Some(1_001), None, 1),
            of(None, Some(1.0), 1),
        ];
        let effect = size_effect(&items, 2);
        assert_eq!(effect.classes.iter().map(|class| class.n).collect::<Vec<_>>(), [1, 2, 0, 0, 0, 1]);
        assert_eq!(
            (effect.classes[0].pickup_p50_hours, effect.classes[0].is_suppressed),
            (None, true),
            "of one person"
        );
        assert_eq!(
            (effect.classes[1].pickup_p50_hours, effect.classes[1].above, effect.n_unknown),
            (Some(0.025), Some(10), 1)
        );
        assert_eq!((effect.classes[5].up_to, effect.classes[5].is_suppressed), (None, false));
    }

    #[test]
    fn the_spread_of_reviews_hides_small_groups() {
        let reviewers = [1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 7];
        let spread = review_spread(&reviewers, 0);
        assert_eq!((spread.half_by, spread.people, spread.n), (Some(2), Some(7), 11));
        assert_eq!(review_spread(&reviewers, 8).people, None);
        let four = review_spread(&[1, 2, 3, 4], 0);
        assert_eq!((four.is_suppressed, four.half_by), (true, None), "fewer than five are never shown");
        assert!(!review_spread(&[], 0).is_suppressed);
    }

    #[test]
    fn the_calendar_is_of_the_teams_zone() {
        let opened =
            |text: &str, person| OpenedPickup { opened: at(text), pickup: 7200.0, weight: Weight::FULL, person };
        // 23:30 UTC on Sundays is half past midnight on Mondays in Oslo.
        let items: Vec<OpenedPickup> = (0..6).map(|person| opened("2024-01-07T23:30:00Z", person)).collect();
        let range = (day("2024-01-01"), day("2024-04-01"));
        let calendar = pickup_calendar(&items, range, chrono_tz::Europe::Oslo, 5).expect("13 weeks");
        let [cell] = calendar.cells.as_slice() else { panic!("{calendar:?}") };
        assert_eq!((cell.weekday, cell.hour, cell.n, cell.pickup_p50_hours), (1, 0, 6, 2.0));
        assert!(pickup_calendar(&items[..5], range, Tz::UTC, 0).expect("13 weeks").cells.is_empty());
        assert!(pickup_calendar(&items, range, Tz::UTC, 7).expect("13 weeks").cells.is_empty());
        assert!(pickup_calendar(&items, (range.0, day("2024-03-25")), Tz::UTC, 0).is_none());
    }

    #[test]
    fn fte_weeks_integrate_memberships() {
        let zone = chrono_tz::Europe::Oslo;
        let from = |text: &str| Some(start_of_day(day(text), zone));
        let memberships = [
            (Period::ALWAYS, Weight::FULL),
            (Period::new(from("2024-04-04"), None).expect("valid"), weight(5_000)),
            (Period::new(None, from("2024-03-01")).expect("valid"), Weight::FULL),
        ];
        // From Monday to Sunday; half a person comes on Thursday.
        let week = (day("2024-04-01"), day("2024-04-08"));
        let had = capacity(&memberships, week, zone, 40_000);
        assert_eq!(had.fte_weeks.map(|it| rounded(it, 9)), Some(rounded(1.0 + 0.5 * 4.0 / 7.0, 9)));
        assert_eq!(had.merged_per_fte_week.map(|it| rounded(it, 4)), Some(3.1111));
        // A week in which clocks change is a week.
        assert_eq!(fte_weeks(&memberships[..1], (day("2024-03-25"), day("2024-04-01")), zone), 1.0);
        assert_eq!(capacity(&[], week, zone, 0).merged_per_fte_week, None);
    }

    #[test]
    fn the_first_rule_decides_about_the_category() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let rule = |category, labels: &[&str], branches: &[&str], titles: &[&str]| {
            InvestmentRule::new(category, &list(labels), &list(branches), &list(titles)).expect("patterns")
        };
        let rules = [
            rule("rework", &[], &[], &[]).with_rework(),
            rule("upkeep", &["Dependencies"], &["renovate/*"], &["chore*"]),
            rule("features", &["feature"], &[], &[]),
        ];
        let none: Vec<String> = Vec::new();
        let (labels, feature) = (list(&["dependencies", "feature"]), list(&["FEATURE"]));
        let of = |labels, branch, title, is_rework| Invested { labels, branch, title, is_rework, weight: Weight::FULL };
        let items = [
            of(&labels, None, "Bump", false),
            of(&labels, None, "Revert", true),
            of(&feature, Some("x"), "Add", false),
            of(&none, Some("renovate/serde"), "Update", false),
            of(&none, None, "Chore: tidy", false),
            of(&none, None, "Something", false),
        ];
        let shown = investment(&items, &rules);
        let counts: Vec<_> = shown.categories.iter().map(|it| (it.category.as_deref(), it.n)).collect();
        assert_eq!(counts, [(Some("rework"), 1), (Some("upkeep"), 3), (Some("features"), 1), (None, 1)]);
        assert_eq!(investment(&[], &rules).categories[0].share, None);
    }

    #[test]
    fn only_stars_mean_something_in_rules() {
        let takes = |pattern: &str, title: &str| {
            let rule = InvestmentRule::new("it", &[], &[], &[pattern.to_owned()]).expect("a pattern");
            let item = Invested { labels: &[], branch: None, title, is_rework: false, weight: Weight::FULL };
            investment(&[item], &[rule]).categories[0].n == 1
        };
        for (pattern, title) in [
            ("[Security] *", "[security] Bump openssl"),
            ("**fix**", "A fix!"),
            ("*", ""),
            ("why?", "Why?"),
            ("a*b*", "AxxB"),
        ] {
            assert!(takes(pattern, title), "{pattern}");
        }
        for (pattern, title) in [("[Security] *", "S"), ("Change 1??", "Change 123"), ("fix", "A fix"), ("a*b", "ab c")]
        {
            assert!(!takes(pattern, title), "{pattern}");
        }
    }

    fn shares() -> impl Strategy<Value = Vec<(TeamId, Weight)>> {
        prop::collection::vec((1i64..5, 1u16..3_000), 0..3)
            .prop_map(|teams| teams.into_iter().map(|(team, units)| (TeamId(team), weight(units))).collect())
    }

    proptest! {
        #[test]
        fn shares_of_time_sum_to_one(
            items in prop::collection::vec((prop::array::uniform4(prop::option::weighted(0.9, 0u32..900_000)), 1u16..=10_000), 1..40),
        ) {
            let items: Vec<PhaseTimes> = items
                .into_iter()
                .map(|(seconds, units)| PhaseTimes { seconds: seconds.map(|it| it.map(f64::from)), weight: weight(units) })
                .collect();
            let share = time_share(&items, Phase::ALL);
            prop_assert_eq!(share.n + share.missing.values().sum::<usize>(), items.len());
            let shares: Option<Vec<f64>> = share.phases.iter().map(|phase| phase.share).collect();
            if let Some(shares) = shares {
                prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            }
        }

        #[test]
        fn the_flow_of_reviews_is_conserved(
            reviews in prop::collection::vec((shares(), shares(), prop::option::of(0u32..9_000), 0i64..4, 0i64..4), 0..30),
            min_group_size in 0usize..5,
        ) {
            let reviews: Vec<FlowingReview<'_>> = reviews
                .iter()
                .map(|(author_teams, reviewer_teams, wait, author, reviewer)| FlowingReview {
                    author_teams,
                    reviewer_teams,
                    wait: wait.map(f64::from),
                    author: *author,
                    reviewer: *reviewer,
                    week: monday(0),
                })
                .collect();
            let flow = review_flow(&reviews, min_group_size);
            let units: u64 = flow.cells.iter().map(|cell| cell.units).sum();
            prop_assert_eq!(units, FlowCell::UNITS * reviews.len() as u64);
            prop_assert!(min_group_size < 5 || flow.cells.iter().all(|cell| cell.wait.is_none()));
        }

        #[test]
        fn investments_sum_to_all(labels in prop::collection::vec((prop::collection::vec("[a-d]", 0..3), 1u16..=10_000), 0..40)) {
            let rules: Vec<InvestmentRule> =
                ["a", "b", "a"].iter().map(|it| InvestmentRule::new(it, &[(*it).to_owned()], &[], &[]).expect("a rule")).collect();
            let items: Vec<Invested<'_>> = labels
                .iter()
                .map(|(labels, units)| Invested { labels, branch: None, title: "", is_rework: false, weight: weight(*units) })
                .collect();
            let shown = investment(&items, &rules);
            prop_assert_eq!(shown.categories.len(), 3);
            prop_assert_eq!(shown.categories.iter().map(|it| it.n).sum::<usize>(), items.len());
            prop_assert_eq!(shown.categories.iter().map(|it| it.weight_units).sum::<u64>(), shown.weight_units);
        }

        #[test]
        fn small_groups_show_no_median(people in prop::collection::vec(0i64..9, 1..60), min_group_size in 2usize..8) {
            let distinct = people.iter().collect::<std::collections::BTreeSet<_>>().len();
            let sized: Vec<SizedTimes> = people
                .iter()
                .map(|person| SizedTimes { lines: Some(5), pickup: Some(1.0), review: Some(1.0), weight: Weight::FULL, person: *person })
                .collect();
            prop_assert_eq!(size_effect(&sized, min_group_size).classes[0].pickup_p50_hours.is_some(), distinct >= min_group_size);
            let merged: Vec<MergedTime> =
                people.iter().map(|person| MergedTime { seconds: 1.0, weight: Weight::FULL, person: *person }).collect();
            prop_assert!(distinct >= min_group_size || wip_age(&[], &merged, min_group_size).p50_hours.is_none());
            prop_assert_eq!(review_spread(&people, min_group_size).people.is_some(), distinct >= min_group_size.max(5));
        }
    }
}

/// What follows is of few histories, so its bounds are wide: the example `insight` says how it is of a thousand.
mod made_up_teams {
    use super::*;

    const SEEDS: std::ops::Range<u64> = 0..60;

    #[test]
    fn intervals_hold_about_what_they_say() {
        let [fifty, eighty, most] = held(SEEDS, Horizon::new(12).expect("valid"), |rng| Kind::real(rng, 1.0..35.0));
        assert!((0.44..0.60).contains(&fifty), "{fifty}");
        assert!((0.75..0.88).contains(&eighty), "{eighty}");
        assert!((0.90..0.98).contains(&most), "{most}");
        let done = done_when_sure(SEEDS);
        assert!((0.75..1.0).contains(&done), "{done}");
    }

    #[test]
    fn false_alarms_are_rare() {
        let poisson = |rng: &mut Rng| Kind { dispersion: 1.0, likeness: 0.0, drift: 0.0, ..Kind::real(rng, 3.0..35.0) };
        let alarms = false_alarms(SEEDS, poisson);
        assert!(alarms < 0.3, "{alarms} a year");
    }

    #[test]
    fn most_halvings_and_doublings_of_busy_teams_are_found() {
        for factor in [0.5, 2.0] {
            let (part, after) = found(SEEDS, factor, 10.0..35.0);
            assert!(part > 0.5 && after <= 10, "{factor}: {part} after {after}");
        }
    }
}

/// The weekly merges of a recorded repository, from the first to the last; `None` where the recordings are not at hand.
fn recorded(name: &str) -> Option<Vec<f64>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("MERGELINE_TEST_DATA").map_or(beside, Into::into);
    let Ok(text) = std::fs::read_to_string(folder.join(format!("prs/{name}.jsonl"))) else {
        // Bypasses the test harness, which would capture it.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: no recorded data in {}; set MERGELINE_TEST_DATA to the folder that has them",
            folder.display()
        );
        return None;
    };
    let merges = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        let merged = line["merged_at"].as_str().map(at)?;
        Some(monday_of(merged.date_naive()))
    });
    let mut weeks: BTreeMap<NaiveDate, f64> = BTreeMap::new();
    for monday in merges {
        *weeks.entry(monday).or_default() += 1.0;
    }
    let (first, last) = (*weeks.keys().next()?, *weeks.keys().next_back()?);
    let mondays = std::iter::successors(Some(first), |monday| Some(*monday + Days::new(7)));
    Some(mondays.take_while(|monday| *monday <= last).map(|it| weeks.get(&it).copied().unwrap_or_default()).collect())
}

#[test]
fn sparse_recordings_are_too_few_to_tell() {
    for name in ["bitcoin-core__gui", "cfrg__draft-irtf-cfrg-vdaf"] {
        let Some(weeks) = recorded(name) else { return };
        let report = changes_of(&weeks);
        assert_eq!(report.state, ChangeState::TooFew, "{name}");
        let test = back_test(&weeks, Horizon::new(12).expect("valid"));
        assert_eq!(test.weeks, 52, "{name}");
        let starts: Vec<NaiveDate> = report.changes.iter().map(|change| change.since).collect();
        let busy = report.baselines.iter().filter(|baseline| baseline.n_a_week >= FEW_A_WEEK);
        assert_eq!(
            starts,
            busy.filter_map(|it| it.until).collect::<Vec<_>>(),
            "{name}: only of what was no longer few"
        );
    }
}
