"""When alarms ring: CloudWatch's rules for windows and missing data, on made-up hours."""

import copy
import math
import re

import policies
import pytest

HOUR = 60  # minutes
# How many periods before those that an alarm looks at CloudWatch may read as well. It does not tell.
EARLIER = range(4)


class History:
    """What was sent, by the minute."""

    def __init__(self, sent=()):
        self.sent = list(sent)

    def __add__(self, other):
        return History(self.sent + other.sent)

    def values(self, metric, begin, end):
        return [values[metric] for minute, values in self.sent if begin <= minute < end and metric in values]


def aggregated(values, statistic):
    if not values:
        return None
    if statistic.startswith("p"):
        return sorted(values)[math.ceil(len(values) * float(statistic[1:]) / 100) - 1]
    return {"Sum": sum, "Maximum": max, "Minimum": min, "SampleCount": len}[statistic](values)


def expression(text, values):
    """The part of metric math that is used here. What has no value gives none, but for FILL."""

    def fill(value, otherwise):
        return otherwise if value is None else value

    if "FILL" not in text and None in values.values():
        return None
    functions = {"FILL": fill, "IF": lambda condition, yes, no: yes if condition else no}
    try:
        return float(eval(text, {"__builtins__": {}}, functions | values))
    except ZeroDivisionError:
        return None


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


def states(alarm, history, now, rang=False, threshold=None):
    """Whether an alarm rings at a minute, for each number of earlier periods that CloudWatch may read."""
    period = policies.queries(alarm)[0][3] // 60
    count = alarm["EvaluationPeriods"]
    read = [datapoint(alarm, history, now - period * back) for back in range(count + max(EARLIER))]
    limit = threshold or float(alarm["Threshold"])
    breaches = {
        "LessThanThreshold": lambda value: value < limit,
        "GreaterThanThreshold": lambda value: value > limit,
        "GreaterThanOrEqualToThreshold": lambda value: value >= limit,
    }[alarm["ComparisonOperator"]]
    missing = alarm["TreatMissingData"]
    answers = set()
    for earlier in EARLIER:
        # Where periods have no data, earlier ones count in their place. Only what then lacks is missing.
        points = [point for point in read[: count + earlier] if point is not None][:count]
        points += [None] * (count - len(points))
        if missing == "ignore" and None in points:
            answers.add(rang)
            continue
        bad = [missing == "breaching" if point is None else breaches(point) for point in points]
        answers.add(sum(bad) >= alarm.get("DatapointsToAlarm", count))
    return answers


def rings(*facts, **more):
    """Whether an alarm rings at a minute, however many earlier periods are read."""
    (answer,) = states(*facts, **more)
    return answer


# How runs end, and what the plan of the next one then says. MENDED is one that failed until the queue tried again.
SUCCEEDED, MENDED, PARTIAL, FAILED, RUNNING = "succeeded", "mended", "partial", "failed", "running"
TOLD = {PARTIAL: "RunsPartial", FAILED: "RunsFailed"}


