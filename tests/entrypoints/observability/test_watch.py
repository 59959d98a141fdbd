"""What is logged of what happens: at once, and then once in a while with how often it happened."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from notification_core.errors import StorageUnavailable
from notification_core.model.message import DeadLetter, Message
from notification_entrypoints.observability.watch import LoggingObserver


class Time:
    """A clock that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def watch(time: Time) -> LoggingObserver:
    return LoggingObserver("1.2.3", "abc", time)


HAPPENINGS: dict[str, Callable[[LoggingObserver], None]] = {
    "delivery_failed": lambda watch: watch.delivery_failed(uuid4(), uuid4()),
    "event_conflicted": lambda watch: watch.event_conflicted(uuid4(), "e-1"),
    "leases_reaped": lambda watch: watch.leases_reaped(1),
    "results_fenced": lambda watch: watch.results_fenced(1),
    "dead_lettered": lambda watch: watch.dead_lettered(
        DeadLetter(Message("t", 0, 7, 0, b"{"), "It is no JSON.")
    ),
    "loop_failed": lambda watch: watch.loop_failed("claim", StorageUnavailable("It is away.")),
}


@pytest.mark.parametrize("event", HAPPENINGS)
def test_an_outage_of_a_minute_says_each_thing_a_few_times_and_how_often_it_was(
    watch: LoggingObserver, time: Time, event: str
) -> None:
    with capture_logs() as said:
        for second in range(61):
            time.seconds = second
            HAPPENINGS[event](watch)
            HAPPENINGS[event](watch)
    assert [(one["event"], one["count"]) for one in said] == [
        (event, 1),
        (event, 40),
        (event, 40),
        (event, 40),
    ]


def test_loops_that_fail_are_told_apart(watch: LoggingObserver) -> None:
    with capture_logs() as said:
        for loop in ["claim", "claim", "relay"]:
            watch.loop_failed(loop, StorageUnavailable("It is away."))
    assert [one["loop"] for one in said] == ["claim", "relay"]
