"""Trying a case out on a sender: what happened, and what of it should not have."""

import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from attrs import frozen

from notification_core.model.webhook import Method
from notification_core.ports.sender import HttpRequest, HttpSender, SendingFailed
from tests.hostile.cases import Case
from tests.hostile.stages import Stage

MOST_MEMORY = 20_000_000
MARGIN = 2.0
"""Seconds after its limit at which an attempt has ended also if the host is busy."""

_ADDRESS = re.compile(r"\d+\.\d+\.\d+\.\d+|::")


@frozen
class Outcome:
    """What came of an attempt: a status or an error's code, and what is said of it.

    ``bytes`` are those that receivers got rid of, ``memory`` what was held at once at most, by
    receivers too.
    """

    what: str
    message: str
    bytes: int
    seconds: float
    memory: int
    connections: int
    requests: int


async def tried(
    case: Case,
    make: Callable[[Stage], HttpSender],
    folder: Path,
    limit: timedelta,
) -> Outcome:
    """Send to where the case takes place, within the limit."""
    async with AsyncExitStack() as stack:
        stage = await stack.enter_async_context(case.stage(folder))
        sender = make(stage)
        stack.push_async_callback(sender.close)
        if stage.before:
            await stack.enter_async_context(stage.before(sender))
        tracemalloc.start()
        try:
            held, _ = tracemalloc.get_traced_memory()
            began = time.monotonic()
            what, message = await _attempted(sender, stage, limit)
            seconds = time.monotonic() - began
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return Outcome(
            what,
            message,
            sum(receiver.taken for receiver in stage.receivers),
            seconds,
            most - held,
            sum(receiver.connections for receiver in stage.receivers),
            sum(len(receiver.requests) for receiver in stage.receivers),
        )


def differences(case: Case, outcome: Outcome, limit: timedelta) -> Iterator[str]:
    """Tell in what an outcome is not what it has to be."""
    if outcome.what not in case.expected:
        yield f"{outcome.what}, not {' or '.join(sorted(case.expected))}"
    earliest = limit.total_seconds() - 0.01 if case.waits else 0
    if not earliest <= outcome.seconds < limit.total_seconds() + MARGIN:
        yield f"it took {outcome.seconds:.2f} s"
    if outcome.memory >= MOST_MEMORY:
        yield f"it took {outcome.memory:,} bytes of memory"
    if outcome.what == "destination_not_allowed" and outcome.connections:
        yield "it connected all the same"
    if outcome.requests > 1:
        yield f"{outcome.requests} requests were made of one"
    if _ADDRESS.search(outcome.message):
        yield f"an address is told: {outcome.message}"


async def _attempted(sender: HttpSender, stage: Stage, limit: timedelta) -> tuple[str, str]:
    try:
        request = HttpRequest(Method.POST, stage.url, (), stage.body)
        response = await sender.send(request, limit)
    except SendingFailed as failed:
        return failed.error.code.value, failed.error.message
    return str(response.http_code), ""
