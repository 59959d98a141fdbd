"""Retries and the time limit that a webhook has of its own, in place of the installation's."""

from collections.abc import Iterator
from datetime import timedelta

from attrs import frozen

from notification_core.errors import Detail
from notification_core.model.durations import format_duration

MAX_RETRIES = 20
MAX_BACKOFF = 10
SHORTEST_INTERVAL = timedelta(milliseconds=100)
LONGEST_INTERVAL = timedelta(hours=24)
LONGEST_MAX_INTERVAL = timedelta(hours=168)
SHORTEST_TIMEOUT = timedelta(milliseconds=100)


@frozen
class RetryOverrides:
    """What a webhook says of its retries; what is None is as the installation has it.

    ``max_interval`` bounds what ``interval`` grows to by ``backoff``.
    """

    max_retries: int | None = None
    interval: timedelta | None = None
    backoff: float | None = None
    max_interval: timedelta | None = None


def validate_retry(retry: RetryOverrides) -> Iterator[Detail]:
    """Yield what is wrong with a webhook's own retries; nothing if they are good."""
    if retry.max_retries is not None and not 0 <= retry.max_retries <= MAX_RETRIES:
        yield Detail("retry.max_retries", f"Give 0 to {MAX_RETRIES} retries.")
    if retry.backoff is not None and not 1 <= retry.backoff <= MAX_BACKOFF:
        yield Detail("retry.backoff", f"Give a number from 1 to {MAX_BACKOFF}.")
    shortest = SHORTEST_INTERVAL
    if retry.interval is not None:
        error = _outside("retry.interval", retry.interval, shortest, LONGEST_INTERVAL)
        if error is None:
            shortest = retry.interval
        else:
            yield error
    if retry.max_interval is not None:
        longest = LONGEST_MAX_INTERVAL
        if error := _outside("retry.max_interval", retry.max_interval, shortest, longest):
            yield error


def validate_timeout(timeout: timedelta, longest: timedelta) -> Iterator[Detail]:
    """Yield what is wrong with a webhook's own time limit; ``longest`` is the installation's."""
    if error := _outside("timeout", timeout, min(SHORTEST_TIMEOUT, longest), longest):
        yield error


def _outside(
    field: str, duration: timedelta, shortest: timedelta, longest: timedelta
) -> Detail | None:
    if shortest <= duration <= longest:
        return None
    bounds = f"{format_duration(shortest)} to {format_duration(longest)}"
    return Detail(field, f"Give a duration from {bounds}.")
