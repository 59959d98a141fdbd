"""Sending again: one delivery that somebody asks for once more."""

from collections.abc import Callable
from uuid import UUID

from notification_core.deliveries import Origin, State
from notification_core.errors import WebhookDeleted, WebhookDisabled, WebhookNotFound
from notification_core.history import DeliveryRecord
from notification_core.idempotency import Keep
from notification_core.ports.clock import Clock
from notification_core.ports.history import History
from notification_core.ports.replays import ReplayStore
from notification_core.ports.webhooks import WebhookStore


class Replays:
    """Has events delivered again.

    ``wake`` is called when there is something to claim.
    """

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        store: ReplayStore,
        history: History,
        webhooks: WebhookStore,
        clock: Clock,
        ids: Callable[[], UUID],
        wake: Callable[[], None],
    ) -> None:
        self._store = store
        self._history = history
        self._webhooks = webhooks
        self._clock = clock
        self._ids = ids
        self._wake = wake

    async def retry(
        self, environment_id: UUID, delivery_id: UUID, keep: Keep[DeliveryRecord] | None = None
    ) -> DeliveryRecord:
        """Make one more delivery of an event to the same webhook, whatever became of the first.

        It is tried again like any other. Raises :class:`DeliveryNotFound`,
        :class:`WebhookDeleted`, :class:`WebhookDisabled`, :class:`EventGone`, and
        :class:`AlreadyAnswered` where the request whose answer ``keep`` makes was.
        """
        retried = await self._history.delivery(environment_id, delivery_id)
        await self._check_webhook(environment_id, retried.webhook_id)
        now = self._clock.now()
        made = DeliveryRecord(
            delivery_id=self._ids(),
            environment_id=environment_id,
            webhook_id=retried.webhook_id,
            event_id=retried.event_id,
            event_type=retried.event_type,
            state=State.PENDING,
            attempt=0,
            created_at=now,
            origin=Origin.RETRY,
            next_attempt_at=now,
        )
        await self._store.retry(retried, made.delivery_id, keep and keep(made))
        self._wake()
        return made

    async def _check_webhook(self, environment_id: UUID, webhook_id: UUID) -> None:
        """Refuse what could not be sent now; what changes later is judged before it is sent."""
        try:
            webhook = await self._webhooks.get(environment_id, webhook_id)
        except WebhookNotFound as error:
            raise WebhookDeleted(webhook_id) from error
        if webhook.is_disabled(self._clock.now()):
            raise WebhookDisabled(webhook_id)
