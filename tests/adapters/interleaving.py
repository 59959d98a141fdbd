"""Two who write to one database, step by step, in every order that there is.

Each works on a database that stops before its steps until it is let on. So a schedule says whose
step is next; where one waits for a lock of the other, which the server is asked, the other goes on.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain, combinations, cycle
from typing import Any, cast

from attrs import define, field
from sqlalchemy.ext.asyncio import AsyncConnection

from notification_adapters.sql.database import Database
from notification_adapters.sql.dialect import Dialect

_PATIENCE = 60.0


@define
class Gate:
    """Where somebody stops before each of these steps, once he is kept."""

    stops: Collection[str]
    is_kept: bool = False
    _reached: asyncio.Event = field(factory=asyncio.Event)
    _opened: asyncio.Event = field(factory=asyncio.Event)

    async def pass_by(self, step: str) -> None:
        """Wait to be let on, if this step is one to stop before."""
        if self.is_kept and step in self.stops:
            self._reached.set()
            await self._opened.wait()
            self._opened.clear()

    async def reached(self) -> None:
        """Wait until somebody stands here."""
        await self._reached.wait()

    def let_on(self) -> None:
        """Let whoever stands here make a step."""
        self._reached.clear()
        self._opened.set()


class GatedDatabase:
    """A database that stops at a gate: before it begins or commits, and before statements.

    The steps of an engine go by their names; all other statements are called ``execute``. What
    the server calls the latest ``session`` that writes can be asked for.
    """

    def __init__(
        self, database: Database, gate: Gate, session_of: Callable[[AsyncConnection], int]
    ) -> None:
        self._database = database
        self._gate = gate
        self._session_of = session_of
        self.session = 0
        self.begun = 0
        self.dialect = cast("Dialect", _GatedDialect(database.dialect, gate))

    def __getattr__(self, name: str) -> Any:
        """Return what is not changed here."""
        return getattr(self._database, name)

    @asynccontextmanager
    async def write_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Open a transaction to write in."""
        await self._gate.pass_by("write")
        async with self._database.write_transaction() as connection:
            self.session = self._session_of(connection)
            self.begun += 1
            yield cast("AsyncConnection", _GatedConnection(connection, self._gate))
            await self._gate.pass_by("commit")

    @asynccontextmanager
    async def read_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """Open a view, whose statements go by as one: none sees what happens meanwhile."""
        await self._gate.pass_by("look")
        async with self._database.read_transaction() as connection:
            yield connection


class _GatedDialect:
    def __init__(self, dialect: Dialect, gate: Gate) -> None:
        self._dialect = dialect
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        step = getattr(self._dialect, name)
        if not asyncio.iscoroutinefunction(step):
            return step

        async def gated(connection: Any, *arguments: Any) -> Any:
            if not isinstance(connection, _GatedConnection):
                return await step(connection, *arguments)
            await self._gate.pass_by(name)
            return await step(connection.beneath, *arguments)

        return gated


class _GatedConnection:
    def __init__(self, connection: AsyncConnection, gate: Gate) -> None:
        self.beneath = connection
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)

    async def execute(self, *arguments: Any) -> Any:
        await self._gate.pass_by("execute")
        return await self.beneath.execute(*arguments)


@define
class Actor:
    """Somebody who does one thing to the storage, step by step."""

    doing: Awaitable[Any]
    gate: Gate
    waits: Callable[[], Awaitable[bool]]
    """Tells whether he waits for a lock of somebody else."""
    begun: Callable[[], int]
    """Tells how many transactions he has begun: more than one if the first was lost."""
    _task: "asyncio.Task[Any]" = field(init=False)

    async def begin(self) -> None:
        """Come to the first step."""
        self.gate.is_kept = True
        self._task = asyncio.ensure_future(self.doing)
        await self.has_gone_on()

    @property
    def has_ended(self) -> bool:
        """Whether there is no more step to make."""
        return self._task.done()

    async def step(self) -> bool:
        """Make the next step; tell whether it was made, or waits."""
        self.gate.let_on()
        return await self.has_gone_on()

    async def has_gone_on(self) -> bool:
        """Return once the step is made, or waits for a lock; tell whether it is made."""
        reached = asyncio.ensure_future(self.gate.reached())
        try:
            while not reached.done() and not self.has_ended:
                if await self.waits():
                    return False
            return True
        finally:
            reached.cancel()
            with suppress(asyncio.CancelledError):
                await reached

    def told(self) -> Any:
        """Return what came of it, or raise it."""
        return self._task.result()


def orders(first: int, second: int) -> Iterator[Sequence[int]]:
    """Yield all ways to shuffle so many steps of one and so many of another: whose turn it is."""
    for places in combinations(range(first + second), first):
        yield [0 if place in places else 1 for place in range(first + second)]


async def play(actors: Sequence[Actor], order: Sequence[int]) -> Sequence[int]:
    """Have two actors make their steps in this order; return the order that it came to.

    Where one waits for the other, the other goes on. What is left of both in the end is done.
    """
    played: list[int] = []
    waiting: set[int] = set()
    async with asyncio.timeout(_PATIENCE):
        for actor in actors:
            await actor.begin()
        for turn in chain(order, cycle((0, 1))):
            for one in [*waiting]:
                if await actors[one].has_gone_on():
                    waiting.discard(one)
            able = [one for one in (turn, 1 - turn) if not actors[one].has_ended]
            if not able:
                break
            if able[0] not in waiting:
                played.append(able[0])
                if not await actors[able[0]].step():
                    waiting.add(able[0])
    for actor in actors:
        actor.gate.is_kept = False
    return played
