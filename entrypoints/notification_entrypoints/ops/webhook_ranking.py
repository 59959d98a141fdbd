"""Which webhooks need a look: those that fail most, and those for which most deliveries wait."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from attrs import define, field, frozen

from notification_core.ports.backlog import Backlog
from notification_core.ports.clock import Clock
from notification_core.ports.statistics import StatisticsStore

RANKINGS: Final = ("failing_webhooks", "longest_queues")
"""The names of the lists."""

RANKED: Final = 10
"""How many webhooks each list has at most."""

FAILING_WITHIN: Final = timedelta(hours=1)
"""The attempts of how much time are compared."""

_FRESH_SECONDS: Final = 10.0


@frozen
class _Ranked:
    lists: Mapping[str, Sequence[Mapping[str, object]]]
    at: float


@define(eq=False)
class WebhookRanking:
    """The two lists of a storage, by ids and figures alone.

    Each reads up to some 100,000 rows, so they are made every ten seconds at most, however many
    ask, and one after the other.
    """

    _backlog: Backlog
    _statistics: StatisticsStore
    _clock: Clock
    _latest: _Ranked | None = field(default=None, init=False)
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def read(self) -> Mapping[str, object]:
        """Return the lists, the worst first; raise :class:`StorageUnavailable`."""
        async with self._turn:
            latest, now = self._latest, self._clock.monotonic()
            if latest is None or now - latest.at >= _FRESH_SECONDS:
                latest = self._latest = _Ranked(await self._rank(), now)
            return latest.lists

    async def _rank(self) -> Mapping[str, Sequence[Mapping[str, object]]]:
        since = self._clock.now() - FAILING_WITHIN
        failing = await self._statistics.failing(since, RANKED)
        longest = await self._backlog.longest(RANKED)
        lists = (
            [
                {
                    "environment_id": str(webhook.environment_id),
                    "webhook_id": str(webhook.webhook_id),
                    "failed": webhook.failed,
                    "succeeded": webhook.succeeded,
                }
                for webhook in failing
            ],
            [
                {
                    "environment_id": str(queue.environment_id),
                    "webhook_id": str(queue.webhook_id),
                    "waiting": queue.waiting,
                    "waiting_is_exact": queue.is_exact,
                }
                for queue in longest
            ],
        )
        return dict(zip(RANKINGS, lists, strict=True))
