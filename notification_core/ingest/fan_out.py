"""How far events fan out: which webhooks want each, and how many deliveries a transaction takes."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from notification_core.errors import TooManyDeliveries
from notification_core.ingest.matching import matching, subscriptions_by_type
from notification_core.ingest.webhook_cache import CachedWebhooks
from notification_core.model.delivery import MAX_DELIVERIES_PER_TRANSACTION
from notification_core.model.event import Event, EventKey
from notification_core.model.webhook import Webhook


@frozen
class FanOut:
    """Which webhooks want each of some events, as a transaction sees them.

    ``known`` is what was known of the environments, ``now`` when the webhooks were judged.
    """

    of: Mapping[EventKey, Sequence[Webhook]]
    known: CachedWebhooks
    now: datetime

    def rows(self, events: Sequence[Event]) -> int:
        """Return how many deliveries events make.

        Raises :class:`TooManyDeliveries` where these are more than a transaction should hold; it
        says how many of the first events would fit.
        """
        rows = fits = 0
        for key in distinct(events):
            rows += len(self.of[key])
            fits += rows <= MAX_DELIVERIES_PER_TRANSACTION
        if rows > MAX_DELIVERIES_PER_TRANSACTION:
            raise TooManyDeliveries(
                f"These {len(events)} events make {rows} deliveries; at most "
                f"{MAX_DELIVERIES_PER_TRANSACTION} are stored at once. "
                f"The first {fits} events would fit: publish in smaller batches.",
                fits,
            )
        return rows

    def refusals(self, requests: Sequence[Sequence[Event]]) -> Sequence[TooManyDeliveries | None]:
        """Return which of the first requests fit into one transaction, and why others never do.

        There is at least one; those behind the last one are for another transaction.
        """
        refusals: list[TooManyDeliveries | None] = []
        left = MAX_DELIVERIES_PER_TRANSACTION
        for events in requests:
            try:
                rows = self.rows(events)
            except TooManyDeliveries as error:
                refusals.append(error)
                continue
            if rows > left:
                break
            left -= rows
            refusals.append(None)
        return refusals


def fan_out(events: Sequence[Event], known: CachedWebhooks, now: datetime) -> FanOut:
    """Return which of the known webhooks want each event."""
    subscriptions = subscriptions_by_type(known.webhooks, now)
    wanted = {key: matching(event, subscriptions) for key, event in distinct(events).items()}
    return FanOut(wanted, known, now)


def distinct(events: Sequence[Event]) -> Mapping[EventKey, Event]:
    """Return the events by their keys, the first one of each."""
    found: dict[EventKey, Event] = {}
    for event in events:
        found.setdefault(event.key, event)
    return found
