"""All environments at a glance, for operators: what waits, and the webhooks that need a look."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

from aiohttp import web
from attrs import define, field, frozen

from notification_core.errors import WebhookNotFound
from notification_core.ports.backlog import MAX_COUNTED, BacklogSize
from notification_core.ports.statistics import WebhookAttempts
from notification_entrypoints.bootstrap.application import Application
from notification_entrypoints.console.rendering import rough

RANKED: Final = 10
"""How many webhooks each list has at most."""

WITHIN: Final = timedelta(hours=1)
"""The attempts of how much time are compared."""

_FRESH_SECONDS: Final = 10.0
_ON_TIME: Final = timedelta(seconds=30)


@frozen
class RankedWebhook:
    """A webhook in a list, with the figure that it stands there for."""

    environment_id: UUID
    webhook_id: UUID
    name: str
    figure: str
    note: str = ""


@frozen
class Installation:
    """The state of an installation: in a sentence, in figures, and by webhooks."""

    size: BacklogSize
    failing: Sequence[RankedWebhook]
    queues: Sequence[RankedWebhook]
    busiest: Sequence[RankedWebhook]

    @property
    def is_late(self) -> bool:
        """Whether a delivery that is due has waited for too long."""
        return (self.size.oldest_due or timedelta()) > _ON_TIME

    @property
    def oldest_due(self) -> str:
        """How long the oldest delivery that is due has waited, empty if none is."""
        return "" if self.size.oldest_due is None else rough(self.size.oldest_due)

    @property
    def waiting(self) -> str:
        """How many deliveries are pending; counts stop at some point."""
        return f"{self.size.waiting:,}{'' if self.size.waiting < MAX_COUNTED else ' or more'}"

    @property
    def sentence(self) -> str:
        """How the installation is, in plain words."""
        first = "All deliveries are on time."
        if self.is_late:
            first = f"Deliveries are late: the oldest has been due for {self.oldest_due}."
        if not self.failing:
            return f"{first} No webhook has failed within an hour."
        more = "" if len(self.failing) < RANKED else " or more"
        plural = "" if len(self.failing) == 1 else "s"
        return f"{first} {len(self.failing)}{more} webhook{plural} failed within an hour."


@define(eq=False)
class InstallationReader:
    """Reads the state of the installation every ten seconds at most, however many look at it."""

    _application: Application
    _latest: tuple[float, Installation] | None = field(default=None, init=False)
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def read(self) -> Installation:
        """Return how the installation is; raise :class:`StorageUnavailable`."""
        async with self._turn:
            now = self._application.clock.monotonic()
            if self._latest is None or now - self._latest[0] >= _FRESH_SECONDS:
                self._latest = now, await self._read()
            return self._latest[1]

    async def _read(self) -> Installation:
        storage, since = self._application.storage, self._application.clock.now() - WITHIN
        # One after the other: each may read many rows.
        size = await storage.backlog.size()
        queues = await storage.backlog.longest(RANKED)
        failing = await storage.statistics.failing(since, RANKED)
        busiest = await storage.statistics.busiest(since, RANKED)
        return Installation(
            size,
            [await self._by_attempts(each, f"{each.failed:,}", "failed") for each in failing],
            [
                RankedWebhook(
                    queue.environment_id,
                    queue.webhook_id,
                    await self._name(queue.environment_id, queue.webhook_id),
                    f"{queue.waiting:,}{'' if queue.is_exact else '+'}",
                )
                for queue in queues
            ],
            [
                await self._by_attempts(each, f"{each.failed + each.succeeded:,}", "attempts")
                for each in busiest
            ],
        )

    async def _by_attempts(self, ranked: WebhookAttempts, figure: str, of: str) -> RankedWebhook:
        other = f"{ranked.succeeded:,} succeeded" if of == "failed" else f"{ranked.failed:,} failed"
        name = await self._name(ranked.environment_id, ranked.webhook_id)
        return RankedWebhook(ranked.environment_id, ranked.webhook_id, name, figure, other)

    async def _name(self, environment_id: UUID, webhook_id: UUID) -> str:
        try:
            return (await self._application.storage.webhooks.get(environment_id, webhook_id)).name
        except WebhookNotFound:
            return "a deleted webhook"


INSTALLATION = web.AppKey("installation", InstallationReader)
"""What reads the state of the installation."""