def runs(*ends, minutes=10, delay=0, every=4):
    """What runs send that begin every four hours, or as many: the plan, a worker's batch, and the last one when it settles
    the run. Before them was one that succeeded; after them one is planned."""
    sent = []
    for number, (before, state) in enumerate(zip((SUCCEEDED, *ends), (*ends, RUNNING))):
        begin = number * every * HOUR + delay
        standing = {name: int(TOLD.get(before) == name) for name in TOLD.values()}
        sent.append((begin, {"RunsCompleted": 0} | standing))
        sent.append((begin + minutes // 2, {"RunsCompleted": 0}))
        if state != RUNNING:
            sent.append((begin + minutes, {"RunsCompleted": int(state != FAILED)}))
    return History(sent)


@pytest.fixture
def alarm(template):
    def found(name, every=4):
        return policies.for_cadence(template, template["Resources"][name]["Properties"], str(every))

    return found


def test_a_run_every_four_hours_is_silence(alarm):
    history = runs(*12 * [SUCCEEDED])
    for minute in range(10 * HOUR, 49 * HOUR, 7):
        for name in ("RunMissing", "RunFailed", "RunsPartial"):
            assert not rings(alarm(name), history, minute), (name, minute)


CADENCES = [1, 2, 4, 8]


@pytest.mark.parametrize("every", CADENCES)
def test_runs_as_often_as_asked_are_silence(alarm, every):
    history = runs(*12 * [SUCCEEDED], every=every)
    for minute in range((2 * every + 2) * HOUR, (12 * every + 1) * HOUR, 7):
        for name in ("RunMissing", "RunFailed", "RunsPartial"):
            assert not rings(alarm(name, every), history, minute), (name, minute)


@pytest.mark.parametrize("every", CADENCES)
def test_a_schedule_that_stops_fires_after_two_runs_and_an_hour(alarm, every):
    history = runs(SUCCEEDED, SUCCEEDED, SUCCEEDED, every=every)
    last = 2 * every * HOUR + 10  # The third one is over.
    fires = last + (2 * every + 1) * HOUR + 1
    assert not rings(alarm("RunMissing", every), history, fires - 1)
    assert rings(alarm("RunMissing", every), history, fires)


@pytest.mark.parametrize("every", CADENCES)
def test_a_failed_run_fires_until_the_next_one_at_any_cadence(alarm, every):
    history = runs(SUCCEEDED, FAILED, SUCCEEDED, SUCCEEDED, every=every)  # It begins at `every`.
    fires = [minute for minute in range(5 * every * HOUR) if rings(alarm("RunFailed", every), history, minute)]
    assert fires == list(range(2 * every * HOUR + 1, (3 * every + 1) * HOUR + 1))


@pytest.mark.parametrize("every", CADENCES)
@pytest.mark.parametrize("delay", [0, 25, 55])
def test_three_partial_runs_fire_without_an_all_clear_at_any_cadence(alarm, every, delay):
    history = runs(*9 * [PARTIAL], delay=delay, every=every)
    first = 3 * every * HOUR + delay + 1
    assert not rings(alarm("RunsPartial", every), history, first - 1)
    assert all(rings(alarm("RunsPartial", every), history, minute) for minute in range(first, 9 * every * HOUR, 5))


def test_a_stack_before_its_first_run_wakes_nobody(alarm):
    first = alarm("FirstRunCompleted")
    # No secrets yet, so no data; then a first run that takes a day, of which each worker tells that it is not over.
    waiting = History()
    running = History([(minute, {"RunsCompleted": 0}) for minute in range(0, 24 * HOUR, 5)])
    for history in (waiting, running):
        for minute in range(HOUR, 24 * HOUR, HOUR):
            assert not rings(first, history, minute, rang=False), minute
    over = running + History([(24 * HOUR, {"RunsCompleted": 1})])
    assert rings(first, over, 25 * HOUR)
    # From then on it stays, whether runs go on or stop: only then may NoRunCompleted wake somebody.
    assert rings(first, over, 60 * HOUR, rang=True)
    assert all(rings(first, runs(*6 * [FAILED]), minute, rang=True) for minute in range(HOUR, 24 * HOUR))


def test_a_schedule_that_stops_is_told_within_nine_hours(alarm):
    history = runs(SUCCEEDED, SUCCEEDED, SUCCEEDED)  # The last one is over ten minutes after the eighth hour.
    assert not rings(alarm("RunMissing"), history, 17 * HOUR)
    assert rings(alarm("RunMissing"), history, 17 * HOUR + 11)
    assert rings(alarm("RunMissing"), History(), 0)


def test_runs_that_begin_and_never_complete_are_told(alarm):
    for state in (FAILED, RUNNING):
        assert rings(alarm("RunMissing"), runs(*6 * [state]), 24 * HOUR)


def test_a_failed_run_is_told_by_the_next_plan_and_until_the_one_after_it(alarm):
    history = runs(SUCCEEDED, SUCCEEDED, SUCCEEDED, FAILED, SUCCEEDED, SUCCEEDED, SUCCEEDED)  # It begins at 12.
    told = [minute for minute in range(28 * HOUR) if rings(alarm("RunFailed"), history, minute)]
    assert told == list(range(16 * HOUR + 1, 21 * HOUR + 1))


def test_runs_that_fail_one_after_the_other_are_told_without_an_all_clear(alarm):
    history = runs(*6 * [FAILED])
    # Also when a plan takes its time.
    late = History([(minute + 50 * (minute % (8 * HOUR) == 0), values) for minute, values in history.sent])
    assert all(rings(alarm("RunFailed"), late, minute) for minute in range(5 * HOUR, 25 * HOUR))


def test_what_the_queue_mends_is_silence(alarm):
    history = runs(*6 * [MENDED], minutes=90)
    for name in ("RunMissing", "RunFailed", "RunsPartial"):
        assert not any(rings(alarm(name), history, minute) for minute in range(9 * HOUR, 25 * HOUR))


def test_a_run_in_which_something_failed_is_no_failed_run(alarm):
    # However long it takes, and at no minute.
    history = runs(*6 * [PARTIAL], minutes=50)
    assert not any(rings(alarm("RunFailed"), history, minute) for minute in range(25 * HOUR))
    assert not rings(alarm("RunMissing"), history, 25 * HOUR)


@pytest.mark.parametrize("delay", range(0, HOUR, 7))
def test_three_partial_runs_in_a_row_are_told_however_the_hours_lie(alarm, delay):
    history = runs(*3 * [SUCCEEDED], *4 * [PARTIAL], *3 * [SUCCEEDED], delay=delay)  # They begin at 12, 16, 20, 24.
    told = [minute for minute in range(40 * HOUR) if rings(alarm("RunsPartial"), history, minute)]
    # From the third one's end as the next plan tells it, until one that succeeded is told.
    assert told == list(range(24 * HOUR + delay + 1, 33 * HOUR + delay + 1))


def test_partial_runs_that_are_some_minutes_early_or_late_are_told_without_an_all_clear(alarm):
    history = runs(*9 * [PARTIAL], delay=2)
    shaken = History([(minute + (minute // HOUR * 7) % 5 - 2, values) for minute, values in history.sent])
    assert all(rings(alarm("RunsPartial"), shaken, minute) for minute in range(13 * HOUR, 36 * HOUR))


@pytest.mark.parametrize("state", [SUCCEEDED, FAILED])
def test_partial_runs_between_others_are_silence(alarm, state):
    for pattern in ([state, PARTIAL], [state, state, PARTIAL, PARTIAL]):
        history = runs(*3 * pattern)
        assert not any(rings(alarm("RunsPartial"), history, minute) for minute in range(49 * HOUR))


@pytest.mark.parametrize("name", ["RunMissing", "RunFailed", "RunsPartial"])
def test_without_filling_in_earlier_hours_would_count(alarm, name):
    unfilled = copy.deepcopy(alarm(name))
    (filled,) = [query for query in unfilled["Metrics"] if "Expression" in query]
    filled["Expression"] = filled["Expression"].removeprefix("FILL(").removesuffix(", 0)")
    history = runs(FAILED, PARTIAL, PARTIAL, SUCCEEDED, PARTIAL, *6 * [RUNNING])
    assert any(len(states(unfilled, history, minute)) == 2 for minute in range(40 * HOUR))


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
    def left(hour, percent):
        return History([(hour * HOUR, {"RateLimitPercent": percent}), (hour * HOUR + 5, {"RateLimitPercent": 96})])

    low = alarm("RateLimitLow")
    assert not rings(low, left(1, 90) + left(5, 10), 8 * HOUR)
    assert not rings(low, left(1, 13) + left(5, 13), 8 * HOUR)
    # The tenth at which the collector stops by itself.
    assert rings(low, left(1, 10) + left(5, 10), 8 * HOUR)


def test_a_collector_that_stops_by_itself_is_silence(alarm):
    near = alarm("CollectorNearTimeout")
    assert not rings(near, History([(30, {"Duration": 871_000})]), HOUR)
    assert rings(near, History([(30, {"Duration": 890_000})]), HOUR)


# As AWS documents them, and as users quote them. Whether they are still its words, only an account shows.
KILLED = [
    "RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95 Error: Runtime exited with error: signal: killed",
    "REPORT RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95\tDuration: 2500.00 ms\tBilled Duration: 2500 ms\t"
    "Memory Size: 256 MB\tMax Memory Used: 256 MB\tStatus: error\tError Type: Runtime.OutOfMemory",
]
NOT_KILLED = [
    "REPORT RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95\tDuration: 4.20 ms\tMemory Size: 256 MB\t"
    "Max Memory Used: 27 MB",
    "2026-11-30T08:00:00.000Z 8f507cfc-xmpl-4697-b07a-ac58fc914c95 Task timed out after 900.10 seconds",
    '{"level":"ERROR","message":"The run failed","code":"db_unavailable"}',
]


def test_a_killed_worker_is_seen_in_lambdas_own_lines(template):
    pattern = template["Resources"]["WorkersOutOfMemory"]["Properties"]["FilterPattern"]
    # Terms with a question mark: one of them is enough.
    terms = re.findall(r'\?"([^"]+)"', pattern)
    assert " ".join(f'?"{term}"' for term in terms) == pattern
    assert [any(term in line for term in terms) for line in KILLED + NOT_KILLED] == [True] * 2 + [False] * 3


def test_one_killed_worker_fires(alarm):
    assert rings(alarm("CollectorOutOfMemory"), History([(30, {"WorkersOutOfMemory": 1})]), HOUR)
    assert not rings(alarm("CollectorOutOfMemory"), History(), HOUR)


def test_work_that_waits_longer_than_two_runs_fires(alarm):
    def aged(hours):
        return History([(minute, {"ApproximateAgeOfOldestMessage": hours * 3600}) for minute in range(0, HOUR, 5)])

    assert not rings(alarm("WorkWaiting"), aged(8.9), HOUR)
    assert rings(alarm("WorkWaiting"), aged(9.1), HOUR)
    assert not rings(alarm("WorkWaiting"), History(), HOUR)


def test_a_new_database_and_one_without_credits_by_nature_are_silence(alarm):
    credits = alarm("DatabaseCredits")

    def balance(*hourly):
        return History([(hour * HOUR + 5, {"CPUCreditBalance": value}) for hour, value in enumerate(hourly)])

    # It starts with none.
    assert not any(rings(credits, balance(0, 12, 24, 36, 48), hour * HOUR) for hour in range(3, 6))
    assert not rings(credits, History(), 5 * HOUR)
    assert rings(credits, balance(40, 20, 0, 0, 0), 5 * HOUR)


def asked(*requests):
    """Requests by the minute, with the time that each took."""
    return History([(minute, {"Latency": latency}) for minute, latency in requests])


def test_slow_answers_are_told_within_half_an_hour_also_when_few_ask(alarm):
    slow = alarm("ApiSlow")
    for every in (1, 5):
        # Three requests every minute, or every five.
        history = asked(*[(minute, 4_000) for minute in range(0, 60, every) for _ in range(3)])
        assert not rings(slow, history, 15)
        assert all(rings(slow, history, minute) for minute in range(30, 61, 5))
        # Nobody asks any more.
        assert not any(rings(slow, history, minute) for minute in range(75, 120))


def test_many_fast_answers_and_a_slow_one_are_silence(alarm):
    slow = alarm("ApiSlow")
    fast = asked(*[(minute, 80) for minute in range(120) for _ in range(10)])
    assert not any(rings(slow, fast + asked((40, 20_000)), minute) for minute in range(30, 120))
    one_of_fifty = asked(*[(minute, 4_000) for minute in range(0, 120, 5)])
    assert all(rings(slow, fast + one_of_fifty, minute) for minute in range(30, 120))


def test_a_handful_of_requests_after_a_cold_start_is_no_sample(alarm):
    slow = alarm("ApiSlow")
    history = asked(*[(minute, 4_000) for minute in range(0, 120, 3)])
    assert not any(rings(slow, history, minute) for minute in range(120))
    # One slow request is none either, though it is the slowest hundredth of ten.
    history = asked((20, 4_000), *[(minute, 80) for minute in range(120)])
    assert not any(rings(slow, history, minute) for minute in range(120))


def test_one_dead_letter_is_told(alarm):
    for name in ("DeadLettersWaiting", "MissedRunsWaiting", "ChangesUnread", "MessagesUnread"):
        assert rings(alarm(name), History([(3, {"ApproximateNumberOfMessagesVisible": 1})]), 5)
        assert not rings(alarm(name), History([(3, {"ApproximateNumberOfMessagesVisible": 0})]), 5)


def test_one_message_that_was_not_sent_is_told(alarm):
    failed = alarm("MessagesFailed")
    assert rings(failed, History([(5, {"MessagesFailed": 1})]), 60)
    assert not rings(failed, History(), 60)


def test_ten_refused_webhooks_in_an_hour_are_told(alarm):
    refused = alarm("WebhooksRefused")
    assert rings(refused, History([(minute, {"WebhooksRefused": 1}) for minute in range(5, 15)]), 60)
    assert not rings(refused, History([(minute, {"WebhooksRefused": 1}) for minute in range(5, 14)]), 60)
    assert not rings(refused, History(), 60)


def test_unannounced_changes_of_three_repositories_in_a_day_are_told(alarm):
    unannounced, day = alarm("ChangesUnannounced"), 24 * 60
    assert rings(unannounced, History([(minute, {"UnannouncedChanges": 1}) for minute in (5, 245, 1_205)]), day)
    assert rings(unannounced, History([(5, {"UnannouncedChanges": 3})]), day)
    assert not rings(unannounced, History([(minute, {"UnannouncedChanges": 1}) for minute in (5, 245)]), day)
    assert not rings(unannounced, History(), day)


def test_invocations_beyond_the_limit_fire(alarm):
    high = alarm("InvocationsHigh")
    busy = History([(minute, {"Invocations": 1}) for minute in range(0, HOUR)])
    assert not rings(high, busy, HOUR, threshold=120)
    assert rings(high, busy, HOUR, threshold=119)
    assert not rings(high, History(), HOUR, threshold=119)


def test_functions_are_throttled_for_a_quarter_of_an_hour(alarm):
    throttled = alarm("FunctionsThrottled")
    history = History([(minute, {"Throttles": 1}) for minute in (1, 6, 11)])
    assert rings(throttled, history, 15)
    assert not rings(throttled, History([(1, {"Throttles": 50})]), 15)
    assert not rings(throttled, History(), 15)
