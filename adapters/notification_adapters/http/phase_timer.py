"""How long the phases of a request take; one on a reused connection is not measured by this."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Final

from notification_core.model.phases import REUSED, Phases
from notification_core.ports.sender import OnPhase, Phase

# What is read sooner came with the first byte: a phase of its own would show our own work.
_LEAST_READ: Final = 0.001


class PhaseTimer:
    """Measures the opening of one connection, and then knows the phases of its first request.

    Not by the loop's clock: uvloop's is frozen while callbacks run, and counts milliseconds.
    ``on_phase`` is called with phases that end well.
    """

    def __init__(self, on_phase: OnPhase | None = None) -> None:
        self._on_phase = on_phase
        self.seconds: dict[Phase, float] = {}

    @contextmanager
    def timing(self, phase: Phase) -> Iterator[None]:
        """Measure the block, whether it ends well or not."""
        with self.extending(phase):
            yield
        if self._on_phase is not None:
            self._on_phase(phase, self.seconds[phase])

    @contextmanager
    def extending(self, phase: Phase) -> Iterator[None]:
        """Add the block to a phase, whether it ends well or not."""
        start = monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + monotonic() - start


def phases_of(
    timer: PhaseTimer | None, first_byte: float | None = None, read: float = 0.0
) -> Phases | None:
    """Return the phases of a request: ``timer`` is None if its connection was a reused one.

    ``first_byte`` is how many seconds were waited for the first byte, None if the request was not
    sent; ``read`` is how many were read for. None is returned if not even the first phase began.
    """
    reading = timedelta(seconds=read) if read >= _LEAST_READ else None
    if timer is None:
        return REUSED if reading is None else Phases(read=reading)
    if not timer.seconds:
        return None
    took = {phase.value: timedelta(seconds=seconds) for phase, seconds in timer.seconds.items()}
    if first_byte is not None:
        took[Phase.FIRST_BYTE.value] = timedelta(seconds=max(0.0, first_byte))
    return Phases(**took, read=reading)
