"""Storage of webhooks."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from attrs import frozen

from notification_core.model.request_records import RequestRecords
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.webhook import Webhook


@frozen
class Snapshot:
    """Webhooks as they were at change number ``webhooks_revision``; tombstones are among them."""

    webhooks: Mapping[UUID, Webhook]
    webhooks_revision: int


class WebhookStore(Protocol):
    """Keeps the webhooks of all environments, and counts their changes.

    The webhooks' revision grows, in the same transaction, with each webhook created, replaced,
    disabled or deleted: what is remembered of webhooks holds until it changes.
    Statements are scoped to the environment; :meth:`environment_of`, :meth:`changes`,
    :meth:`count_by_environment` and :meth:`snapshot` cannot be.
    """

    @abstractmethod
    async def environment_of(self, webhook_id: UUID) -> UUID:
        """Return the environment of a webhook; raise :class:`WebhookNotFound` (tombstones too)."""

    @abstractmethod
    async def count_by_environment(
        self, limit: int, after: UUID | None = None, among: Collection[UUID] | None = None
    ) -> Mapping[UUID, int]:
        """Return how many webhooks the environments have that have any, by rising id.

        At most ``limit`` of them, those above ``after`` only, and ``among`` these if it is given.
        """

    @abstractmethod
    async def list(self, environment_id: UUID) -> Sequence[Webhook]:
        """Return all webhooks of an environment, oldest first."""

    @abstractmethod
    async def get(self, environment_id: UUID, webhook_id: UUID) -> Webhook:
        """Return one webhook; raise :class:`WebhookNotFound`."""

    @abstractmethod
    async def add(self, webhook: Webhook, most: int, records: RequestRecords = ()) -> None:
        """Store a new webhook; raise :class:`TooManyWebhooks` if there are ``most`` already.

        ``records`` is written with it, as :class:`IdempotencyStore` says.
        """

    @abstractmethod
    async def replace(
        self, webhook: Webhook, records: RequestRecords = (), *, resets_health: bool = False
    ) -> int:
        """Store a changed webhook; return the webhooks' revision. ``records`` is written with it.

        ``webhook.version`` is the stored version plus one. With ``resets_health`` it is healthy
        from then on: if it was paused, it is resumed. Raises :class:`WebhookChanged` where
        the stored version is another, and :class:`WebhookNotFound`.
        """

    @abstractmethod
    async def change_signing_secrets(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        change: Callable[[Sequence[SigningSecret]], Sequence[SigningSecret]],
        records: RequestRecords = (),
    ) -> int:
        """Replace a webhook's secrets by what ``change`` makes of the stored ones.

        Nobody else changes them meanwhile; ``change`` may be called again if the transaction is
        lost, and what it raises undoes it. Nothing else changes them, :meth:`replace` included,
        and neither the webhook's version nor ``updated_at`` changes. ``records`` is written with
        it. Returns the webhooks' revision, which has grown; raises :class:`WebhookNotFound`.
        """

    @abstractmethod
    async def confirm(self, webhook: Webhook) -> None:
        """Return once a webhook that was read is durable, before it is acknowledged as updated.

        Raises :class:`StorageUnavailable` if that is unknown.
        """

    @abstractmethod
    async def delete(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        now: datetime,
        version: int | None = None,
        records: RequestRecords = (),
    ) -> int:
        """Leave a tombstone, cancel pending deliveries, return the webhooks' revision.

        ``records`` is written with that.

        The deliveries that an attempt is being made of are all cancelled here, of the others as
        many as one small batch takes; :meth:`DeliveryStore.cancel_unsendable` cancels the rest.

        Raises
        ------
        :class:`WebhookNotFound`, and :class:`WebhookChanged` where a ``version`` is given and
        the stored one is another.

        """

    @abstractmethod
    async def disable_failing(
        self, environment_id: UUID, webhook_id: UUID, since: datetime, now: datetime
    ) -> bool:
        """Disable a webhook of which all attempts since ``since`` and one before it have failed.

        Tells whether it did so; then the webhooks' revision has grown. A webhook that was changed
        after ``since`` is left alone. Webhook tests do not count.
        """

    @abstractmethod
    async def webhooks_revision(self) -> int:
        """Return the webhooks' revision."""

    @abstractmethod
    async def snapshot(self, webhook_ids: Collection[UUID]) -> Snapshot:
        """Read webhooks of any environment afresh, for a dispatcher that holds deliveries."""
