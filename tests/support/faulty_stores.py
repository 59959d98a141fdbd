"""Stores that fail as a test says: unreachable, slow, or with a commit of unknown outcome."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from attrs import define, field

from notification_core.errors import StorageUnavailable, TransactionLost, UnknownCommit
from notification_core.model.api_key import ApiKey
from notification_core.model.circuit_breaker import NO_BREAKER, CircuitBreaker
from notification_core.model.delivery import AttemptResult, Fence
from notification_core.model.ordering import OrderingGroup
from notification_core.model.request_records import RequestRecords
from notification_core.model.signing_key import SigningKey
from notification_core.ports.api_keys import ApiKeyStore
from notification_core.ports.deliveries import (
    AT_ONCE,
    Claim,
    Claimed,
    DeliveryStore,
    EndedDeliveries,
    IngestTransaction,
    ReapedLeases,
    ReleasedGroups,
)
from notification_core.ports.signing_keys import SigningKeyStore

T = TypeVar("T")


@define
class Faults:
    """What fails, by the name of the method.

    ``unreachable`` is the whole storage. ``lost`` holds whose next commit is of unknown outcome,
    and whether it happened; ``undone`` how many of whose transactions are undone at their end;
    ``gates`` whose calls wait, ``late`` whose responses wait, and ``errors`` whose calls raise.
    """

    unreachable: bool = False
    lost: dict[str, bool] = field(factory=dict)
    undone: Counter[str] = field(factory=Counter)
    gates: dict[str, asyncio.Event] = field(factory=dict)
    late: dict[str, asyncio.Event] = field(factory=dict)
    errors: dict[str, Exception] = field(factory=dict)
    calls: Counter[str] = field(factory=Counter)

    async def call(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do some work with the faults that are due."""
        self.calls[name] += 1
        if name in self.gates:
            await self.gates[name].wait()
        self.check(name)
        if name not in self.lost:
            response = await work()
            if name in self.late:
                await self.late[name].wait()
            return response
        if self.lost.pop(name):
            await work()
        raise UnknownCommit(name)

    def end(self) -> None:
        """Be reachable and without errors from now on, and let all who wait go on."""
        self.unreachable = False
        self.errors.clear()
        for gate in (*self.gates.values(), *self.late.values()):
            gate.set()

    def check(self, name: str) -> None:
        """Raise while nothing is available."""
        if self.unreachable:
            raise StorageUnavailable(name)
        if name in self.errors:
            raise self.errors[name]


class FaultyDeliveries(DeliveryStore):
    """A delivery store with faults."""

    def __init__(self, store: DeliveryStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    @asynccontextmanager
    async def ingesting(self) -> AsyncGenerator[IngestTransaction]:
        self._faults.check("ingesting")
        happened = self._faults.lost.pop("ingesting", None)
        try:
            async with self._store.ingesting() as transaction:
                yield transaction
                if "ingesting" in self._faults.gates:
                    await self._faults.gates["ingesting"].wait()
                if self._faults.undone["ingesting"]:
                    self._faults.undone["ingesting"] -= 1
                    raise TransactionLost("ingesting")
                if happened is False:
                    raise UnknownCommit("ingesting")
        finally:
            self._faults.calls["ingesting"] += 1
        if happened:
            raise UnknownCommit("ingesting")

    async def has_operational_events(self) -> bool:
        return await self._faults.call("has_operational_events", self._store.has_operational_events)

    async def acquire(self, claim: Claim) -> Claimed:
        return await self._faults.call("acquire", lambda: self._store.acquire(claim))

    async def release_groups(self, after: OrderingGroup, limit: int) -> ReleasedGroups:
        return await self._faults.call(
            "release_groups", lambda: self._store.release_groups(after, limit)
        )

    async def enlist(self, worker: UUID) -> None:
        await self._faults.call("enlist", lambda: self._store.enlist(worker))

    async def enlisted(self) -> int:
        return await self._faults.call("enlisted", self._store.enlisted)

    async def begin(self, worker: UUID, delivery_ids: Collection[UUID]) -> bool:
        return await self._faults.call("begin", lambda: self._store.begin(worker, delivery_ids))

    async def finish(
        self,
        results: Sequence[AttemptResult],
        interruption_delay: timedelta,
        breaker: CircuitBreaker = NO_BREAKER,
    ) -> Sequence[Fence]:
        return await self._faults.call(
            "finish", lambda: self._store.finish(results, interruption_delay, breaker)
        )

    async def release(self, fences: Collection[Fence], after: timedelta = AT_ONCE) -> None:
        await self._faults.call("release", lambda: self._store.release(fences, after))

    async def leased(self, worker: UUID) -> Sequence[Fence]:
        return await self._faults.call("leased", lambda: self._store.leased(worker))

    async def reap(self, dead: Collection[UUID], interruption_delay: timedelta) -> ReapedLeases:
        return await self._faults.call("reap", lambda: self._store.reap(dead, interruption_delay))

    async def cancel_unsendable(
        self, limit: int, expired_before: datetime, held_before: datetime | None = None
    ) -> EndedDeliveries:
        return await self._faults.call(
            "cancel_unsendable",
            lambda: self._store.cancel_unsendable(limit, expired_before, held_before),
        )


class FaultyKeys(SigningKeyStore):
    """A key store with faults."""

    def __init__(self, store: SigningKeyStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def keys_of(self, environment_ids: Collection[UUID]) -> Sequence[SigningKey]:
        return await self._faults.call("keys_of", lambda: self._store.keys_of(environment_ids))

    async def add_first(
        self, key: SigningKey, records: RequestRecords = ()
    ) -> Sequence[SigningKey]:
        return await self._faults.call("add_first", lambda: self._store.add_first(key, records))

    async def rotate(
        self, key: SigningKey, others_expire_at: datetime, records: RequestRecords = ()
    ) -> None:
        await self._faults.call(
            "rotate", lambda: self._store.rotate(key, others_expire_at, records)
        )


class FaultyApiKeys(ApiKeyStore):
    """A store of API keys with faults."""

    def __init__(self, store: ApiKeyStore, faults: Faults) -> None:
        self._store = store
        self._faults = faults

    async def add(self, key: ApiKey, records: RequestRecords = ()) -> None:
        await self._faults.call("add", lambda: self._store.add(key, records))

    async def find(self, key_id: UUID) -> ApiKey:
        return await self._faults.call("find", lambda: self._store.find(key_id))

    async def page(self, limit: int, before: UUID | None = None) -> Sequence[ApiKey]:
        return await self._faults.call("page", lambda: self._store.page(limit, before))

    async def revoke(self, key_id: UUID, at: datetime, records: RequestRecords = ()) -> ApiKey:
        return await self._faults.call("revoke", lambda: self._store.revoke(key_id, at, records))
