"""Delivering in order: which delivery of an ordering key may be sent: the only place of the rule.

The deliveries of one webhook with one ordering key form an ordering group, in the order of their
positions. Only the first one in the group may be claimed; the others are *held*: they are due at
:data:`HELD_UNTIL`. A delivery leaves the group once it is final and no attempt of it is being made,
and then the next one is released: it is due at once.

A storage calls these functions. Where a single SQL statement has to express the rule, the contract
tests ``test_ordering.py`` and ``test_ordering_machine.py`` compare it with what is said here.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, NamedTuple, Protocol, TypeVar
from uuid import UUID

from notification_core.model.webhook import FOREVER

HELD_UNTIL: Final[datetime] = FOREVER
"""When a delivery is due that waits for an earlier one of its ordering key."""


class OrderingGroup(NamedTuple):
    """What the deliveries of a group have in common."""

    webhook_id: UUID
    ordering_key: str


FIRST_GROUP: Final = OrderingGroup(UUID(int=0), "")
"""Comes before every group."""


class GroupedDelivery(Protocol):
    """What the rule needs to know of a delivery that has a position."""

    @property
    def position(self) -> int | None:
        """Its place in the group: a later one has a greater number."""

    @property
    def is_pending(self) -> bool:
        """Whether it is not final yet."""

    @property
    def is_attempted(self) -> bool:
        """Whether a worker has claimed it, so that its request may be under way."""

    @property
    def due_at(self) -> datetime:
        """When it is due; :data:`HELD_UNTIL` if it is held."""


D = TypeVar("D", bound=GroupedDelivery)


def key_in_group(
    ordering_key: str | None, *, is_ordered: bool, is_final: bool = False
) -> str | None:
    """Return the key that a new delivery waits in group for; None if it is not ordered.

    ``ordering_key`` is its event's, ``is_ordered`` says so of its webhook. What is stored as final,
    skipped for a reason, waits for nothing and nothing waits for it.
    """
    return ordering_key if is_ordered and not is_final else None


def is_in_group(delivery: GroupedDelivery) -> bool:
    """Tell whether later ones wait for a delivery.

    One that was cancelled during its attempt stays until that attempt has ended: its request may
    arrive at any time until then.
    """
    return delivery.position is not None and (delivery.is_pending or delivery.is_attempted)


def first_in_group(deliveries: Iterable[D]) -> D | None:
    """Return the delivery of a group that the others wait for; None if the group is empty."""
    group = [delivery for delivery in deliveries if is_in_group(delivery)]
    return min(group, key=lambda delivery: delivery.position or 0, default=None)


def is_to_release(first: GroupedDelivery | None) -> bool:
    """Tell whether the first one in a group is held, so that it is to be released."""
    return first is not None and first.is_pending and first.due_at == HELD_UNTIL


def due_on_joining(now: datetime, *, is_group_empty: bool) -> datetime:
    """Return when a delivery is due that joins the end of a group."""
    return now if is_group_empty else HELD_UNTIL
