"""The time that a process may take to stop: bounded, whatever it waits for."""

import logging
import os
import threading
from datetime import timedelta
from typing import Final

import structlog

from notification_core.ports.clock import Clock

WORK_TIMEOUT: Final = timedelta(seconds=12)
"""How long work that is under way may take to end, from when the process was told to stop."""

EXIT_TIMEOUT: Final = timedelta(seconds=13.5)
"""How long it may take until the process has ended, whatever does not keep the first bound."""

_log = structlog.stdlib.get_logger("notification")


class ShutdownDeadline:
    """How much time is left to stop; it runs from `begin`, or from the first look at it."""

    def __init__(self, clock: Clock, timeout: timedelta = WORK_TIMEOUT) -> None:
        self._clock = clock
        self._seconds = timeout.total_seconds()
        self._until: float | None = None

    def begin(self) -> None:
        """Let the time run from now on; doing it again changes nothing."""
        if self._until is None:
            self._until = self._clock.monotonic() + self._seconds

    @property
    def has_begun(self) -> bool:
        """Whether the process was told to stop."""
        return self._until is not None

    @property
    def left(self) -> float:
        """How many seconds are left; 0 when it is over."""
        self.begin()
        assert self._until is not None  # noqa: S101 - it has just begun
        return max(0.0, self._until - self._clock.monotonic())


def force_exit_after(timeout: timedelta = EXIT_TIMEOUT) -> None:
    """End this process after a time, whatever it hangs in then: its leases tell of what it held."""

    def exit_now() -> None:
        _log.error("shutdown_forced", reason=f"it took longer than {timeout.total_seconds():g} s")
        logging.shutdown()  # which waits for no reader of the log, but for a moment
        os._exit(0)

    timer = threading.Timer(timeout.total_seconds(), exit_now)
    timer.daemon = True
    timer.start()
