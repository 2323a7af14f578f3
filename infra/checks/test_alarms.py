"""When alarms ring: CloudWatch's rules for windows and missing data, on made-up hours."""

import policies
import pytest

HOUR, DAY = 60, 24 * 60  # minutes


class History:
    """What was sent, by the minute."""

    def __init__(self, sent=()):
        self.sent = list(sent)

    def __add__(self, other):
        return History(self.sent + other.sent)

    def values(self, metric, begin, end):
        return [values[metric] for minute, values in self.sent if begin <= minute < end and metric in values]


def aggregated(values, statistic):
    return {"Sum": sum, "Maximum": max, "Minimum": min}[statistic](values) if values else None


def expression(text, values):
    """The part of metric math that is used here. What has no value gives none, but for FILL."""

    def fill(value, otherwise):
        return otherwise if value is None else value

    functions = {"IF": lambda condition, yes, no: yes if condition else no, "FILL": fill}
    if "FILL" not in text and None in values.values():
        return None
    return float(eval(text.replace("AND", "and"), {"__builtins__": {}}, functions | values))


def datapoint(alarm, history, end):
    """The value of the window that ends then; `None` when there is none."""
    if "Metrics" not in alarm:
        values = history.values(alarm["MetricName"], end - alarm["Period"] // 60, end)
        return aggregated(values, alarm["Statistic"])
    values = {}
    for query in alarm["Metrics"]:
        if "MetricStat" in query:
            stat = query["MetricStat"]
            found = history.values(stat["Metric"]["MetricName"], end - stat["Period"] // 60, end)
            values[query["Id"]] = aggregated(found, stat["Stat"])
    (result,) = [query["Expression"] for query in alarm["Metrics"] if "Expression" in query]
    return expression(result, values)


def rings(alarm, history, now, rang=False, threshold=None):
    """Whether an alarm rings at a minute."""
    period = policies.queries(alarm)[0][3] // 60
    count = alarm["EvaluationPeriods"]
    points = [datapoint(alarm, history, now - period * back) for back in range(count)]
    limit = threshold or float(alarm["Threshold"])
    breaches = {
        "LessThanThreshold": lambda value: value < limit,
        "GreaterThanThreshold": lambda value: value > limit,
        "GreaterThanOrEqualToThreshold": lambda value: value >= limit,
    }[alarm["ComparisonOperator"]]
    missing = alarm["TreatMissingData"]
    if missing == "ignore" and None in points:
        return rang
    bad = [missing == "breaching" if point is None else breaches(point) for point in points]
    return sum(bad) >= alarm.get("DatapointsToAlarm", count)


def run(begin, minutes=10, repositories=0, completes=True, **more):
    """What a run sends: the plan, each worker's batch, and at last that it is over."""
    batch = {"RunsCompleted": 0, "RepositoriesFailed": repositories, **more}
    plan = {"RunsCompleted": 0, "RepositoriesFailed": 0, "DataFreshness": 4 * 3600}
    last = {"RunsCompleted": int(completes), "RepositoriesFailed": 0}
    return History([(begin, plan), (begin + minutes // 2, batch), (begin + minutes, last)])


def runs(hours, **facts):
    return sum((run(hour * HOUR, **facts) for hour in hours), History())


@pytest.fixture
def alarm(template):
    return lambda name: template["Resources"][name]["Properties"]


def test_a_run_every_four_hours_is_silence(alarm):
    history = runs(range(0, 49, 4))
    for minute in range(10 * HOUR, 49 * HOUR, 7):
        for name in ("NoRunCompleted", "RunFailed", "RunsPartial"):
            assert not rings(alarm(name), history, minute), (name, minute)


def test_a_schedule_that_stops_is_told_within_nine_hours(alarm):
    history = runs(range(0, 9, 4))  # The last one is over ten minutes after the eighth hour.
    assert not rings(alarm("NoRunCompleted"), history, 17 * HOUR)
    assert rings(alarm("NoRunCompleted"), history, 17 * HOUR + 11)
    assert rings(alarm("NoRunCompleted"), History(), 0)


def test_runs_that_begin_and_never_complete_are_told(alarm):
    history = runs(range(0, 25, 4), completes=False)
    assert rings(alarm("NoRunCompleted"), history, 24 * HOUR)


def test_a_run_in_which_everything_failed_is_told_before_the_next_one(alarm):
    history = runs((0, 4, 8)) + run(12 * HOUR, repositories=3, completes=False)
    assert [rings(alarm("RunFailed"), history, hour * HOUR) for hour in (11, 12, 14, 15)] == [False, False, True, True]


def test_a_run_in_which_something_failed_is_no_failed_run(alarm):
    # However long it takes, and at no minute.
    history = runs(range(0, 25, 4), minutes=50, repositories=2)
    assert not any(rings(alarm("RunFailed"), history, minute) for minute in range(5 * HOUR, 25 * HOUR))


def test_three_partial_runs_in_a_row_are_told(alarm):
    good, bad = runs((0, 4, 8)), runs((12, 16, 20), repositories=1)
    assert rings(alarm("RunsPartial"), good + bad, 21 * HOUR)
    assert not rings(alarm("RunsPartial"), good + bad, 19 * HOUR)
    assert not rings(alarm("RunsPartial"), bad + runs((24, 28)), 29 * HOUR)


def test_old_data_is_told_and_silence_changes_nothing(alarm):
    stale = alarm("DataStale")

    def fresh(hour, seconds):
        return History([(hour * HOUR, {"DataFreshness": seconds})])

    day = 24.0
    assert not rings(stale, fresh(0, 4 * 3600) + fresh(1, 600), 2 * HOUR, threshold=day)
    assert rings(stale, fresh(0, 25 * 3600), 2 * HOUR, threshold=day)
    assert rings(stale, History(), 2 * HOUR, rang=True, threshold=day)
    assert not rings(stale, History(), 2 * HOUR, rang=False, threshold=day)


@pytest.mark.parametrize(("days", "is_told"), [(13.9, True), (14.1, False), (-1.0, True), (None, False)])
def test_a_token_is_told_two_weeks_before_its_end(alarm, days, is_told):
    history = History([(hour * HOUR, {"TokenDaysLeft": days}) for hour in range(0, 24, 4)] if days else [])
    assert rings(alarm("TokenExpires"), history, 23 * HOUR) is is_told


def test_a_refused_token_is_told_at_once(alarm):
    assert rings(alarm("TokenRefused"), History([(3, {"TokenRefused": 1})]), 5)
    assert not rings(alarm("TokenRefused"), History([(3, {"TokenRefused": 0})]), 5)


def test_a_limit_is_told_when_it_was_low_twice(alarm):
    def left(hour, requests):
        return History([(hour * HOUR, {"RateLimitRemaining": requests})])

    assert not rings(alarm("RateLimitLow"), left(1, 4800) + left(5, 500), 8 * HOUR)
    assert rings(alarm("RateLimitLow"), left(1, 520) + left(5, 500), 8 * HOUR)


def test_a_collector_that_stops_by_itself_is_silence(alarm):
    near = alarm("CollectorNearTimeout")
    assert not rings(near, History([(30, {"Duration": 871_000})]), HOUR)
    assert rings(near, History([(30, {"Duration": 890_000})]), HOUR)


def test_one_dead_letter_is_told(alarm):
    for name in ("DeadLettersWaiting", "MissedRunsWaiting"):
        assert rings(alarm(name), History([(3, {"ApproximateNumberOfMessagesVisible": 1})]), 5)
        assert not rings(alarm(name), History([(3, {"ApproximateNumberOfMessagesVisible": 0})]), 5)


def test_functions_are_throttled_for_a_quarter_of_an_hour(alarm):
    throttled = alarm("FunctionsThrottled")
    history = History([(minute, {"Throttles": 1}) for minute in (1, 6, 11)])
    assert rings(throttled, history, 15)
    assert not rings(throttled, History([(1, {"Throttles": 50})]), 15)
    assert not rings(throttled, History(), 15)
