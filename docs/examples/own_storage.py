"""A storage adapter of one's own: one in memory that writes down every change of a webhook.

It implements one port, :class:`WebhookStore`, and takes the other stores as they are.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import IO
from uuid import UUID

from attrs import evolve, frozen

from notification_adapters.memory import MemoryStorage
from notification_core.model.request_records import RequestRecords
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.webhook import Webhook
from notification_core.ports.webhooks import Snapshot, WebhookStore


@frozen
class JournalledWebhooks(WebhookStore):
    """Writes a line of JSON to ``journal`` after each change that ``store`` has made."""

    store: WebhookStore
    journal: IO[str]

    async def add(self, webhook: Webhook, most: int, records: RequestRecords = ()) -> None:
        await self.store.add(webhook, most, records)
        self._note("added", webhook.webhook_id)

    async def replace(
        self, webhook: Webhook, records: RequestRecords = (), *, resets_health: bool = False
    ) -> int:
        revision = await self.store.replace(webhook, records, resets_health=resets_health)
        self._note("replaced", webhook.webhook_id)
        return revision

    async def delete(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        now: datetime,
        version: int | None = None,
        records: RequestRecords = (),
    ) -> int:
        revision = await self.store.delete(environment_id, webhook_id, now, version, records)
        self._note("deleted", webhook_id)
        return revision

    async def disable_failing(
        self, environment_id: UUID, webhook_id: UUID, since: datetime, now: datetime
    ) -> bool:
        disabled = await self.store.disable_failing(environment_id, webhook_id, since, now)
        if disabled:
            self._note("disabled", webhook_id)
        return disabled

    # What changes nothing that the journal tells of is passed on.

    async def environment_of(self, webhook_id: UUID) -> UUID:
        return await self.store.environment_of(webhook_id)

    async def count_by_environment(
        self, limit: int, after: UUID | None = None, among: Collection[UUID] | None = None
    ) -> Mapping[UUID, int]:
        return await self.store.count_by_environment(limit, after, among)

    async def list(self, environment_id: UUID) -> Sequence[Webhook]:
        return await self.store.list(environment_id)

    async def get(self, environment_id: UUID, webhook_id: UUID) -> Webhook:
        return await self.store.get(environment_id, webhook_id)

    async def change_signing_secrets(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        change: Callable[[Sequence[SigningSecret]], Sequence[SigningSecret]],
        records: RequestRecords = (),
    ) -> int:
        return await self.store.change_signing_secrets(environment_id, webhook_id, change, records)

    async def confirm(self, webhook: Webhook) -> None:
        await self.store.confirm(webhook)

    async def webhooks_revision(self) -> int:
        return await self.store.webhooks_revision()

    async def snapshot(self, webhook_ids: Collection[UUID]) -> Snapshot:
        return await self.store.snapshot(webhook_ids)

    def _note(self, change: str, webhook_id: UUID) -> None:
        print(json.dumps({"change": change, "webhook_id": str(webhook_id)}), file=self.journal)


def journalled(storage: MemoryStorage, journal: IO[str]) -> MemoryStorage:
    """Return a storage whose changes of webhooks are written down."""
    return evolve(storage, webhooks=JournalledWebhooks(storage.webhooks, journal))
