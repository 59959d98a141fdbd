"""Streams that tell open pages when something changes in their environment (server-sent events).

A stream carries nothing of an environment but that something has changed: the page then asks for
its live part again, at most as often as it would without a stream (``console.js``). However many
pages of an environment are open, one statement a second serves them all.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Final
from uuid import UUID

from aiohttp import web
from attrs import define, field, frozen

from notification_core.errors import StorageUnavailable
from notification_core.model.statistics import BucketSize
from notification_entrypoints.api.problems import Problem, RequestRefused
from notification_entrypoints.bootstrap.application import Application

_COUNTED_FOR: Final = timedelta(minutes=5)
"""How far back attempts are counted: the clocks of processes may differ by some of it."""


@frozen
class StreamRules:
    """How many streams a process has at most, and their times in seconds.

    Whoever looks at a page is checked again with each ``heartbeat``. A stream ends after its
    ``lifetime``, and the browser opens another one.
    """

    most: int = 100
    interval: float = 1.0
    heartbeat: float = 15.0
    lifetime: float = 600.0


@define(eq=False)
class _Watch:
    """An environment that somebody looks at: who is to be told, and what looks for changes."""

    listeners: set[asyncio.Event] = field(factory=set)
    mark: Hashable = None
    task: "asyncio.Task[None] | None" = None


@define(eq=False)
class Streams:
    """The streams of a process."""

    _application: Application
    rules: StreamRules
    _open: int = field(default=0, init=False)
    _watches: dict[UUID, _Watch] = field(factory=dict, init=False)

    @property
    def is_ending(self) -> bool:
        """Whether the process was told to stop: then streams end, and none begins."""
        return self._application.deadline.has_begun

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take up the place of a stream; raise :class:`RequestRefused` if there is none."""
        if self._open >= self.rules.most or self.is_ending:
            raise RequestRefused(Problem.TOO_MANY_CONNECTIONS)
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    @asynccontextmanager
    async def changes(self, environment_id: UUID) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set when something changes, and when the process is to stop.

        It is set once from the beginning: what has happened since the page was made is not known.
        """
        watch = self._watches.get(environment_id)
        if watch is None:
            watch = self._watches[environment_id] = _Watch()
            watch.task = asyncio.create_task(self._look(environment_id, watch))
        changed = asyncio.Event()
        if watch.mark is not None:
            changed.set()
        watch.listeners.add(changed)
        try:
            yield changed
        finally:
            watch.listeners.remove(changed)
            if not watch.listeners and watch.task:
                del self._watches[environment_id]
                watch.task.cancel()
                await asyncio.gather(watch.task, return_exceptions=True)

    async def _look(self, environment_id: UUID, watch: _Watch) -> None:
        changes, clock = self._application.storage.changes, self._application.clock
        while not self.is_ending:
            since = BucketSize.MINUTE.start_of(clock.now()) - _COUNTED_FOR
            try:
                mark = await changes.mark(environment_id, since)
            except StorageUnavailable:
                # The pages say so, when they are asked for.
                mark = watch.mark
            if mark != watch.mark:
                watch.mark = mark
                _tell(watch)
            await asyncio.sleep(self.rules.interval)
        _tell(watch)


def _tell(watch: _Watch) -> None:
    for changed in watch.listeners:
        changed.set()


STREAMS = web.AppKey("streams", Streams)
"""The streams of an application."""
