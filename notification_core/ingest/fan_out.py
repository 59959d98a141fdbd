"""How far events fan out: which webhooks want each, and how many deliveries a transaction takes."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from notification_core.errors import TooManyDeliveries
from notification_core.model.delivery import MAX_DELIVERIES_PER_TRANSACTION
from notification_core.model.event import Event, EventKey
from notification_core.model.webhook import Webhook

WebhooksOfEvents = Mapping[EventKey, Sequence[Webhook]]
"""Which webhooks get a delivery of each event (a skipped one if disabled)."""


def fan_out(
    requests: Sequence[Sequence[Event]], webhooks: Iterable[Webhook], now: datetime
) -> WebhooksOfEvents:
    """Return which webhooks get a delivery of each event; of events with one key the first counts.

    A webhook gets what happens in its environment and is of a type that it subscribes to.
    """
    by_type: dict[tuple[object, str], list[Webhook]] = {}
    for webhook in webhooks:
        if webhook.gets_deliveries(now):
            for event_type in webhook.events:
                by_type.setdefault((webhook.environment_id, event_type), []).append(webhook)
    webhooks_of: dict[EventKey, Sequence[Webhook]] = {}
    for events in requests:
        for event in events:
            webhooks_of.setdefault(event.key, by_type.get((event.environment_id, event.type), ()))
    return webhooks_of


def fit(
    requests: Sequence[Sequence[Event]], webhooks_of: WebhooksOfEvents
) -> tuple[Sequence[TooManyDeliveries | None], Sequence[Event]]:
    """Return which of the first requests fit into one transaction, and the events of these.

    Of each request, at least one, it is said why it never fits, or None; it says how many of its
    first events would fit. Requests behind the last one are for another transaction.
    """
    refusals: list[TooManyDeliveries | None] = []
    fitting: list[Event] = []
    left = MAX_DELIVERIES_PER_TRANSACTION
    for events in requests:
        rows = fits = 0
        for key in dict.fromkeys([event.key for event in events]):
            rows += len(webhooks_of[key])
            fits += rows <= MAX_DELIVERIES_PER_TRANSACTION
        if rows > MAX_DELIVERIES_PER_TRANSACTION:
            refusal = TooManyDeliveries(
                f"These {len(events)} events make {rows} deliveries; at most "
                f"{MAX_DELIVERIES_PER_TRANSACTION} are stored at once. "
                f"The first {fits} events would fit: publish in smaller batches.",
                fits,
            )
            refusals.append(refusal)
            continue
        if rows > left:
            break
        left -= rows
        refusals.append(None)
        fitting += events
    return refusals, fitting
