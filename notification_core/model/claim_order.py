"""Which of the due deliveries a claim takes, and in which order: the only place of these rules.

A storage finds the queues and reads the first :func:`share` deliveries of each; the choice among
them is made here.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from attrs import frozen


class ClaimBounds(Protocol):
    """The bounds of a claim, as ``Claim`` describes them."""

    @property
    def limit(self) -> int:
        """How many deliveries are taken at most."""

    @property
    def limit_bytes(self) -> int:
        """How many bytes their bodies may have, unless there is only one."""

    @property
    def new_webhook_limit(self) -> int:
        """How many deliveries of a webhook are taken at most if ``rooms`` does not name it."""

    @property
    def webhook_limits(self) -> Mapping[UUID, int]:
        """How many deliveries are taken at most of the webhooks named here."""


class DueDelivery(Protocol):
    """What the order depends on."""

    @property
    def webhook_id(self) -> UUID:
        """Where it is to be sent."""

    @property
    def size(self) -> int:
        """The bytes of its body."""


D = TypeVar("D", bound=DueDelivery)


@frozen
class Choice(Generic[D]):
    """What a claim takes, in order.

    ``cut_at`` is the last webhook served if the bounds left others without, else None: the next
    claim begins after it. ``has_more`` tells that a webhook has, or may have, more that is due and
    that its bound would admit.
    """

    chosen: Sequence[D]
    cut_at: UUID | None
    has_more: bool


def limit_of(bounds: ClaimBounds, webhook_id: UUID) -> int:
    """Return how many deliveries of one webhook a claim takes at most."""
    return bounds.webhook_limits.get(webhook_id, bounds.new_webhook_limit)


def share(bounds: ClaimBounds, webhook_ids: Collection[UUID]) -> int:
    """Return how many due deliveries of each of these webhooks are worth reading.

    With many webhooks each gets little of the limit: reading all that their bounds admit would
    cost a multiple of what can be taken.
    """
    most = max((limit_of(bounds, webhook_id) for webhook_id in webhook_ids), default=0)
    fair = 1 + 4 * bounds.limit // max(1, len(webhook_ids))
    return min(most, bounds.limit, fair)


def choose(due: Mapping[UUID, Sequence[D]], bounds: ClaimBounds, read: int) -> Choice[D]:
    """Choose in rounds: each webhook's first delivery, then each one's second, and so on.

    ``due`` has, by rising webhook id, the first ``read`` due deliveries (see :func:`share`) of
    every webhook that may be sent to and that the bounds admit.
    """
    webhook_limits = {webhook_id: limit_of(bounds, webhook_id) for webhook_id in due}
    offered = {webhook_id: queue[: webhook_limits[webhook_id]] for webhook_id, queue in due.items()}
    rounds = chain.from_iterable(zip_longest(*offered.values()))
    chosen: list[D] = []
    total = 0
    for delivery in rounds:
        if delivery is None:
            continue
        total += delivery.size
        # The first one is taken whatever its size.
        if len(chosen) == bounds.limit or (chosen and total > bounds.limit_bytes):
            break
        chosen.append(delivery)
    served = {delivery.webhook_id for delivery in chosen}
    left = len(chosen) < sum(map(len, offered.values()))
    unread = any(
        len(queue) == read < webhook_limits[webhook_id] for webhook_id, queue in due.items()
    )
    return Choice(
        chosen=chosen,
        # The first round goes by webhook: those served come before those that are not.
        cut_at=chosen[-1].webhook_id if len(served) < len(due) else None,
        has_more=left or unread,
    )
