"""Trying a webhook out: the example of an event type is sent to it now, once.

The request is like any other: signed, logged, bounded in time. But it is not retried, and
whatever is answered says nothing about the webhook's deliveries: it never disables it.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from notification_core.dispatch.attempt import AttemptMaker
from notification_core.errors import Detail, InvalidInput, ResourceShort, TooManyWebhookTests
from notification_core.model.delivery import TEST_WORKER, Attempt, ClaimedDelivery, Fence
from notification_core.model.event import Event, EventToStore, body_of
from notification_core.model.event_types import EventCatalogues
from notification_core.model.request_records import RecordsOf, records_for
from notification_core.model.webhook import Webhook
from notification_core.ports.clock import Clock
from notification_core.ports.observer import Observer
from notification_core.ports.webhook_tests import WebhookTestStore
from notification_core.ports.webhooks import WebhookStore
from notification_core.signing.key_cache import SigningKeyCache

MOST_AT_ONCE = 16
"""How many webhook tests may be under way in a process."""


class WebhookTester:
    """Sends examples to webhooks, and waits for what they answer."""

    def __init__(  # noqa: PLR0913 - its collaborators, one by one
        self,
        *,
        store: WebhookTestStore,
        webhooks: WebhookStore,
        key_cache: SigningKeyCache,
        attempts: AttemptMaker,
        clock: Clock,
        ids: Callable[[], UUID],
        observer: Observer,
        catalogues: EventCatalogues,
        lease: timedelta,
    ) -> None:
        self._store = store
        self._webhooks = webhooks
        self._key_cache = key_cache
        self._attempts = attempts
        self._clock = clock
        self._ids = ids
        self._observer = observer
        self._catalogues = catalogues
        self._lease = lease
        self._running: set[asyncio.Task[Attempt]] = set()

    @property
    def longest(self) -> timedelta:
        """How long a webhook may take to answer."""
        return self._attempts.rules.timeout

    async def send(
        self,
        environment_id: UUID,
        webhook_id: UUID,
        event_type: str | None = None,
        make_records: RecordsOf[Attempt | None] | None = None,
    ) -> Attempt:
        """Send an example of this event type, by default of one that the webhook subscribes to.

        A webhook that is disabled is sent to as well. Once begun it runs to its end even if the
        caller is cancelled, and the request whose response ``make_records`` makes never sends
        another one, whatever happens to this. Raises :class:`WebhookNotFound`,
        :class:`InvalidInput` if there is no such event type, :class:`TooManyWebhookTests`,
        :class:`StorageUnavailable`, and :class:`ResponseAlreadyStored` if that request has
        begun or has a response.
        """
        webhook = await self._webhooks.get(environment_id, webhook_id)
        if len(self._running) >= MOST_AT_ONCE:
            raise TooManyWebhookTests(
                "Too many webhooks are being tried out. Try again in a moment."
            )
        event = self._example_event(webhook, event_type)
        running = asyncio.create_task(self._send(webhook, event, make_records))
        self._running.add(running)
        running.add_done_callback(self._ended)
        return await asyncio.shield(running)

    def _ended(self, running: asyncio.Task[Attempt]) -> None:
        self._running.discard(running)
        # The caller may be gone: then nobody else asks how it ended, and asyncio would complain.
        if not running.cancelled():
            running.exception()

    async def drain(self) -> None:
        """Return once no webhook test is under way."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _send(
        self, webhook: Webhook, event: EventToStore, make_records: RecordsOf[Attempt | None] | None
    ) -> Attempt:
        keys = await self._key_cache.get(webhook.environment_id)
        delivery = ClaimedDelivery(
            fence=Fence(self._ids(), webhook.environment_id, 1, TEST_WORKER),
            webhook_id=webhook.webhook_id,
            event_id=event.event.event_id,
            event_type=event.event.type,
            failures=0,
            body=event.body or b"",
        )
        await self._store.begin(event, delivery, self._lease, records_for(make_records, None))
        try:
            attempt = (await self._attempts.make(delivery, webhook, keys)).attempt
        except ResourceShort as shortage:
            # Nobody tries it again: that it ended on our side is all that there is to say.
            self._observer.resource_exhausted(shortage.resource)
            attempt = self._attempts.interrupted(delivery, webhook).attempt
        if await self._store.finish(attempt, records_for(make_records, attempt)):
            error = attempt.error.code if attempt.error else None
            self._observer.attempt_ended(attempt.outcome, error, attempt.duration)
        else:
            self._observer.results_fenced(1)
        return attempt

    def _example_event(self, webhook: Webhook, name: str | None) -> EventToStore:
        catalogue = self._catalogues.of(webhook.environment_id)
        types = catalogue.types
        if name is None:
            name = next((known for known in types if known in webhook.events), None)
        if name is None or name not in types:
            which = "The webhook subscribes to none" if name is None else "This is not one"
            problem = f"{which} of the event types that there are. Give one of"
            detail = Detail("event", f"{problem} {catalogue.names}.")
            raise InvalidInput(detail.message, [detail])
        event = Event(
            event_id=f"test-{self._ids()}",
            environment_id=webhook.environment_id,
            type=name,
            occurred_at=self._clock.now(),
            data=json.dumps(types[name].example, separators=(",", ":")).encode(),
        )
        return EventToStore(event, body_of(event))
