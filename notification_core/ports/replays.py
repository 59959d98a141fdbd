"""Delivering again what was delivered before, or was not."""

from abc import abstractmethod
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from notification_core.model.read_models import DeliveryView, ReplayPage
from notification_core.model.replay import Replay, ReplayCount, ReplayProgress, Selection
from notification_core.model.request_records import RequestRecords


class ReplayStore(Protocol):
    """Makes further deliveries of stored events; all are due at once, for any worker to claim.

    Every method raises :class:`StorageUnavailable`, and those that write :class:`UnknownCommit`.
    Statements are scoped to the environment; :meth:`running` cannot be.
    """

    @abstractmethod
    async def retry(
        self, delivery: DeliveryView, delivery_id: UUID, records: RequestRecords = ()
    ) -> None:
        """Store one more delivery, of this id, of the same event to the same webhook.

        Raises :class:`EventGone` where the event has no body any more, and
        :class:`ResponseAlreadyStored`; then nothing is stored.
        """

    @abstractmethod
    async def add(self, replay: Replay, records: RequestRecords = ()) -> None:
        """Store a replay that begins.

        Raises :class:`ReplayRunning` where the webhook has one that runs: of several callers at
        the same time one wins, and the one that runs is as durable as a commit of this call would
        be. Raises :class:`ResponseAlreadyStored` before that.
        """

    @abstractmethod
    async def get(self, environment_id: UUID, webhook_id: UUID, replay_id: UUID) -> Replay:
        """Return a replay of a webhook; raise :class:`ReplayNotFound`."""

    @abstractmethod
    async def of_webhook(
        self, environment_id: UUID, webhook_id: UUID, limit: int, before: UUID | None = None
    ) -> ReplayPage:
        """Return a webhook's replays by falling id, those below ``before`` only."""

    @abstractmethod
    async def cancel(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        replay_id: UUID,
        now: datetime,
        records: RequestRecords = (),
    ) -> None:
        """Let a replay make nothing more; one that has ended stays as it is.

        ``records`` is written where that ends it. An end that was there is as durable then as a
        commit of this call. Raises :class:`ReplayNotFound`.
        """

    @abstractmethod
    async def count(
        self, environment_id: UUID, webhook_id: UUID, selection: Selection, most: int
    ) -> ReplayCount:
        """Count what is selected now, looking at no more than ``most`` deliveries."""

    @abstractmethod
    async def running(self, limit: int, after: UUID | None = None) -> Sequence[Replay]:
        """Return replays that run by the ids of their webhooks, those above ``after`` only."""

    @abstractmethod
    async def advance(self, replay: Replay, limit: int, max_waiting: int) -> ReplayProgress:
        """Make the next of a running replay's deliveries, due at once, in one transaction.

        At most ``limit`` deliveries are looked at, and no more are made than leave at most
        ``max_waiting`` of the webhook's waiting. The transaction holds how far the replay has come,
        so that none is made twice whoever dies when; another process that is at it is not waited
        for. A replay that has come to its end is completed, that of a deleted webhook cancelled;
        that of a disabled one waits.
        """
