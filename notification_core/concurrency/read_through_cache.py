"""Values that are read on first need, once for all who wait, and again when they are stale."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from typing import Generic, TypeVar

from attrs import frozen

from notification_core.ports.clock import Clock

_MOST_CACHED = 10_000

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@frozen
class _Entry(Generic[Value]):
    value: Value
    fresh_until: float


class ReadThroughCache(Generic[Key, Value]):
    """Gives what ``load`` returns for a key, and from memory while that is ``fresh_for``.

    What it raises is not remembered. Of more than 10,000 keys, the one that was read longest ago is
    forgotten.
    """

    def __init__(
        self, load: Callable[[Key], Awaitable[Value]], clock: Clock, fresh_for: timedelta
    ) -> None:
        self._load = load
        self._clock = clock
        self._fresh_seconds = fresh_for.total_seconds()
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()
        self._reading: dict[Key, asyncio.Lock] = {}

    async def get(self, key: Key) -> Value:
        """Return the value of a key; raise what reading it raises."""
        entry = self._entries.get(key)
        if entry is not None and self._clock.monotonic() < entry.fresh_until:
            return entry.value
        lock = self._reading.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                # From before the read: what changes while it runs is known in time, too.
                now = self._clock.monotonic()
                entry = self._entries.get(key)
                if entry is None or now >= entry.fresh_until:
                    entry = _Entry(await self._load(key), now + self._fresh_seconds)
                    self._entries[key] = entry
                    self._entries.move_to_end(key)
                    if len(self._entries) > _MOST_CACHED:
                        self._entries.popitem(last=False)
                return entry.value
        finally:
            self._reading.pop(key, None)

    def invalidate(self, key: Key) -> None:
        """Read a value again when it is needed next: it has changed.

        A read that runs at this moment may still bring the previous one, for ``fresh_for``.
        """
        self._entries.pop(key, None)
