"""Claiming: which deliveries a worker takes, of which webhooks, in which order."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby, zip_longest
from operator import attrgetter
from uuid import UUID

from attrs import frozen
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.engine import Database
from notification_adapters.sql.steps import Lease, Queue, Waiting
from notification_adapters.sql.webhook_rows import WebhookRows
from notification_core.ports.deliveries import Claim, Claimed
from notification_core.webhooks import Webhook

_MOST_REMEMBERED = 20_000


@frozen
class _Look:
    """What a look at the queues found: those to take from, and when others come due."""

    changes: int
    now: datetime
    open: Sequence[UUID]
    after: UUID | None
    next_due: datetime | None

    def nothing(self) -> Claimed:
        """Return what a claim came to that finds nothing to take."""
        return Claimed((), {}, self.changes, self.after, self.until(self.next_due))

    def until(self, due_at: datetime | None) -> timedelta | None:
        """Return how long it takes until something is due."""
        return None if due_at is None else due_at - self.now


@frozen
class _Choice:
    """What is taken; ``cut_at`` is the last webhook served where others had to go without.

    ``more`` tells that a webhook has, or may have, more that is due and that it has room for.
    """

    chosen: Sequence[Waiting]
    cut_at: UUID | None
    more: bool


class _Remembered:
    """The webhooks of what was claimed, read again once the change counter is another one."""

    def __init__(self, rows: WebhookRows) -> None:
        self._rows = rows
        self._changes = -1
        self._read: dict[UUID, Webhook] = {}

    async def at(
        self, connection: AsyncConnection, changes: int, webhook_ids: Collection[UUID]
    ) -> Mapping[UUID, Webhook]:
        """Return webhooks by id, tombstones too, as they are at this number or later."""
        if changes != self._changes or len(self._read) > _MOST_REMEMBERED:
            self._changes, self._read = changes, {}
        # Who claims at the same time may begin another edition: each fills the one that it found.
        known = self._read
        if missing := [one for one in webhook_ids if one not in known]:
            known |= await self._rows.by_id(connection, missing)
        return {one: known[one] for one in webhook_ids}


class Claims:
    """Takes eligible deliveries for a worker."""

    def __init__(self, database: Database, rows: WebhookRows) -> None:
        self._database = database
        self._steps = database.steps
        self._webhooks = _Remembered(rows)

    async def acquire(self, claim: Claim) -> Claimed:
        """Take eligible deliveries and begin their next attempt."""
        if self._database.one_writer:
            # A look through a reader first: where nothing is due, no writer is kept waiting.
            async with self._database.asking() as connection:
                look = await self._look(connection, claim)
                if not look.open:
                    return look.nothing()
        async with self._database.writing() as connection:
            return await self._take(connection, claim)

    async def _look(self, connection: AsyncConnection, claim: Claim) -> _Look:
        look = self._database.look(connection, claim.after, claim.max_webhooks)
        changes, now, queues = await look
        return _Look(
            changes,
            now,
            open=[queue.webhook_id for queue in queues if _is_open(queue, claim, now)],
            after=queues[-1].webhook_id if len(queues) == claim.max_webhooks else None,
            next_due=min(
                (one.due_at for one in queues if one.due_at > now and _is_alive(one, now)),
                default=None,
            ),
        )

    async def _take(self, connection: AsyncConnection, claim: Claim) -> Claimed:
        look = await self._look(connection, claim)
        if not look.open:
            return look.nothing()
        share = _share(claim, look.open)
        waiting = await self._steps.waiting(connection, look.open, share, look.now)
        choice = _choose(waiting, claim, share)
        lease = Lease(claim.worker, look.now, look.now + claim.lease)
        chosen = [one.handle for one in choice.chosen]
        watched = () if choice.more else look.open
        begun, later = await self._steps.begin(connection, chosen, lease, watched)
        wanted = {one.webhook_id for one in begun}
        return Claimed(
            deliveries=tuple(begun),
            # They are as of the counter that was read before them, at least.
            webhooks=await self._webhooks.at(connection, look.changes, wanted),
            changes=look.changes,
            after=choice.cut_at or look.after,
            # Where this claim's bounds left something behind, it is to be claimed at once.
            next_due=timedelta() if choice.more else look.until(_earlier(later, look.next_due)),
        )


def _is_alive(queue: Queue, now: datetime) -> bool:
    return not queue.deleted and (queue.disabled_until is None or queue.disabled_until <= now)


def _is_open(queue: Queue, claim: Claim, now: datetime) -> bool:
    has_room = claim.rooms.get(queue.webhook_id, claim.room) > 0
    return has_room and queue.due_at <= now and _is_alive(queue, now)


def _share(claim: Claim, webhook_ids: Sequence[UUID]) -> int:
    """Return how many deliveries of one webhook are worth looking at.

    With many webhooks each gets little of the limit: looking at all that each has room for would
    cost a multiple of what can be taken.
    """
    most = max((claim.rooms.get(one, claim.room) for one in webhook_ids), default=0)
    fair = 1 + 4 * claim.limit // max(1, len(webhook_ids))
    return min(most, claim.limit, fair)


def _choose(waiting: Sequence[Waiting], claim: Claim, share: int) -> _Choice:
    """Choose in rounds: each webhook's first delivery, then each one's second, and so on."""
    seen = {
        webhook_id: list(group)
        for webhook_id, group in groupby(waiting, key=attrgetter("webhook_id"))
    }
    rooms = {one: claim.rooms.get(one, claim.room) for one in seen}
    offered = {one: group[: rooms[one]] for one, group in seen.items()}
    chosen = list(_within_bounds(_in_rounds(offered), claim))
    served = {one.webhook_id for one in chosen}
    taken = len(chosen) < sum(map(len, offered.values()))
    hidden = any(len(group) == share < rooms[one] for one, group in seen.items())
    return _Choice(
        chosen=chosen,
        # The first round goes by webhook, so whoever was served stands before whoever was not.
        cut_at=chosen[-1].webhook_id if len(served) < len(seen) else None,
        more=taken or hidden,
    )


def _in_rounds(offered: Mapping[UUID, Sequence[Waiting]]) -> Iterator[Waiting]:
    for one_each in zip_longest(*offered.values()):
        yield from (one for one in one_each if one is not None)


def _within_bounds(waiting: Iterator[Waiting], claim: Claim) -> Iterator[Waiting]:
    total = 0
    for number, one in enumerate(waiting):
        total += one.size
        if number == claim.limit or (number and total > claim.limit_bytes):
            return
        yield one


def _earlier(*times: datetime | None) -> datetime | None:
    return min((one for one in times if one is not None), default=None)
