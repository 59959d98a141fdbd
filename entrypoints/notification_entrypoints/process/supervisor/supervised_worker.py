"""A worker's place among the others, in which one process follows another."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from notification_core.ports.clock import Clock
from notification_entrypoints.process.supervisor.worker_process import WorkerProcess, ending
from notification_entrypoints.serving.worker_channel import WorkerRefused

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
_WELL_AFTER: Final = 30.0
"""A worker that has lived so long ended for a reason of its own: the pauses begin anew."""

Start = Callable[[int], Awaitable[WorkerProcess]]
"""Starts a process of the worker of this number."""

_log = structlog.stdlib.get_logger("notification")


class SupervisedWorker:
    """Keeps one worker running: whenever it ends, another one is started, not too fast."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.number = number
        self.child: WorkerProcess | None = None
        self.ready = asyncio.Event()
        self.announcement = ""
        self.problem = "it is starting"
        self._clock = clock
        self._stopping = asyncio.Event()
        self._deaths = 0

    async def run(self, start: Start, gone: Callable[[int], None]) -> None:
        """Have a worker run until told to stop; ``gone`` is called when it ends before that.

        Raises :class:`WorkerRefused` where none can run, and :class:`OSError` where the first one
        cannot be started.
        """
        while not self._stopping.is_set():
            began = self._clock.monotonic()
            try:
                self.child = child = await start(self.number)
            except OSError as error:
                if not self._deaths:
                    raise
                # As when a worker dies: what keeps a process from being made now may pass.
                await self._pause(f"none could be started: {error}", 0.0, None)
                continue
            if self._stopping.is_set():
                child.stop()
            code = await self._lived(child)
            if self._stopping.is_set():
                return
            self._check(child, code)
            gone(self.number)
            reason = child.refused.reason if child.refused else ending(code)
            lived = self._clock.monotonic() - began
            await self._pause(reason, lived, child.process.pid)

    def stop(self) -> None:
        """Have the worker stop, and no other follow."""
        self._stopping.set()
        if self.child:
            self.child.stop()

    def kill(self) -> None:
        """End the worker at once."""
        if self.child:
            self.child.kill()

    async def _lived(self, child: WorkerProcess) -> int:
        """Wait for the end of a life; return the exit code."""
        becoming_ready = asyncio.create_task(self._note_ready(child))
        try:
            return await child.ended()
        finally:
            becoming_ready.cancel()
            self.child = None

    async def _note_ready(self, child: WorkerProcess) -> None:
        self.announcement = await child.ready
        self.ready.set()

    def _check(self, child: WorkerProcess, code: int) -> None:
        """Give up where a worker has said why none can start, unless that may pass."""
        refused = child.refused
        if refused and not (refused.passes and self.ready.is_set()):
            raise WorkerRefused(refused.reason, code)

    async def _pause(self, reason: str, lived: float, pid: int | None) -> None:
        self._deaths = 1 if lived >= _WELL_AFTER else self._deaths + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._deaths - 1, 10))
        self.problem = f"it is started again: {reason}"
        _log.error(
            "worker_exited",
            worker=self.number,
            pid=pid,
            reason=reason,
            restart_delay_seconds=pause,
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stopping.wait()
