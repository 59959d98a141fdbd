"""Carrying replays on, a batch at a time, beside what is delivered for the first time."""

from notification_core.model.replay import Replay, ReplayProgress
from notification_core.ports.observer import Observer
from notification_core.ports.replays import ReplayStore

MAX_WAITING = 1_000
"""A webhook for which so many deliveries wait gets no more by a replay: others wait behind them."""

_MAX_EXAMINED = 1_000
_MOST_AT_ONCE = 100


class ReplayRunner:
    """Advances all replays that run, each in its turn."""

    def __init__(self, store: ReplayStore, observer: Observer) -> None:
        self._store = store
        self._observer = observer
        self._turned_to: Replay | None = None

    async def advance_all(self) -> ReplayProgress:
        """Advance replays by a batch each; return how far they came together."""
        examined = made = 0
        after = self._turned_to.webhook_id if self._turned_to else None
        running = await self._store.running(_MOST_AT_ONCE, after)
        self._turned_to = running[-1] if len(running) == _MOST_AT_ONCE else None
        for replay in running:
            progress = await self._store.advance(replay, _MAX_EXAMINED, MAX_WAITING)
            examined += progress.examined
            made += progress.made
        if made:
            self._observer.deliveries_stored(0, made, 0)
            self._observer.deliveries_replayed(made)
        return ReplayProgress(examined, made)
