"""The webhook store in memory."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from attrs import evolve

from notification_adapters.memory.state import MemoryState
from notification_adapters.memory.webhook_health import heal
from notification_core.concurrency.ids import earliest_id
from notification_core.errors import TooManyWebhooks, WebhookChanged, WebhookNotFound
from notification_core.model.delivery import AttemptOutcome, DeliveryState, EndReason
from notification_core.model.outbox_message import webhook_disabled
from notification_core.model.request_records import RequestRecords
from notification_core.model.signing_secret import SigningSecret
from notification_core.model.webhook import FOREVER, DisabledReason, Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.webhooks import Snapshot, WebhookStore


class MemoryWebhookStore(WebhookStore):
    """Keeps webhooks in a dictionary."""

    def __init__(self, state: MemoryState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def environment_of(self, webhook_id: UUID) -> UUID:
        """Return the environment of a webhook."""
        webhook = self._state.webhooks.get(webhook_id)
        if webhook is None or webhook.deleted_at:
            raise WebhookNotFound(webhook_id)
        return webhook.environment_id

    async def count_by_environment(
        self, limit: int, after: UUID | None = None, among: Collection[UUID] | None = None
    ) -> Mapping[UUID, int]:
        """Return how many webhooks the environments have that have any, by rising id."""
        counts = Counter(
            webhook.environment_id
            for webhook in self._state.webhooks.values()
            if not webhook.deleted_at
        )
        listed = sorted(
            environment_id
            for environment_id in counts
            if (after is None or environment_id > after)
            and (among is None or environment_id in among)
        )
        return {environment_id: counts[environment_id] for environment_id in listed[:limit]}

    async def list(self, environment_id: UUID) -> Sequence[Webhook]:
        """Return all webhooks of an environment, oldest first."""
        return webhooks_of(self._state, {environment_id})

    async def get(self, environment_id: UUID, webhook_id: UUID) -> Webhook:
        """Return one webhook."""
        return self._state.living(environment_id, webhook_id)

    async def add(self, webhook: Webhook, most: int, records: RequestRecords = ()) -> None:
        """Store a new webhook."""
        async with self._state.writing:
            self._state.require_no_response(records)
            if len(webhooks_of(self._state, {webhook.environment_id})) >= most:
                raise TooManyWebhooks(f"An environment has at most {most} webhooks.")
            self._state.change(webhook)
            self._state.add_records(records)

    async def replace(
        self, webhook: Webhook, records: RequestRecords = (), *, resets_health: bool = False
    ) -> int:
        """Store a changed webhook; return the webhooks' revision."""
        async with self._state.writing:
            stored = self._state.living(webhook.environment_id, webhook.webhook_id)
            if stored.version != webhook.version - 1:
                raise WebhookChanged(webhook.webhook_id)
            self._state.add_records(records)
            if resets_health:
                heal(self._state, webhook.webhook_id, self._clock.now())
            stored = self._state.webhooks[webhook.webhook_id]
            kept = evolve(
                webhook,
                signing_secrets=stored.signing_secrets,
                is_paused=stored.is_paused,
                resumed_at=stored.resumed_at,
            )
            return self._state.change(kept)

    async def change_signing_secrets(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        change: Callable[[Sequence[SigningSecret]], Sequence[SigningSecret]],
        records: RequestRecords = (),
    ) -> int:
        """Replace a webhook's secrets."""
        async with self._state.writing:
            stored = self._state.living(environment_id, webhook_id)
            changed = evolve(stored, signing_secrets=tuple(change(stored.signing_secrets)))
            self._state.require_no_response(records)
            self._state.add_records(records)
            return self._state.change(changed)

    async def confirm(self, webhook: Webhook) -> None:
        """Return: memory has nothing that is not yet durable."""

    async def delete(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        now: datetime,
        version: int | None = None,
        records: RequestRecords = (),
    ) -> int:
        """Leave a tombstone, cancel pending deliveries, return the webhooks' revision."""
        async with self._state.writing:
            stored = self._state.living(environment_id, webhook_id)
            if version is not None and stored.version != version:
                raise WebhookChanged(webhook_id)
            for delivery in self._state.deliveries.values():
                if delivery.webhook_id == webhook_id and delivery.state is DeliveryState.PENDING:
                    self._state.counts(environment_id, webhook_id, now).count_end(
                        DeliveryState.CANCELLED
                    )
                    delivery.cancel_unsendable(DeliveryState.CANCELLED, EndReason.WEBHOOK_DELETED)
            self._state.health.pop(webhook_id, None)
            buried = evolve(stored, deleted_at=now, updated_at=now, version=stored.version + 1)
            self._state.add_records(records)
            return self._state.change(buried)

    async def disable_failing(
        self, environment_id: UUID, webhook_id: UUID, since: datetime, now: datetime
    ) -> bool:
        """Disable a webhook of which all attempts since then and one before it have failed."""
        async with self._state.writing:
            try:
                webhook = self._state.living(environment_id, webhook_id)
            except WebhookNotFound:
                return False
            if webhook.disabled_reason or webhook.updated_at > since:
                return False
            # By the attempts whose end is known: an interrupted one says nothing.
            newest_first = [
                attempt
                for attempt in self._state.attempts_of(environment_id, webhook_id)
                if not self._state.is_webhook_test(attempt)
                and attempt.outcome is not AttemptOutcome.INTERRUPTED
            ]
            first = earliest_id(since)
            after = [attempt.outcome for attempt in newest_first if attempt.log_id >= first]
            earlier = [attempt.outcome for attempt in newest_first if attempt.log_id < first]
            if not after or {*after, *earlier[:1]} != {AttemptOutcome.FAILED} or not earlier:
                return False
            return disable(self._state, webhook_id, webhook.version, DisabledReason.FAILING, now)

    async def webhooks_revision(self) -> int:
        """Return the webhooks' revision."""
        return self._state.webhooks_revision

    async def snapshot(self, webhook_ids: Collection[UUID]) -> Snapshot:
        """Read webhooks of any environment afresh."""
        return snapshot(self._state, webhook_ids)


def webhooks_of(state: MemoryState, environment_ids: Collection[UUID]) -> Sequence[Webhook]:
    """Return the webhooks of environments, oldest first, tombstones left out."""
    of_them = (
        webhook for webhook in state.webhooks.values() if webhook.environment_id in environment_ids
    )
    living = (webhook for webhook in of_them if not webhook.deleted_at)
    return sorted(living, key=lambda webhook: (webhook.created_at, webhook.webhook_id))


def snapshot(state: MemoryState, webhook_ids: Collection[UUID]) -> Snapshot:
    """Return webhooks by id, tombstones too, with the webhooks' revision."""
    stored_ids = state.webhooks.keys() & set(webhook_ids)
    return Snapshot(
        {webhook_id: state.webhooks[webhook_id] for webhook_id in stored_ids},
        state.webhooks_revision,
    )


def disable(
    state: MemoryState, webhook_id: UUID, version: int, reason: DisabledReason, now: datetime
) -> bool:
    """Disable a webhook permanently if it still has this version; tell whether it had."""
    webhook = state.webhooks[webhook_id]
    if webhook.deleted_at or webhook.version != version:
        return False
    state.health.pop(webhook_id, None)
    disabled = evolve(
        webhook,
        is_paused=False,
        disabled_until=FOREVER,
        disabled_reason=reason,
        disabled_at=now,
        updated_at=now,
        version=version + 1,
    )
    state.change(disabled)
    state.append_operational_event(
        webhook_disabled(webhook.environment_id, webhook_id, reason, now)
    )
    return True
