"""The counts of several processes, added up."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families

from notification_core.model.delivery import AttemptOutcome, ErrorCode
from notification_core.model.event import Source
from notification_core.ports.backlog import BacklogSize
from notification_entrypoints.observability.metrics import Metrics
from notification_entrypoints.process.supervisor.aggregate import MetricTotals


def metrics(events: int, in_hand: int = 0) -> Metrics:
    """Return what a process counts that has ingested and delivered so many events."""
    made = Metrics("1.2.3", "abc")
    made.events_ingested(Source.HTTP, events, 0)
    for _ in range(events):
        made.attempt_ended(AttemptOutcome.SUCCEEDED, None, timedelta(milliseconds=30))
    made.observe_dispatcher(in_flight=lambda: in_hand, queued=lambda: 0, limit=10)
    return made


async def test_what_all_of_them_see_alike_is_told_once() -> None:
    totals = MetricTotals()
    for number, oldest in ((1, 90), (2, 100)):
        made = metrics(events=1)
        made.observe_storage(measured(oldest))
        made.observe_webhooks(dict, lambda *_: False)
        totals.update(number, await made.exposed())
    totals.update(3, metrics(events=1).rendered())  # its storage does not answer
    told = read(totals.exposed())
    assert told["notification_deliveries_pending", ("unclaimed",)] == 12
    assert told["notification_oldest_due_delivery_age_seconds", ()] == 100


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux has /proc")
def test_what_a_process_uses_is_told_of_each() -> None:
    totals = MetricTotals()
    for number in (1, 2):
        totals.update(number, metrics(events=1).rendered())
    told = read(totals.exposed())
    used = [told["process_resident_memory_bytes", (number,)] for number in ("1", "2")]
    assert all(10**6 < memory < 10**10 for memory in used)


def measured(seconds: float) -> Callable[[], Awaitable[BacklogSize]]:
    async def measure() -> BacklogSize:
        return BacklogSize(12, 3, 2, {uuid4(): timedelta(seconds=seconds)}, ())

    return measure


def read(text: bytes) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


ACCEPTED = "notification_events_total", ("accepted", "http")
SUCCEEDED = "notification_attempts_total", ("", "succeeded")
FAILED = "notification_attempts_total", ("timeout", "failed")
IN_FLIGHT = "notification_attempts_in_flight", ()
PROCESSES = "notification_processes", ()
BUILD = "notification_build_info", ("abc", "", "1.2.3")


@pytest.fixture
def totals() -> MetricTotals:
    totals = MetricTotals()
    totals.update(1, metrics(events=5, in_hand=3).rendered())
    totals.update(2, metrics(events=7, in_hand=4).rendered())
    return totals


def test_what_each_has_counted_and_has_in_hand_is_added_up(totals: MetricTotals) -> None:
    told = read(totals.exposed())
    assert told[ACCEPTED] == 12
    assert told[SUCCEEDED] == 12
    assert told["notification_attempt_duration_seconds_count", ("succeeded",)] == 12
    assert told["notification_attempt_duration_seconds_bucket", ("0.025", "succeeded")] == 0
    assert told["notification_attempt_duration_seconds_bucket", ("0.05", "succeeded")] == 12
    assert told["notification_attempt_duration_seconds_bucket", ("+Inf", "succeeded")] == 12
    assert told["notification_attempt_duration_seconds_sum", ("succeeded",)] == pytest.approx(0.36)
    assert told[IN_FLIGHT] == 7
    assert told[PROCESSES] == 2


def test_what_all_see_alike_is_not_added_up(totals: MetricTotals) -> None:
    assert read(totals.exposed())[BUILD] == 1


def test_a_series_that_only_one_has_is_there(totals: MetricTotals) -> None:
    failing = metrics(events=7)
    failing.attempt_ended(AttemptOutcome.FAILED, ErrorCode.TIMEOUT, timedelta(seconds=10))
    totals.update(2, failing.rendered())
    told = read(totals.exposed())
    assert told[FAILED] == 1
    assert told[SUCCEEDED] == 12


def test_no_counter_goes_backwards_when_a_process_ends_and_another_begins(
    totals: MetricTotals,
) -> None:
    totals.retire(2)
    told = read(totals.exposed())
    assert told[ACCEPTED] == 12
    assert told["notification_attempt_duration_seconds_count", ("succeeded",)] == 12
    assert (told[IN_FLIGHT], told[PROCESSES]) == (3, 1), "what it had in hand is gone"
    totals.update(2, metrics(events=1, in_hand=1).rendered())
    told = read(totals.exposed())
    assert told[ACCEPTED] == 13
    assert (told[IN_FLIGHT], told[PROCESSES]) == (4, 2)


def test_of_one_that_does_not_answer_only_what_it_has_counted_is_told(totals: MetricTotals) -> None:
    told = read(totals.exposed(silent=[2]))
    assert told[ACCEPTED] == 12
    assert told[IN_FLIGHT] == 3


def test_one_that_ends_before_it_was_ever_heard_changes_nothing(totals: MetricTotals) -> None:
    before = totals.exposed()
    totals.retire(3)
    assert totals.exposed() == before
