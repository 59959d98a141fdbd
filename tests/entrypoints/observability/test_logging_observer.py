"""What is logged of what happens: at once, and then once in a while with how often it happened."""

from collections.abc import Callable
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from notification_core.errors import StorageUnavailable
from notification_core.model.message import DeadLetter, Message
from notification_entrypoints.observability.logging_observer import LoggingObserver


class Time:
    """A clock that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def observer(time: Time) -> LoggingObserver:
    return LoggingObserver("1.2.3", "abc", time)


HAPPENINGS: dict[str, Callable[[LoggingObserver], None]] = {
    "delivery_failed": lambda observer: observer.delivery_failed(uuid4(), uuid4()),
    "event_conflicted": lambda observer: observer.event_conflicted(uuid4(), "e-1"),
    "leases_reaped": lambda observer: observer.leases_reaped(1),
    "results_fenced": lambda observer: observer.results_fenced(1),
    "message_dead_lettered": lambda observer: observer.message_dead_lettered(
        DeadLetter(Message("t", 0, 7, 0, b"{"), "It is no JSON.")
    ),
    "background_task_failed": lambda observer: observer.background_task_failed(
        "claim", StorageUnavailable("It is unavailable.")
    ),
}


@pytest.mark.parametrize("event", HAPPENINGS)
def test_an_outage_of_a_minute_says_each_thing_a_few_times_and_how_often_it_was(
    observer: LoggingObserver, time: Time, event: str
) -> None:
    with capture_logs() as logged:
        for second in range(61):
            time.seconds = second
            HAPPENINGS[event](observer)
            HAPPENINGS[event](observer)
    assert [(line["event"], line["count"]) for line in logged] == [
        (event, 1),
        (event, 40),
        (event, 40),
        (event, 40),
    ]


def test_tasks_that_fail_are_logged_apart(observer: LoggingObserver) -> None:
    with capture_logs() as logged:
        for task in ["claim", "claim", "relay"]:
            observer.background_task_failed(task, StorageUnavailable("It is unavailable."))
    assert [line["task"] for line in logged] == ["claim", "relay"]
