"""A wall clock that goes wrong: the machine's, so many seconds off."""

from datetime import datetime, timedelta

from tests.faults.tampering.patching import Function, replaced


def shift(seconds: str) -> None:
    """Have the process's clock wrong by so many seconds; what it measures stays right."""
    off = timedelta(seconds=float(seconds))

    def by(now: Function) -> Function:
        def shifted(clock: object) -> datetime:
            told: datetime = now(clock)
            return told + off

        return shifted

    replaced("notification_adapters.clock:SystemClock.now", by)
