"""One of several workers, in whose place one process follows another."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

import structlog

from notification_core.ports.clock import Clock
from notification_entrypoints.process.supervisor.worker_process import (
    WorkerProcess,
    WorkerResponse,
    describe_exit,
)
from notification_entrypoints.serving.worker_channel import WorkerRefused

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
ASK_SECONDS: Final = 2.5  # a worker gives its own parts 2 s
_STABLE_SECONDS: Final = 30.0
"""A process that ran so long ended for a reason of its own: the pauses begin again."""

Spawn = Callable[[int], Awaitable[WorkerProcess]]
"""Starts a process of the worker of this number."""

_log = structlog.stdlib.get_logger("notification")


class SupervisedWorker:
    """Keeps one worker running: whenever it exits, another one is started, not too fast.

    ``process`` is the one that runs now, if any.
    """

    def __init__(self, number: int, clock: Clock) -> None:
        self.number = number
        self.process: WorkerProcess | None = None
        self.ready = asyncio.Event()
        self.announcement = ""
        self.problem = "it is starting"
        self._clock = clock
        self._stopping = asyncio.Event()
        self._exits = 0

    async def run(self, spawn: Spawn, on_exit: Callable[[int], None]) -> None:
        """Keep a worker running until it is stopped; ``on_exit`` is called if it exits before.

        Raises :class:`WorkerRefused` where none can run, and :class:`OSError` where the first one
        cannot be started.
        """
        while not self._stopping.is_set():
            started_at = self._clock.monotonic()
            try:
                self.process = process = await spawn(self.number)
            except OSError as error:
                if not self._exits:
                    raise
                # As when a worker dies: what keeps a process from being made now may pass.
                await self._pause(f"none could be started: {error}", 0.0, None)
                continue
            if self._stopping.is_set():
                process.stop()
            code = await self._wait(process)
            if self._stopping.is_set():
                return
            refused = process.refused
            # A refusal is permanent, unless it is marked as transient and one has served before.
            if refused and not (refused.passes and self.ready.is_set()):
                raise WorkerRefused(refused.reason, code)
            on_exit(self.number)
            reason = refused.reason if refused else describe_exit(code)
            ran_for = self._clock.monotonic() - started_at
            await self._pause(reason, ran_for, process.process.pid)

    def stop(self) -> None:
        """Have the worker stop, and no other follow."""
        self._stopping.set()
        if self.process:
            self.process.stop()

    def kill(self) -> None:
        """End the worker at once."""
        if self.process:
            self.process.kill()

    async def ask(
        self,
        path: str,
        *,
        seconds: float = ASK_SECONDS,
        headers: Mapping[str, str] | None = None,
    ) -> WorkerResponse | None:
        """Ask the ops server of the process that runs; None if there is no response in time."""
        process = self.process
        return await process.ask(path, seconds=seconds, headers=headers) if process else None

    async def _wait(self, process: WorkerProcess) -> int:
        """Wait for the exit of a process; return the exit code."""

        async def note_ready() -> None:
            self.announcement = await process.ready
            self.ready.set()

        becoming_ready = asyncio.create_task(note_ready())
        try:
            return await process.wait()
        finally:
            becoming_ready.cancel()
            self.process = None

    async def _pause(self, reason: str, ran_for: float, pid: int | None) -> None:
        self._exits = 1 if ran_for >= _STABLE_SECONDS else self._exits + 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._exits - 1, 10))
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
