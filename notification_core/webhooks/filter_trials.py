"""Trying a filter on the events that are stored: which of them it would let through."""

from collections.abc import Sequence
from uuid import UUID

from attrs import frozen

from notification_core.errors import Detail, InvalidFilter
from notification_core.ingest.event_filters import EventFilters
from notification_core.ports.history import History
from notification_core.ports.webhooks import WebhookStore


@frozen
class TriedEvent:
    """Whether an event matches, and where it does not: the first few places of its body."""

    event_id: str
    event_type: str
    matched: bool
    errors: Sequence[Detail]


@frozen
class FilterTrial:
    """What came of trying a filter: newest event first."""

    tried: int
    matched: int
    results: Sequence[TriedEvent]


class FilterTrials:
    """Tries filters; nothing is stored and nothing is sent."""

    def __init__(self, history: History, webhooks: WebhookStore, filters: EventFilters) -> None:
        self._history = history
        self._webhooks = webhooks
        self._filters = filters

    async def run(
        self, environment_id: UUID, webhook_id: UUID, text: str, most: int
    ) -> FilterTrial:
        """Try a filter on the latest stored events that a webhook subscribes to.

        Raises :class:`InvalidFilter`, whose details name the places in it,
        :class:`WebhookNotFound` and :class:`StorageUnavailable`.
        """
        if details := self._filters.validate(text):
            raise InvalidFilter.of("The filter", details)
        webhook = await self._webhooks.get(environment_id, webhook_id)
        results = []
        for event in await self._history.bodies(environment_id, webhook.events, most):
            errors = await self._filters.errors(text, event.body)
            results.append(TriedEvent(event.event_id, event.event_type, not errors, errors))
        return FilterTrial(len(results), sum(result.matched for result in results), results)
