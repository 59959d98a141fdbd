"""What ingest remembers of webhooks from one transaction to the next, until something changes."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from attrs import define, field, frozen

from notification_core.model.webhook import Webhook
from notification_core.ports.deliveries import IngestTransaction

_MOST_REMEMBERED = 20_000

WebhooksByType = Mapping[str, Sequence[Webhook]]
"""The webhooks of an environment by the event types that they subscribe to."""


@frozen
class CachedWebhooks:
    """The webhooks of some environments, and which environments are being erased.

    ``webhooks_revision`` is the one from before they were read.
    """

    webhooks_revision: int
    webhooks: Mapping[UUID, WebhooksByType]
    erasing: Collection[UUID]


@define
class _Generation:
    """What was read while the webhooks' revision stood at a number."""

    webhooks_revision: int
    erasing: Collection[UUID]
    webhooks: dict[UUID, WebhooksByType] = field(factory=dict)
    _size: int = 0

    def remember(self, read: Mapping[UUID, WebhooksByType], size: int) -> None:
        """Keep what was read, so many things; where it becomes too much, keep that alone."""
        if self._size + size > _MOST_REMEMBERED:
            self.webhooks.clear()
            self._size = 0
        self.webhooks |= read
        self._size += size


class WebhookCache:
    """Looks up webhooks, and reads again only what a change may have touched.

    Whatever changes webhooks, or begins or ends an erasure, raises the webhooks' revision within
    the same transaction. So one small read inside a transaction tells whether all that is
    remembered is what that transaction would read.
    """

    def __init__(self) -> None:
        self._latest: _Generation | None = None

    def get_cached(self, environment_ids: Collection[UUID]) -> CachedWebhooks | None:
        """Return what is remembered of these environments; None where that is not all of it.

        Of one that is being erased nothing is: what is dropped for it is dropped permanently, and
        so not on the word of a memory.
        """
        generation = self._latest
        if generation is None:
            return None
        webhooks: dict[UUID, WebhooksByType] = {}
        for environment_id in environment_ids:
            cached = generation.webhooks.get(environment_id)
            if cached is None or environment_id in generation.erasing:
                return None
            webhooks[environment_id] = cached
        return CachedWebhooks(generation.webhooks_revision, webhooks, generation.erasing)

    async def load(
        self, transaction: IngestTransaction, environment_ids: Collection[UUID]
    ) -> CachedWebhooks:
        """Return the webhooks of these environments, as the transaction sees them."""
        generation = await self._generation(transaction)
        remembered = generation.webhooks
        webhooks = {key: remembered[key] for key in environment_ids if key in remembered}
        if missing := [key for key in environment_ids if key not in webhooks]:
            subscriptions = await transaction.subscriptions(missing)
            read = by_environment(subscriptions, missing)
            generation.remember(read, len(missing) + len(subscriptions))
            webhooks |= read
        return CachedWebhooks(generation.webhooks_revision, webhooks, generation.erasing)

    async def _generation(self, transaction: IngestTransaction) -> _Generation:
        # The counter first: a change between two reads must not seem to be known already. Who
        # looks up at the same time may see another number: each fills the generation that it began.
        webhooks_revision = await transaction.webhooks_revision()
        generation = self._latest
        if generation is None or generation.webhooks_revision != webhooks_revision:
            generation = _Generation(webhooks_revision, await transaction.erasing())
            self._latest = generation
        return generation


def by_environment(
    webhooks: Sequence[Webhook], environment_ids: Collection[UUID]
) -> Mapping[UUID, WebhooksByType]:
    """Return the webhooks of each of these environments, by what they subscribe to."""
    grouped: dict[UUID, dict[str, list[Webhook]]] = {key: {} for key in environment_ids}
    for webhook in webhooks:
        by_type = grouped[webhook.environment_id]
        for event_type in webhook.events:
            by_type.setdefault(event_type, []).append(webhook)
    return grouped
