"""A webhook's lane, and what is in it: begun deliveries that wait, and requests that are out."""

from collections import OrderedDict, deque
from math import inf

from attrs import define, field, frozen

from notification_core.model.delivery import ClaimedDelivery
from notification_core.model.webhook import Webhook


@frozen
class QueuedDelivery:
    """A begun delivery in this process's hands; ``leased_until`` on the monotonic clock."""

    delivery: ClaimedDelivery
    leased_until: float


@define(eq=False)
class WebhookQueue:
    """The deliveries of one webhook, and how it has been answering.

    ``half`` is the one that all of it is counted in; ``more`` says that storage has more of them
    than a claim could take; ``bounded_at`` is when it has last been at its bound.
    """

    webhook: Webhook
    webhooks_revision: int
    limit: int
    half: "CapacityShare" = field(repr=False)  # whose repr is that of its lanes
    waiting: deque[QueuedDelivery] = field(factory=deque)
    waiting_bytes: int = 0
    reserved: int = 0
    in_flight: int = 0
    slow: int = 0
    answering: bool = False
    failing: bool = False
    more: bool = False
    touched: float = 0.0
    bounded_at: float = -inf

    @property
    def is_at_bound(self) -> bool:
        """Tell whether the webhook has as many requests in flight as it may have."""
        return self.in_flight >= self.limit

    @property
    def proven(self) -> bool:
        """Tell whether the webhook has answered, and has no slow request out."""
        return self.answering and not self.slow

    @property
    def kept(self) -> int:
        """How many deliveries wait here or have a place reserved."""
        return len(self.waiting) + self.reserved

    @property
    def empty(self) -> bool:
        """Tell whether nothing of this webhook is in this process's hands."""
        return not (self.kept or self.in_flight)


@define
class CapacityShare:
    """What the webhooks that answer have here together, or those that do not, and who is next.

    ``waiting`` and ``waiting_bytes`` count reserved places too.
    """

    in_flight: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    ready: OrderedDict[WebhookQueue, None] = field(factory=OrderedDict)

    def enter(self, lane: WebhookQueue) -> None:
        """Count all that a lane has, and what it will have."""
        lane.half = self
        self.in_flight += lane.in_flight
        self.waiting += lane.kept
        self.waiting_bytes += lane.waiting_bytes

    def leave(self, lane: WebhookQueue) -> None:
        """Count nothing of a lane any more."""
        self.in_flight -= lane.in_flight
        self.waiting -= lane.kept
        self.waiting_bytes -= lane.waiting_bytes
        self.ready.pop(lane, None)


@define(eq=False)
class InFlightRequest:
    """One request that is out; small, since it is remembered until it would count as slow.

    ``bounded_at`` is when its webhook had last been at its bound before.
    """

    lane: WebhookQueue
    started: float
    bounded_at: float
    slow: bool = False
    ended: bool = False
