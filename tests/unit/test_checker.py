"""The checker finds each violation in a made-up history, and finds none in a good one."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve

from tests.faults.checker import Verdict, check
from tests.faults.figures import recoveries
from tests.faults.files import read_history, write_history
from tests.faults.history import (
    Allowed,
    History,
    Published,
    Seen,
    Stored,
    StoredAttempt,
    StoredCount,
    StoredDelivery,
    StoredEvent,
    StoredWebhook,
)
from tests.faults.rules import cut_off_by_kill

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TENANT = "tenant"


def seen(delivery_id: str, attempt: int, at: datetime, answered: int | None = 204) -> Seen:
    event_id = delivery_id.removeprefix("to-")
    return Seen(
        delivery_id=delivery_id,
        attempt=attempt,
        message_id=f"msg_{event_id}",
        timestamp=int(at.timestamp()),
        body_sha256=f"body of {event_id}",
        verified=True,
        received_at=at,
        answered=answered,
    )


def attempt(
    delivery_id: str, number: int, outcome: str, at: datetime, seconds: float | None = 0.1
) -> StoredAttempt:
    duration = None if seconds is None else timedelta(seconds=seconds)
    return StoredAttempt(delivery_id, number, outcome, at, duration)


COUNTS = [
    StoredCount("here", "attempts", "succeeded", 3),
    StoredCount("here", "attempts", "failed", 1),
    StoredCount("here", "attempts", "interrupted", 1),
    StoredCount("here", "deliveries", "succeeded", 3),
    StoredCount("here", "deliveries", "failed", 0),
]

# Event a arrives at once, b after a 500, c after a kill that cut its first request off; whether
# d was ingested is not known, and it was not.
GOOD = History(
    published=[
        *(Published(event_id, TENANT, "job-created", acknowledged=True) for event_id in "abc"),
        Published("d", TENANT, "job-created", acknowledged=False),
    ],
    seen=[
        seen("to-a", 1, NOON),
        seen("to-b", 1, NOON, 500),
        seen("to-b", 2, NOON + 2 * SECOND),
        seen("to-c", 1, NOON),
        seen("to-c", 2, NOON + 5 * SECOND),
    ],
    stored=Stored(
        events=[
            StoredEvent(event_id, TENANT, "job-created", NOON, f"body of {event_id}")
            for event_id in "abc"
        ],
        webhooks=[
            StoredWebhook("here", TENANT, frozenset({"job-created"}), NOON - SECOND),
            StoredWebhook("of others", "other", frozenset({"job-created"}), NOON - SECOND),
            StoredWebhook("of other types", TENANT, frozenset({"job-completed"}), NOON - SECOND),
            StoredWebhook("later", TENANT, frozenset({"job-created"}), NOON + SECOND),
        ],
        deliveries=[
            StoredDelivery(f"to-{event_id}", "here", TENANT, event_id, "succeeded", attempts)
            for event_id, attempts in {"a": 1, "b": 2, "c": 2}.items()
        ],
        attempts=[
            attempt("to-a", 1, "succeeded", NOON),
            attempt("to-b", 1, "failed", NOON),
            attempt("to-b", 2, "succeeded", NOON + 2 * SECOND),
            attempt("to-c", 1, "interrupted", NOON, None),
            attempt("to-c", 2, "succeeded", NOON + 5 * SECOND),
        ],
        counts=COUNTS,
    ),
    allowed=Allowed(kills=[NOON + 3 * SECOND, NOON + 60 * SECOND]),
)


def stored(
    *,
    events: Sequence[StoredEvent] = GOOD.stored.events,
    webhooks: Sequence[StoredWebhook] = GOOD.stored.webhooks,
    deliveries: Sequence[StoredDelivery] = GOOD.stored.deliveries,
    attempts: Sequence[StoredAttempt] = GOOD.stored.attempts,
    counts: Sequence[StoredCount] | None = None,
) -> History:
    return evolve(GOOD, stored=Stored(events, webhooks, deliveries, attempts, counts))


def in_group(*event_ids: str) -> History:
    """Return a run in which the deliveries of these events are to be made in this order."""
    positions = {f"to-{event_id}": position for position, event_id in enumerate(event_ids, 1)}
    return stored(
        deliveries=[
            evolve(one, ordering_key="k", position=positions[one.delivery_id])
            if one.delivery_id in positions
            else one
            for one in GOOD.stored.deliveries
        ]
    )


def found_in(verdict: Verdict) -> set[str]:
    return set(verdict.found)


def test_a_run_with_a_retry_a_kill_and_an_unknown_outcome_is_good() -> None:
    verdict = check(GOOD)
    assert verdict.holds, str(verdict)
    assert cut_off_by_kill(GOOD) == [1, 0]


def test_a_recovery_is_counted_from_the_last_kill_before_it() -> None:
    # What was cut off before the kill at 3 s was retried at 5 s.
    assert [*recoveries(GOOD)] == [2, None]
    again = evolve(GOOD.allowed, kills=[NOON + 3 * SECOND, NOON + 4 * SECOND])
    assert [*recoveries(evolve(GOOD, allowed=again))] == [None, 1]


def test_an_event_of_unknown_outcome_may_also_have_been_delivered() -> None:
    late = NOON + 6 * SECOND
    run = evolve(
        stored(
            events=[*GOOD.stored.events, evolve(GOOD.stored.events[0], event_id="d",
                                                stored_at=NOON, body_sha256="body of d")],
            deliveries=[*GOOD.stored.deliveries,
                        evolve(GOOD.stored.deliveries[0], delivery_id="to-d", event_id="d")],
            attempts=[*GOOD.stored.attempts, attempt("to-d", 1, "succeeded", late)],
        ),
        seen=[*GOOD.seen, seen("to-d", 1, late)],
    )  # fmt: skip
    assert check(run).holds


def test_a_request_whose_attempt_was_interrupted_overtakes_nobody() -> None:
    # The first request of c came before b had ended; whoever sent it was killed meanwhile.
    assert check(in_group("b", "c")).holds


def test_a_request_whose_attempt_was_interrupted_may_come_after_the_next_one() -> None:
    # Its process hung, was taken for dead, and went on.
    late = [
        evolve(one, received_at=NOON + 6 * SECOND)
        if (one.delivery_id, one.attempt) == ("to-c", 1)
        else one
        for one in GOOD.seen
    ]
    assert check(evolve(GOOD, seen=late)).holds


@pytest.mark.parametrize(
    ("took", "timeout", "holds"),
    [(1, 1, True), (0.5, 1, False), (1, None, False)],
    ids=["in vain", "not to the end", "nobody may be slow"],
)
def test_a_response_that_came_too_late_was_not_heard(
    took: float,
    timeout: float | None,
    holds: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    first = attempt("to-b", 1, "failed", NOON, took)
    late = evolve(first, error="timeout")
    run = evolve(
        stored(attempts=[late if one.delivery_id == "to-b" and one.number == 1 else one
                         for one in GOOD.stored.attempts]),
        seen=[evolve(one, answered=200) if one.answered == 500 else one for one in GOOD.seen],
        allowed=evolve(GOOD.allowed, timeout=None if timeout is None else timeout * SECOND),
    )  # fmt: skip
    assert check(run).holds is holds


def test_an_event_that_a_webhook_was_deleted_before_need_not_go_there() -> None:
    gone = evolve(GOOD.stored.webhooks[0], webhook_id="gone", deleted_at=NOON)
    assert check(stored(webhooks=[*GOOD.stored.webhooks, gone])).holds


FIRST, SECOND_SEEN, *OTHERS = GOOD.seen
EVENTS, DELIVERIES, ATTEMPTS = GOOD.stored.events, GOOD.stored.deliveries, GOOD.stored.attempts
SKIPPED = evolve(DELIVERIES[0], state="skipped", attempt=0, reason="webhook_disabled")
OTHER_DELIVERIES = [DELIVERIES[0], DELIVERIES[2]]

VIOLATIONS: dict[str, tuple[str, Callable[[], History]]] = {
    "an acknowledged event is not in storage": (
        "lost",
        lambda: evolve(
            GOOD,
            published=[
                *GOOD.published,
                Published("e", TENANT, "job-created", acknowledged=True),
            ],
        ),
    ),
    "a webhook is skipped": (
        "lost",
        lambda: stored(
            webhooks=[
                *GOOD.stored.webhooks,
                evolve(GOOD.stored.webhooks[0], webhook_id="skipped"),
            ]
        ),
    ),
    "a success that no receiver knows of": ("lost", lambda: evolve(GOOD, seen=GOOD.seen[1:])),
    "a success that the receiver refused": (
        "lost",
        lambda: evolve(GOOD, seen=[evolve(FIRST, answered=500), *GOOD.seen[1:]]),
    ),
    "a delivery that was given up early": (
        "lost",
        lambda: stored(deliveries=[evolve(DELIVERIES[1], state="failed"), *OTHER_DELIVERIES]),
    ),
    "a delivery that was skipped without a reason": (
        "lost",
        lambda: stored(deliveries=[evolve(DELIVERIES[1], state="skipped"), *OTHER_DELIVERIES]),
    ),
    "a delivery that was cancelled for a webhook that is there": (
        "lost",
        lambda: stored(
            deliveries=[
                evolve(DELIVERIES[1], state="cancelled", reason="webhook_deleted"),
                *OTHER_DELIVERIES,
            ]
        ),
    ),
    "a success that is not in the log": (
        "unlogged",
        lambda: stored(attempts=[evolve(ATTEMPTS[0], outcome="failed"), *ATTEMPTS[1:]]),
    ),
    "a request without an attempt": (
        "unlogged",
        lambda: evolve(GOOD, seen=[*GOOD.seen, seen("to-b", 3, NOON + 4 * SECOND, 500)]),
    ),
    "the same attempt twice": ("doubled", lambda: evolve(GOOD, seen=[*GOOD.seen, FIRST])),
    "a second success without an interruption": (
        "doubled",
        lambda: evolve(GOOD, seen=[FIRST, evolve(SECOND_SEEN, answered=204), *OTHERS]),
    ),
    "more requests than there are retries": (
        "doubled",
        lambda: evolve(GOOD, allowed=evolve(GOOD.allowed, max_retries=0)),
    ),
    "more requests than its webhook has retries": (
        "doubled",
        lambda: stored(webhooks=[evolve(one, max_retries=0) for one in GOOD.stored.webhooks]),
    ),
    "two deliveries for one webhook": (
        "doubled",
        lambda: stored(
            deliveries=[
                *DELIVERIES,
                evolve(SKIPPED, delivery_id="again"),
            ]
        ),
    ),
    "a kill that cut off more than was in flight": (
        "doubled",
        lambda: evolve(GOOD, allowed=evolve(GOOD.allowed, max_in_flight=0)),
    ),
    "an interruption where nobody was killed": (
        "doubled",
        lambda: evolve(GOOD, allowed=Allowed()),
    ),
    "an interruption after the last kill": (
        "doubled",
        lambda: evolve(GOOD, allowed=Allowed(kills=[NOON - SECOND])),
    ),
    "a request that does not verify": (
        "unsigned",
        lambda: evolve(GOOD, seen=[evolve(FIRST, verified=False), *GOOD.seen[1:]]),
    ),
    "another body in one attempt": (
        "unsigned",
        lambda: evolve(GOOD, seen=[evolve(FIRST, body_sha256="other"), *GOOD.seen[1:]]),
    ),
    "a signature of another time": (
        "unsigned",
        lambda: evolve(
            GOOD, seen=[evolve(FIRST, timestamp=FIRST.timestamp - 3), *GOOD.seen[1:]]
        ),
    ),
    "a retry under another webhook-id": (
        "unsigned",
        lambda: evolve(GOOD, seen=[FIRST, evolve(SECOND_SEEN, message_id="msg_x"), *OTHERS]),
    ),
    "a gap in the attempts": (
        "misordered",
        lambda: stored(
            deliveries=[evolve(DELIVERIES[0], attempt=2), *DELIVERIES[1:]],
        ),
    ),
    "two live attempts": (
        "misordered",
        lambda: stored(
            attempts=[
                evolve(one, duration=3 * SECOND) if one.outcome == "failed" else one
                for one in ATTEMPTS
            ]
        ),
    ),
    "requests that overtook one another": (
        "misordered",
        lambda: evolve(
            GOOD, seen=[FIRST, evolve(SECOND_SEEN, received_at=NOON + 3 * SECOND), *OTHERS]
        ),
    ),
    "an attempt long after its webhook was deleted": (
        "misordered",
        lambda: stored(
            webhooks=[
                evolve(GOOD.stored.webhooks[0], deleted_at=NOON + 3 * SECOND),
                *GOOD.stored.webhooks[1:],
            ]
        ),
    ),
    "a delivery that overtook one of its ordering key": ("misordered", lambda: in_group("a", "b")),
    "a delivery that did not wait for a retry": ("misordered", lambda: in_group("b", "a", "c")),
    "a delivery that waits for ever": (
        "stuck",
        lambda: evolve(
            stored(deliveries=[evolve(DELIVERIES[0], state="pending"), *DELIVERIES[1:]]),
            seen=[evolve(FIRST, answered=500), *GOOD.seen[1:]],
        ),
    ),
    "a final delivery that a worker still has": (
        "stuck",
        lambda: stored(deliveries=[evolve(DELIVERIES[0], held=True, attempt=2), *DELIVERIES[1:]]),
    ),
    "an attempt that was counted twice": (
        "miscounted",
        lambda: stored(counts=[evolve(COUNTS[0], count=4), *COUNTS[1:]]),
    ),
    "an interruption that was not counted": (
        "miscounted",
        lambda: stored(counts=[one for one in COUNTS if one.outcome != "interrupted"]),
    ),
    "the end of a delivery that was not counted": (
        "miscounted",
        lambda: stored(counts=[one for one in COUNTS if one.kind != "deliveries"]),
    ),
    "an event that nobody published": (
        "ghost",
        lambda: evolve(GOOD, published=[one for one in GOOD.published if one.event_id != "a"]),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "run"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_the_checker_finds(kind: str, run: Callable[[], History]) -> None:
    assert found_in(check(run())) == {kind}


def may_fail(*outcomes: str, error: str | None = None) -> bool:
    """Tell whether a delivery may fail permanently after attempts with these outcomes."""
    attempts = [
        evolve(attempt("to-b", number, outcome, NOON + number * SECOND), error=error)
        for number, outcome in enumerate(outcomes, 1)
    ]
    run = stored(
        deliveries=[
            evolve(DELIVERIES[1], state="failed", attempt=len(attempts)),
            *OTHER_DELIVERIES,
        ],
        attempts=[*(one for one in ATTEMPTS if one.delivery_id != "to-b"), *attempts],
    )
    requests = [one for one in GOOD.seen if one.delivery_id != "to-b"]
    return check(evolve(run, seen=requests)).holds


def test_a_delivery_may_fail_once_its_retries_are_used_up_or_where_they_would_not_help() -> None:
    assert may_fail(*["failed"] * 4)
    assert not may_fail(*["failed"] * 3)
    assert may_fail("failed", error="gone")
    assert may_fail(*["interrupted"] * 10)
    assert not may_fail(*["interrupted"] * 9, "failed")


def test_of_a_webhook_test_only_the_attempt_is_counted() -> None:
    trial = evolve(DELIVERIES[0], delivery_id="to-t", event_id="t", origin="test")
    run = evolve(
        stored(
            events=[*EVENTS, evolve(EVENTS[0], event_id="t", body_sha256="body of t")],
            deliveries=[*DELIVERIES, trial],
            attempts=[*ATTEMPTS, attempt("to-t", 1, "succeeded", NOON)],
            counts=[evolve(COUNTS[0], count=4), *COUNTS[1:]],
        ),
        seen=[*GOOD.seen, seen("to-t", 1, NOON)],
        published=[*GOOD.published, Published("t", TENANT, "job-created", acknowledged=False)],
    )
    assert check(run).holds, str(check(run))


def test_a_request_that_storage_knows_nothing_of_is_a_ghost_and_unlogged() -> None:
    run = evolve(GOOD, seen=[*GOOD.seen, seen("to-x", 1, NOON)])
    assert found_in(check(run)) == {"ghost", "unlogged"}


def test_what_a_run_leaves_behind_is_checked_by_the_program(tmp_path: Path) -> None:
    lost = Published("e", TENANT, "job-created", acknowledged=True)
    run = evolve(GOOD, published=[*GOOD.published, lost])
    write_history(tmp_path, run)
    assert str(check(read_history(tmp_path))) == str(check(run))
    ran = subprocess.run(  # noqa: S603 - this interpreter with our own program
        [sys.executable, "-m", "tests.faults.checker", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        env={name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    assert "event e was acknowledged and is not in storage" in ran.stdout
