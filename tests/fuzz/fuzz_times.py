"""Whatever a receiver says in Retry-After and an operator as a duration: read, or refused."""

import sys
from datetime import UTC, datetime, timedelta

import atheris

with atheris.instrument_imports():
    from notification_core.model.durations import (
        MAX_DURATION,
        format_duration,
        parse_duration,
    )
    from notification_core.model.retry_policy import parse_retry_after

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def one_input(drawn: bytes) -> None:
    """Read what was drawn as both."""
    text = atheris.FuzzedDataProvider(drawn).ConsumeUnicode(sys.maxsize)
    wait = parse_retry_after(text, NOW)
    assert wait is None or wait > timedelta()
    try:
        duration = parse_duration(text)
    except ValueError:
        return
    assert timedelta() <= duration <= MAX_DURATION + timedelta(microseconds=1)
    assert parse_duration(format_duration(duration)) == duration


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
