"""Telling what the time of a request goes into."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from notification_core.ports.sender import Phase, Took


def nobody_hears(phase: Phase, seconds: float) -> None:
    """Hear nothing of it."""


@frozen
class Stopwatch:
    """Tells how long phases take, by the loop's clock."""

    loop: asyncio.AbstractEventLoop
    took: Took = nobody_hears

    @contextmanager
    def timing(self, phase: Phase) -> Iterator[None]:
        """Tell how long the block took; one that raises tells nothing."""
        began = self.loop.time()
        yield
        self.took(phase, self.loop.time() - began)
